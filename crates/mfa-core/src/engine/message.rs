//! Sending the messages of challenges that wait in the outbox.

use audit_model::Scope;

use super::Engine;
use super::destination::MessageClass;
use crate::decide::effects::EffectResult;
use crate::decide::judge::Judged;
use crate::decide::message::{Taken, settle, take};
use crate::decide::outbox::Sent;
use crate::record::prefix::SentFor;
use crate::record::user_of;
use crate::reference::Claims;
use crate::{Error, Key, RequestFacts};

impl Engine {
    /// Takes, sends and settles one message; `None` if it is not due, somebody else sends it, or it cannot be judged
    /// now: it then waits until its challenge is over.
    pub(super) async fn send_message(&self, key: &Key) -> Result<Option<Sent>, Error> {
        match self.send_taken(key).await {
            Err(error @ (Error::Store(_) | Error::Entropy(_))) => Err(error),
            Err(_) => Ok(None),
            sent => sent,
        }
    }

    async fn send_taken(&self, key: &Key) -> Result<Option<Sent>, Error> {
        let (Scope::Account(account), Some(user)) = (&key.scope, user_of(key)) else { return Ok(None) };
        let Some(challenge) = key.id.last_chunk() else { return Ok(None) };
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let mut claims = Claims::of_outbox(self.ring(), account, &user, *challenge);
        self.complete(&mut claims).await?;
        let mut turn = self.turn_for(&claims, true)?;
        turn.keys.push(key.clone());
        let taken = driver.run(&turn, None, |records, now, draw| {
            let rules = rules.held(&claims.lineage, claims.module.as_ref(), records)?;
            take(&rules, &claims, records, now, draw)
        });
        let sending = match taken.await?.value {
            Taken::Nothing => return Ok(None),
            Taken::Dropped => return Ok(Some(Sent::GivenUp)),
            Taken::Send(sending) => sending,
        };
        let class = MessageClass::Code { once: Some(sending.once()), sent_for: SentFor::Login };
        let result = self.deliver(account, &sending.message, class).await;
        claims.label.clone_from(&sending.label);
        let settled = driver.run(&turn, None, |records, now, draw| {
            let rules = rules.held(&claims.lineage, claims.module.as_ref(), records)?;
            settle(&rules, &claims, &sending, &result, records, now, draw)
        });
        let settled = settled.await?;
        match settled.value {
            None => return Ok(Some(Sent::Later)),
            // What the provider goes on with leaves in a call, such as this one.
            Some(Judged::Act(acting)) => {
                let request = RequestFacts::new();
                Box::pin(self.continue_with(&turn, &claims, &request, acting, settled.records)).await?;
            }
            Some(_) => {}
        }
        Ok(Some(if matches!(result, EffectResult::Delivered(_)) { Sent::Done } else { Sent::GivenUp }))
    }
}
