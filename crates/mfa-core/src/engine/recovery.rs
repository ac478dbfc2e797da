//! The call that issues recovery codes or a recovery key.

use audit_model::{AccountId, UserId};

use super::Engine;
use super::act::Acted;
use crate::decide::effects::EffectResult;
use crate::decide::manage::Changing;
use crate::decide::recovery::Issuing;
use crate::record::prefix::SentFor;
use crate::{Authority, Error, Intent, IssuedRecovery, RecoveryForm, SecretBytes};

impl Engine {
    /// Issues new recovery codes or a new key, in place of the set before, and hands them out this once. The slow
    /// hashes are made first; what authorises the call is spent in the commit that makes the set count.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, vouched};
    /// # futures::executor::block_on(async {
    /// let (host, _inbox) = TestHost::with_recovery().await;
    /// let bob = host.add_reachable("bob").await;
    /// let (_app, old) = host.enrol_with_recovery(&bob).await;
    /// let issued = host.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, &vouched()).await?;
    /// let key = issued.revealed.get("key").unwrap();
    ///
    /// // The codes from before are void, the key lets in.
    /// let challenge = host.begin(&bob).await;
    /// assert!(matches!(host.recover(&challenge, &old[0]).await, Verify::Rejected(_)));
    /// assert!(matches!(host.recover(&challenge, key.expose_secret()).await, Verify::Verified(_)));
    ///
    /// // A host that registered no recovery provider offers none.
    /// let host = TestHost::in_memory().await;
    /// let (eve, _app) = host.enrol("eve").await;
    /// let refused = host.engine.recovery_issue(eve.account(), eve.user(), RecoveryForm::Codes, &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "method_not_offered");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `no_method` for a user without a second factor and `method_not_offered` where
    /// no provider issues sets; [`Error::Forbidden`]; [`Error::Busy`] if the pool for slow work is full, nothing
    /// spent; [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn recovery_issue(
        &self,
        account: &AccountId,
        user: &UserId,
        form: RecoveryForm,
        authority: &Authority,
    ) -> Result<IssuedRecovery, Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::issue_recovery(&subject);
        let decide = |changing: &mut Changing<'_>| changing.start_recovery(form);
        let started = self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await?;
        let Issuing::Hash(hashing) = started else {
            return Err(Error::Unavailable("a recovery provider that does not hash"));
        };
        let digest = match self.hashed(account, hashing.effect).await {
            Err(Error::Busy) => {
                let decide = |changing: &mut Changing<'_>| changing.give_back_recovery();
                self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await?;
                return Err(Error::Busy);
            }
            digest => digest?,
        };
        let set = (hashing.id, hashing.state.as_deref());
        let decide = |changing: &mut Changing<'_>| changing.issue_recovery(set, &digest);
        match self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await? {
            Issuing::Issued(issued) => Ok(issued),
            Issuing::Hash(_) => Err(Error::Unavailable("a set without its hashes")),
        }
    }

    /// Runs a slow hash.
    pub(super) async fn hashed(
        &self,
        account: &AccountId,
        effect: crate::Effect,
    ) -> Result<SecretBytes, Error> {
        match self.act(account, effect, SentFor::SetUp).await {
            Acted::Result(EffectResult::Hashed(digest)) => Ok(digest),
            Acted::Busy => Err(Error::Busy),
            Acted::Result(_) | Acted::Lost => Err(Error::Unavailable("the result of a hash is lost")),
        }
    }
}
