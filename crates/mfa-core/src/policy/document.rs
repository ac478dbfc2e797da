//! What accounts may say of the policy, and what comes of it down their tree.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{KnobClass, KnobInfo, Policy};
use crate::settings::{MAX_DOCUMENT_BYTES, Origin, visible};
use crate::{Ancestor, FieldError};

/// The knobs that an account, or the system, sets, and which of them it enforces on the accounts below it.
///
/// As JSON it is an object with the knobs by their names and `enforce`, a list of those that are enforced.
///
/// ```
/// use mfa_core::PolicyDocument;
/// use serde_json::json;
/// let document = json!({"attempts": 3, "enforced": true, "enforce": ["enforced"]});
/// assert_eq!(PolicyDocument::parse(&document).unwrap().to_json(), document);
///
/// // What only the host's code may decide is in no document.
/// let errors = PolicyDocument::parse(&json!({"open_challenges": 3})).unwrap_err();
/// assert_eq!(errors[0].code, "host_only");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDocument {
    /// Of these, only the knobs that are set count.
    values: Policy,
    set: BTreeSet<&'static str>,
    enforced: BTreeSet<&'static str>,
}

/// The policy that holds for an account.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EffectivePolicy {
    /// The policy.
    pub policy: Policy,
    /// Where each knob that a document set came from; the others are of the host's code.
    pub origins: BTreeMap<&'static str, Origin>,
    /// The farthest account, or the system, that enforces a method without accepting configurations of those below it:
    /// provider configurations count that are its own or are of somebody above it. `None` where all do.
    pub configurations_from: Option<Origin>,
}

impl PolicyDocument {
    /// Reads a document that tenants may write.
    ///
    /// # Errors
    /// One [`FieldError`] for each knob that is unknown, of another type, past its clamp, or of the host's alone, and
    /// for each name in `enforce` that the document does not set. Codes: `type`, `clamp`, `unknown_knob`, `host_only`,
    /// `required`.
    pub fn parse(document: &Value) -> Result<Self, Vec<FieldError>> {
        let Some(fields) = document.as_object() else {
            return Err(vec![FieldError::new("policy", "type", "must be an object")]);
        };
        if document.to_string().len() > MAX_DOCUMENT_BYTES {
            let problem = format!("must not be longer than {MAX_DOCUMENT_BYTES} bytes");
            return Err(vec![FieldError::new("policy", "maxLength", problem)]);
        }
        let mut read =
            Self { values: Policy::recommended(), set: BTreeSet::new(), enforced: BTreeSet::new() };
        let mut errors = Vec::new();
        for (name, value) in fields.iter().filter(|(name, _)| *name != "enforce") {
            match read.set(name, value) {
                Ok(knob) => {
                    read.set.insert(knob.name);
                }
                Err(error) => errors.push(error),
            }
        }
        if let Some(names) = fields.get("enforce") {
            match names.as_array() {
                Some(names) => errors.extend(names.iter().filter_map(|name| read.enforce(name).err())),
                None => errors.push(FieldError::new("enforce", "type", "must be a list of knobs")),
            }
        }
        if errors.is_empty() { Ok(read) } else { Err(errors) }
    }

    /// Returns the document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let value = |name: &&'static str| Some(((*name).to_owned(), self.values.value(name)?));
        let mut fields: Map<_, _> = self.set.iter().filter_map(value).collect();
        if !self.enforced.is_empty() {
            fields.insert("enforce".to_owned(), self.enforced.iter().copied().collect());
        }
        Value::Object(fields)
    }

    /// Returns whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<&'static KnobInfo, FieldError> {
        // An unknown name is told of by the table itself.
        let knob = Policy::KNOBS.iter().find(|knob| knob.name == name);
        if knob.is_some_and(|knob| knob.class == KnobClass::Host) {
            return Err(FieldError::new(name, "host_only", "is set by the host's code, not by a document"));
        }
        self.values.set(name, value)?;
        knob.ok_or_else(|| FieldError::new("policy", "unknown_knob", "is not a knob of the policy"))
    }

    fn enforce(&mut self, name: &Value) -> Result<(), FieldError> {
        let name = name.as_str().and_then(|name| self.set.get(name));
        let problem = || FieldError::new("enforce", "required", "must name knobs that the document sets");
        self.enforced.insert(name.ok_or_else(problem)?);
        Ok(())
    }
}

impl Policy {
    /// Returns the policy that holds for the first account of `lineage`, where this one is the host's. `set` returns
    /// the document of an account, or of the system, where it has one.
    ///
    /// The nearest document that sets a knob decides, up to and including the first reseller, then the system's. After
    /// that each knob is made as strong as every account above, beyond resellers too, and the system, enforces it. Who
    /// enforces that users must have a method enforces what goes with it, as it is for themselves: the day from which on,
    /// whether accounts below may use provider configurations of their own, whether they may exempt programs, and what a
    /// first method takes.
    #[must_use]
    pub fn resolve<'a>(
        &self,
        lineage: &[Ancestor],
        set: impl Fn(&Origin) -> Option<&'a PolicyDocument>,
    ) -> EffectivePolicy {
        let inherited = visible(lineage).len();
        let accounts = lineage.iter().map(|ancestor| Origin::Account(ancestor.account.clone()));
        let levels: Vec<Level<'_>> = accounts
            .chain([Origin::System])
            .enumerate()
            .filter_map(|(level, origin)| set(&origin).map(|document| (level, origin, document)))
            .collect();
        let system = lineage.len();
        let mut effective =
            EffectivePolicy { policy: self.clone(), origins: BTreeMap::new(), configurations_from: None };
        for (level, origin, document) in levels.iter().rev() {
            for name in document.set.iter().filter(|_| *level < inherited || *level == system) {
                effective.policy.take(name, &document.values);
                effective.origins.insert(name, origin.clone());
            }
        }
        for (level, origin, document) in &levels {
            for name in &document.enforced {
                effective.enforce(name, &document.values, origin);
                if *name == "enforced" && document.values.enforced {
                    let with = self.standing_at(*level, lineage, &levels);
                    WITH_A_METHOD.into_iter().for_each(|name| effective.enforce(name, &with, origin));
                    if !with.accept_own_configurations {
                        effective.configurations_from = Some(origin.clone());
                    }
                }
            }
        }
        effective
    }

    /// Returns what goes with a method as it is for the one at `level`: what they inherit themselves, so that nothing that
    /// was set beyond their reseller reaches below it through them, and what those above them never accept.
    fn standing_at(&self, level: usize, lineage: &[Ancestor], levels: &[Level<'_>]) -> Self {
        let inherited = visible(lineage.get(level..).unwrap_or_default()).len();
        let reaches = |other: usize| {
            other == lineage.len() || (level..level.saturating_add(inherited)).contains(&other)
        };
        let mut with = self.clone();
        for (_, _, document) in levels.iter().rev().filter(|(other, ..)| reaches(*other)) {
            for name in WITH_A_METHOD.into_iter().filter(|name| document.set.contains(name)) {
                with.take(name, &document.values);
            }
        }
        let never = |(other, _, document): &Level<'_>| {
            *other > level
                && document.enforced.contains("accept_own_configurations")
                && !document.values.accept_own_configurations
        };
        with.accept_own_configurations &= !levels.iter().any(never);
        with
    }
}

/// What whoever enforces that users must have a method enforces with it: without these a document below would say who
/// is let in without one.
const WITH_A_METHOD: [&str; 4] =
    ["enforced_from", "accept_own_configurations", "exemptions", "first_enrolment_needs_invitation"];

/// How far above an account a document is, whose it is, and the document.
type Level<'a> = (usize, Origin, &'a PolicyDocument);

impl EffectivePolicy {
    fn enforce(&mut self, name: &'static str, values: &Policy, origin: &Origin) {
        let before = self.policy.value(name);
        self.policy.enforce(name, values);
        if self.policy.value(name) != before {
            self.origins.insert(name, origin.clone());
        }
    }
}
