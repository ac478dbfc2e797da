//! Every check of an id token, and no token that passes without Duo's signature.

use data_encoding::{BASE64URL, BASE64URL_NOPAD};
use hmac::Hmac;
use mfa_duo::universal::{Claims, IdTokenError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::{ID, NONCE, NOW, SECRET, USER, claims, duo, mac, now, sign, sign_with, with};

fn verify(token: &str) -> Result<Claims, IdTokenError> {
    duo().verify_id_token(token, USER, Some(NONCE), now())
}

fn code(token: &str) -> &'static str {
    verify(token).map_or_else(|error| error.code(), |_| "accepted")
}

fn code_of(change: impl FnOnce(&mut Value)) -> &'static str {
    code(&sign(&with(change)))
}

#[test]
fn a_login_that_duo_allowed_is_accepted_with_what_duo_says_of_it() {
    let claims = verify(&sign(&claims())).unwrap();
    assert_eq!(claims.username, USER);
    assert_eq!((claims.issued_at, claims.expires_at.unix_seconds()), (now(), NOW + 300));
    assert_eq!(claims.auth_time.unwrap().unix_seconds(), NOW - 2);
    let texts = [
        &claims.result,
        &claims.status,
        &claims.event_type,
        &claims.factor,
        &claims.context_result,
        &claims.reason,
    ];
    let expected = ["allow", "allow", "authentication", "duo_push", "success", "user_approved"];
    assert_eq!(texts.map(|text| text.as_deref().unwrap()), expected);
    assert_eq!(claims.txid.as_deref(), Some("3dfe9c1d-0f5f-4f1c-9d3e-3f1b4a0b0b0b"));
}

#[test]
fn what_is_unknown_absent_or_of_another_type_does_not_matter_where_nothing_is_decided_by_it() {
    let changes: [(&str, Value); 8] = [
        ("/new", json!({"deep": [1, 2]})),
        ("/auth_context", Value::Null),
        ("/auth_context", json!("text")),
        ("/auth_context/factor", json!(7)),
        ("/auth_context/factor", json!("x".repeat(257))),
        ("/auth_context/factor", json!("duo\npush")),
        ("/auth_context/factor", json!("")),
        ("/auth_time", json!("yesterday")),
    ];
    for (at, value) in changes {
        let changed = with(|claims| {
            claims["new"] = Value::Null;
            *claims.pointer_mut(at).unwrap() = value;
        });
        let claims = verify(&sign(&changed)).unwrap();
        let factor = claims.factor.as_deref();
        assert!(factor.is_none() || factor == Some("duo_push"), "{claims:?}");
    }
}

#[test]
fn a_result_other_than_allow_is_denied_with_duos_reason() {
    for result in [
        json!("deny"),
        json!("ALLOW"),
        json!("allowed"),
        json!(""),
        json!(true),
        json!(["allow"]),
        Value::Null,
    ] {
        assert_eq!(
            code_of(|claims| claims["auth_result"]["result"] = result.clone()),
            "id_token_denied",
            "{result}"
        );
    }
    assert_eq!(code_of(|claims| claims["auth_result"] = json!("allow")), "id_token_denied");
    assert_eq!(
        code_of(|claims| drop(claims.as_object_mut().unwrap().remove("auth_result"))),
        "id_token_denied"
    );

    let fraud = with(|claims| {
        claims["auth_result"] = json!({"result": "deny", "status": "fraud"});
        claims["auth_context"]["reason"] = json!("user_marked_fraud");
    });
    let IdTokenError::Denied(claims) = verify(&sign(&fraud)).unwrap_err() else { panic!("another error") };
    assert_eq!(
        (claims.status.as_deref(), claims.reason.as_deref()),
        (Some("fraud"), Some("user_marked_fraud"))
    );
}

#[test]
fn only_hs512_is_taken_whatever_the_signature() {
    let header = |alg: Value| json!({"alg": alg, "typ": "JWT"});
    for alg in [
        json!("none"),
        json!("None"),
        json!("HS256"),
        json!("HS384"),
        json!("hs512"),
        json!("RS512"),
        Value::Null,
        json!(512),
    ] {
        assert_eq!(code(&sign_with(&header(alg.clone()), &claims(), SECRET)), "id_token_algorithm", "{alg}");
    }
    assert_eq!(code(&sign_with(&json!({"typ": "JWT"}), &claims(), SECRET)), "id_token_algorithm");
    // Signed as the header says, and with no signature at all.
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header(json!("HS256"))), part(&claims()));
    assert_eq!(
        code(&format!("{signed}.{}", mac::<Hmac<sha2::Sha256>>(&signed, SECRET))),
        "id_token_algorithm"
    );
    let unsigned = format!("{}.{}.", part(&header(json!("none"))), part(&claims()));
    assert_eq!(code(&unsigned), "id_token_algorithm");
    let lying = format!("{}.{}.", part(&header(json!("HS512"))), part(&claims()));
    assert_eq!(code(&lying), "id_token_signature");
}

#[test]
fn a_header_with_something_that_must_be_understood_is_refused() {
    for (header, expected) in [
        (json!({"alg": "HS512"}), "accepted"),
        (json!({"alg": "HS512", "typ": "jwt", "kid": "1"}), "accepted"),
        (json!({"alg": "HS512", "crit": ["b64"], "b64": false}), "id_token_malformed"),
        (json!({"alg": "HS512", "typ": "JWE"}), "id_token_malformed"),
        (json!({"alg": "HS512", "typ": 1}), "id_token_malformed"),
    ] {
        assert_eq!(code(&sign_with(&header, &claims(), SECRET)), expected, "{header}");
    }
}

#[test]
fn a_token_of_another_form_is_malformed() {
    let token = sign(&claims());
    let parts: Vec<_> = token.split('.').collect();
    let (head, signature) = token.rsplit_once('.').unwrap();
    let padded = BASE64URL.encode(&BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap());
    for malformed in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        head.to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{}", parts[2]),
        format!("{head}.{padded}"),
        format!("{head}. {signature}"),
        format!("{token}\n"),
        format!("{}+/.{}.{}", parts[0], parts[1], parts[2]),
        sign(&json!("text")),
        sign(&with(|claims| claims["long"] = json!("x".repeat(16 * 1024)))),
    ] {
        assert_eq!(code(&malformed), "id_token_malformed", "{malformed:.40}");
    }
    // 64 bytes end in 86 digits, of which the last carries two bits: the other fifteen spellings are not ours.
    let last = signature.chars().last().unwrap();
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = |digit: &char| *digit != last;
    for digit in digits.chars().filter(other) {
        let changed = format!("{}{digit}", &token[..token.len() - 1]);
        assert_ne!(code(&changed), "accepted", "{digit}");
    }
}

#[test]
fn a_signature_by_another_key_is_refused() {
    let header = json!({"alg": "HS512", "typ": "JWT"});
    for secret in ["", "deadbeefdeadbeefdeadbeefdeadbeefdeadbeee", ID] {
        assert_eq!(code(&sign_with(&header, &claims(), secret)), "id_token_signature");
    }
}

#[test]
fn times_have_a_leeway_of_a_minute_and_no_more() {
    for (claim, value, expected) in [
        // Expired iff exp <= now - 60.
        ("exp", json!(NOW - 60), "id_token_expired"),
        ("exp", json!(NOW - 59), "accepted"),
        ("exp", json!(1_699_999_940.0), "id_token_expired"),
        // Fractions are left out first, as PyJWT does, which Duo's Python package reads tokens with.
        ("exp", json!(1_699_999_940.999), "id_token_expired"),
        ("exp", json!(1_699_999_941.001), "accepted"),
        ("exp", json!(0), "id_token_expired"),
        ("exp", json!(253_402_300_799_u64), "accepted"),
        // Not yet valid iff iat > now + 60; nbf likewise.
        ("iat", json!(NOW + 60), "accepted"),
        ("iat", json!(NOW + 61), "id_token_not_yet_valid"),
        ("iat", json!(1_700_000_060.0), "accepted"),
        ("iat", json!(1_700_000_060.999), "accepted"),
        ("iat", json!(1_700_000_061.0), "id_token_not_yet_valid"),
        ("iat", json!(1.5e9), "accepted"),
        ("nbf", json!(NOW + 60), "accepted"),
        ("nbf", json!(NOW + 61), "id_token_not_yet_valid"),
    ] {
        assert_eq!(code_of(|claims| claims[claim] = value.clone()), expected, "{claim} {value}");
    }
    for claim in ["exp", "iat"] {
        for value in [
            json!("1700000000"),
            json!(-1),
            json!(-0.5),
            json!(1e300),
            json!(u64::MAX),
            json!(true),
            Value::Null,
            json!([NOW]),
        ] {
            assert_eq!(
                code_of(|claims| claims[claim] = value.clone()),
                "id_token_malformed",
                "{claim} {value}"
            );
        }
        assert_eq!(
            code_of(|claims| drop(claims.as_object_mut().unwrap().remove(claim))),
            "id_token_malformed"
        );
    }
}

#[test]
fn a_token_for_another_client_or_of_another_issuer_is_refused() {
    for (audience, expected) in [
        (json!([ID]), "accepted"),
        (json!([]), "id_token_audience"),
        (json!([ID, ID]), "id_token_audience"),
        (json!([ID, "DIYYYYYYYYYYYYYYYYYY"]), "id_token_audience"),
        (json!([[ID]]), "id_token_audience"),
        (json!("DIXXXXXXXXXXXXXXXXXx"), "id_token_audience"),
        (json!(""), "id_token_audience"),
        (Value::Null, "id_token_audience"),
    ] {
        assert_eq!(code_of(|claims| claims["aud"] = audience.clone()), expected, "{audience}");
    }
    for issuer in [
        "https://api-xxxxxxxx.duosecurity.com/oauth/v1/token/",
        "https://api-xxxxxxxx.duosecurity.com",
        "http://api-xxxxxxxx.duosecurity.com/oauth/v1/token",
        "https://api-yyyyyyyy.duosecurity.com/oauth/v1/token",
        "",
    ] {
        assert_eq!(code_of(|claims| claims["iss"] = json!(issuer)), "id_token_issuer", "{issuer}");
    }
}

#[test]
fn s19_a_token_for_another_user_or_another_login_is_refused() {
    for user in ["Ann", "ann ", "anne", "", "an\u{0}n"] {
        assert_eq!(
            code_of(|claims| claims["preferred_username"] = json!(user)),
            "id_token_username",
            "{user}"
        );
    }
    // `sub` is not the name that was asked for.
    assert_eq!(
        code_of(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username"))),
        "id_token_username"
    );
    for nonce in ["", "Abcdefghijklmnopqrstuvwxyzabcdef", "abcdefghijklmnopqrstuvwxyzabcde"] {
        assert_eq!(code_of(|claims| claims["nonce"] = json!(nonce)), "id_token_nonce", "{nonce}");
    }
    assert_eq!(code_of(|claims| drop(claims.as_object_mut().unwrap().remove("nonce"))), "id_token_nonce");
    // Where the request had none, any will do.
    assert!(duo().verify_id_token(&sign(&claims()), USER, None, now()).is_ok());
}

proptest! {
    #[test]
    fn no_text_is_accepted_and_none_panics(token in ".{0,200}") {
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn no_changed_token_is_accepted(at: proptest::sample::Index, to in "[A-Za-z0-9_.=-]") {
        let token = sign(&claims());
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &to);
        prop_assert!(changed == token || verify(&changed).is_err(), "{} -> {}", at, to);
    }

    #[test]
    fn a_signed_token_of_any_content_does_not_panic(header in json_object(), claims in json_object()) {
        let _ = verify(&sign_with(&header, &claims, SECRET));
        prop_assert!(verify(&sign(&claims)).is_err());
    }
}

fn json_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,10}".prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::btree_map(name(), inner, 0..3).prop_map(|map| json!(map)),
        ]
    });
    prop::collection::btree_map(name(), value, 0..6).prop_map(|map| json!(map))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "alg",
            "typ",
            "exp",
            "iat",
            "nbf",
            "aud",
            "iss",
            "nonce",
            "auth_result",
            "result"
        ])
        .prop_map(str::to_owned),
        "[a-z]{1,5}",
    ]
}
