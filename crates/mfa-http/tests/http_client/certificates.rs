//! Whom the client trusts.

use mfa_core::{HttpClient as _, HttpFault};
use mfa_http::{Client, ClientBuilder};
use rcgen::{CertificateParams, date_time_ymd};
use tokio_rustls::TlsAcceptor;

use crate::support::{Ca, LONG, OK, Server, get, self_signed};

async fn fault(builder: ClientBuilder, acceptor: TlsAcceptor) -> Option<HttpFault> {
    let server = Server::answering(acceptor, OK).await;
    let client = builder.allow_private(server.authority()).build().unwrap();
    client.send(get(format!("https://{}/", server.authority())), LONG).await.err()
}

#[tokio::test]
async fn a_self_signed_certificate_is_refused() {
    let extra = Client::builder().extra_roots(Ca::new().pem());
    assert_eq!(fault(extra, self_signed("127.0.0.1")).await, Some(HttpFault::Tls));
    let only = Client::builder().only_roots(Ca::new().pem());
    assert_eq!(fault(only, self_signed("127.0.0.1")).await, Some(HttpFault::Tls));
}

#[tokio::test]
async fn an_extra_root_is_trusted() {
    let ca = Ca::new();
    let builder = Client::builder().extra_roots(Ca::new().pem()).extra_roots(ca.pem());
    assert_eq!(fault(builder, ca.acceptor("127.0.0.1")).await, None);
}

#[tokio::test]
async fn only_the_given_roots_are_trusted() {
    let (ours, other) = (Ca::new(), Ca::new());
    let builder = || Client::builder().only_roots(ours.pem() + &Ca::new().pem());
    assert_eq!(fault(builder(), ours.acceptor("127.0.0.1")).await, None);
    assert_eq!(fault(builder(), other.acceptor("127.0.0.1")).await, Some(HttpFault::Tls));
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() {
    let ca = Ca::new();
    for name in ["127.0.0.2", "localhost", "api-x.duosecurity.com"] {
        let builder = Client::builder().only_roots(ca.pem());
        assert_eq!(fault(builder, ca.acceptor(name)).await, Some(HttpFault::Tls), "{name}");
    }
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = Ca::new();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let builder = Client::builder().only_roots(ca.pem());
    assert_eq!(fault(builder, ca.acceptor_with(params)).await, Some(HttpFault::Tls));
}
