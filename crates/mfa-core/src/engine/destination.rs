//! The budgets of messages that no one user has: a destination's, over all accounts, and an account's, over all users.

use audit_model::{AccountId, Scope, Timestamp};

use super::Engine;
use crate::decide::effects::Limit;
use crate::driver::{Patience, Read, Records};
use crate::keyring::Label;
use crate::plan::Plan;
use crate::record::account::AccountMessages;
use crate::record::destination::Destination;
use crate::record::{ACCOUNT_MESSAGES, DESTINATION};
use crate::{Committed, Error, Expect, Key, Message, Version, Versioned};

impl Engine {
    /// Charges a message to its destination and its account, in one commit of their own, before it leaves. Returns which
    /// of them has no room for it: then neither is charged, and it may not leave.
    pub(super) async fn charge_message(
        &self,
        account: &AccountId,
        message: &Message,
    ) -> Result<Option<Limit>, Error> {
        let driver = &self.inner.driver;
        let destination_key = self.destination_key(message)?;
        let of_account = self.inner.account_messages.map(|limit| (account_key(account), limit));
        let keys: Vec<_> = [Some(&destination_key), of_account.as_ref().map(|(key, _)| key)]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        let mut patience = Patience::new(&*driver.runtime);
        // All users of an account meet at its record: within a process one after the other.
        let one = of_account.as_ref().map(|(key, _)| driver.stripe(&key.id).lock());
        let _one_at_a_time = match one {
            Some(one) => Some(patience.bound(one).await.ok_or(Error::Contention)?),
            None => None,
        };
        loop {
            let now = driver.runtime.now();
            let records = driver.load(&keys, now).await?;
            let mut destination = Counted::<Destination>::read(&records, &destination_key)?;
            destination.count.settle(now);
            let mut full = (!destination.count.has_room()).then_some(Limit::Destination);
            let mut counted = None;
            if let Some((key, limit)) = &of_account {
                let mut account = Counted::<AccountMessages>::read(&records, key)?;
                account.count.settle(now);
                if full.is_none() && !account.count.has_room(*limit) {
                    full = Some(Limit::Account);
                }
                counted = Some(account);
            }
            if full.is_none() {
                destination.count.charge(now);
                counted.iter_mut().for_each(|account| account.count.charge(now));
            }
            let mut plan = Plan::default();
            let gone_at = destination.count.gone_at();
            destination.put(&mut plan, gone_at)?;
            if let Some(account) = counted {
                let gone_at = account.count.gone_at();
                account.put(&mut plan, gone_at)?;
            }
            if plan.is_empty() {
                return Ok(full);
            }
            let mut draw = driver.entropy.draw();
            let version = Version::from_bytes(draw.take()?);
            let commit = plan.seal(&driver.ring, Scope::Destinations, version, now, &mut draw)?;
            match driver.store.commit(commit).await? {
                Committed::Done => return Ok(full),
                Committed::Conflict(_) => patience.pause(u16::from_be_bytes(draw.take()?)).await?,
            }
        }
    }

    /// Addresses the record by a keyed hash: the store does not learn to whom messages go.
    fn destination_key(&self, message: &Message) -> Result<Key, Error> {
        let ring = self.ring();
        let parts: [&[u8]; 2] =
            [message.channel.code().as_bytes(), message.counted().expose_secret().as_bytes()];
        let hash = ring.mac(ring.active().as_str(), Label::MacDestination, &parts)?;
        Ok(Key::new(Scope::Destinations, DESTINATION, hash))
    }
}

fn account_key(account: &AccountId) -> Key {
    Key::new(Scope::Destinations, ACCOUNT_MESSAGES, account.as_str().as_bytes())
}

/// A count, as it was read and as it is to be.
struct Counted<T> {
    key: Key,
    before: T,
    count: T,
    expect: Expect,
}

impl<T: Versioned + Clone + Default + PartialEq> Counted<T> {
    fn read(records: &Records, key: &Key) -> Result<Self, Error> {
        let (before, expect) = match records.read::<T>(key) {
            Read::Absent => (T::default(), Expect::Absent),
            Read::Live(count, version) => (count, Expect::Version(version)),
            Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        };
        Ok(Self { key: key.clone(), count: before.clone(), before, expect })
    }

    /// Writes it down if it changed; what counts nothing is not kept.
    fn put(self, plan: &mut Plan, gone_at: Option<Timestamp>) -> Result<(), Error> {
        let Self { key, before, count, expect } = self;
        match gone_at {
            _ if count == before => {}
            None => plan.delete(key, expect),
            gone_at => plan.put(key, expect, &count, gone_at)?,
        }
        Ok(())
    }
}
