//! The store itself: both contracts on one file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Checkpoint, CheckpointKey, Checkpoints, Event, EventId, Leaf, Position, Query,
    Retain, Retention, Scope, Timestamp,
};
use mfa_core::{Commit, Committed, Key, Record, RecordKind, Store, StoreError};

use crate::readers::Readers;
use crate::records::List;
use crate::writer::Writer;
use crate::{OpenError, Options, Stats, checkpoints, connection, events, file, migrate, records};

/// Keeps records and events in one SQLite file.
///
/// Clones share the file's connections and threads. When the last one is dropped, commits that were handed
/// over are finished and the file is closed; the drop waits for that.
///
/// ```
/// use mfa_core::{Commit, Committed, Expect, Key, RecordKind, Scope, Store, Timestamp, Version, Write};
/// use mfa_store_sqlite::SqliteStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # futures::executor::block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("mfa.db");
/// let store = SqliteStore::open(&path)?;
/// let key = Key::new(Scope::System, RecordKind::new("note"), *b"1");
/// let mut commit = Commit::new(Scope::System, Version::from_bytes([1; 16]), Timestamp::MIN);
/// let put = Write::Put { key, expect: Expect::Absent, body: b"hello".to_vec(), expires_at: None };
/// commit.writes.push(put);
/// assert_eq!(store.commit(commit.clone()).await?, Committed::Done);
/// // The same again finds the record present and writes nothing.
/// assert!(matches!(store.commit(commit).await?, Committed::Conflict(_)));
/// # Ok(()) })
/// # }
/// ```
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    incarnation: [u8; 16],
    // Dropped before the writer, whose connection is then the last and puts the log into the file.
    readers: Readers,
    writer: Writer,
}

impl SqliteStore {
    /// Opens the file at `path`, with the defaults of [`Options`]; makes it if there is none.
    ///
    /// Blocks for some milliseconds, and up to the busy timeout while another process migrates the file.
    ///
    /// # Errors
    /// [`OpenError`]: see its variants.
    ///
    /// ```
    /// use mfa_store_sqlite::SqliteStore;
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("mfa.db");
    /// assert!(SqliteStore::open(&path).is_ok());
    /// assert_eq!(SqliteStore::open(":memory:").unwrap_err().code(), "not_a_path");
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Options::new())
    }

    /// Opens the file at `path`; makes it if there is none.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and [`OpenError::InvalidOption`].
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let path = file::prepare(path.as_ref())?;
        let connection = connection::open_writer(&path, options.busy_timeout)?;
        let incarnation = migrate::incarnation(&connection)?;
        let readers = Readers::open(&path, &options)?;
        // The log and its index exist by now, whoever made them.
        file::check(&path)?;
        let to_error = |source| OpenError::Io { action: "start a thread for", path: path.clone(), source };
        let writer = Writer::start(connection, options.busy_timeout).map_err(to_error)?;
        Ok(Self { inner: Arc::new(Inner { path, incarnation, readers, writer }) })
    }

    /// Returns where the file is, its folder resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// Returns the 16 random bytes drawn when the file was made. A copy of the file keeps them.
    #[must_use]
    pub fn incarnation(&self) -> [u8; 16] {
        self.inner.incarnation
    }

    /// Returns what the writer has done since the store was opened.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.writer.stats()
    }

    /// Rewrites the whole file without its free space, and with it the last traces of erased values; see
    /// the [crate's page](crate#erasure). Commits wait meanwhile, about a minute for some gigabytes; it needs
    /// as much free disk as the file has bytes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the disk is full or another process holds the file.
    pub async fn compact(&self) -> Result<(), StoreError> {
        self.inner.writer.compact().await
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.inner.path).finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        Ok(self.inner.readers.here(|connection| records::get(connection, keys, now))?)
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
        let (scope, prefix, after) = (scope.clone(), prefix.to_vec(), after.map(<[u8]>::to_vec));
        let list = List { scope, kind, prefix, after, limit, now };
        Ok(self.inner.readers.away(|connection| list.run(connection)).await?)
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let after = after.cloned();
        let scan = move |connection: &_| records::scan(connection, kind, after.as_ref(), limit, now);
        Ok(self.inner.readers.away(scan).await?)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.inner.writer.commit(commit).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.inner.writer.purge(before, limit).await
    }
}

#[async_trait]
impl AuditLog for SqliteStore {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        let query = query.clone();
        Ok(self.inner.readers.away(move |connection| events::page(connection, &query, after)).await?)
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        Ok(self.inner.readers.here(|connection| events::one(connection, scope, id))?)
    }
}

#[async_trait]
impl Checkpoints for SqliteStore {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        let mut made = self.inner.writer.checkpoint(key, now).await.map_err(unfixed)?;
        // Each in a transaction of its own, so that commits need not wait for all of them.
        while made.count == Checkpoint::MAX_COUNT {
            let next = self.inner.writer.checkpoint(key, now).await.map_err(unfixed)?;
            if next == made {
                break;
            }
            made = next;
        }
        Ok(made)
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        let read = move |connection: &_| checkpoints::page(connection, after, limit);
        Ok(self.inner.readers.away(read).await?)
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        let read = move |connection: &_| checkpoints::leaves(connection, after, limit);
        Ok(self.inner.readers.away(read).await?)
    }
}

#[async_trait]
impl Retain for SqliteStore {
    async fn retain(&self, retention: &Retention, key: &CheckpointKey) -> Result<u64, AuditError> {
        self.inner.writer.retain(retention, key).await.map_err(unfixed)
    }
}

/// Why there is no new checkpoint. One whose outcome is unknown is found by asking again.
fn unfixed(error: StoreError) -> AuditError {
    match error {
        StoreError::Corrupt(what) => AuditError::Corrupt(what),
        other => AuditError::Unavailable(Box::new(other)),
    }
}
