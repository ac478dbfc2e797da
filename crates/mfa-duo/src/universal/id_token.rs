//! The id token: Duo's signed word on a login.

use core::fmt;
use core::time::Duration;

use mfa_core::Timestamp;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::{Universal, jwt};

/// How far Duo's clock and ours may differ, as in Duo's SDKs.
const LEEWAY: Duration = Duration::from_secs(60);
/// The longest text of a claim that is kept, in bytes. A longer one counts as absent.
const MAX_TEXT_BYTES: usize = 256;

impl Universal {
    /// Verifies an id token for `username` and, if the request had one, `nonce`.
    ///
    /// Checked are the algorithm (HS512 alone), the signature, `exp` (expired from `exp` + 60 s on) and `iat` (not yet
    /// valid until `iat` − 60 s; `nbf` likewise), `aud` (the client id, alone), `iss` (the token endpoint),
    /// `preferred_username` (byte for byte), `nonce`, and that `auth_result.result` is `allow`.
    ///
    /// # Errors
    /// [`IdTokenError`] names the first check that failed, in this order.
    pub fn verify_id_token(
        &self,
        token: &str,
        username: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Claims, IdTokenError> {
        let claims = jwt::verify(token, &self.client_secret)?;
        let issued_at = time(&claims, "iat")?.ok_or(IdTokenError::Malformed)?;
        let expires_at = time(&claims, "exp")?.ok_or(IdTokenError::Malformed)?;
        if now >= whole(expires_at).plus(LEEWAY) {
            return Err(IdTokenError::Expired);
        }
        let latest = now.plus(LEEWAY);
        let is_to_come = |time: Timestamp| whole(time) > latest;
        if is_to_come(issued_at) || time(&claims, "nbf")?.is_some_and(is_to_come) {
            return Err(IdTokenError::NotYetValid);
        }
        let audience = match claims.get("aud") {
            Some(Value::Array(all)) => match all.as_slice() {
                [only] => only.as_str(),
                _ => None,
            },
            other => other.and_then(Value::as_str),
        };
        if audience != Some(self.client_id.as_str()) {
            return Err(IdTokenError::Audience);
        }
        if claims.get("iss").and_then(Value::as_str) != Some(&self.token_url) {
            return Err(IdTokenError::Issuer);
        }
        if claims.get("preferred_username").and_then(Value::as_str) != Some(username) {
            return Err(IdTokenError::Username);
        }
        if let Some(nonce) = nonce {
            let given = claims.get("nonce").and_then(Value::as_str).unwrap_or_default();
            if !bool::from(given.as_bytes().ct_eq(nonce.as_bytes())) {
                return Err(IdTokenError::Nonce);
            }
        }
        let claims = Claims::read(username, issued_at, expires_at, &claims);
        if claims.result.as_deref() == Some("allow") {
            Ok(claims)
        } else {
            Err(IdTokenError::Denied(Box::new(claims)))
        }
    }
}

/// Why an id token is not accepted. What it says is in none of these but [`Denied`](Self::Denied), whose claims Duo
/// signed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IdTokenError {
    /// It is not three parts of base64url with JSON objects, is longer than 16 KiB, has an extension that must be
    /// understood, or `exp`, `iat` or `nbf` are not times.
    #[error("the id token is malformed")]
    Malformed,
    /// Its header names another algorithm than HS512.
    #[error("the id token is not signed with hs512")]
    Algorithm,
    /// The signature is wrong.
    #[error("the id token's signature is wrong")]
    Signature,
    /// It is for another client, or for several.
    #[error("the id token is for another client")]
    Audience,
    /// It is from another host.
    #[error("the id token is of another issuer")]
    Issuer,
    /// It has expired.
    #[error("the id token has expired")]
    Expired,
    /// It is from the future: a clock is wrong.
    #[error("the id token is not yet valid")]
    NotYetValid,
    /// It is for another user.
    #[error("the id token is for another user")]
    Username,
    /// It is for another login.
    #[error("the id token is for another login")]
    Nonce,
    /// It is in order, and Duo's result is not `allow`.
    #[error("duo did not allow the login")]
    Denied(Box<Claims>),
}

impl IdTokenError {
    /// Returns a stable code: `id_token_` and the check that failed.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "id_token_malformed",
            Self::Algorithm => "id_token_algorithm",
            Self::Signature => "id_token_signature",
            Self::Audience => "id_token_audience",
            Self::Issuer => "id_token_issuer",
            Self::Expired => "id_token_expired",
            Self::NotYetValid => "id_token_not_yet_valid",
            Self::Username => "id_token_username",
            Self::Nonce => "id_token_nonce",
            Self::Denied(_) => "id_token_denied",
        }
    }
}

/// What Duo says of a login. Everything optional is as Duo wrote it; a text that is longer than 256 bytes or has
/// control characters counts as absent, as does an empty one. `Debug` shows how the user was authenticated and not
/// who.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Claims {
    /// The user's name at Duo, the one that was asked for.
    pub username: String,
    /// `iat`: when the token was made.
    pub issued_at: Timestamp,
    /// `exp`: until when it is good.
    pub expires_at: Timestamp,
    /// `auth_time`: when the user was authenticated.
    pub auth_time: Option<Timestamp>,
    /// `auth_result.result`: `allow`, or something else in [`IdTokenError::Denied`].
    pub result: Option<String>,
    /// `auth_result.status`: `allow`, `bypass`, `deny`, `fraud`, …
    pub status: Option<String>,
    /// `auth_context.txid`: the transaction at Duo.
    pub txid: Option<String>,
    /// `auth_context.event_type`: `authentication`, `enrollment`, …
    pub event_type: Option<String>,
    /// `auth_context.factor`: `duo_push`, `passcode`, `remembered_device`, …
    pub factor: Option<String>,
    /// `auth_context.result`: `success`, `denied`, `fraud`, …
    pub context_result: Option<String>,
    /// `auth_context.reason`: `user_approved`, `bypass_user`, `trusted_network`, …
    pub reason: Option<String>,
}

impl Claims {
    fn read(
        username: &str,
        issued_at: Timestamp,
        expires_at: Timestamp,
        claims: &Map<String, Value>,
    ) -> Self {
        let member = |of: &str, name: &str| claims.get(of).and_then(|of| of.get(name)).and_then(text);
        Self {
            username: username.to_owned(),
            issued_at,
            expires_at,
            auth_time: time(claims, "auth_time").ok().flatten(),
            result: member("auth_result", "result"),
            status: member("auth_result", "status"),
            txid: member("auth_context", "txid"),
            event_type: member("auth_context", "event_type"),
            factor: member("auth_context", "factor"),
            context_result: member("auth_context", "result"),
            reason: member("auth_context", "reason"),
        }
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("result", &self.result)
            .field("status", &self.status)
            .field("factor", &self.factor)
            .field("context_result", &self.context_result)
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

/// Leaves out a fraction of a second, as Duo's own packages do before they compare.
fn whole(time: Timestamp) -> Timestamp {
    time.minus(Duration::from_millis(time.unix_millis().checked_rem(1000).unwrap_or_default()))
}

/// Reads a `NumericDate` (RFC 7519 §2): seconds, perhaps with a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, IdTokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let since = match (value.as_u64(), value.as_f64()) {
        (Some(seconds), _) => Some(Duration::from_secs(seconds)),
        // Rounded to the millisecond, since fractions of ten have no exact binary form.
        (None, Some(seconds)) => Duration::try_from_secs_f64(seconds)
            .ok()
            .map(|since| since.saturating_add(Duration::from_micros(500))),
        (None, None) => None,
    };
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .and_then(|millis| Timestamp::from_unix_millis(millis).ok())
        .map(Some)
        .ok_or(IdTokenError::Malformed)
}

fn text(value: &Value) -> Option<String> {
    let fits =
        |text: &&str| (1..=MAX_TEXT_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
    value.as_str().filter(fits).map(str::to_owned)
}
