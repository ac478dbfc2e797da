//! What an authenticator app and the verifier must agree on, and how far their clocks may differ.

use core::fmt;
use core::str::FromStr;

use crate::Error;

/// The hash under the HMAC (RFC 6238 §1.2).
///
/// [`Sha1`](Self::Sha1) is the default, and the only one that every common authenticator app
/// computes: several apps accept the others in a QR code and then use SHA-1 all the same. HMAC does
/// not rest on the collision resistance that SHA-1 has lost (RFC 4226 appendix B.2).
///
/// ```
/// use mfa_totp::Algorithm;
///
/// assert_eq!("sha256".parse(), Ok(Algorithm::Sha256));
/// assert_eq!(Algorithm::Sha256.to_string(), "SHA256");
/// assert_eq!("MD5".parse::<Algorithm>().unwrap_err().code(), "invalid_algorithm");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Algorithm {
    /// HMAC-SHA-1.
    #[default]
    Sha1,
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

impl Algorithm {
    /// Returns the name used in `otpauth` URIs: `SHA1`, `SHA256` or `SHA512`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "SHA1",
            Self::Sha256 => "SHA256",
            Self::Sha512 => "SHA512",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Algorithm {
    type Err = Error;

    /// Reads the name in upper or lower case.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidAlgorithm`] for any other text.
    fn from_str(text: &str) -> Result<Self, Error> {
        [Self::Sha1, Self::Sha256, Self::Sha512]
            .into_iter()
            .find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str()))
            .ok_or(Error::InvalidAlgorithm)
    }
}

/// The length of a code: 6 (the default), 7 or 8 digits (RFC 4226 §5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digits(u8);

impl Digits {
    /// The shortest code.
    pub const MIN: u8 = 6;
    /// The longest code.
    pub const MAX: u8 = 8;

    /// Returns the length, checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidDigits`] unless `digits` is 6, 7 or 8.
    pub const fn new(digits: u8) -> Result<Self, Error> {
        if digits < Self::MIN || digits > Self::MAX {
            return Err(Error::InvalidDigits);
        }
        Ok(Self(digits))
    }

    /// Returns the number of digits.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Digits {
    fn default() -> Self {
        Self(6)
    }
}

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How long one code stands: 15 to 120 whole seconds, 30 by default (RFC 6238 §4.1, §5.2).
///
/// Two minutes is the longest that SP 800-63B-4 §3.1.4.1 lets a time-based code last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(u16);

impl Period {
    /// The shortest period, in seconds.
    pub const MIN_SECONDS: u16 = 15;
    /// The longest period, in seconds.
    pub const MAX_SECONDS: u16 = 120;

    /// Returns the period of so many seconds, checked.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidPeriod`] unless `seconds` is 15 to 120.
    pub const fn from_seconds(seconds: u16) -> Result<Self, Error> {
        if seconds < Self::MIN_SECONDS || seconds > Self::MAX_SECONDS {
            return Err(Error::InvalidPeriod);
        }
        Ok(Self(seconds))
    }

    /// Returns the period in seconds.
    #[must_use]
    pub const fn seconds(self) -> u16 {
        self.0
    }

    /// Returns the number of the step that holds the given second: RFC 6238's `T`, with `T0 = 0`.
    ///
    /// ```
    /// use mfa_totp::Period;
    ///
    /// assert_eq!(Period::default().step_at(59), 1);
    /// ```
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "a period is never zero")]
    pub const fn step_at(self, unix_seconds: u64) -> u64 {
        unix_seconds / self.0 as u64
    }
}

impl Default for Period {
    fn default() -> Self {
        Self(30)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the app and the verifier must agree on besides the secret.
///
/// The default is SHA-1, 6 digits and 30 seconds: what every authenticator app supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Parameters {
    /// The hash under the HMAC.
    pub algorithm: Algorithm,
    /// The length of a code.
    pub digits: Digits,
    /// How long one code stands.
    pub period: Period,
}

impl Parameters {
    /// Returns the three parameters as one value.
    #[must_use]
    pub const fn new(algorithm: Algorithm, digits: Digits, period: Period) -> Self {
        Self { algorithm, digits, period }
    }
}

/// How many steps beside the current one are accepted, for clocks that differ (RFC 6238 §5.2, §6).
///
/// Each step more is one more right code for a guesser, and a longer life for a code that was seen
/// over a shoulder. So the type holds no wide window at all: one step back and one ahead is the
/// default and the limit, and a second step back must be asked for by name.
///
/// ```
/// use mfa_totp::Window;
///
/// assert_eq!(Window::new(1, 0)?.back(), 1);
/// assert_eq!(Window::new(2, 1).unwrap_err().code(), "invalid_window");
/// # Ok::<(), mfa_totp::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    back: u8,
    ahead: u8,
}

impl Window {
    /// The most steps back that [`new`](Self::new) takes.
    pub const MAX_BACK: u8 = 1;
    /// The most steps ahead.
    pub const MAX_AHEAD: u8 = 1;

    /// Returns a window of so many steps back and ahead of the current one; `(0, 0)` is the current
    /// step alone.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidWindow`] if either is more than 1.
    pub const fn new(back: u8, ahead: u8) -> Result<Self, Error> {
        if back > Self::MAX_BACK || ahead > Self::MAX_AHEAD {
            return Err(Error::InvalidWindow);
        }
        Ok(Self { back, ahead })
    }

    /// Returns a window of two steps back, for host code whose users' clocks run late.
    ///
    /// # Security
    ///
    /// With 30-second steps a code stays acceptable for up to 90 seconds after it was shown, and
    /// with one step ahead a guess has four right answers instead of three. Never let a tenant's or
    /// a user's document choose this.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidWindow`] if `ahead` is more than 1.
    pub const fn danger_two_back(ahead: u8) -> Result<Self, Error> {
        if ahead > Self::MAX_AHEAD {
            return Err(Error::InvalidWindow);
        }
        Ok(Self { back: 2, ahead })
    }

    /// Returns how many steps before the current one are accepted.
    #[must_use]
    pub const fn back(self) -> u8 {
        self.back
    }

    /// Returns how many steps after the current one are accepted.
    #[must_use]
    pub const fn ahead(self) -> u8 {
        self.ahead
    }
}

impl Default for Window {
    /// Returns one step back and one ahead.
    fn default() -> Self {
        Self { back: Self::MAX_BACK, ahead: Self::MAX_AHEAD }
    }
}
