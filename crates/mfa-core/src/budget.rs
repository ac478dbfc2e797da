//! Budgets: how many judged failures a user's methods may still have, and the delays between them.
//!
//! Two counts limit guessing. Each enrolment has a count of consecutive failures, which a success clears: it
//! sets delays and, at the stop, disables the enrolment (SP 800-63B-4 §3.2.2). Each user has a count over
//! all methods of low entropy in 24 hours and in 30 days, which nothing clears.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

/// Consecutive failures from which on each further one is delayed.
pub(crate) const DELAYS_FROM: u16 = 5;
/// Consecutive failures that disable an enrolment until it is bound anew.
pub(crate) const STOP_AT: u16 = 100;
/// The longest delay.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(900);

const HOUR_MILLIS: u64 = 3_600_000;
const DAY_MILLIS: u64 = 86_400_000;
/// How far ahead a count may stay. A clock that was further ahead was wrong.
const HOURS_KEPT: u64 = 24;

/// Returns how long answers are refused after the `consecutive`-th failure in a row: 1, 2, 4 … 900 seconds
/// from the fifth on.
pub(crate) fn delay_after(consecutive: u16) -> Duration {
    let Some(doublings) = consecutive.checked_sub(DELAYS_FROM) else {
        return Duration::ZERO;
    };
    let seconds = 1_u64.checked_shl(doublings.into()).unwrap_or(u64::MAX);
    Duration::from_secs(seconds).min(LONGEST_DELAY)
}

/// A user's judged failures in 25 hourly and 31 daily counters. The first counter is the current hour or
/// day; a window's sum is never less than the true count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failures {
    hour: u64,
    #[serde(with = "counters")]
    hours: [u8; 25],
    day: u64,
    #[serde(with = "counters")]
    days: [u8; 31],
}

impl Failures {
    /// Counts one failure.
    pub(crate) fn charge(&mut self, now: Timestamp) {
        self.roll(now);
        for counter in [self.hours.first_mut(), self.days.first_mut()].into_iter().flatten() {
            *counter = counter.saturating_add(1);
        }
    }

    /// Returns the failures of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let (mut sum, mut other) = (self.clone(), other.clone());
        let now =
            |failures: &Self, other: &Self| (failures.hour.max(other.hour), failures.day.max(other.day));
        let (hour, day) = now(&sum, &other);
        for failures in [&mut sum, &mut other] {
            shift(&mut failures.hours, &mut failures.hour, hour);
            shift(&mut failures.days, &mut failures.day, day);
        }
        let counters = sum.hours.iter_mut().chain(&mut sum.days).zip(other.hours.iter().chain(&other.days));
        counters.for_each(|(counter, more)| *counter = counter.saturating_add(*more));
        sum
    }

    /// Takes back one failure that was charged at `at`, as an accepted answer does with its own charge.
    pub(crate) fn refund(&mut self, at: Timestamp) {
        let age = |now: u64, then: u64| usize::try_from(now.saturating_sub(then)).unwrap_or(usize::MAX);
        let hour = age(self.hour, at.unix_millis() / HOUR_MILLIS);
        let day = age(self.day, at.unix_millis() / DAY_MILLIS);
        for counter in [self.hours.get_mut(hour), self.days.get_mut(day)].into_iter().flatten() {
            *counter = counter.saturating_sub(1);
        }
    }

    /// Returns at least as many failures as happened in the last 24 hours.
    #[cfg(test)]
    pub(crate) fn in_a_day(&self, now: Timestamp) -> u32 {
        let mut rolled = self.clone();
        rolled.roll(now);
        sum(&rolled.hours)
    }

    /// Returns at least as many failures as happened in the last 30 days.
    #[cfg(test)]
    pub(crate) fn in_a_month(&self, now: Timestamp) -> u32 {
        let mut rolled = self.clone();
        rolled.roll(now);
        sum(&rolled.days)
    }

    /// Returns how long it takes until both windows hold fewer than their limits; zero if they do now.
    pub(crate) fn wait(&self, now: Timestamp, daily: u32, monthly: u32) -> Duration {
        let mut rolled = self.clone();
        rolled.roll(now);
        let hours = until_below(&rolled.hours, rolled.hour, daily, now, HOUR_MILLIS);
        hours.max(until_below(&rolled.days, rolled.day, monthly, now, DAY_MILLIS))
    }

    /// Takes `now` as the current time although later times were seen: what was counted moves back with the
    /// clock, so that a clock that goes forth and back ages nothing of what is still counted, and what would be of
    /// the future is now. What a jump of more than a day took out of the hours stays in the days.
    ///
    /// Within a day's difference nothing moves: to a node that is ahead, what moved back would look older
    /// than it is.
    pub(crate) fn rebase(&mut self, now: Timestamp) {
        if self.hour.saturating_sub(now.unix_millis() / HOUR_MILLIS) <= HOURS_KEPT {
            return;
        }
        unshift(&mut self.hours, &mut self.hour, now.unix_millis() / HOUR_MILLIS);
        unshift(&mut self.days, &mut self.day, now.unix_millis() / DAY_MILLIS);
    }

    fn roll(&mut self, now: Timestamp) {
        shift(&mut self.hours, &mut self.hour, now.unix_millis() / HOUR_MILLIS);
        shift(&mut self.days, &mut self.day, now.unix_millis() / DAY_MILLIS);
    }
}

/// Counters without the zeros at their end, which nearly all are.
mod counters {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(counters: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        let end = counters.iter().rposition(|counter| *counter != 0).map_or(0, |last| last.saturating_add(1));
        serializer.serialize_bytes(counters.get(..end).unwrap_or(counters))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(
        deserializer: D,
    ) -> Result<[u8; N], D::Error> {
        let kept = <&[u8]>::deserialize(deserializer)?;
        let mut counters = [0; N];
        let begin = counters.get_mut(..kept.len()).ok_or_else(|| D::Error::custom("too many counters"))?;
        begin.copy_from_slice(kept);
        Ok(counters)
    }
}

/// Moves counters back by the time that has passed. A clock that went back moves nothing.
fn shift(counters: &mut [u8], head: &mut u64, now: u64) {
    let passed = usize::try_from(now.saturating_sub(*head)).unwrap_or(usize::MAX).min(counters.len());
    counters.rotate_right(passed);
    counters.iter_mut().take(passed).for_each(|counter| *counter = 0);
    *head = now.max(*head);
}

/// Moves counters forward by the time that a clock went back, the undoing of [`shift`].
fn unshift(counters: &mut [u8], head: &mut u64, now: u64) {
    let back = usize::try_from(head.saturating_sub(now)).unwrap_or(usize::MAX).min(counters.len());
    let folded = counters.iter().take(back).fold(0_u8, |sum, counter| sum.saturating_add(*counter));
    counters.rotate_left(back);
    counters.iter_mut().rev().take(back).for_each(|counter| *counter = 0);
    if let Some(first) = counters.first_mut() {
        *first = first.saturating_add(folded);
    }
    *head = now.min(*head);
}

fn sum(counters: &[u8]) -> u32 {
    counters.iter().map(|counter| u32::from(*counter)).sum()
}

fn until_below(counters: &[u8], head: u64, limit: u32, now: Timestamp, unit: u64) -> Duration {
    let mut total = sum(counters);
    let mut units = 0_u64;
    let mut oldest = counters.iter().rev();
    while total >= limit {
        let Some(counter) = oldest.next() else { break };
        total = total.saturating_sub(u32::from(*counter));
        units = units.saturating_add(1);
    }
    if units == 0 {
        return Duration::ZERO;
    }
    // The first counter's unit may be one that has not come yet.
    Duration::from_millis(head.saturating_add(units).saturating_mul(unit).saturating_sub(now.unix_millis()))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn delays_double_from_the_fifth_failure_and_stay_at_900_seconds() {
        let seconds = |n| delay_after(n).as_secs();
        assert_eq!([4, 5, 6, 7, 14, 15, 99, u16::MAX].map(seconds), [0, 1, 2, 4, 512, 900, 900, 900]);
    }

    #[test]
    fn counters_are_kept_without_the_zeros_at_their_end() {
        let mut failures = Failures::default();
        let at = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
        failures.charge(at);
        failures.charge(at.plus(Duration::from_secs(3 * 3600)));
        let bytes = postcard::to_extend(&failures, Vec::new()).unwrap();
        // Hour 472,225 and 4 counters behind their length; day 19,676, a new one, and 2 counters behind theirs.
        assert_eq!(bytes.len(), (3 + 1 + 4) + (3 + 1 + 2));
        assert_eq!(postcard::from_bytes::<Failures>(&bytes).unwrap(), failures);
        let too_many = [&[0, 26][..], &[1; 26], &[0, 0]].concat();
        assert!(postcard::from_bytes::<Failures>(&too_many).is_err());
    }

    proptest! {
        #[test]
        fn windows_never_hold_less_than_the_true_count_and_forget_in_time(
            mut gaps in prop::collection::vec(0_u64..40 * 3600, 1..120),
        ) {
            gaps.truncate(100);
            let mut failures = Failures::default();
            let mut now = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
            let mut true_times = Vec::new();
            for gap in gaps {
                now = now.plus(Duration::from_secs(gap));
                failures.charge(now);
                true_times.push(now);
                let within = |age| true_times.iter().filter(|t| now.since(**t) < age).count();
                let at_most = |age| true_times.iter().filter(|t| now.since(**t) <= age).count();
                let (day, month) = (Duration::from_secs(86_400), Duration::from_secs(30 * 86_400));
                let (hour, one) = (Duration::from_secs(3600), Duration::from_secs(86_400));
                let (in_day, in_month) = (failures.in_a_day(now) as usize, failures.in_a_month(now) as usize);
                prop_assert!(in_day >= within(day) && in_day <= at_most(day + hour));
                prop_assert!(in_month >= within(month) && in_month <= at_most(month + one));
            }
        }

        #[test]
        fn a_clock_that_goes_forth_and_back_loses_no_failure(jumps in prop::collection::vec(0_u64..25 * 24, 1..40)) {
            let mut failures = Failures::default();
            let now = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
            for (charged, hours) in (1_u32..).zip(jumps) {
                failures.charge(now.plus(Duration::from_secs(hours * 3600)));
                failures.rebase(now);
                prop_assert!(failures.in_a_month(now) >= charged);
            }
        }

        #[test]
        fn a_clock_that_is_less_than_a_day_ahead_loses_no_failure_of_the_day(
            jumps in prop::collection::vec(0_u64..23, 1..40),
        ) {
            let mut failures = Failures::default();
            let now = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
            for (charged, hours) in (1_u32..).zip(jumps) {
                failures.charge(now.plus(Duration::from_secs(hours * 3600)));
                failures.rebase(now);
                prop_assert!(failures.in_a_day(now) >= charged);
            }
        }

        #[test]
        fn waiting_as_long_as_told_makes_room(charges in prop::collection::vec(0_u64..7200, 20..60)) {
            let mut failures = Failures::default();
            let mut now = Timestamp::from_unix_seconds(1_700_000_000).unwrap();
            for gap in charges {
                now = now.plus(Duration::from_secs(gap));
                failures.charge(now);
            }
            let wait = failures.wait(now, 20, 100);
            prop_assert!(failures.in_a_day(now.plus(wait)) < 20);
            if wait > Duration::ZERO {
                let before = now.plus(wait).minus(Duration::from_millis(1));
                prop_assert!(failures.in_a_day(before) >= 20);
            }
        }
    }
}
