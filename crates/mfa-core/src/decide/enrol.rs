//! Enrolment: its begin shows a secret once; `confirm` follows.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};
use serde_json::Value;

use super::authorise::Allowed;
use super::identity::{Claim, Claimed, Needed, Until, is_not_for, needed};
use super::judge::Acting;
use super::manage::{Changing, Managed};
use super::sends::Sends;
use super::{Registered, event};
use crate::driver::{Decision, Read, Records};
use crate::keyed::Keyed;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Revealed, Then};
use crate::record::challenge::PendingEffect;
use crate::record::login::{Login, MAX_ENROLMENTS};
use crate::record::pending::PendingEnrolment;
use crate::record::vault::Place;
use crate::record::{LOGIN, PENDING, user_key, users_key};
use crate::reference::{Claims, Handle};
use crate::{
    ChallengeId, Change, Charge, Choice, Cx, Draw, EnrolmentId, EnrolmentStarted, Error, Expect, FieldError,
    Forbidden, Intent, Key, KeyRing, Purpose, Reason, Role, StepEvent, Version,
};

/// Counts the pending enrolments of a user that no fence has ended; `login` is where the user's record is.
pub(crate) fn pending(records: &Records, keys: &[Key], login: &Key) -> usize {
    let Read::Live(login, _) = records.read::<Login>(login) else { return keys.len() };
    let counts = |key: &&Key| match records.read::<PendingEnrolment>(key) {
        Read::Live(pending, _) => pending.fence == login.fence,
        Read::Absent | Read::Refused(_) => false,
    };
    keys.iter().filter(counts).count()
}

/// What became of the begin of an enrolment.
pub(crate) enum Enrol {
    Begun(Box<EnrolmentStarted>, Option<Acting>),
    /// First it must be known of this identity whose it is.
    Claim(Claim),
    /// Another user has it.
    Taken,
}

impl Changing<'_> {
    /// Begins an enrolment. Every begin has a record of its own: it neither replaces nor shows another's.
    pub(crate) fn enrol(
        &mut self,
        method: &Registered,
        choice: &Choice,
        claimed: Option<Claimed>,
    ) -> Managed<Enrol> {
        let (rules, subject, now) = (self.rules, self.subject, self.now);
        let (mut login, version) = match self.login()? {
            Some((login, version)) => (login, Some(version)),
            None => (Login::first(subject.generation(), now, self.draw.take()?), None),
        };
        room_for_one_more(&login, subject.generation(), method)?;
        let intent = Intent::add_method(subject, &method.name);
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, version.is_some().then_some(&login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let of_another = login.generation != subject.generation();
        if of_another {
            // The id belongs to another person now, and nothing of the former one is left but this record.
            login.pass_on(subject.generation());
        }
        let at = login.effective(now);
        let id = EnrolmentId::from_random(self.draw.take()?);
        let secrets = (*id.as_bytes(), self.draw.take()?);
        let mut claims = Claims::new(&rules.ring, Handle::Enrolment, subject, None, secrets);
        let reference = claims.issue(&rules.ring)?;
        let nonce = self.draw.take()?;
        let times = (now, at.plus(rules.policy.enrolment_ttl()));
        let mut cx = context(&rules.ring, &claims, subject.account(), method, times, self.draw);
        (cx.at, cx.not_before) = (at, login.barrier);
        cx.contacts = subject.contacts();
        let step = method.code.handle(&mut cx, &ErasedHeld::default(), StepEvent::Begin(choice))?;
        if let Change::Set(plain) = &step.secret
            && let Some(identity) = method.identity(plain)?
        {
            let by = (allowed.right, allowed.administrator.as_ref());
            if is_not_for(&identity, by, subject, method.configuration.as_ref()) {
                return Ok(self.refused(&intent, Forbidden::NotPermitted));
            }
            // Before anybody is asked anything under a name that is another user's. Where the service is asked first, only
            // what it answers says that the settings are its own: nobody else learns who has a name.
            let needed = match step.then {
                Then::Run(_, Charge::Free) => Needed::Nothing,
                _ => needed(method, identity, Until::Asked, claimed),
            };
            match needed {
                Needed::Nothing => {}
                Needed::Claim(claim) => return Ok(Decision::only(Ok(Enrol::Claim(claim)))),
                Needed::Anothers => return Ok(self.taken(method, &allowed)),
            }
        }
        let (prompt, revealed, effect) = match step.then {
            Then::Reveal(prompt, revealed) => (prompt, revealed, None),
            Then::Prompt(prompt) => (prompt, Revealed::new(), None),
            Then::Run(effect, charge @ (Charge::Free | Charge::Send)) => {
                (Value::Null, Revealed::new(), Some((effect, charge)))
            }
            Then::Reject(reason) => {
                return Err(FieldError::new("method", reason.code(), "cannot be set up for this user").into());
            }
            _ => return Err(Error::Unavailable("a provider that neither reveals, prompts nor sends")),
        };
        let acting = match effect {
            None => None,
            Some((effect, Charge::Send)) => {
                self.charge_send(&login, at, &mut plan)?;
                Some(Acting { effect, charged: Some(self.draw.take()?), of_answer: false })
            }
            Some((effect, _)) => Some(Acting { effect, charged: None, of_answer: false }),
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
            provider: method.name.clone(),
            configuration: method.configuration.clone(),
            key: claims.key.clone(),
            binder: claims.binder_hash()?,
            right: allowed.right,
            actor: allowed.actor.clone(),
            bound: allowed.bound,
            administrator: allowed.administrator.clone(),
            created_at: at,
            expires_at: at.plus(rules.policy.enrolment_ttl()),
            attempts_left: rules.policy.attempts(),
            malformed: 0,
            told: 0,
            confirmed: false,
            state: set(step.state),
            data: set(step.enrolment),
            secret,
            effect: acting.as_ref().and_then(|acting| acting.charged).map(|id| PendingEffect {
                id,
                charge: Charge::Send,
                charged_at: at,
                failed_before: Timestamp::MIN,
                locked: false,
                notice: None,
                of_answer: false,
                own_count: false,
                deadline: at.plus(crate::engine::EFFECT_DEADLINE),
                queued: false,
                before: None,
            }),
            texted: acting.as_ref().and_then(|acting| acting.effect.texted(id, at)),
            recovery: None,
        };
        let key = users_key(subject.account(), PENDING, subject.user(), id.as_bytes());
        plan.put(key, Expect::Absent, &pending, Some(gone_at(&pending)))?;
        let event = event(subject.account(), subject.user(), Kind::EnrolmentBegun, Outcome::Info, now);
        let mut event = allowed.describe(describe(event, method, id));
        // The record is there from the first begin on: whatever ends open challenges ends pending enrolments too.
        let login_key = user_key(subject.account(), LOGIN, subject.user());
        match version {
            Some(version) if !of_another => plan.check(login_key, version),
            version => {
                event = login.take_stream(1).fold(event, EventBuilder::stream);
                plan.put(login_key, version.map_or(Expect::Absent, Expect::Version), &login, None)?;
            }
        }
        plan.events([event]);
        if let Some(Acting { effect, charged: Some(_), .. }) = &acting {
            let event = describe(self.event(Kind::EffectCharged), method, id);
            plan.events([effect.describe(Charge::Send, event)]);
        }
        let started = EnrolmentStarted { id, reference, prompt, revealed, expires_at: pending.expires_at };
        Ok(Decision { plan, value: Ok(Enrol::Begun(Box::new(started), acting)) })
    }

    /// Refuses a set-up under an identity that another user has. It spends nothing in the user's account, and is one event
    /// a minute.
    fn taken(&self, method: &Registered, allowed: &Allowed) -> Decision<Result<Enrol, Forbidden>> {
        let (account, user) = (self.subject.account(), self.subject.user());
        let event = event(account, user, Kind::EnrolmentRejected, Outcome::Failure, self.now);
        let event = event.field("method", method.name.as_str().to_owned());
        let mut plan = Plan::default();
        let minute = (self.now.unix_seconds() / 60).to_be_bytes();
        let alike = [b"identity_taken", user.as_str().as_bytes(), method.name.as_str().as_bytes(), &minute];
        let event = allowed.describe(event).reason(Reason::IdentityTaken.code());
        plan.merged_event(event, crate::codec::tuple(&alike));
        Decision { plan, value: Ok(Enrol::Taken) }
    }

    /// Charges the message that an enrolment begins with.
    fn charge_send(&self, login: &Login, at: Timestamp, plan: &mut Plan) -> Result<(), Error> {
        let (account, user) = (self.subject.account(), self.subject.user());
        let sends = Sends::read(self.records, account, user);
        let mut sends = sends.ok_or(Error::Unavailable("a stored record cannot be trusted"))?;
        sends.charge(&self.rules.policy, login, at).map_err(|wait| {
            let problem = format!("had too many messages; wait {} seconds", wait.as_secs());
            FieldError::new("user", "send_limit", problem)
        })?;
        sends.hold(plan, Sends::key(account, user), false)
    }
}

/// Returns why a method cannot be enrolled by an answer.
pub(crate) fn is_enrolled_by_answer(method: &Registered) -> Result<(), FieldError> {
    if method.code.describe().role == Role::Factor {
        return Ok(());
    }
    Err(FieldError::new("method", "not_a_factor", "is issued, not enrolled; use recovery_issue"))
}

/// Returns why a user cannot enrol another method, if so.
pub(super) fn room_for_one_more(
    login: &Login,
    generation: &str,
    method: &Registered,
) -> Result<(), FieldError> {
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
    if !descriptor.several && login.enrolments.iter().any(|e| e.provider == method.name) {
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

pub(super) fn context<'a>(
    ring: &'a KeyRing,
    claims: &'a Claims,
    account: &'a AccountId,
    method: &'a Registered,
    (now, ends_at): (Timestamp, Timestamp),
    draw: &'a mut Draw,
) -> Cx<'a> {
    Cx {
        now,
        at: now,
        account,
        user: &claims.user,
        label: &claims.label,
        ip: None,
        began_at: now,
        began_from: None,
        purpose: Purpose::Enrol,
        challenge: ChallengeId::from_bytes(claims.id),
        enrolment: EnrolmentId::from_bytes(claims.id),
        not_before: Timestamp::MIN,
        ends_at,
        settings: method.settings(),
        entropy: draw,
        contacts: &[],
        keyed: Some(Keyed { ring, key: claims.key.as_str() }),
    }
}

pub(super) fn place<'a>(
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

pub(super) fn set<T>(change: Change<T>) -> Option<T> {
    match change {
        Change::Set(value) => Some(value),
        Change::Same | Change::Clear => None,
    }
}

/// A confirmed or expired enrolment is told so for a day more.
pub(super) fn gone_at(pending: &PendingEnrolment) -> Timestamp {
    pending.expires_at.plus(crate::record::challenge::KEPT_AFTER)
}
