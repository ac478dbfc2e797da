//! S22 and S26 of the slow hash of a recovery code: what it costs, whatever becomes of it, and that it costs the same
//! for every wrong code.
#![cfg(test)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::{
    Authority, Engine, Intent, MethodSelector, Reason, RecoveryForm, Rejected, RunError, Runtime,
    SecretBytes, SlowJob, Status, Store, Subject, Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::yield_once;
use mfa_testkit::faults::CountingStore;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::probe::{failures_today, refusal};
use mfa_tests::saved::{PAST_A_DELAY, foreign, guess, left, recover, recovery_node_on};
use mfa_tests::{TestStore, World, begin, host, on_stores, session};

on_stores! {
    async fn s22_a_full_pool_takes_nothing(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let challenge = world.begin(&bob).await;
        let busy = async |code: &str| {
            world.clock.refuse_jobs(1);
            recover(&world.engine, &challenge, code).await.unwrap_err().code()
        };
        for code in &codes {
            assert_eq!(busy(code).await, "busy");
            assert_eq!(busy(&guess(code, 0)).await, "busy");
        }
        assert_eq!(world.clock.jobs_run(), 1, "the set's own");
        assert_eq!(world.events_of(Kind::EffectRefunded).await.len(), 20);
        // The challenge has its five attempts, and the set its five failures before the delays.
        for n in 0..4 {
            let refused = rejected(recover(&world.engine, &challenge, &guess(&codes[0], n)).await);
            assert_eq!((refused.reason, refused.attempts_left), (Reason::WrongCode, 4 - u8::try_from(n).unwrap()));
            assert_eq!(busy(&codes[0]).await, "busy");
        }
        let last = rejected(recover(&world.engine, &challenge, &guess(&codes[0], 4)).await);
        assert_eq!((last.reason, last.attempts_left), (Reason::WrongCode, 0));
        let next = world.begin(&bob).await;
        assert_eq!(rejected(recover(&world.engine, &next, &codes[0]).await).retry_after, Some(Duration::from_secs(1)));
        // Nor does what never started make the delay that is over begin anew.
        world.clock.advance(Duration::from_secs(1));
        for _ in 0..3 {
            world.clock.refuse_jobs(1);
            assert_eq!(recover(&world.engine, &next, &codes[0]).await.unwrap_err().code(), "busy");
        }
        assert_eq!(refusal(recover(&world.engine, &next, &codes[0]).await.unwrap()), None);
        assert_eq!(left(&world.engine, &bob).await, 9);
        assert_eq!(failures_today(&world, &bob).await, 0);
    }

    async fn s22_a_lost_hash_stays_charged_and_tells_nothing(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let challenge = world.begin(&bob).await;
        let mut errors = Vec::new();
        for code in [&codes[0], &guess(&codes[0], 0), &foreign(&codes)] {
            world.clock.lose_jobs(1);
            let error = recover(&world.engine, &challenge, code).await.unwrap_err();
            errors.push((error.code(), error.to_string()));
            // Until the deadline it may still be running: nothing else is judged.
            assert!(matches!(recover(&world.engine, &challenge, &codes[0]).await.unwrap(), Verify::Pending(_)));
            world.clock.advance(Duration::from_secs(30));
        }
        assert_eq!(errors[0].0, "unavailable");
        assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
        assert_eq!(left(&world.engine, &bob).await, 10);
        let refused = rejected(recover(&world.engine, &challenge, &guess(&codes[0], 0)).await);
        assert_eq!(refused.attempts_left, 1);
        // Four were charged: one more, and the delays begin.
        let refused = rejected(recover(&world.engine, &challenge, &guess(&codes[0], 1)).await);
        assert_eq!(refused.attempts_left, 0);
        let next = world.begin(&bob).await;
        assert_eq!(rejected(recover(&world.engine, &next, &codes[0]).await).reason, Reason::Locked);
        world.clock.advance(PAST_A_DELAY);
        let next = world.begin(&bob).await;
        assert_eq!(refusal(recover(&world.engine, &next, &codes[0]).await.unwrap()), None);
    }

    // A lost result is judged by nobody else, and a code whose hash was lost is a fresh one.
    async fn s22_lost_hashes_use_up_the_attempts_of_a_challenge(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let challenge = world.begin(&bob).await;
        for _ in 0..5 {
            world.clock.lose_jobs(1);
            assert!(recover(&world.engine, &challenge, &codes[0]).await.is_err());
            world.clock.advance(Duration::from_secs(31));
        }
        let ran = world.clock.jobs_run();
        assert_eq!(rejected(recover(&world.engine, &challenge, &codes[0]).await).reason, Reason::Exhausted);
        assert_eq!(world.clock.jobs_run(), ran);
        let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!((status.status, status.verify_attempts), (Status::Failed, 5));
    }

    // Whoever writes the user's record while the hash runs makes the verdict be decided again, not the hash be made.
    async fn s22_a_conflict_after_the_hash_costs_neither_a_second_hash_nor_a_second_charge(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        for (code, is_right) in [(guess(&codes[0], 0), false), (codes[0].clone(), true)] {
            let (holding, store, node) = holding(&world).await;
            let challenge = begin(&node, &bob).await;
            let charged = world.events_of(Kind::EffectCharged).await.len();
            let answered = holding.during(recover(&node, &challenge, &code), async {
                let id = totp_of(&world, &bob).await;
                world.engine.method_prefer(bob.account(), bob.user(), &MethodSelector::Enrolment(id), &host()).await.unwrap();
            });
            let answered = answered.await;
            // A refusal writes the challenge alone, which nobody else wrote.
            assert_eq!((holding.ran(), store.counts().conflicts), (1, usize::from(is_right)));
            assert_eq!(world.events_of(Kind::EffectCharged).await.len(), charged + 1);
            if is_right {
                assert_eq!(refusal(answered.unwrap()), None);
            } else {
                let refused = rejected(answered);
                assert_eq!((refused.reason, refused.attempts_left), (Reason::WrongCode, 4));
            }
        }
        assert_eq!(left(&world.engine, &bob).await, 9);
    }

    // The verdict is decided by the records as they are after the hash: what ended in the meantime has ended.
    async fn s22_a_right_code_is_not_used_where_the_challenge_ended_while_it_was_hashed(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let (holding, _store, node) = holding(&world).await;
        let challenge = begin(&node, &bob).await;
        let revoke = async { world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap() };
        let answered = holding.during(recover(&node, &challenge, &codes[0]), revoke).await;
        assert_eq!(rejected(answered).reason, Reason::Superseded);
        assert_eq!(left(&world.engine, &bob).await, 10);
        assert_eq!(world.events_of(Kind::EffectDropped).await.len(), 1);
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
    }

    async fn s22_a_new_set_is_hashed_once_and_only_counts_where_the_proof_still_does(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let (holding, _store, node) = holding(&world).await;
        let intent = Intent::issue_recovery(&bob);
        let proof = Authority::proof(world.prove(&bob, &app, &intent).await, Some(&session(&bob)));
        let issue = || node.recovery_issue(bob.account(), bob.user(), RecoveryForm::Codes, &proof);
        let revoke = async { world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap() };
        assert_eq!(holding.during(issue(), revoke).await.unwrap_err().code(), "step_up_required");
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
        assert_eq!(left(&world.engine, &bob).await, 9);
        // By the host's word, and another change between the hash and the commit.
        let authority = host();
        let id = totp_of(&world, &bob).await;
        let issue = node.recovery_issue(bob.account(), bob.user(), RecoveryForm::Codes, &authority);
        let prefer = async {
            world.engine.method_prefer(bob.account(), bob.user(), &MethodSelector::Enrolment(id), &host()).await.unwrap();
        };
        let ran = holding.ran();
        assert!(holding.during(issue, prefer).await.is_ok());
        assert_eq!(holding.ran(), ran + 1);
        assert_eq!(world.events_of(Kind::RecoveryIssued).await.len(), 1);
    }

    // What a clock would have to tell apart, counted: the hashes, what is asked of the store, and what is answered.
    async fn s26_unknown_used_wrong_and_foreign_codes_are_alike_in_all_that_takes_time(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let carol = world.add_reachable("carol").await;
        let (_, hers) = world.enrol_with_recovery(&carol).await;
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
        let (holding, store, node) = holding(&world).await;
        holding.open();
        let mut seen = Vec::new();
        for (round, of_carol) in hers.iter().take(5).enumerate() {
            for (class, code) in [
                ("right selector, wrong secret", guess(&codes[1], round)),
                ("unknown selector", guess(&foreign(&codes), round)),
                ("used selector, wrong secret", guess(&codes[0], round)),
                ("another user's code", of_carol.clone()),
            ] {
                // Every answer is the first to its challenge and to its set.
                world.engine.user_unlock(bob.account(), bob.user(), &host()).await.unwrap();
                let challenge = begin(&node, &bob).await;
                let (ran, _) = (holding.ran(), store.take());
                let verify = recover(&node, &challenge, &code).await.unwrap();
                let (counts, hashes) = (store.take(), holding.ran() - ran);
                let http = mfa::http_status(&verify);
                let refused = rejected(Ok(verify));
                assert_eq!(refused.reason, Reason::WrongCode, "{class}");
                // As a host sends it.
                let reply = serde_json::to_vec(&serde_json::json!({
                    "status": http.status.as_u16(),
                    "retry_after": http.retry_after,
                    "authenticate": http.www_authenticate,
                    "message": refused.public(),
                    "attempts_left": refused.attempts_left,
                })).unwrap();
                seen.push((class, (hashes, counts, reply)));
            }
        }
        let (_, first) = &seen[0];
        assert_eq!((first.0, first.1.gets, first.1.keys_read, first.1.commits), (1, 1, 3, 2));
        assert!(first.1.bytes_put > 0 && first.1.events_committed > 0);
        for (class, cost) in &seen {
            assert_eq!(cost, first, "{class}");
        }
    }

    async fn s26_every_wrong_code_gets_one_answer_at_one_cost(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let carol = world.add_reachable("carol").await;
        let (_, hers) = world.enrol_with_recovery(&carol).await;
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
        let (holding, store, node) = holding(&world).await;
        holding.open();
        let mut seen = Vec::new();
        for (class, code) in [
            ("selector of a code", guess(&codes[1], 0)),
            ("selector of a used code", guess(&codes[0], 0)),
            ("unknown selector", foreign(&codes)),
            ("another user's", hers[0].clone()),
            ("used", codes[0].clone()),
        ] {
            world.clock.advance(PAST_A_DELAY);
            let challenge = begin(&node, &bob).await;
            let events = world.events().await.len();
            let (ran, _) = (holding.ran(), store.take());
            let refused = rejected(recover(&node, &challenge, &code).await);
            let counts = store.take();
            let cost = (counts.gets, counts.keys_read, counts.commits, counts.conflicts, holding.ran() - ran);
            let status = node.status(bob.account(), challenge.id).await.unwrap().unwrap();
            let events = world.events().await.len() - events;
            let verify = Verify::Rejected(refused);
            let shown = (refused.public(), refused.attempts_left, refused.retry_after, mfa::http_status(&verify));
            seen.push((class, refused.reason, (cost, status.verify_attempts, events, shown)));
        }
        let (_, _, first) = &seen[0];
        assert_eq!(first.0, (1, 3, 2, 0, 1), "a read, a commit of the charge, a hash, a commit of the verdict");
        for (class, reason, rest) in &seen {
            // The fifth failure brings the delays about, which is an event more and a notice.
            let delays = u8::from(*class == "used");
            assert_eq!((rest.0, rest.1, &rest.3), (first.0, first.1, &first.3), "{class}");
            assert_eq!(rest.2, first.2 + usize::from(delays), "{class}");
            let told = if *class == "used" { Reason::AlreadyUsed } else { Reason::WrongCode };
            assert_eq!(*reason, told, "{class}");
        }
    }
}

/// A runtime that can hold a slow job back until something else has happened.
#[derive(Clone, Debug)]
struct Holding {
    clock: VirtualRuntime,
    released: Arc<AtomicBool>,
    before: usize,
}

impl Holding {
    /// Polls `call` until its hash has run, does `between`, and then finishes the call.
    async fn during<T>(&self, call: impl Future<Output = T>, between: impl Future<Output = ()>) -> T {
        self.released.store(false, Ordering::SeqCst);
        let ran = self.clock.jobs_run();
        let mut call = pin!(call);
        let mut context = Context::from_waker(Waker::noop());
        while self.clock.jobs_run() == ran {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        between.await;
        self.open();
        call.await
    }

    fn open(&self) {
        self.released.store(true, Ordering::SeqCst);
    }

    fn ran(&self) -> usize {
        self.clock.jobs_run() - self.before
    }
}

#[async_trait]
impl Runtime for Holding {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    async fn run(&self, job: SlowJob) -> Result<SecretBytes, RunError> {
        let result = self.clock.run(job).await;
        while !self.released.load(Ordering::SeqCst) {
            yield_once().await;
        }
        result
    }

    fn is_test_double(&self) -> bool {
        true
    }
}

/// Makes a node that holds its hashes back and counts what it asks of the store.
async fn holding(world: &World) -> (Holding, Arc<CountingStore<Arc<dyn TestStore>>>, Engine) {
    let before = world.clock.jobs_run();
    let holding = Holding { clock: world.clock.clone(), released: Arc::default(), before };
    let store = Arc::new(CountingStore::new(world.store.clone()));
    let shared: Arc<dyn Store> = store.clone();
    let node = recovery_node_on(world, shared, Arc::new(holding.clone())).build().await.unwrap();
    (holding, store, node)
}

async fn totp_of(world: &World, bob: &Subject) -> mfa::EnrolmentId {
    world.engine.methods(bob.account(), bob.user()).await.unwrap()[0].id
}

async fn bob(world: &World) -> (Subject, SoftAuthenticator, Vec<String>) {
    let bob = world.add_reachable("bob").await;
    let (app, codes) = world.enrol_with_recovery(&bob).await;
    (bob, app, codes)
}

fn rejected(answer: Result<Verify, mfa::Error>) -> Rejected {
    match answer {
        Ok(Verify::Rejected(rejected)) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}
