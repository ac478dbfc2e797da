//! A memory store with one defect: what fixes its log.

use async_trait::async_trait;
use audit_model::{AuditError, Checkpoint, CheckpointKey, Checkpoints, Event, Leaf, Timestamp};

use crate::broken::{Broken, yield_often};
use crate::commit::without_personal;
use crate::mutant::Mutant;

#[async_trait]
impl Checkpoints for Broken {
    async fn checkpoint(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        match self.mutant {
            Mutant::CheckpointsIgnoreTheirKey => {
                self.inner.checkpoint(&CheckpointKey::from_bytes([7; 32]).unwrap(), now).await
            }
            Mutant::CheckpointsIgnoreTheirTime => self.inner.checkpoint(key, Timestamp::MIN).await,
            Mutant::NoCheckpointOfAnEmptyLog if self.inner.leaves(0, 1).await?.is_empty() => {
                Err(AuditError::Corrupt("an empty log"))
            }
            _ if self.fixes_itself() => self.fix(key, now).await,
            _ => self.inner.checkpoint(key, now).await,
        }
    }

    async fn checkpoints(&self, after: u64, limit: usize) -> Result<Vec<Checkpoint>, AuditError> {
        if self.fixes_itself() {
            let memory = self.memory();
            let behind = memory.checkpoints.iter().filter(|checkpoint| checkpoint.number > after);
            return Ok(behind.take(limit).copied().collect());
        }
        match self.mutant {
            Mutant::CheckpointsIncludeAfter => self.inner.checkpoints(after.saturating_sub(1), limit).await,
            Mutant::CheckpointsIgnoreTheirLimit => self.inner.checkpoints(after, usize::MAX).await,
            _ => self.inner.checkpoints(after, limit).await,
        }
    }

    async fn leaves(&self, after: u64, limit: usize) -> Result<Vec<Leaf>, AuditError> {
        let mut all = self.inner.leaves(0, usize::MAX).await?;
        match self.mutant {
            Mutant::LeavesIgnoreTheirLimit => return self.inner.leaves(after, usize::MAX).await,
            Mutant::LeavesIncludeAfter => return self.inner.leaves(after.saturating_sub(1), limit).await,
            Mutant::LeavesComeByTime => {
                all.sort_by_key(|leaf| event(leaf).at());
                all.iter_mut().zip(1..).for_each(|(leaf, place)| leaf.place = place);
            }
            Mutant::LeavesLoseTheirPersonalValues => {
                all.iter_mut().for_each(|leaf| leaf.event = leaf.event.as_ref().map(without_personal));
            }
            Mutant::StoresEventsTwice => all = self.repeated(all),
            Mutant::ErasureDeletesEvents => {
                let memory = self.memory();
                all.retain(|leaf| !memory.hidden.contains(&event(leaf).id()));
            }
            _ => {}
        }
        all.retain(|leaf| leaf.place > after);
        all.truncate(limit);
        Ok(all)
    }
}

impl Broken {
    /// Whether the defect is in how checkpoints are made, so that they are made and kept here.
    fn fixes_itself(&self) -> bool {
        use Mutant::*;
        let defects = [CheckpointsLeaveOutTheNewest, CheckpointsCoverTheWholeLog, CheckpointsForgetTheLast];
        defects.contains(&self.mutant)
            || [MakesEmptyCheckpoints, CheckpointsReadBeforeTheyWrite].contains(&self.mutant)
    }

    async fn fix(&self, key: &CheckpointKey, now: Timestamp) -> Result<Checkpoint, AuditError> {
        let last = self.memory().checkpoints.last().copied();
        let covered = match self.mutant {
            Mutant::CheckpointsCoverTheWholeLog => 0,
            _ => last.map_or(0, |last| last.total),
        };
        let mut leaves = self.inner.leaves(covered, usize::MAX).await?;
        match self.mutant {
            Mutant::CheckpointsLeaveOutTheNewest => drop(leaves.pop()),
            Mutant::CheckpointsReadBeforeTheyWrite => yield_often(),
            _ => {}
        }
        if let Some(last) = last
            && leaves.is_empty()
            && !self.is(Mutant::MakesEmptyCheckpoints)
        {
            return Ok(last);
        }
        let before = last.filter(|_| !self.is(Mutant::CheckpointsForgetTheLast));
        let hashes = leaves.iter().map(|leaf| *event(leaf).hash()).collect();
        let made = Checkpoint::over(before.as_ref(), [1; 16], now, hashes, key)?;
        self.memory().checkpoints.push(made);
        Ok(made)
    }

    /// A leaf for each time that an event was committed.
    fn repeated(&self, all: Vec<Leaf>) -> Vec<Leaf> {
        let memory = self.memory();
        let times = |leaf: &Leaf| memory.events.iter().filter(|known| known.id() == event(leaf).id()).count();
        let repeated = all.into_iter().flat_map(|leaf| vec![leaf.clone(); times(&leaf)]);
        let placed = repeated.zip(1..).map(|(leaf, place)| Leaf::new(place, leaf.event, leaf.is_findable));
        placed.collect()
    }
}

fn event(leaf: &Leaf) -> &Event {
    leaf.event.as_ref().unwrap()
}
