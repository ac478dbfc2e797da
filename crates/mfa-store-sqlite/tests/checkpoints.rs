//! Checkpoints over the events of one file: by several processes, over several pages, after an older schema.
#![cfg(test)]

mod common;

use std::path::Path;
use std::thread;

use audit_model::export::{Lines, Reader};
use audit_model::{Checkpoint, CheckpointKey, Checkpoints, Flaw, Report, Verifier};
use common::{account, at, build, child, child_argument, commit, event, user};
use futures::executor::block_on;
use mfa_core::{Committed, Store};
use mfa_store_sqlite::SqliteStore;

const PROCESSES: u64 = 4;
const EACH: u64 = 60;

fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([7; 32]).unwrap()
}

fn write(store: &SqliteStore, count: u64) {
    let scope = account("acme");
    let mut commit = commit(&scope);
    for _ in 0..count {
        commit
            .events
            .push(build(event(&scope, 1_000).user(user("bob")).ip("10.1.2.3".parse().unwrap()), 1_000));
    }
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
}

fn fix(store: &SqliteStore) -> Checkpoint {
    block_on(store.checkpoint(&key(), at(1_000))).unwrap()
}

fn check(store: &SqliteStore) -> Report {
    block_on(Verifier::new(key()).read(store)).unwrap()
}

/// Runs in processes of its own: events and checkpoints at once.
#[test]
fn fixing_child() {
    let Some(path) = child_argument() else { return };
    let store = SqliteStore::open(path).unwrap();
    thread::scope(|threads| {
        threads.spawn(|| (0..EACH).for_each(|n| write(&store, 1 + n % 3)));
        threads.spawn(|| (0..EACH / 4).for_each(|_| _ = fix(&store)));
    });
}

#[test]
fn four_processes_make_one_chain_over_every_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let start = |_| child("fixing_child", &path).spawn().unwrap();
    let children: Vec<_> = (0..PROCESSES).map(start).collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(fix(&store).total, PROCESSES * EACH * 2);
    let report = check(&store);
    assert!(report.holds(), "{report}");
    assert_eq!((report.events, report.uncovered()), (PROCESSES * EACH * 2, 0));
    assert!(report.checkpoints > 10, "{report}");
}

#[test]
fn a_log_is_verified_and_exported_while_it_grows() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    write(&store, 1_200);
    fix(&store);
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                write(&store, 3);
                fix(&store);
            }
        });
        for _ in 0..3 {
            let report = check(&store);
            assert!(report.holds(), "{report}");
            let mut verifier = Verifier::new(key());
            let text = export(&store);
            Reader::new(text.as_bytes()).verify(&mut verifier).unwrap();
            let exported = verifier.finish();
            assert!(exported.holds() && exported.events >= report.events, "{exported}");
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

fn export(store: &SqliteStore) -> String {
    let mut lines = Lines::of(store);
    let mut text = String::new();
    while let Some(line) = block_on(lines.next()).unwrap() {
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[test]
fn the_chain_goes_on_after_the_file_was_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let open = || SqliteStore::open(&path).unwrap();
    let empty = fix(&open());
    assert!(empty.is_first() && empty.count == 0);
    write(&open(), 3);
    let first = fix(&open());
    assert!(first.follows(&empty));
    assert_eq!(fix(&open()), first);
    let other = SqliteStore::open(folder.path().join("other.db")).unwrap();
    assert_ne!(fix(&other).log, first.log, "every file has a log of its own");
}

/// What the first version of the schema made, without an id of the log and without checkpoints.
#[test]
fn a_file_of_the_first_schema_gets_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    write(&SqliteStore::open(&path).unwrap(), 3);
    sql(
        &path,
        "DROP TABLE checkpoints; DROP TABLE dropped; DELETE FROM meta WHERE name = 'log'; PRAGMA user_version = 1;",
    );
    let store = SqliteStore::open(&path).unwrap();
    write(&store, 2);
    assert_eq!((fix(&store).number, fix(&store).total), (1, 5));
    assert!(check(&store).holds());
}

#[test]
fn nothing_is_fixed_where_events_are_gone() {
    for damage in [
        "DELETE FROM events WHERE seq = 5",
        "DELETE FROM events WHERE seq >= 3",
        "DELETE FROM events WHERE seq = 7; UPDATE events SET seq = 4.5 WHERE seq = 5",
        "UPDATE events SET seq = 'x' WHERE seq = 8",
        "UPDATE events SET hash = x'00' WHERE seq = 6",
        "UPDATE checkpoints SET total = 3",
        "UPDATE checkpoints SET total = -3",
        "UPDATE checkpoints SET mac = zeroblob(31)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mfa.db");
        let store = SqliteStore::open(&path).unwrap();
        write(&store, 4);
        fix(&store);
        write(&store, 4);
        sql(&path, &format!("PRAGMA ignore_check_constraints = ON; {damage}"));
        let refused = block_on(store.checkpoint(&key(), at(1_000))).unwrap_err();
        assert_eq!(refused.code(), "corrupt", "{damage}");
        let count = "SELECT count(*) FROM checkpoints";
        let file = rusqlite::Connection::open(&path).unwrap();
        assert_eq!(file.query_row(count, (), |row| row.get::<_, i64>(0)).unwrap(), 1, "{damage}");
    }
}

/// A commit in the same transaction as a refused checkpoint is answered for itself.
#[test]
fn a_refused_checkpoint_is_nobody_elses_failure() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    write(&store, 1);
    fix(&store);
    let other = CheckpointKey::from_bytes([8; 32]).unwrap();
    thread::scope(|threads| {
        for _ in 0..16 {
            threads.spawn(|| (0..20).for_each(|_| write(&store, 1)));
            threads.spawn(|| assert!(block_on(store.checkpoint(&other, at(1_000))).is_err()));
        }
    });
    assert_eq!(fix(&store).total, 321);
    assert!(check(&store).holds());
}

#[test]
fn rows_that_no_commit_makes_are_found() {
    let insert =
        "INSERT INTO events SELECT scope, at, randomblob(20), SEQ, kind, outcome, attempt, auth_type,
        module, user, ip, hash, core, personal FROM events WHERE seq = 2";
    for (seq, flaw) in [
        ("0", Flaw::Inserted),
        ("-7", Flaw::Inserted),
        ("2.5", Flaw::Inserted),
        ("'x'", Flaw::Inserted),
        ("zeroblob(3)", Flaw::Inserted),
        ("1e300", Flaw::Inserted),
        // Right behind the end: a copy of an event is not found by its own id, and not by a new one.
        ("(SELECT max(seq) + 1 FROM events)", Flaw::Changed),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mfa.db");
        let store = SqliteStore::open(&path).unwrap();
        write(&store, 4);
        fix(&store);
        sql(&path, &insert.replace("SEQ", seq));
        let problem = check(&store).problem.map(|problem| problem.flaw);
        assert_eq!(problem, Some(flaw), "{seq}");
    }
}

fn sql(path: &Path, text: &str) {
    rusqlite::Connection::open(path).unwrap().execute_batch(text).unwrap();
}
