//! What a set is made of: several codes, or one key.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::alphabet::{CHECK_SYMBOLS, SELECTOR_SYMBOLS};

/// The form of a set.
///
/// ```
/// use mfa_recovery::Form;
/// assert_eq!("key".parse::<Form>()?, Form::Key);
/// assert_eq!("keys".parse::<Form>().unwrap_err().code(), "invalid_form");
/// # Ok::<(), mfa_recovery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Form {
    /// Several codes of 80 random bits: 20 characters in groups of four.
    Codes,
    /// One key of 160 random bits: 36 characters in groups of four.
    Key,
}

impl Form {
    /// Returns the stable name: `codes` or `key`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::Key => "key",
        }
    }

    /// Returns the random bits of one code or key, its selector and checksum not counted.
    #[must_use]
    pub const fn random_bits(self) -> u16 {
        match self {
            Self::Codes => 80,
            Self::Key => 160,
        }
    }

    /// Returns the characters of one code or key, without dashes.
    #[must_use]
    pub const fn chars(self) -> usize {
        match self {
            Self::Codes => CODE_CHARS,
            Self::Key => KEY_CHARS,
        }
    }

    /// Returns the form whose codes have so many characters.
    pub(crate) fn of_chars(chars: usize) -> Option<Self> {
        [Self::Codes, Self::Key].into_iter().find(|form| form.chars() == chars)
    }
}

impl FromStr for Form {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match text {
            "codes" => Ok(Self::Codes),
            "key" => Ok(Self::Key),
            _ => Err(Error::InvalidForm),
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

const CODE_CHARS: usize = SELECTOR_SYMBOLS + 16 + CHECK_SYMBOLS;
const KEY_CHARS: usize = SELECTOR_SYMBOLS + 32 + CHECK_SYMBOLS;

/// How many codes a set has: 5 to 12, 10 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Count(u8);

impl Count {
    /// The fewest codes.
    pub const MIN: u8 = 5;
    /// The most codes: so many random bits are in one step's draw, each code with its own.
    pub const MAX: u8 = 12;

    /// Takes a number of codes.
    ///
    /// # Errors
    /// [`Error::InvalidCount`] outside 5 to 12.
    pub const fn new(codes: u8) -> Result<Self, Error> {
        match codes {
            Self::MIN..=Self::MAX => Ok(Self(codes)),
            _ => Err(Error::InvalidCount),
        }
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Count {
    fn default() -> Self {
        Self(10)
    }
}
