//! Checkpoints over the events in memory, and the dropping of old ones.

use async_trait::async_trait;
use audit_model::{
    AuditError, Checkpoint, CheckpointKey, Checkpoints, Dropped, Leaf, Position, Retain, Retention, Scope,
    Timestamp,
};

use super::{MemoryStore, State};

/// The order of the commits, and what fixes it.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What stands at each place, in the order of the commits.
    places: Vec<Place>,
    /// The log's id; drawn for the first checkpoint.
    log: Option<[u8; 16]>,
    checkpoints: Vec<Checkpoint>,
}

/// Where an event is, or what stays of it.
#[derive(Debug)]
enum Place {
    Event(Scope, Position),
    Dropped(Box<Dropped>),
}

impl Ledger {
    /// Gives the next place to a new event.
    pub(super) fn append(&mut self, scope: Scope, position: Position) {
        self.places.push(Place::Event(scope, position));
    }

    fn behind(&self, place: u64) -> impl Iterator<Item = (u64, &Place)> {
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
        let hashes: Option<Vec<_>> = waiting.take(most).map(|(_, place)| self.hash_at(place)).collect();
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

impl State {
    fn hash_at(&self, place: &Place) -> Option<[u8; 32]> {
        match place {
            Place::Event(scope, at) => self.event(scope, *at).map(|event| *event.hash()),
            Place::Dropped(dropped) => Some(dropped.hash),
        }
    }

    fn drop_events(&mut self, order: &Retention, key: &CheckpointKey) -> Result<u64, AuditError> {
        let told = self.shelves.get(order.told_in()).and_then(|shelf| {
            let at = shelf.times.get(&order.id()).copied()?;
            shelf.events.get(&Position::new(at, order.id()))
        });
        if let Some(told) = told {
            return Retention::count_of(told).ok_or(DAMAGED);
        }
        let Some(last) = self.ledger.checkpoints.last() else { return Ok(0) };
        if !last.is_authentic(key) {
            return Err(AuditError::Corrupt("the last checkpoint is of another key"));
        }
        let taken = self.taken(order, last.total);
        if taken.is_empty() {
            return Ok(0);
        }
        let told = order.event(taken.len())?;
        for (place, scope, at) in &taken {
            let Some(shelf) = self.shelves.get_mut(scope) else { continue };
            let Some(event) = shelf.events.remove(at) else { continue };
            shelf.times.remove(&at.id);
            let dropped = Dropped::of(&event, *place, &told, key);
            let index = usize::try_from(place.saturating_sub(1)).unwrap_or(usize::MAX);
            if let Some(place) = self.ledger.places.get_mut(index) {
                *place = Place::Dropped(Box::new(dropped));
            }
        }
        let (scope, at) = (order.told_in().clone(), Position::new(told.at(), told.id()));
        self.ledger.append(scope.clone(), at);
        let shelf = self.shelves.entry(scope).or_default();
        shelf.times.insert(at.id, at.at);
        shelf.events.insert(at, told);
        Ok(u64::try_from(taken.len()).unwrap_or(u64::MAX))
    }

    /// Names what the order takes of the places up to `covered`, the oldest of each scope first.
    fn taken(&self, order: &Retention, covered: u64) -> Vec<(u64, Scope, Position)> {
        let covered = self.ledger.behind(0).take_while(|(place, _)| *place <= covered);
        let mut taken: Vec<_> = covered
            .filter_map(|(place, what)| match what {
                Place::Event(scope, at) if self.event(scope, *at).is_some_and(|e| order.takes(e)) => {
                    Some((place, scope.clone(), *at))
                }
                _ => None,
            })
            .collect();
        taken.sort_by(|(_, scope, at), (_, other, other_at)| {
            (scope.as_str(), at).cmp(&(other.as_str(), other_at))
        });
        taken.truncate(Retention::MAX_EVENTS);
        taken
    }
}

const DAMAGED: AuditError = AuditError::Corrupt("an event that tells of dropped ones");

#[async_trait]
impl Retain for MemoryStore {
    async fn retain(&self, retention: &Retention, key: &CheckpointKey) -> Result<u64, AuditError> {
        self.lock().drop_events(retention, key)
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
        let leaf = |(place, what): (u64, &Place)| match what {
            Place::Event(scope, at) => {
                let event = state.event(scope, *at).cloned();
                let is_findable = event.is_some();
                Leaf::new(place, event, is_findable)
            }
            Place::Dropped(dropped) => Leaf::of_dropped(place, **dropped),
        };
        Ok(state.ledger.behind(after).take(limit).map(leaf).collect())
    }
}

fn random() -> Result<[u8; 16], AuditError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| AuditError::Unavailable(Box::new(error)))?;
    Ok(bytes)
}
