//! Requests of Web SDK version 2 that the frame does not open.

use mfa_testkit::duo::Integration;

use crate::{NOW, at, start};

/// What an application sends: one cookie that Duo reads, and one that only the application can read.
fn request(keys: &Integration, prefix: &str, expires: u64) -> String {
    format!("{}:APP|YXBw|00", keys.web_cookie(prefix, "ann", at(expires)))
}

#[test]
fn a_request_is_opened_until_it_expires() {
    let (duo, keys) = start();
    let posted = duo.web_prompt(&request(&keys, "TX", NOW + 1));
    // Five minutes from now on.
    assert_eq!(posted, request(&keys, "AUTH", NOW + 300));
    let posted = duo.web_prompt(&request(&keys, "TX", NOW));
    assert_eq!(posted, "ERR|Login request has expired.:APP|YXBw|00");
    assert_eq!(duo.rings("ann").prompts, 1);
}

#[test]
fn a_request_that_is_not_one_is_refused() {
    let (duo, keys) = start();
    let good = request(&keys, "TX", NOW + 300);
    let mut forged = duo.integration();
    forged.ikey.clone_from(&keys.ikey);
    let cases = [
        good.replace("TX|", "ENROLL_REQUEST|"),
        request(&keys, "AUTH", NOW + 300),
        request(&forged, "TX", NOW + 300),
        good.replacen('|', "", 1),
        "::".to_owned(),
        "||:".to_owned(),
    ];
    for case in cases {
        let posted = duo.web_prompt(&case);
        assert!(posted.starts_with("ERR|The request could not be verified."), "{case}: {posted}");
    }
    assert!(duo.web_prompt("").starts_with("ERR|"));
    assert_eq!(duo.rings("ann").prompts, 0);
    assert!(duo.web_prompt(&good).starts_with("AUTH|"));
}
