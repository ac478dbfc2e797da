//! What callers were told, in words that can be counted, and what the log must then say.

use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::{Changed, Error, Rejected, Timestamp, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;

use crate::STEP;

/// The longest delay after a failure.
pub const LONGEST_DELAY: Duration = Duration::from_secs(900);

/// Puts an answer into a few words: `granted`, `pending`, `wrong_code 4`, or `error` and its code.
///
/// The number is how many attempts the challenge has left.
#[must_use]
pub fn words(answer: &Result<Verify, Error>) -> String {
    match answer {
        Ok(Verify::Verified(_)) => "granted".to_owned(),
        Ok(Verify::Pending(_)) => "pending".to_owned(),
        Ok(Verify::Rejected(rejected)) => of_rejected(rejected),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error {}", error.code()),
    }
}

/// As [`words`], of a switch or a cancellation: `done` if it worked.
#[must_use]
pub fn words_of_change(answer: &Result<Changed, Error>) -> String {
    match answer {
        Ok(Changed::Done(_)) => "done".to_owned(),
        Ok(Changed::Rejected(rejected)) => of_rejected(rejected),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error {}", error.code()),
    }
}

fn of_rejected(rejected: &Rejected) -> String {
    format!("{} {}", rejected.reason, rejected.attempts_left)
}

/// Returns how many were told something whose first word is `word`.
#[must_use]
pub fn count(told: &[String], word: &str) -> usize {
    told.iter().filter(|words| words.split(' ').next() == Some(word)).count()
}

/// Returns a code that the app shows neither now nor within two steps of now.
///
/// # Panics
/// Never, as six codes cannot be near at once.
#[must_use]
pub fn wrong_code(app: &SoftAuthenticator, now: Timestamp) -> String {
    let mut near = vec![app.code_at(now)];
    for steps in 1..=2 {
        near.push(app.code_at(now.plus(STEP * steps)));
        near.push(app.code_at(now.minus(STEP * steps)));
    }
    let free = |n: &u32| !near.contains(&format!("{n:06}"));
    (0..6).find(free).map(|n| format!("{n:06}")).expect("a wrong code")
}

/// Returns the events of a kind and, where one is given, of a reason.
#[must_use]
pub fn of<'a>(events: &'a [Event], kind: Kind, reason: Option<&str>) -> Vec<&'a Event> {
    let fits = |event: &&Event| event.kind() == kind && (reason.is_none() || event.reason() == reason);
    events.iter().filter(fits).collect()
}

/// Checks that between the first and the last event of every stream none is missing and none is there twice,
/// and returns how many events are in streams.
///
/// # Panics
/// If one is.
pub fn streams_are_whole(events: &[Event]) -> usize {
    let mut places: Vec<_> = events.iter().filter_map(Event::stream).map(|s| (s.id, s.seq)).collect();
    places.sort_unstable();
    for pair in places.windows(2) {
        let fits = pair[0].0 != pair[1].0 || pair[1].1 == pair[0].1 + 1;
        assert!(fits, "a stream goes from {} to {}", pair[0].1, pair[1].1);
    }
    places.len()
}

/// Returns whether two events say that they have the same place of a stream.
#[must_use]
pub fn has_a_place_twice(events: &[Event]) -> bool {
    let mut places: Vec<_> = events.iter().filter_map(Event::stream).map(|s| (s.id, s.seq)).collect();
    places.sort_unstable();
    places.windows(2).any(|pair| pair[0] == pair[1])
}
