//! Checkpoints over the events in memory.

use async_trait::async_trait;
use audit_model::{AuditError, Checkpoint, CheckpointKey, Checkpoints, Leaf, Position, Scope, Timestamp};

use super::{MemoryStore, State};

/// The order of the commits, and what fixes it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// Where each event is, in the order of the commits.
    places: Vec<(Scope, Position)>,
    /// The log's id; drawn for the first checkpoint.
    log: Option<[u8; 16]>,
    checkpoints: Vec<Checkpoint>,
}

impl Ledger {
    /// Gives the next place to a new event.
    pub(super) fn append(&mut self, scope: Scope, position: Position) {
        self.places.push((scope, position));
    }

    fn behind(&self, place: u64) -> impl Iterator<Item = (u64, &(Scope, Position))> {
        let skipped = usize::try_from(place).unwrap_or(usize::MAX);
        (1..).zip(&self.places).skip(skipped)
    }
}

impl State {
    /// Makes the checkpoint over the events behind the last one, at most as many as one may cover.
    fn fix(&mut self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        let last = self.ledger.checkpoints.last().copied();
        let waiting = self.ledger.behind(last.map_or(0, |last| last.total));
        let most = usize::try_from(Checkpoint::MAX_COUNT).unwrap_or(usize::MAX);
        let hashes: Option<Vec<_>> =
            waiting.take(most).map(|(_, (scope, at))| Some(*self.event(scope, *at)?.hash())).collect();
        let hashes = hashes.ok_or(AuditError::Corrupt("the places of the events"))?;
        let log = match self.ledger.log {
            Some(log) => log,
            None => *self.ledger.log.insert(random()?),
        };
        let nothing_new = hashes.is_empty();
        let made = Checkpoint::over(last.as_ref(), log, now, hashes, key)?;
        if let Some(last) = last.filter(|_| nothing_new) {
            return Ok(last);
        }
        self.ledger.checkpoints.push(made);
        Ok(made)
    }
}

#[async_trait]
impl Checkpoints for MemoryStore {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        let mut state = self.lock();
        let mut made = state.fix(key, now)?;
        while made.count == Checkpoint::MAX_COUNT {
            let next = state.fix(key, now)?;
            if next == made {
                break;
            }
            made = next;
        }
        Ok(made)
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        let state = self.lock();
        let skipped = usize::try_from(after).unwrap_or(usize::MAX);
        Ok(state.ledger.checkpoints.iter().skip(skipped).take(limit).copied().collect())
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        let state = self.lock();
        let leaf = |(place, (scope, at)): (u64, &(Scope, Position))| {
            let event = state.event(scope, *at).cloned();
            let is_findable = event.is_some();
            Leaf::new(place, event, is_findable)
        };
        Ok(state.ledger.behind(after).take(limit).map(leaf).collect())
    }
}

fn random() -> Result<[u8; 16], AuditError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AuditError::Unavailable(Box::new(error)))?;
    Ok(bytes)
}
