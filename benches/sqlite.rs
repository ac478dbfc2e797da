//! What the embedded store costs over bare SQLite: logins that are answered on an engine, one caller and 64 at a
//! time, against a loop that writes the very same rows; and events alone.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use criterion::Criterion;
use futures::executor::block_on;
use mfa::sqlite::SqliteStore;
use mfa::{Committed, Store};
use mfa_benches::Mode;
use mfa_benches::bare::{Bare, Rows, create};
use mfa_benches::events;
use mfa_benches::recorder::{Commits, Recorder};
use mfa_benches::rig::{Rig, at_once};
use mfa_benches::turns::{Figures, Lane, Target, report, show, take_turns, timed};
use tempfile::TempDir;

/// Callers at a time, as the threads of a busy service.
const CALLERS: usize = 64;
/// Logins of one caller in one round, each of a user of its own.
const EACH: usize = 16;
/// What the bare loop puts into one transaction.
const TOGETHER: usize = 32;
const ROUNDS: usize = 15;
/// Events of one commit, where events are alone.
const EVENTS: usize = 100;

fn main() {
    mfa_benches::run(criterion, ratios);
}

/// A folder on the disk that the build is on.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// An engine on a store on disk, with callers that answer at the same time.
struct Contest {
    store: Arc<Recorder<SqliteStore>>,
    rig: Rig,
    callers: usize,
    each: usize,
}

impl Contest {
    fn new(folder: &Path, callers: usize, each: usize) -> Self {
        let store =
            Arc::new(Recorder::over(SqliteStore::open(folder.join("ours.db")).unwrap(), Commits::default()));
        let rig = Rig::new(Arc::clone(&store) as _, callers * each, CALLERS);
        Self { store, rig, callers, each }
    }

    /// Takes the rows that were written since the last call.
    fn rows(&self) -> Vec<Rows> {
        self.store.take().iter().map(Rows::of).collect()
    }

    /// Begins a login of every user, then has every caller answer its own; returns the time of the answers. The
    /// rows of the begins go to `begun`.
    fn round(&self, begun: impl FnOnce(Vec<Rows>)) -> Duration {
        self.rig.advance();
        let users = |caller: usize| caller * self.each..(caller + 1) * self.each;
        let begin = |caller| Mutex::new(users(caller).map(|user| self.rig.begin(user)).collect());
        let (_, waiting): (_, Vec<Mutex<Vec<_>>>) = at_once(self.callers, begin);
        begun(self.rows());
        let answer = |caller: usize| {
            let waiting = std::mem::take(&mut *waiting[caller].lock().unwrap());
            waiting.into_iter().for_each(|waiting| self.rig.verify(waiting));
        };
        at_once(self.callers, answer).0
    }

    fn logins(&self) -> usize {
        self.callers * self.each
    }

    /// Times rounds against a bare file that gets the same rows, `together` logins in a transaction; returns the
    /// ratio of the logins a second.
    fn against_bare(&self, mode: Mode, folder: &Path, together: usize) -> f64 {
        let connection = create(&folder.join("bare.db"));
        let mut bare = Bare::new(&connection);
        bare.write(&self.rows());
        let (mut ours, mut theirs, mut about) = (Vec::new(), Vec::new(), String::new());
        let (warm_up, rounds) = mode.pick((1, ROUNDS), (0, 1));
        for round in 0..warm_up + rounds {
            let one = |time: Duration| time.as_nanos() as f64 / self.logins() as f64;
            let our_time = one(self.round(|begun| bare.write(&begun)));
            let rows = self.rows();
            assert_eq!(rows.len(), self.logins());
            about = rows[0].describe();
            let (bare_time, ()) = timed(|| rows.chunks(together).for_each(|rows| bare.write(rows)));
            if round >= warm_up {
                ours.push(our_time);
                theirs.push(one(bare_time));
            }
        }
        let callers = self.callers;
        let ours = Figures::new(format!("a login of {callers} callers at a time"), ours);
        let theirs = Figures::new(format!("the same rows, {together} logins a transaction"), theirs);
        let ratio = theirs.median() / ours.median();
        show(mode, &[ours, theirs]);
        if mode == Mode::Measure {
            println!("  one login writes {about}");
        }
        ratio
    }
}

fn criterion(harness: &mut Criterion) {
    let folder = folder();
    let mut group = harness.benchmark_group("sqlite");
    group.sample_size(10);
    let mut one = |name, callers, each: usize, place: &str| {
        let folder = folder.path().join(place);
        std::fs::create_dir(&folder).unwrap();
        let contest = Contest::new(&folder, callers, each);
        group.bench_function(name, |b| {
            // Whole rounds are timed; criterion is told the share of as many logins as it asked for.
            b.iter_custom(|logins| {
                let rounds = logins.div_ceil(contest.logins() as u64);
                let time: Duration = (0..rounds).map(|_| contest.round(drop)).sum();
                contest.rows();
                time.mul_f64(logins as f64 / (rounds * contest.logins() as u64) as f64)
            });
        });
    };
    one("verify, one caller", 1, 1, "one");
    one("verify, 64 callers", CALLERS, 1, "many");
    group.finish();
}

fn ratios(mode: Mode) {
    many_callers(mode);
    one_caller(mode);
    events_alone(mode);
}

fn many_callers(mode: Mode) {
    let folder = folder();
    let contest = Contest::new(folder.path(), mode.pick(CALLERS, 4), mode.pick(EACH, 1));
    let ratio = contest.against_bare(mode, folder.path(), TOGETHER);
    let stats = contest.store.inner().stats();
    report(mode, "sqlite, 64 callers: logins a second / bare", ratio, "", Target::AtLeast(0.6));
    report(mode, "sqlite, 64 callers: median batch", stats.median_batch as f64, "", Target::AtLeast(16.0));
    let mean = stats.commits as f64 / stats.batches.max(1) as f64;
    report(mode, "sqlite, 64 callers: mean batch", mean, "", Target::None);
}

fn one_caller(mode: Mode) {
    let folder = folder();
    let contest = Contest::new(folder.path(), 1, mode.pick(200, 1));
    let ratio = contest.against_bare(mode, folder.path(), 1);
    report(mode, "sqlite, one caller: logins a second / bare", ratio, "", Target::AtLeast(0.6));
}

fn events_alone(mode: Mode) {
    let folder = folder();
    let store = SqliteStore::open(folder.path().join("ours.db")).unwrap();
    let connection = create(&folder.path().join("bare.db"));
    let mut bare = Bare::new(&connection);
    let commits = |done: &mut usize, count: usize| {
        let numbers = *done..*done + count;
        *done = numbers.end;
        numbers
            .map(|number| events::commit(number % 50, number / 50 * EVENTS, (number / 50 + 1) * EVENTS))
            .collect::<Vec<_>>()
    };
    let (mut ours, mut theirs) = (0, 0);
    let mut file = File::create(folder.path().join("fsync")).unwrap();
    file.set_len(4 << 20).unwrap();
    file.sync_all().unwrap();
    let figures = take_turns(
        mode,
        ROUNDS * 2,
        &mut [
            Lane::custom(format!("a commit of {EVENTS} events"), 20, |count| {
                let commits = commits(&mut ours, count);
                let write = |commit| assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
                timed(|| commits.into_iter().for_each(write)).0
            }),
            Lane::custom("the same rows in a bare transaction", 20, |count| {
                let rows: Vec<_> =
                    commits(&mut theirs, count).iter().map(|commit| [Rows::of(commit)]).collect();
                timed(|| rows.iter().for_each(|rows| bare.write(rows))).0
            }),
            Lane::new("the disk: 4 KiB written and synced", 20, || sync_a_page(&mut file)),
        ],
    );
    let ratio = figures[1].median() / figures[0].median();
    report(mode, "sqlite, events alone: events a second / bare", ratio, "", Target::AtLeast(0.5));
    report(mode, "sqlite, the disk: write and sync of 4 KiB", figures[2].median() / 1e3, " µs", Target::None);
}

/// Writes the next 4 KiB of a file that has its length already, and syncs them.
fn sync_a_page(file: &mut File) {
    if file.stream_position().unwrap() >= 4 << 20 {
        file.seek(SeekFrom::Start(0)).unwrap();
    }
    file.write_all(&[7; 4096]).unwrap();
    file.sync_data().unwrap();
}
