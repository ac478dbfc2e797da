//! The `id_token`, with every claim that Duo documents, and its faults.

use chrono::DateTime;
use serde_json::{Value, json};

use super::super::fault::{self, TokenFault};
use super::super::jwt;
use super::super::message::Request;
use super::super::state::{State, random_text};
use super::{Approval, TOKEN};

/// How many seconds it lives.
pub(super) const LIFE: u64 = 3600;

/// Writes the token for what was approved, as the script of faults wants it.
pub(super) fn write(state: &State, request: &Request, approval: &Approval) -> String {
    let mut claims = claims(state, request, approval);
    let mut algorithm = "HS512";
    let mut key = state.integrations.get(&approval.client).map(String::as_str);
    let other_key = random_text(40);
    for fault in &state.token_faults {
        match fault {
            TokenFault::Claim { pointer, value } => fault::set(&mut claims, pointer, value.clone()),
            TokenFault::Missing(name) => {
                claims.as_object_mut().and_then(|fields| fields.remove(name));
            }
            TokenFault::Unsigned => (algorithm, key) = ("none", None),
            TokenFault::Algorithm(name) => algorithm = name,
            TokenFault::OtherKey => key = Some(&other_key),
        }
    }
    jwt::encode(algorithm, key, &claims)
}

fn claims(state: &State, request: &Request, approval: &Approval) -> Value {
    let now = state.now.unix_seconds();
    let user = state.users.get(&approval.user);
    let device = user.and_then(|user| user.devices.first());
    let time = i64::try_from(now).ok().and_then(|now| DateTime::from_timestamp(now, 0));
    let place = json!({ "city": "Ann Arbor", "country": "United States", "state": "Michigan" });
    let mut claims = json!({
        "iss": request.endpoint(TOKEN),
        "sub": approval.user,
        "aud": approval.client,
        "iat": now,
        "exp": now.saturating_add(LIFE),
        "jti": random_text(36),
        "auth_time": now,
        "amr": ["mfa"],
        "preferred_username": approval.user,
        "auth_result": { "result": "allow", "status": "allow", "status_msg": "Login Successful" },
        "auth_context": {
            "txid": random_text(32),
            "timestamp": now,
            "isotimestamp": time.map(|time| time.to_rfc3339()),
            "event_type": "authentication",
            "factor": approval.factor,
            "result": "success",
            "reason": approval.reason,
            "alias": "",
            "email": "",
            "ood_software": null,
            "trusted_endpoint_status": "unknown",
            "user": { "key": user.map(|user| &user.id), "name": approval.user, "groups": ["staff"] },
            "application": { "key": approval.client, "name": "An application" },
            "auth_device": { "ip": null, "name": device.map(|one| &one.number), "location": place },
            "access_device": {
                "ip": "192.0.2.7",
                "hostname": null,
                "epkey": null,
                "browser": "Firefox",
                "browser_version": "140.0",
                "os": "Linux",
                "os_version": null,
                "flash_version": null,
                "java_version": null,
                "is_encryption_enabled": true,
                "is_firewall_enabled": "unknown",
                "is_password_set": "unknown",
                "location": place,
            },
        },
    });
    if let (Some(nonce), Some(fields)) = (&approval.nonce, claims.as_object_mut()) {
        fields.insert("nonce".to_owned(), nonce.as_str().into());
    }
    claims
}
