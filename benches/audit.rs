//! What a page of the audit log costs when the log grows a hundredfold: 50 events of one account, by time, by
//! address and of the attempts view, among ten thousand events and among a million, a thousand in each account.

use std::cell::Cell;
use std::time::Duration;

use criterion::Criterion;
use futures::executor::block_on;
use mfa::audit::{AttemptsQuery, AuditLog, CursorKey, Outcome, Query};
use mfa::sqlite::SqliteStore;
use mfa::{Committed, Store};
use mfa_benches::Mode;
use mfa_benches::events::{ADDRESSES, address, commit, scope, time};
use mfa_benches::rig::at_once;
use mfa_benches::turns::{Lane, Target, report, take_turns};
use tempfile::TempDir;

/// Events of one account.
const ROWS: usize = 1_000;
/// Events of one commit.
const TOGETHER: usize = 250;
/// Events of one page.
const PAGE: usize = 50;
const ROUNDS: usize = 1_000;
const CALLS: usize = 5;

fn main() {
    let mode = Mode::of_process();
    let logs = mode.map(|mode| [mode.pick(10, 2), mode.pick(1_000, 4)].map(Log::new));
    let criterion = |harness: &mut Criterion| {
        for log in logs.iter().flatten() {
            let mut group = harness.benchmark_group(format!("audit/{} events", log.accounts * ROWS));
            group.bench_function("by time", |b| b.iter(|| log.by_time()));
            group.bench_function("by address", |b| b.iter(|| log.by_address()));
            group.bench_function("attempts", |b| b.iter(|| log.attempts()));
            group.finish();
        }
    };
    mfa_benches::run(criterion, |mode| {
        if let Some([small, large]) = &logs {
            ratios(mode, small, large);
        }
    });
}

fn ratios(mode: Mode, small: &Log, large: &Log) {
    let figures = take_turns(
        mode,
        ROUNDS,
        &mut [
            Lane::new("10,000 events: a page by time", CALLS, || small.by_time()),
            Lane::new("1,000,000 events: a page by time", CALLS, || large.by_time()),
            Lane::new("10,000 events: a page by address", CALLS, || small.by_address()),
            Lane::new("1,000,000 events: a page by address", CALLS, || large.by_address()),
            Lane::new("10,000 events: a page of attempts", CALLS, || small.attempts()),
            Lane::new("1,000,000 events: a page of attempts", CALLS, || large.attempts()),
        ],
    );
    if mode == Mode::Measure {
        println!("  {} events were written in {:.1} s", large.accounts * ROWS, large.built.as_secs_f64());
    }
    let ratio = |large: usize, small: usize| figures[large].median() / figures[small].median();
    report(mode, "audit, by account and time: 10⁶ events / 10⁴ events", ratio(1, 0), "", Target::AtMost(2.5));
    report(
        mode,
        "audit, by account and address: 10⁶ events / 10⁴ events",
        ratio(3, 2),
        "",
        Target::AtMost(2.5),
    );
    report(mode, "audit, the attempts view: 10⁶ events / 10⁴ events", ratio(5, 4), "", Target::AtMost(2.5));
}

/// A log of a thousand events in each of its accounts.
struct Log {
    store: SqliteStore,
    accounts: usize,
    built: Duration,
    key: CursorKey,
    /// How many pages were read; the next page is of another account.
    pages: Cell<usize>,
    // Deleted after the store is closed.
    _folder: TempDir,
}

impl Log {
    /// Writes the events, 250 a commit. The commits go round the accounts, as logins do.
    fn new(accounts: usize) -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
        let threads = 2;
        let (built, _) = at_once(threads, |thread| {
            for from in (0..ROWS).step_by(TOGETHER) {
                for account in (thread..accounts).step_by(threads) {
                    let written = block_on(store.commit(commit(account, from, from + TOGETHER)));
                    assert_eq!(written.unwrap(), Committed::Done);
                }
            }
        });
        let key = CursorKey::from_bytes([7; 32]);
        Self { store, accounts, built, key, pages: Cell::new(0), _folder: folder }
    }

    fn by_time(&self) {
        let page = self.next();
        let last = ROWS - page % (ROWS - PAGE);
        let query = Query::new(self.scope(page)).between(time(0), time(last));
        self.read(&query.unwrap());
    }

    fn by_address(&self) {
        let page = self.next();
        self.read(&Query::new(self.scope(page)).ip(address(page % ADDRESSES)));
    }

    /// As an administrator is shown it: the last 31 days, failures alone, with the key of the next page.
    fn attempts(&self) {
        let number = self.next();
        let account = self.scope(number).account().unwrap().clone();
        let asked = AttemptsQuery::new(account).outcome(Outcome::Failure);
        let page = block_on(asked.read(&self.store, time(ROWS), &self.key, ROWS)).unwrap();
        assert!(page.events.len() == PAGE && page.next.is_some());
    }

    fn read(&self, query: &Query) {
        let events = block_on(self.store.query(query, None)).unwrap();
        assert_eq!(events.len(), PAGE);
    }

    fn scope(&self, page: usize) -> mfa::Scope {
        // Far apart in the file, one after the other.
        scope(page.wrapping_mul(7_919) % self.accounts)
    }

    fn next(&self) -> usize {
        self.pages.set(self.pages.get() + 1);
        self.pages.get()
    }
}
