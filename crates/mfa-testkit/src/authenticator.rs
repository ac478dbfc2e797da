//! An authenticator app in software.

use core::fmt;

use audit_model::Timestamp;
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use thiserror::Error;
use url::Url;

/// An app that shows time-based one-time codes (RFC 4226, RFC 6238).
///
/// It computes them from the RFCs on its own and shares no code with what it tests, so that it is a
/// witness and not an echo.
///
/// ```
/// use mfa_core::Timestamp;
/// use mfa_testkit::authenticator::SoftAuthenticator;
///
/// // RFC 6238 Appendix B: SHA-1, eight digits.
/// let app = SoftAuthenticator::from_secret(b"12345678901234567890").with_digits(8);
/// assert_eq!(app.code_at(Timestamp::from_unix_seconds(59).unwrap()), "94287082");
///
/// let app = SoftAuthenticator::scan("otpauth://totp/Example:ann?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
/// assert_eq!(app.unwrap().code_at(Timestamp::from_unix_seconds(59).unwrap()), "287082");
/// assert!(SoftAuthenticator::scan("https://example.com").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SoftAuthenticator {
    secret: Vec<u8>,
    algorithm: Algorithm,
    digits: u8,
    period: u64,
    issuer: Option<String>,
    label: String,
}

/// The hash under the codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC-SHA-1, the one every app has.
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// Why a scanned text is not something the app can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ScanError {
    /// Not an `otpauth://totp/` URI.
    #[error("not an otpauth URI for time-based codes")]
    NotTotp,
    /// A parameter is missing or not possible.
    #[error("parameter {0} is missing or not possible")]
    Parameter(&'static str),
}

impl SoftAuthenticator {
    /// Takes a secret, with the parameters every app has: SHA-1, six digits, 30 seconds.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        let (secret, label) = (secret.to_vec(), String::new());
        Self { secret, algorithm: Algorithm::Sha1, digits: 6, period: 30, issuer: None, label }
    }

    /// Takes a secret as a person copies it: Base32, in any case, with spaces, with or without padding.
    ///
    /// # Errors
    /// [`ScanError::Parameter`] if it is empty or not Base32.
    pub fn from_base32(typed: &str) -> Result<Self, ScanError> {
        let text: String = typed.chars().filter(|c| !c.is_whitespace() && *c != '=').collect();
        let secret = BASE32_NOPAD.decode(text.to_ascii_uppercase().as_bytes());
        match secret {
            Ok(secret) if !secret.is_empty() => Ok(Self::from_secret(&secret)),
            _ => Err(ScanError::Parameter("secret")),
        }
    }

    /// Reads what a QR code holds: an `otpauth://totp/` URI.
    ///
    /// # Errors
    /// [`ScanError`] if it is another URI, or a parameter is missing or not possible.
    pub fn scan(uri: &str) -> Result<Self, ScanError> {
        let uri = Url::parse(uri).map_err(|_| ScanError::NotTotp)?;
        if uri.scheme() != "otpauth" || uri.host_str() != Some("totp") {
            return Err(ScanError::NotTotp);
        }
        let value = |name: &str| uri.query_pairs().find(|(n, _)| n == name).map(|(_, value)| value);
        let mut app = Self::from_base32(&value("secret").ok_or(ScanError::Parameter("secret"))?)?;
        if let Some(name) = value("algorithm") {
            app.algorithm = Algorithm::parse(&name).ok_or(ScanError::Parameter("algorithm"))?;
        }
        if let Some(digits) = value("digits") {
            let digits = digits.parse().ok().filter(|digits| (6..=10).contains(digits));
            app.digits = digits.ok_or(ScanError::Parameter("digits"))?;
        }
        if let Some(period) = value("period") {
            let period = period.parse().ok().filter(|period| *period > 0);
            app.period = period.ok_or(ScanError::Parameter("period"))?;
        }
        app.issuer = value("issuer").map(String::from);
        let path = uri.path().trim_start_matches('/');
        // A query's way of escaping, with the plus sign kept: the label is a path.
        let escaped = format!("label={}", path.replace('+', "%2B"));
        let pairs = url::form_urlencoded::parse(escaped.as_bytes());
        app.label = pairs.map(|(_, label)| label.into_owned()).next().unwrap_or_default();
        Ok(app)
    }

    /// Sets the hash.
    #[must_use]
    pub const fn with_algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets the number of digits.
    #[must_use]
    pub const fn with_digits(mut self, digits: u8) -> Self {
        self.digits = digits;
        self
    }

    /// Sets the life of a code, in seconds; zero is taken as one.
    #[must_use]
    pub fn with_period(mut self, seconds: u64) -> Self {
        self.period = seconds.max(1);
        self
    }

    /// Returns the code the app shows at `now`.
    #[must_use]
    pub fn code_at(&self, now: Timestamp) -> String {
        self.code_of_step(now.unix_seconds().checked_div(self.period).unwrap_or_default())
    }

    /// Returns the codes that the app showed one after the other, the last of them at `now`.
    #[must_use]
    pub fn three_codes_at(&self, now: Timestamp) -> [String; 3] {
        let step = now.unix_seconds().checked_div(self.period).unwrap_or_default();
        [2, 1, 0].map(|back| self.code_of_step(step.saturating_sub(back)))
    }

    /// Returns the code of one counter value (RFC 4226 §5.3).
    #[must_use]
    pub fn code_of_step(&self, step: u64) -> String {
        let mac = self.algorithm.mac(&self.secret, &step.to_be_bytes());
        // The low four bits of the last byte say where the 31 bits begin.
        let offset = usize::from(mac.last().copied().unwrap_or_default() & 0x0f);
        let four = mac.iter().skip(offset).take(4);
        let bits = four.fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)) & 0x7fff_ffff;
        let modulus = 10_u64.saturating_pow(u32::from(self.digits));
        let code = bits.checked_rem(modulus).unwrap_or_default();
        format!("{code:0width$}", width = usize::from(self.digits))
    }

    /// Returns a code of the right length that is none of the codes within `steps` of `now`.
    #[must_use]
    pub fn wrong_code_at(&self, now: Timestamp, steps: u64) -> String {
        let step = now.unix_seconds().checked_div(self.period).unwrap_or_default();
        let near = step.saturating_sub(steps)..=step.saturating_add(steps);
        let right: Vec<_> = near.map(|step| self.code_of_step(step)).collect();
        let width = usize::from(self.digits);
        let mut codes = (0..u64::MAX).map(|n| format!("{n:0width$}"));
        codes.find(|code| !right.contains(code)).unwrap_or_default()
    }

    /// Returns the secret.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Returns the hash, the number of digits and the life of a code in seconds.
    #[must_use]
    pub const fn parameters(&self) -> (Algorithm, u8, u64) {
        (self.algorithm, self.digits, self.period)
    }

    /// Returns the issuer, if one was scanned.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Returns the label that was scanned, unescaped: the account, often behind the issuer and a colon.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }
}

impl fmt::Debug for SoftAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoftAuthenticator").field("label", &self.label).finish_non_exhaustive()
    }
}

impl Algorithm {
    fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_uppercase().as_str() {
            "SHA1" => Some(Self::Sha1),
            "SHA256" => Some(Self::Sha256),
            "SHA512" => Some(Self::Sha512),
            _ => None,
        }
    }

    fn mac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => mac_of::<Hmac<Sha1>>(key, message),
            Self::Sha256 => mac_of::<Hmac<Sha256>>(key, message),
            Self::Sha512 => mac_of::<Hmac<Sha512>>(key, message),
        }
    }
}

fn mac_of<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 §2).
    let mac = <M as KeyInit>::new_from_slice(key);
    mac.map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec()).unwrap_or_default()
}
