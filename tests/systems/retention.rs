//! Old months dropped by an order, and what a check finds where there was none.

use std::path::PathBuf;
use std::time::Duration;

use audit_model::export::{Line, Lines, Reader};
use audit_model::{
    AuditLog, Checkpoint, CheckpointKey, Checkpoints, Dropped, Event, EventBuilder, Flaw, Kind, Outcome,
    Query, Report, Retain, Retention, Scope, Stream, UserId, Verifier, all,
};
use futures::executor::block_on;
use mfa::sqlite::SqliteStore;
use mfa::{Commit, Committed, Erase, MemoryStore, Store, Version};
use proptest::prelude::*;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::rows::{account, at, attempt, unique, write};

/// 2026-01-01, 2026-02-01 and 2026-03-01.
const JANUARY: u64 = 1_767_225_600;
const FEBRUARY: u64 = 1_769_904_000;
const MARCH: u64 = 1_772_323_200;
const NOW: u64 = 1_774_000_000;

trait Log: Store + AuditLog + Retain {}
impl<T: Store + AuditLog + Retain> Log for T {}

/// A store with a log of three months of two accounts, all of it under checkpoints.
struct Site {
    log: Box<dyn Log>,
    file: Option<(TempDir, PathBuf)>,
}

impl Site {
    fn memory() -> Self {
        Self { log: Box::new(MemoryStore::new()), file: None }
    }

    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mfa.db");
        Self { log: Box::new(SqliteStore::open(&file).unwrap()), file: Some((folder, file)) }
    }

    /// Four events a month of each account, in one stream each, and a user of `acme` forgotten in January.
    fn filled(self) -> Self {
        for (month, start) in (0..).zip([JANUARY, FEBRUARY, MARCH]) {
            for (name, stream) in [("acme", 1), ("umbrella", 2)] {
                let events = (0..4).map(|n| {
                    let user = if month == 0 && n == 0 { "eve" } else { "bob" };
                    let event = attempt(name, start + n * 60)
                        .user(UserId::parse(user).unwrap())
                        .ip("10.1.0.2".parse().unwrap())
                        .stream(Stream::new([stream; 16], month * 4 + n + 1));
                    if n == 1 { event.hidden_from_attempts() } else { event }
                });
                block_on(write(&*self.log, events));
            }
            if month == 0 {
                self.forget("eve", start + 3600);
            }
            self.fix();
        }
        self
    }

    fn forget(&self, user: &str, second: u64) {
        let scope = account("acme");
        let event = EventBuilder::new(scope.clone(), Kind::UserForgotten, Outcome::Success, at(second));
        let mut commit = Commit::new(scope, Version::from_bytes(unique()), at(second));
        commit.erase = Some(Erase::User(UserId::parse(user).unwrap()));
        commit.events = vec![crate::rows::built(event)];
        assert_eq!(block_on(self.log.commit(commit)).unwrap(), Committed::Done);
    }

    fn fix(&self) -> Checkpoint {
        block_on(self.log.checkpoint(&key(), at(NOW))).unwrap()
    }

    fn drop_before(&self, scope: Option<Scope>, second: u64) -> u64 {
        block_on(self.log.retain(&order(scope, second), &key())).unwrap()
    }

    fn events(&self, scope: Scope) -> Vec<Event> {
        block_on(all(&*self.log, &Query::new(scope).ascending(), 100_000)).unwrap()
    }

    /// Checks the log in its store, and as it is exported: both must come to one verdict.
    fn check(&self) -> Report {
        // The events are of other months than the checkpoints over them.
        let verifier = || Verifier::new(key()).allowing_lag(Duration::MAX);
        let report = block_on(verifier().read(&*self.log)).unwrap();
        let mut verifier = verifier();
        Reader::new(self.exported().as_bytes()).verify(&mut verifier).unwrap();
        let exported = verifier.finish();
        assert_eq!(exported.holds(), report.holds(), "exported: {exported}; in the store: {report}");
        report
    }

    fn exported(&self) -> String {
        let mut text = String::new();
        let mut lines = Lines::of(&*self.log);
        while let Some(line) = block_on(lines.next()).unwrap() {
            text += &line;
            text.push('\n');
        }
        text
    }

    fn flaw(&self) -> Option<Flaw> {
        self.check().problem.map(|problem| problem.flaw)
    }

    fn sql(&self, text: &str) {
        let (_, file) = self.file.as_ref().unwrap();
        Connection::open(file).unwrap().execute_batch(text).unwrap();
    }
}

fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([0x5a; 32]).unwrap()
}

fn order(scope: Option<Scope>, second: u64) -> Retention {
    Retention::new(scope, at(second), "retention job", at(NOW), unique()).unwrap()
}

macro_rules! on_logs {
    ($($(#[$meta:meta])* fn $name:ident($site:ident) $body:block)*) => {$(
        mod $name {
            use super::*;
            fn body($site: Site) $body
            $(#[$meta])*
            #[test]
            fn memory() {
                body(Site::memory());
            }
            $(#[$meta])*
            #[test]
            fn sqlite() {
                body(Site::sqlite());
            }
        }
    )*};
}

on_logs! {
    fn a_dropped_month_is_gone_and_the_log_holds_and_says_by_whom(site) {
        let site = site.filled();
        let (kept, others) = (site.events(account("acme")), site.events(account("umbrella")));
        let order = order(Some(account("acme")), MARCH + 86_400);
        assert_eq!(block_on(site.log.retain(&order, &key())).unwrap(), 8);

        // The oldest month that stays begins with March; the forgetting stays too, and so does the other account.
        let mut left = site.events(account("acme"));
        let told = left.pop().unwrap();
        let stays = |event: &&Event| event.at() >= at(MARCH) || event.kind() == Kind::UserForgotten;
        assert_eq!(left, kept.iter().filter(stays).cloned().collect::<Vec<_>>());
        assert_eq!(site.events(account("umbrella")), others);
        assert_eq!((told.kind(), told.actor(), told.at()), (Kind::EventsDropped, Some("retention job"), at(NOW)));
        assert_eq!((told.field("events"), told.field("before")), (Some("8"), Some("2026-03-01T00:00:00.000Z")));

        // It holds now, and again when a checkpoint covers the event that tells of it.
        for uncovered in [1, 0] {
            let report = site.check();
            assert!(report.holds() && report.is_authentic(), "{report}");
            assert_eq!((report.dropped, report.retentions, report.uncovered()), (8, 1, uncovered));
            assert!(report.to_string().ends_with(", 8 dropped by 1 retentions"), "{report}");
            site.fix();
        }
        // Nothing of what was dropped can be read any more.
        for event in kept.iter().filter(|event| !stays(event)) {
            assert!(block_on(site.log.event(&account("acme"), event.id())).unwrap().is_none());
            assert!(!site.exported().contains(&event.id().to_string()));
        }
    }

    fn an_order_over_all_takes_every_account(site) {
        let site = site.filled();
        assert_eq!(site.drop_before(None, FEBRUARY), 8);
        assert_eq!(site.events(Scope::System).len(), 1);
        for name in ["acme", "umbrella"] {
            let old = |event: &&Event| event.at() < at(FEBRUARY) && event.kind() != Kind::UserForgotten;
            assert_eq!(site.events(account(name)).iter().filter(old).count(), 0);
        }
        assert_eq!(site.flaw(), None);
    }

    fn an_order_is_done_once_and_one_that_takes_nothing_writes_nothing(site) {
        let site = site.filled();
        let (first, second) = (order(Some(account("acme")), FEBRUARY), order(Some(account("acme")), FEBRUARY));
        assert_eq!(block_on(site.log.retain(&first, &key())).unwrap(), 4);
        let after = site.events(account("acme"));
        assert_eq!(block_on(site.log.retain(&first, &key())).unwrap(), 4);
        assert_eq!(block_on(site.log.retain(&second, &key())).unwrap(), 0);
        assert_eq!(site.events(account("acme")), after);
        // The next month is another order, and the first one's event stays.
        assert_eq!(site.drop_before(Some(account("acme")), MARCH), 4);
        assert_eq!(site.check().retentions, 2);
    }

    fn what_no_checkpoint_covers_is_not_taken(site) {
        assert_eq!(site.drop_before(None, MARCH), 0, "no checkpoint at all");
        block_on(write(&*site.log, [attempt("acme", JANUARY)]));
        site.fix();
        block_on(write(&*site.log, [attempt("acme", JANUARY + 1)]));
        assert_eq!(site.drop_before(None, MARCH), 1);
        site.fix();
        assert_eq!(site.drop_before(None, MARCH), 1);
        assert_eq!(site.flaw(), None);
    }

    fn a_log_of_which_all_is_dropped_goes_on_at_the_next_place(site) {
        block_on(write(&*site.log, (0..5).map(|n| attempt("acme", JANUARY + n))));
        site.fix();
        assert_eq!(site.drop_before(None, MARCH), 5);
        block_on(write(&*site.log, [attempt("acme", NOW)]));
        site.fix();
        let report = site.check();
        assert!(report.holds(), "{report}");
        assert_eq!((report.events, report.dropped, report.uncovered()), (7, 5, 0));
    }

    fn a_large_log_takes_several_orders(site) {
        let count = Retention::MAX_EVENTS as u64 + 5;
        block_on(write(&*site.log, (0..count).map(|n| attempt("acme", JANUARY + n))));
        site.fix();
        let orders: Vec<_> = (0..3).map(|_| site.drop_before(Some(account("acme")), MARCH)).collect();
        assert_eq!(orders, [Retention::MAX_EVENTS as u64, 5, 0]);
        assert_eq!(site.flaw(), None);
    }

    fn another_key_drops_nothing(site) {
        let site = site.filled();
        let other = CheckpointKey::from_bytes([1; 32]).unwrap();
        let refused = block_on(site.log.retain(&order(None, MARCH), &other)).unwrap_err();
        assert_eq!(refused.code(), "corrupt");
        assert_eq!(site.check().dropped, 0);
    }

    fn s17_an_event_put_in_with_a_time_of_long_ago_is_found_after_it_was_dropped_as_old(site) {
        // The log of one day, with a checkpoint each hour.
        for hour in 0..3 {
            block_on(write(&*site.log, [attempt("acme", NOW + hour * 3_600)]));
            block_on(site.log.checkpoint(&key(), at(NOW + hour * 3_600))).unwrap();
        }
        let strict = || block_on(Verifier::new(key()).read(&*site.log)).unwrap();
        assert!(strict().holds());
        // Whoever writes to the store adds what never happened, or happened now, as if it were of January.
        block_on(write(&*site.log, [attempt("acme", JANUARY)]));
        let end = at(NOW + 4 * 3_600);
        block_on(site.log.checkpoint(&key(), end)).unwrap();
        let found = Some(Flaw::Backdated);
        assert_eq!(strict().problem.map(|problem| problem.flaw), found);
        let order = Retention::new(None, at(MARCH), "retention job", end, unique()).unwrap();
        assert_eq!(block_on(site.log.retain(&order, &key())).unwrap(), 1);
        for checkpoint in [false, true] {
            if checkpoint {
                block_on(site.log.checkpoint(&key(), end)).unwrap();
            }
            let report = strict();
            assert_eq!(report.problem.map(|problem| problem.flaw), found, "{report}");
            let mut verifier = Verifier::new(key());
            Reader::new(site.exported().as_bytes()).verify(&mut verifier).unwrap();
            assert_eq!(verifier.finish().problem, report.problem);
        }
        // Without the key it is found, too: the time is there to be read.
        let report = block_on(Verifier::without_key().read(&*site.log)).unwrap();
        assert_eq!(report.problem.map(|problem| problem.flaw), found);
    }

    fn s17_what_happened_behind_the_day_of_an_order_was_not_dropped_by_it(site) {
        let site = site.filled();
        site.drop_before(None, FEBRUARY);
        assert_eq!(site.flaw(), None);
        let mut lines: Vec<_> = Reader::new(site.exported().as_bytes()).map(Result::unwrap).collect();
        // What holds the key drops by its order what the order did not reach.
        let is_told = |line: &Line| matches!(line, Line::Event(event) if event.kind() == Kind::EventsDropped);
        let told = lines.iter().find(|line| is_told(line)).cloned();
        let Some(Line::Event(told)) = told else { panic!("an order was expected") };
        let mut place = 0;
        let mut swapped = false;
        for line in &mut lines {
            if let Line::Event(_) | Line::Dropped(_) = line {
                place += 1;
            }
            if let Line::Event(event) = line
                && event.at() >= at(FEBRUARY)
                && event.kind() == Kind::AnswerRejected
                && !swapped
            {
                *line = Line::Dropped(Dropped::of(event, place, &told, &key()));
                swapped = true;
            }
        }
        assert!(swapped);
        let mut verifier = Verifier::new(key()).allowing_lag(Duration::MAX);
        lines.iter().for_each(|line| verifier.line(line));
        assert_eq!(verifier.finish().problem.map(|problem| problem.flaw), Some(Flaw::Dropped));
    }

    fn without_the_key_a_check_still_wants_an_order(site) {
        let site = site.filled();
        site.drop_before(None, FEBRUARY);
        let lines: Vec<_> = Reader::new(site.exported().as_bytes()).map(Result::unwrap).collect();
        let check = |keep: &dyn Fn(&Line) -> bool| {
            let mut verifier = Verifier::without_key().allowing_lag(Duration::MAX);
            lines.iter().filter(|line| keep(line)).for_each(|line| verifier.line(line));
            verifier.finish()
        };
        assert!(check(&|_| true).holds());
        let told = |line: &Line| matches!(line, Line::Event(event) if event.kind() == Kind::EventsDropped);
        assert_eq!(check(&|line| !told(line)).problem.unwrap().flaw, Flaw::Dropped);
    }
}

#[test]
fn a_month_deleted_without_an_order_is_found() {
    let site = Site::sqlite().filled();
    site.sql(&format!("DELETE FROM events WHERE at < {FEBRUARY}000"));
    assert_eq!(site.flaw(), Some(Flaw::Missing));
}

#[test]
fn rows_made_to_look_dropped_are_found_whatever_tells_of_them() {
    let leave = |told: &str| {
        format!(
            "INSERT INTO dropped SELECT seq, hash, at, NULL, NULL, {told}, randomblob(32) FROM events
                 WHERE at < {MARCH}000 AND kind = 'answer_rejected';
             DELETE FROM events WHERE at < {MARCH}000 AND kind = 'answer_rejected'"
        )
    };
    let site = Site::sqlite().filled();
    site.sql(&leave("randomblob(32)"));
    assert_eq!(site.flaw(), Some(Flaw::Dropped));
    // Behind the event of a true order over another month.
    let site = Site::sqlite().filled();
    site.drop_before(None, FEBRUARY);
    site.sql(&leave("(SELECT hash FROM events WHERE kind = 'events_dropped')"));
    assert_eq!(site.flaw(), Some(Flaw::Dropped));
}

#[test]
fn what_stays_of_dropped_events_cannot_be_changed() {
    let attacks = [
        ("UPDATE dropped SET hash = randomblob(32) WHERE seq = 2", Flaw::Dropped),
        ("UPDATE dropped SET by = randomblob(32) WHERE seq = 2", Flaw::Dropped),
        ("UPDATE dropped SET at = at + 1 WHERE seq = 2", Flaw::Dropped),
        ("UPDATE dropped SET at = -1 WHERE seq = 2", Flaw::Changed),
        ("UPDATE dropped SET mac = randomblob(32) WHERE seq = 2", Flaw::Dropped),
        ("UPDATE dropped SET position = position + 1 WHERE seq = 2", Flaw::Dropped),
        ("UPDATE dropped SET stream = NULL", Flaw::Dropped),
        (
            "UPDATE dropped SET seq = -5 WHERE seq = 1; UPDATE dropped SET seq = 1 WHERE seq = 5;
          UPDATE dropped SET seq = 5 WHERE seq = -5",
            Flaw::Dropped,
        ),
        ("UPDATE dropped SET seq = 0 WHERE seq = 2", Flaw::Missing),
        ("DELETE FROM dropped WHERE seq = 2", Flaw::Missing),
        ("DELETE FROM dropped", Flaw::Missing),
        ("DELETE FROM events WHERE kind = 'events_dropped'", Flaw::Dropped),
        ("UPDATE events SET core = zeroblob(40) WHERE kind = 'events_dropped'", Flaw::Changed),
    ];
    for (attack, flaw) in attacks {
        let site = Site::sqlite().filled();
        site.drop_before(None, FEBRUARY);
        assert_eq!(site.flaw(), None);
        site.sql(attack);
        assert_eq!(site.flaw(), Some(flaw), "{attack}");
    }
}

#[test]
fn what_stays_names_its_own_order() {
    let site = Site::sqlite().filled();
    site.drop_before(None, FEBRUARY);
    site.drop_before(None, MARCH);
    assert_eq!(site.check().retentions, 2);
    site.sql("UPDATE dropped SET by = (SELECT max(by) FROM dropped)");
    assert_eq!(site.flaw(), Some(Flaw::Dropped));
}

#[test]
fn a_log_that_is_checked_while_orders_run_holds() {
    let site = Site::sqlite();
    let days = 60;
    let stream = |n| Stream::new([7; 16], n + 1);
    block_on(write(
        &*site.log,
        (0..days * 40).map(|n| attempt("acme", JANUARY + n * 2_160).stream(stream(n))),
    ));
    site.fix();
    let (_, file) = site.file.as_ref().unwrap();
    let other = SqliteStore::open(file).unwrap();
    std::thread::scope(|threads| {
        let orders = threads.spawn(|| {
            // Each takes the events of one account and no others; the last one is of all.
            for n in 0..40 {
                block_on(write(&other, [attempt(&format!("other-{n}"), JANUARY + n)]));
                block_on(other.checkpoint(&key(), at(NOW))).unwrap();
                let scope = (n < 39).then(|| account(&format!("other-{n}")));
                assert!(block_on(other.retain(&order(scope, MARCH), &key())).unwrap() > 0);
            }
        });
        while !orders.is_finished() {
            let verifier = Verifier::new(key()).allowing_lag(Duration::MAX);
            let report = block_on(verifier.read(&*site.log)).unwrap();
            assert!(report.holds(), "{report}");
        }
        orders.join().unwrap();
    });
    assert!(site.check().dropped > 2_000);
}

#[test]
fn a_damaged_event_is_evidence_and_stops_the_order() {
    for attack in [
        // Made old, to be dropped with the old.
        format!("UPDATE events SET at = {JANUARY}000 WHERE seq = 20"),
        "UPDATE events SET core = zeroblob(40) WHERE seq = 1".to_owned(),
        "UPDATE events SET hash = randomblob(32) WHERE seq = 1".to_owned(),
        "UPDATE events SET user = 'mallory' WHERE seq = 2".to_owned(),
    ] {
        let site = Site::sqlite().filled();
        site.sql(&attack);
        let refused = block_on(site.log.retain(&order(None, FEBRUARY), &key())).unwrap_err();
        assert_eq!(refused.code(), "corrupt", "{attack}");
        assert_eq!(site.flaw(), Some(Flaw::Changed), "{attack}");
    }
}

#[test]
fn dropped_values_are_not_left_in_the_file() {
    let site = Site::sqlite();
    let user = UserId::parse("someone-to-look-for").unwrap();
    block_on(write(&*site.log, (0..20).map(|n| attempt("acme", JANUARY + n).user(user.clone()))));
    site.fix();
    assert_eq!(site.drop_before(None, MARCH), 20);
    let (folder, _) = site.file.as_ref().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(19).any(|window| window == b"someone-to-look-for");
        assert!(!found, "{path:?}");
    }
}

#[test]
fn an_order_names_who_gives_it_and_spares_the_future() {
    let order = |before, actor: &str| Retention::new(None, at(before), actor, at(NOW), [1; 16]);
    assert_eq!(order(NOW + 1, "job").unwrap_err().to_string(), "before: lies in the future");
    assert_eq!(order(NOW, " ").unwrap_err().to_string(), "actor: is empty; name who orders it");
    assert_eq!(order(NOW, "job").unwrap().before(), at(MARCH), "the month that goes on stays");
    assert_eq!(order(0, "job").unwrap().before(), at(0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_ordered_the_log_holds_and_the_rest_is_whole(
        steps in proptest::collection::vec((0..3_u8, 0..3_usize, 0..90_u64), 1..24),
        on_file in any::<bool>(),
    ) {
        let site = if on_file { Site::sqlite() } else { Site::memory() };
        let names = ["acme", "umbrella", "initech"];
        let mut wanted: Vec<Event> = Vec::new();
        let mut covered = 0;
        for (act, name, day) in steps {
            let second = JANUARY + day * 86_400;
            match act {
                0 => wanted.extend(block_on(write(&*site.log, [attempt(names[name], second)]))),
                1 => { site.fix(); covered = wanted.len(); }
                _ => {
                    let scope = (name > 0).then(|| account(names[name]));
                    let order = order(scope, second.min(NOW));
                    let takes = |(i, event): (usize, &Event)| i < covered && order.takes(event);
                    let taken: Vec<_> = wanted.iter().enumerate().map(takes).collect();
                    let count = block_on(site.log.retain(&order, &key())).unwrap();
                    prop_assert_eq!(count, taken.iter().filter(|taken| **taken).count() as u64);
                    covered -= usize::try_from(count).unwrap();
                    let mut taken = taken.into_iter();
                    wanted.retain(|_| !taken.next().unwrap());
                }
            }
        }
        site.fix();
        let report = site.check();
        prop_assert!(report.holds(), "{}", report);
        for name in names {
            let mut left = site.events(account(name));
            left.retain(|event| event.kind() != Kind::EventsDropped);
            let mut wanted: Vec<_> = wanted.iter().filter(|e| *e.scope() == account(name)).cloned().collect();
            wanted.sort_by_key(|event| (event.at(), event.id()));
            prop_assert_eq!(left, wanted);
        }
    }
}
