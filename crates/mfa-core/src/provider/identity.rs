//! Whom an enrolment means at a provider's service.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::codec::tuple;

/// Whom an enrolment means at a provider's service: equal where the service takes two enrolments for the same user of
/// its own. One user of all accounts at most has a given one ([`Provider::identity`](super::Provider::identity)).
///
/// It is a SHA-256 over its parts, each behind its length, and is kept sealed: what it was made of may be guessed.
///
/// ```
/// use mfa_core::Identity;
/// let at = |service: &str, name: &str| Identity::new(&[service, name]);
/// assert_eq!(at("api.example", "bob"), at("api.example", "bob"));
/// assert_ne!(at("api.example", "bob"), at("api.exampleb", "ob"));
/// assert_eq!(format!("{:?}", at("api.example", "bob")), "Identity");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity([u8; 32]);

impl Identity {
    /// Makes one of what tells it from all others: the service, and the user's name as the service reads it. Other
    /// parts, in number or place, are another identity.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Self(Sha256::digest(tuple(&parts)).into())
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
