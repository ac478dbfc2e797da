//! S15: what a clock that ran ahead, or behind, makes of the values of a device.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::DeviceState;
use mfa_testkit::inbox::Inbox;
use mfa_tests::devices::{called, devices, let_in, trusted, trusting, turned};
use mfa_tests::on_stores;

const HOUR: Duration = Duration::from_secs(3600);
/// How far the clocks of two nodes may differ.
const SKEW: Duration = Duration::from_secs(30);
const GRACE: Duration = Duration::from_secs(10);
const INSTANT: Duration = Duration::from_millis(1);

on_stores! {
    async fn s15_a_clock_that_ran_ahead_brings_no_replaced_value_back(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let begun = world.now();
        world.clock.set(begun.plus(HOUR));
        let next = turned(&engine, &bob, &kept.token).await;
        // Set right, it says nothing of how long ago that was: both are asked, and neither is accused.
        for at in [begun, begun.plus(HOUR).minus(SKEW + INSTANT)] {
            world.clock.set(at);
            for token in [&kept.token, &next] {
                assert_eq!(called(&engine, &bob, token).await, "not_trusted");
                assert!(let_in(&engine, &bob, token).await.is_none());
            }
            assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::NotTrusted);
        }
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        // Once the time has come it is as if the clock had been right.
        world.clock.set(begun.plus(HOUR).minus(SKEW));
        assert!(let_in(&engine, &bob, &next).await.is_some());
    }

    async fn s15_a_clock_that_runs_behind_accuses_nobody_within_what_clocks_may_differ(world) {
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let next = turned(&engine, &bob, &kept.token).await;
        // Another request of the same moment, at a node whose clock is ahead.
        let turned_at = world.now();
        world.clock.set(turned_at.plus(SKEW));
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        world.clock.set(turned_at.plus(SKEW + GRACE).minus(INSTANT));
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        assert!(let_in(&engine, &bob, &next).await.is_some());
    }
}
