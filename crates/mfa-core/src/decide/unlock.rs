//! Unlocking by codes: three right consecutive ones, given as one answer, lift a delay. Not a stop, and not the
//! counts of a day and a month; twice a day; a wrong answer is charged like any other.

use core::time::Duration;

use audit_model::{EventBuilder, Kind, Outcome, Timestamp};

use super::enrol::read_login;
use super::{Registered, Rules, event, notice, select};
use crate::budget::DELAYS_FROM;
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Then};
use crate::record::login::{Enrolment, Failed, Login};
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, user_key};
use crate::{
    Answer, ChallengeId, Change, Cx, Draw, EnrolmentId, Error, Expect, NoticeKind, Operation, Purpose,
    Reason, Rejected, StepEvent, Unlocked, Version,
};

/// How often a day it may be tried.
const TRIES_A_DAY: u8 = 2;
const DAY_SECONDS: u64 = 24 * 3600;

pub(crate) fn unlock(
    rules: &Rules,
    login: &crate::Login,
    codes: &[Answer],
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Unlocked>, Error> {
    let (account, user) = (login.subject.account(), login.subject.user());
    let Some((record, version)) = read_login(records, account, user)? else {
        return Ok(Decision::only(rejected(Reason::NotFound, None)));
    };
    if record.generation != login.subject.generation() {
        return Ok(Decision::only(rejected(Reason::NotFound, None)));
    }
    let unlocks = |e: &&Enrolment| rules.usable_for(e).is_some_and(|p| p.code.describe().unlocks);
    let chosen = match &login.method {
        Some(selector) => select(&record, selector).filter(unlocks),
        None => record.enrolments.iter().filter(unlocks).max_by_key(|e| e.consecutive),
    };
    let Some(method) = chosen.and_then(|e| rules.usable_for(e)) else {
        return Ok(Decision::only(rejected(Reason::NotOffered, None)));
    };
    let Some(id) = chosen.map(|enrolment| enrolment.id) else {
        return Ok(Decision::only(rejected(Reason::NotOffered, None)));
    };
    let at = record.effective(now);
    if let Some((reason, wait)) = refused_unjudged(rules, &record, id, at) {
        let event = event(account, user, Kind::UnlockRejected, Outcome::Failure, now)
            .field("method", method.name.as_str().to_owned())
            .reason(reason.code());
        let minute = (now.unix_seconds() / 60).to_be_bytes();
        let parts = [account.as_str(), user.as_str(), "unlock", reason.code()].map(str::as_bytes);
        let [account, user, what, why] = parts;
        let mut plan = Plan::default();
        plan.merged_event(event, crate::codec::tuple(&[account, user, what, why, &minute]));
        return Ok(Decision { plan, value: rejected(reason, wait) });
    }
    let unlocking = Unlocking { rules, login, method, id, now, at };
    unlocking.judge(record, version, codes, records, draw)
}

/// Returns why nothing is judged, if so.
fn refused_unjudged(
    rules: &Rules,
    record: &Login,
    id: EnrolmentId,
    at: Timestamp,
) -> Option<(Reason, Option<Duration>)> {
    let enrolment = record.enrolment(id)?;
    if enrolment.is_stopped() {
        return Some((Reason::Locked, None));
    }
    let wait = record.wait(at, &rules.policy, false);
    if wait > Duration::ZERO {
        return Some((Reason::Locked, Some(wait)));
    }
    if enrolment.consecutive < DELAYS_FROM {
        return Some((Reason::Unavailable, None));
    }
    let (day, tries) = record.unlocks;
    let used_up = day == day_of(at) && tries >= TRIES_A_DAY;
    let rest = DAY_SECONDS.saturating_sub(at.unix_seconds() % DAY_SECONDS);
    used_up.then_some((Reason::Locked, Some(Duration::from_secs(rest))))
}

struct Unlocking<'a> {
    rules: &'a Rules,
    login: &'a crate::Login,
    method: &'a Registered,
    id: EnrolmentId,
    now: Timestamp,
    at: Timestamp,
}

impl Unlocking<'_> {
    fn judge(
        &self,
        mut record: Login,
        version: Version,
        codes: &[Answer],
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Decision<Unlocked>, Error> {
        let subject = &self.login.subject;
        let (account, user) = (subject.account(), subject.user());
        let Read::Live(vault, vault_version) = records.read::<Vault>(&user_key(account, VAULT, user)) else {
            return Err(Error::Unavailable("a stored record cannot be trusted"));
        };
        let provider = self.method.name.as_str();
        let place = Place { account, user, kind: "vault", provider, enrolment: self.id };
        let sealed = vault.sealed(self.id).ok_or(Error::Unavailable("the vault"))?;
        let secret = place.open(&self.rules.ring, sealed)?;
        let mut cx = Cx {
            now: self.now,
            at: self.at,
            account,
            user,
            label: subject.label(),
            ip: None,
            began_at: self.now,
            began_from: None,
            purpose: Purpose::StepUp(Operation::Unlock),
            challenge: ChallengeId::from_bytes([0; 16]),
            enrolment: self.id,
            not_before: record.barrier,
            ends_at: Timestamp::MAX,
            settings: self.method.settings(),
            entropy: draw,
            contacts: &[],
            keyed: None,
        };
        let data = record.enrolment(self.id).and_then(|enrolment| enrolment.data.clone());
        let held = ErasedHeld { state: None, enrolment: data.as_deref(), secret: Some(&secret) };
        let step = self.method.code.handle(&mut cx, &held, StepEvent::Unlock(codes))?;
        let mut plan = Plan::default();
        let accepted = match step.then {
            Then::Accept(_) => true,
            Then::Reject(Reason::Malformed) => {
                return Ok(Decision::only(rejected(Reason::Malformed, None)));
            }
            Then::Reject(_) => false,
            _ => return Err(Error::Unavailable("a provider that does not judge an unlocking")),
        };
        let (day, tries) = record.unlocks;
        let today = day_of(self.at);
        record.unlocks = (today, if day == today { tries.saturating_add(1) } else { 1 });
        let Some(enrolment) = record.enrolment_mut(self.id) else {
            return Err(Error::Unavailable("the active method"));
        };
        let events = if accepted {
            enrolment.consecutive = 0;
            if let Change::Set(data) = step.enrolment {
                enrolment.data = Some(data);
            }
            plan.check(user_key(account, VAULT, user), vault_version);
            self.tell(&mut record, NoticeKind::Unlocked, draw, &mut plan)?;
            vec![self.event(Kind::UserUnlocked, Outcome::Success).field("authority", "codes")]
        } else {
            let events = self.fail(&mut record);
            if events.len() > 1 {
                self.tell(&mut record, NoticeKind::Locked, draw, &mut plan)?;
            }
            events
        };
        record.mark(self.now);
        let streams = record.take_stream(events.len());
        plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
        plan.put(user_key(account, LOGIN, user), Expect::Version(version), &record, None)?;
        let value = if accepted { Unlocked::Done } else { rejected(Reason::WrongCode, None) };
        Ok(Decision { plan, value })
    }

    /// Charges a wrong answer. What refuses further ones from now on is an event: a window that is full, the stop.
    fn fail(&self, record: &mut Login) -> Vec<EventBuilder> {
        let (at, policy) = (self.at, &self.rules.policy);
        let rejected = self.event(Kind::UnlockRejected, Outcome::Failure);
        let mut events = vec![rejected.reason(Reason::WrongCode.code())];
        record.charge_failure(at, policy, false);
        let wait = record.wait(at, policy, false);
        let Some(enrolment) = record.enrolment_mut(self.id) else { return events };
        let failed = enrolment.fail(at);
        if failed == Failed::Stopped {
            let event = self.event(Kind::EnrolmentStopped, Outcome::Failure);
            events.push(event.field("failures", enrolment.consecutive.to_string()));
        }
        if wait > Duration::ZERO {
            let until = enrolment.delayed_until().max(at.plus(wait)).to_string();
            events.push(self.event(Kind::UserLocked, Outcome::Failure).field("until", until));
        }
        if events.len() > 1 {
            record.drop_trust();
        }
        events
    }

    fn tell(
        &self,
        record: &mut Login,
        kind: NoticeKind,
        draw: &mut Draw,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let subject = &self.login.subject;
        let contacts: Vec<_> = subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        let whom = (subject.account(), subject.user());
        let times = (self.now, self.now);
        notice::queue(self.rules, whom, record, kind, &contacts, times, draw, plan)?;
        Ok(())
    }

    fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        let event = event(self.login.subject.account(), self.login.subject.user(), kind, outcome, self.now)
            .module(self.login.module.clone())
            .field("method", self.method.name.as_str().to_owned());
        self.login.request.describe(event)
    }
}

fn day_of(at: Timestamp) -> u32 {
    u32::try_from(at.unix_seconds() / DAY_SECONDS).unwrap_or(u32::MAX)
}

const fn rejected(reason: Reason, retry_after: Option<Duration>) -> Unlocked {
    Unlocked::Rejected(Rejected { reason, attempts_left: 0, retry_after })
}
