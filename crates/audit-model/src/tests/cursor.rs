use proptest::prelude::*;

use super::{SAMPLE_SECOND, acme, at, key};
use crate::{
    AccountId, AuditError, Cursor, CursorKey, EventId, Kind, Outcome, Position, Query, Scope, Timestamp,
    UserId,
};

fn sample() -> Position {
    Position::new(at(SAMPLE_SECOND), EventId::new(at(SAMPLE_SECOND), [1; 16]))
}

fn refused(text: &str, query: &Query, key: &CursorKey) -> bool {
    matches!(Cursor::open(text, query, key), Err(AuditError::InvalidCursor))
}

/// Every condition set, one after the other.
fn different_queries() -> Vec<Query> {
    let acme = || Query::new(acme());
    vec![
        acme(),
        acme().ascending(),
        acme().attempts(),
        acme().user(UserId::parse("x").unwrap()),
        acme().module("x"),
        acme().auth_type("x"),
        acme().module(""),
        acme().auth_type(""),
        acme().kind(Kind::AnswerRejected),
        acme().kind(Kind::AnswerAccepted),
        acme().outcome(Outcome::Success),
        acme().outcome(Outcome::Failure),
        acme().ip("10.1.0.2".parse().unwrap()),
        acme().ip("10.1.0.20".parse().unwrap()),
        acme().between(at(1), at(2)).unwrap(),
        acme().between(at(1), at(3)).unwrap(),
        acme().between(at(2), at(3)).unwrap(),
        acme().module("x").auth_type("y"),
        acme().module("y").auth_type("x"),
        Query::new(Scope::Account(AccountId::parse("umbrella").unwrap())),
        Query::new(Scope::System),
    ]
}

#[test]
fn a_cursor_continues_only_the_query_it_was_made_for() {
    let queries = different_queries();
    for (i, made_for) in queries.iter().enumerate() {
        let cursor = Cursor::new(sample(), made_for, &key());
        for (j, used_with) in queries.iter().enumerate() {
            let opened = Cursor::open(cursor.as_str(), used_with, &key());
            assert_eq!(opened.is_ok(), i == j, "{made_for:?} {used_with:?}");
        }
    }
}

#[test]
fn the_size_of_the_page_may_change() {
    let query = Query::new(acme());
    let cursor = Cursor::new(sample(), &query, &key());
    let larger = query.limit(1000).unwrap();
    assert_eq!(Cursor::open(cursor.as_str(), &larger, &key()).unwrap(), sample());
}

#[test]
fn another_key_refuses_the_cursor() {
    let query = Query::new(acme());
    let cursor = Cursor::new(sample(), &query, &key());
    let mut other = [7; 32];
    other[31] = 8;
    assert!(refused(cursor.as_str(), &query, &CursorKey::from_bytes(other)));
}

#[test]
fn cut_and_lengthened_and_padded_cursors_are_refused() {
    let query = Query::new(acme());
    let text = Cursor::new(sample(), &query, &key()).to_string();
    for length in 0..text.len() {
        assert!(refused(&text[..length], &query, &key()), "{length}");
    }
    for end in ["A", "=", "==", " ", "\n"] {
        assert!(refused(&format!("{text}{end}"), &query, &key()), "{end:?}");
    }
    assert!(refused(&"A".repeat(1_000_000), &query, &key()));
    assert!(refused(&"ä".repeat(41), &query, &key()));
}

#[test]
fn the_key_is_not_shown() {
    assert_eq!(format!("{:?}", CursorKey::from_bytes([0x37; 32])), "CursorKey(..)");
}

/// Computed with Python's `hmac` and `hashlib` from the layout that the module documents.
#[test]
fn the_format_is_stable() {
    let query = Query::new(acme()).attempts().module("cb_user_auth").between(at(1), at(2)).unwrap();
    let cursor = Cursor::new(sample(), &query, &key());
    assert_eq!(cursor.as_str(), PYTHON_CURSOR);
}

const PYTHON_CURSOR: &str =
    "AQAAAVpooJHwAAMT5gEBAQEBAQEBAQEBAQEBAQEAAAAAAAAD6AAAAAAAAAfQwL7011rlCWEwdjm63ZfmHw";

prop_compose! {
    fn any_position()(millis in 0..=253_402_300_799_999_u64, random in any::<[u8; 16]>()) -> Position {
        let at = Timestamp::from_unix_millis(millis).unwrap();
        Position::new(at, EventId::new(at, random))
    }
}

proptest! {
    #[test]
    fn a_cursor_is_read_back(position in any_position(), number in 0..21_usize, secret in any::<[u8; 32]>()) {
        let query = &different_queries()[number];
        let key = CursorKey::from_bytes(secret);
        let cursor = Cursor::new(position, query, &key);
        prop_assert_eq!(Cursor::open(cursor.as_str(), query, &key).unwrap(), position);
        let url_safe = cursor.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        prop_assert!(url_safe);
    }

    #[test]
    fn any_changed_character_is_refused(position in any_position(), index in 0..82_usize, bit in 0..7_u32) {
        let query = Query::new(acme());
        let mut text = Cursor::new(position, &query, &key()).to_string().into_bytes();
        text[index] ^= 1 << bit;
        let text = String::from_utf8(text).unwrap();
        prop_assert!(refused(&text, &query, &key()));
    }

    #[test]
    fn any_flipped_bit_is_refused(position in any_position(), index in 0..61_usize, bit in 0..8_u32) {
        let query = Query::new(acme());
        let cursor = Cursor::new(position, &query, &key());
        let mut bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_str().as_bytes()).unwrap();
        bytes[index] ^= 1 << bit;
        prop_assert!(refused(&data_encoding::BASE64URL_NOPAD.encode(&bytes), &query, &key()));
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), sized in "[A-Za-z0-9_-]{82}") {
        let query = Query::new(acme());
        prop_assert!(refused(&text, &query, &key()));
        prop_assert!(refused(&sized, &query, &key()));
    }
}
