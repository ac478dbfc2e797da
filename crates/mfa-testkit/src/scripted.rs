//! A provider that does what the test says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mfa_core::{
    Amr, Charge, Cx, Descriptor, Effect, EffectKind, FieldError, Held, HttpCall, HttpFault, HttpReply,
    Message, NotDelivered, Provider, ProviderError, ProviderName, Purpose, Reason, Revealed, SecretText,
    Step, StepEvent, Then, Unproven, Versioned,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened, as a script names it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum On {
    /// A challenge or an enrolment begins.
    Begin,
    /// The user asks for something to happen.
    Start,
    /// The user gives this answer, normalised.
    Answer(String),
    /// The user gives any answer.
    AnyAnswer,
    /// The page asks whether something has happened.
    Poll,
    /// The user asks for the message again.
    Resend,
    /// An HTTP effect ended with this status.
    HttpStatus(u16),
    /// An HTTP effect failed.
    HttpFault,
    /// A message was accepted.
    Delivered,
    /// A message was not accepted.
    NotDelivered(NotDelivered),
    /// An effect was charged and its result never came.
    Interrupted,
    /// Anything else.
    Anything,
}

/// What the provider then says.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Say {
    /// Show this and wait for an answer.
    Prompt(Value),
    /// Show this and reveal one value, named `secret`.
    Reveal(Value, String),
    /// Nothing yet.
    Wait(Value),
    /// Send an HTTP request to this address, at this charge.
    Http(String, Charge),
    /// Send a message with this text to this address, at this charge. An address that ends in `*` is another one
    /// each time, so that no budget of one destination is in a test's way.
    Deliver(String, String, Charge),
    /// The answer is right, with the full strength of the description.
    Accept,
    /// The answer is right, with the same strength, and all it took was to approve.
    Approve,
    /// The answer is refused.
    Reject(Reason),
    /// Nothing was proven, and the provider would let the user in.
    Unproven(Unproven),
    /// The step cannot be judged.
    Fail(ProviderError),
}

/// One event as the provider saw it. The text of an answer is kept: scripts are for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SawEvent {
    /// What happened.
    pub event: On,
    /// What the step was for.
    pub purpose: Purpose,
    /// How many steps of this challenge or enrolment came before, as its kept state counts them.
    pub step: u32,
}

/// A provider whose replies the test programs.
///
/// Its kept state counts the steps of a challenge, its enrolment the accepted answers. A rule that was
/// added later comes first; where no rule fits, `begin` prompts, an enrolment begins by revealing, and an
/// answer is refused as wrong. Clones share their rules and their record.
///
/// ```
/// use mfa_core::{Provider, Reason};
/// use mfa_testkit::scripted::{On, Say, ScriptedProvider};
///
/// let provider = ScriptedProvider::new("scripted");
/// provider.on(On::Answer("123456".to_owned()), Say::Accept);
/// provider.on(On::Answer("000000".to_owned()), Say::Reject(Reason::Fraud));
/// assert_eq!(provider.describe().name.as_str(), "scripted");
/// ```
///
/// It remembers no used answer: what a provider owes in that respect is shown by
/// [the provider suite](mod@crate::provider_suite), not by this.
#[derive(Clone, Debug)]
pub struct ScriptedProvider {
    descriptor: Descriptor,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    rules: Vec<(On, Say)>,
    delivered: u32,
    uncounted: bool,
    saw: Vec<SawEvent>,
}

impl ScriptedProvider {
    /// Makes a provider of six-digit codes of this name (1 to 32 lower-case ASCII letters, digits or
    /// underscores; any other is called `scripted`).
    #[must_use]
    #[expect(clippy::missing_panics_doc, clippy::expect_used, reason = "a constant name is valid")]
    pub fn new(name: &str) -> Self {
        let name = ProviderName::parse(name).or_else(|_| ProviderName::parse("scripted"));
        let mut descriptor = Descriptor::one_time_code(name.expect("a constant name"), 20);
        descriptor.amr = vec![Amr::Otp];
        descriptor.effects = vec![EffectKind::Http, EffectKind::Deliver];
        Self { descriptor, script: Arc::default() }
    }

    /// Describes itself as `descriptor`, from now on.
    #[must_use]
    pub fn described_as(mut self, descriptor: Descriptor) -> Self {
        self.descriptor = descriptor;
        self
    }

    /// Adds a rule, before those that are there.
    pub fn on(&self, event: On, say: Say) {
        self.lock().rules.insert(0, (event, say));
    }

    /// Keeps nothing of its steps from now on, as a provider does that only waits.
    pub fn keeps_no_count(&self) {
        self.lock().uncounted = true;
    }

    /// Returns what it saw since the last call, in order; a step that lost a race and was decided again is
    /// there twice.
    #[must_use]
    pub fn take_saw(&self) -> Vec<SawEvent> {
        core::mem::take(&mut self.lock().saw)
    }

    fn another(&self, to: String) -> String {
        let Some(begin) = to.strip_suffix('*') else { return to };
        let mut script = self.lock();
        script.delivered = script.delivered.saturating_add(1);
        format!("{begin}{}", script.delivered)
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, saw: SawEvent) -> Say {
        let mut script = self.lock();
        let said = script.rules.iter().find(|(on, _)| on.fits(&saw.event)).map(|(_, say)| say.clone());
        let by_default = match (&saw.event, saw.purpose) {
            (On::Begin, Purpose::Enrol) => Say::Reveal(Value::Null, "scripted-secret".to_owned()),
            (On::Answer(_), _) => Say::Reject(Reason::WrongCode),
            (On::Begin | On::Delivered | On::Resend | On::Start, _) => Say::Prompt(Value::Null),
            (On::Poll, _) => Say::Wait(Value::Null),
            _ => Say::Fail(ProviderError::Inappropriate),
        };
        script.saw.push(saw);
        said.unwrap_or(by_default)
    }
}

impl On {
    fn fits(&self, event: &Self) -> bool {
        match self {
            Self::Anything => true,
            Self::AnyAnswer => matches!(event, Self::Answer(_)),
            _ => self == event,
        }
    }

    fn of(event: &StepEvent<'_>) -> Self {
        let of_http = |reply: &Result<HttpReply, HttpFault>| match reply {
            Ok(reply) => Self::HttpStatus(reply.status().as_u16()),
            Err(_) => Self::HttpFault,
        };
        match event {
            StepEvent::Begin(_) => Self::Begin,
            StepEvent::Start(_) => Self::Start,
            StepEvent::Answer(answer) => Self::Answer(answer.text().expose_secret().to_owned()),
            StepEvent::Poll => Self::Poll,
            StepEvent::Resend => Self::Resend,
            StepEvent::Http(reply) => of_http(reply),
            StepEvent::Delivered(_) => Self::Delivered,
            StepEvent::NotDelivered(cause) => Self::NotDelivered(*cause),
            StepEvent::Interrupted => Self::Interrupted,
            _ => Self::Anything,
        }
    }
}

/// A count that a [`ScriptedProvider`] keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count(u32);

impl Count {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Versioned for Count {
    const VERSION: u8 = 1;
    const MAX_BYTES: usize = 6;
}

impl Provider for ScriptedProvider {
    type State = Count;
    type Enrolment = Count;
    type Secret = Count;

    fn describe(&self) -> &Descriptor {
        &self.descriptor
    }

    fn validate(&self, _: &Value) -> Result<(), Vec<FieldError>> {
        Ok(())
    }

    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: Held<Count, Count, Count>,
        event: StepEvent<'_>,
    ) -> Result<Step<Count, Count, Count>, ProviderError> {
        let before = held.state.unwrap_or_default();
        let saw = SawEvent { event: On::of(&event), purpose: cx.purpose, step: before.0 };
        let counted = Count(before.0.saturating_add(1));
        let used = Count(held.enrolment.unwrap_or_default().0.saturating_add(1));
        let uncounted = self.lock().uncounted;
        let step = |then| match uncounted {
            true => Step::then(then),
            false => Step::then(then).with_state(counted),
        };
        Ok(match self.say(saw) {
            Say::Prompt(public) => step(Then::Prompt(public)),
            Say::Wait(public) => step(Then::Wait(public)),
            Say::Reveal(public, secret) => {
                let revealed = Revealed::new().with("secret", SecretText::new(secret));
                step(Then::Reveal(public, revealed)).with_secret(Count(1))
            }
            Say::Http(address, charge) => {
                let request = http::Request::post(address).body(Vec::new());
                let request = request.map_err(|_| ProviderError::Inappropriate)?;
                step(Then::Run(Effect::Http(HttpCall::new(request)), charge))
            }
            Say::Deliver(to, text, charge) => {
                let to = self.another(to);
                let message = Message::new(SecretText::new(to), None, SecretText::new(text));
                step(Then::Run(Effect::Deliver(message), charge))
            }
            Say::Accept => step(Then::Accept(self.descriptor.strength())).with_enrolment(used),
            Say::Approve => step(Then::Accept(self.descriptor.strength().by_approval())).with_enrolment(used),
            Say::Reject(reason) => step(Then::Reject(reason)),
            Say::Unproven(why) => step(Then::Unproven(why)),
            Say::Fail(error) => return Err(error),
        })
    }
}
