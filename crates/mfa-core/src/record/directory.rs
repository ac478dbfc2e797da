//! A user's row of the stored directory.

use audit_model::{AccountId, UserId};
use serde::{Deserialize, Serialize};

use crate::keyring::{Label, Sealed};
use crate::{Contact, Draw, Error, KeyRing, Versioned, contact};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DirectoryUser {
    pub(crate) label: String,
    pub(crate) generation: String,
    pub(crate) lineage: Vec<(AccountId, bool, bool)>,
    /// The user's contacts, sealed; of one who has any.
    pub(crate) contacts: Option<Sealed>,
    pub(crate) rank: u8,
    pub(crate) password_epoch: Option<u64>,
}

impl Versioned for DirectoryUser {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

/// Seals the contacts of a user.
pub(crate) fn seal(
    ring: &KeyRing,
    (account, user): (&AccountId, &UserId),
    contacts: &[Contact],
    draw: &mut Draw,
) -> Result<Option<Sealed>, Error> {
    if contacts.is_empty() {
        return Ok(None);
    }
    contact::seal(ring, Label::SealDirectory, &context(account, user), contacts, draw).map(Some)
}

/// Opens what [`seal`] made for the same user.
pub(crate) fn open(
    ring: &KeyRing,
    (account, user): (&AccountId, &UserId),
    sealed: Option<&Sealed>,
) -> Result<Vec<Contact>, Error> {
    let Some(sealed) = sealed else { return Ok(Vec::new()) };
    contact::open(ring, Label::SealDirectory, &context(account, user), sealed)
}

fn context<'a>(account: &'a AccountId, user: &'a UserId) -> [&'a [u8]; 4] {
    [b"seal/directory", account.as_str().as_bytes(), user.as_str().as_bytes(), b"1"]
}
