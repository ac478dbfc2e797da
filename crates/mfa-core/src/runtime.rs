//! What the driver needs from its process.

use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use audit_model::Timestamp;
use thiserror::Error;

use crate::SecretBytes;

/// Work that takes long, such as a slow hash; it returns a secret.
pub type SlowJob = Box<dyn FnOnce() -> SecretBytes + Send>;

/// Clock, sleep and a place for slow work. The umbrella crate has one for tokio, the testkit a virtual one.
///
/// *Contract.* [`now`](Runtime::now) is the wall clock, which may step; [`sleep`](Runtime::sleep) ends no
/// earlier than asked; [`run`](Runtime::run) never works on an executor's thread and refuses at once when its
/// queue is full. *Cancellation:* a dropped `sleep` leaves nothing behind; a dropped `run` may still do the
/// work, whose result is lost. *What a wrong implementation costs:* a clock that an attacker can set revives
/// old codes.
#[async_trait]
pub trait Runtime: fmt::Debug + Send + Sync + 'static {
    /// Returns the time.
    fn now(&self) -> Timestamp;

    /// Waits.
    async fn sleep(&self, duration: Duration);

    /// Runs `job` on a bounded pool.
    ///
    /// # Errors
    /// [`RunError::Busy`] if the job was not started and will not be, [`RunError::Lost`] if its result is lost.
    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError>;

    /// Returns whether this runtime is made for tests; an engine refuses such a one unless told otherwise.
    fn is_test_double(&self) -> bool;
}

const _: Option<&dyn Runtime> = None;

/// Why slow work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The pool's queue is full: the job was not started and will not be.
    #[error("the pool for slow work is full")]
    Busy,
    /// The job was started and its result is lost, as when it panics.
    #[error("the slow job has no result")]
    Lost,
}
