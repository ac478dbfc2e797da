//! Judging: answers, polls, results of effects, claims, links, resends, switches and cancellations of one challenge.

use core::time::Duration;

use audit_model::{Kind, Outcome, Timestamp};
use serde_json::Value;

use super::call::{call, ready};
use super::case::{Case, Opened};
use super::effects::{EffectResult, Ran, charge_effect, interrupt, resume};
use super::link::{Asked, Linked, late_report, link};
use super::succeed::{clear_consecutive, succeed};
use super::survey::wait_for;
use super::unproven::unproven;
use super::{Rules, event, select};
use crate::driver::{Decision, Records};
use crate::grant::GrantPlan;
use crate::machine::{Move, Status};
use crate::plan::Plan;
use crate::provider::{ErasedStep, Then};
use crate::record::challenge::Proven as ProvenRecord;
use crate::record::login::Enrolment;
use crate::reference::Claims;
use crate::request::Act;
use crate::{
    Choice, Draw, Effect, Error, Key, MethodSelector, NotRequired, Pending, Proven, ProviderName, Purpose,
    Reason, Rejected, RequestFacts, Response, StepEvent,
};

/// What is asked of a challenge by the holder of its reference.
#[derive(Debug)]
pub(crate) enum Ask<'a> {
    Respond(&'a Response),
    /// The result of an effect that an earlier decision of this call asked for.
    Resume(&'a Ran, &'a EffectResult),
    Claim,
    Resend,
    /// Somebody holds a link that was sent for it.
    Link(Linked<'a>),
    Switch(&'a MethodSelector),
    Cancel,
}

/// What judging comes to.
#[derive(Debug)]
pub(crate) enum Judged {
    Granted(Box<GrantPlan>),
    /// A step-up is done.
    Proven(Box<Proven>),
    Rejected(Rejected),
    Pending(Pending),
    /// Switched or cancelled: what to show now.
    Changed(Value),
    /// An effect is to be run now.
    Act(Acting),
    /// Nothing was proven, and the login goes on without.
    NotRequired(NotRequired),
    /// An effect never started; its charge is given back.
    Refunded,
    /// A record cannot be trusted: the step cannot be judged.
    Unjudged(&'static str),
}

/// An effect that was charged, under this id, or is free.
#[derive(Debug)]
pub(crate) struct Acting {
    pub(crate) effect: Effect,
    pub(crate) charged: Option<[u8; 16]>,
    pub(crate) of_answer: bool,
}

impl Acting {
    /// Returns which effect it is: a free one is known by the record, at `key`, of whatever asked for it.
    pub(crate) fn ran(&self, records: &Records, key: &Key) -> Result<Ran, Error> {
        if let Some(id) = self.charged {
            return Ok(Ran::Charged(id));
        }
        let since = records.version(key).ok_or(Error::Unavailable("what asked for an effect"))?;
        Ok(Ran::Free { since, of_answer: self.of_answer })
    }
}

impl Ask<'_> {
    /// Returns whether the login could go on by it, and not only end.
    const fn goes_on(&self) -> bool {
        !matches!(self, Self::Cancel | Self::Link(_))
    }

    /// Returns whether the holder's page asks whether something has happened.
    pub(crate) const fn is_poll(&self) -> bool {
        matches!(self, Self::Respond(Response { act: Act::Poll, .. }))
    }

    /// Returns whether a message may leave because of it.
    pub(crate) const fn may_send(&self) -> bool {
        match self {
            Self::Respond(response) => matches!(response.act, Act::Start(_)),
            Self::Resume(..) | Self::Switch(_) | Self::Resend => true,
            Self::Claim | Self::Cancel | Self::Link(_) => false,
        }
    }
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
    let mut case = match Case::open(rules, claims, request, ask, records, now)? {
        Opened::Case(case) => case,
        Opened::NotFound => return Ok(Decision::only(Judged::Rejected(refused(Reason::NotFound)))),
        Opened::Gone => return Ok(Decision::only(Judged::Rejected(refused(Reason::Superseded)))),
        Opened::Refused(record, problem) => return refused_record(claims, request, record, problem, now),
    };
    let goes_on = case.challenge.value.purpose == Purpose::Login && ask.goes_on();
    let judged = if goes_on && rules.module_is_off() {
        Judged::Rejected(case.refuse(Reason::ModuleDisabled, None)?)
    } else if goes_on && rules.asks_in_vain() {
        Judged::Rejected(case.refuse(Reason::Unavailable, None)?)
    } else {
        judge_open(&mut case, ask, draw)?
    };
    let grants = matches!(judged, Judged::Granted(_) | Judged::Proven(_) | Judged::NotRequired(_));
    if grants && case.is_decoy {
        return Err(Error::Unavailable("a challenge that nobody is behind"));
    }
    Ok(Decision { plan: case.finish(grants, draw)?, value: judged })
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
        match ask {
            Ask::Resume(..) => {
                let event = case.event(Kind::EffectDropped, Outcome::Info);
                case.note(event);
            }
            Ask::Link(Linked { ask: Asked::NotMe, .. }) => return Ok(Judged::Rejected(late_report(case))),
            _ => {}
        }
        return Ok(Judged::Rejected(case.refuse(reason, None)?));
    }
    match ask {
        Ask::Respond(response) => respond(case, response, draw),
        Ask::Resume(ran, result) => resume(case, ran, result, draw),
        Ask::Claim => claim(case, draw),
        Ask::Switch(selector) => switch(case, selector, draw),
        Ask::Resend => resend(case, draw),
        Ask::Link(linked) => link(case, *linked, draw),
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
        // A message that waits in the outbox keeps nobody from answering: it may have arrived, and whoever sent it may
        // not have lived to say so.
        let judges = effect.queued && matches!(response.act, Act::Answer(_));
        if case.at >= effect.deadline {
            interrupt(case, draw)?;
        } else if !judges {
            // An earlier answer is still being judged: neither judged nor charged a second time.
            return Ok(pending(Value::Null));
        }
    }
    if case.challenge.value.status == Status::Created {
        // What was to leave may have left: from here on answers are judged, and charged like any other.
        case.step(Move::Send)?;
    }
    if case.is_used_up() {
        case.end(Move::Fail)?;
        return Ok(Judged::Rejected(case.refuse(Reason::Exhausted, None)?));
    }
    let meant = meant(case, response);
    if let Some(selector) = response.method.as_ref().or(meant.as_ref())
        && let Err(reason) = make_active(case, selector)
    {
        return Ok(Judged::Rejected(case.refuse(reason, None)?));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    // Before anything that is charged: what comes while answers are refused never counts.
    if !matches!(response.act, Act::Poll)
        && let Some(retry_after) = locked(case)
    {
        return Ok(Judged::Rejected(case.refuse(Reason::Locked, retry_after)?));
    }
    let event = match &response.act {
        Act::Answer(answer) => {
            if !method.code.describe().answers.contains(&answer.kind()) {
                return Ok(Judged::Rejected(case.refuse(Reason::WrongCode, None)?));
            }
            StepEvent::Answer(answer)
        }
        Act::Start(choice) => StepEvent::Start(choice),
        Act::Poll => StepEvent::Poll,
    };
    let of_answer = matches!(event, StepEvent::Answer(_));
    let Some(step) = call(case, method, event, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    carry_out(case, step, (of_answer, true), draw)
}

fn claim(case: &mut Case<'_>, draw: &mut Draw) -> Result<Judged, Error> {
    let Some(proven) = case.challenge.value.proven.clone() else {
        return Ok(pending(Value::Null));
    };
    if ready(case).is_none() {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    }
    case.step(Move::Claim)?;
    succeed(case, Kind::ChallengeClaimed, proven.strength, proven.at, draw)
}

fn switch(case: &mut Case<'_>, selector: &MethodSelector, draw: &mut Draw) -> Result<Judged, Error> {
    if is_busy(case) {
        return Ok(pending(Value::Null));
    }
    let queued = case.queued();
    if let Err(reason) = make_active(case, selector) {
        return Ok(Judged::Rejected(case.refuse(reason, None)?));
    }
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let choice = Choice::none();
    let Some(step) = call(case, method, StepEvent::Begin(&choice), draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let judged = carry_out(case, step, (false, true), draw)?;
    case.leave(queued);
    match judged {
        Judged::Pending(Pending { prompt }) => Ok(Judged::Changed(prompt)),
        other => Ok(other),
    }
}

/// Sends the active method's message again, with a new secret.
fn resend(case: &mut Case<'_>, draw: &mut Draw) -> Result<Judged, Error> {
    if is_busy(case) {
        return Ok(pending(Value::Null));
    }
    let queued = case.queued();
    let Some(method) = ready(case) else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let Some(step) = call(case, method, StepEvent::Resend, draw)? else {
        return Ok(Judged::Rejected(case.refuse(Reason::Unavailable, None)?));
    };
    let judged = carry_out(case, step, (false, true), draw)?;
    case.leave(queued);
    Ok(judged)
}

/// Returns whether nothing else may leave now. A message that waits in the outbox may have another in its place.
fn is_busy(case: &Case<'_>) -> bool {
    let challenge = &case.challenge.value;
    let runs = challenge.effect.as_ref().is_some_and(|effect| !effect.queued && case.at < effect.deadline);
    runs || challenge.status == Status::Verified
}

/// Finds the method that an answer of a kind of its own means, where the challenge offers one: a recovery code
/// needs no switch first, and no more does a code of the app after it.
fn meant(case: &Case<'_>, response: &Response) -> Option<MethodSelector> {
    let Act::Answer(answer) = &response.act else { return None };
    let (rules, challenge, login) = (case.rules, &case.challenge.value, &case.login.value);
    let takes = |provider: &ProviderName| {
        rules.usable(provider).is_some_and(|p| p.code.describe().answers.contains(&answer.kind()))
    };
    if response.method.is_some() || takes(&challenge.provider) {
        return None;
    }
    let offered = login.enrolments.iter().filter(|e| challenge.offered.contains(&e.id) && takes(&e.provider));
    let (factors, ways_back): (Vec<_>, Vec<_>) = offered.partition(|e| rules.is_factor(e));
    let is_active = |e: &&Enrolment| e.id == challenge.method;
    let from_way_back = login.enrolments.iter().find(is_active).is_some_and(|e| !rules.is_factor(e));
    // As at begin: the preferred one, or the first.
    let preferred = factors.iter().find(|e| login.preferred == Some(e.id)).or_else(|| factors.first());
    let found = ways_back.first().or_else(|| preferred.filter(|_| from_way_back))?;
    Some(MethodSelector::Enrolment(found.id))
}

/// Makes another of the offered methods the active one, if it can be used now. Counts and attempts stay.
fn make_active(case: &mut Case<'_>, selector: &MethodSelector) -> Result<(), Reason> {
    let found = select(&case.login.value, selector).ok_or(Reason::NotOffered)?;
    let (id, provider) = (found.id, found.provider.clone());
    if !case.challenge.value.offered.contains(&id) {
        return Err(Reason::NotOffered);
    }
    case.rules.usable_for(found).ok_or(Reason::Unavailable)?;
    if case.challenge.value.method != id {
        let from = case.provider_name().clone();
        let challenge = case.challenge.change();
        challenge.method = id;
        challenge.provider = provider;
        challenge.state = None;
        challenge.effect = None;
        let event = case.event(Kind::ChallengeSwitched, Outcome::Info).field("from", from);
        case.note(event);
    }
    Ok(())
}

/// Returns how long to wait if answers are refused now; the inner value is `None` where waiting does not help.
pub(super) fn locked(case: &Case<'_>) -> Option<Option<Duration>> {
    let enrolment = case.login.value.enrolment(case.challenge.value.method)?;
    if enrolment.is_stopped() {
        return Some(None);
    }
    let wait = wait_for(case.rules, &case.login.value, enrolment, case.at, case.challenge.value.known);
    (wait > Duration::ZERO).then_some(Some(wait))
}

/// Does what a provider says. A challenge whose message was still to leave has sent it by now, unless the
/// provider has no channel left.
pub(super) fn carry_out(
    case: &mut Case<'_>,
    step: ErasedStep,
    (of_answer, is_asked_for): (bool, bool),
    draw: &mut Draw,
) -> Result<Judged, Error> {
    let created = case.challenge.value.status == Status::Created;
    if let Then::Accept(strength) = &step.then
        && case.challenge.value.purpose != Purpose::Login
        && !strength.channel.adds_to(case.challenge.value.first_factor.channel)
    {
        // Of several ways that a provider has, it was the one by which the first factor came.
        return Ok(Judged::Rejected(case.refuse(Reason::Denied, None)?));
    }
    match step.then {
        Then::Run(effect, charge) => {
            return charge_effect(case, effect, charge, (of_answer, is_asked_for), draw);
        }
        Then::Unproven(why) => return unproven(case, why),
        Then::Reject(Reason::Unavailable) if created => {
            case.end(Move::FailToSend)?;
            return Ok(Judged::Rejected(refused(Reason::Unavailable)));
        }
        _ if created => case.step(Move::Send)?,
        _ => {}
    }
    match step.then {
        Then::Prompt(prompt) | Then::Wait(prompt) => Ok(pending(prompt)),
        Then::Accept(strength) if of_answer => {
            case.step(Move::Accept)?;
            let at = case.now;
            succeed(case, Kind::AnswerAccepted, strength, at, draw)
        }
        Then::Accept(strength) => {
            case.step(Move::Complete)?;
            let at = case.now;
            case.challenge.change().proven = Some(ProvenRecord { strength, at });
            let event = case.event(Kind::ChallengeVerified, Outcome::Success);
            case.note(event);
            clear_consecutive(case);
            Ok(pending(Value::Null))
        }
        Then::Reject(reason) => Ok(Judged::Rejected(case.refuse(reason, None)?)),
        Then::Reveal(..) | Then::Run(..) | Then::Unproven(_) => {
            Err(Error::Unavailable("a provider that reveals in a login"))
        }
    }
}

pub(crate) const fn pending(prompt: Value) -> Judged {
    Judged::Pending(Pending { prompt })
}
