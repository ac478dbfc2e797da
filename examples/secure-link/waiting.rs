//! The page that waits: it begins a sign-in, shows the digits, polls, and fetches the grant.

use core::time::Duration;

use mfa::{Challenge, Status, Verify};
use mfa_examples::mail::{self, Post};
use mfa_examples::{Failure, Service, refusal, say, shown};

use crate::options::{Options, RUN};

/// How long the page waits between two polls.
const BETWEEN_POLLS: Duration = Duration::from_secs(1);

pub(crate) async fn run(service: &Service, post: &Post, options: &Options) -> Result<(), Failure> {
    let bob = &service.user;
    if service.engine.methods(bob.account(), bob.user()).await?.is_empty() {
        say("\nbob sets the mailbox up, which is done once.")?;
        mail::set_up(service, post).await?;
    }
    say("\nbob signs in: the password was right, so the engine begins a challenge.")?;
    let challenge = begin(service).await?;
    match post.newest_file() {
        Some(path) => say(format!("   the mail: {}", path.display()))?,
        None => say("   the mail is on its way")?,
    }
    say(format!("   Open its link in another terminal: {} open 'LINK'{}", RUN, options.shared()))?;
    wait(service, &challenge).await
}

/// Begins a sign-in, and says which digits the page shows.
pub(crate) async fn begin(service: &Service) -> Result<Challenge, Failure> {
    let challenge = service.begin().await?;
    say(format!("   a link was sent to {}", shown(&challenge.prompt, "to")))?;
    say(format!("   this page shows the digits {}", shown(&challenge.prompt, "match")))?;
    Ok(challenge)
}

/// Polls until something has happened. A poll tells the state and never gives a grant.
async fn wait(service: &Service, challenge: &Challenge) -> Result<(), Failure> {
    say("   waiting")?;
    loop {
        if status(service, challenge).await? != Status::Sent {
            return claim(service, challenge).await;
        }
        tokio::time::sleep(BETWEEN_POLLS).await;
    }
}

pub(crate) async fn status(service: &Service, challenge: &Challenge) -> Result<Status, Failure> {
    let found = service.engine.status(service.user.account(), challenge.id).await?;
    Ok(found.ok_or_else(|| Failure::failed("the challenge is gone"))?.status)
}

/// Fetches the grant with the reference that only this page has.
pub(crate) async fn claim(service: &Service, challenge: &Challenge) -> Result<(), Failure> {
    match service.engine.claim(&challenge.reference).await? {
        Verify::Verified(grant) => service.sign_in(grant),
        Verify::Rejected(rejected) => {
            say(refusal(&rejected))?;
            Err(Failure::Refused)
        }
        other => Err(Failure::Failed(format!("not decided: {other:?}"))),
    }
}
