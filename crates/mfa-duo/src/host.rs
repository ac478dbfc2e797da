//! The host that requests go to.

use std::collections::BTreeSet;

use crate::Error;

/// What Duo's hosts end in (security rule S7).
const SUFFIXES: [&str; 2] = [".duosecurity.com", ".duofederal.com"];
/// RFC 1035 §2.3.4.
const MAX_HOST_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// A bare host name of Duo, such as `api-1b9e2f0c.duosecurity.com`.
///
/// It is a name under `duosecurity.com` or `duofederal.com`, without scheme, user, port, path or final dot, so
/// that whoever may edit a provider document cannot send signed requests elsewhere. Host code can allow more
/// with [`ApiHosts`].
///
/// ```
/// use mfa_duo::ApiHost;
///
/// let host = ApiHost::parse("api-XXXXXXXX.duosecurity.com")?;
/// assert_eq!(host.host(), "api-xxxxxxxx.duosecurity.com");
/// assert_eq!(host.authority(), "api-XXXXXXXX.duosecurity.com");
///
/// let error = ApiHost::parse("api-xxxxxxxx.duosecurity.com.evil.io").unwrap_err();
/// assert_eq!(error.to_string(), "api host must end in .duosecurity.com or .duofederal.com");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiHost {
    /// invariant: `host` or `host:port`, nothing that has another meaning in a URL.
    authority: String,
    /// invariant: the host of `authority`, in lower case.
    host: String,
}

impl ApiHost {
    /// Takes the name of one of Duo's own hosts, in any case.
    ///
    /// # Errors
    /// [`Error::ApiHost`] for everything else.
    pub fn parse(text: &str) -> Result<Self, Error> {
        check_name(text)?;
        let host = text.to_ascii_lowercase();
        if SUFFIXES.iter().any(|suffix| host.strip_suffix(suffix).is_some_and(|rest| !rest.is_empty())) {
            Ok(Self { authority: text.to_owned(), host })
        } else {
            Err(Error::ApiHost { reason: "must end in .duosecurity.com or .duofederal.com" })
        }
    }

    /// Returns the host without a port, in lower case, as it is signed.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host and, where host code allowed one, `:port`, as it was written: so it stands in URLs and
    /// in the claims of the Universal Prompt, which Duo's SDKs copy from their configuration.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

/// Names are compared without regard to case (RFC 4343).
impl PartialEq for ApiHost {
    fn eq(&self, other: &Self) -> bool {
        self.authority.eq_ignore_ascii_case(&other.authority)
    }
}

impl Eq for ApiHost {}

/// Which hosts are allowed: Duo's, and those that host code names.
///
/// Only host code makes such a value. A document that a tenant can write must never reach
/// [`also`](Self::also): whoever is named there gets signed requests, and decides logins.
///
/// ```
/// use mfa_duo::ApiHosts;
///
/// let hosts = ApiHosts::duo().also("127.0.0.1:8443")?;
/// assert_eq!(hosts.parse("127.0.0.1:8443")?.host(), "127.0.0.1");
/// assert!(hosts.parse("api-xxxxxxxx.duosecurity.com").is_ok());
/// assert!(hosts.parse("127.0.0.1:8444").is_err());
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ApiHosts {
    also: BTreeSet<String>,
}

impl ApiHosts {
    /// Duo's hosts and no other.
    #[must_use]
    pub fn duo() -> Self {
        Self::default()
    }

    /// Allows `authority`, a name or address in `host` or `host:port` form (IPv6 in brackets), for a test
    /// server or one that speaks Duo's protocol. It matches exactly, apart from case. An engine lists it among its
    /// dangers as `danger_other_duo_hosts`.
    ///
    /// # Errors
    /// [`Error::ApiHost`] if it is not of that form.
    pub fn also(mut self, authority: &str) -> Result<Self, Error> {
        split_authority(authority)?;
        self.also.insert(authority.to_ascii_lowercase());
        Ok(self)
    }

    pub(crate) fn are_duos_alone(&self) -> bool {
        self.also.is_empty()
    }

    /// Takes a host that is Duo's or one of those allowed.
    ///
    /// # Errors
    /// [`Error::ApiHost`] for everything else.
    pub fn parse(&self, text: &str) -> Result<ApiHost, Error> {
        if self.also.contains(&text.to_ascii_lowercase()) {
            let host = split_authority(text)?.to_ascii_lowercase();
            return Ok(ApiHost { authority: text.to_owned(), host });
        }
        ApiHost::parse(text)
    }
}

/// Refuses what is not a dotted name of letters, digits and dashes.
fn check_name(text: &str) -> Result<(), Error> {
    let refused = |reason| Err(Error::ApiHost { reason });
    if text.is_empty() {
        return refused("is empty");
    }
    if text.len() > MAX_HOST_BYTES {
        return refused("is longer than 253 bytes");
    }
    if text.bytes().any(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'.')) {
        return refused("must be a bare host name, without scheme, user, port or path");
    }
    for label in text.split('.') {
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || label.starts_with('-') || label.ends_with('-')
        {
            return refused("has a label that is empty, longer than 63 bytes, or begins or ends with a dash");
        }
    }
    Ok(())
}

/// Returns the host of `host` or `host:port`.
fn split_authority(text: &str) -> Result<&str, Error> {
    let refused = Err(Error::ApiHost { reason: "must be allowed as host or host:port" });
    let after_bracket = if text.starts_with('[') { text.find(']').unwrap_or(text.len()) } else { 0 };
    let colon =
        text.get(after_bracket..).and_then(|rest| rest.find(':')).map(|at| after_bracket.saturating_add(at));
    let (host, port) = match colon {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at.saturating_add(1)..)),
        None => (text, None),
    };
    if port.is_some_and(|port| !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err()) {
        return refused;
    }
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) if address.parse::<core::net::Ipv6Addr>().is_ok() => Ok(host),
        Some(_) => refused,
        None => check_name(host).map(|()| host),
    }
}
