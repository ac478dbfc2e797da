//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use mfa::LinkToken;
use mfa::delivery::address::Email;
use mfa_examples::{Failure, beside};

pub(crate) const HELP: &str = "\
A sign-in with a secure link.

usage: cargo run --example secure-link -- [COMMAND] [--db PATH] [--mail FOLDER] [--smtp URL --to ADDRESS]

  wait            begin a sign-in, show two digits, and wait until its link is confirmed
  open LINK       be the device on which the link is opened: asks for the digits, or `not me`
  demo            play both in one process (the default); its files are gone at the end

  --db PATH       the one file that both terminals share (default: mfa-link.db); its key is kept
                  beside it in PATH.key, which only you can read
  --mail FOLDER   where mail is written to (default: PATH.mail): whoever can read it can sign in
  --smtp URL      with `wait`: the mail server that sends, as for the example email-code
  --to ADDRESS    with `wait`: the mailbox (default: bob@acme.example, without --smtp)
  --from ADDRESS  with `wait`: the sender (default: no-reply at the domain of --to)
  --help          show this text

Put the link in quotes: a shell takes what follows a `#` for a comment in some places.

exit status: 0 signed in, confirmed or reported, 1 refused or failed, 2 the command line is not
understood";

/// How this example is run.
pub(crate) const RUN: &str = "cargo run --example secure-link --";

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Command {
    Wait,
    Open(LinkToken),
    Demo,
    Help,
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) command: Command,
    pub(crate) db: PathBuf,
    pub(crate) mail: PathBuf,
    pub(crate) smtp: Option<String>,
    pub(crate) to: Email,
    pub(crate) from: Email,
    /// Whether the other terminal has to be told of them.
    told: [bool; 2],
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let (mut words, mut paths) = (Vec::new(), [None, None]);
        let (mut smtp, mut to, mut from, mut help) = (None, None, None, false);
        while let Some(argument) = arguments.next() {
            let mut value = |name: &str| {
                let value = arguments.next().filter(|value| !value.is_empty());
                value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))
            };
            match argument.to_str() {
                Some("--db") => paths[0] = Some(PathBuf::from(value("--db")?)),
                Some("--mail") => paths[1] = Some(PathBuf::from(value("--mail")?)),
                Some("--smtp") => smtp = Some(text("--smtp", value("--smtp")?)?),
                Some("--to") => to = Some(address("--to", &text("--to", value("--to")?)?)?),
                Some("--from") => from = Some(address("--from", &text("--from", value("--from")?)?)?),
                Some("--help" | "-h") => help = true,
                Some(other) if other.starts_with('-') => return Err(Failure::unknown_argument(other)),
                Some(word) => words.push(word.to_owned()),
                None => return Err(Failure::usage("an argument is not UTF-8")),
            }
        }
        let command = if help { Command::Help } else { command(&words)? };
        if smtp.is_some() && to.is_none() && !help {
            return Err(Failure::usage("--smtp needs --to: a real server sends to a real mailbox"));
        }
        let told = [paths[0].is_some(), paths[1].is_some()];
        let [db, mail] = paths;
        let db = db.unwrap_or_else(|| PathBuf::from("mfa-link.db"));
        let mail = mail.unwrap_or_else(|| beside(&db, ".mail"));
        let to = to.map_or_else(|| address("--to", "bob@acme.example"), Ok)?;
        let from = from.map_or_else(|| address("--from", &format!("no-reply@{}", to.domain())), Ok)?;
        Ok(Self { command, db, mail, smtp, to, from, told })
    }

    /// The same with files of their own in a folder.
    pub(crate) fn inside(&self, folder: &Path) -> Self {
        let db = folder.join("demo.db");
        let (to, from, mail) = (self.to.clone(), self.from.clone(), beside(&db, ".mail"));
        Self { command: Command::Demo, db, mail, smtp: None, to, from, told: [false, false] }
    }

    /// What the other terminal has to be told.
    pub(crate) fn shared(&self) -> String {
        let mut shared = String::new();
        for (told, name, path) in [(self.told[0], "--db", &self.db), (self.told[1], "--mail", &self.mail)] {
            if told {
                shared.push_str(&format!(" {name} '{}'", path.display()));
            }
        }
        shared
    }
}

fn command(words: &[String]) -> Result<Command, Failure> {
    let words: Vec<_> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] | ["demo"] => Ok(Command::Demo),
        ["wait"] => Ok(Command::Wait),
        ["open", link] => match link.split_once('#') {
            Some((_, token)) => Ok(Command::Open(LinkToken::from_text(token))),
            None => Err(Failure::usage("the link has no `#` with its token behind; is it in quotes?")),
        },
        ["open", ..] => Err(Failure::usage("open needs one link")),
        [word, ..] => Err(Failure::unknown_argument(word)),
    }
}

fn text(name: &str, value: OsString) -> Result<String, Failure> {
    value.into_string().map_err(|_| Failure::usage(format!("{name} is not UTF-8")))
}

fn address(name: &str, text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(|error| Failure::usage(format!("{name}: {error}")))
}
