//! Management of a user's methods: list, prefer, remove, disable, revoke.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Timestamp, UserId};

use super::authorise::{Allowed, Target, authorise, note_refused, spend_elsewhere};
use super::permit::Permit;
use super::{Rules, event, method, notice, select};
use crate::driver::{Decision, Read, Records, Turn};
use crate::plan::Plan;
use crate::record::login::{Enrolment, Login};
use crate::record::proof::INVITATION_ID;
use crate::record::proof::Proof;
use crate::record::vault::Vault;
use crate::record::{INVITATION, LOGIN, VAULT, user_key, users_key};
use crate::{
    Draw, EnrolmentId, Error, Expect, FieldError, Forbidden, Intent, Key, Method, MethodSelector, NoticeKind,
    Operation, Subject, Version,
};

/// The id of no enrolment: for a change to a method that the user has not.
pub(crate) const NOBODYS: EnrolmentId = EnrolmentId::from_bytes([0; 16]);

/// A change to one method: whether it may be made, and the user's record with the method, if there is such a one.
struct AskedOfOne {
    intent: Intent,
    allowed: Result<Allowed, Forbidden>,
    found: Option<(Login, Version, Enrolment)>,
}

/// What a change comes to; a refusal may be an event, so it is committed like a change.
pub(crate) type Managed<T> = Result<Decision<Result<T, Forbidden>>, Error>;

pub(crate) fn keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    vec![user_key(account, LOGIN, user), user_key(account, VAULT, user)]
}

pub(crate) fn list(
    rules: &Rules,
    records: &Records,
    account: &AccountId,
    user: &UserId,
) -> Result<Vec<Method>, Error> {
    let Some((login, _)) = read(records, account, user)? else {
        return Ok(Vec::new());
    };
    Ok(login.enrolments.iter().map(|enrolment| method(rules, &login, enrolment)).collect())
}

/// One change to a user: who it is, by whose right, and what was read.
pub(crate) struct Changing<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) subject: &'a Subject,
    pub(crate) permit: &'a Permit<'a>,
    pub(crate) records: &'a Records,
    pub(crate) now: Timestamp,
    pub(crate) draw: &'a mut Draw,
}

impl Changing<'_> {
    /// Makes a method the one that is asked for first.
    pub(crate) fn prefer(&mut self, selector: &MethodSelector) -> Managed<EnrolmentId> {
        let mut plan = Plan::default();
        let asked = self.change_one(Intent::prefer_method, selector, &mut plan)?;
        let allowed = match asked.allowed {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&asked.intent, why)),
        };
        let (mut login, version, enrolment) = asked.found.ok_or_else(no_such_method)?;
        if !self.rules.is_factor(&enrolment) {
            let problem = "is a way back in, not a method to ask for first";
            return Err(FieldError::new("method", "not_a_factor", problem).into());
        }
        login.preferred = Some(enrolment.id);
        let event = self.about(Kind::MethodPreferred, &enrolment, &allowed);
        self.put(&mut plan, login, version, vec![event])?;
        Ok(Decision { plan, value: Ok(enrolment.id) })
    }

    /// Removes a method and ends every open challenge of the user. With the last second factor go the ways back.
    pub(crate) fn remove(&mut self, selector: &MethodSelector) -> Managed<EnrolmentId> {
        let mut plan = Plan::default();
        let asked = self.change_one(Intent::remove_method, selector, &mut plan)?;
        let allowed = match asked.allowed {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&asked.intent, why)),
        };
        let (mut login, version, enrolment) = asked.found.ok_or_else(no_such_method)?;
        let kept = |kept: &Enrolment| kept.id != enrolment.id;
        let factor_left = login.enrolments.iter().any(|e| kept(e) && self.rules.is_factor(e));
        let (staying, going): (Vec<_>, Vec<_>) =
            login.enrolments.into_iter().partition(|e| kept(e) && factor_left);
        login.enrolments = staying;
        let events: Vec<_> =
            going.iter().map(|gone| self.about(Kind::EnrolmentRemoved, gone, &allowed)).collect();
        self.drop_secrets(&mut plan, &going)?;
        self.tell(&mut login, NoticeKind::MethodRemoved, &mut plan)?;
        self.end_all(&mut login);
        self.put(&mut plan, login, version, events)?;
        Ok(Decision { plan, value: Ok(enrolment.id) })
    }

    /// Takes every method from the user, by their own will or another's; a reset ends their exemptions too.
    pub(crate) fn clear(&mut self, intent: &Intent, kind: Kind, told: NoticeKind) -> Managed<()> {
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(intent, why)),
        };
        let mut event = allowed.describe(self.event(kind));
        if intent.operation() == Operation::Reset
            && let Some(ended) = self.end_exemptions(&mut plan)
        {
            event = event.field("exemptions", ended);
        }
        plan.delete_once(invitation_key(self.subject.account(), self.subject.user()));
        let Some((mut login, version)) = read else {
            plan.events([event]);
            return Ok(Decision { plan, value: Ok(()) });
        };
        let gone = core::mem::take(&mut login.enrolments);
        let methods: Vec<_> = gone.iter().map(|gone| format!("{}:{}", gone.provider, gone.id)).collect();
        let events = vec![event.field("methods", methods.join(" "))];
        self.drop_secrets(&mut plan, &gone)?;
        self.tell(&mut login, told, &mut plan)?;
        self.end_all(&mut login);
        self.put(&mut plan, login, version, events)?;
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Asks who may change the method that is named, before anybody is told whether the user has it.
    fn change_one(
        &self,
        intent: fn(&Subject, EnrolmentId) -> Intent,
        selector: &MethodSelector,
        plan: &mut Plan,
    ) -> Result<AskedOfOne, Error> {
        let read = self.login()?;
        let enrolment = read.as_ref().and_then(|(login, _)| select(login, selector).cloned());
        let intent = intent(self.subject, enrolment.as_ref().map_or(NOBODYS, |enrolment| enrolment.id));
        let allowed = self.authorise(&intent, read.as_ref().map(|(login, _)| login), plan)?;
        let found = read.zip(enrolment).map(|((login, version), enrolment)| (login, version, enrolment));
        Ok(AskedOfOne { found, intent, allowed })
    }

    /// Asks who may do what.
    pub(crate) fn authorise(
        &self,
        intent: &Intent,
        login: Option<&Login>,
        plan: &mut Plan,
    ) -> Result<Result<Allowed, Forbidden>, Error> {
        let target = Target { subject: self.subject, login, now: self.now };
        authorise(self.rules, self.permit, intent, target, self.records, plan)
    }

    pub(crate) fn refused<T>(&self, intent: &Intent, why: Forbidden) -> Decision<Result<T, Forbidden>> {
        let plan = note_refused(intent, self.permit, why, self.now);
        Decision { plan, value: Err(why) }
    }

    pub(crate) fn login(&self) -> Result<Option<(Login, Version)>, Error> {
        read(self.records, self.subject.account(), self.subject.user())
    }

    pub(crate) fn vault(&self) -> Result<(Vault, Expect), Error> {
        match self.records.read::<Vault>(&user_key(self.subject.account(), VAULT, self.subject.user())) {
            Read::Absent => Ok((Vault::default(), Expect::Absent)),
            Read::Live(vault, version) => Ok((vault, Expect::Version(version))),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    pub(crate) fn put_vault(&self, plan: &mut Plan, vault: &Vault, expect: Expect) -> Result<(), Error> {
        plan.put(user_key(self.subject.account(), VAULT, self.subject.user()), expect, vault, None)
    }

    fn drop_secrets(&self, plan: &mut Plan, gone: &[Enrolment]) -> Result<(), Error> {
        let (mut vault, expect) = self.vault()?;
        if expect == Expect::Absent {
            return Ok(());
        }
        gone.iter().for_each(|enrolment| vault.remove(enrolment.id));
        self.put_vault(plan, &vault, expect)
    }

    /// Ends whatever is open, and forgets a preference for what is gone.
    #[expect(clippy::unused_self, reason = "one of the steps of a change")]
    pub(crate) fn end_all(&self, login: &mut Login) {
        if login.preferred.is_some_and(|id| login.enrolment(id).is_none()) {
            login.preferred = None;
        }
        login.raise_fence();
    }

    /// Tells the user's verified contacts, as the directory has them now.
    pub(crate) fn tell(&mut self, login: &mut Login, kind: NoticeKind, plan: &mut Plan) -> Result<(), Error> {
        let contacts: Vec<_> = self.subject.contacts().iter().filter(|c| c.is_verified()).cloned().collect();
        let whom = (self.subject.account(), self.subject.user());
        let times = (self.now, self.now);
        notice::queue(self.rules, whom, login, kind, &contacts, times, self.draw, plan)?;
        Ok(())
    }

    pub(crate) fn event(&self, kind: Kind) -> EventBuilder {
        event(self.subject.account(), self.subject.user(), kind, Outcome::Success, self.now)
    }

    fn about(&self, kind: Kind, enrolment: &Enrolment, allowed: &Allowed) -> EventBuilder {
        let event = self
            .event(kind)
            .field("method", enrolment.provider.clone())
            .field("enrolment", enrolment.id.to_string());
        allowed.describe(event)
    }

    pub(crate) fn put(
        &self,
        plan: &mut Plan,
        mut login: Login,
        version: Version,
        events: Vec<EventBuilder>,
    ) -> Result<(), Error> {
        login.mark(self.now);
        let streams = login.take_stream(events.len());
        plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
        let key = user_key(self.subject.account(), LOGIN, self.subject.user());
        plan.put(key, Expect::Version(version), &login, None)
    }
}

/// Spends an administrator's proof in its own account, for a change in another one.
pub(crate) fn spend(
    rules: &Rules,
    permit: &Permit<'_>,
    intent: &Intent,
    subject: &Subject,
    turn: &Turn,
    records: &Records,
    now: Timestamp,
) -> Managed<Proof> {
    let mut plan = Plan::default();
    let target = Target { subject, login: None, now };
    let spent = spend_elsewhere(rules, permit, intent, target, records, &mut plan)?;
    if spent.is_ok() {
        let event = event(&turn.account, &turn.user, Kind::ProofSpent, Outcome::Success, now)
            .field("operation", intent.operation().code())
            .field("account", subject.account().as_str().to_owned());
        plan.events([event]);
    }
    Ok(Decision { plan, value: spent })
}

/// Ends every open challenge of the user, and the tickets of one who has no record yet; nobody needs a proof for
/// it.
pub(crate) fn revoke(
    subject: &Subject,
    (actor, reason): (&str, &str),
    tickets: &[Key],
    records: &Records,
    now: Timestamp,
) -> Result<Decision<()>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let mut plan = Plan::default();
    let event = event(account, user, Kind::UserRevoked, Outcome::Success, now)
        .field("authority", "host_vouched")
        .actor(actor.to_owned())
        .reason(reason.to_owned());
    for ticket in tickets {
        plan.delete(ticket.clone(), Expect::Any);
    }
    plan.delete_once(invitation_key(account, user));
    match read(records, account, user)? {
        // A user without a record has no challenge that could be open.
        None => plan.events([event]),
        Some((mut login, version)) => {
            login.raise_fence();
            login.mark(now);
            let streams = login.take_stream(1);
            plan.events(streams.map(|stream| event.clone().stream(stream)));
            plan.put(user_key(account, LOGIN, user), Expect::Version(version), &login, None)?;
        }
    }
    Ok(Decision { plan, value: () })
}

/// Addresses the invitation that a user may have.
pub(crate) fn invitation_key(account: &AccountId, user: &UserId) -> Key {
    users_key(account, INVITATION, user, &INVITATION_ID)
}

fn read(records: &Records, account: &AccountId, user: &UserId) -> Result<Option<(Login, Version)>, Error> {
    super::enrol::read_login(records, account, user)
}

pub(crate) fn no_such_method() -> Error {
    let problem = "is not one of the user's methods, or names a provider of which the user has several";
    FieldError::new("method", "unknown_method", problem).into()
}
