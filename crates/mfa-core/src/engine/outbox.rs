//! Sending what waits, messages of challenges and notices: at least once, under the same id each time.

use audit_model::{AccountId, Scope};

use super::destination::MessageClass;
use super::{EFFECT_DEADLINE, Engine};
use crate::decide::outbox::{Sent, Taken, Told, settle, take};
use crate::driver::Turn;
use crate::record::{MESSAGE, NOTICE, user_of};
use crate::{Channel, Contact, Drained, Error, Key, Message, NotDelivered, Record, RecordKind};

/// One call that sends, and how far it has come.
struct Round {
    drained: Drained,
    tried: usize,
    limit: usize,
}

impl Round {
    const fn is_over(&self) -> bool {
        self.tried >= self.limit
    }

    const fn count(&mut self, sent: Sent) {
        self.tried = self.tried.saturating_add(1);
        let counted = match sent {
            Sent::Done => &mut self.drained.sent,
            Sent::Later => &mut self.drained.waiting,
            Sent::GivenUp => &mut self.drained.given_up,
        };
        *counted = counted.saturating_add(1);
    }
}

impl Engine {
    /// Sends what waits, of every account, through the engine's [`Transport`](crate::Transport), at most `limit`
    /// messages: first the codes and links of logins, where the policy has them wait here
    /// ([`Policy::messages_by_outbox`](crate::Policy::messages_by_outbox)), then the notices. Call it every few seconds,
    /// or every second where codes wait, from any number of nodes. Each message is taken before it is sent and deleted
    /// afterwards: a crash in between sends it again a minute later, under the same [`Message::id`].
    ///
    /// A code or link is sent only while its challenge is open and waits for it. It is tried five times, within half a
    /// minute if its transport does not take it for now. A mail is charged once, a text message at each try.
    ///
    /// A mailbox or number gets ten notices in 24 hours, over all accounts, of which at most six tell of attempts and the
    /// others of changes; an account sends as many as the host has set
    /// ([`messages_per_account_and_day`](crate::EngineBuilder::messages_per_account_and_day)). One that there is no room for
    /// waits, an attempt for a day and a change for the seven days that a notice lives, and is tried each hour.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// // Nothing waits.
    /// assert_eq!(host.engine.drain_outbox(10).await?, Drained::default());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// With code `unavailable`: an error of the store, after which what was not settled is tried again; and an engine
    /// without a [transport](crate::EngineBuilder::transport), if something waits.
    pub async fn drain_outbox(&self, limit: usize) -> Result<Drained, Error> {
        let mut round = Round { drained: Drained::default(), tried: 0, limit };
        for kind in [MESSAGE, NOTICE] {
            if self.inner.transport.is_some() {
                self.drain_kind(kind, &mut round).await?;
            } else if self.next_page(kind, &mut None).await?.is_some() {
                return Err(Error::Unavailable("a transport: messages wait, and this engine has none"));
            }
        }
        Ok(round.drained)
    }

    async fn drain_kind(&self, kind: RecordKind, round: &mut Round) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        while !round.is_over() {
            let Some(page) = self.next_page(kind, &mut after).await? else { break };
            for Record { key, .. } in &page {
                // The message of the next method takes the place of one that is refused for good.
                while !round.is_over() {
                    let sent = match kind {
                        MESSAGE => self.send_message(key).await?,
                        _ => self.send_notice(key).await?,
                    };
                    let Some(sent) = sent else { break };
                    round.count(sent);
                    if kind != MESSAGE || sent != Sent::GivenUp {
                        break;
                    }
                }
            }
        }
        Ok(())
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
        let outcome = self.tell_each(account, &taken).await;
        let settled = driver.run(&turn, None, |records, now, _| settle(whose, &taken, outcome, records, now));
        match settled.await {
            Ok(settled) => Ok(Some(settled.value)),
            // Others are at this user's records: one user's must not keep the rest from being sent.
            Err(Error::Contention) => Ok(Some(Sent::Later)),
            Err(error) => Err(error),
        }
    }

    /// Tells each contact that does not know yet, may be told and has room for a message.
    async fn tell_each(&self, account: &AccountId, taken: &Taken) -> Told {
        let mut told = Told { told: taken.told, charged: taken.charged, ..Told::default() };
        let Some(transport) = &self.inner.transport else { return told };
        for (n, contact) in taken.contacts.iter().enumerate().take(8) {
            let bit: u8 = 1 << n;
            if told.told & bit != 0 {
                continue;
            }
            if !self.may_be_told(contact) {
                told.barred |= bit;
                continue;
            }
            let id = format!("{}-{n}", data_encoding::HEXLOWER.encode(&taken.id));
            let message = Message::notice(id, contact, taken.kind);
            // One mail is one mail, however often its server was down; a text message may cost each time.
            if told.charged & bit == 0 || contact.channel() != Channel::Email {
                match self.charge_message(account, &message, MessageClass::Notice(taken.kind)).await {
                    Ok(None) => told.charged |= bit,
                    full => {
                        // Not charged, so not sent.
                        told.full |= bit;
                        told.limit = full.ok().flatten().or(told.limit);
                        continue;
                    }
                }
            }
            match self.within_deadline(transport.send(&message, EFFECT_DEADLINE)).await {
                Some(Ok(_)) => told.told |= bit,
                Some(Err(NotDelivered::Permanent)) => told.refused |= bit,
                Some(Err(NotDelivered::Temporary | NotDelivered::TimedOut)) | None => {}
            }
        }
        told
    }

    fn may_be_told(&self, contact: &Contact) -> bool {
        let rule = self.inner.notices_by_phone.as_ref();
        contact.channel() == Channel::Email || rule.is_some_and(|may_be_told| may_be_told(contact))
    }
}
