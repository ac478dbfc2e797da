//! What can be wrong with the input of this crate.

use crate::{Cost, Count, provider};

/// Says which input was refused, and by which limit.
///
/// No variant carries the refused value: it may be, or may contain, a code.
///
/// ```
/// use mfa_recovery::Count;
///
/// let error = Count::new(4).unwrap_err();
/// assert_eq!(error.code(), "invalid_count");
/// assert_eq!(error.to_string(), "count must be 5 to 12");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a recovery code or key: wrong length, a character that none has, or a checksum that
    /// does not fit.
    #[error("recovery code {reason}")]
    MalformedCode {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The number of codes is out of range.
    #[error("count must be {} to {}", Count::MIN, Count::MAX)]
    InvalidCount,
    /// The form is unknown.
    #[error("form must be codes or key")]
    InvalidForm,
    /// The issuer is empty, too long, or has a character that it must not have.
    #[error("issuer {reason} (limit {} bytes)", provider::MAX_ISSUER_BYTES)]
    InvalidIssuer {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The cost is below the floor.
    #[error(
        "cost needs a memory of at least {} KiB, and memory times passes of at least {} KiB",
        Cost::MIN_MEMORY_KIB,
        Cost::MIN_WORK_KIB
    )]
    WeakCost,
    /// The cost is more than a login can bear.
    #[error("cost must be at most {} KiB and {} passes", Cost::MAX_MEMORY_KIB, Cost::MAX_PASSES)]
    CostTooHigh,
    /// The text is not an Argon2id hash of this crate's form.
    #[error("hash {reason}")]
    InvalidHash {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// There was no memory for the hash.
    #[error("no memory for the hash")]
    OutOfMemory,
}

impl Error {
    /// Returns the error's stable name, in lower case with underscores.
    ///
    /// Names are never changed or used again for something else; messages may change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MalformedCode { .. } => "malformed_code",
            Self::InvalidCount => "invalid_count",
            Self::InvalidForm => "invalid_form",
            Self::InvalidIssuer { .. } => "invalid_issuer",
            Self::WeakCost => "weak_cost",
            Self::CostTooHigh => "cost_too_high",
            Self::InvalidHash { .. } => "invalid_hash",
            Self::OutOfMemory => "out_of_memory",
        }
    }
}
