//! The client: where a request goes, what of the answer is read, and which fault stands for what went wrong.

use core::error::Error as StdError;
use core::fmt;
use core::time::Duration;
use std::io;

use async_trait::async_trait;
use mfa_core::{HttpClient, HttpFault, HttpReply};

use crate::ClientBuilder;
use crate::destination::{Destination, Rules};
use crate::resolve::NotPublic;

/// The most bytes that names and values of an answer's headers have together.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// An HTTPS client on `reqwest`. Clones share connections.
#[derive(Clone)]
pub struct Client {
    pub(crate) public: reqwest::Client,
    /// For the allowed authorities: its resolver filters nothing, and it uses no proxy.
    pub(crate) allowed: Option<reqwest::Client>,
    pub(crate) rules: Rules,
    pub(crate) max_body_bytes: usize,
}

impl Client {
    /// Begins a client: public destinations, the operating system's roots, no proxy.
    #[must_use]
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    async fn exchange(
        &self,
        request: http::Request<Vec<u8>>,
        deadline: Duration,
    ) -> Result<HttpReply, Cause> {
        let mut request = reqwest::Request::try_from(request).map_err(|_| Cause::Destination)?;
        let client = match self.rules.judge(request.url()) {
            Destination::Public => &self.public,
            Destination::Allowed => self.allowed.as_ref().ok_or(Cause::Destination)?,
            Destination::Refused => return Err(Cause::Destination),
        };
        // From the first step of the connection to the last byte of the body.
        *request.timeout_mut() = Some(deadline);
        let response = client.execute(request).await.map_err(|error| Cause::of(&error))?;
        self.read(response).await
    }

    async fn read(&self, mut response: reqwest::Response) -> Result<HttpReply, Cause> {
        let sizes =
            response.headers().iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
        if sizes.fold(0, usize::saturating_add) > MAX_HEADER_BYTES {
            return Err(Cause::HeaderLimit);
        }
        let limit = u64::try_from(self.max_body_bytes).unwrap_or(u64::MAX);
        if response.content_length().is_some_and(|length| length > limit) {
            return Err(Cause::BodyLimit);
        }
        let mut body = Vec::new();
        // What came after the request left is never "not sent".
        while let Some(chunk) = response.chunk().await.map_err(|error| Cause::answer(&error))? {
            if body.len().saturating_add(chunk.len()) > self.max_body_bytes {
                return Err(Cause::BodyLimit);
            }
            body.extend_from_slice(&chunk);
        }
        let mut reply = HttpReply::new(body);
        *reply.status_mut() = response.status();
        *reply.version_mut() = response.version();
        *reply.headers_mut() = core::mem::take(response.headers_mut());
        Ok(reply)
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        deadline: Duration,
    ) -> Result<HttpReply, HttpFault> {
        self.exchange(request, deadline).await.map_err(|cause| {
            tracing::debug!(cause = cause.code(), "no http answer");
            cause.fault()
        })
    }

    fn dangers(&self) -> Vec<&'static str> {
        if self.rules.allows_any() { vec!["danger_allow_private"] } else { Vec::new() }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("rules", &self.rules)
            .field("max_body_bytes", &self.max_body_bytes)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The URL leads where requests may not go.
    Destination,
    /// The name leads to addresses that are not public alone.
    NotPublic,
    /// The name leads nowhere.
    Resolve,
    /// There was no connection.
    Connect,
    /// The handshake failed or was cut off, or the certificate was refused.
    Tls,
    /// The deadline passed after there may have been a connection.
    Timeout,
    /// The connection broke, or what came is no HTTP.
    Broken,
    HeaderLimit,
    BodyLimit,
}

impl Cause {
    const fn code(self) -> &'static str {
        match self {
            Self::Destination => "destination_refused",
            Self::NotPublic => "not_public",
            Self::Resolve => "resolve",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::HeaderLimit => "header_limit",
            Self::BodyLimit => "body_limit",
        }
    }

    const fn fault(self) -> HttpFault {
        match self {
            Self::Destination | Self::NotPublic => HttpFault::Refused,
            Self::Resolve | Self::Connect => HttpFault::NotSent,
            Self::Tls => HttpFault::Tls,
            Self::Timeout | Self::Broken | Self::HeaderLimit | Self::BodyLimit => HttpFault::Unanswered,
        }
    }

    /// Names the cause of an error before the answer's headers. One of connecting ended before a request was written,
    /// as a request is handed only to a connection that stands.
    fn of(error: &reqwest::Error) -> Self {
        if error.is_builder() {
            Self::Destination
        } else if !error.is_connect() {
            Self::answer(error)
        } else if error.is_dns() {
            if leads_to_private(error) { Self::NotPublic } else { Self::Resolve }
        } else if is_tls(error) {
            Self::Tls
        } else {
            Self::Connect
        }
    }

    /// Names the cause of an error after the request left.
    fn answer(error: &reqwest::Error) -> Self {
        if error.is_timeout() { Self::Timeout } else { Self::Broken }
    }
}

/// Tells a name whose addresses were all refused from one that could not be resolved.
fn leads_to_private(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        // `io::Error::source` skips the error that it wraps.
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if wrapped.is_some_and(|inner| inner.is::<NotPublic>()) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// Tells a handshake that failed from a connection that never stood. Whoever cuts a handshake off leaves no error
/// of `rustls`, so that a connection which broke, and was not refused, counts as one.
fn is_tls(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if cause.is::<rustls::Error>() || cause.downcast_ref().is_some_and(is_tls_io) {
            return true;
        }
        next = cause.source();
    }
    false
}

fn is_tls_io(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, UnexpectedEof};
    // `io::Error::source` skips the error that it wraps.
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | InvalidData | UnexpectedEof)
        || error
            .get_ref()
            .is_some_and(|inner| inner.is::<rustls::Error>() || inner.downcast_ref().is_some_and(is_tls_io))
}
