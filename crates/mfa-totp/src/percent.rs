//! Percent-encoding (RFC 3986 §2.1), stricter than the usual one on the way in, and in buffers that
//! are wiped.

use zeroize::Zeroizing;

use crate::Error;

/// What `+` stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself, as in a path.
    Literal,
    /// A space, as in a query.
    Space,
}

/// Appends `text` with every byte encoded but the unreserved ones (RFC 3986 §2.3).
pub(crate) fn encode_into(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4));
            out.push(hex_digit(byte & 15));
        }
    }
}

/// Decodes `text`, refusing a `%` without two hexadecimal digits and bytes that are not UTF-8.
pub(crate) fn decode(text: &str, plus: Plus) -> Result<Zeroizing<String>, Error> {
    // invariant: decoding only shrinks, so the buffer never moves.
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => match (bytes.next().and_then(hex_value), bytes.next().and_then(hex_value)) {
                (Some(high), Some(low)) => (high << 4) | low,
                _ => {
                    return Err(Error::InvalidUri { reason: "'%' is not followed by two hex digits" });
                }
            },
            b'+' if plus == Plus::Space => b' ',
            other => other,
        });
    }
    let text = core::str::from_utf8(&decoded)
        .map_err(|_| Error::InvalidUri { reason: "decoded text is not utf-8" })?;
    Ok(Zeroizing::new(text.to_owned()))
}

fn hex_digit(nibble: u8) -> char {
    char::from_digit(u32::from(nibble), 16).map_or('0', |digit| digit.to_ascii_uppercase())
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}
