//! The menu: each command is what a page of a real service would do.

use std::process::ExitCode;

use mfa::audit::export;
use mfa::{Answer, Begin, Challenge, Grant, MethodSelector, Response, Subject, Verify};
use mfa_examples::Failure;

use crate::console::Console;
use crate::enrolment::Enrolment;
use crate::host::{Host, SESSION, facts, vouched};
use crate::options::{Options, cut};
use crate::table;
use crate::wording::{is_over, refusal, seconds};

const COMMANDS: &str = "commands:
  enrol            set up an authenticator app: shows a QR code, asks for the first code, gives recovery codes
  login            sign in: the password is taken as right, the app's code is asked for
  recover          sign in with a recovery code instead
  log              show the newest rows of the audit log
  methods          list bob's authenticators and how many recovery codes are left
  remove [METHOD]  remove an authenticator by its id, or the only one; with the last go the recovery codes
  export           print the whole audit log as JSON lines
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
        let (host, user, light) = (self.host, &self.bob, self.light);
        Enrolment { host, console: &mut *self.console, user, light }.run().await
    }

    /// Signs in: with the app's code, or with a recovery code.
    async fn login(&mut self, with: Way) -> Result<(), Failure> {
        self.console.say("Password: (this example has none, and pretends that it was right)")?;
        match self.host.begin(&self.bob, None).await? {
            Begin::Challenge(challenge) => self.second_step(challenge, with).await,
            Begin::NotRequired(why) => {
                let code = why.code();
                self.console.say(format_args!(
                    "accepted with the password alone: bob has no second factor ({code}); try `enrol`"
                ))
            }
            Begin::EnrolmentRequired(_) => self.console.say("refused: a second factor must be set up first"),
            Begin::Denied(denied) => {
                let wait = denied.retry_after.map(|wait| format!("; wait {}", seconds(wait)));
                let (reason, wait) = (denied.reason.code(), wait.unwrap_or_default());
                self.console.say(format_args!("refused before the second step ({reason}){wait}"))
            }
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }

    async fn second_step(&mut self, challenge: Challenge, with: Way) -> Result<(), Failure> {
        let engine = &self.host.engine;
        loop {
            let typed = match self.console.answer(with.question()) {
                Ok(Some(typed)) => typed,
                given_up => {
                    let _ended = engine.cancel(&challenge.reference).await?;
                    given_up?;
                    return self.console.say("cancelled: not signed in");
                }
            };
            match engine.verify(&challenge.reference, with.response(&typed)).await? {
                Verify::Verified(grant) => return self.signed_in(grant),
                Verify::Rejected(rejected) => {
                    self.console.say(refusal(&rejected))?;
                    if is_over(&rejected) {
                        return self.console.say("not signed in; `login` begins anew");
                    }
                }
                _ => return Err(Failure::failed("an answer that this example does not know")),
            }
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
        let (account, user) = (self.bob.account(), self.bob.user());
        let selector: MethodSelector = method.unwrap_or("totp").parse()?;
        let authority = vouched("removed in the terminal");
        let id = self.host.engine.method_remove(account, user, &selector, &authority).await?;
        self.console.say(format_args!("removed: {id}"))
    }

    async fn export(&mut self) -> Result<(), Failure> {
        let mut cursor: Option<String> = None;
        loop {
            let page = self.host.events_after(cursor.as_deref()).await?;
            for event in &page.events {
                self.console.say(export::to_line(event)?)?;
            }
            let Some(next) = page.next else { return Ok(()) };
            cursor = Some(next.to_string());
        }
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
