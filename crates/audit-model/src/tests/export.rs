use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::{any_event, erased, full_event};
use crate::{AuditError, export};

#[test]
fn a_line_is_the_documented_object() {
    let line = export::to_line(&full_event()).unwrap();
    let start = r#"{"format":1,"id":"201702-07070707070707070707070707070707","at":1487814038000,"scope":"acme","kind":"answer_rejected","outcome":"failed","module":"cb_user_auth","reason":"wrong_code","subject":"05050505050505050505050505050505","actor":"admin","fields":[["method","totp"],["attempts_left","4"]],"stream":{"id":"06060606060606060606060606060606","seq":300},"attempt":{"auth_type":"multi_factor","message":"unauthorized","auth_config_origin":"acme","mfa_config_origin":"system"},"commitment":"8547e871a942866264c3c99604d60b51cb4b3d61fdb127c814c2a5513e02fb28","personal":{"#;
    assert!(line.starts_with(start), "{line}");
    let personal = r#""personal":{"salt":"09090909090909090909090909090909","user":"bob","ip":"10.1.0.2","headers":[["host","10.1.0.2:8000"],["user-agent","curl/7"]],"request_id":"a6edc00018ebd9c7c991fbddf3677fcb"},"hash":""#;
    assert!(line.contains(personal), "{line}");
}

/// The commitment can be checked by hand from a line: Python's `hashlib.sha256(b"audit/commitment/1" +
/// bytes([9] * 16) + part(0, b"bob") + part(1, bytes([10, 1, 0, 2])) + part(2, b"host") +
/// part(3, b"10.1.0.2:8000") + part(2, b"user-agent") + part(3, b"curl/7") + part(4, b"a6edc0…"))`, where
/// `part = lambda name, value: bytes([name]) + len(value).to_bytes(8, "big") + value`.
#[test]
fn a_commitment_is_the_documented_hash() {
    let commitment = full_event().commitment().map(|digest| HEXLOWER.encode(digest));
    let by_hand = "8547e871a942866264c3c99604d60b51cb4b3d61fdb127c814c2a5513e02fb28";
    assert_eq!(commitment.as_deref(), Some(by_hand));
}

#[test]
fn values_without_their_commitment_do_not_hold() {
    let line = export::to_line(&full_event()).unwrap();
    let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
    object.remove("commitment").unwrap();
    let read = export::from_line(&serde_json::to_string(&object).unwrap()).unwrap();
    assert!(!read.hash_holds());
}

#[test]
fn an_erased_event_has_no_personal_key() {
    let erased = erased(&full_event());
    let line = export::to_line(&erased).unwrap();
    assert!(!line.contains("personal") && !line.contains("bob") && !line.contains("10.1.0.2"));
    let read = export::from_line(&line).unwrap();
    assert!(read.is_erased() && read.hash_holds());
    assert_eq!(read, erased);
}

#[test]
fn every_single_change_of_a_value_is_found() {
    let line = export::to_line(&full_event()).unwrap();
    let changes = [
        ("201702-07", "201702-08"),
        ("1487814038000", "1487814038001"),
        (r#""scope":"acme""#, r#""scope":"acne""#),
        ("answer_rejected", "answer_accepted"),
        (r#""failed""#, r#""success""#),
        ("cb_user_auth", "cb_api_auth"),
        ("wrong_code", "right_code"),
        (r#""subject":"05"#, r#""subject":"04"#),
        ("admin", "amdin"),
        (r#""totp""#, r#""sms""#),
        (r#""method""#, r#""from""#),
        (r#""seq":300"#, r#""seq":301"#),
        ("unauthorized", "authorized"),
        (r#""mfa_config_origin":"system""#, r#""mfa_config_origin":"acme""#),
        (r#""bob""#, r#""eve""#),
        (r#""ip":"10.1.0.2""#, r#""ip":"10.1.0.3""#),
        ("curl/7", "curl/8"),
        ("a6edc", "a6edd"),
        (r#""salt":"09"#, r#""salt":"08"#),
        (r#""actor":"admin","#, ""),
        (r#","request_id":"a6edc00018ebd9c7c991fbddf3677fcb""#, ""),
    ];
    for (from, to) in changes {
        let changed = line.replace(from, to);
        assert_ne!(changed, line, "{from}");
        assert!(!export::from_line(&changed).unwrap().hash_holds(), "{from}");
    }
}

#[test]
fn a_broken_line_is_refused_by_the_name_of_the_field() {
    let line = export::to_line(&full_event()).unwrap();
    let cases = [
        (r#""format":1"#, r#""format":2"#, "format"),
        (r#""format":1,"#, "", "format"),
        ("201702-", "201713-", "id"),
        ("1487814038000", "253402300800000", "at"),
        ("1487814038000", "\"1487814038000\"", "at"),
        ("1487814038000", "1487814038000.5", "at"),
        (r#""scope":"acme""#, r#""scope":"~other""#, "scope"),
        ("answer_rejected", "no_such_kind", "kind"),
        (r#""failed""#, r#""failure""#, "outcome"),
        (r#""module":"cb_user_auth""#, r#""module":7"#, "module"),
        (r#""subject":"05"#, r#""subject":""#, "subject"),
        (r#"[["method","totp"]"#, r#"[["method"]"#, "fields"),
        (r#""seq":300"#, r#""seq":-1"#, "stream"),
        (r#""stream":{"id":"06"#, r#""stream":{"id":"0G"#, "stream.id"),
        (r#""auth_type":"multi_factor","#, "", "attempt"),
        (r#""message":"unauthorized""#, r#""message":"unauthorized","message":"x""#, "attempt"),
        (r#""commitment":"8"#, r#""commitment":""#, "commitment"),
        (r#""commitment":"8"#, r#""commitment":"G"#, "commitment"),
        (r#""salt":"09"#, r#""salt":"0"#, "personal.salt"),
        (r#""user":"bob""#, r#""user":" bob""#, "personal.user"),
        (r#""ip":"10.1.0.2""#, r#""ip":"10.1.0""#, "personal.ip"),
        (r#""request_id":"#, r#""shoe_size":"#, "personal"),
        (r#""hash":""#, r#""hash":"A"#, "hash"),
        (r#"{"format""#, r#"{"shoe_size":1,"format""#, "line"),
        (r#"{"format":1,"#, r#"{"format":1,"format":1,"#, "line"),
        (r#"{"format""#, r#"[{"format""#, "line"),
    ];
    for (from, to, name) in cases {
        let changed = line.replace(from, to);
        assert_ne!(changed, line, "{from}");
        let refused = export::from_line(&changed);
        assert!(
            matches!(refused, Err(AuditError::Invalid { field, .. }) if field == name),
            "{to}: {refused:?}"
        );
    }
}

#[test]
fn every_key_that_must_be_there_is_missed_by_name() {
    let line = export::to_line(&full_event()).unwrap();
    for name in ["format", "id", "at", "scope", "kind", "outcome", "fields", "hash"] {
        let mut object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        object.remove(name).unwrap();
        let refused = export::from_line(&serde_json::to_string(&object).unwrap());
        assert!(
            matches!(refused, Err(AuditError::Invalid { field, .. }) if field == name),
            "{name}: {refused:?}"
        );
    }
}

#[test]
fn errors_do_not_repeat_values() {
    let line = export::to_line(&full_event()).unwrap().replace(r#""user":"bob""#, r#""user":" bob-4711""#);
    let refused = export::from_line(&line).unwrap_err();
    assert!(!format!("{refused} {refused:?}").contains("4711"), "{refused:?}");
}

#[test]
fn a_line_past_the_limit_is_refused_unread() {
    let line = " ".repeat(export::MAX_LINE_BYTES.saturating_add(1));
    let refused = export::from_line(&line).unwrap_err();
    assert_eq!(refused.to_string(), "line: has 1048577 bytes, the limit is 1048576");
}

#[test]
fn the_keys_may_come_in_any_order() {
    let line = export::to_line(&full_event()).unwrap();
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let sorted = serde_json::to_string_pretty(&value).unwrap();
    assert_ne!(sorted, line);
    assert_eq!(export::from_line(&sorted).unwrap(), full_event());
}

proptest! {
    #[test]
    fn an_event_is_read_back_from_its_line(event in any_event()) {
        let line = export::to_line(&event).unwrap();
        prop_assert!(!line.chars().any(char::is_control));
        let read = export::from_line(&line).unwrap();
        prop_assert!(read.hash_holds());
        prop_assert_eq!(read, event);
    }

    #[test]
    fn no_line_makes_it_panic(text in any::<String>(), event in any_event(), at in any::<prop::sample::Index>(), with in any::<char>()) {
        let _ = export::from_line(&text);
        let line = export::to_line(&event).unwrap();
        let place = at.index(line.chars().count());
        let changed: String = line.chars().enumerate().map(|(i, c)| if i == place { with } else { c }).collect();
        let _ = export::from_line(&changed);
        let cut: String = line.chars().take(place).collect();
        prop_assert!(export::from_line(&cut).is_err());
    }
}
