//! What stands behind a proof, a ticket and an invitation until it is spent: spending deletes it.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use super::pending::Administrator;
use crate::{Aal, EnrolmentId, KeyId, Operation, Versioned};

/// How long a proof is good.
pub(crate) const PROOF_LIFE: Duration = Duration::from_secs(300);
/// How long a ticket is good.
pub(crate) const TICKET_LIFE: Duration = Duration::from_secs(600);
/// The id of a user's one invitation.
pub(crate) const INVITATION_ID: [u8; 16] = [0; 16];
/// How long an invitation is good.
pub(crate) const INVITATION_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Proof {
    pub(crate) held: Held,
    pub(crate) operation: Operation,
    /// What exactly was proven for ([`crate::Intent::digest`]).
    #[serde(with = "serde_bytes")]
    pub(crate) intent: [u8; 32],
    /// What proved it.
    pub(crate) enrolment: EnrolmentId,
    pub(crate) aal: Aal,
    /// It was a recovery code.
    pub(crate) recovery: bool,
    /// The rank of the one who proved, as the host gave it.
    pub(crate) rank: u8,
    /// Until when something slow is done for it, which is not done twice at a time.
    pub(crate) busy_until: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) held: Held,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) held: Held,
    /// Who invited.
    pub(crate) actor: String,
    /// The administrator who did, where one did: as long as they may, the method can be confirmed.
    pub(crate) administrator: Option<Administrator>,
    /// What to ([`crate::Intent::digest`]).
    #[serde(with = "serde_bytes")]
    pub(crate) intent: [u8; 32],
}

/// What ties one of them to whoever may spend it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) generation: String,
    /// The holder's fence when it was made; none where the holder had no record.
    pub(crate) fence: Option<u64>,
    pub(crate) key: KeyId,
    #[serde(with = "serde_bytes")]
    pub(crate) binder: [u8; 32],
    /// The keyed hash of the host's session, where it has sessions.
    #[serde(with = "serde_bytes")]
    pub(crate) session: Option<[u8; 32]>,
    pub(crate) made_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

macro_rules! versioned {
    ($($record:ident)*) => {$(
        impl Versioned for $record {
            const VERSION: u8 = 1;
            const MAX_BYTES: usize = 2048;
        }
    )*};
}

versioned! { Proof Ticket Invitation }
