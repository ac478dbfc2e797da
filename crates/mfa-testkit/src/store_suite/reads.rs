//! Reading by key.

use std::sync::atomic::{AtomicUsize, Ordering};

use audit_model::Scope;
use mfa_core::{Expect, Key, Write};

use super::TestStore;
use super::fixture::{Fixture, delete, put};
use crate::race::race;

/// How many reads, and how many writes, meet each other at least.
const ROUNDS: usize = 100;

/// `get` gives one answer for each key, in the order of the keys, a repeated key included.
pub async fn get_answers_in_the_order_of_the_keys(store: &dyn TestStore) {
    let t = Fixture::new(store);
    for id in ["a", "b", "c"] {
        t.put(id, id).await;
    }
    let asked = ["c", "x", "a", "b", "a"];
    let keys = asked.map(|id| t.key(id));
    let answer = store.get(&keys, t.now).await.unwrap();
    let found: Vec<_> = answer.iter().map(|r| r.as_ref().map(|r| r.key.clone())).collect();
    let wanted: Vec<_> = keys.iter().map(|key| (*key.id != *b"x").then(|| key.clone())).collect();
    assert_eq!(found, wanted, "one answer per key, in order");
    assert!(store.get(&[], t.now).await.unwrap().is_empty(), "no keys, no answers");
}

/// A record that was never put, or was deleted, is `None`.
pub async fn get_gives_nothing_for_an_absent_record(store: &dyn TestStore) {
    let t = Fixture::new(store);
    assert_eq!(t.get("never").await, None);
    t.put("gone", "body").await;
    t.write([delete(t.key("gone"), Expect::Any)]).await;
    assert_eq!(t.get("gone").await, None, "a deleted record is absent");
}

/// One `get` reads records of several scopes, the engine's own among them, and does not mix them up.
pub async fn get_reads_several_scopes(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let system = Fixture { scope: Scope::System, ..t.in_new_scope() };
    let all = [t.in_new_scope(), system, t.in_new_scope(), t];
    for (i, t) in all.iter().enumerate() {
        t.put("same", &i.to_string()).await;
    }
    let keys = all.each_ref().map(|t| t.key("same"));
    let answer = store.get(&keys, all[0].now).await.unwrap();
    let bodies: Vec<_> = answer.into_iter().map(|r| r.expect("it was put").body).collect();
    assert_eq!(bodies, [b"0", b"1", b"2", b"3"], "each scope has its own record");
}

/// Records of one scope that a commit puts together are read together: no `get` sees half a commit.
pub async fn get_of_one_scope_sees_a_commit_whole(store: &dyn TestStore) {
    let t = Fixture::new(store);
    let keys = ["a", "b"].map(|id| t.key(id));
    t.write(writes(&keys, "first")).await;
    let (t, keys, done) = (&t, &keys, &[AtomicUsize::new(0), AtomicUsize::new(0)]);
    race(2, |i| async move {
        let own = Share(&done[i]);
        // Each goes on until the other has done its share too: so each read has had writes around it.
        while done.iter().any(|done| done.load(Ordering::SeqCst) < ROUNDS) {
            if i == 0 {
                t.write(writes(keys, "next")).await;
            } else {
                let read = t.store.get(keys, t.now).await.unwrap();
                let versions: Vec<_> = read.iter().flatten().map(|record| record.version).collect();
                assert_eq!(versions.len(), 2, "both records stay there");
                assert_eq!(versions[0], versions[1], "both records are of one commit");
            }
            own.0.fetch_add(1, Ordering::SeqCst);
        }
    });
}

/// What one side has done; all of it once it ends, so that a panic leaves nobody waiting.
struct Share<'a>(&'a AtomicUsize);

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.0.store(ROUNDS, Ordering::SeqCst);
    }
}

fn writes(keys: &[Key; 2], body: &str) -> [Write; 2] {
    keys.clone().map(|key| put(key, Expect::Any, body))
}
