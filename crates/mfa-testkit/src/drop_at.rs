//! Futures dropped at a chosen await point: what a caller that crashes or times out leaves behind.

use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::Wake;

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Checkpoint, CheckpointKey, Checkpoints, Event, EventId, Leaf, Position, Query,
    Scope, Timestamp,
};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};

/// How long a future may take to ask for its next poll.
const PATIENCE: Duration = Duration::from_secs(30);

/// Polls `future` at most `polls` times and drops it; `None` if it was not ready by then.
///
/// Between two polls the thread waits until the future asks for the next one, 30 seconds at most; a
/// future that does not ask is dropped there.
///
/// ```
/// use mfa_testkit::drop_at::{drop_at_poll, yield_once};
/// let work = || async { yield_once().await; 7 };
/// assert_eq!(drop_at_poll(work(), 1), None);
/// assert_eq!(drop_at_poll(work(), 2), Some(7));
/// ```
#[must_use]
pub fn drop_at_poll<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let alarm = Arc::new(Alarm::default());
    let waker = Waker::from(Arc::clone(&alarm));
    let mut context = Context::from_waker(&waker);
    for poll in 0..polls {
        if poll > 0 && !alarm.wait() {
            return None;
        }
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
    }
    None
}

/// Waits for exactly one further poll.
#[must_use = "a future does nothing unless polled"]
pub fn yield_once() -> impl Future<Output = ()> + Send {
    YieldOnce(false)
}

/// Wraps a store so that each call is pending once before it begins and once after it is done.
///
/// With [`drop_at_poll`] this makes every await point around a store call a place to crash at.
#[derive(Debug)]
pub struct YieldingStore<S>(S);

impl<S> YieldingStore<S> {
    /// Wraps `inner`.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self(inner)
    }

    /// Returns the wrapped store.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.0
    }
}

async fn between_yields<T: Send>(call: impl Future<Output = T> + Send) -> T {
    yield_once().await;
    let output = call.await;
    yield_once().await;
    output
}

#[async_trait]
impl<S: Store> Store for YieldingStore<S> {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        between_yields(self.0.get(keys, now)).await
    }

    async fn list(
        &self,
        scope: &Scope,
        kind: RecordKind,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        between_yields(self.0.list(scope, kind, prefix, after, limit, now)).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        between_yields(self.0.scan(kind, after, limit, now)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        between_yields(self.0.commit(commit)).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        between_yields(self.0.purge(before, limit)).await
    }
}

#[async_trait]
impl<S: AuditLog> AuditLog for YieldingStore<S> {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        between_yields(self.0.query(query, after)).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        between_yields(self.0.event(scope, id)).await
    }
}

#[async_trait]
impl<S: Checkpoints> Checkpoints for YieldingStore<S> {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        between_yields(self.0.checkpoint(key, now)).await
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        between_yields(self.0.checkpoints(after, limit)).await
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        between_yields(self.0.leaves(after, limit)).await
    }
}

struct YieldOnce(bool);

impl Future for YieldOnce {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 {
            return Poll::Ready(());
        }
        self.0 = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A bell that stays rung until someone has heard it.
#[derive(Default)]
struct Alarm {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl Alarm {
    fn wait(&self) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.bell.wait_timeout_while(rung, PATIENCE, |rung| !*rung);
        let (mut rung, _) = waited.unwrap_or_else(PoisonError::into_inner);
        core::mem::take(&mut *rung)
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.bell.notify_one();
    }
}
