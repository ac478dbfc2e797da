//! Setting Duo up: what is asked, what it costs, and what sets nothing up.

use std::time::Duration;

use audit_model::Kind;
use mfa::{EnrolConfirm, NoticeKind, Reason, Rejected, RequestFacts, Response, Subject};
use mfa_testkit::duo::{Device, Fault, NewUsers, On, Reaction, Status as AtDuo, User};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, another, granted, push, reply, text};
use mfa_tests::on_duo;
use serde_json::{Value, json};

fn rejected(confirmed: EnrolConfirm) -> Rejected {
    match confirmed {
        EnrolConfirm::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

async fn methods(site: &DuoSite, of: &Subject) -> usize {
    site.engine.methods(of.account(), of.user()).await.unwrap().len()
}

/// What a push that this reaction meets comes to in a set-up.
async fn pushed(site: &DuoSite, bob: &Subject, reaction: Reaction) -> (mfa::EnrolmentStarted, EnrolConfirm) {
    site.reaction("bob", reaction);
    let started = site.enrol_begin(bob).await.unwrap();
    assert!(matches!(site.confirm(&started, push()).await, EnrolConfirm::Pending(_)));
    let first = site.confirm(&started, Response::poll()).await;
    assert!(matches!(first, EnrolConfirm::Pending(_)), "{first:?}");
    let second = site.confirm(&started, Response::poll()).await;
    (started, second)
}

/// With the facts of a request from this address.
fn from(response: Response, address: &str) -> Response {
    response.with_request(RequestFacts::new().with_ip(address.parse().unwrap()))
}

/// The address that Duo was told last, on this path.
fn told_address(site: &DuoSite, path: &str) -> Option<String> {
    let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == path).unwrap();
    asked.params.get("ipaddr").cloned()
}

on_duo! {
    [memory, sqlite] async fn duo_is_told_where_the_requests_of_a_set_up_come_from(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let (preauth, auth) = ("/auth/v2/preauth", "/auth/v2/auth");
        // Who is not at Duo yet polls until they are.
        let bob = site.world.add_reachable("bob").await;
        let started = site.enrol_begin(&bob).await.unwrap();
        assert_eq!(told_address(&site, preauth), None);
        site.advance(Duration::from_secs(4));
        assert!(matches!(site.confirm(&started, from(Response::poll(), "192.0.2.7")).await, EnrolConfirm::Pending(_)));
        assert_eq!(told_address(&site, preauth).as_deref(), Some("192.0.2.7"));
        site.add_as("bob", |user| user.device(Device::phone("+15555550100").passcodes(["755224"]))).await;
        site.advance(Duration::from_secs(4));
        assert!(matches!(site.confirm(&started, Response::poll()).await, EnrolConfirm::Pending(_)));
        assert_eq!(told_address(&site, preauth), None);
        // Each request has its own.
        assert!(matches!(site.confirm(&started, from(push(), "2001:db8::1")).await, EnrolConfirm::Pending(_)));
        assert_eq!(told_address(&site, auth).as_deref(), Some("2001:db8::1"));
        let told = site.confirm(&started, from(Response::code("755224"), "198.51.100.9")).await;
        assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
        assert_eq!(told_address(&site, auth).as_deref(), Some("198.51.100.9"));
    }

    [memory, sqlite] async fn s14_a_set_up_that_the_user_denies_is_over_and_its_push_counts(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.add("bob").await;
        for n in 0..10 {
            let (started, told) = pushed(&site, &bob, Reaction::Deny).await;
            assert_eq!(rejected(told).reason, Reason::Denied, "{n}");
            // Whoever began it does not ask again in it.
            for response in [push(), Response::poll(), Response::code("755224")] {
                assert_eq!(rejected(site.confirm(&started, response).await).reason, Reason::EnrolmentExpired);
            }
        }
        // Twenty pushes: each of ten counts twice.
        let started = site.enrol_begin(&bob).await.unwrap();
        assert_eq!(rejected(site.confirm(&started, push()).await).reason, Reason::SendLimit);
        assert_eq!((site.pushes("bob"), methods(&site, &bob).await), (10, 0));
    }

    [memory, sqlite] async fn s14_not_me_in_a_set_up_ends_every_set_up_and_login_and_is_told(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.add("bob").await;
        let app = site.world.enrol_again(&bob).await;
        site.duo.set_now(site.world.now());
        let login = site.begin(&bob).await;
        let other = site.enrol_begin(&bob).await.unwrap();
        let (started, told) = pushed(&site, &bob, Reaction::ReportFraud).await;
        assert_eq!(rejected(told).reason, Reason::Fraud);
        for reference in [&started, &other] {
            assert_eq!(rejected(site.confirm(reference, push()).await).reason, Reason::Superseded);
        }
        let by_app = Response::code(&app.code_at(site.world.now()));
        assert_eq!(refused(site.verify(&login, by_app).await).reason, Reason::Superseded);
        let begun = site.engine.begin(mfa_tests::login(&bob)).await.unwrap();
        assert!(matches!(begun, mfa::Begin::Denied(_)), "{begun:?}");
        site.engine.drain_outbox(10).await.unwrap();
        let fraud = NoticeKind::FraudReported.subject();
        assert!(site.inbox.take().iter().any(|notice| notice.subject.as_deref() == Some(fraud)));
        // The owner is let in by the app a second later.
        site.advance(Duration::from_secs(1));
        let login = site.begin(&bob).await;
        granted(site.verify(&login, Response::code(&app.code_at(site.world.now()))).await);
        assert_eq!(methods(&site, &bob).await, 1);
    }

    [memory, sqlite] async fn s06_whom_duo_lets_pass_sets_nothing_up(world) {
        let site = DuoSite::with(world, Mode::AuthApi, &json!({}), |b| b.danger_accept_provider_bypass()).await;
        let bob = site.add_as("bob", |user| user.status(AtDuo::Bypass)).await;
        assert!(site.enrol_begin(&bob).await.is_err());
        // A code that an administrator gave out, and a push that is allowed at once.
        let eve = site.add_as("eve", |user| user.device(Device::phone("+15555550100")).bypass_code("123456789")).await;
        let started = site.enrol_begin(&eve).await.unwrap();
        assert_eq!(rejected(site.confirm(&started, Response::code("123456789")).await).reason, Reason::Denied);
        let started = site.enrol_begin(&eve).await.unwrap();
        site.duo.fault(On::any().path("/auth/v2/auth"), Fault::Set {
            pointer: "/response".to_owned(),
            value: json!({"result": "allow", "status": "allow", "status_msg": ""}),
        });
        assert_eq!(rejected(site.confirm(&started, push()).await).reason, Reason::Denied);
        // Who is unknown there and let in by policy.
        site.duo.clear_faults();
        site.duo.set_new_users(NewUsers::Allow);
        let kim = site.add_as("kim", |user| user).await;
        assert!(site.enrol_begin(&kim).await.is_err());
        assert_eq!(methods(&site, &bob).await + methods(&site, &eve).await + methods(&site, &kim).await, 0);
    }

    [memory, sqlite] async fn s06_whom_the_universal_prompt_lets_pass_sets_nothing_up(world) {
        let site = DuoSite::with(world, Mode::Universal, &json!({}), |b| b.danger_accept_provider_bypass()).await;
        let bob = site.add_as("bob", |user| user.status(AtDuo::Bypass)).await;
        let started = site.enrol_begin(&bob).await.unwrap();
        let told = site.confirm(&started, site.response_to(&started.prompt).await).await;
        assert_eq!(rejected(told).reason, Reason::Denied);
        assert_eq!(methods(&site, &bob).await, 0);
    }

    [memory, sqlite] async fn s06_a_duo_that_is_gone_sets_nothing_up(world) {
        for mode in [Mode::AuthApi, Mode::Universal] {
            let world = another(&world).await;
            let site = DuoSite::with(world, mode, &json!({}), |b| b.danger_fail_open(9)).await;
            let bob = site.add("bob").await;
            let started = site.enrol_begin(&bob).await.unwrap();
            let response = site.response_to(&started.prompt).await;
            site.duo.fault(On::any(), Fault::Failure(50000));
            assert_eq!(rejected(site.confirm(&started, response).await).reason, Reason::Unavailable);
            assert_eq!(site.enrol_begin(&bob).await.unwrap_err().code(), "unavailable");
            assert_eq!(methods(&site, &bob).await, 0);
        }
    }

    [memory] async fn a_user_whom_duo_refuses_is_not_found(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        for status in [AtDuo::LockedOut, AtDuo::Disabled] {
            let bob = site.add_as("bob", |user| user.status(status)).await;
            assert_eq!(site.enrol_begin(&bob).await.unwrap_err().code(), "user_not_found");
        }
        site.duo.set_new_users(NewUsers::Deny);
        let eve = site.world.add("eve").await;
        assert_eq!(site.enrol_begin(&eve).await.unwrap_err().code(), "user_not_found");
    }

    [memory, sqlite] async fn t05_a_reply_of_another_user_confirms_nothing(world) {
        for mode in [Mode::WebSdk, Mode::Universal] {
            let world = another(&world).await;
            let site = DuoSite::new(world, mode).await;
            let (bob, eve) = (site.add("bob").await, site.add("eve").await);
            let (his, hers) = (site.enrol_begin(&bob).await.unwrap(), site.enrol_begin(&eve).await.unwrap());
            let response = site.response_to(&hers.prompt).await;
            let told = rejected(site.confirm(&his, response.clone()).await);
            assert!(matches!(told.reason, Reason::WrongCode | Reason::Superseded), "{mode:?} {told:?}");
            assert_eq!(methods(&site, &bob).await, 0);
            let told = site.confirm(&hers, response).await;
            assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
        }
    }

    [memory, sqlite] async fn a_set_up_by_passcode_has_as_many_attempts_as_a_login(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let phone = Device::phone("+15555550100").passcodes(["755224", "287082"]);
        let bob = site.add_as("bob", |user| user.device(phone)).await;
        let started = site.enrol_begin(&bob).await.unwrap();
        for left in (0..5).rev() {
            let told = rejected(site.confirm(&started, Response::code("000000")).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::WrongCode, left));
        }
        assert_eq!(rejected(site.confirm(&started, Response::code("755224")).await).reason, Reason::Exhausted);
        let started = site.enrol_begin(&bob).await.unwrap();
        let told = site.confirm(&started, Response::code("755224")).await;
        assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
        let charged = site.world.events_of(Kind::EffectCharged).await;
        assert_eq!(charged.iter().filter(|event| event.field("charge") == Some("attempt")).count(), 6);
    }

    [memory, sqlite, processes] async fn two_confirmations_at_once_are_one_method(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.add("bob").await;
        let other = site.node(&json!({})).build().await.unwrap();
        let started = site.enrol_begin(&bob).await.unwrap();
        let posted = site.duo.web_prompt(text(&started.prompt, "duo_sig_request"));
        let response = reply(&posted);
        let calls = [&site.engine, &other, &site.engine, &other];
        let calls = calls.map(|engine| engine.enrol_confirm(&started.reference, &response));
        let told = futures::future::join_all(calls).await;
        let confirmed = told.iter().filter(|told| matches!(told, Ok(EnrolConfirm::Confirmed(_)))).count();
        assert_eq!((confirmed, methods(&site, &bob).await), (1, 1), "{told:?}");
    }

    [memory] async fn settings_that_are_wrong_are_named_and_nothing_is_sent(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        site.duo.add_user(User::new("acme/bob"));
        for (key, value) in [
            ("integration_key", json!("short")),
            ("secret_key", Value::Null),
            ("api_hostname", json!("127.0.0.1:1")),
            ("api_hostname", json!("api-x.duosecurity.com.evil.io")),
            ("mode", json!("magic")),
            ("accept_approve_only", json!("yes")),
        ] {
            let built = site.node(&json!({key: value.clone()})).build().await;
            let problem = built.map(drop).unwrap_err().to_string();
            assert!(problem.contains(key) && !problem.contains("short"), "{key}: {problem}");
        }
        assert!(site.duo.requests().is_empty());
    }
}
