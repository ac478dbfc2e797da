//! A store in whose calls something else happens: races that go the same way every time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Position, Query};
use mfa::{Commit, Committed, Key, Record, RecordKind, Scope, Store, StoreError, Timestamp};

use crate::TestStore;

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where in a call of a node something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the node has listed records of this kind.
    Listed(&'static str),
    /// After it has read a record of this kind.
    Read(&'static str),
}

/// Wraps a store. Whoever uses it waits at the chosen moment, once, until the deed is done.
pub struct Between {
    inner: Arc<dyn TestStore>,
    planned: Mutex<Option<(Moment, Deed)>>,
}

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Between").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Between {
    /// Wraps `inner`; nothing happens until it is planned.
    #[must_use]
    pub fn new(inner: &Arc<dyn TestStore>) -> Self {
        Self { inner: Arc::clone(inner), planned: Mutex::default() }
    }

    /// Does `deed` at the next such moment.
    pub fn plan(&self, moment: Moment, deed: impl Future<Output = ()> + Send + 'static) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, Box::pin(deed)));
    }

    /// Returns whether what was planned has happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn pass(&self, is_now: impl Fn(Moment) -> bool + Send) {
        let deed = {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            planned.take_if(|(moment, _)| is_now(*moment))
        };
        if let Some((_, deed)) = deed {
            deed.await;
        }
    }
}

#[async_trait]
impl Store for Between {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let records = self.inner.get(keys, now).await;
        let kinds: Vec<_> = keys.iter().map(|key| key.kind.as_str()).collect();
        self.pass(|moment| matches!(moment, Moment::Read(kind) if kinds.contains(&kind))).await;
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
        let records = self.inner.list(scope, kind, prefix, after, limit, now).await;
        self.pass(|moment| moment == Moment::Listed(kind.as_str())).await;
        records
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
        self.inner.commit(commit).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.purge(before, limit).await
    }
}

#[async_trait]
impl AuditLog for Between {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.inner.event(scope, id).await
    }
}
