//! What the Universal Prompt refuses.

use mfa_testkit::duo::{Credentials, Device, FakeDuo, Integration, Reaction, User};
use serde_json::{Value, json};
use url::Url;

use crate::https::{Answer, Call, jwt};
use crate::{NOW, at, start};

const BACK: &str = "https://login.example/callback";
const STATE: &str = "0123456789abcdef";
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn assertion(duo: &FakeDuo, keys: &Integration, path: &str, jti: &str) -> Value {
    let aud = format!("https://{}{path}", duo.authority());
    json!({ "iss": keys.ikey, "sub": keys.ikey, "aud": aud, "exp": NOW + 300, "jti": jti })
}

fn health_check(duo: &FakeDuo, client: &str, assertion: &str) -> Answer {
    let fields = [("client_id", client), ("client_assertion", assertion)];
    Call::form("/oauth/v1/health_check", &fields).answer(duo)
}

#[test]
fn an_assertion_is_good_once() {
    let (duo, keys) = start();
    let token = jwt("HS512", &keys.skey, &assertion(&duo, &keys, "/oauth/v1/health_check", "one"));
    assert_eq!(health_check(&duo, &keys.ikey, &token).json()["response"]["timestamp"], NOW);
    let again = health_check(&duo, &keys.ikey, &token);
    assert_eq!((again.status, &again.json()["message"]), (400, &json!("invalid_client")));
    let credentials: Vec<_> = duo.requests().iter().map(|seen| seen.credentials).collect();
    assert_eq!(credentials, [Credentials::Jwt, Credentials::Refused]);
}

#[test]
fn an_assertion_must_be_right_in_every_claim() {
    let (duo, keys) = start();
    let other = duo.integration();
    let path = "/oauth/v1/health_check";
    let cases: [(&str, Value, bool); 13] = [
        ("iss", json!(other.ikey), false),
        ("sub", json!(other.ikey), false),
        ("aud", json!(format!("https://{}", duo.authority())), false),
        ("aud", json!(format!("https://{}/oauth/v1/token", duo.authority())), false),
        ("exp", Value::Null, false),
        ("exp", json!(NOW), false),
        ("exp", json!(NOW + 1), true),
        ("exp", json!(f64::from(u32::try_from(NOW).unwrap()) + 0.5), true),
        ("exp", json!(NOW + 361), false),
        ("exp", json!((NOW + 300).to_string()), true),
        ("jti", json!(""), false),
        ("jti", Value::Null, false),
        ("iat", json!(NOW), true),
    ];
    for (number, (name, value, is_right)) in cases.into_iter().enumerate() {
        let mut claims = assertion(&duo, &keys, path, &format!("jti {number}"));
        claims[name] = value.clone();
        let answer = health_check(&duo, &keys.ikey, &jwt("HS512", &keys.skey, &claims));
        assert_eq!(answer.status == 200, is_right, "{name}: {value}");
    }
    let claims = assertion(&duo, &keys, path, "last");
    let tokens = [
        jwt("HS256", &keys.skey, &claims),
        jwt("none", &keys.skey, &claims),
        jwt("HS512", &other.skey, &claims),
        "a.b.c".to_owned(),
        String::new(),
    ];
    for token in tokens {
        assert_eq!(health_check(&duo, &keys.ikey, &token).status, 400, "{token}");
    }
    assert_eq!(health_check(&duo, "nobody", &jwt("HS512", &keys.skey, &claims)).status, 400);
    assert_eq!(health_check(&duo, &keys.ikey, &jwt("HS512", &keys.skey, &claims)).status, 200);
}

fn request(duo: &FakeDuo, keys: &Integration) -> Value {
    json!({
        "scope": "openid", "redirect_uri": BACK, "client_id": keys.ikey, "iss": keys.ikey,
        "aud": format!("https://{}", duo.authority()), "exp": NOW + 300, "state": STATE, "response_type": "code",
        "duo_uname": "ann", "use_duo_code_attribute": true,
    })
}

fn authorize(duo: &FakeDuo, keys: &Integration, claims: &Value, more: &str) -> Answer {
    let token = jwt("HS512", &keys.skey, claims);
    let query = format!("response_type=code&client_id={}&request={token}{more}", keys.ikey);
    Call::get(format!("/oauth/v1/authorize?{query}")).answer(duo)
}

fn back(answer: &Answer, name: &str) -> Option<String> {
    let url = Url::parse(answer.header("location")?).unwrap();
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

#[test]
fn a_request_must_be_right_in_every_claim() {
    let (duo, keys) = start();
    let host = format!("https://{}", duo.authority());
    let cases: [(&str, Value, u16); 22] = [
        ("scope", json!("profile"), 400),
        ("redirect_uri", json!("callback"), 400),
        ("redirect_uri", Value::Null, 400),
        ("client_id", json!("DIXXXXXXXXXXXXXXXXXX"), 400),
        ("iss", json!("DIXXXXXXXXXXXXXXXXXX"), 400),
        ("aud", json!("https://elsewhere.example"), 400),
        ("aud", json!(format!("{host}/oauth/v1/authorize")), 302),
        ("exp", json!(NOW), 400),
        ("exp", json!(NOW + 361), 400),
        ("exp", json!((NOW + 300).to_string()), 302),
        ("state", json!("x".repeat(15)), 400),
        ("state", json!("x".repeat(1024)), 302),
        ("state", json!("x".repeat(1025)), 400),
        ("state", Value::Null, 400),
        ("nonce", json!("x".repeat(15)), 400),
        ("nonce", json!("x".repeat(16)), 302),
        ("nonce", json!("x".repeat(1024)), 302),
        ("nonce", json!("x".repeat(1025)), 400),
        ("response_type", json!("token"), 400),
        ("duo_uname", json!(""), 400),
        ("use_duo_code_attribute", json!("true"), 302),
        ("something_else", json!(1), 302),
    ];
    for (name, value, status) in cases {
        let mut claims = request(&duo, &keys);
        claims[name] = value.clone();
        assert_eq!(authorize(&duo, &keys, &claims, "").status, status, "{name}: {value}");
    }
    let mut stranger = duo.integration();
    stranger.ikey.clone_from(&keys.ikey);
    assert_eq!(authorize(&duo, &stranger, &request(&duo, &keys), "").status, 400);
    let target = format!(
        "/oauth/v1/authorize?response_type=code&client_id={}&request={}",
        keys.ikey,
        jwt("none", "", &request(&duo, &keys))
    );
    assert_eq!(Call::get(target).answer(&duo).status, 400);
}

/// Exchanges a code, with an assertion of its own each time.
fn exchange(duo: &FakeDuo, keys: &Integration, code: &str, redirect_uri: &str) -> Answer {
    let jti = format!("jti {}", duo.requests().len());
    let assertion = jwt("HS512", &keys.skey, &assertion(duo, keys, "/oauth/v1/token", &jti));
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", redirect_uri),
        ("client_id", &keys.ikey),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &assertion),
    ];
    Call::form("/oauth/v1/token", &fields).answer(duo)
}

#[test]
fn a_code_is_good_once_for_its_client_its_address_and_its_time() {
    let (duo, keys) = start();
    let code = || back(&authorize(&duo, &keys, &request(&duo, &keys), ""), "duo_code").unwrap();
    let refused = |answer: Answer| assert_eq!(answer.json()["error"], "invalid_grant", "{answer:?}");

    let good = code();
    refused(exchange(&duo, &duo.integration(), &good, BACK));
    let answer = exchange(&duo, &keys, &good, BACK);
    assert_eq!((answer.status, &answer.json()["token_type"]), (200, &json!("Bearer")));
    refused(exchange(&duo, &keys, &good, BACK));

    let misdirected = code();
    refused(exchange(&duo, &keys, &misdirected, "https://login.example/callback/"));
    // The wrong address used it up.
    refused(exchange(&duo, &keys, &misdirected, BACK));

    let late = code();
    duo.set_now(at(NOW + 299));
    assert_eq!(exchange(&duo, &keys, &code(), BACK).status, 200);
    duo.set_now(at(NOW + 300));
    let mut keys_of_now = assertion(&duo, &keys, "/oauth/v1/token", "late");
    keys_of_now["exp"] = json!(NOW + 500);
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &late),
        ("redirect_uri", BACK),
        ("client_id", &keys.ikey),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", &jwt("HS512", &keys.skey, &keys_of_now)),
    ];
    refused(Call::form("/oauth/v1/token", &fields).answer(&duo));
}

#[test]
fn a_nonce_in_the_query_wins() {
    let (duo, keys) = start();
    let mut claims = request(&duo, &keys);
    claims["nonce"] = json!("the nonce of the request");
    for (more, nonce) in
        [("", "the nonce of the request"), ("&nonce=the-nonce-of-the-query", "the-nonce-of-the-query")]
    {
        let code = back(&authorize(&duo, &keys, &claims, more), "duo_code").unwrap();
        let token = exchange(&duo, &keys, &code, BACK).json()["id_token"].as_str().unwrap().to_owned();
        let claims =
            data_encoding::BASE64URL_NOPAD.decode(token.split('.').nth(1).unwrap().as_bytes()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["nonce"], nonce);
    }
}

#[test]
fn a_prompt_waits_for_its_user() {
    let (duo, keys) = start();
    duo.add_user(User::new("ann").device(Device::phone("+15555550100")).reaction(Reaction::Wait));
    let shown = authorize(&duo, &keys, &request(&duo, &keys), "");
    assert_eq!((shown.status, shown.header("location")), (200, None));
    duo.set_reaction("ann", Reaction::Deny);
    let shown = authorize(&duo, &keys, &request(&duo, &keys), "");
    assert_eq!(back(&shown, "error").as_deref(), Some("access_denied"));
    assert_eq!((back(&shown, "state").as_deref(), back(&shown, "duo_code")), (Some(STATE), None));
}
