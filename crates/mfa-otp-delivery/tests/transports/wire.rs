//! Somebody on the wire to the mail server, before TLS has begun.

use std::sync::Arc;

use mfa_core::{NotDelivered, Transport as _};
use mfa_otp_delivery::address::Email;
use mfa_otp_delivery::transport::smtp::{Smtp, SmtpBuilder};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::support::{Clock, DEADLINE, certificate, message};

const NOW: u64 = 1_800_000_000;

fn smtp(builder: SmtpBuilder) -> Smtp {
    builder.build(Email::parse("no-reply@acme.example").unwrap(), Clock::at(NOW).shared()).unwrap()
}

fn acceptor(pem: &str, key: &str) -> TlsAcceptor {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

/// Answers each line with what is next, until the other side is silent or there is nothing to say.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(stream: S, answers: &[&str]) -> (S, Vec<String>) {
    let mut stream = BufReader::new(stream);
    let mut heard = Vec::new();
    for answer in answers {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            break;
        }
        heard.push(line.trim_end().to_owned());
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            break;
        }
    }
    (stream.into_inner(), heard)
}

/// A mail server that takes a message after STARTTLS; whoever is on the wire puts `injected` behind its word to begin.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor, injected: &str) -> Vec<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"220 mail.example\r\n").await.unwrap();
    let begin = format!("220 go on\r\n{injected}");
    let (stream, _) = answer(stream, &["250-mail.example\r\n250 STARTTLS\r\n", &begin]).await;
    let Ok(stream) = acceptor.accept(stream).await else { return Vec::new() };
    let said = ["250 mail.example\r\n", "250 sender\r\n", "250 recipient\r\n", "354 text\r\n"];
    let (stream, mut heard) = answer(stream, &said).await;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await.unwrap_or(0) > 0 {
        if line == ".\r\n" {
            heard.push("a text".to_owned());
            stream.write_all(b"250 taken\r\n").await.unwrap();
            stream.flush().await.unwrap();
            break;
        }
        line.clear();
    }
    heard
}

#[tokio::test]
async fn s14_what_is_put_behind_the_word_to_begin_tls_is_no_answer_of_the_server() {
    let (pem, key) = certificate();
    for (injected, expected) in [
        ("", Ok(())),
        // Answers to the greeting, to the sender and to the recipient, whose refusal would move a code elsewhere.
        ("250 mail.example\r\n250 sender\r\n550 5.1.1 no such mailbox\r\n", Err(NotDelivered::Temporary)),
        ("250 mail.example\r\n", Err(NotDelivered::Temporary)),
        ("x", Err(NotDelivered::Temporary)),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(serve(listener, acceptor(&pem, &key), injected));
        let smtp = smtp(Smtp::starttls("127.0.0.1").port(port).only_roots(&*pem));
        let sent = smtp.send(&message("bob@example.com", "m-1"), DEADLINE).await;
        assert_eq!(sent.map(|_| ()), expected, "{injected:?}");
        let heard = server.await.unwrap();
        assert_eq!(heard.last().is_some_and(|last| last == "a text"), expected.is_ok(), "{heard:?}");
    }
}

#[tokio::test]
async fn s34_a_server_that_does_not_stop_talking_is_cut_off() {
    /// Far more than what the system holds for a connection.
    const MOST: usize = 64 * 1024 * 1024;
    async fn talk(mut stream: TcpStream) -> usize {
        let (mut said, chunk) = (0, [b'x'; 65_536]);
        while said < MOST && stream.write_all(&chunk).await.is_ok() {
            said += chunk.len();
        }
        said
    }
    let (pem, _) = certificate();
    for plain in [false, true] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move { talk(listener.accept().await.unwrap().0).await });
        let builder = if plain {
            Smtp::danger_plain([127, 0, 0, 1])
        } else {
            Smtp::starttls("127.0.0.1").only_roots(&*pem)
        };
        let smtp = smtp(builder.port(port));
        let sent = smtp.send(&message("bob@example.com", "m-1"), DEADLINE).await;
        assert_eq!(sent.unwrap_err(), NotDelivered::Temporary);
        drop(smtp);
        assert!(server.await.unwrap() < MOST, "all of it was read");
    }
}
