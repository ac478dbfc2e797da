//! The command line.

use std::ffi::OsString;

use mfa_examples::Failure;
use mfa_examples::duo::Peer;
use mfa_testkit::duo::Reaction;

pub(crate) const HELP: &str = "\
A sign-in with Duo's Universal Prompt.

usage: cargo run --example duo-universal -- [--user NAME] [--reaction WHAT] [--log]

  --user NAME      who signs in, by the name at Duo (default: bob)
  --reaction WHAT  what the fake's user does at the sign-in: approve (default), deny, report, ignore
  --log            print the audit log at the end
  --help           show this text

Without these variables a fake of Duo is asked, and the program plays the browser. With them the
real one, and you are the browser: open the address that is printed, and paste the one that it
ends at. The application's type at Duo is \"Web SDK\".

  DUO_CLIENT_ID, DUO_CLIENT_SECRET, DUO_API_HOST
  DUO_REDIRECT_URI  (default: http://localhost:8080/duo)
  HTTPS_PROXY       the way out, where there is one

exit status: 0 signed in, 1 refused or failed, 2 the command line or a variable is not understood";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) user: String,
    pub(crate) log: bool,
    pub(crate) help: bool,
    pub(crate) reaction: Option<Reaction>,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut options = Self { user: "bob".to_owned(), log: false, help: false, reaction: None };
        while let Some(argument) = arguments.next() {
            let mut value = |name: &str| {
                let value = arguments.next().and_then(|value| value.into_string().ok());
                value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))
            };
            match argument.to_str() {
                Some("--user") => options.user = value("--user")?,
                Some("--reaction") => {
                    let reaction = Peer::reaction(&value("--reaction")?);
                    let unknown = || Failure::usage("--reaction must be approve, deny, report or ignore");
                    options.reaction = Some(reaction.ok_or_else(unknown)?);
                }
                Some("--log") => options.log = true,
                Some("--help" | "-h") => options.help = true,
                Some(other) => return Err(Failure::unknown_argument(other)),
                None => return Err(Failure::usage("an argument is not UTF-8")),
            }
        }
        Ok(options)
    }

    /// Refuses what only a fake can do.
    pub(crate) fn check(&self, peer: &Peer) -> Result<(), Failure> {
        if peer.played().is_none() && self.reaction.is_some() {
            return Err(Failure::usage("--reaction is for the fake alone"));
        }
        Ok(())
    }
}
