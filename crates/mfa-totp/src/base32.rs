//! Base32 (RFC 4648 §6) as people type it and as authenticator apps read it, in buffers that are wiped.

use std::sync::LazyLock;

use data_encoding::{BASE32_NOPAD, DecodeKind, Encoding};
use zeroize::Zeroizing;

use crate::Error;

/// The most characters of padding.
const MAX_PADDING: usize = 6;

/// Any case, spaces and dashes anywhere, left-over bits dropped whatever they are.
static AS_TYPED: LazyLock<Encoding> = LazyLock::new(|| {
    let mut specification = BASE32_NOPAD.specification();
    specification.check_trailing_bits = false;
    specification.ignore.push_str(" -");
    specification.translate.from.push_str("abcdefghijklmnopqrstuvwxyz");
    specification.translate.to.push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
    // Were the specification refused, the strict encoding would refuse more, never accept more.
    specification.encoding().unwrap_or(BASE32_NOPAD)
});

/// Decodes text of any case, with spaces and dashes anywhere and padding or none at the end.
pub(crate) fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refused = |reason| Error::InvalidBase32 { reason };
    let unpadded = text.trim_end_matches(['=', ' ', '-']);
    if text.bytes().filter(|byte| *byte == b'=').count() > MAX_PADDING {
        return Err(refused("more than 6 padding characters"));
    }
    let input = unpadded.as_bytes();
    let length = AS_TYPED.decode_len(input.len()).map_err(|_| refused(CUT_OFF))?;
    let mut bytes = Zeroizing::new(vec![0; length]);
    let decoded = AS_TYPED.decode_mut(input, &mut bytes).map_err(|partial| match partial.error.kind {
        DecodeKind::Length | DecodeKind::Padding | DecodeKind::Trailing => refused(CUT_OFF),
        DecodeKind::Symbol => refused("only A-Z and 2-7 are allowed"),
    })?;
    bytes.truncate(decoded);
    Ok(bytes)
}

/// Encodes in upper case without padding.
pub(crate) fn encode(bytes: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(vec![0; encoded_len(bytes.len())]);
    BASE32_NOPAD.encode_mut(bytes, &mut text);
    // invariant: the alphabet is ASCII.
    Zeroizing::new(core::str::from_utf8(&text).unwrap_or_default().to_owned())
}

/// Returns how many characters so many bytes encode to.
pub(crate) fn encoded_len(bytes: usize) -> usize {
    BASE32_NOPAD.encode_len(bytes)
}

const CUT_OFF: &str = "no whole bytes encode to so many characters";
