//! Percent-encoding (RFC 3986 §2.1) with upper-case digits.

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Appends `text` with every byte encoded but the unreserved ones (RFC 3986 §2.3), as Duo's signatures and
/// OAuth 1.0 (RFC 5849 §3.6) want it.
pub(crate) fn encode_into(out: &mut String, text: &str) {
    append(out, text, |byte| matches!(byte, b'-' | b'.' | b'_' | b'~'));
}

/// Appends `text` as JavaScript's `encodeURIComponent` writes it (ECMA-262 §19.2.6.4).
pub(crate) fn encode_component_into(out: &mut String, text: &str) {
    append(out, text, |byte| matches!(byte, b'-' | b'.' | b'_' | b'~' | b'!' | b'*' | b'\'' | b'(' | b')'));
}

fn append(out: &mut String, text: &str, plain: impl Fn(u8) -> bool) {
    out.reserve(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            for nibble in [byte >> 4, byte & 15] {
                out.push(HEX.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit)));
            }
        }
    }
}
