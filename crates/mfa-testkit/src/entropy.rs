//! Random sources for tests: one that repeats itself from run to run, and ones that fail.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use mfa_core::{Entropy, EntropyError};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Bytes that look random and are the same in every run with the same seed. Clones draw from one stream.
///
/// ```
/// use mfa_core::Entropy;
/// use mfa_testkit::entropy::SeededEntropy;
/// let draw = |seed| {
///     let mut bytes = [0; 16];
///     SeededEntropy::new(seed).fill(&mut bytes).unwrap();
///     bytes
/// };
/// assert_eq!(draw(1), draw(1));
/// assert_ne!(draw(1), draw(2));
/// ```
#[derive(Clone, Debug)]
pub struct SeededEntropy(Arc<Mutex<StdRng>>);

impl SeededEntropy {
    /// Starts the stream of `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(out);
        Ok(())
    }

    fn is_test_double(&self) -> bool {
        true
    }
}

/// What is wrong with a [`FaultyEntropy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntropyFault {
    /// It says that it has no bytes.
    Fails,
    /// It fills the first half and says that it filled all.
    Short,
    /// It gives 16 zero bytes among the others.
    ZeroBlock,
    /// It gives what it gave the first time.
    Repeats,
}

/// A source that is sound at first and then shows one fault for good.
#[derive(Debug)]
pub struct FaultyEntropy {
    source: SeededEntropy,
    fault: EntropyFault,
    sound: AtomicUsize,
    first: Mutex<Vec<u8>>,
}

impl FaultyEntropy {
    /// Makes a source that is sound for `sound` draws.
    #[must_use]
    pub fn new(fault: EntropyFault, sound: usize) -> Self {
        let (source, sound) = (SeededEntropy::new(7), AtomicUsize::new(sound));
        Self { source, fault, sound, first: Mutex::default() }
    }

    fn is_sound(&self) -> bool {
        let left = |sound: usize| sound.checked_sub(1);
        self.sound.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok()
    }
}

impl Entropy for FaultyEntropy {
    fn fill(&self, out: &mut [u8]) -> Result<(), EntropyError> {
        let is_sound = self.is_sound();
        if !is_sound && self.fault == EntropyFault::Fails {
            return Err(EntropyError::Unavailable);
        }
        self.source.fill(out)?;
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.is_empty() {
            *first = out.to_vec();
        }
        if is_sound {
            return Ok(());
        }
        let half = out.len() / 2;
        match self.fault {
            EntropyFault::Short => out.iter_mut().skip(half).for_each(|byte| *byte = 0),
            EntropyFault::ZeroBlock => {
                let block = half & !0x0f;
                out.iter_mut().skip(block).take(16).for_each(|byte| *byte = 0);
            }
            EntropyFault::Repeats => out.iter_mut().zip(&*first).for_each(|(o, f)| *o = *f),
            EntropyFault::Fails => {}
        }
        Ok(())
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
