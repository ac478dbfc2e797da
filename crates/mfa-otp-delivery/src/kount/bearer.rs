//! Who may poll.

use thiserror::Error;

/// Takes the token of a request's `Authorization` header (RFC 6750 §2.1) and has the host check it: a poll is answered
/// to nobody else. What `verify` returns is who asks, by the host's own reading of the token; Kount's is a JWT
/// (RFC 7519), of which signature, audience and `exp` are the host's to check, by a library of its choice.
///
/// The token is a secret. Ask this before anything else of the request, and the engine's `status` only afterwards, for
/// the account that the token is of.
///
/// ```
/// use mfa_otp_delivery::kount::{Unauthenticated, authenticate};
/// let verify = |token: &str| (token == "good.for.now").then_some("acme");
/// assert_eq!(authenticate(Some("Bearer good.for.now"), verify), Ok("acme"));
/// assert_eq!(authenticate(Some("Bearer gone.since.then"), verify), Err(Unauthenticated::Refused));
/// assert_eq!(authenticate(None, verify), Err(Unauthenticated::Missing));
/// ```
///
/// # Errors
/// [`Unauthenticated`]: answer with 401 and [`Unauthenticated::www_authenticate`].
pub fn authenticate<T>(
    authorization: Option<&str>,
    verify: impl FnOnce(&str) -> Option<T>,
) -> Result<T, Unauthenticated> {
    let (scheme, token) = authorization.and_then(|text| text.split_once(' ')).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Unauthenticated::Missing);
    }
    let token = token.trim_start_matches(' ');
    if !is_b64token(token) {
        return Err(Unauthenticated::Refused);
    }
    verify(token).ok_or(Unauthenticated::Refused)
}

/// Nobody who may poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unauthenticated {
    /// There is no header, or none of this scheme.
    #[error("the request has no bearer token")]
    Missing,
    /// The token is malformed, or the host does not take it, or not any more.
    #[error("the bearer token is not accepted")]
    Refused,
}

impl Unauthenticated {
    /// Returns the stable name: `unauthenticated`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        "unauthenticated"
    }

    /// Returns the answer's `WWW-Authenticate` header (RFC 6750 §3): an error only for a token that was shown.
    #[must_use]
    pub const fn www_authenticate(self) -> &'static str {
        match self {
            Self::Missing => "Bearer",
            Self::Refused => "Bearer error=\"invalid_token\"",
        }
    }
}

/// Returns whether a text has the form that RFC 6750 §2.1 gives to tokens.
fn is_b64token(text: &str) -> bool {
    let unpadded = text.trim_end_matches('=');
    let is_of_it = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
    !unpadded.is_empty() && unpadded.bytes().all(is_of_it)
}
