//! The facade: every call a host makes.

mod act;
mod admit;
mod api_key;
mod api_key_hint;
mod builder;
mod configuration;
mod destination;
mod devices;
mod document;
mod enrol;
mod exemption;
mod forget;
mod identity;
mod keys;
mod link;
mod login;
mod manage;
mod message;
mod outbox;
mod prefix;
mod recovery;
mod rescue;
mod step;
mod upkeep;

use core::fmt;
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use audit_model::CursorKey;

use self::admit::{FreeEffects, SlowAnswers};
use self::prefix::PrefixRule;
use crate::decide::Rules;
use crate::driver::Driver;
use crate::{Contact, Directory, Error, HttpClient, KeyRing, Message, Policy, Transport};

pub use builder::{BuildError, EngineBuilder};

/// How long an effect may take. Past it, its result counts as missing.
pub(crate) const EFFECT_DEADLINE: Duration = Duration::from_secs(30);

/// The host's rule of telephone numbers.
type PhoneRule = dyn Fn(&Contact) -> bool + Send + Sync;

/// What an account's messages of a day may cost, in units of the host.
struct AccountLimit {
    cost: u32,
    price: Box<dyn Fn(&Message) -> u32 + Send + Sync>,
}

/// The second step of every login of a host. Cheap to clone; use one per process.
///
/// Every call loads, decides, commits and only then answers. Dropping the future of a call is a crash at
/// that point: what was committed stays, nothing is half done, and no charge is lost. A call that returns
/// an [`Error`] has judged nothing that it tells; right and wrong answers get the same error.
///
/// ```
/// # futures::executor::block_on(async {
/// use std::sync::Arc;
/// use mfa_core::*;
/// use mfa_testkit::runtime::VirtualRuntime;
/// let store = Arc::new(MemoryStore::new());
/// let ring = KeyRing::new(KeyId::parse("k1")?, [7; 32])?;
/// let runtime = Arc::new(VirtualRuntime::new(Timestamp::from_unix_seconds(1_800_000_000)?));
/// let directory = StoredDirectory::new(store.clone(), ring.clone(), runtime.clone());
/// let engine = Engine::builder(store, Arc::new(directory), ring, runtime).danger_test_doubles().build().await?;
///
/// // The host has checked a password. Bob has no second factor, and the policy does not ask for one.
/// let bob = Subject::new(AccountId::parse("acme")?, UserId::parse("bob")?);
/// let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some("session-1"));
/// let begun = engine.begin(Login::new(bob, first, Module::parse("user_auth")?)).await?;
/// assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)));
///
/// // An answer to a challenge that nobody began is refused like any wrong one.
/// let verified = engine.verify(Reference::from_text("made-up"), Response::code("123456")).await?;
/// assert!(matches!(verified, Verify::Rejected(Rejected { reason: Reason::NotFound, .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    driver: Driver,
    rules: Rules,
    directory: Arc<dyn Directory>,
    http: Option<Arc<dyn HttpClient>>,
    transport: Option<Arc<dyn Transport>>,
    /// Which telephone numbers notices go to: none without it.
    notices_by_phone: Option<Box<PhoneRule>>,
    /// Where the host set it.
    account_limit: Option<AccountLimit>,
    prefix_rule: Option<PrefixRule>,
    slow_answers: SlowAnswers,
    free_effects: FreeEffects,
    dangers: Vec<&'static str>,
    unregistered: Vec<String>,
    /// The minute in which an unknown API key was last written down.
    unknown_key_noted: AtomicU64,
}

impl Engine {
    /// Returns what of this engine's set-up weakens it, its providers, client and transport included: empty for a host
    /// that chose no such value.
    #[must_use]
    pub fn dangers(&self) -> &[&'static str] {
        &self.inner.dangers
    }

    /// Returns the providers that the policy of the host's code names, as offered or always offered, and that are not
    /// registered with this engine: misspelt ones among them. A user whose method is such a one is denied; whoever must
    /// enrol is not offered it. It is no error, since a node may know fewer providers than others do; where each node is
    /// to know all of them, refuse to start. The event `engine_opened` says the same.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// # let host = TestHost::in_memory().await;
    /// let policy = |offered| Policy::recommended().with_document(&serde_json::json!({"offered": offered})).unwrap();
    /// let engine = host.node().policy(policy(["totp"])).build().await?;
    /// assert!(engine.unregistered().is_empty());
    /// let misspelt = host.node().policy(policy(["totpp"])).build().await?;
    /// assert_eq!(misspelt.unregistered(), ["totpp"]);
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    #[must_use]
    pub fn unregistered(&self) -> &[String] {
        &self.inner.unregistered
    }

    /// Returns the policy that logins are judged by.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.inner.rules.policy
    }

    /// Returns the key that authenticates the cursors of the audit log.
    ///
    /// # Errors
    /// [`Error::KeyRing`] never happens for an engine that was built.
    pub fn cursor_key(&self) -> Result<CursorKey, Error> {
        Ok(self.ring().cursor_key()?)
    }

    fn ring(&self) -> &KeyRing {
        &self.inner.rules.ring
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("store", &self.inner.driver.store)
            .field("providers", &self.inner.rules.providers.keys())
            .field("dangers", &self.inner.dangers)
            .finish_non_exhaustive()
    }
}
