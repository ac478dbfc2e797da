//! Attacks on a challenge whose message is still to leave.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{Begin, Charge, Reason, Response, Status, Verify};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::acting::{Acting, judged_in_a_day, method, refusals, refused};
use mfa_tests::doubles::SCRIPTED_CODE as RIGHT;
use mfa_tests::{login, on_stores};

const WRONG: &str = "222222";
/// Past the deadline of an effect.
const PAST_DEADLINE: Duration = Duration::from_secs(31);

on_stores! {
    async fn s13_a_challenge_still_to_send_charges_answers_like_any_other(world) {
        let (mail, bob) = Acting::new(&world, "mail").await;
        mail.sends_at_begin();
        assert!(mail.begin_and_drop(login(&bob)).await);
        // While the message may still leave nothing is judged: the right answer says no more than a wrong one.
        for code in [WRONG, RIGHT] {
            let answered = mail.answer_current(login(&bob), Response::code(code)).await;
            assert!(matches!(answered, Verify::Pending(_)), "{answered:?}");
        }
        world.clock.advance(PAST_DEADLINE);
        for left in [4, 3] {
            let wrong = refused(mail.answer_current(login(&bob), Response::code(WRONG)).await);
            assert_eq!((wrong.reason, wrong.attempts_left), (Reason::WrongCode, left));
        }
        assert_eq!(refusals(&world).await, ["wrong_code"; 2]);
        let right = mail.answer_current(login(&bob), Response::code(RIGHT)).await;
        let Verify::Verified(grant) = right else { panic!("{right:?}") };
        let status = mail.engine.status(bob.account(), grant.challenge()).await.unwrap().unwrap();
        assert_eq!((status.status, status.verify_attempts), (Status::Redeemed, 3));
        let again = refused(mail.answer_current(login(&bob), Response::code(RIGHT)).await);
        assert_eq!(again.reason, Reason::AlreadyUsed);
    }

    async fn s13_a_challenge_still_to_send_has_five_attempts_like_any_other(world) {
        let (mail, bob) = Acting::new(&world, "mail").await;
        mail.sends_at_begin();
        assert!(mail.begin_and_drop(login(&bob)).await);
        world.clock.advance(PAST_DEADLINE);
        for _ in 0..5 {
            let wrong = refused(mail.answer_current(login(&bob), Response::code(WRONG)).await);
            assert_eq!(wrong.reason, Reason::WrongCode);
        }
        world.clock.advance(PAST_DEADLINE);
        let sixth = refused(mail.answer_current(login(&bob), Response::code(RIGHT)).await);
        assert_eq!(sixth.reason, Reason::Exhausted);
    }

    async fn s13_dropped_begins_give_no_more_guesses_than_a_day_has(world) {
        let (mail, bob) = Acting::new(&world, "mail").await;
        mail.sends_at_begin();
        let judged = judged_in_a_day(&world, async || {
            if mail.is_locked(&bob).await {
                return None;
            }
            if !mail.begin_and_drop(login(&bob)).await {
                return None;
            }
            world.clock.advance(PAST_DEADLINE);
            Some(refused(mail.answer_current(login(&bob), Response::code(WRONG)).await).reason)
        });
        assert_eq!(judged.await, 20);
        assert_eq!(refusals(&world).await, ["wrong_code"; 20]);
        assert!(!world.events_of(Kind::UserLocked).await.is_empty());
    }

    async fn s13_another_method_of_a_challenge_still_to_send_is_charged_too(world) {
        let (mail, bob) = Acting::new(&world, "mail").await;
        let app = world.enrol_again(&bob).await;
        // No budget of messages stands in the way of the guesses.
        mail.sends_at_begin_for(Charge::Free);
        // Handed over, and the provider goes on waiting for something else.
        mail.provider.on(On::Delivered, Say::Wait(serde_json::Value::Null));
        let by_mail = || login(&bob).with_method(method("mail"));
        let by_app = |code: &str| Response::code(code).with_method(method("totp"));
        let judged = judged_in_a_day(&world, async || {
            let Begin::Challenge(challenge) = mail.engine.begin(by_mail()).await.unwrap() else { return None };
            let wrong = by_app(&app.wrong_code_at(world.now(), 3));
            Some(refused(mail.engine.verify(&challenge.reference, wrong).await.unwrap()).reason)
        });
        assert_eq!(judged.await, 20);
        assert_eq!(refusals(&world).await.iter().filter(|reason| *reason == "wrong_code").count(), 20);
        // After the day the right one is good once: by the reference, and for a dropped begin too.
        world.clock.advance(Duration::from_secs(2 * 3600));
        let Begin::Challenge(challenge) = mail.engine.begin(by_mail()).await.unwrap() else { panic!() };
        let code = app.code_at(world.now());
        let right = mail.engine.verify(&challenge.reference, by_app(&code)).await.unwrap();
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
        assert!(mail.begin_and_drop(by_mail()).await);
        world.clock.advance(PAST_DEADLINE);
        let used = refused(mail.answer_current(by_mail(), by_app(&code)).await);
        assert!(matches!(used.reason, Reason::Replayed | Reason::WrongCode), "{used:?}");
        let code = app.code_at(world.now());
        let right = mail.answer_current(by_mail(), by_app(&code)).await;
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
        let again = refused(mail.answer_current(by_mail(), by_app(&code)).await);
        assert_eq!(again.reason, Reason::AlreadyUsed);
    }
}
