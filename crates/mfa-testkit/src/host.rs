//! A host in miniature: an engine with TOTP on a store, a virtual clock, users and their authenticator apps.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a test ends where its host cannot go on"
)]

use core::time::Duration;
use std::sync::Arc;

use audit_model::{AccountId, AuditLog, Event, Query, Scope, Timestamp, UserId};
use mfa_core::settings::Modules;
use mfa_core::{
    Account, Answer, Authority, Begin, Challenge, Channel, Choice, Contact, Engine, EngineBuilder,
    EnrolConfirm, FirstFactor, FirstFactorKind, Intent, KeyId, KeyRing, Login, MemoryStore, Module, Proof,
    ProviderName, RequestFacts, Response, Runtime, Store, StoredDirectory, Subject, Verify,
};
use mfa_recovery::{Cost, Recovery};
use mfa_totp::Totp;

use crate::authenticator::SoftAuthenticator;
use crate::entropy::SeededEntropy;
use crate::inbox::Inbox;
use crate::runtime::VirtualRuntime;

/// The time every host begins at, in Unix seconds: the first of a TOTP step.
pub const START: u64 = 1_800_000_000;
/// One TOTP step.
pub const STEP: Duration = Duration::from_secs(30);

/// A store with its log.
pub trait TestStore: Store + AuditLog {}
impl<T: Store + AuditLog> TestStore for T {}

/// A host for tests, of one account, `acme`. It panics where a test could not go on.
///
/// ```
/// use mfa_core::{Reason, Rejected, Verify};
/// use mfa_testkit::host::TestHost;
/// # futures::executor::block_on(async {
/// let host = TestHost::in_memory().await;
/// let (bob, app) = host.enrol("bob").await;
/// let challenge = host.begin(&bob).await;
/// assert!(matches!(host.answer(&challenge, &app.code_at(host.now())).await, Verify::Verified(_)));
/// // The challenge is used up now.
/// let again = host.answer(&challenge, &app.code_at(host.now())).await;
/// assert!(matches!(again, Verify::Rejected(Rejected { reason: Reason::AlreadyUsed, .. })));
/// # });
/// ```
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "tests take it apart")]
pub struct TestHost {
    /// The first node.
    pub engine: Engine,
    /// The clock of the first node.
    pub clock: VirtualRuntime,
    /// Who the users are.
    pub directory: Arc<StoredDirectory>,
    /// The store, for reading the log and for further nodes.
    pub store: Arc<dyn TestStore>,
    /// The ring of every node.
    pub ring: KeyRing,
}

impl TestHost {
    /// Makes a host whose store is in memory.
    pub async fn in_memory() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    /// Makes a host on `store`.
    pub async fn on(store: Arc<dyn TestStore>) -> Self {
        let clock = VirtualRuntime::new(start());
        let ring = ring();
        let directory = StoredDirectory::new(as_store(&store), ring.clone(), Arc::new(clock.clone()));
        let directory = Arc::new(directory);
        let engine = builder(&store, &directory, &clock, &ring).build().await.expect("an engine");
        Self { engine, clock, directory, store, ring }
    }

    /// Makes a host in memory whose accounts may have settings for `modules`, and policies.
    pub async fn with_modules(modules: Modules) -> Self {
        let mut host = Self::in_memory().await;
        host.engine = host.node().modules(modules).build().await.expect("an engine");
        host
    }

    /// Makes a host in memory that issues recovery codes with a first method, and whose notices arrive in the
    /// inbox.
    pub async fn with_recovery() -> (Self, Inbox) {
        Self::with_recovery_on(Arc::new(MemoryStore::new())).await
    }

    /// Makes such a host on `store`.
    pub async fn with_recovery_on(store: Arc<dyn TestStore>) -> (Self, Inbox) {
        let mut host = Self::on(store).await;
        let inbox = Inbox::new();
        host.engine = host.recovery_node(&inbox).build().await.expect("an engine");
        (host, inbox)
    }

    /// Starts a builder of another node that issues recovery codes and sends to `inbox`, notices to any number too.
    pub fn recovery_node(&self, inbox: &Inbox) -> EngineBuilder {
        self.node().provider(recovery()).transport(Arc::new(inbox.clone())).notices_by_phone(|_| true)
    }

    /// Adds a user with a verified contact, `name@acme.example`.
    pub async fn add_reachable(&self, name: &str) -> Subject {
        let mail = Contact::email(format!("{name}@acme.example")).expect("an address").verified();
        let subject = subject(name).with_contacts(vec![mail]).expect("contacts");
        self.directory.put(&subject).await.expect("a directory");
        subject
    }

    /// Enrols an authenticator app and acknowledges the recovery codes that come with it, on a host that issues
    /// them. Moves the clock as [`TestHost::enrol`].
    pub async fn enrol_with_recovery(&self, subject: &Subject) -> (SoftAuthenticator, Vec<String>) {
        let (account, user) = (subject.account(), subject.user());
        let begun = self.engine.enrol_begin(account, user, &totp(), &Choice::none(), &vouched()).await;
        let started = begun.expect("a begin");
        let uri = started.revealed.get("uri").expect("a uri");
        let app = SoftAuthenticator::scan(uri.expose_secret()).expect("a uri that scans");
        let code = Response::code(&app.code_at(self.now()));
        let shown = self.engine.enrol_confirm(&started.reference, &code).await.expect("a confirmation");
        let EnrolConfirm::RecoveryShown(issued) = shown else { panic!("codes were expected: {shown:?}") };
        let codes = issued.revealed.get("codes").expect("codes").expose_secret();
        let codes = codes.lines().map(str::to_owned).collect();
        let confirmed = self.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await;
        assert!(matches!(confirmed, Ok(EnrolConfirm::Confirmed(_))), "{confirmed:?}");
        self.clock.advance(STEP);
        (app, codes)
    }

    /// Answers with a recovery code on the first node.
    pub async fn recover(&self, challenge: &Challenge, code: &str) -> Verify {
        let answer = Response::answer(Answer::recovery(code));
        self.engine.verify(&challenge.reference, answer).await.expect("a judgement")
    }

    /// Starts a builder of another node on the same store, with the same clock and randomness of its own.
    pub fn node(&self) -> EngineBuilder {
        self.node_at(&self.clock)
    }

    /// Starts a builder of another node on the same store, with a clock and randomness of its own.
    pub fn node_at(&self, clock: &VirtualRuntime) -> EngineBuilder {
        builder(&self.store, &self.directory, clock, &self.ring)
    }

    /// Adds a user to the directory.
    pub async fn add(&self, name: &str) -> Subject {
        let subject = subject(name);
        self.directory.put(&subject).await.expect("a directory");
        subject
    }

    /// Adds a user and enrols an authenticator app. Afterwards the clock stands at the beginning of the next
    /// step, so that the app's code is fresh.
    pub async fn enrol(&self, name: &str) -> (Subject, SoftAuthenticator) {
        let subject = self.add(name).await;
        let app = self.enrol_again(&subject).await;
        (subject, app)
    }

    /// Enrols one more authenticator app for a user, and moves the clock as [`TestHost::enrol`].
    pub async fn enrol_again(&self, subject: &Subject) -> SoftAuthenticator {
        let (account, user) = (subject.account(), subject.user());
        let (totp, choice, authority) = (totp(), Choice::none(), vouched());
        let begun = self.engine.enrol_begin(account, user, &totp, &choice, &authority).await;
        let started = begun.expect("a begin");
        let uri = started.revealed.get("uri").expect("a uri");
        let app = SoftAuthenticator::scan(uri.expose_secret()).expect("a uri that scans");
        let code = Response::code(&app.code_at(self.now()));
        let confirmed = self.engine.enrol_confirm(&started.reference, &code).await.expect("a confirmation");
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        self.clock.advance(STEP);
        app
    }

    /// Proves, with the app's code, that the user wants a change, and moves the clock as [`TestHost::enrol`]. The
    /// proof is for the session that [`session`] names.
    pub async fn prove(&self, subject: &Subject, app: &SoftAuthenticator, intent: &Intent) -> Proof {
        let begun = self.engine.step_up_begin(login(subject), intent).await.expect("a begin");
        let Begin::Challenge(challenge) = begun else { panic!("a challenge was expected: {begun:?}") };
        let verified = self.answer(&challenge, &app.code_at(self.now())).await;
        let Verify::Proven(proven) = verified else { panic!("a proof was expected: {verified:?}") };
        self.clock.advance(STEP);
        proven.proof
    }

    /// Begins a login on the first node; panics unless it is a challenge.
    pub async fn begin(&self, subject: &Subject) -> Challenge {
        begin(&self.engine, subject).await
    }

    /// Answers with a code on the first node.
    pub async fn answer(&self, challenge: &Challenge, code: &str) -> Verify {
        self.engine.verify(&challenge.reference, Response::code(code)).await.expect("a judgement")
    }

    /// Returns the clock's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns the account's events, oldest first.
    pub async fn events(&self) -> Vec<Event> {
        let query = Query::new(Scope::Account(acme())).ascending();
        audit_model::all(&*self.store, &query, 100_000).await.expect("the log")
    }
}

/// Begins a login on `engine`; panics unless it is a challenge.
pub async fn begin(engine: &Engine, subject: &Subject) -> Challenge {
    match engine.begin(login(subject)).await.expect("a begin") {
        Begin::Challenge(challenge) => challenge,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

/// A login of `subject` by password, in the session that [`session`] names.
#[must_use]
pub fn login(subject: &Subject) -> Login {
    let session = session(subject);
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(&session));
    Login::new(subject.clone(), first, Module::parse("user_auth").expect("a module"))
}

/// The host's session of a user.
#[must_use]
pub fn session(subject: &Subject) -> String {
    format!("session-of-{}", subject.user())
}

/// The account of every test host.
#[must_use]
pub fn acme() -> AccountId {
    AccountId::parse("acme").expect("an id")
}

/// A user of account `acme`, whose password has not been changed yet.
#[must_use]
pub fn subject(name: &str) -> Subject {
    Subject::of(&Account::new(acme()), UserId::parse(name).expect("an id")).with_password_epoch(0)
}

/// The provider of recovery codes, at the least cost there may be.
#[must_use]
pub fn recovery() -> Recovery {
    let cost = Cost::new(Cost::MIN_MEMORY_KIB, 5).expect("a cost");
    Recovery::new("Example").expect("an issuer").with_cost(cost)
}

/// The name of the TOTP provider.
#[must_use]
pub fn totp() -> ProviderName {
    ProviderName::parse("totp").expect("a name")
}

/// A host that vouches for what it asks.
#[must_use]
pub fn vouched() -> Authority {
    Authority::host_vouched("test-host", "a test")
}

/// The time every host begins at.
#[must_use]
pub fn start() -> Timestamp {
    Timestamp::from_unix_seconds(START).expect("a time")
}

/// The ring of every test host.
#[must_use]
pub fn ring() -> KeyRing {
    KeyRing::new(KeyId::parse("k1").expect("a name"), [0x42; 32]).expect("a ring")
}

fn builder(
    store: &Arc<dyn TestStore>,
    directory: &Arc<StoredDirectory>,
    clock: &VirtualRuntime,
    ring: &KeyRing,
) -> EngineBuilder {
    // A different seed a node: two nodes never draw the same bytes.
    static SEED: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(1);
    let seed = SEED.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
    let directory: Arc<StoredDirectory> = Arc::clone(directory);
    Engine::builder(as_store(store), directory, ring.clone(), Arc::new(clock.clone()))
        .entropy(Arc::new(SeededEntropy::new(seed)))
        .provider(Totp::new("Example").expect("an issuer"))
        .danger_test_doubles()
}

fn as_store(store: &Arc<dyn TestStore>) -> Arc<dyn Store> {
    let store: Arc<dyn TestStore> = Arc::clone(store);
    store
}
