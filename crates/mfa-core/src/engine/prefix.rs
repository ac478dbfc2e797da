//! Prefixes of numbers whose text messages are not answered: somebody may be paid for them.

use audit_model::Scope;

use super::Engine;
use super::destination::Counted;
use crate::driver::Patience;
use crate::plan::Plan;
use crate::record::PREFIX_MESSAGES;
use crate::record::prefix::{PrefixMessages, SentFor, Texted};
use crate::{Committed, Error, Key, Message};

/// From when on a prefix gets no more messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct PrefixRule {
    /// Of a hundred messages so many must be answered.
    pub(super) percent: u8,
    /// Of so many at least.
    pub(super) from: u32,
}

impl Engine {
    /// Addresses the count of a message's prefix, where the host has set a rule for it.
    pub(super) fn prefix_key(&self, message: &Message, sent_for: SentFor) -> Option<(Key, PrefixRule)> {
        let rule = self.inner.prefix_rule?;
        Some((key(&message.prefix()?, sent_for), rule))
    }

    /// Counts a message as answered, after the commit that took the answer. An answer that is not counted, for whatever
    /// reason, keeps nobody from anything.
    pub(super) async fn count_answer(&self, texted: Option<Texted>, sent_for: SentFor) {
        if let (Some(Texted { prefix, at, .. }), Some(_)) = (texted, self.inner.prefix_rule) {
            let _not_counted = self.count(&key(&prefix, sent_for), |count| count.answer(at)).await;
        }
    }

    /// Takes a message back that was charged and not accepted for sending.
    pub(super) async fn give_prefix_back(&self, message: &Message, sent_for: SentFor) {
        if let Some((key, _)) = self.prefix_key(message, sent_for) {
            let _still_counted = self.count(&key, PrefixMessages::give_back).await;
        }
    }

    async fn count(&self, key: &Key, change: impl Fn(&mut PrefixMessages) + Send) -> Result<(), Error> {
        let driver = &self.inner.driver;
        let mut patience = Patience::new(&*driver.runtime);
        let one = driver.stripe(&key.id).lock();
        let _one_at_a_time = patience.bound(one).await.ok_or(Error::Contention)?;
        loop {
            let now = driver.runtime.now();
            let records = driver.load(core::slice::from_ref(key), now).await?;
            let mut counted = Counted::<PrefixMessages>::read(&records, key)?;
            counted.count.settle(now);
            change(&mut counted.count);
            let mut plan = Plan::default();
            let gone_at = counted.count.gone_at();
            counted.put(&mut plan, gone_at)?;
            if plan.is_empty() {
                return Ok(());
            }
            match driver.commit_once(Scope::Destinations, plan, now).await? {
                Committed::Done => return Ok(()),
                Committed::Conflict(_) => {
                    patience.pause(u16::from_be_bytes(driver.entropy.draw().take()?)).await?;
                }
            }
        }
    }
}

fn key(prefix: &str, sent_for: SentFor) -> Key {
    let id = format!("{}{prefix}", sent_for.code());
    Key::new(Scope::Destinations, PREFIX_MESSAGES, id.into_bytes())
}
