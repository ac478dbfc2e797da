//! The store contract: small versioned records and one atomic, conditional, multi-record write.
//!
//! A store knows nothing of multi-factor authentication: kinds are names, ids and bodies are bytes. A new
//! backend is this trait, [`AuditLog`](audit_model::AuditLog) for the events it keeps, and one run of the
//! conformance suite in `mfa-testkit`.

mod memory;

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use audit_model::{Event, Scope, Timestamp, UserId};
use thiserror::Error;

pub use memory::MemoryStore;

/// The longest body of a record, in bytes.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// Keeps records and events.
///
/// # Contract
///
/// *Time is the caller's.* A store reads no clock. A record whose `expires_at <= now` reads as absent in
/// [`get`](Store::get), [`list`](Store::list) and [`scan`](Store::scan), and counts as absent for
/// [`Expect`], where `now` is the call's own argument. Physical removal is garbage collection.
///
/// *Atomicity.* A [`Commit`] happens whole or not at all, events and erasure included. Every [`Expect`] and
/// every [`Write::Check`] holds at one point in time, the same at which the writes take effect. If one does
/// not hold, nothing is written and the first such key in the order of `writes` is named.
///
/// *Durability.* When [`commit`](Store::commit) returns [`Committed::Done`], the commit survives a crash of
/// the process and of the machine, as far as the store's documentation promises.
///
/// *Versions.* A record that a commit puts carries the commit's [`Version`]; the store never makes one up.
///
/// *Idempotence.* An event whose id is already stored in its scope, at whatever time, is not stored again
/// and is no error.
///
/// *Errors by meaning.* [`StoreError::Unavailable`] promises that nothing happened;
/// [`StoreError::Unknown`] that the commit may or may not have happened.
///
/// *Cancellation.* Dropping a future is a crash of the caller at that point: a commit may or may not have
/// happened, whole, and the store goes on working.
///
/// *Order.* Keys compare by the bytes of (scope name, kind, id). Locks are taken in that order.
///
/// *What a wrong implementation costs:* a code accepted twice, a lockout that never counts, a log that
/// disagrees with what happened.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Reads records in one round trip, of any scopes; the answer has the order of `keys`. Records of one
    /// scope are as they were at one point in time; over several scopes they need not be.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError>;

    /// Lists records of one scope and kind whose id begins with `prefix`, ordered by id, those behind the
    /// id `after` if it is given, at most `limit`.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn list(
        &self,
        scope: &Scope,
        kind: RecordKind,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError>;

    /// Lists records of one kind over every scope, in an order of the store's choice that does not change,
    /// those behind the key `after` if it is given, at most `limit`. Never in the path of a login.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError>;

    /// Writes everything in `commit`, or nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if nothing happened, [`StoreError::Unknown`] if it may have,
    /// [`StoreError::TooLarge`] for a body past [`MAX_BODY_BYTES`], [`StoreError::Misuse`] for a commit that
    /// breaks its form (see [`Commit::check`]).
    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError>;

    /// Deletes at most `limit` records whose `expires_at` lies before `before`, and returns how many.
    /// Events are never deleted.
    ///
    /// # Errors
    /// As [`Store::get`].
    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;
}

const _: Option<&dyn Store> = None;

/// Names a kind of record: a short constant of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKind(&'static str);

impl RecordKind {
    /// Names a kind; 1 to 32 lower-case ASCII letters or underscores by convention.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self(name)
    }

    /// Returns the name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Debug for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Addresses a record. The three parts are kept apart or length-prefixed, so that no two keys meet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct Key {
    /// The account, or one of the engine's scopes.
    pub scope: Scope,
    /// The kind of record.
    pub kind: RecordKind,
    /// The id within the kind, at most 1024 bytes.
    pub id: Arc<[u8]>,
}

impl Key {
    /// Addresses the record `id` of `kind` in `scope`.
    #[must_use]
    pub fn new(scope: Scope, kind: RecordKind, id: impl Into<Arc<[u8]>>) -> Self {
        Self { scope, kind, id: id.into() }
    }

    /// Encodes the key so that different keys give different bytes: each part behind its length.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::codec::tuple(&[self.scope.as_str().as_bytes(), self.kind.0.as_bytes(), &self.id])
    }
}

/// 128 random bits that name the commit which wrote a record. A version never comes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u128);

impl Version {
    /// Takes 16 random bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    /// Returns the 16 bytes.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Where it is.
    pub key: Key,
    /// Which commit wrote it.
    pub version: Version,
    /// Its bytes, at most [`MAX_BODY_BYTES`].
    pub body: Vec<u8>,
    /// From when on it reads as absent; `None` for never.
    pub expires_at: Option<Timestamp>,
}

impl Record {
    /// Puts a record together from what a store read.
    #[must_use]
    pub const fn new(key: Key, version: Version, body: Vec<u8>, expires_at: Option<Timestamp>) -> Self {
        Self { key, version, body, expires_at }
    }

    /// Returns whether the record reads as present at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }
}

/// What must be true of a record before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expect {
    /// It is absent, or expired at the commit's `now`.
    Absent,
    /// It is live and has this version.
    Version(Version),
    /// Anything.
    Any,
}

impl Expect {
    /// Returns whether `current`, the version of the live record if there is one, is what is expected.
    #[must_use]
    pub fn holds(self, current: Option<Version>) -> bool {
        match self {
            Self::Absent => current.is_none(),
            Self::Version(version) => current == Some(version),
            Self::Any => true,
        }
    }
}

/// One part of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Write {
    /// Stores `body` under the commit's version.
    Put {
        /// Which record.
        key: Key,
        /// What must be true of it first.
        expect: Expect,
        /// The new bytes.
        body: Vec<u8>,
        /// From when on it reads as absent.
        expires_at: Option<Timestamp>,
    },
    /// Deletes the record; deleting an absent one is fine if `expect` holds.
    Delete {
        /// Which record.
        key: Key,
        /// What must be true of it first.
        expect: Expect,
    },
    /// Changes nothing, but the commit happens only if the record is live and has this version.
    Check {
        /// Which record.
        key: Key,
        /// The version it must have.
        version: Version,
    },
}

impl Write {
    /// Returns the record it is about.
    #[must_use]
    pub const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }

    /// Returns what must be true of the record first.
    #[must_use]
    pub const fn expect(&self) -> Expect {
        match self {
            Self::Put { expect, .. } | Self::Delete { expect, .. } => *expect,
            Self::Check { version, .. } => Expect::Version(*version),
        }
    }
}

/// Everything one decision writes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Commit {
    /// The one scope that every write and event belongs to.
    pub scope: Scope,
    /// The version that the records it puts will carry.
    pub version: Version,
    /// The caller's time, by which expiry is judged.
    pub now: Timestamp,
    /// The writes; no key twice.
    pub writes: Vec<Write>,
    /// The events.
    pub events: Vec<Event>,
    /// Erases the personal values of stored events of the scope, the new ones not included.
    pub erase: Option<Erase>,
}

/// Whose stored events lose their personal values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Erase {
    /// The events about this user.
    User(UserId),
    /// Every event of the scope, those about nobody included.
    Everyone,
}

impl Commit {
    /// Starts an empty commit.
    #[must_use]
    pub const fn new(scope: Scope, version: Version, now: Timestamp) -> Self {
        Self { scope, version, now, writes: Vec::new(), events: Vec::new(), erase: None }
    }

    /// Checks the form that every store relies on: one scope, no key twice, bodies and ids within limits.
    /// Stores call it first.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`], [`StoreError::Misuse`].
    pub fn check(&self) -> Result<(), StoreError> {
        for write in &self.writes {
            let key = write.key();
            if key.scope != self.scope {
                return Err(StoreError::Misuse("a write of another scope"));
            }
            if key.id.len() > 1024 {
                return Err(StoreError::TooLarge { what: "id", bytes: key.id.len(), limit: 1024 });
            }
            if let Write::Put { body, .. } = write
                && body.len() > MAX_BODY_BYTES
            {
                let bytes = body.len();
                return Err(StoreError::TooLarge { what: "body", bytes, limit: MAX_BODY_BYTES });
            }
        }
        let is_written_before = |(at, write): (usize, &Write)| {
            self.writes.iter().take(at).any(|before| before.key() == write.key())
        };
        if self.writes.iter().enumerate().any(is_written_before) {
            return Err(StoreError::Misuse("two writes of one key"));
        }
        if self.events.iter().any(|event| *event.scope() != self.scope) {
            return Err(StoreError::Misuse("an event of another scope"));
        }
        Ok(())
    }
}

/// How a commit ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Committed {
    /// Everything is written and durable.
    Done,
    /// Nothing is written: this key was not as expected.
    Conflict(Key),
}

/// Why a store could not do what was asked. A conflict is not an error: see [`Committed::Conflict`].
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store could not be reached or refused; nothing happened.
    #[error("the store is unavailable")]
    Unavailable(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// The commit may or may not have happened.
    #[error("the store did not say whether the commit happened")]
    Unknown(#[source] Arc<dyn std::error::Error + Send + Sync>),
    /// Stored bytes cannot be read.
    #[error("the store holds bytes that cannot be read: {0}")]
    Corrupt(&'static str),
    /// The store was written by a newer program.
    #[error("the store has schema version {found}, this program knows up to {known}; use a newer program")]
    NewerSchema {
        /// The version found.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A body or an id is too long.
    #[error("{what} has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// `body` or `id`.
        what: &'static str,
        /// The length, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        limit: usize,
    },
    /// The commit breaks its form; a defect of the caller.
    #[error("the commit breaks its form: {0}")]
    Misuse(&'static str),
}

impl StoreError {
    /// Returns a stable code: `unavailable`, `unknown`, `corrupt`, `newer_schema`, `too_large` or `misuse`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Unknown(_) => "unknown",
            Self::Corrupt(_) => "corrupt",
            Self::NewerSchema { .. } => "newer_schema",
            Self::TooLarge { .. } => "too_large",
            Self::Misuse(_) => "misuse",
        }
    }
}

macro_rules! forward_store {
    ($($pointer:ident),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Store + ?Sized> Store for $pointer<T> {
            async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
                (**self).get(keys, now).await
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
                (**self).list(scope, kind, prefix, after, limit, now).await
            }
            async fn scan(
                &self,
                kind: RecordKind,
                after: Option<&Key>,
                limit: usize,
                now: Timestamp,
            ) -> Result<Vec<Record>, StoreError> {
                (**self).scan(kind, after, limit, now).await
            }
            async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
                (**self).commit(commit).await
            }
            async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
                (**self).purge(before, limit).await
            }
        }
    )*};
}

forward_store!(Arc, Box);
