//! Devices over several processes: a token turns once, a copy of it ends the device, a new password ends the trust.

use std::thread;

use serde_json::{Value, json};

use super::cluster::{CODE_NEXT, NOW, begin, enrol_bob, file};
use super::process::{Shim, open_request};

fn open(store: &str) -> Shim {
    let mut shim = Shim::start();
    let mut request = open_request(store, NOW);
    request["policy"] = json!({ "trust": true });
    shim.ok(request);
    shim
}

/// Enrols bob and trusts his device. Returns its token; the process is a step later than `NOW` then.
fn trust(shim: &mut Shim) -> Value {
    enrol_bob(shim);
    shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let reference = begin(shim, Some("s1"));
    let verified = shim.ok(json!({ "op": "login.verify", "challenge": reference,
        "response": { "code": CODE_NEXT }, "trust_device": "a laptop" }));
    assert_eq!(verified["grant"]["device"]["state"], "trusted", "{verified}");
    verified["grant"]["device_token"].clone()
}

fn from(token: &Value) -> Value {
    json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth", "device_token": token })
}

#[test]
fn of_four_processes_that_show_one_token_one_gets_the_next_and_all_are_let_in() {
    let file = file();
    let mut owner = open(&file.store);
    let token = trust(&mut owner);
    let mut racers: Vec<_> = (0..4).map(|_| open(&file.store)).collect();
    racers.iter_mut().for_each(|racer| drop(racer.ok(json!({ "op": "clock.advance", "seconds": 31 }))));
    let races = racers.into_iter().map(|mut racer| {
        let request = from(&token);
        thread::spawn(move || racer.ok(request))
    });
    let races: Vec<_> = races.collect();
    let answers: Vec<_> = races.into_iter().map(|race| race.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer["reason"] == "trusted_device"), "{answers:?}");
    let next: Vec<_> = answers.iter().filter_map(|answer| answer.get("device_token")).collect();
    assert_eq!(next.len(), 1, "{answers:?}");

    // Past ten seconds, and what clocks may differ, the first value is a copy, and neither is good any more.
    owner.ok(json!({ "op": "clock.advance", "seconds": 41 }));
    for token in [&token, next[0]] {
        assert_eq!(owner.ok(from(token))["outcome"], "challenge");
    }
    let listed = owner.ok(json!({ "op": "device.list", "account": "acme", "user": "bob" }));
    assert_eq!(listed["devices"], json!([]));
    let events = owner.ok(json!({ "op": "audit.events", "account": "acme", "user": "bob" }));
    let reused = events["events"].as_array().unwrap().iter().filter(|event| event["kind"] == "device_reused");
    assert_eq!(reused.count(), 1, "{events}");
}

#[test]
fn another_password_or_another_person_of_the_id_has_no_trusted_device() {
    for change in [json!({ "password_epoch": 1 }), json!({ "generation": "2" })] {
        let mut shim = open("memory");
        let token = trust(&mut shim);
        let mut put = json!({ "op": "user.put", "account": "acme", "user": "bob" });
        put.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        shim.ok(put);
        let begun = shim.ok(from(&token));
        assert_ne!(begun["outcome"], "not_required", "{change}: {begun}");
    }
}

#[test]
fn a_device_is_kept_for_a_right_answer_alone_and_a_refusal_does_not_keep_the_user_out() {
    let mut shim = Shim::open("memory", NOW);
    enrol_bob(&mut shim);
    shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let reference = begin(&mut shim, Some("s1"));
    let mut verify = json!({ "op": "login.verify", "challenge": reference, "response": { "code": "000000" },
        "trust_device": "a laptop" });
    let rejected = shim.ok(verify.clone());
    assert_eq!((&rejected["outcome"], rejected.get("device_token")), (&json!("rejected"), None));
    verify["response"]["code"] = json!(CODE_NEXT);
    verify["remember_device"] = json!("a laptop");
    assert_eq!(shim.error(verify.clone()), ("bad_request".to_owned(), "trust_device".to_owned()));
    // The policy of this process trusts nothing.
    verify["remember_device"] = Value::Null;
    let grant = shim.ok(verify)["grant"].take();
    assert_eq!((&grant["device_refused"], grant.get("device_token")), (&json!("policy_forbids"), None));
    let listed = shim.ok(json!({ "op": "device.list", "account": "acme", "user": "bob" }));
    assert_eq!(listed["devices"], json!([]));
}
