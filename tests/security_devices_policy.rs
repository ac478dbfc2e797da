//! S15: whether a device is trusted is what the policy of its user's account says, at each use.
#![cfg(test)]

use std::sync::Arc;

use mfa::delivery::Delivered;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Begin, Channel, Contact, Engine, EngineBuilder, ExplainedOutcome,
    FirstFactor, FirstFactorKind, Login, Module, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_tests::acting::method;
use mfa_tests::devices::{called, from, let_in, log_in, session_of, trusted, trusting, turned, with_trust};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::mailed::{Mailed, offering, texts};
use mfa_tests::{World, acme, host, login, on_stores, session};
use serde_json::{Value, json};

const DAY: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// `acme` below `root`, and bob with an app there.
async fn world_of(world: &World) -> (Engine, Subject, SoftAuthenticator) {
    let modules = Modules::new().with(Module::parse("user_auth").unwrap());
    let engine = world.node().modules(modules).build().await.unwrap();
    let (bob, app) = world.enrol("bob").await;
    let bob = bob.with_lineage(lineage()).unwrap();
    world.directory.put(&bob).await.unwrap();
    (engine, bob, app)
}

fn lineage() -> Vec<Ancestor> {
    [acme(), AccountId::parse("root").unwrap()].map(Ancestor::new).to_vec()
}

/// A node without providers.
fn bare(world: &World) -> EngineBuilder {
    let (store, directory) = (world.store.clone(), world.directory.clone());
    Engine::builder(store, directory, world.ring.clone(), Arc::new(world.clock.clone())).danger_test_doubles()
}

async fn set(engine: &Engine, above: bool, document: Value) {
    let mut accounts = lineage();
    accounts.retain(|ancestor| !above || ancestor.account != acme());
    let owner = Account::new(accounts[0].account.clone()).with_lineage(accounts).unwrap();
    engine.policy_put(&Owner::Account(owner), &document, None, &host()).await.unwrap();
}

on_stores! {
    async fn s15_what_the_account_and_those_above_it_set_decides_over_trust(world) {
        let (engine, bob, app) = world_of(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let refused = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap_err();
        assert_eq!(refused.code(), "policy_forbids", "of its own the engine trusts nothing");
        set(&engine, false, json!({"trust": true, "trust_days": 2})).await;
        let kept = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        let trusted = let_in(&engine, &bob, &kept.token).await.expect("a trusted device");
        assert_eq!(trusted.expires_at, world.now().plus(2 * DAY));
        let token = trusted.token.unwrap();
        // What is enforced above holds at the next use, and says so.
        set(&engine, true, json!({"trust": false, "enforce": ["trust"]})).await;
        assert!(matches!(engine.begin(from(&bob, Some(&token))).await.unwrap(), Begin::Challenge(_)));
        let explained = engine.explain(&from(&bob, Some(&token))).await.unwrap();
        assert!(matches!(explained.outcome, ExplainedOutcome::Challenge(_)), "{explained:?}");
        let rule = explained.rules.iter().find(|rule| rule.name == "trust").unwrap();
        assert_eq!((&*rule.value, &*rule.origin), ("false", "root"));
        let listed = engine.devices(bob.account(), bob.user()).await.unwrap();
        assert_eq!(listed[0].state, mfa::DeviceState::NotTrusted);
        let grant = log_in(&engine, &world, &bob, &app, Some(&token)).await;
        assert_eq!(engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap_err().code(), "policy_forbids");
        // Days are made fewer below, and never more.
        set(&engine, true, json!({"trust_days": 1, "enforce": ["trust_days"]})).await;
        let kept = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        let until = let_in(&engine, &bob, &kept.token).await.expect("a trusted device").expires_at;
        assert_eq!(until, world.now().plus(DAY));
    }

    async fn s15_a_device_is_trusted_no_longer_than_the_method_it_was_trusted_by_could_be_asked_for(world) {
        let both = || world.node().provider(scripted(Vec::new()));
        let engine = with_trust(both(), &json!({})).build().await.unwrap();
        let (bob, app) = world.enrol("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let token = turned(&engine, &bob, &kept.token).await;
        // Taken out of what is offered, and a node that does not know it: another method is asked for.
        let narrow = with_trust(both(), &json!({"offered": ["scripted"]})).build().await.unwrap();
        let unknowing = with_trust(bare(&world).provider(scripted(Vec::new())), &json!({}));
        let unknowing = unknowing.build().await.unwrap();
        for node in [narrow, unknowing] {
            let begun = node.begin(from(&bob, Some(&token))).await.unwrap();
            assert!(matches!(begun, Begin::Challenge(_)), "{begun:?}");
            assert_eq!(called(&node, &bob, &token).await, "not_trusted");
            let explained = node.explain(&from(&bob, Some(&token))).await.unwrap();
            assert!(matches!(explained.outcome, ExplainedOutcome::Challenge(_)), "{explained:?}");
        }
        assert!(let_in(&engine, &bob, &token).await.is_some());
    }

    async fn s15_a_number_that_changed_ends_the_trust_that_a_code_to_it_gave(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap();
        let policy = offering(&["email", "sms"]).with_document(&json!({"trust": true})).unwrap();
        let engine = Mailed::node(&world, &inbox, email, Value::Null).policy(policy).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        for method in ["email", "sms"] {
            mailed.enrol(&world, &bob, method).await;
        }
        let begun = mailed.engine.begin(login(&bob).with_method(method("sms"))).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        let verified = mailed.engine.verify(&challenge.reference, Response::code(&mailed.code())).await.unwrap();
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        let token = mailed.engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap().token;
        let token = turned(&mailed.engine, &bob, &token).await;
        let phone = Contact::phone("+4915199999999").unwrap().verified();
        let moved = bob.clone().with_contacts(vec![bob.contacts()[0].clone(), phone]).unwrap();
        let begun = mailed.engine.begin(from(&moved, Some(&token))).await.unwrap();
        assert!(matches!(&begun, Begin::Challenge(c) if c.method.provider.as_str() == "email"), "{begun:?}");
        assert!(let_in(&mailed.engine, &bob, &token).await.is_some());
    }

    async fn s15_a_device_is_trusted_after_the_kind_of_first_factor_that_it_was_trusted_after(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let token = trusted(&engine, &world, &bob, &app).await.token;
        for kind in FirstFactorKind::ALL.into_iter().filter(|kind| *kind != FirstFactorKind::Password) {
            let first = FirstFactor::verified_now(kind, Channel::Direct, Some(&session(&bob)));
            let login = Login::new(bob.clone(), first, Module::parse("user_auth").unwrap());
            let begun = engine.begin(login.with_device(token.clone())).await.unwrap();
            assert!(matches!(begun, Begin::Challenge(_)), "{kind:?}: {begun:?}");
        }
        // Through whichever module.
        let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(&session(&bob)));
        let login = Login::new(bob.clone(), first, Module::parse("portal").unwrap());
        let begun = engine.begin(login.with_device(token)).await.unwrap();
        assert!(matches!(begun, Begin::TrustedDevice(_)), "{begun:?}");
    }
}
