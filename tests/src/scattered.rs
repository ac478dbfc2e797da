//! A store whose every read and commit is done by another process on the same SQLite file, in turn.
//!
//! Whatever holds on it holds between processes: no two steps of a login share a process, its memory or its
//! connections. The log, lists and purges go through this process's own handle, which is one more.

use std::io::{BufRead, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use audit_model::{AuditError, AuditLog, Event, EventId, Position, Query};
use mfa::sqlite::SqliteStore;
use mfa::{Commit, Committed, Key, Record, RecordKind, Scope, Store, StoreError, Timestamp};

use crate::wire;

/// How many processes take turns.
const PROCESSES: usize = 3;

/// See the module.
#[derive(Debug)]
pub struct Scattered {
    local: SqliteStore,
    processes: Vec<Mutex<Process>>,
    turn: AtomicUsize,
}

#[derive(Debug)]
struct Process {
    child: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
}

impl Scattered {
    /// Opens `path` here and in three processes of the program `exe`.
    ///
    /// # Panics
    /// If a process cannot be started.
    #[must_use]
    pub fn open(exe: &str, path: &Path) -> Self {
        let local = SqliteStore::open(path).expect("a store");
        let processes = (0..PROCESSES).map(|_| Mutex::new(Process::start(exe, path))).collect();
        Self { local, processes, turn: AtomicUsize::new(0) }
    }

    fn ask(&self, request: &serde_json::Value) -> Result<serde_json::Value, StoreError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let process = &self.processes[turn % PROCESSES];
        let reply = process.lock().expect("a process").ask(request);
        wire::read_error(&reply).map_or(Ok(reply), Err)
    }
}

impl Process {
    fn start(exe: &str, path: &Path) -> Self {
        let mut command = Command::new(exe);
        command.arg(path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a process");
        let requests = child.stdin.take().expect("a pipe");
        let replies = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, requests, replies }
    }

    fn ask(&mut self, request: &serde_json::Value) -> serde_json::Value {
        writeln!(self.requests, "{request}").expect("a request");
        let mut line = String::new();
        self.replies.read_line(&mut line).expect("a reply");
        serde_json::from_str(&line).expect("a reply")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[async_trait]
impl Store for Scattered {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let reply = self.ask(&wire::write_get(keys, now))?;
        Ok(wire::read_records(keys, &reply))
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
        self.local.list(scope, kind, prefix, after, limit, now).await
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.local.scan(kind, after, limit, now).await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        let reply = self.ask(&wire::write_commit(&commit))?;
        Ok(wire::read_committed(&commit, &reply))
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.local.purge(before, limit).await
    }
}

#[async_trait]
impl AuditLog for Scattered {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        self.local.query(query, after).await
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        self.local.event(scope, id).await
    }
}
