//! How answers are judged.

use mfa_core::{
    Answer, Charge, Choice, EffectKind, NotDelivered, Purpose, Reason, SecretBytes, StepEvent, Then,
    Versioned,
};
use mfa_recovery::{Cost, Recovery, RecoverySet};
use serde_json::{Value, json};

use crate::support::{User, other_selector, provider, same_selector};

fn is_accepted(then: &Then) -> bool {
    matches!(then, Then::Accept(_))
}

fn rejected(then: Then) -> Reason {
    let Then::Reject(reason) = then else { panic!("{then:?} is no rejection") };
    reason
}

fn left(user: &User) -> u8 {
    user.enrolment.unwrap().left()
}

#[test]
fn every_code_is_accepted_once_in_any_order() {
    let mut user = User::with_codes(1);
    for (at, place) in [3, 9, 0, 1, 2, 4, 8, 7, 6, 5].into_iter().enumerate() {
        let code = user.codes[place].clone();
        assert!(is_accepted(&user.answer(&code)), "code {place}");
        assert_eq!(usize::from(left(&user)), 9 - at);
        assert_eq!(rejected(user.answer(&code)), Reason::AlreadyUsed, "code {place} again");
    }
    for code in user.codes.clone() {
        assert_eq!(rejected(user.answer(&code)), Reason::AlreadyUsed);
    }
    assert_eq!((left(&user), user.enrolment.unwrap().total()), (0, 10));
}

#[test]
fn a_key_is_accepted_once() {
    let mut user = User::issued(&provider(), json!({"form": "key"}), 1);
    let key = user.codes[0].clone();
    assert_eq!(rejected(user.answer(&same_selector(&key))), Reason::WrongCode);
    assert_eq!(rejected(user.answer(&other_selector(&key))), Reason::WrongCode);
    assert!(is_accepted(&user.answer(&key.to_lowercase().replace('-', " "))));
    assert_eq!(left(&user), 0);
    assert_eq!(rejected(user.answer(&key)), Reason::AlreadyUsed);
}

#[test]
fn evidence_is_of_the_first_level_and_claims_no_method() {
    let mut user = User::with_codes(1);
    let code = user.codes[0].clone();
    let Then::Accept(strength) = user.answer(&code) else { panic!("not accepted") };
    assert_eq!(strength.aal, mfa_core::Aal::One);
    assert!(strength.amr.is_empty() && !strength.phishing_resistant);
}

#[test]
fn s26_already_used_is_told_to_who_has_the_code_alone() {
    let mut user = User::with_codes(1);
    let used = user.codes[0].clone();
    assert!(is_accepted(&user.answer(&used)));
    assert_eq!(rejected(user.answer(&used)), Reason::AlreadyUsed);
    assert_eq!(rejected(user.answer(&same_selector(&used))), Reason::WrongCode);
    assert_eq!(rejected(user.answer(&other_selector(&used))), Reason::WrongCode);
}

#[test]
fn s26_a_typing_error_is_not_judged() {
    let mut user = User::with_codes(1);
    let code = user.codes[0].clone();
    let before = user.effects.len();
    for typed in [
        code.replace(&code[..1], if code.starts_with('Z') { "Y" } else { "Z" }),
        code[..code.len() - 1].to_owned(),
        String::new(),
        "123456".to_owned(),
        User::issued(&provider(), json!({"form": "key"}), 1).codes[0].clone(),
    ] {
        assert_eq!(rejected(user.answer(&typed)), Reason::Malformed, "{typed}");
    }
    assert_eq!(user.effects.len(), before, "nothing was hashed");
    assert!(is_accepted(&user.answer(&code)), "and the code is still good");
}

#[test]
fn s26_every_judged_answer_has_one_charged_hash() {
    let mut user = User::with_codes(1);
    let code = user.codes[0].clone();
    let stranger = User::with_codes(2).codes[0].clone();
    user.effects.clear();
    for typed in [same_selector(&code), other_selector(&code), stranger, code.clone(), code] {
        let before = user.effects.len();
        let _ = user.answer(&typed);
        assert_eq!(user.effects[before..], [(EffectKind::Hash, Charge::Attempt, 33)], "{typed}");
    }
}

#[test]
fn another_users_codes_are_wrong() {
    let (mut one, two) = (User::with_codes(1), User::with_codes(2));
    for code in &two.codes {
        assert_eq!(rejected(one.answer(code)), Reason::WrongCode);
    }
    assert_eq!(left(&one), 10);
}

#[test]
fn a_new_set_puts_an_end_to_the_old_one() {
    let mut user = User::with_codes(1);
    let old = user.codes.clone();
    assert!(is_accepted(&user.answer(&old[0])));
    let renewed = User::with_codes(2);
    (user.secret, user.enrolment) = (renewed.secret, renewed.enrolment);
    for code in &old {
        assert_eq!(rejected(user.answer(code)), Reason::WrongCode);
    }
    assert!(is_accepted(&user.answer(&renewed.codes[0])));
}

#[test]
fn a_set_keeps_the_cost_it_was_made_with() {
    let raised = Recovery::new("Example").unwrap().with_cost(Cost::new(46 * 1024, 2).unwrap());
    let mut user = User::with_codes(1);
    user.provider = raised.clone();
    let code = user.codes[0].clone();
    assert!(is_accepted(&user.answer(&code)), "after the cost was raised");
    let mut user = User::issued(&raised, Value::Null, 1);
    user.provider = provider();
    let code = user.codes[0].clone();
    assert!(is_accepted(&user.answer(&code)), "after it was lowered again");
}

#[test]
fn a_hash_of_another_answer_or_length_accepts_nothing() {
    let mut user = User::with_codes(1);
    let [one, two] = [user.codes[0].clone(), user.codes[1].clone()];
    let digest_of = |user: &mut User, typed: &str| {
        let asked = user.step(Purpose::Login, 1, StepEvent::Answer(&Answer::recovery(typed))).unwrap();
        let Then::Run(mfa_core::Effect::Hash(job), _) = asked else { panic!("{asked:?}") };
        job.run()
    };
    let right = digest_of(&mut user, &one);
    let whole = right.expose_secret().to_vec();
    for wrong in [vec![], whole[1..].to_vec(), whole[..32].to_vec(), [&whole[..], &[0]].concat(), vec![0; 33]]
    {
        let step = user.step(Purpose::Login, 1, StepEvent::Hashed(&SecretBytes::new(wrong.clone())));
        assert!(step.is_err(), "{} bytes", wrong.len());
    }
    let zeros = [&[1][..], &[0; 32]].concat();
    let step = user.clone().step(Purpose::Login, 1, StepEvent::Hashed(&SecretBytes::new(zeros)));
    assert_eq!(rejected(step.unwrap()), Reason::WrongCode);
    // The hash of one code while the other was asked for.
    let _ = digest_of(&mut user, &two);
    let step = user.clone().step(Purpose::Login, 1, StepEvent::Hashed(&right));
    assert_eq!(rejected(step.unwrap()), Reason::WrongCode);
    // The right one, with nothing asked for.
    let mut fresh = User::with_codes(1);
    assert!(fresh.step(Purpose::Login, 1, StepEvent::Hashed(&right)).is_err());
    // And where it belongs.
    let _ = digest_of(&mut user, &one);
    assert!(is_accepted(&user.step(Purpose::Login, 1, StepEvent::Hashed(&right)).unwrap()));
}

#[test]
fn the_same_hash_twice_is_decided_twice_alike() {
    let user = User::with_codes(1);
    let answer = Answer::recovery(&user.codes[0]);
    let mut asked = user.clone();
    let Then::Run(mfa_core::Effect::Hash(job), _) =
        asked.step(Purpose::Login, 1, StepEvent::Answer(&answer)).unwrap()
    else {
        panic!("no hash");
    };
    let digest = job.run();
    // A commit that lost a race decides again with what it then reads: unused, it is accepted; used, it is not.
    for _ in 0..2 {
        let then = asked.clone().step(Purpose::Login, 1, StepEvent::Hashed(&digest)).unwrap();
        assert!(is_accepted(&then));
    }
    let mut winner = user;
    let code = winner.codes[0].clone();
    assert!(is_accepted(&winner.answer(&code)));
    asked.secret = winner.secret;
    let then = asked.step(Purpose::Login, 1, StepEvent::Hashed(&digest)).unwrap();
    assert_eq!(rejected(then), Reason::AlreadyUsed);
}

#[test]
fn an_interrupted_hash_is_forgotten() {
    let mut user = User::with_codes(1);
    let answer = Answer::recovery(&user.codes[0]);
    let asked = user.step(Purpose::Login, 1, StepEvent::Answer(&answer)).unwrap();
    let Then::Run(mfa_core::Effect::Hash(job), _) = asked else { panic!("{asked:?}") };
    assert!(user.state.is_some());
    let then = user.step(Purpose::Login, 1, StepEvent::Interrupted).unwrap();
    assert!(matches!(then, Then::Prompt(_)), "{then:?}");
    assert_eq!(user.state, None);
    let late = user.step(Purpose::Login, 1, StepEvent::Hashed(&job.run()));
    assert!(late.is_err(), "a result that comes late");
    let code = user.codes[0].clone();
    assert!(is_accepted(&user.answer(&code)), "and the code is still good");
}

#[test]
fn a_prompt_says_the_form_and_not_how_many_are_left() {
    for (choice, form) in [(Value::Null, "codes"), (json!({"form": "key"}), "key")] {
        let mut user = User::issued(&provider(), choice, 1);
        let none = Choice::none();
        for event in [StepEvent::Begin(&none), StepEvent::Start(&none), StepEvent::Poll, StepEvent::Resend] {
            let then = user.step(Purpose::Login, 1, event).unwrap();
            let Then::Prompt(public) = then else { panic!("{then:?}") };
            assert_eq!(public, json!({"kind": "recovery", "form": form}));
        }
    }
}

#[test]
fn without_a_set_nothing_is_judged() {
    let with_set = User::with_codes(1);
    let answer = Answer::recovery(&with_set.codes[0]);
    let mut user = User { secret: None, ..with_set };
    let none = Choice::none();
    for event in [
        StepEvent::Begin(&none),
        StepEvent::Answer(&answer),
        StepEvent::Poll,
        StepEvent::Interrupted,
        StepEvent::NotDelivered(NotDelivered::TimedOut),
    ] {
        assert!(user.step(Purpose::Login, 1, event.clone()).is_err(), "{event:?}");
    }
}

#[test]
fn no_other_kind_of_answer_is_judged() {
    let mut user = User::with_codes(1);
    let before = user.effects.len();
    for answer in [Answer::code(&user.codes[0]), Answer::reply(&user.codes[0])] {
        let then = user.run(Purpose::Login, 1, StepEvent::Answer(&answer)).unwrap();
        assert_eq!(rejected(then), Reason::WrongCode);
    }
    assert_eq!(user.effects.len(), before, "nothing was hashed");
}

#[test]
fn nothing_of_an_answer_is_kept_but_its_selector() {
    let mut user = User::with_codes(1);
    let answer = Answer::recovery(&user.codes[0]);
    let _ = user.step(Purpose::Login, 1, StepEvent::Answer(&answer)).unwrap();
    assert_eq!(user.state.unwrap().encode().unwrap().len(), 3, "a version and two bytes");
}

#[test]
fn a_kept_set_that_cannot_be_one_is_an_error() {
    let good = User::with_codes(1).secret.unwrap().encode().unwrap();
    assert!(RecoverySet::decode(&good).is_ok());
    // Version, form, memory (three bytes), passes, salt (16 bytes), number of entries.
    let changed = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        RecoverySet::decode(&bytes).is_err()
    };
    assert!(changed(1, 1), "a key of ten");
    assert!(changed(1, 2), "an unknown form");
    assert!(changed(5, 17), "more passes than a login can bear");
    assert!(changed(22, 0), "no codes");
    let mut memory = good.clone();
    memory.splice(2..5, [0xff, 0xff, 0xff, 0x7f]);
    assert!(RecoverySet::decode(&memory).is_err(), "more memory than a login can bear");
}
