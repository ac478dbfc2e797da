//! A challenge in the terminal: answers are asked for until one is right or the user has had enough.

use mfa::{Challenge, Response, Verify};
use mfa_examples::Failure;

use crate::console::Console;
use crate::host::Host;
use crate::wording::{is_over, refusal};

/// A challenge and what to say about it.
pub(crate) struct Answering<'a> {
    pub(crate) host: &'a Host,
    pub(crate) console: &'a mut Console,
    pub(crate) challenge: &'a Challenge,
    pub(crate) question: &'a str,
    /// What is the case if no answer is right.
    pub(crate) otherwise: &'a str,
}

impl Answering<'_> {
    /// Returns what the right answer is worth; nothing, once that was said, if none was given.
    pub(crate) async fn run(self, response: impl Fn(&str) -> Response) -> Result<Option<Verify>, Failure> {
        let Self { host, console, challenge, question, otherwise } = self;
        loop {
            let typed = match console.answer(question) {
                Ok(Some(typed)) => typed,
                given_up => {
                    let _ended = host.engine.cancel(&challenge.reference).await?;
                    given_up?;
                    console.say(format_args!("cancelled: {otherwise}"))?;
                    return Ok(None);
                }
            };
            match host.engine.verify(&challenge.reference, response(&typed)).await? {
                Verify::Rejected(rejected) => {
                    console.say(refusal(&rejected))?;
                    if is_over(&rejected) {
                        console.say(format_args!("{otherwise}; give the command again to begin anew"))?;
                        return Ok(None);
                    }
                }
                worth => return Ok(Some(worth)),
            }
        }
    }
}
