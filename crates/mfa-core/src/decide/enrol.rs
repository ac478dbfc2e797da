//! Enrolment: begin shows a secret once, confirm proves that the user's device has it.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};

use super::{Registered, Rules, event};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, Revealed, Then};
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::{Enrolment, Login, MAX_ENROLMENTS, TOLERATED_SKEW};
use crate::record::pending::PendingEnrolment;
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, VAULT, pending_key, user_key};
use crate::reference::{Claims, Handle, Holder};
use crate::{
    Answer, Authority, ChallengeId, Change, Choice, Cx, Draw, EnrolConfirm, EnrolmentId, EnrolmentStarted,
    Error, Expect, FieldError, Key, Purpose, Reason, Rejected, RequestFacts, StepEvent, Subject, Version,
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
    let login = read_login(records, subject.account(), subject.user())?;
    let login = login.map(|(login, _)| login).unwrap_or_default();
    room_for_one_more(&login, subject.generation(), method)?;
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
    plan.events([authority.describe(describe(event, method, id))]);
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

/// Confirms an enrolment with an answer that the new secret makes.
pub(crate) fn confirm(
    rules: &Rules,
    claims: &Claims,
    answer: &Answer,
    request: &RequestFacts,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<EnrolConfirm>, Error> {
    let account = claims.account()?;
    let id = EnrolmentId::from_bytes(claims.id);
    let key = pending_key(account, &claims.user, id);
    let (pending, version) = match records.read::<PendingEnrolment>(&key) {
        Read::Absent => return Ok(Decision::only(rejected(Reason::NotFound, 0))),
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        Read::Live(pending, version) => (pending, version),
    };
    if !claims.hold(&rules.ring, &pending.binder, None)? {
        return Ok(Decision::only(rejected(Reason::NotFound, 0)));
    }
    let login = read_login(records, account, &claims.user)?;
    let mut confirming =
        Confirming { rules, claims, account, request, now, pending, version, login, plan: Plan::default() };
    let value = confirming.judge(answer, records, draw)?;
    Ok(Decision { plan: confirming.plan, value })
}

struct Confirming<'a> {
    rules: &'a Rules,
    claims: &'a Claims,
    account: &'a AccountId,
    request: &'a RequestFacts,
    now: Timestamp,
    pending: PendingEnrolment,
    version: Version,
    login: Option<(Login, Version)>,
    plan: Plan,
}

impl Confirming<'_> {
    fn judge(&mut self, answer: &Answer, records: &Records, draw: &mut Draw) -> Result<EnrolConfirm, Error> {
        let at = self.login.as_ref().map_or(self.now, |(login, _)| login.effective(self.now));
        if self.pending.confirmed {
            return self.refuse(Reason::AlreadyVerified);
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
        match &step.then {
            Then::Accept(_) => {
                let plain = match &step.secret {
                    Change::Set(plain) => plain.as_slice(),
                    _ => secret.as_ref().map_or(&[][..], |secret| secret.expose_secret()),
                };
                let sealed =
                    place(self.claims, self.account, method, "vault").seal(&self.rules.ring, nonce, plain)?;
                self.accept(method, step, sealed, at, records)
            }
            Then::Reject(reason) => self.refuse(*reason),
            _ => Err(Error::Unavailable("a provider that does not judge a confirmation")),
        }
    }

    fn accept(
        &mut self,
        method: &Registered,
        step: ErasedStep,
        sealed: crate::keyring::Sealed,
        at: Timestamp,
        records: &Records,
    ) -> Result<EnrolConfirm, Error> {
        let id = EnrolmentId::from_bytes(self.claims.id);
        let (mut login, expect) = match self.login.take() {
            Some((login, version)) => (login, Expect::Version(version)),
            None => (self.first_login(), Expect::Absent),
        };
        // Checked again: other enrolments may have been confirmed since this one began.
        room_for_one_more(&login, &self.pending.generation, method)?;
        login.generation.clone_from(&self.pending.generation);
        let data = match step.enrolment {
            Change::Set(data) => Some(data),
            Change::Same => self.pending.data.clone(),
            Change::Clear => None,
        };
        login.enrolments.push(Enrolment {
            id,
            provider: method.name.as_str().to_owned(),
            consecutive: 0,
            failed_at: Timestamp::MIN,
            created_at: at,
            data,
        });
        login.mark(self.now);
        let vault_key = user_key(self.account, VAULT, &self.claims.user);
        let (mut vault, vault_expect) = match records.read::<Vault>(&vault_key) {
            Read::Absent => (Vault::default(), Expect::Absent),
            Read::Live(vault, version) => (vault, Expect::Version(version)),
            Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        };
        vault.set(id, sealed);
        let event = self.event(Kind::EnrolmentConfirmed, Outcome::Success);
        let event = event.field("authority", "host_vouched").actor(self.pending.authority.clone());
        let streams = login.take_stream(self.account, &self.claims.user, 1);
        self.plan.events(streams.into_iter().map(|stream| event.clone().stream(stream)));
        self.plan.put(user_key(self.account, LOGIN, &self.claims.user), expect, &login, None)?;
        self.plan.put(vault_key, vault_expect, &vault, None)?;
        self.pending.confirmed = true;
        self.pending.secret = None;
        self.pending.state = None;
        self.pending.data = None;
        self.put_pending()?;
        Ok(EnrolConfirm::Confirmed(id))
    }

    /// The fence begins at the time, so that no challenge of a forgotten record fits a new one.
    fn first_login(&self) -> Login {
        let generation = self.pending.generation.clone();
        Login { generation, fence: self.now.unix_millis(), ..Login::default() }
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
