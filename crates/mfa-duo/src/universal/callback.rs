//! The browser comes back.

use core::fmt;

use mfa_core::SecretText;

use super::authorize::check_random;
use super::{OAuthError, form};
use crate::Error;

const MAX_CODE_BYTES: usize = 1024;

/// What the browser brought back: the state, and either a code or an error. Nothing of it is proven yet.
#[derive(Clone)]
pub struct Callback {
    pub(super) state: SecretText,
    pub(super) answer: Result<AuthorizationCode, OAuthError>,
}

impl Callback {
    /// Reads the query of the request to the redirect URI, such as `state=…&duo_code=…`.
    ///
    /// ```
    /// use mfa_duo::universal::Callback;
    ///
    /// assert!(Callback::parse("state=deadbeefdeadbeef&duo_code=9b1f").is_ok());
    /// assert!(Callback::parse("?error=access_denied&state=deadbeefdeadbeef").is_ok());
    /// let error = Callback::parse("state=deadbeefdeadbeef&duo_code=1&duo_code=2").unwrap_err();
    /// assert_eq!(error.to_string(), "duo_code is given twice");
    /// ```
    ///
    /// # Errors
    /// [`Error::Parameter`] names what is wrong: `query` if it is longer than 4,096 bytes, has more than 16
    /// parameters or is not percent-encoded UTF-8; `state`, `duo_code`, `error` or `error_description` if it is given
    /// twice, is missing, or breaks the rules of [`with_code`](Self::with_code). Other parameters are ignored.
    pub fn parse(query: &str) -> Result<Self, Error> {
        let mut found: [(&str, Option<String>); 4] =
            [("state", None), ("duo_code", None), ("error", None), ("error_description", None)];
        for (name, value) in form::decode(query.strip_prefix('?').unwrap_or(query))? {
            let Some((name, place)) = found.iter_mut().find(|(known, _)| *known == name) else { continue };
            if place.replace(value).is_some() {
                return Err(Error::Parameter { name, reason: "is given twice" });
            }
        }
        let [(_, state), (_, code), (_, error), (_, description)] = found;
        let state = SecretText::new(state.ok_or(missing("state"))?);
        match (code.map(SecretText::new), error) {
            (Some(code), None) => Self::with_code(state.expose_secret(), code.expose_secret()),
            (None, Some(error)) => Self::with_error(state.expose_secret(), &error, description.as_deref()),
            (None, None) => Err(missing("duo_code")),
            (Some(_), Some(_)) => Err(Error::Parameter { name: "error", reason: "stands beside a duo_code" }),
        }
    }

    /// Takes the parts of a callback that was successful.
    ///
    /// # Errors
    /// [`Error::Parameter`] named `state` if that is not 16 to 1,024 printable ASCII characters, `duo_code` if that
    /// is not 1 to 1,024 of them.
    pub fn with_code(state: &str, code: &str) -> Result<Self, Error> {
        check_random("state", state)?;
        Ok(Self { state: SecretText::new(state), answer: Ok(AuthorizationCode::parse(code)?) })
    }

    /// Takes the parts of a callback with an error (RFC 6749 §4.1.2.1).
    ///
    /// # Errors
    /// [`Error::Parameter`] named `state` as above, `error` if that is empty.
    pub fn with_error(state: &str, error: &str, description: Option<&str>) -> Result<Self, Error> {
        check_random("state", state)?;
        if error.is_empty() {
            return Err(Error::Parameter { name: "error", reason: "is empty" });
        }
        Ok(Self { state: SecretText::new(state), answer: Err(OAuthError::new(None, error, description)) })
    }
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callback").field("answer", &self.answer).finish_non_exhaustive()
    }
}

/// The code that a callback brought: worth one exchange, and a secret until then.
#[derive(Clone)]
pub struct AuthorizationCode(SecretText);

impl AuthorizationCode {
    /// Takes a code.
    ///
    /// # Errors
    /// [`Error::Parameter`] named `duo_code` if it is not 1 to 1,024 printable ASCII characters.
    pub fn parse(code: &str) -> Result<Self, Error> {
        if (1..=MAX_CODE_BYTES).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(SecretText::new(code)))
        } else {
            Err(Error::Parameter {
                name: "duo_code",
                reason: "must have 1 to 1024 printable ascii characters",
            })
        }
    }

    /// Returns the code's text.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for AuthorizationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthorizationCode([redacted])")
    }
}

const fn missing(name: &'static str) -> Error {
    Error::Parameter { name, reason: "is missing" }
}
