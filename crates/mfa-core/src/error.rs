//! Why a step could not be judged. A refused answer is a result, never an error.

use core::fmt;

use audit_model::{AuditError, IdError};
use thiserror::Error;

use crate::machine::IllegalMove;
use crate::{
    CodecError, EntropyError, Forbidden, GrantMismatch, KeyRingError, NameError, ProviderError, StoreError,
};

/// Why a step could not be judged. Nothing was revealed about the answer: right and wrong ones get the same.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Other nodes kept changing the same records for two seconds; nothing was judged or charged. Try again.
    #[error("other requests kept changing the same records; try again")]
    Contention,
    /// The pool for slow work is full; nothing was judged or charged. Try again.
    #[error("the pool for slow work is full; try again")]
    Busy,
    /// The store, a provider or a stored record cannot be used now.
    #[error("the step cannot be judged now: {0}")]
    Unavailable(&'static str),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The user is unknown to the directory.
    #[error("the directory knows no such user")]
    UnknownUser,
    /// The directory failed.
    #[error("the directory failed")]
    Directory(#[from] DirectoryError),
    /// A value given by the caller is not possible.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// A document is not possible: every field that is wrong.
    #[error("the document is wrong: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    InvalidDocument(Vec<FieldError>),
    /// The document was changed by somebody else since the revision that was given.
    #[error("the document was changed since; read it again")]
    Conflict,
    /// There is no such document to delete.
    #[error("there is no such document")]
    NoDocument,
    /// The change was not made: whoever asks may not, or must prove more.
    #[error("the change is refused")]
    Forbidden(#[from] Forbidden),
    /// There are no random bytes.
    #[error("no random bytes")]
    Entropy(#[from] EntropyError),
    /// A key is missing or wrong.
    #[error("key ring: {0}")]
    KeyRing(KeyRingError),
    /// A provider could not judge.
    #[error("the provider could not judge the step")]
    Provider(#[source] ProviderError),
    /// A value does not fit its record; a defect of this program.
    #[error("a record cannot be encoded or decoded")]
    Codec(#[from] CodecError),
    /// A challenge was moved against its table; a defect of this program.
    #[error("a challenge was moved against its table")]
    Machine(#[from] IllegalMove),
}

impl Error {
    /// Returns a stable code: `contention`, `busy`, `unavailable`, `unknown_user`, `invalid`, `conflict`, `no_document`
    /// or the code of the first field error or of the refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Contention => "contention",
            Self::Busy => "busy",
            Self::UnknownUser => "unknown_user",
            Self::Invalid(field) => field.code,
            Self::InvalidDocument(fields) => match fields.as_slice() {
                [field, ..] => field.code,
                [] => "invalid",
            },
            Self::Conflict => "conflict",
            Self::NoDocument => "no_document",
            Self::Forbidden(why) => why.code(),
            Self::KeyRing(error @ (KeyRingError::InUse { .. } | KeyRingError::Active)) => error.code(),
            Self::Unavailable(_)
            | Self::Store(_)
            | Self::Directory(_)
            | Self::Entropy(_)
            | Self::KeyRing(_)
            | Self::Provider(_)
            | Self::Codec(_)
            | Self::Machine(_) => "unavailable",
        }
    }
}

// By hand, so that the cause, which the message has, is not told again as its source.
impl From<KeyRingError> for Error {
    fn from(error: KeyRingError) -> Self {
        Self::KeyRing(error)
    }
}

impl From<ProviderError> for Error {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::Invalid(field) => Self::Invalid(field),
            ProviderError::Entropy(error) => Self::Entropy(error),
            other => Self::Provider(other),
        }
    }
}

/// An id that somebody gave is none.
impl From<IdError> for Error {
    fn from(error: IdError) -> Self {
        Self::Invalid(of_form(&error, error.code()))
    }
}

/// A name or an id that somebody gave is none.
impl From<NameError> for Error {
    fn from(error: NameError) -> Self {
        Self::Invalid(of_form(&error, error.code()))
    }
}

/// A grant is for somebody else, or too old: nothing of it counts, and the login begins anew.
impl From<GrantMismatch> for Error {
    fn from(error: GrantMismatch) -> Self {
        Self::Invalid(FieldError::new("grant", error.code(), format!("is refused: {error}")))
    }
}

/// Every field of a document that is wrong.
impl From<Vec<FieldError>> for Error {
    fn from(errors: Vec<FieldError>) -> Self {
        Self::InvalidDocument(errors)
    }
}

/// A query that is not possible, or a log that cannot be read.
impl From<AuditError> for Error {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Unavailable(source) => Self::Store(StoreError::Unavailable(source.into())),
            AuditError::Corrupt(what) => Self::Store(StoreError::Corrupt(what)),
            AuditError::Invalid { field, problem } => {
                Self::Invalid(FieldError::new(field, "invalid", problem))
            }
            AuditError::Time { field, source } => {
                Self::Invalid(FieldError::new(field, source.code(), format!("is not a time: {source}")))
            }
            other => {
                let (field, problem) = (other.field().unwrap_or("range"), format!("is refused: {other}"));
                Self::Invalid(FieldError::new(field, other.code(), problem))
            }
        }
    }
}

/// Splits a message that begins with what it is about, such as `account id is empty`.
fn of_form(error: &dyn fmt::Display, code: &'static str) -> FieldError {
    let text = error.to_string();
    let (field, problem) = text.split_once(' ').unwrap_or(("id", &text));
    FieldError::new(field, code, problem)
}

/// A value that is not possible: which field, a stable code, and what to do. Never the value itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FieldError {
    /// The dotted path of the field.
    pub field: String,
    /// A stable code, such as `required` or `too_long`.
    pub code: &'static str,
    /// What is wrong, with the limit.
    pub problem: String,
}

impl FieldError {
    /// Names a field and its problem.
    #[must_use]
    pub fn new(field: impl Into<String>, code: &'static str, problem: impl Into<String>) -> Self {
        Self { field: field.into(), code, problem: problem.into() }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.field, self.problem)
    }
}

impl std::error::Error for FieldError {}

/// Why a directory could not answer.
#[derive(Clone, Debug, Error)]
#[error("the directory is unavailable")]
#[non_exhaustive]
pub struct DirectoryError {
    #[source]
    source: std::sync::Arc<dyn std::error::Error + Send + Sync>,
}

impl DirectoryError {
    /// Wraps the directory's own error: any error, boxed or not, or a text.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use mfa_core::DirectoryError;
    /// let error = DirectoryError::new("no answer within a second");
    /// assert_eq!(error.source().unwrap().to_string(), "no answer within a second");
    /// ```
    #[must_use]
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { source: source.into().into() }
    }
}
