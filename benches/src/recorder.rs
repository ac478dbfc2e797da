//! A store that keeps a copy of every commit, so that a bare loop can write the same rows.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{Commit, Committed, Store, StoreError};
use mfa_testkit::layer::{Layer, Layered};

/// A store whose commits are kept.
pub type Recorder<S> = Layered<S, Commits>;

/// The commits of a store.
#[derive(Debug, Default)]
pub struct Commits(Mutex<Vec<Commit>>);

impl Commits {
    /// Takes the commits since the last call.
    pub fn take(&self) -> Vec<Commit> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl Layer for Commits {
    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        let copy = commit.clone();
        let committed = store.commit(commit).await?;
        if committed == Committed::Done {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
        }
        Ok(committed)
    }
}
