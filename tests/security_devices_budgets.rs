//! S13: of the failures that a user may have, a third is kept for devices that succeeded before.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{Begin, DeniedReason, DeviceToken, Engine, Intent, Reason, Response, Subject, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::devices::{from, log_in, session_of, strangers_fail, with_trust};
use mfa_tests::doubles::{SLOW_CODE, SlowHash, enrol_in};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, host, on_stores};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Longer than the longest delay.
const PAST_DELAYS: Duration = Duration::from_secs(901);

/// Logs in and has the device known again.
async fn known(world: &World, bob: &Subject, app: &SoftAuthenticator) -> DeviceToken {
    let grant = log_in(&world.engine, world, bob, app, None).await;
    world.engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.expect("a device").token
}

/// Answers with a code from the device of `token`; `None` if the login is refused before.
async fn answer(engine: &Engine, bob: &Subject, token: Option<&DeviceToken>, code: &str) -> Option<Verify> {
    match engine.begin(from(bob, token)).await.expect("a begin") {
        Begin::Challenge(challenge) => {
            Some(engine.verify(&challenge.reference, Response::code(code)).await.expect("a judgement"))
        }
        Begin::Denied(_) => None,
        other => panic!("{other:?}"),
    }
}

/// Fails until nothing is judged any more, at most `times`, each past every delay; returns how often.
async fn fail(
    world: &World,
    bob: &Subject,
    app: &SoftAuthenticator,
    token: Option<&DeviceToken>,
    times: usize,
) -> usize {
    for n in 0..times {
        world.clock.advance(PAST_DELAYS);
        match answer(&world.engine, bob, token, &wrong_code(app, world.now())).await {
            None => return n,
            Some(Verify::Rejected(rejected)) if rejected.reason == Reason::Locked => return n,
            Some(Verify::Rejected(rejected)) => assert_eq!(rejected.reason, Reason::WrongCode),
            other => panic!("{other:?}"),
        }
    }
    times
}

async fn gets_in(world: &World, bob: &Subject, app: &SoftAuthenticator, token: Option<&DeviceToken>) -> bool {
    let code = app.code_at(world.now());
    let answered = answer(&world.engine, bob, token, &code).await;
    world.clock.advance(STEP);
    matches!(answered, Some(Verify::Verified(_)))
}

on_stores! {
    async fn s13_a_stranger_who_fails_all_the_time_does_not_lock_out_a_known_device(world) {
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        // As fast as they can: every delay is theirs alone.
        for _ in 0..5 {
            assert_eq!(strangers_fail(&world, &bob, &app, 1).await, 1);
        }
        assert_eq!(strangers_fail(&world, &bob, &app, 1).await, 0);
        assert!(!gets_in(&world, &bob, &app, None).await);
        assert!(gets_in(&world, &bob, &app, Some(&token)).await);
        // Until nothing of theirs is judged any more; the owner has mistyped twice, too.
        assert_eq!(fail(&world, &bob, &app, None, 30).await, 14 - 5);
        assert_eq!(fail(&world, &bob, &app, Some(&token), 2).await, 2);
        assert!(!gets_in(&world, &bob, &app, None).await);
        assert!(gets_in(&world, &bob, &app, Some(&token)).await);
        // A step-up from it as well.
        let asked = world.engine.step_up_begin(from(&bob, Some(&token)), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(asked, Begin::Challenge(_)), "{asked:?}");
        let strange = world.engine.step_up_begin(from(&bob, None), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(strange, Begin::Denied(_)), "{strange:?}");
    }

    async fn s13_both_together_have_as_many_guesses_as_ever(world) {
        for device_first in [true, false] {
            let (bob, app) = world.enrol(&format!("bob-{device_first}")).await;
            let token = known(&world, &bob, &app).await;
            // From the device, six of its own and then what is left of the others.
            let (first, second) = if device_first { (Some(&token), None) } else { (None, Some(&token)) };
            let failed = fail(&world, &bob, &app, first, 50).await;
            assert_eq!(failed, if device_first { 20 } else { 14 });
            assert_eq!(failed + fail(&world, &bob, &app, second, 50).await, 20);
            assert!(!gets_in(&world, &bob, &app, Some(&token)).await);
            world.clock.advance(DAY);
            assert!(gets_in(&world, &bob, &app, Some(&token)).await);
        }
        // What failed before there was a device counts as ever.
        let (bob, app) = world.enrol("late").await;
        for _ in 0..4 {
            assert_eq!(fail(&world, &bob, &app, None, 4).await, 4);
            assert!(gets_in(&world, &bob, &app, None).await);
        }
        let token = known(&world, &bob, &app).await;
        assert_eq!(fail(&world, &bob, &app, None, 50).await, 0);
        assert_eq!(fail(&world, &bob, &app, Some(&token), 50).await, 4);
    }

    async fn s13_in_thirty_days_a_third_of_a_hundred_is_the_devices(world) {
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        let (mut strange, mut own) = (0, 0);
        for _ in 0..28 {
            strange += fail(&world, &bob, &app, None, 4).await;
            if strange < 67 {
                assert!(gets_in(&world, &bob, &app, None).await);
            }
            own += fail(&world, &bob, &app, Some(&token), 2).await;
            assert_eq!(gets_in(&world, &bob, &app, Some(&token)).await, own < 33, "{strange} {own}");
            world.clock.advance(DAY.checked_sub(8 * PAST_DELAYS).unwrap());
        }
        assert_eq!((strange, own), (67, 33));
    }

    async fn s13_where_no_device_is_known_nothing_is_kept(world) {
        let (bob, app) = world.enrol("bob").await;
        assert_eq!(fail(&world, &bob, &app, None, 50).await, 20);
        // Nor once the devices are gone.
        let (bob, app) = world.enrol("carol").await;
        let token = known(&world, &bob, &app).await;
        world.clock.advance(30 * DAY);
        assert_eq!(fail(&world, &bob, &app, Some(&token), 50).await, 20);
    }

    async fn s13_a_banned_device_and_one_that_was_replaced_have_no_part_of_their_own(world) {
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        assert_eq!(fail(&world, &bob, &app, None, 50).await, 14);
        assert!(gets_in(&world, &bob, &app, Some(&token)).await);
        let (account, user) = (bob.account(), bob.user());
        let id = world.engine.devices(account, user).await.unwrap()[0].id;
        world.engine.device_revoke(account, user, id, &host()).await.unwrap();
        assert!(gets_in(&world, &bob, &app, Some(&token)).await, "revoked, it is known");
        world.engine.device_ban(account, user, id, &host()).await.unwrap();
        assert!(!gets_in(&world, &bob, &app, Some(&token)).await);
        let (carol, app) = world.enrol("carol").await;
        let old = known(&world, &carol, &app).await;
        let grant = log_in(&world.engine, &world, &carol, &app, Some(&old)).await;
        let new = world.engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        assert_eq!(fail(&world, &carol, &app, None, 50).await, 14);
        assert!(!gets_in(&world, &carol, &app, Some(&old)).await);
        assert!(gets_in(&world, &carol, &app, Some(&new.token)).await);
    }

    async fn s13_an_effect_gives_back_what_it_drew_where_it_drew_it(world) {
        let engine = world.node().provider(SlowHash::new()).build().await.unwrap();
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        let bob = bob.clone();
        world.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        enrol_in(&engine, &bob, "slow", SLOW_CODE).await;
        // Each right answer is charged and refunded: after many the device still has all six.
        for _ in 0..10 {
            let answered = answer(&engine, &bob, Some(&token), SLOW_CODE).await;
            assert!(matches!(answered, Some(Verify::Verified(_))), "{answered:?}");
        }
        let mut failed = 0;
        while let Some(Verify::Rejected(rejected)) = answer(&engine, &bob, Some(&token), "000000").await {
            assert_eq!(rejected.reason, Reason::WrongCode);
            failed += 1;
        }
        assert_eq!(failed, 6, "then the delay of the sixth holds for the device, too");
        world.clock.advance(HOUR);
        for _ in 0..14 {
            world.clock.advance(PAST_DELAYS);
            let refused = answer(&engine, &bob, None, "000000").await;
            assert!(matches!(refused, Some(Verify::Rejected(r)) if r.reason == Reason::WrongCode));
        }
        world.clock.advance(PAST_DELAYS);
        assert!(answer(&engine, &bob, None, SLOW_CODE).await.is_none());
    }

    async fn s13_nothing_is_kept_once_a_barrier_has_removed_the_devices(world) {
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        world.engine.restore_barrier("ops", "a backup came back").await.unwrap();
        world.clock.advance(STEP);
        assert_eq!(fail(&world, &bob, &app, None, 50).await, 20);
        assert!(!gets_in(&world, &bob, &app, Some(&token)).await);
    }

    async fn s13_a_challenge_says_which_known_device_it_came_from(world) {
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        let id = world.engine.devices(bob.account(), bob.user()).await.unwrap()[0].id.to_string();
        for (token, device) in [(Some(&token), Some(&*id)), (None, None)] {
            assert_eq!(opened(&world.engine, &bob, token, 1).await, 1);
            let begun = world.events_of(Kind::ChallengeBegun).await.pop().unwrap();
            assert_eq!(begun.field("device"), device);
            world.clock.advance(STEP);
        }
        drop(app);
    }

    async fn s13_a_third_of_the_open_challenges_is_kept_for_known_devices(world) {
        let engine = with_trust(world.node(), &json!({ "open_challenges": 6 })).build().await.unwrap();
        let (bob, app) = world.enrol("bob").await;
        let token = known(&world, &bob, &app).await;
        // As many as strangers may have open, and no more; the device begins still, and a step-up as well.
        assert_eq!(opened(&engine, &bob, None, 10).await, 4);
        let asked = engine.step_up_begin(from(&bob, Some(&token)), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(asked, Begin::Challenge(_)), "{asked:?}");
        assert_eq!(opened(&engine, &bob, Some(&token), 10).await, 1);
        // Where no device is known nothing is kept.
        let (carol, app) = world.enrol("carol").await;
        assert_eq!(opened(&engine, &carol, None, 10).await, 6);
        let (dave, app_of_dave) = world.enrol("dave").await;
        let token = known(&world, &dave, &app_of_dave).await;
        let id = engine.devices(dave.account(), dave.user()).await.unwrap()[0].id;
        engine.device_ban(dave.account(), dave.user(), id, &host()).await.unwrap();
        assert_eq!(opened(&engine, &dave, Some(&token), 10).await, 4, "banned, it is a stranger");
        drop(app);
    }
}

/// Begins until it is refused for what is open, at most `times`; returns how often it was not.
async fn opened(engine: &Engine, bob: &Subject, token: Option<&DeviceToken>, times: usize) -> usize {
    for n in 0..times {
        match engine.begin(from(bob, token)).await.expect("a begin") {
            Begin::Challenge(_) => {}
            Begin::Denied(denied) if denied.reason == DeniedReason::TooManyOpen => return n,
            other => panic!("{other:?}"),
        }
    }
    times
}
