//! A runtime whose clock moves only when it is told to, or asked to sleep.

use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::Timestamp;
use mfa_core::{RunError, Runtime, SecretBytes, SlowJob};

use crate::drop_at::yield_once;

/// Sleeps from here on wait for the clock.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

/// A clock in virtual time, shared by its clones.
///
/// A sleep of a second or more ends when someone has moved the clock so far, as deadlines do. A shorter
/// one, such as the pause after a lost race, lets other futures run once and ends, and leaves the clock
/// alone. All are written down. Slow jobs run at once, on the caller's thread.
///
/// ```
/// use std::time::Duration;
/// use mfa_core::{Runtime, Timestamp};
/// use mfa_testkit::runtime::VirtualRuntime;
///
/// let runtime = VirtualRuntime::new(Timestamp::from_unix_seconds(1_000).unwrap());
/// let minute = runtime.sleep(Duration::from_secs(60));
/// runtime.advance(Duration::from_secs(60));
/// futures::executor::block_on(minute);
/// assert_eq!(runtime.now().unix_seconds(), 1_060);
/// // The clock never goes past the last millisecond of year 9999.
/// runtime.advance(Duration::MAX);
/// assert_eq!(runtime.now(), Timestamp::MAX);
/// ```
#[derive(Clone, Debug)]
pub struct VirtualRuntime(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    asleep: Vec<Asleep>,
    sleeps: Vec<Duration>,
    started: usize,
    refusals: usize,
    losses: usize,
    jobs: usize,
}

#[derive(Debug)]
struct Asleep {
    id: usize,
    end: Timestamp,
    waker: Waker,
}

impl VirtualRuntime {
    /// Starts the clock at `now`.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let state = State {
            now,
            asleep: Vec::new(),
            sleeps: Vec::new(),
            started: 0,
            refusals: 0,
            losses: 0,
            jobs: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Moves the clock forward and ends the sleeps that are over by then.
    pub fn advance(&self, by: Duration) {
        let now = self.lock().now.plus(by);
        self.set(now);
    }

    /// Sets the clock, forward or back, and ends the sleeps that are over by then.
    pub fn set(&self, now: Timestamp) {
        let mut state = self.lock();
        state.now = now;
        let over: Vec<_> = state.asleep.extract_if(.., |asleep| asleep.end <= now).collect();
        drop(state);
        over.into_iter().for_each(|asleep| asleep.waker.wake());
    }

    /// Returns what sleeps were asked for since the last call, in order.
    #[must_use]
    pub fn take_sleeps(&self) -> Vec<Duration> {
        core::mem::take(&mut self.lock().sleeps)
    }

    /// Refuses the next `times` slow jobs as [`RunError::Busy`].
    pub fn refuse_jobs(&self, times: usize) {
        self.lock().refusals = times;
    }

    /// Loses the results of the next `times` slow jobs that run, as [`RunError::Lost`].
    pub fn lose_jobs(&self, times: usize) {
        self.lock().losses = times;
    }

    /// Returns how many slow jobs ran, those whose result was lost included.
    #[must_use]
    pub fn jobs_run(&self) -> usize {
        self.lock().jobs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Runtime for VirtualRuntime {
    fn now(&self) -> Timestamp {
        self.lock().now
    }

    fn sleep<'a, 'b>(&'a self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        // Not an `async fn`: the sleep begins when it is asked for, not when it is first polled.
        let mut state = self.lock();
        state.sleeps.push(duration);
        if duration < SHORTEST_WAIT {
            return Box::pin(yield_once());
        }
        state.started = state.started.saturating_add(1);
        Box::pin(Waiting { runtime: self, id: state.started, end: state.now.plus(duration) })
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        let lost = {
            let mut state = self.lock();
            if let Some(refusals) = state.refusals.checked_sub(1) {
                state.refusals = refusals;
                return Err(RunError::Busy);
            }
            state.jobs = state.jobs.saturating_add(1);
            let lost = state.losses > 0;
            state.losses = state.losses.saturating_sub(1);
            lost
        };
        // As on a pool, a job that panics takes no one else with it.
        let result = catch_unwind(AssertUnwindSafe(job)).map_err(|_| RunError::Lost)?;
        if lost { Err(RunError::Lost) } else { Ok(result) }
    }

    fn is_test_double(&self) -> bool {
        true
    }
}

/// A sleep that waits for someone to move the clock.
struct Waiting<'a> {
    runtime: &'a VirtualRuntime,
    id: usize,
    end: Timestamp,
}

impl Future for Waiting<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.runtime.lock();
        state.asleep.retain(|asleep| asleep.id != self.id);
        if state.now >= self.end {
            return Poll::Ready(());
        }
        let waker = context.waker().clone();
        state.asleep.push(Asleep { id: self.id, end: self.end, waker });
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.runtime.lock().asleep.retain(|asleep| asleep.id != self.id);
    }
}
