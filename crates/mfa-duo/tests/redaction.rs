//! No key, cookie, passcode, code or token in any `Debug`, error or address (security rules S17 and S34).

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use mfa_core::{HttpClient, HttpFault, HttpReply, SecretText, Timestamp};
use mfa_duo::auth_api::{
    Auth, AuthApi, AuthReply, AuthStatus, Call, Check, Client, ClockOffset, DeviceChoice, Enroll,
    EnrollStatus, Factor, Logo, Params, Passcode, Poll, Preauth, Push, PushInfo, SignatureVersion, Txid,
    Unsigned, User, authorization,
};
use mfa_duo::web::kazoo::Kazoo;
use mfa_duo::web::{SigRequest, WebSdk, iframe_src};
use mfa_duo::{ApiHost, ApplicationKey, IntegrationKey, SecretKey};
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::json;

/// Every secret of these tests contains this, and nothing else does.
const MARK: &str = "QXMARKXQ";

fn skey() -> SecretKey {
    SecretKey::parse(&format!("{MARK}{}", "s".repeat(32))).unwrap()
}

fn akey() -> ApplicationKey {
    ApplicationKey::parse(&format!("{MARK}{}", "a".repeat(32))).unwrap()
}

fn ikey() -> IntegrationKey {
    IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX").unwrap()
}

fn host() -> ApiHost {
    ApiHost::parse("api-xxxxxxxx.duosecurity.com").unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(1_700_000_000).unwrap()
}

fn secret() -> SecretText {
    SecretText::new(MARK)
}

fn txid() -> Txid {
    Txid::parse("tx").unwrap()
}

fn reply(status: u16, body: serde_json::Value) -> HttpReply {
    http::Response::builder().status(status).body(body.to_string().into_bytes()).unwrap()
}

fn ok(response: serde_json::Value) -> HttpReply {
    reply(200, json!({ "stat": "OK", "response": response }))
}

fn clean(value: &dyn Debug) {
    for text in [format!("{value:?}"), format!("{value:#?}")] {
        for leak in [MARK, &MARK.to_lowercase(), "eHNIE1BUktY", "81, 88, 77", "708"] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
    }
}

#[test]
fn keys_and_cookies_are_redacted() {
    let sdk = WebSdk::new(ikey(), skey(), akey()).unwrap();
    let request = sdk.sign_request("ann", now()).unwrap();
    let cookie_part = request.app_half().get(4..40).unwrap().to_owned();
    let kept = SigRequest::parse(request.expose_secret()).unwrap();
    let frame = iframe_src(&host(), &request, "https://example.com/");
    let settings = json!({
        "integration_key": "DIXXXXXXXXXXXXXXXXXX", "api_hostname": "x",
        "secret_key": format!("{MARK}{}", "s".repeat(32)),
        "application_secret_key": format!("{MARK}{}", "a".repeat(32)),
    });
    let kazoo = Kazoo::configure(Some("ann"), &settings).unwrap();
    let values: [&dyn Debug; 7] = [&skey(), &akey(), &sdk, &request, &kept, &frame, &kazoo];
    for value in values {
        clean(value);
        let shown = format!("{value:?}");
        assert!(!shown.contains(&cookie_part) && !shown.contains("APP|"), "{shown}");
    }
}

#[test]
fn refusals_and_verified_replies_show_no_cookie() {
    let sdk = WebSdk::new(ikey(), skey(), akey()).unwrap();
    for response in [
        format!("{MARK}|{MARK}|{MARK}:{MARK}|{MARK}|{MARK}"),
        MARK.to_owned(),
        format!("AUTH|{MARK}:APP|{MARK}"),
    ] {
        let refusal = sdk.verify_response(&response, now()).unwrap_err();
        clean(&refusal);
        clean(&refusal.to_string());
    }
    // The second half is cut off, whatever the first says.
    let refusal = sdk.verify_response(&format!("ERR|Denied:APP|{MARK}"), now()).unwrap_err();
    clean(&refusal);

    // A reply that verifies, from the documents of Kazoo.
    let sdk = WebSdk::new(
        ikey(),
        SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef").unwrap(),
        ApplicationKey::parse("useacustomerprovidedapplicationsecretkey").unwrap(),
    );
    let verified = sdk.unwrap().verify_response(
        "AUTH|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTcyNzI0Mw==|d20ad0d1e62d84b00a3e74ec201a5917e77b6aef:\
         APP|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTczMDYwMA==|148e6e4cd03c1440ceb063832cab414ed1c1ab48",
        Timestamp::from_unix_seconds(1_615_727_000).unwrap(),
    );
    let shown = format!("{:?}", verified.unwrap());
    // The first byte of the MAC, in decimal and in hexadecimal digits.
    assert!(!shown.contains("210") && !shown.contains("d20ad0"), "{shown}");
}

#[test]
fn calls_and_requests_show_no_secret() {
    let api = AuthApi::new(host(), ikey(), skey());
    let user = || User::name("ann").unwrap();
    let passcode = Passcode::parse(MARK).unwrap();
    let auth = Auth::new(user(), Factor::Passcode(passcode.clone()));
    let info = PushInfo::new().with("iban", MARK).unwrap();
    let push = Push::new(DeviceChoice::Auto).with_push_info(info.clone());
    let preauth = Preauth::new(user()).with_trusted_device_token(secret());
    let enroll_status = EnrollStatus::from_parts("DU1", secret());
    let params = Params::new().with("passcode", MARK);
    let unsigned = Unsigned::new("POST", "h", "/p").with_params(&params).with_body(MARK.as_bytes());
    let signature = unsigned.sign(SignatureVersion::V5, "date", &skey());
    let header = authorization("DIXXXXXXXXXXXXXXXXXX", &signature);
    let poll = Poll::new(now(), Duration::from_secs(1), Duration::from_secs(1));
    let values: [&dyn Debug; 13] = [
        &api,
        &passcode,
        &auth,
        &info,
        &push,
        &preauth,
        &enroll_status,
        &params,
        &unsigned,
        &signature,
        &header,
        &poll,
        &Factor::Push(push.clone()),
    ];
    values.into_iter().for_each(clean);
    assert_eq!(format!("{signature:?}{header:?}"), "[redacted][redacted]");

    fn check<C: Call>(api: &AuthApi, call: &C) {
        for version in [SignatureVersion::V2Sha1, SignatureVersion::V5] {
            let api = api.clone().with_signature(version);
            let request = api.request(call, now(), ClockOffset::NONE).unwrap();
            clean(&request.uri().to_string());
            // A body is the one place where it must be.
            let (parts, _) = request.into_parts();
            clean(&parts);
            let credentials = parts.headers.get("authorization").unwrap();
            assert!(credentials.is_sensitive());
            assert!(!format!("{parts:?}").contains(credentials.to_str().unwrap()));
        }
    }
    check(&api, &auth);
    check(&api, &Auth::new(user(), Factor::Push(push)));
    check(&api, &preauth);
    check(&api, &enroll_status);
    check(&api, &Enroll::new());
    check(&api, &AuthStatus::new(txid()));
    check(&api, &Check::new());
    check(&api, &Logo::new());
}

#[test]
fn replies_show_no_secret() {
    let preauth = Preauth::parse(&ok(json!({
        "result": "auth", "status_msg": "enter 708", "txid": "tx", "verification_code": "708",
        "enroll_portal_url": format!("https://x/{MARK}"),
        "devices": [{ "device": "DP1", "type": "phone", "name": MARK, "display_name": MARK, "number": MARK,
                      "capabilities": ["push"] }],
    })));
    let preauth = preauth.unwrap();
    let enrolled = Enroll::parse(&ok(json!({
        "user_id": "DU1", "username": "ann", "activation_code": MARK, "activation_barcode": MARK,
        "activation_url": MARK, "bypass_codes": [MARK],
    })));
    let result = json!({
        "result": "allow", "status": "allow", "status_msg": "enter 708", "trusted_device_token": MARK,
    });
    let polled = AuthStatus::parse(&ok(result.clone())).unwrap();
    let finished = Auth::parse(&ok(result)).unwrap();
    assert!(matches!(&finished, AuthReply::Finished(result) if result.trusted_device_token.is_some()));
    let values: [&dyn Debug; 6] =
        [&preauth, &preauth.devices.offers(), &enrolled.unwrap(), &polled, &finished, &preauth.verified_push];
    values.into_iter().for_each(clean);
}

#[test]
fn errors_show_no_value() {
    let mut errors = vec![
        IntegrationKey::parse(MARK).unwrap_err(),
        SecretKey::parse(MARK).unwrap_err(),
        SecretKey::parse_kazoo(MARK).unwrap_err(),
        ApplicationKey::parse(MARK).unwrap_err(),
        ApiHost::parse(MARK).unwrap_err(),
        SigRequest::parse(MARK).unwrap_err(),
        Passcode::parse(&format!("{MARK} ")).unwrap_err(),
        Txid::parse(&format!("{MARK} ")).unwrap_err(),
        PushInfo::new().with("n", &MARK.repeat(2_500)).unwrap_err(),
        WebSdk::new(ikey(), skey(), akey()).unwrap().sign_request(&format!("{MARK}|"), now()).unwrap_err(),
    ];
    for body in [
        json!({ "stat": MARK }),
        json!({ "stat": "OK", "response": { "result": [MARK], "time": MARK } }),
        json!({ "stat": "FAIL", "code": 40002, "message": MARK, "message_detail": MARK }),
        json!(MARK),
    ] {
        for status in [200, 400, 500] {
            errors.push(Check::parse(&reply(status, body.clone())).expect_err("no time"));
            errors.push(AuthStatus::parse(&reply(status, body.clone())).expect_err("no result"));
        }
    }
    errors.extend(Check::parse(&http::Response::new(MARK.as_bytes().to_vec())).err());
    assert_eq!(errors.len(), 35);
    for error in errors {
        clean(&error);
        clean(&error.to_string());
        if let Some(source) = std::error::Error::source(&error) {
            clean(&source.to_string());
        }
        assert!(!error.code().is_empty() && !error.to_string().ends_with('.'), "{error}");
    }
    let kazoo = json!({ "integration_key": MARK });
    clean(&Kazoo::configure(Some("ann"), &kazoo).unwrap_err());
}

#[test]
fn a_client_shows_no_secret() {
    #[derive(Debug)]
    struct Silent;

    #[async_trait]
    impl HttpClient for Silent {
        async fn send(&self, _: Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
            Err(HttpFault::NotSent)
        }
    }

    let api = AuthApi::new(host(), ikey(), skey());
    clean(&Client::new(api, Arc::new(Silent), Arc::new(VirtualRuntime::new(now()))));
}
