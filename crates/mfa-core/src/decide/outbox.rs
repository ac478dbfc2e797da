//! The outbox: who sends a waiting notice, and what becomes of it.

use core::time::Duration;

use audit_model::{AccountId, Kind, Outcome, Timestamp, UserId};

use super::effects::Limit;
use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::login::TOLERATED_SKEW;
use crate::record::notice::{NOTICE_LIFE, Notice};
use crate::{Contact, Error, Expect, Key, NoticeKind};

/// How long whoever took a notice has to send it, before another may.
pub(super) const LEASE: Duration = Duration::from_secs(60);
/// How often a notice is tried.
const MAX_ATTEMPTS: u16 = 12;
/// The longest pause between two tries, and the one where there was no room for a message.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How long what tells of an attempt waits for room: its contacts were told of others in the meantime.
const ATTEMPT_WAITS: Duration = Duration::from_secs(24 * 3600);

/// A notice that this call sends: nobody else does until its lease is over.
pub(crate) struct Taken {
    pub(crate) kind: NoticeKind,
    pub(crate) id: [u8; 16],
    pub(crate) contacts: Vec<Contact>,
    /// Which contacts accepted it before, as bits.
    pub(crate) told: u8,
    /// Which were charged before, as bits.
    pub(crate) charged: u8,
}

/// What became of telling each contact, as bits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    /// Who knows now.
    pub(crate) told: u8,
    /// Who was charged, now or before.
    pub(crate) charged: u8,
    /// Who is refused for good.
    pub(crate) refused: u8,
    /// Whom the host's rule lets no notice go to.
    pub(crate) barred: u8,
    /// Who has no room for another message, and whose messages are used up.
    pub(crate) full: u8,
    pub(crate) limit: Option<Limit>,
}

/// Takes a notice for sending, before it is sent: whoever crashes after this has perhaps sent it.
pub(crate) fn take(
    rules: &Rules,
    (account, user, key): (&AccountId, &UserId, &Key),
    records: &Records,
    now: Timestamp,
) -> Result<Decision<Option<Taken>>, Error> {
    let Read::Live(mut record, version) = records.read::<Notice>(key) else {
        return Ok(Decision::only(None));
    };
    let is_ahead = record.at.since(now) > TOLERATED_SKEW;
    if is_ahead {
        // It was queued by a clock that ran ahead: it is due, and lives from now on.
        record.at = now;
    } else if now < record.due_at {
        return Ok(Decision::only(None));
    }
    let id = id_of(key)?;
    // One that no key opens waits until it expires, in nobody's way.
    let Ok(contacts) = notice::open(rules, account, user, &id, &record.to) else {
        return Ok(Decision::only(None));
    };
    record.attempts = record.attempts.saturating_add(1);
    // Whoever crashes at it each time does so less and less often.
    record.due_at = now.plus(LEASE.max(pause_after(record.attempts)));
    let mut plan = Plan::default();
    plan.put(key.clone(), Expect::Version(version), &record, Some(record.at.plus(NOTICE_LIFE)))?;
    let taken = Taken { kind: record.kind, id, contacts, told: record.told, charged: record.charged };
    Ok(Decision { plan, value: Some(taken) })
}

/// What became of sending a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Done,
    Later,
    GivenUp,
}

/// Notes which contacts accepted a notice, and whether it is tried again for the others.
pub(crate) fn settle(
    (account, user, key): (&AccountId, &UserId, &Key),
    taken: &Taken,
    outcome: Told,
    records: &Records,
    now: Timestamp,
) -> Result<Decision<Sent>, Error> {
    let Read::Live(mut record, version) = records.read::<Notice>(key) else {
        return Ok(Decision::only(Sent::Done));
    };
    let mut plan = Plan::default();
    // Another node may have told some in the meantime, where this one took longer than its lease.
    record.told |= outcome.told;
    record.charged |= outcome.charged;
    let left = all_of(taken.contacts.len()) & !outcome.barred & !record.told;
    let waits_for_room = left & outcome.full;
    // Only what was tried counts as an attempt.
    if left == waits_for_room {
        record.attempts = record.attempts.saturating_sub(1);
    }
    let (pause, life) = match (left == waits_for_room, taken.kind.is_of_an_attempt()) {
        (true, true) => (LONGEST_PAUSE, ATTEMPT_WAITS),
        (true, false) => (LONGEST_PAUSE, NOTICE_LIFE),
        (false, _) => (pause_after(record.attempts), NOTICE_LIFE),
    };
    record.due_at = now.plus(pause);
    let is_over = left & !outcome.refused == 0
        || record.attempts >= MAX_ATTEMPTS
        || record.due_at >= record.at.plus(life);
    let (sent, kind, success) = if left == 0 && record.told != 0 {
        (Sent::Done, Kind::NoticeSent, Outcome::Success)
    } else if is_over {
        (Sent::GivenUp, Kind::NoticeGivenUp, Outcome::Failure)
    } else {
        plan.put(key.clone(), Expect::Version(version), &record, Some(record.at.plus(NOTICE_LIFE)))?;
        return Ok(Decision { plan, value: Sent::Later });
    };
    let mut event = event(account, user, kind, success, now)
        .subject(taken.id)
        .field("notice", taken.kind.code())
        .field("contacts", record.told.count_ones().to_string());
    if outcome.barred != 0 {
        event = event.field("barred", outcome.barred.count_ones().to_string());
    }
    if let Some(limit) = outcome.limit.filter(|_| waits_for_room != 0) {
        event = event.field("limit", limit.code());
    }
    plan.delete(key.clone(), Expect::Version(version));
    plan.events([event]);
    Ok(Decision { plan, value: sent })
}

/// Returns how long to wait before a notice is tried again: twice as long each time.
pub(super) fn pause_after(attempts: u16) -> Duration {
    let seconds = 1_u64.checked_shl(attempts.into()).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST_PAUSE)
}

fn all_of(contacts: usize) -> u8 {
    (0..contacts.min(8)).fold(0, |bits, n| bits | (1 << n))
}

fn id_of(key: &Key) -> Result<[u8; 16], Error> {
    key.id.last_chunk().copied().ok_or(Error::Unavailable("a notice without an id"))
}
