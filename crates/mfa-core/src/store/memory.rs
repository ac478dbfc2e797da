//! The store in memory: the reference that the conformance suite is written against.

mod checkpoints;

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Event, EventId, Order, Position, Query, Scope, StoredEvent, Timestamp,
};
use foldhash::HashMap;

use super::{Commit, Committed, Erase, Key, Record, RecordKind, Store, StoreError, Version, Write};

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
    records: Records,
    ledger: checkpoints::Ledger,
    shelves: BTreeMap<Scope, Shelf>,
}

/// The records, found by their keys and listed in the order of their ids.
#[derive(Debug, Default)]
struct Records {
    all: HashMap<Key, Stored>,
    ids: BTreeMap<RecordKind, BTreeMap<Scope, BTreeSet<Id>>>,
    /// The keys of records that are not in their place among the ids yet: few kinds are ever listed.
    unlisted: Vec<Key>,
}

/// The events of one scope.
#[derive(Debug, Default)]
struct Shelf {
    events: BTreeMap<Position, Event>,
    /// When each event happened.
    times: HashMap<EventId, Timestamp>,
}

/// An id of a record. Ids compare by their bytes; the first of them are kept at hand, as random ones rarely need
/// more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Id {
    first: u128,
    bytes: Arc<[u8]>,
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
        let records = state.records.all.len();
        let events: usize = state.shelves.values().map(|shelf| shelf.events.len()).sum();
        f.debug_struct("MemoryStore").field("records", &records).field("events", &events).finish()
    }
}

impl Id {
    fn new(bytes: Arc<[u8]>) -> Self {
        let mut first = [0; 16];
        first.iter_mut().zip(&*bytes).for_each(|(to, from)| *to = *from);
        Self { first: u128::from_be_bytes(first), bytes }
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        self.first.cmp(&other.first).then_with(|| self.bytes.cmp(&other.bytes))
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Borrow<[u8]> for Id {
    fn borrow(&self) -> &[u8] {
        &self.bytes
    }
}

impl Stored {
    fn is_live(&self, now: Timestamp) -> bool {
        self.expires_at.is_none_or(|at| now < at)
    }

    fn to_record(&self, key: Key) -> Record {
        Record::new(key, self.version, self.body.clone(), self.expires_at)
    }
}

impl State {
    fn event(&self, scope: &Scope, position: Position) -> Option<&Event> {
        self.shelves.get(scope)?.events.get(&position)
    }
}

impl Records {
    fn live(&self, key: &Key, now: Timestamp) -> Option<&Stored> {
        self.all.get(key).filter(|stored| stored.is_live(now))
    }

    fn put(&mut self, key: Key, stored: Stored) {
        match self.all.entry(key) {
            Entry::Occupied(mut there) => drop(there.insert(stored)),
            Entry::Vacant(place) => {
                self.unlisted.push(place.key().clone());
                place.insert(stored);
            }
        }
        // More than there are records: most of them are gone again.
        if self.unlisted.len() > self.all.len() {
            self.list();
        }
    }

    /// Puts the ids in their places.
    fn list(&mut self) {
        for key in self.unlisted.drain(..).filter(|key| self.all.contains_key(key)) {
            self.ids.entry(key.kind).or_default().entry(key.scope).or_default().insert(Id::new(key.id));
        }
    }

    fn delete(&mut self, key: &Key) {
        if self.all.remove(key).is_some()
            && let Some(ids) = self.ids.get_mut(&key.kind).and_then(|of_kind| of_kind.get_mut(&key.scope))
        {
            ids.remove(&*key.id);
        }
    }

    /// Lists live records of a kind and scope from a bound on.
    fn range<'a>(
        &'a self,
        (kind, scope): (RecordKind, &'a Scope),
        ids: &'a BTreeSet<Id>,
        from: Bound<&[u8]>,
        now: Timestamp,
    ) -> impl Iterator<Item = Record> + 'a {
        let keys = ids.range::<[u8], _>((from, Bound::Unbounded));
        let keys = keys.map(move |id| Key::new(scope.clone(), kind, Arc::clone(&id.bytes)));
        keys.filter_map(move |key| self.live(&key, now).map(|stored| stored.to_record(key)))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let state = self.lock();
        let found = |key: &Key| state.records.live(key, now).map(|stored| stored.to_record(key.clone()));
        Ok(keys.iter().map(found).collect())
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
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let State { records, .. } = &mut *self.lock();
        records.list();
        let records = &*records;
        let ids = records.ids.get(&kind).and_then(|scopes| scopes.get(scope));
        let from_there = ids.into_iter().flat_map(|ids| records.range((kind, scope), ids, from, now));
        Ok(from_there.take_while(|record| record.key.id.starts_with(prefix)).take(limit).collect())
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let State { records, .. } = &mut *self.lock();
        records.list();
        let records = &*records;
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(&after.scope));
        let scopes = records.ids.get(&kind).map(|scopes| scopes.range::<Scope, _>((from, Bound::Unbounded)));
        let live = scopes.into_iter().flatten().flat_map(|(scope, ids)| {
            let behind = after.filter(|after| after.scope == *scope).map(|after| &*after.id);
            let from = behind.map_or(Bound::Unbounded, Bound::Excluded);
            records.range((kind, scope), ids, from, now)
        });
        Ok(live.take(limit).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check()?;
        let mut state = self.lock();
        let State { records, ledger, shelves } = &mut *state;
        for write in &commit.writes {
            let current = records.live(write.key(), commit.now).map(|stored| stored.version);
            if !write.expect().holds(current) {
                return Ok(Committed::Conflict(write.key().clone()));
            }
        }
        let shelf = match shelves.get_mut(&commit.scope) {
            Some(shelf) => shelf,
            None => shelves.entry(commit.scope.clone()).or_default(),
        };
        if let Some(whose) = &commit.erase {
            let is_theirs = |event: &&mut Event| match whose {
                Erase::User(user) => event.user() == Some(user),
                Erase::Everyone => true,
            };
            for event in shelf.events.values_mut().filter(is_theirs) {
                *event = erased(event)?;
            }
        }
        for write in commit.writes {
            match write {
                Write::Put { key, body, expires_at, .. } => {
                    records.put(key, Stored { version: commit.version, body, expires_at });
                }
                Write::Delete { key, .. } => records.delete(&key),
                Write::Check { .. } => {}
            }
        }
        for event in commit.events {
            let (at, id) = (event.at(), event.id());
            if let Entry::Vacant(time) = shelf.times.entry(id) {
                time.insert(at);
                ledger.append(commit.scope.clone(), Position::new(at, id));
                shelf.events.insert(Position::new(at, id), event);
            }
        }
        Ok(Committed::Done)
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let gone = |(key, stored): (&Key, &Stored)| {
            stored.expires_at.is_some_and(|at| at < before).then(|| key.clone())
        };
        let gone: Vec<_> = state.records.all.iter().filter_map(gone).take(limit).collect();
        let count = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        gone.iter().for_each(|key| state.records.delete(key));
        Ok(count)
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
        let state = self.lock();
        let Some(shelf) = state.shelves.get(&query.scope) else { return Ok(Vec::new()) };
        let range = shelf.events.range((low, high)).map(|(_, event)| event);
        let matching = |event: &&Event| query.matches(event);
        Ok(match query.order {
            Order::Ascending => range.filter(matching).take(query.limit).cloned().collect(),
            _ => range.rev().filter(matching).take(query.limit).cloned().collect(),
        })
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        let state = self.lock();
        let Some(shelf) = state.shelves.get(scope) else { return Ok(None) };
        let at = shelf.times.get(&id).copied();
        Ok(at.and_then(|at| shelf.events.get(&Position::new(at, id))).cloned())
    }
}

fn erased(event: &Event) -> Result<Event, StoreError> {
    let unreadable = |_| StoreError::Corrupt("an event");
    let stored = event.to_stored().map_err(unreadable)?;
    Event::from_stored(&StoredEvent::new(stored.core, None, stored.hash)).map_err(unreadable)
}
