//! A user who gets codes and links, and the mailbox they arrive in.

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::delivery::address::{Domain, Region};
use mfa::delivery::select::SmsRules;
use mfa::delivery::text::{SiteName, Texts};
use mfa::{
    Begin, Challenge, Choice, Contact, DeniedReason, Engine, EngineBuilder, EnrolConfirm, EnrolmentStarted,
    LinkToken, Policy, ProviderName, RecordKind, Response, Status, Subject, Verify,
};
use mfa_testkit::inbox::{Inbox, Received};
use serde_json::{Value, json};

use crate::notified::{mail, reachable};
use crate::{World, acme, host, login};

/// Where links lead.
pub const LINK_URL: &str = "https://login.acme.example/confirm";
/// Where the confirmed page goes on to.
pub const TARGET_URL: &str = "https://acme.example/welcome";

/// An engine that sends, and what it sent.
#[derive(Debug)]
pub struct Mailed {
    /// The engine.
    pub engine: Engine,
    /// What arrives.
    pub inbox: Inbox,
}

/// The texts of the site.
///
/// # Panics
/// Never.
#[must_use]
pub fn texts() -> Arc<Texts> {
    let (site, domain) =
        (SiteName::parse("Acme").expect("a name"), Domain::parse("login.acme.example").expect("a domain"));
    Arc::new(Texts::builder(site, domain).build().expect("texts"))
}

/// The settings of the link form.
#[must_use]
pub fn links() -> Value {
    json!({"form": "link", "link_url": LINK_URL, "target_url": TARGET_URL})
}

/// Text messages to mobile phones of Germany.
///
/// # Panics
/// Never.
#[must_use]
pub fn german_mobiles() -> SmsRules {
    SmsRules::allowing([Region::parse("DE").expect("a region")])
}

/// A policy that lists these providers.
///
/// # Panics
/// If one is no name.
#[must_use]
pub fn offering(providers: &[&str]) -> Policy {
    Policy::recommended().with_document(&json!({"offered": providers})).expect("a policy")
}

/// Such a policy that has codes and links wait in the outbox.
///
/// # Panics
/// As [`offering`].
#[must_use]
pub fn queueing(providers: &[&str]) -> Policy {
    offering(providers).with_document(&json!({"messages_by_outbox": true})).expect("a policy")
}

/// Returns how many messages of challenges wait.
///
/// # Panics
/// If the store fails.
pub async fn waiting(world: &World) -> usize {
    world.store.scan(RecordKind::new("message"), None, 1_000, world.now()).await.expect("a scan").len()
}

impl Mailed {
    /// Starts a node with `email`, by these settings, and `sms`, by codes.
    ///
    /// # Panics
    /// Never.
    pub fn node(world: &World, inbox: &Inbox, email: Delivered, settings: Value) -> EngineBuilder {
        let sms = Delivered::sms(texts(), german_mobiles()).expect("a provider");
        let node = world.node().provider_with(email, settings).provider(sms);
        node.transport(Arc::new(inbox.clone())).policy(offering(&["email", "sms", "totp"]))
    }

    /// Makes an engine whose `email` has these settings.
    ///
    /// # Panics
    /// If it cannot be built.
    pub async fn new(world: &World, settings: Value) -> Self {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).expect("a provider");
        let engine = Self::node(world, &inbox, email, settings).build().await.expect("an engine");
        Self { engine, inbox }
    }

    /// Makes one whose codes and links wait in the outbox.
    ///
    /// # Panics
    /// If it cannot be built.
    pub async fn queueing(world: &World, settings: Value) -> Self {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).expect("a provider");
        let node = Self::node(world, &inbox, email, settings);
        let node = node.policy(queueing(&["email", "sms", "totp"]));
        Self { engine: node.build().await.expect("an engine"), inbox }
    }

    /// Makes one whose codes and links wait in the outbox, and bob with these methods, an hour after their set-up.
    ///
    /// # Panics
    /// If it cannot be built.
    pub async fn queueing_with_bob(world: &World, providers: &[&str]) -> (Self, Subject) {
        let mailed = Self::queueing(world, Value::Null).await;
        let bob = mailed.add(world, "bob").await;
        for provider in providers {
            mailed.enrol(world, &bob, provider).await;
        }
        let _ = mailed.inbox.take_tried();
        world.clock.advance(Duration::from_secs(3600));
        (mailed, bob)
    }

    /// Answers `challenge`.
    ///
    /// # Panics
    /// If it cannot be judged.
    pub async fn answer(&self, challenge: &Challenge, code: &str) -> Verify {
        self.engine.verify(&challenge.reference, Response::code(code)).await.expect("a verdict")
    }

    /// Returns the status of `challenge`.
    ///
    /// # Panics
    /// If there is none.
    pub async fn status(&self, challenge: &Challenge) -> Status {
        self.engine.status(&acme(), challenge.id).await.expect("a read").expect("a challenge").status
    }

    /// Sends what waits: how many left, wait on, and were given up.
    ///
    /// # Panics
    /// If the store fails.
    pub async fn drain(&self) -> [u64; 3] {
        let drained = self.engine.drain_outbox(100).await.expect("a drain");
        [drained.sent, drained.waiting, drained.given_up]
    }

    /// Adds a user with a verified mailbox and telephone.
    ///
    /// # Panics
    /// If the directory fails.
    pub async fn add(&self, world: &World, name: &str) -> Subject {
        let phone = Contact::phone("+4915123456789").expect("a number").verified();
        let user = reachable(name, vec![mail(&format!("{name}@acme.example")), phone]);
        world.directory.put(&user).await.expect("a directory");
        user
    }

    /// Begins to set up a method.
    ///
    /// # Errors
    /// As the engine's call.
    pub async fn started(&self, user: &Subject, provider: &str) -> Result<EnrolmentStarted, mfa::Error> {
        let name = ProviderName::parse(provider).expect("a name");
        self.engine.enrol_begin(user.account(), user.user(), &name, &Choice::none(), &host()).await
    }

    /// Sets up a method by the code that arrives, with an engine of the code form.
    ///
    /// # Panics
    /// If it does not work.
    pub async fn enrol(&self, world: &World, user: &Subject, provider: &str) {
        let by_code = Delivered::email(texts()).expect("a provider");
        let engine = Self::node(world, &self.inbox, by_code, Value::Null).build().await.expect("an engine");
        let of_codes = Self { engine, inbox: self.inbox.clone() };
        let started = of_codes.started(user, provider).await.expect("a set-up");
        let code = Response::code(&of_codes.code());
        let confirmed = of_codes.engine.enrol_confirm(&started.reference, &code).await.expect("an answer");
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        let _ = self.engine.drain_outbox(100).await;
        let _ = self.inbox.take();
    }

    /// Returns the one message that has arrived.
    ///
    /// # Panics
    /// If there is none or another one.
    #[must_use]
    pub fn message(&self) -> Received {
        let mut messages = self.inbox.take();
        assert_eq!(messages.len(), 1, "one message");
        messages.remove(0)
    }

    /// Returns the code of the one message that has arrived.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn code(&self) -> String {
        code_in(&self.message().body)
    }

    /// Returns the token of the link of the one message that has arrived.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn link(&self) -> LinkToken {
        let body = self.message().body;
        let token = body.split_whitespace().find_map(|word| word.strip_prefix(LINK_URL)?.strip_prefix('#'));
        LinkToken::from_text(token.expect("a link"))
    }

    /// Begins a login.
    ///
    /// # Panics
    /// If there is no challenge.
    pub async fn begin(&self, user: &Subject) -> Challenge {
        self.begun(user).await.expect("a challenge")
    }

    /// Begins a login that may be denied.
    ///
    /// # Errors
    /// Why it is denied.
    ///
    /// # Panics
    /// If there is neither a challenge nor a denial.
    pub async fn begun(&self, user: &Subject) -> Result<Challenge, DeniedReason> {
        match self.engine.begin(login(user)).await.expect("a begin") {
            Begin::Challenge(challenge) => Ok(challenge),
            Begin::Denied(denied) => Err(denied.reason),
            other => panic!("neither challenge nor denial: {other:?}"),
        }
    }
}

/// Returns the limits that messages of acme were withheld for.
///
/// # Panics
/// If the store fails.
pub async fn limits(world: &World) -> Vec<String> {
    let refunded = world.events_of(Kind::EffectRefunded).await;
    refunded.iter().filter_map(|event| event.field("limit").map(str::to_owned)).collect()
}

/// Finds the code in a message.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn code_in(body: &str) -> String {
    let words = body.split(|c: char| !c.is_ascii_digit());
    words.into_iter().find(|word| word.len() == 6).expect("a code").to_owned()
}

/// Returns a code of six digits that is another one.
#[must_use]
pub fn another(code: &str) -> String {
    let number: u32 = code.parse().unwrap_or_default();
    format!("{:06}", (number + 1) % 1_000_000)
}
