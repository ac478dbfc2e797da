//! Building a client.

use core::fmt;
use core::time::Duration;
use std::env;
use std::sync::Arc;

use reqwest::{NoProxy, Proxy};
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use url::Url;

use crate::destination::Rules;
use crate::resolve::{Filtered, Reach, SystemResolver};
use crate::{Client, Error, Resolver};

/// The most bytes of a body.
pub(crate) const MAX_BODY_BYTES: usize = 1024 * 1024;
const MAX_HEADERS: usize = 100;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept: longer than the pause between two polls.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What a [`Client`] is built from. Its `Debug` shows no certificate and no proxy, which may have a password.
pub struct ClientBuilder {
    proxy: ProxySetting,
    extra_roots: Vec<Vec<u8>>,
    only_roots: Option<Vec<u8>>,
    allowed: Vec<String>,
    resolver: Arc<dyn Resolver>,
    connect_timeout: Duration,
    max_body_bytes: usize,
}

enum ProxySetting {
    None,
    Url(String),
    Environment,
}

impl ClientBuilder {
    /// Sends every request to a public destination through the proxy at `url`: `http://` or `https://`, with user
    /// and password where it asks for them. The proxy may be anywhere; it sees the name of a destination and no
    /// more (`CONNECT`, RFC 9110 §9.3.6). **Names are resolved by the proxy**, so it is the proxy that must refuse
    /// addresses that are not public.
    #[must_use]
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.proxy = ProxySetting::Url(url.into());
        self
    }

    /// Takes the proxy from the environment as it is when the client is built: the first of `HTTPS_PROXY`,
    /// `https_proxy`, `ALL_PROXY` and `all_proxy` that is set and not empty, but not for the hosts in `NO_PROXY`.
    #[must_use]
    pub fn proxy_from_environment(mut self) -> Self {
        self.proxy = ProxySetting::Environment;
        self
    }

    /// Trusts these roots (certificates in PEM, RFC 7468 §5) besides those of the operating system.
    #[must_use]
    pub fn extra_roots(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.extra_roots.push(pem.as_ref().to_vec());
        self
    }

    /// Trusts these roots (certificates in PEM, RFC 7468 §5) and no others.
    #[must_use]
    pub fn only_roots(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.only_roots = Some(pem.as_ref().to_vec());
        self
    }

    /// Allows one authority, exactly `host:port`, although it is not public, for tests and development. Its
    /// certificate is verified as any other; if the host is a loopback address or `localhost`, plain `http` is
    /// allowed too. Such requests use no proxy. An engine lists it among its dangers as `danger_allow_private`.
    #[must_use]
    pub fn allow_private(mut self, authority: impl Into<String>) -> Self {
        self.allowed.push(authority.into());
        self
    }

    /// Resolves names with `resolver` instead of the operating system. What it answers is filtered all the same.
    #[must_use]
    pub fn resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Limits connecting, the handshake included; 5 seconds if not set.
    #[must_use]
    pub const fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// Limits the bytes of an answer's body; 1 MiB if not set, which is also the most.
    #[must_use]
    pub const fn max_body_bytes(mut self, limit: usize) -> Self {
        self.max_body_bytes = limit;
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`Error`] names the setting that was refused; `NoSystemRoots` if there are no roots to trust.
    pub fn build(self) -> Result<Client, Error> {
        if !(1..=MAX_BODY_BYTES).contains(&self.max_body_bytes) {
            return Err(Error::InvalidBodyLimit);
        }
        let mut rules = Rules::default();
        for authority in &self.allowed {
            rules.allow(authority)?;
        }
        let proxy = self.proxy.resolve()?;
        rules.proxy_host = proxy.as_ref().map(|(_, host)| host.clone());
        let tls = self.tls()?;

        let allowed =
            rules.allows_any().then(|| self.client(tls.clone(), Reach::Allowed, None)).transpose()?;
        let reach = Reach::Public { proxy_host: rules.proxy_host.clone() };
        let public = self.client(tls, reach, proxy.map(|(proxy, _)| proxy))?;
        Ok(Client { public, allowed, rules, max_body_bytes: self.max_body_bytes })
    }

    fn client(
        &self,
        tls: ClientConfig,
        reach: Reach,
        proxy: Option<Proxy>,
    ) -> Result<reqwest::Client, Error> {
        let https_only = matches!(reach, Reach::Public { .. });
        let resolver = Filtered { resolver: Arc::clone(&self.resolver), reach: Arc::new(reach) };
        // Without this call the environment is asked.
        let mut builder = reqwest::Client::builder().no_proxy();
        if let Some(proxy) = proxy {
            builder = builder.proxy(proxy);
        }
        builder
            .tls_backend_preconfigured(tls)
            .https_only(https_only)
            .dns_resolver(resolver)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .http1_only()
            .http1_max_headers(MAX_HEADERS)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build()
            .map_err(|error| Error::Setup(error.without_url().into()))
    }

    fn tls(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::Setup(error.into()))?;
        let Some(pem) = &self.only_roots else {
            // "Dangerous" is a verifier of one's own; this is the operating system's.
            let verifier = self.system_roots(provider)?;
            return Ok(config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth());
        };
        if !self.extra_roots.is_empty() {
            return Err(Error::ConflictingRoots);
        }
        let mut roots = RootCertStore::empty();
        for certificate in certificates("only_roots", pem)? {
            roots.add(certificate).map_err(|_| Error::InvalidRoots { setting: "only_roots" })?;
        }
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    fn system_roots(&self, provider: Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
        let mut extra = Vec::new();
        for pem in &self.extra_roots {
            extra.extend(certificates("extra_roots", pem)?);
        }
        let refused = if extra.is_empty() {
            Error::NoSystemRoots
        } else {
            Error::InvalidRoots { setting: "extra_roots" }
        };
        let verifier = Verifier::new_with_extra_roots(extra, provider).map_err(|_| refused)?;
        Ok(Arc::new(verifier))
    }
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            proxy: ProxySetting::None,
            extra_roots: Vec::new(),
            only_roots: None,
            allowed: Vec::new(),
            resolver: Arc::new(SystemResolver),
            connect_timeout: CONNECT_TIMEOUT,
            max_body_bytes: MAX_BODY_BYTES,
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("allowed", &self.allowed)
            .field("resolver", &self.resolver)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

impl ProxySetting {
    /// Returns the proxy and its host.
    fn resolve(&self) -> Result<Option<(Proxy, String)>, Error> {
        match self {
            Self::None => Ok(None),
            Self::Url(url) => parse_proxy(url).map(Some),
            Self::Environment => {
                let url = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
                    .into_iter()
                    .filter_map(|name| env::var(name).ok())
                    .find(|url| !url.is_empty());
                let Some(url) = url else { return Ok(None) };
                let (proxy, host) = parse_proxy(&url)?;
                Ok(Some((proxy.no_proxy(NoProxy::from_env()), host)))
            }
        }
    }
}

fn parse_proxy(url: &str) -> Result<(Proxy, String), Error> {
    let url = Url::parse(url).map_err(|_| Error::InvalidProxy)?;
    let host = url.host_str().ok_or(Error::InvalidProxy)?.to_owned();
    let plain = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !plain {
        return Err(Error::InvalidProxy);
    }
    Ok((Proxy::https(url).map_err(|_| Error::InvalidProxy)?, host))
}

fn certificates(setting: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    read.ok().filter(|read| !read.is_empty()).ok_or(Error::InvalidRoots { setting })
}
