//! S6: whom Duo lets pass without an answer. It is no grant and no proof, and what becomes of the login is host code's to
//! say.

use mfa::{Begin, DeniedReason, Engine, Intent, NotRequired, Reason, Subject, Verify};
use mfa_testkit::duo::{Fault, NewUsers, On, Status as AtDuo, User};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, begin_on, push};
use mfa_tests::{World, login, on_duo};
use serde_json::json;

/// A site, and a node of it whose host accepts what Duo lets pass.
async fn site(world: World, mode: Mode) -> (DuoSite, Engine, Subject) {
    let site = DuoSite::new(world, mode).await;
    let bob = site.enrolled("bob").await;
    let lenient = site.node(&json!({})).danger_accept_provider_bypass().build().await.unwrap();
    assert!(lenient.dangers().contains(&"danger_accept_provider_bypass"));
    (site, lenient, bob)
}

/// On the strict engine the login is denied, on the lenient one it goes on without a grant, and on both a step-up
/// proves nothing.
async fn passes_without_proof(site: &DuoSite, lenient: &Engine, bob: &Subject, what: &str) {
    let strict = &site.engine;
    match strict.begin(login(bob)).await.unwrap() {
        Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::ProviderDenied, "{what}"),
        other => panic!("{what}: {other:?}"),
    }
    let passed = lenient.begin(login(bob)).await.unwrap();
    assert!(matches!(passed, Begin::NotRequired(NotRequired::ProviderBypass)), "{what}: {passed:?}");
    for engine in [strict, lenient] {
        match engine.step_up_begin(login(bob), &Intent::disable(bob)).await.unwrap() {
            Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::ProviderDenied, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
    }
}

on_duo! {
    [memory, sqlite] async fn s06_whom_duo_lets_pass_before_asking_proves_nothing(world) {
        let (site, lenient, bob) = site(world, Mode::AuthApi).await;
        // In bypass at Duo.
        site.duo.add_user(User::new("acme/bob").status(AtDuo::Bypass));
        passes_without_proof(&site, &lenient, &bob, "bypass").await;
        // Unknown there, and let in by a policy for new users.
        site.duo.add_user(User::new("acme/bob"));
        site.duo.set_new_users(NewUsers::Allow);
        passes_without_proof(&site, &lenient, &bob, "new users").await;
        // From a trusted network, on a remembered device, or for a reason that has no name yet.
        site.duo.fault(On::any().path("/auth/v2/preauth"), Fault::Set {
            pointer: "/response".to_owned(),
            value: json!({"result": "allow", "status_msg": "Trusted network"}),
        });
        passes_without_proof(&site, &lenient, &bob, "trusted network").await;
        assert_eq!(site.pushes("bob"), 1, "the one of the set-up");
    }

    [memory, sqlite] async fn s06_whom_duo_lets_pass_while_asking_proves_nothing(world) {
        let (site, lenient, bob) = site(world, Mode::AuthApi).await;
        for (engine, passes) in [(&site.engine, false), (&lenient, true)] {
            let challenge = begin_on(engine, &bob).await;
            // Put into bypass after the login began: Duo says so when it is asked.
            site.duo.add_user(User::new("acme/bob").status(AtDuo::Bypass));
            let started = engine.verify(&challenge.reference, push()).await.unwrap();
            assert!(matches!(started, Verify::Pending(_)), "{started:?}");
            let told = engine.verify(&challenge.reference, mfa::Response::poll()).await.unwrap();
            if passes {
                assert!(matches!(told, Verify::NotRequired(NotRequired::ProviderBypass)), "{told:?}");
            } else {
                assert_eq!(refused(told).reason, Reason::Denied);
            }
            let claimed = engine.claim(&challenge.reference).await.unwrap();
            assert!(matches!(claimed, Verify::Rejected(_)), "{claimed:?}");
            site.add("bob").await;
        }
    }

    [memory, sqlite] async fn s06_whom_the_universal_prompt_lets_pass_proves_nothing(world) {
        let (site, lenient, bob) = site(world, Mode::Universal).await;
        site.duo.add_user(User::new("acme/bob").status(AtDuo::Bypass));
        assert_eq!(refused(site.log_in(&bob).await).reason, Reason::Denied);
        let challenge = begin_on(&lenient, &bob).await;
        let response = site.response_to(&challenge.prompt).await;
        let told = lenient.verify(&challenge.reference, response).await.unwrap();
        assert!(matches!(told, Verify::NotRequired(NotRequired::ProviderBypass)), "{told:?}");
        let Begin::Challenge(step_up) = lenient.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap()
        else { panic!() };
        let response = site.response_to(&step_up.prompt).await;
        let told = lenient.verify(&step_up.reference, response).await.unwrap();
        assert_eq!(refused(told).reason, Reason::Denied);
    }

    [memory, sqlite] async fn s06_who_is_let_pass_again_and_again_is_not_stopped_by_it(world) {
        let (site, lenient, bob) = site(world, Mode::Universal).await;
        site.duo.add_user(User::new("acme/bob").status(AtDuo::Bypass));
        for _ in 0..25 {
            let challenge = begin_on(&lenient, &bob).await;
            let response = site.response_to(&challenge.prompt).await;
            let told = lenient.verify(&challenge.reference, response).await.unwrap();
            assert!(matches!(told, Verify::NotRequired(NotRequired::ProviderBypass)), "{told:?}");
        }
    }

    [memory, sqlite] async fn s06_whom_duo_refuses_is_denied_with_every_danger_on(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let node = site.node(&json!({})).danger_accept_provider_bypass().danger_fail_open(9);
        let lenient = node.build().await.unwrap();
        for status in [AtDuo::LockedOut, AtDuo::Disabled] {
            site.duo.add_user(User::new("acme/bob").status(status));
            let begun = lenient.begin(login(&bob)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(d) if d.reason == DeniedReason::ProviderDenied), "{begun:?}");
        }
        for result in ["deny", "ALLOW", "allowed", "perhaps", "auth "] {
            site.duo.clear_faults();
            site.duo.fault(On::any().path("/auth/v2/preauth"), Fault::Set {
                pointer: "/response".to_owned(),
                value: json!({"result": result, "status_msg": ""}),
            });
            let begun = lenient.begin(login(&bob)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(_)), "{result}: {begun:?}");
        }
        // Nobody who has Duo is asked to enrol, whatever Duo says of them.
        site.duo.clear_faults();
        site.duo.add_user(User::new("acme/bob"));
        let begun = lenient.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{begun:?}");
    }
}
