//! Calls of a pending enrolment's provider: what it says is kept, and its effects are charged before they run.

use audit_model::{Kind, Outcome, Timestamp};
use serde_json::Value;

use super::Registered;
use super::confirm::{Confirmed, Confirming, rejected};
use super::effects::{EffectResult, Ran, event_of};
use super::enrol::{context, place};
use super::identity::Until;
use super::judge::Acting;
use super::notice;
use super::sends::charge_push;
use crate::driver::Records;
use crate::provider::{ErasedHeld, ErasedStep, Then};
use crate::reason::Cost;
use crate::record::challenge::{PendingEffect, Waiting};
use crate::{
    Change, Charge, Draw, Effect, EnrolConfirm, EnrolmentId, Error, NotDelivered, NoticeKind, Pending,
    Reason, SecretBytes, StepEvent, Unproven,
};

impl Confirming<'_> {
    /// Gives the provider an event of the user's.
    pub(super) fn event_of_user(
        &mut self,
        method: &Registered,
        event: StepEvent<'_>,
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let at = self.login.effective(self.now);
        let mut cleared = false;
        match &self.pending.effect {
            Some(effect) if at < effect.deadline => return Ok(pending(Value::Null)),
            Some(_) => {
                self.pending.effect = None;
                let step = self.call(method, StepEvent::Interrupted, draw)?;
                self.keep(method, step, draw)?;
                cleared = true;
            }
            None => {}
        }
        let of_answer = matches!(event, StepEvent::Answer(_));
        let step = self.call(method, event, draw)?;
        self.carry_out(method, step, (of_answer, false), cleared, records, draw)
    }

    /// Goes on with the result of an effect.
    pub(super) fn resume(
        &mut self,
        method: &Registered,
        (ran, result): (&Ran, &EffectResult),
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let (mut effect, of_answer) = match ran {
            Ran::Free { since, .. } if *since != self.version => return Ok(pending(Value::Null)),
            Ran::Free { of_answer, .. } => (None, *of_answer),
            Ran::Charged(id) => match self.pending.effect.take() {
                Some(effect) if effect.id == *id => {
                    let of_answer = effect.of_answer;
                    (Some(effect), of_answer)
                }
                other => {
                    self.pending.effect = other;
                    let event = self.event(Kind::EffectDropped, Outcome::Info);
                    self.plan.events([event]);
                    return Ok(Confirmed::Answer(rejected(Reason::Superseded, self.pending.attempts_left)));
                }
            },
        };
        let never_started = match result {
            EffectResult::NeverStarted | EffectResult::OverLimit(_) => true,
            EffectResult::Http(Err(fault)) => fault.is_unsent(),
            _ => false,
        };
        let mut charged = effect.as_ref().is_some_and(|effect| effect.charge == Charge::Attempt);
        if let (Some(effect), true) = (&effect, never_started) {
            self.refund(effect, result);
            charged = false;
        }
        if matches!(result, EffectResult::NeverStarted | EffectResult::OverLimit(_))
            && let Some(before) = effect.as_mut().and_then(|effect| effect.before.take())
        {
            self.pending.state = before.state;
            self.pending.texted = before.texted;
        }
        if matches!(result, EffectResult::OverLimit(_)) {
            return self.refuse_kept(Reason::SendLimit, false, true);
        }
        if matches!(result, EffectResult::NeverStarted) {
            self.put_pending()?;
            return Ok(Confirmed::Answer(rejected(Reason::Unavailable, self.pending.attempts_left)));
        }
        let mut step = self.call(method, event_of(result), draw)?;
        if matches!(result, EffectResult::NotDelivered(NotDelivered::Permanent))
            && matches!(step.then, Then::Reject(_))
            && let Some(before) = effect.as_mut().and_then(|effect| effect.before.take())
            && let Some(state) = before.state
        {
            // Nothing left: what was sent before it is still good.
            step.state = Change::Set(state);
            self.pending.texted = before.texted;
        }
        self.carry_out(method, step, (of_answer, charged), effect.is_some(), records, draw)
    }

    fn call(
        &mut self,
        method: &Registered,
        event: StepEvent<'_>,
        draw: &mut Draw,
    ) -> Result<ErasedStep, Error> {
        let secret = self.pending_secret(method)?;
        let times = (self.now, self.pending.expires_at);
        let mut cx = context(&self.rules.ring, self.claims, self.account, method, times, draw);
        (cx.at, cx.not_before) = (self.login.effective(self.now), self.login.barrier);
        cx.ip = self.request.ip;
        let held = ErasedHeld {
            state: self.pending.state.as_deref(),
            enrolment: self.pending.data.as_deref(),
            secret: secret.as_ref(),
        };
        Ok(method.code.handle(&mut cx, &held, event)?)
    }

    /// Keeps what the provider says, and returns what comes next and whether anything changed.
    fn keep(
        &mut self,
        method: &Registered,
        step: ErasedStep,
        draw: &mut Draw,
    ) -> Result<(Then, bool), Error> {
        let unchanged = matches!(
            (&step.state, &step.enrolment, &step.secret),
            (Change::Same, Change::Same, Change::Same)
        );
        keep(&mut self.pending.state, step.state);
        keep(&mut self.pending.data, step.enrolment);
        if let Change::Set(plain) = step.secret {
            let place = place(self.claims, self.account, method, "pending");
            let plain = SecretBytes::from(plain);
            self.pending.secret = Some(place.seal(&self.rules.ring, draw.take()?, plain.expose_secret())?);
        }
        Ok((step.then, !unchanged))
    }

    fn carry_out(
        &mut self,
        method: &Registered,
        step: ErasedStep,
        (of_answer, charged): (bool, bool),
        cleared: bool,
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let (before, state) = (self.pending.data.clone(), self.pending.state.clone());
        let (then, changed) = self.keep(method, step, draw)?;
        // An effect that has ended is no longer waited for.
        let changed = changed || cleared;
        // What a page is shown may have the service ask somebody, as may what is charged; and it says who somebody is.
        if matches!(then, Then::Prompt(_) | Then::Run(_, Charge::Attempt | Charge::Push | Charge::Send)) {
            let ahead = core::mem::replace(&mut self.pending.state, state.clone());
            let data = core::mem::replace(&mut self.pending.data, before.clone());
            let plain = self.pending_secret(method)?;
            if let Some(before) = self.without_identity(method, plain.as_ref(), Until::Asked, charged)? {
                return Ok(before);
            }
            (self.pending.state, self.pending.data) = (ahead, data);
        }
        match then {
            Then::Accept(_) => {
                let plain = self.pending_secret(method)?;
                if let Some(before) =
                    self.without_identity(method, plain.as_ref(), Until::Confirmed, charged)?
                {
                    return Ok(before);
                }
                self.accept(method, (&plain.unwrap_or_default(), before), records, draw)
            }
            Then::Prompt(prompt) | Then::Wait(prompt) => {
                if changed {
                    self.put_pending()?;
                }
                Ok(pending(prompt))
            }
            Then::Reject(reason) => {
                self.end_by(reason, draw)?;
                self.refuse_kept(reason, charged, changed)
            }
            Then::Unproven(Unproven::Bypass) => self.refuse_kept(Reason::Denied, charged, changed),
            Then::Unproven(Unproven::Unreachable) => self.refuse_kept(Reason::Unavailable, charged, changed),
            Then::Run(effect, charge) => self.charge(effect, charge, (of_answer, state), draw),
            Then::Reveal(..) => Err(Error::Unavailable("a provider that reveals after the beginning")),
        }
    }

    /// Ends the set-up where the user refused it: whoever began it may be a stranger, who could ask again and again.
    fn end_by(&mut self, reason: Reason, draw: &mut Draw) -> Result<(), Error> {
        let cost = Cost::of(reason);
        let at = self.login.effective(self.now);
        if cost.ends {
            self.pending.expires_at = self.pending.expires_at.min(at);
        }
        if cost.push {
            self.login.pushes = self.login.pushes.saturating_add(1);
            self.login_changed = true;
        }
        if reason == Reason::Fraud {
            self.login.report_fraud(at);
            self.login_changed = true;
            let verified: Vec<_> =
                self.subject.contacts().iter().filter(|contact| contact.is_verified()).cloned().collect();
            let (whom, kind) = ((self.account, &self.claims.user), NoticeKind::FraudReported);
            let (login, plan) = (&mut self.login, &mut self.plan);
            let times = (self.now, self.now);
            notice::queue(self.rules, whom, login, kind, &verified, times, draw, plan)?;
        }
        Ok(())
    }

    /// Charges for an effect before it runs. Where nothing may leave, what left before, in `state`, is still what is
    /// waited for.
    fn charge(
        &mut self,
        effect: Effect,
        charge: Charge,
        (of_answer, state): (bool, Option<Vec<u8>>),
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let at = self.login.effective(self.now);
        match charge {
            Charge::Free => {
                self.put_pending()?;
                return Ok(Confirmed::Act(Acting { effect, charged: None, of_answer }));
            }
            Charge::Attempt if self.pending.attempts_left == 0 => return self.refuse(Reason::Exhausted),
            Charge::Attempt => self.pending.attempts_left = self.pending.attempts_left.saturating_sub(1),
            Charge::Push => {
                if let Err(reason) = charge_push(&self.rules.policy, &mut self.login) {
                    self.pending.state = state;
                    return self.refuse_kept(reason, false, true);
                }
                self.login_changed = true;
            }
            Charge::Send => {
                let policy = &self.rules.policy;
                let Some(sends) = &mut self.sends else { return self.refuse(Reason::Unavailable) };
                if let Err(wait) = sends.charge(policy, &self.login, at) {
                    self.pending.state = state;
                    let mut refused = self.refuse_kept(Reason::SendLimit, false, true)?;
                    if let Confirmed::Answer(EnrolConfirm::Rejected(rejected)) = &mut refused {
                        rejected.retry_after = Some(wait);
                    }
                    return Ok(refused);
                }
            }
        }
        let id = draw.take()?;
        let deadline = at.plus(crate::engine::EFFECT_DEADLINE);
        let failed_before = Timestamp::MIN;
        let method = EnrolmentId::from_bytes(self.claims.id);
        let texted = self.pending.texted.clone();
        let before = matches!(effect, Effect::Deliver(_)).then_some(Waiting { method, state, texted });
        if let Some(texted) = effect.texted(method, at) {
            self.pending.texted = Some(texted);
        }
        self.pending.effect = Some(PendingEffect {
            id,
            charge,
            charged_at: at,
            failed_before,
            locked: false,
            notice: None,
            of_answer,
            own_count: false,
            deadline,
            queued: false,
            before,
        });
        let event = self.event(Kind::EffectCharged, Outcome::Info);
        self.plan.events([effect.describe(charge, event)]);
        self.put_pending()?;
        Ok(Confirmed::Act(Acting { effect, charged: Some(id), of_answer }))
    }

    fn refund(&mut self, effect: &PendingEffect, result: &EffectResult) {
        match effect.charge {
            Charge::Attempt => {
                self.pending.attempts_left = self.pending.attempts_left.saturating_add(1);
            }
            Charge::Push => {
                self.login.pushes = self.login.pushes.saturating_sub(1);
                self.login_changed = true;
            }
            Charge::Send => {
                if let Some(sends) = &mut self.sends {
                    sends.refund(effect.charged_at);
                }
            }
            Charge::Free => {}
        }
        let event = self.event(Kind::EffectRefunded, Outcome::Info);
        self.plan.events([result.describe(event)]);
    }
}

fn keep<T>(kept: &mut Option<T>, change: Change<T>) {
    match change {
        Change::Same => {}
        Change::Set(value) => *kept = Some(value),
        Change::Clear => *kept = None,
    }
}

const fn pending(prompt: Value) -> Confirmed {
    Confirmed::Answer(EnrolConfirm::Pending(Pending { prompt }))
}
