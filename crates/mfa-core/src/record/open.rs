//! The `open` record of a user: which challenges may still be open. Written by begin, never read by verify.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::login::TOLERATED_SKEW;
use crate::{ChallengeId, Module, Purpose, Versioned};

/// The most challenges of one user that may be open at a time.
pub(crate) const MAX_OPEN: usize = 64;

/// How long a message counts.
const DAY: Duration = Duration::from_secs(24 * 3600);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest life that a policy gives a challenge.
const LONGEST_LIFE: Duration = Duration::from_secs(600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Oldest first.
    pub(crate) challenges: Vec<Entry>,
    /// When messages were charged within the last day, oldest first.
    pub(crate) sends: Vec<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: ChallengeId,
    pub(crate) purpose: Purpose,
    pub(crate) module: Module,
    /// The keyed hash of the host's session, if it has one.
    #[serde(with = "serde_bytes")]
    pub(crate) session: Option<[u8; 32]>,
    /// The user's fence when it began.
    pub(crate) fence: u64,
    pub(crate) expires_at: Timestamp,
}

impl Versioned for Open {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

impl Open {
    /// Forgets challenges whose life is over, that a fence has ended, that were begun by a clock that ran ahead,
    /// and those named in `ended`. Returns whether messages were charged by such a clock: they count from now on, once
    /// this is written.
    pub(crate) fn prune(&mut self, now: Timestamp, fence: u64, ended: &[ChallengeId]) -> bool {
        let latest_end = now.plus(LONGEST_LIFE).plus(TOLERATED_SKEW);
        self.challenges.retain(|entry| {
            let alive = now < entry.expires_at && entry.expires_at <= latest_end && entry.fence == fence;
            alive && !ended.contains(&entry.id)
        });
        let was_ahead = self.sends.iter().any(|sent| *sent > now);
        self.sends.iter_mut().for_each(|sent| *sent = (*sent).min(now));
        self.sends.retain(|sent| now.since(*sent) < DAY);
        was_ahead
    }

    /// Returns how long it takes until another message may be charged; zero if one may be now.
    pub(crate) fn wait_to_send(&self, now: Timestamp, hourly: usize, daily: usize) -> Duration {
        let until = |limit: usize, window: Duration| {
            let within: Vec<_> = self.sends.iter().filter(|sent| now.since(**sent) < window).collect();
            let leaves = within.len().checked_sub(limit).and_then(|past| within.get(past).copied());
            leaves.map_or(Duration::ZERO, |sent| window.saturating_sub(now.since(*sent)))
        };
        until(hourly, HOUR).max(until(daily, DAY))
    }

    /// Charges a message.
    pub(crate) fn charge_send(&mut self, now: Timestamp) {
        self.sends.push(now);
    }

    /// Takes back a message that provably never left.
    pub(crate) fn refund_send(&mut self, charged_at: Timestamp) {
        if let Some(index) = self.sends.iter().rposition(|sent| *sent == charged_at) {
            self.sends.remove(index);
        }
    }

    /// Returns from when on nothing in it counts any more.
    pub(crate) fn gone_at(&self) -> Option<Timestamp> {
        let challenges = self.challenges.iter().map(|entry| entry.expires_at);
        challenges.chain(self.sends.last().map(|sent| sent.plus(DAY))).max()
    }

    /// Returns the newest login challenge of a module that was begun in one of `sessions`, with that session.
    pub(crate) fn current<'a>(
        &self,
        module: &Module,
        sessions: &'a [Option<[u8; 32]>],
    ) -> Option<(ChallengeId, &'a Option<[u8; 32]>)> {
        let of_module =
            self.challenges.iter().rev().filter(|e| e.purpose == Purpose::Login && e.module == *module);
        of_module.filter_map(|e| Some((e.id, sessions.iter().find(|session| **session == e.session)?))).next()
    }
}
