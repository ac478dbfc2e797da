//! Compare-and-swap: what each expectation needs, and what happens where it does not hold.

use mfa_core::{Expect, Key, Version, Write};

use super::TestStore;
use super::fixture::{Fixture, check, delete, new_version, put};

/// A put that expects absence happens where no record is, also where one was deleted, and conflicts where
/// one is.
pub async fn put_expecting_absence_needs_it(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.write([put(t.key("id"), Expect::Absent, "first")]).await;
    conflicts(&t, put(t.key("id"), Expect::Absent, "second")).await;
    assert_eq!(t.body("id").await.as_deref(), Some("first"));
    t.write([delete(t.key("id"), Expect::Any)]).await;
    t.write([put(t.key("id"), Expect::Absent, "third")]).await;
    assert_eq!(t.body("id").await.as_deref(), Some("third"));
}

/// A put that expects a version happens where the record has it, and conflicts where it has another, an
/// earlier one included, and where there is none.
pub async fn put_expecting_a_version_needs_it(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let write = |version| put(t.key("id"), Expect::Version(version), "swapped");
    conflicts(&t, write(new_version())).await;
    assert_eq!(t.get("id").await, None, "a conflict creates nothing");
    let first = t.put("id", "first").await;
    for wrong in neighbours(first) {
        conflicts(&t, write(wrong)).await;
    }
    assert_eq!(t.body("id").await.as_deref(), Some("first"));
    t.write([write(first)]).await;
    assert_eq!(t.body("id").await.as_deref(), Some("swapped"));
    conflicts(&t, put(t.key("id"), Expect::Version(first), "late")).await;
    assert_eq!(t.body("id").await.as_deref(), Some("swapped"));
}

/// A put that expects nothing happens where a record is and where none is.
pub async fn put_expecting_anything_always_happens(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for body in ["where none is", "where one is"] {
        t.write([put(t.key("id"), Expect::Any, body)]).await;
        assert_eq!(t.body("id").await.as_deref(), Some(body));
    }
}

/// A delete that expects absence is done where no record is, and conflicts where one is.
pub async fn delete_expecting_absence_needs_it(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.write([delete(t.key("id"), Expect::Absent)]).await;
    t.put("id", "stays").await;
    conflicts(&t, delete(t.key("id"), Expect::Absent)).await;
    assert_eq!(t.body("id").await.as_deref(), Some("stays"));
}

/// A delete that expects a version happens where the record has it, and conflicts where it has another
/// and where there is none.
pub async fn delete_expecting_a_version_needs_it(store: &dyn TestStore) {
    let t = Fixture::new(store);
    conflicts(&t, delete(t.key("id"), Expect::Version(new_version()))).await;
    let version = t.put("id", "stays").await;
    for wrong in neighbours(version) {
        conflicts(&t, delete(t.key("id"), Expect::Version(wrong))).await;
    }
    assert_eq!(t.body("id").await.as_deref(), Some("stays"));
    t.write([delete(t.key("id"), Expect::Version(version))]).await;
    assert_eq!(t.get("id").await, None);
    conflicts(&t, delete(t.key("id"), Expect::Version(version))).await;
}

/// A delete that expects nothing is done where a record is and where none is; afterwards none is.
pub async fn delete_expecting_anything_always_happens(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.put("id", "goes").await;
    for _ in 0..2 {
        t.write([delete(t.key("id"), Expect::Any)]).await;
        assert_eq!(t.get("id").await, None);
    }
}

/// A check holds where the record has its version, conflicts where it has another and where there is
/// none, and leaves the record as it is.
pub async fn check_needs_its_version_and_changes_nothing(store: &dyn TestStore) {
    let t = Fixture::new(store);
    conflicts(&t, check(t.key("id"), new_version())).await;
    assert_eq!(t.get("id").await, None, "a check creates nothing");
    let version = t.put_until("id", t.later(1000)).await;
    let before = t.get("id").await;
    t.write([check(t.key("id"), version)]).await;
    for wrong in neighbours(version) {
        conflicts(&t, check(t.key("id"), wrong)).await;
    }
    assert_eq!(t.get("id").await, before, "a check changes neither body, version nor expiry");
}

/// Versions that differ from `version` at one end only, and one that has nothing of it.
fn neighbours(version: Version) -> [Version; 3] {
    let [mut first, mut last] = [version.to_bytes(); 2];
    first[0] ^= 0x80;
    last[15] ^= 1;
    [Version::from_bytes(first), Version::from_bytes(last), new_version()]
}

async fn conflicts(t: &Fixture<'_>, write: Write) {
    let key: Key = write.key().clone();
    assert_eq!(t.conflict(t.commit([write])).await, key, "the conflict names the key");
}
