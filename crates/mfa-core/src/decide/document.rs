//! Writing a document: what it was, what it becomes, and the event that says so.

use audit_model::{EventBuilder, Kind, Outcome, Scope, Timestamp};
use serde_json::Value;

use super::Rules;
use super::authorise::{Allowed, Target, authorise, note_refused};
use super::manage::Managed;
use super::paths::paths;
use super::permit::Permit;
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::document::{Document, POLICY, SETTINGS, document_key};
use crate::record::stream::EventStream;
use crate::settings::{Change, Effective, Owner, Revision, Settings, merged, visible};
use crate::{
    Account, Draw, Error, Expect, FieldError, Forbidden, Intent, Key, Operation, PolicyDocument, RecordKind,
    Subject, Version,
};

/// The two kinds of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    Settings,
    Policy,
}

impl Written {
    pub(crate) const fn record(self) -> RecordKind {
        match self {
            Self::Settings => SETTINGS,
            Self::Policy => POLICY,
        }
    }

    const fn event(self) -> Kind {
        match self {
            Self::Settings => Kind::SettingsChanged,
            Self::Policy => Kind::PolicyChanged,
        }
    }

    /// Checks a document and returns it as it is kept.
    fn checked(self, rules: &Rules, document: &Value) -> Result<Value, Error> {
        let checked = match self {
            Self::Settings => Settings::parse(document, &rules.modules, rules.policy.inheritance())
                .map(|settings| settings.to_json()),
            Self::Policy => PolicyDocument::parse(document).map(|policy| policy.to_json()),
        };
        checked.map_err(Error::InvalidDocument)
    }
}

/// One change: of which document, against which revision, and by whose right.
pub(crate) struct Writing<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) kind: Written,
    pub(crate) owner: &'a Owner,
    pub(crate) change: Change<'a>,
    pub(crate) revision: Option<Revision>,
    pub(crate) by: By<'a>,
}

/// Who asks.
pub(crate) enum By<'a> {
    /// The host's own code, for the system's documents.
    Host { actor: &'a str, reason: &'a str },
    /// Whoever may change the account, which stands in the place of whom the change is about.
    Asked { subject: &'a Subject, permit: &'a Permit<'a>, intent: &'a Intent },
}

impl Writing<'_> {
    /// Decides the change. Its value is what the document has become; nothing where it was deleted.
    pub(crate) fn write(&self, records: &Records, now: Timestamp, draw: &mut Draw) -> Managed<Option<Value>> {
        let mut plan = Plan::default();
        let allowed = match self.by.authorise(self.rules, records, now, &mut plan)? {
            Ok(allowed) => allowed,
            Err((plan, why)) => return Ok(Decision { plan, value: Err(why) }),
        };
        if self.rules.modules.is_empty() {
            let problem = "must be named to the engine before settings and policies are kept for accounts";
            return Err(FieldError::new("modules", "required", problem).into());
        }
        let key = document_key(self.owner.scope(), self.kind.record());
        let nothing = || Value::Object(serde_json::Map::new());
        let mut found = match read(records, &key) {
            // What cannot be trusted locks the account's users out until it is written anew.
            Err(_) if self.takes_the_place_of_anything() => Found::unreadable(records, &key, draw)?,
            found => found?,
        };
        if self.revision.is_some_and(|revision| found.revision() != Some(revision)) {
            return Err(Error::Conflict);
        }
        let is_there = found.document.is_some() || found.is_unreadable;
        let before = found.document.take().map_or_else(nothing, |(document, _)| document);
        let after = match self.change {
            Change::Put(document) => Some(self.kind.checked(self.rules, document)?),
            Change::Patch(patch) if patch.is_object() => {
                Some(self.kind.checked(self.rules, &merged(before.clone(), patch))?)
            }
            Change::Patch(_) => {
                let problem = FieldError::new("patch", "type", "must be of type object");
                return Err(Error::InvalidDocument(vec![problem]));
            }
            Change::Delete if !is_there => return Err(Error::NoDocument),
            Change::Delete => None,
        };
        if self.kind == Written::Settings
            && let (Some(after), Owner::Account(account)) = (&after, self.owner)
        {
            self.names_what_it_may(after, account, records)?;
        }
        let mut event =
            self.event(&before, after.as_ref(), allowed.as_ref(), now).stream(found.stream.take());
        if found.is_unreadable {
            event = event.field("replaced", "unreadable");
        }
        plan.events([event]);
        let json = after.as_ref().map(Value::to_string);
        plan.put(key, found.expect, &Document { json, stream: found.stream }, None)?;
        Ok(Decision { plan, value: Ok(after) })
    }

    /// Returns whether it is of no account what was there.
    const fn takes_the_place_of_anything(&self) -> bool {
        self.revision.is_none() && !matches!(self.change, Change::Patch(_))
    }

    /// Checks whose configurations settings name: the account's own, or that of an account above it that lets accounts
    /// below use it.
    fn names_what_it_may(&self, after: &Value, account: &Account, records: &Records) -> Result<(), Error> {
        let settings = Settings::read(after).map_err(Error::InvalidDocument)?;
        let mut errors = Vec::new();
        for (module, set) in settings.modules() {
            let Some(owner) = &set.multi_factor.account_id else { continue };
            let above = visible(account.lineage()).iter().position(|ancestor| ancestor.account == *owner);
            let may = match above {
                Some(0) => true,
                None => false,
                Some(above) => {
                    let of_owner = account.lineage().get(above..).unwrap_or_default();
                    let held = self.rules.held(of_owner, Some(module), records)?;
                    let effective: Option<&Effective> = held.documents.module.as_deref();
                    effective.is_some_and(|effective| effective.include_subaccounts.value)
                }
            };
            if !may {
                let path = format!("auth_modules.{module}.multi_factor.account_id");
                let problem = "is not the account nor one above it that includes its sub-accounts";
                errors.push(FieldError::new(path, "not_in_account_tree", problem));
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(Error::InvalidDocument(errors)) }
    }

    fn event(
        &self,
        before: &Value,
        after: Option<&Value>,
        allowed: Option<&Allowed>,
        now: Timestamp,
    ) -> EventBuilder {
        let known = |path: &str| self.kind == Written::Policy || Settings::knows(path);
        let event = EventBuilder::new(self.owner.scope(), self.kind.event(), Outcome::Success, now)
            .field("change", self.change.code())
            .field("paths", paths(before, after.unwrap_or(&Value::Null), known));
        self.by.describe(event, allowed)
    }
}

impl By<'_> {
    /// Decides whether the change may be made; a refusal is written down. The host's own code may.
    pub(crate) fn authorise(
        &self,
        rules: &Rules,
        records: &Records,
        now: Timestamp,
        plan: &mut Plan,
    ) -> Result<Result<Option<Allowed>, (Plan, Forbidden)>, Error> {
        let Self::Asked { subject, permit, intent } = *self else { return Ok(Ok(None)) };
        let target = Target { subject, login: None, now };
        let allowed = authorise(rules, permit, intent, target, records, plan)?;
        Ok(allowed.map(Some).map_err(|why| (note_refused(intent, permit, why, now), why)))
    }

    /// Writes down, once a minute, that something was refused which may be done: the host's own code is told so too.
    pub(crate) fn refused(&self, scope: Scope, operation: Operation, why: Forbidden, now: Timestamp) -> Plan {
        let actor = match *self {
            Self::Asked { permit, intent, .. } => return note_refused(intent, permit, why, now),
            Self::Host { actor, .. } => actor,
        };
        let minute = (now.unix_seconds() / 60).to_be_bytes();
        let parts = [scope.as_str(), operation.code(), why.code(), actor].map(str::as_bytes);
        let alike = crate::codec::tuple(&[&crate::codec::tuple(&parts), &minute]);
        let event = EventBuilder::new(scope, Kind::ChangeRefused, Outcome::Failure, now)
            .field("operation", operation.code())
            .field("authority", "host_vouched")
            .actor(actor.to_owned())
            .reason(why.code());
        let mut plan = Plan::default();
        plan.merged_event(event, alike);
        plan
    }

    /// Writes who asked.
    pub(crate) fn describe(&self, event: EventBuilder, allowed: Option<&Allowed>) -> EventBuilder {
        match (self, allowed) {
            (Self::Host { actor, reason }, _) => event
                .field("authority", "host_vouched")
                .actor((*actor).to_owned())
                .reason((*reason).to_owned()),
            (_, Some(allowed)) => allowed.describe(event),
            (_, None) => event,
        }
    }
}

/// What there is of a document.
pub(crate) struct Found {
    /// Nothing where there never was one, or it was deleted.
    pub(crate) document: Option<(Value, Version)>,
    stream: EventStream,
    expect: Expect,
    is_unreadable: bool,
}

impl Found {
    fn unreadable(records: &Records, key: &Key, draw: &mut Draw) -> Result<Self, Error> {
        let expect = records.stored_version(key).map_or(Expect::Absent, Expect::Version);
        Ok(Self { document: None, stream: EventStream::new(draw.take()?), expect, is_unreadable: true })
    }

    fn revision(&self) -> Option<Revision> {
        self.document.as_ref().map(|(_, version)| Revision::of(*version))
    }
}

/// Reads a document.
pub(crate) fn read(records: &Records, key: &Key) -> Result<Found, Error> {
    let not_trusted = || Error::Unavailable("a stored record cannot be trusted");
    let (document, stream, expect) = match records.read::<Document>(key) {
        Read::Absent => (None, EventStream::of(key), Expect::Absent),
        Read::Refused(_) => return Err(not_trusted()),
        Read::Live(Document { json, stream }, version) => {
            let json = json.map(|json| serde_json::from_str(&json).map_err(|_| not_trusted())).transpose()?;
            (json.map(|json| (json, version)), stream, Expect::Version(version))
        }
    };
    Ok(Found { document, stream, expect, is_unreadable: false })
}

impl Owner {
    /// Returns the keys that a change of the owner's document reads.
    pub(crate) fn keys(&self, rules: &Rules) -> Vec<Key> {
        match self {
            Self::System => [SETTINGS, POLICY].map(|kind| document_key(Scope::System, kind)).to_vec(),
            Self::Account(account) => rules.document_keys(account.lineage()),
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        match self {
            Self::System => Scope::System,
            Self::Account(account) => Scope::Account(account.id().clone()),
        }
    }
}
