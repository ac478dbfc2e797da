//! Where requests go: public addresses, what was allowed, and nowhere a redirect points.

use mfa_core::{HttpClient as _, HttpFault};
use mfa_http::Client;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Ca, LONG, OK, Server, get, loopback, read_head};

#[tokio::test]
async fn s34_a_public_name_that_leads_to_this_machine_is_refused() {
    let ca = Ca::new();
    let server = Server::answering(ca.acceptor("api-x.duosecurity.com"), OK).await;
    let url = format!("https://api-x.duosecurity.com:{}/", server.port);
    let client = Client::builder().only_roots(ca.pem()).resolver(loopback()).build().unwrap();
    assert_eq!(client.send(get(&url), LONG).await.unwrap_err(), HttpFault::Refused);
    assert_eq!(server.connections(), 0);

    // The same name where the host allowed it; another port of it is still refused.
    let allowed = format!("api-x.duosecurity.com:{}", server.port);
    let client = ca.client(&allowed).resolver(loopback()).build().unwrap();
    assert!(client.send(get(&url), LONG).await.is_ok());
    let other = get(format!("https://api-x.duosecurity.com:{}/", server.port ^ 1));
    assert_eq!(client.send(other, LONG).await.unwrap_err(), HttpFault::Refused);
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn s34_an_address_of_this_machine_is_refused_in_every_spelling() {
    let ca = Ca::new();
    let server = Server::answering(ca.acceptor("127.0.0.1"), OK).await;
    let client = Client::builder().only_roots(ca.pem()).build().unwrap();
    for host in
        ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "127.0.0.1.", "[::ffff:127.0.0.1]", "localhost"]
    {
        let request = get(format!("https://{host}:{}/", server.port));
        assert_eq!(client.send(request, LONG).await.unwrap_err(), HttpFault::Refused, "{host}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn s34_plain_http_goes_to_an_allowed_loopback_address_alone() {
    let server = Server::tcp(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(OK).await;
    })
    .await;
    let ca = Ca::new();
    for (host, allowed, answered) in [
        ("127.0.0.1", "127.0.0.1", true),
        ("localhost", "localhost", true),
        ("localhost", "127.0.0.1", false),
        ("127.0.0.1", "localhost", false),
        // A name is no loopback address, whatever it leads to.
        ("duo.test", "duo.test", false),
    ] {
        let client = ca.client(&format!("{allowed}:{}", server.port)).resolver(loopback()).build().unwrap();
        let reply = client.send(get(format!("http://{host}:{}/", server.port)), LONG).await;
        assert_eq!(reply.is_ok(), answered, "{host}, allowed {allowed}");
    }
}

#[tokio::test]
async fn s34_a_redirect_is_an_answer_and_is_not_followed() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor("127.0.0.1"), OK).await;
    for status in [301, 302, 303, 307, 308] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nlocation: https://{}/\r\ncontent-length: 0\r\n\r\n",
            target.authority()
        );
        let server = Server::answering(ca.acceptor("127.0.0.1"), answer).await;
        // Even where the target is allowed.
        let client = ca.client(&server.authority()).allow_private(target.authority()).build().unwrap();
        let reply = client.send(get(format!("https://{}/", server.authority())), LONG).await.unwrap();
        assert_eq!(reply.status().as_u16(), status);
        assert_eq!(target.connections(), 0);
    }
}

#[tokio::test]
async fn s34_a_redirect_from_a_public_name_to_a_private_address_is_not_followed() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor("127.0.0.1"), OK).await;
    let answer =
        format!("HTTP/1.1 302 X\r\nlocation: https://{}/\r\ncontent-length: 0\r\n\r\n", target.authority());
    let server = Server::answering(ca.acceptor("duo.test"), answer).await;
    let name = format!("duo.test:{}", server.port);
    let client = ca.client(&name).resolver(loopback()).build().unwrap();
    assert_eq!(client.send(get(format!("https://{name}/")), LONG).await.unwrap().status().as_u16(), 302);
    assert_eq!(target.connections(), 0);
}

#[test]
fn a_setting_that_cannot_be_kept_is_named() {
    let ca = Ca::new();
    let build = |f: fn(mfa_http::ClientBuilder) -> mfa_http::ClientBuilder| {
        f(Client::builder().only_roots(ca.pem())).build().unwrap_err().code()
    };
    assert_eq!(build(|b| b.allow_private("127.0.0.1")), "http_authority_invalid");
    assert_eq!(build(|b| b.proxy("proxy:3128")), "http_proxy_invalid");
    assert_eq!(build(|b| b.proxy("socks5://proxy:3128")), "http_proxy_invalid");
    assert_eq!(build(|b| b.extra_roots("x")), "http_roots_conflict");
    assert_eq!(
        build(|b| b.only_roots("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        "http_roots_invalid"
    );
    let error = Client::builder().extra_roots("no certificate").build().unwrap_err();
    assert_eq!(error.code(), "http_roots_invalid");
}

#[test]
fn debug_shows_no_password_of_a_proxy() {
    let builder =
        Client::builder().only_roots(Ca::new().pem()).proxy("http://user:hunter2@proxy.example:3128");
    let shown = format!("{builder:?} {:?}", builder);
    assert!(!shown.contains("hunter2"), "{shown}");
    let shown = format!("{:?}", builder.build().unwrap());
    assert!(!shown.contains("hunter2"), "{shown}");
}
