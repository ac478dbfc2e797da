//! Begin: what a login needs, and the challenge if it needs one.

use core::time::Duration;

use audit_model::{EventBuilder, Kind, Outcome, Timestamp};
use serde_json::Value;

use super::survey::{Survey, Verdict, denied, survey};
use super::{Rules, event, method};
use crate::driver::{Decision, Read, Records};
use crate::machine::Status;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, StepEvent, Then};
use crate::record::challenge::{Challenge, FirstFactorRecord, PendingEffect};
use crate::record::login::{Login as LoginRecord, TOLERATED_SKEW};
use crate::record::open::{Entry, MAX_OPEN, Open};
use crate::record::vault::Vault;
use crate::record::{LOGIN, OPEN, VAULT, challenge_key, user_key};
use crate::reference::{Claims, Handle, Holder, session_hash};
use crate::{
    Begin, ChallengeId, Change, Charge, Choice, Cx, DeniedReason, Draw, Effect, EnrolmentId,
    EnrolmentRequired, Error, Expect, Key, Login, ProviderName, Purpose, Reason, Reference, Version,
};

/// What begin comes to.
pub(crate) enum Begun {
    Answer(Begin),
    /// A challenge whose method must act first, such as by sending a message.
    Act {
        claims: Box<Claims>,
        answer: Box<crate::Challenge>,
        effect: Effect,
        id: [u8; 16],
    },
    /// Too many challenges are listed as open; those that have ended must be found first.
    LookAt(Vec<ChallengeId>),
}

pub(crate) fn keys(login: &Login) -> Vec<Key> {
    let (account, user) = (login.subject.account(), login.subject.user());
    [LOGIN, VAULT, OPEN].map(|kind| user_key(account, kind, user)).to_vec()
}

/// Decides what `login` needs. `ended` names challenges that are listed as open and have ended.
pub(crate) fn begin(
    rules: &Rules,
    login: &Login,
    ended: Option<&[ChallengeId]>,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Begun>, Error> {
    let (account, user) = (login.subject.account(), login.subject.user());
    let mut read: Read<LoginRecord> = records.read(&user_key(account, LOGIN, user));
    let ahead = set_right(&mut read, now);
    let vault: Read<Vault> = records.read(&user_key(account, VAULT, user));
    let survey = survey(rules, &login.subject, &read, &vault, login.method.as_ref(), now, false);
    let mut beginning = Beginning { rules, login, now, ahead, plan: Plan::default() };
    for (record, problem) in &survey.refused {
        beginning.note_refused(record, problem);
    }
    let begun = match (&survey.verdict, read) {
        (Verdict::Challenge(active), Read::Live(record, version)) => {
            beginning.challenge(record, version, vault, records, *active, &survey, ended, draw)?
        }
        (verdict, read) => {
            if let Read::Live(record, version) = read {
                beginning.write_what_was_set_right(record, version)?;
            }
            Begun::Answer(beginning.without_challenge(verdict))
        }
    };
    Ok(Decision { plan: beginning.plan, value: begun })
}

/// After a step back past the tolerated skew, sets right what the record has of a time that has not come yet,
/// before anything is decided by it: else a failure of the future would lock the user until then. Returns how
/// far the clock was ahead.
pub(crate) fn set_right(read: &mut Read<LoginRecord>, now: Timestamp) -> Option<Duration> {
    let Read::Live(record, _) = read else { return None };
    let ahead = record.stepped_back(now);
    (ahead > TOLERATED_SKEW).then(|| record.mark(now))?;
    Some(ahead)
}

struct Beginning<'a> {
    rules: &'a Rules,
    login: &'a Login,
    now: Timestamp,
    /// How far the clock was ahead when the user was last judged, if it was.
    ahead: Option<Duration>,
    plan: Plan,
}

impl Beginning<'_> {
    fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        let event = event(self.login.subject.account(), self.login.subject.user(), kind, outcome, self.now)
            .module(self.login.module.as_str().to_owned())
            .field("first_factor", self.login.first_factor.kind.code());
        self.login.request.describe(event)
    }

    /// Writes an event once a user, reason and minute, so that a flood of logins is no flood of events.
    fn merged(&mut self, event: EventBuilder, reason: &str) {
        let minute = (self.now.unix_seconds() / 60).to_be_bytes();
        let (account, user) = (self.login.subject.account().as_str(), self.login.subject.user().as_str());
        let alike = crate::codec::tuple(&[account.as_bytes(), user.as_bytes(), reason.as_bytes(), &minute]);
        self.plan.merged_event(event, alike);
    }

    fn note_refused(&mut self, record: &'static str, problem: &'static str) {
        let event = self
            .event(Kind::RecordRefused, Outcome::Failure)
            .field("record", record)
            .field("problem", problem);
        self.merged(event, record);
    }

    fn without_challenge(&mut self, verdict: &Verdict) -> Begin {
        match verdict {
            Verdict::NotRequired(why) => {
                let event = self.event(Kind::LoginNotRequired, Outcome::Info).reason(why.code());
                self.plan.events([event]);
                Begin::NotRequired(*why)
            }
            Verdict::EnrolmentRequired => {
                let event = self.event(Kind::EnrolmentRequired, Outcome::Info);
                self.plan.events([event]);
                let offered =
                    self.rules.providers.values().filter(|p| self.rules.policy.offers(p.name.as_str()));
                let offered: Vec<ProviderName> = offered.map(|p| p.name.clone()).collect();
                Begin::EnrolmentRequired(EnrolmentRequired { offered })
            }
            Verdict::Denied(denied) => {
                let code = denied.reason.code();
                let event = self.event(Kind::LoginDenied, Outcome::Failure).reason(code);
                self.merged(event, code);
                Begin::Denied(*denied)
            }
            // A challenge needs the record it was decided from; without it nothing can be granted.
            Verdict::Challenge(_) => self.without_challenge(&denied(DeniedReason::Unavailable, None)),
        }
    }

    /// Writes the user's record if the clock was ahead, with the event that says so.
    fn write_what_was_set_right(
        &mut self,
        mut record: LoginRecord,
        version: Version,
    ) -> Result<LoginRecord, Error> {
        let Some(ahead) = self.ahead else { return Ok(record) };
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let by = ahead.as_secs().to_string();
        let event = self.event(Kind::ClockSteppedBack, Outcome::Failure).field("by_seconds", by);
        let streams = record.take_stream(1);
        self.plan.events(streams.into_iter().map(|stream| event.clone().stream(stream)));
        self.plan.put(user_key(account, LOGIN, user), Expect::Version(version), &record, None)?;
        Ok(record)
    }

    #[expect(clippy::too_many_arguments, reason = "every record of the step, and the step itself")]
    fn challenge(
        &mut self,
        record: LoginRecord,
        version: Version,
        vault: Read<Vault>,
        records: &Records,
        active: EnrolmentId,
        survey: &Survey,
        ended: Option<&[ChallengeId]>,
        draw: &mut Draw,
    ) -> Result<Begun, Error> {
        let (account, user) = (self.login.subject.account().clone(), self.login.subject.user().clone());
        let open_key = user_key(&account, OPEN, &user);
        let (mut open, expect) = match records.read::<Open>(&open_key) {
            Read::Absent => (Open::default(), Expect::Absent),
            Read::Live(open, version) => (open, Expect::Version(version)),
            Read::Refused(problem) => {
                self.note_refused("open", problem);
                return Ok(Begun::Answer(self.without_challenge(&denied(DeniedReason::Unavailable, None))));
            }
        };
        let record = match self.ahead {
            Some(_) => self.write_what_was_set_right(record, version)?,
            None => {
                self.plan.check(user_key(&account, LOGIN, &user), version);
                record
            }
        };
        let at = record.effective(self.now);
        open.prune(at, record.fence, ended.unwrap_or_default());
        let cap = self.rules.policy.open_challenges().min(MAX_OPEN);
        if open.challenges.len() >= cap {
            return Ok(match ended {
                None => Begun::LookAt(open.challenges.iter().map(|entry| entry.id).collect()),
                Some(_) => Begun::Answer(self.without_challenge(&denied(DeniedReason::TooManyOpen, None))),
            });
        }
        let (claims, reference) = self.reference(draw)?;
        let started = self.start(&record, survey, active, &claims, draw)?;
        if let Read::Live(_, version) = &vault {
            self.plan.check(user_key(&account, VAULT, &user), *version);
        }
        let challenge = self.record(&record, active, survey, &claims, &started, at)?;
        open.challenges.push(Entry {
            id: ChallengeId::from_bytes(claims.id),
            module: challenge.module.clone(),
            session: challenge.session,
            fence: challenge.fence,
            expires_at: challenge.expires_at,
        });
        let open_until = open.challenges.iter().map(|entry| entry.expires_at).max();
        self.plan.put(open_key, expect, &open, open_until)?;
        let id = ChallengeId::from_bytes(claims.id);
        self.plan.put(challenge_key(&account, id), Expect::Absent, &challenge, Some(challenge.gone_at()))?;
        let provider = record.enrolment(active).map(|e| e.provider.clone()).unwrap_or_default();
        let event = self
            .event(Kind::ChallengeBegun, Outcome::Info)
            .subject(claims.id)
            .field("method", provider.clone());
        self.plan.events([event]);
        if let Some((effect, _, charge)) = &started.effect {
            let event = self.event(Kind::EffectCharged, Outcome::Info).subject(claims.id);
            let event = event.field("method", provider).field("effect", effect.kind().code());
            self.plan.events([event.field("charge", charge.code())]);
        }
        let methods = survey.usable.iter().filter_map(|(id, _)| record.enrolment(*id));
        let methods: Vec<_> = methods.filter_map(|enrolment| method(&record, enrolment)).collect();
        let active = methods.iter().find(|method| method.id == active).cloned();
        let answer = crate::Challenge {
            id,
            reference,
            status: challenge.status,
            method: active.ok_or(Error::Unavailable("the active method"))?,
            methods,
            prompt: started.prompt,
            created_at: challenge.created_at,
            expires_at: challenge.expires_at,
        };
        Ok(match started.effect {
            None => Begun::Answer(Begin::Challenge(answer)),
            Some((effect, id, _)) => {
                Begun::Act { claims: Box::new(claims), answer: Box::new(answer), effect, id }
            }
        })
    }

    fn reference(&self, draw: &mut Draw) -> Result<(Claims, Reference), Error> {
        let claims = Claims {
            format: Claims::FORMAT,
            key: self.rules.ring.active().as_str().to_owned(),
            handle: Handle::Challenge,
            user: self.login.subject.user().clone(),
            lineage: self.login.subject.lineage().to_vec(),
            module: self.login.module.as_str().to_owned(),
            label: self.login.subject.label().to_owned(),
            id: *ChallengeId::from_random(draw.take()?).as_bytes(),
            binder: draw.take()?,
            holder: Holder::Binder,
        };
        let reference = claims.issue(&self.rules.ring)?;
        Ok((claims, reference))
    }

    fn start(
        &self,
        record: &LoginRecord,
        survey: &Survey,
        active: EnrolmentId,
        claims: &Claims,
        draw: &mut Draw,
    ) -> Result<Started, Error> {
        let enrolment = record.enrolment(active).ok_or(Error::Unavailable("the active method"))?;
        let registered =
            self.rules.usable(&enrolment.provider).ok_or(Error::Unavailable("the active method"))?;
        let opened = survey.usable.iter().find(|(id, _)| *id == active);
        let (_, secret) = opened.ok_or(Error::Unavailable("the vault"))?;
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let effect_id = draw.take()?;
        let mut cx = Cx {
            now: self.now,
            account,
            user,
            label: self.login.subject.label(),
            purpose: Purpose::Login,
            challenge: ChallengeId::from_bytes(claims.id),
            enrolment: active,
            settings: &registered.settings,
            entropy: draw,
        };
        let held = ErasedHeld { state: None, enrolment: enrolment.data.as_deref(), secret: Some(secret) };
        let step = registered.code.handle(&mut cx, &held, StepEvent::Begin(&Choice::none()))?;
        Started::from_step(step, effect_id)
    }

    fn record(
        &self,
        record: &LoginRecord,
        active: EnrolmentId,
        survey: &Survey,
        claims: &Claims,
        started: &Started,
        at: Timestamp,
    ) -> Result<Challenge, Error> {
        let first = &self.login.first_factor;
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let ring = &self.rules.ring;
        let hash = |session| session_hash(ring, ring.active().as_str(), account, user, session);
        let sends = matches!(&started.effect, Some((Effect::Deliver(_), ..)));
        Ok(Challenge {
            user: user.clone(),
            generation: record.generation.clone(),
            module: self.login.module.as_str().to_owned(),
            purpose: Purpose::Login,
            key: claims.key.clone(),
            binder: claims.binder_hash(ring)?,
            session: first.session.as_ref().map(hash).transpose()?,
            first_factor: FirstFactorRecord {
                kind: first.kind,
                channel: first.channel,
                at: first.at.unwrap_or(self.now),
            },
            fence: record.fence,
            status: if started.effect.is_some() { Status::Created } else { Status::Sent },
            method: active,
            provider: record.enrolment(active).map(|e| e.provider.clone()).unwrap_or_default(),
            offered: survey.usable.iter().map(|(id, _)| *id).collect(),
            created_at: at,
            updated_at: at,
            expires_at: at.plus(self.rules.policy.challenge_ttl()),
            attempts_left: self.rules.policy.attempts(),
            malformed: 0,
            verify_attempts: 0,
            send_attempts: u32::from(sends),
            told: 0,
            state: started.state.clone(),
            effect: started.effect.as_ref().map(|(_, id, _)| PendingEffect {
                id: *id,
                charged_at: None,
                failed_before: Timestamp::MIN,
                of_answer: false,
                deadline: at.plus(crate::engine::EFFECT_DEADLINE),
            }),
            proven: None,
        })
    }
}

/// What a provider wants at the beginning.
struct Started {
    prompt: Value,
    state: Option<Vec<u8>>,
    effect: Option<(Effect, [u8; 16], Charge)>,
}

impl Started {
    fn from_step(step: ErasedStep, effect_id: [u8; 16]) -> Result<Self, Error> {
        let state = match step.state {
            Change::Set(state) => Some(state),
            Change::Same | Change::Clear => None,
        };
        match step.then {
            Then::Prompt(prompt) | Then::Wait(prompt) => Ok(Self { prompt, state, effect: None }),
            Then::Run(_, Charge::Attempt) => {
                Err(Error::Unavailable("a provider that judges at the beginning"))
            }
            Then::Run(effect, charge) => {
                Ok(Self { prompt: Value::Null, state, effect: Some((effect, effect_id, charge)) })
            }
            Then::Reject(Reason::Unavailable) => Err(Error::Unavailable("the provider")),
            Then::Reveal(..) | Then::Accept(_) | Then::Reject(_) => {
                Err(Error::Unavailable("a provider that neither prompts nor acts"))
            }
        }
    }
}
