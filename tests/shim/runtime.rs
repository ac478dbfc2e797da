//! The runtime of the shim: a clock that the test moves, or the system's.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{RunError, Runtime, SecretBytes, SlowJob, Timestamp, TokioRuntime};

/// Tells the time that the test set, or the system's; waits in real time in both cases.
///
/// The testkit's clock moves by itself when someone sleeps. Here it must not: a node that lost a race to
/// another process has to wait for that process, and the test alone says what time it is.
#[derive(Debug)]
pub(crate) struct ShimRuntime {
    /// The time that the test set; the system's without one.
    set: Option<Mutex<Timestamp>>,
    real: TokioRuntime,
}

impl ShimRuntime {
    pub(crate) fn new(now: Option<Timestamp>) -> Self {
        Self { set: now.map(Mutex::new), real: TokioRuntime::new() }
    }

    /// Moves the clock to what `change` makes of its time; `None` if it is the system's.
    pub(crate) fn change(&self, change: impl FnOnce(Timestamp) -> Timestamp) -> Option<Timestamp> {
        let mut now = self.set.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        *now = change(*now);
        Some(*now)
    }
}

#[async_trait]
impl Runtime for ShimRuntime {
    fn now(&self) -> Timestamp {
        self.change(|now| now).unwrap_or_else(|| self.real.now())
    }

    async fn sleep(&self, duration: Duration) {
        self.real.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        // One op at a time: there is nobody to keep waiting.
        Ok(job())
    }

    /// Always true, also with the system's clock: what the shim has opened must be known for it.
    fn is_test_double(&self) -> bool {
        true
    }
}
