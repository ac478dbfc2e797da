//! The challenge machine: one table of (status, move) → status.

use core::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Where a challenge stands.
///
/// ```text
/// Created ─► Sent ─► Verified ─► Redeemed      terminal: Redeemed, Failed, FailedToSend, Expired,
///    │  ▲      │                               Superseded, Cancelled
///    │  └──────┤ fallback to the next channel
///    └──► FailedToSend
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Status {
    /// Made; its message has not left yet.
    Created,
    /// Waits for the answer. Methods that send nothing begin here.
    Sent,
    /// Completed elsewhere; waits to be claimed.
    Verified,
    /// Its one grant was handed out.
    Redeemed,
    /// Its attempts are used up, or the provider refused.
    Failed,
    /// No message could be delivered.
    FailedToSend,
    /// Its life is over.
    Expired,
    /// Something else ended it.
    Superseded,
    /// It was cancelled.
    Cancelled,
}

/// What happens to a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Move {
    /// Its message left.
    Send,
    /// Its message did not leave, and another channel takes over.
    FallBack,
    /// Its message did not leave, and none is left.
    FailToSend,
    /// The right answer was given by the holder of the reference.
    Accept,
    /// It was completed elsewhere.
    Complete,
    /// The holder of the reference fetches the grant.
    Claim,
    /// Attempts used up, or refused.
    Fail,
    /// Its life is over.
    Expire,
    /// Something else ends it.
    Supersede,
    /// It is cancelled.
    Cancel,
}

/// A move that the table does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a challenge that is {from} cannot {by:?}")]
#[non_exhaustive]
pub struct IllegalMove {
    /// Where the challenge stood.
    pub from: Status,
    /// What was tried.
    pub by: Move,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Created,
        Self::Sent,
        Self::Verified,
        Self::Redeemed,
        Self::Failed,
        Self::FailedToSend,
        Self::Expired,
        Self::Superseded,
        Self::Cancelled,
    ];

    /// Returns where `by` leads: the table.
    ///
    /// # Errors
    /// [`IllegalMove`] for every pair that is not in the table.
    pub const fn after(self, by: Move) -> Result<Self, IllegalMove> {
        Ok(match (self, by) {
            (Self::Created, Move::Send) => Self::Sent,
            (Self::Created | Self::Sent, Move::FallBack) => Self::Created,
            (Self::Created, Move::FailToSend) => Self::FailedToSend,
            (Self::Sent, Move::Accept) | (Self::Verified, Move::Claim) => Self::Redeemed,
            (Self::Sent, Move::Complete) => Self::Verified,
            (Self::Sent, Move::Fail) => Self::Failed,
            (Self::Created | Self::Sent | Self::Verified, Move::Expire) => Self::Expired,
            (Self::Created | Self::Sent | Self::Verified, Move::Supersede) => Self::Superseded,
            (Self::Created | Self::Sent | Self::Verified, Move::Cancel) => Self::Cancelled,
            _ => return Err(IllegalMove { from: self, by }),
        })
    }

    /// Returns whether nothing can happen to it any more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Created | Self::Sent | Self::Verified)
    }

    /// Returns the stable name, as in `failed_to_send`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Sent => "sent",
            Self::Verified => "verified",
            Self::Redeemed => "redeemed",
            Self::Failed => "failed",
            Self::FailedToSend => "failed_to_send",
            Self::Expired => "expired",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Move {
    /// Every move.
    pub const ALL: [Self; 10] = [
        Self::Send,
        Self::FallBack,
        Self::FailToSend,
        Self::Accept,
        Self::Complete,
        Self::Claim,
        Self::Fail,
        Self::Expire,
        Self::Supersede,
        Self::Cancel,
    ];
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_status_never_changes() {
        for from in Status::ALL.into_iter().filter(|status| status.is_terminal()) {
            for by in Move::ALL {
                assert_eq!(from.after(by), Err(IllegalMove { from, by }));
            }
        }
    }

    #[test]
    fn only_sent_and_verified_lead_to_a_grant() {
        for from in Status::ALL {
            let grants = Move::ALL.into_iter().filter(|by| from.after(*by) == Ok(Status::Redeemed)).count();
            assert_eq!(grants, usize::from(matches!(from, Status::Sent | Status::Verified)), "{from}");
        }
    }

    #[test]
    fn the_table_has_as_many_legal_pairs_as_the_diagram_has_arrows() {
        let legal =
            Status::ALL.iter().flat_map(|from| Move::ALL.map(|by| from.after(by))).filter(Result::is_ok);
        assert_eq!(legal.count(), 17);
    }
}
