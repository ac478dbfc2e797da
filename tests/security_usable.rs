//! S5: "cannot use the method" is never "has no method".
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Begin, Challenge, DeniedReason, Engine, EngineBuilder, KeyId, KeyRing, Policy, Reason, Record, Response,
    Subject, Verify,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::attack::{delete, forged, overwrite, payload, user_key, user_record};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::{World, begin, login, on_stores};
use serde_json::json;

fn policy(enforced: bool) -> Policy {
    Policy::recommended().with_document(&json!({ "enforced": enforced })).unwrap()
}

/// A node that shares nothing with the world but the store, the directory and the clock.
fn bare(world: &World, ring: KeyRing, enforced: bool) -> EngineBuilder {
    let clock = Arc::new(world.clock.clone());
    Engine::builder(world.store.clone(), world.directory.clone(), ring, clock)
        .entropy(Arc::new(SeededEntropy::new(0x5eed + u64::from(enforced))))
        .policy(policy(enforced))
        .danger_test_doubles()
}

fn other_ring(id: &str) -> KeyRing {
    KeyRing::new(KeyId::parse(id).unwrap(), [0x43; 32]).unwrap()
}

/// The answer is a refusal, and nothing but time and an administrator will change it.
async fn denied(engine: &Engine, subject: &Subject, reason: DeniedReason, what: &str) {
    match engine.begin(login(subject)).await.unwrap() {
        Begin::Denied(denied) => assert_eq!(denied.reason, reason, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    let explained = engine.explain(&login(subject)).await.unwrap();
    assert_eq!(explained.outcome.code(), "denied", "{what}");
}

/// A challenge that was begun while all was well is not answered either.
async fn not_verified(engine: &Engine, challenge: &Challenge, code: &str, what: &str) {
    match engine.verify(&challenge.reference, Response::code(code)).await {
        Ok(Verify::Rejected(rejected)) => assert!(
            matches!(
                rejected.reason,
                Reason::Unavailable | Reason::NotFound | Reason::Locked | Reason::Superseded
            ),
            "{what}: {rejected:?}"
        ),
        Err(error) => assert_eq!(error.code(), "unavailable", "{what}"),
        other => panic!("{what}: {other:?}"),
    }
}

/// Does `harm` to a new user, under a policy that enforces a second factor and one that does not.
macro_rules! harmed {
    ($world:ident, $what:expr, $reason:expr, |$subject:ident, $engine:ident| $harm:expr) => {
        for enforced in [false, true] {
            let name = format!("{}-{enforced}", $what);
            let ($subject, app) = $world.enrol(&name).await;
            let $engine = $world.node().policy(policy(enforced)).build().await.unwrap();
            let challenge = begin(&$engine, &$subject).await;
            $harm;
            denied(&$engine, &$subject, $reason, &name).await;
            not_verified(&$engine, &challenge, &app.code_at($world.now()), &name).await;
        }
    };
}

/// Rewrites a record's format version, as authentically as the engine writes its own.
async fn set_version(world: &World, subject: &Subject, kind: &'static str, version: u8) {
    let record = user_record(world, subject, kind).await;
    let mut payload = payload(&record);
    payload[0] = version;
    overwrite(world, &forged(&record, &payload)).await;
}

async fn flip(world: &World, record: Record, at: usize) {
    let mut body = record.body.clone();
    body[at] ^= 1;
    overwrite(world, &Record::new(record.key, record.version, body, record.expires_at)).await;
}

on_stores! {
    async fn s05_a_node_that_cannot_use_the_method_denies(world) {
        for enforced in [false, true] {
            let (bob, app) = world.enrol(&format!("bob-{enforced}")).await;
            let totp = || mfa::totp::Totp::new("Example").unwrap();
            let none =
                world.node().policy(policy(enforced).with_document(&json!({ "offered": [] })).unwrap());
            let other =
                world.node().policy(policy(enforced).with_document(&json!({ "offered": ["sms"] })).unwrap());
            let engines = [
                ("wrong root", bare(&world, other_ring("k1"), enforced).provider(totp())),
                ("no such key id", bare(&world, other_ring("k2"), enforced).provider(totp())),
                ("not registered", bare(&world, mfa_tests::ring(), enforced)),
                ("offers nothing", none),
                ("offers another", other),
            ];
            for (what, builder) in engines {
                let engine = builder.build().await.unwrap();
                let challenge = world.begin(&bob).await;
                denied(&engine, &bob, DeniedReason::Unavailable, what).await;
                not_verified(&engine, &challenge, &app.code_at(world.now()), what).await;
            }
            // The node that can use it goes on.
            let challenge = world.begin(&bob).await;
            let code = app.code_at(world.now());
            assert!(matches!(world.answer(&challenge, &code).await, Verify::Verified(_)));
        }
    }

    async fn s05_a_record_of_an_unknown_version_denies(world) {
        // What the engine wrote itself is taken when it is written again in this way.
        let (eve, app) = world.enrol("eve").await;
        for kind in ["login", "vault"] {
            let record = user_record(&world, &eve, kind).await;
            overwrite(&world, &forged(&record, &payload(&record))).await;
        }
        let challenge = world.begin(&eve).await;
        let code = app.code_at(world.now());
        assert!(matches!(world.answer(&challenge, &code).await, Verify::Verified(_)));
        for version in [0, 2, 255] {
            let what = |kind| format!("{kind}-{version}");
            harmed!(world, what("login"), DeniedReason::Unavailable, |u, _e| set_version(
                &world, &u, "login", version
            )
            .await);
            harmed!(world, what("vault"), DeniedReason::Unavailable, |u, _e| set_version(
                &world, &u, "vault", version
            )
            .await);
        }
        let refused = world.events_of(Kind::RecordRefused).await;
        assert!(refused.iter().any(|e| e.field("problem") == Some("unknown_version")));
        // One that is empty or cut short, and authentic.
        harmed!(world, "empty", DeniedReason::Unavailable, |u, _e| {
            let record = user_record(&world, &u, "login").await;
            overwrite(&world, &forged(&record, &[])).await;
        });
        harmed!(world, "cut", DeniedReason::Unavailable, |u, _e| {
            let record = user_record(&world, &u, "login").await;
            let mut cut = payload(&record);
            cut.pop();
            overwrite(&world, &forged(&record, &cut)).await;
        });
    }

    async fn s05_a_record_that_was_changed_denies(world) {
        for kind in ["login", "vault"] {
            harmed!(world, format!("flipped-{kind}"), DeniedReason::Unavailable, |u, _e| {
                let record = user_record(&world, &u, kind).await;
                let middle = record.body.len() / 2;
                flip(&world, record, middle).await;
            });
        }
        harmed!(world, "no-vault", DeniedReason::Unavailable, |u, _e| delete(&world, user_key(&u, "vault"))
            .await);
        let refused = world.events_of(Kind::RecordRefused).await;
        assert!(refused.iter().all(|e| e.field("problem") == Some("not_authentic")) && refused.len() >= 4);
        // The list of open challenges is no method, but a login cannot go on without it.
        for enforced in [false, true] {
            let (bob, _) = world.enrol(&format!("open-{enforced}")).await;
            let engine = world.node().policy(policy(enforced)).build().await.unwrap();
            let _ = begin(&engine, &bob).await;
            let record = user_record(&world, &bob, "open").await;
            flip(&world, record, 20).await;
            match engine.begin(login(&bob)).await.unwrap() {
                Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::Unavailable),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn s05_a_changed_challenge_is_not_judged_right_or_wrong(world) {
        let (bob, app) = world.enrol("bob").await;
        for code in [app.code_at(world.now()), app.wrong_code_at(world.now(), 3)] {
            let challenge = world.begin(&bob).await;
            let stored = mfa_tests::attack::records(&world)
                .await
                .into_iter()
                .find(|r| *r.key.id == *challenge.id.as_bytes())
                .unwrap();
            let middle = stored.body.len() / 2;
            flip(&world, stored, middle).await;
            let error = world.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            assert_eq!(error.code(), "unavailable");
            let again = world.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap_err();
            assert_eq!(again.to_string(), error.to_string());
            assert!(world.engine.status(bob.account(), challenge.id).await.is_err());
        }
        // Repeating the request writes no second event.
        assert_eq!(world.events_of(Kind::RecordRefused).await.len(), 2);
    }

    async fn s05_a_user_whose_every_method_is_locked_or_stopped_is_denied(world) {
        for enforced in [false, true] {
            let (bob, app) = world.enrol(&format!("bob-{enforced}")).await;
            let engine = world.node().policy(policy(enforced)).build().await.unwrap();
            let mut failures = 0;
            loop {
                match engine.begin(login(&bob)).await.unwrap() {
                    Begin::Challenge(challenge) => {
                        let wrong = app.wrong_code_at(world.now(), 5);
                        let refused =
                            engine.verify(&challenge.reference, Response::code(&wrong)).await.unwrap();
                        failures += u32::from(
                            matches!(refused, Verify::Rejected(r) if r.reason == Reason::WrongCode),
                        );
                        if failures == 20 {
                            denied(&engine, &bob, DeniedReason::Locked, "locked").await;
                            let right = app.code_at(world.now());
                            let live = begin_is_locked(&engine, &bob).await;
                            not_verified(&engine, &challenge, &right, "locked").await;
                            assert!(live > Duration::from_secs(3600));
                        }
                    }
                    Begin::Denied(denied) => {
                        assert_eq!(denied.reason, DeniedReason::Locked);
                        if failures == 100 {
                            break;
                        }
                        world.clock.advance(denied.retry_after.expect("a wait"));
                    }
                    other => panic!("{other:?}"),
                }
            }
            // Stopped: no time brings it back.
            world.clock.advance(Duration::from_secs(400 * 86_400));
            match engine.begin(login(&bob)).await.unwrap() {
                Begin::Denied(d) => assert_eq!((d.reason, d.retry_after), (DeniedReason::Locked, None)),
                other => panic!("{other:?}"),
            }
        }
    }

    async fn s05_another_method_is_asked_for_when_one_cannot_be_used(world) {
        let (bob, app) = world.enrol("bob").await;
        let with_both = world.node().provider(scripted(Vec::new())).build().await.unwrap();
        enrol_in(&with_both, &bob, "scripted", SCRIPTED_CODE).await;
        // This node has no TOTP: the other method is asked for, and a TOTP code is wrong for it.
        for enforced in [false, true] {
            let builder = bare(&world, mfa_tests::ring(), enforced).provider(scripted(Vec::new()));
            let engine = builder.build().await.unwrap();
            let challenge = begin(&engine, &bob).await;
            assert_eq!(challenge.method.provider.as_str(), "scripted");
            assert_eq!(challenge.methods.len(), 1);
            let code = app.code_at(world.now());
            let refused = engine.verify(&challenge.reference, Response::code(&code)).await.unwrap();
            assert!(matches!(refused, Verify::Rejected(r) if r.reason == Reason::WrongCode));
        }
    }

    async fn s05_another_persons_records_are_not_no_records(world) {
        let (bob, _) = world.enrol("bob").await;
        let next = bob.clone().with_generation("2").unwrap();
        for enforced in [false, true] {
            let engine = world.node().policy(policy(enforced)).build().await.unwrap();
            denied(&engine, &next, DeniedReason::Generation, "generation").await;
        }
        // Not even an enrolment can be begun over them.
        world.directory.put(&next).await.unwrap();
        let begun = world
            .engine
            .enrol_begin(
                next.account(),
                next.user(),
                &mfa_tests::totp(),
                &mfa::Choice::none(),
                &mfa_tests::host(),
            )
            .await;
        assert_eq!(begun.unwrap_err().code(), "generation");
    }

    async fn s05_a_store_that_fails_is_an_error_and_no_login(world) {
        let (bob, _) = world.enrol("bob").await;
        let faulty = Arc::new(FaultStore::new(world.store.clone()));
        let failing = World::on(faulty.clone(), None).await;
        for (at, fault) in [
            (At::OnGet, Fault::Unavailable),
            (At::BeforeCommit, Fault::Unavailable),
            (At::BeforeCommit, Fault::Unknown),
        ] {
            faulty.fail(at, fault, 1);
            assert_eq!(failing.engine.begin(login(&bob)).await.unwrap_err().code(), "unavailable");
            assert!(faulty.heal());
        }
        // A user without a method is not let through by an error either: the event could not be written.
        let eve = failing.add("eve").await;
        faulty.fail(At::BeforeCommit, Fault::Unavailable, 1);
        assert!(failing.engine.begin(login(&eve)).await.is_err());
    }
}

async fn begin_is_locked(engine: &Engine, subject: &Subject) -> Duration {
    match engine.begin(login(subject)).await.unwrap() {
        Begin::Denied(denied) => denied.retry_after.expect("a wait"),
        other => panic!("{other:?}"),
    }
}
