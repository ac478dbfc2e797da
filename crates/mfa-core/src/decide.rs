//! The decisions: pure functions of (records, event, now, randomness) to writes, events and an answer.

pub(crate) mod api_key;
pub(crate) mod arrive;
pub(crate) mod authorise;
pub(crate) mod barrier;
pub(crate) mod begin;
mod bind;
mod call;
pub(crate) mod case;
mod charge;
pub(crate) mod configuration;
pub(crate) mod confirm;
pub(crate) mod decoy;
pub(crate) mod device;
pub(crate) mod document;
pub(crate) mod effects;
pub(crate) mod enrol;
pub(crate) mod exempt;
mod fallback;
pub(crate) mod forget;
pub(crate) mod held;
pub(crate) mod identity;
pub(crate) mod judge;
pub(crate) mod link;
mod make;
pub(crate) mod manage;
pub(crate) mod message;
pub(crate) mod notice;
pub(crate) mod outbox;
pub(crate) mod paths;
mod pending;
pub(crate) mod permit;
pub(crate) mod recovery;
pub(crate) mod rescue;
pub(crate) mod reseal;
mod revoke;
pub(crate) mod selected;
pub(crate) mod sends;
pub(crate) mod slots;
pub(crate) mod standing;
mod succeed;
pub(crate) mod survey;
pub(crate) mod trust;
pub(crate) mod unlock;
mod unproven;
mod wording;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use serde_json::Value;

use self::held::{Documents, Kept};
use crate::provider::{AnyProvider, Identity};
use crate::record::login::{Enrolment, Login, OfConfiguration};
use crate::settings::{Clear, Modules};
use crate::{
    KeyRing, Method, MethodSelector, Policy, ProviderError, ProviderName, RecoveryForm, Role, SecretBytes,
    bypass,
};

/// What every decision knows of the engine, and of what holds for the account that it is about.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) ring: KeyRing,
    pub(crate) policy: Policy,
    pub(crate) providers: Arc<BTreeMap<ProviderName, Registered>>,
    pub(crate) dangers: Dangers,
    /// Those that there are settings for. Without any, no documents are read.
    pub(crate) modules: Arc<Modules>,
    pub(crate) documents: Documents,
    pub(crate) parsed: Arc<Kept>,
    /// The provider whose configuration of the system is used where a module names none.
    pub(crate) default_provider: ProviderName,
}

/// What host code has allowed that lets users in without proof.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Dangers {
    /// A provider's own bypass is enough for a login.
    pub(crate) provider_bypass: bool,
    /// How often in an hour a user is let in while a provider cannot be reached.
    pub(crate) fail_open: u8,
}

/// A provider of this engine with the settings that hold for a step, which may hold secrets.
#[derive(Clone)]
pub(crate) struct Registered {
    pub(crate) name: ProviderName,
    pub(crate) code: Arc<dyn AnyProvider>,
    /// None for one that the host registered for configurations alone.
    settings: Option<Arc<Clear>>,
    /// Where the settings are from, where they are not the host's own.
    pub(crate) configuration: Option<OfConfiguration>,
    /// A secret and an enrolment that are nobody's, once a decoy has needed them.
    pub(crate) nobodys: Arc<OnceLock<Nobodys>>,
}

/// What an enrolment of nobody would have.
#[derive(Debug)]
pub(crate) struct Nobodys {
    pub(crate) secret: SecretBytes,
    pub(crate) data: Option<Vec<u8>>,
}

impl Registered {
    pub(crate) fn new(name: ProviderName, code: Arc<dyn AnyProvider>, settings: Option<Value>) -> Self {
        let settings = settings.map(|settings| Arc::new(Clear(settings)));
        Self { name, code, settings, configuration: None, nobodys: Arc::default() }
    }

    /// Returns the settings; of a provider without any, which nothing uses, `null`.
    pub(crate) fn settings(&self) -> &Value {
        self.settings.as_ref().map_or(&Value::Null, |settings| &settings.0)
    }

    /// Returns whom an enrolment by `secret` means at the provider's service, where that can be another user's, too.
    pub(crate) fn identity(&self, secret: &[u8]) -> Result<Option<Identity>, ProviderError> {
        self.code.identity(self.settings(), secret)
    }
}

impl Rules {
    /// Returns a provider that is registered and that the policy offers.
    pub(crate) fn usable(&self, provider: &ProviderName) -> Option<&Registered> {
        self.providers.get(provider).filter(|provider| self.can_use(provider))
    }

    /// Returns the provider of an enrolment, if it is usable as this enrolment's: with the configuration that it was made
    /// under, and of the provider that the module asks for.
    pub(crate) fn usable_for(&self, enrolment: &Enrolment) -> Option<&Registered> {
        let of_it = |provider: &&Registered| provider.configuration == enrolment.configuration;
        self.usable(&enrolment.provider).filter(of_it)
    }

    /// Returns whether a provider has settings, is offered by the policy, and is what the module asks for.
    pub(crate) fn can_use(&self, provider: &Registered) -> bool {
        provider.settings.is_some() && self.offers(provider) && self.is_asked_for(provider)
    }

    /// Returns whether the policy offers a provider. A bypass is the word of whoever issued it.
    pub(crate) fn offers(&self, provider: &Registered) -> bool {
        let describe = provider.code.describe();
        match describe.role {
            // What goes through a mailbox or the telephone network is a policy's own choice.
            Role::Factor if describe.is_delivered() => self.policy.lists(provider.name.as_str()),
            Role::Factor => self.policy.offers(provider.name.as_str()),
            Role::Recovery => {
                provider.name.as_str() == bypass::NAME || self.policy.recovery() != RecoveryForm::None
            }
        }
    }

    /// Returns the provider that issues recovery sets, where there is one and the policy wants them issued.
    pub(crate) fn recovery(&self) -> Option<&Registered> {
        let issues = |p: &&Registered| {
            p.code.describe().role == Role::Recovery && p.name.as_str() != bypass::NAME && self.can_use(p)
        };
        self.providers.values().find(issues)
    }
}

/// Finds the enrolment that a selector means; a provider's name must mean one only.
pub(crate) fn select<'a>(login: &'a Login, selector: &MethodSelector) -> Option<&'a Enrolment> {
    match selector {
        MethodSelector::Enrolment(id) => login.enrolment(*id),
        MethodSelector::Provider(name) => {
            let mut of_provider = login.enrolments.iter().filter(|e| e.provider == *name);
            let first = of_provider.next()?;
            of_provider.next().is_none().then_some(first)
        }
    }
}

/// Describes an enrolment to the host.
pub(crate) fn method(rules: &Rules, login: &Login, enrolment: &Enrolment) -> Method {
    let provider = rules.providers.get(&enrolment.provider);
    let data = enrolment.data.as_deref();
    Method {
        id: enrolment.id,
        provider: enrolment.provider.clone(),
        preferred: login.preferred == Some(enrolment.id),
        is_recovery: !rules.is_factor(enrolment),
        uses_left: provider.and_then(|provider| provider.code.uses_left(data?)),
        stopped: enrolment.is_stopped(),
        created_at: enrolment.created_at,
    }
}

/// Starts an event about a user.
pub(crate) fn event(
    account: &AccountId,
    user: &UserId,
    kind: Kind,
    outcome: Outcome,
    at: Timestamp,
) -> EventBuilder {
    EventBuilder::new(Scope::Account(account.clone()), kind, outcome, at).user(user.clone())
}
