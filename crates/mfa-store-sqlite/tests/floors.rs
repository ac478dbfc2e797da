//! How fast the store is beside bare transactions of the same writes on the same schema.
//!
//! These measure, so they run alone and in release only:
//! `cargo test --release -p mfa-store-sqlite --test floors -- --ignored --nocapture --test-threads 1`
#![cfg(test)]
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]
#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use audit_model::{Event, StoredEvent};
use common::{account, at, build, commit, event, key, put, random, user};
use futures::executor::block_on;
use mfa_core::{Commit, Committed, Expect, Store, Version, Write};
use mfa_store_sqlite::SqliteStore;
use rusqlite::{Connection, Statement, params};

const CALLERS: u32 = 64;
const ROUNDS: usize = 3;

/// What a login step writes: its user's record, a new challenge that expires, one event.
fn step(lane: u32, n: u32, last: Option<Version>) -> Commit {
    let scope = account(&format!("account-{:02}", lane % 8));
    let mut commit = commit(&scope);
    let login = key(&scope, format!("login-{lane}"));
    commit.writes.push(put(login, last.map_or(Expect::Absent, Expect::Version), [7; 300]));
    let challenge = key(&scope, random::<16>());
    let (body, expires_at) = (vec![9; 250], Some(at(86_400_000 + u64::from(n))));
    commit.writes.push(Write::Put { key: challenge, expect: Expect::Absent, body, expires_at });
    commit.events.push(said(lane, n));
    commit
}

fn said(lane: u32, n: u32) -> Event {
    let scope = account(&format!("account-{:02}", lane % 8));
    let millis = u64::from(n) * 100 + u64::from(lane);
    let event = event(&scope, millis).user(user(&format!("user-{lane}"))).ip([10, 0, 0, 1].into());
    build(event.header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"), millis)
}

/// The same writes, by hand.
struct Bare<'c> {
    version: Statement<'c>,
    update: Statement<'c>,
    insert: Statement<'c>,
    append: Statement<'c>,
    seq: i64,
}

impl<'c> Bare<'c> {
    fn new(connection: &'c Connection) -> Self {
        let prepare = |sql| connection.prepare(sql).unwrap();
        Self {
            version: prepare("SELECT version FROM records WHERE kind = ?1 AND scope = ?2 AND id = ?3"),
            update: prepare(
                "UPDATE records SET version = ?4, body = ?5 WHERE kind = ?1 AND scope = ?2 AND id = ?3",
            ),
            insert: prepare("INSERT INTO records VALUES (?1, ?2, ?3, ?4, ?5, ?6)"),
            append: prepare(
                "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            ),
            seq: 0,
        }
    }

    fn write(&mut self, commit: &Commit, events: &[StoredEvent]) {
        let (scope, version) = (commit.scope.as_str(), commit.version.to_bytes());
        for write in &commit.writes {
            let Write::Put { key, expect, body, expires_at } = write else { unreachable!() };
            let (kind, id) = (key.kind.as_str(), &*key.id);
            if let Expect::Version(expected) = expect {
                let found: [u8; 16] = self.version.query_row((kind, scope, id), |row| row.get(0)).unwrap();
                assert_eq!(found, expected.to_bytes());
                self.update.execute((kind, scope, id, version, body)).unwrap();
            } else {
                let expires_at = expires_at.map(|at| at.unix_millis().cast_signed());
                self.insert.execute((kind, scope, id, expires_at, version, body)).unwrap();
            }
        }
        for (event, stored) in commit.events.iter().zip(events) {
            self.seq += 1;
            let row = params![
                scope,
                event.at().unix_millis().cast_signed(),
                event.id().to_bytes(),
                self.seq,
                event.kind().code(),
                event.outcome().code(),
                true,
                "multi_factor",
                event.module(),
                event.user().map(|user| user.as_str()),
                [10_u8, 0, 0, 1],
                stored.hash,
                stored.core,
                stored.personal,
            ];
            self.append.execute(row).unwrap();
        }
    }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn bare(commits: &[Commit], batch: usize) -> Duration {
    let folder = folder();
    let path = folder.path().join("mfa.db");
    drop(SqliteStore::open(&path).unwrap());
    let connection = Connection::open(&path).unwrap();
    let pragmas = [("synchronous", "FULL"), ("wal_autocheckpoint", "4000"), ("secure_delete", "ON")];
    for (pragma, value) in pragmas {
        connection.pragma_update(None, pragma, value).unwrap();
    }
    let mut statements = Bare::new(&connection);
    let start = Instant::now();
    for commits in commits.chunks(batch) {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        for commit in commits {
            // Encoding is work of both.
            let stored: Vec<_> = commit.events.iter().map(|e| e.to_stored().unwrap()).collect();
            statements.write(commit, &stored);
        }
        connection.execute_batch("COMMIT").unwrap();
    }
    start.elapsed()
}

/// `each` steps of every lane, so that the steps of one follow each other.
fn steps(lanes: u32, each: u32) -> Vec<Vec<Commit>> {
    let lane = |lane| {
        let mut last = None;
        let next = |n| {
            let step = step(lane, n, last);
            last = Some(step.version);
            step
        };
        (0..each).map(next).collect()
    };
    (0..lanes).map(lane).collect()
}

fn interleaved(lanes: &[Vec<Commit>]) -> Vec<Commit> {
    (0..lanes[0].len()).flat_map(|n| lanes.iter().map(move |lane| lane[n].clone())).collect()
}

fn through_store(lanes: Vec<Vec<Commit>>) -> Duration {
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    let start = Instant::now();
    thread::scope(|threads| {
        for lane in lanes {
            let store = &store;
            threads.spawn(move || {
                for commit in lane {
                    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
                }
            });
        }
    });
    let took = start.elapsed();
    println!("    {:?}", store.stats());
    took
}

/// Returns the median over some rounds of (bare time) / (time through the store).
fn ratio(name: &str, mut round: impl FnMut() -> (Duration, Duration, usize)) -> f64 {
    let mut ratios: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (bare, store, count) = round();
            let rate = |time: Duration| count as f64 / time.as_secs_f64();
            println!("{name}: bare {:.0}/s, store {:.0}/s", rate(bare), rate(store));
            bare.as_secs_f64() / store.as_secs_f64()
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ROUNDS / 2]
}

#[test]
#[ignore = "measures"]
fn sixty_four_callers_beside_thirty_two_commits_a_transaction() {
    let ratio = ratio("64 callers", || {
        let lanes = steps(CALLERS, 200);
        let commits = interleaved(&lanes);
        (bare(&commits, 32), through_store(lanes), commits.len())
    });
    assert!(ratio >= 0.6, "{ratio:.2}");
}

#[test]
#[ignore = "measures"]
fn one_caller_beside_a_bare_transaction() {
    let ratio = ratio("1 caller", || {
        let lanes = steps(1, 2_000);
        let commits = interleaved(&lanes);
        (bare(&commits, 1), through_store(lanes), commits.len())
    });
    assert!(ratio >= 0.6, "{ratio:.2}");
}

#[test]
#[ignore = "measures"]
fn a_hundred_events_a_commit_beside_a_bare_insert() {
    let ratio = ratio("events", || {
        let commits: Vec<Commit> = (0..200)
            .map(|n| {
                let mut commit = commit(&account("account-00"));
                commit.events = (0..100).map(|i| said(i * 8, n)).collect();
                commit
            })
            .collect();
        let count = commits.len() * 100;
        (bare(&commits, 1), through_store(vec![commits]), count)
    });
    assert!(ratio >= 0.5, "{ratio:.2}");
}
