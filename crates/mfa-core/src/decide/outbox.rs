//! The outbox: who sends a waiting notice, and what becomes of it.

use core::time::Duration;

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};

use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::notice::{NOTICE_LIFE, Notice};
use crate::{Contact, Error, Expect, Key, NoticeKind};

/// How long whoever took a notice has to send it, before another may.
const LEASE: Duration = Duration::from_secs(60);
/// How often a notice is tried.
const MAX_ATTEMPTS: u16 = 12;
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// A notice that this call sends: nobody else does until its lease is over.
pub(crate) struct Taken {
    pub(crate) kind: NoticeKind,
    pub(crate) id: [u8; 16],
    pub(crate) contacts: Vec<Contact>,
    /// Which contacts accepted it before, as bits.
    pub(crate) told: u8,
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
    if now < record.due_at {
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
    let taken = Taken { kind: record.kind, id, contacts, told: record.told };
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
    (told, refused): (u8, u8),
    records: &Records,
    now: Timestamp,
) -> Result<Decision<Sent>, Error> {
    let Read::Live(mut record, version) = records.read::<Notice>(key) else {
        return Ok(Decision::only(Sent::Done));
    };
    let mut plan = Plan::default();
    // Another node may have told some in the meantime, where this one took longer than its lease.
    let told = told | record.told;
    let all = all_of(taken.contacts.len());
    let event = |kind: Kind, outcome: Outcome| {
        event(account, user, kind, outcome, now)
            .subject(taken.id)
            .field("notice", taken.kind.code())
            .field("contacts", told.count_ones().to_string())
    };
    let done: Option<(Sent, EventBuilder)> = if told == all {
        Some((Sent::Done, event(Kind::NoticeSent, Outcome::Success)))
    } else if told | refused == all || record.attempts >= MAX_ATTEMPTS {
        Some((Sent::GivenUp, event(Kind::NoticeGivenUp, Outcome::Failure)))
    } else {
        None
    };
    if let Some((sent, event)) = done {
        plan.delete(key.clone(), Expect::Version(version));
        plan.events([event]);
        return Ok(Decision { plan, value: sent });
    }
    record.told = told;
    record.due_at = now.plus(pause_after(record.attempts));
    plan.put(key.clone(), Expect::Version(version), &record, Some(record.at.plus(NOTICE_LIFE)))?;
    Ok(Decision { plan, value: Sent::Later })
}

/// Returns how long to wait before a notice is tried again: twice as long each time.
fn pause_after(attempts: u16) -> Duration {
    let seconds = 1_u64.checked_shl(attempts.into()).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST_PAUSE)
}

fn all_of(contacts: usize) -> u8 {
    (0..contacts.min(8)).fold(0, |bits, n| bits | (1 << n))
}

fn id_of(key: &Key) -> Result<[u8; 16], Error> {
    key.id.last_chunk().copied().ok_or(Error::Unavailable("a notice without an id"))
}
