//! Setting up an authenticator app, with the recovery codes that come with the first one.

use mfa::{
    Authority, Choice, EnrolConfirm, EnrolmentId, EnrolmentStarted, IssuedRecovery, Rejected, Response,
    Subject,
};
use mfa_examples::Failure;

use crate::console::Console;
use crate::host::{Host, facts, totp};
use crate::wording::{in_fours, is_over, refusal};

/// One enrolment in the terminal.
pub(crate) struct Enrolment<'a> {
    pub(crate) host: &'a Host,
    pub(crate) console: &'a mut Console,
    pub(crate) user: &'a Subject,
    /// By whose right.
    pub(crate) right: &'a Authority,
    pub(crate) light: bool,
}

impl Enrolment<'_> {
    /// Shows the secret, and asks for codes until one is right or the user has had enough.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let (account, user, engine) = (self.user.account(), self.user.user(), &self.host.engine);
        let started = engine.enrol_begin(account, user, &totp()?, &Choice::none(), self.right).await?;
        self.show_secret(&started)?;
        while let Some(code) = self.console.answer("The code the app shows now (or `cancel`): ")? {
            let response = Response::code(&code).with_request(facts());
            match engine.enrol_confirm(&started.reference, &response).await? {
                EnrolConfirm::Confirmed(id) => return self.done(id),
                EnrolConfirm::RecoveryShown(issued) => return self.keep(&started, &issued).await,
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

    fn show_secret(&mut self, started: &EnrolmentStarted) -> Result<(), Failure> {
        let revealed = |name| {
            let value = started.revealed.get(name).map(|value| value.expose_secret());
            value.ok_or_else(|| Failure::failed("the provider shows no secret"))
        };
        let qr = revealed(if self.light { "qr_text_light" } else { "qr_text" })?;
        self.console.say("Scan this with an authenticator app:")?;
        self.console.say(qr)?;
        self.console.say(format_args!("or type the secret: {}", in_fours(revealed("secret")?)))?;
        self.console.say(format_args!("or open the link: {}", revealed("uri")?))
    }

    /// Shows the recovery codes this once. Nothing counts until the user says that they are kept.
    async fn keep(&mut self, started: &EnrolmentStarted, issued: &IssuedRecovery) -> Result<(), Failure> {
        let codes = issued.revealed.get("codes").ok_or_else(|| Failure::failed("no recovery codes"))?;
        self.console.say("Right. And for the day the app is lost, your recovery codes, shown this once:")?;
        for code in codes.expose_secret().lines() {
            self.console.say(format_args!("  {code}"))?;
        }
        self.console.say("Each signs you in once, with `recover`. Keep them away from your password.")?;
        loop {
            match self.console.answer("Are they kept? (`yes`, or `cancel` to set up nothing): ")? {
                None => return self.console.say("cancelled: nothing was set up, and the codes are void"),
                Some(answer) if answer.eq_ignore_ascii_case("yes") => break,
                Some(_) => {}
            }
        }
        match self.host.engine.enrol_acknowledge(&started.reference, &facts()).await? {
            EnrolConfirm::Confirmed(id) => self.done(id),
            EnrolConfirm::Rejected(rejected) => self.refused(&rejected),
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }

    fn done(&mut self, id: EnrolmentId) -> Result<(), Failure> {
        self.console.say(format_args!("enrolled: totp {id}"))?;
        self.console.say("That code is used up: sign in with the next one the app shows.")?;
        match self.right {
            Authority::FirstFactor(_) => self.console.say(
                "The first sign-in with it is aal 1, for the password alone set it up; those after it are aal 2.",
            ),
            _ => Ok(()),
        }
    }

    fn refused(&mut self, rejected: &Rejected) -> Result<(), Failure> {
        self.console.say(refusal(rejected))
    }
}
