//! Why an answer is refused, why a login is denied, and what an answer costs.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::Operation;

/// What a step is for. A challenge of one purpose never yields another purpose's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Purpose {
    /// To log in.
    Login,
    /// To confirm a method that is being enrolled.
    Enrol,
    /// To prove, for one change, that the user is there.
    StepUp(Operation),
}

/// Why an answer was refused. For the host's log and tests; show [`Rejected::public`](crate::Rejected::public).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Reason {
    /// Judged, and wrong.
    WrongCode,
    /// Not of the form the method asks for; not judged.
    Malformed,
    /// Right, but used before.
    Replayed,
    /// The challenge's life is over.
    Expired,
    /// The challenge's attempts are used up.
    Exhausted,
    /// Too many failures; not judged.
    Locked,
    /// The challenge was completed before.
    AlreadyUsed,
    /// Something else ended the challenge: a revocation, a change of the user's methods.
    Superseded,
    /// The challenge was cancelled.
    Cancelled,
    /// No such challenge, or not this browser's.
    NotFound,
    /// The provider refused.
    Denied,
    /// The user reported that it was not them.
    Fraud,
    /// The method cannot be used now: not offered, not registered, its secret does not open.
    Unavailable,
    /// The method named is not one that the challenge offers.
    NotOffered,
    /// The pending enrolment's life is over.
    EnrolmentExpired,
    /// The enrolment was confirmed before.
    AlreadyVerified,
    /// Too many messages or pushes were sent to the user; nothing was sent.
    SendLimit,
    /// The provider's service does not know the user.
    UnknownToProvider,
    /// The module that the login comes through was disabled meanwhile.
    ModuleDisabled,
    /// Another user has set up the method for whom the provider's service takes this one, too.
    IdentityTaken,
}

impl Reason {
    /// Every reason, in the table's order.
    pub const ALL: [Self; 20] = [
        Self::WrongCode,
        Self::Malformed,
        Self::Replayed,
        Self::Expired,
        Self::Exhausted,
        Self::Locked,
        Self::AlreadyUsed,
        Self::Superseded,
        Self::Cancelled,
        Self::NotFound,
        Self::Denied,
        Self::Fraud,
        Self::Unavailable,
        Self::NotOffered,
        Self::EnrolmentExpired,
        Self::AlreadyVerified,
        Self::SendLimit,
        Self::UnknownToProvider,
        Self::ModuleDisabled,
        Self::IdentityTaken,
    ];

    /// Returns the stable name, as in `wrong_code`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::WrongCode => "wrong_code",
            Self::Malformed => "malformed",
            Self::Replayed => "replayed",
            Self::Expired => "expired",
            Self::Exhausted => "exhausted",
            Self::Locked => "locked",
            Self::AlreadyUsed => "already_used",
            Self::Superseded => "superseded",
            Self::Cancelled => "cancelled",
            Self::NotFound => "not_found",
            Self::Denied => "denied",
            Self::Fraud => "fraud",
            Self::Unavailable => "unavailable",
            Self::NotOffered => "method_not_offered",
            Self::EnrolmentExpired => "enrolment_expired",
            Self::AlreadyVerified => "already_verified",
            Self::SendLimit => "send_limit",
            Self::UnknownToProvider => "user_not_found",
            Self::ModuleDisabled => "module_disabled",
            Self::IdentityTaken => "identity_taken",
        }
    }

    pub(crate) const fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// What an answer costs: the table, one row a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Takes one of the challenge's attempts.
    pub(crate) attempt: bool,
    /// Counts as a judged failure of the enrolment and of the user.
    pub(crate) budget: bool,
    /// Counts towards the twenty malformed answers that end a challenge.
    pub(crate) malformed: bool,
    /// Ends the challenge.
    pub(crate) ends: bool,
    /// Counts as another push.
    pub(crate) push: bool,
    /// When an event is written.
    pub(crate) event: When,
}

/// When a refusal is an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Every time.
    Each,
    /// The first time for this challenge and reason.
    First,
    /// Never: only counted.
    Never,
}

impl Cost {
    const FREE: Self = Self {
        attempt: false,
        budget: false,
        malformed: false,
        ends: false,
        push: false,
        event: When::First,
    };

    pub(crate) const fn of(reason: Reason) -> Self {
        match reason {
            Reason::WrongCode => Self { attempt: true, budget: true, event: When::Each, ..Self::FREE },
            Reason::Malformed => Self { malformed: true, ..Self::FREE },
            Reason::Replayed => Self { attempt: true, ..Self::FREE },
            Reason::Denied => Self { ends: true, push: true, event: When::Each, ..Self::FREE },
            Reason::Fraud => Self { ends: true, budget: true, event: When::Each, ..Self::FREE },
            Reason::NotFound | Reason::NotOffered => Self { event: When::Never, ..Self::FREE },
            Reason::Expired
            | Reason::Exhausted
            | Reason::Locked
            | Reason::AlreadyUsed
            | Reason::Superseded
            | Reason::Cancelled
            | Reason::Unavailable
            | Reason::EnrolmentExpired
            | Reason::AlreadyVerified
            | Reason::SendLimit
            | Reason::UnknownToProvider
            | Reason::ModuleDisabled
            | Reason::IdentityTaken => Self::FREE,
        }
    }
}
