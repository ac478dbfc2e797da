//! Decoys: challenges that nobody is behind, for hosts that do not tell an unknown user from a known one. They look
//! and cost as real ones do, and no answer to them is right.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use serde_json::Value;

use super::enrol::set;
use super::judge::{Ask, Judged, pending};
use super::{Registered, Rules};
use crate::driver::Decision;
use crate::machine::{Move, Status};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, Then};
use crate::reason::Cost;
use crate::record::challenge::{Challenge, FirstFactorRecord, MAX_MALFORMED};
use crate::record::challenge_key;
use crate::reference::{Claims, Handle, session_hash};
use crate::request::Act;
use crate::{
    Answer, ChallengeId, Choice, Cx, Draw, EnrolmentId, Error, Expect, Login, Method, Purpose, Reason,
    Rejected, Role, SecretBytes, StepEvent, Version,
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
    let is_factor = |p: &&Registered| p.code.describe().role == Role::Factor && rules.offers(p);
    let method = rules.providers.values().find(is_factor).ok_or(Error::Unavailable("no provider to act"))?;
    let secrets = (*ChallengeId::from_random(draw.take()?).as_bytes(), draw.take()?);
    let claims = Claims::new(ring, Handle::Challenge, &login.subject, login.module.as_str(), secrets);
    let id = ChallengeId::from_bytes(claims.id);
    let enrolment = EnrolmentId::from_random(draw.take()?);
    let nobody = Nobody { method, account, user, id: enrolment, now };
    let (secret, data) = nobody.secret(draw)?;
    let mut cx = nobody.context(Purpose::Login, draw);
    let held = ErasedHeld { state: None, enrolment: data.as_deref(), secret: Some(&secret) };
    let step = method.code.handle(&mut cx, &held, StepEvent::Begin(&Choice::none()))?;
    let (Then::Prompt(prompt) | Then::Wait(prompt)) = step.then else {
        return Err(Error::Unavailable("a provider that cannot act as if"));
    };
    let first = &login.first_factor;
    let hash = |session| session_hash(ring, &claims.key, account, user, session);
    let expires_at = now.plus(rules.policy.challenge_ttl());
    let challenge = Challenge {
        user: user.clone(),
        generation: login.subject.generation().to_owned(),
        module: login.module.as_str().to_owned(),
        purpose: Purpose::Login,
        key: claims.key.clone(),
        binder: claims.binder_hash(ring)?,
        session: first.session.as_ref().map(hash).transpose()?,
        first_factor: FirstFactorRecord { kind: first.kind, channel: first.channel, at: now },
        fence: 0,
        status: Status::Sent,
        method: enrolment,
        provider: method.name.as_str().to_owned(),
        offered: vec![enrolment],
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
        proven: None,
        intent: None,
        contacts: None,
        decoy: true,
    };
    let mut plan = Plan::default();
    plan.put(challenge_key(account, id), Expect::Absent, &challenge, Some(challenge.gone_at()))?;
    plan.events([event(account, Kind::DecoyBegun, Outcome::Info, now, &claims)]);
    let shown = Method {
        id: enrolment,
        provider: method.name.clone(),
        preferred: false,
        is_recovery: false,
        uses_left: None,
        stopped: false,
        created_at: now,
    };
    let value = crate::Challenge {
        id,
        reference: claims.issue(ring)?,
        status: Status::Sent,
        method: shown.clone(),
        methods: vec![shown],
        prompt,
        created_at: now,
        expires_at,
    };
    Ok(Decision { plan, value })
}

/// Judges an answer to a decoy: as a real one is judged that is never right.
pub(crate) fn judge(
    rules: &Rules,
    claims: &Claims,
    (mut challenge, version): (Challenge, Version),
    ask: &Ask<'_>,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Judged>, Error> {
    let account = claims.account()?;
    let ended = match challenge.status {
        Status::Failed => Some(Reason::Exhausted),
        Status::Cancelled => Some(Reason::Cancelled),
        Status::Expired => Some(Reason::Expired),
        _ => None,
    };
    let (reason, by) = match (ended, ask) {
        (Some(reason), _) => (reason, None),
        (None, _) if now >= challenge.expires_at => (Reason::Expired, Some(Move::Expire)),
        (None, Ask::Cancel) => {
            challenge.apply(Move::Cancel, now)?;
            return finish(account, claims, &challenge, version, None, now, Judged::Changed(Value::Null));
        }
        (None, Ask::Respond(response)) => match &response.act {
            Act::Answer(answer) => (wrong(rules, account, &challenge, answer, now, draw)?, None),
            Act::Start(_) | Act::Poll => return Ok(Decision::only(pending(Value::Null))),
        },
        (None, Ask::Switch(_)) => (Reason::NotOffered, None),
        (None, Ask::Claim | Ask::Resume(..)) => return Ok(Decision::only(pending(Value::Null))),
    };
    let cost = Cost::of(reason);
    if ended.is_none() && cost.attempt {
        challenge.attempts_left = challenge.attempts_left.saturating_sub(1);
        challenge.verify_attempts = challenge.verify_attempts.saturating_add(1);
    }
    if ended.is_none() && cost.malformed {
        challenge.malformed = challenge.malformed.saturating_add(1);
    }
    if let Some(by) = by {
        challenge.apply(by, now)?;
    } else if ended.is_none() && (challenge.attempts_left == 0 || challenge.malformed >= MAX_MALFORMED) {
        challenge.apply(Move::Fail, now)?;
    }
    let rejected = Rejected { reason, attempts_left: challenge.attempts_left, retry_after: None };
    finish(account, claims, &challenge, version, Some(reason), now, Judged::Rejected(rejected))
}

fn finish(
    account: &AccountId,
    claims: &Claims,
    challenge: &Challenge,
    version: Version,
    reason: Option<Reason>,
    now: Timestamp,
    value: Judged,
) -> Result<Decision<Judged>, Error> {
    let mut plan = Plan::default();
    let key = challenge_key(account, ChallengeId::from_bytes(claims.id));
    plan.put(key, Expect::Version(version), challenge, Some(challenge.gone_at()))?;
    let mut event = event(account, Kind::DecoyAnswered, Outcome::Failure, now, claims);
    if let Some(reason) = reason {
        event = event.reason(reason.code());
    }
    plan.events([event]);
    Ok(Decision { plan, value })
}

/// Lets the provider judge the answer by a secret of nobody's; a hit among the million is wrong all the same.
fn wrong(
    rules: &Rules,
    account: &AccountId,
    challenge: &Challenge,
    answer: &Answer,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Reason, Error> {
    let Some(method) = rules.usable(&challenge.provider) else { return Ok(Reason::Unavailable) };
    if !method.code.describe().answers.contains(&answer.kind()) {
        return Ok(Reason::WrongCode);
    }
    let nobody = Nobody { method, account, user: &challenge.user, id: challenge.method, now };
    let (secret, data) = nobody.secret(draw)?;
    let held = ErasedHeld { state: None, enrolment: data.as_deref(), secret: Some(&secret) };
    let mut cx = nobody.context(Purpose::Login, draw);
    Ok(match method.code.handle(&mut cx, &held, StepEvent::Answer(answer))?.then {
        Then::Reject(Reason::Malformed) => Reason::Malformed,
        _ => Reason::WrongCode,
    })
}

/// A user of a method who does not exist.
struct Nobody<'a> {
    method: &'a Registered,
    account: &'a AccountId,
    user: &'a UserId,
    id: EnrolmentId,
    now: Timestamp,
}

impl<'a> Nobody<'a> {
    /// Makes a secret that is thrown away again.
    fn secret(&self, draw: &mut Draw) -> Result<(SecretBytes, Option<Vec<u8>>), Error> {
        let mut cx = self.context(Purpose::Enrol, draw);
        let begin = StepEvent::Begin(&Choice::none());
        let step = self.method.code.handle(&mut cx, &ErasedHeld::default(), begin)?;
        Ok((set(step.secret).map(SecretBytes::from).unwrap_or_default(), set(step.enrolment)))
    }

    fn context<'b>(&'b self, purpose: Purpose, draw: &'b mut Draw) -> Cx<'b>
    where
        'a: 'b,
    {
        Cx {
            now: self.now,
            account: self.account,
            user: self.user,
            label: self.user.as_str(),
            purpose,
            challenge: ChallengeId::from_bytes([0; 16]),
            enrolment: self.id,
            not_before: Timestamp::MIN,
            settings: &self.method.settings,
            entropy: draw,
        }
    }
}

/// Starts an event about a decoy. The user's id is what somebody typed, and is not kept.
fn event(account: &AccountId, kind: Kind, outcome: Outcome, now: Timestamp, claims: &Claims) -> EventBuilder {
    EventBuilder::new(Scope::Account(account.clone()), kind, outcome, now)
        .module(claims.module.clone())
        .subject(claims.id)
}
