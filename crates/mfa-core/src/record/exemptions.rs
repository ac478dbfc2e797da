//! The exemptions of a user: one record, so that a login that may meet one reads it with the others.

use std::net::IpAddr;

use audit_model::{AccountId, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::exemption::{ExemptionTerms, MAX_EXEMPTIONS, Network};
use crate::record::stream::EventStream;
use crate::record::user_key;
use crate::{Draw, Error, ExemptionId, FirstFactorKind, Key, Module, RecordKind, Versioned};

pub(crate) const EXEMPTIONS: RecordKind = RecordKind::new("exemptions");

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Exemptions {
    /// Oldest first.
    pub(crate) all: Vec<Stored>,
    pub(crate) stream: EventStream,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stored {
    pub(crate) id: ExemptionId,
    /// The creation id of the user whose exemption it is.
    pub(crate) generation: String,
    pub(crate) module: Module,
    pub(crate) first_factor: FirstFactorKind,
    networks: Vec<(IpAddr, u8)>,
    reason: String,
    pub(crate) granted_by: String,
    pub(crate) granted_at: Timestamp,
    pub(crate) until: Timestamp,
    /// The first login that it let in on the latest day, in UTC, on which it let one in.
    pub(crate) last_used: Option<Timestamp>,
}

impl Versioned for Exemptions {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 32 * 1024;
}

impl Exemptions {
    pub(crate) fn new(draw: &mut Draw) -> Result<Self, Error> {
        // An id of its own each time: a record that a reset took away begins anew.
        Ok(Self { all: Vec::new(), stream: EventStream::new(draw.take()?) })
    }

    /// Makes room for one more, in the place of the oldest whose time is over. Returns whether there is any.
    pub(crate) fn make_room(&mut self, now: Timestamp) -> bool {
        if self.all.len() >= MAX_EXEMPTIONS
            && let Some(over) = self.all.iter().position(|stored| stored.until <= now)
        {
            self.all.remove(over);
        }
        self.all.len() < MAX_EXEMPTIONS
    }

    /// Notes that one lets a login in, once a day: programs that log in all the time would otherwise wait for one
    /// another. Returns whether there was anything to note.
    pub(crate) fn note_use(&mut self, id: ExemptionId, at: Timestamp) -> bool {
        let day = |at: Timestamp| at.unix_seconds() / (24 * 3600);
        let Some(stored) = self.all.iter_mut().find(|stored| stored.id == id) else { return false };
        if stored.last_used.is_some_and(|last| day(last) >= day(at)) {
            return false;
        }
        stored.last_used = Some(at);
        true
    }

    /// Lists their ids in one line.
    pub(crate) fn ids(&self) -> String {
        self.all.iter().map(|stored| stored.id.to_string()).collect::<Vec<_>>().join(" ")
    }
}

impl Stored {
    pub(crate) fn new(
        id: ExemptionId,
        generation: &str,
        terms: &ExemptionTerms,
        granted_by: String,
        granted_at: Timestamp,
    ) -> Self {
        let ExemptionTerms { module, first_factor, networks, reason, until } = terms.clone();
        let networks = networks.into_iter().map(|network| (network.address, network.prefix)).collect();
        let generation = generation.to_owned();
        let last_used = None;
        Self {
            id,
            generation,
            module,
            first_factor,
            networks,
            reason,
            granted_by,
            granted_at,
            until,
            last_used,
        }
    }

    pub(crate) fn terms(&self) -> ExemptionTerms {
        let Self { module, first_factor, reason, until, .. } = self.clone();
        ExemptionTerms { module, first_factor, networks: self.networks().collect(), reason, until }
    }

    /// Returns the networks it is narrowed to; none for every one.
    pub(crate) fn networks(&self) -> impl ExactSizeIterator<Item = Network> {
        self.networks.iter().map(|(address, prefix)| Network { address: *address, prefix: *prefix })
    }
}

/// Addresses the exemptions of a user.
pub(crate) fn exemptions_key(account: &AccountId, user: &UserId) -> Key {
    user_key(account, EXEMPTIONS, user)
}
