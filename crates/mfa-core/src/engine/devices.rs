//! The calls about a user's devices: trusting one after a login, and what is changed about it later.

use audit_model::{AccountId, UserId};

use super::Engine;
use crate::decide::manage::Changing;
use crate::decide::slots;
use crate::decide::trust::{self, Keep};
use crate::driver::Turn;
use crate::record::device::{device_key, slot_keys};
use crate::subject::checked_text;
use crate::{Authority, Device, DeviceId, Error, Grant, Intent, KeptDevice};

/// The longest name of a device, in bytes.
const MAX_NAME_BYTES: usize = 128;

impl Engine {
    /// Trusts the device that a login has just succeeded on, because the user asked for it: as long as nothing
    /// about them changes, and 30 days at most, its logins are not asked for a second step
    /// ([`Begin::TrustedDevice`](crate::Begin::TrustedDevice)). Call it before the grant is redeemed, with the same session,
    /// and keep the
    /// token in the browser. The policy is that of the user's account, as the directory has it now. One read of all of a
    /// user's devices and one commit.
    ///
    /// It stands in for the second step after the same kind of first factor, as long as the method it was given for
    /// could be asked for. Trust ends with the password, a method that is added or removed, recovery, a lock, a reset, a revocation and
    /// a report that it was not the user. A user has 16 devices at most: another one takes the place of the one that
    /// was used longest ago. A second call with the same grant is the same device, with another token. The user is
    /// told.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let policy = Policy::recommended().with_document(&json!({"trust": true})).unwrap();
    /// let engine = host.node().policy(policy).build().await.unwrap();
    /// let (bob, app) = host.enrol("bob").await;
    /// let Verify::Verified(grant) = host.answer(&host.begin(&bob).await, &app.code_at(host.now())).await else {
    ///     panic!()
    /// };
    /// let kept = engine.device_trust(&grant, Some(&session(&bob)), "Bob's laptop").await?;
    ///
    /// let begun = engine.begin(login(&bob).with_device(kept.token.clone())).await?;
    /// let Begin::TrustedDevice(TrustedDevice { token: Some(next), .. }) = begun else { panic!() };
    /// // The next login shows the next token; the id of the device opens nothing.
    /// let by_id = login(&bob).with_device(DeviceToken::from_text(kept.id.to_string()));
    /// assert!(matches!(engine.begin(by_id).await?, Begin::Challenge(_)));
    /// assert!(matches!(engine.begin(login(&bob).with_device(next)).await?, Begin::TrustedDevice(_)));
    ///
    /// // Under the policy of the first node nobody trusts a device.
    /// let refused = host.engine.device_trust(&grant, Some(&session(&bob)), "Bob's laptop").await;
    /// assert_eq!(refused.unwrap_err().code(), "policy_forbids");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`]: `policy_forbids` without the knob `trust`; `not_permitted` for a login below AAL2 (a
    /// first factor of no other kind, a way back in, a method bound by an administrator, or one bound by a first factor
    /// alone at its first login), for an answer that was to approve and nothing else, and for a device that is banned;
    /// `recovery_hold` within a day of a recovery; `step_up_required` for a grant past its minute, of another session,
    /// or of a user who has changed since. [`Error::Invalid`] for a name that is not 1 to 128 bytes without control characters, with
    /// code `required` for a user whose [password the host does not count](crate::Subject::with_password_epoch), with
    /// code `too_many_banned` if every place is a banned device's. [`Error::UnknownUser`]. Errors with code
    /// `unavailable`.
    pub async fn device_trust(
        &self,
        grant: &Grant,
        session: Option<&str>,
        name: &str,
    ) -> Result<KeptDevice, Error> {
        self.keep(Keep { grant, session, name, trust: true }).await
    }

    /// Keeps the device that a login has just succeeded on, to know it again for 30 days. That lowers nothing: its
    /// logins are asked as ever, but of the failures that a user may have in a day and a month, and of the challenges that
    /// may be open, a third is kept for such devices, so that a stranger with the password cannot use them up for the
    /// owner. Messages and pushes are counted for both together. Costs as
    /// [`Engine::device_trust`]; a device that was trusted is so no more.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let Verify::Verified(grant) = host.answer(&host.begin(&bob).await, &app.code_at(host.now())).await else {
    ///     panic!()
    /// };
    /// let kept = host.engine.device_remember(&grant, Some(&session(&bob)), "Bob's laptop").await?;
    /// assert_eq!(kept.state, DeviceState::NotTrusted);
    /// let begun = host.engine.begin(login(&bob).with_device(kept.token)).await?;
    /// assert!(matches!(begun, Begin::Challenge(_)));
    ///
    /// assert_eq!(host.engine.device_remember(&grant, Some(&session(&bob)), "").await.unwrap_err().code(), "required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::device_trust`], but for those of the policy and the evidence.
    pub async fn device_remember(
        &self,
        grant: &Grant,
        session: Option<&str>,
        name: &str,
    ) -> Result<KeptDevice, Error> {
        self.keep(Keep { grant, session, name, trust: false }).await
    }

    async fn keep(&self, keep: Keep<'_>) -> Result<KeptDevice, Error> {
        let _ = checked_text("name", keep.name.to_owned(), 1, MAX_NAME_BYTES)?;
        let grant = keep.grant;
        let subject = self.subject(grant.account(), grant.user()).await?;
        let (rules, account, user) = (&self.inner.rules, subject.account().clone(), subject.user().clone());
        let documents = rules.document_keys(subject.lineage());
        let keys = trust::keys(&account, &user).into_iter().chain(documents).collect();
        let decide = |records: &_, now, draw: &mut _| {
            let rules = rules.held(subject.lineage(), None, records)?;
            let mut decision = trust::keep(&rules, &keep, records, now, draw)?;
            rules.hold_documents(subject.lineage(), records, &mut decision.plan);
            Ok(decision)
        };
        Ok(self.inner.driver.run(&Turn { account, user, keys }, None, decide).await?.value?)
    }

    /// Lists a user's devices, the one that was used last first. One read.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, session};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// assert!(host.engine.devices(bob.account(), bob.user()).await?.is_empty());
    /// let Verify::Verified(grant) = host.answer(&host.begin(&bob).await, &app.code_at(host.now())).await else {
    ///     panic!()
    /// };
    /// let _kept = host.engine.device_remember(&grant, Some(&session(&bob)), "Bob's laptop").await?;
    /// assert_eq!(host.engine.devices(bob.account(), bob.user()).await?[0].name, "Bob's laptop");
    ///
    /// let nobody = UserId::parse("nobody").unwrap();
    /// assert_eq!(host.engine.devices(&acme(), &nobody).await.unwrap_err().code(), "unknown_user");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownUser`], or an error of the store with code `unavailable`.
    pub async fn devices(&self, account: &AccountId, user: &UserId) -> Result<Vec<Device>, Error> {
        let subject = self.subject(account, user).await?;
        let now = self.inner.driver.runtime.now();
        let mut keys = trust::keys(subject.account(), subject.user());
        keys.extend(self.inner.rules.document_keys(subject.lineage()));
        let records = self.inner.driver.load(&keys, now).await?;
        let rules = self.inner.rules.held(subject.lineage(), None, &records)?;
        slots::list(&rules, &subject, &records, now)
    }

    /// Trusts a device no more; it is known still. A first factor is enough for it: it asks for more, not for less.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session, vouched};
    /// # use serde_json::json;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let policy = Policy::recommended().with_document(&json!({"trust": true})).unwrap();
    /// let engine = host.node().policy(policy).build().await.unwrap();
    /// let (bob, app) = host.enrol("bob").await;
    /// let Verify::Verified(grant) = host.answer(&host.begin(&bob).await, &app.code_at(host.now())).await else {
    ///     panic!()
    /// };
    /// let kept = engine.device_trust(&grant, Some(&session(&bob)), "Bob's laptop").await?;
    /// let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
    /// let by_bob = Authority::FirstFactor(first);
    /// engine.device_revoke(bob.account(), bob.user(), kept.id, &by_bob).await?;
    /// assert!(matches!(engine.begin(login(&bob).with_device(kept.token)).await?, Begin::Challenge(_)));
    ///
    /// // To ban it takes a proof.
    /// let refused = engine.device_ban(bob.account(), bob.user(), kept.id, &by_bob).await;
    /// assert_eq!(refused.unwrap_err().code(), "step_up_required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `unknown_device` or `banned`; [`Error::Forbidden`]; [`Error::UnknownUser`]; errors
    /// with code `unavailable`.
    pub async fn device_revoke(
        &self,
        account: &AccountId,
        user: &UserId,
        device: DeviceId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::revoke_device(&subject, Some(device));
        let keys = [device_key(subject.account(), subject.user(), device)];
        let decide = |changing: &mut Changing<'_>| changing.revoke_device(device);
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }

    /// Trusts none of a user's devices any more; they are known still. By whose right as [`Engine::device_revoke`]. Where
    /// none is trusted, nothing is written but an event a minute; so it is there.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// host.engine.device_revoke_all(bob.account(), bob.user(), &vouched()).await?;
    ///
    /// let nobody = UserId::parse("nobody").unwrap();
    /// let unknown = host.engine.device_revoke_all(&acme(), &nobody, &vouched()).await;
    /// assert_eq!(unknown.unwrap_err().code(), "unknown_user");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn device_revoke_all(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::revoke_device(&subject, None);
        let decide = |changing: &mut Changing<'_>| changing.revoke_devices();
        let keys = slot_keys(subject.account(), subject.user());
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }

    /// Never trusts a device again, for a year: its logins are asked like any other's. By its token it is known;
    /// without it, it is a device like any other.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let Verify::Verified(grant) = host.answer(&host.begin(&bob).await, &app.code_at(host.now())).await else {
    ///     panic!()
    /// };
    /// let kept = host.engine.device_remember(&grant, Some(&session(&bob)), "Bob's laptop").await?;
    /// host.engine.device_ban(bob.account(), bob.user(), kept.id, &vouched()).await?;
    /// assert_eq!(host.engine.devices(bob.account(), bob.user()).await?[0].state, DeviceState::Banned);
    ///
    /// let again = host.engine.device_revoke(bob.account(), bob.user(), kept.id, &vouched()).await;
    /// assert_eq!(again.unwrap_err().code(), "banned");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::device_revoke`].
    pub async fn device_ban(
        &self,
        account: &AccountId,
        user: &UserId,
        device: DeviceId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::ban_device(&subject, device);
        let keys = [device_key(subject.account(), subject.user(), device)];
        let decide = |changing: &mut Changing<'_>| changing.ban_device(device);
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }
}
