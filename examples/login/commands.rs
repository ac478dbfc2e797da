//! The menu: each command is what a page of a real service would do.

use std::process::ExitCode;
use std::time::Duration;

use mfa::audit::export;
use mfa::{
    Begin, Challenge, Choice, EnrolConfirm, MethodSelector, Reason, Rejected, Response, Subject, Verify,
};

use crate::console::Console;
use crate::failure::Failure;
use crate::host::{Host, SESSION, facts, totp, vouched};
use crate::options::{Options, cut};
use crate::table;

const COMMANDS: &str = "commands:
  enrol            set up an authenticator app: shows a QR code and asks for the first code
  login            sign in: the password is taken as right, the app's code is asked for
  log              show the newest rows of the audit log
  methods          list bob's authenticators
  remove [METHOD]  remove an authenticator by its id, or the only one
  export           print the whole audit log as JSON lines
  help             show this list
  quit             end";
const LOG_ROWS: usize = 50;
const CANCEL: &str = "cancel";

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
                ("login", None, None) => self.login().await,
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
        let (account, user, host) = (self.bob.account(), self.bob.user(), self.host);
        let started = host
            .engine
            .enrol_begin(account, user, &totp()?, &Choice::none(), &vouched("set up in the terminal"))
            .await?;
        let revealed = |name| {
            let value = started.revealed.get(name).map(|value| value.expose_secret());
            value.ok_or_else(|| Failure::failed("the provider shows no secret"))
        };
        let qr = revealed(if self.light { "qr_text_light" } else { "qr_text" })?;
        self.console.say("Scan this with an authenticator app:")?;
        self.console.say(qr)?;
        self.console.say(format_args!("or type the secret: {}", in_fours(revealed("secret")?)))?;
        self.console.say(format_args!("or open the link: {}", revealed("uri")?))?;
        while let Some(code) = self.code("The code the app shows now (or `cancel`): ")? {
            let response = Response::code(&code).with_request(facts());
            match host.engine.enrol_confirm(&started.reference, &response).await? {
                EnrolConfirm::Confirmed(id) => {
                    self.console.say(format_args!("enrolled: totp {id}"))?;
                    return self
                        .console
                        .say("That code is used up: sign in with the next one the app shows.");
                }
                EnrolConfirm::Rejected(rejected) => {
                    self.console.say(refusal(&rejected))?;
                    if is_over(&rejected) {
                        return Ok(());
                    }
                }
                _ => return Err(Failure::failed("an answer that this example does not know")),
            }
        }
        self.console.say("cancelled: nothing was set up")
    }

    async fn login(&mut self) -> Result<(), Failure> {
        self.console.say("Password: (this example has none, and pretends that it was right)")?;
        match self.host.begin(&self.bob, None).await? {
            Begin::Challenge(challenge) => self.second_step(challenge).await,
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

    async fn second_step(&mut self, challenge: Challenge) -> Result<(), Failure> {
        let engine = &self.host.engine;
        loop {
            let code = match self.code("The code the app shows (or `cancel`): ") {
                Ok(Some(code)) => code,
                given_up => {
                    let _ended = engine.cancel(&challenge.reference).await?;
                    given_up?;
                    return self.console.say("cancelled: not signed in");
                }
            };
            let response = Response::code(&code).with_request(facts());
            match engine.verify(&challenge.reference, response).await? {
                Verify::Verified(grant) => {
                    let (account, user) = (self.bob.account(), self.bob.user());
                    let session = grant.redeem(account, user, Some(SESSION), self.host.now())?;
                    let amr: Vec<_> = session.amr().iter().map(|amr| amr.as_str()).collect();
                    let (amr, aal) = (amr.join(" "), session.aal().number());
                    return self
                        .console
                        .say(format_args!("accepted: bob is signed in (amr {amr}, aal {aal})"));
                }
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
            let (provider, id, since) = (method.provider, method.id, method.created_at);
            self.console.say(format_args!("{provider} {id} since {since}{stopped}"))?;
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

    /// Asks until there is an answer; `None` if it is to cancel.
    fn code(&mut self, question: &str) -> Result<Option<String>, Failure> {
        loop {
            match self.console.ask(question)? {
                None if self.console.is_interactive() => return Ok(None),
                None => return Err(Failure::failed("the input ended in the middle of a question")),
                Some(line) if line.is_empty() => {}
                Some(line) if line.eq_ignore_ascii_case(CANCEL) => return Ok(None),
                Some(line) => return Ok(Some(line)),
            }
        }
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

/// What the user may see, and behind it what only the host knows.
pub(crate) fn refusal(rejected: &Rejected) -> String {
    let wait = rejected.retry_after.map(|wait| format!(", wait {}", seconds(wait)));
    let (shown, reason, left) = (rejected.public(), rejected.reason, rejected.attempts_left);
    format!("refused: {shown} [{reason}, attempts left {left}{}]", wait.unwrap_or_default())
}

/// Returns whether another answer makes no sense.
fn is_over(rejected: &Rejected) -> bool {
    let again = matches!(rejected.reason, Reason::WrongCode | Reason::Malformed | Reason::Replayed);
    !again || rejected.attempts_left == 0
}

fn seconds(wait: Duration) -> String {
    let whole = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    format!("{whole} s")
}

fn in_fours(secret: &str) -> String {
    let chars: Vec<char> = secret.chars().collect();
    chars.chunks(4).map(|chunk| chunk.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}
