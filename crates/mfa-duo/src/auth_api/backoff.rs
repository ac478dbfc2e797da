//! When to ask again after "too many requests".

use core::time::Duration;

use http::header::RETRY_AFTER;
use mfa_core::{HttpReply, Timestamp};

use super::date;

/// The waits of Duo's clients after HTTP 429, as data: 1, 2, 4, 8, 16 and 32 s, each with up to a second of
/// jitter, so seven requests at most.
///
/// ```
/// use std::time::Duration;
/// use mfa_duo::auth_api::Backoff;
///
/// let mut backoff = Backoff::new();
/// let jitter = Duration::from_millis(123);
/// assert_eq!(backoff.next(jitter, None), Some(Duration::from_millis(1_123)));
/// // Duo asks for longer.
/// assert_eq!(backoff.next(jitter, Some(Duration::from_secs(9))), Some(Duration::from_millis(9_123)));
/// for seconds in [4, 8, 16, 32] {
///     assert_eq!(backoff.next(Duration::ZERO, None), Some(Duration::from_secs(seconds)));
/// }
/// // The answer to the seventh request stands.
/// assert_eq!(backoff.next(jitter, None), None);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    refused: u8,
}

impl Backoff {
    /// How many waits there are.
    const WAITS: u8 = 6;
    /// Jitter is shorter than this.
    const MAX_JITTER: Duration = Duration::from_secs(1);

    /// Begins before the first request.
    #[must_use]
    pub const fn new() -> Self {
        Self { refused: 0 }
    }

    /// Counts a 429 and returns how long to wait before the next request, or `None` if there is to be none.
    ///
    /// `jitter` is a random time below one second; more counts as one. `retry_after` is what the reply asked for
    /// ([`retry_after`]); the longer wait counts.
    #[must_use]
    pub fn next(&mut self, jitter: Duration, retry_after: Option<Duration>) -> Option<Duration> {
        if self.refused >= Self::WAITS {
            return None;
        }
        let wait = Duration::from_secs(1_u64.checked_shl(u32::from(self.refused)).unwrap_or(u64::MAX));
        self.refused = self.refused.saturating_add(1);
        Some(wait.max(retry_after.unwrap_or_default()).saturating_add(jitter.min(Self::MAX_JITTER)))
    }
}

/// Returns how long the header `Retry-After` of a reply asks to wait: seconds, or until a date (RFC 9110
/// §10.2.3). `now` is the time by the clock that wrote the date, Duo's. `None` where it has none that can be read.
#[must_use]
pub fn retry_after(reply: &HttpReply, now: Timestamp) -> Option<Duration> {
    let value = reply.headers().get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    date::read(value).map(|until| until.since(now))
}
