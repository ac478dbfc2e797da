//! Storing events and reading one.

use std::net::{IpAddr, Ipv6Addr};

use audit_model::{Attempt, Event, EventBuilder, EventId, Kind, Outcome, Stream, UserId};

use super::TestStore;
use super::fixture::{Fixture, random, sealed};

/// An event comes back with everything it says, from `query` and from `event`.
pub async fn an_event_reads_back_as_written(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let attempt = Attempt::new("multi_factor", "no second factor").with_origins("acme", "system");
    let full = EventBuilder::new(t.scope.clone(), Kind::AnswerAccepted, Outcome::Success, t.now)
        .module("user_auth")
        .reason("réason\u{1F511}")
        .subject(random())
        .actor("admin@example.org")
        .field("method", "totp")
        .field("aal", "2")
        .stream(Stream::new(random(), u64::MAX))
        .attempt(attempt)
        .user(UserId::parse("bob").unwrap())
        .ip(IpAddr::V6(Ipv6Addr::LOCALHOST))
        .header("User-Agent", "suite/1")
        .request_id("request-7");
    let bare = EventBuilder::new(t.scope.clone(), Kind::EngineOpened, Outcome::Info, t.later(1));
    let events = [sealed(full, t.now), sealed(bare, t.later(1))];
    t.write_events(events.to_vec()).await;
    assert_eq!(t.log().await, events, "as `query` reads them");
    for event in &events {
        assert_eq!(by_id(&t, event.id()).await.as_ref(), Some(event), "as `event` reads it");
    }
    assert!(t.log().await.iter().all(Event::hash_holds), "and their hashes hold");
}

/// Every event of a commit is stored, also of one that writes no records.
pub async fn all_events_of_a_commit_are_stored(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let times = [t.earlier(5), t.now, t.later(5)];
    let events = times.map(|at| sealed(t.event_at(at), at));
    t.write_events(events.to_vec()).await;
    assert_eq!(t.log().await, events);
}

/// `event` gives nothing for an unknown id and for the id of another scope's event.
pub async fn an_event_is_found_in_its_scope_alone(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = t.in_new_scope();
    let [event, foreign] = [&t, &other].map(|t| sealed(t.event_at(t.now), t.now));
    t.write_events(vec![event.clone()]).await;
    other.write_events(vec![foreign.clone()]).await;
    assert_eq!(by_id(&t, event.id()).await, Some(event));
    assert_eq!(by_id(&t, foreign.id()).await, None, "another scope's event");
    assert_eq!(by_id(&t, EventId::new(t.now, random())).await, None, "nobody's event");
}

/// An event whose id is stored already is not stored again, and its commit is done all the same: the
/// first one stays, even where the second says something else or happened at another time.
pub async fn an_event_is_stored_once(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let first = sealed(t.event_at(t.now), t.now);
    let other = t.event_at(t.now).reason("other").build(first.id(), random()).unwrap();
    let later = t.event_at(t.later(1)).build(first.id(), random()).unwrap();
    for event in [&first, &first, &other, &later] {
        t.write_events(vec![event.clone()]).await;
        assert_eq!(t.log().await, std::slice::from_ref(&first), "the first event stays, once");
        assert_eq!(by_id(&t, first.id()).await.as_ref(), Some(&first));
    }
}

/// An event that a commit holds twice is stored once.
pub async fn an_event_is_stored_once_in_one_commit(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let event = sealed(t.event_at(t.now), t.now);
    t.write_events(vec![event.clone(), event.clone()]).await;
    assert_eq!(t.log().await, [event]);
}

async fn by_id(t: &Fixture<'_>, id: EventId) -> Option<Event> {
    t.store.event(&t.scope, id).await.expect("the log is read")
}
