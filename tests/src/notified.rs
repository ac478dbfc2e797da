//! Users who can be reached, a directory that is not in the store, and what arrives.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use mfa::{
    Account, AccountId, Contact, Directory, DirectoryError, Engine, EngineBuilder, KeyRing, Store, Subject,
    UserId,
};
use mfa_testkit::host::{TestHost, recovery};
use mfa_testkit::inbox::Inbox;

use crate::probe::node_on;
use crate::{ring, subject};

/// A verified e-mail address.
///
/// # Panics
/// If it is none.
#[must_use]
pub fn mail(address: &str) -> Contact {
    Contact::email(address).expect("an address").verified()
}

/// A user with these contacts.
///
/// # Panics
/// If there are too many.
#[must_use]
pub fn reachable(name: &str, contacts: Vec<Contact>) -> Subject {
    subject(name).with_contacts(contacts).expect("contacts")
}

/// Sends what waits, and returns the address and subject of each message that arrived since the last call.
///
/// # Panics
/// If the store fails.
pub async fn arrived(engine: &Engine, inbox: &Inbox) -> Vec<(String, String)> {
    engine.drain_outbox(1_000).await.expect("a drain");
    let messages = inbox.take().into_iter();
    let mut arrived: Vec<_> = messages.map(|m| (m.to, m.subject.unwrap_or(m.body))).collect();
    arrived.sort();
    arrived
}

/// Starts a builder of a node of `host` on another store, which issues recovery codes and sends to `inbox`.
pub fn sending_node_on(host: &TestHost, store: Arc<dyn Store>, inbox: &Inbox) -> EngineBuilder {
    node_on(host, store).provider(recovery()).transport(Arc::new(inbox.clone()))
}

/// A directory in memory, as of a host that keeps its users elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Elsewhere(Arc<Mutex<BTreeMap<(AccountId, UserId), Subject>>>);

impl Elsewhere {
    /// Adds or replaces a user.
    pub fn put(&self, subject: &Subject) {
        let key = (subject.account().clone(), subject.user().clone());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, subject.clone());
    }

    /// Starts a builder of a node of `host` that asks this directory, issues recovery codes and sends to `inbox`.
    pub fn node(&self, host: &TestHost, inbox: &Inbox) -> EngineBuilder {
        self.node_with(host, inbox, ring())
    }

    /// Starts such a builder of a node with another ring.
    ///
    /// # Panics
    /// If the issuer is refused, which it is not.
    pub fn node_with(&self, host: &TestHost, inbox: &Inbox, ring: KeyRing) -> EngineBuilder {
        let store = Arc::new(Arc::clone(&host.store));
        Engine::builder(store, Arc::new(self.clone()), ring, Arc::new(host.clock.clone()))
            .provider(mfa::totp::Totp::new("Example").expect("an issuer"))
            .provider(recovery())
            .transport(Arc::new(inbox.clone()))
            .notices_by_phone(|_| true)
            .danger_test_doubles()
    }
}

#[async_trait]
impl Directory for Elsewhere {
    async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, DirectoryError> {
        let users = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(users.get(&(account.clone(), user.clone())).cloned())
    }

    async fn account(&self, account: &AccountId) -> Result<Option<Account>, DirectoryError> {
        Ok(Some(Account::new(account.clone())))
    }
}
