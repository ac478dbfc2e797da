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

/// Reads a name as Duo may be set to: in any case of its letters, without what is before a backslash or behind an at
/// sign.
fn as_duo_reads(name: &str) -> String {
    let name = name.rsplit_once('\\').map_or(name, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name).to_lowercase().trim().to_owned()
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
            ("evil", "acme/bob", "evil/acme%2fbob"),
            ("acme", "x/bob", "acme/x%2fbob"),
            ("acme/x", "bob", "acme%2fx/bob"),
            ("acme%2fx", "bob", "acme%252fx/bob"),
            ("acme", "Bob-1_2.3", "acme/%42ob-1_2.3"),
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

    [memory, sqlite] async fn s19_ids_that_duo_would_take_for_one_are_written_as_different_names(world) {
        let site = DuoSite::new(world, Mode::AuthApi).await;
        let alike = [
            ("acme", "bob"), ("acme", "Bob"), ("acme", "BOB"), ("Acme", "bob"), ("acme", "bob@x.example"),
            ("acme", "bob@y.example"), ("acme", "x\\bob"), ("acme", "y\\bob"), ("x\\acme", "bob"), ("acme@x", "bob"),
            ("acme@y", "bob"), ("acme", "b%6fb"), ("acme", "b%6Fb"), ("acme", "bo\u{212a}"), ("acme", "bok"), ("acme", "boK"),
            ("acme", "stra\u{df}e"), ("acme", "strasse"), ("acme", "bob "), ("acme", "bob+1"),
        ];
        let mut seen = Vec::new();
        for (account, user) in alike {
            // What cannot be an id is nobody's.
            let (Ok(account), Ok(user)) = (mfa::AccountId::parse(account), mfa::UserId::parse(user)) else { continue };
            let who = Subject::new(account, user);
            site.world.directory.put(&who).await.unwrap();
            site.enrol_begin(&who).await.unwrap();
            let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/preauth").unwrap();
            let name = asked.params["username"].clone();
            let read = as_duo_reads(&name);
            seen.push((who, name, read));
        }
        assert!(seen.len() > 15);
        for (at, (who, name, read)) in seen.iter().enumerate() {
            for (other, its_name, its_read) in &seen[..at] {
                assert_ne!(read, its_read, "{who:?} {name}, {other:?} {its_name}");
            }
        }
    }

    [memory, sqlite] async fn s19_a_name_that_is_too_long_for_duo_is_refused_by_name_and_limit(world) {
        for mode in Mode::ALL {
            let site = DuoSite::new(another(&world).await, mode).await;
            // Five bytes of `acme/`, and three of each capital.
            for (id, fits) in [("b".repeat(250), true), ("b".repeat(251), false), ("B".repeat(84), false)] {
                let who = subject(&id);
                site.world.directory.put(&who).await.unwrap();
                site.duo.add_user(User::new(format!("acme/{id}")).device(Device::phone("+15555550100")));
                match site.enrol_begin(&who).await {
                    Ok(_) => assert!(fits, "{mode:?} {}", id.len()),
                    Err(error) => {
                        assert!(!fits, "{mode:?} {}: {error}", id.len());
                        assert_eq!(error.code(), "too_long");
                        assert!(error.to_string().starts_with("username must have at most 255 bytes"), "{error}");
                    }
                }
            }
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
        let by_id = site.node_naming(&json!({}), UserNames::UserId).build().await.unwrap();
        assert!(begin_setup(&by_id, &bar).await.is_err());
        assert!(site.engine.methods(bar.account(), bar.user()).await.unwrap().is_empty());
        // With the account's name before it, it is written another way.
        assert!(site.enrol_begin(&bar).await.is_ok());
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
        site.advance(std::time::Duration::from_secs(3));
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
