//! A memory store with one defect: its reads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use async_trait::async_trait;
use audit_model::{AccountId, Checkpoint, Event, EventId, Position, Scope, Timestamp};
use core::time::Duration;
use mfa_core::{Commit, Committed, Key, MemoryStore, Record, RecordKind, Store, StoreError, Version};

use crate::mutant::Mutant;

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) inner: MemoryStore,
    pub(crate) mutant: Mutant,
    memory: Mutex<Memory>,
}

/// What some defects need to know besides the records.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) keys: BTreeSet<Key>,
    pub(crate) events: Vec<Event>,
    pub(crate) hidden: BTreeSet<EventId>,
    pub(crate) latest: Option<Timestamp>,
    pub(crate) offsets: BTreeMap<Position, usize>,
    pub(crate) checkpoints: Vec<Checkpoint>,
}

impl Broken {
    pub(crate) fn new(mutant: Mutant) -> Self {
        Self { inner: MemoryStore::new(), mutant, memory: Mutex::default() }
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap()
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == mutant
    }

    /// The time a read is judged at.
    fn read_time(&self, now: Timestamp, of_the_expired: Mutant) -> Timestamp {
        match self.mutant {
            Mutant::ReadsExpireOneLate => now.minus(MILLISECOND),
            Mutant::ReadsExpireOneEarly => now.plus(MILLISECOND),
            Mutant::RemembersTheLatestTime => self.latest(now),
            mutant if mutant == of_the_expired => Timestamp::MIN,
            _ => now,
        }
    }

    pub(crate) fn latest(&self, now: Timestamp) -> Timestamp {
        let mut memory = self.memory();
        let latest = memory.latest.map_or(now, |latest| latest.max(now));
        memory.latest = Some(latest);
        latest
    }

    async fn purge_on_read(&self, now: Timestamp) {
        if self.is(Mutant::ReadsPurge) {
            self.inner.purge(now, usize::MAX).await.unwrap();
        }
    }

    pub(crate) fn fold(&self, key: &Key) -> Key {
        let Key { scope, kind, id, .. } = key.clone();
        let text = || String::from_utf8_lossy(&id).into_owned();
        let in_system = |id: Vec<u8>| Key::new(Scope::System, RecordKind::new("joined"), id);
        match self.mutant {
            Mutant::JoinsKindAndId => {
                let joined = [kind.as_str().as_bytes(), &id].concat();
                Key::new(scope, RecordKind::new("joined"), joined)
            }
            Mutant::JoinsScopeAndKindByAColon => {
                let joined = format!("{}:{}:", scope.as_str(), kind.as_str()).into_bytes();
                in_system([joined, id.to_vec()].concat())
            }
            Mutant::FoldsCaseOfIds => Key::new(scope, kind, id.to_ascii_lowercase()),
            Mutant::TrimsIds => Key::new(scope, kind, id.trim_ascii()),
            Mutant::ReadsIdsAsText => Key::new(scope, kind, text().into_bytes()),
            Mutant::FoldsCaseOfScopes => {
                let folded = AccountId::parse(&scope.as_str().to_ascii_lowercase());
                Key::new(folded.map_or(scope, Scope::Account), kind, id)
            }
            _ => key.clone(),
        }
    }

    /// Every record ever put that is live, for the defects that mix them up.
    async fn everything(&self, now: Timestamp) -> Vec<Record> {
        let keys: Vec<_> = self.memory().keys.iter().cloned().collect();
        self.inner.get(&keys, now).await.unwrap().into_iter().flatten().collect()
    }
}

#[async_trait]
impl Store for Broken {
    async fn get(&self, keys: &[Key], now: Timestamp) -> Result<Vec<Option<Record>>, StoreError> {
        self.purge_on_read(now).await;
        let now = self.read_time(now, Mutant::GetReadsTheExpired);
        let mut asked: Vec<_> = keys.iter().map(|key| self.fold(key)).collect();
        match self.mutant {
            Mutant::GetSortsItsKeys => asked.sort(),
            Mutant::GetAnswersARepeatedKeyOnce => {
                let mut seen = BTreeSet::new();
                asked.retain(|key| seen.insert(key.clone()));
            }
            Mutant::GetReadsOneScope => {
                if let Some(first) = keys.first() {
                    asked.iter_mut().for_each(|key| key.scope = first.scope.clone());
                }
            }
            _ => {}
        }
        let mut answer = if self.is(Mutant::GetReadsKeysOneByOne) {
            let mut answer = Vec::new();
            for key in &asked {
                answer.extend(self.inner.get(std::slice::from_ref(key), now).await?);
                yield_often();
            }
            answer
        } else {
            self.inner.get(&asked, now).await?
        };
        if self.is(Mutant::GetDropsTheAbsent) {
            answer.retain(Option::is_some);
        }
        if self.is(Mutant::GetInventsTheAbsent) {
            for (key, record) in keys.iter().zip(&mut answer) {
                let invented = || Record::new(key.clone(), Version::from_bytes([0; 16]), vec![], None);
                record.get_or_insert_with(invented);
            }
        }
        if self.fold_is_on() {
            for (key, record) in keys.iter().zip(&mut answer) {
                record.iter_mut().for_each(|record| record.key = key.clone());
            }
        }
        Ok(answer)
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
        self.purge_on_read(now).await;
        let (asked, now) = (now, self.read_time(now, Mutant::ListReadsTheExpired));
        let all = |now| self.inner.list(scope, kind, b"", None, usize::MAX, now);
        let behind = |record: &Record| after.is_none_or(|after| *record.key.id > *after);
        let begins = |record: &Record| record.key.id.starts_with(prefix);
        let mut found: Vec<Record> = match self.mutant {
            Mutant::ListLimitsBeforeItFilters => {
                let found = self.inner.list(scope, kind, prefix, after, limit, Timestamp::MIN).await?;
                return Ok(found.into_iter().filter(|record| record.is_live(asked)).collect());
            }
            Mutant::ListIncludesAfter => {
                let behind = |r: &Record| after.is_none_or(|after| *r.key.id >= *after);
                all(now).await?.into_iter().filter(begins).filter(behind).collect()
            }
            Mutant::ListNeedsAfterToExist => {
                let there = all(now).await?;
                let known = after.is_none_or(|after| there.iter().any(|r| *r.key.id == *after));
                there.into_iter().filter(begins).filter(behind).filter(|_| known).collect()
            }
            Mutant::PrefixFoldsCase => {
                let folded =
                    |id: &[u8]| id.len() >= prefix.len() && id[..prefix.len()].eq_ignore_ascii_case(prefix);
                all(now).await?.into_iter().filter(|r| folded(&r.key.id)).filter(behind).collect()
            }
            Mutant::PrefixIsALikePattern => {
                let like = |id: &[u8]| {
                    let same = |(a, b): (&u8, &u8)| a == b || *a == b'_';
                    let end = prefix.iter().position(|b| *b == b'%').unwrap_or(prefix.len());
                    id.len() >= end && prefix[..end].iter().zip(id).all(same)
                };
                all(now).await?.into_iter().filter(|r| like(&r.key.id)).filter(behind).collect()
            }
            Mutant::PrefixOfFfIsEmpty if prefix.last() == Some(&0xff) => vec![],
            Mutant::ListMixesScopes => {
                let found = self.inner.scan(kind, None, usize::MAX, now).await?;
                found.into_iter().filter(begins).filter(behind).collect()
            }
            Mutant::ListMixesKinds => {
                let of_scope = |record: &Record| record.key.scope == *scope;
                let found = self.everything(now).await.into_iter().filter(of_scope);
                found.filter(begins).filter(behind).collect()
            }
            _ => self.inner.list(scope, kind, prefix, after, usize::MAX, now).await?,
        };
        match self.mutant {
            Mutant::ListDescends => found.reverse(),
            Mutant::ListFoldsCaseInItsOrder => found.sort_by_key(|r| r.key.id.to_ascii_lowercase()),
            Mutant::ListOmitsBodies => found.iter_mut().for_each(|r| r.body.clear()),
            Mutant::ListOmitsExpiries => found.iter_mut().for_each(|r| r.expires_at = None),
            Mutant::ListIgnoresItsLimit => return Ok(found),
            Mutant::ListLimitOverflows if limit == usize::MAX => found.clear(),
            _ => {}
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn scan(
        &self,
        kind: RecordKind,
        after: Option<&Key>,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Record>, StoreError> {
        self.purge_on_read(now).await;
        let (asked, now) = (now, self.read_time(now, Mutant::ScanReadsTheExpired));
        let all = || self.inner.scan(kind, None, usize::MAX, now);
        let mut found = match self.mutant {
            Mutant::ScanLimitsBeforeItFilters => {
                let found = self.inner.scan(kind, after, limit, Timestamp::MIN).await?;
                return Ok(found.into_iter().filter(|record| record.is_live(asked)).collect());
            }
            Mutant::ScanPagesByIdAlone => {
                let behind = |r: &Record| after.is_none_or(|after| r.key.id > after.id);
                all().await?.into_iter().filter(behind).collect()
            }
            Mutant::ScanMixesKinds => {
                let behind = |r: &Record| after.is_none_or(|after| r.key > *after);
                self.everything(now).await.into_iter().filter(behind).collect()
            }
            Mutant::ScanNeedsAfterToExist => {
                let there = all().await?;
                let place = after.map(|after| there.iter().position(|r| r.key == *after));
                let skip = place.map_or(0, |place| place.map_or(there.len(), |i| i + 1));
                there.into_iter().skip(skip).collect()
            }
            _ => self.inner.scan(kind, after, usize::MAX, now).await?,
        };
        match self.mutant {
            Mutant::ScanReadsOneScope => {
                let first = all().await?.first().map(|record| record.key.scope.clone());
                found.retain(|record| Some(&record.key.scope) == first.as_ref());
            }
            Mutant::ScanSkipsTheSystem => found.retain(|r| r.key.scope.account().is_some()),
            Mutant::ScanOmitsBodies => found.iter_mut().for_each(|r| r.body.clear()),
            Mutant::ScanIgnoresItsLimit => return Ok(found),
            _ => {}
        }
        found.truncate(limit);
        Ok(found)
    }

    async fn commit(&self, commit: Commit) -> Result<Committed, StoreError> {
        self.broken_commit(commit).await
    }

    async fn purge(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        if self.is(Mutant::PurgesEvents) {
            let mut memory = self.memory();
            let old = memory.events.iter().filter(|e| e.at() < before).map(Event::id);
            let old: Vec<_> = old.collect();
            memory.hidden.extend(old);
        }
        match self.mutant {
            Mutant::PurgesAtTheMillisecond => self.inner.purge(before.plus(MILLISECOND), limit).await,
            Mutant::PurgesNothing => Ok(0),
            Mutant::PurgeMiscounts => self.inner.purge(before, limit).await.map(|n| n.min(1)),
            Mutant::PurgeIgnoresItsLimit => self.inner.purge(before, usize::MAX).await,
            _ => self.inner.purge(before, limit).await,
        }
    }
}

impl Broken {
    fn fold_is_on(&self) -> bool {
        use Mutant::*;
        let folds = [JoinsKindAndId, JoinsScopeAndKindByAColon, FoldsCaseOfIds];
        folds.contains(&self.mutant) || [TrimsIds, ReadsIdsAsText, FoldsCaseOfScopes].contains(&self.mutant)
    }
}

/// Lets every other thread run for a while.
pub(crate) fn yield_often() {
    (0..200).for_each(|_| thread::yield_now());
}
