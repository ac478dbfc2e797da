//! Checks an exported audit log without the store it came from.
//!
//! `cargo run --example audit-verify -- --help` says how. A host writes such a log with
//! `mfa::audit::export::Lines`, and makes its checkpoints with `mfa::audit::Checkpoints`; the example `login` does, with
//! its command `export`.

mod options;
mod sources;

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use mfa::audit::export::{ReadError, Reader, checkpoint_to_line};
use mfa::audit::{Flaw, Report, Verifier};
use mfa_examples::{Failure, read_checkpoint_key};

use options::{HELP, Options};

/// Why the log was not checked: one line, and exit status 2.
#[derive(Debug)]
struct Refused(String);

fn main() -> ExitCode {
    let verdict = Options::parse(std::env::args_os().skip(1)).and_then(|options| run(&options));
    match verdict {
        Ok(code) => code,
        Err(Refused(problem)) => {
            // Where even that cannot be written there is nobody to tell.
            drop(writeln!(io::stderr(), "error: {}", problem.replace(char::is_control, " ")));
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Refused> {
    if options.help {
        say(HELP)?;
        return Ok(ExitCode::SUCCESS);
    }
    let log = sources::log(&options.log)?;
    let mut verifier = match &options.key_file {
        Some(path) => Verifier::new(read_checkpoint_key(path).map_err(refused)?),
        None => Verifier::without_key(),
    };
    if let Some(path) = &options.trusted {
        verifier = verifier.trusting(sources::trusted(path)?);
    }
    match Reader::new(log).verify(&mut verifier) {
        Ok(()) => tell(&verifier.finish(), options.trusted.is_some()),
        Err(damage @ ReadError::Line { .. }) => {
            say(format_args!("DOES NOT HOLD: {damage}"))?;
            say("the line is not what an export writes; nothing behind it was checked")?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(Refused(format!("cannot read `{}`: {}", options.log.display(), cause(&error)))),
    }
}

/// Says what was found, and returns the exit status for it.
fn tell(report: &Report, trusted: bool) -> Result<ExitCode, Refused> {
    let counts = format_args!(
        "{} events, {} of them covered by {} checkpoints, {} erased",
        report.events, report.covered, report.checkpoints, report.erased,
    )
    .to_string();
    if let Some(problem) = report.problem.filter(|problem| problem.flaw == Flaw::NoCheckpoint) {
        say(format_args!("NOT PROVEN: there is no checkpoint in it [{}]", problem.flaw.code()))?;
        say(format_args!("read: {counts}"))?;
        say("whether anything was changed or taken out cannot be told; export it again behind a checkpoint")?;
        return Ok(ExitCode::FAILURE);
    }
    if let Some(problem) = report.problem {
        say(format_args!("DOES NOT HOLD: {problem} [{}]", problem.flaw.code()))?;
        say(format_args!("read: {counts}"))?;
        return Ok(ExitCode::FAILURE);
    }
    if report.is_authentic() {
        say(format_args!("HOLDS: {counts}"))?;
    } else {
        say(format_args!("UNDAMAGED: {counts}"))?;
        say("nothing proves who wrote it: the checkpoints were not checked with their key")?;
    }
    if report.uncovered() > 0 {
        say(format_args!("not proven: the {} events behind the last checkpoint", report.uncovered()))?;
    }
    if !trusted {
        say("not proven: that nothing was cut off the end; give --trusted")?;
    }
    if let Some(head) = &report.head {
        say("the newest checkpoint; keep it away from the log, for --trusted next time:")?;
        say(checkpoint_to_line(head))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn refused(failure: Failure) -> Refused {
    Refused(match failure {
        Failure::Failed(problem) | Failure::Usage(problem) => problem,
        other => format!("{other:?}"),
    })
}

/// Prints a line. A reader who went away, as when it is piped into `head`, is no failure.
fn say(text: impl fmt::Display) -> Result<(), Refused> {
    let mut output = io::stdout().lock();
    let written = writeln!(output, "{text}").and_then(|()| output.flush());
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Refused(format!("cannot write the output: {error}")))
        }
        _ => Ok(()),
    }
}

/// The last of an error's sources: what the system said.
fn cause(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), cause)
}
