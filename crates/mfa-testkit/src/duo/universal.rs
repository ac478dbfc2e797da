//! The Universal Prompt: health check, authorization and token, after OpenID Connect.

mod id_token;

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};
use url::Url;

use super::jwt;
use super::log::Credentials;
use super::message::{Reply, Request};
use super::people::{Reaction, Status};
use super::state::{State, random_text};

const HEALTH_CHECK: &str = "/oauth/v1/health_check";
pub(super) const AUTHORIZE: &str = "/oauth/v1/authorize";
pub(super) const TOKEN: &str = "/oauth/v1/token";

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// How far ahead a client's token may expire: five minutes, and one for its clock.
const LONGEST_LIFE: f64 = 360.0;
/// How many seconds a code can be exchanged.
const CODE_LIFE: u64 = 300;

type Params = BTreeMap<String, String>;
type Checked = (Credentials, Option<String>);

/// What a code stands for.
#[derive(Debug)]
pub(super) struct Approval {
    pub(super) user: String,
    client: String,
    redirect_uri: String,
    nonce: Option<String>,
    expires: u64,
    factor: &'static str,
    reason: &'static str,
}

/// An error as OAuth has it (RFC 6749 §5.2).
#[derive(Debug)]
struct Problem {
    error: &'static str,
    description: String,
}

impl Problem {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }

    fn request(description: impl Into<String>) -> Self {
        Self::new("invalid_request", description)
    }

    fn client(description: impl Into<String>) -> Self {
        Self::new("invalid_client", description)
    }

    fn grant() -> Self {
        let description = "The provided authorization grant is invalid, expired, revoked, or does not match.";
        Self::new("invalid_grant", description)
    }
}

impl From<Problem> for Reply {
    fn from(problem: Problem) -> Self {
        let body = json!({ "error": problem.error, "error_description": problem.description });
        Self::json(400, body)
    }
}

/// Answers a request and notes what became of its credentials.
pub(super) fn answer(state: &mut State, request: &Request, checked: &mut Checked) -> Reply {
    let (method, path) = (&request.method, request.path.as_str());
    let params = request.params();
    match path {
        HEALTH_CHECK if method == Method::POST => health_check(state, request, &params, checked),
        TOKEN if method == Method::POST => {
            token(state, request, &params, checked).unwrap_or_else(Reply::from)
        }
        AUTHORIZE if method == Method::GET => {
            authorize(state, request, &params, checked).unwrap_or_else(Reply::from)
        }
        HEALTH_CHECK | TOKEN | AUTHORIZE => Reply::bytes(405, "text/plain", "method not allowed"),
        _ => Reply::bytes(404, "text/plain", "not found"),
    }
}

/// Returns whom a signed request says it is for, without looking at the signature.
pub(super) fn claimed_user(jwt: &str) -> Option<String> {
    jwt::peek(jwt)?.get("duo_uname")?.as_str().map(str::to_owned)
}

fn health_check(state: &mut State, request: &Request, params: &Params, checked: &mut Checked) -> Reply {
    let now = state.now.unix_seconds();
    match check_client(state, request, params, checked) {
        Ok(_) => Reply::ok(json!({ "timestamp": now })),
        Err(_) => Reply::json(
            400,
            json!({
                "stat": "FAIL",
                "code": 40002,
                "message": "invalid_client",
                "message_detail": "The provided client_assertion was invalid.",
                "timestamp": now,
            }),
        ),
    }
}

/// Checks the assertion that stands for the client's password (RFC 7523 §3), and uses it up.
fn check_client(
    state: &mut State,
    request: &Request,
    params: &Params,
    checked: &mut Checked,
) -> Result<String, Problem> {
    checked.0 = Credentials::Refused;
    let client = required(params, "client_id")?;
    let claims = claims_of(state, client, required(params, "client_assertion")?)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("iss") != client || text("sub") != client {
        return Err(Problem::client("The `iss` claim must match the supplied client_id"));
    }
    if text("aud") != request.endpoint(&request.path) {
        return Err(Problem::client("The `aud` claim must match the endpoint"));
    }
    check_expiry(state, &claims).map_err(Problem::client)?;
    let jti = text("jti");
    if jti.is_empty() || !state.assertions.insert((client.to_owned(), jti.to_owned())) {
        return Err(Problem::client("The `jti` claim is missing or was used before"));
    }
    *checked = (Credentials::Jwt, Some(client.to_owned()));
    Ok(client.to_owned())
}

fn claims_of(state: &State, client: &str, token: &str) -> Result<Value, Problem> {
    let secret = state.integrations.get(client).ok_or_else(|| Problem::client("The client_id is unknown"))?;
    jwt::decode(token, secret).ok_or_else(|| Problem::client("The signature is not right"))
}

/// Expiry may have a fraction: some clients send one.
fn check_expiry(state: &State, claims: &Value) -> Result<(), &'static str> {
    let exp = claims.get("exp");
    // One official client sends a text.
    let exp = exp.and_then(|exp| exp.as_f64().or_else(|| exp.as_str()?.parse().ok()));
    let left = exp.ok_or("The `exp` claim is missing")? - seconds(state);
    match left {
        left if left <= 0.0 => Err("The token has expired"),
        left if left > LONGEST_LIFE => Err("The `exp` claim is more than five minutes ahead"),
        _ => Ok(()),
    }
}

fn seconds(state: &State) -> f64 {
    core::time::Duration::from_millis(state.now.unix_millis()).as_secs_f64()
}

/// Checks the signed request, and answers as the browser would come back.
fn authorize(
    state: &mut State,
    request: &Request,
    params: &Params,
    checked: &mut Checked,
) -> Result<Reply, Problem> {
    checked.0 = Credentials::Refused;
    let client = required(params, "client_id")?;
    let claims = claims_of(state, client, required(params, "request")?)?;
    let text = |name: &str| claims.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("iss") != client || text("client_id") != client {
        return Err(Problem::client("The `iss` claim must match the supplied client_id"));
    }
    // The host, or the endpoint: one official client sends that.
    if ![request.endpoint(""), request.endpoint(AUTHORIZE)].iter().any(|wanted| wanted == text("aud")) {
        return Err(Problem::request("The `aud` claim must match the host"));
    }
    check_expiry(state, &claims).map_err(Problem::request)?;
    *checked = (Credentials::Jwt, Some(client.to_owned()));
    if required(params, "response_type")? != "code" || text("response_type") != "code" {
        return Err(Problem::new("unsupported_response_type", "The response_type must be code"));
    }
    if text("scope") != "openid" {
        return Err(Problem::new("invalid_scope", "The scope must be openid"));
    }
    if text("duo_uname").is_empty() {
        return Err(Problem::request("The duo_uname is missing"));
    }
    // A nonce in the query wins, as Duo documents.
    let nonce = params.get("nonce").map(String::as_str).or_else(|| claims.get("nonce")?.as_str());
    for (name, value) in [("state", Some(text("state"))), ("nonce", nonce)] {
        if value.is_some_and(|value| !(16..=1024).contains(&value.chars().count())) {
            return Err(Problem::request(format!("The {name} must have 16 to 1024 characters")));
        }
    }
    let back =
        Url::parse(text("redirect_uri")).map_err(|_| Problem::request("The redirect_uri is no URL"))?;
    let rings = state.rings_of(text("duo_uname"));
    rings.prompts = rings.prompts.saturating_add(1);
    let approval = Approval {
        user: text("duo_uname").to_owned(),
        client: client.to_owned(),
        redirect_uri: text("redirect_uri").to_owned(),
        nonce: nonce.map(str::to_owned),
        expires: state.now.unix_seconds().saturating_add(CODE_LIFE),
        factor: "duo_push",
        reason: "user_approved",
    };
    let is_duo_code = claims.get("use_duo_code_attribute").is_some_and(|flag| flag == true || flag == "true");
    Ok(prompt(state, approval, back, text("state"), if is_duo_code { "duo_code" } else { "code" }))
}

/// Lets the user react to the prompt.
fn prompt(state: &mut State, mut approval: Approval, mut back: Url, echo: &str, code_name: &str) -> Reply {
    let reaction = if state.users.get(&approval.user).is_some_and(|user| user.status == Status::Bypass) {
        (approval.factor, approval.reason) = ("not_available", "bypass_user");
        Some(Reaction::Approve)
    } else {
        state.reaction_of(&approval.user)
    };
    match reaction {
        Some(Reaction::Wait | Reaction::Unreachable) => {
            return Reply::bytes(200, "text/html; charset=utf-8", "<title>A fake prompt, waiting</title>");
        }
        Some(Reaction::Approve) => {
            let code = random_text(40);
            back.query_pairs_mut().append_pair("state", echo).append_pair(code_name, &code);
            state.approvals.insert(code, approval);
        }
        Some(Reaction::Deny | Reaction::ReportFraud | Reaction::TimeOut) | None => {
            back.query_pairs_mut()
                .append_pair("state", echo)
                .append_pair("error", "access_denied")
                .append_pair("error_description", "The user was not let in.");
        }
    }
    Reply::redirect(back)
}

/// Exchanges a code for an `id_token`. The first right client to present a code uses it up, whatever comes of it.
fn token(
    state: &mut State,
    request: &Request,
    params: &Params,
    checked: &mut Checked,
) -> Result<Reply, Problem> {
    if required(params, "grant_type")? != "authorization_code" {
        return Err(Problem::new("unsupported_grant_type", "The grant_type must be authorization_code"));
    }
    if required(params, "client_assertion_type")? != ASSERTION_TYPE {
        return Err(Problem::client("The client_assertion_type is not supported"));
    }
    let (code, redirect_uri) = (required(params, "code")?, required(params, "redirect_uri")?);
    let client = check_client(state, request, params, checked)?;
    let is_its_own = state.approvals.get(code).is_some_and(|approval| approval.client == client);
    let approval = if is_its_own { state.approvals.remove(code) } else { None };
    let is_good = |approval: &Approval| {
        approval.redirect_uri == redirect_uri && state.now.unix_seconds() < approval.expires
    };
    let approval = approval.filter(is_good).ok_or_else(Problem::grant)?;
    Ok(Reply::json(
        200,
        json!({
            "id_token": id_token::write(state, request, &approval),
            "access_token": random_text(40),
            "expires_in": id_token::LIFE,
            "token_type": "Bearer",
        }),
    ))
}

fn required<'a>(params: &'a Params, name: &str) -> Result<&'a str, Problem> {
    let value = params.get(name).filter(|value| !value.is_empty());
    value.map(String::as_str).ok_or_else(|| Problem::request(format!("The parameter {name} is missing")))
}
