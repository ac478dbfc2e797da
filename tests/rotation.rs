//! S18: a key is added, activated and retired in running nodes, each with a ring of its own, while logins go on.
#![cfg(test)]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use mfa::{
    Begin, Challenge, Changed, Choice, Error, Key, Policy, Reason, Record, RecordKind, Response, Store,
    StoreError, Subject, Timestamp, Verify,
};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::host::TestHost;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::layer::{Layer, Layered};
use mfa_testkit::race::{GateStore, race};
use mfa_tests::doubles::{SLOW_CODE, SlowHash, enrol_in};
use mfa_tests::rings::{
    NEW, OLD, activate_new, add_new, grant, id, log_in, mentions, node, node_on, nodes,
    nothing_is_sealed_under_the_old_key, outer_key, records, redeem, reseal, retire_old, users,
    without_recovery, world_store,
};
use mfa_tests::tapped::{Tap, tapped};
use mfa_tests::{STEP, begin, login, on_stores, totp};

const CALLERS: usize = 64;
/// How long callers and operator wait for each other.
const PATIENCE: Duration = Duration::from_secs(120);
/// Two callers each: of one user's logins only so many may race that nobody's patience ends.
const USERS: usize = 32;

/// As [`log_in`], by the code of [`SlowHash`], which is good more than once; `None` begins a challenge.
async fn by_slow_code(at: &TestHost, user: &Subject, begun: Option<&Challenge>) -> Result<(), String> {
    let reference = match begun {
        Some(challenge) => challenge.reference.clone(),
        None => match at.engine.begin(login(user)).await {
            Ok(Begin::Challenge(challenge)) => challenge.reference,
            other => return Err(format!("begin {other:?}")),
        },
    };
    match at.engine.verify(&reference, Response::code(SLOW_CODE)).await {
        Ok(Verify::Verified(grant)) => {
            redeem(grant, user, at.now()).map(drop).map_err(|why| format!("redeem {why}"))
        }
        other => Err(format!("verify {other:?}")),
    }
}

/// How far callers and operator have come: neither leaves the other behind.
#[derive(Debug, Default)]
struct Pace {
    state: Mutex<Progress>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Progress {
    /// The rounds of the callers.
    rounds: usize,
    /// The commits of the operator.
    commits: usize,
    /// The operator waits for the callers.
    is_idle: bool,
    is_done: bool,
}

impl Pace {
    /// Ends a round, and waits until the operator has done so many commits more or waits too. Returns whether all
    /// is done.
    fn end_round(&self, more: usize) -> bool {
        let goal = self.change(|now| {
            now.rounds += 1;
            now.commits + more
        });
        self.wait(|now| now.commits >= goal || now.is_idle).is_done
    }

    /// Lets the callers go on for so many rounds.
    fn let_rounds_pass(&self, more: usize) {
        let goal = self.change(|now| {
            now.is_idle = true;
            now.rounds + more
        });
        self.wait(|now| now.rounds >= goal).is_idle = false;
    }

    fn change<T>(&self, change: impl FnOnce(&mut Progress) -> T) -> T {
        let changed = change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
        changed
    }

    fn wait(&self, until: impl Fn(&Progress) -> bool) -> MutexGuard<'_, Progress> {
        let now = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(now, PATIENCE, |now| !until(now));
        let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
        assert!(!timeout.timed_out(), "the others do not come: {now:?}");
        now
    }
}

/// Lets the callers leave when the operator has, for whatever reason.
struct Leaving<'a>(&'a Pace);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.change(|now| (now.is_idle, now.is_done) = (true, true));
    }
}

impl Tap for Pace {
    fn read(&self, _: &[Key]) {}

    fn committing(&self) {}

    fn committed(&self) {
        self.change(|now| now.commits += 1);
    }
}

/// What happens at a node in the middle of something else, on a thread of its own.
type Deed = Box<dyn FnOnce() + Send>;

/// Lets something happen between the next scan of a kind and whatever its reader does with it.
#[derive(Default)]
struct AfterScan {
    deed: Mutex<Option<(RecordKind, Deed)>>,
}

impl std::fmt::Debug for AfterScan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AfterScan").finish_non_exhaustive()
    }
}

#[async_trait]
impl Layer for AfterScan {
    async fn scan(
        &self,
        store: &dyn Store,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let found = store.scan(kind, after, limit, now).await;
        let deed = self.deed.lock().unwrap().take_if(|(of, _)| *of == kind);
        if let Some((_, deed)) = deed {
            std::thread::spawn(deed).join().unwrap();
        }
        found
    }
}

on_stores! {
    async fn s18_a_rotation_under_64_callers_fails_no_login(world) {
        let inbox = Inbox::new();
        let with_slow = |builder: mfa::EngineBuilder| builder.provider(SlowHash::new());
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(node_on(&world, world_store(&world), &inbox, with_slow).await);
        }
        let pace = Arc::new(Pace::default());
        let at = Arc::new(tapped(Arc::clone(&world.store), pace.clone()));
        let operators = node_on(&world, at, &inbox, with_slow).await;
        let ann = nodes[0].add_reachable("ann").await;
        let (ann_app, codes) = nodes[0].enrol_with_recovery(&ann).await;
        let plain = node_on(&world, world_store(&world), &inbox, |b| without_recovery(with_slow(b))).await;
        let mut users = Vec::new();
        for number in 0..USERS {
            let user = plain.add(&format!("user-{number}")).await;
            enrol_in(&plain.engine, &user, "slow", SLOW_CODE).await;
            users.push(user);
        }
        world.clock.advance(Duration::from_secs(600));
        // A challenge of before for every caller, which is answered after the turn.
        let mut before = Vec::new();
        for caller in 0..CALLERS {
            before.push(begin(&nodes[caller % 4].engine, &users[caller % USERS]).await);
        }
        let of_ann = begin(&nodes[0].engine, &ann).await;

        let (turn, is_over) = (Barrier::new(CALLERS), AtomicBool::new(false));
        let failed = Mutex::new(Vec::new());
        let caller = async |number: usize| {
            let (user, mut round) = (&users[number % USERS], 0);
            while !is_over.load(Ordering::SeqCst) {
                round += 1;
                let node = &nodes[(number / USERS + round) % 4];
                let mut told = by_slow_code(node, user, None).await;
                if round == 3 {
                    told = told.and(by_slow_code(node, user, Some(&before[number])).await);
                }
                failed.lock().unwrap().extend(told.err());
                // All leave after the same round; between two of them the operator gets on with the work.
                if turn.wait().is_leader() {
                    world.clock.advance(Duration::from_secs(60));
                    is_over.store(pace.end_round(32), Ordering::SeqCst);
                }
                turn.wait();
            }
        };
        let operator = async || {
            let _leaving = Leaving(&pace);
            pace.let_rounds_pass(1);
            add_new(nodes.iter().chain([&operators]));
            activate_new(nodes.iter().chain([&operators])).await;
            let references = retire_old(&operators).await.unwrap_err();
            assert!(references >= CALLERS as u64, "the challenges of before, at least: {references}");
            let mut moved = again(|| operators.engine.reseal()).await;
            assert_eq!(moved.unreadable, 0);
            pace.let_rounds_pass(3);
            // What raced is moved now; what was written under the new key is left alone.
            moved.records += again(|| operators.engine.reseal()).await.records;
            assert!(moved.records >= (CALLERS + 2 * USERS) as u64, "{moved:?}");
            // In ten rounds, of a minute each, every handle of before has ended.
            for _ in 0..10 {
                if operators.engine.key_references(&id(OLD)).await.unwrap() > 0 {
                    pace.let_rounds_pass(1);
                }
            }
            for node in nodes.iter().chain([&operators]) {
                retire_old(node).await.unwrap();
            }
            pace.let_rounds_pass(2);
        };
        std::thread::scope(|scope| {
            let operator = scope.spawn(|| block_on(operator()));
            let caller = &caller;
            let callers = (0..CALLERS).map(|number| scope.spawn(move || block_on(caller(number))));
            for thread in callers.collect::<Vec<_>>() {
                thread.join().unwrap();
            }
            operator.join().unwrap();
        });
        assert_eq!(*failed.lock().unwrap(), Vec::<String>::new());
        for node in &nodes {
            assert_eq!(node.ring.ids(), [id(NEW)]);
        }
        nothing_is_sealed_under_the_old_key(&world).await;
        // What was sealed is not only readable, but right: a recovery code of before, a method of before.
        let late = nodes[3].answer(&of_ann, &ann_app.code_at(world.now())).await;
        assert!(matches!(late, Verify::Rejected(_)), "its handle went with the key, or its life is over: {late:?}");
        let challenge = begin(&nodes[3].engine, &ann).await;
        assert!(matches!(nodes[3].recover(&challenge, &codes[0]).await, Verify::Verified(_)));
        log_in(&nodes[0], &(ann, ann_app)).await.unwrap();
    }

    async fn s18_an_activation_to_and_fro_fails_no_login(world) {
        let nodes = nodes(&world, 1).await;
        let user = users(&world, 1).await.remove(0);
        let at = &nodes[0];
        add_new(&nodes);
        let stop = AtomicBool::new(false);
        let logins = || {
            for _ in 0..60 {
                world.clock.advance(STEP);
                block_on(log_in(at, &user)).unwrap();
            }
            stop.store(true, Ordering::SeqCst);
        };
        std::thread::scope(|scope| {
            let logins = scope.spawn(logins);
            let mut turns = 0_u32;
            while !stop.load(Ordering::SeqCst) && !logins.is_finished() {
                at.ring.activate(&id(OLD)).unwrap();
                at.ring.activate(&id(NEW)).unwrap();
                turns += 1;
            }
            assert!(turns > 60);
            logins.join().unwrap();
        });
    }

    async fn s18_a_resealing_that_fails_anywhere_is_taken_up_again(world) {
        let inbox = Inbox::new();
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let at = node_on(&world, faults.clone(), &inbox, |builder| builder).await;
        let bob = at.add_reachable("bob").await;
        let (app, codes) = at.enrol_with_recovery(&bob).await;
        let open = begin(&at.engine, &bob).await;
        at.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &mfa_tests::host()).await.unwrap();
        let before = records(&world).await;
        assert!(before.len() >= 8);
        let expiry = |records: &[Record]| -> BTreeMap<Key, Option<Timestamp>> {
            records.iter().map(|record| (record.key.clone(), record.expires_at)).collect()
        };
        add_new([&at]);
        activate_new([&at]).await;
        let needs_old = |record: &&Record| outer_key(record) == OLD || mentions(record, OLD) > 0;
        let under_old = async || records(&world).await.iter().filter(|r| outer_key(r) == OLD).count();
        for fault in [Fault::Unavailable, Fault::Unknown, Fault::Unavailable] {
            // One more record is moved; then the process dies, as far as its store can tell.
            let left = under_old().await;
            faults.fail_later(At::BeforeCommit, fault, 1, 1);
            assert_eq!(at.engine.reseal().await.unwrap_err().code(), "unavailable");
            assert!(faults.heal());
            assert_eq!(under_old().await, left - 1);
            let references = records(&world).await.iter().filter(needs_old).count();
            assert_eq!(retire_old(&at).await, Err(references as u64));
            // Logins go on between two keys.
            let challenge = begin(&at.engine, &bob).await;
            assert!(matches!(at.engine.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
        }
        // Unknown after it was done: the engine finds its own commit.
        faults.fail(At::AfterCommit, Fault::Unknown, 1);
        reseal(&at).await;
        assert!(faults.heal());
        nothing_is_sealed_under_the_old_key(&world).await;
        let after = expiry(&records(&world).await);
        for (key, until) in expiry(&before) {
            // The list of open challenges lives as long as the newest of them; others were begun since.
            if key.kind.as_str() != "open" {
                assert_eq!(after.get(&key), Some(&until), "{key:?}");
            }
        }
        redeem(grant(&at, &open, &app).await, &bob, world.now()).unwrap();
        let challenge = begin(&at.engine, &bob).await;
        assert!(matches!(at.recover(&challenge, &codes[3]).await, Verify::Verified(_)));
        at.engine.drain_outbox(100).await.unwrap();
        assert!(!inbox.take().is_empty(), "the contacts of a notice are right as well");
    }

    async fn s18_resealing_does_not_undo_what_races_with_it(world) {
        let inbox = Inbox::new();
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let nodes = [
            node_on(&world, gate.clone(), &inbox, |builder| builder).await,
            node_on(&world, gate.clone(), &inbox, |builder| builder).await,
        ];
        let (bob, app) = users(&world, 1).await.remove(0);
        add_new(&nodes);
        activate_new(&nodes).await;
        for turn in 0..6 {
            // Each time from a record under the old key.
            let back = [id(NEW), id(OLD)];
            for node in &nodes {
                node.ring.activate(&back[turn % 2]).unwrap();
            }
            let challenge = begin(&nodes[1].engine, &bob).await;
            let wrong = Response::code(&app.wrong_code_at(world.now(), 3));
            gate.arm_for(RecordKind::new("login"), 2);
            let told = race(2, async |caller| {
                if caller == 0 {
                    again(|| nodes[0].engine.reseal()).await;
                    return None;
                }
                Some(nodes[1].engine.verify(&challenge.reference, wrong.clone()).await.unwrap())
            });
            let Some(Verify::Rejected(rejected)) = &told[1] else { panic!("{told:?}") };
            assert_eq!(rejected.reason, Reason::WrongCode);
            // Past the delay that follows some failures.
            world.clock.advance(Duration::from_secs(901));
        }
        // Every failure is counted: bob may have as many as the day has left.
        let policy = |limit: u64| {
            let document = serde_json::json!({ "failures_per_day": limit });
            Policy::recommended().with_document(&document).unwrap()
        };
        for (limit, is_locked) in [(6, true), (7, false)] {
            let strict = node_on(&world, world_store(&world), &inbox, |builder| builder.policy(policy(limit))).await;
            add_new([&strict]);
            let begun = strict.engine.begin(login(&bob)).await.unwrap();
            assert_eq!(matches!(begun, Begin::Denied(_)), is_locked, "{limit}: {begun:?}");
        }
    }

    async fn s18_resealing_keeps_an_expiry_that_was_put_off_meanwhile(world) {
        let inbox = Inbox::new();
        let store = Arc::new(Layered::over(Arc::clone(&world.store), AfterScan::default()));
        let at = node_on(&world, store.clone(), &inbox, |builder| builder).await;
        let other = node(&world, &inbox).await;
        let (bob, _) = users(&world, 1).await.remove(0);
        begin(&at.engine, &bob).await;
        add_new([&at, &other]);
        activate_new([&at, &other]).await;
        let until = || async {
            let all = records(&world).await;
            let open = all.iter().find(|record| record.key.kind.as_str() == "open").unwrap();
            (open.expires_at.unwrap(), outer_key(open).to_owned())
        };
        let (first, key) = until().await;
        assert_eq!(key, OLD);
        // The list has been read when another challenge is begun, by a node that writes under the old key still.
        other.ring.activate(&id(OLD)).unwrap();
        world.clock.advance(STEP);
        let (node, user) = (other.engine.clone(), bob.clone());
        let deed: Deed = Box::new(move || drop(block_on(begin(&node, &user))));
        *store.deed.lock().unwrap() = Some((RecordKind::new("open"), deed));
        reseal(&at).await;
        let (last, key) = until().await;
        assert_eq!((last, key), (first.plus(STEP), NEW.to_owned()));
    }

}

/// Calls until nothing is in the way: others keep changing the same records.
async fn again<T, F: Future<Output = Result<T, Error>>>(call: impl Fn() -> F) -> T {
    loop {
        match call().await {
            Ok(done) => return done,
            Err(Error::Contention) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
}
