//! What someone who can write the store can do, and what someone who also has a root key could.

use audit_model::Event;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use mfa::{Commit, Committed, Expect, Key, Record, RecordKind, Scope, Store, Subject, Version, Write};
use sha2::Sha256;

use crate::World;

/// The root key of [`crate::ring`], and its name.
pub const ROOT: [u8; 32] = [0x42; 32];
/// The name of [`ROOT`].
pub const ROOT_ID: &str = "k1";
/// Every kind of record that the engine keeps.
pub const KINDS: [RecordKind; 24] = [
    RecordKind::new("login"),
    RecordKind::new("vault"),
    RecordKind::new("open"),
    RecordKind::new("challenge"),
    RecordKind::new("pending"),
    RecordKind::new("proof"),
    RecordKind::new("ticket"),
    RecordKind::new("invitation"),
    RecordKind::new("notice"),
    RecordKind::new("message"),
    RecordKind::new("device"),
    RecordKind::new("exemptions"),
    RecordKind::new("directory_user"),
    RecordKind::new("destination"),
    RecordKind::new("destination_notices"),
    RecordKind::new("account_messages"),
    RecordKind::new("account_notices"),
    RecordKind::new("prefix_messages"),
    RecordKind::new("api_key"),
    RecordKind::new("api_key_hint"),
    RecordKind::new("identity"),
    RecordKind::new("settings"),
    RecordKind::new("policy"),
    RecordKind::new("configurations"),
];

/// Everything that a store holds: records of every kind, and the events of account `acme`.
pub type Dump = (Vec<Record>, Vec<Event>);

/// Reads everything that `world` holds.
pub async fn dump(world: &World) -> Dump {
    (records(world).await, world.events().await)
}

/// Reads every record of every kind.
pub async fn records(world: &World) -> Vec<Record> {
    let mut all = Vec::new();
    for kind in KINDS {
        all.extend(world.store.scan(kind, None, 10_000, world.now()).await.expect("a scan"));
    }
    all
}

/// Reads one record of a user, by its kind.
pub async fn user_record(world: &World, subject: &Subject, kind: &'static str) -> Record {
    let key = user_key(subject, kind);
    let found = world.store.get(&[key], world.now()).await.expect("a read");
    found.into_iter().flatten().next().expect("a record")
}

/// Addresses one record of a user.
#[must_use]
pub fn user_key(subject: &Subject, kind: &'static str) -> Key {
    let scope = Scope::Account(subject.account().clone());
    Key::new(scope, RecordKind::new(kind), subject.user().as_str().as_bytes())
}

/// Writes a record as it is, behind the engine's back.
pub async fn overwrite(world: &World, record: &Record) {
    let mut commit = Commit::new(record.key.scope.clone(), record.version, world.now());
    commit.writes.push(Write::Put {
        key: record.key.clone(),
        expect: Expect::Any,
        body: record.body.clone(),
        expires_at: record.expires_at,
    });
    assert_eq!(world.store.commit(commit).await.expect("a write"), Committed::Done);
}

/// Deletes a record behind the engine's back.
pub async fn delete(world: &World, key: Key) {
    let mut commit = Commit::new(key.scope.clone(), Version::from_bytes([0xdd; 16]), world.now());
    commit.writes.push(Write::Delete { key, expect: Expect::Any });
    assert_eq!(world.store.commit(commit).await.expect("a write"), Committed::Done);
}

/// Returns `record` with another body that is as authentic as the engine's own: what only the holder of the
/// root key could write. The form is written here again, from the engine's description of it.
#[must_use]
pub fn forged(record: &Record, payload: &[u8]) -> Record {
    let hkdf = Hkdf::<Sha256>::new(Some(b"mfa/ring/1"), &ROOT);
    let mut key = [0; 32];
    hkdf.expand(b"mac/record", &mut key).expect("a key");
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&key).expect("a mac");
    let (scope, kind) = (record.key.scope.as_str().as_bytes(), record.key.kind.as_str().as_bytes());
    for part in [scope, kind, &record.key.id, &record.version.to_bytes(), payload] {
        mac.update(&u32::try_from(part.len()).expect("a length").to_be_bytes());
        mac.update(part);
    }
    let mut body = vec![1, u8::try_from(ROOT_ID.len()).expect("a length")];
    body.extend_from_slice(ROOT_ID.as_bytes());
    body.extend_from_slice(payload);
    body.extend_from_slice(&mac.finalize().into_bytes());
    Record::new(record.key.clone(), record.version, body, record.expires_at)
}

/// Returns the payload of a body: behind its format byte and key name, before its mac.
#[must_use]
pub fn payload(record: &Record) -> Vec<u8> {
    let from = 2 + ROOT_ID.len();
    let to = record.body.len().checked_sub(32).expect("a body");
    record.body.get(from..to).expect("a body").to_vec()
}

/// Writes into a user's record that the first enrolment of `provider` has failed `failures` times in a row, below 128:
/// what months of wrong answers lead to.
///
/// # Panics
/// If the user has no such enrolment, or one that has failed.
pub async fn set_failures(world: &World, subject: &Subject, provider: &str, failures: u8) {
    let record = user_record(world, subject, "login").await;
    let mut payload = payload(&record);
    // The name behind its length, then the count.
    let name = [&[u8::try_from(provider.len()).expect("a length")], provider.as_bytes()].concat();
    let at = payload.windows(name.len()).position(|bytes| bytes == name).expect("an enrolment") + name.len();
    assert_eq!(payload[at], 0, "it has failed already");
    assert!(failures < 128);
    payload[at] = failures;
    overwrite(world, &forged(&record, &payload)).await;
}
