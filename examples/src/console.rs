//! Lines out and answers in: a terminal or a pipe.

use core::fmt;
use std::io::{self, BufRead as _, Read as _, Write as _};

use crate::Failure;

/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: u64 = 4096;

/// Prints a line at once: whoever answers through a pipe waits for the question.
///
/// # Errors
/// [`Failure::Unread`] if nobody reads it, [`Failure::Failed`] if it cannot be written.
pub fn say(text: impl fmt::Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::Failed(format!("cannot write the output: {error}")),
    })
}

/// Asks a question, and returns the line that answers it, without spaces around it.
///
/// # Errors
/// [`Failure::Failed`] if the input ends instead; as [`say`].
pub fn ask(question: impl fmt::Display) -> Result<String, Failure> {
    say(question)?;
    let mut answer = Vec::new();
    io::stdin().lock().take(MAX_ANSWER_BYTES).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(Failure::failed("the input ended in the middle of a question"));
    }
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}
