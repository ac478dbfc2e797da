//! A login in each mode, right and wrong.

use std::time::Duration;

use audit_model::Kind;
use mfa::{Begin, Channel, DeniedReason, Engine, NoticeKind, Reason, Response, Status, Verify};
use mfa_testkit::duo::Reaction;
use mfa_tests::acting::{LONGEST_DELAY, method, refused};
use mfa_tests::duo::{DuoSite, Mode, another, granted, push, reply};
use mfa_tests::{host, login, on_duo, session};
use serde_json::{Value, json};

on_duo! {
    [memory, sqlite, processes] async fn each_mode_enrols_logs_in_and_grants_once(world) {
        let others = [another(&world).await, another(&world).await];
        for (mode, world) in Mode::ALL.into_iter().zip([world].into_iter().chain(others)) {
            let site = DuoSite::new(world, mode).await;
            let bob = site.enrolled("bob").await;
            let challenge = site.begin(&bob).await;
            let Verify::Verified(grant) = site.go_on(&challenge).await else { panic!("{mode:?}") };
            assert_eq!(grant.evidence().provider.as_str(), "duo");
            assert_eq!(site.status(&challenge).await, Status::Redeemed);
            let redeemed =
                grant.redeem(bob.account(), bob.user(), Some(&session(&bob)), site.world.now());
            assert!(redeemed.is_ok(), "{mode:?}");
            assert_eq!(refused(site.claim(&challenge.reference).await).reason, Reason::AlreadyUsed, "{mode:?}");
            let again = site.verify(&challenge, Response::poll()).await;
            assert_eq!(refused(again).reason, Reason::AlreadyUsed, "{mode:?}");
        }
    }

    [memory, sqlite] async fn a_push_that_is_denied_ends_its_login_and_no_other(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::Deny);
        let (denied, other) = (site.begin(&bob).await, site.begin(&bob).await);
        assert_eq!(refused(site.go_on(&denied).await).reason, Reason::Denied);
        assert_eq!(site.status(&denied).await, Status::Failed);
        assert_eq!(refused(site.verify(&denied, push()).await).reason, Reason::Exhausted);
        site.reaction("bob", Reaction::Approve);
        granted(site.go_on(&other).await);
    }

    [memory, sqlite] async fn s14_not_me_ends_every_login_delays_every_method_and_is_told(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        site.world.enrol_again(&bob).await;
        site.duo.set_now(site.world.now());
        let (first, other) = (site.begin(&bob).await, site.begin(&bob).await);
        site.reaction("bob", Reaction::ReportFraud);
        assert_eq!(refused(site.go_on(&first).await).reason, Reason::Fraud);
        site.reaction("bob", Reaction::Approve);
        assert_eq!(site.status(&first).await, Status::Failed);
        assert_eq!(refused(site.verify(&other, push()).await).reason, Reason::Superseded);
        for name in ["duo", "totp"] {
            match site.engine.begin(login(&bob).with_method(method(name))).await.unwrap() {
                Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::Locked, "{name}"),
                other => panic!("{name}: {other:?}"),
            }
        }
        site.engine.drain_outbox(10).await.unwrap();
        let told = site.inbox.take();
        assert!(told.iter().any(|notice| notice.subject.as_deref() == Some(NoticeKind::FraudReported.subject())));
        // The owner gets in again.
        site.advance(Duration::from_secs(1));
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn s14_not_me_is_heard_by_a_poll_of_that_push_and_by_nothing_else(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let mut reported = Vec::new();
        for _ in 0..2 {
            // Whoever began it does not look at it again.
            site.reaction("bob", Reaction::ReportFraud);
            let challenge = site.begin(&bob).await;
            assert!(matches!(site.verify(&challenge, push()).await, Verify::Pending(_)));
            assert!(matches!(site.claim(&challenge.reference).await, Verify::Pending(_)));
            assert_eq!(site.status(&challenge).await, Status::Sent);
            site.reaction("bob", Reaction::Approve);
            granted(site.log_in(&bob).await);
            reported.push(challenge);
        }
        let fraud_is_told = async || {
            site.engine.drain_outbox(10).await.unwrap();
            let fraud = NoticeKind::FraudReported.subject();
            site.inbox.take().iter().any(|notice| notice.subject.as_deref() == Some(fraud))
        };
        assert!(!fraud_is_told().await);
        // The host polls in the page's stead, while the challenge lives.
        assert_eq!(refused(site.settled(&reported[0]).await).reason, Reason::Fraud);
        assert!(fraud_is_told().await);
        assert_eq!(refused(site.settled(&reported[1]).await).reason, Reason::Superseded);
        site.advance(Duration::from_secs(1));
        let asked = site.sent_to("/auth/v2/auth_status");
        let late = site.begin(&bob).await;
        site.reaction("bob", Reaction::ReportFraud);
        assert!(matches!(site.verify(&late, push()).await, Verify::Pending(_)));
        site.advance(LONGEST_DELAY);
        assert_eq!(refused(site.settled(&late).await).reason, Reason::Expired);
        assert_eq!(site.sent_to("/auth/v2/auth_status"), asked);
        site.reaction("bob", Reaction::Approve);
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn a_push_that_timed_out_can_be_sent_again_and_is_another_push(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let before = site.pushes("bob");
        site.reaction("bob", Reaction::TimeOut);
        let challenge = site.begin(&bob).await;
        assert!(matches!(site.verify(&challenge, push()).await, Verify::Pending(_)));
        let mut prompt = Value::Null;
        for _ in 0..3 {
            let Verify::Pending(pending) = site.verify(&challenge, Response::poll()).await else { panic!() };
            prompt = pending.prompt;
            if prompt["status"] == "timeout" {
                break;
            }
        }
        assert_eq!(prompt["status"], "timeout");
        assert_eq!(prompt["offers"][0]["factor"], "push");
        site.reaction("bob", Reaction::Approve);
        granted(site.go_on(&challenge).await);
        assert_eq!(site.pushes("bob") - before, 2);
        let charged = site.world.events_of(Kind::EffectCharged).await;
        let pushes = charged.iter().filter(|event| event.field("charge") == Some("push"));
        // That of the set-up, and these.
        assert_eq!(pushes.count(), 3);
    }

    [memory, sqlite] async fn a_refused_universal_prompt_ends_its_login(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::Deny);
        let challenge = site.begin(&bob).await;
        assert_eq!(refused(site.go_on(&challenge).await).reason, Reason::Denied);
        assert_eq!(site.status(&challenge).await, Status::Failed);
    }

    [memory, sqlite] async fn a_web_prompt_that_was_refused_proves_nothing_and_can_be_shown_again(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::ReportFraud);
        let challenge = site.begin(&bob).await;
        assert_eq!(refused(site.go_on(&challenge).await).reason, Reason::Unavailable);
        site.reaction("bob", Reaction::Approve);
        let started = Response::start(mfa::Choice::none());
        let Verify::Pending(again) = site.verify(&challenge, started).await else { panic!() };
        let evidence = granted(site.verify(&challenge, site.response_to(&again.prompt).await).await);
        assert_eq!(evidence.strength.channel, Channel::Push);
    }

    [memory, sqlite] async fn an_answer_of_another_mode_is_malformed_and_costs_no_guess(world) {
        for mode in Mode::ALL {
            let world = another(&world).await;
            let site = DuoSite::new(world, mode).await;
            let bob = site.enrolled("bob").await;
            let challenge = site.begin(&bob).await;
            let wrong = match mode {
                Mode::AuthApi => reply("123456"),
                Mode::Universal | Mode::WebSdk => Response::code("123456"),
            };
            let told = refused(site.verify(&challenge, wrong).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::Malformed, 5), "{mode:?}");
            granted(site.go_on(&challenge).await);
        }
    }

    [memory, sqlite, processes] async fn a_claim_that_races_polls_is_one_grant(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let nodes = [site.engine.clone(), site.node(&json!({})).build().await.unwrap()];
        let challenge = site.begin(&bob).await;
        assert!(matches!(site.verify(&challenge, push()).await, Verify::Pending(_)));
        // The first poll hears that it was sent.
        assert!(matches!(site.verify(&challenge, Response::poll()).await, Verify::Pending(_)));
        let poll = |engine: &Engine| {
            let (engine, reference) = (engine.clone(), challenge.reference.clone());
            async move {
                let polled = engine.verify(&reference, Response::poll()).await.unwrap();
                let claimed = engine.claim(&reference).await.unwrap();
                [polled, claimed].into_iter().filter(|told| matches!(told, Verify::Verified(_))).count()
            }
        };
        let calls = (0..8).map(|n| poll(&nodes[n % 2]));
        let grants: usize = futures::future::join_all(calls).await.into_iter().sum();
        assert_eq!(grants, 1);
        assert_eq!(site.world.events_of(Kind::ChallengeClaimed).await.len(), 1);
        assert_eq!(site.pushes("bob"), 2);
    }

    [memory, sqlite] async fn a_method_that_was_removed_ends_its_logins(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        assert!(matches!(site.verify(&challenge, push()).await, Verify::Pending(_)));
        site.engine.method_remove(bob.account(), bob.user(), &method("duo"), &host()).await.unwrap();
        assert_eq!(refused(site.verify(&challenge, Response::poll()).await).reason, Reason::Superseded);
    }
}
