//! The scripted provider does what the test says, and remembers what it saw.

use std::sync::Arc;

use mfa_core::{
    AccountId, Answer, Change, Charge, Choice, Cx, Draw, Effect, Held, Provider, ProviderError, Purpose,
    Reason, StepEvent, StepOf, Then, Timestamp, UserId,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use serde_json::{Value, json};

type Outcome = Result<StepOf<ScriptedProvider>, ProviderError>;

#[test]
fn without_rules_an_enrolment_reveals_and_no_answer_is_right() {
    let provider = ScriptedProvider::new("scripted");
    let step = give(&provider, Purpose::Enrol, StepEvent::Begin(&Choice::none())).unwrap();
    let Then::Reveal(_, revealed) = &step.then else { panic!("{step:?}") };
    assert!(revealed.get("secret").is_some());
    let refused = give(&provider, Purpose::Login, StepEvent::Answer(&Answer::code("123456")));
    assert!(matches!(refused.unwrap().then, Then::Reject(Reason::WrongCode)));
    let odd = give(&provider, Purpose::Login, StepEvent::Interrupted);
    assert_eq!(odd.unwrap_err(), ProviderError::Inappropriate);
}

#[test]
fn the_latest_rule_that_fits_is_followed() {
    let provider = ScriptedProvider::new("scripted");
    provider.on(On::AnyAnswer, Say::Reject(Reason::Denied));
    provider.on(On::Answer("1".to_owned()), Say::Accept);
    let then = |text| give(&provider, Purpose::Login, StepEvent::Answer(&Answer::code(text))).unwrap();
    let accepted = then("1");
    assert!(matches!(&accepted.then, Then::Accept(s) if *s == provider.describe().strength()));
    assert!(matches!(accepted.enrolment, Change::Set(count) if count.get() == 1));
    assert!(matches!(then("2").then, Then::Reject(Reason::Denied)));
    provider.on(On::Anything, Say::Prompt(json!({"say": "later"})));
    assert!(matches!(then("1").then, Then::Prompt(_)));
}

#[test]
fn effects_carry_the_charge_they_were_given() {
    let provider = ScriptedProvider::new("scripted");
    provider.on(On::Start, Say::Http("https://push.example/".to_owned(), Charge::Push));
    provider.on(On::Resend, Say::Deliver("ann".to_owned(), "text".to_owned(), Charge::Send));
    let none = Choice::none();
    let push = give(&provider, Purpose::Login, StepEvent::Start(&none)).unwrap().then;
    assert!(matches!(push, Then::Run(Effect::Http(_), Charge::Push)));
    let send = give(&provider, Purpose::Login, StepEvent::Resend).unwrap().then;
    assert!(matches!(send, Then::Run(Effect::Deliver(_), Charge::Send)));
}

#[test]
fn clones_share_what_was_seen_and_it_is_taken_once() {
    let provider = ScriptedProvider::new("scripted");
    let clone = provider.clone();
    let _ = give(&clone, Purpose::Login, StepEvent::Poll);
    let _ = give(&clone, Purpose::Enrol, StepEvent::Answer(&Answer::code("12 34")));
    let saw: Vec<_> = provider.take_saw().into_iter().map(|saw| (saw.event, saw.purpose)).collect();
    let answer = On::Answer("1234".to_owned());
    assert_eq!(saw, [(On::Poll, Purpose::Login), (answer, Purpose::Enrol)]);
    assert_eq!(clone.take_saw(), []);
}

fn give(provider: &ScriptedProvider, purpose: Purpose, event: StepEvent<'_>) -> Outcome {
    let [account, user] = ["acme", "ann"];
    let (account, user) = (AccountId::parse(account).ok(), UserId::parse(user).ok());
    let mut draw = Draw::from_source(Arc::new(SeededEntropy::new(1)))?;
    let (Some(account), Some(user)) = (account, user) else {
        return Err(ProviderError::Inappropriate);
    };
    let settings = Value::Null;
    let mut cx = Cx::new(Timestamp::MIN, &account, &user, purpose, &settings, &mut draw);
    provider.handle(&mut cx, Held::new(None, None, None), event)
}
