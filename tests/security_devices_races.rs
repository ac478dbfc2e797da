//! S15: logins from a trusted device beside other calls at the same moment.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::Runtime as _;
use mfa::{Begin, Choice, Commit, DeviceId, Engine, EnrolConfirm, Expect, Response, Subject, Version, Write};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::attack::records;
use mfa_tests::between::{Moment, between};
use mfa_tests::devices::{from, let_in, trusted, trusting, turned, with_trust};
use mfa_tests::probe::{meet, node_on, nodes_behind_a_gate};
use mfa_tests::rights::scan;
use mfa_tests::{host, on_stores, totp};
use serde_json::json;

const GRACE: Duration = Duration::from_secs(10);

/// What another node may do between a login's read and its commit.
const MEANWHILE: [&str; 6] = ["revoked", "device revoked", "all revoked", "banned", "added", "disabled"];

async fn meanwhile(what: &str, engine: &Engine, clock: &VirtualRuntime, bob: &Subject, id: DeviceId) {
    let (account, user) = (bob.account(), bob.user());
    match what {
        "revoked" => engine.revoke(account, user, &host()).await.unwrap(),
        "device revoked" => engine.device_revoke(account, user, id, &host()).await.unwrap(),
        "all revoked" => engine.device_revoke_all(account, user, &host()).await.unwrap(),
        "banned" => engine.device_ban(account, user, id, &host()).await.unwrap(),
        "disabled" => engine.disable(account, user, &host()).await.unwrap(),
        _ => {
            let begun = engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await;
            let started = begun.unwrap();
            let code = Response::code(&scan(&started).code_at(clock.now()));
            let confirmed = engine.enrol_confirm(&started.reference, &code).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        }
    }
}

on_stores! {
    async fn s15_of_64_that_show_one_token_one_gets_the_next_and_none_is_an_alarm(world) {
        const EACH: usize = 64;
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let (gate, _) = nodes_behind_a_gate(&world, 0).await;
        let mut nodes = Vec::new();
        for _ in 0..EACH {
            nodes.push(with_trust(node_on(&world, gate.clone()), &json!({})).build().await.unwrap());
        }
        // Every one has read the token's record before any of them goes on.
        meet(&gate, EACH);
        let answers = race(EACH, |i| {
            let (node, login) = (&nodes[i], from(&bob, Some(&kept.token)));
            async move { node.begin(login).await }
        });
        let mut next = Vec::new();
        for answer in answers {
            match answer {
                Ok(Begin::TrustedDevice(trusted)) => next.extend(trusted.token),
                Err(error) => assert_eq!(error.code(), "contention"),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(next.len(), 1);
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        world.clock.advance(GRACE);
        assert!(let_in(&engine, &bob, &next[0]).await.is_some());
    }

    async fn s15_what_ends_the_trust_while_a_login_is_let_in_comes_first(base) {
        let engine = trusting(&base, &Inbox::new()).await;
        // The latest value, and the one before, for which nothing of the device is written.
        for (what, latest) in MEANWHILE.into_iter().flat_map(|what| [(what, true), (what, false)]) {
            let (bob, app) = base.enrol(&format!("{}-{latest}", what.replace(' ', "-"))).await;
            let kept = trusted(&engine, &base, &bob, &app).await;
            let next = turned(&engine, &bob, &kept.token).await;
            let between = Arc::new(between(&base.store));
            let node = with_trust(node_on(&base, between.clone()), &json!({})).build().await.unwrap();
            let (engine, clock, id) = (engine.clone(), base.clock.clone(), kept.id);
            let whom = bob.clone();
            let deed = async move { meanwhile(what, &engine, &clock, &whom, id).await };
            between.plan(Moment::Read("device"), deed);
            let token = if latest { next } else { kept.token };
            assert!(let_in(&node, &bob, &token).await.is_none(), "{what}, latest: {latest}");
            assert!(between.is_done());
        }
    }

    async fn s15_secrets_that_go_while_a_login_is_let_in_let_nobody_in(base) {
        let engine = trusting(&base, &Inbox::new()).await;
        let (bob, app) = base.enrol("bob").await;
        let kept = trusted(&engine, &base, &bob, &app).await;
        let all = records(&base).await;
        let vault = all.iter().find(|record| record.key.kind.as_str() == "vault").unwrap().key.clone();
        let between = Arc::new(between(&base.store));
        let node = with_trust(node_on(&base, between.clone()), &json!({})).build().await.unwrap();
        let (store, now) = (base.store.clone(), base.now());
        between.plan(Moment::Read("device"), async move {
            let mut commit = Commit::new(vault.scope.clone(), Version::from_bytes([0xdd; 16]), now);
            commit.writes.push(Write::Delete { key: vault, expect: Expect::Any });
            let _ = store.commit(commit).await.unwrap();
        });
        let begun = node.begin(from(&bob, Some(&kept.token))).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
        assert!(between.is_done());
    }
}
