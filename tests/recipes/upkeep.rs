//! The code of `docs/recipes/upkeep.md`.

use std::time::Duration;

use mfa::audit::export::checkpoint_to_line;
use mfa::audit::*;
use mfa::*;

/// Every few seconds; every second where the policy has codes wait. On one node or on all.
pub(crate) async fn send_what_waits(engine: &Engine) -> Result<Drained, Error> {
    engine.drain_outbox(100).await
}

/// Every minute, on one node. Keep the line where nobody who can write to the database can.
pub(crate) async fn fix_the_log(
    log: &dyn Checkpoints,
    key: &CheckpointKey,
    now: Timestamp,
) -> Result<String, AuditError> {
    Ok(checkpoint_to_line(&log.checkpoint(key, now).await?))
}

/// Every hour, on one node: deletes what expired an hour ago and more, since clocks differ, a piece at a time so that
/// logins go on in between. Returns how many records that were.
pub(crate) async fn sweep(store: &dyn Store, now: Timestamp) -> Result<u64, StoreError> {
    const PIECE: usize = 500;
    let before = now.minus(Duration::from_secs(3600));
    let mut deleted = 0;
    loop {
        let some = store.purge(before, PIECE).await?;
        deleted += some;
        if some < PIECE as u64 {
            return Ok(deleted);
        }
    }
}

/// Every month, on one node, behind a fresh checkpoint: drops the events of whole months that are older than `keep`.
/// Returns how many events that were.
pub(crate) async fn drop_old_months(
    log: &dyn Retain,
    key: &CheckpointKey,
    keep: Duration,
    now: Timestamp,
) -> Result<u64, Box<dyn std::error::Error>> {
    log.checkpoint(key, now).await?;
    let mut dropped = 0;
    loop {
        let mut random = [0; 16];
        OsEntropy::new().fill(&mut random)?;
        let order = Retention::new(None, now.minus(keep), "monthly retention", now, random)?;
        let some = log.retain(&order, key).await?;
        dropped += some;
        if some < Retention::MAX_EVENTS as u64 {
            return Ok(dropped);
        }
    }
}
