//! A transport for an SMS provider whose API takes forms: `POST`, `application/x-www-form-urlencoded`, a user and a
//! password, and an answer in JSON. Most providers' are of this kind; what differs is the names of the fields and the
//! numbers of the errors, which are all in this file.
//!
//! `cargo run -p mfa-otp-delivery --example form_sms` sends two messages to a stand-in of such a provider.
#![expect(clippy::print_stdout, reason = "it prints what came of it")]

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use data_encoding::BASE64;
use http::{Request, Response, header};
use mfa_core::{
    Channel, HttpClient, HttpFault, HttpReply, Message, NotDelivered, Receipt, SecretText, Transport,
};
use mfa_otp_delivery::HttpsUrl;
use serde::Deserialize;
use url::form_urlencoded;

/// The provider's API, and whom it knows us as.
struct FormSms {
    url: HttpsUrl,
    user: String,
    password: SecretText,
    /// The number or name that messages come from.
    from: String,
    http: Arc<dyn HttpClient>,
}

impl FormSms {
    fn request(&self, message: &Message) -> Result<Request<Vec<u8>>, http::Error> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("From", &self.from)
            .append_pair("To", message.to.expose_secret())
            .append_pair("Body", message.body.expose_secret());
        let user = format!("{}:{}", self.user, self.password.expose_secret());
        let mut request = Request::post(self.url.as_str())
            .header(header::AUTHORIZATION, format!("Basic {}", BASE64.encode(user.as_bytes())))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(id) = &message.id {
            // So that a message that is sent again arrives once.
            request = request.header("Idempotency-Key", id);
        }
        request.body(form.finish().into_bytes())
    }
}

#[async_trait]
impl Transport for FormSms {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        if message.channel != Channel::Phone {
            return Err(NotDelivered::Permanent);
        }
        let request = self.request(message).map_err(|_| NotDelivered::Temporary)?;
        let reply = match self.http.send(request, deadline).await {
            Ok(reply) => reply,
            Err(fault) if fault.is_unsent() => return Err(NotDelivered::Temporary),
            Err(_) => return Err(NotDelivered::TimedOut),
        };
        let answer: Answer = serde_json::from_slice(reply.body()).unwrap_or_default();
        if reply.status().is_success() {
            return Ok(Receipt::new(answer.sid.as_deref().unwrap_or("accepted")));
        }
        // Only what the provider says of this number refuses it for good. Our own mistakes, a wrong password or an
        // empty account, must not move codes to another channel.
        match answer.code {
            // Not a number; blocked by its owner; not a mobile phone.
            Some(21_211 | 21_610 | 21_614) => Err(NotDelivered::Permanent),
            _ => Err(NotDelivered::Temporary),
        }
    }
}

impl fmt::Debug for FormSms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FormSms").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What of an answer matters: the message's name, or why there is none.
#[derive(Default, Deserialize)]
struct Answer {
    sid: Option<String>,
    code: Option<u64>,
}

/// Stands in for the provider: it knows one number. A service has `mfa_http::Client` here.
#[derive(Debug)]
struct Provider;

#[async_trait]
impl HttpClient for Provider {
    async fn send(&self, request: Request<Vec<u8>>, _: Duration) -> Result<HttpReply, HttpFault> {
        let form: Vec<_> = form_urlencoded::parse(request.body()).into_owned().collect();
        let known = form.contains(&("To".to_owned(), "+12025550100".to_owned()));
        let (status, body) = if known { (201, r#"{"sid":"SM42"}"#) } else { (400, r#"{"code":21211}"#) };
        let reply = Response::builder().status(status).body(body.as_bytes().to_vec());
        reply.map_err(|_| HttpFault::NotSent)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sms = FormSms {
        url: HttpsUrl::parse("https://sms.example/2010-04-01/Messages.json")?,
        user: "AC0123".to_owned(),
        password: SecretText::new("from the host's configuration"),
        from: "+12025550199".to_owned(),
        http: Arc::new(Provider),
    };
    for number in ["+12025550100", "+12025550101"] {
        let text = SecretText::new("012345 is your code.\n\n@acme.example #012345");
        let message = Message::new(SecretText::new(number), None, text).over(Channel::Phone);
        match sms.send(&message, Duration::from_secs(10)).await {
            Ok(receipt) => println!("accepted as {}", receipt.id),
            Err(cause) => println!("not accepted: {cause}"),
        }
    }
    Ok(())
}
