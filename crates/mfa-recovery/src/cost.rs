//! What one hash costs.

use crate::Error;

/// The cost of one Argon2id hash (RFC 9106): memory and passes, always with one lane.
///
/// The default, 19 MiB and 2 passes, is what OWASP's Password Storage Cheat Sheet names first for machines
/// that log users in. No cost goes below the floor: 7 MiB, and memory times passes as much as the weakest of
/// that sheet's equal choices (7 MiB in 5 passes). A code's random bits alone keep it from being guessed;
/// the cost is what is left where a random source was weak and the sealed record was opened.
///
/// ```
/// use mfa_recovery::Cost;
/// let cost = Cost::new(46 * 1024, 1)?;
/// assert_eq!(cost.memory_kib(), 47_104);
/// assert_eq!(Cost::new(4_096, 10).unwrap_err().code(), "weak_cost");
/// # Ok::<(), mfa_recovery::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
}

impl Cost {
    /// The least memory, in KiB.
    pub const MIN_MEMORY_KIB: u32 = 7 * 1024;
    /// The least product of memory in KiB and passes.
    pub const MIN_WORK_KIB: u32 = 5 * Self::MIN_MEMORY_KIB;
    /// The most memory, in KiB. The pool of slow work needs so much for each of its threads.
    pub const MAX_MEMORY_KIB: u32 = 256 * 1024;
    /// The most passes.
    pub const MAX_PASSES: u32 = 16;

    /// Takes the memory of one hash in KiB and the number of passes over it.
    ///
    /// # Errors
    /// [`Error::WeakCost`] below the floor, [`Error::CostTooHigh`] over 256 MiB or 16 passes.
    pub const fn new(memory_kib: u32, passes: u32) -> Result<Self, Error> {
        if memory_kib > Self::MAX_MEMORY_KIB || passes > Self::MAX_PASSES {
            return Err(Error::CostTooHigh);
        }
        if memory_kib < Self::MIN_MEMORY_KIB || memory_kib.saturating_mul(passes) < Self::MIN_WORK_KIB {
            return Err(Error::WeakCost);
        }
        Ok(Self { memory_kib, passes })
    }

    /// Takes the cost of a set that exists: the floor of its time may have been lower.
    pub(crate) const fn of_kept(memory_kib: u32, passes: u32) -> Option<Self> {
        if memory_kib > Self::MAX_MEMORY_KIB || passes > Self::MAX_PASSES {
            return None;
        }
        Some(Self { memory_kib, passes })
    }

    /// Returns the memory of one hash, in KiB.
    #[must_use]
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Returns the number of passes over the memory.
    #[must_use]
    pub const fn passes(self) -> u32 {
        self.passes
    }
}

impl Default for Cost {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, passes: 2 }
    }
}
