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

/// How much working memory is kept for the next hashes at most: of so many that run at once.
const MOST_IDLE: usize = 16;

/// Working memory that no hash uses. It is kept, and not given back: an allocator may serve no other block of its
/// size and alignment from it, as that of glibc does, and then every hash makes the process grow by its memory.
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
        let mut idle = idle();
        if idle.len() < MOST_IDLE {
            idle.push(core::mem::take(&mut self.0));
        }
    }
}

/// The one place where something is hashed: Argon2id version 19, one lane, no secret key, no associated data.
///
/// The working memory is not wiped: what it holds is found from the code, not the code from it.
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

    use crate::Cost;

    thread_local! {
        /// The cost of every hash that this thread has made.
        pub(crate) static COUNTED: RefCell<Vec<Cost>> = const { RefCell::new(Vec::new()) };
    }
}
