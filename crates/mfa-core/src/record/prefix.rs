//! How many text messages to the numbers of a prefix were answered, over all accounts of a store.

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{EnrolmentId, Versioned};

const QUARTER_MILLIS: u64 = 900_000;
/// Quarters of an hour whose messages are judged: six hours.
const JUDGED: u64 = 24;
/// Quarters whose messages may still be answered: the current one and the one before.
const OPEN: u64 = 2;

/// What a message is for. Whoever sets a method up chooses the number, and must not stop the logins of others: each is
/// counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SentFor {
    SetUp,
    Login,
}

impl SentFor {
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::SetUp => "set_up",
            Self::Login => "login",
        }
    }
}

/// The text message whose answer a challenge or a set-up waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Texted {
    pub(crate) method: EnrolmentId,
    pub(crate) prefix: String,
    pub(crate) at: Timestamp,
}

/// Messages by the quarter of an hour in which they were charged, and how many of these were answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PrefixMessages {
    /// Oldest first.
    quarters: Vec<Quarter>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Quarter {
    /// Quarters of an hour since 1970.
    of: u64,
    sent: u32,
    answered: u32,
}

impl Versioned for PrefixMessages {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1024;
}

impl PrefixMessages {
    /// Forgets what counts no more. What a clock that ran ahead has counted counts from now on, once this is written.
    pub(crate) fn settle(&mut self, now: Timestamp) {
        let current = quarter(now);
        let mut ahead = Quarter { of: current, sent: 0, answered: 0 };
        for of in self.quarters.iter().filter(|quarter| quarter.of > current) {
            ahead.sent = ahead.sent.saturating_add(of.sent);
            ahead.answered = ahead.answered.saturating_add(of.answered);
        }
        self.quarters.retain(|of| of.of <= current && current.saturating_sub(of.of) < OPEN + JUDGED);
        if ahead.sent > 0 {
            let into = self.current(current);
            into.sent = into.sent.saturating_add(ahead.sent);
            into.answered = into.answered.saturating_add(ahead.answered);
        }
    }

    /// Counts a message, of what was settled.
    pub(crate) fn charge(&mut self, now: Timestamp) {
        let current = self.current(quarter(now));
        current.sent = current.sent.saturating_add(1);
    }

    /// Takes back one of the last that were not answered: it was not accepted for sending.
    pub(crate) fn give_back(&mut self) {
        if let Some(of) = self.quarters.iter_mut().rev().find(|of| of.sent > of.answered) {
            of.sent = of.sent.saturating_sub(1);
        }
        self.quarters.retain(|of| of.sent > 0);
    }

    /// Counts an answer to a message that was charged at `at`, or left some time after.
    pub(crate) fn answer(&mut self, at: Timestamp) {
        let waits = |of: &&mut Quarter| of.of >= quarter(at) && of.sent > of.answered;
        if let Some(of) = self.quarters.iter_mut().find(waits) {
            of.answered = of.answered.saturating_add(1);
        }
    }

    /// Returns whether of at least `from` messages fewer than `percent` in a hundred were answered, of those that were
    /// settled and had time for it.
    pub(crate) fn is_unanswered(&self, now: Timestamp, percent: u8, from: u32) -> bool {
        let judged = self.quarters.iter().filter(|of| of.of.saturating_add(OPEN) <= quarter(now));
        let (sent, answered) = judged.fold((0_u64, 0_u64), |(sent, answered), of| {
            (sent.saturating_add(of.sent.into()), answered.saturating_add(of.answered.into()))
        });
        sent >= u64::from(from.max(1)) && answered.saturating_mul(100) < sent.saturating_mul(percent.into())
    }

    /// Returns from when on nothing in it counts any more.
    pub(crate) fn gone_at(&self) -> Option<Timestamp> {
        let last = self.quarters.last()?;
        let past = last.of.saturating_add(OPEN + JUDGED);
        Timestamp::from_unix_millis(past.saturating_mul(QUARTER_MILLIS)).ok()
    }

    fn current(&mut self, of: u64) -> &mut Quarter {
        let at = self.quarters.iter().position(|quarter| quarter.of == of).unwrap_or_else(|| {
            self.quarters.push(Quarter { of, sent: 0, answered: 0 });
            self.quarters.len().saturating_sub(1)
        });
        #[expect(clippy::indexing_slicing, reason = "invariant: it was found or has just been pushed")]
        &mut self.quarters[at]
    }
}

const fn quarter(at: Timestamp) -> u64 {
    at.unix_millis() / QUARTER_MILLIS
}
