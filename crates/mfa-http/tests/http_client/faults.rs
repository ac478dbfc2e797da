//! Which fault stands for which way to have no answer.

use std::net::Ipv4Addr;

use mfa_core::{HttpClient as _, HttpFault};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::server::TlsStream;

use crate::support::{Always, Ca, LONG, OK, Server, get, read_head};

async fn fault(ca: &Ca, authority: &str) -> HttpFault {
    let client = ca.client(authority).build().unwrap();
    client.send(get(format!("https://{authority}/")), LONG).await.unwrap_err()
}

fn reset(stream: TcpStream) {
    stream.set_zero_linger().unwrap();
}

fn reset_tls(stream: TlsStream<TcpStream>) {
    reset(stream.into_inner().0);
}

#[tokio::test]
async fn a_closed_port_was_not_sent_to() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    drop(listener);
    assert_eq!(fault(&Ca::new(), &authority).await, HttpFault::NotSent);
}

#[tokio::test]
async fn a_name_that_leads_nowhere_was_not_sent_to() {
    let client =
        Ca::new().client("duo.test:1").resolver(std::sync::Arc::new(Always(Vec::new()))).build().unwrap();
    assert_eq!(client.send(get("https://duo.test:1/"), LONG).await.unwrap_err(), HttpFault::NotSent);
}

#[tokio::test]
async fn a_handshake_that_is_cut_off_is_a_fault_of_tls() {
    let closing = Server::tcp(|mut stream| async move {
        // Its hello was read, so that closing does not reset.
        let mut hello = [0; 5];
        let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut hello).await;
        let length = usize::from(u16::from_be_bytes([hello[3], hello[4]]));
        let _ = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut vec![0; length]).await;
    })
    .await;
    let resetting = Server::tcp(|stream| async move { reset(stream) }).await;
    let babbling = Server::tcp(|mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        read_head(&mut stream).await;
    })
    .await;
    for server in [closing, resetting, babbling] {
        assert_eq!(fault(&Ca::new(), &server.authority()).await, HttpFault::Tls);
    }
}

#[tokio::test]
async fn s22_a_connection_that_ends_after_the_request_may_have_delivered_it() {
    let ca = Ca::new();
    let resetting = Server::tls(ca.acceptor("127.0.0.1"), |stream| async move { reset_tls(stream) }).await;
    let closing = Server::answering(ca.acceptor("127.0.0.1"), "").await;
    let cut =
        Server::answering(ca.acceptor("127.0.0.1"), "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxx").await;
    let chunk = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nxx";
    let chunk = Server::answering(ca.acceptor("127.0.0.1"), chunk).await;
    let garbage = Server::answering(ca.acceptor("127.0.0.1"), "\u{0}\u{1}not http\r\n\r\n").await;
    for server in [resetting, closing, cut, chunk, garbage] {
        assert_eq!(fault(&ca, &server.authority()).await, HttpFault::Unanswered);
        assert_eq!(server.connections(), 1, "sent once");
    }
}

#[tokio::test]
async fn s22_a_request_on_a_used_connection_is_not_sent_again() {
    let ca = Ca::new();
    let server = Server::tls(ca.acceptor("127.0.0.1"), |mut stream| async move {
        let _ = stream.write_all(OK).await;
        read_head(&mut stream).await;
        reset_tls(stream);
    })
    .await;
    let client = ca.client(&server.authority()).build().unwrap();
    let url = format!("https://{}/", server.authority());
    let post = || http::Request::post(&url).body(b"factor=push".to_vec()).unwrap();
    assert!(client.send(post(), LONG).await.is_ok());
    assert_eq!(client.send(post(), LONG).await.unwrap_err(), HttpFault::Unanswered);
    assert_eq!(server.connections(), 1);
}
