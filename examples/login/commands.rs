//! The menu: each command is what a page of a real service would do.

use std::process::ExitCode;

use mfa::{
    Answer, Begin, Challenge, Error, Grant, Intent, Method, MethodSelector, Response, Subject, Verify,
};
use mfa_examples::Failure;

use crate::answer::Answering;
use crate::console::Console;
use crate::enrolment::Enrolment;
use crate::host::{Host, SESSION, facts, totp};
use crate::options::{Options, cut};
use crate::right::Asking;
use crate::table;
use crate::wording::denial;

const COMMANDS: &str = "commands:
  enrol            set up an authenticator app: shows a QR code, asks for the first code, gives recovery codes;
                   another one needs a code of the app that is there, or a recovery code
  login            sign in: the password is taken as right, the app's code is asked for
  recover          sign in with a recovery code instead
  log              show the newest rows of the audit log
  methods          list bob's authenticators and how many recovery codes are left
  remove [METHOD]  remove an authenticator by its id, or the only one, which needs a code of the app that stays,
                   or of the last one; with the last go the recovery codes
  export           print the whole audit log as JSON lines, with a checkpoint at its end, for `audit-verify`
  help             show this list
  quit             end";
const LOG_ROWS: usize = 50;

/// The commands of the one user.
#[derive(Debug)]
pub(crate) struct Menu<'a> {
    host: &'a Host,
    console: &'a mut Console,
    bob: Subject,
    light: bool,
}

impl<'a> Menu<'a> {
    pub(crate) async fn new(
        host: &'a Host,
        console: &'a mut Console,
        options: &Options,
    ) -> Result<Self, Failure> {
        let bob = host.user("bob").await?;
        if console.is_interactive() {
            let db = options.db.display();
            console.say(format_args!("Signing in as {}. State and audit log: {db}", bob.label()))?;
            console.say("Type `enrol` first, then `login`; `help` lists the commands.")?;
        }
        Ok(Self { host, console, bob, light: options.light })
    }

    /// Runs commands until the input ends. A script ends with the status of the worst line in it.
    pub(crate) async fn run(mut self) -> Result<ExitCode, Failure> {
        let (mut unknown, mut failed) = (false, false);
        while let Some(line) = self.console.command()? {
            let mut words = line.split_whitespace();
            let Some(word) = words.next() else { continue };
            let argument = words.next();
            let done = match (word.to_ascii_lowercase().as_str(), argument, words.next()) {
                ("enrol" | "enroll", None, None) => self.enrol().await,
                ("login", None, None) => self.login(Way::App).await,
                ("recover", None, None) => self.login(Way::Recovery).await,
                ("log", None, None) => self.log().await,
                ("methods", None, None) => self.methods().await,
                ("remove", method, None) => self.remove(method).await,
                ("export", None, None) => self.export().await,
                ("help" | "?", None, None) => self.console.say(COMMANDS),
                ("quit" | "exit", None, None) => break,
                _ => {
                    unknown = true;
                    Console::note(format_args!("unknown command {:?}; `help` lists them", cut(&line)));
                    Ok(())
                }
            };
            match done {
                Err(Failure::Failed(problem)) => {
                    failed = true;
                    Console::note(format_args!("error: {problem}"));
                }
                done => done?,
            }
        }
        if self.console.is_interactive() {
            return Ok(ExitCode::SUCCESS);
        }
        Ok(ExitCode::from(if failed {
            1
        } else if unknown {
            2
        } else {
            0
        }))
    }

    async fn enrol(&mut self) -> Result<(), Failure> {
        let intent = Intent::add_method(&self.bob, &totp()?);
        let Some(right) = self.asking().right_to(&intent).await? else { return Ok(()) };
        let (host, user, light) = (self.host, &self.bob, self.light);
        Enrolment { host, console: &mut *self.console, user, right: &right, light }.run().await
    }

    fn asking(&mut self) -> Asking<'_> {
        Asking { host: self.host, console: &mut *self.console, user: &self.bob }
    }

    /// Signs in: with the app's code, or with a recovery code.
    async fn login(&mut self, with: Way) -> Result<(), Failure> {
        self.console.say("Password: (this example has none, and pretends that it was right)")?;
        match self.host.begin(&self.bob, None).await? {
            Begin::Challenge(challenge) => self.second_step(&challenge, with).await,
            Begin::NotRequired(why) => {
                let code = why.code();
                self.console.say(format_args!(
                    "accepted with the password alone: bob has no second factor ({code}); try `enrol`"
                ))
            }
            Begin::EnrolmentRequired(_) => self.console.say("refused: a second factor must be set up first"),
            Begin::Denied(denied) => self.console.say(denial(&denied)),
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }

    async fn second_step(&mut self, challenge: &Challenge, with: Way) -> Result<(), Failure> {
        let (host, question, otherwise) = (self.host, with.question(), "not signed in");
        let answering = Answering { host, console: &mut *self.console, challenge, question, otherwise };
        match answering.run(|typed| with.response(typed)).await? {
            Some(Verify::Verified(grant)) => self.signed_in(grant),
            None => Ok(()),
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }

    fn signed_in(&mut self, grant: Grant) -> Result<(), Failure> {
        let left = grant.recovery_left();
        let (account, user) = (self.bob.account(), self.bob.user());
        let session = grant.redeem(account, user, Some(SESSION), self.host.now())?;
        let amr: Vec<_> = session.amr().iter().map(|amr| amr.as_str()).collect();
        let (amr, aal) = (amr.join(" "), session.aal().number());
        self.console.say(format_args!("accepted: bob is signed in (amr {amr}, aal {aal})"))?;
        match left {
            Some(left) => self.console.say(format_args!("recovery codes left: {left}")),
            None => Ok(()),
        }
    }

    async fn log(&mut self) -> Result<(), Failure> {
        show_log(self.host, self.console, LOG_ROWS).await
    }

    async fn methods(&mut self) -> Result<(), Failure> {
        let methods = self.host.engine.methods(self.bob.account(), self.bob.user()).await?;
        if methods.is_empty() {
            return self.console.say("bob has no second factor; try `enrol`");
        }
        for method in methods {
            let stopped = if method.stopped { ", stopped: remove it and enrol again" } else { "" };
            let left = method.uses_left.map(|left| format!(", {left} codes left"));
            let (provider, id, since) = (method.provider, method.id, method.created_at);
            let left = left.unwrap_or_default();
            self.console.say(format_args!("{provider} {id} since {since}{left}{stopped}"))?;
        }
        Ok(())
    }

    async fn remove(&mut self, method: Option<&str>) -> Result<(), Failure> {
        let (engine, account, user) = (&self.host.engine, self.bob.account(), self.bob.user());
        let selector: MethodSelector = method.unwrap_or("totp").parse()?;
        let methods = engine.methods(account, user).await?;
        let mut chosen = methods.iter().filter(|method| selects(&selector, method));
        let (Some(Method { id, is_recovery, .. }), None) = (chosen.next(), chosen.next()) else {
            return Err(Failure::failed("bob has no such method, or several; `methods` shows their ids"));
        };
        // A method does not prove that it may go itself: who removes the last one gives up the second factor.
        let is_last = !is_recovery && methods.iter().filter(|method| !method.is_recovery).count() == 1;
        let intent = match is_last {
            true => Intent::disable(&self.bob),
            false => Intent::remove_method(&self.bob, *id),
        };
        let Some(right) = self.asking().right_to(&intent).await? else { return Ok(()) };
        let (account, user) = (self.bob.account(), self.bob.user());
        let done = match is_last {
            true => engine.disable(account, user, &right).await,
            false => {
                engine.method_remove(account, user, &MethodSelector::Enrolment(*id), &right).await.map(drop)
            }
        };
        match done {
            Ok(()) => self.console.say(format_args!("removed: {id}")),
            Err(Error::Forbidden(why)) => self.console.say(format_args!("refused: {why} [{}]", why.code())),
            Err(error) => Err(error.into()),
        }
    }

    /// Prints the log as it is kept, with its checkpoints, so that it can be checked elsewhere.
    async fn export(&mut self) -> Result<(), Failure> {
        let mut lines = self.host.fixed_log().await?;
        while let Some(line) = lines.next().await? {
            self.console.say(line)?;
        }
        let key = self.host.checkpoint_key().display();
        Console::note(format_args!(
            "check it with: cargo run --example audit-verify -- --log FILE --key-file {key}"
        ));
        Ok(())
    }
}

/// What the user signs in with.
#[derive(Clone, Copy, Debug)]
enum Way {
    App,
    Recovery,
}

impl Way {
    const fn question(self) -> &'static str {
        match self {
            Self::App => "The code the app shows (or `cancel`): ",
            Self::Recovery => "A recovery code (or `cancel`): ",
        }
    }

    fn response(self, typed: &str) -> Response {
        let response = match self {
            Self::App => Response::code(typed),
            Self::Recovery => Response::answer(Answer::recovery(typed)),
        };
        response.with_request(facts())
    }
}

fn selects(selector: &MethodSelector, method: &Method) -> bool {
    match selector {
        MethodSelector::Enrolment(id) => method.id == *id,
        MethodSelector::Provider(provider) => method.provider == *provider,
        _ => false,
    }
}

/// Prints the newest rows of the log, newest last.
pub(crate) async fn show_log(host: &Host, console: &mut Console, rows: usize) -> Result<(), Failure> {
    let (mut events, older) = host.newest_events(rows).await?;
    events.reverse();
    if events.is_empty() {
        return console.say("the log is empty");
    }
    if older {
        console.say(format_args!("(the newest {rows} rows; `export` prints all)"))?;
    }
    table::lines(&events).into_iter().try_for_each(|line| console.say(line))
}
