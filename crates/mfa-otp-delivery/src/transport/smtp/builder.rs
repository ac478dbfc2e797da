//! How a mail server is reached.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use mfa_core::{FieldError, Runtime, SecretText};

use super::Smtp;
use super::connection::{Security, Server, SignIn};
use super::mail::Sender;
use super::pool::Pool;
use crate::Error;
use crate::address::{Domain, Email};
use crate::text::SiteName;

const CONNECTIONS: core::ops::RangeInclusive<usize> = 1..=100;
const DEFAULT_CONNECTIONS: usize = 8;

/// Sets up a [`Smtp`].
#[must_use]
pub struct SmtpBuilder {
    host: Host,
    port: u16,
    sign_in: Option<(String, SecretText)>,
    only_roots: Option<String>,
    connections: usize,
    sender_name: Option<SiteName>,
}

enum Host {
    Tls(String),
    StartTls(String),
    Plain(IpAddr),
}

impl SmtpBuilder {
    pub(super) fn tls(host: &str) -> Self {
        Self::new(Host::Tls(host.to_owned()), 465)
    }

    pub(super) fn starttls(host: &str) -> Self {
        Self::new(Host::StartTls(host.to_owned()), 587)
    }

    pub(super) const fn danger_plain(address: IpAddr) -> Self {
        Self::new(Host::Plain(address), 25)
    }

    const fn new(host: Host, port: u16) -> Self {
        Self {
            host,
            port,
            sign_in: None,
            only_roots: None,
            connections: DEFAULT_CONNECTIONS,
            sender_name: None,
        }
    }

    /// Connects to another port.
    pub const fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Signs in (RFC 4954) with `PLAIN` or `LOGIN`, whichever the server offers.
    pub fn sign_in(mut self, user: &str, password: SecretText) -> Self {
        self.sign_in = Some((user.to_owned(), password));
        self
    }

    /// Trusts these certificates, in PEM, and no others.
    pub fn only_roots(mut self, pem: impl Into<String>) -> Self {
        self.only_roots = Some(pem.into());
        self
    }

    /// Has at most this many connections at a time, 1 to 100; 8 without the call. More messages wait for one.
    pub const fn connections(mut self, most: usize) -> Self {
        self.connections = most;
        self
    }

    /// Puts a name before the address in `From`.
    pub fn sender_name(mut self, name: SiteName) -> Self {
        self.sender_name = Some(name);
        self
    }

    /// Checks the settings; connects to nothing yet. `from` is the sender, in `From` and in the envelope, and its
    /// domain is what we call ourselves.
    ///
    /// # Errors
    /// [`Error::Invalid`] of the fields `smtp.host`, `smtp.roots`, `smtp.connections` and `smtp.user`; [`Error::Tls`] if
    /// the operating system has no roots.
    pub fn build(self, from: Email, runtime: Arc<dyn Runtime>) -> Result<Smtp, Error> {
        let Self { host, port, sign_in, only_roots, connections, sender_name } = self;
        if !CONNECTIONS.contains(&connections) {
            return Err(FieldError::new("smtp.connections", "invalid", "must be 1 to 100").into());
        }
        let roots = only_roots.as_deref();
        let (host, security) = match host {
            Host::Tls(host) => {
                let tls = tls(&host, roots)?;
                (host, Security::Tls(tls))
            }
            Host::StartTls(host) => {
                let tls = tls(&host, roots)?;
                (host, Security::StartTls(tls))
            }
            Host::Plain(address) if address.is_loopback() => (address.to_string(), Security::Plain),
            Host::Plain(_) => {
                let problem = "must be a loopback address where there is no tls";
                return Err(FieldError::new("smtp.host", "invalid", problem).into());
            }
        };
        let sign_in = sign_in.map(|(user, password)| SignIn::new(user, password)).transpose()?;
        let hello = ClientId::Domain(from.domain().to_owned());
        let server = Server { host, port, security, sign_in, hello };
        Ok(Smtp { pool: Pool::new(server, connections), sender: Sender::new(from, sender_name)?, runtime })
    }
}

impl fmt::Debug for SmtpBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpBuilder").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Certificates are verified for `host`, a name or, for a server that has none, an address.
fn tls(host: &str, only_roots: Option<&str>) -> Result<TlsParameters, Error> {
    let is_name = host.eq_ignore_ascii_case("localhost") || Domain::parse(host).is_ok();
    if !is_name && host.parse::<IpAddr>().is_err() {
        let problem = "must be a host name or an IP address, without a port";
        return Err(FieldError::new("smtp.host", "invalid", problem).into());
    }
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = only_roots {
        let invalid = || FieldError::new("smtp.roots", "invalid", "must be certificates in pem");
        // `Certificate` takes text without any certificate as well.
        if !pem.contains("-----BEGIN CERTIFICATE-----") {
            return Err(invalid().into());
        }
        let roots = Certificate::from_pem(pem.as_bytes()).map_err(|_| invalid())?;
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(roots);
    }
    builder.build().map_err(|_| Error::Tls)
}
