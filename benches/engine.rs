//! What the engine costs without a disk: a login (begin and verify) and the questions of a page that waits, on
//! the store in memory, one thread, the operating system's randomness.

use std::sync::Arc;
use std::time::Duration;

use criterion::Criterion;
use futures::executor::block_on;
use mfa::{AccountId, Begin, Challenge, Draw, Entropy, MemoryStore, OsEntropy, Response, Status, Verify};
use mfa_benches::Mode;
use mfa_benches::rig::Rig;
use mfa_benches::turns::{Figures, Lane, Target, report, show, take_turns};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::host::{TestStore, acme};

/// Logins on one store before the bench takes a new one, so that its memory stays small.
const LOGINS: usize = 2_000;
/// Turns are short, so that a busy machine interrupts few of them.
const ROUNDS: usize = 1_500;
/// A login has the turns to itself, and as many as last a few seconds.
const LOGIN_ROUNDS: usize = 10 * ROUNDS;
const CALLS: usize = 16;

fn main() {
    a_login_is_two_reads_and_two_commits();
    mfa_benches::run(criterion, ratios);
}

/// One read and one commit for begin, the same for verify; questions write nothing.
fn a_login_is_two_reads_and_two_commits() {
    let store = Arc::new(CountingStore::new(MemoryStore::new()));
    let rig = Rig::new(Arc::clone(&store) as Arc<dyn TestStore>, 2, 1);
    let counted = |step: &str, gets: usize, commits: usize| {
        let counts = store.take();
        let other = [counts.lists, counts.scans, counts.conflicts, counts.purges, counts.queries];
        assert_eq!((counts.gets, counts.commits, other), (gets, commits, [0; 5]), "{step}: {counts:?}");
    };
    store.take();
    let waiting = rig.begin(0);
    counted("begin", 1, 1);
    rig.verify(waiting);
    counted("verify", 1, 1);
    let asked = Asked::new(&rig);
    store.take();
    asked.status();
    counted("status", 1, 0);
    asked.poll();
    counted("poll", 1, 0);
    asked.claim();
    counted("claim", 1, 0);
}

/// A challenge that waits, and the questions about it.
struct Asked<'a> {
    rig: &'a Rig,
    account: AccountId,
    challenge: Challenge,
}

impl<'a> Asked<'a> {
    fn new(rig: &'a Rig) -> Self {
        let begun = block_on(rig.engine.begin(rig.login(1))).unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("a challenge was expected: {begun:?}") };
        Self { rig, account: acme(), challenge }
    }

    fn status(&self) {
        let status = block_on(self.rig.engine.status(&self.account, self.challenge.id)).unwrap();
        assert_eq!(status.unwrap().status, Status::Sent);
    }

    fn poll(&self) {
        let polled = block_on(self.rig.engine.verify(&self.challenge.reference, Response::poll())).unwrap();
        assert!(matches!(polled, Verify::Pending(_)), "{polled:?}");
    }

    fn claim(&self) {
        let claimed = block_on(self.rig.engine.claim(&self.challenge.reference)).unwrap();
        assert!(matches!(claimed, Verify::Pending(_)), "{claimed:?}");
    }
}

/// Users who log in in turn: one comes back after 64 steps of 30 s, when its last challenges are over.
fn users() -> usize {
    Mode::of_process().map_or(2, |mode| mode.pick(64, 2))
}

/// Logins, on a new store from time to time.
struct Logins {
    rig: Rig,
    done: usize,
}

impl Logins {
    fn new() -> Self {
        Self { rig: Rig::new(Arc::new(MemoryStore::new()), users(), 1), done: 0 }
    }

    /// Does so many logins; returns the time of the begins and of the answers.
    fn run(&mut self, logins: usize) -> [Duration; 2] {
        let (mut left, mut times) = (logins, [Duration::ZERO; 2]);
        while left > 0 {
            if self.done >= LOGINS {
                *self = Self::new();
            }
            let now = left.min(users());
            let [begin, verify] = self.rig.pairs(self.done, now);
            times = [times[0] + begin, times[1] + verify];
            self.done += now;
            left -= now;
        }
        times
    }
}

fn criterion(harness: &mut Criterion) {
    let mut logins = Logins::new();
    let mut group = harness.benchmark_group("engine");
    group.bench_function("begin and verify", |b| {
        b.iter_custom(|count| logins.run(usize::try_from(count).unwrap()).iter().sum());
    });
    let rig = Rig::new(Arc::new(MemoryStore::new()), users(), 1);
    let asked = Asked::new(&rig);
    group.bench_function("status", |b| b.iter(|| asked.status()));
    group.bench_function("poll", |b| b.iter(|| asked.poll()));
    group.bench_function("claim", |b| b.iter(|| asked.claim()));
    group.finish();
}

fn ratios(mode: Mode) {
    // A login is compared with nothing: it takes no turns with what would push its code and records out of the caches.
    let mut logins = Logins::new();
    let [mut begins, mut verifies] = [(); 2].map(|()| Vec::new());
    let whole = |calls| {
        let halves = logins.run(calls);
        let [begin, verify] = halves.map(|time| time.as_nanos() as f64 / calls as f64);
        begins.push(begin);
        verifies.push(verify);
        halves.iter().sum()
    };
    let login = take_turns(mode, LOGIN_ROUNDS, &mut [Lane::custom("begin + verify", CALLS, whole)]);
    show(mode, &[Figures::new("of them: begin", begins), Figures::new("of them: verify", verifies)]);
    let rig = Rig::new(Arc::new(MemoryStore::new()), users(), 1);
    let asked = Asked::new(&rig);
    let mut random = [0; Draw::BYTES];
    let figures = take_turns(
        mode,
        ROUNDS,
        &mut [
            Lane::new("status", CALLS, || asked.status()),
            Lane::new("poll", CALLS, || asked.poll()),
            Lane::new("claim", CALLS, || asked.claim()),
            Lane::new("the most random bytes of a step", CALLS, || OsEntropy::new().fill(&mut random)),
        ],
    );
    let micros = |figures: &Figures| figures.median() / 1e3;
    report(mode, "engine, begin + verify", micros(&login[0]), " µs", Target::AtMost(15.0));
    for (figures, name) in figures.iter().zip(["status", "poll", "claim"]) {
        report(mode, &format!("engine, {name}"), micros(figures), " µs", Target::AtMost(3.0));
    }
}
