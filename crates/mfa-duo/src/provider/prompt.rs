//! What the Auth API shows of a user's choices.

use mfa_core::Timestamp;
use serde_json::{Value, json};

use super::kept::Asked;
use crate::auth_api::{FactorKind, Offer, PreauthReply, VerifiedPush};

/// The most ways to ask that are shown and kept.
const MOST_OFFERS: usize = 32;

/// Returns what is shown, and what of it may be asked for. `until` says until when a number is good by our clock.
pub(super) fn choices(
    reply: &PreauthReply,
    until: impl Fn(&VerifiedPush) -> Option<Timestamp>,
) -> (Value, Vec<(String, String)>) {
    let mut offers = reply.devices.offers();
    // Whether Duo would push or call could not be told before it is charged.
    offers.retain(|offer| offer.kind() != FactorKind::Auto);
    let shown: Vec<_> = offers.iter().take(MOST_OFFERS).map(shown).collect();
    let device = |offer: &Offer| offer.device().map(|device| device.as_str().to_owned()).unwrap_or_default();
    let kept = offers.iter().take(MOST_OFFERS).map(|offer| (word(offer.kind()).to_owned(), device(offer)));
    let kept = kept.collect();
    let mut prompt = json!({"mode": "auth_api", "status": "choose", "offers": shown});
    if let (Some(push), Some(prompt)) = (&reply.verified_push, prompt.as_object_mut()) {
        // The page shows it, so that the user types it into the device: a number that nobody else sees.
        prompt.insert("verification_code".to_owned(), json!(push.verification_code.expose_secret()));
        prompt.insert("verification_until".to_owned(), json!(until(push).map(Timestamp::unix_seconds)));
    }
    (prompt, kept)
}

/// Returns what is shown when the user can choose, of what was kept: why, as one word, and among what.
pub(super) fn again(status: &str, kept: &[(String, String)]) -> Value {
    let shown = |(factor, device): &(String, String)| json!({"factor": factor, "device": Some(device).filter(|device| !device.is_empty())});
    json!({"mode": "auth_api", "status": status, "offers": kept.iter().map(shown).collect::<Vec<_>>()})
}

fn shown(offer: &Offer) -> Value {
    json!({
        "factor": word(offer.kind()),
        "device": offer.device().map(|device| device.as_str()),
        "label": offer.label(),
    })
}

/// Returns a factor's name, as Duo writes it.
pub(super) const fn word(kind: FactorKind) -> &'static str {
    match kind {
        FactorKind::Auto => "auto",
        FactorKind::Push => "push",
        FactorKind::Phone => "phone",
        FactorKind::Sms => "sms",
        FactorKind::Passcode => "passcode",
    }
}

pub(super) fn waiting(asked: Asked) -> Value {
    let how = match asked {
        Asked::VerifiedPush => "verified_push",
        Asked::Push => "push",
        Asked::Phone => "phone",
        Asked::Sms => "sms",
    };
    json!({"mode": "auth_api", "status": "waiting", "factor": how})
}
