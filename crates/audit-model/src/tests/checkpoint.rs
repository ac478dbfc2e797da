use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{SAMPLE_SECOND, at};
use crate::{AuditError, Checkpoint, CheckpointKey};

const LOG: [u8; 16] = [3; 16];

fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([7; 32]).unwrap()
}

fn over(last: Option<&Checkpoint>, hashes: &[[u8; 32]]) -> Result<Checkpoint, AuditError> {
    Checkpoint::over(last, LOG, at(SAMPLE_SECOND), hashes.to_vec(), &key())
}

/// The documented form, put together by hand.
#[test]
fn root_and_mac_are_the_documented_ones() {
    let first = over(None, &[[9; 32], [2; 32]]).unwrap();
    let root: [u8; 32] = Sha256::digest([&b"audit/root/1"[..], &[2; 32], &[9; 32]].concat()).into();
    assert_eq!((first.number, first.count, first.total), (1, 2, 2));
    assert_eq!((first.root, first.previous, first.log), (root, [0; 32], LOG));

    let second = over(Some(&first), &[[4; 32]]).unwrap();
    assert_eq!((second.number, second.count, second.total, second.previous), (2, 1, 3, first.mac));
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&[7; 32]).unwrap();
    let numbers = [2, SAMPLE_SECOND * 1000, 1, 3].map(u64::to_be_bytes);
    let [number, at, count, total] = &numbers;
    let parts: [&[u8]; 8] =
        [b"audit/checkpoint/1", &LOG, number, at, count, total, &second.root, &second.previous];
    for part in parts {
        mac.update(&u64::try_from(part.len()).unwrap().to_be_bytes());
        mac.update(part);
    }
    assert_eq!(second.mac, <[u8; 32]>::from(mac.finalize().into_bytes()));
}

#[test]
fn every_changed_value_breaks_the_mac() {
    let first = over(None, &[[1; 32]]).unwrap();
    let made = over(Some(&first), &[[2; 32], [3; 32]]).unwrap();
    assert!(made.is_authentic(&key()));
    let changes: [fn(&mut Checkpoint); 9] = [
        |c| c.log[0] ^= 1,
        |c| c.number += 1,
        |c| c.at = at(SAMPLE_SECOND + 1),
        |c| c.count += 1,
        |c| c.total += 1,
        |c| c.root[31] ^= 1,
        |c| c.previous[0] ^= 0x80,
        |c| c.mac[0] ^= 1,
        |c| c.mac[31] ^= 1,
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = made;
        change(&mut changed);
        assert!(!changed.is_authentic(&key()), "change {n}");
    }
    assert!(!made.is_authentic(&CheckpointKey::from_bytes([8; 32]).unwrap()));
}

#[test]
fn only_the_next_link_of_the_same_chain_follows() {
    let first = over(None, &[[1; 32]]).unwrap();
    let second = over(Some(&first), &[[2; 32], [3; 32]]).unwrap();
    assert!(second.follows(&first) && first.is_first());
    let changes: [fn(&mut Checkpoint); 5] =
        [|c| c.log[15] ^= 1, |c| c.number += 1, |c| c.count -= 1, |c| c.total -= 1, |c| c.previous[31] ^= 1];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = second;
        change(&mut changed);
        assert!(!changed.follows(&first), "change {n}");
    }
    let changes: [fn(&mut Checkpoint); 3] = [|c| c.number = 2, |c| c.total = 2, |c| c.previous[0] = 1];
    for (n, change) in changes.into_iter().enumerate() {
        let mut changed = first;
        change(&mut changed);
        assert!(!changed.is_first(), "change {n}");
    }
}

#[test]
fn nothing_is_built_on_a_checkpoint_of_another_key_or_log() {
    let first = over(None, &[[1; 32]]).unwrap();
    let other_key = CheckpointKey::from_bytes([8; 32]).unwrap();
    let refused = Checkpoint::over(Some(&first), LOG, first.at, vec![], &other_key);
    assert_eq!(refused.unwrap_err().code(), "corrupt");
    let refused = Checkpoint::over(Some(&first), [4; 16], first.at, vec![], &key());
    assert_eq!(refused.unwrap_err().code(), "corrupt");
}

#[test]
fn a_checkpoint_covers_no_more_than_its_limit() {
    let limit = usize::try_from(Checkpoint::MAX_COUNT).unwrap();
    assert_eq!(over(None, &vec![[1; 32]; limit]).unwrap().count, Checkpoint::MAX_COUNT);
    let refused = over(None, &vec![[1; 32]; limit + 1]).unwrap_err();
    assert_eq!(refused.to_string(), "hashes: are 1048577, the limit is 1048576");
}

#[test]
fn the_numbers_of_the_last_checkpoint_do_not_wrap() {
    let mut last = over(None, &[[1; 32]]).unwrap();
    (last.number, last.total) = (u64::MAX, u64::MAX);
    assert!(over(Some(&last), &[[2; 32]]).is_err());
    assert!(!last.follows(&last) && last.covers(u64::MAX) && !last.covers(0));
}

#[test]
fn a_key_of_zeros_is_refused_and_no_key_is_shown() {
    let refused = CheckpointKey::from_bytes([0; 32]).unwrap_err();
    assert!(matches!(refused, AuditError::Invalid { field: "checkpoint key", .. }), "{refused:?}");
    for place in 0..32 {
        let mut bytes = [0; 32];
        bytes[place] = 1;
        assert!(CheckpointKey::from_bytes(bytes).is_ok(), "{place}");
    }
    let key = CheckpointKey::from_bytes([0xab; 32]).unwrap();
    assert_eq!(format!("{key:?}"), "CheckpointKey(..)");
}

proptest! {
    #[test]
    fn the_order_of_the_hashes_does_not_matter_but_every_bit_does(
        mut hashes in proptest::collection::vec(any::<[u8; 32]>(), 1..40),
        turn in any::<prop::sample::Index>(),
        bit in 0..256_usize,
    ) {
        let made = over(None, &hashes).unwrap();
        let count = hashes.len();
        hashes.rotate_left(turn.index(count));
        prop_assert_eq!(over(None, &hashes).unwrap(), made);
        hashes[turn.index(count)][bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(over(None, &hashes).unwrap().root, made.root);
    }
}
