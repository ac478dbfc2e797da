//! The calls about exemptions of users' programs.

use audit_model::{AccountId, Scope, UserId};

use super::Engine;
use crate::decide::exempt::void;
use crate::decide::manage::Changing;
use crate::decide::reseal::plain_user;
use crate::driver::{Read, Records, Turn};
use crate::record::exemptions::{EXEMPTIONS, Exemptions, exemptions_key};
use crate::{Authority, Error, Exemption, ExemptionId, ExemptionTerms, Intent, Key};

/// How many records one read lists.
const PAGE: usize = 100;

impl Engine {
    /// Exempts logins of a user's programs: those that meet `terms` are answered with
    /// [`NotRequired::Exempted`](crate::NotRequired::Exempted), whatever else is asked of the user, while the policy's
    /// knob `exemptions` is set. Each such login is an event that names the exemption. It is no grant and proves no
    /// change, and a password never meets one.
    ///
    /// An administrator's call: of the account or of one above it, with a rank and with a proof for these very terms, or
    /// of the host, which vouches; nobody exempts themselves. The user is told. It ends at its time, by
    /// [`Engine::exemption_end`], [`Engine::user_reset`], [`Engine::forget_user`] and
    /// [`Engine::restore_barrier`], and when the id is given to another person. One read and one commit; one of each
    /// more for an administrator of another account.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session, subject, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let policy = Policy::recommended().with_document(&json!({"enforced": true, "exemptions": true})).unwrap();
    /// let engine = host.node().policy(policy).build().await.unwrap();
    /// let export = host.add("export").await;
    /// let (module, week) = (Module::parse("api_auth").unwrap(), core::time::Duration::from_secs(7 * 24 * 3600));
    /// let until = host.now().plus(week);
    /// let terms = ExemptionTerms::new(module.clone(), FirstFactorKind::ApiKey, "the nightly export", until)?;
    /// let granted = engine.exemption_grant(export.account(), export.user(), &terms, &vouched()).await?;
    ///
    /// let by = |kind| Login::new(export.clone(), FirstFactor::verified_now(kind, Channel::Direct, None), module.clone());
    /// let exempt = engine.begin(by(FirstFactorKind::ApiKey)).await?;
    /// assert!(matches!(exempt, Begin::NotRequired(NotRequired::Exempted(id)) if id == granted.id));
    /// assert!(matches!(engine.begin(by(FirstFactorKind::Password)).await?, Begin::EnrolmentRequired(_)));
    ///
    /// // The policy of the first node has no exemptions.
    /// let refused = host.engine.exemption_grant(export.account(), export.user(), &terms, &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "policy_forbids");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`], with `policy_forbids` without the knob `exemptions`. [`Error::Invalid`] with code `clamp`
    /// unless it ends later than now and within 365 days, and with code `too_many` where the user has 16 whose time is
    /// not over. [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn exemption_grant(
        &self,
        account: &AccountId,
        user: &UserId,
        terms: &ExemptionTerms,
        authority: &Authority,
    ) -> Result<Exemption, Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::grant_exemption(&subject, terms);
        let keys = [exemptions_key(subject.account(), subject.user())];
        let decide = |changing: &mut Changing<'_>| changing.grant_exemption(terms);
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }

    /// Ends an exemption: once this has returned no login meets it, on any node. An administrator's call, as
    /// [`Engine::exemption_grant`], and costs as that.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, vouched};
    /// # futures::executor::block_on(async {
    /// # let host = TestHost::in_memory().await;
    /// # let policy = Policy::recommended().with_document(&serde_json::json!({"exemptions": true})).unwrap();
    /// # let engine = host.node().policy(policy).build().await.unwrap();
    /// # let export = host.add("export").await;
    /// # let (module, week) = (Module::parse("api_auth").unwrap(), core::time::Duration::from_secs(7 * 24 * 3600));
    /// # let terms = ExemptionTerms::new(module, FirstFactorKind::ApiKey, "an export", host.now().plus(week))?;
    /// let granted = engine.exemption_grant(export.account(), export.user(), &terms, &vouched()).await?;
    /// engine.exemption_end(export.account(), export.user(), granted.id, &vouched()).await?;
    /// assert!(engine.exemptions(export.account()).await?.is_empty());
    ///
    /// let again = engine.exemption_end(export.account(), export.user(), granted.id, &vouched()).await;
    /// assert_eq!(again.unwrap_err().code(), "unknown_exemption");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `unknown_exemption`; [`Error::Forbidden`]; [`Error::UnknownUser`]; errors with code
    /// `unavailable`.
    pub async fn exemption_end(
        &self,
        account: &AccountId,
        user: &UserId,
        id: ExemptionId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::end_exemption(&subject, id);
        let keys = [exemptions_key(subject.account(), subject.user())];
        let decide = |changing: &mut Changing<'_>| changing.end_exemption(id);
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }

    /// Reports the exemptions of an account's users, by user and oldest first: those that count, those whose time is
    /// over, and those whose user is not there any more. Whom the report is shown is the host's to say: administrators
    /// of the account and of those above it. Two reads for each hundred users that have some, and a question to the
    /// directory for each of them.
    ///
    /// # Errors
    /// Errors with code `unavailable`, also where a record cannot be trusted, so that no report is short of one.
    pub async fn exemptions(&self, account: &AccountId) -> Result<Vec<Exemption>, Error> {
        let (driver, scope) = (&self.inner.driver, Scope::Account(account.clone()));
        let mut report = Vec::new();
        let mut after: Option<Key> = None;
        loop {
            let (now, last) = (driver.runtime.now(), after.as_ref().map(|key| &*key.id));
            let page = driver.store.list(&scope, EXEMPTIONS, &[], last, PAGE, now).await?;
            let keys: Vec<_> = page.into_iter().map(|record| record.key).collect();
            let records = driver.load(&keys, now).await?;
            for key in &keys {
                let all = match records.read::<Exemptions>(key) {
                    Read::Absent => continue,
                    Read::Live(exemptions, _) => exemptions.all,
                    Read::Refused(_) => {
                        return Err(Error::Unavailable("a stored record cannot be trusted"));
                    }
                };
                let user = plain_user(key)?;
                let known = self.inner.directory.subject(account, &user).await?;
                let generation = known.as_ref().map(crate::Subject::generation);
                report.extend(all.iter().map(|stored| stored.shown(&user, generation, now)));
            }
            after = keys.last().cloned();
            if keys.len() < PAGE {
                return Ok(report);
            }
        }
    }

    /// Ends every exemption of every account.
    pub(super) async fn void_exemptions(&self) -> Result<(), Error> {
        let mut after: Option<Key> = None;
        while let Some(page) = self.next_page(EXEMPTIONS, &mut after).await? {
            for record in page {
                let Scope::Account(account) = record.key.scope.clone() else { continue };
                let user = plain_user(&record.key)?;
                let turn = Turn { account: account.clone(), user: user.clone(), keys: vec![record.key] };
                let decide = |records: &Records, now, _: &mut _| Ok(void(&account, &user, records, now));
                self.inner.driver.run(&turn, None, decide).await?;
            }
        }
        Ok(())
    }
}
