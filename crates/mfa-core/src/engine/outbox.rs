//! Sending the notices that wait: at least once, under the same id each time.

use audit_model::Scope;

use super::{EFFECT_DEADLINE, Engine};
use crate::decide::outbox::{Sent, Taken, settle, take};
use crate::driver::Turn;
use crate::record::{NOTICE, user_of};
use crate::{Drained, Error, Key, Message, NotDelivered};

impl Engine {
    /// Sends the notices that wait, of every account, through the engine's
    /// [`Transport`](crate::Transport), at most `limit` of them. Call it every few seconds from any number of
    /// nodes. A notice is taken before it is sent and deleted afterwards: a crash in between sends it again a
    /// minute later, under the same [`Message::id`].
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// // Nothing waits.
    /// assert_eq!(host.engine.drain_notices(10).await?, Drained::default());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// An error of the store with code `unavailable`; notices that were not settled are tried again.
    pub async fn drain_notices(&self, limit: usize) -> Result<Drained, Error> {
        let mut drained = Drained::default();
        let mut after: Option<Key> = None;
        let mut tried: usize = 0;
        while tried < limit && self.inner.transport.is_some() {
            let Some(page) = self.next_page(NOTICE, &mut after).await? else { break };
            for record in &page {
                if tried >= limit {
                    break;
                }
                let Some(sent) = self.send_notice(&record.key).await? else { continue };
                tried = tried.saturating_add(1);
                let counted = match sent {
                    Sent::Done => &mut drained.sent,
                    Sent::Later => &mut drained.waiting,
                    Sent::GivenUp => &mut drained.given_up,
                };
                *counted = counted.saturating_add(1);
            }
        }
        Ok(drained)
    }

    /// Takes, sends and settles one notice; `None` if it is not due or somebody else sends it.
    async fn send_notice(&self, key: &Key) -> Result<Option<Sent>, Error> {
        let (Scope::Account(account), Some(user)) = (&key.scope, user_of(key)) else { return Ok(None) };
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let whose = (account, &user, key);
        let turn = Turn { account: account.clone(), user: user.clone(), keys: vec![key.clone()] };
        let taken = driver.run(&turn, None, |records, now, _| take(rules, whose, records, now)).await;
        let taken = match taken {
            Ok(settled) => settled.value,
            // Others are at it.
            Err(Error::Contention) => None,
            Err(error) => return Err(error),
        };
        let Some(taken) = taken else { return Ok(None) };
        let outcome = self.tell_each(&taken).await;
        let settled = driver.run(&turn, None, |records, now, _| settle(whose, &taken, outcome, records, now));
        Ok(Some(settled.await?.value))
    }

    /// Tells each contact that does not know yet; returns who knows now and who refused for good, as bits.
    async fn tell_each(&self, taken: &Taken) -> (u8, u8) {
        let (mut told, mut refused) = (taken.told, 0);
        let Some(transport) = &self.inner.transport else { return (told, refused) };
        for (n, contact) in taken.contacts.iter().enumerate().take(8) {
            let bit: u8 = 1 << n;
            if told & bit != 0 {
                continue;
            }
            let id = format!("{}-{n}", data_encoding::HEXLOWER.encode(&taken.id));
            let message = Message::notice(id, contact, taken.kind);
            match self.within_deadline(transport.send(&message, EFFECT_DEADLINE)).await {
                Some(Ok(_)) => told |= bit,
                Some(Err(NotDelivered::Permanent)) => refused |= bit,
                Some(Err(NotDelivered::Temporary | NotDelivered::TimedOut)) | None => {}
            }
        }
        (told, refused)
    }
}
