//! The shared secret.

use core::fmt;

use mfa_core::SecretText;
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, base32};

/// The secret that an authenticator app and the verifier share: 16 to 128 bytes.
///
/// Its memory is wiped when it is dropped. It has no `PartialEq`, no `Display` and no
/// serialisation, and its `Debug` is redacted.
///
/// ```
/// use mfa_totp::TotpSecret;
///
/// // As a person types it from the screen: lower case, in groups, without padding.
/// let secret = TotpSecret::from_base32("gezd gnbv gy3t qojq gezd gnbv gy3t qojq")?;
/// assert_eq!(secret.expose_secret(), b"12345678901234567890");
/// assert_eq!(format!("{secret:?}"), "TotpSecret([redacted])");
///
/// // Ten characters are 48 bits.
/// assert_eq!(TotpSecret::from_base32("GEZDGNBVGY").unwrap_err().code(), "weak_secret");
/// # Ok::<(), mfa_totp::Error>(())
/// ```
pub struct TotpSecret(Zeroizing<Vec<u8>>);

impl TotpSecret {
    /// The shortest secret, in bytes (RFC 4226 §4, requirement R6).
    pub const MIN_BYTES: usize = 16;
    /// The longest secret, in bytes: the block of SHA-512, beyond which HMAC hashes its key.
    pub const MAX_BYTES: usize = 128;
    /// The length of a new secret, in bytes (RFC 4226 §4 recommends 160 bits).
    pub const NEW_BYTES: usize = 20;
    /// The longest text that [`from_base32`](Self::from_base32) reads, separators included.
    pub const MAX_BASE32_CHARS: usize = 512;

    /// Returns a new secret made of 160 bits from the operating system's random source.
    ///
    /// The argument is a copy; the caller wipes the original.
    #[must_use]
    pub fn from_entropy(mut entropy: [u8; Self::NEW_BYTES]) -> Self {
        let secret = Self(Zeroizing::new(entropy.to_vec()));
        entropy.zeroize();
        secret
    }

    /// Returns a secret that exists already, from its bytes.
    ///
    /// # Errors
    ///
    /// [`Error::WeakSecret`] under 16 bytes, [`Error::SecretTooLong`] over 128.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        Self::check_length(bytes.len())?;
        Ok(Self(Zeroizing::new(bytes.to_vec())))
    }

    /// Takes the bytes of a secret without a copy.
    pub(crate) fn from_zeroizing(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Error> {
        Self::check_length(bytes.len())?;
        Ok(Self(bytes))
    }

    /// Returns a secret that exists already, from its base32 text (RFC 4648 §6).
    ///
    /// Lower case, spaces, dashes and missing padding are accepted. Bits left over at the end are
    /// dropped whatever their value, as authenticator apps do.
    ///
    /// # Errors
    ///
    /// * [`Error::InvalidBase32`] for text over 512 characters, for a character outside `A`–`Z`,
    ///   `2`–`7`, and for a number of characters that no whole bytes encode to
    /// * [`Error::WeakSecret`] under 16 bytes, [`Error::SecretTooLong`] over 128
    pub fn from_base32(text: &str) -> Result<Self, Error> {
        if text.len() > Self::MAX_BASE32_CHARS {
            return Err(Error::InvalidBase32 { reason: "text is longer than 512 characters" });
        }
        let bytes = base32::decode(text)?;
        Self::check_length(bytes.len())?;
        Ok(Self(bytes))
    }

    /// Returns the secret's bytes.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &self.0
    }

    /// Returns the secret as base32: upper case, no padding, no separators.
    #[must_use]
    pub fn to_base32(&self) -> SecretText {
        SecretText::from(base32::encode(&self.0))
    }

    const fn check_length(bytes: usize) -> Result<(), Error> {
        if bytes < Self::MIN_BYTES {
            return Err(Error::WeakSecret);
        }
        if bytes > Self::MAX_BYTES {
            return Err(Error::SecretTooLong);
        }
        Ok(())
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret([redacted])")
    }
}
