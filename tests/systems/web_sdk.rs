//! Kazoo's provider document for Duo's Web SDK: its fields, what it signs, and which replies it takes.

use std::time::Duration;

use data_encoding::BASE64;
use mfa::Timestamp;
use mfa::duo::web::kazoo::Kazoo;
use mfa::duo::web::{Expiry, Refusal, WebSdk};
use mfa::duo::{ApplicationKey, IntegrationKey, SecretKey};
use serde_json::{Value, json};

use crate::rows::at;

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const AKEY: &str = "useacustomerprovidedapplicationsecretkey";
const USER: &str = "testuser";
/// What Kazoo's own test signs, good until 1486769809.
const V1: &str = "TX|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTQ4Njc2OTgwOQ==|28af5ae63742cfc52f36002a146ee181326cd40d:APP|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTQ4Njc2OTgwOQ==|1f02e643de667f188f409a13b7770dce0a1be777";
/// Those of Duo's own tests: good until 1615727243, expired, of four fields signed with each key, and no cookie at all.
const V2: &str =
    "AUTH|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTcyNzI0Mw==|d20ad0d1e62d84b00a3e74ec201a5917e77b6aef";
const V3: &str =
    "AUTH|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTMwMDE1Nzg3NA==|cb8f4d60ec7c261394cd5ee5a17e46ca7440d702";
const V4: &str = "AUTH|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTcyNzI0M3xpbnZhbGlkZXh0cmFkYXRh|6cdbec0fbfa0d3f335c76b0786a4a18eac6cdca7";
const V5: &str = "APP|dGVzdHVzZXJ8RElYWFhYWFhYWFhYWFhYWFhYWFh8MTYxNTcyNzI0M3xpbnZhbGlkZXh0cmFkYXRh|7c2065ea122d028b03ef0295a4b4c5521823b9b5";
const V6: &str = "AUTH|INVALID|SIG";

fn settings(more: Value) -> Value {
    let mut settings = json!({
        "integration_key": IKEY, "secret_key": SKEY, "application_secret_key": AKEY,
        "api_hostname": "api-xxxxxxxx.duosecurity.com",
    });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    settings
}

fn kazoo(more: Value) -> Kazoo {
    Kazoo::configure(Some(USER), &settings(more)).unwrap()
}

fn sdk() -> WebSdk {
    let keys = (IntegrationKey::parse(IKEY), SecretKey::parse(SKEY), ApplicationKey::parse(AKEY));
    WebSdk::new(keys.0.unwrap(), keys.1.unwrap(), keys.2.unwrap()).unwrap()
}

/// Until when a cookie is good.
fn expires(cookie: &str) -> u64 {
    let payload = BASE64.decode(cookie.split('|').nth(1).unwrap().as_bytes()).unwrap();
    String::from_utf8(payload).unwrap().rsplit('|').next().unwrap().parse().unwrap()
}

/// Our half, for a user, at the time of Duo's vectors.
fn app(user: &str, now: Timestamp) -> String {
    sdk().sign_request(user, now).unwrap().app_half().to_owned()
}

#[test]
fn b18_what_is_wrong_is_named_by_its_key_and_never_by_its_value() {
    for (key, value) in [("secret_key", json!("hush-4711")), ("application_secret_key", json!("hush-4711"))] {
        let refused = Kazoo::configure(Some(USER), &settings(json!({key: value}))).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("invalid duo configuration, duo {key} config key is invalid")
        );
        assert!(!format!("{refused:?}").contains("4711"));
    }
    let mut without = settings(json!({}));
    without.as_object_mut().unwrap().remove("secret_key");
    let refused = Kazoo::configure(Some(USER), &without).unwrap_err();
    assert_eq!(refused.to_string(), "invalid duo configuration, duo secret_key config key is missing");
}

#[test]
fn b19_each_field_one_character_off_is_refused_by_name() {
    assert!(Kazoo::configure(Some(USER), &settings(json!({"something": "else"}))).is_ok());
    for (key, value) in [
        ("integration_key", json!(&IKEY[..19])),
        ("integration_key", json!(format!("{IKEY}X"))),
        ("secret_key", json!(&SKEY[..39])),
        ("application_secret_key", json!(&AKEY[..39])),
        ("application_secret_key", json!(SKEY)),
        ("api_hostname", json!("")),
    ] {
        let refused = Kazoo::configure(Some(USER), &settings(json!({key: value}))).unwrap_err();
        assert_eq!(refused.key(), key);
    }
    // Duo's own libraries want 40 characters, and no more.
    assert!(SecretKey::parse(&format!("{SKEY}0")).is_err());
    assert!(Kazoo::configure(Some(USER), &settings(json!({"secret_key": format!("{SKEY}0")}))).is_ok());
    for user in [None, Some(""), Some("in|valid")] {
        assert_eq!(Kazoo::configure(user, &settings(json!({}))).unwrap_err().key(), "user_name");
    }
}

#[test]
fn b20_duos_half_lives_five_minutes_and_ours_an_hour_unless_set() {
    let now = at(1_486_768_575);
    for (more, duo, own) in [
        (json!({}), 300, 3600),
        (json!({"duo_expire": 60}), 60, 3600),
        (json!({"duo_expire": 500, "app_expire": 7200}), 500, 7200),
    ] {
        let request = kazoo(more).sign_request(now);
        let lives = [request.duo_half(), request.app_half()].map(|half| expires(half) - now.unix_seconds());
        assert_eq!(lives, [duo, own]);
    }
}

#[test]
fn b21_a_request_is_signed_as_kazoo_signs_it() {
    let request = kazoo(json!({"duo_expire": 1234, "app_expire": 1234})).sign_request(at(1_486_768_575));
    assert_eq!(request.expose_secret(), V1);
    let sdk = sdk().with_duo_expire(Duration::from_secs(1234)).with_app_expire(Duration::from_secs(1234));
    assert_eq!(sdk.sign_request(USER, at(1_486_768_575)).unwrap().expose_secret(), V1);
}

#[test]
fn b22_only_a_reply_that_is_whole_and_in_time_is_taken() {
    let now = at(1_615_727_000);
    let own = app(USER, now);
    let told =
        |response: String| sdk().verify_response(&response, now).map(|verified| verified.user().to_owned());
    assert_eq!(told(format!("{V2}:{own}")).as_deref(), Ok(USER));
    assert_eq!(told(format!("{V3}:{own}")), Err(Refusal::Expired));
    assert_eq!(told(format!("{V4}:{own}")), Err(Refusal::Malformed));
    assert_eq!(told(format!("{V2}:{V5}")), Err(Refusal::Malformed));
    assert_eq!(told(format!("{V6}:{own}")), Err(Refusal::BadSignature));
    for response in
        [V2.to_owned(), format!("{V2}:"), format!(":{own}"), format!("{V2}:{own}:{own}"), String::new()]
    {
        assert_eq!(told(response.clone()), Err(Refusal::Malformed), "{response}");
    }
    // Two good halves of two users, and a whole one of somebody else.
    assert_eq!(told(format!("{V2}:{}", app("eve", now))), Err(Refusal::WrongUser));
    let whole = format!("{V2}:{own}");
    assert_eq!(sdk().verify_response_for(&whole, "eve", now).map(drop), Err(Refusal::WrongUser));
    assert!(sdk().verify_response_for(&whole, USER, now).is_ok());
    assert!(kazoo(json!({})).verify_response(&whole, now).is_ok());
}

/// The response that is printed in Kazoo's documentation.
#[test]
fn b22_the_printed_response_is_good_to_its_last_second() {
    let printed = format!("{V2}:{}", V1.split_once(':').unwrap().1);
    let by_duo = sdk();
    let by_kazoo = sdk().with_expiry(Expiry::InclusiveKazoo);
    for (second, duo, kazoo) in [
        (1_486_769_000, true, true),
        (1_486_769_808, true, true),
        (1_486_769_809, false, true),
        (1_486_769_810, false, false),
    ] {
        let told = |sdk: &WebSdk| sdk.verify_response_for(&printed, USER, at(second)).map(drop);
        let expected = |taken| if taken { Ok(()) } else { Err(Refusal::Expired) };
        assert_eq!((told(&by_duo), told(&by_kazoo)), (expected(duo), expected(kazoo)), "{second}");
    }
}
