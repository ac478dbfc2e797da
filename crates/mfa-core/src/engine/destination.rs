//! The budgets of messages that no one user has: a destination's, over all accounts, an account's, over all users, and
//! what is sent to numbers of one prefix.

use audit_model::{AccountId, Scope, Timestamp};

use super::prefix::PrefixRule;
use super::{AccountLimit, Engine};
use crate::decide::effects::Limit;
use crate::driver::{Patience, Read, Records};
use crate::keyring::Label;
use crate::plan::Plan;
use crate::record::account::AccountMessages;
use crate::record::destination::{DAILY, Destination};
use crate::record::prefix::{PrefixMessages, SentFor};
use crate::record::{ACCOUNT_MESSAGES, ACCOUNT_NOTICES, DESTINATION, DESTINATION_NOTICES};
use crate::{Committed, Error, Expect, Key, Message, NoticeKind, RecordKind, Versioned};

/// What a message is. Codes and notices are counted apart, at each destination and of each account: neither can use up
/// the other's room.
#[derive(Clone, Copy, Debug)]
pub(super) enum MessageClass {
    /// A code or a link. One that may be handed over more than once is known by a few bytes, and charged once for them:
    /// whoever charged it may not have lived to say so.
    Code { once: Option<[u8; 8]>, sent_for: SentFor },
    /// A notice.
    Notice(NoticeKind),
}

impl MessageClass {
    /// Returns the kinds of records that count it, a destination's and an account's.
    const fn records(self) -> (RecordKind, RecordKind) {
        match self {
            Self::Code { .. } => (DESTINATION, ACCOUNT_MESSAGES),
            Self::Notice(_) => (DESTINATION_NOTICES, ACCOUNT_NOTICES),
        }
    }

    const fn once(self) -> Option<[u8; 8]> {
        match self {
            Self::Code { once, .. } => once,
            Self::Notice(_) => None,
        }
    }

    const fn sent_for(self) -> Option<SentFor> {
        match self {
            Self::Code { sent_for, .. } => Some(sent_for),
            Self::Notice(_) => None,
        }
    }

    /// Returns how much of a limit it may use. Whoever has a password can bring about notices of attempts, and must not
    /// keep those of changes from being sent by it: two fifths are left for these.
    const fn share(self, limit: u32) -> u32 {
        match self {
            Self::Notice(kind) if kind.is_of_an_attempt() => {
                limit.saturating_sub(limit.div_ceil(5).saturating_mul(2))
            }
            Self::Code { .. } | Self::Notice(_) => limit,
        }
    }
}

impl Engine {
    /// Charges a message to its destination, its account and its number's prefix, in one commit of their own, before it
    /// leaves. Returns which of them has no room for it: then none is charged, and it may not leave.
    pub(super) async fn charge_message(
        &self,
        account: &AccountId,
        message: &Message,
        class: MessageClass,
    ) -> Result<Option<Limit>, Error> {
        let driver = &self.inner.driver;
        let (of_destination, of_account) = class.records();
        let (active, others) = self.destination_keys(message, of_destination)?;
        let account = self.inner.account_limit.as_ref().map(|AccountLimit { cost, price }| {
            let key = Key::new(Scope::Destinations, of_account, account.as_str().as_bytes());
            (key, class.share(*cost), price(message))
        });
        let prefix = class.sent_for().and_then(|sent_for| self.prefix_key(message, sent_for));
        let of_several = [account.as_ref().map(|(key, ..)| key), prefix.as_ref().map(|(key, _)| key)];
        let of_several: Vec<_> = of_several.into_iter().flatten().collect();
        let keys: Vec<_> =
            [&active].into_iter().chain(&others).chain(of_several.iter().copied()).cloned().collect();
        let mut patience = Patience::new(&*driver.runtime);
        // Many users meet at such a record: within a process one after the other. Of two locks held at once, each could
        // wait for the other.
        let one = of_several.first().map(|key| driver.stripe(&key.id).lock());
        let _one_at_a_time = match one {
            Some(one) => Some(patience.bound(one).await.ok_or(Error::Contention)?),
            None => None,
        };
        loop {
            let now = driver.runtime.now();
            let records = driver.load(&keys, now).await?;
            let mut plan = Plan::default();
            let mut destination = Counted::<Destination>::read(&records, &active)?;
            for key in &others {
                let other = Counted::<Destination>::read(&records, key)?;
                if other.expect != Expect::Absent {
                    destination.count.take_in(&other.count);
                    plan.delete(other.key, other.expect);
                }
            }
            destination.count.settle(now);
            if class.once().is_some_and(|once| destination.count.has(once)) {
                return Ok(None);
            }
            let mut full = (!destination.count.has_room(class.share(DAILY))).then_some(Limit::Destination);
            let mut counted = None;
            if let Some((key, limit, price)) = &account {
                let mut account = Counted::<AccountMessages>::read(&records, key)?;
                account.count.settle(now);
                if full.is_none() && !account.count.has_room(*limit, *price) {
                    full = Some(Limit::Account);
                }
                counted = Some((account, *price));
            }
            let mut of_prefix = None;
            if let Some((key, PrefixRule { percent, from })) = &prefix {
                let mut prefix = Counted::<PrefixMessages>::read(&records, key)?;
                prefix.count.settle(now);
                if full.is_none() && prefix.count.is_unanswered(now, *percent, *from) {
                    full = Some(Limit::Prefix);
                }
                of_prefix = Some(prefix);
            }
            if full.is_none() {
                of_prefix.iter_mut().for_each(|prefix| prefix.count.charge(now));
                destination.count.charge(now, class.once());
                counted.iter_mut().for_each(|(account, price)| account.count.charge(now, *price));
            }
            let gone_at = destination.count.gone_at();
            destination.put(&mut plan, gone_at)?;
            if let Some((account, _)) = counted {
                let gone_at = account.count.gone_at();
                account.put(&mut plan, gone_at)?;
            }
            if let Some(prefix) = of_prefix {
                let gone_at = prefix.count.gone_at();
                prefix.put(&mut plan, gone_at)?;
            }
            if plan.is_empty() {
                return Ok(full);
            }
            match driver.commit_once(Scope::Destinations, plan, now).await? {
                Committed::Done => return Ok(full),
                Committed::Conflict(_) => {
                    patience.pause(u16::from_be_bytes(driver.entropy.draw().take()?)).await?;
                }
            }
        }
    }

    /// Addresses the records by keyed hashes: the store does not learn to whom messages go. The first is of the active
    /// key, the others of those that were active before: what they count is moved.
    fn destination_keys(&self, message: &Message, kind: RecordKind) -> Result<(Key, Vec<Key>), Error> {
        let ring = self.ring();
        let counted = message.counted();
        let parts: [&[u8]; 2] = [message.channel.code().as_bytes(), counted.expose_secret().as_bytes()];
        let key = |id: &str| -> Result<Key, Error> {
            Ok(Key::new(Scope::Destinations, kind, ring.mac(id, Label::MacDestination, &parts)?))
        };
        let active = ring.active();
        let others = ring.ids().into_iter().filter(|id| *id != active);
        Ok((key(active.as_str())?, others.map(|id| key(id.as_str())).collect::<Result<_, _>>()?))
    }
}

/// A count, as it was read and as it is to be.
pub(super) struct Counted<T> {
    key: Key,
    before: T,
    pub(super) count: T,
    expect: Expect,
}

impl<T: Versioned + Clone + Default + PartialEq> Counted<T> {
    pub(super) fn read(records: &Records, key: &Key) -> Result<Self, Error> {
        let (before, expect) = match records.read::<T>(key) {
            Read::Absent => (T::default(), Expect::Absent),
            Read::Live(count, version) => (count, Expect::Version(version)),
            Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        };
        Ok(Self { key: key.clone(), count: before.clone(), before, expect })
    }

    /// Writes it down if it changed; what counts nothing is not kept.
    pub(super) fn put(self, plan: &mut Plan, gone_at: Option<Timestamp>) -> Result<(), Error> {
        let Self { key, before, count, expect } = self;
        match gone_at {
            _ if count == before => {}
            None => plan.delete(key, expect),
            gone_at => plan.put(key, expect, &count, gone_at)?,
        }
        Ok(())
    }
}
