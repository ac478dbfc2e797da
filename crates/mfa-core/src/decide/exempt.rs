//! Exemptions: whether a login meets one, and how they are granted and ended.

use audit_model::{AccountId, Kind, Outcome, Timestamp, UserId};

use super::begin::Beginning;
use super::manage::{Changing, Managed};
use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::exemption::MAX_EXEMPTIONS;
use crate::plan::Plan;
use crate::record::exemptions::{Exemptions, Stored, exemptions_key};
use crate::record::login::TOLERATED_SKEW;
use crate::{
    Begin, Error, Exemption, ExemptionId, ExemptionState, ExemptionTerms, Expect, FieldError, Forbidden,
    Intent, Login, NotRequired, NoticeKind, Version,
};

/// The most of a name that is kept of who granted one, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// What the exemptions of a user say of a login.
#[derive(Debug)]
pub(crate) enum Exempt {
    /// Nothing: it is asked as any other.
    No,
    /// It meets one.
    Met(Met),
    /// They cannot be trusted, and so say nothing.
    Refused(&'static str),
}

/// An exemption that a login meets, in the record as it was read.
#[derive(Debug)]
pub(crate) struct Met {
    id: ExemptionId,
    exemptions: Exemptions,
    version: Version,
    at: Timestamp,
}

impl Exempt {
    pub(crate) const fn id(&self) -> Option<ExemptionId> {
        match self {
            Self::Met(met) => Some(met.id),
            Self::No | Self::Refused(_) => None,
        }
    }
}

/// Looks whether a login meets an exemption at `at`, which is no earlier than what the user's record has.
pub(crate) fn look(rules: &Rules, login: &Login, records: &Records, at: Timestamp) -> Exempt {
    let (account, user) = (login.subject.account(), login.subject.user());
    match records.read::<Exemptions>(&exemptions_key(account, user)) {
        Read::Absent => Exempt::No,
        Read::Refused(problem) => Exempt::Refused(problem),
        Read::Live(..) if !rules.policy.exemptions() => Exempt::No,
        Read::Live(exemptions, version) => {
            let met = exemptions.all.iter().find(|stored| stored.is_met_by(login, at));
            let Some(id) = met.map(|stored| stored.id) else { return Exempt::No };
            Exempt::Met(Met { id, exemptions, version, at })
        }
    }
}

impl Stored {
    fn is_met_by(&self, login: &Login, at: Timestamp) -> bool {
        let kind = login.first_factor.kind;
        let from = |ip| self.networks().any(|network| network.contains(ip));
        kind == self.first_factor
            && self.module == login.module
            && self.generation == login.subject.generation()
            && at < self.until
            && self.granted_at.since(at) <= TOLERATED_SKEW
            && (self.networks().len() == 0 || login.request.ip.is_some_and(from))
    }

    /// Returns it for a report; `generation` is that of the user whom the directory has.
    pub(crate) fn shown(&self, user: &UserId, generation: Option<&str>, now: Timestamp) -> Exemption {
        let state = match generation {
            Some(generation) if generation == self.generation && now < self.until => ExemptionState::Live,
            Some(generation) if generation == self.generation => ExemptionState::Expired,
            _ => ExemptionState::OfAnother,
        };
        Exemption {
            id: self.id,
            user: user.clone(),
            terms: self.terms(),
            granted_by: self.granted_by.clone(),
            granted_at: self.granted_at,
            last_used: self.last_used,
            state,
        }
    }
}

impl Beginning<'_> {
    /// Lets the login in, on condition that the exemption is still there. The first login of a day is noted with it.
    pub(super) fn let_in_exempt(&mut self, met: Met) -> Result<Begin, Error> {
        let key = exemptions_key(self.login.subject.account(), self.login.subject.user());
        let Met { id, mut exemptions, version, at } = met;
        let answer = NotRequired::Exempted(id);
        let event = self.event(Kind::LoginNotRequired, Outcome::Success).reason(answer.code());
        let mut event = self.rules.exempted(event.field("exemption", id.to_string()));
        if exemptions.note_use(id, at) {
            event = event.stream(exemptions.stream.take());
            self.plan.put(key, Expect::Version(version), &exemptions, None)?;
        } else {
            self.plan.check(key, version);
        }
        self.plan.events([event]);
        Ok(Begin::NotRequired(answer))
    }
}

impl Changing<'_> {
    /// Exempts logins of the user's programs.
    pub(crate) fn grant_exemption(&mut self, terms: &ExemptionTerms) -> Managed<Exemption> {
        let intent = Intent::grant_exemption(self.subject, terms);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(_) if !self.rules.policy.exemptions() => {
                return Ok(self.refused(&intent, Forbidden::PolicyForbids));
            }
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let at = read.as_ref().map_or(self.now, |(login, _)| login.effective(self.now));
        terms.check_life(at)?;
        let (mut exemptions, expect) = match self.exemptions()? {
            Some((exemptions, version)) => (exemptions, Expect::Version(version)),
            None => (Exemptions::new(self.draw)?, Expect::Absent),
        };
        if !exemptions.make_room(at) {
            let problem = format!("must not be more than {MAX_EXEMPTIONS} of one user; end one");
            return Err(FieldError::new("exemptions", "too_many", problem).into());
        }
        let id = ExemptionId::from_random(self.draw.take()?);
        let generation = self.subject.generation();
        let granted_by = clipped(allowed.actor.clone().unwrap_or_default());
        let stored = Stored::new(id, generation, terms, granted_by, at);
        self.tell_exempted(&exemptions, id, &mut plan)?;
        let shown = stored.shown(self.subject.user(), Some(generation), at);
        exemptions.all.push(stored);
        let event = self
            .event(Kind::ExemptionGranted)
            .stream(exemptions.stream.take())
            .module(terms.module.clone())
            .field("exemption", id.to_string())
            .field("first_factor", terms.first_factor.code())
            .field("networks", terms.networks_text())
            .field("why", terms.reason.clone())
            .field("until", terms.until.to_string());
        plan.events([allowed.describe(event)]);
        plan.put(self.exemptions_key(), expect, &exemptions, None)?;
        Ok(Decision { plan, value: Ok(shown) })
    }

    /// Ends an exemption.
    pub(crate) fn end_exemption(&mut self, id: ExemptionId) -> Managed<()> {
        let intent = Intent::end_exemption(self.subject, id);
        let read = self.login()?;
        let mut plan = Plan::default();
        let allowed = match self.authorise(&intent, read.as_ref().map(|(login, _)| login), &mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(&intent, why)),
        };
        let unknown = || FieldError::new("exemption", "unknown_exemption", "is not one of the user's");
        let (mut exemptions, version) = self.exemptions()?.ok_or_else(unknown)?;
        let before = exemptions.all.len();
        exemptions.all.retain(|stored| stored.id != id);
        if exemptions.all.len() == before {
            return Err(unknown().into());
        }
        let event = self.event(Kind::ExemptionEnded).stream(exemptions.stream.take());
        plan.events([allowed.describe(event.field("exemption", id.to_string()))]);
        plan.put(self.exemptions_key(), Expect::Version(version), &exemptions, None)?;
        Ok(Decision { plan, value: Ok(()) })
    }

    /// Ends all of them, whether they can be read or not. Returns which, for the event of what ended them.
    pub(crate) fn end_exemptions(&self, plan: &mut Plan) -> Option<String> {
        let key = self.exemptions_key();
        let ended = match self.records.read::<Exemptions>(&key) {
            Read::Absent => {
                plan.check_absent(key);
                return None;
            }
            Read::Refused(_) => {
                plan.delete_once(key);
                "unreadable".to_owned()
            }
            Read::Live(exemptions, version) => {
                plan.delete(key, Expect::Version(version));
                exemptions.ids()
            }
        };
        Some(ended).filter(|ended| !ended.is_empty())
    }

    fn exemptions(&self) -> Result<Option<(Exemptions, Version)>, Error> {
        match self.records.read::<Exemptions>(&self.exemptions_key()) {
            Read::Absent => Ok(None),
            Read::Live(exemptions, version) => Ok(Some((exemptions, version))),
            Read::Refused(_) => Err(Error::Unavailable("a stored record cannot be trusted")),
        }
    }

    fn exemptions_key(&self) -> crate::Key {
        exemptions_key(self.subject.account(), self.subject.user())
    }

    /// Tells the user, once an hour. A user of programs may have no other record that could say so.
    fn tell_exempted(&mut self, before: &Exemptions, id: ExemptionId, plan: &mut Plan) -> Result<(), Error> {
        let hour = |at: Timestamp| at.unix_seconds() / 3600;
        let is_told = |stored: &Stored| {
            stored.generation == self.subject.generation() && hour(stored.granted_at) == hour(self.now)
        };
        if before.all.iter().any(is_told) {
            return Ok(());
        }
        let whom = (self.subject.account(), self.subject.user());
        let (kind, contacts) = (NoticeKind::Exempted, self.subject.contacts());
        notice::put(self.rules, whom, *id.as_bytes(), kind, contacts, self.now, self.draw, plan)
    }
}

/// Ends the exemptions of a user because a backup came back: which of them were ended since, nobody knows.
pub(crate) fn void(account: &AccountId, user: &UserId, records: &Records, now: Timestamp) -> Decision<()> {
    let key = exemptions_key(account, user);
    let mut plan = Plan::default();
    let ended = event(account, user, Kind::ExemptionEnded, Outcome::Info, now).reason("backup_restored");
    match records.read::<Exemptions>(&key) {
        Read::Absent => {}
        // Another key of the ring may read it later.
        Read::Refused(_) => {
            plan.events([ended.field("exemption", "unreadable")]);
            plan.delete(key, Expect::Any);
        }
        Read::Live(mut exemptions, version) => {
            let ids = exemptions.ids();
            if !ids.is_empty() {
                plan.events([ended.stream(exemptions.stream.take()).field("exemption", ids)]);
            }
            plan.delete(key, Expect::Version(version));
        }
    }
    Decision { plan, value: () }
}

fn clipped(mut name: String) -> String {
    let mut end = name.len().min(MAX_NAME_BYTES);
    while !name.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    name.truncate(end);
    name
}
