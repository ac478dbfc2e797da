//! The budget of a destination: how many messages an address or number gets, whichever accounts and users ask for them.

use audit_model::Scope;

use super::Engine;
use crate::driver::Read;
use crate::keyring::Label;
use crate::plan::Plan;
use crate::record::DESTINATION;
use crate::record::destination::Destination;
use crate::{Committed, Error, Expect, Key, Message, Version};

/// How often a lost race is run again: a destination is charged seldom.
const TRIES: usize = 8;

impl Engine {
    /// Charges a message to its destination, in a commit of its own, before it leaves. Returns whether it may leave.
    pub(super) async fn charge_destination(&self, message: &Message) -> Result<bool, Error> {
        let driver = &self.inner.driver;
        let key = self.destination_key(message)?;
        for _ in 0..TRIES {
            let now = driver.runtime.now();
            let records = driver.load(core::slice::from_ref(&key), now).await?;
            let (before, expect) = match records.read::<Destination>(&key) {
                Read::Absent => (Destination::default(), Expect::Absent),
                Read::Live(destination, version) => (destination, Expect::Version(version)),
                Read::Refused(_) => return Err(Error::Unavailable("a stored record cannot be trusted")),
            };
            let mut destination = before.clone();
            let has_room = destination.charge(now);
            if destination == before {
                return Ok(has_room);
            }
            let mut plan = Plan::default();
            plan.put(key.clone(), expect, &destination, destination.gone_at())?;
            let mut draw = driver.entropy.draw();
            let version = Version::from_bytes(draw.take()?);
            let commit = plan.seal(&driver.ring, Scope::Destinations, version, now, &mut draw)?;
            match driver.store.commit(commit).await? {
                Committed::Done => return Ok(has_room),
                Committed::Conflict(_) => {}
            }
        }
        Err(Error::Contention)
    }

    /// Addresses the record by a keyed hash: the store does not learn to whom messages go.
    fn destination_key(&self, message: &Message) -> Result<Key, Error> {
        let ring = self.ring();
        let parts: [&[u8]; 2] =
            [message.channel.code().as_bytes(), message.counted().expose_secret().as_bytes()];
        let hash = ring.mac(ring.active().as_str(), Label::MacDestination, &parts)?;
        Ok(Key::new(Scope::Destinations, DESTINATION, hash))
    }
}
