//! Several processes on one SQLite file. Every race is forced: each caller, on a thread and an engine of its
//! own, has read the records before any of them may commit.

use std::sync::Arc;

use futures::executor::block_on;
use mfa::audit::Kind;
use mfa::sqlite::SqliteStore;
use mfa::{
    Begin, Challenge, DeniedReason, Engine, Policy, ProviderName, Reference, Response, Store,
    StoredDirectory, Timestamp, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::doubles::enrol_in;
use mfa_tests::probe::failures_today;
use mfa_tests::processes::{self, Peer};
use mfa_tests::tapped::{Meeting, tapped};
use mfa_tests::told::{LONGEST_DELAY, count, of, streams_are_whole, words, wrong_code};
use mfa_tests::{World, begin, login, ring, start, subject};
use serde_json::{Value, json};

#[test]
fn t07_a_right_code_from_64_callers_in_8_processes_is_one_grant() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let call = answer(&challenge, &app.code_at(world.now()));
        let said = Processes::start(&world, 8, 20).race(world.now(), &vec![call; 64]);
        assert_eq!((count(&said, "granted"), count(&said, "already_used")), (1, 63), "{said:?}");
        assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
        streams_are_whole(&world.events().await);
    });
}

#[test]
fn t06_one_code_on_64_challenges_in_8_processes_is_one_grant() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let code = app.code_at(world.now());
        let mut calls = Vec::new();
        for _ in 0..64 {
            calls.push(answer(&world.begin(&bob).await, &code));
        }
        let said = Processes::start(&world, 8, 20).race(world.now(), &calls);
        assert_eq!((count(&said, "granted"), count(&said, "replayed")), (1, 63), "{said:?}");
        let events = world.events().await;
        assert_eq!(of(&events, Kind::AnswerAccepted, None).len(), 1);
        assert_eq!(of(&events, Kind::AnswerRejected, Some("replayed")).len(), 63);
        streams_are_whole(&events);
    });
}

#[test]
fn t10_guesses_of_4_processes_over_many_challenges_stop_at_the_budget() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let wrong = wrong_code(&app, world.now());
        let mut calls = Vec::new();
        for _ in 0..16 {
            calls.push(answer(&world.begin(&bob).await, &wrong));
        }
        // Four failures set no delay: it is the budget that stops the fifth.
        let mut processes = Processes::start(&world, 4, 4);
        let said = processes.race(world.now(), &calls);
        assert_eq!((count(&said, "wrong_code"), count(&said, "locked")), (4, 12), "{said:?}");
        let said = processes.race(world.now(), &calls);
        assert_eq!(count(&said, "locked"), 16, "{said:?}");
        assert_eq!(failures_today(&world, &bob).await, 4);
        let events = world.events().await;
        assert_eq!(of(&events, Kind::AnswerRejected, Some("wrong_code")).len(), 4);
        streams_are_whole(&events);
        let denied = engine(world.store.clone(), &world.clock, 4).await.begin(login(&bob)).await;
        assert!(matches!(denied, Ok(Begin::Denied(d)) if d.reason == DeniedReason::Locked));
    });
}

#[test]
fn t13_new_challenges_in_4_processes_renew_neither_budget_nor_delay() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let mut processes = Processes::start(&world, 4, 20);
        let mut judged = Vec::new();
        let mut calls = Vec::new();
        for _ in 0..16 {
            let wrong = wrong_code(&app, world.now());
            calls.clear();
            for _ in 0..8 {
                calls.push(answer(&world.begin(&bob).await, &wrong));
            }
            let said = processes.race(world.now(), &calls);
            judged.push(count(&said, "wrong_code"));
            assert_eq!(count(&said, "wrong_code") + count(&said, "locked"), 8, "{said:?}");
            world.clock.advance(LONGEST_DELAY);
        }
        // The fifth failure sets the first delay; from then on each round has room for one.
        assert_eq!(judged, [vec![5], vec![1; 15]].concat());
        let denied = world.engine.begin(login(&bob)).await;
        assert!(matches!(denied, Ok(Begin::Denied(d)) if d.reason == DeniedReason::Locked));
        assert_eq!(failures_today(&world, &bob).await, 20);
        let events = world.events().await;
        assert_eq!(of(&events, Kind::AnswerRejected, Some("wrong_code")).len(), 20);
        streams_are_whole(&events);
    });
}

#[test]
fn t24_failures_from_4_processes_are_all_counted() {
    block_on(async {
        for on_one_challenge in [false, true] {
            let world = World::sqlite().await;
            let (bob, app) = world.enrol("bob").await;
            let wrong = wrong_code(&app, world.now());
            let mut calls = vec![answer(&world.begin(&bob).await, &wrong)];
            for i in 1..4 {
                let another = answer(&world.begin(&bob).await, &wrong);
                calls.push(if on_one_challenge { calls[i - 1].clone() } else { another });
            }
            let mut said = Processes::start(&world, 4, 20).race(world.now(), &calls);
            said.sort();
            let left = if on_one_challenge { [1, 2, 3, 4] } else { [4; 4] };
            assert_eq!(said, left.map(|n| format!("wrong_code {n}")));
            assert_eq!(failures_today(&world, &bob).await, 4);
            assert!(world.events_of(Kind::UserLocked).await.is_empty());
            // The consecutive count stands at four: exactly one more failure sets the first delay.
            let _ = world.answer(&world.begin(&bob).await, &wrong).await;
            assert_eq!(world.events_of(Kind::UserLocked).await.len(), 1);
            streams_are_whole(&world.events().await);
        }
    });
}

#[test]
fn s02_claims_of_one_challenge_from_8_processes_are_one_grant() {
    block_on(async {
        let world = World::sqlite().await;
        let engine = world.node().provider(elsewhere()).build().await.expect("an engine");
        let carol = world.add("carol").await;
        enrol_in(&engine, &carol, "elsewhere", "123456").await;
        let challenge = begin(&engine, &carol).await;
        // The page asks, and learns that the user has agreed elsewhere; that alone is no grant.
        assert!(matches!(
            engine.verify(&challenge.reference, Response::poll()).await,
            Ok(Verify::Pending(_))
        ));
        assert_eq!(world.events_of(Kind::ChallengeVerified).await.len(), 1);
        let call = json!({ "act": "claim", "reference": challenge.reference.expose_secret() });
        let said = Processes::start(&world, 8, 20).race(world.now(), &vec![call; 64]);
        assert_eq!((count(&said, "granted"), count(&said, "already_used")), (1, 63), "{said:?}");
        assert_eq!(world.events_of(Kind::ChallengeClaimed).await.len(), 1);
    });
}

#[test]
fn s20_the_owner_verifies_at_the_first_try_amid_begins_of_8_processes() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let code = app.code_at(world.now());
        // The owner's node reads, then all the begins are made, then the owner's node commits.
        let meeting = Arc::new(Meeting::default());
        let counting = Arc::new(CountingStore::new(world.store.clone()));
        let engine = engine(tapped(counting.clone(), meeting.clone()), &world.clock, 20).await;
        let mut processes = Processes::start(&world, 8, 20);
        counting.take();
        meeting.call(1);
        let verified = std::thread::scope(|scope| {
            let owner = scope.spawn(|| block_on(engine.verify(&challenge.reference, Response::code(&code))));
            meeting.assembled(1);
            let said = processes.race(world.now(), &vec![json!({ "act": "begin", "user": "bob" }); 32]);
            assert_eq!(count(&said, "challenge"), 32, "{said:?}");
            meeting.release();
            owner.join().expect("the owner")
        });
        assert_eq!(words(&verified), "granted");
        let counts = counting.counts();
        assert_eq!((counts.gets, counts.commits, counts.conflicts), (1, 1, 0));
        assert_eq!(world.events_of(Kind::ChallengeBegun).await.len(), 33);
    });
}

/// One process of a race, until there are no more lines: reads what to do, and does it on a thread each.
#[test]
fn child() {
    let Some(job) = processes::job() else { return };
    let meeting = Arc::new(Meeting::default());
    let file = SqliteStore::open(job["file"].as_str().expect("a file")).expect("a store");
    let store = Arc::new(tapped(file, meeting.clone()));
    let clock = VirtualRuntime::new(start());
    let mut engines = Vec::new();
    while let Some(round) = processes::hear() {
        let calls = round["calls"].as_array().expect("calls");
        let now = Timestamp::from_unix_seconds(round["now"].as_u64().expect("a time"));
        clock.set(now.expect("a time"));
        while engines.len() < calls.len() {
            let failures_per_day = job["failures_per_day"].as_u64().expect("a limit");
            engines.push(block_on(engine(store.clone(), &clock, failures_per_day)));
        }
        meeting.call(calls.len());
        let said: Vec<String> = std::thread::scope(|scope| {
            let work = |(call, engine)| scope.spawn(move || block_on(perform(engine, call)));
            let threads: Vec<_> = calls.iter().zip(&engines).map(work).collect();
            meeting.assembled(calls.len());
            processes::say("met", &Value::Null);
            processes::hear().expect("a go");
            meeting.release();
            threads.into_iter().map(|thread| thread.join().expect("an answer")).collect()
        });
        processes::say("done", &json!(said));
    }
}

async fn perform(engine: &Engine, call: &Value) -> String {
    let text = |name: &str| call[name].as_str().unwrap_or_default().to_owned();
    let reference = Reference::from_text(text("reference"));
    match call["act"].as_str() {
        Some("answer") => words(&engine.verify(&reference, Response::code(&text("code"))).await),
        Some("claim") => words(&engine.claim(&reference).await),
        _ => match engine.begin(login(&subject(&text("user")))).await {
            Ok(Begin::Challenge(_)) => "challenge".to_owned(),
            other => format!("{other:?}"),
        },
    }
}

fn answer(challenge: &Challenge, code: &str) -> Value {
    json!({ "act": "answer", "reference": challenge.reference.expose_secret(), "code": code })
}

/// A provider whose user agrees elsewhere, before the page asks for the first time.
fn elsewhere() -> ScriptedProvider {
    let name = ProviderName::parse("elsewhere").expect("a name");
    let provider = ScriptedProvider::new("elsewhere").described_as(mfa::Descriptor::one_time_code(name, 20));
    provider.on(On::AnyAnswer, Say::Accept);
    provider.on(On::Poll, Say::Accept);
    provider
}

/// An engine as every process has it, with the operating system's randomness.
async fn engine(store: impl Store, clock: &VirtualRuntime, failures_per_day: u64) -> Engine {
    let store = Arc::new(store);
    let directory = StoredDirectory::new(store.clone(), ring(), Arc::new(clock.clone()));
    let policy = Policy::recommended().with_document(&json!({ "failures_per_day": failures_per_day }));
    let engine = Engine::builder(store, Arc::new(directory), ring(), Arc::new(clock.clone()))
        .policy(policy.expect("a policy"))
        .provider(mfa::totp::Totp::new("Example").expect("an issuer"))
        .provider(elsewhere())
        .danger_test_doubles();
    engine.build().await.expect("an engine")
}

struct Processes(Vec<Peer>);

impl Processes {
    fn start(world: &World, n: usize, failures_per_day: u64) -> Self {
        let job = json!({ "file": world.file().expect("a file"), "failures_per_day": failures_per_day });
        Self((0..n).map(|_| Peer::start(&job)).collect())
    }

    /// Shares the calls out, lets every caller read before any may commit, and returns what they were told.
    fn race(&mut self, now: Timestamp, calls: &[Value]) -> Vec<String> {
        let each = calls.len() / self.0.len();
        assert_eq!(each * self.0.len(), calls.len(), "the same number for each process");
        for (peer, calls) in self.0.iter_mut().zip(calls.chunks(each)) {
            peer.say(&json!({ "now": now.unix_seconds(), "calls": calls }));
        }
        self.0.iter_mut().for_each(|peer| drop(peer.hear("met")));
        self.0.iter_mut().for_each(|peer| peer.say(&json!("go")));
        let done = self.0.iter_mut().map(|peer| peer.hear("done"));
        let said = |words: Value| serde_json::from_value::<Vec<String>>(words).expect("words");
        done.flat_map(said).collect()
    }
}
