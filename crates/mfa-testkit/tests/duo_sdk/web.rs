//! Web SDK version 2, by `duo_web`.

use core::time::Duration;

use mfa_testkit::duo::{Reaction, User};
use serde_json::{Value, json};

use crate::python::{is_missing, now};
use crate::{phone, start};

#[test]
fn the_frame_of_web_sdk_2_answers_what_the_package_verifies() {
    if is_missing() {
        return;
    }
    let (duo, integration, mut python) = start();
    duo.add_user(User::new("ann: ünï").device(phone()));
    duo.add_user(User::new("dan").device(phone()).reaction(Reaction::Deny));
    let mut ask = |call: &str, arg: &str| python.ok(&json!({ "api": "web", "call": call, "args": [arg] }));
    let request = ask("sign_request", "ann: ünï");
    let request = request.as_str().unwrap();
    assert_eq!(ask("verify_response", &duo.web_prompt(request)), "ann: ünï");
    assert_eq!(duo.rings("ann: ünï").prompts, 1);

    let enrol = ask("sign_enroll_request", "someone new");
    let posted = duo.web_prompt(enrol.as_str().unwrap());
    assert_eq!(ask("verify_enroll_response", &posted), "someone new");
    assert_eq!(ask("verify_response", &posted), Value::Null);

    let denied = ask("sign_request", "dan");
    assert!(duo.web_prompt(denied.as_str().unwrap()).starts_with("ERR|Access denied.:APP|"));

    // A cookie that a test had made: right, for another user, expired.
    let app = request.split_once(':').unwrap().1;
    let (soon, past) = (now().plus(Duration::from_secs(60)), now());
    for (user, expires, verified) in
        [("ann: ünï", soon, true), ("bob", soon, false), ("ann: ünï", past, false)]
    {
        let posted = format!("{}:{app}", integration.web_cookie("AUTH", user, expires));
        assert_eq!(ask("verify_response", &posted).is_string(), verified, "{user}");
    }
    let hour_later = now().plus(Duration::from_secs(3600));
    duo.set_now(hour_later);
    assert!(duo.web_prompt(request).starts_with("ERR|Login request has expired.:APP|"));
}
