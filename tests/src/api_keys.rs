//! API keys, as a host and its administrators use them.

use mfa::{
    Account, AccountId, ApiKeyVerify, Authority, Engine, Intent, Module, Policy, Record, RecordKind,
    RequestFacts, Subject,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use serde_json::json;

use crate::rights::prove_on;
use crate::{World, acme, login, session};

/// The account of every test host, without parents.
#[must_use]
pub fn account() -> Account {
    Account::new(acme())
}

/// The route that keys come through.
///
/// # Panics
/// Never.
#[must_use]
pub fn module() -> Module {
    Module::parse("cb_api_auth").expect("a module")
}

/// A policy under which keys can be shown.
///
/// # Panics
/// Never.
#[must_use]
pub fn readable() -> Policy {
    Policy::recommended().with_document(&json!({ "api_keys_hash_only": false })).expect("a policy")
}

/// Presents a key; returns whose it is, or the code of the refusal or the error.
pub async fn told(engine: &Engine, key: &str) -> String {
    match engine.api_key_verify(key, &module(), &RequestFacts::new()).await {
        Ok(ApiKeyVerify::Verified(verified)) => verified.account().to_string(),
        Ok(ApiKeyVerify::Rejected(rejected)) => rejected.reason.code().to_owned(),
        Ok(_) => "new".to_owned(),
        Err(error) => error.code().to_owned(),
    }
}

/// Has the host reset the account's key, and returns the new one.
///
/// # Panics
/// If that fails.
pub async fn reset(engine: &Engine) -> String {
    let issued = engine.api_key_reset(&account(), &crate::host()).await.expect("a key");
    issued.key.expose_secret().to_owned()
}

/// Has the host show the account's key.
///
/// # Panics
/// If that fails.
pub async fn show(engine: &Engine) -> String {
    let shown = engine.api_key_show(&account(), &crate::host()).await.expect("a key");
    shown.key.expose_secret().to_owned()
}

/// Returns the hints at whose keys are, those of dead keys too.
///
/// # Panics
/// If the store fails.
pub async fn hints(world: &World) -> Vec<Record> {
    world.store.scan(RecordKind::new("api_key_hint"), None, 10_000, world.now()).await.expect("a scan")
}

/// The right of an administrator of this rank, who proves that they want a change.
pub async fn by(
    engine: &Engine,
    world: &World,
    (ann, app): &(Subject, SoftAuthenticator),
    rank: u8,
    intent: &Intent,
) -> Authority {
    let asks = login(&ann.clone().with_rank(rank));
    let proof = prove_on(engine, world, asks, app, intent).await;
    Authority::proof_because(proof, Some(&session(ann)), "a leak")
}

/// An account below others, the nearest first.
///
/// # Panics
/// If one is no account.
#[must_use]
pub fn below(account: &str, above: &[&str]) -> Account {
    let id = |id: &str| AccountId::parse(id).expect("an account");
    let lineage = [account].iter().chain(above).map(|name| mfa::Ancestor::new(id(name))).collect();
    Account::new(id(account)).with_lineage(lineage).expect("a lineage")
}
