//! The key ring: root keys, one derived key per use, sealing and macs.
//!
//! A root key is never used itself. HKDF-SHA256 derives one key per [`Label`], so that no two uses share one.
//! Sealing is AES-256-GCM-SIV (RFC 8452): a nonce that comes twice, as after a snapshot, shows equality of
//! two plain texts and nothing more.

mod error;
mod id;
mod label;
mod sources;
#[cfg(test)]
mod tests;

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use audit_model::CursorKey;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::SecretBytes;
use crate::codec::tuple;

pub use error::KeyRingError;
pub use id::KeyId;
pub(crate) use label::Label;
pub use sources::{KeySource, KeySourceError};

type HmacSha256 = Hmac<Sha256>;

/// The keys that seal and authenticate what the engine keeps. The active key writes, every key reads.
///
/// Keep the root keys outside the store: whoever has the store alone can read no secret and change no
/// record unnoticed; whoever has both has everything that is low in entropy.
///
/// A clone is another handle on the same ring: what [`KeyRing::add`] and [`KeyRing::activate`] change on one,
/// every clone sees from its next use on, those inside a running engine too.
///
/// ```
/// use mfa_core::{KeyId, KeyRing};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (old, new) = (KeyId::parse("2026-11")?, KeyId::parse("2027-05")?);
/// let ring = KeyRing::new(old.clone(), [7; 32])?;
/// let of_engine = ring.clone();
/// // A rotation: first every node gets the new key, then the nodes begin to write with it.
/// ring.add(new.clone(), [9; 32])?;
/// assert_eq!(of_engine.active(), old);
/// ring.activate(&new)?;
/// assert_eq!(of_engine.active(), new);
/// // A key of zeros is a mistake, not a key.
/// assert_eq!(ring.add(KeyId::parse("k")?, [0; 32]).unwrap_err().code(), "weak_key");
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KeyRing {
    keys: Arc<RwLock<Keys>>,
}

/// The keys of a ring. invariant: `active` is the id of one of them.
struct Keys {
    active: KeyId,
    all: BTreeMap<KeyId, Derived>,
}

struct Derived {
    seals: Vec<(Label, Aes256GcmSiv)>,
    macs: Vec<(Label, HmacSha256)>,
    cursor: Zeroizing<[u8; 32]>,
}

impl KeyRing {
    /// Makes a ring of one key, which is active: 32 random bytes.
    ///
    /// [`KeyRing::from_env`], [`KeyRing::from_file`] and [`KeyRing::unwrapped_by`] make one from where keys are
    /// usually kept.
    ///
    /// # Errors
    /// [`KeyRingError::Weak`] if the bytes are all zero.
    pub fn new(id: KeyId, root: [u8; 32]) -> Result<Self, KeyRingError> {
        Self::of_one(id, &Zeroizing::new(root))
    }

    /// Adds a key that reads what it wrote before and writes nothing, as [`KeyRing::add`] does.
    ///
    /// # Errors
    /// Those of [`KeyRing::add`].
    pub fn with_old_key(self, id: KeyId, root: [u8; 32]) -> Result<Self, KeyRingError> {
        self.add(id, root)?;
        Ok(self)
    }

    /// Adds a key of 32 random bytes, to this ring and all its clones. It reads, and writes nothing until
    /// [`KeyRing::activate`].
    ///
    /// # Errors
    /// [`KeyRingError::Weak`] as in [`KeyRing::new`], [`KeyRingError::Duplicate`] for an id that is there,
    /// [`KeyRingError::Repeated`] for bytes that are there under another id. The ring is as before then.
    pub fn add(&self, id: KeyId, root: [u8; 32]) -> Result<(), KeyRingError> {
        self.insert(id, &Zeroizing::new(root))
    }

    /// Makes a key the one that writes, in this ring and all its clones.
    ///
    /// Where several nodes share a store, every node needs the key before any of them activates it: a node
    /// without it can read nothing that was written under it.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`] if the ring has no key of this id; the ring is as before then.
    pub fn activate(&self, id: &KeyId) -> Result<(), KeyRingError> {
        let mut keys = self.write();
        if !keys.all.contains_key(id) {
            return Err(KeyRingError::Unknown);
        }
        keys.active = id.clone();
        Ok(())
    }

    /// Removes a key from this ring and all its clones. The caller has seen that nothing refers to it.
    pub(crate) fn remove(&self, id: &KeyId) -> Result<(), KeyRingError> {
        let mut keys = self.write();
        if keys.active == *id {
            return Err(KeyRingError::Active);
        }
        keys.all.remove(id).map(drop).ok_or(KeyRingError::Unknown)
    }

    /// Returns the id of the key that writes.
    #[must_use]
    pub fn active(&self) -> KeyId {
        self.read().active.clone()
    }

    /// Returns the ids of all keys, in their order.
    #[must_use]
    pub fn ids(&self) -> Vec<KeyId> {
        self.read().all.keys().cloned().collect()
    }

    /// Returns the key that authenticates the cursors of the audit log.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`] never happens for a ring that was built here.
    pub fn cursor_key(&self) -> Result<CursorKey, KeyRingError> {
        Ok(CursorKey::from_bytes(*self.read().active()?.cursor))
    }

    /// Seals `plain` under the active key, bound to `context`.
    pub(crate) fn seal(
        &self,
        label: Label,
        context: &[&[u8]],
        nonce: [u8; 12],
        plain: &[u8],
    ) -> Result<Sealed, KeyRingError> {
        let keys = self.read();
        let key = keys.active()?;
        let aad = tuple(context);
        let payload = Payload { msg: plain, aad: &aad };
        let bytes =
            key.sealing(label)?.encrypt(&Nonce::from(nonce), payload).map_err(|_| KeyRingError::Unseal)?;
        Ok(Sealed { key: keys.active.clone(), nonce, bytes })
    }

    /// Opens what [`KeyRing::seal`] made for the same `context`.
    pub(crate) fn open(
        &self,
        label: Label,
        context: &[&[u8]],
        sealed: &Sealed,
    ) -> Result<SecretBytes, KeyRingError> {
        let keys = self.read();
        let key = keys.of(sealed.key.as_str())?;
        let aad = tuple(context);
        let payload = Payload { msg: &sealed.bytes, aad: &aad };
        let plain = key
            .sealing(label)?
            .decrypt(&Nonce::from(sealed.nonce), payload)
            .map_err(|_| KeyRingError::Unseal)?;
        Ok(SecretBytes::new(plain))
    }

    /// Returns the mac of `parts` under the key `id`; parts are length-prefixed.
    pub(crate) fn mac(&self, id: &str, label: Label, parts: &[&[u8]]) -> Result<[u8; 32], KeyRingError> {
        self.read().of(id)?.mac(label, parts)
    }

    /// Returns the mac of `parts` under the active key, and that key's id.
    pub(crate) fn active_mac(
        &self,
        label: Label,
        parts: &[&[u8]],
    ) -> Result<(KeyId, [u8; 32]), KeyRingError> {
        let keys = self.read();
        Ok((keys.active.clone(), keys.active()?.mac(label, parts)?))
    }

    /// Returns whether `claimed` is the mac of `parts`, in constant time.
    pub(crate) fn mac_holds(
        &self,
        id: &str,
        label: Label,
        parts: &[&[u8]],
        claimed: &[u8],
    ) -> Result<bool, KeyRingError> {
        let mac = self.mac(id, label, parts)?;
        Ok(<&[u8; 32]>::try_from(claimed).is_ok_and(|claimed| is_same(&mac, claimed)))
    }

    fn of_one(id: KeyId, root: &[u8; 32]) -> Result<Self, KeyRingError> {
        let all = BTreeMap::from([(id.clone(), Derived::from_root(root)?)]);
        Ok(Self { keys: Arc::new(RwLock::new(Keys { active: id, all })) })
    }

    fn insert(&self, id: KeyId, root: &[u8; 32]) -> Result<(), KeyRingError> {
        // The slow part comes before the lock.
        let key = Derived::from_root(root)?;
        let mut keys = self.write();
        if keys.all.contains_key(&id) {
            return Err(KeyRingError::Duplicate);
        }
        if keys.all.values().any(|of| of.cursor.ct_eq(&*key.cursor).into()) {
            return Err(KeyRingError::Repeated);
        }
        keys.all.insert(id, key);
        Ok(())
    }

    /// A writer changes the keys in one step at its end: a lock it left poisoned guards a whole ring.
    fn read(&self) -> RwLockReadGuard<'_, Keys> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Keys> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.read();
        let ids: Vec<_> = keys.all.keys().collect();
        f.debug_struct("KeyRing").field("active", &keys.active).field("ids", &ids).finish_non_exhaustive()
    }
}

impl Keys {
    fn active(&self) -> Result<&Derived, KeyRingError> {
        self.of(self.active.as_str())
    }

    fn of(&self, id: &str) -> Result<&Derived, KeyRingError> {
        self.all.get(id).ok_or(KeyRingError::Unknown)
    }
}

impl Derived {
    fn from_root(root: &[u8; 32]) -> Result<Self, KeyRingError> {
        if root.iter().all(|byte| *byte == 0) {
            return Err(KeyRingError::Weak);
        }
        let hkdf = Hkdf::<Sha256>::new(Some(b"mfa/ring/1"), root);
        let derive = |text: &str| -> Result<Zeroizing<[u8; 32]>, KeyRingError> {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(text.as_bytes(), &mut *key).map_err(|_| KeyRingError::Weak)?;
            Ok(key)
        };
        let mut seals = Vec::new();
        for label in Label::SEALS {
            let key = derive(label.text())?;
            seals.push((label, Aes256GcmSiv::new_from_slice(&*key).map_err(|_| KeyRingError::Weak)?));
        }
        let mut macs = Vec::new();
        for label in Label::MACS {
            let key = derive(label.text())?;
            let mac = <HmacSha256 as KeyInit>::new_from_slice(&*key).map_err(|_| KeyRingError::Weak)?;
            macs.push((label, mac));
        }
        Ok(Self { seals, macs, cursor: derive("mac/cursor")? })
    }

    fn sealing(&self, label: Label) -> Result<&Aes256GcmSiv, KeyRingError> {
        let found = self.seals.iter().find(|(of, _)| *of == label);
        found.map(|(_, key)| key).ok_or(KeyRingError::Unknown)
    }

    fn mac(&self, label: Label, parts: &[&[u8]]) -> Result<[u8; 32], KeyRingError> {
        let found = self.macs.iter().find(|(of, _)| *of == label);
        let mut mac = found.map(|(_, keyed)| keyed.clone()).ok_or(KeyRingError::Unknown)?;
        for part in parts {
            mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }
}

/// Compares in constant time, by words: by bytes it takes as long as the mac.
pub(crate) fn is_same(mac: &[u8; 32], claimed: &[u8; 32]) -> bool {
    words(mac).ct_eq(&words(claimed)).into()
}

fn words(bytes: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    words.iter_mut().zip(bytes.as_chunks().0).for_each(|(word, chunk)| *word = u64::from_ne_bytes(*chunk));
    words
}

/// Sealed bytes with the id of the key that sealed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) nonce: [u8; 12],
    #[serde(with = "serde_bytes")]
    pub(crate) bytes: Vec<u8>,
}
