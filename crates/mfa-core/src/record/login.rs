//! The `login` record of a user: what nearly every judged step reads and writes. No secret is in it.

use core::time::Duration;

use audit_model::{AccountId, Stream, Timestamp};
use serde::{Deserialize, Serialize};

use crate::budget::{DELAYS_FROM, Failures, STOP_AT, delay_after};
use crate::record::device::KNOWN_LIFE;
use crate::{ConfigurationId, EnrolmentId, Policy, ProviderName, Versioned, bypass};

/// The most enrolments a user may hold.
pub(crate) const MAX_ENROLMENTS: usize = 8;
/// One failure in so many is kept for devices that succeeded before.
const KEPT: u32 = 3;
/// How far the clocks of two nodes may differ. A larger step back means that a clock was wrong before.
pub(crate) const TOLERATED_SKEW: Duration = Duration::from_secs(30);
/// A step back from here on is an event.
pub(crate) const NOTED_SKEW: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Login {
    /// The host's creation id of the user.
    pub(crate) generation: String,
    /// Challenges that were begun under another fence are superseded.
    pub(crate) fence: u64,
    /// Devices that were trusted under another number are not trusted. The fence raises it, and so does a lock.
    pub(crate) trust_epoch: u64,
    /// The latest time a decision about this user was made at.
    pub(crate) latest: Timestamp,
    /// The random id of the stream of events that this record's commits write: it names no user.
    #[serde(with = "serde_bytes")]
    pub(crate) stream: [u8; 16],
    /// How many events this record's commits have written.
    pub(crate) events: u64,
    /// The enrolment to ask for first.
    pub(crate) preferred: Option<EnrolmentId>,
    /// The user's enrolments, oldest first.
    pub(crate) enrolments: Vec<Enrolment>,
    /// Judged failures over all methods of low entropy, but for those in `own_failures`.
    pub(crate) failures: Failures,
    /// Those of them in logins that showed the token of a device that had succeeded before.
    pub(crate) own_failures: Option<Failures>,
    /// Until when there may be such a device.
    pub(crate) devices_until: Timestamp,
    /// How many events had been written when trust in every device was last ended by request.
    pub(crate) revoked: u64,
    /// In which hour a notice of a kind was written last: one an hour.
    pub(crate) noticed: Vec<(u8, u32)>,
    /// When a recovery code was used last.
    pub(crate) recovered_at: Option<Timestamp>,
    /// On which day unlocking by codes was tried last, and how often.
    pub(crate) unlocks: (u32, u8),
    /// What was possible before then is not accepted: a backup came back.
    pub(crate) barrier: Timestamp,
    /// Pushes since the last success.
    pub(crate) pushes: u8,
    /// In which hour the user was let in last because a provider could not be reached, and how often.
    pub(crate) let_in: (u32, u8),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolment {
    pub(crate) id: EnrolmentId,
    pub(crate) provider: ProviderName,
    /// Judged failures since the last success.
    pub(crate) consecutive: u16,
    /// When the last of them happened.
    pub(crate) failed_at: Timestamp,
    pub(crate) created_at: Timestamp,
    /// The provider's bytes.
    #[serde(with = "serde_bytes")]
    pub(crate) data: Option<Vec<u8>>,
    /// By whose right it was bound.
    pub(crate) bound: Bound,
    /// The provider configuration it was made under; it is of no use under another one.
    pub(crate) configuration: Option<OfConfiguration>,
}

/// Names a provider configuration and whose it is: nobody's is the system's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OfConfiguration {
    pub(crate) owner: Option<AccountId>,
    pub(crate) id: ConfigurationId,
}

/// By whose right an enrolment was bound: how far its evidence can be trusted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Bound {
    /// By the user with a method, or by the host's own word.
    #[default]
    Own,
    /// By the user with a first factor alone, where the policy asks for a method: AAL1 until its first login.
    FirstFactor,
    /// By an administrator, who may have seen the secret: AAL1 until the user binds one of their own.
    Administrator,
}

impl Versioned for Login {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 8192;
}

impl Login {
    /// Returns the time to decide at: never before a time this user was judged at, within the tolerated skew.
    pub(crate) fn effective(&self, now: Timestamp) -> Timestamp {
        if self.stepped_back(now) > TOLERATED_SKEW { now } else { now.max(self.latest) }
    }

    /// Returns how far `now` lies before the latest time this user was judged at.
    pub(crate) fn stepped_back(&self, now: Timestamp) -> Duration {
        self.latest.since(now)
    }

    /// Notes the time of a decision. After a step back past the tolerated skew every open challenge ends,
    /// delays start again, a bypass code that was issued in the future is gone and no count is lost, so that nothing
    /// comes back to life and nobody is locked out by a clock that ran ahead.
    pub(crate) fn mark(&mut self, now: Timestamp) {
        if self.stepped_back(now) > TOLERATED_SKEW {
            self.raise_fence();
            self.failures.rebase(now);
            if let Some(own) = &mut self.own_failures {
                own.rebase(now);
            }
            for enrolment in &mut self.enrolments {
                enrolment.failed_at = enrolment.failed_at.min(now);
            }
            self.barrier = self.barrier.min(now);
            self.devices_until = self.devices_until.min(now.plus(KNOWN_LIFE));
            self.recovered_at = self.recovered_at.map(|at| at.min(now));
            self.enrolments.retain(|e| e.provider != bypass::NAME || e.created_at <= now);
            self.latest = now;
        } else {
            self.latest = self.latest.max(now);
        }
    }

    /// Ends every open challenge of the user, and the trust in every device.
    pub(crate) const fn raise_fence(&mut self) {
        self.fence = self.fence.saturating_add(1);
        self.drop_trust();
    }

    /// Ends the trust in every device.
    pub(crate) const fn drop_trust(&mut self) {
        self.trust_epoch = self.trust_epoch.saturating_add(1);
    }

    /// Returns how long answers of low entropy are refused without being judged, over all methods; `known` for a
    /// login that showed the token of a device that succeeded before.
    pub(crate) fn wait(&self, at: Timestamp, policy: &Policy, known: bool) -> Duration {
        let general = self.wait_of_strangers(at, policy);
        if known { general.min(self.wait_of_known(at, policy)) } else { general }
    }

    /// A third of each window is kept for known devices, as long as there may be one.
    fn wait_of_strangers(&self, at: Timestamp, policy: &Policy) -> Duration {
        let (daily, monthly) = (policy.failures_per_day(), policy.failures_per_month());
        let all = self.wait_of_all(at, policy);
        if at >= self.devices_until {
            return all;
        }
        let (day, month) = (daily.saturating_sub(daily / KEPT), monthly.saturating_sub(monthly / KEPT));
        all.max(self.failures.wait(at, day, month))
    }

    /// Returns how long known devices wait for their third.
    pub(crate) fn wait_of_known(&self, at: Timestamp, policy: &Policy) -> Duration {
        let (day, month) = (policy.failures_per_day() / KEPT, policy.failures_per_month() / KEPT);
        let own = self.own_failures.clone().unwrap_or_default();
        self.wait_of_all(at, policy).max(own.wait(at, day, month))
    }

    fn wait_of_all(&self, at: Timestamp, policy: &Policy) -> Duration {
        let (daily, monthly) = (policy.failures_per_day(), policy.failures_per_month());
        match &self.own_failures {
            None => self.failures.wait(at, daily, monthly),
            Some(own) => self.failures.and(own).wait(at, daily, monthly),
        }
    }

    /// Counts a judged failure of low entropy. Returns whether it was drawn on the third of known devices.
    pub(crate) fn charge_failure(&mut self, at: Timestamp, policy: &Policy, known: bool) -> bool {
        let own = known && self.wait_of_known(at, policy) == Duration::ZERO;
        if own {
            self.own_failures.get_or_insert_default().charge(at);
        } else {
            self.failures.charge(at);
        }
        own
    }

    /// Takes back a failure that was charged at `charged_at`, as [`Login::charge_failure`] said.
    pub(crate) fn refund_failure(&mut self, charged_at: Timestamp, own: bool) {
        match &mut self.own_failures {
            Some(failures) if own => failures.refund(charged_at),
            _ => self.failures.refund(charged_at),
        }
    }

    /// After a report that it was not the user: no method is judged for a while, and whatever is open, which may be
    /// the same stranger's, ends.
    pub(crate) fn report_fraud(&mut self, at: Timestamp) {
        for enrolment in &mut self.enrolments {
            enrolment.consecutive = enrolment.consecutive.max(DELAYS_FROM);
            enrolment.failed_at = at;
        }
        self.raise_fence();
    }

    pub(crate) fn enrolment(&self, id: EnrolmentId) -> Option<&Enrolment> {
        self.enrolments.iter().find(|enrolment| enrolment.id == id)
    }

    pub(crate) fn enrolment_mut(&mut self, id: EnrolmentId) -> Option<&mut Enrolment> {
        self.enrolments.iter_mut().find(|enrolment| enrolment.id == id)
    }

    /// Makes a user's first record. The fence begins at the time, so that nothing that was begun under a
    /// record that is gone fits this one.
    pub(crate) fn first(generation: &str, now: Timestamp, stream: [u8; 16]) -> Self {
        Self {
            generation: generation.to_owned(),
            fence: now.unix_millis(),
            trust_epoch: now.unix_millis(),
            latest: now,
            stream,
            ..Self::default()
        }
    }

    /// Gives the record to the person who has the user's id now. Of the former one stays what keeps old things ended, and
    /// the place in the stream; no count and no method.
    pub(crate) fn pass_on(&mut self, generation: &str) {
        let Self { fence, trust_epoch, latest, stream, events, revoked, barrier, .. } = *self;
        let kept = Self { fence, trust_epoch, latest, stream, events, revoked, barrier, ..Self::default() };
        *self = Self { generation: generation.to_owned(), ..kept };
        self.raise_fence();
    }

    /// Gives the next `count` events their places in this record's stream.
    pub(crate) fn take_stream(&mut self, count: usize) -> impl Iterator<Item = Stream> + use<> {
        let id = self.stream;
        let first = self.events.saturating_add(1);
        self.events = self.events.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        (first..=self.events).map(move |seq| Stream::new(id, seq))
    }
}

impl Enrolment {
    /// Returns until when answers are refused without being judged.
    pub(crate) fn delayed_until(&self) -> Timestamp {
        self.failed_at.plus(delay_after(self.consecutive))
    }

    /// Counts a judged failure, and returns what it brought about.
    pub(crate) fn fail(&mut self, now: Timestamp) -> Failed {
        self.consecutive = self.consecutive.saturating_add(1);
        self.failed_at = now;
        match self.consecutive {
            STOP_AT => Failed::Stopped,
            DELAYS_FROM => Failed::Locked,
            _ => Failed::Counted,
        }
    }

    /// Returns whether too many failures in a row have disabled it until it is bound anew.
    pub(crate) const fn is_stopped(&self) -> bool {
        self.consecutive >= STOP_AT
    }
}

/// What a failure brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Counted,
    /// Delays begin.
    Locked,
    /// The enrolment is disabled.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(enrolments: usize) -> Login {
        let at = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
        let enrolment = |n: u8| Enrolment {
            id: EnrolmentId::from_bytes([n; 16]),
            provider: ProviderName::parse("totp").unwrap(),
            consecutive: 99,
            failed_at: at,
            created_at: at,
            data: Some(vec![0xff; 16]),
            bound: Bound::Own,
            configuration: None,
        };
        Login {
            generation: "1234567890".to_owned(),
            fence: 1_000_000,
            trust_epoch: 1_800_000_000_000,
            latest: at,
            stream: [7; 16],
            events: 1_000_000,
            preferred: Some(EnrolmentId::from_bytes([1; 16])),
            enrolments: (0..u8::try_from(enrolments).unwrap()).map(enrolment).collect(),
            failures: Failures::default(),
            own_failures: Some(Failures::default()),
            devices_until: at,
            revoked: 1_000_000,
            noticed: vec![(3, 500_000), (4, 500_000)],
            recovered_at: Some(at),
            unlocks: (20_000, 2),
            barrier: at,
            pushes: 20,
            let_in: (500_000, 3),
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_takes_no_longer_from_known_devices_than_from_others() {
        let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
        let ahead = now.plus(Duration::from_secs(9 * 24 * 3600));
        let policy = Policy::recommended();
        let mut login = Login { devices_until: ahead, ..Login::default() };
        login.mark(ahead);
        for known in [true, false] {
            while login.wait(ahead, &policy, known) == Duration::ZERO {
                login.charge_failure(ahead, &policy, known);
            }
        }
        login.mark(now);
        for wait in [login.wait(now, &policy, false), login.wait_of_known(now, &policy)] {
            assert!(wait > Duration::ZERO && wait <= Duration::from_secs(25 * 3600), "{wait:?}");
        }
    }

    #[test]
    fn a_clock_that_ran_ahead_keeps_nothing_for_devices_longer_than_one_is_known() {
        let now = Timestamp::from_unix_seconds(1_800_000_000).unwrap();
        let ahead = now.plus(Duration::from_secs(365 * 24 * 3600));
        let mut login = Login { devices_until: ahead.plus(KNOWN_LIFE), latest: ahead, ..Login::default() };
        login.mark(now);
        assert_eq!(login.devices_until, now.plus(KNOWN_LIFE));
    }

    #[test]
    fn the_record_stays_within_the_sizes_the_design_gives() {
        let overhead = 2 + 16 + 32;
        assert!(full(3).encode().unwrap().len() + overhead <= 512);
        assert!(full(8).encode().unwrap().len() + overhead <= 1024);
    }
}
