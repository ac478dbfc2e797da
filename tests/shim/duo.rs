//! Ops of Duo's three protocols that need no store. They take the inputs of the test data that `mfa-duo` is judged
//! by, and their `value` is what that data expects.

mod auth_api;
mod universal;
mod web;

use mfa::duo::web::WebSdk;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;

/// Serves `op` if it is one of these.
pub(crate) fn serve(op: &str, input: &Input<'_>) -> Option<Result<Value, Failure>> {
    let value = match op {
        "duo.sign_request" => web::sign(input, WebSdk::sign_request),
        "duo.sign_enroll_request" => web::sign(input, WebSdk::sign_enroll_request),
        "duo.verify_response" => web::verify(input, WebSdk::verify_response),
        "duo.verify_response_for" => web::verify_for(input),
        "duo.verify_enroll_response" => web::verify(input, WebSdk::verify_enroll_response),
        "duo.iframe_src" => web::iframe_src(input),
        "duo.kazoo_authenticate" => web::kazoo_authenticate(input),
        "duo.canon_params" => auth_api::canon_params(input),
        "duo.canonicalize" => auth_api::canonicalize(input),
        "duo.headers_hash" => auth_api::headers_hash(input),
        "duo.sign" => auth_api::sign(input),
        "duo.validate_headers" => auth_api::validate_headers(input),
        "duo.backoff" => auth_api::backoff(input),
        "duo.parse_response" => auth_api::parse_response(input),
        "duo.create_auth_url" => universal::create_auth_url(input),
        "duo.client_assertion" => universal::client_assertion(input),
        "duo.universal_config" => universal::universal_config(input),
        "duo.validate_auth_url_inputs" => universal::validate_auth_url_inputs(input),
        "duo.verify_id_token" => universal::verify_id_token(input),
        "duo.health_check_response" => universal::health_check_response(input),
        "duo.token_response" => universal::token_response(input),
        "duo.token_request" => universal::token_request(input),
        _ => return None,
    };
    Some(value.map(|value| json!({ "value": value })))
}

/// Reads `http_status` and `body`, an answer of Duo's.
fn reply(input: &Input<'_>) -> Result<mfa::HttpReply, Failure> {
    let body = input.text("body")?.as_bytes().to_vec();
    let status = u16::try_from(input.whole("http_status")?).unwrap_or(0);
    let reply = http::Response::builder().status(status).body(body);
    reply.map_err(|_| input.mistyped("http_status", "a status of http"))
}
