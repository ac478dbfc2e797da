//! A layer over a store: what a test does around some of its calls, without writing the others out.

use core::fmt;
use core::ops::Deref;

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Checkpoint, CheckpointKey, Checkpoints, Event, EventId, Leaf, Position, Query,
    Scope, Timestamp,
};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};

/// What is done around the calls of a store. Each method gets the store below; what is not overridden passes through.
#[async_trait]
pub trait Layer: fmt::Debug + Send + Sync + 'static {
    /// [`Store::get`].
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        store.get(keys, now).await
    }

    /// [`Store::list`].
    async fn list(&self, store: &dyn Store, asked: Listing<'_>) -> Result<Vec<Record>, StoreError> {
        asked.of(store).await
    }

    /// [`Store::scan`].
    async fn scan(
        &self,
        store: &dyn Store,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        store.scan(kind, after, limit, now).await
    }

    /// [`Store::commit`].
    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        store.commit(commit).await
    }

    /// [`Store::purge`].
    async fn purge(&self, store: &dyn Store, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        store.purge(before, limit).await
    }

    /// Called before each call of the audit log and of its checkpoints; an error is what the caller gets.
    ///
    /// # Errors
    /// Whatever the layer makes of the call.
    fn before_query(&self) -> Result<(), AuditError> {
        Ok(())
    }
}

/// What a call of [`Store::list`] asks for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "it has what the call has, which is a contract of its own")]
pub struct Listing<'a> {
    /// Whose records.
    pub scope: &'a Scope,
    /// Of which kind.
    pub kind: RecordKind,
    /// What their ids begin with.
    pub prefix: &'a [u8],
    /// Those behind this id.
    pub after: Option<&'a [u8]>,
    /// At most so many.
    pub limit: usize,
    /// What has not expired then.
    pub now: Timestamp,
}

impl Listing<'_> {
    /// Asks `store` for it.
    ///
    /// # Errors
    /// Those of [`Store::list`].
    pub async fn of(self, store: &dyn Store) -> Result<Vec<Record>, StoreError> {
        let Self { scope, kind, prefix, after, limit, now } = self;
        store.list(scope, kind, prefix, after, limit, now).await
    }
}

/// A store with a layer over it, as which it derefs.
///
/// ```
/// use std::sync::atomic::{AtomicUsize, Ordering};
///
/// use async_trait::async_trait;
/// use mfa_core::{Commit, Committed, MemoryStore, Scope, Store, StoreError, Timestamp, Version};
/// use mfa_testkit::layer::{Layer, Layered};
///
/// #[derive(Debug, Default)]
/// struct Commits(AtomicUsize);
///
/// #[async_trait]
/// impl Layer for Commits {
///     async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
///         self.0.fetch_add(1, Ordering::Relaxed);
///         store.commit(commit).await
///     }
/// }
///
/// # futures::executor::block_on(async {
/// let store = Layered::over(MemoryStore::new(), Commits::default());
/// let commit = Commit::new(Scope::System, Version::from_bytes([1; 16]), Timestamp::MIN);
/// assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
/// assert!(store.get(&[], Timestamp::MIN).await.unwrap().is_empty());
/// assert_eq!(store.0.load(Ordering::Relaxed), 1);
/// # });
/// ```
#[derive(Debug)]
pub struct Layered<S, L> {
    inner: S,
    layer: L,
}

impl<S, L> Layered<S, L> {
    /// Puts `layer` over `inner`.
    #[must_use]
    pub const fn over(inner: S, layer: L) -> Self {
        Self { inner, layer }
    }

    /// Returns the store below, whose own calls the layer does not see.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, L> Deref for Layered<S, L> {
    type Target = L;

    fn deref(&self) -> &L {
        &self.layer
    }
}

#[async_trait]
impl<S: Store, L: Layer> Store for Layered<S, L> {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        self.layer.get(&self.inner, keys, now).await
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
        self.layer.list(&self.inner, Listing { scope, kind, prefix, after, limit, now }).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.layer.scan(&self.inner, kind, after, limit, now).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.layer.commit(&self.inner, commit).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.layer.purge(&self.inner, before, limit).await
    }
}

#[async_trait]
impl<S: AuditLog, L: Layer> AuditLog for Layered<S, L> {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.layer.before_query()?;
        self.inner.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.layer.before_query()?;
        self.inner.event(scope, id).await
    }
}

#[async_trait]
impl<S: Checkpoints, L: Layer> Checkpoints for Layered<S, L> {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        self.layer.before_query()?;
        self.inner.checkpoint(key, now).await
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        self.layer.before_query()?;
        self.inner.checkpoints(after, limit).await
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        self.layer.before_query()?;
        self.inner.leaves(after, limit).await
    }
}
