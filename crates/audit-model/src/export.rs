//! Events as JSON lines: one object per line, complete enough to check each event's hash far from its store.
//!
//! | key | value |
//! |---|---|
//! | `format` | the number 1, or 2 where something is hidden |
//! | `id` | `YYYYMM-` and 32 lower-case hexadecimal digits |
//! | `at` | milliseconds since the Unix epoch, a number |
//! | `scope` | an account id, or `~system`, `~index`, `~destinations` |
//! | `kind` | a name of the table of kinds, as in `answer_rejected` |
//! | `outcome` | `success`, `failed` or `info` |
//! | `module`, `reason`, `actor` | text; left out where there is none |
//! | `subject` | 16 bytes in hexadecimal; left out where there is none |
//! | `fields` | an array of `[name, value]`, in the order they were added |
//! | `stream` | `{"id": 16 bytes in hexadecimal, "seq": number}`; left out where there is none |
//! | `attempt` | `{"auth_type", "message", "auth_config_origin", "mfa_config_origin", "hidden"}`, the origins only where known, `hidden` only where `true`: the view does not show it; left out for events outside the attempts view |
//! | `commitment` | 32 bytes in hexadecimal, the commitment to the personal values; left out where there never were any |
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
//!
//! # A whole log
//!
//! [`Lines`] writes a store's log so that a [`Verifier`](crate::Verifier) can check it without the store: its
//! events in the order of their commits, one line each as above, and behind the last event it covers each
//! checkpoint. [`Reader`] reads it back.
//!
//! | key of a checkpoint | value |
//! |---|---|
//! | `checkpoint` | its number, counted from 1; this key comes first |
//! | `format` | the number 1 |
//! | `log` | 16 bytes in hexadecimal |
//! | `at` | milliseconds since the Unix epoch |
//! | `count`, `total` | numbers of events |
//! | `root`, `previous`, `mac` | 32 bytes each in hexadecimal |
//!
//! In the place of an event that a [`Retention`](crate::Retention) dropped stands what is left of it:
//!
//! | key of a dropped event | value |
//! |---|---|
//! | `dropped` | its place, counted from 1; this key comes first |
//! | `hash` | 32 bytes in hexadecimal, the event's hash |
//! | `at` | milliseconds since the Unix epoch, when the event happened |
//! | `stream` | as in the event; left out where there was none |
//! | `by` | 32 bytes in hexadecimal, the hash of the event of kind `events_dropped` that tells of it |
//! | `mac` | 32 bytes in hexadecimal |
//!
//! In the place of an event that cannot be read in its store stands `{"unreadable":` and its place`}`.

mod log;
mod parts;

use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::{AuditError, Event, Scope, Timestamp};
use parts::{AttemptLine, PersonalLine, StreamLine};

pub use log::{Line, Lines, ReadError, Reader, checkpoint_from_line, checkpoint_to_line};

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
    parts::event(line)
}

fn too_long(bytes: usize) -> AuditError {
    invalid("line", format!("has {bytes} bytes, the limit is {MAX_LINE_BYTES}"))
}

fn invalid(field: &'static str, problem: impl Into<String>) -> AuditError {
    AuditError::Invalid { field, problem: problem.into() }
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
    stream: Option<StreamLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<AttemptLine<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commitment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    personal: Option<PersonalLine<'a>>,
    hash: String,
}

impl<'a> LineOut<'a> {
    fn of(event: &'a Event) -> Self {
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
            stream: event.stream().map(StreamLine::of),
            attempt: event.attempt().map(|attempt| AttemptLine::of(attempt, event.core.hidden)),
            commitment: event.commitment().map(|digest| HEXLOWER.encode(digest)),
            personal: event.personal().map(PersonalLine::of),
            hash: HEXLOWER.encode(event.hash()),
        }
    }
}
