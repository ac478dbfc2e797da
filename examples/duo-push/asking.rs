//! Asking the user: what is offered, what is chosen, and what the fake's user does while the service waits.

use mfa::{Choice, Response};
use mfa_examples::duo::Peer;
use mfa_examples::{Failure, say};
use mfa_testkit::duo::Reaction;
use serde_json::{Value, json};

use crate::options::Options;

/// How the user is asked, and how the fake's user reacts.
pub(crate) struct Asking<'a> {
    peer: &'a Peer,
    options: &'a Options,
    reaction: Reaction,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(peer: &'a Peer, options: &'a Options) -> Self {
        let reaction = options.reaction.unwrap_or(Reaction::Approve);
        Self { peer, options, reaction }
    }

    /// The same, with a user who approves.
    pub(crate) fn approving(&self) -> Self {
        Self { reaction: Reaction::Approve, ..Self::new(self.peer, self.options) }
    }

    /// Returns the answer that has Duo ask the user.
    pub(crate) fn start(&self) -> Result<Response, Failure> {
        if let Some(fake) = self.peer.played() {
            fake.set_reaction(&self.options.user, Reaction::Wait);
        }
        let factor = &self.options.factor;
        say(format!("   service → Duo: {factor}"))?;
        Ok(Response::start(Choice::new(json!({ "factor": factor }))))
    }

    /// Waits until it is worth polling, or polling again; ends the run where only another start would help.
    pub(crate) async fn wait(&self, prompt: &Value, has_polled: bool) -> Result<(), Failure> {
        let status = prompt["status"].as_str().unwrap_or_default();
        if status != "waiting" {
            say(format!("   not answered [{status}]"))?;
            return Err(Failure::Refused);
        }
        say(if has_polled { "   Duo: no answer yet" } else { "   Duo: the user is being asked" })?;
        match self.peer.played() {
            Some(fake) if has_polled => {
                let user = &self.options.user;
                if fake.react(user, self.reaction) > 0 {
                    say(format!("   {user} {}", done(self.reaction)))?;
                }
            }
            Some(_) => {}
            None => self.peer.pause().await,
        }
        Ok(())
    }
}

/// Prints what the user can be asked with, and the number to type where there is one.
pub(crate) fn say_choices(prompt: &Value) -> Result<(), Failure> {
    if let Some(portal) = prompt["enroll_portal_url"].as_str() {
        return Err(Failure::Failed(format!("the user is not enrolled at Duo; that is done at {portal}")));
    }
    for offer in prompt["offers"].as_array().into_iter().flatten() {
        let factor = offer["factor"].as_str().unwrap_or_default();
        let to = offer["label"].as_str().map(|label| format!(" to {label}")).unwrap_or_default();
        say(format!("   Duo offers: {factor}{to}"))?;
    }
    if let Some(number) = prompt["verification_code"].as_str() {
        say(format!("   the page shows the number {number}, to be typed into the phone"))?;
    }
    Ok(())
}

const fn done(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Approve => "takes the phone and approves",
        Reaction::Deny => "takes the phone and denies",
        Reaction::ReportFraud => "takes the phone and reports a fraud",
        _ => "lets the time run out",
    }
}
