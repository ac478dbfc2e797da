//! A store that remembers which records were ever put.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Position, Query};
use mfa::{Commit, Committed, Key, Record, RecordKind, Scope, Store, StoreError, Timestamp, Write};

use crate::TestStore;

/// See the module.
#[derive(Debug)]
pub struct Watched {
    inner: Arc<dyn TestStore>,
    put: Mutex<BTreeSet<Key>>,
}

impl Watched {
    /// Wraps `inner`.
    #[must_use]
    pub fn new(inner: &Arc<dyn TestStore>) -> Self {
        Self { inner: Arc::clone(inner), put: Mutex::default() }
    }

    /// Returns the keys of all records of accounts that were ever put.
    #[must_use]
    pub fn ever_put(&self) -> Vec<Key> {
        let put = self.put.lock().unwrap_or_else(PoisonError::into_inner);
        put.iter().filter(|key| matches!(key.scope, Scope::Account(_))).cloned().collect()
    }
}

#[async_trait]
impl Store for Watched {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
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
        let puts = commit.writes.iter().filter(|write| matches!(write, Write::Put { .. }));
        let keys: Vec<Key> = puts.map(|write| write.key().clone()).collect();
        let answer = self.inner.commit(commit).await;
        self.put.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
        answer
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(before, limit).await
    }
}

#[async_trait]
impl AuditLog for Watched {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.inner.event(scope, id).await
    }
}
