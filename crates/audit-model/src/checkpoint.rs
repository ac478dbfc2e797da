//! What fixes a part of the log: a count and a hash over its events, chained and under a key.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::event::push_part;
use crate::{AuditError, Timestamp};

/// The key that checkpoints are authenticated with: 32 bytes, used for nothing else.
///
/// Its bytes are wiped when it is dropped.
///
/// # Security
/// Who has the key can rewrite the log. Keep it out of the store, its file and its backups, and do not derive
/// it from a key that the store's readers have; only the process that makes checkpoints and whoever verifies
/// need it.
///
/// ```
/// use audit_model::CheckpointKey;
/// assert!(CheckpointKey::from_bytes([7; 32]).is_ok());
/// // A buffer that nobody filled is no key.
/// assert_eq!(CheckpointKey::from_bytes([0; 32]).unwrap_err().code(), "invalid");
/// ```
#[derive(Clone)]
pub struct CheckpointKey(Zeroizing<[u8; 32]>);

impl CheckpointKey {
    /// Takes 32 secret random bytes.
    ///
    /// # Errors
    /// [`AuditError::Invalid`] if all of them are zero.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, AuditError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.iter().all(|byte| *byte == 0) {
            let problem = "has no byte but zero; give 32 random ones".to_owned();
            return Err(AuditError::Invalid { field: "checkpoint key", problem });
        }
        Ok(Self(bytes))
    }

    /// Begins a MAC over `signed`, which starts with a label of its own.
    pub(crate) fn mac(&self, signed: &[u8]) -> Hmac<Sha256> {
        // HMAC pads a short key with zeros to the hash's block (RFC 2104 §2); done here, it cannot fail.
        let mut block = Zeroizing::new([0; 64]);
        block.iter_mut().zip(self.0.iter()).for_each(|(to, from)| *to = *from);
        let block: &[u8; 64] = &block;
        let mut mac = Hmac::<Sha256>::new(block.into());
        mac.update(signed);
        mac
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckpointKey(..)")
    }
}

/// Fixes the events that were committed since the checkpoint before it.
///
/// Events stand in the log in the order of their commits, at the places 1, 2, 3 and so on. A checkpoint covers
/// the `count` places up to `total`. Its MAC is HMAC-SHA256 (RFC 2104) over every other value, each behind its
/// length, so that none can be changed, and over the MAC before it, so that none can be left out.
///
/// Nothing in it is secret, and nothing in it speaks of a person. Keep the newest one where the log's writers
/// cannot reach it: it is what a cut-off end is found by.
///
/// ```
/// use audit_model::{Checkpoint, CheckpointKey, Timestamp};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = CheckpointKey::from_bytes([7; 32])?;
/// let at = Timestamp::from_unix_seconds(1_487_814_038)?;
/// let first = Checkpoint::over(None, [1; 16], at, vec![[2; 32], [3; 32]], &key)?;
/// let second = Checkpoint::over(Some(&first), [1; 16], at, vec![[4; 32]], &key)?;
/// assert_eq!((second.number, second.count, second.total), (2, 1, 3));
/// assert!(second.is_authentic(&key) && second.follows(&first));
///
/// // Whatever is changed, the MAC no longer fits.
/// let mut changed = second;
/// changed.total = 2;
/// assert!(!changed.is_authentic(&key));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// The log's id: 16 random bytes, the same in all of its checkpoints.
    pub log: [u8; 16],
    /// 1 for the first checkpoint of the log, then 2, 3 and so on.
    pub number: u64,
    /// When it was made.
    pub at: Timestamp,
    /// How many events it covers, at most [`Checkpoint::MAX_COUNT`].
    pub count: u64,
    /// How many events it and all before it cover: the last place it covers.
    pub total: u64,
    /// SHA-256 over the hashes of the events it covers, in ascending order, under a label.
    pub root: [u8; 32],
    /// The MAC of the checkpoint before it; zeros in the first.
    pub previous: [u8; 32],
    /// The MAC over all of the above.
    pub mac: [u8; 32],
}

impl Checkpoint {
    /// The most events that one checkpoint covers, so that their hashes, 32 bytes each, can be sorted in
    /// 32 MiB of memory.
    pub const MAX_COUNT: u64 = 1 << 20;

    /// Makes the checkpoint behind `last`, or the first one of `log`, over events with these `hashes`, given
    /// in any order.
    ///
    /// # Errors
    /// [`AuditError::Corrupt`] if `last` does not fit `key` or is of another log: nothing is built on a
    /// checkpoint that proves nothing. [`AuditError::Invalid`] for more than [`Checkpoint::MAX_COUNT`] hashes.
    pub fn over(
        last: Option<&Self>,
        log: [u8; 16],
        at: Timestamp,
        mut hashes: Vec<[u8; 32]>,
        key: &CheckpointKey,
    ) -> Result<Self, AuditError> {
        if last.is_some_and(|last| last.log != log || !last.is_authentic(key)) {
            return Err(AuditError::Corrupt("the last checkpoint is of another key or another log"));
        }
        let count = u64::try_from(hashes.len()).unwrap_or(u64::MAX);
        if count > Self::MAX_COUNT {
            let problem = format!("are {count}, the limit is {}", Self::MAX_COUNT);
            return Err(AuditError::Invalid { field: "hashes", problem });
        }
        let [number, total] = [(last.map(|last| last.number), 1), (last.map(|last| last.total), count)]
            .map(|(last, more)| last.unwrap_or(0).checked_add(more));
        let ended = AuditError::Corrupt("the numbers of the checkpoints");
        let (Some(number), Some(total)) = (number, total) else { return Err(ended) };
        let previous = last.map_or([0; 32], |last| last.mac);
        let root = root(&mut hashes);
        let mut made = Self { log, number, at, count, total, root, previous, mac: [0; 32] };
        made.mac = key.mac(&made.signed()).finalize().into_bytes().into();
        Ok(made)
    }

    /// Puts the values together again, as they were stored: log, number, time, count, total, then root,
    /// previous MAC and MAC. Nothing is checked: ask [`Checkpoint::is_authentic`].
    #[must_use]
    pub const fn from_stored(
        log: [u8; 16],
        number: u64,
        at: Timestamp,
        (count, total): (u64, u64),
        [root, previous, mac]: [[u8; 32]; 3],
    ) -> Self {
        Self { log, number, at, count, total, root, previous, mac }
    }

    /// Returns whether it was made with this key and not changed since; compared in constant time.
    #[must_use]
    pub fn is_authentic(&self, key: &CheckpointKey) -> bool {
        key.mac(&self.signed()).verify((&self.mac).into()).is_ok()
    }

    /// Returns whether it comes right behind `last` in one chain.
    #[must_use]
    pub fn follows(&self, last: &Self) -> bool {
        self.log == last.log
            && last.number.checked_add(1) == Some(self.number)
            && last.total.checked_add(self.count) == Some(self.total)
            && self.previous == last.mac
    }

    /// Returns whether it can be the first of a log.
    #[must_use]
    pub fn is_first(&self) -> bool {
        self.number == 1 && self.total == self.count && self.previous == [0; 32]
    }

    /// Returns whether it covers the event at `place`, counted from 1.
    #[must_use]
    pub const fn covers(&self, place: u64) -> bool {
        self.total.saturating_sub(self.count) < place && place <= self.total
    }

    /// Everything but the MAC.
    fn signed(&self) -> Vec<u8> {
        // Names every field, so that a new one cannot be forgotten here.
        let Self { log, number, at, count, total, root, previous, mac: _ } = self;
        let [number, at, count, total] = [*number, at.unix_millis(), *count, *total].map(u64::to_be_bytes);
        let mut out = Vec::with_capacity(256);
        let parts: [&[u8]; 8] = [b"audit/checkpoint/1", log, &number, &at, &count, &total, root, previous];
        parts.into_iter().for_each(|part| push_part(&mut out, part));
        out
    }
}

/// The hash over the hashes of events, whatever their order.
pub(crate) fn root(hashes: &mut [[u8; 32]]) -> [u8; 32] {
    hashes.sort_unstable();
    let labelled = Sha256::new().chain_update(b"audit/root/1");
    labelled.chain_update(hashes.as_flattened()).finalize().into()
}
