//! Building an engine: everything is checked in `build`.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use audit_model::{EventBuilder, Kind, Outcome, Scope};
use serde_json::Value;
use thiserror::Error;

use super::admit::{FreeEffects, SlowAnswers};
use super::prefix::PrefixRule;
use super::{AccountLimit, Engine, Inner, PhoneRule};
use crate::bypass::Bypass;
use crate::decide::held::Documents;
use crate::decide::{Dangers, Registered, Rules};
use crate::driver::Driver;
use crate::entropy::CheckedEntropy;
use crate::provider::AnyProvider;
use crate::settings::Modules;
use crate::{
    Contact, Directory, EffectKind, Entropy, EntropyError, Error, FieldError, HttpClient, KeyRing, Message,
    OsEntropy, Policy, Provider, ProviderName, Runtime, Store, StoreError, Transport,
};

/// Collects the parts of an [`Engine`].
#[must_use]
pub struct EngineBuilder {
    store: Arc<dyn Store>,
    directory: Arc<dyn Directory>,
    ring: KeyRing,
    runtime: Arc<dyn Runtime>,
    entropy: Arc<dyn Entropy>,
    policy: Policy,
    modules: Modules,
    providers: Vec<(Arc<dyn AnyProvider>, Option<Value>)>,
    default_provider: Option<ProviderName>,
    http: Option<Arc<dyn HttpClient>>,
    transport: Option<Arc<dyn Transport>>,
    notices_by_phone: Option<Box<PhoneRule>>,
    account_limit: Option<AccountLimit>,
    prefix_rule: Option<PrefixRule>,
    test_doubles: bool,
    allowed: Dangers,
}

impl Engine {
    /// Starts with the parts that every engine needs. The policy is [`Policy::recommended`], randomness the
    /// operating system's.
    pub fn builder(
        store: Arc<dyn Store>,
        directory: Arc<dyn Directory>,
        ring: KeyRing,
        runtime: Arc<dyn Runtime>,
    ) -> EngineBuilder {
        EngineBuilder {
            store,
            directory,
            ring,
            runtime,
            entropy: Arc::new(OsEntropy::new()),
            policy: Policy::recommended(),
            modules: Modules::new(),
            providers: Vec::new(),
            default_provider: ProviderName::parse("duo").ok(),
            http: None,
            transport: None,
            notices_by_phone: None,
            account_limit: None,
            prefix_rule: None,
            test_doubles: false,
            allowed: Dangers::default(),
        }
    }
}

impl EngineBuilder {
    /// Registers a provider.
    pub fn provider(self, provider: impl Provider) -> Self {
        self.provider_with(provider, Value::Null)
    }

    /// Registers a provider with its settings.
    pub fn provider_with(mut self, provider: impl Provider, settings: Value) -> Self {
        self.providers.push((Arc::new(provider), Some(settings)));
        self
    }

    /// Registers a provider without settings of the host's own: it is used where a provider configuration of an account
    /// or of the system is selected, and nowhere else.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_core::settings::Modules;
    /// # use mfa_testkit::host::{TestHost, acme, subject, vouched};
    /// # use mfa_testkit::scripted::ScriptedProvider;
    /// # futures::executor::block_on(async {
    /// # let host = TestHost::in_memory().await;
    /// # host.directory.put(&subject("bob")).await.unwrap();
    /// # let offered = Policy::recommended().with_document(&serde_json::json!({"offered": ["mine"]})).unwrap();
    /// # let host_node = host.node().policy(offered);
    /// # let scripted = ScriptedProvider::new("mine");
    /// # let mut descriptor = scripted.describe().clone();
    /// # descriptor.effects = Vec::new();
    /// # let my_provider = scripted.described_as(descriptor);
    /// let engine = host_node.modules(Modules::kazoo()).provider_without_settings(my_provider);
    /// let (engine, mine) = (engine.build().await?, ProviderName::parse("mine").unwrap());
    /// let begun = engine.enrol_begin(&acme(), subject("bob").user(), &mine, &Choice::none(), &vouched()).await;
    /// assert_eq!(begun.unwrap_err().code(), "method_not_offered");
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    pub fn provider_without_settings(mut self, provider: impl Provider) -> Self {
        self.providers.push((Arc::new(provider), None));
        self
    }

    /// Names the provider whose configuration of the system is used for modules that name none; `duo` otherwise. While
    /// the system has no configuration of it, what the host registered is used.
    pub fn default_provider(mut self, provider: ProviderName) -> Self {
        self.default_provider = Some(provider);
        self
    }

    /// Sets the policy. What it offers and this engine has no provider of is told by [`Engine::unregistered`].
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Names the modules that accounts may have settings for. From then on each step reads, in the same read as the
    /// user's records, what the accounts of the user's lineage and the system have set for modules and of the policy.
    /// A login through another module goes by the policy alone, and where modules decide it is asked for a second
    /// factor. A user of whose account nobody has said what is [above it](crate::Subject::of) is an error.
    pub fn modules(mut self, modules: Modules) -> Self {
        self.modules = modules;
        self
    }

    /// Sets the source of randomness.
    pub fn entropy(mut self, entropy: Arc<dyn Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Sets the client for providers that send HTTP requests.
    pub fn http(mut self, client: Arc<dyn HttpClient>) -> Self {
        self.http = Some(client);
        self
    }

    /// Sets the transport for providers that send messages.
    pub fn transport(mut self, transport: Arc<dyn Transport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sends notices to the telephone numbers that `rule` lets pass, as text messages; without it to none. Give it the
    /// rule of the provider that sends codes there (`SmsRules::allows` of `mfa-otp-delivery`): whoever has a password
    /// brings a notice about, and a number that shares in what its messages cost is paid by it.
    ///
    /// It is asked before each sending, and must not wait.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// # let host = TestHost::in_memory().await;
    /// let is_german = |contact: &Contact| contact.address().expose_secret().starts_with("+49");
    /// let engine = host.node().notices_by_phone(is_german).build().await?;
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    pub fn notices_by_phone(mut self, rule: impl Fn(&Contact) -> bool + Send + Sync + 'static) -> Self {
        self.notices_by_phone = Some(Box::new(rule));
        self
    }

    /// Sets how many messages an account may send in 24 hours, over all its users, logins and set-ups; there is no limit
    /// otherwise. A message is charged before it leaves; past the limit a login by a message is denied and a set-up
    /// refused, with `send_limit`, and an `effect_refunded` event says `account`. Messages are counted by the hour, so
    /// that one may count for up to 25. Notices are counted apart, up to the same number, so that neither keeps the
    /// other from being sent; past it they wait.
    ///
    /// Give every node the same number. Users have a budget of their own, and destinations; this one bounds what a
    /// tenant whose sign-ups anybody can fill may cost in a day.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// let engine = host.node().messages_per_account_and_day(10_000).build().await?;
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    pub fn messages_per_account_and_day(self, messages: u32) -> Self {
        self.cost_per_account_and_day(messages, |_| 1)
    }

    /// Sets what the messages of an account may cost in 24 hours, in units of your own: `price` says what one costs, by
    /// its channel and the number it goes to. Otherwise as [`Self::messages_per_account_and_day`], in whose place it
    /// comes: one that the rest does not pay for is not sent.
    ///
    /// `price` is asked each time before a message is handed over, and must not wait. Give every node the same.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// # let host = TestHost::in_memory().await;
    /// // Hundredths of a cent: mails cost nothing, text messages abroad a lot.
    /// let price = |message: &Message| match message.channel {
    ///     Channel::Email => 0,
    ///     _ if message.to.expose_secret().starts_with("+1") => 80,
    ///     _ => 900,
    /// };
    /// let engine = host.node().cost_per_account_and_day(500_000, price).build().await?;
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    pub fn cost_per_account_and_day(
        mut self,
        cost: u32,
        price: impl Fn(&Message) -> u32 + Send + Sync + 'static,
    ) -> Self {
        self.account_limit = Some(AccountLimit { cost, price: Box::new(price) });
        self
    }

    /// Stops text messages with codes and links to the numbers of a prefix that does not answer: of those that went there
    /// in the last six hours, `from` at least, fewer than `percent` in a hundred led to a right answer. A prefix is the
    /// first four digits of a number, a country and mostly its network. Messages of set-ups and those of logins are counted
    /// apart, over all accounts of the store; those of the last quarter of an hour, and up to half an hour, are not judged
    /// yet. Messages go out again as those that were not answered grow old. A login whose prefix is stopped goes as one
    /// whose destination had its messages of the day: by a method that needs no message, or denied as `send_limit`; begin
    /// it by another channel by name, if the user has one.
    ///
    /// Somebody who is paid for the messages to a range of numbers has your sign-ups send codes that nobody types. But so
    /// looks a carrier that loses messages; whoever fills your sign-up form with other people's numbers stops it for
    /// their prefix; and whoever has the first factors of a few users of a prefix, be it users of their own, stops its
    /// logins by text message with ten messages a number and day that they leave unanswered: set `from` to more than what a
    /// few numbers can ask for and a prefix of yours gets in an hour on a quiet day, have users keep another method, and
    /// watch for `effect_refunded` with the limit `prefix`. Give every node the same. Notices are not counted and not
    /// stopped.
    ///
    /// An answer by text message costs one read and one commit more, after the one that accepts it.
    ///
    /// ```
    /// # use mfa_core::*;
    /// # use mfa_testkit::host::TestHost;
    /// # futures::executor::block_on(async {
    /// let host = TestHost::in_memory().await;
    /// // A third of a hundred and more.
    /// let engine = host.node().stop_unanswered_prefixes(33, 100).build().await?;
    /// # Ok::<(), BuildError>(()) }).unwrap();
    /// ```
    pub const fn stop_unanswered_prefixes(mut self, percent: u8, from: u32) -> Self {
        self.prefix_rule = Some(PrefixRule { percent, from });
        self
    }

    /// Accepts a clock or a random source that is made for tests. Anyone who knows its seed knows every
    /// secret; [`Engine::dangers`] lists it.
    pub const fn danger_test_doubles(mut self) -> Self {
        self.test_doubles = true;
        self
    }

    /// Lets users in whom a provider lets in by rules of its own, such as a bypass status at the provider: with
    /// [`NotRequired::ProviderBypass`](crate::NotRequired::ProviderBypass), never a grant, and never for a proof.
    /// Whoever administers the provider's service can then switch the second factor off.
    pub const fn danger_accept_provider_bypass(mut self) -> Self {
        self.allowed.provider_bypass = true;
        self
    }

    /// Lets users in while a provider's service cannot be reached, each at most so many times in an hour: with
    /// [`NotRequired::BypassedBecauseUnavailable`](crate::NotRequired::BypassedBecauseUnavailable), never a grant,
    /// and never for a proof. Whoever can cut the service off can then log in with a password alone. A refusal, a
    /// limit of the service, a certificate that does not fit or the silence of a call about one user opens nothing.
    pub const fn danger_fail_open(mut self, times_per_user_and_hour: u8) -> Self {
        self.allowed.fail_open = times_per_user_and_hour;
        self
    }

    /// Checks everything, writes the event `engine_opened` and returns the engine.
    ///
    /// # Errors
    /// [`BuildError`] names the part that does not fit.
    pub async fn build(self) -> Result<Engine, BuildError> {
        let entropy = CheckedEntropy::new(Arc::clone(&self.entropy));
        let mut dangers = Vec::new();
        if entropy.is_test_double() || self.runtime.is_test_double() {
            if !self.test_doubles {
                return Err(BuildError::TestDouble);
            }
            dangers.push("danger_test_doubles");
        }
        if self.allowed.provider_bypass {
            dangers.push("danger_accept_provider_bypass");
        }
        if self.allowed.fail_open > 0 {
            dangers.push("danger_fail_open");
        }
        let providers = self.registered()?;
        dangers
            .extend(providers.values().flat_map(|provider| provider.code.describe().dangers.iter().copied()));
        dangers.extend(self.policy.dangers());
        dangers.extend(self.http.iter().flat_map(|client| client.dangers()));
        dangers.extend(self.transport.iter().flat_map(|transport| transport.dangers()));
        let unregistered = self.policy.named().into_iter().filter(|name| !providers.contains_key(*name));
        let unregistered = unregistered.map(str::to_owned).collect();
        let rules = Rules {
            ring: self.ring.clone(),
            policy: self.policy,
            providers: Arc::new(providers),
            dangers: self.allowed,
            modules: Arc::new(self.modules),
            documents: Documents::default(),
            parsed: Arc::default(),
            default_provider: self.default_provider.ok_or(BuildError::Event)?,
        };
        let driver = Driver::new(self.store, self.ring, entropy, self.runtime);
        let inner = Inner {
            driver,
            rules,
            directory: self.directory,
            http: self.http,
            transport: self.transport,
            notices_by_phone: self.notices_by_phone,
            account_limit: self.account_limit,
            prefix_rule: self.prefix_rule,
            slow_answers: SlowAnswers::default(),
            free_effects: FreeEffects::default(),
            dangers,
            unregistered,
            unknown_key_noted: AtomicU64::new(0),
        };
        let engine = Engine { inner: Arc::new(inner) };
        engine.say_opened().await?;
        Ok(engine)
    }

    fn registered(&self) -> Result<BTreeMap<ProviderName, Registered>, BuildError> {
        let mut providers = BTreeMap::new();
        let bypass: Arc<dyn AnyProvider> = Arc::new(Bypass::new().ok_or(BuildError::Event)?);
        let name = bypass.describe().name.clone();
        providers.insert(name.clone(), Registered::new(name, bypass, Some(Value::Null)));
        for (code, settings) in &self.providers {
            let descriptor = code.describe();
            let name = descriptor.name.clone();
            settings
                .as_ref()
                .map_or(Ok(()), |settings| code.validate(settings))
                .map_err(|errors| BuildError::Settings { provider: name.to_string(), errors })?;
            let missing = descriptor.effects.iter().find(|effect| match effect {
                EffectKind::Hash => false,
                EffectKind::Http => self.http.is_none(),
                EffectKind::Deliver => self.transport.is_none(),
            });
            if let Some(effect) = missing {
                return Err(BuildError::NoExecutor { provider: name.to_string(), effect: *effect });
            }
            let registered = Registered::new(name.clone(), Arc::clone(code), settings.clone());
            if providers.insert(name.clone(), registered).is_some() {
                return Err(BuildError::Twice { provider: name.to_string() });
            }
        }
        Ok(providers)
    }
}

impl Engine {
    async fn say_opened(&self) -> Result<(), BuildError> {
        let driver = &self.inner.driver;
        let kind = |double| if double { "test_double" } else { "real" };
        let now = driver.runtime.now();
        let dangers = if self.dangers().is_empty() { "none".to_owned() } else { self.dangers().join(" ") };
        let event = EventBuilder::new(Scope::System, Kind::EngineOpened, Outcome::Info, now)
            .field("preset", if *self.policy() == Policy::recommended() { "recommended" } else { "custom" })
            .field("dangers", dangers)
            .field("clock", kind(driver.runtime.is_test_double()))
            .field("entropy", kind(driver.entropy.is_test_double()))
            .field("ring", driver.ring.ids().join(" "));
        let event = match self.unregistered() {
            [] => event,
            names => event.field("unregistered", names.join(" ")),
        };
        driver.say(Scope::System, event, now).await.map_err(|error| match error {
            Error::Entropy(error) => error.into(),
            Error::Store(error) => error.into(),
            _ => BuildError::Event,
        })
    }
}

impl fmt::Debug for EngineBuilder {
    /// Settings may hold secrets: the names of the providers are shown, and nothing of their settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let providers: Vec<_> = self.providers.iter().map(|(code, _)| &code.describe().name).collect();
        f.debug_struct("EngineBuilder")
            .field("ring", &self.ring)
            .field("providers", &providers)
            .finish_non_exhaustive()
    }
}

/// Why an engine cannot be built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The clock or the random source is made for tests.
    #[error("the clock or the random source is made for tests; call danger_test_doubles() in a test")]
    TestDouble,
    /// A provider's settings are wrong.
    #[error("the settings of provider {provider} are wrong: {}", told(.errors))]
    Settings {
        /// The provider.
        provider: String,
        /// One error a key.
        errors: Vec<FieldError>,
    },
    /// A provider asks for effects that this engine has no executor for.
    #[error("provider {provider} needs an executor for {} effects", effect.code())]
    NoExecutor {
        /// The provider.
        provider: String,
        /// The kind of effect.
        effect: EffectKind,
    },
    /// A provider is registered twice.
    #[error("provider {provider} is registered twice")]
    Twice {
        /// The provider.
        provider: String,
    },
    /// There are no random bytes.
    #[error("no random bytes")]
    Entropy(#[from] EntropyError),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The first event cannot be written.
    #[error("the first event cannot be written")]
    Event,
}

impl BuildError {
    /// Returns a stable code: `test_double`, `invalid_settings`, `no_executor`, `provider_twice`, `event_not_written`, or the code of its cause.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TestDouble => "test_double",
            Self::Settings { .. } => "invalid_settings",
            Self::NoExecutor { .. } => "no_executor",
            Self::Twice { .. } => "provider_twice",
            Self::Entropy(error) => error.code(),
            Self::Store(error) => error.code(),
            Self::Event => "event_not_written",
        }
    }
}

fn told(errors: &[FieldError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
