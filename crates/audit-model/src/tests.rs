//! What the crate promises, from the outside as far as possible.

mod address;
mod attempts;
mod checkpoint;
mod cursor;
mod event;
mod export;
mod ids;
mod log_export;
mod page;
mod reply;
mod verifier;
mod verifier_pages;
mod wire;

use async_trait::async_trait;
use proptest::prelude::*;
use std::sync::Mutex;

use crate::{
    AccountId, Attempt, AuditError, AuditLog, CursorKey, Event, EventBuilder, EventId, Kind, Order, Outcome,
    Position, Query, Scope, Stream, Timestamp, UserId,
};

/// The second of the sample row in Kazoo's documentation: 2017-02-23T01:40:38Z.
const SAMPLE_SECOND: u64 = 1_487_814_038;
/// The same in gregorian seconds, as the sample row prints it.
const SAMPLE_GREGORIAN: u64 = 63_655_033_238;

fn key() -> CursorKey {
    CursorKey::from_bytes([7; 32])
}

fn acme() -> Scope {
    Scope::Account(AccountId::parse("acme").unwrap())
}

fn at(unix_seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(unix_seconds).unwrap()
}

/// An attempt of `acme` at `unix_seconds`, told apart from others of that second by `number`.
fn attempt_at(unix_seconds: u64, number: u8) -> Event {
    let at = at(unix_seconds);
    EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at)
        .attempt(Attempt::new("multi_factor", "unauthorized"))
        .build(EventId::new(at, [number; 16]), [number; 16])
        .unwrap()
}

/// An event with something in every place.
fn full_event() -> Event {
    let at = at(SAMPLE_SECOND);
    EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at)
        .module("cb_user_auth")
        .reason("wrong_code")
        .subject([5; 16])
        .actor("admin")
        .field("method", "totp")
        .field("attempts_left", "4")
        .stream(Stream::new([6; 16], 300))
        .attempt(Attempt::new("multi_factor", "unauthorized").with_origins("acme", "system"))
        .user(UserId::parse("bob").unwrap())
        .ip("10.1.0.2".parse().unwrap())
        .header("Host", "10.1.0.2:8000")
        .header("User-Agent", "curl/7")
        .request_id("a6edc00018ebd9c7c991fbddf3677fcb")
        .build(EventId::new(at, [7; 16]), [9; 16])
        .unwrap()
}

fn erased(event: &Event) -> Event {
    let mut stored = event.to_stored().unwrap();
    stored.personal = None;
    Event::from_stored(&stored).unwrap()
}

/// A log that is a list.
#[derive(Debug, Default)]
struct VecLog(Mutex<Vec<Event>>);

impl VecLog {
    fn of(events: impl IntoIterator<Item = Event>) -> Self {
        Self(Mutex::new(events.into_iter().collect()))
    }

    fn add(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

fn place(event: &Event) -> Position {
    Position::new(event.at(), event.id())
}

#[async_trait]
impl AuditLog for VecLog {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        assert!((1..=Query::MAX_LIMIT.saturating_add(1)).contains(&query.limit), "{}", query.limit);
        let mut events = self.0.lock().unwrap().clone();
        events.sort_by_key(place);
        if query.order == Order::Descending {
            events.reverse();
        }
        let behind = |event: &Event| match (after, query.order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => place(event) > after,
            (Some(after), Order::Descending) => place(event) < after,
        };
        events.retain(|event| behind(event) && query.matches(event));
        events.truncate(query.limit);
        Ok(events)
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        let events = self.0.lock().unwrap();
        Ok(events.iter().find(|event| event.scope() == scope && event.id() == id).cloned())
    }
}

prop_compose! {
    /// Any event: every part there or not, texts with all kinds of characters.
    fn any_event()(
        (millis, random, salt) in (0..=253_402_300_799_999_u64, any::<[u8; 16]>(), any::<[u8; 16]>()),
        (kind, outcome) in (0..Kind::ALL.len(), 0..3_usize),
        (module, reason, actor) in (any_text(), any_text(), any_text()),
        fields in proptest::collection::vec(any::<String>(), 0..4),
        subject in proptest::option::of(any::<[u8; 16]>()),
        stream in proptest::option::of((any::<[u8; 16]>(), any::<u64>())),
        attempt in proptest::option::of((any::<String>(), any_text())),
        user in proptest::option::of("[a-zäö@.]{1,20}"),
        ip in proptest::option::of(any::<std::net::IpAddr>()),
        headers in proptest::collection::vec(any::<String>(), 0..3),
        (request_id, hidden) in (any_text(), any::<bool>()),
    ) -> Event {
        let at = Timestamp::from_unix_millis(millis).unwrap();
        let outcome = [Outcome::Success, Outcome::Failure, Outcome::Info][outcome];
        let mut builder = EventBuilder::new(acme(), Kind::ALL[kind], outcome, at);
        if let Some(module) = module { builder = builder.module(module); }
        if let Some(reason) = reason { builder = builder.reason(reason); }
        if let Some(actor) = actor { builder = builder.actor(actor); }
        for value in fields { builder = builder.field("method", value); }
        if let Some(subject) = subject { builder = builder.subject(subject); }
        if let Some((id, seq)) = stream { builder = builder.stream(Stream::new(id, seq)); }
        if let Some((message, origin)) = attempt {
            let attempt = Attempt::new("multi_factor", message);
            builder = builder.attempt(match origin {
                Some(origin) => attempt.with_origins(origin, "system"),
                None => attempt,
            });
        }
        if let Some(user) = user { builder = builder.user(UserId::parse(&user).unwrap()); }
        if let Some(ip) = ip { builder = builder.ip(ip); }
        for value in headers { builder = builder.header("user-agent", &value); }
        if hidden { builder = builder.hidden_from_attempts(); }
        if let Some(id) = request_id { builder = builder.request_id(&id); }
        builder.build(EventId::new(at, random), salt).unwrap()
    }
}

fn any_text() -> impl Strategy<Value = Option<String>> {
    proptest::option::of(any::<String>())
}
