//! Requests and replies of the Auth API, without a client.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::BASE64;
use http::{Method, Request};
use mfa_core::{HttpReply, SecretText, Timestamp};
use mfa_duo::auth_api::{
    Auth, AuthApi, AuthReply, AuthResult, AuthStatus, Backoff, Call, Capability, Check, ClockOffset, Device,
    DeviceChoice, DeviceId, DeviceKind, Enroll, EnrollState, EnrollStatus, Factor, FactorKind, Logo,
    Passcode, Ping, Poll, Polled, Preauth, PreauthReply, PreauthResult, Push, PushInfo, SignatureVersion,
    Status, Txid, Unsigned, User, Verdict, authorization, retry_after,
};
use mfa_duo::{ApiErrorClass, ApiHost, ApiHosts, Error, IntegrationKey, SecretKey};
use proptest::prelude::*;
use serde_json::{Value, json};

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const DATE: &str = "Tue, 21 Aug 2012 17:29:18 -0000";
const NOW: u64 = 1_345_570_158;
const VERSIONS: [SignatureVersion; 4] =
    [SignatureVersion::V2Sha1, SignatureVersion::V2Sha512, SignatureVersion::V4, SignatureVersion::V5];

fn api() -> AuthApi {
    let host = ApiHost::parse("API-xxxxxxxx.duosecurity.com").unwrap();
    AuthApi::new(host, IntegrationKey::parse(IKEY).unwrap(), SecretKey::parse(SKEY).unwrap())
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn ann() -> User {
    User::name("ann").unwrap()
}

fn phone() -> DeviceChoice {
    DeviceChoice::Device(DeviceId::parse("DP1").unwrap())
}

fn request<C: Call>(call: &C) -> Request<Vec<u8>> {
    api().request(call, at(NOW), ClockOffset::NONE).unwrap()
}

fn body<C: Call>(call: &C) -> Value {
    serde_json::from_slice(request(call).body()).unwrap()
}

fn reply(status: u16, body: impl ToString) -> HttpReply {
    http::Response::builder().status(status).body(body.to_string().into_bytes()).unwrap()
}

fn ok(response: Value) -> HttpReply {
    reply(200, json!({ "stat": "OK", "response": response }))
}

fn header<'a>(request: &'a Request<Vec<u8>>, name: &str) -> &'a str {
    request.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[test]
fn each_call_has_its_method_its_path_and_its_body() {
    let status = EnrollStatus::from_parts("DU1", SecretText::new("duo://code"));
    let passcode = Factor::Passcode(Passcode::parse("123456").unwrap());
    let requests = [
        (request(&Ping::new()), Method::GET, "/auth/v2/ping"),
        (request(&Check::new()), Method::GET, "/auth/v2/check"),
        (request(&Logo::new()), Method::GET, "/auth/v2/logo"),
        (request(&Enroll::new()), Method::POST, "/auth/v2/enroll"),
        (request(&status), Method::POST, "/auth/v2/enroll_status"),
        (request(&Preauth::new(ann())), Method::POST, "/auth/v2/preauth"),
        (request(&Auth::new(ann(), passcode)), Method::POST, "/auth/v2/auth"),
        (
            request(&AuthStatus::new(Txid::parse("tx 1".trim_end_matches(" 1")).unwrap())),
            Method::GET,
            "/auth/v2/auth_status?txid=tx",
        ),
    ];
    for (request, method, path) in requests {
        assert_eq!(request.method(), method, "{path}");
        assert_eq!(request.uri().to_string(), format!("https://API-xxxxxxxx.duosecurity.com{path}"));
        assert_eq!(header(&request, "date"), DATE);
        assert_eq!(header(&request, "user-agent"), concat!("mfa-duo/", env!("CARGO_PKG_VERSION")));
        let content_type = if method == Method::POST { "application/json" } else { "" };
        assert_eq!(header(&request, "content-type"), content_type);
        assert_eq!(request.body().is_empty(), method == Method::GET, "{path}");
        assert_eq!(request.headers().contains_key("authorization"), !path.ends_with("ping"), "{path}");
    }
}

/// The signature by hand: lines, SHA-512 of the body, SHA-512 of no headers (Auth API documentation, version 5).
#[test]
fn what_is_signed_is_what_is_sent() {
    let skey = SecretKey::parse(SKEY).unwrap();
    for version in VERSIONS {
        let api = api().with_signature(version);
        let call = Preauth::new(User::name("ä b+c&d=e").unwrap());
        let request = api.request(&call, at(NOW), ClockOffset::NONE).unwrap();
        let form = "client_supports_verified_push=1&username=%C3%A4%20b%2Bc%26d%3De";
        let json = r#"{"client_supports_verified_push":"1","username":"ä b+c&d=e"}"#;
        let old = matches!(version, SignatureVersion::V2Sha1 | SignatureVersion::V2Sha512);
        let (sent, content_type) =
            if old { (form, "application/x-www-form-urlencoded") } else { (json, "application/json") };
        assert_eq!(core::str::from_utf8(request.body()).unwrap(), sent);
        assert_eq!(header(&request, "content-type"), content_type);

        let params = mfa_duo::auth_api::Params::new()
            .with("username", "ä b+c&d=e")
            .with("client_supports_verified_push", "1");
        let by_hand = Unsigned::new("POST", "api-xxxxxxxx.duosecurity.com", "/auth/v2/preauth");
        let by_hand = if old { by_hand.with_params(&params) } else { by_hand.with_body(json.as_bytes()) };
        let signature = by_hand.sign(version, DATE, &skey);
        assert_eq!(
            header(&request, "authorization"),
            authorization(IKEY, &signature).expose_secret(),
            "{version:?}"
        );
        let digits = if version == SignatureVersion::V2Sha1 { 40 } else { 128 };
        assert_eq!(signature.expose_secret().len(), digits);
    }
    let canonical = Unsigned::new("post", "API-x.duosecurity.com", "/auth/v2/auth")
        .with_body(b"{}")
        .canonicalize(SignatureVersion::V4, DATE);
    // The digest of `{}` as in duo_client_java's HttpCanonV5RequestTest.
    assert_eq!(
        canonical.as_str(),
        format!(
            "{DATE}\nPOST\napi-x.duosecurity.com\n/auth/v2/auth\n\n\
             27c74670adb75075fad058d5ceaf7b20c4e7786c83bae8a32f626f9782af34c9\
             a33c2046ef60fd2a7878d378e29fec851806bbd9a67878f3a9f1cda4830763fd"
        )
    );
}

#[test]
fn a_query_is_signed_in_every_version() {
    let call = AuthStatus::new(Txid::parse("45f7c92b-f45f~/+").unwrap());
    let mut signatures = Vec::new();
    for version in VERSIONS {
        let request = api().with_signature(version).request(&call, at(NOW), ClockOffset::NONE).unwrap();
        assert_eq!(request.uri().query(), Some("txid=45f7c92b-f45f~%2F%2B"));
        signatures.push(header(&request, "authorization").to_owned());
    }
    signatures.dedup();
    assert_eq!(signatures.len(), 4);
}

#[test]
fn a_host_with_a_port_is_signed_without_it() {
    let host = ApiHosts::duo().also("127.0.0.1:8443").unwrap().parse("127.0.0.1:8443").unwrap();
    let api = AuthApi::new(host, IntegrationKey::parse(IKEY).unwrap(), SecretKey::parse(SKEY).unwrap());
    let request = api.request(&Check::new(), at(NOW), ClockOffset::NONE).unwrap();
    assert_eq!(request.uri(), "https://127.0.0.1:8443/auth/v2/check");
    let by_hand = Unsigned::new("GET", "127.0.0.1", "/auth/v2/check");
    let signature = by_hand.sign(SignatureVersion::V5, DATE, &SecretKey::parse(SKEY).unwrap());
    assert_eq!(header(&request, "authorization"), authorization(IKEY, &signature).expose_secret());
}

#[test]
fn a_date_is_duos() {
    let offset = ClockOffset::from_seconds(-600);
    let request = api().request(&Check::new(), at(NOW + 600), offset).unwrap();
    assert_eq!(header(&request, "date"), DATE);
    let early = api().request(&Check::new(), at(0), ClockOffset::from_seconds(i64::MIN)).unwrap();
    assert_eq!(header(&early, "date"), "Thu, 01 Jan 1970 00:00:00 -0000");
}

#[test]
fn s31_preauth_always_supports_verified_push() {
    let ip: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(
        body(&Preauth::new(User::id("DU1").unwrap())),
        json!({ "user_id": "DU1", "client_supports_verified_push": "1" })
    );
    let call = Preauth::new(ann())
        .with_ipaddr(ip)
        .with_hostname("laptop")
        .with_trusted_device_token(SecretText::new("token"));
    assert_eq!(
        body(&call),
        json!({
            "username": "ann", "ipaddr": "2001:db8::1", "hostname": "laptop", "trusted_device_token": "token",
            "client_supports_verified_push": "1",
        })
    );
}

#[test]
fn each_factor_has_its_own_parameters() {
    let push = Push::new(phone())
        .with_request_type("Transfer")
        .with_display_username("Ann")
        .with_push_info(PushInfo::new().with("from", "a b").unwrap().with("&=", "ü").unwrap())
        .verified(Txid::parse("tx").unwrap());
    let expected = [
        (Factor::Auto(DeviceChoice::Auto), json!({ "factor": "auto", "device": "auto" })),
        (Factor::Phone(phone()), json!({ "factor": "phone", "device": "DP1" })),
        (Factor::Sms(phone()), json!({ "factor": "sms", "device": "DP1" })),
        (Factor::Push(Push::new(DeviceChoice::Auto)), json!({ "factor": "push", "device": "auto" })),
        (
            Factor::Push(push),
            json!({
                "factor": "push", "device": "DP1", "type": "Transfer", "display_username": "Ann",
                "pushinfo": "from=a%20b&%26%3D=%C3%BC", "txid": "tx",
            }),
        ),
        // A passcode is for no device.
        (
            Factor::Passcode(Passcode::parse("123456").unwrap()),
            json!({ "factor": "passcode", "passcode": "123456" }),
        ),
    ];
    for (factor, mut expected) in expected {
        expected["username"] = json!("ann");
        expected["async"] = json!("0");
        assert_eq!(body(&Auth::new(ann(), factor.clone())), expected);
        expected["async"] = json!("1");
        expected["ipaddr"] = json!("192.0.2.1");
        expected["hostname"] = json!("laptop");
        let call = Auth::new(ann(), factor).asynchronous().with_ipaddr("192.0.2.1".parse().unwrap());
        assert_eq!(body(&call.with_hostname("laptop")), expected);
    }
}

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

#[test]
fn push_info_stays_under_its_limit() {
    let name = "n".repeat(9_000);
    let info = PushInfo::new().with(&name, &"v".repeat(10_998)).unwrap();
    assert_eq!(info.as_str().len(), 19_999);
    assert!(PushInfo::new().with(&name, &"v".repeat(10_999)).is_err());
    // Encoded, a space has three bytes.
    assert!(PushInfo::new().with("n", &" ".repeat(6_666)).is_err());
    assert_eq!(PushInfo::new().with("", "v").unwrap_err().code(), "parameter");
}

#[test]
fn a_wait_is_what_duo_asks_for_or_longer() {
    let asks = |value: &str| {
        let reply = http::Response::builder().status(429).header("retry-after", value).body(Vec::new());
        retry_after(&reply.unwrap(), at(784_111_777))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(asks("120"), seconds(120));
    assert_eq!(asks(" 0 "), seconds(0));
    assert_eq!(asks("99999999999999999999"), seconds(u64::MAX));
    // The dates of RFC 9110 §5.6.7, 90 s apart.
    assert_eq!(asks("Sun, 06 Nov 1994 08:51:07 GMT"), seconds(90));
    assert_eq!(asks("Sun, 06 Nov 1994 08:48:07 GMT"), seconds(0));
    for nothing in ["", "-1", "+1", "1.5", "soon", "1 2"] {
        assert_eq!(asks(nothing), None, "{nothing:?}");
    }
    assert_eq!(retry_after(&reply(429, ""), at(NOW)), None);

    let mut backoff = Backoff::new();
    assert_eq!(backoff.next(Duration::from_secs(50), None), seconds(2), "jitter is a second at most");
    assert_eq!(backoff.next(Duration::ZERO, seconds(1)), seconds(2), "never shorter than the wait");
    assert_eq!(backoff.next(Duration::MAX, seconds(u64::MAX)), Some(Duration::MAX));
}

fn waiting() -> AuthResult {
    AuthStatus::parse(&ok(json!({ "result": "waiting", "status": "pushed" }))).unwrap()
}

#[test]
fn a_poll_ends_after_its_time_or_twenty_requests() {
    let (minute, total) = (Duration::from_secs(60), Duration::from_secs(75));
    let mut poll = Poll::new(at(NOW), total, minute);
    for _ in 0..20 {
        assert_eq!(poll.begin(at(NOW)), Some(minute));
        assert!(matches!(poll.after(Ok(waiting()), at(NOW)), Polled::Again { wait } if wait.is_zero()));
    }
    assert_eq!(poll.begin(at(NOW)), None);

    let mut poll = Poll::new(at(NOW), total, minute);
    assert_eq!(poll.begin(at(NOW + 74)), Some(Duration::from_secs(1)));
    assert_eq!(poll.begin(at(NOW + 75)), None);
    assert_eq!(poll.begin(at(NOW + 7_500)), None);
}

#[test]
fn a_poll_goes_on_after_a_time_out_and_after_nothing_else() {
    let poll = Poll::new(at(NOW), Duration::from_secs(75), Duration::from_secs(60));
    let refused = |status, code| {
        AuthStatus::parse(&reply(status, json!({ "stat": "FAIL", "code": code }))).map(|_| waiting())
    };
    for answer in
        [refused(400, 40002), Err(Error::TimedOut), Err(Error::Transport(mfa_core::HttpFault::Unanswered))]
    {
        assert!(
            matches!(poll.after(answer, at(NOW)), Polled::Again { wait } if wait == Duration::from_secs(1))
        );
    }
    for answer in [
        refused(401, 40103),
        refused(404, 40401),
        refused(429, 42901),
        refused(500, 50000),
        Err(Error::Transport(mfa_core::HttpFault::NotSent)),
        Err(Error::HttpStatus { status: 502 }),
        Err(Error::MalformedReply { reason: "x" }),
    ] {
        assert!(matches!(poll.after(answer, at(NOW)), Polled::Failed(_)));
    }
    for result in ["deny", "allow", "new"] {
        let answer = AuthStatus::parse(&ok(json!({ "result": result })));
        let Polled::Finished(finished) = poll.after(answer, at(NOW)) else { panic!("{result}") };
        assert_eq!(finished.granted(), result == "allow");
    }
}

#[test]
fn what_cannot_be_sent_is_refused_by_name() {
    let name = |error: Error| match error {
        Error::Parameter { name, .. } => name,
        other => panic!("{other}"),
    };
    assert_eq!(name(User::name("").unwrap_err()), "username");
    assert_eq!(name(User::id("").unwrap_err()), "user_id");
    for bad in ["", " ", "12 34", "a\n", "ä", &"1".repeat(129)] {
        assert_eq!(name(Passcode::parse(bad).unwrap_err()), "passcode");
        assert_eq!(name(DeviceId::parse(bad).unwrap_err()), "device");
        assert_eq!(name(Txid::parse(bad).unwrap_err()), "txid");
    }
    // A YubiKey's.
    assert!(Passcode::parse("cccccccccccccccccccccccccccccccccccccccccccc").is_ok());
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

    #[test]
    fn a_canonical_query_says_what_was_given(pairs in prop::collection::vec((".{0,8}", ".{0,8}"), 0..6)) {
        let mut params = mfa_duo::auth_api::Params::new();
        for (name, value) in &pairs {
            params = params.with(name.clone(), value.clone());
        }
        let canonical = params.canonical();
        prop_assert!(canonical.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%=&".contains(&b)));
        let mut read: Vec<(String, String)> =
            url::form_urlencoded::parse(canonical.as_bytes()).into_owned().collect();
        // An empty pair cannot be told from none.
        let mut given: Vec<_> = pairs.into_iter().filter(|pair| *pair != Default::default()).collect();
        read.retain(|pair| *pair != Default::default());
        read.sort();
        given.sort();
        prop_assert_eq!(read, given);
    }

    #[test]
    fn a_signed_request_can_be_made_of_any_name(name in ".{1,40}", version in prop::sample::select(VERSIONS.to_vec())) {
        let api = api().with_signature(version);
        let request = api.request(&Preauth::new(User::name(&name).unwrap()), at(NOW), ClockOffset::NONE).unwrap();
        prop_assert_eq!(request.uri().path(), "/auth/v2/preauth");
        let pair = header(&request, "authorization").strip_prefix("Basic ").unwrap();
        let pair = BASE64.decode(pair.as_bytes()).unwrap();
        prop_assert!(pair.starts_with(b"DIXXXXXXXXXXXXXXXXXX:"));
    }

    #[test]
    fn offsets_meet(ours in 0_u64..4_000_000_000, duos in 0_u64..4_000_000_000) {
        prop_assert_eq!(ClockOffset::between(at(duos), at(ours)).apply(at(ours)), at(duos));
    }

    #[test]
    fn push_info_round_trips(pairs in prop::collection::vec((".{1,8}", ".{0,8}"), 0..6)) {
        let mut info = PushInfo::new();
        for (name, value) in &pairs {
            info = info.with(name, value).unwrap();
        }
        let read: Vec<(String, String)> =
            url::form_urlencoded::parse(info.as_str().as_bytes()).into_owned().collect();
        prop_assert_eq!(read, pairs);
    }
}
