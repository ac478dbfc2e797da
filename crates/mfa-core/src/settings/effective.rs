//! What holds for one module of an account.

use core::time::Duration;

use audit_model::{AccountId, Timestamp};

use super::{Inheritance, ModuleSettings, Modules, Origin, Settings, visible};
use crate::{Ancestor, ConfigurationId, Module};

/// How long a token of the host lives where nothing says otherwise, in seconds.
const TOKEN_EXPIRY_S: u32 = 3600;

/// One value with where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved<T> {
    /// The value that holds.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
    /// What the account's own document says, if it says anything.
    pub own: Option<T>,
    /// What would hold if it said nothing.
    pub inherited: T,
    /// Where that would come from.
    pub inherited_from: Origin,
}

/// The settings of one module that hold for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effective {
    /// Whether anybody may log in through the module. Built in: yes.
    pub enabled: Resolved<bool>,
    /// Whether failed attempts are shown among the attempts. Events are written whatever it says. Built in: yes.
    pub log_failed_attempts: Resolved<bool>,
    /// Whether successful attempts are shown. Built in: what [`Modules`] says.
    pub log_successful_attempts: Resolved<bool>,
    /// How long the host's own tokens live, in seconds. Built in: 3600.
    pub token_auth_expiry_s: Resolved<u32>,
    /// Whether the module asks for a second factor. Built in: no.
    pub multi_factor: Resolved<bool>,
    /// The provider configuration that is used; none is the system's.
    pub configuration_id: Resolved<Option<ConfigurationId>>,
    /// Whose configuration that is.
    pub account_id: Resolved<Option<AccountId>>,
    /// Whether the second factor is asked of accounts below the one that owns the configuration. Built in: no.
    pub include_subaccounts: Resolved<bool>,
    /// Whether a second factor is asked for in this account: [`Effective::multi_factor`], and the configuration is
    /// the account's own, or is nobody's, or includes accounts below its owner's, or the account owns the
    /// installation.
    pub applies: bool,
}

impl Effective {
    /// Resolves `module` for the first account of `lineage`. `set` returns the document of an account, or of the
    /// system, where it has one.
    pub fn resolve<'a>(
        module: &Module,
        modules: &Modules,
        inheritance: Inheritance,
        lineage: &[Ancestor],
        set: impl Fn(&Origin) -> Option<&'a Settings>,
    ) -> Self {
        let accounts = visible(lineage).iter().map(|ancestor| Origin::Account(ancestor.account.clone()));
        let levels: Vec<_> = accounts
            .chain([Origin::System])
            .map(|origin| {
                let document = set(&origin).filter(|document| !document.is_empty());
                (origin, document.is_some(), document.and_then(|document| document.module(module)))
            })
            .collect();
        let chain = Chain { levels, inheritance };
        let mut effective = Self {
            enabled: chain.resolve(|s| s.enabled, true),
            log_failed_attempts: chain.resolve(|s| s.log_failed_attempts, true),
            log_successful_attempts: chain
                .resolve(|s| s.log_successful_attempts, modules.shows_successes(module)),
            token_auth_expiry_s: chain.resolve(|s| s.token_auth_expiry_s, TOKEN_EXPIRY_S),
            multi_factor: chain.resolve(|s| s.multi_factor.enabled, false),
            configuration_id: chain.resolve(|s| s.multi_factor.configuration_id.map(Some), None),
            account_id: chain.resolve(|s| s.multi_factor.account_id.clone().map(Some), None),
            include_subaccounts: chain.resolve(|s| s.multi_factor.include_subaccounts, false),
            applies: false,
        };
        if inheritance == Inheritance::FirstDocument {
            effective.owner_is_implied();
        }
        effective.applies = effective.applies_to(lineage);
        effective
    }

    /// Returns when a token of the host that is made now ends.
    #[must_use]
    pub fn token_expires_at(&self, now: Timestamp) -> Timestamp {
        now.plus(Duration::from_secs(self.token_auth_expiry_s.value.into()))
    }

    /// A document that holds whole names its configurations without an owner: they are of the account it is of.
    fn owner_is_implied(&mut self) {
        let owner = |origin: &Origin| match origin {
            Origin::Account(account) => Some(account.clone()),
            Origin::System | Origin::BuiltIn => None,
        };
        if self.account_id.value.is_none() && self.configuration_id.value.is_some() {
            self.account_id.value = owner(&self.configuration_id.origin);
            self.account_id.origin = self.configuration_id.origin.clone();
        }
    }

    fn applies_to(&self, lineage: &[Ancestor]) -> bool {
        let Some(own) = lineage.first() else { return false };
        let reaches = match &self.account_id.value {
            None => true,
            Some(owner) => own.master || *owner == own.account || self.include_subaccounts.value,
        };
        self.multi_factor.value && reaches
    }
}

/// The module's settings of each level, the account's own first and the system's last; whether the level has a
/// document at all.
struct Chain<'a> {
    levels: Vec<(Origin, bool, Option<&'a ModuleSettings>)>,
    inheritance: Inheritance,
}

impl Chain<'_> {
    fn resolve<T: Clone>(&self, leaf: impl Fn(&ModuleSettings) -> Option<T>, built_in: T) -> Resolved<T> {
        let own = self.levels.first().and_then(|(_, _, settings)| leaf((*settings)?));
        let (value, origin) = self.find(0, &leaf, &built_in);
        let (inherited, inherited_from) = self.find(1, &leaf, &built_in);
        Resolved { value, origin, own, inherited, inherited_from }
    }

    /// Finds the value from a level on.
    fn find<T: Clone>(
        &self,
        from: usize,
        leaf: impl Fn(&ModuleSettings) -> Option<T>,
        built_in: &T,
    ) -> (T, Origin) {
        let mut above = self.levels.iter().skip(from);
        let found = match self.inheritance {
            Inheritance::NearestWins => {
                above.find_map(|(origin, _, settings)| Some((leaf((*settings)?)?, origin.clone())))
            }
            Inheritance::FirstDocument => above
                .find(|(_, has_document, _)| *has_document)
                .and_then(|(origin, _, settings)| Some((leaf((*settings)?)?, origin.clone()))),
        };
        found.unwrap_or_else(|| (built_in.clone(), Origin::BuiltIn))
    }
}
