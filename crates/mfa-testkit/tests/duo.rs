//! What the fake of Duo refuses, and what its script of faults does.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is test code; the helpers stand outside the test functions"
)]

#[path = "duo/faults.rs"]
mod faults;
#[path = "duo/https.rs"]
mod https;
#[path = "duo/signatures.rs"]
mod signatures;
#[path = "duo/universal.rs"]
mod universal;
#[path = "duo/verified_push.rs"]
mod verified_push;
#[path = "duo/waiting.rs"]
mod waiting;
#[path = "duo/web.rs"]
mod web;

use audit_model::Timestamp;
use https::{Answer, Call};
use mfa_testkit::duo::{Device, FakeDuo, Integration, User};
use serde_json::{Value, json};

/// 2025-09-09 12:00:00 UTC.
const NOW: u64 = 1_757_419_200;
/// The same, as Duo's Python client writes it.
const DATE: &str = "Tue, 09 Sep 2025 12:00:00 -0000";

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn start() -> (FakeDuo, Integration) {
    let duo = FakeDuo::start(at(NOW));
    let keys = duo.integration();
    duo.add_user(User::new("ann").device(Device::phone("+15555550100")));
    (duo, keys)
}

fn push(user: &str) -> Value {
    json!({ "factor": "push", "username": user, "device": "auto" })
}

/// Makes a signed call of the Auth API and expects an answer.
fn post(duo: &FakeDuo, keys: &Integration, name: &str, body: &Value) -> Answer {
    Call::json(&format!("/auth/v2/{name}"), body).signed(keys, DATE).answer(duo)
}

#[test]
fn wrong_parameters_are_named() {
    let (duo, keys) = start();
    let id = "DUXXXXXXXXXXXXXXXXXX";
    let long = format!("a={}", "b".repeat(20_000 - 2));
    let cases = [
        ("preauth", json!({}), 40001, "username"),
        ("preauth", json!({ "username": "" }), 40002, "username"),
        ("preauth", json!({ "username": "ann", "user_id": id }), 40002, "user_id"),
        ("preauth", json!({ "user_id": id }), 40002, "user_id"),
        ("preauth", json!({ "username": "ann", "ipaddr": "1.2.3" }), 40002, "ipaddr"),
        ("auth", json!({ "username": "ann" }), 40001, "factor"),
        ("auth", json!({ "username": "ann", "factor": "thought" }), 40002, "factor"),
        ("auth", json!({ "username": "ann", "factor": "push" }), 40001, "device"),
        ("auth", json!({ "username": "ann", "factor": "push", "device": "DPX" }), 40002, "device"),
        (
            "auth",
            json!({ "username": "ann", "factor": "push", "device": "auto", "async": "2" }),
            40002,
            "async",
        ),
        (
            "auth",
            json!({ "username": "ann", "factor": "push", "device": "auto", "txid": "x" }),
            40002,
            "txid",
        ),
        (
            "auth",
            json!({ "username": "ann", "factor": "push", "device": "auto", "pushinfo": "x" }),
            40002,
            "pushinfo",
        ),
        (
            "auth",
            json!({ "username": "ann", "factor": "push", "device": "auto", "pushinfo": long }),
            40002,
            "pushinfo",
        ),
        ("auth", json!({ "username": "ann", "factor": "passcode" }), 40001, "passcode"),
        (
            "auth",
            json!({ "username": "ann", "factor": "passcode", "passcode": "1", "device": "auto" }),
            40002,
            "device",
        ),
        (
            "auth",
            json!({ "username": "tom", "factor": "push", "device": "auto" }),
            40002,
            "no capable device",
        ),
        ("auth", push("nobody"), 40002, "username"),
        ("enroll", json!({ "username": "ann" }), 40002, "username"),
        ("enroll", json!({ "valid_secs": "soon" }), 40002, "valid_secs"),
        ("enroll_status", json!({ "user_id": id }), 40001, "activation_code"),
        ("enroll_status", json!({ "user_id": id, "activation_code": "x" }), 40002, "user_id"),
    ];
    duo.add_user(User::new("tom").device(Device::token("0").passcodes(["1"])));
    for (name, body, code, detail) in cases {
        let answer = post(&duo, &keys, name, &body);
        let read = answer.json();
        assert_eq!((answer.status, &read["stat"]), (400, &json!("FAIL")), "{name} {body}");
        assert_eq!((&read["code"], &read["message_detail"]), (&json!(code), &json!(detail)), "{name} {body}");
    }
    assert_eq!(duo.rings("ann").pushes, 0);
    // What nobody knows is passed over, and a `pushinfo` of one byte less is not too long.
    let mut body = push("ann");
    body["pushinfo"] = long[..19_999].into();
    body["colour"] = "blue".into();
    assert_eq!(post(&duo, &keys, "auth", &body).json()["response"]["result"], "allow");
    assert_eq!(duo.rings("ann").pushes, 1);
}

#[test]
fn unknown_calls_are_not_found() {
    let (duo, keys) = start();
    assert_eq!(post(&duo, &keys, "nothing", &json!({})).code(), 40401);
    assert_eq!(post(&duo, &keys, "ping", &json!({})).code(), 40501);
    assert_eq!(Call::get("/").answer(&duo).status, 404);
    assert_eq!(Call::get("/oauth/v1/token").answer(&duo).status, 405);
}

#[test]
fn an_activation_code_ends_when_it_is_said_to() {
    let (duo, keys) = start();
    let given = post(&duo, &keys, "enroll", &json!({ "username": "new", "valid_secs": "60" })).json();
    let given = &given["response"];
    assert_eq!(given["expiration"], NOW + 60);
    let body = json!({ "user_id": given["user_id"], "activation_code": given["activation_code"] });
    duo.set_now(at(NOW + 59));
    assert_eq!(post(&duo, &keys, "enroll_status", &body).json()["response"], "waiting");
    duo.set_now(at(NOW + 60));
    assert_eq!(post(&duo, &keys, "enroll_status", &body).json()["response"], "invalid");
    assert!(!duo.activate("new"));
}

#[test]
fn transactions_belong_to_their_integration() {
    let (duo, keys) = start();
    let mut body = push("ann");
    body["async"] = "1".into();
    let txid = post(&duo, &keys, "auth", &body).json()["response"]["txid"].take();
    let poll = |keys: &Integration| {
        let target = format!("/auth/v2/auth_status?txid={}", txid.as_str().unwrap());
        Call::get(target).signed(keys, DATE).answer(&duo)
    };
    assert_eq!(poll(&duo.integration()).json()["message_detail"], "txid");
    assert_eq!(poll(&keys).json()["response"]["status"], "pushed");
}
