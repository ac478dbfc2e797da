use serde_json::{Value, json};

use crate::{AuditError, ErrorReply, TimeError, parse_address};

fn json_of(reply: &ErrorReply) -> Value {
    serde_json::from_str(&reply.to_json()).unwrap()
}

#[test]
fn b9_a_bad_identifier_is_the_documented_envelope() {
    let id = "201713-09a979346eff06746e445a8cc1e574c4";
    let wanted = json!({"status": "error", "error": "404", "message": "bad_identifier",
        "data": {"message": "bad identifier", "cause": id}});
    assert_eq!(json_of(&ErrorReply::bad_identifier(id)), wanted);
}

#[test]
fn b9_a_missing_field_is_named_by_its_path() {
    let reply = ErrorReply::validation("provider_name", "required", "Field is required but missing");
    let wanted = r#"{"data":{"provider_name":{"required":{"message":"Field is required but missing"}}},"error":"400","message":"validation error","status":"error"}"#;
    assert_eq!(reply.to_json(), wanted);
}

#[test]
fn several_rules_of_several_fields_are_one_reply() {
    let reply = ErrorReply::validation("a.b", "type", "x").and("c", "enum", "y").and("a.b", "minLength", "z");
    let wanted = json!({"a.b": {"type": {"message": "x"}, "minLength": {"message": "z"}}, "c": {"enum": {"message": "y"}}});
    assert_eq!(json_of(&reply)["data"], wanted);
    let other = ErrorReply::bad_identifier("x");
    assert_eq!(other.clone().and("a", "b", "c"), other);
}

#[test]
fn each_error_of_the_log_has_its_status_and_field() {
    let time = AuditError::Time { field: "created_to", source: TimeError::NotGregorian };
    let wrong_type = AuditError::WrongType { field: "page_size", expected: "a number" };
    let invalid = AuditError::Invalid { field: "status", problem: "must be success".to_owned() };
    let too_long = AuditError::RangeTooLong { created_from: 1, created_to: 9, limit_seconds: 5 };
    let cases = [
        (time, 400, Some("/data/created_to/not_gregorian_seconds/message")),
        (wrong_type, 400, Some("/data/page_size/type/message")),
        (invalid, 400, Some("/data/status/invalid/message")),
        (parse_address("10.1.0").unwrap_err(), 400, Some("/data/ip/invalid_ip/message")),
        (AuditError::InvalidCursor, 400, Some("/data/start_key/invalid_cursor/message")),
        (too_long, 400, Some("/data/created_from/date_range/cause")),
        (AuditError::RangeTooLarge { limit: 7 }, 416, Some("/data/message")),
        (AuditError::Corrupt("a row"), 503, Some("/data/message")),
    ];
    for (error, status, pointer) in cases {
        let reply = ErrorReply::from(&error);
        assert_eq!(reply.status(), status, "{error}");
        let json = json_of(&reply);
        assert_eq!(json["error"], status.to_string(), "{error}");
        assert!(pointer.is_none_or(|pointer| json.pointer(pointer).is_some()), "{json}");
    }
}

#[test]
fn what_a_store_says_about_itself_is_not_told() {
    let error = AuditError::Unavailable("/var/lib/secret.db: disk I/O error".into());
    let reply = ErrorReply::from(&error).to_json();
    assert!(!reply.contains("secret") && reply.contains("503"), "{reply}");
}
