//! Several processes on one file, and processes that die.
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

mod common;

use std::path::{Path, PathBuf};
use std::thread;

use audit_model::{AuditLog, Query};
use common::{account, at, build, child, child_argument, commit, event, key, lines, put};
use futures::executor::block_on;
use mfa_core::{Committed, Expect, Store};
use mfa_store_sqlite::SqliteStore;

const PROCESSES: u64 = 4;
const INCREMENTS: u64 = 100;

/// Runs in processes of its own.
#[test]
fn incrementing_child() {
    let Some(path) = child_argument() else { return };
    let store = SqliteStore::open(path).unwrap();
    let key = key(&account("acme"), "shared");
    (0..INCREMENTS).for_each(|_| _ = common::increment(&store, &key));
}

#[test]
fn four_processes_lose_no_increment_and_number_events_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    // The file does not exist: they also race to make it.
    let path = folder.path().join("mfa.db");
    let start = |_| child("incrementing_child", &path).spawn().unwrap();
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = SqliteStore::open(&path).unwrap();
    let record = common::get(&store, &key(&account("acme"), "shared")).unwrap();
    assert_eq!(common::number_in(&record), PROCESSES * INCREMENTS);
    common::assert_gapless(&path, i64::try_from(PROCESSES * INCREMENTS).unwrap());
}

/// Each thread moves its own two records and one event in step, and says so after each acknowledgement.
#[test]
fn acknowledging_child() {
    let Some(path) = child_argument() else { return };
    let store = SqliteStore::open(path).unwrap();
    thread::scope(|threads| {
        for name in LANES {
            let store = store.clone();
            threads.spawn(move || {
                let mut state = Lane::read(&store, name);
                loop {
                    state.advance(&store);
                    println!("{ACK}{name} {}", state.number);
                }
            });
        }
    });
}

const LANES: [&str; 4] = ["a", "b", "c", "d"];
const ACK: &str = "acknowledged ";

struct Lane {
    name: &'static str,
    number: u64,
}

impl Lane {
    /// Reads a lane and asserts that its parts agree.
    fn read(store: &SqliteStore, name: &'static str) -> Self {
        let scope = account(name);
        let keys = [key(&scope, "left"), key(&scope, "right")];
        let found = block_on(store.get(&keys, at(0))).unwrap();
        let [left, right] = [0, 1].map(|n: usize| found[n].as_ref().map_or(0, common::number_in));
        assert_eq!(left, right, "half a commit");
        let newest = Query::new(scope).limit(1).unwrap();
        let events = block_on(store.query(&newest, None)).unwrap();
        assert_eq!(events.first().map_or(0, |event| event.at().unix_millis()), left);
        Self { name, number: left }
    }

    fn advance(&mut self, store: &SqliteStore) {
        self.number += 1;
        let scope = account(self.name);
        let mut commit = commit(&scope);
        for id in ["left", "right"] {
            commit.writes.push(put(key(&scope, id), Expect::Any, self.number.to_be_bytes()));
        }
        commit.events.push(build(event(&scope, self.number), self.number));
        assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    }
}

/// Lets a child run for some acknowledgements, kills it, and returns the last ones it gave.
fn run_and_kill(path: &Path) -> [u64; 4] {
    let mut child = child("acknowledging_child", path).spawn().unwrap();
    let patience = 20 + usize::from(common::random::<1>()[0]);
    let mut acknowledged = [0; 4];
    let mut seen = lines(&mut child, ACK);
    let mut note = |line: &str| {
        // A line cut by the kill counts for nothing.
        let Some((name, number)) = line.split_once(' ') else { return };
        let lane = LANES.iter().position(|lane| *lane == name);
        if let (Some(lane), Ok(number)) = (lane, number.parse()) {
            acknowledged[lane] = number;
        }
    };
    seen.by_ref().take(patience).for_each(|line| note(&line));
    child.kill().unwrap();
    let mut rest: Vec<String> = seen.collect();
    // The last line may be cut: `12` of `123` would still be true, but not the other way round.
    rest.pop();
    rest.iter().for_each(|line| note(line));
    child.wait().unwrap();
    acknowledged
}

#[test]
fn what_was_acknowledged_before_a_kill_is_there_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("mfa.db");
    for _ in 0..12 {
        let acknowledged = run_and_kill(&path);
        let store = SqliteStore::open(&path).unwrap();
        let found = LANES.map(|name| Lane::read(&store, name).number);
        let kept = found.iter().zip(acknowledged).all(|(found, acknowledged)| *found >= acknowledged);
        assert!(kept, "acknowledged {acknowledged:?}, found {found:?}");
        assert!(acknowledged.iter().sum::<u64>() > 0, "the child never got to work");
        common::assert_gapless(&path, i64::try_from(found.iter().sum::<u64>()).unwrap());
    }
}

#[test]
fn opening_at_once_in_one_process_makes_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let stores = thread::scope(|threads| {
        let open = || SqliteStore::open(&path).unwrap();
        let opening: Vec<_> = (0..8).map(|_| threads.spawn(open)).collect();
        opening.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(stores.iter().all(|store| store.incarnation() == stores[0].incarnation()));
    let key = key(&account("acme"), "1");
    for (store, number) in stores.iter().zip(1..) {
        assert_eq!(common::increment(store, &key), number);
    }
}
