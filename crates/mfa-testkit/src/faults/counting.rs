//! Counts what is asked of a store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Checkpoint, CheckpointKey, Checkpoints, Event, EventId, Leaf, Position, Query,
    Scope, Timestamp,
};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError, Write};

/// What was asked of a [`CountingStore`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls of `get`.
    pub gets: usize,
    /// Keys that all calls of `get` asked for.
    pub keys_read: usize,
    /// Calls of `list`.
    pub lists: usize,
    /// Calls of `scan`.
    pub scans: usize,
    /// Calls of `commit`, whatever came of them.
    pub commits: usize,
    /// Commits that ended in [`Committed::Conflict`].
    pub conflicts: usize,
    /// Events of the commits that ended in [`Committed::Done`].
    pub events_committed: usize,
    /// Bytes of the bodies that commits put, whatever came of them.
    pub bytes_put: usize,
    /// Calls of `purge`.
    pub purges: usize,
    /// Calls of `query` and `event` of the audit log.
    pub queries: usize,
}

/// Wraps a store and counts its calls; a call counts when it begins.
///
/// ```
/// use mfa_core::{MemoryStore, Store, Timestamp};
/// use mfa_testkit::faults::CountingStore;
/// # futures::executor::block_on(async {
/// let store = CountingStore::new(MemoryStore::new());
/// store.get(&[], Timestamp::MIN).await.unwrap();
/// assert_eq!(store.take().gets, 1);
/// assert_eq!(store.take().gets, 0);
/// # });
/// ```
#[derive(Debug)]
pub struct CountingStore<S> {
    inner: S,
    counts: Mutex<Counts>,
}

impl<S> CountingStore<S> {
    /// Wraps `inner`, with nothing counted.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, counts: Mutex::default() }
    }

    /// Returns the wrapped store, whose own calls are not counted.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Returns what was counted since the last `take`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.lock()
    }

    /// Returns what was counted and starts anew.
    pub fn take(&self) -> Counts {
        core::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, field: impl FnOnce(&mut Counts) -> &mut usize, n: usize) {
        let mut counts = self.lock();
        let count = field(&mut counts);
        *count = count.saturating_add(n);
    }
}

#[async_trait]
impl<S: Store> Store for CountingStore<S> {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        self.add(|c| &mut c.gets, 1);
        self.add(|c| &mut c.keys_read, keys.len());
        self.inner.get(keys, now).await
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
        self.add(|c| &mut c.lists, 1);
        self.inner.list(scope, kind, prefix, after, limit, now).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.add(|c| &mut c.scans, 1);
        self.inner.scan(kind, after, limit, now).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.add(|c| &mut c.commits, 1);
        let events = commit.events.len();
        let bytes = |write: &Write| match write {
            Write::Put { body, .. } => body.len(),
            _ => 0,
        };
        self.add(|c| &mut c.bytes_put, commit.writes.iter().map(bytes).sum());
        let answer = self.inner.commit(commit).await;
        match &answer {
            Ok(Committed::Done) => self.add(|c| &mut c.events_committed, events),
            Ok(Committed::Conflict(_)) => self.add(|c| &mut c.conflicts, 1),
            _ => {}
        }
        answer
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.add(|c| &mut c.purges, 1);
        self.inner.purge(before, limit).await
    }
}

#[async_trait]
impl<S: AuditLog> AuditLog for CountingStore<S> {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.add(|c| &mut c.queries, 1);
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.add(|c| &mut c.queries, 1);
        self.inner.event(scope, id).await
    }
}

#[async_trait]
impl<S: Checkpoints> Checkpoints for CountingStore<S> {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        self.add(|c| &mut c.queries, 1);
        self.inner.checkpoint(key, now).await
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        self.add(|c| &mut c.queries, 1);
        self.inner.checkpoints(after, limit).await
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        self.add(|c| &mut c.queries, 1);
        self.inner.leaves(after, limit).await
    }
}
