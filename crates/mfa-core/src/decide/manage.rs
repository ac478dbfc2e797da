//! Management of a user's methods: list, prefer, remove, revoke, forget.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, Timestamp, UserId};

use super::{event, method, select};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::login::{Enrolment, Login};
use crate::record::open::Open;
use crate::record::vault::Vault;
use crate::record::{LOGIN, OPEN, VAULT, challenge_key, user_key};
use crate::{
    Authority, EnrolmentId, Error, Expect, FieldError, Key, Method, MethodSelector, Subject, Version,
};

pub(crate) fn keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    vec![user_key(account, LOGIN, user), user_key(account, VAULT, user)]
}

pub(crate) fn list(records: &Records, account: &AccountId, user: &UserId) -> Result<Vec<Method>, Error> {
    let Some((login, _)) = read(records, account, user)? else {
        return Ok(Vec::new());
    };
    Ok(login.enrolments.iter().filter_map(|enrolment| method(&login, enrolment)).collect())
}

pub(crate) fn prefer(
    subject: &Subject,
    selector: &MethodSelector,
    authority: &Authority,
    records: &Records,
    now: Timestamp,
) -> Result<Decision<EnrolmentId>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let (mut login, version) = read(records, account, user)?.ok_or_else(no_such_method)?;
    let enrolment = select(&login, selector).ok_or_else(no_such_method)?.clone();
    login.preferred = Some(enrolment.id);
    let event = about(account, user, Kind::MethodPreferred, &enrolment, authority, now);
    let mut plan = Plan::default();
    put(&mut plan, account, user, login, version, event, now)?;
    Ok(Decision { plan, value: enrolment.id })
}

/// Removes a method and ends every open challenge of the user.
pub(crate) fn remove(
    subject: &Subject,
    selector: &MethodSelector,
    authority: &Authority,
    records: &Records,
    now: Timestamp,
) -> Result<Decision<EnrolmentId>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let (mut login, version) = read(records, account, user)?.ok_or_else(no_such_method)?;
    let enrolment = select(&login, selector).ok_or_else(no_such_method)?.clone();
    login.enrolments.retain(|kept| kept.id != enrolment.id);
    if login.preferred == Some(enrolment.id) {
        login.preferred = None;
    }
    login.raise_fence();
    let mut plan = Plan::default();
    let vault_key = user_key(account, VAULT, user);
    match records.read::<Vault>(&vault_key) {
        Read::Live(mut vault, version) => {
            vault.remove(enrolment.id);
            plan.put(vault_key, Expect::Version(version), &vault, None)?;
        }
        Read::Absent => {}
        Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
    }
    let event = about(account, user, Kind::EnrolmentRemoved, &enrolment, authority, now);
    put(&mut plan, account, user, login, version, event, now)?;
    Ok(Decision { plan, value: enrolment.id })
}

/// Ends every open challenge of the user.
pub(crate) fn revoke(
    subject: &Subject,
    authority: &Authority,
    records: &Records,
    now: Timestamp,
) -> Result<Decision<()>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let mut plan = Plan::default();
    let event = authority.describe(event(account, user, Kind::UserRevoked, Outcome::Success, now));
    match read(records, account, user)? {
        // A user without a record has no challenge that could be open.
        None => plan.events([event]),
        Some((mut login, version)) => {
            login.raise_fence();
            put(&mut plan, account, user, login, version, event, now)?;
        }
    }
    Ok(Decision { plan, value: () })
}

pub(crate) fn forget_keys(account: &AccountId, user: &UserId) -> Vec<Key> {
    vec![user_key(account, OPEN, user)]
}

/// Deletes a user's records and erases the personal values of the user's events, in one commit. Challenges
/// that are not listed any more die with the record they would need.
pub(crate) fn forget(
    account: &AccountId,
    user: &UserId,
    authority: &Authority,
    pending: &[Key],
    records: &Records,
    now: Timestamp,
) -> Result<Decision<()>, Error> {
    let mut plan = Plan::default();
    plan.delete(user_key(account, LOGIN, user), Expect::Any);
    plan.delete(user_key(account, VAULT, user), Expect::Any);
    for key in pending {
        plan.delete(key.clone(), Expect::Any);
    }
    // The list is deleted as it was read, so that no challenge is begun unseen. An unreadable one is deleted
    // all the same: its challenges find no record to be judged by.
    let expect = match records.read::<Open>(&user_key(account, OPEN, user)) {
        Read::Absent => Expect::Absent,
        Read::Refused(_) => Expect::Any,
        Read::Live(open, version) => {
            for entry in open.challenges {
                plan.delete(challenge_key(account, entry.id), Expect::Any);
            }
            Expect::Version(version)
        }
    };
    plan.delete(user_key(account, OPEN, user), expect);
    plan.erase(user.clone());
    let scope = Scope::Account(account.clone());
    let event = EventBuilder::new(scope, Kind::UserForgotten, Outcome::Success, now);
    plan.events([authority.describe(event)]);
    Ok(Decision { plan, value: () })
}

fn put(
    plan: &mut Plan,
    account: &AccountId,
    user: &UserId,
    mut login: Login,
    version: Version,
    event: EventBuilder,
    now: Timestamp,
) -> Result<(), Error> {
    login.mark(now);
    let streams = login.take_stream(1);
    plan.events(streams.into_iter().map(|stream| event.clone().stream(stream)));
    plan.put(user_key(account, LOGIN, user), Expect::Version(version), &login, None)
}

fn about(
    account: &AccountId,
    user: &UserId,
    kind: Kind,
    enrolment: &Enrolment,
    authority: &Authority,
    now: Timestamp,
) -> EventBuilder {
    let event = event(account, user, kind, Outcome::Success, now)
        .field("method", enrolment.provider.clone())
        .field("enrolment", enrolment.id.to_string());
    authority.describe(event)
}

fn read(records: &Records, account: &AccountId, user: &UserId) -> Result<Option<(Login, Version)>, Error> {
    super::enrol::read_login(records, account, user)
}

fn no_such_method() -> Error {
    let problem = "is not one of the user's methods, or names a provider of which the user has several";
    FieldError::new("method", "unknown_method", problem).into()
}
