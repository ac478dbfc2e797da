//! Replies of Duo's: what is a success, and which error is which.

use http::Response;
use mfa_duo::universal::{OAuthErrorKind, Universal};
use mfa_duo::{ApiErrorClass, Error};
use proptest::prelude::*;
use serde_json::{Value, json};

fn reply(status: u16, body: impl Into<Vec<u8>>) -> Response<Vec<u8>> {
    Response::builder().status(status).body(body.into()).unwrap()
}

fn token() -> Value {
    json!({"id_token": "a.b.c", "access_token": "x", "expires_in": 3600, "token_type": "Bearer"})
}

#[test]
fn a_token_reply_has_all_four_members() {
    assert_eq!(Universal::token_response(&reply(200, token().to_string())).unwrap().expose_secret(), "a.b.c");
    let mut more = token();
    more["saml_response"] = json!("x");
    more["token_type"] = json!("bearer");
    assert!(Universal::token_response(&reply(200, more.to_string())).is_ok());
    for (name, value) in [
        ("id_token", Value::Null),
        ("id_token", json!("")),
        ("id_token", json!(["a.b.c"])),
        ("access_token", Value::Null),
        ("expires_in", Value::Null),
        ("expires_in", json!("3600")),
        ("token_type", Value::Null),
        ("token_type", json!("mac")),
    ] {
        let mut body = token();
        body[name] = value;
        let error = Universal::token_response(&reply(200, body.to_string())).unwrap_err();
        assert_eq!(error.code(), "malformed_reply", "{body}");
    }
    // The body of a success with the status of something else.
    for status in [201, 204, 302, 400, 500] {
        let error = Universal::token_response(&reply(status, token().to_string())).unwrap_err();
        assert_eq!(error, Error::HttpStatus { status });
    }
}

#[test]
fn an_error_of_duos_is_told_by_its_name() {
    for (status, error, kind) in [
        (400, "invalid_grant", OAuthErrorKind::InvalidGrant),
        (400, "invalid_client", OAuthErrorKind::InvalidClient),
        (503, "temporarily_unavailable", OAuthErrorKind::TemporarilyUnavailable),
        (200, "access_denied", OAuthErrorKind::AccessDenied),
        (400, "other", OAuthErrorKind::Other),
        (400, "Invalid_Grant", OAuthErrorKind::Other),
    ] {
        let body = json!({"error": error, "error_description": "why"}).to_string();
        let Error::OAuth(told) = Universal::token_response(&reply(status, body)).unwrap_err() else {
            panic!()
        };
        assert_eq!((told.kind(), told.http_status(), told.error()), (kind, Some(status), error));
        assert_eq!(told.description(), Some("why"));
    }
    let long = json!({"error": "x".repeat(9_999), "error_description": "\u{1b}[2J".repeat(999)}).to_string();
    let Error::OAuth(told) = Universal::token_response(&reply(400, long)).unwrap_err() else { panic!() };
    assert_eq!(told.error().len(), 256);
    assert!(told.description().unwrap().chars().all(|char| !char.is_control()));
}

#[test]
fn a_health_check_says_what_is_wrong() {
    let check = |status, body: &str| Universal::health_check_response(&reply(status, body));
    let ok = r#"{"stat": "OK", "response": {"timestamp": 1573068322}}"#;
    assert_eq!(check(200, ok).unwrap().unix_seconds(), 1_573_068_322);
    assert_eq!(check(500, ok).unwrap_err(), Error::HttpStatus { status: 500 });
    for body in [
        "",
        "[]",
        "{}",
        r#"{"stat": "OK"}"#,
        r#"{"stat": "OK", "response": {"timestamp": "1"}}"#,
        r#"{"response": {"timestamp": 1}}"#,
    ] {
        assert_eq!(check(200, body).unwrap_err().code(), "malformed_reply", "{body}");
        assert_eq!(check(502, body).unwrap_err(), Error::HttpStatus { status: 502 }, "{body}");
    }
    // As the documentation shows it.
    let fail = r#"{"stat": "FAIL", "code": 40002, "message": "invalid_client", "message_detail": "The provided client_assertion was invalid.", "timestamp": 1}"#;
    let Error::Api(error) = check(400, fail).unwrap_err() else { panic!() };
    assert_eq!((error.code(), error.message()), (40002, "invalid_client"));
    let Error::Api(error) =
        check(429, r#"{"stat": "FAIL", "code": "", "message": "Too Many Requests"}"#).unwrap_err()
    else {
        panic!()
    };
    assert_eq!((error.code(), error.class()), (0, ApiErrorClass::RateLimited));
    let Error::OAuth(error) = check(400, r#"{"error": "invalid_client"}"#).unwrap_err() else { panic!() };
    assert_eq!((error.kind(), error.description()), (OAuthErrorKind::InvalidClient, None));
}

#[test]
fn a_body_beyond_a_mebibyte_is_not_read() {
    let mut body = token().to_string();
    body.extend(core::iter::repeat_n(' ', 1024 * 1024 - body.len()));
    assert!(Universal::token_response(&reply(200, body.clone())).is_ok());
    body.push(' ');
    assert_eq!(Universal::token_response(&reply(200, body)).unwrap_err().code(), "malformed_reply");
}

proptest! {
    #[test]
    fn no_reply_panics_and_none_by_chance_is_a_success(status in 200u16..600, body: Vec<u8>) {
        prop_assert!(Universal::token_response(&reply(status, body.clone())).is_err());
        prop_assert!(Universal::health_check_response(&reply(status, body)).is_err());
    }

    #[test]
    fn no_json_panics(status in 200u16..600, stat in ".{0,5}", code: Option<i64>, error: Option<String>, time: f64) {
        let body = json!({
            "stat": stat, "code": code, "error": error, "response": {"timestamp": time}, "id_token": error,
            "access_token": stat, "expires_in": code, "token_type": stat,
        });
        let _ = Universal::token_response(&reply(status, body.to_string()));
        let _ = Universal::health_check_response(&reply(status, body.to_string()));
    }
}
