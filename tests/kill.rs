//! `kill -9` in the middle of a verify: on a SQLite file, at moments spread evenly over its length.
//!
//! Each round a new child process verifies a right code and is killed. Where the kill fell is told by the marks
//! that the child writes into a pipe around the one commit of a verify:
//!
//! * **before**: the child died before it handed the commit to the store;
//! * **inside**: it had handed the commit over and had not had the store's answer: the transaction was on its
//!   way, and what survives is all of it or nothing;
//! * **after**: it had the store's answer; its caller may have been told or not.
//!
//! The first mark is written right before the commit is handed over, the second right after the answer: a
//! child that died between a mark and its neighbour counts as inside, where both outcomes are right.
//!
//! The length of a verify is measured in children that live, before the kills and between them: as its caller
//! sees it, from the moment the word is given until the answer has been read here. A kill comes at a moment of
//! this length, counted from the same word; no part of the length gets more kills than its share. The last part
//! is short, since nothing is left to do behind the commit but to answer: it takes many kills to have some there,
//! and they go on until there are enough.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use mfa::audit::{Event, Kind, Query};
use mfa::sqlite::SqliteStore;
use mfa::{
    Challenge, Engine, Error, Key, Reference, Response, Runtime, Scope, Status, StoredDirectory, Subject,
    Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::processes::{self, Peer};
use mfa_tests::tapped::{Tap, tapped};
use mfa_tests::told::{streams_are_whole, words};
use mfa_tests::{STEP, TestHost, acme, ring, session, start, subject};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Kills, spread evenly over the length of a verify: so many at least, and at most.
const KILLS: u32 = 400;
const MOST_KILLS: u32 = 3_000;
/// From how many kills on a part of the length has had enough.
const ENOUGH: usize = 11;
/// Verifies that are measured before the first kill. The latest of these and of later ones tell the length.
const MEASURED: usize = 31;
/// Kills between two further measures, which follow a machine whose load changes.
const BETWEEN: u32 = 10;
/// The last stretch before a kill, which is spun away: a parked thread is late by less.
const FINE: Duration = Duration::from_micros(120);

#[test]
fn a_kill_at_any_moment_of_a_verify_leaves_the_code_unused_or_used_with_its_event() {
    block_on(async {
        let mut site = Site::new().await;
        let (mut measured, mut fell) = (Measured::default(), Fell::default());
        for _ in 0..MEASURED {
            site.measure(&mut measured).await;
        }
        let mut kills = 0;
        while kills < KILLS || (kills < MOST_KILLS && !fell.everywhere()) {
            if kills % BETWEEN == 0 {
                site.measure(&mut measured).await;
            }
            site.kill_at(moment(measured.length(), kills), &mut fell).await;
            kills += 1;
        }
        println!("{measured}\n{kills} kills: {fell:?}");
        assert!(fell.everywhere(), "{fell:?}");
        let events = site.host().events().await;
        let accepted = events.iter().filter(|event| event.kind() == Kind::AnswerAccepted).count();
        let rounds = measured.told.len() + fell.before + fell.inside() + fell.after;
        assert_eq!(accepted, rounds, "each round's code, once");
        streams_are_whole(&events);
    });
}

/// Returns a moment of `whole`: the golden ratio spreads any number of them evenly, and neighbours far apart.
fn moment(whole: Duration, n: u32) -> Duration {
    whole.mul_f64((f64::from(n) * 0.618_033_988_749_895).fract())
}

/// When verifies that nobody killed began their commits, had them, and had told their caller.
#[derive(Debug, Default)]
struct Measured {
    committing: Vec<Duration>,
    committed: Vec<Duration>,
    told: Vec<Duration>,
}

impl Measured {
    /// Returns how long a verify takes now.
    fn length(&self) -> Duration {
        latest(&self.told)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (committing, committed) = (latest(&self.committing), latest(&self.committed));
        write!(f, "{} verifies: commit from {committing:?} to {committed:?}, ", self.told.len())?;
        write!(f, "told at {:?} (medians of the latest)", self.length())
    }
}

/// Returns the median of the latest times.
fn latest(times: &[Duration]) -> Duration {
    let mut times = times[times.len().saturating_sub(MEASURED)..].to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

/// Where the kills fell.
#[derive(Debug, Default)]
struct Fell {
    before: usize,
    inside_and_lost: usize,
    inside_and_kept: usize,
    after: usize,
    /// Those of `after` whose caller had been told.
    told: usize,
}

impl Fell {
    const fn inside(&self) -> usize {
        self.inside_and_lost + self.inside_and_kept
    }

    /// Returns whether enough fell before, inside and after the commit.
    const fn everywhere(&self) -> bool {
        self.before >= ENOUGH && self.inside() >= ENOUGH && self.after >= ENOUGH
    }
}

/// A SQLite file with one enrolled user, who has a challenge open.
struct Site {
    dir: TempDir,
    user: Subject,
    app: SoftAuthenticator,
    now: Timestamp,
    /// This process's own handle; closed while a child dies, which is then the only one on the file.
    host: Option<TestHost>,
    challenge: Challenge,
}

impl Site {
    async fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(dir.path().join("mfa.db")).expect("a store");
        let host = TestHost::on(Arc::new(store)).await;
        let (user, app) = host.enrol("bob").await;
        let (now, challenge) = (host.now(), host.begin(&user).await);
        Self { dir, user, app, now, host: Some(host), challenge }
    }

    fn host(&self) -> &TestHost {
        self.host.as_ref().expect("an open file")
    }

    fn code(&self) -> String {
        self.app.code_at(self.now)
    }

    /// Starts a child that has the file open and is ready to answer with the code of a fresh step, and closes
    /// the file here.
    async fn prepare(&mut self) -> (Peer, Value) {
        self.now = self.now.plus(STEP);
        let mut child = Peer::start(&json!({ "file": self.dir.path().join("mfa.db") }));
        child.hear("ready");
        self.host = None;
        let (user, reference) = (self.user.user().as_str(), self.challenge.reference.expose_secret());
        let now = self.now.unix_seconds();
        (child, json!({ "now": now, "user": user, "reference": reference, "code": self.code() }))
    }

    async fn reopen(&mut self) {
        let store = SqliteStore::open(self.dir.path().join("mfa.db")).expect("a store that opens");
        let host = TestHost::on(Arc::new(store)).await;
        host.clock.set(self.now);
        self.host = Some(host);
    }

    /// Lets a child verify to the end, and measures it from the word given to it.
    #[expect(clippy::disallowed_methods, reason = "it measures how long a verify really takes")]
    async fn measure(&mut self, measured: &mut Measured) {
        let (mut child, work) = self.prepare().await;
        let begun = Instant::now();
        child.say(&work);
        child.hear("committing");
        measured.committing.push(begun.elapsed());
        child.hear("committed");
        measured.committed.push(begun.elapsed());
        let told = child.hear("told");
        measured.told.push(begun.elapsed());
        assert_eq!(told, "granted");
        drop(child);
        self.reopen().await;
        assert!(self.is_used().await, "an acknowledged commit is lost");
        self.use_up(true).await;
    }

    /// Lets a child verify, and kills it `moment` after the word given to it.
    #[expect(clippy::disallowed_methods, reason = "the moment of a kill is one of real time")]
    async fn kill_at(&mut self, moment: Duration, fell: &mut Fell) {
        let (mut child, work) = self.prepare().await;
        let begun = Instant::now();
        child.say(&work);
        // This is the timer of the kill, not a wait for a result. It parks: a process that spun beside the
        // child would take a core from it, and make its verify longer than the measured ones.
        while let Some(left) = moment.checked_sub(begun.elapsed()) {
            match left.checked_sub(FINE) {
                Some(coarse) => std::thread::park_timeout(coarse),
                None => std::hint::spin_loop(),
            }
        }
        child.kill();
        let marks: Vec<String> = child.by_ref().map(|(word, _)| word).collect();
        drop(child);
        self.reopen().await;
        let is_used = self.is_used().await;
        match marks.len() {
            0 => {
                assert!(!is_used, "used without a commit");
                fell.before += 1;
            }
            1 if is_used => fell.inside_and_kept += 1,
            1 => fell.inside_and_lost += 1,
            _ => {
                assert!(is_used, "an acknowledged commit is lost");
                fell.after += 1;
                fell.told += usize::from(marks.len() == 3);
            }
        }
        self.use_up(is_used).await;
    }

    /// Returns whether the challenge is redeemed; record and log must agree.
    async fn is_used(&self) -> bool {
        let (host, id) = (self.host(), self.challenge.id);
        let status = host.engine.status(&acme(), id).await.expect("a status").expect("a challenge").status;
        let query = Query::new(Scope::Account(acme())).between(self.now, self.now.plus(STEP));
        let events = mfa::audit::all(&*host.store, &query.expect("a range"), 1_000).await.expect("the log");
        let of_child = events.iter().filter(|event| event.subject() == Some(*id.as_bytes()));
        let kinds: Vec<Kind> = of_child.map(Event::kind).collect();
        match status {
            Status::Sent => assert_eq!(kinds, []),
            Status::Redeemed => assert_eq!(kinds, [Kind::AnswerAccepted]),
            other => panic!("{other}"),
        }
        status == Status::Redeemed
    }

    /// Uses the code if it is unused, and sees that it cannot be used again, neither on this challenge nor on
    /// the next one.
    async fn use_up(&mut self, is_used: bool) {
        if !is_used {
            assert_eq!(self.answer().await, "granted");
        }
        assert_eq!(self.answer().await.split(' ').next(), Some("already_used"));
        self.challenge = self.host().begin(&self.user).await;
        assert_eq!(self.answer().await, "replayed 4");
    }

    async fn answer(&self) -> String {
        words(&Ok(self.host().answer(&self.challenge, &self.code()).await))
    }
}

/// The process that is killed: verifies one code, and says how far it has come.
#[test]
fn child() {
    let Some(job) = processes::job() else { return };
    let file = SqliteStore::open(job["file"].as_str().expect("a file")).expect("a store");
    let marks = Arc::new(Marks::default());
    let store = Arc::new(tapped(file, marks.clone()));
    let clock = VirtualRuntime::new(start());
    let directory = StoredDirectory::new(store.clone(), ring(), Arc::new(clock.clone()));
    let engine = Engine::builder(store, Arc::new(directory), ring(), Arc::new(clock.clone()))
        .provider(mfa::totp::Totp::new("Example").expect("an issuer"))
        .danger_test_doubles();
    let engine = block_on(engine.build()).expect("an engine");
    processes::say("ready", &Value::Null);
    let work = processes::hear().expect("work");
    clock.set(Timestamp::from_unix_seconds(work["now"].as_u64().expect("a time")).expect("a time"));
    let reference = Reference::from_text(work["reference"].as_str().expect("a reference"));
    let code = Response::code(work["code"].as_str().expect("a code"));
    let user = subject(work["user"].as_str().expect("a user"));
    marks.armed.store(true, Ordering::SeqCst);
    let told = log_in(block_on(engine.verify(&reference, code)), &user, clock.now());
    processes::say("told", &json!(told));
    // It lives until it is killed.
    drop(processes::hear());
}

/// Spends a grant as a host does, and returns what its user is told.
fn log_in(answer: Result<Verify, Error>, user: &Subject, now: Timestamp) -> String {
    match answer {
        Ok(Verify::Verified(grant)) => {
            let redeemed = grant.redeem(user.account(), user.user(), Some(&session(user)), now);
            redeemed.map_or_else(|mismatch| mismatch.to_string(), |_| "granted".to_owned())
        }
        answer => words(&answer),
    }
}

/// Writes a mark before and after each commit, once it is armed.
#[derive(Debug, Default)]
struct Marks {
    armed: AtomicBool,
}

impl Marks {
    fn mark(&self, word: &str) {
        if self.armed.load(Ordering::SeqCst) {
            processes::say(word, &Value::Null);
        }
    }
}

impl Tap for Marks {
    fn read(&self, _: &[Key]) {}

    fn committing(&self) {
        self.mark("committing");
    }

    fn committed(&self) {
        self.mark("committed");
    }
}
