//! A user's row of the stored directory.

use audit_model::AccountId;
use serde::{Deserialize, Serialize};

use crate::{CodecError, Contact, Versioned};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryUser {
    pub(crate) label: String,
    pub(crate) generation: String,
    pub(crate) lineage: Vec<(AccountId, bool, bool)>,
    pub(crate) contacts: Vec<Contact>,
    pub(crate) rank: u8,
}

impl Versioned for DirectoryUser {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;

    fn upgrade(version: u8, _: &[u8]) -> Result<Self, CodecError> {
        Err(CodecError::UnknownVersion { version })
    }
}
