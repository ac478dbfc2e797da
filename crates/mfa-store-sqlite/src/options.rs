//! What a host may choose when it opens a store.

use std::time::Duration;

use crate::OpenError;

/// The most connections for point reads.
const MAX_READERS: usize = 64;
/// The longest wait for another process's lock.
const MAX_BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// How a store is opened; the defaults fit a service with a few threads.
///
/// ```
/// use std::time::Duration;
/// use mfa_store_sqlite::{Options, SqliteStore};
///
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("mfa.db");
/// let options = Options::new().readers(8).busy_timeout(Duration::from_secs(2));
/// assert!(SqliteStore::open_with(&path, options).is_ok());
///
/// let error = SqliteStore::open_with(&path, Options::new().readers(0)).unwrap_err();
/// assert_eq!(error.code(), "invalid_option");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub(crate) readers: usize,
    pub(crate) busy_timeout: Duration,
}

impl Options {
    /// Chooses the defaults: 4 readers, 5 seconds.
    #[must_use]
    pub const fn new() -> Self {
        Self { readers: 4, busy_timeout: Duration::from_secs(5) }
    }

    /// Sets how many connections serve point reads, 1 to 64. More than the executor has threads is waste.
    #[must_use]
    pub const fn readers(mut self, readers: usize) -> Self {
        self.readers = readers;
        self
    }

    /// Sets how long a call waits for another process that holds the file's lock, 0 to 60 seconds. After it
    /// the call fails with [`StoreError::Unavailable`](mfa_core::StoreError::Unavailable), nothing written.
    #[must_use]
    pub const fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    pub(crate) fn check(&self) -> Result<(), OpenError> {
        let invalid = |option, problem| Err(OpenError::InvalidOption { option, problem });
        if !(1..=MAX_READERS).contains(&self.readers) {
            return invalid("readers", format!("is {}, must be 1 to {MAX_READERS}", self.readers));
        }
        if self.busy_timeout > MAX_BUSY_TIMEOUT {
            let given = self.busy_timeout.as_secs();
            return invalid("busy_timeout", format!("is {given} s, must be at most 60 s"));
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}
