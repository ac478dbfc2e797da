//! What a provider asks for, and what it pays.

use mfa_core::{Answer, Charge, EffectKind, NotDelivered, Provider, Purpose, Reason, StepEvent};

use super::ProviderCase;
use super::session::{Asked, End, Session, each_event};

/// A provider asks only for the kinds of effects it describes.
pub fn effects_are_described<C: ProviderCase>(case: &C) {
    let described = &case.provider().describe().effects;
    for asked in everything_asked(case) {
        assert!(described.contains(&asked.effect), "{asked:?} is not described");
    }
}

/// A message is charged as one; a hash, and whatever an answer leads to, as an attempt; what the user
/// starts is not free. The hash that issues a recovery enrolment judges nothing and is free.
pub fn checks_sends_and_pushes_are_charged<C: ProviderCase>(case: &C) {
    let is_issued = Session::new(case, 1).is_issued();
    for asked in everything_asked(case) {
        let issues = is_issued && asked.purpose == Purpose::Enrol;
        let fits = match (asked.effect, asked.upon) {
            (EffectKind::Deliver, _) => asked.charge == Charge::Send,
            (EffectKind::Hash, "begin") if issues => asked.charge == Charge::Free,
            (EffectKind::Hash, _) => asked.charge == Charge::Attempt,
            (EffectKind::Http, "answer" | "start" | "resend") => asked.charge != Charge::Free,
            _ => true,
        };
        assert!(fits, "{asked:?} is charged wrongly");
    }
}

/// An effect whose result never came, or failed, accepts nothing, and does not make a wrong answer right.
pub fn an_interrupted_effect_accepts_nothing<C: ProviderCase>(case: &C) {
    for session in Session::answering(case) {
        let failures = [
            StepEvent::Interrupted,
            StepEvent::NotDelivered(NotDelivered::TimedOut),
            StepEvent::Http(&Err(mfa_core::HttpFault::Unanswered)),
        ];
        for failure in failures {
            // The effect of a right answer is charged; its result is lost.
            let mut lost = session.clone();
            let _ = lost.step(StepEvent::Answer(&session.right()));
            let mut untouched = session.clone();
            for session in [&mut lost, &mut untouched] {
                let end = session.event("interrupted", failure.clone());
                assert!(!matches!(end, End::Accepted(_)), "{failure:?} is accepted");
                let end = session.answer(&session.wrong());
                assert!(!matches!(end, End::Accepted(_)), "a wrong answer after {failure:?}");
            }
        }
    }
}

/// To a recovery provider every answer of its form costs the same, right, wrong, used or another user's: the same
/// effects, charges and size of what is kept. Only who gave a right or used one is told something else.
pub fn recovery_answers_cost_the_same<C: ProviderCase>(case: &C) {
    let mut session = Session::logging_in(case, 1);
    if !session.is_issued() {
        return;
    }
    let (used, beside_used) = (session.right(), session.wrong());
    let end = session.answer(&used);
    assert!(matches!(end, End::Accepted(_)), "the right answer: {end:?}");
    session.pass(case.next_answer_after());
    session.begin_login();
    session.asked.clear();
    let cost = |answer: &Answer| {
        let (mut whole, mut first) = (session.clone(), session.clone());
        let end = whole.answer(answer);
        let _ = first.step(StepEvent::Answer(answer));
        (whole.asked, first.kept.state.map(|state| state.len()), end)
    };
    let (wrong_costs, wrong_keeps, wrong) = cost(&session.wrong());
    assert_eq!(wrong, End::Rejected(Reason::WrongCode), "a wrong answer");
    let foreign = Session::logging_in(case, 2).right();
    for (name, answer, is_wrong) in [
        ("right", session.right(), false),
        ("used", used, false),
        ("wrong, but for a used one's place,", beside_used, true),
        ("another user's", foreign, true),
    ] {
        let (costs, keeps, end) = cost(&answer);
        assert_eq!(costs, wrong_costs, "the cost of the {name} answer");
        assert_eq!(keeps, wrong_keeps, "what is kept while the {name} answer is judged");
        assert!(!is_wrong || end == wrong, "the {name} answer is told as {end:?}");
    }
}

/// What is asked for in an enrolment, in logins, and upon every event.
fn everything_asked<C: ProviderCase>(case: &C) -> Vec<Asked> {
    let mut session = Session::logging_in(case, 1);
    let _ = session.answer(&session.wrong());
    let _ = session.answer(&session.right());
    let mut asked = session.asked;
    for session in [Session::enrolling(case, 1), Session::logging_in(case, 1)] {
        each_event(&session, |name, event| {
            let mut session = session.clone();
            session.asked.clear();
            let _ = session.event(name, event);
            asked.extend(session.asked);
        });
    }
    asked
}
