//! The Auth API: what is signed, and what is read from its answers.

use core::time::Duration;

use mfa::duo::auth_api::{
    Auth, AuthReply, AuthResult, AuthStatus, Backoff, Call, Capability, Check, DuoHeaders, Enroll,
    EnrollState, EnrollStatus, Logo, Params, Ping, Preauth, PreauthReply, PreauthResult, SignatureVersion,
    Status, Unsigned, Verdict, authorization,
};
use mfa::duo::{Error, SecretKey};
use serde_json::{Value, json};

use super::reply;
use crate::answer::unknown_outcome;
use crate::failure::Failure;
use crate::input::Input;

pub(super) fn canon_params(input: &Input<'_>) -> Result<Value, Failure> {
    Ok(json!(params(input)?.canonical().as_str()))
}

/// Version 1 is version 2 without the line of the date; the library does not offer it for signing.
pub(super) fn canonicalize(input: &Input<'_>) -> Result<Value, Failure> {
    let (version, dated) = match input.whole("sig_version")? {
        1 => (SignatureVersion::V2Sha1, false),
        2 => (SignatureVersion::V2Sha1, true),
        4 => (SignatureVersion::V4, true),
        5 => (SignatureVersion::V5, true),
        _ => return Err(input.mistyped("sig_version", "1, 2, 4 or 5")),
    };
    let date = input.optional_text("date")?.unwrap_or_default();
    let lines = unsigned(input, |request| request.canonicalize(version, date))?;
    let undated = lines.split_once('\n').map_or("", |(_, lines)| lines);
    Ok(json!(if dated { lines.as_str() } else { undated }))
}

pub(super) fn headers_hash(input: &Input<'_>) -> Result<Value, Failure> {
    Ok(json!(headers(input)?.hash()))
}

pub(super) fn sign(input: &Input<'_>) -> Result<Value, Failure> {
    let version = match (input.whole("sig_version")?, input.text("digest")?) {
        (2, "sha1") => SignatureVersion::V2Sha1,
        (2, "sha512") => SignatureVersion::V2Sha512,
        (4, "sha512") => SignatureVersion::V4,
        (5, "sha512") => SignatureVersion::V5,
        _ => return Err(input.mistyped("sig_version", "2 with sha1 or sha512, or 4 or 5 with sha512")),
    };
    let (ikey, date) = (input.text("ikey")?, input.text("date")?);
    let skey = input.parsed("skey", SecretKey::parse)?;
    let signature = unsigned(input, |request| request.sign(version, date, &skey))?;
    Ok(json!({
        "authorization": authorization(ikey, &signature).expose_secret(),
        "signature_hex": signature.expose_secret(),
    }))
}

/// The headers are pairs here, so that a name can come twice.
pub(super) fn validate_headers(input: &Input<'_>) -> Result<Value, Failure> {
    let mut pairs = Vec::new();
    for pair in input.list("headers")? {
        let pair = match pair.as_array().map(Vec::as_slice) {
            Some([name, value]) => value.as_str().map(|value| (name.as_str().unwrap_or_default(), value)),
            _ => None,
        };
        pairs.push(pair.ok_or_else(|| input.mistyped("headers", "a list of pairs of name and value"))?);
    }
    Ok(json!({ "error": DuoHeaders::new(pairs).err().map(|error| error.code()) }))
}

pub(super) fn backoff(input: &Input<'_>) -> Result<Value, Failure> {
    let jitter =
        input.required("jitter")?.as_f64().and_then(|jitter| Duration::try_from_secs_f64(jitter).ok());
    let jitter = jitter.ok_or_else(|| input.mistyped("jitter", "a number of seconds"))?;
    let (mut backoff, mut sleeps, mut requests, mut last) = (Backoff::new(), Vec::new(), 0_u64, None);
    for status in input.list("statuses")? {
        let status = status.as_u64().ok_or_else(|| input.mistyped("statuses", "a list of numbers"))?;
        requests = requests.saturating_add(1);
        last = Some(status);
        match (status == 429).then(|| backoff.next(jitter, None)).flatten() {
            Some(wait) => sleeps.push(wait.as_secs_f64()),
            None => break,
        }
    }
    Ok(json!({ "sleeps": sleeps, "requests": requests, "final_status": last }))
}

pub(super) fn parse_response(input: &Input<'_>) -> Result<Value, Failure> {
    let reply = &reply(input)?;
    let answer = match input.text("endpoint")? {
        "ping" => Ping::parse(reply).map(|time| json!({ "time": time.unix_seconds() })),
        "check" => Check::parse(reply).map(|time| json!({ "time": time.unix_seconds() })),
        "logo" => Logo::parse(reply).map(|logo| json!({ "bytes": logo.bytes.len() })),
        "enroll" => Enroll::parse(reply).map(|enrolled| {
            json!({
                "user_id": enrolled.user_id,
                "username": enrolled.username,
                "expiration": enrolled.expires_at.map(|at| at.unix_seconds()),
            })
        }),
        "enroll_status" => match EnrollStatus::parse(reply) {
            Ok(state) => Ok(json!({ "enroll_status": enroll_word(&state)? })),
            Err(error) => Err(error),
        },
        "preauth" => match Preauth::parse(reply) {
            Ok(reply) => Ok(preauth_json(&reply)?),
            Err(error) => Err(error),
        },
        "auth" => match Auth::parse(reply) {
            Ok(AuthReply::Started(txid)) => Ok(json!({ "txid": txid.as_str(), "granted": false })),
            Ok(AuthReply::Finished(result)) => Ok(finished_json(&result)?),
            Ok(_) => return Err(unknown_outcome()),
            Err(error) => Err(error),
        },
        "auth_status" => match AuthStatus::parse(reply) {
            Ok(result) => Ok(polled_json(&result)?),
            Err(error) => Err(error),
        },
        _ => return Err(input.mistyped("endpoint", "the name of a call of the auth api")),
    };
    Ok(match answer {
        Ok(answer) => answer,
        Err(Error::MalformedReply { .. }) => json!({ "error": { "kind": "malformed" } }),
        Err(Error::HttpStatus { .. }) => json!({ "error": { "kind": "http_status" } }),
        Err(Error::Api(error)) => json!({ "error": { "kind": "api", "code": error.code() } }),
        Err(other) => return Err(other.into()),
    })
}

fn preauth_json(reply: &PreauthReply) -> Result<Value, Failure> {
    let result = match &reply.result {
        PreauthResult::Auth => "auth",
        PreauthResult::Allow => "allow",
        PreauthResult::Deny => "deny",
        PreauthResult::Enroll => "enroll",
        PreauthResult::Unknown(other) => other,
        _ => return Err(unknown_outcome()),
    };
    let able = reply.devices.iter().filter(|device| device.can(&Capability::Push));
    Ok(json!({
        "result": result,
        "devices": reply.devices.len(),
        "push_capable": able.map(|device| device.id.as_str()).collect::<Vec<_>>(),
    }))
}

/// An answer that came at once says how it came about.
fn finished_json(result: &AuthResult) -> Result<Value, Failure> {
    let (verdict, status) = (verdict_word(&result.verdict)?, status_word(&result.status)?);
    Ok(json!({ "result": verdict, "status": status, "granted": result.granted() }))
}

/// An answer to a poll says whether to ask again.
fn polled_json(result: &AuthResult) -> Result<Value, Failure> {
    let verdict = verdict_word(&result.verdict)?;
    Ok(json!({ "result": verdict, "granted": result.granted(), "poll_again": result.waiting() }))
}

fn enroll_word(state: &EnrollState) -> Result<&str, Failure> {
    Ok(match state {
        EnrollState::Success => "success",
        EnrollState::Invalid => "invalid",
        EnrollState::Waiting => "waiting",
        EnrollState::Unknown(other) => other,
        _ => return Err(unknown_outcome()),
    })
}

fn verdict_word(verdict: &Verdict) -> Result<&str, Failure> {
    Ok(match verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Waiting => "waiting",
        Verdict::Unknown(other) => other,
        _ => return Err(unknown_outcome()),
    })
}

fn status_word(status: &Status) -> Result<&str, Failure> {
    Ok(match status {
        Status::Calling => "calling",
        Status::Answered => "answered",
        Status::Pushed => "pushed",
        Status::PushFailed => "push_failed",
        Status::Timeout => "timeout",
        Status::Fraud => "fraud",
        Status::Deny => "deny",
        Status::LockedOut => "locked_out",
        Status::Sent => "sent",
        Status::Allow => "allow",
        Status::Bypass => "bypass",
        Status::Unknown(other) => other,
        _ => return Err(unknown_outcome()),
    })
}

fn unsigned<T>(input: &Input<'_>, then: impl FnOnce(Unsigned<'_>) -> T) -> Result<T, Failure> {
    let (params, headers) = (params(input)?, headers(input)?);
    let body = input.optional_text("body")?.unwrap_or_default();
    let request = Unsigned::new(input.text("method")?, input.text("host")?, input.text("path")?);
    Ok(then(request.with_params(&params).with_body(body.as_bytes()).with_headers(&headers)))
}

/// Reads `params`: lists of values by name. What is not a text counts as it is written in JSON.
fn params(input: &Input<'_>) -> Result<Params, Failure> {
    let mut params = Params::new();
    let Some(given) = input.optional_object("params")? else { return Ok(params) };
    for (name, _) in given.entries() {
        for value in given.list(name)? {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            params = params.with(name.clone(), value);
        }
    }
    Ok(params)
}

fn headers(input: &Input<'_>) -> Result<DuoHeaders, Failure> {
    let mut headers = Vec::new();
    if let Some(given) = input.optional_object("headers")? {
        for (name, _) in given.entries() {
            headers.push((name.as_str(), given.text(name)?));
        }
    }
    DuoHeaders::new(headers).map_err(|error| Failure::from(error).at("headers"))
}
