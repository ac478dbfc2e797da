//! Copies of a store: a setting is made once, and each trial has its own.

use mfa::{Commit, Expect, Record, Scope, Store, Timestamp, Write};

use crate::attack::KINDS;

/// Copies every record of `store` into `copy`, under the versions they have. Events stay behind.
///
/// # Panics
/// If a store fails.
pub async fn copy_into<C: Store>(copy: C, store: &dyn Store, now: Timestamp) -> C {
    for kind in KINDS {
        for Record { key, version, body, expires_at, .. } in all(store, kind.as_str(), now).await {
            assert_ne!(key.scope, Scope::System);
            let mut commit = Commit::new(key.scope.clone(), version, now);
            commit.writes.push(Write::Put { key, expect: Expect::Absent, body, expires_at });
            let _ = copy.commit(commit).await.expect("a commit");
        }
    }
    copy
}

/// Returns every record of a kind.
///
/// # Panics
/// If the store fails.
pub async fn all(store: &dyn Store, kind: &'static str, now: Timestamp) -> Vec<Record> {
    store.scan(mfa::RecordKind::new(kind), None, 10_000, now).await.expect("a scan")
}
