//! Randomness: one draw from the operating system a step, sliced, counted as drawn per use, and wiped.

use core::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

/// A source of random bytes.
///
/// *Contract.* [`fill`](Entropy::fill) fills the whole slice with fresh, unpredictable bytes or fails; there
/// is no user-space pool that a fork or a snapshot could clone. *What a wrong implementation costs:* secrets
/// that an attacker can guess.
pub trait Entropy: fmt::Debug + Send + Sync + 'static {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`EntropyError`] if fewer bytes could be had.
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError>;

    /// Returns whether this source is made for tests; an engine refuses such a source unless told otherwise.
    fn is_test_double(&self) -> bool;
}

/// The operating system's source.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct OsEntropy;

impl OsEntropy {
    /// Names the operating system's source.
    #[must_use]
    pub const fn new() -> Self {
        Self
    }
}

impl Entropy for OsEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        getrandom::fill(out).map_err(|_| EntropyError::Unavailable)
    }

    fn is_test_double(&self) -> bool {
        false
    }
}

/// Why there are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EntropyError {
    /// The source failed or gave too few bytes.
    #[error("the random source is unavailable")]
    Unavailable,
    /// The source gave a block of zeros, as after a short read.
    #[error("the random source gave a block of zeros")]
    ZeroBlock,
    /// The source gave the same bytes again.
    #[error("the random source repeated itself")]
    Repeated,
    /// One step asked for more bytes than it may.
    #[error("a step asked for more random bytes than its draw holds")]
    Exhausted,
}

impl EntropyError {
    /// Returns a stable code: `entropy_unavailable`, `entropy_zero_block`, `entropy_repeated` or `entropy_exhausted`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Unavailable => "entropy_unavailable",
            Self::ZeroBlock => "entropy_zero_block",
            Self::Repeated => "entropy_repeated",
            Self::Exhausted => "entropy_exhausted",
        }
    }
}

/// A source whose output is checked: zero blocks and repeats are errors.
#[derive(Clone, Debug)]
pub(crate) struct CheckedEntropy {
    source: Arc<dyn Entropy>,
    previous: Arc<Mutex<[u8; 32]>>,
}

impl CheckedEntropy {
    pub(crate) fn new(source: Arc<dyn Entropy>) -> Self {
        Self { source, previous: Arc::new(Mutex::new([0; 32])) }
    }

    pub(crate) fn is_test_double(&self) -> bool {
        self.source.is_test_double()
    }

    /// Returns the draw of one step. It is made when its first byte is taken: a step that writes nothing draws
    /// nothing.
    pub(crate) fn draw(&self) -> Draw {
        Draw { source: self.clone(), drawn: None }
    }

    fn drawn(&self) -> Result<Drawn, EntropyError> {
        let mut bytes = Zeroizing::new([0; Draw::BYTES]);
        self.source.fill(&mut *bytes)?;
        if bytes.chunks(16).any(|block| block.iter().all(|byte| *byte == 0)) {
            return Err(EntropyError::ZeroBlock);
        }
        // Only a digest of the last block is kept, so that memory holds no bytes that are in use elsewhere.
        let first: [u8; 32] = Sha256::digest(bytes.get(..32).unwrap_or_default()).into();
        let mut previous = self.previous.lock().unwrap_or_else(PoisonError::into_inner);
        if core::mem::replace(&mut *previous, first) == first {
            return Err(EntropyError::Repeated);
        }
        Ok(Drawn { bytes, used: 0 })
    }
}

/// The random bytes of one step: drawn at once, each byte is handed out once, all are wiped at the end.
pub struct Draw {
    source: CheckedEntropy,
    drawn: Option<Drawn>,
}

struct Drawn {
    bytes: Zeroizing<[u8; Draw::BYTES]>,
    used: usize,
}

impl Draw {
    /// How many bytes one step may use.
    pub const BYTES: usize = 256;

    /// Takes a draw for a provider's test from `source`.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails, gives a block of zeros or too few bytes.
    pub fn from_source(source: Arc<dyn Entropy>) -> Result<Self, EntropyError> {
        let mut draw = CheckedEntropy::new(source).draw();
        draw.drawn()?;
        Ok(draw)
    }

    /// Hands out the next `N` bytes.
    ///
    /// # Errors
    /// [`EntropyError::Exhausted`] if the step has used up its bytes. The first call draws: then every other
    /// [`EntropyError`] too.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], EntropyError> {
        let drawn = self.drawn()?;
        let rest = drawn.bytes.get(drawn.used..).unwrap_or_default();
        let taken = *rest.first_chunk::<N>().ok_or(EntropyError::Exhausted)?;
        drawn.used = drawn.used.saturating_add(N);
        Ok(taken)
    }

    fn drawn(&mut self) -> Result<&mut Drawn, EntropyError> {
        match &mut self.drawn {
            Some(drawn) => Ok(drawn),
            none => Ok(none.insert(self.source.drawn()?)),
        }
    }
}

impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = self.drawn.as_ref().map(|drawn| drawn.used);
        f.debug_struct("Draw").field("used", &used).finish_non_exhaustive()
    }
}
