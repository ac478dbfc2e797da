//! One node: an engine on a store, with the host's tables beside it.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use mfa::audit::CursorKey;
use mfa::totp::Totp;
use mfa::{
    AccountId, ChallengeId, Directory, Engine, KeyId, KeyRing, Policy, Runtime, Subject, Timestamp, UserId,
};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::host::Host;
use crate::input::{Input, item};
use crate::runtime::ShimRuntime;
use crate::store::{self, Opened, TestStore};

/// What authenticator apps show as the issuer.
const ISSUER: &str = "mfa-shim";
/// The danger that every engine of the shim has.
const TEST_DOUBLES: &str = "danger_test_doubles";

/// An open engine and everything around it.
pub(crate) struct Node {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<dyn TestStore>,
    pub(crate) runtime: Arc<ShimRuntime>,
    pub(crate) host: Arc<Host>,
    /// The same tables, for looking users up as any host would.
    pub(crate) directory: Arc<dyn Directory>,
    pub(crate) cursor_key: CursorKey,
    /// What this process was told when it began a challenge: for whom and in which session.
    pub(crate) begun: HashMap<ChallengeId, Holder>,
}

/// For whom a grant is redeemed.
pub(crate) struct Holder {
    pub(crate) account: AccountId,
    pub(crate) user: UserId,
    pub(crate) session: Option<String>,
}

impl Node {
    /// Serves `open`.
    pub(crate) async fn open(input: &Input<'_>) -> Result<(Self, Value), Failure> {
        let name = input.text("store")?;
        let runtime = Arc::new(ShimRuntime::new(clock(input)?));
        let ring = ring(input)?;
        let policy = policy(input)?;
        if input.get("checkpoint_key").is_some() {
            input.key("checkpoint_key")?;
        }
        check_dangers(input)?;

        let Opened { engine: store, host } = store::open(name).await?;
        let clock: Arc<dyn Runtime> = runtime.clone();
        let host = Arc::new(Host::new(host, ring.clone(), Arc::clone(&clock)));
        let engine = Engine::builder(store.clone(), host.clone(), ring, clock)
            .policy(policy)
            .provider(Totp::new(ISSUER)?)
            .danger_test_doubles()
            .build()
            .await?;
        store.take_counts();
        let answer = json!({ "dangers": engine.dangers() });
        let cursor_key = engine.cursor_key()?;
        let directory: Arc<dyn Directory> = host.clone();
        let begun = HashMap::new();
        Ok((Self { engine, store, runtime, host, directory, cursor_key, begun }, answer))
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.runtime.now()
    }

    /// Finds the user whom `account` and `user` name, with the directory's own ids.
    pub(crate) async fn subject(&self, input: &Input<'_>) -> Result<Subject, Failure> {
        let (account, user) = (input.account()?, input.user()?);
        self.directory.subject(&account, &user).await?.ok_or_else(Failure::unknown_user)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("engine", &self.engine).finish_non_exhaustive()
    }
}

/// Reads `now`: unix seconds, or `system` for the system's clock.
fn clock(input: &Input<'_>) -> Result<Option<Timestamp>, Failure> {
    let given = input.required("now")?;
    if given.as_str() == Some("system") { Ok(None) } else { input.time("now").map(Some) }
}

/// Reads `sealing_keys`: the first writes, the others read what they wrote before.
fn ring(input: &Input<'_>) -> Result<KeyRing, Failure> {
    input.required("sealing_keys")?;
    let mut ring: Option<KeyRing> = None;
    for (index, value) in input.list("sealing_keys")?.iter().enumerate() {
        let entry = item("sealing_keys", index, value)?;
        let (id, root) = (entry.parsed("id", KeyId::parse)?, entry.key("key")?);
        let added = match ring {
            None => KeyRing::new(id, root),
            Some(ring) => ring.with_old_key(id, root),
        };
        ring = Some(added.map_err(|error| Failure::from(error).at(entry.path("key")))?);
    }
    ring.ok_or_else(|| Failure::bad_request("sealing_keys is empty").at("sealing_keys"))
}

fn policy(input: &Input<'_>) -> Result<Policy, Failure> {
    if input.optional_text("preset")?.is_some_and(|preset| preset != "recommended") {
        return Err(Failure::not_served().at("preset"));
    }
    let policy = Policy::recommended();
    match input.get("policy") {
        Some(document) => {
            policy.with_document(document).map_err(|errors| Failure::from(errors).within("policy"))
        }
        None => Ok(policy),
    }
}

fn check_dangers(input: &Input<'_>) -> Result<(), Failure> {
    for name in input.list("danger")? {
        if name.as_str() != Some(TEST_DOUBLES) {
            return Err(Failure::bad_request("no such danger is served yet").at("danger"));
        }
    }
    Ok(())
}
