//! Judging: answers, polls, results of effects, claims, switches and cancellations of one challenge.

use core::time::Duration;

use audit_model::{Kind, Outcome, Timestamp};
use serde_json::Value;

use super::case::{Case, Opened};
use super::survey::wait_for;
use super::{Registered, Rules, event, select, wording};
use crate::driver::{Decision, Records};
use crate::grant::GrantPlan;
use crate::machine::{Move, Status};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, Then};
use crate::record::challenge::{PendingEffect, Proven};
use crate::record::vault::Place;
use crate::reference::Claims;
use crate::request::Act;
use crate::{
    ChallengeId, Change, Charge, Choice, Cx, Draw, Effect, Error, Evidence, HttpFault, HttpReply, KeyId,
    MethodSelector, NotDelivered, Pending, ProviderName, Purpose, Reason, Receipt as SendReceipt, Rejected,
    RequestFacts, Response, SecretBytes, StepEvent, Strength,
};

/// What is asked of a challenge by the holder of its reference.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    Respond(&'a Response),
    /// The result of an effect that an earlier decision of this call asked for.
    Resume(&'a [u8; 16], &'a EffectResult),
    Claim,
    Switch(&'a MethodSelector),
    Cancel,
}

/// How an effect ended.
#[derive(Debug)]
pub(crate) enum EffectResult {
    Hashed(SecretBytes),
    Http(Result<HttpReply, HttpFault>),
    Delivered(SendReceipt),
    NotDelivered(NotDelivered),
    /// It provably never started: what was charged for it is given back.
    NeverStarted,
}

/// What judging comes to.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an effect is moved once, and rarely")]
pub(crate) enum Judged {
    Granted(Box<GrantPlan>),
    Rejected(Rejected),
    Pending(Pending),
    /// Switched or cancelled: what to show now.
    Changed(Value),
    /// An effect was charged and is to be run now.
    Act {
        effect: Effect,
        id: [u8; 16],
    },
    /// An effect never started; its charge is given back.
    Refunded,
    /// A record cannot be trusted: the step cannot be judged.
    Unjudged(&'static str),
}

pub(crate) fn judge(
    rules: &Rules,
    claims: &Claims,
    request: &RequestFacts,
    ask: &Ask<'_>,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Judged>, Error> {
    let mut case = match Case::open(rules, claims, request, records, now)? {
        Opened::Case(case) => case,
        Opened::NotFound => return Ok(Decision::only(Judged::Rejected(refused(Reason::NotFound)))),
        Opened::Gone => return Ok(Decision::only(Judged::Rejected(refused(Reason::Superseded)))),
        Opened::Refused(record, problem) => return refused_record(claims, request, record, problem, now),
    };
    let judged = judge_open(&mut case, ask, draw)?;
    let grants = matches!(judged, Judged::Granted(_));
    Ok(Decision { plan: case.finish(grants)?, value: judged })
}

pub(crate) const fn refused(reason: Reason) -> Rejected {
    Rejected { reason, attempts_left: 0, retry_after: None }
}

fn refused_record(
    claims: &Claims,
    request: &RequestFacts,
    record: &'static str,
    problem: &'static str,
    now: Timestamp,
) -> Result<Decision<Judged>, Error> {
    let mut plan = Plan::default();
    let event = event(claims.account()?, &claims.user, Kind::RecordRefused, Outcome::Failure, now);
    let event = event.subject(claims.id).field("record", record).field("problem", problem);
    // Once a challenge and record: whoever repeats the request writes nothing more.
    plan.merged_event(request.describe(event), crate::codec::tuple(&[&claims.id, record.as_bytes()]));
    Ok(Decision { plan, value: Judged::Unjudged("a stored record cannot be trusted") })
}

fn judge_open(case: &mut Case<'_>, ask: &Ask<'_>, draw: &mut Draw) -> Result<Judged, Error> {
    if let Some(reason) = case.ended()? {
        if let Ask::Resume(..) = ask {
            let event = case.event(Kind::EffectDropped, Outcome::Info);
            case.note(event);
        }
        return Ok(Judged::Rejected(case.refuse(reason, None)?));
    }
    match ask {
        Ask::Respond(response) => respond(case, response, draw),
        Ask::Resume(id, result) => resume(case, id, result, draw),
        Ask::Claim => claim(case),
        Ask::Switch(selector) => switch(case, selector, draw),
        Ask::Cancel => {
            case.end(Move::Cancel)?;
            Ok(Judged::Changed(Value::Null))
        }
    }
}

fn respond(case: &mut Case<'_>, response: &Response, draw: &mut Draw) -> Result<Judged, Error> {
    if case.challenge.value.status == Status::Verified {
        return Ok(pending(Value::Null));
    }
    if let Some(effect) = &case.challenge.value.effect {
        if case.at < effect.deadline {
            // An earlier answer is still being judged: neither judged nor charged a second time.
            return Ok(pending(Value::Null));
        }
        interrupt(case, draw)?;
    }
    if case.challenge.value.status == Status::Sent && case.is_used_up() {
        case.end(Move::Fail)?;
        return Ok(Judged::Rejected(case.refuse(Reason::Exhausted, None)?));
    }
    if let Some(selector) = &response.method
        && !make_active(case, selector)
    {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    if let Act::Answer(answer) = &response.act {
        // Before anything that is charged: what comes while answers are refused never counts.
        if let Some(retry_after) = locked(case) {
            return Ok(Judged::Rejected(case.refuse(Reason::Locked, retry_after)?));
        }
        if !method.code.describe().answers.contains(&answer.kind()) {
            return Ok(Judged::Rejected(case.refuse(Reason::WrongCode, None)?));
        }
    }
    let event = match &response.act {
        Act::Answer(answer) => StepEvent::Answer(answer),
        Act::Start(choice) => StepEvent::Start(choice),
        Act::Poll => StepEvent::Poll,
    };
    let of_answer = matches!(event, StepEvent::Answer(_));
    let Some(step) = call(case, method, event, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    carry_out(case, step, of_answer, draw)
}

fn resume(
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
        case.login.change().failures.refund(charged_at);
    }
    if let (Then::Reject(reason), Some(_)) = (&step.then, effect.charged_at) {
        return Ok(Judged::Rejected(refuse_charged(case, *reason)?));
    }
    carry_out(case, step, effect.of_answer, draw)
}

/// Refuses an answer whose charge was made before its effect ran.
fn refuse_charged(case: &mut Case<'_>, reason: Reason) -> Result<Rejected, Error> {
    let event = case
        .event(Kind::AnswerRejected, Outcome::Failure)
        .reason(reason.code())
        .field("attempts_left", case.challenge.value.attempts_left.to_string())
        .attempt(wording::rejected(reason));
    case.note(event);
    if case.challenge.value.attempts_left == 0 {
        case.end(Move::Fail)?;
    }
    Ok(Rejected { reason, attempts_left: case.challenge.value.attempts_left, retry_after: None })
}

fn refund(case: &mut Case<'_>, effect: &PendingEffect) {
    let Some(charged_at) = effect.charged_at else { return };
    let id = case.challenge.value.method;
    let login = case.login.change();
    login.failures.refund(charged_at);
    if let Some(enrolment) = login.enrolment_mut(id) {
        enrolment.consecutive = enrolment.consecutive.saturating_sub(1);
    }
    let challenge = case.challenge.change();
    challenge.attempts_left = challenge.attempts_left.saturating_add(1);
    challenge.verify_attempts = challenge.verify_attempts.saturating_sub(1);
}

fn claim(case: &mut Case<'_>) -> Result<Judged, Error> {
    let Some(proven) = case.challenge.value.proven.clone() else {
        return Ok(pending(Value::Null));
    };
    if ready(case).is_none() {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    }
    case.step(Move::Claim)?;
    grant(case, Kind::ChallengeClaimed, proven.strength, proven.at)
}

fn switch(case: &mut Case<'_>, selector: &MethodSelector, draw: &mut Draw) -> Result<Judged, Error> {
    let busy = case.challenge.value.effect.as_ref().is_some_and(|effect| case.at < effect.deadline);
    if busy || case.challenge.value.status == Status::Verified {
        return Ok(pending(Value::Null));
    }
    let from = case.provider_name().to_owned();
    if !make_active(case, selector) {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let event = case.event(Kind::ChallengeSwitched, Outcome::Info).field("from", from);
    case.note(event);
    let choice = Choice::none();
    let Some(step) = call(case, method, StepEvent::Begin(&choice), draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    match carry_out(case, step, false, draw)? {
        Judged::Pending(Pending { prompt }) => Ok(Judged::Changed(prompt)),
        other => Ok(other),
    }
}

/// Makes another of the offered methods the active one. Counts and attempts stay as they are.
fn make_active(case: &mut Case<'_>, selector: &MethodSelector) -> bool {
    let Some(id) = select(&case.login.value, selector).map(|enrolment| enrolment.id) else {
        return false;
    };
    if !case.challenge.value.offered.contains(&id) {
        return false;
    }
    if case.challenge.value.method != id {
        let challenge = case.challenge.change();
        challenge.method = id;
        challenge.state = None;
        challenge.effect = None;
    }
    true
}

/// Returns the active method's provider, if the method can be used as things are now.
fn ready<'a>(case: &Case<'a>) -> Option<&'a Registered> {
    let enrolment = case.login.value.enrolment(case.challenge.value.method)?;
    case.rules.usable(&enrolment.provider)
}

/// Returns how long to wait if answers are refused now; the inner value is `None` where waiting does not help.
fn locked(case: &Case<'_>) -> Option<Option<Duration>> {
    let enrolment = case.login.value.enrolment(case.challenge.value.method)?;
    if enrolment.is_stopped() {
        return Some(None);
    }
    let wait = wait_for(case.rules, &case.login.value, enrolment, case.at);
    (wait > Duration::ZERO).then_some(Some(wait))
}

/// Tells the provider that an effect was charged and never came back.
fn interrupt(case: &mut Case<'_>, draw: &mut Draw) -> Result<(), Error> {
    if let Some(method) = ready(case) {
        call(case, method, StepEvent::Interrupted, draw)?;
    }
    case.challenge.change().effect = None;
    Ok(())
}

/// Calls the provider and keeps what it says to keep. `None` if the method's secret does not open.
fn call(
    case: &mut Case<'_>,
    method: &Registered,
    event: StepEvent<'_>,
    draw: &mut Draw,
) -> Result<Option<ErasedStep>, Error> {
    let id = case.challenge.value.method;
    let place = Place {
        account: &case.account,
        user: case.user(),
        kind: "vault",
        provider: method.name.as_str(),
        enrolment: id,
    };
    let opened = case.vault.value.sealed(id).map(|sealed| place.open(&case.rules.ring, sealed));
    let Some(Ok(secret)) = opened else {
        let event = case.event(Kind::RecordRefused, Outcome::Failure);
        let event = event.field("record", "secret").field("problem", "does_not_open");
        if case.challenge.value.told & Reason::Unavailable.bit() == 0 {
            case.note(event);
        }
        return Ok(None);
    };
    let nonce = draw.take()?;
    let mut cx = Cx {
        now: case.now,
        account: &case.account,
        user: case.user(),
        label: &case.claims.label,
        purpose: Purpose::Login,
        challenge: ChallengeId::from_bytes(case.claims.id),
        enrolment: id,
        settings: &method.settings,
        entropy: draw,
    };
    let data = case.login.value.enrolment(id).and_then(|enrolment| enrolment.data.as_deref());
    let held =
        ErasedHeld { state: case.challenge.value.state.as_deref(), enrolment: data, secret: Some(&secret) };
    let step = method.code.handle(&mut cx, &held, event)?;
    let resealed = match &step.secret {
        Change::Set(plain) => Some(place.seal(&case.rules.ring, nonce, plain)?),
        Change::Same | Change::Clear => None,
    };
    if let Some(sealed) = resealed {
        case.vault.change().set(id, sealed);
    }
    match &step.state {
        Change::Same => {}
        Change::Set(bytes) => case.challenge.change().state = Some(bytes.clone()),
        Change::Clear => case.challenge.change().state = None,
    }
    if !matches!(step.enrolment, Change::Same)
        && let Some(enrolment) = case.login.change().enrolment_mut(id)
    {
        enrolment.data = match &step.enrolment {
            Change::Set(bytes) => Some(bytes.clone()),
            Change::Same | Change::Clear => None,
        };
    }
    Ok(Some(step))
}

fn carry_out(
    case: &mut Case<'_>,
    step: ErasedStep,
    of_answer: bool,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    match step.then {
        Then::Prompt(prompt) => {
            if case.challenge.value.status == Status::Created {
                case.step(Move::Send)?;
            }
            Ok(pending(prompt))
        }
        Then::Wait(prompt) => Ok(pending(prompt)),
        Then::Run(effect, charge) => charge_effect(case, effect, charge, of_answer, draw),
        Then::Accept(strength) if of_answer => {
            case.step(Move::Accept)?;
            let at = case.now;
            grant(case, Kind::AnswerAccepted, strength, at)
        }
        Then::Accept(strength) => {
            case.step(Move::Complete)?;
            let at = case.now;
            case.challenge.change().proven = Some(Proven { strength, at });
            let event = case.event(Kind::ChallengeVerified, Outcome::Success);
            case.note(event);
            clear_consecutive(case);
            Ok(pending(Value::Null))
        }
        Then::Reject(reason) if case.challenge.value.status == Status::Created => {
            case.end(Move::FailToSend)?;
            Ok(Judged::Rejected(refused(reason)))
        }
        Then::Reject(reason) => Ok(Judged::Rejected(case.refuse(reason, None)?)),
        Then::Reveal(..) => Err(Error::Unavailable("a provider that reveals in a login")),
    }
}

/// Charges for an effect before it runs.
fn charge_effect(
    case: &mut Case<'_>,
    effect: Effect,
    charge: Charge,
    of_answer: bool,
    draw: &mut Draw,
) -> Result<Judged, Error> {
    let id: [u8; 16] = draw.take()?;
    let attempt = charge == Charge::Attempt;
    if attempt {
        case.charge_budget();
    }
    let at = case.at;
    let challenge = case.challenge.change();
    if attempt {
        challenge.attempts_left = challenge.attempts_left.saturating_sub(1);
        challenge.verify_attempts = challenge.verify_attempts.saturating_add(1);
    }
    if charge == Charge::Send {
        challenge.send_attempts = challenge.send_attempts.saturating_add(1);
    }
    let deadline = at.plus(crate::engine::EFFECT_DEADLINE);
    challenge.effect = Some(PendingEffect { id, charged_at: attempt.then_some(at), of_answer, deadline });
    let event = case
        .event(Kind::EffectCharged, Outcome::Info)
        .field("effect", effect.kind().code())
        .field("charge", charge.code());
    case.note(event);
    Ok(Judged::Act { effect, id })
}

/// Plans the grant of a challenge that has just been redeemed.
fn grant(case: &mut Case<'_>, kind: Kind, strength: Strength, at: Timestamp) -> Result<Judged, Error> {
    clear_consecutive(case);
    let provider =
        ProviderName::parse(case.provider_name()).map_err(|_| Error::Unavailable("a provider's name"))?;
    let challenge = case.challenge.change();
    challenge.verify_attempts =
        challenge.verify_attempts.saturating_add(u32::from(kind == Kind::AnswerAccepted));
    let first = challenge.first_factor.clone();
    let evidence = Evidence {
        provider,
        enrolment: challenge.method,
        strength,
        at,
        first_factor: first.kind,
        first_channel: first.channel,
    };
    let amr = evidence.amr().iter().map(|amr| amr.as_str()).collect::<Vec<_>>().join(" ");
    let plan = GrantPlan {
        account: case.account.clone(),
        user: case.user().clone(),
        challenge: ChallengeId::from_bytes(case.claims.id),
        session: case.challenge.value.session,
        key: KeyId::parse(&case.challenge.value.key)?,
        issued_at: case.now,
        evidence,
    };
    let event = case
        .event(kind, Outcome::Success)
        .field("amr", amr)
        .field("aal", plan.evidence.aal().number().to_string())
        .attempt(wording::accepted());
    case.note(event);
    Ok(Judged::Granted(Box::new(plan)))
}

fn clear_consecutive(case: &mut Case<'_>) {
    let id = case.challenge.value.method;
    if let Some(enrolment) = case.login.change().enrolment_mut(id) {
        enrolment.consecutive = 0;
    }
}

const fn pending(prompt: Value) -> Judged {
    Judged::Pending(Pending { prompt })
}
