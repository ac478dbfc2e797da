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
//! The length of a verify is measured first, in children that live, from the announcement that one begins to
//! the arrival of its answer here.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures::executor::block_on;
use mfa::audit::{Event, Kind, Query};
use mfa::sqlite::SqliteStore;
use mfa::{Challenge, Engine, Key, Reference, Response, Scope, Status, StoredDirectory, Subject, Timestamp};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::processes::{self, Peer};
use mfa_tests::tapped::{Tap, Tapped};
use mfa_tests::told::{streams_are_whole, words};
use mfa_tests::{STEP, TestHost, acme, ring, start};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Kills that are spread over the whole length of a verify.
const SPREAD: u32 = 110;
/// Kills that may be added where a class has ten or fewer.
const ADDED: u32 = 200;
/// Verifies that are measured first.
const MEASURED: usize = 11;

#[test]
fn a_kill_at_any_moment_of_a_verify_leaves_the_code_unused_or_used_with_its_event() {
    block_on(async {
        let mut site = Site::new().await;
        let spans = site.measure().await;
        let mut fell = Fell::default();
        // Half of the verifies take longer than the median, and all do while this process spins beside them:
        // twice the median has the moments behind the answer too.
        let whole = Duration::ZERO..spans[2].end / 2;
        for kill in 0..SPREAD {
            site.kill_at(moment(&whole, kill), &mut fell).await;
        }
        let spread = format!("{fell:?}");
        // How the length divides depends on the disk: a class that is short gets kills of its own.
        for kill in 0..ADDED {
            let classes = [fell.before, fell.inside_and_lost + fell.inside_and_kept, fell.after];
            let Some(short) = classes.iter().position(|kills| *kills <= 10) else { break };
            site.kill_at(moment(&spans[short], kill), &mut fell).await;
        }
        println!("median of {MEASURED}: {spans:?}; {SPREAD} kills within {whole:?}: {spread}; all: {fell:?}");
        let inside = fell.inside_and_lost + fell.inside_and_kept;
        assert!(fell.before > 10 && inside > 10 && fell.after > 10, "{fell:?}");
        let events = site.host().events().await;
        let accepted = events.iter().filter(|event| event.kind() == Kind::AnswerAccepted).count();
        assert_eq!(accepted, MEASURED + fell.before + inside + fell.after, "each round's code, once");
        streams_are_whole(&events);
    });
}

/// Returns a moment of `span`: the golden ratio spreads any number of them evenly, and neighbours far apart.
fn moment(span: &Range<Duration>, n: u32) -> Duration {
    let part = (f64::from(n) * 0.618_033_988_749_895).fract();
    span.start + (span.end - span.start).mul_f64(part)
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
        let reference = self.challenge.reference.expose_secret();
        (child, json!({ "now": self.now.unix_seconds(), "reference": reference, "code": self.code() }))
    }

    async fn reopen(&mut self) {
        let store = SqliteStore::open(self.dir.path().join("mfa.db")).expect("a store that opens");
        let host = TestHost::on(Arc::new(store)).await;
        host.clock.set(self.now);
        self.host = Some(host);
    }

    /// Lets children verify to the end, and returns when, seen from here, they came before, inside and after
    /// their commits: the medians, counted from their announcement.
    #[expect(clippy::disallowed_methods, reason = "it measures how long a verify really takes")]
    async fn measure(&mut self) -> [Range<Duration>; 3] {
        let mut ends = [const { Vec::new() }; 3];
        for _ in 0..MEASURED {
            let (mut child, work) = self.prepare().await;
            child.say(&work);
            child.hear("verifying");
            let begun = Instant::now();
            for (word, ends) in ["committing", "committed", "told"].into_iter().zip(&mut ends) {
                let told = child.hear(word);
                assert!(word != "told" || told == "granted", "{told}");
                ends.push(begun.elapsed());
            }
            self.reopen().await;
            assert!(self.is_used().await);
            self.use_up(true).await;
        }
        let [committing, committed, told] = ends.map(|mut ends| {
            ends.sort_unstable();
            ends[MEASURED / 2]
        });
        // What comes after the answer goes on until the child is killed.
        [Duration::ZERO..committing, committing..committed, committed..told.max(committed) * 4]
    }

    async fn kill_at(&mut self, moment: Duration, fell: &mut Fell) {
        let (mut child, work) = self.prepare().await;
        child.say(&work);
        child.hear("verifying");
        wait_for(moment);
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

/// Spins until the moment has come. It is the moment of the kill, not a wait for a result: a sleep would come
/// back too late to choose it.
#[expect(clippy::disallowed_methods, reason = "the moment of a kill is one of real time")]
fn wait_for(moment: Duration) {
    let start = Instant::now();
    while start.elapsed() < moment {
        std::hint::spin_loop();
    }
}

/// The process that is killed: verifies one code, and says how far it has come.
#[test]
fn child() {
    let Some(job) = processes::job() else { return };
    let file = SqliteStore::open(job["file"].as_str().expect("a file")).expect("a store");
    let marks = Arc::new(Marks::default());
    let store = Arc::new(Tapped::new(file, marks.clone()));
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
    marks.armed.store(true, Ordering::SeqCst);
    processes::say("verifying", &Value::Null);
    let told = block_on(engine.verify(&reference, code));
    processes::say("told", &json!(words(&told)));
    // It lives until it is killed.
    drop(processes::hear());
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
