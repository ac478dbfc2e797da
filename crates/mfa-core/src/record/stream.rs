//! The stream of events that the commits of one record write: numbered without a gap, so that an older record that was
//! put back, and an event that was deleted, contradict the log.

use audit_model::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Key;

/// Where a record's stream stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventStream {
    #[serde(with = "serde_bytes")]
    id: [u8; 16],
    /// How many events were written.
    events: u64,
}

impl EventStream {
    /// Begins the stream of the record at `key`. Its id follows from the key, so that a record that somebody deleted in
    /// the store, and that is made anew, begins a stream that the log has already.
    pub(crate) fn of(key: &Key) -> Self {
        let hash: [u8; 32] =
            Sha256::new().chain_update(b"mfa/stream/1").chain_update(key.encode()).finalize().into();
        Self::new(hash.first_chunk().copied().unwrap_or_default())
    }

    /// Begins a stream under an id of its own: of a record that nobody can read, it is not known how far it had come.
    pub(crate) const fn new(id: [u8; 16]) -> Self {
        Self { id, events: 0 }
    }

    /// Gives the next event its place.
    pub(crate) const fn take(&mut self) -> Stream {
        self.events = self.events.saturating_add(1);
        Stream::new(self.id, self.events)
    }
}
