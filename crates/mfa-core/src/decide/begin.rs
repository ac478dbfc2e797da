//! Begin: what a login needs, and the challenge if it needs one.

use core::time::Duration;
use std::borrow::Cow;
use std::collections::BTreeSet;

use audit_model::{EventBuilder, Kind, Outcome, Timestamp};

use super::arrive::{Arriving, OfUser};
use super::device::Seen;
use super::exempt::Exempt;
use super::make::Started;
use super::sends::charge_push;
use super::survey::{Survey, Verdict, denied, survey};
use super::{Registered, Rules, event, message, method};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::exemptions::EXEMPTIONS;
use crate::record::login::{Login as LoginRecord, TOLERATED_SKEW};
use crate::record::message::MessagePlace;
use crate::record::open::{Entry, MAX_OPEN, Open};
use crate::record::proof::{Held, TICKET_LIFE, Ticket as TicketRecord};
use crate::record::vault::Vault;
use crate::record::{TICKET, challenge_key, users_key};
use crate::reference::{Claims, Handle, session_hash};
use crate::{
    Begin, ChallengeId, Charge, DeniedReason, DeviceId, Draw, Effect, EnrolmentId, EnrolmentRequired, Error,
    Expect, Intent, Login, Method, NotRequired, Reason, Role, Version,
};

/// How many tickets of a user there are at most.
const TICKETS: u8 = 64;
/// The random bytes of a challenge whose method sends nothing: version, binder, salt.
const RANDOM_BYTES: usize = 64;
/// Of the open challenges, one in so many is kept for devices that succeeded before, as long as there may be one.
const KEPT: usize = 3;

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

/// Decides what a login needs. `ended` names challenges that are listed as open and have ended.
pub(crate) fn begin(
    rules: &Rules,
    arriving: &Arriving<'_>,
    ended: Option<&[ChallengeId]>,
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<Begun>, Error> {
    let Arriving { login, intent, ref of_user, .. } = *arriving;
    let mut read: Read<LoginRecord> = records.read(&of_user.login);
    let ahead = set_right(&mut read, now);
    let vault: Read<Vault> = records.read(&of_user.vault);
    let seen = arriving.look(rules, &read, records, now)?;
    let exempt = arriving.exempt(rules, &read, records, now);
    let survey = survey(rules, arriving.about(&seen, &exempt, false), (&read, &vault), now);
    let seen = seen.within(&survey.usable);
    let (device, known) = (seen.device(), seen.is_known());
    let mut beginning = Beginning {
        rules,
        login,
        of_user,
        intent,
        now,
        ahead,
        device,
        known,
        changed: None,
        plan: Plan::default(),
    };
    for (record, problem) in survey.refused.iter().collect::<BTreeSet<_>>() {
        beginning.note_refused(record, problem);
    }
    if let Exempt::Refused(problem) = exempt {
        beginning.note_refused(EXEMPTIONS.as_str(), problem);
    }
    match (&seen, &mut read) {
        (Seen::Refused(problem), _) => beginning.note_refused("device", problem),
        (Seen::Reused(id, version), Read::Live(record, _)) => {
            beginning.forget_copied(*id, *version, record, draw)?;
        }
        _ => {}
    }
    let begun = match (&survey.verdict, read, seen) {
        (
            Verdict::Challenge(_),
            Read::Live(record, version),
            Seen::Trusted { device, version: of, latest },
        ) if intent.is_none() => {
            rules.hold_documents(login.subject.lineage(), records, &mut beginning.plan);
            beginning.let_in(record, version, &vault, (*device, of, latest), draw)?
        }
        (Verdict::Challenge(_), Read::Live(record, version), _) => {
            beginning.challenge(record, version, vault, records, &survey, ended, draw)?
        }
        (verdict, read, _) => {
            let fence = match read {
                Read::Live(record, version) => Some(beginning.write_what_changed(record, version)?.fence),
                Read::Absent | Read::Refused(_) => None,
            };
            Begun::Answer(match (verdict, exempt) {
                (Verdict::EnrolmentRequired, _) => beginning.ticket(fence, draw)?,
                (Verdict::NotRequired(NotRequired::Exempted(_)), Exempt::Met(met)) => {
                    beginning.let_in_exempt(met)?
                }
                (verdict, _) => beginning.without_challenge(verdict),
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

pub(super) struct Beginning<'a> {
    pub(super) rules: &'a Rules,
    pub(super) login: &'a Login,
    pub(super) of_user: &'a OfUser,
    /// The change that a proof is asked for, where one is.
    pub(super) intent: Option<&'a Intent>,
    pub(super) now: Timestamp,
    /// How far the clock was ahead when the user was last judged, if it was.
    ahead: Option<Duration>,
    /// The device whose token was shown.
    pub(super) device: Option<DeviceId>,
    /// It has succeeded before.
    pub(super) known: bool,
    /// What is told of the user's record, where it has to be written.
    pub(super) changed: Option<EventBuilder>,
    pub(super) plan: Plan,
}

impl Beginning<'_> {
    pub(super) fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        let event = event(self.login.subject.account(), self.login.subject.user(), kind, outcome, self.now)
            .module(self.login.module.clone())
            .field("first_factor", self.login.first_factor.kind.code());
        self.login.request.describe(event)
    }

    /// Writes an event once a user, reason and minute, so that a flood of logins is no flood of events.
    fn merged(&mut self, event: EventBuilder, reason: &str) {
        let minute = (self.now.unix_seconds() / 60).to_be_bytes();
        let (account, user) = (self.login.subject.account().as_str(), self.login.subject.user().as_str());
        let module = self.login.module.as_str().as_bytes();
        let parts = [account.as_bytes(), user.as_bytes(), reason.as_bytes(), module, &minute];
        let alike = crate::codec::tuple(&parts);
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
                let mut event = self.event(Kind::LoginDenied, Outcome::Failure).reason(code);
                let mut alike = Cow::Borrowed(code);
                if denied.reason == DeniedReason::ModuleDisabled {
                    event = self.rules.disabled(event, &self.login.module);
                } else if denied.reason == DeniedReason::Unavailable && self.rules.asks_in_vain() {
                    event = self.rules.rejected(event, Reason::Unavailable, &self.login.module);
                    // Each of the sentences that say why is told.
                    if let Some(why) = self.rules.documents.unusable() {
                        alike = format!("{code} {why}").into();
                    }
                }
                self.merged(event, &alike);
                Begin::Denied(*denied)
            }
            // A challenge needs the record it was decided from, a ticket its draw; without them nothing is given.
            Verdict::Challenge(_) | Verdict::EnrolmentRequired => {
                self.without_challenge(&denied(DeniedReason::Unavailable, None))
            }
        }
    }

    /// Writes the user's record if the clock was ahead or a device was copied, with the events that say so.
    fn write_what_changed(
        &mut self,
        mut record: LoginRecord,
        version: Version,
    ) -> Result<LoginRecord, Error> {
        let stepped_back = self.ahead.map(|ahead| {
            let event = self.event(Kind::ClockSteppedBack, Outcome::Failure);
            event.field("by_seconds", ahead.as_secs().to_string())
        });
        let events: Vec<_> = stepped_back.into_iter().chain(self.changed.take()).collect();
        if events.is_empty() {
            return Ok(record);
        }
        let streams = record.take_stream(events.len());
        self.plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
        self.plan.put(self.of_user.login.clone(), Expect::Version(version), &record, None)?;
        Ok(record)
    }

    /// Writes the user's record if it changed, or else holds it as it was read.
    pub(super) fn hold(&mut self, record: LoginRecord, version: Version) -> Result<LoginRecord, Error> {
        if self.ahead.is_some() || self.changed.is_some() {
            return self.write_what_changed(record, version);
        }
        self.plan.check(self.of_user.login.clone(), version);
        Ok(record)
    }

    #[expect(clippy::too_many_arguments, reason = "every record of the step, and the step itself")]
    fn challenge(
        &mut self,
        record: LoginRecord,
        version: Version,
        vault: Read<Vault>,
        records: &Records,
        survey: &Survey,
        ended: Option<&[ChallengeId]>,
        draw: &mut Draw,
    ) -> Result<Begun, Error> {
        let Self { login, of_user, .. } = *self;
        let (account, user) = (login.subject.account(), login.subject.user());
        // Before anything can end it: what changed of the record is written whatever becomes of the login.
        let mut record = self.hold(record, version)?;
        let (mut open, expect) = match records.read::<Open>(&of_user.open) {
            Read::Absent => (Open::default(), Expect::Absent),
            Read::Live(open, version) => (open, Expect::Version(version)),
            Read::Refused(problem) => {
                self.note_refused("open", problem);
                return Ok(Begun::Answer(self.without_challenge(&denied(DeniedReason::Unavailable, None))));
            }
        };
        let at = record.effective(self.now);
        let was_ahead = open.prune(at, record.fence, ended.unwrap_or_default());
        let all = self.rules.policy.open_challenges().min(MAX_OPEN);
        let kept = if self.known || at >= record.devices_until { 0 } else { all / KEPT };
        let cap = all.saturating_sub(kept);
        if open.challenges.len() >= cap {
            return Ok(match ended {
                None => Begun::LookAt(open.challenges.iter().map(|entry| entry.id).collect()),
                Some(_) => Begun::Answer(self.without_challenge(&denied(DeniedReason::TooManyOpen, None))),
            });
        }
        draw.reserve(RANDOM_BYTES);
        let (claims, reference) = self.reference(draw)?;
        let found = self.first_open((&mut record, version), &vault, &mut open, survey, &claims, at, draw)?;
        let (active, started) = match found {
            Ok(found) => found,
            Err(wait) => {
                if was_ahead {
                    self.plan.put(of_user.open.clone(), expect, &open, open.gone_at())?;
                }
                let denied = denied(DeniedReason::SendLimit, wait);
                return Ok(Begun::Answer(self.without_challenge(&denied)));
            }
        };
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
        self.plan.put(of_user.open.clone(), expect, &open, open.gone_at())?;
        let id = ChallengeId::from_bytes(claims.id);
        self.plan.put(challenge_key(account, id), Expect::Absent, &challenge, Some(challenge.gone_at()))?;
        let provider = challenge.provider.clone();
        let mut event = self
            .event(Kind::ChallengeBegun, Outcome::Info)
            .subject(claims.id)
            .field("method", provider.clone());
        if let Some(intent) = self.intent {
            event = event.field("purpose", intent.operation().code());
        }
        if let Some(device) = self.device.filter(|_| self.known) {
            event = event.field("device", device.to_string());
        }
        self.plan.events([event]);
        if let Some((effect, _, charge)) = &started.effect {
            let event = self.event(Kind::EffectCharged, Outcome::Info).subject(claims.id);
            self.plan.events([effect.describe(*charge, event.field("method", provider))]);
        }
        let methods = survey.usable.iter().filter_map(|(id, _)| record.enrolment(*id));
        let methods: Vec<_> =
            methods.map(|enrolment| unsaid(method(self.rules, &record, enrolment))).collect();
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
        if let (Some((Effect::Deliver(message), effect, _)), true) = (&started.effect, started.queued) {
            let place = MessagePlace { account, user, challenge: &claims.id, effect };
            let sent = (message, self.login.subject.label());
            let times = (self.now, challenge.expires_at);
            message::queue(self.rules, place, sent, times, draw, &mut self.plan)?;
            return Ok(Begun::Answer(Begin::Challenge(answer)));
        }
        Ok(match started.effect {
            None => Begun::Answer(Begin::Challenge(answer)),
            Some((effect, id, _)) => {
                Begun::Act { claims: Box::new(claims), answer: Box::new(answer), effect, id }
            }
        })
    }

    /// Starts the first open method that may send what it has to, so that whoever used up the messages keeps nobody
    /// from a method that needs none. Returns how long to wait where there is none.
    #[expect(clippy::too_many_arguments, reason = "every record of the step, and the step itself")]
    fn first_open(
        &mut self,
        (record, version): (&mut LoginRecord, Version),
        vault: &Read<Vault>,
        open: &mut Open,
        survey: &Survey,
        claims: &Claims,
        at: Timestamp,
        draw: &mut Draw,
    ) -> Result<Result<(EnrolmentId, Started), Option<Duration>>, Error> {
        let mut wait = None;
        for active in &survey.open {
            let started = self.start(record, vault, survey, *active, claims, draw)?;
            let Some((_, _, charge)) = &started.effect else { return Ok(Ok((*active, started))) };
            match self.charge(*charge, open, (record, version), at)? {
                Ok(()) => return Ok(Ok((*active, started))),
                Err(of_this) => wait = [wait, of_this].into_iter().flatten().min(),
            }
        }
        Ok(Err(wait))
    }

    /// Charges what leaves with a challenge's begin. Returns how long to wait if it may not leave now. A push is the
    /// one thing for which a begin writes the user's record: there are few of them until something is accepted.
    fn charge(
        &mut self,
        charge: Charge,
        open: &mut Open,
        (record, version): (&mut LoginRecord, Version),
        at: Timestamp,
    ) -> Result<Result<(), Option<Duration>>, Error> {
        match charge {
            Charge::Send => {
                let (hourly, daily) = self.rules.policy.sends();
                let wait = open.wait_to_send(at, hourly, daily);
                if wait > Duration::ZERO {
                    return Ok(Err(Some(wait)));
                }
                open.charge_send(at);
            }
            Charge::Push => {
                if charge_push(&self.rules.policy, record).is_err() {
                    return Ok(Err(None));
                }
                record.mark(self.now);
                self.plan.put_instead(self.of_user.login.clone(), version, record)?;
            }
            Charge::Free | Charge::Attempt => {}
        }
        Ok(Ok(()))
    }

    /// Makes the ticket of a login that must enrol a method first. A user has at most 64 of them, of which a new
    /// one may take the place of an old one.
    fn ticket(&mut self, fence: Option<u64>, draw: &mut Draw) -> Result<Begin, Error> {
        let (account, user) = (self.login.subject.account(), self.login.subject.user());
        let [slot]: [u8; 1] = draw.take()?;
        let mut id = [0; 16];
        id[15] = slot % TICKETS;
        let ring = &self.rules.ring;
        let mut claims = Claims::new(ring, Handle::Ticket, &self.login.subject, None, (id, draw.take()?));
        let ticket = crate::Ticket(claims.issue_text(ring)?);
        let hash = |session| session_hash(ring, &claims.key, account, user, session);
        let expires_at = self.now.plus(TICKET_LIFE);
        let held = Held {
            generation: self.login.subject.generation().to_owned(),
            fence,
            key: claims.key.clone(),
            binder: claims.binder_hash()?,
            session: self.login.first_factor.session.as_ref().map(hash).transpose()?,
            made_at: self.now,
            expires_at,
        };
        let key = users_key(account, TICKET, user, &id);
        self.plan.put(key, Expect::Any, &TicketRecord { held }, Some(expires_at))?;
        let event = self.event(Kind::EnrolmentRequired, Outcome::Info);
        self.merged(event, "enrolment_required");
        let is_factor = |p: &&Registered| p.code.describe().role == Role::Factor && self.rules.can_use(p);
        let offered = self.rules.providers.values().filter(is_factor).map(|p| p.name.clone()).collect();
        Ok(Begin::EnrolmentRequired(EnrolmentRequired {
            ticket,
            needs_invitation: self.rules.policy.first_enrolment_needs_invitation(),
            offered,
        }))
    }
}
