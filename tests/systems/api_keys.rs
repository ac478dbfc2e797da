//! API keys as Kazoo's app shows, copies, resets and uses them.

use audit_model::{ErrorReply, Kind};
use mfa::settings::{Modules, Owner};
use mfa::{Account, ApiKey, ApiKeyVerify, Engine, Intent, Policy, RequestFacts, http_status};
use mfa_tests::api_keys::{account, by, module, reset, show, told};
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on};
use mfa_tests::{World, host, login, on_stores};
use serde_json::{Value, json};

/// A site whose keys can be shown, as Kazoo's.
async fn kazoo(world: &World) -> Engine {
    let policy = Policy::kazoo().with_document(&json!({"api_keys_hash_only": false})).unwrap();
    world.node().policy(policy).modules(Modules::kazoo()).build().await.unwrap()
}

on_stores! {
    async fn a13_the_key_is_64_hex_digits_and_in_no_text_but_where_it_is_asked_for(world) {
        let engine = kazoo(&world).await;
        let issued = engine.api_key_create(&account(), &host()).await.unwrap();
        let key = issued.key.expose_secret();
        assert!(key.len() == 64 && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
        let shown = engine.api_key_show(&account(), &host()).await.unwrap();
        let body = json!({"data": {"api_key": shown.key.expose_secret()}});
        assert_eq!(body["data"]["api_key"], key);
        let debug = format!("{issued:?} {shown:?} {:?} {:?} {engine:?}", issued.key, account());
        assert!(!debug.contains(&key[..8]), "{debug}");
    }

    async fn a14_what_is_copied_is_the_key_to_the_byte(world) {
        let engine = kazoo(&world).await;
        reset(&engine).await;
        let copied = show(&engine).await;
        assert!(!copied.contains(char::is_whitespace));
        assert_eq!(told(&engine, &copied).await, "acme");
    }

    async fn a15_a_reset_is_an_administrator_s_and_the_old_key_is_dead(world) {
        let engine = kazoo(&world).await;
        let old = reset(&engine).await;
        let (bob, app) = enrol_ranked(&world, "bob", 0).await;
        let proof = prove_on(&engine, &world, login(&bob), &app, &Intent::issue_api_key(&account())).await;
        for (by, code) in [(in_session_of(&bob, &proof), "not_permitted"), (first_factor(&bob), "step_up_required")] {
            let refused = engine.api_key_reset(&account(), &by).await.unwrap_err();
            assert_eq!(refused.code(), code);
            assert_eq!(told(&engine, &old).await, "acme");
        }
        assert!(world.events_of(Kind::ApiKeyReset).await.is_empty());
        let ann = enrol_ranked(&world, "ann", 1).await;
        let by_ann = by(&engine, &world, &ann, 1, &Intent::issue_api_key(&account())).await;
        let issued = engine.api_key_reset(&account(), &by_ann).await.unwrap();
        let new = issued.key.expose_secret();
        assert_ne!(new, old);
        assert_eq!((told(&engine, &old).await.as_str(), told(&engine, new).await.as_str()), ("not_found", "acme"));
        let [event] = &world.events_of(Kind::ApiKeyReset).await[..] else { panic!("one event") };
        assert_eq!(event.actor(), Some("ann"));
    }

    async fn a16_a_request_is_the_key_and_no_answer_repeats_it(world) {
        let engine = kazoo(&world).await;
        let key = reset(&engine).await;
        let facts = RequestFacts::new();
        let verify = async |key: &str| engine.api_key_verify(key, &module(), &facts).await;
        let read = json!({"api_key": key});
        let told = verify(ApiKey::in_request(&read).unwrap()).await.unwrap();
        assert!(matches!(&told, ApiKeyVerify::Verified(_)) && http_status(&told).status == 200);
        // In Kazoo's validation errors.
        let more = ApiKey::in_request(&json!({"api_key": key, "account": "acme"})).unwrap_err();
        let short = verify(&key[..63]).await.unwrap_err();
        assert_eq!((more.code, short.code()), ("unknown_field", "too_short"));
        let sentence = "String must be at least 64 characters";
        let body = ErrorReply::validation("api_key", "minLength", sentence).to_json();
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["data"]["api_key"]["minLength"]["message"], sentence);
        for unknown in ["0".repeat(64), key.to_uppercase()] {
            let told = verify(&unknown).await.unwrap();
            assert_eq!(http_status(&told).status, 401);
            assert!(!format!("{told:?} {more} {short}").contains(&unknown));
        }
    }

    /// Edge 80. The account is disabled where its host says so: by the settings of the module.
    async fn a16_a_key_of_an_account_that_is_off_is_refused_and_that_is_logged(world) {
        let engine = kazoo(&world).await;
        let key = reset(&engine).await;
        let off = json!({"auth_modules": {"cb_api_auth": {"enabled": false}}});
        let owner = Owner::Account(Account::new(mfa_tests::acme()));
        engine.settings_put(&owner, &off, None, &host()).await.unwrap();
        assert_eq!(told(&engine, &key).await, "module_disabled");
        let rejected = world.events_of(Kind::ApiKeyRejected).await;
        assert_eq!(rejected.iter().map(|event| event.reason()).collect::<Vec<_>>(), [Some("module_disabled")]);
    }
}
