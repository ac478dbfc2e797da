//! Whose document it is, and which of its states.

use core::fmt;
use core::str::FromStr;

use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::{Account, FieldError, Version};

/// Whose document is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// The system's, which every account inherits from last.
    System,
    /// An account's.
    Account(Account),
}

/// What is done with a document.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Change<'a> {
    /// It is written whole.
    Put(&'a Value),
    /// This is merged into it, and `null` takes a value away (RFC 7396).
    Patch(&'a Value),
    /// It is deleted.
    Delete,
}

impl Change<'_> {
    /// Returns the stable name: `put`, `patch` or `delete`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Put(_) => "put",
            Self::Patch(_) => "patch",
            Self::Delete => "delete",
        }
    }
}

/// A document and which of its states it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored<T> {
    /// The document.
    pub document: T,
    /// Which of its states this is.
    pub revision: Revision,
}

/// Names one state of a document; opaque text of 32 hexadecimal digits. It never comes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Revision([u8; 16]);

impl Revision {
    pub(crate) const fn of(version: Version) -> Self {
        Self(version.to_bytes())
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HEXLOWER.encode_display(&self.0).fmt(f)
    }
}

impl fmt::Debug for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Revision {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        let mut bytes = [0; 16];
        let fits = text.len() == 32 && HEXLOWER.decode_mut(text.as_bytes(), &mut bytes).is_ok();
        fits.then_some(Self(bytes)).ok_or_else(|| FieldError::new("revision", "invalid", "is not a revision"))
    }
}
