//! Errors as Kazoo's API answers them.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::AuditError;

/// An error in the envelope of Kazoo's API: `data`, `error` (the HTTP status as text), `message` (the error's
/// name) and `status`, which is `error`. What only a host knows (`request_id`, `node`, `version`, `auth_token`)
/// it adds itself.
///
/// | made by | status, `message` | `data` |
/// |---|---|---|
/// | [`ErrorReply::validation`] | 400 `validation error` | for each field, by its dotted path, `{code: {message, cause?}}` |
/// | [`ErrorReply::bad_identifier`] | 404 `bad_identifier` | `{message, cause}` |
/// | [`ErrorReply::new`] | as given | `{message}` |
///
/// ```
/// use audit_model::{AuditError, ErrorReply};
///
/// let error = AuditError::RangeReversed { created_from: 9, created_to: 5 };
/// let reply = ErrorReply::from(&error);
/// assert_eq!(reply.status(), 400);
/// let message = r#""message":"created_to 5 is prior to created_from 9","cause":9"#;
/// assert_eq!(
///     reply.to_json(),
///     r#"{"data":{"created_from":{"date_range":{"#.to_owned()
///         + message
///         + r#"}}},"error":"400","message":"validation error","status":"error"}"#,
/// );
///
/// // An id that is none, or somebody else's: one answer.
/// assert_eq!(ErrorReply::bad_identifier("201713-x").status(), 404);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    status: u16,
    name: &'static str,
    data: Data,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Fields(Vec<Field>),
    About(Detail),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    path: String,
    code: String,
    detail: Detail,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Detail {
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cause>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Cause {
    Number(u64),
    Text(String),
}

impl ErrorReply {
    /// Makes a reply with an HTTP status, Kazoo's name of the error and one sentence, as in 409,
    /// `datastore_conflict`, `conflicting documents`.
    #[must_use]
    pub fn new(status: u16, name: &'static str, message: impl Into<String>) -> Self {
        Self { status, name, data: Data::About(Detail { message: message.into(), cause: None }) }
    }

    /// Makes the reply to input of which one field breaks a rule: `path` is the field's dotted path, `code` the
    /// rule's name, as in `required` or `type`. Further fields are added by [`ErrorReply::and`].
    #[must_use]
    pub fn validation(path: impl Into<String>, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status: 400, name: "validation error", data: Data::Fields(Vec::new()) }
            .and(path, code, message)
    }

    /// Adds a further field to a reply of [`ErrorReply::validation`]. On any other it changes nothing.
    #[must_use]
    pub fn and(
        mut self,
        path: impl Into<String>,
        code: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        if let Data::Fields(fields) = &mut self.data {
            let detail = Detail { message: message.into(), cause: None };
            fields.push(Field { path: path.into(), code: code.into(), detail });
        }
        self
    }

    /// Makes the reply to an id that names nothing the caller may see. The id is the `cause`.
    #[must_use]
    pub fn bad_identifier(id: impl Into<String>) -> Self {
        let cause = Some(Cause::Text(id.into()));
        let data = Data::About(Detail { message: "bad identifier".to_owned(), cause });
        Self { status: 404, name: "bad_identifier", data }
    }

    /// Returns the HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the envelope as a JSON object without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and a number alone: writing them to memory does not fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    fn caused_by(mut self, cause: Cause) -> Self {
        if let Data::Fields(fields) = &mut self.data
            && let Some(last) = fields.last_mut()
        {
            last.detail.cause = Some(cause);
        }
        self
    }
}

impl From<&AuditError> for ErrorReply {
    /// A field that breaks a rule is 400, too many rows at once are 416; what the store cannot do is 503 and says
    /// nothing of why.
    fn from(error: &AuditError) -> Self {
        let field = error.field();
        match error {
            AuditError::RangeReversed { created_from, .. }
            | AuditError::RangeTooLong { created_from, .. } => {
                let cause = Cause::Number(*created_from);
                Self::validation("created_from", error.code(), error.to_string()).caused_by(cause)
            }
            AuditError::Invalid { problem, .. } | AuditError::InvalidIp { problem } => {
                Self::validation(field.unwrap_or_default(), error.code(), problem.as_str())
            }
            AuditError::WrongType { expected, .. } => {
                Self::validation(field.unwrap_or_default(), error.code(), format!("must be {expected}"))
            }
            AuditError::Time { source, .. } => {
                Self::validation(field.unwrap_or_default(), error.code(), source.to_string())
            }
            AuditError::InvalidCursor => Self::validation("start_key", error.code(), error.to_string()),
            AuditError::RangeTooLarge { .. } => Self::new(416, "range not satisfiable", error.to_string()),
            AuditError::Corrupt(_) | AuditError::Unavailable(_) => {
                Self::new(503, "datastore_fault", "the audit log cannot be read")
            }
        }
    }
}

impl Serialize for ErrorReply {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut envelope = s.serialize_map(Some(4))?;
        envelope.serialize_entry("data", &self.data)?;
        envelope.serialize_entry("error", &self.status.to_string())?;
        envelope.serialize_entry("message", self.name)?;
        envelope.serialize_entry("status", "error")?;
        envelope.end()
    }
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let fields = match self {
            Self::About(detail) => return detail.serialize(s),
            Self::Fields(fields) => fields,
        };
        // A field that breaks two rules is one key.
        let is_first = |at: usize, path: &str| !fields.iter().take(at).any(|before| before.path == path);
        let mut paths = s.serialize_map(None)?;
        for (_, field) in fields.iter().enumerate().filter(|(at, field)| is_first(*at, &field.path)) {
            paths.serialize_entry(&field.path, &Rules { fields, path: &field.path })?;
        }
        paths.end()
    }
}

/// The rules that one field breaks.
struct Rules<'a> {
    fields: &'a [Field],
    path: &'a str,
}

impl Serialize for Rules<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let broken = self.fields.iter().filter(|field| field.path == self.path);
        s.collect_map(broken.map(|field| (&field.code, &field.detail)))
    }
}
