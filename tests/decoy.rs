//! S11: a challenge that nobody is behind looks, answers and costs as a real one does, and lets nobody in.
#![cfg(test)]

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::{Kind, Timestamp};
use futures::executor::block_on;
use mfa::{
    Answer, Begin, Challenge, ChallengeStatus, Changed, Choice, Commit, Committed, Engine, EnrolmentId, Key,
    Method, MethodSelector, Policy, Reason, Record, RecordKind, Rejected, Response, Store, StoreError,
    Subject, Target, Unproven, Verify, Write as StoreWrite,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::TestStore;
use mfa_testkit::layer::{Layer, Layered, Listing};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::attack::user_record;
use mfa_tests::doubles::{SCRIPTED_CODE, scripted};
use mfa_tests::probe::{failures_today, node_on};
use mfa_tests::saved::{foreign, guess, recovery_node_on};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, begin, host, login, on_stores, session, subject};
use proptest::prelude::*;
use serde_json::json;

/// Writes down what is asked of a store.
#[derive(Debug, Default)]
struct Notes {
    calls: Mutex<String>,
}

type Noting = Layered<Arc<dyn TestStore>, Notes>;

impl Notes {
    fn note(&self, call: std::fmt::Arguments<'_>) {
        self.calls.lock().unwrap().write_fmt(call).unwrap();
    }

    fn take(&self) -> String {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

#[async_trait]
impl Layer for Notes {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        self.note(format_args!(" get {}", keys.len()));
        store.get(keys, now).await
    }

    async fn list(&self, store: &dyn Store, asked: Listing<'_>) -> Result<Vec<Record>, StoreError> {
        self.note(format_args!(" list"));
        asked.of(store).await
    }

    async fn scan(
        &self,
        store: &dyn Store,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.note(format_args!(" scan"));
        store.scan(kind, after, limit, now).await
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        let changes = commit.writes.iter().filter(|write| !matches!(write, StoreWrite::Check { .. })).count();
        let events = if commit.events.is_empty() { "none" } else { "some" };
        self.note(format_args!(" commit {changes} and {events} events"));
        store.commit(commit).await
    }
}

/// Bob, who is a user, and what an engine asks of its store.
struct Stage {
    world: World,
    bob: Subject,
    app: SoftAuthenticator,
    store: Arc<Noting>,
    engine: Engine,
}

impl Stage {
    async fn new(world: World) -> Self {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(Layered::over(Arc::clone(&world.store), Notes::default()));
        let engine = node_on(&world, Arc::clone(&store) as _).build().await.unwrap();
        // What an engine does once in its life is not part of a step.
        engine.begin_decoy(login(&subject("warm"))).await.unwrap();
        store.take();
        Self { world, bob, app, store, engine }
    }

    /// As [`Stage::new`], where recovery codes are issued with a first method, under a policy with `knobs`.
    async fn with_recovery(world: World, knobs: serde_json::Value) -> (Self, Vec<String>) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let store = Arc::new(Layered::over(Arc::clone(&world.store), Notes::default()));
        let node = recovery_node_on(&world, Arc::clone(&store) as _, Arc::new(world.clock.clone()));
        let policy = Policy::recommended().with_document(&knobs).unwrap();
        let engine = node.policy(policy).build().await.unwrap();
        engine.begin_decoy(login(&subject("warm"))).await.unwrap();
        store.take();
        (Self { world, bob, app, store, engine }, codes)
    }

    /// Begins a decoy in the name of nobody.
    async fn decoy(&self) -> Challenge {
        self.engine.begin_decoy(login(&subject("eve"))).await.unwrap()
    }

    /// Lets both challenges be asked the same, and returns what came of it, which must be the same.
    async fn alike(&self, acts: &[Act]) -> Vec<String> {
        let mut told = Vec::new();
        // What a decoy counts ends with it: the user's counts begin anew, too.
        self.world.clock.advance(Duration::from_secs(3600));
        self.world.engine.user_unlock(self.bob.account(), self.bob.user(), &host()).await.unwrap();
        let start = self.world.now();
        for is_decoy in [false, true] {
            self.world.clock.set(start);
            self.store.take();
            let challenge = if is_decoy { self.decoy().await } else { begin(&self.engine, &self.bob).await };
            let mut lines = vec![format!("begun{}", self.store.take())];
            for act in acts {
                let ran = self.world.clock.jobs_run();
                let word = self.perform(act, &challenge).await;
                let (calls, hashes) = (self.store.take(), self.world.clock.jobs_run() - ran);
                let calls = format!("{calls} {hashes} hashes");
                let status = self.engine.status(&mfa_tests::acme(), challenge.id).await.unwrap().unwrap();
                self.store.take();
                lines.push(format!("{act:?}: {word}{calls}; {}", stands(&status, start)));
            }
            told.push(lines);
        }
        let (real, decoy) = (&told[0], &told[1]);
        for (real, decoy) in real.iter().zip(decoy) {
            assert_eq!(real, decoy);
        }
        told.swap_remove(1)
    }

    async fn perform(&self, act: &Act, challenge: &Challenge) -> String {
        let reference = &challenge.reference;
        let answer = |answer: Response| self.engine.verify(reference, answer);
        let verified = match act {
            Act::Wrong => answer(Response::code(&wrong_code(&self.app, self.world.now()))).await,
            Act::Code(code) => answer(Response::code(code)).await,
            Act::Recovery(code) => answer(Response::answer(Answer::recovery(code))).await,
            Act::RecoveryWhenFull(code) => {
                self.world.clock.refuse_jobs(1);
                answer(Response::answer(Answer::recovery(code))).await
            }
            Act::RecoveryThatIsLost(code) => {
                self.world.clock.lose_jobs(1);
                answer(Response::answer(Answer::recovery(code))).await
            }
            Act::WrongBy(method) => {
                let wrong = Response::code(&wrong_code(&self.app, self.world.now()));
                answer(wrong.with_method(method.parse().unwrap())).await
            }
            Act::Poll => answer(Response::poll()).await,
            Act::Start => answer(Response::start(Choice::none())).await,
            Act::Claim => self.engine.claim(reference).await,
            Act::Cancel => return changed(self.engine.cancel(reference).await.unwrap()),
            Act::Switch(method) => {
                return changed(self.engine.switch(reference, &method.parse().unwrap()).await.unwrap());
            }
            Act::SwitchToItself => {
                let itself = MethodSelector::Enrolment(challenge.method.id);
                return changed(self.engine.switch(reference, &itself).await.unwrap());
            }
            Act::SwitchToAnother => {
                let another = MethodSelector::Enrolment(EnrolmentId::from_bytes([7; 16]));
                return changed(self.engine.switch(reference, &another).await.unwrap());
            }
            Act::Wait(seconds) => {
                self.world.clock.advance(Duration::from_secs(*seconds));
                return String::new();
            }
        };
        match verified {
            Ok(Verify::Rejected(rejected)) => refused(&rejected),
            Ok(Verify::Pending(pending)) => format!("pending {}", pending.prompt),
            Err(error) => format!("error {} {error}", error.code()),
            other => panic!("{other:?}"),
        }
    }
}

/// What somebody does with a challenge.
#[derive(Debug)]
enum Act {
    Wrong,
    Code(&'static str),
    Recovery(String),
    RecoveryWhenFull(String),
    RecoveryThatIsLost(String),
    WrongBy(&'static str),
    Poll,
    Start,
    Claim,
    Cancel,
    Switch(&'static str),
    SwitchToItself,
    SwitchToAnother,
    Wait(u64),
}

fn refused(rejected: &Rejected) -> String {
    let Rejected { reason, attempts_left, retry_after, .. } = rejected;
    format!("{reason} {attempts_left} {retry_after:?} {:?}", rejected.public())
}

fn changed(changed: Changed) -> String {
    match changed {
        Changed::Done(prompt) => format!("done {prompt}"),
        Changed::Rejected(rejected) => refused(&rejected),
        other => panic!("{other:?}"),
    }
}

fn stands(status: &ChallengeStatus, start: Timestamp) -> String {
    let since = |at: Timestamp| at.since(start).as_secs();
    let ChallengeStatus { status: at, kind, created_at, updated_at, expires_at, .. } = status;
    let times = [created_at, updated_at, expires_at].map(|at| since(*at));
    format!("{at} {kind} {times:?} {} {}", status.send_attempts, status.verify_attempts)
}

/// What a page can show of a challenge, but for what is random in every one.
fn shape(challenge: &Challenge) -> String {
    let method = |method: &Method| {
        let Method { provider, preferred, is_recovery, uses_left, stopped, .. } = method;
        format!("{provider} {preferred} {is_recovery} {uses_left:?} {stopped}")
    };
    let methods: Vec<_> = challenge.methods.iter().map(method).collect();
    let life = challenge.expires_at.since(challenge.created_at);
    let is_offered = challenge.methods.contains(&challenge.method);
    let Challenge { status, prompt, created_at, .. } = challenge;
    format!("{status} {} {methods:?} {is_offered} {prompt} {created_at} {life:?}", method(&challenge.method))
}

on_stores! {
    async fn s11_a_decoy_has_the_shape_of_a_challenge(world) {
        let stage = Stage::new(world).await;
        let (real, decoy) = (begin(&stage.engine, &stage.bob).await, stage.decoy().await);
        assert_eq!(shape(&real), shape(&decoy));
        // A method is the same at each login, and is older than the login.
        for again in [begin(&stage.engine, &stage.bob).await, stage.decoy().await] {
            let before = if again.method.id == real.method.id { &real } else { &decoy };
            assert_eq!(again.method, before.method);
            assert_ne!(again.id, before.id);
            assert!(again.method.created_at < again.created_at);
        }
        let other = stage.engine.begin_decoy(login(&subject("ann"))).await.unwrap();
        assert_ne!(other.method.id, decoy.method.id);
        // Ids are of one form, and references of one length in the name of the same user.
        for challenge in [&real, &decoy] {
            for id in [challenge.id.to_string(), challenge.method.id.to_string()] {
                assert_eq!(id.as_bytes()[14], b'4', "{id}");
                assert!(b"89ab".contains(&id.as_bytes()[19]), "{id}");
            }
        }
        let in_bobs_name = stage.engine.begin_decoy(login(&stage.bob)).await.unwrap();
        let length = |challenge: &Challenge| challenge.reference.expose_secret().len();
        assert_eq!(length(&in_bobs_name), length(&real));
        assert_eq!(length(&decoy), length(&real), "eve is as long a name as bob");
    }

    async fn s11_wrong_answers_to_a_decoy_run_out_as_to_a_challenge(world) {
        let stage = Stage::new(world).await;
        let told = stage.alike(&[const { Act::Wrong }; 8]).await;
        assert!(told[1].contains("wrong_code 4"), "{}", told[1]);
        assert!(told[5].contains("wrong_code 0"), "{}", told[5]);
        assert!(told[6].contains("exhausted 0"), "{}", told[6]);
        assert!(told[5].contains("failed totp"), "{}", told[5]);
    }

    async fn s11_malformed_answers_to_a_decoy_run_out_as_to_a_challenge(world) {
        let stage = Stage::new(world).await;
        let malformed = ["12345", "1234567", "12345a", "", "half past nine"];
        let acts: Vec<_> = malformed.iter().cycle().take(22).map(|code| Act::Code(code)).collect();
        let told = stage.alike(&acts).await;
        assert!(told[19].contains("malformed 5") && told[19].contains("sent totp"), "{}", told[19]);
        assert!(told[20].contains("malformed 5") && told[20].contains("failed totp"), "{}", told[20]);
        assert!(told[21].contains("exhausted 5"), "{}", told[21]);
        // Malformed ones count apart, and take no attempt.
        let mixed = [Act::Code("123"), Act::Wrong, Act::Code("123"), Act::Wrong, Act::Wrong];
        stage.alike(&mixed).await;
    }

    async fn s11_a_decoy_expires_and_is_cancelled_as_a_challenge(world) {
        let stage = Stage::new(world).await;
        let told = stage.alike(&[Act::Wait(299), Act::Wrong, Act::Wait(1), Act::Wrong, Act::Wrong]).await;
        assert!(told[2].contains("wrong_code"), "{}", told[2]);
        assert!(told[4].contains("expired") && told[4].contains("expired totp"), "{}", told[4]);
        stage.alike(&[Act::Wait(300), Act::Poll, Act::Claim, Act::Cancel]).await;
        let told = stage.alike(&[Act::Wrong, Act::Cancel, Act::Wrong, Act::Wrong, Act::Cancel]).await;
        assert!(told[2].contains("done") && told[3].contains("cancelled 4"), "{told:?}");
        stage.alike(&[Act::Cancel, Act::Switch("totp"), Act::Claim, Act::Wait(400), Act::Wrong]).await;
    }

    async fn s11_polls_claims_and_switches_of_a_decoy_are_answered_as_of_a_challenge(world) {
        let stage = Stage::new(world).await;
        let told = stage
            .alike(&[
                Act::Poll,
                Act::Start,
                Act::Claim,
                Act::Switch("totp"),
                Act::SwitchToItself,
                Act::SwitchToAnother,
                Act::Switch("email"),
                Act::WrongBy("totp"),
                Act::WrongBy("email"),
                Act::Recovery("AAAA-BBBB".to_owned()),
                Act::Poll,
            ])
            .await;
        assert!(told[4].contains("done {"), "{}", told[4]);
        assert!(told[7].contains("method_not_offered 5"), "{}", told[7]);
        assert!(told[8].contains("wrong_code 4"), "{}", told[8]);
        assert!(told[10].contains("wrong_code 3"), "{}", told[10]);
    }

    async fn s11_a_decoy_shows_a_way_back_where_users_have_one(world) {
        let (stage, codes) = Stage::with_recovery(world, json!({})).await;
        let (real, decoy) = (begin(&stage.engine, &stage.bob).await, stage.decoy().await);
        assert_eq!(shape(&real), shape(&decoy));
        assert!(decoy.methods[1].is_recovery && decoy.methods.len() == 2, "{decoy:?}");
        let again = stage.decoy().await;
        assert_eq!(again.methods, decoy.methods);
        // A login that asks for it first is asked for it.
        let wanted = |whom: &Subject| login(whom).with_method("recovery".parse().unwrap());
        let Begin::Challenge(real) = stage.engine.begin(wanted(&stage.bob)).await.unwrap() else { panic!() };
        let decoy = stage.engine.begin_decoy(wanted(&subject("eve"))).await.unwrap();
        assert_eq!(shape(&real), shape(&decoy));
        assert!(decoy.method.is_recovery);
        let wrong = guess(&codes[0], 0);
        let acts = [Act::Switch("recovery"), Act::Poll, Act::Recovery(wrong), Act::Wrong, Act::Poll];
        let told = stage.alike(&acts).await;
        assert!(told[1].contains("done {") && told[1].contains("sent recovery"), "{}", told[1]);
        assert!(told[4].contains("wrong_code 3") && told[4].contains("sent totp"), "{}", told[4]);
        // Where the policy gives a key, or nothing, so does a decoy.
        for (form, methods) in [("key", 2), ("none", 1)] {
            let policy = Policy::recommended().with_document(&json!({ "recovery": form })).unwrap();
            let clock = Arc::new(stage.world.clock.clone());
            let node = recovery_node_on(&stage.world, Arc::clone(&stage.store) as _, clock);
            let node = node.policy(policy).build().await.unwrap();
            let decoy = node.begin_decoy(wanted(&subject("eve"))).await.unwrap();
            assert_eq!(decoy.methods.len(), methods);
            assert_eq!(decoy.prompt["form"] == form, methods == 2, "{}", decoy.prompt);
        }
    }

    async fn s26_a_recovery_answer_to_a_decoy_costs_one_charged_hash_as_to_a_challenge(world) {
        let (stage, codes) = Stage::with_recovery(world, json!({})).await;
        let wrong = |n| guess(&codes[0], n);
        let acts = [Act::Recovery(wrong(1)), Act::Recovery(foreign(&codes)), Act::Wrong, Act::Recovery(wrong(2))];
        let told = stage.alike(&acts).await;
        for (at, left) in [(1, 4), (2, 3), (4, 1)] {
            assert!(told[at].contains(&format!("wrong_code {left}")), "{}", told[at]);
            let cost = " get 3 commit 2 and some events commit 1 and some events 1 hashes; sent recovery";
            assert!(told[at].contains(cost), "{}", told[at]);
        }
        assert!(told[3].contains(" 0 hashes; sent totp"), "{}", told[3]);
        // The codes of one set, and of nobody's: a decoy refuses those of the user as it does any.
        let told = stage.alike(&(0..6).map(|n| Act::Recovery(wrong(n))).collect::<Vec<_>>()).await;
        assert!(told[5].contains("wrong_code 0") && told[5].contains("failed recovery"), "{}", told[5]);
        assert!(told[6].contains("exhausted 0") && told[6].contains(" 0 hashes"), "{}", told[6]);
        let decoy = stage.decoy().await;
        for code in &codes[..5] {
            let told = stage.perform(&Act::Recovery(code.clone()), &decoy).await;
            assert!(told.starts_with("wrong_code"), "{told}");
        }
        // A typing error is no guess.
        let typed = [Act::Recovery(wrong(0).replace('-', "")), Act::Recovery("AAAA-BBBB".to_owned())];
        let told = stage.alike(&typed).await;
        assert!(told[2].contains("malformed 4") && told[2].contains(" 0 hashes"), "{}", told[2]);
    }

    async fn s22_a_full_pool_and_a_lost_hash_are_told_of_a_decoy_as_of_a_challenge(world) {
        let (stage, codes) = Stage::with_recovery(world, json!({})).await;
        let wrong = |n| guess(&codes[0], n);
        let acts = [
            Act::RecoveryWhenFull(wrong(0)),
            Act::Recovery(wrong(0)),
            Act::RecoveryThatIsLost(wrong(1)),
            // The lost one may still come; then it is given up.
            Act::Recovery(wrong(2)),
            Act::Wait(31),
            Act::Recovery(wrong(2)),
        ];
        let told = stage.alike(&acts).await;
        assert!(told[1].contains("error busy") && told[1].contains(" 0 hashes"), "{}", told[1]);
        assert!(told[2].contains("wrong_code 4"), "the charge came back: {}", told[2]);
        assert!(told[3].contains("error unavailable"), "{}", told[3]);
        assert!(told[4].contains("pending"), "{}", told[4]);
        assert!(told[6].contains("wrong_code 2"), "the lost one stays charged: {}", told[6]);
    }

    async fn s11_a_decoy_is_locked_within_its_life_as_a_challenge_is(world) {
        let (stage, codes) = Stage::with_recovery(world, json!({"attempts": 10, "failures_per_day": 7})).await;
        let wrong = |n| Act::Recovery(guess(&codes[0], n));
        // After the fifth in a row a second, then two; the other method has a count of its own.
        let acts = [
            Act::Wrong, Act::Wrong, Act::Wrong, Act::Wrong, Act::Wrong,
            Act::Wrong, Act::Code("12"), Act::Poll, wrong(0),
            Act::Wait(1), Act::Wrong, Act::Wrong, Act::Wait(2), Act::Wrong, Act::Wait(3), Act::Wrong, wrong(1), wrong(2),
        ];
        let told = stage.alike(&acts).await;
        assert!(told[5].contains("wrong_code 5 None"), "{}", told[5]);
        assert!(told[6].contains("locked 5 Some(1s)") && told[7].contains("locked"), "{told:?}");
        assert!(told[9].contains("wrong_code 4") && told[9].contains("1 hashes"), "{}", told[9]);
        assert!(told[11].contains("wrong_code 3") && told[12].contains("locked 3 Some(2s)"), "{told:?}");
        assert!(told[14].contains("wrong_code 2"), "{}", told[14]);
        // Seven a day: hours to wait.
        let Some(hours) = told[16].split("Some(").nth(1).and_then(|rest| rest.split('s').next()) else { panic!() };
        assert!(told[16].contains("locked 2") && hours.parse::<u64>().unwrap() > 3600, "{}", told[16]);
        assert!(told[17].contains("wrong_code 1") && told[18].contains("wrong_code 0"), "{told:?}");
    }

    async fn s11_a_decoy_lets_nobody_in_whatever_its_provider_says(world) {
        let provider = scripted(Vec::new());
        provider.on(On::AnyAnswer, Say::Accept);
        provider.on(On::Poll, Say::Accept);
        provider.on(On::Start, Say::Accept);
        let engine = world.node().provider(provider.clone()).build().await.unwrap();
        let decoy = engine.begin_decoy(login(&subject("eve"))).await.unwrap();
        assert_eq!(decoy.method.provider.as_str(), "scripted");
        for _ in 0..5 {
            drop(provider.take_saw());
            let refused = engine.verify(&decoy.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
            assert!(matches!(refused, Verify::Rejected(Rejected { reason: Reason::WrongCode, .. })));
            // The provider judges it once, as it judges others.
            assert_eq!(provider.take_saw().len(), 1);
            assert!(matches!(engine.claim(&decoy.reference).await.unwrap(), Verify::Pending(_) | Verify::Rejected(_)));
        }
        let other = engine.begin_decoy(login(&subject("eve"))).await.unwrap();
        for act in [Response::poll(), Response::start(Choice::none())] {
            let told = engine.verify(&other.reference, act).await;
            assert!(matches!(told, Ok(Verify::Pending(_)) | Err(_)), "{told:?}");
        }
        assert!(matches!(engine.claim(&other.reference).await.unwrap(), Verify::Pending(_)));
        assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
    }

    async fn s11_a_decoy_is_let_in_by_no_provider_that_proves_nothing(world) {
        let provider = scripted(Vec::new());
        let engine = world.node().provider(provider.clone()).danger_fail_open(5).danger_accept_provider_bypass();
        let engine = engine.build().await.unwrap();
        for why in [Unproven::Bypass, Unproven::Unreachable] {
            for on in [On::AnyAnswer, On::Poll, On::Start] {
                provider.on(on, Say::Unproven(why));
            }
            let decoy = engine.begin_decoy(login(&subject("eve"))).await.unwrap();
            for act in [Response::poll(), Response::start(Choice::none()), Response::code("123456")] {
                let told = engine.verify(&decoy.reference, act).await.unwrap();
                assert!(matches!(told, Verify::Pending(_) | Verify::Rejected(_)), "{why:?}: {told:?}");
            }
        }
        assert!(world.events_of(Kind::LoginNotRequired).await.is_empty());
    }

    async fn s11_a_decoy_in_a_users_name_touches_nothing_of_the_user(world) {
        let stage = Stage::new(world).await;
        let (world, engine) = (&stage.world, &stage.engine);
        let open = begin(engine, &stage.bob).await;
        let kept = async || {
            let mut kept = Vec::new();
            for kind in ["login", "vault", "open"] {
                kept.push(user_record(world, &stage.bob, kind).await);
            }
            kept
        };
        let before = kept().await;
        for _ in 0..8 {
            let decoy = engine.begin_decoy(login(&stage.bob)).await.unwrap();
            // Bob's own code of now, were it one.
            let right = stage.app.code_at(world.now());
            for code in [&*right, "000000", "1", &right, "111111", "222222", "333333", "444444"] {
                let told = engine.verify(&decoy.reference, Response::code(code)).await.unwrap();
                assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
            }
            let decoy = engine.begin_decoy(login(&stage.bob)).await.unwrap();
            assert!(matches!(engine.cancel(&decoy.reference).await.unwrap(), Changed::Done(_)));
        }
        assert_eq!(kept().await, before);
        assert_eq!(failures_today(world, &stage.bob).await, 0);
        // Nor is the code spent, nor the challenge that was open.
        let code = Response::code(&stage.app.code_at(world.now()));
        assert!(matches!(engine.verify(&open.reference, code).await.unwrap(), Verify::Verified(_)));
    }

    async fn s11_nothing_typed_into_a_decoy_is_in_the_log(world) {
        let typed = "hunter2-typed-as-a-name";
        let nobody = subject(typed);
        let decoy = world.engine.begin_decoy(login(&nobody)).await.unwrap();
        for code in ["918273", "918273", "hunter2-as-a-code"] {
            let _ = world.answer(&decoy, code).await;
        }
        assert!(matches!(world.engine.cancel(&decoy.reference).await.unwrap(), Changed::Done(_)));
        let events = world.events().await;
        let count = |kind| events.iter().filter(|event| event.kind() == kind).count();
        assert_eq!((count(Kind::DecoyBegun), count(Kind::DecoyAnswered)), (1, 4), "{events:?}");
        for event in &events {
            assert_eq!(event.user(), None);
            let stored = event.to_stored().unwrap();
            let bytes = [&stored.core[..], stored.personal.as_deref().unwrap_or_default()].concat();
            let shown = format!("{event:?} {}", String::from_utf8_lossy(&bytes));
            for secret in ["hunter2", "918273", &session(&nobody), decoy.reference.expose_secret()] {
                assert!(!shown.contains(secret), "{shown}");
            }
        }
    }

    async fn s11_a_repeated_login_finds_no_decoy(world) {
        // The host vouches for the first factor there: whoever could repeat a decoy's login would be a user.
        let stage = Stage::new(world).await;
        let current = |whom: &Subject| Target::Current(Box::new(login(whom)));
        let nobody = subject("eve");
        stage.decoy().await;
        let told = stage.engine.verify(current(&nobody), Response::code("000000")).await.unwrap();
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::NotFound, .. })), "{told:?}");
        // A decoy in a user's name does not stand before the user's own challenge.
        begin(&stage.engine, &stage.bob).await;
        stage.engine.begin_decoy(login(&stage.bob)).await.unwrap();
        let right = Response::code(&stage.app.code_at(stage.world.now()));
        let told = stage.engine.verify(current(&stage.bob), right).await.unwrap();
        assert!(matches!(told, Verify::Verified(_)), "{told:?}");
    }

    async fn s11_decoys_leave_nothing_behind(world) {
        let count = async || {
            let mut count = 0;
            for kind in ["open", "challenge"] {
                let found = world.store.scan(RecordKind::new(kind), None, 1000, world.now()).await;
                count += found.unwrap().len();
            }
            count
        };
        for name in ["eve", "ann", "eve"] {
            let decoy = world.engine.begin_decoy(login(&subject(name))).await.unwrap();
            let _ = world.answer(&decoy, "000000").await;
        }
        assert!(count().await > 0);
        world.clock.advance(Duration::from_secs(300 + 24 * 3600));
        assert_eq!(count().await, 0);
        // A name that decoys were shown for becomes a user's like any other.
        let (eve, app) = world.enrol("eve").await;
        let challenge = world.begin(&eve).await;
        assert!(matches!(world.answer(&challenge, &app.code_at(world.now())).await, Verify::Verified(_)));
        world.clock.advance(STEP);
        assert!(matches!(world.engine.begin(login(&subject("ann"))).await.unwrap(), Begin::NotRequired(_)));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn s11_no_answer_to_a_decoy_is_right(
        name in "[a-z]{1,12}",
        answers in proptest::collection::vec(prop_oneof!["[0-9]{6}", "[0-9 -]{0,12}", ".{0,40}"], 1..30),
    ) {
        block_on(async {
            let world = World::memory().await;
            let decoy = world.engine.begin_decoy(login(&subject(&name))).await.unwrap();
            let mut left = 5;
            for answer in answers {
                let told = world.engine.verify(&decoy.reference, Response::code(&answer)).await.unwrap();
                let Verify::Rejected(rejected) = told else { panic!("{told:?}") };
                assert!(rejected.attempts_left <= left && left - rejected.attempts_left <= 1);
                left = rejected.attempts_left;
            }
            assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
        });
    }
}
