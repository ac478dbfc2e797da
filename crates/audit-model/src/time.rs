//! Points in time.

use core::fmt;
use core::time::Duration;

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use crate::TimeError;

/// Seconds between the start of the Gregorian calendar as Kazoo counts it (year 0) and the Unix epoch.
///
/// Kazoo's wire timestamps are gregorian seconds: `unix + 62_167_219_200`.
pub const GREGORIAN_OFFSET_SECONDS: u64 = 62_167_219_200;

/// A point in time: milliseconds since the Unix epoch, UTC, from 1970 to the end of year 9999.
///
/// Time is always an argument; nothing in this workspace reads a clock on its own except a host's `Runtime`.
///
/// ```
/// use audit_model::Timestamp;
///
/// let t = Timestamp::from_unix_seconds(1_487_814_038).unwrap();
/// assert_eq!(t.gregorian_seconds(), 63_655_033_238);
/// assert_eq!(t.to_string(), "2017-02-23T01:40:38.000Z");
/// assert_eq!(format!("{t:?}"), "2017-02-23T01:40:38.000Z");
/// assert!(Timestamp::from_unix_seconds(u64::MAX).is_err());
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The start of 1970.
    pub const MIN: Self = Self(0);
    /// The last millisecond of year 9999.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Takes whole seconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] past year 9999.
    pub fn from_unix_seconds(seconds: u64) -> Result<Self, TimeError> {
        seconds.checked_mul(1000).ok_or(TimeError::OutOfRange).and_then(Self::from_unix_millis)
    }

    /// Takes milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// [`TimeError::OutOfRange`] past year 9999.
    pub fn from_unix_millis(millis: u64) -> Result<Self, TimeError> {
        if millis > Self::MAX.0 { Err(TimeError::OutOfRange) } else { Ok(Self(millis)) }
    }

    /// Takes gregorian seconds, Kazoo's wire form.
    ///
    /// # Errors
    /// [`TimeError::NotGregorian`] below 1970 (as when Unix seconds were given), [`TimeError::OutOfRange`]
    /// past year 9999.
    pub fn from_gregorian_seconds(seconds: u64) -> Result<Self, TimeError> {
        let unix = seconds.checked_sub(GREGORIAN_OFFSET_SECONDS).ok_or(TimeError::NotGregorian)?;
        Self::from_unix_seconds(unix)
    }

    /// Returns whole seconds since the Unix epoch, rounded down.
    #[must_use]
    pub const fn unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// Returns milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_millis(self) -> u64 {
        self.0
    }

    /// Returns gregorian seconds, Kazoo's wire form, rounded down.
    #[must_use]
    pub const fn gregorian_seconds(self) -> u64 {
        self.unix_seconds().saturating_add(GREGORIAN_OFFSET_SECONDS)
    }

    /// Returns the time `by` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(Self::MAX.0))
    }

    /// Returns the time `by` earlier, at least [`Timestamp::MIN`].
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Returns how long after `earlier` this is; zero when it is not later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Returns `YYYYMM` of the UTC month, the prefix of event ids made in it.
    #[must_use]
    pub fn year_month(self) -> u32 {
        let date = self.to_chrono();
        date.year().unsigned_abs().saturating_mul(100).saturating_add(date.month())
    }

    /// Returns the first millisecond of the UTC month it lies in.
    ///
    /// ```
    /// use audit_model::Timestamp;
    /// let t = Timestamp::from_unix_seconds(1_487_814_038).unwrap();
    /// assert_eq!(t.start_of_month().to_string(), "2017-02-01T00:00:00.000Z");
    /// ```
    #[must_use]
    pub fn start_of_month(self) -> Self {
        let first = self.to_chrono().date_naive().with_day(1).unwrap_or_default();
        let millis = first.and_time(NaiveTime::MIN).and_utc().timestamp_millis();
        Self(u64::try_from(millis).unwrap_or(0))
    }

    fn to_chrono(self) -> DateTime<Utc> {
        i64::try_from(self.0).ok().and_then(DateTime::from_timestamp_millis).unwrap_or_default()
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        u64::deserialize(d).and_then(|millis| Self::from_unix_millis(millis).map_err(D::Error::custom))
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC with milliseconds, as in `2017-02-23T01:40:38.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.to_chrono().format("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
