//! A method that is being enrolled. Each begin has a record of its own, which its reference alone opens.

use audit_model::{AccountId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::challenge::PendingEffect;
use super::login::{Bound, OfConfiguration};
use super::prefix::Texted;
use crate::keyring::Sealed;
use crate::permission::Right;
use crate::{EnrolmentId, KeyId, ProviderName, Versioned};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingEnrolment {
    pub(crate) generation: String,
    /// The user's fence when it began.
    pub(crate) fence: u64,
    pub(crate) provider: ProviderName,
    /// The provider configuration it was begun under, and is confirmed under.
    pub(crate) configuration: Option<OfConfiguration>,
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) binder: [u8; 32],
    /// By whose right it was begun, by whom where it was not the user, and how far its evidence will be trusted.
    pub(crate) right: Right,
    pub(crate) actor: Option<String>,
    pub(crate) bound: Bound,
    /// The administrator who began it, where one did: as long as they may, it can be confirmed.
    pub(crate) administrator: Option<Administrator>,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) attempts_left: u8,
    pub(crate) malformed: u8,
    pub(crate) told: u32,
    /// Confirmed: the secrets are gone, the record stays to say so.
    pub(crate) confirmed: bool,
    #[serde(with = "serde_bytes")]
    pub(crate) state: Option<Vec<u8>>,
    #[serde(with = "serde_bytes")]
    pub(crate) data: Option<Vec<u8>>,
    /// An effect that was charged and whose result has not come.
    pub(crate) effect: Option<PendingEffect>,
    /// The last text message of it.
    pub(crate) texted: Option<Texted>,
    /// What was shown with it, and waits to be acknowledged.
    pub(crate) recovery: Option<Shown>,
    pub(crate) secret: Option<Sealed>,
}

/// An administrator, as they proved themselves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Administrator {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    pub(crate) generation: String,
    pub(crate) fence: Option<u64>,
}

/// A recovery set that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    pub(crate) id: EnrolmentId,
    pub(crate) provider: ProviderName,
    #[serde(with = "serde_bytes")]
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) secret: Sealed,
}

impl Versioned for PendingEnrolment {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}
