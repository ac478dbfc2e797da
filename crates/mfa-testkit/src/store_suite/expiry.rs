//! Expiry, judged by the caller's time alone.

use mfa_core::{Expect, Record, Write};

use super::TestStore;
use super::fixture::{Fixture, check, delete, expiring, ids, put};

/// `get` gives `None` for a record that is expired at its `now`, and the live ones beside it.
pub async fn get_hides_the_expired(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.put("live", "body").await;
    t.put_until("expired", t.later(10)).await;
    let keys = ["expired", "live"].map(|id| t.key(id));
    let answer = store.get(&keys, t.later(5000)).await.unwrap();
    let there: Vec<_> = answer.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true], "the expired record reads as absent");
}

/// `list` leaves out what is expired at its `now`, and its limit counts live records only.
pub async fn list_hides_the_expired(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for id in ["a", "c"] {
        t.put_until(id, t.later(10)).await;
    }
    for id in ["b", "d", "e"] {
        t.put(id, "body").await;
    }
    let now = t.later(5000);
    assert_eq!(t.ids_at(now).await, [b"b", b"d", b"e"], "only live records are listed");
    let two = store.list(&t.scope, t.kind, b"", None, 2, now).await.unwrap();
    assert_eq!(ids(&two), [b"b", b"d"], "expired records do not use up the limit");
}

/// `scan` leaves out what is expired at its `now`, and its limit counts live records only.
pub async fn scan_hides_the_expired(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for id in ["a", "c"] {
        t.put_until(id, t.later(10)).await;
    }
    for id in ["b", "d"] {
        t.put(id, "body").await;
    }
    for limit in [2, 100] {
        let mut found = ids(&store.scan(t.kind, None, limit, t.later(5000)).await.unwrap());
        found.sort();
        assert_eq!(found, [b"b", b"d"], "only live records, with a limit of {limit}");
    }
}

/// At `expires_at` a record is expired, one millisecond before it is live: for `get`, `list`, `scan` and
/// for what a commit expects.
pub async fn a_record_expires_at_its_millisecond(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let end = t.later(10);
    let version = t.put_until("id", end).await;
    for (now, live) in [(t.later(9), true), (end, false), (t.later(11), false)] {
        assert_eq!(t.get_at("id", now).await.is_some(), live, "get at {now}");
        assert_eq!(!t.ids_at(now).await.is_empty(), live, "list at {now}");
        let scanned = store.scan(t.kind, None, 10, now).await.unwrap();
        assert_eq!(!scanned.is_empty(), live, "scan at {now}");
        assert_eq!(holds_at(&t, check(t.key("id"), version), now).await, live, "check at {now}");
        let absent = delete(t.key("other"), Expect::Absent);
        assert!(holds_at(&t, absent, now).await, "absence of another record at {now}");
    }
    assert!(!holds_at(&t, put(t.key("id"), Expect::Absent, "new"), t.later(9)).await, "still there");
    assert!(holds_at(&t, put(t.key("id"), Expect::Absent, "new"), end).await, "no longer there");
}

/// A record that is expired at the commit's `now` counts as absent: a put or a delete that expects absence
/// happens.
pub async fn the_expired_counts_as_absent(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let end = t.later(10);
    t.put_until("put", end).await;
    t.put_until("deleted", end).await;
    let mut commit =
        t.commit([put(t.key("put"), Expect::Absent, "new"), delete(t.key("deleted"), Expect::Absent)]);
    commit.now = t.later(5000);
    let wanted = Record::new(t.key("put"), commit.version, b"new".to_vec(), None);
    t.done(commit).await;
    assert_eq!(t.get_at("put", t.later(5000)).await, Some(wanted));
    assert_eq!(t.get_at("deleted", t.now).await, None, "deleted for good");
}

/// A record that is expired at the commit's `now` has no version: a put, a delete and a check that expect
/// it conflict.
pub async fn the_expired_has_no_version(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let version = t.put_until("id", t.later(10)).await;
    let (key, expect) = (|| t.key("id"), Expect::Version(version));
    for write in [put(key(), expect, "new"), delete(key(), expect), check(key(), version)] {
        let what = format!("{write:?}");
        assert!(!holds_at(&t, write, t.later(5000)).await, "conflicts: {what}");
    }
    assert_eq!(t.get("id").await.map(|r| r.version), Some(version), "and changes nothing");
}

/// The store has no time of its own: after reads, a scan and a commit at a late `now`, a call at an early
/// `now` sees a record that was expired for them.
pub async fn time_is_the_callers(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let version = t.put_until("id", t.later(10)).await;
    let late = t.later(5_000_000);
    assert_eq!(t.get_at("id", late).await, None);
    assert!(t.ids_at(late).await.is_empty());
    assert!(store.scan(t.kind, None, 10, late).await.unwrap().is_empty());
    let late_commit = expiring(put(t.key("other"), Expect::Any, "body"), t.later(9_000_000));
    assert!(holds_at(&t, late_commit, late).await);
    assert_eq!(t.get("id").await.map(|r| r.version), Some(version), "live at the earlier time");
    assert_eq!(t.ids_at(t.now).await, [&b"id"[..], b"other"], "listed at the earlier time");
    assert!(holds_at(&t, check(t.key("id"), version), t.now).await, "checked at the earlier time");
    // A time long before anything was written is as good as any other.
    assert_eq!(t.get_at("id", t.earlier(u64::from(u32::MAX))).await.map(|r| r.version), Some(version));
}

/// Commits one write at `now` and returns whether it happened.
async fn holds_at(t: &Fixture<'_>, write: Write, now: audit_model::Timestamp) -> bool {
    let mut commit = t.commit([write]);
    commit.now = now;
    let answer = t.store.commit(commit).await.expect("the commit is answered");
    answer == mfa_core::Committed::Done
}
