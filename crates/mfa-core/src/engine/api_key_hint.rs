//! The hints at whose an API key is: in a scope of the engine's own, each in a commit of its own. None accepts anything.

use core::time::Duration;
use std::sync::atomic::Ordering;

use audit_model::{AccountId, Scope, Timestamp};

use super::Engine;
use crate::decide::api_key::{NewKey, alike, minute, rehash, rejected};
use crate::driver::{Read, Records, Turn};
use crate::plan::Plan;
use crate::record::API_KEY_HINT;
use crate::record::api_key::{ApiKeyHint, ApiKeyRecord, Hashed, api_key_key, hint_id, hint_key};
use crate::{ApiKey, Error, Expect, Key, Module, RequestFacts};

/// How long the use of a dead key is written into the log of the account whose it was.
const RETIRED_LIFE: Duration = Duration::from_secs(24 * 3600);
/// From which age on a hint that leads to nothing is swept away. Until then its key may be about to be issued.
const SWEPT_FROM: Duration = Duration::from_secs(3600);

impl Engine {
    /// Draws a key and writes the hint at it.
    pub(super) async fn new_api_key(&self, account: &AccountId) -> Result<NewKey, Error> {
        let driver = &self.inner.driver;
        let key = ApiKey::from_random(driver.entropy.draw().take()?);
        let made_at = driver.runtime.now();
        let hint = hint_id(self.ring(), self.ring().active(), key.expose_secret())?;
        self.put_hint(account, &hint, made_at).await?;
        Ok(NewKey { key, hint, made_at })
    }

    /// Finds which account to look at for a key: one read, under every key of the ring.
    pub(super) async fn find_api_key(&self, key: &str) -> Result<Option<(AccountId, Hashed)>, Error> {
        let (driver, ring) = (&self.inner.driver, self.ring());
        let ids: Result<Vec<_>, _> = ring.ids().into_iter().map(|id| hint_id(ring, id, key)).collect();
        let mut ids = ids?;
        // Of several hints the one under the key that writes is the latest.
        let active = ring.active();
        ids.sort_by_key(|hint| hint.key != active);
        let keys: Vec<_> = ids.iter().map(hint_key).collect();
        let records = driver.load(&keys, driver.runtime.now()).await?;
        let mut refused = false;
        for (id, key) in ids.into_iter().zip(&keys) {
            match records.read::<ApiKeyHint>(key) {
                Read::Live(hint, _) => return Ok(Some((hint.account, id))),
                Read::Absent => {}
                Read::Refused(_) => refused = true,
            }
        }
        if refused { Err(Error::Unavailable("a stored record cannot be trusted")) } else { Ok(None) }
    }

    /// Writes down, once a minute, that a key was refused that is nobody's.
    pub(super) async fn note_unknown_api_key(
        &self,
        module: &Module,
        request: &RequestFacts,
    ) -> Result<(), Error> {
        let driver = &self.inner.driver;
        let now = driver.runtime.now();
        // Counted from one, as nothing was noted at first. A flood costs a commit a minute.
        let this = minute(now).saturating_add(1);
        if self.inner.unknown_key_noted.load(Ordering::Relaxed) == this {
            return Ok(());
        }
        let mut plan = Plan::default();
        plan.merged_event(rejected(&self.inner.rules, Scope::System, module, request, now), alike("", now));
        let _no_condition_was_set = driver.commit_once(Scope::System, plan, now).await?;
        self.inner.unknown_key_noted.store(this, Ordering::Relaxed);
        Ok(())
    }

    /// Moves a key that was right to the key of the ring that writes. What fails of it is tried at the next use.
    pub(super) async fn move_api_key(&self, turn: &Turn, account: &AccountId, key: &str, old: &Hashed) {
        let moved = async {
            let (driver, rules, ring) = (&self.inner.driver, &self.inner.rules, self.ring());
            let made_at = driver.runtime.now();
            let new = hint_id(ring, ring.active(), key)?;
            self.put_hint(account, &new, made_at).await?;
            let decide = |records: &Records, now, _: &mut _| {
                rehash(rules, account, key, (&new, made_at), records, now)
            };
            let moved = driver.run(turn, None, decide).await?.value;
            Ok::<_, Error>((moved, new))
        };
        match moved.await {
            Ok((true, new)) if new != *old => self.drop_api_key_hint(old).await,
            // It was reset meanwhile.
            Ok((false, new)) => self.drop_api_key_hint(&new).await,
            Ok((true, _)) | Err(_) => {}
        }
    }

    /// Marks the hint at a key that is dead. If that fails it is stale, and swept away.
    pub(super) async fn retire_api_key_hint(&self, account: &AccountId, hint: &Hashed) {
        let driver = &self.inner.driver;
        let now = driver.runtime.now();
        let gone_at = Some(now.plus(RETIRED_LIFE));
        let body = ApiKeyHint { account: account.clone(), made_at: now, retired: true };
        let mut plan = Plan::default();
        if plan.put(hint_key(hint), Expect::Any, &body, gone_at).is_ok() {
            let _harmless = driver.commit_once(Scope::Index, plan, now).await;
        }
    }

    /// Deletes a hint that leads to nothing. If that fails it is stale, and swept away.
    pub(super) async fn drop_api_key_hint(&self, hint: &Hashed) {
        let mut plan = Plan::default();
        plan.delete(hint_key(hint), Expect::Any);
        let driver = &self.inner.driver;
        let _harmless = driver.commit_once(Scope::Index, plan, driver.runtime.now()).await;
    }

    /// Deletes the hints that lead to nothing: of keys that were reset or removed, of some that were never issued.
    pub(super) async fn sweep_api_key_hints(&self) -> Result<(), Error> {
        let driver = &self.inner.driver;
        let mut after: Option<Key> = None;
        while let Some(page) = self.next_page(API_KEY_HINT, &mut after).await? {
            for stored in page {
                let now = driver.runtime.now();
                let found = driver.load(core::slice::from_ref(&stored.key), now).await?;
                // One that cannot be read leads nowhere; whoever has lost its key may find it again.
                let Read::Live(hint, version) = found.read::<ApiKeyHint>(&stored.key) else { continue };
                let owner = api_key_key(&hint.account);
                let records = driver.load(core::slice::from_ref(&owner), now).await?;
                let leads = match records.read::<ApiKeyRecord>(&owner) {
                    Read::Live(record, _) => record.hint.mac[..] == *stored.key.id,
                    Read::Absent => false,
                    Read::Refused(_) => true,
                };
                if leads || !(hint.retired || now.since(hint.made_at) >= SWEPT_FROM) {
                    continue;
                }
                let mut plan = Plan::default();
                plan.delete(stored.key, Expect::Version(version));
                // Whoever has changed it since has their own reasons.
                let _done_or_changed = driver.commit_once(Scope::Index, plan, now).await?;
            }
        }
        Ok(())
    }

    async fn put_hint(&self, account: &AccountId, hint: &Hashed, made_at: Timestamp) -> Result<(), Error> {
        let body = ApiKeyHint { account: account.clone(), made_at, retired: false };
        let mut plan = Plan::default();
        plan.put(hint_key(hint), Expect::Any, &body, None)?;
        let _no_condition_was_set = self.inner.driver.commit_once(Scope::Index, plan, made_at).await?;
        Ok(())
    }
}
