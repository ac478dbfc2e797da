//! What Duo says before it asks the user.

use core::fmt;
use core::net::IpAddr;

use mfa_core::{HttpReply, SecretText, Timestamp};
use serde_json::Value;

use super::call::sealed::Sealed;
use super::{Call, Devices, Params, Txid, User, envelope};
use crate::Error;

/// `POST /auth/v2/preauth`: may the user log in, and how can he be asked?
#[derive(Clone)]
pub struct Preauth {
    user: User,
    ipaddr: Option<IpAddr>,
    hostname: Option<String>,
    trusted_device_token: Option<SecretText>,
}

impl Preauth {
    /// Asks about a user.
    #[must_use]
    pub const fn new(user: User) -> Self {
        Self { user, ipaddr: None, hostname: None, trusted_device_token: None }
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

    /// Sets the token of a device that Duo remembers, from [`AuthResult`](super::AuthResult).
    #[must_use]
    pub fn with_trusted_device_token(mut self, token: SecretText) -> Self {
        self.trusted_device_token = Some(token);
        self
    }
}

impl fmt::Debug for Preauth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preauth").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Sealed for Preauth {
    const POST: bool = true;
    const PATH: &'static str = "/auth/v2/preauth";

    fn params(&self) -> Params {
        self.user
            .add_to(Params::new())
            .with_some("ipaddr", self.ipaddr.map(|ipaddr| ipaddr.to_string()))
            .with_some("hostname", self.hostname.as_deref())
            .with_some(
                "trusted_device_token",
                self.trusted_device_token.as_ref().map(SecretText::expose_secret),
            )
            // Not an option: without it, a policy that demands verified push is skipped by Duo (security rule
            // S31).
            .with("client_supports_verified_push", "1")
    }
}

impl Call for Preauth {
    type Reply = PreauthReply;

    fn parse(reply: &HttpReply) -> Result<PreauthReply, Error> {
        let response = envelope::open(reply)?;
        let result = envelope::required(&response, "result", "result is missing")?;
        Ok(PreauthReply {
            result: PreauthResult::read(result),
            status_msg: SecretText::new(envelope::text(&response, "status_msg").unwrap_or_default()),
            devices: Devices::read(response.get("devices")),
            enroll_portal_url: envelope::text(&response, "enroll_portal_url").map(SecretText::new),
            verified_push: VerifiedPush::read(&response),
        })
    }
}

/// The reply to [`Preauth`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PreauthReply {
    /// What is to be done.
    pub result: PreauthResult,
    /// A text for the user; it may hold a code.
    pub status_msg: SecretText,
    /// How the user can be asked; with [`PreauthResult::Auth`] alone.
    pub devices: Devices,
    /// Where the user can enrol; with [`PreauthResult::Enroll`] alone.
    pub enroll_portal_url: Option<SecretText>,
    /// The number to show, where the user's next push can be a verified one.
    pub verified_push: Option<VerifiedPush>,
}

/// What is to be done with a login.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreauthResult {
    /// Ask the user: call [`Auth`](super::Auth).
    Auth,
    /// Let the user in without asking, as a policy or a remembered device has it. No second factor was proven.
    Allow,
    /// Refuse.
    Deny,
    /// The user is not enrolled yet.
    Enroll,
    /// A result that this version does not know: refuse.
    Unknown(String),
}

impl PreauthResult {
    fn read(text: &str) -> Self {
        match text {
            "auth" => Self::Auth,
            "allow" => Self::Allow,
            "deny" => Self::Deny,
            "enroll" => Self::Enroll,
            other => Self::Unknown(other.to_owned()),
        }
    }
}

/// What a verified push needs: show the code to the user, and send the id with
/// [`Push::verified`](super::Push::verified) before it is over, about a minute later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct VerifiedPush {
    /// The id of the transaction to be.
    pub txid: Txid,
    /// The number that the user types into Duo Mobile.
    pub verification_code: SecretText,
    /// Until when both are good.
    pub expires_at: Option<Timestamp>,
}

impl VerifiedPush {
    fn read(response: &Value) -> Option<Self> {
        let code = match response.get("verification_code")? {
            Value::String(code) if !code.is_empty() => code.clone(),
            Value::Number(code) => code.to_string(),
            _ => return None,
        };
        Some(Self {
            txid: Txid::parse(envelope::text(response, "txid")?).ok()?,
            verification_code: SecretText::new(code),
            expires_at: envelope::time(response, "expiration"),
        })
    }
}
