//! Issuing recovery sets: the provider draws and hashes, the engine keeps the hashes and shows the rest once.

use audit_model::{AccountId, Kind, Timestamp};
use serde_json::json;

use super::authorise::{mark_busy, mark_free};
use super::enrol::set;
use super::manage::{Changing, Managed};
use super::{Registered, Rules};
use crate::driver::Decision;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, Revealed, Then};
use crate::record::login::{Bound, Enrolment, MAX_ENROLMENTS};
use crate::record::vault::Place;
use crate::{
    ChallengeId, Charge, Choice, Cx, Draw, Effect, EnrolmentId, Error, FieldError, Forbidden, Intent,
    IssuedRecovery, NoticeKind, Purpose, RecoveryForm, SecretBytes, StepEvent, Subject,
};

/// A set whose hashes are being made.
pub(crate) struct Hashing {
    pub(crate) id: EnrolmentId,
    pub(crate) effect: Effect,
    pub(crate) state: Option<Vec<u8>>,
}

/// A set that is ready to be kept and shown.
pub(crate) struct Ready {
    pub(crate) id: EnrolmentId,
    pub(crate) data: Option<Vec<u8>>,
    pub(crate) secret: SecretBytes,
    pub(crate) prompt: serde_json::Value,
    pub(crate) revealed: Revealed,
}

/// What issuing a set comes to.
pub(crate) enum Issuing {
    /// The change may be made; the hashes are to be made first.
    Hash(Box<Hashing>),
    Issued(IssuedRecovery),
}

/// Starts a set: draws it and says which hashes to make.
pub(crate) fn start(
    method: &Registered,
    subject: &Subject,
    form: RecoveryForm,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Hashing, Error> {
    let id = EnrolmentId::from_random(draw.take()?);
    let choice = Choice::new(json!({"form": form.code()}));
    let mut cx = context(method, subject, id, now, draw);
    let step = method.code.handle(&mut cx, &ErasedHeld::default(), StepEvent::Begin(&choice))?;
    let state = set(step.state);
    match step.then {
        Then::Run(effect @ Effect::Hash(_), Charge::Free) => Ok(Hashing { id, effect, state }),
        _ => Err(Error::Unavailable("a recovery provider that does not hash")),
    }
}

/// Finishes a set with its hashes.
pub(crate) fn finish(
    method: &Registered,
    subject: &Subject,
    (id, state): (EnrolmentId, Option<&[u8]>),
    digest: &SecretBytes,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Ready, Error> {
    let mut cx = context(method, subject, id, now, draw);
    let held = ErasedHeld { state, ..ErasedHeld::default() };
    let ErasedStep { enrolment, secret, then, .. } =
        method.code.handle(&mut cx, &held, StepEvent::Hashed(digest))?;
    match (then, set(secret)) {
        (Then::Reveal(prompt, revealed), Some(secret)) => {
            Ok(Ready { id, data: set(enrolment), secret: SecretBytes::from(secret), prompt, revealed })
        }
        _ => Err(Error::Unavailable("a recovery provider that reveals nothing")),
    }
}

fn context<'a>(
    method: &'a Registered,
    subject: &'a Subject,
    id: EnrolmentId,
    now: Timestamp,
    draw: &'a mut Draw,
) -> Cx<'a> {
    Cx {
        now,
        at: now,
        account: subject.account(),
        user: subject.user(),
        label: subject.label(),
        ip: None,
        began_at: now,
        began_from: None,
        purpose: Purpose::Enrol,
        challenge: ChallengeId::from_bytes(*id.as_bytes()),
        enrolment: id,
        not_before: Timestamp::MIN,
        ends_at: Timestamp::MAX,
        settings: method.settings(),
        entropy: draw,
        contacts: &[],
        keyed: None,
    }
}

/// Says where a set's hashes are sealed.
pub(crate) fn place<'a>(
    account: &'a AccountId,
    subject: &'a Subject,
    method: &'a Registered,
    kind: &'static str,
    id: EnrolmentId,
) -> Place<'a> {
    Place { account, user: subject.user(), kind, provider: method.name.as_str(), enrolment: id }
}

impl Changing<'_> {
    /// Decides whether a new set may be issued, and starts it. Nothing is spent before its hashes are there; a proof
    /// is marked, so that it starts one set at a time.
    pub(crate) fn start_recovery(&mut self, form: RecoveryForm) -> Managed<Issuing> {
        let intent = Intent::issue_recovery(self.subject);
        let mut unused = Plan::default();
        if let Err(why) = self.may_issue(&intent, &mut unused)? {
            return Ok(self.refused(&intent, why));
        }
        let plan = match mark_busy(self.permit, self.records, self.now)? {
            Ok(plan) => plan,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let method = recovery_provider(self.rules)?;
        let hashing = start(method, self.subject, form, self.now, self.draw)?;
        Ok(Decision { plan, value: Ok(Issuing::Hash(Box::new(hashing))) })
    }

    /// Lets a proof start another set: the hashes of this one provably never started.
    pub(crate) fn give_back_recovery(&mut self) -> Managed<()> {
        Ok(Decision { plan: mark_free(self.permit, self.records)?, value: Ok(()) })
    }

    /// Issues a set whose hashes are there, in place of the one before, and spends what it was allowed by.
    pub(crate) fn issue_recovery(
        &mut self,
        (id, state): (EnrolmentId, Option<&[u8]>),
        digest: &SecretBytes,
    ) -> Managed<Issuing> {
        let intent = Intent::issue_recovery(self.subject);
        let mut plan = Plan::default();
        let allowed = match self.may_issue(&intent, &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let (mut login, version) = self.login()?.ok_or_else(no_factor)?;
        let method = recovery_provider(self.rules)?;
        let ready = finish(method, self.subject, (id, state), digest, self.now, self.draw)?;
        let (mut vault, expect) = self.vault()?;
        for old in login.enrolments.iter().filter(|e| e.provider == method.name) {
            vault.remove(old.id);
        }
        login.enrolments.retain(|e| e.provider != method.name);
        if login.enrolments.len() >= MAX_ENROLMENTS {
            let problem = format!("the user has {MAX_ENROLMENTS} already, the most there may be");
            return Err(FieldError::new("method", "too_many_enrolments", problem).into());
        }
        let at = place(self.subject.account(), self.subject, method, "vault", id);
        vault.set(id, at.seal(&self.rules.ring, self.draw.take()?, ready.secret.expose_secret())?);
        login.enrolments.push(enrolment(method, &ready, login.effective(self.now)));
        let event = allowed
            .describe(self.event(Kind::RecoveryIssued))
            .field("method", method.name.as_str().to_owned())
            .field("enrolment", id.to_string());
        self.put_vault(&mut plan, &vault, expect)?;
        self.tell(&mut login, NoticeKind::RecoveryIssued, &mut plan)?;
        // A proof that an old code made is none any more.
        self.end_all(&mut login);
        self.put(&mut plan, login, version, vec![event])?;
        let issued = IssuedRecovery { id, prompt: ready.prompt, revealed: ready.revealed };
        Ok(Decision { plan, value: Ok(Issuing::Issued(issued)) })
    }

    fn may_issue(
        &self,
        intent: &Intent,
        plan: &mut Plan,
    ) -> Result<Result<super::authorise::Allowed, Forbidden>, Error> {
        let read = self.login()?;
        let login = read.as_ref().map(|(login, _)| login);
        let allowed = self.authorise(intent, login, plan)?;
        let same = login.filter(|login| login.generation == self.subject.generation());
        let has_factor = same.is_some_and(|login| login.enrolments.iter().any(|e| self.rules.is_factor(e)));
        if allowed.is_ok() && !has_factor {
            return Err(no_factor());
        }
        Ok(allowed)
    }
}

/// Describes a set as an enrolment.
pub(crate) fn enrolment(method: &Registered, ready: &Ready, at: Timestamp) -> Enrolment {
    Enrolment {
        id: ready.id,
        provider: method.name.clone(),
        consecutive: 0,
        failed_at: Timestamp::MIN,
        created_at: at,
        data: ready.data.clone(),
        bound: Bound::Own,
        configuration: method.configuration.clone(),
    }
}

fn recovery_provider(rules: &Rules) -> Result<&Registered, FieldError> {
    let problem = "is not offered: no recovery provider is registered, or the policy wants none";
    rules.recovery().ok_or_else(|| FieldError::new("recovery", "method_not_offered", problem))
}

fn no_factor() -> Error {
    let problem = "has no second factor that recovery could stand in for; enrol one first";
    FieldError::new("user", "no_method", problem).into()
}
