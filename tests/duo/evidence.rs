//! S31 and S6: what Duo's word is worth, value by value.

use std::time::Duration;

use mfa::{Aal, Amr, Channel, NotRequired, Reason, Response, Verify};
use mfa_testkit::duo::{Device, Fault, On, Reaction, Status as AtDuo, TokenFault};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, granted, push};
use mfa_tests::on_duo;
use serde_json::{Value, json};

/// What an id token proves by its `factor` and `reason`: the level, the channel and the AMR; `None` is nothing.
type Proven = Option<(Aal, Channel, &'static [Amr])>;

const PUSH: Proven = Some((Aal::One, Channel::Push, &[]));
const CALL: Proven = Some((Aal::One, Channel::Phone, &[]));
const NUMBER: Proven = Some((Aal::Two, Channel::Push, &[]));
const CODE: Proven = Some((Aal::Two, Channel::Device, &[Amr::Otp]));
const SMS: Proven = Some((Aal::Two, Channel::Phone, &[Amr::Otp, Amr::Sms]));
const KEY: Proven = Some((Aal::Two, Channel::Device, &[Amr::Pop]));

/// The words of Duo's authentication log.
const TABLE: &[(&str, &str, Proven)] = &[
    ("duo_push", "user_approved", PUSH),
    ("duo_push", "verification_code_correct", NUMBER),
    ("verified_duo_push", "user_approved", NUMBER),
    ("phone_call", "user_approved", CALL),
    ("sms_passcode", "valid_passcode", SMS),
    ("passcode", "valid_passcode", CODE),
    ("duo_mobile_passcode", "valid_passcode", CODE),
    ("hardware_token", "valid_passcode", CODE),
    ("yubikey_passcode", "valid_passcode", CODE),
    ("u2f_token", "user_approved", KEY),
    ("platform_authenticator", "user_approved", KEY),
    // Let in without an answer, whatever the factor says.
    ("duo_push", "bypass_user", None),
    ("duo_push", "trusted_network", None),
    ("duo_push", "remembered_device", None),
    ("duo_push", "trusted_location", None),
    ("duo_push", "allow_unenrolled_user", None),
    ("duo_push", "allowed_by_policy", None),
    ("duo_push", "trusted_mobile_authentication", None),
    ("passcode", "bypass_user", None),
    ("bypass_code", "valid_passcode", None),
    ("bypass_code", "user_approved", None),
    ("remembered_device", "user_approved", None),
    ("trusted_network", "user_approved", None),
    ("not_available", "bypass_user", None),
    ("not_available", "user_approved", None),
    // A factor with another one's reason.
    ("duo_push", "valid_passcode", None),
    ("passcode", "user_approved", None),
    ("sms_refresh", "user_approved", None),
    // What nobody knows yet.
    ("telepathy", "user_approved", None),
    ("duo_push", "user_approved_perhaps", None),
    ("duo_push", "", None),
    ("", "user_approved", None),
    ("", "", None),
];

fn claim(site: &DuoSite, pointer: &str, value: impl Into<Value>) {
    site.duo.token_fault(TokenFault::Claim { pointer: pointer.to_owned(), value: value.into() });
}

on_duo! {
    [memory] async fn s31_what_an_id_token_proves_is_one_table(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        for (factor, reason, proven) in TABLE {
            site.duo.clear_faults();
            claim(&site, "/auth_context/factor", *factor);
            claim(&site, "/auth_context/reason", *reason);
            let told = site.log_in(&bob).await;
            match proven {
                Some((aal, channel, amr)) => {
                    let strength = granted(told).strength;
                    assert_eq!((strength.aal, strength.channel, &*strength.amr), (*aal, *channel, *amr), "{factor} {reason}");
                    assert_eq!(strength.approve_only, [PUSH, CALL].contains(proven), "{factor} {reason}");
                }
                None => assert_eq!(refused(told).reason, Reason::Denied, "{factor} {reason}"),
            }
        }
    }

    [memory] async fn s31_an_id_token_that_leaves_its_result_unsaid_proves_nothing(world) {
        let site = DuoSite::new(world, Mode::Universal).await;
        let bob = site.enrolled("bob").await;
        let long = "x".repeat(300);
        let unsaid: [(&str, Value); 14] = [
            ("/auth_result/result", json!("deny")),
            ("/auth_result/result", json!("waiting")),
            ("/auth_result/result", json!("perhaps")),
            ("/auth_result/result", Value::Null),
            ("/auth_result", Value::Null),
            ("/auth_result/status", json!("bypass")),
            ("/auth_result/status", json!("perhaps")),
            ("/auth_result/status", json!(long)),
            ("/auth_result/status", Value::Null),
            ("/auth_context/result", json!("denied")),
            ("/auth_context/result", json!(long)),
            ("/auth_context/result", json!(1)),
            ("/auth_context", Value::Null),
            ("/auth_context/factor", json!(["duo_push"])),
        ];
        for (pointer, value) in unsaid {
            site.duo.clear_faults();
            claim(&site, pointer, value.clone());
            assert_eq!(refused(site.log_in(&bob).await).reason, Reason::Denied, "{pointer} {value}");
            // What Duo refused counts as a failure.
            site.advance(Duration::from_secs(900));
        }
        site.duo.clear_faults();
        granted(site.log_in(&bob).await);
    }

    [memory] async fn s06_an_event_that_is_no_authentication_is_a_bypass_whatever_it_shows(world) {
        let site = DuoSite::with(world, Mode::Universal, &json!({"accept_approve_only": true}), |b| b).await;
        let bob = site.enrolled("bob").await;
        let lenient = site.node(&json!({})).danger_accept_provider_bypass().build().await.unwrap();
        let events =
            [json!("enrollment"), json!("Authentication"), json!("authentication "), json!(""), json!(["authentication"]), Value::Null];
        for event in events {
            site.duo.clear_faults();
            claim(&site, "/auth_context/event_type", event.clone());
            assert_eq!(refused(site.log_in(&bob).await).reason, Reason::Denied, "{event}");
            let challenge = mfa_tests::duo::begin_on(&lenient, &bob).await;
            let response = site.response_to(&challenge.prompt).await;
            let told = lenient.verify(&challenge.reference, response).await.unwrap();
            assert!(matches!(told, Verify::NotRequired(NotRequired::ProviderBypass)), "{event}: {told:?}");
            // Nor does it set anything up.
            let eve = site.add("eve").await;
            let started = site.enrol_begin(&eve).await.unwrap();
            let response = site.response_to(&started.prompt).await;
            let told = site.confirm(&started, response).await;
            assert!(matches!(told, mfa::EnrolConfirm::Rejected(_)), "{event}: {told:?}");
        }
        site.duo.clear_faults();
        granted(site.log_in(&bob).await);
    }

    [memory] async fn s31_settings_accept_approvals_and_nothing_else(world) {
        let site = DuoSite::with(world, Mode::Universal, &json!({"accept_approve_only": true}), |b| b).await;
        let bob = site.enrolled("bob").await;
        let strength = granted(site.log_in(&bob).await).strength;
        assert_eq!((strength.aal, strength.approve_only), (Aal::Two, true));
        claim(&site, "/auth_context/reason", "bypass_user");
        assert_eq!(refused(site.log_in(&bob).await).reason, Reason::Denied);
    }

    [memory, sqlite] async fn s31_a_reply_of_the_web_sdk_is_aal1_whatever_the_settings_accept(world) {
        let site = DuoSite::with(world, Mode::WebSdk, &json!({"accept_approve_only": true}), |b| b).await;
        let bob = site.enrolled("bob").await;
        // It says nothing of how: this one was let in by a bypass.
        site.duo.add_user(mfa_testkit::duo::User::new("acme/bob").status(AtDuo::Bypass));
        let evidence = granted(site.log_in(&bob).await);
        assert_eq!((evidence.strength.aal, evidence.strength.amr.len()), (Aal::One, 0));
    }

    [memory] async fn s31_what_the_auth_api_says_of_a_push_is_one_table(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled("bob").await;
        let told: &[(&str, &str, Option<Reason>)] = &[
            ("allow", "allow", None),
            ("allow", "bypass", Some(Reason::Denied)),
            ("allow", "trusted_network", Some(Reason::Denied)),
            ("allow", "deny", Some(Reason::Denied)),
            ("allow", "", Some(Reason::Denied)),
            ("ALLOW", "allow", Some(Reason::Denied)),
            ("allowed", "allow", Some(Reason::Denied)),
            ("true", "allow", Some(Reason::Denied)),
            ("deny", "allow", Some(Reason::Denied)),
            ("deny", "bypass", Some(Reason::Denied)),
            ("deny", "locked_out", Some(Reason::Denied)),
            ("deny", "fraud", Some(Reason::Fraud)),
        ];
        for (result, status, reason) in told {
            let on = || On::any().path("/auth/v2/auth_status");
            let challenge = site.begin(&bob).await;
            assert!(matches!(site.verify(&challenge, push()).await, Verify::Pending(_)));
            let body = json!({"stat": "OK", "response": {"result": result, "status": status, "status_msg": ""}});
            site.duo.fault(on(), Fault::Answer {
                status: 200,
                content_type: "application/json".to_owned(),
                body: body.to_string().into_bytes(),
            });
            let polled = site.verify(&challenge, Response::poll()).await;
            match reason {
                None => {
                    granted(site.claim(&challenge.reference).await);
                }
                Some(reason) => assert_eq!(refused(polled).reason, *reason, "{result} {status}"),
            }
            // A report of fraud delays what comes next, and a denial costs a push.
            site.duo.clear_faults();
            site.advance(Duration::from_secs(900));
            granted(site.log_in(&bob).await);
        }
    }

    [memory, sqlite] async fn s31_a_push_that_is_allowed_before_anybody_can_have_answered_proves_nothing(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.enrolled_as("bob", |user| user.device(Device::phone("+15555550100")).verified_push()).await;
        let answers = [
            json!({"result": "allow", "status": "allow", "status_msg": "Success"}),
            json!({"result": "allow", "status": "allow", "status_msg": "Success", "txid": "45f7c92b"}),
            json!({"result": "allow", "status": "bypass", "status_msg": ""}),
        ];
        for answer in answers {
            site.duo.clear_faults();
            let body = json!({"stat": "OK", "response": answer}).to_string().into_bytes();
            let content_type = "application/json".to_owned();
            site.duo.fault(On::any().path("/auth/v2/auth"), Fault::Answer { status: 200, content_type, body });
            let challenge = site.begin(&bob).await;
            assert_eq!(refused(site.verify(&challenge, push()).await).reason, Reason::Denied);
            assert_eq!(refused(site.claim(&challenge.reference).await).reason, Reason::Exhausted);
        }
    }

    [memory, sqlite] async fn s06_a_bypass_code_lets_pass_and_proves_nothing(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let codes = |user: mfa_testkit::duo::User| {
            let phone = Device::phone("+15555550100").passcodes(["755224"]);
            user.device(phone).bypass_code("123456789").bypass_code("1234567890").bypass_code("987654321")
        };
        let bob = site.enrolled_as("bob", codes).await;
        for code in ["123456789", "1234567890"] {
            let challenge = site.begin(&bob).await;
            assert_eq!(refused(site.verify(&challenge, Response::code(code)).await).reason, Reason::Denied);
        }
        let lenient = site.node(&json!({})).danger_accept_provider_bypass().build().await.unwrap();
        let challenge = mfa_tests::duo::begin_on(&lenient, &bob).await;
        let told = lenient.verify(&challenge.reference, Response::code("987654321")).await.unwrap();
        assert!(matches!(told, Verify::NotRequired(NotRequired::ProviderBypass)), "{told:?}");
        let wrong = mfa_tests::duo::begin_on(&lenient, &bob).await;
        let told = lenient.verify(&wrong.reference, Response::code("111111111")).await.unwrap();
        assert_eq!(refused(told).reason, Reason::WrongCode);
    }

    [memory, sqlite] async fn s31_the_device_shows_the_label_of_the_directory_whatever_it_is(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let label = "bob & eve=1 %2F \u{202e}evil";
        site.duo.add_user(mfa_testkit::duo::User::new("acme/bob").device(Device::phone("+15555550100")));
        let bob = mfa_tests::subject("bob").with_label(label).unwrap();
        site.world.directory.put(&bob).await.unwrap();
        site.enrol(&bob).await;
        site.reaction("bob", Reaction::Wait);
        assert!(matches!(site.verify(&site.begin(&bob).await, push()).await, Verify::Pending(_)));
        let auth = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
        assert_eq!(auth.params["display_username"], label);
        assert_eq!(auth.params["username"], "acme/bob");
        assert!(!auth.params.contains_key("eve"));
    }
}
