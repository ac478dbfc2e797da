//! Lines that are not requests, and requests that are not served: each is answered, and the process goes on.

use serde_json::{Value, json};

use super::process::{Shim, error_of, open_request};

const MIB: usize = 1 << 20;

fn bad_request(field: &str) -> (String, String) {
    ("bad_request".to_owned(), field.to_owned())
}

fn assert_goes_on(shim: &mut Shim) {
    let reply = shim.call(json!({ "id": ["any", 1], "op": "time.gregorian", "unix": 0 }));
    assert_eq!(reply, json!({ "id": ["any", 1], "ok": { "gregorian": 62_167_219_200_u64 } }));
}

#[test]
fn what_is_not_json_is_a_bad_request_without_an_id() {
    let mut shim = Shim::start();
    let lines: [&[u8]; 11] = [
        b"",
        b"   ",
        b"{",
        b"open",
        b"[]",
        b"7",
        b"null",
        b"{\"op\":\"purge\"} {\"op\":\"purge\"}",
        b"{\"op\":\"purge\xff\"}",
        b"\xef\xbb\xbf{\"op\":\"purge\"}",
        b"{\"op\":\"purge\",\"x\":1e999}",
    ];
    for line in lines {
        let reply = shim.line(line);
        assert_eq!((error_of(&reply), &reply["id"]), (bad_request(""), &Value::Null), "{line:?}");
    }
    assert_eq!(error_of(&shim.line("[".repeat(100_000).as_bytes())), bad_request(""));
    assert_goes_on(&mut shim);
}

#[test]
fn a_key_that_stands_twice_is_a_bad_request_at_any_depth() {
    let mut shim = Shim::start();
    for line in [
        r#"{"id":1,"op":"time.gregorian","unix":0,"unix":1}"#,
        r#"{"id":1,"op":"time.gregorian","unix":0,"\u0075nix":1}"#,
        r#"{"id":1,"op":"time.gregorian","unix":0,"x":[{"a":{"b":1,"b":1}}]}"#,
    ] {
        assert_eq!(error_of(&shim.line(line.as_bytes())), bad_request(""), "{line}");
    }
    assert_goes_on(&mut shim);
}

#[test]
fn a_line_past_one_mebibyte_is_a_bad_request_and_the_next_one_is_served() {
    let mut shim = Shim::start();
    let padded = |bytes: usize| {
        let empty = r#"{"id":1,"op":"time.gregorian","unix":0,"pad":""}"#;
        let line = empty.replace("\"\"", &format!("\"{}\"", "x".repeat(bytes - empty.len())));
        assert_eq!(line.len(), bytes);
        line
    };
    assert!(shim.line(padded(MIB).as_bytes()).get("ok").is_some());
    assert!(shim.line(format!("{}\r", padded(MIB)).as_bytes()).get("ok").is_some());
    for bytes in [MIB + 1, MIB + 2, 8 * MIB] {
        assert_eq!(error_of(&shim.line(padded(bytes).as_bytes())), bad_request(""), "{bytes}");
        assert_goes_on(&mut shim);
    }
}

#[test]
fn an_unknown_op_a_missing_field_and_a_mistyped_one_are_named() {
    let mut shim = Shim::open("memory", 1_700_000_010);
    for (request, field) in [
        (json!({}), "op"),
        (json!({ "op": 7 }), "op"),
        (json!({ "op": "login.fly" }), "op"),
        (json!({ "op": "time.gregorian" }), "unix"),
        (json!({ "op": "time.gregorian", "unix": null }), "unix"),
        (json!({ "op": "time.gregorian", "unix": -1 }), "unix"),
        (json!({ "op": "time.gregorian", "unix": 1.5 }), "unix"),
        (json!({ "op": "time.gregorian", "unix": "1" }), "unix"),
        (json!({ "op": "login.verify", "challenge": "x" }), "response"),
        (json!({ "op": "login.verify", "challenge": "x", "response": {} }), "response"),
        (json!({ "op": "login.verify", "challenge": "x", "response": { "poll": false } }), "response"),
        (json!({ "op": "login.verify", "challenge": "x", "response": { "code": 1 } }), "response.code"),
        (json!({ "op": "login.verify", "response": { "code": "1" } }), "challenge"),
        (json!({ "op": "fault", "at": "on_get", "kind": "joke" }), "kind"),
        (json!({ "op": "account.put", "account": "system" }), "account"),
    ] {
        assert_eq!(shim.error(request.clone()), bad_request(field), "{request}");
    }
    assert_goes_on(&mut shim);
}

#[test]
fn an_id_that_would_come_back_as_another_is_refused() {
    let mut shim = Shim::start();
    let mut reply_to =
        |id: &str| shim.line(format!(r#"{{"id":{id},"op":"time.gregorian","unix":0}}"#).as_bytes());
    for id in ["18446744073709551616", "-9223372036854775809", "[{\"a\":18446744073709551616}]", "1.5", "1e3"]
    {
        let reply = reply_to(id);
        assert_eq!((error_of(&reply), &reply["id"]), (bad_request("id"), &Value::Null), "{id}");
    }
    for id in
        ["18446744073709551615", "-9223372036854775808", "[{\"a\":0}]", "\"18446744073709551616\"", "true"]
    {
        let reply = reply_to(id);
        assert!(reply.get("ok").is_some(), "{reply}");
        assert_eq!(reply["id"].to_string(), id);
    }
}

#[test]
fn a_field_at_fault_is_named_by_its_path_in_the_request() {
    let mut shim = Shim::open("memory", 1_700_000_010);
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    let mut open = open_request("memory", 1_700_000_010);
    open["policy"] = json!([]);
    assert_eq!(Shim::start().error(open), ("type".to_owned(), "policy".to_owned()));

    let attempt = |field: &str, value: Value| {
        let mut attempt = json!({ "id": "201702-09a979346eff06746e445a8cc1e574c4", "account": "acme",
            "timestamp": 1_487_814_038, "status": "failed", "message": "unauthorized" });
        attempt[field] = value;
        json!({ "op": "wire.attempt", "profile": "seed2017", "attempt": attempt })
    };
    for (field, value) in [
        ("status", json!("info")),
        ("status", json!("Failed")),
        ("ip", json!("10.1.0")),
        ("id", json!("201713-09a979346eff06746e445a8cc1e574c4")),
        ("user", json!("bob ")),
    ] {
        let request = attempt(field, value);
        assert_eq!(shim.error(request.clone()).1, format!("attempt.{field}"), "{request}");
    }
    for op in ["settings.put", "settings.patch", "policy.put", "provider.create"] {
        for document in [json!([]), json!("{}"), json!(7)] {
            let request = json!({ "op": op, "account": "acme", "profile": "seed2017", "document": document });
            assert_eq!(shim.error(request.clone()), ("type".to_owned(), "document".to_owned()), "{request}");
        }
    }
    let duo = json!({ "provider_name": "duo", "settings": {} });
    let made = json!({ "op": "provider.create", "account": "acme", "profile": "seed2017", "document": duo });
    let id = shim.ok(made)["data"]["id"].take();
    for (op, field) in [("provider.replace", "document"), ("provider.patch", "patch")] {
        let mut request = json!({ "op": op, "account": "acme", "profile": "seed2017", "config_id": id });
        request[field] = json!([]);
        assert_eq!(shim.error(request), ("type".to_owned(), field.to_owned()));
    }
    let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
    let uri = |issuer: &str, account: &str| json!({ "op": "totp.uri", "issuer": issuer, "account": account, "secret": secret });
    let put = |field: &str, value: &str| {
        let mut put = json!({ "op": "user.put", "account": "acme", "user": "bob" });
        put[field] = json!(value);
        put
    };
    for (request, field) in [
        (json!({ "op": "audit.events", "account": "acme", "page_size": 0 }), "page_size"),
        (json!({ "op": "audit.events", "account": "acme", "after": "x" }), "after"),
        (
            json!({ "op": "audit.attempts", "account": "acme", "profile": "kazoo4", "start_key": "x" }),
            "start_key",
        ),
        (put("api_account", ""), "api_account"),
        (put("mobile", "+0151234567"), "mobile"),
        (uri("", "bob"), "issuer"),
        (uri("Example:Ltd", "bob"), "issuer"),
        (uri("Example", ""), "account"),
    ] {
        assert_eq!(shim.error(request.clone()).1, field, "{request}");
    }
    let nobody = json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" });
    assert_eq!(shim.error(nobody).0, "unknown_user");
    assert_eq!(shim.error(put("mobile", "+123456")).1, "mobile");
    shim.ok(put("mobile", "+1234567"));
}

#[test]
fn values_that_a_library_refuses_keep_its_code() {
    let mut shim = Shim::open("memory", 1_700_000_010);
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    let begin = |account: &str, user: &str, module: &str| json!({ "op": "login.begin", "account": account, "user": user, "module": module });
    let cases = [
        (begin("~system", "bob", "user_auth"), "invalid_account_id", "account"),
        (begin("acme", "bob ", "user_auth"), "invalid_user_id", "user"),
        (begin("acme", "bob", "User Auth"), "invalid_name", "module"),
        (begin("acme", "bob", "user_auth"), "unknown_user", ""),
        (begin("umbrella", "bob", "user_auth"), "unknown_user", ""),
        (json!({ "op": "account.put", "account": "~index" }), "invalid_account_id", "account"),
        (json!({ "op": "account.put", "account": "b", "parent": "~index" }), "invalid_account_id", "parent"),
        (json!({ "op": "account.put", "account": "b", "parent": "nobody" }), "unknown_user", "parent"),
        (json!({ "op": "user.put", "account": "umbrella", "user": "bob" }), "unknown_user", ""),
        (json!({ "op": "audit.events", "account": "~system" }), "invalid_account_id", "account"),
        (json!({ "op": "audit.events", "account": "acme", "page_size": 0 }), "invalid", "page_size"),
        (json!({ "op": "audit.attempts", "account": "umbrella", "profile": "kazoo4" }), "unknown_user", ""),
        (json!({ "op": "time.gregorian", "unix": u64::MAX }), "time_out_of_range", "unix"),
    ];
    for (request, code, field) in cases {
        assert_eq!(shim.error(request.clone()), (code.to_owned(), field.to_owned()), "{request}");
    }
}

#[test]
fn a_field_or_an_op_of_later_work_is_refused_and_not_left_aside() {
    let mut shim = Shim::open("memory", 1_700_000_010);
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob" }));
    for (field, value) in [("correlation_id", json!("t")), ("profile", json!("x"))] {
        let mut begin =
            json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth" });
        begin[field] = value;
        assert_eq!(shim.error(begin), bad_request(field));
    }
}

#[test]
fn the_process_ends_quietly_with_its_input_or_without_readers() {
    assert!(Shim::start().end().success());

    let mut last = Shim::start();
    last.send(br#"{"id":1,"op":"time.gregorian","unix":0}"#);
    assert!(last.receive().is_some());
    assert!(last.end().success());

    let mut deaf = Shim::start();
    deaf.close_replies();
    deaf.send(br#"{"id":1,"op":"time.gregorian","unix":0}"#);
    assert!(deaf.end().success());
}
