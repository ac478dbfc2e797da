//! Physical removal of what has expired.

use audit_model::Timestamp;
use futures::lock::{Mutex, MutexGuard};

use super::TestStore;
use super::fixture::{Fixture, sealed};

/// Purging reaches over every scope: these clauses take turns, and work in a past that no other clause
/// puts records in.
static TURN: Mutex<()> = Mutex::new(());

/// `purge` deletes the records whose expiry lies before `before` and says how many; one that expires at
/// that millisecond, later or never stays.
pub async fn purge_takes_the_expired_alone(store: &dyn TestStore) {
    let (t, _turn) = in_the_past(store).await;
    for (id, millis) in [("past", 0), ("last", 999), ("at", 1000), ("after", 1001)] {
        t.put_until(id, t.later(millis)).await;
    }
    t.put("never", "body").await;
    assert_eq!(store.purge(t.later(1000), 1000).await.unwrap(), 2, "two records had expired");
    let left = t.ids_at(Timestamp::MIN).await;
    assert_eq!(left, [&b"after"[..], b"at", b"never"], "purged records are gone at any time");
    assert_eq!(store.purge(t.later(1000), 1000).await.unwrap(), 0, "nothing is left to purge");
}

/// `purge` deletes at most `limit` records and says how many; calling again goes on.
pub async fn purge_respects_the_limit(store: &dyn TestStore) {
    let (t, _turn) = in_the_past(store).await;
    for id in ["a", "b", "c", "d", "e"] {
        t.put_until(id, t.later(1)).await;
    }
    let mut left = Vec::new();
    for (limit, purged) in [(0, 0), (2, 2), (2, 2), (2, 1), (2, 0)] {
        assert_eq!(store.purge(t.later(1000), limit).await.unwrap(), purged, "limit {limit}");
        left.push(t.ids_at(Timestamp::MIN).await.len());
    }
    assert_eq!(left, [5, 3, 1, 0, 0]);
}

/// `purge` never deletes an event.
pub async fn purge_keeps_events(store: &dyn TestStore) {
    let (t, _turn) = in_the_past(store).await;
    let event = sealed(t.event_at(t.now), t.now);
    t.write_events(vec![event.clone()]).await;
    t.put_until("id", t.later(1)).await;
    assert_eq!(store.purge(t.later(1_000_000), 1000).await.unwrap(), 1);
    assert_eq!(t.log().await, [event]);
}

/// Waits for the turn and purges what others have left in the suite's past.
async fn in_the_past(store: &dyn TestStore) -> (Fixture<'_>, MutexGuard<'static, ()>) {
    let turn = TURN.lock().await;
    let now = Timestamp::from_unix_seconds(86_400).unwrap();
    let t = Fixture { now, ..Fixture::new(store) };
    while store.purge(t.later(10_000_000), 1000).await.unwrap() > 0 {}
    (t, turn)
}
