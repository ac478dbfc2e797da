//! Why a run does not end with a sign-in: one line and an exit status.

use core::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;

use mfa::{BuildError, FieldError};

/// Why a run ends early.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// The command line or the environment is not understood.
    Usage(String),
    /// Something did not work.
    Failed(String),
    /// The user was not signed in, as was said already.
    Refused,
    /// Nobody reads the output any more, as when it is piped into `head`.
    Unread,
}

impl Failure {
    /// Makes a [`Failure::Failed`].
    #[must_use]
    pub fn failed(problem: impl Into<String>) -> Self {
        Self::Failed(problem.into())
    }

    /// Makes a [`Failure::Usage`] that points to the help.
    #[must_use]
    pub fn usage(problem: impl fmt::Display) -> Self {
        Self::Usage(format!("{problem}; try --help"))
    }

    /// Makes a [`Failure::Usage`] for an argument that is not known, of which it shows the beginning.
    #[must_use]
    pub fn unknown_argument(argument: &str) -> Self {
        let cut: String = argument.chars().take(32).collect();
        Self::usage(format!("unknown argument {cut:?}"))
    }

    /// Says what is wrong, and returns the exit status for it.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        let (problem, status) = match self {
            Self::Usage(problem) => (problem, ExitCode::from(2)),
            Self::Failed(problem) => (problem, ExitCode::FAILURE),
            Self::Refused => return ExitCode::FAILURE,
            Self::Unread => return ExitCode::SUCCESS,
        };
        // Where even that fails there is nobody to tell.
        drop(writeln!(io::stderr(), "error: {}", problem.replace(char::is_control, " ")));
        status
    }

    /// Names the environment variable that the setting at fault came from.
    pub(crate) fn of_settings(errors: &[FieldError], variables: &[(&str, &str)]) -> Self {
        let Some(error) = errors.first() else { return Self::Failed("the settings are refused".to_owned()) };
        let variable = variables.iter().find(|(setting, _)| *setting == error.field);
        Self::Usage(match variable {
            Some((_, variable)) => format!("{variable}: {error}"),
            None => error.to_string(),
        })
    }

    pub(crate) fn of_build(error: BuildError, variables: &[(&str, &str)]) -> Self {
        match error {
            BuildError::Settings { errors, .. } => Self::of_settings(&errors, variables),
            other => other.into(),
        }
    }
}

/// An error and what led to it, in one line. `Failure` itself is no error, so that `?` takes every kind.
impl<E: core::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut line = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            // Some errors say what their source says.
            if !line.ends_with(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            source = cause.source();
        }
        Self::Failed(line.replace(char::is_control, " "))
    }
}
