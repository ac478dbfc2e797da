//! The ops of messages: sending the notices that wait, what arrived, and what is to fail.

use core::time::Duration;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{Channel, Message, NotDelivered, Receipt, Transport};
use mfa_testkit::inbox::{Inbox, Received};
use serde_json::{Value, json};

use crate::answer::add;
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

/// How many notices one call sends at most, unless the request says otherwise.
const LIMIT: u64 = 1000;

/// An inbox, with failures that are planned for the channel.
#[derive(Debug, Default)]
pub(crate) struct Post {
    inbox: Inbox,
    plan: Mutex<Vec<Planned>>,
}

#[derive(Debug)]
struct Planned {
    /// Any channel without one.
    channel: Option<Channel>,
    cause: NotDelivered,
    times: u64,
}

impl Node {
    pub(crate) async fn notices_drain(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let limit = input.optional_whole("limit")?.unwrap_or(LIMIT);
        let drained = self.engine.drain_outbox(usize::try_from(limit).unwrap_or(usize::MAX)).await?;
        Ok(json!({ "sent": drained.sent, "waiting": drained.waiting, "given_up": drained.given_up }))
    }

    /// Sends what waits first, as a host's background work would have.
    pub(crate) async fn inbox_take(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        if input.optional_flag("drain")?.unwrap_or(true) {
            self.engine.drain_outbox(usize::try_from(LIMIT).unwrap_or(usize::MAX)).await?;
        }
        let messages: Vec<_> = self.post.inbox.take().iter().map(message_json).collect();
        Ok(json!({ "messages": messages }))
    }

    pub(crate) async fn inbox_fail(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let channel = match input.optional_text("channel")? {
            None => None,
            Some(name) => {
                let known =
                    [Channel::Email, Channel::Phone].into_iter().find(|channel| channel.code() == name);
                Some(known.ok_or_else(|| input.mistyped("channel", "email or phone"))?)
            }
        };
        let cause = match input.text("kind")? {
            "permanent" => NotDelivered::Permanent,
            "temporary" => NotDelivered::Temporary,
            "hang" => NotDelivered::TimedOut,
            _ => return Err(input.mistyped("kind", "permanent, temporary or hang")),
        };
        let times = input.optional_whole("times")?.unwrap_or(1);
        self.post.fail(Planned { channel, cause, times });
        Ok(json!({}))
    }
}

impl Post {
    fn fail(&self, planned: Planned) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).push(planned);
    }

    fn next_failure(&self, channel: Channel) -> Option<NotDelivered> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.retain(|planned| planned.times > 0);
        let planned = plan.iter_mut().find(|planned| planned.channel.is_none_or(|of| of == channel))?;
        planned.times = planned.times.saturating_sub(1);
        Some(planned.cause)
    }
}

#[async_trait]
impl Transport for Post {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        match self.next_failure(message.channel) {
            Some(cause) => Err(cause),
            None => self.inbox.send(message, deadline).await,
        }
    }
}

fn message_json(message: &Received) -> Value {
    let mut answer = json!({ "channel": message.channel.code(), "to": message.to, "body": message.body });
    add(&mut answer, "message_id", message.id.clone());
    add(&mut answer, "subject", message.subject.clone());
    let link = link_in(&message.body);
    // The text of a link may have digits, too.
    let code = if link.is_none() { code_in(&message.body) } else { None };
    add(&mut answer, "code", code);
    add(&mut answer, "link", link);
    answer
}

fn link_in(body: &str) -> Option<&str> {
    body.split_whitespace().find(|word| word.starts_with("https://") && word.contains('#'))
}

/// Finds six to eight digits that stand alone; no text has others.
fn code_in(body: &str) -> Option<&str> {
    body.split(|c: char| !c.is_ascii_digit()).find(|digits| (6..=8).contains(&digits.len()))
}
