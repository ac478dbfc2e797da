//! Keeping a device: trusting it after a login, and knowing it again.

use audit_model::{AccountId, Kind, Outcome, UserId};

use super::device::enrolled;
use super::manage::Managed;
use super::slots::Slots;
use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::device::{
    Device, KNOWN_LIFE, Replaced, Standing, TokenHash, Trust, id_in, slot_key, slot_keys,
};
use crate::record::login::{Login, TOLERATED_SKEW};
use crate::record::{LOGIN, user_key};
use crate::reference::Claims;
use crate::{
    Aal, DeviceState, DeviceToken, Draw, Error, Expect, Factor, FieldError, Forbidden, Grant, KeptDevice,
    Key, NoticeKind, Timestamp,
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
    let mut claims = Claims::of_device(ring, account, user, (*id.as_bytes(), draw.take()?));
    let token = DeviceToken(claims.issue_text(ring)?);
    let device = Device {
        id,
        generation,
        name: keep.name.to_owned(),
        standing,
        created_at: same.map_or(at, |same| same.created_at),
        last_used_at: at,
        expires_at: at.plus(KNOWN_LIFE),
        challenge: keep.grant.challenge(),
        current: TokenHash { key: claims.key.clone(), hash: claims.binder_hash()? },
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
    plan.events(streams.map(|stream| event.clone().stream(stream)));
    plan.put(login_key, Expect::Version(version), &login, None)?;
    let state = if keep.trust { DeviceState::Trusted } else { DeviceState::NotTrusted };
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
        if enrolled(login) != then.enrolled {
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
    pub(super) fn is_of(&self, device: &Device) -> bool {
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
