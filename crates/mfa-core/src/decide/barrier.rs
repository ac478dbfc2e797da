//! The barrier after a restored backup, for one user.

use audit_model::{AccountId, Kind, Outcome, Timestamp, UserId};

use super::{Rules, event, notice};
use crate::budget::STOP_AT;
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::login::Login;
use crate::record::vault::Vault;
use crate::record::{LOGIN, VAULT, user_key};
use crate::{Contact, Draw, Error, Expect, NoticeKind, bypass};

/// Ends what is open, refuses codes from before, disables the recovery set and removes a bypass code. A record that
/// cannot be trusted stays as it is: nothing is accepted by it.
pub(crate) fn bar(
    rules: &Rules,
    (account, user): (&AccountId, &UserId),
    contacts: &[Contact],
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<()>, Error> {
    let key = user_key(account, LOGIN, user);
    let Read::Live(mut login, version) = records.read::<Login>(&key) else {
        return Ok(Decision::only(()));
    };
    let mut plan = Plan::default();
    login.raise_fence();
    login.barrier = now;
    let vault_key = user_key(account, VAULT, user);
    if let Read::Live(mut vault, version) = records.read::<Vault>(&vault_key) {
        let codes: Vec<_> =
            login.enrolments.iter().filter(|e| e.provider == bypass::NAME).map(|e| e.id).collect();
        if !codes.is_empty() {
            codes.iter().for_each(|id| vault.remove(*id));
            plan.put(vault_key, Expect::Version(version), &vault, None)?;
        }
    }
    login.enrolments.retain(|enrolment| enrolment.provider != bypass::NAME);
    let mut events = Vec::new();
    for set in login.enrolments.iter_mut().filter(|e| !rules.is_factor(e) && !e.is_stopped()) {
        set.consecutive = STOP_AT;
        let event = event(account, user, Kind::RecoveryVoided, Outcome::Info, now);
        events.push(event.field("enrolment", set.id.to_string()));
    }
    if !events.is_empty() {
        let verified: Vec<_> = contacts.iter().filter(|c| c.is_verified()).cloned().collect();
        let whom = (account, user);
        let kind = NoticeKind::RecoveryVoid;
        notice::queue(rules, whom, &mut login, kind, &verified, now, draw, &mut plan)?;
    }
    login.mark(now);
    let streams = login.take_stream(events.len());
    plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
    plan.put(key, Expect::Version(version), &login, None)?;
    Ok(Decision { plan, value: () })
}
