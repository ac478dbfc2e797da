//! The provider contract: pure code that says what to keep and what must happen next.
//!
//! A provider is synchronous, does no I/O and has no state of its own. The engine keeps its bytes, runs its
//! effects, and owns attempts, budgets, fallback and policy. A third party writes one with this crate alone
//! and proves it with the provider suite of `mfa-testkit`.

mod answer;
mod descriptor;
mod effect;
mod erased;
mod identity;

use core::fmt;
use core::net::IpAddr;

use audit_model::{AccountId, Timestamp, UserId};
use serde_json::Value;
use thiserror::Error;

use crate::keyed::Keyed;
use crate::link::LinkEvent;
use crate::{
    ChallengeId, CodecError, Contact, Draw, EnrolmentId, EntropyError, FieldError, Purpose, Reason, Versioned,
};

pub use answer::{Answer, AnswerKind, Choice, normalise_code};
pub use descriptor::{Aal, Amr, Channel, Descriptor, Factor, Role, Strength};
pub use effect::{
    Charge, Effect, EffectKind, HashJob, HttpCall, HttpClient, HttpFault, HttpReply, Message, NotDelivered,
    Receipt, Transport,
};
pub(crate) use erased::{AnyProvider, ErasedHeld, ErasedStep};
pub use identity::Identity;

/// A second factor.
///
/// *Contract.* [`handle`](Provider::handle) is a function: the same context, held values and event give the
/// same step. It never panics, whatever the held values and the answer are. A wrong answer is
/// [`Then::Reject`], never an error. Secrets go into `secret` (sealed by the engine) or into
/// [`Then::Reveal`]; never into a public part. `enrolment` holds what changes with each use, such as the
/// used step, in at most [`MAX_ENROLMENT_BYTES`].
///
/// *What a wrong implementation costs:* a code accepted twice (it did not remember the step), a secret in a
/// log (it put it into a public part), a free guess (it ran a passcode check as [`Charge::Free`]).
pub trait Provider: fmt::Debug + Send + Sync + 'static {
    /// What lives as long as one challenge or one pending enrolment.
    type State: Versioned;
    /// What changes with each use of an enrolment; not secret.
    type Enrolment: Versioned;
    /// What makes an enrolment; sealed at rest.
    type Secret: Versioned;

    /// Describes the provider; always the same.
    fn describe(&self) -> &Descriptor;

    /// Checks a settings document; the errors name keys, never values.
    ///
    /// # Errors
    /// One [`FieldError`] for each key that is missing or wrong.
    fn validate(&self, settings: &Value) -> Result<(), Vec<FieldError>>;

    /// Returns how many answers an enrolment is still good for; `None` where they do not run out.
    fn uses_left(&self, enrolment: &Self::Enrolment) -> Option<u8> {
        let _ = enrolment;
        None
    }

    /// Returns whether an enrolment still fits the user's contacts, as they are when a login begins: a code is not
    /// sent to an address that is not the user's any more. `true` for what sends nothing.
    fn fits(&self, secret: &Self::Secret, contacts: &[Contact]) -> bool {
        let _ = (secret, contacts);
        true
    }

    /// Returns whom an enrolment means at the provider's service, where two users' enrolments could mean the same one:
    /// the service knows its users by a name that the accounts choose. The engine then lets one user of all accounts
    /// confirm such an enrolment, and refuses the others ([`Reason::IdentityTaken`]), as well as whoever would set it
    /// up by themselves through settings that are not their own account's. It is asked of the secret that the step sets
    /// with which a set-up begins, again before each prompt and each effect that is charged, and before the set-up is
    /// confirmed. `None`, as it is unless told otherwise, costs nothing.
    ///
    /// # Errors
    /// [`ProviderError`] where it cannot be told; nothing is then set up.
    fn identity(&self, settings: &Value, secret: &Self::Secret) -> Result<Option<Identity>, ProviderError> {
        let _ = (settings, secret);
        Ok(None)
    }

    /// Returns a secret that no answer fits, for challenges that nobody is behind
    /// ([`Engine::begin_decoy`](crate::Engine::begin_decoy)), where an enrolment by `choice` has none before an
    /// effect has run. Judging an answer by it costs what judging by a real one costs. `None` for other providers:
    /// of a second factor the engine then draws one as an enrolment does, and a way back in is not shown.
    fn decoy(&self, choice: &Choice) -> Option<Self::Secret> {
        let _ = choice;
        None
    }

    /// Decides what to keep and what must happen next; login and enrolment alike ([`Cx::purpose`]).
    ///
    /// An enrolment of [`Role::Recovery`] begins with a hash effect ([`Charge::Free`]) or at once, and ends with
    /// [`Then::Reveal`]: it is issued, not confirmed. The job's digest may carry what is to be revealed, so that
    /// nothing of it is kept in between.
    ///
    /// # Errors
    /// [`ProviderError`] if the step could not be judged; nothing is then charged or kept.
    fn handle(
        &self,
        cx: &mut Cx<'_>,
        held: HeldOf<Self>,
        event: StepEvent<'_>,
    ) -> Result<StepOf<Self>, ProviderError>;
}

/// The step of a provider.
pub type StepOf<P> = Step<<P as Provider>::State, <P as Provider>::Enrolment, <P as Provider>::Secret>;

/// What the engine kept for a provider.
pub type HeldOf<P> = Held<<P as Provider>::State, <P as Provider>::Enrolment, <P as Provider>::Secret>;

/// The most bytes of [`Provider::Enrolment`], its version byte included.
pub const MAX_ENROLMENT_BYTES: usize = 48;

/// What a provider knows about the step. Its `Debug` leaves the settings out, which may hold secrets.
#[non_exhaustive]
pub struct Cx<'a> {
    /// The time; the node's own clock.
    pub now: Timestamp,
    /// The time to decide at: `now`, or the latest time at which the user was judged, where that is a little later. What
    /// expires by a time that was kept expires by this one, so that a clock that is behind revives nothing.
    pub at: Timestamp,
    /// The account.
    pub account: &'a AccountId,
    /// The user.
    pub user: &'a UserId,
    /// How the user is called on screens and in authenticator apps.
    pub label: &'a str,
    /// The address that the user's request came from, or else the one that the login began from, where the host said
    /// so. A set-up has that of the request alone, and at its begin none.
    pub ip: Option<IpAddr>,
    /// When the login began, or the set-up.
    pub began_at: Timestamp,
    /// Where the login began, where the host said so.
    pub began_from: Option<IpAddr>,
    /// What the step is for.
    pub purpose: Purpose,
    /// The challenge; for an enrolment, its id in this form.
    pub challenge: ChallengeId,
    /// The enrolment that is used or being made.
    pub enrolment: EnrolmentId,
    /// Answers that were possible before this time are not accepted: a backup came back.
    pub not_before: Timestamp,
    /// When the challenge ends, or the set-up: whatever is sent for it is good until then at most.
    pub ends_at: Timestamp,
    /// The provider's settings, unsealed.
    pub settings: &'a Value,
    /// Random bytes of this step.
    pub entropy: &'a mut Draw,
    /// The user's contacts, where an enrolment begins: who is written to is chosen among them.
    pub contacts: &'a [Contact],
    pub(crate) keyed: Option<Keyed<'a>>,
}

impl<'a> Cx<'a> {
    /// Puts a context together, for tests of a provider.
    #[must_use]
    pub const fn new(
        now: Timestamp,
        account: &'a AccountId,
        user: &'a UserId,
        purpose: Purpose,
        settings: &'a Value,
        entropy: &'a mut Draw,
    ) -> Self {
        Self {
            now,
            at: now,
            account,
            user,
            label: "",
            ip: None,
            began_at: now,
            began_from: None,
            purpose,
            challenge: ChallengeId::from_bytes([0; 16]),
            enrolment: EnrolmentId::from_bytes([0; 16]),
            not_before: Timestamp::MIN,
            ends_at: Timestamp::MAX,
            settings,
            entropy,
            contacts: &[],
            keyed: None,
        }
    }

    /// Sets the user's contacts, for tests of a provider.
    #[must_use]
    pub const fn with_contacts(mut self, contacts: &'a [Contact]) -> Self {
        self.contacts = contacts;
        self
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx")
            .field("now", &self.now)
            .field("purpose", &self.purpose)
            .field("challenge", &self.challenge)
            .field("enrolment", &self.enrolment)
            .finish_non_exhaustive()
    }
}

/// What the engine kept for a provider.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Held<S, E, V> {
    /// The challenge's or pending enrolment's part.
    pub state: Option<S>,
    /// The enrolment's part.
    pub enrolment: Option<E>,
    /// The sealed part, opened.
    pub secret: Option<V>,
}

impl<S, E, V> Held<S, E, V> {
    /// Puts held values together.
    #[must_use]
    pub const fn new(state: Option<S>, enrolment: Option<E>, secret: Option<V>) -> Self {
        Self { state, enrolment, secret }
    }
}

/// What happened. Its `Debug` shows of an HTTP answer the status only.
#[derive(Clone)]
#[non_exhaustive]
pub enum StepEvent<'a> {
    /// A challenge or an enrolment begins.
    Begin(&'a Choice),
    /// The user asks for something to happen, such as a push.
    Start(&'a Choice),
    /// The user answers. Codes are normalised already.
    Answer(&'a Answer),
    /// The user gives consecutive codes, as one answer, to lift a delay. For providers whose description says
    /// that they [unlock](Descriptor::unlocks).
    Unlock(&'a [Answer]),
    /// The user's page asks whether something has happened.
    Poll,
    /// The user asks for the message again.
    Resend,
    /// A link that was sent is opened or confirmed.
    Link(LinkEvent<'a>),
    /// The HTTP effect ended.
    Http(&'a Result<HttpReply, HttpFault>),
    /// The hash effect ended.
    Hashed(&'a crate::SecretBytes),
    /// The message that the provider asked for was queued, and leaves after this call: asks what to show until then,
    /// by [`Then::Prompt`] or [`Then::Wait`]. Nothing that the step sets is kept. A provider that does not know it
    /// ([`ProviderError::Inappropriate`]) shows nothing.
    Queued,
    /// The message was accepted by its transport.
    Delivered(&'a Receipt),
    /// The message was not accepted.
    NotDelivered(NotDelivered),
    /// An effect was charged and its result never came.
    Interrupted,
}

impl fmt::Debug for StepEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begin(choice) => f.debug_tuple("Begin").field(choice).finish(),
            Self::Start(choice) => f.debug_tuple("Start").field(choice).finish(),
            Self::Answer(answer) => fmt::Debug::fmt(answer, f),
            Self::Unlock(_) => f.write_str("Unlock([redacted])"),
            Self::Poll => f.write_str("Poll"),
            Self::Resend => f.write_str("Resend"),
            Self::Link(_) => f.write_str("Link([redacted])"),
            Self::Http(reply) => {
                f.debug_tuple("Http").field(&reply.as_ref().map(http::Response::status)).finish()
            }
            Self::Hashed(_) => f.write_str("Hashed([redacted])"),
            Self::Queued => f.write_str("Queued"),
            Self::Delivered(receipt) => f.debug_tuple("Delivered").field(receipt).finish(),
            Self::NotDelivered(cause) => f.debug_tuple("NotDelivered").field(cause).finish(),
            Self::Interrupted => f.write_str("Interrupted"),
        }
    }
}

/// What to keep, and what must happen next. What is set is kept for a rejection too.
#[derive(Debug)]
#[non_exhaustive]
#[must_use]
pub struct Step<S, E, V> {
    /// The challenge's or pending enrolment's part.
    pub state: Change<S>,
    /// The enrolment's part.
    pub enrolment: Change<E>,
    /// The secret part.
    pub secret: Change<V>,
    /// What must happen next.
    pub then: Then,
}

impl<S, E, V> Step<S, E, V> {
    /// Keeps everything as it is, then does `then`.
    pub const fn then(then: Then) -> Self {
        Self { state: Change::Same, enrolment: Change::Same, secret: Change::Same, then }
    }

    /// Sets the challenge's part.
    pub fn with_state(mut self, state: S) -> Self {
        self.state = Change::Set(state);
        self
    }

    /// Sets the enrolment's part.
    pub fn with_enrolment(mut self, enrolment: E) -> Self {
        self.enrolment = Change::Set(enrolment);
        self
    }

    /// Sets the secret part.
    pub fn with_secret(mut self, secret: V) -> Self {
        self.secret = Change::Set(secret);
        self
    }
}

/// What becomes of a kept value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<T> {
    /// It stays.
    Same,
    /// It is replaced.
    Set(T),
    /// It is removed.
    Clear,
}

/// What must happen next.
#[derive(Debug)]
#[non_exhaustive]
pub enum Then {
    /// Show this and wait for an answer.
    Prompt(Value),
    /// Show this and, once, the secret part. Enrolment only.
    Reveal(Value, Revealed),
    /// Nothing yet; ask again later.
    Wait(Value),
    /// Run this effect, after charging for it.
    Run(Effect, Charge),
    /// The answer is right; the evidence has this strength.
    Accept(Strength),
    /// The answer is refused.
    Reject(Reason),
    /// Nothing was proven, and the provider would let the user in. The engine does so only for a login, and only if
    /// host code has said so; otherwise it refuses.
    Unproven(Unproven),
}

/// Why a provider would let a user in without having proven anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unproven {
    /// The service let the user in by a rule of its own: a bypass, a remembered device, a trusted network.
    Bypass,
    /// The service cannot be reached: not only did a request about this user fail by transport or a server error,
    /// three requests that name no user did so as well.
    Unreachable,
}

/// Secret values that are shown once, by name: `secret`, `uri`, `qr`, …
#[derive(Clone, Default)]
pub struct Revealed(Vec<(&'static str, crate::SecretText)>);

impl Revealed {
    /// Starts with nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: crate::SecretText) -> Self {
        self.0.push((name, value));
        self
    }

    /// Returns one value.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&crate::SecretText> {
        self.0.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Returns the names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

/// Why a provider could not judge a step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// What was kept cannot be read.
    #[error("kept values cannot be read")]
    Codec(#[from] CodecError),
    /// There are no random bytes.
    #[error("no random bytes")]
    Entropy(#[from] EntropyError),
    /// The key of a keyed hash is not in the ring.
    #[error("the key of a keyed hash is not in the ring")]
    Keys,
    /// The event does not fit what was kept; a defect of the caller.
    #[error("this event does not fit the step")]
    Inappropriate,
    /// What the user or the host asked for is not possible.
    #[error("{0}")]
    Invalid(FieldError),
}
