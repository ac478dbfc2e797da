//! Witness: Duo's official Python packages find in the fake what they find in Duo.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "all of it is test code; the helpers stand outside the test functions"
)]

#[path = "duo_sdk/python.rs"]
mod python;
#[path = "duo_sdk/universal.rs"]
mod universal;
#[path = "duo_sdk/web.rs"]
mod web;

use std::thread;

use mfa_testkit::duo::{Credentials, Device, FakeDuo, Integration, NewUsers, Reaction, Rings, Status, User};
use python::{Python, is_missing, now};
use serde_json::{Value, json};

/// Everything that a call can be signed with.
const SIGNATURES: [(u8, &str, Credentials); 4] = [
    (2, "sha1", Credentials::V2Sha1),
    (2, "sha512", Credentials::V2Sha512),
    (4, "sha512", Credentials::V4),
    (5, "sha512", Credentials::V5),
];

fn start() -> (FakeDuo, Integration, Python) {
    let duo = FakeDuo::start(now());
    let integration = duo.integration();
    let python = Python::start(&duo, &integration);
    (duo, integration, python)
}

fn phone() -> Device {
    Device::phone("+15555550100")
}

fn auth(call: &str, args: Value) -> Value {
    json!({ "api": "auth", "call": call, "args": args })
}

#[test]
fn every_call_passes_with_every_signature() {
    if is_missing() {
        return;
    }
    for (sig_version, digest, credentials) in SIGNATURES {
        let (duo, integration, mut python) = start();
        // A name that every step of the encoding has something to do with.
        let name = "ünï cøde+&=%~*@漢";
        let token = Device::token("0").passcodes(["111111", "222222"]);
        let user = User::new(name).device(phone()).device(token.clone()).bypass_code("999999999");
        duo.add_user(user.clone());
        let mut ask = |call: &str, args: Value| {
            let mut request = auth(call, args);
            request["sig_version"] = sig_version.into();
            request["digest"] = digest.into();
            python.ok(&request)
        };
        let time = ask("ping", json!({}))["time"].take();
        assert_eq!(time, duo.requests()[0].at.unix_seconds());
        assert!(ask("check", json!({}))["time"].is_u64());
        duo.set_logo(*b"\x89PNG\r\n");
        assert_eq!(ask("logo", json!({})), "89504e470d0a");

        let enrolled =
            ask("enroll", json!({ "username": "new & fresh", "valid_secs": 600, "bypass_codes": 2 }));
        assert_eq!(enrolled["username"], "new & fresh");
        assert_eq!(enrolled["bypass_codes"].as_array().unwrap().len(), 2);
        assert!(enrolled["activation_barcode"].as_str().unwrap().starts_with("https://"));
        let of_code =
            json!({ "user_id": enrolled["user_id"], "activation_code": enrolled["activation_code"] });
        assert_eq!(ask("enroll_status", of_code.clone()), "waiting");
        assert!(duo.activate("new & fresh"));
        assert_eq!(ask("enroll_status", of_code), "success");

        let found = ask("preauth", json!({ "username": name, "ipaddr": "192.0.2.1" }));
        assert_eq!(found["result"], "auth");
        let devices = &found["devices"];
        assert_eq!(devices[0]["number"], "XXX-XXX-0100");
        assert_eq!(devices[0]["capabilities"], json!(["auto", "push", "sms", "phone", "mobile_otp"]));
        assert_eq!(devices[1], json!({ "device": token.id(), "type": "token", "name": "0" }));
        let push = json!({
            "factor": "push", "user_id": user.id(), "device": devices[0]["device"], "type": "Log in", "display_username": name,
            "pushinfo": "from=login%20portal&domain=example.com&what=a%26b",
        });
        for factor in [
            push,
            json!({ "factor": "auto", "username": name, "device": "auto" }),
            json!({ "factor": "phone", "username": name, "device": "auto" }),
            json!({ "factor": "passcode", "username": name, "passcode": "111111" }),
            json!({ "factor": "passcode", "username": name, "passcode": "999999999" }),
        ] {
            let answer = ask("auth", factor);
            assert_eq!(
                (&answer["result"], &answer["status"]),
                (&json!("allow"), &json!("allow")),
                "{answer}"
            );
        }
        let started =
            ask("auth", json!({ "factor": "push", "username": name, "device": "auto", "async_txn": true }));
        let of_transaction = json!({ "txid": started["txid"] });
        let first = ask("auth_status", of_transaction.clone());
        assert_eq!((&first["waiting"], &first["status"]), (&json!(true), &json!("pushed")));
        for _ in 0..2 {
            let last = ask("auth_status", of_transaction.clone());
            assert_eq!((&last["success"], &last["status"]), (&json!(true), &json!("allow")));
        }
        assert_eq!(rings(&duo, name), (3, 0, 1));
        for seen in duo.requests().iter().filter(|seen| seen.path != "/auth/v2/ping") {
            assert_eq!((seen.status, seen.credentials), (Some(200), credentials), "{seen:?}");
            assert_eq!(seen.integration.as_ref(), Some(&integration.ikey));
        }
        let seen = duo.requests();
        let push = seen.iter().find(|seen| seen.params.contains_key("pushinfo")).unwrap();
        assert_eq!(push.user.as_deref(), Some(name));
        assert_eq!(push.params["pushinfo"], "from=login%20portal&domain=example.com&what=a%26b");
    }
}

fn rings(duo: &FakeDuo, user: &str) -> (u32, u32, u32) {
    let Rings { pushes, sms, calls, .. } = duo.rings(user);
    (pushes, sms, calls)
}

#[test]
fn what_the_user_does_is_what_comes_back() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    let cases = [
        ("dan", Reaction::Deny, "deny", ["pushed", "calling"]),
        ("fay", Reaction::ReportFraud, "fraud", ["pushed", "calling"]),
        ("tim", Reaction::TimeOut, "timeout", ["pushed", "calling"]),
    ];
    for (name, reaction, status, firsts) in cases {
        duo.add_user(User::new(name).device(phone()).reaction(reaction));
        for (factor, first) in ["push", "phone"].into_iter().zip(firsts) {
            let args = json!({ "factor": factor, "username": name, "device": "auto" });
            let answer = python.ok(&auth("auth", args.clone()));
            assert_eq!((&answer["result"], &answer["status"]), (&json!("deny"), &json!(status)), "{answer}");

            let mut args = args;
            args["async_txn"] = true.into();
            let started = python.ok(&auth("auth", args));
            let mut statuses = Vec::new();
            loop {
                let answer = python.ok(&auth("auth_status", json!({ "txid": started["txid"] })));
                statuses.push(answer["status"].clone());
                if answer["waiting"] == false {
                    assert_eq!(answer["success"], false);
                    break;
                }
            }
            assert_eq!((statuses.first(), statuses.last()), (Some(&json!(first)), Some(&json!(status))));
        }
    }
}

#[test]
fn a_poll_waits_for_the_user() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    duo.add_user(User::new("wes").device(phone()).reaction(Reaction::Wait));
    let started = python.ok(&auth(
        "auth",
        json!({ "factor": "push", "username": "wes", "device": "auto", "async_txn": true }),
    ));
    let poll = auth("auth_status", json!({ "txid": started["txid"] }));
    assert_eq!(python.ok(&poll)["status"], "pushed");
    let answer = thread::scope(|scope| {
        let waiting = scope.spawn(|| python.ok(&poll));
        assert_eq!(duo.wait_for_requests(3)[2].status, None);
        assert_eq!(duo.react("wes", Reaction::Approve), 1);
        waiting.join().unwrap()
    });
    assert_eq!(answer["success"], true);
}

#[test]
fn messages_bring_passcodes_that_are_good_once() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    duo.add_user(User::new("sue").device(phone()));
    let sent = python.ok(&auth("auth", json!({ "factor": "sms", "username": "sue", "device": "auto" })));
    assert_eq!((&sent["result"], &sent["status"]), (&json!("deny"), &json!("sent")));
    assert_eq!(duo.rings("sue").sms, 1);
    let codes = duo.sms_codes("sue");
    assert_eq!(codes.len(), 10);
    let found = python.ok(&auth("preauth", json!({ "username": "sue" })));
    assert_eq!(found["devices"][0]["sms_nextcode"], codes[0][..1]);
    let with_code = auth("auth", json!({ "factor": "passcode", "username": "sue", "passcode": codes[0] }));
    assert_eq!(python.ok(&with_code)["result"], "allow");
    assert_eq!(python.ok(&with_code)["status"], "deny");
}

#[test]
fn preauth_tells_users_apart() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    for (name, status) in [("bea", Status::Bypass), ("lou", Status::LockedOut), ("dis", Status::Disabled)] {
        duo.add_user(User::new(name).device(phone()).status(status));
    }
    duo.add_user(User::new("unenrolled"));
    let mut result = |name: &str| python.ok(&auth("preauth", json!({ "username": name })))["result"].take();
    assert_eq!(["bea", "lou", "dis"].map(&mut result), ["allow", "deny", "deny"]);
    assert_eq!(["unenrolled", "unknown"].map(&mut result), ["enroll", "enroll"]);
    duo.set_new_users(NewUsers::Allow);
    assert_eq!(["unenrolled", "unknown", "lou"].map(&mut result), ["allow", "allow", "deny"]);
    duo.set_new_users(NewUsers::Deny);
    assert_eq!(["unenrolled", "unknown", "bea"].map(&mut result), ["deny", "deny", "allow"]);

    let mut push = |name: &str| {
        python.ok(&auth("auth", json!({ "factor": "push", "username": name, "device": "auto" })))
    };
    let (bea, lou) = (push("bea"), push("lou"));
    assert_eq!((&bea["result"], &bea["status"]), (&json!("allow"), &json!("bypass")));
    assert_eq!((&lou["result"], &lou["status"]), (&json!("deny"), &json!("locked_out")));
    assert_eq!((duo.rings("bea").pushes, duo.rings("lou").pushes), (0, 0));
}

#[test]
fn a_verified_push_shows_a_code_to_clients_that_know_of_it() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    duo.add_user(User::new("vic").device(phone()).verified_push());
    let found =
        python.ok(&auth("preauth", json!({ "username": "vic", "client_supports_verified_push": "1" })));
    let code = found["verification_code"].as_str().unwrap();
    let push = json!({ "factor": "push", "username": "vic", "device": "auto", "txid": found["txid"], "async_txn": true });
    let started = python.ok(&auth("auth", push.clone()));
    let first = python.ok(&auth("auth_status", json!({ "txid": started["txid"] })));
    assert!(first["status_msg"].as_str().unwrap().contains(code), "{first}");
    // The transaction of `preauth` is good once.
    assert!(python.error(&auth("auth", push)).contains("(txid)"));
    // One who does not say so gets a push without it.
    let found = python.ok(&auth("preauth", json!({ "username": "vic" })));
    assert_eq!((&found["result"], found.get("txid")), (&json!("auth"), None));
    let plain = json!({ "factor": "push", "username": "vic", "device": "auto" });
    assert_eq!(python.ok(&auth("auth", plain))["result"], "allow");
}

#[test]
fn a_remembered_device_needs_no_second_factor() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    duo.add_user(User::new("rae").device(phone()).remembered_devices());
    duo.add_user(User::new("bob").device(phone()));
    let token = python.ok(&auth("auth", json!({ "factor": "push", "username": "rae", "device": "auto" })));
    let token = &token["trusted_device_token"];
    let mut with_token =
        |name: &str| python.ok(&auth("preauth", json!({ "username": name, "trusted_device_token": token })));
    assert_eq!(with_token("rae")["result"], "allow");
    assert_eq!(with_token("bob")["result"], "auth");
}

#[test]
fn refusals_are_what_the_package_makes_of_duos() {
    if is_missing() {
        return;
    }
    let (duo, integration, mut python) = start();
    duo.add_user(User::new("ann").device(phone()));
    let missing = json!({ "factor": "push", "username": "ann" });
    let error = python.error(&auth("auth", missing));
    assert_eq!(error, "Received 400 Missing required request parameters (device)");
    let error = python.error(&auth("preauth", json!({ "username": "ann", "ipaddr": "here" })));
    assert_eq!(error, "Received 400 Invalid request parameters (ipaddr)");
    assert_eq!(python.error(&auth("logo", json!({}))), "Received 400 Logo not found");

    let mut other = duo.integration();
    other.ikey = integration.ikey;
    let mut stranger = Python::start(&duo, &other);
    for (sig_version, digest, _) in SIGNATURES {
        let request = json!({ "api": "auth", "call": "check", "sig_version": sig_version, "digest": digest });
        let answer = stranger.ask(&request);
        assert_eq!(answer["body"]["code"], 40103, "{answer}");
    }
    other.ikey = "DIXXXXXXXXXXXXXXXXXX".to_owned();
    let mut nobody = Python::start(&duo, &other);
    assert_eq!(nobody.ask(&auth("check", json!({})))["body"]["code"], 40102);
}
