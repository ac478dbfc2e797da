//! The 32 characters of a code (Crockford's base 32), the way people mistype them, and the checksum.

/// Without `I`, `L`, `O` and `U`.
const ALPHABET: [char; 32] = [
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'J', 'K', 'M',
    'N', 'P', 'Q', 'R', 'S', 'T', 'V', 'W', 'X', 'Y', 'Z',
];

/// The characters of the selector, of five bits each.
pub(crate) const SELECTOR_SYMBOLS: usize = 2;
/// The characters of the checksum.
pub(crate) const CHECK_SYMBOLS: usize = 2;

/// The largest prime below 32²: a checksum fits into two characters.
const MODULUS: u16 = 1021;
/// A primitive root of [`MODULUS`], so that no two places of a code weigh the same.
const BASE: u16 = 10;

/// What a typed character stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// A character of the alphabet.
    Symbol(char),
    /// Nothing: a space, a dash, or what cannot be seen.
    Nothing,
    /// No code has it.
    Foreign,
}

/// Reads a typed character: either case, full-width forms, and the letters left out for those they look like.
pub(crate) fn read(typed: char) -> Typed {
    let narrow = match typed {
        '\u{ff01}'..='\u{ff5e}' => {
            char::from_u32((typed as u32).saturating_sub(0xff01 - 0x21)).unwrap_or(typed)
        }
        _ => typed,
    };
    let upper = match narrow.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        'U' => 'V',
        other => other,
    };
    match upper {
        _ if ALPHABET.contains(&upper) => Typed::Symbol(upper),
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => Typed::Nothing,
        '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}' => Typed::Nothing,
        _ if upper.is_whitespace() => Typed::Nothing,
        _ => Typed::Foreign,
    }
}

/// Returns the character of five bits; higher bits are ignored.
pub(crate) fn symbol(bits: u8) -> char {
    ALPHABET.get(usize::from(bits & 31)).copied().unwrap_or('0')
}

/// Returns the five bits of a character of the alphabet.
pub(crate) fn value(symbol: char) -> Option<u8> {
    let at = ALPHABET.iter().position(|c| *c == symbol)?;
    u8::try_from(at).ok()
}

/// Returns the two characters of ten bits.
pub(crate) fn pair(bits: u16) -> [char; 2] {
    let [high, low] = (bits << 3).to_be_bytes();
    [symbol(high), symbol(low >> 3)]
}

/// Returns the ten bits of two characters.
pub(crate) fn ten_bits(pair: &str) -> Option<u16> {
    let mut bits = 0;
    for c in pair.chars() {
        bits = (bits << 5) | u16::from(value(c)?);
    }
    Some(bits)
}

/// Returns the checksum of the characters before it, as a number below [`MODULUS`].
///
/// Any one character that is another, and any two that are swapped, change it: every place has a weight of
/// its own, none of them zero, modulo a prime. It begins at one, so that a row of zeros is no code.
pub(crate) fn checksum(payload: &str) -> u16 {
    let values = payload.chars().filter_map(value);
    values.fold(1, |sum: u16, bits| sum.saturating_mul(BASE).saturating_add(u16::from(bits)) % MODULUS)
}
