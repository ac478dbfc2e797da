//! Answers that arrive together: T7, T10 and T24, on one engine and on as many nodes as there are answers.

use std::sync::Arc;

use audit_model::Kind;
use futures::future::join_all;
use mfa::{Challenge, Engine, Error, Grant, Reason, Response, Verify};
use mfa_testkit::drop_at::YieldingStore;
use mfa_testkit::race::race;
use mfa_tests::probe::{
    answer, begin_unless_locked, failures_this_month, failures_today, meet, node_on, nodes_behind_a_gate,
};
use mfa_tests::{STEP, World, begin, on_stores};

/// How many answers race.
const MANY: usize = 64;

on_stores! {
    // gitea c0c11c5. Whoever reads the same state, decides on it: only the commit can tell them apart.
    async fn t07_one_code_on_one_challenge_and_64_nodes_is_granted_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, MANY).await;
        let challenge = world.begin(&bob).await;
        let code = app.code_at(world.now());
        meet(&gate, MANY);
        let answers = race(MANY, |n| verify(&nodes[n], &challenge, &code));
        let losers = expect_one_grant(&world, answers).await;
        assert!(losers.iter().all(|reason| *reason == Reason::AlreadyUsed), "{losers:?}");
    }

    async fn t07_one_code_on_64_challenges_and_64_nodes_is_granted_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, MANY).await;
        let challenges = challenges(&world, &bob, MANY).await;
        let code = app.code_at(world.now());
        meet(&gate, MANY);
        let answers = race(MANY, |n| verify(&nodes[n], &challenges[n], &code));
        let losers = expect_one_grant(&world, answers).await;
        assert!(losers.iter().all(|reason| *reason == Reason::Replayed), "{losers:?}");
        // A replay is no guess: racing nodes of an honest user do not lock that user out.
        assert_eq!(failures_today(&world, &bob).await, 0);
    }

    // Inside one process a user's calls wait for each other; there is nothing to meet at, only to come together.
    async fn t07_one_code_on_one_engine_is_granted_once_to_64_threads(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenges = challenges(&world, &bob, MANY).await;
        let code = app.code_at(world.now());
        let answers = race(MANY, |n| verify(&world.engine, &challenges[n], &code));
        expect_one_grant(&world, answers).await;
    }

    // On one thread, where every call gives way before and after each touch of the store: but for the engine's
    // own order all would have read before the first commits.
    async fn t07_one_code_on_one_engine_is_granted_once_to_64_interleaved_calls(world) {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(YieldingStore::new(Arc::clone(&world.store)));
        let node = node_on(&world, store).build().await.unwrap();
        let challenges = challenges(&world, &bob, MANY).await;
        let code = app.code_at(world.now());
        let answers = join_all(challenges.iter().map(|challenge| verify(&node, challenge, &code))).await;
        expect_one_grant(&world, answers).await;
    }

    // CVE-2025-6014 once more, with nobody first.
    async fn t26_two_spellings_of_one_code_racing_are_granted_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, 8).await;
        let challenges = challenges(&world, &bob, 8).await;
        let code = app.code_at(world.now());
        let (left, right) = code.split_at(3);
        let spellings = [code.clone(), format!("{left} {right}"), format!(" {left}-{right}\n")];
        meet(&gate, 8);
        let answers = race(8, |n| verify(&nodes[n], &challenges[n], &spellings[n % 3]));
        expect_one_grant(&world, answers).await;
    }

    // AuthQuake. Sixty-four sessions of one user guess at once: the budget is the user's, not the session's.
    async fn t10_guesses_on_64_challenges_and_nodes_never_exceed_the_users_budget(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, MANY).await;
        let mut judged_before = 0;
        for round in 1..=4 {
            let challenges = challenges(&world, &bob, MANY - 1).await;
            let last = world.begin(&bob).await;
            let wrong = app.wrong_code_at(world.now(), 2);
            meet(&gate, MANY - 1);
            let answers = race(MANY - 1, |n| verify(&nodes[n], &challenges[n], &wrong));
            let judged = expect_judged_or_not(answers);
            assert_eq!(judged, 5, "then the delays begin");
            assert_eq!(failures_today(&world, &bob).await, judged_before + 5);
            judged_before += 5;
            assert_eq!(world.events_of(Kind::UserLocked).await.len(), round, "the user is told");
            // The owner's success ends the delays, and the window of a day goes on counting.
            world.clock.advance(STEP);
            let refused = answer(&world.engine, &last, &app.code_at(world.now())).await;
            let expected = if round < 4 { None } else { Some(Reason::Locked) };
            assert_eq!(refused, expected, "{round}");
            for challenge in challenges {
                let cancelled = world.engine.cancel(&challenge.reference).await.unwrap();
                drop(cancelled);
            }
        }
        assert_eq!((failures_today(&world, &bob).await, failures_this_month(&world, &bob).await), (20, 20));
        assert_eq!(world.events_of(Kind::AnswerRejected).await.iter().filter(|e| wrong_code(e)).count(), 20);
        assert!(begin_unless_locked(&world.engine, &bob).await.is_none());
    }

    // kratos 8d4b3c3. No increment is lost, whether the failures share a challenge or not.
    async fn t24_failures_that_arrive_together_are_counted_to_the_last_one(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, 4).await;
        for round in 0_u64..5 {
            let challenges = challenges(&world, &bob, 4).await;
            let wrong = app.wrong_code_at(world.now(), 2);
            let shared = round % 2 == 0;
            meet(&gate, 4);
            let answers = race(4, |n| verify(&nodes[n], &challenges[if shared { 0 } else { n }], &wrong));
            assert_eq!(expect_judged_or_not(answers), 4);
            assert_eq!(failures_today(&world, &bob).await, (round + 1) * 4);
            assert_eq!(failures_this_month(&world, &bob).await, (round + 1) * 4);
            if shared {
                let status = world.engine.status(bob.account(), challenges[0].id).await.unwrap().unwrap();
                assert_eq!(status.verify_attempts, 4);
            }
            world.clock.advance(STEP);
            let refused = answer(&world.engine, &challenges[3], &app.code_at(world.now())).await;
            assert_eq!(refused.is_some(), round == 4, "the twentieth failure fills the day");
        }
        let mut places: Vec<_> = world.events().await.iter().filter_map(|e| e.stream()).map(|s| s.seq).collect();
        places.sort_unstable();
        let gapless: Vec<u64> = (1..=u64::try_from(places.len()).unwrap()).collect();
        assert_eq!(places, gapless, "no place of an event was given twice");
        assert_eq!(world.events_of(Kind::AnswerRejected).await.iter().filter(|e| wrong_code(e)).count(), 20);
    }

    // The fifth failure sets the delay, whichever of the racers it is: each consecutive failure counts too.
    async fn t24_the_fifth_of_failures_that_arrive_together_is_the_one_that_locks(world) {
        let (bob, app) = world.enrol("bob").await;
        let (gate, nodes) = nodes_behind_a_gate(&world, 4).await;
        let challenges = challenges(&world, &bob, 5).await;
        let wrong = app.wrong_code_at(world.now(), 2);
        meet(&gate, 4);
        let answers = race(4, |n| verify(&nodes[n], &challenges[n], &wrong));
        assert_eq!(expect_judged_or_not(answers), 4);
        assert!(world.events_of(Kind::UserLocked).await.is_empty());
        assert_eq!(answer(&world.engine, &challenges[4], &wrong).await, Some(Reason::WrongCode));
        assert_eq!(world.events_of(Kind::UserLocked).await.len(), 1);
        assert_eq!(answer(&world.engine, &challenges[4], &wrong).await, Some(Reason::Locked));
    }
}

async fn verify(engine: &Engine, challenge: &Challenge, code: &str) -> Result<Verify, Error> {
    engine.verify(&challenge.reference, Response::code(code)).await
}

async fn challenges(world: &World, subject: &mfa::Subject, n: usize) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for _ in 0..n {
        challenges.push(begin(&world.engine, subject).await);
    }
    challenges
}

/// Checks that one answer has the grant, and that the log knows of one; returns why the others were refused.
async fn expect_one_grant(world: &World, answers: Vec<Result<Verify, Error>>) -> Vec<Reason> {
    let (mut grants, mut losers) = (Vec::<Grant>::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(Verify::Verified(grant)) => grants.push(grant),
            Ok(Verify::Rejected(rejected)) => losers.push(rejected.reason),
            // Whoever lost races for two seconds was not judged.
            Err(Error::Contention) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(grants.len(), 1);
    assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
    losers
}

/// Returns how many wrong answers were judged; the others were told to wait.
fn expect_judged_or_not(answers: Vec<Result<Verify, Error>>) -> usize {
    let judged = |answer: &Result<Verify, Error>| match answer {
        Ok(Verify::Rejected(rejected)) if rejected.reason == Reason::WrongCode => true,
        Ok(Verify::Rejected(rejected)) if rejected.reason == Reason::Locked => false,
        Err(Error::Contention) => false,
        other => panic!("{other:?}"),
    };
    answers.iter().filter(|answer| judged(answer)).count()
}

fn wrong_code(event: &audit_model::Event) -> bool {
    event.reason() == Some("wrong_code")
}
