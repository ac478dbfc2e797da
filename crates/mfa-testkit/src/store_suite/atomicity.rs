//! A commit happens whole or not at all.

use audit_model::UserId;
use mfa_core::{Commit, Erase, Expect};

use super::TestStore;
use super::fixture::{Fixture, check, delete, new_version, put, sealed};
use crate::drop_at::drop_at_poll;

/// Puts, deletes, checks and events of one commit all happen.
pub async fn a_commit_happens_whole(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let checked = t.put("checked", "as it was").await;
    let replaced = t.put("replaced", "old").await;
    t.put("deleted", "old").await;
    let mut commit = t.commit([
        put(t.key("new"), Expect::Absent, "new"),
        check(t.key("checked"), checked),
        put(t.key("replaced"), Expect::Version(replaced), "new"),
        delete(t.key("deleted"), Expect::Any),
    ]);
    let event = sealed(t.event_at(t.now), t.now);
    commit.events.push(event.clone());
    t.done(commit).await;
    assert_eq!(t.body("new").await.as_deref(), Some("new"));
    assert_eq!(t.body("replaced").await.as_deref(), Some("new"));
    assert_eq!(t.body("checked").await.as_deref(), Some("as it was"));
    assert_eq!(t.get("deleted").await, None);
    assert_eq!(t.log().await, [event]);
}

/// Where the last of three writes conflicts, the put and the delete before it do not happen, nor does
/// any later commit find a trace of them.
pub async fn a_conflict_writes_none_of_the_records(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let changed = t.put("changed", "old").await;
    t.put("deleted", "old").await;
    let before = t.store.get(&["changed", "deleted"].map(|id| t.key(id)), t.now).await.unwrap();
    let commit = t.commit([
        put(t.key("changed"), Expect::Version(changed), "new"),
        delete(t.key("deleted"), Expect::Any),
        put(t.key("fresh"), Expect::Absent, "new"),
        put(t.key("last"), Expect::Version(new_version()), "new"),
    ]);
    assert_eq!(t.conflict(commit).await, t.key("last"));
    let after = t.store.get(&["changed", "deleted"].map(|id| t.key(id)), t.now).await.unwrap();
    assert_eq!(after, before, "a conflict changes no record");
    assert_eq!(t.ids_at(t.now).await, [&b"changed"[..], b"deleted"], "a conflict adds no record");
    t.write([
        put(t.key("changed"), Expect::Version(changed), "newer"),
        put(t.key("fresh"), Expect::Absent, "newer"),
    ])
    .await;
}

/// A check that does not hold stops the writes before and after it.
pub async fn a_failing_check_stops_every_write(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.put("checked", "body").await;
    let commit = t.commit([
        put(t.key("before"), Expect::Any, "body"),
        check(t.key("checked"), new_version()),
        put(t.key("behind"), Expect::Any, "body"),
    ]);
    assert_eq!(t.conflict(commit).await, t.key("checked"));
    assert_eq!(t.ids_at(t.now).await, [b"checked"]);
}

/// Where several expectations do not hold, the first in the order of the writes is named, not the first
/// in the order of the keys.
pub async fn the_first_conflicting_key_is_named(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let wrong = || Expect::Version(new_version());
    let held = || put(t.key("m-holds"), Expect::Any, "body");
    let commit = t.commit([
        held(),
        put(t.key("z"), wrong(), "body"),
        delete(t.key("a"), wrong()),
        check(t.key("k"), new_version()),
    ]);
    assert_eq!(t.conflict(commit).await, t.key("z"));
    let commit = t.commit([held(), check(t.key("k"), new_version()), put(t.key("a"), wrong(), "")]);
    assert_eq!(t.conflict(commit).await, t.key("k"));
}

/// The events of a commit that conflicts are not stored.
pub async fn a_conflict_writes_no_events(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let mut commit = conflicting(&t);
    let event = sealed(t.event_at(t.now), t.now);
    commit.events.push(event.clone());
    t.conflict(commit).await;
    assert_eq!(t.log().await, [], "no event of a conflict is listed");
    assert_eq!(t.store.event(&t.scope, event.id()).await.unwrap(), None, "nor found by its id");
    t.write_events(vec![event.clone()]).await;
    assert_eq!(t.log().await, [event], "a later commit may store it");
}

/// A commit that conflicts erases nothing.
pub async fn a_conflict_erases_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let user = UserId::parse("bob").unwrap();
    let event = sealed(t.event_at(t.now).user(user.clone()), t.now);
    t.write_events(vec![event.clone()]).await;
    let mut commit = conflicting(&t);
    commit.erase = Some(Erase::User(user));
    t.conflict(commit).await;
    assert_eq!(t.log().await, [event]);
}

/// A commit whose future is dropped at any of its first polls has happened whole or not at all, and the
/// store goes on working.
pub async fn a_dropped_commit_happens_whole_or_not_at_all(store: &dyn TestStore) {
    for polls in 0..4 {
        let t = Fixture::new(store);
        let mut commit = t.commit(["a", "b"].map(|id| put(t.key(id), Expect::Absent, "dropped")));
        commit.events.push(sealed(t.event_at(t.now), t.now));
        let committed = drop_at_poll(store.commit(commit), polls).is_some();
        // A store may finish a dropped commit on a thread of its own: what follows goes through it too.
        t.put("c", "the store works").await;
        let [a, b] = [t.get("a").await.is_some(), t.get("b").await.is_some()];
        let logged = !t.log().await.is_empty();
        assert!(a == b && b == logged, "dropped at poll {polls}: records {a} {b}, event {logged}");
        assert!(a || !committed, "a commit that was answered has happened");
    }
}

fn conflicting(t: &Fixture<'_>) -> Commit {
    t.commit([put(t.key("id"), Expect::Version(new_version()), "body")])
}
