//! Confirmation: an answer proves that the user's device has the secret that was shown. Where recovery comes with
//! a first method, its set is shown then, and the method counts once the user has acknowledged it (`bind`).

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp};

use super::authorise::by;
use super::enrol::{context, gone_at, place, read_login, room_for_one_more};
use super::recovery::{self, Hashing};
use super::{Registered, Rules, event};
use crate::driver::{Decision, Read, Records};
use crate::permission::Right;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Then};
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::{Bound, Login, TOLERATED_SKEW};
use crate::record::pending::{PendingEnrolment, Shown};
use crate::record::vault::Vault;
use crate::record::{LOGIN, PENDING, VAULT, user_key, users_key};
use crate::reference::Claims;
use crate::{
    Answer, Change, Draw, EnrolConfirm, EnrolmentId, Error, Expect, FieldError, IssuedRecovery, Key, Reason,
    Rejected, RequestFacts, SecretBytes, StepEvent, Subject, Version,
};

pub(crate) fn keys(claims: &Claims) -> Result<Vec<Key>, Error> {
    let account = claims.account()?;
    Ok(vec![
        user_key(account, LOGIN, &claims.user),
        user_key(account, VAULT, &claims.user),
        users_key(account, PENDING, &claims.user, &claims.id),
    ])
}

/// What a confirmation comes to.
pub(crate) enum Confirmed {
    Answer(EnrolConfirm),
    /// The answer is right; the hashes of the recovery set that comes with it are to be made.
    Hash(Box<Hashing>, Box<Charged>),
}

/// What was charged for hashes: the provider's bytes before the right answer and after it.
pub(crate) struct Charged {
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
}

/// What is asked of a pending enrolment by the holder of its reference.
pub(crate) enum Ask<'a> {
    Answer(&'a Answer),
    /// The hashes of the recovery set are there: its id, the provider's state, the digest.
    Show(EnrolmentId, Option<&'a [u8]>, &'a SecretBytes),
    /// The hashes provably never started: what was charged for them is given back.
    GiveBack(&'a Charged),
    Acknowledge,
}

/// Decides about a pending enrolment. `subject` is the user as the directory has it now.
pub(crate) fn confirm(
    rules: &Rules,
    claims: &Claims,
    subject: &Subject,
    (ask, request): (&Ask<'_>, &RequestFacts),
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Confirmed>, Error> {
    let account = claims.account()?;
    let key = users_key(account, PENDING, &claims.user, &claims.id);
    let answer = |rejected| Ok(Decision::only(Confirmed::Answer(rejected)));
    let (pending, version) = match records.read::<PendingEnrolment>(&key) {
        Read::Absent => return answer(rejected(Reason::NotFound, 0)),
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        Read::Live(pending, version) => (pending, version),
    };
    if !claims.hold(&rules.ring, &pending.binder, None, &pending.generation)? {
        return answer(rejected(Reason::NotFound, 0));
    }
    let Some((login, login_version)) = read_login(records, account, &claims.user)? else {
        // The user was forgotten since.
        return answer(rejected(Reason::Superseded, 0));
    };
    let plan = Plan::default();
    let mut confirming = Confirming {
        rules,
        claims,
        account,
        subject,
        request,
        now,
        pending,
        version,
        login,
        login_version,
        plan,
    };
    let value = confirming.decide(ask, records, draw)?;
    Ok(Decision { plan: confirming.plan, value })
}

pub(super) struct Confirming<'a> {
    pub(super) rules: &'a Rules,
    pub(super) claims: &'a Claims,
    pub(super) account: &'a AccountId,
    pub(super) subject: &'a Subject,
    request: &'a RequestFacts,
    pub(super) now: Timestamp,
    pub(super) pending: PendingEnrolment,
    version: Version,
    pub(super) login: Login,
    pub(super) login_version: Version,
    pub(super) plan: Plan,
}

impl Confirming<'_> {
    fn decide(&mut self, ask: &Ask<'_>, records: &Records, draw: &mut Draw) -> Result<Confirmed, Error> {
        if let Ask::GiveBack(charged) = ask {
            return self.give_back(charged);
        }
        if let Some(reason) = self.ended(matches!(ask, Ask::Answer(_))) {
            return self.refuse(reason);
        }
        let Some(method) = self.rules.usable(&self.pending.provider) else {
            return self.refuse(Reason::Unavailable);
        };
        match ask {
            Ask::Answer(_) | Ask::Show(..) if self.pending.recovery.is_some() => {
                self.refuse(Reason::AlreadyVerified)
            }
            Ask::Answer(answer) => self.judge(method, answer, records, draw),
            Ask::Show(id, state, digest) => self.show((*id, *state), digest, draw),
            Ask::GiveBack(charged) => self.give_back(charged),
            Ask::Acknowledge if self.pending.recovery.is_none() => {
                let problem = "is not confirmed yet; give a code of it first";
                Err(FieldError::new("enrolment", "not_confirmed", problem).into())
            }
            Ask::Acknowledge => {
                let secret = self.pending_secret(method)?.unwrap_or_default();
                self.bind(method, &secret, records, draw)
            }
        }
    }

    /// Returns why nothing can be confirmed any more, if so. What was right already needs no attempt.
    fn ended(&self, to_judge: bool) -> Option<Reason> {
        let (pending, login) = (&self.pending, &self.login);
        let at = login.effective(self.now);
        // A right that reaches as far as a first method ends when another one came first.
        let came_second = pending.right.is_for_first_method() && self.rules.has_method(login, at);
        // So does one that the policy of now would not give.
        let policy = &self.rules.policy;
        let by_password = pending.right == Right::FirstFactor
            || (pending.bound == Bound::FirstFactor && policy.first_enrolment_needs_invitation());
        let not_any_more = pending.right.is_for_first_method() && by_password && policy.enforced();
        // An expiry that was told once stays, and so does that of a clock that ran ahead.
        let told = pending.told & Reason::EnrolmentExpired.bit() != 0;
        let begun_in_the_future = pending.created_at.since(at) > TOLERATED_SKEW;
        if pending.confirmed {
            Some(Reason::AlreadyVerified)
        } else if pending.fence != login.fence
            || pending.generation != login.generation
            || pending.generation != self.subject.generation()
            || came_second
            || not_any_more
        {
            Some(Reason::Superseded)
        } else if to_judge && (pending.attempts_left == 0 || pending.malformed >= MAX_MALFORMED) {
            Some(Reason::Exhausted)
        } else {
            (told || begun_in_the_future || at >= pending.expires_at).then_some(Reason::EnrolmentExpired)
        }
    }

    fn judge(
        &mut self,
        method: &Registered,
        answer: &Answer,
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        if !method.code.describe().answers.contains(&answer.kind()) {
            return self.refuse(Reason::WrongCode);
        }
        let secret = self.pending_secret(method)?;
        let mut cx = context(self.claims, self.account, method, self.now, draw);
        cx.not_before = self.login.barrier;
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
                let before = self.pending.data.clone();
                match step.enrolment {
                    Change::Set(data) => self.pending.data = Some(data),
                    Change::Clear => self.pending.data = None,
                    Change::Same => {}
                }
                self.accept(method, (&plain, before), records, draw)
            }
            Then::Reject(reason) => self.refuse(reason),
            _ => Err(Error::Unavailable("a provider that does not judge a confirmation")),
        }
    }

    /// The answer is right: the method counts from now on, or a recovery set is made to be shown first.
    fn accept(
        &mut self,
        method: &Registered,
        (plain, before): (&SecretBytes, Option<Vec<u8>>),
        records: &Records,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let is_first = !self.login.enrolments.iter().any(|enrolment| self.rules.is_factor(enrolment));
        // What an administrator enrols is shown to the administrator, who must not get a way back in with it.
        let shown_to_user = self.pending.right != Right::Administrator;
        let Some(recovery) = self.rules.recovery().filter(|_| is_first && shown_to_user) else {
            return self.bind(method, plain, records, draw);
        };
        room_for_one_more(&self.login, &self.pending.generation, method)?;
        let form = self.rules.policy.recovery();
        let hashing = recovery::start(recovery, self.subject, form, self.now, draw)?;
        let nonce = draw.take()?;
        let pending_place = place(self.claims, self.account, method, "pending");
        self.pending.secret = Some(pending_place.seal(&self.rules.ring, nonce, plain.expose_secret())?);
        // The hashes cost something, whatever becomes of them.
        self.pending.attempts_left = self.pending.attempts_left.saturating_sub(1);
        let event = self.event(Kind::EffectCharged, Outcome::Info);
        self.plan.events([event.field("effect", hashing.effect.kind().code()).field("charge", "attempt")]);
        self.put_pending()?;
        let charged = Charged { before, after: self.pending.data.clone() };
        Ok(Confirmed::Hash(Box::new(hashing), Box::new(charged)))
    }

    /// Gives the attempt back, and the answer with it unless another one was right in the meantime.
    fn give_back(&mut self, charged: &Charged) -> Result<Confirmed, Error> {
        let nothing = Ok(Confirmed::Answer(rejected(Reason::Unavailable, self.pending.attempts_left)));
        if self.pending.confirmed || self.pending.recovery.is_some() {
            return nothing;
        }
        self.pending.attempts_left = self.pending.attempts_left.saturating_add(1);
        if self.pending.data == charged.after {
            self.pending.data.clone_from(&charged.before);
        }
        let event = self.event(Kind::EffectRefunded, Outcome::Info);
        self.plan.events([event]);
        self.put_pending()?;
        nothing
    }

    /// Keeps the recovery set beside the method that waits with it, and shows it once.
    fn show(
        &mut self,
        (id, state): (EnrolmentId, Option<&[u8]>),
        digest: &SecretBytes,
        draw: &mut Draw,
    ) -> Result<Confirmed, Error> {
        let Some(method) = self.rules.recovery() else { return self.refuse(Reason::Unavailable) };
        let ready = recovery::finish(method, self.subject, (id, state), digest, self.now, draw)?;
        let at = recovery::place(self.account, self.subject, method, "pending", id);
        self.pending.recovery = Some(Shown {
            id,
            provider: method.name.as_str().to_owned(),
            data: ready.data,
            secret: at.seal(&self.rules.ring, draw.take()?, ready.secret.expose_secret())?,
        });
        let event = self.event(Kind::RecoveryShown, Outcome::Info);
        self.plan.events([event]);
        self.put_pending()?;
        let issued = IssuedRecovery { id, prompt: ready.prompt, revealed: ready.revealed };
        Ok(Confirmed::Answer(EnrolConfirm::RecoveryShown(issued)))
    }

    fn pending_secret(&self, method: &Registered) -> Result<Option<SecretBytes>, Error> {
        let place = place(self.claims, self.account, method, "pending");
        let opened = self.pending.secret.as_ref().map(|sealed| place.open(&self.rules.ring, sealed));
        Ok(opened.transpose()?)
    }

    fn refuse(&mut self, reason: Reason) -> Result<Confirmed, Error> {
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
        Ok(Confirmed::Answer(rejected(reason, self.pending.attempts_left)))
    }

    pub(super) fn put_pending(&mut self) -> Result<(), Error> {
        let key = users_key(self.account, PENDING, &self.claims.user, &self.claims.id);
        self.plan.put(key, Expect::Version(self.version), &self.pending, Some(gone_at(&self.pending)))
    }

    pub(super) fn vault(&self, records: &Records) -> Result<(Vault, Expect), Error> {
        match records.read::<Vault>(&user_key(self.account, VAULT, &self.claims.user)) {
            Read::Absent => Ok((Vault::default(), Expect::Absent)),
            Read::Live(vault, version) => Ok((vault, Expect::Version(version))),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    pub(super) fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        let event = event(self.account, &self.claims.user, kind, outcome, self.now)
            .field("method", self.pending.provider.clone())
            .field("enrolment", EnrolmentId::from_bytes(self.claims.id).to_string());
        self.request.describe(event)
    }

    pub(super) fn confirmed_event(&self) -> EventBuilder {
        let event = self.event(Kind::EnrolmentConfirmed, Outcome::Success);
        by(event, self.pending.right, self.pending.actor.as_deref())
    }
}

const fn rejected(reason: Reason, attempts_left: u8) -> EnrolConfirm {
    EnrolConfirm::Rejected(Rejected { reason, attempts_left, retry_after: None })
}
