//! What a host answers over HTTP: status, `Retry-After` and the challenge header of RFC 9470.

use core::time::Duration;

use http::StatusCode;

use crate::{ApiKeyVerify, Begin, DeniedReason, Error, Forbidden, Reason, Verify};

/// An outcome or an error, to be mapped.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum HttpOutcome<'a> {
    /// What begin answered.
    Begin(&'a Begin),
    /// What verify or claim answered.
    Verify(&'a Verify),
    /// How an API key was judged.
    ApiKey(&'a ApiKeyVerify),
    /// A step that could not be judged.
    Error(&'a Error),
}

impl<'a> From<&'a Begin> for HttpOutcome<'a> {
    fn from(outcome: &'a Begin) -> Self {
        Self::Begin(outcome)
    }
}

impl<'a> From<&'a Verify> for HttpOutcome<'a> {
    fn from(outcome: &'a Verify) -> Self {
        Self::Verify(outcome)
    }
}

impl<'a> From<&'a ApiKeyVerify> for HttpOutcome<'a> {
    fn from(outcome: &'a ApiKeyVerify) -> Self {
        Self::ApiKey(outcome)
    }
}

impl<'a> From<&'a Error> for HttpOutcome<'a> {
    fn from(error: &'a Error) -> Self {
        Self::Error(error)
    }
}

/// The parts of an HTTP answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpStatus {
    /// The status.
    pub status: StatusCode,
    /// The value of `Retry-After`, in whole seconds, rounded up.
    pub retry_after: Option<u64>,
    /// The value of `WWW-Authenticate` (RFC 9470 §3), where a second factor is missing.
    pub www_authenticate: Option<&'static str>,
}

const STEP_UP: &str = "Bearer error=\"insufficient_user_authentication\", \
                       error_description=\"A second factor is required\"";

/// Maps an outcome or an error to an HTTP answer. A pure function: a host may do otherwise.
///
/// ```
/// use mfa_core::{Error, Reason, Rejected, Verify, http_status};
/// let refused = Verify::Rejected(Rejected::new(Reason::WrongCode, 4, None));
/// assert_eq!(http_status(&refused).status, 401);
/// let locked = Rejected::new(Reason::Locked, 4, Some(core::time::Duration::from_millis(1500)));
/// assert_eq!(http_status(&Verify::Rejected(locked)).retry_after, Some(2));
/// assert_eq!(http_status(&Error::Contention).status, 409);
/// ```
pub fn http_status<'a>(outcome: impl Into<HttpOutcome<'a>>) -> HttpStatus {
    match outcome.into() {
        HttpOutcome::Begin(begin) => of_begin(begin),
        HttpOutcome::Verify(verify) => of_verify(verify),
        HttpOutcome::ApiKey(ApiKeyVerify::Verified(_)) => plain(StatusCode::OK),
        HttpOutcome::ApiKey(ApiKeyVerify::Rejected(_)) => plain(StatusCode::UNAUTHORIZED),
        HttpOutcome::Error(error) => of_error(error),
    }
}

fn of_begin(begin: &Begin) -> HttpStatus {
    match begin {
        Begin::NotRequired(_) | Begin::TrustedDevice(_) => plain(StatusCode::OK),
        Begin::Challenge(_) => step_up(),
        Begin::EnrolmentRequired(_) => plain(StatusCode::FORBIDDEN),
        Begin::Denied(denied) => match denied.reason {
            DeniedReason::Locked | DeniedReason::TooManyOpen | DeniedReason::SendLimit => {
                waiting(StatusCode::TOO_MANY_REQUESTS, denied.retry_after)
            }
            DeniedReason::Unavailable
            | DeniedReason::Generation
            | DeniedReason::ProviderDenied
            | DeniedReason::ModuleDisabled => plain(StatusCode::FORBIDDEN),
        },
    }
}

fn of_verify(verify: &Verify) -> HttpStatus {
    match verify {
        Verify::Verified(_) | Verify::Proven(_) | Verify::NotRequired(_) => plain(StatusCode::OK),
        Verify::Pending(_) => step_up(),
        Verify::Rejected(rejected) => match rejected.reason {
            Reason::Locked | Reason::SendLimit => {
                waiting(StatusCode::TOO_MANY_REQUESTS, rejected.retry_after)
            }
            Reason::Denied
            | Reason::Fraud
            | Reason::Unavailable
            | Reason::NotOffered
            | Reason::UnknownToProvider
            | Reason::ModuleDisabled
            | Reason::IdentityTaken => plain(StatusCode::FORBIDDEN),
            _ => plain(StatusCode::UNAUTHORIZED),
        },
    }
}

fn of_error(error: &Error) -> HttpStatus {
    match error {
        Error::Contention => waiting(StatusCode::CONFLICT, Some(Duration::from_secs(1))),
        Error::UnknownUser => plain(StatusCode::UNAUTHORIZED),
        Error::Forbidden(Forbidden::StepUpRequired) => step_up(),
        Error::Forbidden(Forbidden::TooOften) => waiting(StatusCode::TOO_MANY_REQUESTS, None),
        Error::Invalid(_) | Error::Forbidden(_) => plain(StatusCode::FORBIDDEN),
        _ => waiting(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1))),
    }
}

const fn plain(status: StatusCode) -> HttpStatus {
    HttpStatus { status, retry_after: None, www_authenticate: None }
}

const fn step_up() -> HttpStatus {
    HttpStatus { status: StatusCode::UNAUTHORIZED, retry_after: None, www_authenticate: Some(STEP_UP) }
}

fn waiting(status: StatusCode, wait: Option<Duration>) -> HttpStatus {
    let whole = |wait: Duration| wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    HttpStatus { retry_after: wait.map(whole), ..plain(status) }
}
