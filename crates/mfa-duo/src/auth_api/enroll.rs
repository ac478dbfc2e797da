//! Calls that bring a user to Duo.

use core::fmt;

use mfa_core::{HttpReply, SecretText, Timestamp};
use serde_json::Value;

use super::call::sealed::Sealed;
use super::{Call, Params, envelope};
use crate::Error;

/// `POST /auth/v2/enroll`: makes a user with a telephone to be activated. A second request makes a second user.
#[derive(Clone, Debug, Default)]
pub struct Enroll {
    username: Option<String>,
    valid_secs: Option<u32>,
}

impl Enroll {
    /// Makes a user whose name Duo picks.
    #[must_use]
    pub const fn new() -> Self {
        Self { username: None, valid_secs: None }
    }

    /// Sets the user's name.
    #[must_use]
    pub fn with_username(mut self, username: &str) -> Self {
        self.username = Some(username.to_owned());
        self
    }

    /// Sets for how many seconds the activation is good; a day where it is not set.
    #[must_use]
    pub const fn with_valid_secs(mut self, seconds: u32) -> Self {
        self.valid_secs = Some(seconds);
        self
    }
}

impl Sealed for Enroll {
    const POST: bool = true;
    const PATH: &'static str = "/auth/v2/enroll";

    fn params(&self) -> Params {
        Params::new()
            .with_some("username", self.username.as_deref())
            .with_some("valid_secs", self.valid_secs.map(|seconds| seconds.to_string()))
    }
}

impl Call for Enroll {
    type Reply = Enrolled;

    fn parse(reply: &HttpReply) -> Result<Enrolled, Error> {
        let response = envelope::open(reply)?;
        let secret = |name, reason| envelope::required(&response, name, reason).map(SecretText::new);
        let codes = response.get("bypass_codes").and_then(Value::as_array).map(Vec::as_slice);
        Ok(Enrolled {
            user_id: envelope::required(&response, "user_id", "user_id is missing")?.to_owned(),
            username: envelope::required(&response, "username", "username is missing")?.to_owned(),
            activation_barcode: secret("activation_barcode", "activation_barcode is missing")?,
            activation_code: secret("activation_code", "activation_code is missing")?,
            activation_url: envelope::text(&response, "activation_url").map(SecretText::new),
            expires_at: envelope::time(&response, "expiration"),
            bypass_codes: codes
                .unwrap_or_default()
                .iter()
                .filter_map(Value::as_str)
                .map(SecretText::new)
                .collect(),
        })
    }
}

/// A new user, and what activates Duo Mobile for him.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Enrolled {
    /// Duo's id.
    pub user_id: String,
    /// The name, given or picked.
    pub username: String,
    /// The address of a QR code with the activation code.
    pub activation_barcode: SecretText,
    /// The code, `duo://…`, to open on the telephone or to ask [`EnrollStatus`] with.
    pub activation_code: SecretText,
    /// The address to open on the telephone.
    pub activation_url: Option<SecretText>,
    /// Until when it can be used.
    pub expires_at: Option<Timestamp>,
    /// Codes of servers that still make them.
    pub bypass_codes: Vec<SecretText>,
}

/// `POST /auth/v2/enroll_status`: has the user activated?
#[derive(Clone)]
pub struct EnrollStatus {
    user_id: String,
    activation_code: SecretText,
}

impl EnrollStatus {
    /// Asks about what [`Enroll`] replied.
    #[must_use]
    pub fn new(enrolled: &Enrolled) -> Self {
        Self { user_id: enrolled.user_id.clone(), activation_code: enrolled.activation_code.clone() }
    }

    /// Asks with values that were kept.
    #[must_use]
    pub fn from_parts(user_id: &str, activation_code: SecretText) -> Self {
        Self { user_id: user_id.to_owned(), activation_code }
    }
}

impl fmt::Debug for EnrollStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnrollStatus").field("user_id", &self.user_id).finish_non_exhaustive()
    }
}

impl Sealed for EnrollStatus {
    const POST: bool = true;
    const PATH: &'static str = "/auth/v2/enroll_status";

    fn params(&self) -> Params {
        Params::new()
            .with("user_id", self.user_id.as_str())
            .with("activation_code", self.activation_code.expose_secret())
    }
}

impl Call for EnrollStatus {
    type Reply = EnrollState;

    fn parse(reply: &HttpReply) -> Result<EnrollState, Error> {
        match envelope::open(reply)? {
            Value::String(state) => Ok(match state.as_str() {
                "success" => EnrollState::Success,
                "invalid" => EnrollState::Invalid,
                "waiting" => EnrollState::Waiting,
                _ => EnrollState::Unknown(state),
            }),
            _ => Err(Error::MalformedReply { reason: "the response is not text" }),
        }
    }
}

/// Whether an enrolment is complete.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EnrollState {
    /// The user has activated.
    Success,
    /// The code is expired or was never one of this user's.
    Invalid,
    /// Not yet.
    Waiting,
    /// A state that this version does not know; not success.
    Unknown(String),
}
