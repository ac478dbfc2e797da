//! A charge is durable before its answer is known, and nothing takes it back: T11, T12 and S22.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use futures::executor::block_on;
use mfa::sqlite::{Options, SqliteStore};
use mfa::{Challenge, MemoryStore, Reason, Reference, Response, Store, Verify};
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::probe::{answer, begin_unless_locked, failures_today, node_on, refusal};
use mfa_tests::{TestStore, World, on_stores};
use rusqlite::{Connection, TransactionBehavior};

on_stores! {
    // CVE-2026-35597. The host's transaction is the host's: it ends as the host likes, and the failure stays.
    async fn t11_a_failure_stays_counted_when_the_host_rolls_back_around_it(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let mut host = host_database(world.file().as_deref());
        for n in 1..=3 {
            let transaction = host.transaction().unwrap();
            // The host has read what there is before the answer, from the same file where there is one.
            let rows: i64 = transaction.query_row("SELECT count(*) FROM own", [], |row| row.get(0)).unwrap();
            let wrong = app.wrong_code_at(world.now(), 2);
            assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
            assert_eq!(rows, 0);
            transaction.rollback().unwrap();
            assert_eq!(failures_today(&world, &bob).await, n);
            assert_eq!(world.events_of(Kind::AnswerRejected).await.len(), usize::try_from(n).unwrap());
        }
        let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.verify_attempts, 3);
    }

    // A caller that gives up is a crash: at whichever point, the failure is counted before it is told.
    async fn t11_a_dropped_call_takes_no_charge_back_and_tells_nothing_uncharged(world) {
        let store = Arc::new(YieldingStore::new(Arc::clone(&world.store)));
        let node = node_on(&world, store).build().await.unwrap();
        let mut charged_before = 0;
        for polls in 1..20 {
            let (user, app) = world.enrol(&format!("user-{polls}")).await;
            let challenge = world.begin(&user).await;
            let wrong = Response::code(&app.wrong_code_at(world.now(), 2));
            let told = drop_at_poll(node.verify(&challenge.reference, wrong), polls);
            let charged = failures_today(&world, &user).await;
            assert!(charged <= 1 && charged >= charged_before, "{polls}: {charged}");
            let left = world.engine.status(user.account(), challenge.id).await.unwrap().unwrap();
            assert_eq!(u64::from(left.verify_attempts), charged, "{polls}");
            charged_before = charged;
            if let Some(told) = told {
                assert_eq!((refusal(told.unwrap()), charged), (Some(Reason::WrongCode), 1), "{polls}");
                assert!(polls > 3, "there was something to drop");
                return;
            }
        }
        panic!("the call never ends");
    }

    // S22. What cannot be charged is not judged, and says so for a right answer as for a wrong one.
    async fn t12_an_answer_whose_charge_cannot_be_written_is_told_to_nobody(world) {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = node_on(&world, Arc::clone(&store) as Arc<dyn Store>).build().await.unwrap();
        let challenge = world.begin(&bob).await;
        let before = world.events().await.len();
        for fault in [Fault::Unavailable, Fault::Unknown] {
            let mut told = Vec::new();
            for code in [app.wrong_code_at(world.now(), 2), app.code_at(world.now())] {
                store.fail(At::BeforeCommit, fault, 1);
                let error = node.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
                assert!(store.heal());
                told.push((error.code(), format!("{error:?}")));
            }
            assert_eq!(told[0], told[1]);
            assert_eq!(told[0].0, "unavailable");
        }
        assert_eq!(world.events().await.len(), before);
        assert_eq!(failures_today(&world, &bob).await, 0);
        assert_eq!(answer(&node, &challenge, &app.code_at(world.now())).await, None);
    }

    // S22. A commit that is there is recognised: no guess is charged twice and no right code is a replay.
    async fn t12_a_charge_of_unknown_outcome_is_recognised(world) {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = node_on(&world, Arc::clone(&store) as Arc<dyn Store>).build().await.unwrap();
        let challenge = world.begin(&bob).await;
        store.fail(At::AfterCommit, Fault::Unknown, 1);
        let wrong = app.wrong_code_at(world.now(), 2);
        assert_eq!(answer(&node, &challenge, &wrong).await, Some(Reason::WrongCode));
        assert_eq!(failures_today(&world, &bob).await, 1);
        store.fail(At::AfterCommit, Fault::Unknown, 1);
        assert_eq!(answer(&node, &challenge, &app.code_at(world.now())).await, None);
        assert!(store.heal());
        let rejected = world.events_of(Kind::AnswerRejected).await;
        let reasons: Vec<_> = rejected.iter().filter_map(|event| event.reason()).collect();
        assert_eq!(reasons, ["wrong_code"]);
        assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
    }

    // S22. Where it cannot be recognised, right and wrong get one answer, and the charge stays.
    async fn t12_a_charge_that_cannot_be_looked_up_is_told_as_nothing_and_stays(world) {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = node_on(&world, Arc::clone(&store) as Arc<dyn Store>).build().await.unwrap();
        let (first, second) = (world.begin(&bob).await, world.begin(&bob).await);
        let mut told = Vec::new();
        for (challenge, code) in [(&first, app.wrong_code_at(world.now(), 2)), (&second, app.code_at(world.now()))] {
            store.fail(At::AfterCommit, Fault::Unknown, 1);
            // The first read of the step passes, the one that looks for the commit does not.
            store.fail_later(At::OnGet, Fault::Unavailable, 1, 1);
            let error = node.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            assert!(store.heal());
            told.push((error.code(), error.to_string()));
        }
        assert_eq!(told[0], told[1]);
        assert_eq!(failures_today(&world, &bob).await, 1);
        assert_eq!(answer(&node, &second, &app.code_at(world.now())).await, Some(Reason::AlreadyUsed));
    }
}

// The host holds the only write lock of the file that it shares with the engine.
#[test]
fn t11_while_the_host_blocks_every_write_nothing_is_judged() {
    block_on(async {
        let world = World::sqlite().await;
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let mut host = host_database(world.file().as_deref());
        let impatient = Options::new().busy_timeout(Duration::from_millis(20));
        let store = SqliteStore::open_with(world.file().unwrap(), impatient).unwrap();
        let node = node_on(&world, Arc::new(store)).build().await.unwrap();
        let transaction = host.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
        transaction.execute("INSERT INTO own VALUES (1)", []).unwrap();
        let mut told = Vec::new();
        for code in [app.wrong_code_at(world.now(), 2), app.code_at(world.now())] {
            let error = node.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            told.push((error.code(), error.to_string()));
        }
        transaction.rollback().unwrap();
        assert_eq!(told[0], told[1]);
        assert_eq!(told[0].0, "unavailable");
        assert_eq!(failures_today(&world, &bob).await, 0);
        assert_eq!(answer(&node, &challenge, &app.code_at(world.now())).await, None);
    });
}

// CVE-2026-27801. Everything of the process is gone between two attempts but the store.
mod t12_the_sixth_attempt_is_refused_though_right_and_though_every_attempt_met_a_new_process {
    use super::*;

    #[test]
    fn memory() {
        let store = Arc::new(MemoryStore::new());
        block_on(attempts_with_restarts(|| Arc::clone(&store) as Arc<dyn TestStore>));
    }

    #[test]
    fn sqlite() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mfa.db");
        block_on(attempts_with_restarts(|| Arc::new(SqliteStore::open(&path).unwrap())));
    }
}

async fn attempts_with_restarts(open: impl Fn() -> Arc<dyn TestStore>) {
    let (bob, app, reference, id, begun_at) = {
        let world = World::on(open(), None).await;
        let (bob, app) = world.enrol("bob").await;
        let Challenge { id, reference, .. } = world.begin(&bob).await;
        (bob, app, reference.expose_secret().to_owned(), id, world.now())
    };
    let reference = Reference::from_text(reference);
    for attempt in 1..=5_u8 {
        let world = World::on(open(), None).await;
        world.clock.set(begun_at);
        let wrong = Response::code(&app.wrong_code_at(world.now(), 2));
        let Verify::Rejected(rejected) = world.engine.verify(&reference, wrong).await.unwrap() else {
            panic!("accepted")
        };
        assert_eq!((rejected.reason, rejected.attempts_left), (Reason::WrongCode, 5 - attempt));
    }
    let world = World::on(open(), None).await;
    world.clock.set(begun_at);
    assert!(begin_unless_locked(&world.engine, &bob).await.is_none(), "the delay is as durable");
    // Past the delay, so that nothing but the attempts refuses the right code.
    world.clock.advance(Duration::from_secs(2));
    let right = Response::code(&app.code_at(world.now()));
    assert_eq!(
        refusal(world.engine.verify(&reference, right.clone()).await.unwrap()),
        Some(Reason::Exhausted)
    );
    assert_eq!(world.engine.status(bob.account(), id).await.unwrap().unwrap().verify_attempts, 5);
    assert_eq!(failures_today(&world, &bob).await, 5);
    // The code itself was not spent on it.
    let challenge = world.begin(&bob).await;
    assert_eq!(refusal(world.engine.verify(&challenge.reference, right).await.unwrap()), None);
}

/// The host's own connection, to the engine's file where there is one.
fn host_database(file: Option<&Path>) -> Connection {
    let connection = file.map_or_else(Connection::open_in_memory, Connection::open).unwrap();
    connection.execute_batch("CREATE TABLE own (id INTEGER)").unwrap();
    connection
}
