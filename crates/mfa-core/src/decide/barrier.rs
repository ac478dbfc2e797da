//! The barrier after a restored backup, for one user.

use audit_model::{AccountId, Kind, Outcome, Timestamp, UserId};

use super::{Rules, event, notice};
use crate::driver::{Decision, Read, Records};
use crate::plan::Plan;
use crate::record::device::{Device, Standing, slot_keys};
use crate::record::envelope::UNKNOWN_KEY;
use crate::record::login::Login;
use crate::record::vault::Vault;
use crate::record::{LOGIN, VAULT, user_key};
use crate::{Contact, Draw, Error, Expect, FieldError, KeyRingError, NoticeKind, bypass};

/// Ends what is open, refuses codes from before, and removes devices, the recovery set and a bypass code. A record that
/// was changed stays as it is: nothing is accepted by it.
pub(crate) fn bar(
    rules: &Rules,
    (account, user): (&AccountId, &UserId),
    contacts: &[Contact],
    records: &Records,
    now: Timestamp,
    draw: &mut Draw,
) -> Result<Decision<()>, Error> {
    let key = user_key(account, LOGIN, user);
    let (mut login, version) = match records.read::<Login>(&key) {
        Read::Live(login, version) => (login, version),
        // Nodes that have its key accept by it.
        Read::Refused(UNKNOWN_KEY) => return Err(KeyRingError::Unknown.into()),
        Read::Refused(_) | Read::Absent => return Ok(Decision::only(())),
    };
    let unknown = login.enrolments.iter().find(|e| !rules.providers.contains_key(&e.provider));
    if let Some(unknown) = unknown {
        // What its codes are, and so which of them were used since, this process cannot know.
        let problem =
            format!("`{}` is not registered here; call this where every provider is", unknown.provider);
        return Err(FieldError::new("provider", "not_registered", problem).into());
    }
    let mut plan = Plan::default();
    for key in slot_keys(account, user) {
        // Which values were replaced since, the backup does not know; who was banned before it, it does.
        match records.read::<Device>(&key) {
            Read::Live(device, version) if device.standing != Standing::Banned => {
                plan.delete(key, Expect::Version(version));
            }
            Read::Live(..) | Read::Absent | Read::Refused(_) => {}
        }
    }
    login.raise_fence();
    login.barrier = now;
    login.devices_until = Timestamp::MIN;
    let ways_back: Vec<_> = login.enrolments.iter().filter(|e| !rules.is_factor(e)).cloned().collect();
    login.enrolments.retain(|enrolment| rules.is_factor(enrolment));
    let vault_key = user_key(account, VAULT, user);
    if let Read::Live(mut vault, version) = records.read::<Vault>(&vault_key)
        && !ways_back.is_empty()
    {
        ways_back.iter().for_each(|gone| vault.remove(gone.id));
        plan.put(vault_key, Expect::Version(version), &vault, None)?;
    }
    // A used code of a set is unused again in a backup: the whole set goes, and the user has a new one issued.
    let mut events = Vec::new();
    for set in ways_back.iter().filter(|set| set.provider != bypass::NAME) {
        let event = event(account, user, Kind::RecoveryVoided, Outcome::Info, now);
        events.push(event.field("enrolment", set.id.to_string()));
    }
    if !events.is_empty() {
        let verified: Vec<_> = contacts.iter().filter(|c| c.is_verified()).cloned().collect();
        let whom = (account, user);
        let kind = NoticeKind::RecoveryVoid;
        notice::queue(rules, whom, &mut login, kind, &verified, (now, now), draw, &mut plan)?;
    }
    login.mark(now);
    let streams = login.take_stream(events.len());
    plan.events(events.into_iter().zip(streams).map(|(event, stream)| event.stream(stream)));
    plan.put(key, Expect::Version(version), &login, None)?;
    Ok(Decision { plan, value: () })
}
