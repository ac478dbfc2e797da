//! Hashes for hosts that keep them themselves.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;
use mfa_recovery::{Cost, RecoveryCode, check, hash};
use proptest::prelude::*;

use crate::support;

const SALT: [u8; 16] = *b"0123456789abcdef";

fn code(text: &str) -> RecoveryCode {
    RecoveryCode::parse(text).unwrap()
}

#[test]
fn a_hash_is_argon2id_of_the_code_in_upper_case_without_dashes() {
    let text = support::with_checksum("K7K7-K7K7-K7K7-K7K7-K7");
    let kept = hash(&code(&text.to_lowercase()), Cost::default(), SALT).unwrap();
    let mut bare = [0; 32];
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let engine = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    engine.hash_password_into(text.as_bytes(), &SALT, &mut bare).unwrap();
    let (salt, bare) = (BASE64_NOPAD.encode(&SALT), BASE64_NOPAD.encode(&bare));
    assert_eq!(kept, format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${bare}"));
}

#[test]
fn a_hash_is_right_for_its_code_alone() {
    let [one, two] = ["K7K7-K7K7-K7K7-K7K7-K7", "K7K7-K7K7-K7K7-K7K7-K8"].map(support::with_checksum);
    let key = support::with_checksum(&"K7".repeat(17));
    for (right, wrong) in [(&one, &two), (&two, &one), (&key, &one)] {
        let kept = hash(&code(right), Cost::new(7 * 1024, 5).unwrap(), SALT).unwrap();
        assert_eq!(check(&code(right), &kept), Ok(true));
        assert_eq!(check(&code(wrong), &kept), Ok(false));
        let (rest, last) = kept.split_at(kept.len() - 1);
        let other = if last == "A" { "E" } else { "A" };
        assert_eq!(check(&code(right), &format!("{rest}{other}")).ok(), Some(false), "another hash");
    }
}

#[test]
fn another_salt_is_another_hash() {
    let code = code(&support::with_checksum("K7K7-K7K7-K7K7-K7K7-K7"));
    let hashes = [SALT, [7; 16]].map(|salt| hash(&code, Cost::default(), salt).unwrap());
    assert_ne!(hashes[0].rsplit('$').next(), hashes[1].rsplit('$').next());
}

#[test]
fn text_that_is_no_such_hash_is_refused_before_anything_is_hashed() {
    let code = code(&support::with_checksum("K7K7-K7K7-K7K7-K7K7-K7"));
    let (salt, bytes) = (BASE64_NOPAD.encode(&SALT), BASE64_NOPAD.encode(&[1; 32]));
    let good = format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${bytes}");
    assert_eq!(check(&code, &good), Ok(false));
    let invalid = [
        String::new(),
        "$2b$12$KIXIDs0mDUUqLqgHzTzYEe".to_owned(),
        good.replace("argon2id", "argon2i"),
        good.replace("v=19", "v=16"),
        good.replace("v=19$", ""),
        good.replace("p=1", "p=2"),
        good.replace(",p=1", ""),
        good.replace("p=1", "p=1,keyid=AA"),
        good.replace("m=19456", "m=019456"),
        good.replace("m=19456", "m=+19456"),
        good.replace("m=19456", "m="),
        good.replace("t=2", "t=0"),
        good.replace("m=19456", "m=7"),
        good.replace("m=19456,t=2", "t=2,m=19456"),
        good.replace(&salt, "c2FsdA"),
        good.replace(&salt, "!!!!!!!!!!!"),
        good.replace(&bytes, &BASE64_NOPAD.encode(&[1; 31])),
        good.replace(&bytes, &BASE64_NOPAD.encode(&[1; 33])),
        good.replace(&bytes, ""),
        format!("{good}$"),
        format!("{good} "),
        format!("{good}="),
        format!(" {good}"),
        "$".repeat(10_000),
    ];
    for text in invalid {
        assert_eq!(check(&code, &text).map_err(|e| e.code()), Err("invalid_hash"), "{text}");
    }
    for text in [good.replace("m=19456", "m=4194304"), good.replace("t=2", "t=4000000000")] {
        assert_eq!(check(&code, &text).map_err(|e| e.code()), Err("cost_too_high"), "{text}");
    }
}

#[test]
fn no_cost_is_below_the_floor_or_above_the_ceiling() {
    // The equal choices of OWASP's Password Storage Cheat Sheet, and the larger one of RFC 9106 §4 for one lane.
    for (memory, passes) in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5), (65_536, 3)] {
        let cost = Cost::new(memory, passes).unwrap();
        assert_eq!((cost.memory_kib(), cost.passes()), (memory, passes));
    }
    for (memory, passes) in [(0, 0), (8, 1), (7_167, 16), (7_168, 4), (19_456, 1), (35_839, 1), (19_456, 0)] {
        assert_eq!(Cost::new(memory, passes).map_err(|e| e.code()), Err("weak_cost"), "{memory} {passes}");
    }
    for (memory, passes) in [(262_145, 1), (19_456, 17), (u32::MAX, u32::MAX)] {
        assert_eq!(
            Cost::new(memory, passes).map_err(|e| e.code()),
            Err("cost_too_high"),
            "{memory} {passes}"
        );
    }
    assert_eq!((Cost::default().memory_kib(), Cost::default().passes()), (19_456, 2));
}

proptest! {
    #[test]
    fn text_of_any_form_is_a_hash_or_an_error(
        prefix in "(\\$argon2id\\$v=19\\$)?",
        parameters in "(m=[0-9]{0,12},t=[0-9]{0,12},p=[0-9])?",
        rest in "\\PC{0,80}",
    ) {
        let code = code("0123-4567-89AB-CDEF-GHNB");
        let text = format!("{prefix}{parameters}{rest}");
        prop_assert!(check(&code, &text).is_err());
    }
}
