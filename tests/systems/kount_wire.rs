//! Kount's wire forms: what a login and its status are read from and written as, and the switches of its screens.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use mfa::Timestamp;
use mfa::delivery::address::Medium;
use mfa::delivery::kount::{
    Client, CorrelationId, LoginRequest, LoginResponse, MfaStatus, Profile, StatusBody, TimeFormat,
    Unauthenticated, authenticate,
};
use mfa::delivery::select::{Decision, Indicator};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::kount::{CORRELATION, request};

#[test]
fn c02_a_body_is_read_within_its_limits() {
    let base = || json!({"clientId": "acme1", "userId": "bob"});
    let with = |name: &str, value: Value| {
        let mut body = base();
        body[name] = value;
        LoginRequest::parse(&body.to_string())
    };
    let longest = [
        ("clientId", 64, "too_long"),
        ("sessionId", 32, "too_long"),
        ("userId", 256, "too_long"),
        ("username", 256, "too_long"),
        ("userPassword", 128, "too_long"),
        ("loginURL", 256, "too_long"),
        ("userType", 128, "too_long"),
    ];
    for (name, most, code) in longest {
        assert!(with(name, json!("a".repeat(most))).is_ok(), "{name}");
        let refused = with(name, json!("a".repeat(most + 1))).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.code), (name, code));
        assert_eq!(with(name, json!(7)).unwrap_err().code, "type");
    }
    for (name, bad) in [
        ("clientId", ""),
        ("clientId", "a-b"),
        ("sessionId", "a b"),
        ("userIp", "::1"),
        ("userIp", "10.0.0.256"),
        ("userType", "a_b"),
        ("userCreationDate", "2022-02-14"),
        ("userCreationDate", "2022-13-14T21:46:16.000Z"),
        ("userCreationDate", "2022-02-14T21:46:16.Z"),
    ] {
        let refused = with(name, json!(bad)).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.code), (name, "invalid"), "{bad}");
    }
    for date in ["2022-02-14T21:46:16.123Z", "2022-02-14T21:46:16Z", "2022-02-14T21:46:16.123+01:00"] {
        assert!(with("userCreationDate", json!(date)).is_ok(), "{date}");
    }
    for name in ["clientId", "userId"] {
        let mut body = base();
        body.as_object_mut().unwrap().remove(name);
        let refused = LoginRequest::parse(&body.to_string()).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.code), (name, "required"));
    }
    for name in ["loginURL", "loginUrl"] {
        let read = with(name, json!("https://acme.example/in")).unwrap();
        assert_eq!(read.login_url.as_deref(), Some("https://acme.example/in"));
    }
    // A quotation mark of typographers is none of JSON's.
    let typeset = "{ \"clientId\" : \"acme1\", \"userId\" : \"bob\u{201d} }";
    assert_eq!(LoginRequest::parse(typeset).unwrap_err().field, "body");
}

#[test]
fn c02_what_a_body_holds_is_not_shown() {
    let request = request(json!({"userPassword": "5baa61e4c9b93f3f", "userIp": "192.0.2.7"}));
    let shown = format!("{request:?}");
    for hidden in ["5baa61e4c9b93f3f", "bob@acme.example", "15123456789", "192.0.2.7"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}

#[test]
fn c03_an_answer_has_nine_members_and_is_read_as_older_and_newer_ones() {
    let id = "41ba6a8b-071f-4310-9162-14bd42f7559d";
    let mut response =
        LoginResponse::new(Decision::Challenge, "s-1").with_challenge(id.parse().unwrap(), Medium::Sms);
    response.device_id = "udmfi5tr6ejd0kf4idfktpfdkemdheee6".to_owned();
    response.matched_to_device = "Device not found".to_owned();
    response.user_profile = "Send MFA".to_owned();
    let expected = json!({
        "decision": "Challenge", "deviceId": "udmfi5tr6ejd0kf4idfktpfdkemdheee6",
        "matchedToDevice": "Device not found", "mfaEnabled": true, "mfaId": id, "mfaType": "sms",
        "sessionId": "s-1", "tags": "", "userProfile": "Send MFA",
    });
    assert_eq!(response.to_json(), expected);
    let mut other = expected;
    other["tags"] = json!([]);
    other["decision"] = json!("CHALLENGE");
    other["mfaType"] = json!("SMS");
    other["sessionId"] = json!(" s-1 ");
    assert_eq!(LoginResponse::parse(&other).unwrap(), response);
    other["tags"] = json!(["vip"]);
    assert_eq!(LoginResponse::parse(&other).unwrap().to_json()["tags"], json!(["vip"]));
    for (name, bad) in [
        ("decision", json!("Review")),
        ("tags", json!("vip")),
        ("mfaId", json!("1")),
        ("mfaType", json!("fax")),
    ] {
        let mut body = response.to_json();
        body[name] = bad;
        assert_eq!(LoginResponse::parse(&body).unwrap_err().field, name);
    }
}

/// A token of RFC 7515 appendix A.1, of "joe", who may use it until 1300819380 seconds after 1970, and its key.
const JOES: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
    .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
    .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const JOES_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const JOES_END: u64 = 1_300_819_380;

/// A host's verifier of such tokens: who asks, of one that is signed and not over (RFC 7519 §4.1.4).
fn issuer(token: &str, now: u64) -> Option<String> {
    let (signed, signature) = token.rsplit_once('.')?;
    let mut mac = Hmac::<Sha256>::new_from_slice(&BASE64URL_NOPAD.decode(JOES_KEY.as_bytes()).ok()?).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?).ok()?;
    let claims = BASE64URL_NOPAD.decode(signed.split_once('.')?.1.as_bytes()).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    (now < claims["exp"].as_u64()?).then(|| claims["iss"].as_str().unwrap_or_default().to_owned())
}

/// The verifier is a closure and no trait. What is in a token, and which keys sign it, is the host's.
#[test]
fn c06_a_poll_needs_a_bearer_token_that_the_host_s_verifier_takes() {
    let ask = |header: Option<&str>, now: u64| authenticate(header, |token| issuer(token, now));
    for header in [format!("Bearer {JOES}"), format!("bearer {JOES}"), format!("BEARER  {JOES}")] {
        assert_eq!(ask(Some(&header), JOES_END - 1), Ok("joe".to_owned()));
        assert_eq!(ask(Some(&header), JOES_END), Err(Unauthenticated::Refused), "it is over");
    }
    for header in [None, Some(""), Some("Bearer"), Some(JOES), Some("Basic am9lOng="), Some("BearerX x")] {
        assert_eq!(ask(header, 0), Err(Unauthenticated::Missing), "{header:?}");
    }
    // What is no token is not even shown to the verifier.
    for header in
        ["Bearer ", "Bearer  ", "Bearer ==", "Bearer a b", "Bearer a,b", "Bearer a=b", "Bearer \u{e4}"]
    {
        let asked = authenticate(Some(header), |_| -> Option<()> { panic!("asked") });
        assert_eq!(asked, Err(Unauthenticated::Refused), "{header:?}");
    }
    for changed in [JOES.replace("dBjf", "eBjf"), JOES.replace("eyJpc3", "eyJpc2"), format!("{JOES}=")] {
        assert_eq!(ask(Some(&format!("Bearer {changed}")), 0), Err(Unauthenticated::Refused), "{changed}");
    }
    // RFC 6750 section 3.1 has an example with each.
    assert_eq!(Unauthenticated::Missing.www_authenticate(), "Bearer");
    assert_eq!(Unauthenticated::Refused.www_authenticate(), "Bearer error=\"invalid_token\"");
    for why in [Unauthenticated::Missing, Unauthenticated::Refused] {
        assert_eq!(why.code(), "unauthenticated");
    }
}

#[test]
fn c07_a_poll_needs_a_guid_and_gets_it_back() {
    for (header, code) in
        [(None, "required"), (Some(""), "invalid"), (Some("fd4c7ace-f409-42cc-bd94-e716a1a53a0"), "invalid")]
    {
        assert_eq!(CorrelationId::parse(header).unwrap_err().code, code);
    }
    assert_eq!(CorrelationId::parse(Some(CORRELATION)).unwrap().as_str(), CORRELATION);
}

fn body() -> Value {
    json!({
        "correlationId": CORRELATION, "createdAt": "1644875221", "lastUpdated": "1644875261",
        "mfaId": "5c547a91-9b15-4707-95c0-73d5016eee8b", "mfaStatus": "FAILED_TO_SEND", "mfaType": "email",
        "sessionId": "s-1", "userId": "sven1234",
    })
}

#[test]
fn c11_times_are_strings_of_seconds_or_numbers_of_nanoseconds() {
    let read = StatusBody::parse(&body()).unwrap();
    assert_eq!(read.created_at, Timestamp::from_unix_seconds(1_644_875_221).unwrap());
    assert_eq!(read.to_json(TimeFormat::StringSeconds), body());
    let nanos = read.to_json(TimeFormat::NumberNanos);
    assert_eq!(nanos["createdAt"], 1_644_875_221_000_000_000_u64);
    assert_eq!(StatusBody::parse(&nanos).unwrap(), read);
    let with = |name: &str, value: Value| {
        let mut body = body();
        body[name] = value;
        StatusBody::parse(&body)
    };
    for bad in [
        json!(null),
        json!(""),
        json!("1e9"),
        json!("-1"),
        json!(-1),
        json!(1.5),
        json!("99999999999999999999"),
        json!([]),
    ] {
        assert_eq!(with("createdAt", bad.clone()).unwrap_err().field, "createdAt", "{bad}");
    }
    assert_eq!(with("lastUpdated", json!("1644875220")).unwrap_err().code, "order");
    assert!(with("lastUpdated", json!("1644875221")).is_ok());
    assert!(with("mfaEnabled", json!(true)).is_ok(), "newer members are passed over");
    assert_eq!(StatusBody::parse(&json!("text")).unwrap_err().field, "body");
}

#[test]
fn c12_words_that_are_not_known_are_kept() {
    let known = [
        "FAILED_TO_SEND",
        "SUCCESS",
        "UNKNOWN",
        "INVALID",
        "VERIFIED",
        "TERMINATED",
        "MESSAGE_SENT",
        "FAILED_AUTHORIZATION",
        "VERIFICATION_ATTEMPT_FAILED",
    ];
    for word in known {
        assert!(!matches!(MfaStatus::from_word(word), MfaStatus::Other(_)), "{word}");
        assert_eq!(MfaStatus::from_word(word).as_str(), word);
    }
    for word in ["", "success", "PENDING", "Wartend"] {
        assert_eq!(MfaStatus::from_word(word), MfaStatus::Other(word.to_owned()));
        let mut body = body();
        body["mfaStatus"] = json!(word);
        assert_eq!(StatusBody::parse(&body).unwrap().to_json(TimeFormat::StringSeconds), body);
    }
}

#[test]
fn c18_the_indicator_is_green_grey_or_missing() {
    for (vendor, email, sms, indicator) in [
        (true, true, true, Indicator::Green),
        (true, true, false, Indicator::Green),
        (true, false, true, Indicator::Green),
        (true, false, false, Indicator::Grey),
        (false, true, true, Indicator::Missing),
        (false, true, false, Indicator::Missing),
        (false, false, true, Indicator::Missing),
        (false, false, false, Indicator::Missing),
    ] {
        assert_eq!(Client { vendor, email, sms }.indicator(), indicator);
    }
}

#[test]
fn c19_a_new_profile_asks_for_nothing() {
    assert!(!Profile::default().challenge_mfa);
    assert_eq!(Client::default(), Client { vendor: false, email: false, sms: false });
}
