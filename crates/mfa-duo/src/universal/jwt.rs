//! JSON Web Tokens (RFC 7519) in the one form that Duo uses: compact (RFC 7515 §7.1), signed with HS512
//! (RFC 7518 §3.2).

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde::Serialize;
use serde_json::{Map, Value};
use sha2::Sha512;
use zeroize::Zeroizing;

use super::IdTokenError;
use crate::SecretKey;

/// `{"alg":"HS512","typ":"JWT"}` in base64url.
const HEADER: &str = "eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9";
/// HMAC-SHA-512 in base64url, and the two dots.
const SIGNATURE_BYTES: usize = 86;
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Appends a token to `out`.
#[expect(
    clippy::expect_used,
    reason = "claims are structs of texts and numbers, which JSON can always express"
)]
pub(super) fn sign_into(out: &mut String, key: &SecretKey, claims: &impl Serialize) {
    let json = Zeroizing::new(serde_json::to_vec(claims).expect("plain claims"));
    let start = out.len();
    let encoded = BASE64URL_NOPAD.encode_len(json.len());
    out.reserve(encoded.saturating_add(HEADER.len()).saturating_add(SIGNATURE_BYTES).saturating_add(2));
    out.push_str(HEADER);
    out.push('.');
    BASE64URL_NOPAD.encode_append(&json, out);
    let mut mac = keyed(key);
    mac.update(out.as_bytes().get(start..).unwrap_or_default());
    out.push('.');
    BASE64URL_NOPAD.encode_append(&mac.finalize().into_bytes(), out);
}

/// Returns the claims of a token that `key` signed. Its header must say HS512 (RFC 8725 §3.1), and nothing else that
/// would have to be understood.
pub(super) fn verify(token: &str, key: &SecretKey) -> Result<Map<String, Value>, IdTokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(IdTokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(IdTokenError::Malformed)?;
    let (header, claims) = signed.split_once('.').ok_or(IdTokenError::Malformed)?;
    if claims.contains('.') {
        return Err(IdTokenError::Malformed);
    }
    let header = object(header)?;
    if header.get("alg").and_then(Value::as_str) != Some("HS512") {
        return Err(IdTokenError::Algorithm);
    }
    // RFC 7515 §4.1.11: an extension that is not understood makes the token invalid.
    let jwt =
        header.get("typ").is_none_or(|typ| typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT")));
    if header.contains_key("crit") || !jwt {
        return Err(IdTokenError::Malformed);
    }
    let signature = decode(signature)?;
    let mut mac = keyed(key);
    mac.update(signed.as_bytes());
    // In constant time; a signature of another length is wrong too.
    mac.verify_slice(&signature).map_err(|_| IdTokenError::Signature)?;
    object(claims)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
fn keyed(key: &SecretKey) -> Hmac<Sha512> {
    Hmac::new_from_slice(key.expose_secret()).expect("any length")
}

fn object(part: &str) -> Result<Map<String, Value>, IdTokenError> {
    serde_json::from_slice(&decode(part)?).map_err(|_| IdTokenError::Malformed)
}

/// Takes base64url without padding; bits that stand for nothing must be zero.
fn decode(part: &str) -> Result<Vec<u8>, IdTokenError> {
    BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| IdTokenError::Malformed)
}
