//! The Universal Prompt, by `duo_universal`.

use mfa_testkit::duo::{Credentials, Reaction, Status, TokenFault, User};
use serde_json::{Value, json};
use url::Url;

use crate::python::{Python, is_missing, now};
use crate::{phone, start};

const NONCE: &str = "a nonce of more than sixteen characters";
const STATE: &str = "a state of more than sixteen characters";

/// Goes through the prompt and returns the parameters that come back to the application.
fn come_back(python: &mut Python, user: &str, nonce: Option<&str>, is_duo_code: bool) -> Url {
    let args: Vec<_> = [Some(user), Some(STATE), nonce].into_iter().flatten().collect();
    let url = python.ok(&json!({
        "api": "universal", "call": "create_auth_url", "args": args, "use_duo_code_attribute": is_duo_code,
    }));
    let shown = python.ok(&json!({ "api": "fetch", "url": url }));
    assert_eq!(shown["status"], 302, "{shown}");
    let back = Url::parse(shown["location"].as_str().unwrap()).unwrap();
    assert!(back.as_str().starts_with("https://login.example/callback?from=duo&"), "{back}");
    assert_eq!(param(&back, "state").as_deref(), Some(STATE));
    back
}

fn param(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

fn exchange(code: &str, user: &str, nonce: Option<&str>) -> Value {
    let args: Vec<_> = [Some(code), Some(user), nonce].into_iter().flatten().collect();
    json!({ "api": "universal", "call": "exchange_authorization_code_for_2fa_result", "args": args })
}

#[test]
fn the_universal_prompt_lets_in_whoever_approves() {
    if is_missing() {
        return;
    }
    let (duo, integration, mut python) = start();
    duo.add_user(User::new("ann@exämple").device(phone()));
    let health = python.ok(&json!({ "api": "universal", "call": "health_check" }));
    assert_eq!(health["stat"], "OK");
    assert!(health["response"]["timestamp"].is_u64());
    for (nonce, is_duo_code) in [(Some(NONCE), true), (None, true), (None, false)] {
        let back = come_back(&mut python, "ann@exämple", nonce, is_duo_code);
        let code = param(&back, if is_duo_code { "duo_code" } else { "code" }).unwrap();
        let claims = python.ok(&exchange(&code, "ann@exämple", nonce));
        assert_eq!(claims["preferred_username"], "ann@exämple");
        assert_eq!(claims["aud"], integration.ikey);
        assert_eq!(claims.get("nonce").and_then(Value::as_str), nonce);
        assert_eq!(claims["auth_result"]["result"], "allow");
        assert_eq!(claims["auth_context"]["reason"], "user_approved");
        // The code was good once.
        let error = python.error(&exchange(&code, "ann@exämple", nonce));
        assert!(error.contains("invalid_grant"), "{error}");
    }
    assert_eq!(duo.rings("ann@exämple").prompts, 3);
    let seen = duo.requests();
    assert!(seen.iter().all(|seen| seen.credentials == Credentials::Jwt), "{seen:?}");
}

#[test]
fn the_universal_prompt_refuses_as_duo_does() {
    if is_missing() {
        return;
    }
    let (duo, integration, mut python) = start();
    duo.add_user(User::new("ann").device(phone()));
    duo.add_user(User::new("dan").device(phone()).reaction(Reaction::Deny));
    duo.add_user(User::new("bea").status(Status::Bypass));
    let back = come_back(&mut python, "dan", Some(NONCE), true);
    assert_eq!((param(&back, "error").as_deref(), param(&back, "duo_code")), (Some("access_denied"), None));

    let mut code = |user: &str| param(&come_back(&mut python, user, Some(NONCE), true), "duo_code").unwrap();
    let codes = [code("ann"), code("ann"), code("bea")];
    assert_eq!(
        python.error(&exchange(&codes[0], "ann", Some("another nonce than that"))),
        "The nonce is invalid."
    );
    assert_eq!(python.error(&exchange(&codes[1], "bob", Some(NONCE))), "The username is invalid.");
    let claims = python.ok(&exchange(&codes[2], "bea", Some(NONCE)));
    assert_eq!(claims["auth_context"]["reason"], "bypass_user");

    let mut other = duo.integration();
    other.ikey = integration.ikey;
    let mut stranger = Python::start(&duo, &other);
    let error = stranger.error(&json!({ "api": "universal", "call": "health_check" }));
    assert!(error.contains("The provided client_assertion was invalid."), "{error}");
    let error = stranger.error(&exchange("some code", "ann", None));
    assert!(error.contains("invalid_client"), "{error}");
}

#[test]
fn a_spoilt_id_token_is_what_the_package_says() {
    if is_missing() {
        return;
    }
    let (duo, _, mut python) = start();
    duo.add_user(User::new("ann").device(phone()));
    let claim = |pointer: &str, value: Value| TokenFault::Claim { pointer: pointer.to_owned(), value };
    let past = now().unix_seconds() - 120;
    let cases = [
        (claim("/iss", json!("https://elsewhere.example")), "Invalid issuer"),
        (claim("/aud", json!("DIYYYYYYYYYYYYYYYYYY")), "Audience doesn't match"),
        (claim("/exp", json!(past)), "Signature has expired"),
        (claim("/iat", json!(past + 1000)), "The token is not yet valid (iat)"),
        (claim("/nonce", json!("another nonce than that")), "The nonce is invalid."),
        (claim("/preferred_username", json!("bob")), "The username is invalid."),
        (TokenFault::Missing("exp".to_owned()), "Token is missing the \"exp\" claim"),
        (TokenFault::Unsigned, "The specified alg value is not allowed"),
        (TokenFault::Algorithm("HS256".to_owned()), "The specified alg value is not allowed"),
        (TokenFault::OtherKey, "Signature verification failed"),
    ];
    for (fault, message) in cases {
        let back = come_back(&mut python, "ann", Some(NONCE), true);
        duo.token_fault(fault.clone());
        let error = python.error(&exchange(&param(&back, "duo_code").unwrap(), "ann", Some(NONCE)));
        assert!(error.contains(message), "{fault:?}: {error}");
        duo.clear_faults();
    }
    // No official package looks at the result.
    let back = come_back(&mut python, "ann", Some(NONCE), true);
    duo.token_fault(claim("/auth_result/result", json!("deny")));
    let claims = python.ok(&exchange(&param(&back, "duo_code").unwrap(), "ann", Some(NONCE)));
    assert_eq!(claims["auth_result"]["result"], "deny");
}
