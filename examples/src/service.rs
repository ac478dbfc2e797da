//! A service with one user, as the examples have it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use mfa::audit::{AuditLog, Page, Query, page};
use mfa::{
    Authority, Begin, Challenge, Channel, Choice, Engine, EnrolmentStarted, FirstFactor, FirstFactorKind,
    Grant, Login, Module, ProviderName, Rejected, RequestFacts, Runtime as _, Scope, Subject, TokioRuntime,
};
use serde_json::Value;

use crate::{Failure, say};

/// The route that logins come through.
const MODULE: &str = "terminal";
/// The host's id of its own session. A web service has a random one in a cookie.
pub const SESSION: &str = "this-terminal";

/// An engine and the user who signs in.
#[derive(Debug)]
pub struct Service {
    /// The engine.
    pub engine: Engine,
    /// The user.
    pub user: Subject,
    log: Arc<dyn AuditLog>,
    runtime: TokioRuntime,
}

impl Service {
    /// Puts a service together.
    #[must_use]
    pub fn new(engine: Engine, user: Subject, log: Arc<dyn AuditLog>, runtime: TokioRuntime) -> Self {
        Self { engine, user, log, runtime }
    }

    /// Begins to set a provider up as the user's first method, for which the password is enough.
    ///
    /// # Errors
    /// Those of [`Engine::enrol_begin`]: a user who has a method needs a proof made with it.
    pub async fn enrol_begin(&self, provider: &str) -> Result<EnrolmentStarted, Failure> {
        let right = Authority::FirstFactor(password());
        let (account, user, provider) =
            (self.user.account(), self.user.user(), ProviderName::parse(provider)?);
        Ok(self.engine.enrol_begin(account, user, &provider, &Choice::none(), &right).await?)
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// [`Failure::Refused`] where there is no challenge, as when a service cannot be reached; those of [`Engine::begin`].
    pub async fn begin(&self) -> Result<Challenge, Failure> {
        let login = Login::new(self.user.clone(), password(), Module::parse(MODULE)?).with_request(facts());
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
        let query =
            Query::new(Scope::Account(self.user.account().clone())).ascending().limit(Query::MAX_LIMIT)?;
        let Page { events, .. } = page(&*self.log, &query, None, &self.engine.cursor_key()?).await?;
        say("\nThe audit log:")?;
        for event in events {
            let reason = event.reason().or_else(|| event.field("status")).unwrap_or("-");
            let (kind, outcome) = (event.kind().code(), event.outcome().code());
            say(format!("   {}  {kind:<20} {outcome:<8} {reason}", event.at()))?;
        }
        Ok(())
    }
}

/// A real host states this once it has checked the password; this one has none to check, and pretends that it was right.
fn password() -> FirstFactor {
    FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(SESSION))
}

/// The facts of a request that the audit log keeps.
fn facts() -> RequestFacts {
    RequestFacts::new().with_ip(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// Returns a text of what a provider wants shown; nothing where it has none of that name.
#[must_use]
pub fn shown<'a>(prompt: &'a Value, name: &str) -> &'a str {
    prompt.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// What the user may see, and behind it what only the host knows.
#[must_use]
pub fn refusal(rejected: &Rejected) -> String {
    format!("   refused: {} [{}]", rejected.public(), rejected.reason)
}
