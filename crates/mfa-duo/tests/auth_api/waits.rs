//! When to ask again, as data.

use std::time::Duration;

use mfa_duo::Error;
use mfa_duo::auth_api::{AuthResult, AuthStatus, Backoff, Call, Poll, Polled, retry_after};
use serde_json::json;

use crate::{NOW, at, ok, reply};

#[test]
fn a_wait_is_what_duo_asks_for_or_longer() {
    let asks = |value: &str| {
        let reply = http::Response::builder().status(429).header("retry-after", value).body(Vec::new());
        retry_after(&reply.unwrap(), at(784_111_777))
    };
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(asks("120"), seconds(120));
    assert_eq!(asks(" 0 "), seconds(0));
    assert_eq!(asks("99999999999999999999"), seconds(u64::MAX));
    // The dates of RFC 9110 §5.6.7, 90 s apart.
    assert_eq!(asks("Sun, 06 Nov 1994 08:51:07 GMT"), seconds(90));
    assert_eq!(asks("Sun, 06 Nov 1994 08:48:07 GMT"), seconds(0));
    for nothing in ["", "-1", "+1", "1.5", "soon", "1 2"] {
        assert_eq!(asks(nothing), None, "{nothing:?}");
    }
    assert_eq!(retry_after(&reply(429, ""), at(NOW)), None);

    let mut backoff = Backoff::new();
    assert_eq!(backoff.next(Duration::from_secs(50), None), seconds(2), "jitter is a second at most");
    assert_eq!(backoff.next(Duration::ZERO, seconds(1)), seconds(2), "never shorter than the wait");
    assert_eq!(backoff.next(Duration::MAX, seconds(u64::MAX)), Some(Duration::MAX));
}

/// The waits of `duo_client`, whose loop ends when the next one would be longer than 32 s.
#[test]
fn there_are_six_waits_and_no_seventh() {
    for retry_after in [None, Some(Duration::from_secs(600))] {
        let mut backoff = Backoff::new();
        let waits: Vec<_> = (0..20).map_while(|_| backoff.next(Duration::ZERO, retry_after)).collect();
        let expected = [1, 2, 4, 8, 16, 32].map(Duration::from_secs);
        assert_eq!(waits, expected.map(|wait| wait.max(retry_after.unwrap_or_default())));
    }
}

fn waiting() -> AuthResult {
    AuthStatus::parse(&ok(json!({ "result": "waiting", "status": "pushed" }))).unwrap()
}

#[test]
fn a_poll_ends_after_its_time_or_twenty_requests() {
    let (minute, total) = (Duration::from_secs(60), Duration::from_secs(75));
    let mut poll = Poll::new(at(NOW), total, minute);
    for _ in 0..20 {
        assert_eq!(poll.begin(at(NOW)), Some(minute));
        assert!(matches!(poll.after(Ok(waiting()), at(NOW)), Polled::Again { wait } if wait.is_zero()));
    }
    assert_eq!(poll.begin(at(NOW)), None);

    let mut poll = Poll::new(at(NOW), total, minute);
    assert_eq!(poll.begin(at(NOW + 74)), Some(Duration::from_secs(1)));
    assert_eq!(poll.begin(at(NOW + 75)), None);
    assert_eq!(poll.begin(at(NOW + 7_500)), None);
}

#[test]
fn a_poll_goes_on_after_a_time_out_and_ends_with_a_refusal() {
    let mut poll = Poll::new(at(NOW), Duration::from_secs(75), Duration::from_secs(60));
    let refused = |status, code| {
        AuthStatus::parse(&reply(status, json!({ "stat": "FAIL", "code": code }))).map(|_| waiting())
    };
    for answer in
        [refused(400, 40002), Err(Error::TimedOut), Err(Error::Transport(mfa_core::HttpFault::Unanswered))]
    {
        assert!(
            matches!(poll.after(answer, at(NOW)), Polled::Again { wait } if wait == Duration::from_secs(1))
        );
    }
    for answer in [
        refused(401, 40103),
        refused(404, 40401),
        refused(429, 42901),
        Err(Error::Transport(mfa_core::HttpFault::Tls)),
        Err(Error::Transport(mfa_core::HttpFault::Refused)),
        Err(Error::HttpStatus { status: 404 }),
        Err(Error::MalformedReply { reason: "x" }),
    ] {
        assert!(matches!(poll.after(answer, at(NOW)), Polled::Failed(_)));
    }
    for result in ["deny", "allow", "new"] {
        let answer = AuthStatus::parse(&ok(json!({ "result": result })));
        let Polled::Finished(finished) = poll.after(answer, at(NOW)) else { panic!("{result}") };
        assert_eq!(finished.granted(), result == "allow");
    }
}

#[test]
fn a_poll_goes_on_more_slowly_while_duo_cannot_be_reached_or_fails() {
    let mut poll = Poll::new(at(NOW), Duration::from_secs(75), Duration::from_secs(60));
    let server = || AuthStatus::parse(&reply(500, json!({ "stat": "FAIL", "code": 50000 })));
    let failures = || {
        [
            Err(Error::Transport(mfa_core::HttpFault::NotSent)),
            server(),
            Err(Error::HttpStatus { status: 502 }),
            Err(Error::HttpStatus { status: 503 }),
            server(),
        ]
    };
    for _ in 0..2 {
        let mut waits = Vec::new();
        for failure in failures() {
            let Polled::Again { wait } = poll.after(failure, at(NOW)) else { panic!() };
            waits.push(wait.as_secs());
        }
        assert_eq!(waits, [1, 2, 4, 8, 8]);
        // An answer begins anew.
        assert!(matches!(poll.after(Ok(waiting()), at(NOW)), Polled::Again { wait } if wait.is_zero()));
    }
    for failure in failures().into_iter().take(3) {
        drop(poll.after(failure, at(NOW)));
    }
    // No wait goes past the end.
    let Polled::Again { wait } = poll.after(server(), at(NOW + 73)) else { panic!() };
    assert_eq!(wait, Duration::from_secs(2));
}
