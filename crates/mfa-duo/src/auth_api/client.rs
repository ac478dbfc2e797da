//! The driver of calls over a host's HTTP client.

use core::future::{Future, poll_fn};
use core::hash::BuildHasher;
use core::pin::pin;
use core::sync::atomic::{AtomicI64, Ordering};
use core::task::Poll as Ready;
use core::time::Duration;
use std::hash::RandomState;
use std::sync::Arc;

use http::StatusCode;
use mfa_core::{HttpClient, HttpReply, Runtime, Timestamp};

use super::{
    Auth, AuthApi, AuthReply, AuthResult, AuthStatus, Backoff, Call, Check, ClockOffset, Ping, Poll, Polled,
    Txid, retry_after,
};
use crate::{ApiErrorClass, Error};

/// Calls the Auth API over a host's HTTP client and clock.
///
/// * Every request has a deadline, and so has every call with its waits: [`Deadlines`].
/// * HTTP 429 is tried again as [`Backoff`] says, signed anew with a fresh date. Duo has then not done what it was
///   asked, so that no telephone rings twice.
/// * A refused date (40105) teaches the [`ClockOffset`]. The call is then made once more, except [`Auth`].
/// * The poll of [`authenticate`](Self::authenticate) goes on, as [`Poll`] says, while Duo cannot be reached or fails.
/// * Nothing else is sent a second time.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use mfa_core::{HttpClient, HttpFault, HttpReply};
/// use mfa_duo::auth_api::{Auth, AuthApi, Client, Factor, Passcode, User};
/// # use mfa_core::Timestamp;
/// # use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
/// # use mfa_testkit::runtime::VirtualRuntime;
///
/// /// A host's client; this one plays Duo as well, and takes one passcode.
/// #[derive(Debug)]
/// struct Http;
///
/// #[async_trait::async_trait]
/// impl HttpClient for Http {
///     async fn send(&self, request: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
///         let right = String::from_utf8_lossy(request.body()).contains(r#""passcode":"123456""#);
///         let result = if right { "allow" } else { "deny" };
///         let reply = format!(r#"{{"stat": "OK", "response": {{"result": "{result}", "status": "{result}"}}}}"#);
///         Ok(HttpReply::new(reply.into_bytes()))
///     }
/// }
///
/// # let runtime = VirtualRuntime::new(Timestamp::from_unix_seconds(1_700_000_000)?);
/// # let api = AuthApi::new(
/// #     ApiHost::parse("api-xxxxxxxx.duosecurity.com")?,
/// #     IntegrationKey::parse("DIXXXXXXXXXXXXXXXXXX")?,
/// #     SecretKey::parse("deadbeefdeadbeefdeadbeefdeadbeefdeadbeef")?,
/// # );
/// let client = Client::new(api, Arc::new(Http), Arc::new(runtime));
/// # futures::executor::block_on(async {
/// for (typed, granted) in [("123456", true), ("654321", false)] {
///     let call = Auth::new(User::name("ann")?, Factor::Passcode(Passcode::parse(typed)?));
///     assert_eq!(client.authenticate(call).await?.granted(), granted);
/// }
/// # Ok::<(), mfa_duo::Error>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// *Cancellation:* a dropped future sends nothing further. What it had sent may still have its effect at Duo.
#[derive(Debug)]
pub struct Client {
    api: AuthApi,
    http: Arc<dyn HttpClient>,
    runtime: Arc<dyn Runtime>,
    deadlines: Deadlines,
    offset: AtomicI64,
    jitter: RandomState,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    request: Duration,
    held: Duration,
    call: Duration,
    poll: Duration,
}

impl Deadlines {
    /// Sets the time of one request: 10 s by default.
    #[must_use]
    pub const fn with_request(mut self, time: Duration) -> Self {
        self.request = time;
        self
    }

    /// Sets the time of one request whose reply Duo holds, [`Auth`] and [`AuthStatus`]: 75 s by default.
    #[must_use]
    pub const fn with_held(mut self, time: Duration) -> Self {
        self.held = time;
        self
    }

    /// Sets the time of one call with all its requests and waits: 120 s by default.
    #[must_use]
    pub const fn with_call(mut self, time: Duration) -> Self {
        self.call = time;
        self
    }

    /// Sets the time of a long poll from the first request on: 75 s by default, since pushes and calls end after
    /// a minute.
    #[must_use]
    pub const fn with_poll(mut self, time: Duration) -> Self {
        self.poll = time;
        self
    }
}

impl Default for Deadlines {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { request: seconds(10), held: seconds(75), call: seconds(120), poll: seconds(75) }
    }
}

impl Client {
    /// Takes what requests are made, sent and timed with.
    #[must_use]
    pub fn new(api: AuthApi, http: Arc<dyn HttpClient>, runtime: Arc<dyn Runtime>) -> Self {
        let (deadlines, offset) = (Deadlines::default(), AtomicI64::new(0));
        Self { api, http, runtime, deadlines, offset, jitter: RandomState::new() }
    }

    /// Sets other deadlines.
    #[must_use]
    pub const fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Returns how far Duo's clock was when it was last heard.
    #[must_use]
    pub fn clock_offset(&self) -> ClockOffset {
        ClockOffset::from_seconds(self.offset.load(Ordering::Relaxed))
    }

    /// Asks Duo for its time, and learns the clock offset from it.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn ping(&self) -> Result<Timestamp, Error> {
        let time = self.call(&Ping::new()).await?;
        self.learn(ClockOffset::between(time, self.runtime.now()));
        Ok(time)
    }

    /// Asks Duo whether the keys are right, and learns the clock offset from its time.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub async fn check(&self) -> Result<Timestamp, Error> {
        let time = self.call(&Check::new()).await?;
        self.learn(ClockOffset::between(time, self.runtime.now()));
        Ok(time)
    }

    /// Makes any call.
    ///
    /// # Errors
    /// * [`Error::Api`], [`Error::HttpStatus`] and [`Error::MalformedReply`] as [`Call::parse`] has them
    /// * [`Error::Transport`] if the client has no answer, [`Error::TimedOut`] if there is none in time
    /// * [`Error::Parameter`] if the call does not form a request
    pub async fn call<C: Call + Sync>(&self, call: &C) -> Result<C::Reply, Error> {
        let request = if C::HELD { self.deadlines.held } else { self.deadlines.request };
        self.call_within(call, request, self.deadlines.call).await
    }

    /// Asks the user, and waits until there is a result: starts asynchronously, then polls.
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::TimedOut`] if the poll ends without a result.
    pub async fn authenticate(&self, auth: Auth) -> Result<AuthResult, Error> {
        match self.call(&auth.asynchronous()).await? {
            AuthReply::Started(txid) => self.wait_for(&txid).await,
            AuthReply::Finished(result) => Ok(result),
        }
    }

    /// Polls until a transaction has a result, within the limits of [`Poll`] and [`Deadlines::with_poll`].
    ///
    /// # Errors
    /// As [`call`](Self::call); [`Error::TimedOut`] if the poll ends without a result.
    pub async fn wait_for(&self, txid: &Txid) -> Result<AuthResult, Error> {
        let call = AuthStatus::new(txid.clone());
        let mut poll = Poll::new(self.runtime.now(), self.deadlines.poll, self.deadlines.held);
        while let Some(time) = poll.begin(self.runtime.now()) {
            let answer = self.call_within(&call, time, time).await;
            match poll.after(answer, self.runtime.now()) {
                Polled::Finished(result) => return Ok(result),
                Polled::Failed(error) => return Err(error),
                Polled::Again { wait } if wait.is_zero() => {}
                Polled::Again { wait } => self.runtime.sleep(wait).await,
            }
        }
        Err(Error::TimedOut)
    }

    /// Makes a call whose requests may take `request` each and all together `total`.
    async fn call_within<C: Call + Sync>(
        &self,
        call: &C,
        request: Duration,
        total: Duration,
    ) -> Result<C::Reply, Error> {
        let ends_at = self.runtime.now().plus(total);
        let (mut backoff, mut clock_was_wrong) = (Backoff::new(), false);
        loop {
            let now = self.runtime.now();
            let time = request.min(ends_at.since(now));
            let signed = self.api.request(call, now, self.clock_offset())?;
            let reply = self.send(signed, time).await?;
            let now = self.runtime.now();
            let error = match C::parse(&reply) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if is_rate_limited(&reply, &error) {
                let clock = ClockOffset::from_date_of(&reply, now).unwrap_or_else(|| self.clock_offset());
                let asked = retry_after(&reply, clock.apply(now));
                match backoff.next(self.jitter(now), asked) {
                    // A wait that ends past the deadline is not begun: the refusal says more than a time-out.
                    Some(wait) if wait < ends_at.since(now) => self.runtime.sleep(wait).await,
                    _ => return Err(error),
                }
            } else if has_class(&error, ApiErrorClass::BadTimestamp) {
                let Some(offset) = ClockOffset::from_date_of(&reply, now) else { return Err(error) };
                self.learn(offset);
                if C::RINGS || clock_was_wrong {
                    return Err(error);
                }
                clock_was_wrong = true;
            } else {
                return Err(error);
            }
        }
    }

    async fn send(&self, request: http::Request<Vec<u8>>, time: Duration) -> Result<HttpReply, Error> {
        if time.is_zero() {
            return Err(Error::TimedOut);
        }
        // The client is told the deadline, and not relied on to keep it.
        let mut deadline = self.runtime.sleep(time);
        let mut reply = pin!(self.http.send(request, time));
        poll_fn(|cx| match reply.as_mut().poll(cx) {
            Ready::Ready(reply) => Ready::Ready(reply.map_err(Error::Transport)),
            Ready::Pending => deadline.as_mut().poll(cx).map(|()| Err(Error::TimedOut)),
        })
        .await
    }

    fn learn(&self, offset: ClockOffset) {
        self.offset.store(offset.seconds(), Ordering::Relaxed);
    }

    /// A time below one second that differs between processes: enough to spread requests, and no secret.
    fn jitter(&self, now: Timestamp) -> Duration {
        let millis = self.jitter.hash_one(now.unix_millis()).checked_rem(1_000).unwrap_or(0);
        Duration::from_millis(millis)
    }
}

fn is_rate_limited(reply: &HttpReply, error: &Error) -> bool {
    reply.status() == StatusCode::TOO_MANY_REQUESTS || has_class(error, ApiErrorClass::RateLimited)
}

fn has_class(error: &Error, class: ApiErrorClass) -> bool {
    matches!(error, Error::Api(error) if error.class() == class)
}
