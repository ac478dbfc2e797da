//! Every call of the facade, dropped after each of its polls: a caller that goes away, or a process that dies.
//!
//! A trial starts from a copy of one setting, with randomness that is the same each time, so what a trial leaves
//! behind, records and events bit by bit, is one of the states that an undisturbed call goes through: as many
//! as it has commits, and the one before. So no counter falls and no event speaks of what did not happen.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use mfa::audit::Event;
use mfa::sqlite::SqliteStore;
use mfa::{
    Begin, Challenge, Choice, Engine, EnrolConfirm, MemoryStore, MethodSelector, Record, Reference, Response,
    RunError, Runtime, SecretBytes, SlowJob, Store, Subject, Target, Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll, yield_once};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::attack::dump;
use mfa_tests::doubles::{SLOW_CODE, SlowHash, enrol_in};
use mfa_tests::forks::copy_into;
use mfa_tests::probe::failures_today;
use mfa_tests::told::{streams_are_whole, words, words_of_change, wrong_code};
use mfa_tests::{TestStore, World, acme, host, login, ring, totp};
use tempfile::TempDir;

/// A call, what it answers in the end, and how many commits it makes.
#[rustfmt::skip]
const ACTS: [(Act, &str, usize); 20] = [
    (Act::Begin, "challenge", 1),      (Act::Right, "granted", 1),       (Act::Wrong, "wrong_code 4", 1),
    (Act::Malformed, "malformed 5", 1), (Act::Repeated, "granted", 1),   (Act::SlowRight, "granted", 2),
    (Act::SlowWrong, "wrong_code 4", 2), (Act::Poll, "pending", 1),      (Act::Claim, "granted", 1),
    (Act::Switch, "done", 1),          (Act::Cancel, "done", 1),         (Act::EnrolBegin, "begun", 1),
    (Act::EnrolConfirm, "confirmed", 1), (Act::Prefer, "done", 1),       (Act::Remove, "done", 1),
    (Act::Revoke, "done", 1),          (Act::Forget, "done", 1),         (Act::Status, "sent", 0),
    (Act::Explain, "challenge", 0),    (Act::Methods, "3", 0),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Begin,
    Right,
    Wrong,
    Malformed,
    /// The right code with the login repeated whole, instead of a reference.
    Repeated,
    SlowRight,
    SlowWrong,
    Poll,
    Claim,
    Switch,
    Cancel,
    EnrolBegin,
    EnrolConfirm,
    Prefer,
    Remove,
    Revoke,
    Forget,
    Status,
    Explain,
    Methods,
}

#[test]
fn s22_a_call_dropped_at_any_poll_has_happened_or_not_in_memory() {
    block_on(async {
        let setting = Setting::new().await;
        for (act, answer, commits) in ACTS {
            let store = async || (copy_into(MemoryStore::new(), &*setting.store, setting.now).await, None);
            setting.drop_everywhere(act, answer, commits, store).await;
        }
    });
}

#[test]
fn s22_a_call_dropped_at_any_poll_has_happened_or_not_on_sqlite() {
    block_on(async {
        let setting = Setting::new().await;
        let template = tempfile::tempdir().expect("a folder");
        let template = template.path().join("mfa.db");
        drop(copy_into(SqliteStore::open(&template).expect("a store"), &*setting.store, setting.now).await);
        let store = async || {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("mfa.db");
            std::fs::copy(&template, &file).expect("a copy");
            (SqliteStore::open(file).expect("a store"), Some(folder))
        };
        let costly =
            [Act::Begin, Act::Right, Act::Wrong, Act::SlowRight, Act::Claim, Act::EnrolConfirm, Act::Forget];
        for (act, answer, commits) in ACTS.into_iter().filter(|(act, ..)| costly.contains(act)) {
            setting.drop_everywhere(act, answer, commits, store).await;
        }
    });
}

/// A user with an authenticator app, a method that is confirmed elsewhere and one with a slow hash, with a
/// challenge of each, and an enrolment that waits for its confirmation.
struct Setting {
    store: Arc<dyn TestStore>,
    now: Timestamp,
    bob: Subject,
    app: SoftAuthenticator,
    open: Challenge,
    waiting: Challenge,
    done: Challenge,
    slow: Challenge,
    pending: Reference,
    new_app: SoftAuthenticator,
}

impl Setting {
    async fn new() -> Self {
        let world = World::memory().await;
        let (bob, app) = world.enrol("bob").await;
        let engine = providers(world.node()).build().await.expect("an engine");
        enrol_in(&engine, &bob, "elsewhere", "123456").await;
        enrol_in(&engine, &bob, "slow", SLOW_CODE).await;
        let begin = async |method: &str| match engine.begin(login(&bob).with_method(named(method))).await {
            Ok(Begin::Challenge(challenge)) => challenge,
            other => panic!("{other:?}"),
        };
        let (waiting, done, slow) = (begin("elsewhere").await, begin("elsewhere").await, begin("slow").await);
        assert!(matches!(engine.verify(&done.reference, Response::poll()).await, Ok(Verify::Pending(_))));
        let (account, user) = (bob.account(), bob.user());
        let begun =
            engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.expect("a begin");
        let new_app = SoftAuthenticator::scan(begun.revealed.get("uri").expect("a uri").expose_secret());
        let (now, store, open) = (world.now(), world.store.clone(), begin("totp").await);
        let new_app = new_app.expect("an app");
        Self { store, now, bob, app, open, waiting, done, slow, pending: begun.reference, new_app }
    }

    /// Drops `act` after its first poll, its second and so on until it is done, each time on a new store.
    async fn drop_everywhere<S: TestStore>(
        &self,
        act: Act,
        answer: &str,
        commits: usize,
        store: impl AsyncFn() -> (S, Option<TempDir>),
    ) {
        let mut states: Vec<(Vec<Record>, Vec<Event>)> = Vec::new();
        for polls in 0.. {
            let (store, folder) = store().await;
            let trial = Trial::new(self, store, folder).await;
            let answered = drop_at_poll(trial.perform(act), polls);
            // Whatever was handed to the store is finished before a call that comes after it.
            trial.world.store.purge(Timestamp::MIN, 1).await.expect("a purge");
            let left = dump(&trial.world).await;
            streams_are_whole(&left.1);
            let state = states.iter().position(|state| *state == left).unwrap_or(states.len());
            assert!(polls > 0 || state == 0);
            assert!(state <= commits, "{act:?} leaves another state after poll {polls}");
            if state == states.len() {
                states.push(left);
            }
            trial.later(act, state).await;
            if let Some(answered) = answered {
                assert_eq!((answered.as_str(), state), (answer, commits), "{act:?}");
                assert!(polls > 2, "{act:?} was nowhere to be dropped");
                break;
            }
        }
        assert_eq!(states.len(), commits + 1, "{act:?} has a state that no drop leaves");
    }
}

/// One copy of the setting.
struct Trial<'a> {
    setting: &'a Setting,
    world: World,
    engine: Engine,
}

impl<'a> Trial<'a> {
    async fn new<S: TestStore>(setting: &'a Setting, store: S, folder: Option<TempDir>) -> Self {
        let world = World::on(Arc::new(YieldingStore::new(store)), folder).await;
        world.clock.set(setting.now);
        let store: Arc<dyn Store> = world.store.clone();
        let runtime = Arc::new(Pausing(world.clock.clone()));
        let engine = Engine::builder(store, world.directory.clone(), ring(), runtime)
            .entropy(Arc::new(SeededEntropy::new(1 << 60)))
            .provider(mfa::totp::Totp::new("Example").expect("an issuer"))
            .danger_test_doubles();
        Self { setting, world, engine: providers(engine).build().await.expect("an engine") }
    }

    async fn perform(&self, act: Act) -> String {
        let Setting { bob, open, .. } = self.setting;
        let (engine, account, user, host) = (&self.engine, bob.account(), bob.user(), host());
        let done =
            |done: Result<_, mfa::Error>| done.map_or_else(|error| error.to_string(), |()| "done".to_owned());
        match act {
            Act::Begin => match engine.begin(login(bob)).await {
                Ok(Begin::Challenge(_)) => "challenge".to_owned(),
                other => format!("{other:?}"),
            },
            Act::Right => self.answer(open, &self.code()).await,
            Act::Wrong => self.answer(open, &self.wrong()).await,
            Act::Malformed => self.answer(open, "12345").await,
            Act::Repeated => {
                let target = Target::Current(Box::new(login(bob)));
                words(&engine.verify(target, Response::code(&self.code())).await)
            }
            Act::SlowRight => self.answer(&self.setting.slow, SLOW_CODE).await,
            Act::SlowWrong => self.answer(&self.setting.slow, "000000").await,
            Act::Poll => words(&engine.verify(&self.setting.waiting.reference, Response::poll()).await),
            Act::Claim => self.claim(&self.setting.done).await,
            Act::Switch => words_of_change(&engine.switch(&open.reference, &named("elsewhere")).await),
            Act::Cancel => words_of_change(&engine.cancel(&open.reference).await),
            Act::EnrolBegin => match engine.enrol_begin(account, user, &totp(), &Choice::none(), &host).await
            {
                Ok(_) => "begun".to_owned(),
                Err(error) => error.to_string(),
            },
            Act::EnrolConfirm => {
                let code = Response::code(&self.setting.new_app.code_at(self.setting.now));
                match engine.enrol_confirm(&self.setting.pending, &code).await {
                    Ok(EnrolConfirm::Confirmed(_)) => "confirmed".to_owned(),
                    Ok(EnrolConfirm::Rejected(rejected)) => rejected.reason.to_string(),
                    other => format!("{other:?}"),
                }
            }
            Act::Prefer => done(engine.method_prefer(account, user, &named("slow"), &host).await.map(drop)),
            Act::Remove => done(engine.method_remove(account, user, &named("slow"), &host).await.map(drop)),
            Act::Revoke => done(engine.revoke(account, user, &host).await),
            Act::Forget => done(engine.forget_user(account, user, &host).await),
            Act::Status => {
                let status = engine.status(&acme(), open.id).await.expect("a status");
                status.expect("a challenge").status.to_string()
            }
            Act::Explain => match engine.explain(&login(bob)).await.expect("an explanation").outcome {
                mfa::ExplainedOutcome::Challenge(_) => "challenge".to_owned(),
                other => format!("{other:?}"),
            },
            Act::Methods => engine.methods(account, user).await.expect("a list").len().to_string(),
        }
    }

    /// Sees that the calls that come afterwards find what the state says: nothing is accepted twice, no charge
    /// is forgotten, and the engine goes on.
    async fn later(&self, act: Act, state: usize) {
        let Setting { bob, open, slow, .. } = self.setting;
        let failures = match act {
            Act::Wrong | Act::SlowWrong => state.min(1),
            Act::SlowRight => usize::from(state == 1),
            _ => 0,
        };
        let forgotten = act == Act::Forget && state == 1;
        if !forgotten {
            let counted = failures_today(&self.world, bob).await;
            assert_eq!(counted, failures as u64, "{act:?} {state}");
        }
        let mut used = matches!(act, Act::Right | Act::Repeated) && state == 1;
        let again = match (act, state) {
            (Act::Right | Act::Repeated, _) => {
                let told = self.answer(open, &self.code()).await;
                assert_eq!(told, if used { "already_used 5" } else { "granted" }, "{act:?}");
                used = true;
                "already_used 5"
            }
            (Act::Wrong, 0) => "wrong_code 4",
            (Act::Wrong, _) => "wrong_code 3",
            (Act::Malformed, _) => {
                let mut malformed = 0;
                while self.answer(open, "12345").await.starts_with("malformed") {
                    malformed += 1;
                }
                assert_eq!(malformed, 20 - state);
                "exhausted 5"
            }
            (Act::Cancel | Act::Revoke | Act::Remove, 0) => {
                assert_eq!(self.perform(act).await, "done");
                if act == Act::Cancel { "cancelled 5" } else { "superseded 5" }
            }
            (Act::Cancel, _) => "cancelled 5",
            (Act::Revoke | Act::Remove, _) => "superseded 5",
            (Act::Switch, 1) => "wrong_code 4",
            (Act::Forget, 1) => "not_found 0",
            _ => "wrong_code 4",
        };
        match act {
            Act::Poll | Act::Claim => {
                let challenge = if act == Act::Poll { &self.setting.waiting } else { &self.setting.done };
                let told = [self.claim(challenge).await, self.claim(challenge).await];
                let should = match (act, state) {
                    (Act::Poll, 0) => ["pending", "pending"],
                    (Act::Claim, 1) => ["already_used 5"; 2],
                    _ => ["granted", "already_used 5"],
                };
                assert_eq!(told, should, "{act:?} {state}");
            }
            Act::SlowRight | Act::SlowWrong => self.later_slow(act, state, slow).await,
            Act::EnrolConfirm => {
                let should = if state == 0 { "confirmed" } else { "already_verified" };
                assert_eq!(self.perform(act).await, should);
            }
            _ => {}
        }
        if !matches!(act, Act::SlowRight | Act::SlowWrong) {
            assert_eq!(self.answer(open, &self.wrong()).await, again, "{act:?} {state}");
        }
        match self.engine.begin(login(bob).with_method(named("totp"))).await {
            // After a confirmation there are two apps, and the older one is asked for.
            Ok(Begin::Challenge(next)) => {
                let should = if used { "replayed 4" } else { "granted" };
                assert_eq!(self.answer(&next, &self.code()).await, should, "{act:?} {state}");
                assert_eq!(
                    self.answer(&next, &self.code()).await,
                    if used { "replayed 3" } else { "already_used 5" }
                );
            }
            other => assert!(forgotten && matches!(other, Ok(Begin::NotRequired(_))), "{act:?} {other:?}"),
        }
        streams_are_whole(&self.world.events().await);
    }

    /// A slow hash that was charged and whose result never came stays charged, and is not judged a second time
    /// while it may still be running.
    async fn later_slow(&self, act: Act, state: usize, slow: &Challenge) {
        if state == 1 {
            assert_eq!(self.answer(slow, SLOW_CODE).await, "pending");
            self.world.clock.advance(Duration::from_secs(30));
            assert_eq!(self.answer(slow, "000000").await, "wrong_code 3");
            assert_eq!(failures_today(&self.world, &self.setting.bob).await, 2);
        }
        let told = self.answer(slow, SLOW_CODE).await;
        let should = if act == Act::SlowRight && state == 2 { "already_used" } else { "granted" };
        assert_eq!(told.split(' ').next(), Some(should), "{act:?} {state}");
    }

    async fn answer(&self, challenge: &Challenge, code: &str) -> String {
        words(&self.engine.verify(&challenge.reference, Response::code(code)).await)
    }

    async fn claim(&self, challenge: &Challenge) -> String {
        words(&self.engine.claim(&challenge.reference).await)
    }

    fn code(&self) -> String {
        self.setting.app.code_at(self.world.now())
    }

    fn wrong(&self) -> String {
        wrong_code(&self.setting.app, self.world.now())
    }
}

fn named(provider: &str) -> MethodSelector {
    provider.parse().expect("a name")
}

fn providers(builder: mfa::EngineBuilder) -> mfa::EngineBuilder {
    let name = mfa::ProviderName::parse("elsewhere").expect("a name");
    let elsewhere = ScriptedProvider::new("elsewhere").described_as(mfa::Descriptor::one_time_code(name, 20));
    elsewhere.on(On::Answer("123456".to_owned()), Say::Accept);
    elsewhere.on(On::Poll, Say::Accept);
    builder.provider(elsewhere).provider(SlowHash::new())
}

/// A virtual runtime whose slow jobs are pending before and after they run.
#[derive(Debug)]
struct Pausing(VirtualRuntime);

#[async_trait]
impl Runtime for Pausing {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        yield_once().await;
        let result = self.0.run(job).await;
        yield_once().await;
        result
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
