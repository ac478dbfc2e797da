//! Ops that need no store.

use mfa::audit::{Attempt, EventBuilder, EventId, Kind, MULTI_FACTOR, Outcome, Profile, parse_address};
use mfa::totp::{
    Algorithm, Digits, Error, Match, OtpauthUri, Parameters, Period, TotpSecret, Window, code_at,
    matching_step,
};
use mfa::{AccountId, Scope, UserId};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;
use crate::{duo, recovery};

/// Serves `op` if it is one of these.
pub(crate) fn serve(op: &str, input: &Input<'_>) -> Option<Result<Value, Failure>> {
    Some(match op {
        "totp.code" => totp_code(input),
        "totp.check" => totp_check(input),
        "totp.uri" => totp_uri(input),
        "totp.parse_uri" => totp_parse_uri(input),
        "recovery.codes" => recovery::codes(input),
        "recovery.hash" => recovery::hash_code(input),
        "recovery.check" => recovery::check_code(input),
        "time.gregorian" => input.time("unix").map(|time| json!({ "gregorian": time.gregorian_seconds() })),
        "wire.attempt" => wire_attempt(input),
        _ => return duo::serve(op, input),
    })
}

fn totp_code(input: &Input<'_>) -> Result<Value, Failure> {
    let (secret, parameters, time) = (secret(input)?, parameters(input)?, input.whole("time")?);
    let code = code_at(&secret, parameters, time);
    Ok(json!({ "code": code.expose_secret(), "step": parameters.period.step_at(time) }))
}

fn totp_check(input: &Input<'_>) -> Result<Value, Failure> {
    let (secret, parameters, time) = (secret(input)?, parameters(input)?, input.whole("time")?);
    let steps = |name| Ok::<_, Failure>(small(input.optional_whole(name)?.unwrap_or(1)));
    let (back, forward) = (steps("back")?, steps("forward")?);
    let field = if back > Window::MAX_BACK { "back" } else { "forward" };
    let window = Window::new(back, forward).map_err(|error| Failure::from(error).at(field))?;
    let used = input.optional_whole("after_step")?;
    let (step, found) = match matching_step(&secret, parameters, window, time, used, input.text("code")?) {
        Match::Accepted(step) => (Some(step), "accepted"),
        Match::Replayed => (None, "replayed"),
        _ => (None, "no_match"),
    };
    Ok(json!({ "step": step, "match": found }))
}

fn totp_uri(input: &Input<'_>) -> Result<Value, Failure> {
    let (issuer, account) = (input.text("issuer")?, input.text("account")?);
    let uri = OtpauthUri::new(issuer, account, secret(input)?, parameters(input)?);
    let uri = uri.map_err(|error| match error {
        Error::InvalidIssuer { .. } => Failure::from(error).at("issuer"),
        Error::InvalidLabel { .. } => Failure::from(error).at("account"),
        other => other.into(),
    })?;
    Ok(json!({ "uri": uri.to_uri().expose_secret() }))
}

fn totp_parse_uri(input: &Input<'_>) -> Result<Value, Failure> {
    let uri = input.parsed("uri", OtpauthUri::parse)?;
    let parameters = uri.parameters();
    Ok(json!({
        "issuer": uri.issuer(),
        "account": uri.account(),
        "secret": uri.secret().to_base32().expose_secret(),
        "algorithm": parameters.algorithm.as_str(),
        "digits": parameters.digits.get(),
        "period": parameters.period.seconds(),
    }))
}

fn secret(input: &Input<'_>) -> Result<TotpSecret, Failure> {
    input.parsed("secret", TotpSecret::from_base32)
}

fn parameters(input: &Input<'_>) -> Result<Parameters, Failure> {
    let algorithm = input.optional_parsed("algorithm", str::parse::<Algorithm>)?;
    let digits = input.optional_whole("digits")?.map(|digits| Digits::new(small(digits)));
    let seconds = |period| Period::from_seconds(u16::try_from(period).unwrap_or(u16::MAX));
    let period = input.optional_whole("period")?.map(seconds);
    let at = |field: &'static str| move |error: Error| Failure::from(error).at(field);
    Ok(Parameters::new(
        algorithm.unwrap_or_default(),
        digits.transpose().map_err(at("digits"))?.unwrap_or_default(),
        period.transpose().map_err(at("period"))?.unwrap_or_default(),
    ))
}

/// Cuts a number that is past every limit of its type to one that the type's own check refuses.
fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

fn wire_attempt(input: &Input<'_>) -> Result<Value, Failure> {
    let profile = input.parsed("profile", str::parse::<Profile>)?;
    let asked = input.object("attempt")?;
    let (id, at) = (asked.parsed("id", str::parse::<EventId>)?, asked.time("timestamp")?);
    let scope = Scope::Account(asked.parsed("account", AccountId::parse)?);
    let outcome = status(&asked)?;
    let kind = if outcome == Outcome::Success { Kind::AnswerAccepted } else { Kind::AnswerRejected };

    let auth_type = asked.optional_text("auth_type")?.unwrap_or(MULTI_FACTOR).to_owned();
    let mut attempt = Attempt::new(auth_type, asked.text("message")?.to_owned());
    let owned = |name| Ok::<_, Failure>(asked.optional_text(name)?.map(|text| text.to_owned().into()));
    attempt.auth_config_origin = owned("auth_config_origin")?;
    attempt.mfa_config_origin = owned("mfa_config_origin")?;

    let mut event = EventBuilder::new(scope, kind, outcome, at).attempt(attempt);
    if let Some(module) = asked.optional_text("module")? {
        event = event.module(module.to_owned());
    }
    if let Some(user) = asked.optional_parsed("user", UserId::parse)? {
        event = event.user(user);
    }
    if let Some(ip) = asked.optional_parsed("ip", parse_address)? {
        event = event.ip(ip);
    }
    if let Some(request) = asked.optional_text("request_id")? {
        event = event.request_id(request);
    }
    if let Some(headers) = asked.optional_object("headers")? {
        for (name, _) in headers.entries() {
            event = event.header(name, headers.text(name)?);
        }
    }
    // Nothing of the salt is on the wire.
    let event = event.build(id, [1; 16])?;
    let row = if input.flag("detail")? { profile.detail(&event) } else { profile.summary(&event) };
    Ok(json!({ "value": row }))
}

/// Reads how an attempt ended: those that are for information alone are none.
fn status(asked: &Input<'_>) -> Result<Outcome, Failure> {
    let name = asked.text("status")?;
    let found = [Outcome::Success, Outcome::Failure].into_iter().find(|outcome| outcome.code() == name);
    found.ok_or_else(|| asked.mistyped("status", "success or failed"))
}
