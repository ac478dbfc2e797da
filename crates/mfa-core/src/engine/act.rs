//! Acting: running the effects that decisions ask for, each within its deadline.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use audit_model::AccountId;

use super::destination::MessageClass;
use super::{EFFECT_DEADLINE, Engine};
use crate::decide::effects::EffectResult;
use crate::record::prefix::SentFor;
use crate::{Effect, HttpFault, Message, NotDelivered, RunError};

/// An effect ended, or the pool had no room for it.
pub(super) enum Acted {
    Result(EffectResult),
    Busy,
    /// A slow hash did not end in time, or its result is lost. It may have been done: it stays charged.
    Lost,
}

impl Engine {
    pub(super) async fn act(&self, account: &AccountId, effect: Effect, sent_for: SentFor) -> Acted {
        match effect {
            Effect::Hash(job) => {
                let running = self.inner.driver.runtime.run(Box::new(move || job.run()));
                match self.within_deadline(running).await {
                    Some(Ok(digest)) => Acted::Result(EffectResult::Hashed(digest)),
                    Some(Err(RunError::Busy)) => Acted::Busy,
                    Some(Err(RunError::Lost)) | None => Acted::Lost,
                }
            }
            Effect::Http(call) => {
                let Some(client) = &self.inner.http else {
                    return Acted::Result(EffectResult::Http(Err(HttpFault::Refused)));
                };
                let (request, within) = call.into_parts();
                let within = within.min(EFFECT_DEADLINE);
                let reply = self.within(within, client.send(request, within)).await;
                Acted::Result(EffectResult::Http(reply.unwrap_or(Err(HttpFault::Unanswered))))
            }
            Effect::Deliver(message) => Acted::Result(
                self.deliver(account, &message, MessageClass::Code { once: None, sent_for }).await,
            ),
        }
    }

    /// Charges a message to its destination and its account, and hands it over.
    pub(super) async fn deliver(
        &self,
        account: &AccountId,
        message: &Message,
        class: MessageClass,
    ) -> EffectResult {
        let Some(transport) = &self.inner.transport else {
            return EffectResult::NotDelivered(NotDelivered::Permanent);
        };
        match self.charge_message(account, message, class).await {
            Ok(None) => {}
            Ok(Some(limit)) => return EffectResult::OverLimit(limit),
            // Not charged, so not sent: as if there had been no room for it.
            Err(_) => return EffectResult::NeverStarted,
        }
        let sent = self.within_deadline(transport.send(message, EFFECT_DEADLINE)).await;
        match sent.unwrap_or(Err(NotDelivered::TimedOut)) {
            Ok(receipt) => EffectResult::Delivered(receipt),
            Err(cause) => {
                // Nobody can answer what was not accepted.
                if let (MessageClass::Code { sent_for, .. }, true) = (class, cause != NotDelivered::TimedOut)
                {
                    self.give_prefix_back(message, sent_for).await;
                }
                EffectResult::NotDelivered(cause)
            }
        }
    }

    pub(super) async fn within_deadline<F: Future>(&self, future: F) -> Option<F::Output> {
        self.within(EFFECT_DEADLINE, future).await
    }

    async fn within<F: Future>(&self, deadline: Duration, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut deadline = self.inner.driver.runtime.sleep(deadline);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            deadline.as_mut().poll(cx).map(|()| None)
        })
        .await
    }
}
