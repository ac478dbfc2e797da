//! An account's API key, which decides, and the hint at whose a key is, which decides nothing.

use audit_model::{AccountId, Scope, Stream, Timestamp};
use serde::{Deserialize, Serialize};

use super::stream::EventStream;
use crate::keyring::{Label, Sealed};
use crate::record::{API_KEY, API_KEY_HINT};
use crate::{ApiKey, CodecError, Draw, Error, Key, KeyId, KeyRing, SecretText, Versioned};

/// How often a key is shown in 24 hours.
pub(crate) const SHOWN_DAILY: usize = 10;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKeyRecord {
    stream: EventStream,
    pub(crate) hash: Hashed,
    /// The id of the hint that is this key's; every other one is stale.
    pub(crate) hint: Hashed,
    pub(crate) issued_at: Timestamp,
    /// The key itself, where the policy said that it may be shown again.
    pub(crate) text: Option<Sealed>,
    /// When it was shown within the last day, oldest first. A new key does not begin this anew.
    pub(crate) shown: Vec<Timestamp>,
}

/// In a scope of the engine's own, under a keyed hash of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ApiKeyHint {
    pub(crate) account: AccountId,
    pub(crate) made_at: Timestamp,
    /// The key is dead; for a day its use is written into the log of the account whose it was.
    pub(crate) retired: bool,
}

/// A keyed hash, with the id of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hashed {
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) mac: [u8; 32],
}

impl Versioned for ApiKeyRecord {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1024;
}

impl Versioned for ApiKeyHint {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 512;
}

impl ApiKeyRecord {
    /// Puts a key in the place of the one before, whose stream of events goes on.
    pub(crate) fn new(
        before: Option<&Self>,
        (hash, hint): (Hashed, Hashed),
        text: Option<Sealed>,
        now: Timestamp,
        draw: &mut Draw,
    ) -> Result<Self, Error> {
        let (stream, shown) = match before {
            Some(before) => (before.stream.clone(), before.shown.clone()),
            None => (EventStream::new(draw.take()?), Vec::new()),
        };
        Ok(Self { stream, hash, hint, issued_at: now, text, shown })
    }

    /// Gives the next event its place in this record's stream.
    pub(crate) const fn take_stream(&mut self) -> Stream {
        self.stream.take()
    }

    /// Returns whether `key` is the account's, in constant time.
    pub(crate) fn is_of(&self, ring: &KeyRing, account: &AccountId, key: &str) -> Result<bool, Error> {
        let parts = parts(account, key);
        Ok(ring.mac_holds(self.hash.key.as_str(), Label::MacApiKey, &parts, &self.hash.mac)?)
    }
}

/// Addresses an account's API key.
pub(crate) fn api_key_key(account: &AccountId) -> Key {
    Key::new(Scope::Account(account.clone()), API_KEY, *b"")
}

/// Hashes a key for the account whose it is, under the active key.
pub(crate) fn hash(ring: &KeyRing, account: &AccountId, key: &str) -> Result<Hashed, Error> {
    let id = ring.active();
    let mac = ring.mac(id.as_str(), Label::MacApiKey, &parts(account, key))?;
    Ok(Hashed { key: id, mac })
}

/// Returns the id of a key's hint under the ring's key `id`.
pub(crate) fn hint_id(ring: &KeyRing, id: KeyId, key: &str) -> Result<Hashed, Error> {
    let mac = ring.mac(id.as_str(), Label::MacApiKeyHint, &[key.as_bytes()])?;
    Ok(Hashed { key: id, mac })
}

pub(crate) fn hint_key(hint: &Hashed) -> Key {
    Key::new(Scope::Index, API_KEY_HINT, hint.mac)
}

/// Seals a key, so that it can be shown again.
pub(crate) fn seal(
    ring: &KeyRing,
    account: &AccountId,
    key: &ApiKey,
    draw: &mut Draw,
) -> Result<Sealed, Error> {
    let plain = key.expose_secret().as_bytes();
    Ok(ring.seal(Label::SealApiKey, &context(account), draw.take()?, plain)?)
}

/// Opens what [`seal`] made for the same account.
pub(crate) fn open(ring: &KeyRing, account: &AccountId, sealed: &Sealed) -> Result<ApiKey, Error> {
    let plain = ring.open(Label::SealApiKey, &context(account), sealed)?;
    let text = core::str::from_utf8(plain.expose_secret()).map_err(|_| CodecError::Malformed)?;
    Ok(ApiKey::of(SecretText::new(text)))
}

fn parts<'a>(account: &'a AccountId, key: &'a str) -> [&'a [u8]; 2] {
    [account.as_str().as_bytes(), key.as_bytes()]
}

fn context(account: &AccountId) -> [&[u8]; 3] {
    [b"seal/api_key", account.as_str().as_bytes(), b"1"]
}
