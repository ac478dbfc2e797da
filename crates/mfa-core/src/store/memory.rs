//! The store in memory: the reference that the conformance suite is written against.

use core::fmt;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Event, EventId, Order, Position, Query, Scope, StoredEvent, Timestamp,
};

use super::{Commit, Committed, Key, Record, RecordKind, Store, StoreError, Version, Write};

/// Keeps everything in this process's memory; gone when it ends.
///
/// For tests and trials. One lock, held for the length of a call and never across a wait.
///
/// ```
/// use mfa_core::{MemoryStore, Store};
/// # futures::executor::block_on(async {
/// use mfa_core::{Commit, Committed, Expect, Key, RecordKind, Scope, Timestamp, Version, Write};
/// let store = MemoryStore::new();
/// let key = Key::new(Scope::System, RecordKind::new("note"), *b"1");
/// let mut commit = Commit::new(Scope::System, Version::from_bytes([1; 16]), Timestamp::MIN);
/// let put = Write::Put { key, expect: Expect::Absent, body: b"hello".to_vec(), expires_at: None };
/// commit.writes.push(put);
/// assert_eq!(store.commit(commit.clone()).await.unwrap(), Committed::Done);
/// // The same again finds the record present and writes nothing.
/// assert!(matches!(store.commit(commit).await.unwrap(), Committed::Conflict(_)));
/// # });
/// ```
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    records: BTreeMap<Key, Stored>,
    events: BTreeMap<(Scope, Position), Event>,
    /// Where each event is.
    places: BTreeMap<(Scope, EventId), Timestamp>,
}

#[derive(Debug)]
struct Stored {
    version: Version,
    body: Vec<u8>,
    expires_at: Option<Timestamp>,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic cannot leave a commit half done: checks come first, and the writes themselves do not fail.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        let (records, events) = (state.records.len(), state.events.len());
        f.debug_struct("MemoryStore").field("records", &records).field("events", &events).finish()
    }
}

impl Stored {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    fn to_record(&self, key: &Key) -> Record {
        Record::new(key.clone(), self.version, self.body.clone(), self.expires_at)
    }
}

impl State {
    fn live(&self, key: &Key, now: Timestamp) -> Option<&Stored> {
        self.records.get(key).filter(|stored| stored.is_live(now))
    }

    /// Lists live records from a bound on, while `wanted` holds.
    fn range(
        &self,
        from: Bound<&Key>,
        now: Timestamp,
        wanted: impl Fn(&Key) -> bool,
    ) -> impl Iterator<Item = Record> {
        let range = self.records.range((from, Bound::Unbounded)).take_while(move |(key, _)| wanted(key));
        range.filter(move |(_, stored)| stored.is_live(now)).map(|(key, stored)| stored.to_record(key))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let state = self.lock();
        Ok(keys.iter().map(|key| state.live(key, now).map(|stored| stored.to_record(key))).collect())
    }

    async fn list(
        &self,
        scope: &Scope,
        kind: RecordKind,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let start = Key::new(scope.clone(), kind, after.filter(|after| *after > prefix).unwrap_or(prefix));
        let from = if after.is_some_and(|after| after >= prefix) {
            Bound::Excluded(&start)
        } else {
            Bound::Included(&start)
        };
        let wanted = |key: &Key| key.scope == *scope && key.kind == kind && key.id.starts_with(prefix);
        Ok(self.lock().range(from, now, wanted).take(limit).collect())
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        Ok(self
            .lock()
            .range(from, now, |_| true)
            .filter(|record| record.key.kind == kind)
            .take(limit)
            .collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check()?;
        let mut state = self.lock();
        for write in &commit.writes {
            let current = state.live(write.key(), commit.now).map(|stored| stored.version);
            if !write.expect().holds(current) {
                return Ok(Committed::Conflict(write.key().clone()));
            }
        }
        if let Some(user) = &commit.erase {
            let first =
                (commit.scope.clone(), Position::new(Timestamp::MIN, EventId::new(Timestamp::MIN, [0; 16])));
            let of_scope =
                state.events.range_mut(first..).take_while(|((scope, _), _)| *scope == commit.scope);
            for (_, event) in of_scope.filter(|(_, event)| event.user() == Some(user)) {
                *event = erased(event)?;
            }
        }
        for write in commit.writes {
            match write {
                Write::Put { key, body, expires_at, .. } => {
                    state.records.insert(key, Stored { version: commit.version, body, expires_at });
                }
                Write::Delete { key, .. } => {
                    state.records.remove(&key);
                }
                Write::Check { .. } => {}
            }
        }
        for event in commit.events {
            let (at, id) = (event.at(), event.id());
            if let Entry::Vacant(place) = state.places.entry((commit.scope.clone(), id)) {
                place.insert(at);
                state.events.insert((commit.scope.clone(), Position::new(at, id)), event);
            }
        }
        Ok(Committed::Done)
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let expired =
            state.records.iter().filter(|(_, stored)| stored.expires_at.is_some_and(|at| at < before));
        let keys: Vec<_> = expired.map(|(key, _)| key.clone()).take(limit).collect();
        for key in &keys {
            state.records.remove(key);
        }
        Ok(u64::try_from(keys.len()).unwrap_or(u64::MAX))
    }
}

#[async_trait]
impl AuditLog for MemoryStore {
    async fn query(&self, query: &Query, after: Option<Position>) -> Result<Vec<Event>, AuditError> {
        let first_id = EventId::new(Timestamp::MIN, [0; 16]);
        let start = Position::new(query.from.unwrap_or(Timestamp::MIN), first_id);
        let end = Position::new(query.to.unwrap_or(Timestamp::MAX), EventId::new(Timestamp::MAX, [0xff; 16]));
        let (mut low, mut high) = (Bound::Included(start), Bound::Included(end));
        match (query.order, after) {
            (Order::Ascending, Some(after)) if after >= start => low = Bound::Excluded(after),
            (Order::Descending, Some(after)) if after <= end => high = Bound::Excluded(after),
            _ => {}
        }
        if let (Bound::Excluded(a) | Bound::Included(a), Bound::Excluded(b) | Bound::Included(b)) =
            (low, high)
            && a >= b
        {
            return Ok(Vec::new());
        }
        let in_scope = |bound: Bound<Position>| bound.map(|position| (query.scope.clone(), position));
        let state = self.lock();
        let range = state.events.range((in_scope(low), in_scope(high))).map(|(_, event)| event);
        let matching = |event: &&Event| query.matches(event);
        Ok(match query.order {
            Order::Ascending => range.filter(matching).take(query.limit).cloned().collect(),
            _ => range.rev().filter(matching).take(query.limit).cloned().collect(),
        })
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        let state = self.lock();
        let place = state.places.get(&(scope.clone(), id)).map(|at| (scope.clone(), Position::new(*at, id)));
        Ok(place.and_then(|place| state.events.get(&place)).cloned())
    }
}

fn erased(event: &Event) -> Result<Event, StoreError> {
    let unreadable = |_| StoreError::Corrupt("an event");
    let stored = event.to_stored().map_err(unreadable)?;
    Event::from_stored(&StoredEvent::new(stored.core, None, stored.hash)).map_err(unreadable)
}
