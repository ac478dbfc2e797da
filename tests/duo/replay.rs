//! S19 and T6: a reply of Duo's is good for one challenge, once, whichever node it reaches and whatever happened in between.

use std::time::Duration;

use audit_model::Kind;
use mfa::duo::web::WebSdk;
use mfa::duo::{ApplicationKey, IntegrationKey, SecretKey};
use mfa::{Answer, Challenge, Choice, NoticeKind, Reason, Response, Status, Verify};
use mfa_testkit::duo::{Integration, Reaction, TokenFault};
use mfa_tests::acting::refused;
use mfa_tests::duo::{AKEY, DuoSite, Mode, begin_on, granted, reply, text};
use mfa_tests::on_duo;
use serde_json::{Value, json};

/// The halves of what a page would post.
fn halves(posted: &str) -> (String, String) {
    let (auth, app) = posted.split_once(':').unwrap();
    (auth.to_owned(), app.to_owned())
}

const WRONG_REPLIES: usize = 13;

/// Replies that are not the right one to `challenge` of bob's, and how each is refused.
fn wrong_replies(site: &DuoSite, earlier: &Challenge, challenge: &Challenge) -> Vec<(String, Reason)> {
    let (tx, app) = halves(text(&challenge.prompt, "duo_sig_request"));
    let (auth, _) = halves(&site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request")));
    let (_, of_earlier) = halves(text(&earlier.prompt, "duo_sig_request"));
    // As good as ours, signed with the right key, for the same user: and not issued.
    let sdk = WebSdk::new(
        IntegrationKey::parse(&site.keys.ikey).unwrap(),
        SecretKey::parse(&site.keys.skey).unwrap(),
        ApplicationKey::parse(AKEY).unwrap(),
    );
    let later = site.world.now().plus(Duration::from_secs(9));
    let issued_by_none = sdk.unwrap().sign_request("acme/bob", later).unwrap().app_half().to_owned();
    let until = site.world.now().plus(Duration::from_secs(300));
    let signed = |keys: &Integration, prefix, until| keys.web_cookie(prefix, "acme/bob", until);
    let enrolled = signed(&site.keys, "ENROLL", until);
    let other_keys = site.duo.integration();
    let of_others = signed(&other_keys, "AUTH", until);
    let over = signed(&site.keys, "AUTH", site.world.now());
    let wrong: [_; WRONG_REPLIES] = [
        (format!("{auth}:{of_earlier}"), Reason::Superseded),
        (format!("{auth}:{issued_by_none}"), Reason::Superseded),
        (format!("{auth}:{auth}"), Reason::Superseded),
        (format!("{app}:{auth}"), Reason::Superseded),
        (format!("{app}:{app}"), Reason::WrongCode),
        (format!("{tx}:{app}"), Reason::WrongCode),
        (format!("{}:{app}", auth.to_uppercase()), Reason::WrongCode),
        (format!("{enrolled}:{app}"), Reason::WrongCode),
        (format!("{of_others}:{app}"), Reason::WrongCode),
        (format!("{over}:{app}"), Reason::WrongCode),
        (auth.clone(), Reason::Malformed),
        (format!("{auth}:{app}:{app}"), Reason::Malformed),
        (format!("ERR|Access denied.:{app}"), Reason::Unavailable),
    ];
    wrong.into()
}

fn state(prompt: &Value) -> String {
    let url = text(prompt, "url");
    let request = url.split("request=").nth(1).unwrap().split(['.', '&']).nth(1).unwrap();
    let claims = data_encoding::BASE64URL_NOPAD.decode(request.as_bytes()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["state"].as_str().unwrap().to_owned()
}

on_duo! {
    [memory, sqlite, processes] async fn s19_a_pair_of_the_web_sdk_is_good_once_in_two_challenges_of_one_second(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let other_node = site.node(&json!({})).build().await.unwrap();
        let (first, second) = (site.begin(&bob).await, begin_on(&other_node, &bob).await);
        // Begun in the same second they are the same request, and one reply fits both.
        assert_eq!(first.prompt, second.prompt);
        let posted = site.duo.web_prompt(text(&first.prompt, "duo_sig_request"));
        let calls = (0..4).flat_map(|_| [(&site.engine, &first), (&other_node, &second)]);
        let calls = calls.map(|(engine, challenge)| engine.verify(&challenge.reference, reply(&posted)));
        let told = futures::future::join_all(calls).await;
        let grants = told.iter().filter(|told| matches!(told, Ok(Verify::Verified(_)))).count();
        assert_eq!(grants, 1, "{told:?}");
        for told in told {
            match told.unwrap() {
                Verify::Verified(_) => {}
                other => {
                    let reason = refused(other).reason;
                    assert!(matches!(reason, Reason::Replayed | Reason::AlreadyUsed | Reason::Exhausted), "{reason}");
                }
            }
        }
        // A replay is told to the user, and is no guess.
        site.engine.drain_outbox(10).await.unwrap();
        let notices = site.inbox.take();
        let replay = NoticeKind::ReplaySeen.subject();
        assert!(notices.iter().any(|notice| notice.subject.as_deref() == Some(replay)));
        site.advance(Duration::from_secs(1));
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn t06_a_reply_of_the_web_sdk_is_not_accepted_again_while_it_lives(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let mut used = Vec::new();
        for _ in 0..4 {
            let challenge = site.begin(&bob).await;
            let posted = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
            granted(site.verify(&challenge, reply(&posted)).await);
            used.push(halves(&posted).0);
            site.advance(Duration::from_secs(7));
        }
        // Every one of them beside the half that a new challenge issued, at every time until it is over.
        for step in 0..6 {
            for auth in &used {
                let challenge = site.begin(&bob).await;
                let (_, app) = halves(text(&challenge.prompt, "duo_sig_request"));
                let told = refused(site.verify(&challenge, reply(&format!("{auth}:{app}"))).await);
                let expected = if step < 5 { Reason::Replayed } else { Reason::WrongCode };
                assert_eq!(told.reason, expected, "after {step} minutes");
            }
            site.advance(Duration::from_secs(60));
        }
    }

    [memory, sqlite] async fn s19_the_reply_of_the_set_up_logs_nobody_in(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.add("bob").await;
        let started = site.enrol_begin(&bob).await.unwrap();
        let posted = site.duo.web_prompt(text(&started.prompt, "duo_sig_request"));
        let told = site.confirm(&started, reply(&posted)).await;
        assert!(matches!(told, mfa::EnrolConfirm::Confirmed(_)), "{told:?}");
        let challenge = site.begin(&bob).await;
        assert_eq!(refused(site.verify(&challenge, reply(&posted)).await).reason, Reason::Replayed);
    }

    [memory, sqlite] async fn s19_only_the_half_that_the_challenge_issued_is_accepted(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        for n in 0..WRONG_REPLIES {
            let earlier = site.begin(&bob).await;
            site.advance(Duration::from_secs(1));
            let challenge = site.begin(&bob).await;
            let (wrong, reason) = wrong_replies(&site, &earlier, &challenge).swap_remove(n);
            assert_eq!(refused(site.verify(&challenge, reply(&wrong)).await).reason, reason, "{n}");
            let told = site.claim(&challenge.reference).await;
            assert!(matches!(told, Verify::Pending(_)), "{n}: {told:?}");
            site.advance(Duration::from_secs(900));
        }
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn s16_after_the_barrier_no_reply_of_before_is_accepted(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        // Given out before the barrier, and, for all that the records of old times say, not used.
        let posted = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
        site.engine.restore_barrier("olga", "the backup of noon came back").await.unwrap();
        site.advance(Duration::from_secs(2));
        let challenge = site.begin(&bob).await;
        let (_, app) = halves(text(&challenge.prompt, "duo_sig_request"));
        let told = site.verify(&challenge, reply(&format!("{}:{app}", halves(&posted).0))).await;
        assert_eq!(refused(told).reason, Reason::Replayed);
        granted(site.go_on(&challenge).await);
    }

    [memory, sqlite, processes] async fn s19_a_callback_counts_once_on_whichever_node(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let other_node = site.node(&json!({})).build().await.unwrap();
        let challenge = site.begin(&bob).await;
        let back = site.browse(&challenge.prompt).await;
        let exchanged = site.sent_to("/token");
        let nodes = [&site.engine, &other_node, &site.engine, &other_node];
        let calls = nodes.map(|engine| engine.verify(&challenge.reference, reply(&back)));
        let told = futures::future::join_all(calls).await;
        let grants = told.iter().filter(|told| matches!(told, Ok(Verify::Verified(_)))).count();
        assert_eq!((grants, site.sent_to("/token") - exchanged), (1, 1), "{told:?}");
        assert_eq!(refused(site.verify(&challenge, reply(&back)).await).reason, Reason::AlreadyUsed);
        let next = site.begin(&bob).await;
        assert_eq!(refused(site.verify(&next, reply(&back)).await).reason, Reason::Superseded);
        assert_eq!(site.sent_to("/token") - exchanged, 1, "a state of another challenge exchanges nothing");
    }

    [memory, sqlite] async fn s19_a_callback_with_a_foreign_state_ends_and_costs_nothing(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let (a, b) = (site.begin(&bob).await, site.begin(&bob).await);
        let of_a = site.browse(&a.prompt).await;
        let made_up = "0123456789abcdef0123456789abcdef";
        let foreign = [
            of_a.clone(),
            format!("state={}&error=access_denied&error_description=x", state(&a.prompt)),
            format!("state={made_up}&error=access_denied"),
            format!("state={made_up}&duo_code=x"),
            format!("state={}&duo_code=x", state(&b.prompt).to_uppercase()),
        ];
        let exchanged = site.sent_to("/token");
        for _ in 0..6 {
            // More than a challenge has attempts and a user has failures a day: anybody's page can send a browser here.
            for back in &foreign {
                let told = refused(site.verify(&b, reply(back)).await);
                assert_eq!((told.reason, told.attempts_left), (Reason::Superseded, 5), "{back}");
            }
        }
        assert_eq!(site.status(&b).await, Status::Sent);
        assert_eq!(site.sent_to("/token"), exchanged);
        granted(site.go_on(&b).await);
        granted(site.verify(&a, reply(&of_a)).await);
    }

    [memory, sqlite] async fn s19_an_error_with_the_own_state_ends_the_login(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        let back = site.browse(&challenge.prompt).await;
        let error = format!("state={}&error=access_denied", state(&challenge.prompt));
        assert_eq!(refused(site.verify(&challenge, reply(&error)).await).reason, Reason::Denied);
        assert_eq!(refused(site.verify(&challenge, reply(&back)).await).reason, Reason::Exhausted);
    }

    [memory, sqlite] async fn s19_another_prompt_makes_the_one_before_worth_nothing(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        let before = site.browse(&challenge.prompt).await;
        let again = site.verify(&challenge, Response::start(Choice::none())).await;
        let Verify::Pending(again) = again else { panic!("{again:?}") };
        assert_eq!(refused(site.verify(&challenge, reply(&before)).await).reason, Reason::Superseded);
        let back = site.browse(&again.prompt).await;
        granted(site.verify(&challenge, reply(&back)).await);
    }

    [memory, sqlite] async fn s19_a_code_of_another_login_or_user_is_a_wrong_answer(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let (bob, eve) = (site.enrolled("bob").await, site.enrolled("eve").await);
        let code = |back: &str| back.split("duo_code=").nth(1).unwrap().to_owned();
        // Eve's own approval, and one of bob's in another login, each beside the state that is wanted.
        for of in [&eve, &bob] {
            let other = site.begin(of).await;
            let stolen = code(&site.browse(&other.prompt).await);
            let challenge = site.begin(&bob).await;
            let back = format!("state={}&duo_code={stolen}", state(&challenge.prompt));
            let told = refused(site.verify(&challenge, reply(&back)).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::WrongCode, 4));
            // Burnt with it.
            assert_eq!(refused(site.verify(&challenge, reply(&back)).await).reason, Reason::Superseded);
        }
    }

    [memory] async fn s19_an_id_token_for_another_login_user_client_or_time_is_a_wrong_answer(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let claim = |pointer: &str, value: Value| TokenFault::Claim { pointer: pointer.to_owned(), value };
        let wrong = [
            claim("/nonce", json!("0123456789abcdef0123456789abcdef")),
            claim("/nonce", Value::Null),
            claim("/preferred_username", json!("acme/eve")),
            claim("/preferred_username", json!("ACME/BOB")),
            claim("/aud", json!("DIXXXXXXXXXXXXXXXXXX")),
            claim("/iss", json!("https://elsewhere.example/oauth/v1/token")),
            claim("/exp", json!(1)),
            TokenFault::Missing("nonce".to_owned()),
            TokenFault::Missing("preferred_username".to_owned()),
            TokenFault::Unsigned,
            TokenFault::Algorithm("none".to_owned()),
            TokenFault::Algorithm("HS256".to_owned()),
            TokenFault::OtherKey,
        ];
        for fault in wrong {
            site.duo.clear_faults();
            site.duo.token_fault(fault.clone());
            let told = refused(site.log_in(&bob).await);
            assert_eq!(told.reason, Reason::WrongCode, "{fault:?}");
            site.advance(Duration::from_secs(900));
        }
        site.duo.clear_faults();
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn s23_a_login_whose_settings_changed_meanwhile_is_not_finished_with_the_old_ones(world) {
        let mut site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let moved = site.node(&json!({"redirect_uri": "https://acme.example/moved"})).build().await.unwrap();
        let keys = site.duo.integration();
        let rekeyed = json!({"client_id": keys.ikey, "client_secret": keys.skey});
        let rekeyed = site.node(&rekeyed).build().await.unwrap();
        site.mode = Mode::AuthApi;
        let api = site.node(&json!({})).build().await.unwrap();
        site.mode = Mode::WebSdk;
        let web = site.node(&json!({})).build().await.unwrap();
        site.mode = Mode::Universal;
        let exchanged = site.sent_to("/token");
        for (name, changed) in [("moved", moved), ("rekeyed", rekeyed), ("auth_api", api), ("web_sdk", web)] {
            let challenge = site.begin(&bob).await;
            let back = site.browse(&challenge.prompt).await;
            let told = refused(changed.verify(&challenge.reference, reply(&back)).await.unwrap());
            assert!(matches!(told.reason, Reason::Superseded | Reason::Malformed), "{name}: {told:?}");
            // A poll of the other mode finds nothing to wait for.
            let polled = changed.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert!(matches!(polled, Verify::Pending(_)), "{name}: {polled:?}");
            let claimed = changed.claim(&challenge.reference).await.unwrap();
            assert!(matches!(claimed, Verify::Pending(_)), "{name}: {claimed:?}");
        }
        assert_eq!(site.sent_to("/token"), exchanged);
    }

    [memory, sqlite] async fn s23_a_web_request_of_before_is_nothing_to_the_auth_api_and_the_other_way_round(world) {
        let mut site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        site.mode = Mode::AuthApi;
        let api = site.node(&json!({})).build().await.unwrap();
        let pushed = begin_on(&api, &bob).await;
        let told = api.verify(&pushed.reference, mfa_tests::duo::push()).await.unwrap();
        assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        site.mode = Mode::WebSdk;
        // The push was approved; the Web SDK has issued nothing in this challenge.
        let challenge = site.begin(&bob).await;
        let posted = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
        let told = site.verify(&pushed, Response::answer(Answer::reply(&posted))).await;
        assert_eq!(refused(told).reason, Reason::Superseded);
        let told = refused(api.verify(&challenge.reference, reply(&posted)).await.unwrap());
        assert_eq!(told.reason, Reason::Malformed);
        assert!(site.world.events_of(Kind::ChallengeClaimed).await.is_empty());
    }

    [memory, sqlite] async fn s19_a_browser_that_stays_away_too_long_has_to_begin_again(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        let back = site.browse(&challenge.prompt).await;
        site.advance(Duration::from_secs(300));
        assert_eq!(refused(site.verify(&challenge, reply(&back)).await).reason, Reason::Expired);
        site.reaction("bob", Reaction::Approve);
        granted(site.log_in(&bob).await);
    }
}
