//! The libraries' answers in the form of this wire.

use core::time::Duration;

use mfa::{
    Authenticated, Challenge, Changed, Grant, IssuedRecovery, Method, NotRequired, Pending, Rejected,
    Revealed, Timestamp,
};
use serde_json::{Map, Value, json};

use crate::devices::Kept;
use crate::failure::Failure;
use crate::node::Holder;

pub(crate) fn challenge_json(challenge: &Challenge) -> Value {
    json!({
        "id": challenge.id.to_string(),
        "ref": challenge.reference.expose_secret(),
        "kind": challenge.method.provider.as_str(),
        "status": challenge.status.code(),
        "methods": challenge.methods.iter().map(method_json).collect::<Vec<_>>(),
        "created_at": challenge.created_at.unix_seconds(),
        "expires_at": challenge.expires_at.unix_seconds(),
        "request": challenge.prompt,
    })
}

pub(crate) fn method_json(method: &Method) -> Value {
    let mut answer = json!({
        "id": method.id.to_string(),
        "provider": method.provider.as_str(),
        "preferred": method.preferred,
        "stopped": method.stopped,
        "created_at": method.created_at.unix_seconds(),
    });
    if method.is_recovery {
        add(&mut answer, "recovery", Some(true));
        add(&mut answer, "uses_left", method.uses_left);
    }
    answer
}

/// Spends the grant, and returns what the host's session is made from, and what became of its device.
pub(crate) fn redeemed_json(
    grant: Grant,
    holder: &Holder,
    kept: Option<&Kept>,
    now: Timestamp,
) -> Result<Value, Failure> {
    let (challenge, expires_at) = (grant.challenge(), grant.expires_at());
    let left = grant.recovery_left();
    let user: Authenticated = grant.redeem(&holder.account, &holder.user, holder.session.as_deref(), now)?;
    let amr: Vec<_> = user.amr().iter().map(|value| value.as_str()).collect();
    let mut grant = json!({
        "account": user.account,
        "user": user.user,
        "challenge": challenge.to_string(),
        "amr": amr,
        "aal": user.aal().number(),
        "method": user.evidence.provider.as_str(),
        "auth_time": user.auth_time().unix_seconds(),
        "expires_at": expires_at.unix_seconds(),
    });
    let notices = left.map(|left| json!([{ "kind": "low_recovery_codes", "left": left }]));
    add(&mut grant, "notices", notices);
    if let Some(kept) = kept {
        kept.add_to(&mut grant);
    }
    Ok(json!({ "outcome": "verified", "grant": grant }))
}

pub(crate) fn rejected_json(rejected: &Rejected) -> Value {
    json!({
        "outcome": "rejected",
        "reason": rejected.reason.code(),
        "attempts_left": rejected.attempts_left,
        "retry_after": rejected.retry_after.map(seconds),
    })
}

pub(crate) fn pending_json(pending: &Pending) -> Value {
    json!({ "outcome": "pending", "request": pending.prompt })
}

pub(crate) fn not_required_json(why: NotRequired) -> Value {
    json!({ "outcome": "not_required", "reason": why.code() })
}

pub(crate) fn changed_json(changed: Changed) -> Result<Value, Failure> {
    match changed {
        Changed::Done(prompt) => Ok(json!({ "outcome": "done", "request": prompt })),
        Changed::Rejected(rejected) => Ok(rejected_json(&rejected)),
        _ => Err(unknown_outcome()),
    }
}

/// The set that is shown once: its codes as a list, or its key.
pub(crate) fn recovery_json(issued: &IssuedRecovery) -> Value {
    let mut answer = json!({ "method_id": issued.id.to_string() });
    add_revealed(&mut answer, &issued.revealed);
    if let Some(codes) = answer.get_mut("codes") {
        *codes = codes.as_str().unwrap_or_default().lines().collect::<Vec<_>>().into();
    }
    answer
}

/// Adds the values that a provider reveals once.
pub(crate) fn add_revealed(answer: &mut Value, revealed: &Revealed) {
    for name in revealed.names() {
        add(answer, name, revealed.get(name).map(|secret| secret.expose_secret()));
    }
}

/// Adds a value that is there only sometimes.
pub(crate) fn add(answer: &mut Value, name: &str, value: Option<impl Into<Value>>) {
    let object: Option<&mut Map<_, _>> = answer.as_object_mut();
    if let (Some(object), Some(value)) = (object, value) {
        object.insert(name.to_owned(), value.into());
    }
}

pub(crate) fn unknown_outcome() -> Failure {
    Failure::new("unavailable", "the library gave an outcome that this shim does not know")
}

/// Whole seconds, rounded up: who waits so long has waited long enough.
pub(crate) fn seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}
