//! Queueing notices in the commit of what they tell.

use audit_model::{AccountId, Timestamp, UserId};

use super::Rules;
use crate::keyring::Label;
use crate::plan::Plan;
use crate::record::login::Login;
use crate::record::notice::{NOTICE_LIFE, Notice};
use crate::record::{NOTICE, users_key};
use crate::{Contact, Draw, Error, Expect, NoticeKind, contact};

/// How many hours the kinds that were told are remembered.
const HOURS_KEPT: u32 = 2;

/// Queues a notice to `contacts`, unless one of the kind was queued within the hour. Its id is the same for all
/// that are alike, so that a receiver can tell a repeated one; it is returned if it was queued. `due_at` is from when
/// on it may be sent.
#[expect(clippy::too_many_arguments, reason = "whom, of what, when, and where it is written")]
pub(crate) fn queue(
    rules: &Rules,
    (account, user): (&AccountId, &UserId),
    login: &mut Login,
    kind: NoticeKind,
    contacts: &[Contact],
    (now, due_at): (Timestamp, Timestamp),
    draw: &mut Draw,
    plan: &mut Plan,
) -> Result<Option<[u8; 16]>, Error> {
    if contacts.is_empty() || !login.notices_now(kind, now) {
        return Ok(None);
    }
    let hour = hour_of(now).to_be_bytes();
    // The stream is another one for whoever has the user's id next: what is told to them is no repetition.
    let whose = [account.as_str().as_bytes(), user.as_str().as_bytes(), login.generation.as_bytes()];
    let parts: [&[u8]; 7] =
        [b"notice", whose[0], whose[1], whose[2], &login.stream, kind.code().as_bytes(), &hour];
    let mac = rules.ring.mac(rules.ring.active().as_str(), Label::MacMerge, &parts)?;
    let mut id = [0; 16];
    id.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
    let to = seal(rules, account, user, &id, contacts, draw)?;
    let notice = Notice { kind, at: now, to, told: 0, charged: 0, attempts: 0, due_at };
    plan.put(users_key(account, NOTICE, user, &id), Expect::Any, &notice, Some(now.plus(NOTICE_LIFE)))?;
    Ok(Some(id))
}

/// Writes a notice under the random `id`, to the verified ones of `contacts`: for what has no other record that could say
/// whether one was queued.
#[expect(clippy::too_many_arguments, reason = "whom, of what, when, and where it is written")]
pub(crate) fn put(
    rules: &Rules,
    (account, user): (&AccountId, &UserId),
    id: [u8; 16],
    kind: NoticeKind,
    contacts: &[Contact],
    now: Timestamp,
    draw: &mut Draw,
    plan: &mut Plan,
) -> Result<(), Error> {
    let contacts: Vec<_> = contacts.iter().filter(|contact| contact.is_verified()).cloned().collect();
    if contacts.is_empty() {
        return Ok(());
    }
    let to = seal(rules, account, user, &id, &contacts, draw)?;
    let notice = Notice { kind, at: now, to, told: 0, charged: 0, attempts: 0, due_at: now };
    plan.put(users_key(account, NOTICE, user, &id), Expect::Absent, &notice, Some(now.plus(NOTICE_LIFE)))
}

/// Seals contacts for the record `id` of a user.
pub(crate) fn seal(
    rules: &Rules,
    account: &AccountId,
    user: &UserId,
    id: &[u8; 16],
    contacts: &[Contact],
    draw: &mut Draw,
) -> Result<crate::keyring::Sealed, Error> {
    contact::seal(&rules.ring, Label::SealContacts, &context(account, user, id), contacts, draw)
}

/// Opens what [`seal`] made for the same record.
pub(crate) fn open(
    rules: &Rules,
    account: &AccountId,
    user: &UserId,
    id: &[u8; 16],
    sealed: &crate::keyring::Sealed,
) -> Result<Vec<Contact>, Error> {
    contact::open(&rules.ring, Label::SealContacts, &context(account, user, id), sealed)
}

fn context<'a>(account: &'a AccountId, user: &'a UserId, id: &'a [u8; 16]) -> [&'a [u8]; 5] {
    [b"seal/contacts", account.as_str().as_bytes(), user.as_str().as_bytes(), id, b"1"]
}

fn hour_of(now: Timestamp) -> u32 {
    u32::try_from(now.unix_seconds() / 3600).unwrap_or(u32::MAX)
}

impl Login {
    /// Returns whether a notice of this kind is to be queued now, and notes that it is.
    fn notices_now(&mut self, kind: NoticeKind, now: Timestamp) -> bool {
        let hour = hour_of(now);
        // A node whose clock is behind may be in the hour before.
        let is_told = |at: u32| at == hour || at.checked_sub(1) == Some(hour);
        if self.noticed.iter().any(|(of, at)| *of == kind.number() && is_told(*at)) {
            return false;
        }
        self.noticed.retain(|(of, at)| *of != kind.number() && at.saturating_add(HOURS_KEPT) > hour);
        self.noticed.push((kind.number(), hour));
        true
    }

    /// Forgets that a notice of this kind was queued.
    pub(super) fn forget_notice(&mut self, kind: NoticeKind) {
        self.noticed.retain(|(of, _)| *of != kind.number());
    }
}
