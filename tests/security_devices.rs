//! S15: a device is trusted by its token alone, and no longer than the reasons for it hold.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Begin, DeviceState, DeviceToken, Engine, ExplainedOutcome, Intent, NotRequired, Subject, http_status,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::CountingStore;
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{forged, overwrite, payload, records};
use mfa_tests::devices::{
    called, devices, from, let_in, log_in, session_of, trusted, trusting, turned, with_trust,
};
use mfa_tests::notified::{arrived, mail};
use mfa_tests::probe::node_on;
use mfa_tests::rights::subject_of;
use mfa_tests::{World, host, login, on_stores};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);
const GRACE: Duration = Duration::from_secs(10);
/// From when on a value that was replaced is a copy's, by whichever clock.
const ALARM: Duration = Duration::from_secs(40);
const INSTANT: Duration = Duration::from_millis(1);

/// A node that lets users trust devices, and bob with an app.
async fn bob(world: &World) -> (Engine, Subject, SoftAuthenticator) {
    let engine = trusting(world, &Inbox::new()).await;
    let (bob, app) = world.enrol("bob").await;
    (engine, bob, app)
}

on_stores! {
    async fn s15_a_trusted_device_is_not_asked_and_its_token_turns_at_each_use(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        assert_eq!(kept.state, DeviceState::Trusted);
        assert_eq!(kept.expires_at, world.now().plus(30 * DAY));
        let mut token = kept.token;
        for _ in 0..3 {
            world.clock.advance(DAY);
            let begun = engine.begin(from(&bob, Some(&token))).await.unwrap();
            assert_eq!(http_status(&begun).status, 200);
            let Begin::TrustedDevice(let_in) = begun else { panic!("{begun:?}") };
            assert_eq!((let_in.device, let_in.expires_at, let_in.aal()), (kept.id, kept.expires_at, Aal::One));
            let next = let_in.token.unwrap();
            assert_ne!(next.expose_secret(), token.expose_secret());
            token = next;
            let event = world.events_of(Kind::LoginNotRequired).await.pop().unwrap();
            assert_eq!((event.reason(), event.field("device")), (Some("trusted_device"), Some(&*kept.id.to_string())));
            assert_eq!(devices(&engine, &bob).await[0].last_used_at, world.now());
        }
        // It is no grant and no proof, and nothing is an attempt.
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 3);
        let asked = engine.step_up_begin(from(&bob, Some(&token)), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(asked, Begin::Challenge(_)), "{asked:?}");
        assert!(let_in(&engine, &bob, &token).await.is_some());
        // Trusted was one device, of one user.
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Challenge(_)), "{begun:?}");
    }

    async fn s15_no_other_text_is_a_token_and_none_is_looked_up(world) {
        let (engine, bob, app) = bob(&world).await;
        let (eve, eve_app) = world.enrol("eve").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let of_eve = trusted(&engine, &world, &eve, &eve_app).await;
        let namesake = subject_of("other", "bob");
        world.directory.put(&namesake).await.unwrap();
        let app_there = world.enrol_again(&namesake).await;
        let elsewhere = trusted(&engine, &world, &namesake, &app_there).await;
        let proof = world.prove(&bob, &app, &Intent::disable(&bob)).await;
        let challenge = world.begin(&bob).await;
        let counted = Arc::new(CountingStore::new(world.store.clone()));
        let engine = with_trust(node_on(&world, counted.clone()), &json!({})).build().await.unwrap();
        let good = kept.token.expose_secret();
        let mut texts = vec![
            String::new(),
            "made-up".to_owned(),
            "A".repeat(20_000),
            kept.id.to_string(),
            of_eve.token.expose_secret().to_owned(),
            elsewhere.token.expose_secret().to_owned(),
            proof.expose_secret().to_owned(),
            challenge.reference.expose_secret().to_owned(),
        ];
        // Cut off, or changed in one place.
        texts.extend([&good[..good.len() - 1], &good[1..]].map(str::to_owned));
        texts.extend((0..good.len()).step_by(7).map(|at| {
            let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            format!("{}{other}{}", &good[..at], &good[at + 1..])
        }));
        for text in texts {
            let _ = counted.take();
            let begun = engine.begin(login(&bob).with_device(DeviceToken::from_text(&text))).await.unwrap();
            assert!(matches!(begun, Begin::Challenge(_)), "{text:.60}");
            let counts = counted.take();
            assert_eq!((counts.gets, counts.keys_read, counts.commits), (1, 3, 1), "{text:.60}");
        }
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        let _ = counted.take();
        assert!(let_in(&engine, &bob, &kept.token).await.is_some());
        let counts = counted.take();
        assert_eq!((counts.gets, counts.keys_read, counts.commits), (1, 4, 1));
    }

    async fn s15_a_copied_token_ends_the_device_and_the_user_is_told(world) {
        let inbox = Inbox::new();
        let engine = trusting(&world, &inbox).await;
        let bob = world.add_reachable("bob").await;
        let app = world.enrol_again(&bob).await;
        for thief_first in [true, false] {
            let kept = trusted(&engine, &world, &bob, &app).await;
            let next = turned(&engine, &bob, &kept.token).await;
            let _ = arrived(&engine, &inbox).await;
            world.clock.advance(ALARM);
            // Whichever of the two holds the older value, neither is trusted any more.
            let (first, second) = if thief_first { (&kept.token, &next) } else { (&kept.token, &kept.token) };
            assert_eq!(called(&engine, &bob, first).await, "reused");
            for token in [first, second, &next, &kept.token] {
                assert!(let_in(&engine, &bob, token).await.is_none());
                assert_eq!(called(&engine, &bob, token).await, "unknown");
            }
            assert!(devices(&engine, &bob).await.is_empty());
            let reused = world.events_of(Kind::DeviceReused).await;
            assert_eq!(reused.iter().filter(|e| e.field("device") == Some(&*kept.id.to_string())).count(), 1);
            let told = arrived(&engine, &inbox).await;
            let expected = ("bob@acme.example".to_owned(), "A trusted device may have been copied".to_owned());
            assert_eq!(told, [expected]);
            world.clock.advance(Duration::from_secs(3600));
        }
    }

    async fn s15_a_replaced_value_is_good_for_ten_seconds_and_gets_no_other(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let next = turned(&engine, &bob, &kept.token).await;
        world.clock.advance(GRACE - INSTANT);
        let late = let_in(&engine, &bob, &kept.token).await.unwrap();
        assert!(late.token.is_none());
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        // One rotation further, the first value is two behind.
        let after = turned(&engine, &bob, &next).await;
        assert!(let_in(&engine, &bob, &next).await.is_some());
        assert_eq!(called(&engine, &bob, &kept.token).await, "reused");
        world.clock.advance(GRACE);
        assert_eq!(called(&engine, &bob, &next).await, "not_trusted", "for half a minute nobody is accused");
        world.clock.advance(ALARM - GRACE - INSTANT);
        assert!(let_in(&engine, &bob, &next).await.is_none());
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        world.clock.advance(INSTANT);
        assert_eq!(called(&engine, &bob, &next).await, "reused");
        assert!(let_in(&engine, &bob, &after).await.is_some());
    }

    async fn s15_trust_ends_after_thirty_days_however_often_it_is_used(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let mut token = kept.token;
        let ends = kept.expires_at;
        for _ in 0..29 {
            world.clock.advance(DAY);
            token = turned(&engine, &bob, &token).await;
        }
        world.clock.set(ends.minus(INSTANT));
        token = turned(&engine, &bob, &token).await;
        world.clock.set(ends);
        assert!(let_in(&engine, &bob, &token).await.is_none());
        assert!(devices(&engine, &bob).await.is_empty());
    }

    async fn s15_a_policy_that_is_stricter_holds_at_once(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let since = kept.expires_at.minus(30 * DAY);
        let short = with_trust(world.node(), &json!({ "trust_days": 2 })).build().await.unwrap();
        let off = world.node().build().await.unwrap();
        assert!(let_in(&off, &bob, &kept.token).await.is_none());
        assert_eq!(devices(&off, &bob).await[0].state, DeviceState::NotTrusted);
        world.clock.set(since.plus(2 * DAY).minus(INSTANT));
        let let_in_now = let_in(&short, &bob, &kept.token).await.unwrap();
        assert_eq!(let_in_now.expires_at, since.plus(2 * DAY));
        let token = let_in_now.token.unwrap();
        world.clock.advance(INSTANT);
        assert!(let_in(&short, &bob, &token).await.is_none());
        // Where it is lax still, it holds.
        let grant = log_in(&off, &world, &bob, &app, None).await;
        assert_eq!(off.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap_err().code(), "policy_forbids");
        assert!(let_in(&engine, &bob, &token).await.is_some());
        // Trust that is given by the strict one is short from the beginning.
        let kept = trusted(&short, &world, &bob, &app).await;
        assert_eq!(kept.expires_at.since(world.now()), 30 * DAY, "known it is for as long as ever");
        let given = world.now();
        let until = let_in(&engine, &bob, &kept.token).await.unwrap();
        assert_eq!(until.expires_at, given.plus(2 * DAY), "by the lax one too");
        world.clock.set(given.plus(2 * DAY));
        assert!(let_in(&engine, &bob, &until.token.unwrap()).await.is_none());
        assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::NotTrusted);
    }

    async fn s15_an_explanation_says_what_begin_will_answer_and_turns_nothing(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let before = records(&world).await;
        let explained = engine.explain(&from(&bob, Some(&kept.token))).await.unwrap();
        assert_eq!(explained.outcome, ExplainedOutcome::TrustedDevice(kept.id));
        let rule = |name: &str| explained.rules.iter().find(|rule| rule.name == name).unwrap().clone();
        assert_eq!((rule("trust").value, rule("device").value), ("true".to_owned(), "trusted".to_owned()));
        let off = world.node().build().await.unwrap();
        let explained = off.explain(&from(&bob, Some(&kept.token))).await.unwrap();
        assert_eq!(explained.outcome.code(), "challenge");
        assert_eq!(records(&world).await, before);
        assert!(let_in(&engine, &bob, &kept.token).await.is_some());
    }

    async fn s15_a_record_that_was_changed_is_no_device(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let all = records(&world).await;
        let device = all.iter().find(|record| record.key.kind.as_str() == "device").unwrap();
        let mut changed = payload(device);
        changed.pop();
        overwrite(&world, &forged(device, &changed)).await;
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        let refused = world.events_of(Kind::RecordRefused).await.pop().unwrap();
        assert_eq!(refused.field("record"), Some("device"));
        assert!(devices(&engine, &bob).await.is_empty());
        // Its place is taken by the next one, which is in the log: it may have been a banned one.
        world.clock.advance(DAY);
        let next = trusted(&engine, &world, &bob, &app).await;
        let refused = world.events_of(Kind::RecordRefused).await.pop().unwrap();
        assert_eq!((refused.field("record"), refused.at() > world.now().minus(DAY)), (Some("device"), true));
        assert!(let_in(&engine, &bob, &next.token).await.is_some());
    }

    async fn s15_a_user_who_has_no_method_or_cannot_use_one_is_not_let_in_by_a_device(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        // A node that does not know the method refuses as ever.
        let bare = Engine::builder(
            world.store.clone(),
            world.directory.clone(),
            world.ring.clone(),
            Arc::new(world.clock.clone()),
        );
        let bare = with_trust(bare.danger_test_doubles(), &json!({})).build().await.unwrap();
        let denied = bare.begin(from(&bob, Some(&kept.token))).await.unwrap();
        assert!(matches!(denied, Begin::Denied(_)), "{denied:?}");
        world.engine.disable(bob.account(), bob.user(), &host()).await.unwrap();
        let free = engine.begin(from(&bob, Some(&kept.token))).await.unwrap();
        assert!(matches!(free, Begin::NotRequired(NotRequired::NoMethod)), "{free:?}");
        let strict = with_trust(world.node(), &json!({ "enforced": true })).build().await.unwrap();
        let must = strict.begin(from(&bob, Some(&kept.token))).await.unwrap();
        assert!(matches!(must, Begin::EnrolmentRequired(_)), "{must:?}");
    }

    async fn s15_a_restored_backup_trusts_nobody_and_accuses_nobody(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let banned = trusted(&engine, &world, &bob, &app).await;
        engine.device_ban(bob.account(), bob.user(), banned.id, &host()).await.unwrap();
        let backup = records(&world).await;
        let next = turned(&engine, &bob, &kept.token).await;
        for record in &backup {
            overwrite(&world, record).await;
        }
        engine.restore_barrier("ops", "the backup of noon came back").await.unwrap();
        for token in [&kept.token, &next] {
            assert_eq!(called(&engine, &bob, token).await, "unknown");
            assert!(let_in(&engine, &bob, token).await.is_none());
        }
        assert_eq!(called(&engine, &bob, &banned.token).await, "banned");
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
    }

    async fn s15_a_token_outlives_a_change_of_keys(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        let (old, new) = (world.ring.active(), mfa::KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "yearly rotation").await.unwrap();
        engine.reseal().await.unwrap();
        world.clock.advance(DAY);
        let retired = engine.key_retire(&old, "ops", "yearly rotation").await;
        assert_eq!(retired.unwrap_err().code(), "key_in_use", "the token's");
        let next = turned(&engine, &bob, &kept.token).await;
        let retired = engine.key_retire(&old, "ops", "yearly rotation").await;
        assert_eq!(retired.unwrap_err().code(), "key_in_use", "that of the token before");
        world.clock.advance(GRACE);
        engine.key_retire(&old, "ops", "yearly rotation").await.unwrap();
        assert!(let_in(&engine, &bob, &next).await.is_some());
        // What was under the old key says nothing any more, not even that it was copied.
        assert_eq!(called(&engine, &bob, &kept.token).await, "unknown");
    }

    async fn s15_the_user_is_told_that_a_device_is_trusted(world) {
        let inbox = Inbox::new();
        let engine = trusting(&world, &inbox).await;
        let bob = world.add_reachable("bob").await;
        let app = world.enrol_again(&bob).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let _ = arrived(&engine, &inbox).await;
        let _ = engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        assert_eq!(arrived(&engine, &inbox).await, []);
        // To where the user was when the login began.
        world.directory.put(&bob.clone().with_contacts(vec![mail("thief@acme.example")]).unwrap()).await.unwrap();
        let _ = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        let told = ("bob@acme.example".to_owned(), "A device is trusted".to_owned());
        assert_eq!(arrived(&engine, &inbox).await, [told]);
        // What the user calls it stands in no event.
        let written = format!("{:?}", world.events().await);
        assert!(!written.contains("a laptop"));
    }
}

#[test]
fn s15_a_token_is_not_shown() {
    let token = DeviceToken::from_text("secret");
    assert_eq!(format!("{token:?}"), "DeviceToken([redacted])");
    let login = login(&mfa_tests::subject("bob")).with_device(token);
    assert!(!format!("{login:?}").contains("secret"));
}
