//! S19: how a name is claimed: raced, left half-way by a crash, and under whichever key of the ring.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use mfa::duo::UserNames;
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::attack::{delete, overwrite, user_key, user_record};
use mfa_tests::between::{Moment, between};
use mfa_tests::duo::{DuoSite, Mode, another, user_of};
use mfa_tests::probe::node_on;
use mfa_tests::rings::{self, activate_new, add_new, retire_old};
use mfa_tests::{host, on_duo};
use serde_json::json;

use crate::identities::{
    GONE, OVER, answered, begin, bob_of, by_id, claims, is_confirmed, is_taken, known, methods, naming,
    remove, set_up, signed,
};

on_duo! {
    [memory, sqlite, processes] async fn s19_of_64_that_confirm_in_as_many_accounts_one_has_it(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let all_have_read = Arc::new(Barrier::new(64));
        let mut nodes = Vec::new();
        for n in 0..64 {
            let between = Arc::new(between(&site.world.store));
            let node = node_on(&site.world, between.clone());
            let node = site.on_node(node, &json!({}), UserNames::UserId).build().await.unwrap();
            let bob = bob_of(&site, &format!("account-{n}")).await;
            let (reference, response) = answered(&site, &node, &bob).await;
            let all = Arc::clone(&all_have_read);
            between.plan(Moment::Read("identity"), async move { all.wait(); });
            nodes.push((node, bob, reference, response));
        }
        let nodes = &nodes;
        let told = race(64, |n| async move {
            let (node, _, reference, response) = &nodes[n];
            node.enrol_confirm(reference, response).await.unwrap()
        });
        assert_eq!(told.iter().filter(|told| is_confirmed(told)).count(), 1, "{told:?}");
        assert_eq!(told.iter().filter(|told| is_taken(told)).count(), 63, "{told:?}");
        let mut have = 0;
        for (_, bob, ..) in nodes {
            have += methods(&site.engine, bob).await;
        }
        assert_eq!((have, claims(&site.world).await.len()), (1, 1));
    }

    // One has claimed it and not confirmed yet.

    [memory, sqlite, processes] async fn s19_what_is_claimed_and_not_yet_confirmed_is_taken(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        let between = Arc::new(between(&site.world.store));
        let slow = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
        let slow = slow.build().await.unwrap();
        let (reference, response) = answered(&site, &slow, &one).await;
        let theirs = answered(&site, &site.engine, &other).await;
        let (engine, again, told) = (site.engine.clone(), Arc::clone(&between), Arc::new(std::sync::Mutex::new(None)));
        let says = Arc::clone(&told);
        between.plan(Moment::Read("identity"), async move {
            // The next read is that of what is to be confirmed.
            again.plan(Moment::Read("vault"), async move {
                *says.lock().unwrap() = Some(engine.enrol_confirm(&theirs.0, &theirs.1).await.unwrap());
            });
        });
        assert!(is_confirmed(&slow.enrol_confirm(&reference, &response).await.unwrap()));
        assert!(is_taken(told.lock().unwrap().as_ref().unwrap()));
        assert!(between.is_done());
        assert_eq!((methods(&site.engine, &one).await, methods(&site.engine, &other).await), (1, 0));
    }

    // One has claimed it, and stops until its set-up is over by everybody else's time: then another takes it.

    [memory, sqlite] async fn s19_who_was_stopped_for_longer_than_a_set_up_lives_confirms_nothing(world) {
        for (late_by, sweeps) in [(OVER, false), (OVER, true), (GONE, false)] {
            let site = by_id(another(&world).await, Mode::WebSdk).await;
            let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            let between = Arc::new(between(&site.world.store));
            let slow = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
            let slow = slow.build().await.unwrap();
            let (reference, response) = answered(&site, &slow, &one).await;
            let (engine, again) = (site.engine.clone(), Arc::clone(&between));
            let (clock, sig) = (site.world.clock.clone(), other.clone());
            let told = Arc::new(std::sync::Mutex::new(None));
            let (says, keys) = (Arc::clone(&told), site.keys.clone());
            between.plan(Moment::Read("identity"), async move {
                // It has read what it is about to confirm, and decides by the time from before.
                again.plan(Moment::Read("vault"), async move {
                    clock.advance(late_by);
                    if sweeps {
                        engine.reseal().await.unwrap();
                    }
                    let started = begin(&engine, &sig).await.unwrap();
                    let posted = signed(&keys, &started.prompt, mfa::Runtime::now(&clock));
                    *says.lock().unwrap() = Some(engine.enrol_confirm(&started.reference, &posted).await.unwrap());
                });
            });
            let late = slow.enrol_confirm(&reference, &response).await.unwrap();
            assert!(between.is_done());
            let theirs = told.lock().unwrap().take().unwrap();
            assert!(is_confirmed(&theirs) && !is_confirmed(&late), "{theirs:?} {late:?}");
            assert_eq!((methods(&site.engine, &one).await, methods(&site.engine, &other).await), (0, 1));
        }
    }

    [memory, sqlite, processes] async fn s19_a_crash_at_any_point_leaves_the_name_to_its_user_and_later_to_others(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let mut crashed_between = false;
        for polls in 1.. {
            // Another name each time.
            let name = format!("bob-{polls}");
            let one = known(&site, user_of("acme", &name), &name).await;
            let other = known(&site, user_of("other", &name), &name).await;
            let store = Arc::new(YieldingStore::new(Arc::clone(&site.world.store)));
            let slow = site.on_node(node_on(&site.world, store), &json!({}), UserNames::UserId).build().await.unwrap();
            let (reference, response) = answered(&site, &site.engine, &one).await;
            let before = claims(&site.world).await.len();
            let ended = drop_at_poll(slow.enrol_confirm(&reference, &response), polls);
            // What was on its way to the store has arrived: writers take their turns.
            delete(&site.world, user_key(&one, "nothing")).await;
            let (claimed, has) = (claims(&site.world).await.len() - before, methods(&site.engine, &one).await);
            assert!(has == 0 || claimed == 1, "{polls}: nobody has what is not claimed");
            if claimed == 1 {
                // Nobody else meanwhile.
                assert!(is_taken(&set_up(&site, &site.engine, &other).await), "{polls}");
            }
            if (claimed, has) == (1, 0) {
                crashed_between = true;
                // The user goes on, or begins anew, and then there is one method.
                if polls % 2 == 0 {
                    assert!(is_confirmed(&site.engine.enrol_confirm(&reference, &response).await.unwrap()), "{polls}");
                } else {
                    assert!(is_confirmed(&set_up(&site, &site.engine, &one).await), "{polls}");
                }
            }
            if claimed == 1 {
                remove(&site.engine, &one).await;
            }
            site.advance(OVER);
            assert!(is_confirmed(&set_up(&site, &site.engine, &other).await), "{polls}");
            if ended.is_some() {
                break;
            }
        }
        assert!(crashed_between);
    }

    [memory, sqlite] async fn s19_what_was_claimed_and_never_confirmed_is_free_once_the_set_up_is_over(world) {
        for revoked in [false, true] {
            let site = by_id(another(&world).await, Mode::WebSdk).await;
            let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            let store = Arc::new(YieldingStore::new(Arc::clone(&site.world.store)));
            let slow = site.on_node(node_on(&site.world, store), &json!({}), UserNames::UserId).build().await.unwrap();
            let (reference, response) = answered(&site, &site.engine, &one).await;
            // Two reads and a commit, at two polls each, and a third poll.
            assert!(drop_at_poll(slow.enrol_confirm(&reference, &response), 8).is_none());
            delete(&site.world, user_key(&one, "nothing")).await;
            assert_eq!((claims(&site.world).await.len(), methods(&site.engine, &one).await), (1, 0));
            assert!(is_taken(&set_up(&site, &site.engine, &other).await));
            if revoked {
                site.engine.revoke(one.account(), one.user(), &host()).await.unwrap();
            } else {
                site.advance(OVER);
            }
            assert!(is_confirmed(&set_up(&site, &site.engine, &other).await));
            assert!(!is_confirmed(&site.engine.enrol_confirm(&reference, &response).await.unwrap()));
        }
    }

    [memory, sqlite] async fn s19_an_owner_who_cannot_be_read_still_has_it(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        let (reference, response) = answered(&site, &site.engine, &other).await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &one).await));
        let record = user_record(&site.world, &one, "login").await;
        let mut changed = record.clone();
        let at = changed.body.len() / 2;
        changed.body[at] ^= 1;
        overwrite(&site.world, &changed).await;
        assert!(is_taken(&set_up(&site, &site.engine, &other).await));
        overwrite(&site.world, &record).await;
        // Nor is a claim that cannot be read as if there were none.
        let claim = claims(&site.world).await.remove(0);
        let mut changed = claim.clone();
        changed.body[at] ^= 1;
        overwrite(&site.world, &changed).await;
        assert_eq!(begin(&site.engine, &other).await.unwrap_err().code(), "unavailable");
        assert_eq!(site.engine.enrol_confirm(&reference, &response).await.unwrap_err().code(), "unavailable");
        overwrite(&site.world, &claim).await;
        assert!(is_taken(&site.engine.enrol_confirm(&reference, &response).await.unwrap()));
    }

    [memory, sqlite] async fn s19_claims_are_met_under_every_key_of_the_ring_and_move_with_it(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let (inbox, world) = (Inbox::new(), &site.world);
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(rings::node_on(world, rings::world_store(world), &inbox, |node| {
                site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
            }).await);
        }
        let [at, late] = &nodes[..] else { panic!("two nodes") };
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        for who in [&one, &other] {
            at.directory.put(who).await.unwrap();
        }
        assert!(is_confirmed(&set_up(&site, &at.engine, &one).await));
        site.advance(OVER);
        assert_eq!(at.engine.reseal().await.unwrap().records, 0, "what is under the active key stays");
        add_new(&nodes);
        activate_new([at]).await;
        // By one that writes with the new key, and one that still writes with the old one.
        for node in [at, late] {
            assert!(is_taken(&set_up(&site, &node.engine, &other).await));
        }
        // Both at once, each under its own key: one has it.
        remove(&at.engine, &one).await;
        let between = Arc::new(between(&world.store));
        let slow = rings::node_on(world, between.clone(), &inbox, |node| {
            site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
        }).await;
        add_new([&slow]);
        at.engine.reseal().await.unwrap();
        assert!(claims(world).await.is_empty());
        let (reference, response) = answered(&site, &slow.engine, &one).await;
        let theirs = answered(&site, &at.engine, &other).await;
        let engine = at.engine.clone();
        between.plan(Moment::Read("identity"), async move {
            assert!(is_confirmed(&engine.enrol_confirm(&theirs.0, &theirs.1).await.unwrap()));
        });
        assert!(is_taken(&slow.engine.enrol_confirm(&reference, &response).await.unwrap()));
        assert_eq!((between.is_done(), claims(world).await.len()), (true, 1));
        // One that was made under the old key moves, and is met where it is then.
        remove(&at.engine, &other).await;
        assert!(is_confirmed(&set_up(&site, &late.engine, &one).await));
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::OLD && rings::mentions(claim, rings::OLD) == 1);
        activate_new([late, &slow]).await;
        site.advance(OVER);
        assert!(retire_old(at).await.is_err());
        at.engine.reseal().await.unwrap();
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::NEW && rings::mentions(claim, rings::OLD) == 0);
        retire_old(at).await.unwrap();
        assert!(is_taken(&set_up(&site, &at.engine, &other).await));
        site.advance(Duration::from_secs(1));
    }

    // The name is sealed under one key, and its record written under the next.

    [memory, sqlite] async fn s19_a_key_that_is_turned_while_a_name_is_claimed_is_left_by_the_claim_later(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let (inbox, world) = (Inbox::new(), &site.world);
        let between = Arc::new(between(&world.store));
        let at = rings::node_on(world, between.clone(), &inbox, |node| {
            site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
        }).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        for who in [&one, &other] {
            at.directory.put(who).await.unwrap();
        }
        add_new([&at]);
        let (reference, response) = answered(&site, &at.engine, &one).await;
        let engine = at.engine.clone();
        between.plan(Moment::Read("identity"), async move {
            engine.key_activate(&rings::id(rings::NEW), "ops", "yearly rotation").await.unwrap();
        });
        assert!(is_confirmed(&at.engine.enrol_confirm(&reference, &response).await.unwrap()));
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::NEW && rings::mentions(claim, rings::OLD) == 1);
        site.advance(OVER);
        at.engine.reseal().await.unwrap();
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert_eq!(rings::mentions(claim, rings::OLD), 0);
        retire_old(&at).await.unwrap();
        assert!(is_taken(&set_up(&site, &at.engine, &other).await));
    }

    [memory, sqlite] async fn s19_reseal_sweeps_what_nobody_has_any_more_and_nothing_else(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, ann) = (bob_of(&site, "acme").await, known(&site, user_of("other", "ann"), "ann").await);
        for who in [&one, &ann] {
            assert!(is_confirmed(&set_up(&site, &site.engine, who).await));
        }
        site.engine.reseal().await.unwrap();
        assert_eq!(claims(&site.world).await.len(), 2);
        let before = claims(&site.world).await;
        remove(&site.engine, &one).await;
        // As a crash leaves them, after what they rest on is gone.
        for claim in before {
            overwrite(&site.world, &claim).await;
        }
        assert_eq!(claims(&site.world).await.len(), 2);
        site.engine.reseal().await.unwrap();
        assert_eq!(claims(&site.world).await.len(), 1);
        let eve = known(&site, user_of("acme", "ann"), "ann").await;
        assert!(is_taken(&set_up(&site, &site.engine, &eve).await));
    }

    [memory, sqlite] async fn s19_a_claim_shows_nobody_s_name(world) {
        let site = naming(world, Mode::WebSdk, UserNames::Label).await;
        let who = user_of("acme", "b1").with_label("bob@acme.example").unwrap();
        let bob = known(&site, who, "bob@acme.example").await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
        let [claim] = &claims(&site.world).await[..] else { panic!("one claim") };
        let seen = [&claim.body[..], &claim.key.id[..]].concat();
        for name in ["bob", "acme.example", site.duo.authority()] {
            assert!(!seen.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name}");
        }
    }
}
