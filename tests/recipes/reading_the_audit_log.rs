//! The code of `docs/recipes/reading-the-audit-log.md`.

use std::io::Write;

use mfa::Subject;
use mfa::audit::export::{Lines, checkpoint_from_line, checkpoint_to_line};
use mfa::audit::*;

/// The newest events of a user, 50 at a time. `after` is the `next` of the page before.
pub(crate) async fn of_user(
    log: &dyn AuditLog,
    bob: &Subject,
    after: Option<&str>,
    cursors: &CursorKey,
) -> Result<Page, AuditError> {
    let query = Query::new(Scope::Account(bob.account().clone())).user(bob.user().clone()).limit(50)?;
    page(log, &query, after, cursors).await
}

/// One line for a person: what happened, how it ended, who did it and why.
pub(crate) fn line(event: &Event) -> String {
    let (actor, reason) = (event.actor().unwrap_or("-"), event.reason().unwrap_or("-"));
    format!("{} {} {actor} {reason}", event.kind(), event.outcome().code())
}

/// Fixes the log, every minute or so. Keep the line where nobody who can write to the database can.
pub(crate) async fn fix(
    log: &dyn Checkpoints,
    key: &CheckpointKey,
    now: Timestamp,
) -> Result<String, AuditError> {
    Ok(checkpoint_to_line(&log.checkpoint(key, now).await?))
}

/// Reads the whole log and says whether it is as it was written, up to the line that was kept.
pub(crate) async fn check(
    log: &dyn Checkpoints,
    key: &CheckpointKey,
    kept: &str,
) -> Result<Report, AuditError> {
    let kept = checkpoint_from_line(kept)?;
    Verifier::new(key.clone()).trusting(kept).read(log).await
}

/// Writes the log to a file that can be checked far from its store.
pub(crate) async fn export(
    log: &dyn Checkpoints,
    file: &mut dyn Write,
) -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = Lines::of(log);
    while let Some(line) = lines.next().await? {
        writeln!(file, "{line}")?;
    }
    Ok(())
}
