//! What the browser posts back, and whether it proves anything.

use core::fmt;

use mfa_core::Timestamp;
use subtle::ConstantTimeEq;

use super::WebSdk;
use super::cookie::{APP, AUTH, Cookie, ENROLL, MAC_BYTES};

/// The longest reply that is looked at, in bytes.
const MAX_RESPONSE_BYTES: usize = 4096;
/// The longest text of a [`Refusal::DuoError`], in bytes.
const MAX_ERROR_BYTES: usize = 200;

impl WebSdk {
    /// Verifies a reply and returns whom it is about.
    ///
    /// # Errors
    /// [`Refusal`]; every reason counts as a failed second step.
    ///
    /// # Security
    /// The result says that *some* user of this integration passed. A caller that does not compare the name lets
    /// anyone with an approval of his own finish somebody else's login: take
    /// [`verify_issued`](Self::verify_issued) or [`verify_response_for`](Self::verify_response_for).
    pub fn verify_response(&self, response: &str, now: Timestamp) -> Result<Verified, Refusal> {
        self.verify(AUTH, response, now)
    }

    /// Verifies a reply about `expected_user`, compared byte by byte.
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::WrongUser`] if it is about somebody else.
    pub fn verify_response_for(
        &self,
        response: &str,
        expected_user: &str,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let verified = self.verify_response(response, now)?;
        if verified.user == expected_user { Ok(verified) } else { Err(Refusal::WrongUser) }
    }

    /// Verifies the reply to one certain request: about `expected_user`, and with exactly the `APP` half that
    /// [`SigRequest::app_half`](super::SigRequest::app_half) gave, so that a reply of another login is refused.
    ///
    /// # Errors
    /// [`Refusal`]; [`Refusal::NotIssued`] if the `APP` half is another one.
    pub fn verify_issued(
        &self,
        response: &str,
        issued_app_half: &str,
        expected_user: &str,
        now: Timestamp,
    ) -> Result<Verified, Refusal> {
        let (_, app) = halves(response)?;
        if !bool::from(app.as_bytes().ct_eq(issued_app_half.as_bytes())) {
            return Err(Refusal::NotIssued);
        }
        self.verify_response_for(response, expected_user, now)
    }

    /// Verifies a reply to [`sign_enroll_request`](Self::sign_enroll_request) and returns whom it is about.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_enroll_response(&self, response: &str, now: Timestamp) -> Result<Verified, Refusal> {
        self.verify(ENROLL, response, now)
    }

    fn verify(&self, prefix: &str, response: &str, now: Timestamp) -> Result<Verified, Refusal> {
        let (duo, app) = halves(response)?;
        let duo = Cookie::open(duo, self.skey.expose_secret(), prefix, &self.ikey)?;
        let app = Cookie::open(app, self.akey.expose_secret(), APP, &self.ikey)?;
        for cookie in [&duo, &app] {
            if self.expiry.is_over(now.unix_seconds(), cookie.expiry) {
                return Err(Refusal::Expired);
            }
        }
        if duo.user() != app.user() {
            return Err(Refusal::WrongUser);
        }
        let expires_at = Timestamp::from_unix_seconds(duo.expiry).unwrap_or(Timestamp::MAX);
        Ok(Verified { auth_mac: duo.mac, expires_at, user: duo.into_user() })
    }
}

/// A verified reply.
#[derive(Clone)]
pub struct Verified {
    user: String,
    auth_mac: [u8; MAC_BYTES],
    expires_at: Timestamp,
}

impl Verified {
    /// Returns whom the reply is about.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the MAC of Duo's half, 20 bytes: the same for each use of the same reply. Keep it until
    /// [`expires_at`](Self::expires_at) and refuse it a second time.
    #[must_use]
    pub const fn auth_mac(&self) -> &[u8; MAC_BYTES] {
        &self.auth_mac
    }

    /// Returns the second that Duo's half names as its expiry.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Verified");
        shown.field("user", &self.user).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Why a reply proves nothing.
///
/// For the host's log and its tests; a user sees one text for all but [`DuoError`](Self::DuoError).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It is not two cookies of three parts and three fields, or longer than 4096 bytes.
    #[error("the reply is malformed")]
    Malformed,
    /// A MAC is wrong.
    #[error("the signature is wrong")]
    BadSignature,
    /// A cookie was signed for something else.
    #[error("a cookie has the wrong prefix")]
    WrongPrefix,
    /// A cookie names another integration key.
    #[error("a cookie is of another integration")]
    WrongIntegration,
    /// A cookie is over.
    #[error("the reply is expired")]
    Expired,
    /// The two halves are about different users, or about another one than expected.
    #[error("the reply is about another user")]
    WrongUser,
    /// The `APP` half is not the one that was issued.
    #[error("the reply is to another request")]
    NotIssued,
    /// Duo's frame reported an error in place of a reply.
    #[error("duo's frame reported an error")]
    DuoError {
        /// Duo's text: at most 200 letters, digits, blanks, `_`, `.`, `(` and `)`. It came through the browser.
        text: String,
    },
}

impl Refusal {
    /// Returns the reason's stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::BadSignature => "bad_signature",
            Self::WrongPrefix => "wrong_prefix",
            Self::WrongIntegration => "wrong_integration",
            Self::Expired => "expired",
            Self::WrongUser => "wrong_user",
            Self::NotIssued => "not_issued",
            Self::DuoError { .. } => "duo_error",
        }
    }
}

/// Tells a reply from an error in the posted field `sig_response` (`Duo-Web-v2.js`): returns what can be
/// verified. The verifying calls do this themselves.
///
/// ```
/// use mfa_duo::web::{Refusal, parse_post};
///
/// assert_eq!(parse_post("AUTH|…:APP|…")?, "AUTH|…:APP|…");
/// let refusal = parse_post("ERR|Access denied.:APP|…").unwrap_err();
/// assert_eq!(refusal, Refusal::DuoError { text: "Access denied.".into() });
/// # Ok::<(), Refusal>(())
/// ```
///
/// # Errors
/// [`Refusal::DuoError`] if it begins with `ERR|`, [`Refusal::Malformed`] if it is longer than 4096 bytes.
pub fn parse_post(posted: &str) -> Result<&str, Refusal> {
    if posted.len() > MAX_RESPONSE_BYTES {
        return Err(Refusal::Malformed);
    }
    let Some(error) = posted.strip_prefix("ERR|") else { return Ok(posted) };
    // The script appends a colon and the `APP` half. The text has no colon, and no character outside this set:
    // what has one was not written by Duo, and is left out of what will be logged.
    let text = error.split(':').next().unwrap_or_default();
    let legal = |c: &char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '_' | '.' | '(' | ')');
    Err(Refusal::DuoError { text: text.chars().filter(legal).take(MAX_ERROR_BYTES).collect() })
}

/// Splits into exactly two halves.
fn halves(response: &str) -> Result<(&str, &str), Refusal> {
    let mut halves = parse_post(response)?.split(':');
    match (halves.next(), halves.next(), halves.next()) {
        (Some(duo), Some(app), None) => Ok((duo, app)),
        _ => Err(Refusal::Malformed),
    }
}
