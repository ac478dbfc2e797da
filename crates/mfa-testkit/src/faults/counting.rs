//! Counts what is asked of a store.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::{AuditError, Timestamp};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError, Write};

use crate::layer::{Layer, Layered, Listing};

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
pub type CountingStore<S> = Layered<S, Counter>;

/// The layer of a [`CountingStore`].
#[derive(Debug, Default)]
pub struct Counter {
    counts: Mutex<Counts>,
}

impl<S> Layered<S, Counter> {
    /// Wraps `inner`, with nothing counted.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self::over(inner, Counter::default())
    }
}

impl Counter {
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
impl Layer for Counter {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.add(|c| &mut c.gets, 1);
        self.add(|c| &mut c.keys_read, keys.len());
        store.get(keys, now).await
    }

    async fn list(&self, store: &dyn Store, asked: Listing<'_>) -> Result<Vec<Record>, StoreError> {
        self.add(|c| &mut c.lists, 1);
        asked.of(store).await
    }

    async fn scan(
        &self,
        store: &dyn Store,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.add(|c| &mut c.scans, 1);
        store.scan(kind, after, limit, now).await
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        self.add(|c| &mut c.commits, 1);
        let events = commit.events.len();
        let bytes = |write: &Write| match write {
            Write::Put { body, .. } => body.len(),
            _ => 0,
        };
        self.add(|c| &mut c.bytes_put, commit.writes.iter().map(bytes).sum());
        let answer = store.commit(commit).await;
        match &answer {
            Ok(Committed::Done) => self.add(|c| &mut c.events_committed, events),
            Ok(Committed::Conflict(_)) => self.add(|c| &mut c.conflicts, 1),
            _ => {}
        }
        answer
    }

    async fn purge(&self, store: &dyn Store, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.add(|c| &mut c.purges, 1);
        store.purge(before, limit).await
    }

    fn before_query(&self) -> Result<(), AuditError> {
        self.add(|c| &mut c.queries, 1);
        Ok(())
    }
}
