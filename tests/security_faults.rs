//! S22: a charge is never lost, and an unknown outcome tells nothing.
#![cfg(test)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use audit_model::Kind;
use mfa::{Commit, Committed, Error, Reason, Response, Store, StoreError, Subject, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::layer::{Layer, Layered};
use mfa_tests::attack::dump;
use mfa_tests::{TestStore, World, on_stores};

type Faulty = Arc<FaultStore<Arc<dyn TestStore>>>;

async fn failing(world: &World) -> (World, Faulty, Subject, SoftAuthenticator) {
    let faulty = Arc::new(FaultStore::new(world.store.clone()));
    let failing = World::on(faulty.clone(), None).await;
    let (bob, app) = failing.enrol("bob").await;
    (failing, faulty, bob, app)
}

fn reason(verify: &Verify) -> Option<Reason> {
    match verify {
        Verify::Rejected(rejected) => Some(rejected.reason),
        _ => None,
    }
}

/// Once it is armed, commits always lose the race.
#[derive(Debug, Default)]
struct Storm(AtomicBool);

#[async_trait]
impl Layer for Storm {
    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        match commit.writes.first() {
            Some(write) if self.0.load(Ordering::SeqCst) => Ok(Committed::Conflict(write.key().clone())),
            _ => store.commit(commit).await,
        }
    }
}

on_stores! {
    async fn s22_an_unknown_commit_that_happened_is_recognised_for_right_and_wrong_codes(world) {
        let (failing, faulty, bob, app) = failing(&world).await;
        let challenge = failing.begin(&bob).await;
        faulty.fail(At::AfterCommit, Fault::Unknown, 1);
        let wrong = failing.answer(&challenge, &app.wrong_code_at(failing.now(), 3)).await;
        assert!(faulty.heal());
        assert_eq!(reason(&wrong), Some(Reason::WrongCode));
        faulty.fail(At::AfterCommit, Fault::Unknown, 1);
        let right = failing.answer(&challenge, &app.code_at(failing.now())).await;
        assert!(faulty.heal());
        assert!(matches!(right, Verify::Verified(_)));
        let rejected = failing.events_of(Kind::AnswerRejected).await;
        assert!(rejected.iter().all(|e| e.reason() == Some("wrong_code")));
        assert_eq!(rejected.len(), 1);
        assert_eq!(failing.events_of(Kind::AnswerAccepted).await.len(), 1);
    }

    async fn s22_right_and_wrong_get_the_same_error_when_the_outcome_stays_unknown(world) {
        let (failing, faulty, bob, app) = failing(&world).await;
        let mut errors: Vec<[String; 3]> = Vec::new();
        for right in [false, true] {
            for (at, fault, and_read_back) in [
                (At::AfterCommit, Fault::Unknown, true),
                (At::BeforeCommit, Fault::Unknown, false),
                (At::BeforeCommit, Fault::Unavailable, false),
                (At::AfterCommit, Fault::Unavailable, false),
            ] {
                failing.clock.advance(mfa_tests::STEP);
                let challenge = failing.begin(&bob).await;
                let now = failing.now();
                let code = if right { app.code_at(now) } else { app.wrong_code_at(now, 3) };
                faulty.fail(at, fault, 1);
                if and_read_back {
                    faulty.fail_later(At::OnGet, Fault::Unavailable, 1, 1);
                }
                let error =
                    failing.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
                assert!(faulty.heal());
                assert_eq!(error.code(), "unavailable");
                errors.push([error.code().to_owned(), error.to_string(), format!("{error:?}")]);
            }
        }
        let (of_wrong, of_right) = errors.split_at(errors.len() / 2);
        assert_eq!(of_wrong, of_right);
        // No step was taken for a replay of itself.
        let reasons = failing.events_of(Kind::AnswerRejected).await;
        assert!(reasons.iter().all(|e| e.reason() != Some("replayed")));
    }

    async fn s22_a_commit_that_did_not_happen_charges_nothing(world) {
        let (failing, faulty, bob, app) = failing(&world).await;
        let challenge = failing.begin(&bob).await;
        let before = dump(&failing).await;
        for right in [false, true] {
            for (at, fault) in [
                (At::OnGet, Fault::Unavailable),
                (At::BeforeCommit, Fault::Unavailable),
                (At::BeforeCommit, Fault::Unknown),
            ] {
                let now = failing.now();
                let code = if right { app.code_at(now) } else { app.wrong_code_at(now, 3) };
                faulty.fail(at, fault, 1);
                assert!(failing.engine.verify(&challenge.reference, Response::code(&code)).await.is_err());
                assert!(faulty.heal());
                assert_eq!(dump(&failing).await, before);
            }
        }
        let verified = failing.answer(&challenge, &app.code_at(failing.now())).await;
        assert!(matches!(verified, Verify::Verified(_)));
    }

    async fn s22_a_lost_reply_to_a_right_answer_is_used_up_and_to_a_wrong_one_charged(world) {
        let (failing, faulty, bob, app) = failing(&world).await;
        for right in [false, true] {
            let challenge = failing.begin(&bob).await;
            let now = failing.now();
            let code = if right { app.code_at(now) } else { app.wrong_code_at(now, 3) };
            faulty.fail(At::AfterCommit, Fault::Unknown, 1);
            faulty.fail_later(At::OnGet, Fault::Unavailable, 1, 1);
            assert!(failing.engine.verify(&challenge.reference, Response::code(&code)).await.is_err());
            assert!(faulty.heal());
            let next = failing.answer(&challenge, &app.wrong_code_at(now, 3)).await;
            match next {
                Verify::Rejected(r) if right => assert_eq!(r.reason, Reason::AlreadyUsed),
                Verify::Rejected(r) => assert_eq!((r.reason, r.attempts_left), (Reason::WrongCode, 3)),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn s22_when_every_race_is_lost_nothing_is_judged_and_nothing_charged(world) {
        let storm = Arc::new(Layered::over(world.store.clone(), Storm::default()));
        let stormy = World::on(storm.clone(), None).await;
        let (bob, app) = stormy.enrol("bob").await;
        let challenge = stormy.begin(&bob).await;
        let before = dump(&stormy).await;
        storm.0.store(true, Ordering::SeqCst);
        for code in [app.wrong_code_at(stormy.now(), 3), app.code_at(stormy.now())] {
            let error = stormy.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            assert!(matches!(error, Error::Contention), "{error:?}");
            assert_eq!(dump(&stormy).await, before);
        }
        assert!(matches!(stormy.engine.begin(mfa_tests::login(&bob)).await, Err(Error::Contention)));
        storm.0.store(false, Ordering::SeqCst);
        let verified = stormy.answer(&challenge, &app.code_at(stormy.now())).await;
        assert!(matches!(verified, Verify::Verified(_)));
    }

    async fn s22_dropping_a_call_at_any_point_never_gives_an_attempt_back(world) {
        let yielding = World::on(Arc::new(YieldingStore::new(world.store.clone())), None).await;
        let (bob, app) = yielding.enrol("bob").await;
        let mut charged_after_drop = 0;
        for polls in 1..16 {
            // Old failures leave the windows, so that every drop meets the same state.
            yielding.clock.advance(std::time::Duration::from_secs(40 * 86_400));
            let challenge = yielding.begin(&bob).await;
            let wrong = app.wrong_code_at(yielding.now(), 3);
            let dropped =
                drop_at_poll(yielding.engine.verify(&challenge.reference, Response::code(&wrong)), polls);
            let Verify::Rejected(next) = yielding.answer(&challenge, &wrong).await else {
                panic!("judged right")
            };
            assert_eq!(next.reason, Reason::WrongCode);
            // What was committed by now is all that ever will be: a later commit would find another version.
            let events = yielding.events_of(Kind::AnswerRejected).await;
            let charged = events.iter().filter(|e| e.subject() == Some(*challenge.id.as_bytes())).count();
            assert_eq!(usize::from(next.attempts_left), 5 - charged, "poll {polls}");
            assert!(dropped.is_none() || charged == 2, "an answer without its charge at poll {polls}");
            charged_after_drop += usize::from(dropped.is_none() && charged == 2);
            let challenge = yielding.begin(&bob).await;
            let right = app.code_at(yielding.now());
            assert!(matches!(yielding.answer(&challenge, &right).await, Verify::Verified(_)));
        }
        assert!(charged_after_drop > 0, "some drop came between the commit and the answer");
    }
}
