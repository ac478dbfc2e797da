//! What holds for a step: the host's policy and settings, with what the accounts of a lineage have set.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use audit_model::{Scope, Timestamp};
use serde_json::Value;

use super::Rules;
use super::selected::{Named, Selected};
use crate::driver::{Read, Records};
use crate::plan::Plan;
use crate::policy::Trigger;
use crate::record::configurations::{CONFIGURATIONS, Configurations};
use crate::record::document::{Document, POLICY, SETTINGS, document_key};
use crate::settings::{Effective, Origin, Settings, visible};
use crate::{Ancestor, Error, FieldError, Key, Module, Policy, PolicyDocument, RecordKind, Subject, Version};

/// How many documents are kept parsed.
const MOST_PARSED: usize = 4096;
const NOT_TRUSTED: Error = Error::Unavailable("a stored record cannot be trusted");

/// What each account may have of its own.
const DOCUMENTS: [RecordKind; 3] = [SETTINGS, POLICY, CONFIGURATIONS];

/// What the documents of a lineage came to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Documents {
    /// Where each knob that a document set came from.
    pub(crate) origins: BTreeMap<&'static str, Origin>,
    /// From whom on up provider configurations are accepted, where not from everybody.
    pub(crate) configurations_from: Option<Origin>,
    /// The settings of the module that a login comes through.
    pub(crate) module: Option<Arc<Effective>>,
    /// The provider configuration that the module selects, where one is selected.
    pub(crate) selected: Option<Selected>,
    /// Whether a module of the account asks for a second factor, where a step comes through none.
    some_module_asks: bool,
}

impl Rules {
    /// Refuses a user whose account's lineage nobody has said, where documents of accounts decide.
    pub(crate) fn check_lineage(&self, subject: &Subject) -> Result<(), FieldError> {
        if self.modules.is_empty() { Ok(()) } else { subject.check_lineage() }
    }

    /// Returns what a step of this lineage reads of documents: nothing where the engine has no modules.
    pub(crate) fn document_keys(&self, lineage: &[Ancestor]) -> Vec<Key> {
        if self.modules.is_empty() {
            return Vec::new();
        }
        let scope = |ancestor: &Ancestor| Scope::Account(ancestor.account.clone());
        let scopes = lineage.iter().map(scope).chain([Scope::System]);
        let inherited = visible(lineage).iter().map(scope).chain([Scope::System]);
        // What is enforced reaches beyond resellers, what is set does not.
        let policies = scopes.map(|scope| document_key(scope, POLICY));
        let kinds = [SETTINGS, CONFIGURATIONS];
        let others = inherited.flat_map(|scope| kinds.map(|kind| document_key(scope.clone(), kind)));
        policies.chain(others).collect()
    }

    /// Returns the rules that hold for the first account of `lineage`. A document that is there and cannot be trusted or
    /// read is an error, not its absence.
    pub(crate) fn held(
        &self,
        lineage: &[Ancestor],
        module: Option<&Module>,
        records: &Records,
    ) -> Result<Cow<'_, Self>, Error> {
        if self.modules.is_empty() {
            return Ok(Cow::Borrowed(self));
        }
        let of_account = |ancestor: &Ancestor| Origin::Account(ancestor.account.clone());
        let inherited = visible(lineage).len();
        let levels: Vec<_> = lineage.iter().map(of_account).chain([Origin::System]).collect();
        let (mut settings, mut policies) = (Vec::new(), Vec::new());
        for (level, origin) in levels.iter().enumerate() {
            let Some(scope) = origin.scope() else { continue };
            if level < inherited || *origin == Origin::System {
                let parsed = self.parsed(records, scope.clone(), SETTINGS)?;
                settings.extend(parsed.and_then(Parsed::settings).map(|settings| (origin, settings)));
            }
            let parsed = self.parsed(records, scope, POLICY)?;
            policies.extend(parsed.and_then(Parsed::policy).map(|policy| (origin, policy)));
        }
        let effective =
            self.policy.resolve(lineage, |origin| Some(&*policies.iter().find(|(of, _)| *of == origin)?.1));
        let of = |origin: &Origin| Some(&*settings.iter().find(|(of, _)| *of == origin)?.1);
        let inheritance = effective.policy.inheritance();
        let resolve = |module| Effective::resolve(module, &self.modules, inheritance, lineage, of);
        let known = module.filter(|module| self.modules.contains(module));
        // A change comes through no module: what any of them asks for counts. One that is not known here does.
        let some_module_asks = match module {
            None => self.modules.iter().any(|module| resolve(module).applies),
            Some(module) => !self.modules.contains(module),
        };
        let module = known.map(|module| Arc::new(resolve(module)));
        let named = match &module {
            Some(module) => Named::by(module),
            // What is of no module is of what all modules name.
            None => Named::by_all(self.modules.iter().map(resolve)),
        };
        let configurations_from = effective.configurations_from;
        let found = self.selected(named, configurations_from.as_ref(), lineage, records)?;
        let (providers, selected) = match found {
            Some(found) => {
                let (providers, selected) = found.applied(self);
                (providers, Some(selected))
            }
            None => (Arc::clone(&self.providers), None),
        };
        let origins = effective.origins;
        let documents = Documents { origins, configurations_from, module, selected, some_module_asks };
        Ok(Cow::Owned(Self { policy: effective.policy, documents, providers, ..self.clone() }))
    }

    /// Returns the provider configurations of an account, or of the system.
    pub(super) fn configurations(
        &self,
        records: &Records,
        scope: Scope,
    ) -> Result<Option<Arc<Configurations>>, Error> {
        Ok(self.parsed(records, scope, CONFIGURATIONS)?.and_then(Parsed::configurations))
    }

    /// Returns the lineage that a challenge keeps, for steps that come without one.
    pub(crate) fn lineage_kept(&self, subject: &Subject) -> Vec<Ancestor> {
        if self.modules.is_empty() { Vec::new() } else { subject.lineage().to_vec() }
    }

    /// Has a decision that grants hold what its own account had set when it was made.
    pub(crate) fn hold_documents(&self, lineage: &[Ancestor], records: &Records, plan: &mut Plan) {
        let Some(own) = lineage.first().filter(|_| !self.modules.is_empty()) else { return };
        for kind in DOCUMENTS {
            let key = document_key(Scope::Account(own.account.clone()), kind);
            match records.stored_version(&key) {
                Some(version) => plan.check(key, version),
                None => plan.check_absent(key),
            }
        }
    }

    /// Returns whether nobody may log in through the module that a step comes through.
    pub(crate) fn module_is_off(&self) -> bool {
        self.documents.module.as_ref().is_some_and(|module| !module.enabled.value)
    }

    /// Returns whether a second factor is asked of every user of this login, by the policy or by the module's settings,
    /// so that one without a method must enrol.
    pub(crate) fn is_enforced(&self, now: Timestamp) -> bool {
        let by_module = match &self.documents.module {
            Some(module) => module.applies,
            None => {
                let may_ask = self.modules.is_empty() || self.documents.some_module_asks;
                self.policy.trigger() == Trigger::PerModule && may_ask
            }
        };
        self.policy.enforces_at(now) || by_module
    }

    /// Returns whether a first method takes more than a first factor: what is asked for in any module, or will be from a
    /// day on, counts already.
    pub(crate) fn guards_first_method(&self, now: Timestamp) -> bool {
        self.is_enforced(now)
            || self.documents.some_module_asks
            || (self.policy.enforced() && self.policy.first_enrolment_needs_invitation())
    }

    /// Returns whether users may not give up their second factor by themselves: what is asked for in any module, or will be
    /// from a day on, counts already.
    pub(crate) fn keeps_methods(&self) -> bool {
        self.policy.enforced() || self.documents.some_module_asks
    }

    /// Returns whether the module that a login comes through asks for a second factor; one whose settings are not kept
    /// here does.
    pub(crate) fn module_asks(&self) -> bool {
        self.policy.trigger() != Trigger::PerModule
            || self.documents.module.as_ref().is_none_or(|module| module.applies)
    }

    /// Returns where a knob's value came from.
    pub(crate) fn origin(&self, knob: &str) -> Cow<'static, str> {
        self.documents.origins.get(knob).map_or(Cow::Borrowed("policy"), |origin| origin.to_string().into())
    }

    fn parsed(&self, records: &Records, scope: Scope, kind: RecordKind) -> Result<Option<Parsed>, Error> {
        let key = document_key(scope, kind);
        if !records.has(&key) {
            // Nobody asked the store for it: it is not as if there were none.
            return Err(Error::Unavailable("the documents of an account"));
        }
        let Some(stored) = records.stored_version(&key) else { return Ok(None) };
        if let Some(parsed) = self.parsed.get(&key, stored) {
            return Ok(Some(parsed));
        }
        if kind == CONFIGURATIONS {
            let (all, version) = match records.read::<Configurations>(&key) {
                Read::Absent => return Ok(None),
                Read::Live(all, version) => (Parsed::Configurations(Arc::new(all)), version),
                Read::Refused(_) => return Err(NOT_TRUSTED),
            };
            self.parsed.put(key, version, all.clone());
            return Ok(Some(all));
        }
        let (document, version) = match records.read::<Document>(&key) {
            Read::Absent => return Ok(None),
            Read::Live(document, version) => (document, version),
            Read::Refused(_) => return Err(NOT_TRUSTED),
        };
        // What is left of a deleted one says nothing.
        let Some(json) = document.json else { return Ok(None) };
        let json: Value = serde_json::from_str(&json).map_err(|_| NOT_TRUSTED)?;
        let parsed = if kind == SETTINGS {
            Parsed::Settings(Arc::new(Settings::read(&json).map_err(|_| NOT_TRUSTED)?))
        } else {
            Parsed::Policy(Arc::new(PolicyDocument::parse(&json).map_err(|_| NOT_TRUSTED)?))
        };
        self.parsed.put(key, version, parsed.clone());
        Ok(Some(parsed))
    }
}

/// A document as it is used.
#[derive(Clone, Debug)]
enum Parsed {
    Settings(Arc<Settings>),
    Policy(Arc<PolicyDocument>),
    /// Settings stay sealed.
    Configurations(Arc<Configurations>),
}

impl Parsed {
    fn settings(self) -> Option<Arc<Settings>> {
        if let Self::Settings(settings) = self { Some(settings) } else { None }
    }

    fn policy(self) -> Option<Arc<PolicyDocument>> {
        if let Self::Policy(policy) = self { Some(policy) } else { None }
    }

    fn configurations(self) -> Option<Arc<Configurations>> {
        if let Self::Configurations(all) = self { Some(all) } else { None }
    }
}

/// Documents that were authentic, by the version that was read with them: a version never comes back, and it is read
/// anew in every step, so that nothing here is used that the store does not have.
#[derive(Default)]
pub(crate) struct Kept(Mutex<HashMap<Key, (Version, Parsed)>>);

impl Kept {
    fn get(&self, key: &Key, version: Version) -> Option<Parsed> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(key).filter(|(of, _)| *of == version).map(|(_, parsed)| parsed.clone())
    }

    fn put(&self, key: Key, version: Version, parsed: Parsed) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST_PARSED && !kept.contains_key(&key) {
            kept.clear();
        }
        kept.insert(key, (version, parsed));
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

impl Policy {
    /// Returns whether a user without a method must enrol one at `now`.
    pub(crate) fn enforces_at(&self, now: Timestamp) -> bool {
        self.enforced() && self.enforced_from() <= now.unix_seconds()
    }
}
