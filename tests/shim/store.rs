//! Stores that count and fail on demand, and the refusal of those that are in real use.

use std::sync::Arc;

use mfa::audit::{AuditLog, Checkpoints, Kind, Position, Query};
use mfa::sqlite::SqliteStore;
use mfa::{MemoryStore, Scope, Store};
use mfa_testkit::faults::{At, CountingStore, Counts, Fault, FaultStore};

use crate::failure::Failure;

/// A store and its audit log, with their doubles' controls.
pub(crate) trait TestStore: Store + AuditLog + Checkpoints {
    fn fail(&self, at: At, fault: Fault, times: usize);
    fn take_counts(&self) -> Counts;
}

impl<S: Store + AuditLog + Checkpoints> TestStore for CountingStore<FaultStore<S>> {
    fn fail(&self, at: At, fault: Fault, times: usize) {
        self.inner().fail(at, fault, times);
    }

    fn take_counts(&self) -> Counts {
        self.take()
    }
}

/// What `open` opened.
pub(crate) struct Opened {
    /// The engine's store.
    pub(crate) engine: Arc<dyn TestStore>,
    /// The store of the host's own rows, which is neither counted nor fails on demand.
    pub(crate) host: Arc<dyn Store>,
}

/// Opens the store that `name` means.
pub(crate) async fn open(name: &str) -> Result<Opened, Failure> {
    if name == "memory" {
        let store = Arc::new(MemoryStore::new());
        return Ok(Opened { engine: doubled(Arc::clone(&store)), host: store });
    }
    let unknown = || Failure::bad_request("store must be `memory` or `sqlite:PATH`").at("store");
    let path = name.strip_prefix("sqlite:").ok_or_else(unknown)?;
    let store = SqliteStore::open(path).map_err(|error| Failure::from(error).at("store"))?;
    refuse_production(&store).await?;
    Ok(Opened { engine: doubled(store.clone()), host: Arc::new(store) })
}

fn doubled(store: impl Store + AuditLog + Checkpoints) -> Arc<dyn TestStore> {
    Arc::new(CountingStore::new(FaultStore::new(store)))
}

/// Refuses a store that an engine without dangers has opened: real logins are in it.
async fn refuse_production(log: &dyn AuditLog) -> Result<(), Failure> {
    let query = Query::new(Scope::System).kind(Kind::EngineOpened).limit(Query::MAX_LIMIT)?;
    let mut after = None;
    loop {
        let events = log.query(&query, after).await?;
        if events.iter().any(|event| event.field("dangers") == Some("none")) {
            let message = "an engine without dangers has opened this store; the shim is for tests alone";
            return Err(Failure::new("production_store", message).at("store"));
        }
        match events.last() {
            Some(last) if events.len() == query.limit => after = Some(Position::new(last.at(), last.id())),
            _ => return Ok(()),
        }
    }
}
