//! A bare SQLite file with the store's schema and settings: what the rows cost without the store around them.

use std::net::IpAddr;
use std::path::Path;

use audit_model::{Event, StoredEvent};
use mfa::{Commit, Write};
use rusqlite::{Connection, Statement, params};

const SCHEMA: &str = include_str!("../../crates/mfa-store-sqlite/migrations/0001_initial.sql");
const PUT: &str = "INSERT INTO records (kind, scope, id, expires_at, version, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (kind, scope, id) DO UPDATE SET
    expires_at = excluded.expires_at, version = excluded.version, body = excluded.body";
const DELETE: &str = "DELETE FROM records WHERE kind = ?1 AND scope = ?2 AND id = ?3";
const APPEND: &str = "INSERT INTO events
    (scope, at, id, seq, kind, outcome, attempt, auth_type, module, user, ip, hash, core, personal)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";

/// Makes a file with the schema and the settings of the store's writer.
#[must_use]
pub fn create(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "wal");
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("fullfsync", "ON"),
        ("checkpoint_fullfsync", "ON"),
        ("secure_delete", "ON"),
    ] {
        connection.pragma_update(None, pragma, value).unwrap();
    }
    for (pragma, value) in
        [("wal_autocheckpoint", 4_000), ("journal_size_limit", 64 * 1024 * 1024), ("cache_size", -16_000)]
    {
        connection.pragma_update(None, pragma, value).unwrap();
    }
    connection.execute_batch(SCHEMA).unwrap();
    connection
}

/// The rows of one commit, ready to be bound.
#[derive(Debug)]
pub struct Rows {
    puts: Vec<Put>,
    deletes: Vec<(&'static str, String, Vec<u8>)>,
    events: Vec<(Event, StoredEvent)>,
}

#[derive(Debug)]
struct Put {
    kind: &'static str,
    scope: String,
    id: Vec<u8>,
    expires_at: Option<i64>,
    version: [u8; 16],
    body: Vec<u8>,
}

impl Rows {
    /// Takes the rows of a commit.
    #[must_use]
    pub fn of(commit: &Commit) -> Self {
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for write in &commit.writes {
            let key = write.key();
            let (kind, scope, id) = (key.kind.as_str(), key.scope.as_str().to_owned(), key.id.to_vec());
            match write {
                Write::Put { body, expires_at, .. } => {
                    let expires_at = expires_at.map(|at| i64::try_from(at.unix_millis()).unwrap());
                    let (version, body) = (commit.version.to_bytes(), body.clone());
                    puts.push(Put { kind, scope, id, expires_at, version, body });
                }
                Write::Delete { .. } => deletes.push((kind, scope, id)),
                _ => {}
            }
        }
        let stored = |event: &Event| (event.clone(), event.to_stored().unwrap());
        Self { puts, deletes, events: commit.events.iter().map(stored).collect() }
    }

    /// Returns a word on what the rows are, for the head of a report.
    #[must_use]
    pub fn describe(&self) -> String {
        let sizes: Vec<_> =
            self.puts.iter().map(|put| format!("{} {} B", put.kind, put.body.len())).collect();
        let events = self
            .events
            .iter()
            .map(|(_, stored)| stored.core.len() + stored.personal.as_ref().map_or(0, Vec::len));
        let events: Vec<_> = events.map(|bytes| format!("{bytes} B")).collect();
        format!("records {}; events {}", sizes.join(", "), events.join(", "))
    }
}

/// Writes rows through statements that stay prepared.
#[derive(Debug)]
pub struct Bare<'c> {
    begin: Statement<'c>,
    commit: Statement<'c>,
    put: Statement<'c>,
    delete: Statement<'c>,
    append: Statement<'c>,
    seq: i64,
}

impl<'c> Bare<'c> {
    /// Prepares the statements.
    #[must_use]
    pub fn new(connection: &'c Connection) -> Self {
        let prepare = |sql| connection.prepare(sql).unwrap();
        Self {
            begin: prepare("BEGIN IMMEDIATE"),
            commit: prepare("COMMIT"),
            put: prepare(PUT),
            delete: prepare(DELETE),
            append: prepare(APPEND),
            seq: 0,
        }
    }

    /// Writes all of `rows` in one transaction.
    pub fn write(&mut self, rows: &[Rows]) {
        self.begin.execute(()).unwrap();
        rows.iter().for_each(|rows| self.apply(rows));
        self.commit.execute(()).unwrap();
    }

    fn apply(&mut self, rows: &Rows) {
        for put in &rows.puts {
            let Put { kind, scope, id, expires_at, version, body } = put;
            self.put.execute(params![kind, scope, id, expires_at, version, body]).unwrap();
        }
        for (kind, scope, id) in &rows.deletes {
            self.delete.execute((kind, scope, id)).unwrap();
        }
        for (event, stored) in &rows.events {
            self.seq += 1;
            let appended = self.append.execute(params![
                event.scope().as_str(),
                i64::try_from(event.at().unix_millis()).unwrap(),
                event.id().to_bytes(),
                self.seq,
                event.kind().code(),
                event.outcome().code(),
                event.attempt().is_some(),
                event.attempt().map(|attempt| &*attempt.auth_type),
                event.module(),
                event.user().map(|user| user.as_str()),
                event.ip().map(octets),
                stored.hash,
                stored.core,
                stored.personal,
            ]);
            assert_eq!(appended.unwrap(), 1);
        }
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
