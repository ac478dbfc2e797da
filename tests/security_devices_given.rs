//! S15: whom a device is kept for, by what evidence, and how many there are.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Answer, Authority, Begin, Channel, DeviceState, Engine, Factor, FirstFactor, FirstFactorKind, Grant,
    Login, Module, Provider, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::scripted::{On, Say};
use mfa_tests::attack::records;
use mfa_tests::devices::{
    called, devices, let_in, log_in, refused, session_of, trusted, trusting, with_trust,
};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::rights::{enrol_by, enrol_ranked, first_factor, prove_on};
use mfa_tests::{World, begin, host, login, on_stores, session, subject, totp};
use serde_json::json;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);
const INSTANT: Duration = Duration::from_millis(1);

async fn bob(world: &World) -> (Engine, Subject, SoftAuthenticator) {
    let engine = trusting(world, &Inbox::new()).await;
    let (bob, app) = world.enrol("bob").await;
    (engine, bob, app)
}

async fn answered(engine: &Engine, bob: &Subject, answer: Answer) -> Grant {
    let challenge = begin(engine, bob).await;
    let verified = engine.verify(&challenge.reference, Response::answer(answer)).await.unwrap();
    let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
    grant
}

/// Checks that no device was kept.
async fn nothing_kept(world: &World) {
    assert!(records(world).await.iter().all(|record| record.key.kind.as_str() != "device"));
}

on_stores! {
    async fn s15_nothing_is_trusted_for_a_way_back_in_nor_for_a_day_after_it(world) {
        let (world, _) = world.with_recovery().await;
        let engine = trusting(&world, &Inbox::new()).await;
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let recovered = answered(&engine, &bob, Answer::recovery(&codes[0])).await;
        let since = world.now();
        assert_eq!(refused(&world, "trust_device", engine.device_trust(&recovered, Some(&session_of(&recovered)), "a laptop").await).await, "recovery_hold");
        // Nor by the method that is there still.
        world.clock.set(since.plus(DAY).minus(INSTANT));
        let grant = log_in_at(&engine, &world, &bob, &app).await;
        assert_eq!(refused(&world, "trust_device", engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await).await, "recovery_hold");
        nothing_kept(&world).await;
        world.clock.set(since.plus(DAY));
        let _ = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();

        // A bypass is an administrator's word.
        let carol = world.add("carol").await;
        world.enrol_with_recovery(&carol).await;
        let issued = engine.bypass_issue(carol.account(), carol.user(), MINUTE, &host()).await.unwrap();
        let bypassed = answered(&engine, &carol, Answer::bypass(issued.code.expose_secret())).await;
        assert_eq!(refused(&world, "trust_device", engine.device_trust(&bypassed, Some(&session_of(&bypassed)), "a laptop").await).await, "not_permitted");
        assert!(devices(&engine, &carol).await.is_empty());
    }

    async fn s15_nothing_is_trusted_by_evidence_below_aal2(world) {
        // What an administrator bound, and what a first factor bound, at its first use.
        let engine = trusting(&world, &Inbox::new()).await;
        let plain = with_trust(world.node(), &json!({})).build().await.unwrap();
        let (ann, ann_app) = enrol_ranked(&world, "ann", 5).await;
        let bob = world.add("bob").await;
        let intent = mfa::Intent::add_method(&bob, &totp());
        let proof = prove_on(&engine, &world, login(&ann), &ann_app, &intent).await;
        let by_ann = Authority::proof(proof, Some(&session(&ann)));
        let bound_by_ann = enrol_by(&plain, &world, &bob, &by_ann).await;
        for _ in 0..2 {
            let grant = log_in(&plain, &world, &bob, &bound_by_ann, None).await;
            assert_eq!(refused(&world, "trust_device", plain.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await).await, "not_permitted");
        }
        let carol = world.add("carol").await;
        let bound_by_password = enrol_by(&plain, &world, &carol, &first_factor(&carol)).await;
        let first = log_in(&plain, &world, &carol, &bound_by_password, None).await;
        assert_eq!(refused(&world, "trust_device", plain.device_trust(&first, Some(&session_of(&first)), "a laptop").await).await, "not_permitted");
        nothing_kept(&world).await;
        let _ = trusted(&plain, &world, &carol, &bound_by_password).await;

        // A method of the first level, and one of the second that proves no possession.
        for (name, aal, factor) in [("low", Aal::One, Factor::Possession), ("known", Aal::Two, Factor::Knowledge)] {
            let mut descriptor = scripted(Vec::new()).describe().clone();
            (descriptor.aal, descriptor.factor) = (aal, factor);
            let provider = scripted(Vec::new()).described_as(descriptor);
            let node = with_trust(world.node().provider(provider), &json!({})).build().await.unwrap();
            let user = world.add(name).await;
            enrol_in(&node, &user, "scripted", SCRIPTED_CODE).await;
            let grant = answered(&node, &user, Answer::code(SCRIPTED_CODE)).await;
            assert_eq!(refused(&world, "trust_device", node.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await).await, "not_permitted", "{name}");
            // Known again it can be: that lowers nothing.
            let _ = node.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        }
    }

    async fn s15_nothing_is_trusted_by_an_approval_alone_whatever_its_level(world) {
        let provider = scripted(Vec::new());
        provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Approve);
        let engine = with_trust(world.node().provider(provider), &json!({})).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let grant = answered(&engine, &bob, Answer::code(SCRIPTED_CODE)).await;
        assert_eq!((grant.evidence().aal(), grant.evidence().strength.approve_only), (Aal::Two, true));
        let told = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await;
        assert_eq!(refused(&world, "trust_device", told).await, "not_permitted");
        nothing_kept(&world).await;
    }

    async fn s15_nothing_is_trusted_where_both_steps_are_of_one_kind(world) {
        let (engine, bob, app) = bob(&world).await;
        for kind in [FirstFactorKind::MutualTls, FirstFactorKind::ApiKey, FirstFactorKind::Sso] {
            let first = FirstFactor::verified_now(kind, Channel::Direct, Some(&session(&bob)));
            let login = Login::new(bob.clone(), first, Module::parse("user_auth").unwrap());
            let Begin::Challenge(challenge) = engine.begin(login).await.unwrap() else { panic!("no challenge") };
            let code = Response::code(&app.code_at(world.now()));
            let verified = engine.verify(&challenge.reference, code).await.unwrap();
            let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
            let told = engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await;
            assert_eq!(refused(&world, "trust_device", told).await, "not_permitted", "{kind:?}");
            world.clock.advance(MINUTE);
        }
        nothing_kept(&world).await;
    }

    async fn s15_a_grant_keeps_a_device_within_its_minute_and_of_an_unchanged_user(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in_at(&engine, &world, &bob, &app).await;
        let granted = world.now();
        world.clock.set(granted.plus(MINUTE));
        let (trust, keep) = (engine.device_trust(&grant, Some(&session_of(&grant)), "a").await, engine.device_remember(&grant, Some(&session_of(&grant)), "a").await);
        assert_eq!(refused(&world, "trust_device", trust).await, "step_up_required");
        assert_eq!(refused(&world, "remember_device", keep).await, "step_up_required");
        let grant = log_in_at(&engine, &world, &bob, &app).await;
        engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        let (trust, keep) = (engine.device_trust(&grant, Some(&session_of(&grant)), "a").await, engine.device_remember(&grant, Some(&session_of(&grant)), "a").await);
        assert_eq!(refused(&world, "trust_device", trust).await, "step_up_required");
        assert_eq!(refused(&world, "remember_device", keep).await, "step_up_required");
        nothing_kept(&world).await;
        world.clock.advance(MINUTE);
        let grant = log_in_at(&engine, &world, &bob, &app).await;
        world.clock.advance(MINUTE - INSTANT);
        let _ = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await.unwrap();
        // Whoever repeats a refused request writes one event.
        world.clock.advance(INSTANT);
        let before = world.events_of(Kind::ChangeRefused).await.len();
        for _ in 0..5 {
            let _ = engine.device_trust(&grant, Some(&session_of(&grant)), "a").await.unwrap_err();
        }
        assert_eq!(world.events_of(Kind::ChangeRefused).await.len(), before + 1);
        // Forgotten, the user has nothing to keep a device for.
        let (carol, app) = world.enrol("carol").await;
        let grant = log_in_at(&engine, &world, &carol, &app).await;
        engine.forget_user(carol.account(), carol.user(), &host()).await.unwrap();
        assert_eq!(engine.device_trust(&grant, Some(&session_of(&grant)), "a").await.unwrap_err().code(), "step_up_required");
    }

    async fn s15_a_grant_of_the_former_person_keeps_no_device_of_the_next(world) {
        let node = with_trust(world.node().provider(scripted(Vec::new())), &json!({}));
        let engine = node.build().await.unwrap();
        let mut former = None;
        // Within one millisecond, so that nothing but the generation tells the two apart.
        for generation in ["1", "2"] {
            let bob = subject("bob").with_generation(generation).unwrap();
            world.directory.put(&bob).await.unwrap();
            enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
            let grant = answered(&engine, &bob, Answer::code(SCRIPTED_CODE)).await;
            let Some(former) = former.replace(grant) else {
                engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
                continue;
            };
            let (trust, keep) = (engine.device_trust(&former, Some(&session_of(&former)), "a").await, engine.device_remember(&former, Some(&session_of(&former)), "a").await);
            assert_eq!(refused(&world, "trust_device", trust).await, "step_up_required");
            assert_eq!(refused(&world, "remember_device", keep).await, "step_up_required");
        }
        nothing_kept(&world).await;
        let latest = former.unwrap();
        let _ = engine.device_trust(&latest, Some(&session_of(&latest)), "a").await.unwrap();
    }

    async fn s15_a_device_has_a_name_that_fits(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let long = "x".repeat(129);
        for (name, code) in [("", "required"), (long.as_str(), "too_long"), ("a\nb", "invalid")] {
            for told in [engine.device_trust(&grant, Some(&session_of(&grant)), name).await, engine.device_remember(&grant, Some(&session_of(&grant)), name).await] {
                assert_eq!(told.unwrap_err().code(), code);
            }
        }
        let _ = engine.device_trust(&grant, Some(&session_of(&grant)), &long[..128]).await.unwrap();
        assert_eq!(devices(&engine, &bob).await[0].name.len(), 128);
    }

    async fn s15_one_grant_is_one_device_and_a_known_device_stays_the_same(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let known = engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        assert!(let_in(&engine, &bob, &known.token).await.is_none());
        let again = engine.device_trust(&grant, Some(&session_of(&grant)), "my laptop").await.unwrap();
        assert_eq!(again.id, known.id);
        // What it was known by is no way to be trusted, and no alarm while requests are on their way.
        assert!(let_in(&engine, &bob, &known.token).await.is_none());
        assert_eq!(called(&engine, &bob, &known.token).await, "not_trusted");
        // Trust ends; the next login from it trusts it anew.
        engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        let grant = log_in(&engine, &world, &bob, &app, Some(&again.token)).await;
        let third = engine.device_trust(&grant, Some(&session_of(&grant)), "my laptop").await.unwrap();
        assert_eq!(third.id, known.id);
        let shown = devices(&engine, &bob).await;
        assert_eq!((shown.len(), shown[0].name.as_str()), (1, "my laptop"));
        assert!(shown[0].created_at < shown[0].last_used_at);
        assert!(let_in(&engine, &bob, &third.token).await.is_some());
        // Another login, which shows no token, is another device.
        let other = trusted(&engine, &world, &bob, &app).await;
        assert_ne!(other.id, known.id);
    }

    async fn s15_a_device_is_known_for_thirty_days(world) {
        let (engine, bob, app) = bob(&world).await;
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        let kept = engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        assert_eq!(kept.expires_at, world.now().plus(30 * DAY));
        world.clock.set(kept.expires_at.minus(INSTANT));
        assert_eq!(called(&engine, &bob, &kept.token).await, "not_trusted");
        assert_eq!(devices(&engine, &bob).await[0].id, kept.id);
        world.clock.set(kept.expires_at);
        assert_eq!(called(&engine, &bob, &kept.token).await, "unknown");
        assert!(devices(&engine, &bob).await.is_empty());
    }

    async fn s15_a_user_has_sixteen_devices_and_the_one_used_longest_ago_goes_first(world) {
        let (engine, bob, app) = bob(&world).await;
        let mut kept = Vec::new();
        for _ in 0..16 {
            kept.push(trusted(&engine, &world, &bob, &app).await);
        }
        assert_eq!(devices(&engine, &bob).await.len(), 16);
        // The first is used, and the second banned: the third goes.
        assert!(let_in(&engine, &bob, &kept[0].token).await.is_some());
        engine.device_ban(bob.account(), bob.user(), kept[1].id, &host()).await.unwrap();
        let another = trusted(&engine, &world, &bob, &app).await;
        let ids: Vec<_> = devices(&engine, &bob).await.into_iter().map(|device| device.id).collect();
        assert_eq!(ids.len(), 16);
        assert!(ids.contains(&kept[0].id) && ids.contains(&kept[1].id) && !ids.contains(&kept[2].id));
        let event = world.events_of(Kind::DeviceTrusted).await.pop().unwrap();
        assert_eq!(event.field("replaced"), Some(&*kept[2].id.to_string()));
        // The one that went is nobody's any more, and accuses nobody.
        assert!(let_in(&engine, &bob, &kept[2].token).await.is_none());
        assert!(world.events_of(Kind::DeviceReused).await.is_empty());
        assert!(let_in(&engine, &bob, &another.token).await.is_some());
        for id in ids.iter().filter(|id| **id != kept[1].id) {
            engine.device_ban(bob.account(), bob.user(), *id, &host()).await.unwrap();
        }
        let grant = log_in(&engine, &world, &bob, &app, None).await;
        assert_eq!(engine.device_trust(&grant, Some(&session_of(&grant)), "one more").await.unwrap_err().code(), "too_many_banned");
    }

    async fn s15_a_banned_device_is_asked_and_never_trusted_again(world) {
        let (engine, bob, app) = bob(&world).await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        engine.device_ban(bob.account(), bob.user(), kept.id, &host()).await.unwrap();
        let event = world.events_of(Kind::DeviceBanned).await.pop().unwrap();
        assert_eq!((event.field("device"), event.actor()), (Some(&*kept.id.to_string()), Some("test-host")));
        assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::Banned);
        assert!(let_in(&engine, &bob, &kept.token).await.is_none());
        let grant = log_in(&engine, &world, &bob, &app, Some(&kept.token)).await;
        assert_eq!(refused(&world, "trust_device", engine.device_trust(&grant, Some(&session_of(&grant)), "a").await).await, "not_permitted");
        assert_eq!(refused(&world, "remember_device", engine.device_remember(&grant, Some(&session_of(&grant)), "a").await).await, "not_permitted");
        for told in [
            engine.device_revoke(bob.account(), bob.user(), kept.id, &host()).await,
            engine.device_ban(bob.account(), bob.user(), kept.id, &host()).await,
        ] {
            assert_eq!(told.unwrap_err().code(), "banned");
        }
        // It outlives the trust it had, for a year.
        world.clock.advance(364 * DAY);
        assert_eq!(called(&engine, &bob, &kept.token).await, "banned");
        world.clock.advance(2 * DAY);
        assert_eq!(called(&engine, &bob, &kept.token).await, "unknown");
    }

    async fn s15_revoking_takes_a_first_factor_and_banning_a_proof(world) {
        let (engine, bob, app) = bob(&world).await;
        let strict = with_trust(world.node(), &json!({ "enforced": true })).build().await.unwrap();
        let (account, user, by_password) = (bob.account(), bob.user(), first_factor(&bob));
        for node in [&engine, &strict] {
            let kept = trusted(&engine, &world, &bob, &app).await;
            assert!(let_in(&engine, &bob, &kept.token).await.is_some());
            node.device_revoke(account, user, kept.id, &by_password).await.unwrap();
            assert_eq!(devices(&engine, &bob).await[0].state, DeviceState::NotTrusted);
            let event = world.events_of(Kind::DeviceRevoked).await.pop().unwrap();
            assert_eq!((event.field("authority"), event.field("device")), (Some("first_factor"), Some(&*kept.id.to_string())));
            let banned = node.device_ban(account, user, kept.id, &by_password).await;
            assert_eq!(banned.unwrap_err().code(), "step_up_required");
            let kept = trusted(&engine, &world, &bob, &app).await;
            node.device_revoke_all(account, user, &by_password).await.unwrap();
            assert!(let_in(&engine, &bob, &kept.token).await.is_none());
            assert!(devices(&engine, &bob).await.iter().all(|device| device.state == DeviceState::NotTrusted));
        }
        let (eve, eve_app) = world.enrol("eve").await;
        let of_eve = trusted(&engine, &world, &eve, &eve_app).await;
        let unknown = engine.device_revoke(account, user, of_eve.id, &by_password).await;
        assert_eq!(unknown.unwrap_err().code(), "unknown_device");
        assert!(let_in(&engine, &eve, &of_eve.token).await.is_some());
    }
}

/// Logs in with the app's code at this very time, at which no code of it was used.
async fn log_in_at(engine: &Engine, world: &World, bob: &Subject, app: &SoftAuthenticator) -> Grant {
    let challenge = begin(engine, bob).await;
    let code = Response::code(&app.code_at(world.now()));
    let verified = engine.verify(&challenge.reference, code).await.unwrap();
    let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
    grant
}
