//! Kazoo's wire: what a host of Crossbar prints from the library's answers, and the rows it leaves.

use std::time::Duration;

use audit_model::{
    Attempt, ErrorReply, Event, EventBuilder, EventId, Kind, Outcome, Profile, Scope, Timestamp,
};
use mfa::settings::{Change, Modules, Owner};
use mfa::{
    Aal, Account, AccountId, Answer, Authority, Begin, Challenge, DeniedReason, Engine, EnrolConfirm, Intent,
    Policy, Reason, Response, RiskDecision, Subject, Target, UserId, Verify, http_status,
};
use mfa_testkit::duo::Reaction;
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, granted, reply, text};
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on, scan};
use mfa_tests::told::wrong_code;
use mfa_tests::{World, acme, begin, host, login, on_duo, on_stores, session, totp};
use serde_json::{Value, json};

use crate::rows::{at, write};

/// The misspelling is on the wire.
const SECOND_FACTOR: &str = "client needs to preform second-factor authentication";
const SUCCESSFUL: &str = "multi factor authentication was successful";
const CREATED: &str = "authentication resulted in token creation";

/// What the host answers to a login that is to go on with a second factor.
fn challenge_body(challenge: &Challenge) -> Value {
    json!({
        "data": {
            "message": SECOND_FACTOR,
            "multi_factor_request": {
                "provider_name": challenge.method.provider.as_str(),
                "settings": {
                    "duo_sig_request": challenge.prompt["duo_sig_request"],
                    "duo_api_hostname": challenge.prompt["duo_api_hostname"],
                },
            },
        },
        "error": "401", "message": "invalid_credentials", "status": "error",
    })
}

/// The host writes down what became of its own token.
async fn token(world: &World, outcome: Outcome, message: &'static str) {
    world.clock.advance(Duration::from_millis(1));
    let kind = if outcome == Outcome::Success { Kind::TokenCreated } else { Kind::LoginDenied };
    let row = EventBuilder::new(Scope::Account(acme()), kind, outcome, world.now());
    let row = row.module("cb_user_auth").attempt(Attempt::new("jwt_auth_token", message));
    write(&*world.store, [row]).await;
}

/// Type, status and message of the rows that are shown, oldest first.
async fn shown(world: &World) -> Vec<[String; 3]> {
    let events = world.events().await;
    let rows = events.iter().filter_map(|event| Profile::Kazoo4.summary(event)?.to_json().ok());
    let rows = rows.map(|row| serde_json::from_str::<Value>(&row).unwrap());
    rows.map(|row| ["auth_type", "status", "message"].map(|name| row[name].as_str().unwrap().to_owned()))
        .collect()
}

/// The second request: the login whole again, with what the page brought back.
async fn repeated(site: &DuoSite, bob: &Subject, response: &str) -> Verify {
    let again = Target::Current(Box::new(login(bob)));
    site.engine.verify(again, reply(response)).await.unwrap()
}

on_duo! {
    /// A wrong password has no challenge: [`mfa::Login`] is made of a first factor that was verified.
    [memory, sqlite, processes] async fn b13_a_login_goes_on_with_a_request_for_duo_and_leaves_no_row(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let before = shown(&site.world).await;
        let begun = site.engine.begin(login(&bob)).await.unwrap();
        assert_eq!(http_status(&begun).status, 401);
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        let body = challenge_body(&challenge);
        let request = &body["data"]["multi_factor_request"];
        assert_eq!((&request["provider_name"], &body["data"]["message"]), (&json!("duo"), &json!(SECOND_FACTOR)));
        let signed = text(&request["settings"], "duo_sig_request");
        let (tx, app) = signed.split_once(':').unwrap();
        assert!(tx.starts_with("TX|") && app.starts_with("APP|") && signed.matches('|').count() == 4);
        assert_eq!(request["settings"]["duo_api_hostname"], site.duo.authority());
        let envelope = ErrorReply::new(401, "invalid_credentials", SECOND_FACTOR).to_json();
        let envelope: Value = serde_json::from_str(&envelope).unwrap();
        for name in ["error", "message", "status"] {
            assert_eq!(body[name], envelope[name], "{name}");
        }
        assert_eq!(shown(&site.world).await, before);
    }

    /// The row of the token is the host's, who makes it.
    [memory, sqlite, processes] async fn b14_a_login_repeated_with_duos_answer_is_let_in_and_leaves_two_rows(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let before = shown(&site.world).await.len();
        let challenge = site.begin(&bob).await;
        let response = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
        // In another session the login is another one.
        let first = mfa::FirstFactor::verified_now(
            mfa::FirstFactorKind::Password, mfa::Channel::Direct, Some("another session"));
        let elsewhere = mfa::Login::new(bob.clone(), first, mfa::Module::parse("user_auth").unwrap());
        let told = site.engine.verify(Target::Current(Box::new(elsewhere)), reply(&response)).await.unwrap();
        assert_eq!(refused(told).reason, Reason::NotFound);

        let verified = repeated(&site, &bob, &response).await;
        assert_eq!(http_status(&verified).status, 200);
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        grant.redeem(bob.account(), bob.user(), Some(&session(&bob)), site.world.now()).unwrap();
        token(&site.world, Outcome::Success, CREATED).await;
        let rows = shown(&site.world).await.split_off(before);
        assert_eq!(rows, [["multi_factor", "success", SUCCESSFUL], ["jwt_auth_token", "success", CREATED]]);
    }

    [memory, sqlite, processes] async fn b15_an_answer_that_is_none_of_duos_is_unauthorized(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        let before = shown(&site.world).await.len();
        let challenge = site.begin(&bob).await;
        let posted = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
        let (auth, app) = posted.split_once(':').unwrap();
        let (signed, last) = auth.split_at(auth.len() - 1);
        let forged = format!("{signed}{}:{app}", if last == "0" { "1" } else { "0" });
        let told = repeated(&site, &bob, &forged).await;
        assert_eq!(http_status(&told).status, 401);
        assert_eq!(refused(told).reason, Reason::WrongCode);
        token(&site.world, Outcome::Failure, "unauthorized").await;
        let rows = shown(&site.world).await.split_off(before);
        assert_eq!(rows, [["multi_factor", "failed", "unauthorized"], ["jwt_auth_token", "failed", "unauthorized"]]);
        // Nor is that of a user who was refused there.
        site.reaction("bob", Reaction::Deny);
        let challenge = site.begin(&bob).await;
        let posted = site.duo.web_prompt(text(&challenge.prompt, "duo_sig_request"));
        assert!(!matches!(repeated(&site, &bob, &posted).await, Verify::Verified(_)));
        site.reaction("bob", Reaction::Approve);
        granted(site.log_in(&bob).await);
    }
}

async fn kazoo(world: &World, more: Value) -> Engine {
    let policy = Policy::kazoo().with_document(&json!({"trigger": "opt_in"})).unwrap();
    let policy = policy.with_document(&more).unwrap();
    world.node().policy(policy).modules(Modules::kazoo()).build().await.unwrap()
}

async fn answered(engine: &Engine, challenge: &Challenge, code: &str) -> Option<Reason> {
    match engine.verify(&challenge.reference, Response::code(code)).await.unwrap() {
        Verify::Verified(_) => None,
        other => Some(refused(other).reason),
    }
}

on_stores! {
    /// A name that nothing is registered under is answered like one that is not offered.
    async fn a24_a_provider_is_known_by_its_name(world) {
        let engine = kazoo(&world, json!({})).await;
        let bob = world.add("bob").await;
        let starts = async |name: &str| {
            let name = name.parse().unwrap();
            let told = engine.enrol_begin(bob.account(), bob.user(), &name, &mfa::Choice::none(), &host()).await;
            told.map(|started| started.prompt["kind"].clone()).map_err(|error| error.code())
        };
        assert_eq!(starts("totp").await, Ok(json!("totp")));
        for name in ["duo", "otp", "totp2"] {
            assert_eq!(starts(name).await, Err("method_not_offered"), "{name}");
        }
        // And no two have one name.
        let twice = world.node().provider(mfa::totp::Totp::new("Another").unwrap()).build().await;
        assert!(twice.map(drop).unwrap_err().to_string().contains("totp"));
    }

    /// A method that the site does not have any more lets nobody in; that Kazoo does is not followed.
    async fn b17_without_a_provider_the_login_is_refused_and_the_row_says_so(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let without = kazoo(&world, json!({"offered": []})).await;
        let told = answered(&without, &challenge, &app.code_at(world.now())).await;
        assert_eq!(told, Some(Reason::Unavailable));
        let rows = shown(&world).await;
        let message = "no multi factor authentication provider is configured";
        assert_eq!(rows, [["multi_factor", "failed", message]]);
        let begun = without.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(denied) if denied.reason == DeniedReason::Unavailable));
    }

    async fn b25_the_id_of_an_attempt_is_its_month_and_32_hex_digits(world) {
        // 2016-12-31T23:59:59Z and the second after; those around the end of a February with 29 days.
        for (second, month) in [
            (1_483_228_799, "201612"), (1_483_228_800, "201701"),
            (1_709_251_199, "202402"), (1_709_251_200, "202403"),
        ] {
            world.clock.set(at(second));
            let (bob, app) = world.enrol(&format!("bob-{second}")).await;
            world.clock.set(at(second));
            let challenge = world.begin(&bob).await;
            assert_eq!(answered(&world.engine, &challenge, &wrong_code(&app, world.now())).await, Some(Reason::WrongCode));
            let row = world.events().await.into_iter().rfind(Event::is_in_attempts_view).unwrap();
            let id = row.id().to_string();
            let (before, hex) = id.split_once('-').unwrap();
            assert_eq!((before, hex.len()), (month, 32), "{id}");
            assert!(hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')), "{id}");
            assert_eq!(id.parse::<EventId>().unwrap(), row.id());
            assert_eq!(row.at().year_month().to_string(), month);
        }
    }

    async fn b29_who_is_outside_of_the_account_s_tree_changes_nothing(world) {
        let engine = kazoo(&world, json!({})).await;
        let document = json!({"auth_modules": {"cb_user_auth": {"enabled": false}}});
        let account = Account::new(acme());
        let owner = Owner::Account(account.clone());
        let intent = Intent::change_settings(&account, Change::Put(&document));
        for (of, expected) in [("beta", Some("not_permitted")), ("acme", None)] {
            let ann = Subject::of(&Account::new(AccountId::parse(of).unwrap()), UserId::parse("ann").unwrap()).with_rank(1);
            world.directory.put(&ann).await.unwrap();
            let app = world.enrol_again(&ann).await;
            let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
            let by = Authority::proof_because(proof, Some(&session(&ann)), "no more logins");
            let told = engine.settings_put(&owner, &document, None, &by).await;
            let told = told.map_err(|error| {
                assert_eq!(http_status(&error).status, 403);
                error.code()
            });
            assert_eq!(told.err(), expected, "{of}");
        }
        let refused = world.events_of(Kind::ChangeRefused).await;
        assert!(refused.iter().any(|event| event.actor() == Some("beta/ann")));
    }

    /// Kazoo calls the provider `otp`, and shows the same code until it was verified. Here it is `totp`, and what is
    /// shown is shown once: whoever asks again is shown another, and the one before is good still.
    async fn b30_a_code_to_scan_is_kazoos_json_and_is_over_once_it_was_verified(world) {
        let engine = kazoo(&world, json!({})).await;
        let bob = world.add("bob").await;
        let (totp, none, by) = (totp(), mfa::Choice::none(), host());
        let starts = || engine.enrol_begin(bob.account(), bob.user(), &totp, &none, &by);
        let (first, second) = (starts().await.unwrap(), starts().await.unwrap());
        for started in [&first, &second] {
            let body = json!({"data": [{"qr_url": started.revealed.get("uri").unwrap().expose_secret()}]});
            assert!(text(&body["data"][0], "qr_url").starts_with("otpauth://totp/"));
            assert_eq!(started.prompt["digits"], 6);
        }
        let app = scan(&first);
        let confirm = async |code: &str| engine.enrol_confirm(&first.reference, &Response::code(code)).await.unwrap();
        assert!(matches!(confirm(&app.code_at(world.now())).await, EnrolConfirm::Confirmed(_)));
        world.clock.advance(Duration::from_secs(150));
        let again = confirm(&app.code_at(world.now())).await;
        assert!(matches!(again, EnrolConfirm::Rejected(r) if r.reason == Reason::AlreadyVerified));
        let body = ErrorReply::new(403, "forbidden", "QR code already verified.").to_json();
        assert!(body.contains(r#""error":"403""#), "{body}");
        // Of the step before, of this one and of the next.
        for around in [-1, 0, 1] {
            world.clock.advance(Duration::from_secs(150));
            let challenge = begin(&engine, &bob).await;
            let step = (world.now().unix_seconds() / 30).saturating_add_signed(around);
            assert_eq!(answered(&engine, &challenge, &app.code_of_step(step)).await, None, "{around}");
        }
    }

    async fn b31_too_many_failures_lock_the_user_and_the_right_code_is_not_judged(world) {
        let engine = kazoo(&world, json!({"failures_per_day": 3})).await;
        let (bob, app) = world.enrol("bob").await;
        let challenge = begin(&engine, &bob).await;
        for _ in 0..3 {
            assert_eq!(answered(&engine, &challenge, &wrong_code(&app, world.now())).await, Some(Reason::WrongCode));
        }
        assert_eq!(answered(&engine, &challenge, &app.code_at(world.now())).await, Some(Reason::Locked));
        let begun = engine.begin(login(&bob)).await.unwrap();
        let Begin::Denied(denied) = &begun else { panic!("{begun:?}") };
        assert_eq!(denied.reason, DeniedReason::Locked);
        assert!(denied.retry_after.is_some_and(|wait| wait > Duration::ZERO) && http_status(&begun).status == 429);
        // In Kazoo's words.
        let sentence = "your account is locked because of too many failed login attempts";
        let body: Value = serde_json::from_str(&ErrorReply::new(401, "account_is_locked", sentence).to_json()).unwrap();
        let wanted = json!({"error": "401", "message": "account_is_locked", "status": "error", "data": {"message": sentence}});
        assert_eq!(body, wanted);
        // By the limits that hold unless they are set, it would not be locked yet.
        assert!(matches!(world.engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn b32_the_second_factor_is_passed_by_a_grant_that_somebody_issued_and_that_is_logged(world) {
        let engine = kazoo(&world, json!({})).await;
        let (bob, app) = world.enrol("bob").await;
        // Neither rank nor a judgement of the host's passes it.
        for asks in [login(&bob.clone().with_rank(255)), login(&bob).with_decision(RiskDecision::Allow)] {
            assert!(matches!(engine.begin(asks).await.unwrap(), Begin::Challenge(_)));
        }
        let life = Duration::from_secs(600);
        let issue = async |by: &Authority| engine.bypass_issue(bob.account(), bob.user(), life, by).await;
        let own = prove_on(&engine, &world, login(&bob), &app, &Intent::bypass(&bob)).await;
        assert_eq!(issue(&in_session_of(&bob, &own)).await.unwrap_err().code(), "not_permitted");
        assert_eq!(issue(&first_factor(&bob)).await.unwrap_err().code(), "step_up_required");
        let (ann, anns_app) = enrol_ranked(&world, "ann", 1).await;
        let proof = prove_on(&engine, &world, login(&ann), &anns_app, &Intent::bypass(&bob)).await;
        let by = Authority::proof_because(proof, Some(&session(&ann)), "impersonation for a ticket");
        let bypass = issue(&by).await.unwrap();
        let [issued] = &world.events_of(Kind::BypassIssued).await[..] else { panic!("one event") };
        assert_eq!((issued.actor(), issued.reason()), (Some("ann"), Some("impersonation for a ticket")));

        for lets_in in [true, false] {
            let challenge = begin(&engine, &bob).await;
            let answer = Response::answer(Answer::bypass(bypass.code.expose_secret()));
            match engine.verify(&challenge.reference, answer).await.unwrap() {
                Verify::Verified(grant) if lets_in => assert_eq!(grant.evidence().aal(), Aal::One),
                Verify::Rejected(_) if !lets_in => {}
                other => panic!("{lets_in} {other:?}"),
            }
        }
        let used = world.events_of(Kind::AnswerAccepted).await.into_iter().rfind(|event| event.user() == Some(bob.user()));
        assert_eq!(used.unwrap().field("method"), Some("bypass"));
    }
}

#[test]
fn b26_a_timestamp_is_gregorian_seconds() {
    let sample = Timestamp::from_gregorian_seconds(63_655_033_238).unwrap();
    assert_eq!((sample.unix_seconds(), sample.gregorian_seconds()), (1_487_814_038, 63_655_033_238));
    for seconds in [0, 1, 1_487_814_038, 253_402_300_799] {
        let gregorian = at(seconds).gregorian_seconds();
        assert_eq!(gregorian, seconds + 62_167_219_200);
        assert_eq!(Timestamp::from_gregorian_seconds(gregorian).unwrap(), at(seconds));
    }
    assert!(Timestamp::from_gregorian_seconds(62_167_219_199).is_err());
}
