//! Hashes of codes: Argon2id (RFC 9106), and its text form for hosts that keep hashes themselves.

mod phc;
#[cfg(test)]
mod reference_vectors;

use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{Cost, Error, RecoveryCode};

/// The bytes of a hash.
pub(crate) const HASH_BYTES: usize = 32;

/// The bytes of one hash, wiped when dropped.
pub(crate) type Hash = Zeroizing<[u8; HASH_BYTES]>;

/// Hashes a code for a host that keeps hashes itself: a PHC string,
/// `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`.
///
/// What is hashed is the code in upper case without dashes, so any implementation of Argon2 can check it.
/// The salt is 16 bytes from the operating system's random source, others for each code. The provider of this
/// crate keeps its sets in another form and needs none of this.
///
/// This takes about 20 ms and the cost's memory: not on an executor's thread.
///
/// ```
/// use mfa_recovery::{Cost, RecoveryCode, check, hash};
///
/// let saved = RecoveryCode::parse("0123-4567-89AB-CDEF-GHNB")?;
/// # let salt = *b"sixteen bytes of";
/// let kept = hash(&saved, Cost::default(), salt)?;
/// assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
///
/// let typed = RecoveryCode::parse("0123 4567 89ab cdef ghnb")?;
/// assert!(check(&typed, &kept)?);
/// // What is no such hash cannot be checked.
/// assert_eq!(check(&typed, "$2b$12$...").unwrap_err().code(), "invalid_hash");
/// # Ok::<(), mfa_recovery::Error>(())
/// ```
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn hash(code: &RecoveryCode, cost: Cost, salt: [u8; 16]) -> Result<String, Error> {
    let hash = argon2id(code.canonical().as_bytes(), &salt, cost, None)?;
    Ok(phc::write(cost, &salt, &hash))
}

/// Checks a code against what [`hash`](fn@hash) returned, in constant time. The cost is the one of the hash.
///
/// It says nothing of whether the code was used before: a host that keeps hashes itself removes or marks one
/// in the same atomic write that makes the answer count.
///
/// # Errors
/// [`Error::InvalidHash`] for text of another form, [`Error::CostTooHigh`] where it asks for more than 256 MiB
/// or 16 passes, [`Error::OutOfMemory`].
pub fn check(code: &RecoveryCode, hash: &str) -> Result<bool, Error> {
    let kept = phc::parse(hash)?;
    let hash = argon2id(code.canonical().as_bytes(), &kept.salt, kept.cost, None)?;
    Ok(hash.ct_eq(kept.hash.as_slice()).into())
}

/// How much working memory is kept for the next hashes at most: of so many that ran at once,
const MOST_IDLE: usize = 16;
/// and so many blocks of 1 KiB in all, 512 MiB. What is more goes back to the allocator.
const MOST_IDLE_BLOCKS: usize = 512 * 1024;

/// Working memory that no hash uses. It is kept, and not given back: an allocator may serve no other block of its
/// size and alignment from it, as that of glibc does, and then every hash makes the process grow by its memory.
///
/// It is not wiped, which would lengthen every hash. A hash reads no block that it has not written itself, so that
/// nothing of one gets into another; and from what lies there a code of 80 random bits or more is found no other way
/// than from its hash: by trying codes. The code and the hash themselves are wiped.
static IDLE: Mutex<Vec<Vec<Block>>> = Mutex::new(Vec::new());

fn idle() -> MutexGuard<'static, Vec<Vec<Block>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The working memory of hashes that are made one after the other.
pub(crate) struct Memory(Vec<Block>);

impl Memory {
    pub(crate) fn new(cost: Cost) -> Result<Self, Error> {
        let blocks = params(cost)?.block_count();
        let mut memory = Self(idle().pop().unwrap_or_default());
        let more = blocks.saturating_sub(memory.0.len());
        memory.0.try_reserve_exact(more).map_err(|_| Error::OutOfMemory)?;
        memory.0.resize(blocks, Block::new());
        Ok(memory)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        keep(&mut idle(), core::mem::take(&mut self.0));
    }
}

/// Keeps working memory for the next hash, unless enough is kept.
fn keep(idle: &mut Vec<Vec<Block>>, memory: Vec<Block>) {
    let kept: usize = idle.iter().map(Vec::capacity).sum();
    if idle.len() < MOST_IDLE && kept.saturating_add(memory.capacity()) <= MOST_IDLE_BLOCKS {
        idle.push(memory);
    }
}

/// The one place where something is hashed: Argon2id version 19, one lane, no secret key, no associated data.
pub(crate) fn argon2id(
    password: &[u8],
    salt: &[u8],
    cost: Cost,
    memory: Option<&mut Memory>,
) -> Result<Hash, Error> {
    #[cfg(test)]
    tests::COUNTED.with_borrow_mut(|counted| counted.push(cost));
    let engine = Argon2::new(Algorithm::Argon2id, Version::V0x13, params(cost)?);
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    let mut own;
    let memory = match memory {
        Some(memory) => memory,
        None => {
            own = Memory::new(cost)?;
            &mut own
        }
    };
    engine
        .hash_password_into_with_memory(password, salt, &mut *hash, &mut memory.0)
        .map_err(|_| Error::OutOfMemory)?;
    Ok(hash)
}

fn params(cost: Cost) -> Result<Params, Error> {
    Params::new(cost.memory_kib(), cost.passes(), 1, Some(HASH_BYTES))
        .map_err(|_| Error::InvalidHash { reason: "has parameters that Argon2id does not have" })
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::RefCell;

    use super::*;

    thread_local! {
        /// The cost of every hash that this thread has made.
        pub(crate) static COUNTED: RefCell<Vec<Cost>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn memory_that_other_hashes_left_changes_no_hash() {
        let cost = |memory, passes| Cost::new(memory, passes).unwrap();
        let (small, large) = (cost(7 * 1024, 5), cost(9 * 1024, 4));
        let fresh = |cost: Cost| {
            let mut memory = Memory(Vec::new());
            memory.0.resize(params(cost).unwrap().block_count(), Block::new());
            argon2id(b"a code", b"a salt of a set.", cost, Some(&mut memory)).unwrap()
        };
        for (before, after) in [(small, large), (large, small), (small, small)] {
            let mut memory = Memory::new(before).unwrap();
            argon2id(b"another's code", b"another set's...", before, Some(&mut memory)).unwrap();
            memory.0.resize(params(after).unwrap().block_count(), Block::new());
            let used = argon2id(b"a code", b"a salt of a set.", after, Some(&mut memory)).unwrap();
            assert_eq!(*used, *fresh(after));
        }
    }

    #[test]
    fn no_more_memory_is_kept_than_is_said() {
        let of = |blocks| Vec::<Block>::with_capacity(blocks);
        let mut idle = Vec::new();
        (0..MOST_IDLE + 4).for_each(|_| keep(&mut idle, of(8)));
        assert_eq!(idle.len(), MOST_IDLE);
        // Untouched capacity takes no memory: four of the highest cost there may be, of which two are kept.
        let mut idle = Vec::new();
        (0..4).for_each(|_| keep(&mut idle, of(256 * 1024)));
        assert_eq!(idle.len(), 2);
    }

    #[test]
    fn a_job_that_panics_leaves_the_kept_memory_good() {
        let cost = Cost::new(7 * 1024, 5).unwrap();
        let panicked = std::panic::catch_unwind(|| {
            let _memory = Memory::new(cost).unwrap();
            let _held = idle();
            panic!("while it is held");
        });
        assert!(panicked.is_err());
        let hash = argon2id(b"a code", b"a salt of a set.", cost, None).unwrap();
        assert_eq!(*hash, *argon2id(b"a code", b"a salt of a set.", cost, None).unwrap());
    }
}
