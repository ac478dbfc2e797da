//! Codes and links by e-mail and SMS: the providers, and the ops of a link.

use std::sync::Arc;

use mfa::delivery::Delivered;
use mfa::delivery::address::{Domain, Region};
use mfa::delivery::select::SmsRules;
use mfa::delivery::text::{SiteName, Texts};
use mfa::{EngineBuilder, FieldError, LinkConfirm, LinkOpen, LinkProof, LinkToken, SecretText};
use serde_json::{Value, json};

use crate::answer::{rejected_json, unknown_outcome};
use crate::failure::Failure;
use crate::input::Input;
use crate::node::Node;
use crate::request::{reference, request_facts};

/// The danger of a link that a press of its button confirms.
pub(crate) const APPROVE_ONLY: &str = "danger_approve_only";
/// What messages call the site, and what codes by SMS are bound to.
const SITE: &str = "mfa-shim";
const DOMAIN: &str = "mfa-shim.example";

/// Registers `email` and `sms` where the request has them.
pub(crate) fn with_delivery(mut engine: EngineBuilder, input: &Input<'_>) -> Result<EngineBuilder, Failure> {
    let texts = Arc::new(texts()?);
    let is_approve_only = input.list("danger")?.iter().any(|name| name == APPROVE_ONLY);
    let by = |delivered: Delivered| {
        if is_approve_only { delivered.danger_approve_only() } else { delivered }
    };
    if let Some(given) = input.optional_object("email")? {
        let email = by(Delivered::email(Arc::clone(&texts))?);
        engine = engine.provider_with(email, settings(&given));
    }
    if let Some(given) = input.optional_object("sms")? {
        let sms = by(Delivered::sms(texts, SmsRules::allowing(regions(&given)?))?);
        engine = engine.provider_with(sms, settings(&given));
    }
    Ok(engine)
}

fn texts() -> Result<Texts, FieldError> {
    Texts::builder(SiteName::parse(SITE)?, Domain::parse(DOMAIN)?).build()
}

fn settings(given: &Input<'_>) -> Value {
    given.get("settings").cloned().unwrap_or_default()
}

fn regions(given: &Input<'_>) -> Result<Vec<Region>, Failure> {
    let region = |name: &Value| {
        let name = name.as_str().ok_or_else(|| given.mistyped("regions", "a list of texts"))?;
        Region::parse(name).map_err(|error| Failure::from(error).on(&given.path("regions")))
    };
    given.list("regions")?.iter().map(region).collect()
}

impl Node {
    pub(crate) async fn link_open(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        Ok(match self.engine.link_open(&token(input)?, &request_facts(input)?).await? {
            LinkOpen::Valid(view) => json!({
                "outcome": "valid",
                "request": view.prompt,
                "nonce": view.nonce.expose_secret(),
            }),
            LinkOpen::Rejected(rejected) => rejected_json(&rejected),
            _ => return Err(unknown_outcome()),
        })
    }

    /// Opens the link first where the request has no `nonce`, as a browser that shows the page does.
    pub(crate) async fn link_confirm(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        let (token, facts, proof) = (token(input)?, request_facts(input)?, proof(input)?);
        let nonce = match input.optional_text("nonce")? {
            Some(nonce) => SecretText::new(nonce),
            None => match self.engine.link_open(&token, &facts).await? {
                LinkOpen::Valid(view) => view.nonce,
                LinkOpen::Rejected(rejected) => return Ok(rejected_json(&rejected)),
                _ => return Err(unknown_outcome()),
            },
        };
        Ok(match self.engine.link_confirm(&token, &nonce, &proof, &facts).await? {
            LinkConfirm::Confirmed(shown) => {
                json!({ "outcome": "confirmed", "target_url": shown.get("target_url") })
            }
            LinkConfirm::Rejected(rejected) => rejected_json(&rejected),
            _ => return Err(unknown_outcome()),
        })
    }

    pub(crate) async fn link_not_me(&mut self, input: &Input<'_>) -> Result<Value, Failure> {
        Ok(rejected_json(&self.engine.link_not_me(&token(input)?, &request_facts(input)?).await?))
    }
}

/// Reads `token`: the text of a link's fragment, or the whole link.
fn token(input: &Input<'_>) -> Result<LinkToken, Failure> {
    let text = input.text("token")?;
    Ok(LinkToken::from_text(text.rsplit_once('#').map_or(text, |(_, fragment)| fragment)))
}

fn proof(input: &Input<'_>) -> Result<LinkProof, Failure> {
    match (input.get("ref"), input.optional_text("digits")?) {
        (None, None) => Ok(LinkProof::None),
        (Some(_), None) => Ok(LinkProof::SameBrowser(reference(input, "ref")?)),
        (None, Some(digits)) => Ok(LinkProof::Digits(SecretText::new(digits))),
        (Some(_), Some(_)) => Err(Failure::bad_request("give ref or digits, not both").at("digits")),
    }
}
