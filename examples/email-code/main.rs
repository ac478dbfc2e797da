//! A sign-in with a code by e-mail: set the mailbox up, get a code, type it, and type it again.
//!
//! `cargo run --example email-code` sends over SMTP to a sink on loopback that it starts, shows the mail and types the
//! code itself. With `--smtp` and `--to` a real mail server sends to your mailbox, and you type; `--help` says how.

mod options;

use std::process::ExitCode;
use std::sync::Arc;

use mfa::{Challenge, Entropy as _, KeyId, KeyRing, MemoryStore, OsEntropy, Response, Verify};
use mfa_examples::mail::{self, Post, code_in};
use mfa_examples::{Failure, Service, ask, refusal, say, shown};
use serde_json::Value;

use options::{HELP, Options};

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
    let post = match &options.smtp {
        Some(url) => Post::server(url, options.from.clone()).await?,
        None => Post::sink(options.from.clone()).await?,
    };
    say(format!("Mail goes to {}.", post.whereabouts()))?;
    let mut key = [0; 32];
    OsEntropy::new().fill(&mut key)?;
    let ring = KeyRing::new(KeyId::parse("example")?, key)?;
    let store = Arc::new(MemoryStore::new());
    let service = mail::open(store, ring, &post, mail::bob(&options.to)?, Value::Null).await?;
    let done = show(&service, &post).await;
    if options.log {
        service.print_log().await?;
    }
    done
}

async fn show(service: &Service, post: &Post) -> Result<(), Failure> {
    say("\n1. bob sets the mailbox up.")?;
    mail::set_up(service, post).await?;

    say("\n2. bob signs in: the password was right, so the engine begins a challenge.")?;
    let challenge = service.begin().await?;
    let prompt = &challenge.prompt;
    say(format!("   a code was sent to {}", shown(prompt, "to")))?;
    if shown(prompt, "sent") != "yes" {
        say("   (perhaps: the mail server did not say that it took the mail)")?;
    }
    let code = match post.newest()? {
        Some(mail) => {
            mail.lines().try_for_each(|line| say(format!("   | {line}")))?;
            let code = code_in(&mail).ok_or_else(|| Failure::failed("the mail has no code"))?;
            answer(service, &challenge, &another(&code)).await?;
            code
        }
        None => String::new(),
    };
    let code = accepted(service, &challenge, code).await?;

    say("\n3. The same code is typed a second time.")?;
    match service.engine.verify(&challenge.reference, Response::code(&code)).await? {
        Verify::Rejected(rejected) => say(refusal(&rejected)),
        other => Err(Failure::Failed(format!("a code counted twice: {other:?}"))),
    }
}

/// Gives the code, or codes that are asked for, until one is accepted; returns that one.
async fn accepted(service: &Service, challenge: &Challenge, known: String) -> Result<String, Failure> {
    let asks = known.is_empty();
    loop {
        let code = if asks { ask("   The code that arrived:")? } else { known.clone() };
        match answer(service, challenge, &code).await? {
            Answered::SignedIn => return Ok(code),
            Answered::Again if asks => {}
            _ => return Err(Failure::Refused),
        }
    }
}

enum Answered {
    SignedIn,
    Again,
    Over,
}

async fn answer(service: &Service, challenge: &Challenge, code: &str) -> Result<Answered, Failure> {
    match service.engine.verify(&challenge.reference, Response::code(code)).await? {
        Verify::Verified(grant) => service.sign_in(grant).map(|()| Answered::SignedIn),
        Verify::Rejected(rejected) => {
            say(refusal(&rejected))?;
            Ok(if rejected.attempts_left > 0 { Answered::Again } else { Answered::Over })
        }
        other => Err(Failure::Failed(format!("not decided: {other:?}"))),
    }
}

/// Returns a code that is another one.
fn another(code: &str) -> String {
    let last = if code.ends_with('0') { '1' } else { '0' };
    let mut other: String = code.chars().take(code.len().saturating_sub(1)).collect();
    other.push(last);
    other
}
