//! S15: a device is kept by a fresh grant of an unchanged user, in the session that the grant is for.
#![cfg(test)]

use std::time::Duration;

use mfa::{
    Begin, Channel, Engine, Error, FirstFactor, FirstFactorKind, Grant, Login, Module, Response, Subject,
    Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::records;
use mfa_tests::devices::{let_in, log_in, refused, session_of, trusted, trusting};
use mfa_tests::{STEP, World, acme, on_stores, session};

/// How far the clocks of two nodes may differ.
const SKEW: Duration = Duration::from_secs(30);

async fn nothing_kept(world: &World) {
    assert!(records(world).await.iter().all(|record| record.key.kind.as_str() != "device"));
}

async fn bob(world: &World) -> (Engine, Subject, SoftAuthenticator) {
    let engine = trusting(world, &Inbox::new()).await;
    let (bob, app) = world.enrol("bob").await;
    (engine, bob, app)
}

async fn without_session(engine: &Engine, world: &World, bob: &Subject, app: &SoftAuthenticator) -> Grant {
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
    let login = Login::new(bob.clone(), first, Module::parse("user_auth").unwrap());
    let Begin::Challenge(challenge) = engine.begin(login).await.unwrap() else { panic!("no challenge") };
    let code = Response::code(&app.code_at(world.now()));
    let verified = engine.verify(&challenge.reference, code).await.unwrap();
    let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
    grant
}

on_stores! {
    async fn s15_a_grant_keeps_a_device_for_its_own_session(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let unbound = without_session(&engine, &world, &bob, &app).await;
        for (grant, strange) in [(&grant, None), (&grant, Some("another")), (&unbound, Some(&*session(&bob)))] {
            let told = engine.device_trust(grant, strange, "a").await;
            assert_eq!(refused(&world, "trust_device", told).await, "step_up_required", "{strange:?}");
            let told = engine.device_remember(grant, strange, "a").await;
            assert_eq!(refused(&world, "remember_device", told).await, "step_up_required", "{strange:?}");
        }
        nothing_kept(&world).await;
        let _ = engine.device_trust(&unbound, None, "a").await.unwrap();
    }

    async fn s15_nothing_is_trusted_where_the_host_counts_no_passwords(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let bob = Subject::new(acme(), "bob".parse().unwrap());
        world.directory.put(&bob).await.unwrap();
        let app = world.enrol_again(&bob).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let told = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await.unwrap_err();
        assert!(matches!(&told, Error::Invalid(_)) && told.code() == "required", "{told}");
        assert!(told.to_string().contains("password_epoch"), "{told}");
        nothing_kept(&world).await;
        // Known again it can be.
        let _ = engine.device_remember(&grant, Some(&session_of(&grant)), "a").await.unwrap();
        // What was trusted under a number is not, where there is none any more.
        let counted = bob.clone().with_password_epoch(0);
        world.directory.put(&counted).await.unwrap();
        let kept = trusted(&engine, &world, &counted, &app).await;
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        assert!(let_in(&engine, &counted, &kept.token).await.is_some());
    }

    async fn s15_a_grant_of_before_a_method_was_added_trusts_nothing(world) {
        let (engine, bob, app) = bob(&world).await;
        let begun = world.now();
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        world.clock.set(begun);
        world.enrol_again(&bob).await;
        assert!(world.now() < grant.expires_at());
        let told = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await;
        assert_eq!(refused(&world, "trust_device", told).await, "step_up_required");
        nothing_kept(&world).await;
    }

    async fn s15_a_clock_that_was_set_back_keeps_no_device_by_a_grant_of_before(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let granted = world.now().minus(STEP);
        world.clock.set(granted.minus(SKEW + Duration::from_millis(1)));
        for _ in 0..2 {
            let told = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await;
            assert_eq!(refused(&world, "trust_device", told).await, "step_up_required");
        }
        nothing_kept(&world).await;
        world.clock.set(granted.minus(SKEW));
        let _ = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await.unwrap();
    }
}
