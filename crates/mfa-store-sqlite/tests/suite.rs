//! The store keeps the contract of stores, clause by clause.
#![cfg(test)]

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Checkpoint, CheckpointKey, Checkpoints, Event, EventId, Leaf, Position, Query,
    Scope, Timestamp,
};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};
use mfa_store_sqlite::SqliteStore;
use tempfile::TempDir;

/// A store with the folder of its file, which goes when the store goes.
#[derive(Debug)]
struct InFolder {
    store: SqliteStore,
    _folder: TempDir,
}

fn fresh() -> InFolder {
    let folder = tempfile::tempdir().unwrap();
    InFolder { store: SqliteStore::open(folder.path().join("suite.db")).unwrap(), _folder: folder }
}

#[async_trait]
impl Store for InFolder {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        self.store.get(keys, now).await
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
        self.store.list(scope, kind, prefix, after, limit, now).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.store.scan(kind, after, limit, now).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.store.commit(commit).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.store.purge(before, limit).await
    }
}

#[async_trait]
impl AuditLog for InFolder {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.store.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.store.event(scope, id).await
    }
}

#[async_trait]
impl Checkpoints for InFolder {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        self.store.checkpoint(key, now).await
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        self.store.checkpoints(after, limit).await
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        self.store.leaves(after, limit).await
    }
}

mfa_testkit::store_suite!(fresh());
