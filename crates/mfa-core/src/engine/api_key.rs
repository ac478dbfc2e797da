//! The calls about an account's API key.

use super::Engine;
use crate::decide::api_key::{Asked, Judged, verify, void};
use crate::decide::permit::Permit;
use crate::driver::{Records, Turn};
use crate::record::API_KEY;
use crate::record::api_key::api_key_key;
use crate::{
    Account, ApiKey, ApiKeyVerify, Authority, Error, Intent, IssuedApiKey, Key, Module, Reason, Rejected,
    RequestFacts, Scope, Subject, VerifiedApiKey,
};

impl Engine {
    /// Issues a first API key to an account. It is handed out here and, where the policy keeps keys as hashes alone,
    /// as it does unless told otherwise, nowhere else.
    ///
    /// An administrator's call: of the account or of one above it, with a rank and with a proof for this change, or
    /// of the host, which vouches. Two reads and two commits, and one read and commit more for an administrator of
    /// another account. Dropping the future leaves the account without a key, or with one that nobody has seen.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let acme = Account::new(acme());
    /// let issued = host.engine.api_key_create(&acme, &vouched()).await?;
    /// assert_eq!(issued.key.expose_secret().len(), 64);
    /// assert!(!format!("{issued:?}").contains(issued.key.expose_secret()));
    ///
    /// let again = host.engine.api_key_create(&acme, &vouched()).await;
    /// assert_eq!(again.unwrap_err().code(), "exists");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `exists`; [`Error::Forbidden`]; [`Error::Contention`]; errors with code
    /// `unavailable`.
    pub async fn api_key_create(
        &self,
        account: &Account,
        authority: &Authority,
    ) -> Result<IssuedApiKey, Error> {
        self.issue_api_key(account, authority, true).await
    }

    /// Issues an API key to an account in place of the one it has, which is dead in the same commit. What was begun
    /// with the old key before goes on: the host's sessions are the host's to end. For a day the use of the old key
    /// is written into the account's log. Costs as [`Engine::api_key_create`], and an administrator's call like it;
    /// an account without a key gets one.
    ///
    /// Dropping the future leaves the old key good, or a new one that nobody has seen: reset it again.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let acme = Account::new(acme());
    /// let old = host.engine.api_key_create(&acme, &vouched()).await?.key;
    /// let new = host.engine.api_key_reset(&acme, &vouched()).await?.key;
    /// let (module, facts) = (Module::parse("api_auth").unwrap(), RequestFacts::new());
    /// let verify = |key| host.engine.api_key_verify(key, &module, &facts);
    /// assert!(matches!(verify(old.expose_secret()).await?, ApiKeyVerify::Rejected(_)));
    /// assert!(matches!(verify(new.expose_secret()).await?, ApiKeyVerify::Verified(_)));
    ///
    /// // Bob is no administrator.
    /// let (bob, app) = host.enrol("bob").await;
    /// let proof = host.prove(&bob, &app, &Intent::issue_api_key(&acme)).await;
    /// let by_bob = Authority::proof(proof, Some("session-of-bob"));
    /// assert_eq!(host.engine.api_key_reset(&acme, &by_bob).await.unwrap_err().code(), "not_permitted");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::Contention`]; errors with code `unavailable`, after which either key may be
    /// the account's.
    pub async fn api_key_reset(
        &self,
        account: &Account,
        authority: &Authority,
    ) -> Result<IssuedApiKey, Error> {
        self.issue_api_key(account, authority, false).await
    }

    /// Shows an account's API key, where the policy keeps keys so that they can be shown, at most ten times in 24
    /// hours and each time with an event. An administrator's call, as [`Engine::api_key_create`]. One read and one
    /// commit, and one of each more for an administrator of another account.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let acme = Account::new(acme());
    /// host.engine.api_key_create(&acme, &vouched()).await?;
    /// let hidden = host.engine.api_key_show(&acme, &vouched()).await;
    /// assert_eq!(hidden.unwrap_err().code(), "hash_only");
    ///
    /// let readable = serde_json::json!({"api_keys_hash_only": false});
    /// let policy = Policy::recommended().with_document(&readable).unwrap();
    /// let engine = host.node().policy(policy).build().await.unwrap();
    /// let issued = engine.api_key_reset(&acme, &vouched()).await?;
    /// let shown = engine.api_key_show(&acme, &vouched()).await?;
    /// assert_eq!(shown.key.expose_secret(), issued.key.expose_secret());
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `hash_only` or `no_api_key`; [`Error::Forbidden`], also past the limit; errors
    /// with code `unavailable`.
    pub async fn api_key_show(
        &self,
        account: &Account,
        authority: &Authority,
    ) -> Result<IssuedApiKey, Error> {
        let intent = Intent::show_api_key(account);
        let asking = self.asking(account, authority, &intent).await?;
        let settled = self
            .inner
            .driver
            .run(&asking.turn, None, |records, now, _| self.asked(&asking, &intent, records, now).show());
        Ok(settled.await?.value?)
    }

    /// Removes an account's API key: for an account that has no use for one, and before an account is deleted, so
    /// that the key is not of whoever gets its id. An administrator's call, as [`Engine::api_key_create`].
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let acme = Account::new(acme());
    /// let none = host.engine.api_key_remove(&acme, &vouched()).await;
    /// assert_eq!(none.unwrap_err().code(), "no_api_key");
    ///
    /// let key = host.engine.api_key_create(&acme, &vouched()).await?.key;
    /// host.engine.api_key_remove(&acme, &vouched()).await?;
    /// let (module, facts) = (Module::parse("api_auth").unwrap(), RequestFacts::new());
    /// let late = host.engine.api_key_verify(key.expose_secret(), &module, &facts).await?;
    /// assert!(matches!(late, ApiKeyVerify::Rejected(Rejected { reason: Reason::NotFound, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `no_api_key`; [`Error::Forbidden`]; errors with code `unavailable`.
    pub async fn api_key_remove(&self, account: &Account, authority: &Authority) -> Result<(), Error> {
        let intent = Intent::remove_api_key(account);
        let asking = self.asking(account, authority, &intent).await?;
        let settled = self
            .inner
            .driver
            .run(&asking.turn, None, |records, now, _| self.asked(&asking, &intent, records, now).remove());
        if let Some(gone) = settled.await?.value? {
            self.retire_api_key_hint(account.id(), &gone).await;
        }
        Ok(())
    }

    /// Judges an API key that somebody presents, as they presented it. Whose it is follows from the key alone;
    /// `module` is the route it came through, which is not the request's to name.
    ///
    /// Text of another alphabet is refused without a read, an unknown key after one, a key that was an account's
    /// until lately after two; the answer is the same, and never tells the key. A right one costs two reads and one
    /// commit, and once after a rotation of keys three commits more. Limit how often an address may ask: what is
    /// refused costs nobody anything here.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let issued = host.engine.api_key_create(&Account::new(acme()), &vouched()).await?;
    /// let (module, facts) = (Module::parse("api_auth").unwrap(), RequestFacts::new());
    /// let verify = |key| host.engine.api_key_verify(key, &module, &facts);
    /// let ApiKeyVerify::Verified(verified) = verify(issued.key.expose_secret()).await? else { panic!() };
    /// assert_eq!(verified.account(), &acme());
    ///
    /// let unknown = "0".repeat(64);
    /// assert!(matches!(verify(&unknown).await?, ApiKeyVerify::Rejected(_)));
    /// assert_eq!(verify("0123").await.unwrap_err().code(), "too_short");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `too_short` or `too_long` for text that has not 64 characters;
    /// [`Error::Contention`]; errors with code `unavailable`.
    pub async fn api_key_verify(
        &self,
        key: &str,
        module: &Module,
        request: &RequestFacts,
    ) -> Result<ApiKeyVerify, Error> {
        let rejected = Rejected::new(Reason::NotFound, 0, None);
        let Some(key) = ApiKey::presented(key)? else { return Ok(ApiKeyVerify::Rejected(rejected)) };
        let Some((account, hint)) = self.find_api_key(key).await? else {
            self.note_unknown_api_key(module, request).await?;
            crate::observe::step("api_key_verify", "rejected");
            return Ok(ApiKeyVerify::Rejected(rejected));
        };
        let rules = &self.inner.rules;
        // An account that the host does not have any more is as one that never was.
        let Some(known) = self.inner.directory.account(&account).await? else {
            self.note_unknown_api_key(module, request).await?;
            crate::observe::step("api_key_verify", "rejected");
            return Ok(ApiKeyVerify::Rejected(rejected));
        };
        let mut turn = super::enrol::turn(&known.as_subject()?, vec![api_key_key(&account)]);
        turn.keys.extend(rules.document_keys(known.lineage()));
        let mut at = None;
        let decide = |records: &Records, now, _: &mut _| {
            at = Some(now);
            let rules = rules.held(known.lineage(), Some(module), records)?;
            verify(&rules, &account, (key, &hint), (module, request), records, now)
        };
        let settled = self.inner.driver.run(&turn, None, decide).await?;
        if let Judged::Wrong | Judged::ModuleDisabled = settled.value {
            crate::observe::step("api_key_verify", "rejected");
            let off = settled.value == Judged::ModuleDisabled;
            let rejected = if off { Rejected::new(Reason::ModuleDisabled, 0, None) } else { rejected };
            return Ok(ApiKeyVerify::Rejected(rejected));
        }
        if settled.value == Judged::RightAndToMove {
            self.move_api_key(&turn, &account, key, &hint).await;
        }
        crate::observe::step("api_key_verify", "verified");
        let at = at.unwrap_or_else(|| self.inner.driver.runtime.now());
        let verified = VerifiedApiKey::issue(account, module.clone(), at, &settled.receipt);
        Ok(ApiKeyVerify::Verified(verified))
    }

    /// The hint comes first and leads to nothing; what the account's record holds decides, in one commit.
    async fn issue_api_key(
        &self,
        account: &Account,
        authority: &Authority,
        first: bool,
    ) -> Result<IssuedApiKey, Error> {
        let driver = &self.inner.driver;
        let intent = Intent::issue_api_key(account);
        let asking = Asking { first, ..self.asking(account, authority, &intent).await? };
        let may = driver.run(&asking.turn, None, |records, now, _| {
            self.asked(&asking, &intent, records, now).may_issue()
        });
        may.await?.value?;
        let new = self.new_api_key(account.id()).await?;
        let settled = driver.run(&asking.turn, None, |records, now, draw| {
            self.asked(&asking, &intent, records, now).issue(&new, draw).map(|decision| {
                let value = decision.value.map(|before| (before, now));
                crate::driver::Decision { plan: decision.plan, value }
            })
        });
        match settled.await?.value {
            Ok((before, issued_at)) => {
                if let Some(before) = before {
                    self.retire_api_key_hint(account.id(), &before).await;
                }
                Ok(IssuedApiKey { key: new.key, issued_at })
            }
            Err(why) => {
                self.drop_api_key_hint(&new.hint).await;
                Err(why.into())
            }
        }
    }

    /// Reads who asks, and spends a proof of another account there.
    async fn asking<'a>(
        &self,
        account: &Account,
        authority: &'a Authority,
        intent: &Intent,
    ) -> Result<Asking<'a>, Error> {
        let subject = account.as_subject()?;
        let mut permit = Permit::read(self.ring(), authority)?;
        let mut keys = vec![api_key_key(account.id())];
        keys.extend(permit.keys(subject.account(), subject.user())?);
        let turn = super::enrol::turn(&subject, keys);
        self.spend_elsewhere(&mut permit, &subject, &turn.keys, |_| Ok(intent.clone())).await?;
        Ok(Asking { subject, permit, turn, first: false })
    }

    fn asked<'a>(
        &'a self,
        asking: &'a Asking<'a>,
        intent: &'a Intent,
        records: &'a Records,
        now: audit_model::Timestamp,
    ) -> Asked<'a> {
        let Asking { subject, permit, first, .. } = asking;
        Asked { rules: &self.inner.rules, subject, permit, records, intent, first: *first, now }
    }

    /// Voids every account's key, and deletes the hints.
    pub(super) async fn void_api_keys(&self) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        while let Some(page) = self.next_page(API_KEY, &mut after).await? {
            for record in page {
                let Scope::Account(account) = record.key.scope else { continue };
                let subject = Account::new(account.clone()).as_subject()?;
                let turn = super::enrol::turn(&subject, vec![api_key_key(&account)]);
                let decide = |records: &Records, now, _: &mut _| Ok(void(&account, records, now));
                self.inner.driver.run(&turn, None, decide).await?;
            }
        }
        self.sweep_api_key_hints().await
    }
}

/// Who asks for a change to an account's key, and what is read for it.
struct Asking<'a> {
    subject: Subject,
    permit: Permit<'a>,
    turn: Turn,
    first: bool,
}
