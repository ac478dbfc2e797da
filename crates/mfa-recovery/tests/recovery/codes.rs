//! How codes are read: whatever a person may type, and nothing that only resembles one.

use std::collections::BTreeSet;
use std::sync::Arc;

use data_encoding::{Encoding, Specification};
use mfa_core::{Draw, Entropy, EntropyError};
use mfa_recovery::{Count, Form, RecoveryCode, RecoveryCodes};
use proptest::prelude::*;

use crate::support::{self, ALPHABET};

fn codes(seed: u64) -> Vec<String> {
    let set = RecoveryCodes::generate(Count::default(), &mut support::draw(seed).unwrap()).unwrap();
    let key = RecoveryCodes::generate_key(&mut support::draw(seed).unwrap()).unwrap();
    set.iter().chain(key.iter()).map(|code| code.to_text().expose_secret().to_owned()).collect()
}

fn reads_as(typed: &str) -> Option<String> {
    RecoveryCode::parse(typed).ok().map(|code| code.to_text().expose_secret().to_owned())
}

fn base32() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str(ALPHABET);
    specification.encoding().unwrap()
}

#[test]
fn codes_are_shown_in_groups_of_four_of_the_alphabet() {
    for code in codes(1) {
        let groups: Vec<_> = code.split('-').collect();
        assert!(matches!(groups.len(), 5 | 9), "{code}");
        assert!(groups.iter().all(|group| group.len() == 4), "{code}");
        assert!(code.chars().all(|c| c == '-' || ALPHABET.contains(c)), "{code}");
    }
}

#[test]
fn lower_case_and_spaces_and_no_dashes_are_read() {
    for code in codes(2) {
        let plain = code.replace('-', "");
        let typed = [
            plain.clone(),
            plain.to_lowercase(),
            code.replace('-', " "),
            format!("  {code}\r\n"),
            plain.chars().map(|c| format!("{c}-")).collect(),
            code.replace('-', "\u{2013}"),
            code.replace('-', "\u{2212}"),
            code.replace('-', "\u{3000}"),
            code.replace('-', "\u{200b}"),
        ];
        for typed in typed {
            assert_eq!(reads_as(&typed), Some(code.clone()), "{typed:?}");
        }
    }
}

#[test]
fn look_alikes_are_read_as_what_they_look_like() {
    let code = support::with_checksum("0123-4567-89AB-VVV0-01");
    let looks = code.replace('0', "O").replace('1', "l").replace('V', "u");
    assert!(looks.contains('O') && looks.contains('l') && looks.contains('u'));
    assert_eq!(reads_as(&looks), reads_as(&code));
    assert_eq!(reads_as(&looks.to_uppercase()), reads_as(&code));
    assert_eq!(reads_as(&looks.replace('l', "i")), reads_as(&code));
    assert!(reads_as(&code).is_some());
}

#[test]
fn any_one_character_wrong_is_malformed() {
    for code in codes(3).iter().skip(8) {
        for (at, right) in code.char_indices().filter(|(_, c)| *c != '-') {
            for other in ALPHABET.chars().filter(|c| *c != right) {
                let mut typed = code.clone();
                typed.replace_range(at..=at, &other.to_string());
                assert_eq!(reads_as(&typed), None, "{typed} is not {code}");
            }
        }
    }
}

#[test]
fn any_two_characters_swapped_are_malformed() {
    for code in codes(4).iter().skip(8) {
        let plain: Vec<_> = code.chars().filter(|c| *c != '-').collect();
        for (a, b) in (0..plain.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let mut typed = plain.clone();
            typed.swap(a, b);
            // Characters of the checksum itself may stand for another code's; its neighbours may not.
            let within = typed != plain && (a + 2 < plain.len() || a == b + 1);
            let typed: String = typed.into_iter().collect();
            assert!(!within || reads_as(&typed).is_none(), "{typed} is not {code}");
        }
    }
}

#[test]
fn other_lengths_and_foreign_characters_are_malformed() {
    let code = &codes(5)[0];
    let others = [
        String::new(),
        "-".repeat(20),
        "0".repeat(20),
        "0".repeat(36),
        code[..code.len() - 1].to_owned(),
        format!("{code}{}", &code[..1]),
        format!("{code}{code}"),
        format!("{code}\0"),
        format!("{code}!"),
        code.replacen('-', "_", 1),
        format!("\u{202e}{code}"),
        "٠".repeat(20),
        "A".repeat(100_000),
    ];
    for typed in others {
        let error = RecoveryCode::parse(&typed).unwrap_err();
        assert_eq!(error.code(), "malformed_code", "{typed:?}");
    }
}

#[test]
fn every_random_bit_drawn_is_a_bit_of_one_code() {
    /// Counts up from one, so that every byte can be told from the others.
    #[derive(Debug)]
    struct Counting;
    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            (1..).zip(out).for_each(|(count, byte): (usize, &mut u8)| *byte = count.to_le_bytes()[0]);
            Ok(())
        }

        fn is_test_double(&self) -> bool {
            true
        }
    }
    let draw = || Draw::from_source(Arc::new(Counting)).unwrap();
    let random_of = |code: &RecoveryCode| {
        let plain = code.to_text().expose_secret().replace('-', "");
        base32().decode(&plain.as_bytes()[2..plain.len() - 2]).unwrap()
    };
    let set = RecoveryCodes::generate(Count::new(12).unwrap(), &mut draw()).unwrap();
    let random: Vec<u8> = set.iter().flat_map(random_of).collect();
    assert_eq!(random, (5..=124).collect::<Vec<u8>>(), "120 bytes after those of the selectors");
    assert!(set.iter().all(|code| random_of(code).len() * 8 == usize::from(Form::Codes.random_bits())));

    let key = RecoveryCodes::generate_key(&mut draw()).unwrap();
    let random: Vec<u8> = key.iter().flat_map(random_of).collect();
    assert_eq!(random, (3..=22).collect::<Vec<u8>>(), "20 bytes after those of the selector");
    assert_eq!(random.len() * 8, usize::from(Form::Key.random_bits()));
}

proptest! {
    #[test]
    fn whatever_is_typed_is_read_or_refused(typed in "\\PC*") {
        if let Some(code) = reads_as(&typed) {
            prop_assert_eq!(reads_as(&code), Some(code.clone()), "what was read is read again");
        }
    }

    #[test]
    fn text_of_the_alphabet_is_a_code_as_often_as_its_checksum_fits(typed in "[0-9A-HJKMNP-TV-Z]{20}|[0-9A-HJKMNP-TV-Z]{36}") {
        let (payload, _) = typed.split_at(typed.len() - 2);
        let code = support::with_checksum(payload);
        prop_assert_eq!(reads_as(&typed).is_some(), typed == code, "one checksum fits");
    }

    #[test]
    fn codes_are_read_however_they_are_written(
        seed in any::<u64>(),
        which in 0_usize..11,
        writing in proptest::collection::vec((0_u8..4, "[ \u{a0}\t–—-]{0,3}"), 36),
    ) {
        let code = codes(seed)[which].clone();
        let write = |(c, (how, gap)): (char, &(u8, String))| {
            let c = match (how, c) {
                (1, '0') => 'o',
                (1, '1') => 'L',
                (2, '1') => 'i',
                (1, 'V') => 'U',
                (3, c) => char::from_u32(c as u32 + 0xfee0).unwrap_or(c),
                (2, c) => c.to_ascii_lowercase(),
                (_, c) => c,
            };
            format!("{c}{gap}")
        };
        let typed: String = code.replace('-', "").chars().zip(&writing).map(write).collect();
        prop_assert_eq!(reads_as(&typed), Some(code), "{}", typed);
    }

    #[test]
    fn selectors_of_a_set_are_distinct(seed in any::<u64>()) {
        let set = RecoveryCodes::generate(Count::new(12).unwrap(), &mut support::draw(seed).unwrap()).unwrap();
        let selectors: BTreeSet<_> = set.iter().map(|code| code.to_text().expose_secret()[..2].to_owned()).collect();
        prop_assert_eq!(selectors.len(), 12);
    }
}
