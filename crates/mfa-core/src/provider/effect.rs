//! What a provider may ask the engine to do, and what it costs.

use core::fmt;
use core::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Channel;
use crate::{Contact, NoticeKind, SecretBytes, SecretText};

/// Something that must happen outside of the decision. Its `Debug` shows of a request the method and the host.
#[non_exhaustive]
pub enum Effect {
    /// A slow hash, on the runtime's pool.
    Hash(HashJob),
    /// An HTTP request, through the host's [`HttpClient`].
    Http(HttpCall),
    /// A message, through the host's [`Transport`].
    Deliver(Message),
}

/// The kinds of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EffectKind {
    /// A slow hash.
    Hash,
    /// An HTTP request.
    Http,
    /// A message.
    Deliver,
}

impl Effect {
    /// Returns which kind it is.
    #[must_use]
    pub const fn kind(&self) -> EffectKind {
        match self {
            Self::Hash(_) => EffectKind::Hash,
            Self::Http(_) => EffectKind::Http,
            Self::Deliver(_) => EffectKind::Deliver,
        }
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hash(job) => fmt::Debug::fmt(job, f),
            Self::Http(call) => fmt::Debug::fmt(call, f),
            Self::Deliver(message) => fmt::Debug::fmt(message, f),
        }
    }
}

impl EffectKind {
    /// Returns the stable name: `hash`, `http` or `deliver`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Http => "http",
            Self::Deliver => "deliver",
        }
    }
}

/// What an effect is charged as before it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Charge {
    /// Nothing, so that asking again costs no write. Not for a passcode check, a send or a push.
    Free,
    /// As a wrong answer. What it cost the user is given back if the answer is accepted; the attempt of the
    /// challenge, which ends then, is not. All is given back if the effect provably never started.
    Attempt,
    /// As a message.
    Send,
    /// As a push.
    Push,
}

impl Charge {
    /// Returns the stable name: `free`, `attempt`, `send` or `push`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Attempt => "attempt",
            Self::Send => "send",
            Self::Push => "push",
        }
    }
}

/// A slow hash: work whose result is a digest.
pub struct HashJob(Box<dyn FnOnce() -> SecretBytes + Send>);

impl HashJob {
    /// Takes the work.
    #[must_use]
    pub fn new(work: impl FnOnce() -> SecretBytes + Send + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does the work, on the caller's thread.
    #[must_use]
    pub fn run(self) -> SecretBytes {
        (self.0)()
    }
}

impl fmt::Debug for HashJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashJob")
    }
}

/// An HTTP request and how long its answer is waited for. Its `Debug` shows the method and the host.
///
/// ```
/// use core::time::Duration;
/// use mfa_core::HttpCall;
/// let request = http::Request::get("https://api.example/check?secret=1").body(Vec::new()).unwrap();
/// let call = HttpCall::new(request).within(Duration::from_secs(5));
/// assert_eq!(format!("{call:?}"), r#"Http(GET, Some("api.example"))"#);
/// ```
pub struct HttpCall {
    /// Boxed: a step that has none of it must not be as large.
    request: Box<http::Request<Vec<u8>>>,
    within: Duration,
}

impl HttpCall {
    /// Takes a request whose answer is waited for ten seconds.
    #[must_use]
    pub fn new(request: http::Request<Vec<u8>>) -> Self {
        Self { request: Box::new(request), within: Duration::from_secs(10) }
    }

    /// Waits this long; never longer than 30 seconds.
    #[must_use]
    pub const fn within(mut self, deadline: Duration) -> Self {
        self.within = deadline;
        self
    }

    /// Returns the request and the time to wait.
    #[must_use]
    pub fn into_parts(self) -> (http::Request<Vec<u8>>, Duration) {
        (*self.request, self.within)
    }
}

impl fmt::Debug for HttpCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Http").field(self.request.method()).field(&self.request.uri().host()).finish()
    }
}

/// A message to a person.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Message {
    /// The same for every sending of one message, so that a receiver can tell a repeated one.
    pub id: Option<String>,
    /// The way it goes.
    pub channel: Channel,
    /// The canonical address or number.
    pub to: SecretText,
    /// The subject, where the channel has one.
    pub subject: Option<String>,
    /// The text.
    pub body: SecretText,
}

impl Message {
    /// Makes a message that goes by e-mail, without an id.
    #[must_use]
    pub const fn new(to: SecretText, subject: Option<String>, body: SecretText) -> Self {
        Self { id: None, channel: Channel::Email, to, subject, body }
    }

    /// Sends it another way.
    #[must_use]
    pub const fn over(mut self, channel: Channel) -> Self {
        self.channel = channel;
        self
    }

    /// Returns what it is counted as sent to, of which a keyed hash is kept. Of a mailbox that is the address in lower
    /// case and without what follows a `+`: addresses that differ in nothing else nearly always end in one mailbox
    /// (RFC 5233 §1), and two that do not share one budget.
    pub(crate) fn counted(&self) -> SecretText {
        let to = self.to.expose_secret();
        let Some((local, domain)) = to.rsplit_once('@').filter(|_| self.channel == Channel::Email) else {
            return self.to.clone();
        };
        let mailbox = local.split_once('+').map_or(local, |(mailbox, _)| mailbox);
        let mailbox = if mailbox.is_empty() { local } else { mailbox };
        SecretText::new(format!("{mailbox}@{domain}").to_lowercase())
    }

    /// Makes the message of a notice.
    pub(crate) fn notice(id: String, contact: &Contact, kind: NoticeKind) -> Self {
        Self {
            id: Some(id),
            channel: contact.channel(),
            to: contact.address().clone(),
            subject: (contact.channel() == Channel::Email).then(|| kind.subject().to_owned()),
            body: SecretText::new(kind.text()),
        }
    }
}

/// What a transport says of a message it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The transport's id of the message.
    pub id: String,
}

impl Receipt {
    /// Names an accepted message.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into() }
    }
}

/// Why a message was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotDelivered {
    /// The destination is refused for good, before anything left.
    #[error("the destination is refused for good")]
    Permanent,
    /// It may work later; the message may have left.
    #[error("not accepted for now")]
    Temporary,
    /// No answer within the deadline; the message may have left.
    #[error("no answer in time")]
    TimedOut,
}

/// An HTTP answer, its body read and capped by the client.
pub type HttpReply = http::Response<Vec<u8>>;

/// Why there is no HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HttpFault {
    /// The request provably never left.
    #[error("the request was not sent")]
    NotSent,
    /// Our own side refused to send it: the address is not one that requests may go to, or there is no client. Apart
    /// from [`NotSent`](Self::NotSent) because it says nothing about the service, which may be there for others: nobody
    /// is let in on its account.
    #[error("the request was refused before it was sent")]
    Refused,
    /// The TLS handshake failed or was cut off, or the certificate was refused; nothing of the request left. Apart
    /// from [`NotSent`](Self::NotSent) because it may be an attacker's doing: nobody is let in on its account.
    #[error("the tls handshake failed")]
    Tls,
    /// The request may have arrived.
    #[error("no complete answer came")]
    Unanswered,
}

impl HttpFault {
    /// Returns whether the request provably never left.
    #[must_use]
    pub const fn is_unsent(self) -> bool {
        matches!(self, Self::NotSent | Self::Refused | Self::Tls)
    }
}

/// Sends HTTP requests for providers that need it. The host chooses the client.
#[async_trait]
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends `request` and reads the answer within `deadline`. Follows no redirect, caps the body.
    ///
    /// # Errors
    /// [`HttpFault`].
    async fn send(&self, request: http::Request<Vec<u8>>, deadline: Duration)
    -> Result<HttpReply, HttpFault>;

    /// Names what of its set-up weakens an engine, as `danger_…`, for [`Engine::dangers`](crate::Engine::dangers). A
    /// client that hands requests on to another one names what that one does.
    fn dangers(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

/// Sends messages for providers that need it.
#[async_trait]
pub trait Transport: fmt::Debug + Send + Sync + 'static {
    /// Hands `message` over within `deadline`.
    ///
    /// # Errors
    /// [`NotDelivered`].
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered>;

    /// Names what of its set-up weakens an engine, as `danger_…`, for [`Engine::dangers`](crate::Engine::dangers). A
    /// transport that hands messages on to others names what those do.
    fn dangers(&self) -> Vec<&'static str> {
        Vec::new()
    }
}

const _: Option<&dyn HttpClient> = None;
const _: Option<&dyn Transport> = None;

#[cfg(test)]
mod tests {
    use super::Message;
    use crate::{Channel, SecretText};

    #[test]
    fn s20_addresses_of_one_mailbox_are_counted_as_one() {
        let message = |to: &str| Message::new(SecretText::new(to), None, SecretText::new("text"));
        let counted = |to: &str| message(to).counted().expose_secret().to_owned();
        for same in ["bob@example.com", "BOB@example.com", "bob+1@EXAMPLE.com", "Bob+a+b@example.com"] {
            assert_eq!(counted(same), "bob@example.com");
        }
        assert_eq!(counted("+1@example.com"), "+1@example.com");
        assert_ne!(counted("bob@example.com"), counted("bob@example.org"));
        // What is sent keeps its own form, and a number has no other.
        assert_eq!(message("Bob+1@example.com").to.expose_secret(), "Bob+1@example.com");
        let number = message("+4915123456789").over(Channel::Phone);
        assert_eq!(number.counted().expose_secret(), "+4915123456789");
    }
}
