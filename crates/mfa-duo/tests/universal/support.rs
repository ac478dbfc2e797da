//! A configuration, and tokens that this crate did not sign.

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use mfa_core::{ChallengeId, Timestamp};
use mfa_duo::universal::Universal;
use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
use serde_json::{Value, json};

pub(crate) const ID: &str = "DIXXXXXXXXXXXXXXXXXX";
pub(crate) const SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
pub(crate) const REDIRECT: &str = "https://www.example.com/duo";
pub(crate) const USER: &str = "ann";
pub(crate) const NONCE: &str = "abcdefghijklmnopqrstuvwxyzabcdef";
/// A second of the year 2023.
pub(crate) const NOW: u64 = 1_700_000_000;

pub(crate) fn duo() -> Universal {
    duo_with(ID, REDIRECT)
}

pub(crate) fn duo_with(client_id: &str, redirect_uri: &str) -> Universal {
    let (id, secret) = (IntegrationKey::parse(client_id).unwrap(), SecretKey::parse(SECRET).unwrap());
    let host = ApiHost::parse("api-xxxxxxxx.duosecurity.com").unwrap();
    Universal::new(id, secret, host, redirect_uri).unwrap()
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

pub(crate) fn now() -> Timestamp {
    at(NOW)
}

pub(crate) fn challenge(number: u8) -> ChallengeId {
    ChallengeId::from_random([number; 16])
}

/// The claims of a login that Duo allowed.
pub(crate) fn claims() -> Value {
    json!({
        "iss": "https://api-xxxxxxxx.duosecurity.com/oauth/v1/token",
        "sub": USER,
        "aud": ID,
        "exp": NOW + 300,
        "iat": NOW,
        "auth_time": NOW - 2,
        "preferred_username": USER,
        "nonce": NONCE,
        "auth_result": {"result": "allow", "status": "allow", "status_msg": "Login Successful"},
        "auth_context": {
            "txid": "3dfe9c1d-0f5f-4f1c-9d3e-3f1b4a0b0b0b",
            "event_type": "authentication",
            "factor": "duo_push",
            "result": "success",
            "reason": "user_approved",
            "user": {"key": "DU0123456789", "name": USER, "groups": []},
        },
    })
}

pub(crate) fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = claims();
    change(&mut claims);
    claims
}

pub(crate) fn sign(claims: &Value) -> String {
    sign_with(&json!({"alg": "HS512", "typ": "JWT"}), claims, SECRET)
}

pub(crate) fn sign_with(header: &Value, claims: &Value, secret: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(header), part(claims));
    format!("{signed}.{}", mac::<Hmac<sha2::Sha512>>(&signed, secret))
}

pub(crate) fn mac<M: Mac + KeyInit>(signed: &str, secret: &str) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    BASE64URL_NOPAD.encode(&mac.finalize().into_bytes())
}
