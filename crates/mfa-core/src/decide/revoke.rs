//! What is changed about a user's devices later: trusting one no more, or all of them, and banning one.

use core::time::Duration;

use audit_model::{EventBuilder, Kind};

use super::authorise::Allowed;
use super::manage::{Changing, Managed};
use super::slots::Slots;
use crate::driver::{Decision, Read};
use crate::grant::GRANT_LIFE;
use crate::plan::Plan;
use crate::record::device::{BAN_LIFE, Device, Standing, device_key};
use crate::record::login::Login;
use crate::record::{LOGIN, user_key};
use crate::{DeviceId, Error, Expect, FieldError, Intent, Version};

impl Changing<'_> {
    /// Trusts a device no more. It is known still.
    pub(crate) fn revoke_device(&mut self, id: DeviceId) -> Managed<()> {
        let intent = Intent::revoke_device(self.subject, Some(id));
        self.change_device(id, &intent, Kind::DeviceRevoked, Standing::NotTrusted, Duration::ZERO)
    }

    /// Never trusts a device again.
    pub(crate) fn ban_device(&mut self, id: DeviceId) -> Managed<()> {
        let intent = Intent::ban_device(self.subject, id);
        self.change_device(id, &intent, Kind::DeviceBanned, Standing::Banned, BAN_LIFE)
    }

    /// Trusts no device any more.
    pub(crate) fn revoke_devices(&mut self) -> Managed<()> {
        let intent = Intent::revoke_device(self.subject, None);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let event = allowed.describe(self.event(Kind::DeviceRevoked)).field("device", "all");
        match read {
            Some((mut login, version)) if self.may_be_trusted(&login) => {
                login.drop_trust();
                login.revoked = login.events.saturating_add(1);
                self.put(&mut plan, login, version, vec![event])?;
            }
            read => {
                self.hold(&mut plan, read.map(|(_, version)| version));
                self.nothing_to_revoke(&mut plan, event, "all", &allowed);
            }
        }
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Returns whether any device may be trusted, or be so by a grant of the last minute. Where nothing has happened to
    /// the user since all were revoked, none is.
    fn may_be_trusted(&self, login: &Login) -> bool {
        if login.events == login.revoked {
            return false;
        }
        let (account, user) = (self.subject.account(), self.subject.user());
        let slots = Slots::read(account, user, self.subject.generation(), self.records);
        let is_trusted = |(_, expect, device): &(u8, Expect, Option<Device>)| match device {
            Some(device) => matches!(device.standing, Standing::Trusted(_)),
            // Another node may be able to read it.
            None => *expect == Expect::Any,
        };
        self.now < login.latest.plus(GRANT_LIFE) || slots.slots.iter().any(is_trusted)
    }

    /// Holds the user's record as it was read.
    fn hold(&self, plan: &mut Plan, version: Option<Version>) {
        if let Some(version) = version {
            plan.check(user_key(self.subject.account(), LOGIN, self.subject.user()), version);
        }
    }

    /// Writes down that there was nothing to revoke: once a minute, since a first factor is enough to ask for it.
    fn nothing_to_revoke(&self, plan: &mut Plan, event: EventBuilder, device: &str, allowed: &Allowed) {
        let minute = (self.now.unix_seconds() / 60).to_be_bytes();
        let (account, user) = (self.subject.account().as_str(), self.subject.user().as_str());
        let actor = allowed.actor.as_deref().unwrap_or_default();
        let parts = [account, user, Kind::DeviceRevoked.code(), device, allowed.right.code(), actor];
        let mut parts = parts.map(str::as_bytes).to_vec();
        parts.push(&minute);
        plan.merged_event(event, crate::codec::tuple(&parts));
    }

    fn change_device(
        &self,
        id: DeviceId,
        intent: &Intent,
        kind: Kind,
        standing: Standing,
        life: Duration,
    ) -> Managed<()> {
        let login = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(intent, login.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(intent, why)),
        };
        let (mut device, version) = self.device(id)?;
        if device.standing == Standing::Banned {
            return Err(FieldError::new("device", "banned", "is banned, which is not taken back").into());
        }
        self.hold(&mut plan, login.map(|(_, version)| version));
        let event = self.about_device(kind, id, &allowed);
        if standing == device.standing {
            self.nothing_to_revoke(&mut plan, event, &id.to_string(), &allowed);
            return Ok(Decision { plan, value: Ok(()) });
        }
        device.standing = standing;
        device.expires_at = device.expires_at.max(self.now.plus(life));
        let key = device_key(self.subject.account(), self.subject.user(), id);
        plan.events([event.stream(device.take_stream())]);
        plan.put(key, Expect::Version(version), &device, Some(device.expires_at))?;
        Ok(Decision { plan, value: Ok(()) })
    }

    fn device(&self, id: DeviceId) -> Result<(Device, Version), Error> {
        let (account, user) = (self.subject.account(), self.subject.user());
        match self.records.read::<Device>(&device_key(account, user, id)) {
            Read::Live(device, version)
                if device.id == id && device.generation == self.subject.generation() =>
            {
                Ok((device, version))
            }
            Read::Live(..) | Read::Absent => {
                Err(FieldError::new("device", "unknown_device", "is not one of the user's devices").into())
            }
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    fn about_device(&self, kind: Kind, id: DeviceId, allowed: &Allowed) -> EventBuilder {
        allowed.describe(self.event(kind).field("device", id.to_string()))
    }
}
