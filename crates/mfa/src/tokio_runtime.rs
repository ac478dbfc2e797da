//! The runtime of a tokio service.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use mfa_core::{RunError, Runtime, SecretBytes, SlowJob, Timestamp};
use tokio::sync::oneshot;

/// How many slow jobs may wait. One more is refused.
const QUEUE: usize = 64;
/// How much nicer the pool's threads are than the one that starts them. A job that runs all the time keeps a tenth of a
/// core beside another thread, and a hash of 20 ms is done long before its deadline.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// The system's clock, tokio's timers, and a pool of its own threads for slow work.
///
/// The pool has half as many threads as the machine has cores, at least one, and a queue of 64 jobs; past
/// that, slow work is refused as `busy` and nothing is charged. A slow hash of *m* bytes thus needs at most
/// *threads × m* bytes of memory. Threads start with the first job. On Linux they are nicer by 10 than the thread that
/// starts them: a login that arrives while every core hashes is worked on at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use mfa::{Runtime, SecretBytes, TokioRuntime};
/// let runtime = TokioRuntime::new();
/// let digest = runtime.run(Box::new(|| SecretBytes::new(vec![1, 2, 3]))).await.unwrap();
/// assert_eq!(digest.expose_secret(), [1, 2, 3]);
/// // A job that panics has no result; the pool goes on.
/// assert!(runtime.run(Box::new(|| panic!("broken hash"))).await.is_err());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    pool: Arc<Mutex<Option<SyncSender<Work>>>>,
}

struct Work {
    job: SlowJob,
    done: oneshot::Sender<SecretBytes>,
}

impl TokioRuntime {
    /// Makes a runtime; no thread is started yet.
    #[must_use]
    pub fn new() -> Self {
        Self { pool: Arc::new(Mutex::new(None)) }
    }

    fn submit(&self, work: Work) -> Result<(), RunError> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &mut *pool {
            Some(sender) => sender,
            empty => empty.insert(start_pool()?),
        };
        sender.try_send(work).map_err(|_| RunError::Busy)
    }
}

impl Default for TokioRuntime {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Runtime for TokioRuntime {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the system's clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis())
            .ok()
            .and_then(|ms| Timestamp::from_unix_millis(ms).ok())
            .unwrap_or_default()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        let (done, result) = oneshot::channel();
        self.submit(Work { job, done })?;
        result.await.map_err(|_| RunError::Lost)
    }

    fn is_test_double(&self) -> bool {
        false
    }
}

/// Starts the pool's threads; they end when the runtime is dropped.
fn start_pool() -> Result<SyncSender<Work>, RunError> {
    let (sender, receiver) = sync_channel(QUEUE);
    let receiver = Arc::new(Mutex::new(receiver));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..cores.div_euclid(2).max(1) {
        let receiver = Arc::clone(&receiver);
        let spawned = thread::Builder::new().name("mfa-slow".to_owned()).spawn(move || work(&receiver));
        spawned.map_err(|_| RunError::Busy)?;
    }
    Ok(sender)
}

fn work(jobs: &Mutex<Receiver<Work>>) {
    yield_to_logins();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Work { job, done }) = next else { return };
        // A job that panics takes its own result with it and nothing else.
        if let Ok(digest) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)) {
            drop(done.send(digest));
        }
    }
}

/// Lowers the priority of the thread that calls: on Linux each thread has one of its own. Where it cannot be lowered
/// the work is done all the same.
#[cfg(target_os = "linux")]
fn yield_to_logins() {
    use rustix::process::{getpriority_process, setpriority_process};

    let nicer = |nice: i32| setpriority_process(None, nice.saturating_add(NICER));
    let _ = getpriority_process(None).and_then(nicer);
}

/// Elsewhere a priority is the whole process's, or cannot be set without unsafe code.
#[cfg(not(target_os = "linux"))]
const fn yield_to_logins() {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::getpriority_process;

    use super::*;

    /// 19 is the nicest that there is (`setpriority(2)`).
    #[tokio::test]
    async fn slow_work_runs_at_a_lower_priority_than_its_caller_and_lowers_no_other() {
        let own = getpriority_process(None).unwrap();
        let nice_of_job = || SecretBytes::new(getpriority_process(None).unwrap().to_be_bytes().to_vec());
        let nice = TokioRuntime::new().run(Box::new(nice_of_job)).await.unwrap();
        assert_eq!(nice.expose_secret(), (own + 10).min(19).to_be_bytes());
        assert_eq!(getpriority_process(None).unwrap(), own);
    }
}
