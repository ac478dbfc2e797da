//! S6: Duo does not answer. Only where a request that names nobody fails too, three times and by transport or a server
//! error, may host code let somebody in; and no login waits for longer than its deadlines.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::http::{Client, Resolver};
use mfa::{Begin, DeniedReason, Engine, Intent, NotRequired, NoticeKind, Reason, Response, Subject, Verify};
use mfa_testkit::duo::{Device, Fault, On, Reaction};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, another, begin_on, granted, push};
use mfa_tests::{World, login, on_duo};
use serde_json::json;

const PREAUTH: &str = "/auth/v2/preauth";
const AUTH: &str = "/auth/v2/auth";
const PING: &str = "/auth/v2/ping";
const HEALTH: &str = "/oauth/v1/health_check";

fn answer(status: u16, body: &str) -> Fault {
    let content_type = "application/json".to_owned();
    Fault::Answer { status, content_type, body: body.as_bytes().to_vec() }
}

/// What goes wrong, and whether it may mean that Duo is gone.
fn faults() -> Vec<(&'static str, Fault, bool)> {
    vec![
        ("42901", Fault::RateLimited { retry_after: None }, false),
        ("42901 with a time", Fault::RateLimited { retry_after: Some("1".to_owned()) }, false),
        ("40103", Fault::Failure(40103), false),
        ("40002", Fault::Failure(40002), false),
        ("40301", Fault::Failure(40301), false),
        ("404", answer(404, "not found"), false),
        ("garbage", answer(200, "<html>"), false),
        ("wrong stat", answer(200, r#"{"stat":"MAYBE","response":{"result":"allow"}}"#), false),
        ("no stat", answer(200, r#"{"response":{"result":"allow"}}"#), false),
        ("FAIL with 200", answer(200, r#"{"stat":"FAIL","code":50000,"message":"x"}"#), false),
        ("a redirect", Fault::Redirect("https://elsewhere.example/".to_owned()), false),
        ("50000", Fault::Failure(50000), true),
        ("502 of a proxy", answer(502, "<html>bad gateway</html>"), true),
        ("a reset", Fault::CloseBefore, true),
        ("a reset afterwards", Fault::CloseAfter, true),
        ("no end of an answer", Fault::EndlessBody, true),
        ("a hang", Fault::HangBefore, true),
        ("a hang afterwards", Fault::HangAfter, true),
    ]
}

/// A site, and a node of it that lets in.
async fn site(world: World, mode: Mode) -> (DuoSite, Engine, Subject) {
    let site = DuoSite::new(world, mode).await;
    let bob = site.enrolled_as("bob", |user| {
        user.device(Device::phone("+15555550100").passcodes(["755224", "287082"]))
    });
    let bob = bob.await;
    let open = site.node(&json!({})).danger_fail_open(200).build().await.unwrap();
    assert!(open.dangers().contains(&"danger_fail_open"));
    (site, open, bob)
}

/// A resolver that knows one answer.
#[derive(Debug)]
struct Leads(&'static [&'static str]);

#[async_trait]
impl Resolver for Leads {
    async fn resolve(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok(self.0.iter().map(|address| address.parse().unwrap()).collect())
    }
}

/// In a word.
fn outcome(begun: &Begin) -> &'static str {
    match begun {
        Begin::Challenge(_) => "challenge",
        Begin::NotRequired(NotRequired::BypassedBecauseUnavailable) => "let in",
        Begin::Denied(denied) if denied.reason == DeniedReason::Unavailable => "denied",
        other => panic!("{other:?}"),
    }
}

async fn begin(
    site: &DuoSite,
    engine: &Engine,
    bob: &Subject,
    faults: &[(&'static str, &Fault)],
) -> &'static str {
    let hang = |fault: &Fault| matches!(fault, Fault::HangBefore | Fault::HangAfter);
    let hanging: Vec<_> = faults.iter().filter(|(_, fault)| hang(fault)).map(|(path, _)| *path).collect();
    let (begun, took) = site.without_waiting(&hanging, engine.begin(login(bob))).await;
    assert!(took <= Duration::from_secs(30), "{took:?}");
    outcome(&begun.unwrap())
}

on_duo! {
    [memory] async fn s06_what_a_fault_comes_to_with_duo_there_and_gone_and_either_danger(world) {
        let (site, open, bob) = site(world, Mode::AuthApi).await;
        for (name, fault, may_be_gone) in faults() {
            // Of this user alone: whoever has the password can bring that about.
            let of_user = || On::any().path(PREAUTH).user("acme/bob");
            site.duo.clear_faults();
            site.duo.fault(of_user(), fault.clone());
            for engine in [&site.engine, &open] {
                let told = begin(&site, engine, &bob, &[(PREAUTH, &fault)]).await;
                assert_eq!(told, "denied", "{name}, duo is there");
            }
            // Of everybody.
            for (ping, opens) in [(Fault::Failure(50000), true), (Fault::CloseBefore, true), (Fault::HangBefore, true),
                (Fault::RateLimited { retry_after: None }, false), (Fault::Failure(40103), false), (answer(200, "?"), false)]
            {
                site.duo.clear_faults();
                site.duo.fault(of_user(), fault.clone());
                site.duo.fault(On::any().path(PING), ping.clone());
                let faults = [(PREAUTH, &fault), (PING, &ping)];
                assert_eq!(begin(&site, &site.engine, &bob, &faults).await, "denied", "{name}, {ping:?}");
                let expected = if may_be_gone && opens { "let in" } else { "denied" };
                assert_eq!(begin(&site, &open, &bob, &faults).await, expected, "{name}, {ping:?}");
            }
            // Twice is not three times.
            site.duo.clear_faults();
            site.duo.fault(of_user(), fault.clone());
            site.duo.fault(On::any().path(PING).times(2), Fault::Failure(50000));
            let told = begin(&site, &open, &bob, &[(PREAUTH, &fault)]).await;
            assert_eq!(told, "denied", "{name}, there at the third time");
        }
        site.duo.clear_faults();
        assert_eq!(begin(&site, &open, &bob, &[]).await, "challenge");
    }

    [memory, sqlite] async fn s06_a_certificate_that_does_not_fit_lets_nobody_in(world) {
        let (site, _, bob) = site(world, Mode::AuthApi).await;
        let other = mfa_testkit::duo::FakeDuo::start(site.world.now());
        // Whoever is on the wire answers with a certificate of their own.
        for cut_off in [false, true] {
            let ca = if cut_off { site.duo.ca_pem() } else { other.ca_pem() };
            let open = site.node(&json!({})).http(site.client(ca)).danger_fail_open(9).build().await.unwrap();
            site.duo.drop_connections(if cut_off { u32::MAX } else { 0 });
            assert_eq!(begin(&site, &open, &bob, &[]).await, "denied", "{cut_off}");
        }
    }

    [memory, sqlite] async fn s06_what_our_own_side_does_not_send_lets_nobody_in(world) {
        for mode in [Mode::AuthApi, Mode::Universal] {
            let (site, _, bob) = site(another(&world).await, mode).await;
            let refusing = |builder: mfa::http::ClientBuilder| builder.only_roots(site.duo.ca_pem()).build().unwrap();
            // The address is not allowed; or the name of Duo's host leads to addresses that are not public alone.
            let direct = (json!({}), refusing(Client::builder()));
            let by_name = json!({"api_hostname": "api-xxxxxxxx.duosecurity.com"});
            let by_name = (by_name, refusing(Client::builder().resolver(Arc::new(Leads(&["127.0.0.1", "10.0.0.1"])))));
            for (settings, client) in [direct, by_name] {
                let open = site.node(&settings).http(Arc::new(client)).danger_fail_open(9).build().await.unwrap();
                assert_eq!(begin(&site, &open, &bob, &[]).await, "denied", "{mode:?} {settings}");
            }
            // A name that leads nowhere is a Duo that is not there.
            let nowhere = refusing(Client::builder().resolver(Arc::new(Leads(&[]))));
            let settings = json!({"api_hostname": "api-xxxxxxxx.duosecurity.com"});
            let open = site.node(&settings).http(Arc::new(nowhere)).danger_fail_open(9).build().await.unwrap();
            assert_eq!(begin(&site, &open, &bob, &[]).await, "let in", "{mode:?}");
        }
    }

    [memory, sqlite] async fn s06_duo_is_gone_for_a_universal_prompt_when_its_health_check_fails_three_times(world) {
        let (site, open, bob) = site(world, Mode::Universal).await;
        for (name, fault, may_be_gone) in faults() {
            site.duo.clear_faults();
            site.duo.fault(On::any().path(HEALTH), fault.clone());
            let faults = [(HEALTH, &fault)];
            assert_eq!(begin(&site, &site.engine, &bob, &faults).await, "denied", "{name}");
            let expected = if may_be_gone { "let in" } else { "denied" };
            assert_eq!(begin(&site, &open, &bob, &faults).await, expected, "{name}");
            site.duo.clear_faults();
            if may_be_gone {
                site.duo.fault(On::any().path(HEALTH).times(2), fault.clone());
                let told = begin(&site, &open, &bob, &faults).await;
                assert_eq!(told, "challenge", "{name}, there at the third time");
            }
        }
    }

    [memory, sqlite] async fn s06_a_code_that_cannot_be_exchanged_lets_nobody_in_while_duo_is_there(world) {
        let (site, open, bob) = site(world, Mode::Universal).await;
        for fault in [Fault::Failure(50000), Fault::CloseAfter, Fault::RateLimited { retry_after: None }] {
            site.duo.clear_faults();
            let challenge = begin_on(&open, &bob).await;
            let response = site.response_to(&challenge.prompt).await;
            site.duo.fault(On::any().path("/oauth/v1/token"), fault);
            let told = open.verify(&challenge.reference, response.clone()).await.unwrap();
            // At best another prompt.
            assert!(matches!(told, Verify::Pending(_) | Verify::Rejected(_)), "{told:?}");
            // The callback was burnt before the exchange.
            site.duo.clear_faults();
            let told = open.verify(&challenge.reference, response).await.unwrap();
            assert_eq!(refused(told).reason, Reason::Superseded);
        }
    }

    [memory, sqlite] async fn s06_who_is_let_in_is_let_in_so_often_without_a_grant_or_a_proof_and_is_told(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let open = site.node(&json!({})).danger_fail_open(2).build().await.unwrap();
        site.duo.fault(On::any(), Fault::Failure(50000));
        let mut told = Vec::new();
        for _ in 0..4 {
            told.push(begin(&site, &open, &bob, &[]).await);
        }
        assert_eq!(told, ["let in", "let in", "denied", "denied"]);
        let step_up = open.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(step_up, Begin::Denied(_)), "{step_up:?}");
        assert_eq!(site.world.events_of(Kind::LoginNotRequired).await.len(), 2);
        open.drain_outbox(10).await.unwrap();
        let told = site.inbox.take();
        assert!(told.iter().any(|notice| notice.subject.as_deref() == Some(NoticeKind::LetIn.subject())));
    }

    [memory, sqlite] async fn s06_a_user_who_cannot_be_reached_is_not_let_in(world) {
        let (site, open, bob) = site(world, Mode::AuthApi).await;
        site.reaction("bob", Reaction::Unreachable);
        let challenge = begin_on(&open, &bob).await;
        let told = open.verify(&challenge.reference, push()).await.unwrap();
        assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        // A status that is asked for and never comes is no word on Duo: nobody asks it whether it is there.
        let pings = site.sent_to(PING);
        for fault in [Fault::HangBefore, Fault::Failure(50000), Fault::CloseBefore, Fault::RateLimited { retry_after: None }] {
            site.duo.clear_faults();
            site.duo.fault(On::any().path("/auth/v2/auth_status"), fault.clone());
            site.duo.fault(On::any().path(PING), Fault::Failure(50000));
            let poll = open.verify(&challenge.reference, Response::poll());
            let (told, took) = site.without_waiting(&["/auth/v2/auth_status"], poll).await;
            assert!(matches!(told, Ok(Verify::Pending(_))), "{fault:?}: {told:?}");
            assert!(took <= Duration::from_secs(25), "{took:?}");
        }
        assert_eq!(site.sent_to(PING), pings);
    }

    [memory, sqlite] async fn a_push_whose_answer_was_lost_is_not_sent_again_and_the_next_one_is_charged(world) {
        for fault in [Fault::HangAfter, Fault::CloseAfter, Fault::EndlessBody] {
            let world = another(&world).await;
            let (site, _, bob) = site(world, Mode::AuthApi).await;
            let before = site.pushes("bob");
            let challenge = site.begin(&bob).await;
            site.duo.fault(On::any().path(AUTH).times(1), fault.clone());
            let starting = site.engine.verify(&challenge.reference, push());
            let (told, took) = site.without_waiting(&[AUTH], starting).await;
            assert_eq!(refused(told.unwrap()).reason, Reason::Unavailable, "{fault:?}");
            assert!(took <= Duration::from_secs(15), "{took:?}");
            assert_eq!((site.pushes("bob") - before, site.sent_to(AUTH)), (1, 2), "{fault:?}");
            for _ in 0..3 {
                let told = site.verify(&challenge, Response::poll()).await;
                assert!(matches!(told, Verify::Pending(_)), "{told:?}");
            }
            assert_eq!(site.pushes("bob") - before, 1, "{fault:?}");
            granted(site.go_on(&challenge).await);
            let charged = site.world.events_of(Kind::EffectCharged).await;
            let pushes = charged.iter().filter(|event| event.field("charge") == Some("push")).count();
            assert_eq!((site.pushes("bob") - before, pushes), (2, 3));
        }
    }

    [memory, sqlite] async fn a_push_whose_call_was_dropped_is_lost_and_rings_no_second_time(world) {
        let (site, _, bob) = site(world, Mode::AuthApi).await;
        let before = site.pushes("bob");
        let challenge = site.begin(&bob).await;
        site.duo.fault(On::any().path(AUTH).times(1), Fault::HangAfter);
        {
            let mut starting = std::pin::pin!(site.engine.verify(&challenge.reference, push()));
            while site.pushes("bob") == before {
                tokio::select! {
                    told = &mut starting => panic!("{told:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        // Until the deadline the push may still be answered: nothing else is sent.
        for response in [push(), Response::poll(), Response::code("755224")] {
            let told = site.verify(&challenge, response).await;
            assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        }
        assert_eq!((site.pushes("bob") - before, site.sent_to(AUTH)), (1, 2));
        site.advance(Duration::from_secs(30));
        granted(site.go_on(&challenge).await);
        assert_eq!(site.pushes("bob") - before, 2);
    }

    [memory, sqlite] async fn a_poll_after_a_lost_exchange_says_that_another_prompt_must_be_started(world) {
        let (site, _, bob) = site(world, Mode::Universal).await;
        let challenge = site.begin(&bob).await;
        let response = site.response_to(&challenge.prompt).await;
        let polled = |told| match told {
            Verify::Pending(pending) => pending.prompt["status"].as_str().map(str::to_owned),
            other => panic!("{other:?}"),
        };
        assert_eq!(polled(site.verify(&challenge, Response::poll()).await).as_deref(), Some("away"));
        site.duo.fault(On::any().path("/oauth/v1/token").times(1), Fault::HangAfter);
        let exchanged = site.sent_to("/token");
        {
            let mut verifying = std::pin::pin!(site.engine.verify(&challenge.reference, response.clone()));
            while site.sent_to("/token") == exchanged {
                tokio::select! {
                    told = &mut verifying => panic!("{told:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        site.advance(Duration::from_secs(30));
        for _ in 0..2 {
            assert_eq!(polled(site.verify(&challenge, Response::poll()).await).as_deref(), Some("again"));
        }
        assert_eq!(refused(site.verify(&challenge, response).await).reason, Reason::Superseded);
        let next = site.verify(&challenge, Response::start(mfa::Choice::none())).await;
        let Verify::Pending(next) = next else { panic!("{next:?}") };
        let response = site.response_to(&next.prompt).await;
        granted(site.verify(&challenge, response).await);
    }

    [memory, sqlite] async fn a_question_how_to_ask_that_was_dropped_is_asked_again(world) {
        let (site, _, bob) = site(world, Mode::AuthApi).await;
        // Nobody at Duo yet, so that there is nothing to choose and a poll asks again.
        let challenge = site.begin(&bob).await;
        site.advance(Duration::from_secs(3));
        site.duo.fault(On::any().path(PREAUTH).times(1), Fault::HangBefore);
        let asked = site.sent_to(PREAUTH);
        {
            let method = mfa_tests::acting::method("duo");
            let mut switching = std::pin::pin!(site.engine.switch(&challenge.reference, &method));
            while site.sent_to(PREAUTH) == asked {
                tokio::select! {
                    told = &mut switching => panic!("{told:?}"),
                    () = tokio::task::yield_now() => {}
                }
            }
        }
        site.advance(Duration::from_secs(3));
        let told = site.verify(&challenge, Response::poll()).await;
        assert!(matches!(&told, Verify::Pending(p) if p.prompt["offers"][0]["factor"] == "push"), "{told:?}");
        granted(site.go_on(&challenge).await);
    }

    [memory] async fn a_clock_that_is_wrong_is_asked_for_once_and_set_right(world) {
        let (site, _, bob) = site(world, Mode::AuthApi).await;
        site.duo.set_now(site.world.now().plus(Duration::from_secs(3600)));
        let asked = site.sent_to(PREAUTH);
        let challenge = site.begin(&bob).await;
        assert_eq!(site.sent_to(PREAUTH), asked + 2);
        let told = site.verify(&challenge, Response::code("755224")).await;
        granted(told);
    }
}
