//! What someone with full SQL access to the file can do to administrators' documents, and how the log contradicts it: S17.
#![cfg(test)]

use std::collections::BTreeMap;

use audit_model::{Flaw, Kind, Profile, Verifier};
use futures::executor::block_on;
use mfa::settings::{Modules, Owner};
use mfa::sqlite::SqliteStore;
use mfa::{Begin, Denied, DeniedReason, Engine, Policy};
use mfa_tests::site::Site;
use mfa_tests::{STEP, World, acme, host, login};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Every kind of record that administrators write, each of which has one row.
const KINDS: [&str; 3] = ["settings", "policy", "configurations"];
const ID: &[u8] = b"document";
const FORM: Profile = Profile::Seed2017;

async fn node(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

fn own() -> Owner {
    Owner::Account(acme().into())
}

fn enabled(is: bool) -> Value {
    json!({"auth_modules": {"cb_user_auth": {"enabled": is}}})
}

/// Writes another state of the document of a kind, or one more configuration.
async fn write(engine: &Engine, kind: &str, number: u8) {
    let odd = number % 2 == 1;
    match kind {
        "settings" => {
            engine.settings_put(&own(), &enabled(odd), None, &host()).await.unwrap();
        }
        "policy" => {
            engine.policy_put(&own(), &json!({ "enforced": odd }), None, &host()).await.unwrap();
        }
        _ => {
            let duo = json!({"provider_name": "duo", "name": number.to_string(), "settings": {}});
            engine.configuration_create(&own(), FORM, &duo, &host()).await.unwrap();
        }
    }
}

/// Deletes the document of a kind, or every configuration.
async fn delete(engine: &Engine, kind: &str) {
    match kind {
        "settings" => engine.settings_delete(&own(), None, &host()).await.unwrap(),
        "policy" => engine.policy_delete(&own(), None, &host()).await.unwrap(),
        _ => engine.configurations_clear(&own(), &host()).await.unwrap(),
    }
}

fn kind_of(event: Kind) -> &'static str {
    match event {
        Kind::SettingsChanged => "settings",
        Kind::PolicyChanged => "policy",
        Kind::ConfigurationCreated
        | Kind::ConfigurationChanged
        | Kind::ConfigurationDeleted
        | Kind::ConfigurationShown
        | Kind::ConfigurationsCleared => "configurations",
        _ => "",
    }
}

#[test]
fn s17_an_older_document_that_is_put_back_holds_and_contradicts_the_log() {
    for kind in KINDS {
        block_on(async {
            let site = Site::new().await;
            let engine = node(&site.world).await;
            write(&engine, kind, 0).await;
            let older = site.read(kind, ID);
            write(&engine, kind, 1).await;
            site.fix().await;
            site.write(kind, ID, &older);
            assert_eq!(site.found(None).await, None, "{kind}: no event was touched, and none is new");
            write(&engine, kind, 2).await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}: one place is there twice");
            site.fix().await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}: and stays so");
        });
    }
}

#[test]
fn s17_a_module_that_was_switched_off_is_on_by_an_older_row_until_the_log_is_looked_at() {
    block_on(async {
        let site = Site::new().await;
        let engine = node(&site.world).await;
        engine.settings_put(&own(), &enabled(true), None, &host()).await.unwrap();
        let older = site.read("settings", ID);
        engine.settings_put(&own(), &enabled(false), None, &host()).await.unwrap();
        let through = || {
            let first =
                mfa::FirstFactor::verified_now(mfa::FirstFactorKind::Password, mfa::Channel::Direct, None);
            mfa::Login::new(site.bob.0.clone(), first, mfa::Module::parse("cb_user_auth").unwrap())
        };
        let begun = engine.begin(through()).await.unwrap();
        assert!(
            matches!(begun, Begin::Denied(Denied { reason: DeniedReason::ModuleDisabled, .. })),
            "{begun:?}"
        );
        site.write("settings", ID, &older);
        let begun = engine.begin(through()).await.unwrap();
        assert!(!matches!(begun, Begin::Denied(_)), "a whole older row is authentic: {begun:?}");
        engine.settings_put(&own(), &enabled(false), None, &host()).await.unwrap();
        site.fix().await;
        assert_eq!(site.found(None).await, Some(Flaw::StreamGap));
    });
}

#[test]
fn s17_a_document_whose_row_is_gone_cannot_be_made_again_unseen() {
    for kind in KINDS {
        block_on(async {
            let site = Site::new().await;
            let engine = node(&site.world).await;
            write(&engine, kind, 0).await;
            site.fix().await;
            site.delete(kind, ID);
            write(&engine, kind, 1).await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}");
        });
    }
}

#[test]
fn s17_what_is_left_of_a_deleted_document_goes_on_with_its_stream() {
    for kind in KINDS {
        block_on(async {
            let site = Site::new().await;
            let engine = node(&site.world).await;
            write(&engine, kind, 0).await;
            let older = site.read(kind, ID);
            delete(&engine, kind).await;
            write(&engine, kind, 1).await;
            delete(&engine, kind).await;
            site.fix().await;
            assert_eq!(site.found(None).await, None, "{kind}: deleted and made anew by who may");
            // Nor is it deleted twice.
            let again = match kind {
                "settings" => engine.settings_delete(&own(), None, &host()).await,
                "policy" => engine.policy_delete(&own(), None, &host()).await,
                _ => engine.configurations_clear(&own(), &host()).await,
            };
            assert_eq!(again.unwrap_err().code(), "no_document", "{kind}");
            // Whoever deletes what is left, or puts back what was there, is found.
            site.sql("CREATE TABLE kept AS SELECT * FROM records");
            site.delete(kind, ID);
            write(&engine, kind, 2).await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}");
            site.sql("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)");
            site.sql("DELETE FROM records; INSERT INTO records SELECT * FROM kept");
            assert_eq!(site.found(None).await, None, "{kind}: as it was");
            site.write(kind, ID, &older);
            write(&engine, kind, 3).await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}");
        });
    }
}

#[test]
fn s17_a_deleted_event_of_a_document_is_missed_by_the_next() {
    for kind in KINDS {
        block_on(async {
            let site = Site::new().await;
            let engine = node(&site.world).await;
            write(&engine, kind, 0).await;
            site.fix().await;
            write(&engine, kind, 1).await;
            // No checkpoint covers it yet.
            assert_eq!(site.sql("DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)"), 1);
            assert_eq!(site.found(None).await, None, "{kind}");
            write(&engine, kind, 2).await;
            assert_eq!(site.found(None).await, Some(Flaw::StreamGap), "{kind}");
        });
    }
}

#[test]
fn s17_a_document_that_cannot_be_read_is_replaced_with_an_event_that_says_so() {
    for kind in ["settings", "policy"] {
        block_on(async {
            let site = Site::new().await;
            let engine = node(&site.world).await;
            write(&engine, kind, 0).await;
            let (version, mut body) = site.read(kind, ID);
            *body.last_mut().unwrap() ^= 1;
            site.write(kind, ID, &(version, body));
            for number in [1, 2] {
                site.world.clock.advance(STEP);
                write(&engine, kind, number).await;
            }
            let of_kind =
                |kind: &str| if kind == "settings" { Kind::SettingsChanged } else { Kind::PolicyChanged };
            let told = site.world.events_of(of_kind(kind)).await;
            let told: Vec<_> = told.iter().map(|event| event.field("replaced")).collect();
            assert_eq!(told, [None, Some("unreadable"), None], "{kind}");
            // How far its stream had come is not known any more: it begins another one, and the log holds.
            site.fix().await;
            assert_eq!(site.found(None).await, None, "{kind}");
        });
    }
}

#[test]
fn s17_a_login_is_of_what_a_deleted_document_leaves_as_if_there_had_never_been_one() {
    block_on(async {
        let site = Site::new().await;
        let engine = node(&site.world).await;
        let before = engine.begin(login(&site.bob.0)).await.unwrap();
        for kind in KINDS {
            write(&engine, kind, 0).await;
            delete(&engine, kind).await;
        }
        let after = engine.begin(login(&site.bob.0)).await.unwrap();
        assert_eq!(core::mem::discriminant(&before), core::mem::discriminant(&after), "{before:?} {after:?}");
        let scope = mfa::Scope::Account(acme());
        assert!(engine.settings(&scope).await.unwrap().is_none());
        assert!(engine.policy_document(&scope).await.unwrap().is_none());
        assert!(engine.configurations(&scope).await.unwrap().is_empty());
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s17_whatever_is_written_and_deleted_streams_have_no_gap(
        steps in proptest::collection::vec((0..3_usize, 0..5_u8), 1..24),
    ) {
        block_on(async {
            let world = World::sqlite().await;
            let engine = node(&world).await;
            for (number, (kind, step)) in (0_u8..).zip(&steps) {
                let by = host();
                match (KINDS[*kind], step) {
                    ("settings", 0) => drop(engine.settings_delete(&own(), None, &by).await),
                    ("settings", 1) => drop(engine.settings_patch(&own(), &enabled(true), None, &by).await),
                    ("policy", 0) => drop(engine.policy_delete(&own(), None, &by).await),
                    ("policy", 1) => drop(engine.policy_patch(&own(), &json!({"enforced": null}), None, &by).await),
                    ("configurations", 0) => drop(engine.configurations_clear(&own(), &by).await),
                    ("configurations", 1..=3) => {
                        let scope = mfa::Scope::Account(acme());
                        let first = engine.configurations(&scope).await.unwrap().into_iter().next();
                        let Some(id) = first.map(|first| first.id) else { continue };
                        let off = json!({"enabled": false});
                        match step {
                            1 => drop(engine.configuration_delete(&own(), id, None, &by).await),
                            2 => drop(engine.configuration_patch(&own(), id, FORM, &off, None, &by).await),
                            _ => drop(engine.configuration_show(&own(), id, &by).await),
                        }
                    }
                    (kind, _) => write(&engine, kind, number).await,
                }
            }
            let mut streams: BTreeMap<&str, Vec<([u8; 16], u64)>> = BTreeMap::new();
            for event in world.events().await {
                let kind = kind_of(event.kind());
                if !kind.is_empty() {
                    let stream = event.stream().expect("a document's event has its place");
                    streams.entry(kind).or_default().push((stream.id, stream.seq));
                }
            }
            for (kind, mut places) in streams {
                places.sort_unstable();
                let id = places[0].0;
                let expected: Vec<_> = (1..).map(|seq| (id, seq)).take(places.len()).collect();
                assert_eq!(places, expected, "{kind}");
            }
            // And in the order of the commits.
            let store = SqliteStore::open(world.file().unwrap()).unwrap();
            let report = Verifier::without_key().read(&store).await.unwrap();
            assert_eq!(report.problem.map(|problem| problem.flaw), Some(Flaw::NoCheckpoint));
        });
    }
}
