//! Keeping a device: trusting it after a login, knowing it again, and what is changed about it later.

use core::time::Duration;

use audit_model::{AccountId, EventBuilder, Kind, Outcome, UserId};

use super::authorise::Allowed;
use super::device::enrolments;
use super::manage::{Changing, Managed};
use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::grant::GRANT_LIFE;
use crate::plan::Plan;
use crate::record::device::{
    BAN_LIFE, Device, KNOWN_LIFE, Replaced, SLOTS, Standing, TokenHash, Trust, device_key, id_in, slot_key,
    slot_keys,
};
use crate::record::login::{Login, TOLERATED_SKEW};
use crate::record::{LOGIN, user_key};
use crate::reference::Claims;
use crate::{
    Aal, DeviceId, DeviceState, DeviceToken, Draw, Error, Expect, Factor, FieldError, Forbidden, Grant,
    Intent, KeptDevice, Key, NoticeKind, Subject, Timestamp, Version,
};

/// What is asked for the device of a login that has just succeeded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep<'a> {
    pub(crate) grant: &'a Grant,
    /// The session that the host keeps it for.
    pub(crate) session: Option<&'a str>,
    /// What the user calls it.
    pub(crate) name: &'a str,
    /// Whether it is to be trusted, or only known again.
    pub(crate) trust: bool,
}

pub(crate) fn keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    let mut keys = vec![user_key(account, LOGIN, user)];
    keys.extend(slot_keys(account, user));
    keys
}

/// Keeps the device, if the grant and the policy allow it.
pub(crate) fn keep(
    rules: &Rules,
    keep: &Keep<'_>,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Managed<KeptDevice> {
    let (account, user) = (keep.grant.account(), keep.grant.user());
    let login_key = user_key(account, LOGIN, user);
    let (mut login, version) = match records.read::<Login>(&login_key) {
        Read::Live(login, version) => (login, version),
        Read::Absent => return Ok(keep.refused(Forbidden::StepUpRequired, now)),
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
    };
    if login.stepped_back(now) > TOLERATED_SKEW {
        // How old the grant is, nobody knows.
        return Ok(keep.refused(Forbidden::StepUpRequired, now));
    }
    let at = login.effective(now);
    if let Err(why) = keep.is_allowed(rules, &login, at) {
        return Ok(keep.refused(why, now));
    }
    let generation = login.generation.clone();
    let slots = Slots::read(account, user, &generation, records);
    let unreadable = slots.unreadable;
    let Some((slot, expect, before)) = slots.place_for(keep)? else {
        return Ok(keep.refused(Forbidden::NotPermitted, now));
    };
    let same = before.as_ref().filter(|before| keep.is_of(before));
    let id = match same {
        Some(same) => same.id,
        None => id_in(slot, draw.take()?),
    };
    let stream = match same {
        Some(same) => (same.stream, same.events),
        None => (draw.take()?, 0),
    };
    let standing = if keep.trust {
        let life = (at, at.plus(rules.policy.trust_life()));
        Standing::Trusted(Trust::new(&login, keep.grant, keep.password_epoch()?, life))
    } else {
        Standing::NotTrusted
    };
    let ring = &rules.ring;
    let claims = Claims::of_device(ring, account, user, (*id.as_bytes(), draw.take()?));
    let device = Device {
        id,
        generation,
        name: keep.name.to_owned(),
        standing,
        created_at: same.map_or(at, |same| same.created_at),
        last_used_at: at,
        expires_at: at.plus(KNOWN_LIFE),
        challenge: keep.grant.challenge(),
        current: TokenHash { key: claims.key.clone(), hash: claims.binder_hash(ring)? },
        previous: same.map(|same| Replaced { value: same.current.clone(), at, turned: false }),
        stream: stream.0,
        events: stream.1,
    };
    let mut plan = Plan::default();
    if let (Expect::Any, Some(problem)) = (expect, unreadable) {
        keep.note_refused(problem, now, &mut plan);
    }
    plan.put(slot_key(account, user, slot), expect, &device, Some(device.expires_at))?;
    login.devices_until = login.devices_until.max(device.expires_at);
    let kind = if keep.trust { Kind::DeviceTrusted } else { Kind::DeviceKept };
    let mut event = event(account, user, kind, Outcome::Success, now).field("device", id.to_string());
    if let Some(other) = before.filter(|before| before.id != id) {
        event = event.field("replaced", other.id.to_string());
    }
    if keep.trust {
        keep.tell(rules, &mut login, now, draw, &mut plan)?;
    }
    login.mark(now);
    let streams = login.take_stream(1);
    plan.events(streams.into_iter().map(|stream| event.clone().stream(stream)));
    plan.put(login_key, Expect::Version(version), &login, None)?;
    let state = if keep.trust { DeviceState::Trusted } else { DeviceState::NotTrusted };
    let token = DeviceToken(claims.issue_text(ring)?);
    let kept = KeptDevice { id, state, token, expires_at: device.expires_at };
    Ok(Decision { plan, value: Ok(kept) })
}

impl Keep<'_> {
    /// Returns whether the grant is fresh, the user is as it left them, and its evidence is enough.
    fn is_allowed(&self, rules: &Rules, login: &Login, at: Timestamp) -> Result<(), Forbidden> {
        let then = self.grant.user_then();
        let unchanged = login.generation == then.generation && login.trust_epoch == then.trust_epoch;
        if at >= self.grant.expires_at() || !unchanged || !self.grant.is_of_session(self.session) {
            return Err(Forbidden::StepUpRequired);
        }
        if !self.trust {
            return Ok(());
        }
        if !rules.policy.trust() {
            return Err(Forbidden::PolicyForbids);
        }
        if login.is_on_hold(at) {
            return Err(Forbidden::RecoveryHold);
        }
        if enrolments(login) != then.enrolments {
            return Err(Forbidden::StepUpRequired);
        }
        let evidence = self.grant.evidence();
        let is_possession = evidence.strength.factor == Factor::Possession;
        if evidence.aal() < Aal::Two || !is_possession || evidence.strength.approve_only {
            return Err(Forbidden::NotPermitted);
        }
        Ok(())
    }

    fn password_epoch(&self) -> Result<u64, FieldError> {
        let problem = "is not given by the host, so that trust would not end with the user's password";
        let epoch = self.grant.user_then().password_epoch;
        epoch.ok_or_else(|| FieldError::new("password_epoch", "required", problem))
    }

    /// Returns whether it is the device of this login: the one whose token it showed, or the one it was kept as.
    fn is_of(&self, device: &Device) -> bool {
        self.grant.user_then().device == Some(device.id) || device.challenge == self.grant.challenge()
    }

    fn tell(
        &self,
        rules: &Rules,
        login: &mut Login,
        now: Timestamp,
        draw: &mut Draw,
        plan: &mut Plan,
    ) -> Result<(), Error> {
        let Some(sealed) = &self.grant.user_then().contacts else { return Ok(()) };
        let (account, user) = (self.grant.account(), self.grant.user());
        let contacts = notice::open(rules, account, user, self.grant.challenge().as_bytes(), sealed)?;
        let (whom, kind) = ((account, user), NoticeKind::DeviceTrusted);
        notice::queue(rules, whom, login, kind, &contacts, (now, now), draw, plan)?;
        Ok(())
    }

    /// Writes down that what was in a place before could not be read: once a minute.
    fn note_refused(&self, problem: &'static str, now: Timestamp, plan: &mut Plan) {
        let (account, user) = (self.grant.account(), self.grant.user());
        let event = event(account, user, Kind::RecordRefused, Outcome::Failure, now)
            .field("record", "device")
            .field("problem", problem);
        let minute = (now.unix_seconds() / 60).to_be_bytes();
        let parts = [account.as_str().as_bytes(), user.as_str().as_bytes(), b"device", &minute];
        plan.merged_event(event, crate::codec::tuple(&parts));
    }

    fn refused<T>(&self, why: Forbidden, now: Timestamp) -> Decision<Result<T, Forbidden>> {
        let (account, user) = (self.grant.account(), self.grant.user());
        let operation = if self.trust { "trust_device" } else { "remember_device" };
        let event = event(account, user, Kind::ChangeRefused, Outcome::Failure, now)
            .subject(*self.grant.challenge().as_bytes())
            .field("operation", operation)
            .reason(why.code());
        let mut plan = Plan::default();
        let challenge = self.grant.challenge();
        // Once a grant and reason: whoever repeats the request writes nothing more.
        let parts: [&[u8]; 3] = [challenge.as_bytes(), operation.as_bytes(), why.code().as_bytes()];
        plan.merged_event(event, crate::codec::tuple(&parts));
        Decision { plan, value: Err(why) }
    }
}

/// The slots of a user, each with what is in it of the user's own.
struct Slots {
    slots: Vec<(u8, Expect, Option<Device>)>,
    /// Why one of them cannot be read, if one cannot.
    unreadable: Option<&'static str>,
}

impl Slots {
    fn read(account: &AccountId, user: &UserId, generation: &str, records: &Records) -> Self {
        let mut unreadable = None;
        let slot = |slot| match records.read::<Device>(&slot_key(account, user, slot)) {
            Read::Live(device, version) => {
                let own = device.generation == generation;
                (slot, Expect::Version(version), own.then_some(device))
            }
            Read::Absent => (slot, Expect::Absent, None),
            // Nothing is ever accepted by what cannot be read.
            Read::Refused(problem) => {
                unreadable = Some(problem);
                (slot, Expect::Any, None)
            }
        };
        let slots = (0..SLOTS).map(slot).collect();
        Self { slots, unreadable }
    }

    /// Returns where the device of a login is kept: in its own place, a free one, or that of the device that was
    /// used longest ago. `None` for one that was banned.
    fn place_for(self, keep: &Keep<'_>) -> Result<Option<(u8, Expect, Option<Device>)>, Error> {
        let mut others = Vec::new();
        for (slot, expect, device) in self.slots {
            match device {
                Some(device) if keep.is_of(&device) => {
                    let banned = device.standing == Standing::Banned;
                    return Ok((!banned).then_some((slot, expect, Some(device))));
                }
                Some(device) if device.standing == Standing::Banned => {}
                device => others.push((slot, expect, device)),
            }
        }
        others.sort_by_key(|(slot, _, device)| (device.as_ref().map(|device| device.last_used_at), *slot));
        let problem = || {
            FieldError::new(
                "device",
                "too_many_banned",
                format!("has no place: all {SLOTS} devices are banned"),
            )
        };
        Ok(Some(others.into_iter().next().ok_or_else(problem)?))
    }
}

/// Lists a user's devices, the one that was used last first.
pub(crate) fn list(
    rules: &Rules,
    subject: &Subject,
    records: &Records,
    now: Timestamp,
) -> Result<Vec<crate::Device>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let Some((login, _)) = super::enrol::read_login(records, account, user)? else { return Ok(Vec::new()) };
    let at = login.effective(now);
    let slots = Slots::read(account, user, subject.generation(), records);
    let mut devices: Vec<_> = slots.slots.into_iter().filter_map(|(_, _, device)| device).collect();
    devices.sort_by_key(|device| core::cmp::Reverse(device.last_used_at));
    let shown = |device: Device| crate::Device {
        state: device.state(rules, subject, &login, at),
        id: device.id,
        name: device.name,
        created_at: device.created_at,
        last_used_at: device.last_used_at,
        expires_at: device.expires_at,
    };
    Ok(devices.into_iter().map(shown).collect())
}

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
