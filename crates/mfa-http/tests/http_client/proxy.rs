//! Proxies: only those that were set, and what they see.

use std::process::Command;
use std::sync::{Arc, Mutex};

use mfa_core::{HttpClient as _, HttpFault};
use mfa_http::Client;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use crate::support::{Ca, LONG, OK, Server, get, loopback, read_head};

const NAME: &str = "api-x.duosecurity.com";
/// Says what a child process does; set for child processes only.
const CHILD: &str = "MFA_HTTP_TEST_CHILD";

/// A proxy that connects every request to `port` of this machine; it keeps the heads it was sent.
async fn proxy_to(port: u16) -> (Server, Arc<Mutex<Vec<String>>>) {
    let heads = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&heads);
    let server = Server::tcp(move |mut stream| {
        let kept = Arc::clone(&kept);
        async move {
            let head = read_head(&mut stream).await;
            kept.lock().unwrap().push(head);
            tunnel(stream, port).await;
        }
    })
    .await;
    (server, heads)
}

async fn tunnel(mut stream: impl AsyncRead + AsyncWrite + Unpin, port: u16) {
    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
    let mut target = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let _ = copy_bidirectional(&mut stream, &mut target).await;
}

#[tokio::test]
async fn a_proxy_sees_the_name_and_nothing_else() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor(NAME), OK).await;
    let (proxy, heads) = proxy_to(target.port).await;
    let url = format!("http://user:secret@{}", proxy.authority());
    let client = Client::builder().only_roots(ca.pem()).proxy(url).build().unwrap();
    let request = get(format!("https://{NAME}/auth?code=SECRET"));
    assert!(client.send(request, LONG).await.is_ok());

    let heads = heads.lock().unwrap();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].starts_with(&format!("CONNECT {NAME}:443 HTTP/1.1\r\n")), "{heads:?}");
    // RFC 7617 §2 of user:secret.
    assert!(heads[0].to_lowercase().contains("proxy-authorization: basic dxnlcjpzzwnyzxq="), "{heads:?}");
    assert!(!heads[0].contains("SECRET"), "{heads:?}");
}

#[tokio::test]
async fn a_proxy_on_a_private_name_is_reached_and_is_no_destination() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor(NAME), OK).await;
    let (proxy, heads) = proxy_to(target.port).await;
    let url = format!("http://proxy.internal:{}", proxy.port);
    let client = Client::builder().only_roots(ca.pem()).proxy(url).resolver(loopback()).build().unwrap();
    assert!(client.send(get(format!("https://{NAME}/")), LONG).await.is_ok());
    for url in ["https://proxy.internal/", "https://127.0.0.1/", "http://api-x.duosecurity.com/"] {
        assert_eq!(client.send(get(url), LONG).await.unwrap_err(), HttpFault::Refused, "{url}");
    }
    assert_eq!(heads.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_certificate_is_verified_behind_a_proxy_too() {
    let target = Server::answering(Ca::new().acceptor(NAME), OK).await;
    let (proxy, _) = proxy_to(target.port).await;
    let url = format!("http://{}", proxy.authority());
    let client = Client::builder().only_roots(Ca::new().pem()).proxy(url).build().unwrap();
    assert_eq!(client.send(get(format!("https://{NAME}/")), LONG).await.unwrap_err(), HttpFault::Tls);
}

#[tokio::test]
async fn a_proxy_may_speak_tls_and_its_certificate_is_verified() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor(NAME), OK).await;
    let port = target.port;
    for (certificate, fault) in [("127.0.0.1", None), ("proxy.example", Some(HttpFault::Tls))] {
        let proxy = Server::tls(ca.acceptor(certificate), move |stream| tunnel(stream, port)).await;
        let url = format!("https://{}", proxy.authority());
        let client = Client::builder().only_roots(ca.pem()).proxy(url).build().unwrap();
        assert_eq!(client.send(get(format!("https://{NAME}/")), LONG).await.err(), fault, "{certificate}");
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_was_not_sent_the_request() {
    let proxy = Server::tcp(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n").await;
    })
    .await;
    let url = format!("http://{}", proxy.authority());
    let client = Client::builder().only_roots(Ca::new().pem()).proxy(url).build().unwrap();
    assert_eq!(client.send(get(format!("https://{NAME}/")), LONG).await.unwrap_err(), HttpFault::NotSent);
}

#[tokio::test]
async fn an_allowed_authority_is_reached_without_the_proxy() {
    let ca = Ca::new();
    let target = Server::answering(ca.acceptor("127.0.0.1"), OK).await;
    let (proxy, _) = proxy_to(1).await;
    let client =
        ca.client(&target.authority()).proxy(format!("http://{}", proxy.authority())).build().unwrap();
    assert!(client.send(get(format!("https://{}/", target.authority())), LONG).await.is_ok());
    assert_eq!(proxy.connections(), 0);
}

/// Environment variables belong to a process: this runs in one of its own, see below.
#[tokio::test]
async fn child() {
    let Ok(role) = std::env::var(CHILD) else { return };
    let builder = Client::builder().only_roots(Ca::new().pem()).resolver(loopback());
    let builder = builder.allow_private("127.0.0.1:1");
    let builder = if role == "environment" { builder.proxy_from_environment() } else { builder };
    let client = builder.build().unwrap();
    let urls =
        [format!("https://{NAME}/"), "https://127.0.0.1:1/".to_owned(), "http://127.0.0.1:1/".to_owned()];
    for url in urls {
        assert!(client.send(get(url), LONG).await.is_err());
    }
}

/// Runs [`child`] with the variables and returns how often the proxy was asked.
async fn asked(role: &str, variables: &[&str], no_proxy: &str) -> usize {
    let proxy = Server::tcp(|mut stream| async move { drop(read_head(&mut stream).await) }).await;
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "proxy::child"]).env(CHILD, role).env("NO_PROXY", no_proxy);
    for variable in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    for variable in variables {
        command.env(variable, format!("http://{}", proxy.authority()));
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    proxy.connections()
}

#[tokio::test(flavor = "multi_thread")]
async fn s34_proxy_variables_are_ignored_unless_the_host_says_so() {
    let all = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
    assert_eq!(asked("ignore", &all, "").await, 0);
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        assert_eq!(asked("environment", &[variable], "").await, 1, "{variable}");
    }
    assert_eq!(asked("environment", &["HTTP_PROXY", "http_proxy"], "").await, 0);
    assert_eq!(asked("environment", &all, "duosecurity.com").await, 0);
}
