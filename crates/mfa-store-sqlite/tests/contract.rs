//! The store answers as the reference in memory does, whatever it is asked.
#![cfg(test)]

mod common;

use audit_model::{AuditLog, Event, Kind, Position, Query};
use common::{NOTE, OTHER, account, at, build, event, key, put, user};
use futures::executor::block_on;
use mfa_core::{
    Commit, Committed, Erase, Expect, Key, MemoryStore, Record, Scope, Store, StoreError, Version, Write,
};
use mfa_store_sqlite::SqliteStore;
use proptest::prelude::*;

const USERS: [&str; 3] = ["bob", "eve", "BOB"];

#[derive(Clone, Debug)]
enum Step {
    Commit { scope: usize, now: u64, writes: Vec<Change>, events: Vec<Said>, erase: Option<usize> },
    Again,
    Purge { before: u64, limit: usize },
}

#[derive(Clone, Debug)]
struct Change {
    id: Vec<u8>,
    other: bool,
    kind: u8,
    expect: u8,
    expires_at: Option<u64>,
}

#[derive(Clone, Debug)]
struct Said {
    millis: u64,
    user: Option<usize>,
    ip: Option<u8>,
    accepted: bool,
}

fn ids() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, b'%', b'a', 0xfe, 0xff]), 0..3)
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let change = (ids(), any::<bool>(), 0..4_u8, 0..4_u8, prop::option::of(0..40_u64));
    let change = change.prop_map(|(id, other, kind, expect, expires_at)| Change {
        id,
        other,
        kind,
        expect,
        expires_at,
    });
    let said = (0..40_u64, prop::option::of(0..3_usize), prop::option::of(0..3_u8), any::<bool>());
    let said = said.prop_map(|(millis, user, ip, accepted)| Said { millis, user, ip, accepted });
    let commit = (
        0..3_usize,
        0..40_u64,
        prop::collection::vec(change, 0..4),
        prop::collection::vec(said, 0..4),
        prop::option::weighted(0.2, 0..3_usize),
    );
    let commit = commit.prop_map(|(scope, now, writes, events, erase)| Step::Commit {
        scope,
        now,
        writes,
        events,
        erase,
    });
    let purge = (0..40_u64, 0..4_usize).prop_map(|(before, limit)| Step::Purge { before, limit });
    prop::collection::vec(prop_oneof![8 => commit, 1 => Just(Step::Again), 1 => purge], 1..25)
}

fn scopes() -> [Scope; 3] {
    [account("acme"), account("Acme"), Scope::System]
}

struct Pair {
    memory: MemoryStore,
    sqlite: SqliteStore,
    last: Option<Commit>,
}

impl Pair {
    fn run(&mut self, step: Step) {
        match step {
            Step::Again => {
                if let Some(commit) = self.last.clone() {
                    self.commit(commit);
                }
            }
            Step::Purge { before, limit } => {
                // Which of the expired ones go is the store's choice; so all or none.
                let limit = if limit == 0 { 0 } else { usize::MAX };
                let expected = block_on(self.memory.purge(at(before), limit)).unwrap();
                assert_eq!(block_on(self.sqlite.purge(at(before), limit)).unwrap(), expected);
            }
            Step::Commit { scope, now, writes, events, erase } => {
                let scope = scopes()[scope].clone();
                let version = Version::from_bytes(common::random());
                let mut commit = Commit::new(scope, version, at(now));
                commit.writes = writes.into_iter().map(|change| self.write(&commit, change)).collect();
                commit.events = events.into_iter().map(|said| said.event(&commit.scope)).collect();
                commit.erase = erase.map(|n| Erase::User(user(USERS[n])));
                self.commit(commit.clone());
                self.last = Some(commit);
            }
        }
    }

    fn write(&self, commit: &Commit, change: Change) -> Write {
        let kind = if change.other { OTHER } else { NOTE };
        let key = Key::new(commit.scope.clone(), kind, change.id);
        let current = block_on(self.memory.get(std::slice::from_ref(&key), commit.now)).unwrap();
        let current = current[0].as_ref().map(|record| record.version);
        let stale = Version::from_bytes([1; 16]);
        // Right more often than not, so that something is written.
        let expect = match (change.expect, current) {
            (0, _) => Expect::Any,
            (1, _) => Expect::Version(stale),
            (_, Some(version)) => Expect::Version(version),
            (_, None) => Expect::Absent,
        };
        match change.kind {
            0 => Write::Delete { key, expect },
            1 => Write::Check { key, version: current.unwrap_or(stale) },
            n => {
                let expires_at = change.expires_at.map(at);
                Write::Put { key, expect, body: vec![n; usize::from(n)], expires_at }
            }
        }
    }

    fn commit(&self, commit: Commit) {
        let expected = block_on(self.memory.commit(commit.clone()));
        let found = block_on(self.sqlite.commit(commit));
        match (expected, found) {
            (Ok(expected), Ok(found)) => assert_eq!(found, expected),
            (expected, found) => {
                assert_eq!(found.unwrap_err().code(), expected.unwrap_err().code());
            }
        }
    }

    fn compare(&self) {
        for now in [at(0), at(20), at(39)] {
            for kind in [NOTE, OTHER] {
                let mut expected = block_on(self.memory.scan(kind, None, 1000, now)).unwrap();
                expected.sort_by(|a, b| by_name(a).cmp(&by_name(b)));
                assert_eq!(block_on(self.sqlite.scan(kind, None, 1000, now)).unwrap(), expected);
                assert_eq!(self.scan_by_twos(kind, now), expected);
                let keys: Vec<Key> = expected.iter().map(|record| record.key.clone()).collect();
                let found = block_on(self.sqlite.get(&keys, now)).unwrap();
                assert_eq!(found, expected.into_iter().map(Some).collect::<Vec<_>>());
                for scope in scopes() {
                    self.compare_lists(&scope, kind, now);
                }
            }
        }
        for scope in scopes() {
            self.compare_events(&scope);
        }
    }

    fn scan_by_twos(&self, kind: mfa_core::RecordKind, now: mfa_core::Timestamp) -> Vec<Record> {
        let mut found: Vec<Record> = Vec::new();
        loop {
            let after = found.last().map(|record| record.key.clone());
            let page = block_on(self.sqlite.scan(kind, after.as_ref(), 2, now)).unwrap();
            if page.is_empty() {
                return found;
            }
            found.extend(page);
        }
    }

    fn compare_lists(&self, scope: &Scope, kind: mfa_core::RecordKind, now: mfa_core::Timestamp) {
        let prefixes: [&[u8]; 5] = [b"", b"a", b"%", &[0xff], &[0xff, 0xff]];
        let afters: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"a"), Some(&[0xff])];
        for prefix in prefixes {
            for after in afters {
                for limit in [0, 1, 100] {
                    let expected = block_on(self.memory.list(scope, kind, prefix, after, limit, now));
                    let found = block_on(self.sqlite.list(scope, kind, prefix, after, limit, now));
                    assert_eq!(found.unwrap(), expected.unwrap());
                }
            }
        }
    }

    fn compare_events(&self, scope: &Scope) {
        let all = Query::new(scope.clone());
        let some = all.clone().between(at(10), at(20)).unwrap();
        for base in [all.clone(), all.attempts(), some] {
            for query in [
                base.clone(),
                base.clone().user(user("bob")),
                base.clone().ip("::ffff:10.0.0.1".parse().unwrap()),
                base.clone().user(user("eve")).ip("2001:db8::2".parse().unwrap()),
                base.clone().kind(Kind::AnswerAccepted),
                base.clone().outcome(audit_model::Outcome::Failure).module("user_auth"),
                base.clone().auth_type("multi_factor").ascending(),
                base.ascending(),
            ] {
                let expected = block_on(self.memory.query(&query, None)).unwrap();
                assert_eq!(block_on(self.sqlite.query(&query, None)).unwrap(), expected);
                self.compare_pages(&query, &expected);
            }
        }
    }

    fn compare_pages(&self, query: &Query, expected: &[Event]) {
        let by_twos = query.clone().limit(2).unwrap();
        let (mut found, mut after): (Vec<Event>, _) = (Vec::new(), None);
        loop {
            let page = block_on(self.sqlite.query(&by_twos, after)).unwrap();
            let Some(last) = page.last() else { break };
            after = Some(Position::new(last.at(), last.id()));
            found.extend(page);
        }
        assert_eq!(found, expected);
        for expected in expected {
            for scope in scopes() {
                let found = block_on(self.sqlite.event(&scope, expected.id())).unwrap();
                assert_eq!(found.as_ref(), (scope == *expected.scope()).then_some(expected));
            }
        }
    }
}

impl Said {
    fn event(self, scope: &Scope) -> Event {
        let mut builder = event(scope, self.millis);
        if self.accepted {
            let kind = Kind::AnswerAccepted;
            let outcome = audit_model::Outcome::Success;
            builder = audit_model::EventBuilder::new(scope.clone(), kind, outcome, at(self.millis));
        }
        if let Some(n) = self.user {
            builder = builder.user(user(USERS[n]));
        }
        builder = match self.ip {
            Some(0) => builder.ip("2001:db8::2".parse().unwrap()),
            Some(n) => builder.ip(std::net::Ipv4Addr::new(10, 0, 0, n).into()),
            None => builder,
        };
        build(builder, self.millis)
    }
}

fn by_name(record: &Record) -> (&str, &[u8]) {
    (record.key.scope.as_str(), &record.key.id)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn answers_are_those_of_the_reference(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let sqlite = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
        let mut pair = Pair { memory: MemoryStore::new(), sqlite, last: None };
        steps.into_iter().for_each(|step| pair.run(step));
        pair.compare();
        let file = rusqlite::Connection::open(pair.sqlite.path()).unwrap();
        let count = file.query_row("SELECT count(*) FROM events", (), |row| row.get(0)).unwrap();
        common::assert_gapless(pair.sqlite.path(), count);
    }
}

fn open() -> (tempfile::TempDir, SqliteStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
    (folder, store)
}

#[test]
fn nothing_is_written_when_the_last_expectation_fails() {
    let (_folder, store) = open();
    let scope = account("acme");
    let mut first = common::commit(&scope);
    first.events.push(build(event(&scope, 4).user(user("bob")), 4));
    assert_eq!(block_on(store.commit(first.clone())).unwrap(), Committed::Done);
    let mut commit = common::commit(&scope);
    let missing = key(&scope, "3");
    commit.writes.push(put(key(&scope, "1"), Expect::Absent, "x"));
    commit.writes.push(put(key(&scope, "2"), Expect::Any, "x"));
    commit.writes.push(Write::Check { key: missing.clone(), version: Version::from_bytes([7; 16]) });
    commit.events.push(build(event(&scope, 5), 5));
    commit.erase = Some(Erase::User(user("bob")));
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Conflict(missing));
    assert_eq!(common::get(&store, &key(&scope, "1")), None);
    assert_eq!(block_on(store.query(&Query::new(scope), None)).unwrap(), first.events);
}

#[test]
fn an_event_stored_before_takes_no_number() {
    let (_folder, store) = open();
    let scope = account("acme");
    let (first, second) = (build(event(&scope, 5), 5), build(event(&scope, 6), 6));
    for events in [vec![first.clone()], vec![first.clone(), second.clone()], vec![second, first]] {
        let mut commit = common::commit(&scope);
        commit.events = events;
        assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    }
    common::assert_gapless(store.path(), 2);
}

#[test]
fn the_same_event_id_in_two_scopes_is_two_events() {
    let (_folder, store) = open();
    let id = audit_model::EventId::new(at(5), [3; 16]);
    for scope in [account("acme"), account("other")] {
        let mut commit = common::commit(&scope);
        commit.events.push(event(&scope, 5).build(id, [4; 16]).unwrap());
        assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
        assert_eq!(block_on(store.event(&scope, id)).unwrap().unwrap().scope(), &scope);
    }
    assert_eq!(block_on(store.event(&account("third"), id)).unwrap(), None);
    common::assert_gapless(store.path(), 2);
}

#[test]
fn purging_takes_only_what_expired_before_the_time_given_and_no_more_than_asked() {
    let (_folder, store) = open();
    let scope = account("acme");
    let mut commit = common::commit(&scope);
    for (id, expires_at) in [("1", Some(4)), ("2", Some(4)), ("3", Some(5)), ("4", None)] {
        let (key, expires_at) = (key(&scope, id), expires_at.map(at));
        commit.writes.push(Write::Put { key, expect: Expect::Absent, body: Vec::new(), expires_at });
    }
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    let purged =
        [(4, 9), (5, 1), (5, 9), (6, 9)].map(|(before, limit)| block_on(store.purge(at(before), limit)));
    assert_eq!(purged.map(Result::unwrap), [0, 1, 1, 1]);
    assert!(block_on(store.get(&[key(&scope, "4")], at(9))).unwrap()[0].is_some());
}

#[test]
fn a_body_past_the_limit_is_refused_before_anything_else() {
    let (_folder, store) = open();
    let scope = account("acme");
    let mut commit = common::commit(&scope);
    commit.writes.push(put(key(&scope, "1"), Expect::Any, vec![0; mfa_core::MAX_BODY_BYTES + 1]));
    let error = block_on(store.commit(commit.clone())).unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { what: "body", .. }), "{error}");
    commit.writes[0] = put(key(&scope, "1"), Expect::Any, vec![0; mfa_core::MAX_BODY_BYTES]);
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
}

#[test]
fn a_row_whose_columns_and_event_disagree_is_shown_to_nobody() {
    let (_folder, store) = open();
    let scope = account("acme");
    let stored = build(event(&scope, 5).user(user("bob")), 5);
    let mut commit = common::commit(&scope);
    commit.events.push(stored.clone());
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    let file = rusqlite::Connection::open(store.path()).unwrap();
    file.execute_batch("UPDATE events SET scope = 'other'").unwrap();
    let other = account("other");
    let error = block_on(store.query(&Query::new(other.clone()), None)).unwrap_err();
    assert_eq!(error.code(), "corrupt");
    assert_eq!(block_on(store.event(&other, stored.id())).unwrap_err().code(), "corrupt");
}
