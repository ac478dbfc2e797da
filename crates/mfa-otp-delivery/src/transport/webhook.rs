//! Text messages as signed HTTP requests to an endpoint of the host's.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use async_trait::async_trait;
use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use http::{Method, Request, StatusCode, header};
use mfa_core::{
    Channel, FieldError, HttpClient, HttpFault, HttpReply, Message, NotDelivered, Receipt, Runtime,
    SecretBytes, Timestamp, Transport,
};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{plain_id, within};
use crate::HttpsUrl;

/// As long as the digest (RFC 2104 §3); Standard Webhooks asks for 24 to 64 bytes.
const KEY_BYTES: core::ops::RangeInclusive<usize> = 32..=64;

/// Sends each text message as one signed `POST`, after the specification "Standard Webhooks" 1.0.0.
///
/// The body is JSON: `id`, `to` (E.164), `text`, and `at`, the Unix time in seconds. Three headers come with it:
///
/// | header | value |
/// |---|---|
/// | `webhook-id` | the message's id, the same for every sending of one message: the key of idempotency |
/// | `webhook-timestamp` | `at`; refuse what is more than five minutes off |
/// | `webhook-signature` | `v1,` and base64 of HMAC-SHA-256 over `<webhook-id>.<webhook-timestamp>.<body>` |
///
/// What comes of it:
///
/// | answer | result |
/// |---|---|
/// | 2xx | accepted; the JSON field `id` of the answer, where there is one, names it |
/// | 410 Gone, 422 Unprocessable Content | [`NotDelivered::Permanent`]: this number is refused for good |
/// | any other, such as 400, 401, 404, 408, 409, 429, 3xx and 5xx | [`NotDelivered::Temporary`] |
/// | not sent, or no trusted TLS | [`NotDelivered::Temporary`] |
/// | no answer | [`NotDelivered::TimedOut`] |
///
/// So an endpoint must say of its own will that a number is bad. A wrong key or URL is the host's fault, and moves
/// nobody's code to another channel.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use mfa_core::{HttpClient, HttpFault, HttpReply, Runtime, Timestamp};
/// # #[derive(Debug)] struct Fake;
/// # #[async_trait::async_trait] impl HttpClient for Fake {
/// #     async fn send(&self, _: http::Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
/// #         Ok(http::Response::builder().status(202).body(br#"{"id":"SM42"}"#.to_vec()).unwrap()) } }
/// # let runtime: Arc<dyn Runtime> = Arc::new(mfa_testkit::runtime::VirtualRuntime::new(Timestamp::MIN));
/// # let client: Arc<dyn HttpClient> = Arc::new(Fake);
/// use mfa_core::{Channel, Message, SecretBytes, SecretText, Transport as _};
/// use mfa_otp_delivery::{HttpsUrl, transport::Webhook};
/// # futures::executor::block_on(async {
/// let url = HttpsUrl::parse("https://sms.acme.example/hook").unwrap();
/// let key = SecretBytes::new(vec![7; 32]);
/// let webhook = Webhook::new(url.clone(), key, client.clone(), runtime.clone()).unwrap();
/// let text = SecretText::new("012345 is your code");
/// let message = Message::new(SecretText::new("+4915123456789"), None, text).over(Channel::Phone);
/// assert_eq!(webhook.send(&message, Duration::from_secs(10)).await.unwrap().id, "SM42");
///
/// let short = Webhook::new(url, SecretBytes::new(vec![7; 31]), client, runtime).unwrap_err();
/// assert_eq!(short.code, "length");
/// # });
/// ```
pub struct Webhook {
    url: HttpsUrl,
    key: SecretBytes,
    http: Arc<dyn HttpClient>,
    runtime: Arc<dyn Runtime>,
}

impl Webhook {
    /// Takes the endpoint, the key that it shares, the host's HTTP client and clock.
    ///
    /// # Errors
    /// [`FieldError`] of the field `webhook.key`, `length`, unless the key has 32 to 64 bytes.
    pub fn new(
        url: HttpsUrl,
        key: SecretBytes,
        http: Arc<dyn HttpClient>,
        runtime: Arc<dyn Runtime>,
    ) -> Result<Self, FieldError> {
        let bytes = key.expose_secret().len();
        if !KEY_BYTES.contains(&bytes) {
            let problem = format!("has {bytes} bytes, not 32 to 64");
            return Err(FieldError::new("webhook.key", "length", problem));
        }
        Ok(Self { url, key, http, runtime })
    }

    /// Returns the request and the id of the message; `None` is a defect of this program.
    fn request(&self, message: &Message, now: Timestamp) -> Option<(Request<Vec<u8>>, String)> {
        let at = now.unix_seconds();
        let (to, text) = (message.to.expose_secret(), message.body.expose_secret());
        let id = match &message.id {
            Some(id) => plain_id(id),
            // Nobody can ask for it to be sent again, so any id that no other message has will do.
            None => HEXLOWER.encode(self.mac(&[&now.unix_millis().to_string(), to, text])?.get(..16)?),
        };
        let body = serde_json::to_string(&Body { id: &id, to, text, at }).ok().map(Zeroizing::new)?;
        let at = at.to_string();
        let signature = format!("v1,{}", BASE64.encode(&self.mac(&[&id, &at, &body])?));
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signature)
            .body(body.as_bytes().to_vec())
            .ok()?;
        Some((request, id))
    }

    /// HMAC-SHA-256 over the parts with dots between them.
    fn mac(&self, parts: &[&str]) -> Option<[u8; 32]> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose_secret()).ok()?;
        for (n, part) in parts.iter().enumerate() {
            if n > 0 {
                mac.update(b".");
            }
            mac.update(part.as_bytes());
        }
        Some(mac.finalize().into_bytes().into())
    }
}

#[async_trait]
impl Transport for Webhook {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        if message.channel != Channel::Phone {
            return Err(NotDelivered::Permanent);
        }
        let (request, id) = self.request(message, self.runtime.now()).ok_or(NotDelivered::Temporary)?;
        let reply = within(&*self.runtime, deadline, self.http.send(request, deadline)).await;
        outcome(reply.unwrap_or(Err(HttpFault::Unanswered)), id)
    }

    fn dangers(&self) -> Vec<&'static str> {
        self.http.dangers()
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, key: _, http, runtime: _ } = self;
        f.debug_struct("Webhook").field("url", url).field("http", http).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    to: &'a str,
    text: &'a str,
    at: u64,
}

#[derive(Deserialize)]
struct Accepted {
    id: String,
}

/// The table in the documentation of [`Webhook`].
fn outcome(reply: Result<HttpReply, HttpFault>, id: String) -> Result<Receipt, NotDelivered> {
    let reply = match reply {
        Ok(reply) => reply,
        Err(fault) => {
            tracing::warn!(%fault, "the sms webhook did not answer");
            return Err(if fault.is_unsent() { NotDelivered::Temporary } else { NotDelivered::TimedOut });
        }
    };
    let status = reply.status();
    if status.is_success() {
        let theirs = serde_json::from_slice::<Accepted>(reply.body()).ok();
        return Ok(Receipt::new(theirs.map_or(id, |accepted| plain_id(&accepted.id))));
    }
    tracing::warn!(status = status.as_u16(), "the sms webhook did not accept a message");
    match status {
        StatusCode::GONE | StatusCode::UNPROCESSABLE_ENTITY => Err(NotDelivered::Permanent),
        _ => Err(NotDelivered::Temporary),
    }
}
