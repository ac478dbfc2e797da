//! Dates of headers.

use core::fmt::Write as _;

use chrono::{DateTime, Datelike, Timelike, Utc};
use mfa_core::Timestamp;

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Writes a date as `duo_client` does, in UTC: `Tue, 21 Aug 2012 17:29:18 -0000` (RFC 5322 §3.3).
pub(super) fn write(time: Timestamp) -> String {
    let seconds = i64::try_from(time.unix_seconds()).ok();
    let time: DateTime<Utc> =
        seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).unwrap_or_default();
    let name = |names: &[&'static str], at: u32| {
        usize::try_from(at).ok().and_then(|at| names.get(at).copied()).unwrap_or_default()
    };
    let mut text = String::with_capacity(31);
    let _ = write!(
        text,
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} -0000",
        name(&DAYS, time.weekday().num_days_from_monday()),
        time.day(),
        name(&MONTHS, time.month0()),
        time.year(),
        time.hour(),
        time.minute(),
        time.second()
    );
    text
}

/// Reads a date as servers send it: `Tue, 21 Aug 2012 17:29:18 GMT` (RFC 9110 §5.6.7, its preferred form).
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let time = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    u64::try_from(time.timestamp()).ok().and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_example_of_duos_documentation() {
        let time = Timestamp::from_unix_seconds(1_345_570_158).unwrap();
        assert_eq!(write(time), "Tue, 21 Aug 2012 17:29:18 -0000");
    }

    #[test]
    fn days_have_two_digits() {
        let time = Timestamp::from_unix_seconds(1_354_900_680).unwrap();
        assert_eq!(write(time), "Fri, 07 Dec 2012 17:18:00 -0000");
        assert_eq!(write(Timestamp::MAX), "Fri, 31 Dec 9999 23:59:59 -0000");
    }

    #[test]
    fn rfc9110_section_5_6_7() {
        let time = Timestamp::from_unix_seconds(784_111_777).unwrap();
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(time));
        assert_eq!(read("Thu, 01 Jan 1960 00:00:00 GMT"), None);
        assert_eq!(read("yesterday"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_u64..253_402_300_800) {
            let time = Timestamp::from_unix_seconds(seconds).unwrap();
            prop_assert_eq!(read(&write(time)), Some(time));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = read(&text);
        }
    }
}
