//! The lines between a [`Scattered`](crate::scattered::Scattered) store and its processes.

use std::collections::BTreeMap;
use std::io::Error;
use std::sync::{Arc, Mutex};

use audit_model::export;
use data_encoding::HEXLOWER;
use mfa::{
    Commit, Committed, Erase, Expect, Key, Record, RecordKind, Scope, StoreError, Timestamp, UserId, Version,
    Write,
};
use serde_json::{Value, json};

/// Asks for records.
#[must_use]
pub fn write_get(keys: &[Key], now: Timestamp) -> Value {
    json!({"get": keys.iter().map(write_key).collect::<Vec<_>>(), "now": now.unix_millis()})
}

/// Reads what [`write_get`] asks for.
///
/// # Panics
/// For any other request.
#[must_use]
pub fn read_get(request: &Value) -> Option<(Vec<Key>, Timestamp)> {
    Some((request.get("get")?.as_array()?.iter().map(read_key).collect(), time(&request["now"])))
}

/// Answers with records.
#[must_use]
pub fn write_records(records: &[Option<Record>]) -> Value {
    let one = |record: &Option<Record>| {
        record.as_ref().map(|r| {
            let ends = r.expires_at.map(Timestamp::unix_millis);
            json!([hex(&r.version.to_bytes()), hex(&r.body), ends])
        })
    };
    json!({"records": records.iter().map(one).collect::<Vec<_>>()})
}

/// Reads what [`write_records`] answered.
///
/// # Panics
/// For any other answer.
#[must_use]
pub fn read_records(keys: &[Key], reply: &Value) -> Vec<Option<Record>> {
    let one = |(key, record): (&Key, &Value)| {
        let ends = (!record[2].is_null()).then(|| time(&record[2]));
        (!record.is_null()).then(|| Record::new(key.clone(), version(&record[0]), bytes(&record[1]), ends))
    };
    keys.iter().zip(reply["records"].as_array().expect("records")).map(one).collect()
}

/// Asks for a commit.
///
/// # Panics
/// If an event cannot be exported.
#[must_use]
pub fn write_commit(commit: &Commit) -> Value {
    let writes = commit.writes.iter().map(|write| match write {
        Write::Put { key, expect, body, expires_at } => json!({
            "put": write_key(key), "expect": write_expect(*expect), "body": hex(body),
            "ends": expires_at.map(Timestamp::unix_millis),
        }),
        Write::Delete { key, expect } => json!({"delete": write_key(key), "expect": write_expect(*expect)}),
        Write::Check { key, version } => {
            json!({"check": write_key(key), "version": hex(&version.to_bytes())})
        }
        _ => panic!("an unknown write"),
    });
    let events = commit.events.iter().map(|event| export::to_line(event).expect("a line"));
    json!({
        "commit": commit.scope.as_str(), "version": hex(&commit.version.to_bytes()),
        "now": commit.now.unix_millis(), "writes": writes.collect::<Vec<_>>(),
        "events": events.collect::<Vec<_>>(), "erase": commit.erase.as_ref().map(erase_to_json),
    })
}

/// Reads what [`write_commit`] asks for.
///
/// # Panics
/// For any other request.
#[must_use]
pub fn read_commit(request: &Value) -> Commit {
    let scope = Scope::parse_stored(text(&request["commit"])).expect("a scope");
    let mut commit = Commit::new(scope, version(&request["version"]), time(&request["now"]));
    for write in request["writes"].as_array().expect("writes") {
        let expect = || read_expect(&write["expect"]);
        commit.writes.push(if let Some(key) = write.get("put") {
            let expires_at = (!write["ends"].is_null()).then(|| time(&write["ends"]));
            Write::Put { key: read_key(key), expect: expect(), body: bytes(&write["body"]), expires_at }
        } else if let Some(key) = write.get("delete") {
            Write::Delete { key: read_key(key), expect: expect() }
        } else {
            Write::Check { key: read_key(&write["check"]), version: version(&write["version"]) }
        });
    }
    for line in request["events"].as_array().expect("events") {
        commit.events.push(export::from_line(text(line)).expect("an event"));
    }
    commit.erase = erase_from_json(&request["erase"]);
    commit
}

fn erase_to_json(erase: &Erase) -> Value {
    match erase {
        Erase::User(user) => json!({"user": user.as_str()}),
        Erase::Everyone => json!("everyone"),
        _ => panic!("an unknown erasure"),
    }
}

fn erase_from_json(erase: &Value) -> Option<Erase> {
    match erase {
        Value::Null => None,
        Value::String(_) => Some(Erase::Everyone),
        user => Some(Erase::User(UserId::parse(text(&user["user"])).expect("a user"))),
    }
}

/// Answers how a commit ended: the number of the write that was in the way, if one was.
///
/// # Panics
/// For an outcome that is neither.
#[must_use]
pub fn write_committed(commit_keys: &[Key], committed: &Committed) -> Value {
    match committed {
        Committed::Done => json!({"done": true}),
        Committed::Conflict(key) => json!({"conflict": commit_keys.iter().position(|k| k == key)}),
        _ => panic!("an unknown outcome"),
    }
}

/// Reads what [`write_committed`] answered.
///
/// # Panics
/// For any other answer.
pub fn read_committed(commit: &Commit, reply: &Value) -> Committed {
    match reply.get("conflict").and_then(Value::as_u64) {
        Some(at) => Committed::Conflict(commit.writes[usize::try_from(at).expect("a place")].key().clone()),
        None => Committed::Done,
    }
}

/// Answers that a call failed.
#[must_use]
pub fn write_error(error: &StoreError) -> Value {
    json!({"error": error.code()})
}

/// Reads what [`write_error`] answered, if it is an error.
#[must_use]
pub fn read_error(reply: &Value) -> Option<StoreError> {
    let source = || Arc::new(Error::other("in another process"));
    Some(match reply.get("error")?.as_str()? {
        "unavailable" => StoreError::Unavailable(source()),
        "unknown" => StoreError::Unknown(source()),
        "too_large" => StoreError::TooLarge { what: "body", bytes: 0, limit: 0 },
        "misuse" => StoreError::Misuse("in another process"),
        _ => StoreError::Corrupt("in another process"),
    })
}

fn write_key(key: &Key) -> Value {
    json!([key.scope.as_str(), key.kind.as_str(), hex(&key.id)])
}

fn read_key(value: &Value) -> Key {
    Key::new(Scope::parse_stored(text(&value[0])).expect("a scope"), kind(text(&value[1])), bytes(&value[2]))
}

/// Returns the kind of a name. Names are constants of a program: here each is kept for good.
fn kind(name: &str) -> RecordKind {
    static KINDS: Mutex<BTreeMap<String, RecordKind>> = Mutex::new(BTreeMap::new());
    let mut kinds = KINDS.lock().expect("the kinds");
    *kinds.entry(name.to_owned()).or_insert_with(|| RecordKind::new(String::leak(name.to_owned())))
}

fn write_expect(expect: Expect) -> Value {
    match expect {
        Expect::Absent => json!("absent"),
        Expect::Version(version) => json!(hex(&version.to_bytes())),
        _ => json!("any"),
    }
}

fn read_expect(value: &Value) -> Expect {
    match text(value) {
        "absent" => Expect::Absent,
        "any" => Expect::Any,
        _ => Expect::Version(version(value)),
    }
}

fn version(value: &Value) -> Version {
    Version::from_bytes(bytes(value).try_into().expect("16 bytes"))
}

fn time(value: &Value) -> Timestamp {
    Timestamp::from_unix_millis(value.as_u64().expect("a time")).expect("a time")
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).expect("hexadecimal digits")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}
