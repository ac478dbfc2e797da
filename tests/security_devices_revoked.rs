//! S15, S16 and S20: revoking devices, by whose right, at what cost, and rows of devices that come back.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::DeviceState;
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{overwrite, records};
use mfa_tests::between::{Moment, between};
use mfa_tests::devices::{
    called, devices, let_in, log_in, session_of, trusted, trusting, turned, with_trust,
};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrolments, first_factor, in_session_of, prove_with};
use mfa_tests::told::{has_a_place_twice, streams_are_whole};
use mfa_tests::{host, on_stores};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

on_stores! {
    async fn s20_revoking_by_a_first_factor_what_is_not_trusted_writes_one_event_a_minute(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let (account, user, by_bob) = (bob.account(), bob.user(), first_factor(&bob));
        let kept = trusted(&engine, &world, &bob, &app).await;
        engine.device_revoke_all(account, user, &by_bob).await.unwrap();
        assert_eq!(called(&engine, &bob, &kept.token).await, "not_trusted");
        engine.device_revoke(account, user, kept.id, &by_bob).await.unwrap();
        for _ in 0..3 {
            world.clock.advance(MINUTE);
            let (before, told) = (records(&world).await, world.events_of(Kind::DeviceRevoked).await.len());
            for _ in 0..20 {
                engine.device_revoke_all(account, user, &by_bob).await.unwrap();
                engine.device_revoke(account, user, kept.id, &by_bob).await.unwrap();
            }
            assert_eq!(records(&world).await, before);
            assert_eq!(world.events_of(Kind::DeviceRevoked).await.len(), told + 2, "one of all, one of the device");
        }
        // Of a user of whom nothing is known as well.
        let carol = world.add("carol").await;
        let told = world.events_of(Kind::DeviceRevoked).await.len();
        for _ in 0..20 {
            engine.device_revoke_all(carol.account(), carol.user(), &first_factor(&carol)).await.unwrap();
        }
        assert_eq!(world.events_of(Kind::DeviceRevoked).await.len(), told + 1);
        streams_are_whole(&world.events().await);
    }

    async fn s15_revoking_all_ends_what_a_grant_could_still_trust(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        // Nothing is trusted yet; once it was revoked before, and once it was not.
        for _ in 0..2 {
            let grant = log_in(&engine, &world, &bob, &app, None).await;
            engine.device_revoke_all(bob.account(), bob.user(), &first_factor(&bob)).await.unwrap();
            let refused = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap_err();
            assert_eq!(refused.code(), "step_up_required");
        }
        assert!(devices(&engine, &bob).await.is_empty());
    }

    async fn s15_a_proof_that_ends_while_it_is_used_bans_nothing(base) {
        let engine = trusting(&base, &Inbox::new()).await;
        let (bob, app) = base.enrol("bob").await;
        let kept = trusted(&engine, &base, &bob, &app).await;
        let method = enrolments(&base, &bob).await[0];
        let intent = mfa::Intent::ban_device(&bob, kept.id);
        let proof = prove_with(&base, &bob, (method, &app), &intent).await;
        let between = Arc::new(between(&base.store));
        let node = with_trust(node_on(&base, between.clone()), &json!({})).build().await.unwrap();
        let (other, whom) = (engine.clone(), bob.clone());
        between.plan(Moment::Read("device"), async move {
            other.revoke(whom.account(), whom.user(), &host()).await.unwrap();
        });
        let by_bob = in_session_of(&bob, &proof);
        let told = node.device_ban(bob.account(), bob.user(), kept.id, &by_bob).await;
        assert_eq!(told.unwrap_err().code(), "step_up_required");
        assert!(between.is_done());
        assert_ne!(devices(&engine, &bob).await[0].state, DeviceState::Banned);
    }

    async fn s16_a_device_that_was_put_back_contradicts_the_log(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let token = turned(&engine, &bob, &kept.token).await;
        let all = records(&world).await;
        let row = all.iter().find(|record| record.key.kind.as_str() == "device").unwrap();
        engine.device_revoke(bob.account(), bob.user(), kept.id, &host()).await.unwrap();
        assert!(let_in(&engine, &bob, &token).await.is_none());
        streams_are_whole(&world.events().await);
        // Whoever writes to the store undoes it: the login goes through, at a place that is taken.
        overwrite(&world, row).await;
        assert!(let_in(&engine, &bob, &token).await.is_some());
        assert!(has_a_place_twice(&world.events().await));
    }
}
