//! What one commit does inside the writer's transaction, through statements that stay prepared.

use std::net::IpAddr;

use audit_model::{AuditError, Checkpoint, CheckpointKey, Event, Retention, Scope, StoredEvent, Timestamp};
use mfa_core::{Commit, Committed, Erase, Expect, Key, StoreError, Version, Write};
use rusqlite::{Connection, OptionalExtension, Statement, params};

use crate::checkpoints;
use crate::error::Failure;
use crate::retention;

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
pub(crate) const VERSION_OF: &str = "SELECT version FROM records
    WHERE kind = ?1 AND scope = ?2 AND id = ?3 AND (expires_at IS NULL OR expires_at > ?4)";
pub(crate) const PUT: &str = "INSERT INTO records (kind, scope, id, expires_at, version, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)
    ON CONFLICT (kind, scope, id) DO UPDATE SET
    expires_at = excluded.expires_at, version = excluded.version, body = excluded.body";
pub(crate) const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND scope = ?2 AND id = ?3";
pub(crate) const PURGE: &str = "DELETE FROM records WHERE (kind, scope, id) IN
    (SELECT kind, scope, id FROM records INDEXED BY records_expiry WHERE expires_at < ?1 LIMIT ?2)";
pub(crate) const LAST_SEQ: &str = "SELECT max(seq) FROM events";
pub(crate) const APPEND: &str = "INSERT INTO events
    (scope, at, id, seq, kind, outcome, attempt, auth_type, module, user, ip, hash, core, personal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
    ON CONFLICT DO NOTHING";
pub(crate) const IS_STORED: &str = "SELECT count(*) FROM events WHERE scope = ?1 AND id = ?2";
pub(crate) const ERASE: &str =
    "UPDATE events INDEXED BY events_user SET user = NULL, ip = NULL, personal = NULL
    WHERE scope = ?1 AND user = ?2";
pub(crate) const ERASE_EVERYONE: &str = "UPDATE events SET user = NULL, ip = NULL, personal = NULL
    WHERE scope = ?1 AND personal IS NOT NULL";

/// A commit whose form holds, with its events encoded: all that can be done before it has the lock.
#[derive(Debug)]
pub(crate) struct Prepared {
    commit: Commit,
    events: Vec<StoredEvent>,
}

impl Prepared {
    pub(crate) fn new(commit: Commit) -> Result<Self, StoreError> {
        commit.check()?;
        let known =
            |write: &Write| matches!(write, Write::Put { .. } | Write::Delete { .. } | Write::Check { .. });
        if !commit.writes.iter().all(known) {
            return Err(StoreError::Misuse("a write this store does not know"));
        }
        if !matches!(commit.erase, None | Some(Erase::User(_) | Erase::Everyone)) {
            return Err(StoreError::Misuse("an erasure this store does not know"));
        }
        let events: Result<Vec<_>, AuditError> = commit.events.iter().map(Event::to_stored).collect();
        let events = events.map_err(|_| StoreError::Misuse("an event that cannot be encoded"))?;
        Ok(Self { commit, events })
    }

    pub(crate) const fn erases(&self) -> bool {
        self.commit.erase.is_some()
    }
}

/// The statements of the writer's transaction.
#[derive(Debug)]
pub(crate) struct Transaction<'c> {
    connection: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    version_of: Statement<'c>,
    put: Statement<'c>,
    delete: Statement<'c>,
    purge: Statement<'c>,
    last_seq: Statement<'c>,
    append: Statement<'c>,
    is_stored: Statement<'c>,
    erase: Statement<'c>,
    /// The highest `seq` of the file, once it is known in this transaction. Other processes append too.
    seq: Option<i64>,
}

impl<'c> Transaction<'c> {
    pub(crate) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            begin: connection.prepare(BEGIN)?,
            commit: connection.prepare(COMMIT)?,
            version_of: connection.prepare(VERSION_OF)?,
            put: connection.prepare(PUT)?,
            delete: connection.prepare(DELETE)?,
            purge: connection.prepare(PURGE)?,
            last_seq: connection.prepare(LAST_SEQ)?,
            append: connection.prepare(APPEND)?,
            is_stored: connection.prepare(IS_STORED)?,
            erase: connection.prepare(ERASE)?,
            seq: None,
        })
    }

    pub(crate) fn begin(&mut self) -> rusqlite::Result<()> {
        self.seq = None;
        self.begin.execute(()).map(drop)
    }

    pub(crate) fn commit(&mut self) -> rusqlite::Result<()> {
        self.commit.execute(()).map(drop)
    }

    /// Ends the transaction without an effect, unless SQLite ended it so already.
    pub(crate) fn roll_back(&self) {
        if !self.connection.is_autocommit() {
            // If even this fails, the next BEGIN does, and says why.
            drop(self.connection.execute_batch("ROLLBACK"));
        }
    }

    /// Applies one commit. An answer is about this commit alone, which has then written all or nothing; a
    /// failure means that the whole transaction must be rolled back.
    pub(crate) fn apply(&mut self, prepared: &Prepared) -> Result<Result<Committed, StoreError>, Failure> {
        let Prepared { commit, events } = prepared;
        for write in &commit.writes {
            let expect = write.expect();
            if expect == Expect::Any {
                continue;
            }
            match self.version_of(write.key(), commit.now) {
                Ok(current) if expect.holds(current) => {}
                Ok(_) => return Ok(Ok(Committed::Conflict(write.key().clone()))),
                Err(failure) if failure.is_of_one_value() => return Ok(Err(failure.into())),
                Err(failure) => return Err(failure),
            }
        }
        let scope = commit.scope.as_str();
        match &commit.erase {
            Some(Erase::User(user)) => drop(self.erase.execute((scope, user.as_str()))?),
            Some(_everyone) => drop(self.connection.execute(ERASE_EVERYONE, (scope,))?),
            None => {}
        }
        for write in &commit.writes {
            self.write(scope, commit.version, write)?;
        }
        for (event, stored) in commit.events.iter().zip(events) {
            self.append(&commit.scope, event, stored)?;
        }
        Ok(Ok(Committed::Done))
    }

    pub(crate) fn purge(&mut self, before: Timestamp, limit: usize) -> Result<u64, Failure> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let deleted = self.purge.execute((millis(before), limit))?;
        Ok(u64::try_from(deleted).unwrap_or(u64::MAX))
    }

    /// Makes a checkpoint over the events behind the last one, those of this transaction included. The answer
    /// is as that of [`Transaction::apply`].
    pub(crate) fn checkpoint(
        &self,
        key: &CheckpointKey,
        now: Timestamp,
    ) -> Result<Result<Checkpoint, StoreError>, Failure> {
        match checkpoints::make(self.connection, key, now, Checkpoint::MAX_COUNT) {
            Err(failure) if failure.is_of_one_value() => Ok(Err(failure.into())),
            made => made.map(Ok),
        }
    }

    /// Drops the events that the order takes. The answer is as that of [`Transaction::apply`].
    pub(crate) fn retain(
        &mut self,
        order: &Retention,
        key: &CheckpointKey,
    ) -> Result<Result<u64, StoreError>, Failure> {
        // Asked before the last event may be dropped: places are not given twice.
        self.next_seq()?;
        let (count, told) = match retention::drop_events(self.connection, order, key) {
            Err(failure) if failure.is_of_one_value() => return Ok(Err(failure.into())),
            dropped => dropped?,
        };
        if let Some(told) = told {
            let stored = told.to_stored().map_err(|_| Failure::Corrupt("an order to drop events"))?;
            self.append(order.told_in(), &told, &stored)?;
        }
        Ok(Ok(count))
    }

    fn version_of(&mut self, key: &Key, now: Timestamp) -> Result<Option<Version>, Failure> {
        let place = (key.kind.as_str(), key.scope.as_str(), &*key.id, millis(now));
        let found: Option<[u8; 16]> = self.version_of.query_row(place, |row| row.get(0)).optional()?;
        Ok(found.map(Version::from_bytes))
    }

    fn write(&mut self, scope: &str, version: Version, write: &Write) -> Result<(), Failure> {
        let Key { kind, id, .. } = write.key();
        match write {
            Write::Put { body, expires_at, .. } => {
                let version = version.to_bytes();
                let expires_at = expires_at.map(millis);
                self.put.execute(params![kind.as_str(), scope, &**id, expires_at, version, body])?;
            }
            Write::Delete { .. } => {
                self.delete.execute((kind.as_str(), scope, &**id))?;
            }
            // `Prepared::new` let only these three kinds in.
            _ => {}
        }
        Ok(())
    }

    fn append(&mut self, scope: &Scope, event: &Event, stored: &StoredEvent) -> Result<(), Failure> {
        let seq = self.next_seq()?;
        let (scope, id) = (scope.as_str(), event.id().to_bytes());
        let appended = self.append.execute(params![
            scope,
            millis(event.at()),
            id,
            seq,
            event.kind().code(),
            event.outcome().code(),
            event.is_in_attempts_view(),
            event.attempt().map(|attempt| &*attempt.auth_type),
            event.module(),
            event.user().map(|user| user.as_str()),
            event.ip().map(Octets::of).as_ref().map(Octets::as_slice),
            stored.hash,
            stored.core,
            stored.personal,
        ])?;
        if appended == 1 {
            self.seq = Some(seq);
            return Ok(());
        }
        // Not appended because its id is stored already, which is fine, or because the numbers do not fit.
        match self.is_stored.query_row((scope, id), |row| row.get::<_, i64>(0))? {
            0 => Err(Failure::Corrupt("the numbers of the events")),
            _ => Ok(()),
        }
    }

    fn next_seq(&mut self) -> Result<i64, Failure> {
        let last = match self.seq {
            Some(seq) => seq,
            None => self.last_seq.query_row((), |row| row.get::<_, Option<i64>>(0))?.unwrap_or(0),
        };
        self.seq = Some(last);
        last.checked_add(1).ok_or(Failure::Corrupt("the numbers of the events"))
    }
}

/// The bytes of an address in its canonical form: 4 or 16.
pub(crate) enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl Octets {
    pub(crate) const fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => Self::V6(ip.octets()),
        }
    }

    pub(crate) const fn as_slice(&self) -> &[u8] {
        match self {
            Self::V4(octets) => octets,
            Self::V6(octets) => octets,
        }
    }
}

/// Milliseconds since 1970 as SQLite holds them; a [`Timestamp`] ends long before they do.
pub(crate) fn millis(at: Timestamp) -> i64 {
    i64::try_from(at.unix_millis()).unwrap_or(i64::MAX)
}
