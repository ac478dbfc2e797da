//! Refusing and charging: what an answer costs is taken from the challenge and the budgets, by the table.

use core::time::Duration;

use audit_model::{Kind, Outcome};

use super::case::Case;

use crate::machine::Move;
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::Failed;
use crate::{Error, NoticeKind, Reason, Rejected};

/// What a charge brought about.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Charged {
    /// Answers are refused from now on, of which the user is to be told.
    pub(crate) locked: bool,
    /// The failure was drawn on the count of known devices.
    pub(crate) own_count: bool,
}

impl Case<'_> {
    /// Refuses an answer and charges what the table says.
    pub(crate) fn refuse(
        &mut self,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Result<Rejected, Error> {
        let cost = Cost::of(reason);
        if self.charge(cost).locked {
            self.tell(NoticeKind::Locked);
        }
        self.refuse_at(cost, reason, retry_after)
    }

    /// Refuses an answer whose attempt was charged before its effect ran.
    pub(crate) fn refuse_charged(&mut self, reason: Reason) -> Result<Rejected, Error> {
        self.refuse_at(Cost { event: When::Each, ..Cost::of(reason) }, reason, None)
    }

    fn refuse_at(
        &mut self,
        cost: Cost,
        reason: Reason,
        retry_after: Option<Duration>,
    ) -> Result<Rejected, Error> {
        match reason {
            Reason::Fraud => {
                let at = self.at;
                self.login.change().report_fraud(at);
                self.tell(NoticeKind::FraudReported);
            }
            Reason::Replayed => self.tell(NoticeKind::ReplaySeen),
            _ => {}
        }
        let first = cost.event != When::Never && self.is_told_first(reason);
        if cost.event == When::Each || (cost.event == When::First && first) {
            let left = self.challenge.value.attempts_left.to_string();
            let event = self
                .event(Kind::AnswerRejected, Outcome::Failure)
                .reason(reason.code())
                .field("attempts_left", left);
            let event = self.rules.rejected(event, reason, &self.challenge.value.module);
            self.note(event);
        }
        let used_up =
            self.challenge.value.attempts_left == 0 || self.challenge.value.malformed >= MAX_MALFORMED;
        if (cost.ends || used_up) && !self.challenge.value.status.is_terminal() {
            self.end(Move::Fail)?;
            self.tell(NoticeKind::WrongSecondStep);
        }
        Ok(Rejected { reason, attempts_left: self.challenge.value.attempts_left, retry_after })
    }

    /// Charges the challenge and the budgets what an answer costs.
    #[must_use]
    pub(crate) fn charge(&mut self, cost: Cost) -> Charged {
        self.charge_challenge(cost);
        if cost.push {
            let login = self.login.change();
            login.pushes = login.pushes.saturating_add(1);
        }
        if cost.budget { self.charge_budget() } else { Charged::default() }
    }

    fn charge_challenge(&mut self, cost: Cost) {
        if cost.attempt && !self.challenge.value.status.is_terminal() {
            let challenge = self.challenge.change();
            challenge.attempts_left = challenge.attempts_left.saturating_sub(1);
            challenge.verify_attempts = challenge.verify_attempts.saturating_add(1);
        }
        if cost.malformed {
            let challenge = self.challenge.change();
            challenge.malformed = challenge.malformed.saturating_add(1);
        }
    }

    /// Counts a judged failure of the active method and of the user. What refuses further answers from now on
    /// is an event: a delay, a window that is full, the stop. It ends the trust in every device, too.
    fn charge_budget(&mut self) -> Charged {
        let (at, id, known) = (self.at, self.challenge.value.method, self.challenge.value.known);
        let policy = &self.rules.policy;
        let low_entropy = self.is_low_entropy();
        let login = self.login.change();
        let had_room = login.wait(at, policy, known) == Duration::ZERO;
        let own_count = low_entropy && login.charge_failure(at, policy, known);
        let wait = login.wait(at, policy, known);
        let is_full_now = had_room && wait > Duration::ZERO;
        let Some(enrolment) = login.enrolment_mut(id) else { return Charged { locked: false, own_count } };
        let failed = enrolment.fail(at);
        let (until, failures) = (enrolment.delayed_until(), enrolment.consecutive.to_string());
        if failed != Failed::Counted || is_full_now {
            self.login.change().drop_trust();
        }
        if failed == Failed::Stopped {
            let event = self.event(Kind::EnrolmentStopped, Outcome::Failure).field("failures", failures);
            self.note(event);
        }
        let is_locked_now = failed == Failed::Locked || is_full_now;
        if is_locked_now {
            let until = until.max(at.plus(wait)).to_string();
            let event = self.event(Kind::UserLocked, Outcome::Failure).field("until", until);
            self.note(event);
        }
        Charged { locked: is_locked_now || failed == Failed::Stopped, own_count }
    }

    /// Returns whether failures of the active method count towards the user's windows: guesses at a saved secret
    /// have a count of their own.
    pub(crate) fn is_low_entropy(&self) -> bool {
        let provider = self.rules.providers.get(self.provider_name());
        provider.is_none_or(|provider| provider.code.describe().is_low_entropy())
    }

    pub(super) fn is_told_first(&mut self, reason: Reason) -> bool {
        let mut told = self.challenge.value.told;
        if told & reason.bit() != 0 {
            return false;
        }
        told |= reason.bit();
        self.challenge.change().told = told;
        true
    }
}
