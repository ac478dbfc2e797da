//! The limits of the keys, each one character off (rows B19 and D15, edge 25).

use mfa_duo::web::WebSdk;
use mfa_duo::{ApplicationKey, Error, IntegrationKey, SecretKey};

#[test]
fn keys_have_the_lengths_of_the_sdks() {
    for (chars, ok) in [(0, false), (19, false), (20, true), (21, false)] {
        assert_eq!(IntegrationKey::parse(&"I".repeat(chars)).is_ok(), ok, "{chars}");
    }
    for (chars, ok, kazoo) in [(39, false, false), (40, true, true), (41, false, true), (400, false, true)] {
        assert_eq!(SecretKey::parse(&"s".repeat(chars)).is_ok(), ok, "{chars}");
        assert_eq!(SecretKey::parse_kazoo(&"s".repeat(chars)).is_ok(), kazoo, "{chars}");
    }
    for (chars, ok) in [(39, false), (40, true), (41, true)] {
        assert_eq!(ApplicationKey::parse(&"a".repeat(chars)).is_ok(), ok, "{chars}");
        // Characters, not bytes.
        assert_eq!(ApplicationKey::parse(&"ä".repeat(chars)).is_ok(), ok, "{chars}");
    }
}

#[test]
fn what_would_end_a_field_is_no_part_of_an_integration_key() {
    for bad in ["|", ":", " ", "\n", "\0", "ä"] {
        let key = format!("{}{bad}", "I".repeat(20 - bad.len()));
        assert_eq!(IntegrationKey::parse(&key), Err(Error::IntegrationKey), "{bad:?}");
    }
    let key = format!("{}\n", "s".repeat(39));
    assert_eq!(SecretKey::parse(&key).unwrap_err(), Error::SecretKey);
}

#[test]
fn a_key_that_duo_knows_is_no_application_key() {
    let key = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
    let sdk = |akey: &str| {
        WebSdk::new(
            IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX").unwrap(),
            SecretKey::parse(key).unwrap(),
            ApplicationKey::parse(akey).unwrap(),
        )
    };
    assert_eq!(sdk(key).unwrap_err(), Error::SameKeys);
    assert!(sdk(&key.to_uppercase()).is_ok());
}
