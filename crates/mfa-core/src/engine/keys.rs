//! Keys in life: activating another one, moving records to it, retiring the old one.

use audit_model::{EventBuilder, Kind, Outcome, Scope, UserId};

use super::Engine;
use crate::decide::reseal::{needs_of, plain_user, reseal};
use crate::record::{KINDS, LOGIN, VAULT, user_key, user_of};
use crate::{Error, Key, KeyId, KeyRingError, Record, RecordKind, Resealed};

/// How many records one read lists.
const PAGE: usize = 100;

impl Engine {
    /// Makes a key of the ring the one that writes, in this process, with an event. Every node of the store must
    /// have the key ([`KeyRing::add`](crate::KeyRing::add)) before any of them activates it.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, ring};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (old, new) = (host.ring.active(), KeyId::parse("k2")?);
    /// host.ring.add(new.clone(), [9; 32])?;
    /// host.engine.key_activate(&new, "ops", "yearly rotation").await?;
    /// let (bob, app) = host.enrol("bob").await;
    ///
    /// host.engine.reseal().await?;
    /// host.engine.key_retire(&old, "ops", "yearly rotation").await?;
    /// // The key that writes cannot be retired.
    /// let refused = host.engine.key_retire(&new, "ops", "a mistake").await;
    /// assert_eq!(refused.unwrap_err().code(), "key_in_use");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::KeyRing`] for an id the ring does not have; an error of the store with code `unavailable`.
    pub async fn key_activate(&self, id: &KeyId, actor: &str, reason: &str) -> Result<(), Error> {
        if !self.ring().ids().contains(id) {
            return Err(KeyRingError::Unknown.into());
        }
        let event = |event: EventBuilder| event.actor(actor.to_owned()).reason(reason.to_owned());
        self.say_of_key(Kind::KeyActivated, id, event).await?;
        Ok(self.ring().activate(id)?)
    }

    /// Moves every record to the active key, while logins go on: those that race are decided again. Call it after
    /// every node has activated the key; again if it failed half-way, or if records were
    /// [left](Resealed::unreadable).
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn reseal(&self) -> Result<Resealed, Error> {
        let mut resealed = Resealed::default();
        let active = self.ring().active();
        for kind in KINDS {
            let mut after = None;
            while let Some(page) = self.next_page(kind, &mut after).await? {
                for record in page {
                    let now = self.inner.driver.runtime.now();
                    let moved = match needs_of(&self.inner.rules, &record, now) {
                        // What no key reads is refused wherever it is read.
                        Err(_) => Err(()),
                        Ok(needs) if needs.moved.iter().all(|key| *key == active) => continue,
                        Ok(_) => match self.reseal_one(&record).await {
                            Ok(moved) => Ok(moved),
                            // One that cannot be read must not keep the others from being moved.
                            Err(Error::KeyRing(_) | Error::Codec(_) | Error::Unavailable(_)) => Err(()),
                            Err(error) => return Err(error),
                        },
                    };
                    let count = match moved {
                        Ok(true) => &mut resealed.records,
                        Ok(false) => continue,
                        Err(()) => &mut resealed.unreadable,
                    };
                    *count = count.saturating_add(1);
                }
            }
        }
        self.sweep_api_key_hints().await?;
        resealed.records = resealed.records.saturating_add(self.sweep_identities().await?);
        let records = resealed.records.to_string();
        self.say_of_key(Kind::RecordsResealed, &active, |event| event.field("records", records)).await?;
        Ok(resealed)
    }

    /// Counts the records that cannot be used without a key. Handles that were given out under it live no longer
    /// than the records behind them.
    ///
    /// # Errors
    /// Errors with code `unavailable`.
    pub async fn key_references(&self, id: &KeyId) -> Result<u64, Error> {
        let now = self.inner.driver.runtime.now();
        // What cannot be read may need any key.
        let needs = |record: &Record| {
            needs_of(&self.inner.rules, record, now)
                .map_or(true, |needs| needs.moved.iter().chain(&needs.handed_out).any(|key| key == id))
        };
        let mut count: usize = 0;
        for kind in KINDS {
            let mut after = None;
            while let Some(page) = self.next_page(kind, &mut after).await? {
                count = count.saturating_add(page.iter().filter(|record| needs(record)).count());
            }
        }
        Ok(u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Takes a key from the ring of this process, if nothing needs it any more. Retire it on every node, a minute
    /// or more after the last node activated another one: a step that began there before may still write under it.
    /// Should a record be left behind, adding the key again makes it readable.
    ///
    /// # Errors
    /// [`Error::KeyRing`] with code `key_in_use` while records need it, or if it is the active one; errors with
    /// code `unavailable`.
    pub async fn key_retire(&self, id: &KeyId, actor: &str, reason: &str) -> Result<(), Error> {
        if !self.ring().ids().contains(id) {
            return Err(KeyRingError::Unknown.into());
        }
        // A step that began before the activation may still write under the old key.
        self.inner.driver.settle().await;
        let references = self.key_references(id).await?;
        if references > 0 || self.ring().active() == *id {
            return Err(KeyRingError::InUse { references }.into());
        }
        let event = |event: EventBuilder| event.actor(actor.to_owned()).reason(reason.to_owned());
        self.say_of_key(Kind::KeyRetired, id, event).await?;
        Ok(self.ring().remove(id)?)
    }

    async fn reseal_one(&self, record: &Record) -> Result<bool, Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let (scope, user) = (&record.key.scope, owner(&record.key));
        let mut keys = vec![record.key.clone()];
        if let (VAULT, Scope::Account(account), Some(user)) = (record.key.kind, scope, &user) {
            keys.push(user_key(account, LOGIN, user));
        }
        let decide = |records: &_, _, draw: &mut _| reseal(rules, &record.key, records, draw);
        Ok(driver.run_in(scope, user.as_ref(), &keys, None, decide).await?.value)
    }

    /// Reads the next records of a kind, of every account; `None` behind the last.
    pub(super) async fn next_page(
        &self,
        kind: RecordKind,
        after: &mut Option<Key>,
    ) -> Result<Option<Vec<Record>>, Error> {
        let driver = &self.inner.driver;
        let page = driver.store.scan(kind, after.as_ref(), PAGE, driver.runtime.now()).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = Some(last.key.clone());
        Ok(Some(page))
    }

    async fn say_of_key(
        &self,
        kind: Kind,
        id: &KeyId,
        describe: impl FnOnce(EventBuilder) -> EventBuilder,
    ) -> Result<(), Error> {
        let driver = &self.inner.driver;
        let now = driver.runtime.now();
        let event = EventBuilder::new(Scope::System, kind, Outcome::Success, now);
        let event = describe(event.field("key", id.as_str().to_owned()));
        driver.say(Scope::System, event, now).await
    }
}

/// Returns whose record it is, for the order of steps of one user; of what does not tell, nobody's.
fn owner(key: &Key) -> Option<UserId> {
    plain_user(key).ok().or_else(|| user_of(key))
}
