//! The two requests to Duo and their replies: the health check and the exchange of a code.

use data_encoding::HEXLOWER;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use mfa_core::{HttpReply, SecretText, Timestamp};
use serde::Serialize;
use serde_json::Value;
use zeroize::Zeroizing;

use super::authorize::LIFETIME_SECONDS;
use super::{AuthorizationCode, OAuthError, Universal, form, jwt};
use crate::{ApiError, Error};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const AGENT: &str = concat!("mfa-duo/", env!("CARGO_PKG_VERSION"));
const MAX_REPLY_BYTES: usize = 1024 * 1024;

/// RFC 7523 §3, as Duo wants it.
#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: u64,
    jti: &'a str,
}

impl Universal {
    /// Makes the request `POST /oauth/v1/health_check`: is Duo there, and does it know these keys? It names no user.
    /// `jti` are fresh random bytes.
    #[must_use]
    pub fn health_check_request(&self, jti: &[u8; 18], now: Timestamp) -> Request<Vec<u8>> {
        let assertion = self.client_assertion(&self.health_check_url, jti, now);
        let form = [("client_id", self.client_id.as_str()), ("client_assertion", assertion.expose_secret())];
        post(&self.health_check_uri, &form)
    }

    /// Reads the reply to [`health_check_request`](Self::health_check_request) and returns Duo's time.
    ///
    /// # Errors
    /// [`Error::Api`] or [`Error::OAuth`] if Duo refused, [`Error::HttpStatus`] if the status is not 200 and the body
    /// names no error, [`Error::MalformedReply`] otherwise.
    pub fn health_check_response(reply: &HttpReply) -> Result<Timestamp, Error> {
        let body = read(reply)?;
        let time =
            body.get("response").and_then(|response| response.get("timestamp")).and_then(Value::as_u64);
        match time.and_then(|seconds| Timestamp::from_unix_seconds(seconds).ok()) {
            Some(time) if body.get("stat").and_then(Value::as_str) == Some("OK") => Ok(time),
            _ => Err(Error::MalformedReply { reason: "stat is not OK or the timestamp is missing" }),
        }
    }

    /// Makes the request `POST /oauth/v1/token` that exchanges a code. Everything secret is in the body; `jti` are
    /// fresh random bytes.
    #[must_use]
    pub fn token_request(
        &self,
        code: &AuthorizationCode,
        jti: &[u8; 18],
        now: Timestamp,
    ) -> Request<Vec<u8>> {
        let assertion = self.client_assertion(&self.token_url, jti, now);
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", self.client_id.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", assertion.expose_secret()),
        ];
        post(&self.token_uri, &form)
    }

    /// Reads the reply to [`token_request`](Self::token_request) and returns the id token, which proves nothing until
    /// it is [verified](Self::verify_id_token).
    ///
    /// # Errors
    /// [`Error::OAuth`] or [`Error::Api`] if Duo refused, [`Error::HttpStatus`] if the status is not 200 and the body
    /// names no error, [`Error::MalformedReply`] if one of `id_token`, `access_token`, `expires_in` and `token_type`
    /// is missing or the type is not `Bearer`.
    pub fn token_response(reply: &HttpReply) -> Result<SecretText, Error> {
        let body = read(reply)?;
        let text = |name: &str| body.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let (Some(token), Some(_)) = (text("id_token"), text("access_token")) else {
            return Err(Error::MalformedReply { reason: "a token is missing" });
        };
        if !body.get("expires_in").is_some_and(Value::is_number) {
            return Err(Error::MalformedReply { reason: "expires_in is not a number" });
        }
        // RFC 6749 §5.1: without regard to case.
        if !text("token_type").is_some_and(|kind| kind.eq_ignore_ascii_case("Bearer")) {
            return Err(Error::MalformedReply { reason: "token_type is not Bearer" });
        }
        Ok(SecretText::new(token))
    }

    fn client_assertion(&self, endpoint: &str, jti: &[u8; 18], now: Timestamp) -> SecretText {
        let (client_id, jti) = (self.client_id.as_str(), HEXLOWER.encode(jti));
        let exp = now.unix_seconds().saturating_add(LIFETIME_SECONDS);
        let mut token = Zeroizing::new(String::new());
        let claims = Assertion { iss: client_id, sub: client_id, aud: endpoint, exp, jti: &jti };
        jwt::sign_into(&mut token, &self.client_secret, &claims);
        token.into()
    }
}

fn post(uri: &Uri, pairs: &[(&str, &str)]) -> Request<Vec<u8>> {
    let mut request = Request::new(form::encode(pairs).into_bytes());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = uri.clone();
    let headers = request.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

/// Returns the JSON object of a reply that is a success. Duo names errors in two forms, with any status.
fn read(reply: &HttpReply) -> Result<Value, Error> {
    let status = reply.status().as_u16();
    if reply.body().len() > MAX_REPLY_BYTES {
        return Err(Error::MalformedReply { reason: "the body is larger than 1 MiB" });
    }
    let body: Option<Value> = serde_json::from_slice(reply.body()).ok().filter(Value::is_object);
    let text = |name: &str| body.as_ref()?.get(name)?.as_str();
    if let Some(error) = text("error") {
        return Err(Error::OAuth(OAuthError::new(Some(status), error, text("error_description"))));
    }
    if text("stat") == Some("FAIL") {
        let code = body.as_ref().and_then(|body| body.get("code")).and_then(Value::as_u64);
        let code = code.and_then(|code| u32::try_from(code).ok()).unwrap_or(0);
        let message = text("message").unwrap_or_default().to_owned();
        return Err(Error::Api(ApiError::new(
            status,
            code,
            message,
            text("message_detail").map(str::to_owned),
        )));
    }
    if reply.status() != StatusCode::OK {
        return Err(Error::HttpStatus { status });
    }
    body.ok_or(Error::MalformedReply { reason: "the body is not a json object" })
}
