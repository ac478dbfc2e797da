//! Nodes whose ring is their own, as in processes of their own, and what is stored under which key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mfa::totp::Totp;
use mfa::{
    Authenticated, Begin, Challenge, Engine, EngineBuilder, Error, Grant, GrantMismatch, KeyId, KeyRing,
    KeyRingError, Policy, Record, RecordKind, Response, Store, StoredDirectory, Subject, Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::host::{TestHost, login, recovery, session};
use mfa_testkit::inbox::Inbox;

use crate::World;
pub use crate::attack::records;

/// The name of the key that every node begins with: long enough to be met in a body by no accident.
pub const OLD: &str = "the-key-of-2026";
/// The name of the key that it is turned to.
pub const NEW: &str = "the-key-of-2027";
/// The kinds of records that users leave who do everything a user can do.
pub const KINDS_OF_USERS: [RecordKind; 11] = [
    RecordKind::new("login"),
    RecordKind::new("vault"),
    RecordKind::new("open"),
    RecordKind::new("challenge"),
    RecordKind::new("pending"),
    RecordKind::new("proof"),
    RecordKind::new("ticket"),
    RecordKind::new("invitation"),
    RecordKind::new("notice"),
    RecordKind::new("device"),
    RecordKind::new("directory_user"),
];

/// Takes a key's name.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn id(name: &str) -> KeyId {
    KeyId::parse(name).expect("a name")
}

/// Makes a node with a ring of its own, in which [`OLD`] is the only key, on the store, the clock and the inbox.
pub async fn node(world: &World, inbox: &Inbox) -> TestHost {
    node_on(world, world_store(world), inbox, |builder| builder).await
}

/// As [`node`], on another store, and built as `finish` says.
///
/// # Panics
/// If the engine cannot be built.
pub async fn node_on(
    world: &World,
    store: Arc<dyn Store>,
    inbox: &Inbox,
    finish: impl FnOnce(EngineBuilder) -> EngineBuilder,
) -> TestHost {
    static SEED: AtomicU64 = AtomicU64::new(1 << 40);
    let ring = KeyRing::new(id(OLD), [0x51; 32]).expect("a ring");
    let clock = Arc::new(world.clock.clone());
    let directory = Arc::new(StoredDirectory::new(world_store(world), ring.clone(), clock.clone()));
    let builder = Engine::builder(store, directory.clone(), ring.clone(), clock)
        .entropy(Arc::new(SeededEntropy::new(SEED.fetch_add(1, Ordering::Relaxed))))
        .provider(Totp::new("Example").expect("an issuer"))
        .provider(recovery())
        .transport(Arc::new(inbox.clone()))
        .danger_test_doubles();
    let engine = finish(builder).build().await.expect("an engine");
    TestHost { engine, clock: world.clock.clone(), directory, store: Arc::clone(&world.store), ring }
}

/// Gives every node the key [`NEW`].
///
/// # Panics
/// If one has it.
pub fn add_new<'a>(nodes: impl IntoIterator<Item = &'a TestHost>) {
    for node in nodes {
        node.ring.add(id(NEW), [0x52; 32]).expect("a key");
    }
}

/// Has every node write with [`NEW`].
///
/// # Panics
/// If one cannot.
pub async fn activate_new<'a>(nodes: impl IntoIterator<Item = &'a TestHost>) {
    for node in nodes {
        node.engine.key_activate(&id(NEW), "ops", "yearly rotation").await.expect("an activation");
    }
}

/// Tries to retire [`OLD`]; returns how many records need it, if any do.
///
/// # Panics
/// If it fails otherwise.
pub async fn retire_old(node: &TestHost) -> Result<(), u64> {
    match node.engine.key_retire(&id(OLD), "ops", "yearly rotation").await {
        Ok(()) => Ok(()),
        Err(Error::KeyRing(KeyRingError::InUse { references })) => Err(references),
        Err(other) => panic!("{other:?}"),
    }
}

/// Returns the name of the key that authenticates a body, which stands in it in clear.
///
/// # Panics
/// If the body has no name.
#[must_use]
pub fn outer_key(record: &Record) -> &str {
    let length = usize::from(record.body[1]);
    core::str::from_utf8(&record.body[2..2 + length]).expect("a name")
}

/// Returns how often a key's name is met in a body, besides that of the key that authenticates it.
#[must_use]
pub fn mentions(record: &Record, key: &str) -> usize {
    let payload = &record.body[2 + outer_key(record).len()..];
    payload.windows(key.len()).filter(|window| *window == key.as_bytes()).count()
}

/// Returns the world's store.
#[must_use]
pub fn world_store(world: &World) -> Arc<dyn Store> {
    let store: Arc<dyn crate::TestStore> = Arc::clone(&world.store);
    store
}

/// A user and their app.
pub type User = (Subject, SoftAuthenticator);

/// Makes several nodes, each with a ring of its own.
pub async fn nodes(world: &World, n: usize) -> Vec<TestHost> {
    let inbox = Inbox::new();
    let mut nodes = Vec::new();
    for _ in 0..n {
        nodes.push(node(world, &inbox).await);
    }
    nodes
}

/// Enrols users without recovery codes, whose hashes are slow: all apps at one time.
///
/// # Panics
/// If one cannot be enrolled.
pub async fn users(world: &World, n: usize) -> Vec<User> {
    let plain = node_on(world, world_store(world), &Inbox::new(), without_recovery).await;
    let start = world.now();
    let mut users = Vec::new();
    for number in 0..n {
        world.clock.set(start);
        users.push(plain.enrol(&format!("user-{number}")).await);
    }
    // The handles of the enrolments have ended.
    world.clock.advance(Duration::from_secs(600));
    users
}

/// Has a builder issue no recovery codes.
///
/// # Panics
/// Never.
pub fn without_recovery(builder: EngineBuilder) -> EngineBuilder {
    let document = serde_json::json!({ "recovery": "none" });
    builder.policy(Policy::recommended().with_document(&document).unwrap())
}

/// Answers with the app's code, and returns the grant.
///
/// # Panics
/// If the answer is refused.
pub async fn grant(node: &TestHost, challenge: &Challenge, app: &SoftAuthenticator) -> Grant {
    match node.answer(challenge, &app.code_at(node.now())).await {
        Verify::Verified(grant) => grant,
        other => panic!("{other:?}"),
    }
}

/// Redeems a grant in the user's session.
///
/// # Errors
/// Those of [`Grant::redeem`].
pub fn redeem(grant: Grant, whom: &Subject, now: Timestamp) -> Result<Authenticated, GrantMismatch> {
    grant.redeem(whom.account(), whom.user(), Some(&session(whom)), now)
}

/// Logs in.
///
/// # Errors
/// What went wrong.
pub async fn log_in(at: &TestHost, (user, app): &User) -> Result<(), String> {
    let begun = at.engine.begin(login(user)).await.map_err(|error| format!("begin {error:?}"))?;
    let Begin::Challenge(challenge) = begun else { return Err(format!("begin {begun:?}")) };
    let code = Response::code(&app.code_at(at.now()));
    match at.engine.verify(&challenge.reference, code).await {
        Ok(Verify::Verified(grant)) => {
            redeem(grant, user, at.now()).map(drop).map_err(|why| format!("redeem {why}"))
        }
        other => Err(format!("verify {other:?}")),
    }
}

/// Checks that nothing that is stored needs the old key but the handles of what has not ended.
///
/// # Panics
/// If something does.
pub async fn nothing_is_sealed_under_the_old_key(world: &World) {
    for record in records(world).await {
        assert_eq!(outer_key(&record), NEW, "{:?}", record.key);
        // A handle's own key is named once beside what it hashed.
        let of_handle = ["challenge", "pending", "proof", "ticket", "invitation", "device"];
        let allowed = usize::from(of_handle.contains(&record.key.kind.as_str()));
        assert!(mentions(&record, OLD) <= allowed, "{:?}", record.key);
    }
}

/// Moves every record, and returns how many there were to move.
///
/// # Panics
/// If one could not be moved.
pub async fn reseal(node: &TestHost) -> u64 {
    let resealed = node.engine.reseal().await.unwrap();
    assert_eq!(resealed.unreadable, 0);
    resealed.records
}
