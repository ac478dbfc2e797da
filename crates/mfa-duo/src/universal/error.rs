//! Errors in the form of OAuth 2.0.

use core::fmt;

/// The longest text of Duo's that is kept, in characters.
const MAX_TEXT_CHARS: usize = 256;

/// An error of the token endpoint or of the callback: `error` and `error_description` (RFC 6749 §4.1.2.1, §5.2).
///
/// `Display` and `Debug` show the kind and the HTTP status. The texts come from the network, in a callback from the
/// browser; they are there for a host's diagnosis through their accessors alone, cut to 256 characters and without
/// control characters.
#[derive(Clone, PartialEq, Eq)]
pub struct OAuthError {
    http_status: Option<u16>,
    kind: OAuthErrorKind,
    error: String,
    description: Option<String>,
}

impl OAuthError {
    pub(super) fn new(http_status: Option<u16>, error: &str, description: Option<&str>) -> Self {
        let kind = OAuthErrorKind::of(error);
        Self { http_status, kind, error: cut(error), description: description.map(cut) }
    }

    /// Returns the HTTP status; none for an error in a callback.
    #[must_use]
    pub const fn http_status(&self) -> Option<u16> {
        self.http_status
    }

    /// Returns what kind of error it is.
    #[must_use]
    pub const fn kind(&self) -> OAuthErrorKind {
        self.kind
    }

    /// Returns Duo's name of the error, such as `invalid_grant`.
    #[must_use]
    pub fn error(&self) -> &str {
        &self.error
    }

    /// Returns Duo's description.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }
}

impl fmt::Debug for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("OAuthError");
        shown.field("http_status", &self.http_status).field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl fmt::Display for OAuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.code())?;
        self.http_status.map_or(Ok(()), |status| write!(f, " (http status {status})"))
    }
}

impl core::error::Error for OAuthError {}

/// The kinds of errors that OAuth 2.0 names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthErrorKind {
    /// The user or Duo's policy refused.
    AccessDenied,
    /// The client id, the secret or the clock is wrong.
    InvalidClient,
    /// The code is wrong, used, expired, or was made for another redirect URI.
    InvalidGrant,
    /// The request is malformed.
    InvalidRequest,
    /// The scope is not `openid`.
    InvalidScope,
    /// Duo's own fault.
    ServerError,
    /// Duo is overloaded or under maintenance.
    TemporarilyUnavailable,
    /// The application may not do this.
    UnauthorizedClient,
    /// The grant type is not `authorization_code`.
    UnsupportedGrantType,
    /// The response type is not `code`.
    UnsupportedResponseType,
    /// A name that is none of these.
    Other,
}

impl OAuthErrorKind {
    const NAMED: [Self; 10] = [
        Self::AccessDenied,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::InvalidRequest,
        Self::InvalidScope,
        Self::ServerError,
        Self::TemporarilyUnavailable,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::UnsupportedResponseType,
    ];

    /// Returns the kind's stable name: `duo_` and the name of OAuth 2.0.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::AccessDenied => "duo_access_denied",
            Self::InvalidClient => "duo_invalid_client",
            Self::InvalidGrant => "duo_invalid_grant",
            Self::InvalidRequest => "duo_invalid_request",
            Self::InvalidScope => "duo_invalid_scope",
            Self::ServerError => "duo_server_error",
            Self::TemporarilyUnavailable => "duo_temporarily_unavailable",
            Self::UnauthorizedClient => "duo_unauthorized_client",
            Self::UnsupportedGrantType => "duo_unsupported_grant_type",
            Self::UnsupportedResponseType => "duo_unsupported_response_type",
            Self::Other => "duo_other",
        }
    }

    fn of(error: &str) -> Self {
        let named = |kind: &Self| kind.code().strip_prefix("duo_") == Some(error);
        Self::NAMED.into_iter().find(named).unwrap_or(Self::Other)
    }
}

fn cut(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(MAX_TEXT_CHARS).collect()
}
