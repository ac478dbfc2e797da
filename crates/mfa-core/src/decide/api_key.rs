//! An account's API key: issuing, showing, removing and judging it.

use core::time::Duration;

use audit_model::{AccountId, Attempt, EventBuilder, Kind, Outcome, Scope, Timestamp};

use super::Rules;
use super::authorise::{Allowed, Target, authorise, note_refused};
use super::manage::Managed;
use super::permit::Permit;
use crate::api_key::FIELD;
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::api_key::{self, ApiKeyRecord, Hashed, SHOWN_DAILY, api_key_key};
use crate::{
    ApiKey, Draw, Error, Expect, FieldError, Forbidden, Intent, IssuedApiKey, Module, Reason, RequestFacts,
    Subject,
};

/// How long after its hint was written a key may be put into its account's record.
pub(crate) const HINT_IN_TIME: Duration = Duration::from_secs(300);
const DAY: Duration = Duration::from_secs(24 * 3600);
const AUTH_TYPE: &str = "account_api_token";

/// A key that is not an account's yet: its hint is written, and leads to nothing.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) key: ApiKey,
    pub(crate) hint: Hashed,
    pub(crate) made_at: Timestamp,
}

/// What a key that was right leaves to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Right,
    /// The key is right, and nobody may come in through the module.
    ModuleDisabled,
    /// It is hashed under a key that does not write any more, or kept in a way that it should not be.
    RightAndToMove,
    Wrong,
}

/// One change to an account's key: by whose right, and what was read.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) rules: &'a Rules,
    /// The account, in the place of whom it is about.
    pub(crate) subject: &'a Subject,
    pub(crate) permit: &'a Permit<'a>,
    pub(crate) records: &'a Records,
    pub(crate) intent: &'a Intent,
    /// Whether the account must have none yet.
    pub(crate) first: bool,
    pub(crate) now: Timestamp,
}

impl Asked<'_> {
    /// Decides whether a key may be issued, before anything is written for it.
    pub(crate) fn may_issue(self) -> Managed<()> {
        match self.authorise(&mut Plan::default())? {
            Ok(_) => self.check_first().map(|()| Decision::only(Ok(()))),
            Err(why) => Ok(self.refused(why)),
        }
    }

    /// Makes a key the account's, in place of the one before, whose hint is returned. An unreadable record is
    /// replaced: nothing is accepted by it.
    pub(crate) fn issue(self, new: &NewKey, draw: &mut Draw) -> Managed<Option<Hashed>> {
        let ring = &self.rules.ring;
        // Past this time the hint may be swept away; under another key it might not be found.
        if self.now.since(new.made_at) > HINT_IN_TIME || new.hint.key != ring.active() {
            return Err(Error::Contention);
        }
        let mut plan = Plan::default();
        let allowed = match self.authorise(&mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(why)),
        };
        self.check_first()?;
        let account = self.subject.account();
        let (before, expect) = match self.records.read::<ApiKeyRecord>(&api_key_key(account)) {
            Read::Absent => (None, Expect::Absent),
            Read::Live(record, version) => (Some(record), Expect::Version(version)),
            Read::Refused(_) => (None, Expect::Any),
        };
        let hash_only = self.rules.policy.api_keys_hash_only();
        let text = (!hash_only).then(|| api_key::seal(ring, account, &new.key, draw)).transpose()?;
        let hashes = (api_key::hash(ring, account, new.key.expose_secret())?, new.hint.clone());
        let mut record = ApiKeyRecord::new(before.as_ref(), hashes, text, self.now, draw)?;
        let kind = if expect == Expect::Absent { Kind::ApiKeyCreated } else { Kind::ApiKeyReset };
        let kept = if hash_only { "hash" } else { "sealed" };
        plan.events([self.event(kind, &allowed).field("kept", kept).stream(record.take_stream())]);
        plan.put(api_key_key(account), expect, &record, None)?;
        Ok(Decision { plan, value: Ok(before.map(|before| before.hint)) })
    }

    /// Shows the key, where it is kept so that it can be.
    pub(crate) fn show(self) -> Managed<IssuedApiKey> {
        let mut plan = Plan::default();
        let allowed = match self.authorise(&mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(why)),
        };
        let account = self.subject.account();
        let (mut record, version) = match self.records.read::<ApiKeyRecord>(&api_key_key(account)) {
            Read::Absent => return Err(no_key()),
            Read::Live(record, version) => (record, version),
            Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
        };
        let sealed = record.text.as_ref().filter(|_| !self.rules.policy.api_keys_hash_only());
        let sealed = sealed.ok_or_else(|| {
            let problem =
                "is kept as a hash alone and was shown when it was issued; reset it to have another";
            FieldError::new(FIELD, "hash_only", problem)
        })?;
        let key = api_key::open(&self.rules.ring, account, sealed)?;
        record.shown.retain(|shown| self.now.since(*shown) < DAY);
        if record.shown.len() >= SHOWN_DAILY {
            return Ok(self.refused(Forbidden::TooOften));
        }
        record.shown.push(self.now);
        plan.events([self.event(Kind::ApiKeyShown, &allowed).stream(record.take_stream())]);
        plan.put(api_key_key(account), Expect::Version(version), &record, None)?;
        Ok(Decision { plan, value: Ok(IssuedApiKey { key, issued_at: record.issued_at }) })
    }

    /// Removes the key, and returns its hint.
    pub(crate) fn remove(self) -> Managed<Option<Hashed>> {
        let mut plan = Plan::default();
        let allowed = match self.authorise(&mut plan)? {
            Ok(allowed) => allowed,
            Err(why) => return Ok(self.refused(why)),
        };
        let key = api_key_key(self.subject.account());
        let mut event = self.event(Kind::ApiKeyRemoved, &allowed);
        let gone = match self.records.read::<ApiKeyRecord>(&key) {
            Read::Absent => return Err(no_key()),
            Read::Live(mut record, version) => {
                plan.delete(key, Expect::Version(version));
                event = event.stream(record.take_stream());
                Some(record.hint)
            }
            Read::Refused(_) => {
                plan.delete(key, Expect::Any);
                None
            }
        };
        plan.events([event]);
        Ok(Decision { plan, value: Ok(gone) })
    }

    fn authorise(self, plan: &mut Plan) -> Result<Result<Allowed, Forbidden>, Error> {
        let target = Target { subject: self.subject, login: None, now: self.now };
        authorise(self.rules, self.permit, self.intent, target, self.records, plan)
    }

    fn check_first(self) -> Result<(), Error> {
        match self.records.read::<ApiKeyRecord>(&api_key_key(self.subject.account())) {
            Read::Live(..) | Read::Refused(_) if self.first => {
                Err(FieldError::new(FIELD, "exists", "is there already; reset it to have another").into())
            }
            _ => Ok(()),
        }
    }

    fn refused<T>(self, why: Forbidden) -> Decision<Result<T, Forbidden>> {
        Decision { plan: note_refused(self.intent, self.permit, why, self.now), value: Err(why) }
    }

    fn event(self, kind: Kind, allowed: &Allowed) -> EventBuilder {
        allowed.describe(event(self.subject.account(), kind, Outcome::Success, self.now))
    }
}

/// Judges a key that a hint has led to `account` with.
pub(crate) fn verify(
    rules: &Rules,
    account: &AccountId,
    (key, hint): (&str, &Hashed),
    (module, request): (&Module, &RequestFacts),
    records: &Records,
    now: Timestamp,
) -> Result<Decision<Judged>, Error> {
    let mut plan = Plan::default();
    let (record, version) = match records.read::<ApiKeyRecord>(&api_key_key(account)) {
        Read::Live(record, version) if record.is_of(&rules.ring, account, key)? => (record, version),
        // A hint leads here for a key that was reset or removed.
        Read::Live(..) | Read::Absent => {
            let event = rejected(rules, Scope::Account(account.clone()), module, request, now);
            plan.merged_event(event, alike(account.as_str(), now));
            return Ok(Decision { plan, value: Judged::Wrong });
        }
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
    };
    // Whoever resets the key while this is decided makes it be decided again.
    plan.check(api_key_key(account), version);
    if rules.module_is_off() {
        let event = event(account, Kind::ApiKeyRejected, Outcome::Failure, now)
            .module(module.as_str().to_owned())
            .reason(Reason::ModuleDisabled.code());
        let message = format!("authentication module {module} is disabled");
        let event = rules.shown(event, Attempt::new(AUTH_TYPE, message), false);
        let whose = crate::codec::tuple(&[account.as_str().as_bytes(), module.as_str().as_bytes()]);
        plan.merged_event(request.describe(event), crate::codec::tuple(&[&alike("off", now), &whose]));
        return Ok(Decision { plan, value: Judged::ModuleDisabled });
    }
    let event =
        event(account, Kind::ApiKeyAccepted, Outcome::Success, now).module(module.as_str().to_owned());
    let accepted = Attempt::new(AUTH_TYPE, "authentication resulted in token creation");
    plan.events([request.describe(rules.shown(event, accepted, true))]);
    let active = rules.ring.active();
    let hidden = record.text.is_none() || !rules.policy.api_keys_hash_only();
    let settled =
        hidden && [&record.hash.key, &record.hint.key, &hint.key].into_iter().all(|id| *id == active);
    Ok(Decision { plan, value: if settled { Judged::Right } else { Judged::RightAndToMove } })
}

/// Hashes a key that was right anew, under the key that writes.
pub(crate) fn rehash(
    rules: &Rules,
    account: &AccountId,
    key: &str,
    (hint, made_at): (&Hashed, Timestamp),
    records: &Records,
    now: Timestamp,
) -> Result<Decision<bool>, Error> {
    let record_key = api_key_key(account);
    let Read::Live(mut record, version) = records.read::<ApiKeyRecord>(&record_key) else {
        return Ok(Decision::only(false));
    };
    let in_time = now.since(made_at) <= HINT_IN_TIME && hint.key == rules.ring.active();
    if !in_time || !record.is_of(&rules.ring, account, key)? {
        return Ok(Decision::only(false));
    }
    record.hash = api_key::hash(&rules.ring, account, key)?;
    record.hint = hint.clone();
    if rules.policy.api_keys_hash_only() {
        record.text = None;
    }
    let mut plan = Plan::default();
    plan.put(record_key, Expect::Version(version), &record, None)?;
    Ok(Decision { plan, value: true })
}

/// Voids the key of an account: a backup may hold one that was reset since. One that cannot be trusted stays as it
/// is: nothing is accepted by it.
pub(crate) fn void(account: &AccountId, records: &Records, now: Timestamp) -> Decision<()> {
    let mut plan = Plan::default();
    let key = api_key_key(account);
    let voided = event(account, Kind::ApiKeyVoided, Outcome::Info, now);
    match records.read::<ApiKeyRecord>(&key) {
        Read::Absent => {}
        // Another key of the ring may read it later.
        Read::Refused(_) => {
            plan.events([voided]);
            plan.delete(key, Expect::Any);
        }
        Read::Live(mut record, version) => {
            plan.events([voided.stream(record.take_stream())]);
            plan.delete(key, Expect::Version(version));
        }
    }
    Decision { plan, value: () }
}

/// Tells that a key was refused.
pub(crate) fn rejected(
    rules: &Rules,
    scope: Scope,
    module: &Module,
    request: &RequestFacts,
    now: Timestamp,
) -> EventBuilder {
    let event = EventBuilder::new(scope, Kind::ApiKeyRejected, Outcome::Failure, now)
        .module(module.as_str().to_owned())
        .reason(Reason::NotFound.code());
    request.describe(rules.shown(event, Attempt::new(AUTH_TYPE, "invalid credentials"), false))
}

/// What refusals have in common that are written down once.
pub(crate) fn alike(whose: &str, now: Timestamp) -> Vec<u8> {
    let minute = minute(now).to_be_bytes();
    crate::codec::tuple(&[b"api_key", whose.as_bytes(), &minute])
}

pub(crate) const fn minute(now: Timestamp) -> u64 {
    now.unix_seconds() / 60
}

fn event(account: &AccountId, kind: Kind, outcome: Outcome, now: Timestamp) -> EventBuilder {
    EventBuilder::new(Scope::Account(account.clone()), kind, outcome, now)
}

fn no_key() -> Error {
    FieldError::new(FIELD, "no_api_key", "is not there; create one").into()
}
