//! S24: what is made for tests does not get into production unseen.
#![cfg(test)]

use std::sync::Arc;

use audit_model::{Event, Kind, Query};
use futures::executor::block_on;
use mfa::delivery::HttpsUrl;
use mfa::delivery::address::Email;
use mfa::delivery::transport::smtp::Smtp;
use mfa::delivery::transport::{Folder, Routed, Webhook};
use mfa::duo::{ApiHosts, Duo};
use mfa::http::Client;
use mfa::totp::Totp;
use mfa::{
    BuildError, EffectKind, Engine, EngineBuilder, MemoryStore, OsEntropy, Policy, Scope, SecretBytes,
    StoredDirectory, TokioRuntime,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::doubles::{SlowHash, scripted};
use mfa_tests::{ring, start};

fn parts(virtual_clock: bool) -> (Arc<MemoryStore>, EngineBuilder) {
    let store = Arc::new(MemoryStore::new());
    let runtime: Arc<dyn mfa::Runtime> =
        if virtual_clock { Arc::new(VirtualRuntime::new(start())) } else { Arc::new(TokioRuntime::new()) };
    let directory = Arc::new(StoredDirectory::new(store.clone(), ring(), runtime.clone()));
    let builder = Engine::builder(store.clone(), directory, ring(), runtime);
    (store, builder.provider(Totp::new("Example").unwrap()))
}

async fn opened(store: &MemoryStore) -> Vec<Event> {
    let query = Query::new(Scope::System).ascending();
    let events = audit_model::all(store, &query, 1000).await.unwrap();
    events.into_iter().filter(|event| event.kind() == Kind::EngineOpened).collect()
}

#[tokio::test]
async fn s24_an_engine_of_real_parts_has_no_dangers_and_says_so() {
    let (store, builder) = parts(false);
    let engine = builder.entropy(Arc::new(OsEntropy::new())).build().await.unwrap();
    assert!(engine.dangers().is_empty());
    let opened = opened(&store).await;
    let field = |name| opened[0].field(name);
    assert_eq!(opened.len(), 1);
    assert_eq!(
        [field("dangers"), field("clock"), field("entropy"), field("ring"), field("preset")],
        [Some("none"), Some("real"), Some("real"), Some("k1"), Some("recommended")]
    );
}

#[tokio::test]
async fn s24_test_doubles_are_refused_unless_they_are_asked_for_and_then_listed() {
    for (clock, entropy) in [(true, false), (false, true), (true, true)] {
        let make = || {
            let (store, builder) = parts(clock);
            let seeded = Arc::new(SeededEntropy::new(24));
            (store, if entropy { builder.entropy(seeded) } else { builder })
        };
        let (store, builder) = make();
        assert!(matches!(builder.build().await.unwrap_err(), BuildError::TestDouble));
        assert!(opened(&store).await.is_empty(), "a refused engine leaves nothing");
        let (store, builder) = make();
        let engine = builder.danger_test_doubles().build().await.unwrap();
        assert_eq!(engine.dangers(), ["danger_test_doubles"]);
        let opened = opened(&store).await;
        let word = |double| Some(if double { "test_double" } else { "real" });
        assert_eq!(opened[0].field("dangers"), Some("danger_test_doubles"));
        assert_eq!(opened[0].field("clock"), word(clock));
        assert_eq!(opened[0].field("entropy"), word(entropy));
    }
}

/// Says whether an engine of real parts with this and no other is listed with it, and written down so.
async fn listed(more: impl FnOnce(EngineBuilder) -> EngineBuilder) -> Vec<&'static str> {
    let (store, builder) = parts(false);
    let engine = more(builder).build().await.unwrap();
    let written = opened(&store).await[0].field("dangers").unwrap().to_owned();
    let dangers = engine.dangers().to_vec();
    assert_eq!(written, if dangers.is_empty() { "none".to_owned() } else { dangers.join(" ") });
    dangers
}

#[tokio::test]
async fn s24_weaker_transports_clients_and_hosts_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = || Arc::new(Folder::open(folder.path().join("outgoing")).unwrap());
    let runtime: Arc<dyn mfa::Runtime> = Arc::new(TokioRuntime::new());
    let from = || Email::parse("no-reply@acme.example").unwrap();
    let plain = || Smtp::danger_plain([127, 0, 0, 1]).build(from(), runtime.clone()).unwrap();
    let tls = || Smtp::tls("127.0.0.1").build(from(), runtime.clone()).unwrap();
    assert_eq!(listed(|b| b.transport(folder())).await, ["danger_folder"]);
    assert_eq!(listed(|b| b.transport(Arc::new(plain()))).await, ["danger_plain"]);
    assert!(listed(|b| b.transport(Arc::new(tls()))).await.is_empty());

    let routed = Routed::new().with_email(Arc::new(plain())).with_sms(folder());
    assert_eq!(listed(|b| b.transport(Arc::new(routed))).await, ["danger_plain", "danger_folder"]);
    let routed = Routed::new().with_email(folder()).with_sms(folder());
    assert_eq!(listed(|b| b.transport(Arc::new(routed))).await, ["danger_folder"]);

    let public = || Arc::new(Client::builder().build().unwrap());
    let private = || Arc::new(Client::builder().allow_private("127.0.0.1:8443").build().unwrap());
    assert!(listed(|b| b.http(public())).await.is_empty());
    assert_eq!(listed(|b| b.http(private())).await, ["danger_allow_private"]);
    let webhook = |client: Arc<Client>| {
        let url = HttpsUrl::parse("https://sms.acme.example/").unwrap();
        Webhook::new(url, SecretBytes::new(vec![7; 32]), client, runtime.clone()).unwrap()
    };
    assert_eq!(listed(|b| b.transport(Arc::new(webhook(private())))).await, ["danger_allow_private"]);
    assert!(listed(|b| b.transport(Arc::new(webhook(public())))).await.is_empty());

    let settings = serde_json::json!({
        "integration_key": "DIXXXXXXXXXXXXXXXXXX",
        "secret_key": "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "api_hostname": "api-xxxxxxxx.duosecurity.com",
    });
    let duo = |hosts: ApiHosts| {
        let (duo, settings, client) = (Duo::new(hosts).unwrap(), settings.clone(), public());
        move |builder: EngineBuilder| builder.provider_with(duo, settings).http(client)
    };
    assert!(listed(duo(ApiHosts::duo())).await.is_empty());
    let other = ApiHosts::duo().also("127.0.0.1:8443").unwrap();
    assert_eq!(listed(duo(other)).await, ["danger_other_duo_hosts"]);
}

#[tokio::test]
async fn s24_asking_for_doubles_without_using_any_is_no_danger() {
    let (_, builder) = parts(false);
    assert!(builder.danger_test_doubles().build().await.unwrap().dangers().is_empty());
}

#[test]
fn s24_the_default_source_of_randomness_is_the_operating_system() {
    let (store, builder) = parts(true);
    block_on(builder.danger_test_doubles().build()).unwrap();
    let opened = block_on(opened(&store));
    assert_eq!(opened[0].field("entropy"), Some("real"));
}

#[test]
fn s24_an_engine_that_could_not_do_its_work_is_not_built() {
    let (_, builder) = parts(true);
    let twice = builder.provider(Totp::new("Example").unwrap()).danger_test_doubles();
    assert!(matches!(block_on(twice.build()).unwrap_err(), BuildError::Twice { .. }));
    for effect in [EffectKind::Http, EffectKind::Deliver] {
        let (_, builder) = parts(true);
        let builder = builder.provider(scripted(vec![effect])).danger_test_doubles();
        let error = block_on(builder.build()).unwrap_err();
        assert!(matches!(error, BuildError::NoExecutor { effect: e, .. } if e == effect), "{error}");
    }
    let (_, builder) = parts(true);
    assert!(block_on(builder.provider(SlowHash::new()).danger_test_doubles().build()).is_ok());
    let (_, builder) = parts(true);
    let settings = serde_json::json!({ "window": 9 });
    let error =
        block_on(builder.provider_with(scripted(Vec::new()), settings.clone()).danger_test_doubles().build());
    assert!(error.is_ok(), "scripted takes any settings");
    let store = Arc::new(MemoryStore::new());
    let runtime = Arc::new(VirtualRuntime::new(start()));
    let directory = Arc::new(StoredDirectory::new(store.clone(), ring(), runtime.clone()));
    let builder = Engine::builder(store, directory, ring(), runtime).danger_test_doubles();
    let error = block_on(builder.provider_with(Totp::new("Example").unwrap(), settings).build()).unwrap_err();
    assert!(matches!(error, BuildError::Settings { .. }), "{error}");
    assert!(!error.to_string().contains('9'), "an error never repeats a value");
    let (_, builder) = parts(true);
    let email = mfa::delivery::Delivered::email(mfa_tests::mailed::texts()).unwrap();
    let settings = serde_json::json!({"digits": 5, "from": "link", "tll_s": 9});
    let error = block_on(builder.provider_with(email, settings).danger_test_doubles().build()).unwrap_err();
    assert!(["digits ", "from ", "tll_s "].iter().all(|field| error.to_string().contains(field)), "{error}");
}

#[tokio::test]
async fn an_engine_tells_which_offered_providers_it_does_not_have() {
    let offered = |names: serde_json::Value| {
        let (store, builder) = parts(false);
        let policy = Policy::recommended().with_document(&names).unwrap();
        (store, builder.policy(policy))
    };
    let (store, builder) = offered(serde_json::json!({"offered": ["totp"], "always_offered": ["totp"]}));
    assert!(builder.build().await.unwrap().unregistered().is_empty());
    assert_eq!(opened(&store).await[0].field("unregistered"), None);

    let (store, builder) =
        offered(serde_json::json!({"offered": ["totpp", "totp"], "always_offered": ["emial"]}));
    let engine = builder.build().await.unwrap();
    assert_eq!(engine.unregistered(), ["emial", "totpp"]);
    // It lets nobody in, and is none of what does.
    assert!(engine.dangers().is_empty());
    assert_eq!(opened(&store).await[0].field("unregistered"), Some("emial totpp"));
}
