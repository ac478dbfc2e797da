//! The demonstration: a software authenticator plays the user's app, on the real clock.

use std::time::Duration;

use mfa::totp::{OtpauthUri, code_at};
use mfa::{
    Answer, Authority, Begin, Challenge, Choice, EnrolConfirm, EnrolmentId, IssuedRecovery, MethodSelector,
    Reference, Response, Runtime, Subject, Timestamp, TokioRuntime, Verify,
};
use mfa_examples::Failure;

use crate::commands::show_log;
use crate::console::Console;
use crate::host::{Host, SESSION, facts, password, totp};
use crate::wording::refusal;

const PERIOD: Duration = Duration::from_secs(30);
/// A code is not computed so shortly before the next one that it may be late.
const MARGIN_SECONDS: u64 = 2;
const LOG_ROWS: usize = 40;

pub(crate) async fn run(host: &Host, console: &mut Console) -> Result<(), Failure> {
    let mut demo = Demo { host, console };
    demo.console
        .say("This is a demonstration: a software authenticator plays the user's app. In a terminal,")?;
    demo.console.say("`cargo run --example login` lets you use your own.")?;
    let (earlier, _) = host.newest_events(1).await?;
    match earlier.first() {
        None => demo.console.say("The audit log is new.")?,
        Some(event) => {
            let (kind, at) = (event.kind(), event.at());
            demo.console.say(format_args!("The audit log of earlier runs is there; last: {kind}, {at}."))?;
        }
    }
    demo.play().await?;
    demo.console.say("\nThe audit log, which the next run finds again:")?;
    show_log(host, demo.console, LOG_ROWS).await
}

struct Demo<'a> {
    host: &'a Host,
    console: &'a mut Console,
}

/// The user's app: it knows the secret of the QR code and the time.
struct Authenticator(OtpauthUri);

impl Demo<'_> {
    async fn play(&mut self) -> Result<(), Failure> {
        let user = self.new_user().await?;
        self.wait_for_a_fresh_code().await;
        let now = self.host.now();
        let (id, app, saved) = self.enrol(&user, now).await?;

        self.console.say("\n2. Sign in with the code the app shows now:")?;
        let challenge = self.begin(&user, id).await?;
        let code = app.code(now);
        let accepted = self.answer(&user, &challenge.reference, Answer::code(&code)).await?;
        expect(accepted, "the right code was not accepted")?;
        self.console
            .say("   (the first time, for a password alone set the app up; from the next time on aal 2)")?;

        self.console.say("\n3. Sign in again with the same code:")?;
        let challenge = self.begin(&user, id).await?;
        let accepted = self.answer(&user, &challenge.reference, Answer::code(&code)).await?;
        expect(!accepted, "a code was accepted twice")?;

        self.console.say("\n4. And with a wrong one:")?;
        let wrong = app.wrong_code(now);
        let accepted = self.answer(&user, &challenge.reference, Answer::code(&wrong)).await?;
        expect(!accepted, "a wrong code was accepted")?;

        self.console.say("\n5. The app is lost. Sign in with a recovery code:")?;
        let challenge = self.begin(&user, id).await?;
        let accepted = self.answer(&user, &challenge.reference, Answer::recovery(&saved)).await?;
        expect(accepted, "a recovery code was not accepted")?;

        self.console.say("\n6. And with the same recovery code again:")?;
        let challenge = self.begin(&user, id).await?;
        let accepted = self.answer(&user, &challenge.reference, Answer::recovery(&saved)).await?;
        expect(!accepted, "a recovery code was accepted twice")
    }

    /// Every demonstration has a user of its own, so that none is locked out by the wrong codes of others.
    async fn new_user(&self) -> Result<Subject, Failure> {
        // Several demonstrations may run at once.
        let mut number = std::process::id();
        while self.host.knows(&format!("demo-{number}")).await? {
            number = number.saturating_add(1);
        }
        self.host.user(&format!("demo-{number}")).await
    }

    async fn wait_for_a_fresh_code(&mut self) {
        let period = PERIOD.as_secs();
        let left = period.saturating_sub(self.host.now().unix_seconds().checked_rem(period).unwrap_or(0));
        if left <= MARGIN_SECONDS {
            TokioRuntime::new().sleep(Duration::from_secs(left)).await;
        }
    }

    async fn enrol(
        &mut self,
        user: &Subject,
        now: Timestamp,
    ) -> Result<(EnrolmentId, Authenticator, String), Failure> {
        self.console.say(format_args!("\n1. {} sets up an authenticator app:", user.user()))?;
        let engine = &self.host.engine;
        let (account, user) = (user.account(), user.user());
        let (provider, choice, right) = (totp()?, Choice::none(), Authority::FirstFactor(password()));
        let started = engine.enrol_begin(account, user, &provider, &choice, &right).await?;
        let uri = started.revealed.get("uri").ok_or_else(|| Failure::failed("no link to scan"))?;
        let app = Authenticator(OtpauthUri::parse(uri.expose_secret())?);
        // A code that confirmed an enrolment is used up. The one before the current one is still in the
        // window, so it confirms, and the current one is left for signing in.
        let response = Response::code(&app.code(now.minus(PERIOD))).with_request(facts());
        let saved = match engine.enrol_confirm(&started.reference, &response).await? {
            EnrolConfirm::RecoveryShown(issued) => self.keep(&issued)?,
            EnrolConfirm::Rejected(rejected) => return Err(Failure::failed(refusal(&rejected))),
            _ => return Err(Failure::failed("a first method without recovery codes")),
        };
        match engine.enrol_acknowledge(&started.reference, &facts()).await? {
            EnrolConfirm::Confirmed(id) => {
                self.console.say(format_args!("   they are kept; enrolled: totp {id}"))?;
                Ok((id, app, saved))
            }
            _ => Err(Failure::failed("the method that was confirmed does not count")),
        }
    }

    /// Shows the recovery codes, as a page would this once, and keeps the first.
    fn keep(&mut self, issued: &IssuedRecovery) -> Result<String, Failure> {
        let codes = issued.revealed.get("codes").ok_or_else(|| Failure::failed("no recovery codes"))?;
        let codes: Vec<_> = codes.expose_secret().lines().collect();
        let first = codes.first().copied().unwrap_or_default();
        let others = codes.len().saturating_sub(1);
        self.console.say(format_args!("   recovery codes, shown this once: {first} and {others} more"))?;
        Ok(first.to_owned())
    }

    async fn begin(&mut self, user: &Subject, id: EnrolmentId) -> Result<Challenge, Failure> {
        match self.host.begin(user, Some(MethodSelector::Enrolment(id))).await? {
            Begin::Challenge(challenge) => Ok(challenge),
            _ => Err(Failure::failed("a user with a second factor was not asked for it")),
        }
    }

    /// Answers, says what came of it, and returns whether it was accepted.
    async fn answer(&mut self, user: &Subject, to: &Reference, answer: Answer) -> Result<bool, Failure> {
        self.console.say(format_args!("   the user types: {}", answer.text().expose_secret()))?;
        match self.host.engine.verify(to, Response::answer(answer).with_request(facts())).await? {
            Verify::Verified(grant) => {
                let session = grant.redeem(user.account(), user.user(), Some(SESSION), self.host.now())?;
                let (name, aal) = (&session.user, session.aal().number());
                self.console.say(format_args!("   accepted: {name} is signed in (aal {aal})"))?;
                Ok(true)
            }
            Verify::Rejected(rejected) => {
                self.console.say(format_args!("   {}", refusal(&rejected)))?;
                Ok(false)
            }
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }
}

impl Authenticator {
    fn code(&self, at: Timestamp) -> String {
        code_at(self.0.secret(), self.0.parameters(), at.unix_seconds()).expose_secret().to_owned()
    }

    /// Returns a code that is right for no step near `now`.
    fn wrong_code(&self, now: Timestamp) -> String {
        let right = [now.minus(PERIOD), now, now.plus(PERIOD), now.plus(PERIOD.saturating_mul(2))];
        let right = right.map(|at| self.code(at));
        let mut codes = (0_u32..).map(|number| format!("{number:06}"));
        codes.find(|code| !right.contains(code)).unwrap_or_default()
    }
}

fn expect(held: bool, problem: &str) -> Result<(), Failure> {
    if held { Ok(()) } else { Err(Failure::failed(problem)) }
}
