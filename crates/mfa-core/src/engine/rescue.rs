//! The calls of an administrator for a user who is locked out, and the user's own way out of a delay.

use core::time::Duration;

use audit_model::{AccountId, Kind, UserId};

use super::Engine;
use crate::decide::manage::{self, Changing};
use crate::decide::unlock::unlock;
use crate::driver::Turn;
use crate::record::exemptions::exemptions_key;
use crate::{
    Answer, Authority, Error, Intent, IssuedBypass, IssuedInvitation, Login, NoticeKind, ProviderName,
    Unlocked,
};

impl Engine {
    /// Lifts a delay with three consecutive right codes of one authenticator, given as one answer by a user who
    /// has passed the first factor again: `login` says so. It lifts no stop and clears no count of a day or a month;
    /// it can be tried twice a day, and a wrong answer is charged like any other.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// for _ in 0..5 {
    ///     let _wrong = host.answer(&challenge, &app.wrong_code_at(host.now(), 2)).await;
    /// }
    /// let wrong = host.engine.unlock_with_codes(&login(&bob), ["000000", "000001", "000002"]).await?;
    /// assert!(matches!(wrong, Unlocked::Rejected(Rejected { reason: Reason::WrongCode, .. })));
    ///
    /// // The user waits for three codes in a row.
    /// host.clock.advance(core::time::Duration::from_secs(60));
    /// let codes = app.three_codes_at(host.now());
    /// let codes = [codes[0].as_str(), codes[1].as_str(), codes[2].as_str()];
    /// assert_eq!(host.engine.unlock_with_codes(&login(&bob), codes).await?, Unlocked::Done);
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Errors with code `unavailable`, after which nothing is told about the codes.
    pub async fn unlock_with_codes(&self, login: &Login, codes: [&str; 3]) -> Result<Unlocked, Error> {
        let (account, user) = (login.subject.account().clone(), login.subject.user().clone());
        let (rules, lineage) = (&self.inner.rules, login.subject.lineage());
        rules.check_lineage(&login.subject)?;
        let keys = manage::keys(&account, &user).into_iter().chain(rules.document_keys(lineage)).collect();
        let turn = Turn { account, user, keys };
        let codes = codes.map(Answer::code);
        let settled = self.inner.driver.run(&turn, None, |records, now, draw| {
            let rules = rules.held(lineage, None, records)?;
            unlock(&rules, login, &codes, records, now, draw)
        });
        Ok(settled.await?.value)
    }

    /// Lifts the delays of a user's methods, and the stop of those that too many failures disabled. The counts of
    /// a day and of a month stay: nothing clears them. The count of pushes begins anew.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, subject, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _app) = host.enrol("bob").await;
    /// host.engine.user_unlock(bob.account(), bob.user(), &vouched()).await?;
    ///
    /// let nobody = subject("nobody");
    /// let refused = host.engine.user_unlock(nobody.account(), nobody.user(), &vouched()).await;
    /// assert_eq!(refused.unwrap_err().code(), "unknown_user");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn user_unlock(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::unlock(&subject);
        self.managed(&subject, authority, &[], |_| Ok(intent.clone()), |changing| changing.unlock()).await
    }

    /// Takes every method from a user who lost them, recovery included, and ends what is open. Where the policy
    /// asks for a method the next login is told [`Begin::EnrolmentRequired`](crate::Begin::EnrolmentRequired) and
    /// needs an [`invitation`](Engine::user_invite); elsewhere a first factor is enough until a method is enrolled.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, session, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// // Bob cannot reset himself: giving up the second factor is another change.
    /// let own = Authority::proof(host.prove(&bob, &app, &Intent::reset(&bob)).await, Some(&session(&bob)));
    /// let refused = host.engine.user_reset(bob.account(), bob.user(), &own).await;
    /// assert_eq!(refused.unwrap_err().code(), "not_permitted");
    ///
    /// host.engine.user_reset(bob.account(), bob.user(), &vouched()).await?;
    /// assert!(matches!(host.engine.begin(login(&bob)).await?, Begin::NotRequired(NotRequired::NoMethod)));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::user_unlock`].
    pub async fn user_reset(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::reset(&subject);
        let decide =
            |changing: &mut Changing<'_>| changing.clear(&intent, Kind::UserReset, NoticeKind::Reset);
        let keys = [exemptions_key(subject.account(), subject.user())];
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await
    }

    /// Issues a code that lets a user in once within `life`, at most a day. Hand it over by a way that shows who
    /// takes it. It is asked for where no other method can be, or given instead of another answer
    /// ([`Answer::bypass`](crate::Answer::bypass)); it proves nothing that a change needs.
    ///
    /// ```
    /// # use core::time::Duration;
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, login, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, _lost) = host.enrol("bob").await;
    /// let hour = Duration::from_secs(3600);
    /// let bypass = host.engine.bypass_issue(bob.account(), bob.user(), hour, &vouched()).await?;
    /// let answer = || Response::answer(Answer::bypass(bypass.code.expose_secret()));
    ///
    /// let challenge = host.begin(&bob).await;
    /// let Verify::Verified(grant) = host.engine.verify(&challenge.reference, answer()).await? else { panic!() };
    /// assert_eq!(grant.evidence().aal(), Aal::One);
    /// // It is good once.
    /// let challenge = host.begin(&bob).await;
    /// let again = host.engine.verify(&challenge.reference, answer()).await?;
    /// assert!(matches!(again, Verify::Rejected(_)));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] for a life of no time or of more than a day, and with code `no_method` for a user who is
    /// asked for nothing; otherwise as [`Engine::user_unlock`].
    pub async fn bypass_issue(
        &self,
        account: &AccountId,
        user: &UserId,
        life: Duration,
        authority: &Authority,
    ) -> Result<IssuedBypass, Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::bypass(&subject);
        let decide = |changing: &mut Changing<'_>| changing.bypass(life);
        self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await
    }

    /// Invites a user to enrol a first method of `provider`, within a week: what a ticket needs besides where the
    /// policy asks for a method. By an administrator's proof, the method is confirmed only while they could still
    /// invite: what ends their own open challenges ends their invitations.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let bob = host.add("bob").await;
    /// let issued = host.engine.user_invite(bob.account(), bob.user(), &totp(), &vouched()).await?;
    /// assert!(!format!("{issued:?}").contains(issued.invitation.expose_secret()));
    ///
    /// let made_up = Authority::proof(Proof::from_text("made-up"), None);
    /// let refused = host.engine.user_invite(bob.account(), bob.user(), &totp(), &made_up).await;
    /// assert_eq!(refused.unwrap_err().code(), "step_up_required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`Engine::user_unlock`].
    pub async fn user_invite(
        &self,
        account: &AccountId,
        user: &UserId,
        provider: &ProviderName,
        authority: &Authority,
    ) -> Result<IssuedInvitation, Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::add_method(&subject, provider);
        let decide = |changing: &mut Changing<'_>| changing.invite(provider);
        self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await
    }
}
