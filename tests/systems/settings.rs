//! What an administrator switches in Kazoo's app, and what comes of it for logins below.

use std::time::Duration;

use audit_model::{Kind, Profile};
use mfa::settings::{Modules, Origin, Owner};
use mfa::{
    Account, AccountId, Ancestor, ApiKeyVerify, Begin, Channel, Denied, DeniedReason, Engine, Error,
    FirstFactor, FirstFactorKind, Login, Module, NotRequired, Policy, Reason, RequestFacts, Response, Scope,
    Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::{World, host, on_stores};
use serde_json::{Value, json};

const CONFIGURATION: &str = "c757665dca55edba2395df3ca6423f4f";

fn user_auth() -> Module {
    Module::parse("cb_user_auth").unwrap()
}

fn api_auth() -> Module {
    Module::parse("cb_api_auth").unwrap()
}

async fn kazoo(world: &World) -> Engine {
    world.node().policy(Policy::kazoo()).modules(Modules::kazoo()).build().await.unwrap()
}

/// `acme` below `mid` below `root`; from `name` on upwards.
fn tree(name: &str) -> Account {
    let all = ["acme", "mid", "root"].map(|name| Ancestor::new(AccountId::parse(name).unwrap()));
    let from = all.iter().position(|ancestor| ancestor.account.as_str() == name).unwrap();
    Account::new(all[from].account.clone()).with_lineage(all[from..].to_vec()).unwrap()
}

fn of(name: &str) -> Owner {
    Owner::Account(tree(name))
}

fn below(bob: &Subject) -> Subject {
    bob.clone().with_lineage(tree("acme").lineage().to_vec()).unwrap()
}

fn through(module: &str, subject: &Subject) -> Login {
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
    Login::new(subject.clone(), first, Module::parse(module).unwrap())
}

async fn set(engine: &Engine, owner: &Owner, module: &str, fields: Value) {
    let document = json!({ "auth_modules": { module: fields } });
    engine.settings_patch(owner, &document, None, &host()).await.unwrap();
}

fn fields(error: Error) -> Vec<(String, &'static str)> {
    let Error::InvalidDocument(fields) = error else { panic!("{error:?}") };
    fields.into_iter().map(|field| (field.field, field.code)).collect()
}

/// Begins and answers with a wrong code.
async fn fail(engine: &Engine, world: &World, bob: &Subject, app: &SoftAuthenticator) {
    let Begin::Challenge(challenge) = engine.begin(through("cb_user_auth", bob)).await.unwrap() else {
        panic!()
    };
    let wrong = Response::code(&app.wrong_code_at(world.now(), 3));
    assert!(matches!(engine.verify(&challenge.reference, wrong).await.unwrap(), Verify::Rejected(_)));
    world.clock.advance(Duration::from_secs(1));
}

async fn succeed(engine: &Engine, world: &World, bob: &Subject, app: &SoftAuthenticator) {
    let Begin::Challenge(challenge) = engine.begin(through("cb_user_auth", bob)).await.unwrap() else {
        panic!()
    };
    let right = Response::code(&app.code_at(world.now()));
    assert!(matches!(engine.verify(&challenge.reference, right).await.unwrap(), Verify::Verified(_)));
    world.clock.advance(mfa_tests::STEP);
}

async fn shown(world: &World) -> Vec<String> {
    let events = world.events().await;
    let rows = events.iter().filter_map(|event| Profile::Kazoo4.summary(event)?.to_json().ok());
    rows.collect()
}

on_stores! {
    async fn a01_a_disabled_module_lets_nobody_in_below_until_a_nearer_account_enables_it(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        set(&engine, &of("root"), "cb_user_auth", json!({"enabled": false})).await;
        let begun = engine.begin(through("cb_user_auth", &below(&bob))).await.unwrap();
        assert!(matches!(begun, Begin::Denied(Denied { reason: DeniedReason::ModuleDisabled, .. })));
        let row: Value = serde_json::from_str(&shown(&world).await[0]).unwrap();
        assert_eq!(row["status"], "failed");
        assert_eq!(row["message"], "authentication module cb_user_auth is disabled");
        assert_eq!(row["auth_type"], "jwt_auth_token");
        set(&engine, &of("acme"), "cb_user_auth", json!({"enabled": true})).await;
        let begun = engine.begin(through("cb_user_auth", &below(&bob))).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::ModuleDoesNotAsk)));
    }

    /// "0 audit rows" is the attempts view: the log has every failure.
    async fn a02_failures_are_shown_while_the_module_logs_them(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        let acme = Owner::Account(mfa_tests::acme().into());
        set(&engine, &acme, "cb_user_auth", json!({"multi_factor": {"enabled": true}})).await;
        set(&engine, &acme, "cb_user_auth", json!({"log_failed_attempts": false})).await;
        for _ in 0..3 {
            fail(&engine, &world, &bob, &app).await;
        }
        assert_eq!(shown(&world).await.len(), 0);
        assert_eq!(world.events_of(Kind::AnswerRejected).await.len(), 3);
        succeed(&engine, &world, &bob, &app).await;
        set(&engine, &acme, "cb_user_auth", json!({"log_failed_attempts": true})).await;
        for _ in 0..3 {
            fail(&engine, &world, &bob, &app).await;
        }
        let failed = shown(&world).await.into_iter().filter(|row| row.contains(r#""status":"failed""#));
        assert_eq!(failed.count(), 3);
    }

    async fn a03_successes_of_users_are_shown_and_those_of_api_keys_are_not_unless_set(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        let acme = Owner::Account(mfa_tests::acme().into());
        set(&engine, &acme, "cb_user_auth", json!({"multi_factor": {"enabled": true}})).await;
        succeed(&engine, &world, &bob, &app).await;
        let issued = engine.api_key_create(&Account::new(mfa_tests::acme()), &host()).await.unwrap();
        let (module, facts) = (api_auth(), RequestFacts::new());
        let verify = || engine.api_key_verify(issued.key.expose_secret(), &module, &facts);
        assert!(matches!(verify().await.unwrap(), ApiKeyVerify::Verified(_)));
        assert_eq!(shown(&world).await.len(), 1);
        set(&engine, &acme, "cb_api_auth", json!({"log_successful_attempts": true})).await;
        assert!(matches!(verify().await.unwrap(), ApiKeyVerify::Verified(_)));
        let rows = shown(&world).await;
        assert_eq!(rows.iter().filter(|row| row.contains("cb_api_auth")).count(), 1, "{rows:?}");
    }

    async fn a04_a_token_lives_as_long_as_the_module_says_and_an_hour_unless_said(world) {
        let engine = kazoo(&world).await;
        let expiry = async || engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap().token_expires_at(world.now());
        assert_eq!(expiry().await.since(world.now()), Duration::from_secs(3600));
        set(&engine, &of("acme"), "cb_user_auth", json!({"token_auth_expiry_s": 7200})).await;
        assert_eq!(expiry().await.since(world.now()), Duration::from_secs(7200));
        let stored = engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().unwrap();
        assert_eq!(stored.document.to_json()["auth_modules"]["cb_user_auth"]["token_auth_expiry_s"], 7200);
    }

    async fn a05_a_module_asks_for_a_second_factor_where_it_is_on(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        for (on, asked) in [(false, false), (true, true)] {
            set(&engine, &of("acme"), "cb_user_auth", json!({"multi_factor": {"enabled": on}})).await;
            let begun = engine.begin(through("cb_user_auth", &below(&bob))).await.unwrap();
            assert_eq!(matches!(begun, Begin::Challenge(_)), asked);
            assert_eq!(matches!(begun, Begin::NotRequired(NotRequired::ModuleDoesNotAsk)), !asked);
        }
    }

    async fn a06_an_object_of_the_own_account_still_inherits_what_it_leaves_out(world) {
        let engine = kazoo(&world).await;
        let all = json!({"multi_factor": {"enabled": true, "configuration_id": CONFIGURATION, "account_id": "root",
            "include_subaccounts": true}});
        set(&engine, &of("root"), "cb_user_auth", all).await;
        let found = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        assert_eq!(found.configuration_id.value.unwrap().to_string(), CONFIGURATION);
        assert!(found.multi_factor.value && found.applies);
        set(&engine, &of("acme"), "cb_user_auth", json!({"multi_factor": {"enabled": false}})).await;
        let found = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        assert_eq!(found.configuration_id.value.unwrap().to_string(), CONFIGURATION);
        assert!(!found.multi_factor.value && !found.applies);
    }

    async fn a07_a_configuration_is_chosen_with_its_owner(world) {
        let engine = kazoo(&world).await;
        let none = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        assert_eq!(none.configuration_id.value, None);
        let alone = json!({"auth_modules": {"cb_user_auth": {"multi_factor": {"configuration_id": CONFIGURATION}}}});
        let refused = engine.settings_put(&of("acme"), &alone, None, &host()).await.unwrap_err();
        let path = "auth_modules.cb_user_auth.multi_factor.account_id".to_owned();
        assert_eq!(fields(refused), [(path, "required")]);
        let both = json!({"multi_factor": {"configuration_id": CONFIGURATION, "account_id": "acme"}});
        set(&engine, &of("acme"), "cb_user_auth", both).await;
        let chosen = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        assert_eq!(chosen.configuration_id.value.unwrap().to_string(), CONFIGURATION);
    }

    async fn a09_nothing_changes_until_it_is_saved_and_a_wrong_draft_changes_nothing(world) {
        let engine = kazoo(&world).await;
        set(&engine, &of("acme"), "cb_user_auth", json!({"token_auth_expiry_s": 60})).await;
        let before = engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().unwrap();
        let draft = json!({"auth_modules": {"cb_user_auth": {"token_auth_expiry_s": 61, "enabled": "yes"}}});
        let refused = engine.settings_put(&of("acme"), &draft, None, &host()).await.unwrap_err();
        assert_eq!(fields(refused), [("auth_modules.cb_user_auth.enabled".to_owned(), "type")]);
        let after = engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().unwrap();
        assert_eq!(after, before);
        // What is saved takes the place of all that was there, and what is answered only is not kept.
        let saved = json!({"auth_modules": {"cb_user_auth": {"enabled": true, "multi_factor": {
            "enabled": false, "_read_only": {"name": "Default System Provider", "provider_name": "duo"}}}}});
        engine.settings_put(&of("acme"), &saved, None, &host()).await.unwrap();
        let kept = engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().unwrap();
        let expected = json!({"auth_modules": {"cb_user_auth": {"enabled": true, "multi_factor": {"enabled": false}}}});
        assert_eq!(kept.document.to_json(), expected);
    }

    async fn a10_a_disabled_module_of_api_keys_refuses_the_right_key_and_no_user(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = kazoo(&world).await;
        let acme = Account::new(mfa_tests::acme());
        let issued = engine.api_key_create(&acme, &host()).await.unwrap();
        set(&engine, &Owner::Account(acme), "cb_api_auth", json!({"enabled": false})).await;
        let facts = RequestFacts::new();
        let refused = engine.api_key_verify(issued.key.expose_secret(), &api_auth(), &facts).await.unwrap();
        assert!(matches!(refused, ApiKeyVerify::Rejected(rejected) if rejected.reason == Reason::ModuleDisabled));
        let unknown = engine.api_key_verify(&"0".repeat(64), &api_auth(), &facts).await.unwrap();
        assert!(matches!(unknown, ApiKeyVerify::Rejected(rejected) if rejected.reason == Reason::NotFound));
        let begun = engine.begin(through("cb_user_auth", &bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(_)));
    }

    async fn a12_each_module_has_an_expiry_of_its_own(world) {
        let engine = kazoo(&world).await;
        set(&engine, &of("acme"), "cb_api_auth", json!({"token_auth_expiry_s": 60})).await;
        set(&engine, &of("acme"), "cb_user_auth", json!({"token_auth_expiry_s": 3600})).await;
        let of_module = async |module| engine.settings_resolve(&tree("acme"), &module).await.unwrap().token_auth_expiry_s.value;
        assert_eq!((of_module(api_auth()).await, of_module(user_auth()).await), (60, 3600));
    }

    async fn a25_each_setting_says_what_is_set_what_is_inherited_and_where_it_came_from(world) {
        let engine = kazoo(&world).await;
        set(&engine, &of("root"), "cb_user_auth", json!({"token_auth_expiry_s": 60})).await;
        set(&engine, &Owner::System, "cb_user_auth", json!({"enabled": true})).await;
        let found = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        let expiry = &found.token_auth_expiry_s;
        assert_eq!((expiry.own, expiry.inherited, expiry.value), (None, 60, 60));
        assert_eq!(expiry.origin.to_string(), "root");
        assert_eq!(found.enabled.origin, Origin::System);
        set(&engine, &of("acme"), "cb_user_auth", json!({"token_auth_expiry_s": 120})).await;
        let found = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        let expiry = &found.token_auth_expiry_s;
        assert_eq!((expiry.own, expiry.inherited, expiry.value), (Some(120), 60, 120));
        // A reseller inherits from the system alone.
        let reseller = Ancestor::new(mfa_tests::acme()).with_marks(true, false);
        let lineage = vec![reseller, Ancestor::new(AccountId::parse("root").unwrap())];
        let reseller = Account::new(mfa_tests::acme()).with_lineage(lineage).unwrap();
        let found = engine.settings_resolve(&reseller, &user_auth()).await.unwrap();
        assert_eq!(found.token_auth_expiry_s.inherited, 3600);
    }

    async fn a27_the_modules_that_can_be_set_are_those_of_the_engine(world) {
        let engine = kazoo(&world).await;
        let listed: Vec<_> = Modules::kazoo().iter().map(ToString::to_string).collect();
        assert_eq!(listed, ["cb_api_auth", "cb_auth", "cb_ip_auth", "cb_user_auth"]);
        let unlisted = json!({"auth_modules": {"cb_none": {"enabled": true}}});
        let refused = engine.settings_put(&of("acme"), &unlisted, None, &host()).await.unwrap_err();
        assert_eq!(fields(refused), [("auth_modules.cb_none".to_owned(), "additionalProperties")]);
    }

    async fn a28_without_a_document_everything_is_inherited_again(world) {
        let engine = kazoo(&world).await;
        set(&engine, &of("mid"), "cb_user_auth", json!({"enabled": false})).await;
        set(&engine, &of("acme"), "cb_user_auth", json!({"enabled": true})).await;
        engine.settings_delete(&of("acme"), None, &host()).await.unwrap();
        let found = engine.settings_resolve(&tree("acme"), &user_auth()).await.unwrap();
        assert_eq!((found.enabled.value, found.enabled.origin.to_string().as_str()), (false, "mid"));
        let again = engine.settings_delete(&of("acme"), None, &host()).await;
        assert_eq!(again.unwrap_err().code(), "no_document");
    }

    /// The master account, nobody's configuration, the own one, and what its owner says of accounts below.
    async fn b11_four_cases_say_whether_a_second_factor_reaches_an_account(world) {
        let engine = kazoo(&world).await;
        let second = |owner: Option<&str>, includes: bool| {
            let mut second = json!({"enabled": true, "include_subaccounts": includes});
            if let Some(owner) = owner {
                second["account_id"] = json!(owner);
            }
            json!({ "multi_factor": second })
        };
        let applies = async |account: &Account| engine.settings_resolve(account, &user_auth()).await.unwrap().applies;
        for (owner, includes, expected) in
            [(None, false, true), (Some("root"), false, false), (Some("root"), true, true)]
        {
            let document = json!({ "auth_modules": { "cb_user_auth": second(owner, includes) } });
            engine.settings_put(&of("root"), &document, None, &host()).await.unwrap();
            assert_eq!(applies(&tree("acme")).await, expected, "{owner:?} {includes}");
            assert!(applies(&tree("root")).await);
        }
        let document = json!({ "auth_modules": { "cb_user_auth": second(Some("root"), false) } });
        engine.settings_put(&of("root"), &document, None, &host()).await.unwrap();
        let mut lineage = tree("acme").lineage().to_vec();
        lineage[0] = lineage[0].clone().with_marks(false, true);
        assert!(applies(&Account::new(mfa_tests::acme()).with_lineage(lineage).unwrap()).await);
    }

    async fn b23_a_configuration_outside_of_the_account_s_tree_is_refused(world) {
        let engine = kazoo(&world).await;
        let choose = |owner: &str| {
            let second = json!({"configuration_id": CONFIGURATION, "account_id": owner});
            json!({"auth_modules": {"cb_user_auth": {"multi_factor": second}}})
        };
        let not_in_tree = [("auth_modules.cb_user_auth.multi_factor.account_id".to_owned(), "not_in_account_tree")];
        for elsewhere in ["sibling", "root"] {
            let refused = engine.settings_put(&of("acme"), &choose(elsewhere), None, &host()).await.unwrap_err();
            assert_eq!(fields(refused), not_in_tree, "{elsewhere}");
        }
        set(&engine, &of("root"), "cb_user_auth", json!({"multi_factor": {"include_subaccounts": true}})).await;
        engine.settings_put(&of("acme"), &choose("root"), None, &host()).await.unwrap();
    }

    async fn b28_of_two_writers_of_one_revision_the_second_conflicts(world) {
        let engine = kazoo(&world).await;
        let document = json!({"auth_modules": {"cb_user_auth": {"enabled": true}}});
        let first = engine.settings_put(&of("acme"), &document, None, &host()).await.unwrap();
        let second = engine.settings_put(&of("acme"), &document, Some(first), &host()).await.unwrap();
        assert_ne!(first, second);
        let late = engine.settings_put(&of("acme"), &document, Some(first), &host()).await;
        assert_eq!(late.unwrap_err().code(), "conflict");
    }

    async fn c20_what_the_host_did_not_decide_to_challenge_is_let_in_and_all_else_is_asked(world) {
        let (bob, _app) = world.enrol("bob").await;
        let policy = Policy::kount().with_document(&json!({"offered": ["totp"]})).unwrap();
        let engine = world.node().policy(policy).build().await.unwrap();
        let login = || through("portal", &bob);
        let allowed = engine.begin(login().with_decision(mfa::RiskDecision::Allow)).await.unwrap();
        assert!(matches!(allowed, Begin::NotRequired(NotRequired::NotChallenged)));
        assert!(matches!(engine.begin(login()).await.unwrap(), Begin::Challenge(_)));
    }

    async fn d04_a_company_that_asks_is_asked_of_every_user_at_the_next_login(world) {
        let (bob, _app) = world.enrol("bob").await;
        let eve = world.add("eve").await;
        let engine = world.node().policy(Policy::total_uptime()).modules(Modules::kazoo()).build().await.unwrap();
        let acme = Owner::Account(mfa_tests::acme().into());
        engine.policy_put(&acme, &json!({"enforced": true, "offered": ["email", "totp"]}), None, &host()).await.unwrap();
        assert!(matches!(engine.begin(through("portal", &bob)).await.unwrap(), Begin::Challenge(_)));
        // Whoever has no method sets one up first.
        assert!(matches!(engine.begin(through("portal", &eve)).await.unwrap(), Begin::EnrolmentRequired(_)));
    }

    async fn e11_where_the_organisation_allows_no_method_none_is_set_up(world) {
        let bob = world.add("bob").await;
        let engine = world.node().policy(Policy::b3_networks()).modules(Modules::kazoo()).build().await.unwrap();
        let acme = Owner::Account(mfa_tests::acme().into());
        engine.policy_put(&acme, &json!({"offered": []}), None, &host()).await.unwrap();
        let none = mfa::Choice::none();
        let refused = engine.enrol_begin(bob.account(), bob.user(), &mfa_tests::totp(), &none, &host()).await;
        assert_eq!(refused.unwrap_err().code(), "method_not_offered");
    }

    async fn e12_who_must_have_a_method_sets_one_up_before_anything_else(world) {
        let bob = world.add("bob").await;
        let engine = world.node().policy(Policy::b3_networks()).modules(Modules::kazoo()).build().await.unwrap();
        engine.policy_put(&Owner::System, &json!({"enforced": true}), None, &host()).await.unwrap();
        let begun = engine.begin(through("portal", &bob)).await.unwrap();
        let Begin::EnrolmentRequired(required) = begun else { panic!("{begun:?}") };
        assert_eq!(required.offered, [mfa_tests::totp()]);
    }
}
