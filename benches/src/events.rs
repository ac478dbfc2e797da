//! Events like those of logins, in any number.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use audit_model::{
    AccountId, Attempt, Event, EventBuilder, EventId, Kind, Outcome, Scope, Timestamp, UserId,
};
use mfa::{Commit, Version};

/// The time of every account's first event, in Unix seconds.
const START: u64 = 1_800_000_000;
/// From one event of an account to the next.
pub const APART: Duration = Duration::from_secs(60);
/// The addresses and the users of one account; its events have them in turn.
pub const ADDRESSES: usize = 10;
const USERS: usize = 50;

/// The scope of an account by its number.
#[must_use]
pub fn scope(account: usize) -> Scope {
    Scope::Account(AccountId::parse(&format!("account-{account:06}")).unwrap())
}

/// The time of an account's event.
#[must_use]
pub fn time(number: usize) -> Timestamp {
    let start = Timestamp::from_unix_seconds(START).unwrap();
    start.plus(APART * u32::try_from(number).unwrap())
}

/// An address of an account.
#[must_use]
pub fn address(number: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 0, 0, u8::try_from(number % ADDRESSES).unwrap()))
}

/// A commit of the events `from..to` of an account, and nothing else.
#[must_use]
pub fn commit(account: usize, from: usize, to: usize) -> Commit {
    let scope = scope(account);
    let version = Version::from_bytes(bytes(account, from, 2));
    let mut commit = Commit::new(scope.clone(), version, time(to));
    commit.events = (from..to).map(|number| event(&scope, account, number)).collect();
    commit
}

/// A code that was refused.
fn event(scope: &Scope, account: usize, number: usize) -> Event {
    let at = time(number);
    let user = UserId::parse(&format!("user-{:06}", number % USERS)).unwrap();
    let message = "The code is not right.";
    EventBuilder::new(scope.clone(), Kind::AnswerRejected, Outcome::Failure, at)
        .module("user_auth")
        .subject(bytes(account, number, 3))
        .reason("wrong_code")
        .field("method", "totp")
        .field("attempts_left", "4")
        .attempt(Attempt::new("multi_factor", message))
        .user(user)
        .ip(address(number))
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
        .request_id(&format!("request-{number:010}"))
        .build(EventId::new(at, bytes(account, number, 0)), bytes(account, number, 1))
        .unwrap()
}

/// Sixteen bytes that look random and never come twice.
fn bytes(account: usize, number: usize, use_: u64) -> [u8; 16] {
    // The finaliser of SplitMix64, which maps different numbers to different ones.
    let mix = |mut x: u64| {
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    };
    let place = (account as u64) << 32 | number as u64;
    let bytes = u128::from(mix(place.wrapping_add(use_ << 62))) << 64 | u128::from(mix(!place ^ use_));
    bytes.to_be_bytes()
}
