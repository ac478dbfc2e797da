//! The keys of an integration.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::Error;

/// Which integration: Duo's *integration key*, called *client id* by the Universal Prompt. Exactly 20
/// printable ASCII characters other than `|` and `:`. It is not secret.
///
/// ```
/// use mfa_duo::IntegrationKey;
///
/// let key = IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?;
/// assert_eq!(key.as_str(), "DIXXXXXXXXXXXXXXXXXX");
///
/// let error = IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXXX").unwrap_err();
/// assert_eq!(error.to_string(), "integration key must be exactly 20 printable ascii characters without '|' or ':'");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IntegrationKey(String);

impl IntegrationKey {
    /// How many characters a key has.
    pub const CHARS: usize = 20;

    /// Takes a key.
    ///
    /// # Errors
    /// [`Error::IntegrationKey`] for any other number of characters, and for one that it must not have.
    pub fn parse(key: &str) -> Result<Self, Error> {
        // invariant: a key cannot end a field of a cookie (`|`) or the user name of basic authentication (`:`).
        let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'|' | b':');
        if key.len() == Self::CHARS && key.bytes().all(legal) {
            Ok(Self(key.to_owned()))
        } else {
            Err(Error::IntegrationKey)
        }
    }

    /// Returns the key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The secret that an integration shares with Duo: *secret key*, called *client secret* by the Universal
/// Prompt. Exactly 40 printable ASCII characters.
///
/// Wiped when dropped, redacted in `Debug`, without `PartialEq`.
///
/// ```
/// use mfa_duo::SecretKey;
///
/// let key = SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?;
/// assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
///
/// let error = SecretKey::parse("deadbeef").unwrap_err();
/// assert_eq!(error.code(), "secret_key");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(Zeroizing<String>);

impl SecretKey {
    /// How many characters a key has; with [`parse_kazoo`](Self::parse_kazoo), how many at least.
    pub const CHARS: usize = 40;

    /// Takes a key, as every Duo SDK does.
    ///
    /// # Errors
    /// [`Error::SecretKey`] for any other number of characters, and for one that is not printable ASCII.
    pub fn parse(key: &str) -> Result<Self, Error> {
        if key.len() == Self::CHARS { Self::parse_kazoo(key) } else { Err(Error::SecretKey) }
    }

    /// Takes a key as Kazoo does, which lets 40 characters or more pass (`kz_mfa_duo`). Duo makes no such
    /// keys; only for provider documents that Kazoo has accepted.
    ///
    /// # Errors
    /// [`Error::SecretKey`] under 40 characters, and for a character that is not printable ASCII.
    pub fn parse_kazoo(key: &str) -> Result<Self, Error> {
        if key.len() >= Self::CHARS && key.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(Zeroizing::new(key.to_owned())))
        } else {
            Err(Error::SecretKey)
        }
    }

    /// Returns the key's bytes, which are the HMAC key as they stand.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

/// The secret that the Web SDK v2 keeps from Duo: *akey*, at least 40 characters, made by the host.
///
/// Wiped when dropped, redacted in `Debug`, without `PartialEq`.
///
/// ```
/// use mfa_duo::ApplicationKey;
///
/// let key = ApplicationKey::parse("useacustomerprovidedapplicationsecretkey")?;
/// assert_eq!(format!("{key:?}"), "ApplicationKey([redacted])");
///
/// let error = ApplicationKey::parse("useacustomerprovidedapplicationsecretke").unwrap_err();
/// assert_eq!(error.to_string(), "application key must have at least 40 characters");
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone)]
pub struct ApplicationKey(Zeroizing<String>);

impl ApplicationKey {
    /// How many characters a key has at least.
    pub const MIN_CHARS: usize = 40;

    /// Takes a key.
    ///
    /// # Errors
    /// [`Error::ApplicationKey`] under 40 characters.
    pub fn parse(key: &str) -> Result<Self, Error> {
        if key.chars().count() >= Self::MIN_CHARS {
            Ok(Self(Zeroizing::new(key.to_owned())))
        } else {
            Err(Error::ApplicationKey)
        }
    }

    /// Returns the key's bytes, which are the HMAC key as they stand.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Returns whether this key is the same as the one that Duo knows, in constant time.
    pub(crate) fn is(&self, other: &SecretKey) -> bool {
        self.expose_secret().ct_eq(other.expose_secret()).into()
    }
}

impl fmt::Debug for ApplicationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApplicationKey([redacted])")
    }
}
