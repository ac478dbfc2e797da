//! What users and administrators of such a company choose and set up: apps, and whose word is needed.

use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::{
    Authority, Begin, Choice, EnrolConfirm, EnrolmentStarted, Intent, Reason, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::acting::{method, refused};
use mfa_tests::mailed::Mailed;
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on, scan};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, host, login, on_stores, session, totp};
use serde_json::json;
use url::Url;

use crate::total_uptime::{LIFE, bob, company, is_let_in, switch_on};

async fn starts(company: &Mailed, bob: &Subject, by: &Authority) -> Result<EnrolmentStarted, mfa::Error> {
    company.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), by).await
}

async fn confirms(company: &Mailed, started: &EnrolmentStarted, code: &str) -> EnrolConfirm {
    company.engine.enrol_confirm(&started.reference, &Response::code(code)).await.unwrap()
}

async fn providers(company: &Mailed, bob: &Subject) -> Vec<String> {
    let methods = company.engine.methods(bob.account(), bob.user()).await.unwrap();
    methods.iter().map(|method| method.provider.to_string()).collect()
}

/// Bob with an app alone.
async fn with_app(world: &World, company: &Mailed) -> (Subject, SoftAuthenticator) {
    let bob = company.add(world, "bob").await;
    let started = starts(company, &bob, &host()).await.unwrap();
    let app = scan(&started);
    assert!(matches!(
        confirms(company, &started, &app.code_at(world.now())).await,
        EnrolConfirm::Confirmed(_)
    ));
    // The window of the set-up's code is over.
    world.clock.advance(STEP * 3);
    (bob, app)
}

async fn answered(company: &Mailed, challenge: &mfa::Challenge, code: &str) -> Option<Reason> {
    match company.engine.verify(&challenge.reference, Response::code(code)).await.unwrap() {
        Verify::Verified(_) => None,
        other => Some(refused(other).reason),
    }
}

on_stores! {
    async fn d10_an_app_is_set_up_where_the_company_offers_it(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        switch_on(&company, json!({"offered": ["email", "sms"]})).await;
        assert_eq!(starts(&company, &bob, &host()).await.unwrap_err().code(), "method_not_offered");
        switch_on(&company, json!({"offered": ["email", "sms", "totp"]})).await;
        assert!(starts(&company, &bob, &host()).await.is_ok());
    }

    async fn d11_what_an_app_scans_is_an_address_that_every_app_reads(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let started = starts(&company, &bob, &host()).await.unwrap();
        let uri = started.revealed.get("uri").unwrap().expose_secret();
        let read = Url::parse(uri).unwrap();
        assert_eq!((read.scheme(), read.host_str()), ("otpauth", Some("totp")));
        let value = |name: &str| read.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let secret = value("secret").unwrap();
        // 160 bits, in the alphabet of base32 without padding.
        assert!(secret.len() >= 32 && secret.bytes().all(|b| matches!(b, b'A'..=b'Z' | b'2'..=b'7')), "{}", secret.len());
        assert_eq!(value("issuer").as_deref(), Some("Total Uptime"));
        for (name, usual) in [("algorithm", "SHA1"), ("digits", "6"), ("period", "30")] {
            assert!(value(name).is_none_or(|value| value == usual), "{name}");
        }
        let app = SoftAuthenticator::scan(uri).unwrap();
        assert!(app.secret().len() >= 20);
        assert!(matches!(confirms(&company, &started, &app.code_at(world.now())).await, EnrolConfirm::Confirmed(_)));
    }

    async fn d12_an_app_counts_once_its_code_was_right(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        company.engine.method_prefer(bob.account(), bob.user(), &method("sms"), &host()).await.unwrap();
        let started = starts(&company, &bob, &host()).await.unwrap();
        let app = scan(&started);
        let wrong = confirms(&company, &started, &wrong_code(&app, world.now())).await;
        assert!(matches!(wrong, EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        assert_eq!(providers(&company, &bob).await, ["email", "sms"]);
        let challenge = company.begin(&bob).await;
        assert_eq!(challenge.method.provider.as_str(), "sms", "the preference is what it was");
        let sent = company.code();
        assert_ne!(answered(&company, &challenge, &app.code_at(world.now())).await, None);
        is_let_in(&company, &challenge, &sent).await;
        // With a space, as apps show it.
        let code = app.code_at(world.now());
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        assert!(matches!(confirms(&company, &started, &spaced).await, EnrolConfirm::Confirmed(_)));
        assert_eq!(providers(&company, &bob).await, ["email", "sms", "totp"]);
    }

    async fn d13_a_login_by_app_has_two_minutes(world) {
        let company = company(&world).await;
        let (bob, app) = with_app(&world, &company).await;
        let early = company.begin(&bob).await;
        let late = company.begin(&bob).await;
        world.clock.advance(LIFE - Duration::from_secs(1));
        assert_eq!(answered(&company, &early, &app.code_at(world.now())).await, None);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(answered(&company, &late, &app.code_at(world.now())).await, Some(Reason::Expired));
    }

    async fn d13_a_code_is_right_one_step_around_now_and_once(world) {
        let company = company(&world).await;
        let (bob, app) = with_app(&world, &company).await;
        let step = |around: i64| world.now().unix_seconds().div_euclid(30).saturating_add_signed(around);
        for (around, fits) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
            world.clock.advance(STEP * 5);
            let challenge = company.begin(&bob).await;
            let told = answered(&company, &challenge, &app.code_of_step(step(around))).await;
            assert_eq!(told, (!fits).then_some(Reason::WrongCode), "{around}");
        }
        // The last right one was of the step to come: it and those before it are used, as time goes on.
        world.clock.advance(STEP * 5);
        let used = app.code_of_step(step(1));
        let challenge = company.begin(&bob).await;
        assert_eq!(answered(&company, &challenge, &used).await, None);
        world.clock.advance(STEP);
        let challenge = company.begin(&bob).await;
        assert_eq!(answered(&company, &challenge, &used).await, Some(Reason::Replayed));
        assert_eq!(answered(&company, &challenge, &app.code_of_step(step(-1))).await, Some(Reason::Replayed));
        assert_eq!(answered(&company, &challenge, &app.code_of_step(step(1))).await, None);
    }

    async fn d14_an_app_names_the_company_by_itself(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let app = scan(&starts(&company, &bob, &host()).await.unwrap());
        assert_eq!((app.issuer(), app.label()), (Some("Total Uptime"), "Total Uptime:bob"));
    }

    async fn d19_an_administrator_sets_an_app_up_by_the_same_steps_and_the_log_says_so(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let (ann, anns_app) = enrol_ranked(&world, "ann", 1).await;
        let intent = Intent::add_method(&bob, &totp());
        let proof = prove_on(&company.engine, &world, login(&ann), &anns_app, &intent).await;
        let by = Authority::proof_because(proof, Some(&session(&ann)), "bob asked for help");
        let started = starts(&company, &bob, &by).await.unwrap();
        let app = scan(&started);
        let wrong = confirms(&company, &started, &wrong_code(&app, world.now())).await;
        assert!(matches!(wrong, EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        assert_eq!(providers(&company, &bob).await, ["email", "sms"]);
        assert!(matches!(confirms(&company, &started, &app.code_at(world.now())).await, EnrolConfirm::Confirmed(_)));
        let of_bob = |event: &Event| event.user() == Some(bob.user()) && event.field("method") == Some("totp");
        for kind in [Kind::EnrolmentBegun, Kind::EnrolmentConfirmed] {
            let event = world.events_of(kind).await.into_iter().rfind(of_bob).unwrap();
            assert_eq!(event.actor(), Some("ann"), "{kind}");
        }
        // Without rank nobody does it for another.
        let (eve, eves_app) = enrol_ranked(&world, "eve", 0).await;
        let proof = prove_on(&company.engine, &world, login(&eve), &eves_app, &intent).await;
        let told = starts(&company, &bob, &in_session_of(&eve, &proof)).await.unwrap_err();
        assert_eq!(told.code(), "not_permitted");
    }

    async fn d20_a_user_who_passed_the_password_alone_changes_nothing(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let sms = method("sms");
        let prefer = async |by: &Authority| {
            let told = company.engine.method_prefer(bob.account(), bob.user(), &sms, by).await;
            told.err().map(|error| error.code())
        };
        assert_eq!(prefer(&first_factor(&bob)).await, Some("step_up_required"));
        let told = starts(&company, &bob, &first_factor(&bob)).await.unwrap_err();
        assert_eq!(told.code(), "step_up_required");
        // By a code of the built-in method.
        let methods = company.engine.methods(bob.account(), bob.user()).await.unwrap();
        let to_sms = methods.iter().find(|method| method.provider.as_str() == "sms").unwrap();
        let intent = Intent::prefer_method(&bob, to_sms.id);
        let Begin::Challenge(challenge) = company.engine.step_up_begin(login(&bob), &intent).await.unwrap() else {
            panic!()
        };
        let code = Response::code(&company.code());
        let Verify::Proven(proven) = company.engine.verify(&challenge.reference, code).await.unwrap() else { panic!() };
        assert_eq!(prefer(&in_session_of(&bob, &proven.proof)).await, None);
        assert_eq!(company.begin(&bob).await.method.provider.as_str(), "sms");
    }
}
