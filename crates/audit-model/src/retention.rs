//! Dropping events that have been kept long enough, so that what is left still proves itself.

use std::sync::Arc;

use async_trait::async_trait;
use hmac::Mac;

use crate::event::push_part;
use crate::{
    AuditError, CheckpointKey, Checkpoints, Event, EventBuilder, EventId, Kind, Outcome, Scope, Stream,
    Timestamp,
};

/// An order to drop the events of whole months: who gave it, when, and what it takes.
///
/// It takes the events of one account, or of all scopes, that happened before the month of `before`, as far as
/// a checkpoint covers them. Events of the kinds [`Retention::KEPT`] stay: they account for what is gone. In
/// the place of each event it takes stays a [`Dropped`], and one event of the kind [`Kind::EventsDropped`]
/// tells of the order, in the account's scope or, for all, in [`Scope::System`].
///
/// ```
/// use audit_model::{AccountId, Retention, Scope, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let now = Timestamp::from_unix_seconds(1_487_814_038)?;
/// let acme = Scope::Account(AccountId::parse("acme")?);
/// let order = Retention::new(acme.clone(), now, "retention job", now, [7; 16])?;
/// assert_eq!(order.before().to_string(), "2017-02-01T00:00:00.000Z");
///
/// // Nobody's order is none.
/// let refused = Retention::new(acme, now, "", now, [7; 16]).unwrap_err();
/// assert_eq!(refused.to_string(), "actor: is empty; name who orders it");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retention {
    id: EventId,
    at: Timestamp,
    scope: Option<Scope>,
    before: Timestamp,
    actor: String,
}

impl Retention {
    /// The most events that one order takes. An order that took as many is followed by another.
    pub const MAX_EVENTS: usize = 10_000;

    /// The kinds that are never dropped: earlier orders of this kind, and the forgetting of users.
    pub const KEPT: [Kind; 3] = [Kind::EventsDropped, Kind::UserForgotten, Kind::AccountForgotten];

    /// Makes an order of `actor`, given at `now`, over one scope or, with `None`, over all. Whatever day `before`
    /// is, its whole month stays. `random` are 16 bytes of the operating system's random source for the id of the
    /// event that tells of it.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if `actor` is empty or `before` lies behind `now`.
    pub fn new(
        scope: impl Into<Option<Scope>>,
        before: Timestamp,
        actor: impl Into<String>,
        now: Timestamp,
        random: [u8; 16],
    ) -> Result<Self, AuditError> {
        let invalid = |field, problem: &str| AuditError::Invalid { field, problem: problem.to_owned() };
        let actor = actor.into();
        if actor.trim().is_empty() {
            return Err(invalid("actor", "is empty; name who orders it"));
        }
        if before > now {
            return Err(invalid("before", "lies in the future"));
        }
        let before = before.start_of_month();
        Ok(Self { id: EventId::new(now, random), at: now, scope: scope.into(), before, actor })
    }

    /// Returns the scope it takes events of; `None` for all.
    #[must_use]
    pub const fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// Returns the first millisecond of the oldest month that stays.
    #[must_use]
    pub const fn before(&self) -> Timestamp {
        self.before
    }

    /// Returns the id of the event that tells of it. A store that has this event has done what it orders.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// Returns the scope of the event that tells of it.
    #[must_use]
    pub fn told_in(&self) -> &Scope {
        self.scope.as_ref().unwrap_or(&Scope::System)
    }

    /// Returns whether it takes `event`, by what the event says.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        self.scope.as_ref().is_none_or(|scope| event.scope() == scope)
            && event.at() < self.before
            && !Self::KEPT.contains(&event.kind())
    }

    /// Makes the event that tells that it took so many.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if it cannot be encoded, which none is.
    pub fn event(&self, count: usize) -> Result<Event, AuditError> {
        // It says nothing personal, so its salt is never used.
        EventBuilder::new(self.told_in().clone(), Kind::EventsDropped, Outcome::Success, self.at)
            .actor(self.actor.clone())
            .field("before", self.before.to_string())
            .field("events", count.to_string())
            .build(self.id, [0; 16])
    }

    /// Returns whether the order that `told` tells of took what happened at `at`.
    pub(crate) fn reached(told: &Event, at: Timestamp) -> bool {
        // invariant: a time is always written in as many characters, so that texts are ordered as the times are.
        let before = told.field("before").filter(|_| told.kind() == Kind::EventsDropped);
        before.is_some_and(|before| *at.to_string() < *before)
    }

    /// Returns how many events were dropped, from the event that tells of an order.
    #[must_use]
    pub fn count_of(event: &Event) -> Option<u64> {
        event.field("events").filter(|_| event.kind() == Kind::EventsDropped)?.parse().ok()
    }
}

/// What stays of an event that was dropped: enough to prove every other event, and nothing that it said.
///
/// Its MAC is HMAC-SHA256 (RFC 2104) under the key of the checkpoints, over its place and every other value: only
/// who can make checkpoints can drop an event and leave a log that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Dropped {
    /// The event's hash.
    pub hash: [u8; 32],
    /// When it happened, by its own word: what was put in later with a time of long ago still shows.
    pub at: Timestamp,
    /// The event's position in its stream.
    pub stream: Option<Stream>,
    /// The hash of the event that tells of the order.
    pub by: [u8; 32],
    /// The MAC over the place and all of the above.
    pub mac: [u8; 32],
}

impl Dropped {
    /// Makes what stays of `event` at `place` after the order that `told` tells of.
    #[must_use]
    pub fn of(event: &Event, place: u64, told: &Event, key: &CheckpointKey) -> Self {
        let (hash, at, stream) = (*event.hash(), event.at(), event.stream());
        let mut dropped = Self { hash, at, stream, by: *told.hash(), mac: [0; 32] };
        dropped.mac = key.mac(&dropped.signed(place)).finalize().into_bytes().into();
        dropped
    }

    /// Puts the values together again, as they were stored. Nothing is checked: ask
    /// [`Dropped::is_authentic`].
    #[must_use]
    pub const fn from_stored(at: Timestamp, stream: Option<Stream>, [hash, by, mac]: [[u8; 32]; 3]) -> Self {
        Self { hash, at, stream, by, mac }
    }

    /// Returns whether it was made with this key for this place and not changed since; compared in constant time.
    #[must_use]
    pub fn is_authentic(&self, place: u64, key: &CheckpointKey) -> bool {
        key.mac(&self.signed(place)).verify((&self.mac).into()).is_ok()
    }

    /// Everything but the MAC.
    fn signed(&self, place: u64) -> Vec<u8> {
        // Names every field, so that a new one cannot be forgotten here.
        let Self { hash, at, stream, by, mac: _ } = self;
        let stream = stream.map(|stream| [&stream.id[..], &stream.seq.to_be_bytes()].concat());
        let [place, at] = [place, at.unix_millis()].map(u64::to_be_bytes);
        let stream = stream.as_deref().unwrap_or_default();
        let mut out = Vec::with_capacity(192);
        let parts: [&[u8]; 6] = [b"audit/dropped/1", &place, hash, &at, stream, by];
        parts.into_iter().for_each(|part| push_part(&mut out, part));
        out
    }
}

/// The side of a store that drops old events.
///
/// *Whole:* what is dropped, what stays in its place and the event that tells of it are one commit. *Exactly:* it
/// takes events that [`Retention::takes`] and that a checkpoint covers, the oldest of a scope first, at most
/// [`Retention::MAX_EVENTS`], and no other. *Nothing is laundered:* an event whose hash does not hold, or that
/// its store finds by something else than what it says, stops it. *Cancellation:* dropping the future drops
/// events or none; asking again with the same order is harmless, it is done once. *What a wrong implementation
/// costs:* a log that does not verify, or an attacker whose traces the next order takes.
///
/// ```
/// use audit_model::{AuditError, CheckpointKey, Retain, Retention, Timestamp};
///
/// /// Drops, in every account, the months before that of `before`, and returns how many events that were.
/// async fn tidy(
///     log: &dyn Retain,
///     key: &CheckpointKey,
///     (before, now): (Timestamp, Timestamp),
///     random: impl Fn() -> [u8; 16],
/// ) -> Result<u64, AuditError> {
///     log.checkpoint(key, now).await?;
///     let mut dropped = 0;
///     loop {
///         let order = Retention::new(None, before, "nightly retention", now, random())?;
///         let taken = log.retain(&order, key).await?;
///         dropped += taken;
///         if taken < Retention::MAX_EVENTS as u64 {
///             return Ok(dropped);
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait Retain: Checkpoints {
    /// Drops what `retention` takes and returns how many events that were. Where it takes none, nothing is
    /// written and no event tells of it. Make a checkpoint before: what none covers is not taken.
    ///
    /// # Errors
    /// [`AuditError::Corrupt`] if the last checkpoint was not made with `key`, or an event it would take is
    /// damaged: nothing is dropped then. [`AuditError::Unavailable`] if the store cannot be written.
    async fn retain(&self, retention: &Retention, key: &CheckpointKey) -> Result<u64, AuditError>;
}

const _: Option<&dyn Retain> = None;

macro_rules! forward_retain {
    ($($pointer:ident),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        #[async_trait]
        impl<T: Retain + ?Sized> Retain for $pointer<T> {
            async fn retain(&self, retention: &Retention, key: &CheckpointKey) -> Result<u64, AuditError> {
                (**self).retain(retention, key).await
            }
        }
    )*};
}

forward_retain!(Arc, Box);
