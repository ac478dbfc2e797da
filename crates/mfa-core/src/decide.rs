//! The decisions: pure functions of (records, event, now, randomness) to writes, events and an answer.

pub(crate) mod begin;
mod call;
pub(crate) mod case;
pub(crate) mod confirm;
pub(crate) mod effects;
pub(crate) mod enrol;
pub(crate) mod judge;
pub(crate) mod manage;
pub(crate) mod survey;
mod wording;

use std::collections::BTreeMap;
use std::sync::Arc;

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use serde_json::Value;

use crate::provider::AnyProvider;
use crate::record::login::{Enrolment, Login};
use crate::{KeyRing, Method, MethodSelector, Policy, ProviderName};

/// What every decision knows of the engine.
pub(crate) struct Rules {
    pub(crate) ring: KeyRing,
    pub(crate) policy: Policy,
    pub(crate) providers: BTreeMap<String, Registered>,
}

/// A provider of this engine with its settings, which may hold secrets.
pub(crate) struct Registered {
    pub(crate) name: ProviderName,
    pub(crate) code: Arc<dyn AnyProvider>,
    pub(crate) settings: Value,
}

impl Rules {
    /// Returns a provider that is registered and that the policy offers.
    pub(crate) fn usable(&self, provider: &str) -> Option<&Registered> {
        self.providers.get(provider).filter(|_| self.policy.offers(provider))
    }
}

/// Finds the enrolment that a selector means; a provider's name must mean one only.
pub(crate) fn select<'a>(login: &'a Login, selector: &MethodSelector) -> Option<&'a Enrolment> {
    match selector {
        MethodSelector::Enrolment(id) => login.enrolment(*id),
        MethodSelector::Provider(name) => {
            let mut of_provider = login.enrolments.iter().filter(|e| e.provider == name.as_str());
            let first = of_provider.next()?;
            of_provider.next().is_none().then_some(first)
        }
    }
}

/// Describes an enrolment to the host. `None` if its provider's name is not one, which no engine wrote.
pub(crate) fn method(login: &Login, enrolment: &Enrolment) -> Option<Method> {
    Some(Method {
        id: enrolment.id,
        provider: ProviderName::parse(&enrolment.provider).ok()?,
        preferred: login.preferred == Some(enrolment.id),
        stopped: enrolment.is_stopped(),
        created_at: enrolment.created_at,
    })
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
