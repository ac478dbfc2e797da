//! A service with one user, whose second factor is Duo. Its state is in memory.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mfa::audit::{AuditLog, Page, Query, page};
use mfa::duo::{Duo, UserNames};
use mfa::{
    AccountId, Authority, Begin, Challenge, Channel, Choice, Engine, EnrolmentStarted, FirstFactor,
    FirstFactorKind, Grant, KeyId, KeyRing, Login, MemoryStore, Module, OsEntropy, ProviderName, Rejected,
    RequestFacts, Runtime as _, Scope, StoredDirectory, Subject, TokioRuntime, UserId,
};

use super::{Failure, Peer, say};

/// The route that logins come through.
pub const MODULE: &str = "terminal";
/// The host's id of its own session. A web service has a random one in a cookie.
pub const SESSION: &str = "this-terminal";

/// An engine and the user who signs in.
#[derive(Debug)]
pub struct Service {
    /// The engine, with the provider `duo`.
    pub engine: Engine,
    /// The user.
    pub user: Subject,
    store: Arc<MemoryStore>,
    runtime: TokioRuntime,
}

impl Service {
    /// Opens the service and makes its user.
    ///
    /// # Errors
    /// [`Failure::Usage`] if `user` is no id, or a setting of Duo's is refused: it names the variable.
    pub async fn open(peer: &Peer, user: &str) -> Result<Self, Failure> {
        let user = UserId::parse(user).map_err(|error| Failure::usage(format!("--user: {error}")))?;
        let user = Subject::new(AccountId::parse("acme")?, user);
        let (store, runtime) = (Arc::new(MemoryStore::new()), TokioRuntime::new());
        let mut key = [0; 32];
        mfa::Entropy::fill(&OsEntropy::new(), &mut key)?;
        let ring = KeyRing::new(KeyId::parse("example")?, key)?;
        let directory =
            StoredDirectory::new(Arc::<MemoryStore>::clone(&store), ring.clone(), Arc::new(runtime.clone()));
        directory.put(&user).await?;
        // There is one account, so no two users have the same id.
        let duo = Duo::new(peer.hosts.clone())?.with_names(UserNames::UserId);
        let engine = Engine::builder(
            Arc::<MemoryStore>::clone(&store),
            Arc::new(directory),
            ring,
            Arc::new(runtime.clone()),
        )
        .provider_with(duo, peer.settings())
        .http(Arc::new(peer.client.clone()))
        .build()
        .await
        .map_err(|error| Failure::of_build(error, &peer.variables))?;
        Ok(Self { engine, user, store, runtime })
    }

    /// Begins to set Duo up for the user. A real host asks for a fresh sign-in first.
    ///
    /// # Errors
    /// Those of [`Engine::enrol_begin`].
    pub async fn enrol_begin(&self) -> Result<EnrolmentStarted, Failure> {
        let (duo, host) = (ProviderName::parse("duo")?, Authority::host_vouched("example", "first set-up"));
        let (account, user) = (self.user.account(), self.user.user());
        Ok(self.engine.enrol_begin(account, user, &duo, &Choice::none(), &host).await?)
    }

    /// Begins a sign-in. A real host calls this once it has checked the password; this one has none to check, and
    /// pretends that it was right.
    ///
    /// # Errors
    /// [`Failure::Refused`] where there is no challenge, as when Duo cannot be reached; those of [`Engine::begin`].
    pub async fn begin(&self) -> Result<Challenge, Failure> {
        let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(SESSION));
        let login = Login::new(self.user.clone(), password, Module::parse(MODULE)?).with_request(facts());
        match self.engine.begin(login).await? {
            Begin::Challenge(challenge) => Ok(challenge),
            Begin::Denied(denied) => {
                say(format!("   refused [{}]", denied.reason.code()))?;
                Err(Failure::Refused)
            }
            other => Err(Failure::Failed(format!("nothing was asked: {other:?}"))),
        }
    }

    /// Turns the grant into the host's own session, and says so.
    ///
    /// # Errors
    /// [`Failure::Failed`] if the grant is not this user's; it is spent all the same.
    pub fn sign_in(&self, grant: Grant) -> Result<(), Failure> {
        let (account, user) = (self.user.account(), self.user.user());
        let session = grant.redeem(account, user, Some(SESSION), self.runtime.now())?;
        let amr = session.amr().iter().map(|amr| amr.as_str()).collect::<Vec<_>>().join(" ");
        say(format!("   accepted: {} is signed in (amr {amr}, aal {})", session.user, session.aal().number()))
    }

    /// Prints the audit log, oldest first.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it cannot be read.
    pub async fn print_log(&self) -> Result<(), Failure> {
        let log: &dyn AuditLog = &*self.store;
        let query =
            Query::new(Scope::Account(self.user.account().clone())).ascending().limit(Query::MAX_LIMIT)?;
        let Page { events, .. } = page(log, &query, None, &self.engine.cursor_key()?).await?;
        say("\nThe audit log:")?;
        for event in events {
            let reason = event.reason().or_else(|| event.field("status")).unwrap_or("-");
            let (kind, outcome) = (event.kind().code(), event.outcome().code());
            say(format!("   {}  {kind:<20} {outcome:<8} {reason}", event.at()))?;
        }
        Ok(())
    }
}

/// The facts of a request that the audit log keeps.
fn facts() -> RequestFacts {
    RequestFacts::new().with_ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// What the user may see, and behind it what only the host knows.
#[must_use]
pub fn refusal(rejected: &Rejected) -> String {
    format!("   refused: {} [{}]", rejected.public(), rejected.reason)
}
