//! What a login's token of a device says: whose it is, whether it is the latest, and whether the device is trusted.

use core::time::Duration;

use audit_model::{AccountId, Timestamp, UserId};
use sha2::{Digest, Sha256};

use super::Rules;
use crate::driver::{Read, Records};
use crate::keyring::is_same;
use crate::record::device::{Device, GRACE, Replaced, Standing, TokenHash, Trust, device_key};
use crate::record::login::{Login, TOLERATED_SKEW};
use crate::reference::{Claims, Handle};
use crate::{
    DeviceId, DeviceState, DeviceToken, Draw, EnrolmentId, Error, FirstFactorKind, Grant, KeyRing, Reference,
    Subject, Version, bypass,
};

/// What a token turns out to be.
pub(crate) enum Seen {
    /// None, or nothing that is known here.
    Nothing,
    /// The record behind it cannot be trusted.
    Refused(&'static str),
    /// Of a device that has succeeded before.
    Known(DeviceId),
    /// Of a device that is trusted; `latest` unless a request at the same moment has replaced it.
    Trusted { device: Box<Device>, version: Version, latest: bool },
    /// Of a device that was banned.
    Banned(DeviceId),
    /// A value that was replaced: somebody has a copy.
    Reused(DeviceId, Version),
}

impl Seen {
    /// Returns the device, where the token is good for it or it is banned.
    pub(crate) fn device(&self) -> Option<DeviceId> {
        match self {
            Self::Nothing | Self::Refused(_) | Self::Reused(..) => None,
            Self::Known(id) | Self::Banned(id) => Some(*id),
            Self::Trusted { device, .. } => Some(device.id),
        }
    }

    /// Returns whether the device has succeeded before.
    pub(crate) const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_) | Self::Trusted { .. })
    }

    /// Returns it as it is where `usable` are the enrolments that could be asked for: a device is trusted no further
    /// than what its trust was given for.
    pub(crate) fn within<T>(self, usable: &[(EnrolmentId, T)]) -> Self {
        match self {
            Self::Trusted { device, .. } if !device.is_backed_by(usable) => Self::Known(device.id),
            seen => seen,
        }
    }

    /// Returns it in a word, for an explanation.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Nothing => "unknown",
            Self::Refused(problem) => problem,
            Self::Known(_) => "not_trusted",
            Self::Trusted { .. } => "trusted",
            Self::Banned(_) => "banned",
            Self::Reused(..) => "reused",
        }
    }
}

/// Reads the token of a login. `None` for text that this ring did not issue to this very user.
pub(crate) fn read(ring: &KeyRing, token: Option<&DeviceToken>, subject: &Subject) -> Option<Claims> {
    let claims = Claims::read(ring, &Reference::from_text(token?.expose_secret()), Handle::Device)?;
    let is_of_user = claims.account().ok() == Some(subject.account()) && claims.user == *subject.user();
    is_of_user.then_some(claims)
}

/// Looks at the device of a login's token.
pub(crate) fn look(
    rules: &Rules,
    claims: &Claims,
    (subject, login, first_factor): (&Subject, &Login, FirstFactorKind),
    records: &Records,
    at: Timestamp,
) -> Result<Seen, Error> {
    let id = DeviceId::from_bytes(claims.id);
    let key = device_key(subject.account(), subject.user(), id);
    let (device, version) = match records.read::<Device>(&key) {
        Read::Live(device, version) => (device, version),
        Read::Refused(problem) => return Ok(Seen::Refused(problem)),
        Read::Absent => return Ok(Seen::Nothing),
    };
    // Another device may have taken its slot, and another person its user's id.
    if device.id != id || device.generation != subject.generation() {
        return Ok(Seen::Nothing);
    }
    if device.standing == Standing::Banned {
        return Ok(Seen::Banned(id));
    }
    let hash = claims.binder_hash()?;
    let is = |of: &TokenHash| of.key == claims.key && is_same(&of.hash, &hash);
    let latest = is(&device.current);
    let replaced = device.previous.as_ref().filter(|it| !latest && is(&it.value));
    let age = replaced.map_or(Duration::ZERO, |it| at.since(it.at));
    // Another node's clock may be as much ahead: within that nobody is accused, and nobody let in.
    if !latest && (replaced.is_none() || age >= GRACE.saturating_add(TOLERATED_SKEW)) {
        let was_trusted = matches!(device.standing, Standing::Trusted(_));
        return Ok(if was_trusted { Seen::Reused(id, version) } else { Seen::Nothing });
    }
    let trusted = match &device.standing {
        // What was replaced when the device was kept anew was not trusted itself.
        Standing::Trusted(trust) => {
            !device.was_used_after(at)
                && age < GRACE
                && trust.holds(rules, subject, login, at)
                && trust.first_factor == first_factor
                && replaced.is_none_or(|replaced| replaced.turned)
        }
        Standing::NotTrusted | Standing::Banned => false,
    };
    Ok(if trusted { Seen::Trusted { device: Box::new(device), version, latest } } else { Seen::Known(id) })
}

impl Trust {
    /// Takes down what trust in a device rests on from now on.
    pub(crate) fn new(
        login: &Login,
        grant: &Grant,
        password_epoch: u64,
        (since, until): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            since,
            until,
            epoch: login.trust_epoch,
            password_epoch,
            by: grant.evidence().enrolment,
            first_factor: grant.evidence().first_factor,
            enrolments: enrolments(login),
        }
    }

    /// Returns until when it holds at most, by the policy as it was then and as it is now.
    fn ends_at(&self, rules: &Rules) -> Timestamp {
        self.until.min(self.since.plus(rules.policy.trust_life()))
    }

    /// Returns whether all that it rests on is as it was.
    pub(crate) fn holds(&self, rules: &Rules, subject: &Subject, login: &Login, at: Timestamp) -> bool {
        rules.policy.trust()
            && self.epoch == login.trust_epoch
            && subject.password_epoch() == Some(self.password_epoch)
            && self.enrolments == enrolments(login)
            && at < self.ends_at(rules)
    }
}

impl Device {
    /// Returns whether a clock ran ahead when it was used last, by more than clocks may differ: how long ago that was, and
    /// a value replaced, nobody knows.
    fn was_used_after(&self, at: Timestamp) -> bool {
        self.last_used_at.since(at) > TOLERATED_SKEW
    }

    fn is_backed_by<T>(&self, usable: &[(EnrolmentId, T)]) -> bool {
        matches!(&self.standing, Standing::Trusted(trust) if usable.iter().any(|(id, _)| *id == trust.by))
    }

    /// Makes its next token, in the place of the one before.
    pub(crate) fn rotate(
        &mut self,
        ring: &KeyRing,
        (account, user): (&AccountId, &UserId),
        at: Timestamp,
        draw: &mut Draw,
    ) -> Result<DeviceToken, Error> {
        let mut claims = Claims::of_device(ring, account, user, (*self.id.as_bytes(), draw.take()?));
        let token = DeviceToken(claims.issue_text(ring)?);
        let current = TokenHash { key: claims.key.clone(), hash: claims.binder_hash()? };
        let value = core::mem::replace(&mut self.current, current);
        self.previous = Some(Replaced { value, at, turned: true });
        self.last_used_at = at;
        Ok(token)
    }

    /// Returns from when on it is not trusted, by its own life and by the policy as it is now.
    pub(crate) fn trusted_until(&self, rules: &Rules) -> Timestamp {
        match &self.standing {
            Standing::Trusted(trust) => self.expires_at.min(trust.ends_at(rules)),
            Standing::NotTrusted | Standing::Banned => self.expires_at,
        }
    }

    /// Returns whether it is trusted now.
    pub(crate) fn state(
        &self,
        rules: &Rules,
        subject: &Subject,
        login: &Login,
        at: Timestamp,
    ) -> DeviceState {
        match &self.standing {
            Standing::Trusted(trust)
                if trust.holds(rules, subject, login, at) && !self.was_used_after(at) =>
            {
                DeviceState::Trusted
            }
            Standing::Trusted(_) | Standing::NotTrusted => DeviceState::NotTrusted,
            Standing::Banned => DeviceState::Banned,
        }
    }
}

/// Returns the set of a user's enrolments. A bypass code is none: it is an administrator's, for once.
pub(crate) fn enrolled(login: &Login) -> Vec<EnrolmentId> {
    let of_user = login.enrolments.iter().filter(|e| e.provider != bypass::NAME);
    let mut ids: Vec<_> = of_user.map(|e| e.id).collect();
    ids.sort_unstable();
    ids
}

/// Returns a digest of the set of a user's enrolments.
fn enrolments(login: &Login) -> [u8; 32] {
    let mut hash = Sha256::new();
    enrolled(login).iter().for_each(|id| hash.update(id.as_bytes()));
    hash.finalize().into()
}
