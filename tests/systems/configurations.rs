//! The provider configurations that Kazoo's API keeps for an account and for the system.

use std::time::Duration;

use audit_model::{Kind, Profile};
use mfa::settings::{
    Change, Configuration, Modules, Owner, Revision, configuration_error, configurations_json,
};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, ConfigurationId, Denied, DeniedReason, Engine, Error,
    Intent, Module, Policy, ProviderName, Reason, Rejected, Scope, Subject, Verify,
};
use mfa_tests::duo::{DuoSite, Mode};
use mfa_tests::rights::{enrol_ranked, prove_on};
use mfa_tests::{World, acme, host, login, on_duo, on_stores, session};
use serde_json::{Value, json};

const SEED: Profile = Profile::Seed2017;
const KAZOO: Profile = Profile::Kazoo4;

async fn kazoo(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

fn own() -> Owner {
    Owner::Account(acme().into())
}

fn of_acme() -> Scope {
    Scope::Account(acme())
}

/// What the documentation of 2017 sends.
fn duo() -> Value {
    json!({"provider_name": "duo", "provider_type": "multi_factor", "enabled": true, "settings": {
        "integration_key": "{DUO_IKEY}", "secret_key": "{DUO_SKEY}", "application_secret_key": "{DUO_AKEY}",
        "api_hostname": "{DUO_HOST_NAME}", "duo_expire": 300, "app_expire": 3600}})
}

async fn create(engine: &Engine, owner: &Owner, profile: Profile, document: Value) -> Configuration {
    engine.configuration_create(owner, profile, &document, &host()).await.unwrap()
}

async fn get(engine: &Engine, owner: &Owner, id: ConfigurationId, profile: Profile) -> Result<Value, Error> {
    let shown = engine.configuration_show(owner, id, &host()).await?;
    Ok(serde_json::from_str(shown.to_json(profile).expose_secret()).unwrap())
}

async fn refused(engine: &Engine, profile: Profile, document: Value) -> Vec<(String, &'static str)> {
    fields(engine.configuration_create(&own(), profile, &document, &host()).await.unwrap_err())
}

fn fields(error: Error) -> Vec<(String, &'static str)> {
    let Error::InvalidDocument(fields) = error else { panic!("{error:?}") };
    fields.into_iter().map(|field| (field.field, field.code)).collect()
}

fn is_opaque(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

on_stores! {
    async fn b01_the_list_is_in_either_form_and_holds_no_settings(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        for (name, enabled) in [("duo", true), ("duo", true), ("otp", false)] {
            let document = json!({"name": "System Default Provider", "provider_name": name, "enabled": enabled,
                "settings": {"secret_key": "s"}});
            create(&engine, &Owner::System, KAZOO, document).await;
        }
        let configured = engine.configurations(&of_acme()).await.unwrap();
        let of_system = engine.configurations(&Scope::System).await.unwrap();
        let row = format!(r#"{{"id":"{}","provider_name":"duo","provider_type":"multi_factor","enabled":true}}"#, made.id);
        let seed = configurations_json(SEED, &configured, &of_system);
        assert_eq!(seed, format!(r#"{{"configured":[{row}],"available_system_provider":["duo"]}}"#));
        let kazoo = configurations_json(KAZOO, &configured, &of_system);
        let row = format!(r#"{{"id":"{}","enabled":true,"provider_name":"duo","provider_type":"multi_factor"}}"#, made.id);
        let of_system: Vec<_> = of_system.iter().map(|one| {
            let (id, enabled, provider) = (one.id, one.enabled, &one.provider);
            let name = r#""name":"System Default Provider""#;
            format!(r#"{{"id":"{id}","enabled":{enabled},{name},"provider_name":"{provider}","provider_type":"multi_factor"}}"#)
        }).collect();
        assert_eq!(kazoo, format!(r#"{{"configured":[{row}],"multi_factor_providers":[{}]}}"#, of_system.join(",")));
        assert!(!format!("{seed}{kazoo}").contains("secret_key"));
    }

    async fn b02_what_is_created_has_an_id_and_a_revision_and_is_got_as_it_was_sent(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        assert!(is_opaque(&made.id.to_string()) && is_opaque(&made.revision.to_string()));
        let got = get(&engine, &own(), made.id, SEED).await.unwrap();
        let mut sent = duo();
        sent["id"] = json!(made.id.to_string());
        assert_eq!(got, sent);
        // Names stand in the order of the documentation, `id` last.
        let shown = engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        let shown = shown.to_json(SEED);
        let text = shown.expose_secret();
        assert!(text.starts_with(r#"{"provider_name":"duo","provider_type":"multi_factor","enabled":true,"settings":{"#));
        assert!(text.ends_with(&format!(r#"}},"id":"{}"}}"#, made.id)));
        assert_eq!(made.to_json(SEED, sent.get("settings")).expose_secret(), text);
        assert_eq!(refused(&engine, SEED, json!({})).await, [("provider_name".to_owned(), "required")]);
        let missing = engine.configuration_create(&own(), SEED, &json!({}), &host()).await.unwrap_err();
        assert_eq!(
            configuration_error(&missing, "").to_json(),
            r#"{"data":{"provider_name":{"required":{"message":"Field is required but missing"}}},"error":"400","message":"validation error","status":"error"}"#
        );
        let strict = refused(&engine, KAZOO, json!({"provider_name": "duo"})).await;
        assert_eq!(strict, [("name".to_owned(), "required"), ("enabled".to_owned(), "required")]);
        // Left out in the form of 2017 it is on.
        assert!(create(&engine, &own(), SEED, json!({"provider_name": "duo"})).await.enabled);
    }

    async fn b02_a_wrong_field_is_named_and_nothing_is_kept(world) {
        let engine = kazoo(&world).await;
        let with = |name: &str, value: Value| {
            let mut document = duo();
            document[name] = value;
            document
        };
        for (name, value, code) in [
            ("provider_name", json!(""), "minLength"),
            ("provider_name", json!(7), "type"),
            ("provider_name", json!("Duo!"), "pattern"),
            ("provider_name", json!("d".repeat(33)), "maxLength"),
            ("provider_type", json!("oauth"), "enum"),
            ("provider_type", json!("other"), "enum"),
            ("provider_type", json!(null), "type"),
            ("enabled", json!("yes"), "type"),
            ("enabled", json!(null), "type"),
            ("name", json!(7), "type"),
            ("name", json!(""), "minLength"),
            ("settings", json!([]), "type"),
            ("settings", json!(null), "type"),
        ] {
            assert_eq!(refused(&engine, SEED, with(name, value)).await, [(name.to_owned(), code)]);
        }
        for nothing in [json!([]), json!("duo"), json!(null)] {
            assert_eq!(refused(&engine, SEED, nothing).await, [("configuration".to_owned(), "type")]);
        }
        let large = json!({"secret_key": "s".repeat(4096)});
        assert_eq!(refused(&engine, SEED, with("settings", large)).await, [("configuration".to_owned(), "maxLength")]);
        let deep = (0..200).fold(json!({}), |inner, _| json!({ "a": inner }));
        assert_eq!(refused(&engine, SEED, with("settings", deep)).await, [("configuration".to_owned(), "maxDepth")]);
        assert!(engine.configurations(&of_acme()).await.unwrap().is_empty());
        assert!(world.events_of(Kind::ConfigurationCreated).await.is_empty());
        // What the provider would refuse is kept, and what is only the server's to say is not.
        let mut lenient = with("settings", json!({"integration_key": "short"}));
        let said = json!({"id": "0".repeat(32), "revision": "r", "pvt_type": "x", "_rev": "1", "colour": "red"});
        lenient.as_object_mut().unwrap().extend(said.as_object().unwrap().clone());
        let made = create(&engine, &own(), SEED, lenient).await;
        assert_ne!(made.id.to_string(), "0".repeat(32));
        let got = get(&engine, &own(), made.id, SEED).await.unwrap();
        assert_eq!((&got["colour"], got.as_object().unwrap().len()), (&json!("red"), 6));
    }

    async fn b03_what_is_not_there_is_a_bad_identifier_whatever_was_asked(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        let unknown = ConfigurationId::parse("00000000000000000000000000000000").unwrap();
        for id in [unknown, create(&engine, &Owner::System, SEED, duo()).await.id] {
            let error = get(&engine, &own(), id, SEED).await.unwrap_err();
            let text = id.to_string();
            let reply = configuration_error(&error, &text);
            assert_eq!(reply.to_json(), format!(
                r#"{{"data":{{"message":"bad identifier","cause":"{text}"}},"error":"404","message":"bad_identifier","status":"error"}}"#
            ));
            // A change of one that is not there is not judged by what it says.
            let wrong = json!({"enabled": "yes"});
            for error in [
                engine.configuration_patch(&own(), id, SEED, &wrong, None, &host()).await.unwrap_err(),
                engine.configuration_replace(&own(), id, SEED, &wrong, None, &host()).await.unwrap_err(),
                engine.configuration_delete(&own(), id, None, &host()).await.unwrap_err(),
            ] {
                assert_eq!(error.code(), "no_document");
            }
        }
        let id = made.id.to_string();
        for text in ["../x", &id.to_uppercase(), &id[..31], &format!("{id}0"), "attempts", ""] {
            assert!(ConfigurationId::parse(text).is_none(), "{text}");
        }
        let shown = engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        assert!(!format!("{shown:?}{made:?}").contains("{DUO_"));
        assert_eq!(shown.reveal().unwrap()["secret_key"], "{DUO_SKEY}");
        assert_eq!(shown.configuration(), &made);
    }

    async fn b04_a_replacement_is_whole_and_keeps_the_id(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        let mut longer = duo();
        longer["settings"]["duo_expire"] = json!(500);
        let by = host();
        let changed = engine.configuration_replace(&own(), made.id, SEED, &longer, Some(made.revision), &by).await.unwrap();
        assert_eq!(changed.id, made.id);
        assert_ne!(changed.revision, made.revision);
        assert_eq!(get(&engine, &own(), made.id, SEED).await.unwrap()["settings"]["duo_expire"], 500);
        let bare = json!({"provider_name": "duo", "provider_type": "multi_factor"});
        engine.configuration_replace(&own(), made.id, SEED, &bare, None, &by).await.unwrap();
        let got = get(&engine, &own(), made.id, SEED).await.unwrap();
        assert_eq!((got.get("settings"), &got["enabled"]), (None, &json!(true)));
        // Written as it was it is another state.
        let again = engine.configuration_replace(&own(), made.id, SEED, &bare, None, &by).await.unwrap();
        assert!(![made.revision, changed.revision].contains(&again.revision));
    }

    async fn b05_a_change_is_merged_and_the_whole_is_judged(world) {
        let engine = kazoo(&world).await;
        let mut named = duo();
        named["name"] = json!("Duo");
        let made = create(&engine, &own(), KAZOO, named).await;
        let patch = async |profile, patch: Value| {
            engine.configuration_patch(&own(), made.id, profile, &patch, None, &host()).await
        };
        let changed = patch(KAZOO, json!({"settings": {"duo_expire": 60}})).await.unwrap();
        assert_ne!(changed.revision, made.revision);
        let settings = get(&engine, &own(), made.id, SEED).await.unwrap()["settings"].clone();
        assert_eq!(settings.as_object().unwrap().len(), 6);
        assert_eq!((&settings["duo_expire"], &settings["app_expire"]), (&json!(60), &json!(3600)));
        let off = patch(KAZOO, json!({"enabled": false})).await.unwrap();
        assert!(!off.enabled && off.name.as_deref() == Some("Duo"));
        assert_eq!(fields(patch(KAZOO, json!({"name": null})).await.unwrap_err()), [("name".to_owned(), "required")]);
        assert_eq!(fields(patch(SEED, json!({"provider_name": null})).await.unwrap_err()), [("provider_name".to_owned(), "required")]);
        assert_eq!(fields(patch(SEED, json!([])).await.unwrap_err()), [("configuration".to_owned(), "type")]);
        assert_eq!(fields(patch(SEED, json!({"provider_type": "oauth"})).await.unwrap_err()), [("provider_type".to_owned(), "enum")]);
        assert_eq!(patch(SEED, json!({"name": null})).await.unwrap().name, None);
        // What changes nothing is no change.
        let before = (engine.configurations(&of_acme()).await.unwrap(), world.events().await.len());
        for nothing in [json!({}), json!({"enabled": false}), json!({"id": "x", "pvt_a": 1})] {
            let same = patch(SEED, nothing).await.unwrap();
            assert_eq!(same, before.0[0]);
        }
        assert_eq!(engine.configurations(&of_acme()).await.unwrap(), before.0);
        assert_eq!(world.events().await.len(), before.1);
        patch(SEED, json!({"settings": {"duo_expire": null}})).await.unwrap();
        assert_eq!(get(&engine, &own(), made.id, SEED).await.unwrap()["settings"].as_object().unwrap().len(), 5);
    }

    async fn b06_what_was_deleted_is_not_there_any_more(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        let kept = create(&engine, &own(), SEED, duo()).await;
        engine.configuration_delete(&own(), made.id, None, &host()).await.unwrap();
        assert_eq!(get(&engine, &own(), made.id, SEED).await.unwrap_err().code(), "no_document");
        let again = engine.configuration_delete(&own(), made.id, None, &host()).await;
        assert_eq!(again.unwrap_err().code(), "no_document");
        assert_eq!(engine.configurations(&of_acme()).await.unwrap(), [kept]);
        let told = world.events_of(Kind::ConfigurationDeleted).await;
        assert_eq!(told[0].field("configuration"), Some(&*made.id.to_string()));
    }

    async fn b24_the_system_s_are_listed_by_anybody_and_are_the_host_s_to_touch(world) {
        let engine = kazoo(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 200).await;
        let made = create(&engine, &Owner::System, SEED, duo()).await;
        assert_eq!(engine.configurations(&Scope::System).await.unwrap(), std::slice::from_ref(&made));
        let document = duo();
        let intent = Intent::change_configuration(&Account::new(acme()), None, Change::Put(&document));
        let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
        let by = Authority::proof(proof, Some(&session(&ann)));
        let (system, id) = (Owner::System, made.id);
        let codes = [
            engine.configuration_create(&system, SEED, &document, &by).await.unwrap_err().code(),
            engine.configuration_show(&system, id, &by).await.unwrap_err().code(),
            engine.configuration_replace(&system, id, SEED, &document, None, &by).await.unwrap_err().code(),
            engine.configuration_patch(&system, id, SEED, &json!({}), None, &by).await.unwrap_err().code(),
            engine.configuration_delete(&system, id, None, &by).await.unwrap_err().code(),
            engine.configurations_clear(&system, &by).await.unwrap_err().code(),
        ];
        assert_eq!(codes, ["not_permitted"; 6]);
        get(&engine, &system, id, SEED).await.unwrap();
        engine.configuration_delete(&system, id, None, &host()).await.unwrap();
    }

    async fn b28_of_two_who_change_the_same_state_one_is_refused(world) {
        let engine = kazoo(&world).await;
        let made = create(&engine, &own(), SEED, duo()).await;
        let (off, at) = (json!({"enabled": false}), Some(made.revision));
        engine.configuration_patch(&own(), made.id, SEED, &off, at, &host()).await.unwrap();
        let late = [
            engine.configuration_replace(&own(), made.id, SEED, &duo(), at, &host()).await.unwrap_err(),
            engine.configuration_patch(&own(), made.id, SEED, &json!({}), at, &host()).await.unwrap_err(),
            engine.configuration_delete(&own(), made.id, at, &host()).await.unwrap_err(),
        ];
        for error in late {
            let reply = configuration_error(&error, "").to_json();
            assert!(reply.contains(r#""error":"409","message":"datastore_conflict""#), "{reply}");
        }
        // A change of another one is nothing to this one.
        let other = create(&engine, &own(), SEED, duo()).await;
        let now: Revision = engine.configurations(&of_acme()).await.unwrap()[0].revision;
        engine.configuration_patch(&own(), other.id, SEED, &off, Some(other.revision), &host()).await.unwrap();
        engine.configuration_patch(&own(), made.id, SEED, &json!({"enabled": true}), Some(now), &host()).await.unwrap();
    }
}

/// A site whose host keeps no settings of Duo, with the one module that logins come through.
async fn bare(world: World) -> DuoSite {
    let mut site = DuoSite::new(world, Mode::WebSdk).await;
    let modules = Modules::new().with(Module::parse("user_auth").unwrap());
    site.engine = site.bare_node().policy(Policy::kazoo()).modules(modules).build().await.unwrap();
    site
}

/// A configuration of the site's Duo.
fn of_site(site: &DuoSite, more: Value) -> Value {
    json!({"name": "Duo", "provider_name": "duo", "enabled": true, "settings": site.settings(&more)})
}

async fn set(site: &DuoSite, owner: &Owner, second: Value) {
    let document = json!({"auth_modules": {"user_auth": {"multi_factor": second}}});
    site.engine.settings_put(owner, &document, None, &host()).await.unwrap();
}

async fn patch(site: &DuoSite, owner: &Owner, id: ConfigurationId, patch: Value) {
    site.engine.configuration_patch(owner, id, SEED, &patch, None, &host()).await.unwrap();
}

/// Has acme's module ask by a configuration of acme's.
async fn asks_by_own(site: &DuoSite) -> ConfigurationId {
    let made = create(&site.engine, &own(), KAZOO, of_site(site, json!({}))).await;
    let second = json!({"enabled": true, "configuration_id": made.id.to_string(), "account_id": "acme"});
    set(site, &own(), second).await;
    made.id
}

/// Begins a login, which is denied, and returns the row of the attempts view about it.
async fn denied(site: &DuoSite, subject: &Subject) -> Value {
    site.advance(Duration::from_secs(60));
    let begun = site.engine.begin(login(subject)).await.unwrap();
    assert!(matches!(begun, Begin::Denied(Denied { reason: DeniedReason::Unavailable, .. })), "{begun:?}");
    last_row(site).await
}

async fn last_row(site: &DuoSite) -> Value {
    let events = site.world.events().await;
    let last = events.iter().filter_map(|event| SEED.detail(event)?.to_json().ok()).next_back().unwrap();
    serde_json::from_str(&last).unwrap()
}

/// The seconds that each half of a request of the Web SDK lives.
fn lives(site: &DuoSite, prompt: &Value) -> [u64; 2] {
    let request = prompt["duo_sig_request"].as_str().unwrap();
    let halves: Vec<_> = request.split(':').map(|half| half.split('|').nth(1).unwrap()).collect();
    let expiry = |cookie: &str| {
        let cookie = String::from_utf8(data_encoding::BASE64.decode(cookie.as_bytes()).unwrap()).unwrap();
        cookie.rsplit('|').next().unwrap().parse::<u64>().unwrap()
    };
    [expiry(halves[0]), expiry(halves[1])].map(|at| at - site.world.now().unix_seconds())
}

/// `acme` below `root`, as `bob` is in both.
async fn below_root(site: &DuoSite, bob: &Subject) -> (Subject, Owner) {
    let lineage = ["acme", "root"].map(|name| Ancestor::new(AccountId::parse(name).unwrap())).to_vec();
    let bob = bob.clone().with_lineage(lineage).unwrap();
    site.world.directory.put(&bob).await.unwrap();
    (bob, Owner::Account(Account::new(AccountId::parse("root").unwrap())))
}

on_duo! {
    [memory, sqlite] async fn a08_a_parent_s_configuration_is_used_below_while_it_includes_those_below(world) {
        let site = bare(world).await;
        let (bob, root) = below_root(&site, &site.add("bob").await).await;
        let made = create(&site.engine, &root, KAZOO, of_site(&site, json!({}))).await;
        let second = |includes: bool| json!({"enabled": true, "configuration_id": made.id.to_string(),
            "account_id": "root", "include_subaccounts": includes});
        set(&site, &root, second(true)).await;
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        set(&site, &root, second(false)).await;
        let begun = site.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(_)), "{begun:?}");
    }

    [memory, sqlite] async fn a24_a_configuration_of_a_provider_that_nobody_registered_is_none(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        let other = json!({"provider_name": "yubico", "name": "Y", "enabled": true});
        site.engine.configuration_replace(&own(), id, KAZOO, &other, None, &host()).await.unwrap();
        let row = denied(&site, &bob).await;
        assert_eq!(row["message"], "no multi factor authentication provider is configured");
        // A way back in is no second factor.
        let bypass = json!({"provider_name": "bypass", "name": "B", "enabled": true});
        site.engine.configuration_replace(&own(), id, KAZOO, &bypass, None, &host()).await.unwrap();
        assert_eq!(denied(&site, &bob).await["message"], row["message"]);
    }

    [memory, sqlite] async fn b12_without_one_of_its_own_a_module_uses_the_system_s_of_the_default_provider(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        set(&site, &own(), json!({"enabled": true})).await;
        // As it is shipped.
        let shipped = json!({"name": "System Default Provider", "provider_name": "duo", "enabled": false, "settings": {}});
        let made = create(&site.engine, &Owner::System, KAZOO, shipped).await;
        assert_eq!(denied(&site, &bob).await["message"], "provider duo is disabled");
        let on = json!({"enabled": true, "settings": site.settings(&json!({}))});
        patch(&site, &Owner::System, made.id, on).await;
        let begun = site.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        assert_eq!(last_row(&site).await["mfa_config_origin"], "system");
        // Another default, of which the system has none: what the host registered, which is nothing.
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let other = site.bare_node().policy(Policy::kazoo()).modules(modules);
        let other = other.default_provider(ProviderName::parse("totp").unwrap()).build().await.unwrap();
        let begun = other.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
    }

    [memory, sqlite] async fn b16_a_disabled_provider_lets_nobody_in(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        patch(&site, &own(), id, json!({"enabled": false})).await;
        let row = denied(&site, &bob).await;
        assert_eq!((&row["message"], &row["debug_type"]), (&json!("provider duo is disabled"), &json!("failed")));
        assert_eq!((&row["auth_type"], &row["mfa_config_origin"]), (&json!("multi_factor"), &json!("acme")));
        patch(&site, &own(), id, json!({"enabled": true})).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
    }

    [memory, sqlite] async fn b16_each_of_several_reasons_in_one_minute_is_a_row(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        patch(&site, &own(), id, json!({"enabled": false})).await;
        denied(&site, &bob).await;
        site.engine.configuration_delete(&own(), id, None, &host()).await.unwrap();
        // The same again is the same row.
        for _ in 0..2 {
            let begun = site.engine.begin(login(&bob)).await.unwrap();
            assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
        }
        let events = site.world.events_of(Kind::LoginDenied).await;
        let mut told: Vec<_> = events.iter().map(|event| &*event.attempt().unwrap().message).collect();
        told.sort_unstable();
        assert_eq!(told, ["no multi factor authentication provider is configured", "provider duo is disabled"]);
    }

    [memory, sqlite] async fn b16_one_that_is_disabled_while_a_challenge_is_open_ends_it(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        let challenge = site.begin(&bob).await;
        let answer = site.response_to(&challenge.prompt).await;
        patch(&site, &own(), id, json!({"enabled": false})).await;
        let told = site.verify(&challenge, answer).await;
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::Unavailable, .. })), "{told:?}");
        assert_eq!(last_row(&site).await["message"], "provider duo is disabled");
        assert!(matches!(site.engine.cancel(&challenge.reference).await.unwrap(), mfa::Changed::Done(_)));
    }

    [memory, sqlite] async fn b17_a_configuration_that_is_gone_lets_nobody_in(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        site.engine.configuration_delete(&own(), id, None, &host()).await.unwrap();
        let row = denied(&site, &bob).await;
        assert_eq!(row["message"], "no multi factor authentication provider is configured");
        assert_eq!(row["debug_type"], "failed");
        // Whoever has no method is not let in either.
        let eve = site.add("eve").await;
        denied(&site, &eve).await;
        // Nor does the system's stand in for it.
        create(&site.engine, &Owner::System, KAZOO, of_site(&site, json!({}))).await;
        denied(&site, &bob).await;
    }

    [memory, sqlite] async fn b17_one_of_an_account_that_is_not_above_is_none(world) {
        let site = bare(world).await;
        let (bob, root) = below_root(&site, &site.add("bob").await).await;
        let made = create(&site.engine, &root, KAZOO, of_site(&site, json!({}))).await;
        let second = json!({"enabled": true, "configuration_id": made.id.to_string(), "account_id": "root",
            "include_subaccounts": true});
        set(&site, &root, second.clone()).await;
        let acme = Owner::Account(Account::from(&bob));
        let document = json!({"auth_modules": {"user_auth": {"multi_factor": second}}});
        site.engine.settings_put(&acme, &document, None, &host()).await.unwrap();
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
        // The account was moved: what it named is not above it any more.
        let moved = ["acme", "elsewhere"].map(|name| Ancestor::new(AccountId::parse(name).unwrap())).to_vec();
        let moved = bob.with_lineage(moved).unwrap();
        let row = denied(&site, &moved).await;
        assert_eq!(row["message"], "no multi factor authentication provider is configured");
    }

    [memory, sqlite] async fn b18_settings_that_the_provider_refuses_let_nobody_in_and_the_key_is_named(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        patch(&site, &own(), id, json!({"settings": {"integration_key": null}})).await;
        let message = "invalid duo configuration, duo integration_key config key is missing";
        assert_eq!(denied(&site, &bob).await["message"], message);
        patch(&site, &own(), id, json!({"settings": {"integration_key": "not-twenty"}})).await;
        let row = denied(&site, &bob).await;
        assert_eq!(row["message"], "invalid duo configuration, duo integration_key config key is invalid");
        let told = format!("{:?}", site.world.events().await);
        assert!(!told.contains("not-twenty"));
    }

    [memory] async fn b19_each_key_that_is_one_character_off_is_named(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        let good = site.settings(&json!({}));
        let short = |key: &str| good[key].as_str().unwrap()[1..].to_owned();
        let long = |key: &str| format!("{}x", good[key].as_str().unwrap());
        for (key, value) in [
            ("integration_key", short("integration_key")),
            ("integration_key", long("integration_key")),
            ("secret_key", short("secret_key")),
            ("secret_key", long("secret_key")),
            ("application_secret_key", "a".repeat(39)),
            ("api_hostname", String::new()),
            ("api_hostname", "api-1.duosecurity.com.evil.example".to_owned()),
        ] {
            patch(&site, &own(), id, json!({"settings": {key: value}})).await;
            let message = format!("invalid duo configuration, duo {key} config key is invalid");
            assert_eq!(denied(&site, &bob).await["message"], message);
            patch(&site, &own(), id, json!({"settings": {key: good[key]}})).await;
        }
        // What nobody knows is not looked at.
        patch(&site, &own(), id, json!({"settings": {"colour": "red"}})).await;
        site.enrol(&bob).await;
        assert!(matches!(site.log_in(&bob).await, Verify::Verified(_)));
    }

    [memory] async fn b20_a_request_lives_300_and_3600_seconds_unless_the_settings_say_otherwise(world) {
        let site = bare(world).await;
        let bob = site.add("bob").await;
        let id = asks_by_own(&site).await;
        site.enrol(&bob).await;
        let challenge = site.begin(&bob).await;
        assert_eq!(lives(&site, &challenge.prompt), [300, 3600]);
        patch(&site, &own(), id, json!({"settings": {"duo_expire": 60, "app_expire": 120}})).await;
        let challenge = site.begin(&bob).await;
        assert_eq!(lives(&site, &challenge.prompt), [60, 120]);
    }
}

#[test]
fn b27_ids_are_32_lower_hex_digits_and_never_the_same() {
    let mut seen = std::collections::BTreeSet::new();
    futures::executor::block_on(async {
        let world = World::memory().await;
        let engine = kazoo(&world).await;
        let bare = json!({"provider_name": "duo"});
        for _ in 0..10_000 {
            let made = create(&engine, &own(), SEED, bare.clone()).await;
            assert!(is_opaque(&made.id.to_string()));
            seen.insert(made.id);
            engine.configuration_delete(&own(), made.id, None, &host()).await.unwrap();
        }
    });
    assert_eq!(seen.len(), 10_000);
}
