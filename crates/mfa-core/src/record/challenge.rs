//! The record of one challenge. It keeps its expiry in its body and stays a day longer, so that a late
//! answer is told `expired`, not `not_found`.

use core::net::IpAddr;
use core::time::Duration;

use audit_model::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

use super::login::Login;
use super::prefix::Texted;
use crate::keyring::Sealed;
use crate::machine::{IllegalMove, Move, Status};
use crate::subject::FirstFactorKind;
use crate::{
    Ancestor, Channel, Charge, DeviceId, EnrolmentId, KeyId, Module, ProviderName, Purpose, Strength,
    Versioned,
};

/// How long the record stays after the challenge's own life.
pub(crate) const KEPT_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Malformed answers that end a challenge.
pub(crate) const MAX_MALFORMED: u8 = 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Challenge {
    pub(crate) user: UserId,
    pub(crate) generation: String,
    pub(crate) module: Module,
    /// The account and its ancestors when it began, where the engine has documents of accounts: a link names neither.
    pub(crate) lineage: Vec<Ancestor>,
    pub(crate) purpose: Purpose,
    /// The id of the key that hashed the binder and the session.
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) binder: [u8; 32],
    #[serde(with = "serde_bytes")]
    pub(crate) session: Option<[u8; 32]>,
    pub(crate) first_factor: FirstFactorRecord,
    /// The user's fence when it began.
    pub(crate) fence: u64,
    pub(crate) status: Status,
    /// The active method.
    pub(crate) method: EnrolmentId,
    /// The active method's provider.
    pub(crate) provider: ProviderName,
    /// What the policy offered when it began: a ceiling for switches.
    pub(crate) offered: Vec<EnrolmentId>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) attempts_left: u8,
    pub(crate) malformed: u8,
    pub(crate) verify_attempts: u32,
    pub(crate) send_attempts: u32,
    /// The reasons that an event was written for already, as bits.
    pub(crate) told: u32,
    /// The active provider's bytes.
    #[serde(with = "serde_bytes")]
    pub(crate) state: Option<Vec<u8>>,
    /// An effect that was charged and whose result has not come.
    pub(crate) effect: Option<PendingEffect>,
    /// The last text message of it.
    pub(crate) texted: Option<Texted>,
    /// What was proven, while it waits to be claimed.
    pub(crate) proven: Option<Proven>,
    /// What a proof is asked for, where one is.
    pub(crate) intent: Option<Intended>,
    /// The user's verified contacts when it began.
    pub(crate) contacts: Option<Sealed>,
    /// It went on with another method, as a message was refused for good.
    pub(crate) fell_back: bool,
    /// If nobody is behind it, so that no answer is right: what would be the user's record.
    pub(crate) decoy: Option<Box<Login>>,
    /// The device whose token the login showed.
    pub(crate) device: Option<DeviceId>,
    /// The token is that of a device that succeeded before: failures draw on a count of their own.
    pub(crate) known: bool,
    /// The host's number of the user's password when it began.
    pub(crate) password_epoch: Option<u64>,
}

/// The change that a step-up challenge was begun for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Intended {
    #[serde(with = "serde_bytes")]
    pub(crate) digest: [u8; 32],
    /// The rank of the one who asks, as the host gave it.
    pub(crate) rank: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FirstFactorRecord {
    pub(crate) kind: FirstFactorKind,
    pub(crate) channel: Channel,
    pub(crate) at: Timestamp,
    /// Where the login began, where the host said so.
    pub(crate) ip: Option<IpAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingEffect {
    #[serde(with = "serde_bytes")]
    pub(crate) id: [u8; 16],
    /// What it was charged as, and when.
    pub(crate) charge: Charge,
    pub(crate) charged_at: Timestamp,
    /// When the method had failed before that charge.
    pub(crate) failed_before: Timestamp,
    /// Whether that charge was the one from which on answers are refused.
    pub(crate) locked: bool,
    /// The notice that it queued, which waits for the deadline: the charge may be returned until then.
    pub(crate) notice: Option<[u8; 16]>,
    /// Whether an accepted result redeems the challenge at once: it judges an answer.
    pub(crate) of_answer: bool,
    /// The failure it was charged as was drawn on the count of known devices.
    pub(crate) own_count: bool,
    pub(crate) deadline: Timestamp,
    /// It is a message that waits in the outbox, as long as the challenge lives.
    pub(crate) queued: bool,
    /// What was waited for before a message that is to take its place.
    pub(crate) before: Option<Waiting>,
}

/// What a step waits for: the method that is answered, what its provider has kept, and the text message it sent last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    pub(crate) method: EnrolmentId,
    #[serde(with = "serde_bytes")]
    pub(crate) state: Option<Vec<u8>>,
    pub(crate) texted: Option<Texted>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proven {
    pub(crate) strength: Strength,
    pub(crate) at: Timestamp,
}

impl Challenge {
    pub(crate) fn waiting(&self) -> Waiting {
        Waiting { method: self.method, state: self.state.clone(), texted: self.texted.clone() }
    }
}

impl Versioned for Challenge {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 16 * 1024;
}

impl Challenge {
    /// Moves along the table of the machine.
    pub(crate) fn apply(&mut self, by: Move) -> Result<(), IllegalMove> {
        self.status = self.status.after(by)?;
        Ok(())
    }

    /// Returns from when on the record reads as absent.
    pub(crate) fn gone_at(&self) -> Timestamp {
        self.expires_at.plus(KEPT_AFTER)
    }

    /// Returns whether a clock that stepped back is told for the first time, and notes it.
    pub(crate) const fn tell_clock(&mut self) -> bool {
        self.tell(1 << 31)
    }

    /// Returns whether a secret that does not open is told for the first time, and notes it.
    pub(crate) const fn tell_secret(&mut self) -> bool {
        self.tell(1 << 30)
    }

    const fn tell(&mut self, bit: u32) -> bool {
        let first = self.told & bit == 0;
        self.told |= bit;
        first
    }
}
