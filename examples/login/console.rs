//! Lines in, text out: a terminal or a pipe.

use std::fmt;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Stdin, Write};

use mfa_examples::Failure;

/// The longest line that is read, in bytes.
const MAX_LINE_BYTES: usize = 4096;
/// The answer that gives up.
const CANCEL: &str = "cancel";

/// The terminal, or a script on standard input.
#[derive(Debug)]
pub(crate) struct Console {
    input: BufReader<Stdin>,
    interactive: bool,
}

impl Console {
    pub(crate) fn new() -> Self {
        let interactive = io::stdin().is_terminal();
        Self { input: BufReader::new(io::stdin()), interactive }
    }

    /// Returns whether a person types the lines.
    pub(crate) const fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// Returns whether there is nothing more to read.
    pub(crate) fn is_at_end(&mut self) -> Result<bool, Failure> {
        Ok(self.input.fill_buf()?.is_empty())
    }

    /// Prints a line.
    pub(crate) fn say(&mut self, text: impl fmt::Display) -> Result<(), Failure> {
        print(format_args!("{text}\n"))
    }

    /// Reads the next command. A person is prompted; a script is not, so that what it prints can be used.
    pub(crate) fn command(&mut self) -> Result<Option<String>, Failure> {
        if self.interactive {
            print("mfa> ")?;
        }
        let line = self.line()?;
        if self.interactive && line.is_none() {
            print("\n")?;
        }
        Ok(line)
    }

    /// Asks a question. `None` if the input ends instead of answering it.
    fn ask(&mut self, question: &str) -> Result<Option<String>, Failure> {
        print(question)?;
        let line = self.line()?;
        if !self.interactive || line.is_none() {
            print("\n")?;
        }
        Ok(line)
    }

    /// Asks until there is an answer; `None` if it is to cancel.
    pub(crate) fn answer(&mut self, question: &str) -> Result<Option<String>, Failure> {
        loop {
            match self.ask(question)? {
                None if self.interactive => return Ok(None),
                None => return Err(Failure::failed("the input ended in the middle of a question")),
                Some(line) if line.is_empty() => {}
                Some(line) if line.eq_ignore_ascii_case(CANCEL) => return Ok(None),
                Some(line) => return Ok(Some(line)),
            }
        }
    }

    /// Writes a line beside the output proper. Where even that fails there is nobody to tell.
    pub(crate) fn note(text: impl fmt::Display) {
        drop(writeln!(io::stderr(), "{text}"));
    }

    fn line(&mut self) -> Result<Option<String>, Failure> {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LINE_BYTES).unwrap_or(u64::MAX);
        self.input.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() == MAX_LINE_BYTES && bytes.last() != Some(&b'\n') {
            self.input.skip_until(b'\n')?;
        }
        Ok(Some(String::from_utf8_lossy(&bytes).trim().to_owned()))
    }
}

/// Prints and flushes: whoever answers through a pipe waits for the question.
fn print(text: impl fmt::Display) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    let written = write!(output, "{text}").and_then(|()| output.flush());
    written.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::Unread,
        _ => Failure::failed(format!("cannot write the output: {error}")),
    })
}
