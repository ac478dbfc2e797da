//! The files of a host: its database, and beside it the key without which nobody can use it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mfa::sqlite::SqliteStore;
use mfa::{AccountId, Directory as _, KeyRing, StoredDirectory, Subject, TokioRuntime, UserId};

use crate::{Failure, key};

/// An open database and its key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Files {
    /// The database.
    pub store: SqliteStore,
    /// The key.
    pub ring: KeyRing,
    db: PathBuf,
    key_path: PathBuf,
}

impl Files {
    /// Opens the database and its key, the database's path with `.key` behind it, or makes both. A new database gets its key first: there is never a database
    /// without one.
    ///
    /// # Errors
    /// [`Failure::Failed`] names the file at fault.
    pub fn open(db: &Path) -> Result<Self, Failure> {
        let key_path = beside(db, ".key");
        let is_new = match fs::metadata(db) {
            Ok(metadata) => metadata.is_file() && metadata.len() == 0,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        if is_new {
            let had_key = key_path.exists();
            let ring = key::make(&key_path)?;
            let store = open_store(db).inspect_err(|_| {
                if !had_key {
                    drop(fs::remove_file(&key_path));
                }
            })?;
            return Ok(Self { store, ring, db: db.to_owned(), key_path });
        }
        let store = open_store(db)?;
        Ok(Self { store, ring: key::read(&key_path)?, db: db.to_owned(), key_path })
    }

    /// Reads a user's row: the first record that is read tells whether key and database belong together.
    ///
    /// # Errors
    /// [`Failure::Failed`] if they do not.
    pub async fn user(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, Failure> {
        let (store, clock) = (Arc::new(self.store.clone()), Arc::new(TokioRuntime::new()));
        let directory = StoredDirectory::new(store, self.ring.clone(), clock);
        directory.subject(account, user).await.map_err(|_| {
            let (key, db) = (self.key_path.display(), self.db.display());
            Failure::failed(format!(
                "the key in `{key}` does not fit `{db}`: it is another database's, or the file was changed"
            ))
        })
    }
}

/// Returns the path of a file beside the database, which has its name and a suffix.
#[must_use]
pub fn beside(db: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = db.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

fn open_store(db: &Path) -> Result<SqliteStore, Failure> {
    let shown = db.display();
    SqliteStore::open(db).map_err(|error| match Failure::from(error) {
        Failure::Failed(line) if !line.contains(&shown.to_string()) => {
            Failure::Failed(format!("`{shown}`: {line}"))
        }
        failure => failure,
    })
}
