//! Who the users are, for management calls: a trait, and a ready-made directory on the store.

use core::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use audit_model::{AccountId, UserId};

use crate::driver::{Decision, Driver, Read, Turn};
use crate::entropy::CheckedEntropy;
use crate::plan::Plan;
use crate::record::directory::{self, DirectoryUser};
use crate::record::{DIRECTORY_USER, user_key};
use crate::{Account, Ancestor, DirectoryError, Error, Expect, KeyRing, OsEntropy, Runtime, Store, Subject};

/// Resolves the ids that management calls are given. Not used by logins.
///
/// *Contract.* The answer carries the directory's own ids: a directory that folds case or accents returns the
/// one id that the user has, and the engine uses that. `None` means that there is no such user.
/// *What a wrong implementation costs:* a second, unprotected user for each spelling of an id.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// Returns the user with the directory's own ids.
    ///
    /// # Errors
    /// [`DirectoryError`] if the directory cannot answer.
    async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, DirectoryError>;

    /// Returns an account with its ancestors, for API keys, which name an account alone; `None` for one that there is
    /// none of any more, or that is disabled.
    /// *What a wrong implementation costs:* without its ancestors, a module that these have switched off is on for the
    /// account's API key; and the key of an account that is no more is good.
    ///
    /// # Errors
    /// [`DirectoryError`] if the directory cannot answer.
    async fn account(&self, account: &AccountId) -> Result<Option<Account>, DirectoryError>;
}

const _: Option<&dyn Directory> = None;

/// A directory kept in the engine's own store, for hosts without one, for examples and tests.
///
/// It has users and no accounts: whatever account is asked for is there, without ancestors. A host whose accounts have
/// ancestors, and API keys, gives a directory of its own.
#[derive(Debug)]
pub struct StoredDirectory {
    driver: Driver,
}

impl StoredDirectory {
    /// Makes a directory on `store` whose records are authenticated, and the contacts in them sealed, by `ring`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, ring: KeyRing, runtime: Arc<dyn Runtime>) -> Self {
        let entropy = CheckedEntropy::new(Arc::new(OsEntropy::new()));
        Self { driver: Driver::new(store, ring, entropy, runtime) }
    }

    /// Adds or replaces a user.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn put(&self, subject: &Subject) -> Result<(), Error> {
        let key = user_key(subject.account(), DIRECTORY_USER, subject.user());
        let lineage = subject.lineage().iter().map(|a| (a.account.clone(), a.reseller, a.master));
        let mut record = DirectoryUser {
            label: subject.label().to_owned(),
            generation: subject.generation().to_owned(),
            lineage: lineage.collect(),
            contacts: None,
            rank: subject.rank(),
            password_epoch: subject.password_epoch(),
        };
        let (ring, whose) = (&self.driver.ring, (subject.account(), subject.user()));
        let decide = |_: &_, _, draw: &mut _| {
            record.contacts = directory::seal(ring, whose, subject.contacts(), draw)?;
            let mut plan = Plan::default();
            plan.put(key.clone(), Expect::Any, &record, None)?;
            Ok(Decision { plan, value: () })
        };
        self.driver.run(&turn(subject.account(), subject.user()), None, decide).await?;
        Ok(())
    }

    /// Removes a user; one that is not there is fine.
    ///
    /// # Errors
    /// [`Error`] if the store fails.
    pub async fn remove(&self, account: &AccountId, user: &UserId) -> Result<(), Error> {
        let decide = |_: &_, _, _: &mut _| {
            let mut plan = Plan::default();
            plan.delete(user_key(account, DIRECTORY_USER, user), Expect::Any);
            Ok(Decision { plan, value: () })
        };
        self.driver.run(&turn(account, user), None, decide).await?;
        Ok(())
    }
}

#[async_trait]
impl Directory for StoredDirectory {
    async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, DirectoryError> {
        let key = user_key(account, DIRECTORY_USER, user);
        let records = self.driver.load(core::slice::from_ref(&key), self.driver.runtime.now()).await;
        let record = match records.map_err(DirectoryError::new)?.read::<DirectoryUser>(&key) {
            Read::Absent => return Ok(None),
            Read::Live(record, _) => record,
            Read::Refused(problem) => return Err(DirectoryError::new(Error::Unavailable(problem))),
        };
        let contacts = directory::open(&self.driver.ring, (account, user), record.contacts.as_ref());
        let contacts = contacts.map_err(DirectoryError::new)?;
        let ancestor = |(id, reseller, master)| Ancestor::new(id).with_marks(reseller, master);
        let subject = Subject::new(account.clone(), user.clone())
            .with_label(record.label)
            .and_then(|subject| subject.with_generation(record.generation))
            .and_then(|subject| subject.with_lineage(record.lineage.into_iter().map(ancestor).collect()))
            .and_then(|subject| subject.with_contacts(contacts))
            .map(|subject| {
                record
                    .password_epoch
                    .into_iter()
                    .fold(subject.with_rank(record.rank), Subject::with_password_epoch)
            });
        subject.map(Some).map_err(DirectoryError::new)
    }

    async fn account(&self, account: &AccountId) -> Result<Option<Account>, DirectoryError> {
        Ok(Some(Account::new(account.clone())))
    }
}

fn turn(account: &AccountId, user: &UserId) -> Turn {
    Turn { account: account.clone(), user: user.clone(), keys: Vec::new() }
}
