//! A sign-in with a second step in a terminal: enrol an authenticator app, sign in with it or with a recovery
//! code, read the audit log.
//!
//! `cargo run --example login` asks for commands; `help` lists them. Commands may also be piped in, one a
//! line. With nothing on standard input, as in a build job, it shows a demonstration instead, in which a
//! software authenticator plays the user's app.

mod answer;
mod commands;
mod console;
mod demo;
mod enrolment;
mod host;
mod options;
mod right;
mod table;
mod wording;

use std::process::ExitCode;

use commands::Menu;
use mfa_examples::Failure;

use console::Console;
use host::Host;
use options::{HELP, Options};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

async fn run() -> Result<ExitCode, Failure> {
    let mut console = Console::new();
    let options = Options::parse(std::env::args_os().skip(1))?;
    if options.help {
        console.say(HELP)?;
        return Ok(ExitCode::SUCCESS);
    }
    if options.demo {
        return demonstrate(&options, &mut console).await;
    }
    if !console.is_interactive() {
        Console::note("reading commands from standard input; `--demo` shows a demonstration instead");
        if console.is_at_end()? {
            return demonstrate(&options, &mut console).await;
        }
    }
    let host = Host::open(&options.db).await?;
    Menu::new(&host, &mut console, &options).await?.run().await
}

async fn demonstrate(options: &Options, console: &mut Console) -> Result<ExitCode, Failure> {
    let host = Host::open(&options.db).await?;
    demo::run(&host, console).await?;
    let db = options.db.display();
    console.say(format_args!(
        "\nIt is in `{db}`, with the key in `{db}.key`; without both the next run begins anew."
    ))?;
    Ok(ExitCode::SUCCESS)
}
