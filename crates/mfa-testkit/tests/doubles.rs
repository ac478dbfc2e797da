//! The doubles do what their tests rely on.

use futures::executor::block_on;
use mfa_core::{
    Commit, Committed, Expect, Key, MemoryStore, RecordKind, Scope, Store, Timestamp, Version, Write,
};
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, CountingStore, Fault, FaultStore};
use mfa_testkit::race::{GateStore, race};
use mfa_testkit::store_suite;

const NOW: Timestamp = Timestamp::MIN;

mod keeps_the_contract {
    use super::*;

    mod through_faults {
        use super::*;
        store_suite!(FaultStore::new(MemoryStore::new()));
    }
    mod through_counting {
        use super::*;
        store_suite!(CountingStore::new(MemoryStore::new()));
    }
    mod through_a_gate {
        use super::*;
        store_suite!(GateStore::new(MemoryStore::new()));
    }
    mod through_yields {
        use super::*;
        store_suite!(YieldingStore::new(MemoryStore::new()));
    }
}

#[test]
fn a_fault_before_the_commit_leaves_nothing_and_one_behind_it_leaves_the_commit() {
    for (at, there) in [(At::BeforeCommit, false), (At::AfterCommit, true)] {
        let store = FaultStore::new(MemoryStore::new());
        store.fail(at, Fault::Unknown, 1);
        let error = block_on(store.commit(putting("body", Expect::Absent))).unwrap_err();
        assert_eq!(error.code(), "unknown");
        assert_eq!(is_there(store.inner()), there, "{at:?}");
    }
}

#[test]
fn a_fault_ends_after_its_times_and_begins_after_its_skips() {
    let store = FaultStore::new(MemoryStore::new());
    store.fail_later(At::OnGet, Fault::Unavailable, 1, 2);
    let works = |_| block_on(store.get(&[], NOW)).is_ok();
    assert_eq!([0; 5].map(works), [true, false, false, true, true]);
    assert!(store.heal(), "the plan was used up");
}

#[test]
fn faults_fall_on_the_call_they_were_planned_for() {
    let store = FaultStore::new(MemoryStore::new());
    store.fail(At::OnPurge, Fault::Unavailable, 1);
    store.fail(At::OnList, Fault::Unavailable, 1);
    assert!(block_on(store.get(&[key()], NOW)).is_ok());
    assert!(block_on(store.scan(key().kind, None, 1, NOW)).is_err());
    assert!(block_on(store.commit(putting("body", Expect::Any))).is_ok());
    assert!(!store.heal(), "the purge has not failed yet");
    assert!(block_on(store.purge(NOW, 1)).is_ok(), "and will not any more");
}

/// The process is this test program, started once more for this test alone.
#[test]
fn an_exit_behind_the_commit_ends_the_process_with_its_code() {
    const NAME: &str = "an_exit_behind_the_commit_ends_the_process_with_its_code";
    const CHILD: &str = "MFA_TESTKIT_EXITS";
    if std::env::var_os(CHILD).is_some() {
        let store = FaultStore::new(MemoryStore::new());
        store.fail(At::AfterCommit, Fault::Exit(42), 1);
        let answer = block_on(store.commit(putting("body", Expect::Any)));
        panic!("the process goes on with {answer:?}");
    }
    let program = std::env::current_exe().unwrap();
    let mut child = std::process::Command::new(program);
    let output = child.args([NAME, "--exact"]).env(CHILD, "1").output().unwrap();
    assert_eq!(output.status.code(), Some(42));
}

#[test]
fn counts_tell_reads_commits_and_conflicts_apart() {
    let store = CountingStore::new(MemoryStore::new());
    block_on(async {
        store.get(&[key(), key()], NOW).await.unwrap();
        assert_eq!(store.commit(putting("a", Expect::Absent)).await.unwrap(), Committed::Done);
        let again = store.commit(putting("b", Expect::Absent)).await.unwrap();
        assert_eq!(again, Committed::Conflict(key()));
    });
    let counts = store.take();
    assert_eq!((counts.gets, counts.keys_read), (1, 2));
    assert_eq!((counts.commits, counts.conflicts, counts.events_committed), (2, 1, 0));
    assert_eq!(store.take(), <_>::default(), "taking starts anew");
}

/// The reason for the gate: a caller that does not compare and swap gets away with it unless readers meet.
#[test]
fn a_gate_makes_every_reader_decide_on_the_same_state() {
    for (expect_what_was_read, winners) in [(true, 1), (false, 8)] {
        let store = GateStore::new(MemoryStore::new());
        store.arm_for(key().kind, 8);
        let (store, other) = (&store, Key::new(Scope::System, RecordKind::new("other"), *b"1"));
        block_on(store.get(&[other], NOW)).unwrap();
        let won = race(8, |_| async move {
            let absent = store.get(&[key()], NOW).await.unwrap()[0].is_none();
            let expect = if expect_what_was_read { Expect::Absent } else { Expect::Any };
            absent && store.commit(putting("body", expect)).await.unwrap() == Committed::Done
        });
        assert_eq!(won.into_iter().filter(|won| *won).count(), winners);
        block_on(store.get(&[key()], NOW)).unwrap();
    }
}

#[test]
fn a_race_gives_the_results_in_order_and_the_panic_of_a_runner() {
    assert_eq!(race(5, |i| async move { i }), [0, 1, 2, 3, 4]);
    let panicked = std::panic::catch_unwind(|| race(2, |i| async move { assert_eq!(i, 0, "lost") }));
    assert!(panicked.is_err());
}

#[test]
fn a_yielding_store_can_be_dropped_before_and_behind_a_commit() {
    let seen: Vec<_> = (0..5)
        .map(|polls| {
            let store = YieldingStore::new(MemoryStore::new());
            let answered = drop_at_poll(store.commit(putting("body", Expect::Absent)), polls);
            (answered.is_some(), is_there(store.inner()))
        })
        .collect();
    let (neither, unheard, both) = ((false, false), (false, true), (true, true));
    assert_eq!(seen, [neither, neither, unheard, both, both]);
}

#[test]
fn a_dropped_future_is_polled_no_more_than_asked() {
    let mut polls = 0;
    let endless = std::future::poll_fn(|context| {
        polls += 1;
        context.waker().wake_by_ref();
        std::task::Poll::<()>::Pending
    });
    assert_eq!(drop_at_poll(endless, 7), None);
    assert_eq!(polls, 7);
}

fn key() -> Key {
    Key::new(Scope::System, RecordKind::new("note"), *b"1")
}

fn putting(body: &str, expect: Expect) -> Commit {
    let mut commit = Commit::new(Scope::System, Version::from_bytes([1; 16]), NOW);
    let body = body.as_bytes().to_vec();
    commit.writes.push(Write::Put { key: key(), expect, body, expires_at: None });
    commit
}

fn is_there(store: &MemoryStore) -> bool {
    block_on(store.get(&[key()], NOW)).unwrap_or_default().iter().flatten().count() == 1
}
