//! What can go wrong.

use core::fmt;

use mfa_core::{EntropyError, HttpFault};

use crate::universal::{IdTokenError, OAuthError};
use crate::{ApplicationKey, IntegrationKey, SecretKey};

/// Says what was refused, or why there is no answer.
///
/// No variant shows a key, a cookie, a code or any other value that was given. What Duo's prompts answer is
/// not an error.
///
/// ```
/// use mfa_duo::{Error, SecretKey};
///
/// let error = SecretKey::parse("deadbeef").unwrap_err();
/// assert_eq!(error, Error::SecretKey);
/// assert_eq!(error.code(), "secret_key");
/// assert_eq!(error.to_string(), "secret key must be exactly 40 printable ascii characters");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The integration key (client id) has the wrong length or a character that it must not have.
    #[error(
        "integration key must be exactly {} printable ascii characters without '|' or ':'",
        IntegrationKey::CHARS
    )]
    IntegrationKey,
    /// The secret key (client secret) has the wrong length or a character that is not printable ASCII.
    #[error("secret key must be exactly {} printable ascii characters", SecretKey::CHARS)]
    SecretKey,
    /// The application key is too short.
    #[error("application key must have at least {} characters", ApplicationKey::MIN_CHARS)]
    ApplicationKey,
    /// The application key is the secret key, which Duo knows.
    #[error("application key must differ from the secret key")]
    SameKeys,
    /// The API host is not one of Duo's nor allowed by host code.
    #[error("api host {reason}")]
    ApiHost {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The user name is empty or has a `|`, which would end a field of a cookie.
    #[error("user name must not be empty nor contain '|'")]
    UserName,
    /// A parameter of a request breaks a rule.
    #[error("{name} {reason}")]
    Parameter {
        /// The parameter's name on the wire.
        name: &'static str,
        /// The rule that was broken.
        reason: &'static str,
    },
    /// A header to be signed breaks a rule of Duo's.
    #[error("x-duo header {}", problem.text())]
    Header {
        /// The rule that was broken.
        problem: HeaderProblem,
    },
    /// Duo's answer is not of the documented form.
    #[error("duo's reply is malformed: {reason}")]
    MalformedReply {
        /// The rule that was broken.
        reason: &'static str,
    },
    /// The answer's HTTP status is not 200 and its body names no error.
    #[error("duo answered with http status {status}")]
    HttpStatus {
        /// The HTTP status.
        status: u16,
    },
    /// Duo refused the request.
    #[error("duo refused the request")]
    Api(#[source] ApiError),
    /// Duo refused a request of the Universal Prompt.
    #[error("duo refused the request")]
    OAuth(#[source] OAuthError),
    /// Duo's word on a login is not accepted.
    #[error("the id token is not accepted")]
    IdToken(#[from] IdTokenError),
    /// The operating system gave no random bytes.
    #[error("no random bytes for a request")]
    Entropy(#[source] EntropyError),
    /// There is no answer from the network.
    #[error("no answer from duo")]
    Transport(#[source] HttpFault),
    /// The deadline came before an answer. The request may have arrived.
    #[error("duo did not answer in time")]
    TimedOut,
}

impl Error {
    /// Returns the error's stable name, in lower case with underscores. Names are never changed or used again
    /// for something else; messages may change.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::IntegrationKey => "integration_key",
            Self::SecretKey => "secret_key",
            Self::ApplicationKey => "application_key",
            Self::SameKeys => "same_keys",
            Self::ApiHost { .. } => "api_host",
            Self::UserName => "user_name",
            Self::Parameter { .. } => "parameter",
            Self::Header { problem } => problem.code(),
            Self::MalformedReply { .. } => "malformed_reply",
            Self::HttpStatus { .. } => "http_status",
            Self::Api(error) => error.class.code(),
            Self::OAuth(error) => error.kind().code(),
            Self::IdToken(error) => error.code(),
            Self::Entropy(error) => error.code(),
            Self::Transport(HttpFault::NotSent) => "not_sent",
            Self::Transport(HttpFault::Refused) => "refused",
            Self::Transport(HttpFault::Tls) => "tls",
            Self::Transport(_) => "unanswered",
            Self::TimedOut => "timed_out",
        }
    }
}

/// Which rule an additional `X-Duo-…` header broke (the checks of `duo_client`'s `canonicalize`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeaderProblem {
    /// The name is empty.
    EmptyName,
    /// The name has a NUL, which separates names from values in what is signed.
    NulInName,
    /// The value has a NUL.
    NulInValue,
    /// The name does not begin with `X-Duo-`.
    BadPrefix,
    /// Two names differ in case at most.
    Duplicate,
}

impl HeaderProblem {
    /// Returns the problem's stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::EmptyName => "empty_name",
            Self::NulInName => "nul_in_name",
            Self::NulInValue => "nul_in_value",
            Self::BadPrefix => "bad_prefix",
            Self::Duplicate => "duplicate",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::EmptyName => "has an empty name",
            Self::NulInName => "has a nul in its name",
            Self::NulInValue => "has a nul in its value",
            Self::BadPrefix => "must have a name that begins with x-duo-",
            Self::Duplicate => "is given twice",
        }
    }
}

/// An error that Duo named: `{"stat": "FAIL", "code": …, "message": …, "message_detail": …}`.
///
/// `Display` and `Debug` show the numbers and the class. The two texts are Duo's and may change; they are
/// there for a host's diagnosis through their accessors alone.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiError {
    pub(crate) http_status: u16,
    pub(crate) code: u32,
    pub(crate) class: ApiErrorClass,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
}

impl ApiError {
    /// Takes an error that Duo named; `code` is 0 where it gave none.
    pub(crate) fn new(http_status: u16, code: u32, message: String, detail: Option<String>) -> Self {
        Self { http_status, code, class: ApiErrorClass::of(http_status, code), message, detail }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.http_status
    }

    /// Returns Duo's own number, such as 40002; 0 where it gave none.
    #[must_use]
    pub const fn code(&self) -> u32 {
        self.code
    }

    /// Returns what kind of error it is.
    #[must_use]
    pub const fn class(&self) -> ApiErrorClass {
        self.class
    }

    /// Returns Duo's message, such as `Invalid request parameters`; empty where it gave none.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns Duo's detail, which for [`ApiErrorClass::InvalidParameter`] is the parameter's name.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("ApiError");
        shown.field("http_status", &self.http_status).field("code", &self.code);
        shown.field("class", &self.class).finish_non_exhaustive()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (http status {}, code {})", self.class.code(), self.http_status, self.code)
    }
}

impl core::error::Error for ApiError {}

/// The kinds of errors that Duo's codes stand for. Their first three digits are the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiErrorClass {
    /// 40001: a parameter is missing.
    MissingParameter,
    /// 40002: a parameter is invalid, and [`detail`](ApiError::detail) names it. From `auth_status` also: the
    /// long poll ran out.
    InvalidParameter,
    /// 40101: credentials are missing.
    MissingCredentials,
    /// 40102: no such integration key.
    InvalidIntegrationKey,
    /// 40103: the signature is wrong, as with a wrong secret key.
    InvalidSignature,
    /// 40104: the date is missing.
    MissingTimestamp,
    /// 40105: the date is too far from Duo's clock.
    BadTimestamp,
    /// 40106: the content type is wrong.
    InvalidContentType,
    /// 40112: this kind of signature is not supported.
    UnsupportedSignature,
    /// 403xx: the integration is of another type or may not do this.
    Forbidden,
    /// 404xx: there is no such thing.
    NotFound,
    /// 429xx: too many requests, as a rule for one user.
    RateLimited,
    /// 5xxxx: Duo's own fault.
    Server,
    /// A number that is none of these.
    Other,
}

impl ApiErrorClass {
    /// Returns the class's stable name.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::MissingParameter => "duo_missing_parameter",
            Self::InvalidParameter => "duo_invalid_parameter",
            Self::MissingCredentials => "duo_missing_credentials",
            Self::InvalidIntegrationKey => "duo_invalid_integration_key",
            Self::InvalidSignature => "duo_invalid_signature",
            Self::MissingTimestamp => "duo_missing_timestamp",
            Self::BadTimestamp => "duo_bad_timestamp",
            Self::InvalidContentType => "duo_invalid_content_type",
            Self::UnsupportedSignature => "duo_unsupported_signature",
            Self::Forbidden => "duo_forbidden",
            Self::NotFound => "duo_not_found",
            Self::RateLimited => "duo_rate_limited",
            Self::Server => "duo_server",
            Self::Other => "duo_other",
        }
    }

    const fn of(http_status: u16, code: u32) -> Self {
        match code {
            40001 => Self::MissingParameter,
            40002 => Self::InvalidParameter,
            40101 => Self::MissingCredentials,
            40102 => Self::InvalidIntegrationKey,
            40103 => Self::InvalidSignature,
            40104 => Self::MissingTimestamp,
            40105 => Self::BadTimestamp,
            40106 => Self::InvalidContentType,
            40112 => Self::UnsupportedSignature,
            _ => match (http_status, code) {
                // A 429 or a 5xx is one whatever the body says.
                (429, _) | (_, 42900..=42999) => Self::RateLimited,
                (500..=599, _) | (_, 50000..=59999) => Self::Server,
                (_, 40300..=40399) | (403, 0) => Self::Forbidden,
                (_, 40400..=40499) | (404, 0) => Self::NotFound,
                _ => Self::Other,
            },
        }
    }
}
