//! Several processes on one SQLite file, and files that the shim must not touch.

use std::sync::Arc;
use std::thread;

use mfa::sqlite::SqliteStore;
use mfa::{Engine, KeyId, KeyRing, StoredDirectory, TokioRuntime};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::process::{Shim, error_of, open_request};

/// The secret of RFC 6238, appendix B, in base32, and its codes of six digits, computed by oathtool.
pub(crate) const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
pub(crate) const NOW: u64 = 1_700_000_010;
const CODE_NOW: &str = "732303";
pub(crate) const CODE_NEXT: &str = "136087";

pub(crate) struct File {
    _folder: TempDir,
    pub(crate) store: String,
    pub(crate) path: std::path::PathBuf,
}

pub(crate) fn file() -> File {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    File { store: format!("sqlite:{}", path.display()), path, _folder: folder }
}

/// Enrols bob of acme; his code of `NOW` is used by it. Returns his recovery codes.
pub(crate) fn enrol_bob(shim: &mut Shim) -> Value {
    shim.ok(json!({ "op": "account.put", "account": "acme" }));
    shim.ok(json!({ "op": "user.put", "account": "acme", "user": "bob" }));
    let choice = json!({ "secret": SECRET });
    let begun = shim.ok(
        json!({ "op": "enrol.begin", "account": "acme", "user": "bob", "method": "totp", "choice": choice }),
    );
    let shown = shim.ok(json!({ "op": "enrol.confirm", "account": "acme", "user": "bob",
        "enrolment": begun["enrolment"], "response": { "code": CODE_NOW } }));
    assert_eq!(shown["outcome"], "recovery_shown");
    let confirmed = shim.ok(json!({ "op": "enrol.acknowledge", "account": "acme", "user": "bob",
        "enrolment": begun["enrolment"] }));
    assert_eq!(confirmed["outcome"], "confirmed");
    shown["recovery"]["codes"].clone()
}

pub(crate) fn begin(shim: &mut Shim, session: Option<&str>) -> Value {
    let begun = shim
        .ok(json!({ "op": "login.begin", "account": "acme", "user": "bob", "module": "user_auth",
        "first_factor": { "session": session } }));
    assert_eq!(begun["outcome"], "challenge", "{begun}");
    begun["challenge"]["ref"].clone()
}

fn verify(reference: &Value, code: &str) -> Value {
    json!({ "op": "login.verify", "challenge": reference, "response": { "code": code } })
}

#[test]
fn a_code_that_one_process_accepts_another_refuses() {
    let file = file();
    let (mut a, mut b) = (Shim::open(&file.store, NOW), Shim::open(&file.store, NOW));
    enrol_bob(&mut a);
    for shim in [&mut a, &mut b] {
        shim.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    }
    let (first, second) = (begin(&mut a, None), begin(&mut b, None));
    assert_eq!(b.ok(verify(&first, CODE_NEXT))["outcome"], "verified");
    assert_eq!(a.ok(verify(&second, CODE_NEXT))["reason"], "replayed");
    assert_eq!(a.ok(verify(&first, CODE_NEXT))["reason"], "already_used");
}

#[test]
fn of_four_processes_that_race_with_one_code_one_is_let_in() {
    let file = file();
    let mut owner = Shim::open(&file.store, NOW);
    enrol_bob(&mut owner);
    for round in 0_u64..4 {
        let at = NOW + 30 * (round + 1);
        let code = owner.ok(json!({ "op": "totp.code", "secret": SECRET, "time": at }))["code"].clone();
        let mut racers: Vec<_> = (0..4).map(|_| Shim::open(&file.store, at)).collect();
        let requests: Vec<_> =
            racers.iter_mut().map(|r| verify(&begin(r, None), code.as_str().unwrap())).collect();
        let races =
            racers.into_iter().zip(requests).map(|(mut r, request)| thread::spawn(move || r.ok(request)));
        let races: Vec<_> = races.collect();
        let outcomes: Vec<_> = races.into_iter().map(|race| race.join().unwrap()).collect();
        let verified = outcomes.iter().filter(|outcome| outcome["outcome"] == "verified").count();
        let replayed = outcomes.iter().filter(|outcome| outcome["reason"] == "replayed").count();
        assert_eq!((verified, replayed), (1, 3), "{outcomes:?}");
    }
}

#[test]
fn a_grant_is_redeemed_only_for_the_session_that_began() {
    let file = file();
    let (mut a, mut b) = (Shim::open(&file.store, NOW), Shim::open(&file.store, NOW + 30));
    enrol_bob(&mut a);
    let reference = begin(&mut a, Some("s1"));
    // The other process was told no session: the grant does not fit, and the code is used all the same.
    assert_eq!(b.error(verify(&reference, CODE_NEXT)), ("other_session".to_owned(), String::new()));
    assert_eq!(b.ok(verify(&reference, CODE_NEXT))["reason"], "already_used");

    let reference = begin(&mut a, Some("s2"));
    b.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let mut request = verify(&reference, "253938");
    request["first_factor"] = json!({ "session": "s2" });
    assert_eq!(b.ok(request)["outcome"], "verified");
}

#[test]
fn a_process_that_dies_after_its_commit_leaves_the_code_used() {
    let file = file();
    let mut dying = Shim::open(&file.store, NOW);
    enrol_bob(&mut dying);
    dying.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let reference = begin(&mut dying, None);
    dying.ok(json!({ "op": "fault", "at": "after_commit", "kind": "exit" }));
    dying.send(verify(&reference, CODE_NEXT).to_string().as_bytes());
    assert_eq!(dying.receive(), None);
    assert_eq!(dying.end().code(), Some(70));

    let mut next = Shim::open(&file.store, NOW + 30);
    assert_eq!(next.ok(verify(&reference, CODE_NEXT))["reason"], "already_used");
    let fresh = begin(&mut next, None);
    assert_eq!(next.ok(verify(&fresh, CODE_NEXT))["reason"], "replayed");
}

#[test]
fn a_process_that_dies_before_its_commit_leaves_the_code_unused() {
    let file = file();
    let mut dying = Shim::open(&file.store, NOW);
    enrol_bob(&mut dying);
    dying.ok(json!({ "op": "clock.advance", "seconds": 30 }));
    let reference = begin(&mut dying, None);
    dying.ok(json!({ "op": "fault", "at": "before_commit", "kind": "exit" }));
    dying.send(verify(&reference, CODE_NEXT).to_string().as_bytes());
    assert_eq!(dying.receive(), None);

    let mut next = Shim::open(&file.store, NOW + 30);
    assert_eq!(next.ok(verify(&reference, CODE_NEXT))["outcome"], "verified");
}

#[test]
fn s24_a_store_that_an_engine_without_dangers_has_opened_is_refused() {
    let file = file();
    // What the shim itself opened, also with the system's clock, it opens again.
    Shim::open(&file.store, NOW).end();
    let mut shim = Shim::start();
    let mut request = open_request(&file.store, NOW);
    request["now"] = json!("system");
    shim.ok(request);
    assert!(shim.error(json!({ "op": "clock.advance", "seconds": 1 })).0 == "bad_request");
    shim.end();

    open_as_a_host_would(&file.path);
    let mut shim = Shim::start();
    let refused = shim.call(open_request(&file.store, NOW));
    assert_eq!(error_of(&refused), ("production_store".to_owned(), "store".to_owned()));
    // Nothing is open, and the refusal holds.
    assert_eq!(shim.error(json!({ "op": "purge" })).0, "bad_request");
    assert_eq!(shim.error(open_request(&file.store, NOW)).0, "production_store");
}

#[test]
fn a_file_that_is_no_store_is_refused() {
    let file = file();
    std::fs::create_dir(&file.path).unwrap();
    assert_eq!(
        Shim::start().error(open_request(&file.store, NOW)),
        ("not_a_file".to_owned(), "store".to_owned())
    );
    assert_eq!(Shim::start().error(open_request("postgres://x", NOW)).0, "bad_request");
}

fn open_as_a_host_would(path: &std::path::Path) {
    let executor = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    executor.block_on(async {
        let store = Arc::new(SqliteStore::open(path).unwrap());
        let ring = KeyRing::new(KeyId::parse("k1").unwrap(), [7; 32]).unwrap();
        let runtime = Arc::new(TokioRuntime::new());
        let directory = StoredDirectory::new(store.clone(), ring.clone(), runtime.clone());
        let engine = Engine::builder(store, Arc::new(directory), ring, runtime).build().await.unwrap();
        assert!(engine.dangers().is_empty());
    });
}
