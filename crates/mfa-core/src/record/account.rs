//! What the messages of an account cost, over all its users.

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Versioned;

const HOUR_MILLIS: u64 = 3_600_000;
/// How many hours before the current one may hold messages of the last 24 hours.
const HOURS: u64 = 24;

/// What messages cost by the hour they were charged in. The sum is never less than that of 24 hours, nor more than that of
/// 25.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AccountMessages {
    /// Hours since 1970 and their sums, oldest first.
    hours: Vec<(u64, u32)>,
}

impl Versioned for AccountMessages {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 512;
}

impl AccountMessages {
    /// Forgets what counts no more. What a clock that ran ahead has charged counts from now on, once this is written.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let hour = now.unix_millis() / HOUR_MILLIS;
        let ahead = self.hours.iter().filter(|(of, _)| *of > hour);
        let ahead = ahead.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        self.hours.retain(|(of, _)| *of <= hour && hour.saturating_sub(*of) <= HOURS);
        if ahead > 0 {
            self.add(hour, ahead);
        }
    }

    /// Returns whether a message of this price is within `limit`, of what was settled.
    pub(crate) fn has_room(&self, limit: u32, price: u32) -> bool {
        self.hours.iter().fold(price, |sum, (_, cost)| sum.saturating_add(*cost)) <= limit
    }

    /// Charges a message.
    pub(crate) fn charge(&mut self, now: Timestamp, price: u32) {
        self.add(now.unix_millis() / HOUR_MILLIS, price);
    }

    fn add(&mut self, hour: u64, price: u32) {
        match self.hours.last_mut().filter(|(of, _)| *of == hour) {
            Some((_, cost)) => *cost = cost.saturating_add(price),
            None if price == 0 => {}
            None => self.hours.push((hour, price)),
        }
    }

    /// Returns from when on nothing in it counts any more.
    pub(crate) fn gone_at(&self) -> Option<Timestamp> {
        let (hour, _) = self.hours.last()?;
        let past = hour.saturating_add(HOURS).saturating_add(1);
        Timestamp::from_unix_millis(past.saturating_mul(HOUR_MILLIS)).ok()
    }
}
