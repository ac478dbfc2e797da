//! A memory store with one defect: its commits.

use std::collections::BTreeSet;
use std::sync::Arc;

use audit_model::{AuditLog, Event, Scope, StoredEvent, Timestamp, UserId};
use mfa_core::{Commit, Committed, Erase, Expect, Key, MAX_BODY_BYTES, Store, StoreError, Version, Write};
use mfa_testkit::drop_at::yield_once;

use crate::broken::{Broken, MILLISECOND, yield_often};
use crate::mutant::Mutant;

impl Broken {
    pub(crate) async fn broken_commit(&self, mut commit: Commit) -> Result<Committed, StoreError> {
        if self.is(Mutant::WritesWhatItCanOfARefused)
            && let Err(error) = commit.check()
        {
            let _ = self.inner.commit(acceptable(commit)).await.unwrap();
            return Err(error);
        }
        if self.is(Mutant::SplitsForeignEvents) {
            for foreign in foreign_events(&mut commit) {
                let _ = self.inner.commit(foreign).await?;
            }
        }
        if self.is(Mutant::RefusesEmptyCommits) && commit.writes.is_empty() && commit.events.is_empty() {
            return Err(StoreError::Misuse("an empty commit"));
        }
        let commit = self.spoiled(commit).await;
        match self.mutant {
            Mutant::CommitsWriteByWrite => return self.write_by_write(commit).await,
            Mutant::ExpectsBeforeItCommits | Mutant::ChecksBeforeItCommits => {
                return self.check_then_commit(commit).await;
            }
            Mutant::ARepeatedEventIsAnError => self.refuse_repeated(&commit).await?,
            _ => {}
        }
        let wanted = commit.clone();
        match self.inner.commit(commit).await? {
            Committed::Done => {
                self.after_done(wanted).await;
                Ok(Committed::Done)
            }
            Committed::Conflict(key) => self.after_conflict(wanted, key).await,
            other => Ok(other),
        }
    }

    /// Applies the defects that change what is committed.
    async fn spoiled(&self, mut commit: Commit) -> Commit {
        match self.mutant {
            Mutant::MakesUpVersions => commit.version = self.made_up(commit.version),
            Mutant::CommitsExpireOneLate => commit.now = commit.now.minus(MILLISECOND),
            Mutant::CommitsIgnoreExpiry => commit.now = Timestamp::MIN,
            Mutant::RemembersTheLatestTime => commit.now = self.latest(commit.now),
            Mutant::LastWriteOfAKeyWins => {
                let mut seen = BTreeSet::new();
                commit.writes.reverse();
                commit.writes.retain(|write| seen.insert(write.key().clone()));
                commit.writes.reverse();
            }
            Mutant::ForgetsTheLastWrite if commit.writes.len() > 1 => drop(commit.writes.pop()),
            Mutant::ForgetsEvents => commit.events.clear(),
            Mutant::StoresTheFirstEventAlone => commit.events.truncate(1),
            Mutant::EventsLoseTheirPersonalValues => {
                commit.events = commit.events.iter().map(without_personal).collect();
            }
            Mutant::DeleteDoesNothing => {
                commit.writes.retain(|w| !matches!(w, Write::Delete { .. }));
            }
            Mutant::ErasesNothing => commit.erase = None,
            Mutant::ErasesUsersAlone if commit.erase == Some(Erase::Everyone) => commit.erase = None,
            _ => {}
        }
        let (scope, now) = (commit.scope.clone(), commit.now);
        let mut writes = Vec::new();
        for write in commit.writes {
            writes.push(self.spoiled_write(write, &scope, now).await);
        }
        commit.writes = writes;
        if self.is(Mutant::JoinsScopeAndKindByAColon) {
            commit.scope = Scope::System;
            commit.events.clear();
        }
        if self.is(Mutant::FoldsCaseOfScopes)
            && let Some(write) = commit.writes.first()
        {
            commit.scope = write.key().scope.clone();
        }
        commit
    }

    async fn spoiled_write(&self, write: Write, scope: &Scope, now: Timestamp) -> Write {
        let mut key = self.fold(write.key());
        match self.mutant {
            Mutant::CutsIds => key.id = key.id.iter().copied().take(1024).collect(),
            Mutant::MovesForeignWrites => key.scope = scope.clone(),
            _ => {}
        }
        let current = |now| self.inner.get(std::slice::from_ref(&key), now);
        let stored = current(Timestamp::MIN).await.unwrap().remove(0);
        let live = current(now).await.unwrap().remove(0).map(|record| record.version);
        let expect = self.spoiled_expectation(&write, live, stored.as_ref().map(|r| r.version));
        match write {
            Write::Put { mut body, mut expires_at, .. } => {
                match self.mutant {
                    Mutant::BodyIsText => body = String::from_utf8_lossy(&body).into_owned().into(),
                    Mutant::BodyStopsAtNul => {
                        body.truncate(body.iter().position(|b| *b == 0).unwrap_or(body.len()));
                    }
                    Mutant::BodyHasAnI16Length => body.truncate(0x7fff),
                    Mutant::BodyIsShorterByOneAtTheLimit => body.truncate(MAX_BODY_BYTES - 1),
                    Mutant::CutsBodies => body.truncate(MAX_BODY_BYTES),
                    Mutant::ExpiryOutlivesAPut => {
                        expires_at = expires_at.or_else(|| stored.and_then(|r| r.expires_at));
                    }
                    Mutant::ExpiryInSeconds => {
                        expires_at =
                            expires_at.map(|at| Timestamp::from_unix_seconds(at.unix_seconds()).unwrap());
                    }
                    _ => {}
                }
                Write::Put { key, expect, body, expires_at }
            }
            Write::Check { version, .. } => match self.mutant {
                Mutant::ChecksTouchTheRecord => {
                    let body = stored.map(|record| record.body).unwrap_or_default();
                    Write::Put { key, expect: Expect::Version(version), body, expires_at: None }
                }
                Mutant::IgnoresChecks => {
                    Write::Delete { key: Key::new(scope.clone(), key.kind, *b"nothing"), expect: Expect::Any }
                }
                _ => match expect {
                    Expect::Version(version) => Write::Check { key, version },
                    _ => Write::Check { key, version },
                },
            },
            _ => Write::Delete { key, expect },
        }
    }

    fn spoiled_expectation(&self, write: &Write, live: Option<Version>, stored: Option<Version>) -> Expect {
        let is_put = matches!(write, Write::Put { .. });
        let is_delete = matches!(write, Write::Delete { .. });
        let half = |v: Version, first: bool| {
            let bytes = v.to_bytes();
            if first { bytes[..8].to_vec() } else { bytes[8..].to_vec() }
        };
        match (write.expect(), self.mutant) {
            (Expect::Absent, Mutant::PutIgnoresAbsence) if is_put => Expect::Any,
            (Expect::Version(_), Mutant::PutIgnoresVersions) if is_put => Expect::Any,
            (Expect::Version(_), Mutant::PutCreatesAtAVersion) if is_put && live.is_none() => Expect::Any,
            (Expect::Version(wanted), mutant) => {
                let first = match mutant {
                    Mutant::ComparesTheFirstHalfOfVersions => Some(true),
                    Mutant::ComparesTheLastHalfOfVersions => Some(false),
                    Mutant::CommitsIgnoreExpiryOfVersions if stored == Some(wanted) => {
                        return Expect::Any;
                    }
                    Mutant::DeleteIgnoresVersions if is_delete => return Expect::Any,
                    _ => None,
                };
                let same = |live: &Version| first.is_some_and(|f| half(*live, f) == half(wanted, f));
                Expect::Version(live.filter(same).unwrap_or(wanted))
            }
            (Expect::Any, Mutant::PutExpectsAbsenceAlways) if is_put => Expect::Absent,
            (Expect::Absent, Mutant::DeleteIgnoresAbsence) if is_delete => Expect::Any,
            (Expect::Any, Mutant::DeleteExpectsPresence) if is_delete => {
                Expect::Version(live.unwrap_or(Version::from_bytes([0; 16])))
            }
            (expect, _) => expect,
        }
    }

    async fn after_done(&self, commit: Commit) {
        self.memory().keys.extend(commit.writes.iter().map(|write| write.key().clone()));
        let Some(Erase::User(user)) = commit.erase.clone() else {
            self.memory().events.extend(commit.events);
            return;
        };
        let erase = |scope: Scope, user: UserId| {
            let mut again = Commit::new(scope, commit.version, commit.now);
            again.erase = Some(Erase::User(user));
            self.inner.commit(again)
        };
        let known = self.memory().events.clone();
        match self.mutant {
            Mutant::ErasureDeletesEvents => {
                let about = known.iter().filter(|e| e.user() == Some(&user)).map(Event::id);
                self.memory().hidden.extend(about);
            }
            Mutant::ErasesEveryUser => {
                for event in known.iter().filter(|e| *e.scope() == commit.scope) {
                    if let Some(user) = event.user() {
                        let _ = erase(commit.scope.clone(), user.clone()).await.unwrap();
                    }
                }
            }
            Mutant::ErasesEveryScope => {
                for event in &known {
                    let _ = erase(event.scope().clone(), user.clone()).await.unwrap();
                }
            }
            Mutant::ErasesItsOwnEvents => {
                let _ = erase(commit.scope.clone(), user).await.unwrap();
            }
            _ => {}
        }
        self.memory().events.extend(commit.events);
    }

    async fn after_conflict(&self, commit: Commit, key: Key) -> Result<Committed, StoreError> {
        let mut part = Commit::new(commit.scope.clone(), commit.version, commit.now);
        let place = commit.writes.iter().position(|write| *write.key() == key).unwrap();
        let mut named = key;
        match self.mutant {
            Mutant::WritesUpToTheConflict => part.writes = commit.writes[..place].to_vec(),
            Mutant::WritesBehindAFailedCheck => {
                let failed_check = matches!(commit.writes[place], Write::Check { .. });
                let behind = commit.writes.into_iter().skip(place + 1);
                part.writes = behind.filter(|_| failed_check).collect();
            }
            Mutant::WritesEventsOnConflict => part.events = commit.events,
            Mutant::ErasesOnConflict => part.erase = commit.erase,
            Mutant::NamesTheFirstKeyInOrder | Mutant::NamesTheLastConflict => {
                let mut failing = Vec::new();
                for write in &commit.writes {
                    if !self.expectation_holds(write, commit.now).await {
                        failing.push(write.key().clone());
                    }
                }
                let first = failing.iter().min().cloned();
                let last = failing.pop();
                named = if self.is(Mutant::NamesTheLastConflict) { last } else { first }.unwrap();
            }
            _ => {}
        }
        let _ = self.inner.commit(part).await?;
        Ok(Committed::Conflict(named))
    }

    async fn expectation_holds(&self, write: &Write, now: Timestamp) -> bool {
        let read = self.inner.get(std::slice::from_ref(write.key()), now).await.unwrap();
        write.expect().holds(read[0].as_ref().map(|record| record.version))
    }

    async fn write_by_write(&self, commit: Commit) -> Result<Committed, StoreError> {
        let mut last = commit.clone();
        for write in last.writes.drain(..) {
            let mut part = Commit::new(commit.scope.clone(), commit.version, commit.now);
            part.writes.push(write);
            if let Committed::Conflict(key) = self.inner.commit(part).await? {
                return Ok(Committed::Conflict(key));
            }
            yield_once().await;
        }
        self.inner.commit(last).await
    }

    /// Looks first, then writes: what another thread does in between is not seen.
    async fn check_then_commit(&self, mut commit: Commit) -> Result<Committed, StoreError> {
        let everything = self.is(Mutant::ExpectsBeforeItCommits);
        for write in &commit.writes {
            let looked_at = everything || matches!(write, Write::Check { .. });
            if looked_at && !self.expectation_holds(write, commit.now).await {
                return Ok(Committed::Conflict(write.key().clone()));
            }
        }
        yield_often();
        commit.writes.retain(|write| !matches!(write, Write::Check { .. }));
        for write in &mut commit.writes {
            if let Write::Put { expect, .. } | Write::Delete { expect, .. } = write
                && everything
            {
                *expect = Expect::Any;
            }
        }
        self.inner.commit(commit).await
    }

    async fn refuse_repeated(&self, commit: &Commit) -> Result<(), StoreError> {
        let mut seen = BTreeSet::new();
        for event in &commit.events {
            let known = self.inner.event(&commit.scope, event.id()).await.unwrap();
            if known.is_some() || !seen.insert(event.id()) {
                return Err(StoreError::Unavailable(Arc::from(Box::from("a duplicate key"))));
            }
        }
        Ok(())
    }

    fn made_up(&self, version: Version) -> Version {
        Version::from_bytes(version.to_bytes().map(|byte| !byte))
    }
}

pub(crate) fn without_personal(event: &Event) -> Event {
    let stored = event.to_stored().unwrap();
    Event::from_stored(&StoredEvent::new(stored.core, None, stored.hash)).unwrap()
}

/// What of a commit breaks no rule.
fn acceptable(mut commit: Commit) -> Commit {
    let scope = commit.scope.clone();
    let mut seen = BTreeSet::new();
    commit.writes.retain(|write| {
        let key = write.key();
        let fits = key.id.len() <= 1024 && key.scope == scope;
        let body = matches!(write, Write::Put { body, .. } if body.len() > MAX_BODY_BYTES);
        fits && !body && seen.insert(key.clone())
    });
    commit.events.retain(|event| *event.scope() == scope);
    commit
}

fn foreign_events(commit: &mut Commit) -> Vec<Commit> {
    let scope = commit.scope.clone();
    let (own, foreign) = commit.events.drain(..).partition(|event| *event.scope() == scope);
    commit.events = own;
    let foreign: Vec<Event> = foreign;
    let one = |event: Event| {
        let mut part = Commit::new(event.scope().clone(), commit.version, commit.now);
        part.events.push(event);
        part
    };
    foreign.into_iter().map(one).collect()
}
