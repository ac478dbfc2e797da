//! What the workspace's tests share: a test host on each store.

pub mod acting;
pub mod api_keys;
pub mod attack;
pub mod between;
pub mod devices;
pub mod doubles;
pub mod duo;
pub mod exempt;
pub mod forks;
pub mod handles;
pub mod mailed;
pub mod notified;
pub mod probe;
pub mod processes;
pub mod rights;
pub mod rings;
pub mod saved;
pub mod scattered;
pub mod site;
pub mod tapped;
pub mod told;
pub mod watched;
pub mod wire;

use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use audit_model::{Event, Kind};
use mfa::MemoryStore;
use mfa::sqlite::SqliteStore;
use mfa_testkit::inbox::Inbox;
use tempfile::TempDir;

pub use mfa_testkit::host::{
    START, STEP, TestHost, TestStore, acme, begin, login, ring, session, start, subject, totp,
    vouched as host,
};

/// A [`TestHost`] and, where its store is a file, the folder of that file.
#[derive(Debug)]
pub struct World {
    host: TestHost,
    dir: Option<TempDir>,
}

impl World {
    /// Makes a world on `store`; `dir` lives as long as the world.
    pub async fn on(store: Arc<dyn TestStore>, dir: Option<TempDir>) -> Self {
        Self { host: TestHost::on(store).await, dir }
    }

    /// Makes a world in memory.
    pub async fn memory() -> Self {
        Self::on(Arc::new(MemoryStore::new()), None).await
    }

    /// Makes a world in a new SQLite file.
    pub async fn sqlite() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(dir.path().join("mfa.db")).expect("a store");
        Self::on(Arc::new(store), Some(dir)).await
    }

    /// Makes a world in a new SQLite file whose every read and commit is done by another process, in turn;
    /// `exe` is the program of those processes.
    ///
    /// # Panics
    /// If they cannot be started.
    pub async fn scattered(exe: &str) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let store = scattered::Scattered::open(exe, &dir.path().join("mfa.db"));
        Self::on(Arc::new(store), Some(dir)).await
    }

    /// Makes the first node issue recovery codes with a first method and send notices to the inbox.
    ///
    /// # Panics
    /// If the engine cannot be built.
    pub async fn with_recovery(mut self) -> (Self, Inbox) {
        let inbox = Inbox::new();
        self.host.engine = self.host.recovery_node(&inbox).build().await.expect("an engine");
        (self, inbox)
    }

    /// Returns the SQLite file, where there is one.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        self.dir.as_ref().map(|dir| dir.path().join("mfa.db"))
    }

    /// Returns the account's events of a kind, oldest first.
    pub async fn events_of(&self, kind: Kind) -> Vec<Event> {
        self.events().await.into_iter().filter(|event| event.kind() == kind).collect()
    }
}

impl Deref for World {
    type Target = TestHost;

    fn deref(&self) -> &TestHost {
        &self.host
    }
}

/// Defines a test that runs on every store: `name::memory`, `name::sqlite`, and `name::processes`, where the file
/// is served by several processes in turn.
#[macro_export]
macro_rules! on_stores {
    ($(#[$meta:meta])* async fn $name:ident($world:ident) $body:block $($rest:tt)*) => {
        mod $name {
            use super::*;
            async fn body($world: $crate::World) $body
            $(#[$meta])*
            #[test]
            fn memory() {
                futures::executor::block_on(async { body($crate::World::memory().await).await });
            }
            $(#[$meta])*
            #[test]
            fn sqlite() {
                futures::executor::block_on(async { body($crate::World::sqlite().await).await });
            }
            $(#[$meta])*
            #[test]
            fn processes() {
                let exe = env!("CARGO_BIN_EXE_mfa-store-node");
                futures::executor::block_on(async { body($crate::World::scattered(exe).await).await });
            }
        }
        $crate::on_stores! { $($rest)* }
    };
    () => {};
}
