//! Keeps the records and audit events of `mfa-core` in one SQLite file, so that what was acknowledged is still
//! there after the process or the machine has crashed.
//!
//! ```
//! use audit_model::{AccountId, AuditLog, EventBuilder, EventId, Kind, Outcome, Query};
//! use mfa_core::{Commit, Committed, Expect, Key, RecordKind, Scope, Store, Timestamp, Version, Write};
//! use mfa_store_sqlite::SqliteStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # futures::executor::block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("mfa.db");
//! let store = SqliteStore::open(&path)?;
//!
//! // A record and the event that speaks of it, in one commit. Versions and ids are random.
//! let now = Timestamp::from_unix_seconds(1_487_814_038)?;
//! let scope = Scope::Account(AccountId::parse("acme")?);
//! let mut commit = Commit::new(scope.clone(), Version::from_bytes([1; 16]), now);
//! let key = Key::new(scope.clone(), RecordKind::new("note"), *b"1");
//! let put = Write::Put { key: key.clone(), expect: Expect::Absent, body: b"hello".to_vec(), expires_at: None };
//! commit.writes.push(put);
//! let event = EventBuilder::new(scope.clone(), Kind::AnswerAccepted, Outcome::Success, now);
//! commit.events.push(event.build(EventId::new(now, [2; 16]), [3; 16])?);
//! assert_eq!(store.commit(commit.clone()).await?, Committed::Done);
//!
//! // The record is not absent any more: the second commit writes nothing, the event included.
//! assert_eq!(store.commit(commit).await?, Committed::Conflict(key));
//! assert_eq!(store.query(&Query::new(scope), None).await?.len(), 1);
//!
//! // A file that is no store of ours is refused and left as it is.
//! # let letter = folder.path().join("letter.txt");
//! # std::fs::write(&letter, "Dear editor, ".repeat(100))?;
//! # #[cfg(unix)]
//! # std::fs::set_permissions(&letter, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
//! assert_eq!(SqliteStore::open(&letter).unwrap_err().code(), "not_a_database");
//! # Ok(()) })
//! # }
//! ```
//!
//! # What is promised
//!
//! * A commit answered [`Done`](mfa_core::Committed::Done) was written to SQLite's write-ahead log and synced
//!   (`synchronous=FULL`). It survives a kill of the process and, on a disk that keeps what it says it has
//!   synced, a loss of power. Every commit is there whole or not at all, its events and erasure included.
//! * A read sees every commit that was answered before it began, in this process and in others.
//! * Any number of processes of one machine may share the file: every expectation is checked under the file's
//!   write lock. Whoever waits for that lock longer than [`Options::busy_timeout`] is told
//!   [`Unavailable`](mfa_core::StoreError::Unavailable).
//! * Events are numbered from 1 without a gap over all processes, in the column `seq`.
//! * A [checkpoint](audit_model::Checkpoints) covers exactly the events since the last one, whichever processes
//!   committed them. It is made inside a write transaction, which takes about a microsecond an event: made every
//!   thousand events, commits do not feel it.
//!
//! # What is not
//!
//! * A copy of the file put back later brings old records back with it, and keeps its
//!   [`incarnation`](SqliteStore::incarnation). The store cannot tell; an
//!   [`audit_model::Verifier`] that trusts a later checkpoint can.
//! * The file must lie on a local disk; SQLite's locks and shared memory do not work over a network. For
//!   several machines use another store.
//! * Nothing is encrypted here. Bodies are sealed or authenticated by who writes them; the ids of accounts and
//!   users, addresses and events are in clear.
//! * Deleting records gives pages back to the file, not to the disk; see [`SqliteStore::compact`].
//!
//! # How it works
//!
//! One thread writes. It takes all commits that wait, checks and applies each in turn in one transaction,
//! syncs once, and answers every caller: a conflict of one is nobody else's, and 64 callers pay for two or three
//! syncs, not for 64. A caller alone never waits for company. [`SqliteStore::stats`] tells how large the
//! transactions are.
//!
//! [`get`](mfa_core::Store::get) and [`event`](audit_model::AuditLog::event) run inside the call, some
//! microseconds on a connection that only reads; `list`, `scan` and `query` run on two threads of their own.
//! No read waits for a writer or a sync. No async runtime is needed or assumed.
//!
//! # Files
//!
//! Beside `mfa.db` lie `mfa.db-wal`, the log, which is part of the data, and `mfa.db-shm`, its index. All are
//! made with mode 0600 whatever the umask, and refused when group or others may write them or when one is a
//! symbolic link. Who may write their folder can replace them: keep it to the service's own user.
//!
//! A process that has the store open must not open these files by other means: closing them again would take
//! SQLite's locks away, as POSIX has it. To back up, use `VACUUM INTO` of the `sqlite3` program, or copy all
//! files while no process has them open; give the copy mode 0600.
//!
//! The header carries the application id `0x6d666153` and the version of the schema. Migrations run when the
//! file is opened, in one transaction; their text is in `migrations/`. A file with a newer version is refused
//! when it is opened.
//!
//! # Erasure
//!
//! A commit with `erase` sets the user, address and personal values of that user's events to NULL. SQLite
//! overwrites them with zeroes where they stood (`secure_delete`), and before the commit is answered the log,
//! which holds old pages, is moved into the file and cut to nothing. Two things may remain for a while:
//!
//! * the log itself, if another process reads at that moment; every later commit tries again to cut it;
//! * copies of rows that SQLite left in unused parts of pages when it split them. They are overwritten as
//!   pages fill; [`SqliteStore::compact`] removes them all at once.
//!
//! Dropping old events ([`Retain`](audit_model::Retain)) overwrites and cuts the log the same way. Of each event
//! stay its place, its hash and a MAC, about 120 bytes.
//!
//! What the file system or the disk keeps of overwritten blocks, and backups, are out of reach.

mod apply;
mod checkpoints;
mod connection;
mod error;
mod events;
mod file;
mod migrate;
mod options;
mod queue;
mod readers;
mod records;
mod retention;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use error::OpenError;
pub use options::Options;
pub use stats::Stats;
pub use store::SqliteStore;
