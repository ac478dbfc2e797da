//! S25: clocks that step, and nodes that disagree about the time.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{Begin, Choice, Engine, EnrolConfirm, Reason, Response, Runtime, Timestamp, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::mailed::{Mailed, offering};
use mfa_tests::{STEP, begin, host, login, on_stores, totp};

const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

/// Moves a clock by hours or years, in both directions.
fn jump(clock: &VirtualRuntime, by: i64) {
    let amount = Duration::from_secs(by.unsigned_abs());
    let now = clock.now();
    clock.set(if by < 0 { now.minus(amount) } else { now.plus(amount) });
}

const JUMPS: [i64; 4] = [-3600, 3600, -31_536_000, 31_536_000];

/// A small generator, so that a walk is the same in every run.
struct Walk(u64);

impl Walk {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

async fn reason(engine: &Engine, challenge: &mfa::Challenge, code: &str) -> Option<Reason> {
    match engine.verify(&challenge.reference, Response::code(code)).await.unwrap() {
        Verify::Rejected(rejected) => Some(rejected.reason),
        Verify::Verified(_) => None,
        other => panic!("{other:?}"),
    }
}

on_stores! {
    async fn s25_an_expired_challenge_stays_expired_when_the_clock_steps_back(world) {
        for back in [Duration::from_secs(290), HOUR, YEAR] {
            let (bob, app) = world.enrol(&format!("bob-{}", back.as_secs())).await;
            let challenge = world.begin(&bob).await;
            world.clock.advance(Duration::from_secs(300));
            let late = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &challenge, &late).await, Some(Reason::Expired));
            world.clock.set(world.now().minus(back));
            let early = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &challenge, &early).await, Some(Reason::Expired));
            world.clock.set(world.now().plus(back));
        }
    }

    async fn s25_an_expiry_that_was_seen_dates_the_users_other_challenges_too(world) {
        let (bob, app) = world.enrol("bob").await;
        let (seen, other) = (world.begin(&bob).await, world.begin(&bob).await);
        world.clock.advance(Duration::from_secs(400));
        let late = app.code_at(world.now());
        assert_eq!(reason(&world.engine, &seen, &late).await, Some(Reason::Expired));
        world.clock.set(world.now().minus(Duration::from_secs(300)));
        let right = app.code_at(world.now());
        assert_eq!(reason(&world.engine, &other, &right).await, Some(Reason::Superseded));
    }

    async fn s25_a_login_judged_later_ends_what_was_begun_before_a_step_back(world) {
        for back in [HOUR, YEAR] {
            let (bob, app) = world.enrol(&format!("bob-{}", back.as_secs())).await;
            let early = world.begin(&bob).await;
            world.clock.advance(back);
            let late = world.begin(&bob).await;
            let used = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &late, &used).await, None);
            // Back to a time at which the first challenge would be alive.
            world.clock.set(world.now().minus(back).plus(Duration::from_secs(60)));
            let right = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &early, &right).await, Some(Reason::Superseded));
            assert_eq!(reason(&world.engine, &late, &used).await, Some(Reason::AlreadyUsed));
            let noted = world.events_of(Kind::ClockSteppedBack).await;
            assert!(noted.iter().any(|e| e.user() == Some(bob.user())));
            world.clock.advance(back);
        }
    }

    async fn s25_a_used_code_stays_used_across_steps_back_and_forth(world) {
        for by in JUMPS {
            let (bob, app) = world.enrol(&format!("bob{by}")).await;
            let challenge = world.begin(&bob).await;
            let used = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &challenge, &used).await, None);
            jump(&world.clock, by);
            // A login at the other time, if there is one, must not make the old code fresh.
            if let Begin::Challenge(other) = world.engine.begin(login(&bob)).await.unwrap() {
                let wrong = app.wrong_code_at(world.now(), 5);
                let _ = reason(&world.engine, &other, &wrong).await;
                assert_ne!(reason(&world.engine, &other, &used).await, None);
            }
            jump(&world.clock, -by);
            let again = world.begin(&bob).await;
            assert_eq!(reason(&world.engine, &again, &used).await, Some(Reason::Replayed), "{by}");
        }
    }

    async fn s25_a_spent_budget_stays_spent_after_a_step_back(world) {
        for back in [HOUR, YEAR] {
            let (bob, app) = world.enrol(&format!("bob-{}", back.as_secs())).await;
            for _ in 0..20 {
                let challenge = world.begin(&bob).await;
                let wrong = app.wrong_code_at(world.now(), 3);
                assert_eq!(reason(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
                world.clock.advance(Duration::from_secs(901));
            }
            world.clock.set(world.now().minus(back));
            for _ in 0..3 {
                let begun = world.engine.begin(login(&bob)).await.unwrap();
                assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
                world.clock.advance(Duration::from_secs(901));
            }
            world.clock.advance(back);
        }
    }

    async fn s25_a_delay_is_never_longer_than_its_own_length_after_a_step_back(world) {
        for back in [HOUR, YEAR] {
            let (bob, app) = world.enrol(&format!("bob-{}", back.as_secs())).await;
            // The clock runs ahead while somebody guesses, and is set right again.
            world.clock.advance(back);
            for _ in 0..10 {
                let challenge = world.begin(&bob).await;
                let wrong = app.wrong_code_at(world.now(), 3);
                assert_eq!(reason(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
                world.clock.advance(Duration::from_secs(32));
            }
            world.clock.set(world.now().minus(back));
            world.clock.advance(Duration::from_secs(900));
            // One retry is allowed: the first call finds the clock repaired.
            if let Begin::Denied(_) = world.engine.begin(login(&bob)).await.unwrap() {
                world.clock.advance(Duration::from_secs(900));
            }
            let challenge = world.begin(&bob).await;
            let right = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &challenge, &right).await, None);
            world.clock.advance(STEP);
        }
    }

    async fn s25_after_a_forward_jump_is_repaired_the_owner_logs_in_within_one_window(world) {
        for ahead in [HOUR, YEAR] {
            let (bob, app) = world.enrol(&format!("bob-{}", ahead.as_secs())).await;
            // The telephone's clock is right all the time; the node's is not.
            let telephone = world.now();
            let open = world.begin(&bob).await;
            world.clock.advance(ahead);
            let late = reason(&world.engine, &open, &app.code_at(telephone)).await;
            assert!(matches!(late, Some(Reason::Expired | Reason::NotFound)), "{late:?}");
            for _ in 0..3 {
                let challenge = world.begin(&bob).await;
                let code = app.code_at(telephone);
                assert_eq!(reason(&world.engine, &challenge, &code).await, Some(Reason::WrongCode));
            }
            let stale = world.begin(&bob).await;
            world.clock.set(telephone);
            let mut tries = 0;
            loop {
                tries += 1;
                assert!(tries <= 2, "one retry is allowed");
                let Begin::Challenge(challenge) = world.engine.begin(login(&bob)).await.unwrap() else {
                    continue;
                };
                if reason(&world.engine, &challenge, &app.code_at(telephone)).await.is_none() {
                    break;
                }
            }
            // What was begun in the future is not alive now.
            let refused = reason(&world.engine, &stale, &app.code_at(world.now().plus(STEP))).await;
            assert!(matches!(refused, Some(Reason::Superseded | Reason::Expired)), "{refused:?}");
            world.clock.advance(STEP);
        }
    }

    async fn s25_an_enrolment_that_expired_stays_expired_and_one_of_the_future_is_not_confirmed(world) {
        let bob = world.add("bob").await;
        for back in [HOUR, YEAR] {
            let started = || async {
                let begun = world
                    .engine
                    .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
                    .await
                    .unwrap();
                let uri = begun.revealed.get("uri").unwrap().expose_secret().to_owned();
                (begun, SoftAuthenticator::scan(&uri).unwrap())
            };
            let confirm = |reference: mfa::Reference, app: SoftAuthenticator| {
                let (engine, now) = (world.engine.clone(), world.now());
                async move {
                    let code = Response::code(&app.code_at(now));
                    match engine.enrol_confirm(&reference, &code).await.unwrap() {
                        EnrolConfirm::Rejected(rejected) => Some(rejected.reason),
                        _ => None,
                    }
                }
            };
            let (begun, app) = started().await;
            world.clock.advance(Duration::from_secs(600));
            let told = confirm(begun.reference.clone(), app.clone()).await;
            assert_eq!(told, Some(Reason::EnrolmentExpired));
            world.clock.set(world.now().minus(back));
            let again = confirm(begun.reference, app).await;
            assert!(matches!(again, Some(Reason::EnrolmentExpired | Reason::Superseded)), "{again:?}");
            // One that a node with a clock in the future began.
            world.clock.advance(back);
            let (begun, app) = started().await;
            world.clock.set(world.now().minus(back));
            let early = confirm(begun.reference, app).await;
            assert!(matches!(early, Some(Reason::EnrolmentExpired | Reason::Superseded)), "{early:?}");
            world.clock.advance(back);
        }
    }

    async fn s25_two_nodes_with_different_clocks_accept_nothing_twice_and_revive_nothing(world) {
        let (bob, app) = world.enrol("bob").await;
        let clocks = [world.clock.clone(), VirtualRuntime::new(world.now())];
        let nodes = [world.engine.clone(), world.node_at(&clocks[1]).build().await.unwrap()];
        let mut walk = Walk(25);
        let mut open: Vec<mfa::Challenge> = Vec::new();
        let mut over = BTreeSet::new();
        let mut accepted: BTreeMap<String, Timestamp> = BTreeMap::new();
        for _ in 0..400 {
            let node = walk.below(2);
            match walk.below(6) {
                0 => jump(&clocks[node], JUMPS[walk.below(4)]),
                1 => clocks[node].advance(STEP),
                // Ahead of every code that was used, so that logins go on.
                2 => clocks[node]
                    .set(accepted.values().copied().fold(clocks[1 - node].now(), Ord::max).plus(STEP)),
                3 | 4 if !open.is_empty() => {
                    let challenge = &open[walk.below(open.len())];
                    // The code of either clock: one's present is the other's past or future.
                    let code = app.code_at(clocks[walk.below(2)].now());
                    match reason(&nodes[node], challenge, &code).await {
                        None => {
                            assert!(over.insert(challenge.id), "a challenge came back to life");
                            let now = clocks[node].now();
                            assert!(accepted.insert(code, now).is_none(), "a code was accepted twice");
                        }
                        Some(
                            Reason::Expired | Reason::Superseded | Reason::AlreadyUsed | Reason::Exhausted,
                        ) => {
                            over.insert(challenge.id);
                        }
                        Some(_) => {}
                    }
                }
                _ => {
                    if let Begin::Challenge(challenge) = nodes[node].begin(login(&bob)).await.unwrap() {
                        open.push(challenge);
                    }
                }
            }
        }
        assert!(accepted.len() >= 3, "{}", accepted.len());
        assert!(over.len() > accepted.len());
        // Clocks that agree again let the owner in, once the codes used in the future are past.
        let latest = accepted.values().max().unwrap().max(&clocks[0].now()).plus(2 * YEAR);
        clocks.iter().for_each(|clock| clock.set(latest));
        let challenge = begin(&nodes[0], &bob).await;
        assert_eq!(reason(&nodes[1], &challenge, &app.code_at(latest)).await, None);
    }

    async fn s25_a_delivered_code_that_expired_is_expired_on_a_node_whose_clock_is_behind(world) {
        let settings = serde_json::json!({"ttl_s": 60});
        let mailed = Mailed::new(&world, settings.clone()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let behind = VirtualRuntime::new(world.now());
        let email = Delivered::email(mfa_tests::mailed::texts()).unwrap();
        let node = world.node_at(&behind).provider_with(email, settings).policy(offering(&["email"]));
        let node = node.transport(std::sync::Arc::new(mailed.inbox.clone())).build().await.unwrap();
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        world.clock.advance(Duration::from_secs(60));
        behind.advance(Duration::from_secs(50));
        // A wrong answer to another challenge, so that the user was judged at this time.
        let other = mailed.begin(&bob).await;
        let wrong = mfa_tests::mailed::another(&mailed.code());
        assert_eq!(reason(&mailed.engine, &other, &wrong).await, Some(Reason::WrongCode));
        assert_eq!(reason(&node, &challenge, &code).await, Some(Reason::Expired));
        // A code that either clock finds good is.
        let next = mailed.begin(&bob).await;
        let code = mailed.code();
        assert_eq!(reason(&node, &next, &code).await, None);
    }

    async fn s25_small_differences_between_nodes_are_no_event_and_refuse_nobody(world) {
        let (bob, app) = world.enrol("bob").await;
        let behind = VirtualRuntime::new(world.now().minus(Duration::from_secs(4)));
        let node = world.node_at(&behind).build().await.unwrap();
        for _ in 0..4 {
            let challenge = world.begin(&bob).await;
            let code = app.code_at(world.now());
            assert_eq!(reason(&node, &challenge, &code).await, None);
            world.clock.advance(STEP);
            behind.advance(STEP);
            let challenge = begin(&node, &bob).await;
            let code = app.code_at(world.now());
            assert_eq!(reason(&world.engine, &challenge, &code).await, None);
            world.clock.advance(STEP);
            behind.advance(STEP);
        }
        assert!(world.events_of(Kind::ClockSteppedBack).await.is_empty());
        // Six seconds behind the latest decision is told, and still refuses nobody.
        behind.set(world.now().minus(Duration::from_secs(6)));
        for _ in 0..2 {
            let challenge = world.begin(&bob).await;
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
            assert_eq!(reason(&node, &challenge, &wrong).await, Some(Reason::WrongCode));
        }
        let noted = world.events_of(Kind::ClockSteppedBack).await;
        assert_eq!(noted.len(), 2);
        assert!(noted.iter().all(|e| e.field("by_seconds") == Some("6")));
        let challenge = world.begin(&bob).await;
        assert_eq!(reason(&node, &challenge, &app.code_at(world.now())).await, None);
    }
}
