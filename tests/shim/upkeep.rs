//! The ops of clock, upkeep, counters and faults.

use core::time::Duration;

use mfa::{Store, Timestamp};
use mfa_testkit::faults::{At, Fault};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// How many records one call to the store deletes at most.
const BATCH: usize = 1000;
/// The exit status of a process that `fault` ended.
const EXIT: i32 = 70;

impl Node {
    pub(crate) async fn clock_set(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let now = input.time("now")?;
        self.change_clock(|_| now)
    }

    pub(crate) async fn clock_advance(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let by = Duration::from_secs(input.whole("seconds")?);
        self.change_clock(|now| now.plus(by))
    }

    pub(crate) async fn purge(&mut self, _: &Input<'_>) -> Result<Value, Failure> {
        let now = self.now();
        let mut count: u64 = 0;
        loop {
            let purged = self.store.purge(now, BATCH).await?;
            count = count.saturating_add(purged);
            if purged < u64::try_from(BATCH).unwrap_or(u64::MAX) {
                return Ok(json!({ "count": count }));
            }
        }
    }

    pub(crate) async fn restore_barrier(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let actor = input.optional_text("actor")?.unwrap_or("mfa-shim");
        let reason = input.optional_text("reason")?.unwrap_or("restore_barrier");
        Ok(json!({ "users": self.engine.restore_barrier(actor, reason).await? }))
    }

    pub(crate) async fn counters(&mut self, _: &Input<'_>) -> Result<Value, Failure> {
        let counts = self.store.take_counts();
        Ok(json!({
            "gets": counts.gets,
            "keys_read": counts.keys_read,
            "lists": counts.lists,
            "scans": counts.scans,
            "commits": counts.commits,
            "conflicts": counts.conflicts,
            "events": counts.events_committed,
            "queries": counts.queries,
        }))
    }

    pub(crate) async fn fault(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (at, kind) = (input.text("at")?, input.text("kind")?);
        let place = match at {
            "before_commit" => At::BeforeCommit,
            "after_commit" => At::AfterCommit,
            "on_get" => At::OnGet,
            _ => return Err(input.mistyped("at", "before_commit, after_commit or on_get")),
        };
        let fault = match kind {
            // A store may say `unavailable` only if nothing happened.
            "error" if place == At::AfterCommit => Fault::Unknown,
            "error" => Fault::Unavailable,
            "timeout" => Fault::Unknown,
            "exit" => Fault::Exit(EXIT),
            _ => return Err(input.mistyped("kind", "error, timeout or exit")),
        };
        let times = input.optional_whole("times")?.unwrap_or(1);
        self.store.fail(place, fault, usize::try_from(times).unwrap_or(usize::MAX));
        Ok(json!({}))
    }

    fn change_clock(&self, change: impl FnOnce(Timestamp) -> Timestamp) -> Result<Value, Failure> {
        let system = || Failure::bad_request("the clock is the system's; open with a `now` to move it");
        let now = self.runtime.change(change).ok_or_else(system)?;
        Ok(json!({ "now": now.unix_seconds() }))
    }
}
