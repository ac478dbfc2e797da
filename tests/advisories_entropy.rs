//! Random bytes that are not: T20. A source that fails, gives too little, zeros or the same again.

use std::sync::Arc;

use mfa::{BuildError, Choice, Engine, EnrolConfirm, EntropyError, Error, Response};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::{EntropyFault, FaultyEntropy};
use mfa_tests::probe::answer;
use mfa_tests::{STEP, World, host, login, on_stores, totp};

const FAULTS: [(EntropyFault, EntropyError); 4] = [
    (EntropyFault::Fails, EntropyError::Unavailable),
    (EntropyFault::Short, EntropyError::ZeroBlock),
    (EntropyFault::ZeroBlock, EntropyError::ZeroBlock),
    (EntropyFault::Repeats, EntropyError::Repeated),
];

on_stores! {
    // pquerna/otp #100.
    async fn t20_without_sound_randomness_no_secret_is_ever_made(world) {
        let bob = world.add("bob").await;
        for (fault, expected) in FAULTS {
            let node = node(&world, fault).await;
            let (account, user) = (bob.account(), bob.user());
            for _ in 0..3 {
                let begun = node.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await;
                expect_entropy(begun, expected);
            }
            expect_entropy(node.revoke(account, user, &host()).await, expected);
        }
        assert!(world.events().await.is_empty(), "nothing was begun");
        world.enrol_again(&bob).await;
    }

    async fn t20_without_sound_randomness_no_enrolment_is_confirmed(world) {
        let bob = world.add("bob").await;
        let (account, user) = (bob.account(), bob.user());
        let started = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
        let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
        let right = Response::code(&app.code_at(world.now()));
        let wrong = Response::code(&app.wrong_code_at(world.now(), 2));
        for (fault, expected) in FAULTS {
            let node = node(&world, fault).await;
            expect_entropy(node.enrol_confirm(&started.reference, &right).await, expected);
            expect_entropy(node.enrol_confirm(&started.reference, &wrong).await, expected);
        }
        assert_eq!(world.events().await.len(), 1, "the begin alone");
        let confirmed = world.engine.enrol_confirm(&started.reference, &right).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "nothing was charged: {confirmed:?}");
    }

    async fn t20_without_sound_randomness_nobody_is_let_in_and_no_answer_is_judged(world) {
        let (bob, app) = world.enrol("bob").await;
        let nobody = world.add("nobody").await;
        for (fault, expected) in FAULTS {
            world.clock.advance(STEP);
            let (challenge, before) = (world.begin(&bob).await, world.events().await.len());
            let node = node(&world, fault).await;
            let (right, wrong) = (app.code_at(world.now()), app.wrong_code_at(world.now(), 2));
            expect_entropy(node.begin(login(&bob)).await, expected);
            expect_entropy(node.begin(login(&nobody)).await, expected);
            expect_entropy(node.verify(&challenge.reference, Response::code(&wrong)).await, expected);
            expect_entropy(node.verify(&challenge.reference, Response::code(&right)).await, expected);
            expect_entropy(node.cancel(&challenge.reference).await, expected);
            assert_eq!(world.events().await.len(), before);
            let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
            assert_eq!(status.verify_attempts, 0);
            assert_eq!(answer(&world.engine, &challenge, &right).await, None, "nothing was spent");
        }
    }

    async fn t20_no_engine_opens_without_sound_randomness(world) {
        for (fault, expected) in FAULTS.into_iter().filter(|(fault, _)| *fault != EntropyFault::Repeats) {
            let entropy = Arc::new(FaultyEntropy::new(fault, 0));
            let error = world.node().entropy(entropy).build().await.unwrap_err();
            assert!(matches!(error, BuildError::Entropy(cause) if cause == expected), "{error:?}");
        }
    }
}

/// A node whose source is sound while it opens, and has `fault` from then on.
async fn node(world: &World, fault: EntropyFault) -> Engine {
    world.node().entropy(Arc::new(FaultyEntropy::new(fault, 1))).build().await.unwrap()
}

fn expect_entropy<T: std::fmt::Debug>(answer: Result<T, Error>, expected: EntropyError) {
    let error = answer.unwrap_err();
    assert!(matches!(error, Error::Entropy(cause) if cause == expected), "{error:?}");
    assert_eq!(error.code(), "unavailable");
}
