use std::collections::BTreeSet;

use proptest::prelude::*;

use super::at;
use crate::{AccountId, EventId, IdError, Kind, Outcome, Scope, TimeError, Timestamp, UserId};

#[test]
fn b25_an_id_names_the_month_at_its_borders() {
    let borders = [
        (1_488_326_399_999, 201_702), // 2017-02-28T23:59:59.999Z
        (1_488_326_400_000, 201_703), // 2017-03-01T00:00:00.000Z
        (1_483_228_799_999, 201_612), // 2016-12-31T23:59:59.999Z
        (1_483_228_800_000, 201_701), // 2017-01-01T00:00:00.000Z
        (1_456_790_399_999, 201_602), // 2016-02-29T23:59:59.999Z, a leap day
        (1_456_790_400_000, 201_603),
        (0, 197_001),
        (253_402_300_799_999, 999_912),
    ];
    for (millis, month) in borders {
        let id = EventId::new(Timestamp::from_unix_millis(millis).unwrap(), [0xab; 16]);
        assert_eq!(id.year_month(), month, "{millis}");
        assert_eq!(id.to_string(), format!("{month}-{}", "ab".repeat(16)));
    }
}

#[test]
fn b26_gregorian_seconds_are_kazoos() {
    assert_eq!(at(1_487_814_038).gregorian_seconds(), 63_655_033_238);
    assert_eq!(Timestamp::from_gregorian_seconds(63_655_033_238).unwrap(), at(1_487_814_038));
    assert_eq!(Timestamp::from_gregorian_seconds(62_167_219_200).unwrap(), Timestamp::MIN);
    assert_eq!(Timestamp::from_gregorian_seconds(62_167_219_199).unwrap_err(), TimeError::NotGregorian);
}

#[test]
fn malformed_event_ids_are_refused() {
    let hex = "09a979346eff06746e445a8cc1e574c4";
    let texts = [
        String::new(),
        "201702".to_owned(),
        "201702-".to_owned(),
        format!("201713-{hex}"),
        format!("201700-{hex}"),
        format!("2017-{hex}"),
        format!("196912-{hex}"),
        format!("201702{hex}"),
        format!("201702-{}", hex.to_uppercase()),
        format!("201702-{hex}0"),
        format!("201702-{}", &hex[1..]),
        format!(" 201702-{hex}"),
        format!("+20170-{hex}"),
        format!("201702-{}g", &hex[1..]),
        format!("201702--{}", &hex[1..]),
        format!("２０-{hex}"),
    ];
    for text in texts {
        assert_eq!(text.parse::<EventId>(), Err(IdError::EventId), "{text}");
    }
}

#[test]
fn malformed_host_ids_are_refused_by_the_rule() {
    let long = "a".repeat(257);
    type IsRule = fn(&IdError) -> bool;
    let cases: [(&str, IsRule); 7] = [
        ("", |e| matches!(e, IdError::Empty { .. })),
        (&long, |e| matches!(e, IdError::TooLong { bytes: 257, limit: 256, .. })),
        ("a\u{0}b", |e| matches!(e, IdError::Control { .. })),
        (" bob", |e| matches!(e, IdError::EdgeSpace { .. })),
        ("bob\u{a0}", |e| matches!(e, IdError::EdgeSpace { .. })),
        ("e\u{301}", |e| matches!(e, IdError::NotNfc { .. })),
        ("\u{212b}", |e| matches!(e, IdError::NotNfc { .. })),
    ];
    for (text, right) in cases {
        assert!(AccountId::parse(text).is_err_and(|e| right(&e)), "{text:?}");
        assert!(UserId::parse(text).is_err_and(|e| right(&e)), "{text:?}");
    }
    assert!(matches!(AccountId::parse("~system"), Err(IdError::Reserved { .. })));
    assert!(UserId::parse("~system").is_ok());
    assert!(AccountId::parse(&"a".repeat(256)).is_ok());
    assert!(AccountId::parse("é").is_ok());
}

#[test]
fn scopes_are_read_back_and_no_account_takes_their_names() {
    for scope in
        [Scope::System, Scope::Index, Scope::Destinations, Scope::Account(AccountId::parse("x").unwrap())]
    {
        assert_eq!(Scope::parse_stored(scope.as_str()).unwrap(), scope);
        assert_eq!(scope.account().is_some(), AccountId::parse(scope.as_str()).is_ok());
    }
    assert!(Scope::parse_stored("~other").is_err());
}

#[test]
fn the_table_of_kinds_has_no_two_rows_alike() {
    let codes: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.code()).collect();
    let numbers: BTreeSet<_> = Kind::ALL.iter().map(|kind| kind.number()).collect();
    assert_eq!(codes.len(), Kind::ALL.len());
    assert_eq!(numbers.len(), Kind::ALL.len());
    assert!(!numbers.contains(&0));
}

#[test]
fn every_kind_and_field_has_a_snake_case_name_and_is_read_back() {
    let snake = |name: &str| {
        let edges = name.starts_with(|c: char| c.is_ascii_lowercase()) && !name.ends_with('_');
        edges
            && !name.contains("__")
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    for kind in Kind::ALL {
        assert!(snake(kind.code()), "{kind}");
        assert!(kind.info().fields.iter().all(|field| snake(field)), "{kind}");
        assert_eq!(kind.code().parse::<Kind>().unwrap(), *kind);
        assert_eq!(Kind::from_number(kind.number()), Some(*kind));
        assert!(kind.info().when.ends_with('.'), "{kind}");
    }
    assert!("Answer_Rejected".parse::<Kind>().is_err());
    assert_eq!(Kind::from_number(0), None);
}

#[test]
fn outcomes_are_read_back() {
    for outcome in [Outcome::Success, Outcome::Failure, Outcome::Info] {
        assert_eq!(outcome.code().parse::<Outcome>().unwrap(), outcome);
        assert_eq!(Outcome::from_number(outcome.number()), Some(outcome));
    }
    assert!("Failed".parse::<Outcome>().is_err());
}

proptest! {
    #[test]
    fn an_event_id_is_read_back_from_text_and_bytes(millis in 0..=253_402_300_799_999_u64, random in any::<[u8; 16]>()) {
        let at = Timestamp::from_unix_millis(millis).unwrap();
        let id = EventId::new(at, random);
        prop_assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        prop_assert_eq!(EventId::from_bytes(&id.to_bytes()).unwrap(), id);
        let month: String = at.to_string().chars().filter(char::is_ascii_digit).take(6).collect();
        prop_assert_eq!(&id.to_string()[..6], month);
    }

    #[test]
    fn the_bytes_of_event_ids_sort_like_the_ids(a in any::<(u32, [u8; 16])>(), b in any::<(u32, [u8; 16])>()) {
        let id = |(second, random): (u32, [u8; 16])| EventId::new(at(second.into()), random);
        let (a, b) = (id(a), id(b));
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in any::<String>(), like_an_id in "[0-9]{6}-[0-9a-f]{31,33}") {
        let _ = (AccountId::parse(&text), UserId::parse(&text), Scope::parse_stored(&text));
        let _ = (text.parse::<EventId>(), like_an_id.parse::<EventId>(), EventId::from_bytes(text.as_bytes()));
        let _ = (text.parse::<Kind>(), text.parse::<Outcome>(), text.parse::<crate::Profile>());
    }

    #[test]
    fn what_an_id_takes_it_keeps(text in any::<String>()) {
        if let Ok(id) = AccountId::parse(&text) {
            prop_assert_eq!(id.as_str(), text.as_str());
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<AccountId>(&json).unwrap(), id);
        }
    }

    #[test]
    fn no_number_makes_a_time_panic(number in any::<u64>(), millis in any::<u64>()) {
        let times = [Timestamp::from_unix_seconds(number), Timestamp::from_unix_millis(number), Timestamp::from_gregorian_seconds(number)];
        for time in times.into_iter().flatten() {
            let by = core::time::Duration::from_millis(millis);
            for time in [time, time.plus(by), time.minus(by)] {
                prop_assert!(time <= Timestamp::MAX);
                prop_assert!((197_001..=999_912).contains(&time.year_month()));
            }
        }
        let json = number.to_string();
        prop_assert_eq!(serde_json::from_str::<Timestamp>(&json).is_ok(), Timestamp::from_unix_millis(number).is_ok());
    }
}
