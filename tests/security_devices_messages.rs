//! S15: a trusted device where a login would send something, and a copied one where nothing may leave.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{Begin, Charge, DeniedReason, DeviceToken, Engine, Response, Subject, Verify};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::acting::Acting;
use mfa_tests::attack::{forged, overwrite, user_record};
use mfa_tests::devices::{devices, from, let_in, session_of, turned, with_trust};
use mfa_tests::doubles::SCRIPTED_CODE;
use mfa_tests::{World, begin, host, on_stores};
use serde_json::{Value, json};

/// From when on a value that was replaced is a copy's.
const ALARM: Duration = Duration::from_secs(40);

/// Bob on a trusted device, with one method that can send.
struct Sending {
    acting: Acting,
    engine: Engine,
    bob: Subject,
    token: DeviceToken,
}

impl Sending {
    async fn new(world: &World, policy: Value) -> Self {
        let (acting, bob) = Acting::new(world, "mail").await;
        let engine = with_trust(acting.node(world), &policy).build().await.unwrap();
        let challenge = begin(&engine, &bob).await;
        let verified = engine.verify(&challenge.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        let token = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap().token;
        Self { acting, engine, bob, token }
    }

    /// Turns the token, and returns the value before, when it is a copy's.
    async fn copied(&self, world: &World) -> DeviceToken {
        let _ = turned(&self.engine, &self.bob, &self.token).await;
        world.clock.advance(ALARM);
        self.token.clone()
    }

    async fn denied(&self, token: Option<&DeviceToken>) -> DeniedReason {
        match self.engine.begin(from(&self.bob, token)).await.unwrap() {
            Begin::Denied(denied) => denied.reason,
            other => panic!("{other:?}"),
        }
    }

    /// Checks that the copy was an alarm, once, and that the device is gone.
    async fn was_forgotten(&self, world: &World) {
        assert_eq!(world.events_of(Kind::DeviceReused).await.len(), 1);
        assert!(devices(&self.engine, &self.bob).await.is_empty());
    }
}

on_stores! {
    async fn s15_a_trusted_device_costs_no_message_and_is_let_in_where_none_may_leave(world) {
        let mut it = Sending::new(&world, json!({})).await;
        it.acting.sends_at_begin();
        for _ in 0..6 {
            it.token = turned(&it.engine, &it.bob, &it.token).await;
        }
        assert_eq!(it.acting.messages(), 0);
        for _ in 0..5 {
            let _challenge = begin(&it.engine, &it.bob).await;
        }
        assert_eq!(it.denied(None).await, DeniedReason::SendLimit);
        it.token = turned(&it.engine, &it.bob, &it.token).await;
        // One that is trusted no more waits like any other.
        it.engine.device_revoke_all(it.bob.account(), it.bob.user(), &host()).await.unwrap();
        assert_eq!(it.denied(Some(&it.token)).await, DeniedReason::SendLimit);
        assert_eq!(it.acting.messages(), 5);
    }

    async fn s15_a_copied_token_is_an_alarm_where_no_message_may_leave(world) {
        let it = Sending::new(&world, json!({ "sends_per_hour": 1 })).await;
        it.acting.sends_at_begin();
        let _challenge = begin(&it.engine, &it.bob).await;
        let copy = it.copied(&world).await;
        for _ in 0..2 {
            assert_eq!(it.denied(Some(&copy)).await, DeniedReason::SendLimit);
            it.was_forgotten(&world).await;
        }
    }

    async fn s15_a_copied_token_is_one_alarm_where_the_open_challenges_are_at_their_limit(world) {
        let it = Sending::new(&world, json!({ "open_challenges": 2 })).await;
        let open = [begin(&it.engine, &it.bob).await, begin(&it.engine, &it.bob).await];
        let copy = it.copied(&world).await;
        assert_eq!(it.denied(Some(&copy)).await, DeniedReason::TooManyOpen);
        it.was_forgotten(&world).await;
        // With one that has ended there is room, and the copy is nothing any more.
        let _ = it.engine.cancel(&open[0].reference).await.unwrap();
        assert!(let_in(&it.engine, &it.bob, &copy).await.is_none());
        it.was_forgotten(&world).await;
    }

    async fn s15_a_copied_token_is_an_alarm_where_what_is_open_cannot_be_read(world) {
        let it = Sending::new(&world, json!({})).await;
        let _challenge = begin(&it.engine, &it.bob).await;
        let copy = it.copied(&world).await;
        let open = user_record(&world, &it.bob, "open").await;
        overwrite(&world, &forged(&open, b"not a list")).await;
        assert_eq!(it.denied(Some(&copy)).await, DeniedReason::Unavailable);
        it.was_forgotten(&world).await;
    }

    async fn s15_a_copied_token_is_an_alarm_beside_a_push_that_is_charged(world) {
        let it = Sending::new(&world, json!({ "pushes": 2 })).await;
        it.acting.asks(On::Begin, Charge::Push);
        it.acting.provider.on(On::HttpStatus(200), Say::Wait(Value::Null));
        let copy = it.copied(&world).await;
        let begun = it.engine.begin(from(&it.bob, Some(&copy))).await.unwrap();
        assert!(matches!(begun, Begin::Challenge(_)), "{begun:?}");
        it.was_forgotten(&world).await;
        // Both were written: the push that left was the first of two.
        let _second = begin(&it.engine, &it.bob).await;
        assert_eq!(it.denied(None).await, DeniedReason::SendLimit);
        assert_eq!(it.acting.requests(), 2);
    }
}
