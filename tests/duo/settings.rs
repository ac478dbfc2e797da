//! S19: under whose settings who sets Duo up, and where a name is good.

use std::time::Duration;

use audit_model::{Kind, Profile, Query};
use mfa::duo::{ApiHosts, Duo, UserNames};
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Choice, ConfigurationId, EnrolConfirm, Error, Intent,
    Module, Policy, Reason, RequestFacts, Response, Scope, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::duo::{Device, User};
use mfa_tests::duo::{DuoSite, Mode, another, duo, granted, reply, text, user_of};
use mfa_tests::rights::{enrol_by, prove_on};
use mfa_tests::{World, host, login, on_duo, session};
use serde_json::{Value, json};

use crate::identities::{
    OVER, answered, begin, bob_of, by_id, claims, is_confirmed, is_taken, known, naming, remove, set_up,
    signed,
};

fn owner_of(account: &str) -> Account {
    Account::new(AccountId::parse(account).unwrap())
}

/// A site whose module asks by a configuration of this owner, which sub-accounts may use, and whose host keeps none.
async fn configured(world: World, mode: Mode, names: UserNames, whose: &Owner) -> (DuoSite, ConfigurationId) {
    let mut site = DuoSite::new(world, mode).await;
    let document = json!({"offered": ["totp", "duo"], "first_enrolment_needs_invitation": false});
    let policy = Policy::recommended().with_document(&document).unwrap();
    let hosts = ApiHosts::duo().also(site.duo.authority()).unwrap();
    let duo = Duo::new(hosts).unwrap().with_names(names);
    let node = site.world.node().provider_without_settings(duo).http(site.client(site.duo.ca_pem()));
    let modules = Modules::new().with(Module::parse("user_auth").unwrap());
    site.engine = node.policy(policy).modules(modules).build().await.unwrap();
    let document = json!({"provider_name": "duo", "settings": site.settings(&json!({}))});
    let made = site.engine.configuration_create(whose, Profile::Seed2017, &document, &host()).await.unwrap();
    let mut asks = json!({"enabled": true, "include_subaccounts": true});
    // Where none is named it is the system's.
    if let Owner::Account(account) = whose {
        asks["configuration_id"] = json!(made.id.to_string());
        asks["account_id"] = json!(account.id().as_str());
    }
    let document = json!({"auth_modules": {"user_auth": {"multi_factor": asks}}});
    site.engine.settings_put(whose, &document, None, &host()).await.unwrap();
    (site, made.id)
}

/// A user of acme, below root, with an app.
async fn of_acme(site: &DuoSite, name: &str, rank: u8) -> (Subject, SoftAuthenticator) {
    ranked_in(site, &["acme", "root"], name, rank).await
}

/// A user of the first of these accounts, each below the next, with an app.
async fn ranked_in(site: &DuoSite, tree: &[&str], name: &str, rank: u8) -> (Subject, SoftAuthenticator) {
    let lineage = tree.iter().map(|name| Ancestor::new(AccountId::parse(name).unwrap())).collect();
    let who = user_of(tree[0], name).with_lineage(lineage).unwrap().with_rank(rank);
    site.world.directory.put(&who).await.unwrap();
    let app = enrol_by(&site.engine, &site.world, &who, &host()).await;
    (who, app)
}

/// Proves that `by` may set Duo up for `whom`.
async fn proof(site: &DuoSite, (by, app): (&Subject, &SoftAuthenticator), whom: &Subject) -> Authority {
    let intent = Intent::add_method(whom, &duo());
    let proof = prove_on(&site.engine, &site.world, login(by), app, &intent).await;
    Authority::proof(proof, Some(&session(by)))
}

async fn begin_by(site: &DuoSite, who: &Subject, by: &Authority) -> Result<mfa::EnrolmentStarted, Error> {
    site.engine.enrol_begin(who.account(), who.user(), &duo(), &Choice::none(), by).await
}

/// Changes a configuration's settings.
async fn edit(site: &DuoSite, whose: &Owner, id: ConfigurationId, settings: &Value) {
    let (patch, form) = (json!({"settings": settings}), Profile::Seed2017);
    site.engine.configuration_patch(whose, id, form, &patch, None, &host()).await.unwrap();
}

fn told<T>(result: Result<T, Error>) -> &'static str {
    result.map_or_else(|error| error.code(), |_| "begun")
}

on_duo! {
    [memory, sqlite] async fn s19_nobody_sets_duo_up_alone_through_a_configuration_of_an_account_above(world) {
        for (names, whose, alone) in [
            (UserNames::UserId, Owner::Account(owner_of("root")), false),
            (UserNames::UserId, Owner::System, false),
            (UserNames::UserId, Owner::Account(owner_of("acme")), true),
            (UserNames::AccountAndUser, Owner::Account(owner_of("root")), true),
        ] {
            let (site, _) = configured(another(&world).await, Mode::AuthApi, names, &whose).await;
            let why = format!("{names:?} {whose:?}");
            for name in ["bob", "eve"] {
                site.duo.add_user(User::new(name).device(Device::phone("+15555550100")));
            }
            let (bob, app) = of_acme(&site, "bob", 0).await;
            let by_bob = proof(&site, (&bob, &app), &bob).await;
            let expected = if alone { "begun" } else { "not_permitted" };
            assert_eq!(told(begin_by(&site, &bob, &by_bob).await), expected, "{why}");
            // Who has no method yet, by the password and a ticket, and invited besides.
            let eve = of_acme(&site, "eve", 0).await.0;
            site.engine.method_remove(eve.account(), eve.user(), &"totp".parse().unwrap(), &host()).await.unwrap();
            let Begin::EnrolmentRequired(required) = site.engine.begin(login(&eve)).await.unwrap() else { panic!("{why}") };
            let by_eve = Authority::ticket(required.ticket, Some(&session(&eve)));
            assert_eq!(told(begin_by(&site, &eve, &by_eve).await), expected, "{why}");
            if !alone {
                assert!(claims(&site.world).await.is_empty());
                let refused = site.world.events_of(Kind::ChangeRefused).await;
                assert!(refused.iter().all(|event| event.reason() == Some("not_permitted")) && refused.len() == 2, "{why}");
                // A refusal spends nothing.
                assert_eq!(told(begin_by(&site, &bob, &by_bob).await), expected, "{why}");
            }
            // Nor through an administrator of the account, who gives the names there; one of the account whose
            // configuration it is answers for it.
            let ann = of_acme(&site, "ann", 5).await;
            let by_ann = proof(&site, (&ann.0, &ann.1), &bob).await;
            assert_eq!(told(begin_by(&site, &bob, &by_ann).await), expected, "{why}");
            let carl = ranked_in(&site, &["root"], "carl", 5).await;
            let by_carl = proof(&site, (&carl.0, &carl.1), &bob).await;
            let may = alone || matches!(whose, Owner::Account(_));
            assert_eq!(told(begin_by(&site, &bob, &by_carl).await) == "begun", may, "{why}");
            assert_eq!(told(begin_by(&site, &eve, &host()).await), "begun", "{why}");
        }
    }

    // Every account may have a user of this id.

    [memory, sqlite] async fn s19_nobody_sets_duo_up_alone_through_the_settings_of_the_host(world) {
        for (names, given, alone) in [
            (UserNames::UserId, false, false),
            (UserNames::Label, false, false),
            (UserNames::UserId, true, true),
            (UserNames::AccountAndUser, false, true),
        ] {
            let mut site = DuoSite::new(another(&world).await, Mode::AuthApi).await;
            let hosts = ApiHosts::duo().also(site.duo.authority()).unwrap();
            let mut provider = Duo::new(hosts).unwrap().with_names(names);
            if given {
                provider = provider.with_names_given_by_host();
            }
            let node = site.world.node().provider_with(provider, site.settings(&json!({})));
            site.engine = node.http(site.client(site.duo.ca_pem())).build().await.unwrap();
            let (bob, app) = of_acme(&site, "bob", 0).await;
            known(&site, bob.clone(), "bob").await;
            let by_bob = proof(&site, (&bob, &app), &bob).await;
            let expected = if alone { "begun" } else { "not_permitted" };
            assert_eq!(told(begin_by(&site, &bob, &by_bob).await), expected, "{names:?} {given}");
            assert_eq!(told(begin(&site.engine, &bob).await), "begun", "{names:?} {given}");
            // Nor is an administrator of the account kept from what the user may do alone.
            let ann = of_acme(&site, "ann", 5).await;
            let by_ann = proof(&site, (&ann.0, &ann.1), &bob).await;
            let expected = if alone { "begun" } else { "not_permitted" };
            assert_eq!(told(begin_by(&site, &bob, &by_ann).await), expected, "{names:?} {given}");
            // Whoever gives the names, one alone has one.
            if names == UserNames::UserId {
                assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
                let other = bob_of(&site, "other").await;
                assert!(is_taken(&set_up(&site, &site.engine, &other).await));
            }
        }
    }

    // Whoever has written the keys makes Duo's replies by them.

    [memory, sqlite] async fn s19_keys_that_an_account_made_up_claim_nobody_s_name(world) {
        for (names, whose, may) in [
            (UserNames::UserId, Owner::Account(owner_of("acme")), false),
            (UserNames::Label, Owner::Account(owner_of("root")), false),
            (UserNames::UserId, Owner::System, true),
            (UserNames::AccountAndUser, Owner::Account(owner_of("acme")), true),
        ] {
            let (site, _) = configured(another(&world).await, Mode::WebSdk, names, &whose).await;
            let (bob, app) = of_acme(&site, "bob", 5).await;
            let expected = if may { "begun" } else { "not_permitted" };
            let by_bob = proof(&site, (&bob, &app), &bob).await;
            for by in [by_bob, host()].iter().skip(usize::from(may)) {
                assert_eq!(told(begin_by(&site, &bob, by).await), expected, "{names:?} {whose:?}");
            }
            assert!(claims(&site.world).await.is_empty());
        }
    }

    [memory, sqlite] async fn s19_settings_that_are_made_up_while_a_set_up_waits_confirm_nothing(world) {
        let whose = Owner::Account(owner_of("acme"));
        let (site, id) = configured(world, Mode::AuthApi, UserNames::UserId, &whose).await;
        let bob = of_acme(&site, "bob", 0).await.0;
        known(&site, bob.clone(), "bob").await;
        let started = begin(&site.engine, &bob).await.unwrap();
        let made_up = json!({"mode": "web_sdk", "application_secret_key": "k".repeat(40)});
        edit(&site, &whose, id, &made_up).await;
        // No prompt for the frame, to which the account would make the reply itself.
        for response in [Response::start(Choice::none()), reply("AUTH|made|up:APP|made|up")] {
            let refused = site.engine.enrol_confirm(&started.reference, &response).await.unwrap();
            assert!(matches!(refused, EnrolConfirm::Rejected(_)), "{refused:?}");
        }
        assert!(claims(&site.world).await.is_empty());
        let methods = site.engine.methods(bob.account(), bob.user()).await.unwrap();
        assert!(methods.iter().all(|method| method.provider != duo()));
    }

    // Whoever types a name has shown nothing yet: a prompt signed for it would ring its owner's phone, uncounted, and
    // tell who is known to Duo.

    [memory, sqlite] async fn s11_no_decoy_is_made_of_duo_which_would_ask_the_user_who_was_typed(world) {
        for mode in Mode::ALL {
            let (site, _) = configured(another(&world).await, mode, UserNames::UserId, &Owner::System).await;
            site.engine.policy_put(&Owner::System, &json!({"offered": ["duo"]}), None, &host()).await.unwrap();
            let bob = known(&site, user_of("acme", "bob"), "bob").await;
            let asked = site.duo.requests().len();
            for name in [bob.user().as_str(), "nobody"] {
                let refused = site.engine.begin_decoy(login(&user_of("acme", name))).await;
                assert_eq!(refused.unwrap_err().code(), "unavailable", "{mode:?}");
            }
            assert_eq!(site.duo.requests().len(), asked);
        }
    }

    [memory, sqlite] async fn s19_a_name_is_good_at_the_host_that_it_was_set_up_at(world) {
        let elsewhere = "api-00000000.duosecurity.com";
        for (names, moves) in [(UserNames::UserId, false), (UserNames::AccountAndUser, true)] {
            let site = naming(another(&world).await, Mode::WebSdk, names).await;
            let bob = known(&site, user_of("acme", "bob"), if moves { "acme/bob" } else { "bob" }).await;
            assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
            let moved = site.on_node(site.world.node(), &json!({"api_hostname": elsewhere}), names);
            let moved = moved.build().await.unwrap();
            // A name with its account is nobody else's at any host.
            match moved.begin(login(&bob)).await {
                Ok(Begin::Challenge(challenge)) if moves => {
                    assert_eq!(text(&challenge.prompt, "duo_api_hostname"), elsewhere);
                }
                Err(error) if !moves => assert_eq!(error.code(), "unavailable"),
                other => panic!("{names:?} {other:?}"),
            }
            // Nor in a challenge that has begun.
            let begun = site.begin(&bob).await;
            let response = site.response_to(&begun.prompt).await;
            let late = moved.verify(&begun.reference, response.clone()).await.unwrap();
            assert_eq!(matches!(late, Verify::Rejected(r) if r.reason == Reason::Unavailable), !moves, "{late:?}");
            if !moves {
                granted(site.engine.verify(&begun.reference, response).await.unwrap());
            }
        }
    }

    // By whichever mode, and however it is begun.

    [memory, sqlite] async fn s19_nobody_is_asked_anything_under_a_name_that_is_another_user_s(world) {
        for mode in Mode::ALL {
            let site = by_id(another(&world).await, mode).await;
            let (bob, sibling) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            // One that the sibling has begun before.
            let before = begin(&site.engine, &sibling).await.unwrap();
            let answer = site.response_to(&before.prompt).await;
            assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await), "{mode:?}");
            assert_eq!(told(begin(&site.engine, &sibling).await), "identity_taken", "{mode:?}");
            // Nor is anybody shown a prompt in that name again.
            let start = Response::start(Choice::none());
            for _ in 0..2 {
                let refused = site.engine.enrol_confirm(&before.reference, &start).await.unwrap();
                assert!(is_taken(&refused), "{mode:?} {refused:?}");
                let refused = site.engine.enrol_resend(&before.reference, &RequestFacts::new()).await.unwrap();
                assert!(is_taken(&refused), "{mode:?} {refused:?}");
            }
            let asked = site.duo.requests().len();
            let guess = (mode == Mode::AuthApi).then(|| Response::code("755224"));
            for response in [answer].into_iter().chain(guess) {
                let refused = site.engine.enrol_confirm(&before.reference, &response).await.unwrap();
                assert!(is_taken(&refused), "{mode:?} {refused:?}");
            }
            assert_eq!(site.duo.requests().len(), asked, "{mode:?}");
            let charged = site.world.events_of(Kind::EffectCharged).await;
            assert!(charged.iter().all(|event| *event.scope() == Scope::Account(bob.account().clone())), "{mode:?}");
            // Once the name is free the same set-up goes on.
            remove(&site.engine, &bob).await;
            let response = site.response_to(&before.prompt).await;
            let mut told = site.engine.enrol_confirm(&before.reference, &response).await.unwrap();
            for _ in 0..4 {
                if matches!(told, EnrolConfirm::Pending(_)) {
                    told = site.engine.enrol_confirm(&before.reference, &Response::poll()).await.unwrap();
                }
            }
            assert!(is_confirmed(&told), "{mode:?} {told:?}");
        }
    }

    // Keys that Duo does not know say nothing about its users.

    [memory, sqlite] async fn s19_nobody_learns_who_has_a_name_by_keys_that_duo_does_not_know(world) {
        let whose = Owner::Account(owner_of("acme"));
        let (site, id) = configured(world, Mode::AuthApi, UserNames::UserId, &whose).await;
        let bob = of_acme(&site, "bob", 0).await.0;
        known(&site, bob.clone(), "bob").await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
        let other = Owner::Account(owner_of("other"));
        let document = json!({"provider_name": "duo", "settings": site.settings(&json!({"secret_key": "x".repeat(40)}))});
        let made = site.engine.configuration_create(&other, Profile::Seed2017, &document, &host()).await.unwrap();
        assert_ne!(made.id, id);
        let asks = json!({"enabled": true, "configuration_id": made.id.to_string(), "account_id": "other"});
        let document = json!({"auth_modules": {"user_auth": {"multi_factor": asks}}});
        site.engine.settings_put(&other, &document, None, &host()).await.unwrap();
        let mut told_of = Vec::new();
        for name in ["bob", "nobody"] {
            let who = ranked_in(&site, &["other"], name, 0).await.0;
            told_of.push(told(begin(&site.engine, &who).await));
        }
        assert_eq!(told_of, ["unavailable"; 2]);
    }

    [memory, sqlite] async fn s19_that_a_name_is_taken_is_one_event_a_minute(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (bob, sibling) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
        for _ in 0..5 {
            assert_eq!(told(begin(&site.engine, &sibling).await), "identity_taken");
        }
        site.advance(Duration::from_secs(60));
        assert_eq!(told(begin(&site.engine, &sibling).await), "identity_taken");
        let scope = Scope::Account(sibling.account().clone());
        let events = audit_model::all(&*site.world.store, &Query::new(scope), 100).await.unwrap();
        let refused = events.iter().filter(|event| event.kind() == Kind::EnrolmentRejected);
        assert_eq!(refused.map(|event| event.reason()).collect::<Vec<_>>(), [Some("identity_taken"); 2]);
    }

    // To look whose a name is changes nothing of anybody's.

    [memory, sqlite] async fn s19_who_looks_for_a_name_ends_nobody_s_set_up(world) {
        let mut site = DuoSite::new(world, Mode::WebSdk).await;
        let node = site.node_naming(&json!({}), UserNames::UserId).provider(mfa_testkit::host::recovery());
        site.engine = node.build().await.unwrap();
        let (bob, sibling) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        // Claimed, and left before the codes were acknowledged.
        let (reference, response) = answered(&site, &site.engine, &bob).await;
        let shown = site.engine.enrol_confirm(&reference, &response).await.unwrap();
        assert!(matches!(shown, EnrolConfirm::RecoveryShown(_)), "{shown:?}");
        site.advance(OVER);
        let before = mfa_tests::attack::dump(&site.world).await.0;
        begin(&site.engine, &sibling).await.unwrap();
        let after = mfa_tests::attack::dump(&site.world).await.0;
        let of_bob = |records: &[mfa::Record]| -> Vec<mfa::Record> {
            let of_acme = Scope::Account(bob.account().clone());
            records.iter().filter(|record| record.key.scope == of_acme).cloned().collect()
        };
        assert!(!of_bob(&before).is_empty() && of_bob(&before) == of_bob(&after));
    }

    [memory, sqlite] async fn s19_the_host_is_told_who_has_a_name(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let hosts = ApiHosts::duo().also(site.duo.authority()).unwrap();
        let provider = Duo::new(hosts).unwrap().with_names(UserNames::UserId);
        let bob_at_duo = provider.identity_of(site.duo.authority(), "BOB@acme.example").unwrap();
        let holder = async || site.engine.identity_holder(&duo(), bob_at_duo).await.unwrap();
        assert_eq!(holder().await, None);
        let bob = bob_of(&site, "acme").await;
        // One that has begun has nothing yet.
        let started = begin(&site.engine, &bob).await.unwrap();
        assert_eq!(holder().await, None);
        let posted = signed(&site.keys, &started.prompt, site.world.now());
        assert!(is_confirmed(&site.engine.enrol_confirm(&started.reference, &posted).await.unwrap()));
        assert_eq!(holder().await, Some((bob.account().clone(), bob.user().clone())));
        remove(&site.engine, &bob).await;
        assert_eq!(holder().await, None);
    }
}
