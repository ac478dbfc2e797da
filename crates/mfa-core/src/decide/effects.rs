//! Effects: charged before they run, and gone on with when their results come.

use audit_model::{Kind, Outcome, Timestamp};

use super::call::{call, ready};
use super::case::Case;
use super::judge::{Judged, carry_out, locked};
use crate::machine::{Move, Status};
use crate::provider::Then;
use crate::reason::Cost;
use crate::record::challenge::PendingEffect;
use crate::{
    Charge, Draw, Effect, Error, HttpFault, HttpReply, NotDelivered, Reason, Receipt, SecretBytes, StepEvent,
};

/// How an effect ended.
#[derive(Debug)]
pub(crate) enum EffectResult {
    Hashed(SecretBytes),
    Http(Result<HttpReply, HttpFault>),
    Delivered(Receipt),
    NotDelivered(NotDelivered),
    /// It provably never started: what was charged for it is given back.
    NeverStarted,
}

/// Charges for an effect before it runs.
pub(super) fn charge_effect(
    case: &mut Case<'_>,
    effect: Effect,
    charge: Charge,
    of_answer: bool,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    let attempt = charge == Charge::Attempt;
    if attempt && let Some(retry_after) = locked(case) {
        // Whatever the event was, nothing is judged past a budget.
        return Ok(Judged::Rejected(case.refuse(Reason::Locked, retry_after)?));
    }
    if attempt && case.is_used_up() {
        return Ok(Judged::Rejected(case.refuse(Reason::Exhausted, None)?));
    }
    let id: [u8; 16] = draw.take()?;
    let method = case.login.value.enrolment(case.challenge.value.method);
    let failed_before = method.map_or(Timestamp::MIN, |enrolment| enrolment.failed_at);
    if attempt {
        case.charge(Cost::of(Reason::WrongCode));
    }
    let at = case.at;
    let challenge = case.challenge.change();
    if charge == Charge::Send {
        challenge.send_attempts = challenge.send_attempts.saturating_add(1);
    }
    let deadline = at.plus(crate::engine::EFFECT_DEADLINE);
    challenge.effect =
        Some(PendingEffect { id, charged_at: attempt.then_some(at), failed_before, of_answer, deadline });
    let event = case
        .event(Kind::EffectCharged, Outcome::Info)
        .field("effect", effect.kind().code())
        .field("charge", charge.code());
    case.note(event);
    Ok(Judged::Act { effect, id })
}

/// Goes on with the result of an effect that was charged before.
pub(super) fn resume(
    case: &mut Case<'_>,
    id: &[u8; 16],
    result: &EffectResult,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    let effect = match &case.challenge.value.effect {
        Some(effect) if effect.id == *id => effect.clone(),
        _ => {
            let event = case.event(Kind::EffectDropped, Outcome::Info);
            case.note(event);
            return Ok(Judged::Rejected(case.refuse(Reason::Superseded, None)?));
        }
    };
    if matches!(result, EffectResult::NeverStarted) {
        refund(case, &effect);
        case.challenge.change().effect = None;
        return Ok(Judged::Refunded);
    }
    let Some(method) = ready(case) else {
        case.challenge.change().effect = None;
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let event = match result {
        EffectResult::Hashed(digest) => StepEvent::Hashed(digest),
        EffectResult::Http(reply) => StepEvent::Http(reply),
        EffectResult::Delivered(receipt) => StepEvent::Delivered(receipt),
        EffectResult::NotDelivered(cause) => StepEvent::NotDelivered(*cause),
        EffectResult::NeverStarted => StepEvent::Interrupted,
    };
    let step = call(case, method, event, draw)?;
    case.challenge.change().effect = None;
    let Some(step) = step else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    if let (Then::Accept(_), Some(charged_at)) = (&step.then, effect.charged_at) {
        // The answer was right: its own charge was not a failure.
        if case.is_low_entropy() {
            case.login.change().failures.refund(charged_at);
        }
    }
    if let (Then::Reject(reason), Some(_)) = (&step.then, effect.charged_at) {
        if case.challenge.value.status == Status::Created {
            // What was judged has left.
            case.step(Move::Send)?;
        }
        return Ok(Judged::Rejected(case.refuse_charged(*reason)?));
    }
    carry_out(case, step, effect.of_answer, draw)
}

/// Gives back what was charged for an effect that provably never started.
fn refund(case: &mut Case<'_>, effect: &PendingEffect) {
    let Some(charged_at) = effect.charged_at else { return };
    let (id, low_entropy) = (case.challenge.value.method, case.is_low_entropy());
    let login = case.login.change();
    if low_entropy {
        login.failures.refund(charged_at);
    }
    if let Some(enrolment) = login.enrolment_mut(id) {
        enrolment.consecutive = enrolment.consecutive.saturating_sub(1);
        enrolment.failed_at = effect.failed_before;
    }
    let challenge = case.challenge.change();
    challenge.attempts_left = challenge.attempts_left.saturating_add(1);
    challenge.verify_attempts = challenge.verify_attempts.saturating_sub(1);
    let event = case.event(Kind::EffectRefunded, Outcome::Info);
    case.note(event);
}

/// Tells the provider that an effect was charged and never came back.
pub(super) fn interrupt(case: &mut Case<'_>, draw: &mut Draw) -> Result<(), Error> {
    if let Some(method) = ready(case) {
        call(case, method, StepEvent::Interrupted, draw)?;
    }
    case.challenge.change().effect = None;
    Ok(())
}
