//! Decoys: challenges that nobody is behind, for hosts that do not tell an unknown user from a known one. They look
//! and cost as real ones do, and no answer to them is right.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};
use serde_json::Value;

use super::enrol::set;
use super::judge::{Ask, Judged, pending};
use super::{Registered, Rules};
use crate::driver::Decision;
use crate::keyring::Label;
use crate::machine::{Move, Status};
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, Then};
use crate::reason::{Cost, When};
use crate::record::challenge::{Challenge, FirstFactorRecord, MAX_MALFORMED};
use crate::record::login::TOLERATED_SKEW;
use crate::record::open::{Entry, Open};
use crate::record::{OPEN, challenge_key};
use crate::reference::{Claims, Handle, session_hash};
use crate::request::Act;
use crate::{
    Answer, ChallengeId, Choice, Cx, Draw, EnrolmentId, Error, Expect, Key, Login, Method, MethodSelector,
    Purpose, Reason, Rejected, Response, Role, SecretBytes, StepEvent, Version,
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
    let method = acts(rules).ok_or(Error::Unavailable("no provider to act"))?;
    let secrets = (*ChallengeId::from_random(draw.take()?).as_bytes(), draw.take()?);
    let claims = Claims::new(ring, Handle::Challenge, &login.subject, Some(&login.module), secrets);
    let id = ChallengeId::from_bytes(claims.id);
    let (enrolment, enrolled_at) = made_up(rules, account, user, now)?;
    let prompt = Nobody { method, account, user, id: enrolment, now }.prompt(draw)?;
    let first = &login.first_factor;
    let hash = |session| session_hash(ring, &claims.key, account, user, session);
    let expires_at = now.plus(rules.policy.challenge_ttl());
    let challenge = Challenge {
        user: user.clone(),
        generation: login.subject.generation().to_owned(),
        module: login.module.clone(),
        purpose: Purpose::Login,
        key: claims.key.clone(),
        binder: claims.binder_hash(ring)?,
        session: first.session.as_ref().map(hash).transpose()?,
        first_factor: FirstFactorRecord { kind: first.kind, channel: first.channel, at: now },
        fence: 0,
        status: Status::Sent,
        method: enrolment,
        provider: method.name.clone(),
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
        fell_back: false,
        decoy: true,
    };
    let mut plan = Plan::default();
    plan.put(challenge_key(account, id), Expect::Absent, &challenge, Some(challenge.gone_at()))?;
    put_shadow(&mut plan, account, &claims, &challenge)?;
    plan.events([event(account, Kind::DecoyBegun, Outcome::Info, now, &claims)]);
    let shown = Method {
        id: enrolment,
        provider: method.name.clone(),
        preferred: false,
        is_recovery: false,
        uses_left: None,
        stopped: false,
        created_at: enrolled_at,
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

/// Judges what is asked of a decoy: as a real challenge is judged whose answers are never right, in as many reads,
/// commits and writes.
pub(crate) fn judge(
    rules: &Rules,
    claims: &Claims,
    (challenge, version): (Challenge, Version),
    ask: &Ask<'_>,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Judged>, Error> {
    let account = claims.account()?;
    let mut decoy =
        Decoy { rules, claims, account, now, challenge, changed: false, shadow: false, events: Vec::new() };
    let value = decoy.judge(ask, draw)?;
    Ok(Decision { plan: decoy.finish(version)?, value })
}

struct Decoy<'a> {
    rules: &'a Rules,
    claims: &'a Claims,
    account: &'a AccountId,
    now: Timestamp,
    challenge: Challenge,
    changed: bool,
    /// A real challenge would write the user's record now.
    shadow: bool,
    events: Vec<EventBuilder>,
}

impl Decoy<'_> {
    fn judge(&mut self, ask: &Ask<'_>, draw: &mut Draw) -> Result<Judged, Error> {
        if let Some(reason) = self.ended()? {
            return self.refuse(reason);
        }
        match ask {
            Ask::Cancel => {
                self.end(Move::Cancel)?;
                let event = event(self.account, Kind::DecoyAnswered, Outcome::Failure, self.now, self.claims);
                self.events.push(event);
                Ok(Judged::Changed(Value::Null))
            }
            Ask::Claim | Ask::Resume(..) | Ask::Link(_) => Ok(pending(Value::Null)),
            Ask::Switch(selector) if self.offers(selector) => Ok(match self.prompt(draw)? {
                Some(prompt) => Judged::Changed(prompt),
                None => self.refuse(Reason::Unavailable)?,
            }),
            Ask::Switch(_) => self.refuse(Reason::NotOffered),
            Ask::Resend => match self.prompt(draw)? {
                Some(prompt) => Ok(pending(prompt)),
                None => self.refuse(Reason::Unavailable),
            },
            Ask::Respond(response) => self.respond(response, draw),
        }
    }

    fn respond(&mut self, response: &Response, draw: &mut Draw) -> Result<Judged, Error> {
        if response.method.as_ref().is_some_and(|selector| !self.offers(selector)) {
            return self.refuse(Reason::NotOffered);
        }
        match &response.act {
            Act::Answer(answer) => {
                let reason = self.wrong(answer, draw)?;
                self.refuse(reason)
            }
            Act::Start(_) | Act::Poll => match self.prompt(draw)? {
                Some(prompt) => Ok(pending(prompt)),
                None => self.refuse(Reason::Unavailable),
            },
        }
    }

    fn ended(&mut self) -> Result<Option<Reason>, Error> {
        let challenge = &self.challenge;
        let expires_at =
            challenge.expires_at.min(challenge.created_at.plus(self.rules.policy.challenge_ttl()));
        let begun_in_the_future = challenge.created_at.since(self.now) > TOLERATED_SKEW;
        Ok(match challenge.status {
            Status::Failed => Some(Reason::Exhausted),
            Status::Cancelled => Some(Reason::Cancelled),
            Status::Expired => Some(Reason::Expired),
            _ if self.now >= expires_at || begun_in_the_future => {
                self.end(Move::Expire)?;
                self.shadow = true;
                Some(Reason::Expired)
            }
            _ => None,
        })
    }

    /// Refuses, and charges what the table says.
    fn refuse(&mut self, reason: Reason) -> Result<Judged, Error> {
        let cost = Cost::of(reason);
        let challenge = &mut self.challenge;
        if cost.attempt {
            challenge.attempts_left = challenge.attempts_left.saturating_sub(1);
            challenge.verify_attempts = challenge.verify_attempts.saturating_add(1);
        }
        if cost.malformed {
            challenge.malformed = challenge.malformed.saturating_add(1);
        }
        let first = challenge.told & reason.bit() == 0;
        let is_told = cost.event == When::Each || (cost.event == When::First && first);
        if cost.event != When::Never {
            challenge.told |= reason.bit();
        }
        let ends = !challenge.status.is_terminal()
            && (challenge.attempts_left == 0 || challenge.malformed >= MAX_MALFORMED);
        let rejected = Rejected { reason, attempts_left: challenge.attempts_left, retry_after: None };
        self.changed |= cost.attempt || cost.malformed || is_told;
        self.shadow |= cost.budget;
        if is_told || ends {
            let event = event(self.account, Kind::DecoyAnswered, Outcome::Failure, self.now, self.claims);
            self.events.push(event.reason(reason.code()));
        }
        if ends {
            self.end(Move::Fail)?;
        }
        Ok(Judged::Rejected(rejected))
    }

    fn end(&mut self, by: Move) -> Result<(), Error> {
        self.changed = true;
        Ok(self.challenge.apply(by, self.now)?)
    }

    fn finish(self, version: Version) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        if self.changed {
            let key = challenge_key(self.account, ChallengeId::from_bytes(self.claims.id));
            let gone_at = Some(self.challenge.gone_at());
            plan.put(key, Expect::Version(version), &self.challenge, gone_at)?;
        }
        if self.shadow {
            put_shadow(&mut plan, self.account, self.claims, &self.challenge)?;
        }
        plan.events(self.events);
        Ok(plan)
    }

    fn offers(&self, selector: &MethodSelector) -> bool {
        match selector {
            MethodSelector::Enrolment(id) => *id == self.challenge.method,
            MethodSelector::Provider(name) => *name == self.challenge.provider,
        }
    }

    /// Lets the provider judge the answer by a secret of nobody's; a hit among the million is wrong all the same.
    fn wrong(&self, answer: &Answer, draw: &mut Draw) -> Result<Reason, Error> {
        let Some(method) = self.rules.usable(&self.challenge.provider) else {
            return Ok(Reason::Unavailable);
        };
        if !method.code.describe().answers.contains(&answer.kind()) {
            return Ok(Reason::WrongCode);
        }
        Ok(match self.nobody(method).step(StepEvent::Answer(answer), draw)?.then {
            Then::Reject(Reason::Malformed) => Reason::Malformed,
            _ => Reason::WrongCode,
        })
    }

    fn prompt(&self, draw: &mut Draw) -> Result<Option<Value>, Error> {
        let Some(method) = self.rules.usable(&self.challenge.provider) else { return Ok(None) };
        self.nobody(method).prompt(draw).map(Some)
    }

    const fn nobody<'a>(&'a self, method: &'a Registered) -> Nobody<'a> {
        let (user, id) = (&self.challenge.user, self.challenge.method);
        Nobody { method, account: self.account, user, id, now: self.now }
    }
}

/// Writes as much as a real challenge writes to the records of its user. It is read by nobody.
fn put_shadow(
    plan: &mut Plan,
    account: &AccountId,
    claims: &Claims,
    challenge: &Challenge,
) -> Result<(), Error> {
    let entry = Entry {
        id: ChallengeId::from_bytes(claims.id),
        purpose: challenge.purpose,
        module: challenge.module.clone(),
        session: challenge.session,
        fence: challenge.fence,
        expires_at: challenge.expires_at,
    };
    // invariant: 16 random bytes behind a zero are no user's id, which is text without control characters.
    let mut id = vec![0];
    id.extend_from_slice(&claims.id);
    let key = Key::new(Scope::Account(account.clone()), OPEN, id);
    plan.put(
        key,
        Expect::Any,
        &Open { challenges: vec![entry], sends: Vec::new() },
        Some(challenge.expires_at),
    )
}

/// A user of a method who does not exist.
struct Nobody<'a> {
    method: &'a Registered,
    account: &'a AccountId,
    user: &'a UserId,
    id: EnrolmentId,
    now: Timestamp,
}

impl Nobody<'_> {
    fn prompt(&self, draw: &mut Draw) -> Result<Value, Error> {
        match self.step(StepEvent::Begin(&Choice::none()), draw)?.then {
            Then::Prompt(prompt) | Then::Wait(prompt) => Ok(prompt),
            _ => Err(Error::Unavailable("a provider that cannot act as if")),
        }
    }

    /// Has the provider take a step with a secret that is nobody's. It is drawn once in the life of an engine:
    /// drawing one may take longer than judging by it.
    fn step(&self, event: StepEvent<'_>, draw: &mut Draw) -> Result<ErasedStep, Error> {
        let nobodys = match self.method.nobodys.get() {
            Some(nobodys) => nobodys,
            None => {
                let (choice, begin) = (Choice::none(), &mut self.context(Purpose::Enrol, draw));
                let step =
                    self.method.code.handle(begin, &ErasedHeld::default(), StepEvent::Begin(&choice))?;
                let secret = set(step.secret).map(SecretBytes::from).unwrap_or_default();
                self.method.nobodys.get_or_init(|| (secret, set(step.enrolment)))
            }
        };
        let (secret, data) = nobodys;
        let held = ErasedHeld { state: None, enrolment: data.as_deref(), secret: Some(secret) };
        Ok(self.method.code.handle(&mut self.context(Purpose::Login, draw), &held, event)?)
    }

    fn context<'b>(&'b self, purpose: Purpose, draw: &'b mut Draw) -> Cx<'b> {
        Cx {
            now: self.now,
            account: self.account,
            user: self.user,
            label: self.user.as_str(),
            ip: None,
            purpose,
            challenge: ChallengeId::from_bytes([0; 16]),
            enrolment: self.id,
            not_before: Timestamp::MIN,
            settings: &self.method.settings,
            entropy: draw,
            contacts: &[],
            keyed: None,
        }
    }
}

/// Finds the provider to act as: one that does nothing before the answer, where there is one.
fn acts(rules: &Rules) -> Option<&Registered> {
    let is_factor = |p: &&Registered| p.code.describe().role == Role::Factor && rules.offers(p);
    rules.providers.values().filter(is_factor).min_by_key(|p| !p.code.describe().effects.is_empty())
}

/// Makes up which method a name has, and since when: the same at each begin, as a real one's is, for as long as the
/// same key writes.
fn made_up(
    rules: &Rules,
    account: &AccountId,
    user: &UserId,
    now: Timestamp,
) -> Result<(EnrolmentId, Timestamp), Error> {
    let parts: [&[u8]; 3] = [b"decoy", account.as_str().as_bytes(), user.as_str().as_bytes()];
    let mac = rules.ring.mac(rules.ring.active().as_str(), Label::MacMerge, &parts)?;
    let (random, since) = mac.split_at(16);
    let random = random.first_chunk().copied().unwrap_or_default();
    let since = u64::from_be_bytes(since.first_chunk().copied().unwrap_or_default());
    // About two years, and one of them: both are powers of two, so that a mask is a remainder.
    let (era, year) = ((1_u64 << 36).wrapping_sub(1), (1_u64 << 35).wrapping_sub(1));
    let begun = (now.unix_millis() & !era).saturating_sub(since & year);
    Ok((EnrolmentId::from_random(random), Timestamp::from_unix_millis(begun).unwrap_or(now)))
}

/// Starts an event about a decoy. The user's id is what somebody typed, and is not kept.
fn event(account: &AccountId, kind: Kind, outcome: Outcome, now: Timestamp, claims: &Claims) -> EventBuilder {
    let event = EventBuilder::new(Scope::Account(account.clone()), kind, outcome, now).subject(claims.id);
    match claims.module.clone() {
        Some(module) => event.module(module),
        None => event,
    }
}
