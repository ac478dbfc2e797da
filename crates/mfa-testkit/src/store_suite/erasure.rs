//! Erasing a person from the log.

use audit_model::{Event, Query, UserId};
use mfa_core::Erase;

use super::TestStore;
use super::fixture::{Fixture, sealed};

const IP: &str = "10.1.0.2";

/// Erasing takes the personal values of a user's events; the events stay where they are, say everything
/// else, and their hashes hold.
pub async fn erasure_takes_the_personal_values_and_keeps_the_event(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let events = [about(&t, "bob"), about(&t, "bob")];
    t.write_events(events.to_vec()).await;
    erase(&t, "bob", vec![]).await;
    let mut found = t.log().await;
    for event in &events {
        found.extend(store.event(&t.scope, event.id()).await.unwrap());
    }
    assert_eq!(found.len(), 4, "both events are there, listed and by their ids");
    for event in &found {
        assert!(event.is_erased() && event.personal().is_none(), "no personal value is left");
        assert!(event.hash_holds(), "the hash holds without them");
        let before = events.iter().find(|e| e.id() == event.id()).expect("one that was written");
        let said = |e: &Event| (e.at(), e.kind(), e.outcome(), e.reason().map(str::to_owned), *e.hash());
        assert_eq!(said(event), said(before), "everything else is as it was");
        assert_eq!(event.commitment(), before.commitment(), "the commitment stays");
    }
    erase(&t, "bob", vec![]).await;
    erase(&t, "nobody", vec![]).await;
    assert_eq!(t.log().await, found[..2], "erasing again, or someone unknown, changes nothing");
}

/// A query by the user or by the address no longer finds what was erased.
pub async fn the_erased_is_not_found_by_its_personal_values(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.write_events(vec![about(&t, "bob")]).await;
    let query = || Query::new(t.scope.clone());
    let by_user = query().user(user("bob"));
    let by_ip = query().ip(IP.parse().unwrap());
    for query in [&by_user, &by_ip] {
        assert_eq!(t.ask(query).await.len(), 1, "found before");
    }
    erase(&t, "bob", vec![]).await;
    for query in [&by_user, &by_ip] {
        assert_eq!(t.ask(query).await, [], "not found afterwards");
    }
}

/// Erasing one user leaves the events of all others, whose ids are compared byte by byte, and the events
/// about nobody, even those from the same address.
pub async fn erasure_keeps_to_its_user(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let mut others = ["Bob", "bo", "bobb", "bób"].map(|name| about(&t, name)).to_vec();
    others.push(sealed(t.event_at(t.now).ip(IP.parse().unwrap()), t.now));
    t.write_events(others.clone()).await;
    t.write_events(vec![about(&t, "bob")]).await;
    erase(&t, "bob", vec![]).await;
    for other in others {
        let read = store.event(&t.scope, other.id()).await.unwrap();
        assert_eq!(read, Some(other), "another's event is as it was");
    }
}

/// Erasing a user of one scope leaves the user of that id in every other.
pub async fn erasure_keeps_to_its_scope(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let others = [t.in_new_scope(), t.in_new_scope()];
    let [first, last] = others.each_ref().map(|t| about(t, "bob"));
    others[0].write_events(vec![first.clone()]).await;
    others[1].write_events(vec![last.clone()]).await;
    t.write_events(vec![about(&t, "bob")]).await;
    erase(&t, "bob", vec![]).await;
    assert!(t.log().await.iter().all(Event::is_erased), "erased in its scope");
    assert_eq!(others[0].log().await, [first]);
    assert_eq!(others[1].log().await, [last]);
}

/// The events that the erasing commit brings keep their personal values.
pub async fn erasure_leaves_the_new_events_of_its_commit(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let old = about(&t, "bob");
    t.write_events(vec![old.clone()]).await;
    let new = about(&t, "bob");
    erase(&t, "bob", vec![new.clone()]).await;
    assert_eq!(store.event(&t.scope, new.id()).await.unwrap(), Some(new.clone()));
    let erased = store.event(&t.scope, old.id()).await.unwrap();
    assert!(erased.is_some_and(|event| event.is_erased()), "the older event is erased");
    let found = t.ask(&Query::new(t.scope.clone()).user(user("bob"))).await;
    assert_eq!(found, [new], "and still found by the user");
}

/// Erasing everyone takes the personal values of every event of the scope: those about users, and an address in an
/// event about nobody. Another scope's stay, and so do those of the commit's own events.
pub async fn erasing_everyone_leaves_no_personal_value_of_the_scope(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = t.in_new_scope();
    let of_another = about(&other, "bob");
    other.write_events(vec![of_another.clone()]).await;
    let of_nobody = sealed(t.event_at(t.now).ip(IP.parse().unwrap()), t.now);
    t.write_events(vec![about(&t, "bob"), about(&t, "eve"), of_nobody]).await;
    let new = about(&t, "eve");
    erase_all_of(&t, Erase::Everyone, vec![new.clone()]).await;
    let (kept, erased): (Vec<_>, Vec<_>) = t.log().await.into_iter().partition(|e| e.id() == new.id());
    assert_eq!(kept, [new]);
    assert_eq!(erased.len(), 3);
    assert!(erased.iter().all(|event| event.is_erased() && event.hash_holds()));
    assert_eq!(other.log().await, [of_another]);
    let by_ip = Query::new(t.scope.clone()).ip(IP.parse().unwrap());
    assert_eq!(t.ask(&by_ip).await.len(), 1, "the new one alone is found");
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn about(t: &Fixture<'_>, name: &str) -> Event {
    let event = t.event_at(t.now).reason("wrong_code").user(user(name)).ip(IP.parse().unwrap());
    sealed(event.header("user-agent", "suite/1").request_id("request-7"), t.now)
}

async fn erase(t: &Fixture<'_>, name: &str, events: Vec<Event>) {
    erase_all_of(t, Erase::User(user(name)), events).await;
}

async fn erase_all_of(t: &Fixture<'_>, whose: Erase, events: Vec<Event>) {
    let mut commit = t.commit([]);
    commit.erase = Some(whose);
    commit.events = events;
    t.done(commit).await;
}
