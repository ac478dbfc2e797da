//! What accounts set for modules and of the policy: written by administrators, held in every step, on every node.
#![cfg(test)]

#[path = "settings_documents/written.rs"]
mod written;

use std::sync::Arc;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::settings::{Change, Modules, Origin, Owner};
use mfa::{
    Account, AccountId, Ancestor, Begin, Changed, Denied, DeniedReason, Engine, ExplainedOutcome,
    FirstFactor, FirstFactorKind, Login, Module, NotRequired, Policy, Reason, Response, RiskDecision, Scope,
    Subject, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::inbox::Inbox;
use mfa_tests::between::{Between, Moment, between};
use mfa_tests::mailed::{Mailed, links, texts};
use mfa_tests::rights::{enrol_ranked, prove_on};
use mfa_tests::{World, acme, begin, host, login, on_stores, session, totp};
use serde_json::{Value, json};

fn user_auth() -> Module {
    Module::parse("user_auth").unwrap()
}

fn modules() -> Modules {
    Modules::new().with(user_auth()).with_quiet(Module::parse("api_auth").unwrap())
}

async fn node(world: &World) -> Engine {
    world.node().modules(modules()).build().await.unwrap()
}

async fn by(world: &World, policy: Policy) -> Engine {
    world.node().modules(modules()).policy(policy).build().await.unwrap()
}

fn account(name: &str) -> AccountId {
    AccountId::parse(name).unwrap()
}

/// `acme` below `mid` below `root`.
fn lineage() -> Account {
    let all = [acme(), account("mid"), account("root")].map(Ancestor::new).to_vec();
    Account::new(acme()).with_lineage(all).unwrap()
}

fn below(subject: &Subject) -> Subject {
    subject.clone().with_lineage(lineage().lineage().to_vec()).unwrap()
}

fn own() -> Owner {
    Owner::Account(lineage())
}

fn of(name: &str) -> Owner {
    let mut above = lineage().lineage().to_vec();
    above.retain(|ancestor| name != "root" || ancestor.account.as_str() == "root");
    above.retain(|ancestor| name != "mid" || ancestor.account != acme());
    Owner::Account(Account::new(above[0].account.clone()).with_lineage(above).unwrap())
}

fn user(fields: Value) -> Value {
    json!({"auth_modules": {"user_auth": fields}})
}

async fn put(engine: &Engine, owner: &Owner, fields: Value) {
    engine.settings_put(owner, &user(fields), None, &host()).await.unwrap();
}

async fn policy(engine: &Engine, owner: &Owner, document: Value) {
    engine.policy_put(owner, &document, None, &host()).await.unwrap();
}

fn denied(begun: &Begin) -> Option<DeniedReason> {
    if let Begin::Denied(Denied { reason, .. }) = begun { Some(*reason) } else { None }
}

fn not_required(begun: &Begin) -> Option<NotRequired> {
    if let Begin::NotRequired(why) = begun { Some(*why) } else { None }
}

async fn reason(engine: &Engine, reference: &mfa::Reference, code: &str) -> Option<Reason> {
    match engine.verify(reference, Response::code(code)).await.unwrap() {
        Verify::Rejected(rejected) => Some(rejected.reason),
        Verify::Verified(_) => None,
        other => panic!("{other:?}"),
    }
}

/// A node between whose reads and commits something may happen.
async fn raced(world: &World) -> (Arc<Between>, Engine) {
    let store = Arc::new(between(&world.store));
    let clock = Arc::new(world.clock.clone());
    let raced = Engine::builder(store.clone(), world.directory.clone(), mfa_tests::ring(), clock);
    let entropy = Arc::new(mfa_testkit::entropy::SeededEntropy::new(0x5e));
    let raced = raced.entropy(entropy).provider(mfa::totp::Totp::new("Acme").unwrap()).modules(modules());
    (store, raced.danger_test_doubles().build().await.unwrap())
}

on_stores! {
    async fn a_module_that_an_account_above_disabled_lets_nobody_in_until_a_nearer_one_enables_it(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = node(&world).await;
        put(&engine, &of("root"), json!({"enabled": false})).await;
        let begun = engine.begin(login(&below(&bob))).await.unwrap();
        assert_eq!(denied(&begun), Some(DeniedReason::ModuleDisabled));
        let events = world.events_of(Kind::LoginDenied).await;
        let told = events.last().unwrap();
        assert_eq!(told.reason(), Some("module_disabled"));
        let attempt = told.attempt().unwrap();
        assert_eq!(attempt.message, "authentication module user_auth is disabled");
        let origins = (attempt.auth_config_origin.as_deref(), attempt.mfa_config_origin.as_deref());
        assert_eq!(origins, (Some("system"), Some("system")));
        put(&engine, &own(), json!({"enabled": true})).await;
        assert!(matches!(engine.begin(login(&below(&bob))).await.unwrap(), Begin::Challenge(_)));
        engine.settings_delete(&own(), None, &host()).await.unwrap();
        let begun = engine.begin(login(&below(&bob))).await.unwrap();
        assert_eq!(denied(&begun), Some(DeniedReason::ModuleDisabled));
        // Another module is another matter.
        let through = |module: &str| {
            let first = FirstFactor::verified_now(FirstFactorKind::Password, mfa::Channel::Direct, None);
            Login::new(below(&bob), first, Module::parse(module).unwrap())
        };
        assert!(matches!(engine.begin(through("api_auth")).await.unwrap(), Begin::Challenge(_)));
        assert!(matches!(engine.begin(through("other_auth")).await.unwrap(), Begin::Challenge(_)));
    }

    async fn s23_a_module_that_was_disabled_meanwhile_ends_what_is_open(world) {
        let (bob, app) = world.enrol("bob").await;
        let (here, there) = (node(&world).await, node(&world).await);
        let challenge = begin(&here, &bob).await;
        put(&there, &Owner::Account(acme().into()), json!({"enabled": false})).await;
        let right = app.code_at(world.now());
        assert_eq!(reason(&here, &challenge.reference, &right).await, Some(Reason::ModuleDisabled));
        assert!(matches!(here.claim(&challenge.reference).await.unwrap(), Verify::Rejected(_)));
        // It can be given up, and nothing was spent.
        put(&there, &Owner::Account(acme().into()), json!({"enabled": true})).await;
        assert_eq!(reason(&here, &challenge.reference, &right).await, None);
        let another = begin(&here, &bob).await;
        put(&there, &Owner::Account(acme().into()), json!({"enabled": false})).await;
        assert!(matches!(here.cancel(&another.reference).await.unwrap(), Changed::Done(_)));
    }

    async fn s23_what_changes_while_an_answer_is_judged_is_held_against_it(world) {
        let (bob, app) = world.enrol("bob").await;
        let (store, raced) = raced(&world).await;
        let other = node(&world).await;
        let acme = Owner::Account(acme().into());
        put(&other, &acme, json!({"enabled": true})).await;
        let challenge = begin(&raced, &bob).await;
        let (elsewhere, owner) = (other.clone(), acme.clone());
        store.plan(Moment::Read("challenge"), async move {
            put(&elsewhere, &owner, json!({"enabled": false})).await;
        });
        let right = app.code_at(world.now());
        assert_eq!(reason(&raced, &challenge.reference, &right).await, Some(Reason::ModuleDisabled));
        assert!(store.is_done());
        assert!(world.events_of(Kind::AnswerAccepted).await.is_empty());
    }

    async fn s23_what_changes_while_a_login_is_let_in_without_a_method_is_held_against_it(world) {
        let eve = world.add("eve").await;
        let (store, raced) = raced(&world).await;
        let other = node(&world).await;
        let acme = Owner::Account(acme().into());
        put(&other, &acme, json!({"multi_factor": {"enabled": false}})).await;
        assert_eq!(not_required(&raced.begin(login(&eve)).await.unwrap()), Some(NotRequired::NoMethod));
        let (elsewhere, owner) = (other.clone(), acme.clone());
        store.plan(Moment::Read("settings"), async move {
            put(&elsewhere, &owner, json!({"multi_factor": {"enabled": true}})).await;
        });
        let begun = raced.begin(login(&eve)).await.unwrap();
        assert!(store.is_done());
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
    }

    async fn s12_who_has_a_method_is_asked_whatever_the_module_s_own_switch_says(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = node(&world).await;
        let acme = Owner::Account(acme().into());
        put(&engine, &acme, json!({"multi_factor": {"enabled": false}})).await;
        assert!(matches!(engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
        // Where it is on, nobody is let in without a method.
        let eve = world.add("eve").await;
        assert_eq!(not_required(&engine.begin(login(&eve)).await.unwrap()), Some(NotRequired::NoMethod));
        put(&engine, &acme, json!({"multi_factor": {"enabled": true}})).await;
        assert!(matches!(engine.begin(login(&eve)).await.unwrap(), Begin::EnrolmentRequired(_)));
    }

    async fn by_module_those_are_asked_whom_the_module_s_settings_reach(world) {
        let (bob, _app) = world.enrol("bob").await;
        let eve = world.add("eve").await;
        let engine = by(&world, Policy::kazoo()).await;
        assert_eq!(engine.dangers(), ["danger_test_doubles", "per_module"]);
        let without = engine.begin(login(&below(&bob))).await.unwrap();
        assert_eq!(not_required(&without), Some(NotRequired::ModuleDoesNotAsk));
        // A module that there are no settings for asks.
        let first = FirstFactor::verified_now(FirstFactorKind::Password, mfa::Channel::Direct, None);
        let other = Login::new(below(&eve), first, Module::parse("other_auth").unwrap());
        assert!(matches!(engine.begin(other).await.unwrap(), Begin::EnrolmentRequired(_)));
        // The owner of the configuration says whether accounts below are asked.
        for (includes, asked) in [(false, false), (true, true)] {
            let second = json!({"enabled": true, "account_id": "root", "include_subaccounts": includes});
            put(&engine, &of("root"), json!({"multi_factor": second})).await;
            let begun = engine.begin(login(&below(&bob))).await.unwrap();
            assert_eq!(matches!(begun, Begin::Challenge(_)), asked, "{includes}");
            let begun = engine.begin(login(&below(&eve))).await.unwrap();
            assert_eq!(matches!(begun, Begin::EnrolmentRequired(_)), asked, "{includes}");
        }
        // What is enforced is asked for whatever the module says.
        put(&engine, &own(), json!({"multi_factor": {"enabled": false}})).await;
        let begun = engine.begin(login(&below(&bob))).await.unwrap();
        assert_eq!(not_required(&begun), Some(NotRequired::ModuleDoesNotAsk));
        policy(&engine, &of("root"), json!({"enforced": true, "enforce": ["enforced"]})).await;
        policy(&engine, &own(), json!({"enforced": false})).await;
        assert!(matches!(engine.begin(login(&below(&bob))).await.unwrap(), Begin::Challenge(_)));
        assert!(matches!(engine.begin(login(&below(&eve))).await.unwrap(), Begin::EnrolmentRequired(_)));
    }

    async fn s37_the_host_s_decision_lifts_nothing_that_is_enforced(world) {
        let (bob, app) = world.enrol("bob").await;
        let eve = world.add("eve").await;
        let allow = |subject: &Subject| login(subject).with_decision(RiskDecision::Allow);
        // Where the policy does not leave it to the host it decides nothing.
        let engine = node(&world).await;
        assert!(matches!(engine.begin(allow(&bob)).await.unwrap(), Begin::Challenge(_)));
        let offers = json!({"offered": ["totp"], "trigger": "on_decision"});
        let engine = by(&world, Policy::recommended().with_document(&offers).unwrap()).await;
        assert_eq!(not_required(&engine.begin(allow(&bob)).await.unwrap()), Some(NotRequired::NotChallenged));
        assert!(matches!(engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
        assert_eq!(not_required(&engine.begin(allow(&eve)).await.unwrap()), Some(NotRequired::NoMethod));
        policy(&engine, &Owner::System, json!({"enforced": true})).await;
        assert!(matches!(engine.begin(allow(&bob)).await.unwrap(), Begin::Challenge(_)));
        assert!(matches!(engine.begin(allow(&eve)).await.unwrap(), Begin::EnrolmentRequired(_)));
        // Nor does it lift a lock, or prove a change.
        engine.policy_delete(&Owner::System, None, &host()).await.unwrap();
        let step_up = engine.step_up_begin(allow(&bob), &mfa::Intent::disable(&bob)).await.unwrap();
        assert!(matches!(step_up, Begin::Challenge(_)));
        let challenge = begin(&engine, &bob).await;
        for _ in 0..5 {
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&engine, &challenge.reference, &wrong).await, Some(Reason::WrongCode));
        }
        assert_eq!(denied(&engine.begin(allow(&bob)).await.unwrap()), Some(DeniedReason::Locked));
    }

    async fn a_policy_that_begins_later_lets_in_until_then_and_says_so(world) {
        let eve = world.add("eve").await;
        let engine = node(&world).await;
        let day = world.now().unix_seconds() + 3600;
        policy(&engine, &Owner::System, json!({"enforced": true, "enforced_from": day})).await;
        assert_eq!(not_required(&engine.begin(login(&eve)).await.unwrap()), Some(NotRequired::Grace));
        // A first method takes no less than it will.
        let first = FirstFactor::verified_now(FirstFactorKind::Password, mfa::Channel::Direct, None);
        let first = mfa::Authority::FirstFactor(first);
        let refused = engine.enrol_begin(&acme(), eve.user(), &totp(), &mfa::Choice::none(), &first).await;
        assert_eq!(refused.unwrap_err().code(), "policy_forbids");
        world.clock.advance(std::time::Duration::from_secs(3600));
        assert!(matches!(engine.begin(login(&eve)).await.unwrap(), Begin::EnrolmentRequired(_)));
    }

    async fn s07_an_account_makes_nothing_weaker_than_the_system_enforces(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = node(&world).await;
        policy(&engine, &Owner::System, json!({"attempts": 2, "enforce": ["attempts"]})).await;
        policy(&engine, &own(), json!({"attempts": 10})).await;
        let challenge = begin(&engine, &below(&bob)).await;
        for _ in 0..2 {
            let wrong = app.wrong_code_at(world.now(), 3);
            assert_eq!(reason(&engine, &challenge.reference, &wrong).await, Some(Reason::WrongCode));
        }
        let right = app.code_at(world.now());
        assert_eq!(reason(&engine, &challenge.reference, &right).await, Some(Reason::Exhausted));
        let held = engine.policy_resolve(&lineage()).await.unwrap();
        assert_eq!((held.policy.attempts(), &held.origins["attempts"]), (2, &Origin::System));
    }

    async fn s07_a_later_day_below_takes_nothing_from_what_is_enforced_above(world) {
        let (bob, _app) = world.enrol("bob").await;
        let eve = world.add("eve").await;
        for system in [Policy::recommended(), Policy::kazoo()] {
            let engine = by(&world, system).await;
            policy(&engine, &of("root"), json!({"enforced": true, "enforce": ["enforced"]})).await;
            policy(&engine, &own(), json!({"enforced_from": 253_402_300_799_u64})).await;
            put(&engine, &own(), json!({"multi_factor": {"enabled": false}})).await;
            assert!(matches!(engine.begin(login(&below(&bob))).await.unwrap(), Begin::Challenge(_)));
            assert!(matches!(engine.begin(login(&below(&eve))).await.unwrap(), Begin::EnrolmentRequired(_)));
            // The one who enforces it says from when on, and nobody below puts that off.
            let later = world.now().unix_seconds() + 3600;
            let document = json!({"enforced": true, "enforced_from": later, "enforce": ["enforced"]});
            policy(&engine, &of("root"), document).await;
            let held = engine.policy_resolve(&lineage()).await.unwrap();
            assert_eq!(held.policy.enforced_from(), later);
            engine.policy_delete(&of("root"), None, &host()).await.unwrap();
        }
    }

    async fn s07_what_is_enforced_reaches_beyond_a_reseller_and_what_is_set_does_not(world) {
        let engine = node(&world).await;
        let both = json!({"attempts": 2, "recovery_low": 9, "enforce": ["attempts"]});
        policy(&engine, &of("root"), both).await;
        put(&engine, &of("root"), json!({"token_auth_expiry_s": 60})).await;
        let mut accounts = lineage().lineage().to_vec();
        accounts[1] = accounts[1].clone().with_marks(true, false);
        let below = Account::new(acme()).with_lineage(accounts).unwrap();
        let held = engine.policy_resolve(&below).await.unwrap();
        assert_eq!((held.policy.attempts(), held.policy.recovery_low()), (2, 3));
        let found = engine.settings_resolve(&below, &user_auth()).await.unwrap();
        assert_eq!(found.token_auth_expiry_s.value, 3600);
    }

    async fn s08_a_first_method_takes_more_than_a_password_where_any_module_asks_for_one(world) {
        let eve = world.add("eve").await;
        let engine = node(&world).await;
        let enrol = async || {
            let first = FirstFactor::verified_now(FirstFactorKind::Password, mfa::Channel::Direct, None);
            let first = mfa::Authority::FirstFactor(first);
            let begun = engine.enrol_begin(&acme(), eve.user(), &totp(), &mfa::Choice::none(), &first).await;
            begun.err().map(|error| error.code())
        };
        assert_eq!(enrol().await, None);
        put(&engine, &Owner::Account(acme().into()), json!({"multi_factor": {"enabled": true}})).await;
        assert_eq!(enrol().await, Some("policy_forbids"));
    }

    async fn s23_the_first_document_of_an_account_is_held_against_an_answer_like_any_other(world) {
        let (bob, app) = world.enrol("bob").await;
        let store = Arc::new(between(&world.store));
        let clock = Arc::new(world.clock.clone());
        let raced = Engine::builder(store.clone(), world.directory.clone(), mfa_tests::ring(), clock);
        let entropy = Arc::new(mfa_testkit::entropy::SeededEntropy::new(0x5f));
        let raced = raced.entropy(entropy).provider(mfa::totp::Totp::new("Acme").unwrap()).modules(modules());
        let raced = raced.danger_test_doubles().build().await.unwrap();
        let other = node(&world).await;
        let challenge = begin(&raced, &bob).await;
        store.plan(Moment::Read("challenge"), async move {
            put(&other, &Owner::Account(acme().into()), json!({"enabled": false})).await;
        });
        let right = app.code_at(world.now());
        assert_eq!(reason(&raced, &challenge.reference, &right).await, Some(Reason::ModuleDisabled));
        assert!(store.is_done());
    }

    async fn a_link_is_judged_by_what_the_accounts_above_have_set(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap();
        let engine = Mailed::node(&world, &inbox, email, links()).policy(Policy::recommended());
        let mailed = Mailed { engine: engine.modules(modules()).build().await.unwrap(), inbox };
        policy(&mailed.engine, &of("root"), json!({"offered": ["email"]})).await;
        let bob = below(&mailed.add(&world, "bob").await);
        world.directory.put(&bob).await.unwrap();
        mailed.enrol(&world, &bob, "email").await;
        let Begin::Challenge(challenge) = mailed.engine.begin(login(&bob)).await.unwrap() else { panic!() };
        let token = mailed.link();
        let mfa::LinkOpen::Valid(view) = mailed.engine.link_open(&token, &mfa::RequestFacts::new()).await.unwrap() else { panic!() };
        let proof = mfa::LinkProof::SameBrowser(challenge.reference.clone());
        let confirmed = mailed.engine.link_confirm(&token, &view.nonce, &proof, &mfa::RequestFacts::new()).await.unwrap();
        assert!(matches!(confirmed, mfa::LinkConfirm::Confirmed(_)), "{confirmed:?}");
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn what_a_document_says_that_settings_do_not_know_pushes_nothing_out_of_its_event(world) {
        let engine = node(&world).await;
        let junk = "a".repeat(600);
        let fields = json!({ junk.as_str(): 1, "enabled": false, "multi_factor": {"enabled": false} });
        put(&engine, &Owner::Account(acme().into()), fields).await;
        let events = world.events_of(Kind::SettingsChanged).await;
        let module = "auth_modules.user_auth";
        let paths = format!("{module}.enabled {module}.multi_factor.enabled +1");
        assert_eq!(events[0].field("paths"), Some(&*paths));
    }

    async fn no_change_hides_behind_others_of_the_same_document(world) {
        let names: Vec<_> = (0..12).map(|n| format!("module_{n:02}")).collect();
        let modules = names.iter().fold(Modules::new(), |all, name| all.with(Module::parse(name).unwrap()));
        let engine = world.node().modules(modules).build().await.unwrap();
        let acme = Owner::Account(acme().into());
        let all = |fields: Value| {
            let of_each = names.iter().map(|name| (name.clone(), fields.clone())).collect();
            json!({ "auth_modules": Value::Object(of_each) })
        };
        engine.settings_put(&acme, &all(json!({"multi_factor": {"enabled": true}})), None, &host()).await.unwrap();
        world.clock.advance(std::time::Duration::from_secs(1));
        let quiet = json!({"enabled": true, "log_failed_attempts": false, "log_successful_attempts": false});
        let mut patch = all(quiet);
        patch["auth_modules"]["module_11"] = json!({"multi_factor": {"enabled": false}});
        engine.settings_patch(&acme, &patch, None, &host()).await.unwrap();
        let told = world.events_of(Kind::SettingsChanged).await.remove(1).field("paths").unwrap().to_owned();
        let paths: Vec<_> = told.split(' ').collect();
        assert!(paths.contains(&"auth_modules.module_11.multi_factor.enabled"), "{told}");
        // Whole paths, and how many more there are.
        let (more, whole) = paths.split_last().unwrap();
        assert_eq!(whole.len() + more.strip_prefix('+').unwrap().parse::<usize>().unwrap(), 34, "{told}");
        assert!(whole.iter().all(|path| path.starts_with("auth_modules.module_")), "{told}");
    }

    async fn what_an_account_does_not_offer_is_neither_set_up_nor_asked_for_nor_accepted(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = node(&world).await;
        let challenge = begin(&engine, &bob).await;
        policy(&engine, &Owner::Account(acme().into()), json!({"offered": []})).await;
        let right = app.code_at(world.now());
        assert_eq!(reason(&engine, &challenge.reference, &right).await, Some(Reason::Unavailable));
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert_eq!(denied(&begun), Some(DeniedReason::Unavailable));
        let refused = engine.enrol_begin(&acme(), bob.user(), &totp(), &mfa::Choice::none(), &host()).await;
        assert_eq!(refused.unwrap_err().code(), "method_not_offered");
    }

    async fn s23_a_set_up_is_confirmed_by_what_holds_then(world) {
        let bob = world.add("bob").await;
        let engine = node(&world).await;
        let begun = engine.enrol_begin(&acme(), bob.user(), &totp(), &mfa::Choice::none(), &host()).await;
        let started = begun.unwrap();
        let uri = started.revealed.get("uri").unwrap().expose_secret().to_owned();
        let app = mfa_testkit::authenticator::SoftAuthenticator::scan(&uri).unwrap();
        policy(&engine, &Owner::Account(acme().into()), json!({"offered": []})).await;
        let code = Response::code(&app.code_at(world.now()));
        let confirmed = engine.enrol_confirm(&started.reference, &code).await.unwrap();
        assert!(matches!(confirmed, mfa::EnrolConfirm::Rejected(r) if r.reason == Reason::Unavailable));
    }

    async fn s05_a_document_that_cannot_be_trusted_is_an_error_and_not_its_absence(world) {
        let (bob, app) = world.enrol("bob").await;
        let engine = node(&world).await;
        let challenge = begin(&engine, &bob).await;
        for kind in ["settings", "policy"] {
            put(&engine, &Owner::Account(acme().into()), json!({"enabled": true})).await;
            policy(&engine, &Owner::Account(acme().into()), json!({"attempts": 3})).await;
            let key = mfa::Key::new(Scope::Account(acme()), mfa::RecordKind::new(kind), &b"document"[..]);
            let mut found = world.store.get(&[key], world.now()).await.unwrap();
            let kept = found.remove(0).unwrap();
            let mut forged = kept.clone();
            let at = forged.body.len() / 2;
            forged.body[at] ^= 1;
            mfa_tests::attack::overwrite(&world, &forged).await;
            // Its version is new, so that nobody uses what was read before.
            let fresh = node(&world).await;
            for engine in [&engine, &fresh] {
                assert_eq!(engine.begin(login(&bob)).await.unwrap_err().code(), "unavailable");
                let right = Response::code(&app.code_at(world.now()));
                assert_eq!(engine.verify(&challenge.reference, right).await.unwrap_err().code(), "unavailable");
                assert_eq!(engine.settings_resolve(&acme().into(), &user_auth()).await.unwrap_err().code(), "unavailable");
            }
            let told = world.events_of(Kind::RecordRefused).await;
            assert!(told.iter().any(|event| event.field("record") == Some(kind)), "{kind}");
            // It can be written anew, but not be changed or kept.
            let acme = Owner::Account(acme().into());
            if kind == "settings" {
                let changed = engine.settings_patch(&acme, &json!({}), None, &host()).await;
                assert_eq!(changed.unwrap_err().code(), "unavailable");
                engine.settings_put(&acme, &json!({}), None, &host()).await.unwrap();
            } else {
                let changed = engine.policy_patch(&acme, &json!({}), None, &host()).await;
                assert_eq!(changed.unwrap_err().code(), "unavailable");
                engine.policy_delete(&acme, None, &host()).await.unwrap();
            }
        }
        assert!(matches!(engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn a_document_that_only_a_newer_program_knows_is_no_mistake_of_who_reads_it(world) {
        let engine = node(&world).await;
        policy(&engine, &Owner::Account(acme().into()), json!({"attempts": 3})).await;
        let key = mfa::Key::new(Scope::Account(acme()), mfa::RecordKind::new("policy"), &b"document"[..]);
        let kept = world.store.get(&[key], world.now()).await.unwrap().remove(0).unwrap();
        let mut payload = mfa_tests::attack::payload(&kept);
        let at = payload.windows(8).position(|part| part == b"attempts").unwrap();
        payload[at..at + 8].copy_from_slice(b"tomorrow");
        mfa_tests::attack::overwrite(&world, &mfa_tests::attack::forged(&kept, &payload)).await;
        let error = engine.policy_document(&Scope::Account(acme())).await.unwrap_err();
        assert_eq!((error.code(), mfa::http_status(&error).status.as_u16()), ("unavailable", 503));
    }
}
