//! The client sends what the pure half makes, once, and reads the reply with the runtime's clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::executor::block_on;
use http::{Request, Response};
use mfa_core::{Entropy, EntropyError, HttpClient, HttpFault, HttpReply, OsEntropy};
use mfa_duo::Error;
use mfa_duo::universal::{Arrival, AuthorizationCode, Callback, Client, Exchange};
use mfa_testkit::runtime::VirtualRuntime;
use serde_json::json;

use crate::support::{NOW, USER, at, challenge, claims, duo, now, sign};

#[derive(Debug)]
struct Answers {
    requests: Mutex<Vec<(String, String, Duration)>>,
    reply: Result<HttpReply, HttpFault>,
}

#[async_trait]
impl HttpClient for Answers {
    async fn send(&self, request: Request<Vec<u8>>, deadline: Duration) -> Result<HttpReply, HttpFault> {
        let body = String::from_utf8(request.body().clone()).unwrap();
        self.requests.lock().unwrap().push((request.uri().to_string(), body, deadline));
        self.reply.clone()
    }
}

fn client(reply: Result<HttpReply, HttpFault>) -> (Client, Arc<Answers>) {
    let http = Arc::new(Answers { requests: Mutex::default(), reply });
    let runtime = Arc::new(VirtualRuntime::new(now()));
    let client = Client::new(duo(), Arc::clone(&http) as _, runtime, Arc::new(OsEntropy::new()));
    (client, http)
}

fn reply(body: serde_json::Value) -> Result<HttpReply, HttpFault> {
    Ok(Response::new(body.to_string().into_bytes()))
}

fn exchange() -> (AuthorizationCode, Exchange, String) {
    let (_, pending) = duo().begin(USER, challenge(1), at(NOW + 300), &[0x11; 64], now()).unwrap();
    let back = Callback::with_code(pending.expose_state(), "code").unwrap();
    let Arrival::Code(code, exchange) = pending.accept(&duo(), back, challenge(1), now()) else { panic!() };
    (code, exchange, "11".repeat(32))
}

#[test]
fn a_health_check_returns_duos_time() {
    let (client, http) = client(reply(json!({"stat": "OK", "response": {"timestamp": 1_573_068_322}})));
    assert_eq!(block_on(client.health_check()).unwrap().unix_seconds(), 1_573_068_322);
    assert_eq!(block_on(client.health_check()).unwrap().unix_seconds(), 1_573_068_322);
    let requests = http.requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].0.ends_with("/oauth/v1/health_check"));
    assert!(!requests[0].1.contains(USER), "no user is named");
    assert_ne!(requests[0].1, requests[1].1, "each has a jti of its own");
}

#[test]
fn a_code_is_exchanged_for_claims() {
    let (code, exchange, nonce) = exchange();
    let mut claims = claims();
    claims["nonce"] = json!(nonce);
    let body =
        json!({"id_token": sign(&claims), "access_token": "a", "expires_in": 1, "token_type": "Bearer"});
    let (client, http) = client(reply(body));
    let claims = block_on(client.exchange(code, exchange)).unwrap();
    assert_eq!((claims.username.as_str(), claims.factor.as_deref()), (USER, Some("duo_push")));
    assert_eq!(http.requests.lock().unwrap().len(), 1);
    assert_eq!(http.requests.lock().unwrap()[0].2, Duration::from_secs(10));
}

#[test]
fn without_randomness_nothing_is_sent() {
    #[derive(Debug)]
    struct Dry;
    impl Entropy for Dry {
        fn fill(&self, _: &mut [u8]) -> Result<(), EntropyError> {
            Err(EntropyError::Unavailable)
        }

        fn is_test_double(&self) -> bool {
            true
        }
    }
    let http = Arc::new(Answers { requests: Mutex::default(), reply: Err(HttpFault::NotSent) });
    let runtime = Arc::new(VirtualRuntime::new(now()));
    let client = Client::new(duo(), Arc::clone(&http) as _, runtime, Arc::new(Dry));
    assert_eq!(block_on(client.health_check()).unwrap_err().code(), "entropy_unavailable");
    assert!(http.requests.lock().unwrap().is_empty());
}

#[test]
fn a_fault_of_the_network_is_told_apart_and_nothing_is_sent_twice() {
    for (fault, code) in
        [(HttpFault::NotSent, "not_sent"), (HttpFault::Tls, "tls"), (HttpFault::Unanswered, "unanswered")]
    {
        let (client, http) = client(Err(fault));
        let (authorization, exchange, _) = exchange();
        let error = block_on(client.exchange(authorization, exchange)).unwrap_err();
        assert_eq!((&error, error.code()), (&Error::Transport(fault), code));
        assert_eq!(block_on(client.health_check()).unwrap_err().code(), code);
        assert_eq!(http.requests.lock().unwrap().len(), 2);
    }
}
