//! What it costs to fix a log and to check it: a checkpoint of 100,000 events against reading and hashing the same
//! bytes without the store, and how many events a second the offline check reads, from a file and from the store.

use std::path::Path;

use criterion::{Criterion, Throughput};
use futures::executor::block_on;
use mfa::audit::export::{Lines, Reader};
use mfa::audit::{Checkpoint, CheckpointKey, Checkpoints, Report, Verifier};
use mfa::sqlite::SqliteStore;
use mfa::{Committed, Store, Timestamp};
use mfa_benches::Mode;
use mfa_benches::events::{commit, time};
use mfa_benches::turns::{Lane, Target, report, take_turns, timed};
use rusqlite::Connection;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Events of one account.
const ROWS: usize = 1_000;
/// Events of one commit.
const TOGETHER: usize = 250;
const ROUNDS: usize = 15;
const HASHES: &str = "SELECT hash FROM events INDEXED BY events_seq WHERE seq > 0 ORDER BY seq";

fn main() {
    let mode = Mode::of_process();
    let log = mode.map(|mode| Log::new(mode.pick(100, 1)));
    let criterion = |harness: &mut Criterion| {
        if let Some(log) = &log {
            log.fix();
            let exported = log.export();
            let mut group = harness.benchmark_group("checkpoints");
            group.sample_size(10).throughput(Throughput::Elements(log.events as u64));
            group.bench_function("a checkpoint", |b| {
                b.iter_custom(|times| (0..times).map(|_| log.fix_anew()).sum());
            });
            group.bench_function("check the lines of a file", |b| b.iter(|| log.check_lines(&exported)));
            group.bench_function("check the store", |b| b.iter(|| log.check_store()));
            group.finish();
        }
    };
    mfa_benches::run(criterion, |mode| {
        if let Some(log) = &log {
            ratios(mode, log);
        }
    });
}

fn ratios(mode: Mode, log: &Log) {
    log.fix();
    let exported = log.export();
    let events = log.events;
    let figures = take_turns(
        mode,
        ROUNDS,
        &mut [
            Lane::custom(format!("a checkpoint of {events} events"), 1, |_| log.fix_anew()),
            Lane::new("their hashes read and hashed, bare", 1, || log.hash_bare()),
            Lane::new("the log checked from its lines", 1, || log.check_lines(&exported)),
            Lane::new("the log checked from the store", 1, || log.check_store()),
        ],
    );
    let [made, bare, lines, store] = [0, 1, 2, 3].map(|lane: usize| figures[lane].median());
    if mode == Mode::Measure {
        println!("  the exported log has {} bytes an event", exported.len() / events);
    }
    let a_second = |time: f64| events as f64 * 1e9 / time;
    report(mode, "checkpoint of 100,000 events: speed / bare", bare / made, "", Target::AtLeast(0.5));
    report(
        mode,
        "offline check of an exported log: events/s",
        a_second(lines),
        "",
        Target::AtLeast(200_000.0),
    );
    report(mode, "offline check of a store: events/s", a_second(store), "", Target::None);
}

/// A log of a thousand events in each of its accounts, and a bare connection to its file.
struct Log {
    store: SqliteStore,
    bare: Connection,
    key: CheckpointKey,
    events: usize,
    // Deleted after the store is closed.
    _folder: TempDir,
}

impl Log {
    /// Writes the events, 250 a commit. The commits go round the accounts, as logins do.
    fn new(accounts: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("mfa.db");
        let store = SqliteStore::open(&path).unwrap();
        for from in (0..ROWS).step_by(TOGETHER) {
            for account in 0..accounts {
                let written = block_on(store.commit(commit(account, from, from + TOGETHER)));
                assert_eq!(written.unwrap(), Committed::Done);
            }
        }
        let key = CheckpointKey::from_bytes([7; 32]).unwrap();
        Self { store, bare: open_bare(&path), key, events: accounts * ROWS, _folder: folder }
    }

    fn now() -> Timestamp {
        time(ROWS)
    }

    fn fix(&self) -> Checkpoint {
        let made = block_on(self.store.checkpoint(&self.key, Self::now())).unwrap();
        assert_eq!(made.total, self.events as u64);
        made
    }

    /// Makes the checkpoint as if it were the first; returns the time of that alone.
    fn fix_anew(&self) -> std::time::Duration {
        self.bare.execute("DELETE FROM checkpoints", ()).unwrap();
        let (time, made) = timed(|| self.fix());
        assert_eq!(made.number, 1);
        time
    }

    /// The bytes that a checkpoint is made of, read and hashed in the order in which they come.
    fn hash_bare(&self) -> [u8; 32] {
        let mut select = self.bare.prepare_cached(HASHES).unwrap();
        let mut rows = select.query(()).unwrap();
        let mut hash = Sha256::new();
        while let Some(row) = rows.next().unwrap() {
            hash.update(row.get_ref(0).unwrap().as_blob().unwrap());
        }
        hash.finalize().into()
    }

    fn export(&self) -> Vec<u8> {
        let (mut lines, mut text) = (Lines::of(&self.store), Vec::new());
        while let Some(line) = block_on(lines.next()).unwrap() {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        text
    }

    fn check_lines(&self, text: &[u8]) {
        let mut verifier = Verifier::new(self.key.clone());
        Reader::new(text).verify(&mut verifier).unwrap();
        self.assert_holds(&verifier.finish());
    }

    fn check_store(&self) {
        self.assert_holds(&block_on(Verifier::new(self.key.clone()).read(&self.store)).unwrap());
    }

    fn assert_holds(&self, report: &Report) {
        assert!(report.holds() && report.covered == self.events as u64, "{report}");
    }
}

/// Opens a connection with the settings of the store's writer.
fn open_bare(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(std::time::Duration::from_secs(5)).unwrap();
    for (pragma, value) in [("synchronous", "FULL"), ("secure_delete", "ON")] {
        connection.pragma_update(None, pragma, value).unwrap();
    }
    connection.pragma_update(None, "cache_size", -16_000).unwrap();
    connection
}
