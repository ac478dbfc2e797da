//! What a host would have: a table of accounts and a table of users, kept in the engine's store so that
//! every process on it sees the same rows.

use std::sync::Arc;

use async_trait::async_trait;
use mfa::{
    Account, AccountId, Ancestor, Commit, Contact, Directory, DirectoryError, Entropy, Expect, Key, KeyRing,
    OsEntropy, RecordKind, Runtime, Scope, Store, StoreError, StoredDirectory, Subject, UserId, Version,
    Write,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;

const ACCOUNT: RecordKind = RecordKind::new("shim_account");
/// The rows of [`StoredDirectory`].
const DIRECTORY_USER: RecordKind = RecordKind::new("directory_user");

/// The host's tables. As a [`Directory`] it gives each user the lineage that the accounts have now.
#[derive(Debug)]
pub(crate) struct Host {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    users: StoredDirectory,
}

#[derive(Debug, Serialize, Deserialize)]
struct AccountRow {
    parent: Option<AccountId>,
    reseller: bool,
    master: bool,
    enabled: bool,
}

impl Node {
    pub(crate) async fn account_put(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        if input.text("account")? == "system" {
            let message = "`system` means the system scope on this wire and cannot be an account";
            return Err(Failure::bad_request(message).at("account"));
        }
        let account = input.account()?;
        let row = AccountRow {
            parent: input.optional_parsed("parent", AccountId::parse)?,
            reseller: input.flag("reseller")?,
            master: input.flag("master")?,
            enabled: input.optional_flag("enabled")?.unwrap_or(true),
        };
        self.host.put_account(&account, &row).await?;
        Ok(json!({}))
    }

    pub(crate) async fn account_forget(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let authority = self.authority(input, "account.forget")?;
        let account = input.account()?;
        self.host.check_account(&account).await?;
        // Its users' rows go first, so that none of them begins anew, and its own last: a crash before it leaves an
        // account that can be forgotten again.
        self.host.remove_users(&account).await?;
        let users = self.engine.forget_account(&account, &authority).await?;
        self.host.remove_account(&account).await?;
        Ok(json!({ "users": users }))
    }

    pub(crate) async fn user_put(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        let reason = input.optional_text("api_account")?;
        let exemptions = reason.map(|reason| self.terms_of_api_account(reason)).transpose()?;
        input.flag("email_deliverable")?;
        let rank = input.optional_whole("rank")?.unwrap_or(0);
        let rank = u8::try_from(rank).map_err(|_| input.mistyped("rank", "a whole number from 0 to 255"))?;
        let password_epoch = input.optional_whole("password_epoch")?.unwrap_or(0);
        let subject =
            Subject::of(&Account::new(account), user).with_rank(rank).with_password_epoch(password_epoch);
        let mut subject = subject.with_contacts(contacts(input)?)?;
        if let Some(email) = input.optional_text("email")? {
            subject = subject.with_label(email).map_err(|error| Failure::from(error).at("email"))?;
        }
        if let Some(generation) = input.optional_text("generation")? {
            subject = subject.with_generation(generation)?;
        }
        self.host.put_user(&subject).await?;
        self.exempt(&subject, exemptions.unwrap_or_default()).await?;
        Ok(json!({}))
    }
}

impl Host {
    pub(crate) fn new(store: Arc<dyn Store>, ring: KeyRing, runtime: Arc<dyn Runtime>) -> Self {
        let users = StoredDirectory::new(Arc::clone(&store), ring, Arc::clone(&runtime));
        Self { store, runtime, users }
    }

    /// Fails with `unknown_user` unless the account is known.
    pub(crate) async fn check_account(&self, account: &AccountId) -> Result<(), Failure> {
        self.account(account).await?.map(|_| ()).ok_or_else(Failure::unknown_user)
    }

    /// Returns the account with its parents; fails with `unknown_user` unless it is known.
    pub(crate) async fn known_account(&self, account: &AccountId) -> Result<Account, Failure> {
        let row = self.account(account).await?.ok_or_else(Failure::unknown_user)?;
        Ok(Account::new(account.clone()).with_lineage(self.lineage_from(account, &row).await?)?)
    }

    pub(crate) async fn remove_user(&self, account: &AccountId, user: &UserId) -> Result<(), Failure> {
        Ok(self.users.remove(account, user).await?)
    }

    async fn remove_users(&self, account: &AccountId) -> Result<(), Failure> {
        let scope = Scope::Account(account.clone());
        loop {
            let rows = self.store.list(&scope, DIRECTORY_USER, &[], None, 100, self.runtime.now()).await?;
            if rows.is_empty() {
                return Ok(());
            }
            for row in rows {
                self.write(account, Write::Delete { key: row.key, expect: Expect::Any }).await?;
            }
        }
    }

    async fn remove_account(&self, account: &AccountId) -> Result<(), Failure> {
        self.write(account, Write::Delete { key: key(account), expect: Expect::Any }).await
    }

    async fn put_user(&self, subject: &Subject) -> Result<(), Failure> {
        self.check_account(subject.account()).await?;
        Ok(self.users.put(subject).await?)
    }

    async fn put_account(&self, account: &AccountId, row: &AccountRow) -> Result<(), Failure> {
        // Judged by the library's own rules for a lineage before anything is kept.
        let lineage = self.lineage_from(account, row).await?;
        Account::new(account.clone())
            .with_lineage(lineage)
            .map_err(|error| Failure::from(error).on("parent"))?;

        let body = serde_json::to_vec(row).map_err(|_| StoreError::Corrupt("an account"))?;
        self.write(account, Write::Put { key: key(account), expect: Expect::Any, body, expires_at: None })
            .await
    }

    async fn write(&self, account: &AccountId, write: Write) -> Result<(), Failure> {
        let mut version = [0; 16];
        OsEntropy::new().fill(&mut version)?;
        let scope = Scope::Account(account.clone());
        let mut commit = Commit::new(scope, Version::from_bytes(version), self.runtime.now());
        commit.writes.push(write);
        // `Any` expects nothing, so nothing can conflict.
        let _ = self.store.commit(commit).await?;
        Ok(())
    }

    async fn account(&self, account: &AccountId) -> Result<Option<AccountRow>, StoreError> {
        let records = self.store.get(&[key(account)], self.runtime.now()).await?;
        let Some(record) = records.into_iter().next().flatten() else { return Ok(None) };
        serde_json::from_slice(&record.body).map(Some).map_err(|_| StoreError::Corrupt("an account"))
    }

    /// Walks from `account` with `row` to the top, or to the first account that comes a second time.
    async fn lineage_from(&self, account: &AccountId, row: &AccountRow) -> Result<Vec<Ancestor>, Failure> {
        let marked =
            |id: &AccountId, row: &AccountRow| Ancestor::new(id.clone()).with_marks(row.reseller, row.master);
        let mut lineage = vec![marked(account, row)];
        let mut parent = row.parent.clone();
        while let Some(id) = parent {
            let seen = lineage.iter().any(|ancestor| ancestor.account == id);
            if seen {
                lineage.push(Ancestor::new(id));
                break;
            }
            let unknown = || Failure::unknown_user().at("parent");
            let row = self.account(&id).await?.ok_or_else(unknown)?;
            lineage.push(marked(&id, &row));
            parent = row.parent;
        }
        Ok(lineage)
    }
}

#[async_trait]
impl Directory for Host {
    async fn subject(&self, account: &AccountId, user: &UserId) -> Result<Option<Subject>, DirectoryError> {
        let Some(subject) = self.users.subject(account, user).await? else { return Ok(None) };
        let row = self.account(account).await.map_err(DirectoryError::new)?;
        let Some(row) = row else { return Ok(None) };
        let lost = |_| DirectoryError::new(StoreError::Corrupt("an account's parents"));
        let lineage = self.lineage_from(account, &row).await.map_err(lost)?;
        subject.with_lineage(lineage).map(Some).map_err(DirectoryError::new)
    }

    async fn account(&self, account: &AccountId) -> Result<Option<Account>, DirectoryError> {
        let row = Self::account(self, account).await.map_err(DirectoryError::new)?;
        if row.is_none_or(|row| !row.enabled) {
            return Ok(None);
        }
        self.known_account(account)
            .await
            .map(Some)
            .map_err(|_| DirectoryError::new(StoreError::Corrupt("an account")))
    }
}

fn contacts(input: &Input<'_>) -> Result<Vec<Contact>, Failure> {
    let mut contacts = Vec::new();
    for (field, verified) in [("email", "email_verified"), ("mobile", "mobile_verified")] {
        let is_verified = input.flag(verified)?;
        let Some(address) = input.optional_text(field)? else { continue };
        let contact = if field == "email" { Contact::email(address) } else { Contact::phone(address) };
        let contact = contact.map_err(|error| Failure::from(error).on(field))?;
        contacts.push(if is_verified { contact.verified() } else { contact });
    }
    Ok(contacts)
}

fn key(account: &AccountId) -> Key {
    Key::new(Scope::Account(account.clone()), ACCOUNT, *b"")
}
