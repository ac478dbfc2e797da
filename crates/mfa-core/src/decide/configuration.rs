//! Changing and showing the provider configurations of an account, or of the system.

use core::time::Duration;

use audit_model::{EventBuilder, Kind, Outcome, Profile, Timestamp};
use serde_json::Value;

use super::Rules;
use super::authorise::Allowed;
use super::document::By;
use super::manage::Managed;
use super::paths::paths;
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::configurations::{Configurations, SHOWN_DAILY, Stored, configurations_key, seal};
use crate::record::stream::EventStream;
use crate::settings::{
    Change, Clear, Configuration, MAX_CONFIGURATIONS, Owner, RevealedConfiguration, Revision, Written,
};
use crate::{CodecError, ConfigurationId, Draw, Error, Expect, FieldError, Forbidden, Operation, Versioned};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Who asks for something about whose configurations.
pub(crate) struct Asked<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) owner: &'a Owner,
    pub(crate) by: By<'a>,
}

/// A change to one configuration, in whose form it is written, and which state it is made to.
#[derive(Clone, Copy)]
pub(crate) struct Changing<'a> {
    pub(crate) id: ConfigurationId,
    pub(crate) change: Change<'a>,
    pub(crate) profile: Profile,
    pub(crate) revision: Option<Revision>,
}

impl Asked<'_> {
    pub(crate) fn create(
        &self,
        document: &Value,
        profile: Profile,
        records: &Records,
        now: Timestamp,
        draw: &mut Draw,
    ) -> Managed<Configuration> {
        let mut plan = Plan::default();
        let allowed = match self.by.authorise(self.rules, records, now, &mut plan)? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(denied(refused)),
        };
        let (mut record, expect) = self.read(records)?;
        let written = Written::parse(document, profile).map_err(Error::InvalidDocument)?;
        if record.all.len() >= MAX_CONFIGURATIONS {
            let problem = format!("must not be more than {MAX_CONFIGURATIONS}; delete one");
            return Err(FieldError::new("configurations", "maxItems", problem).into());
        }
        let id = ConfigurationId::from_random(draw.take()?);
        let paths = paths(&Value::Null, &Clear(written.to_value()).0, |_| true);
        let sealed = seal(&self.rules.ring, &self.owner.scope(), id, &written.sealed, draw.take()?)?;
        let Written { name, provider, enabled, .. } = written;
        let stored =
            Stored { id, name, provider, enabled, revision: draw.take()?, sealed, shown: Vec::new() };
        let event = self.event(Kind::ConfigurationCreated, &stored, allowed.as_ref(), now);
        plan.events([event.field("paths", paths).stream(record.stream.take())]);
        let public = stored.public();
        record.all.push(stored);
        self.put(&record, expect, &mut plan)?;
        Ok(Decision { plan, value: Ok(public) })
    }

    /// Decides a change. Its value is what the configuration has become; nothing where it was deleted.
    pub(crate) fn change(
        &self,
        changing: Changing<'_>,
        records: &Records,
        now: Timestamp,
        draw: &mut Draw,
    ) -> Managed<Option<Configuration>> {
        let mut plan = Plan::default();
        let allowed = match self.by.authorise(self.rules, records, now, &mut plan)? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(denied(refused)),
        };
        let (mut record, expect) = self.read(records)?;
        let Changing { id, change, profile, revision } = changing;
        let stored = record.find_mut(id).ok_or(Error::NoDocument)?;
        if revision.is_some_and(|revision| Revision::from_bytes(stored.revision) != revision) {
            return Err(Error::Conflict);
        }
        let (event, after) = if let Change::Delete = change {
            let event = self.event(Kind::ConfigurationDeleted, stored, allowed.as_ref(), now);
            record.all.retain(|stored| stored.id != id);
            (event, None)
        } else {
            let Some(paths) = self.overwrite(stored, change, profile, draw)? else {
                let value = Ok(Some(stored.public()));
                return Ok(Decision { plan, value });
            };
            let event = self.event(Kind::ConfigurationChanged, stored, allowed.as_ref(), now);
            (event.field("change", change.code()).field("paths", paths), Some(stored.public()))
        };
        plan.events([event.stream(record.stream.take())]);
        self.put(&record, expect, &mut plan)?;
        Ok(Decision { plan, value: Ok(after) })
    }

    /// Deletes all of them, a record that cannot be trusted too.
    pub(crate) fn clear(&self, records: &Records, now: Timestamp, draw: &mut Draw) -> Managed<()> {
        let mut plan = Plan::default();
        let allowed = match self.by.authorise(self.rules, records, now, &mut plan)? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(denied(refused)),
        };
        let key = configurations_key(self.owner.scope());
        let version = records.stored_version(&key).ok_or(Error::NoDocument)?;
        let (count, stream) = match records.read::<Configurations>(&key) {
            Read::Live(record, _) if record.all.is_empty() => return Err(Error::NoDocument),
            Read::Live(record, _) => (record.all.len().to_string(), record.stream),
            Read::Absent | Read::Refused(_) => ("unreadable".to_owned(), EventStream::new(draw.take()?)),
        };
        let mut record = Configurations { all: Vec::new(), stream };
        let event = EventBuilder::new(self.owner.scope(), Kind::ConfigurationsCleared, Outcome::Success, now)
            .field("configurations", count)
            .stream(record.stream.take());
        plan.events([self.by.describe(event, allowed.as_ref())]);
        self.put(&record, Expect::Version(version), &mut plan)?;
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Shows one with its settings, so often in a day.
    pub(crate) fn show(
        &self,
        id: ConfigurationId,
        records: &Records,
        now: Timestamp,
    ) -> Managed<RevealedConfiguration> {
        let mut plan = Plan::default();
        let allowed = match self.by.authorise(self.rules, records, now, &mut plan)? {
            Ok(allowed) => allowed,
            Err(refused) => return Ok(denied(refused)),
        };
        let (mut record, expect) = self.read(records)?;
        let stored = record.find_mut(id).ok_or(Error::NoDocument)?;
        let sealed = stored.open(&self.rules.ring, &self.owner.scope())?;
        stored.shown.retain(|shown| now.since(*shown) < DAY);
        if stored.shown.len() >= SHOWN_DAILY {
            let (scope, why) = (self.owner.scope(), Forbidden::TooOften);
            let plan = self.by.refused(scope, Operation::ShowConfiguration, why, now);
            return Ok(denied((plan, why)));
        }
        stored.shown.push(now);
        let event = self.event(Kind::ConfigurationShown, stored, allowed.as_ref(), now);
        let shown = RevealedConfiguration::new(stored.public(), sealed);
        plan.events([event.stream(record.stream.take())]);
        self.put(&record, expect, &mut plan)?;
        Ok(Decision { plan, value: Ok(shown) })
    }

    fn read(&self, records: &Records) -> Result<(Configurations, Expect), Error> {
        let key = configurations_key(self.owner.scope());
        match records.read(&key) {
            Read::Absent => {
                Ok((Configurations { all: Vec::new(), stream: EventStream::of(&key) }, Expect::Absent))
            }
            Read::Live(record, version) => Ok((record, Expect::Version(version))),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    fn put(&self, record: &Configurations, expect: Expect, plan: &mut Plan) -> Result<(), Error> {
        let key = configurations_key(self.owner.scope());
        match record.encode() {
            Err(CodecError::TooLong { limit, .. }) => {
                let problem = format!("must not be longer than {limit} bytes together");
                let error = FieldError::new("configurations", "maxLength", problem);
                return Err(Error::InvalidDocument(vec![error]));
            }
            _ => plan.put(key, expect, record, None)?,
        }
        Ok(())
    }

    /// Writes a configuration anew and returns the changed paths; nothing where a change that is merged changes nothing.
    fn overwrite(
        &self,
        stored: &mut Stored,
        change: Change<'_>,
        profile: Profile,
        draw: &mut Draw,
    ) -> Result<Option<String>, Error> {
        let (ring, scope) = (&self.rules.ring, self.owner.scope());
        let before = stored.open(ring, &scope).map(|sealed| Written {
            name: stored.name.clone(),
            provider: stored.provider.clone(),
            enabled: stored.enabled,
            sealed,
        });
        let (before, after) = match (change, before) {
            // What does not open any more is written whole.
            (Change::Put(document), before) => {
                (before.map_or(Value::Null, |before| before.to_value()), Written::parse(document, profile))
            }
            (Change::Patch(patch), before) => {
                let before = before?;
                (before.to_value(), before.patched(patch, profile))
            }
            (Change::Delete, _) => return Ok(None),
        };
        let before = Clear(before);
        let written = after.map_err(Error::InvalidDocument)?;
        let after = Clear(written.to_value());
        if matches!(change, Change::Patch(_)) && before.0 == after.0 {
            return Ok(None);
        }
        stored.sealed = seal(ring, &scope, stored.id, &written.sealed, draw.take()?)?;
        stored.revision = draw.take()?;
        (stored.name, stored.provider, stored.enabled) = (written.name, written.provider, written.enabled);
        Ok(Some(paths(&before.0, &after.0, |_| true)))
    }

    fn event(&self, kind: Kind, stored: &Stored, allowed: Option<&Allowed>, now: Timestamp) -> EventBuilder {
        let event = EventBuilder::new(self.owner.scope(), kind, Outcome::Success, now)
            .field("configuration", stored.id.to_string())
            .field("provider", stored.provider.as_str().to_owned());
        self.by.describe(event, allowed)
    }
}

fn denied<T>((plan, why): (Plan, Forbidden)) -> Decision<Result<T, Forbidden>> {
    Decision { plan, value: Err(why) }
}
