//! The long poll of `auth_status`, as data.

use core::time::Duration;

use mfa_core::{HttpFault, Timestamp};

use super::AuthResult;
use crate::{ApiErrorClass, Error};

/// Asks `auth_status` until there is a result: within a total time, a time for each request, and a number of
/// requests. What runs out is no grant. Where Duo cannot be reached or fails by its own fault, the user may have answered
/// all the same: it is asked again, less often each time.
///
/// ```
/// use std::time::Duration;
/// use mfa_core::Timestamp;
/// use mfa_duo::Error;
/// use mfa_duo::auth_api::{Poll, Polled};
///
/// let start = Timestamp::from_unix_seconds(1_700_000_000)?;
/// let mut poll = Poll::new(start, Duration::from_secs(75), Duration::from_secs(60));
/// assert_eq!(poll.begin(start), Some(Duration::from_secs(60)));
/// // No answer within that time: ask again, with what is left.
/// assert!(matches!(poll.after(Err(Error::TimedOut), start), Polled::Again { .. }));
/// let later = start.plus(Duration::from_secs(61));
/// assert_eq!(poll.begin(later), Some(Duration::from_secs(14)));
/// assert_eq!(poll.begin(start.plus(Duration::from_secs(75))), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Poll {
    ends_at: Timestamp,
    per_request: Duration,
    left: u8,
    /// How often in a row Duo could not be reached or failed.
    failed: u32,
}

/// What an answer means for the poll.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Polled {
    /// It is over: [`AuthResult::granted`] says how.
    Finished(AuthResult),
    /// Nothing yet. Wait so long, then call [`Poll::begin`].
    Again {
        /// Zero where Duo held the reply itself.
        wait: Duration,
    },
    /// It is over without a result.
    Failed(Error),
}

impl Poll {
    /// How many requests there are at most, as in `duo_unix`.
    pub const MAX_REQUESTS: u8 = 20;
    /// The wait after a failure, which may come at once and again.
    const PAUSE: Duration = Duration::from_secs(1);
    /// The longest wait, after failures in a row.
    const LONGEST_PAUSE: Duration = Duration::from_secs(8);

    /// Begins a poll at `now` that ends `total` later. Duo holds a reply for half a minute and more:
    /// `per_request` below 75 s gives up early.
    #[must_use]
    pub fn new(now: Timestamp, total: Duration, per_request: Duration) -> Self {
        Self { ends_at: now.plus(total), per_request, left: Self::MAX_REQUESTS, failed: 0 }
    }

    /// Counts a request and returns how long it may take, or `None` if there is to be none.
    #[must_use]
    pub fn begin(&mut self, now: Timestamp) -> Option<Duration> {
        let time = self.ends_at.since(now).min(self.per_request);
        if time.is_zero() {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(time)
    }

    /// Judges an answer that came at `now`. Time-outs and 40002, with which Duo ends a long poll, mean to ask again; so
    /// do a request that was not sent and Duo's own faults, after waits of 1, 2, 4 and then 8 s.
    #[must_use]
    pub fn after(&mut self, answer: Result<AuthResult, Error>, now: Timestamp) -> Polled {
        let again = |wait: Duration| Polled::Again { wait: wait.min(self.ends_at.since(now)) };
        match answer {
            Ok(result) if result.waiting() => {
                self.failed = 0;
                Polled::Again { wait: Duration::ZERO }
            }
            Ok(result) => Polled::Finished(result),
            Err(Error::TimedOut | Error::Transport(HttpFault::Unanswered)) => again(Self::PAUSE),
            Err(Error::Api(error)) if error.class() == ApiErrorClass::InvalidParameter => again(Self::PAUSE),
            Err(error) if is_passing(&error) => {
                let wait = Self::PAUSE.saturating_mul(1_u32.checked_shl(self.failed).unwrap_or(u32::MAX));
                let polled = again(wait.min(Self::LONGEST_PAUSE));
                self.failed = self.failed.saturating_add(1);
                polled
            }
            Err(error) => Polled::Failed(error),
        }
    }
}

/// Returns whether Duo was not reached or failed by its own fault, which says nothing of the user.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Transport(HttpFault::NotSent) => true,
        Error::HttpStatus { status } => (500..=599).contains(status),
        Error::Api(error) => error.class() == ApiErrorClass::Server,
        _ => false,
    }
}
