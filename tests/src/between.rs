//! A store in whose calls something else happens: races that go the same way every time.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{Commit, Committed, Key, Record, Store, StoreError, Timestamp};
use mfa_testkit::layer::{Layer, Layered, Listing};

use crate::TestStore;

type Deed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where in a call of a node something else happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// After the node has listed records of this kind.
    Listed(&'static str),
    /// After it has read a record of this kind.
    Read(&'static str),
    /// After it has committed.
    Committed,
}

/// What happens in the middle of a call. Whoever uses the store waits at the chosen moment, once, until the deed is done.
#[derive(Default)]
pub struct Deeds {
    planned: Mutex<Option<(Moment, Deed)>>,
}

/// A store in whose calls something else happens.
pub type Between = Layered<Arc<dyn TestStore>, Deeds>;

/// Wraps `store`; nothing happens until it is planned.
#[must_use]
pub fn between(store: &Arc<dyn TestStore>) -> Between {
    Layered::over(Arc::clone(store), Deeds::default())
}

impl fmt::Debug for Deeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deeds").finish_non_exhaustive()
    }
}

impl Deeds {
    /// Does `deed` at the next such moment.
    pub fn plan(&self, moment: Moment, deed: impl Future<Output = ()> + Send + 'static) {
        *self.planned.lock().unwrap_or_else(PoisonError::into_inner) = Some((moment, Box::pin(deed)));
    }

    /// Returns whether what was planned has happened.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.planned.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    async fn pass(&self, is_now: impl Fn(Moment) -> bool + Send) {
        let deed = {
            let mut planned = self.planned.lock().unwrap_or_else(PoisonError::into_inner);
            planned.take_if(|(moment, _)| is_now(*moment))
        };
        if let Some((_, deed)) = deed {
            deed.await;
        }
    }
}

#[async_trait]
impl Layer for Deeds {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let records = store.get(keys, now).await;
        let kinds: Vec<_> = keys.iter().map(|key| key.kind.as_str()).collect();
        self.pass(|moment| matches!(moment, Moment::Read(kind) if kinds.contains(&kind))).await;
        records
    }

    async fn list(&self, store: &dyn Store, asked: Listing<'_>) -> Result<Vec<Record>, StoreError> {
        let records = asked.of(store).await;
        self.pass(|moment| moment == Moment::Listed(asked.kind.as_str())).await;
        records
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        let answer = store.commit(commit).await;
        self.pass(|moment| moment == Moment::Committed).await;
        answer
    }
}
