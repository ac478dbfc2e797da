//! Events as JSON lines: one object per line, complete enough to check each event's hash far from its store.
//!
//! | key | value |
//! |---|---|
//! | `format` | the number 1 |
//! | `id` | `YYYYMM-` and 32 lower-case hexadecimal digits |
//! | `at` | milliseconds since the Unix epoch, a number |
//! | `scope` | an account id, or `~system`, `~index`, `~destinations` |
//! | `kind` | a name of the table of kinds, as in `answer_rejected` |
//! | `outcome` | `success`, `failed` or `info` |
//! | `module`, `reason`, `actor` | text; left out where there is none |
//! | `subject` | 16 bytes in hexadecimal; left out where there is none |
//! | `fields` | an array of `[name, value]`, in the order they were added |
//! | `stream` | `{"id": 16 bytes in hexadecimal, "seq": number}`; left out where there is none |
//! | `attempt` | `{"auth_type", "message", "auth_config_origin", "mfa_config_origin"}`, the origins only where known; left out for events outside the attempts view |
//! | `commitments` | an array of `[name, 32 bytes in hexadecimal]`; names are `user`, `ip`, `headers`, `request_id` |
//! | `personal` | `{"salt": 16 bytes in hexadecimal, "user", "ip", "headers": array of [name, value], "request_id"}`; left out once erased and where there never was anything |
//! | `hash` | 32 bytes in hexadecimal |
//!
//! The keys come in this order, hexadecimal digits are lower-case, and control characters are escaped, so
//! that one event never takes two lines. [`from_line`] takes the keys in any order, each at most once,
//! and no others: what the hash does not cover has no place in a line.
//!
//! ```
//! use audit_model::{AccountId, EventBuilder, EventId, Kind, Outcome, Scope, Timestamp, export};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let at = Timestamp::from_unix_seconds(1_487_814_038)?;
//! let event = EventBuilder::new(AccountId::parse("acme")?.into(), Kind::AnswerRejected, Outcome::Failure, at)
//!     .reason("wrong_code")
//!     .build(EventId::new(at, [7; 16]), [9; 16])?;
//! let line = export::to_line(&event)?;
//! assert_eq!(export::from_line(&line)?, event);
//!
//! // A changed line is read, and its hash no longer holds.
//! let changed = export::from_line(&line.replace("wrong_code", "used_code"))?;
//! assert!(!changed.hash_holds());
//! // A broken one is refused, and the error names the field.
//! let refused = export::from_line(&line.replace("\"at\":", "\"at\":-")).unwrap_err();
//! assert_eq!(refused.to_string(), "at: is missing or not of the documented type");
//! # Ok(()) }
//! ```

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::event::{Core, FORMAT};
use crate::{
    Attempt, AuditError, Event, EventId, Kind, Outcome, Personal, PersonalField, Scope, Stream, Timestamp,
    UserId,
};

/// The longest line that is read, in bytes: 1 MiB.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Writes the event as one JSON object, without a line break at its end.
///
/// # Errors
/// [`AuditError::Invalid`] if the line would be longer than [`MAX_LINE_BYTES`].
///
/// # Security
/// A line of an event that was not erased holds its personal values: it needs the protection of the log.
pub fn to_line(event: &Event) -> Result<String, AuditError> {
    let line = serde_json::to_string(&LineOut::of(event));
    let line = line.map_err(|_| invalid("line", "cannot be written"))?;
    if line.len() <= MAX_LINE_BYTES { Ok(line) } else { Err(too_long(line.len())) }
}

/// Reads a line that [`to_line`] wrote. White space around it is left aside.
///
/// The hash is taken as it is: ask [`Event::hash_holds`].
///
/// # Errors
/// [`AuditError::Invalid`] names the field that is missing or broken, or `line` where the text as a whole
/// is too long, no JSON object, or has an unknown key or one twice. Values are not repeated.
pub fn from_line(line: &str) -> Result<Event, AuditError> {
    if line.len() > MAX_LINE_BYTES {
        return Err(too_long(line.len()));
    }
    let whole = "is not one JSON object with the documented keys, each at most once";
    let line: LineIn = serde_json::from_str(line).map_err(|_| invalid("line", whole))?;
    line.into_event()
}

#[derive(Serialize)]
struct LineOut<'a> {
    format: u8,
    id: String,
    at: Timestamp,
    scope: &'a Scope,
    kind: &'static str,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    fields: Vec<(&'a str, &'a str)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<StreamLine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptLine>,
    commitments: Vec<(&'static str, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<PersonalLine>,
    hash: String,
}

impl<'a> LineOut<'a> {
    fn of(event: &'a Event) -> Self {
        let commitments = event.commitments().iter();
        Self {
            format: event.core.format,
            id: event.id().to_string(),
            at: event.at(),
            scope: event.scope(),
            kind: event.kind().code(),
            outcome: event.outcome().code(),
            module: event.module(),
            reason: event.reason(),
            subject: event.subject().map(|id| HEXLOWER.encode(&id)),
            actor: event.actor(),
            fields: event.fields().collect(),
            stream: event.stream().map(|s| StreamLine { id: HEXLOWER.encode(&s.id), seq: s.seq }),
            attempt: event.attempt().map(AttemptLine::of),
            commitments: commitments.map(|(f, digest)| (field_code(*f), HEXLOWER.encode(digest))).collect(),
            personal: event.personal().map(PersonalLine::of),
            hash: HEXLOWER.encode(event.hash()),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamLine {
    id: String,
    seq: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AttemptLine {
    auth_type: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    auth_config_origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mfa_config_origin: Option<String>,
}

impl AttemptLine {
    fn of(attempt: &Attempt) -> Self {
        Self {
            auth_type: attempt.auth_type.to_string(),
            message: attempt.message.to_string(),
            auth_config_origin: attempt.auth_config_origin.as_ref().map(ToString::to_string),
            mfa_config_origin: attempt.mfa_config_origin.as_ref().map(ToString::to_string),
        }
    }

    fn into_attempt(self) -> Attempt {
        let mut attempt = Attempt::new(self.auth_type, self.message);
        attempt.auth_config_origin = self.auth_config_origin.map(Cow::Owned);
        attempt.mfa_config_origin = self.mfa_config_origin.map(Cow::Owned);
        attempt
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PersonalLine {
    salt: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ip: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(String, String)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

impl PersonalLine {
    fn of(personal: &Personal) -> Self {
        Self {
            salt: HEXLOWER.encode(&personal.salt),
            user: personal.user.as_ref().map(ToString::to_string),
            ip: personal.ip.as_ref().map(ToString::to_string),
            headers: personal.headers.clone(),
            request_id: personal.request_id.clone(),
        }
    }

    fn into_personal(self) -> Result<Personal, AuditError> {
        Ok(Personal {
            salt: bytes("personal.salt", &self.salt)?,
            user: self.user.map(|user| parsed("personal.user", UserId::parse(&user))).transpose()?,
            ip: self.ip.map(|ip| parsed("personal.ip", IpAddr::from_str(&ip))).transpose()?,
            headers: self.headers,
            request_id: self.request_id,
        })
    }
}

/// A value of the documented type, or anything else: so that the error can name the key.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value<T> {
    Right(T),
    Wrong(IgnoredAny),
}

type Text = Option<Value<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn {
    format: Option<Value<u8>>,
    id: Text,
    at: Option<Value<u64>>,
    scope: Text,
    kind: Text,
    outcome: Text,
    module: Text,
    reason: Text,
    subject: Text,
    actor: Text,
    fields: Option<Value<Vec<(String, String)>>>,
    stream: Option<Value<StreamLine>>,
    attempt: Option<Value<AttemptLine>>,
    commitments: Option<Value<Vec<(String, String)>>>,
    personal: Option<Value<PersonalLine>>,
    hash: Text,
}

impl LineIn {
    fn into_event(self) -> Result<Event, AuditError> {
        let format = needed("format", self.format)?;
        if format != FORMAT {
            return Err(invalid("format", format!("is {format}, only {FORMAT} is known")));
        }
        let stream = optional("stream", self.stream)?;
        let stream = stream.map(|s| Ok(Stream::new(bytes("stream.id", &s.id)?, s.seq))).transpose()?;
        let commitments = needed("commitments", self.commitments)?.into_iter();
        let commitments = commitments.map(|(name, digest)| {
            let field = field_named(&name).ok_or_else(|| invalid("commitments", "has an unknown name"))?;
            Ok((field, bytes("commitments", &digest)?))
        });
        let fields = needed("fields", self.fields)?.into_iter();
        let subject = optional("subject", self.subject)?;
        let core = Core {
            format,
            id: parsed("id", needed("id", self.id)?.parse::<EventId>())?.to_bytes(),
            at: parsed("at", Timestamp::from_unix_millis(needed("at", self.at)?))?,
            scope: parsed("scope", Scope::parse_stored(&needed("scope", self.scope)?))?,
            kind: needed("kind", self.kind)?.parse::<Kind>()?.number(),
            outcome: outcome(&needed("outcome", self.outcome)?)?.number(),
            module: optional("module", self.module)?.map(Cow::Owned),
            reason: optional("reason", self.reason)?.map(Cow::Owned),
            subject: subject.map(|id| bytes("subject", &id)).transpose()?,
            actor: optional("actor", self.actor)?.map(Cow::Owned),
            fields: fields.map(|(name, value)| (Cow::Owned(name), Cow::Owned(value))).collect(),
            stream,
            attempt: optional("attempt", self.attempt)?.map(AttemptLine::into_attempt),
            commitments: commitments.collect::<Result<_, AuditError>>()?,
        };
        let personal = optional("personal", self.personal)?;
        let personal = personal.map(PersonalLine::into_personal).transpose()?;
        Ok(Event { core, personal, hash: bytes("hash", &needed("hash", self.hash)?)? })
    }
}

fn needed<T>(field: &'static str, value: Option<Value<T>>) -> Result<T, AuditError> {
    let problem = "is missing or not of the documented type";
    optional(field, value)?.ok_or_else(|| invalid(field, problem))
}

fn optional<T>(field: &'static str, value: Option<Value<T>>) -> Result<Option<T>, AuditError> {
    match value {
        None => Ok(None),
        Some(Value::Right(value)) => Ok(Some(value)),
        Some(Value::Wrong(_)) => Err(invalid(field, "is missing or not of the documented type")),
    }
}

fn parsed<T, E: fmt::Display>(field: &'static str, result: Result<T, E>) -> Result<T, AuditError> {
    result.map_err(|error| invalid(field, error.to_string()))
}

fn outcome(code: &str) -> Result<Outcome, AuditError> {
    Outcome::from_str(code).map_err(|_| invalid("outcome", "must be success, failed or info"))
}

fn bytes<const N: usize>(field: &'static str, hex: &str) -> Result<[u8; N], AuditError> {
    let right_length = HEXLOWER.decode_len(hex.len()) == Ok(N);
    let decoded = right_length.then(|| HEXLOWER.decode(hex.as_bytes()).ok()).flatten();
    decoded
        .and_then(|decoded| decoded.try_into().ok())
        .ok_or_else(|| invalid(field, format!("is not {N} bytes in lower-case hexadecimal")))
}

const fn field_code(field: PersonalField) -> &'static str {
    match field {
        PersonalField::User => "user",
        PersonalField::Ip => "ip",
        PersonalField::Headers => "headers",
        PersonalField::RequestId => "request_id",
    }
}

fn field_named(name: &str) -> Option<PersonalField> {
    [PersonalField::User, PersonalField::Ip, PersonalField::Headers, PersonalField::RequestId]
        .into_iter()
        .find(|field| field_code(*field) == name)
}

fn too_long(bytes: usize) -> AuditError {
    invalid("line", format!("has {bytes} bytes, the limit is {MAX_LINE_BYTES}"))
}

fn invalid(field: &'static str, problem: impl Into<String>) -> AuditError {
    AuditError::Invalid { field, problem: problem.into() }
}
