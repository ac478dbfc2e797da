//! S6: a provider that lets a user in without proof, or cannot be reached, gives no grant; whether the login goes on
//! is host code's to say.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::{
    Begin, Charge, DeniedReason, Engine, Intent, NotRequired, NoticeKind, Provider, Reason, Response, Status,
    Subject, Unproven, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::acting::{Acting, refused};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in};
use mfa_tests::notified::arrived;
use mfa_tests::{World, begin, login, on_stores};

/// An engine whose provider says `why` when a challenge begins, and when it is polled.
async fn says(world: &World, why: Unproven, danger: &str) -> (Acting, Engine, Subject) {
    let (acting, bob) = Acting::new(world, "outside").await;
    acting.provider.on(On::Poll, Say::Unproven(why));
    let node = acting.node(world);
    let engine = match danger {
        "fail_open" => node.danger_fail_open(2),
        "bypass" => node.danger_accept_provider_bypass(),
        _ => node,
    };
    (acting, engine.build().await.unwrap(), bob)
}

async fn poll(engine: &Engine, bob: &Subject) -> (Verify, Status) {
    let challenge = begin(engine, bob).await;
    let poll = engine.verify(&challenge.reference, Response::poll()).await.unwrap();
    let status = engine.status(bob.account(), challenge.id).await.unwrap().unwrap().status;
    (poll, status)
}

on_stores! {
    async fn s06_without_a_danger_nobody_is_let_in(world) {
        for (why, reason) in
            [(Unproven::Bypass, Reason::Denied), (Unproven::Unreachable, Reason::Unavailable)]
        {
            let world = if world.file().is_some() { World::sqlite().await } else { World::memory().await };
            let (acting, engine, bob) = says(&world, why, "none").await;
            assert_eq!(engine.dangers().iter().filter(|d| **d != "danger_test_doubles").count(), 0);
            let (poll, _) = poll(&engine, &bob).await;
            assert_eq!(refused(poll).reason, reason);
            // The other danger does not open it either.
            let other = if why == Unproven::Bypass { "fail_open" } else { "bypass" };
            let node = acting.node(&world);
            let node = if other == "bypass" { node.danger_accept_provider_bypass() } else { node.danger_fail_open(9) };
            let (poll, _) = self::poll(&node.build().await.unwrap(), &bob).await;
            assert_eq!(refused(poll).reason, reason);
            assert!(world.events_of(Kind::LoginNotRequired).await.is_empty());
        }
    }

    async fn s06_a_bypass_of_the_provider_is_no_grant_and_no_proof(world) {
        let (_acting, engine, bob) = says(&world, Unproven::Bypass, "bypass").await;
        assert!(engine.dangers().contains(&"danger_accept_provider_bypass"));
        let (let_in, status) = poll(&engine, &bob).await;
        assert!(matches!(let_in, Verify::NotRequired(NotRequired::ProviderBypass)), "{let_in:?}");
        assert_eq!(status, Status::Redeemed);
        let event = world.events_of(Kind::LoginNotRequired).await.pop().unwrap();
        assert_eq!(event.reason(), Some("provider_bypass"));
        let Begin::Challenge(step_up) = engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap()
        else { panic!() };
        let proof = engine.verify(&step_up.reference, Response::poll()).await.unwrap();
        assert_eq!(refused(proof).reason, Reason::Denied);
    }

    async fn s06_a_service_that_cannot_be_reached_lets_in_as_often_as_the_host_said(world) {
        let (_acting, engine, bob) = says(&world, Unproven::Unreachable, "fail_open").await;
        assert!(engine.dangers().contains(&"danger_fail_open"));
        for _ in 0..2 {
            let (let_in, status) = poll(&engine, &bob).await;
            assert!(matches!(let_in, Verify::NotRequired(NotRequired::BypassedBecauseUnavailable)), "{let_in:?}");
            assert_eq!(status, Status::Redeemed);
        }
        let (third, _) = poll(&engine, &bob).await;
        assert_eq!(refused(third).reason, Reason::Unavailable);
        world.clock.advance(std::time::Duration::from_secs(3600));
        let (next_hour, _) = poll(&engine, &bob).await;
        assert!(matches!(next_hour, Verify::NotRequired(_)));
        let Begin::Challenge(step_up) = engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap()
        else { panic!() };
        let proof = engine.verify(&step_up.reference, Response::poll()).await.unwrap();
        assert_eq!(refused(proof).reason, Reason::Unavailable);
    }

    async fn s06_what_is_known_at_the_beginning_is_answered_at_the_beginning(world) {
        let (acting, engine, bob) = says(&world, Unproven::Bypass, "bypass").await;
        acting.asks(On::Begin, Charge::Free);
        acting.provider.on(On::HttpStatus(200), Say::Unproven(Unproven::Bypass));
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::ProviderBypass)), "{begun:?}");
        let strict = acting.node(&world).build().await.unwrap();
        let denied = strict.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::ProviderDenied), "{denied:?}");
        acting.provider.on(On::HttpStatus(200), Say::Unproven(Unproven::Unreachable));
        let denied = strict.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
    }

    async fn s06_whoever_is_let_in_without_a_second_step_is_told(world) {
        let provider = ScriptedProvider::new("outside");
        let mut descriptor = provider.describe().clone();
        descriptor.effects.clear();
        let provider = provider.described_as(descriptor);
        provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Accept);
        provider.on(On::Poll, Say::Unproven(Unproven::Unreachable));
        let inbox = Inbox::new();
        let node = world.node().provider(provider).transport(Arc::new(inbox.clone()));
        let engine = node.danger_fail_open(2).build().await.unwrap();
        let bob = world.add_reachable("bob").await;
        enrol_in(&engine, &bob, "outside", SCRIPTED_CODE).await;
        let _ = arrived(&engine, &inbox).await;
        let (let_in, _) = poll(&engine, &bob).await;
        assert!(matches!(let_in, Verify::NotRequired(_)), "{let_in:?}");
        let told = arrived(&engine, &inbox).await;
        assert!(told.iter().any(|(_, subject)| subject == NoticeKind::LetIn.subject()), "{told:?}");
    }
}
