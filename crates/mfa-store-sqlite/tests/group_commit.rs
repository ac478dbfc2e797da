//! Commits that wait together share one transaction, and nothing else.
#![cfg(test)]

mod common;

use std::sync::{Arc, Barrier};
use std::thread;

use common::{account, at, build, commit, event, get, key, put};
use futures::executor::block_on;
use futures::future::{join_all, poll_immediate};
use mfa_core::{Committed, Expect, Store, StoreError, Version};
use mfa_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;

fn open() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    (folder, store)
}

/// Holds the file's write lock, so that commits pile up behind it.
fn lock(store: &SqliteStore) -> Connection {
    let other = Connection::open(store.path()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

#[test]
fn a_conflict_in_a_batch_is_nobody_elses() {
    let (_folder, store) = open();
    let scope = account("acme");
    let lock = lock(&store);
    // The first holds the writer at the lock, so all others meet in the next transaction.
    let mut commits = vec![commit(&scope)];
    commits[0].writes.push(put(key(&scope, "first"), Expect::Any, "x"));
    for n in 0..40_u8 {
        let mut commit = commit(&scope);
        // Two for each record: the later one sees the earlier one.
        commit.writes.push(put(key(&scope, [n / 2]), Expect::Absent, [n]));
        commit.events.push(build(event(&scope, n.into()), n.into()));
        commits.push(commit);
    }
    let mut running = join_all(commits.into_iter().map(|commit| store.commit(commit)));
    assert!(block_on(poll_immediate(&mut running)).is_none());
    drop(lock);
    let answers = block_on(running);
    for (n, answer) in (0..40_u8).zip(&answers[1..]) {
        let record = key(&scope, [n / 2]);
        let expected = if n % 2 == 0 { Committed::Done } else { Committed::Conflict(record.clone()) };
        assert_eq!(*answer.as_ref().unwrap(), expected);
        assert_eq!(get(&store, &record).unwrap().body, [n / 2 * 2]);
    }
    let stats = store.stats();
    assert_eq!((stats.commits, stats.conflicts), (21, 20));
    assert!(stats.batches <= 3, "{stats:?}");
    common::assert_gapless(store.path(), 20);
}

#[test]
fn sixty_four_callers_share_transactions() {
    let (_folder, store) = open();
    let start = Arc::new(Barrier::new(64));
    let callers: Vec<_> = (0..64_u8)
        .map(|n| {
            let (store, start) = (store.clone(), Arc::clone(&start));
            thread::spawn(move || {
                start.wait();
                let key = key(&account("acme"), [n]);
                (0..30).for_each(|_| _ = common::increment(&store, &key));
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let stats = store.stats();
    assert_eq!((stats.commits, stats.conflicts), (64 * 30, 0));
    assert!(stats.median_batch >= 16, "{stats:?}");
    common::assert_gapless(store.path(), 64 * 30);
}

#[test]
fn a_caller_alone_shares_with_nobody() {
    let (_folder, store) = open();
    let key = key(&account("acme"), "1");
    (0..50).for_each(|_| _ = common::increment(&store, &key));
    let stats = store.stats();
    assert_eq!((stats.commits, stats.batches, stats.median_batch), (50, 50, 1));
}

#[test]
fn a_commit_is_seen_by_every_read_after_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let store = SqliteStore::open_with(&path, Options::new().readers(3)).unwrap();
    let elsewhere = SqliteStore::open(&path).unwrap();
    let key = key(&account("acme"), "1");
    for number in 1..=100 {
        assert_eq!(common::increment(&store, &key), number);
        for store in [&store, &store, &store, &elsewhere] {
            assert_eq!(common::number_in(&get(store, &key).unwrap()), number);
        }
    }
}

#[test]
fn a_commit_whose_caller_went_away_still_happens() {
    let (_folder, store) = open();
    let scope = account("acme");
    let lock = lock(&store);
    let mut first = commit(&scope);
    first.writes.push(put(key(&scope, "1"), Expect::Absent, "x"));
    let mut running = store.commit(first);
    assert!(block_on(poll_immediate(&mut running)).is_none());
    drop(running);
    drop(lock);
    let mut second = commit(&scope);
    second.writes.push(put(key(&scope, "1"), Expect::Absent, "y"));
    assert!(matches!(block_on(store.commit(second)).unwrap(), Committed::Conflict(_)));
    assert_eq!(get(&store, &key(&scope, "1")).unwrap().body, b"x");
}

#[test]
fn dropping_the_last_handle_finishes_what_was_accepted() {
    const COUNT: u16 = 1_000;
    let (_folder, store) = open();
    let (path, scope) = (store.path().to_owned(), account("acme"));
    let lock = lock(&store);
    // More than one transaction takes, so that some still wait when the handle goes.
    for n in 0..COUNT {
        let mut commit = commit(&scope);
        commit.writes.push(put(key(&scope, n.to_be_bytes()), Expect::Absent, "x"));
        let mut running = store.commit(commit);
        assert!(block_on(poll_immediate(&mut running)).is_none());
    }
    let dropping = thread::spawn(move || drop(store));
    drop(lock);
    dropping.join().unwrap();
    // The log is in the file and gone: nobody has the file open any more.
    assert!(!path.with_extension("db-wal").exists());
    let store = SqliteStore::open(&path).unwrap();
    assert!((0..COUNT).all(|n| get(&store, &key(&scope, n.to_be_bytes())).is_some()));
}

#[test]
fn a_lock_held_too_long_is_unavailable_and_nothing_happened() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::new().busy_timeout(std::time::Duration::from_millis(20));
    let store = SqliteStore::open_with(folder.path().join("mfa.db"), options).unwrap();
    let scope = account("acme");
    let mut commit = commit(&scope);
    commit.writes.push(put(key(&scope, "1"), Expect::Absent, "x"));
    let lock = lock(&store);
    let error = block_on(store.commit(commit.clone())).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let error = block_on(store.purge(at(5), 5)).unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    // Readers do not wait for a writer.
    assert_eq!(get(&store, &key(&scope, "1")), None);
    drop(lock);
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
}

#[test]
fn a_damaged_record_fails_its_own_commit_alone() {
    let (_folder, store) = open();
    let scope = account("acme");
    let mut write = commit(&scope);
    write.writes.push(put(key(&scope, "bad"), Expect::Any, "x"));
    assert_eq!(block_on(store.commit(write)).unwrap(), Committed::Done);
    let file = Connection::open(store.path()).unwrap();
    file.execute_batch("PRAGMA ignore_check_constraints = ON; UPDATE records SET version = x'00'").unwrap();
    let error = block_on(store.get(&[key(&scope, "bad"), key(&scope, "good")], at(0))).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");

    let lock = lock(&store);
    let mut commits = [commit(&scope), commit(&scope), commit(&scope)];
    for (commit, id) in commits.iter_mut().zip(["first", "bad", "good"]) {
        let version = Version::from_bytes([1; 16]);
        let expect = if id == "bad" { Expect::Version(version) } else { Expect::Absent };
        commit.writes.push(put(key(&scope, id), expect, "y"));
    }
    let mut running = join_all(commits.into_iter().map(|commit| store.commit(commit)));
    assert!(block_on(poll_immediate(&mut running)).is_none());
    drop(lock);
    let answers = block_on(running);
    assert!(matches!(answers[1], Err(StoreError::Corrupt(_))), "{answers:?}");
    assert!(matches!((&answers[0], &answers[2]), (Ok(Committed::Done), Ok(Committed::Done))));
}
