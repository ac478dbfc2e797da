//! Plans of every statement, and the settings that durability and erasure rest on.

use std::time::Duration;

use audit_model::{CheckpointKey, Timestamp};
use rusqlite::Connection;

use crate::connection::{open_reader, open_writer};
use crate::{apply, checkpoints, events, file, migrate, records, retention};

/// Returns the steps of a plan. The tables are empty and never analysed, as they are in a new file.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut explain = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let values = vec![rusqlite::types::Null; explain.parameter_count()];
    let rows = explain.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
    rows.map(Result::unwrap).collect()
}

fn database() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    migrate::run(&mut connection).unwrap();
    connection
}

fn assert_searches(connection: &Connection, sql: &str) {
    let steps = plan(connection, sql);
    let bad = |step: &String| step.contains("SCAN") || step.contains("USE TEMP B-TREE");
    assert!(!steps.iter().any(bad), "{sql}\n{steps:#?}");
}

#[test]
fn no_query_of_events_scans_or_sorts() {
    let connection = database();
    for bits in 0..16_u8 {
        let [ascending, attempts, user, ip] = [1, 2, 4, 8].map(|bit| bits & bit != 0);
        let sql = events::Shape { ascending, attempts, user, ip }.sql();
        assert_searches(&connection, &sql);
        let steps = plan(&connection, &sql);
        let expected = match (user, ip, attempts) {
            (true, ..) => "USING INDEX events_user (scope=? AND user=? AND (at,id)>(?,?) AND (at,id)<(?,?))",
            (_, true, _) => "USING INDEX events_ip (scope=? AND ip=? AND (at,id)>(?,?) AND (at,id)<(?,?))",
            (.., true) => "USING INDEX events_attempts (scope=? AND (at,id)>(?,?) AND (at,id)<(?,?))",
            _ => "USING PRIMARY KEY (scope=? AND (at,id)>(?,?) AND (at,id)<(?,?))",
        };
        assert!(steps.iter().any(|step| step.contains(expected)), "{sql}\n{steps:#?}");
    }
    assert_searches(&connection, events::ONE);
}

#[test]
fn no_query_of_records_scans_or_sorts() {
    let connection = database();
    for sql in [records::GET, records::LIST, records::LIST_BELOW, records::SCAN] {
        assert_searches(&connection, sql);
    }
}

#[test]
fn no_write_scans() {
    let connection = database();
    for sql in [
        apply::VERSION_OF,
        apply::PUT,
        apply::DELETE,
        apply::PURGE,
        apply::LAST_SEQ,
        apply::APPEND,
        apply::IS_STORED,
        apply::ERASE,
        apply::ERASE_EVERYONE,
    ] {
        // Reading one end of an index is called a search too.
        assert_searches(&connection, sql);
    }
}

#[test]
fn nothing_that_makes_or_reads_checkpoints_scans_or_sorts() {
    let connection = database();
    for sql in [
        checkpoints::LOG_ID,
        checkpoints::LAST,
        checkpoints::BEHIND,
        checkpoints::INSERT,
        checkpoints::HASHES,
        checkpoints::LEAVES,
    ] {
        let steps = plan(&connection, sql);
        // The last row of a table is read by its rowid; SQLite calls that a scan too.
        let bad = |step: &String| step.contains("USE TEMP B-TREE") || step.contains("SCAN events");
        assert!(!steps.iter().any(bad), "{sql}\n{steps:#?}");
    }
    // Every row of this index, without the rows of the table.
    let steps = plan(&connection, checkpoints::STRAY);
    assert!(steps.iter().all(|step| step.contains("SCAN events USING INDEX events_seq")), "{steps:#?}");
}

#[test]
fn nothing_that_drops_events_scans_or_sorts() {
    let connection = database();
    for sql in [retention::TAKEN, retention::NEXT_SCOPE, retention::DROP, retention::LEAVE, retention::BEHIND]
    {
        assert_searches(&connection, sql);
    }
    let steps = plan(&connection, retention::TAKEN);
    assert!(steps.iter().any(|step| step.contains("USING PRIMARY KEY (scope=? AND at<?)")), "{steps:#?}");
}

#[test]
fn many_events_take_several_checkpoints_of_one_chain() {
    let connection = database();
    let key = CheckpointKey::from_bytes([7; 32]).unwrap();
    let make = || checkpoints::make(&connection, &key, Timestamp::MIN, 2).unwrap();
    let insert = "INSERT INTO events (scope, at, id, seq, kind, outcome, attempt, hash, core)
        SELECT 'acme', column1, randomblob(20), column1, 'k', 'o', 0, randomblob(32), x''
        FROM (VALUES (1), (2), (3), (4), (5))";
    connection.execute_batch(insert).unwrap();
    let made = [make(), make(), make(), make()];
    assert_eq!(
        made.map(|made| (made.number, made.count, made.total)),
        [(1, 2, 2), (2, 2, 4), (3, 1, 5), (3, 1, 5)]
    );
    assert!(made[1].follows(&made[0]) && made[2].follows(&made[1]));
}

#[test]
fn the_writer_syncs_every_commit_and_overwrites_what_it_deletes() {
    let folder = tempfile::tempdir().unwrap();
    let path = file::prepare(&folder.path().join("mfa.db")).unwrap();
    let writer = open_writer(&path, Duration::ZERO).unwrap();
    let setting = |name| writer.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap();
    // 2 is FULL.
    assert_eq!(["synchronous", "secure_delete", "fullfsync", "trusted_schema"].map(setting), [2, 1, 1, 0]);
    let mode: String = writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(mode, "wal");

    let reader = open_reader(&path, Duration::ZERO).unwrap();
    assert!(reader.execute("DELETE FROM meta", ()).is_err());
}
