//! How many messages went to one destination, over all accounts of a store.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{CodecError, Versioned};

/// How many messages a destination gets in 24 hours.
pub(crate) const DAILY: u32 = 10;
/// As many: where these are full, older ones make no difference.
const KEPT: usize = 10;
const DAY: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Destination {
    /// When messages were charged within the last day, oldest first.
    sends: Vec<Timestamp>,
}

impl Versioned for Destination {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 256;

    fn upgrade(version: u8, _: &[u8]) -> Result<Self, CodecError> {
        Err(CodecError::UnknownVersion { version })
    }
}

impl Destination {
    /// Forgets what counts no more. What a clock that ran ahead has charged counts from now on, once this is written.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        self.sends.iter_mut().for_each(|sent| *sent = (*sent).min(now));
        self.sends.retain(|sent| now.since(*sent) < DAY);
    }

    /// Adds what was counted under another key.
    pub(crate) fn take_in(&mut self, other: &Self) {
        self.sends.extend(&other.sends);
        self.sends.sort_unstable();
        self.sends.drain(..self.sends.len().saturating_sub(KEPT));
    }

    /// Returns whether another message is within `limit`, of what was settled.
    pub(crate) fn has_room(&self, limit: u32) -> bool {
        u32::try_from(self.sends.len()).is_ok_and(|sent| sent < limit)
    }

    /// Charges a message.
    pub(crate) fn charge(&mut self, now: Timestamp) {
        self.sends.push(now);
    }

    /// Returns from when on nothing in it counts any more.
    pub(crate) fn gone_at(&self) -> Option<Timestamp> {
        self.sends.last().map(|sent| sent.plus(DAY))
    }
}
