//! The browser: one that follows the fake's redirect, or the person at the terminal.

use std::io;
use std::time::Duration;

use mfa::HttpClient as _;
use mfa_examples::duo::Peer;
use mfa_examples::{Failure, say};
use serde_json::Value;
use url::Url;

/// What is not everybody's business while it is good, and how much of it is shown.
const SECRETS: [&str; 4] = ["request", "state", "nonce", "duo_code"];
const SHOWN_CHARS: usize = 8;

/// Goes where the service sends it.
pub(crate) struct Browser<'a> {
    peer: &'a Peer,
}

impl<'a> Browser<'a> {
    pub(crate) const fn new(peer: &'a Peer) -> Self {
        Self { peer }
    }

    /// Goes to the address of the prompt, and returns the query with which Duo sends the browser back.
    pub(crate) async fn visit(&self, prompt: &Value) -> Result<String, Failure> {
        let address = prompt["url"].as_str().and_then(|url| Url::parse(url).ok());
        let address = address.ok_or_else(|| Failure::Failed("the prompt has no address".to_owned()))?;
        let back = match self.peer.played() {
            Some(_) => self.follow(&address).await?,
            None => ask(&address)?,
        };
        say(format!("   back at   {}", shortened(&back)))?;
        let query = back.query().map(str::to_owned);
        query.ok_or_else(|| Failure::Failed("that address has no query: copy the whole of it".to_owned()))
    }

    /// Asks the fake, whose user answers at once.
    async fn follow(&self, address: &Url) -> Result<Url, Failure> {
        say(format!("   browser → {}", shortened(address)))?;
        let request = http::Request::get(address.as_str()).body(Vec::new())?;
        let reply = self.peer.client().send(request, Duration::from_secs(10)).await?;
        let location = reply.headers().get(http::header::LOCATION).and_then(|value| value.to_str().ok());
        let location = location.and_then(|location| Url::parse(location).ok());
        location.ok_or_else(|| {
            Failure::Failed(format!("the fake did not send the browser back: {}", reply.status()))
        })
    }
}

/// Asks the person to be the browser.
fn ask(address: &Url) -> Result<Url, Failure> {
    say(format!("   Open this address in a browser:\n\n{address}\n"))?;
    say("   Once it has come back it shows an error, as nothing listens there. Paste its address here:")?;
    let mut line = String::new();
    if io::stdin().read_line(&mut line)? == 0 {
        return Err(Failure::Failed("the input ended before an address came".to_owned()));
    }
    Url::parse(line.trim()).map_err(|error| Failure::Failed(format!("that is not an address: {error}")))
}

/// Shows an address with the beginnings of what is secret in it.
fn shortened(address: &Url) -> String {
    let mut shown = address.clone();
    shown.set_query(None);
    let values = address.query_pairs().map(|(name, value)| {
        if !SECRETS.contains(&&*name) {
            return format!("{name}={value}");
        }
        let beginning: String = value.chars().take(SHOWN_CHARS).collect();
        format!("{name}={beginning}…")
    });
    let values: Vec<_> = values.collect();
    format!("{shown}?{}", values.join("&")).replace(char::is_control, " ")
}
