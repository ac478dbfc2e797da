//! A store that fails when told to, and one that counts what is asked of it.

mod counting;

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use audit_model::{AuditError, Timestamp};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};

use crate::layer::{Layer, Layered, Listing};

pub use counting::{Counter, CountingStore, Counts};

/// Where a [`FaultStore`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum At {
    /// On `get`, instead of reading.
    OnGet,
    /// On `list` and `scan`, instead of reading.
    OnList,
    /// On `purge`, instead of deleting.
    OnPurge,
    /// On `commit`, before anything is written; the wrapped store is not called.
    BeforeCommit,
    /// On `commit`, after the wrapped store has answered it, whatever the answer was.
    AfterCommit,
    /// On `query` and `event` of the audit log, instead of reading.
    OnQuery,
}

/// How a [`FaultStore`] fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The caller is told [`StoreError::Unavailable`].
    Unavailable,
    /// The caller is told [`StoreError::Unknown`], as after a time-out.
    Unknown,
    /// The process ends with this code, at once.
    Exit(i32),
}

/// Wraps a store and fails the calls it was told to fail.
///
/// ```
/// use mfa_core::{Commit, MemoryStore, Scope, Store, Timestamp, Version};
/// use mfa_testkit::faults::{At, Fault, FaultStore};
/// # futures::executor::block_on(async {
/// let store = FaultStore::new(MemoryStore::new());
/// store.fail(At::AfterCommit, Fault::Unknown, 1);
/// let commit = Commit::new(Scope::System, Version::from_bytes([1; 16]), Timestamp::MIN);
/// assert_eq!(store.commit(commit.clone()).await.unwrap_err().code(), "unknown");
/// assert!(store.commit(commit).await.is_ok());
/// # });
/// ```
pub type FaultStore<S> = Layered<S, Faults>;

/// The layer of a [`FaultStore`]: what fails, and how often.
#[derive(Debug)]
pub struct Faults {
    plan: Mutex<Vec<Planned>>,
}

#[derive(Debug)]
struct Planned {
    at: At,
    fault: Fault,
    skip: usize,
    times: usize,
}

impl<S> Layered<S, Faults> {
    /// Wraps `inner`; nothing fails until told.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self::over(inner, Faults { plan: Mutex::new(Vec::new()) })
    }
}

impl Faults {
    /// Fails the next `times` calls that come by `at`. Plans for one place are used up in order.
    pub fn fail(&self, at: At, fault: Fault, times: usize) {
        self.fail_later(at, fault, 0, times);
    }

    /// Lets `skip` calls pass by `at`, then fails the next `times`.
    pub fn fail_later(&self, at: At, fault: Fault, skip: usize, times: usize) {
        self.lock().push(Planned { at, fault, skip, times });
    }

    /// Forgets every plan and returns whether all of them had been used up.
    pub fn heal(&self) -> bool {
        core::mem::take(&mut *self.lock()).is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Planned>> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self, at: At) -> Option<Fault> {
        let mut plan = self.lock();
        plan.retain(|planned| planned.times > 0);
        let planned = plan.iter_mut().find(|planned| planned.at == at)?;
        if let Some(skip) = planned.skip.checked_sub(1) {
            planned.skip = skip;
            return None;
        }
        planned.times = planned.times.saturating_sub(1);
        let fault = planned.fault;
        plan.retain(|planned| planned.times > 0);
        Some(fault)
    }

    fn pass(&self, at: At) -> Result<(), StoreError> {
        let cause = || Arc::new(Injected(at));
        match self.next(at) {
            None => Ok(()),
            Some(Fault::Unavailable) => Err(StoreError::Unavailable(cause())),
            Some(Fault::Unknown) => Err(StoreError::Unknown(cause())),
            Some(Fault::Exit(code)) => std::process::exit(code),
        }
    }
}

#[async_trait]
impl Layer for Faults {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.pass(At::OnGet)?;
        store.get(keys, now).await
    }

    async fn list(&self, store: &dyn Store, asked: Listing<'_>) -> Result<Vec<Record>, StoreError> {
        self.pass(At::OnList)?;
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
        self.pass(At::OnList)?;
        store.scan(kind, after, limit, now).await
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        self.pass(At::BeforeCommit)?;
        let answer = store.commit(commit).await;
        self.pass(At::AfterCommit)?;
        answer
    }

    async fn purge(&self, store: &dyn Store, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.pass(At::OnPurge)?;
        store.purge(before, limit).await
    }

    fn before_query(&self) -> Result<(), AuditError> {
        self.pass(At::OnQuery).map_err(|error| AuditError::Unavailable(Box::new(error)))
    }
}

/// The source of an error that a test asked for.
#[derive(Debug)]
struct Injected(At);

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a fault that the test asked for ({:?})", self.0)
    }
}

impl std::error::Error for Injected {}
