//! The calls around recovery, dropped after each of their polls: a caller that goes away, or a process that dies.
//!
//! As in `drop_poll`, what a trial leaves behind, records and events bit by bit, is one of the states that an
//! undisturbed call goes through. So no counter falls, nothing is accepted twice, and no set is half there.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Event;
use futures::executor::block_on;
use mfa::sqlite::SqliteStore;
use mfa::{
    Authority, Challenge, Choice, Commit, Engine, EnrolConfirm, EnrolmentStarted, Expect, Intent,
    MemoryStore, Policy, Record, RecoveryForm, RequestFacts, Response, RunError, Runtime, SecretBytes,
    SlowJob, Store, Subject, Timestamp, Unlocked, Write,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll, yield_once};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::forks::all;
use mfa_tests::probe::failures_today;
use mfa_tests::saved::{PAST_A_DELAY, guess, left, recover};
use mfa_tests::told::{streams_are_whole, words};
use mfa_tests::{STEP, TestStore, World, host, login, ring, session, totp};
use serde_json::json;
use tempfile::TempDir;

/// A call, what it answers in the end, and how many commits it makes.
#[rustfmt::skip]
const ACTS: [(Act, &str, usize); 8] = [
    (Act::RecoverRight, "granted", 2), (Act::RecoverWrong, "wrong_code 4", 2), (Act::Confirm, "shown", 2),
    (Act::Acknowledge, "confirmed", 1), (Act::Issue, "issued", 2),             (Act::Disable, "done", 1),
    (Act::Unlock, "unlocked", 1),       (Act::Bypass, "issued", 1),
];
/// Every kind of record that these calls read or write.
const KINDS: [&str; 8] =
    ["login", "vault", "open", "challenge", "pending", "proof", "notice", "directory_user"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    RecoverRight,
    RecoverWrong,
    /// The first method's right code, with which a key is hashed and shown.
    Confirm,
    Acknowledge,
    Issue,
    Disable,
    Unlock,
    Bypass,
}

#[test]
fn s22_a_recovery_call_dropped_at_any_poll_has_happened_or_not_in_memory() {
    block_on(async {
        let setting = Setting::new().await;
        for (act, answer, commits) in ACTS {
            let store = async || (copy(MemoryStore::new(), &setting).await, None);
            setting.drop_everywhere(act, answer, commits, store).await;
        }
    });
}

#[test]
fn s22_a_recovery_call_dropped_at_any_poll_has_happened_or_not_on_sqlite() {
    block_on(async {
        let setting = Setting::new().await;
        let template = tempfile::tempdir().expect("a folder");
        let template = template.path().join("mfa.db");
        drop(copy(SqliteStore::open(&template).expect("a store"), &setting).await);
        let store = async || {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join("mfa.db");
            std::fs::copy(&template, &file).expect("a copy");
            (SqliteStore::open(file).expect("a store"), Some(folder))
        };
        for (act, answer, commits) in ACTS {
            setting.drop_everywhere(act, answer, commits, store).await;
        }
    });
}

/// Bob has an app, a set and an open challenge, with proofs of two changes; Ann's app is delayed; Carol's first app
/// waits for its code, Dave's for the acknowledgement of the key that was shown.
struct Setting {
    store: Arc<dyn TestStore>,
    now: Timestamp,
    bob: Subject,
    codes: Vec<String>,
    open: Challenge,
    issue: Authority,
    disable: Authority,
    ann: Subject,
    anns: SoftAuthenticator,
    carol: Subject,
    carols: (EnrolmentStarted, SoftAuthenticator),
    dave: Subject,
    daves: EnrolmentStarted,
    key: String,
}

impl Setting {
    async fn new() -> Self {
        let (world, inbox) = World::memory().await.with_recovery().await;
        let engine = world.recovery_node(&inbox).policy(policy()).build().await.expect("an engine");
        let ann = world.add_reachable("ann").await;
        let (anns, _) = world.enrol_with_recovery(&ann).await;
        let challenge = world.begin(&ann).await;
        for _ in 0..5 {
            let _wrong = world.answer(&challenge, &anns.wrong_code_at(world.now(), 9)).await;
        }
        world.clock.advance(STEP * 3);
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let own = async |intent: &Intent| {
            Authority::proof(world.prove(&bob, &app, intent).await, Some(&session(&bob)))
        };
        let (issue, disable) = (own(&Intent::issue_recovery(&bob)).await, own(&Intent::disable(&bob)).await);
        let (carol, dave) = (world.add_reachable("carol").await, world.add_reachable("dave").await);
        let (carols, daves) = (scan(&engine, &carol).await, scan(&engine, &dave).await);
        let code = Response::code(&daves.1.code_at(world.now()));
        let shown = engine.enrol_confirm(&daves.0.reference, &code).await;
        let Ok(EnrolConfirm::RecoveryShown(issued)) = shown else { panic!("{shown:?}") };
        let key = issued.revealed.get("key").expect("a key").expose_secret().to_owned();
        let (now, store, open) = (world.now(), world.store.clone(), world.begin(&bob).await);
        Self {
            store,
            now,
            bob,
            codes,
            open,
            issue,
            disable,
            ann,
            anns,
            carol,
            carols,
            dave,
            daves: daves.0,
            key,
        }
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
            let left = (records(&*trial.world.store, self.now).await, trial.world.events().await);
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
            .provider(mfa_testkit::host::recovery())
            .policy(policy())
            .transport(Arc::new(Inbox::new()))
            .danger_test_doubles();
        Self { setting, world, engine: engine.build().await.expect("an engine") }
    }

    async fn perform(&self, act: Act) -> String {
        let Setting { bob, open, codes, carols, daves, .. } = self.setting;
        let (engine, account, user) = (&self.engine, bob.account(), bob.user());
        let told = match act {
            Act::RecoverRight => return words(&recover(engine, open, &codes[0]).await),
            Act::RecoverWrong => return words(&recover(engine, open, &guess(&codes[0], 0)).await),
            Act::Confirm => confirmed(engine.enrol_confirm(&carols.0.reference, &self.carols_code()).await),
            Act::Acknowledge => {
                confirmed(engine.enrol_acknowledge(&daves.reference, &RequestFacts::new()).await)
            }
            Act::Issue => {
                let issued =
                    engine.recovery_issue(account, user, RecoveryForm::Key, &self.setting.issue).await;
                issued.map_or_else(|error| error.code(), |_| "issued")
            }
            Act::Disable => {
                let done = engine.disable(account, user, &self.setting.disable).await;
                done.map_or_else(|error| error.code(), |()| "done")
            }
            Act::Unlock => {
                let codes = self.setting.anns.three_codes_at(self.world.now());
                let codes = codes.each_ref().map(String::as_str);
                match engine.unlock_with_codes(&login(&self.setting.ann), codes).await.expect("an answer") {
                    Unlocked::Done => "unlocked",
                    Unlocked::Rejected(rejected) => rejected.reason.code(),
                    other => panic!("{other:?}"),
                }
            }
            Act::Bypass => {
                let issued = engine.bypass_issue(account, user, Duration::from_secs(3600), &host()).await;
                issued.map_or_else(|error| error.code(), |_| "issued")
            }
        };
        told.to_owned()
    }

    /// Sees that the calls that come afterwards find what the state says.
    async fn later(&self, act: Act, state: usize) {
        let Setting { bob, codes, carol, dave, ann, open, .. } = self.setting;
        let before = failures_today(&self.world, ann).await;
        match act {
            Act::RecoverRight | Act::RecoverWrong => self.later_recovered(act, state).await,
            Act::Confirm => {
                assert_eq!(self.methods(carol).await, 0, "{state}");
                let same = ["shown", "replayed", "already_verified"][state];
                assert_eq!(self.perform(act).await, same);
                if state == 1 {
                    self.world.clock.advance(STEP);
                    assert_eq!(self.perform(act).await, "shown");
                }
                assert_eq!(self.methods(carol).await, 0, "{state}: nothing counts before it is acknowledged");
                let reference = &self.setting.carols.0.reference;
                let acknowledged = self.engine.enrol_acknowledge(reference, &RequestFacts::new()).await;
                assert_eq!(confirmed(acknowledged), "confirmed");
                assert_eq!(self.methods(carol).await, 2);
            }
            Act::Acknowledge => {
                assert_eq!(self.methods(dave).await, 2 * state, "both or neither");
                assert_eq!(self.perform(act).await, ["confirmed", "already_verified"][state]);
                let challenge = mfa_tests::begin(&self.engine, dave).await;
                assert_eq!(words(&recover(&self.engine, &challenge, &self.setting.key).await), "granted");
            }
            Act::Issue => {
                assert_eq!(left(&self.engine, bob).await, [10, 10, 1][state]);
                if state == 1 {
                    // The proof has started a set whose hashes may be running still; it is not spent.
                    assert_eq!(self.perform(act).await, "step_up_required");
                    self.world.clock.advance(Duration::from_secs(30));
                    assert_eq!(self.perform(act).await, "issued");
                }
                let challenge = mfa_tests::begin(&self.engine, bob).await;
                let told = words(&recover(&self.engine, &challenge, &codes[0]).await);
                assert_eq!(told, ["granted", "malformed 5", "malformed 5"][state], "{state}");
                // Spent, or ended by the use of a code.
                assert_eq!(self.perform(act).await, "step_up_required");
            }
            Act::Disable => {
                assert_eq!(self.methods(bob).await, [2, 0][state]);
                assert_eq!(self.perform(act).await, ["done", "step_up_required"][state]);
                assert_eq!(words(&recover(&self.engine, open, &codes[0]).await), "superseded 5");
            }
            Act::Unlock => {
                assert_eq!(self.perform(act).await, ["unlocked", "unavailable"][state]);
                assert_eq!(failures_today(&self.world, ann).await, before, "no count of a day is lifted");
            }
            Act::Bypass => {
                assert_eq!(self.methods(bob).await, 2 + state);
                assert_eq!(self.perform(act).await, "issued");
                assert_eq!(self.methods(bob).await, 3);
            }
        }
        assert_eq!(before, 5);
        streams_are_whole(&self.world.events().await);
    }

    /// A hash that was charged and whose result never came stays charged, and is not judged a second time while it
    /// may still be running. One code is used, once.
    async fn later_recovered(&self, act: Act, state: usize) {
        let Setting { bob, codes, open, .. } = self.setting;
        assert_eq!(
            left(&self.engine, bob).await,
            if act == Act::RecoverRight && state == 2 { 9 } else { 10 }
        );
        if state == 1 {
            assert_eq!(words(&recover(&self.engine, open, &codes[0]).await), "pending");
            self.world.clock.advance(Duration::from_secs(30));
        }
        let charged = state.min(1);
        if act == Act::RecoverWrong || state < 2 {
            let attempts = 4 - charged;
            let wrong = words(&recover(&self.engine, open, &guess(&codes[0], 1)).await);
            assert_eq!(wrong, format!("wrong_code {attempts}"), "{act:?} {state}");
            assert_eq!(words(&recover(&self.engine, open, &codes[0]).await), "granted", "{act:?} {state}");
        } else {
            assert_eq!(words(&recover(&self.engine, open, &codes[0]).await), "already_used 4");
        }
        assert_eq!(left(&self.engine, bob).await, 9);
        self.world.clock.advance(PAST_A_DELAY);
        let next = mfa_tests::begin(&self.engine, bob).await;
        assert_eq!(words(&recover(&self.engine, &next, &codes[0]).await), "already_used 4");
        assert_eq!(failures_today(&self.world, bob).await, 0);
    }

    async fn methods(&self, subject: &Subject) -> usize {
        self.engine.methods(subject.account(), subject.user()).await.expect("a list").len()
    }

    fn carols_code(&self) -> Response {
        Response::code(&self.setting.carols.1.code_at(self.world.now()))
    }
}

fn confirmed(answer: Result<EnrolConfirm, mfa::Error>) -> &'static str {
    match answer {
        Ok(EnrolConfirm::Confirmed(_)) => "confirmed",
        Ok(EnrolConfirm::RecoveryShown(_)) => "shown",
        Ok(EnrolConfirm::Rejected(rejected)) => rejected.reason.code(),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.code(),
    }
}

/// A key is one hash to make.
fn policy() -> Policy {
    Policy::recommended().with_document(&json!({"recovery": "key"})).expect("a policy")
}

async fn scan(engine: &Engine, subject: &Subject) -> (EnrolmentStarted, SoftAuthenticator) {
    let begun =
        engine.enrol_begin(subject.account(), subject.user(), &totp(), &Choice::none(), &host()).await;
    let started = begun.expect("a begin");
    let app = SoftAuthenticator::scan(started.revealed.get("uri").expect("a uri").expose_secret());
    (started, app.expect("an app"))
}

async fn records(store: &dyn TestStore, now: Timestamp) -> Vec<Record> {
    let mut found = Vec::new();
    for kind in KINDS {
        found.extend(store.scan(mfa::RecordKind::new(kind), None, 10_000, now).await.expect("a scan"));
    }
    found
}

/// Copies every record of the setting, under the versions they have. Events stay behind.
async fn copy<C: Store>(copy: C, setting: &Setting) -> C {
    for kind in KINDS {
        for Record { key, version, body, expires_at, .. } in all(&*setting.store, kind, setting.now).await {
            let mut commit = Commit::new(key.scope.clone(), version, setting.now);
            commit.writes.push(Write::Put { key, expect: Expect::Absent, body, expires_at });
            let _ = copy.commit(commit).await.expect("a commit");
        }
    }
    copy
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
