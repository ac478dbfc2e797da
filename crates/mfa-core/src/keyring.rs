//! The key ring: root keys, one derived key per use, sealing and macs.
//!
//! A root key is never used itself. HKDF-SHA256 derives one key per [`Label`], so that no two uses share one.
//! Sealing is AES-256-GCM-SIV (RFC 8452): a nonce that comes twice, as after a snapshot, shows equality of
//! two plain texts and nothing more.

use core::borrow::Borrow;
use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use audit_model::CursorKey;
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

use crate::SecretBytes;
use crate::codec::tuple;

type HmacSha256 = Hmac<Sha256>;

/// What a derived key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// Seals providers' secrets.
    SealVault,
    /// Authenticates record bodies.
    MacRecord,
    /// Hashes the secret part of a reference.
    MacBinder,
    /// Hashes the host's session id.
    MacSession,
    /// Authenticates references.
    MacReference,
    /// Makes the ids of events that are merged.
    MacMerge,
}

impl Label {
    const ALL: [Self; 6] = [
        Self::SealVault,
        Self::MacRecord,
        Self::MacBinder,
        Self::MacSession,
        Self::MacReference,
        Self::MacMerge,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::SealVault => "seal/vault",
            Self::MacRecord => "mac/record",
            Self::MacBinder => "mac/binder",
            Self::MacSession => "mac/session",
            Self::MacReference => "mac/reference",
            Self::MacMerge => "mac/merge",
        }
    }
}

/// Names a root key: 1 to 16 ASCII letters, digits, dashes or underscores. Not secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

impl KeyId {
    /// Takes a name.
    ///
    /// # Errors
    /// [`KeyRingError::KeyId`] if it breaks the form.
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if (1..=16).contains(&text.len()) && text.bytes().all(fits) {
            return Ok(Self(Arc::from(text)));
        }
        Err(KeyRingError::KeyId)
    }

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys that seal and authenticate what the engine keeps. The active key writes, every key reads.
///
/// Keep the root keys outside the store: whoever has the store alone can read no secret and change no
/// record unnoticed; whoever has both has everything that is low in entropy.
///
/// ```
/// use mfa_core::{KeyId, KeyRing};
/// let ring = KeyRing::new(KeyId::parse("2026-11").unwrap(), [7; 32]).unwrap();
/// assert_eq!(ring.active().as_str(), "2026-11");
/// // A key of zeros is a mistake, not a key.
/// assert!(KeyRing::new(KeyId::parse("k").unwrap(), [0; 32]).is_err());
/// ```
#[derive(Clone)]
pub struct KeyRing {
    active: KeyId,
    keys: Arc<BTreeMap<KeyId, Derived>>,
}

struct Derived {
    seal: Aes256GcmSiv,
    macs: Vec<(Label, HmacSha256)>,
    cursor: Zeroizing<[u8; 32]>,
}

impl KeyRing {
    /// Makes a ring of one key, which is active: 32 random bytes.
    ///
    /// # Errors
    /// [`KeyRingError::Weak`] if the bytes are all zero.
    pub fn new(id: KeyId, root: [u8; 32]) -> Result<Self, KeyRingError> {
        let derived = Derived::from_root(root)?;
        Ok(Self { active: id.clone(), keys: Arc::new(BTreeMap::from([(id, derived)])) })
    }

    /// Adds a key that reads what it wrote before and writes nothing.
    ///
    /// # Errors
    /// [`KeyRingError::Weak`] as in [`KeyRing::new`], [`KeyRingError::Duplicate`] for an id that is there,
    /// [`KeyRingError::Shared`] once the ring is in use.
    pub fn with_old_key(mut self, id: KeyId, root: [u8; 32]) -> Result<Self, KeyRingError> {
        if self.keys.contains_key(&id) {
            return Err(KeyRingError::Duplicate);
        }
        let keys = Arc::get_mut(&mut self.keys).ok_or(KeyRingError::Shared)?;
        keys.insert(id, Derived::from_root(root)?);
        Ok(self)
    }

    /// Returns the id of the key that writes.
    #[must_use]
    pub const fn active(&self) -> &KeyId {
        &self.active
    }

    /// Returns the ids of all keys.
    pub fn ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.keys()
    }

    /// Returns the key that authenticates the cursors of the audit log.
    ///
    /// # Errors
    /// [`KeyRingError::Unknown`] never happens for a ring that was built here.
    pub fn cursor_key(&self) -> Result<CursorKey, KeyRingError> {
        Ok(CursorKey::from_bytes(*self.derived(self.active.as_str())?.cursor))
    }

    /// Seals `plain` under the active key, bound to `context`.
    pub(crate) fn seal(
        &self,
        context: &[&[u8]],
        nonce: [u8; 12],
        plain: &[u8],
    ) -> Result<Sealed, KeyRingError> {
        let key = self.derived(self.active.as_str())?;
        let aad = tuple(context);
        let payload = Payload { msg: plain, aad: &aad };
        let bytes = key.seal.encrypt(&Nonce::from(nonce), payload).map_err(|_| KeyRingError::Unseal)?;
        Ok(Sealed { key: self.active.as_str().to_owned(), nonce, bytes })
    }

    /// Opens what [`KeyRing::seal`] made for the same `context`.
    pub(crate) fn open(&self, context: &[&[u8]], sealed: &Sealed) -> Result<SecretBytes, KeyRingError> {
        let key = self.derived(&sealed.key)?;
        let aad = tuple(context);
        let payload = Payload { msg: &sealed.bytes, aad: &aad };
        let plain =
            key.seal.decrypt(&Nonce::from(sealed.nonce), payload).map_err(|_| KeyRingError::Unseal)?;
        Ok(SecretBytes::new(plain))
    }

    /// Returns the mac of `parts` under the key `id`; parts are length-prefixed.
    pub(crate) fn mac(&self, id: &str, label: Label, parts: &[&[u8]]) -> Result<[u8; 32], KeyRingError> {
        let derived = self.derived(id)?;
        let found = derived.macs.iter().find(|(l, _)| *l == label);
        let (_, keyed) = found.ok_or(KeyRingError::Unknown)?;
        let mut mac = keyed.clone();
        for part in parts {
            mac.update(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            mac.update(part);
        }
        Ok(mac.finalize().into_bytes().into())
    }

    /// Returns whether `claimed` is the mac of `parts`, in constant time.
    pub(crate) fn mac_holds(
        &self,
        id: &str,
        label: Label,
        parts: &[&[u8]],
        claimed: &[u8],
    ) -> Result<bool, KeyRingError> {
        Ok(self.mac(id, label, parts)?.as_slice().ct_eq(claimed).into())
    }

    fn derived(&self, id: &str) -> Result<&Derived, KeyRingError> {
        self.keys.get(id).ok_or(KeyRingError::Unknown)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.ids().collect();
        f.debug_struct("KeyRing").field("active", &self.active).field("ids", &ids).finish_non_exhaustive()
    }
}

impl Derived {
    fn from_root(mut root: [u8; 32]) -> Result<Self, KeyRingError> {
        if root.iter().all(|byte| *byte == 0) {
            return Err(KeyRingError::Weak);
        }
        let hkdf = Hkdf::<Sha256>::new(Some(b"mfa/ring/1"), &root);
        root.zeroize();
        let derive = |text: &str| -> Result<Zeroizing<[u8; 32]>, KeyRingError> {
            let mut key = Zeroizing::new([0; 32]);
            hkdf.expand(text.as_bytes(), &mut *key).map_err(|_| KeyRingError::Weak)?;
            Ok(key)
        };
        let seal_key = derive(Label::SealVault.text())?;
        let seal = Aes256GcmSiv::new_from_slice(&*seal_key).map_err(|_| KeyRingError::Weak)?;
        let mut macs = Vec::new();
        for label in Label::ALL.into_iter().filter(|label| *label != Label::SealVault) {
            let key = derive(label.text())?;
            let mac = <HmacSha256 as KeyInit>::new_from_slice(&*key).map_err(|_| KeyRingError::Weak)?;
            macs.push((label, mac));
        }
        Ok(Self { seal, macs, cursor: derive("mac/cursor")? })
    }
}

/// Sealed bytes with the id of the key that sealed them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sealed {
    pub(crate) key: String,
    pub(crate) nonce: [u8; 12],
    pub(crate) bytes: Vec<u8>,
}

/// What is wrong with a key, or with what was done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KeyRingError {
    /// The key's name breaks its form.
    #[error("key id is not 1 to 16 ASCII letters, digits, dashes or underscores")]
    KeyId,
    /// The root key is all zeros.
    #[error("root key is all zeros; give 32 random bytes")]
    Weak,
    /// The ring has a key of this id already.
    #[error("key id is in the ring already")]
    Duplicate,
    /// The ring is in use and cannot be changed.
    #[error("the ring is in use; build it whole before handing it to an engine")]
    Shared,
    /// The ring has no key of the id that the data names.
    #[error("the ring has no such key")]
    Unknown,
    /// The sealed bytes were not made by this key for this place.
    #[error("sealed bytes do not open")]
    Unseal,
}

impl KeyRingError {
    /// Returns a stable code: `invalid_key_id`, `weak_key`, `duplicate_key`, `ring_in_use`, `unknown_key` or `does_not_open`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyId => "invalid_key_id",
            Self::Weak => "weak_key",
            Self::Duplicate => "duplicate_key",
            Self::Shared => "ring_in_use",
            Self::Unknown => "unknown_key",
            Self::Unseal => "does_not_open",
        }
    }
}
