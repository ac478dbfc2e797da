//! S8: a pending first method is its session's own, its secret is shown once, and it does not outlive its right.
#![cfg(test)]

use std::sync::Arc;

use data_encoding::BASE32_NOPAD;
use mfa::{
    Authority, Begin, Channel, Choice, Engine, EnrolConfirm, EnrolmentStarted, FirstFactor, FirstFactorKind,
    Intent, Login, Module, Policy, RecordKind, RequestFacts, Response, Subject,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::attack::records;
use mfa_tests::rights::{enrol_by, first_factor, in_session_of, scan};
use mfa_tests::{World, host, login, on_stores, session, totp};
use serde_json::json;

async fn node(world: &World, document: serde_json::Value) -> Engine {
    let policy = Policy::recommended().with_document(&document).unwrap();
    world.node().policy(policy).build().await.unwrap()
}

async fn begun(
    engine: &Engine,
    whom: &Subject,
    authority: &Authority,
) -> (EnrolmentStarted, SoftAuthenticator) {
    let begun = engine.enrol_begin(whom.account(), whom.user(), &totp(), &Choice::none(), authority).await;
    let started = begun.unwrap();
    let app = scan(&started);
    (started, app)
}

/// What a confirmation came to, in a word.
fn word(confirmed: &EnrolConfirm) -> &'static str {
    match confirmed {
        EnrolConfirm::Confirmed(_) => "confirmed",
        EnrolConfirm::RecoveryShown(_) => "shown",
        EnrolConfirm::Rejected(rejected) => rejected.reason.code(),
        _ => "new",
    }
}

async fn confirm(
    engine: &Engine,
    world: &World,
    to: &EnrolmentStarted,
    app: &SoftAuthenticator,
) -> &'static str {
    let code = Response::code(&app.code_at(world.now()));
    word(&engine.enrol_confirm(&to.reference, &code).await.unwrap())
}

/// The secret of what an enrolment shows, in base32.
fn secret(started: &EnrolmentStarted) -> String {
    let uri = started.revealed.get("uri").unwrap().expose_secret();
    let (_, rest) = uri.split_once("secret=").unwrap();
    rest.split('&').next().unwrap().to_owned()
}

on_stores! {
    async fn s08_two_sessions_enrol_apart_and_each_secret_is_shown_once(world) {
        let engine = node(&world, json!({"enforced": true, "first_enrolment_needs_invitation": false})).await;
        let bob = world.add("bob").await;
        let mut begins = Vec::new();
        for session in ["of-bob", "of-the-thief"] {
            let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(session));
            let login = Login::new(bob.clone(), first, Module::parse("user_auth").unwrap());
            let Begin::EnrolmentRequired(required) = engine.begin(login).await.unwrap() else { panic!("not required") };
            let authority = Authority::ticket(required.ticket, Some(session));
            begins.push(begun(&engine, &bob, &authority).await);
        }
        let secrets: Vec<_> = begins.iter().map(|(started, _)| secret(started)).collect();
        assert_ne!(secrets[0], secrets[1]);
        let (first, second) = (&begins[0], &begins[1]);
        let mut replies = Vec::new();
        for (started, app) in [(&first.0, &second.1), (&second.0, &first.1)] {
            let code = Response::code(&app.code_at(world.now()));
            let refused = engine.enrol_confirm(&started.reference, &code).await.unwrap();
            assert_eq!(word(&refused), "wrong_code");
            replies.push(format!("{refused:?}"));
            replies.push(format!("{:?}", engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await));
        }
        // What else there is to ask for shows neither, and no record holds one in clear.
        replies.push(format!("{:?}", engine.methods(bob.account(), bob.user()).await.unwrap()));
        replies.push(format!("{:?}", engine.begin(login(&bob)).await.unwrap()));
        replies.push(format!("{begins:?}"));
        for secret in &secrets {
            assert!(replies.iter().all(|reply| !reply.contains(secret.as_str())));
            let raw = BASE32_NOPAD.decode(secret.as_bytes()).unwrap();
            for record in records(&world).await {
                let holds = |needle: &[u8]| record.body.windows(needle.len()).any(|window| window == needle);
                assert!(!holds(&raw) && !holds(secret.as_bytes()), "{:?}", record.key);
            }
        }
        // Bob was first; the thief's is none any more, whatever its code.
        assert_eq!(confirm(&engine, &world, &first.0, &first.1).await, "confirmed");
        assert_eq!(confirm(&engine, &world, &second.0, &second.1).await, "superseded");
        assert_eq!(engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
    }

    async fn s08_a_first_factor_adds_no_second_method(world) {
        let bob = world.add("bob").await;
        let first = first_factor(&bob);
        let early = begun(&world.engine, &bob, &first).await;
        let app = enrol_by(&world.engine, &world, &bob, &first).await;
        let refused = world.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &first).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        assert_eq!(confirm(&world.engine, &world, &early.0, &early.1).await, "superseded");
        // What the user proved for, and what the host vouches for, is no first method and goes on.
        let intent = Intent::add_method(&bob, &totp());
        let proof = world.prove(&bob, &app, &intent).await;
        let proven = begun(&world.engine, &bob, &in_session_of(&bob, &proof)).await;
        let vouched = begun(&world.engine, &bob, &host()).await;
        assert_eq!(confirm(&world.engine, &world, &proven.0, &proven.1).await, "confirmed");
        assert_eq!(confirm(&world.engine, &world, &vouched.0, &vouched.1).await, "confirmed");
    }

    async fn s08_of_two_first_methods_confirmed_at_once_one_counts(world) {
        let gate = Arc::new(GateStore::new(world.store.clone()));
        let gated = World::on(gate.clone(), None).await;
        for (n, with_recovery) in [false, true].into_iter().enumerate() {
            let mut engines = Vec::new();
            for _ in 0..2 {
                let node = if with_recovery { gated.recovery_node(&Inbox::new()) } else { gated.node() };
                engines.push(node.build().await.unwrap());
            }
            let bob = gated.add(&format!("bob-{n}")).await;
            let first = first_factor(&bob);
            let pending = [begun(&engines[0], &bob, &first).await, begun(&engines[1], &bob, &first).await];
            if with_recovery {
                for (engine, (started, app)) in engines.iter().zip(&pending) {
                    assert_eq!(confirm(engine, &gated, started, app).await, "shown");
                }
            }
            gate.arm_for(RecordKind::new("pending"), 2);
            let told = race(2, |i| {
                let (engine, (started, app), gated) = (&engines[i], &pending[i], &gated);
                async move {
                    if !with_recovery {
                        return confirm(engine, gated, started, app).await;
                    }
                    word(&engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap())
                }
            });
            let count = |word| told.iter().filter(|told| **told == word).count();
            assert_eq!((count("confirmed"), count("superseded")), (1, 1), "{told:?}");
            let methods = engines[0].methods(bob.account(), bob.user()).await.unwrap();
            assert_eq!(methods.iter().filter(|method| !method.is_recovery).count(), 1);
        }
    }

    async fn s08_a_pending_first_method_does_not_outlive_its_right(world) {
        let strict = node(&world, json!({"enforced": true})).await;
        let lenient = node(&world, json!({"enforced": true, "first_enrolment_needs_invitation": false})).await;
        // A password was enough when it began, and is not any more.
        let bob = world.add("bob").await;
        let free = begun(&world.engine, &bob, &first_factor(&bob)).await;
        assert_eq!(confirm(&strict, &world, &free.0, &free.1).await, "superseded");
        let eve = world.add("eve").await;
        let Begin::EnrolmentRequired(required) = lenient.begin(login(&eve)).await.unwrap() else { panic!() };
        let authority = Authority::ticket(required.ticket, Some(&session(&eve)));
        let ticketed = begun(&lenient, &eve, &authority).await;
        assert_eq!(confirm(&strict, &world, &ticketed.0, &ticketed.1).await, "superseded");
        // Where the policy of now gives the right, it is as good as before.
        assert_eq!(confirm(&lenient, &world, &ticketed.0, &ticketed.1).await, "confirmed");
        // A revocation, and another person of the id, end it.
        for (n, ends) in ["revoke", "generation"].into_iter().enumerate() {
            let whom = world.add(&format!("carl-{n}")).await;
            let pending = begun(&world.engine, &whom, &first_factor(&whom)).await;
            match ends {
                "revoke" => world.engine.revoke(whom.account(), whom.user(), &host()).await.unwrap(),
                _ => world.directory.put(&whom.clone().with_generation("2").unwrap()).await.unwrap(),
            }
            assert_eq!(confirm(&world.engine, &world, &pending.0, &pending.1).await, "superseded", "{ends}");
        }
    }

    async fn s08_who_lost_every_method_by_whatever_way_must_enrol_by_invitation(world) {
        let strict = node(&world, json!({"enforced": true})).await;
        for way in ["reset", "disable", "remove"] {
            let (bob, app) = world.enrol(&format!("bob-{way}")).await;
            let (account, user) = (bob.account(), bob.user());
            let before = world.engine.methods(account, user).await.unwrap();
            // The user's own will does not get around the policy.
            let proof = world.prove(&bob, &app, &Intent::disable(&bob)).await;
            let own = strict.disable(account, user, &in_session_of(&bob, &proof)).await;
            assert_eq!(own.unwrap_err().code(), "policy_forbids");
            assert_eq!(world.engine.methods(account, user).await.unwrap(), before);
            match way {
                "reset" => strict.user_reset(account, user, &host()).await.unwrap(),
                "disable" => strict.disable(account, user, &host()).await.unwrap(),
                _ => drop(strict.method_remove(account, user, &"totp".parse().unwrap(), &host()).await.unwrap()),
            }
            let begin = strict.begin(login(&bob)).await.unwrap();
            let Begin::EnrolmentRequired(required) = begin else { panic!("{way}: {begin:?}") };
            assert!(required.needs_invitation);
            let by_password = Authority::ticket(required.ticket, Some(&session(&bob)));
            let refused = strict.enrol_begin(account, user, &totp(), &Choice::none(), &by_password).await;
            assert_eq!(refused.unwrap_err().code(), "invitation_required", "{way}");
            let first = strict.enrol_begin(account, user, &totp(), &Choice::none(), &first_factor(&bob)).await;
            assert_eq!(first.unwrap_err().code(), "policy_forbids", "{way}");
        }
    }
}
