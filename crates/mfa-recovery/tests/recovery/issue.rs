//! How sets are issued: what is chosen, what is shown, what is kept.

use mfa_core::{
    AccountId, Charge, Choice, Cx, Draw, Effect, EffectKind, Entropy, EntropyError, Held, Provider,
    ProviderError, Purpose, StepEvent, Then, Timestamp, UserId, Versioned,
};
use mfa_recovery::{Count, Form, Recovery, RecoveryCode, RecoveryCodes};
use serde_json::{Value, json};

use crate::support::{LABEL, User, draw, provider};

#[test]
fn ten_codes_are_issued_unless_chosen_otherwise() {
    for (choice, form, codes) in [
        (Value::Null, Form::Codes, 10),
        (json!({}), Form::Codes, 10),
        (json!({"form": null, "count": null}), Form::Codes, 10),
        (json!({"form": "codes", "count": 5}), Form::Codes, 5),
        (json!({"count": 12}), Form::Codes, 12),
        (json!({"form": "key"}), Form::Key, 1),
        (json!({"form": "key", "count": 10}), Form::Key, 1),
    ] {
        let user = User::issued(&provider(), choice.clone(), 1);
        assert_eq!(user.codes.len(), codes, "{choice}");
        for code in &user.codes {
            assert_eq!(RecoveryCode::parse(code).unwrap().form(), form, "{choice}");
        }
        let left = user.enrolment.unwrap();
        assert_eq!((left.form(), usize::from(left.total()), usize::from(left.left())), (form, codes, codes));
        assert_eq!(user.public, json!({"kind": "recovery", "form": form.code(), "total": codes}));
        assert_eq!(user.state, None, "nothing is kept of what was being made");
    }
}

#[test]
fn a_choice_that_is_not_possible_names_its_field_and_limit() {
    for (choice, field, code, limit) in [
        (json!({"form": "keys"}), "choice.form", "invalid_form", "codes or key"),
        (json!({"form": 7}), "choice.form", "type", "a string"),
        (json!(["key"]), "choice", "type", "an object"),
        (json!({"count": 4}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": 13}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": 266}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": -5}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": 9.5}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": "10"}), "choice.count", "invalid_count", "5 to 12"),
        (json!({"count": u64::MAX}), "choice.count", "invalid_count", "5 to 12"),
    ] {
        let mut user = User::with_codes(1);
        let begun = user.run(Purpose::Enrol, 2, StepEvent::Begin(&Choice::new(choice.clone())));
        let Err(ProviderError::Invalid(error)) = begun else { panic!("{choice}: {begun:?}") };
        assert_eq!((error.field.as_str(), error.code), (field, code), "{choice}");
        assert!(error.problem.contains(limit), "{choice}: {}", error.problem);
    }
    for count in [0, 4, 13, 255] {
        assert_eq!(Count::new(count).map_err(|e| e.code()), Err("invalid_count"), "{count}");
    }
}

#[test]
fn a_set_is_made_by_one_free_hash_effect() {
    let user = User::with_codes(1);
    let [(kind, charge, _)] = user.effects[..] else { panic!("{:?}", user.effects) };
    assert_eq!((kind, charge), (EffectKind::Hash, Charge::Free));
    assert_eq!(provider().describe().effects, [EffectKind::Hash]);
}

#[test]
fn a_draw_has_bytes_left_for_the_engine() {
    let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("ann").unwrap());
    for choice in [json!({"count": 12}), json!({"form": "key"})] {
        let mut draw = draw(1).unwrap();
        let mut cx = Cx::new(Timestamp::MIN, &account, &user, Purpose::Enrol, &Value::Null, &mut draw);
        let held = Held::new(None, None, None);
        let step = provider().handle(&mut cx, held, StepEvent::Begin(&Choice::new(choice))).unwrap();
        assert!(matches!(step.then, Then::Run(Effect::Hash(_), Charge::Free)));
        assert!(draw.take::<116>().is_ok());
    }
}

#[test]
fn without_random_bytes_nothing_is_issued() {
    let mut user = User::with_codes(1);
    let mut used_up = draw(1).unwrap();
    let _: [u8; Draw::BYTES - 100] = used_up.take().unwrap();
    let set = RecoveryCodes::generate(Count::default(), &mut used_up);
    assert_eq!(set.err(), Some(EntropyError::Exhausted));

    #[derive(Debug)]
    struct Nothing;
    impl Entropy for Nothing {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError::Unavailable)
        }

        fn is_test_double(&self) -> bool {
            true
        }
    }
    assert!(Draw::from_source(std::sync::Arc::new(Nothing)).is_err());
    let before = user.secret.clone().unwrap().encode().unwrap();
    let garbled = mfa_core::SecretBytes::new(vec![2; 40]);
    assert!(user.step(Purpose::Enrol, 1, StepEvent::Hashed(&garbled)).is_err());
    assert_eq!(user.secret.unwrap().encode().unwrap(), before, "what is no set replaces none");
}

#[test]
fn a_job_cut_short_issues_nothing() {
    let mut user = User::with_codes(1);
    let begun = user.step(Purpose::Enrol, 3, StepEvent::Begin(&Choice::none())).unwrap();
    let Then::Run(Effect::Hash(job), _) = begun else { panic!("{begun:?}") };
    let digest = job.run();
    let whole = digest.expose_secret();
    for cut in 0..whole.len() {
        let digest = mfa_core::SecretBytes::new(whole[..cut].to_vec());
        let step = user.step(Purpose::Enrol, 3, StepEvent::Hashed(&digest));
        assert!(step.is_err(), "cut to {cut} bytes");
    }
    let longer = mfa_core::SecretBytes::new([whole, &[0]].concat());
    assert!(user.step(Purpose::Enrol, 3, StepEvent::Hashed(&longer)).is_err());
    let step = user.step(Purpose::Enrol, 3, StepEvent::Hashed(&digest));
    assert!(matches!(step, Ok(Then::Reveal(..))));
}

#[test]
fn the_file_to_save_says_whose_codes_they_are_and_holds_nothing_a_user_typed() {
    for (choice, title) in [(Value::Null, "recovery codes"), (json!({"form": "key"}), "recovery key")] {
        let user = User::issued(&provider(), choice, 1);
        let text = &user.download;
        assert!(text.starts_with(&format!("Example {title}\nMade on 2023-11-14 (UTC)\n\n")), "{text}");
        for code in &user.codes {
            assert!(text.lines().any(|line| line == code), "{text}");
        }
        assert!(text.contains("works once"), "{text}");
        assert!(text.is_ascii() && text.ends_with(".\n"), "{text}");
        for typed in [LABEL, "@", "evil", "acme", "http"] {
            assert!(!text.contains(typed), "{typed} in {text}");
        }
    }
}

#[test]
fn an_issuer_that_could_write_lines_of_its_own_is_refused() {
    let long = "x".repeat(129);
    for issuer in
        ["", " Example", "Example ", "a\nb", "a\rb", "a\tb", "a\u{2028}b", "a\u{202e}b", "\0", &long]
    {
        let error = Recovery::new(issuer).unwrap_err();
        assert_eq!(error.code(), "invalid_issuer", "{issuer:?}");
        assert!(error.to_string().contains("128 bytes"), "{error}");
    }
    assert!(Recovery::new(&"x".repeat(128)).is_ok());
    assert!(Recovery::new("Bücher & Söhne: 東京").is_ok());
}

#[test]
fn what_is_kept_is_small() {
    let set = User::with_codes(1).secret.unwrap().encode().unwrap();
    assert!(set.len() <= 384, "{} bytes for ten codes", set.len());
    let set = User::issued(&provider(), json!({"count": 12}), 1).secret.unwrap().encode().unwrap();
    assert!(set.len() <= 512, "{} bytes for twelve codes", set.len());
}
