//! One day in five systems, each a preset, on one SQLite file: who was asked for what, and why.
//!
//! `cargo run --example five-systems` prints the table. The day is a script: its clock is virtual, and nothing is sent
//! anywhere.

mod site;
mod systems;
mod table;

use std::process::ExitCode;
use std::sync::Arc;

use mfa::sqlite::SqliteStore;
use mfa_examples::{Failure, say};

use site::Site;
use table::Table;

const HELP: &str = "\
One scripted day of five systems as a table: who signed in where, what was asked for, and the rule that
decided it with where its value came from.

usage: cargo run --example five-systems

  --help  show this text

exit status: 0 done, 1 something failed, 2 the command line is not understood";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

async fn run() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("--help" | "-h") => return say(HELP),
        Some(other) => return Err(Failure::unknown_argument(other)),
    }
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqliteStore::open(folder.path().join("five-systems.db"))?);
    for system in systems::ALL {
        let mut site = Site::open(&store, system).await?;
        let mut table = Table::new();
        (system.day)(&mut site, &mut table).await?;
        say(format!("\n{} — {}", system.name, system.what))?;
        let dangers = site.dangers();
        if !dangers.is_empty() {
            say(format!("it lets in more than the recommended preset: {}", dangers.join(", ")))?;
        }
        say(table.to_string().trim_end())?;
    }
    Ok(())
}
