//! A store that tells a test what passes through it, and waits where the test says so.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use mfa::{Commit, Committed, Key, Record, Store, StoreError, Timestamp};
use mfa_testkit::layer::{Layer, Layered};

/// How long a reader waits at a [`Meeting`].
const PATIENCE: Duration = Duration::from_secs(30);

/// What a test wants to know of a [`Tapped`] store. Each call happens on the caller's thread and may block it.
pub trait Tap: fmt::Debug + Send + Sync + 'static {
    /// A `get` of `keys` has read and is about to answer.
    fn read(&self, keys: &[Key]);
    /// A commit is about to be handed to the store.
    fn committing(&self);
    /// The store has answered a commit.
    fn committed(&self);
}

/// Calls a [`Tap`] around the reads and commits of a store.
#[derive(Debug)]
pub struct Tapping<T>(Arc<T>);

/// A store that is tapped.
pub type Tapped<S, T> = Layered<S, Tapping<T>>;

/// Taps `store`.
#[must_use]
pub const fn tapped<S, T: Tap>(store: S, tap: Arc<T>) -> Tapped<S, T> {
    Layered::over(store, Tapping(tap))
}

#[async_trait]
impl<T: Tap> Layer for Tapping<T> {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let records = store.get(keys, now).await;
        self.0.read(keys);
        records
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        self.0.committing();
        let answer = store.commit(commit).await;
        self.0.committed();
        answer
    }
}

/// A place where readers of a login's records wait, each on its own thread, until somebody who sees that all
/// of them have read lets them go: then all decide on the same state.
#[derive(Debug, Default)]
pub struct Meeting {
    state: Mutex<Hall>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Hall {
    /// How many readers are still admitted.
    free: usize,
    /// How many are waiting.
    waiting: usize,
}

impl Meeting {
    /// Makes the next `n` reads of a user's login record wait; the ones after them pass.
    pub fn call(&self, n: usize) {
        self.change(|hall| hall.free = n);
    }

    /// Waits until all are there. They stay until [`Meeting::release`].
    ///
    /// # Panics
    /// If they are not there within 30 seconds.
    pub fn assembled(&self, n: usize) {
        self.wait(|hall| hall.waiting < n);
    }

    /// Lets all go.
    pub fn release(&self) {
        self.change(|hall| hall.waiting = 0);
    }

    fn change(&self, change: impl FnOnce(&mut Hall)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait(&self, until: impl Fn(&Hall) -> bool) {
        let hall = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(hall, PATIENCE, |hall| until(hall));
        let (hall, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "a meeting that does not come together: {hall:?}");
    }
}

impl Tap for Meeting {
    fn read(&self, keys: &[Key]) {
        if keys.iter().all(|key| key.kind.as_str() != "login") {
            return;
        }
        let mut admitted = false;
        self.change(|hall| {
            admitted = hall.free > 0;
            hall.free = hall.free.saturating_sub(1);
            hall.waiting = hall.waiting.saturating_add(usize::from(admitted));
        });
        if admitted {
            self.wait(|hall| hall.waiting > 0);
        }
    }

    fn committing(&self) {}

    fn committed(&self) {}
}
