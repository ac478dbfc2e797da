//! What the facade answers to the calls of a login; `managed` has the answers to the others.

mod managed;

use core::fmt;
use core::time::Duration;

use audit_model::Timestamp;
use serde_json::Value;

use crate::{
    ChallengeId, EnrolmentId, ExemptionId, Grant, Operation, Proof, ProviderName, Reason, Reference, Status,
    Ticket, TrustedDevice,
};

pub use managed::{
    Drained, EnrolConfirm, EnrolmentStarted, IssuedBypass, IssuedInvitation, IssuedRecovery, Resealed,
    Unlocked,
};

/// How a login goes on after its first factor.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Begin {
    /// A second step is asked for.
    Challenge(Challenge),
    /// Nothing more is asked for. Never mistake it for a [`Grant`]: it proves no second factor.
    NotRequired(NotRequired),
    /// The user trusts the device and the policy lets them: nothing more is asked for. As little a [`Grant`].
    TrustedDevice(TrustedDevice),
    /// The policy asks for a second factor and the user has none.
    EnrolmentRequired(EnrolmentRequired),
    /// The login is refused.
    Denied(Denied),
}

/// A second step in progress.
#[derive(Debug)]
#[non_exhaustive]
pub struct Challenge {
    /// The public id: good for [`status`](crate::Engine::status) only.
    pub id: ChallengeId,
    /// The secret handle: keep it in the session that passed the first factor.
    pub reference: Reference,
    /// Where it stands: `Sent`, or `Created` while a message is still to leave.
    pub status: Status,
    /// The active method.
    pub method: Method,
    /// Every method the user may switch to, the active one included.
    pub methods: Vec<Method>,
    /// What to show, as the provider defines it. Holds no secret.
    pub prompt: Value,
    /// When it began.
    pub created_at: Timestamp,
    /// From when on answers are refused.
    pub expires_at: Timestamp,
}

/// A user's method: an enrolment of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Method {
    /// The enrolment.
    pub id: EnrolmentId,
    /// The provider.
    pub provider: ProviderName,
    /// Whether the user prefers it.
    pub preferred: bool,
    /// Whether it is a way back in for a user who lost the others.
    pub is_recovery: bool,
    /// How many answers it is still good for, where they run out.
    pub uses_left: Option<u8>,
    /// Whether it was disabled by too many failures and must be bound anew.
    pub stopped: bool,
    /// When it was confirmed.
    pub created_at: Timestamp,
}

/// Why nothing more is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum NotRequired {
    /// The user has no method, and neither policy nor module asks for one.
    NoMethod,
    /// The user has no method yet, and the policy will ask for one from a day that has not come
    /// ([`Policy::enforced_from`](crate::Policy::enforced_from)): to be told.
    Grace,
    /// The module does not ask for a second factor, by its settings and the policy's trigger.
    ModuleDoesNotAsk,
    /// The host decided not to challenge this login, and the policy leaves that to the host.
    NotChallenged,
    /// The login meets an exemption of the user's programs, which an administrator granted.
    Exempted(ExemptionId),
    /// The provider let the user in by its own rules, without having proven anything, and the host has said that
    /// this is enough ([`danger_accept_provider_bypass`](crate::EngineBuilder::danger_accept_provider_bypass)).
    ProviderBypass,
    /// The provider's service could not be reached, and the host has said that users are then let in
    /// ([`danger_fail_open`](crate::EngineBuilder::danger_fail_open)).
    BypassedBecauseUnavailable,
}

impl NotRequired {
    /// Returns the stable name, as in `no_method`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoMethod => "no_method",
            Self::Grace => "grace",
            Self::ModuleDoesNotAsk => "module_does_not_ask",
            Self::NotChallenged => "not_challenged",
            Self::Exempted(_) => "exempted",
            Self::ProviderBypass => "provider_bypass",
            Self::BypassedBecauseUnavailable => "bypassed_because_unavailable",
        }
    }
}

impl fmt::Display for NotRequired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// The user must enrol a method before logging in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EnrolmentRequired {
    /// Lets its holder begin one enrolment, in the session of this login, within ten minutes.
    pub ticket: Ticket,
    /// Whether an [`Invitation`](crate::Invitation) is needed besides.
    pub needs_invitation: bool,
    /// The providers to choose from.
    pub offered: Vec<ProviderName>,
}

/// A login that is refused before a second step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Denied {
    /// Why; for the host's log.
    pub reason: DeniedReason,
    /// How long to wait, where waiting helps.
    pub retry_after: Option<Duration>,
}

/// Why a login is refused before a second step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DeniedReason {
    /// The user has a second factor, and none that can be used now.
    Unavailable,
    /// Too many failures.
    Locked,
    /// The user's id was given to another person, whose records are still there.
    Generation,
    /// Too many challenges are open.
    TooManyOpen,
    /// Too many messages or pushes were sent to the user.
    SendLimit,
    /// The provider's service refuses the user.
    ProviderDenied,
    /// Nobody may log in through this module: its settings disable it.
    ModuleDisabled,
}

impl DeniedReason {
    /// Returns the stable name, as in `too_many_open`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Locked => "locked",
            Self::Generation => "generation",
            Self::TooManyOpen => "too_many_open",
            Self::SendLimit => "send_limit",
            Self::ProviderDenied => "provider_denied",
            Self::ModuleDisabled => "module_disabled",
        }
    }
}

/// How an answer was judged.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Verify {
    /// The second factor is verified, and this is its one grant.
    Verified(Grant),
    /// The step-up is done, and this is its one proof. It logs nobody in.
    Proven(Proven),
    /// The answer is refused.
    Rejected(Rejected),
    /// Nothing is decided yet. For a challenge that is completed elsewhere: ask
    /// [`claim`](crate::Engine::claim).
    Pending(Pending),
    /// The challenge is over and nothing was proven: the login goes on with its first factor alone. Only an engine
    /// with a `danger_` value answers so.
    NotRequired(NotRequired),
}

/// The proof that a step-up challenge ends with.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Proven {
    /// The proof: spend it as an [`Authority`](crate::Authority).
    pub proof: Proof,
    /// What it is good for.
    pub operation: Operation,
    /// From when on it cannot be spent.
    pub expires_at: Timestamp,
}

/// A refused answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rejected {
    /// Why; for the host's log and tests. Show [`Rejected::public`].
    pub reason: Reason,
    /// How many judged answers the challenge still has.
    pub attempts_left: u8,
    /// How long to wait, where waiting helps.
    pub retry_after: Option<Duration>,
}

impl Rejected {
    /// Returns what may be shown to whoever answered. Wrong, replayed, used and unknown are one text.
    ///
    /// ```
    /// use mfa_core::{Reason, Rejected};
    /// let shown = |reason| Rejected::new(reason, 4, None).public();
    /// assert_eq!(shown(Reason::WrongCode), shown(Reason::NotFound));
    /// assert_ne!(shown(Reason::WrongCode), shown(Reason::Locked));
    /// ```
    #[must_use]
    pub const fn public(&self) -> &'static str {
        match self.reason {
            Reason::Locked => "Too many attempts. Wait a while and try again.",
            Reason::SendLimit => "Too many messages. Wait a while, or use another method.",
            Reason::Malformed => "That is not a code. Check what you typed.",
            Reason::Unavailable | Reason::NotOffered | Reason::UnknownToProvider | Reason::IdentityTaken => {
                "This method cannot be used now."
            }
            Reason::Expired | Reason::Exhausted | Reason::Superseded | Reason::Cancelled => {
                "This sign-in has ended. Sign in again."
            }
            Reason::EnrolmentExpired => "This set-up has ended. Start again.",
            Reason::AlreadyVerified => "This method is set up already.",
            Reason::Denied | Reason::Fraud | Reason::ModuleDisabled => "The sign-in was refused.",
            Reason::WrongCode | Reason::Replayed | Reason::AlreadyUsed | Reason::NotFound => {
                "That did not work. Check the code and try the next one."
            }
        }
    }

    /// Puts a refusal together, for tests of a host.
    #[must_use]
    pub const fn new(reason: Reason, attempts_left: u8, retry_after: Option<Duration>) -> Self {
        Self { reason, attempts_left, retry_after }
    }
}

/// Nothing is decided yet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pending {
    /// What to show, as the provider defines it.
    pub prompt: Value,
}

/// The state of a challenge, without any of its secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChallengeStatus {
    /// Where it stands.
    pub status: Status,
    /// The active method's provider.
    pub kind: ProviderName,
    /// When it began.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// From when on answers are refused.
    pub expires_at: Timestamp,
    /// How many messages were sent.
    pub send_attempts: u32,
    /// How many answers were judged.
    pub verify_attempts: u32,
}

/// How a switch or a cancellation went.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub enum Changed {
    /// It is done; what to show now.
    Done(Value),
    /// It is refused.
    Rejected(Rejected),
}
