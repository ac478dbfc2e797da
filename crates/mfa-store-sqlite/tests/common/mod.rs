//! What the tests share.
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]
#![allow(dead_code, reason = "every test binary uses its own part")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use audit_model::{AccountId, Attempt, Event, EventBuilder, EventId, Kind, Outcome, UserId};
use futures::executor::block_on;
use mfa_core::{Commit, Committed, Expect, Key, Record, RecordKind, Scope, Store, Timestamp, Version, Write};
use mfa_store_sqlite::SqliteStore;

pub(crate) const NOTE: RecordKind = RecordKind::new("note");
pub(crate) const OTHER: RecordKind = RecordKind::new("other");

pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp::from_unix_millis(millis).unwrap()
}

pub(crate) fn account(name: &str) -> Scope {
    Scope::Account(AccountId::parse(name).unwrap())
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn key(scope: &Scope, id: impl AsRef<[u8]>) -> Key {
    Key::new(scope.clone(), NOTE, id.as_ref())
}

pub(crate) fn commit(scope: &Scope) -> Commit {
    Commit::new(scope.clone(), Version::from_bytes(random()), at(1_000))
}

pub(crate) fn put(key: Key, expect: Expect, body: impl AsRef<[u8]>) -> Write {
    Write::Put { key, expect, body: body.as_ref().to_vec(), expires_at: None }
}

pub(crate) fn event(scope: &Scope, millis: u64) -> EventBuilder {
    EventBuilder::new(scope.clone(), Kind::AnswerRejected, Outcome::Failure, at(millis))
        .module("user_auth")
        .reason("wrong_code")
        .attempt(Attempt::new("multi_factor", "the code was wrong"))
}

pub(crate) fn build(event: EventBuilder, millis: u64) -> Event {
    event.build(EventId::new(at(millis), random()), random()).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

pub(crate) fn get(store: &SqliteStore, key: &Key) -> Option<Record> {
    block_on(store.get(std::slice::from_ref(key), at(1_000))).unwrap().remove(0)
}

/// Adds one to the number in the record, by compare-and-swap, however often it takes; writes one event.
pub(crate) fn increment(store: &SqliteStore, key: &Key) -> u64 {
    loop {
        let current = get(store, key);
        let number = current.as_ref().map_or(0, number_in) + 1;
        let expect = current.map_or(Expect::Absent, |record| Expect::Version(record.version));
        let mut commit = commit(&key.scope);
        commit.writes.push(put(key.clone(), expect, number.to_be_bytes()));
        commit.events.push(build(event(&key.scope, number), number));
        if block_on(store.commit(commit)).unwrap() == Committed::Done {
            return number;
        }
    }
}

pub(crate) fn number_in(record: &Record) -> u64 {
    u64::from_be_bytes(record.body.as_slice().try_into().unwrap())
}

/// Asserts that the events of the file are numbered from 1 to `count`.
pub(crate) fn assert_gapless(path: &Path, count: i64) {
    let file = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT count(*), coalesce(min(seq), 1), coalesce(max(seq), 0) FROM events";
    let found = file
        .query_row(sql, (), |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)));
    assert_eq!(found.unwrap(), (count, 1, count));
    let whole: String = file.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
}

/// Starts this test binary once more, to run the test `name` alone with `argument` in its environment.
pub(crate) fn child(name: &str, argument: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--nocapture"]).env(CHILD, argument).stdout(Stdio::piped());
    command
}

/// Returns the argument when this process is such a child.
pub(crate) fn child_argument() -> Option<String> {
    std::env::var(CHILD).ok()
}

const CHILD: &str = "MFA_SQLITE_CHILD";

/// The lines that a child prints behind `mark`.
pub(crate) fn lines(child: &mut Child, mark: &'static str) -> impl Iterator<Item = String> + use<> {
    let output = BufReader::new(child.stdout.take().unwrap());
    output
        .lines()
        .map_while(Result::ok)
        .filter_map(move |line| line.split_once(mark).map(|(_, rest)| rest.to_owned()))
}
