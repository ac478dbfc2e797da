//! S12: how exemptions end, and that no login meets one that has ended, on whichever node and by whichever clock.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::settings::{Modules, Owner};
use mfa::{Account, Engine, FirstFactorKind, KeyId, Verify};
use mfa_tests::attack::{overwrite, user_record};
use mfa_tests::between::{Moment, between};
use mfa_tests::exempt::{answer, by_key, end, exempting_node, grant, module, terms};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{exempting, exemption};
use mfa_tests::told::{has_a_place_twice, streams_are_whole, wrong_code};
use mfa_tests::{acme, host, login, on_stores};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);

on_stores! {
    async fn s12_an_exemption_ends_with_its_time_its_user_a_reset_and_a_restored_backup(world) {
        let engine = exempting_node(&world).await;
        for ending in ["time", "end", "reset", "forget", "restore", "generation", "revoke", "lock", "key"] {
            let (bob, app) = world.enrol(&format!("bob-{ending}")).await;
            let until = world.now().plus(DAY);
            let granted = grant(&engine, &bob, &terms(FirstFactorKind::ApiKey, "api_auth", until)).await;
            assert_eq!(answer(&engine, by_key(&bob)).await, "exempted", "{ending}");
            let (account, user) = (bob.account(), bob.user());
            let mut now = bob.clone();
            let expected = match ending {
                "time" => {
                    world.clock.advance(until.since(world.now()) - Duration::from_millis(1));
                    assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
                    world.clock.advance(Duration::from_millis(1));
                    "challenge"
                }
                "end" => {
                    assert_eq!(end(&engine, &bob, granted.id, &host()).await, "done");
                    assert_eq!(end(&engine, &bob, granted.id, &host()).await, "unknown_exemption");
                    "challenge"
                }
                "reset" => {
                    engine.user_reset(account, user, &host()).await.unwrap();
                    let event = world.events_of(Kind::UserReset).await.pop().unwrap();
                    assert_eq!(event.field("exemptions"), Some(&*granted.id.to_string()));
                    "no_method"
                }
                "forget" => {
                    engine.forget_user(account, user, &host()).await.unwrap();
                    "no_method"
                }
                "restore" => {
                    engine.restore_barrier("ops", "a backup").await.unwrap();
                    let ended = world.events_of(Kind::ExemptionEnded).await;
                    assert!(ended.iter().any(|e| e.field("exemption") == Some(&*granted.id.to_string()) && e.reason() == Some("backup_restored")));
                    "challenge"
                }
                "generation" => {
                    now = bob.clone().with_generation("the next one").unwrap();
                    world.directory.put(&now).await.unwrap();
                    "generation"
                }
                // What ends logins that are begun, or refuses answers, ends no exemption.
                "revoke" => {
                    engine.revoke(account, user, &host()).await.unwrap();
                    "exempted"
                }
                "lock" => {
                    for _ in 0..5 {
                        let wrong = wrong_code(&app, world.now());
                        let _ = world.answer(&world.begin(&bob).await, &wrong).await;
                    }
                    assert_eq!(answer(&engine, login(&bob)).await, "locked");
                    "exempted"
                }
                _ => {
                    let account = Account::new(acme());
                    engine.api_key_create(&account, &host()).await.unwrap();
                    engine.api_key_reset(&account, &host()).await.unwrap();
                    "exempted"
                }
            };
            assert_eq!(answer(&engine, by_key(&now)).await, expected, "{ending}");
            let report = engine.exemptions(&acme()).await.unwrap();
            let state = report.iter().find(|exemption| exemption.id == granted.id).map(|exemption| exemption.state.code());
            let shown = match ending {
                "time" => Some("expired"),
                "generation" => Some("of_another"),
                "revoke" | "lock" | "key" => Some("live"),
                _ => None,
            };
            assert_eq!(state, shown, "{ending}");
        }
    }

    async fn s12_once_an_exemption_has_ended_no_login_that_had_read_it_is_let_in(world) {
        let between = Arc::new(between(&world.store));
        let strict = exempting().with_document(&json!({ "enforced": true })).unwrap();
        let late = node_on(&world, between.clone()).policy(strict).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let mut uses = 0;
        let cells = ["end", "reset", "forget", "restore"].into_iter().flat_map(|ending| [(ending, false), (ending, true)]);
        for (ending, enrolled) in cells {
            // The first login of a day is noted in the record, those after it hold it alone.
            for used in [false, true] {
                let bob = world.add(&format!("bob-{ending}-{enrolled}-{used}")).await;
                if enrolled {
                    world.enrol_again(&bob).await;
                }
                let granted = grant(&engine, &bob, &exemption()).await;
                if used {
                    assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
                    uses += 1;
                }
                let (elsewhere, whom) = (engine.clone(), bob.clone());
                between.plan(Moment::Read("exemptions"), async move {
                    let (account, user) = (whom.account(), whom.user());
                    match ending {
                        "end" => assert_eq!(end(&elsewhere, &whom, granted.id, &host()).await, "done"),
                        "reset" => elsewhere.user_reset(account, user, &host()).await.unwrap(),
                        "forget" => elsewhere.forget_user(account, user, &host()).await.unwrap(),
                        _ => drop(elsewhere.restore_barrier("ops", "a backup").await.unwrap()),
                    }
                });
                let told = answer(&late, by_key(&bob)).await;
                assert!(between.is_done());
                let has_method = enrolled && ["end", "restore"].contains(&ending);
                assert_eq!(told, if has_method { "challenge" } else { "enrolment_required" }, "{ending}");
            }
        }
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), uses);
    }

    async fn s12_one_that_is_granted_while_a_reset_goes_on_is_ended_by_it(world) {
        let between = Arc::new(between(&world.store));
        let late = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        for before in [false, true] {
            let bob = world.add(&format!("bob-{before}")).await;
            if before {
                grant(&engine, &bob, &exemption()).await;
            }
            let (elsewhere, whom) = (engine.clone(), bob.clone());
            between.plan(Moment::Read("exemptions"), async move {
                grant(&elsewhere, &whom, &exemption()).await;
            });
            late.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
            assert!(between.is_done());
            assert_ne!(answer(&engine, by_key(&bob)).await, "exempted", "{before}");
        }
        assert_eq!(world.events_of(Kind::UserReset).await.iter().filter(|e| e.field("exemptions").is_some()).count(), 2);
    }

    async fn s12_once_an_account_has_none_no_login_that_had_read_otherwise_is_let_in(world) {
        let between = Arc::new(between(&world.store));
        let modules = Modules::new().with(module("api_auth"));
        let late = node_on(&world, between.clone()).modules(modules.clone()).build().await.unwrap();
        let engine = world.node().modules(modules).build().await.unwrap();
        let of_acme = Owner::Account(Account::new(acme()));
        let set = async |engine: &Engine, document: Value| {
            engine.policy_put(&of_acme, &document, None, &host()).await.unwrap();
        };
        set(&engine, json!({"exemptions": true})).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let elsewhere = engine.clone();
        let owner = of_acme.clone();
        between.plan(Moment::Read("exemptions"), async move {
            elsewhere.policy_put(&owner, &json!({"exemptions": false}), None, &host()).await.unwrap();
        });
        assert_eq!(answer(&late, by_key(&bob)).await, "challenge");
        assert!(between.is_done());
        set(&engine, json!({"exemptions": true})).await;
        assert_eq!(answer(&late, by_key(&bob)).await, "exempted");
    }

    async fn s12_an_exemption_that_is_over_does_not_come_back_with_a_clock_that_is_behind(world) {
        let engine = exempting_node(&world).await;
        let (bob, app) = world.enrol("bob").await;
        let until = world.now().plus(Duration::from_secs(3600));
        grant(&engine, &bob, &terms(FirstFactorKind::ApiKey, "api_auth", until)).await;
        world.clock.set(until);
        let accepted = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await;
        assert!(matches!(accepted, Verify::Verified(_)), "{accepted:?}");
        world.clock.set(until.minus(Duration::from_secs(20)));
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
    }

    async fn s12_whoever_is_forgotten_has_none_as_soon_as_the_record_of_the_user_is_gone(world) {
        let between = Arc::new(between(&world.store));
        let forgetting = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let whom = bob.clone();
        // What is left over is swept up after the commit that forgets.
        between.plan(Moment::Read("exemptions"), async move {
            assert_eq!(answer(&engine, by_key(&whom)).await, "no_method");
        });
        forgetting.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(between.is_done());
    }

    async fn s12_two_nodes_on_which_an_exemption_is_used_first_both_let_in(world) {
        let between = Arc::new(between(&world.store));
        let late = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let (elsewhere, whom) = (engine.clone(), bob.clone());
        between.plan(Moment::Read("exemptions"), async move {
            assert_eq!(answer(&elsewhere, by_key(&whom)).await, "exempted");
        });
        assert_eq!(answer(&late, by_key(&bob)).await, "exempted");
        assert!(between.is_done());
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 2);
    }

    async fn s12_one_that_is_granted_while_its_user_is_forgotten_is_swept_away(world) {
        let between = Arc::new(between(&world.store));
        let forgetting = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        let (again, elsewhere, whom) = (Arc::clone(&between), engine.clone(), bob.clone());
        // The first listing is for the commit that forgets, the second for what has come since.
        between.plan(Moment::Listed("device"), async move {
            again.plan(Moment::Listed("device"), async move {
                grant(&elsewhere, &whom, &exemption()).await;
            });
        });
        forgetting.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(between.is_done());
        assert_eq!(world.events_of(Kind::ExemptionGranted).await.len(), 1);
        assert!(engine.exemptions(&acme()).await.unwrap().is_empty());
    }

    async fn s12_a_record_that_cannot_be_trusted_exempts_nobody(world) {
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let mut record = user_record(&world, &bob, "exemptions").await;
        let last = record.body.len() - 40;
        record.body[last] ^= 1;
        overwrite(&world, &record).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
        let refused = world.events_of(Kind::RecordRefused).await;
        assert!(refused.iter().any(|event| event.field("record") == Some("exemptions")));
        assert_eq!(engine.exemptions(&acme()).await.unwrap_err().code(), "unavailable");
        engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(engine.exemptions(&acme()).await.unwrap().is_empty());
    }

    async fn s12_an_exemption_that_a_clock_ahead_granted_counts_once_its_time_has_come(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        let then = world.now();
        let ahead = Duration::from_secs(31);
        world.clock.advance(ahead);
        grant(&engine, &bob, &exemption()).await;
        for (behind, expected) in [(31_000, "no_method"), (30_001, "no_method"), (30_000, "exempted")] {
            world.clock.set(then.plus(ahead - Duration::from_millis(behind)));
            assert_eq!(answer(&engine, by_key(&bob)).await, expected, "{behind}");
        }
    }

    async fn s16_an_exemption_that_was_put_back_contradicts_the_log(world) {
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        let granted = grant(&engine, &bob, &exemption()).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        let row = user_record(&world, &bob, "exemptions").await;
        assert_eq!(end(&engine, &bob, granted.id, &host()).await, "done");
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
        streams_are_whole(&world.events().await);
        // Whoever writes to the store undoes it: the next day's login goes through, at a place that is taken.
        overwrite(&world, &row).await;
        world.clock.advance(DAY);
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        assert!(has_a_place_twice(&world.events().await));
    }

    async fn s12_exemptions_move_to_another_key_with_the_other_records(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let (old, new) = (world.ring.active(), KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "a rotation").await.unwrap();
        engine.reseal().await.unwrap();
        engine.key_retire(&old, "ops", "a rotation").await.unwrap();
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
    }
}
