//! What is read, and what grants.

use mfa_core::HttpReply;
use mfa_duo::auth_api::{
    Auth, AuthReply, AuthStatus, Call, Capability, Check, Device, DeviceId, DeviceKind, Enroll, EnrollState,
    EnrollStatus, FactorKind, Logo, Ping, Preauth, PreauthReply, PreauthResult, Status, Verdict,
};
use mfa_duo::{ApiErrorClass, Error};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{NOW, ann, at, body, ok, reply};

#[test]
fn enrolment_goes_from_a_name_to_a_state() {
    assert_eq!(body(&Enroll::new()), json!({}));
    let call = Enroll::new().with_username("ann").with_valid_secs(3_600);
    assert_eq!(body(&call), json!({ "username": "ann", "valid_secs": "3600" }));
    let enrolled = Enroll::parse(&ok(json!({
        "user_id": "DU1", "username": "ann", "expiration": 1_357_020_061, "activation_code": "duo://code",
        "activation_barcode": "https://api-x.duosecurity.com/frame/qr?value=v", "activation_url": "https://m/x",
        "bypass_codes": ["123", "456"], "new": {},
    })));
    let enrolled = enrolled.unwrap();
    assert_eq!((enrolled.user_id.as_str(), enrolled.username.as_str()), ("DU1", "ann"));
    assert_eq!(enrolled.expires_at, Some(at(1_357_020_061)));
    assert_eq!(enrolled.activation_url.as_ref().unwrap().expose_secret(), "https://m/x");
    assert_eq!(enrolled.bypass_codes.len(), 2);
    let expected = json!({ "user_id": "DU1", "activation_code": "duo://code" });
    assert_eq!(body(&EnrollStatus::new(&enrolled)), expected);
    for (text, state) in [
        ("success", EnrollState::Success),
        ("invalid", EnrollState::Invalid),
        ("waiting", EnrollState::Waiting),
        ("new", EnrollState::Unknown("new".into())),
    ] {
        assert_eq!(EnrollStatus::parse(&ok(json!(text))).unwrap(), state);
    }
    assert_eq!(EnrollStatus::parse(&ok(json!({}))).unwrap_err().code(), "malformed_reply");
}

#[test]
fn a_logo_is_an_image() {
    let with_type = |content_type: &str, status: u16, body: &[u8]| {
        let reply = http::Response::builder().status(status).header("content-type", content_type);
        Logo::parse(&reply.body(body.to_vec()).unwrap())
    };
    let logo = with_type("image/png", 200, b"\x89PNG").unwrap();
    assert_eq!((logo.content_type.as_str(), logo.bytes.as_slice()), ("image/png", b"\x89PNG".as_slice()));
    let missing = br#"{"stat": "FAIL", "code": 40002, "message": "Logo not found"}"#;
    assert_eq!(with_type("application/json", 400, missing).unwrap_err().code(), "duo_invalid_parameter");
    assert_eq!(
        with_type("application/json", 200, br#"{"stat":"OK"}"#).unwrap_err().code(),
        "malformed_reply"
    );
    assert_eq!(with_type("image/png", 404, b"\x89PNG").unwrap_err(), Error::HttpStatus { status: 404 });
}

#[test]
fn only_the_result_allow_grants() {
    let statuses = [
        "calling",
        "answered",
        "pushed",
        "push_failed",
        "timeout",
        "fraud",
        "deny",
        "locked_out",
        "sent",
        "allow",
        "bypass",
        "new",
        "",
    ];
    for result in ["allow", "deny", "waiting", "Allow", "ALLOW", "allowed", "allow ", "new"] {
        for status in statuses {
            let answer = ok(json!({ "result": result, "status": status, "status_msg": "m", "x": 1 }));
            let polled = AuthStatus::parse(&answer).unwrap();
            assert_eq!(polled.granted(), result == "allow", "{result}/{status}");
            assert_eq!(polled.waiting(), result == "waiting", "{result}/{status}");
            match Auth::parse(&answer) {
                Ok(AuthReply::Finished(finished)) => assert_eq!(finished.granted(), result == "allow"),
                other => assert!(result == "waiting" && other.is_err(), "{other:?}"),
            }
        }
    }
    for response in
        [json!({}), json!({ "result": true }), json!({ "result": ["allow"] }), json!("allow"), json!(null)]
    {
        assert_eq!(AuthStatus::parse(&ok(response.clone())).unwrap_err().code(), "malformed_reply");
        assert_eq!(Preauth::parse(&ok(response)).unwrap_err().code(), "malformed_reply");
    }
}

#[test]
fn statuses_keep_their_meaning_and_new_ones_their_text() {
    let status =
        |text: &str| AuthStatus::parse(&ok(json!({ "result": "deny", "status": text }))).unwrap().status;
    assert_eq!(status("fraud"), Status::Fraud);
    assert_eq!(status("locked_out"), Status::LockedOut);
    assert_eq!(status("bypass"), Status::Bypass);
    assert_eq!(status("push_failed"), Status::PushFailed);
    assert_eq!(status("number_mismatch"), Status::Unknown("number_mismatch".into()));
    let unknown = AuthStatus::parse(&ok(json!({ "result": "maybe" }))).unwrap();
    assert_eq!(unknown.verdict, Verdict::Unknown("maybe".into()));
}

#[test]
fn an_asynchronous_call_may_be_answered_at_once() {
    let started = Auth::parse(&ok(json!({ "txid": "tx" }))).unwrap();
    assert!(matches!(started, AuthReply::Started(txid) if txid.as_str() == "tx"));
    // As where a policy needs no answer.
    let allowed = Auth::parse(&ok(json!({ "result": "allow", "status": "bypass" }))).unwrap();
    assert!(matches!(&allowed, AuthReply::Finished(result) if result.granted()));
    let both = Auth::parse(&ok(json!({ "result": "deny", "status": "deny", "txid": "tx" }))).unwrap();
    assert!(matches!(both, AuthReply::Finished(result) if !result.granted()));
    let both = Auth::parse(&ok(json!({ "result": "waiting", "status": "pushed", "txid": "tx" }))).unwrap();
    assert!(matches!(both, AuthReply::Started(_)));
    for response in
        [json!({ "txid": "" }), json!({ "txid": "a b" }), json!({ "txid": "x".repeat(129) }), json!({})]
    {
        assert_eq!(Auth::parse(&ok(response)).unwrap_err().code(), "malformed_reply");
    }
}

/// The members and capabilities as in duo_client_python's examples/Auth, and one device of a kind to come.
fn preauth() -> PreauthReply {
    Preauth::parse(&ok(json!({
        "result": "auth", "status_msg": "Account is active",
        "devices": [
            { "device": "DT1", "type": "token", "name": "0" },
            { "device": "DP1", "type": "phone", "name": "", "display_name": "iOS (XXX-XXX-0100)",
              "number": "XXX-XXX-0100", "capabilities": ["auto", "push", "sms", "mobile_otp", "smell"] },
            { "device": "DP2", "type": "phone", "number": "XXX-XXX-0200", "capabilities": ["phone", "sms"],
              "sms_nextcode": "3" },
            { "device": "DG1", "type": "glasses", "capabilities": ["push"] },
            { "type": "phone", "capabilities": ["push"] },
            7,
        ],
    })))
    .unwrap()
}

#[test]
fn a_chooser_offers_what_devices_can_do() {
    let reply = preauth();
    let kinds: Vec<_> = reply.devices.iter().map(|device| device.kind.clone()).collect();
    let glasses = DeviceKind::Unknown("glasses".into());
    assert_eq!(kinds, [DeviceKind::Token, DeviceKind::Phone, DeviceKind::Phone, glasses]);
    let labels: Vec<_> = reply.devices.iter().map(Device::label).collect();
    assert_eq!(labels, [Some("0"), Some("iOS (XXX-XXX-0100)"), Some("XXX-XXX-0200"), None]);
    assert!(reply.devices.iter().any(|device| device.can(&Capability::Unknown("smell".into()))));

    let offers = reply.devices.offers();
    let offers: Vec<_> =
        offers.iter().map(|offer| (offer.kind(), offer.device().map_or("", DeviceId::as_str))).collect();
    assert_eq!(
        offers,
        [
            (FactorKind::Auto, "DP1"),
            (FactorKind::Push, "DP1"),
            (FactorKind::Sms, "DP1"),
            (FactorKind::Phone, "DP2"),
            (FactorKind::Sms, "DP2"),
            (FactorKind::Push, "DG1"),
            (FactorKind::Passcode, ""),
        ]
    );
}

#[test]
fn a_choice_is_one_of_the_offers() {
    let devices = preauth().devices;
    let chosen = devices.choose(&[FactorKind::Phone, FactorKind::Push]).unwrap();
    assert_eq!(body(&Auth::new(ann(), chosen.factor().unwrap()))["device"], "DP2");
    assert!(devices.choose(&[]).is_none());
    let id = |text| DeviceId::parse(text).unwrap();
    assert!(devices.find(FactorKind::Push, Some(&id("DP1"))).is_some());
    assert!(devices.find(FactorKind::Push, Some(&id("DP2"))).is_none(), "it cannot do that");
    assert!(devices.find(FactorKind::Push, Some(&id("DP9"))).is_none(), "it is somebody else's");
    assert!(devices.find(FactorKind::Push, None).is_none());
    let passcode = devices.find(FactorKind::Passcode, None).unwrap();
    assert!(passcode.factor().is_none());
    let nothing =
        Preauth::parse(&ok(json!({ "result": "deny", "status_msg": "no", "devices": null }))).unwrap();
    assert!(nothing.devices.is_empty() && nothing.devices.offers().is_empty());
    assert_eq!(nothing.result, PreauthResult::Deny);
}

#[test]
fn a_verified_push_has_a_number_and_an_id() {
    let with = |more: Value| {
        let mut response = json!({ "result": "auth", "devices": [] });
        response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Preauth::parse(&ok(response)).unwrap().verified_push
    };
    let push = with(json!({ "txid": "tx", "verification_code": "708", "expiration": NOW })).unwrap();
    assert_eq!((push.txid.as_str(), push.verification_code.expose_secret()), ("tx", "708"));
    assert_eq!(push.expires_at, Some(at(NOW)));
    let push = with(json!({ "txid": "tx", "verification_code": 708 })).unwrap();
    assert_eq!((push.verification_code.expose_secret(), push.expires_at), ("708", None));
    assert!(with(json!({ "txid": "tx" })).is_none());
    assert!(with(json!({ "verification_code": "708" })).is_none());
}

#[test]
fn duos_errors_keep_their_number_and_have_a_class() {
    use ApiErrorClass as Class;
    for (status, code, class) in [
        (400, json!(40001), Class::MissingParameter),
        (400, json!(40002), Class::InvalidParameter),
        (400, json!(40003), Class::Other),
        (401, json!(40101), Class::MissingCredentials),
        (401, json!(40102), Class::InvalidIntegrationKey),
        (401, json!(40103), Class::InvalidSignature),
        (401, json!(40104), Class::MissingTimestamp),
        (401, json!(40105), Class::BadTimestamp),
        (401, json!(40106), Class::InvalidContentType),
        (401, json!(40112), Class::UnsupportedSignature),
        (403, json!(40301), Class::Forbidden),
        (404, json!(40401), Class::NotFound),
        (404, json!(40403), Class::NotFound),
        (429, json!(42901), Class::RateLimited),
        (500, json!(50001), Class::Server),
        (503, json!(""), Class::Server),
        (400, json!(49999), Class::Other),
        (200, json!("40002"), Class::InvalidParameter),
        (400, json!(""), Class::Other),
        (400, json!(-1), Class::Other),
        (400, json!(null), Class::Other),
        (400, json!(1_u64 << 40), Class::Other),
    ] {
        let body = json!({ "stat": "FAIL", "code": code, "message": "m", "message_detail": "username" });
        let Error::Api(error) = Preauth::parse(&reply(status, body)).unwrap_err() else { panic!("{code}") };
        let number = code.as_u64().or_else(|| code.as_str().and_then(|text| text.parse().ok()));
        let number = number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
        assert_eq!((error.http_status(), error.code(), error.class()), (status, number, class), "{code}");
        assert_eq!((error.message(), error.detail()), ("m", Some("username")));
    }
}

#[test]
fn only_a_complete_success_is_one() {
    let good = json!({ "stat": "OK", "response": { "time": NOW } });
    assert_eq!(Check::parse(&reply(200, &good)).unwrap(), at(NOW));
    for status in (201..=599).filter(|status| *status != 304) {
        assert_eq!(Check::parse(&reply(status, &good)).unwrap_err(), Error::HttpStatus { status });
        assert_eq!(Check::parse(&reply(status, "<html>")).unwrap_err(), Error::HttpStatus { status });
    }
    for body in [
        "",
        "Bad JSON",
        "[]",
        "7",
        "{}",
        "null",
        r#"{"stat": "ok", "response": {"time": 1}}"#,
        r#"{"stat": true}"#,
        r#"{"stat": "OK"}"#,
        r#"{"stat": "OK", "response": {"time": "soon"}}"#,
        r#"{"stat": "OK", "response": {"time": -1}}"#,
        r#"{"stat": "OK", "response": {"time": 1e300}}"#,
    ] {
        assert_eq!(Check::parse(&reply(200, body)).unwrap_err().code(), "malformed_reply", "{body}");
    }
    let large = format!(r#"{{"stat": "OK", "response": {{"time": 1, "x": "{}"}}}}"#, "x".repeat(1 << 20));
    assert_eq!(Check::parse(&reply(200, large)).unwrap_err().code(), "malformed_reply");
    assert!(Check::parse(&reply(200, "[".repeat(100_000))).is_err());
}

/// Runs every call's parser on one reply; returns whether one of them grants.
fn parse_all(reply: &HttpReply) -> bool {
    let _ = (Logo::parse(reply), Ping::parse(reply), Check::parse(reply));
    let _ = (Enroll::parse(reply), EnrollStatus::parse(reply), Preauth::parse(reply));
    let polled = AuthStatus::parse(reply).is_ok_and(|result| result.granted());
    let asked = matches!(Auth::parse(reply), Ok(AuthReply::Finished(result)) if result.granted());
    polled || asked
}

/// Replies with the members and words of Duo's, in every wrong place.
fn response() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "OK", "FAIL", "allow", "deny", "waiting", "auth", "enroll", "push", "phone", "1", "", "x y",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    let name = prop::sample::select(vec![
        "stat",
        "response",
        "result",
        "status",
        "status_msg",
        "txid",
        "devices",
        "device",
        "type",
        "capabilities",
        "code",
        "message",
        "message_detail",
        "time",
        "user_id",
        "username",
        "expiration",
        "verification_code",
        "activation_code",
        "activation_barcode",
        "bypass_codes",
    ]);
    leaf.prop_recursive(4, 40, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.clone(), inner, 0..8).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn no_body_panics(status in 100_u16..1000, body in prop::collection::vec(any::<u8>(), 0..200)) {
        let reply = http::Response::builder().status(status).body(body).unwrap();
        prop_assert!(!parse_all(&reply));
    }

    #[test]
    fn no_json_panics_and_nothing_but_allow_grants(status in prop::sample::select(vec![200, 400, 429]), body in response()) {
        let granted = body["stat"] == "OK" && body["response"]["result"] == "allow" && status == 200;
        prop_assert_eq!(parse_all(&reply(status, body)), granted);
    }
}
