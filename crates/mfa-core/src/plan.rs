//! What a decision wants written: plain bodies and unfinished events. The driver wraps and commits it.

use audit_model::{Event, EventBuilder, EventId, Scope, Timestamp};

use crate::keyring::Label;
use crate::record::envelope;
use crate::record::prefix::Texted;
use crate::{Commit, Draw, Erase, Error, Expect, Key, KeyRing, Version, Versioned, Write};

/// The writes and events of one decision.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    writes: Vec<Planned>,
    events: Vec<EventBuilder>,
    merged: Vec<(EventBuilder, Vec<u8>)>,
    erase: Option<Erase>,
    /// The text message that the decision takes as answered. It is counted after the commit.
    answered: Option<Texted>,
}

/// What each record that a commit changes is after it: the new body and from when on it reads as absent, or nothing.
pub(crate) type Changes = Vec<(Key, Option<(Vec<u8>, Option<Timestamp>)>)>;

#[derive(Debug)]
enum Planned {
    Put { key: Key, expect: Expect, body: Vec<u8>, expires_at: Option<Timestamp> },
    Delete { key: Key, expect: Expect },
    Check { key: Key, version: Version },
    CheckAbsent { key: Key },
}

impl Planned {
    const fn only_checks(&self) -> bool {
        matches!(self, Self::Check { .. } | Self::CheckAbsent { .. })
    }

    const fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. }
            | Self::Delete { key, .. }
            | Self::Check { key, .. }
            | Self::CheckAbsent { key } => key,
        }
    }
}

impl Plan {
    pub(crate) fn put<T: Versioned>(
        &mut self,
        key: Key,
        expect: Expect,
        value: &T,
        expires_at: Option<Timestamp>,
    ) -> Result<(), Error> {
        let body = value.encode()?;
        self.writes.push(Planned::Put { key, expect, body, expires_at });
        Ok(())
    }

    /// Puts a record in the place of whatever was planned for it.
    pub(crate) fn put_instead<T: Versioned>(
        &mut self,
        key: Key,
        version: Version,
        value: &T,
    ) -> Result<(), Error> {
        self.writes.retain(|write| *write.key() != key);
        self.put(key, Expect::Version(version), value, None)
    }

    pub(crate) fn delete(&mut self, key: Key, expect: Expect) {
        self.writes.push(Planned::Delete { key, expect });
    }

    /// Deletes a record as it is, unless something is done with it already.
    pub(crate) fn delete_once(&mut self, key: Key) {
        let is_done = |write: &Planned| match write {
            Planned::Put { key: of, .. } | Planned::Delete { key: of, .. } => *of == key,
            Planned::Check { .. } | Planned::CheckAbsent { .. } => false,
        };
        if !self.writes.iter().any(is_done) {
            self.delete(key, Expect::Any);
        }
    }

    pub(crate) fn check(&mut self, key: Key, version: Version) {
        self.writes.push(Planned::Check { key, version });
    }

    /// Has the commit fail if there is such a record by then.
    pub(crate) fn check_absent(&mut self, key: Key) {
        self.writes.push(Planned::CheckAbsent { key });
    }

    pub(crate) fn events(&mut self, events: impl IntoIterator<Item = EventBuilder>) {
        self.events.extend(events);
    }

    /// Adds an event that is written once for all that are `alike`.
    pub(crate) fn merged_event(&mut self, event: EventBuilder, alike: Vec<u8>) {
        self.merged.push((event, alike));
    }

    pub(crate) fn answered(&mut self, message: Option<Texted>) {
        self.answered = message;
    }

    pub(crate) fn take_answered(&mut self) -> Option<Texted> {
        self.answered.take()
    }

    pub(crate) fn erase(&mut self, whose: Erase) {
        self.erase = Some(whose);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.iter().all(Planned::only_checks)
            && self.events.is_empty()
            && self.merged.is_empty()
            && self.erase.is_none()
    }

    /// Returns whether it puts a record.
    pub(crate) fn puts(&self, key: &Key) -> bool {
        self.writes.iter().any(|write| matches!(write, Planned::Put { key: of, .. } if of == key))
    }

    /// Makes the commit: bodies are authenticated under their key and version, events get their ids. Returns what it
    /// changes besides.
    pub(crate) fn seal(
        self,
        ring: &KeyRing,
        scope: Scope,
        version: Version,
        now: Timestamp,
        draw: &mut Draw,
    ) -> Result<(Commit, Changes), Error> {
        let mut commit = Commit::new(scope, version, now);
        let mut changes = Changes::with_capacity(self.writes.len());
        commit.writes.reserve_exact(self.writes.len());
        for write in self.writes {
            commit.writes.push(match write {
                Planned::Put { key, expect, body, expires_at } => {
                    let wrapped = envelope::wrap(ring, &key, version, &body)?;
                    changes.push((key.clone(), Some((body, expires_at))));
                    Write::Put { key, expect, body: wrapped, expires_at }
                }
                Planned::Delete { key, expect } => {
                    changes.push((key.clone(), None));
                    Write::Delete { key, expect }
                }
                Planned::Check { key, version } => Write::Check { key, version },
                // Deleting what is not there changes nothing.
                Planned::CheckAbsent { key } => Write::Delete { key, expect: Expect::Absent },
            });
        }
        commit.events.reserve_exact(self.events.len().saturating_add(self.merged.len()));
        for (n, event) in self.events.into_iter().enumerate() {
            commit.events.push(build(event, nth_id(version, n)?, draw.take()?)?);
        }
        for (event, alike) in self.merged {
            let mac = ring.mac(ring.active().as_str(), Label::MacMerge, &[&alike])?;
            let mut id = [0; 16];
            id.iter_mut().zip(mac).for_each(|(to, from)| *to = from);
            commit.events.push(build(event, id, draw.take()?)?);
        }
        commit.erase = self.erase;
        Ok((commit, changes))
    }
}

/// Makes the random part of the id of a commit's `n`th event: the version of the commit, which is as random, counted up
/// in its last byte. Ids in ascending order keep the order of events that share a millisecond.
fn nth_id(version: Version, n: usize) -> Result<[u8; 16], Error> {
    let mut id = version.to_bytes();
    id[15] = u8::try_from(n).map_err(|_| Error::Unavailable("a step with too many events"))?;
    Ok(id)
}

fn build(event: EventBuilder, random: [u8; 16], salt: [u8; 16]) -> Result<Event, Error> {
    let id = EventId::new(event.at(), random);
    event.build(id, salt).map_err(|_| Error::Unavailable("an event cannot be encoded"))
}
