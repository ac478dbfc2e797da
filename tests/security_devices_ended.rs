//! S15: everything that ends the trust in a device, and what does not.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Answer, Begin, DeviceState, DeviceToken, Engine, Intent, MethodSelector, Reason, RecoveryForm, Response,
    Subject, Unlocked, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::scripted::{On, Say};
use mfa_tests::devices::{
    called, devices, let_in, log_in, session_of, strangers_fail, trusted, trusting, turned, with_trust,
};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::rights::{enrolments, in_session_of, prove_with};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, begin, host, login, on_stores, subject};
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);

/// A user with two apps, recovery codes and a trusted device.
struct Trusting {
    engine: Engine,
    bob: Subject,
    app: SoftAuthenticator,
    codes: Vec<String>,
    token: DeviceToken,
}

impl Trusting {
    async fn new(world: &World, name: &str) -> Self {
        let engine = trusting(world, &Inbox::new()).await;
        let bob = world.add_reachable(name).await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let kept = trusted(&engine, world, &bob, &app).await;
        let token = turned(&engine, &bob, &kept.token).await;
        Self { engine, bob, app, codes, token }
    }
}

/// What happens to a user. Each ends the trust in every device.
const ENDS: [&str; 14] = [
    "password",
    "added",
    "removed",
    "recovered",
    "issued",
    "bypassed",
    "disabled",
    "reset",
    "revoked",
    "locked",
    "device revoked",
    "all revoked",
    "banned",
    "stepped back",
];

/// What happens to a user and is no reason to ask for more.
const STAYS: [&str; 7] =
    ["preferred", "failed", "unlocked", "bypass issued", "logged in", "cancelled", "another device revoked"];

async fn happens(what: &str, world: &World, it: &mut Trusting) {
    let (engine, account, user) = (&it.engine, it.bob.account(), it.bob.user());
    let method = MethodSelector::Enrolment(enrolments(world, &it.bob).await[0]);
    match what {
        "password" => {
            it.bob = it.bob.clone().with_password_epoch(1);
            world.directory.put(&it.bob).await.unwrap();
        }
        "added" => drop(world.enrol_again(&it.bob).await),
        "removed" => {
            let proof = Intent::remove_method(&it.bob, enrolments(world, &it.bob).await[1]);
            let first = enrolments(world, &it.bob).await[0];
            let proof = prove_with(world, &it.bob, (first, &it.app), &proof).await;
            let second = MethodSelector::Enrolment(enrolments(world, &it.bob).await[1]);
            engine.method_remove(account, user, &second, &in_session_of(&it.bob, &proof)).await.unwrap();
        }
        "recovered" => answer(engine, &it.bob, Answer::recovery(&it.codes[0])).await,
        "issued" => {
            engine.recovery_issue(account, user, RecoveryForm::Codes, &host()).await.unwrap();
        }
        "bypassed" => {
            let issued = engine.bypass_issue(account, user, HOUR, &host()).await.unwrap();
            answer(engine, &it.bob, Answer::bypass(issued.code.expose_secret())).await;
        }
        "disabled" => engine.disable(account, user, &host()).await.unwrap(),
        "reset" => engine.user_reset(account, user, &host()).await.unwrap(),
        "revoked" => engine.revoke(account, user, &host()).await.unwrap(),
        "locked" => {
            assert_eq!(strangers_fail(world, &it.bob, &it.app, 5).await, 5);
            world.clock.advance(STEP);
            let _ = log_in(engine, world, &it.bob, &it.app, None).await;
        }
        "device revoked" => {
            let device = devices(engine, &it.bob).await[0].id;
            engine.device_revoke(account, user, device, &host()).await.unwrap();
        }
        "all revoked" => engine.device_revoke_all(account, user, &host()).await.unwrap(),
        "banned" => {
            let device = devices(engine, &it.bob).await[0].id;
            engine.device_ban(account, user, device, &host()).await.unwrap();
        }
        "stepped back" => {
            let _ = log_in(engine, world, &it.bob, &it.app, None).await;
            world.clock.set(world.now().minus(STEP + Duration::from_secs(31)));
        }
        "preferred" => {
            engine.method_prefer(account, user, &method, &host()).await.unwrap();
        }
        "failed" => assert_eq!(strangers_fail(world, &it.bob, &it.app, 4).await, 4),
        "unlocked" => engine.user_unlock(account, user, &host()).await.unwrap(),
        "bypass issued" => {
            engine.bypass_issue(account, user, HOUR, &host()).await.unwrap();
        }
        "logged in" => drop(log_in(engine, world, &it.bob, &it.app, None).await),
        "cancelled" => {
            let challenge = begin(engine, &it.bob).await;
            let _ = engine.cancel(&challenge.reference).await.unwrap();
        }
        "another device revoked" => {
            let other = trusted(engine, world, &it.bob, &it.app).await;
            engine.device_revoke(account, user, other.id, &host()).await.unwrap();
        }
        other => panic!("{other} has no row"),
    }
}

async fn answer(engine: &Engine, bob: &Subject, answer: Answer) {
    let challenge = begin(engine, bob).await;
    let verified = engine.verify(&challenge.reference, Response::answer(answer)).await.unwrap();
    assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
}

on_stores! {
    async fn s15_each_change_of_the_user_ends_the_trust_and_nothing_else_does(base) {
        let (world, _inbox) = base.with_recovery().await;
        for (what, ends) in ENDS.iter().map(|what| (*what, true)).chain(STAYS.iter().map(|what| (*what, false))) {
            let name = format!("bob-{}", what.replace(' ', "-"));
            let mut it = Trusting::new(&world, &name).await;
            happens(what, &world, &mut it).await;
            assert_eq!(let_in(&it.engine, &it.bob, &it.token).await.is_none(), ends, "{what}");
            if ends {
                assert!(devices_of(&it).await.iter().all(|state| *state != DeviceState::Trusted), "{what}");
            }
        }
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
    }

    async fn s15_a_report_that_it_was_not_the_user_ends_the_trust(world) {
        let provider = scripted(Vec::new());
        provider.on(On::Answer("666666".to_owned()), Say::Reject(Reason::Fraud));
        let engine = with_trust(world.node().provider(provider), &json!({})).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engine, &bob).await;
        let verified = engine.verify(&challenge.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        let kept = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        let token = turned(&engine, &bob, &kept.token).await;
        let stranger = begin(&engine, &bob).await;
        let _ = engine.verify(&stranger.reference, Response::code("666666")).await.unwrap();
        assert!(let_in(&engine, &bob, &token).await.is_none());
        // Nor once the delay that it brought is over.
        world.clock.advance(HOUR);
        assert!(let_in(&engine, &bob, &token).await.is_none());
        assert_eq!(called(&engine, &bob, &token).await, "not_trusted");
    }

    async fn s15_a_window_that_is_full_and_a_failed_unlocking_end_the_trust(world) {
        let engine = with_trust(world.node(), &json!({ "failures_per_day": 3 })).build().await.unwrap();
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        // A third of three is kept for the device: two more are the last of strangers.
        for _ in 0..2 {
            let challenge = begin(&engine, &bob).await;
            let wrong = Response::code(&wrong_code(&app, world.now()));
            let _ = engine.verify(&challenge.reference, wrong).await.unwrap();
        }
        assert_eq!(called(&engine, &bob, &kept.token).await, "not_trusted");
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());

        // One of two methods is delayed; what is trusted by the other ends when an unlocking fills the window.
        let engine = with_trust(world.node(), &json!({ "failures_per_day": 9 })).build().await.unwrap();
        let (carol, app) = world.enrol("carol").await;
        let second_app = world.enrol_again(&carol).await;
        let second = MethodSelector::Enrolment(enrolments(&world, &carol).await[1]);
        let Begin::Challenge(challenge) = engine.begin(login(&carol).with_method(second.clone())).await.unwrap() else {
            panic!("no challenge")
        };
        for _ in 0..5 {
            let wrong = Response::code(&wrong_code(&second_app, world.now()));
            let _ = engine.verify(&challenge.reference, wrong).await.unwrap();
        }
        let first = login(&carol).with_method(MethodSelector::Enrolment(enrolments(&world, &carol).await[0]));
        let Begin::Challenge(challenge) = engine.begin(first).await.unwrap() else { panic!("no challenge") };
        let code = Response::code(&app.code_at(world.now()));
        let Verify::Verified(grant) = engine.verify(&challenge.reference, code).await.unwrap() else {
            panic!("no grant")
        };
        let kept = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        assert_eq!(called(&engine, &carol, &kept.token).await, "trusted");
        let wrong = ["000000", "000001", "000002"];
        let unlocking = login(&carol).with_method(second);
        assert!(matches!(engine.unlock_with_codes(&unlocking, wrong).await.unwrap(), Unlocked::Rejected(_)));
        assert_eq!(called(&engine, &carol, &kept.token).await, "not_trusted");
    }

    async fn s15_the_former_persons_device_is_nobodys(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let first = subject("bob").with_generation("1").unwrap();
        world.directory.put(&first).await.unwrap();
        let app = world.enrol_again(&first).await;
        let kept = trusted(&engine, &world, &first, &app).await;
        // The id is given to another person, who is enrolled anew.
        let second = subject("bob").with_generation("2").unwrap();
        world.directory.put(&second).await.unwrap();
        assert!(let_in(&engine, &second, &kept.token).await.is_none());
        engine.user_reset(second.account(), second.user(), &host()).await.unwrap();
        let app = world.enrol_again(&second).await;
        assert!(devices(&engine, &second).await.is_empty());
        assert_eq!(called(&engine, &second, &kept.token).await, "unknown");
        assert!(let_in(&engine, &second, &kept.token).await.is_none());
        for told in [
            engine.device_revoke(second.account(), second.user(), kept.id, &host()).await,
            engine.device_ban(second.account(), second.user(), kept.id, &host()).await,
        ] {
            assert_eq!(told.unwrap_err().code(), "unknown_device");
        }
        // Nor does the place it has stand in the way.
        for _ in 0..16 {
            let _ = trusted(&engine, &world, &second, &app).await;
        }
        assert_eq!(devices(&engine, &second).await.len(), 16);
    }

    async fn s15_a_login_under_another_password_trusts_under_that(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        // The password is changed while the login goes on.
        let kept = trusted(&engine, &world, &bob, &app).await;
        let changed = bob.clone().with_password_epoch(7);
        assert!(let_in(&engine, &changed, &kept.token).await.is_none());
        world.directory.put(&changed).await.unwrap();
        assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::NotTrusted);
        let kept = trusted(&engine, &world, &changed, &app).await;
        assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::Trusted);
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        assert!(let_in(&engine, &changed, &kept.token).await.is_some());
    }
}

async fn devices_of(it: &Trusting) -> Vec<DeviceState> {
    devices(&it.engine, &it.bob).await.into_iter().map(|device| device.state).collect()
}
