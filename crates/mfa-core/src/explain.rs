//! Why a login is asked for what it is asked for.

use std::borrow::Cow;

use crate::{DeniedReason, DeviceId, EnrolmentId, NotRequired};

/// One rule that took part in a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rule {
    /// Its name: a knob of the policy, or a fact.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// Where the value came from: `policy`, `store`, `budget`, `host` or `user`; of what a document set, the id of the
    /// account or `system`; of settings that none did, `builtin`.
    pub origin: Cow<'static, str>,
}

/// What a begin would answer, and the rules that lead there, in order. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// What a begin would answer.
    pub outcome: ExplainedOutcome,
    /// The rules, in the order they were applied.
    pub rules: Vec<Rule>,
}

/// What a begin would answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExplainedOutcome {
    /// A challenge with this method.
    Challenge(EnrolmentId),
    /// Nothing more.
    NotRequired(NotRequired),
    /// Nothing more, from a device that is trusted.
    TrustedDevice(DeviceId),
    /// An enrolment.
    EnrolmentRequired,
    /// A refusal.
    Denied(DeniedReason),
}

impl ExplainedOutcome {
    /// Returns the stable name: `challenge`, `not_required`, `trusted_device`, `enrolment_required` or
    /// `denied`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Challenge(_) => "challenge",
            Self::NotRequired(_) => "not_required",
            Self::TrustedDevice(_) => "trusted_device",
            Self::EnrolmentRequired => "enrolment_required",
            Self::Denied(_) => "denied",
        }
    }
}
