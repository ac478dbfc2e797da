//! S15: whether a device is trusted is what the policy of its user's account says, at each use.
#![cfg(test)]

use mfa::settings::{Modules, Owner};
use mfa::{Account, AccountId, Ancestor, Begin, Engine, ExplainedOutcome, Module, Subject};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::devices::{from, let_in, log_in};
use mfa_tests::{World, acme, host, on_stores};
use serde_json::{Value, json};

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
        let refused = engine.device_trust(&grant, "a laptop").await.unwrap_err();
        assert_eq!(refused.code(), "policy_forbids", "of its own the engine trusts nothing");
        set(&engine, false, json!({"trust": true, "trust_days": 2})).await;
        let kept = engine.device_trust(&grant, "a laptop").await.unwrap();
        let trusted = let_in(&engine, &bob, &kept.token).await.expect("a trusted device");
        assert_eq!(trusted.expires_at, kept.expires_at);
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
        assert_eq!(engine.device_trust(&grant, "a laptop").await.unwrap_err().code(), "policy_forbids");
        // Days are made fewer below, and never more.
        set(&engine, true, json!({"trust_days": 1, "enforce": ["trust_days"]})).await;
        let kept = engine.device_trust(&grant, "a laptop").await.unwrap();
        let until = let_in(&engine, &bob, &kept.token).await.expect("a trusted device").expires_at;
        assert_eq!(until, world.now().plus(std::time::Duration::from_secs(24 * 3600)));
    }
}
