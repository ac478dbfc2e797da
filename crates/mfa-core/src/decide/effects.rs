//! Effects: charged before they run, and gone on with when their results come.

use core::time::Duration;

use audit_model::{EventBuilder, Kind, Outcome, Timestamp};
use serde_json::Value;

use super::call::{call, ready};
use super::case::Case;
use super::charge::Charged;
use super::fallback::{Next, fall_back};
use super::judge::{Acting, Judged, carry_out, locked, pending};
use super::message::{by_outbox, deadline};
use crate::budget::DELAYS_FROM;
use crate::machine::{Move, Status};
use crate::provider::Then;
use crate::reason::Cost;
use crate::record::challenge::PendingEffect;
use crate::record::prefix::Texted;
use crate::{
    Channel, Charge, Draw, Effect, EnrolmentId, Error, HttpFault, HttpReply, Message, NotDelivered,
    NoticeKind, Reason, Receipt, SecretBytes, StepEvent, Unproven, Version,
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
    /// A limit of messages is reached: it did not start either.
    OverLimit(Limit),
}

/// Why no message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// The destination had its messages of the day.
    Destination,
    /// So had the account.
    Account,
    /// What goes to numbers of this prefix is not answered.
    Prefix,
}

impl EffectResult {
    /// Describes why an effect is given back, where a limit is why.
    pub(super) fn describe(&self, refunded: EventBuilder) -> EventBuilder {
        match self {
            Self::OverLimit(limit) => refunded.field("limit", limit.code()),
            _ => refunded,
        }
    }
}

impl Limit {
    /// Returns the name that events have for it.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Account => "account",
            Self::Prefix => "prefix",
        }
    }
}

impl Effect {
    /// Describes it where it is charged. Of a number it says where that is, so that a host sees which are paid for by
    /// the message.
    pub(super) fn describe(&self, charge: Charge, charged: EventBuilder) -> EventBuilder {
        let charged = charged.field("effect", self.kind().code()).field("charge", charge.code());
        let prefix = match self {
            Self::Deliver(message) => message.prefix(),
            _ => None,
        };
        prefix.into_iter().fold(charged, |charged, prefix| charged.field("prefix", prefix))
    }

    /// Returns the text message that it is, where it is one.
    pub(super) fn texted(&self, method: EnrolmentId, at: Timestamp) -> Option<Texted> {
        match self {
            Self::Deliver(message) => message.prefix().map(|prefix| Texted { method, prefix, at }),
            _ => None,
        }
    }
}

impl Message {
    /// Returns the prefix of the number that it goes to, where it goes to one.
    pub(crate) fn prefix(&self) -> Option<String> {
        (self.channel == Channel::Phone).then(|| prefix(self.to.expose_secret()))
    }
}

/// Returns the first four digits of a number behind its `+`: a country, and mostly its network or region. Of a short one
/// fewer, so that six are left out of any.
fn prefix(number: &str) -> String {
    let shown = number.chars().count().saturating_sub(6).min(5);
    number.chars().take(shown).collect()
}

/// Which effect a result is of.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ran {
    /// The one that was charged under this id.
    Charged([u8; 16]),
    /// One that cost nothing and is written nowhere: its result counts while the challenge is as it was when the
    /// provider asked for it.
    Free { since: Version, of_answer: bool },
}

/// Charges for an effect before it runs. What is free is run without being written down, so that waiting costs no
/// commit; only a challenge whose first effect is still to end keeps all of them.
pub(super) fn charge_effect(
    case: &mut Case<'_>,
    effect: Effect,
    charge: Charge,
    (of_answer, is_asked_for): (bool, bool),
    draw: &mut Draw,
) -> Result<Judged, Error> {
    if charge == Charge::Free && case.challenge.value.status == Status::Sent {
        return Ok(Judged::Act(Acting { effect, charged: None, of_answer }));
    }
    let attempt = charge == Charge::Attempt;
    if attempt && let Some(retry_after) = locked(case) {
        // Whatever the event was, nothing is judged past a budget.
        return Ok(Judged::Rejected(case.refuse(Reason::Locked, retry_after)?));
    }
    if attempt && case.is_used_up() {
        return Ok(Judged::Rejected(case.refuse(Reason::Exhausted, None)?));
    }
    if let Err((reason, retry_after)) = case.charge_sending(charge, is_asked_for) {
        let rejected = case.refuse(reason, retry_after)?;
        case.go_back(case.before.clone());
        return Ok(Judged::Rejected(rejected));
    }
    let id: [u8; 16] = draw.take()?;
    let queued = by_outbox(&case.rules.policy, &effect, charge);
    let method = case.login.value.enrolment(case.challenge.value.method);
    let failed_before = method.map_or(Timestamp::MIN, |enrolment| enrolment.failed_at);
    let Charged { locked, own_count } =
        if attempt { case.charge(Cost::of(Reason::WrongCode)) } else { Charged::default() };
    let at = case.at;
    let deadline = deadline(queued.is_some(), at, case.challenge.value.expires_at);
    let before = matches!(effect, Effect::Deliver(_)).then(|| case.before.clone());
    if let Some(texted) = effect.texted(case.challenge.value.method, at) {
        case.challenge.change().texted = Some(texted);
    }
    case.challenge.change().effect = Some(PendingEffect {
        id,
        charge,
        charged_at: at,
        failed_before,
        locked,
        notice: None,
        of_answer,
        own_count,
        deadline,
        queued: queued.is_some(),
        before,
    });
    if locked {
        case.tell(NoticeKind::Locked);
    }
    let event = effect.describe(charge, case.event(Kind::EffectCharged, Outcome::Info));
    case.note(event);
    if let Some(message) = queued {
        return Ok(pending(case.queue_message(&id, message, draw)?));
    }
    Ok(Judged::Act(Acting { effect, charged: Some(id), of_answer }))
}

/// Goes on with the result of an effect.
pub(super) fn resume(
    case: &mut Case<'_>,
    ran: &Ran,
    result: &EffectResult,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    match ran {
        Ran::Charged(id) => match case.challenge.change().effect.take() {
            Some(effect) if effect.id == *id => resume_charged(case, effect, result, draw),
            other => {
                case.challenge.change().effect = other;
                let event = case.event(Kind::EffectDropped, Outcome::Info);
                case.note(event);
                Ok(Judged::Rejected(case.refuse(Reason::Superseded, None)?))
            }
        },
        // Something else happened in between, such as another poll that ended: its result is the newer one.
        Ran::Free { since, .. } if case.challenge.version != *since => Ok(pending(Value::Null)),
        Ran::Free { of_answer, .. } => {
            if let Some(None) = locked(case) {
                // Stopped in the meantime: whatever it is, it is not the method's any more.
                return Ok(Judged::Rejected(case.refuse(Reason::Locked, None)?));
            }
            let Some(method) = ready(case) else {
                return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
            };
            let Some(step) = call(case, method, event_of(result), draw)? else {
                return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
            };
            carry_out(case, step, (*of_answer, false), draw)
        }
    }
}

fn resume_charged(
    case: &mut Case<'_>,
    mut effect: PendingEffect,
    result: &EffectResult,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    if matches!(result, EffectResult::NeverStarted | EffectResult::OverLimit(_)) {
        refund(case, &effect, result);
        if matches!(result, EffectResult::OverLimit(_))
            && let Some(judged) = fall_back(case, Next::NeedsNone, draw)?
        {
            return Ok(judged);
        }
        let judged = never_left(case, result)?;
        if let Some(before) = effect.before.take() {
            case.go_back(before);
        }
        return Ok(judged);
    }
    if effect.queued {
        case.note_sending(result);
    }
    let unsent = matches!(result, EffectResult::Http(Err(fault)) if fault.is_unsent());
    if unsent {
        refund(case, &effect, result);
    }
    let is_charged = effect.charge == Charge::Attempt && !unsent;
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let Some(step) = call(case, method, event_of(result), draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let refused_for_good = matches!(result, EffectResult::NotDelivered(NotDelivered::Permanent));
    if refused_for_good && matches!(step.then, Then::Reject(Reason::Unavailable)) {
        if let Some(judged) = fall_back(case, Next::Sends, draw)? {
            return Ok(judged);
        }
        let judged = carry_out(case, step, (effect.of_answer, false), draw)?;
        // Nothing left: what was sent before it is still good.
        if let Some(before) = effect.before.take() {
            case.go_back(before);
        }
        return Ok(judged);
    }
    if let (Then::Accept(_), true) = (&step.then, is_charged) {
        // The answer was right: its own charge was not a failure.
        if case.is_low_entropy() {
            case.login.change().refund_failure(effect.charged_at, effect.own_count);
        }
        unlock(case, &effect);
    }
    if let (Then::Unproven(Unproven::Bypass), true) = (&step.then, is_charged) {
        // Neither right nor wrong: whoever is let pass for a year must not be stopped by it.
        give_back_failure(case, &effect);
    }
    if let (Then::Reject(reason), true) = (&step.then, is_charged) {
        if case.challenge.value.status == Status::Created {
            // What was judged has left.
            case.step(Move::Send)?;
        }
        return Ok(Judged::Rejected(case.refuse_charged(*reason)?));
    }
    carry_out(case, step, (effect.of_answer, false), draw)
}

fn never_left(case: &mut Case<'_>, result: &EffectResult) -> Result<Judged, Error> {
    if !matches!(result, EffectResult::OverLimit(_)) {
        return Ok(Judged::Refunded);
    }
    if case.challenge.value.status == Status::Created {
        case.end(Move::FailToSend)?;
    }
    Ok(Judged::Rejected(case.refuse(Reason::SendLimit, None)?))
}

pub(super) const fn event_of(result: &EffectResult) -> StepEvent<'_> {
    match result {
        EffectResult::Hashed(digest) => StepEvent::Hashed(digest),
        EffectResult::Http(reply) => StepEvent::Http(reply),
        EffectResult::Delivered(receipt) => StepEvent::Delivered(receipt),
        EffectResult::NotDelivered(cause) => StepEvent::NotDelivered(*cause),
        EffectResult::NeverStarted | EffectResult::OverLimit(_) => StepEvent::Interrupted,
    }
}

/// Gives back what was charged for an effect that provably never started.
fn refund(case: &mut Case<'_>, effect: &PendingEffect, result: &EffectResult) {
    case.refund_sending(effect.charge, effect.charged_at);
    let event = case.event(Kind::EffectRefunded, Outcome::Info);
    case.note(result.describe(event));
    if effect.charge != Charge::Attempt {
        return;
    }
    give_back_failure(case, effect);
    let challenge = case.challenge.change();
    challenge.attempts_left = challenge.attempts_left.saturating_add(1);
    challenge.verify_attempts = challenge.verify_attempts.saturating_sub(1);
}

/// Gives back the failure that an attempt was counted as.
fn give_back_failure(case: &mut Case<'_>, effect: &PendingEffect) {
    let (id, low_entropy) = (case.challenge.value.method, case.is_low_entropy());
    let login = case.login.change();
    if low_entropy {
        login.refund_failure(effect.charged_at, effect.own_count);
    }
    if let Some(enrolment) = login.enrolment_mut(id) {
        enrolment.consecutive = enrolment.consecutive.saturating_sub(1);
        // Where another failure came since, its delay stays.
        if enrolment.failed_at == effect.charged_at {
            enrolment.failed_at = effect.failed_before;
        }
    }
    unlock(case, effect);
}

/// Takes back what a charge that is returned brought about, where answers were refused from it on.
fn unlock(case: &mut Case<'_>, effect: &PendingEffect) {
    if !effect.locked {
        return;
    }
    let event = case.event(Kind::UserUnlocked, Outcome::Info).reason("charge_returned");
    case.note(event);
    // It stands for whatever else was to be told within the hour.
    let (at, login, policy) = (case.at, &case.login.value, &case.rules.policy);
    let others = login.enrolments.iter().filter(|enrolment| enrolment.id != case.challenge.value.method);
    let is_full = login.wait(at, policy, case.challenge.value.known) > Duration::ZERO;
    let is_locked_still =
        is_full || others.map(|other| other.consecutive).any(|failures| failures >= DELAYS_FROM);
    if let Some(id) = effect.notice.filter(|_| !is_locked_still) {
        case.take_back(NoticeKind::Locked, &id);
    }
}

/// Tells the provider that an effect was charged and never came back.
pub(super) fn interrupt(case: &mut Case<'_>, draw: &mut Draw) -> Result<(), Error> {
    if let Some(method) = ready(case) {
        call(case, method, StepEvent::Interrupted, draw)?;
    }
    case.challenge.change().effect = None;
    case.before = case.challenge.value.waiting();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn s20_a_prefix_is_four_digits_at_most_and_leaves_six_out() {
        // Germany, the United States, Niue, and what is no number.
        let table =
            [("+4915123456789", "+4915"), ("+12025550123", "+1202"), ("+6834002", "+6"), ("+", ""), ("", "")];
        for (number, expected) in table {
            assert_eq!(prefix(number), expected, "{number}");
        }
    }
}
