//! What can go wrong, by meaning.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use audit_model::AuditError;
use mfa_core::StoreError;
use rusqlite::ErrorCode;
use thiserror::Error;

/// Why a store could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The path names a database in memory or a URI.
    #[error("`{0}` is not the path of a file; for a store in memory use `mfa_core::MemoryStore`")]
    NotAPath(PathBuf),
    /// Something that is not a plain file stands where a file of the store belongs.
    #[error("`{0}` is not a plain file; symbolic links are refused too, so give the path they lead to")]
    NotAFile(PathBuf),
    /// A file of the store can be changed by other users of the machine.
    #[error("`{}` has mode {mode:03o}, writable by group or others; run `chmod go-w` on it", path.display())]
    Writable {
        /// The file.
        path: PathBuf,
        /// The lower nine permission bits.
        mode: u32,
    },
    /// The file system failed.
    #[error("cannot {action} `{}`", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not an SQLite database.
    #[error("the file is not an SQLite database")]
    NotADatabase,
    /// The file is an SQLite database of another program.
    #[error("the file is another program's database (application id {application_id:#010x})")]
    ForeignDatabase {
        /// The application id in the file's header.
        application_id: u32,
    },
    /// The file system cannot carry a write-ahead log, as network file systems cannot.
    #[error("the file system does not support a write-ahead log; keep the file on a local disk")]
    NoWriteAheadLog,
    /// An option is out of its limits.
    #[error("option {option} {problem}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// What is wrong, with the limit.
        problem: String,
    },
    /// The operating system gave no random bytes for the file's incarnation.
    #[error("no random bytes from the operating system")]
    Entropy(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store cannot be used: [`StoreError::NewerSchema`], [`StoreError::Unavailable`] when another
    /// process held the file too long, [`StoreError::Corrupt`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Returns a stable code: `not_a_path`, `not_a_file`, `unsafe_permissions`, `io`, `not_a_database`,
    /// `foreign_database`, `no_write_ahead_log`, `invalid_option`, `entropy`, or the code of the
    /// [`StoreError`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotAPath(_) => "not_a_path",
            Self::NotAFile(_) => "not_a_file",
            Self::Writable { .. } => "unsafe_permissions",
            Self::Io { .. } => "io",
            Self::NotADatabase => "not_a_database",
            Self::ForeignDatabase { .. } => "foreign_database",
            Self::NoWriteAheadLog => "no_write_ahead_log",
            Self::InvalidOption { .. } => "invalid_option",
            Self::Entropy(_) => "entropy",
            Self::Store(error) => error.code(),
        }
    }
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) {
            return Self::NotADatabase;
        }
        Self::Store(Failure::Sqlite(error).into())
    }
}

/// What a read, or a write before its COMMIT, can end in. Nothing has happened.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("sqlite")]
    Sqlite(#[from] rusqlite::Error),
    #[error("a stored value cannot be read: {0}")]
    Corrupt(&'static str),
    #[error("the store's {0} cannot take more work")]
    Refused(&'static str),
    #[error("the store's {0} gave up")]
    Panicked(&'static str),
}

impl Failure {
    /// The failure of a COMMIT, after which the log on disk may hold the transaction or not.
    pub(crate) fn of_commit(error: rusqlite::Error) -> StoreError {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Sqlite(error).into(),
            _ => StoreError::Unknown(Arc::new(error)),
        }
    }

    /// Whether one stored value cannot be read, and the rest of the file can.
    pub(crate) const fn is_of_one_value(&self) -> bool {
        use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType};
        matches!(
            self,
            Self::Corrupt(_)
                | Self::Sqlite(
                    FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..)
                )
        )
    }

    fn corruption(&self) -> Option<&'static str> {
        let code = if let Self::Sqlite(error) = self { error.sqlite_error_code() } else { None };
        match (self, code) {
            (Self::Corrupt(what), _) => Some(what),
            (_, Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)) => Some("the file"),
            _ => self.is_of_one_value().then_some("a column"),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match (failure.corruption(), failure) {
            (Some(what), _) => Self::Corrupt(what),
            (None, Failure::Sqlite(error)) => Self::Unavailable(Arc::new(error)),
            (None, other) => Self::Unavailable(Arc::new(other)),
        }
    }
}

impl From<Failure> for AuditError {
    fn from(failure: Failure) -> Self {
        match (failure.corruption(), failure) {
            (Some(what), _) => Self::Corrupt(what),
            (None, Failure::Sqlite(error)) => Self::Unavailable(Box::new(error)),
            (None, other) => Self::Unavailable(Box::new(other)),
        }
    }
}
