//! Credentials of the Auth API.

use mfa_testkit::duo::Credentials;
use serde_json::json;

use crate::https::{Call, basic};
use crate::{DATE, NOW, at, push, start};

#[test]
fn a_right_signature_passes() {
    let (duo, keys) = start();
    let call = Call::json("/auth/v2/auth", &push("ann")).with("x-duo-b", "2").with("x-duo-a", "1");
    assert_eq!(call.signed(&keys, DATE).answer(&duo).status, 200);
    let seen = &duo.requests()[0];
    assert_eq!((seen.credentials, seen.user.as_deref()), (Credentials::V5, Some("ann")));
    assert_eq!(seen.integration, Some(keys.ikey));
}

#[test]
fn whatever_is_changed_after_signing_breaks_it() {
    let (duo, keys) = start();
    let signed = Call::json("/auth/v2/auth", &push("ann")).with("x-duo-a", "1").signed(&keys, DATE);
    let mut changed = [(); 5].map(|()| signed.clone());
    changed[0].body = push("bob").to_string();
    changed[1].target = "/auth/v2/preauth".to_owned();
    changed[2].target.push_str("?factor=sms");
    changed[3].headers[1].1 = "2".to_owned();
    changed[4].headers[2].1 = DATE.replace("00:00 -", "00:01 -");
    for call in changed.into_iter().chain([signed.clone().with("x-duo-z", "1")]) {
        let answer = call.answer(&duo);
        assert_eq!((answer.status, answer.code()), (401, json!(40103)), "{call:?}");
    }
    assert!(duo.requests().iter().all(|seen| seen.credentials == Credentials::Refused));
    assert_eq!(duo.rings("ann").pushes, 0);
    assert_eq!(signed.answer(&duo).status, 200);
}

#[test]
fn a_date_may_be_five_minutes_off() {
    let (duo, keys) = start();
    let call = Call::get("/auth/v2/check").signed(&keys, DATE);
    for (now, code) in [(NOW - 301, 40105), (NOW - 300, 0), (NOW + 300, 0), (NOW + 301, 40105)] {
        duo.set_now(at(now));
        let answer = call.answer(&duo);
        let found = answer.code().as_u64().unwrap_or_default();
        assert_eq!(found, code, "{now}");
    }
    // The answer's own date tells how far off the client is.
    assert_eq!(call.answer(&duo).header("date"), Some("Tue, 09 Sep 2025 12:05:01 GMT"));
}

#[test]
fn dates_are_read_as_every_official_client_writes_them() {
    let (duo, keys) = start();
    let dates = [
        "Tue, 09 Sep 2025 12:00:00 -0000",
        "Tue, 09 Sep 2025 12:00:00 +0000",
        "Tue, 09 Sep 2025 12:00:00 GMT",
        "Tue, 09 Sep 2025 17:30:00 +0530",
    ];
    for date in dates {
        assert_eq!(Call::get("/auth/v2/check").signed(&keys, date).answer(&duo).status, 200, "{date}");
    }
    for date in ["", "yesterday", "2025-09-09T12:00:00Z", "1757419200"] {
        let answer = Call::get("/auth/v2/check").signed(&keys, date).answer(&duo);
        assert_eq!(answer.code(), 40105, "{date}");
    }
}

#[test]
fn missing_and_foreign_credentials_have_codes_of_their_own() {
    let (duo, keys) = start();
    let check = || Call::get("/auth/v2/check");
    let of = |signature: &str| basic(&keys.ikey, signature);
    let hex = "0".repeat(128);
    let cases = [
        (check().with("date", DATE), 40101),
        (check().with("date", DATE).with("authorization", "Bearer x"), 40101),
        (check().with("date", DATE).with("authorization", "Basic ???"), 40101),
        (check().with("authorization", of(&hex)), 40104),
        (check().with("date", DATE).with("authorization", basic("DIXXXXXXXXXXXXXXXXXX", &hex)), 40102),
        (check().with("date", DATE).with("authorization", of(&hex)), 40103),
        (check().with("date", DATE).with("authorization", of(&hex[..40])), 40103),
        (check().with("date", DATE).with("authorization", of(&hex[..64])), 40112),
        (check().with("date", DATE).with("authorization", of("")), 40112),
    ];
    for (call, code) in cases {
        let answer = call.answer(&duo);
        assert_eq!((answer.status, answer.code()), (401, json!(code)), "{call:?}");
    }
    assert_eq!(Call::get("/auth/v2/ping").answer(&duo).status, 200);
}

#[test]
fn a_body_is_never_left_unsigned() {
    let (duo, keys) = start();
    let signed = Call::post("/auth/v2/auth", "application/json", "").signed_v2_empty(&keys, DATE);
    for (content_type, code) in
        [("application/json", 40103), ("text/plain", 40106), ("application/x-www-form-urlencoded", 40103)]
    {
        let mut call = signed.clone();
        call.headers[0].1 = content_type.to_owned();
        call.body = push("ann").to_string();
        assert_eq!(call.answer(&duo).code(), code, "{content_type}");
    }
    // The signature itself is right, where there is no body.
    let empty = Call::form("/auth/v2/auth", &[]).signed_v2_empty(&keys, DATE);
    assert_eq!(empty.answer(&duo).code(), 40001);
    assert_eq!(duo.rings("ann").pushes, 0);
}

#[test]
fn a_signature_in_upper_case_is_refused() {
    let (duo, keys) = start();
    let mut call = Call::get("/auth/v2/check").signed(&keys, DATE);
    let (_, value) = call.headers.iter_mut().find(|(name, _)| *name == "authorization").unwrap();
    let text = data_encoding::BASE64.decode(value.strip_prefix("Basic ").unwrap().as_bytes()).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (ikey, signature) = text.split_once(':').unwrap();
    *value = basic(ikey, &signature.to_uppercase());
    assert_eq!(call.answer(&duo).code(), 40103);
}
