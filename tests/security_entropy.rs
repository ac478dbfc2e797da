//! S36: randomness that fails, repeats or is shared makes nothing weak.
#![cfg(test)]

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;

use futures::executor::block_on;
use mfa::{BuildError, Choice, Entropy, EntropyError, Error, OsEntropy, Response, Verify};
use mfa_testkit::entropy::{EntropyFault, FaultyEntropy, SeededEntropy};
use mfa_tests::attack::{dump, records};
use mfa_tests::{begin, host, login, on_stores, totp};

const FAULTS: [(EntropyFault, EntropyError); 4] = [
    (EntropyFault::Fails, EntropyError::Unavailable),
    (EntropyFault::Short, EntropyError::ZeroBlock),
    (EntropyFault::ZeroBlock, EntropyError::ZeroBlock),
    (EntropyFault::Repeats, EntropyError::Repeated),
];
const CHILD: &str = "MFA_SECURITY_ENTROPY_CHILD";

on_stores! {
    async fn s36_a_source_that_fails_ends_every_call_with_the_same_error_and_no_change(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        for (fault, expected) in FAULTS {
            // One sound draw is what building the engine takes.
            let faulty = Arc::new(FaultyEntropy::new(fault, 1));
            let engine = world.node().entropy(faulty).build().await.unwrap();
            let before = dump(&world).await;
            let mut errors = vec![
                engine.begin(login(&bob)).await.map(|_| ()).unwrap_err(),
                engine
                    .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
                    .await
                    .unwrap_err(),
                engine.revoke(bob.account(), bob.user(), &host()).await.unwrap_err(),
            ];
            for code in [app.code_at(world.now()), app.wrong_code_at(world.now(), 3)] {
                let verified = engine.verify(&challenge.reference, Response::code(&code)).await;
                errors.push(verified.map(|_| ()).unwrap_err());
            }
            for error in errors {
                assert!(matches!(&error, Error::Entropy(e) if *e == expected), "{fault:?}: {error:?}");
                assert_eq!(error.code(), "unavailable");
            }
            assert_eq!(dump(&world).await, before, "{fault:?}");
        }
        let right = app.code_at(world.now());
        assert!(matches!(world.answer(&challenge, &right).await, Verify::Verified(_)));
    }

    async fn s36_an_engine_on_a_source_that_fails_at_once_is_not_built(world) {
        for (fault, expected) in FAULTS {
            if fault == EntropyFault::Repeats {
                continue;
            }
            let built = world.node().entropy(Arc::new(FaultyEntropy::new(fault, 0))).build().await;
            assert!(matches!(built.unwrap_err(), BuildError::Entropy(e) if e == expected), "{fault:?}");
        }
    }

    async fn s36_two_nodes_that_draw_the_same_bytes_overwrite_nothing(world) {
        // As after a snapshot of a machine: both nodes go on from the same state of the source.
        let (bob, app_of_bob) = world.enrol("bob").await;
        let (eve, app_of_eve) = world.enrol("eve").await;
        let twin = || world.node().entropy(Arc::new(SeededEntropy::new(0xf0f0))).build();
        let (one, two) = (twin().await.unwrap(), twin().await.unwrap());
        let first = begin(&one, &bob).await;
        let second = begin(&two, &eve).await;
        assert_ne!(first.id, second.id, "the same id was drawn and drawn again");
        assert_eq!(records(&world).await.iter().filter(|r| r.key.kind.as_str() == "challenge").count(), 2);
        let wrong_way = one.verify(&first.reference, Response::code(&app_of_eve.code_at(world.now()))).await;
        assert!(matches!(wrong_way.unwrap(), Verify::Rejected(_)));
        let now = world.now();
        let of_bob = one.verify(&first.reference, Response::code(&app_of_bob.code_at(now))).await.unwrap();
        let of_eve = two.verify(&second.reference, Response::code(&app_of_eve.code_at(now))).await.unwrap();
        assert!(matches!(of_bob, Verify::Verified(grant) if grant.user() == bob.user()));
        assert!(matches!(of_eve, Verify::Verified(grant) if grant.user() == eve.user()));
    }
}

/// Prints bytes of the operating system's source; run in processes of their own.
#[test]
fn drawing_child() {
    let Ok(file) = std::env::var(CHILD) else { return };
    let mut bytes = [0; 64];
    OsEntropy::new().fill(&mut bytes).unwrap();
    std::fs::write(file, bytes).unwrap();
}

#[test]
fn s36_processes_and_threads_never_share_a_draw() {
    let folder = tempfile::tempdir().unwrap();
    let mut draws = BTreeSet::new();
    for n in 0..4 {
        let file = folder.path().join(n.to_string());
        let test = std::env::current_exe().unwrap();
        let child = Command::new(test).args(["--exact", "drawing_child"]).env(CHILD, &file).output().unwrap();
        assert!(child.status.success());
        draws.insert(std::fs::read(file).unwrap());
    }
    let drawn = mfa_testkit::race::race(8, |_| async {
        let mut bytes = [0; 64];
        OsEntropy::new().fill(&mut bytes).unwrap();
        bytes.to_vec()
    });
    draws.extend(drawn);
    assert_eq!(draws.len(), 12);
    let halves: BTreeSet<_> =
        draws.iter().flat_map(|draw| [draw[..32].to_vec(), draw[32..].to_vec()]).collect();
    assert_eq!(halves.len(), 24);
}

#[test]
fn s36_the_source_is_the_operating_systems_and_says_so() {
    assert!(!OsEntropy::new().is_test_double());
    assert!(SeededEntropy::new(1).is_test_double());
    assert!(FaultyEntropy::new(EntropyFault::Fails, 0).is_test_double());
    let store = Arc::new(mfa::MemoryStore::new());
    let world = block_on(mfa_tests::World::on(store, None));
    // An engine on the real source begins challenges whose references never repeat.
    let engine = block_on(world.node().entropy(Arc::new(OsEntropy::new())).build()).unwrap();
    let (bob, _) = block_on(world.enrol("bob"));
    let references: BTreeSet<_> =
        (0..50).map(|_| block_on(begin(&engine, &bob)).reference.expose_secret().to_owned()).collect();
    assert_eq!(references.len(), 50);
}
