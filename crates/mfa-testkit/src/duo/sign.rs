//! Checks the signatures of the Auth API, versions 2, 4 and 5.

use chrono::DateTime;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use sha1::Sha1;
use sha2::{Digest, Sha512};

use super::log::Credentials;
use super::message::{ContentType, Failure, Request};
use super::state::State;

/// How many seconds the date of a request may be off, to either side.
const TOLERANCE: u64 = 300;

/// Checks a request's credentials and returns their kind and the integration key.
pub(super) fn check(state: &State, request: &Request) -> Result<(Credentials, String), Failure> {
    let (ikey, signature) = credentials(request).ok_or(Failure::new(40101, "Missing request credentials"))?;
    let date = request.header("date").ok_or(Failure::new(40104, "Missing request timestamp"))?;
    let sent = DateTime::parse_from_rfc2822(date).ok().and_then(|date| u64::try_from(date.timestamp()).ok());
    if sent.is_none_or(|sent| sent.abs_diff(state.now.unix_seconds()) > TOLERANCE) {
        return Err(Failure::new(40105, "Bad request timestamp"));
    }
    let skey = state.integrations.get(&ikey);
    let skey = skey.ok_or(Failure::new(40102, "Invalid integration key in request credentials"))?;
    let candidates = candidates(request, &signature)?;
    let right = candidates.iter().find(|version| version.sign(skey, request, date) == signature);
    let right = right.ok_or(Failure::new(40103, "Invalid signature in request credentials"))?;
    Ok((right.credentials(), ikey))
}

/// Reads `Authorization: Basic`, base64 of the integration key, a colon and the signature.
fn credentials(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization")?.strip_prefix("Basic ")?;
    let text = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
    let (ikey, signature) = text.split_once(':')?;
    Some((ikey.to_owned(), signature.to_owned()))
}

/// Returns the versions that a request of this form can be signed with.
///
/// Nothing in a request names its version, so the kind of the body and the length of the signature tell. A body that
/// a version would leave unsigned is not accepted with it.
fn candidates(request: &Request, signature: &str) -> Result<&'static [Version], Failure> {
    let has_body = request.method != Method::GET && request.method != Method::DELETE;
    let content_type = request.content_type();
    match (signature.len(), has_body) {
        (40 | 128, true) if content_type == ContentType::Other => {
            Err(Failure::new(40106, "Invalid content type"))
        }
        (40, true) if content_type == ContentType::Form => Ok(&[Version::V2Sha1]),
        (40, false) => Ok(&[Version::V2Sha1]),
        (128, true) if content_type == ContentType::Form => Ok(&[Version::V2Sha512]),
        (128, true) => Ok(&[Version::V5, Version::V4]),
        (128, false) => Ok(&[Version::V5, Version::V4, Version::V2Sha512]),
        (40, true) => Ok(&[]),
        _ => Err(Failure::new(40112, "Signature type is not supported")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V2Sha1,
    V2Sha512,
    V4,
    V5,
}

impl Version {
    const fn credentials(self) -> Credentials {
        match self {
            Self::V2Sha1 => Credentials::V2Sha1,
            Self::V2Sha512 => Credentials::V2Sha512,
            Self::V4 => Credentials::V4,
            Self::V5 => Credentials::V5,
        }
    }

    /// Returns the signature in lower-case hexadecimal.
    fn sign(self, skey: &str, request: &Request, date: &str) -> String {
        let text = self.canonical(request, date);
        match self {
            Self::V2Sha1 => hex_mac::<Hmac<Sha1>>(skey, &text),
            Self::V2Sha512 | Self::V4 | Self::V5 => hex_mac::<Hmac<Sha512>>(skey, &text),
        }
    }

    /// Returns what is signed: lines without a newline after the last.
    fn canonical(self, request: &Request, date: &str) -> String {
        let mut params = request.query.clone();
        if matches!(self, Self::V2Sha1 | Self::V2Sha512) {
            params.extend(request.form());
        }
        let mut lines = vec![
            date.to_owned(),
            request.method.as_str().to_ascii_uppercase(),
            request.host().to_ascii_lowercase(),
            request.path.clone(),
            canonical_params(&params),
        ];
        if matches!(self, Self::V4 | Self::V5) {
            lines.push(hex_sha512(&request.body));
        }
        if self == Self::V5 {
            lines.push(hex_sha512(canonical_headers(request).as_bytes()));
        }
        lines.join("\n")
    }
}

/// Joins parameters as OAuth 1.0 does (RFC 5849 §3.4.1.3.2).
fn canonical_params(params: &[(String, String)]) -> String {
    let mut pairs: Vec<_> = params.iter().map(|(name, value)| (percent(name), percent(value))).collect();
    pairs.sort();
    let pairs: Vec<_> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Encodes all but the unreserved characters (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// Joins the names and values of all `X-Duo-` fields with NUL, sorted by name.
fn canonical_headers(request: &Request) -> String {
    let ours = request.headers.iter().filter(|(name, _)| name.as_str().starts_with("x-duo-"));
    let mut fields: Vec<_> =
        ours.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()))).collect();
    fields.sort();
    let parts: Vec<_> = fields.iter().flat_map(|(name, value)| [*name, value.as_ref()]).collect();
    parts.join("\0")
}

fn hex_sha512(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha512::digest(bytes))
}

/// Returns a MAC in lower-case hexadecimal; a key of any length will do (RFC 2104 §2).
pub(super) fn hex_mac<M: Mac + KeyInit>(key: &str, text: &str) -> String {
    let mac = <M as KeyInit>::new_from_slice(key.as_bytes());
    mac.map(|mac| HEXLOWER.encode(&mac.chain_update(text).finalize().into_bytes())).unwrap_or_default()
}
