//! Confirmation: an answer proves that the user's device has the secret that was shown.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp};

use super::enrol::{context, gone_at, place, read_login, room_for_one_more};
use super::{Registered, Rules, event};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Then};
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::{Enrolment, Login, TOLERATED_SKEW};
use crate::record::pending::PendingEnrolment;
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, pending_key, user_key};
use crate::reference::Claims;
use crate::{
    Answer, Change, Draw, EnrolConfirm, EnrolmentId, Error, Expect, FieldError, Key, Reason, Rejected,
    RequestFacts, SecretBytes, StepEvent, Subject, Version,
};

pub(crate) fn keys(claims: &Claims) -> Result<Vec<Key>, Error> {
    let account = claims.account()?;
    Ok(vec![
        user_key(account, LOGIN, &claims.user),
        user_key(account, VAULT, &claims.user),
        pending_key(account, &claims.user, EnrolmentId::from_bytes(claims.id)),
    ])
}

/// Confirms an enrolment with an answer that the new secret makes. `subject` is the user as the directory has
/// it now.
pub(crate) fn confirm(
    rules: &Rules,
    claims: &Claims,
    subject: &Subject,
    (answer, request): (&Answer, &RequestFacts),
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<EnrolConfirm>, Error> {
    let account = claims.account()?;
    let key = pending_key(account, &claims.user, EnrolmentId::from_bytes(claims.id));
    let (pending, version) = match records.read::<PendingEnrolment>(&key) {
        Read::Absent => return Ok(Decision::only(rejected(Reason::NotFound, 0))),
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        Read::Live(pending, version) => (pending, version),
    };
    if !claims.hold(&rules.ring, &pending.binder, None, &pending.generation)? {
        return Ok(Decision::only(rejected(Reason::NotFound, 0)));
    }
    let Some((login, login_version)) = read_login(records, account, &claims.user)? else {
        // The user was forgotten since.
        return Ok(Decision::only(rejected(Reason::Superseded, 0)));
    };
    let superseded = pending.fence != login.fence
        || pending.generation != login.generation
        || pending.generation != subject.generation();
    let plan = Plan::default();
    let mut confirming = Confirming {
        rules,
        claims,
        account,
        request,
        now,
        superseded,
        pending,
        version,
        login,
        login_version,
        plan,
    };
    let value = confirming.judge(answer, records, draw)?;
    Ok(Decision { plan: confirming.plan, value })
}

struct Confirming<'a> {
    rules: &'a Rules,
    claims: &'a Claims,
    account: &'a AccountId,
    request: &'a RequestFacts,
    now: Timestamp,
    superseded: bool,
    pending: PendingEnrolment,
    version: Version,
    login: Login,
    login_version: Version,
    plan: Plan,
}

impl Confirming<'_> {
    fn judge(&mut self, answer: &Answer, records: &Records, draw: &mut Draw) -> Result<EnrolConfirm, Error> {
        let at = self.login.effective(self.now);
        if self.pending.confirmed {
            return self.refuse(Reason::AlreadyVerified);
        }
        if self.superseded {
            return self.refuse(Reason::Superseded);
        }
        if self.pending.attempts_left == 0 || self.pending.malformed >= MAX_MALFORMED {
            return self.refuse(Reason::Exhausted);
        }
        // An expiry that was told once stays, and so does that of a clock that ran ahead.
        let told = self.pending.told & Reason::EnrolmentExpired.bit() != 0;
        let begun_in_the_future = self.pending.created_at.since(at) > TOLERATED_SKEW;
        if told || begun_in_the_future || at >= self.pending.expires_at {
            return self.refuse(Reason::EnrolmentExpired);
        }
        let Some(method) = self.rules.usable(&self.pending.provider) else {
            return self.refuse(Reason::Unavailable);
        };
        if !method.code.describe().answers.contains(&answer.kind()) {
            return self.refuse(Reason::WrongCode);
        }
        let pending_place = place(self.claims, self.account, method, "pending");
        let secret = self.pending.secret.as_ref().map(|sealed| pending_place.open(&self.rules.ring, sealed));
        let secret = secret.transpose()?;
        let nonce = draw.take()?;
        let mut cx = context(self.claims, self.account, method, self.now, draw);
        let held = ErasedHeld {
            state: self.pending.state.as_deref(),
            enrolment: self.pending.data.as_deref(),
            secret: secret.as_ref(),
        };
        let step = method.code.handle(&mut cx, &held, StepEvent::Answer(answer))?;
        match step.then {
            Then::Accept(_) => {
                let plain = match step.secret {
                    Change::Set(plain) => SecretBytes::from(plain),
                    Change::Same | Change::Clear => secret.unwrap_or_default(),
                };
                self.accept(method, step.enrolment, &plain, nonce, records)
            }
            Then::Reject(reason) => self.refuse(reason),
            _ => Err(Error::Unavailable("a provider that does not judge a confirmation")),
        }
    }

    fn accept(
        &mut self,
        method: &Registered,
        data: Change<Vec<u8>>,
        plain: &SecretBytes,
        nonce: [u8; 12],
        records: &Records,
    ) -> Result<EnrolConfirm, Error> {
        let id = EnrolmentId::from_bytes(self.claims.id);
        let vault_key = user_key(self.account, VAULT, &self.claims.user);
        let (mut vault, vault_expect) = match records.read::<Vault>(&vault_key) {
            Read::Absent => (Vault::default(), Expect::Absent),
            Read::Live(vault, version) => (vault, Expect::Version(version)),
            Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        };
        // Checked again: other enrolments may have been confirmed since this one began.
        room_for_one_more(&self.login, &self.pending.generation, method)?;
        self.is_a_new_secret(method, &vault, plain)?;
        vault.set(
            id,
            place(self.claims, self.account, method, "vault").seal(
                &self.rules.ring,
                nonce,
                plain.expose_secret(),
            )?,
        );
        let mut login = self.login.clone();
        login.enrolments.push(Enrolment {
            id,
            provider: method.name.as_str().to_owned(),
            consecutive: 0,
            failed_at: Timestamp::MIN,
            created_at: login.effective(self.now),
            data: match data {
                Change::Set(data) => Some(data),
                Change::Same => self.pending.data.clone(),
                Change::Clear => None,
            },
        });
        login.mark(self.now);
        let event = self.event(Kind::EnrolmentConfirmed, Outcome::Success);
        let event = event.field("authority", "host_vouched").actor(self.pending.authority.clone());
        self.plan.events([login.take_stream(1).into_iter().fold(event, EventBuilder::stream)]);
        let login_key = user_key(self.account, LOGIN, &self.claims.user);
        self.plan.put(login_key, Expect::Version(self.login_version), &login, None)?;
        self.plan.put(vault_key, vault_expect, &vault, None)?;
        self.pending.confirmed = true;
        self.pending.secret = None;
        self.pending.state = None;
        self.pending.data = None;
        self.put_pending()?;
        Ok(EnrolConfirm::Confirmed(id))
    }

    /// Refuses a secret that the user has enrolled already: a code of it would be good twice.
    fn is_a_new_secret(&self, method: &Registered, vault: &Vault, plain: &SecretBytes) -> Result<(), Error> {
        let same_provider = |e: &&Enrolment| e.provider == method.name.as_str();
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

    fn refuse(&mut self, reason: Reason) -> Result<EnrolConfirm, Error> {
        let cost = Cost::of(reason);
        let first = self.pending.told & reason.bit() == 0;
        if cost.attempt {
            self.pending.attempts_left = self.pending.attempts_left.saturating_sub(1);
        }
        if cost.malformed {
            self.pending.malformed = self.pending.malformed.saturating_add(1);
        }
        let tell = cost.event == When::Each || (cost.event == When::First && first);
        if tell {
            self.pending.told |= reason.bit();
            let event = self.event(Kind::EnrolmentRejected, Outcome::Failure).reason(reason.code());
            self.plan.events([event]);
        }
        if tell || cost.attempt || cost.malformed {
            self.put_pending()?;
        }
        Ok(rejected(reason, self.pending.attempts_left))
    }

    fn put_pending(&mut self) -> Result<(), Error> {
        let id = EnrolmentId::from_bytes(self.claims.id);
        let key = pending_key(self.account, &self.claims.user, id);
        self.plan.put(key, Expect::Version(self.version), &self.pending, Some(gone_at(&self.pending)))
    }

    fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        let event = event(self.account, &self.claims.user, kind, outcome, self.now)
            .field("method", self.pending.provider.clone())
            .field("enrolment", EnrolmentId::from_bytes(self.claims.id).to_string());
        self.request.describe(event)
    }
}

const fn rejected(reason: Reason, attempts_left: u8) -> EnrolConfirm {
    EnrolConfirm::Rejected(Rejected { reason, attempts_left, retry_after: None })
}
