//! Enrolment: begin shows a secret once, confirm proves that the user's device has it.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};

use super::{Registered, Rules, event};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Revealed, Then};
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::{Enrolment, Login, MAX_ENROLMENTS, TOLERATED_SKEW};
use crate::record::pending::PendingEnrolment;
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, pending_key, user_key};
use crate::reference::{Claims, Handle, Holder};
use crate::{
    Answer, Authority, ChallengeId, Change, Choice, Cx, Draw, EnrolConfirm, EnrolmentId, EnrolmentStarted,
    Error, Expect, FieldError, Key, Purpose, Reason, Rejected, RequestFacts, SecretBytes, StepEvent, Subject,
    Version,
};

pub(crate) fn begin_keys(subject: &Subject) -> Vec<Key> {
    vec![user_key(subject.account(), LOGIN, subject.user())]
}

#[expect(
    clippy::too_many_arguments,
    reason = "a decision: the rules, the request, the records, time and randomness"
)]
/// Begins an enrolment. Every begin has a record of its own: it neither replaces nor shows another's.
pub(crate) fn begin(
    rules: &Rules,
    subject: &Subject,
    method: &Registered,
    choice: &Choice,
    authority: &Authority,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<EnrolmentStarted>, Error> {
    let (mut login, version) = match read_login(records, subject.account(), subject.user())? {
        Some((login, version)) => (login, Some(version)),
        None => (Login::first(subject.generation(), now, draw.take()?), None),
    };
    room_for_one_more(&login, subject.generation(), method)?;
    let of_another = login.generation != subject.generation();
    if of_another {
        // The id belongs to another person now, and nothing of the former one is left but this record.
        subject.generation().clone_into(&mut login.generation);
        login.raise_fence();
    }
    let at = login.effective(now);
    let id = EnrolmentId::from_random(draw.take()?);
    let claims = Claims {
        format: Claims::FORMAT,
        key: rules.ring.active().as_str().to_owned(),
        handle: Handle::Enrolment,
        user: subject.user().clone(),
        lineage: subject.lineage().to_vec(),
        module: String::new(),
        label: subject.label().to_owned(),
        id: *id.as_bytes(),
        binder: draw.take()?,
        holder: Holder::Binder,
    };
    let nonce = draw.take()?;
    let mut cx = context(&claims, subject.account(), method, now, draw);
    let step = method.code.handle(&mut cx, &ErasedHeld::default(), StepEvent::Begin(choice))?;
    let (prompt, revealed) = match step.then {
        Then::Reveal(prompt, revealed) => (prompt, revealed),
        Then::Prompt(prompt) => (prompt, Revealed::new()),
        _ => return Err(Error::Unavailable("a provider that neither reveals nor prompts")),
    };
    let secret = match &step.secret {
        Change::Set(plain) => {
            Some(place(&claims, subject.account(), method, "pending").seal(&rules.ring, nonce, plain)?)
        }
        Change::Same | Change::Clear => None,
    };
    let pending = PendingEnrolment {
        generation: subject.generation().to_owned(),
        fence: login.fence,
        provider: method.name.as_str().to_owned(),
        key: claims.key.clone(),
        binder: claims.binder_hash(&rules.ring)?,
        authority: actor(authority),
        created_at: at,
        expires_at: at.plus(rules.policy.enrolment_ttl()),
        attempts_left: rules.policy.attempts(),
        malformed: 0,
        told: 0,
        confirmed: false,
        state: set(step.state),
        data: set(step.enrolment),
        secret,
    };
    let mut plan = Plan::default();
    let key = pending_key(subject.account(), subject.user(), id);
    plan.put(key, Expect::Absent, &pending, Some(gone_at(&pending)))?;
    let event = event(subject.account(), subject.user(), Kind::EnrolmentBegun, Outcome::Info, now);
    let mut event = authority.describe(describe(event, method, id));
    // The record is there from the first begin on: whatever ends open challenges ends pending enrolments too.
    let login_key = user_key(subject.account(), LOGIN, subject.user());
    match version {
        Some(version) if !of_another => plan.check(login_key, version),
        version => {
            event = login.take_stream(1).into_iter().fold(event, EventBuilder::stream);
            plan.put(login_key, version.map_or(Expect::Absent, Expect::Version), &login, None)?;
        }
    }
    plan.events([event]);
    let reference = claims.issue(&rules.ring)?;
    let started = EnrolmentStarted { id, reference, prompt, revealed, expires_at: pending.expires_at };
    Ok(Decision { plan, value: started })
}

pub(crate) fn confirm_keys(claims: &Claims) -> Result<Vec<Key>, Error> {
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

/// Returns why a user cannot enrol another method, if so.
fn room_for_one_more(login: &Login, generation: &str, method: &Registered) -> Result<(), FieldError> {
    if login.generation != generation && !login.enrolments.is_empty() {
        let problem = "belongs to another person's records; forget the former user first";
        return Err(FieldError::new("user", "generation", problem));
    }
    if login.enrolments.len() >= MAX_ENROLMENTS {
        let problem =
            format!("the user has {MAX_ENROLMENTS} already, the most there may be; remove one first");
        return Err(FieldError::new("method", "too_many_enrolments", problem));
    }
    let descriptor = method.code.describe();
    if !descriptor.several && login.enrolments.iter().any(|e| e.provider == method.name.as_str()) {
        return Err(FieldError::new("method", "already_enrolled", "is enrolled already; remove it first"));
    }
    Ok(())
}

pub(crate) fn read_login(
    records: &Records,
    account: &AccountId,
    user: &UserId,
) -> Result<Option<(Login, Version)>, Error> {
    match records.read::<Login>(&user_key(account, LOGIN, user)) {
        Read::Absent => Ok(None),
        Read::Live(login, version) => Ok(Some((login, version))),
        Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
    }
}

fn context<'a>(
    claims: &'a Claims,
    account: &'a AccountId,
    method: &'a Registered,
    now: Timestamp,
    draw: &'a mut Draw,
) -> Cx<'a> {
    Cx {
        now,
        account,
        user: &claims.user,
        label: &claims.label,
        purpose: Purpose::Enrol,
        challenge: ChallengeId::from_bytes(claims.id),
        enrolment: EnrolmentId::from_bytes(claims.id),
        settings: &method.settings,
        entropy: draw,
    }
}

fn place<'a>(
    claims: &'a Claims,
    account: &'a AccountId,
    method: &'a Registered,
    kind: &'static str,
) -> Place<'a> {
    let enrolment = EnrolmentId::from_bytes(claims.id);
    Place { account, user: &claims.user, kind, provider: method.name.as_str(), enrolment }
}

fn describe(event: EventBuilder, method: &Registered, id: EnrolmentId) -> EventBuilder {
    event.field("method", method.name.as_str().to_owned()).field("enrolment", id.to_string())
}

fn actor(authority: &Authority) -> String {
    match authority {
        Authority::HostVouched { actor, .. } => actor.clone(),
    }
}

fn set<T>(change: Change<T>) -> Option<T> {
    match change {
        Change::Set(value) => Some(value),
        Change::Same | Change::Clear => None,
    }
}

/// A confirmed or expired enrolment is told so for a day more.
fn gone_at(pending: &PendingEnrolment) -> Timestamp {
    pending.expires_at.plus(crate::record::challenge::KEPT_AFTER)
}

const fn rejected(reason: Reason, attempts_left: u8) -> EnrolConfirm {
    EnrolConfirm::Rejected(Rejected { reason, attempts_left, retry_after: None })
}
