//! The places of a user's devices: what is in each, and which one the next device takes.

use audit_model::{AccountId, UserId};

use super::Rules;
use super::trust::Keep;
use crate::driver::{Read, Records};
use crate::record::device::{Device, SLOTS, Standing, slot_key};
use crate::{Error, Expect, FieldError, Subject, Timestamp};

/// The slots of a user, each with what is in it of the user's own.
pub(super) struct Slots {
    pub(super) slots: Vec<(u8, Expect, Option<Device>)>,
    /// Why one of them cannot be read, if one cannot.
    pub(super) unreadable: Option<&'static str>,
}

impl Slots {
    pub(super) fn read(account: &AccountId, user: &UserId, generation: &str, records: &Records) -> Self {
        let mut unreadable = None;
        let slot = |slot| match records.read::<Device>(&slot_key(account, user, slot)) {
            Read::Live(device, version) => {
                let own = device.generation == generation;
                (slot, Expect::Version(version), own.then_some(device))
            }
            Read::Absent => (slot, Expect::Absent, None),
            // Nothing is ever accepted by what cannot be read.
            Read::Refused(problem) => {
                unreadable = Some(problem);
                (slot, Expect::Any, None)
            }
        };
        let slots = (0..SLOTS).map(slot).collect();
        Self { slots, unreadable }
    }

    /// Returns where the device of a login is kept: in its own place, a free one, or that of the device that was
    /// used longest ago. `None` for one that was banned.
    pub(super) fn place_for(self, keep: &Keep<'_>) -> Result<Option<(u8, Expect, Option<Device>)>, Error> {
        let mut others = Vec::new();
        for (slot, expect, device) in self.slots {
            match device {
                Some(device) if keep.is_of(&device) => {
                    let banned = device.standing == Standing::Banned;
                    return Ok((!banned).then_some((slot, expect, Some(device))));
                }
                Some(device) if device.standing == Standing::Banned => {}
                device => others.push((slot, expect, device)),
            }
        }
        others.sort_by_key(|(slot, _, device)| (device.as_ref().map(|device| device.last_used_at), *slot));
        let problem = || {
            FieldError::new(
                "device",
                "too_many_banned",
                format!("has no place: all {SLOTS} devices are banned"),
            )
        };
        Ok(Some(others.into_iter().next().ok_or_else(problem)?))
    }
}

/// Lists a user's devices, the one that was used last first.
pub(crate) fn list(
    rules: &Rules,
    subject: &Subject,
    records: &Records,
    now: Timestamp,
) -> Result<Vec<crate::Device>, Error> {
    let (account, user) = (subject.account(), subject.user());
    let Some((login, _)) = super::enrol::read_login(records, account, user)? else { return Ok(Vec::new()) };
    let at = login.effective(now);
    let slots = Slots::read(account, user, subject.generation(), records);
    let mut devices: Vec<_> = slots.slots.into_iter().filter_map(|(_, _, device)| device).collect();
    devices.sort_by_key(|device| core::cmp::Reverse(device.last_used_at));
    let shown = |device: Device| crate::Device {
        state: device.state(rules, subject, &login, at),
        id: device.id,
        name: device.name,
        created_at: device.created_at,
        last_used_at: device.last_used_at,
        expires_at: device.expires_at,
    };
    Ok(devices.into_iter().map(shown).collect())
}
