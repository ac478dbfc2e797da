//! The scripted peer of providers that send HTTP requests, and its ops.

use core::time::Duration;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use mfa::{HttpClient, HttpFault, HttpReply};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::{self, Input};
use crate::node::Node;

/// Answers each request with the oldest reply for its path, and nothing where there is none.
#[derive(Debug, Default)]
pub(crate) struct Peer {
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    replies: Vec<(String, Result<HttpReply, HttpFault>)>,
    requests: Vec<Value>,
}

impl Node {
    pub(crate) async fn http_reply(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        input.required("replies")?;
        self.peer.add(input)?;
        Ok(json!({}))
    }

    pub(crate) async fn http_take(&mut self, _: &Input<'_>) -> Result<Value, Failure> {
        Ok(json!({ "requests": core::mem::take(&mut self.peer.script().requests) }))
    }
}

impl Peer {
    /// Adds the `replies` of a request to the script: all of them, or none if one cannot be read.
    pub(crate) fn add(&self, input: &Input<'_>) -> Result<(), Failure> {
        let mut replies = Vec::new();
        for (index, value) in input.list("replies")?.iter().enumerate() {
            let given = input::item("replies", index, value)?;
            replies.push((given.text("path")?.to_owned(), reply(&given)?));
        }
        self.script().replies.append(&mut replies);
        Ok(())
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl HttpClient for Peer {
    async fn send(&self, request: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        let mut script = self.script();
        script.requests.push(json!({
            "method": request.method().as_str(),
            "host": request.uri().host(),
            "path": request.uri().path(),
            "query": request.uri().query(),
            "body": String::from_utf8_lossy(request.body()),
        }));
        let path = request.uri().path();
        match script.replies.iter().position(|(of, _)| of == path) {
            Some(index) => script.replies.remove(index).1,
            None => Err(HttpFault::NotSent),
        }
    }
}

/// Reads `status`, `headers` and `body` of a reply, or why there is none.
fn reply(given: &Input<'_>) -> Result<Result<HttpReply, HttpFault>, Failure> {
    if let Some(fault) = given.optional_text("fault")? {
        return match fault {
            "not_sent" => Ok(Err(HttpFault::NotSent)),
            "tls" => Ok(Err(HttpFault::Tls)),
            "unanswered" => Ok(Err(HttpFault::Unanswered)),
            _ => Err(given.mistyped("fault", "not_sent, tls or unanswered")),
        };
    }
    let body = match given.required("body")? {
        Value::String(text) => text.clone(),
        json => json.to_string(),
    };
    let status = u16::try_from(given.optional_whole("status")?.unwrap_or(200)).unwrap_or(0);
    let mut reply = http::Response::builder().status(status);
    if let Some(headers) = given.optional_object("headers")? {
        for (name, _) in headers.entries() {
            reply = reply.header(name, headers.text(name)?);
        }
    }
    let reply = reply.body(body.into_bytes());
    reply.map(Ok).map_err(|_| given.mistyped("status", "a status of http, with headers that can be sent"))
}
