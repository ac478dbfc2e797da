use super::{SAMPLE_GREGORIAN, acme, erased, full_event};
use crate::{
    AccountId, Attempt, AuditError, Event, EventBuilder, Kind, MULTI_FACTOR, Outcome, Profile, Scope,
    Timestamp, UserId,
};

/// The row printed in Kazoo's documentation of March 2017.
fn seed_event() -> Event {
    let at = Timestamp::from_gregorian_seconds(SAMPLE_GREGORIAN).unwrap();
    let message = "no multi factor authentication provider is configured";
    let attempt = Attempt::new(MULTI_FACTOR, message).with_origins("{ACCOUNT_ID}", "{ACCOUNT_ID}");
    EventBuilder::new(acme(), Kind::LoginDenied, Outcome::Failure, at)
        .attempt(attempt)
        .build("201702-09a979346eff06746e445a8cc1e574c4".parse().unwrap(), [1; 16])
        .unwrap()
}

/// The row printed in the documentation of Kazoo 4.
fn kazoo_event() -> Event {
    let at = Timestamp::from_gregorian_seconds(63_667_032_239).unwrap();
    let account = AccountId::parse("6134cc9aa43ffaee3e3f0c9a84113d6e").unwrap();
    EventBuilder::new(Scope::Account(account), Kind::TokenCreated, Outcome::Success, at)
        .module("cb_user_auth")
        .attempt(Attempt::new("jwt_auth_token", "authentication resulted in token creation"))
        .user(UserId::parse("0528dc7bbbf94bcc5df7d74d808a4ec0").unwrap())
        .ip("10.1.0.2".parse().unwrap())
        .header("Host", "10.1.0.2:8000")
        .header("User-Agent", "..")
        .header("X-Auth-Token", "0123456789")
        .request_id("a6edc00018ebd9c7c991fbddf3677fcb")
        .build("201707-5e9c6dc29efb34d87c0a06e8f613b1fd".parse().unwrap(), [1; 16])
        .unwrap()
}

fn summary(profile: Profile, event: &Event) -> String {
    profile.summary(event).unwrap().to_json().unwrap()
}

fn detail(profile: Profile, event: &Event) -> String {
    profile.detail(event).unwrap().to_json().unwrap()
}

#[test]
fn b7_seed_summary_is_the_documented_row() {
    let row = r#"{"id":"201702-09a979346eff06746e445a8cc1e574c4","auth_type":"multi_factor","debug_type":"failed","message":"no multi factor authentication provider is configured","timestamp":63655033238}"#;
    assert_eq!(summary(Profile::Seed2017, &seed_event()), row);
}

#[test]
fn b8_seed_detail_is_the_documented_row() {
    let row = r#"{"auth_type":"multi_factor","debug_type":"failed","message":"no multi factor authentication provider is configured","auth_config_origin":"{ACCOUNT_ID}","mfa_config_origin":"{ACCOUNT_ID}","timestamp":63655033238,"id":"201702-09a979346eff06746e445a8cc1e574c4"}"#;
    assert_eq!(detail(Profile::Seed2017, &seed_event()), row);
}

#[test]
fn a17_kazoo_summary_is_the_documented_row() {
    let row = r#"{"id":"201707-5e9c6dc29efb34d87c0a06e8f613b1fd","auth_type":"jwt_auth_token","auth_module":"cb_user_auth","status":"success","message":"authentication resulted in token creation","timestamp":63667032239,"client_ip":"10.1.0.2"}"#;
    assert_eq!(summary(Profile::Kazoo4, &kazoo_event()), row);
}

#[test]
fn a22_kazoo_detail_is_the_documented_row_without_secret_headers() {
    let row = r#"{"auth_type":"jwt_auth_token","status":"success","auth_module":"cb_user_auth","message":"authentication resulted in token creation","client_headers":{"host":"10.1.0.2:8000","user-agent":".."},"client_ip":"10.1.0.2","crossbar_request_id":"a6edc00018ebd9c7c991fbddf3677fcb","timestamp":63667032239,"metadata":{"owner_id":"0528dc7bbbf94bcc5df7d74d808a4ec0","account_id":"6134cc9aa43ffaee3e3f0c9a84113d6e"},"id":"201707-5e9c6dc29efb34d87c0a06e8f613b1fd"}"#;
    assert_eq!(detail(Profile::Kazoo4, &kazoo_event()), row);
}

#[test]
fn erased_values_are_left_out() {
    let row = r#"{"auth_type":"jwt_auth_token","status":"success","auth_module":"cb_user_auth","message":"authentication resulted in token creation","timestamp":63667032239,"metadata":{"account_id":"6134cc9aa43ffaee3e3f0c9a84113d6e"},"id":"201707-5e9c6dc29efb34d87c0a06e8f613b1fd"}"#;
    let erased = erased(&kazoo_event());
    assert_eq!(detail(Profile::Kazoo4, &erased), row);
    assert!(!summary(Profile::Kazoo4, &erased).contains("client_ip"));
}

#[test]
fn a_request_without_headers_has_no_headers() {
    let at = Timestamp::from_gregorian_seconds(SAMPLE_GREGORIAN).unwrap();
    let event = EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at)
        .attempt(Attempt::new(MULTI_FACTOR, "unauthorized"))
        .user(UserId::parse("bob").unwrap())
        .build(seed_event().id(), [1; 16])
        .unwrap();
    let row = detail(Profile::Kazoo4, &event);
    assert!(row.contains("bob") && !row.contains("client_"), "{row}");
}

#[test]
fn origins_that_are_not_known_are_left_out() {
    let row = detail(Profile::Seed2017, &kazoo_event());
    assert!(!row.contains("origin"), "{row}");
}

#[test]
fn an_event_outside_the_attempts_view_has_no_row() {
    let at = Timestamp::from_gregorian_seconds(SAMPLE_GREGORIAN).unwrap();
    let event = EventBuilder::new(acme(), Kind::ChallengeBegun, Outcome::Info, at)
        .build(seed_event().id(), [1; 16])
        .unwrap();
    for profile in [Profile::Seed2017, Profile::Kazoo4] {
        assert!(profile.summary(&event).is_none() && profile.detail(&event).is_none());
    }
}

#[test]
fn a_detail_holds_every_value_of_the_summary() {
    let value = |json: String| serde_json::from_str::<serde_json::Value>(&json).unwrap();
    for profile in [Profile::Seed2017, Profile::Kazoo4] {
        let (summary, detail) = (summary(profile, &full_event()), detail(profile, &full_event()));
        let (summary, detail) = (value(summary), value(detail));
        for (name, value) in summary.as_object().unwrap() {
            assert_eq!(detail.get(name), Some(value), "{profile} {name}");
        }
    }
}

#[test]
fn a_header_that_came_twice_is_one_key() {
    let at = Timestamp::from_gregorian_seconds(SAMPLE_GREGORIAN).unwrap();
    let event = EventBuilder::new(acme(), Kind::AnswerRejected, Outcome::Failure, at)
        .attempt(Attempt::new(MULTI_FACTOR, "unauthorized"))
        .header("accept-language", "de")
        .header("host", "example.com")
        .header("Accept-Language", "en")
        .build(seed_event().id(), [1; 16])
        .unwrap();
    let row = detail(Profile::Kazoo4, &event);
    assert!(row.contains(r#""client_headers":{"accept-language":"de, en","host":"example.com"}"#), "{row}");
}

#[test]
fn profiles_are_read_by_name() {
    for profile in [Profile::Seed2017, Profile::Kazoo4] {
        assert_eq!(profile.to_string().parse::<Profile>().unwrap(), profile);
    }
    assert_eq!(Profile::Seed2017.code(), "seed2017");
    assert_eq!(Profile::Kazoo4.code(), "kazoo4");
    for text in ["", "Seed2017", "kazoo", "kazoo4 "] {
        let refused = text.parse::<Profile>();
        assert!(matches!(refused, Err(AuditError::Invalid { field: "profile", .. })), "{text}");
    }
}
