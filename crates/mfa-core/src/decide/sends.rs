//! Messages and pushes: charged against the user's budgets before they leave, whatever challenge they are for.

use core::time::Duration;

use audit_model::{AccountId, Timestamp, UserId};

use super::case::Case;
use crate::driver::{Read, Records};
use crate::plan::Plan;
use crate::record::login::Login;
use crate::record::open::Open;
use crate::record::{OPEN, user_key};
use crate::{Charge, Error, Expect, Key, Policy, Reason};

/// How long a user waits between two messages of one challenge.
const BETWEEN_SENDS: Duration = Duration::from_secs(30);

/// The user's `open` record, in a step that may send.
pub(crate) struct Sends {
    open: Open,
    expect: Expect,
    changed: bool,
}

impl Sends {
    pub(crate) fn key(account: &AccountId, user: &UserId) -> Key {
        user_key(account, OPEN, user)
    }

    /// Reads it; `None` where the step has not loaded it, or cannot trust it: then nothing is sent.
    pub(crate) fn read(records: &Records, account: &AccountId, user: &UserId) -> Option<Self> {
        let key = Self::key(account, user);
        let (open, expect) = match records.read::<Open>(&key) {
            Read::Live(open, version) => (open, Expect::Version(version)),
            Read::Absent if records.has(&key) => (Open::default(), Expect::Absent),
            Read::Absent | Read::Refused(_) => return None,
        };
        Some(Self { open, expect, changed: false })
    }

    /// Charges a message, or returns how long to wait for the next one.
    pub(crate) fn charge(&mut self, policy: &Policy, login: &Login, at: Timestamp) -> Result<(), Duration> {
        self.changed |= self.open.prune(at, login.fence, &[]);
        let (hourly, daily) = policy.sends();
        let wait = self.open.wait_to_send(at, hourly, daily);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        self.open.charge_send(at);
        self.changed = true;
        Ok(())
    }

    /// Returns how long ago the last message was charged.
    fn since_last(&self, at: Timestamp) -> Option<Duration> {
        self.open.sends.last().map(|sent| at.since(*sent))
    }

    pub(super) fn refund(&mut self, charged_at: Timestamp) {
        self.open.refund_send(charged_at);
        self.changed = true;
    }

    /// Notes that a challenge lives until another time.
    pub(super) fn renew(&mut self, id: [u8; 16], ends: Timestamp) {
        if let Some(entry) = self.open.challenges.iter_mut().find(|entry| *entry.id.as_bytes() == id) {
            entry.expires_at = ends;
            self.changed = true;
        }
    }

    /// Writes it if it changed; a decision that grants holds what it read.
    pub(crate) fn hold(&self, plan: &mut Plan, key: Key, grants: bool) -> Result<(), Error> {
        match self.expect {
            expect if self.changed => plan.put(key, expect, &self.open, self.open.gone_at()),
            Expect::Version(version) if grants => {
                plan.check(key, version);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Charges a push, unless the user has had as many as the policy allows since the last success (SP 800-63B-4
/// §3.2.2 limits them like guesses).
pub(crate) fn charge_push(policy: &Policy, login: &mut Login) -> Result<(), Reason> {
    if login.pushes >= policy.pushes() {
        return Err(Reason::SendLimit);
    }
    login.pushes = login.pushes.saturating_add(1);
    Ok(())
}

impl Case<'_> {
    /// Charges what an effect sends. Returns why it may not be sent, and how long to wait where waiting helps.
    pub(super) fn charge_sending(
        &mut self,
        charge: Charge,
        is_asked_for: bool,
    ) -> Result<(), (Reason, Option<Duration>)> {
        let (policy, at) = (&self.rules.policy, self.at);
        match charge {
            Charge::Push => charge_push(policy, self.login.change()).map_err(|reason| (reason, None)),
            Charge::Send => {
                let earlier = self.challenge.value.send_attempts;
                let sends = self.sends.as_mut().ok_or((Reason::Unavailable, None))?;
                let since_last = sends.since_last(at).filter(|_| is_asked_for && earlier > 0);
                let too_soon = since_last.and_then(|since| BETWEEN_SENDS.checked_sub(since));
                if let Some(wait) = too_soon.filter(|wait| *wait > Duration::ZERO) {
                    return Err((Reason::SendLimit, Some(wait)));
                }
                sends
                    .charge(policy, &self.login.value, at)
                    .map_err(|wait| (Reason::SendLimit, Some(wait)))?;
                let challenge = self.challenge.change();
                challenge.send_attempts = challenge.send_attempts.saturating_add(1);
                Ok(())
            }
            Charge::Free | Charge::Attempt => Ok(()),
        }
    }

    /// Gives back what was charged for a message or a push that provably never left.
    pub(super) fn refund_sending(&mut self, charge: Charge, charged_at: Timestamp) {
        match charge {
            Charge::Push => {
                let login = self.login.change();
                login.pushes = login.pushes.saturating_sub(1);
            }
            Charge::Send => {
                if let Some(sends) = &mut self.sends {
                    sends.refund(charged_at);
                }
                let challenge = self.challenge.change();
                challenge.send_attempts = challenge.send_attempts.saturating_sub(1);
            }
            Charge::Free | Charge::Attempt => {}
        }
    }
}
