//! Logins with Duo through the shim. What Duo answers is scripted, put together by hand from its documentation; the
//! fake that behaves like Duo is in the testkit.

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::Sha512;

use super::process::{Shim, open_request};

const NOW: u64 = 1_700_000_010;
const ID: &str = "DIXXXXXXXXXXXXXXXXXX";
const SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const HOST: &str = "api-xxxxxxxx.duosecurity.com";
const TXID: &str = "45f7c92b-f45f-4862-8545-e0f58e78075a";

fn universal() -> Value {
    json!({ "client_id": ID, "client_secret": SECRET, "api_hostname": HOST, "redirect_uri": "https://acme.example/duo" })
}

fn auth_api() -> Value {
    json!({ "integration_key": ID, "secret_key": SECRET, "api_hostname": HOST })
}

/// Opens a store with Duo and the user bob, who is not given recovery codes.
fn open(settings: &Value, dangers: &[&str]) -> Shim {
    let mut shim = Shim::start();
    let mut open = open_request("memory", NOW);
    open["policy"] = json!({ "recovery": "none" });
    open["duo"] = json!({ "settings": settings });
    open["danger"] = json!(dangers);
    shim.ok(open);
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob" }));
    shim
}

fn script(shim: &mut Shim, replies: Value) {
    shim.ok(json!({ "op": "http.reply", "replies": replies }));
}

fn stat_ok(path: &str, response: Value) -> Value {
    json!({ "path": path, "body": { "stat": "OK", "response": response } })
}

fn health() -> Value {
    stat_ok("/oauth/v1/health_check", json!({ "timestamp": NOW }))
}

fn preauth() -> Value {
    let phone = json!({ "device": "DP1", "type": "phone", "number": "XXX-XXX-0100", "capabilities": ["auto", "push"] });
    stat_ok(
        "/auth/v2/preauth",
        json!({ "result": "auth", "status_msg": "Account is active", "devices": [phone] }),
    )
}

fn asked() -> Value {
    stat_ok("/auth/v2/auth", json!({ "txid": TXID }))
}

fn answered(result: &str, status: &str) -> Value {
    stat_ok("/auth/v2/auth_status", json!({ "result": result, "status": status, "status_msg": "" }))
}

fn enrol_begin(shim: &mut Shim, user: &str) -> Value {
    shim.ok(json!({ "op": "enrol.begin", "account": "acme", "user": user, "method": "duo" }))
}

fn enrol(shim: &mut Shim, enrolment: &Value, response: Value) -> Value {
    shim.ok(
        json!({ "op": "enrol.confirm", "account": "acme", "user": "bob", "enrolment": enrolment["enrolment"],
                    "response": response }),
    )
}

fn begin(shim: &mut Shim) -> Value {
    shim.ok(json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" }))
}

fn verify(shim: &mut Shim, challenge: &Value, response: Value) -> Value {
    shim.ok(json!({ "op": "login.verify", "challenge": challenge["ref"], "response": response }))
}

/// The claims of the request that the browser carries to Duo.
fn request_of(prompt: &Value) -> Value {
    let url = url::Url::parse(prompt["url"].as_str().unwrap()).unwrap();
    assert_eq!((url.host_str(), url.path()), (Some(HOST), "/oauth/v1/authorize"));
    let request = url.query_pairs().find(|(name, _)| name == "request").unwrap().1.into_owned();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(request.split('.').nth(1).unwrap().as_bytes()).unwrap())
        .unwrap()
}

/// What Duo answers to a code that was given out for `request`.
fn token(request: &Value) -> Value {
    let claims = json!({
        "iss": format!("https://{HOST}/oauth/v1/token"), "aud": ID, "sub": "bob", "iat": NOW, "exp": NOW + 300,
        "preferred_username": request["duo_uname"], "nonce": request["nonce"],
        "auth_result": { "result": "allow", "status": "allow", "status_msg": "Login Successful" },
        "auth_context": { "event_type": "authentication", "factor": "yubikey_code", "reason": "valid_passcode", "result": "success" },
    });
    let encode = |part: Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let signed = format!("{}.{}", encode(json!({ "alg": "HS512", "typ": "JWT" })), encode(claims));
    let mut mac = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(&mac.finalize().into_bytes()));
    json!({ "path": "/oauth/v1/token",
            "body": { "id_token": token, "access_token": "x", "expires_in": 300, "token_type": "Bearer" } })
}

/// Sets bob up with the Universal Prompt.
fn enrolled_universal(dangers: &[&str]) -> Shim {
    let mut shim = open(&universal(), dangers);
    script(&mut shim, json!([health()]));
    let started = enrol_begin(&mut shim, "bob");
    let request = request_of(&started["request"]);
    assert_eq!(request["duo_uname"], "acme/bob");
    script(&mut shim, json!([token(&request)]));
    let done =
        enrol(&mut shim, &started, json!({ "universal": { "state": request["state"], "code": "c0de" } }));
    assert_eq!(done["outcome"], "confirmed", "{done}");
    shim
}

#[test]
fn a_callback_of_the_universal_prompt_counts_once_and_only_with_its_own_state() {
    let mut shim = enrolled_universal(&[]);
    script(&mut shim, json!([health()]));
    let challenge = begin(&mut shim)["challenge"].take();
    let request = request_of(&challenge["request"]);
    let callback = |state: &Value| json!({ "universal": { "state": state, "code": "c0de&=%" } });

    let foreign = verify(&mut shim, &challenge, callback(&json!("0123456789abcdef")));
    assert_eq!((&foreign["outcome"], &foreign["reason"]), (&json!("rejected"), &json!("superseded")));
    script(&mut shim, json!([token(&request)]));
    shim.ok(json!({ "op": "http.take" }));
    let verified = verify(&mut shim, &challenge, callback(&request["state"]));
    assert_eq!(verified["outcome"], "verified", "{verified}");
    assert_eq!(verified["grant"]["amr"], json!(["mfa", "otp", "pwd"]));

    // The code went out once, in the body, as it came.
    let sent = shim.ok(json!({ "op": "http.take" }))["requests"].take();
    assert_eq!(sent.as_array().unwrap().len(), 1, "{sent}");
    assert_eq!((&sent[0]["path"], &sent[0]["query"]), (&json!("/oauth/v1/token"), &Value::Null));
    assert!(sent[0]["body"].as_str().unwrap().contains("code=c0de%26%3D%25&"), "{sent}");

    let again = verify(&mut shim, &challenge, callback(&request["state"]));
    assert_eq!(again["reason"], "already_used");
}

#[test]
fn an_error_in_the_callback_ends_the_prompt_and_resending_makes_a_new_one() {
    let mut shim = enrolled_universal(&[]);
    script(&mut shim, json!([health()]));
    let challenge = begin(&mut shim)["challenge"].take();
    let first = request_of(&challenge["request"])["state"].clone();
    shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let resent = shim.ok(json!({ "op": "login.resend", "challenge": challenge["ref"] }));
    assert_eq!(resent["outcome"], "done", "{resent}");
    let request = request_of(&resent["request"]);
    assert_ne!(request["state"], first);

    let old = verify(&mut shim, &challenge, json!({ "universal": { "state": first, "code": "c0de" } }));
    assert_eq!(old["reason"], "superseded");
    let error = json!({ "universal": { "state": request["state"], "error": "access_denied" } });
    assert_eq!(verify(&mut shim, &challenge, error)["reason"], "denied");
}

/// What the page posts after Duo has let `user` pass, for a request that was signed at `now`.
fn posted(prompt: &Value, user: &str, now: u64) -> Value {
    let request = prompt["duo_sig_request"].as_str().unwrap();
    let cookie = BASE64.encode(format!("acme/{user}|{ID}|{}", now + 300).as_bytes());
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(format!("AUTH|{cookie}").as_bytes());
    let (mac, app) = (HEXLOWER.encode(&mac.finalize().into_bytes()), request.split_once(':').unwrap().1);
    json!({ "duo": format!("AUTH|{cookie}|{mac}:{app}") })
}

#[test]
fn a_reply_of_the_web_sdk_is_good_for_its_user_its_request_and_once() {
    let mut settings = auth_api();
    settings["application_secret_key"] = json!("useacustomerprovidedapplicationsecretkey");
    let mut shim = open(&settings, &[]);
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "eve" }));
    let started = enrol_begin(&mut shim, "bob");
    let reply = posted(&started["request"], "bob", NOW);
    assert_eq!(enrol(&mut shim, &started, reply.clone())["outcome"], "confirmed");
    // Two requests of one second are the same request, so its reply was given already.
    let same = begin(&mut shim)["challenge"].take();
    assert_eq!(verify(&mut shim, &same, reply.clone())["reason"], "replayed");

    shim.ok(json!({ "op": "clock.advance", "seconds": 1 }));
    let of_eve = enrol_begin(&mut shim, "eve");
    let challenge = begin(&mut shim)["challenge"].take();
    for other in
        [reply, posted(&of_eve["request"], "eve", NOW + 1), posted(&of_eve["request"], "bob", NOW + 1)]
    {
        assert_eq!(verify(&mut shim, &challenge, other)["reason"], "superseded");
    }
    let right = posted(&challenge["request"], "bob", NOW + 1);
    assert_eq!(verify(&mut shim, &challenge, right)["outcome"], "verified");
}

#[test]
fn a_push_is_started_polled_and_answered_for_the_set_up_and_for_a_login() {
    let mut shim = open(&auth_api(), &[]);
    script(&mut shim, json!([preauth(), asked(), answered("waiting", "pushed"), answered("allow", "allow")]));
    let started = enrol_begin(&mut shim, "bob");
    assert_eq!(started["request"]["offers"][0]["factor"], "push", "{started}");
    let pushed = enrol(&mut shim, &started, json!({ "start": { "factor": "push", "device": "DP1" } }));
    assert_eq!((&pushed["outcome"], &pushed["request"]["status"]), (&json!("pending"), &json!("waiting")));
    assert_eq!(enrol(&mut shim, &started, json!({ "poll": true }))["outcome"], "pending");
    assert_eq!(enrol(&mut shim, &started, json!({ "poll": true }))["outcome"], "confirmed");

    script(&mut shim, json!([preauth(), asked(), answered("waiting", "pushed"), answered("deny", "deny")]));
    let challenge = begin(&mut shim)["challenge"].take();
    let other = verify(&mut shim, &challenge, json!({ "start": { "factor": "push", "device": "DP2" } }));
    assert_eq!(other["reason"], "method_not_offered");
    assert_eq!(verify(&mut shim, &challenge, json!({ "start": { "method": "duo" } }))["outcome"], "pending");
    assert_eq!(verify(&mut shim, &challenge, json!({ "poll": true }))["outcome"], "pending");
    assert_eq!(verify(&mut shim, &challenge, json!({ "poll": true }))["reason"], "denied");
}

#[test]
fn what_duo_lets_pass_by_itself_is_no_grant_and_needs_a_danger() {
    for (dangers, outcome, reason) in [
        (&[][..], "rejected", "denied"),
        (&["danger_accept_provider_bypass"], "not_required", "provider_bypass"),
    ] {
        let mut shim = open(&auth_api(), dangers);
        script(&mut shim, json!([preauth(), asked(), answered("allow", "allow")]));
        let started = enrol_begin(&mut shim, "bob");
        enrol(&mut shim, &started, json!({ "start": {} }));
        assert_eq!(enrol(&mut shim, &started, json!({ "poll": true }))["outcome"], "confirmed");

        script(&mut shim, json!([preauth(), asked(), answered("allow", "bypass")]));
        let challenge = begin(&mut shim)["challenge"].take();
        verify(&mut shim, &challenge, json!({ "start": {} }));
        let passed = verify(&mut shim, &challenge, json!({ "poll": true }));
        assert_eq!((&passed["outcome"], &passed["reason"]), (&json!(outcome), &json!(reason)), "{passed}");
        assert!(passed.get("grant").is_none());
    }
}

#[test]
fn while_duo_is_gone_users_are_let_in_only_under_a_danger_and_not_for_ever() {
    let mut closed = enrolled_universal(&[]);
    let gone = begin(&mut closed);
    assert_eq!(gone["outcome"], "denied", "{gone}");

    let mut open = enrolled_universal(&["danger_fail_open"]);
    for _ in 0..2 {
        let gone = begin(&mut open);
        assert_eq!(
            (&gone["outcome"], &gone["reason"]),
            (&json!("not_required"), &json!("bypassed_because_unavailable"))
        );
    }
    assert_eq!(begin(&mut open)["outcome"], "denied");
}

#[test]
fn settings_that_do_not_fit_and_a_script_that_cannot_be_read_are_named() {
    let mut shim = Shim::start();
    let with = |duo: Value| {
        let mut open = open_request("memory", NOW);
        open["duo"] = duo;
        open
    };
    let mut short = auth_api();
    short["secret_key"] = json!("short");
    let error = |code: &str, field: &str| (code.to_owned(), field.to_owned());
    assert_eq!(shim.error(with(json!({ "settings": short }))), error("invalid", "duo.settings.secret_key"));
    assert_eq!(shim.error(with(json!({}))), error("bad_request", "duo.settings"));
    let names = json!({ "settings": auth_api(), "names": "email" });
    assert_eq!(shim.error(with(names)), error("bad_request", "duo.names"));
    for (reply, field) in [
        (json!({ "body": {} }), "path"),
        (json!({ "path": "/auth/v2/ping" }), "body"),
        (json!({ "path": "/auth/v2/ping", "body": "", "status": 99 }), "status"),
        (json!({ "path": "/auth/v2/ping", "fault": "joke" }), "fault"),
    ] {
        let script = json!({ "settings": auth_api(), "replies": [reply] });
        assert_eq!(shim.error(with(script)), error("bad_request", &format!("replies.0.{field}")));
    }
}
