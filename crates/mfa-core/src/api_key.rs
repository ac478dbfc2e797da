//! API keys: the key itself, what issuing one hands out, and what a right one is worth.

use core::fmt;

use audit_model::{AccountId, Timestamp};
use serde_json::Value;
use zeroize::{Zeroize, Zeroizing};

use crate::driver::Receipt;
use crate::{
    Channel, FieldError, FirstFactor, FirstFactorKind, Login, Module, Rejected, SecretText, Subject,
};

/// How many characters a key has: two for each of its 32 random bytes.
const CHARS: usize = 64;

/// An account's API key: 64 lower-case hexadecimal digits, of 32 bytes of the operating system's source.
///
/// It is wiped when dropped, prints `[redacted]`, and cannot be compared or serialised.
pub struct ApiKey(SecretText);

impl ApiKey {
    /// Returns the key, with no white space around it: what a user copies is what is accepted.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the key in the `data` of a request, as in `{"api_key": "…"}`, which must have no other property. Its
    /// form is left to [`Engine::api_key_verify`](crate::Engine::api_key_verify).
    ///
    /// ```
    /// use mfa_core::ApiKey;
    /// use serde_json::json;
    /// assert_eq!(ApiKey::in_request(&json!({"api_key": "00ff"})).unwrap(), "00ff");
    /// let refused = ApiKey::in_request(&json!({"api_key": "00ff", "account": "acme"})).unwrap_err();
    /// assert_eq!((refused.field.as_str(), refused.code), ("data", "unknown_field"));
    /// ```
    ///
    /// # Errors
    /// [`FieldError`] with code `type`, `required` or `unknown_field`. No value is repeated.
    pub fn in_request(data: &Value) -> Result<&str, FieldError> {
        let fields = data.as_object().ok_or_else(|| FieldError::new("data", "type", "must be an object"))?;
        let key = fields.get("api_key").ok_or_else(|| FieldError::new(FIELD, "required", "is missing"))?;
        if fields.len() > 1 {
            return Err(FieldError::new("data", "unknown_field", "may have no property but api_key"));
        }
        key.as_str().ok_or_else(|| FieldError::new(FIELD, "type", "must be text"))
    }

    pub(crate) const fn of(text: SecretText) -> Self {
        Self(text)
    }

    /// Writes random bytes as a key, and wipes them.
    pub(crate) fn from_random(mut bytes: [u8; 32]) -> Self {
        // Of the final size at once: nothing is left behind by a text that grows.
        let mut text = Zeroizing::new(String::with_capacity(CHARS));
        data_encoding::HEXLOWER.encode_append(&bytes, &mut text);
        bytes.zeroize();
        Self(SecretText::from(text))
    }

    /// Reads what somebody presents; `None` for what cannot be a key.
    pub(crate) fn presented(text: &str) -> Result<Option<&str>, FieldError> {
        let chars = text.chars().count();
        if chars != CHARS {
            let code = if chars < CHARS { "too_short" } else { "too_long" };
            return Err(FieldError::new(FIELD, code, format!("has {chars} characters, must have {CHARS}")));
        }
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        Ok(text.bytes().all(is_digit).then_some(text))
    }
}

pub(crate) const FIELD: &str = "api_key";

/// Returns whether the error says that a text cannot be a key, or that there is none.
pub(crate) fn is_malformed(error: &FieldError) -> bool {
    error.field == FIELD && matches!(error.code, "required" | "too_long" | "too_short" | "type")
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([redacted])")
    }
}

/// An API key that was issued, handed out here.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedApiKey {
    /// The key.
    pub key: ApiKey,
    /// From when on it is good.
    pub issued_at: Timestamp,
}

/// How an API key was judged.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum ApiKeyVerify {
    /// It is an account's key.
    Verified(VerifiedApiKey),
    /// It is not. [`Reason::NotFound`](crate::Reason::NotFound), whatever is wrong with it.
    Rejected(Rejected),
}

/// A right API key: a first factor, and nothing more. It proves no second factor and names no user.
///
/// It comes from [`Engine::api_key_verify`](crate::Engine::api_key_verify) alone, cannot be copied or stored, and is
/// spent by value on the login it is for. Whether the account may log in at all, and as whom, is the host's to say.
///
/// ```
/// # use mfa_core::*;
/// # use mfa_testkit::host::{TestHost, acme, vouched};
/// # futures::executor::block_on(async {
/// # let host = TestHost::in_memory().await;
/// # let issued = host.engine.api_key_create(&Account::new(acme()), &vouched()).await?;
/// # let (module, facts) = (Module::parse("api_auth").unwrap(), RequestFacts::new());
/// # let verify = async || match host.engine.api_key_verify(issued.key.expose_secret(), &module, &facts).await {
/// #     Ok(ApiKeyVerify::Verified(verified)) => verified,
/// #     other => panic!("{other:?}"),
/// # };
/// // The host looks the account up, sees that it is enabled, and logs its API user in.
/// let verified: VerifiedApiKey = verify().await;
/// let user = Subject::new(verified.account().clone(), UserId::parse("api").unwrap());
/// let login = verified.into_login(user, Some("session-1"))?;
/// assert!(matches!(host.engine.begin(login).await?, Begin::NotRequired(NotRequired::NoMethod)));
///
/// // The key of one account is no first factor in another.
/// let other = Subject::new(AccountId::parse("beta").unwrap(), UserId::parse("api").unwrap());
/// let refused = verify().await.into_login(other, Some("session-1")).unwrap_err();
/// assert_eq!(refused.code, "other_account");
/// # Ok::<(), Error>(()) }).unwrap();
/// ```
///
/// There is no second one:
///
/// ```compile_fail,E0277
/// fn twice<T: Clone>() {}
/// twice::<mfa_core::VerifiedApiKey>();
/// ```
#[derive(Debug)]
pub struct VerifiedApiKey {
    account: AccountId,
    module: Module,
    at: Timestamp,
}

impl VerifiedApiKey {
    /// Returns whose key it is.
    #[must_use]
    pub const fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns the module it came through.
    #[must_use]
    pub const fn module(&self) -> &Module {
        &self.module
    }

    /// Returns when it was judged.
    #[must_use]
    pub const fn verified_at(&self) -> Timestamp {
        self.at
    }

    /// Turns it into the login of `subject` in the host's session `session`, through the same module.
    ///
    /// # Errors
    /// [`FieldError`] with code `other_account` unless `subject` is of the key's account.
    pub fn into_login(self, subject: Subject, session: Option<&str>) -> Result<Login, FieldError> {
        if *subject.account() != self.account {
            return Err(FieldError::new("account", "other_account", "is not the account of the API key"));
        }
        let first = FirstFactor::verified_now(FirstFactorKind::ApiKey, Channel::Direct, session);
        Ok(Login::new(subject, first, self.module))
    }

    /// Made of a judgement that is committed.
    pub(crate) const fn issue(account: AccountId, module: Module, at: Timestamp, _: &Receipt) -> Self {
        Self { account, module, at }
    }
}
