//! Whose an identity at a provider's service is. It accepts nothing: what its owner's records say decides.

use audit_model::{AccountId, Scope, UserId};
use serde::{Deserialize, Serialize};

use crate::keyring::{Label, Sealed};
use crate::record::{IDENTITY, LOGIN, PENDING, user_key, users_key};
use crate::{CodecError, EnrolmentId, Error, Identity, Key, KeyRing, ProviderName, Versioned};

/// In a scope of the engine's own, under a keyed hash of provider and identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeldIdentity {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    /// The user's enrolments and pending enrolments that claimed it: it is the user's while one of them stands.
    pub(crate) enrolments: Vec<EnrolmentId>,
    pub(crate) provider: ProviderName,
    /// The identity itself, so that the record moves to another key of the ring: the key that sealed it is the one that
    /// made the record's id.
    pub(crate) sealed: Sealed,
}

impl Versioned for HeldIdentity {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 4096;
}

impl HeldIdentity {
    pub(crate) fn is_of(&self, account: &AccountId, user: &UserId) -> bool {
        self.account == *account && self.user == *user
    }

    /// Addresses the owner's records that say whether it is the owner's still.
    pub(crate) fn owners_keys(&self) -> Vec<Key> {
        let pending = |id: &EnrolmentId| self.pending_key(*id);
        [self.login_key()].into_iter().chain(self.enrolments.iter().map(pending)).collect()
    }

    pub(crate) fn login_key(&self) -> Key {
        user_key(&self.account, LOGIN, &self.user)
    }

    pub(crate) fn pending_key(&self, id: EnrolmentId) -> Key {
        users_key(&self.account, PENDING, &self.user, id.as_bytes())
    }

    /// Opens the identity.
    pub(crate) fn identity(&self, ring: &KeyRing) -> Result<Identity, Error> {
        let plain = ring.open(Label::SealIdentity, &context(&self.provider), &self.sealed)?;
        let bytes = plain.expose_secret().try_into().map_err(|_| CodecError::Malformed)?;
        Ok(Identity::from_bytes(bytes))
    }
}

/// Seals an identity under the active key.
pub(crate) fn seal(
    ring: &KeyRing,
    provider: &ProviderName,
    identity: Identity,
    nonce: [u8; 12],
) -> Result<Sealed, Error> {
    Ok(ring.seal(Label::SealIdentity, &context(provider), nonce, identity.as_bytes())?)
}

/// Addresses the record of an identity under the ring's key `id`.
pub(crate) fn identity_key(
    ring: &KeyRing,
    id: &str,
    provider: &ProviderName,
    identity: Identity,
) -> Result<Key, Error> {
    let parts: [&[u8]; 2] = [provider.as_str().as_bytes(), identity.as_bytes()];
    Ok(Key::new(Scope::Index, IDENTITY, ring.mac(id, Label::MacIdentity, &parts)?))
}

fn context(provider: &ProviderName) -> [&[u8]; 3] {
    [b"seal/identity", provider.as_str().as_bytes(), b"1"]
}
