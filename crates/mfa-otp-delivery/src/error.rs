//! Why something could not be set up.

use mfa_core::FieldError;
use thiserror::Error;

/// Why a transport could not be set up or reached. That a single message was not accepted is a
/// [`NotDelivered`](mfa_core::NotDelivered).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A value is not possible.
    #[error(transparent)]
    Invalid(#[from] FieldError),
    /// The folder for messages cannot be made or read.
    #[error("the folder for messages cannot be used")]
    Folder(#[source] std::io::Error),
    /// Others than its owner may enter the folder for messages.
    #[error("the folder for messages is open to others: set its mode to 0700")]
    FolderIsOpen,
    /// No connection to the mail server.
    #[error("the mail server cannot be reached")]
    Unreachable,
    /// The mail server's certificate was refused, or it does not speak TLS.
    #[error("no trusted tls with the mail server")]
    Tls,
    /// The mail server refused user or password, or knows no way to take them.
    #[error("the mail server refuses the sign-in")]
    SignIn,
    /// The mail server turned us away before that.
    #[error("the mail server refuses the connection with code {0}")]
    Refused(u16),
    /// The mail server did not answer in time.
    #[error("the mail server did not answer in time")]
    TimedOut,
}

impl Error {
    /// Returns a stable code: that of the field error, or one that begins with `folder_` or `smtp_`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Invalid(field) => field.code,
            Self::Folder(_) => "folder_unusable",
            Self::FolderIsOpen => "folder_open",
            Self::Unreachable => "smtp_unreachable",
            Self::Tls => "smtp_tls",
            Self::SignIn => "smtp_sign_in",
            Self::Refused(_) => "smtp_refused",
            Self::TimedOut => "smtp_timed_out",
        }
    }
}
