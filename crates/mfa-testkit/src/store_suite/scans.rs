//! Scanning one kind over every scope.

use mfa_core::{Expect, Key, Record};

use super::TestStore;
use super::fixture::{Fixture, delete, expiring, new_kind, put};

/// `scan` finds every record of every scope, the engine's own included, exactly once, in pages of any
/// size and in the same order each time.
pub async fn scan_finds_every_record_of_every_scope_once(store: &dyn TestStore) {
    let (t, keys) = filled(store).await;
    let whole = pages(&t, 1000).await;
    let mut sorted = whole.clone();
    sorted.sort();
    assert_eq!(sorted, keys, "each record once");
    for size in [1, 2, 3, 7, keys.len()] {
        assert_eq!(pages(&t, size).await, whole, "pages of {size} give the same records in one order");
    }
}

/// `scan` leaves out the records of other kinds.
pub async fn scan_keeps_to_its_kind(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = Fixture { kind: new_kind(), scope: t.scope.clone(), ..t };
    other.put("id", "other").await;
    t.put("id", "own").await;
    assert_eq!(pages(&t, 10).await, [t.key("id")]);
}

/// `scan` gives at most `limit` records; any `usize` is a limit.
pub async fn scan_respects_the_limit(store: &dyn TestStore) {
    let (t, keys) = filled(store).await;
    for limit in [0, 1, 5, keys.len(), keys.len() + 1, usize::MAX] {
        let found = store.scan(t.kind, None, limit, t.now).await.unwrap();
        assert_eq!(found.len(), limit.min(keys.len()), "a limit of {limit}");
    }
}

/// `scan` goes on behind a key that has been deleted since, without losing or repeating a record.
pub async fn scan_goes_on_behind_a_deleted_key(store: &dyn TestStore) {
    let (t, keys) = filled(store).await;
    let order = pages(&t, 1000).await;
    let middle = order.len() / 2;
    let gone = Fixture { scope: order[middle].scope.clone(), ..t };
    gone.write([delete(order[middle].clone(), Expect::Any)]).await;
    let rest = store.scan(t.kind, Some(&order[middle]), keys.len(), t.now).await.unwrap();
    let rest: Vec<_> = rest.into_iter().map(|record| record.key).collect();
    assert_eq!(rest, order[middle + 1..], "the records behind the deleted one");
}

/// `scan` gives the records as `get` does: key, version, body and expiry.
pub async fn scan_gives_whole_records(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let end = t.later(1234);
    let version = t.write([expiring(put(t.key("id"), Expect::Any, "body"), end)]).await;
    let found = store.scan(t.kind, None, 10, t.now).await.unwrap();
    assert_eq!(found, [Record::new(t.key("id"), version, b"body".to_vec(), Some(end))]);
}

/// Records of one kind in four scopes, and their keys in order.
async fn filled(store: &dyn TestStore) -> (Fixture<'_>, Vec<Key>) {
    let t = Fixture::new(store);
    let system = Fixture { scope: audit_model::Scope::System, ..t.in_new_scope() };
    let mut keys = Vec::new();
    for scope in [&t, &t.in_new_scope(), &system, &t.in_new_scope()] {
        let own = [&b""[..], b"\0", b"a", b"a\xff", b"\xff"].map(|id| scope.key(id));
        scope.write(own.iter().map(|key| put(key.clone(), Expect::Absent, "body"))).await;
        keys.extend(own);
    }
    keys.sort();
    (t, keys)
}

/// The keys that a scan in pages of `size` gives.
async fn pages(t: &Fixture<'_>, size: usize) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    loop {
        let page = t.store.scan(t.kind, keys.last(), size, t.now).await.unwrap();
        if page.is_empty() {
            return keys;
        }
        keys.extend(page.into_iter().map(|record| record.key));
        assert!(keys.len() <= 1000, "the scan ends");
    }
}
