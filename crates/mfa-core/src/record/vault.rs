//! The `vault` record of a user: the providers' secrets, sealed.

use audit_model::{AccountId, UserId};
use serde::{Deserialize, Serialize};

use crate::keyring::{Label, Sealed};
use crate::{EnrolmentId, KeyRing, KeyRingError, SecretBytes, Versioned};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Vault {
    pub(crate) secrets: Vec<(EnrolmentId, Sealed)>,
}

impl Versioned for Vault {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 32 * 1024;
}

impl Vault {
    pub(crate) fn sealed(&self, id: EnrolmentId) -> Option<&Sealed> {
        self.secrets.iter().find(|(of, _)| *of == id).map(|(_, sealed)| sealed)
    }

    pub(crate) fn set(&mut self, id: EnrolmentId, sealed: Sealed) {
        self.remove(id);
        self.secrets.push((id, sealed));
    }

    pub(crate) fn remove(&mut self, id: EnrolmentId) {
        self.secrets.retain(|(of, _)| *of != id);
    }
}

/// Where a sealed secret belongs: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) account: &'a AccountId,
    pub(crate) user: &'a UserId,
    pub(crate) kind: &'static str,
    pub(crate) provider: &'a str,
    pub(crate) enrolment: EnrolmentId,
}

impl Place<'_> {
    pub(crate) fn seal(&self, ring: &KeyRing, nonce: [u8; 12], plain: &[u8]) -> Result<Sealed, KeyRingError> {
        ring.seal(Label::SealVault, &self.context(), nonce, plain)
    }

    pub(crate) fn open(&self, ring: &KeyRing, sealed: &Sealed) -> Result<SecretBytes, KeyRingError> {
        ring.open(Label::SealVault, &self.context(), sealed)
    }

    pub(crate) fn context(&self) -> [&[u8]; 7] {
        [
            b"seal/vault",
            self.account.as_str().as_bytes(),
            self.user.as_str().as_bytes(),
            self.kind.as_bytes(),
            self.provider.as_bytes(),
            self.enrolment.as_bytes(),
            b"1",
        ]
    }
}
