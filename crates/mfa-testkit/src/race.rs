//! Races that happen every time: a start line for threads, and a store that makes readers meet.

use core::time::Duration;
use std::panic::resume_unwind;
use std::sync::{Arc, Barrier, Condvar, Mutex, PoisonError};
use std::thread;

use async_trait::async_trait;
use audit_model::Timestamp;
use futures::executor::block_on;
use mfa_core::{Key, Record, RecordKind, Store, StoreError};

use crate::layer::{Layer, Layered};

/// How long a reader waits at a gate for the others.
const PATIENCE: Duration = Duration::from_secs(30);

/// Runs `work(0)` to `work(n - 1)` on a thread each, started together, and returns their results in that
/// order. A panic of one is the caller's panic.
///
/// ```
/// use mfa_testkit::race::race;
/// assert_eq!(race(3, |i| async move { i * 10 }), [0, 10, 20]);
/// ```
pub fn race<T, F, Fut>(n: usize, work: F) -> Vec<T>
where
    T: Send,
    F: Fn(usize) -> Fut + Sync,
    Fut: Future<Output = T>,
{
    let (start, work) = (&Barrier::new(n), &work);
    thread::scope(|scope| {
        let run = |i| {
            move || {
                start.wait();
                block_on(work(i))
            }
        };
        let threads: Vec<_> = (0..n).map(|i| scope.spawn(run(i))).collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Wraps a store so that, once armed, the next `n` reads wait until all `n` have read.
///
/// So `n` callers decide on the same state, whatever the scheduler does: without the store's
/// compare-and-swap they would all win. The wait blocks the thread: give each caller a thread of its own,
/// as [`race`] does. Where fewer than `n` readers come within 30 seconds, the waiting reads fail.
///
/// ```
/// use mfa_core::{Key, MemoryStore, RecordKind, Scope, Store, Timestamp};
/// use mfa_testkit::race::{GateStore, race};
///
/// let store = GateStore::new(MemoryStore::new());
/// store.arm(2);
/// let key = Key::new(Scope::System, RecordKind::new("note"), *b"1");
/// let read = race(2, |_| store.get(std::slice::from_ref(&key), Timestamp::MIN));
/// assert!(read.into_iter().all(|answer| answer.is_ok()));
/// ```
pub type GateStore<S> = Layered<S, Gates>;

/// The layer of a [`GateStore`].
#[derive(Debug)]
pub struct Gates {
    gate: Mutex<Option<Arc<Gate>>>,
}

#[derive(Debug)]
struct Gate {
    kind: Option<RecordKind>,
    size: usize,
    state: Mutex<Passage>,
    full: Condvar,
}

#[derive(Debug, Default)]
struct Passage {
    admitted: usize,
    read: usize,
}

impl<S> Layered<S, Gates> {
    /// Wraps `inner`; every call passes until the gate is armed.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self::over(inner, Gates { gate: Mutex::new(None) })
    }
}

impl Gates {
    /// Makes the next `n` reads wait for each other; the ones after them pass.
    pub fn arm(&self, n: usize) {
        self.set(n, None);
    }

    /// Makes the next `n` reads that ask for a record of `kind` wait for each other; all others pass.
    pub fn arm_for(&self, kind: RecordKind, n: usize) {
        self.set(n, Some(kind));
    }

    fn set(&self, size: usize, kind: Option<RecordKind>) {
        let gate = Gate { kind, size, state: Mutex::default(), full: Condvar::new() };
        *self.gate.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(gate));
    }

    fn admit(&self, keys: &[Key]) -> Option<Arc<Gate>> {
        let gate = self.gate.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        gate.admits(keys).then_some(gate)
    }
}

impl Gate {
    fn admits(&self, keys: &[Key]) -> bool {
        if self.kind.is_some_and(|kind| keys.iter().all(|key| key.kind != kind)) {
            return false;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let admitted = state.admitted < self.size;
        state.admitted = state.admitted.saturating_add(usize::from(admitted));
        admitted
    }

    fn wait(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.read = state.read.saturating_add(1);
        self.full.notify_all();
        let waited = self.full.wait_timeout_while(state, PATIENCE, |s| s.read < self.size);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.read < self.size {
            let message = format!("only {} of {} readers came to the gate", state.read, self.size);
            return Err(StoreError::Unavailable(Arc::from(Box::from(message))));
        }
        Ok(())
    }
}

#[async_trait]
impl Layer for Gates {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let gate = self.admit(keys);
        let records = store.get(keys, now).await;
        gate.map_or(Ok(()), |gate| gate.wait())?;
        records
    }
}
