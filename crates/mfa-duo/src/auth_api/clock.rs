//! How far Duo's clock is from ours.

use core::time::Duration;

use http::header::DATE;
use mfa_core::{HttpReply, Timestamp};

use super::date;

/// What to add to our clock for the date of a signature: Duo refuses one that is minutes off (40105).
///
/// Learnt from the time in the reply to [`Ping`](super::Ping) or [`Check`](super::Check), or from the date of a
/// refusal.
///
/// ```
/// use mfa_core::Timestamp;
/// use mfa_duo::auth_api::ClockOffset;
///
/// let ours = Timestamp::from_unix_seconds(1_700_000_000)?;
/// let duos = Timestamp::from_unix_seconds(1_699_999_400)?;
/// let offset = ClockOffset::between(duos, ours);
/// assert_eq!(offset.seconds(), -600);
/// assert_eq!(offset.apply(ours), duos);
/// assert_eq!(offset.take_back(duos), ours);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockOffset(i64);

impl ClockOffset {
    /// The clocks agree.
    pub const NONE: Self = Self(0);

    /// Returns the offset that makes `ours` into `duos`, in whole seconds.
    #[must_use]
    pub fn between(duos: Timestamp, ours: Timestamp) -> Self {
        let seconds = |time: Timestamp| i64::try_from(time.unix_seconds()).unwrap_or(i64::MAX);
        Self(seconds(duos).saturating_sub(seconds(ours)))
    }

    /// Returns the offset that the `Date` of a reply tells; `now` is when it came. `None` where it has none.
    #[must_use]
    pub fn from_date_of(reply: &HttpReply, now: Timestamp) -> Option<Self> {
        let duos = date::read(reply.headers().get(DATE)?.to_str().ok()?)?;
        Some(Self::between(duos, now))
    }

    /// Takes seconds: positive where Duo's clock is ahead.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds)
    }

    /// Returns the seconds: positive where Duo's clock is ahead.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// Returns Duo's time when ours is `now`.
    #[must_use]
    pub fn apply(self, now: Timestamp) -> Timestamp {
        shifted(now, self.0)
    }

    /// Returns our time when Duo's is `time`.
    #[must_use]
    pub fn take_back(self, time: Timestamp) -> Timestamp {
        shifted(time, self.0.saturating_neg())
    }
}

fn shifted(time: Timestamp, seconds: i64) -> Timestamp {
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { time.minus(by) } else { time.plus(by) }
}
