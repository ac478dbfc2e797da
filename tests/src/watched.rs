//! A store that remembers which records were ever put.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{Commit, Committed, Key, Scope, Store, StoreError, Write};
use mfa_testkit::layer::{Layer, Layered};

use crate::TestStore;

/// Remembers the keys of all records that were ever put.
#[derive(Debug, Default)]
pub struct Puts(Mutex<BTreeSet<Key>>);

/// A store whose puts are remembered.
pub type Watched = Layered<Arc<dyn TestStore>, Puts>;

/// Watches `store`.
#[must_use]
pub fn watched(store: &Arc<dyn TestStore>) -> Watched {
    Layered::over(Arc::clone(store), Puts::default())
}

impl Puts {
    /// Returns the keys of all records of accounts that were ever put.
    #[must_use]
    pub fn ever_put(&self) -> Vec<Key> {
        let put = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        put.iter().filter(|key| matches!(key.scope, Scope::Account(_))).cloned().collect()
    }
}

#[async_trait]
impl Layer for Puts {
    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        let puts = commit.writes.iter().filter(|write| matches!(write, Write::Put { .. }));
        let keys: Vec<Key> = puts.map(|write| write.key().clone()).collect();
        let answer = store.commit(commit).await;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
        answer
    }
}
