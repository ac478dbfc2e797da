//! JSON Web Tokens with HMAC-SHA-512 (RFC 7515, RFC 7519).

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha512;

/// Writes a token whose header names `algorithm`; without a key it has no signature.
pub(super) fn encode(algorithm: &str, key: Option<&str>, claims: &Value) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT" });
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = key.map(|key| BASE64URL_NOPAD.encode(&mac(key, &signed))).unwrap_or_default();
    format!("{signed}.{signature}")
}

/// Returns the claims of a token that `key` signed, whose header says HS512 and nothing else.
pub(super) fn decode(token: &str, key: &str) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let header = part(signed.split_once('.')?.0)?;
    let is_right = BASE64URL_NOPAD.decode(signature.as_bytes()).is_ok_and(|given| given == mac(key, signed));
    (is_right && header.get("alg")? == "HS512").then(|| peek(token))?
}

/// Returns the claims of a token without looking at its signature.
pub(super) fn peek(token: &str) -> Option<Value> {
    part(token.split('.').nth(1)?)
}

fn part(text: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64URL_NOPAD.decode(text.as_bytes()).ok()?).ok()
}

fn mac(key: &str, text: &str) -> Vec<u8> {
    // HMAC takes a key of any length (RFC 2104 §2).
    let mac = <Hmac<Sha512> as KeyInit>::new_from_slice(key.as_bytes());
    mac.map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec()).unwrap_or_default()
}
