//! The vectors of the Universal Prompt: Duo's own SDKs' test data, and values computed by hand.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "the helpers of tests are outside of the functions that clippy knows as tests"
)]

use data_encoding::BASE64URL_NOPAD;
use http::Response;
use mfa_core::Timestamp;
use mfa_duo::universal::{AuthorizationCode, IdTokenError, Universal};
use mfa_duo::{ApiHost, Error, IntegrationKey, SecretKey};
use serde_json::{Map, Value, json};

const VECTORS: &str = include_str!("vectors/duo.json");
const ID: &str = "DIXXXXXXXXXXXXXXXXXX";
const SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const HOST: &str = "api-XXXXXXX.test.duosecurity.com";
const REDIRECT: &str = "https://www.example.com";

/// Runs `check` on the inputs and the expectation of every vector of `op`.
fn each(op: &str, count: usize, check: impl Fn(&str, &Value, &Value)) {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let of_op: Vec<_> = vectors.iter().filter(|vector| vector["inputs"]["op"] == op).collect();
    assert_eq!(of_op.len(), count, "{op}");
    for vector in of_op {
        check(vector["name"].as_str().unwrap(), &vector["inputs"], &vector["expected"]);
    }
}

fn text<'a>(inputs: &'a Value, name: &str, default: &'a str) -> &'a str {
    inputs.get(name).map_or(default, |value| value.as_str().unwrap())
}

/// Puts the configuration of a vector together; what it leaves out is that of the others.
fn universal(inputs: &Value) -> Result<Universal, Error> {
    Universal::new(
        IntegrationKey::parse(text(inputs, "client_id", ID))?,
        SecretKey::parse(text(inputs, "client_secret", SECRET))?,
        ApiHost::parse(text(inputs, "api_host", HOST))?,
        text(inputs, "redirect_uri", REDIRECT),
    )
}

fn now(inputs: &Value) -> Timestamp {
    Timestamp::from_unix_seconds(inputs["now"].as_u64().unwrap()).unwrap()
}

/// Returns the field that an error names, by the vectors' names.
fn field(error: &Error) -> &'static str {
    match error {
        Error::IntegrationKey => "client_id",
        Error::SecretKey => "client_secret",
        Error::ApiHost { .. } => "api_host",
        Error::Parameter { name, .. } => name,
        other => panic!("{other:?}"),
    }
}

fn claims(jwt: &str) -> Map<String, Value> {
    let parts: Vec<_> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3);
    let part = |index: usize| -> Value {
        serde_json::from_slice(&BASE64URL_NOPAD.decode(parts[index].as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"alg": "HS512", "typ": "JWT"}));
    part(1).as_object().unwrap().clone()
}

fn form(body: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(body).map(|(name, value)| (name.into_owned(), json!(value))).collect()
}

fn reply(inputs: &Value) -> Response<Vec<u8>> {
    let status = u16::try_from(inputs["http_status"].as_u64().unwrap()).unwrap();
    Response::builder().status(status).body(inputs["body"].as_str().unwrap().into()).unwrap()
}

#[test]
fn a_configuration_that_breaks_a_rule_names_the_field() {
    each("universal_config", 3, |name, inputs, expected| {
        assert_eq!(field(&universal(inputs).unwrap_err()), expected["error"], "{name}");
    });
}

#[test]
fn an_input_of_the_url_that_breaks_a_rule_is_named() {
    each("validate_auth_url_inputs", 4, |name, inputs, expected| {
        let duo = universal(inputs).unwrap();
        let (user, state) = (text(inputs, "username", ""), text(inputs, "state", ""));
        let error = duo.create_auth_url(user, state, inputs["nonce"].as_str(), Timestamp::MIN).unwrap_err();
        assert_eq!(field(&error), expected["error"], "{name}");
    });
}

#[test]
fn the_url_has_the_official_claims_and_signature() {
    each("create_auth_url", 1, |name, inputs, expected| {
        let (user, state) = (text(inputs, "username", ""), text(inputs, "state", ""));
        let url = universal(inputs).unwrap().create_auth_url(user, state, None, now(inputs)).unwrap();
        // Our members stand in the order of the vector's example, so that even the bytes are equal.
        assert_eq!(url.expose_secret(), expected["example_url"], "{name}");

        let (endpoint, query) = url.expose_secret().split_once('?').unwrap();
        assert_eq!(endpoint, expected["endpoint"]);
        let mut query = form(query.as_bytes());
        let request = query.remove("request").unwrap();
        assert_eq!(Value::from(query), expected["query"]);
        assert_eq!(Value::from(claims(request.as_str().unwrap())), expected["request_jwt_claims"]);
    });
}

#[test]
fn an_assertion_has_the_official_claims() {
    each("client_assertion", 1, |name, inputs, expected| {
        let duo = universal(inputs).unwrap();
        let code = AuthorizationCode::parse("code").unwrap();
        let token = duo.token_request(&code, &[0xde; 18], now(inputs));
        let mut claims = claims(form(token.body())["client_assertion"].as_str().unwrap());
        // The vector fixes it; ours is drawn.
        assert_eq!(claims.insert("jti".into(), expected["jti"].clone()), Some(json!("de".repeat(18))));
        assert_eq!(&Value::from(claims), expected, "{name}");
    });
}

#[test]
fn a_health_check_goes_to_its_endpoint_and_says_what_duo_answered() {
    each("health_check_response", 2, |name, inputs, expected| {
        match Universal::health_check_response(&reply(inputs)) {
            Ok(time) => {
                assert_eq!(expected["error"], Value::Null, "{name}");
                assert_eq!(time.unix_seconds(), 1_573_068_322);
            }
            Err(Error::Api(error)) => {
                let official = format!("{}: {}", error.message(), error.detail().unwrap());
                assert_eq!(official, expected["error"], "{name}");
            }
            Err(error) => panic!("{name}: {error:?}"),
        }
    });
    let request = universal(&json!({})).unwrap().health_check_request(&[1; 18], Timestamp::MIN);
    assert_eq!(request.method(), "POST");
    assert_eq!(request.uri().to_string(), format!("https://{HOST}/oauth/v1/health_check"));
    let form = form(request.body());
    assert_eq!((&form["client_id"], form.len()), (&json!(ID), 2));
    let claims = claims(form["client_assertion"].as_str().unwrap());
    assert_eq!(claims["aud"], format!("https://{HOST}/oauth/v1/health_check"));
}

#[test]
fn a_code_is_exchanged_in_the_body_and_never_in_the_url() {
    each("token_request", 1, |name, inputs, expected| {
        let code = AuthorizationCode::parse(text(inputs, "code", "")).unwrap();
        let request = universal(inputs).unwrap().token_request(&code, &[2; 18], Timestamp::MIN);
        assert_eq!(request.method(), expected["method"].as_str().unwrap(), "{name}");
        assert_eq!(request.uri().to_string(), expected["url"].as_str().unwrap());
        assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
        let mut form = form(request.body());
        let assertion = form.remove("client_assertion").unwrap();
        assert_eq!(Value::from(form), expected["form"]);
        let keys: Vec<_> = claims(assertion.as_str().unwrap()).keys().cloned().collect();
        assert_eq!(keys, ["aud", "exp", "iss", "jti", "sub"]);
    });
}

#[test]
fn a_token_reply_that_is_none_says_why() {
    each("token_response", 2, |name, inputs, expected| {
        let error = match Universal::token_response(&reply(inputs)).unwrap_err() {
            Error::OAuth(error) => error.error().to_owned(),
            Error::MalformedReply { .. } => "malformed".to_owned(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(error, expected["error"], "{name}");
    });
}

#[test]
fn an_id_token_is_judged_as_the_official_sdks_do() {
    each("verify_id_token", 10, |name, inputs, expected| {
        let duo = universal(inputs).unwrap();
        let (token, user) = (text(inputs, "id_token", ""), text(inputs, "username", ""));
        let judged = duo.verify_id_token(token, user, inputs["nonce"].as_str(), now(inputs));
        let error = judged.as_ref().err().map(IdTokenError::code);
        let error = error.and_then(|code| code.strip_prefix("id_token_"));
        assert_eq!(json!(error), expected["error"], "{name}");
        assert_eq!(inputs["leeway"], 60, "ours is fixed");
    });
}
