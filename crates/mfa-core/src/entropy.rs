//! Randomness: one draw from the operating system a step, rarely two, sliced, counted as drawn per use, and wiped.

use core::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use zeroize::Zeroize;

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
pub(crate) struct CheckedEntropy(Arc<Checked>);

#[derive(Debug)]
struct Checked {
    source: Arc<dyn Entropy>,
    hasher: RandomState,
    /// A keyed hash of the last draw's beginning, so that memory holds no bytes that are in use elsewhere.
    previous: AtomicU64,
}

impl CheckedEntropy {
    pub(crate) fn new(source: Arc<dyn Entropy>) -> Self {
        Self(Arc::new(Checked { source, hasher: RandomState::new(), previous: AtomicU64::new(0) }))
    }

    pub(crate) fn is_test_double(&self) -> bool {
        self.0.source.is_test_double()
    }

    /// Returns the draw of one step. It is made when its first byte is taken: a step that writes nothing draws
    /// nothing.
    pub(crate) fn draw(&self) -> Draw {
        Draw {
            source: self.clone(),
            bytes: [0; Draw::BYTES],
            first: Draw::USUAL,
            drawn: 0,
            used: 0,
            version: None,
        }
    }

    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.source.fill(out)?;
        if out.chunks(16).any(|block| block.iter().all(|byte| *byte == 0)) {
            return Err(EntropyError::ZeroBlock);
        }
        let beginning = self.0.hasher.hash_one(out.get(..32).unwrap_or(out));
        if self.0.previous.swap(beginning, Ordering::Relaxed) == beginning {
            return Err(EntropyError::Repeated);
        }
        Ok(())
    }
}

/// The random bytes of one step: each is handed out once, all are wiped at the end.
///
/// As many as a step usually needs are drawn at once; a step that needs more draws the rest.
pub struct Draw {
    source: CheckedEntropy,
    bytes: [u8; Self::BYTES],
    first: usize,
    drawn: usize,
    used: usize,
    version: Option<[u8; 16]>,
}

impl Draw {
    /// How many bytes one step may use.
    pub const BYTES: usize = 256;
    /// How many bytes are drawn first: judging an answer uses the version of its commit and the salt of its event. The
    /// next 64 would take the operating system as long as a MAC takes us.
    const USUAL: usize = 32;

    /// Takes a draw for a provider's test from `source`.
    ///
    /// # Errors
    /// [`EntropyError`] if the source fails, gives a block of zeros or too few bytes.
    pub fn from_source(source: Arc<dyn Entropy>) -> Result<Self, EntropyError> {
        let mut draw = CheckedEntropy::new(source).draw();
        draw.draw_up_to(Self::BYTES)?;
        Ok(draw)
    }

    /// Says that the step will use up to `bytes`, so that they are drawn at once.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.first = self.first.max(bytes);
    }

    /// Hands out the next `N` bytes.
    ///
    /// # Errors
    /// [`EntropyError::Exhausted`] if the step has used up its bytes. The first call draws, and the one that
    /// goes past what was drawn: then every other [`EntropyError`] too.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N], EntropyError> {
        let end = self.used.saturating_add(N);
        if end > self.drawn {
            self.draw_up_to(if end <= self.first { self.first } else { Self::BYTES })?;
        }
        let rest = self.bytes.get(self.used..self.drawn).unwrap_or_default();
        let taken = *rest.first_chunk::<N>().ok_or(EntropyError::Exhausted)?;
        self.used = end;
        Ok(taken)
    }

    /// Returns the version that the step's commit will have: the same bytes each time.
    pub(crate) fn version(&mut self) -> Result<[u8; 16], EntropyError> {
        let version = self.version.map_or_else(|| self.take(), Ok)?;
        Ok(*self.version.insert(version))
    }

    fn draw_up_to(&mut self, end: usize) -> Result<(), EntropyError> {
        let more = self.bytes.get_mut(self.drawn..end).filter(|more| !more.is_empty());
        let more = more.ok_or(EntropyError::Exhausted)?;
        self.source.fill(more).inspect_err(|_| more.zeroize())?;
        self.drawn = end;
        Ok(())
    }
}

impl Drop for Draw {
    fn drop(&mut self) {
        self.bytes.get_mut(..self.drawn).unwrap_or_default().zeroize();
    }
}

impl fmt::Debug for Draw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draw").field("used", &self.used).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts up over all its draws, so that each byte can be told from its neighbours; fails from a draw on.
    #[derive(Debug)]
    struct Counting {
        bytes: AtomicUsize,
        draws: AtomicUsize,
        sound: usize,
    }

    impl Entropy for Counting {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
            if self.draws.fetch_add(1, Ordering::SeqCst) >= self.sound {
                return Err(EntropyError::Unavailable);
            }
            let from = self.bytes.fetch_add(out.len(), Ordering::SeqCst);
            (from..).zip(out).for_each(|(count, byte)| *byte = nth(count));
            Ok(())
        }

        fn is_test_double(&self) -> bool {
            true
        }
    }

    fn nth(count: usize) -> u8 {
        u8::try_from(count % 255).unwrap() + 1
    }

    fn draw(sound: usize) -> (Arc<Counting>, Draw) {
        let source = Arc::new(Counting { bytes: AtomicUsize::new(0), draws: AtomicUsize::new(0), sound });
        let draw = CheckedEntropy::new(Arc::clone(&source) as Arc<dyn Entropy>).draw();
        (source, draw)
    }

    #[test]
    fn a_step_that_needs_more_draws_once_more_and_hands_out_each_byte_once() {
        let (source, mut draw) = draw(usize::MAX);
        let mut taken = Vec::new();
        taken.extend(draw.take::<24>().unwrap());
        assert_eq!(source.draws.load(Ordering::SeqCst), 1);
        // From the end of the first draw into the second.
        taken.extend(draw.take::<32>().unwrap());
        taken.extend(draw.take::<184>().unwrap());
        taken.extend(draw.take::<16>().unwrap());
        assert_eq!(taken, (0..Draw::BYTES).map(nth).collect::<Vec<_>>());
        assert_eq!(draw.take::<1>().unwrap_err(), EntropyError::Exhausted);
        assert_eq!(source.draws.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn what_was_reserved_is_drawn_at_once() {
        let (source, mut draw) = draw(usize::MAX);
        draw.reserve(128);
        assert_eq!(draw.take::<124>().unwrap().to_vec(), (0..124).map(nth).collect::<Vec<_>>());
        assert_eq!(source.draws.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_second_draw_that_fails_hands_out_nothing() {
        let (_, mut draw) = draw(1);
        draw.take::<32>().unwrap();
        for _ in 0..2 {
            assert_eq!(draw.take::<16>().unwrap_err(), EntropyError::Unavailable);
        }
    }
}
