//! The error half of a reply: a stable code, a sentence, and the field where there is one.

use core::fmt::Write as _;
use std::error::Error;

use mfa::audit::{AuditError, IdError};
use mfa::sqlite::OpenError;
use mfa::{
    BuildError, DirectoryError, EntropyError, FieldError, GrantMismatch, KeyRingError, NameError, StoreError,
};
use serde_json::{Value, json};

/// Why an op was not served.
#[derive(Debug)]
pub(crate) struct Failure {
    code: &'static str,
    message: String,
    field: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new("bad_request", message)
    }

    pub(crate) fn not_served() -> Self {
        Self::bad_request("not served yet")
    }

    pub(crate) fn unknown_user() -> Self {
        mfa::Error::UnknownUser.into()
    }

    /// Names the field, unless the library has named a part of it already.
    pub(crate) fn at(mut self, field: impl Into<String>) -> Self {
        self.field.get_or_insert_with(|| field.into());
        self
    }

    /// Names the field of the request that led to it, in place of the library's own name for it.
    pub(crate) fn on(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    /// Puts the path of the object before the field that the library has named inside it.
    pub(crate) fn within(mut self, object: &str) -> Self {
        self.field = Some(match self.field {
            Some(field) => format!("{object}.{field}"),
            None => object.to_owned(),
        });
        self
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut json = json!({ "code": self.code, "message": self.message });
        if let (Some(field), Some(object)) = (&self.field, json.as_object_mut()) {
            object.insert("field".to_owned(), json!(field));
        }
        json
    }

    fn of(code: &'static str, error: &dyn Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Writing to a string cannot fail.
            let _ = write!(message, ": {cause}");
            source = cause.source();
        }
        Self { code, message, field: None }
    }
}

impl From<mfa::Error> for Failure {
    fn from(error: mfa::Error) -> Self {
        match error {
            mfa::Error::Invalid(field) => field.into(),
            mfa::Error::InvalidDocument(fields) => fields.into(),
            other => Self::of(other.code(), &other),
        }
    }
}

impl From<FieldError> for Failure {
    fn from(error: FieldError) -> Self {
        Self { code: error.code, message: error.to_string(), field: Some(error.field) }
    }
}

impl From<Vec<FieldError>> for Failure {
    fn from(errors: Vec<FieldError>) -> Self {
        let whole = || Self::new("invalid", "is not valid");
        errors.into_iter().next().map_or_else(whole, Self::from)
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        Self { field: error.field().map(str::to_owned), ..Self::of(error.code(), &error) }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Store(error) => error.into(),
            BuildError::Settings { provider, errors } => {
                Self::from(errors).within(&format!("{provider}.settings"))
            }
            other => Self::of(other.code(), &other),
        }
    }
}

impl From<mfa::duo::Error> for Failure {
    fn from(error: mfa::duo::Error) -> Self {
        let field = match &error {
            mfa::duo::Error::Parameter { name, .. } => Some((*name).to_owned()),
            _ => None,
        };
        Self { field, ..Self::of(error.code(), &error) }
    }
}

macro_rules! from_coded {
    ($($error:ty),*) => {$(
        impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::of(error.code(), &error)
            }
        }
    )*};
}

from_coded!(
    EntropyError,
    GrantMismatch,
    IdError,
    KeyRingError,
    NameError,
    OpenError,
    StoreError,
    mfa::audit::TimeError,
    mfa::recovery::Error,
    mfa::totp::Error
);

impl From<DirectoryError> for Failure {
    fn from(error: DirectoryError) -> Self {
        mfa::Error::from(error).into()
    }
}
