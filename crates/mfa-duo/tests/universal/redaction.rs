//! Codes, states, nonces, assertions and keys show nowhere.

use core::fmt::Debug;

use mfa_duo::Error;
use mfa_duo::universal::{Arrival, Callback, OAuthError, Universal};
use serde_json::json;

use crate::support::{NONCE, SECRET, USER, at, challenge, claims, duo, now, sign, with};

const CODE: &str = "S3CR3TC0DE";

fn hidden(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
}

fn shown(value: &impl Debug) -> String {
    format!("{value:?} {value:#?}")
}

#[test]
fn s34_no_debug_shows_a_secret() {
    let duo = duo();
    let (url, pending) = duo.begin(USER, challenge(1), at(u32::MAX.into()), &[0xab; 64], now()).unwrap();
    let state = pending.expose_state().to_owned();
    // State and nonce are the same digits here.
    let secrets = [CODE, SECRET, &state, "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9"];
    let callback = Callback::with_code(&state, CODE).unwrap();
    let foreign = Callback::with_code(&"0".repeat(16), CODE).unwrap();
    for text in [shown(&duo), shown(&url), shown(&pending), shown(&callback)] {
        hidden(&text, &secrets);
    }
    let arrival = pending.accept(&duo, foreign, challenge(1), now());
    hidden(&shown(&arrival), &secrets);
    let Arrival::Foreign(pending) = arrival else { panic!() };
    let arrival = pending.accept(&duo, callback, challenge(1), now());
    hidden(&shown(&arrival), &secrets);
    let Arrival::Code(code, exchange) = arrival else { panic!() };
    hidden(&shown(&code), &secrets);
    hidden(&shown(&exchange), &secrets);
    // The request's URL carries nothing.
    let request = duo.token_request(&code, &[7; 18], now());
    hidden(&format!("{:?} {:?}", request.uri(), request.headers()), &secrets);
}

fn told(error: &Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?} {}", error.code());
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        text = format!("{text} {cause} {cause:?}");
        next = cause.source();
    }
    text
}

#[test]
fn s34_no_error_shows_what_was_given() {
    let duo = duo();
    let secrets = [CODE, SECRET, NONCE, USER];
    let state = format!("{CODE}{NONCE}");
    let mut errors = vec![
        Callback::parse(&format!("state={CODE}&duo_code={CODE}")).unwrap_err(),
        Callback::parse(&format!("state={state}&duo_code={CODE}&duo_code={NONCE}")).unwrap_err(),
        Callback::parse(&format!("state={state}&duo_code={CODE}%20{NONCE}")).unwrap_err(),
        Callback::parse(&format!("state={state}&error={CODE}&duo_code={NONCE}")).unwrap_err(),
        Callback::parse(&format!("state={state}&duo_code=%{CODE}")).unwrap_err(),
        duo.create_auth_url("\n", &state, None, now()).unwrap_err(),
        duo.create_auth_url(USER, CODE, None, now()).unwrap_err(),
        duo.create_auth_url(USER, &state, Some(CODE), now()).unwrap_err(),
    ];
    for body in [
        json!({"error": CODE, "error_description": NONCE}),
        json!({"stat": "FAIL", "message": CODE, "message_detail": NONCE}),
        json!({"id_token": CODE, "access_token": NONCE}),
    ] {
        let reply = http::Response::builder().status(200).body(body.to_string().into_bytes()).unwrap();
        errors.push(Universal::token_response(&reply).unwrap_err());
        errors.push(Universal::health_check_response(&reply).unwrap_err());
    }
    for claims in [
        with(|claims| claims["preferred_username"] = json!(CODE)),
        with(|claims| claims["nonce"] = json!(CODE)),
        with(|claims| claims["aud"] = json!(CODE)),
        with(|claims| claims["iss"] = json!(CODE)),
        with(|claims| claims["auth_result"]["result"] = json!("deny")),
    ] {
        errors.push(duo.verify_id_token(&sign(&claims), USER, Some(NONCE), now()).unwrap_err().into());
    }
    errors.push(duo.verify_id_token(CODE, USER, Some(NONCE), now()).unwrap_err().into());
    for error in &errors {
        hidden(&told(error), &secrets);
    }
    // Claims that were accepted show how and not who.
    let claims = duo.verify_id_token(&sign(&claims()), USER, Some(NONCE), now()).unwrap();
    hidden(&shown(&claims), &[USER, NONCE, "3dfe9c1d"]);
}

#[test]
fn s34_an_error_of_the_browsers_shows_its_kind_alone() {
    let (_, pending) = duo().begin(USER, challenge(1), at(u32::MAX.into()), &[1; 64], now()).unwrap();
    let back = Callback::with_error(pending.expose_state(), CODE, Some(NONCE)).unwrap();
    hidden(&shown(&back), &[CODE, NONCE]);
    let Arrival::Refused(error) = pending.accept(&duo(), back, challenge(1), now()) else { panic!() };
    let text = |error: &OAuthError| format!("{error} {error:?}");
    hidden(&text(&error), &[CODE, NONCE]);
    assert_eq!(error.error(), CODE);
}
