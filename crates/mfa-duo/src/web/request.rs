//! What the page gets: the signed request.

use core::fmt;

use mfa_core::Timestamp;
use zeroize::Zeroizing;

use super::cookie::{APP, ENROLL_REQUEST, Fields, TX};
use super::{Duration, WebSdk};
use crate::Error;

impl WebSdk {
    /// Signs a request to authenticate `user`, for the page that shows Duo's frame.
    ///
    /// `user` is the name that Duo knows. It may hold a `:`, but no `|`.
    ///
    /// # Errors
    /// [`Error::UserName`] if it is empty or holds a `|`. [`official_error`] has the SDKs' words for it.
    pub fn sign_request(&self, user: &str, now: Timestamp) -> Result<SigRequest, Error> {
        Ok(self.sign(TX, check_user(user)?, now))
    }

    /// Signs a request to enrol `user`, as the Python SDK does.
    ///
    /// # Errors
    /// [`Error::UserName`] if it is empty or holds a `|`.
    pub fn sign_enroll_request(&self, user: &str, now: Timestamp) -> Result<SigRequest, Error> {
        Ok(self.sign(ENROLL_REQUEST, check_user(user)?, now))
    }

    /// Signs for a name that [`check_user`] has let pass.
    pub(super) fn sign_checked(&self, user: &str, now: Timestamp) -> SigRequest {
        self.sign(TX, user, now)
    }

    fn sign(&self, prefix: &str, user: &str, now: Timestamp) -> SigRequest {
        let expiry = |lifetime: Duration| now.unix_seconds().saturating_add(lifetime.as_secs());
        let mut fields = Fields::new(user, &self.ikey);
        // invariant: enough for two cookies, so the buffer never moves: base64 makes four bytes of three.
        let capacity = user.len().saturating_mul(3).saturating_add(256);
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        fields.append(&mut text, self.skey.expose_secret(), prefix, expiry(self.duo_expire));
        let colon = text.len();
        text.push(':');
        fields.append(&mut text, self.akey.expose_secret(), APP, expiry(self.app_expire));
        SigRequest { text, colon }
    }
}

/// Refuses a name that cannot stand in a cookie.
pub(super) fn check_user(user: &str) -> Result<&str, Error> {
    if user.is_empty() || user.contains('|') { Err(Error::UserName) } else { Ok(user) }
}

/// A signed request: Duo's half, a colon, and our `APP` half. Redacted in `Debug`, wiped when dropped.
#[derive(Clone)]
pub struct SigRequest {
    text: Zeroizing<String>,
    /// invariant: where the only colon of `text` is; base64, hex and the prefixes have none.
    colon: usize,
}

impl SigRequest {
    /// Takes a request that was signed before, such as one kept in the user's session. Its MACs are not checked.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it has not exactly one colon, or is one of the texts of [`official_error`].
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text.split_once(':') {
            Some((duo, app)) if !app.contains(':') && !duo.starts_with("ERR|") => {
                Ok(Self { text: Zeroizing::new(text.to_owned()), colon: duo.len() })
            }
            _ => Err(Error::Parameter {
                name: "sig_request",
                reason: "must be two cookies with a colon between",
            }),
        }
    }

    /// Returns the whole, the SDKs' `sig_request`: it goes into the page of the user it was made for.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.text
    }

    /// Returns the half that Duo's frame gets (`TX|…` or `ENROLL_REQUEST|…`).
    #[must_use]
    pub fn duo_half(&self) -> &str {
        self.text.get(..self.colon).unwrap_or_default()
    }

    /// Returns the half that must come back (`APP|…`): keep it for [`WebSdk::verify_issued`].
    #[must_use]
    pub fn app_half(&self) -> &str {
        self.text.get(self.colon.saturating_add(1)..).unwrap_or_default()
    }
}

impl fmt::Debug for SigRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigRequest([redacted])")
    }
}

/// Returns the text that Duo's SDKs return in place of a signed request, such as
/// `ERR|The username passed to sign_request() is invalid.` The page's script shows what follows the `|`.
///
/// The SDKs check the user first, then the integration key, the secret key and the application key.
///
/// ```
/// use mfa_duo::SecretKey;
/// use mfa_duo::web::official_error;
///
/// let error = SecretKey::parse("deadbeef").unwrap_err();
/// assert_eq!(official_error(&error), "ERR|The Duo secret key passed to sign_request() is invalid.");
/// ```
#[must_use]
pub const fn official_error(error: &Error) -> &'static str {
    match error {
        Error::UserName => "ERR|The username passed to sign_request() is invalid.",
        Error::IntegrationKey => "ERR|The Duo integration key passed to sign_request() is invalid.",
        Error::SecretKey => "ERR|The Duo secret key passed to sign_request() is invalid.",
        Error::ApplicationKey => {
            "ERR|The application secret key passed to sign_request() must be at least 40 characters."
        }
        _ => "ERR|An unknown error has occurred.",
    }
}
