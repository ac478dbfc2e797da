//! Both sides in one process: a link that is confirmed, and one that is reported.

use mfa::{LinkProof, LinkToken};
use mfa_examples::mail::{self, Post, link_in};
use mfa_examples::{Failure, Service, say, shown};

use crate::options::Options;
use crate::{device, open, waiting};

pub(crate) async fn run(options: &Options) -> Result<(), Failure> {
    // Both the files and the mail are gone when the demonstration ends.
    let folder = tempfile::tempdir()?;
    let (service, post) = open(&options.inside(folder.path())).await?;
    say("This is a demonstration: the program plays the page that waits, and the other device.")?;
    say("\n1. bob sets the mailbox up.")?;
    mail::set_up(&service, &post).await?;
    confirmed(&service, &post).await?;
    reported(&service, &post).await
}

async fn confirmed(service: &Service, post: &Post) -> Result<(), Failure> {
    say("\n2. bob signs in: the password was right, so the engine begins a challenge.")?;
    let challenge = waiting::begin(service).await?;
    let token = token(post)?;
    say("   the mail:")?;
    for line in post.newest()?.unwrap_or_default().lines() {
        say(format!("   | {}", shortened(line)))?;
    }

    say("\n3. A mail scanner opens the link and submits the form of its page.")?;
    let view = device::open(service, &token).await?;
    refused(device::submit(service, &token, &view, &LinkProof::None).await)?;
    say(format!("   status: {}", waiting::status(service, &challenge).await?.code()))?;

    say("\n4. bob opens it on his phone, and types the digits.")?;
    let view = device::open(service, &token).await?;
    let digits = shown(&challenge.prompt, "match");
    device::confirm(service, &token, &view, digits).await?;
    say(format!("   status: {}", waiting::status(service, &challenge).await?.code()))?;

    say("\n5. The page that waits claims the grant, and tries it once more.")?;
    waiting::claim(service, &challenge).await?;
    refused(waiting::claim(service, &challenge).await)
}

async fn reported(service: &Service, post: &Post) -> Result<(), Failure> {
    say("\n6. Somebody with bob's password signs in; bob opens the link: it was not he.")?;
    let challenge = waiting::begin(service).await?;
    let token = token(post)?;
    let _view = device::open(service, &token).await?;
    device::not_me(service, &token).await?;
    refused(waiting::claim(service, &challenge).await)?;
    match service.begin().await {
        Err(Failure::Refused) => Ok(()),
        Err(failure) => Err(failure),
        Ok(challenge) => Err(Failure::Failed(format!("a challenge after a report: {challenge:?}"))),
    }
}

fn token(post: &Post) -> Result<LinkToken, Failure> {
    let mail = post.newest()?.unwrap_or_default();
    let link = link_in(&mail).and_then(|link| link.split_once('#'));
    let (_, token) = link.ok_or_else(|| Failure::failed("the mail has no link"))?;
    Ok(LinkToken::from_text(token))
}

/// A refusal is what is expected here.
fn refused(outcome: Result<(), Failure>) -> Result<(), Failure> {
    match outcome {
        Err(Failure::Refused) => Ok(()),
        Err(failure) => Err(failure),
        Ok(()) => Err(Failure::failed("that should have been refused")),
    }
}

/// Cuts a long line, as of a link.
fn shortened(line: &str) -> String {
    let cut: String = line.chars().take(90).collect();
    if cut.len() < line.len() { cut + "…" } else { cut }
}
