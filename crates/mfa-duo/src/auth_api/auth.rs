//! Asking the user, and what came of it.

use core::fmt;
use core::net::IpAddr;

use mfa_core::{HttpReply, SecretText};
use serde_json::Value;

use super::call::sealed::Sealed;
use super::{Call, Factor, Params, User, envelope};
use crate::Error;

/// `POST /auth/v2/auth`: asks the user.
///
/// A second request is a second push, call or SMS. Do not send one again, unless Duo answered 429.
#[derive(Clone)]
pub struct Auth {
    user: User,
    factor: Factor,
    asynchronous: bool,
    ipaddr: Option<IpAddr>,
    hostname: Option<String>,
}

impl Auth {
    /// Asks, and holds the reply until the user has answered or a minute is over.
    #[must_use]
    pub const fn new(user: User, factor: Factor) -> Self {
        Self { user, factor, asynchronous: false, ipaddr: None, hostname: None }
    }

    /// Asks, and replies at once with a [`Txid`] for [`AuthStatus`].
    #[must_use]
    pub const fn asynchronous(mut self) -> Self {
        self.asynchronous = true;
        self
    }

    /// Sets where the user logs in from. Without it Duo's network and location policies have no effect.
    #[must_use]
    pub const fn with_ipaddr(mut self, ipaddr: IpAddr) -> Self {
        self.ipaddr = Some(ipaddr);
        self
    }

    /// Sets the name of the host that the user logs in from.
    #[must_use]
    pub fn with_hostname(mut self, hostname: &str) -> Self {
        self.hostname = Some(hostname.to_owned());
        self
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Auth");
        shown.field("user", &self.user).field("factor", &self.factor.kind());
        shown.field("asynchronous", &self.asynchronous).finish_non_exhaustive()
    }
}

impl Sealed for Auth {
    const POST: bool = true;
    const PATH: &'static str = "/auth/v2/auth";
    const HELD: bool = true;
    const RINGS: bool = true;

    fn params(&self) -> Params {
        let params = self.factor.add_to(self.user.add_to(Params::new()));
        params
            .with("async", if self.asynchronous { "1" } else { "0" })
            .with_some("ipaddr", self.ipaddr.map(|ipaddr| ipaddr.to_string()))
            .with_some("hostname", self.hostname.as_deref())
    }
}

impl Call for Auth {
    type Reply = AuthReply;

    fn parse(reply: &HttpReply) -> Result<AuthReply, Error> {
        let response = envelope::open(reply)?;
        match (AuthResult::read(&response), envelope::text(&response, "txid")) {
            // A result that is final stands, with or without an id to ask for more.
            (Some(result), _) if result.verdict != Verdict::Waiting => Ok(AuthReply::Finished(result)),
            (_, Some(txid)) => match Txid::parse(txid) {
                Ok(txid) => Ok(AuthReply::Started(txid)),
                Err(_) => Err(Error::MalformedReply { reason: "txid is not 1 to 128 printable characters" }),
            },
            _ => Err(Error::MalformedReply { reason: "neither result nor txid is there" }),
        }
    }
}

/// The reply to [`Auth`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AuthReply {
    /// The user is being asked; [`AuthStatus`] tells the result. Nothing is granted yet.
    Started(Txid),
    /// It is over. An asynchronous call is answered so too, where a policy needs no answer of the user's.
    Finished(AuthResult),
}

/// The id of a transaction, such as `45f7c92b-f45f-4862-8545-e0f58e78075a`: 1 to 128 printable ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Txid(String);

impl Txid {
    /// Takes an id, as from a challenge's record. One that came from a browser is worth nothing.
    ///
    /// # Errors
    /// [`Error::Parameter`] if it is empty, too long, or has another character.
    pub fn parse(txid: &str) -> Result<Self, Error> {
        if (1..=128).contains(&txid.len()) && txid.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(Self(txid.to_owned()))
        } else {
            Err(Error::Parameter { name: "txid", reason: "must be 1 to 128 printable ascii characters" })
        }
    }

    /// Returns the id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `GET /auth/v2/auth_status`: has the user answered? Holds the reply until something happens, or for a while.
#[derive(Clone, Debug)]
pub struct AuthStatus {
    txid: Txid,
}

impl AuthStatus {
    /// Asks about a transaction.
    #[must_use]
    pub const fn new(txid: Txid) -> Self {
        Self { txid }
    }
}

impl Sealed for AuthStatus {
    const POST: bool = false;
    const PATH: &'static str = "/auth/v2/auth_status";
    const HELD: bool = true;

    fn params(&self) -> Params {
        Params::new().with("txid", self.txid.as_str())
    }
}

impl Call for AuthStatus {
    type Reply = AuthResult;

    fn parse(reply: &HttpReply) -> Result<AuthResult, Error> {
        let response = envelope::open(reply)?;
        AuthResult::read(&response).ok_or(Error::MalformedReply { reason: "result is missing" })
    }
}

/// What came of asking, so far.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuthResult {
    /// Duo's decision. Nothing else decides.
    pub verdict: Verdict,
    /// How it came about.
    pub status: Status,
    /// A text for the user, such as `Pushed a login request to your phone...`; it may hold a code.
    pub status_msg: SecretText,
    /// A token for [`Preauth::with_trusted_device_token`](super::Preauth::with_trusted_device_token), where Duo
    /// remembers devices.
    pub trusted_device_token: Option<SecretText>,
}

impl AuthResult {
    /// Returns whether Duo decided to let the user in: the result `allow` and no other.
    #[must_use]
    pub fn granted(&self) -> bool {
        self.verdict == Verdict::Allow
    }

    /// Returns whether it is worth asking again: the result `waiting` and no other.
    #[must_use]
    pub fn waiting(&self) -> bool {
        self.verdict == Verdict::Waiting
    }

    fn read(response: &Value) -> Option<Self> {
        Some(Self {
            verdict: Verdict::read(envelope::text(response, "result")?),
            status: Status::read(envelope::text(response, "status").unwrap_or_default()),
            status_msg: SecretText::new(envelope::text(response, "status_msg").unwrap_or_default()),
            trusted_device_token: envelope::text(response, "trusted_device_token").map(SecretText::new),
        })
    }
}

/// Duo's decision: the member `result`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Let the user in.
    Allow,
    /// Do not.
    Deny,
    /// Not decided yet.
    Waiting,
    /// A result that this version does not know: do not let the user in.
    Unknown(String),
}

impl Verdict {
    fn read(text: &str) -> Self {
        match text {
            "allow" => Self::Allow,
            "deny" => Self::Deny,
            "waiting" => Self::Waiting,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// How a decision came about, or how far it is: the member `status`. It decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// The telephone rings.
    Calling,
    /// The call was answered.
    Answered,
    /// The push was sent.
    Pushed,
    /// The push could not be sent; another factor may work.
    PushFailed,
    /// The user did not answer in time.
    Timeout,
    /// The user reported the request as fraud.
    Fraud,
    /// The user or a policy refused, or the passcode is wrong.
    Deny,
    /// The user is locked out at Duo.
    LockedOut,
    /// Passcodes were sent by SMS.
    Sent,
    /// The user approved.
    Allow,
    /// The user is in bypass at Duo: let in without a second factor (security rule S6).
    Bypass,
    /// A status that this version does not know; empty where there was none.
    Unknown(String),
}

impl Status {
    fn read(text: &str) -> Self {
        match text {
            "calling" => Self::Calling,
            "answered" => Self::Answered,
            "pushed" => Self::Pushed,
            "push_failed" => Self::PushFailed,
            "timeout" => Self::Timeout,
            "fraud" => Self::Fraud,
            "deny" => Self::Deny,
            "locked_out" => Self::LockedOut,
            "sent" => Self::Sent,
            "allow" => Self::Allow,
            "bypass" => Self::Bypass,
            other => Self::Unknown(other.to_owned()),
        }
    }
}
