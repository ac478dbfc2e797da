//! What the fake saw and did, for tests to look at.

use std::collections::BTreeMap;

use audit_model::Timestamp;
use http::HeaderMap;

/// A request that came in, in full, secrets included.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Seen {
    /// When it came, by the fake's clock.
    pub at: Timestamp,
    /// The method, in upper case.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The parameters, from query and body; the first of each name.
    pub params: BTreeMap<String, String>,
    /// The header fields.
    pub headers: HeaderMap,
    /// The name of the user it is about, whether or not the fake knows them.
    pub user: Option<String>,
    /// The integration whose credentials it carries, once they were checked.
    pub integration: Option<String>,
    /// What became of its credentials.
    pub credentials: Credentials,
    /// Whether a [`Fault`](super::Fault) was applied to it.
    pub faulted: bool,
    /// The HTTP status of the answer; `None` while there is none, which may be for ever.
    pub status: Option<u16>,
}

/// What became of a request's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credentials {
    /// Nobody looked at them: the call needs none, or was not carried out.
    Unchecked,
    /// A right signature, version 2 with HMAC-SHA-1.
    V2Sha1,
    /// A right signature, version 2 with HMAC-SHA-512.
    V2Sha512,
    /// A right signature, version 4.
    V4,
    /// A right signature, version 5.
    V5,
    /// A right client assertion or signed request of the Universal Prompt.
    Jwt,
    /// Wrong, stale or missing.
    Refused,
}

/// What a user's devices did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rings {
    /// Pushes that were sent, those that failed on the way included.
    pub pushes: u32,
    /// Messages with passcodes.
    pub sms: u32,
    /// Telephone calls.
    pub calls: u32,
    /// Prompts in the browser.
    pub prompts: u32,
}
