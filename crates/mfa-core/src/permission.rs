//! Who may do what: one table of (operation, by whose right).

use serde::{Deserialize, Serialize};

use crate::{Forbidden, Operation};

/// By whose right a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Right {
    /// The host's own code vouches for it.
    Host,
    /// The user, with a proof made for this very change.
    Own,
    /// Another user of the account or of one above it, with a proof of their own for this very change.
    Administrator,
    /// A user who passed a first factor and whom the policy lets in only with a method.
    Ticket,
    /// A user who passed a first factor.
    FirstFactor,
}

impl Right {
    /// Returns whether it reaches no further than a first method.
    pub(crate) const fn is_for_first_method(self) -> bool {
        matches!(self, Self::Ticket | Self::FirstFactor)
    }
}

/// When a right is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Permission {
    Always,
    /// While the user has no method.
    FirstMethodOnly,
    /// Unless the policy asks every user for a method.
    UnlessEnforced,
    Never(Forbidden),
}

use Permission::{Always, FirstMethodOnly, Never, UnlessEnforced};

const NO: Permission = Never(Forbidden::NotPermitted);
const PROOF: Permission = Never(Forbidden::StepUpRequired);

/// Returns when `right` is enough for `operation`: the table.
///
/// | operation | host | own proof | administrator's proof | ticket | first factor |
/// |---|---|---|---|---|---|
/// | add a method | yes | yes | yes | first only | first only |
/// | remove a method | yes | yes | yes | – | – |
/// | prefer a method | yes | yes | yes | – | – |
/// | issue recovery | yes | yes | –: the codes would be shown to another; the user's own proof is needed | – | – |
/// | disable | yes | unless enforced | never: that is a reset | – | – |
/// | unlock, reset, bypass | yes | never | yes | – | – |
/// | forget | yes | unless enforced | yes | – | – |
/// | trust a device no more | yes | yes | yes | – | yes |
/// | ban a device | yes | yes | yes | – | – |
/// | exempt programs of a user, end an exemption | yes | never: nobody exempts themselves | yes | – | – |
/// | change settings or policy of an account | yes | never: an account has no proof of its own | yes | – | – |
/// | change or show a provider configuration of an account | yes | never: an account has no proof of its own | yes | – | – |
/// | issue, show, remove an API key | yes | never: an account has no proof of its own | yes | – | – |
pub(crate) const fn permission(operation: Operation, right: Right) -> Permission {
    match (operation, right) {
        // Whoever has the password alone may ask for a second step again, and change nothing else.
        (_, Right::Host) | (Operation::RevokeDevice, Right::FirstFactor) => Always,
        (Operation::AddMethod, Right::Ticket | Right::FirstFactor) => FirstMethodOnly,
        (_, Right::Ticket | Right::FirstFactor) => PROOF,
        (
            Operation::AddMethod
            | Operation::RemoveMethod
            | Operation::PreferMethod
            | Operation::RevokeDevice
            | Operation::BanDevice,
            Right::Own | Right::Administrator,
        )
        | (Operation::IssueRecovery, Right::Own)
        | (
            Operation::Unlock
            | Operation::Reset
            | Operation::Bypass
            | Operation::Forget
            | Operation::GrantExemption
            | Operation::EndExemption
            | Operation::IssueApiKey
            | Operation::ShowApiKey
            | Operation::RemoveApiKey
            | Operation::ChangeSettings
            | Operation::ChangePolicy
            | Operation::ChangeConfiguration
            | Operation::ShowConfiguration,
            Right::Administrator,
        ) => Always,
        (Operation::Disable | Operation::Forget, Right::Own) => UnlessEnforced,
        // Another's proof is as good as none.
        (Operation::IssueRecovery, Right::Administrator) => PROOF,
        (
            Operation::Unlock
            | Operation::Reset
            | Operation::Bypass
            | Operation::GrantExemption
            | Operation::EndExemption
            | Operation::IssueApiKey
            | Operation::ShowApiKey
            | Operation::RemoveApiKey
            | Operation::ChangeSettings
            | Operation::ChangePolicy
            | Operation::ChangeConfiguration
            | Operation::ShowConfiguration,
            Right::Own,
        )
        | (Operation::Disable, Right::Administrator) => NO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHTS: [Right; 5] =
        [Right::Host, Right::Own, Right::Administrator, Right::Ticket, Right::FirstFactor];

    /// The table once more, as the letters an administrator's manual would print.
    #[test]
    fn who_may_do_what_is_as_the_table_says() {
        let rows = [
            (Operation::AddMethod, "yyyff"),
            (Operation::RemoveMethod, "yyypp"),
            (Operation::PreferMethod, "yyypp"),
            (Operation::IssueRecovery, "yyppp"),
            (Operation::Disable, "yunpp"),
            (Operation::Unlock, "ynypp"),
            (Operation::Reset, "ynypp"),
            (Operation::Bypass, "ynypp"),
            (Operation::Forget, "yuypp"),
            (Operation::RevokeDevice, "yyypy"),
            (Operation::BanDevice, "yyypp"),
            (Operation::GrantExemption, "ynypp"),
            (Operation::EndExemption, "ynypp"),
            (Operation::IssueApiKey, "ynypp"),
            (Operation::ShowApiKey, "ynypp"),
            (Operation::RemoveApiKey, "ynypp"),
            (Operation::ChangeSettings, "ynypp"),
            (Operation::ChangePolicy, "ynypp"),
            (Operation::ChangeConfiguration, "ynypp"),
            (Operation::ShowConfiguration, "ynypp"),
        ];
        assert_eq!(rows.map(|(operation, _)| operation), Operation::ALL);
        for (operation, row) in rows {
            for (right, letter) in RIGHTS.into_iter().zip(row.chars()) {
                let expected = match letter {
                    'y' => Always,
                    'f' => FirstMethodOnly,
                    'u' => UnlessEnforced,
                    'n' => NO,
                    _ => PROOF,
                };
                assert_eq!(permission(operation, right), expected, "{operation} by {right:?}");
            }
        }
    }
}
