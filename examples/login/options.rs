//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use mfa_examples::Failure;

pub(crate) const HELP: &str = "\
A sign-in with a second step, in a terminal.

usage: cargo run --example login -- [--db PATH] [--light] [--demo]

  --db PATH   the one file that holds the state and the audit log (default: mfa-login.db);
              its key is kept beside it in PATH.key, and that of the checkpoints of the log, which
              `export` makes, in PATH.checkpoint-key; only you can read them
  --light     draw QR codes for a terminal with a light background
  --demo      show a demonstration with a software authenticator and end
  --help      show this text

Commands are read from the terminal, or one a line from a pipe: enrol, login, recover, log,
methods, remove, export, help, quit. With nothing on standard input, the demonstration is shown.

exit status: 0 done, 1 something failed, 2 the command line or a piped command is not known";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) db: PathBuf,
    pub(crate) light: bool,
    pub(crate) demo: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut options = Self { db: PathBuf::from("mfa-login.db"), light: false, demo: false, help: false };
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--db") => {
                    let path = arguments.next().filter(|path| !path.is_empty());
                    options.db = path.ok_or_else(|| usage("--db needs a path"))?.into();
                }
                Some("--light") => options.light = true,
                Some("--demo") => options.demo = true,
                Some("--help" | "-h") => options.help = true,
                Some(text) => match text.strip_prefix("--db=").filter(|path| !path.is_empty()) {
                    Some(path) => options.db = path.into(),
                    None => return Err(usage(&format!("unknown argument {:?}", cut(text)))),
                },
                None => return Err(usage("an argument is not UTF-8")),
            }
        }
        Ok(options)
    }
}

/// Keeps as much of somebody's text as fits into a message.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(32).collect()
}

fn usage(problem: &str) -> Failure {
    Failure::Usage(format!("{problem}; try --help"))
}
