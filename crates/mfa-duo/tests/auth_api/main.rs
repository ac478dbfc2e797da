//! Requests and replies of the Auth API, without a client.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

mod replies;
mod requests;
mod waits;

use http::Request;
use mfa_core::{HttpReply, Timestamp};
use mfa_duo::auth_api::{AuthApi, Call, ClockOffset, User};
use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
use serde_json::{Value, json};

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const NOW: u64 = 1_345_570_158;

fn api() -> AuthApi {
    let host = ApiHost::parse("API-xxxxxxxx.duosecurity.com").unwrap();
    AuthApi::new(host, IntegrationKey::parse(IKEY).unwrap(), SecretKey::parse(SKEY).unwrap())
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(seconds).unwrap()
}

fn ann() -> User {
    User::name("ann").unwrap()
}

fn request<C: Call>(call: &C) -> Request<Vec<u8>> {
    api().request(call, at(NOW), ClockOffset::NONE).unwrap()
}

fn body<C: Call>(call: &C) -> Value {
    serde_json::from_slice(request(call).body()).unwrap()
}

fn reply(status: u16, body: impl ToString) -> HttpReply {
    http::Response::builder().status(status).body(body.to_string().into_bytes()).unwrap()
}

fn ok(response: Value) -> HttpReply {
    reply(200, json!({ "stat": "OK", "response": response }))
}

fn header<'a>(request: &'a Request<Vec<u8>>, name: &str) -> &'a str {
    request.headers().get(name).map_or("", |value| value.to_str().unwrap())
}
