//! Work on its way to threads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the thread waits, after a batch of several, for their callers to come back: about one fsync.
const GATHER: Duration = Duration::from_micros(200);

/// Jobs in the order in which they came.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<T>,
    /// How many threads sleep here.
    sleeping: usize,
    /// How many jobs they sleep for.
    wanted: usize,
    closed: bool,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        let state = State { jobs: VecDeque::new(), sleeping: 0, wanted: 1, closed: false };
        Self { state: Mutex::new(state), filled: Condvar::new() }
    }

    /// Adds a job, or gives it back if the queue is closed.
    pub(crate) fn push(&self, job: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(job);
        }
        state.jobs.push_back(job);
        let wake = state.sleeping > 0 && state.jobs.len() >= state.wanted;
        drop(state);
        if wake {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes all waiting jobs, at most `limit`; waits for one. `None` once the queue is closed and empty.
    ///
    /// `last` is how many were taken the time before: callers who came together come back together, so the
    /// thread gives half of them a moment. One caller alone never waits. Of several threads on one queue
    /// each gives 0.
    pub(crate) fn take(&self, last: usize, limit: usize) -> Option<Vec<T>> {
        let mut state = self.lock();
        let several = last.checked_div(2).unwrap_or(0);
        if several > 1 && state.jobs.len() < several && !state.closed {
            state = self.sleep_for(state, several, Some(GATHER));
        }
        if state.jobs.is_empty() && !state.closed {
            state = self.sleep_for(state, 1, None);
        }
        let count = state.jobs.len().min(limit);
        (count > 0).then(|| state.jobs.drain(..count).collect())
    }

    /// Takes no further jobs; those that are in stay.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
    }

    /// Takes every job out.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        std::mem::take(&mut self.lock().jobs)
    }

    fn sleep_for<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<T>>,
        wanted: usize,
        at_most: Option<Duration>,
    ) -> MutexGuard<'s, State<T>> {
        state.wanted = wanted;
        state.sleeping = state.sleeping.saturating_add(1);
        let waits = |state: &mut State<T>| state.jobs.len() < wanted && !state.closed;
        let mut state = match at_most {
            None => self.filled.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner),
            Some(time) => {
                let waited = self.filled.wait_timeout_while(state, time, waits);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.wanted = 1;
        state.sleeping = state.sleeping.saturating_sub(1);
        state
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
