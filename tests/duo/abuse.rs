//! T5, T15, T18 and S13, as far as they reach Duo.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mfa::{Begin, DeniedReason, Reason, RequestFacts, Response, Status, Subject, Verify};
use mfa_testkit::duo::{Device, Reaction, User};
use mfa_tests::acting::{LONGEST_DELAY, refused};
use mfa_tests::duo::{DuoSite, Mode, another, granted, push, reply};
use mfa_tests::{World, login, on_duo, session};

/// Bob and eve, each with a phone that shows codes.
async fn two(world: World, mode: Mode) -> (DuoSite, Subject, Subject) {
    let site = DuoSite::new(world, mode).await;
    let phone = |codes: [&'static str; 2]| Device::phone("+15555550100").passcodes(codes);
    let bob = site.enrolled_as("bob", |user| user.device(phone(["755224", "287082"]))).await;
    let eve = site.enrolled_as("eve", |user| user.device(phone(["359152", "969429"]))).await;
    (site, bob, eve)
}

on_duo! {
    [memory, sqlite, processes] async fn t05_what_one_user_has_never_lets_another_in(world) {
        let (site, bob, _) = two(world, Mode::AuthApi).await;
        let challenge = site.begin(&bob).await;
        for code in ["359152", "969429"] {
            assert_eq!(refused(site.verify(&challenge, Response::code(code)).await).reason, Reason::WrongCode);
        }
        // Eve approves whatever rings for her, and nothing does.
        site.reaction("bob", Reaction::Deny);
        let rings = site.pushes("eve");
        assert_eq!(refused(site.go_on(&challenge).await).reason, Reason::Denied);
        assert_eq!(site.pushes("eve"), rings);
    }

    [memory, sqlite] async fn t05_a_reply_to_eve_s_login_is_nothing_in_bob_s(world) {
        for mode in [Mode::WebSdk, Mode::Universal] {
            let world = another(&world).await;
            let (site, bob, eve) = two(world, mode).await;
            let (his, hers) = (site.begin(&bob).await, site.begin(&eve).await);
            let response = site.response_to(&hers.prompt).await;
            let told = refused(site.verify(&his, response.clone()).await);
            assert!(matches!(told.reason, Reason::WrongCode | Reason::Superseded), "{mode:?} {told:?}");
            assert_eq!(site.status(&his).await, Status::Sent);
            granted(site.verify(&hers, response).await);
        }
    }

    [memory, sqlite] async fn t15_a_login_half_done_and_a_grant_of_another_are_no_login(world) {
        for mode in Mode::ALL {
            let world = another(&world).await;
            let (site, bob, eve) = two(world, mode).await;
            let challenge = site.begin(&bob).await;
            // Before anything is answered there is nothing to claim, whoever asks and however often.
            for _ in 0..3 {
                let told = site.claim(&challenge.reference).await;
                assert!(matches!(told, Verify::Pending(_)), "{mode:?}: {told:?}");
                let told = site.verify(&challenge, Response::poll()).await;
                assert!(matches!(told, Verify::Pending(_)), "{mode:?}: {told:?}");
            }
            let Verify::Verified(grant) = site.go_on(&challenge).await else { panic!("{mode:?}") };
            let mismatch = grant.redeem(eve.account(), eve.user(), Some(&session(&eve)), site.world.now());
            assert!(mismatch.is_err(), "{mode:?}");
            site.advance(Duration::from_secs(1));
            let Verify::Verified(grant) = site.log_in(&bob).await else { panic!("{mode:?}") };
            let mismatch = grant.redeem(bob.account(), bob.user(), Some("another-session"), site.world.now());
            assert!(mismatch.is_err(), "{mode:?}");
        }
    }

    [memory, sqlite] async fn t18_no_limit_depends_on_where_a_request_says_it_comes_from(world) {
        let (site, bob, _) = two(world, Mode::AuthApi).await;
        let from = |n: u8| RequestFacts::new().with_ip(IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
        let mut judged = 0;
        for n in 0..40 {
            let begun = site.engine.begin(login(&bob).with_request(from(n))).await.unwrap();
            let Begin::Challenge(challenge) = begun else {
                assert!(matches!(begun, Begin::Denied(d) if d.reason == DeniedReason::Locked), "{begun:?}");
                site.advance(LONGEST_DELAY);
                continue;
            };
            let told = site.verify(&challenge, Response::code("000000").with_request(from(100 + n))).await;
            judged += u32::from(refused(told).reason == Reason::WrongCode);
        }
        assert!(judged <= 20, "{judged}");
        // The address goes to Duo, whose policies look at it, and decides nothing here.
        let asked = site.duo.requests();
        assert!(asked.iter().any(|seen| seen.path == "/auth/v2/preauth" && seen.params.contains_key("ipaddr")));
        // Pushes are counted over all addresses, too.
        site.advance(Duration::from_secs(86_400));
        site.reaction("bob", Reaction::TimeOut);
        let before = site.pushes("bob");
        for n in 0..25 {
            let begun = site.engine.begin(login(&bob).with_request(from(n))).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
            let _ = site.verify(&challenge, push().with_request(from(100 + n))).await;
            site.advance(Duration::from_secs(300));
        }
        assert_eq!(site.pushes("bob") - before, 20);
    }

    [memory] async fn s13_a_method_that_was_stopped_is_not_brought_back_by_a_push_that_is_under_way(world) {
        let (site, bob, _) = two(world, Mode::AuthApi).await;
        let mut wrong = 0;
        while wrong < 99 {
            match site.engine.begin(login(&bob)).await.unwrap() {
                Begin::Challenge(challenge) => {
                    let told = refused(site.verify(&challenge, Response::code("000000")).await);
                    assert_eq!(told.reason, Reason::WrongCode);
                    wrong += 1;
                }
                Begin::Denied(denied) => site.advance(denied.retry_after.unwrap()),
                other => panic!("{other:?}"),
            }
        }
        while let Begin::Denied(denied) = site.engine.begin(login(&bob)).await.unwrap() {
            site.advance(denied.retry_after.unwrap());
        }
        site.reaction("bob", Reaction::Wait);
        let (pushed, guessed) = (site.begin(&bob).await, site.begin(&bob).await);
        assert!(matches!(site.verify(&pushed, push()).await, Verify::Pending(_)));
        assert!(matches!(site.verify(&pushed, Response::poll()).await, Verify::Pending(_)));
        assert_eq!(site.duo.react("acme/bob", Reaction::Approve), 1);
        // The hundredth in a row stops the method until it is bound anew.
        assert_eq!(refused(site.verify(&guessed, Response::code("000000")).await).reason, Reason::WrongCode);
        let told = refused(site.verify(&pushed, Response::poll()).await);
        assert_eq!((told.reason, told.retry_after), (Reason::Locked, None));
        assert!(matches!(site.claim(&pushed.reference).await, Verify::Pending(_)));
        let begun = site.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
    }

    [memory] async fn what_a_browser_sends_is_a_refusal_and_never_a_fault(world) {
        for mode in Mode::ALL {
            let world = another(&world).await;
            let (site, bob, _) = two(world, mode).await;
            let huge = "x".repeat(100_000);
            let junk = ["", ":", "|||:|||", "AUTH|\u{0}|:", "state=&duo_code=", "state=a&state=b&duo_code=c", &huge, "%%%", "\u{1F511}"];
            for text in junk {
                let challenge = site.begin(&bob).await;
                for response in [reply(text), Response::code(text)] {
                    match site.engine.verify(&challenge.reference, response).await {
                        Ok(Verify::Rejected(rejected)) => {
                            let (reason, left) = (rejected.reason, rejected.attempts_left);
                            assert!(matches!(reason, Reason::Malformed | Reason::Superseded), "{mode:?}: {reason}");
                            assert_eq!(left, 5, "{mode:?}");
                        }
                        other => panic!("{mode:?}: {other:?}"),
                    }
                }
            }
            site.duo.add_user(User::new("acme/bob").device(Device::phone("+15555550100")));
            site.advance(Duration::from_secs(300));
            granted(site.log_in(&bob).await);
        }
    }
}
