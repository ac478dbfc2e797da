//! S21: an account's id that is given to another one brings it nothing of the former one. S27: nothing personal of an
//! account that is forgotten is left in its log, and the log still holds.
#![cfg(test)]

use std::sync::Arc;

use audit_model::{Event, Kind, Profile};
use futures::executor::block_on;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, ApiKey, ApiKeyVerify, Engine, Module, NotRequired, Policy, RequestFacts, Scope,
    Subject, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::attack::{overwrite, records};
use mfa_tests::told::streams_are_whole;
use mfa_tests::watched;
use mfa_tests::{World, acme, host, login, on_stores};
use serde_json::json;

const FORM: Profile = Profile::Seed2017;

/// An account that has everything an account can have, and another one beside it.
struct Full {
    bob: Subject,
    app: SoftAuthenticator,
    key: ApiKey,
    engine: Engine,
}

async fn node(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

async fn full(world: &World) -> Full {
    let engine = node(world).await;
    let (bob, app) = world.enrol("bob").await;
    world.enrol("carol").await;
    for of in [acme(), other()] {
        documents(&engine, &of).await;
    }
    let key = engine.api_key_create(&Account::new(acme()), &host()).await.unwrap().key;
    // Of somebody who has no record of their own there is an event all the same.
    let dan = world.add("dan").await;
    let _begun = engine.begin(login(&dan)).await.unwrap();
    let _open = world.begin(&bob).await;
    Full { bob, app, key, engine }
}

async fn documents(engine: &Engine, of: &AccountId) {
    let own = Owner::Account(Account::new(of.clone()));
    let settings = json!({"auth_modules": {"cb_user_auth": {"enabled": true}}});
    engine.settings_put(&own, &settings, None, &host()).await.unwrap();
    engine.policy_put(&own, &json!({"attempts": 4}), None, &host()).await.unwrap();
    let duo = json!({"provider_name": "duo", "name": "ours", "settings": {}});
    engine.configuration_create(&own, FORM, &duo, &host()).await.unwrap();
}

fn other() -> AccountId {
    AccountId::parse("globex").unwrap()
}

async fn is_good(engine: &Engine, key: &ApiKey) -> bool {
    let module = Module::parse("cb_api_auth").unwrap();
    let told = engine.api_key_verify(key.expose_secret(), &module, &RequestFacts::new()).await.unwrap();
    matches!(told, ApiKeyVerify::Verified(_))
}

/// Nothing that is the account's is read any more, and none of its events says who it was about.
async fn nothing_is_left(world: &World, full: &Full) {
    let engine = &full.engine;
    let scope = Scope::Account(acme());
    assert!(engine.settings(&scope).await.unwrap().is_none());
    assert!(engine.policy_document(&scope).await.unwrap().is_none());
    assert!(engine.configurations(&scope).await.unwrap().is_empty());
    assert!(!is_good(engine, &full.key).await);
    assert!(engine.methods(full.bob.account(), full.bob.user()).await.unwrap().is_empty());
    let events = world.events().await;
    assert!(events.iter().all(|event| event.user().is_none() && event.ip().is_none() && event.hash_holds()));
    streams_are_whole(&events);
}

on_stores! {
    async fn s21_of_an_account_that_was_forgotten_nothing_is_left(base) {
        let watched = Arc::new(watched::watched(&base.store));
        let world = World::on(watched.clone(), None).await;
        let full = full(&world).await;
        assert!(is_good(&full.engine, &full.key).await);
        assert!(world.events().await.iter().any(|event| event.user().is_some_and(|user| user.as_str() == "dan")));
        assert_eq!(full.engine.forget_account(&acme(), &host()).await.unwrap(), 2);
        nothing_is_left(&world, &full).await;
        let mut left = Vec::new();
        for key in watched.ever_put().into_iter().filter(|key| key.scope == Scope::Account(acme())) {
            left.extend(world.store.get(&[key], world.now()).await.unwrap().into_iter().flatten());
        }
        left.sort_by_key(|record| record.key.kind);
        let kinds: Vec<_> = left.iter().map(|record| record.key.kind.as_str()).collect();
        // The rows are the directory's; a document leaves the place of its stream.
        let rows = ["directory_user"; 3];
        assert_eq!(kinds, [&["configurations"][..], &rows, &["policy", "settings"]].concat());
        for (kind, times) in [(Kind::UserForgotten, 2), (Kind::ApiKeyRemoved, 1), (Kind::PolicyChanged, 2)] {
            assert_eq!(world.events_of(kind).await.len(), times, "each is told of: {kind}");
        }
        let events = world.events_of(Kind::AccountForgotten).await;
        let [event]: &[Event] = &events[..] else { panic!("{events:?}") };
        let said = (event.actor(), event.field("users"), event.field("authority"));
        assert_eq!(said, (Some("test-host"), Some("2"), Some("host_vouched")));
    }

    async fn s21_what_another_account_has_stays_when_one_is_forgotten(world) {
        let full = full(&world).await;
        full.engine.forget_account(&acme(), &host()).await.unwrap();
        let scope = Scope::Account(other());
        assert!(full.engine.settings(&scope).await.unwrap().is_some());
        assert!(full.engine.policy_document(&scope).await.unwrap().is_some());
        assert_eq!(full.engine.configurations(&scope).await.unwrap().len(), 1);
    }

    async fn s21_the_next_account_with_the_id_starts_clean_and_its_log_goes_on(world) {
        let Full { bob, app, engine, .. } = full(&world).await;
        let open = world.begin(&bob).await;
        engine.forget_account(&acme(), &host()).await.unwrap();
        let late = engine.verify(&open.reference, mfa::Response::code(&app.code_at(world.now()))).await.unwrap();
        assert!(matches!(late, Verify::Rejected(_)), "{late:?}");
        documents(&engine, &acme()).await;
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert!(
            matches!(begun, mfa::Begin::NotRequired(NotRequired::NoMethod)) || matches!(begun, mfa::Begin::EnrolmentRequired(_)),
            "{begun:?}"
        );
        world.enrol("bob").await;
        streams_are_whole(&world.events().await);
    }

    async fn s21_an_account_is_forgotten_again_where_it_failed_half_way(world) {
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let world = World::on(faults.clone(), None).await;
        let full = full(&world).await;
        for commit in 0..32 {
            let fault = [(At::BeforeCommit, Fault::Unavailable), (At::AfterCommit, Fault::Unknown)][commit % 2];
            faults.fail_later(fault.0, fault.1, commit / 2, 1);
            let done = full.engine.forget_account(&acme(), &host()).await;
            let was_hit = faults.heal();
            if let Err(error) = &done {
                assert_eq!(error.code(), "unavailable");
            }
            if done.is_ok() && !was_hit {
                break;
            }
        }
        full.engine.forget_account(&acme(), &host()).await.unwrap();
        nothing_is_left(&world, &full).await;
    }
}

#[test]
fn s21_a_document_that_cannot_be_read_keeps_nobody_from_being_forgotten() {
    block_on(async {
        let world = World::memory().await;
        let full = full(&world).await;
        for mut record in records(&world).await {
            if ["settings", "policy", "configurations"].contains(&record.key.kind.as_str())
                && record.key.scope == Scope::Account(acme())
            {
                *record.body.last_mut().unwrap() ^= 1;
                overwrite(&world, &record).await;
            }
        }
        // Another node: this one remembers what it has read.
        let full = Full { engine: node(&world).await, ..full };
        let refused = full.engine.policy_resolve(&Account::new(acme())).await.unwrap_err();
        assert_eq!(refused.code(), "unavailable");
        assert_eq!(full.engine.forget_account(&acme(), &host()).await.unwrap(), 2);
        nothing_is_left(&world, &full).await;
    });
}

#[test]
fn s21_an_engine_without_modules_leaves_no_documents_behind_unsaid() {
    block_on(async {
        let world = World::memory().await;
        let full = full(&world).await;
        let refused = world.engine.forget_account(&acme(), &host()).await.unwrap_err();
        assert_eq!(refused.code(), "required");
        assert!(!full.engine.methods(full.bob.account(), full.bob.user()).await.unwrap().is_empty());
    });
}

#[test]
fn s21_more_users_than_one_read_lists_are_all_forgotten() {
    block_on(async {
        let world = World::memory().await;
        for n in 0..101 {
            world.enrol(&format!("user{n}")).await;
        }
        assert_eq!(world.engine.forget_account(&acme(), &host()).await.unwrap(), 101);
        let user = UserId::parse("user100").unwrap();
        assert!(world.engine.methods(&acme(), &user).await.unwrap().is_empty());
    });
}
