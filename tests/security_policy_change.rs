//! S23: what changed between begin and verify, on another node, holds at once.
#![cfg(test)]

use std::time::Duration;

use mfa::{
    Begin, Choice, Engine, EnrolConfirm, MethodSelector, Policy, Reason, Reference, Response, Status, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::scripted::{On, Say};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::{World, begin, host, login, on_stores, totp};
use serde_json::{Value, json};

async fn node(world: &World, document: &Value) -> Engine {
    let policy = Policy::recommended().with_document(document).unwrap();
    world.node().policy(policy).build().await.unwrap()
}

async fn reason(engine: &Engine, reference: &Reference, code: &str) -> Option<Reason> {
    match engine.verify(reference, Response::code(code)).await.unwrap() {
        Verify::Rejected(rejected) => Some(rejected.reason),
        Verify::Verified(_) => None,
        other => panic!("{other:?}"),
    }
}

on_stores! {
    async fn s23_a_method_that_is_no_longer_offered_or_registered_is_refused(world) {
        let (bob, app) = world.enrol("bob").await;
        let unregistered = Engine::builder(
            world.store.clone(),
            world.directory.clone(),
            mfa_tests::ring(),
            std::sync::Arc::new(world.clock.clone()),
        );
        let entropy = std::sync::Arc::new(mfa_testkit::entropy::SeededEntropy::new(0x23));
        let unregistered = unregistered.entropy(entropy).danger_test_doubles().build().await.unwrap();
        let nodes = [
            node(&world, &json!({ "offered": [] })).await,
            node(&world, &json!({ "offered": ["scripted"] })).await,
            unregistered,
        ];
        for changed in &nodes {
            let challenge = world.begin(&bob).await;
            let right = app.code_at(world.now());
            assert_eq!(reason(changed, &challenge.reference, &right).await, Some(Reason::Unavailable));
            let by_totp = MethodSelector::Provider(totp());
            let switched = changed.switch(&challenge.reference, &by_totp).await.unwrap();
            assert!(matches!(switched, mfa::Changed::Rejected(r) if r.reason == Reason::Unavailable));
            // Nothing was spent: where it is offered, it goes on.
            assert_eq!(reason(&world.engine, &challenge.reference, &right).await, None);
            world.clock.advance(mfa_tests::STEP);
        }
    }

    async fn s23_fewer_attempts_hold_for_challenges_that_are_open(world) {
        let (bob, app) = world.enrol("bob").await;
        let strict = node(&world, &json!({ "attempts": 2 })).await;
        let challenge = world.begin(&bob).await;
        for _ in 0..2 {
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&world.engine, &challenge.reference, &wrong).await, Some(Reason::WrongCode));
        }
        let right = app.code_at(world.now());
        assert_eq!(reason(&strict, &challenge.reference, &right).await, Some(Reason::Exhausted));
        let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.status, Status::Failed);
        // More attempts than it was begun with are not given.
        let strictly = begin(&strict, &bob).await;
        for _ in 0..2 {
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&world.engine, &strictly.reference, &wrong).await, Some(Reason::WrongCode));
        }
        assert_eq!(reason(&world.engine, &strictly.reference, &right).await, Some(Reason::Exhausted));
    }

    async fn s23_a_shorter_life_holds_for_challenges_that_are_open(world) {
        let (bob, app) = world.enrol("bob").await;
        let strict = node(&world, &json!({ "challenge_ttl_s": 30 })).await;
        let challenge = world.begin(&bob).await;
        world.clock.advance(Duration::from_secs(30));
        let right = app.code_at(world.now());
        assert_eq!(reason(&strict, &challenge.reference, &right).await, Some(Reason::Expired));
        assert_eq!(reason(&world.engine, &challenge.reference, &right).await, Some(Reason::Expired));
    }

    async fn s23_a_smaller_budget_holds_at_once(world) {
        let (bob, app) = world.enrol("bob").await;
        for knob in ["failures_per_day", "failures_per_month"] {
            let strict = node(&world, &json!({ knob: 1 })).await;
            let challenge = world.begin(&bob).await;
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&world.engine, &challenge.reference, &wrong).await, Some(Reason::WrongCode));
            let right = app.code_at(world.now());
            assert_eq!(reason(&strict, &challenge.reference, &right).await, Some(Reason::Locked));
            assert!(matches!(strict.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
            assert_eq!(reason(&world.engine, &challenge.reference, &right).await, None);
            world.clock.advance(mfa_tests::STEP);
        }
    }

    async fn s23_an_enforcing_policy_denies_nobody_who_has_a_method_and_lets_nobody_else_in(world) {
        let (bob, app) = world.enrol("bob").await;
        let eve = world.add("eve").await;
        let strict = node(&world, &json!({ "enforced": true })).await;
        assert!(matches!(world.engine.begin(login(&eve)).await.unwrap(), Begin::NotRequired(_)));
        assert!(matches!(strict.begin(login(&eve)).await.unwrap(), Begin::EnrolmentRequired(_)));
        let challenge = world.begin(&bob).await;
        assert_eq!(reason(&strict, &challenge.reference, &app.code_at(world.now())).await, None);
    }

    async fn s23_revoked_removed_or_forgotten_on_another_node_is_refused(world) {
        let node = world.node().build().await.unwrap();
        for what in ["revoke", "remove", "forget", "enrolled-anew"] {
            let (bob, app) = world.enrol(what).await;
            let challenge = world.begin(&bob).await;
            let (account, user) = (bob.account(), bob.user());
            let by_totp = MethodSelector::Provider(totp());
            let mut right = app.code_at(world.now());
            match what {
                "revoke" => node.revoke(account, user, &host()).await.unwrap(),
                "remove" => {
                    node.method_remove(account, user, &by_totp, &host()).await.unwrap();
                }
                "forget" => node.forget_user(account, user, &host()).await.unwrap(),
                _ => {
                    node.method_remove(account, user, &by_totp, &host()).await.unwrap();
                    right = world.enrol_again(&bob).await.code_at(world.now());
                }
            }
            let refused = reason(&world.engine, &challenge.reference, &right).await.expect(what);
            let expected = if what == "forget" { Reason::NotFound } else { Reason::Superseded };
            assert_eq!(refused, expected, "{what}");
        }
    }

    async fn s23_a_completed_challenge_is_claimed_under_the_rules_of_the_claim(world) {
        let provider = scripted(Vec::new());
        provider.on(On::Poll, Say::Accept);
        let engine = world.node().provider(provider.clone()).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let offered = Policy::recommended().with_document(&json!({ "offered": ["totp"] })).unwrap();
        let changed = world.node().provider(provider).policy(offered).build().await.unwrap();
        for what in ["policy", "provider", "revoke"] {
            let challenge = begin(&engine, &bob).await;
            assert!(matches!(
                engine.verify(&challenge.reference, Response::poll()).await.unwrap(),
                Verify::Pending(_)
            ));
            let claimed = match what {
                "policy" => changed.claim(&challenge.reference).await,
                "provider" => world.engine.claim(&challenge.reference).await,
                _ => {
                    world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
                    engine.claim(&challenge.reference).await
                }
            };
            let expected = if what == "revoke" { Reason::Superseded } else { Reason::Unavailable };
            assert!(matches!(claimed.unwrap(), Verify::Rejected(r) if r.reason == expected), "{what}");
        }
    }

    async fn s23_an_enrolment_is_confirmed_under_the_rules_of_the_confirmation(world) {
        let bob = world.add("bob").await;
        let started = || async {
            let begun = world
                .engine
                .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
                .await
                .unwrap();
            let uri = begun.revealed.get("uri").unwrap().expose_secret().to_owned();
            (begun, SoftAuthenticator::scan(&uri).unwrap())
        };
        let changed = node(&world, &json!({ "offered": [] })).await;
        let (begun, app) = started().await;
        let code = Response::code(&app.code_at(world.now()));
        let refused = changed.enrol_confirm(&begun.reference, &code).await.unwrap();
        assert!(matches!(refused, EnrolConfirm::Rejected(r) if r.reason == Reason::Unavailable));
        let forgetting = world.node().build().await.unwrap();
        forgetting.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        let refused = world.engine.enrol_confirm(&begun.reference, &code).await.unwrap();
        assert!(matches!(refused, EnrolConfirm::Rejected(r) if r.reason == Reason::NotFound));
    }

    async fn s23_a_revocation_ends_what_is_being_enrolled(world) {
        let node = world.node().build().await.unwrap();
        // A user's first method, and a further one.
        let (bob, _) = world.enrol("bob").await;
        for user in [world.add("eve").await, bob] {
            let (account, id) = (user.account(), user.user());
            let begun =
                world.engine.enrol_begin(account, id, &totp(), &Choice::none(), &host()).await.unwrap();
            let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
            let before = world.engine.methods(account, id).await.unwrap();
            node.revoke(account, id, &host()).await.unwrap();
            let code = Response::code(&app.code_at(world.now()));
            let refused = world.engine.enrol_confirm(&begun.reference, &code).await.unwrap();
            assert!(
                matches!(refused, EnrolConfirm::Rejected(r) if r.reason == Reason::Superseded),
                "{id}: {refused:?}"
            );
            assert_eq!(world.engine.methods(account, id).await.unwrap(), before);
        }
    }
}
