//! How a request is signed.

use core::fmt;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use mfa_core::SecretText;
use sha1::Sha1;
use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use super::{DuoHeaders, Params};
use crate::SecretKey;

/// SHA-512 of nothing, which stands for a missing body and for missing headers.
const SHA512_OF_NOTHING: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";

/// What a signature covers, and by which MAC.
///
/// Versions 1 (no date) and 3 are not offered: the first can be replayed for ever, no client has the second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureVersion {
    /// Date, method, host, path and parameters, HMAC-SHA1: as the documentation has it.
    V2Sha1,
    /// The same with HMAC-SHA512: as the official clients have it.
    V2Sha512,
    /// Also the body. HMAC-SHA512.
    V4,
    /// Also `X-Duo-…` headers. HMAC-SHA512; what the official clients use today.
    #[default]
    V5,
}

impl SignatureVersion {
    /// Returns whether parameters of a POST travel in a JSON object, not in a form.
    pub(super) const fn has_json_body(self) -> bool {
        matches!(self, Self::V4 | Self::V5)
    }
}

/// A request before it is signed. [`AuthApi::request`](super::AuthApi::request) does this for the calls of this
/// crate; on its own it signs requests to Duo's other APIs.
///
/// ```
/// use mfa_duo::SecretKey;
/// use mfa_duo::auth_api::{Params, SignatureVersion, Unsigned, authorization};
///
/// // The example of Duo's documentation, with HMAC-SHA512 (duo_api_golang, TestSign).
/// let skey = SecretKey::parse("Zh5eGmUq9zpfQnyUIu5OL9iWoMMv5ZNmk3zLJ4Ep")?;
/// let params = Params::new().with("realname", "First Last").with("username", "root");
/// let request = Unsigned::new("POST", "api-XXXXXXXX.duosecurity.com", "/accounts/v1/account/list")
///     .with_params(&params);
/// let signature =
///     request.sign(SignatureVersion::V2Sha512, "Tue, 21 Aug 2012 17:29:18 -0000", &skey);
/// assert!(signature.expose_secret().starts_with("1bffb8924348f7db7da9e7d7d749ded9"));
/// let header = authorization("DIWJ8X6AEYOR5OMC6TQ1", &signature);
/// assert!(header.expose_secret().starts_with("Basic RElXSjhYNkFF"));
/// # Ok::<(), mfa_duo::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Unsigned<'a> {
    method: &'a str,
    host: &'a str,
    path: &'a str,
    params: Option<&'a Params>,
    body: &'a [u8],
    headers: Option<&'a DuoHeaders>,
}

impl<'a> Unsigned<'a> {
    /// Takes what every request has: a method and a host without port, in any case, and a path without query.
    #[must_use]
    pub const fn new(method: &'a str, host: &'a str, path: &'a str) -> Self {
        Self { method, host, path, params: None, body: &[], headers: None }
    }

    /// Sets the parameters that travel in the query or in a form.
    #[must_use]
    pub const fn with_params(mut self, params: &'a Params) -> Self {
        self.params = Some(params);
        self
    }

    /// Sets the bytes of the body, for versions 4 and 5.
    #[must_use]
    pub const fn with_body(mut self, body: &'a [u8]) -> Self {
        self.body = body;
        self
    }

    /// Sets additional headers, for version 5.
    #[must_use]
    pub const fn with_headers(mut self, headers: &'a DuoHeaders) -> Self {
        self.headers = Some(headers);
        self
    }

    /// Returns what is signed: lines without a final newline. `date` is the request's header, as it is sent.
    #[must_use]
    pub fn canonicalize(&self, version: SignatureVersion, date: &str) -> Zeroizing<String> {
        let params = self.params.map(Params::canonical);
        let params = params.as_ref().map_or("", |params| params.as_str());
        let lines = [date, self.method, self.host, self.path, params];
        // invariant: two hashes of 128 digits and six newlines beside the lines, so the buffer never moves.
        let capacity = lines.iter().fold(262_usize, |sum, line| sum.saturating_add(line.len()));
        let mut canonical = Zeroizing::new(String::with_capacity(capacity));
        canonical.push_str(date);
        canonical.push('\n');
        canonical.extend(self.method.chars().map(|c| c.to_ascii_uppercase()));
        canonical.push('\n');
        canonical.extend(self.host.chars().map(|c| c.to_ascii_lowercase()));
        canonical.push('\n');
        canonical.push_str(self.path);
        canonical.push('\n');
        canonical.push_str(params);
        if matches!(version, SignatureVersion::V4 | SignatureVersion::V5) {
            canonical.push('\n');
            if self.body.is_empty() {
                canonical.push_str(SHA512_OF_NOTHING);
            } else {
                HEXLOWER.encode_append(&Sha512::digest(self.body), &mut canonical);
            }
        }
        if version == SignatureVersion::V5 {
            canonical.push('\n');
            match self.headers {
                Some(headers) if !headers.is_empty() => canonical.push_str(&headers.hash()),
                _ => canonical.push_str(SHA512_OF_NOTHING),
            }
        }
        canonical
    }

    /// Returns the signature, in lower-case hexadecimal digits.
    #[must_use]
    pub fn sign(&self, version: SignatureVersion, date: &str, skey: &SecretKey) -> SecretText {
        let canonical = self.canonicalize(version, date);
        let key = skey.expose_secret();
        SecretText::new(match version {
            SignatureVersion::V2Sha1 => mac::<Hmac<Sha1>>(key, &canonical),
            SignatureVersion::V2Sha512 | SignatureVersion::V4 | SignatureVersion::V5 => {
                mac::<Hmac<Sha512>>(key, &canonical)
            }
        })
    }
}

impl fmt::Debug for Unsigned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Unsigned");
        shown.field("method", &self.method).field("host", &self.host).field("path", &self.path);
        shown.finish_non_exhaustive()
    }
}

/// Returns the value of the header `Authorization`: `Basic` and the base64 of `ikey:signature`.
#[must_use]
pub fn authorization(ikey: &str, signature: &SecretText) -> SecretText {
    let signature = signature.expose_secret();
    let capacity = ikey.len().saturating_add(signature.len()).saturating_add(1);
    let mut pair = Zeroizing::new(String::with_capacity(capacity));
    pair.push_str(ikey);
    pair.push(':');
    pair.push_str(signature);
    let mut header = String::with_capacity(capacity.saturating_mul(2));
    header.push_str("Basic ");
    BASE64.encode_append(pair.as_bytes(), &mut header);
    SecretText::new(header)
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
fn mac<M: Mac + KeyInit>(key: &[u8], text: &str) -> String {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("any length");
    mac.update(text.as_bytes());
    HEXLOWER.encode(&mac.finalize().into_bytes())
}
