//! A sign-in with a push of Duo's Auth API: ask how the user can be asked, ask, poll, claim.
//!
//! `cargo run --example duo-push` asks a fake of Duo and plays its user. With the keys of an application in the
//! environment it asks the real Duo, and your phone rings; `--help` says how.

mod asking;
mod options;

use std::process::ExitCode;

use mfa::{EnrolConfirm, Reference, Response, Verify};
use mfa_examples::duo::{self, Peer};
use mfa_examples::{Failure, Service, refusal, say};

use asking::{Asking, say_choices};
use options::{HELP, Options};

/// The provider's settings, and the variables of the environment that they come from.
const REQUIRED: [(&str, &str); 3] = [
    ("integration_key", "DUO_INTEGRATION_KEY"),
    ("secret_key", "DUO_SECRET_KEY"),
    ("api_hostname", "DUO_API_HOST"),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run() -> Result<(), Failure> {
    let options = Options::parse(std::env::args_os().skip(1))?;
    if options.help {
        return say(HELP);
    }
    let peer = Peer::from_environment(&REQUIRED)?;
    options.check(&peer)?;
    let service = duo::open(&peer, &options.user).await?;
    peer.add_user(&options.user, options.verified);
    let asking = Asking::new(&peer, &options);
    let done = show(&service, &asking, options.verified).await;
    if options.log {
        service.print_log().await?;
    }
    done
}

async fn show(service: &Service, asking: &Asking<'_>, verified: bool) -> Result<(), Failure> {
    set_up(service, &asking.approving()).await?;
    let user = service.user.user();
    say(format!("\n2. {user} signs in: the password was right, so the engine begins a challenge."))?;
    let reference = sign_in(service, asking).await?;

    say("\n3. The grant is claimed a second time.")?;
    match service.engine.claim(&reference).await? {
        Verify::Rejected(rejected) => say(refusal(&rejected))?,
        other => return Err(Failure::Failed(format!("a push counted twice: {other:?}"))),
    }
    if verified {
        say(format!(
            "\n4. {user} signs in again: what a password alone set up counts for less the first time."
        ))?;
        sign_in(service, asking).await?;
    }
    Ok(())
}

/// Sets Duo up: once the user has approved, the name that they have there is pinned.
async fn set_up(service: &Service, asking: &Asking<'_>) -> Result<(), Failure> {
    say(format!("\n1. {} sets Duo up. The engine asks Duo how the user can be asked.", service.user.user()))?;
    let started = service.enrol_begin("duo").await?;
    say_choices(&started.prompt)?;
    let (mut response, mut has_polled) = (asking.start()?, false);
    loop {
        match service.engine.enrol_confirm(&started.reference, &response).await? {
            EnrolConfirm::Confirmed(id) => return say(format!("   set up: method {id}")),
            EnrolConfirm::Pending(pending) => asking.wait(&pending.prompt, has_polled).await?,
            EnrolConfirm::Rejected(rejected) => {
                say(refusal(&rejected))?;
                return Err(Failure::Refused);
            }
            other => return Err(Failure::Failed(format!("nothing was set up: {other:?}"))),
        }
        (response, has_polled) = (Response::poll(), true);
    }
}

/// Signs in after a password that was right, and returns the challenge's reference.
async fn sign_in(service: &Service, asking: &Asking<'_>) -> Result<Reference, Failure> {
    let challenge = service.begin().await?;
    say_choices(&challenge.prompt)?;
    let (mut response, mut has_polled) = (asking.start()?, false);
    let grant = loop {
        match service.engine.verify(&challenge.reference, response).await? {
            // What the user does elsewhere completes the challenge; its grant goes to whoever claims it.
            Verify::Pending(pending) => match service.engine.claim(&challenge.reference).await? {
                Verify::Verified(grant) => break grant,
                _ => asking.wait(&pending.prompt, has_polled).await?,
            },
            Verify::Rejected(rejected) => {
                say(refusal(&rejected))?;
                return Err(Failure::Refused);
            }
            other => return Err(Failure::Failed(format!("not decided: {other:?}"))),
        }
        (response, has_polled) = (Response::poll(), true);
    };
    service.sign_in(grant)?;
    Ok(challenge.reference)
}
