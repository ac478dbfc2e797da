//! The server: connections, requests, faults and answers.

mod body;

use core::convert::Infallible;
use core::time::Duration;
use std::net::TcpListener;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use chrono::DateTime;
use http::request::Parts;
use http::{Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio_rustls::TlsAcceptor;
use url::form_urlencoded;

use self::body::Body;
use super::fault::{self, Fault};
use super::log::Seen;
use super::message::{Content, Failure, Reply, Request};
use super::state::{Next, State};

/// The longest body that is read, in bytes.
const LONGEST_BODY: usize = 1 << 20;

/// What the server and the test share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// Says to requests that the state has changed.
    changed: watch::Sender<()>,
    /// Says so to the test.
    told: Condvar,
}

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self { state: Mutex::new(state), changed: watch::Sender::new(()), told: Condvar::new() }
    }

    /// Changes the state, and lets those who wait look again.
    pub(super) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.lock());
        self.changed.send_replace(());
        self.told.notify_all();
        result
    }

    /// Blocks until the state is so, and returns the log; `None` if that takes too long.
    pub(super) fn wait(&self, patience: Duration, is_so: impl Fn(&State) -> bool) -> Option<Vec<Seen>> {
        let waited = self.told.wait_timeout_while(self.lock(), patience, |state| !is_so(state));
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        is_so(&state).then(|| state.seen.clone())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until `stop` is dropped. Whatever is still open then is closed.
pub(super) fn run(
    listener: TcpListener,
    tls: TlsAcceptor,
    shared: Arc<Shared>,
    stop: oneshot::Receiver<Infallible>,
) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    runtime.block_on(async move {
        if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
            tokio::spawn(accept(listener, tls, shared));
            let _ = stop.await;
        }
    });
}

async fn accept(listener: tokio::net::TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let is_dropped = shared.with(|state| {
            let is_dropped = state.drops > 0;
            state.drops = state.drops.saturating_sub(1);
            is_dropped
        });
        if !is_dropped {
            tokio::spawn(connection(stream, tls.clone(), Arc::clone(&shared)));
        }
    }
}

async fn connection(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request| exchange(Arc::clone(&shared), request));
    // A client that goes away, and a fault that closes the connection, end it here.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed as the test wants it")]
struct Closed;

async fn exchange(shared: Arc<Shared>, request: http::Request<Incoming>) -> Result<Response<Body>, Closed> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY).collect().await.map_err(|_| Closed)?.to_bytes();
    let authority = shared.lock().authority.clone();
    let request = read(head, body.to_vec(), authority);
    // Subscribed before anything is looked at, so that no change is missed.
    let mut changes = shared.changed.subscribe();
    let (place, fault, next) = shared.with(|state| {
        let (place, fault) = state.note(&request);
        let is_carried_out = fault.as_ref().is_none_or(Fault::is_carried_out);
        (place, fault, is_carried_out.then(|| state.carry_out(&request, place)))
    });
    if matches!(fault, Some(Fault::HangBefore | Fault::HangAfter)) {
        return core::future::pending().await;
    }
    let reply = match next {
        None => None,
        Some(Next::Reply(reply)) => Some(reply),
        Some(Next::Wait(wait)) => loop {
            if let Some(reply) = shared.lock().check(&wait) {
                break Some(reply);
            }
            changes.changed().await.map_err(|_| Closed)?;
        },
    };
    let (reply, way) = spoil(reply, fault.as_ref())?;
    let now = shared.with(|state| {
        if let Some(seen) = state.seen.get_mut(place) {
            seen.status = Some(reply.status);
        }
        state.now.unix_seconds()
    });
    write(reply, way, now).map_err(|_| Closed)
}

fn read(head: Parts, body: Vec<u8>, own: String) -> Request {
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.to_ascii_lowercase();
    // The names that the certificate has; a request for another host is taken as one for ours.
    let port = own.rsplit_once(':').map_or("", |(_, port)| port);
    let authority = if host == format!("localhost:{port}") { host } else { own };
    let query = head.uri.query().unwrap_or_default();
    Request {
        method: head.method,
        path: head.uri.path().to_owned(),
        authority,
        query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
        headers: head.headers,
        body,
    }
}

/// How the body goes out.
type Way<'a> = Option<&'a Fault>;

/// Applies a fault to an answer; `reply` is missing where the request was not carried out.
fn spoil(reply: Option<Reply>, fault: Option<&Fault>) -> Result<(Reply, Way<'_>), Closed> {
    let mut reply = match (reply, fault) {
        (_, Some(Fault::CloseBefore | Fault::CloseAfter)) => return Err(Closed),
        (_, Some(Fault::RateLimited { retry_after })) => {
            let mut reply = Reply::from(Failure::new(42901, "Too Many Requests"));
            reply.extra = retry_after.clone().map(|value| ("retry-after", value));
            reply
        }
        (_, Some(Fault::Failure(code))) => Failure::new(*code, "Something went wrong").into(),
        (_, Some(Fault::Answer { status, content_type, body })) => {
            Reply::bytes(*status, content_type, body.clone())
        }
        (_, Some(Fault::Redirect(location))) => Reply::redirect(location),
        (Some(reply), _) => reply,
        (None, _) => return Err(Closed),
    };
    match (fault, &mut reply.content) {
        (Some(Fault::ContentType(name)), _) => reply.content_type.clone_from(name),
        (Some(Fault::Set { pointer, value }), Content::Json(json)) => {
            fault::set(json, pointer, value.clone());
        }
        (Some(Fault::UnknownFields), Content::Json(json)) => fault::add_unknown_fields(json),
        _ => {}
    }
    Ok((reply, fault))
}

fn write(reply: Reply, way: Way<'_>, now: u64) -> Result<Response<Body>, http::Error> {
    let bytes = match reply.content {
        Content::Json(value) => value.to_string().into_bytes(),
        Content::Bytes(bytes) => bytes,
    };
    let body = match way {
        Some(Fault::SlowBody(pause)) => Body::slow(bytes, *pause),
        Some(Fault::EndlessBody) => Body::endless(bytes),
        _ => Body::whole(bytes),
    };
    let date = i64::try_from(now).ok().and_then(|now| DateTime::from_timestamp(now, 0)).unwrap_or_default();
    let mut response = Response::builder()
        .status(reply.status)
        .header(header::CONTENT_TYPE, reply.content_type)
        .header(header::DATE, date.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some((name, value)) = reply.extra {
        response = response.header(name, value);
    }
    response.body(body)
}
