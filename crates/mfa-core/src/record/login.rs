//! The `login` record of a user: what nearly every judged step reads and writes. No secret is in it.

use core::time::Duration;

use audit_model::{AccountId, Stream, Timestamp};
use serde::{Deserialize, Serialize};

use crate::budget::{DELAYS_FROM, Failures, STOP_AT, delay_after};
use crate::{CodecError, ConfigurationId, EnrolmentId, ProviderName, Versioned};

/// The most enrolments a user may hold.
pub(crate) const MAX_ENROLMENTS: usize = 8;
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
    /// Judged failures over all methods of low entropy.
    pub(crate) failures: Failures,
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

    fn upgrade(version: u8, _: &[u8]) -> Result<Self, CodecError> {
        Err(CodecError::UnknownVersion { version })
    }
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
    /// delays start again and no count is lost, so that nothing comes back to life and nobody is locked out
    /// by a clock that ran ahead.
    pub(crate) fn mark(&mut self, now: Timestamp) {
        if self.stepped_back(now) > TOLERATED_SKEW {
            self.raise_fence();
            self.failures.rebase(now);
            for enrolment in &mut self.enrolments {
                enrolment.failed_at = enrolment.failed_at.min(now);
            }
            self.barrier = self.barrier.min(now);
            self.latest = now;
        } else {
            self.latest = self.latest.max(now);
        }
    }

    /// Ends every open challenge of the user.
    pub(crate) const fn raise_fence(&mut self) {
        self.fence = self.fence.saturating_add(1);
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
            latest: now,
            stream,
            ..Self::default()
        }
    }

    /// Gives the next `count` events their places in this record's stream.
    pub(crate) fn take_stream(&mut self, count: usize) -> Vec<Stream> {
        let id = self.stream;
        let first = self.events.saturating_add(1);
        self.events = self.events.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        (first..=self.events).map(|seq| Stream::new(id, seq)).collect()
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
            latest: at,
            stream: [7; 16],
            events: 1_000_000,
            preferred: Some(EnrolmentId::from_bytes([1; 16])),
            enrolments: (0..u8::try_from(enrolments).unwrap()).map(enrolment).collect(),
            failures: Failures::default(),
            noticed: vec![(3, 500_000), (4, 500_000)],
            recovered_at: Some(at),
            unlocks: (20_000, 2),
            barrier: at,
            pushes: 20,
            let_in: (500_000, 3),
        }
    }

    #[test]
    fn the_record_stays_within_the_sizes_the_design_gives() {
        let overhead = 2 + 16 + 32;
        assert!(full(3).encode().unwrap().len() + overhead <= 512);
        assert!(full(8).encode().unwrap().len() + overhead <= 1024);
    }
}
