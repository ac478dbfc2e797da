//! Moving records to the active key: bodies are authenticated anew, what is sealed in them is sealed anew.

use audit_model::{Scope, Timestamp, UserId};

use super::{Rules, notice};
use crate::driver::{Decision, Read, Records};
use crate::grant::GRANT_LIFE;
use crate::keyring::Sealed;
use crate::machine::Status;
use crate::plan::Plan;
use crate::record::api_key::{self, ApiKeyRecord};
use crate::record::challenge::Challenge;
use crate::record::configurations::{CONFIGURATIONS, Configurations};
use crate::record::device::Device;
use crate::record::directory::{self, DirectoryUser};
use crate::record::document::{Document, POLICY, SETTINGS};
use crate::record::exemptions::{EXEMPTIONS, Exemptions};
use crate::record::identity::HeldIdentity;
use crate::record::login::Login;
use crate::record::message::{MessagePlace, QueuedMessage};
use crate::record::notice::Notice;
use crate::record::open::Open;
use crate::record::pending::PendingEnrolment;
use crate::record::proof::{Invitation, Proof, Ticket};
use crate::record::vault::{Place, Vault};
use crate::record::{
    API_KEY, CHALLENGE, DEVICE, DIRECTORY_USER, IDENTITY, INVITATION, LOGIN, MESSAGE, NOTICE, OPEN, PENDING,
    PROOF, TICKET, VAULT, envelope, user_key, user_of,
};
use crate::{CodecError, Draw, EnrolmentId, Error, Expect, Key, KeyId, Record, Versioned};

/// The ids of the keys that a record cannot be used without.
#[derive(Debug)]
pub(crate) struct Needs {
    /// Those of its body and of what is sealed in it: writing it anew moves it from them.
    pub(crate) moved: Vec<KeyId>,
    /// Those of handles that were given out: needed until the handles' lives are over.
    pub(crate) handed_out: Vec<KeyId>,
}

/// Returns what a record cannot be used without at `now`.
pub(crate) fn needs_of(rules: &Rules, record: &Record, now: Timestamp) -> Result<Needs, &'static str> {
    let outer =
        envelope::key_of(&record.body).and_then(|id| KeyId::parse(id).ok()).ok_or("malformed_key_id")?;
    let payload = envelope::unwrap(&rules.ring, &record.key, record.version, &record.body)?;
    let mut needs = inner_needs(&record.key, payload, now).map_err(|_| "malformed")?;
    needs.moved.push(outer);
    Ok(needs)
}

fn inner_needs(key: &Key, payload: &[u8], now: Timestamp) -> Result<Needs, CodecError> {
    let (mut moved, mut handed_out) = (Vec::new(), Vec::new());
    match key.kind {
        VAULT => moved.extend(Vault::decode(payload)?.secrets.into_iter().map(|(_, sealed)| sealed.key)),
        PENDING => {
            let pending = PendingEnrolment::decode(payload)?;
            moved.extend(pending.secret.map(|sealed| sealed.key));
            moved.extend(pending.recovery.map(|shown| shown.secret.key));
            handed_out.extend((now < pending.expires_at).then_some(pending.key));
        }
        CHALLENGE => {
            let challenge = Challenge::decode(payload)?;
            moved.extend(challenge.contacts.map(|sealed| sealed.key));
            let open = !challenge.status.is_terminal() && now < challenge.expires_at;
            // Its grant may not be redeemed yet.
            let granted = challenge.status == Status::Redeemed && now < challenge.updated_at.plus(GRANT_LIFE);
            handed_out.extend((open || granted).then_some(challenge.key));
        }
        DIRECTORY_USER => {
            moved.extend(DirectoryUser::decode(payload)?.contacts.map(|sealed| sealed.key));
        }
        CONFIGURATIONS => {
            let all = Configurations::decode(payload)?.all;
            moved.extend(all.into_iter().map(|stored| stored.sealed.key));
        }
        MESSAGE => moved.push(QueuedMessage::decode(payload)?.letter.key),
        NOTICE => moved.push(Notice::decode(payload)?.to.key),
        IDENTITY => moved.push(HeldIdentity::decode(payload)?.sealed.key),
        PROOF => handed_out.push(Proof::decode(payload)?.held.key),
        TICKET => handed_out.push(Ticket::decode(payload)?.held.key),
        DEVICE => handed_out.extend(Device::decode(payload)?.keys(now).cloned()),
        INVITATION => handed_out.push(Invitation::decode(payload)?.held.key),
        API_KEY => {
            let record = ApiKeyRecord::decode(payload)?;
            moved.extend(record.text.map(|sealed| sealed.key));
            // What was hashed moves when the key is used, and its hint with it.
            handed_out.extend([record.hash.key, record.hint.key]);
        }
        _ => {}
    }
    Ok(Needs { moved, handed_out })
}

/// Writes a record anew, as it is but for its keys. What was hashed under a key for whoever holds a handle stays so
/// until the handle's life is over.
pub(crate) fn reseal(
    rules: &Rules,
    key: &Key,
    records: &Records,
    draw: &mut Draw,
) -> Result<Decision<bool>, Error> {
    let again = Again { rules, key, records };
    match key.kind {
        LOGIN => again.rewrap::<Login>(|_| Ok(())),
        OPEN => again.rewrap::<Open>(|_| Ok(())),
        PROOF => again.rewrap::<Proof>(|_| Ok(())),
        TICKET => again.rewrap::<Ticket>(|_| Ok(())),
        INVITATION => again.rewrap::<Invitation>(|_| Ok(())),
        DEVICE => again.rewrap::<Device>(|_| Ok(())),
        EXEMPTIONS => again.rewrap::<Exemptions>(|_| Ok(())),
        DIRECTORY_USER => again.rewrap::<DirectoryUser>(|row| again.directory(row, draw)),
        SETTINGS | POLICY => again.rewrap::<Document>(|_| Ok(())),
        VAULT => {
            let mut decision = again.rewrap::<Vault>(|vault| again.vault(vault, draw))?;
            again.hold_login(&mut decision.plan);
            Ok(decision)
        }
        PENDING => again.rewrap::<PendingEnrolment>(|pending| again.pending(pending, draw)),
        CHALLENGE => again.rewrap::<Challenge>(|challenge| {
            let Some(sealed) = &challenge.contacts else { return Ok(()) };
            let id = key.id.last_chunk().ok_or(CodecError::Malformed)?;
            challenge.contacts = Some(again.contacts(&challenge.user, id, sealed, draw)?);
            Ok(())
        }),
        MESSAGE => again.rewrap::<QueuedMessage>(|queued| again.message(queued, draw)),
        NOTICE => again.rewrap::<Notice>(|notice| {
            let user = user_of(key).ok_or(CodecError::Malformed)?;
            let id = key.id.last_chunk().ok_or(CodecError::Malformed)?;
            notice.to = again.contacts(&user, id, &notice.to, draw)?;
            Ok(())
        }),
        CONFIGURATIONS => again.rewrap::<Configurations>(|record| again.configurations(record, draw)),
        API_KEY => again.rewrap::<ApiKeyRecord>(|record| again.api_key(record, draw)),
        _ => Ok(Decision::only(false)),
    }
}

struct Again<'a> {
    rules: &'a Rules,
    key: &'a Key,
    records: &'a Records,
}

impl Again<'_> {
    fn rewrap<T: Versioned>(
        &self,
        change: impl FnOnce(&mut T) -> Result<(), Error>,
    ) -> Result<Decision<bool>, Error> {
        let Read::Live(mut value, version) = self.records.read::<T>(self.key) else {
            return Ok(Decision::only(false));
        };
        change(&mut value)?;
        let mut plan = Plan::default();
        plan.put(self.key.clone(), Expect::Version(version), &value, self.records.expires_at(self.key))?;
        Ok(Decision { plan, value: true })
    }

    /// Secrets are dropped by what the user's `login` record says: it must still say so.
    fn hold_login(&self, plan: &mut Plan) {
        let user = plain_user(self.key).ok().zip(self.key.scope.account());
        let key = user.map(|(user, account)| user_key(account, LOGIN, &user));
        if let Some(key) = key
            && let Read::Live(_, version) = self.records.read::<Login>(&key)
        {
            plan.check(key, version);
        }
    }

    /// A secret's place names its provider, which the user's `login` record knows.
    fn vault(&self, vault: &mut Vault, draw: &mut Draw) -> Result<(), Error> {
        let Scope::Account(account) = &self.key.scope else { return Ok(()) };
        let user = plain_user(self.key)?;
        let login = match self.records.read::<Login>(&user_key(account, LOGIN, &user)) {
            Read::Live(login, _) => login,
            Read::Absent | Read::Refused(_) => return Err(Error::Unavailable("a vault without its user")),
        };
        // A secret of no enrolment can never be used again.
        vault.secrets.retain(|(id, _)| login.enrolment(*id).is_some());
        let active = self.rules.ring.active();
        for (id, sealed) in vault.secrets.iter_mut().filter(|(_, sealed)| sealed.key != active) {
            let provider = login.enrolment(*id).map(|e| e.provider.as_str()).unwrap_or_default();
            let place = Place { account, user: &user, kind: "vault", provider, enrolment: *id };
            *sealed = self.sealed_anew(place, sealed, draw)?;
        }
        Ok(())
    }

    fn pending(&self, pending: &mut PendingEnrolment, draw: &mut Draw) -> Result<(), Error> {
        let Scope::Account(account) = &self.key.scope else { return Ok(()) };
        let user = user_of(self.key).ok_or(CodecError::Malformed)?;
        let id = EnrolmentId::from_bytes(*self.key.id.last_chunk().ok_or(CodecError::Malformed)?);
        let place =
            |provider, enrolment| Place { account, user: &user, kind: "pending", provider, enrolment };
        if let Some(sealed) = &pending.secret {
            pending.secret = Some(self.sealed_anew(place(pending.provider.as_str(), id), sealed, draw)?);
        }
        if let Some(shown) = &mut pending.recovery {
            shown.secret = self.sealed_anew(place(shown.provider.as_str(), shown.id), &shown.secret, draw)?;
        }
        Ok(())
    }

    fn message(&self, queued: &mut QueuedMessage, draw: &mut Draw) -> Result<(), Error> {
        let Scope::Account(account) = &self.key.scope else { return Ok(()) };
        let (ring, user) = (&self.rules.ring, user_of(self.key).ok_or(CodecError::Malformed)?);
        let challenge = self.key.id.last_chunk().ok_or(CodecError::Malformed)?;
        let place = MessagePlace { account, user: &user, challenge, effect: &queued.effect };
        let letter = place.open(ring, &queued.letter)?;
        queued.letter = place.seal(ring, &letter, draw)?;
        Ok(())
    }

    fn directory(&self, row: &mut DirectoryUser, draw: &mut Draw) -> Result<(), Error> {
        let Scope::Account(account) = &self.key.scope else { return Ok(()) };
        let (ring, user) = (&self.rules.ring, plain_user(self.key)?);
        let contacts = directory::open(ring, (account, &user), row.contacts.as_ref())?;
        row.contacts = directory::seal(ring, (account, &user), &contacts, draw)?;
        Ok(())
    }

    /// What may not be shown any more is dropped.
    fn api_key(&self, record: &mut ApiKeyRecord, draw: &mut Draw) -> Result<(), Error> {
        let (Scope::Account(account), Some(sealed)) = (&self.key.scope, &record.text) else { return Ok(()) };
        let ring = &self.rules.ring;
        record.text = if self.rules.policy.api_keys_hash_only() {
            None
        } else {
            let text = api_key::open(ring, account, sealed)?;
            Some(api_key::seal(ring, account, &text, draw)?)
        };
        Ok(())
    }

    /// One draw has not the bytes for all: the nonces are one random nonce counted on.
    fn configurations(&self, record: &mut Configurations, draw: &mut Draw) -> Result<(), Error> {
        let first: [u8; 12] = draw.take()?;
        let active = self.rules.ring.active();
        let old = record.all.iter_mut().filter(|stored| stored.sealed.key != active);
        for (stored, count) in old.zip(0_u8..) {
            let mut nonce = first;
            if let Some(last) = nonce.last_mut() {
                *last = last.wrapping_add(count);
            }
            stored.seal_anew(&self.rules.ring, &self.key.scope, nonce)?;
        }
        Ok(())
    }

    fn sealed_anew(&self, place: Place<'_>, sealed: &Sealed, draw: &mut Draw) -> Result<Sealed, Error> {
        let plain = place.open(&self.rules.ring, sealed)?;
        Ok(place.seal(&self.rules.ring, draw.take()?, plain.expose_secret())?)
    }

    fn contacts(
        &self,
        user: &UserId,
        id: &[u8; 16],
        sealed: &Sealed,
        draw: &mut Draw,
    ) -> Result<Sealed, Error> {
        let Scope::Account(account) = &self.key.scope else { return Ok(sealed.clone()) };
        let contacts = notice::open(self.rules, account, user, id, sealed)?;
        notice::seal(self.rules, account, user, id, &contacts, draw)
    }
}

/// Returns the user whose id alone a record's key is.
pub(crate) fn plain_user(key: &Key) -> Result<UserId, Error> {
    let id = core::str::from_utf8(&key.id).ok().and_then(|id| UserId::parse(id).ok());
    Ok(id.ok_or(CodecError::Malformed)?)
}
