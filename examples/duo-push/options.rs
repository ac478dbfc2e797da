//! The command line.

use std::ffi::OsString;

use mfa_examples::Failure;
use mfa_examples::duo::Peer;
use mfa_testkit::duo::Reaction;

pub(crate) const HELP: &str = "\
A sign-in with a push of Duo's Auth API.

usage: cargo run --example duo-push -- [--user NAME] [--factor KIND] [--reaction WHAT] [--verified] [--log]

  --user NAME      who signs in, by the name at Duo (default: bob)
  --factor KIND    push (default) or phone
  --reaction WHAT  what the fake's user does at the sign-in: approve (default), deny, report, ignore
  --verified       the fake wants the number of the page typed into the phone; there are two sign-ins
  --log            print the audit log at the end
  --help           show this text

Without these variables a fake of Duo is asked, and the program plays its user. With them the real
one, and the phone rings. The application's type at Duo is \"Auth API\".

  DUO_INTEGRATION_KEY, DUO_SECRET_KEY, DUO_API_HOST
  HTTPS_PROXY      the way out, where there is one

exit status: 0 signed in, 1 refused or failed, 2 the command line or a variable is not understood";

/// What the command line asks for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) user: String,
    pub(crate) factor: String,
    pub(crate) reaction: Option<Reaction>,
    pub(crate) verified: bool,
    pub(crate) log: bool,
    pub(crate) help: bool,
}

impl Options {
    pub(crate) fn parse(mut arguments: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut options = Self {
            user: "bob".to_owned(),
            factor: "push".to_owned(),
            reaction: None,
            verified: false,
            log: false,
            help: false,
        };
        while let Some(argument) = arguments.next() {
            let mut value = |name: &str| {
                let value = arguments.next().and_then(|value| value.into_string().ok());
                value.ok_or_else(|| Failure::usage(format!("{name} needs a value")))
            };
            match argument.to_str() {
                Some("--user") => options.user = value("--user")?,
                Some("--factor") => options.factor = factor(value("--factor")?)?,
                Some("--reaction") => {
                    let reaction = Peer::reaction(&value("--reaction")?);
                    let unknown = || Failure::usage("--reaction must be approve, deny, report or ignore");
                    options.reaction = Some(reaction.ok_or_else(unknown)?);
                }
                Some("--verified") => options.verified = true,
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
        if peer.played().is_none() && (self.reaction.is_some() || self.verified) {
            return Err(Failure::usage("--reaction and --verified are for the fake alone"));
        }
        Ok(())
    }
}

/// An SMS would need a passcode typed, which this example does not read.
fn factor(kind: String) -> Result<String, Failure> {
    match kind.as_str() {
        "push" | "phone" => Ok(kind),
        _ => Err(Failure::usage("--factor must be push or phone")),
    }
}
