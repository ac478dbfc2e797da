//! What a line of an event is made of.
//!
//! A line is read twice at most. The first time its texts are borrowed from it and any mistake is one and the
//! same; only a line with a mistake is read again, more slowly, to find the key that it is in.

use core::fmt;
use core::str::FromStr;
use std::borrow::Cow;
use std::net::IpAddr;

use data_encoding::HEXLOWER;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::invalid;
use crate::event::{Core, FORMAT, FORMAT_WITH_FLAGS};
use crate::{Attempt, AuditError, Event, EventId, Kind, Outcome, Personal, Scope, Stream, Timestamp, UserId};

/// Reads the line of an event.
pub(super) fn event(line: &str) -> Result<Event, AuditError> {
    if let Ok(parts) = serde_json::from_str::<Parts<'_>>(line) {
        return parts.into_event();
    }
    let whole = "is not one JSON object with the documented keys, each at most once";
    let line: LineIn<'_> = serde_json::from_str(line).map_err(|_| invalid("line", whole))?;
    line.into_parts()?.into_event()
}

/// Text that stands in the line as it is, or had to be unescaped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl Text<'_> {
    fn into_static(self) -> Cow<'static, str> {
        Cow::Owned(self.0.into_owned())
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StreamLine<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    seq: u64,
}

impl StreamLine<'_> {
    pub(super) fn of(stream: Stream) -> Self {
        Self { id: HEXLOWER.encode(&stream.id).into(), seq: stream.seq }
    }

    pub(super) fn into_stream(self) -> Result<Stream, AuditError> {
        Ok(Stream::new(bytes("stream.id", &self.id.0)?, self.seq))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AttemptLine<'a> {
    #[serde(borrow)]
    auth_type: Text<'a>,
    #[serde(borrow)]
    message: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    auth_config_origin: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    mfa_config_origin: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    hidden: bool,
}

impl<'a> AttemptLine<'a> {
    pub(super) fn of(attempt: &'a Attempt, hidden: bool) -> Self {
        Self {
            hidden,
            auth_type: (&*attempt.auth_type).into(),
            message: (&*attempt.message).into(),
            auth_config_origin: attempt.auth_config_origin.as_deref().map(Text::from),
            mfa_config_origin: attempt.mfa_config_origin.as_deref().map(Text::from),
        }
    }

    fn into_attempt(self) -> Attempt {
        let mut attempt = Attempt::new(self.auth_type.into_static(), self.message.into_static());
        attempt.auth_config_origin = self.auth_config_origin.map(Text::into_static);
        attempt.mfa_config_origin = self.mfa_config_origin.map(Text::into_static);
        attempt
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PersonalLine<'a> {
    #[serde(borrow)]
    salt: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    user: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    ip: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<(Text<'a>, Text<'a>)>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    request_id: Option<Text<'a>>,
}

impl<'a> PersonalLine<'a> {
    pub(super) fn of(personal: &'a Personal) -> Self {
        let headers = personal.headers.iter();
        Self {
            salt: HEXLOWER.encode(&personal.salt).into(),
            user: personal.user.as_ref().map(|user| user.as_str().into()),
            ip: personal.ip.map(|ip| ip.to_string().into()),
            headers: headers.map(|(name, value)| (Text::from(&**name), value.as_str().into())).collect(),
            request_id: personal.request_id.as_deref().map(Text::from),
        }
    }

    fn into_personal(self) -> Result<Personal, AuditError> {
        let headers = self.headers.into_iter();
        Ok(Personal {
            salt: bytes("personal.salt", &self.salt.0)?,
            user: self.user.map(|user| parsed("personal.user", UserId::parse(&user.0))).transpose()?,
            ip: self.ip.map(|ip| parsed("personal.ip", IpAddr::from_str(&ip.0))).transpose()?,
            headers: headers
                .map(|(name, value)| (name.0.into_owned().into(), value.0.into_owned()))
                .collect(),
            request_id: self.request_id.map(|id| id.0.into_owned()),
        })
    }
}

/// A line whose values all have the documented types.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parts<'a> {
    format: u8,
    #[serde(borrow)]
    id: Text<'a>,
    at: u64,
    #[serde(borrow)]
    scope: Text<'a>,
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    outcome: Text<'a>,
    #[serde(borrow)]
    module: Option<Text<'a>>,
    #[serde(borrow)]
    reason: Option<Text<'a>>,
    #[serde(borrow)]
    subject: Option<Text<'a>>,
    #[serde(borrow)]
    actor: Option<Text<'a>>,
    #[serde(borrow)]
    fields: Vec<(Text<'a>, Text<'a>)>,
    #[serde(borrow)]
    stream: Option<StreamLine<'a>>,
    #[serde(borrow)]
    attempt: Option<AttemptLine<'a>>,
    #[serde(borrow)]
    commitment: Option<Text<'a>>,
    #[serde(borrow)]
    personal: Option<PersonalLine<'a>>,
    #[serde(borrow)]
    hash: Text<'a>,
}

impl Parts<'_> {
    fn into_event(self) -> Result<Event, AuditError> {
        let hidden = self.attempt.as_ref().is_some_and(|attempt| attempt.hidden);
        let format = if hidden { FORMAT_WITH_FLAGS } else { FORMAT };
        if self.format != format {
            return Err(invalid("format", format!("is {}, such an event has {format}", self.format)));
        }
        let stream = self.stream.map(StreamLine::into_stream).transpose()?;
        let fields = self.fields.into_iter();
        let core = Core {
            format: self.format,
            id: parsed("id", self.id.0.parse::<EventId>())?.to_bytes(),
            at: parsed("at", Timestamp::from_unix_millis(self.at))?,
            scope: parsed("scope", Scope::parse_stored(&self.scope.0))?,
            kind: self.kind.0.parse::<Kind>()?.number(),
            outcome: outcome(&self.outcome.0)?.number(),
            module: self.module.map(Text::into_static),
            reason: self.reason.map(Text::into_static),
            subject: self.subject.map(|id| bytes("subject", &id.0)).transpose()?,
            actor: self.actor.map(Text::into_static),
            fields: fields.map(|(name, value)| (name.into_static(), value.into_static())).collect(),
            stream,
            attempt: self.attempt.map(AttemptLine::into_attempt),
            commitment: self.commitment.map(|digest| bytes("commitment", &digest.0)).transpose()?,
            hidden,
        };
        let personal = self.personal.map(PersonalLine::into_personal).transpose()?;
        Ok(Event::from_parts(core, personal, bytes("hash", &self.hash.0)?))
    }
}

/// A value of the documented type, or anything else: so that the error can name the key.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value<T> {
    Right(T),
    Wrong(IgnoredAny),
}

type Maybe<T> = Option<Value<T>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineIn<'a> {
    format: Maybe<u8>,
    #[serde(borrow)]
    id: Maybe<Text<'a>>,
    at: Maybe<u64>,
    #[serde(borrow)]
    scope: Maybe<Text<'a>>,
    #[serde(borrow)]
    kind: Maybe<Text<'a>>,
    #[serde(borrow)]
    outcome: Maybe<Text<'a>>,
    #[serde(borrow)]
    module: Maybe<Text<'a>>,
    #[serde(borrow)]
    reason: Maybe<Text<'a>>,
    #[serde(borrow)]
    subject: Maybe<Text<'a>>,
    #[serde(borrow)]
    actor: Maybe<Text<'a>>,
    #[serde(borrow)]
    fields: Maybe<Vec<(Text<'a>, Text<'a>)>>,
    #[serde(borrow)]
    stream: Maybe<StreamLine<'a>>,
    #[serde(borrow)]
    attempt: Maybe<AttemptLine<'a>>,
    #[serde(borrow)]
    commitment: Maybe<Text<'a>>,
    #[serde(borrow)]
    personal: Maybe<PersonalLine<'a>>,
    #[serde(borrow)]
    hash: Maybe<Text<'a>>,
}

impl<'a> LineIn<'a> {
    fn into_parts(self) -> Result<Parts<'a>, AuditError> {
        Ok(Parts {
            format: needed("format", self.format)?,
            id: needed("id", self.id)?,
            at: needed("at", self.at)?,
            scope: needed("scope", self.scope)?,
            kind: needed("kind", self.kind)?,
            outcome: needed("outcome", self.outcome)?,
            module: optional("module", self.module)?,
            reason: optional("reason", self.reason)?,
            subject: optional("subject", self.subject)?,
            actor: optional("actor", self.actor)?,
            fields: needed("fields", self.fields)?,
            stream: optional("stream", self.stream)?,
            attempt: optional("attempt", self.attempt)?,
            commitment: optional("commitment", self.commitment)?,
            personal: optional("personal", self.personal)?,
            hash: needed("hash", self.hash)?,
        })
    }
}

fn needed<T>(field: &'static str, value: Maybe<T>) -> Result<T, AuditError> {
    let problem = "is missing or not of the documented type";
    optional(field, value)?.ok_or_else(|| invalid(field, problem))
}

fn optional<T>(field: &'static str, value: Maybe<T>) -> Result<Option<T>, AuditError> {
    match value {
        None => Ok(None),
        Some(Value::Right(value)) => Ok(Some(value)),
        Some(Value::Wrong(_)) => Err(invalid(field, "is missing or not of the documented type")),
    }
}

pub(super) fn parsed<T, E: fmt::Display>(field: &'static str, result: Result<T, E>) -> Result<T, AuditError> {
    result.map_err(|error| invalid(field, error.to_string()))
}

fn outcome(code: &str) -> Result<Outcome, AuditError> {
    Outcome::from_str(code).map_err(|_| invalid("outcome", "must be success, failed or info"))
}

pub(super) fn bytes<const N: usize>(field: &'static str, hex: &str) -> Result<[u8; N], AuditError> {
    let mut decoded = [0; N];
    let right_length = HEXLOWER.decode_len(hex.len()) == Ok(N);
    if right_length && HEXLOWER.decode_mut(hex.as_bytes(), &mut decoded).is_ok() {
        return Ok(decoded);
    }
    Err(invalid(field, format!("is not {N} bytes in lower-case hexadecimal")))
}
