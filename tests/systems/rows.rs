//! Attempts of any account and time, written to a store as its commits write them.

use std::sync::atomic::{AtomicU64, Ordering};

use audit_model::{Attempt, Event, EventBuilder, EventId, Kind, MULTI_FACTOR, Outcome, Scope};
use mfa::{AccountId, Commit, Committed, Store, Timestamp, Version};

/// The second of the sample row in Kazoo's documentation: 2017-02-23T01:40:38Z, 63655033238 in gregorian seconds.
pub(crate) const SAMPLE: u64 = 1_487_814_038;

pub(crate) fn at(unix_seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(unix_seconds).unwrap()
}

/// Names a time as the wire does.
pub(crate) fn gregorian(unix_seconds: u64) -> String {
    at(unix_seconds).gregorian_seconds().to_string()
}

pub(crate) fn account(name: &str) -> Scope {
    Scope::Account(AccountId::parse(name).unwrap())
}

/// A refused answer of an account, which is in the attempts view.
pub(crate) fn attempt(account_name: &str, unix_seconds: u64) -> EventBuilder {
    EventBuilder::new(account(account_name), Kind::AnswerRejected, Outcome::Failure, at(unix_seconds))
        .module("cb_user_auth")
        .attempt(Attempt::new(MULTI_FACTOR, "unauthorized"))
}

/// Ends an event under an id that no other of this process has.
pub(crate) fn built(event: EventBuilder) -> Event {
    let id = EventId::new(event.at(), unique());
    event.build(id, unique()).unwrap()
}

/// Commits events of one scope, a thousand at once.
pub(crate) async fn write(store: &dyn Store, events: impl IntoIterator<Item = EventBuilder>) -> Vec<Event> {
    let events: Vec<_> = events.into_iter().map(built).collect();
    for part in events.chunks(1000) {
        let now = part[0].at();
        let mut commit = Commit::new(part[0].scope().clone(), Version::from_bytes(unique()), now);
        commit.events = part.to_vec();
        assert_eq!(store.commit(commit).await.unwrap(), Committed::Done);
    }
    events
}

/// Sixteen bytes that no one else was given.
pub(crate) fn unique() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // Spread over all the ids there are, so that the order of ids is not that of writing.
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let spread = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (u128::from(spread) << 64 | u128::from(number)).to_be_bytes()
}
