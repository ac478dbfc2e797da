//! Every public parser takes any input: it reads it as it is, or refuses it by name; it never panics.
#![cfg(test)]

use mfa::{
    AccountId, Answer, ChallengeId, EnrolmentId, KeyId, KeyRing, MethodSelector, Module, Policy,
    ProviderName, Reason, Reference, Response, UserId, Verify, normalise_code,
};
use mfa_tests::World;
use proptest::prelude::*;
use serde_json::Value;

/// Text of every kind: what people type, what is cut, what is long, what is no text at all.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".*",
        "[a-z0-9_-]{0,40}",
        "[0-9 \\-０-９]{0,12}",
        "[ -~]{0,300}",
        prop::collection::vec(any::<char>(), 0..300).prop_map(String::from_iter),
    ]
}

fn document() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
        (0_u64..700).prop_map(Value::from),
    ];
    let names = prop_oneof![
        prop::sample::select(Policy::KNOBS.iter().map(|knob| knob.name.to_owned()).collect::<Vec<_>>()),
        text(),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(names.clone(), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ids_of_hosts_are_taken_as_they_are_or_refused(text in text()) {
        if let Ok(id) = UserId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!((1..=256).contains(&text.len()) && text.trim() == text);
            prop_assert!(!text.chars().any(char::is_control));
        }
        if let Ok(id) = AccountId::parse(&text) {
            prop_assert_eq!(id.as_str(), &text);
            prop_assert!(!text.starts_with('~') && UserId::parse(&text).is_ok());
        }
    }

    #[test]
    fn names_are_taken_as_they_are_or_refused(text in text()) {
        let fits = (1..=32).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        prop_assert_eq!(Module::parse(&text).is_ok(), fits);
        prop_assert_eq!(ProviderName::parse(&text).is_ok(), fits);
        let key = (1..=16).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        prop_assert_eq!(KeyId::parse(&text).is_ok(), key);
        let _ = text.parse::<MethodSelector>();
    }

    #[test]
    fn ids_of_the_engine_read_back_what_they_show(bytes in any::<[u8; 16]>(), text in text()) {
        let challenge = ChallengeId::from_bytes(bytes);
        prop_assert_eq!(challenge.to_string().parse::<ChallengeId>().unwrap(), challenge);
        let enrolment = EnrolmentId::from_bytes(bytes);
        prop_assert_eq!(enrolment.to_string().parse::<EnrolmentId>().unwrap(), enrolment);
        let selected = enrolment.to_string().parse::<MethodSelector>().unwrap();
        prop_assert_eq!(selected, MethodSelector::Enrolment(enrolment));
        let _ = (text.parse::<ChallengeId>(), text.parse::<EnrolmentId>());
    }

    #[test]
    fn normalising_a_code_twice_changes_nothing(text in text()) {
        let once = normalise_code(&text);
        prop_assert_eq!(normalise_code(&once), once.clone());
        let answer = Answer::code(&text);
        prop_assert_eq!(answer.text().expose_secret(), &once);
        prop_assert!(!once.contains([' ', '-']) && once.len() <= 4096);
        let _ = (Answer::recovery(&text), Answer::reply(&text));
    }

    #[test]
    fn a_document_is_taken_within_the_clamps_or_refused_by_knob(document in document()) {
        match Policy::recommended().with_document(&document) {
            Ok(policy) => {
                prop_assert!(document.is_object());
                prop_assert!((1..=10).contains(&policy.attempts()));
                prop_assert!((30..=600).contains(&policy.challenge_ttl().as_secs()));
                prop_assert!((60..=3600).contains(&policy.enrolment_ttl().as_secs()));
                prop_assert!((1..=20).contains(&policy.failures_per_day()));
                prop_assert!((1..=100).contains(&policy.failures_per_month()));
                prop_assert!((1..=64).contains(&policy.open_challenges()));
            }
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                prop_assert!(errors.iter().all(|e| e.to_string().len() < 400));
            }
        }
    }

    #[test]
    fn references_and_rings_take_any_input(text in text(), root in any::<[u8; 32]>()) {
        let reference = Reference::from_text(&text);
        prop_assert_eq!(reference.expose_secret(), &text);
        let shown = format!("{reference:?}");
        prop_assert!(shown.len() < 32, "{}", shown);
        let ring = KeyRing::new(KeyId::parse("k").unwrap(), root);
        prop_assert_eq!(ring.is_ok(), root != [0; 32]);
    }
}

#[test]
fn references_of_any_text_are_unknown() {
    let world = futures::executor::block_on(World::memory());
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = proptest::test_runner::TestRunner::new(config);
    let strategy = prop_oneof![text(), "[A-Za-z0-9_-]{64,400}"];
    let checked = runner.run(&strategy, |text| {
        let answer = world.engine.verify(Reference::from_text(text), Response::code("123456"));
        let answer = futures::executor::block_on(answer).unwrap();
        prop_assert!(matches!(answer, Verify::Rejected(r) if r.reason == Reason::NotFound));
        Ok(())
    });
    checked.unwrap();
}
