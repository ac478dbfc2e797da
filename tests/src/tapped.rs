//! A store that tells a test what passes through it, and waits where the test says so.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Position, Query};
use mfa::{Commit, Committed, Key, Record, RecordKind, Scope, Store, StoreError, Timestamp};

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

/// Wraps a store and calls a [`Tap`] around its reads and commits.
#[derive(Debug)]
pub struct Tapped<S, T> {
    inner: S,
    tap: Arc<T>,
}

impl<S, T> Tapped<S, T> {
    /// Wraps `inner`.
    #[must_use]
    pub const fn new(inner: S, tap: Arc<T>) -> Self {
        Self { inner, tap }
    }
}

#[async_trait]
impl<S: Store, T: Tap> Store for Tapped<S, T> {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let records = self.inner.get(keys, now).await;
        self.tap.read(keys);
        records
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
        self.inner.list(scope, kind, prefix, after, limit, now).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.inner.scan(kind, after, limit, now).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.tap.committing();
        let answer = self.inner.commit(commit).await;
        self.tap.committed();
        answer
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(before, limit).await
    }
}

#[async_trait]
impl<S: AuditLog, T: Tap> AuditLog for Tapped<S, T> {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.inner.event(scope, id).await
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
