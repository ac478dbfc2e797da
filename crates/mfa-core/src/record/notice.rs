//! A notice that waits to be sent.

use core::time::Duration;

use audit_model::Timestamp;
use serde::{Deserialize, Serialize};

use crate::keyring::Sealed;
use crate::{NoticeKind, Versioned};

/// How long a notice waits to be sent. Past it, it says nothing of use any more.
pub(crate) const NOTICE_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Notice {
    pub(crate) kind: NoticeKind,
    pub(crate) at: Timestamp,
    /// The contacts to tell, sealed.
    pub(crate) to: Sealed,
    /// Which of them accepted it already, as bits.
    pub(crate) told: u8,
    /// Which of them it was charged for, as bits.
    pub(crate) charged: u8,
    /// How often sending was begun.
    pub(crate) attempts: u16,
    /// From when on it may be sent; later than now while somebody is sending it.
    pub(crate) due_at: Timestamp,
}

impl Versioned for Notice {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 8192;
}
