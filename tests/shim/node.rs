//! One node: an engine on a store, with the host's tables beside it.

use core::fmt;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mfa::audit::{CheckpointKey, CursorKey};
use mfa::duo::{ApiHosts, Duo, UserNames};
use mfa::recovery::Recovery;
use mfa::settings::Modules;
use mfa::totp::Totp;
use mfa::{
    AccountId, Directory, Engine, EngineBuilder, KeyId, KeyRing, Module, Policy, ProviderName, Runtime,
    SecretBytes, Subject, Timestamp, Transport, UserId,
};
use serde_json::{Value, json};

use crate::delivery::{APPROVE_ONLY, with_delivery};
use crate::failure::Failure;
use crate::host::Host;
use crate::input::Input;
use crate::keys;
use crate::notices::Post;
use crate::peer::Peer;
use crate::runtime::ShimRuntime;
use crate::store::{self, Opened, TestStore};

/// What authenticator apps show as the issuer.
const ISSUER: &str = "mfa-shim";
/// The provider whose configuration of the system is used by modules that name none.
pub(crate) const DEFAULT_PROVIDER: &str = "duo";
/// How often in an hour each user is let in while Duo is gone, under `danger_fail_open`.
const FAIL_OPEN: u8 = 2;
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
    pub(crate) checkpoint_key: Option<CheckpointKey>,
    /// The engine's ring, and the keys it was made from.
    pub(crate) ring: KeyRing,
    pub(crate) roots: BTreeMap<KeyId, SecretBytes>,
    pub(crate) post: Arc<Post>,
    pub(crate) peer: Arc<Peer>,
    /// What this process was told when it began the challenge of a reference: for whom and in which session.
    pub(crate) begun: HashMap<String, Holder>,
    /// In which session this process gave out a ticket or a proof.
    pub(crate) sessions: HashMap<String, Option<String>>,
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
        let (ring, roots) = keys::ring(input)?;
        let policy = policy(input)?;
        let checkpoint_key = checkpoint_key(input)?;
        let peer = Arc::new(Peer::default());

        let Opened { engine: store, host } = store::open(name).await?;
        let clock: Arc<dyn Runtime> = runtime.clone();
        let host = Arc::new(Host::new(host, ring.clone(), Arc::clone(&clock)));
        let post = Arc::new(Post::default());
        let transport: Arc<dyn Transport> = post.clone();
        let engine = Engine::builder(store.clone(), host.clone(), ring.clone(), clock)
            .policy(policy)
            .modules(modules(input)?)
            .default_provider(ProviderName::parse(DEFAULT_PROVIDER)?)
            .provider(Totp::new(ISSUER)?)
            .provider(Recovery::new(ISSUER)?)
            .transport(transport)
            .notices_by_phone(|_| true)
            .danger_test_doubles();
        let engine = with_delivery(with_dangers(engine, input)?, input)?;
        let engine = with_duo(engine, input, &peer)?.build().await?;
        store.take_counts();
        let answer = json!({ "dangers": engine.dangers() });
        let cursor_key = engine.cursor_key()?;
        let directory: Arc<dyn Directory> = host.clone();
        let node = Self {
            engine,
            store,
            runtime,
            host,
            directory,
            cursor_key,
            checkpoint_key,
            ring,
            roots,
            post,
            peer,
            begun: HashMap::new(),
            sessions: HashMap::new(),
        };
        Ok((node, answer))
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

fn checkpoint_key(input: &Input<'_>) -> Result<Option<CheckpointKey>, Failure> {
    let Some(_) = input.get("checkpoint_key") else { return Ok(None) };
    let key = CheckpointKey::from_bytes(input.key("checkpoint_key")?);
    key.map(Some).map_err(|error| Failure::from(error).on("checkpoint_key"))
}

fn policy(input: &Input<'_>) -> Result<Policy, Failure> {
    let policy = match input.optional_text("preset")?.unwrap_or("recommended") {
        "recommended" => Policy::recommended(),
        "kazoo" => Policy::kazoo(),
        "kazoo_2017" => Policy::kazoo_2017(),
        "kount" => Policy::kount(),
        "total_uptime" => Policy::total_uptime(),
        "b3_networks" => Policy::b3_networks(),
        _ => return Err(input.mistyped("preset", "the name of a preset")),
    };
    match input.get("policy") {
        Some(document) => policy.with_document(document).map_err(|errors| {
            let failure = Failure::from(errors);
            if document.is_object() { failure.within("policy") } else { failure.on("policy") }
        }),
        None => Ok(policy),
    }
}

/// The modules that accounts may have settings for: Kazoo's, and those that the examples use, unless the request names
/// others.
fn modules(input: &Input<'_>) -> Result<Modules, Failure> {
    let parse = |name: &str| Module::parse(name).map_err(|error| Failure::from(error).at("modules"));
    if input.get("modules").is_none() {
        return Ok(Modules::kazoo().with(parse("user_auth")?).with_quiet(parse("api_auth")?));
    }
    input.list("modules")?.iter().try_fold(Modules::new(), |modules, name| {
        let name = name.as_str().ok_or_else(|| input.mistyped("modules", "a list of names"))?;
        Ok(modules.with(parse(name)?))
    })
}

fn with_dangers(mut engine: EngineBuilder, input: &Input<'_>) -> Result<EngineBuilder, Failure> {
    for name in input.list("danger")? {
        engine = match name.as_str() {
            // Of the second the providers themselves are told.
            Some(TEST_DOUBLES | APPROVE_ONLY) => engine,
            Some("danger_accept_provider_bypass") => engine.danger_accept_provider_bypass(),
            Some("danger_fail_open") => engine.danger_fail_open(FAIL_OPEN),
            _ => return Err(Failure::bad_request("no such danger is served yet").at("danger")),
        };
    }
    Ok(engine)
}

/// Registers the provider `duo`, with settings where the request has some; the peer stands in for the network.
fn with_duo(engine: EngineBuilder, input: &Input<'_>, peer: &Arc<Peer>) -> Result<EngineBuilder, Failure> {
    let Some(given) = input.optional_object("duo")? else {
        return Ok(engine.provider_without_settings(Duo::new(ApiHosts::duo())?).http(peer.clone()));
    };
    let names = match given.optional_text("names")? {
        None | Some("account_and_user") => UserNames::AccountAndUser,
        Some("user_id") => UserNames::UserId,
        Some("label") => UserNames::Label,
        Some(_) => return Err(given.mistyped("names", "account_and_user, user_id or label")),
    };
    peer.add(&given)?;
    let duo = Duo::new(ApiHosts::duo())?.with_names(names);
    Ok(engine.provider_with(duo, given.required("settings")?.clone()).http(peer.clone()))
}
