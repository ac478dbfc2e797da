//! Answers that are too large or too slow are cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mfa_core::{HttpClient as _, HttpFault, HttpReply};
use tokio::io::AsyncWriteExt as _;

use crate::support::{Ca, LONG, OK, SHORT, Server, get};

const CAP: usize = 1024 * 1024;
/// Longer than every exchange here.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails, instead of waiting for ever, where the deadline does not hold.
async fn exchange(ca: &Ca, server: &Server, deadline: Duration) -> Result<HttpReply, HttpFault> {
    let client = ca.client(&server.authority()).build().unwrap();
    let sent = client.send(get(format!("https://{}/", server.authority())), deadline);
    tokio::time::timeout(PATIENCE, sent).await.unwrap()
}

async fn answered(answer: impl Into<Vec<u8>>) -> Result<HttpReply, HttpFault> {
    let ca = Ca::new();
    let server = Server::answering(ca.acceptor("127.0.0.1"), answer).await;
    exchange(&ca, &server, LONG).await
}

fn body_of(length: usize) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    answer.resize(answer.len() + length, b'x');
    answer
}

#[tokio::test]
async fn an_answer_is_handed_over_whole() {
    let reply = answered(OK).await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.body().as_slice()), (200, &b"ok"[..]));
    assert_eq!(reply.headers()["x-kind"], "plain");
}

#[tokio::test]
async fn s34_a_body_of_ten_gigabytes_is_cut_off_at_the_cap() {
    const TEN_GB: u64 = 10_000_000_000;
    for length in [format!("content-length: {TEN_GB}"), "transfer-encoding: chunked".to_owned()] {
        let ca = Ca::new();
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let chunked = length.starts_with("transfer");
        let server = Server::tls(ca.acceptor("127.0.0.1"), move |mut stream| {
            let (written, head) = (Arc::clone(&counter), format!("HTTP/1.1 200 OK\r\n{length}\r\n\r\n"));
            async move {
                let part = vec![b'x'; 0x4000];
                let _ = stream.write_all(head.as_bytes()).await;
                while written.load(Ordering::SeqCst) < TEN_GB {
                    if chunked && stream.write_all(b"4000\r\n").await.is_err() {
                        return;
                    }
                    if stream.write_all(&part).await.is_err()
                        || (chunked && stream.write_all(b"\r\n").await.is_err())
                    {
                        return;
                    }
                    written.fetch_add(0x4000, Ordering::SeqCst);
                }
            }
        })
        .await;
        assert_eq!(exchange(&ca, &server, LONG).await.unwrap_err(), HttpFault::Unanswered);
        // What is beyond the cap stood in buffers on the way.
        assert!(written.load(Ordering::SeqCst) < 64 * 1024 * 1024);
    }
}

#[tokio::test]
async fn s34_a_body_as_long_as_the_cap_is_read_and_one_byte_more_is_not() {
    assert_eq!(answered(body_of(CAP)).await.unwrap().body().len(), CAP);
    assert_eq!(answered(body_of(CAP + 1)).await.unwrap_err(), HttpFault::Unanswered);
    // Without a length, the end of the connection ends the body.
    let mut endless = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n".to_vec();
    endless.resize(endless.len() + CAP + 1, b'x');
    assert_eq!(answered(endless).await.unwrap_err(), HttpFault::Unanswered);
}

#[tokio::test]
async fn s34_a_host_may_lower_the_cap_and_not_raise_it() {
    let ca = Ca::new();
    let server = Server::answering(ca.acceptor("127.0.0.1"), body_of(11)).await;
    for (cap, read) in [(10, false), (11, true)] {
        let client = ca.client(&server.authority()).max_body_bytes(cap).build().unwrap();
        let reply = client.send(get(format!("https://{}/", server.authority())), LONG).await;
        assert_eq!(reply.is_ok(), read, "{cap}");
    }
    for cap in [0, CAP + 1] {
        let error = ca.client("127.0.0.1:1").max_body_bytes(cap).build().unwrap_err();
        assert_eq!(error.code(), "http_body_limit_invalid");
    }
}

#[tokio::test]
async fn s34_a_flood_of_headers_is_no_answer() {
    let with = |count: usize, value: usize| {
        let headers: String = (0..count).map(|i| format!("x-{i:03}: {}\r\n", "v".repeat(value))).collect();
        format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{headers}\r\n")
    };
    // With the length there are 100.
    assert!(answered(with(99, 10)).await.is_ok());
    assert_eq!(answered(with(100, 10)).await.unwrap_err(), HttpFault::Unanswered);
    assert_eq!(answered(with(100_000, 10)).await.unwrap_err(), HttpFault::Unanswered);
    // 32 KiB together.
    assert!(answered(with(4, 8_000)).await.is_ok());
    assert_eq!(answered(with(4, 8_300)).await.unwrap_err(), HttpFault::Unanswered);
    assert_eq!(answered(with(1, 2_000_000)).await.unwrap_err(), HttpFault::Unanswered);
}

#[tokio::test]
async fn s34_an_answer_that_stalls_is_cut_off_at_the_deadline() {
    for part in ["", "HTTP/1.1 200 OK\r\nx-a: b", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nxx"] {
        let ca = Ca::new();
        let server = Server::tls(ca.acceptor("127.0.0.1"), move |mut stream| async move {
            let _ = stream.write_all(part.as_bytes()).await;
            std::future::pending::<()>().await;
        })
        .await;
        assert_eq!(exchange(&ca, &server, SHORT).await.unwrap_err(), HttpFault::Unanswered, "{part:?}");
    }
}

#[tokio::test]
async fn s34_an_answer_that_trickles_is_cut_off_at_the_deadline() {
    for head in ["HTTP/1.1 200 OK\r\nx-slow: ", "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n"] {
        let ca = Ca::new();
        let server = Server::tls(ca.acceptor("127.0.0.1"), move |mut stream| async move {
            let _ = stream.write_all(head.as_bytes()).await;
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            while stream.write_all(b"x").await.is_ok() && stream.flush().await.is_ok() {
                pace.tick().await;
            }
        })
        .await;
        assert_eq!(exchange(&ca, &server, SHORT).await.unwrap_err(), HttpFault::Unanswered, "{head:?}");
    }
}

#[tokio::test]
async fn s34_a_handshake_that_stalls_is_cut_off_at_the_limit_of_connecting() {
    let ca = Ca::new();
    let server = Server::tcp(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let client = ca.client(&server.authority()).connect_timeout(SHORT).build().unwrap();
    let fault = client.send(get(format!("https://{}/", server.authority())), LONG).await.unwrap_err();
    assert_eq!(fault, HttpFault::NotSent);
}
