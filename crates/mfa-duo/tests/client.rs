//! The driver on a scripted HTTP client and a virtual clock: what is sent when, and what never again.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails so")]
#![expect(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a test fails so")]

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use http::Request;
use mfa_core::{HttpClient, HttpFault, HttpReply, Timestamp};
use mfa_duo::auth_api::{
    Auth, AuthApi, AuthReply, Check, Client, ClockOffset, Deadlines, DeviceChoice, Factor, Passcode, Preauth,
    Push, SignatureVersion, Txid, Unsigned, User, Verdict, authorization,
};
use mfa_duo::{ApiErrorClass, ApiHost, Error, IntegrationKey, SecretKey};
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::{Value, json};

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const NOW: u64 = 1_345_570_158;

/// What the server does with one request.
enum Act {
    /// Replies at once.
    Reply(u16, Value),
    /// Replies with headers.
    With(u16, &'static [(&'static str, &'static str)], Value),
    /// Replies after so many seconds.
    After(u64, Value),
    /// Never replies.
    Hang,
    /// The client reports a fault.
    Fault(HttpFault),
}

/// A server that acts as it is told, and keeps what it was asked and when.
struct Server {
    script: Mutex<VecDeque<Act>>,
    seen: Mutex<Vec<Seen>>,
    runtime: VirtualRuntime,
}

/// A request, the second at which it came, and the time that the client was given.
struct Seen {
    at: u64,
    request: Request<Vec<u8>>,
    time: Duration,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

#[async_trait]
impl HttpClient for Server {
    async fn send(&self, request: Request<Vec<u8>>, time: Duration) -> Result<HttpReply, HttpFault> {
        use mfa_core::Runtime as _;

        self.seen.lock().unwrap().push(Seen { at: self.seconds(), request, time });
        let act = self.script.lock().unwrap().pop_front().expect("one request more than scripted");
        let (status, headers, body) = match act {
            Act::Reply(status, body) => (status, [].as_slice(), body),
            Act::With(status, headers, body) => (status, headers, body),
            Act::After(seconds, body) => {
                self.runtime.sleep(Duration::from_secs(seconds)).await;
                (200, [].as_slice(), body)
            }
            Act::Hang => std::future::pending().await,
            Act::Fault(fault) => return Err(fault),
        };
        let reply = headers.iter().fold(http::Response::builder().status(status), |reply, (name, value)| {
            reply.header(*name, *value)
        });
        Ok(reply.body(body.to_string().into_bytes()).unwrap())
    }
}

impl Server {
    fn seconds(&self) -> u64 {
        use mfa_core::Runtime as _;

        self.runtime.now().unix_seconds() - NOW
    }

    /// The seconds at which requests came.
    fn times(&self) -> Vec<u64> {
        self.seen.lock().unwrap().iter().map(|seen| seen.at).collect()
    }

    fn paths(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.request.uri().path().to_owned()).collect()
    }

    fn header(&self, index: usize, name: &str) -> String {
        self.seen.lock().unwrap()[index].request.headers()[name].to_str().unwrap().to_owned()
    }

    /// The seconds that the client was given for each request.
    fn told(&self) -> Vec<u64> {
        self.seen.lock().unwrap().iter().map(|seen| seen.time.as_secs()).collect()
    }

    fn left(&self) -> usize {
        self.script.lock().unwrap().len()
    }
}

fn set(script: impl IntoIterator<Item = Act>) -> (Arc<Server>, Client) {
    let runtime = VirtualRuntime::new(Timestamp::from_unix_seconds(NOW).unwrap());
    let script = Mutex::new(script.into_iter().collect());
    let server = Arc::new(Server { script, seen: Mutex::default(), runtime: runtime.clone() });
    let host = ApiHost::parse("api-xxxxxxxx.duosecurity.com").unwrap();
    let api = AuthApi::new(host, IntegrationKey::parse(IKEY).unwrap(), SecretKey::parse(SKEY).unwrap());
    let http: Arc<dyn HttpClient> = Arc::<Server>::clone(&server);
    (server, Client::new(api, http, Arc::new(runtime)))
}

/// Runs a call to its end, moving the clock a tenth of a second whenever it waits; at most an hour.
fn run<T>(server: &Server, call: impl Future<Output = T> + Send) -> T {
    let mut call = pin!(call);
    for _ in 0..36_000 {
        if let Poll::Ready(output) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        server.runtime.advance(Duration::from_millis(100));
    }
    panic!("the call did not end within an hour");
}

fn ok(response: Value) -> Value {
    json!({ "stat": "OK", "response": response })
}

fn fail(code: u32) -> Value {
    json!({ "stat": "FAIL", "code": code, "message": "m" })
}

fn limited() -> Act {
    Act::Reply(429, fail(42901))
}

fn deny() -> Value {
    ok(json!({ "result": "deny", "status": "deny", "status_msg": "m" }))
}

fn waiting() -> Value {
    ok(json!({ "result": "waiting", "status": "pushed", "status_msg": "m" }))
}

fn allow() -> Value {
    ok(json!({ "result": "allow", "status": "allow", "status_msg": "m" }))
}

fn push() -> Auth {
    Auth::new(User::name("ann").unwrap(), Factor::Push(Push::new(DeviceChoice::Auto)))
}

fn passcode() -> Auth {
    Auth::new(User::name("ann").unwrap(), Factor::Passcode(Passcode::parse("123456").unwrap()))
}

fn class(error: &Error) -> ApiErrorClass {
    match error {
        Error::Api(error) => error.class(),
        other => panic!("{other}"),
    }
}

#[test]
fn too_many_requests_are_tried_again_seven_times_in_all() {
    let (server, client) = set((0..7).map(|_| limited()));
    let error = run(&server, client.call(&Preauth::new(User::name("ann").unwrap()))).unwrap_err();
    assert_eq!(class(&error), ApiErrorClass::RateLimited);
    let times = server.times();
    assert_eq!(times.len(), 7);
    for (pair, wait) in times.windows(2).zip([1, 2, 4, 8, 16, 32]) {
        let waited = pair[1] - pair[0];
        // A second of jitter, and a second that the fractions of two times may make.
        assert!((wait..=wait + 2).contains(&waited), "{waited} for {wait}");
    }
}

#[test]
fn each_attempt_is_signed_anew() {
    let (server, client) = set([limited(), limited(), Act::Reply(200, ok(json!({ "time": NOW })))]);
    run(&server, client.call(&Check::new())).unwrap();
    for index in 0..3 {
        let date = server.header(index, "date");
        let by_hand = Unsigned::new("GET", "api-xxxxxxxx.duosecurity.com", "/auth/v2/check");
        let signature = by_hand.sign(SignatureVersion::V5, &date, &SecretKey::parse(SKEY).unwrap());
        assert_eq!(server.header(index, "authorization"), authorization(IKEY, &signature).expose_secret());
    }
    assert_ne!(server.header(0, "date"), server.header(1, "date"));
    assert_ne!(server.header(1, "date"), server.header(2, "date"));
}

#[test]
fn retry_after_is_honoured() {
    // The date is 40 s after the clock's start.
    for asked in ["40", "Tue, 21 Aug 2012 17:29:58 GMT"] {
        let headers: &'static [_] = match asked {
            "40" => &[("retry-after", "40")],
            _ => &[("retry-after", "Tue, 21 Aug 2012 17:29:58 GMT")],
        };
        let (server, client) =
            set([Act::With(429, headers, fail(42901)), Act::Reply(200, ok(json!({ "time": NOW })))]);
        run(&server, client.call(&Check::new())).unwrap();
        assert!((40..=42).contains(&server.times()[1]), "{asked}: {:?}", server.times());
    }
    // A date is by the clock of the reply that has it, here an hour ahead.
    let headers: &'static [_] =
        &[("date", "Tue, 21 Aug 2012 18:29:18 GMT"), ("retry-after", "Tue, 21 Aug 2012 18:29:58 GMT")];
    let (server, client) =
        set([Act::With(429, headers, fail(42901)), Act::Reply(200, ok(json!({ "time": NOW })))]);
    run(&server, client.call(&Check::new())).unwrap();
    assert!((40..=42).contains(&server.times()[1]), "{:?}", server.times());
    // Longer than the call may take: the refusal is told at once.
    let (server, client) = set([Act::With(429, &[("retry-after", "3600")], json!("not even json"))]);
    let error = run(&server, client.call(&Check::new())).unwrap_err();
    assert_eq!((error, server.seconds()), (Error::HttpStatus { status: 429 }, 0));
}

#[test]
fn a_refused_push_may_be_sent_again_and_no_other() {
    let (server, client) = set([limited(), Act::Reply(200, ok(json!({ "txid": "tx" })))]);
    let reply = run(&server, client.call(&push().asynchronous())).unwrap();
    assert!(matches!(reply, AuthReply::Started(_)));

    for auth in [push(), push().asynchronous(), passcode()] {
        for act in [
            Act::Reply(400, fail(40002)),
            Act::Reply(401, fail(40105)),
            Act::With(401, &[("date", "Tue, 21 Aug 2012 18:29:18 GMT")], fail(40105)),
            Act::Reply(500, fail(50000)),
            Act::Reply(502, json!("bad gateway")),
            Act::Reply(503, fail(0)),
            Act::Reply(200, json!("bad")),
            Act::Reply(200, waiting()),
            Act::Hang,
            Act::Fault(HttpFault::Unanswered),
            Act::Fault(HttpFault::NotSent),
        ] {
            let (server, client) = set([act]);
            assert!(run(&server, client.call(&auth)).is_err());
            assert_eq!(server.times().len(), 1);
        }
    }
}

#[test]
fn a_wrong_clock_is_learnt_from_the_refusal() {
    // Duo's clock is an hour ahead.
    let refused = || Act::With(401, &[("date", "Tue, 21 Aug 2012 18:29:18 GMT")], fail(40105));
    let (server, client) = set([refused(), Act::Reply(200, ok(json!({ "time": NOW + 3_600 })))]);
    run(&server, client.call(&Check::new())).unwrap();
    assert_eq!(client.clock_offset(), ClockOffset::from_seconds(3_600));
    assert_eq!(server.header(0, "date"), "Tue, 21 Aug 2012 17:29:18 -0000");
    assert_eq!(server.header(1, "date"), "Tue, 21 Aug 2012 18:29:18 -0000");

    // Once: a second refusal stands. And nothing to learn, nothing to try.
    let (server, client) = set([refused(), refused()]);
    assert_eq!(class(&run(&server, client.call(&Check::new())).unwrap_err()), ApiErrorClass::BadTimestamp);
    let (server, client) = set([Act::Reply(401, fail(40105))]);
    assert_eq!(class(&run(&server, client.call(&Check::new())).unwrap_err()), ApiErrorClass::BadTimestamp);

    // A push is not sent again, but the next one has the right date.
    let (server, client) = set([refused(), Act::Reply(200, deny())]);
    assert_eq!(class(&run(&server, client.call(&push())).unwrap_err()), ApiErrorClass::BadTimestamp);
    run(&server, client.call(&push())).unwrap();
    assert_eq!(server.header(1, "date"), "Tue, 21 Aug 2012 18:29:18 -0000");
}

#[test]
fn duos_time_is_learnt_from_ping_and_check() {
    let (server, client) = set([
        Act::Reply(200, ok(json!({ "time": NOW - 500 }))),
        Act::Reply(200, ok(json!({ "time": NOW + 7 }))),
    ]);
    run(&server, client.ping()).unwrap();
    assert_eq!(client.clock_offset().seconds(), -500);
    run(&server, client.check()).unwrap();
    assert_eq!(client.clock_offset().seconds(), 7);
    assert_eq!(server.header(1, "date"), "Tue, 21 Aug 2012 17:20:58 -0000");
}

#[test]
fn a_server_that_never_replies_costs_no_more_than_the_deadline() {
    let (server, client) = set([Act::Hang, Act::Hang]);
    assert_eq!(run(&server, client.call(&Check::new())).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 10);
    assert_eq!(run(&server, client.call(&push())).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 85);
    assert_eq!(server.told(), [10, 75]);
}

#[test]
fn a_reply_that_is_held_has_a_deadline_of_its_own() {
    let deadlines = Deadlines::default().with_held(Duration::from_secs(20));
    let (server, client) = set([Act::Hang, Act::Hang]);
    let client = client.with_deadlines(deadlines);
    assert_eq!(run(&server, client.call(&Check::new())).unwrap_err(), Error::TimedOut);
    assert_eq!(run(&server, client.call(&push())).unwrap_err(), Error::TimedOut);
    assert_eq!(server.told(), [10, 20]);
}

#[test]
fn a_call_with_its_waits_ends_in_time() {
    let deadlines =
        Deadlines::default().with_call(Duration::from_secs(12)).with_request(Duration::from_secs(9));
    let (server, client) = set([limited(), limited(), Act::Hang]);
    let client = client.with_deadlines(deadlines);
    assert_eq!(run(&server, client.call(&Check::new())).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 12);
    // A wait that would end after it is not begun.
    let (server, client) = set((0..4).map(|_| limited()));
    let client = client.with_deadlines(deadlines);
    assert_eq!(class(&run(&server, client.call(&Check::new())).unwrap_err()), ApiErrorClass::RateLimited);
    assert!(server.seconds() < 12 && server.left() == 0, "{}", server.seconds());
}

#[test]
fn a_push_is_polled_until_it_is_decided() {
    for (last, granted) in [(allow(), true), (deny(), false)] {
        let (server, client) = set([
            Act::Reply(200, ok(json!({ "txid": "tx" }))),
            Act::Reply(200, waiting()),
            Act::After(30, waiting()),
            // The long poll ran out, and a connection was lost.
            Act::Reply(400, fail(40002)),
            Act::Fault(HttpFault::Unanswered),
            limited(),
            Act::After(5, last),
        ]);
        let result = run(&server, client.authenticate(push())).unwrap();
        assert_eq!(result.granted(), granted);
        let paths = server.paths();
        assert_eq!(paths[0], "/auth/v2/auth");
        assert_eq!(paths.len(), 7);
        assert!(paths[1..].iter().all(|path| path == "/auth/v2/auth_status"), "{paths:?}");
    }
}

#[test]
fn a_poll_goes_on_while_duo_cannot_be_reached_or_fails() {
    let failing = || {
        [
            Act::Reply(200, ok(json!({ "txid": "tx" }))),
            Act::Fault(HttpFault::NotSent),
            Act::Reply(500, fail(50000)),
            Act::Reply(502, json!("bad gateway")),
        ]
    };
    let (server, client) = set(failing().into_iter().chain([Act::Reply(200, allow())]));
    assert!(run(&server, client.authenticate(push())).unwrap().granted());
    assert_eq!((server.paths().len(), server.seconds()), (5, 1 + 2 + 4));

    // What never ends well ends with the time.
    let (server, client) = set((0..20).map(|_| Act::Fault(HttpFault::NotSent)));
    let txid = Txid::parse("tx").unwrap();
    assert_eq!(run(&server, client.wait_for(&txid)).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 75);
}

#[test]
fn a_start_that_is_decided_at_once_is_not_polled() {
    let (server, client) = set([Act::Reply(200, allow())]);
    assert_eq!(run(&server, client.authenticate(push())).unwrap().verdict, Verdict::Allow);
    assert_eq!(server.times().len(), 1);
}

#[test]
fn a_poll_that_waits_for_ever_is_no_grant() {
    let txid = Txid::parse("tx").unwrap();
    // Each reply is held for ten seconds: the time runs out.
    let (server, client) = set((0..20).map(|_| Act::After(10, waiting())));
    assert_eq!(run(&server, client.wait_for(&txid)).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 75);
    assert_eq!(server.times().len(), 8);
    assert_eq!(server.told(), [75, 65, 55, 45, 35, 25, 15, 5]);

    // Each comes at once: the number of requests runs out.
    let (server, client) = set((0..21).map(|_| Act::Reply(200, waiting())));
    assert_eq!(run(&server, client.wait_for(&txid)).unwrap_err(), Error::TimedOut);
    assert_eq!((server.times().len(), server.left()), (20, 1));

    // Each fails at once: a second between them.
    let (server, client) = set((0..21).map(|_| Act::Reply(400, fail(40002))));
    assert_eq!(run(&server, client.wait_for(&txid)).unwrap_err(), Error::TimedOut);
    assert_eq!((server.times().len(), server.seconds()), (20, 20));

    // None comes at all.
    let (server, client) = set([Act::Hang]);
    assert_eq!(run(&server, client.wait_for(&txid)).unwrap_err(), Error::TimedOut);
    assert_eq!(server.seconds(), 75);
}

#[test]
fn a_poll_ends_at_a_refusal_of_the_keys() {
    let (server, client) = set([Act::Reply(200, waiting()), Act::Reply(401, fail(40103))]);
    let error = run(&server, client.wait_for(&Txid::parse("tx").unwrap())).unwrap_err();
    assert_eq!(class(&error), ApiErrorClass::InvalidSignature);
}

#[test]
fn a_dropped_call_sends_nothing_further() {
    let (server, client) = set([
        Act::Reply(200, ok(json!({ "txid": "tx" }))),
        Act::Reply(200, waiting()),
        Act::After(30, waiting()),
        Act::Reply(200, allow()),
    ]);
    {
        let mut call = pin!(client.authenticate(push()));
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(server.times().len(), 3);
    }
    server.runtime.advance(Duration::from_secs(600));
    assert_eq!((server.times().len(), server.left()), (3, 1));
}
