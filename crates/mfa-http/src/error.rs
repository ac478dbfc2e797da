//! Why a client could not be built.

use thiserror::Error;

use crate::builder::MAX_BODY_BYTES;

/// Which setting of a [`ClientBuilder`](crate::ClientBuilder) was refused. No variant carries the value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The proxy is no URL `http://host[:port]` or `https://host[:port]`, with or without user and password.
    #[error("proxy is not a url of the form http://host:port or https://host:port")]
    InvalidProxy,
    /// `extra_roots` or `only_roots` holds no certificate in PEM (RFC 7468 §5), or a malformed one.
    #[error("{setting} is not a list of certificates in pem")]
    InvalidRoots {
        /// The setting.
        setting: &'static str,
    },
    /// Both `extra_roots` and `only_roots` were given.
    #[error("extra_roots and only_roots exclude each other: put all certificates into only_roots")]
    ConflictingRoots,
    /// The operating system has no certificates.
    #[error("the operating system has no root certificates: install them or give some with only_roots")]
    NoSystemRoots,
    /// An authority for `allow_private` is not of the form `host:port`.
    #[error("allow_private takes an authority of the form host:port, with an ipv6 address in brackets")]
    InvalidAuthority,
    /// The limit of the body is out of its range.
    #[error("max_body_bytes is not within 1 to {MAX_BODY_BYTES}")]
    InvalidBodyLimit,
    /// The client could not be set up.
    #[error("the http client could not be set up")]
    Setup(#[source] Box<dyn core::error::Error + Send + Sync>),
}

impl Error {
    /// Returns a stable code: `http_` and what is wrong.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidProxy => "http_proxy_invalid",
            Self::InvalidRoots { .. } => "http_roots_invalid",
            Self::ConflictingRoots => "http_roots_conflict",
            Self::NoSystemRoots => "http_no_system_roots",
            Self::InvalidAuthority => "http_authority_invalid",
            Self::InvalidBodyLimit => "http_body_limit_invalid",
            Self::Setup(_) => "http_setup",
        }
    }
}
