//! What someone with full SQL access to the file can do to the audit log, and how a check finds it: S17 and S27.
#![cfg(test)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use audit_model::export::{Lines, Reader};
use audit_model::{
    Checkpoint, CheckpointKey, Checkpoints, Event, EventBuilder, EventId, Flaw, Kind, Outcome, Report, Scope,
    StoredEvent, Timestamp, UserId, Verifier,
};
use futures::executor::block_on;
use mfa::Subject;
use mfa::sqlite::SqliteStore;
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, host};
use rusqlite::{Connection, params};

/// A site whose users logged in, with checkpoints over all of it but the last login.
struct Site {
    world: World,
    store: SqliteStore,
    file: PathBuf,
    bob: (Subject, SoftAuthenticator),
    eve: (Subject, SoftAuthenticator),
    /// The newest checkpoint, as it was kept elsewhere.
    head: Checkpoint,
}

impl Site {
    async fn new() -> Self {
        let world = World::sqlite().await;
        let file = world.file().unwrap();
        let store = SqliteStore::open(&file).unwrap();
        let bob = world.enrol("bob").await;
        let eve = world.enrol("eve").await;
        let head = fix(&store, world.now()).await;
        let mut site = Self { world, store, file, bob, eve, head };
        for _ in 0..3 {
            site.logins().await;
            site.head = fix(&site.store, site.world.now()).await;
        }
        site
    }

    /// A wrong and a right answer of each user.
    async fn logins(&self) {
        for (user, app) in [&self.bob, &self.eve] {
            let challenge = self.world.begin(user).await;
            let _ = self.world.answer(&challenge, &wrong_code(app, self.world.now())).await;
            let _ = self.world.answer(&challenge, &app.code_at(self.world.now())).await;
        }
        self.world.clock.advance(STEP);
    }

    fn sql(&self, text: &str) {
        sql(&self.file, text);
    }

    fn number(&self, select: &str) -> u64 {
        let file = Connection::open(&self.file).unwrap();
        let number = file.query_row(select, (), |row| row.get::<_, i64>(0)).unwrap();
        number.try_into().unwrap()
    }

    /// Runs `attack`, which must change what it says, and returns what the check finds then.
    fn after(&self, attack: &str) -> Option<Flaw> {
        assert_eq!(self.found(None), None, "the log holds before");
        self.sql(attack);
        self.found(None)
    }

    fn found(&self, trusted: Option<Checkpoint>) -> Option<Flaw> {
        check(&self.store, trusted).problem.map(|problem| problem.flaw)
    }
}

fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([0x5a; 32]).unwrap()
}

async fn fix(store: &SqliteStore, now: Timestamp) -> Checkpoint {
    store.checkpoint(&key(), now).await.unwrap()
}

fn sql(file: &Path, text: &str) {
    let file = Connection::open(file).unwrap();
    file.execute_batch(text).unwrap();
}

/// Checks the log in its store and as it is exported; both must come to one verdict.
fn check(store: &SqliteStore, trusted: Option<Checkpoint>) -> Report {
    let report = block_on(Verifier::new(key()).trusting(trusted).read(store)).unwrap();
    let mut text = String::new();
    let mut lines = Lines::of(store);
    while let Some(line) = block_on(lines.next()).unwrap() {
        text += &line;
        text.push('\n');
    }
    let mut verifier = Verifier::new(key()).trusting(trusted);
    Reader::new(text.as_bytes()).verify(&mut verifier).unwrap();
    let exported = verifier.finish();
    assert_eq!(exported.holds(), report.holds(), "exported: {exported}; in the store: {report}");
    report
}

/// Reads the event at a place.
fn event_at(file: &Path, seq: u64) -> Event {
    let file = Connection::open(file).unwrap();
    let select = "SELECT core, personal, hash FROM events WHERE seq = ?1";
    let read = |row: &rusqlite::Row<'_>| Ok(StoredEvent::new(row.get(0)?, row.get(1)?, row.get(2)?));
    let stored = file.query_row(select, (i64::try_from(seq).unwrap(),), read).unwrap();
    Event::from_stored(&stored).unwrap()
}

/// An event that never happened, with a hash that fits it.
fn forged(at: Timestamp, user: &str, number: u8) -> Event {
    EventBuilder::new(Scope::Account(mfa_tests::acme()), Kind::AnswerAccepted, Outcome::Success, at)
        .module("user_auth")
        .user(UserId::parse(user).unwrap())
        .build(EventId::new(at, [number; 16]), [number; 16])
        .unwrap()
}

/// Writes an event over the row at `seq`, or into a new one, with every column as the store would have it.
fn put_event(file: &Path, seq: u64, event: &Event) {
    let stored = event.to_stored().unwrap();
    let file = Connection::open(file).unwrap();
    let seq = i64::try_from(seq).unwrap();
    file.execute("DELETE FROM events WHERE seq = ?1", (seq,)).unwrap();
    let insert =
        "INSERT INTO events (scope, at, id, seq, kind, outcome, attempt, auth_type, module, user, ip,
        hash, core, personal) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, NULL, ?11, ?12, ?13)";
    let values = params![
        event.scope().as_str(),
        i64::try_from(event.at().unix_millis()).unwrap(),
        event.id().to_bytes(),
        seq,
        event.kind().code(),
        event.outcome().code(),
        event.attempt().is_some(),
        event.attempt().map(|attempt| &*attempt.auth_type),
        event.module(),
        event.user().map(|user| user.as_str()),
        stored.hash,
        stored.core,
        stored.personal,
    ];
    assert_eq!(file.execute(insert, values).unwrap(), 1);
}

fn site() -> Site {
    block_on(Site::new())
}

#[test]
fn s17_an_untouched_log_holds_with_logins_going_on() {
    let site = site();
    let report = check(&site.store, Some(site.head));
    assert!(report.holds() && report.is_authentic(), "{report}");
    assert_eq!((report.head, report.uncovered()), (Some(site.head), 0));
    assert!(report.events > 20 && report.checkpoints == 4, "{report}");
    block_on(site.logins());
    block_on(site.world.engine.revoke(site.bob.0.account(), site.bob.0.user(), &host())).unwrap();
    let report = check(&site.store, Some(site.head));
    assert!(report.holds() && report.uncovered() >= 6, "{report}");
}

#[test]
fn s17_a_changed_column_is_found_whichever_it_is() {
    let changes = [
        "core = zeroblob(40)",
        "core = 'text'",
        "core = substr(core, 1, length(core) - 1)",
        "hash = zeroblob(32)",
        "personal = (SELECT personal FROM events WHERE seq = 3)",
        "personal = x'00'",
        "user = 'eve'",
        "user = NULL",
        "ip = x'0a000001'",
        "at = at + 1",
        "id = zeroblob(20)",
        "kind = 'answer_accepted_'",
        "outcome = 'info'",
        "attempt = NOT attempt",
        "auth_type = 'other'",
        "module = 'api_auth'",
        "module = 7",
        "scope = 'umbrella'",
    ];
    let site = site();
    let seq = site.number("SELECT max(seq) FROM events WHERE kind = 'answer_rejected' AND user = 'bob'");
    sql(&site.file, "CREATE TABLE kept AS SELECT * FROM events;");
    for change in changes {
        let found = site.after(&format!("UPDATE events SET {change} WHERE seq = {seq}"));
        assert_eq!(found, Some(Flaw::Changed), "{change}");
        site.sql("DELETE FROM events; INSERT INTO events SELECT * FROM kept");
    }
}

#[test]
fn s17_a_deleted_event_is_found_be_it_the_first_a_middle_or_the_last_that_is_covered() {
    for which in
        ["1", "(SELECT max(seq) / 2 FROM events)", "(SELECT total FROM checkpoints WHERE number = 2)"]
    {
        let site = site();
        assert_eq!(
            site.after(&format!("DELETE FROM events WHERE seq = {which}")),
            Some(Flaw::Missing),
            "{which}"
        );
    }
    // The very last, which nothing comes behind.
    let site = site();
    assert_eq!(
        site.after("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)"),
        Some(Flaw::Missing)
    );
}

#[test]
fn s17_a_deleted_event_is_found_where_the_others_were_renumbered() {
    let site = site();
    let attack = "DELETE FROM events WHERE seq = 5; UPDATE events SET seq = -seq WHERE seq > 5;
        UPDATE events SET seq = -seq - 1 WHERE seq < 0";
    assert_eq!(site.after(attack), Some(Flaw::Changed));
}

#[test]
fn s17_an_inserted_event_is_found() {
    let site = site();
    let last = site.number("SELECT max(seq) FROM events");
    let before = site.head.at.minus(Duration::from_secs(86_400));
    // In the place of one.
    let kept = event_at(&site.file, 7);
    put_event(&site.file, 7, &forged(before, "eve", 1));
    assert_eq!(site.found(None), Some(Flaw::Changed));
    put_event(&site.file, 7, &kept);
    // Between two, the others moved on.
    let attack = "UPDATE events SET seq = -seq WHERE seq > 7; UPDATE events SET seq = 1 - seq WHERE seq < 0";
    site.sql(attack);
    put_event(&site.file, 8, &forged(before, "eve", 2));
    assert_eq!(site.found(None), Some(Flaw::Changed));
    site.sql(
        "DELETE FROM events WHERE seq = 8; UPDATE events SET seq = -seq WHERE seq > 8;
        UPDATE events SET seq = -seq - 1 WHERE seq < 0",
    );
    assert_eq!(site.found(None), None, "as it was");
    // Behind the end, as if it had happened the day before; also once a checkpoint covers it.
    put_event(&site.file, last + 1, &forged(before, "eve", 3));
    assert_eq!(site.found(None), Some(Flaw::Backdated));
    block_on(fix(&site.store, site.world.now()));
    assert_eq!(site.found(None), Some(Flaw::Backdated));
}

#[test]
fn s17_a_cut_end_is_found_by_its_checkpoint_and_without_one_by_the_trusted_head() {
    let site = site();
    let behind = "(SELECT total FROM checkpoints WHERE number = 2)";
    site.sql(&format!("CREATE TABLE kept AS SELECT * FROM events; DELETE FROM events WHERE seq > {behind}"));
    assert_eq!(site.found(None), Some(Flaw::Missing), "the checkpoints still speak of it");
    site.sql("DELETE FROM checkpoints WHERE number > 2");
    assert_eq!(site.found(None), None, "nothing in the file is left that speaks of it");
    assert_eq!(site.found(Some(site.head)), Some(Flaw::CutTail));
    // The users' records still count their events: the next one tells of those that are gone.
    block_on(site.logins());
    assert_eq!(site.found(None), Some(Flaw::StreamGap));
}

#[test]
fn s17_a_log_without_checkpoints_is_not_taken_for_one_that_holds() {
    let site = site();
    assert_eq!(site.after("DELETE FROM checkpoints"), Some(Flaw::NoCheckpoint));
    assert_eq!(site.found(Some(site.head)), Some(Flaw::CutTail));
    site.sql("DELETE FROM events");
    assert_eq!(site.found(None), Some(Flaw::NoCheckpoint));
}

#[test]
fn s17_swapped_rows_of_two_users_are_found() {
    let rows = |site: &Site| {
        ["bob", "eve"].map(|user| {
            site.number(&format!(
                "SELECT max(seq) FROM events WHERE kind = 'answer_accepted' AND user = '{user}'"
            ))
        })
    };
    for columns in [
        &["user"][..],
        &["personal"],
        &["user", "personal"],
        &["core", "hash"],
        &["core", "hash", "personal"],
    ] {
        let site = site();
        let [bob, eve] = rows(&site);
        site.sql("CREATE TABLE kept AS SELECT * FROM events");
        let other = |column: &str| {
            format!("{column} = (SELECT k.{column} FROM kept k WHERE k.seq = {bob} + {eve} - events.seq)")
        };
        let set: Vec<_> = columns.iter().map(|column| other(column)).collect();
        let attack = format!("UPDATE events SET {} WHERE seq IN ({bob}, {eve})", set.join(", "));
        assert_eq!(site.after(&attack), Some(Flaw::Changed), "{columns:?}");
    }
    // Whole events over the border of a checkpoint.
    let site = site();
    let [bob, _] = rows(&site);
    let attack = format!(
        "UPDATE events SET seq = 0 WHERE seq = {bob}; UPDATE events SET seq = {bob} WHERE seq = 2;
        UPDATE events SET seq = 2 WHERE seq = 0"
    );
    assert_eq!(site.after(&attack), Some(Flaw::Changed));
}

#[test]
fn s17_rewritten_events_with_fresh_hashes_are_found() {
    let site = site();
    let total = site.number("SELECT max(seq) FROM events");
    // All of bob's refused answers become accepted ones; every hash, column and commitment fits.
    for seq in 1..=total {
        let event = event_at(&site.file, seq);
        if event.kind() == Kind::AnswerRejected {
            let number = u8::try_from(seq).unwrap();
            put_event(&site.file, seq, &forged(event.at(), "bob", number));
        }
    }
    assert_eq!(site.found(None), Some(Flaw::Changed));
    // The roots made anew as well, which takes no key: the MACs do.
    let file = Connection::open(&site.file).unwrap();
    let (mut last, mut number) = (None, 0);
    while number < site.head.number {
        number += 1;
        let select = format!("SELECT count, total FROM checkpoints WHERE number = {number}");
        let (count, total): (i64, i64) =
            file.query_row(&select, (), |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let places = u64::try_from(total - count + 1).unwrap()..=u64::try_from(total).unwrap();
        let hashes = places.map(|seq| *event_at(&site.file, seq).hash()).collect();
        let own_key = CheckpointKey::from_bytes([1; 32]).unwrap();
        let made = Checkpoint::over(last.as_ref(), site.head.log, site.head.at, hashes, &own_key).unwrap();
        let update = "UPDATE checkpoints SET at = ?1, root = ?2, previous = ?3, mac = ?4 WHERE number = ?5";
        let at = i64::try_from(made.at.unix_millis()).unwrap();
        let number = i64::try_from(number).unwrap();
        file.execute(update, params![at, made.root, made.previous, made.mac, number]).unwrap();
        last = Some(made);
    }
    drop(file);
    assert_eq!(site.found(None), Some(Flaw::WrongMac));
    let refused = block_on(site.store.checkpoint(&key(), site.world.now())).unwrap_err();
    assert_eq!(refused.code(), "corrupt", "and nothing is built on it");
}

#[test]
fn s17_changed_checkpoints_are_found() {
    for (attack, flaw) in [
        ("UPDATE checkpoints SET count = count + 1 WHERE number = 2", Flaw::WrongMac),
        ("UPDATE checkpoints SET total = total - 1 WHERE number = 2", Flaw::WrongMac),
        ("UPDATE checkpoints SET at = at + 1 WHERE number = 3", Flaw::WrongMac),
        ("UPDATE checkpoints SET log = zeroblob(16)", Flaw::WrongMac),
        ("UPDATE checkpoints SET root = zeroblob(32) WHERE number = 1", Flaw::WrongMac),
        ("UPDATE checkpoints SET previous = zeroblob(32) WHERE number = 4", Flaw::WrongMac),
        ("UPDATE checkpoints SET mac = zeroblob(32) WHERE number = 4", Flaw::WrongMac),
        ("UPDATE checkpoints SET number = 5 WHERE number = 4", Flaw::WrongMac),
        ("DELETE FROM checkpoints WHERE number = 1", Flaw::BrokenChain),
        ("DELETE FROM checkpoints WHERE number = 3", Flaw::BrokenChain),
    ] {
        assert_eq!(site().after(attack), Some(flaw), "{attack}");
    }
}

#[test]
fn s17_yesterdays_file_put_back_is_found_by_the_trusted_head() {
    let yesterday = tempfile::tempdir().unwrap();
    let copy = yesterday.path().join("mfa.db");
    let site = site();
    site.sql(&format!("VACUUM INTO '{}'", copy.display()));
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    block_on(site.logins());
    let today = block_on(fix(&site.store, site.world.now()));
    assert!(check(&site.store, Some(today)).holds());

    let restored = SqliteStore::open(&copy).unwrap();
    assert!(check(&restored, None).holds(), "in itself the copy is whole");
    let found = |trusted| check(&restored, Some(trusted)).problem.map(|problem| problem.flaw);
    assert_eq!(found(today), Some(Flaw::CutTail));
    assert_eq!(found(site.head), None, "yesterday's head is in it");
    // Continued under the right key, it is another log from there on.
    let event = forged(site.world.now(), "bob", 9);
    put_event(&copy, site.number("SELECT max(total) FROM checkpoints WHERE number = 4") + 1, &event);
    block_on(fix(&restored, site.world.now()));
    assert_eq!(found(today), Some(Flaw::NotExtended));
}

#[test]
fn s27_a_forgotten_user_leaves_no_value_in_the_file_and_a_log_that_holds() {
    let site = site();
    let name = "bob-whose-name-must-go";
    let (gone, app) = block_on(site.world.enrol(name));
    let challenge = block_on(site.world.begin(&gone));
    let _ = block_on(site.world.answer(&challenge, &wrong_code(&app, site.world.now())));
    let head = block_on(fix(&site.store, site.world.now()));
    let traces = || -> usize {
        let count = |path: PathBuf| {
            let bytes = std::fs::read(path).unwrap();
            bytes.windows(name.len()).filter(|window| *window == name.as_bytes()).count()
        };
        let folder = std::fs::read_dir(site.file.parent().unwrap()).unwrap();
        folder.map(|entry| count(entry.unwrap().path())).sum()
    };
    assert!(traces() > 0);

    block_on(site.world.engine.forget_user(gone.account(), gone.user(), &host())).unwrap();
    let forgotten = block_on(site.world.events_of(Kind::UserForgotten));
    assert_eq!(forgotten.len(), 1);
    let report = check(&site.store, Some(head));
    assert!(report.holds(), "{report}");
    assert!(report.erased >= 4, "{report}");
    let after = block_on(fix(&site.store, site.world.now()));
    assert!(check(&site.store, Some(after)).holds());
    // The host's own row of the user is the host's to delete.
    block_on(site.world.directory.remove(gone.account(), gone.user())).unwrap();
    block_on(site.store.compact()).unwrap();
    assert!(check(&site.store, Some(after)).holds());
    assert_eq!(traces(), 0);
    // An erased event that is changed is found like any other.
    let attack = "UPDATE events SET module = 'api_auth' WHERE seq = (SELECT max(seq) FROM events
        WHERE personal IS NULL AND kind = 'answer_rejected')";
    assert_eq!(site.after(attack), Some(Flaw::Changed));
}
