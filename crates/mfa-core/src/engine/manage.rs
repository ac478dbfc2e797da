//! The calls that manage a user's methods.

use audit_model::{AccountId, Scope, Timestamp, UserId};

use super::Engine;
use super::enrol::turn;
use crate::decide::manage;
use crate::driver::{Decision, Records, Turn};
use crate::record::{PENDING, pending_prefix};
use crate::{Authority, EnrolmentId, Error, Key, Method, MethodSelector, Subject};

/// How many pending enrolments one read lists.
const PAGE: usize = 100;

impl Engine {
    /// Lists a user's methods, oldest first. One read.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// assert_eq!(host.engine.methods(bob.account(), bob.user()).await?.len(), 1);
    ///
    /// let nobody = UserId::parse("nobody").unwrap();
    /// assert_eq!(host.engine.methods(&acme(), &nobody).await.unwrap_err().code(), "unknown_user");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownUser`], or an error of the store with code `unavailable`.
    pub async fn methods(&self, account: &AccountId, user: &UserId) -> Result<Vec<Method>, Error> {
        let subject = self.subject(account, user).await?;
        let keys = manage::keys(subject.account(), subject.user());
        let records = self.inner.driver.load(&keys, self.inner.driver.runtime.now()).await?;
        manage::list(&records, subject.account(), subject.user())
    }

    /// Makes a method the one that is asked for first.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// host.engine.method_prefer(bob.account(), bob.user(), &"totp".parse()?, &vouched()).await?;
    /// assert!(host.engine.methods(bob.account(), bob.user()).await?[0].preferred);
    ///
    /// let other = host.engine.method_prefer(bob.account(), bob.user(), &"sms".parse()?, &vouched()).await;
    /// assert_eq!(other.unwrap_err().code(), "unknown_method");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `unknown_method`; [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn method_prefer(
        &self,
        account: &AccountId,
        user: &UserId,
        method: &MethodSelector,
        authority: &Authority,
    ) -> Result<EnrolmentId, Error> {
        self.managed(account, user, |subject, records, now| {
            manage::prefer(subject, method, authority, records, now)
        })
        .await
    }

    /// Removes a method and ends every open challenge of the user. Counts of failures stay.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// host.engine.method_remove(bob.account(), bob.user(), &"totp".parse()?, &vouched()).await?;
    ///
    /// let late = host.engine.verify(&challenge.reference, Response::code(&app.code_at(host.now()))).await?;
    /// assert!(matches!(late, Verify::Rejected(Rejected { reason: Reason::Superseded, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::method_prefer`].
    pub async fn method_remove(
        &self,
        account: &AccountId,
        user: &UserId,
        method: &MethodSelector,
        authority: &Authority,
    ) -> Result<EnrolmentId, Error> {
        self.managed(account, user, |subject, records, now| {
            manage::remove(subject, method, authority, records, now)
        })
        .await
    }

    /// Ends every open challenge of a user: for a host that disables a user or changes a password.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// host.engine.revoke(bob.account(), bob.user(), &vouched()).await?;
    ///
    /// let late = host.engine.verify(&challenge.reference, Response::code(&app.code_at(host.now()))).await?;
    /// assert!(matches!(late, Verify::Rejected(Rejected { reason: Reason::Superseded, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownUser`], or errors with code `unavailable`.
    pub async fn revoke(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        self.managed(account, user, |subject, records, now| manage::revoke(subject, authority, records, now))
            .await
    }

    /// Deletes everything that is kept of a user and erases the personal values of the user's events, in one
    /// commit with its own event. The user need not be in the directory any more, so the ids are taken as
    /// they are given: give the ones the directory had.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// host.engine.forget_user(bob.account(), bob.user(), &vouched()).await?;
    /// assert!(host.events().await.iter().all(|event| event.user().is_none() && event.hash_holds()));
    ///
    /// let late = host.engine.verify(&challenge.reference, Response::code(&app.code_at(host.now()))).await?;
    /// assert!(matches!(late, Verify::Rejected(Rejected { reason: Reason::NotFound, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Errors of the store with code `unavailable`.
    pub async fn forget_user(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let pending = self.pending_enrolments(account, user).await?;
        let turn =
            Turn { account: account.clone(), user: user.clone(), keys: manage::forget_keys(account, user) };
        let settled = self.inner.driver.run(&turn, None, |records, now, _| {
            manage::forget(account, user, authority, &pending, records, now)
        });
        settled.await?;
        Ok(())
    }

    /// Decides about the user that the directory has under the given ids.
    async fn managed<T: Send>(
        &self,
        account: &AccountId,
        user: &UserId,
        decide: impl Fn(&Subject, &Records, Timestamp) -> Result<Decision<T>, Error> + Send + Sync,
    ) -> Result<T, Error> {
        let subject = self.subject(account, user).await?;
        let turn = turn(&subject, manage::keys(subject.account(), subject.user()));
        let settled = self.inner.driver.run(&turn, None, |records, now, _| decide(&subject, records, now));
        Ok(settled.await?.value)
    }

    pub(super) async fn pending_enrolments(
        &self,
        account: &AccountId,
        user: &UserId,
    ) -> Result<Vec<Key>, Error> {
        let driver = &self.inner.driver;
        let (scope, prefix, now) =
            (Scope::Account(account.clone()), pending_prefix(user), driver.runtime.now());
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let after = keys.last().map(|key| key.id.to_vec());
            let page = driver.store.list(&scope, PENDING, &prefix, after.as_deref(), PAGE, now).await?;
            let full = page.len() == PAGE;
            keys.extend(page.into_iter().map(|record| record.key));
            if !full {
                return Ok(keys);
            }
        }
    }
}
