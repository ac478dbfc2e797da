//! What a host asks for: a login, an answer, and the facts of the request they came with.

use core::fmt;
use std::net::IpAddr;

use audit_model::EventBuilder;

use crate::{
    Answer, Choice, DeviceToken, EnrolmentId, FieldError, FirstFactor, Module, ProviderName, Reference,
    Subject,
};

/// A login that has passed its first factor.
#[derive(Clone, Debug)]
pub struct Login {
    pub(crate) subject: Subject,
    pub(crate) first_factor: FirstFactor,
    pub(crate) module: Module,
    pub(crate) method: Option<MethodSelector>,
    pub(crate) device: Option<DeviceToken>,
    pub(crate) decision: RiskDecision,
    pub(crate) request: RequestFacts,
}

impl Login {
    /// States that `subject` has passed `first_factor` in `module`.
    #[must_use]
    pub fn new(subject: Subject, first_factor: FirstFactor, module: Module) -> Self {
        let (decision, request) = (RiskDecision::Challenge, RequestFacts::default());
        Self { subject, first_factor, module, method: None, device: None, decision, request }
    }

    /// Asks for a method; without it the preferred one, or else the oldest.
    #[must_use]
    pub fn with_method(mut self, method: MethodSelector) -> Self {
        self.method = Some(method);
        self
    }

    /// Presents the token of the device that it comes from, as the browser's cookie has it. A trusted device is
    /// not asked for a second step where the policy says so; one that is only known fails on a count that is kept for
    /// the user's known devices together. Any other text changes nothing.
    #[must_use]
    pub fn with_device(mut self, token: DeviceToken) -> Self {
        self.device = Some(token);
        self
    }

    /// Says what the host's own judgement of the risk came to; without it a challenge. It counts where the policy's
    /// trigger is [`Trigger::OnDecision`](crate::Trigger::OnDecision), and lifts nothing that is enforced.
    #[must_use]
    pub const fn with_decision(mut self, decision: RiskDecision) -> Self {
        self.decision = decision;
        self
    }

    /// Adds the facts of the request, for the audit log.
    #[must_use]
    pub fn with_request(mut self, request: RequestFacts) -> Self {
        self.request = request;
        self
    }
}

/// What a host's judgement of a login's risk came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RiskDecision {
    /// To be challenged. Whatever is not known to be harmless is this. A trusted device is not asked all the
    /// same, and no more is an exempt program: for one that you want asked leave out its token, or deny it.
    #[default]
    Challenge,
    /// To be let in by the first factor alone, where nothing enforces a second one.
    Allow,
}

impl RiskDecision {
    /// Returns the stable name: `challenge` or `allow`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::Allow => "allow",
        }
    }
}

/// Facts of a request, for the audit log. Nothing is decided by them, but that the address of a login may be the one
/// that an exemption is narrowed to. `Debug` shows the names of headers only:
/// cookies and authorization are among them.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestFacts {
    /// The address it came from, as the host's proxy set-up knows it: never one that a header of the request claims.
    pub ip: Option<IpAddr>,
    /// Headers; all but `user-agent`, `host` and `accept-language` are left out of the log.
    pub headers: Vec<(String, String)>,
    /// The host's id of the request.
    pub id: Option<String>,
}

impl RequestFacts {
    /// Knows nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the address.
    #[must_use]
    pub const fn with_ip(mut self, ip: IpAddr) -> Self {
        self.ip = Some(ip);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets the host's id of the request.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(crate) fn describe(&self, mut event: EventBuilder) -> EventBuilder {
        if let Some(ip) = self.ip {
            event = event.ip(ip);
        }
        for (name, value) in &self.headers {
            event = event.header(name, value);
        }
        match &self.id {
            Some(id) => event.request_id(id),
            None => event,
        }
    }
}

impl fmt::Debug for RequestFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        let Self { ip, id, headers: _ } = self;
        f.debug_struct("RequestFacts").field("ip", ip).field("headers", &names).field("id", id).finish()
    }
}

/// Which of a user's methods is meant.
///
/// ```
/// use mfa_core::MethodSelector;
/// assert!(matches!("totp".parse().unwrap(), MethodSelector::Provider(_)));
/// let by_id: MethodSelector = "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00".parse().unwrap();
/// assert!(matches!(by_id, MethodSelector::Enrolment(_)));
/// assert_eq!(by_id.to_string(), "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00");
/// assert!("".parse::<MethodSelector>().is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MethodSelector {
    /// This enrolment.
    Enrolment(EnrolmentId),
    /// The user's enrolment of this provider, where there is one only.
    Provider(ProviderName),
}

impl core::str::FromStr for MethodSelector {
    type Err = FieldError;

    fn from_str(text: &str) -> Result<Self, FieldError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Enrolment(id));
        }
        let problem =
            |_| FieldError::new("method", "invalid", "must be an enrolment's id or a provider's name");
        ProviderName::parse(text).map(Self::Provider).map_err(problem)
    }
}

impl fmt::Display for MethodSelector {
    /// As it is parsed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Enrolment(id) => id.fmt(f),
            Self::Provider(name) => name.fmt(f),
        }
    }
}

/// Which challenge an answer is for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Target {
    /// The challenge of this reference.
    Ref(Reference),
    /// The newest challenge of a login that is repeated whole, for wires without a challenge's id. Where
    /// the host has sessions, the same session is needed.
    Current(Box<Login>),
}

impl From<Reference> for Target {
    fn from(reference: Reference) -> Self {
        Self::Ref(reference)
    }
}

impl From<&Reference> for Target {
    fn from(reference: &Reference) -> Self {
        Self::Ref(reference.clone())
    }
}

/// What the user does with a challenge.
#[derive(Clone, Debug)]
pub struct Response {
    pub(crate) act: Act,
    pub(crate) method: Option<MethodSelector>,
    pub(crate) request: RequestFacts,
}

#[derive(Clone, Debug)]
pub(crate) enum Act {
    Answer(Answer),
    Start(Choice),
    Poll,
}

impl Response {
    /// Answers with a one-time code, as the user typed it.
    #[must_use]
    pub fn code(typed: &str) -> Self {
        Self::answer(Answer::code(typed))
    }

    /// Answers.
    #[must_use]
    pub fn answer(answer: Answer) -> Self {
        Self { act: Act::Answer(answer), method: None, request: RequestFacts::default() }
    }

    /// Asks the method to start something, such as a push.
    #[must_use]
    pub fn start(choice: Choice) -> Self {
        Self { act: Act::Start(choice), method: None, request: RequestFacts::default() }
    }

    /// Asks whether something has happened.
    #[must_use]
    pub fn poll() -> Self {
        Self { act: Act::Poll, method: None, request: RequestFacts::default() }
    }

    /// Names the method the answer is for; without it, the challenge's active one.
    #[must_use]
    pub fn with_method(mut self, method: MethodSelector) -> Self {
        self.method = Some(method);
        self
    }

    /// Adds the facts of the request, for the audit log.
    #[must_use]
    pub fn with_request(mut self, request: RequestFacts) -> Self {
        self.request = request;
        self
    }
}
