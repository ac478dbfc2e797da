//! S12: which logins an exemption is for, who grants and ends one, and what is left when it has ended.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::{AttemptsQuery, CursorKey, Kind, Outcome};
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Channel, Engine, Error, Exemption, ExemptionId,
    ExemptionState, ExemptionTerms, ExplainedOutcome, FirstFactor, FirstFactorKind, Intent, KeyId, Login,
    Module, Network, NotRequired, Policy, RequestFacts, Subject, Timestamp, Verify,
};
use mfa_tests::attack::{overwrite, user_record};
use mfa_tests::between::{Moment, between};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_ranked, exempting, exemption, first_factor, in_session_of, prove_on};
use mfa_tests::told::{has_a_place_twice, streams_are_whole, wrong_code};
use mfa_tests::{World, acme, host, login, on_stores, session, subject};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

fn module(name: &str) -> Module {
    Module::parse(name).unwrap()
}

/// A login by a first factor of this kind, through this module.
fn by(whom: &Subject, kind: FirstFactorKind, name: &str) -> Login {
    let first = FirstFactor::verified_now(kind, Channel::Direct, Some(&session(whom)));
    Login::new(whom.clone(), first, module(name))
}

/// A login by API key through the module that [`exemption`] names.
fn by_key(whom: &Subject) -> Login {
    by(whom, FirstFactorKind::ApiKey, "api_auth")
}

fn from(login: Login, ip: &str) -> Login {
    login.with_request(RequestFacts::new().with_ip(ip.parse().unwrap()))
}

fn terms(kind: FirstFactorKind, name: &str, until: Timestamp) -> ExemptionTerms {
    ExemptionTerms::new(module(name), kind, "the nightly export", until).unwrap()
}

fn networks(of: &[&str]) -> Vec<Network> {
    of.iter().map(|text| text.parse().unwrap()).collect()
}

async fn exempting_node(world: &World) -> Engine {
    world.node().policy(exempting()).build().await.unwrap()
}

async fn grant(engine: &Engine, whom: &Subject, terms: &ExemptionTerms) -> Exemption {
    engine.exemption_grant(whom.account(), whom.user(), terms, &host()).await.unwrap()
}

async fn end(engine: &Engine, whom: &Subject, id: ExemptionId, by: &Authority) -> &'static str {
    told(engine.exemption_end(whom.account(), whom.user(), id, by).await)
}

async fn asks_for(engine: &Engine, whom: &Subject, terms: &ExemptionTerms, by: &Authority) -> &'static str {
    told(engine.exemption_grant(whom.account(), whom.user(), terms, by).await)
}

fn told<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "done")
}

/// What a login is answered, in a word.
async fn answer(engine: &Engine, login: Login) -> &'static str {
    match engine.begin(login).await.unwrap() {
        Begin::Challenge(_) => "challenge",
        Begin::NotRequired(why) => why.code(),
        Begin::EnrolmentRequired(_) => "enrolment_required",
        Begin::Denied(denied) => denied.reason.code(),
        other => panic!("{other:?}"),
    }
}

/// How many attempts the view of the account shows that say the user was exempt.
async fn exempt_attempts(world: &World) -> usize {
    let key = CursorKey::from_bytes([7; 32]);
    let query = AttemptsQuery::new(acme()).outcome(Outcome::Success);
    let page = query.read(&*world.store, world.now(), &key, 1000).await.unwrap();
    let says = |event: &&audit_model::Event| event.attempt().is_some_and(|a| a.message.ends_with("exempt"));
    page.events.iter().filter(says).count()
}

/// What a user has, besides the first factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Has {
    Nothing,
    Exemption,
    Expired,
    OfAnotherModule,
    OfAnotherKind,
    OfAnotherNetwork,
    OfAnotherGeneration,
    OfAnotherUser,
    Ended,
}

const HAS: [Has; 9] = [
    Has::Nothing,
    Has::Exemption,
    Has::Expired,
    Has::OfAnotherModule,
    Has::OfAnotherKind,
    Has::OfAnotherNetwork,
    Has::OfAnotherGeneration,
    Has::OfAnotherUser,
    Has::Ended,
];

fn the_other(kind: FirstFactorKind) -> FirstFactorKind {
    if kind == FirstFactorKind::ApiKey { FirstFactorKind::MutualTls } else { FirstFactorKind::ApiKey }
}

/// Gives the user what they have, with [`exemption`]'s module and an office's network.
async fn give(engine: &Engine, world: &World, whom: &Subject, has: Has, kind: FirstFactorKind) {
    let month = world.now().plus(30 * DAY);
    let office =
        |terms: ExemptionTerms| terms.from_networks(networks(&["192.0.2.0/24", "2001:db8::/32"])).unwrap();
    let usual = office(terms(kind, "api_auth", month));
    match has {
        Has::Nothing => {}
        Has::Exemption => drop(grant(engine, whom, &usual).await),
        Has::Expired => {
            let hour = Duration::from_secs(3600);
            grant(engine, whom, &office(terms(kind, "api_auth", world.now().plus(hour)))).await;
            world.clock.advance(hour);
        }
        Has::OfAnotherModule => drop(grant(engine, whom, &office(terms(kind, "portal", month))).await),
        Has::OfAnotherKind => {
            grant(engine, whom, &office(terms(the_other(kind), "api_auth", month))).await;
        }
        Has::OfAnotherNetwork => {
            let elsewhere =
                terms(kind, "api_auth", month).from_networks(networks(&["198.51.100.0/24"])).unwrap();
            grant(engine, whom, &elsewhere).await;
        }
        Has::OfAnotherGeneration => {
            let former = whom.clone().with_generation("the one before").unwrap();
            world.directory.put(&former).await.unwrap();
            grant(engine, &former, &usual).await;
            world.directory.put(whom).await.unwrap();
        }
        Has::OfAnotherUser => {
            let other = world.add(&format!("{}-2", whom.user())).await;
            grant(engine, &other, &usual).await;
        }
        Has::Ended => {
            let granted = grant(engine, whom, &usual).await;
            assert_eq!(end(engine, whom, granted.id, &host()).await, "done");
        }
    }
}

/// Every module by every kind of first factor for whoever has or has not a method and an exemption, from in and out of the
/// network: an exemption changes the one cell that it is for.
#[test]
fn s12_a_login_is_exempt_as_the_table_says() {
    futures::executor::block_on(async {
        let world = World::memory().await;
        let policy = |enforced: bool| exempting().with_document(&json!({ "enforced": enforced })).unwrap();
        let asks = world.node().policy(policy(true)).build().await.unwrap();
        let asks_not = world.node().policy(policy(false)).build().await.unwrap();
        let none = policy(true).with_document(&json!({ "exemptions": false })).unwrap();
        let without = world.node().policy(none).build().await.unwrap();
        for (n, has) in HAS.into_iter().enumerate() {
            for of in [FirstFactorKind::ApiKey, FirstFactorKind::MutualTls] {
                for enrolled in [false, true] {
                    let name = format!("program-{n}-{}-{enrolled}", of.code());
                    let whom = world.add(&name).await;
                    if enrolled {
                        world.enrol_again(&whom).await;
                    }
                    give(&asks, &world, &whom, has, of).await;
                    for kind in FirstFactorKind::ALL {
                        for through in ["user_auth", "api_auth", "portal"] {
                            for ip in [
                                None,
                                Some("192.0.2.7"),
                                Some("2001:db8::7"),
                                Some("203.0.113.1"),
                                Some("2001:db9::7"),
                            ] {
                                let login = by(&whom, kind, through);
                                let login = ip.into_iter().fold(login, from);
                                let why = format!("{has:?} of {of:?}, {enrolled}, {kind:?} {through} {ip:?}");
                                let at_the_office = matches!(ip, Some("192.0.2.7" | "2001:db8::7"));
                                // Of another module or kind it is an exemption still: for that one.
                                let cell = match has {
                                    Has::Exemption => Some((of, "api_auth")),
                                    Has::OfAnotherModule => Some((of, "portal")),
                                    Has::OfAnotherKind => Some((the_other(of), "api_auth")),
                                    _ => None,
                                };
                                let exempt = cell == Some((kind, through)) && at_the_office;
                                let otherwise = |enforced| match (enrolled, enforced) {
                                    (true, _) => "challenge",
                                    (false, true) => "enrolment_required",
                                    (false, false) => "no_method",
                                };
                                let expected =
                                    |enforced| if exempt { "exempted" } else { otherwise(enforced) };
                                // Not every cell begins a challenge: there are 64 places for them.
                                let explained = |engine: &Engine| {
                                    let (engine, login) = (engine.clone(), login.clone());
                                    async move { engine.explain(&login).await.unwrap().outcome }
                                };
                                for (engine, expected) in [
                                    (&asks, expected(true)),
                                    (&asks_not, expected(false)),
                                    (&without, otherwise(true)),
                                ] {
                                    let said = match explained(engine).await {
                                        ExplainedOutcome::NotRequired(why) => why.code(),
                                        other => other.code(),
                                    };
                                    assert_eq!(said, expected, "{why}");
                                }
                                if exempt || (!enrolled && kind == of) {
                                    assert_eq!(answer(&asks, login.clone()).await, expected(true), "{why}");
                                    assert_eq!(answer(&without, login).await, otherwise(true), "{why}");
                                }
                            }
                        }
                    }
                }
            }
        }
    });
}

on_stores! {
    async fn s12_each_exempt_login_is_an_event_that_names_it_and_no_proof_of_anything(world) {
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        let granted = grant(&engine, &bob, &exemption()).await;
        for times in 1..=2 {
            let begun = engine.begin(from(by_key(&bob), "192.0.2.7")).await.unwrap();
            assert!(matches!(begun, Begin::NotRequired(NotRequired::Exempted(id)) if id == granted.id), "{begun:?}");
            assert_eq!(exempt_attempts(&world).await, times);
        }
        let events = world.events_of(Kind::LoginNotRequired).await;
        assert_eq!(events.len(), 2);
        for event in events {
            assert_eq!(event.field("exemption"), Some(&*granted.id.to_string()));
            assert_eq!((event.field("first_factor"), event.reason()), (Some("api_key"), Some("exempted")));
            assert_eq!((event.module(), event.ip().map(|ip| ip.to_string()).as_deref()), (Some("api_auth"), Some("192.0.2.7")));
        }
        // Neither a password nor a change meets it.
        assert_eq!(answer(&engine, by(&bob, FirstFactorKind::Password, "api_auth")).await, "challenge");
        let proves = engine.step_up_begin(by_key(&bob), &Intent::disable(&bob)).await.unwrap();
        assert!(matches!(proves, Begin::Challenge(_)), "{proves:?}");
        // Which rule it was, and where it came from.
        let explained = engine.explain(&by_key(&bob)).await.unwrap();
        assert!(explained.rules.iter().any(|rule| rule.name == "exemption" && rule.value == granted.id.to_string()));
    }

    async fn s12_a_login_that_can_meet_no_exemption_reads_none(world) {
        let between = Arc::new(between(&world.store));
        let engine = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let (bob, _app) = world.enrol("bob").await;
        between.plan(Moment::Read("exemptions"), async {});
        for kind in [FirstFactorKind::Password, FirstFactorKind::Sso, FirstFactorKind::EmailLink] {
            assert_eq!(answer(&engine, by(&bob, kind, "api_auth")).await, "challenge");
        }
        assert!(!between.is_done());
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
        assert!(between.is_done());
    }

    async fn s12_nobody_exempts_themselves(world) {
        let engine = exempting_node(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 9).await;
        let intent = Intent::grant_exemption(&ann, &exemption());
        let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
        assert_eq!(asks_for(&engine, &ann, &exemption(), &in_session_of(&ann, &proof)).await, "not_permitted");
        assert_eq!(asks_for(&engine, &ann, &exemption(), &first_factor(&ann)).await, "step_up_required");
        let refused = world.events_of(Kind::ChangeRefused).await;
        let said: Vec<_> = refused.iter().map(|event| (event.field("operation"), event.reason())).collect();
        assert_eq!(said, [(Some("grant_exemption"), Some("not_permitted")), (Some("grant_exemption"), Some("step_up_required"))]);
        assert!(engine.exemptions(&acme()).await.unwrap().is_empty());
        // Nor does whoever is exempt say when it is over.
        let granted = grant(&engine, &ann, &exemption()).await;
        let intent = Intent::end_exemption(&ann, granted.id);
        let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
        assert_eq!(end(&engine, &ann, granted.id, &in_session_of(&ann, &proof)).await, "not_permitted");
        assert_eq!(answer(&engine, by_key(&ann)).await, "exempted");
    }

    async fn s12_an_administrator_exempts_and_ends_by_a_proof_for_that_very_exemption(world) {
        let engine = exempting_node(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 2).await;
        let bob = world.add("bob").await;
        let wanted = exemption().from_networks(networks(&["192.0.2.0/24"])).unwrap();
        let proof = prove_on(&engine, &world, login(&ann), &app, &Intent::grant_exemption(&bob, &wanted)).await;
        let by_ann = Authority::proof_because(proof, Some(&session(&ann)), "a ticket");
        let (until, key) = (wanted.until(), FirstFactorKind::ApiKey);
        let in_office = |terms: ExemptionTerms| terms.from_networks(networks(&["192.0.2.0/24"])).unwrap();
        let others = [
            in_office(terms(key, "api_auth", until.plus(Duration::from_millis(1)))),
            in_office(terms(key, "portal", until)),
            in_office(terms(FirstFactorKind::MutualTls, "api_auth", until)),
            in_office(ExemptionTerms::new(module("api_auth"), key, "the nightly exports", until).unwrap()),
            wanted.clone().from_networks(networks(&["192.0.2.0/23"])).unwrap(),
            wanted.clone().from_networks(networks(&["192.0.2.0/24", "192.0.3.0/24"])).unwrap(),
            exemption(),
        ];
        for other in &others {
            assert_eq!(asks_for(&engine, &bob, other, &by_ann).await, "step_up_required", "{other:?}");
        }
        let carl = world.add("carl").await;
        assert_eq!(asks_for(&engine, &carl, &wanted, &by_ann).await, "step_up_required");
        let (account, user) = (bob.account(), bob.user());
        let granted = engine.exemption_grant(account, user, &wanted, &by_ann).await.unwrap();
        assert_eq!(asks_for(&engine, &bob, &wanted, &by_ann).await, "step_up_required", "a proof is good once");
        assert_eq!((&*granted.granted_by, granted.state), ("ann", ExemptionState::Live));
        let event = world.events_of(Kind::ExemptionGranted).await.pop().unwrap();
        assert_eq!((event.actor(), event.reason(), event.field("why")), (Some("ann"), Some("a ticket"), Some("the nightly export")));
        assert_eq!((event.field("networks"), event.module()), (Some("192.0.2.0/24"), Some("api_auth")));
        assert_eq!(event.field("exemption"), Some(&*granted.id.to_string()));
        // Another one of bob's is not what the proof is for.
        let second = grant(&engine, &bob, &exemption()).await;
        let proof = prove_on(&engine, &world, login(&ann), &app, &Intent::end_exemption(&bob, second.id)).await;
        let by_ann = in_session_of(&ann, &proof);
        assert_eq!(end(&engine, &bob, granted.id, &by_ann).await, "step_up_required");
        assert_eq!(end(&engine, &bob, second.id, &by_ann).await, "done");
        let event = world.events_of(Kind::ExemptionEnded).await.pop().unwrap();
        assert_eq!((event.actor(), event.field("exemption")), (Some("ann"), Some(&*second.id.to_string())));
        assert_eq!(answer(&engine, from(by_key(&bob), "192.0.2.7")).await, "exempted");
        // Of no rank, and of none as high as his.
        let (eve, eves_app) = world.enrol("eve").await;
        let chief = subject("chief").with_rank(3);
        world.directory.put(&chief).await.unwrap();
        for (who, app, whom) in [(&eve, &eves_app, &bob), (&ann, &app, &chief)] {
            let intent = Intent::grant_exemption(whom, &exemption());
            let proof = prove_on(&engine, &world, login(who), app, &intent).await;
            assert_eq!(asks_for(&engine, whom, &exemption(), &in_session_of(who, &proof)).await, "not_permitted");
        }
    }

    async fn s12_an_exemption_ends_with_its_time_its_user_a_reset_and_a_restored_backup(world) {
        let engine = exempting_node(&world).await;
        for ending in ["time", "end", "reset", "forget", "restore", "generation", "revoke", "lock", "key"] {
            let (bob, app) = world.enrol(&format!("bob-{ending}")).await;
            let until = world.now().plus(DAY);
            let granted = grant(&engine, &bob, &terms(FirstFactorKind::ApiKey, "api_auth", until)).await;
            assert_eq!(answer(&engine, by_key(&bob)).await, "exempted", "{ending}");
            let (account, user) = (bob.account(), bob.user());
            let mut now = bob.clone();
            let expected = match ending {
                "time" => {
                    world.clock.advance(until.since(world.now()) - Duration::from_millis(1));
                    assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
                    world.clock.advance(Duration::from_millis(1));
                    "challenge"
                }
                "end" => {
                    assert_eq!(end(&engine, &bob, granted.id, &host()).await, "done");
                    assert_eq!(end(&engine, &bob, granted.id, &host()).await, "unknown_exemption");
                    "challenge"
                }
                "reset" => {
                    engine.user_reset(account, user, &host()).await.unwrap();
                    let event = world.events_of(Kind::UserReset).await.pop().unwrap();
                    assert_eq!(event.field("exemptions"), Some(&*granted.id.to_string()));
                    "no_method"
                }
                "forget" => {
                    engine.forget_user(account, user, &host()).await.unwrap();
                    "no_method"
                }
                "restore" => {
                    engine.restore_barrier("ops", "a backup").await.unwrap();
                    let ended = world.events_of(Kind::ExemptionEnded).await;
                    assert!(ended.iter().any(|e| e.field("exemption") == Some(&*granted.id.to_string()) && e.reason() == Some("backup_restored")));
                    "challenge"
                }
                "generation" => {
                    now = bob.clone().with_generation("the next one").unwrap();
                    world.directory.put(&now).await.unwrap();
                    "generation"
                }
                // What ends logins that are begun, or refuses answers, ends no exemption.
                "revoke" => {
                    engine.revoke(account, user, &host()).await.unwrap();
                    "exempted"
                }
                "lock" => {
                    for _ in 0..5 {
                        let wrong = wrong_code(&app, world.now());
                        let _ = world.answer(&world.begin(&bob).await, &wrong).await;
                    }
                    assert_eq!(answer(&engine, login(&bob)).await, "locked");
                    "exempted"
                }
                _ => {
                    let account = Account::new(acme());
                    engine.api_key_create(&account, &host()).await.unwrap();
                    engine.api_key_reset(&account, &host()).await.unwrap();
                    "exempted"
                }
            };
            assert_eq!(answer(&engine, by_key(&now)).await, expected, "{ending}");
            let report = engine.exemptions(&acme()).await.unwrap();
            let state = report.iter().find(|exemption| exemption.id == granted.id).map(|exemption| exemption.state.code());
            let shown = match ending {
                "time" => Some("expired"),
                "generation" => Some("of_another"),
                "revoke" | "lock" | "key" => Some("live"),
                _ => None,
            };
            assert_eq!(state, shown, "{ending}");
        }
    }

    async fn s12_once_an_exemption_has_ended_no_login_that_had_read_it_is_let_in(world) {
        let between = Arc::new(between(&world.store));
        let strict = exempting().with_document(&json!({ "enforced": true })).unwrap();
        let late = node_on(&world, between.clone()).policy(strict).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let mut uses = 0;
        let cells = ["end", "reset", "forget", "restore"].into_iter().flat_map(|ending| [(ending, false), (ending, true)]);
        for (ending, enrolled) in cells {
            // The first login of a day is noted in the record, those after it hold it alone.
            for used in [false, true] {
                let bob = world.add(&format!("bob-{ending}-{enrolled}-{used}")).await;
                if enrolled {
                    world.enrol_again(&bob).await;
                }
                let granted = grant(&engine, &bob, &exemption()).await;
                if used {
                    assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
                    uses += 1;
                }
                let (elsewhere, whom) = (engine.clone(), bob.clone());
                between.plan(Moment::Read("exemptions"), async move {
                    let (account, user) = (whom.account(), whom.user());
                    match ending {
                        "end" => assert_eq!(end(&elsewhere, &whom, granted.id, &host()).await, "done"),
                        "reset" => elsewhere.user_reset(account, user, &host()).await.unwrap(),
                        "forget" => elsewhere.forget_user(account, user, &host()).await.unwrap(),
                        _ => drop(elsewhere.restore_barrier("ops", "a backup").await.unwrap()),
                    }
                });
                let told = answer(&late, by_key(&bob)).await;
                assert!(between.is_done());
                let has_method = enrolled && ["end", "restore"].contains(&ending);
                assert_eq!(told, if has_method { "challenge" } else { "enrolment_required" }, "{ending}");
            }
        }
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), uses);
    }

    async fn s12_an_account_above_enforces_that_there_are_none(world) {
        let modules = Modules::new().with(module("api_auth"));
        let engine = world.node().modules(modules).build().await.unwrap();
        let lineage: Vec<_> = [acme(), AccountId::parse("root").unwrap()].map(Ancestor::new).to_vec();
        let bob = subject("bob").with_lineage(lineage.clone()).unwrap();
        world.directory.put(&bob).await.unwrap();
        let set = async |of: &Account, document: Value| {
            engine.policy_put(&Owner::Account(of.clone()), &document, None, &host()).await.unwrap();
        };
        let own = Account::new(acme()).with_lineage(lineage.clone()).unwrap();
        let root = Account::new(lineage[1].account.clone());
        assert_eq!(asks_for(&engine, &bob, &exemption(), &host()).await, "policy_forbids", "of its own there are none");
        set(&own, json!({"exemptions": true, "enforced": true})).await;
        assert_eq!(asks_for(&engine, &bob, &exemption(), &host()).await, "done");
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        set(&root, json!({"exemptions": false, "enforce": ["exemptions"]})).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "enrolment_required");
        assert_eq!(asks_for(&engine, &bob, &exemption(), &host()).await, "policy_forbids");
        let explained = engine.explain(&by_key(&bob)).await.unwrap();
        let rule = explained.rules.iter().find(|rule| rule.name == "exemptions").unwrap();
        assert_eq!((&*rule.value, &*rule.origin), ("false", "root"));
        // A module that nobody may log in through lets nobody in.
        set(&root, json!({})).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        let off = json!({"auth_modules": {"api_auth": {"enabled": false}}});
        engine.settings_put(&Owner::Account(own), &off, None, &host()).await.unwrap();
        assert_eq!(answer(&engine, by_key(&bob)).await, "module_disabled");
    }

    async fn s07_who_enforces_a_method_says_whether_programs_below_may_be_exempt(world) {
        let modules = Modules::new().with(module("api_auth"));
        let engine = world.node().modules(modules).build().await.unwrap();
        let lineage: Vec<_> = [acme(), AccountId::parse("root").unwrap()].map(Ancestor::new).to_vec();
        let bob = subject("bob").with_lineage(lineage.clone()).unwrap();
        world.directory.put(&bob).await.unwrap();
        let set = async |of: &Account, document: Value| {
            engine.policy_put(&Owner::Account(of.clone()), &document, None, &host()).await.unwrap();
        };
        let own = Account::new(acme()).with_lineage(lineage.clone()).unwrap();
        let root = Account::new(lineage[1].account.clone());
        set(&own, json!({"exemptions": true})).await;
        assert_eq!(asks_for(&engine, &bob, &exemption(), &host()).await, "done");
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        // It does not name exemptions, and has none itself.
        set(&root, json!({"enforced": true, "enforce": ["enforced"]})).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "enrolment_required");
        assert_eq!(asks_for(&engine, &bob, &exemption(), &host()).await, "policy_forbids");
        set(&root, json!({"enforced": true, "exemptions": true, "enforce": ["enforced"]})).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
    }

    async fn s12_one_that_is_granted_while_a_reset_goes_on_is_ended_by_it(world) {
        let between = Arc::new(between(&world.store));
        let late = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        for before in [false, true] {
            let bob = world.add(&format!("bob-{before}")).await;
            if before {
                grant(&engine, &bob, &exemption()).await;
            }
            let (elsewhere, whom) = (engine.clone(), bob.clone());
            between.plan(Moment::Read("exemptions"), async move {
                grant(&elsewhere, &whom, &exemption()).await;
            });
            late.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
            assert!(between.is_done());
            assert_ne!(answer(&engine, by_key(&bob)).await, "exempted", "{before}");
        }
        assert_eq!(world.events_of(Kind::UserReset).await.iter().filter(|e| e.field("exemptions").is_some()).count(), 2);
    }

    async fn s12_once_an_account_has_none_no_login_that_had_read_otherwise_is_let_in(world) {
        let between = Arc::new(between(&world.store));
        let modules = Modules::new().with(module("api_auth"));
        let late = node_on(&world, between.clone()).modules(modules.clone()).build().await.unwrap();
        let engine = world.node().modules(modules).build().await.unwrap();
        let of_acme = Owner::Account(Account::new(acme()));
        let set = async |engine: &Engine, document: Value| {
            engine.policy_put(&of_acme, &document, None, &host()).await.unwrap();
        };
        set(&engine, json!({"exemptions": true})).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let elsewhere = engine.clone();
        let owner = of_acme.clone();
        between.plan(Moment::Read("exemptions"), async move {
            elsewhere.policy_put(&owner, &json!({"exemptions": false}), None, &host()).await.unwrap();
        });
        assert_eq!(answer(&late, by_key(&bob)).await, "challenge");
        assert!(between.is_done());
        set(&engine, json!({"exemptions": true})).await;
        assert_eq!(answer(&late, by_key(&bob)).await, "exempted");
    }

    async fn s12_the_report_says_on_which_day_each_exemption_was_used_last(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        let api = grant(&engine, &bob, &exemption()).await;
        let unused = grant(&engine, &bob, &terms(FirstFactorKind::MutualTls, "api_auth", exemption().until())).await;
        assert_eq!((api.last_used, unused.last_used), (None, None));
        let used = async || {
            let report = engine.exemptions(&acme()).await.unwrap();
            let of = |id| report.iter().find(|e| e.id == id).unwrap().last_used;
            (of(api.id), of(unused.id))
        };
        // What may be answered otherwise uses nothing.
        engine.explain(&by_key(&bob)).await.unwrap();
        assert_eq!(answer(&engine, by(&bob, FirstFactorKind::ApiKey, "portal")).await, "no_method");
        assert_eq!(used().await, (None, None));
        let first = world.now();
        for _ in 0..3 {
            assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
            world.clock.advance(Duration::from_secs(1));
        }
        assert_eq!(used().await, (Some(first), None), "the first login of the day");
        world.clock.advance(DAY);
        let next_day = world.now();
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        assert_eq!(used().await, (Some(next_day), None));
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 5, "each is in the log");
        // A module that is off lets nobody in, exempt or not, and so uses nothing.
        let off = world.node().policy(exempting()).modules(Modules::new().with(module("api_auth"))).build().await.unwrap();
        let document = json!({"auth_modules": {"api_auth": {"enabled": false}}});
        off.settings_put(&Owner::Account(Account::new(acme())), &document, None, &host()).await.unwrap();
        world.clock.advance(DAY);
        assert_eq!(answer(&off, by_key(&bob)).await, "module_disabled");
        assert_eq!(used().await, (Some(next_day), None));
        // The end of one is not that of another.
        assert_eq!(end(&engine, &bob, api.id, &host()).await, "done");
        let left: Vec<_> = engine.exemptions(&acme()).await.unwrap().iter().map(|e| e.id).collect();
        assert_eq!(left, [unused.id]);
    }

    async fn s12_an_exemption_that_is_over_does_not_come_back_with_a_clock_that_is_behind(world) {
        let engine = exempting_node(&world).await;
        let (bob, app) = world.enrol("bob").await;
        let until = world.now().plus(Duration::from_secs(3600));
        grant(&engine, &bob, &terms(FirstFactorKind::ApiKey, "api_auth", until)).await;
        world.clock.set(until);
        let accepted = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await;
        assert!(matches!(accepted, Verify::Verified(_)), "{accepted:?}");
        world.clock.set(until.minus(Duration::from_secs(20)));
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
    }

    async fn s12_whoever_is_forgotten_has_none_as_soon_as_the_record_of_the_user_is_gone(world) {
        let between = Arc::new(between(&world.store));
        let forgetting = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let whom = bob.clone();
        // What is left over is swept up after the commit that forgets.
        between.plan(Moment::Read("exemptions"), async move {
            assert_eq!(answer(&engine, by_key(&whom)).await, "no_method");
        });
        forgetting.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(between.is_done());
    }

    async fn s12_two_nodes_on_which_an_exemption_is_used_first_both_let_in(world) {
        let between = Arc::new(between(&world.store));
        let late = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let (elsewhere, whom) = (engine.clone(), bob.clone());
        between.plan(Moment::Read("exemptions"), async move {
            assert_eq!(answer(&elsewhere, by_key(&whom)).await, "exempted");
        });
        assert_eq!(answer(&late, by_key(&bob)).await, "exempted");
        assert!(between.is_done());
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 2);
    }

    async fn s12_one_that_is_granted_while_its_user_is_forgotten_is_swept_away(world) {
        let between = Arc::new(between(&world.store));
        let forgetting = node_on(&world, between.clone()).policy(exempting()).build().await.unwrap();
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        let (again, elsewhere, whom) = (Arc::clone(&between), engine.clone(), bob.clone());
        // The first listing is for the commit that forgets, the second for what has come since.
        between.plan(Moment::Listed("device"), async move {
            again.plan(Moment::Listed("device"), async move {
                grant(&elsewhere, &whom, &exemption()).await;
            });
        });
        forgetting.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(between.is_done());
        assert_eq!(world.events_of(Kind::ExemptionGranted).await.len(), 1);
        assert!(engine.exemptions(&acme()).await.unwrap().is_empty());
    }

    async fn s12_a_record_that_cannot_be_trusted_exempts_nobody(world) {
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let mut record = user_record(&world, &bob, "exemptions").await;
        let last = record.body.len() - 40;
        record.body[last] ^= 1;
        overwrite(&world, &record).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
        let refused = world.events_of(Kind::RecordRefused).await;
        assert!(refused.iter().any(|event| event.field("record") == Some("exemptions")));
        assert_eq!(engine.exemptions(&acme()).await.unwrap_err().code(), "unavailable");
        engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(engine.exemptions(&acme()).await.unwrap().is_empty());
    }

    async fn s12_an_exemption_that_a_clock_ahead_granted_counts_once_its_time_has_come(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        let then = world.now();
        let ahead = Duration::from_secs(31);
        world.clock.advance(ahead);
        grant(&engine, &bob, &exemption()).await;
        for (behind, expected) in [(31_000, "no_method"), (30_001, "no_method"), (30_000, "exempted")] {
            world.clock.set(then.plus(ahead - Duration::from_millis(behind)));
            assert_eq!(answer(&engine, by_key(&bob)).await, expected, "{behind}");
        }
    }

    async fn s16_an_exemption_that_was_put_back_contradicts_the_log(world) {
        let engine = exempting_node(&world).await;
        let (bob, _app) = world.enrol("bob").await;
        let granted = grant(&engine, &bob, &exemption()).await;
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        let row = user_record(&world, &bob, "exemptions").await;
        assert_eq!(end(&engine, &bob, granted.id, &host()).await, "done");
        assert_eq!(answer(&engine, by_key(&bob)).await, "challenge");
        streams_are_whole(&world.events().await);
        // Whoever writes to the store undoes it: the next day's login goes through, at a place that is taken.
        overwrite(&world, &row).await;
        world.clock.advance(DAY);
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        assert!(has_a_place_twice(&world.events().await));
    }

    async fn s12_a_user_has_sixteen_exemptions_and_none_for_more_than_a_year(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        let until = |life| terms(FirstFactorKind::MutualTls, "api_auth", world.now().plus(life));
        let second = Duration::from_secs(1);
        for life in [YEAR + Duration::from_millis(1), Duration::ZERO] {
            assert_eq!(asks_for(&engine, &bob, &until(life), &host()).await, "clamp", "{life:?}");
        }
        let early = terms(FirstFactorKind::MutualTls, "api_auth", mfa_tests::start());
        world.clock.advance(second);
        assert_eq!(asks_for(&engine, &bob, &early, &host()).await, "clamp");
        for n in 0..16 {
            assert_eq!(asks_for(&engine, &bob, &until(if n == 3 { DAY } else { YEAR }), &host()).await, "done");
        }
        assert_eq!(asks_for(&engine, &bob, &until(YEAR), &host()).await, "too_many");
        // One whose time is over makes room.
        let before = engine.exemptions(&acme()).await.unwrap();
        world.clock.advance(DAY);
        assert_eq!(asks_for(&engine, &bob, &until(DAY), &host()).await, "done");
        let after = engine.exemptions(&acme()).await.unwrap();
        assert_eq!((before.len(), after.len()), (16, 16));
        assert!(after.iter().all(|exemption| exemption.id != before[3].id));
        assert_eq!(asks_for(&engine, &bob, &until(DAY), &host()).await, "too_many");
    }

    async fn s12_sixteen_exemptions_of_the_longest_kind_have_room(world) {
        let engine = exempting_node(&world).await;
        let generation = "g".repeat(64);
        let bob = subject("bob").with_generation(&generation).unwrap();
        world.directory.put(&bob).await.unwrap();
        let longest = module(&"m".repeat(32));
        let (reason, until) = ("\u{1d11e}".repeat(200), world.now().plus(YEAR));
        let from: Vec<Network> = vec!["2001:db8:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(); 16];
        let by = Authority::host_vouched("a".repeat(300), "a reason");
        for _ in 0..16 {
            let terms = ExemptionTerms::new(longest.clone(), FirstFactorKind::ApiKey, &*reason, until).unwrap();
            let terms = terms.from_networks(from.clone()).unwrap();
            assert_eq!(asks_for(&engine, &bob, &terms, &by).await, "done");
        }
        assert_eq!(engine.exemptions(&acme()).await.unwrap().len(), 16);
    }

    async fn s12_exemptions_move_to_another_key_with_the_other_records(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        grant(&engine, &bob, &exemption()).await;
        let (old, new) = (world.ring.active(), KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "a rotation").await.unwrap();
        engine.reseal().await.unwrap();
        engine.key_retire(&old, "ops", "a rotation").await.unwrap();
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
    }

    async fn s12_an_exemption_of_another_account_s_user_is_none(world) {
        let engine = exempting_node(&world).await;
        let bob = world.add("bob").await;
        let beta = AccountId::parse("beta").unwrap();
        let twin = Subject::new(beta.clone(), bob.user().clone());
        world.directory.put(&twin).await.unwrap();
        let granted = grant(&engine, &bob, &exemption()).await;
        assert_eq!(answer(&engine, by_key(&twin)).await, "no_method");
        assert_eq!(answer(&engine, by_key(&bob)).await, "exempted");
        assert!(engine.exemptions(&beta).await.unwrap().is_empty());
        assert_eq!(end(&engine, &twin, granted.id, &host()).await, "unknown_exemption");
    }
}

#[test]
fn s12_the_default_is_that_there_are_none_and_what_lets_one_count_is_a_danger() {
    assert!(!Policy::recommended().exemptions());
    assert!(!Policy::recommended().dangers().contains(&"exemptions"));
    assert!(exempting().dangers().contains(&"exemptions"));
}

#[test]
fn s12_the_terms_of_an_exemption_have_a_reason_and_a_first_factor_of_a_program() {
    let until = mfa_tests::start().plus(DAY);
    let made = |kind, reason: &str| {
        ExemptionTerms::new(module("api_auth"), kind, reason, until)
            .map_err(|error| (error.field, error.code))
    };
    for kind in [FirstFactorKind::Password, FirstFactorKind::Sso, FirstFactorKind::EmailLink] {
        assert_eq!(made(kind, "why").unwrap_err(), ("first_factor".to_owned(), "not_of_a_program"));
    }
    let longest = "ä".repeat(200);
    assert!(made(FirstFactorKind::ApiKey, &longest).is_ok());
    for (reason, code) in
        [("", "required"), (" \t", "required"), (&*format!("{longest}ä"), "too_long"), ("a\nb", "invalid")]
    {
        assert_eq!(made(FirstFactorKind::ApiKey, reason).unwrap_err(), ("reason".to_owned(), code));
    }
    let seventeen = vec!["192.0.2.0/24".parse::<Network>().unwrap(); 17];
    assert_eq!(
        made(FirstFactorKind::ApiKey, "why").unwrap().from_networks(seventeen).unwrap_err().code,
        "too_long"
    );
}
