//! The records of a step, as they were read and as its own commits left them.

use audit_model::Timestamp;

use crate::plan::Changes;
use crate::record::envelope;
use crate::{CodecError, Key, KeyRing, Record, Version, Versioned};

/// The records of a step.
#[derive(Debug)]
pub(crate) struct Records {
    ring: KeyRing,
    slots: Vec<(Key, Slot)>,
}

#[derive(Debug)]
enum Slot {
    Absent,
    /// As a store gave it: in its envelope.
    Stored {
        version: Version,
        body: Vec<u8>,
        expires_at: Option<Timestamp>,
    },
    /// As this step wrote it.
    Written {
        version: Version,
        payload: Vec<u8>,
        expires_at: Option<Timestamp>,
    },
}

/// A record as a decision sees it.
#[derive(Clone, Debug)]
pub(crate) enum Read<T> {
    Absent,
    Live(T, Version),
    /// It is there and cannot be trusted or read: an error of that record, never its absence.
    Refused(&'static str),
}

impl Records {
    /// Takes what a store found at `keys`. That it is authentic is checked where it is used.
    pub(super) fn of(ring: &KeyRing, keys: &[Key], found: Vec<Option<Record>>) -> Self {
        let slots = keys.iter().zip(found).map(|(key, record)| match record {
            Some(Record { version, body, expires_at, .. }) => {
                (key.clone(), Slot::Stored { version, body, expires_at })
            }
            None => (key.clone(), Slot::Absent),
        });
        Self { ring: ring.clone(), slots: slots.collect() }
    }

    /// Returns a record that is authentic and of its kind.
    pub(crate) fn read<T: Versioned>(&self, key: &Key) -> Read<T> {
        let found = self.slots.iter().find(|(of, _)| of == key).map(|(_, slot)| slot);
        let (payload, version) = match found {
            None | Some(Slot::Absent) => return Read::Absent,
            Some(Slot::Written { version, payload, .. }) => (&**payload, *version),
            Some(Slot::Stored { version, body, .. }) => {
                match envelope::unwrap(&self.ring, key, *version, body) {
                    Ok(payload) => (payload, *version),
                    Err(problem) => return Read::Refused(problem),
                }
            }
        };
        match T::decode(payload) {
            Ok(value) => Read::Live(value, version),
            Err(CodecError::UnknownVersion { .. }) => Read::Refused("unknown_version"),
            Err(_) => Read::Refused("malformed"),
        }
    }

    /// Returns the records that are there and are not authentic.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Key, &'static str)> {
        self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Stored { version, body, .. } => {
                let problem = envelope::unwrap(&self.ring, key, *version, body).err()?;
                Some((key, problem))
            }
            Slot::Absent | Slot::Written { .. } => None,
        })
    }

    /// Returns whether a record was asked for.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.slots.iter().any(|(of, _)| of == key)
    }

    /// Returns the version of a record that is there and can be trusted.
    pub(crate) fn version(&self, key: &Key) -> Option<Version> {
        match self.slots.iter().find(|(of, _)| of == key)? {
            (key, Slot::Stored { version, body, .. }) => {
                envelope::unwrap(&self.ring, key, *version, body).ok().map(|_| *version)
            }
            (_, Slot::Written { version, .. }) => Some(*version),
            (_, Slot::Absent) => None,
        }
    }

    /// Returns the version of a record that is there, whether it can be trusted or not.
    pub(crate) fn stored_version(&self, key: &Key) -> Option<Version> {
        match self.slots.iter().find(|(of, _)| of == key)? {
            (_, Slot::Stored { version, .. } | Slot::Written { version, .. }) => Some(*version),
            (_, Slot::Absent) => None,
        }
    }

    /// Returns from when on a record reads as absent; `None` for never, and for one that is not there.
    pub(crate) fn expires_at(&self, key: &Key) -> Option<Timestamp> {
        match self.slots.iter().find(|(of, _)| of == key)? {
            (_, Slot::Stored { expires_at, .. } | Slot::Written { expires_at, .. }) => *expires_at,
            (_, Slot::Absent) => None,
        }
    }

    /// Takes over records that were read again.
    pub(crate) fn renew(&mut self, read: Self) {
        for (key, slot) in read.slots {
            match self.slots.iter_mut().find(|(of, _)| *of == key) {
                Some((_, old)) => *old = slot,
                None => self.slots.push((key, slot)),
            }
        }
    }

    pub(super) fn apply(&mut self, changes: Changes, version: Version) {
        for (key, put) in changes {
            if let Some((_, slot)) = self.slots.iter_mut().find(|(of, _)| *of == key) {
                *slot = put.map_or(Slot::Absent, |(payload, expires_at)| Slot::Written {
                    version,
                    payload,
                    expires_at,
                });
            }
        }
    }
}
