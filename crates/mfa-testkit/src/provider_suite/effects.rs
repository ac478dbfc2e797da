//! What a provider asks for, and what it pays.

use mfa_core::{Charge, EffectKind, NotDelivered, Provider, StepEvent};

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
/// starts is not free.
pub fn checks_sends_and_pushes_are_charged<C: ProviderCase>(case: &C) {
    for asked in everything_asked(case) {
        let fits = match (asked.effect, asked.upon) {
            (EffectKind::Deliver, _) => asked.charge == Charge::Send,
            (EffectKind::Hash, _) => asked.charge == Charge::Attempt,
            (EffectKind::Http, "answer" | "start" | "resend") => asked.charge != Charge::Free,
            _ => true,
        };
        assert!(fits, "{asked:?} is charged wrongly");
    }
}

/// An effect whose result never came, or failed, accepts nothing, and does not make a wrong answer right.
pub fn an_interrupted_effect_accepts_nothing<C: ProviderCase>(case: &C) {
    for session in [Session::enrolling(case, 1), Session::logging_in(case, 1)] {
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
