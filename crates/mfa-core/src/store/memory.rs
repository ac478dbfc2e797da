//! The store in memory: the reference that the conformance suite is written against.

mod checkpoints;

use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use audit_model::{
    AuditError, AuditLog, Event, EventId, Order, Position, Query, Scope, StoredEvent, Timestamp,
};

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
    ledger: checkpoints::Ledger,
    scopes: BTreeMap<Scope, Shelf>,
}

/// What one scope holds.
#[derive(Debug, Default)]
struct Shelf {
    /// By kind, of which there are few, then by id.
    records: Vec<(RecordKind, BTreeMap<Id, Stored>)>,
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
        let records: usize = state.scopes.values().flat_map(|s| &s.records).map(|(_, ids)| ids.len()).sum();
        let events: usize = state.scopes.values().map(|shelf| shelf.events.len()).sum();
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
        self.scopes.get(scope)?.events.get(&position)
    }
}

impl Shelf {
    fn of_kind(&self, kind: RecordKind) -> Option<&BTreeMap<Id, Stored>> {
        self.records.iter().find(|(of, _)| *of == kind).map(|(_, ids)| ids)
    }

    fn of_kind_mut(&mut self, kind: RecordKind) -> Option<&mut BTreeMap<Id, Stored>> {
        self.records.iter_mut().find(|(of, _)| *of == kind).map(|(_, ids)| ids)
    }

    fn live(&self, key: &Key, now: Timestamp) -> Option<&Stored> {
        let id = Id::new(Arc::clone(&key.id));
        self.of_kind(key.kind)?.get(&id).filter(|stored| stored.is_live(now))
    }

    fn put(&mut self, key: Key, stored: Stored) {
        let id = Id::new(key.id);
        match self.of_kind_mut(key.kind) {
            Some(ids) => {
                ids.insert(id, stored);
            }
            None => self.records.push((key.kind, BTreeMap::from([(id, stored)]))),
        }
    }

    /// Lists live records of a kind from a bound on.
    fn range<'a>(
        &'a self,
        scope: &'a Scope,
        kind: RecordKind,
        from: Bound<&[u8]>,
        now: Timestamp,
    ) -> impl Iterator<Item = Record> + 'a {
        let range = self.of_kind(kind).map(|ids| ids.range::<[u8], _>((from, Bound::Unbounded)));
        let live = range.into_iter().flatten().filter(move |(_, stored)| stored.is_live(now));
        live.map(move |(id, stored)| stored.to_record(Key::new(scope.clone(), kind, Arc::clone(&id.bytes))))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        let state = self.lock();
        let mut shelf: Option<(&Scope, Option<&Shelf>)> = None;
        let mut found = Vec::with_capacity(keys.len());
        for key in keys {
            let shelf = match shelf {
                Some((scope, shelf)) if *scope == key.scope => shelf,
                _ => shelf.insert((&key.scope, state.scopes.get(&key.scope))).1,
            };
            let live = shelf.and_then(|shelf| shelf.live(key, now));
            found.push(live.map(|stored| stored.to_record(key.clone())));
        }
        Ok(found)
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
        let state = self.lock();
        let Some(shelf) = state.scopes.get(scope) else { return Ok(Vec::new()) };
        let of_prefix =
            shelf.range(scope, kind, from, now).take_while(|record| record.key.id.starts_with(prefix));
        Ok(of_prefix.take(limit).collect())
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        let state = self.lock();
        let from = after.map_or(Bound::Unbounded, |after| Bound::Included(&after.scope));
        let of_kind = state.scopes.range::<Scope, _>((from, Bound::Unbounded)).flat_map(|(scope, shelf)| {
            let behind = after.filter(|after| after.scope == *scope).map(|after| &*after.id);
            shelf.range(scope, kind, behind.map_or(Bound::Unbounded, Bound::Excluded), now)
        });
        Ok(of_kind.take(limit).collect())
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        commit.check()?;
        let mut state = self.lock();
        let State { scopes, ledger } = &mut *state;
        let shelf = match scopes.get_mut(&commit.scope) {
            Some(shelf) => shelf,
            None => scopes.entry(commit.scope.clone()).or_default(),
        };
        for write in &commit.writes {
            let current = shelf.live(write.key(), commit.now).map(|stored| stored.version);
            if !write.expect().holds(current) {
                return Ok(Committed::Conflict(write.key().clone()));
            }
        }
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
                    let stored = Stored { version: commit.version, body, expires_at };
                    shelf.put(key, stored);
                }
                Write::Delete { key, .. } => {
                    shelf.of_kind_mut(key.kind).and_then(|ids| ids.remove(&*key.id));
                }
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
        let mut left = limit;
        let mut state = self.lock();
        for (_, ids) in state.scopes.values_mut().flat_map(|shelf| &mut shelf.records) {
            ids.retain(|_, stored| {
                let goes = left > 0 && stored.expires_at.is_some_and(|at| at < before);
                left = left.saturating_sub(usize::from(goes));
                !goes
            });
        }
        Ok(u64::try_from(limit.saturating_sub(left)).unwrap_or(u64::MAX))
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
        let Some(shelf) = state.scopes.get(&query.scope) else { return Ok(Vec::new()) };
        let range = shelf.events.range((low, high)).map(|(_, event)| event);
        let matching = |event: &&Event| query.matches(event);
        Ok(match query.order {
            Order::Ascending => range.filter(matching).take(query.limit).cloned().collect(),
            _ => range.rev().filter(matching).take(query.limit).cloned().collect(),
        })
    }

    async fn event(&self, scope: &Scope, id: EventId) -> Result<Option<Event>, AuditError> {
        let state = self.lock();
        let Some(shelf) = state.scopes.get(scope) else { return Ok(None) };
        let at = shelf.times.get(&id).copied();
        Ok(at.and_then(|at| shelf.events.get(&Position::new(at, id))).cloned())
    }
}

fn erased(event: &Event) -> Result<Event, StoreError> {
    let unreadable = |_| StoreError::Corrupt("an event");
    let stored = event.to_stored().map_err(unreadable)?;
    Event::from_stored(&StoredEvent::new(stored.core, None, stored.hash)).map_err(unreadable)
}
