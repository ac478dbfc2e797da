//! API keys over time: races, crashes between two commits, another key of the ring, a backup that came back, and
//! whoever can write the store.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use audit_model::Kind;
use mfa::{Engine, Key, Record, RecordKind, Scope, Store as _};
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::api_keys::{account, below, hints, readable, reset, show, told};
use mfa_tests::attack::{delete, overwrite};
use mfa_tests::between::{Moment, between};
use mfa_tests::probe::node_on;
use mfa_tests::rings::{self, activate_new, add_new, retire_old};
use mfa_tests::{World, host, on_stores};

const DAY: Duration = Duration::from_secs(86_400);

async fn readable_on(world: &World, store: Arc<dyn mfa::Store>) -> Engine {
    node_on(world, store).policy(readable()).build().await.unwrap()
}

/// The hints at keys that are not dead.
async fn living(world: &World) -> usize {
    hints(world).await.iter().filter(|hint| hint.expires_at.is_none()).count()
}

/// Every record of an API key, as it is stored.
async fn stored(world: &World) -> Vec<Record> {
    let keys = world.store.scan(RecordKind::new("api_key"), None, 100, world.now()).await.unwrap();
    keys.into_iter().chain(hints(world).await).collect()
}

on_stores! {
    // The verify has read the record, and then the reset has returned.
    async fn a15_a_key_that_was_reset_while_it_was_judged_is_not_accepted(world) {
        let old = reset(&world.engine).await;
        let between = Arc::new(between(&world.store));
        let slow = node_on(&world, between.clone()).build().await.unwrap();
        let engine = world.engine.clone();
        between.plan(Moment::Read("api_key"), async move { reset(&engine).await; });
        assert_eq!(told(&slow, &old).await, "not_found");
        assert!(between.is_done());
        assert!(world.events_of(Kind::ApiKeyAccepted).await.is_empty());
    }

    // All have read the record, then the reset returns, and then they go on.
    async fn a15_of_64_that_use_the_old_key_beside_a_reset_none_is_accepted_after_it(world) {
        let old = &reset(&world.engine).await;
        let (read, returned) = (Arc::new(Barrier::new(65)), Arc::new(Barrier::new(65)));
        let mut nodes = Vec::new();
        for _ in 0..64 {
            let between = Arc::new(between(&world.store));
            nodes.push(node_on(&world, between.clone()).build().await.unwrap());
            let (read, returned) = (Arc::clone(&read), Arc::clone(&returned));
            between.plan(Moment::Read("api_key"), async move {
                read.wait();
                returned.wait();
            });
        }
        let (nodes, engine, read, returned) = (&nodes, &world.engine, &read, &returned);
        let said = race(65, |n| async move {
            match nodes.get(n) {
                Some(node) => told(node, old).await,
                None => {
                    read.wait();
                    let new = reset(engine).await;
                    returned.wait();
                    told(engine, &new).await
                }
            }
        });
        assert_eq!(said.iter().filter(|said| *said == "not_found").count(), 64);
        assert_eq!(said[64], "acme");
        assert_eq!(world.events_of(Kind::ApiKeyAccepted).await.len(), 1);
    }

    // One has read what it decides on, and then the other's reset has returned.
    async fn b082_of_two_resets_at_once_the_last_key_is_good_and_leaves_one_hint(world) {
        let old = reset(&world.engine).await;
        let between = Arc::new(between(&world.store));
        let slow = node_on(&world, between.clone()).build().await.unwrap();
        let (engine, again) = (world.engine.clone(), Arc::clone(&between));
        let overtaking = Arc::new(std::sync::Mutex::new(String::new()));
        let key = Arc::clone(&overtaking);
        // The first read asks who may, the second decides.
        between.plan(Moment::Read("api_key"), async move {
            again.plan(Moment::Read("api_key"), async move { *key.lock().unwrap() = reset(&engine).await; });
        });
        let last = reset(&slow).await;
        assert!(between.is_done());
        let first = overtaking.lock().unwrap().clone();
        assert_eq!(told(&world.engine, &last).await, "acme");
        for dead in [old, first] {
            assert_eq!(told(&world.engine, &dead).await, "not_found");
        }
        assert_eq!(living(&world).await, 1);
        mfa_tests::told::streams_are_whole(&world.events().await);
    }

    async fn b082_of_8_resets_at_once_one_key_is_good(world) {
        reset(&world.engine).await;
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(world.node().build().await.unwrap());
        }
        let keys = race(8, |n| { let node = nodes[n % 4].clone(); async move { reset(&node).await } });
        let mut good = 0;
        for key in &keys {
            good += usize::from(told(&world.engine, key).await == "acme");
        }
        assert_eq!((good, living(&world).await), (1, 1));
    }

    async fn a_crash_at_any_commit_of_a_reset_leaves_the_old_key_good_or_the_new_one(world) {
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let engine = readable_on(&world, faults.clone()).await;
        let mut old = reset(&engine).await;
        for (at, fault) in [
            (At::BeforeCommit, Fault::Unavailable),
            (At::BeforeCommit, Fault::Unknown),
            (At::AfterCommit, Fault::Unknown),
        ] {
            for commit in 0..3 {
                let why = format!("{at:?} {fault:?} {commit}");
                faults.fail_later(at, fault, commit, 1);
                let issued = engine.api_key_reset(&account(), &host()).await;
                assert!(faults.heal(), "{why}");
                let current = show(&engine).await;
                assert_eq!(told(&engine, &current).await, "acme", "{why}");
                match &issued {
                    Ok(issued) => assert_eq!(issued.key.expose_secret(), current, "{why}"),
                    Err(_) => assert_eq!(current, old, "{why}"),
                }
                // The hint comes first, the account's record decides; that the old hint is left is no failure.
                let decided = commit == 2 || commit == 1 && at == At::AfterCommit;
                assert_eq!(issued.is_ok(), decided, "{why}");
                if current != old {
                    assert_eq!(told(&engine, &old).await, "not_found", "{why}");
                }
                old = current;
                world.clock.advance(DAY);
            }
        }
        // What led to nothing is swept away, and what leads to the key is not.
        assert!(living(&world).await > 1);
        engine.reseal().await.unwrap();
        assert_eq!(hints(&world).await.len(), 1);
        assert_eq!(told(&engine, &old).await, "acme");
    }

    async fn a_crash_at_any_commit_of_a_removal_leaves_the_key_good_or_gone(world) {
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let engine = readable_on(&world, faults.clone()).await;
        for (at, fault) in [(At::BeforeCommit, Fault::Unavailable), (At::AfterCommit, Fault::Unknown)] {
            for commit in 0..2 {
                let key = reset(&engine).await;
                faults.fail_later(at, fault, commit, 1);
                let removed = engine.api_key_remove(&account(), &host()).await;
                assert!(faults.heal());
                let is_gone = engine.api_key_show(&account(), &host()).await.is_err();
                assert!(removed.is_err() || is_gone);
                assert_eq!(told(&engine, &key).await, if is_gone { "not_found" } else { "acme" });
            }
        }
    }

    async fn a_reset_dropped_at_any_point_leaves_the_old_key_good_or_the_new_one(world) {
        let store = Arc::new(YieldingStore::new(Arc::clone(&world.store)));
        let slow = readable_on(&world, store).await;
        let engine = world.node().policy(readable()).build().await.unwrap();
        let mut old = reset(&engine).await;
        for polls in 1.. {
            let ended = drop_at_poll(slow.api_key_reset(&account(), &host()), polls);
            let current = show(&engine).await;
            assert_eq!(told(&engine, &current).await, "acme", "{polls}");
            if current != old {
                assert_eq!(told(&engine, &old).await, "not_found", "{polls}");
            }
            old = current;
            world.clock.advance(DAY);
            if ended.is_some() {
                assert!(polls > 6);
                break;
            }
        }
        engine.reseal().await.unwrap();
        assert_eq!((hints(&world).await.len(), told(&engine, &old).await), (1, "acme".to_owned()));
    }

    async fn a_key_that_is_about_to_be_issued_is_not_swept_away(world) {
        let between = Arc::new(between(&world.store));
        let slow = node_on(&world, between.clone()).build().await.unwrap();
        let (engine, again) = (world.engine.clone(), Arc::clone(&between));
        between.plan(Moment::Read("api_key"), async move {
            again.plan(Moment::Read("api_key"), async move { engine.reseal().await.unwrap(); });
        });
        let key = reset(&slow).await;
        assert!(between.is_done());
        assert_eq!(told(&world.engine, &key).await, "acme");
        // Where it took so long that it might have been, nothing is issued.
        let (engine, clock, again) = (world.engine.clone(), world.clock.clone(), Arc::clone(&between));
        between.plan(Moment::Read("api_key"), async move {
            again.plan(Moment::Read("api_key"), async move {
                clock.advance(Duration::from_secs(3601));
                engine.reseal().await.unwrap();
                // The round that has read is judged by its own time: it must be another one.
                reset(&engine).await;
            });
        });
        let late = slow.api_key_reset(&account(), &host()).await.unwrap_err();
        assert_eq!(late.code(), "contention");
    }

    async fn s18_an_api_key_moves_to_the_new_ring_key_at_its_next_use(world) {
        let at = &rings::node_on(&world, rings::world_store(&world), &Inbox::new(), |b| b.policy(readable())).await;
        let (used, unused) = (reset(&at.engine).await, below("beta", &[]));
        at.engine.api_key_create(&unused, &host()).await.unwrap();
        add_new([at]);
        activate_new([at]).await;
        // Showing it writes the record under the new key, with what is sealed under the old one.
        assert_eq!(show(&at.engine).await, used);
        at.engine.reseal().await.unwrap();
        assert_eq!(show(&at.engine).await, used, "what is sealed was moved");
        // Each record by what it hashed, and each hint by its id.
        assert_eq!(retire_old(at).await, Err(4));
        assert_eq!(told(&at.engine, &used).await, "acme");
        assert_eq!(retire_old(at).await, Err(2));
        // One that nobody uses is issued anew, or removed.
        let fresh = at.engine.api_key_reset(&unused, &host()).await.unwrap();
        retire_old(at).await.unwrap();
        assert_eq!(told(&at.engine, &used).await, "acme");
        assert_eq!(told(&at.engine, fresh.key.expose_secret()).await, "beta");
        assert_eq!(show(&at.engine).await, used);
        for record in stored(&world).await {
            assert_eq!(rings::mentions(&record, rings::OLD), 0, "{:?}", record.key);
        }
        at.engine.reseal().await.unwrap();
        assert_eq!(hints(&world).await.len(), 2);
    }

    async fn s18_a_move_of_an_api_key_that_fails_anywhere_is_made_at_a_later_use(world) {
        for commit in 1..4 {
            let world = World::memory().await;
            let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
            let at = &rings::node_on(&world, faults.clone(), &Inbox::new(), |builder| builder).await;
            let key = reset(&at.engine).await;
            add_new([at]);
            activate_new([at]).await;
            for fault in [(At::BeforeCommit, Fault::Unavailable), (At::AfterCommit, Fault::Unknown)] {
                faults.fail_later(fault.0, fault.1, commit, 1);
                assert_eq!(told(&at.engine, &key).await, "acme", "{commit}");
                faults.heal();
            }
            assert_eq!(told(&at.engine, &key).await, "acme", "{commit}");
            world.clock.advance(Duration::from_secs(3600));
            at.engine.reseal().await.unwrap();
            assert_eq!(hints(&world).await.len(), 1, "{commit}");
            retire_old(at).await.unwrap();
            assert_eq!(told(&at.engine, &key).await, "acme", "{commit}");
        }
        drop(world);
    }

    async fn s18_a_ring_that_lost_its_key_finds_no_api_key_and_takes_none_for_absent(world) {
        let at = &rings::node(&world, &Inbox::new()).await;
        let key = reset(&at.engine).await;
        // A node with another ring neither finds it nor takes the record for none.
        assert_eq!(told(&world.engine, &key).await, "not_found");
        let first = world.engine.api_key_create(&account(), &host()).await.unwrap_err();
        assert_eq!(first.code(), "exists");
        assert_eq!(world.engine.api_key_show(&account(), &host()).await.unwrap_err().code(), "unavailable");
        // What cannot be read can be replaced.
        let new = reset(&world.engine).await;
        assert_eq!(told(&world.engine, &new).await, "acme");
    }

    async fn s16_an_api_key_that_came_back_with_a_backup_is_refused_until_another_is_issued(world) {
        let old = reset(&world.engine).await;
        let beta = world.engine.api_key_create(&below("beta", &[]), &host()).await.unwrap().key;
        let backup = stored(&world).await;
        reset(&world.engine).await;
        for record in stored(&world).await {
            delete(&world, record.key).await;
        }
        for record in &backup {
            overwrite(&world, record).await;
        }
        assert_eq!(told(&world.engine, &old).await, "acme", "that is why there is a barrier");
        for _ in 0..2 {
            world.engine.restore_barrier("olga", "the backup of noon came back").await.unwrap();
            for key in [&old, beta.expose_secret()] {
                assert_eq!(told(&world.engine, key).await, "not_found");
            }
        }
        assert_eq!(world.events_of(Kind::ApiKeyVoided).await.len(), 1);
        let new = world.engine.api_key_create(&account(), &host()).await.unwrap();
        assert_eq!(told(&world.engine, new.key.expose_secret()).await, "acme");
    }

    async fn s18_api_keys_moved_between_accounts_accept_nothing(world) {
        let acme = reset(&world.engine).await;
        let beta = world.engine.api_key_create(&below("beta", &[]), &host()).await.unwrap().key;
        let backup = stored(&world).await;
        let of = |kind: &'static str| backup.iter().filter(move |record| record.key.kind.as_str() == kind);
        let swapped = |kind: &'static str| -> Vec<Record> {
            let keys: Vec<_> = of(kind).map(|record| record.key.clone()).rev().collect();
            of(kind).zip(keys).map(|(from, key)| Record::new(key, from.version, from.body.clone(), from.expires_at)).collect()
        };
        for kind in ["api_key", "api_key_hint"] {
            for record in swapped(kind) {
                overwrite(&world, &record).await;
            }
            for key in [&acme, beta.expose_secret()] {
                assert_eq!(told(&world.engine, key).await, "unavailable", "{kind}");
            }
            for record in &backup {
                overwrite(&world, record).await;
            }
            assert_eq!(told(&world.engine, &acme).await, "acme");
        }
        // A hint alone accepts nothing.
        let scope = Scope::Account(account().id().clone());
        delete(&world, Key::new(scope, RecordKind::new("api_key"), *b"")).await;
        assert_eq!(told(&world.engine, &acme).await, "not_found");
        // Nor does a record that nothing leads to.
        for record in hints(&world).await {
            delete(&world, record.key).await;
        }
        assert_eq!(told(&world.engine, beta.expose_secret()).await, "not_found");
    }

    async fn keys_are_drawn_anew_each_time(world) {
        let mut keys = BTreeSet::new();
        for _ in 0..16 {
            assert!(keys.insert(reset(&world.engine).await));
        }
        assert_eq!(world.store.get(&[], world.now()).await.unwrap(), []);
    }
}
