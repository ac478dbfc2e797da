//! What a host answers over HTTP: status, `Retry-After` and the challenge header of RFC 9470.

use core::time::Duration;

use http::StatusCode;

use crate::{
    ApiKeyVerify, Begin, Changed, DeniedReason, EnrolConfirm, Error, FieldError, Forbidden, KeyRingError,
    Reason, Rejected, Verify, api_key,
};

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
    /// How the confirmation of a method went.
    EnrolConfirm(&'a EnrolConfirm),
    /// How a switch or a cancellation went.
    Changed(&'a Changed),
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

impl<'a> From<&'a EnrolConfirm> for HttpOutcome<'a> {
    fn from(outcome: &'a EnrolConfirm) -> Self {
        Self::EnrolConfirm(outcome)
    }
}

impl<'a> From<&'a Changed> for HttpOutcome<'a> {
    fn from(outcome: &'a Changed) -> Self {
        Self::Changed(outcome)
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
/// | error | status (RFC 9110) | `Retry-After` |
/// |---|---|---|
/// | what was sent is wrong: [`Error::Invalid`], [`Error::InvalidDocument`] | 400 (§15.5.1) | – |
/// | an API key that cannot be one | 401 (§15.5.2), as a wrong one: the form of a key is told to nobody | – |
/// | [`Error::UnknownUser`], a grant that is too old | 401, as a refused answer (see below) | – |
/// | a proof is missing: [`Forbidden::StepUpRequired`] | 401, with the challenge of RFC 9470 §3 | – |
/// | whoever asks may not, or a provider refuses: [`Forbidden`], codes such as `method_not_offered` | 403 (§15.5.4) | – |
/// | what is named is not there: [`Error::NoDocument`], codes such as `unknown_method` | 404 (§15.5.5) | – |
/// | it does not fit what is there: [`Error::Conflict`], codes such as `already_enrolled` | 409 (§15.5.10) | – |
/// | [`Error::Contention`]: nothing was judged | 409 | 1 |
/// | too often: [`Forbidden::TooOften`], the codes `send_limit` and `locked` | 429 (RFC 6585 §4) | – |
/// | the step cannot be judged now: code `unavailable`, [`Error::Busy`] | 503 (§15.6.4) | 1 |
///
/// An unknown user is no 404 here. A host looks up a name that somebody typed and gives this error like any other; were
/// it another answer than that to a wrong password or code, whoever asks would learn who has an account. A page for
/// administrators, who may know that, asks for `Error::UnknownUser` first and answers 404 itself.
///
/// ```
/// use mfa_core::{Error, Reason, Rejected, Verify, http_status};
/// let refused = Verify::Rejected(Rejected::new(Reason::WrongCode, 4, None));
/// assert_eq!(http_status(&refused).status, 401);
/// let locked = Rejected::new(Reason::Locked, 4, Some(core::time::Duration::from_millis(1500)));
/// assert_eq!(http_status(&Verify::Rejected(locked)).retry_after, Some(2));
/// assert_eq!(http_status(&Error::Contention).retry_after, Some(1));
/// assert_eq!(http_status(&Error::Conflict).retry_after, None);
/// ```
pub fn http_status<'a>(outcome: impl Into<HttpOutcome<'a>>) -> HttpStatus {
    match outcome.into() {
        HttpOutcome::Begin(begin) => of_begin(begin),
        HttpOutcome::Verify(verify) => of_verify(verify),
        HttpOutcome::ApiKey(ApiKeyVerify::Verified(_)) => plain(StatusCode::OK),
        HttpOutcome::ApiKey(ApiKeyVerify::Rejected(_)) => refused(),
        HttpOutcome::EnrolConfirm(outcome) => match outcome {
            EnrolConfirm::Confirmed(_) | EnrolConfirm::RecoveryShown(_) => plain(StatusCode::OK),
            // Nobody is to be asked for a second factor; what was begun goes on (RFC 9110 §15.3.3).
            EnrolConfirm::Pending(_) => plain(StatusCode::ACCEPTED),
            EnrolConfirm::Rejected(rejected) => of_rejected(rejected),
        },
        HttpOutcome::Changed(Changed::Done(_)) => plain(StatusCode::OK),
        HttpOutcome::Changed(Changed::Rejected(rejected)) => of_rejected(rejected),
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
        Verify::Rejected(rejected) => of_rejected(rejected),
    }
}

fn of_rejected(rejected: &Rejected) -> HttpStatus {
    match rejected.reason {
        Reason::Locked | Reason::SendLimit => waiting(StatusCode::TOO_MANY_REQUESTS, rejected.retry_after),
        Reason::Denied
        | Reason::Fraud
        | Reason::Unavailable
        | Reason::NotOffered
        | Reason::UnknownToProvider
        | Reason::ModuleDisabled
        | Reason::IdentityTaken => plain(StatusCode::FORBIDDEN),
        Reason::WrongCode
        | Reason::Malformed
        | Reason::Replayed
        | Reason::Expired
        | Reason::Exhausted
        | Reason::AlreadyUsed
        | Reason::Superseded
        | Reason::Cancelled
        | Reason::NotFound
        | Reason::EnrolmentExpired
        | Reason::AlreadyVerified => refused(),
    }
}

fn of_error(error: &Error) -> HttpStatus {
    match error {
        Error::Contention => waiting(StatusCode::CONFLICT, Some(Duration::from_secs(1))),
        Error::Conflict | Error::KeyRing(KeyRingError::InUse { .. } | KeyRingError::Active) => {
            plain(StatusCode::CONFLICT)
        }
        Error::NoDocument => plain(StatusCode::NOT_FOUND),
        Error::InvalidDocument(_) => plain(StatusCode::BAD_REQUEST),
        Error::Invalid(field) => of_field(field),
        // As a refused answer: see the function's documentation.
        Error::UnknownUser => refused(),
        Error::Forbidden(why) => of_forbidden(*why),
        Error::Busy
        | Error::Unavailable(_)
        | Error::Store(_)
        | Error::Directory(_)
        | Error::Entropy(_)
        | Error::KeyRing(_)
        | Error::Provider(_)
        | Error::Codec(_)
        | Error::Machine(_) => waiting(StatusCode::SERVICE_UNAVAILABLE, Some(Duration::from_secs(1))),
    }
}

const fn of_forbidden(why: Forbidden) -> HttpStatus {
    match why {
        Forbidden::StepUpRequired => step_up(),
        Forbidden::TooOften => plain(StatusCode::TOO_MANY_REQUESTS),
        Forbidden::NotPermitted
        | Forbidden::PolicyForbids
        | Forbidden::InvitationRequired
        | Forbidden::RecoveryHold => plain(StatusCode::FORBIDDEN),
    }
}

/// A code that is not here is a value that is not possible.
fn of_field(field: &FieldError) -> HttpStatus {
    match field.code {
        _ if api_key::is_malformed(field) => refused(),
        "unknown_method" | "unknown_device" | "unknown_exemption" | "unknown_module" | "no_api_key" => {
            plain(StatusCode::NOT_FOUND)
        }
        "already_enrolled"
        | "banned"
        | "contact_not_verified"
        | "exists"
        | "hash_only"
        | "maxItems"
        | "no_method"
        | "not_confirmed"
        | "not_registered"
        | "too_many"
        | "too_many_banned"
        | "too_many_enrolments"
        | "too_many_pending" => plain(StatusCode::CONFLICT),
        // Reasons of a provider, as of an answer; and what is another person's or account's.
        "denied" | "fraud" | "generation" | "identity_taken" | "method_not_offered" | "module_disabled"
        | "other_account" | "other_session" | "other_user" | "unavailable" | "user_not_found" => {
            plain(StatusCode::FORBIDDEN)
        }
        // The login begins anew, as after a challenge that has expired.
        "grant_expired" => refused(),
        "locked" | "send_limit" => plain(StatusCode::TOO_MANY_REQUESTS),
        _ => plain(StatusCode::BAD_REQUEST),
    }
}

/// A wrong answer, and whatever must not differ from one.
const fn refused() -> HttpStatus {
    plain(StatusCode::UNAUTHORIZED)
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

#[cfg(test)]
mod tests;
