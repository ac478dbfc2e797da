//! What a host does after a backup came back.

use audit_model::{AccountId, EventBuilder, Kind, Outcome, Scope, UserId};

use super::Engine;
use crate::decide::barrier;
use crate::driver::Turn;
use crate::record::device::slot_keys;
use crate::record::{INVITATION, LOGIN, PROOF, TICKET, VAULT, user_key};
use crate::{Commit, Committed, Error, Expect, Key, RecordKind, Subject, Version, Write};

/// How many records one read lists.
const PAGE: usize = 100;

impl Engine {
    /// Makes a store safe that came back from a backup, before it serves logins: what was used since must not work
    /// again. Ends every open challenge, proof, ticket and invitation; refuses codes that were possible before now;
    /// removes recovery sets, whose users are told to have new ones issued, bypass codes, and devices that are not
    /// banned. API keys are refused until they are issued anew: one that was reset since would be good again.
    /// Exemptions end, for one that was ended since would be there again. Returns how many users it went through.
    /// Calling it again is safe, and needed if it failed half-way.
    ///
    /// What was changed since the backup and is gone, such as a method that was removed, no library can know: the
    /// recipe for a restored backup says what to look at.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let (bob, app) = host.enrol("bob").await;
    /// let challenge = host.begin(&bob).await;
    /// assert_eq!(host.engine.restore_barrier("ops", "backup of noon restored").await?, 1);
    ///
    /// let refused = host.answer(&challenge, &app.code_at(host.now())).await;
    /// assert!(matches!(refused, Verify::Rejected(Rejected { reason: Reason::Superseded, .. })));
    /// # Ok::<(), Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::Invalid`] with code `not_registered` if a user has a method of a provider that this process does not
    /// know: call it where every provider is registered. [`Error::KeyRing`] if a user's record is under a key that this
    /// process does not have: call it where every key is. Errors with code `unavailable`; call it again.
    pub async fn restore_barrier(&self, actor: &str, reason: &str) -> Result<u64, Error> {
        let mut users: u64 = 0;
        let mut after: Option<Key> = None;
        while let Some(page) = self.next_page(LOGIN, &mut after).await? {
            for record in &page {
                let Scope::Account(account) = &record.key.scope else { continue };
                let user = core::str::from_utf8(&record.key.id).ok().and_then(|id| UserId::parse(id).ok());
                let Some(user) = user else { continue };
                self.bar(account, &user).await?;
                users = users.saturating_add(1);
            }
        }
        for kind in [PROOF, TICKET, INVITATION] {
            self.delete_all(kind).await?;
        }
        self.void_api_keys().await?;
        self.void_exemptions().await?;
        self.say(Kind::BackupRestored, actor, reason, users).await?;
        Ok(users)
    }

    async fn bar(&self, account: &AccountId, user: &UserId) -> Result<(), Error> {
        let (driver, rules) = (&self.inner.driver, &self.inner.rules);
        // A user whom the directory does not have any more is told nothing.
        let subject = self.inner.directory.subject(account, user).await?;
        let subject = subject.unwrap_or_else(|| Subject::new(account.clone(), user.clone()));
        let mut keys = vec![user_key(account, LOGIN, user), user_key(account, VAULT, user)];
        keys.extend(slot_keys(account, user));
        let turn = Turn { account: account.clone(), user: user.clone(), keys };
        let whose = (account, user);
        driver
            .run(&turn, None, |records, now, draw| {
                barrier::bar(rules, whose, subject.contacts(), records, now, draw)
            })
            .await?;
        Ok(())
    }

    async fn delete_all(&self, kind: RecordKind) -> Result<(), Error> {
        let driver = &self.inner.driver;
        loop {
            let now = driver.runtime.now();
            let page = driver.store.scan(kind, None, PAGE, now).await?;
            if page.is_empty() {
                return Ok(());
            }
            for record in page {
                let version = Version::from_bytes(driver.entropy.draw().take()?);
                let mut commit = Commit::new(record.key.scope.clone(), version, now);
                commit.writes.push(Write::Delete { key: record.key, expect: Expect::Any });
                // One that is gone already is fine.
                let (Committed::Done | Committed::Conflict(_)) = driver.store.commit(commit).await?;
            }
        }
    }

    /// Writes an event about the whole system.
    async fn say(&self, kind: Kind, actor: &str, reason: &str, users: u64) -> Result<(), Error> {
        let driver = &self.inner.driver;
        let now = driver.runtime.now();
        let event = EventBuilder::new(Scope::System, kind, Outcome::Success, now)
            .actor(actor.to_owned())
            .reason(reason.to_owned())
            .field("users", users.to_string());
        driver.say(Scope::System, event, now).await
    }
}
