//! Whom an enrolment means at a provider's service.

use core::fmt;

use sha2::{Digest, Sha256};

use crate::codec::tuple;

/// Whom an enrolment means at a provider's service: equal where the service takes two enrolments for the same user of
/// its own. One user of all accounts at most has a given one ([`Provider::identity`](super::Provider::identity)).
///
/// Whoever sets such an enrolment up by themselves does so under settings of their own account's: the accounts choose
/// who a user is at the service, unless [the host does](Self::given_by_host). And the service has been asked under those
/// settings, unless [it has not](Self::unasked).
///
/// It is a SHA-256 over its parts, each behind its length, and is kept sealed: what it was made of may be guessed.
/// Whether two are equal says nothing of how they were made.
///
/// ```
/// use mfa_core::Identity;
/// let at = |service: &str, name: &str| Identity::new(&[service, name]);
/// assert_eq!(at("api.example", "bob"), at("api.example", "bob"));
/// assert_ne!(at("api.example", "bob"), at("api.exampleb", "ob"));
/// assert_eq!(format!("{:?}", at("api.example", "bob")), "Identity");
/// ```
#[derive(Clone, Copy)]
pub struct Identity {
    bytes: [u8; 32],
    is_given_by_host: bool,
    is_asked: bool,
}

impl Identity {
    /// Makes one of what tells it from all others: the service, and the user's name as the service reads it. Other
    /// parts, in number or place, are another identity.
    #[must_use]
    pub fn new(parts: &[&str]) -> Self {
        let parts: Vec<_> = parts.iter().map(|part| part.as_bytes()).collect();
        Self::from_bytes(Sha256::digest(tuple(&parts)).into())
    }

    /// Says that the host decides who a user is at the service, and no account does. A set-up through settings that
    /// several accounts share, those in the host's code included, then needs no administrator.
    #[must_use]
    pub const fn given_by_host(mut self) -> Self {
        self.is_given_by_host = true;
        self
    }

    /// Says that under these settings the service is not asked: whoever wrote them makes its answers, and would keep the
    /// service's users from what is theirs. A set-up then counts under the host's settings alone, those in its code and
    /// those of the system, whoever asks for it.
    #[must_use]
    pub const fn unasked(mut self) -> Self {
        self.is_asked = false;
        self
    }

    pub(crate) const fn is_given_by_host(&self) -> bool {
        self.is_given_by_host
    }

    pub(crate) const fn is_asked(&self) -> bool {
        self.is_asked
    }

    pub(crate) const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self { bytes, is_given_by_host: false, is_asked: true }
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}
