//! The command line.

use std::ffi::OsString;

use mfa::delivery::address::Email;
use mfa_examples::Failure;

pub(crate) const HELP: &str = "\
A sign-in with a code by e-mail.

usage: cargo run --example email-code -- [--smtp URL --to ADDRESS [--from ADDRESS]] [--log]

  --smtp URL      the mail server that sends, as smtps://user:password@host (TLS from the first byte)
                  or smtp://user:password@host (STARTTLS; without TLS on 127.0.0.1 and [::1] alone)
  --to ADDRESS    the mailbox that is set up (default: bob@acme.example, without --smtp)
  --from ADDRESS  the sender (default: no-reply at the domain of --to)
  --log           print the audit log at the end
  --help          show this text

A command line can be read by whoever else uses this machine: the variable SMTP_URL is an --smtp
that cannot. Without both, mail goes to a sink on loopback, and the program plays the user.

exit status: 0 signed in, 1 refused or failed, 2 the command line is not understood";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) smtp: Option<String>,
    pub(crate) to: Email,
    pub(crate) from: Email,
    pub(crate) log: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let (mut smtp, mut to, mut from) = (None, None, None);
        let (mut log, mut help) = (false, false);
        while let Some(argument) = arguments.next() {
            let mut value = |name: &str| {
                let value = arguments.next().and_then(|value| value.into_string().ok());
                value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))
            };
            match argument.to_str() {
                Some("--smtp") => smtp = Some(value("--smtp")?),
                Some("--to") => to = Some(address("--to", &value("--to")?)?),
                Some("--from") => from = Some(address("--from", &value("--from")?)?),
                Some("--log") => log = true,
                Some("--help" | "-h") => help = true,
                Some(other) => return Err(Failure::unknown_argument(other)),
                None => return Err(Failure::usage("an argument is not UTF-8")),
            }
        }
        let smtp = smtp.or_else(|| std::env::var("SMTP_URL").ok()).filter(|_| !help);
        if smtp.is_some() && to.is_none() {
            return Err(Failure::usage("--smtp needs --to: a real server sends to a real mailbox"));
        }
        let to = to.map_or_else(|| address("--to", "bob@acme.example"), Ok)?;
        let from = from.map_or_else(|| address("--from", &format!("no-reply@{}", to.domain())), Ok)?;
        Ok(Self { smtp, to, from, log, help })
    }
}

fn address(name: &str, text: &str) -> Result<Email, Failure> {
    Email::parse(text).map_err(|error| Failure::usage(format!("{name}: {error}")))
}
