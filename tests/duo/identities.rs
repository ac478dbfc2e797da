//! S19: of all users whom Duo takes for one, of whichever account, one alone has Duo.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use audit_model::{Event, Kind, Profile, Query};
use mfa::duo::{ApiHosts, Duo, UserNames};
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Choice, Engine, EnrolConfirm, Error, Intent, Module,
    Policy, Record, RecordKind, Rejected, RequestFacts, Response, Scope, Subject, Timestamp,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::duo::{Device, Integration, User};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::attack::{delete, overwrite, user_key, user_record};
use mfa_tests::between::{Moment, between};
use mfa_tests::duo::{DuoSite, Mode, another, duo, granted, reply, text, user_of};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_by, prove_on};
use mfa_tests::rings::{self, activate_new, add_new, retire_old};
use mfa_tests::{World, host, login, on_duo, session};
use serde_json::{Value, json};

/// Longer than a set-up lives.
const OVER: Duration = Duration::from_secs(3600);
/// Longer than the record of one is kept.
const GONE: Duration = Duration::from_secs(48 * 3600);

/// A site whose users are called at Duo by their ids.
async fn by_id(world: World, mode: Mode) -> DuoSite {
    naming(world, mode, UserNames::UserId).await
}

async fn naming(world: World, mode: Mode, names: UserNames) -> DuoSite {
    let mut site = DuoSite::new(world, mode).await;
    site.engine = site.node_naming(&json!({}), names).build().await.unwrap();
    site
}

/// Adds a user, who is called so at Duo.
async fn known(site: &DuoSite, who: Subject, name: &str) -> Subject {
    site.duo.add_user(User::new(name).device(Device::phone("+15555550100")));
    site.world.directory.put(&who).await.unwrap();
    who
}

async fn bob_of(site: &DuoSite, account: &str) -> Subject {
    known(site, user_of(account, "bob"), "bob").await
}

async fn begin(engine: &Engine, who: &Subject) -> Result<mfa::EnrolmentStarted, Error> {
    engine.enrol_begin(who.account(), who.user(), &duo(), &Choice::none(), &host()).await
}

/// Sets Duo up, and moves the clocks on by a second.
async fn set_up(site: &DuoSite, engine: &Engine, who: &Subject) -> EnrolConfirm {
    let started = begin(engine, who).await.unwrap();
    let response = site.response_to(&started.prompt).await;
    let mut told = engine.enrol_confirm(&started.reference, &response).await.unwrap();
    for _ in 0..4 {
        if matches!(told, EnrolConfirm::Pending(_)) {
            told = engine.enrol_confirm(&started.reference, &Response::poll()).await.unwrap();
        }
    }
    site.advance(Duration::from_secs(1));
    told
}

fn is_confirmed(told: &EnrolConfirm) -> bool {
    matches!(told, EnrolConfirm::Confirmed(_))
}

fn is_taken(told: &EnrolConfirm) -> bool {
    matches!(told, EnrolConfirm::Rejected(Rejected { reason, .. }) if reason.code() == "identity_taken")
}

async fn methods(engine: &Engine, who: &Subject) -> usize {
    engine.methods(who.account(), who.user()).await.unwrap().len()
}

async fn remove(engine: &Engine, who: &Subject) {
    let selector = "duo".parse().unwrap();
    engine.method_remove(who.account(), who.user(), &selector, &host()).await.unwrap();
}

async fn claims(world: &World) -> Vec<Record> {
    world.store.scan(RecordKind::new("identity"), None, 1000, world.now()).await.unwrap()
}

async fn events(world: &World, account: &str) -> Vec<Event> {
    let query = Query::new(Scope::Account(AccountId::parse(account).unwrap()));
    audit_model::all(&*world.store, &query, 1000).await.unwrap()
}

/// A set-up in the frame whose right answer is at hand, so that all that is left is to confirm it.
async fn answered(site: &DuoSite, engine: &Engine, who: &Subject) -> (mfa::Reference, Response) {
    let started = begin(engine, who).await.unwrap();
    let posted = site.duo.web_prompt(text(&started.prompt, "duo_sig_request"));
    (started.reference, reply(&posted))
}

/// What Duo, which has these keys, lets a browser post for bob.
fn signed(keys: &Integration, prompt: &Value, now: Timestamp) -> Response {
    let (_, app) = text(prompt, "duo_sig_request").split_once(':').unwrap();
    let auth = keys.web_cookie("AUTH", "bob", now.plus(Duration::from_secs(300)));
    reply(&format!("{auth}:{app}"))
}

fn owner_of(account: &str) -> Account {
    Account::new(AccountId::parse(account).unwrap())
}

/// A site whose module asks by a configuration of this owner, which sub-accounts may use, and whose host keeps none.
async fn configured(world: World, names: UserNames, whose: &Owner) -> DuoSite {
    let mut site = DuoSite::new(world, Mode::WebSdk).await;
    let document = json!({"offered": ["totp", "duo"], "first_enrolment_needs_invitation": false});
    let policy = Policy::recommended().with_document(&document).unwrap();
    let duo = Duo::new(ApiHosts::duo().also(site.duo.authority()).unwrap()).unwrap().with_names(names);
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
    site
}

/// A user of acme, below root, with an app.
async fn of_acme(site: &DuoSite, name: &str, rank: u8) -> (Subject, SoftAuthenticator) {
    let lineage = ["acme", "root"].map(|name| Ancestor::new(AccountId::parse(name).unwrap())).to_vec();
    let who = user_of("acme", name).with_lineage(lineage).unwrap().with_rank(rank);
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

on_duo! {
    [memory, sqlite] async fn s19_a_sibling_s_user_of_the_same_name_sets_nothing_up(world) {
        for mode in Mode::ALL {
            let site = by_id(another(&world).await, mode).await;
            let (bob, sibling) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await), "{mode:?}");
            // Duo says that it is bob: whoever he is.
            let told = set_up(&site, &site.engine, &sibling).await;
            assert!(is_taken(&told), "{mode:?} {told:?}");
            assert_eq!(methods(&site.engine, &sibling).await, 0);
            let refused: Vec<_> = events(&site.world, "other").await.into_iter()
                .filter(|event| event.kind() == Kind::EnrolmentRejected).collect();
            assert_eq!(refused.len(), 1, "{mode:?}");
            assert_eq!(refused[0].reason(), Some("identity_taken"));
            // Nothing says whose it is.
            assert!(!format!("{told:?} {refused:?}").contains("acme"));
            granted(site.log_in(&bob).await);
        }
    }

    [memory, sqlite, processes] async fn s19_a_sibling_s_label_that_is_the_victim_s_address_sets_nothing_up(world) {
        let site = naming(world, Mode::WebSdk, UserNames::Label).await;
        let labelled = |account: &str, user: &str, label: &str| user_of(account, user).with_label(label).unwrap();
        let bob = known(&site, labelled("acme", "b1", "bob@acme.example"), "bob@acme.example").await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
        // Whatever Duo may take for the same name.
        for (n, label) in ["bob@acme.example", "BOB@acme.example", "bob", "Bob@other.example", "X\\bob"].into_iter().enumerate() {
            let id = format!("e{n}");
            let eve = known(&site, labelled("other", &id, label), label).await;
            assert!(is_taken(&set_up(&site, &site.engine, &eve).await), "{label}");
        }
        // In one account as over several.
        let twin = known(&site, labelled("acme", "b2", "bob@acme.example"), "bob@acme.example").await;
        assert!(is_taken(&set_up(&site, &site.engine, &twin).await));
        let ann = known(&site, labelled("other", "a1", "ann@acme.example"), "ann@acme.example").await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &ann).await));
    }

    [memory, sqlite] async fn s19_no_login_asks_whose_a_name_is(world) {
        for mode in Mode::ALL {
            let mut site = by_id(another(&world).await, mode).await;
            let bob = bob_of(&site, "acme").await;
            assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await), "{mode:?}");
            let between = Arc::new(between(&site.world.store));
            let node = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
            site.engine = node.build().await.unwrap();
            between.plan(Moment::Read("identity"), async {});
            granted(site.log_in(&bob).await);
            assert!(!between.is_done(), "{mode:?}");
        }
    }

    [memory, sqlite] async fn s19_a_name_that_could_be_another_account_s_is_refused(world) {
        // Set up under a name with its account, which needs no claim.
        let site = DuoSite::new(world, Mode::WebSdk).await;
        site.enrolled("bob").await;
        assert!(claims(&site.world).await.is_empty());
        for (names, user, label) in [(UserNames::UserId, "acme/bob", "x"), (UserNames::Label, "eve", "acme/bob"),
            (UserNames::Label, "eve", "ACME/Bob@other.example")]
        {
            let engine = site.node_naming(&json!({}), names).build().await.unwrap();
            let eve = user_of("other", user).with_label(label).unwrap();
            site.world.directory.put(&eve).await.unwrap();
            assert_eq!(begin(&engine, &eve).await.unwrap_err().code(), "slash", "{label}");
        }
    }

    [memory, sqlite, processes] async fn s19_the_same_user_may_set_duo_up_again(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let bob = bob_of(&site, "acme").await;
        // Begun and left, begun again, removed and set up again at once.
        let left = answered(&site, &site.engine, &bob).await;
        for _ in 0..3 {
            assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
            granted(site.log_in(&bob).await);
            remove(&site.engine, &bob).await;
        }
        assert!(!is_confirmed(&site.engine.enrol_confirm(&left.0, &left.1).await.unwrap()));
        assert!(claims(&site.world).await.is_empty());
    }

    [memory, sqlite, processes] async fn s19_after_the_owner_has_it_no_more_another_may_take_it(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        for (way, crashed) in ["remove", "disable", "reset", "forget"].into_iter().flat_map(|way| [(way, false), (way, true)]) {
            assert!(is_confirmed(&set_up(&site, &site.engine, &one).await), "{way}");
            assert!(is_taken(&set_up(&site, &site.engine, &other).await), "{way}");
            let (account, user, claim) = (one.account(), one.user(), claims(&site.world).await.remove(0));
            match way {
                "remove" => remove(&site.engine, &one).await,
                "disable" => site.engine.disable(account, user, &host()).await.unwrap(),
                "reset" => site.engine.user_reset(account, user, &host()).await.unwrap(),
                _ => site.engine.forget_user(account, user, &host()).await.unwrap(),
            }
            // Nothing is left, but by a crash.
            assert!(claims(&site.world).await.is_empty(), "{way}");
            if crashed {
                overwrite(&site.world, &claim).await;
            }
            assert!(is_confirmed(&set_up(&site, &site.engine, &other).await), "{way}");
            assert!(is_taken(&set_up(&site, &site.engine, &one).await), "{way}");
            remove(&site.engine, &other).await;
        }
    }

    [memory, sqlite] async fn s19_a_change_that_takes_nothing_away_leaves_the_name_to_its_user(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        assert!(is_confirmed(&set_up(&site, &site.engine, &one).await));
        enrol_by(&site.engine, &site.world, &one, &host()).await;
        let before = claims(&site.world).await;
        let (account, user) = (one.account(), one.user());
        site.engine.method_prefer(account, user, &"totp".parse().unwrap(), &host()).await.unwrap();
        site.engine.method_remove(account, user, &"totp".parse().unwrap(), &host()).await.unwrap();
        site.engine.revoke(account, user, &host()).await.unwrap();
        assert!(claims(&site.world).await == before);
        assert!(is_taken(&set_up(&site, &site.engine, &other).await));
    }

    // Between a change and the deletion of what it left, the user sets Duo up anew.
    [memory, sqlite] async fn s19_a_name_that_is_claimed_anew_at_once_is_not_taken_for_one_that_was_left(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        assert!(is_confirmed(&set_up(&site, &site.engine, &one).await));
        let between = Arc::new(between(&site.world.store));
        let slow = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
        let slow = slow.build().await.unwrap();
        let (engine, who, keys, now) = (site.engine.clone(), one.clone(), site.keys.clone(), site.world.now());
        between.plan(Moment::Committed, async move {
            let started = begin(&engine, &who).await.unwrap();
            let posted = signed(&keys, &started.prompt, now);
            assert!(is_confirmed(&engine.enrol_confirm(&started.reference, &posted).await.unwrap()));
        });
        remove(&slow, &one).await;
        assert!(between.is_done());
        assert_eq!((methods(&site.engine, &one).await, claims(&site.world).await.len()), (1, 1));
        assert!(is_taken(&set_up(&site, &site.engine, &other).await));
    }

    [memory, sqlite] async fn s19_nothing_of_a_set_up_is_left_once_its_user_is_forgotten(world) {
        let mut site = DuoSite::new(world, Mode::WebSdk).await;
        let node = site.node_naming(&json!({}), UserNames::UserId).provider(mfa_testkit::host::recovery());
        site.engine = node.build().await.unwrap();
        let bob = bob_of(&site, "acme").await;
        let (reference, response) = answered(&site, &site.engine, &bob).await;
        let shown = site.engine.enrol_confirm(&reference, &response).await.unwrap();
        assert!(matches!(shown, EnrolConfirm::RecoveryShown(_)), "{shown:?}");
        assert_eq!(claims(&site.world).await.len(), 1);
        site.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(claims(&site.world).await.is_empty());
    }

    [memory, sqlite, processes] async fn s19_of_64_that_confirm_in_as_many_accounts_one_has_it(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let all_have_read = Arc::new(Barrier::new(64));
        let mut nodes = Vec::new();
        for n in 0..64 {
            let between = Arc::new(between(&site.world.store));
            let node = node_on(&site.world, between.clone());
            let node = site.on_node(node, &json!({}), UserNames::UserId).build().await.unwrap();
            let bob = bob_of(&site, &format!("account-{n}")).await;
            let (reference, response) = answered(&site, &node, &bob).await;
            let all = Arc::clone(&all_have_read);
            between.plan(Moment::Read("identity"), async move { all.wait(); });
            nodes.push((node, bob, reference, response));
        }
        let nodes = &nodes;
        let told = race(64, |n| async move {
            let (node, _, reference, response) = &nodes[n];
            node.enrol_confirm(reference, response).await.unwrap()
        });
        assert_eq!(told.iter().filter(|told| is_confirmed(told)).count(), 1, "{told:?}");
        assert_eq!(told.iter().filter(|told| is_taken(told)).count(), 63, "{told:?}");
        let mut have = 0;
        for (_, bob, ..) in nodes {
            have += methods(&site.engine, bob).await;
        }
        assert_eq!((have, claims(&site.world).await.len()), (1, 1));
    }

    // One has claimed it and not confirmed yet.
    [memory, sqlite, processes] async fn s19_what_is_claimed_and_not_yet_confirmed_is_taken(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        let between = Arc::new(between(&site.world.store));
        let slow = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
        let slow = slow.build().await.unwrap();
        let (reference, response) = answered(&site, &slow, &one).await;
        let theirs = answered(&site, &site.engine, &other).await;
        let (engine, again, told) = (site.engine.clone(), Arc::clone(&between), Arc::new(std::sync::Mutex::new(None)));
        let says = Arc::clone(&told);
        between.plan(Moment::Read("identity"), async move {
            // The next read is that of what is to be confirmed.
            again.plan(Moment::Read("vault"), async move {
                *says.lock().unwrap() = Some(engine.enrol_confirm(&theirs.0, &theirs.1).await.unwrap());
            });
        });
        assert!(is_confirmed(&slow.enrol_confirm(&reference, &response).await.unwrap()));
        assert!(is_taken(told.lock().unwrap().as_ref().unwrap()));
        assert!(between.is_done());
        assert_eq!((methods(&site.engine, &one).await, methods(&site.engine, &other).await), (1, 0));
    }

    // One has claimed it, and stops until its set-up is over by everybody else's time: then another takes it.
    [memory, sqlite] async fn s19_who_was_stopped_for_longer_than_a_set_up_lives_confirms_nothing(world) {
        for (late_by, sweeps) in [(OVER, false), (OVER, true), (GONE, false)] {
            let site = by_id(another(&world).await, Mode::WebSdk).await;
            let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            let between = Arc::new(between(&site.world.store));
            let slow = site.on_node(node_on(&site.world, between.clone()), &json!({}), UserNames::UserId);
            let slow = slow.build().await.unwrap();
            let (reference, response) = answered(&site, &slow, &one).await;
            let (engine, again) = (site.engine.clone(), Arc::clone(&between));
            let (clock, sig) = (site.world.clock.clone(), other.clone());
            let told = Arc::new(std::sync::Mutex::new(None));
            let (says, keys) = (Arc::clone(&told), site.keys.clone());
            between.plan(Moment::Read("identity"), async move {
                // It has read what it is about to confirm, and decides by the time from before.
                again.plan(Moment::Read("vault"), async move {
                    clock.advance(late_by);
                    if sweeps {
                        engine.reseal().await.unwrap();
                    }
                    let started = begin(&engine, &sig).await.unwrap();
                    let posted = signed(&keys, &started.prompt, mfa::Runtime::now(&clock));
                    *says.lock().unwrap() = Some(engine.enrol_confirm(&started.reference, &posted).await.unwrap());
                });
            });
            let late = slow.enrol_confirm(&reference, &response).await.unwrap();
            assert!(between.is_done());
            let theirs = told.lock().unwrap().take().unwrap();
            assert!(is_confirmed(&theirs) && !is_confirmed(&late), "{theirs:?} {late:?}");
            assert_eq!((methods(&site.engine, &one).await, methods(&site.engine, &other).await), (0, 1));
        }
    }

    [memory, sqlite, processes] async fn s19_a_crash_at_any_point_leaves_the_name_to_its_user_and_later_to_others(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let mut crashed_between = false;
        for polls in 1.. {
            // Another name each time.
            let name = format!("bob-{polls}");
            let one = known(&site, user_of("acme", &name), &name).await;
            let other = known(&site, user_of("other", &name), &name).await;
            let store = Arc::new(YieldingStore::new(Arc::clone(&site.world.store)));
            let slow = site.on_node(node_on(&site.world, store), &json!({}), UserNames::UserId).build().await.unwrap();
            let (reference, response) = answered(&site, &site.engine, &one).await;
            let before = claims(&site.world).await.len();
            let ended = drop_at_poll(slow.enrol_confirm(&reference, &response), polls);
            // What was on its way to the store has arrived: writers take their turns.
            delete(&site.world, user_key(&one, "nothing")).await;
            let (claimed, has) = (claims(&site.world).await.len() - before, methods(&site.engine, &one).await);
            assert!(has == 0 || claimed == 1, "{polls}: nobody has what is not claimed");
            if claimed == 1 {
                // Nobody else meanwhile.
                assert!(is_taken(&set_up(&site, &site.engine, &other).await), "{polls}");
            }
            if (claimed, has) == (1, 0) {
                crashed_between = true;
                // The user goes on, or begins anew, and then there is one method.
                if polls % 2 == 0 {
                    assert!(is_confirmed(&site.engine.enrol_confirm(&reference, &response).await.unwrap()), "{polls}");
                } else {
                    assert!(is_confirmed(&set_up(&site, &site.engine, &one).await), "{polls}");
                }
            }
            if claimed == 1 {
                remove(&site.engine, &one).await;
            }
            site.advance(OVER);
            assert!(is_confirmed(&set_up(&site, &site.engine, &other).await), "{polls}");
            if ended.is_some() {
                break;
            }
        }
        assert!(crashed_between);
    }

    [memory, sqlite] async fn s19_what_was_claimed_and_never_confirmed_is_free_once_the_set_up_is_over(world) {
        for revoked in [false, true] {
            let site = by_id(another(&world).await, Mode::WebSdk).await;
            let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
            let store = Arc::new(YieldingStore::new(Arc::clone(&site.world.store)));
            let slow = site.on_node(node_on(&site.world, store), &json!({}), UserNames::UserId).build().await.unwrap();
            let (reference, response) = answered(&site, &site.engine, &one).await;
            // Two reads and a commit, at two polls each, and a third poll.
            assert!(drop_at_poll(slow.enrol_confirm(&reference, &response), 8).is_none());
            delete(&site.world, user_key(&one, "nothing")).await;
            assert_eq!((claims(&site.world).await.len(), methods(&site.engine, &one).await), (1, 0));
            assert!(is_taken(&set_up(&site, &site.engine, &other).await));
            if revoked {
                site.engine.revoke(one.account(), one.user(), &host()).await.unwrap();
            } else {
                site.advance(OVER);
            }
            assert!(is_confirmed(&set_up(&site, &site.engine, &other).await));
            assert!(!is_confirmed(&site.engine.enrol_confirm(&reference, &response).await.unwrap()));
        }
    }

    [memory, sqlite] async fn s19_an_owner_who_cannot_be_read_still_has_it(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        assert!(is_confirmed(&set_up(&site, &site.engine, &one).await));
        let record = user_record(&site.world, &one, "login").await;
        let mut changed = record.clone();
        let at = changed.body.len() / 2;
        changed.body[at] ^= 1;
        overwrite(&site.world, &changed).await;
        assert!(is_taken(&set_up(&site, &site.engine, &other).await));
        overwrite(&site.world, &record).await;
        // Nor is a claim that cannot be read as if there were none.
        let claim = claims(&site.world).await.remove(0);
        let mut changed = claim.clone();
        changed.body[at] ^= 1;
        overwrite(&site.world, &changed).await;
        let (reference, response) = answered(&site, &site.engine, &other).await;
        assert_eq!(site.engine.enrol_confirm(&reference, &response).await.unwrap_err().code(), "unavailable");
        overwrite(&site.world, &claim).await;
        assert!(is_taken(&site.engine.enrol_confirm(&reference, &response).await.unwrap()));
    }

    [memory, sqlite] async fn s19_the_same_name_with_another_integration_is_another_user(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        assert!(is_confirmed(&set_up(&site, &site.engine, &one).await));
        // Nothing is asked of the host in this mode.
        let elsewhere = site.on_node(site.world.node(), &json!({"api_hostname": "127.0.0.1:9"}), UserNames::UserId);
        assert!(is_confirmed(&set_up(&site, &elsewhere.build().await.unwrap(), &other).await));
        // Another application of the same customer of Duo's has the same users.
        let application = json!({"integration_key": "DIYYYYYYYYYYYYYYYYYY"});
        let application = site.on_node(site.world.node(), &application, UserNames::UserId).build().await.unwrap();
        let third = bob_of(&site, "third").await;
        let started = begin(&application, &third).await.unwrap();
        let mut keys = site.keys.clone();
        keys.ikey = "DIYYYYYYYYYYYYYYYYYY".to_owned();
        let posted = signed(&keys, &started.prompt, site.world.now());
        let told = application.enrol_confirm(&started.reference, &posted).await.unwrap();
        assert!(is_taken(&told), "{told:?}");
    }

    [memory, sqlite] async fn s19_claims_are_met_under_every_key_of_the_ring_and_move_with_it(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let (inbox, world) = (Inbox::new(), &site.world);
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(rings::node_on(world, rings::world_store(world), &inbox, |node| {
                site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
            }).await);
        }
        let [at, late] = &nodes[..] else { panic!("two nodes") };
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        for who in [&one, &other] {
            at.directory.put(who).await.unwrap();
        }
        assert!(is_confirmed(&set_up(&site, &at.engine, &one).await));
        site.advance(OVER);
        assert_eq!(at.engine.reseal().await.unwrap().records, 0, "what is under the active key stays");
        add_new(&nodes);
        activate_new([at]).await;
        // By one that writes with the new key, and one that still writes with the old one.
        for node in [at, late] {
            assert!(is_taken(&set_up(&site, &node.engine, &other).await));
        }
        // Both at once, each under its own key: one has it.
        remove(&at.engine, &one).await;
        let between = Arc::new(between(&world.store));
        let slow = rings::node_on(world, between.clone(), &inbox, |node| {
            site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
        }).await;
        add_new([&slow]);
        at.engine.reseal().await.unwrap();
        assert!(claims(world).await.is_empty());
        let (reference, response) = answered(&site, &slow.engine, &one).await;
        let theirs = answered(&site, &at.engine, &other).await;
        let engine = at.engine.clone();
        between.plan(Moment::Read("identity"), async move {
            assert!(is_confirmed(&engine.enrol_confirm(&theirs.0, &theirs.1).await.unwrap()));
        });
        assert!(is_taken(&slow.engine.enrol_confirm(&reference, &response).await.unwrap()));
        assert_eq!((between.is_done(), claims(world).await.len()), (true, 1));
        // One that was made under the old key moves, and is met where it is then.
        remove(&at.engine, &other).await;
        assert!(is_confirmed(&set_up(&site, &late.engine, &one).await));
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::OLD && rings::mentions(claim, rings::OLD) == 1);
        activate_new([late, &slow]).await;
        site.advance(OVER);
        assert!(retire_old(at).await.is_err());
        at.engine.reseal().await.unwrap();
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::NEW && rings::mentions(claim, rings::OLD) == 0);
        retire_old(at).await.unwrap();
        assert!(is_taken(&set_up(&site, &at.engine, &other).await));
        site.advance(Duration::from_secs(1));
    }

    // The name is sealed under one key, and its record written under the next.
    [memory, sqlite] async fn s19_a_key_that_is_turned_while_a_name_is_claimed_is_left_by_the_claim_later(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let (inbox, world) = (Inbox::new(), &site.world);
        let between = Arc::new(between(&world.store));
        let at = rings::node_on(world, between.clone(), &inbox, |node| {
            site.on_node(rings::without_recovery(node), &json!({}), UserNames::UserId)
        }).await;
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        for who in [&one, &other] {
            at.directory.put(who).await.unwrap();
        }
        add_new([&at]);
        let (reference, response) = answered(&site, &at.engine, &one).await;
        let engine = at.engine.clone();
        between.plan(Moment::Read("identity"), async move {
            engine.key_activate(&rings::id(rings::NEW), "ops", "yearly rotation").await.unwrap();
        });
        assert!(is_confirmed(&at.engine.enrol_confirm(&reference, &response).await.unwrap()));
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert!(rings::outer_key(claim) == rings::NEW && rings::mentions(claim, rings::OLD) == 1);
        site.advance(OVER);
        at.engine.reseal().await.unwrap();
        let [claim] = &claims(world).await[..] else { panic!("one claim") };
        assert_eq!(rings::mentions(claim, rings::OLD), 0);
        retire_old(&at).await.unwrap();
        assert!(is_taken(&set_up(&site, &at.engine, &other).await));
    }

    [memory, sqlite] async fn s19_reseal_sweeps_what_nobody_has_any_more_and_nothing_else(world) {
        let site = by_id(world, Mode::WebSdk).await;
        let (one, ann) = (bob_of(&site, "acme").await, known(&site, user_of("other", "ann"), "ann").await);
        for who in [&one, &ann] {
            assert!(is_confirmed(&set_up(&site, &site.engine, who).await));
        }
        site.engine.reseal().await.unwrap();
        assert_eq!(claims(&site.world).await.len(), 2);
        let before = claims(&site.world).await;
        remove(&site.engine, &one).await;
        // As a crash leaves them, after what they rest on is gone.
        for claim in before {
            overwrite(&site.world, &claim).await;
        }
        assert_eq!(claims(&site.world).await.len(), 2);
        site.engine.reseal().await.unwrap();
        assert_eq!(claims(&site.world).await.len(), 1);
        let eve = known(&site, user_of("acme", "ann"), "ann").await;
        assert!(is_taken(&set_up(&site, &site.engine, &eve).await));
    }

    [memory, sqlite] async fn s19_a_claim_shows_nobody_s_name(world) {
        let site = naming(world, Mode::WebSdk, UserNames::Label).await;
        let who = user_of("acme", "b1").with_label("bob@acme.example").unwrap();
        let bob = known(&site, who, "bob@acme.example").await;
        assert!(is_confirmed(&set_up(&site, &site.engine, &bob).await));
        let [claim] = &claims(&site.world).await[..] else { panic!("one claim") };
        let seen = [&claim.body[..], &claim.key.id[..]].concat();
        for name in ["bob", "acme.example", site.duo.authority()] {
            assert!(!seen.windows(name.len()).any(|bytes| bytes == name.as_bytes()), "{name}");
        }
    }

    [memory, sqlite] async fn s19_nobody_sets_duo_up_alone_through_a_configuration_of_an_account_above(world) {
        for (names, whose, alone) in [
            (UserNames::UserId, Owner::Account(owner_of("root")), false),
            (UserNames::UserId, Owner::System, false),
            (UserNames::UserId, Owner::Account(owner_of("acme")), true),
            (UserNames::AccountAndUser, Owner::Account(owner_of("root")), true),
        ] {
            let site = configured(another(&world).await, names, &whose).await;
            let why = format!("{names:?} {whose:?}");
            let (bob, app) = of_acme(&site, "bob", 0).await;
            let by_bob = proof(&site, (&bob, &app), &bob).await;
            let told = |begun: Result<mfa::EnrolmentStarted, Error>| begun.map_or_else(|error| error.code(), |_| "begun");
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
            let (ann, anns) = of_acme(&site, "ann", 5).await;
            let by_ann = proof(&site, (&ann, &anns), &bob).await;
            assert_eq!(told(begin_by(&site, &bob, &by_ann).await), "begun", "{why}");
            assert_eq!(told(begin_by(&site, &eve, &host()).await), "begun", "{why}");
        }
    }

    [memory, sqlite] async fn s19_no_recovery_codes_are_made_for_whom_another_is_at_duo(world) {
        let mut site = DuoSite::new(world, Mode::WebSdk).await;
        let node = site.node_naming(&json!({}), UserNames::UserId).provider(mfa_testkit::host::recovery());
        site.engine = node.build().await.unwrap();
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        let (reference, response) = answered(&site, &site.engine, &one).await;
        let shown = site.engine.enrol_confirm(&reference, &response).await.unwrap();
        assert!(matches!(shown, EnrolConfirm::RecoveryShown(_)), "{shown:?}");
        // It is the user's from the right answer on, before the codes are acknowledged.
        assert!(is_taken(&set_up(&site, &site.engine, &other).await));
        let charged = events(&site.world, "other").await.into_iter().filter(|event| event.kind() == Kind::EffectCharged);
        assert_eq!(charged.count(), 0);
        let kept = site.engine.enrol_acknowledge(&reference, &RequestFacts::new()).await.unwrap();
        assert!(is_confirmed(&kept), "{kept:?}");
        assert_eq!(claims(&site.world).await.len(), 1);
    }

    // The claim is gone, for whatever reason: it is asked for again before the method counts.
    [memory, sqlite] async fn s19_an_acknowledgement_claims_the_name_again(world) {
        let mut site = DuoSite::new(world, Mode::WebSdk).await;
        let node = site.node_naming(&json!({}), UserNames::UserId).provider(mfa_testkit::host::recovery());
        site.engine = node.build().await.unwrap();
        let without = site.node_naming(&json!({}), UserNames::UserId).build().await.unwrap();
        let (one, other) = (bob_of(&site, "acme").await, bob_of(&site, "other").await);
        let (reference, response) = answered(&site, &site.engine, &one).await;
        let shown = site.engine.enrol_confirm(&reference, &response).await.unwrap();
        assert!(matches!(shown, EnrolConfirm::RecoveryShown(_)), "{shown:?}");
        delete(&site.world, claims(&site.world).await.remove(0).key).await;
        assert!(is_confirmed(&set_up(&site, &without, &other).await));
        let late = site.engine.enrol_acknowledge(&reference, &RequestFacts::new()).await.unwrap();
        assert!(is_taken(&late), "{late:?}");
        assert_eq!(methods(&site.engine, &one).await, 0);
    }
}
