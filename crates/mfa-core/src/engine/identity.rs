//! Claims of identities at providers' services: in a scope of the engine's own, each in a commit of its own.

use audit_model::{AccountId, Scope, UserId};

use super::Engine;
use crate::decide::identity::{Claim, Claimed, Found, Named, Until, claimed_by, put, standing};
use crate::decide::reseal::needs_of;
use crate::driver::{Patience, Read, Records};
use crate::plan::Plan;
use crate::record::identity::{HeldIdentity, identity_key, seal};
use crate::record::{IDENTITY, PENDING};
use crate::reference::Claims;
use crate::{Committed, EnrolmentId, Error, Expect, Identity, Key, ProviderName, Subject};

const NOT_TRUSTED: Error = Error::Unavailable("a stored record cannot be trusted");

impl Engine {
    /// Returns who has an identity: the account and the user whose set-up another one was refused for as
    /// [`identity_taken`](crate::Reason::IdentityTaken). It is for the host alone, which may tell whose accounts are whose:
    /// what the refused user is told says nothing of it.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, totp};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// // Nobody has it. Of an authenticator app nobody ever has one: it knows no names.
    /// let bob = Identity::new(&["api.example", "bob"]);
    /// assert_eq!(host.engine.identity_holder(&totp(), bob).await?, None);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Errors of the store with code `unavailable`, also where the claim cannot be read.
    pub async fn identity_holder(
        &self,
        provider: &ProviderName,
        identity: Identity,
    ) -> Result<Option<(AccountId, UserId)>, Error> {
        let (driver, ring) = (&self.inner.driver, self.ring());
        let places = self.places(ring.active().as_str(), provider, identity)?;
        let records = driver.load(&places, driver.runtime.now()).await?;
        for (_, held, _) in found(&records, &places)? {
            let now = driver.runtime.now();
            // Nothing is claimed, so what is over can stay as it is.
            let (standing, _over) = standing(&held, &driver.load(&held.owners_keys(), now).await?, now);
            if !standing.is_empty() {
                return Ok(Some((held.account, held.user)));
            }
        }
        Ok(None)
    }

    /// Tells whether a user may be asked something under an identity: nobody else has it. It claims nothing.
    pub(super) async fn look_up(&self, subject: &Subject, claim: &Claim) -> Result<Claimed, Error> {
        let holder = self.identity_holder(&claim.provider, claim.identity).await?;
        let may =
            holder.is_none_or(|(account, user)| account == *subject.account() && user == *subject.user());
        Ok(Claimed { identity: claim.identity, until: may.then_some(Until::Asked) })
    }

    /// Claims an identity for a set-up: it is free, the user's own, or of an owner who has it no more.
    pub(super) async fn claim_identity(&self, claims: &Claims, claim: &Claim) -> Result<Claimed, Error> {
        let (driver, ring) = (&self.inner.driver, self.ring());
        let Claim { provider, identity, .. } = claim;
        let (account, user, id) = (claims.account()?, &claims.user, EnrolmentId::from_bytes(claims.id));
        let claimed =
            |is_held: bool| Ok(Claimed { identity: *identity, until: is_held.then_some(Until::Confirmed) });
        let mut patience = Patience::new(&*driver.runtime);
        loop {
            let now = driver.runtime.now();
            let mut draw = driver.entropy.draw();
            let sealed = seal(ring, provider, *identity, draw.take()?)?;
            let places = self.places(sealed.key.as_str(), provider, *identity)?;
            let found = found(&driver.load(&places, now).await?, &places)?;
            let mut enrolments = Vec::new();
            for (_, held, _) in &found {
                let standing = self.standing_of(held, &mut patience).await?;
                if held.is_of(account, user) {
                    enrolments.extend(standing);
                } else if !standing.is_empty() {
                    return claimed(false);
                }
            }
            if !enrolments.contains(&id) {
                enrolments.push(id);
            }
            if let [(at, held, _)] = &found[..]
                && places.first() == Some(at)
                && held.is_of(account, user)
                && held.enrolments == enrolments
            {
                return claimed(true);
            }
            let (account, user) = (account.clone(), user.clone());
            let record = HeldIdentity { account, user, enrolments, provider: provider.clone(), sealed };
            let plan = put(&places, &found, &record)?;
            match driver.commit_once(Scope::Index, plan, now).await? {
                Committed::Done => return claimed(true),
                Committed::Conflict(_) => patience.pause(u16::from_be_bytes(draw.take()?)).await?,
            }
        }
    }

    /// Returns the identities that a user's set-ups may have claimed, those at `listed` that are no other records.
    pub(super) async fn identities_of_setups(
        &self,
        subject: &Subject,
        listed: &[Key],
    ) -> Result<Vec<Named>, Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let setups: Vec<_> = listed.iter().filter(|key| key.kind == PENDING).cloned().collect();
        if setups.is_empty() {
            return Ok(Vec::new());
        }
        let keys = [&setups[..], &rules.document_keys(subject.lineage())].concat();
        let records = driver.load(&keys, driver.runtime.now()).await?;
        // What cannot be read is swept away later.
        let held = rules.held(subject.lineage(), None, &records);
        Ok(held.map(|rules| claimed_by(&rules, subject, &setups, &records)).unwrap_or_default())
    }

    /// Deletes the record of an identity that a user had. If that fails it says nothing any more, and is swept away.
    pub(super) async fn drop_identity(&self, subject: &Subject, (provider, identity): &Named) {
        let dropped = async {
            let driver = &self.inner.driver;
            let (now, mut patience) = (driver.runtime.now(), Patience::new(&*driver.runtime));
            let places = self.places(self.ring().active().as_str(), provider, *identity)?;
            let mut plan = Plan::default();
            for (key, held, version) in found(&driver.load(&places, now).await?, &places)? {
                let is_the_users = held.is_of(subject.account(), subject.user());
                if is_the_users && self.standing_of(&held, &mut patience).await?.is_empty() {
                    plan.delete(key, Expect::Version(version));
                }
            }
            if plan.is_empty() {
                Ok(Committed::Done)
            } else {
                driver.commit_once(Scope::Index, plan, now).await
            }
        };
        let _harmless = dropped.await;
    }

    /// Deletes the records of identities that nobody has any more, and moves the others to the key of the ring that
    /// writes. Returns how many were moved.
    pub(super) async fn sweep_identities(&self) -> Result<u64, Error> {
        let (driver, ring) = (&self.inner.driver, self.ring());
        let (mut moved, mut after): (u64, Option<Key>) = (0, None);
        while let Some(page) = self.next_page(IDENTITY, &mut after).await? {
            for stored in page {
                let now = driver.runtime.now();
                let records = driver.load(core::slice::from_ref(&stored.key), now).await?;
                // One that cannot be read stays: whoever has lost its key may find it again.
                let Read::Live(held, version) = records.read::<HeldIdentity>(&stored.key) else { continue };
                let mut patience = Patience::new(&*driver.runtime);
                let stands = !self.standing_of(&held, &mut patience).await?.is_empty();
                let active = ring.active();
                let needs = needs_of(&self.inner.rules, &stored, now);
                let mut plan = Plan::default();
                if !stands {
                    plan.delete(stored.key, Expect::Version(version));
                } else if needs.is_ok_and(|needs| needs.moved.iter().all(|key| *key == active)) {
                    continue;
                } else {
                    let Ok(identity) = held.identity(ring) else { continue };
                    let sealed = seal(ring, &held.provider, identity, driver.entropy.draw().take()?)?;
                    let places = self.places(sealed.key.as_str(), &held.provider, identity)?;
                    let read = driver.load(&places, now).await?;
                    let Ok(at) = found(&read, &places) else { continue };
                    // What is there besides is not this one's to change.
                    let [(key, held, _)] = &at[..] else { continue };
                    if *key == stored.key {
                        plan = put(&places, &at, &HeldIdentity { sealed, ..held.clone() })?;
                    }
                }
                // Whoever has changed it since has their own reasons.
                if driver.commit_once(Scope::Index, plan, now).await? == Committed::Done && stands {
                    moved = moved.saturating_add(1);
                }
            }
        }
        Ok(moved)
    }

    /// Returns where the record of an identity may be: under the key `first`, and under every other one of the ring.
    fn places(&self, first: &str, provider: &ProviderName, identity: Identity) -> Result<Vec<Key>, Error> {
        let mut ids = self.ring().ids();
        ids.sort_by_key(|id| id.as_str() != first);
        ids.iter().map(|id| identity_key(self.ring(), id.as_str(), provider, identity)).collect()
    }

    /// Returns which enrolments of a record stand; those that do not never will.
    async fn standing_of(
        &self,
        held: &HeldIdentity,
        patience: &mut Patience<'_>,
    ) -> Result<Vec<EnrolmentId>, Error> {
        let driver = &self.inner.driver;
        loop {
            let now = driver.runtime.now();
            let (standing, over) = standing(held, &driver.load(&held.owners_keys(), now).await?, now);
            if over.is_empty() {
                return Ok(standing);
            }
            match driver.commit_once(Scope::Account(held.account.clone()), over, now).await? {
                Committed::Done => return Ok(standing),
                Committed::Conflict(_) => {
                    patience.pause(u16::from_be_bytes(driver.entropy.draw().take()?)).await?;
                }
            }
        }
    }
}

/// Returns the records that are there.
fn found(records: &Records, places: &[Key]) -> Result<Vec<Found>, Error> {
    let read = |key: &Key| match records.read::<HeldIdentity>(key) {
        Read::Absent => None,
        Read::Live(held, version) => Some(Ok((key.clone(), held, version))),
        Read::Refused(_) => Some(Err(NOT_TRUSTED)),
    };
    places.iter().filter_map(read).collect()
}
