//! Begin: what a login needs, and the challenge if it needs one.

use core::time::Duration;
use std::collections::BTreeSet;

use audit_model::{EventBuilder, Kind, Outcome, Timestamp};
use serde_json::Value;

use super::survey::{Survey, Verdict, denied, survey};
use super::{Registered, Rules, event, method, notice};
use crate::driver::{Decision, Read, Records};
use crate::keyring::Sealed;
use crate::machine::Status;
use crate::plan::Plan;
use crate::provider::{ErasedHeld, ErasedStep, StepEvent, Then};
use crate::record::challenge::{Challenge, FirstFactorRecord, Intended, PendingEffect};
use crate::record::login::{Enrolment, Login as LoginRecord, TOLERATED_SKEW};
use crate::record::open::{Entry, MAX_OPEN, Open};
use crate::record::proof::{Held, TICKET_LIFE, Ticket as TicketRecord};
use crate::record::vault::{Place, Vault};
use crate::record::{LOGIN, OPEN, TICKET, VAULT, challenge_key, user_key, users_key};
use crate::reference::{Claims, Handle, session_hash};
use crate::{
    Begin, ChallengeId, Change, Charge, Choice, Cx, DeniedReason, Draw, Effect, EnrolmentId,
    EnrolmentRequired, Error, Expect, Intent, Key, Login, Method, Purpose, Reason, Reference, Role,
    SecretBytes, Version,
};

/// How many tickets of a user there are at most.
const TICKETS: u8 = 64;

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
    intent: Option<&Intent>,
    ended: Option<&[ChallengeId]>,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Begun>, Error> {
    let (account, user) = (login.subject.account(), login.subject.user());
    let mut read: Read<LoginRecord> = records.read(&user_key(account, LOGIN, user));
    let ahead = set_right(&mut read, now);
    let vault: Read<Vault> = records.read(&user_key(account, VAULT, user));
    let wanted = login.method.as_ref();
    let survey = survey(rules, &login.subject, (&read, &vault), wanted, intent, now, false);
    let mut beginning = Beginning { rules, login, intent, now, ahead, plan: Plan::default() };
    for (record, problem) in survey.refused.iter().collect::<BTreeSet<_>>() {
        beginning.note_refused(record, problem);
    }
    let begun = match (&survey.verdict, read) {
        (Verdict::Challenge(active), Read::Live(record, version)) => {
            beginning.challenge(record, version, vault, records, *active, &survey, ended, draw)?
        }
        (verdict, read) => {
            let fence = match read {
                Read::Live(record, version) => {
                    Some(beginning.write_what_was_set_right(record, version)?.fence)
                }
                Read::Absent | Read::Refused(_) => None,
            };
            Begun::Answer(match verdict {
                Verdict::EnrolmentRequired => beginning.ticket(fence, draw)?,
                verdict => beginning.without_challenge(verdict),
            })
        }
    };
    Ok(Decision { plan: beginning.plan, value: begun })
}

/// Leaves out what whoever has no more than the first factor need not know.
fn unsaid(method: Method) -> Method {
    Method { uses_left: None, ..method }
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
    /// The change that a proof is asked for, where one is.
    intent: Option<&'a Intent>,
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
            Verdict::Denied(denied) => {
                let code = denied.reason.code();
                let event = self.event(Kind::LoginDenied, Outcome::Failure).reason(code);
                self.merged(event, code);
                Begin::Denied(*denied)
            }
            // A challenge needs the record it was decided from, a ticket its draw; without them nothing is given.
            Verdict::Challenge(_) | Verdict::EnrolmentRequired => {
                self.without_challenge(&denied(DeniedReason::Unavailable, None))
            }
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
        let started = self.start(&record, &vault, survey, active, &claims, draw)?;
        if let Read::Live(_, version) = &vault {
            self.plan.check(user_key(&account, VAULT, &user), *version);
        }
        let mut challenge = self.record(&record, active, survey, &claims, &started, at)?;
        challenge.contacts = self.contacts(&claims, draw)?;
        open.challenges.push(Entry {
            id: ChallengeId::from_bytes(claims.id),
            purpose: challenge.purpose,
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
        let mut event = self
            .event(Kind::ChallengeBegun, Outcome::Info)
            .subject(claims.id)
            .field("method", provider.clone());
        if let Some(intent) = self.intent {
            event = event.field("purpose", intent.operation().code());
        }
        self.plan.events([event]);
        if let Some((effect, _, charge)) = &started.effect {
            let event = self.event(Kind::EffectCharged, Outcome::Info).subject(claims.id);
            let event = event.field("method", provider).field("effect", effect.kind().code());
            self.plan.events([event.field("charge", charge.code())]);
        }
        let methods = survey.usable.iter().filter_map(|(id, _)| record.enrolment(*id));
        let methods: Vec<_> =
            methods.filter_map(|enrolment| method(self.rules, &record, enrolment)).map(unsaid).collect();
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

    /// Makes the ticket of a login that must enrol a method first. A user has at most 64 of them, of which a new
    /// one may take the place of an old one.
    fn ticket(&mut self, fence: Option<u64>, draw: &mut Draw) -> Result<Begin, Error> {
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let [slot]: [u8; 1] = draw.take()?;
        let mut id = [0; 16];
        id[15] = slot % TICKETS;
        let ring = &self.rules.ring;
        let claims = Claims::new(ring, Handle::Ticket, &self.login.subject, "", (id, draw.take()?));
        let hash = |session| session_hash(ring, &claims.key, account, user, session);
        let expires_at = self.now.plus(TICKET_LIFE);
        let held = Held {
            generation: self.login.subject.generation().to_owned(),
            fence,
            key: claims.key.clone(),
            binder: claims.binder_hash(ring)?,
            session: self.login.first_factor.session.as_ref().map(hash).transpose()?,
            made_at: self.now,
            expires_at,
        };
        let key = users_key(account, TICKET, user, &id);
        self.plan.put(key, Expect::Any, &TicketRecord { held }, Some(expires_at))?;
        let event = self.event(Kind::EnrolmentRequired, Outcome::Info);
        self.plan.events([event]);
        let is_factor = |p: &&Registered| p.code.describe().role == Role::Factor && self.rules.offers(p);
        let offered = self.rules.providers.values().filter(is_factor).map(|p| p.name.clone()).collect();
        Ok(Begin::EnrolmentRequired(EnrolmentRequired {
            ticket: crate::Ticket(claims.issue_text(ring)?),
            needs_invitation: self.rules.policy.first_enrolment_needs_invitation(),
            offered,
        }))
    }

    fn reference(&self, draw: &mut Draw) -> Result<(Claims, Reference), Error> {
        let secrets = (*ChallengeId::from_random(draw.take()?).as_bytes(), draw.take()?);
        let module = self.login.module.as_str();
        let claims = Claims::new(&self.rules.ring, Handle::Challenge, &self.login.subject, module, secrets);
        let reference = claims.issue(&self.rules.ring)?;
        Ok((claims, reference))
    }

    fn start(
        &self,
        record: &LoginRecord,
        vault: &Read<Vault>,
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
        let secret = match (secret, vault) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Read::Live(vault, _)) => Some(self.open_secret(vault, enrolment)?),
            (None, _) => None,
        };
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let effect_id = draw.take()?;
        let mut cx = Cx {
            now: self.now,
            account,
            user,
            label: self.login.subject.label(),
            purpose: self.purpose(),
            challenge: ChallengeId::from_bytes(claims.id),
            enrolment: active,
            not_before: record.barrier,
            settings: &registered.settings,
            entropy: draw,
        };
        let held = ErasedHeld { state: None, enrolment: enrolment.data.as_deref(), secret: secret.as_ref() };
        let step = registered.code.handle(&mut cx, &held, StepEvent::Begin(&Choice::none()))?;
        Started::from_step(step, effect_id)
    }

    const fn purpose(&self) -> Purpose {
        match self.intent {
            None => Purpose::Login,
            Some(intent) => Purpose::StepUp(intent.operation()),
        }
    }

    fn open_secret(&self, vault: &Vault, enrolment: &Enrolment) -> Result<SecretBytes, Error> {
        let place = Place {
            account: self.login.subject.account(),
            user: self.login.subject.user(),
            kind: "vault",
            provider: &enrolment.provider,
            enrolment: enrolment.id,
        };
        let sealed = vault.sealed(enrolment.id).ok_or(Error::Unavailable("the vault"))?;
        Ok(place.open(&self.rules.ring, sealed)?)
    }

    /// Seals the verified contacts, so that the user can be told what happens to the challenge.
    fn contacts(&self, claims: &Claims, draw: &mut Draw) -> Result<Option<Sealed>, Error> {
        let subject = &self.login.subject;
        let verified: Vec<_> = subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        if verified.is_empty() {
            return Ok(None);
        }
        let whom = (subject.account(), subject.user());
        notice::seal(self.rules, whom.0, whom.1, &claims.id, &verified, draw).map(Some)
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
        let hash = |session| session_hash(ring, &claims.key, account, user, session);
        let sends = matches!(&started.effect, Some((Effect::Deliver(_), ..)));
        Ok(Challenge {
            user: user.clone(),
            generation: record.generation.clone(),
            module: self.login.module.as_str().to_owned(),
            purpose: self.purpose(),
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
            intent: self
                .intent
                .map(|intent| Intended { digest: intent.digest(), rank: self.login.subject.rank() }),
            contacts: None,
            decoy: false,
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
