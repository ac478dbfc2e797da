//! S19: whom Duo means. It knows a user by name alone, of whichever account.

use mfa::duo::UserNames;
use mfa::{Choice, Engine, EnrolConfirm, Reason, Response, Subject, Verify};
use mfa_testkit::duo::{Device, Reaction, User};
use mfa_tests::acting::refused;
use mfa_tests::duo::{DuoSite, Mode, another, begin_on, duo, granted, push, user_of};
use mfa_tests::{host, on_duo, subject};
use serde_json::json;

/// Adds a user, who is called so at Duo, and sets Duo up for them.
async fn enrolled(site: &DuoSite, who: Subject, name: &str) -> Subject {
    site.duo.add_user(User::new(name).device(Device::phone("+15555550100")));
    site.world.directory.put(&who).await.unwrap();
    site.enrol(&who).await;
    who
}

/// Begins to set Duo up on another engine.
async fn begin_setup(engine: &Engine, who: &Subject) -> Result<mfa::EnrolmentStarted, mfa::Error> {
    engine.enrol_begin(who.account(), who.user(), &duo(), &Choice::none(), &host()).await
}

on_duo! {
    [memory, sqlite] async fn s19_users_of_two_accounts_never_share_a_name_whatever_their_ids(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let names = [
            ("acme", "bob", "acme/bob"),
            ("other", "bob", "other/bob"),
            ("evil", "acme/bob", "evil/acme%2Fbob"),
            ("acme", "x/bob", "acme/x%2Fbob"),
            ("acme/x", "bob", "acme%2Fx/bob"),
            ("acme%2Fx", "bob", "acme%252Fx/bob"),
        ];
        for (account, user, name) in names {
            let who = enrolled(&site, user_of(account, user), name).await;
            let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
            assert_eq!(asked.params["username"], name);
            // Nobody but that person at Duo can approve.
            site.duo.set_reaction(name, Reaction::Deny);
            assert_eq!(refused(site.log_in(&who).await).reason, Reason::Denied, "{account} {user}");
        }
    }

    [memory, sqlite] async fn s19_a_reply_for_a_sibling_s_user_of_the_same_id_proves_nothing(world) {
        for mode in [Mode::WebSdk, Mode::Universal] {
            let world = another(&world).await;
            let site = DuoSite::new(world, mode).await;
            let bob = site.enrolled("bob").await;
            let sibling = enrolled(&site, user_of("other", "bob"), "other/bob").await;
            let (his, of_sibling) = (site.begin(&bob).await, site.begin(&sibling).await);
            let response = site.response_to(&of_sibling.prompt).await;
            let told = refused(site.verify(&his, response.clone()).await);
            assert!(matches!(told.reason, Reason::WrongCode | Reason::Superseded), "{mode:?}: {told:?}");
            granted(site.verify(&of_sibling, response).await);
            granted(site.go_on(&his).await);
        }
    }

    [memory, sqlite] async fn s19_an_auth_half_of_a_sibling_s_user_beside_the_own_app_half_proves_nothing(world) {
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bob = site.enrolled("bob").await;
        enrolled(&site, user_of("other", "bob"), "other/bob").await;
        let challenge = site.begin(&bob).await;
        let (_, app) = mfa_tests::duo::text(&challenge.prompt, "duo_sig_request").split_once(':').unwrap();
        let until = site.world.now().plus(std::time::Duration::from_secs(300));
        for name in ["other/bob", "bob", "acme/eve", "acme/bob ", "ACME/BOB", "acme/bob|acme/bob", ""] {
            let auth = site.keys.web_cookie("AUTH", name, until);
            let told = refused(site.verify(&challenge, mfa_tests::duo::reply(&format!("{auth}:{app}"))).await);
            assert!(matches!(told.reason, Reason::WrongCode | Reason::Malformed | Reason::Locked | Reason::Exhausted), "{name}: {told:?}");
        }
        site.advance(std::time::Duration::from_secs(900));
        granted(site.log_in(&bob).await);
    }

    [memory, sqlite] async fn s19_the_name_is_that_of_the_set_up_whatever_the_label_becomes(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let engine = site.node_naming(&json!({}), UserNames::Label).build().await.unwrap();
        for (label, reaction) in [("bob@acme.example", Reaction::Approve), ("eve@acme.example", Reaction::Deny)] {
            site.duo.add_user(User::new(label).device(Device::phone("+15555550100")).reaction(reaction));
        }
        let bob = subject("bob").with_label("bob@acme.example").unwrap();
        site.world.directory.put(&bob).await.unwrap();
        let started = begin_setup(&engine, &bob).await.unwrap();
        let mut told = engine.enrol_confirm(&started.reference, &push()).await.unwrap();
        while matches!(told, EnrolConfirm::Pending(_)) {
            told = engine.enrol_confirm(&started.reference, &Response::poll()).await.unwrap();
        }
        assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
        // The profile says another name now: it is still bob who is asked.
        let renamed = subject("bob").with_label("eve@acme.example").unwrap();
        site.world.directory.put(&renamed).await.unwrap();
        let challenge = begin_on(&engine, &renamed).await;
        assert!(matches!(engine.verify(&challenge.reference, push()).await.unwrap(), Verify::Pending(_)));
        let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
        assert_eq!(asked.params["username"], "bob@acme.example");
    }

    [memory, sqlite] async fn s19_a_name_that_duo_cannot_have_sets_nothing_up(world) {
        // Of the Web SDK, whose cookies end a field at a bar.
        let site = DuoSite::new(world, Mode::WebSdk).await;
        let bar = subject("b|ob");
        site.world.directory.put(&bar).await.unwrap();
        assert!(site.enrol_begin(&bar).await.is_err());
        assert!(site.engine.methods(bar.account(), bar.user()).await.unwrap().is_empty());
        // Of the host, which has no label for the user.
        assert!(subject("eve").with_label("").is_err());
    }

    [memory, sqlite] async fn s19_who_is_not_at_duo_enrols_there_under_a_name_of_the_account_alone(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let bob = site.world.add("bob").await;
        let started = site.enrol_begin(&bob).await.unwrap();
        assert_eq!(started.prompt["status"], "enroll");
        assert!(started.prompt["enroll_portal_url"].as_str().is_some_and(|url| url.starts_with("https://")));
        // Once the user has enrolled there, a poll says how to go on.
        site.duo.add_user(User::new("acme/bob").device(Device::phone("+15555550100")));
        let EnrolConfirm::Pending(pending) = site.confirm(&started, Response::poll()).await else { panic!() };
        assert_eq!(pending.prompt["offers"][0]["factor"], "push");
        for names in [UserNames::UserId, UserNames::Label] {
            let engine = site.node_naming(&json!({}), names).build().await.unwrap();
            let eve = subject("eve").with_label("victim@acme.example").unwrap();
            site.world.directory.put(&eve).await.unwrap();
            let told = begin_setup(&engine, &eve).await.unwrap_err();
            assert_eq!(told.code(), "user_not_found", "{names:?}");
        }
    }
}
