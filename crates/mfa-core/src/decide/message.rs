//! Messages of challenges through the outbox: queued in the commit that charges them, taken under a lease before they
//! are sent, and settled by what became of them.

use audit_model::{EventBuilder, Kind, Outcome, Scope, Timestamp};
use serde_json::Value;

use super::Rules;
use super::call::{look, ready};
use super::case::{Case, Opened};
use super::effects::{EffectResult, Ran};
use super::judge::{Ask, Judged, judge};
use super::outbox::{LEASE, pause_after};
use crate::driver::{Decision, Read, Records};
use crate::engine::EFFECT_DEADLINE;
use crate::machine::Status;
use crate::plan::Plan;
use crate::provider::{ErasedStep, Then};
use crate::record::challenge::PendingEffect;
use crate::record::message::{Letter, MessagePlace, QueuedMessage, message_key};
use crate::reference::Claims;
use crate::{
    Channel, Charge, Draw, Effect, EffectKind, Error, Expect, Key, Message, NotDelivered, Policy,
    ProviderError, ProviderName, Purpose, RequestFacts, StepEvent, Version,
};

/// How often a message is tried that its transport does not take for now. The last try is half a minute after the first:
/// from then on the user may ask for another one.
const MAX_TRIES: u16 = 5;

/// Returns the message of an effect that leaves through the outbox, by the policy. One that judges an answer is charged
/// otherwise, and has somebody waiting for the verdict.
pub(super) fn by_outbox<'a>(policy: &Policy, effect: &'a Effect, charge: Charge) -> Option<&'a Message> {
    match effect {
        Effect::Deliver(message) if charge == Charge::Send => policy.messages_by_outbox().then_some(message),
        _ => None,
    }
}

/// Returns until when an effect that begins at `at` is waited for. A message in the outbox may leave as long as its
/// challenge lives, which is until `ends`.
pub(super) fn deadline(is_queued: bool, at: Timestamp, ends: Timestamp) -> Timestamp {
    if is_queued { ends } else { at.plus(EFFECT_DEADLINE) }
}

/// Queues a message until `ends`, in the place of the one before it.
pub(super) fn queue(
    rules: &Rules,
    place: MessagePlace<'_>,
    (message, label): (&Message, &str),
    (now, ends): (Timestamp, Timestamp),
    draw: &mut Draw,
    plan: &mut Plan,
) -> Result<(), Error> {
    let letter = place.seal(&rules.ring, &Letter::new(message, label), draw)?;
    let queued = QueuedMessage { effect: *place.effect, letter, attempts: 0, due_at: now };
    let key = message_key(place.account, place.user, place.challenge);
    plan.put(key, Expect::Any, &queued, Some(ends))
}

impl Case<'_> {
    /// Queues the message of an effect that was charged. Returns what to show until it has left.
    pub(super) fn queue_message(
        &mut self,
        effect: &[u8; 16],
        message: &Message,
        draw: &mut Draw,
    ) -> Result<Value, Error> {
        let (rules, claims) = (self.rules, self.claims);
        let ends = self.challenge.value.expires_at;
        let place =
            MessagePlace { account: &self.account, user: &claims.user, challenge: &claims.id, effect };
        queue(rules, place, (message, &claims.label), (self.now, ends), draw, &mut self.also)?;
        let Some(method) = ready(self) else { return Ok(Value::Null) };
        shown(look(self, method, StepEvent::Queued, draw))
    }

    /// Returns the effect of the message that the challenge waits for, if that waits in the outbox, and whose it is.
    pub(super) fn queued(&self) -> Option<Queued> {
        let challenge = &self.challenge.value;
        let effect = challenge.effect.clone().filter(|effect| effect.queued)?;
        Some(Queued { effect, method: challenge.provider.clone() })
    }

    /// Settles what becomes of a message that waited before this step: it is dropped if the step has left it, and waited
    /// for as before if nothing could take its place.
    pub(super) fn leave(&mut self, queued: Option<Queued>) {
        let Some(Queued { effect, method }) = queued else { return };
        let challenge = &self.challenge.value;
        match &challenge.effect {
            Some(other) if other.id == effect.id => return,
            None if challenge.method == self.before.method => {
                self.challenge.change().effect = Some(effect);
                return;
            }
            _ => {}
        }
        if let Some(other) = &mut self.challenge.change().effect
            && other.before.is_some()
        {
            // What never left is nothing to go back to, where its successor does not leave either.
            other.before = effect.before;
        }
        self.also.delete_once(message_key(&self.account, &self.claims.user, &self.claims.id));
        let event = self.event_of(Kind::EffectDropped, Outcome::Info, &method);
        self.note(event.field("effect", EffectKind::Deliver.code()));
    }

    /// Notes what became of sending the message that the challenge waited for.
    pub(super) fn note_sending(&mut self, result: &EffectResult) {
        let event = match result {
            EffectResult::Delivered(_) => self.event(Kind::MessageSent, Outcome::Success),
            _ => self.event(Kind::MessageGivenUp, Outcome::Failure),
        };
        self.note(event);
    }

    /// Returns whether the challenge still waits for this message.
    fn awaits(&self, message: &QueuedMessage) -> bool {
        let challenge = &self.challenge.value;
        let is_open = matches!(challenge.status, Status::Created | Status::Sent);
        is_open
            && challenge.effect.as_ref().is_some_and(|effect| effect.queued && effect.id == message.effect)
    }

    /// Returns whether the login could go on by an answer, as things are now.
    fn could_go_on(&self) -> bool {
        let is_login = self.challenge.value.purpose == Purpose::Login;
        let is_off = is_login && (self.rules.module_is_off() || self.rules.asks_in_vain());
        !is_off && ready(self).is_some()
    }
}

/// A message that a challenge waits for while it waits in the outbox itself.
pub(super) struct Queued {
    effect: PendingEffect,
    method: ProviderName,
}

/// Returns what a provider shows of a message that waits: nothing, if it does not know that one can.
pub(super) fn shown(asked: Result<Option<ErasedStep>, Error>) -> Result<Value, Error> {
    match asked.map(|step| step.map(|step| step.then)) {
        Ok(Some(Then::Prompt(prompt) | Then::Wait(prompt))) => Ok(prompt),
        Ok(_) | Err(Error::Provider(ProviderError::Inappropriate)) => Ok(Value::Null),
        Err(error) => Err(error),
    }
}

/// What became of taking a message.
pub(crate) enum Taken {
    /// It is not due, somebody else sends it, or it cannot be used for now.
    Nothing,
    /// Its challenge is over or has gone on without it: it will not be sent.
    Dropped,
    Send(Box<Sending>),
}

/// A message that this call sends: nobody else does until its lease is over.
pub(crate) struct Sending {
    pub(crate) message: Message,
    pub(crate) label: String,
    effect: [u8; 16],
    attempts: u16,
}

/// Takes a message for sending, before it is sent: whoever crashes after this has perhaps sent it. The commit holds the
/// challenge and the user's record as they were read, so that nothing is taken that has ended since.
pub(crate) fn take(
    rules: &Rules,
    claims: &Claims,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Taken>, Error> {
    let key = message_key(claims.account()?, &claims.user, &claims.id);
    let Read::Live(mut queued, version) = records.read::<QueuedMessage>(&key) else {
        return Ok(Decision::only(Taken::Nothing));
    };
    if now < queued.due_at {
        return Ok(Decision::only(Taken::Nothing));
    }
    let request = RequestFacts::new();
    let mut case = match Case::open(rules, claims, &request, &Ask::Claim, records, now)? {
        Opened::Case(case) => case,
        Opened::NotFound | Opened::Gone => return drop_nobodys(claims, (key, version), now),
        Opened::Refused(..) => return Ok(Decision::only(Taken::Nothing)),
    };
    // Whoever took it last may not have lived to give it up.
    if case.ended()?.is_some() || !case.awaits(&queued) || queued.attempts >= MAX_TRIES {
        case.also.delete(key, Expect::Version(version));
        let event = case.event(Kind::EffectDropped, Outcome::Info);
        case.note(event.field("effect", EffectKind::Deliver.code()));
        return Ok(Decision { plan: case.finish(false, draw)?, value: Taken::Dropped });
    }
    let place = MessagePlace {
        account: &case.account,
        user: &claims.user,
        challenge: &claims.id,
        effect: &queued.effect,
    };
    // One that no key opens waits until its challenge is over, in nobody's way.
    let (Ok(letter), true) = (place.open(&rules.ring, &queued.letter), case.could_go_on()) else {
        return Ok(Decision::only(Taken::Nothing));
    };
    queued.attempts = queued.attempts.saturating_add(1);
    queued.due_at = now.plus(LEASE);
    let sending = Sending {
        message: letter.message(&queued.effect),
        label: letter.label,
        effect: queued.effect,
        attempts: queued.attempts,
    };
    case.also.put(key, Expect::Version(version), &queued, Some(case.challenge.value.expires_at))?;
    Ok(Decision { plan: case.finish(true, draw)?, value: Taken::Send(Box::new(sending)) })
}

/// Drops a message whose challenge is gone, as the user may be: the event names nobody.
fn drop_nobodys(
    claims: &Claims,
    (key, version): (Key, Version),
    now: Timestamp,
) -> Result<Decision<Taken>, Error> {
    let mut plan = Plan::default();
    plan.delete(key, Expect::Version(version));
    let scope = Scope::Account(claims.account()?.clone());
    let event = EventBuilder::new(scope, Kind::EffectDropped, Outcome::Info, now);
    plan.events([event.subject(claims.id).field("effect", EffectKind::Deliver.code())]);
    Ok(Decision { plan, value: Taken::Dropped })
}

/// Goes on with what became of sending: as after an effect that ran in the call, or `None` if it is tried again.
pub(crate) fn settle(
    rules: &Rules,
    claims: &Claims,
    sending: &Sending,
    result: &EffectResult,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Option<Judged>>, Error> {
    let key = message_key(claims.account()?, &claims.user, &claims.id);
    let own = match records.read::<QueuedMessage>(&key) {
        Read::Live(queued, version) if queued.effect == sending.effect => Some((queued, version)),
        Read::Live(..) | Read::Absent | Read::Refused(_) => None,
    };
    if let Some((mut queued, version)) = own.clone().filter(|_| sending.is_tried_again(result)) {
        let mut plan = Plan::default();
        queued.due_at = now.plus(pause_after(sending.attempts));
        plan.put(key.clone(), Expect::Version(version), &queued, records.expires_at(&key))?;
        return Ok(Decision { plan, value: None });
    }
    let perhaps = EffectResult::NotDelivered(NotDelivered::Temporary);
    let result = if sending.has_perhaps_left(result) { &perhaps } else { result };
    let (ran, request) = (Ran::Charged(sending.effect), RequestFacts::new());
    let Decision { mut plan, value } =
        judge(rules, claims, &request, &Ask::Resume(&ran, result), records, now, draw)?;
    // Unless the message of another method has taken its place.
    if let Some((_, version)) = own
        && !plan.puts(&key)
    {
        plan.delete(key, Expect::Version(version));
    }
    Ok(Decision { plan, value: Some(value) })
}

impl Sending {
    /// Returns what its destination knows it by: of a random id enough for ten messages. A text message is another one at
    /// each try, since each may cost.
    pub(crate) fn once(&self) -> [u8; 8] {
        let id: u64 = self.effect.first_chunk().map_or(0, |id| u64::from_be_bytes(*id));
        let tries = if self.message.channel == Channel::Phone { u64::from(self.attempts) } else { 0 };
        (id ^ tries).to_be_bytes()
    }

    const fn is_tried_again(&self, result: &EffectResult) -> bool {
        let may_work_later = matches!(
            result,
            EffectResult::NotDelivered(NotDelivered::Temporary | NotDelivered::TimedOut)
                | EffectResult::NeverStarted
        );
        may_work_later && self.attempts < MAX_TRIES
    }

    /// Returns whether an earlier try may have left, whatever became of this one: then nothing is given back, and no
    /// other channel is gone on with.
    const fn has_perhaps_left(&self, result: &EffectResult) -> bool {
        self.attempts > 1 && !matches!(result, EffectResult::Delivered(_))
    }
}
