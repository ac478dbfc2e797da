//! What an answer costs, counted where it is hashed.

use std::sync::Arc;

use mfa_core::{AccountId, Draw, Held, Timestamp, UserId, Versioned};
use mfa_testkit::entropy::SeededEntropy;
use proptest::prelude::*;

use super::*;
use crate::hash::tests::COUNTED;

/// A set that was issued, with its codes.
struct Issued {
    set: RecoverySet,
    codes: Vec<String>,
}

fn step(
    provider: &Recovery,
    held: HeldOf<Recovery>,
    purpose: Purpose,
    event: StepEvent<'_>,
) -> StepOf<Recovery> {
    let (account, user) = (AccountId::parse("acme").unwrap(), UserId::parse("ann").unwrap());
    let mut draw = Draw::from_source(Arc::new(SeededEntropy::new(5))).unwrap();
    let settings = Value::Null;
    let mut cx = Cx::new(Timestamp::MIN, &account, &user, purpose, &settings, &mut draw);
    provider.handle(&mut cx, held, event).unwrap()
}

fn issued(provider: &Recovery, seed: u64) -> Issued {
    let mut draw = Draw::from_source(Arc::new(SeededEntropy::new(seed))).unwrap();
    let salt = draw.take().unwrap();
    let codes = RecoveryCodes::generate(Count::default(), &mut draw).unwrap();
    let digest = job::of_set(codes, salt, provider.cost).run();
    let (codes, set) = job::read_set(digest.expose_secret()).unwrap();
    let codes = codes.iter().map(|code| code.to_text().expose_secret().to_owned()).collect();
    Issued { set, codes }
}

/// A well-formed code with this selector and random bits of its own.
fn code(selector: u16) -> String {
    let code = RecoveryCode::of_random(Form::Codes, selector, &[7; 10]);
    code.to_text().expose_secret().to_owned()
}

/// Everything about an answer that could be told from outside: the state kept while it is hashed, the charge,
/// the hashes made and their costs, the length of the digest, and the step that judges it, printed.
type Seen = (Vec<u8>, Charge, Vec<Cost>, usize, String);

fn seen(provider: &Recovery, set: &RecoverySet, typed: &str) -> Seen {
    let answer = Answer::recovery(typed);
    let held = Held::new(None, Some(set.left()), Some(set.clone()));
    let asked = step(provider, held, Purpose::Login, StepEvent::Answer(&answer));
    let Change::Set(state) = asked.state else { panic!("nothing is kept while it is hashed") };
    assert!(asked.enrolment == Change::Same && matches!(asked.secret, Change::Same));
    let Then::Run(Effect::Hash(job), charge) = asked.then else { panic!("{:?}", asked.then) };
    COUNTED.take();
    let digest = job.run();
    let hashes = COUNTED.take();
    let held = Held::new(Some(state), Some(set.left()), Some(set.clone()));
    let judged = step(provider, held, Purpose::Login, StepEvent::Hashed(&digest));
    let after = COUNTED.take();
    assert!(after.is_empty(), "judging hashes nothing");
    let mut bytes = state.encode().unwrap();
    bytes[1..].fill(0);
    (bytes, charge, hashes, digest.expose_secret().len(), format!("{judged:?}"))
}

#[test]
fn s26_unknown_used_and_foreign_selectors_cost_one_hash_of_the_sets_cost_and_get_one_answer() {
    let made_with = Cost::new(9 * 1024, 4).unwrap();
    let maker = Recovery::new("Example").unwrap().with_cost(made_with);
    // The default cost of today is not the one that the set was made with.
    let provider = Recovery::new("Example").unwrap();
    let Issued { set, codes } = issued(&maker, 1);
    let foreign = issued(&maker, 2);

    let selector = |text: &str| RecoveryCode::parse(text).unwrap().selector();
    let unknown = (0..1024).find(|at| codes.iter().all(|code| selector(code) != *at)).unwrap();
    let set = set.spend(1);
    let wrong = [
        ("of an unused code's selector", code(selector(&codes[0]))),
        ("of a used code's selector", code(selector(&codes[1]))),
        ("of an unknown selector", code(unknown)),
        ("of another user", foreign.codes[0].clone()),
    ];
    let first = seen(&provider, &set, &wrong[0].1);
    assert_eq!(first.2, [made_with], "one hash, of the set's cost");
    assert_eq!(first.1, Charge::Attempt);
    assert!(first.4.contains("Reject(WrongCode)"), "{}", first.4);
    for (name, typed) in &wrong {
        assert_eq!(seen(&provider, &set, typed), first, "a code {name}");
    }
    // Right and used ones cost the same; what they are told is theirs to know.
    for (name, typed, told) in [("right", &codes[0], "Accept"), ("used", &codes[1], "Reject(AlreadyUsed)")] {
        let (state, charge, hashes, digest, printed) = seen(&provider, &set, typed);
        assert_eq!(
            (state, charge, hashes, digest),
            (first.0.clone(), first.1, first.2.clone(), first.3),
            "{name}"
        );
        assert!(printed.contains(told), "{name}: {printed}");
    }
}

#[test]
fn s26_a_set_of_one_and_of_twelve_cost_the_same_hash() {
    let provider = Recovery::new("Example").unwrap();
    let sets = [1, 12].map(|codes| {
        let mut draw = Draw::from_source(Arc::new(SeededEntropy::new(9))).unwrap();
        let salt = draw.take().unwrap();
        let made = RecoveryCodes::generate(Count::new(12).unwrap(), &mut draw).unwrap();
        let hashes = made.iter().take(codes).map(|code| (code.selector(), zeroize::Zeroizing::new([3; 32])));
        RecoverySet::new(Form::Codes, Cost::default(), salt, hashes.collect())
    });
    for set in sets {
        assert_eq!(seen(&provider, &set, &code(77)).2, [Cost::default()]);
    }
}

#[test]
fn s26_a_decoys_set_costs_the_hash_of_a_new_one_and_no_code_fits_it() {
    let provider = Recovery::new("Example").unwrap().with_cost(Cost::new(9 * 1024, 4).unwrap());
    let Issued { set, codes } = issued(&provider, 1);
    let decoy = provider.decoy(&Choice::new(json!({"form": "codes"}))).unwrap();
    let wrong = seen(&provider, &set, &code(1));
    for typed in [code(0), code(1), codes[0].clone()] {
        assert_eq!(seen(&provider, &decoy, &typed), wrong, "{typed}");
    }
    assert_eq!(decoy.left(), set.left());
    let key = provider.decoy(&Choice::new(json!({"form": "key"}))).unwrap();
    assert_eq!((key.form(), key.left().total()), (Form::Key, 1));
    assert!(provider.decoy(&Choice::new(json!({"form": "keys"}))).is_none());
    // It is kept as any set is.
    assert!(RecoverySet::decode(&decoy.encode().unwrap()).is_ok());
}

#[test]
fn s26_a_code_that_fails_its_checksum_is_never_hashed() {
    let provider = Recovery::new("Example").unwrap();
    let Issued { set, codes } = issued(&provider, 1);
    let mut typed = codes[0].clone();
    let other = if typed.ends_with('Z') { "Y" } else { "Z" };
    typed.replace_range(typed.len() - 1.., other);
    COUNTED.take();
    let answer = Answer::recovery(&typed);
    let held = Held::new(None, Some(set.left()), Some(set));
    let judged = step(&provider, held, Purpose::Login, StepEvent::Answer(&answer));
    assert!(matches!(judged.then, Then::Reject(Reason::Malformed)), "{:?}", judged.then);
    assert!(COUNTED.take().is_empty());
}

#[test]
fn every_set_has_a_salt_of_its_own() {
    let provider = Recovery::new("Example").unwrap();
    let [one, two] = [1, 2].map(|seed| issued(&provider, seed).set.salt());
    assert_ne!(one, two);
}

#[test]
fn a_codes_salt_is_its_sets_and_its_selector() {
    let provider = Recovery::new("Example").unwrap();
    let Issued { set, codes } = issued(&provider, 1);
    for typed in &codes[..2] {
        let code = RecoveryCode::parse(typed).unwrap();
        let salt = [&set.salt()[..], &code.selector().to_be_bytes()].concat();
        let params = argon2::Params::new(19_456, 2, 1, Some(32)).unwrap();
        let engine = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut bare = [0; 32];
        engine.hash_password_into(typed.replace('-', "").as_bytes(), &salt, &mut bare).unwrap();
        let digest = job::of_answer(code, &set).unwrap().run();
        assert!(digest.ct_eq(&[&[1][..], &bare].concat()), "of the code, in upper case without dashes");
    }
}

#[test]
fn the_issuing_job_hashes_each_code_once() {
    COUNTED.take();
    let provider = Recovery::new("Example").unwrap();
    issued(&provider, 1);
    assert_eq!(COUNTED.take(), [Cost::default(); 10]);
}

proptest! {
    #[test]
    fn any_digest_is_a_step_or_an_error_and_accepts_nothing(digest in proptest::collection::vec(any::<u8>(), 0..120)) {
        let salt = [1; 16];
        let hashes = vec![(1, zeroize::Zeroizing::new([3; 32]))];
        let set = RecoverySet::new(Form::Codes, Cost::default(), salt, hashes);
        let hash = job::read_answer(&digest);
        prop_assert_eq!(hash.is_ok(), digest.len() == 33 && digest[0] == 1);
        if let Ok(hash) = hash {
            prop_assert_eq!(set.find(AskedSelector::new(1), &hash), Found::Nothing);
        }
        prop_assert!(job::read_set(&digest).is_err());
    }

    #[test]
    fn any_bytes_are_a_set_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut bytes = bytes;
        if let Some(version) = bytes.first_mut() {
            *version = RecoverySet::VERSION;
        }
        if let Ok(set) = RecoverySet::decode(&bytes) {
            prop_assert!(set.cost().is_ok() && set.left().left() <= set.left().total());
        }
    }
}
