//! The driver: load, decide, commit, act — the same loop in every call.
//!
//! Nothing is revealed before the commit that charges it. A lost race loads and decides again; a commit whose
//! outcome is unknown is recognised by the version it wrote, or the step is answered as not judged.

mod patience;
mod records;

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::Arc;

use async_lock::Mutex;
use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};

use crate::entropy::CheckedEntropy;
use crate::observe::Rounds;
use crate::plan::{Changes, Plan};
use crate::record::prefix::Texted;
use crate::{Committed, Draw, Error, Key, KeyRing, Record, Runtime, Store, StoreError, Version};

pub(crate) use patience::Patience;
pub(crate) use records::{Read, Records};

const STRIPES: usize = 1024;

/// Runs decisions against a store.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) ring: KeyRing,
    pub(crate) entropy: CheckedEntropy,
    pub(crate) runtime: Arc<dyn Runtime>,
    stripes: Vec<Mutex<()>>,
    hasher: RandomState,
}

/// Whose step it is and what it reads.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    pub(crate) keys: Vec<Key>,
}

/// What a decision says: what to write, and what to answer once it is written.
#[derive(Debug)]
pub(crate) struct Decision<T> {
    pub(crate) plan: Plan,
    pub(crate) value: T,
}

impl<T> Decision<T> {
    /// Writes nothing.
    pub(crate) fn only(value: T) -> Self {
        Self { plan: Plan::default(), value }
    }
}

/// A decision after its commit.
#[derive(Debug)]
pub(crate) struct Settled<T> {
    pub(crate) value: T,
    pub(crate) receipt: Receipt,
    /// The text message that was answered, if one was.
    pub(crate) answered: Option<Texted>,
    /// The records as they are after the commit: the next decision of the same step needs no read.
    pub(crate) records: Records,
}

/// Proof that a decision's commit is durable, or that it had nothing to write. Only this module makes one.
#[derive(Debug)]
pub(crate) struct Receipt(());

impl Driver {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        ring: KeyRing,
        entropy: CheckedEntropy,
        runtime: Arc<dyn Runtime>,
    ) -> Self {
        let stripes = (0..STRIPES).map(|_| Mutex::new(())).collect();
        Self { store, ring, entropy, runtime, stripes, hasher: RandomState::new() }
    }

    /// Loads, decides and commits until a commit holds. `known` saves the first read.
    pub(crate) async fn run<T: Send>(
        &self,
        turn: &Turn,
        known: Option<Records>,
        decide: impl FnMut(&Records, Timestamp, &mut Draw) -> Result<Decision<T>, Error> + Send,
    ) -> Result<Settled<T>, Error> {
        let scope = Scope::Account(turn.account.clone());
        self.run_in(&scope, Some(&turn.user), &turn.keys, known, decide).await
    }

    /// The same for what is of no user, or of no account.
    pub(crate) async fn run_in<T: Send>(
        &self,
        scope: &Scope,
        user: Option<&UserId>,
        keys: &[Key],
        known: Option<Records>,
        mut decide: impl FnMut(&Records, Timestamp, &mut Draw) -> Result<Decision<T>, Error> + Send,
    ) -> Result<Settled<T>, Error> {
        let mut patience = Patience::new(&*self.runtime);
        let stripe = self.stripe((scope.as_str(), user));
        let _one_round_per_user = patience.bound(stripe.lock()).await.ok_or(Error::Contention)?;
        let mut known = known;
        let mut rounds = Rounds::of_current_span();
        loop {
            rounds.begin();
            let now = self.runtime.now();
            let mut records = match known.take() {
                Some(records) => records,
                None => rounds.store(self.load(keys, now)).await?,
            };
            let mut draw = self.entropy.draw();
            let Decision { mut plan, value } = match decide(&records, now, &mut draw) {
                Ok(decision) => decision,
                Err(error) => {
                    return Err(Box::pin(self.tell_refused(scope, user, &records, now, error)).await);
                }
            };
            if plan.is_empty() {
                return Ok(Settled { value, receipt: Receipt(()), answered: None, records });
            }
            let answered = plan.take_answered();
            let version = Version::from_bytes(draw.version()?);
            let (commit, changes) = plan.seal(&self.ring, scope.clone(), version, now, &mut draw)?;
            // Events alone are the same however often they are written: an unknown outcome is made a known one.
            let again = (changes.is_empty() && commit.erase.is_none()).then(|| commit.clone());
            match rounds.store(self.store().commit(commit)).await {
                Ok(Committed::Done) => {}
                Ok(Committed::Conflict(_)) => {
                    rounds.lost();
                    let spread = u16::from_be_bytes(draw.take()?);
                    patience.pause(spread).await?;
                    continue;
                }
                Err(StoreError::Unknown(_)) if self.recognises(&changes, version, now).await? => {}
                Err(error @ StoreError::Unknown(_)) => {
                    let Some(commit) = again else { return Err(error.into()) };
                    if self.store().commit(commit).await? != Committed::Done {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            records.apply(changes, version);
            return Ok(Settled { value, receipt: Receipt(()), answered, records });
        }
    }

    /// Commits a plan as it is, once: whoever loses a race decides again.
    pub(crate) async fn commit_once(
        &self,
        scope: Scope,
        plan: Plan,
        now: Timestamp,
    ) -> Result<Committed, Error> {
        let mut draw = self.entropy.draw();
        let version = Version::from_bytes(draw.version()?);
        let (commit, _) = plan.seal(&self.ring, scope, version, now, &mut draw)?;
        Ok(self.store().commit(commit).await?)
    }

    /// Writes an event down that goes with no change.
    pub(crate) async fn say(&self, scope: Scope, event: EventBuilder, now: Timestamp) -> Result<(), Error> {
        let mut plan = Plan::default();
        plan.events([event]);
        self.write_down(scope, plan, now).await
    }

    /// Commits a plan that nothing is in the way of.
    async fn write_down(&self, scope: Scope, plan: Plan, now: Timestamp) -> Result<(), Error> {
        match self.commit_once(scope, plan, now).await? {
            Committed::Done => Ok(()),
            Committed::Conflict(_) => Err(Error::Contention),
        }
    }

    /// Returns no records, for a step that reads none.
    pub(crate) fn none(&self) -> Records {
        Records::of(&self.ring, &[], Vec::new())
    }

    /// Reads records. That they are authentic is checked where one is used.
    pub(crate) async fn load(&self, keys: &[Key], now: Timestamp) -> Result<Records, Error> {
        let found = self.store().get(keys, now).await?;
        Ok(Records::of(&self.ring, keys, found))
    }

    /// Writes down, once a record and minute, that a record of a step that failed cannot be trusted. Returns the
    /// step's own error.
    async fn tell_refused(
        &self,
        scope: &Scope,
        user: Option<&UserId>,
        records: &Records,
        now: Timestamp,
        error: Error,
    ) -> Error {
        let minute = (now.unix_seconds() / 60).to_be_bytes();
        let mut plan = Plan::default();
        for (key, problem) in records.refused() {
            let kind = key.kind.as_str();
            let event = EventBuilder::new(scope.clone(), Kind::RecordRefused, Outcome::Failure, now);
            let event = user.iter().fold(event, |event, user| event.user((*user).clone()));
            let event = event.field("record", kind).field("problem", problem);
            plan.merged_event(event, crate::codec::tuple(&[&key.encode(), &minute]));
        }
        if plan.is_empty() {
            return error;
        }
        // What cannot be written down is not answered as if it were.
        self.write_down(scope.clone(), plan, now).await.err().unwrap_or(error)
    }

    /// Returns whether a commit of unknown outcome is there: every record it puts carries its version.
    async fn recognises(&self, changes: &Changes, version: Version, now: Timestamp) -> Result<bool, Error> {
        let put = changes.iter().filter(|(_, after)| after.is_some());
        let puts: Vec<_> = put.map(|(key, _)| key.clone()).collect();
        let found = self.store().get(&puts, now).await?;
        let ours = |record: &Option<Record>| record.as_ref().is_some_and(|r| r.version == version);
        Ok(!puts.is_empty() && found.iter().all(ours))
    }

    /// Returns the store itself: a call through the pointer would box its future twice.
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Waits until every round that runs in this process now has ended: what they began with is used no more.
    pub(crate) async fn settle(&self) {
        for stripe in &self.stripes {
            drop(stripe.lock().await);
        }
    }

    /// Returns the lock of whatever only one round in this process may work on at a time.
    pub(crate) fn stripe(&self, whose: impl Hash) -> &Mutex<()> {
        let hash = self.hasher.hash_one(whose);
        let index = usize::try_from(hash).unwrap_or(usize::MAX).checked_rem(self.stripes.len()).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "invariant: the index is below the number of stripes")]
        &self.stripes[index]
    }
}
