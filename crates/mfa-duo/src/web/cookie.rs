//! One signed cookie: `PREFIX|base64(user|ikey|expiry)|hex(HMAC-SHA1(key, PREFIX|base64))`.

use core::fmt::Write as _;

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Refusal;
use crate::IntegrationKey;

pub(super) const TX: &str = "TX";
pub(super) const APP: &str = "APP";
pub(super) const AUTH: &str = "AUTH";
pub(super) const ENROLL_REQUEST: &str = "ENROLL_REQUEST";
pub(super) const ENROLL: &str = "ENROLL";

/// Bytes of HMAC-SHA1.
pub(super) const MAC_BYTES: usize = 20;

/// What cookies of one user begin with; only the expiry differs.
pub(super) struct Fields {
    text: Zeroizing<String>,
    common: usize,
}

impl Fields {
    pub(super) fn new(user: &str, ikey: &IntegrationKey) -> Self {
        // invariant: 22 bytes hold two separators and the longest expiry, so the buffer never moves.
        let capacity = user.len().saturating_add(IntegrationKey::CHARS).saturating_add(22);
        let mut text = Zeroizing::new(String::with_capacity(capacity));
        text.push_str(user);
        text.push('|');
        text.push_str(ikey.as_str());
        text.push('|');
        let common = text.len();
        Self { text, common }
    }

    /// Appends the cookie that ends at `expiry`, in Unix seconds.
    pub(super) fn append(&mut self, out: &mut String, key: &[u8], prefix: &str, expiry: u64) {
        self.text.truncate(self.common);
        let _ = write!(*self.text, "{expiry}");
        let start = out.len();
        out.push_str(prefix);
        out.push('|');
        BASE64.encode_append(self.text.as_bytes(), out);
        let mac = mac(key, &[out.get(start..).unwrap_or_default()]);
        out.push('|');
        HEXLOWER.encode_append(&mac, out);
    }
}

/// A cookie whose MAC is right: what it says, not yet whether that is acceptable.
pub(super) struct Cookie {
    pub(super) mac: [u8; MAC_BYTES],
    fields: String,
    user_bytes: usize,
    pub(super) expiry: u64,
}

impl Cookie {
    /// Checks the MAC, then the prefix, then the form, then the integration.
    pub(super) fn open(
        text: &str,
        key: &[u8],
        wanted_prefix: &str,
        ikey: &IntegrationKey,
    ) -> Result<Self, Refusal> {
        let (prefix, encoded, given) = three(text).ok_or(Refusal::Malformed)?;
        let mac = mac(key, &[prefix, "|", encoded]);
        let mut expected = [0; 2 * MAC_BYTES];
        HEXLOWER.encode_mut(&mac, &mut expected);
        // Case-sensitive, so that one MAC has one spelling and a replay memory cannot be evaded by another.
        if !bool::from(expected.as_slice().ct_eq(given.as_bytes())) {
            return Err(Refusal::BadSignature);
        }
        if prefix != wanted_prefix {
            return Err(Refusal::WrongPrefix);
        }
        let fields = BASE64.decode(encoded.as_bytes()).map_err(|_| Refusal::Malformed)?;
        let fields = String::from_utf8(fields).map_err(|_| Refusal::Malformed)?;
        let (user, cookie_ikey, expiry) = three(&fields).ok_or(Refusal::Malformed)?;
        if user.is_empty() {
            return Err(Refusal::Malformed);
        }
        if cookie_ikey != ikey.as_str() {
            return Err(Refusal::WrongIntegration);
        }
        // `parse` alone would take a leading `+`.
        if !expiry.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::Malformed);
        }
        let expiry = expiry.parse().map_err(|_| Refusal::Malformed)?;
        let user_bytes = user.len();
        Ok(Self { mac, fields, user_bytes, expiry })
    }

    pub(super) fn user(&self) -> &str {
        self.fields.get(..self.user_bytes).unwrap_or_default()
    }

    pub(super) fn into_user(mut self) -> String {
        self.fields.truncate(self.user_bytes);
        self.fields
    }
}

/// Splits into exactly three fields.
fn three(text: &str) -> Option<(&str, &str, &str)> {
    let mut fields = text.split('|');
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some(first), Some(second), Some(third), None) => Some((first, second, third)),
        _ => None,
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length (RFC 2104 §2)")]
fn mac(key: &[u8], parts: &[&str]) -> [u8; MAC_BYTES] {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).expect("any length");
    parts.iter().for_each(|part| mac.update(part.as_bytes()));
    mac.finalize().into_bytes().into()
}
