//! What the user's budget covers, and that its end is told: T10.

use audit_model::{Event, Kind};
use mfa::{Answer, Challenge, Reason, Response, Subject};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::probe::{answer, begin_unless_locked, failures_today, refusal};
use mfa_tests::{STEP, World, begin, on_stores};

on_stores! {
    // AuthQuake. As many sessions as one user may have, each with its own attempts, on three nodes.
    async fn t10_no_session_has_guesses_of_its_own(world) {
        let (bob, app) = world.enrol("bob").await;
        let nodes = [world.node().build().await.unwrap(), world.node().build().await.unwrap()];
        let mut challenges = Vec::new();
        for n in 0..64 {
            challenges.push(begin(&nodes[n % 2], &bob).await);
        }
        let wrong = app.wrong_code_at(world.now(), 2);
        let right = app.code_at(world.now());
        let mut judged = 0;
        for round in 0..3 {
            for (n, challenge) in challenges.iter().enumerate() {
                let refused = answer(&nodes[(n + round) % 2], challenge, &wrong).await;
                judged += usize::from(refused == Some(Reason::WrongCode));
                if judged == 5 {
                    // Not even the right code tells anything while answers are not judged.
                    assert_eq!(answer(&world.engine, challenge, &right).await, Some(Reason::Locked));
                }
            }
        }
        assert_eq!(judged, 5, "five in a row, over all of them");
    }

    async fn t10_the_user_is_told_of_every_lock_once(world) {
        let (bob, app) = world.enrol("bob").await;
        for locks in 1..=3 {
            let challenge = world.begin(&bob).await;
            for _ in 0..9 {
                let wrong = app.wrong_code_at(world.now(), 2);
                assert!(answer(&world.engine, &challenge, &wrong).await.is_some());
            }
            let told = world.events_of(Kind::UserLocked).await;
            assert_eq!(told.len(), locks);
            assert!(told.iter().all(|event| event.user() == Some(bob.user()) && event.field("until").is_some()));
            world.clock.advance(STEP);
            let right = app.code_at(world.now());
            assert_eq!(answer(&world.engine, &world.begin(&bob).await, &right).await, None);
        }
    }

    // The owner's successes keep every delay away, and the budget of a day ends all the same.
    async fn t10_the_user_is_told_when_the_budget_of_a_day_is_used_up(world) {
        let (bob, app) = world.enrol("bob").await;
        for _ in 0..5 {
            let challenge = world.begin(&bob).await;
            assert!(world.events_of(Kind::UserLocked).await.is_empty());
            for _ in 0..4 {
                let wrong = app.wrong_code_at(world.now(), 2);
                assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
            }
            world.clock.advance(STEP);
            let right = app.code_at(world.now());
            if answer(&world.engine, &challenge, &right).await.is_some() {
                break;
            }
        }
        assert!(begin_unless_locked(&world.engine, &bob).await.is_none());
        let told = world.events_of(Kind::UserLocked).await;
        assert_eq!(told.len(), 1);
        let until = told[0].field("until").unwrap();
        assert!(until > told[0].at().plus(STEP * 100).to_string().as_str(), "not a delay's end: {until}");
    }

    // What is not of the method's kind is refused like a wrong code, and like a wrong code not at all while
    // answers are not judged: it would drive the count to the stop, a lever to disable somebody's method.
    async fn t10_answers_of_another_kind_are_no_way_around_the_lock_and_no_lever(world) {
        let (bob, app) = world.enrol("bob").await;
        let mut challenges = Vec::new();
        for _ in 0..30 {
            challenges.push(world.begin(&bob).await);
        }
        let kinds = [Answer::recovery("123456"), Answer::reply("123456")];
        let mut reasons = Vec::new();
        for challenge in &challenges {
            for kind in &kinds {
                let verified = world.engine.verify(&challenge.reference, Response::answer(kind.clone())).await;
                reasons.push(refusal(verified.unwrap()));
            }
        }
        assert_eq!(reasons[..5], [Some(Reason::WrongCode); 5]);
        assert_eq!(reasons[5..], [Some(Reason::Locked); 55]);
        assert_eq!(failures_today(&world, &bob).await, 5);
        assert!(world.events_of(Kind::EnrolmentStopped).await.is_empty());
        owner_is_back(&world, &bob, &app, &challenges).await;
    }
}

/// The delay is over soon, and the owner logs in.
async fn owner_is_back(world: &World, bob: &Subject, app: &SoftAuthenticator, open: &[Challenge]) {
    world.clock.advance(STEP);
    let begun: Vec<Event> = world.events_of(Kind::ChallengeBegun).await;
    assert_eq!(begun.len(), open.len());
    let right = app.code_at(world.now());
    assert_eq!(answer(&world.engine, &world.begin(bob).await, &right).await, None);
}
