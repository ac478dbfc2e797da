//! Whose document it is, and which of its states.

use core::fmt;
use core::str::FromStr;

use audit_model::AccountId;
use data_encoding::HEXLOWER;

use crate::subject::checked_lineage;
use crate::{Ancestor, FieldError, Subject, Version};

/// An account with its ancestors, the account first, as the host's own tree has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage(Vec<Ancestor>);

impl Lineage {
    /// Takes an account and its ancestors, the account first.
    ///
    /// # Errors
    /// [`FieldError`] if there is none, an account comes twice, or there are more than 32.
    pub fn new(ancestors: Vec<Ancestor>) -> Result<Self, FieldError> {
        checked_lineage(&ancestors)?;
        Ok(Self(ancestors))
    }

    /// Returns the account.
    #[must_use]
    #[expect(clippy::indexing_slicing, reason = "invariant: a lineage begins with its account")]
    pub fn account(&self) -> &AccountId {
        &self.0[0].account
    }

    /// Returns the account and its ancestors.
    #[must_use]
    pub fn as_slice(&self) -> &[Ancestor] {
        &self.0
    }
}

/// An account without ancestors.
impl From<AccountId> for Lineage {
    fn from(account: AccountId) -> Self {
        Self(vec![Ancestor::new(account)])
    }
}

impl From<&Subject> for Lineage {
    fn from(subject: &Subject) -> Self {
        Self(subject.lineage().to_vec())
    }
}

/// Whose document is written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Owner {
    /// The system's, which every account inherits from last.
    System,
    /// That of the first account of a lineage.
    Account(Lineage),
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
