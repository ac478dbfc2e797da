//! What the writer has done so far.

use std::sync::{Mutex, PoisonError};

use crate::writer::MAX_BATCH;

/// Counts since the store was opened, of this handle's process alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Commits that were written.
    pub commits: u64,
    /// Commits that met a conflict.
    pub conflicts: u64,
    /// Transactions they went into, each with one fsync at most.
    pub batches: u64,
    /// How many commits the last transaction held.
    pub last_batch: usize,
    /// How many commits the median transaction held.
    pub median_batch: usize,
}

/// Counts transactions by their size.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    stats: Stats,
    /// How many transactions held 0, 1, 2 … commits.
    sizes: Box<[u64]>,
}

impl Default for Counts {
    fn default() -> Self {
        Self { stats: Stats::default(), sizes: vec![0; MAX_BATCH.saturating_add(1)].into() }
    }
}

impl Tally {
    /// Counts one transaction: for each of its jobs whether it was a commit that was done.
    pub(crate) fn add(&self, jobs: impl Iterator<Item = Option<bool>>) {
        let (mut done, mut conflicts) = (0_u64, 0_u64);
        for was_done in jobs.flatten() {
            let count = if was_done { &mut done } else { &mut conflicts };
            *count = count.saturating_add(1);
        }
        let size = usize::try_from(done.saturating_add(conflicts)).unwrap_or(usize::MAX);
        if size == 0 {
            return;
        }
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.stats.commits = counts.stats.commits.saturating_add(done);
        counts.stats.conflicts = counts.stats.conflicts.saturating_add(conflicts);
        counts.stats.batches = counts.stats.batches.saturating_add(1);
        counts.stats.last_batch = size;
        if let Some(count) = counts.sizes.get_mut(size) {
            *count = count.saturating_add(1);
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut passed = 0_u64;
        let at_median = counts.sizes.iter().position(|count| {
            passed = passed.saturating_add(*count);
            passed.saturating_mul(2) >= counts.stats.batches && passed > 0
        });
        Stats { median_batch: at_median.unwrap_or(0), ..counts.stats }
    }
}
