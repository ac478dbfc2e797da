//! Kount's wire forms, for hosts whose callers speak them: the body of a login, its answer, and the status that a page
//! polls. Nothing here serves HTTP or keeps anything; the second step itself is the engine's.
//!
//! | step | what the host calls |
//! |---|---|
//! | the body comes in | [`LoginRequest::parse`]; the host checks the password and decides |
//! | the gates | [`Client::flags`], then [`select`](crate::select::select) over [`LoginRequest::reachable`] |
//! | a gate is closed | [`LoginResponse::without`]: the decision stands, and no `mfaId` is in the answer |
//! | all are open | the engine's `begin` with the method of the chosen medium, then [`LoginResponse::with_challenge`] |
//! | the page polls, every [`POLL_EVERY`] | [`authenticate`], the engine's `status`, then [`StatusBody::of`] |
//! | the link was confirmed | the engine's `claim` with the reference, once |
//!
//! **Addresses of a request are a claim.** They choose between e-mail and SMS and go no further: a message leaves for
//! the address that the user has set up, or not at all (security rule S10).
//!
//! **Words.** Of the status words of Kount's Secure MFA only `FAILED_TO_SEND` and `SUCCESS` are documented; a host that
//! speaks to code of its own says which words that expects for the rest, [`Dialect::SecureMfa`].

mod bearer;
mod login;
mod status;
mod switches;

use core::time::Duration;

use mfa_core::FieldError;
use serde_json::{Map, Value};

pub use self::bearer::{Unauthenticated, authenticate};
pub use self::login::{LoginRequest, LoginResponse};
pub use self::status::{Dialect, MfaStatus, StatusBody, TimeFormat};
pub use self::switches::{Client, Profile};

/// How often a page asks for the status. Asking more often changes nothing.
pub const POLL_EVERY: Duration = Duration::from_secs(5);

/// The `X-Correlation-ID` of a request: a GUID, which the answer repeats.
///
/// ```
/// use mfa_otp_delivery::kount::CorrelationId;
/// let id = CorrelationId::parse(Some("fd4c7ace-f409-42cc-bd94-e716a1a53a09"))?;
/// assert_eq!(id.as_str(), "fd4c7ace-f409-42cc-bd94-e716a1a53a09");
/// assert_eq!(CorrelationId::parse(None).unwrap_err().code, "required");
/// assert_eq!(CorrelationId::parse(Some("1")).unwrap_err().code, "invalid");
/// # Ok::<(), mfa_core::FieldError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrelationId(String);

impl CorrelationId {
    /// Takes the header's value.
    ///
    /// # Errors
    /// [`FieldError`] of the field `correlationId`: `required` without a header, `invalid` for what is no GUID.
    pub fn parse(header: Option<&str>) -> Result<Self, FieldError> {
        let text = header.ok_or_else(|| FieldError::new("correlationId", "required", "is missing"))?;
        let groups: Vec<_> = text.split('-').map(str::len).collect();
        let is_guid = groups == [8, 4, 4, 4, 12] && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
        if !is_guid {
            return Err(FieldError::new("correlationId", "invalid", "must be a GUID"));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Reads the members of an object.
struct Members<'a>(&'a Map<String, Value>);

impl<'a> Members<'a> {
    fn of(value: &'a Value) -> Result<Self, FieldError> {
        value.as_object().map(Self).ok_or_else(|| FieldError::new("body", "type", "must be an object"))
    }

    /// Returns a text, by the first of its names that is there; absent and `null` are the same.
    fn text(&self, names: &[&'static str]) -> Result<Option<&'a str>, FieldError> {
        let found = names.iter().find_map(|name| Some((name, self.0.get(*name).filter(|v| !v.is_null())?)));
        let Some((name, value)) = found else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| FieldError::new(*name, "type", "must be a string"))
    }

    fn required(&self, name: &'static str) -> Result<&'a str, FieldError> {
        self.text(&[name])?.ok_or_else(|| FieldError::new(name, "required", "is missing"))
    }
}
