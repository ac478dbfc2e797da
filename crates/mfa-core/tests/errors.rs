//! What a handler does with errors of other kinds, and how errors and names read.
#![cfg(test)]

use std::error::Error as _;
use std::io;

use audit_model::{AuditError, TimeError};
use mfa_core::{
    Aal, AccountId, DirectoryError, EnrolmentId, Error, GrantMismatch, KeyRingError, MethodSelector, Module,
    NotRequired, Policy, ProviderName, StoreError, UserId,
};
use serde_json::json;

/// The field, the code and the text of an error that a handler returns by `?`.
fn told(handler: impl FnOnce() -> Result<(), Error>) -> (String, &'static str, String) {
    let error = handler().unwrap_err();
    let (code, text) = (error.code(), error.to_string());
    let field = match error {
        Error::Invalid(field) => field.field,
        Error::InvalidDocument(fields) => {
            fields.into_iter().map(|field| field.field).collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    };
    (field, code, text)
}

fn is_told(handler: impl FnOnce() -> Result<(), Error>, field: &str, code: &str, text: &str) {
    let (of, by, says) = told(handler);
    assert_eq!((of.as_str(), by), (field, code));
    assert!(says.contains(text) && !says.contains("mallory"), "{says}");
}

#[test]
fn a_handler_returns_what_is_no_id_and_no_name_by_its_field() {
    is_told(
        || {
            AccountId::parse("~mallory")?;
            Ok(())
        },
        "account",
        "invalid_account_id",
        "account id begins with `~`",
    );
    is_told(
        || {
            UserId::parse("mallory ")?;
            Ok(())
        },
        "user",
        "invalid_user_id",
        "user id begins or ends with white space",
    );
    is_told(
        || {
            Module::parse("mallory!")?;
            Ok(())
        },
        "module",
        "invalid_name",
        "module name is not 1 to 32",
    );
    is_told(
        || {
            ProviderName::parse("mallory!")?;
            Ok(())
        },
        "provider",
        "invalid_name",
        "provider name is not 1 to 32",
    );
    is_told(
        || {
            "mallory".parse::<EnrolmentId>()?;
            Ok(())
        },
        "enrolment",
        "invalid_id",
        "enrolment id is not a UUID",
    );
}

#[test]
fn a_handler_returns_a_grant_a_document_and_a_query_that_do_not_fit() {
    is_told(|| Err(GrantMismatch::Session)?, "grant", "other_session", "another session");
    is_told(|| Err(GrantMismatch::Expired)?, "grant", "grant_expired", "begin again");
    let both = || {
        Policy::recommended().with_document(&json!({"attempts": 11, "enforced": 1}))?;
        Ok(())
    };
    is_told(both, "attempts enforced", "clamp", "attempts ");
    is_told(|| Err(AuditError::InvalidCursor)?, "start_key", "invalid_cursor", "start again");
    is_told(|| Err(AuditError::RangeTooLarge { limit: 7 })?, "range", "range_too_large", "more than 7");
    let invalid = AuditError::Invalid { field: "limit", problem: "is 0, must be from 1".to_owned() };
    is_told(|| Err(invalid)?, "limit", "invalid", "limit is 0, must be from 1");

    let time = AuditError::Time { field: "created_from", source: TimeError::NotGregorian };
    is_told(|| Err(time)?, "created_from", "not_gregorian_seconds", "add 62167219200");

    // What the store does wrong is nobody's query.
    let lost = Error::from(AuditError::Unavailable(Box::new(io::Error::other("gone"))));
    assert!(
        matches!(&lost, Error::Store(StoreError::Unavailable(why)) if why.to_string() == "gone"),
        "{lost:?}"
    );
    assert!(matches!(Error::from(AuditError::Corrupt("x")), Error::Store(StoreError::Corrupt("x"))));
}

#[test]
fn an_error_of_the_key_ring_says_what_it_is_once() {
    let error = Error::from(KeyRingError::Active);
    assert_eq!(error.to_string(), format!("key ring: {}", KeyRingError::Active));
    assert!(error.source().is_none());
}

#[test]
fn a_directory_wraps_any_error() {
    let boxed: Box<dyn std::error::Error + Send + Sync> = "boxed".into();
    let errors = [
        (DirectoryError::new(io::Error::other("plain")), "plain"),
        (DirectoryError::new(boxed), "boxed"),
        (DirectoryError::new("text"), "text"),
        (DirectoryError::new("owned".to_owned()), "owned"),
    ];
    for (error, expected) in errors {
        assert_eq!(error.source().unwrap().to_string(), expected);
    }
}

#[test]
fn what_is_shown_has_its_name() {
    // SP 800-63B-4 section 2.
    assert_eq!([Aal::One, Aal::Two, Aal::Three].map(|level| level.to_string()), ["AAL1", "AAL2", "AAL3"]);
    assert_eq!(NotRequired::BypassedBecauseUnavailable.to_string(), "bypassed_because_unavailable");
    for text in ["totp", "6f1c0f6e-6a3d-4c8e-9f57-0d6a3d2b1c00"] {
        assert_eq!(text.parse::<MethodSelector>().unwrap().to_string(), text);
    }
}
