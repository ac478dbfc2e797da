//! S22 for effects: charged before they run, given back only if they provably never started.
#![cfg(test)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::{
    Challenge, Changed, Charge, EffectKind, Engine, EnrolConfirm, Error, HttpClient, HttpFault, HttpReply,
    NotDelivered, Reason, Rejected, RequestFacts, Response, Status, Subject, Verify,
};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::doubles::{SCRIPTED_CODE, SLOW_CODE, SlowHash, enrol_in, scripted};
use mfa_tests::mailed::Mailed;
use mfa_tests::{World, begin, on_stores};

const WRONG: &str = "135791";

async fn slow(world: &World) -> (Engine, Subject) {
    let engine = world.node().provider(SlowHash::new()).build().await.unwrap();
    let bob = world.add("bob").await;
    enrol_in(&engine, &bob, "slow", SLOW_CODE).await;
    (engine, bob)
}

async fn answer(engine: &Engine, challenge: &Challenge, code: &str) -> Verify {
    engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

fn wrong(verify: Verify) -> Rejected {
    match verify {
        Verify::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

/// Judges wrong answers until the user is locked, at once, and returns how many were judged.
async fn judged_until_locked(world: &World, engine: &Engine, bob: &Subject) -> u32 {
    let mut judged = 0;
    loop {
        match engine.begin(mfa_tests::login(bob)).await.unwrap() {
            mfa::Begin::Challenge(challenge) => match wrong(answer(engine, &challenge, WRONG).await).reason {
                Reason::WrongCode => judged += 1,
                Reason::Locked => {}
                other => panic!("{other:?}"),
            },
            mfa::Begin::Denied(denied) => {
                let wait = denied.retry_after.unwrap();
                if wait > Duration::from_secs(900) {
                    return judged;
                }
                world.clock.advance(wait);
            }
            other => panic!("{other:?}"),
        }
        assert!(judged <= 20);
    }
}

/// A client whose first answer never comes; the others are 200.
#[derive(Debug, Default)]
struct FirstHangs(AtomicBool);

#[async_trait]
impl HttpClient for FirstHangs {
    async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        if !self.0.swap(true, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(http::Response::new(Vec::new()))
    }
}

on_stores! {
    async fn s14_a_resend_that_is_refused_for_good_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, serde_json::Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        for _ in 0..2 {
            world.clock.advance(Duration::from_secs(30));
            mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
            let refused = mailed.engine.resend(&challenge.reference).await.unwrap();
            assert!(matches!(refused, Changed::Rejected(r) if r.reason == Reason::Unavailable), "{refused:?}");
            mailed.inbox.mend();
        }
        assert!(mailed.inbox.take().is_empty());
        assert!(matches!(answer(&mailed.engine, &challenge, &code).await, Verify::Verified(_)));
    }

    async fn s14_a_set_up_s_resend_that_is_refused_for_good_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, serde_json::Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "email").await.unwrap();
        let code = mailed.code();
        world.clock.advance(Duration::from_secs(30));
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let refused = mailed.engine.enrol_resend(&started.reference, &RequestFacts::new()).await.unwrap();
        assert!(matches!(refused, EnrolConfirm::Rejected(r) if r.reason == Reason::Unavailable), "{refused:?}");
        assert!(mailed.inbox.take().is_empty());
        let right = mailed.engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
        assert!(matches!(right, EnrolConfirm::Confirmed(_)), "{right:?}");
    }

    async fn s22_a_slow_hash_is_charged_before_it_runs(world) {
        let (engine, bob) = slow(&world).await;
        let challenge = begin(&engine, &bob).await;
        let refused = wrong(answer(&engine, &challenge, WRONG).await);
        assert_eq!((refused.reason, refused.attempts_left), (Reason::WrongCode, 4));
        // Where no result comes, the charge is there and the verdict is not.
        let lost = begin(&engine, &bob).await;
        world.clock.lose_jobs(1);
        assert!(engine.verify(&lost.reference, Response::code(WRONG)).await.is_err());
        let status = engine.status(bob.account(), lost.id).await.unwrap().unwrap();
        assert_eq!((status.status, status.verify_attempts), (Status::Sent, 1));
        assert_eq!(world.events_of(Kind::EffectCharged).await.len(), 2);
        assert_eq!(world.events_of(Kind::AnswerRejected).await.len(), 1);
        assert!(matches!(answer(&engine, &challenge, SLOW_CODE).await, Verify::Verified(_)));
        assert!(matches!(wrong(answer(&engine, &challenge, SLOW_CODE).await).reason, Reason::AlreadyUsed));
    }

    async fn s22_a_full_pool_gives_the_charge_back_and_a_lost_result_keeps_it(world) {
        let (engine, bob) = slow(&world).await;
        let challenge = begin(&engine, &bob).await;
        for code in [WRONG, SLOW_CODE, WRONG, SLOW_CODE, WRONG, SLOW_CODE, WRONG] {
            world.clock.refuse_jobs(1);
            let error = engine.verify(&challenge.reference, Response::code(code)).await.unwrap_err();
            assert!(matches!(error, Error::Busy), "{error:?}");
        }
        assert_eq!(wrong(answer(&engine, &challenge, WRONG).await).attempts_left, 4);
        // The job ran and its result is lost: charged, whatever the code was, and the error is the same.
        let mut errors = Vec::new();
        for code in [WRONG, SLOW_CODE] {
            world.clock.lose_jobs(1);
            let error = engine.verify(&challenge.reference, Response::code(code)).await.unwrap_err();
            errors.push((error.code(), error.to_string()));
            // Until the effect's deadline nothing else is judged.
            assert!(matches!(answer(&engine, &challenge, SLOW_CODE).await, Verify::Pending(_)));
            world.clock.advance(Duration::from_secs(30));
        }
        assert_eq!(errors[0], errors[1]);
        assert_eq!(errors[0].0, "unavailable");
        assert_eq!(wrong(answer(&engine, &challenge, WRONG).await).attempts_left, 1);
        // Seven refused, two lost, two wrong: the budget of 20 has 16 left.
        assert_eq!(judged_until_locked(&world, &engine, &bob).await, 16);
    }

    async fn s22_lost_results_use_up_the_attempts_of_a_challenge(world) {
        let (engine, bob) = slow(&world).await;
        let challenge = begin(&engine, &bob).await;
        for _ in 0..5 {
            world.clock.lose_jobs(1);
            assert!(engine.verify(&challenge.reference, Response::code(SLOW_CODE)).await.is_err());
            world.clock.advance(Duration::from_secs(31));
        }
        let ran = world.clock.jobs_run();
        let refused = wrong(answer(&engine, &challenge, SLOW_CODE).await);
        assert_eq!(refused.reason, Reason::Exhausted);
        assert_eq!(world.clock.jobs_run(), ran, "no sixth answer is judged");
        let status = engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.status, Status::Failed);
    }

    async fn s22_a_right_slow_answer_takes_its_own_charge_back_and_no_other(world) {
        let (engine, bob) = slow(&world).await;
        // 19 right answers of the slow kind leave the windows as they were.
        for _ in 0..19 {
            let challenge = begin(&engine, &bob).await;
            assert!(matches!(answer(&engine, &challenge, SLOW_CODE).await, Verify::Verified(_)));
        }
        let challenge = begin(&engine, &bob).await;
        assert_eq!(wrong(answer(&engine, &challenge, WRONG).await).reason, Reason::WrongCode);
        assert!(matches!(answer(&engine, &challenge, SLOW_CODE).await, Verify::Verified(_)));
        // The wrong one stays.
        assert_eq!(judged_until_locked(&world, &engine, &bob).await, 19);
    }

    async fn s22_twenty_lost_results_spend_the_days_budget(world) {
        let (engine, bob) = slow(&world).await;
        let mut lost = 0;
        loop {
            let challenge = match engine.begin(mfa_tests::login(&bob)).await.unwrap() {
                mfa::Begin::Challenge(challenge) => challenge,
                mfa::Begin::Denied(denied) if denied.retry_after.unwrap() > Duration::from_secs(900) => break,
                mfa::Begin::Denied(denied) => {
                    world.clock.advance(denied.retry_after.unwrap());
                    continue;
                }
                other => panic!("{other:?}"),
            };
            world.clock.lose_jobs(1);
            assert!(engine.verify(&challenge.reference, Response::code(SLOW_CODE)).await.is_err());
            lost += 1;
            assert!(lost <= 20);
        }
        assert_eq!(lost, 20);
    }

    async fn s22_a_result_that_comes_after_another_answer_is_dropped_with_an_event(world) {
        let provider = scripted(vec![EffectKind::Http]);
        provider
            .on(On::Answer("222222".to_owned()), Say::Http("http://localhost/".to_owned(), Charge::Attempt));
        provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        provider.on(On::HttpFault, Say::Accept);
        provider.on(On::Interrupted, Say::Prompt(serde_json::Value::Null));
        let builder = world.node().provider(provider).http(Arc::new(FirstHangs::default()));
        let engine = builder.build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engine, &bob).await;
        let mut hanging = pin!(engine.verify(&challenge.reference, Response::code("222222")));
        let mut context = Context::from_waker(Waker::noop());
        // SQLite answers from its own threads: poll until the effect is charged.
        while world.events_of(Kind::EffectCharged).await.is_empty() {
            assert!(hanging.as_mut().poll(&mut context).is_pending());
        }
        assert!(hanging.as_mut().poll(&mut context).is_pending());
        // Another answer, past the effect's deadline, interrupts it and is judged on its own.
        world.clock.advance(Duration::from_secs(31));
        let second = wrong(answer(&engine, &challenge, "222222").await);
        assert_eq!((second.reason, second.attempts_left), (Reason::WrongCode, 3));
        // The first one's result, which would be accepted, comes now.
        let late = wrong(hanging.await.unwrap());
        assert_eq!(late.reason, Reason::Superseded);
        assert_eq!(world.events_of(Kind::EffectDropped).await.len(), 1);
        assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
        assert_eq!(wrong(answer(&engine, &challenge, "000000").await).attempts_left, 2);
    }

    async fn s22_a_result_for_a_challenge_that_was_cancelled_is_dropped_with_an_event(world) {
        let provider = scripted(vec![EffectKind::Http]);
        provider
            .on(On::Answer("222222".to_owned()), Say::Http("http://localhost/".to_owned(), Charge::Attempt));
        provider.on(On::HttpFault, Say::Accept);
        let builder = world.node().provider(provider).http(Arc::new(FirstHangs::default()));
        let engine = builder.build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engine, &bob).await;
        let mut hanging = pin!(engine.verify(&challenge.reference, Response::code("222222")));
        let mut context = Context::from_waker(Waker::noop());
        while world.events_of(Kind::EffectCharged).await.is_empty() {
            assert!(hanging.as_mut().poll(&mut context).is_pending());
        }
        assert!(hanging.as_mut().poll(&mut context).is_pending());
        assert!(matches!(engine.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
        world.clock.advance(Duration::from_secs(31));
        assert_eq!(wrong(hanging.await.unwrap()).reason, Reason::Cancelled);
        assert_eq!(world.events_of(Kind::EffectDropped).await.len(), 1);
        assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
    }
}
