//! What is asked of the attempts view at its edges, and by who does not know it or means no good.

use std::sync::Arc;

use audit_model::{
    AttemptsQuery, AuditError, Cursor, CursorKey, ErrorReply, Event, EventId, Profile, parse_address,
};
use futures::executor::block_on;
use mfa::{AccountId, MemoryStore, RequestFacts, Response, Verify};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::host::TestHost;
use mfa_tests::told::wrong_code;
use mfa_tests::{World, on_stores};
use proptest::prelude::*;

use crate::attempts::{ask, ask_in, cursor_key, ids, pages};
use crate::rows::{SAMPLE, account, at, attempt, gregorian, write};

const MAX: u64 = AttemptsQuery::MAX_RANGE_SECONDS;

#[test]
fn e85_what_is_no_id_is_refused_and_answered_as_one_that_names_nothing() {
    let hex = "09a979346eff06746e445a8cc1e574c4";
    let texts = [
        format!("201713-{hex}"),
        format!("201700-{hex}"),
        format!("2017-{hex}"),
        format!("196912-{hex}"),
        "201702".to_owned(),
        "201702-".to_owned(),
        format!("201702-{hex}0"),
        format!("201702-{}", &hex[1..]),
        format!("201702-{}", hex.to_uppercase()),
        format!("+01702-{hex}"),
        format!(" 201702-{hex}"),
        format!("201702-{hex}\n"),
        hex.to_owned(),
        "../x".to_owned(),
        "attempts".to_owned(),
        String::new(),
        "7".repeat(1 << 20),
    ];
    for text in texts {
        let short: String = text.chars().take(50).collect();
        assert_eq!(text.parse::<EventId>().unwrap_err().code(), "invalid_event_id", "{short}");
        assert_eq!(ErrorReply::bad_identifier(short).status(), 404);
    }
}

on_stores! {
    async fn e86_the_id_of_another_account_names_nothing(world) {
        let mine = write(&*world.store, [attempt("acme", SAMPLE)]).await.remove(0);
        assert!(world.store.event(&account("acme"), mine.id()).await.unwrap().is_some());
        for other in ["umbrella", "Acme", "acme2"] {
            assert!(world.store.event(&account(other), mine.id()).await.unwrap().is_none(), "{other}");
        }
    }

    async fn e87_an_id_of_a_month_without_events_names_nothing(world) {
        write(&*world.store, [attempt("acme", SAMPLE)]).await;
        let hex = "09a979346eff06746e445a8cc1e574c4";
        for month in ["197001", "201701", "201702", "999912"] {
            let id = format!("{month}-{hex}").parse().unwrap();
            assert!(world.store.event(&account("acme"), id).await.unwrap().is_none(), "{month}");
        }
    }

    async fn e88_ranges_that_are_none_are_refused_by_name(world) {
        let (now, later, long_ago) = (gregorian(SAMPLE), gregorian(SAMPLE + 1), gregorian(SAMPLE - 60 * 86_400));
        for range in [
            &[("created_from", &*later), ("created_to", &*now)][..],
            &[("created_from", "9"), ("created_to", "5")],
            &[("created_from", &*long_ago)],
            &[("created_from", &*long_ago), ("created_to", &*now)],
            &[("created_from", &*later)],
        ] {
            let refused = ask(&world, range).await.unwrap_err();
            assert_eq!((refused.code(), refused.field()), ("date_range", Some("created_from")), "{range:?}");
        }
        for name in ["created_from", "created_to"] {
            for value in ["0", "-1", "x", "", " 63655033238", "+63655033238", "1e9", "63655033238.0", "0x10", "18446744073709551616"] {
                let refused = ask(&world, &[(name, value)]).await.unwrap_err();
                assert_eq!((refused.code(), refused.field()), ("type", Some(name)), "{value}");
                let reply = ErrorReply::from(&refused).to_json();
                let wanted = format!(r#"{{"data":{{"{name}":{{"type":{{"message":"must be a positive whole number"#);
                assert!(reply.starts_with(&wanted), "{reply}");
            }
        }
    }

    async fn e89_unix_seconds_are_told_what_they_are(world) {
        for name in ["created_from", "created_to"] {
            for value in [SAMPLE, 62_167_219_199] {
                let refused = ask(&world, &[(name, &value.to_string())]).await.unwrap_err();
                assert_eq!((refused.code(), refused.field()), ("not_gregorian_seconds", Some(name)));
                let reply = ErrorReply::from(&refused).to_json();
                assert!(reply.contains("this looks like unix seconds, add 62167219200"), "{reply}");
            }
        }
    }

    async fn e90_ranges_cross_months_years_and_leap_days_and_reach_into_the_future(world) {
        // 2017-01-01, 2024-02-29, 2024-03-01 and 2030-01-01 at midnight.
        for midnight in [1_483_228_800, 1_709_164_800, 1_709_251_200, 1_893_456_000_u64] {
            let seconds = [midnight - 2, midnight - 1, midnight, midnight + 1];
            write(&*world.store, seconds.map(|second| attempt("acme", second))).await;
            let (from, to) = (gregorian(midnight - 1), gregorian(midnight + 1));
            let range = [("created_from", &*from), ("created_to", &*to), ("page_size", "1"), ("ascending", "true")];
            let read = pages(&world, &range, async |_| {}).await.concat();
            assert_eq!(read.iter().map(Event::at).collect::<Vec<_>>(), seconds[1..].iter().map(|s| at(*s)).collect::<Vec<_>>());
        }
    }

    async fn e91_sizes_of_a_page_are_1_to_1000(world) {
        write(&*world.store, (0..1001).map(|n| attempt("acme", SAMPLE - n))).await;
        for size in ["0", "-1", "x", "", "1001", "1000000000", "18446744073709551616", "1.5"] {
            let refused = ask(&world, &[("page_size", size)]).await.unwrap_err();
            assert_eq!(refused.field(), Some("page_size"), "{size}");
            assert!(refused.to_string().contains("1 to 1000"), "{refused}");
        }
        for size in [1, 1000] {
            let answer = ask(&world, &[("page_size", &size.to_string())]).await.unwrap();
            assert_eq!((answer.events.len(), answer.next.is_some()), (size, true));
        }
    }

    async fn e92_a_start_key_goes_on_with_its_own_query_alone(world) {
        for name in ["acme", "umbrella"] {
            write(&*world.store, (0..3).map(|n| attempt(name, SAMPLE - n))).await;
        }
        let size = ("page_size", "1");
        let key = ask(&world, &[size]).await.unwrap().next.unwrap();
        let with = |more: (&'static str, &'static str)| [size, ("start_key", &*key), more];
        for other in [
            ("ascending", "true"),
            ("filter_status", "failed"),
            ("filter_client_ip", "10.1.0.2"),
            ("filter_auth_module", "cb_user_auth"),
            ("filter_auth_type", "multi_factor"),
            ("created_to", "63655033200"),
            ("created_from", "63655033200"),
        ] {
            let refused = ask(&world, &with(other)).await.unwrap_err();
            assert_eq!((refused.code(), refused.field()), ("invalid_cursor", Some("start_key")), "{other:?}");
        }
        let of_acme = [size, ("start_key", &*key)];
        assert_eq!(ask_in(&world, "umbrella", &of_acme).await.unwrap_err().code(), "invalid_cursor");
        assert_eq!(ask(&world, &of_acme).await.unwrap().events.len(), 1);
        // The size of the page may change.
        assert_eq!(ask(&world, &[("start_key", &*key)]).await.unwrap().events.len(), 2);
        for garbage in ["", "x", &key[1..], &format!("{key}A"), &"A".repeat(key.len()), &"A".repeat(1 << 20)] {
            let refused = ask(&world, &[size, ("start_key", garbage)]).await.unwrap_err();
            assert_eq!(refused.code(), "invalid_cursor");
        }
    }

    async fn e93_no_row_is_lost_or_twice_where_all_have_one_time(world) {
        let written = write(&*world.store, (0..30).map(|_| attempt("acme", SAMPLE))).await;
        let mut wanted = ids(&written);
        wanted.sort();
        for size in ["1", "7", "15", "29", "30"] {
            let mut read = ids(&pages(&world, &[("page_size", size)], async |_| {}).await.concat());
            read.sort();
            assert_eq!(read, wanted, "{size}");
        }
    }

    async fn e94_nothing_found_is_an_empty_page_and_no_next_key(world) {
        for parameters in [&[][..], &[("paginate", "false")], &[("ascending", "true")]] {
            let answer = ask(&world, parameters).await.unwrap();
            assert!(answer.events.is_empty() && answer.next.is_none(), "{parameters:?}");
        }
    }

    async fn e95_what_is_no_whole_address_is_refused(world) {
        for text in ["10.1.0", "10.1.0.", "10.1.0.0/24", "10.1.0.2:", "example.com", "localhost:80", "", "1", "::g"] {
            let refused = ask(&world, &[("filter_client_ip", text)]).await.unwrap_err();
            assert_eq!((refused.code(), refused.field()), ("invalid_ip", Some("ip")), "{text}");
        }
    }

    async fn e96_controls_are_escaped_and_what_is_too_long_is_cut_with_a_mark(world) {
        let (bob, app) = world.enrol("bob").await;
        let bytes = [b"curl\xff\xfe/7\0\x1b[2J" as &[u8], &[b'a'; 1 << 20]].concat();
        let agent = String::from_utf8_lossy(&bytes).into_owned();
        let request = RequestFacts::new().with_header("user-agent", agent).with_id("1\r\n2");
        let challenge = world.begin(&bob).await;
        let wrong = Response::code(&wrong_code(&app, world.now())).with_request(request);
        assert!(matches!(world.engine.verify(&challenge.reference, wrong).await, Ok(Verify::Rejected(_))));
        let event = world.events().await.into_iter().rfind(Event::is_in_attempts_view).unwrap();
        let detail = Profile::Kazoo4.detail(&event).unwrap().to_json().unwrap();
        assert!(detail.contains(r"curl��/7\\u{0}\\u{1b}[2Jaaa"), "{detail}");
        assert!(detail.contains("aaa…\"") && detail.len() < 2048, "{}", detail.len());
        assert!(detail.contains(r#""crossbar_request_id":"1\\u{d}\\u{a}2""#), "{detail}");
    }
}

#[test]
fn e97_where_the_event_cannot_be_written_the_step_fails_with_it() {
    block_on(async {
        let store = Arc::new(FaultStore::new(MemoryStore::new()));
        let host = TestHost::on(store.clone()).await;
        let (bob, app) = host.enrol("bob").await;
        let challenge = host.begin(&bob).await;
        let before = host.events().await;
        store.fail(At::BeforeCommit, Fault::Unavailable, usize::MAX);
        let code = app.code_at(host.now());
        let answer = host.engine.verify(&challenge.reference, Response::code(&code)).await;
        assert_eq!(answer.unwrap_err().code(), "unavailable");
        store.heal();
        assert_eq!(host.events().await, before, "no event without its step");
        // And no step without its event: the code is still good.
        assert!(matches!(host.answer(&challenge, &code).await, Verify::Verified(_)));
        assert_eq!(host.events().await.len(), before.len() + 1);
        store.fail(At::OnQuery, Fault::Unavailable, 1);
        let world = World::on(store.clone(), None).await;
        let refused = ask(&world, &[]).await.unwrap_err();
        assert_eq!(ErrorReply::from(&refused).status(), 503);
    });
}

fn asked(parameters: &[(&str, &str)]) -> Result<AttemptsQuery, AuditError> {
    let asked = AttemptsQuery::new(AccountId::parse("acme").unwrap());
    parameters.iter().try_fold(asked, |asked, (name, value)| asked.parameter(name, value))
}

fn key() -> CursorKey {
    CursorKey::from_bytes([7; 32])
}

proptest! {
    #[test]
    fn e88_a_range_is_taken_just_when_it_runs_forward_and_is_not_too_long(
        from in 62_167_219_200..70_000_000_000_u64,
        span in prop_oneof![0..10_u64, MAX - 5..MAX + 5, 0..MAX * 2],
        backward in any::<bool>(),
    ) {
        let to = if backward { from - span.min(from - 62_167_219_200) } else { from + span };
        let asked = asked(&[("created_from", &from.to_string()), ("created_to", &to.to_string())]).unwrap();
        let query = asked.to_query(at(SAMPLE), &key());
        let fits = from <= to && to - from <= MAX;
        prop_assert_eq!(query.as_ref().err().map(AuditError::code), (!fits).then_some("date_range"));
        if let Ok(query) = query {
            prop_assert_eq!(query.from.unwrap().gregorian_seconds(), from);
            prop_assert_eq!(query.to.unwrap().gregorian_seconds(), to);
        }
    }

    #[test]
    fn e95_each_spelling_of_an_address_is_that_address_and_a_part_of_it_is_none(
        ip in any::<std::net::IpAddr>(),
        port in any::<u16>(),
    ) {
        let spellings = match ip {
            std::net::IpAddr::V4(v4) => vec![
                v4.to_string(),
                format!("{v4}:{port}"),
                format!("::ffff:{v4}"),
                format!("[::ffff:{v4}]:{port}"),
            ],
            std::net::IpAddr::V6(v6) => {
                let long = v6.segments().map(|segment| format!("{segment:04X}")).join(":");
                vec![v6.to_string(), format!("[{v6}]"), format!("[{v6}]:{port}"), long.clone(), format!("[{long}]")]
            }
        };
        for text in &spellings {
            prop_assert_eq!(parse_address(text).unwrap(), ip.to_canonical(), "{}", text);
        }
        if let std::net::IpAddr::V4(v4) = ip {
            let [a, b, c, _] = v4.octets();
            for part in [format!("{a}.{b}.{c}"), format!("{a}.{b}.{c}."), format!("{v4}.1"), format!("{v4}/24")] {
                prop_assert_eq!(parse_address(&part).unwrap_err().code(), "invalid_ip");
            }
        }
    }

    #[test]
    fn e92_a_start_key_that_was_changed_anywhere_is_none(place in 0..82_usize, to in "[A-Za-z0-9_-]") {
        let query = asked(&[]).unwrap().to_query(at(SAMPLE), &key()).unwrap();
        let position = audit_model::Position::new(at(SAMPLE), EventId::new(at(SAMPLE), [1; 16]));
        let made = Cursor::new(position, &query, &key()).to_string();
        prop_assert_eq!(made.len(), 82);
        let mut changed = made.clone();
        changed.replace_range(place..=place, &to);
        let opened = Cursor::open(&changed, &query, &key());
        prop_assert_eq!(opened.is_ok(), changed == made);
    }

    #[test]
    fn e88_no_parameter_makes_it_panic(name in "[a-z_]{0,20}|created_to|page_size|start_key", value in any::<String>()) {
        if let Ok(asked) = asked(&[(&name, &value)]) {
            let _ = asked.to_query(at(SAMPLE), &key());
        }
    }
}

#[test]
fn e92_a_start_key_of_another_installation_is_refused() {
    block_on(async {
        let (here, there) = (World::memory().await, CursorKey::from_bytes([9; 32]));
        write(&*here.store, (0..2).map(|n| attempt("acme", SAMPLE - n))).await;
        let query = asked(&[]).unwrap().to_query(at(SAMPLE), &there).unwrap();
        let position = audit_model::Position::new(at(SAMPLE), EventId::new(at(SAMPLE), [1; 16]));
        let foreign = Cursor::new(position, &query, &there);
        assert_eq!(
            ask(&here, &[("start_key", foreign.as_str())]).await.unwrap_err().code(),
            "invalid_cursor"
        );
        assert!(Cursor::open(foreign.as_str(), &query, &cursor_key(&here)).is_err());
    });
}
