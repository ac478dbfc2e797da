//! `application/x-www-form-urlencoded`: what requests carry and how the browser's query is read.

use crate::{Error, percent};

/// The longest query that is read, in bytes.
const MAX_QUERY_BYTES: usize = 4096;
const MAX_PAIRS: usize = 16;

/// Writes pairs with everything encoded but RFC 3986's unreserved characters.
pub(super) fn encode(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        percent::encode_into(&mut out, name);
        out.push('=');
        percent::encode_into(&mut out, value);
    }
    out
}

/// Reads pairs in their order; `+` is a space.
pub(super) fn decode(query: &str) -> Result<Vec<(String, String)>, Error> {
    let refused = |reason| Error::Parameter { name: "query", reason };
    if query.len() > MAX_QUERY_BYTES {
        return Err(refused("is longer than 4096 bytes"));
    }
    let parts: Vec<_> = query.split('&').filter(|part| !part.is_empty()).collect();
    if parts.len() > MAX_PAIRS {
        return Err(refused("has more than 16 parameters"));
    }
    let decoded = parts.into_iter().map(|part| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        Some((decode_text(name)?, decode_text(value)?))
    });
    decoded.collect::<Option<_>>().ok_or_else(|| refused("is not percent-encoded utf-8"))
}

fn decode_text(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => (digit(bytes.next()?)? << 4) | digit(bytes.next()?)?,
            plain => plain,
        });
    }
    String::from_utf8(out).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}
