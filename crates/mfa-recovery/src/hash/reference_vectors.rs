//! The vectors for Argon2id, version 19, one lane, of `src/test.c` in the reference implementation
//! (P-H-C/phc-winner-argon2): passes, memory as a power of two in KiB, password, salt, hash.

use data_encoding::HEXLOWER;

use super::{Memory, argon2id, phc};
use crate::Cost;

const VECTORS: [(u32, u32, &str, &str, &str); 6] = [
    (2, 16, "password", "somesalt", "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
    (2, 8, "password", "somesalt", "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
    (1, 16, "password", "somesalt", "f6a5adc1ba723dddef9b5ac1d464e180fcd9dffc9d1cbf76cca2fed795d9ca98"),
    (4, 16, "password", "somesalt", "9025d48e68ef7395cca9079da4c4ec3affb3c8911fe4f86d1a2520856f63172c"),
    (
        2,
        16,
        "differentpassword",
        "somesalt",
        "0b84d652cf6b0c4beaef0dfe278ba6a80df6696281d7e0d2891b817d8c458fde",
    ),
    (2, 16, "password", "diffsalt", "bdf32b05ccc42eb15d58fd19b1f856b113da1e9a5874fdcc544308565aa8141c"),
];

/// The first vector, as the reference implementation writes it.
const WRITTEN: &str =
    "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

#[test]
fn hashes_are_those_of_the_reference_implementation() {
    for (passes, memory, password, salt, expected) in VECTORS {
        let cost = Cost::of_kept(1 << memory, passes).unwrap();
        let mut memory = Memory::new(cost).unwrap();
        // Twice in the same memory: what is left of the first hash does not change the second.
        for memory in [None, Some(&mut memory)] {
            let hash = argon2id(password.as_bytes(), salt.as_bytes(), cost, memory).unwrap();
            assert_eq!(HEXLOWER.encode(hash.as_slice()), expected, "{passes} passes");
        }
        let hash = argon2id(b"other", b"othersalt", cost, Some(&mut memory)).unwrap();
        assert_ne!(HEXLOWER.encode(hash.as_slice()), expected);
        let hash = argon2id(password.as_bytes(), salt.as_bytes(), cost, Some(&mut memory)).unwrap();
        assert_eq!(HEXLOWER.encode(hash.as_slice()), expected, "in used memory");
    }
}

#[test]
fn text_is_read_and_written_as_the_reference_implementation_does() {
    let kept = phc::parse(WRITTEN).unwrap();
    assert_eq!((kept.cost.memory_kib(), kept.cost.passes()), (1 << 16, 2));
    assert_eq!(kept.salt, b"somesalt");
    assert_eq!(HEXLOWER.encode(kept.hash.as_slice()), VECTORS[0].4);
    assert_eq!(phc::write(kept.cost, &kept.salt, &kept.hash), WRITTEN);
}
