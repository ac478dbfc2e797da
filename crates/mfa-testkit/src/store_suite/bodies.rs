//! What a record holds.

use mfa_core::{Expect, MAX_BODY_BYTES, Record};

use super::TestStore;
use super::fixture::{Fixture, expiring, put, put_bytes};

/// Bodies are bytes: empty, with NUL, not UTF-8; each comes back as it was put.
pub async fn bodies_come_back_as_they_were_put(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [vec![], vec![0], b"ends in nul\0".to_vec(), vec![0xff, 0xfe], every_byte];
    for body in bodies {
        t.write([put_bytes(t.key("body"), Expect::Any, body.clone())]).await;
        assert_eq!(t.get("body").await.map(|r| r.body), Some(body), "the body that was put");
    }
}

/// A body of [`MAX_BODY_BYTES`] is stored whole.
pub async fn the_longest_body_fits(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let body: Vec<u8> = (0..=250).cycle().take(MAX_BODY_BYTES).collect();
    t.write([put_bytes(t.key("long"), Expect::Absent, body.clone())]).await;
    let read = t.get("long").await.expect("the record is there").body;
    assert!(read == body, "{} bytes were put, {} other bytes came back", body.len(), read.len());
}

/// Every record that a commit puts carries the version of that commit, and no other record does.
pub async fn a_record_carries_the_version_of_its_commit(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let other = t.put("other", "body").await;
    let writes = ["a", "b"].map(|id| put(t.key(id), Expect::Absent, "body"));
    let version = t.write(writes).await;
    for id in ["a", "b"] {
        assert_eq!(t.get(id).await.map(|r| r.version), Some(version), "the commit's version");
    }
    assert_eq!(t.get("other").await.map(|r| r.version), Some(other), "another commit's version");
}

/// A put over a record replaces its body, version and expiry; an expiry that is not given is none.
pub async fn a_second_put_replaces_everything(store: &dyn TestStore) {
    let t = Fixture::new(store);
    t.put_until("id", t.later(1000)).await;
    let version = t.put("id", "second").await;
    let wanted = Record::new(t.key("id"), version, b"second".to_vec(), None);
    assert_eq!(t.get("id").await, Some(wanted), "nothing of the first put is left");
    let version = t.put("id", "").await;
    let wanted = Record::new(t.key("id"), version, vec![], None);
    assert_eq!(t.get("id").await, Some(wanted), "an empty body replaces a longer one");
}

/// The expiry of a record comes back as it was put, to the millisecond.
pub async fn an_expiry_comes_back_to_the_millisecond(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for at in [t.later(1), t.later(999), t.later(86_400_001), audit_model::Timestamp::MAX] {
        t.write([expiring(put(t.key("id"), Expect::Any, "body"), at)]).await;
        assert_eq!(t.get("id").await.map(|r| r.expires_at), Some(Some(at)), "the expiry given");
    }
}
