//! Every error, and every outcome that can be made here, with its answer; those that only an engine makes are in
//! `tests/http_status.rs`. The statuses are those of RFC 9110 §15, RFC 6585 §4 and RFC 9470 §3.

use std::io;
use std::sync::Arc;

use audit_model::{AuditError, IdError};

use super::*;
use crate::outcome::{Denied, IssuedRecovery, Pending};
use crate::{
    ApiKey, CodecError, DirectoryError, EnrolmentId, EntropyError, GrantMismatch, IllegalMove, Move,
    NameError, NotRequired, ProviderError, Revealed, Status, StoreError,
};

/// Status, `Retry-After`, and whether a second factor is asked for.
type Row = (u16, Option<u64>, bool);

fn row<'a>(outcome: impl Into<HttpOutcome<'a>>) -> Row {
    let told = http_status(outcome);
    assert!(
        told.www_authenticate.is_none_or(|challenge| challenge.contains("insufficient_user_authentication"))
    );
    (told.status.as_u16(), told.retry_after, told.www_authenticate.is_some())
}

fn field(name: &str, code: &'static str) -> Error {
    Error::Invalid(FieldError::new(name, code, "x"))
}

fn broken() -> Arc<io::Error> {
    Arc::new(io::Error::other("x"))
}

#[test]
fn each_error_has_its_status() {
    let illegal = IllegalMove { from: Status::Expired, by: Move::Send };
    let of = |code| field("method", code);
    let table: &[(Error, Row)] = &[
        // What was sent is wrong.
        (
            Error::InvalidDocument(vec![FieldError::new("foo", "unknown_knob", "is no knob")]),
            (400, None, false),
        ),
        (Error::InvalidDocument(Vec::new()), (400, None, false)),
        (field("digits", "clamp"), (400, None, false)),
        (field("device name", "required"), (400, None, false)),
        (of("not_a_factor"), (400, None, false)),
        (IdError::Empty { what: "user" }.into(), (400, None, false)),
        (NameError::NotUuid { what: "device" }.into(), (400, None, false)),
        (AuditError::InvalidCursor.into(), (400, None, false)),
        (vec![FieldError::new("foo", "unknown_knob", "is no knob")].into(), (400, None, false)),
        (of("a code of a provider's own"), (400, None, false)),
        (field("data", "unknown_field"), (400, None, false)),
        // What cannot be a key of an API, as a wrong one.
        (field("api_key", "too_short"), (401, None, false)),
        (field("api_key", "too_long"), (401, None, false)),
        (field("api_key", "required"), (401, None, false)),
        (field("api_key", "type"), (401, None, false)),
        // As a refused answer.
        (Error::UnknownUser, (401, None, false)),
        (Error::Forbidden(Forbidden::StepUpRequired), (401, None, true)),
        (Error::Forbidden(Forbidden::NotPermitted), (403, None, false)),
        (Error::Forbidden(Forbidden::PolicyForbids), (403, None, false)),
        (Error::Forbidden(Forbidden::InvitationRequired), (403, None, false)),
        (Error::Forbidden(Forbidden::RecoveryHold), (403, None, false)),
        (of("method_not_offered"), (403, None, false)),
        (of("identity_taken"), (403, None, false)),
        (of("unavailable"), (403, None, false)),
        (of("denied"), (403, None, false)),
        (of("fraud"), (403, None, false)),
        (of("user_not_found"), (403, None, false)),
        (of("module_disabled"), (403, None, false)),
        (field("user", "generation"), (403, None, false)),
        (field("account", "other_account"), (403, None, false)),
        (GrantMismatch::Account.into(), (403, None, false)),
        (GrantMismatch::User.into(), (403, None, false)),
        (GrantMismatch::Session.into(), (403, None, false)),
        (GrantMismatch::Expired.into(), (401, None, false)),
        // What is named is not there.
        (Error::NoDocument, (404, None, false)),
        (of("unknown_method"), (404, None, false)),
        (field("device", "unknown_device"), (404, None, false)),
        (field("exemption", "unknown_exemption"), (404, None, false)),
        (field("module", "unknown_module"), (404, None, false)),
        (field("api_key", "no_api_key"), (404, None, false)),
        // It does not fit what is there.
        (Error::Conflict, (409, None, false)),
        (Error::KeyRing(KeyRingError::InUse { references: 1 }), (409, None, false)),
        (Error::KeyRing(KeyRingError::Active), (409, None, false)),
        (of("already_enrolled"), (409, None, false)),
        (of("too_many_enrolments"), (409, None, false)),
        (field("user", "too_many_pending"), (409, None, false)),
        (field("user", "no_method"), (409, None, false)),
        (field("enrolment", "not_confirmed"), (409, None, false)),
        (field("contact", "contact_not_verified"), (409, None, false)),
        (field("device", "banned"), (409, None, false)),
        (field("device", "too_many_banned"), (409, None, false)),
        (field("exemptions", "too_many"), (409, None, false)),
        (field("configurations", "maxItems"), (409, None, false)),
        (field("api_key", "exists"), (409, None, false)),
        (field("api_key", "hash_only"), (409, None, false)),
        (field("provider", "not_registered"), (409, None, false)),
        (Error::Contention, (409, Some(1), false)),
        // Too often.
        (Error::Forbidden(Forbidden::TooOften), (429, None, false)),
        (field("user", "send_limit"), (429, None, false)),
        (of("locked"), (429, None, false)),
        // Not now.
        (Error::Busy, (503, Some(1), false)),
        (Error::Unavailable("x"), (503, Some(1), false)),
        (Error::Store(StoreError::Unavailable(broken())), (503, Some(1), false)),
        (Error::Store(StoreError::Unknown(broken())), (503, Some(1), false)),
        (Error::Store(StoreError::Corrupt("x")), (503, Some(1), false)),
        (Error::Directory(DirectoryError::new(io::Error::other("x"))), (503, Some(1), false)),
        (Error::Entropy(EntropyError::ZeroBlock), (503, Some(1), false)),
        (Error::KeyRing(KeyRingError::Unknown), (503, Some(1), false)),
        (AuditError::Corrupt("x").into(), (503, Some(1), false)),
        (Error::Provider(ProviderError::Inappropriate), (503, Some(1), false)),
        (Error::Codec(CodecError::Malformed), (503, Some(1), false)),
        (Error::Machine(illegal), (503, Some(1), false)),
    ];
    for (error, expected) in table {
        assert_eq!(row(error), *expected, "{error:?}");
    }
}

#[test]
fn a_key_that_cannot_be_one_is_answered_as_a_wrong_one() {
    let wrong = http_status(&ApiKeyVerify::Rejected(Rejected::new(Reason::NotFound, 0, None)));
    for text in ["", "x", &"0".repeat(63), &"0".repeat(65)] {
        let error = Error::from(ApiKey::presented(text).unwrap_err());
        assert_eq!(http_status(&error), wrong, "{}", error.code());
    }
    for body in [serde_json::json!({}), serde_json::json!({"api_key": 5})] {
        let error = Error::from(ApiKey::in_request(&body).unwrap_err());
        assert_eq!(http_status(&error), wrong, "{}", error.code());
    }
    // What a management call says of the same field is another matter.
    assert_ne!(http_status(&field(api_key::FIELD, "no_api_key")), wrong);
}

#[test]
fn an_unknown_user_is_answered_as_a_wrong_code() {
    let wrong = Verify::Rejected(Rejected::new(Reason::WrongCode, 4, None));
    assert_eq!(http_status(&Error::UnknownUser), http_status(&wrong));
}

#[test]
fn each_reason_has_its_status() {
    for reason in Reason::ALL {
        let expected = match reason.code() {
            "locked" | "send_limit" => (429, Some(2), false),
            "denied" | "fraud" | "unavailable" | "method_not_offered" | "user_not_found"
            | "module_disabled" | "identity_taken" => (403, None, false),
            _ => (401, None, false),
        };
        let rejected = || Rejected::new(reason, 3, Some(Duration::from_millis(1500)));
        assert_eq!(row(&Verify::Rejected(rejected())), expected, "{reason}");
        assert_eq!(row(&EnrolConfirm::Rejected(rejected())), expected, "{reason}");
        assert_eq!(row(&Changed::Rejected(rejected())), expected, "{reason}");
        assert_eq!(row(&ApiKeyVerify::Rejected(rejected())), (401, None, false), "{reason}");
    }
}

#[test]
fn each_denial_has_its_status() {
    let table = [
        (DeniedReason::Unavailable, (403, None, false)),
        (DeniedReason::Generation, (403, None, false)),
        (DeniedReason::ProviderDenied, (403, None, false)),
        (DeniedReason::ModuleDisabled, (403, None, false)),
        (DeniedReason::Locked, (429, Some(2), false)),
        (DeniedReason::TooManyOpen, (429, Some(2), false)),
        (DeniedReason::SendLimit, (429, Some(2), false)),
    ];
    for (reason, expected) in table {
        let denied = Denied { reason, retry_after: Some(Duration::from_millis(1500)) };
        assert_eq!(row(&Begin::Denied(denied)), expected, "{reason:?}");
    }
}

#[test]
fn what_goes_on_without_an_answer_has_its_status() {
    assert_eq!(row(&Begin::NotRequired(NotRequired::NoMethod)), (200, None, false));
    assert_eq!(row(&Verify::NotRequired(NotRequired::NoMethod)), (200, None, false));
    let (prompt, id) = (serde_json::Value::Null, EnrolmentId::from_bytes([1; 16]));
    assert_eq!(row(&Verify::Pending(Pending { prompt: prompt.clone() })), (401, None, true));
    assert_eq!(row(&EnrolConfirm::Pending(Pending { prompt: prompt.clone() })), (202, None, false));
    assert_eq!(row(&EnrolConfirm::Confirmed(id)), (200, None, false));
    let shown = IssuedRecovery { id, prompt: prompt.clone(), revealed: Revealed::new() };
    assert_eq!(row(&EnrolConfirm::RecoveryShown(shown)), (200, None, false));
    assert_eq!(row(&Changed::Done(prompt)), (200, None, false));
}
