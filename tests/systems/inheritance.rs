//! Settings down a tree of accounts, under both ways of inheriting them.

use std::collections::BTreeMap;

use audit_model::{Event, Profile};
use mfa::settings::{Effective, Inheritance, Modules, Origin, Owner, Settings};
use mfa::{
    Account, AccountId, Ancestor, Begin, Channel, Engine, FirstFactor, FirstFactorKind, Login, Module,
    NotRequired, Policy, Response, Scope, Subject, Verify,
};
use mfa_tests::told::wrong_code;
use mfa_tests::{World, acme, host, on_stores};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

const MODULE: &str = "cb_user_auth";

fn module() -> Module {
    Module::parse(MODULE).unwrap()
}

fn ancestor(name: &str) -> Ancestor {
    Ancestor::new(AccountId::parse(name).unwrap())
}

/// What one account sets: of each setting nothing, or a value.
type Level = (bool, Option<bool>, Option<u32>, Option<bool>);

fn document((_, enabled, expiry, asks): &Level) -> Value {
    let mut fields = Map::new();
    for (name, value) in [
        ("enabled", enabled.map(Value::from)),
        ("token_auth_expiry_s", expiry.map(Value::from)),
        ("multi_factor", asks.map(|asks| json!({"enabled": asks}))),
    ] {
        fields.extend(value.map(|value| (name.to_owned(), value)));
    }
    json!({ "auth_modules": { MODULE: fields } })
}

/// The first that is set walking up to the first reseller and then to the system, and where it is.
fn walked<T: Copy>(
    levels: &[Level],
    inheritance: Inheritance,
    of: impl Fn(&Level) -> Option<T>,
    built_in: T,
) -> (T, String) {
    let (system, accounts) = levels.split_last().unwrap();
    let first_reseller = accounts.iter().position(|level| level.0).map_or(accounts.len(), |at| at + 1);
    let names = (0..first_reseller).map(|n| format!("a{n}"));
    let seen = accounts.iter().zip(names).chain([(system, "system".to_owned())]);
    let says_nothing = |level: &Level| level.1.is_none() && level.2.is_none() && level.3.is_none();
    for (level, name) in seen {
        if let Some(value) = of(level) {
            return (value, name);
        }
        if inheritance == Inheritance::FirstDocument && !says_nothing(level) {
            break;
        }
    }
    (built_in, "built_in".to_owned())
}

fn named(origin: &Origin) -> String {
    match origin {
        Origin::Account(account) => account.to_string(),
        Origin::System => "system".to_owned(),
        _ => "built_in".to_owned(),
    }
}

proptest! {
    #[test]
    fn a26_each_setting_is_the_nearest_or_that_of_the_nearest_document(
        levels in prop::collection::vec(
            (prop::bool::weighted(0.3), any::<Option<bool>>(), prop::option::of(1..9_u32), any::<Option<bool>>()), 2..6),
        first in any::<bool>(),
    ) {
        let inheritance = if first { Inheritance::FirstDocument } else { Inheritance::NearestWins };
        let modules = Modules::kazoo();
        let (_, accounts) = levels.split_last().unwrap();
        let lineage: Vec<_> =
            accounts.iter().enumerate().map(|(n, level)| ancestor(&format!("a{n}")).with_marks(level.0, false)).collect();
        let origins = lineage.iter().map(|ancestor| Origin::Account(ancestor.account.clone())).chain([Origin::System]);
        let documents: BTreeMap<_, _> = origins
            .zip(&levels)
            .map(|(origin, level)| (origin, Settings::parse(&document(level), &modules, inheritance).unwrap()))
            .collect();
        let found = Effective::resolve(&module(), &modules, inheritance, &lineage, |origin| documents.get(origin));
        let enabled = (found.enabled.value, named(&found.enabled.origin));
        prop_assert_eq!(enabled, walked(&levels, inheritance, |level| level.1, true));
        let expiry = (found.token_auth_expiry_s.value, named(&found.token_auth_expiry_s.origin));
        prop_assert_eq!(expiry, walked(&levels, inheritance, |level| level.2, 3600));
        let asks = (found.multi_factor.value, named(&found.multi_factor.origin));
        prop_assert_eq!(asks, walked(&levels, inheritance, |level| level.3, false));
    }
}

async fn kazoo(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

fn owner(name: &str) -> Owner {
    Owner::Account(Account::new(AccountId::parse(name).unwrap()))
}

/// How a login of bob goes on, whose account is below `mid`, which is below `root`.
async fn begun(engine: &Engine, bob: &Subject) -> Begin {
    let lineage = vec![ancestor("acme"), ancestor("mid"), ancestor("root")];
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
    engine.begin(Login::new(bob.clone().with_lineage(lineage).unwrap(), first, module())).await.unwrap()
}

async fn resolved(world: &World, policy: Policy, lineage: Vec<Ancestor>) -> (u32, bool, bool) {
    let engine = world.node().policy(policy).modules(Modules::kazoo()).build().await.unwrap();
    let account = Account::new(acme()).with_lineage(lineage).unwrap();
    let found = engine.settings_resolve(&account, &module()).await.unwrap();
    (found.token_auth_expiry_s.value, found.multi_factor.value, found.log_failed_attempts.value)
}

on_stores! {
    async fn a08_accounts_below_are_asked_where_the_one_above_includes_them(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        for includes in [false, true, false] {
            let second = json!({"enabled": true, "account_id": "root", "include_subaccounts": includes});
            let document = json!({ "auth_modules": { MODULE: {"multi_factor": second} } });
            engine.settings_put(&owner("root"), &document, None, &host()).await.unwrap();
            let begun = begun(&engine, &bob).await;
            assert_eq!(matches!(begun, Begin::Challenge(_)), includes, "{begun:?}");
            assert_eq!(matches!(begun, Begin::NotRequired(NotRequired::ModuleDoesNotAsk)), !includes);
        }
    }

    async fn b10_a_patch_switches_it_on_and_leaves_the_rest_as_it_was(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        let module = |fields: Value| json!({ "auth_modules": { MODULE: fields } });
        engine.settings_put(&owner("acme"), &module(json!({"token_auth_expiry_s": 60})), None, &host()).await.unwrap();
        assert!(matches!(begun(&engine, &bob).await, Begin::NotRequired(_)));
        let on = module(json!({"multi_factor": {"enabled": true}}));
        engine.settings_patch(&owner("acme"), &on, None, &host()).await.unwrap();
        assert!(matches!(begun(&engine, &bob).await, Begin::Challenge(_)));
        let stored = engine.settings(&Scope::Account(acme())).await.unwrap().unwrap();
        let expected = module(json!({"token_auth_expiry_s": 60, "multi_factor": {"enabled": true}}));
        assert_eq!(stored.document.to_json(), expected);
    }

    /// Where the system has no configuration either, the engine asks by the providers that it was built with.
    async fn b12_without_a_configuration_it_is_the_system_s(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        for second in [json!({"enabled": true}), json!({"enabled": true, "account_id": "acme"})] {
            let document = json!({ "auth_modules": { MODULE: {"multi_factor": second} } });
            engine.settings_put(&owner("acme"), &document, None, &host()).await.unwrap();
            let Begin::Challenge(challenge) = begun(&engine, &bob).await else { panic!("no challenge") };
            let wrong = Response::code(&wrong_code(&app, world.now()));
            assert!(matches!(engine.verify(&challenge.reference, wrong).await.unwrap(), Verify::Rejected(_)));
            world.clock.advance(std::time::Duration::from_secs(60));
            let row = world.events().await.into_iter().rfind(Event::is_in_attempts_view).unwrap();
            let row: Value = serde_json::from_str(&Profile::Seed2017.detail(&row).unwrap().to_json().unwrap()).unwrap();
            assert_eq!((&row["mfa_config_origin"], &row["auth_config_origin"]), (&json!("system"), &json!("acme")));
        }
        // One that is named and is not there is not as if none were named.
        let named = json!({"enabled": true, "account_id": "acme", "configuration_id": "c757665dca55edba2395df3ca6423f4f"});
        let document = json!({ "auth_modules": { MODULE: {"multi_factor": named} } });
        engine.settings_put(&owner("acme"), &document, None, &host()).await.unwrap();
        assert!(matches!(begun(&engine, &bob).await, Begin::Denied(_)));
    }

    async fn b27_the_id_of_a_configuration_is_32_lower_hex_digits(world) {
        let engine = kazoo(&world).await;
        let id = "c757665dca55edba2395df3ca6423f4f";
        let choose = async |id: &str| {
            let second = json!({"configuration_id": id, "account_id": "acme"});
            let document = json!({ "auth_modules": { MODULE: {"multi_factor": second} } });
            engine.settings_put(&owner("acme"), &document, None, &host()).await.err().map(|error| error.code())
        };
        assert_eq!(choose(id).await, None);
        for text in [&id[1..], &format!("{id}0"), &id.to_uppercase(), &id.replace('c', "g"), "../x", "attempts", ""] {
            assert_eq!(choose(text).await, Some("pattern"), "{text}");
        }
    }

    async fn a26_a_site_inherits_by_setting_or_by_document_as_its_policy_says(world) {
        let engine = kazoo(&world).await;
        for (name, fields) in [
            ("root", json!({"token_auth_expiry_s": 60, "multi_factor": {"enabled": true}})),
            ("mid", json!({"log_failed_attempts": false})),
        ] {
            let document = json!({ "auth_modules": { MODULE: fields } });
            engine.settings_put(&owner(name), &document, None, &host()).await.unwrap();
        }
        let system = json!({ "auth_modules": { MODULE: {"token_auth_expiry_s": 90} } });
        engine.settings_put(&Owner::System, &system, None, &host()).await.unwrap();
        let lineage = || vec![ancestor("acme"), ancestor("mid"), ancestor("root")];
        assert_eq!(resolved(&world, Policy::kazoo(), lineage()).await, (60, true, false));
        assert_eq!(resolved(&world, Policy::kazoo_2017(), lineage()).await, (3600, false, false));
        // What is above a reseller is not its customers'.
        let below_reseller = || vec![ancestor("acme"), ancestor("mid").with_marks(true, false), ancestor("root")];
        assert_eq!(resolved(&world, Policy::kazoo(), below_reseller()).await, (90, false, false));
    }
}
