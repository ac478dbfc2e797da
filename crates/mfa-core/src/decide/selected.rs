//! The provider configuration that a module selects, and what becomes of its provider in a step.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use audit_model::{AccountId, Scope};
use serde_json::json;

use super::held::Documents;
use super::{Registered, Rules};
use crate::driver::Records;
use crate::policy::Trigger;
use crate::record::configurations::{Configurations, Stored};
use crate::record::login::OfConfiguration;
use crate::settings::{Clear, Effective, Origin, visible};
use crate::{Ancestor, ConfigurationId, Error, ProviderName, Role};

/// Kazoo's words for a login that finds no provider.
pub(crate) const NOT_CONFIGURED: &str = "no multi factor authentication provider is configured";

/// Which configuration is named: nobody's is the system's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    owner: Option<AccountId>,
    id: ConfigurationId,
}

impl Named {
    /// Returns what a module names: it takes both an owner and an id. A document of the system that holds whole names
    /// the system's.
    pub(super) fn by(module: &Effective) -> Option<Self> {
        let id = module.configuration_id.value?;
        let owner = module.account_id.value.clone();
        let of_system = owner.is_none() && module.configuration_id.origin == Origin::System;
        (owner.is_some() || of_system).then_some(Self { owner, id })
    }

    /// Returns what all modules name that ask for a second factor, where they name the same.
    pub(super) fn by_all(modules: impl Iterator<Item = Effective>) -> Option<Self> {
        let mut named = modules.filter(|module| module.applies).map(|module| Self::by(&module));
        let first = named.next()??;
        named.all(|other| other.as_ref() == Some(&first)).then_some(first)
    }
}

/// What is selected for a step.
#[derive(Clone, Debug)]
pub(crate) enum Selected {
    /// A configuration of this provider.
    Usable(ProviderName),
    Unusable(Unusable),
}

/// Why nothing can come of what is selected. Shown as Kazoo says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// There is none, it is not one that the account may use, or its provider is no second factor that is registered.
    Missing,
    /// It is of an account below one that enforces a method and accepts no configurations of those below it.
    NotAccepted,
    Disabled(ProviderName),
    /// Its provider refuses the settings: which of them, and whether it is not there.
    Invalid {
        provider: ProviderName,
        key: String,
        is_missing: bool,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str(NOT_CONFIGURED),
            Self::NotAccepted => f.write_str("the multi factor authentication provider is not accepted"),
            Self::Disabled(provider) => write!(f, "provider {provider} is disabled"),
            Self::Invalid { provider, key, is_missing } => {
                let what = if *is_missing { "missing" } else { "invalid" };
                write!(f, "invalid {provider} configuration, {provider} {key} config key is {what}")
            }
        }
    }
}

/// A configuration that was found, opened.
pub(super) enum Found {
    Usable { provider: ProviderName, of: OfConfiguration, settings: Clear },
    Unusable(Unusable),
}

impl Found {
    /// Returns the engine's providers as they are with it: the one that it is of has its settings, or none.
    pub(super) fn applied(self, rules: &Rules) -> (Arc<BTreeMap<ProviderName, Registered>>, Selected) {
        let (name, settings, of, selected) = match self {
            Self::Usable { provider, of, settings } => {
                (provider.clone(), Some(Arc::new(settings)), Some(of), Selected::Usable(provider))
            }
            Self::Unusable(why) => {
                let (Unusable::Disabled(provider) | Unusable::Invalid { provider, .. }) = &why else {
                    return (Arc::clone(&rules.providers), Selected::Unusable(why));
                };
                (provider.clone(), None, None, Selected::Unusable(why))
            }
        };
        let mut all = BTreeMap::clone(&rules.providers);
        if let Some(provider) = all.get_mut(&name) {
            (provider.settings, provider.configuration) = (settings, of);
        }
        (Arc::new(all), selected)
    }
}

impl Rules {
    /// Finds the configuration that is named; where none is, the system's of the default provider. `None` where the
    /// system has none either: then what the host registered holds. Those of accounts below `from` are not accepted.
    pub(super) fn selected(
        &self,
        named: Option<Named>,
        from: Option<&Origin>,
        lineage: &[Ancestor],
        records: &Records,
    ) -> Result<Option<Found>, Error> {
        let Some(Named { owner, id }) = named else {
            let Some(all) = self.configurations(records, Scope::System)? else { return Ok(None) };
            let of_default = |stored: &&Stored| stored.provider == self.default_provider;
            let enabled = all.all.iter().filter(of_default).find(|stored| stored.enabled);
            let found = enabled.or_else(|| all.all.iter().find(of_default));
            return found.map(|stored| self.opened(stored, None)).transpose();
        };
        let may = owner
            .as_ref()
            .is_none_or(|owner| visible(lineage).iter().any(|ancestor| ancestor.account == *owner));
        if !may {
            return Ok(Some(Found::Unusable(Unusable::Missing)));
        }
        if owner.as_ref().is_some_and(|owner| !is_accepted(owner, from, lineage)) {
            return Ok(Some(Found::Unusable(Unusable::NotAccepted)));
        }
        let scope = owner.clone().map_or(Scope::System, Scope::Account);
        let all: Option<Arc<Configurations>> = self.configurations(records, scope)?;
        match all.as_ref().and_then(|all| all.find(id)) {
            Some(stored) => self.opened(stored, owner).map(Some),
            None => Ok(Some(Found::Unusable(Unusable::Missing))),
        }
    }

    /// Opens a configuration and asks its provider about it. What does not open is an error, and not its absence.
    fn opened(&self, stored: &Stored, owner: Option<AccountId>) -> Result<Found, Error> {
        let provider = stored.provider.clone();
        // A way back in is nobody's second factor.
        let is_factor = |registered: &&Registered| registered.code.describe().role == Role::Factor;
        let Some(registered) = self.providers.get(&provider).filter(is_factor) else {
            return Ok(Found::Unusable(Unusable::Missing));
        };
        if !stored.enabled {
            return Ok(Found::Unusable(Unusable::Disabled(provider)));
        }
        let scope = owner.clone().map_or(Scope::System, Scope::Account);
        let settings = stored.open(&self.ring, &scope)?.take_settings().unwrap_or(Clear(json!({})));
        if let Err(errors) = registered.code.validate(&settings.0) {
            let first = errors.into_iter().next();
            let is_missing =
                first.as_ref().is_some_and(|error| ["required", "missing"].contains(&error.code));
            let key = first.map(|error| error.field).unwrap_or_default();
            return Ok(Found::Unusable(Unusable::Invalid { provider, key, is_missing }));
        }
        let of = OfConfiguration { owner, id: stored.id };
        Ok(Found::Usable { provider, of, settings })
    }

    /// Returns whether a second factor is asked of this login by a module whose configuration cannot be used.
    pub(crate) fn asks_in_vain(&self) -> bool {
        let module = self.documents.module.as_ref();
        module.is_some_and(|module| module.applies) && self.documents.unusable().is_some()
    }

    /// Returns whether a provider is what the module asks for: where modules decide, the one whose configuration they
    /// select. Ways back are asked for whatever is.
    pub(crate) fn is_asked_for(&self, provider: &Registered) -> bool {
        let by_module = self.policy.trigger() == Trigger::PerModule
            && self.documents.module.as_ref().is_some_and(|module| module.applies);
        match &self.documents.selected {
            Some(Selected::Usable(selected)) if by_module => {
                *selected == provider.name || provider.code.describe().role == Role::Recovery
            }
            _ => true,
        }
    }
}

/// Returns whether an account of the lineage is `from` or is above it. The system is above all.
fn is_accepted(owner: &AccountId, from: Option<&Origin>, lineage: &[Ancestor]) -> bool {
    let place = |account: &AccountId| lineage.iter().position(|ancestor| ancestor.account == *account);
    match from {
        None => true,
        Some(Origin::Account(from)) => place(owner) >= place(from),
        Some(_) => false,
    }
}

impl Documents {
    pub(crate) const fn unusable(&self) -> Option<&Unusable> {
        match &self.selected {
            Some(Selected::Unusable(why)) => Some(why),
            _ => None,
        }
    }
}
