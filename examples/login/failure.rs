//! Why the program, or one of its commands, does not do what was asked: one line and an exit status.

use std::process::ExitCode;

use crate::console::Console;

#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is not understood.
    Usage(String),
    /// Something did not work.
    Failed(String),
    /// Nobody reads the output any more, as when it is piped into `head`.
    Unread,
}

impl Failure {
    pub(crate) fn failed(problem: impl Into<String>) -> Self {
        Self::Failed(problem.into())
    }

    /// Says what is wrong, and returns the exit status for it.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(problem) => {
                Console::note(format_args!("error: {problem}"));
                ExitCode::from(2)
            }
            Self::Failed(problem) => {
                Console::note(format_args!("error: {problem}"));
                ExitCode::FAILURE
            }
            Self::Unread => ExitCode::SUCCESS,
        }
    }
}

/// An error and what led to it, in one line. `Failure` itself is no error, so that `?` takes every kind.
impl<E: std::error::Error> From<E> for Failure {
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
