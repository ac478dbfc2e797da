//! Provider configurations of accounts: who changes them, who sees their keys, and that nobody else does.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::export::to_line;
use audit_model::{Kind, Profile};
use mfa::settings::{Change, Configuration, Modules, Owner};
use mfa::{Account, Authority, Engine, Intent, KeyId, Policy, Record, RecordKind, Scope, Subject};
use mfa_testkit::faults::CountingStore;
use mfa_tests::attack::{Shared, forged, overwrite, payload, records};
use mfa_tests::between::{Between, Moment};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_ranked, prove_on};
use mfa_tests::{World, acme, host, login, on_stores, session};
use serde_json::{Value, json};

const FORM: Profile = Profile::Seed2017;
/// What nobody but whoever is shown a configuration may find anywhere.
const SECRETS: [&str; 3] = [
    "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    "useacustomerprovidedapplicationsecretkey",
    "unknown-but-secret",
];

async fn node(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

fn own() -> Owner {
    Owner::Account(acme().into())
}

fn of_acme() -> Scope {
    Scope::Account(acme())
}

fn duo() -> Value {
    json!({"provider_name": "duo", "settings": {"integration_key": "DIXXXXXXXXXXXXXXXXXX", "secret_key": SECRETS[0],
        "application_secret_key": SECRETS[1], "api_hostname": "api-1.duosecurity.com"}, "note": SECRETS[2]})
}

async fn create(engine: &Engine, owner: &Owner) -> Configuration {
    engine.configuration_create(owner, FORM, &duo(), &host()).await.unwrap()
}

async fn kept(world: &World) -> Vec<Record> {
    let all = records(world).await.into_iter();
    all.filter(|record| record.key.kind == RecordKind::new("configurations")).collect()
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

on_stores! {
    async fn s07_no_key_is_in_a_record_an_event_an_error_or_what_is_printed(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let mut seen = vec![format!("{made:?}")];
        let shown = engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        assert_eq!(shown.reveal().unwrap()["secret_key"], SECRETS[0]);
        seen.push(format!("{shown:?} {:?}", shown.to_json(FORM)));
        let wrong = json!({"enabled": SECRETS[0], "provider_name": SECRETS[1], "name": [SECRETS[2]], "provider_type": SECRETS[0]});
        for document in [json!(SECRETS[0]), wrong, json!({"provider_name": "d", "settings": SECRETS[0]})] {
            let error = engine.configuration_create(&own(), FORM, &document, &host()).await.unwrap_err();
            let reply = mfa::settings::configuration_error(&error, "");
            seen.push(format!("{error} {error:?} {}", reply.to_json()));
        }
        let patch = json!({"settings": {"secret_key": SECRETS[0], "more": SECRETS[1]}, "note": null});
        let changed = engine.configuration_patch(&own(), made.id, FORM, &patch, None, &host()).await.unwrap();
        seen.push(format!("{changed:?} {}", changed.summary_json(Profile::Kazoo4)));
        let account = Account::new(acme());
        seen.push(format!("{:?}", Intent::change_configuration(&account, Some(made.id), Change::Patch(&patch))));
        engine.configuration_replace(&own(), made.id, FORM, &duo(), None, &host()).await.unwrap();
        engine.configuration_delete(&own(), made.id, None, &host()).await.unwrap();
        create(&engine, &own()).await;
        for event in world.events().await {
            seen.push(format!("{event:?} {}", to_line(&event).unwrap()));
        }
        for secret in SECRETS {
            assert!(seen.iter().all(|text| !text.contains(secret)), "{secret}");
            assert!(records(&world).await.iter().all(|record| !holds(&record.body, secret)), "{secret}");
        }
    }

    async fn every_change_is_told_with_its_paths_and_who_made_it(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let patch = json!({"enabled": false, "settings": {"duo_expire": 60, "secret_key": null}});
        world.clock.advance(Duration::from_secs(1));
        engine.configuration_patch(&own(), made.id, FORM, &patch, None, &host()).await.unwrap();
        let created = world.events_of(Kind::ConfigurationCreated).await.remove(0);
        let paths = "enabled note provider_name settings.api_hostname settings.application_secret_key \
                     settings.integration_key settings.secret_key";
        assert_eq!(created.field("paths"), Some(paths));
        let changed = world.events_of(Kind::ConfigurationChanged).await.remove(0);
        assert_eq!(changed.field("paths"), Some("enabled settings.duo_expire settings.secret_key"));
        assert_eq!(changed.field("change"), Some("patch"));
        for event in [created, changed] {
            assert_eq!(event.field("configuration"), Some(&*made.id.to_string()));
            assert_eq!((event.field("provider"), event.field("authority")), (Some("duo"), Some("host_vouched")));
            assert!(event.actor().is_some() && event.user().is_none());
        }
    }

    async fn s29_keys_are_shown_ten_times_a_day_and_each_time_is_told(world) {
        let engine = node(&world).await;
        let (made, other) = (create(&engine, &own()).await, create(&engine, &own()).await);
        for _ in 0..10 {
            engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        }
        let refused = engine.configuration_show(&own(), made.id, &host()).await;
        assert_eq!(refused.unwrap_err().code(), "too_often");
        // Writing it anew does not begin the day anew; another one has its own; being shown changes no revision.
        engine.configuration_show(&own(), other.id, &host()).await.unwrap();
        engine.configuration_patch(&own(), made.id, FORM, &json!({"enabled": false}), Some(made.revision), &host()).await.unwrap();
        assert!(engine.configuration_show(&own(), made.id, &host()).await.is_err());
        assert_eq!(world.events_of(Kind::ConfigurationShown).await.len(), 11);
        world.clock.advance(Duration::from_secs(24 * 3600));
        engine.configuration_show(&own(), made.id, &host()).await.unwrap();
    }

    async fn s29_an_administrator_acts_by_a_proof_of_that_very_change(world) {
        let engine = node(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 5).await;
        let (bob, bobs) = enrol_ranked(&world, "bob", 0).await;
        let (account, document) = (Account::new(acme()), duo());
        let by = |subject: &Subject, proof| Authority::proof(proof, Some(&session(subject)));
        let new = Intent::change_configuration(&account, None, Change::Put(&document));
        let proof = prove_on(&engine, &world, login(&bob), &bobs, &new).await;
        let refused = engine.configuration_create(&own(), FORM, &document, &by(&bob, proof)).await;
        assert_eq!(refused.unwrap_err().code(), "not_permitted");
        let proof = prove_on(&engine, &world, login(&ann), &app, &new).await;
        let made = create(&engine, &own()).await;
        let mut other = duo();
        other["settings"]["api_hostname"] = json!("api-2.duosecurity.com");
        let (id, ann_by) = (made.id, by(&ann, proof.clone()));
        // Other words, another one, another change of the same words, and to see it: no.
        let refused = [
            engine.configuration_create(&own(), FORM, &other, &ann_by).await.unwrap_err(),
            engine.configuration_replace(&own(), id, FORM, &document, None, &ann_by).await.unwrap_err(),
            engine.configuration_patch(&own(), id, FORM, &document, None, &ann_by).await.unwrap_err(),
            engine.configuration_delete(&own(), id, None, &ann_by).await.unwrap_err(),
            engine.configurations_clear(&own(), &ann_by).await.unwrap_err(),
            engine.configuration_show(&own(), id, &ann_by).await.unwrap_err(),
        ];
        assert_eq!(refused.map(|error| error.code()), ["step_up_required"; 6]);
        engine.configuration_create(&own(), FORM, &document, &ann_by).await.unwrap();
        let again = engine.configuration_create(&own(), FORM, &document, &ann_by).await;
        assert_eq!(again.unwrap_err().code(), "step_up_required");
        let told = world.events_of(Kind::ConfigurationCreated).await;
        assert!(told.iter().any(|event| event.actor() == Some("ann") && event.field("authority") == Some("administrator")));
        let proof = prove_on(&engine, &world, login(&ann), &app, &Intent::show_configuration(&account, id)).await;
        assert!(engine.configuration_show(&own(), id, &by(&ann, proof)).await.unwrap().reveal().is_some());
    }

    async fn s18_what_is_sealed_opens_in_its_own_place_alone(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        create(&engine, &Owner::System).await;
        let all = kept(&world).await;
        let [ours, of_system] = [of_acme(), Scope::System]
            .map(|scope| all.iter().find(|record| record.key.scope == scope).unwrap().clone());
        // The system's record, in the place of the account's: authentic, and of another scope.
        let moved = Record::new(ours.key.clone(), of_system.version, of_system.body.clone(), None);
        overwrite(&world, &forged(&moved, &payload(&of_system))).await;
        let id = engine.configurations(&of_acme()).await.unwrap()[0].id;
        assert_eq!(engine.configuration_show(&own(), id, &host()).await.unwrap_err().code(), "unavailable");
        let patched = engine.configuration_patch(&own(), id, FORM, &json!({"enabled": false}), None, &host()).await;
        assert_eq!(patched.unwrap_err().code(), "unavailable");
        // Under another id of the same scope.
        let (at, other) = (payload(&ours), [0x5a; 16]);
        let bytes = made.id.to_string();
        let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes()).unwrap();
        let from = at.windows(16).position(|window| window == bytes).unwrap();
        let mut renamed = at;
        renamed[from..from + 16].copy_from_slice(&other);
        overwrite(&world, &forged(&ours, &renamed)).await;
        let id = mfa::ConfigurationId::from_random(other);
        assert_eq!(engine.configuration_show(&own(), id, &host()).await.unwrap_err().code(), "unavailable");
        // It can be written whole.
        engine.configuration_replace(&own(), id, FORM, &duo(), None, &host()).await.unwrap();
        engine.configuration_show(&own(), id, &host()).await.unwrap();
    }

    async fn a_record_that_cannot_be_trusted_is_an_error_and_is_cleared_whole(world) {
        let engine = node(&world).await;
        let made = create(&engine, &own()).await;
        let mut record = kept(&world).await.remove(0);
        let at = record.body.len() / 2;
        record.body[at] ^= 1;
        overwrite(&world, &record).await;
        let by = host();
        let codes = [
            engine.configurations(&of_acme()).await.unwrap_err().code(),
            engine.configuration_show(&own(), made.id, &by).await.unwrap_err().code(),
            engine.configuration_create(&own(), FORM, &duo(), &by).await.unwrap_err().code(),
            engine.configuration_replace(&own(), made.id, FORM, &duo(), None, &by).await.unwrap_err().code(),
            engine.configuration_delete(&own(), made.id, None, &by).await.unwrap_err().code(),
        ];
        assert_eq!(codes, ["unavailable"; 5]);
        assert!(!world.events_of(Kind::RecordRefused).await.is_empty());
        engine.configurations_clear(&own(), &by).await.unwrap();
        assert!(engine.configurations(&of_acme()).await.unwrap().is_empty());
        assert_eq!(engine.configurations_clear(&own(), &by).await.unwrap_err().code(), "no_document");
        assert_eq!(world.events_of(Kind::ConfigurationsCleared).await.len(), 1);
    }

    async fn s18_keys_move_to_the_new_key_and_hold_the_old_one_until_then(world) {
        let engine = node(&world).await;
        for _ in 0..32 {
            create(&engine, &own()).await;
        }
        let of_system = create(&engine, &Owner::System).await;
        let (old, new) = (world.ring.active(), KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "yearly").await.unwrap();
        // Bodies move when they are written; what is sealed in them as long as it holds the old key counts.
        engine.configuration_show(&Owner::System, of_system.id, &host()).await.unwrap();
        assert_eq!(engine.key_references(&old).await.unwrap(), 2);
        assert_eq!(engine.key_retire(&old, "ops", "yearly").await.unwrap_err().code(), "key_in_use");
        let before = engine.configurations(&of_acme()).await.unwrap();
        assert_eq!(engine.reseal().await.unwrap().unreadable, 0);
        engine.key_retire(&old, "ops", "yearly").await.unwrap();
        assert_eq!(engine.configurations(&of_acme()).await.unwrap(), before);
        for one in before {
            let shown = engine.configuration_show(&own(), one.id, &host()).await.unwrap();
            assert_eq!(shown.reveal(), duo().get("settings"));
        }
    }

    async fn a_backup_that_comes_back_leaves_them_as_they_are(world) {
        let engine = node(&world).await;
        create(&engine, &own()).await;
        let before = kept(&world).await;
        engine.restore_barrier("ops", "restored").await.unwrap();
        assert_eq!(kept(&world).await, before);
    }

    async fn there_are_so_many_of_so_many_bytes(world) {
        let engine = node(&world).await;
        let by = host();
        for _ in 0..32 {
            engine.configuration_create(&own(), FORM, &json!({"provider_name": "duo"}), &by).await.unwrap();
        }
        let more = engine.configuration_create(&own(), FORM, &json!({"provider_name": "duo"}), &by).await;
        assert_eq!(more.unwrap_err().code(), "maxItems");
        engine.configurations_clear(&own(), &by).await.unwrap();
        let large = json!({"provider_name": "duo", "settings": {"a": "a".repeat(4000)}});
        let mut made = 0;
        let error = loop {
            match engine.configuration_create(&own(), FORM, &large, &by).await {
                Ok(_) => made += 1,
                Err(error) => break error,
            }
        };
        assert_eq!((made, error.code()), (15, "maxLength"));
        assert_eq!(engine.configurations(&of_acme()).await.unwrap().len(), made);
    }

    async fn of_two_who_change_at_once_both_are_heard_unless_they_named_the_state(world) {
        let store = Arc::new(Between::new(&world.store));
        let raced = node_on(&world, store.clone()).modules(Modules::kazoo()).build().await.unwrap();
        let other = node(&world).await;
        let made = create(&other, &own()).await;
        for (revision, expected) in [(None, "done"), (Some(made.revision), "conflict")] {
            let elsewhere = other.clone();
            store.plan(Moment::Read("configurations"), async move {
                let second = json!({"settings": {"raced": revision.is_some()}});
                elsewhere.configuration_patch(&own(), made.id, FORM, &second, None, &host()).await.unwrap();
            });
            let at = if revision.is_some() { Some(other.configurations(&of_acme()).await.unwrap()[0].revision) } else { None };
            let patch = json!({"settings": {"duo_expire": 60}, "enabled": revision.is_none()});
            let told = raced.configuration_patch(&own(), made.id, FORM, &patch, at, &host()).await;
            assert_eq!(told.map_or_else(|error| error.code(), |_| "done"), expected);
            assert!(store.is_done());
            let shown = other.configuration_show(&own(), made.id, &host()).await.unwrap();
            let settings = shown.reveal().unwrap();
            assert_eq!((&settings["raced"], &settings["duo_expire"]), (&json!(revision.is_some()), &json!(60)));
            assert!(shown.configuration().enabled);
        }
    }

    async fn a_change_costs_one_read_and_one_commit(world) {
        let counting = Arc::new(CountingStore::new(Shared(world.store.clone())));
        let engine = node_on(&world, counting.clone()).modules(Modules::kazoo()).build().await.unwrap();
        counting.take();
        let costs = || {
            let counts = counting.take();
            (counts.gets, counts.commits)
        };
        let made = create(&engine, &own()).await;
        assert_eq!(costs(), (1, 1));
        engine.configuration_show(&own(), made.id, &host()).await.unwrap();
        assert_eq!(costs(), (1, 1));
        engine.configurations(&of_acme()).await.unwrap();
        assert_eq!(costs(), (1, 0));
        // Nothing is written that nobody would read.
        let refused = world.engine.configuration_create(&own(), FORM, &duo(), &host()).await;
        assert_eq!(refused.unwrap_err().code(), "required");
    }
}
