//! S12: which logins an exemption is for, who grants and ends one, and what the report says of it.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Engine, ExemptionState, ExemptionTerms, ExplainedOutcome,
    FirstFactorKind, Intent, Network, NotRequired, Policy, Subject,
};
use mfa_tests::between::{Moment, between};
use mfa_tests::exempt::{
    answer, asks_for, by, by_key, end, exempt_attempts, exempting_node, from, grant, module, networks, terms,
};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_ranked, exempting, exemption, first_factor, in_session_of, prove_on};
use mfa_tests::{World, acme, host, login, on_stores, session, subject};
use serde_json::{Value, json};

const DAY: Duration = Duration::from_secs(24 * 3600);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

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
