//! How many messages went to one destination, over all accounts of a store.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Versioned;

/// How many messages a destination gets in 24 hours.
pub(crate) const DAILY: u32 = 10;
/// As many: where these are full, older ones make no difference.
const KEPT: usize = 10;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Destination {
    /// The messages that were charged within the last day, oldest first.
    sends: Vec<Charged>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Charged {
    at: Timestamp,
    /// How it is known again, where it may be sent more than once.
    once: Option<[u8; 8]>,
}

impl Versioned for Destination {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 256;
}

impl Destination {
    /// Forgets what counts no more. What a clock that ran ahead has charged counts from now on, once this is written.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        self.sends.iter_mut().for_each(|sent| sent.at = sent.at.min(now));
        self.sends.retain(|sent| now.since(sent.at) < DAY);
    }

    /// Adds what was counted under another key.
    pub(crate) fn take_in(&mut self, other: &Self) {
        self.sends.extend(&other.sends);
        self.sends.sort_unstable_by_key(|sent| sent.at);
        self.sends.drain(..self.sends.len().saturating_sub(KEPT));
    }

    /// Returns whether another message is within `limit`, of what was settled.
    pub(crate) fn has_room(&self, limit: u32) -> bool {
        u32::try_from(self.sends.len()).is_ok_and(|sent| sent < limit)
    }

    /// Returns whether this message was charged before.
    pub(crate) fn has(&self, once: [u8; 8]) -> bool {
        self.sends.iter().any(|sent| sent.once == Some(once))
    }

    /// Charges a message.
    pub(crate) fn charge(&mut self, now: Timestamp, once: Option<[u8; 8]>) {
        self.sends.push(Charged { at: now, once });
    }

    /// Returns from when on nothing in it counts any more.
    pub(crate) fn gone_at(&self) -> Option<Timestamp> {
        self.sends.last().map(|sent| sent.at.plus(DAY))
    }
}
