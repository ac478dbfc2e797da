//! Erased values are gone from the answers, and from the bytes on the disk.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

mod common;

use std::fs;
use std::path::Path;

use audit_model::{AuditLog, Event, Query, Scope};
use common::{account, at, build, commit, event, user};
use futures::executor::block_on;
use mfa_core::{Commit, Committed, Erase, Store};
use mfa_store_sqlite::SqliteStore;

const ERASED: &str = "bob-whose-name-must-go";
const AGENT: &str = "the-browser-of-bob";

fn open() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    (folder, store)
}

fn write(store: &SqliteStore, commit: Commit) {
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
}

/// Writes `count` events of as many sizes, one in ten of them about the user who is erased later.
fn fill(store: &SqliteStore, scope: &Scope, count: u64, longest: usize) {
    for first in (0..count).step_by(100) {
        let mut commit = commit(scope);
        for n in first..first + 100 {
            let size = usize::from(common::random::<1>()[0]) * longest / 255;
            let (name, agent) = if n % 10 == 0 {
                (ERASED.to_owned(), AGENT.to_owned())
            } else {
                (format!("user-{}", n % 10), "another browser".to_owned())
            };
            let event = event(scope, n).user(user(&name)).ip("10.1.2.3".parse().unwrap());
            let event = event.header("user-agent", &(agent + &"-".repeat(size)));
            commit.events.push(build(event, n));
        }
        write(store, commit);
    }
}

fn erase(store: &SqliteStore, scope: &Scope) {
    let mut commit = commit(scope);
    commit.erase = Some(Erase::User(user(ERASED)));
    write(store, commit);
}

/// Counts the values of the erased user in every file of the store.
fn traces(folder: &Path) -> usize {
    let count = |path: &Path| {
        let bytes = fs::read(path).unwrap();
        let found = |text: &str| bytes.windows(text.len()).filter(|w| *w == text.as_bytes()).count();
        found(ERASED) + found(AGENT)
    };
    fs::read_dir(folder).unwrap().map(|entry| count(&entry.unwrap().path())).sum()
}

fn all(store: &SqliteStore, scope: &Scope) -> Vec<Event> {
    let query = Query::new(scope.clone()).limit(1000).unwrap();
    block_on(store.query(&query, None)).unwrap()
}

#[test]
fn s27_erased_values_are_gone_and_the_events_still_verify() {
    let (folder, store) = open();
    let (scope, other) = (account("acme"), account("other"));
    fill(&store, &scope, 200, 0);
    fill(&store, &other, 100, 0);
    let before = all(&store, &scope);
    assert!(traces(folder.path()) > 0);

    erase(&store, &scope);
    let after = all(&store, &scope);
    assert_eq!(after.len(), before.len());
    for (after, before) in after.iter().zip(&before) {
        assert_eq!((after.id(), after.hash()), (before.id(), before.hash()));
        assert!(after.hash_holds());
        let is_theirs = before.user() == Some(&user(ERASED));
        assert_eq!(after.is_erased(), is_theirs);
        assert_eq!(after.ip().is_none(), is_theirs);
    }
    let of_user = Query::new(scope.clone()).user(user(ERASED));
    assert_eq!(block_on(store.query(&of_user, None)).unwrap(), []);
    let of_ip = Query::new(scope).ip("10.1.2.3".parse().unwrap()).limit(1000).unwrap();
    assert_eq!(block_on(store.query(&of_ip, None)).unwrap().len(), 180);
    // A user of another account is another user.
    assert!(all(&store, &other).iter().all(|event| !event.is_erased()));
    erase(&store, &other);
    assert_eq!(traces(folder.path()), 0);
}

#[test]
fn the_events_of_the_erasing_commit_keep_their_values() {
    let (_folder, store) = open();
    let scope = account("acme");
    fill(&store, &scope, 100, 0);
    let mut commit = commit(&scope);
    commit.erase = Some(Erase::User(user(ERASED)));
    commit.events.push(build(event(&scope, 500).user(user(ERASED)), 500));
    write(&store, commit);
    let of_user = Query::new(scope).user(user(ERASED));
    let left = block_on(store.query(&of_user, None)).unwrap();
    assert_eq!(left.iter().map(Event::at).collect::<Vec<_>>(), [at(500)]);
}

#[test]
fn erased_values_leave_the_log_when_the_reader_in_the_way_is_done() {
    let (folder, store) = open();
    let scope = account("acme");
    fill(&store, &scope, 100, 0);
    let reader = rusqlite::Connection::open(store.path()).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events;").unwrap();
    let held: i64 = reader.query_row("SELECT count(*) FROM events", (), |row| row.get(0)).unwrap();
    assert_eq!(held, 100);
    erase(&store, &scope);
    assert!(traces(folder.path()) > 0, "the reader still needs the old pages");
    drop(reader);
    // Any later commit tries again.
    let mut commit = commit(&scope);
    commit.events.push(build(event(&scope, 500), 500));
    write(&store, commit);
    block_on(store.purge(at(0), 1)).unwrap();
    assert_eq!(traces(folder.path()), 0);
}

#[test]
fn compacting_removes_the_last_traces_among_events_of_all_sizes() {
    let (folder, store) = open();
    let scope = account("acme");
    fill(&store, &scope, 3_000, 900);
    fill(&store, &scope, 3_000, 900);
    let before = traces(folder.path());
    erase(&store, &scope);
    let left = traces(folder.path());
    assert!(left * 10 < before, "{left} of {before} left");
    block_on(store.compact()).unwrap();
    assert_eq!(traces(folder.path()), 0);
    common::assert_gapless(store.path(), 6_000);
}
