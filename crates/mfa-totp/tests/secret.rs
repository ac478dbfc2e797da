//! Secrets: lengths, base32 in and out.

#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use data_encoding::BASE32_NOPAD;
use mfa_totp::TotpSecret;
use proptest::prelude::*;

fn code_of(text: &str) -> &'static str {
    TotpSecret::from_base32(text).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn bytes_from_16_to_128_are_accepted() {
    for (length, expected) in
        [(0, "weak_secret"), (15, "weak_secret"), (16, "ok"), (128, "ok"), (129, "secret_too_long")]
    {
        let found = TotpSecret::from_bytes(&vec![7; length]).map_or_else(|e| e.code(), |_| "ok");
        assert_eq!(found, expected, "{length} bytes");
    }
}

#[test]
fn base32_shorter_than_128_bits_is_weak() {
    assert_eq!(code_of(""), "weak_secret");
    assert_eq!(code_of(&"A".repeat(24)), "weak_secret");
    assert_eq!(code_of(&"A".repeat(26)), "ok");
}

#[test]
fn base32_longer_than_128_bytes_is_refused() {
    assert_eq!(code_of(&"A".repeat(205)), "ok");
    assert_eq!(code_of(&"A".repeat(207)), "secret_too_long");
    assert_eq!(code_of(&"A".repeat(512)), "secret_too_long");
}

#[test]
fn length_is_checked_before_the_text_is_read() {
    // Also not base32; the length is what is reported.
    let error = TotpSecret::from_base32(&"!".repeat(513)).unwrap_err();
    assert_eq!(error.to_string(), "secret is not base32: text is longer than 512 characters");
}

/// RFC 4648 §6 leaves out 0, 1, 8 and 9, so that they are not taken for O, I and B.
#[test]
fn characters_outside_the_alphabet_are_named_by_the_alphabet() {
    for wrong in ["0", "1", "8", "9", "_", "+", "/", "\t", "\n", "\0", "é", "Ａ", "２"] {
        let text = format!("GEZDGNBVGY3TQOJQ{wrong}GEZDGNBVGY3TQOJ");
        let error = TotpSecret::from_base32(&text).unwrap_err();
        assert_eq!(error.code(), "invalid_base32", "{wrong:?}");
        assert_eq!(error.to_string(), "secret is not base32: only A-Z and 2-7 are allowed");
    }
}

/// RFC 4648 §6 lists which numbers of characters a final group can have.
#[test]
fn cut_off_base32_is_refused() {
    for cut in [25, 27, 30, 33, 35, 38] {
        assert_eq!(code_of(&"A".repeat(cut)), "invalid_base32", "{cut} characters");
    }
}

#[test]
fn padding_is_accepted_at_the_end_alone() {
    assert_eq!(code_of("GEZDGNBVGY3TQOJQGEZDGNBVGY======"), "ok");
    assert_eq!(code_of("GEZDGNBVGY3TQOJQGEZDGNBVGY ==== =="), "ok");
    assert_eq!(code_of("GEZDGNBVGY3TQOJQ=GEZDGNBVGY"), "invalid_base32");
    assert_eq!(code_of("GEZDGNBVGY3TQOJQGEZDGNBVGY======="), "invalid_base32");
}

/// Authenticator apps drop the bits that end no byte, so an import must as well.
#[test]
fn left_over_bits_are_dropped() {
    let zero = TotpSecret::from_base32(&"A".repeat(26)).unwrap();
    let set = TotpSecret::from_base32(&format!("{}B", "A".repeat(25))).unwrap();
    assert_eq!(zero.expose_secret(), [0; 16]);
    assert_eq!(set.expose_secret(), [0; 16]);
}

#[test]
fn new_secret_is_the_entropy_given() {
    let entropy = *b"abcdefghijklmnopqrst";
    assert_eq!(TotpSecret::from_entropy(entropy).expose_secret(), entropy);
}

proptest! {
    #[test]
    fn base32_agrees_with_another_implementation(
        bytes in prop::collection::vec(any::<u8>(), 16..=128),
    ) {
        let text = BASE32_NOPAD.encode(&bytes);
        let secret = TotpSecret::from_bytes(&bytes).unwrap();
        let written = secret.to_base32();
        prop_assert_eq!(written.expose_secret(), &text);
        let read = TotpSecret::from_base32(&text).unwrap();
        prop_assert_eq!(read.expose_secret(), &bytes);
    }

    #[test]
    fn base32_reads_what_people_type(
        bytes in prop::collection::vec(any::<u8>(), 16..=128),
        noise in prop::collection::vec((any::<bool>(), 0..4_usize), 205),
        padding in 0..=6_usize,
    ) {
        let mut typed = String::new();
        for (character, (lower, separator)) in BASE32_NOPAD.encode(&bytes).chars().zip(noise) {
            typed.push(if lower { character.to_ascii_lowercase() } else { character });
            typed.push_str(["", "", " ", "-"][separator]);
        }
        typed.push_str(&"=".repeat(padding));
        let read = TotpSecret::from_base32(&typed).unwrap();
        prop_assert_eq!(read.expose_secret(), &bytes);
    }

    #[test]
    fn arbitrary_text_never_panics(text in any::<String>()) {
        let _ = TotpSecret::from_base32(&text);
    }

    #[test]
    fn arbitrary_base32_is_read_or_refused_by_length(text in "[A-Za-z2-7]{0,520}") {
        let expected = match text.len() {
            513.. => "invalid_base32",
            length if [1, 3, 6].contains(&(length % 8)) => "invalid_base32",
            length if length * 5 / 8 < 16 => "weak_secret",
            length if length * 5 / 8 > 128 => "secret_too_long",
            _ => "ok",
        };
        prop_assert_eq!(code_of(&text), expected);
    }
}
