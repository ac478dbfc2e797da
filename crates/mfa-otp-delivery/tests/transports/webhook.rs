//! The webhook against a server over https that checks its signature with code that we did not write.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use mfa_core::{
    Channel, HttpClient, HttpFault, HttpReply, Message, NotDelivered, SecretBytes, SecretText, Transport as _,
};
use mfa_otp_delivery::HttpsUrl;
use mfa_otp_delivery::transport::Webhook;
use serde_json::{Value, json};

use crate::support::{Clock, DEADLINE, Server, certificate};

const KEY: [u8; 32] = [0x42; 32];
const PHONE: &str = "+4915123456789";

fn sms(id: Option<&str>) -> Message {
    let text = SecretText::new("012345 ist Ihr Code für Acme.\n\n@acme.example #012345");
    let mut message = Message::new(SecretText::new(PHONE), None, text).over(Channel::Phone);
    message.id = id.map(str::to_owned);
    message
}

struct Rig {
    server: Server,
    clock: Clock,
    http: Arc<dyn HttpClient>,
}

impl Rig {
    fn start(answer: &str) -> Option<Self> {
        let (pem, key) = certificate();
        let settings =
            json!({ "certificate": pem, "key": key, "secret": BASE64.encode(&KEY), "answer": answer });
        let server = Server::start("webhook_server.py", "standardwebhooks.webhooks", &settings)?;
        let client = mfa_http::Client::builder().only_roots(pem);
        let client = client.allow_private(format!("127.0.0.1:{}", server.port)).build().unwrap();
        // The witness compares the time with its own.
        let clock = Clock::at(server.now);
        Some(Self { server, clock, http: Arc::new(client) })
    }

    fn webhook(&self, path: &str, key: [u8; 32]) -> Webhook {
        let url = HttpsUrl::parse(&format!("https://127.0.0.1:{}{path}", self.server.port)).unwrap();
        Webhook::new(url, SecretBytes::new(key.to_vec()), Arc::clone(&self.http), self.clock.shared())
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_message_arrives_signed_over_id_time_and_body() {
    let Some(mut rig) = Rig::start(r#"{"id": "SM42", "other": 1}"#) else { return };
    let receipt = rig.webhook("/status/202", KEY).send(&sms(Some("c0ffee-0")), DEADLINE).await.unwrap();
    assert_eq!(receipt.id, "SM42");
    let request = rig.server.next("request");
    assert_eq!(request["verified"], true);
    let now = rig.server.now;
    let text = "012345 ist Ihr Code für Acme.\n\n@acme.example #012345";
    assert_eq!(request["body"], json!({ "id": "c0ffee-0", "to": PHONE, "text": text, "at": now }));
    let header = |name: &str| request["headers"][name].as_str().unwrap_or_default().to_owned();
    assert_eq!(header("webhook-id"), "c0ffee-0");
    assert_eq!(header("webhook-timestamp"), now.to_string());
    assert_eq!(header("content-type"), "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_turned_away_and_moves_no_code() {
    let Some(mut rig) = Rig::start("{}") else { return };
    let sent = rig.webhook("/status/202", [0x43; 32]).send(&sms(Some("m-1")), DEADLINE).await;
    assert_eq!(sent, Err(NotDelivered::Temporary));
    assert_eq!(rig.server.next("request")["verified"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn s14_only_two_answers_refuse_a_number_for_good() {
    let Some(mut rig) = Rig::start("not json") else { return };
    let temporary =
        [301, 302, 400, 401, 403, 404, 405, 408, 409, 413, 418, 425, 429, 451, 500, 502, 503, 504];
    let table = temporary.map(|status| (status, NotDelivered::Temporary)).into_iter();
    for (status, cause) in table.chain([410, 422].map(|status| (status, NotDelivered::Permanent))) {
        let sent = rig.webhook(&format!("/status/{status}"), KEY).send(&sms(Some("m-1")), DEADLINE).await;
        assert_eq!(sent, Err(cause), "{status}");
        rig.server.next("request");
    }
    for status in [200, 201, 202, 299] {
        // An answer that names nothing: the message keeps its own id.
        let sent = rig.webhook(&format!("/status/{status}"), KEY).send(&sms(Some("m-1")), DEADLINE).await;
        assert_eq!(sent.unwrap().id, "m-1", "{status}");
        rig.server.next("request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_cut_off_at_the_deadline() {
    let Some(mut rig) = Rig::start("{}") else { return };
    let webhook = rig.webhook("/silent", KEY);
    // An hour for the client, so that it is not the client who cuts it off.
    let hour = Duration::from_secs(3_600);
    let waiting = tokio::spawn(async move { webhook.send(&sms(Some("m-1")), hour).await });
    rig.server.next("request");
    rig.clock.ring();
    assert_eq!(waiting.await.unwrap(), Err(NotDelivered::TimedOut));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_an_id_gets_one_that_no_other_has() {
    let Some(mut rig) = Rig::start("{}") else { return };
    let webhook = rig.webhook("/status/200", KEY);
    let mut ids = Vec::new();
    for _ in 0..2 {
        webhook.send(&sms(None), DEADLINE).await.unwrap();
        ids.push(rig.server.next("request")["headers"]["webhook-id"].as_str().unwrap().to_owned());
        rig.clock.advance(Duration::from_millis(1));
    }
    assert_ne!(ids[0], ids[1]);
    assert!(ids.iter().all(|id| id.len() == 32));
    // One of another form is replaced by a digest of it, always the same.
    for _ in 0..2 {
        webhook.send(&sms(Some("a\r\nb.c")), DEADLINE).await.unwrap();
        let request = rig.server.next("request");
        assert_eq!(request["verified"], true);
        ids.push(request["headers"]["webhook-id"].as_str().unwrap().to_owned());
    }
    assert_eq!(ids[2], ids[3]);
}

/// A client that fails.
#[derive(Debug)]
struct Broken(HttpFault);

#[async_trait]
impl HttpClient for Broken {
    async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        Err(self.0)
    }
}

#[tokio::test]
async fn a_request_that_fails_is_never_a_refusal_of_the_number() {
    let url = HttpsUrl::parse("https://sms.acme.example/hook?token=hunter2").unwrap();
    for (fault, cause) in [
        (HttpFault::NotSent, NotDelivered::Temporary),
        (HttpFault::Tls, NotDelivered::Temporary),
        (HttpFault::Unanswered, NotDelivered::TimedOut),
    ] {
        let key = SecretBytes::new(KEY.to_vec());
        let webhook = Webhook::new(url.clone(), key, Arc::new(Broken(fault)), Clock::at(0).shared()).unwrap();
        assert_eq!(webhook.send(&sms(Some("m-1")), DEADLINE).await, Err(cause));
        // An e-mail is for another transport.
        let email = sms(Some("m-1")).over(Channel::Email);
        assert_eq!(webhook.send(&email, DEADLINE).await, Err(NotDelivered::Permanent));
        let shown = format!("{webhook:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("66, 66"), "{shown}");
    }
}

#[test]
fn a_key_has_32_to_64_bytes() {
    let url = HttpsUrl::parse("https://sms.acme.example/hook").unwrap();
    for (bytes, taken) in [(0, false), (31, false), (32, true), (64, true), (65, false)] {
        let client = Arc::new(Broken(HttpFault::NotSent));
        let made = Webhook::new(url.clone(), SecretBytes::new(vec![1; bytes]), client, Clock::at(0).shared());
        assert_eq!(made.is_ok(), taken, "{bytes}");
    }
}

/// The worked example of the specification "Standard Webhooks" would need its own key's length; this value comes from
/// OpenSSL: `printf 'm-1.0.{"id":"m-1","to":"+4915123456789","text":"x","at":0}' | openssl dgst -sha256 -mac HMAC
/// -macopt hexkey:4242…42 -binary | base64`.
#[tokio::test]
async fn the_signature_is_that_of_openssl() {
    #[derive(Debug)]
    struct Recorder(std::sync::Mutex<Vec<Value>>);
    #[async_trait]
    impl HttpClient for Recorder {
        async fn send(&self, request: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
            let signature = request.headers()["webhook-signature"].to_str().unwrap().to_owned();
            let body = String::from_utf8(request.into_body()).unwrap();
            self.0.lock().unwrap().push(json!([signature, body]));
            Ok(http::Response::new(Vec::new()))
        }
    }
    let recorder = Arc::new(Recorder(std::sync::Mutex::default()));
    let url = HttpsUrl::parse("https://sms.acme.example/hook").unwrap();
    let client: Arc<dyn HttpClient> = Arc::<Recorder>::clone(&recorder);
    let webhook = Webhook::new(url, SecretBytes::new(KEY.to_vec()), client, Clock::at(0).shared()).unwrap();
    let mut message = sms(Some("m-1"));
    message.body = SecretText::new("x");
    webhook.send(&message, DEADLINE).await.unwrap();
    let seen = recorder.0.lock().unwrap().clone();
    let body = r#"{"id":"m-1","to":"+4915123456789","text":"x","at":0}"#;
    assert_eq!(seen, [json!(["v1,GAXpgcXZhYNOlHuMQVD8hsjTtfnVagEI3OKHYXJKGwU=", body])]);
}
