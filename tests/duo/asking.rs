//! The Auth API: how the user is asked, what it costs, and what it proves.

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Amr, Authority, Begin, Changed, Channel, Choice, EnrolConfirm, Intent, Reason, Response, Status,
    Verify,
};
use mfa_testkit::duo::{Device, Reaction};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, granted, push, start, text};
use mfa_tests::{World, login, on_duo, session};
use serde_json::{Value, json};

const PHONE: &str = "+15555550100";

/// How long Duo is not asked again how a user can be asked.
const AGAIN: Duration = Duration::from_secs(3);

/// What bob's phone shows next.
const CODES: [&str; 3] = ["755224", "287082", "359152"];

async fn with_codes(world: World) -> (DuoSite, mfa::Subject) {
    let site = DuoSite::new(world, Mode::AuthApi).await;
    let bob = site.enrolled_as("bob", |user| user.device(Device::phone(PHONE).passcodes(CODES))).await;
    (site, bob)
}

/// A site whose Duo wants numbers to be typed.
async fn numbered(world: World) -> (DuoSite, mfa::Subject) {
    let site = DuoSite::new(world, Mode::AuthApi).await;
    let bob = site.enrolled_as("bob", |user| user.device(Device::phone(PHONE)).verified_push()).await;
    (site, bob)
}

fn prompt(verify: Verify) -> Value {
    match verify {
        Verify::Pending(pending) => pending.prompt,
        other => panic!("not pending: {other:?}"),
    }
}

/// Polls until Duo says that the push has run out.
async fn ran_out(site: &DuoSite, challenge: &mfa::Challenge) {
    for _ in 0..3 {
        if prompt(site.verify(challenge, Response::poll()).await)["status"] == "timeout" {
            return;
        }
    }
    panic!("it has not run out");
}

/// Drives a poll until Duo holds the request that it makes, the `sent`-th.
async fn held<T: std::fmt::Debug>(site: &DuoSite, poll: &mut (impl Future<Output = T> + Unpin), sent: usize) {
    while site.sent_to("/auth_status") < sent {
        tokio::select! {
            told = &mut *poll => panic!("{told:?}"),
            () = tokio::task::yield_now() => {}
        }
    }
}

/// How many effects were charged as this.
async fn charged(site: &DuoSite, charge: &str) -> usize {
    let events = site.world.events_of(Kind::EffectCharged).await;
    events.iter().filter(|event| event.field("charge") == Some(charge)).count()
}

on_duo! {
    [memory, sqlite, processes] async fn a_passcode_is_right_once_wrong_or_malformed(world) {
        let (site, bob) = with_codes(world).await;
        let challenge = site.begin(&bob).await;
        let wrong = refused(site.verify(&challenge, Response::code("000000")).await);
        assert_eq!((wrong.reason, wrong.attempts_left), (Reason::WrongCode, 4));
        let asked = site.sent_to("/auth/v2/auth");
        for malformed in ["12345", "12345678901", "abcdef", "", "755224 OR 1=1"] {
            let told = refused(site.verify(&challenge, Response::code(malformed)).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::Malformed, 4), "{malformed}");
        }
        assert_eq!(site.sent_to("/auth/v2/auth"), asked, "what is malformed does not leave");
        let evidence = granted(site.verify(&challenge, Response::code(CODES[0])).await);
        let strength = (evidence.strength.aal, evidence.strength.channel, evidence.strength.amr);
        assert_eq!(strength, (Aal::Two, Channel::Device, vec![Amr::Otp]));
        // The challenge is used up, and so is the code, at Duo.
        assert_eq!(refused(site.verify(&challenge, Response::code(CODES[0])).await).reason, Reason::AlreadyUsed);
        let next = site.begin(&bob).await;
        assert_eq!(refused(site.verify(&next, Response::code(CODES[0])).await).reason, Reason::WrongCode);
    }

    [memory, sqlite] async fn s13_guesses_at_duo_count_like_any_other(world) {
        let (site, bob) = with_codes(world).await;
        let challenge = site.begin(&bob).await;
        for left in (0..5).rev() {
            assert_eq!(refused(site.verify(&challenge, Response::code("000000")).await).attempts_left, left);
        }
        assert_eq!(site.status(&challenge).await, Status::Failed);
        // The fifth in a row begins the delays.
        let begun = site.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
    }

    [memory, sqlite] async fn s22_a_passcode_that_duo_did_not_answer_stays_charged(world) {
        use mfa_testkit::duo::{Fault, On};
        let (site, bob) = with_codes(world).await;
        let challenge = site.begin(&bob).await;
        // Carried out, and no answer: the code may have been judged.
        for (left, fault) in [(4, Fault::CloseAfter), (3, Fault::Failure(50000)), (2, Fault::RateLimited { retry_after: None })] {
            site.duo.fault(On::any().path("/auth/v2/auth").times(1), fault);
            let told = refused(site.verify(&challenge, Response::code("000000")).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::Unavailable, left));
        }
        granted(site.verify(&challenge, Response::code(CODES[0])).await);
    }

    [memory, sqlite] async fn a_message_is_charged_and_its_code_logs_in(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let challenge = site.begin(&bob).await;
        assert_eq!(prompt(site.verify(&challenge, start("sms")).await)["factor"], "sms");
        let sent = prompt(site.verify(&challenge, Response::poll()).await);
        assert_eq!(sent["status"], "sent");
        assert_eq!((charged(&site, "send").await, site.duo.rings("acme/bob").sms), (1, 1));
        let code = site.duo.sms_codes("acme/bob").remove(0);
        granted(site.verify(&challenge, Response::code(&code)).await);
    }

    [memory, sqlite] async fn s20_messages_and_calls_come_from_the_budget_of_messages(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let mut told = Vec::new();
        for factor in ["sms", "phone", "sms", "phone", "sms", "phone"] {
            let challenge = site.begin(&bob).await;
            told.push(site.verify(&challenge, start(factor)).await);
            site.advance(Duration::from_secs(30));
        }
        assert_eq!(refused(told.pop().unwrap()).reason, Reason::SendLimit);
        assert!(told.iter().all(|told| matches!(told, Verify::Pending(_))));
        let rings = site.duo.rings("acme/bob");
        assert_eq!((rings.sms, rings.calls), (3, 2));
    }

    [memory, sqlite] async fn s13_there_are_twenty_pushes_until_something_is_accepted_however_they_are_asked_for(world) {
        let (site, bob) = with_codes(world).await;
        let before = site.pushes("bob");
        site.reaction("bob", Reaction::TimeOut);
        let mut refusals = 0;
        for n in 0..24 {
            let challenge = site.begin(&bob).await;
            // `auto` would let Duo choose a push, which nobody has charged as one.
            let chosen = refused(site.verify(&challenge, start("auto")).await);
            assert_eq!(chosen.reason, Reason::NotOffered);
            match site.verify(&challenge, push()).await {
                Verify::Pending(_) => assert!(n < 20),
                Verify::Rejected(rejected) => {
                    assert_eq!(rejected.reason, Reason::SendLimit);
                    refusals += 1;
                }
                other => panic!("{other:?}"),
            }
            site.advance(Duration::from_secs(3600));
        }
        assert_eq!((site.pushes("bob") - before, refusals), (20, 4));
        let challenge = site.begin(&bob).await;
        granted(site.verify(&challenge, Response::code(CODES[0])).await);
        assert!(matches!(site.verify(&site.begin(&bob).await, push()).await, Verify::Pending(_)));
    }

    [memory, sqlite] async fn s13_a_push_that_was_denied_counts_twice(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let before = site.pushes("bob");
        site.reaction("bob", Reaction::Deny);
        for _ in 0..10 {
            assert_eq!(refused(site.log_in(&bob).await).reason, Reason::Denied);
        }
        assert_eq!(refused(site.log_in(&bob).await).reason, Reason::SendLimit);
        assert_eq!(site.pushes("bob") - before, 10);
    }

    [memory, sqlite, processes] async fn s13_of_pushes_that_two_nodes_start_at_once_each_that_rings_was_charged(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::Wait);
        let before = site.pushes("bob");
        let other = site.node(&json!({})).build().await.unwrap();
        let challenge = site.begin(&bob).await;
        let starts = [&site.engine, &other].map(|engine| engine.verify(&challenge.reference, push()));
        for told in futures::future::join_all(starts).await {
            assert!(matches!(told, Ok(Verify::Pending(_))), "{told:?}");
        }
        let rang = usize::try_from(site.pushes("bob") - before).unwrap();
        // Each push that rang was charged; where the second start came after the first had ended, that is two.
        let of_setup = 1;
        assert_eq!(charged(&site, "push").await - of_setup, rang);
    }

    [memory, sqlite] async fn s31_a_number_is_shown_and_carried_to_the_device_and_is_aal2(world) {
        let (site, bob) = numbered(world).await;
        let challenge = site.begin(&bob).await;
        let number = text(&challenge.prompt, "verification_code");
        assert!(number.len() >= 3 && number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        let preauth = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/preauth").unwrap();
        assert_eq!(preauth.params["client_supports_verified_push"], "1");
        let evidence = granted(site.go_on(&challenge).await);
        assert_eq!((evidence.strength.aal, evidence.strength.channel), (Aal::Two, Channel::Push));
        let auth = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
        assert!(auth.params.contains_key("txid"), "the transaction that was announced");
    }

    [memory, sqlite] async fn s31_where_duo_wants_a_number_no_push_goes_without_one(world) {
        let (site, bob) = numbered(world).await;
        site.reaction("bob", Reaction::TimeOut);
        let challenge = site.begin(&bob).await;
        let first = text(&challenge.prompt, "verification_code").to_owned();
        let mut shown = vec![first];
        // The number of before is used: another one is shown, and only then rings another push.
        for _ in 0..3 {
            let rang = site.pushes("bob");
            assert_eq!(prompt(site.verify(&challenge, push()).await)["factor"], "verified_push");
            assert_eq!(site.pushes("bob") - rang, 1);
            ran_out(&site, &challenge).await;
            site.advance(AGAIN);
            let next = prompt(site.verify(&challenge, push()).await);
            assert_eq!(site.pushes("bob") - rang, 1, "nothing rings without a number");
            shown.push(text(&next, "verification_code").to_owned());
        }
        // The number of before is too old.
        site.advance(Duration::from_secs(61));
        let rang = site.pushes("bob");
        let next = prompt(site.verify(&challenge, push()).await);
        assert_eq!((next["status"].as_str(), site.pushes("bob")), (Some("choose"), rang));
        // Whoever loads the page again sees a number, too.
        let shows = [Response::start(Choice::none()), Response::start(Choice::none())];
        for show in shows {
            site.advance(AGAIN);
            assert!(prompt(site.verify(&challenge, show).await).get("verification_code").is_some());
        }
        site.advance(AGAIN);
        let Changed::Done(again) = site.engine.resend(&challenge.reference).await.unwrap() else { panic!() };
        assert!(again.get("verification_code").is_some(), "{again}");
        site.reaction("bob", Reaction::Approve);
        assert_eq!(granted(site.go_on(&challenge).await).strength.aal, Aal::Two);
        let auths = site.duo.requests().into_iter().filter(|seen| seen.path == "/auth/v2/auth");
        for auth in auths.filter(|auth| auth.params["factor"] == "push") {
            assert!(auth.params.contains_key("txid"), "{:?}", auth.params);
        }
        assert_eq!(shown.len(), 4);
    }

    [memory, sqlite] async fn s31_a_number_is_good_by_duo_s_clock_which_is_not_ours(world) {
        for ahead in [true, false] {
            let (site, bob) = numbered(mfa_tests::duo::another(&world).await).await;
            let by = Duration::from_secs(3600);
            let set = || site.duo.set_now(if ahead { site.world.now().plus(by) } else { site.world.now().minus(by) });
            set();
            site.reaction("bob", Reaction::TimeOut);
            let challenge = site.begin(&bob).await;
            let until = challenge.prompt["verification_until"].as_u64().unwrap();
            let now = site.world.now().unix_seconds();
            assert!((now + 1..=now + 60).contains(&until), "{ahead}: {now} {until}");
            let rang = site.pushes("bob");
            assert_eq!(prompt(site.verify(&challenge, push()).await)["factor"], "verified_push", "{ahead}");
            assert_eq!(site.pushes("bob") - rang, 1, "{ahead}");
            // And one that has run out is not sent.
            ran_out(&site, &challenge).await;
            site.advance(AGAIN);
            set();
            assert_eq!(prompt(site.verify(&challenge, push()).await)["status"], "choose", "{ahead}");
            site.advance(Duration::from_secs(61));
            set();
            let rang = site.pushes("bob");
            assert_eq!(prompt(site.verify(&challenge, push()).await)["status"], "choose", "{ahead}");
            assert_eq!(site.pushes("bob"), rang, "{ahead}");
        }
    }

    [memory, sqlite] async fn s31_a_push_or_a_call_without_a_number_is_aal1_unless_the_settings_accept_it(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let accepting = site.node(&json!({"accept_approve_only": true})).build().await.unwrap();
        for (factor, channel) in [("push", Channel::Push), ("phone", Channel::Phone)] {
            for (engine, aal) in [(&site.engine, Aal::One), (&accepting, Aal::Two)] {
                let challenge = mfa_tests::duo::begin_on(engine, &bob).await;
                let mut told = engine.verify(&challenge.reference, start(factor)).await.unwrap();
                for _ in 0..4 {
                    told = engine.verify(&challenge.reference, Response::poll()).await.unwrap();
                }
                assert!(matches!(told, Verify::Pending(_)), "{told:?}");
                let evidence = granted(engine.claim(&challenge.reference).await.unwrap());
                assert_eq!((evidence.strength.aal, evidence.strength.channel), (aal, channel), "{factor}");
                assert!(evidence.strength.amr.is_empty());
                site.advance(Duration::from_secs(30));
            }
        }
    }

    [memory, sqlite] async fn s09_an_approved_push_proves_nothing_where_the_strongest_method_is_wanted(world) {
        let (site, bob) = with_codes(world).await;
        let intent = Intent::disable(&bob);
        let begin = async || match site.engine.step_up_begin(login(&bob), &intent).await.unwrap() {
            Begin::Challenge(challenge) => challenge,
            other => panic!("{other:?}"),
        };
        let disable = async |proof| {
            let authority = Authority::proof(proof, Some(&session(&bob)));
            site.engine.disable(bob.account(), bob.user(), &authority).await
        };
        let challenge = begin().await;
        match site.go_on(&challenge).await {
            Verify::Proven(proven) => {
                assert_eq!(disable(proven.proof).await.unwrap_err().code(), "step_up_required");
            }
            Verify::Rejected(_) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(site.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
        let challenge = begin().await;
        let Verify::Proven(proven) = site.verify(&challenge, Response::code(CODES[0])).await else { panic!() };
        disable(proven.proof).await.unwrap();
        assert!(site.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }

    [memory, sqlite] async fn s19_an_answer_to_an_earlier_push_is_not_taken_for_that_to_the_last(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::Wait);
        let challenge = site.begin(&bob).await;
        prompt(site.verify(&challenge, push()).await);
        prompt(site.verify(&challenge, Response::poll()).await);
        // A poll that Duo holds, and meanwhile another way of asking.
        let asked = site.sent_to("/auth_status");
        let mut late = std::pin::pin!(site.engine.verify(&challenge.reference, Response::poll()));
        while site.sent_to("/auth_status") == asked {
            tokio::select! {
                told = &mut late => panic!("{told:?}"),
                () = tokio::task::yield_now() => {}
            }
        }
        prompt(site.verify(&challenge, start("phone")).await);
        assert_eq!(site.duo.react("acme/bob", Reaction::Approve), 2);
        // It hears that the push was approved, which is not waited for any more.
        prompt(late.await.unwrap());
        assert_eq!(site.status(&challenge).await, Status::Sent);
        prompt(site.settled(&challenge).await);
        let evidence = granted(site.claim(&challenge.reference).await);
        assert_eq!(evidence.strength.channel, Channel::Phone);
    }

    [memory, sqlite] async fn s20_of_the_polls_of_one_challenge_one_at_a_time_asks_duo(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        site.reaction("bob", Reaction::Wait);
        let (his, other) = (site.begin(&bob).await, site.begin(&bob).await);
        for challenge in [&his, &other] {
            prompt(site.verify(challenge, push()).await);
            prompt(site.verify(challenge, Response::poll()).await);
        }
        let asked = site.sent_to("/auth_status");
        let mut late = Box::pin(site.engine.verify(&his.reference, Response::poll()));
        held(&site, &mut late, asked + 1).await;
        for _ in 0..20 {
            let told = site.verify(&his, Response::poll()).await;
            assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        }
        assert_eq!(site.sent_to("/auth_status"), asked + 1);
        // Another challenge has its own.
        let mut of_other = Box::pin(site.engine.verify(&other.reference, Response::poll()));
        held(&site, &mut of_other, asked + 2).await;
        // A call that is dropped leaves its place.
        drop(late);
        let mut late = Box::pin(site.engine.verify(&his.reference, Response::poll()));
        held(&site, &mut late, asked + 3).await;
        assert_eq!(site.duo.react("acme/bob", Reaction::Approve), 2);
        prompt(late.await.unwrap());
        granted(site.claim(&his.reference).await);
    }

    [memory, sqlite] async fn s20_of_the_polls_of_one_set_up_one_at_a_time_asks_duo(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.add("bob").await;
        site.reaction("bob", Reaction::Wait);
        let started = site.enrol_begin(&bob).await.unwrap();
        let asking = Response::poll();
        let poll = || site.engine.enrol_confirm(&started.reference, &asking);
        let _ = site.confirm(&started, push()).await;
        let _ = site.confirm(&started, Response::poll()).await;
        let asked = site.sent_to("/auth_status");
        let mut late = Box::pin(poll());
        held(&site, &mut late, asked + 1).await;
        for _ in 0..20 {
            assert!(matches!(poll().await, Ok(EnrolConfirm::Pending(_))));
        }
        assert_eq!(site.sent_to("/auth_status"), asked + 1);
        assert_eq!(site.duo.react("acme/bob", Reaction::Approve), 1);
        assert!(matches!(late.await, Ok(EnrolConfirm::Confirmed(_))));
    }

    [memory, sqlite] async fn s20_duo_is_asked_how_to_ask_every_three_seconds_at_most(world) {
        let (site, bob) = numbered(world).await;
        let eve = site.world.add("eve").await;
        let started = site.enrol_begin(&eve).await.unwrap();
        let challenge = site.begin(&bob).await;
        for _ in 0..3 {
            let asked = site.sent_to("/preauth");
            for _ in 0..10 {
                // Of somebody who is not at Duo yet, and of somebody who is shown a number.
                let _ = site.confirm(&started, Response::poll()).await;
                let _ = site.confirm(&started, Response::start(Choice::none())).await;
                prompt(site.verify(&challenge, Response::start(Choice::none())).await);
                assert!(matches!(site.engine.resend(&challenge.reference).await, Ok(Changed::Done(_))));
                let switched = site.engine.switch(&challenge.reference, &mfa_tests::acting::method("duo")).await;
                assert!(matches!(switched, Ok(Changed::Done(_))), "{switched:?}");
            }
            assert_eq!(site.sent_to("/preauth"), asked);
            site.advance(AGAIN);
            let _ = site.confirm(&started, Response::poll()).await;
            let shown = prompt(site.verify(&challenge, Response::start(Choice::none())).await);
            assert!(shown.get("verification_code").is_some(), "{shown}");
            assert_eq!(site.sent_to("/preauth"), asked + 2);
        }
        granted(site.go_on(&challenge).await);
    }

    [memory, sqlite] async fn s19_a_transaction_or_device_that_the_browser_names_is_not_taken(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let eve = site.enrolled("eve").await;
        site.reaction("bob", Reaction::Wait);
        // Eve approves a push of her own; its transaction would be the answer.
        let hers = site.begin(&eve).await;
        let device = text(&hers.prompt["offers"][0], "device").to_owned();
        assert!(matches!(site.verify(&hers, push()).await, Verify::Pending(_)));
        let polled = site.verify(&hers, Response::poll()).await;
        assert!(matches!(polled, Verify::Pending(_)));
        let txid = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth_status");
        let txid = txid.unwrap().params["txid"].clone();
        let his = site.begin(&bob).await;
        let named = json!({"factor": "push", "txid": txid, "username": "acme/eve", "user_id": "DU1"});
        let told = site.verify(&his, Response::start(Choice::new(named))).await;
        assert!(matches!(told, Verify::Pending(_)), "{told:?}");
        let auth = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
        assert_eq!(auth.params["username"], "acme/bob");
        assert!(!auth.params.contains_key("txid") && !auth.params.contains_key("user_id"));
        let polled = site.verify(&his, Response::poll()).await;
        assert!(matches!(polled, Verify::Pending(_)), "{polled:?}");
        assert_eq!(site.status(&his).await, Status::Sent);
        let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth_status").unwrap();
        assert_ne!(asked.params["txid"], txid);
        let foreign = Response::start(Choice::new(json!({"factor": "push", "device": device})));
        assert_eq!(refused(site.verify(&his, foreign).await).reason, Reason::NotOffered);
        for factor in ["passcode", "bypass", "", "PUSH"] {
            assert_eq!(refused(site.verify(&his, start(factor)).await).reason, Reason::NotOffered, "{factor}");
        }
    }
}
