//! The `open` record of a user: which challenges may still be open. Written by begin, never read by verify.

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ChallengeId, CodecError, Versioned};

/// The most challenges of one user that may be open at a time.
pub(crate) const MAX_OPEN: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Open {
    /// Oldest first.
    pub(crate) challenges: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) id: ChallengeId,
    pub(crate) module: String,
    /// The keyed hash of the host's session, if it has one.
    pub(crate) session: Option<[u8; 32]>,
    pub(crate) expires_at: Timestamp,
}

impl Versioned for Open {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;

    fn upgrade(version: u8, _: &[u8]) -> Result<Self, CodecError> {
        Err(CodecError::UnknownVersion { version })
    }
}

impl Open {
    /// Forgets challenges whose life is over, and those named in `ended`.
    pub(crate) fn prune(&mut self, now: Timestamp, ended: &[ChallengeId]) {
        self.challenges.retain(|entry| now < entry.expires_at && !ended.contains(&entry.id));
    }

    /// Returns the newest challenge of a module that was begun in the same session.
    pub(crate) fn current(&self, module: &str, session: Option<&[u8; 32]>) -> Option<ChallengeId> {
        let mut newest_first = self.challenges.iter().rev();
        newest_first.find(|e| e.module == module && e.session.as_ref() == session).map(|e| e.id)
    }
}
