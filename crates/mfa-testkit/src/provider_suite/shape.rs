//! What every provider is: constant, pure, total.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mfa_core::{Aal, Channel, Provider, Role, StepEvent};
use serde_json::{Value, json};

use super::ProviderCase;
use super::session::{End, Session, each_event};

/// A provider describes itself the same way each time, and takes at least one kind of answer or effect. A factor
/// proves something of RFC 8176, which has no value for e-mail; recovery proves nothing of it, at the lowest level, and a
/// user has it once.
pub fn the_description_does_not_change<C: ProviderCase>(case: &C) {
    let first = case.provider().describe().clone();
    let _ = Session::logging_in(case, 1).answer(&Session::logging_in(case, 2).wrong());
    assert_eq!(*case.provider().describe(), first, "the same before and after its use");
    let takes_something = !first.answers.is_empty() || !first.effects.is_empty();
    assert!(takes_something, "it takes an answer or asks someone");
    if first.role == Role::Recovery {
        assert!(first.amr.is_empty() && first.aal == Aal::One && !first.several, "it is recovery only");
    } else {
        let has_a_value = first.channel != Channel::Email;
        assert!(!first.amr.is_empty() || !has_a_value, "it proves something of RFC 8176");
    }
}

/// The case's settings are valid; settings of any other form are refused or taken without a panic, and no
/// error repeats a value.
pub fn settings_are_checked_without_repeating_their_values<C: ProviderCase>(case: &C) {
    const MARK: &str = "s3cr3t-v4lue";
    let provider = case.provider();
    assert_eq!(provider.validate(&case.settings()), Ok(()), "the case's settings are valid");
    let mut odd = vec![Value::Null, json!(MARK), json!([MARK]), json!({MARK: {MARK: MARK}}), json!(1e300)];
    if let Value::Object(settings) = case.settings() {
        for key in settings.keys() {
            for value in [json!(MARK), json!([MARK]), json!({"a": MARK}), json!(-1), Value::Null] {
                let mut settings = settings.clone();
                settings.insert(key.clone(), value);
                odd.push(Value::Object(settings));
            }
        }
    }
    for settings in odd {
        for error in provider.validate(&settings).err().into_iter().flatten() {
            assert!(!error.problem.contains(MARK), "{} repeats its value", error.field);
            assert!(!error.code.is_empty() && !error.problem.is_empty(), "an error says what is wrong");
        }
    }
}

/// `handle` is a function: the same context, random bytes, values and event give the same step.
pub fn the_same_inputs_give_the_same_step<C: ProviderCase>(case: &C) {
    let whole = || {
        let mut session = Session::logging_in(case, 1);
        let _ = session.answer(&session.wrong());
        let _ = session.answer(&session.right());
        session.seen
    };
    assert_eq!(whole(), whole(), "twice the same steps, values and secrets");
    let session = Session::logging_in(case, 1);
    each_event(&session, |name, event| {
        let step = || {
            let mut session = session.clone();
            let failed = session.step(event.clone()).err();
            (failed, session.seen)
        };
        assert_eq!(step(), step(), "twice the same step upon {name}");
    });
}

/// Any event upon any kept values is a step or an error: never a panic, and never accepted, unless it is
/// the right answer.
pub fn events_in_any_order_are_steps_or_errors<C: ProviderCase>(case: &C) {
    let enrolled = Session::enrolled(case, 1);
    let login_without_secret = {
        let mut session = Session::logging_in(case, 1);
        session.kept.secret = None;
        session
    };
    let sessions = [
        ("before anything", Session::new(case, 1)),
        ("in an enrolment", Session::enrolling(case, 1)),
        ("between logins", enrolled),
        ("in a login", Session::logging_in(case, 1)),
        ("without its secret", login_without_secret),
    ];
    for (place, session) in &sessions {
        each_event(session, |name, event| {
            let mut after = session.clone();
            judged(&mut after, name, event, place);
            // A function gives the same step upon the same values: only new values are worth a second event.
            if after.kept != session.kept {
                each_event(session, |second, event| {
                    judged(&mut after.clone(), second, event, &format!("after {name} {place}"));
                });
            }
        });
    }
    let mut unprepared = Session::new(case, 1);
    let right = Session::enrolling(case, 1).right();
    let end = unprepared.event("answer", StepEvent::Answer(&right));
    assert!(!matches!(end, End::Accepted(_)), "nothing is accepted before an enrolment begins");
}

/// The evidence of an accepted answer claims nothing that the description does not.
pub fn evidence_is_no_stronger_than_described<C: ProviderCase>(case: &C) {
    let described = case.provider().describe();
    let mut session = Session::logging_in(case, 1);
    let End::Accepted(strength) = session.answer(&session.right()) else {
        panic!("the right answer is accepted");
    };
    assert!(strength.aal <= described.aal, "the level");
    assert!(strength.amr.iter().all(|amr| described.amr.contains(amr)), "the methods");
    assert!(!strength.phishing_resistant || described.phishing_resistant, "phishing resistance");
    assert_eq!(strength.factor, described.factor, "the kind of factor");
    let channel: Channel = strength.channel;
    assert!(channel == described.channel || described.other_channels.contains(&channel), "the channel");
}

/// Gives an event and asserts that it neither panics nor is accepted.
fn judged<C: ProviderCase>(
    session: &mut Session<'_, C>,
    name: &'static str,
    event: StepEvent<'_>,
    place: &str,
) {
    let end = catch_unwind(AssertUnwindSafe(|| session.event(name, event)));
    let end = end.unwrap_or_else(|_| panic!("{name} {place}: a panic"));
    assert!(!matches!(end, End::Accepted(_)), "{name} {place}: accepted");
}
