//! The provider configurations that an account, or the system, has: one record, so that it is read beside settings and
//! policy. What a configuration's provider is told is sealed.

use audit_model::{Scope, Timestamp};
use serde::{Deserialize, Serialize};

use super::stream::EventStream;
use crate::keyring::{Label, Sealed as SealedBytes};
use crate::settings::{Configuration, Revision, Sealed};
use crate::{CodecError, ConfigurationId, Error, Key, KeyRing, ProviderName, RecordKind, Versioned};

pub(crate) const CONFIGURATIONS: RecordKind = RecordKind::new("configurations");
/// How often the settings of one are shown in 24 hours.
pub(crate) const SHOWN_DAILY: usize = 10;
/// A scope has one such record.
const ID: &[u8] = b"document";

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configurations {
    /// Oldest first. Where the last one was deleted, what is left keeps the stream going.
    pub(crate) all: Vec<Stored>,
    pub(crate) stream: EventStream,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: ConfigurationId,
    pub(crate) name: Option<String>,
    pub(crate) provider: ProviderName,
    pub(crate) enabled: bool,
    /// Random, and another one after each change.
    #[serde(with = "serde_bytes")]
    pub(crate) revision: [u8; 16],
    pub(crate) sealed: SealedBytes,
    /// When its settings were shown within the last day, oldest first.
    pub(crate) shown: Vec<Timestamp>,
}

impl Versioned for Configurations {
    const VERSION: u8 = 1;
    /// What authenticates a body is beside it in a record of 64 KiB.
    const MAX_BYTES: usize = 63 * 1024;
}

impl Configurations {
    pub(crate) fn find(&self, id: ConfigurationId) -> Option<&Stored> {
        self.all.iter().find(|stored| stored.id == id)
    }

    pub(crate) fn find_mut(&mut self, id: ConfigurationId) -> Option<&mut Stored> {
        self.all.iter_mut().find(|stored| stored.id == id)
    }
}

impl Stored {
    pub(crate) fn public(&self) -> Configuration {
        Configuration {
            id: self.id,
            name: self.name.clone(),
            provider: self.provider.clone(),
            enabled: self.enabled,
            revision: Revision::from_bytes(self.revision),
        }
    }

    /// Opens what is sealed, for the scope whose record it is.
    pub(crate) fn open(&self, ring: &KeyRing, scope: &Scope) -> Result<Sealed, Error> {
        let plain = ring.open(Label::SealConfiguration, &context(scope, &self.id), &self.sealed)?;
        Ok(Sealed::from_bytes(plain.expose_secret()).ok_or(CodecError::Malformed)?)
    }

    /// Seals it anew under the active key.
    pub(crate) fn seal_anew(&mut self, ring: &KeyRing, scope: &Scope, nonce: [u8; 12]) -> Result<(), Error> {
        self.sealed = seal(ring, scope, self.id, &self.open(ring, scope)?, nonce)?;
        Ok(())
    }
}

/// Seals what a configuration keeps to itself. It opens for no other scope and no other configuration.
pub(crate) fn seal(
    ring: &KeyRing,
    scope: &Scope,
    id: ConfigurationId,
    plain: &Sealed,
    nonce: [u8; 12],
) -> Result<SealedBytes, Error> {
    let text = plain.to_text();
    let bytes = text.expose_secret().as_bytes();
    Ok(ring.seal(Label::SealConfiguration, &context(scope, &id), nonce, bytes)?)
}

/// Addresses the configurations of an account, or of the system.
pub(crate) fn configurations_key(scope: Scope) -> Key {
    Key::new(scope, CONFIGURATIONS, ID)
}

fn context<'a>(scope: &'a Scope, id: &'a ConfigurationId) -> [&'a [u8]; 4] {
    [b"seal/configuration", scope.as_str().as_bytes(), id.as_bytes(), b"1"]
}
