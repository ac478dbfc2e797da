//! What the facade answers to the calls that manage methods, notices and keys.

use audit_model::Timestamp;
use serde_json::Value;

use super::{Pending, Rejected};
use crate::provider::Revealed;
use crate::{EnrolmentId, Invitation, Reference, SecretText};

/// A method that is being enrolled.
#[derive(Debug)]
#[non_exhaustive]
pub struct EnrolmentStarted {
    /// The enrolment's id, once it is confirmed.
    pub id: EnrolmentId,
    /// The secret handle for [`enrol_confirm`](crate::Engine::enrol_confirm).
    pub reference: Reference,
    /// What to show, as the provider defines it. Holds no secret.
    pub prompt: Value,
    /// The secret values, handed out this once.
    pub revealed: Revealed,
    /// From when on it cannot be confirmed.
    pub expires_at: Timestamp,
}

/// How the confirmation of a method went.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum EnrolConfirm {
    /// The method counts from now on.
    Confirmed(EnrolmentId),
    /// The answer is right. The method counts once the user has acknowledged that the recovery codes or key,
    /// which are here this once, are kept: [`enrol_acknowledge`](crate::Engine::enrol_acknowledge).
    RecoveryShown(IssuedRecovery),
    /// Nothing is decided yet: a message is on its way, or a push waits for the user.
    Pending(Pending),
    /// The answer is refused; nothing changed for the user's other methods.
    Rejected(Rejected),
}

/// Recovery codes or a recovery key, handed out this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedRecovery {
    /// The enrolment of the set.
    pub id: EnrolmentId,
    /// What to show, as the provider defines it. Holds no secret.
    pub prompt: Value,
    /// The codes or the key, with a text to download.
    pub revealed: Revealed,
}

/// A code that lets a user in once, handed out this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedBypass {
    /// The code, in groups: an answer of [`Answer::bypass`](crate::Answer::bypass).
    pub code: SecretText,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// An invitation, handed out this once.
#[derive(Debug)]
#[non_exhaustive]
pub struct IssuedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// From when on it is refused.
    pub expires_at: Timestamp,
}

/// How an unlocking by three codes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use]
pub enum Unlocked {
    /// Answers are judged again.
    Done,
    /// The codes are refused; nothing is told of which was wrong.
    Rejected(Rejected),
}

/// What one round of sending what waits did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Messages that their transport accepted, and notices that every contact's transport accepted.
    pub sent: u64,
    /// Those that are tried again later.
    pub waiting: u64,
    /// Those that were given up: refused for good, tried too often, or of a challenge that is over.
    pub given_up: u64,
}

/// What moving records to the active key did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resealed {
    /// Records that were moved.
    pub records: u64,
    /// Records that could not be read, and were left as they are.
    pub unreadable: u64,
}
