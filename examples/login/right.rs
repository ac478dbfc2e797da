//! By whose right a user changes what protects them: the password for a first method, a proof for everything else.

use mfa::{Answer, Authority, Begin, Challenge, DeniedReason, Intent, Operation, Response, Subject, Verify};
use mfa_examples::Failure;

use crate::answer::Answering;
use crate::console::Console;
use crate::host::{Host, SESSION, facts, password};
use crate::wording::denial;

const OTHERWISE: &str = "nothing was changed";

/// A user who asks for a change, in the terminal.
pub(crate) struct Asking<'a> {
    pub(crate) host: &'a Host,
    pub(crate) console: &'a mut Console,
    pub(crate) user: &'a Subject,
}

impl Asking<'_> {
    /// Returns the right to make the change; nothing, once that was said, if the user could not show one.
    pub(crate) async fn right_to(self, intent: &Intent) -> Result<Option<Authority>, Failure> {
        let engine = &self.host.engine;
        if engine.methods(self.user.account(), self.user.user()).await?.is_empty() {
            // There is nothing to prove it with. The engine looks again when the method is set up.
            return Ok(Some(Authority::FirstFactor(password())));
        }
        let challenge = match self.host.step_up_begin(self.user, intent).await? {
            Begin::Challenge(challenge) => challenge,
            Begin::Denied(denied) => {
                self.console.say(format_args!("{}; {OTHERWISE}", denial(&denied)))?;
                if denied.reason == DeniedReason::Unavailable {
                    let why =
                        "no app that stays is strong enough; sign in once with one that a password set up";
                    self.console.say(why)?;
                }
                return Ok(None);
            }
            _ => return Err(Failure::failed("an answer that this example does not know")),
        };
        let takes_recovery = intent.operation() == Operation::AddMethod;
        let question = question(&challenge, takes_recovery);
        let Self { host, console, .. } = self;
        let (challenge, question) = (&challenge, &*question);
        let answering = Answering { host, console, challenge, question, otherwise: OTHERWISE };
        let worth = answering
            .run(|typed| {
                let is_code = typed.chars().all(|c| c.is_ascii_digit() || c == ' ');
                let answer = if takes_recovery && !is_code { Answer::recovery } else { Answer::code };
                Response::answer(answer(typed)).with_request(facts())
            })
            .await?;
        match worth {
            Some(Verify::Proven(proven)) => Ok(Some(Authority::proof(proven.proof, Some(SESSION)))),
            None => Ok(None),
            _ => Err(Failure::failed("an answer that this example does not know")),
        }
    }
}

/// Names the method that is asked for: a user may have several apps, and the one that is to go proves nothing.
fn question(challenge: &Challenge, takes_recovery: bool) -> String {
    let what = match &challenge.method {
        recovery if recovery.is_recovery => "a recovery code".to_owned(),
        app if takes_recovery => format!("the code of {} {}, or a recovery code", app.provider, app.id),
        app => format!("the code of {} {}", app.provider, app.id),
    };
    format!("To show that it is you, {what} (or `cancel`): ")
}
