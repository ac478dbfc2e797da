//! Attacks on methods that act when they are asked: reports of fraud, pushes, and starts that are attempts.
#![cfg(test)]

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Begin, Challenge, Changed, Charge, Choice, DeniedReason, Engine, HttpClient, HttpFault, HttpReply, Login,
    Provider, Reason, Response, Status, Subject, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::acting::{Acting, LONGEST_DELAY, judged_in_a_day, method, refusals, refused};
use mfa_tests::doubles::{SCRIPTED_CODE as RIGHT, enrol_in};
use mfa_tests::probe::failures_today;
use mfa_tests::{World, begin, login, on_stores};

const WRONG: &str = "222222";

/// Begins a login that is refused for a while, and returns for how long.
async fn delayed(engine: &Engine, login: Login) -> Duration {
    match engine.begin(login).await.unwrap() {
        Begin::Denied(denied) if denied.reason == DeniedReason::Locked => denied.retry_after.unwrap(),
        other => panic!("not delayed: {other:?}"),
    }
}

/// A report of fraud has ended `challenge`, is an event and one failure, and delays every method of bob's.
async fn assert_fraud_is_over(world: &World, acting: &Acting, challenge: &Challenge, bob: &Subject) {
    assert_eq!(acting.status(challenge).await, Status::Failed);
    assert_eq!(refusals(world).await, ["fraud"]);
    assert_eq!(world.events_of(Kind::ChallengeEnded).await.len(), 1);
    assert_eq!(failures_today(world, bob).await, 1);
    for name in ["duo", "totp"] {
        let wait = delayed(&acting.engine, login(bob).with_method(method(name))).await;
        assert!(wait >= Duration::from_secs(1), "{name}: {wait:?}");
    }
}

/// A client whose requests never leave, and in whose time five wrong answers are given to another challenge.
#[derive(Debug)]
struct Between {
    clock: VirtualRuntime,
    engine: OnceLock<(Engine, Challenge)>,
}

#[async_trait::async_trait]
impl HttpClient for Between {
    async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        let (engine, other) = self.engine.get().unwrap();
        for _ in 0..5 {
            self.clock.advance(Duration::from_millis(1500));
            let wrong = engine.verify(&other.reference, Response::code("333333")).await.unwrap();
            assert_eq!(refused(wrong).reason, Reason::WrongCode);
        }
        Err(HttpFault::NotSent)
    }
}

on_stores! {
    async fn s22_a_charge_that_is_given_back_takes_no_later_failure_s_delay_with_it(world) {
        let provider = ScriptedProvider::new("slow");
        provider.on(On::Answer(RIGHT.to_owned()), Say::Accept);
        provider.on(On::Answer("333333".to_owned()), Say::Reject(Reason::WrongCode));
        provider.on(On::Answer(WRONG.to_owned()), Say::Http("https://localhost/".to_owned(), Charge::Attempt));
        provider.on(On::HttpFault, Say::Reject(Reason::Unavailable));
        let between = Arc::new(Between { clock: world.clock.clone(), engine: OnceLock::new() });
        let node = world.node().provider(provider).http(between.clone()).transport(Arc::new(Inbox::new()));
        let engine = node.build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "slow", RIGHT).await;
        let (one, other) = (begin(&engine, &bob).await, begin(&engine, &bob).await);
        between.engine.set((engine.clone(), other)).unwrap();
        let unsent = engine.verify(&one.reference, Response::code(WRONG)).await.unwrap();
        assert_eq!(refused(unsent).reason, Reason::Unavailable);
        assert_eq!(delayed(&engine, login(&bob)).await, Duration::from_secs(1));
    }

    async fn s22_a_fraud_report_after_a_charged_effect_ends_the_challenge_and_delays_every_method(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let app = world.enrol_again(&bob).await;
        duo.asks(On::Answer(WRONG.to_owned()), Charge::Attempt);
        duo.provider.on(On::HttpStatus(200), Say::Reject(Reason::Fraud));
        let (challenge, other) = (begin(&duo.engine, &bob).await, begin(&duo.engine, &bob).await);
        let reported = duo.engine.verify(&challenge.reference, Response::code(WRONG)).await.unwrap();
        assert_eq!(refused(reported).reason, Reason::Fraud);
        assert_fraud_is_over(&world, &duo, &challenge, &bob).await;
        let by_app = |world: &World| Response::code(&app.code_at(world.now())).with_method(method("totp"));
        // Whatever else was open may be the stranger's too.
        let ended = duo.engine.verify(&other.reference, by_app(&world)).await.unwrap();
        assert_eq!(refused(ended).reason, Reason::Superseded);
        // The owner is not locked out for longer.
        world.clock.advance(Duration::from_secs(1));
        let anew = begin(&duo.engine, &bob).await;
        let right = duo.engine.verify(&anew.reference, by_app(&world)).await.unwrap();
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn s14_a_fraud_report_on_a_poll_ends_the_challenge_and_delays_every_method(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let app = world.enrol_again(&bob).await;
        duo.asks(On::Begin, Charge::Push);
        duo.provider.on(On::HttpStatus(200), Say::Wait(serde_json::Value::Null));
        duo.provider.on(On::Poll, Say::Reject(Reason::Fraud));
        let challenge = begin(&duo.engine, &bob).await;
        let reported = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert_eq!(refused(reported).reason, Reason::Fraud);
        assert_fraud_is_over(&world, &duo, &challenge, &bob).await;
        // Neither a switch nor the app's code helps whoever holds the challenge.
        let switched = duo.engine.switch(&challenge.reference, &method("totp")).await.unwrap();
        assert!(matches!(switched, Changed::Rejected(_)), "{switched:?}");
        let by_app = Response::code(&app.code_at(world.now())).with_method(method("totp"));
        let late = duo.engine.verify(&challenge.reference, by_app).await.unwrap();
        assert_eq!(refused(late).reason, Reason::Exhausted);
    }

    async fn s14_a_push_that_is_accepted_on_a_poll_is_claimed_once(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        duo.asks(On::Begin, Charge::Push);
        duo.provider.on(On::HttpStatus(200), Say::Wait(serde_json::Value::Null));
        let challenge = begin(&duo.engine, &bob).await;
        let waiting = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert!(matches!(waiting, Verify::Pending(_)), "{waiting:?}");
        let early = duo.engine.claim(&challenge.reference).await.unwrap();
        assert!(matches!(early, Verify::Pending(_)), "{early:?}");
        duo.provider.on(On::Poll, Say::Accept);
        let accepted = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert!(matches!(accepted, Verify::Pending(_)), "{accepted:?}");
        assert_eq!(duo.status(&challenge).await, Status::Verified);
        let claimed = duo.engine.claim(&challenge.reference).await.unwrap();
        assert!(matches!(claimed, Verify::Verified(_)), "{claimed:?}");
        let again = refused(duo.engine.claim(&challenge.reference).await.unwrap());
        assert_eq!(again.reason, Reason::AlreadyUsed);
    }

    async fn s13_a_start_that_is_an_attempt_counts_like_an_answer(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        duo.asks(On::Start, Charge::Attempt);
        duo.provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        let mut open = Vec::new();
        for _ in 0..40 {
            open.push(begin(&duo.engine, &bob).await);
        }
        let start = || Response::start(Choice::none());
        let mut judged = 0;
        for challenge in &open {
            let started = refused(duo.engine.verify(&challenge.reference, start()).await.unwrap());
            judged += u32::from(started.reason == Reason::WrongCode);
            assert!(matches!(started.reason, Reason::WrongCode | Reason::Locked), "{started:?}");
        }
        // The fifth failure brings the first delay, and no time has passed since.
        assert_eq!(judged, 5);
        assert_eq!(duo.requests(), 5, "what is not judged does not leave");
        let rest = judged_in_a_day(&world, async || {
            let Begin::Challenge(challenge) = duo.engine.begin(login(&bob)).await.unwrap() else { return None };
            Some(refused(duo.engine.verify(&challenge.reference, start()).await.unwrap()).reason)
        });
        assert_eq!(rest.await, 15);
    }

    async fn s13_no_effect_that_is_an_attempt_runs_while_locked_whatever_asks_for_it(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let (first, other) = (begin(&duo.engine, &bob).await, begin(&duo.engine, &bob).await);
        for on in [On::Begin, On::Start, On::Poll, On::Answer(WRONG.to_owned())] {
            duo.asks(on, Charge::Attempt);
        }
        duo.provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        for _ in 0..5 {
            let wrong = duo.engine.verify(&first.reference, Response::code(WRONG)).await.unwrap();
            assert_eq!(refused(wrong).reason, Reason::WrongCode);
        }
        for _ in 0..2 {
            for response in [Response::start(Choice::none()), Response::poll(), Response::code(WRONG)] {
                let locked = refused(duo.engine.verify(&other.reference, response).await.unwrap());
                assert_eq!(locked.reason, Reason::Locked);
                assert_eq!(locked.retry_after, Some(Duration::from_secs(1)));
            }
            match duo.engine.switch(&other.reference, &method("duo")).await.unwrap() {
                Changed::Rejected(rejected) => assert_eq!(rejected.reason, Reason::Locked),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(duo.requests(), 5, "what is not judged does not leave");
    }

    async fn s13_a_stopped_method_is_not_started(world) {
        let provider = ScriptedProvider::new("duo");
        let mut descriptor = provider.describe().clone();
        // No window over time limits answers of high entropy: only the stop does.
        descriptor.answer_bits = 128;
        let (duo, bob) = Acting::with(&world, provider.described_as(descriptor)).await;
        for on in [On::Start, On::Poll] {
            duo.asks(on, Charge::Attempt);
        }
        duo.provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        for judged in 0..100 {
            let first = begin(&duo.engine, &bob).await;
            let last = begin(&duo.engine, &bob).await;
            let wrong = duo.engine.verify(&first.reference, Response::start(Choice::none())).await.unwrap();
            assert_eq!(refused(wrong).reason, Reason::WrongCode, "after {judged}");
            if judged == 99 {
                for response in [Response::start(Choice::none()), Response::poll(), Response::code(RIGHT)] {
                    let stopped = refused(duo.engine.verify(&last.reference, response).await.unwrap());
                    assert_eq!((stopped.reason, stopped.retry_after), (Reason::Locked, None));
                }
            }
            world.clock.advance(LONGEST_DELAY);
        }
        assert_eq!(duo.requests(), 100);
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
        let denied = duo.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(_)), "{denied:?}");
    }

    async fn s13_a_switch_that_is_an_attempt_has_five_in_a_challenge(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let challenge = begin(&duo.engine, &bob).await;
        duo.asks(On::Begin, Charge::Attempt);
        duo.provider.on(On::HttpStatus(200), Say::Prompt(serde_json::Value::Null));
        for _ in 0..8 {
            let _ = duo.engine.switch(&challenge.reference, &method("duo")).await.unwrap();
            world.clock.advance(Duration::from_secs(10));
        }
        assert_eq!(duo.requests(), 5);
    }

    async fn s22_a_fraud_report_while_a_challenge_begins_is_not_lost(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        world.enrol_again(&bob).await;
        // A request that leads to another one, which is an attempt and is answered by the report.
        duo.asks(On::Begin, Charge::Push);
        duo.asks(On::HttpStatus(200), Charge::Attempt);
        duo.provider.on(On::HttpFault, Say::Reject(Reason::Fraud));
        duo.fails_from(2);
        let _ = duo.engine.begin(login(&bob)).await;
        assert_eq!(duo.requests(), 2);
        assert_eq!(refusals(&world).await, ["fraud"]);
        delayed(&duo.engine, login(&bob)).await;
    }

    async fn s22_nothing_else_happens_while_an_effect_runs_and_its_loss_is_told_once(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let _app = world.enrol_again(&bob).await;
        let Begin::Challenge(challenge) = duo.engine.begin(login(&bob).with_method(method("duo"))).await.unwrap()
        else { panic!() };
        duo.asks(On::Answer(WRONG.to_owned()), Charge::Attempt);
        duo.provider.on(On::Interrupted, Say::Prompt(serde_json::Value::Null));
        duo.provider.keeps_no_count();
        duo.hangs(true);
        {
            let mut answering = pin!(duo.engine.verify(&challenge.reference, Response::code(WRONG)));
            let mut context = Context::from_waker(Waker::noop());
            while duo.requests() == 0 {
                assert!(answering.as_mut().poll(&mut context).is_pending());
                std::thread::yield_now();
            }
        }
        let _seen = duo.provider.take_saw();
        assert!(matches!(duo.engine.switch(&challenge.reference, &method("totp")).await.unwrap(), Changed::Done(_)));
        assert!(matches!(duo.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        assert!(world.events_of(Kind::ChallengeSwitched).await.is_empty());
        assert!(duo.provider.take_saw().is_empty());
        world.clock.advance(Duration::from_secs(30));
        for _ in 0..2 {
            let poll = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert!(matches!(poll, Verify::Pending(_)), "{poll:?}");
        }
        let seen: Vec<_> = duo.provider.take_saw().into_iter().map(|saw| saw.event).collect();
        assert_eq!(seen, [On::Interrupted, On::Poll, On::Poll]);
    }

    async fn s22_a_result_that_comes_after_another_answer_s_is_dropped(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let challenge = begin(&duo.engine, &bob).await;
        duo.asks(On::Answer(WRONG.to_owned()), Charge::Attempt);
        duo.provider.on(On::Interrupted, Say::Prompt(serde_json::Value::Null));
        // Whatever is judged by the first result, it is not the second answer.
        duo.provider.on(On::HttpFault, Say::Accept);
        duo.hangs(true);
        let mut first = pin!(duo.engine.verify(&challenge.reference, Response::code(WRONG)));
        let mut second = pin!(duo.engine.verify(&challenge.reference, Response::code(WRONG)));
        let mut context = Context::from_waker(Waker::noop());
        while duo.requests() == 0 {
            assert!(first.as_mut().poll(&mut context).is_pending());
            std::thread::yield_now();
        }
        world.clock.advance(Duration::from_secs(30));
        while duo.requests() == 1 {
            assert!(second.as_mut().poll(&mut context).is_pending());
            std::thread::yield_now();
        }
        assert_eq!(refused(first.await.unwrap()).reason, Reason::Superseded);
        assert_eq!(world.events_of(Kind::EffectDropped).await.len(), 1);
    }

    async fn s14_a_verified_challenge_waits_for_its_claim_whatever_else_comes(world) {
        let (duo, bob) = Acting::new(&world, "duo").await;
        let _app = world.enrol_again(&bob).await;
        let Begin::Challenge(challenge) = duo.engine.begin(login(&bob).with_method(method("duo"))).await.unwrap()
        else { panic!() };
        duo.provider.on(On::Poll, Say::Accept);
        let _verified = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert_eq!(duo.status(&challenge).await, Status::Verified);
        let _seen = duo.provider.take_saw();
        for response in [Response::poll(), Response::code(WRONG), Response::code(RIGHT), Response::start(Choice::none())] {
            let told = duo.engine.verify(&challenge.reference, response).await.unwrap();
            assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        }
        assert!(matches!(duo.engine.switch(&challenge.reference, &method("totp")).await.unwrap(), Changed::Done(_)));
        assert!(matches!(duo.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        assert!(duo.provider.take_saw().is_empty());
        assert!(world.events_of(Kind::ChallengeSwitched).await.is_empty());
        assert!(matches!(duo.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }
}
