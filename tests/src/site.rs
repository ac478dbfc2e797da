//! Two users on a file, and somebody with full SQL access to it.

use std::path::PathBuf;

use audit_model::{Checkpoint, CheckpointKey, Checkpoints, Flaw, Verifier};
use mfa::sqlite::SqliteStore;
use mfa::{Begin, Challenge, Engine, Policy, Response, Subject, Verify};
use mfa_testkit::inbox::Inbox;
use rusqlite::{Connection, params};
use serde_json::json;

use crate::rings::User;
use crate::told::wrong_code;
use crate::{STEP, World, login};

/// Two users on a file, and somebody who writes to it.
#[derive(Debug)]
pub struct Site {
    /// See the module.
    pub world: World,
    /// See the module.
    pub inbox: Inbox,
    /// See the module.
    pub store: SqliteStore,
    /// See the module.
    pub file: PathBuf,
    /// See the module.
    pub bob: User,
    /// See the module.
    pub eve: User,
}

/// A row of the table of records: version and body, which is all of it that an engine reads.
pub type Row = (Vec<u8>, Vec<u8>);

impl Site {
    /// Makes it: each user has an app and recovery codes.
    ///
    /// # Panics
    /// If it does not.
    pub async fn new() -> Self {
        let (world, inbox) = World::sqlite().await.with_recovery().await;
        let file = world.file().unwrap();
        let store = SqliteStore::open(&file).unwrap();
        let bob = world.add_reachable("bob").await;
        let (bob_app, _) = world.enrol_with_recovery(&bob).await;
        let eve = world.add_reachable("eve").await;
        let (eve_app, _) = world.enrol_with_recovery(&eve).await;
        Self { world, inbox, store, file, bob: (bob, bob_app), eve: (eve, eve_app) }
    }

    /// Runs statements, and returns how many rows the last one changed.
    ///
    /// # Panics
    /// If it does not.
    pub fn sql(&self, text: &str) -> usize {
        let file = Connection::open(&self.file).unwrap();
        file.execute_batch(text).unwrap();
        usize::try_from(file.changes()).unwrap()
    }

    /// Reads a row of account `acme`.
    ///
    /// # Panics
    /// If it does not.
    pub fn read(&self, kind: &str, id: &[u8]) -> Row {
        let file = Connection::open(&self.file).unwrap();
        let select = "SELECT version, body FROM records WHERE kind = ?1 AND scope = 'acme' AND id = ?2";
        file.query_row(select, params![kind, id], |row| Ok((row.get(0)?, row.get(1)?))).unwrap()
    }

    /// Writes a row of a kind, or over it; `expires_at` stays that of the table, if the row is there.
    ///
    /// # Panics
    /// If it does not.
    pub fn write(&self, kind: &str, id: &[u8], (version, body): &Row) {
        let file = Connection::open(&self.file).unwrap();
        let write = "INSERT INTO records (kind, scope, id, version, body) VALUES (?1, 'acme', ?2, ?3, ?4)
            ON CONFLICT DO UPDATE SET version = excluded.version, body = excluded.body";
        assert_eq!(file.execute(write, params![kind, id, version, body]).unwrap(), 1);
    }

    /// Deletes a row.
    ///
    /// # Panics
    /// If it does not.
    pub fn delete(&self, kind: &str, id: &[u8]) {
        let file = Connection::open(&self.file).unwrap();
        let delete = "DELETE FROM records WHERE kind = ?1 AND scope = 'acme' AND id = ?2";
        assert_eq!(file.execute(delete, params![kind, id]).unwrap(), 1);
    }

    /// The ids of all rows of a kind that begin with the user's own.
    ///
    /// # Panics
    /// If it does not.
    pub fn of_user(&self, kind: &str, user: &Subject) -> Vec<Vec<u8>> {
        let name = user.user().as_str().as_bytes();
        let prefix = [&u32::try_from(name.len()).unwrap().to_be_bytes(), name].concat();
        let file = Connection::open(&self.file).unwrap();
        let mut found = file.prepare("SELECT id FROM records WHERE kind = ?1").unwrap();
        let ids = found.query_map((kind,), |row| row.get::<_, Vec<u8>>(0)).unwrap();
        ids.map(Result::unwrap).filter(|id| id.starts_with(&prefix)).collect()
    }

    /// Answers with the code that the user's app shows.
    ///
    /// # Panics
    /// If it does not.
    pub async fn right(&self, challenge: &Challenge, (_, app): &User) -> Verify {
        self.world.answer(challenge, &app.code_at(self.world.now())).await
    }

    /// Neither a new login nor one that has begun is judged; nothing is granted, right code or wrong.
    ///
    /// # Panics
    /// If it does not.
    pub async fn is_refused(&self, user: &User, open: Option<&Challenge>, what: &str) {
        let engine = &self.world.engine;
        if let Some(open) = open {
            for code in [user.1.code_at(self.world.now()), wrong_code(&user.1, self.world.now())] {
                let told = engine.verify(&open.reference, Response::code(&code)).await;
                let told = told.map_err(|error| error.code().to_owned());
                assert!(matches!(&told, Err(code) if code == "unavailable"), "{what}: {told:?}");
            }
        } else {
            let begun = engine.begin(login(&user.0)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(_)), "{what}: {begun:?}");
        }
    }

    /// Logs a user in.
    ///
    /// # Panics
    /// If it does not.
    pub async fn logs_in(&self, user: &User) {
        let challenge = self.world.begin(&user.0).await;
        let told = self.right(&challenge, user).await;
        assert!(matches!(told, Verify::Verified(_)), "{told:?}");
        self.world.clock.advance(STEP);
    }

    /// Makes a checkpoint.
    ///
    /// # Panics
    /// If it does not.
    pub async fn fix(&self) -> Checkpoint {
        self.store.checkpoint(&key(), self.world.now()).await.unwrap()
    }

    /// Returns what a check of the log finds.
    ///
    /// # Panics
    /// If it does not.
    pub async fn found(&self, trusted: Option<Checkpoint>) -> Option<Flaw> {
        let report = Verifier::new(key()).trusting(trusted).read(&self.store).await.unwrap();
        report.problem.map(|problem| problem.flaw)
    }
}

/// The key of the checkpoints.
fn key() -> CheckpointKey {
    CheckpointKey::from_bytes([0x5a; 32]).unwrap()
}

/// Makes a node on which everybody must have a second step.
///
/// # Panics
/// If it cannot be built.
pub async fn enforcing(site: &Site) -> Engine {
    let policy = Policy::recommended().with_document(&json!({ "enforced": true })).unwrap();
    site.world.recovery_node(&site.inbox).policy(policy).build().await.unwrap()
}
