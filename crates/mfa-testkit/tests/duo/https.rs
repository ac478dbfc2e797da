//! A client that says exactly what a test wants to say, with its own idea of how to sign it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use mfa_testkit::duo::{FakeDuo, Integration};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// A connection.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    /// With the query.
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Call {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), body: String::new() }
    }

    pub(crate) fn post(target: &str, content_type: &str, body: impl Into<String>) -> Self {
        let headers = vec![("content-type", content_type.to_owned())];
        Self { method: "POST", target: target.to_owned(), headers, body: body.into() }
    }

    pub(crate) fn json(target: &str, body: &Value) -> Self {
        Self::post(target, "application/json", body.to_string())
    }

    pub(crate) fn form(target: &str, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Signs with version 5. The parameters of a query must be such that nothing needs encoding.
    pub(crate) fn signed(self, keys: &Integration, date: &str) -> Self {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let mut query: Vec<_> = query.split('&').collect();
        query.sort_unstable();
        let mut duo: Vec<_> = self.headers.iter().filter(|(name, _)| name.starts_with("x-duo-")).collect();
        duo.sort();
        let duo: Vec<_> = duo.into_iter().map(|(name, value)| format!("{name}\0{value}")).collect();
        let (body, duo) = (hash(&self.body), hash(&duo.join("\0")));
        let lines = [date, self.method, "127.0.0.1", path, &query.join("&"), &body, &duo];
        let signature = HEXLOWER.encode(&mac(&keys.skey, &lines.join("\n")));
        self.with("date", date).with("authorization", basic(&keys.ikey, &signature))
    }

    /// Signs with version 2 and HMAC-SHA-512, as if there were no parameters.
    pub(crate) fn signed_v2_empty(self, keys: &Integration, date: &str) -> Self {
        let lines = [date, self.method, "127.0.0.1", &self.target, ""];
        let signature = HEXLOWER.encode(&mac(&keys.skey, &lines.join("\n")));
        self.with("date", date).with("authorization", basic(&keys.ikey, &signature))
    }

    /// Sends it on a connection of its own. `None` if that is closed without an answer.
    pub(crate) fn send(&self, duo: &FakeDuo) -> Option<Answer> {
        read(self.open(duo)?)
    }

    /// Sends it and leaves the answer where it is. `None` if the connection was closed before.
    pub(crate) fn open(&self, duo: &FakeDuo) -> Option<Stream> {
        let mut stream = connect(duo)?;
        let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", self.method, self.target, duo.authority());
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\nconnection: close\r\n\r\n", self.body.len()));
        stream.write_all(head.as_bytes()).ok()?;
        stream.write_all(self.body.as_bytes()).ok()?;
        stream.flush().ok()?;
        Some(stream)
    }

    /// Sends it and expects an answer.
    pub(crate) fn answer(&self, duo: &FakeDuo) -> Answer {
        self.send(duo).unwrap_or_else(|| panic!("no answer to {self:?}"))
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn code(&self) -> Value {
        self.json()["code"].clone()
    }

    /// Returns a field of the head, without a look at its case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Reads an answer to its end, or as much of it as a client should.
pub(crate) fn read(mut stream: Stream) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while bytes.len() < 1 << 20 {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

fn connect(duo: &FakeDuo) -> Option<Stream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(duo.ca_pem().as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let connection = ClientConnection::new(Arc::new(config), name).unwrap();
    Some(StreamOwned::new(connection, TcpStream::connect(duo.authority()).ok()?))
}

pub(crate) fn basic(ikey: &str, signature: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{ikey}:{signature}").as_bytes()))
}

/// Signs claims as a token whose header names `algorithm`.
pub(crate) fn jwt(algorithm: &str, key: &str, claims: &Value) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&json!({ "alg": algorithm, "typ": "JWT" })), part(claims));
    let signature = if algorithm == "none" { Vec::new() } else { mac(key, &signed) };
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn hash(text: &str) -> String {
    HEXLOWER.encode(&Sha512::digest(text))
}

fn mac(key: &str, text: &str) -> Vec<u8> {
    Hmac::<Sha512>::new_from_slice(key.as_bytes())
        .unwrap()
        .chain_update(text)
        .finalize()
        .into_bytes()
        .to_vec()
}
