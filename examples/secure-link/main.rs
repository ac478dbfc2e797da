//! A sign-in with a secure link: one page waits and shows two digits, the link is opened on another device.
//!
//! `cargo run --example secure-link` plays both. In two terminals, `secure-link wait` begins a sign-in and polls, and
//! `secure-link open LINK` is the other device; their state is one SQLite file. `--help` says how.

mod demo;
mod device;
mod options;
mod waiting;

use std::process::ExitCode;
use std::sync::Arc;

use mfa_examples::mail::{self, Post};
use mfa_examples::{Failure, Files, Service, say};

use options::{Command, HELP, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run() -> Result<(), Failure> {
    let options = Options::parse(std::env::args_os().skip(1))?;
    match &options.command {
        Command::Help => say(HELP),
        Command::Demo => demo::run(&options).await,
        Command::Wait => {
            let (service, post) = open(&options).await?;
            say(format!("Mail goes to {}.", post.whereabouts()))?;
            waiting::run(&service, &post, &options).await
        }
        Command::Open(token) => {
            let (service, _post) = open(&options).await?;
            device::run(&service, token).await
        }
    }
}

/// Opens the files that both terminals share.
async fn open(options: &Options) -> Result<(Service, Post), Failure> {
    let opens = matches!(options.command, Command::Open(_));
    if opens && !options.db.exists() {
        let db = options.db.display();
        return Err(Failure::failed(format!("there is no `{db}`: begin with `wait`, and the same --db")));
    }
    let files = Files::open(&options.db)?;
    let bob = mail::bob(&options.to)?;
    let bob = match files.user(bob.account(), bob.user()).await? {
        Some(known) if opens => known,
        _ => bob,
    };
    let post = match &options.smtp {
        Some(url) => Post::server(url, options.from.clone()).await?,
        None => Post::folder(&options.mail)?,
    };
    let store = Arc::new(files.store.clone());
    let service = mail::open(store, files.ring.clone(), &post, bob, mail::links()).await?;
    Ok((service, post))
}
