//! What every reply is wrapped in, and how its members are read.
//!
//! Unknown members are ignored and unknown values kept as text: Duo adds both without a new version.

use http::StatusCode;
use mfa_core::HttpReply;
use serde_json::Value;

use crate::{ApiError, Error};

/// The largest reply that is looked at, in bytes.
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// Returns the member `response` of a successful reply: status 200 and `"stat": "OK"`, both.
pub(super) fn open(reply: &HttpReply) -> Result<Value, Error> {
    let status = reply.status();
    let parsed = body(reply).and_then(|bytes| {
        let malformed = Error::MalformedReply { reason: "the body is not json" };
        serde_json::from_slice::<Value>(bytes).map_err(|_| malformed)
    });
    let envelope = match parsed {
        Ok(envelope) => envelope,
        // A proxy's page says less than the status it came with.
        Err(error) if status == StatusCode::OK => return Err(error),
        Err(_) => return Err(Error::HttpStatus { status: status.as_u16() }),
    };
    match (text(&envelope, "stat"), status) {
        (Some("FAIL"), _) => Err(Error::Api(failure(status.as_u16(), &envelope))),
        (_, status) if status != StatusCode::OK => Err(Error::HttpStatus { status: status.as_u16() }),
        (Some("OK"), _) => match envelope {
            Value::Object(mut members) => Ok(members.remove("response").unwrap_or(Value::Null)),
            _ => Err(Error::MalformedReply { reason: "the body is not an object" }),
        },
        _ => Err(Error::MalformedReply { reason: "stat is neither OK nor FAIL" }),
    }
}

/// Returns the body, unless it is too large.
pub(super) fn body(reply: &HttpReply) -> Result<&[u8], Error> {
    if reply.body().len() > MAX_REPLY_BYTES {
        return Err(Error::MalformedReply { reason: "the body is larger than 1 MiB" });
    }
    Ok(reply.body())
}

/// Returns a member that is text and not empty. Duo writes an empty text where there is none.
pub(super) fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// Returns a member that must be text.
pub(super) fn required<'a>(object: &'a Value, name: &str, reason: &'static str) -> Result<&'a str, Error> {
    text(object, name).ok_or(Error::MalformedReply { reason })
}

/// Returns a member that is a number, or one written as text.
pub(super) fn number(object: &Value, name: &str) -> Option<u64> {
    match object.get(name)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Returns a member that is a time in Unix seconds.
pub(super) fn time(object: &Value, name: &str) -> Option<mfa_core::Timestamp> {
    number(object, name).and_then(|seconds| mfa_core::Timestamp::from_unix_seconds(seconds).ok())
}

fn failure(status: u16, envelope: &Value) -> ApiError {
    // `duo_api_golang` has seen the code as an empty text: no code.
    let code = number(envelope, "code").and_then(|code| u32::try_from(code).ok()).unwrap_or(0);
    let message = text(envelope, "message").unwrap_or_default().to_owned();
    ApiError::new(status, code, message, text(envelope, "message_detail").map(str::to_owned))
}
