//! What every clause starts from: a scope and a kind of its own, and short names for common steps.

use core::time::Duration;

use audit_model::{AccountId, Event, EventBuilder, EventId, Kind, Outcome, Query, Scope, Timestamp};
use mfa_core::{Commit, Committed, Expect, Key, Record, RecordKind, Version, Write};

use super::TestStore;

/// A store with a scope, a kind and a time that no other clause uses.
#[derive(Debug)]
pub(super) struct Fixture<'a> {
    pub(super) store: &'a dyn TestStore,
    pub(super) scope: Scope,
    pub(super) kind: RecordKind,
    pub(super) now: Timestamp,
}

impl<'a> Fixture<'a> {
    pub(super) fn new(store: &'a dyn TestStore) -> Self {
        let now = Timestamp::from_unix_millis(1_487_814_038_123).unwrap();
        Self { store, scope: new_scope(), kind: new_kind(), now }
    }

    /// The same store and kind in a further scope.
    pub(super) fn in_new_scope(&self) -> Self {
        Self { scope: new_scope(), ..*self }
    }

    pub(super) fn later(&self, millis: u64) -> Timestamp {
        self.now.plus(Duration::from_millis(millis))
    }

    pub(super) fn earlier(&self, millis: u64) -> Timestamp {
        self.now.minus(Duration::from_millis(millis))
    }

    pub(super) fn key(&self, id: impl AsRef<[u8]>) -> Key {
        Key::new(self.scope.clone(), self.kind, id.as_ref())
    }

    pub(super) fn commit(&self, writes: impl IntoIterator<Item = Write>) -> Commit {
        let mut commit = Commit::new(self.scope.clone(), new_version(), self.now);
        commit.writes.extend(writes);
        commit
    }

    /// Commits `writes`, which must succeed, and returns the version.
    pub(super) async fn write(&self, writes: impl IntoIterator<Item = Write> + Send) -> Version {
        let commit = self.commit(writes);
        let version = commit.version;
        self.done(commit).await;
        version
    }

    /// Puts one record that does not expire, whatever is there.
    pub(super) async fn put(&self, id: impl AsRef<[u8]> + Send, body: &str) -> Version {
        let write = put(self.key(id), Expect::Any, body);
        self.write([write]).await
    }

    /// Puts one record that expires, whatever is there.
    pub(super) async fn put_until(&self, id: impl AsRef<[u8]> + Send, at: Timestamp) -> Version {
        let write = expiring(put(self.key(id), Expect::Any, "expires"), at);
        self.write([write]).await
    }

    pub(super) async fn done(&self, commit: Commit) {
        let answer = self.store.commit(commit).await.expect("the commit is answered");
        assert_eq!(answer, Committed::Done, "the commit happens");
    }

    /// Commits what must conflict, and returns the key that is named.
    pub(super) async fn conflict(&self, commit: Commit) -> Key {
        match self.store.commit(commit).await.expect("the commit is answered") {
            Committed::Conflict(key) => key,
            other => panic!("the commit conflicts, not {other:?}"),
        }
    }

    /// Commits what must be refused, and returns the code of the error.
    pub(super) async fn refused(&self, commit: Commit) -> &'static str {
        match self.store.commit(commit).await {
            Err(error) => error.code(),
            Ok(answer) => panic!("the commit is refused, not {answer:?}"),
        }
    }

    pub(super) async fn get(&self, id: impl AsRef<[u8]> + Send) -> Option<Record> {
        self.get_at(id, self.now).await
    }

    pub(super) async fn get_at(&self, id: impl AsRef<[u8]> + Send, now: Timestamp) -> Option<Record> {
        let answer = self.store.get(&[self.key(id)], now).await.expect("the record is read");
        let [record] = answer.try_into().expect("one key, one answer");
        record
    }

    /// The body as text, of a record that is there.
    pub(super) async fn body(&self, id: impl AsRef<[u8]> + Send) -> Option<String> {
        self.get(id).await.map(|record| String::from_utf8(record.body).expect("text was put"))
    }

    /// The ids that `list` gives for the whole kind at `now`.
    pub(super) async fn ids_at(&self, now: Timestamp) -> Vec<Vec<u8>> {
        let listed = self.store.list(&self.scope, self.kind, b"", None, 1000, now).await;
        ids(&listed.expect("the records are listed"))
    }

    /// An event at `at`, with nothing personal.
    pub(super) fn event_at(&self, at: Timestamp) -> EventBuilder {
        EventBuilder::new(self.scope.clone(), Kind::AnswerRejected, Outcome::Failure, at)
    }

    pub(super) async fn write_events(&self, events: Vec<Event>) {
        for chunk in events.chunks(64) {
            let mut commit = self.commit([]);
            commit.events = chunk.to_vec();
            self.done(commit).await;
        }
    }

    /// Every event of the scope, oldest first.
    pub(super) async fn log(&self) -> Vec<Event> {
        self.ask(&Query::new(self.scope.clone()).ascending()).await
    }

    /// Every event that matches, up to 1000.
    pub(super) async fn ask(&self, query: &Query) -> Vec<Event> {
        let query = query.clone().limit(Query::MAX_LIMIT).unwrap();
        self.store.query(&query, None).await.expect("the log is read")
    }
}

pub(super) const fn put_bytes(key: Key, expect: Expect, body: Vec<u8>) -> Write {
    Write::Put { key, expect, body, expires_at: None }
}

pub(super) fn put(key: Key, expect: Expect, body: &str) -> Write {
    put_bytes(key, expect, body.as_bytes().to_vec())
}

/// Makes a put expire at `at`.
pub(super) fn expiring(write: Write, at: Timestamp) -> Write {
    match write {
        Write::Put { key, expect, body, .. } => Write::Put { key, expect, body, expires_at: Some(at) },
        other => other,
    }
}

pub(super) const fn delete(key: Key, expect: Expect) -> Write {
    Write::Delete { key, expect }
}

pub(super) const fn check(key: Key, version: Version) -> Write {
    Write::Check { key, version }
}

/// Ends an event under an id and a salt that nobody has used.
pub(super) fn sealed(event: EventBuilder, at: Timestamp) -> Event {
    event.build(EventId::new(at, random()), random()).unwrap()
}

pub(super) fn ids(records: &[Record]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.key.id.to_vec()).collect()
}

pub(super) fn new_version() -> Version {
    Version::from_bytes(random())
}

pub(super) fn new_scope() -> Scope {
    named(&format!("{:?}", new_version()), "")
}

/// A scope whose name holds `common` and ends in `suffix`.
pub(super) fn named(common: &str, suffix: &str) -> Scope {
    let name = format!("suite-{common}{suffix}");
    Scope::Account(AccountId::parse(&name).unwrap())
}

/// A kind that no other call gets: the suite leaks its name, some 20 bytes a clause.
pub(super) fn new_kind() -> RecordKind {
    let letters = random::<16>().map(|byte| char::from(b'a' + byte % 26));
    RecordKind::new(format!("suite_{}", String::from_iter(letters)).leak())
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
