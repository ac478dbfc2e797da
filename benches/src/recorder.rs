//! A store that keeps a copy of every commit, so that a bare loop can write the same rows.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Position, Query, Scope, Timestamp};
use mfa::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};

/// Wraps a store and keeps its commits.
#[derive(Debug)]
pub struct Recorder<S> {
    inner: S,
    commits: Mutex<Vec<Commit>>,
}

impl<S> Recorder<S> {
    /// Wraps `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner, commits: Mutex::new(Vec::new()) }
    }

    /// Returns the wrapped store.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Takes the commits since the last call.
    pub fn take(&self) -> Vec<Commit> {
        std::mem::take(&mut self.commits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl<S: Store> Store for Recorder<S> {
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
        let copy = commit.clone();
        let committed = self.inner.commit(commit).await?;
        if committed == Committed::Done {
            self.commits.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        Ok(committed)
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(before, limit).await
    }
}

#[async_trait]
impl<S: AuditLog> AuditLog for Recorder<S> {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.inner.event(scope, id).await
    }
}
