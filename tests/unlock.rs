//! S13: three codes that lift a delay, and nothing else.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{NoticeKind, Reason, Rejected, Response, Subject, Unlocked};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::race::race;
use mfa_tests::probe::{
    answer, begin_unless_locked, failures_this_month, failures_today, meet, nodes_behind_a_gate, refusal,
};
use mfa_tests::saved::PAST_A_DELAY;
use mfa_tests::{STEP, World, login, on_stores};

const DAY: Duration = Duration::from_secs(86_400);

on_stores! {
    async fn s13_three_codes_lift_a_delay_and_count_for_nothing_else(world) {
        let (world, inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, _) = world.enrol_with_recovery(&bob).await;
        world.engine.drain_outbox(10).await.unwrap();
        let _enrolled = inbox.take();
        delay(&world, &bob, &app, 12).await;
        assert_eq!(failures_today(&world, &bob).await, 12);
        let challenge = world.begin(&bob).await;
        let codes = three(&app, &world);
        assert_eq!(unlock(&world, &bob, &codes).await, Unlocked::Done);
        // Answers are judged at once; the windows of a day and a month are as they were.
        let wrong = app.wrong_code_at(world.now(), 4);
        assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
        assert_eq!((failures_today(&world, &bob).await, failures_this_month(&world, &bob).await), (13, 13));
        // None of the three logs in; the oldest is out of the window besides.
        let told = [&codes[0], &codes[1], &codes[2]].map(|code| answer(&world.engine, &challenge, code));
        let told = futures::future::join_all(told).await;
        assert_eq!(told, [Reason::WrongCode, Reason::Replayed, Reason::Replayed].map(Some));
        world.clock.advance(STEP);
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
        let unlocked = world.events_of(Kind::UserUnlocked).await;
        assert_eq!((unlocked.len(), unlocked[0].field("authority")), (1, Some("codes")));
        world.engine.drain_outbox(10).await.unwrap();
        let told = inbox.take();
        assert!(told.iter().any(|m| m.subject.as_deref() == Some(NoticeKind::Unlocked.subject())), "{told:?}");
    }

    // Whichever is wrong, and however many, the answer is the same.
    async fn s13_a_wrong_unlocking_tells_nothing_of_which_code_was_wrong(world) {
        let mut told = Vec::new();
        for (n, wrong) in [[true, false, false], [false, true, false], [false, false, true], [true; 3]].into_iter().enumerate() {
            let (bob, app) = world.enrol(&format!("bob{n}")).await;
            delay(&world, &bob, &app, 5).await;
            world.clock.advance(STEP * 3);
            let mut codes = three(&app, &world);
            for (code, _) in codes.iter_mut().zip(wrong).filter(|(_, wrong)| *wrong) {
                *code = app.wrong_code_at(world.now(), 9);
            }
            let rejected = refused(unlock(&world, &bob, &codes).await);
            assert_eq!(rejected.reason, Reason::WrongCode, "{wrong:?}");
            told.push((rejected, rejected.public()));
            // Charged like any other, as one.
            assert_eq!(failures_today(&world, &bob).await, 6);
            // Not one of the right ones was used up by it, or the delay lifted.
            let right = three(&app, &world);
            assert_eq!(unlock(&world, &bob, &right).await, Unlocked::Done, "{wrong:?}");
        }
        assert!(told.iter().all(|each| *each == told[0]), "{told:?}");
        let rejected = world.events_of(Kind::UnlockRejected).await;
        assert_eq!(rejected.len(), 4);
        assert!(rejected.iter().all(|event| event.reason() == Some("wrong_code")));
    }

    async fn s13_consecutive_codes_in_another_order_or_with_a_gap_are_wrong(world) {
        for (n, (first, second, third)) in [(2, 1, 0), (2, 0, 1), (2, 2, 2), (3, 1, 0), (5, 4, 3)].into_iter().enumerate() {
            let (bob, app) = world.enrol(&format!("bob{n}")).await;
            delay(&world, &bob, &app, 5).await;
            world.clock.advance(STEP * 7);
            let step = world.now().unix_seconds() / 30;
            let codes = [first, second, third].map(|back: u64| app.code_of_step(step - back));
            let unlocked = unlock(&world, &bob, &codes).await;
            if n == 0 {
                assert_eq!(unlocked, Unlocked::Done);
            } else {
                assert_eq!(refused(unlocked).reason, Reason::WrongCode, "{n}");
            }
        }
    }

    async fn s13_the_same_three_codes_lift_nothing_again(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        let codes = three(&app, &world);
        assert_eq!(unlock(&world, &bob, &codes).await, Unlocked::Done);
        let challenge = world.begin(&bob).await;
        for _ in 0..5 {
            let wrong = app.wrong_code_at(world.now(), 4);
            assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
        }
        // The last two of them with the next are no three fresh ones either.
        assert_eq!(refused(unlock(&world, &bob, &codes).await).reason, Reason::WrongCode);
        assert_eq!(failures_today(&world, &bob).await, 11);
        world.clock.advance(DAY);
        delay(&world, &bob, &app, 1).await;
        world.clock.advance(STEP * 3);
        let codes = three(&app, &world);
        assert_eq!(unlock(&world, &bob, &codes).await, Unlocked::Done);
    }

    async fn s13_codes_that_overlap_used_ones_lift_nothing(world) {
        let (bob, app) = world.enrol("bob").await;
        world.clock.advance(STEP * 3);
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP);
        let overlapping = three(&app, &world);
        assert_eq!(refused(unlock(&world, &bob, &overlapping).await).reason, Reason::WrongCode);
    }

    async fn s13_it_can_be_tried_twice_a_day(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        let wrong = ["000000", "000001", "000002"].map(str::to_owned);
        for _ in 0..2 {
            assert_eq!(refused(unlock(&world, &bob, &wrong).await).reason, Reason::WrongCode);
        }
        // Neither wrong nor right is judged now, nor charged.
        for codes in [&wrong, &three(&app, &world)] {
            let third = refused(unlock(&world, &bob, codes).await);
            assert_eq!(third.reason, Reason::Locked);
            let wait = third.retry_after.expect("the day's end");
            assert_eq!(world.now().plus(wait).unix_seconds() % 86_400, 0, "{wait:?}");
        }
        assert_eq!(failures_today(&world, &bob).await, 7);
        // The delay runs off by itself, and the next day there are two more.
        world.clock.advance(DAY);
        assert_eq!(unlock(&world, &bob, &three(&app, &world)).await, Unlocked::Done);
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        assert_eq!(unlock(&world, &bob, &three(&app, &world)).await, Unlocked::Done);
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        assert_eq!(refused(unlock(&world, &bob, &three(&app, &world)).await).reason, Reason::Locked);
    }

    async fn s13_neither_a_full_day_nor_a_full_month_nor_the_stop_is_lifted(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 20).await;
        world.clock.advance(PAST_A_DELAY);
        let day = refused(unlock(&world, &bob, &three(&app, &world)).await);
        assert_eq!(day.reason, Reason::Locked);
        assert!(day.retry_after.expect("a day's end") > PAST_A_DELAY);
        assert_eq!(failures_today(&world, &bob).await, 20);
        // A hundred in a row, five days later.
        for _ in 0..4 {
            world.clock.advance(DAY + PAST_A_DELAY * 8);
            delay(&world, &bob, &app, 20).await;
        }
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
        world.clock.advance(DAY * 40);
        let stopped = refused(unlock(&world, &bob, &three(&app, &world)).await);
        assert_eq!((stopped.reason, stopped.retry_after), (Reason::Locked, None));
        assert_eq!(judged_wrong(&world).await, 0);
        assert!(world.events_of(Kind::UserUnlocked).await.is_empty());
    }

    // A wrong unlocking is a failure like any other: the one that fills the day or reaches the stop is told so.
    async fn s13_an_unlocking_that_fills_the_day_or_reaches_the_stop_says_so(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 19).await;
        let locks = world.events_of(Kind::UserLocked).await.len();
        let wrong = ["000000", "000001", "000002"].map(str::to_owned);
        assert_eq!(refused(unlock(&world, &bob, &wrong).await).reason, Reason::WrongCode);
        let told = world.events_of(Kind::UserLocked).await;
        assert_eq!(told.len(), locks + 1);
        assert!(told[locks].field("until").is_some());
        for day in 1..=4 {
            world.clock.advance(DAY + PAST_A_DELAY * 8);
            delay(&world, &bob, &app, if day == 4 { 19 } else { 20 }).await;
        }
        assert!(world.events_of(Kind::EnrolmentStopped).await.is_empty());
        assert_eq!(refused(unlock(&world, &bob, &wrong).await).reason, Reason::WrongCode);
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
    }

    async fn s13_where_there_is_nothing_to_lift_nothing_is_judged(world) {
        let (bob, app) = world.enrol("bob").await;
        world.clock.advance(STEP * 3);
        let codes = three(&app, &world);
        assert_eq!(refused(unlock(&world, &bob, &codes).await).reason, Reason::Unavailable);
        delay(&world, &bob, &app, 4).await;
        assert_eq!(refused(unlock(&world, &bob, &codes).await).reason, Reason::Unavailable);
        let nobody = world.add("nobody").await;
        assert_eq!(refused(unlock(&world, &nobody, &codes).await).reason, Reason::NotFound);
        // Malformed codes are not judged, and no try.
        delay(&world, &bob, &app, 1).await;
        for _ in 0..3 {
            let malformed = ["12345".to_owned(), codes[1].clone(), codes[2].clone()];
            assert_eq!(refused(unlock(&world, &bob, &malformed).await).reason, Reason::Malformed);
        }
        assert_eq!(failures_today(&world, &bob).await, 5);
        assert_eq!(judged_wrong(&world).await, 0);
        world.clock.advance(STEP);
        assert_eq!(unlock(&world, &bob, &three(&app, &world)).await, Unlocked::Done);
    }

    // The host's login says that the first factor was verified; nothing of a challenge is asked for or handed out.
    async fn s13_another_generation_of_the_user_unlocks_nothing(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        let codes = three(&app, &world);
        let next = bob.clone().with_generation("2").unwrap();
        assert_eq!(refused(unlock(&world, &next, &codes).await).reason, Reason::NotFound);
        let other = mfa_tests::subject("carol");
        assert_eq!(refused(unlock(&world, &other, &codes).await).reason, Reason::NotFound);
        assert_eq!(unlock(&world, &bob, &codes).await, Unlocked::Done);
    }

    async fn s13_three_right_codes_given_64_times_at_once_unlock_once(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 5).await;
        world.clock.advance(STEP * 3);
        let codes = three(&app, &world);
        let (gate, nodes) = nodes_behind_a_gate(&world, 64).await;
        meet(&gate, 64);
        let told = race(64, |n| {
            let (bob, codes, node) = (&bob, codes.each_ref().map(String::as_str), &nodes[n]);
            async move { node.unlock_with_codes(&login(bob), codes).await }
        });
        let done = told.iter().filter(|told| matches!(told, Ok(Unlocked::Done))).count();
        assert_eq!(done, 1);
        assert_eq!(world.events_of(Kind::UserUnlocked).await.len(), 1);
        // There was nothing left to lift for the others: not judged, so not charged.
        assert_eq!(failures_today(&world, &bob).await, 5);
        let others = told.iter().filter_map(|told| match told {
            Ok(Unlocked::Rejected(rejected)) => Some(rejected.reason),
            _ => None,
        });
        assert!(others.into_iter().all(|reason| reason == Reason::Unavailable));
    }

    async fn s13_wrong_codes_given_64_times_at_once_are_judged_twice(world) {
        let (bob, app) = world.enrol("bob").await;
        delay(&world, &bob, &app, 5).await;
        let (gate, nodes) = nodes_behind_a_gate(&world, 64).await;
        meet(&gate, 64);
        let told = race(64, |n| {
            let (bob, node) = (&bob, &nodes[n]);
            async move { node.unlock_with_codes(&login(bob), ["000000", "000001", "000002"]).await }
        });
        let judged = |told: &Result<Unlocked, mfa::Error>| {
            matches!(told, Ok(Unlocked::Rejected(rejected)) if rejected.reason == Reason::WrongCode)
        };
        assert_eq!(told.iter().filter(|told| judged(told)).count(), 2);
        assert_eq!(judged_wrong(&world).await, 2);
        assert_eq!(failures_today(&world, &bob).await, 7);
    }
}

async fn unlock(world: &World, subject: &Subject, codes: &[String; 3]) -> Unlocked {
    let codes = codes.each_ref().map(String::as_str);
    world.engine.unlock_with_codes(&login(subject), codes).await.unwrap()
}

fn refused(unlocked: Unlocked) -> Rejected {
    match unlocked {
        Unlocked::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

/// Returns how many unlockings were judged and wrong; those that were not judged are events too.
async fn judged_wrong(world: &World) -> usize {
    let rejected = world.events_of(Kind::UnlockRejected).await;
    rejected.iter().filter(|event| event.reason() == Some("wrong_code")).count()
}

fn three(app: &SoftAuthenticator, world: &World) -> [String; 3] {
    app.three_codes_at(world.now())
}

/// Gives so many wrong codes, each as soon as the delay before it is over; the last one's is not.
async fn delay(world: &World, bob: &Subject, app: &SoftAuthenticator, times: usize) {
    let mut given = 0;
    while given < times {
        let Some(challenge) = begin_unless_locked(&world.engine, bob).await else {
            world.clock.advance(PAST_A_DELAY / 4);
            continue;
        };
        let wrong = Response::code(&app.wrong_code_at(world.now(), 9)).with_method("totp".parse().unwrap());
        match refusal(world.engine.verify(&challenge.reference, wrong).await.unwrap()) {
            Some(Reason::WrongCode) => given += 1,
            // Recovery codes are asked for meanwhile.
            Some(Reason::Locked) => world.clock.advance(PAST_A_DELAY / 4),
            other => panic!("{given}: {other:?}"),
        }
        drop(world.engine.cancel(&challenge.reference).await.unwrap());
    }
}
