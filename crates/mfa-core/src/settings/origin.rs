//! Where a value came from, and which accounts of a lineage one inherits from.

use core::fmt;

use audit_model::{AccountId, Scope};

use crate::Ancestor;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A document of this account.
    Account(AccountId),
    /// The system's document.
    System,
    /// No document: the preset of the host's code.
    BuiltIn,
}

impl Origin {
    /// Returns whose document it is; `None` for what no document said.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Self::Account(account) => Some(Scope::Account(account.clone())),
            Self::System => Some(Scope::System),
            Self::BuiltIn => None,
        }
    }
}

/// The id of the account, `system` or `builtin`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(account) => f.write_str(account.as_str()),
            Self::System => f.write_str("system"),
            Self::BuiltIn => f.write_str("builtin"),
        }
    }
}

/// Returns whom an account inherits from, itself first: its ancestors up to and including the first reseller. An
/// account that is a reseller itself inherits from the system alone.
pub(crate) fn visible(lineage: &[Ancestor]) -> &[Ancestor] {
    let reseller = lineage.iter().position(|ancestor| ancestor.reseller);
    reseller.and_then(|last| lineage.get(..=last)).unwrap_or(lineage)
}
