//! Confirmation: an answer proves that the user's device has the secret that was shown. Where recovery comes with
//! a first method, its set is shown then, and the method counts once the user has acknowledged it (`bind`).

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp};

use super::authorise::by;
use super::effects::{EffectResult, Ran};
use super::enrol::{gone_at, place, read_login, room_for_one_more};
use super::identity::{Claim, Claimed, Until};
use super::judge::Acting;
use super::recovery::{self, Hashing};
use super::sends::Sends;
use super::{Registered, Rules, event};
use crate::driver::{Decision, Read, Records};
use crate::permission::Right;
use crate::plan::Plan;
use crate::reason::{Cost, When};
use crate::record::challenge::MAX_MALFORMED;
use crate::record::login::{Bound, Login, TOLERATED_SKEW};
use crate::record::pending::{Administrator, PendingEnrolment, Shown};
use crate::record::vault::Vault;
use crate::record::{LOGIN, PENDING, VAULT, user_key, users_key};
use crate::reference::Claims;
use crate::request::Act;
use crate::{
    Draw, EnrolConfirm, EnrolmentId, Error, Expect, FieldError, IssuedRecovery, Key, Reason, Rejected,
    RequestFacts, SecretBytes, StepEvent, Subject, Version,
};

/// The records that a confirmation needs: one get. What `may_send` needs the user's budget of messages besides.
pub(crate) fn keys(claims: &Claims, may_send: bool) -> Result<Vec<Key>, Error> {
    let account = claims.account()?;
    let mut keys = vec![
        user_key(account, LOGIN, &claims.user),
        user_key(account, VAULT, &claims.user),
        pending_key(claims)?,
    ];
    if may_send {
        keys.push(Sends::key(account, &claims.user));
    }
    Ok(keys)
}

/// Addresses the pending enrolment of a reference.
pub(crate) fn pending_key(claims: &Claims) -> Result<Key, Error> {
    Ok(users_key(claims.account()?, PENDING, &claims.user, &claims.id))
}

/// What a confirmation comes to.
pub(crate) enum Confirmed {
    Answer(EnrolConfirm),
    /// First it must be known whether this administrator may still do what they began.
    Ask(Box<Administrator>),
    /// First this must be known of an identity, or the user have it.
    Claim(Claim),
    /// An effect is to be run now.
    Act(Acting),
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
    Respond(&'a Act),
    /// The user asks for the message again.
    Resend,
    /// An effect ended.
    Resume(&'a Ran, &'a EffectResult),
    /// The hashes of the recovery set are there: its id, the provider's state, the digest.
    Show(EnrolmentId, Option<&'a [u8]>, &'a SecretBytes),
    /// The hashes provably never started: what was charged for them is given back.
    GiveBack(&'a Charged),
    Acknowledge,
}

impl Ask<'_> {
    /// Returns whether the holder's page asks whether something has happened.
    pub(crate) const fn is_poll(&self) -> bool {
        matches!(self, Self::Respond(Act::Poll))
    }

    /// Returns whether a message may leave because of it.
    pub(crate) const fn may_send(&self) -> bool {
        matches!(self, Self::Respond(Act::Start(_)) | Self::Resend | Self::Resume(..))
    }
}

/// Whether the administrator who began an enrolment may do so still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody has asked yet.
    Unknown,
    Good,
    Gone,
}

/// Decides about a pending enrolment. `subject` is the user as the directory has it now.
pub(crate) fn confirm(
    rules: &Rules,
    claims: &Claims,
    (subject, standing, claimed): (&Subject, Standing, Option<Claimed>),
    (ask, request): (&Ask<'_>, &RequestFacts),
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Confirmed>, Error> {
    let account = claims.account()?;
    let key = pending_key(claims)?;
    let answer = |rejected| Ok(Decision::only(Confirmed::Answer(rejected)));
    let (pending, version) = match records.read::<PendingEnrolment>(&key) {
        Read::Absent => return answer(rejected(Reason::NotFound, 0)),
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        Read::Live(pending, version) => (pending, version),
    };
    if !claims.hold(&pending.binder, None, &pending.generation) {
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
        standing,
        claimed,
        request,
        now,
        pending,
        version,
        login,
        login_version,
        login_changed: false,
        sends: Sends::read(records, account, &claims.user),
        plan,
    };
    match confirming.decide(ask, records, draw)? {
        // Nothing is kept: once it is known the same is decided again.
        value @ (Confirmed::Ask(_) | Confirmed::Claim(_)) => Ok(Decision::only(value)),
        value => Ok(Decision { plan: confirming.finish()?, value }),
    }
}

pub(super) struct Confirming<'a> {
    pub(super) rules: &'a Rules,
    pub(super) claims: &'a Claims,
    pub(super) account: &'a AccountId,
    pub(super) subject: &'a Subject,
    standing: Standing,
    pub(super) claimed: Option<Claimed>,
    pub(super) request: &'a RequestFacts,
    pub(super) now: Timestamp,
    pub(super) pending: PendingEnrolment,
    pub(super) version: Version,
    pub(super) login: Login,
    pub(super) login_version: Version,
    /// The user's record is to be written, and is not yet in the plan.
    pub(super) login_changed: bool,
    /// The budget of messages, in a step that may send.
    pub(super) sends: Option<Sends>,
    pub(super) plan: Plan,
}

impl Confirming<'_> {
    fn decide(&mut self, ask: &Ask<'_>, records: &Records, draw: &mut Draw) -> Result<Confirmed, Error> {
        if let Ask::GiveBack(charged) = ask {
            return self.give_back(charged);
        }
        if let (Some(administrator), Standing::Unknown) = (&self.pending.administrator, self.standing) {
            return Ok(Confirmed::Ask(Box::new(administrator.clone())));
        }
        if let Some(reason) = self.ended(matches!(ask, Ask::Respond(Act::Answer(_)))) {
            return self.refuse(reason);
        }
        let method = self.rules.usable(&self.pending.provider);
        let Some(method) = method.filter(|method| method.configuration == self.pending.configuration) else {
            return self.refuse(Reason::Unavailable);
        };
        match ask {
            Ask::Respond(_) | Ask::Resend | Ask::Resume(..) | Ask::Show(..)
                if self.pending.recovery.is_some() =>
            {
                self.refuse(Reason::AlreadyVerified)
            }
            Ask::Respond(Act::Answer(answer)) => {
                if !method.code.describe().answers.contains(&answer.kind()) {
                    return self.refuse(Reason::WrongCode);
                }
                self.event_of_user(method, StepEvent::Answer(answer), records, draw)
            }
            Ask::Respond(Act::Start(choice)) => {
                self.event_of_user(method, StepEvent::Start(choice), records, draw)
            }
            Ask::Respond(Act::Poll) => self.event_of_user(method, StepEvent::Poll, records, draw),
            Ask::Resend => self.event_of_user(method, StepEvent::Resend, records, draw),
            Ask::Resume(ran, result) => self.resume(method, (ran, result), records, draw),
            Ask::Show(id, state, digest) => self.show((*id, *state), digest, draw),
            Ask::GiveBack(charged) => self.give_back(charged),
            Ask::Acknowledge if self.pending.recovery.is_none() => {
                let problem = "is not confirmed yet; give a code of it first";
                Err(FieldError::new("enrolment", "not_confirmed", problem).into())
            }
            Ask::Acknowledge => {
                let secret = self.pending_secret(method)?;
                match self.without_identity(method, secret.as_ref(), Until::Confirmed, false)? {
                    Some(before) => Ok(before),
                    None => self.bind(method, &secret.unwrap_or_default(), records, draw),
                }
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
        let not_any_more =
            pending.right.is_for_first_method() && by_password && self.rules.guards_first_method(at);
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
            || self.standing == Standing::Gone
        {
            Some(Reason::Superseded)
        } else if to_judge && (pending.attempts_left == 0 || pending.malformed >= MAX_MALFORMED) {
            Some(Reason::Exhausted)
        } else {
            (told || begun_in_the_future || at >= pending.expires_at).then_some(Reason::EnrolmentExpired)
        }
    }

    /// The answer is right: the method counts from now on, or a recovery set is made to be shown first.
    pub(super) fn accept(
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
            provider: method.name.clone(),
            data: ready.data,
            secret: at.seal(&self.rules.ring, draw.take()?, ready.secret.expose_secret())?,
        });
        let event = self.event(Kind::RecoveryShown, Outcome::Info);
        self.plan.events([event]);
        self.put_pending()?;
        let issued = IssuedRecovery { id, prompt: ready.prompt, revealed: ready.revealed };
        Ok(Confirmed::Answer(EnrolConfirm::RecoveryShown(issued)))
    }

    pub(super) fn pending_secret(&self, method: &Registered) -> Result<Option<SecretBytes>, Error> {
        let place = place(self.claims, self.account, method, "pending");
        let opened = self.pending.secret.as_ref().map(|sealed| place.open(&self.rules.ring, sealed));
        Ok(opened.transpose()?)
    }

    pub(super) fn refuse(&mut self, reason: Reason) -> Result<Confirmed, Error> {
        self.refuse_kept(reason, false, false)
    }

    /// Refuses an answer that may be `charged` already, and writes what the provider `changed` in any case.
    pub(super) fn refuse_kept(
        &mut self,
        reason: Reason,
        charged: bool,
        changed: bool,
    ) -> Result<Confirmed, Error> {
        let cost = Cost { attempt: Cost::of(reason).attempt && !charged, ..Cost::of(reason) };
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
        if tell || cost.attempt || cost.malformed || charged || changed {
            self.put_pending()?;
        }
        Ok(Confirmed::Answer(rejected(reason, self.pending.attempts_left)))
    }

    pub(super) fn put_pending(&mut self) -> Result<(), Error> {
        let key = users_key(self.account, PENDING, &self.claims.user, &self.claims.id);
        self.plan.put(key, Expect::Version(self.version), &self.pending, Some(gone_at(&self.pending)))
    }

    /// Writes what changed besides the pending enrolment.
    fn finish(mut self) -> Result<Plan, Error> {
        if self.login_changed {
            self.login.mark(self.now);
            let key = user_key(self.account, LOGIN, &self.claims.user);
            self.plan.put(key, Expect::Version(self.login_version), &self.login, None)?;
        }
        if let Some(sends) = &self.sends {
            sends.hold(&mut self.plan, Sends::key(self.account, &self.claims.user), false)?;
        }
        Ok(self.plan)
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

pub(super) const fn rejected(reason: Reason, attempts_left: u8) -> EnrolConfirm {
    EnrolConfirm::Rejected(Rejected { reason, attempts_left, retry_after: None })
}
