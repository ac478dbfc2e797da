//! Fallback: a destination that is refused for good, before anything left, leads to the next method that sends; one that
//! gets no more messages leads to a method that needs none, as it does where that is known before.

use audit_model::{Kind, Outcome};

use super::call::{call, ready};
use super::case::Case;
use super::judge::{Judged, carry_out};
use super::survey::wait_for;
use crate::machine::{Move, Status};
use crate::record::login::Enrolment;
use crate::{Choice, Draw, EffectKind, EnrolmentId, Error, ProviderName, StepEvent};

/// Which methods may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Those that send. What needs no message is the user's to choose.
    Sends,
    /// Those that do not: whoever used up the messages of one channel brings about none by another, and keeps nobody from
    /// a method that needs none.
    NeedsNone,
}

/// Goes on with the next method, once a challenge and never after an answer was judged. `None` where there is none.
pub(super) fn fall_back(case: &mut Case<'_>, which: Next, draw: &mut Draw) -> Result<Option<Judged>, Error> {
    let challenge = &case.challenge.value;
    if challenge.status != Status::Created || challenge.fell_back || challenge.verify_attempts > 0 {
        return Ok(None);
    }
    let Some((id, provider)) = next(case, which) else { return Ok(None) };
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

/// Finds the next of the offered methods that is not refused now; ways back in come last.
fn next(case: &Case<'_>, which: Next) -> Option<(EnrolmentId, ProviderName)> {
    let challenge = &case.challenge.value;
    let may_come = |enrolment: &Enrolment| {
        let provider = case.rules.usable_for(enrolment);
        let sends = provider.map(|p| p.code.describe().effects.contains(&EffectKind::Deliver));
        sends.is_some_and(|sends| sends == (which == Next::Sends))
    };
    let open = |e: &&Enrolment| {
        e.id != challenge.method
            && challenge.offered.contains(&e.id)
            && !e.is_stopped()
            && may_come(e)
            && wait_for(case.rules, &case.login.value, e, case.at, case.challenge.value.known).is_zero()
    };
    let open = case.login.value.enrolments.iter().filter(open);
    let found = open.min_by_key(|enrolment| !case.rules.is_factor(enrolment))?;
    Some((found.id, found.provider.clone()))
}
