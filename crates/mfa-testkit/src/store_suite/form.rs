//! The form of a commit, and what is refused.

use mfa_core::{Commit, Expect, MAX_BODY_BYTES};

use super::TestStore;
use super::fixture::{Fixture, put, put_bytes, sealed};

/// The most bytes an id may have.
const MAX_ID_BYTES: usize = 1024;

/// A body of one byte more than [`MAX_BODY_BYTES`] is refused, and the commit's other write and its event
/// do not happen.
pub async fn a_body_past_the_limit_is_too_large_and_writes_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let mut commit = with_bystanders(&t);
    commit.writes.push(put_bytes(t.key("long"), Expect::Any, vec![7; MAX_BODY_BYTES + 1]));
    assert_eq!(t.refused(commit).await, "too_large");
    assert_eq!(t.get("long").await, None);
    bystanders_are_absent(&t).await;
}

/// An id of 1024 bytes and an empty one are stored; one byte more is refused, and nothing is written.
pub async fn an_id_past_the_limit_is_too_large_and_writes_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for id in [vec![], vec![b'i'; MAX_ID_BYTES]] {
        t.put(&id, "fits").await;
        assert_eq!(t.body(&id).await.as_deref(), Some("fits"), "an id of {} bytes", id.len());
    }
    let mut commit = with_bystanders(&t);
    commit.writes.push(put(t.key(vec![b'i'; MAX_ID_BYTES + 1]), Expect::Any, "does not"));
    assert_eq!(t.refused(commit).await, "too_large");
    bystanders_are_absent(&t).await;
}

/// A write of another scope than the commit's is misuse, and nothing is written.
pub async fn a_write_of_another_scope_is_misuse_and_writes_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = t.in_new_scope();
    let mut commit = with_bystanders(&t);
    commit.writes.push(put(other.key("foreign"), Expect::Any, "body"));
    assert_eq!(t.refused(commit).await, "misuse");
    assert_eq!(other.get("foreign").await, None);
    bystanders_are_absent(&t).await;
}

/// An event of another scope than the commit's is misuse, and nothing is written.
pub async fn an_event_of_another_scope_is_misuse_and_writes_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = t.in_new_scope();
    let mut commit = with_bystanders(&t);
    commit.events.push(sealed(other.event_at(t.now), t.now));
    assert_eq!(t.refused(commit).await, "misuse");
    assert!(other.log().await.is_empty(), "the foreign event is not stored");
    bystanders_are_absent(&t).await;
}

/// Two writes of one key in a commit are misuse, and nothing is written.
pub async fn two_writes_of_one_key_are_misuse_and_write_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let mut commit = with_bystanders(&t);
    commit.writes.extend(["1", "2"].map(|body| put(t.key("twice"), Expect::Any, body)));
    assert_eq!(t.refused(commit).await, "misuse");
    assert_eq!(t.get("twice").await, None);
    bystanders_are_absent(&t).await;
}

/// A commit without writes and events is done.
pub async fn an_empty_commit_is_done(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.done(t.commit([])).await;
}

/// A commit with a write and an event that are in order.
fn with_bystanders(t: &Fixture<'_>) -> Commit {
    let mut commit = t.commit([put(t.key("bystander"), Expect::Any, "body")]);
    commit.events.push(sealed(t.event_at(t.now), t.now));
    commit
}

async fn bystanders_are_absent(t: &Fixture<'_>) {
    assert_eq!(t.get("bystander").await, None, "no write of a refused commit happens");
    assert!(t.log().await.is_empty(), "no event of a refused commit is stored");
}
