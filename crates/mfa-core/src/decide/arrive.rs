//! A login that arrives with the token of a device: what is looked up for it, and what becomes of the device.

use audit_model::{Kind, Outcome, Timestamp};

use super::begin::{Beginning, Begun};
use super::device::{self, Seen, look};
use super::exempt::{self, Exempt};
use super::survey::About;
use super::{Rules, notice};
use crate::driver::{Read, Records};
use crate::record::device::{Device, device_key};
use crate::record::exemptions::exemptions_key;
use crate::record::login::Login as LoginRecord;
use crate::record::vault::Vault;
use crate::record::{LOGIN, OPEN, VAULT, user_key};
use crate::reference::Claims;
use crate::{
    Begin, DeviceId, Draw, Error, Expect, Intent, Key, KeyRing, Login, NoticeKind, TrustedDevice, Version,
};

/// A login that begins, with what was read of its token.
pub(crate) struct Arriving<'a> {
    pub(crate) login: &'a Login,
    /// The change that a proof is asked for, where one is.
    pub(crate) intent: Option<&'a Intent>,
    /// What the token of the user's device says.
    pub(crate) device: Option<Box<Claims>>,
    /// Where the user's records are.
    pub(crate) of_user: OfUser,
}

/// The records of a user that every login reads.
pub(crate) struct OfUser {
    pub(crate) login: Key,
    pub(crate) vault: Key,
    pub(crate) open: Key,
}

impl<'a> Arriving<'a> {
    pub(crate) fn new(ring: &KeyRing, login: &'a Login, intent: Option<&'a Intent>) -> Self {
        let device = device::read(ring, login.device.as_ref(), &login.subject).map(Box::new);
        let key = |kind| user_key(login.subject.account(), kind, login.subject.user());
        let of_user = OfUser { login: key(LOGIN), vault: key(VAULT), open: key(OPEN) };
        Self { login, intent, device, of_user }
    }

    /// The records that beginning needs: one get.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let OfUser { login, vault, open } = &self.of_user;
        let mut keys = vec![login.clone(), vault.clone(), open.clone()];
        keys.extend(
            self.device.as_ref().map(|claims| device_key(account, user, DeviceId::from_bytes(claims.id))),
        );
        keys.extend(self.may_be_exempt().then(|| exemptions_key(account, user)));
        keys
    }

    /// Looks at the device, once the user's record is read.
    pub(crate) fn look(
        &self,
        rules: &Rules,
        login: &Read<LoginRecord>,
        records: &Records,
        now: Timestamp,
    ) -> Result<Seen, Error> {
        let (Some(claims), Read::Live(record, _)) = (&self.device, login) else { return Ok(Seen::Nothing) };
        let whom = (&self.login.subject, record, self.login.first_factor.kind);
        look(rules, claims, whom, records, record.effective(now))
    }

    /// Looks whether the login is exempt, once the user's record is read.
    pub(crate) fn exempt(
        &self,
        rules: &Rules,
        login: &Read<LoginRecord>,
        records: &Records,
        now: Timestamp,
    ) -> Exempt {
        if !self.may_be_exempt() {
            return Exempt::No;
        }
        let at = match login {
            Read::Live(record, _) if record.generation == self.login.subject.generation() => {
                record.effective(now)
            }
            Read::Absent => now,
            // Another person's, or nobody can tell whose.
            Read::Live(..) | Read::Refused(_) => return Exempt::No,
        };
        exempt::look(rules, self.login, records, at)
    }

    /// Returns whether it is of a kind that an exemption may be for. A change is proven whatever there is.
    const fn may_be_exempt(&self) -> bool {
        self.login.first_factor.kind.is_of_a_program() && self.intent.is_none()
    }

    pub(crate) fn about(&self, seen: &Seen, exempt: &Exempt, explain: bool) -> About<'_> {
        let Login { subject, decision, method, .. } = self.login;
        let (wanted, known, exempt) = (method.as_ref(), seen.is_known(), exempt.id());
        let first_channel = self.login.first_factor.channel;
        About {
            subject,
            decision: *decision,
            wanted,
            intent: self.intent,
            first_channel,
            known,
            exempt,
            explain,
        }
    }
}

impl Beginning<'_> {
    /// Forgets a device of whose token somebody has a copy, so that neither value is good any more, and tells the
    /// user.
    pub(super) fn forget_copied(
        &mut self,
        id: DeviceId,
        version: Version,
        record: &mut LoginRecord,
        draw: &mut Draw,
    ) -> Result<(), Error> {
        let subject = &self.login.subject;
        let whom = (subject.account(), subject.user());
        self.plan.delete(device_key(whom.0, whom.1, id), Expect::Version(version));
        let event = self.event(Kind::DeviceReused, Outcome::Failure).field("device", id.to_string());
        self.changed = Some(event);
        let contacts: Vec<_> = subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        let kind = NoticeKind::DeviceReused;
        let when = (self.now, self.now);
        notice::queue(self.rules, whom, record, kind, &contacts, when, draw, &mut self.plan)?;
        Ok(())
    }

    /// Asks a trusted device for nothing more, and gives it its next token.
    pub(super) fn let_in(
        &mut self,
        record: LoginRecord,
        version: Version,
        vault: &Read<Vault>,
        (mut device, of, latest): (Device, Version, bool),
        draw: &mut Draw,
    ) -> Result<Begun, Error> {
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let key = device_key(account, user, device.id);
        let at = self.hold(record, version)?.effective(self.now);
        if let Read::Live(_, version) = vault {
            self.plan.check(self.of_user.vault.clone(), *version);
        }
        let mut event = self.event(Kind::LoginNotRequired, Outcome::Info);
        let token = if latest {
            event = event.stream(device.take_stream());
            let token = device.rotate(&self.rules.ring, (account, user), at, draw)?;
            self.plan.put(key, Expect::Version(of), &device, Some(device.expires_at))?;
            Some(token)
        } else {
            self.plan.check(key, of);
            None
        };
        let (id, expires_at) = (device.id, device.trusted_until(self.rules));
        let answer = TrustedDevice { device: id, token, expires_at };
        self.plan.events([event.reason(answer.code()).field("device", id.to_string())]);
        Ok(Begun::Answer(Begin::TrustedDevice(answer)))
    }
}
