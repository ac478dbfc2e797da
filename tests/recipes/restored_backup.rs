//! The code of `docs/recipes/restored-backup.md`.

use mfa::audit::{AuditError, Checkpoint, CheckpointKey, Checkpoints, Report, Verifier};
use mfa::{Engine, Error};

/// Says how many events of the log the backup lacks. Run it before anything writes to the store again; `kept`
/// is the newest checkpoint, which you kept elsewhere.
pub(crate) async fn what_is_missing(
    log: &dyn Checkpoints,
    key: &CheckpointKey,
    kept: Checkpoint,
) -> Result<u64, AuditError> {
    let report: Report = Verifier::new(key.clone()).trusting(kept).read(log).await?;
    Ok(kept.total.saturating_sub(report.events))
}

/// Makes the store safe, before it serves logins. Returns how many users it went through; if it fails
/// half-way, run it again.
pub(crate) async fn make_safe(engine: &Engine) -> Result<u64, Error> {
    let users = engine.restore_barrier("ops", "backup of noon restored").await?;
    // Those whose recovery codes ended are told.
    engine.drain_outbox(10_000).await?;
    Ok(users)
}
