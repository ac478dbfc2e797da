//! Decoys: challenges that nobody is behind, for hosts that do not tell an unknown user from a known one. They look
//! and cost as real ones do, and no answer to them is right.
//!
//! A decoy keeps the records of its user in itself, as they would be, and is judged by the code that judges real
//! ones ([`Case`]). What differs is here: how it begins, whose secrets answers are compared with, that nothing is
//! right, and what is written.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use serde_json::{Value, json};

use super::case::{Case, hold};
use super::enrol::set;
use super::{Nobodys, Registered, Rules, method, select};
use crate::driver::Decision;
use crate::keyring::Label;
use crate::machine::Status;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, Then};
use crate::record::challenge::{Challenge, FirstFactorRecord};
use crate::record::login::{Bound, Enrolment, Login as LoginRecord};
use crate::record::open::{Entry, Open};
use crate::record::{OPEN, challenge_key};
use crate::reference::{Claims, Handle, session_hash};
use crate::{
    ChallengeId, Change, Choice, Cx, Draw, Effect, EnrolmentId, Error, Expect, Key, Login, Method, Purpose,
    Reason, Role, SecretBytes, StepEvent,
};

/// Begins a challenge that nobody is behind.
pub(crate) fn begin(
    rules: &Rules,
    login: &Login,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<crate::Challenge>, Error> {
    let ring = &rules.ring;
    let (account, user) = (login.subject.account(), login.subject.user());
    let secrets = (*ChallengeId::from_random(draw.version()?).as_bytes(), draw.take()?);
    let mut claims = Claims::new(ring, Handle::Challenge, &login.subject, Some(&login.module), secrets);
    let reference = claims.issue(ring)?;
    let id = ChallengeId::from_bytes(claims.id);
    let record = made_up(rules, login, now, draw)?;
    let wanted = login.method.as_ref().and_then(|selector| select(&record, selector));
    // A way back alone is nothing to act as.
    let first =
        record.enrolments.first().filter(|enrolment| rules.is_factor(enrolment)).ok_or(NOTHING_TO_ACT)?;
    let active = wanted.unwrap_or(first).clone();
    let provider = rules.usable(&active.provider).ok_or(NOTHING_TO_ACT)?;
    let prompt = Nobody { rules, provider, login, id: active.id, now }.prompt(draw)?;
    let passed = &login.first_factor;
    let hash = |session| session_hash(ring, &claims.key, account, user, session);
    let expires_at = now.plus(rules.policy.challenge_ttl());
    let methods: Vec<_> = record.enrolments.iter().map(|e| method(rules, &record, e)).collect();
    let methods: Vec<_> = methods.into_iter().map(|method| Method { uses_left: None, ..method }).collect();
    let shown = methods.iter().find(|method| method.id == active.id).cloned();
    let challenge = Challenge {
        user: user.clone(),
        generation: record.generation.clone(),
        module: login.module.clone(),
        lineage: rules.lineage_kept(&login.subject),
        purpose: Purpose::Login,
        key: claims.key.clone(),
        binder: claims.binder_hash()?,
        session: passed.session.as_ref().map(hash).transpose()?,
        first_factor: FirstFactorRecord {
            kind: passed.kind,
            channel: passed.channel,
            at: now,
            ip: login.request.ip,
        },
        fence: record.fence,
        status: Status::Sent,
        method: active.id,
        provider: active.provider,
        offered: record.enrolments.iter().map(|enrolment| enrolment.id).collect(),
        created_at: now,
        updated_at: now,
        expires_at,
        attempts_left: rules.policy.attempts(),
        malformed: 0,
        verify_attempts: 0,
        send_attempts: 0,
        told: 0,
        state: None,
        effect: None,
        texted: None,
        proven: None,
        intent: None,
        contacts: None,
        fell_back: false,
        decoy: Some(Box::new(record)),
        device: None,
        known: false,
        password_epoch: None,
    };
    let mut plan = Plan::default();
    plan.put(challenge_key(account, id), Expect::Absent, &challenge, Some(challenge.gone_at()))?;
    put_shadow(&mut plan, account, id, &challenge)?;
    let scope = Scope::Account(account.clone());
    let begun = EventBuilder::new(scope, Kind::DecoyBegun, Outcome::Info, now);
    plan.events([begun.module(login.module.clone()).subject(claims.id)]);
    let value = crate::Challenge {
        id,
        reference,
        status: Status::Sent,
        method: shown.ok_or(NOTHING_TO_ACT)?,
        methods,
        prompt,
        created_at: now,
        expires_at,
    };
    Ok(Decision { plan, value })
}

impl Case<'_> {
    /// Writes down what changed of a decoy: in as many records as of a real challenge, and in as many events, of
    /// which none says what was typed.
    pub(super) fn finish_decoy(self) -> Result<Plan, Error> {
        let Self { account, claims, now, mut challenge, mut login, events, .. } = self;
        let mut plan = Plan::default();
        let shadow = login.is_changed();
        if shadow {
            login.change().mark(now);
            challenge.change();
        }
        challenge.value.decoy = Some(login.value);
        let gone_at = challenge.value.gone_at();
        if shadow {
            put_shadow(&mut plan, &account, ChallengeId::from_bytes(claims.id), &challenge.value)?;
        }
        hold(&mut plan, challenge, Some(gone_at), false)?;
        plan.events(events.into_iter().map(|event| event.stripped(Kind::DecoyAnswered)));
        Ok(plan)
    }
}

/// Turns what a provider says to a decoy into what may become of it: nothing is right, nobody is let in, and nothing
/// leaves but to the pool of slow hashes.
pub(super) fn never_right(step: ErasedStep, of_answer: bool) -> ErasedStep {
    let then = match step.then {
        then @ (Then::Prompt(_) | Then::Wait(_) | Then::Reject(_) | Then::Run(Effect::Hash(_), _)) => {
            return ErasedStep { then, secret: Change::Same, ..step };
        }
        _ if of_answer => Then::Reject(Reason::WrongCode),
        _ => Then::Wait(Value::Null),
    };
    ErasedStep { state: Change::Same, enrolment: Change::Same, secret: Change::Same, then }
}

/// Returns a secret of a provider that is nobody's, with the enrolment's bytes that go with it. It is drawn once in
/// the life of an engine: drawing one may take longer than judging by it. `None` if there is none without an effect.
pub(super) fn nobodys<'a>(
    rules: &Rules,
    provider: &'a Registered,
    cx: &mut Cx<'_>,
) -> Result<Option<&'a Nobodys>, Error> {
    if let Some(known) = provider.nobodys.get() {
        return Ok(Some(known));
    }
    let choice = match provider.code.describe().role {
        Role::Factor => Choice::none(),
        Role::Recovery => Choice::new(json!({"form": rules.policy.recovery().code()})),
    };
    let made = match provider.code.decoy(&choice)? {
        Some(secret) => Nobodys { secret, data: None },
        None if provider.code.describe().role == Role::Recovery => return Ok(None),
        None => {
            cx.purpose = Purpose::Enrol;
            let step = provider.code.handle(cx, &ErasedHeld::default(), StepEvent::Begin(&choice))?;
            cx.purpose = Purpose::Login;
            let secret = set(step.secret).map(SecretBytes::from).unwrap_or_default();
            Nobodys { secret, data: set(step.enrolment) }
        }
    };
    Ok(Some(provider.nobodys.get_or_init(|| made)))
}

const NOTHING_TO_ACT: Error = Error::Unavailable("no provider to act");

/// Writes as much as a real challenge writes to the records of its user. It is read by nobody.
fn put_shadow(
    plan: &mut Plan,
    account: &AccountId,
    id: ChallengeId,
    challenge: &Challenge,
) -> Result<(), Error> {
    let entry = Entry {
        id,
        purpose: challenge.purpose,
        module: challenge.module.clone(),
        session: challenge.session,
        fence: challenge.fence,
        expires_at: challenge.expires_at,
    };
    // invariant: 16 random bytes behind a zero are no user's id, which is text without control characters.
    let mut key = vec![0];
    key.extend_from_slice(id.as_bytes());
    let key = Key::new(Scope::Account(account.clone()), OPEN, key);
    plan.put(
        key,
        Expect::Any,
        &Open { challenges: vec![entry], sends: Vec::new() },
        Some(challenge.expires_at),
    )
}

/// Makes up the record of a user who is not there: with one method, and a recovery set where users are given one
/// with their first method.
fn made_up(rules: &Rules, login: &Login, now: Timestamp, draw: &mut Draw) -> Result<LoginRecord, Error> {
    let (account, user) = (login.subject.account(), login.subject.user());
    let (mut enrolments, mut since) = (Vec::new(), None);
    for provider in [acts(rules), rules.recovery()].into_iter().flatten() {
        let (id, at) = identity(rules, account, user, provider, now)?;
        // The set came with the method.
        let since = *since.get_or_insert(at);
        let nobody = Nobody { rules, provider, login, id, now };
        let Some(nobodys) = nobodys(rules, provider, &mut nobody.context(draw))? else { continue };
        enrolments.push(Enrolment {
            id,
            provider: provider.name.clone(),
            consecutive: 0,
            failed_at: Timestamp::MIN,
            created_at: since,
            data: nobodys.data.clone(),
            bound: Bound::Own,
            configuration: provider.configuration.clone(),
        });
    }
    Ok(LoginRecord {
        generation: login.subject.generation().to_owned(),
        latest: now,
        enrolments,
        ..LoginRecord::default()
    })
}

/// Finds the provider to act as: one that does nothing before the answer, where there is one.
fn acts(rules: &Rules) -> Option<&Registered> {
    let is_factor = |p: &&Registered| p.code.describe().role == Role::Factor && rules.can_use(p);
    rules.providers.values().filter(is_factor).min_by_key(|p| !p.code.describe().effects.is_empty())
}

/// Makes up which enrolment of a provider a name has, and since when: the same at each begin, as a real one's is,
/// for as long as the same key writes.
fn identity(
    rules: &Rules,
    account: &AccountId,
    user: &UserId,
    provider: &Registered,
    now: Timestamp,
) -> Result<(EnrolmentId, Timestamp), Error> {
    let parts = [account.as_str(), user.as_str(), provider.name.as_str()].map(str::as_bytes);
    let [account, user, provider] = parts;
    let mac = rules.ring.mac(
        rules.ring.active().as_str(),
        Label::MacMerge,
        &[b"decoy", account, user, provider],
    )?;
    let (random, since) = mac.split_at(16);
    let random = random.first_chunk().copied().unwrap_or_default();
    let since = u64::from_be_bytes(since.first_chunk().copied().unwrap_or_default());
    // About two years, and one of them: both are powers of two, so that a mask is a remainder.
    let (era, year) = ((1_u64 << 36).wrapping_sub(1), (1_u64 << 35).wrapping_sub(1));
    let begun = (now.unix_millis() & !era).saturating_sub(since & year);
    Ok((EnrolmentId::from_random(random), Timestamp::from_unix_millis(begun).unwrap_or(now)))
}

/// A user of a method who does not exist.
struct Nobody<'a> {
    rules: &'a Rules,
    provider: &'a Registered,
    login: &'a Login,
    id: EnrolmentId,
    now: Timestamp,
}

impl Nobody<'_> {
    fn prompt(&self, draw: &mut Draw) -> Result<Value, Error> {
        let cx = &mut self.context(draw);
        let Nobodys { secret, data } = nobodys(self.rules, self.provider, cx)?.ok_or(NOTHING_TO_ACT)?;
        let held = ErasedHeld { state: None, enrolment: data.as_deref(), secret: Some(secret) };
        match self.provider.code.handle(cx, &held, StepEvent::Begin(&Choice::none()))?.then {
            Then::Prompt(prompt) | Then::Wait(prompt) => Ok(prompt),
            _ => Err(Error::Unavailable("a provider that cannot act as if")),
        }
    }

    fn context<'b>(&'b self, draw: &'b mut Draw) -> Cx<'b> {
        Cx {
            now: self.now,
            at: self.now,
            account: self.login.subject.account(),
            user: self.login.subject.user(),
            label: self.login.subject.label(),
            ip: None,
            began_at: self.now,
            began_from: None,
            purpose: Purpose::Login,
            challenge: ChallengeId::from_bytes([0; 16]),
            enrolment: self.id,
            not_before: Timestamp::MIN,
            ends_at: self.now.plus(self.rules.policy.challenge_ttl()),
            settings: self.provider.settings(),
            entropy: draw,
            contacts: &[],
            keyed: None,
        }
    }
}
