//! Policies down a tree of accounts: what an ancestor enforces, no document below it weakens.
#![cfg(test)]

use std::collections::BTreeMap;

use mfa_core::settings::Origin;
use mfa_core::{AccountId, Ancestor, EffectivePolicy, KnobClass, KnobInfo, Policy, PolicyDocument, Stronger};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// A value that a knob takes.
fn value(knob: &'static KnobInfo) -> BoxedStrategy<Value> {
    match (knob.stronger, knob.clamp) {
        (_, Some((low, high))) => (low..=high).prop_map(Value::from).boxed(),
        (Stronger::True | Stronger::False, None) => any::<bool>().prop_map(Value::from).boxed(),
        (Stronger::Subset, None) => prop::sample::subsequence(vec!["duo", "email", "sms", "totp"], 0..=4)
            .prop_map(Value::from)
            .boxed(),
        _ => {
            let words = match knob.name {
                "channel_order" => ["as_enrolled", "phone_first", "email_first"],
                _ => ["codes", "key", "none"],
            };
            prop::sample::select(words.to_vec()).prop_map(Value::from).boxed()
        }
    }
}

fn document() -> impl Strategy<Value = Value> {
    let knobs: Vec<_> = Policy::KNOBS.iter().filter(|knob| knob.class == KnobClass::Tenant).collect();
    prop::sample::subsequence(knobs, 0..=4).prop_flat_map(|knobs| {
        let values: Vec<_> =
            knobs.into_iter().map(|knob| (Just(knob.name), value(knob), any::<bool>())).collect();
        values.prop_map(|values| {
            let enforced: Vec<_> = values.iter().filter(|(_, _, is)| *is).map(|(name, ..)| *name).collect();
            let mut fields: Map<_, _> =
                values.into_iter().map(|(name, value, _)| (name.to_owned(), value)).collect();
            fields.insert("enforce".to_owned(), json!(enforced));
            Value::Object(fields)
        })
    })
}

/// A lineage, and the documents of its accounts, then the system's.
fn tree() -> impl Strategy<Value = (Vec<Ancestor>, Vec<Value>)> {
    let level = (prop::bool::weighted(0.2), document());
    (prop::collection::vec(level, 1..6), document()).prop_map(|(levels, system)| {
        let ancestor = |(index, (reseller, _)): (usize, &(bool, Value))| {
            Ancestor::new(AccountId::parse(&format!("a{index}")).unwrap()).with_marks(*reseller, false)
        };
        let lineage = levels.iter().enumerate().map(ancestor).collect();
        (lineage, levels.into_iter().map(|(_, document)| document).chain([system]).collect())
    })
}

fn effective(lineage: &[Ancestor], documents: &[Value]) -> EffectivePolicy {
    let origins = lineage.iter().map(|ancestor| Origin::Account(ancestor.account.clone()));
    let parsed: BTreeMap<_, _> = origins
        .chain([Origin::System])
        .zip(documents)
        .map(|(origin, document)| (origin, PolicyDocument::parse(document).unwrap()))
        .collect();
    Policy::recommended().resolve(lineage, |origin| parsed.get(origin))
}

fn resolved(lineage: &[Ancestor], documents: &[Value]) -> BTreeMap<&'static str, (Value, Option<Origin>)> {
    let effective = effective(lineage, documents);
    let value = |name| effective.policy.value(name).unwrap();
    Policy::KNOBS
        .iter()
        .map(|knob| (knob.name, (value(knob.name), effective.origins.get(knob.name).cloned())))
        .collect()
}

/// Whether `a` is as strong as `b`, in words of its own for each direction.
fn is_as_strong(knob: &KnobInfo, a: &Value, b: &Value) -> bool {
    match knob.stronger {
        Stronger::True => a == &json!(true) || b == &json!(false),
        Stronger::False => a == &json!(false) || b == &json!(true),
        Stronger::Lower => a.as_u64() <= b.as_u64(),
        Stronger::Subset => match (a.as_array(), b.as_array()) {
            (Some(a), Some(b)) => a.iter().all(|name| b.contains(name)),
            (None, Some(_)) => false,
            (_, None) => true,
        },
        _ => true,
    }
}

/// The indices of the documents that the first account inherits from: up to the first reseller, and the system's. What
/// is enforced counts in all of them.
fn counting(lineage: &[Ancestor]) -> Vec<usize> {
    let reseller = lineage.iter().position(|ancestor| ancestor.reseller);
    let accounts = reseller.map_or(lineage.len(), |last| last.saturating_add(1));
    (0..accounts).chain([lineage.len()]).collect()
}

/// The indices of the documents that the one of `index` inherits from, its own first: as [`counting`] from there on.
fn standing(lineage: &[Ancestor], index: usize) -> Vec<usize> {
    let from_there = counting(lineage.get(index..).unwrap_or_default());
    from_there.into_iter().map(|below| below.saturating_add(index)).collect()
}

/// What goes with a method that is enforced.
const WITH_A_METHOD: [&str; 4] =
    ["enforced_from", "accept_own_configurations", "exemptions", "first_enrolment_needs_invitation"];

fn enforces(document: &Value, name: &str) -> bool {
    document["enforce"].as_array().unwrap().iter().any(|enforced| enforced == name)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn s07_no_document_weakens_what_is_enforced_above_it((lineage, documents) in tree()) {
        let resolved = resolved(&lineage, &documents);
        for index in 0..documents.len() {
            for knob in Policy::KNOBS.iter().filter(|knob| enforces(&documents[index], knob.name)) {
                let (value, _) = &resolved[knob.name];
                let enforced = &documents[index][knob.name];
                prop_assert!(is_as_strong(knob, value, enforced), "{}: {value} against {enforced}", knob.name);
            }
            // Nor is the day put off from which on a method is enforced, nor who needs none, nor what a first one takes.
            if enforces(&documents[index], "enforced") && documents[index]["enforced"] == json!(true) {
                for knob in Policy::KNOBS.iter().filter(|knob| WITH_A_METHOD.contains(&knob.name)) {
                    let own = standing(&lineage, index);
                    let own = own.iter().map(|at| &documents[*at][knob.name]).find(|value| !value.is_null());
                    let own = own.cloned().unwrap_or_else(|| Policy::recommended().value(knob.name).unwrap());
                    let (value, _) = &resolved[knob.name];
                    prop_assert!(is_as_strong(knob, value, &own), "{}: {value} against {own}", knob.name);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn s07_who_enforces_a_method_is_answered_for_by_nobody_below((lineage, documents) in tree()) {
        let from = effective(&lineage, &documents).configurations_from;
        let place = |origin: &Origin| match origin {
            Origin::Account(account) => lineage.iter().position(|ancestor| ancestor.account == *account).unwrap(),
            _ => lineage.len(),
        };
        let from = from.as_ref().map(place);
        let requires =
            |index: usize| enforces(&documents[index], "enforced") && documents[index]["enforced"] == json!(true);
        for index in (0..documents.len()).filter(|index| requires(*index)) {
            let above = &documents[index..];
            // Nobody said that it may be otherwise, or somebody above says that it never may.
            let own = standing(&lineage, index);
            let accepts = own.iter().find_map(|at| documents[*at]["accept_own_configurations"].as_bool());
            let never = above.iter().skip(1).any(|document| {
                enforces(document, "accept_own_configurations") && document["accept_own_configurations"] == json!(false)
            });
            if accepts != Some(true) || never {
                prop_assert!(from.is_some_and(|from| from >= index));
            }
        }
        prop_assert!(from.is_none_or(requires));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_nobody_enforces_is_the_nearest((lineage, documents) in tree()) {
        let resolved = resolved(&lineage, &documents);
        let counting = counting(&lineage);
        for knob in Policy::KNOBS {
            let day = WITH_A_METHOD.contains(&knob.name);
            if documents.iter().any(|document| {
                enforces(document, knob.name) || (day && enforces(document, "enforced"))
            }) {
                continue;
            }
            let nearest = counting.iter().find(|index| !documents[**index][knob.name].is_null());
            let (value, origin) = &resolved[knob.name];
            let Some(index) = nearest else {
                prop_assert_eq!(value, &Policy::recommended().value(knob.name).unwrap());
                prop_assert!(origin.is_none());
                continue;
            };
            prop_assert_eq!(value, &documents[*index][knob.name]);
            let account = lineage.get(*index).map(|ancestor| Origin::Account(ancestor.account.clone()));
            prop_assert_eq!(origin, &Some(account.unwrap_or(Origin::System)));
        }
    }

    #[test]
    fn a_value_is_one_that_somebody_asked_for((lineage, documents) in tree()) {
        let resolved = resolved(&lineage, &documents);
        for knob in Policy::KNOBS.iter().filter(|knob| knob.stronger != Stronger::Subset) {
            let (value, _) = &resolved[knob.name];
            let set = documents.iter().any(|document| &document[knob.name] == value);
            prop_assert!(set || *value == Policy::recommended().value(knob.name).unwrap());
        }
    }

    #[test]
    fn a_document_is_read_again_as_it_was_written(document in document()) {
        let policy = PolicyDocument::parse(&document).unwrap();
        prop_assert_eq!(PolicyDocument::parse(&policy.to_json()).unwrap(), policy);
    }
}

#[test]
fn the_farthest_account_that_enforces_decides_where_nothing_is_stronger() {
    let lineage = ["leaf", "mid", "root"].map(|name| Ancestor::new(AccountId::parse(name).unwrap()));
    let documents = [
        json!({"recovery": "none"}),
        json!({"recovery": "key", "enforce": ["recovery"]}),
        json!({"recovery": "codes", "enforce": ["recovery"]}),
        json!({}),
    ];
    let resolved = resolved(&lineage, &documents);
    let root = Origin::Account(AccountId::parse("root").unwrap());
    assert_eq!(resolved["recovery"], (json!("codes"), Some(root)));
}

#[test]
fn what_a_document_may_not_say_is_named() {
    for (document, field, code) in [
        (json!(1), "policy", "type"),
        (json!({"attempts": 11}), "attempts", "clamp"),
        (json!({"attempts": 0}), "attempts", "clamp"),
        (json!({"enforced": "true"}), "enforced", "type"),
        (json!({"enforced": null}), "enforced", "type"),
        (json!({"offered": "totp"}), "offered", "type"),
        (json!({"nothing": 1}), "nothing", "unknown_knob"),
        (json!({"enforce": ["attempts"]}), "enforce", "required"),
        (json!({"enforce": [1]}), "enforce", "required"),
        (json!({"enforce": "attempts"}), "enforce", "type"),
    ] {
        let errors = PolicyDocument::parse(&document).unwrap_err();
        let found: Vec<_> = errors.iter().map(|error| (&*error.field, error.code)).collect();
        assert_eq!(found, [(field, code)], "{document}");
    }
}

#[test]
fn s07_what_is_the_host_s_alone_is_in_no_document() {
    for knob in Policy::KNOBS.iter().filter(|knob| knob.class == KnobClass::Host) {
        let value = Policy::recommended().value(knob.name).unwrap();
        let errors = PolicyDocument::parse(&json!({ knob.name: value })).unwrap_err();
        assert_eq!(errors[0].code, "host_only", "{}", knob.name);
    }
}
