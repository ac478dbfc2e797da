//! Keyed hashes: how a provider keeps a code or a link that the store must not know.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::keyring::Label;
use crate::reason::Purpose;
use crate::{Cx, KeyRing, ProviderError};

/// The keyed hash of a secret of one step, with the id of its key. It says nothing without the ring; with the ring, a
/// code of few digits can be found by trying them all.
#[derive(Clone, Serialize, Deserialize)]
pub struct KeyedHash {
    key: String,
    mac: [u8; 32],
}

impl fmt::Debug for KeyedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyedHash([redacted])")
    }
}

/// What keyed hashes of a step are made with.
#[derive(Clone, Copy)]
pub(crate) struct Keyed<'a> {
    pub(crate) ring: &'a KeyRing,
    /// The key of the challenge or the pending enrolment, which is not retired before that ends.
    pub(crate) key: &'a str,
}

impl<'a> Cx<'a> {
    /// Uses `ring` for keyed hashes, for tests of a provider.
    #[must_use]
    pub fn with_ring(mut self, ring: &'a KeyRing, key: &'a str) -> Self {
        self.keyed = Some(Keyed { ring, key });
        self
    }

    /// Hashes `parts`, together with the account, the user, the challenge and the purpose: the same parts of another
    /// step have another hash.
    ///
    /// # Errors
    /// [`ProviderError::Keys`] if the key is gone.
    pub fn keyed_hash(&self, parts: &[&[u8]]) -> Result<KeyedHash, ProviderError> {
        let keyed = self.keyed.ok_or(ProviderError::Keys)?;
        Ok(KeyedHash { key: keyed.key.to_owned(), mac: self.mac(keyed.ring, keyed.key, parts)? })
    }

    /// Returns whether `hash` is that of `parts` in this step, in constant time.
    ///
    /// # Errors
    /// [`ProviderError::Keys`] if the key is gone.
    pub fn is_keyed_hash(&self, hash: &KeyedHash, parts: &[&[u8]]) -> Result<bool, ProviderError> {
        let keyed = self.keyed.ok_or(ProviderError::Keys)?;
        let mac = self.mac(keyed.ring, &hash.key, parts)?;
        Ok(crate::keyring::is_same(&mac, &hash.mac))
    }

    fn mac(&self, ring: &KeyRing, key: &str, parts: &[&[u8]]) -> Result<[u8; 32], ProviderError> {
        let purpose = match self.purpose {
            Purpose::Login => "login",
            Purpose::Enrol => "enrol",
            Purpose::StepUp(operation) => operation.code(),
        };
        let place: [&[u8]; 4] = [
            self.account.as_str().as_bytes(),
            self.user.as_str().as_bytes(),
            self.challenge.as_bytes(),
            purpose.as_bytes(),
        ];
        let all: Vec<&[u8]> = place.into_iter().chain(parts.iter().copied()).collect();
        ring.mac(key, Label::MacCode, &all).map_err(|_| ProviderError::Keys)
    }
}
