use futures::executor::block_on;
use proptest::prelude::*;

use super::{SAMPLE_GREGORIAN, SAMPLE_SECOND, VecLog, acme, at, attempt_at, key};
use crate::{
    AccountId, AttemptsQuery, AuditError, Order, Outcome, Query, TimeError, Timestamp, View, all, page,
};

const MAX: u64 = 2_682_000;

fn asked() -> AttemptsQuery {
    AttemptsQuery::new(AccountId::parse("acme").unwrap())
}

fn now() -> Timestamp {
    at(SAMPLE_SECOND)
}

fn made(asked: &AttemptsQuery) -> Query {
    asked.to_query(now(), &key()).unwrap()
}

fn refused(asked: &AttemptsQuery) -> AuditError {
    asked.to_query(now(), &key()).unwrap_err()
}

#[test]
fn without_parameters_it_asks_for_the_last_31_days_and_one_hour() {
    let query = made(&asked());
    assert_eq!(query.scope, acme());
    assert_eq!((query.view, query.order, query.limit), (View::Attempts, Order::Descending, 50));
    assert_eq!(query.from, Some(at(1_485_132_038)));
    assert_eq!(query.to.unwrap().unix_millis(), 1_487_814_038_999);
}

#[test]
fn a18_both_ends_are_included_and_the_last_one_covers_its_whole_second() {
    let query = made(&asked().created_from(SAMPLE_GREGORIAN).created_to(SAMPLE_GREGORIAN));
    for (millis, inside) in [(37_999, false), (38_000, true), (38_999, true), (39_000, false)] {
        let at = Timestamp::from_unix_millis(1_487_814_000_000_u64.saturating_add(millis)).unwrap();
        let inside_range = query.from.unwrap() <= at && at <= query.to.unwrap();
        assert_eq!(inside_range, inside, "{millis}");
    }
    let log = VecLog::of([attempt_at(SAMPLE_SECOND, 1)]);
    assert_eq!(block_on(all(&log, &query, 10)).unwrap().len(), 1);
}

#[test]
fn a18_the_longest_range_is_allowed_and_one_second_more_is_not() {
    let from = SAMPLE_GREGORIAN.saturating_sub(MAX);
    made(&asked().created_from(from).created_to(SAMPLE_GREGORIAN));
    made(&asked().created_from(from));
    let error = refused(&asked().created_from(from.saturating_sub(1)).created_to(SAMPLE_GREGORIAN));
    assert_eq!(error.code(), "date_range");
    let text = "created_to 63655033238 is more than 2682000 seconds from created_from 63652351237";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_range_that_ends_before_it_begins_is_told_in_kazoos_words() {
    let error = refused(&asked().created_from(9).created_to(5));
    assert_eq!(error.code(), "date_range");
    assert_eq!(error.to_string(), "created_to 5 is prior to created_from 9");
    let error = refused(&asked().created_from(SAMPLE_GREGORIAN).created_to(63_655_033_237));
    assert_eq!(error.to_string(), "created_to 63655033237 is prior to created_from 63655033238");
    // Without an end the range ends now.
    let error = refused(&asked().created_from(63_655_033_239));
    assert_eq!(error.to_string(), "created_to 63655033238 is prior to created_from 63655033239");
}

#[test]
fn only_a_beginning_sixty_days_back_is_too_long() {
    let error = refused(&asked().created_from(SAMPLE_GREGORIAN.saturating_sub(60 * 86_400)));
    assert!(matches!(error, AuditError::RangeTooLong { limit_seconds: MAX, .. }), "{error}");
}

#[test]
fn unix_seconds_are_told_apart_from_gregorian_ones() {
    let cases = [
        (asked().created_from(SAMPLE_SECOND), "created_from"),
        (asked().created_to(SAMPLE_SECOND), "created_to"),
        (asked().created_from(SAMPLE_SECOND).created_to(SAMPLE_GREGORIAN), "created_from"),
        (asked().created_from(SAMPLE_GREGORIAN).created_to(SAMPLE_SECOND), "created_to"),
        (asked().created_from(SAMPLE_SECOND).created_to(62_167_219_199), "created_to"),
    ];
    for (asked, name) in cases {
        let error = refused(&asked);
        let named =
            matches!(error, AuditError::Time { field, source: TimeError::NotGregorian } if field == name);
        assert!(named, "{asked:?} {error:?}");
        assert_eq!(error.code(), "not_gregorian_seconds");
    }
}

#[test]
fn the_first_and_the_last_second_that_can_be_written_are_taken() {
    let query = made(&asked().created_to(62_167_219_200));
    assert_eq!(query.from, Some(Timestamp::MIN));
    assert_eq!(query.to.unwrap().unix_millis(), 999);
    let last = Timestamp::MAX.gregorian_seconds();
    assert_eq!(made(&asked().created_to(last)).to, Some(Timestamp::MAX));
    for seconds in [last.saturating_add(1), u64::MAX] {
        assert_eq!(refused(&asked().created_to(seconds)).code(), "time_out_of_range");
        assert_eq!(refused(&asked().created_from(last).created_to(seconds)).code(), "time_out_of_range");
    }
}

#[test]
fn a_range_over_a_year_border_reads_both_months_in_order() {
    let new_year = 1_483_228_800_u64; // 2017-01-01T00:00:00Z
    let log = VecLog::of((0..4).map(|n| attempt_at(new_year.saturating_sub(2).saturating_add(n), 1)));
    let query = asked().created_from(63_650_447_998).created_to(63_650_448_001).ascending();
    let rows = block_on(all(&log, &made(&query), 10)).unwrap();
    assert_eq!(
        rows.iter().map(|row| row.id().year_month()).collect::<Vec<_>>(),
        [201_612, 201_612, 201_701, 201_701]
    );
}

#[test]
fn the_range_of_the_first_page_holds_while_the_client_reads_on() {
    let oldest = SAMPLE_SECOND.saturating_sub(MAX);
    let log = VecLog::of((0..3).map(|n| attempt_at(oldest.saturating_add(n), 1)));
    let asked = asked().page_size(2).unwrap();
    let query = made(&asked);
    let first = block_on(page(&log, &query, None, &key())).unwrap();
    let start_key = first.next.unwrap().to_string();

    // A minute later the oldest row would be outside a range that moved with the clock.
    let asked = asked.parameter("start_key", &start_key).unwrap();
    let later = asked.to_query(at(SAMPLE_SECOND.saturating_add(60)), &key()).unwrap();
    assert_eq!(later, query);
    let second = block_on(page(&log, &later, asked.start_key(), &key())).unwrap();
    assert_eq!(second.events.len(), 1);
    assert!(second.next.is_none());

    // A client that repeats the range is served the same; one that changes it is not.
    let repeated = asked.clone().created_to(SAMPLE_GREGORIAN).to_query(now(), &key()).unwrap();
    assert_eq!(repeated, query);
    let moved = asked.clone().created_to(63_655_033_237).to_query(now(), &key()).unwrap();
    let refused = block_on(page(&log, &moved, asked.start_key(), &key())).unwrap_err();
    assert_eq!(refused.code(), "invalid_cursor");
}

#[test]
fn a_start_key_alone_continues_a_range_that_was_given() {
    let log = VecLog::of((0..3).map(|n| attempt_at(SAMPLE_SECOND.saturating_sub(n), 1)));
    let asked = asked().page_size(1).unwrap();
    let query = made(&asked.clone().created_from(63_655_033_237).created_to(SAMPLE_GREGORIAN));
    let first = block_on(page(&log, &query, None, &key())).unwrap();
    let asked = asked.parameter("start_key", first.next.unwrap().as_str()).unwrap();
    assert_eq!(made(&asked), query);
}

#[test]
fn a_start_key_of_another_query_is_refused() {
    let log = VecLog::of((0..3).map(|n| attempt_at(SAMPLE_SECOND.saturating_sub(n), 1)));
    let asked = asked().page_size(2).unwrap();
    let first = block_on(page(&log, &made(&asked), None, &key())).unwrap();
    let with_key = asked.parameter("start_key", first.next.unwrap().as_str()).unwrap();
    made(&with_key);
    for changed in [
        with_key.clone().ascending(),
        with_key.clone().outcome(Outcome::Success),
        with_key.parameter("start_key", "garbage").unwrap(),
    ] {
        assert_eq!(refused(&changed).code(), "invalid_cursor", "{changed:?}");
    }
}

#[test]
fn parameters_are_taken_by_their_names_on_the_wire() {
    let parameters = [
        ("created_from", "63655000000"),
        ("created_to", "63655033238"),
        ("page_size", "1000"),
        ("ascending", "true"),
        ("paginate", "false"),
        ("filter_client_ip", "::ffff:10.1.0.2"),
        ("filter_status", "failed"),
        ("auth_type", "multi_factor"),
        ("filter_auth_module", "cb_user_auth"),
        ("a_parameter_of_the_host", "\u{0}"),
    ];
    let taken =
        parameters.iter().try_fold(asked(), |asked, (name, value)| asked.parameter(name, value)).unwrap();
    assert!(!taken.paginates());
    let expected = asked()
        .created_from(63_655_000_000)
        .created_to(SAMPLE_GREGORIAN)
        .page_size(1000)
        .unwrap()
        .ascending()
        .ip("10.1.0.2".parse().unwrap())
        .outcome(Outcome::Failure)
        .auth_type("multi_factor")
        .module("cb_user_auth");
    assert_eq!(made(&taken), made(&expected));
}

#[test]
fn broken_parameters_are_refused_by_name() {
    let long = "x".repeat(257);
    let cases = [
        (
            "created_from",
            ["0", "-1", "x", "", "+63655033238", "99999999999999999999"].as_slice(),
            "created_from",
        ),
        ("created_to", &["0", "-5", "1e3", "63655033238.5"], "created_to"),
        ("page_size", &["0", "-1", "x", "1001", "1000000000", ""], "page_size"),
        ("paginate", &["no", "1", ""], "paginate"),
        ("ascending", &["True"], "ascending"),
        ("filter_client_ip", &["10.1.0", "example.com", ""], "ip"),
        ("filter_status", &["failure", "info", ""], "status"),
        ("filter_auth_type", &["", &long], "auth_type"),
        ("filter_auth_module", &["", &long], "auth_module"),
        ("filter_message", &["x"], "filter"),
    ];
    for (name, values, expected) in cases {
        for value in values {
            let refused = asked().parameter(name, value);
            let named = matches!(&refused, Err(error) if error.field() == Some(expected));
            assert!(named, "{name}={value}: {refused:?}");
        }
    }
}

#[test]
fn a19_a_search_finds_the_address_with_a_port_and_not_its_longer_neighbour() {
    let with_ip = |ip: &str, number: u8| {
        let at = now();
        crate::EventBuilder::new(acme(), crate::Kind::AnswerRejected, Outcome::Failure, at)
            .attempt(crate::Attempt::new("multi_factor", "unauthorized"))
            .ip(crate::parse_address(ip).unwrap())
            .build(crate::EventId::new(at, [number; 16]), [number; 16])
            .unwrap()
    };
    let log = VecLog::of([with_ip("10.1.0.2", 1), with_ip("10.1.0.2:8000", 2), with_ip("10.1.0.20", 3)]);
    let query = made(&asked().parameter("filter_client_ip", "10.1.0.2").unwrap());
    assert_eq!(block_on(all(&log, &query, 10)).unwrap().len(), 2);
}

proptest! {
    #[test]
    fn no_parameter_makes_it_panic(
        name in "created_from|created_to|page_size|start_key|paginate|ascending|filter_client_ip|filter_status|\\PC*",
        value in any::<String>(),
        now in 0..=253_402_300_799_999_u64,
    ) {
        if let Ok(asked) = asked().parameter(&name, &value) {
            let _ = asked.to_query(Timestamp::from_unix_millis(now).unwrap(), &key());
        }
    }

    #[test]
    fn no_range_makes_it_panic_or_is_longer_than_allowed(
        from in proptest::option::of(any::<u64>()),
        to in proptest::option::of(any::<u64>()),
        near in 62_167_219_000..315_569_520_000_u64,
        span in 0..3_000_000_u64,
    ) {
        for (from, to) in [(from, to), (Some(near), Some(near.saturating_add(span))), (None, Some(near)), (Some(near), to)] {
            let mut asked = asked();
            if let Some(from) = from { asked = asked.created_from(from); }
            if let Some(to) = to { asked = asked.created_to(to); }
            if let Ok(query) = asked.to_query(now(), &key()) {
                let (from, to) = (query.from.unwrap(), query.to.unwrap());
                prop_assert!(from <= to && to.unix_seconds().saturating_sub(from.unix_seconds()) <= MAX);
            }
        }
    }
}
