//! A sign-in with Duo's Universal Prompt: the browser goes to Duo, comes back with a code, and the code counts once.
//!
//! `cargo run --example duo-universal` asks a fake of Duo and plays the browser itself. With the keys of an
//! application in the environment it asks the real Duo, and you are the browser; `--help` says how.

mod browser;
mod options;

use std::process::ExitCode;

use mfa::{Answer, EnrolConfirm, Response, Verify};
use mfa_examples::duo::{self, Peer};
use mfa_examples::{Failure, Service, refusal, say};

use browser::Browser;
use options::{HELP, Options};

/// The provider's settings, and the variables of the environment that they come from.
const REQUIRED: [(&str, &str); 3] = [
    ("client_id", "DUO_CLIENT_ID"),
    ("client_secret", "DUO_CLIENT_SECRET"),
    ("api_hostname", "DUO_API_HOST"),
];
/// Where Duo sends the browser back to. Nothing listens there: the address is what counts.
const REDIRECT_URI: &str = "http://localhost:8080/duo";

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
    let peer = Peer::from_environment(&REQUIRED)?.with("redirect_uri", "DUO_REDIRECT_URI", REDIRECT_URI)?;
    options.check(&peer)?;
    let service = duo::open(&peer, &options.user).await?;
    peer.add_user(&options.user, false);
    let done = show(&service, &Browser::new(&peer), &options, &peer).await;
    if options.log {
        service.print_log().await?;
    }
    done
}

async fn show(
    service: &Service,
    browser: &Browser<'_>,
    options: &Options,
    peer: &Peer,
) -> Result<(), Failure> {
    set_up(service, browser).await?;
    if let (Some(fake), Some(reaction)) = (peer.played(), options.reaction) {
        fake.set_reaction(&options.user, reaction);
    }
    sign_in(service, browser).await
}

/// Sets Duo up: once the user has passed its prompt, the name that they have there is pinned.
async fn set_up(service: &Service, browser: &Browser<'_>) -> Result<(), Failure> {
    say(format!("\n1. {} sets Duo up.", service.user.user()))?;
    let started = service.enrol_begin("duo").await?;
    let callback = browser.visit(&started.prompt).await?;
    match service.engine.enrol_confirm(&started.reference, &reply(&callback)).await? {
        EnrolConfirm::Confirmed(id) => say(format!("   set up: method {id}")),
        EnrolConfirm::Rejected(rejected) => {
            say(refusal(&rejected))?;
            Err(Failure::Refused)
        }
        other => Err(Failure::Failed(format!("nothing was set up: {other:?}"))),
    }
}

/// Signs in after a password that was right, and tries the same callback a second time.
async fn sign_in(service: &Service, browser: &Browser<'_>) -> Result<(), Failure> {
    say(format!(
        "\n2. {} signs in: the password was right, so the engine begins a challenge.",
        service.user.user()
    ))?;
    let challenge = service.begin().await?;
    let callback = browser.visit(&challenge.prompt).await?;
    match service.engine.verify(&challenge.reference, reply(&callback)).await? {
        Verify::Verified(grant) => service.sign_in(grant)?,
        Verify::Rejected(rejected) => {
            say(refusal(&rejected))?;
            return Err(Failure::Refused);
        }
        other => return Err(Failure::Failed(format!("not decided: {other:?}"))),
    }

    say("\n3. The same callback comes a second time.")?;
    match service.engine.verify(&challenge.reference, reply(&callback)).await? {
        Verify::Rejected(rejected) => say(refusal(&rejected)),
        other => Err(Failure::Failed(format!("a callback counted twice: {other:?}"))),
    }
}

/// The query that the browser came back with is the answer.
fn reply(callback: &str) -> Response {
    Response::answer(Answer::reply(callback))
}
