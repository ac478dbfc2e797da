//! `mfa-shim`: the workspace's public API behind JSON lines, one request in and one reply out, so that a
//! program in any language can test it. The README beside this file documents every op.

#![warn(
    unreachable_pub,
    clippy::arithmetic_side_effects,
    clippy::await_holding_lock,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used
)]

mod answer;
mod api_keys;
mod audit;
mod authority;
mod checkpoint;
mod delivery;
mod devices;
mod duo;
mod enrol;
mod exemptions;
mod failure;
mod host;
mod input;
mod json;
mod keys;
mod lines;
mod login;
mod methods;
mod node;
mod notices;
mod ops;
mod peer;
mod providers;
mod pure;
mod recovery;
mod request;
mod runtime;
mod settings;
mod step_up;
mod store;
mod upkeep;
mod users;

use std::io::{self, Write};
use std::process::ExitCode;

use lines::{Line, Lines};
use ops::Shim;

fn main() -> ExitCode {
    let Ok(executor) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return ExitCode::FAILURE;
    };
    match executor.block_on(serve(Lines::new(io::stdin().lock()), io::stdout().lock())) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read the replies has gone: nobody is left to tell.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn serve(mut lines: Lines<impl io::BufRead>, mut replies: impl Write) -> io::Result<()> {
    let mut shim = Shim::default();
    while let Some(line) = lines.next()? {
        let reply = match line {
            Line::Whole(bytes) => shim.reply(&bytes).await,
            Line::TooLong => ops::too_long(),
        };
        writeln!(replies, "{reply}")?;
        replies.flush()?;
    }
    Ok(())
}
