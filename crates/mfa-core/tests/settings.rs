//! Settings down a tree of accounts, against a slow and obvious resolution, and what documents may say.
#![cfg(test)]

use std::collections::BTreeMap;

use mfa_core::settings::{Effective, Inheritance, Modules, Origin, Resolved, Settings};
use mfa_core::{AccountId, Ancestor, Module};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn module() -> Module {
    Module::parse("cb_user_auth").unwrap()
}

fn account(name: &str) -> AccountId {
    AccountId::parse(name).unwrap()
}

fn parse(document: &Value) -> Result<Settings, Vec<(String, &'static str)>> {
    let parsed = Settings::parse(document, &Modules::kazoo(), Inheritance::NearestWins);
    parsed.map_err(|errors| errors.into_iter().map(|error| (error.field, error.code)).collect())
}

/// A document of one module, of leaves that are there or not.
fn document() -> impl Strategy<Value = Value> {
    let flag = || prop::option::of(any::<bool>());
    let second = (flag(), flag(), prop::option::of(0..4_u8), prop::option::of(0..4_u8));
    let leaves = (flag(), flag(), flag(), prop::option::of(1..5_u32), second);
    prop::option::of(leaves).prop_map(|leaves| {
        let Some((enabled, failed, successful, expiry, (asks, includes, id, owner))) = leaves else {
            return json!({});
        };
        let mut second = Map::new();
        put(&mut second, "enabled", asks);
        put(&mut second, "include_subaccounts", includes);
        put(&mut second, "configuration_id", id.map(|id| format!("{id:032x}")));
        // An id stands beside its owner; an owner may stand alone.
        let owner = owner.or_else(|| id.map(|_| 0));
        put(&mut second, "account_id", owner.map(|owner| format!("a{owner}")));
        let mut fields = Map::new();
        put(&mut fields, "enabled", enabled);
        put(&mut fields, "log_failed_attempts", failed);
        put(&mut fields, "log_successful_attempts", successful);
        put(&mut fields, "token_auth_expiry_s", expiry);
        if !second.is_empty() {
            fields.insert("multi_factor".to_owned(), Value::Object(second));
        }
        json!({"auth_modules": {"cb_user_auth": fields}})
    })
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

/// An account's ancestors, itself first, with marks and documents, and the system's document.
#[derive(Clone, Debug)]
struct Tree {
    lineage: Vec<Ancestor>,
    documents: Vec<Value>,
    system: Value,
}

fn tree() -> impl Strategy<Value = Tree> {
    let level = (prop::bool::weighted(0.2), prop::bool::weighted(0.1), document());
    (prop::collection::vec(level, 1..6), document()).prop_map(|(levels, system)| {
        let ancestor = |(index, (reseller, master, _)): (usize, &(bool, bool, Value))| {
            Ancestor::new(account(&format!("a{index}"))).with_marks(*reseller, *master)
        };
        Tree {
            lineage: levels.iter().enumerate().map(ancestor).collect(),
            documents: levels.into_iter().map(|(_, _, document)| document).collect(),
            system,
        }
    })
}

/// The documents that count, nearest first, as the JSON of the module.
fn counting(tree: &Tree, inheritance: Inheritance) -> Vec<(Origin, Value)> {
    let mut all = Vec::new();
    for (ancestor, document) in tree.lineage.iter().zip(&tree.documents) {
        let of_module = document["auth_modules"]["cb_user_auth"].clone();
        all.push((Origin::Account(ancestor.account.clone()), of_module));
        if ancestor.reseller {
            break;
        }
    }
    all.push((Origin::System, tree.system["auth_modules"]["cb_user_auth"].clone()));
    if inheritance == Inheritance::FirstDocument {
        all.retain(|(_, document)| document.as_object().is_some_and(|fields| !fields.is_empty()));
        all.truncate(1);
    }
    all
}

/// Walks up and takes the first that says anything.
fn walked(levels: &[(Origin, Value)], path: &[&str], built_in: Value) -> (Value, Origin) {
    for (origin, document) in levels {
        let mut at = document;
        for step in path {
            at = &at[*step];
        }
        if !at.is_null() {
            return (at.clone(), origin.clone());
        }
    }
    (built_in, Origin::BuiltIn)
}

fn shown<T: Into<Value>>(resolved: Resolved<T>) -> (Value, Origin) {
    (resolved.value.into(), resolved.origin)
}

fn effective(tree: &Tree, inheritance: Inheritance) -> Effective {
    let parse = |document: &Value| Settings::parse(document, &Modules::kazoo(), inheritance).unwrap();
    let mut set: BTreeMap<_, _> = tree
        .lineage
        .iter()
        .zip(&tree.documents)
        .map(|(ancestor, document)| (Origin::Account(ancestor.account.clone()), parse(document)))
        .collect();
    set.insert(Origin::System, parse(&tree.system));
    Effective::resolve(&module(), &Modules::kazoo(), inheritance, &tree.lineage, |origin| set.get(origin))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn every_setting_is_that_of_a_walk_up_the_tree(tree in tree(), first in any::<bool>()) {
        let inheritance = if first { Inheritance::FirstDocument } else { Inheritance::NearestWins };
        let found = effective(&tree, inheritance);
        let levels = counting(&tree, inheritance);
        prop_assert_eq!(shown(found.enabled), walked(&levels, &["enabled"], json!(true)));
        prop_assert_eq!(shown(found.log_failed_attempts), walked(&levels, &["log_failed_attempts"], json!(true)));
        let shows = walked(&levels, &["log_successful_attempts"], json!(true));
        prop_assert_eq!(shown(found.log_successful_attempts), shows);
        let expiry = walked(&levels, &["token_auth_expiry_s"], json!(3600));
        prop_assert_eq!(shown(found.token_auth_expiry_s), expiry);
        let asks = walked(&levels, &["multi_factor", "enabled"], json!(false));
        let includes = walked(&levels, &["multi_factor", "include_subaccounts"], json!(false));
        let owner = walked(&levels, &["multi_factor", "account_id"], Value::Null).0;
        // The master account, no owner, the same account; else what the owner says of accounts below.
        let applies = asks.0 == json!(true)
            && (tree.lineage[0].master || owner.is_null() || owner == json!("a0") || includes.0 == json!(true));
        prop_assert_eq!(found.applies, applies);
        prop_assert_eq!(shown(found.multi_factor), asks);
        prop_assert_eq!(shown(found.include_subaccounts), includes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_would_be_inherited_is_what_holds_without_the_own_document(tree in tree()) {
        let found = effective(&tree, Inheritance::NearestWins);
        let mut without = tree.clone();
        without.documents[0] = json!({});
        // A reseller inherits from the system: without its own document that is what is left.
        let without = effective(&without, Inheritance::NearestWins);
        prop_assert_eq!(found.token_auth_expiry_s.inherited, without.token_auth_expiry_s.value);
        prop_assert_eq!(found.token_auth_expiry_s.inherited_from, without.token_auth_expiry_s.origin);
        let own = &tree.documents[0]["auth_modules"]["cb_user_auth"]["token_auth_expiry_s"];
        prop_assert_eq!(found.token_auth_expiry_s.own.map(Value::from).unwrap_or_default(), own.clone());
    }

    #[test]
    fn a_document_is_read_again_as_it_was_written(document in document()) {
        let settings = parse(&document).unwrap();
        prop_assert_eq!(parse(&settings.to_json()).unwrap(), settings);
    }

    #[test]
    fn whatever_a_document_is_it_is_settings_or_named_errors(text in "[{}\\[\\]a-z_\":,0-9.-]{0,80}") {
        if let Ok(document) = serde_json::from_str::<Value>(&text)
            && let Err(errors) = parse(&document)
        {
            prop_assert!(!errors.is_empty());
        }
    }
}

#[test]
fn each_wrong_value_is_named_by_its_path() {
    let set = |fields: Value| json!({"auth_modules": {"cb_user_auth": fields}});
    let second = |fields: Value| set(json!({"multi_factor": fields}));
    let id = "c757665dca55edba2395df3ca6423f4f";
    let module = "auth_modules.cb_user_auth";
    for (document, path, code) in [
        (json!([]), "settings".to_owned(), "type"),
        (json!({"auth_modules": 1}), "auth_modules".to_owned(), "type"),
        (json!({"other": {}}), "other".to_owned(), "additionalProperties"),
        (json!({"auth_modules": {"cb_none": {}}}), "auth_modules.cb_none".to_owned(), "additionalProperties"),
        (json!({"auth_modules": {"CB": {}}}), "auth_modules.CB".to_owned(), "additionalProperties"),
        (json!({"auth_modules": {"cb_user_auth": null}}), module.to_owned(), "type"),
        (set(json!({"enabled": "yes"})), format!("{module}.enabled"), "type"),
        (set(json!({"enabled": null})), format!("{module}.enabled"), "type"),
        (set(json!({"token_auth_expiry_s": 1.5})), format!("{module}.token_auth_expiry_s"), "type"),
        (set(json!({"token_auth_expiry_s": "60"})), format!("{module}.token_auth_expiry_s"), "type"),
        (set(json!({"token_auth_expiry_s": -1})), format!("{module}.token_auth_expiry_s"), "minimum"),
        (set(json!({"token_auth_expiry_s": 0})), format!("{module}.token_auth_expiry_s"), "minimum"),
        (set(json!({"token_auth_expiry_s": 2_592_001})), format!("{module}.token_auth_expiry_s"), "maximum"),
        (set(json!({"token_auth_expiry_s": u64::MAX})), format!("{module}.token_auth_expiry_s"), "maximum"),
        (set(json!({"multi_factor": true})), format!("{module}.multi_factor"), "type"),
        (second(json!({"other": 1})), format!("{module}.multi_factor.other"), "additionalProperties"),
        (second(json!({"configuration_id": id})), format!("{module}.multi_factor.account_id"), "required"),
        (second(json!({"account_id": "~system"})), format!("{module}.multi_factor.account_id"), "pattern"),
        (
            second(json!({"configuration_id": "../x", "account_id": "a"})),
            format!("{module}.multi_factor.configuration_id"),
            "pattern",
        ),
    ] {
        assert_eq!(parse(&document).unwrap_err(), [(path, code)], "{document}");
    }
    let long = set(json!({"note": "x".repeat(16 * 1024)}));
    assert_eq!(parse(&long).unwrap_err(), [("settings".to_owned(), "maxLength")]);
}

#[test]
fn every_error_of_a_document_is_told_at_once() {
    let document = json!({"auth_modules": {"cb_user_auth": {"enabled": 1, "token_auth_expiry_s": 0}}});
    assert_eq!(parse(&document).unwrap_err().len(), 2);
}

#[test]
fn what_answers_only_is_dropped_and_what_is_unknown_is_kept() {
    let document = json!({"id": "configs_crossbar.auth", "auth_modules": {"cb_user_auth": {
        "later": {"a": [1]},
        "multi_factor": {"enabled": true, "_read_only": {"name": "n", "provider_name": "duo"}},
    }}});
    let kept = json!({"auth_modules": {"cb_user_auth": {
        "later": {"a": [1]},
        "multi_factor": {"enabled": true},
    }}});
    assert_eq!(parse(&document).unwrap().to_json(), kept);
    let old = json!({"auth_modules": {"cb_user_auth": {"log_failed_login_attempts": false}}});
    let settings = parse(&old).unwrap();
    assert_eq!(settings.module(&module()).unwrap().log_failed_attempts, Some(false));
}

#[test]
fn a_change_merges_and_null_takes_away() {
    let before = parse(&json!({"auth_modules": {"cb_user_auth": {
        "enabled": false, "token_auth_expiry_s": 60, "multi_factor": {"enabled": true},
    }}}));
    let patch = json!({"auth_modules": {"cb_user_auth": {
        "enabled": null, "multi_factor": {"include_subaccounts": true},
    }}});
    let after = before.unwrap().patched(&patch, &Modules::kazoo(), Inheritance::NearestWins).unwrap();
    let expected = json!({"auth_modules": {"cb_user_auth": {
        "token_auth_expiry_s": 60, "multi_factor": {"enabled": true, "include_subaccounts": true},
    }}});
    assert_eq!(after.to_json(), expected);
    // The whole of it is checked, not only what the change names.
    let id =
        json!({"auth_modules": {"cb_user_auth": {"multi_factor": {"configuration_id": "0".repeat(32)}}}});
    let errors = after.patched(&id, &Modules::kazoo(), Inheritance::NearestWins).unwrap_err();
    assert_eq!(errors[0].code, "required");
    assert!(after.patched(&json!([]), &Modules::kazoo(), Inheritance::NearestWins).is_err());
}

#[test]
fn a_document_of_2017_names_its_own_configuration_without_an_owner() {
    let document = json!({"auth_modules": {"cb_user_auth": {"multi_factor": {
        "enabled": true, "configuration_id": "c757665dca55edba2395df3ca6423f4f",
    }}}});
    let tree = Tree {
        lineage: ["leaf", "root"].map(|name| Ancestor::new(account(name))).to_vec(),
        documents: vec![json!({}), document],
        system: json!({}),
    };
    let effective = effective(&tree, Inheritance::FirstDocument);
    assert_eq!(effective.account_id.value, Some(account("root")));
    // It is the root's, and says nothing of accounts below.
    assert!(effective.multi_factor.value && !effective.applies);
}
