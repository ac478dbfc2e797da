//! What a reply to the legacy iframe must be, beyond the vectors (edges 26 to 37, security rule S19).

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails so")]
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use std::time::Duration;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use mfa_core::Timestamp;
use mfa_duo::web::kazoo::Kazoo;
use mfa_duo::web::{Expiry, Refusal, SigRequest, WebSdk, iframe_src, parse_post};
use mfa_duo::{ApiHost, ApplicationKey, Error, IntegrationKey, SecretKey};
use proptest::prelude::*;
use serde_json::json;
use sha1::Sha1;

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const AKEY: &str = "useacustomerprovidedapplicationsecretkey";
const NOW: u64 = 1_700_000_000;

fn sdk() -> WebSdk {
    WebSdk::new(
        IntegrationKey::parse(IKEY).unwrap(),
        SecretKey::parse(SKEY).unwrap(),
        ApplicationKey::parse(AKEY).unwrap(),
    )
    .unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

/// Duo's side, written from the description of the format: any prefix, any payload, encoded in any way.
fn sealed(key: &str, prefix: &str, encoded: &str) -> String {
    let cookie = format!("{prefix}|{encoded}");
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(cookie.as_bytes());
    format!("{cookie}|{}", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

fn cookie(key: &str, prefix: &str, payload: &str) -> String {
    sealed(key, prefix, &BASE64.encode(payload.as_bytes()))
}

fn auth(user: &str) -> String {
    cookie(SKEY, "AUTH", &format!("{user}|{IKEY}|{}", NOW + 300))
}

fn app(user: &str) -> String {
    cookie(AKEY, "APP", &format!("{user}|{IKEY}|{}", NOW + 3600))
}

fn refusal(auth: &str, app: &str) -> Refusal {
    sdk().verify_response(&format!("{auth}:{app}"), at(NOW)).expect_err("a refusal")
}

#[test]
fn a_reply_to_ones_own_request_is_accepted() {
    for user in ["ann", "dom:user", "ünï", "a b", "5b2f0c", "𝓐"] {
        let request = sdk().sign_request(user, at(NOW)).unwrap();
        assert_eq!(request.app_half(), app(user));
        let response = format!("{}:{}", auth(user), request.app_half());
        let verified = sdk().verify_issued(&response, request.app_half(), user, at(NOW)).unwrap();
        assert_eq!((verified.user(), verified.expires_at()), (user, at(NOW + 300)));
    }
}

#[test]
fn a_name_that_cannot_stand_in_a_cookie_is_refused() {
    for user in ["", "|", "in|valid"] {
        assert_eq!(sdk().sign_request(user, at(NOW)).unwrap_err(), Error::UserName);
        assert_eq!(sdk().sign_enroll_request(user, at(NOW)).unwrap_err(), Error::UserName);
    }
}

#[test]
fn lifetimes_are_those_that_were_set() {
    let sdk = sdk().with_duo_expire(Duration::from_secs(10)).with_app_expire(Duration::from_secs(20));
    let request = sdk.sign_request("ann", at(NOW)).unwrap();
    assert_eq!(request.duo_half(), cookie(SKEY, "TX", &format!("ann|{IKEY}|{}", NOW + 10)));
    assert_eq!(request.app_half(), cookie(AKEY, "APP", &format!("ann|{IKEY}|{}", NOW + 20)));
}

#[test]
fn a_reply_has_two_halves_of_three_parts() {
    let (auth, app) = (auth("ann"), app("ann"));
    for response in [
        String::new(),
        ":".into(),
        "::".into(),
        auth.clone(),
        app.clone(),
        format!("{auth}:"),
        format!(":{app}"),
        format!("{auth}:{app}:"),
        format!("{auth}:{app}:x"),
        format!("{auth}|:{app}"),
        format!("|{auth}:{app}"),
        format!("{auth}:{}", app.replacen('|', "", 1)),
    ] {
        let refusal = sdk().verify_response(&response, at(NOW)).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed, "{response}");
    }
}

#[test]
fn a_reply_is_at_most_4096_bytes_long() {
    let fitting = 'a'..='z';
    let user: String = fitting.cycle().take(1_200).collect();
    assert!(sdk().verify_response(&format!("{}:{}", auth(&user), app(&user)), at(NOW)).is_ok());
    let user = "a".repeat(1_600);
    assert_eq!(refusal(&auth(&user), &app(&user)), Refusal::Malformed);
    assert_eq!(parse_post(&"A".repeat(10_000_000)), Err(Refusal::Malformed));
}

#[test]
fn each_half_is_signed_with_its_own_key_for_its_own_use() {
    let payload = format!("ann|{IKEY}|{}", NOW + 300);
    let (auth, app) = (auth("ann"), app("ann"));
    assert_eq!(refusal(&app, &auth), Refusal::BadSignature);
    assert_eq!(refusal(&cookie(AKEY, "AUTH", &payload), &app), Refusal::BadSignature);
    assert_eq!(refusal(&auth, &cookie(SKEY, "APP", &payload)), Refusal::BadSignature);
    assert_eq!(refusal(&cookie(SKEY, "TX", &payload), &app), Refusal::WrongPrefix);
    assert_eq!(refusal(&cookie(SKEY, "ENROLL", &payload), &app), Refusal::WrongPrefix);
    assert_eq!(refusal(&auth, &cookie(AKEY, "AUTH", &payload)), Refusal::WrongPrefix);
    assert_eq!(refusal(&cookie(SKEY, "auth", &payload), &app), Refusal::WrongPrefix);
    let enrolled = format!("{}:{app}", cookie(SKEY, "ENROLL", &payload));
    assert_eq!(sdk().verify_enroll_response(&enrolled, at(NOW)).unwrap().user(), "ann");
    let authenticated = format!("{auth}:{app}");
    assert_eq!(sdk().verify_enroll_response(&authenticated, at(NOW)).unwrap_err(), Refusal::WrongPrefix);
}

#[test]
fn a_signature_has_one_spelling() {
    let (auth, app) = (auth("ann"), app("ann"));
    let (cookie, mac) = auth.rsplit_once('|').unwrap();
    for mac in [
        mac.to_uppercase(),
        mac[..39].into(),
        mac[..0].into(),
        format!("{mac}0"),
        format!("{mac} "),
        format!("0x{mac}"),
    ] {
        assert_eq!(refusal(&format!("{cookie}|{mac}"), &app), Refusal::BadSignature, "{mac}");
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let response = format!("{}:{}", auth("ann"), app("ann"));
    for index in 0..response.len() {
        let mut bytes = response.clone().into_bytes();
        bytes[index] ^= 1;
        let changed = String::from_utf8(bytes).unwrap();
        assert!(sdk().verify_response(&changed, at(NOW)).is_err(), "byte {index}");
    }
}

#[test]
fn what_was_signed_in_another_form_is_malformed() {
    // 37 bytes, so that the last character but two of the encoding has four bits to spare.
    let (user, app) = ("annab", app("annab"));
    let payload = format!("{user}|{IKEY}|{}", NOW + 300);
    let base64 = BASE64.encode(payload.as_bytes());
    let rest = base64.strip_suffix("MA==").unwrap();
    assert!(sdk().verify_response(&format!("{}:{app}", auth(user)), at(NOW)).is_ok());
    for encoded in [
        String::new(),
        "!!!!".into(),
        format!("{base64}\n"),
        format!(" {base64}"),
        format!("{rest}MA="),
        format!("{rest}MA"),
        format!("{rest}MB=="),
        format!("{rest}M-=="),
        BASE64.encode(&[0xff, 0xfe, b'|', b'x', b'|', b'1']),
    ] {
        assert_eq!(refusal(&sealed(SKEY, "AUTH", &encoded), &app), Refusal::Malformed, "{encoded}");
    }
}

#[test]
fn a_cookie_has_three_fields_with_a_user_and_a_number() {
    let app = app("ann");
    for payload in [
        String::new(),
        "ann".into(),
        format!("ann|{IKEY}"),
        format!("ann|{IKEY}|"),
        format!("ann|{IKEY}|{}|", NOW + 300),
        format!("in|valid|{IKEY}|{}", NOW + 300),
        format!("|{IKEY}|{}", NOW + 300),
        format!("ann|{IKEY}|-1"),
        format!("ann|{IKEY}|+{}", NOW + 300),
        format!("ann|{IKEY}| {}", NOW + 300),
        format!("ann|{IKEY}|1_700_000_300"),
        format!("ann|{IKEY}|{}abc", NOW + 300),
        format!("ann|{IKEY}|{}.0", NOW + 300),
        format!("ann|{IKEY}|1180591620717411303424"),
        format!("ann|{IKEY}|١٧٠٠٠٠٠٣٠٠"),
    ] {
        assert_eq!(refusal(&cookie(SKEY, "AUTH", &payload), &app), Refusal::Malformed, "{payload}");
    }
}

#[test]
fn both_halves_empty_of_users_do_not_match() {
    let payload = format!("|{IKEY}|{}", NOW + 300);
    let (auth, app) = (cookie(SKEY, "AUTH", &payload), cookie(AKEY, "APP", &payload));
    assert_eq!(refusal(&auth, &app), Refusal::Malformed);
}

#[test]
fn a_cookie_of_another_integration_is_refused() {
    let other = format!("ann|DIXXXXXXXXXXXXXXXXXY|{}", NOW + 300);
    assert_eq!(refusal(&cookie(SKEY, "AUTH", &other), &app("ann")), Refusal::WrongIntegration);
    assert_eq!(refusal(&auth("ann"), &cookie(AKEY, "APP", &other)), Refusal::WrongIntegration);
}

#[test]
fn the_second_of_expiry_is_too_late_but_for_kazoo() {
    let (exclusive, kazoo) = (sdk(), sdk().with_expiry(Expiry::InclusiveKazoo));
    let response = format!("{}:{}", auth("ann"), app("ann"));
    for (now, duo, theirs) in [(299, true, true), (300, false, true), (301, false, false)] {
        assert_eq!(exclusive.verify_response(&response, at(NOW + now)).is_ok(), duo, "{now}");
        assert_eq!(kazoo.verify_response(&response, at(NOW + now)).is_ok(), theirs, "{now}");
    }
    assert_eq!(exclusive.verify_response(&response, at(NOW + 300)).unwrap_err(), Refusal::Expired);
    // Our own half can be the one that is over.
    let app = cookie(AKEY, "APP", &format!("ann|{IKEY}|{NOW}"));
    assert_eq!(refusal(&auth("ann"), &app), Refusal::Expired);
    // The last number that there is room for.
    let auth = cookie(SKEY, "AUTH", &format!("ann|{IKEY}|{}", u64::MAX));
    let app = cookie(AKEY, "APP", &format!("ann|{IKEY}|{}", u64::MAX));
    let verified = sdk().verify_response(&format!("{auth}:{app}"), at(NOW)).unwrap();
    assert_eq!(verified.expires_at(), Timestamp::MAX);
}

#[test]
fn s19_a_reply_is_about_the_user_who_logs_in() {
    assert_eq!(refusal(&auth("ann"), &app("bob")), Refusal::WrongUser);
    // Mallory's own approval, handed in with Ann's password.
    let mallory = format!("{}:{}", auth("mallory"), app("mallory"));
    assert!(sdk().verify_response(&mallory, at(NOW)).is_ok());
    assert_eq!(sdk().verify_response_for(&mallory, "ann", at(NOW)).unwrap_err(), Refusal::WrongUser);
    for other in ["", "Mallory", "mallory ", "mallor", "mallory\0"] {
        assert!(sdk().verify_response_for(&mallory, other, at(NOW)).is_err(), "{other:?}");
    }
}

#[test]
fn s19_a_reply_belongs_to_the_request_that_was_issued() {
    let first = sdk().sign_request("ann", at(NOW)).unwrap();
    let second = sdk().sign_request("ann", at(NOW + 1)).unwrap();
    let response = format!("{}:{}", auth("ann"), first.app_half());
    assert!(sdk().verify_issued(&response, first.app_half(), "ann", at(NOW + 1)).is_ok());
    let refused = |issued: &str| sdk().verify_issued(&response, issued, "ann", at(NOW + 1)).unwrap_err();
    assert_eq!(refused(second.app_half()), Refusal::NotIssued);
    assert_eq!(refused(""), Refusal::NotIssued);
    assert_eq!(refused(&first.app_half()[..90]), Refusal::NotIssued);
    assert_eq!(refused(first.duo_half()), Refusal::NotIssued);
}

#[test]
fn s19_one_reply_has_one_mac_to_remember() {
    let response = format!("{}:{}", auth("ann"), app("ann"));
    let first = sdk().verify_response(&response, at(NOW)).unwrap();
    let again = sdk().verify_response(&response, at(NOW + 1)).unwrap();
    assert_eq!(first.auth_mac(), again.auth_mac());
    assert_eq!(HEXLOWER.encode(first.auth_mac()), auth("ann").rsplit_once('|').unwrap().1);
    let other = cookie(SKEY, "AUTH", &format!("ann|{IKEY}|{}", NOW + 299));
    let other = sdk().verify_response(&format!("{other}:{}", app("ann")), at(NOW)).unwrap();
    assert_ne!(first.auth_mac(), other.auth_mac());
}

#[test]
fn an_error_of_the_frame_is_no_bad_signature() {
    let error = |text: &str| Refusal::DuoError { text: text.to_owned() };
    for (posted, text) in [
        ("ERR|Access denied.", "Access denied."),
        ("ERR|Time out (60 s)", "Time out (60 s)"),
        (&format!("ERR|Denied:{}", app("ann")), "Denied"),
        ("ERR|", ""),
        ("ERR|a\r\nb\u{1b}[31m<script>", "ab31mscript"),
    ] {
        assert_eq!(sdk().verify_response(posted, at(NOW)).unwrap_err(), error(text));
        assert_eq!(sdk().verify_issued(posted, "", "ann", at(NOW)).unwrap_err(), error(text));
        assert_eq!(parse_post(posted), Err(error(text)));
    }
    assert_eq!(parse_post(&format!("ERR|{}", "x".repeat(1_000))), Err(error(&"x".repeat(200))));
    assert_eq!(refusal("err|denied", "x"), Refusal::Malformed);
}

#[test]
fn a_frames_address_takes_a_request_that_was_kept() {
    let request = sdk().sign_request("ann", at(NOW)).unwrap();
    let kept = SigRequest::parse(request.expose_secret()).unwrap();
    assert_eq!((kept.duo_half(), kept.app_half()), (request.duo_half(), request.app_half()));
    let host = ApiHost::parse("api-xxxx.duosecurity.com").unwrap();
    let address = iframe_src(&host, &kept, "https://example.com/a b?c=d&e=(f)'");
    let url = url::Url::parse(address.expose_secret()).unwrap();
    let query: Vec<_> = url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
    let expected =
        [("tx", request.duo_half()), ("parent", "https://example.com/a b?c=d&e=(f)'"), ("v", "2.9")];
    assert_eq!(query, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    for text in ["", "TX", "a:b:c", "ERR|The username passed to sign_request() is invalid.", "ERR|x:APP"] {
        assert_eq!(SigRequest::parse(text).unwrap_err().code(), "parameter", "{text}");
    }
}

#[test]
fn b18_kazoos_documents_are_refused_in_kazoos_words_and_order() {
    let good = json!({
        "integration_key": IKEY, "secret_key": SKEY, "application_secret_key": AKEY,
        "api_hostname": "api-xxxx.duosecurity.com", "other": 1,
    });
    assert!(Kazoo::configure(Some("5b2f0c"), &good).is_ok());
    let complaint = |owner, settings| Kazoo::configure(owner, &settings).unwrap_err().to_string();
    let says = |key, what| format!("invalid duo configuration, duo {key} config key is {what}");
    assert_eq!(complaint(None, json!({})), says("user_name", "missing"));
    assert_eq!(complaint(Some(""), json!({})), says("user_name", "invalid"));
    assert_eq!(complaint(Some("a|b"), good.clone()), says("user_name", "invalid"));
    let order = ["integration_key", "secret_key", "application_secret_key", "api_hostname"];
    for (index, key) in order.iter().enumerate() {
        let mut settings = good.clone();
        for later in &order[index..] {
            settings.as_object_mut().unwrap().remove(*later);
        }
        assert_eq!(complaint(Some("u"), settings.clone()), says(key, "missing"));
        for bad in [json!(""), json!(7), json!(["x"]), json!({})] {
            settings[*key] = bad;
            assert_eq!(complaint(Some("u"), settings.clone()), says(key, "invalid"));
        }
        settings[*key] = json!(null);
        assert_eq!(complaint(Some("u"), settings), says(key, "missing"));
    }
    for (key, value, ok) in [
        ("secret_key", json!("s".repeat(41)), true),
        ("secret_key", json!("s".repeat(39)), false),
        ("integration_key", json!("I".repeat(21)), false),
        ("application_secret_key", json!(SKEY), false),
        ("duo_expire", json!(1234), true),
        ("duo_expire", json!(-1), false),
        ("app_expire", json!("300"), false),
    ] {
        let mut settings = good.clone();
        settings[key] = value;
        assert_eq!(Kazoo::configure(Some("u"), &settings).is_ok(), ok, "{key}");
    }
}

#[test]
fn kazoos_login_is_of_its_own_user() {
    let settings = json!({
        "integration_key": IKEY, "secret_key": SKEY, "application_secret_key": AKEY, "api_hostname": "x",
    });
    let ann = Kazoo::configure(Some("ann"), &settings).unwrap();
    let response = |user: &str| format!("{}:{}", auth(user), app(user));
    assert!(ann.verify_response(&response("ann"), at(NOW + 300)).is_ok());
    assert_eq!(ann.verify_response(&response("mallory"), at(NOW)).unwrap_err(), Refusal::WrongUser);
    assert_eq!(ann.verify_response(&response("ann"), at(NOW + 301)).unwrap_err(), Refusal::Expired);
}

proptest! {
    #[test]
    fn no_reply_panics(response in ".{0,200}") {
        prop_assert!(sdk().verify_response(&response, at(NOW)).is_err());
        let _ = SigRequest::parse(&response);
    }

    #[test]
    fn nothing_like_a_reply_panics(
        halves in prop::collection::vec("(AUTH|APP|ERR|TX)?\\|?[A-Za-z0-9+/=|:]{0,60}", 0..4),
    ) {
        prop_assert!(sdk().verify_response(&halves.join(":"), at(NOW)).is_err());
    }

    #[test]
    fn no_signed_payload_panics_and_none_is_about_somebody_else(payload in prop::collection::vec(any::<u8>(), 0..60)) {
        let response = format!("{}:{}", sealed(SKEY, "AUTH", &BASE64.encode(&payload)), app("ann"));
        prop_assert!(sdk().verify_response_for(&response, "bob", at(NOW)).is_err());
    }

    #[test]
    fn no_document_panics_and_what_is_taken_can_be_signed(
        owner in prop::option::of(".{0,8}"),
        keys in prop::collection::vec(("[a-zA|ä ]{19,21}|.{0,3}", "[a-zA|ä ]{39,41}|.{0,3}"), 2),
        expire in any::<i64>(),
    ) {
        let settings = json!({
            "integration_key": keys[0].0, "secret_key": keys[0].1, "application_secret_key": keys[1].1,
            "api_hostname": keys[1].0, "duo_expire": expire,
        });
        if let Ok(kazoo) = Kazoo::configure(owner.as_deref(), &settings) {
            let request = kazoo.sign_request(at(NOW));
            let read = SigRequest::parse(request.expose_secret()).unwrap();
            prop_assert_eq!(read.duo_half(), request.duo_half());
        }
    }

    #[test]
    fn what_is_signed_is_verified(user in "[^|]{1,40}", now in 0_u64..4_000_000_000, age in 0_u64..400) {
        let request = sdk().sign_request(&user, at(now)).unwrap();
        let duo = cookie(SKEY, "AUTH", &format!("{user}|{IKEY}|{}", now + 300));
        let response = format!("{duo}:{}", request.app_half());
        let verified = sdk().verify_issued(&response, request.app_half(), &user, at(now + age));
        prop_assert_eq!(verified.is_ok(), age < 300);
    }
}
