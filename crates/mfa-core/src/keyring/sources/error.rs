//! Why a source of keys gives no ring.

use core::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::{KeyId, KeyRingError};

/// Where keys came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// Text that the host had.
    Text,
    /// The environment variable of this name.
    Variable(String),
    /// The file of this path.
    File(PathBuf),
    /// Bytes that the host had or unwrapped.
    Host,
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text => f.write_str("the text"),
            Self::Variable(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the key file `{}`", path.display()),
            Self::Host => f.write_str("the host's keys"),
        }
    }
}

/// Why a source gives no ring. It names the variable or the file, the key and its line, and no value.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeySourceError {
    /// The environment has no such variable.
    #[error("the environment variable {variable} is not set")]
    NotSet {
        /// Its name.
        variable: String,
    },
    /// There is no such file.
    #[error("the key file `{}` is missing", .path.display())]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// The path leads to a folder or a device.
    #[error("the key file `{}` is not a plain file", .path.display())]
    NotAFile {
        /// Its path.
        path: PathBuf,
    },
    /// Others than the owner can read or change the file.
    #[error("the key file `{}` has mode {mode:03o}, open to others; run `chmod 600` on it", .path.display())]
    OpenToOthers {
        /// Its path.
        path: PathBuf,
        /// Its permission bits; mode 600 is right.
        mode: u32,
    },
    /// The file cannot be read.
    #[error("cannot read the key file `{}`", .path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// What is there is not UTF-8.
    #[error("{origin} is not text in UTF-8")]
    NotText {
        /// Where.
        origin: KeySource,
    },
    /// What is there is too long for a ring.
    #[error("{origin} is longer than {limit} bytes")]
    TooLong {
        /// Where.
        origin: KeySource,
        /// The most bytes it may have.
        limit: usize,
    },
    /// There is no key, be it that nothing is there or comments alone.
    #[error("{origin} has no key in it")]
    Empty {
        /// Where.
        origin: KeySource,
    },
    /// The host's closure gave an error instead of a key.
    #[error("the key {id} cannot be unwrapped")]
    Unwrap {
        /// The id of the key.
        id: KeyId,
        /// What the closure gave.
        source: Box<dyn core::error::Error + Send + Sync>,
    },
    /// One of the keys cannot be used.
    #[error("key {nth} of {origin}{} cannot be used", .line.map(|line| format!(", in line {line},")).unwrap_or_default())]
    Key {
        /// Where.
        origin: KeySource,
        /// Its line, from 1; none where there is no text.
        line: Option<usize>,
        /// Which key it is, from 1.
        nth: usize,
        /// What is wrong with it.
        source: KeyRingError,
    },
}

impl KeySourceError {
    /// Returns a stable code: `variable_not_set`, `file_missing`, `not_a_file`, `open_to_others`, `unreadable`,
    /// `not_text`, `too_long`, `no_keys`, `unwrap_failed` or the code of the [`KeyRingError`].
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotSet { .. } => "variable_not_set",
            Self::Missing { .. } => "file_missing",
            Self::NotAFile { .. } => "not_a_file",
            Self::OpenToOthers { .. } => "open_to_others",
            Self::Unreadable { .. } => "unreadable",
            Self::NotText { .. } => "not_text",
            Self::TooLong { .. } => "too_long",
            Self::Empty { .. } => "no_keys",
            Self::Unwrap { .. } => "unwrap_failed",
            Self::Key { source, .. } => source.code(),
        }
    }
}
