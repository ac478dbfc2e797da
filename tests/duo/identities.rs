//! S19: of all users whom Duo takes for one, of whichever account, one alone has Duo.

use std::sync::Arc;
use std::time::Duration;

use audit_model::{Event, Kind, Query};
use mfa::duo::UserNames;
use mfa::{
    AccountId, Choice, Engine, EnrolConfirm, Error, Reason, Record, RecordKind, Rejected, RequestFacts,
    Response, Scope, Subject, Timestamp,
};
use mfa_testkit::duo::{Device, Integration, User};
use mfa_tests::attack::{delete, overwrite};
use mfa_tests::between::{Moment, between};
use mfa_tests::duo::{DuoSite, Mode, another, duo, granted, reply, text, user_of};
use mfa_tests::probe::node_on;
use mfa_tests::rights::enrol_by;
use mfa_tests::{World, host, on_duo};
use serde_json::{Value, json};

/// Longer than a set-up lives.
pub(crate) const OVER: Duration = Duration::from_secs(3600);
/// Longer than the record of one is kept.
pub(crate) const GONE: Duration = Duration::from_secs(48 * 3600);

/// A site whose users are called at Duo by their ids.
pub(crate) async fn by_id(world: World, mode: Mode) -> DuoSite {
    naming(world, mode, UserNames::UserId).await
}

pub(crate) async fn naming(world: World, mode: Mode, names: UserNames) -> DuoSite {
    let mut site = DuoSite::new(world, mode).await;
    site.engine = site.node_naming(&json!({}), names).build().await.unwrap();
    site
}

/// Adds a user, who is called so at Duo.
pub(crate) async fn known(site: &DuoSite, who: Subject, name: &str) -> Subject {
    site.duo.add_user(User::new(name).device(Device::phone("+15555550100")));
    site.world.directory.put(&who).await.unwrap();
    who
}

pub(crate) async fn bob_of(site: &DuoSite, account: &str) -> Subject {
    known(site, user_of(account, "bob"), "bob").await
}

pub(crate) async fn begin(engine: &Engine, who: &Subject) -> Result<mfa::EnrolmentStarted, Error> {
    engine.enrol_begin(who.account(), who.user(), &duo(), &Choice::none(), &host()).await
}

/// Sets Duo up, and moves the clocks on by a second. That another one has the name is told at the beginning.
pub(crate) async fn set_up(site: &DuoSite, engine: &Engine, who: &Subject) -> EnrolConfirm {
    let started = match begin(engine, who).await {
        Err(error) if error.code() == "identity_taken" => {
            return EnrolConfirm::Rejected(Rejected::new(Reason::IdentityTaken, 0, None));
        }
        begun => begun.unwrap(),
    };
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

pub(crate) fn is_confirmed(told: &EnrolConfirm) -> bool {
    matches!(told, EnrolConfirm::Confirmed(_))
}

pub(crate) fn is_taken(told: &EnrolConfirm) -> bool {
    matches!(told, EnrolConfirm::Rejected(Rejected { reason, .. }) if reason.code() == "identity_taken")
}

pub(crate) async fn methods(engine: &Engine, who: &Subject) -> usize {
    engine.methods(who.account(), who.user()).await.unwrap().len()
}

pub(crate) async fn remove(engine: &Engine, who: &Subject) {
    let selector = "duo".parse().unwrap();
    engine.method_remove(who.account(), who.user(), &selector, &host()).await.unwrap();
}

pub(crate) async fn claims(world: &World) -> Vec<Record> {
    world.store.scan(RecordKind::new("identity"), None, 1000, world.now()).await.unwrap()
}

async fn events(world: &World, account: &str) -> Vec<Event> {
    let query = Query::new(Scope::Account(AccountId::parse(account).unwrap()));
    audit_model::all(&*world.store, &query, 1000).await.unwrap()
}

/// A set-up in the frame whose right answer is at hand, so that all that is left is to confirm it.
pub(crate) async fn answered(site: &DuoSite, engine: &Engine, who: &Subject) -> (mfa::Reference, Response) {
    let started = begin(engine, who).await.unwrap();
    let posted = site.duo.web_prompt(text(&started.prompt, "duo_sig_request"));
    (started.reference, reply(&posted))
}

/// What Duo, which has these keys, lets a browser post for bob.
pub(crate) fn signed(keys: &Integration, prompt: &Value, now: Timestamp) -> Response {
    let (_, app) = text(prompt, "duo_sig_request").split_once(':').unwrap();
    let auth = keys.web_cookie("AUTH", "bob", now.plus(Duration::from_secs(300)));
    reply(&format!("{auth}:{app}"))
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
        // However it is taken apart it must be the same, and what nobody sees must not tell it from another.
        let engine = site.node_naming(&json!({}), UserNames::Label).build().await.unwrap();
        for (n, label) in ["bob@x\\eve", "x\\y\\bob", "a@b@c", "@acme.example", "acme\\", "acme\\@x", "bo\u{200b}b",
            "bo\u{ad}b", "bo\u{fe0f}b", "bo\u{115f}b", "bo\u{3164}b", "b\u{301}ob"].into_iter().enumerate()
        {
            let Ok(eve) = user_of("other", &format!("eve-{n}")).with_label(label) else { continue };
            site.world.directory.put(&eve).await.unwrap();
            assert_eq!(begin(&engine, &eve).await.unwrap_err().code(), "ambiguous", "{label:?}");
        }
        for (n, label) in ["bob", "ACME\\bob@acme.example", "ren\u{e9} o'neil-x_1@acme.example", "re\u{6e}e\u{301}", "\u{7530}\u{4e2d}"].into_iter().enumerate() {
            let ann = user_of("other", &format!("ann-{n}")).with_label(label).unwrap();
            site.world.directory.put(&ann).await.unwrap();
            assert!(begin(&engine, &ann).await.is_ok(), "{label:?}");
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
        assert!(is_taken(&set_up(&site, &application, &third).await));
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
