//! The Universal Prompt: the address of the browser, the two requests, and Duo's signed word.

use data_encoding::BASE64URL_NOPAD;
use mfa::Timestamp;
use mfa::duo::universal::{AuthorizationCode, IdTokenError, Universal};
use mfa::duo::{ApiHost, Error, IntegrationKey, SecretKey};
use serde_json::{Value, json};

use super::reply;
use crate::failure::Failure;
use crate::input::Input;

type Object = serde_json::Map<String, Value>;

/// What the test data leaves out where it does not matter.
const CLIENT_ID: &str = "DIXXXXXXXXXXXXXXXXXX";
const CLIENT_SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const API_HOST: &str = "api-XXXXXXX.test.duosecurity.com";
const REDIRECT_URI: &str = "https://www.example.com";

pub(super) fn create_auth_url(input: &Input<'_>) -> Result<Value, Failure> {
    if input.optional_flag("use_duo_code_attribute")? == Some(false) {
        return Err(Failure::not_served().at("use_duo_code_attribute"));
    }
    let (user, state, now) = (input.text("username")?, input.text("state")?, input.time("now")?);
    let universal = settings(input)?.universal()?;
    let url = universal.create_auth_url(user, state, input.optional_text("nonce")?, now)?;
    let url = url.expose_secret();
    let (endpoint, query) = url.split_once('?').unwrap_or((url, ""));
    let mut query = fields(query);
    let request = query.remove("request").unwrap_or_default();
    let (header, claims) = opened(request.as_str().unwrap_or_default())?;
    Ok(json!({
        "endpoint": endpoint,
        "query": query,
        "request_jwt_header_alg": header.get("alg"),
        "request_jwt_claims": claims,
        "example_jwt_with_header_alg_typ_and_claims_in_this_order": request,
        "example_url": url,
    }))
}

/// The library draws the `jti` itself; in its place the answer has that of the request.
pub(super) fn client_assertion(input: &Input<'_>) -> Result<Value, Failure> {
    let (endpoint, jti, now) = (input.text("endpoint")?, input.text("jti")?, input.time("now")?);
    let host = endpoint.strip_prefix("https://").and_then(|rest| rest.split_once("/oauth/v1/"));
    let (host, call) = host.ok_or_else(|| input.mistyped("endpoint", "https and a path of /oauth/v1/"))?;
    let universal = Settings { api_host: host, ..settings(input)? }.universal()?;
    let request = match call {
        "token" => universal.token_request(&AuthorizationCode::parse("code")?, &[0; 18], now),
        "health_check" => universal.health_check_request(&[0; 18], now),
        _ => return Err(input.mistyped("endpoint", "that of token or health_check")),
    };
    let (_, mut claims) = opened(&assertion(&mut form(&request)))?;
    claims.insert("jti".to_owned(), json!(jti));
    Ok(claims.into())
}

pub(super) fn universal_config(input: &Input<'_>) -> Result<Value, Failure> {
    fixed(input, "exp_seconds", 300)?;
    Ok(json!({ "error": settings(input)?.universal().err().as_ref().map(field) }))
}

pub(super) fn validate_auth_url_inputs(input: &Input<'_>) -> Result<Value, Failure> {
    fixed(input, "min_state", 16)?;
    fixed(input, "max_state", 1024)?;
    let (user, state) = (input.text("username")?, input.text("state")?);
    let nonce = input.optional_text("nonce")?;
    let url = settings(input)?.universal()?.create_auth_url(user, state, nonce, Timestamp::MIN);
    Ok(json!({ "error": url.err().as_ref().map(field) }))
}

pub(super) fn verify_id_token(input: &Input<'_>) -> Result<Value, Failure> {
    fixed(input, "leeway", 60)?;
    let (token, user, now) = (input.text("id_token")?, input.text("username")?, input.time("now")?);
    let universal = settings(input)?.universal()?;
    let judged = universal.verify_id_token(token, user, input.optional_text("nonce")?, now);
    let code = judged.as_ref().err().map(IdTokenError::code);
    Ok(json!({ "error": code.map(|code| code.strip_prefix("id_token_").unwrap_or(code)) }))
}

/// Duo's own words for it, as its SDKs put them together.
pub(super) fn health_check_response(input: &Input<'_>) -> Result<Value, Failure> {
    let error = match Universal::health_check_response(&reply(input)?) {
        Ok(_) => None,
        Err(Error::Api(error)) => Some(match error.detail() {
            Some(detail) => format!("{}: {detail}", error.message()),
            None => error.message().to_owned(),
        }),
        Err(Error::OAuth(error)) => Some(error.error().to_owned()),
        Err(Error::MalformedReply { .. }) => Some("malformed".to_owned()),
        Err(other) => Some(other.code().to_owned()),
    };
    Ok(json!({ "error": error }))
}

pub(super) fn token_response(input: &Input<'_>) -> Result<Value, Failure> {
    let error = match Universal::token_response(&reply(input)?) {
        Ok(_) => None,
        Err(Error::OAuth(error)) => Some(error.error().to_owned()),
        Err(Error::MalformedReply { .. }) => Some("malformed".to_owned()),
        Err(other) => Some(other.code().to_owned()),
    };
    Ok(json!({ "error": error }))
}

pub(super) fn token_request(input: &Input<'_>) -> Result<Value, Failure> {
    let code = input.parsed("code", AuthorizationCode::parse)?;
    let now = if input.get("now").is_some() { input.time("now")? } else { Timestamp::MIN };
    let request = settings(input)?.universal()?.token_request(&code, &[0; 18], now);
    let (method, url) = (request.method().as_str(), request.uri().to_string());
    let mut form = form(&request);
    let (header, claims) = opened(&assertion(&mut form))?;
    let named = ["iss", "sub", "aud", "exp", "jti"].into_iter().filter(|name| claims.contains_key(*name));
    let named = named.map(|name| {
        if claims.get(name) == Some(&json!(url)) { format!("{name}=token url") } else { name.to_owned() }
    });
    let named = named.collect::<Vec<_>>().join(",");
    let alg = header.get("alg").and_then(Value::as_str).unwrap_or_default();
    let also = format!("client_assertion ({alg} JWT {named})");
    Ok(json!({ "method": method, "url": url, "form": form, "form_also_has": also }))
}

/// A configuration as it was given.
struct Settings<'a> {
    client_id: &'a str,
    client_secret: &'a str,
    api_host: &'a str,
    redirect_uri: &'a str,
}

fn settings<'a>(input: &Input<'a>) -> Result<Settings<'a>, Failure> {
    Ok(Settings {
        client_id: input.optional_text("client_id")?.unwrap_or(CLIENT_ID),
        client_secret: input.optional_text("client_secret")?.unwrap_or(CLIENT_SECRET),
        api_host: input.optional_text("api_host")?.unwrap_or(API_HOST),
        redirect_uri: input.optional_text("redirect_uri")?.unwrap_or(REDIRECT_URI),
    })
}

impl Settings<'_> {
    fn universal(&self) -> Result<Universal, Error> {
        let id = IntegrationKey::parse(self.client_id)?;
        let secret = SecretKey::parse(self.client_secret)?;
        Universal::new(id, secret, ApiHost::parse(self.api_host)?, self.redirect_uri)
    }
}

/// Refuses another value than the library's own, which is not to be set.
fn fixed(input: &Input<'_>, name: &str, value: u64) -> Result<(), Failure> {
    match input.optional_whole(name)? {
        Some(given) if given != value => Err(input.mistyped(name, &format!("{value}, which is fixed"))),
        _ => Ok(()),
    }
}

/// The field that an error is about, as the test data calls it.
fn field(error: &Error) -> &'static str {
    match error {
        Error::IntegrationKey => "client_id",
        Error::SecretKey => "client_secret",
        Error::ApiHost { .. } => "api_host",
        Error::Parameter { name, .. } => name,
        other => other.code(),
    }
}

fn form(request: &http::Request<Vec<u8>>) -> Object {
    fields(&String::from_utf8_lossy(request.body()))
}

fn fields(query: &str) -> Object {
    let pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.map(|(name, value)| (name.into_owned(), json!(value))).collect()
}

fn assertion(form: &mut Object) -> String {
    form.remove("client_assertion").and_then(|token| token.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns header and claims of a token of the library's own making.
fn opened(token: &str) -> Result<(Object, Object), Failure> {
    let part = |part: Option<&str>| {
        let bytes = BASE64URL_NOPAD.decode(part?.as_bytes()).ok()?;
        serde_json::from_slice::<Object>(&bytes).ok()
    };
    let mut parts = token.split('.');
    let opened = part(parts.next()).zip(part(parts.next()));
    opened.ok_or_else(|| Failure::new("unavailable", "the library made a token that cannot be read"))
}
