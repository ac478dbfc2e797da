//! Forgetting an account: its users, its documents and keys, and the personal values of all its events.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, UserId};

use super::Engine;
use crate::decide::reseal::plain_user;
use crate::driver::Decision;
use crate::plan::Plan;
use crate::record::configurations::{CONFIGURATIONS, configurations_key};
use crate::record::document::{POLICY, SETTINGS, document_key};
use crate::record::{DIRECTORY_USER, KINDS, LOGIN};
use crate::settings::Owner;
use crate::{Account, Authority, Erase, Error, Expect, Forbidden, RecordKind};

/// How many records one commit deletes.
const AT_ONCE: usize = 100;
/// What goes on after an account was forgotten: rows that are the directory's, and of documents the places of their
/// streams, without which an account that comes to the same id would contradict the log.
const LEFT: [RecordKind; 4] = [DIRECTORY_USER, SETTINGS, POLICY, CONFIGURATIONS];

impl Engine {
    /// Deletes everything that is kept of an account and of its users, and erases the personal values of all of its
    /// events. Returns how many users it forgot.
    ///
    /// Take the account out of your directory first: who can still log in begins anew meanwhile, and what they begin
    /// stays. Each user, each document and the API key go in a commit of their own with their event; the last commit
    /// erases the events with an event of its own. Calling it again is safe, and needed if it failed half-way. What is
    /// kept of accounts below stays: forget them, too.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::{TestHost, acme, session, vouched};
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// assert_eq!(host.engine.forget_account(&acme(), &vouched()).await?, 1);
    /// let late = host.answer(&challenge, &app.code_at(host.now())).await;
    /// assert!(matches!(late, Verify::Rejected(Rejected { reason: Reason::NotFound, .. })));
    ///
    /// // No proof is enough: it is the host's to say that an account is no more.
    /// let proof = Authority::proof(Proof::from_text("of something else"), Some(&session(&bob)));
    /// let refused = host.engine.forget_account(&acme(), &proof).await;
    /// assert_eq!(refused.unwrap_err().code(), "not_permitted");
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Forbidden`] for any other authority; [`Error::Invalid`] for `modules` where the account has or had
    /// documents and this engine was built without modules; errors of the store or the directory with code `unavailable`.
    pub async fn forget_account(&self, account: &AccountId, authority: &Authority) -> Result<u64, Error> {
        let Authority::HostVouched { actor, reason } = authority else {
            return Err(Forbidden::NotPermitted.into());
        };
        if self.inner.rules.modules.is_empty() && self.has_documents(account).await? {
            self.keeps_documents()?;
        }
        let mut users: u64 = 0;
        for user in self.users_of(account).await? {
            self.forget_user(account, &user, authority).await?;
            users = users.saturating_add(1);
        }
        let of = Account::new(account.clone());
        gone(self.api_key_remove(&of, authority).await)?;
        let owner = Owner::Account(of);
        if !self.inner.rules.modules.is_empty() {
            gone(self.configurations_clear(&owner, authority).await)?;
            gone(self.settings_delete(&owner, None, authority).await)?;
            gone(self.policy_delete(&owner, None, authority).await)?;
        }
        for kind in KINDS.into_iter().filter(|kind| !LEFT.contains(kind)) {
            self.delete_all_of(account, kind).await?;
        }
        let scope = Scope::Account(account.clone());
        let decide = |_: &_, now, _: &mut _| {
            let mut plan = Plan::default();
            plan.erase(Erase::Everyone);
            let event = EventBuilder::new(scope.clone(), Kind::AccountForgotten, Outcome::Success, now)
                .field("authority", "host_vouched")
                .field("users", users.to_string())
                .actor(actor.clone())
                .reason(reason.clone());
            plan.events([event]);
            Ok(Decision { plan, value: () })
        };
        self.inner.driver.run_in(&scope, None, &[], None, decide).await?;
        Ok(users)
    }

    /// Returns whether an account has or had documents, whatever this engine is built for.
    async fn has_documents(&self, account: &AccountId) -> Result<bool, Error> {
        let scope = Scope::Account(account.clone());
        let [settings, policy] = [SETTINGS, POLICY].map(|kind| document_key(scope.clone(), kind));
        let keys = [settings, policy, configurations_key(scope)];
        let records = self.inner.driver.load(&keys, self.inner.driver.runtime.now()).await?;
        Ok(keys.iter().any(|key| records.stored_version(key).is_some()))
    }

    /// Lists the users of whom there is a record.
    async fn users_of(&self, account: &AccountId) -> Result<Vec<UserId>, Error> {
        let keys = self.records_below(account, LOGIN, &[]).await?;
        Ok(keys.iter().filter_map(|key| plain_user(key).ok()).collect())
    }

    async fn delete_all_of(&self, account: &AccountId, kind: RecordKind) -> Result<(), Error> {
        let scope = Scope::Account(account.clone());
        loop {
            let left = self.records_below(account, kind, &[]).await?;
            if left.is_empty() {
                return Ok(());
            }
            for some in left.chunks(AT_ONCE) {
                let decide = |_: &_, _, _: &mut _| {
                    let mut plan = Plan::default();
                    some.iter().for_each(|key| plan.delete(key.clone(), Expect::Any));
                    Ok(Decision { plan, value: () })
                };
                self.inner.driver.run_in(&scope, None, &[], None, decide).await?;
            }
        }
    }
}

/// What is not there is gone.
fn gone(deleted: Result<(), Error>) -> Result<(), Error> {
    match deleted {
        Err(Error::NoDocument) => Ok(()),
        Err(error) if error.code() == "no_api_key" => Ok(()),
        other => other,
    }
}
