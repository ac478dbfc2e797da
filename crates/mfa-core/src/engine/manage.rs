//! The calls that manage a user's methods.

use std::borrow::Cow;

use audit_model::{AccountId, Kind, Scope, UserId};

use super::Engine;
use super::enrol::turn;
use crate::decide::authorise::note_refused;
use crate::decide::forget::sweep;
use crate::decide::identity::held_by;
use crate::decide::manage::{Changing, Managed};
use crate::decide::permit::Permit;
use crate::decide::{manage, select};
use crate::driver::{Decision, Records, Turn};
use crate::record::exemptions::exemptions_key;
use crate::record::{DEVICE, INVITATION, MESSAGE, NOTICE, PENDING, PROOF, TICKET, users_prefix};
use crate::{
    Authority, EnrolmentId, Error, Forbidden, Intent, Key, Method, MethodSelector, NoticeKind, Operation,
    RecordKind, Subject,
};

/// How many records of a user one read lists.
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
        manage::list(&self.inner.rules, &records, subject.account(), subject.user())
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
    /// [`Error::Forbidden`], which is also what is told of a method that the user has not, to whoever shows no right to
    /// change it; [`Error::Invalid`] with code `unknown_method` or `not_a_factor`; [`Error::UnknownUser`]; errors with
    /// code `unavailable`.
    pub async fn method_prefer(
        &self,
        account: &AccountId,
        user: &UserId,
        method: &MethodSelector,
        authority: &Authority,
    ) -> Result<EnrolmentId, Error> {
        let subject = self.subject(account, user).await?;
        let intent = |records: &Records| named(records, &subject, method, Intent::prefer_method);
        self.managed(&subject, authority, &[], intent, |changing| changing.prefer(method)).await
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
        let subject = self.subject(account, user).await?;
        let intent = |records: &Records| named(records, &subject, method, Intent::remove_method);
        self.managed(&subject, authority, &[], intent, |changing| changing.remove(method)).await
    }

    /// Gives up the second factor of a user: every method, recovery included. With the user's own proof, unless
    /// the policy asks every user for a method; by an administrator it is a reset.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, login, session, subject, totp, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let proof = host.prove(&bob, &app, &Intent::disable(&bob)).await;
    /// host.engine.disable(bob.account(), bob.user(), &Authority::proof(proof.clone(), Some(&session(&bob)))).await?;
    /// assert!(host.engine.methods(bob.account(), bob.user()).await?.is_empty());
    ///
    /// // A proof is good once.
    /// let again = Authority::proof(proof, Some(&session(&bob)));
    /// let refused = host.engine.disable(bob.account(), bob.user(), &again).await;
    /// assert_eq!(refused.unwrap_err().code(), "step_up_required");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`]; [`Error::UnknownUser`]; errors with code `unavailable`.
    pub async fn disable(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let subject = self.subject(account, user).await?;
        let intent = Intent::disable(&subject);
        let decide =
            |changing: &mut Changing<'_>| changing.clear(&intent, Kind::MfaDisabled, NoticeKind::Disabled);
        self.managed(&subject, authority, &[], |_| Ok(intent.clone()), decide).await
    }

    /// Ends every open challenge of a user, with the proofs, tickets and pending enrolments: for a host that
    /// disables a user or changes a password. Only the host's own word does it.
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
    /// [`Error::Forbidden`] for any other authority; [`Error::UnknownUser`], or errors with code `unavailable`.
    pub async fn revoke(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        let Authority::HostVouched { actor, reason } = authority else {
            return Err(Forbidden::NotPermitted.into());
        };
        let subject = self.subject(account, user).await?;
        let turn = turn(&subject, manage::keys(subject.account(), subject.user()));
        let tickets = self.records_of(subject.account(), subject.user(), TICKET).await?;
        let decide = |records: &Records, now, _: &mut _| {
            manage::revoke(&subject, (actor, reason), &tickets, records, now)
        };
        self.inner.driver.run(&turn, None, decide).await?;
        Ok(())
    }

    /// Deletes everything that is kept of a user and erases the personal values of the user's events, in one
    /// commit with its own event. The user need not be in the directory any more; the ids of one who is not are
    /// taken as they are given: give the ones the directory had. An administrator of an account above can forget
    /// only whom the directory still knows. Notices that wait are not sent any more. What is begun for the user
    /// while this runs ends with it, or has to be begun again. Records of challenges that had ended before stay until
    /// they expire, within a day, and nothing is accepted by them.
    ///
    /// What other services keep of the user stays there. Where a provider knows users by name, as `duo` does, the next
    /// person with the same id inherits the devices under that name: delete the user at the service, too.
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
    /// [`Error::Forbidden`]; errors of the store with code `unavailable`.
    pub async fn forget_user(
        &self,
        account: &AccountId,
        user: &UserId,
        authority: &Authority,
    ) -> Result<(), Error> {
        self.check_handles(authority)?;
        let known = self.inner.directory.subject(account, user).await?;
        let subject = known.unwrap_or_else(|| Subject::new(account.clone(), user.clone()));
        let (account, user) = (subject.account(), subject.user());
        let listed = self.listed(account, user).await?;
        let intent = Intent::forget(&subject);
        let keys = crate::decide::forget::keys(account, user);
        let decide = |changing: &mut Changing<'_>| changing.forget(&listed);
        let claimed = self.identities_of_setups(&subject, &listed).await?;
        self.managed(&subject, authority, &keys, |_| Ok(intent.clone()), decide).await?;
        for identity in &claimed {
            self.drop_identity(&subject, identity).await;
        }
        self.sweep(account, user).await
    }

    /// Deletes what others began for a user between the listing of the records and their deletion. All of it is
    /// there by now: what comes later was begun for a user who was forgotten already.
    async fn sweep(&self, account: &AccountId, user: &UserId) -> Result<(), Error> {
        let left = self.listed(account, user).await?;
        let keys = vec![exemptions_key(account, user)];
        let turn = Turn { account: account.clone(), user: user.clone(), keys };
        let decide = |records: &_, _, _: &mut _| Ok(sweep(&left, &turn.keys, records));
        self.inner.driver.run(&turn, None, decide).await?;
        Ok(())
    }

    /// Lists the records of the kinds of which a user may have several.
    async fn listed(&self, account: &AccountId, user: &UserId) -> Result<Vec<Key>, Error> {
        let mut listed = Vec::new();
        for kind in [PENDING, PROOF, TICKET, INVITATION, NOTICE, MESSAGE, DEVICE] {
            listed.extend(self.records_of(account, user, kind).await?);
        }
        Ok(listed)
    }

    /// Refuses handles that this ring did not issue, before a store is read for them.
    pub(super) fn check_handles(&self, authority: &Authority) -> Result<(), Error> {
        Permit::read(self.ring(), authority)?;
        Ok(())
    }

    /// Decides about a change to `subject`. A proof of another account is spent there first, in a commit of its
    /// own: a crash in between leaves it spent and nothing changed.
    pub(super) async fn managed<T: Send>(
        &self,
        subject: &Subject,
        authority: &Authority,
        keys: &[Key],
        intent: impl Fn(&Records) -> Result<Intent, Error> + Send + Sync,
        decide: impl FnMut(&mut Changing<'_>) -> Managed<T> + Send,
    ) -> Result<T, Error> {
        let (permit, turn) = self.permitted(subject, authority, keys, &intent).await?;
        self.manage_by(subject, &permit, &turn, &intent, decide).await
    }

    /// Reads an authority, for a change that reads `keys` besides. A proof of another account is spent.
    pub(super) async fn permitted<'a>(
        &self,
        subject: &Subject,
        authority: &'a Authority,
        keys: &[Key],
        intent: impl Fn(&Records) -> Result<Intent, Error> + Send + Sync,
    ) -> Result<(Permit<'a>, Turn), Error> {
        let mut permit = Permit::read(self.ring(), authority)?;
        let mut turn = turn(subject, manage::keys(subject.account(), subject.user()));
        let documents = self.inner.rules.document_keys(subject.lineage());
        let permitted = permit.keys(subject.account(), subject.user())?;
        for key in keys.iter().cloned().chain(permitted).chain(documents) {
            if !turn.keys.contains(&key) {
                turn.keys.push(key);
            }
        }
        self.spend_elsewhere(&mut permit, subject, &turn.keys, &intent).await?;
        Ok((permit, turn))
    }

    /// Decides about a change to `subject` under a permit, and commits it.
    pub(super) async fn manage_by<T: Send>(
        &self,
        subject: &Subject,
        permit: &Permit<'_>,
        turn: &Turn,
        intent: impl Fn(&Records) -> Result<Intent, Error> + Send + Sync,
        mut decide: impl FnMut(&mut Changing<'_>) -> Managed<T> + Send,
    ) -> Result<T, Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        let is_host = matches!(permit.authority, Authority::HostVouched { .. });
        let mut had = Vec::new();
        let settled = driver.run(turn, None, |records, now, draw| {
            let held = match rules.held(subject.lineage(), None, records) {
                // The host forgets a user also where a document cannot be read any more: none says that it may not.
                Err(_) if is_host && intent(records)?.operation() == Operation::Forget => {
                    Cow::Borrowed(rules)
                }
                held => held?,
            };
            let rules = &*held;
            had = held_by(rules, subject, records);
            decide(&mut Changing { rules, subject, permit, records, now, draw })
        });
        let settled = settled.await?;
        if !had.is_empty() {
            let has = match rules.held(subject.lineage(), None, &settled.records) {
                Ok(rules) => held_by(&rules, subject, &settled.records),
                Err(_) => Vec::new(),
            };
            had.retain(|identity| !has.contains(identity));
        }
        for identity in &had {
            self.drop_identity(subject, identity).await;
        }
        Ok(settled.value?)
    }

    /// Spends a proof of another account, if it is one.
    pub(super) async fn spend_elsewhere(
        &self,
        permit: &mut Permit<'_>,
        subject: &Subject,
        keys: &[Key],
        intent: impl Fn(&Records) -> Result<Intent, Error> + Send + Sync,
    ) -> Result<(), Error> {
        let Some((account, user)) = permit.elsewhere(subject.account())? else { return Ok(()) };
        let driver = &self.inner.driver;
        let intent = intent(&driver.load(keys, driver.runtime.now()).await?)?;
        let own = Turn { keys: permit.keys(&account, &user)?, account, user };
        let settled = driver.run(&own, None, |records, now, _| {
            manage::spend(&self.inner.rules, permit, &intent, subject, &own, records, now)
        });
        match settled.await?.value {
            Ok(proof) => permit.set_spent(proof),
            Err(why) => {
                // In the account of the one who was to be changed: there it is looked for.
                let refused = |_: &_, now, _: &mut _| {
                    let plan = note_refused(&intent, permit, why, now);
                    Ok(Decision { plan, value: () })
                };
                driver.run(&turn(subject, Vec::new()), None, refused).await?;
                return Err(why.into());
            }
        }
        Ok(())
    }

    /// Lists the records of a kind of which a user may have several.
    pub(super) async fn records_of(
        &self,
        account: &AccountId,
        user: &UserId,
        kind: RecordKind,
    ) -> Result<Vec<Key>, Error> {
        self.records_below(account, kind, &users_prefix(user)).await
    }

    /// Lists an account's records of a kind whose ids begin so.
    pub(super) async fn records_below(
        &self,
        account: &AccountId,
        kind: RecordKind,
        prefix: &[u8],
    ) -> Result<Vec<Key>, Error> {
        let driver = &self.inner.driver;
        let (scope, now) = (Scope::Account(account.clone()), driver.runtime.now());
        let mut keys: Vec<Key> = Vec::new();
        loop {
            let after = keys.last().map(|key| key.id.to_vec());
            let page = driver.store.list(&scope, kind, prefix, after.as_deref(), PAGE, now).await?;
            let full = page.len() == PAGE;
            keys.extend(page.into_iter().map(|record| record.key));
            if !full {
                return Ok(keys);
            }
        }
    }
}

/// Says what change to the named method is meant. For none of the user's it is one that nobody has a proof for: what they
/// have is not told before it is known who asks.
fn named(
    records: &Records,
    subject: &Subject,
    method: &MethodSelector,
    intent: fn(&Subject, EnrolmentId) -> Intent,
) -> Result<Intent, Error> {
    let read = crate::decide::enrol::read_login(records, subject.account(), subject.user())?;
    let found = read.as_ref().and_then(|(login, _)| select(login, method));
    Ok(intent(subject, found.map_or(manage::NOBODYS, |enrolment| enrolment.id)))
}
