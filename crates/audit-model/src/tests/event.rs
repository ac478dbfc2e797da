use proptest::prelude::*;

use super::{SAMPLE_SECOND, acme, any_event, at, erased, full_event};
use crate::{
    Attempt, Event, EventBuilder, EventId, Kind, Outcome, Personal, Profile, Query, StoredEvent, Stream,
    Timestamp, UserId, export,
};

fn builder() -> EventBuilder {
    EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at(SAMPLE_SECOND))
}

fn built(builder: EventBuilder) -> Event {
    builder.build(EventId::new(at(SAMPLE_SECOND), [1; 16]), [2; 16]).unwrap()
}

fn still_holds(stored: &StoredEvent) -> bool {
    Event::from_stored(stored).is_ok_and(|event| event.hash_holds())
}

#[test]
fn each_part_of_an_event_changes_its_hash() {
    let id = EventId::new(at(SAMPLE_SECOND), [1; 16]);
    let build = |builder: EventBuilder| builder.build(id, [2; 16]).unwrap();
    let start = |kind, outcome, second| EventBuilder::new(acme(), kind, outcome, at(second));
    let events = [
        build(builder()),
        builder().build(EventId::new(at(SAMPLE_SECOND), [3; 16]), [2; 16]).unwrap(),
        build(start(Kind::AnswerAccepted, Outcome::Failure, SAMPLE_SECOND)),
        build(start(Kind::AnswerRejected, Outcome::Success, SAMPLE_SECOND)),
        build(start(Kind::AnswerRejected, Outcome::Failure, 1)),
        build(EventBuilder::new(
            crate::Scope::System,
            Kind::AnswerRejected,
            Outcome::Failure,
            at(SAMPLE_SECOND),
        )),
        build(builder().module("x")),
        build(builder().reason("x")),
        build(builder().actor("x")),
        build(builder().subject([0; 16])),
        build(builder().field("x", "")),
        build(builder().field("", "x")),
        build(builder().stream(Stream::new([0; 16], 1))),
        build(builder().stream(Stream::new([0; 16], 2))),
        build(builder().attempt(Attempt::new("x", "y"))),
        build(builder().attempt(Attempt::new("y", "x"))),
        build(builder().attempt(Attempt::new("x", "y").with_origins("a", "b"))),
        build(builder().attempt(Attempt::new("x", "y")).hidden_from_attempts()),
        build(builder().user(UserId::parse("x").unwrap())),
        build(builder().request_id("x")),
        builder().request_id("x").build(id, [4; 16]).unwrap(),
        build(builder().ip("10.1.0.2".parse().unwrap())),
        build(builder().header("host", "x")),
        build(builder().header("user-agent", "x")),
    ];
    for (i, event) in events.iter().enumerate() {
        assert!(event.hash_holds(), "{i}");
        for (j, other) in events.iter().enumerate() {
            assert_eq!(event.hash() == other.hash(), i == j, "{i} {j}");
        }
    }
}

#[test]
fn s27_an_erased_event_verifies_and_says_nothing_about_the_person() {
    let event = full_event();
    assert!(!event.is_erased());
    let erased = erased(&event);
    assert!(erased.hash_holds() && erased.is_erased());
    assert_eq!(erased.hash(), event.hash());
    assert!(erased.user().is_none() && erased.ip().is_none() && erased.personal().is_none());
    let shown = shown(&erased);
    for value in ["bob", "10.1.0.2", "curl/7", "a6edc00018ebd9c7c991fbddf3677fcb"] {
        assert!(!shown.contains(value), "{value} in {shown}");
    }
}

#[test]
fn personal_values_of_another_event_do_not_fit() {
    let mine = built(builder().user(UserId::parse("bob").unwrap())).to_stored().unwrap();
    let other = built(builder().user(UserId::parse("eve").unwrap())).to_stored().unwrap();
    assert!(still_holds(&mine) && still_holds(&other));
    let mixed = StoredEvent::new(mine.core, other.personal, mine.hash);
    assert!(!still_holds(&mixed));
}

#[test]
fn an_event_without_personal_values_is_not_erased() {
    let event = built(builder());
    assert!(!event.is_erased() && event.to_stored().unwrap().personal.is_none());
}

/// Every form in which an event leaves the library.
fn shown(event: &Event) -> String {
    let stored = event.to_stored().unwrap();
    let mut shown = format!("{event:?}");
    shown.push_str(&String::from_utf8_lossy(&stored.core));
    shown.push_str(&String::from_utf8_lossy(&stored.personal.unwrap_or_default()));
    shown.push_str(&export::to_line(event).unwrap());
    for profile in [Profile::Seed2017, Profile::Kazoo4] {
        for row in [profile.summary(event), profile.detail(event)] {
            shown.push_str(&row.unwrap().to_json().unwrap());
        }
    }
    shown
}

#[test]
fn s27_headers_off_the_allow_list_appear_nowhere() {
    let names = [
        "Authorization",
        "Proxy-Authorization",
        "Cookie",
        "Set-Cookie",
        "X-Auth-Token",
        "X-Api-Key",
        "X-Amz-Security-Token",
        "x-my-own-token",
        "user-agent ",
        " host",
        "host\u{0}",
        "",
    ];
    let start =
        builder().attempt(Attempt::new("multi_factor", "unauthorized")).header("User-Agent", "curl/7");
    let event = built(names.into_iter().fold(start, |builder, name| builder.header(name, "Hush-4711")));
    let shown = shown(&event).to_ascii_lowercase();
    assert!(shown.contains("curl/7"));
    for word in ["hush-4711", "authorization", "cookie", "x-auth-token", "x-api-key", "x-amz", "x-my-own"] {
        assert!(!shown.contains(word), "{word} in {shown}");
    }
}

#[test]
fn a_query_matches_only_what_meets_every_condition() {
    let event = full_event();
    let all = || Query::new(acme());
    let (before, after) = (at(SAMPLE_SECOND.saturating_sub(1)), at(SAMPLE_SECOND.saturating_add(1)));
    let right = [
        all(),
        all().attempts(),
        all().user(UserId::parse("bob").unwrap()),
        all().module("cb_user_auth"),
        all().kind(Kind::AnswerRejected),
        all().outcome(Outcome::Failure),
        all().auth_type("multi_factor"),
        all().ip("::ffff:10.1.0.2".parse().unwrap()),
        all().between(event.at(), event.at()).unwrap(),
    ];
    for query in right {
        assert!(query.matches(&event), "{query:?}");
    }
    let wrong = [
        Query::new(crate::Scope::System),
        all().user(UserId::parse("Bob").unwrap()),
        all().module("cb_user"),
        all().kind(Kind::AnswerAccepted),
        all().outcome(Outcome::Success),
        all().auth_type("multi"),
        all().ip("10.1.0.20".parse().unwrap()),
        all().between(Timestamp::MIN, before).unwrap(),
        all().between(after, Timestamp::MAX).unwrap(),
    ];
    for query in wrong {
        assert!(!query.matches(&event), "{query:?}");
    }
    assert!(!all().attempts().matches(&built(builder())));
    assert!(!all().user(UserId::parse("bob").unwrap()).matches(&erased(&event)));
    assert!(all().between(after, before).is_err());
}

#[test]
fn a_mapped_address_is_kept_as_ipv4() {
    let event = built(builder().ip("::ffff:10.1.0.2".parse().unwrap()));
    assert_eq!(event.ip().unwrap().to_string(), "10.1.0.2");
}

#[test]
fn headers_past_the_sixteenth_are_left_out_with_a_mark() {
    let with =
        |count: u8| built((0..count).fold(builder(), |builder, n| builder.header("host", &n.to_string())));
    let last = |event: &Event| event.personal().unwrap().headers[15].1.clone();
    assert_eq!(last(&with(16)), "15");
    for count in [17, 40] {
        let event = with(count);
        assert_eq!(event.personal().unwrap().headers.len(), 16);
        assert_eq!(last(&event), "15…");
        assert!(event.hash_holds());
    }
}

#[test]
fn a_hidden_attempt_is_an_event_and_no_row_of_the_view() {
    let attempt = || builder().attempt(Attempt::new("multi_factor", "unauthorized"));
    let (shown, hidden) = (built(attempt()), built(attempt().hidden_from_attempts()));
    assert!(shown.is_in_attempts_view() && !hidden.is_in_attempts_view());
    assert_eq!(hidden.attempt(), shown.attempt());
    assert!(Query::new(acme()).matches(&hidden) && !Query::new(acme()).attempts().matches(&hidden));
    for profile in [Profile::Seed2017, Profile::Kazoo4] {
        assert!(profile.summary(&hidden).is_none() && profile.detail(&hidden).is_none());
    }
    // What hides it is read back, and cannot be taken off.
    let mut stored = hidden.to_stored().unwrap();
    assert_eq!(Event::from_stored(&stored).unwrap(), hidden);
    assert_eq!(stored.core.pop(), Some(1));
    assert!(!still_holds(&stored));
    stored.core.push(0);
    assert!(!still_holds(&stored));
    let line = export::to_line(&hidden).unwrap();
    assert_eq!(export::from_line(&line).unwrap(), hidden);
    let bared = line.replace(",\"hidden\":true", "").replace("\"format\":2", "\"format\":1");
    assert!(!export::from_line(&bared).unwrap().hash_holds());
    assert_eq!(
        export::from_line(&line.replace("\"format\":2", "\"format\":1")).unwrap_err().code(),
        "invalid"
    );
}

#[test]
fn an_event_without_an_attempt_has_nothing_to_hide() {
    assert_eq!(built(builder().hidden_from_attempts()), built(builder()));
}

#[test]
fn text_up_to_the_limit_is_kept_whole_and_longer_text_ends_in_a_mark() {
    let kept = "a".repeat(1024);
    assert_eq!(built(builder().reason(kept.clone())).reason(), Some(kept.as_str()));
    let event = built(builder().reason("a".repeat(1025)));
    let cut = event.reason().unwrap();
    assert!(cut.len() <= 1024 && cut.len() > 1000 && cut.ends_with("a…"), "{}", cut.len());
}

#[test]
fn an_escape_just_before_the_limit_leaves_room_for_the_mark() {
    for start in 1000..1030 {
        let event = built(builder().reason("a".repeat(start) + "\u{9f}\u{9f}"));
        assert!(event.reason().unwrap().len() <= 1024, "{start}");
    }
}

#[test]
fn a_megabyte_of_header_is_cut_with_a_mark() {
    let event = built(builder().header("user-agent", &"ü".repeat(500_000)));
    let (_, value) = &event.personal().unwrap().headers[0];
    assert!(value.len() <= 1024 && value.ends_with("ü…"));
}

#[test]
fn control_characters_are_escaped() {
    let event = built(builder().reason("a\u{0}b\r\nc\u{7f}\u{9f}"));
    assert_eq!(event.reason(), Some("a\\u{0}b\\u{d}\\u{a}c\\u{7f}\\u{9f}"));
}

#[test]
fn no_text_of_an_event_passes_the_limit_unclipped() {
    let long = || "\u{9f}x".repeat(2000);
    let attempt = Attempt::new(long(), long()).with_origins(long(), long());
    let event = built(
        builder()
            .module(long())
            .reason(long())
            .actor(long())
            .field("method", long())
            .request_id(&long())
            .attempt(attempt),
    );
    let attempt = event.attempt().unwrap();
    let texts = [
        event.module(),
        event.reason(),
        event.actor(),
        event.field("method"),
        Some(attempt.auth_type.as_ref()),
        Some(attempt.message.as_ref()),
        attempt.auth_config_origin.as_deref(),
        attempt.mfa_config_origin.as_deref(),
        event.personal().unwrap().request_id.as_deref(),
    ];
    for (i, text) in texts.into_iter().enumerate() {
        let text = text.unwrap();
        assert!(text.len() <= 1024 && text.ends_with('…') && !text.contains('\u{9f}'), "{i}");
    }
}

#[test]
fn a_stored_time_past_year_9999_is_corrupt() {
    // Format, then the 20 bytes of the id, then the time.
    let mut stored = built(builder()).to_stored().unwrap();
    let time_at = 21;
    let mut past = 253_402_300_800_000_u64;
    let mut varint = Vec::new();
    while past >= 0x80 {
        varint.push(u8::try_from(past & 0x7f).unwrap() | 0x80);
        past >>= 7;
    }
    varint.push(u8::try_from(past).unwrap());
    let old = stored.core[time_at..].iter().take_while(|byte| **byte >= 0x80).count();
    stored.core.splice(time_at..=time_at.saturating_add(old), varint);
    let refused = Event::from_stored(&stored).unwrap_err();
    assert_eq!(refused.code(), "corrupt");
}

proptest! {
    #[test]
    fn an_event_is_read_back_from_a_store(event in any_event()) {
        prop_assert!(event.hash_holds());
        let read = Event::from_stored(&event.to_stored().unwrap()).unwrap();
        prop_assert!(read.hash_holds());
        prop_assert_eq!(read, event);
    }

    #[test]
    fn an_erased_event_still_verifies(event in any_event()) {
        let had_values = event.personal().is_some();
        let erased = erased(&event);
        prop_assert!(erased.hash_holds());
        prop_assert_eq!(erased.is_erased(), had_values);
    }

    #[test]
    fn any_flipped_bit_of_a_stored_event_is_found(event in any_event(), at in any::<prop::sample::Index>(), bit in 0..8_u32) {
        let stored = event.to_stored().unwrap();
        let mut changed = stored.clone();
        changed.core[at.index(stored.core.len())] ^= 1 << bit;
        prop_assert!(!still_holds(&changed));

        let mut changed = stored.clone();
        changed.hash[at.index(32)] ^= 1 << bit;
        prop_assert!(!still_holds(&changed));

        if let Some(mut personal) = stored.personal.clone() {
            let index = at.index(personal.len());
            personal[index] ^= 1 << bit;
            prop_assert!(!still_holds(&StoredEvent::new(stored.core, Some(personal), stored.hash)));
        }
    }

    #[test]
    fn no_stored_bytes_make_it_panic(core in any::<Vec<u8>>(), personal in any::<Option<Vec<u8>>>(), event in any_event(), cut in any::<prop::sample::Index>()) {
        let _ = Event::from_stored(&StoredEvent::new(core.clone(), personal.clone(), [0; 32]));
        let stored = event.to_stored().unwrap();
        let _ = Event::from_stored(&StoredEvent::new(stored.core.clone(), personal, stored.hash));
        let cut = cut.index(stored.core.len());
        prop_assert!(Event::from_stored(&StoredEvent::new(stored.core[..cut].to_vec(), None, stored.hash)).is_err());
        let mut longer = stored.core;
        longer.extend(core);
        longer.push(0);
        prop_assert!(Event::from_stored(&StoredEvent::new(longer, None, stored.hash)).is_err());
    }

    #[test]
    fn clipped_text_keeps_to_the_limit(start in 980..1030_usize, text in any::<String>()) {
        let given = "a".repeat(start) + &text;
        let event = built(builder().reason(given.clone()));
        let kept = event.reason().unwrap();
        prop_assert!(kept.len() <= 1024);
        prop_assert!(!kept.chars().any(char::is_control));
        let escaped: String = given.chars().map(|c| if c.is_control() { c.escape_unicode().to_string() } else { c.to_string() }).collect();
        prop_assert!(kept == escaped || escaped.starts_with(kept.strip_suffix('…').unwrap()));
    }
}

#[test]
fn the_id_of_a_stream_is_digits_in_json_and_bytes_in_stored_events() {
    let stream = Stream::new([0x0a; 16], 300);
    let json = r#"{"id":"0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a","seq":300}"#;
    assert_eq!(serde_json::to_string(&stream).unwrap(), json);
    assert_eq!(serde_json::from_str::<Stream>(json).unwrap(), stream);
    let others =
        [r#""../../etc/passwd""#.to_owned(), format!("{:?}", [10; 16]), format!("{:?}", "0A".repeat(16))];
    for id in others {
        assert!(serde_json::from_str::<Stream>(&format!(r#"{{"id":{id},"seq":1}}"#)).is_err(), "{id}");
    }
    // By hand, after postcard 1: the bytes behind their length, the number as a varint.
    let bytes = [&[16][..], &[0x0a; 16], &[0xac, 0x02]].concat();
    assert_eq!(postcard::to_allocvec(&stream).unwrap(), bytes);
    assert_eq!(postcard::from_bytes::<Stream>(&bytes).unwrap(), stream);
}

#[test]
fn personal_values_have_the_bytes_of_stored_events() {
    // By hand, after postcard 1: the salt behind its length, options behind 0 or 1, no header.
    let bytes = [&[16][..], &[7; 16], &[1, 3], b"bob", &[0, 0, 0]].concat();
    let personal: Personal = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(personal.user.as_ref().map(UserId::as_str), Some("bob"));
    assert_eq!(postcard::to_allocvec(&personal).unwrap(), bytes);
    let json = serde_json::to_value(&personal).unwrap();
    assert_eq!(json["salt"], "07".repeat(16));
    assert_eq!(serde_json::from_value::<Personal>(json).unwrap(), personal);
}
