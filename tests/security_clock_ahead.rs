//! S25: what was made by a clock that ran ahead, once it is right again.
#![cfg(test)]

use std::time::Duration;

use mfa::{Answer, Authority, Begin, Choice, Intent, NotDelivered, Policy, Response, Verify};
use mfa_tests::rights::{in_session_of, prove_on};
use mfa_tests::{host, login, on_stores, session, totp};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

on_stores! {
    async fn s25_a_bypass_code_of_the_future_is_gone_once_the_clock_is_right(world) {
        let (bob, app) = world.enrol("bob").await;
        let right = world.now();
        world.clock.advance(YEAR);
        let issued = world.engine.bypass_issue(bob.account(), bob.user(), HOUR, &host()).await.unwrap();
        world.clock.set(right);
        world.clock.advance(Duration::from_secs(60));
        let challenge = world.begin(&bob).await;
        let verified = world.answer(&challenge, &app.code_at(world.now())).await;
        assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
        for later in [Duration::ZERO, DAY * 60, YEAR - DAY * 60] {
            world.clock.advance(later);
            let challenge = world.begin(&bob).await;
            let answer = Response::answer(Answer::bypass(issued.code.expose_secret()));
            let told = world.engine.verify(&challenge.reference, answer).await.unwrap();
            assert!(matches!(told, Verify::Rejected(_)), "{later:?} later: {told:?}");
        }
    }

    async fn s25_tickets_and_invitations_of_the_future_are_good_for_nothing(world) {
        let policy = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
        let strict = world.node().policy(policy).build().await.unwrap();
        let bob = world.add("bob").await;
        let ticket = async || match strict.begin(login(&bob)).await.unwrap() {
            Begin::EnrolmentRequired(required) => required.ticket,
            other => panic!("a ticket was expected: {other:?}"),
        };
        let begun = async |right: &Authority| {
            let begun = strict.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), right).await;
            begun.map_or_else(|error| error.code(), |_| "begun")
        };
        let right = world.now();
        world.clock.advance(YEAR);
        let of_the_future = ticket().await;
        let invited = strict.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
        world.clock.set(right);
        world.clock.advance(DAY * 60);
        let of_session = session(&bob);
        let by_ticket = Authority::invited(of_the_future, Some(&of_session), invited.invitation.clone());
        assert_eq!(begun(&by_ticket).await, "step_up_required");
        let by_invitation = Authority::invited(ticket().await, Some(&of_session), invited.invitation);
        assert_eq!(begun(&by_invitation).await, "invitation_required");
    }

    async fn s25_a_recovery_of_the_future_holds_nobody_for_longer_than_a_day(base) {
        let (world, _inbox) = base.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let right = world.now();
        world.clock.advance(YEAR);
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.recover(&challenge, &codes[0]).await, Verify::Verified(_)));
        world.clock.set(right);
        // The first judged login after it sets the record right.
        for later in [Duration::from_secs(60), DAY + HOUR] {
            world.clock.advance(later);
            let challenge = world.begin(&bob).await;
            let told = world.answer(&challenge, &app.code_at(world.now())).await;
            assert!(matches!(told, Verify::Verified(_)), "{told:?}");
        }
        world.clock.advance(HOUR);
        let method = world.engine.methods(bob.account(), bob.user()).await.unwrap()[0].id;
        let intent = Intent::disable(&bob);
        let proof = prove_on(&world.engine, &world, login(&bob), &app, &intent).await;
        let disabled = world.engine.disable(bob.account(), bob.user(), &in_session_of(&bob, &proof)).await;
        assert!(disabled.is_ok(), "{method}: {disabled:?}");
    }

    async fn s25_a_notice_of_the_future_is_sent_once_the_clock_is_right(base) {
        let (world, inbox) = base.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        world.enrol_with_recovery(&bob).await;
        world.engine.drain_outbox(100).await.unwrap();
        drop((inbox.take(), inbox.take_tried()));
        let right = world.now();
        world.clock.advance(YEAR);
        world.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        world.clock.set(right);
        // It is tried again after a while, as any other.
        inbox.fail_next(NotDelivered::Temporary);
        for _ in 0..2 {
            world.engine.drain_outbox(100).await.unwrap();
        }
        assert_eq!((inbox.take_tried().len(), inbox.take().len()), (1, 0));
        world.clock.advance(HOUR);
        world.engine.drain_outbox(100).await.unwrap();
        assert_eq!(inbox.take().len(), 1);
        world.clock.advance(DAY);
        world.engine.drain_outbox(100).await.unwrap();
        assert_eq!(inbox.take().len(), 0, "once");
    }
}
