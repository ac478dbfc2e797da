//! Looks at a user's budget from outside, by what logins would be answered, and puts nodes on wrapped stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mfa::totp::Totp;
use mfa::{
    Begin, Challenge, DeniedReason, Engine, EngineBuilder, ExplainedOutcome, Policy, Reason, RecordKind,
    Response, Store, Subject, Verify,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::host::{TestHost, TestStore, login, ring};
use mfa_testkit::race::GateStore;
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::json;

/// Longer than the longest delay.
const PAST_EVERY_DELAY: Duration = Duration::from_secs(901);
/// Longer than the window of a day with its spare hour.
const PAST_A_DAY: Duration = Duration::from_secs(26 * 3600);

/// A store whose readers can be made to meet.
pub type Gate = GateStore<Arc<dyn TestStore>>;

/// Starts a builder of a node of `host` on another store: one that wraps the host's own, say.
///
/// # Panics
/// If the issuer is refused, which it is not.
pub fn node_on(host: &TestHost, store: Arc<dyn Store>) -> EngineBuilder {
    static SEED: AtomicU64 = AtomicU64::new(1 << 32);
    let seed = SEED.fetch_add(1, Ordering::Relaxed);
    Engine::builder(store, host.directory.clone(), ring(), Arc::new(host.clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .provider(Totp::new("Example").expect("an issuer"))
        .danger_test_doubles()
}

/// Makes `n` nodes on one gate before the host's store.
///
/// # Panics
/// If the store fails.
pub async fn nodes_behind_a_gate(host: &TestHost, n: usize) -> (Arc<Gate>, Vec<Engine>) {
    let gate = Arc::new(GateStore::new(Arc::clone(&host.store)));
    let mut nodes = Vec::new();
    for _ in 0..n {
        nodes.push(node_on(host, Arc::clone(&gate) as _).build().await.expect("a node"));
    }
    (gate, nodes)
}

/// Makes the next `n` reads of a user's login record wait for each other, so that all decide on one state.
pub fn meet(gate: &Gate, n: usize) {
    gate.arm_for(RecordKind::new("login"), n);
}

/// Returns how many judged failures the user's window of a day holds, up to 20.
///
/// # Panics
/// If the store fails.
pub async fn failures_today(host: &TestHost, subject: &Subject) -> u64 {
    counted(host, subject, "failures_per_day", 20, PAST_EVERY_DELAY).await
}

/// Returns how many judged failures the user's window of 30 days holds, up to 100.
///
/// # Panics
/// If the store fails.
pub async fn failures_this_month(host: &TestHost, subject: &Subject) -> u64 {
    counted(host, subject, "failures_per_month", 100, PAST_A_DAY).await
}

/// A node that allows `n` failures refuses a login exactly if `n` or more are counted. It only explains what
/// it would do, with a clock that is `ahead` of every delay.
async fn counted(host: &TestHost, subject: &Subject, knob: &str, most: u64, ahead: Duration) -> u64 {
    let clock = VirtualRuntime::new(host.now().plus(ahead));
    let (mut low, mut high) = (0, most);
    while low < high {
        let limit = (low + high).div_ceil(2);
        let policy = Policy::recommended().with_document(&json!({ knob: limit })).expect("a policy");
        let node = host.node_at(&clock).policy(policy).build().await.expect("a node");
        match node.explain(&login(subject)).await.expect("an explanation").outcome {
            ExplainedOutcome::Denied(DeniedReason::Locked) => low = limit,
            ExplainedOutcome::Challenge(_) => high = limit - 1,
            other => panic!("a user with a method: {other:?}"),
        }
    }
    low
}

/// Begins a login; `None` if the user is locked.
///
/// # Panics
/// If the answer is another one.
pub async fn begin_unless_locked(engine: &Engine, subject: &Subject) -> Option<Challenge> {
    match engine.begin(login(subject)).await.expect("a begin") {
        Begin::Challenge(challenge) => Some(challenge),
        Begin::Denied(denied) if denied.reason == DeniedReason::Locked => None,
        other => panic!("a challenge or a lock was expected: {other:?}"),
    }
}

/// Answers with a code; `None` if it was right.
///
/// # Panics
/// If the answer was not judged.
pub async fn answer(engine: &Engine, challenge: &Challenge, code: &str) -> Option<Reason> {
    refusal(engine.verify(&challenge.reference, Response::code(code)).await.expect("a judgement"))
}

/// Returns why an answer was refused; `None` if it was right.
///
/// # Panics
/// If nothing is decided yet.
#[must_use]
pub fn refusal(verify: Verify) -> Option<Reason> {
    match verify {
        Verify::Verified(_) => None,
        Verify::Rejected(rejected) => Some(rejected.reason),
        other => panic!("a verdict was expected: {other:?}"),
    }
}
