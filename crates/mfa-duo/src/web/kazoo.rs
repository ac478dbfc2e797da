//! Kazoo's use of the Web SDK v2: its provider documents, its words, its wire format.
//!
//! Kazoo names the user by the id of its user document. Four things it does are not copied: it lets a login pass
//! when the document is invalid, it does not compare the user of the reply with the one who logs in, it takes a
//! `|` in a user's id, and it crashes on base64 that does not decode.
//!
//! ```
//! use mfa_core::Timestamp;
//! use mfa_duo::web::kazoo::Kazoo;
//! use serde_json::json;
//!
//! let mut settings = json!({
//!     "integration_key": "DIXXXXXXXXXXXXXXXXXX",
//!     "secret_key": "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
//!     "application_secret_key": "useacustomerprovidedapplicationsecretkey",
//!     "api_hostname": "api-xxxxxxxx.duosecurity.com",
//! });
//! let kazoo = Kazoo::configure(Some("5b2f0c"), &settings)?;
//! let now = Timestamp::from_unix_seconds(1_700_000_000)?;
//! let request = kazoo.sign_request(now);
//! assert_eq!(kazoo.multi_factor_request(&request)["provider_name"], "duo");
//! assert_eq!(kazoo.verify_response("AUTH|INVALID|SIG:APP|INVALID|SIG", now).unwrap_err().code(), "bad_signature");
//!
//! settings["application_secret_key"] = json!("invalid");
//! let error = Kazoo::configure(Some("5b2f0c"), &settings).unwrap_err();
//! assert_eq!(error.to_string(), "invalid duo configuration, duo application_secret_key config key is invalid");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use core::time::Duration;

use mfa_core::Timestamp;
use serde_json::{Value, json};

use super::request::check_user;
use super::{Expiry, Refusal, SigRequest, Verified, WebSdk};
use crate::{ApplicationKey, Error, IntegrationKey, SecretKey};

/// One user's login under one Kazoo provider document.
#[derive(Clone, Debug)]
pub struct Kazoo {
    sdk: WebSdk,
    /// invariant: `check_user` has let it pass.
    user_name: String,
    api_hostname: String,
}

impl Kazoo {
    /// Reads the `settings` of a provider document, with Kazoo's checks in Kazoo's order: the user's id, then
    /// `integration_key` (20 characters), `secret_key` (40 or more), `application_secret_key` (40 or more),
    /// `api_hostname` (not empty, and not looked at further: what a request is sent to is an
    /// [`ApiHost`](crate::ApiHost)), then `duo_expire` (300 s) and `app_expire` (3600 s). Other keys are ignored.
    ///
    /// # Errors
    /// [`ConfigError`], which names the key. It must refuse the login: Kazoo lets it pass.
    pub fn configure(owner_id: Option<&str>, settings: &Value) -> Result<Self, ConfigError> {
        let user_name = owner_id.ok_or(ConfigError::missing("user_name"))?;
        check_user(user_name).map_err(|_| ConfigError::invalid("user_name"))?;
        let ikey = read(settings, "integration_key", IntegrationKey::parse)?;
        let skey = read(settings, "secret_key", SecretKey::parse_kazoo)?;
        let akey = read(settings, "application_secret_key", ApplicationKey::parse)?;
        let api_hostname = read(settings, "api_hostname", |host| match host {
            "" => Err(Error::ApiHost { reason: "is empty" }),
            host => Ok(host.to_owned()),
        })?;
        let duo_expire = seconds(settings, "duo_expire", WebSdk::DUO_EXPIRE)?;
        let app_expire = seconds(settings, "app_expire", WebSdk::APP_EXPIRE)?;
        let sdk = WebSdk::new(ikey, skey, akey)
            .map_err(|_| ConfigError::invalid("application_secret_key"))?
            .with_duo_expire(duo_expire)
            .with_app_expire(app_expire)
            .with_expiry(Expiry::InclusiveKazoo);
        Ok(Self { sdk, user_name: user_name.to_owned(), api_hostname })
    }

    /// Signs the request for the user.
    #[must_use]
    pub fn sign_request(&self, now: Timestamp) -> SigRequest {
        self.sdk.sign_checked(&self.user_name, now)
    }

    /// Returns the value of `multi_factor_request` in Kazoo's answer, which holds the request's cookies.
    #[must_use]
    pub fn multi_factor_request(&self, request: &SigRequest) -> Value {
        json!({
            "provider_name": "duo",
            "settings": {
                "duo_sig_request": request.expose_secret(),
                "duo_api_hostname": self.api_hostname,
            },
        })
    }

    /// Verifies what the client repeated its login with (`multi_factor_response`), for this user.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn verify_response(&self, response: &str, now: Timestamp) -> Result<Verified, Refusal> {
        self.sdk.verify_response_for(response, &self.user_name, now)
    }

    /// Returns the keys and rules of this document.
    #[must_use]
    pub const fn sdk(&self) -> &WebSdk {
        &self.sdk
    }
}

/// A provider document that cannot be used, in Kazoo's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid duo configuration, duo {key} config key is {}", if *missing { "missing" } else { "invalid" })]
pub struct ConfigError {
    key: &'static str,
    missing: bool,
}

impl ConfigError {
    /// Returns the document's key.
    #[must_use]
    pub const fn key(&self) -> &'static str {
        self.key
    }

    const fn missing(key: &'static str) -> Self {
        Self { key, missing: true }
    }

    const fn invalid(key: &'static str) -> Self {
        Self { key, missing: false }
    }
}

fn read<T>(
    settings: &Value,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, Error>,
) -> Result<T, ConfigError> {
    match settings.get(key) {
        None | Some(Value::Null) => Err(ConfigError::missing(key)),
        Some(Value::String(text)) => parse(text).map_err(|_| ConfigError::invalid(key)),
        Some(_) => Err(ConfigError::invalid(key)),
    }
}

fn seconds(settings: &Value, key: &'static str, default: Duration) -> Result<Duration, ConfigError> {
    match settings.get(key) {
        None | Some(Value::Null) => Ok(default),
        Some(value) => value.as_u64().map(Duration::from_secs).ok_or_else(|| ConfigError::invalid(key)),
    }
}
