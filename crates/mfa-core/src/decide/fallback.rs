//! Fallback: a destination that is refused for good, before anything left, leads to the next method that sends.

use audit_model::{Kind, Outcome};

use super::call::{call, ready};
use super::case::Case;
use super::judge::{Judged, carry_out};
use super::survey::wait_for;
use crate::machine::{Move, Status};
use crate::record::login::Enrolment;
use crate::{Choice, Draw, EffectKind, EnrolmentId, Error, ProviderName, StepEvent};

/// Goes on with the next method, once a challenge and never after an answer was judged. `None` where there is none.
pub(super) fn fall_back(case: &mut Case<'_>, draw: &mut Draw) -> Result<Option<Judged>, Error> {
    let challenge = &case.challenge.value;
    if challenge.status != Status::Created || challenge.fell_back || challenge.verify_attempts > 0 {
        return Ok(None);
    }
    let Some((id, provider)) = next(case) else { return Ok(None) };
    let from = case.provider_name().clone();
    case.step(Move::FallBack)?;
    let (at, life) = (case.at, case.rules.policy.challenge_ttl());
    let challenge = case.challenge.change();
    challenge.fell_back = true;
    challenge.method = id;
    challenge.provider = provider;
    challenge.state = None;
    challenge.effect = None;
    // A new code has a life of its own.
    challenge.created_at = at;
    challenge.expires_at = at.plus(life);
    let ends = challenge.expires_at;
    if let Some(sends) = &mut case.sends {
        sends.renew(case.claims.id, ends);
    }
    case.before = case.challenge.value.waiting();
    let event = case.event(Kind::ChallengeFellBack, Outcome::Info).field("from", from);
    case.note(event);
    let Some(method) = ready(case) else { return Ok(None) };
    let choice = Choice::none();
    let Some(step) = call(case, method, StepEvent::Begin(&choice), draw)? else { return Ok(None) };
    carry_out(case, step, (false, false), draw).map(Some)
}

/// Finds the next of the offered methods that sends, and that is not refused now.
fn next(case: &Case<'_>) -> Option<(EnrolmentId, ProviderName)> {
    let challenge = &case.challenge.value;
    let sends = |enrolment: &Enrolment| {
        case.rules
            .usable_for(enrolment)
            .is_some_and(|p| p.code.describe().effects.contains(&EffectKind::Deliver))
    };
    let open = |e: &&Enrolment| {
        e.id != challenge.method
            && challenge.offered.contains(&e.id)
            && !e.is_stopped()
            && sends(e)
            && wait_for(case.rules, &case.login.value, e, case.at, case.challenge.value.known).is_zero()
    };
    let found = case.login.value.enrolments.iter().find(open)?;
    Some((found.id, found.provider.clone()))
}
