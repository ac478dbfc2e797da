//! The long poll of `auth_status`, as data.

use core::time::Duration;

use mfa_core::{HttpFault, Timestamp};

use super::AuthResult;
use crate::{ApiErrorClass, Error};

/// Asks `auth_status` until there is a result: within a total time, a time for each request, and a number of
/// requests. What runs out is no grant.
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

    /// Begins a poll at `now` that ends `total` later. Duo holds a reply for half a minute and more:
    /// `per_request` below 75 s gives up early.
    #[must_use]
    pub fn new(now: Timestamp, total: Duration, per_request: Duration) -> Self {
        Self { ends_at: now.plus(total), per_request, left: Self::MAX_REQUESTS }
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

    /// Judges an answer that came at `now`. Time-outs and 40002, with which Duo ends a long poll, mean to ask again.
    #[must_use]
    pub fn after(&self, answer: Result<AuthResult, Error>, now: Timestamp) -> Polled {
        let pause = Polled::Again { wait: Self::PAUSE.min(self.ends_at.since(now)) };
        match answer {
            Ok(result) if result.waiting() => Polled::Again { wait: Duration::ZERO },
            Ok(result) => Polled::Finished(result),
            Err(Error::TimedOut | Error::Transport(HttpFault::Unanswered)) => pause,
            Err(Error::Api(error)) if error.class() == ApiErrorClass::InvalidParameter => pause,
            Err(error) => Polled::Failed(error),
        }
    }
}
