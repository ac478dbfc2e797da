//! Binding: the moment from which a method counts, with the recovery set that came with it.

use audit_model::{EventBuilder, Timestamp};

use super::confirm::{Confirmed, Confirming};
use super::enrol::{place, room_for_one_more};
use super::manage::invitation_key;
use super::{Registered, notice, recovery};
use crate::driver::Records;
use crate::record::login::{Bound, Enrolment};
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, user_key};
use crate::{Draw, EnrolConfirm, EnrolmentId, Error, Expect, FieldError, NoticeKind, SecretBytes};

impl Confirming<'_> {
    /// Adds the method to the user's own. Checked again: others may have been added since this one began.
    pub(super) fn bind(
        &mut self,
        method: &Registered,
        plain: &SecretBytes,
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let id = EnrolmentId::from_bytes(self.claims.id);
        let (mut vault, expect) = self.vault(records)?;
        room_for_one_more(&self.login, &self.pending.generation, method)?;
        self.is_a_new_secret(method, &vault, plain)?;
        let at = place(self.claims, self.account, method, "vault");
        vault.set(id, at.seal(&self.rules.ring, draw.take()?, plain.expose_secret())?);
        let mut login = self.login.clone();
        login.enrolments.push(self.enrolment(id, method));
        login.pushes = 0;
        let events = vec![self.confirmed_event()];
        self.add_recovery(&mut login, &mut vault, draw)?;
        login.mark(self.now);
        let contacts: Vec<_> = self.subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        let whom = (self.account, &self.claims.user);
        let kind = NoticeKind::MethodAdded;
        let times = (self.now, self.now);
        notice::queue(self.rules, whom, &mut login, kind, &contacts, times, draw, &mut self.plan)?;
        let streams = login.take_stream(events.len());
        self.plan.events(events.into_iter().zip(streams).map(|(e, stream)| EventBuilder::stream(e, stream)));
        let login_key = user_key(self.account, LOGIN, &self.claims.user);
        self.plan.put(login_key, Expect::Version(self.login_version), &login, None)?;
        self.login_changed = false;
        self.plan.put(user_key(self.account, VAULT, &self.claims.user), expect, &vault, None)?;
        self.plan.delete_once(invitation_key(self.account, &self.claims.user));
        self.plan.answered(self.pending.texted.take());
        self.pending.confirmed = true;
        self.pending.secret = None;
        self.pending.state = None;
        self.pending.data = None;
        self.pending.effect = None;
        self.pending.recovery = None;
        self.put_pending()?;
        Ok(Confirmed::Answer(EnrolConfirm::Confirmed(id)))
    }

    fn enrolment(&self, id: EnrolmentId, method: &Registered) -> Enrolment {
        Enrolment {
            id,
            provider: self.pending.provider.clone(),
            consecutive: 0,
            failed_at: Timestamp::MIN,
            created_at: self.login.effective(self.now),
            data: self.pending.data.clone(),
            bound: self.pending.bound,
            configuration: method.configuration.clone(),
        }
    }

    /// Adds the recovery set that was shown, sealed anew for the place where it stays.
    fn add_recovery(
        &self,
        login: &mut crate::record::login::Login,
        vault: &mut Vault,
        draw: &mut Draw,
    ) -> Result<(), Error> {
        let Some(shown) = &self.pending.recovery else { return Ok(()) };
        let gone = || FieldError::new("recovery", "method_not_offered", "is not offered any more");
        let method = self.rules.usable(&shown.provider).ok_or_else(gone)?;
        if login.enrolments.iter().any(|enrolment| enrolment.provider == shown.provider) {
            return Err(FieldError::new("recovery", "already_enrolled", "was issued in the meantime").into());
        }
        let was = recovery::place(self.account, self.subject, method, "pending", shown.id);
        let secret = was.open(&self.rules.ring, &shown.secret)?;
        let at = recovery::place(self.account, self.subject, method, "vault", shown.id);
        vault.set(shown.id, at.seal(&self.rules.ring, draw.take()?, secret.expose_secret())?);
        login.enrolments.push(Enrolment {
            provider: shown.provider.clone(),
            data: shown.data.clone(),
            bound: Bound::Own,
            ..self.enrolment(shown.id, method)
        });
        Ok(())
    }

    /// Refuses a secret that the user has enrolled already: a code of it would be good twice.
    fn is_a_new_secret(&self, method: &Registered, vault: &Vault, plain: &SecretBytes) -> Result<(), Error> {
        let same_provider = |e: &&Enrolment| e.provider == method.name;
        for enrolment in self.login.enrolments.iter().filter(same_provider) {
            let of_enrolment =
                Place { enrolment: enrolment.id, ..place(self.claims, self.account, method, "vault") };
            let opened = vault.sealed(enrolment.id).map(|sealed| of_enrolment.open(&self.rules.ring, sealed));
            if let Some(Ok(held)) = opened
                && held.ct_eq(plain.expose_secret())
                && !plain.expose_secret().is_empty()
            {
                return Err(
                    FieldError::new("method", "already_enrolled", "has this very secret already").into()
                );
            }
        }
        Ok(())
    }
}
