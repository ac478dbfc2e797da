//! One challenge with the records it is judged by: what is read, what changed, what is written.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};

use super::judge::Ask;
use super::sends::Sends;
use super::{Rules, event, notice};
use crate::driver::{Read, Records};
use crate::machine::{Move, Status};
use crate::plan::Plan;
use crate::record::challenge::{Challenge, Waiting};
use crate::record::login::{Login, NOTED_SKEW, TOLERATED_SKEW};
use crate::record::vault::Vault;
use crate::record::{LOGIN, NOTICE, VAULT, challenge_key, user_key, users_key};
use crate::reference::{Claims, Holder};
use crate::{
    ChallengeId, Draw, Error, Expect, Key, NoticeKind, ProviderName, Purpose, Reason, RequestFacts, Version,
    Versioned,
};

/// The records that judging needs: one get. What `may_send` needs the user's budget of messages besides.
pub(crate) fn keys(claims: &Claims, may_send: bool) -> Result<Vec<Key>, Error> {
    let account = claims.account()?;
    let mut keys = vec![
        user_key(account, LOGIN, &claims.user),
        user_key(account, VAULT, &claims.user),
        challenge_key(account, ChallengeId::from_bytes(claims.id)),
    ];
    if may_send {
        keys.push(Sends::key(account, &claims.user));
    }
    Ok(keys)
}

/// Whoever holds the challenge: the claims of a reference whose binder is checked here.
pub(crate) struct Case<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) claims: &'a Claims,
    pub(crate) account: AccountId,
    /// The node's clock.
    pub(crate) now: Timestamp,
    /// The time to decide at.
    pub(crate) at: Timestamp,
    pub(crate) challenge: Changing<Box<Challenge>>,
    pub(crate) login: Changing<Box<Login>>,
    /// None for a claim that has to wait, which needs no secret, and of a decoy, which has none.
    pub(crate) vault: Option<Changing<Vault>>,
    /// The budget of messages, in a step that may send.
    pub(crate) sends: Option<Sends>,
    /// Nobody is behind it: the user's records are made up, and nothing is right.
    pub(super) is_decoy: bool,
    /// What was waited for when this step began.
    pub(super) before: Waiting,
    pub(super) events: Vec<EventBuilder>,
    notices: Vec<NoticeKind>,
    /// What is written besides the three records.
    pub(crate) also: Plan,
    pub(super) request: &'a RequestFacts,
}

/// A record, where it is, the version it was read at, and whether it is to be written.
pub(crate) struct Changing<T> {
    pub(crate) value: T,
    key: Key,
    pub(crate) version: Version,
    changed: bool,
}

impl<T: Versioned> Changing<T> {
    /// Reads the record at `key`; `None` if there is none, and an error if it cannot be trusted.
    fn read(records: &Records, key: Key) -> Result<Option<Self>, &'static str> {
        match records.read(&key) {
            Read::Absent => Ok(None),
            Read::Refused(problem) => Err(problem),
            Read::Live(value, version) => Ok(Some(Self { value, key, version, changed: false })),
        }
    }

    pub(crate) const fn change(&mut self) -> &mut T {
        self.changed = true;
        &mut self.value
    }

    pub(super) const fn is_changed(&self) -> bool {
        self.changed
    }
}

/// What a case is, once its records are read.
pub(crate) enum Opened<'a> {
    Case(Box<Case<'a>>),
    /// The same answer for unknown, foreign, purged and another browser's.
    NotFound,
    /// The user's records are gone: something ended every challenge.
    Gone,
    /// A record is there and cannot be trusted.
    Refused(&'static str, &'static str),
}

impl<'a> Case<'a> {
    pub(crate) fn open(
        rules: &'a Rules,
        claims: &'a Claims,
        request: &'a RequestFacts,
        ask: &Ask<'_>,
        records: &Records,
        now: Timestamp,
    ) -> Result<Opened<'a>, Error> {
        let account = claims.account()?.clone();
        let key = challenge_key(&account, ChallengeId::from_bytes(claims.id));
        let mut challenge: Changing<Box<Challenge>> = match Changing::read(records, key) {
            Ok(Some(challenge)) => challenge,
            Ok(None) => return Ok(Opened::NotFound),
            Err(problem) => return Ok(Opened::Refused("challenge", problem)),
        };
        let held = claims.hold(
            &challenge.value.binder,
            challenge.value.session.as_ref(),
            &challenge.value.generation,
        );
        let by_session = matches!(claims.holder, Holder::Session { .. });
        let names_module = !matches!(claims.holder, Holder::Link | Holder::Outbox);
        if !held
            || (challenge.value.purpose != Purpose::Login && by_session)
            || challenge.value.user != claims.user
            || (names_module && Some(&challenge.value.module) != claims.module.as_ref())
        {
            return Ok(Opened::NotFound);
        }
        let decoy = challenge.value.decoy.take();
        let is_decoy = decoy.is_some();
        let login_key = user_key(&account, LOGIN, &claims.user);
        let login = match decoy {
            Some(login) => Ok(Some(Changing {
                value: login,
                key: login_key,
                version: challenge.version,
                changed: false,
            })),
            None => Changing::read(records, login_key),
        };
        let login: Changing<Box<Login>> = match login {
            Ok(Some(login)) => login,
            Ok(None) => return Ok(Opened::Gone),
            Err(problem) => return Ok(Opened::Refused("login", problem)),
        };
        let waits = matches!(ask, Ask::Claim) && challenge.value.proven.is_none();
        let vault = if waits || is_decoy {
            None
        } else {
            match Changing::read(records, user_key(&account, VAULT, &claims.user)) {
                Ok(Some(vault)) => Some(vault),
                Ok(None) => return Ok(Opened::Gone),
                Err(problem) => return Ok(Opened::Refused("vault", problem)),
            }
        };
        let at = login.value.effective(now);
        let sends = if is_decoy { None } else { Sends::read(records, &account, &claims.user) };
        let before = challenge.value.waiting();
        let mut case = Self {
            rules,
            claims,
            account,
            now,
            at,
            challenge,
            login,
            vault,
            sends,
            is_decoy,
            before,
            events: Vec::new(),
            notices: Vec::new(),
            also: Plan::default(),
            request,
        };
        case.look_at_the_clock();
        Ok(Opened::Case(Box::new(case)))
    }

    /// Returns why nothing can be judged, if the challenge has ended or ends now.
    pub(crate) fn ended(&mut self) -> Result<Option<Reason>, Error> {
        let reason = match self.challenge.value.status {
            Status::Redeemed => Some(Reason::AlreadyUsed),
            Status::Failed => Some(Reason::Exhausted),
            Status::FailedToSend => Some(Reason::Unavailable),
            Status::Expired => Some(Reason::Expired),
            Status::Superseded => Some(Reason::Superseded),
            Status::Cancelled => Some(Reason::Cancelled),
            Status::Created | Status::Sent | Status::Verified => None,
        };
        if reason.is_some() {
            return Ok(reason);
        }
        let challenge = &self.challenge.value;
        let login = &self.login.value;
        let expires_at = self.ends_at();
        let begun_in_the_future = challenge.created_at.since(self.at) > TOLERATED_SKEW;
        let (by, reason) = if challenge.fence != login.fence || challenge.generation != login.generation {
            (Move::Supersede, Reason::Superseded)
        } else if self.at >= expires_at || begun_in_the_future {
            (Move::Expire, Reason::Expired)
        } else {
            return Ok(None);
        };
        if by == Move::Expire {
            // The time is noted with the user, so that a clock that steps back revives no other challenge.
            self.login.change();
        }
        self.end(by)?;
        Ok(Some(reason))
    }

    /// Returns when the challenge ends: the policy as it is now may have shortened the life that it was given.
    pub(super) fn ends_at(&self) -> Timestamp {
        let challenge = &self.challenge.value;
        challenge.expires_at.min(challenge.created_at.plus(self.rules.policy.challenge_ttl()))
    }

    /// Returns whether no answer is left, by the challenge's own count or by the policy as it is now.
    pub(crate) fn is_used_up(&self) -> bool {
        let challenge = &self.challenge.value;
        challenge.attempts_left == 0 || challenge.verify_attempts >= u32::from(self.rules.policy.attempts())
    }

    /// Moves the challenge to a terminal status, with an event of its own.
    pub(crate) fn end(&mut self, by: Move) -> Result<(), Error> {
        self.step(by)?;
        let status = self.challenge.value.status.code();
        let event = self.event(Kind::ChallengeEnded, Outcome::Failure).field("status", status);
        self.note(event);
        Ok(())
    }

    /// Moves the challenge along the machine's table.
    pub(crate) fn step(&mut self, by: Move) -> Result<(), Error> {
        Ok(self.challenge.change().apply(by)?)
    }

    /// Starts an event about this challenge and its active method.
    pub(crate) fn event(&self, kind: Kind, outcome: Outcome) -> EventBuilder {
        self.event_of(kind, outcome, self.provider_name())
    }

    /// Starts an event about this challenge and a method that is or was active.
    pub(super) fn event_of(&self, kind: Kind, outcome: Outcome, method: &ProviderName) -> EventBuilder {
        let event = event(&self.account, &self.claims.user, kind, outcome, self.now)
            .module(self.challenge.value.module.clone())
            .subject(self.claims.id)
            .field("method", method.clone());
        self.request.describe(event)
    }

    /// Goes back to what was waited for, where nothing leaves that would take its place. What was proven meanwhile is what
    /// proved it.
    pub(super) fn go_back(&mut self, before: Waiting) {
        let provider = self.login.value.enrolment(before.method).map(|enrolment| enrolment.provider.clone());
        let Some(provider) = provider.filter(|_| self.challenge.value.status != Status::Verified) else {
            return;
        };
        let from = self.provider_name().clone();
        let challenge = self.challenge.change();
        challenge.state = before.state;
        challenge.texted = before.texted;
        if challenge.method != before.method {
            (challenge.method, challenge.provider) = (before.method, provider);
            let event = self.event(Kind::ChallengeSwitched, Outcome::Info).field("from", from);
            self.note(event);
        }
    }

    pub(crate) fn note(&mut self, event: EventBuilder) {
        self.events.push(event);
    }

    /// Tells the user, over the contacts they had when the challenge began.
    pub(crate) fn tell(&mut self, kind: NoticeKind) {
        self.notices.push(kind);
    }

    /// Takes back a notice that waits, as if it had never been queued.
    pub(crate) fn take_back(&mut self, kind: NoticeKind, id: &[u8; 16]) {
        self.also.delete(users_key(&self.account, NOTICE, &self.claims.user, id), Expect::Any);
        self.login.change().forget_notice(kind);
    }

    pub(crate) const fn provider_name(&self) -> &ProviderName {
        &self.challenge.value.provider
    }

    pub(crate) const fn user(&self) -> &UserId {
        &self.claims.user
    }

    /// Writes down what changed. A decision that grants holds every record it read.
    pub(crate) fn finish(mut self: Box<Self>, grants: bool, draw: &mut Draw) -> Result<Plan, Error> {
        if self.challenge.changed {
            let challenge = &mut self.challenge.value;
            challenge.updated_at = challenge.updated_at.max(self.at);
        }
        if self.is_decoy {
            return self.finish_decoy();
        }
        self.queue_notices(draw)?;
        let mut plan = core::mem::take(&mut self.also);
        let events = core::mem::take(&mut self.events);
        if self.login.changed {
            let now = self.now;
            let login = self.login.change();
            login.mark(now);
            let streams = login.take_stream(events.len());
            plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
        } else {
            plan.events(events);
        }
        let gone_at = self.challenge.value.gone_at();
        hold(&mut plan, self.challenge, Some(gone_at), grants)?;
        hold(&mut plan, self.login, None, grants)?;
        if let Some(vault) = self.vault {
            hold(&mut plan, vault, None, grants)?;
        }
        if let Some(sends) = &self.sends {
            sends.hold(&mut plan, Sends::key(&self.account, &self.claims.user), grants)?;
        }
        Ok(plan)
    }

    fn queue_notices(&mut self, draw: &mut Draw) -> Result<(), Error> {
        let Some(sealed) = self.challenge.value.contacts.clone() else { return Ok(()) };
        if self.notices.is_empty() {
            return Ok(());
        }
        let (rules, account, user) = (self.rules, &self.account, &self.claims.user);
        let contacts = notice::open(rules, account, user, &self.claims.id, &sealed)?;
        for kind in core::mem::take(&mut self.notices) {
            let login = self.login.change();
            // What a charge brought about that may be returned is told once it is final.
            let effect = self.challenge.value.effect.as_ref().filter(|effect| effect.locked);
            let effect = effect.filter(|_| kind == NoticeKind::Locked);
            let due_at = effect.map_or(self.now, |effect| effect.deadline);
            let times = (self.now, due_at);
            let queued =
                notice::queue(rules, (account, user), login, kind, &contacts, times, draw, &mut self.also)?;
            if effect.is_some()
                && queued.is_some()
                && let Some(effect) = &mut self.challenge.change().effect
            {
                effect.notice = queued;
            }
        }
        Ok(())
    }

    fn look_at_the_clock(&mut self) {
        let back = self.login.value.stepped_back(self.now);
        if back <= NOTED_SKEW {
            return;
        }
        let event = self.event(Kind::ClockSteppedBack, Outcome::Failure);
        let event = event.field("by_seconds", back.as_secs().to_string());
        if back > TOLERATED_SKEW {
            // Every challenge that was begun before ends, this one with them.
            let now = self.now;
            self.login.change().mark(now);
            self.note(event);
        } else if self.challenge.value.tell_clock() {
            self.challenge.changed = true;
            self.note(event);
        }
    }
}

pub(super) fn hold<T: Versioned>(
    plan: &mut Plan,
    record: Changing<T>,
    expires_at: Option<Timestamp>,
    grants: bool,
) -> Result<(), Error> {
    if record.changed {
        return plan.put(record.key, Expect::Version(record.version), &record.value, expires_at);
    }
    if grants {
        plan.check(record.key, record.version);
    }
    Ok(())
}
