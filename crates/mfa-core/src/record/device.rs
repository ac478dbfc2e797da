//! A device of a user: a browser that has succeeded before, and may be trusted. A user has as many records as there
//! are slots; the last four bits of a device's id name its slot, so that no count has to be kept.

use core::time::Duration;

use audit_model::{AccountId, Stream, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::record::{DEVICE, users_key};
use crate::{ChallengeId, DeviceId, EnrolmentId, FirstFactorKind, Key, KeyId, Versioned};

/// The most devices of a user.
pub(crate) const SLOTS: u8 = 16;
/// How long a device is known, and the longest that one is trusted.
pub(crate) const KNOWN_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a device stays banned.
pub(crate) const BAN_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// For how long the value that a rotation has replaced is accepted: requests that were on their way carry it.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// The creation id of the user whose device it is.
    pub(crate) generation: String,
    /// What the user calls it.
    pub(crate) name: String,
    pub(crate) standing: Standing,
    pub(crate) created_at: Timestamp,
    pub(crate) last_used_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    /// The login that it was kept by last.
    pub(crate) challenge: ChallengeId,
    pub(crate) current: TokenHash,
    pub(crate) previous: Option<Replaced>,
    /// The random id of the stream of events that commits of this record alone write.
    #[serde(with = "serde_bytes")]
    pub(crate) stream: [u8; 16],
    /// How many they have written.
    pub(crate) events: u64,
}

/// The value that the current one has replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    pub(crate) value: TokenHash,
    pub(crate) at: Timestamp,
    /// It was turned by the use of a trusted device; otherwise the device was kept anew.
    pub(crate) turned: bool,
}

/// Whether a device is trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Standing {
    Trusted(Trust),
    NotTrusted,
    Banned,
}

/// What trust rests on: it ends when any of this changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trust {
    pub(crate) since: Timestamp,
    /// When it ends, by the policy that it was given under.
    pub(crate) until: Timestamp,
    /// The user's number of trust.
    pub(crate) epoch: u64,
    /// The host's number of the password.
    pub(crate) password_epoch: u64,
    /// The enrolment whose evidence it was given for: as long as that could be asked for.
    pub(crate) by: EnrolmentId,
    /// The kind of first factor that came before: it stands in for the second step after no other.
    pub(crate) first_factor: FirstFactorKind,
    /// A digest of the user's enrolments.
    #[serde(with = "serde_bytes")]
    pub(crate) enrolments: [u8; 32],
}

/// The keyed hash of a token's secret, with the id of its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TokenHash {
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) hash: [u8; 32],
}

impl Versioned for Device {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 1024;
}

impl Device {
    /// Gives the next event its place in this record's stream.
    pub(crate) fn take_stream(&mut self) -> Stream {
        self.events = self.events.saturating_add(1);
        Stream::new(self.stream, self.events)
    }

    /// Returns the ids of the keys that are needed to know the device again. A banned one is as little let in
    /// without.
    pub(crate) fn keys(&self, now: Timestamp) -> impl Iterator<Item = &KeyId> {
        let previous = self.previous.as_ref().filter(|it| now < it.at.plus(GRACE)).map(|it| &it.value);
        let hashes = core::iter::once(&self.current).chain(previous);
        hashes.filter(|_| self.standing != Standing::Banned).map(|hash| &hash.key)
    }
}

/// Addresses the record of a device: that of its slot.
pub(crate) fn device_key(account: &AccountId, user: &UserId, id: DeviceId) -> Key {
    slot_key(account, user, id.as_bytes().last().copied().unwrap_or_default() % SLOTS)
}

pub(crate) fn slot_key(account: &AccountId, user: &UserId, slot: u8) -> Key {
    let mut id = [0; 16];
    id[15] = slot;
    users_key(account, DEVICE, user, &id)
}

/// Addresses every device that a user may have.
pub(crate) fn slot_keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    (0..SLOTS).map(|slot| slot_key(account, user, slot)).collect()
}

/// Makes the id of a device in `slot`.
pub(crate) fn id_in(slot: u8, random: [u8; 16]) -> DeviceId {
    let mut bytes = *DeviceId::from_random(random).as_bytes();
    bytes[15] = (bytes[15] & 0xf0) | (slot % SLOTS);
    DeviceId::from_bytes(bytes)
}
