//! The host: it owns the users, the database file and the key, and asks the engine for the second step.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mfa::audit::export::Lines;
use mfa::audit::{Checkpoints, Event, Page, Query, page};
use mfa::recovery::Recovery;
use mfa::sqlite::SqliteStore;
use mfa::totp::Totp;
use mfa::{
    AccountId, Begin, Channel, Directory, Engine, FirstFactor, FirstFactorKind, Intent, Login,
    MethodSelector, Module, ProviderName, RequestFacts, Runtime, Scope, StoredDirectory, Subject, Timestamp,
    TokioRuntime, UserId,
};
use mfa_examples::{Failure, Files, beside, checkpoint_key};

/// The host's id of its own session. A web service has a random one in a cookie.
pub(crate) const SESSION: &str = "this-terminal";

/// A service with one tenant.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) engine: Engine,
    store: SqliteStore,
    directory: Arc<StoredDirectory>,
    runtime: TokioRuntime,
    account: AccountId,
    checkpoint_key: PathBuf,
}

impl Host {
    /// Opens the database and its key, or makes both.
    pub(crate) async fn open(db: &Path) -> Result<Self, Failure> {
        let files = Files::open(db)?;
        let account = AccountId::parse("acme")?;
        let _bob = files.user(&account, &UserId::parse("bob")?).await?;
        let Files { store, ring, .. } = files;
        let runtime = TokioRuntime::new();
        let directory =
            StoredDirectory::new(Arc::new(store.clone()), ring.clone(), Arc::new(runtime.clone()));
        let directory = Arc::new(directory);
        let users = Arc::<StoredDirectory>::clone(&directory);
        let engine = Engine::builder(Arc::new(store.clone()), users, ring, Arc::new(runtime.clone()))
            .provider(Totp::new("MFA example")?)
            .provider(Recovery::new("MFA example")?)
            .build()
            .await?;
        let checkpoint_key = beside(db, ".checkpoint-key");
        Ok(Self { engine, store, directory, runtime, account, checkpoint_key })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    /// Returns whether there is such a user.
    pub(crate) async fn knows(&self, user: &str) -> Result<bool, Failure> {
        Ok(self.directory.subject(&self.account, &UserId::parse(user)?).await?.is_some())
    }

    /// Returns the user, who is made if there is none of that name.
    pub(crate) async fn user(&self, name: &str) -> Result<Subject, Failure> {
        let user = UserId::parse(name)?;
        if let Some(subject) = self.directory.subject(&self.account, &user).await? {
            return Ok(subject);
        }
        let label = format!("{name}@acme.example");
        let subject = Subject::new(self.account.clone(), user).with_label(label)?;
        self.directory.put(&subject).await?;
        Ok(subject)
    }

    /// Begins a sign-in.
    pub(crate) async fn begin(
        &self,
        subject: &Subject,
        method: Option<MethodSelector>,
    ) -> Result<Begin, Failure> {
        let login = method.into_iter().fold(login(subject)?, Login::with_method);
        Ok(self.engine.begin(login).await?)
    }

    /// Begins a challenge that ends in a proof for this one change.
    pub(crate) async fn step_up_begin(&self, subject: &Subject, intent: &Intent) -> Result<Begin, Failure> {
        Ok(self.engine.step_up_begin(login(subject)?, intent).await?)
    }

    /// Returns the newest events of the tenant, newest first, and whether there are older ones.
    pub(crate) async fn newest_events(&self, limit: usize) -> Result<(Vec<Event>, bool), Failure> {
        let query = Query::new(Scope::Account(self.account.clone())).limit(limit)?;
        let Page { events, next, .. } = page(&self.store, &query, None, &self.engine.cursor_key()?).await?;
        Ok((events, next.is_some()))
    }

    /// Fixes the log with a checkpoint, and returns its lines, of which that is the last.
    pub(crate) async fn fixed_log(&self) -> Result<Lines<'_>, Failure> {
        let key = checkpoint_key(&self.checkpoint_key)?;
        self.store.checkpoint(&key, self.now()).await?;
        Ok(Lines::of(&self.store))
    }

    /// Where the key of the checkpoints is.
    pub(crate) fn checkpoint_key(&self) -> &Path {
        &self.checkpoint_key
    }
}

/// A real host states this once it has checked the password; this one has none to check, and pretends that it was right.
pub(crate) fn password() -> FirstFactor {
    FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(SESSION))
}

fn login(subject: &Subject) -> Result<Login, Failure> {
    Ok(Login::new(subject.clone(), password(), Module::parse("terminal")?).with_request(facts()))
}

/// The facts of a request that the audit log keeps.
pub(crate) fn facts() -> RequestFacts {
    RequestFacts::new().with_ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

pub(crate) fn totp() -> Result<ProviderName, Failure> {
    Ok(ProviderName::parse("totp")?)
}
