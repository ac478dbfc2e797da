//! The changes that a proof may be made for, and what exactly one such change is.

use core::fmt;

use audit_model::{AccountId, UserId};
use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::settings::Change;
use crate::{
    Account, ConfigurationId, DeviceId, EnrolmentId, ExemptionId, ExemptionTerms, ProviderName, Subject,
};

macro_rules! operations {
    ($( $(#[$doc:meta])* $variant:ident = $code:literal; )*) => {
        /// A kind of change to what protects a user, or an account. Each is a purpose of its own: a proof for one is good for
        /// no other.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Operation {
            $( $(#[$doc])* $variant, )*
        }

        impl Operation {
            /// Every operation.
            pub const ALL: [Self; 20] = [$( Self::$variant, )*];

            /// Returns the stable name, as in `remove_method`.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $( Self::$variant => $code, )* }
            }

            /// Returns the operation of a stable name.
            #[must_use]
            pub fn from_code(code: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|operation| operation.code() == code)
            }
        }
    };
}

operations! {
    /// Enrol another method, or invite a user to enrol a first one.
    AddMethod = "add_method";
    /// Remove a method.
    RemoveMethod = "remove_method";
    /// Make a method the one that is asked for first.
    PreferMethod = "prefer_method";
    /// Issue new recovery codes or a new recovery key; the old ones are void.
    IssueRecovery = "issue_recovery";
    /// Give up the second factor: every method, recovery included.
    Disable = "disable";
    /// Lift the delays and stops that failures brought.
    Unlock = "unlock";
    /// Take every method away from a user who lost them.
    Reset = "reset";
    /// Issue a code that lets a user in once.
    Bypass = "bypass";
    /// Delete everything that is kept of a user.
    Forget = "forget";
    /// Trust a device, or all of them, no more.
    RevokeDevice = "revoke_device";
    /// Never trust a device again.
    BanDevice = "ban_device";
    /// Exempt logins of a user's programs from the second step.
    GrantExemption = "grant_exemption";
    /// End an exemption of a user's programs.
    EndExemption = "end_exemption";
    /// Issue an API key to an account; the one before is dead.
    IssueApiKey = "issue_api_key";
    /// Show an account's API key.
    ShowApiKey = "show_api_key";
    /// Remove an account's API key.
    RemoveApiKey = "remove_api_key";
    /// Change what an account sets for modules.
    ChangeSettings = "change_settings";
    /// Change what an account sets of the policy.
    ChangePolicy = "change_policy";
    /// Make, change or delete a provider configuration of an account.
    ChangeConfiguration = "change_configuration";
    /// Show a provider configuration of an account with its settings.
    ShowConfiguration = "show_configuration";
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One change: the operation, of whom or of which account, and what of them. A proof is bound to all of it.
///
/// ```
/// use mfa_core::{AccountId, Intent, Operation, ProviderName, Subject, UserId};
/// let bob = Subject::new(AccountId::parse("acme").unwrap(), UserId::parse("bob").unwrap());
/// let add = Intent::add_method(&bob, &ProviderName::parse("totp").unwrap());
/// assert_eq!(add.operation(), Operation::AddMethod);
/// assert_ne!(add, Intent::disable(&bob));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    operation: Operation,
    account: AccountId,
    /// Nobody for what an account has.
    user: Option<UserId>,
    detail: String,
}

impl Intent {
    /// Enrols a method of `provider` for `whom`; by an administrator for another user, invites them to.
    #[must_use]
    pub fn add_method(whom: &Subject, provider: &ProviderName) -> Self {
        Self::new(Operation::AddMethod, whom).about(provider.as_str())
    }

    /// Removes the enrolment `id` of `whom`.
    #[must_use]
    pub fn remove_method(whom: &Subject, id: EnrolmentId) -> Self {
        Self::new(Operation::RemoveMethod, whom).about(&id.to_string())
    }

    /// Prefers the enrolment `id` of `whom`.
    #[must_use]
    pub fn prefer_method(whom: &Subject, id: EnrolmentId) -> Self {
        Self::new(Operation::PreferMethod, whom).about(&id.to_string())
    }

    /// Issues a new recovery set to `whom`.
    #[must_use]
    pub fn issue_recovery(whom: &Subject) -> Self {
        Self::new(Operation::IssueRecovery, whom)
    }

    /// Gives up the second factor of `whom`.
    #[must_use]
    pub fn disable(whom: &Subject) -> Self {
        Self::new(Operation::Disable, whom)
    }

    /// Unlocks `whom`.
    #[must_use]
    pub fn unlock(whom: &Subject) -> Self {
        Self::new(Operation::Unlock, whom)
    }

    /// Resets `whom`.
    #[must_use]
    pub fn reset(whom: &Subject) -> Self {
        Self::new(Operation::Reset, whom)
    }

    /// Lets `whom` in once.
    #[must_use]
    pub fn bypass(whom: &Subject) -> Self {
        Self::new(Operation::Bypass, whom)
    }

    /// Deletes everything that is kept of `whom`.
    #[must_use]
    pub fn forget(whom: &Subject) -> Self {
        Self::new(Operation::Forget, whom)
    }

    /// Trusts the device `id` of `whom` no more; none of their devices without an id.
    #[must_use]
    pub fn revoke_device(whom: &Subject, id: Option<DeviceId>) -> Self {
        let detail = id.map(|id| id.to_string()).unwrap_or_default();
        Self::new(Operation::RevokeDevice, whom).about(&detail)
    }

    /// Never trusts the device `id` of `whom` again.
    #[must_use]
    pub fn ban_device(whom: &Subject, id: DeviceId) -> Self {
        Self::new(Operation::BanDevice, whom).about(&id.to_string())
    }

    /// Exempts logins of the programs of `whom` by these very terms.
    #[must_use]
    pub fn grant_exemption(whom: &Subject, terms: &ExemptionTerms) -> Self {
        Self::new(Operation::GrantExemption, whom).about(&terms.to_detail())
    }

    /// Ends the exemption `id` of the programs of `whom`.
    #[must_use]
    pub fn end_exemption(whom: &Subject, id: ExemptionId) -> Self {
        Self::new(Operation::EndExemption, whom).about(&id.to_string())
    }

    /// Issues an API key to `account`, in place of the one it has.
    #[must_use]
    pub fn issue_api_key(account: &Account) -> Self {
        Self::of_account(Operation::IssueApiKey, account)
    }

    /// Shows the API key of `account`.
    #[must_use]
    pub fn show_api_key(account: &Account) -> Self {
        Self::of_account(Operation::ShowApiKey, account)
    }

    /// Removes the API key of `account`.
    #[must_use]
    pub fn remove_api_key(account: &Account) -> Self {
        Self::of_account(Operation::RemoveApiKey, account)
    }

    /// Makes this very change to the settings of `account`.
    #[must_use]
    pub fn change_settings(account: &Account, change: Change<'_>) -> Self {
        Self::of_account(Operation::ChangeSettings, account).about(&of_change(change))
    }

    /// Makes this very change to the policy of `account`.
    #[must_use]
    pub fn change_policy(account: &Account, change: Change<'_>) -> Self {
        Self::of_account(Operation::ChangePolicy, account).about(&of_change(change))
    }

    /// Makes this very change to the provider configuration `id` of `account`: none makes one with [`Change::Put`], and
    /// deletes all with [`Change::Delete`].
    #[must_use]
    pub fn change_configuration(account: &Account, id: Option<ConfigurationId>, change: Change<'_>) -> Self {
        // What is written may hold keys, and an intent stays.
        let change = Zeroizing::new(of_change(change));
        let digest: [u8; 32] = Sha256::digest(change.as_bytes()).into();
        let id = id.map(|id| id.to_string()).unwrap_or_default();
        let detail = format!("{id} {}", HEXLOWER.encode(&digest));
        Self::of_account(Operation::ChangeConfiguration, account).about(&detail)
    }

    /// Shows the provider configuration `id` of `account` with its settings.
    #[must_use]
    pub fn show_configuration(account: &Account, id: ConfigurationId) -> Self {
        Self::of_account(Operation::ShowConfiguration, account).about(&id.to_string())
    }

    /// Returns the operation.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    fn new(operation: Operation, whom: &Subject) -> Self {
        let (account, user) = (whom.account().clone(), Some(whom.user().clone()));
        Self { operation, account, user, detail: String::new() }
    }

    fn of_account(operation: Operation, account: &Account) -> Self {
        Self { operation, account: account.id().clone(), user: None, detail: String::new() }
    }

    pub(crate) const fn account(&self) -> &AccountId {
        &self.account
    }

    /// Returns the user it is about; nobody for what an account has.
    pub(crate) const fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    fn about(mut self, detail: &str) -> Self {
        detail.clone_into(&mut self.detail);
        self
    }

    /// Returns the enrolment that the change is about, where it is about one.
    pub(crate) fn enrolment(&self) -> Option<EnrolmentId> {
        match self.operation {
            Operation::RemoveMethod | Operation::PreferMethod => self.detail.parse().ok(),
            _ => None,
        }
    }

    /// Returns what a challenge and a proof keep of it: two changes that differ in anything differ in this.
    pub(crate) fn digest(&self) -> [u8; 32] {
        // No user's id is empty.
        let user = self.user.as_ref().map_or("", UserId::as_str);
        let parts = [self.operation.code(), self.account.as_str(), user, &self.detail];
        Sha256::digest(crate::codec::tuple(&parts.map(str::as_bytes))).into()
    }
}

/// Says what a change to a document is: what is done, and with which words.
fn of_change(change: Change<'_>) -> String {
    match change {
        Change::Put(document) | Change::Patch(document) => format!("{} {document}", change.code()),
        Change::Delete => change.code().to_owned(),
    }
}
