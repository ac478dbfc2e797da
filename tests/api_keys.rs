//! API keys: what a host and an administrator see of them (rows A13 to A16), who may do what, what is logged, and
//! what is refused.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::export::to_line;
use audit_model::{Event, Kind, Query};
use data_encoding::HEXLOWER;
use mfa::{
    Account, AccountId, Amr, ApiKey, ApiKeyVerify, Authority, Begin, Error, HttpOutcome, Intent, Invitation,
    Module, RequestFacts, Response, Scope, Subject, Ticket, UserId, Verify, http_status,
};
use mfa_testkit::faults::{CountingStore, Counts};
use mfa_tests::api_keys::{account, below, by, hints, module, readable, reset, show, told};
use mfa_tests::attack::{dump, records};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on};
use mfa_tests::{World, host, login, on_stores, session, totp};
use serde_json::json;

/// What was refused of keys that are nobody's: in no account's log.
async fn refused_of_nobody(world: &World) -> Vec<Event> {
    let events = audit_model::all(&*world.store, &Query::new(Scope::System), 10_000).await.unwrap();
    events.into_iter().filter(|event| event.kind() == Kind::ApiKeyRejected).collect()
}

on_stores! {
    async fn a13_a_key_is_64_lower_hex_digits_and_shown_where_it_is_kept_readable(world) {
        let engine = world.node().policy(readable()).build().await.unwrap();
        let issued = engine.api_key_create(&account(), &host()).await.unwrap();
        let key = issued.key.expose_secret();
        assert!(key.len() == 64 && key.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)));
        assert_eq!(issued.issued_at, world.now());
        let shown = engine.api_key_show(&account(), &host()).await.unwrap();
        assert_eq!((shown.key.expose_secret(), shown.issued_at), (key, issued.issued_at));
        // One key an account.
        let again = engine.api_key_create(&account(), &host()).await.unwrap_err();
        assert_eq!(again.code(), "exists");
        assert_eq!(told(&engine, key).await, "acme");
        let none = engine.api_key_show(&below("beta", &[]), &host()).await.unwrap_err();
        assert_eq!(none.code(), "no_api_key");
    }

    async fn a13_a_key_that_is_kept_as_a_hash_is_shown_at_its_issue_alone(world) {
        let key = reset(&world.engine).await;
        let readable = world.node().policy(readable()).build().await.unwrap();
        // What was not kept cannot be shown, whatever the policy says now.
        for engine in [&world.engine, &readable] {
            let hidden = engine.api_key_show(&account(), &host()).await.unwrap_err();
            assert_eq!(hidden.code(), "hash_only");
            assert!(!hidden.to_string().contains(&key));
        }
        // What was kept is not shown where the policy says that it should not be, and its next use drops it.
        let key = reset(&readable).await;
        assert_eq!(world.engine.api_key_show(&account(), &host()).await.unwrap_err().code(), "hash_only");
        assert_eq!(show(&readable).await, key);
        assert_eq!(told(&world.engine, &key).await, "acme");
        assert_eq!(readable.api_key_show(&account(), &host()).await.unwrap_err().code(), "hash_only");
        assert_eq!(told(&readable, &key).await, "acme");
    }

    async fn a14_what_is_shown_is_what_is_accepted_to_the_byte(world) {
        let engine = world.node().policy(readable()).build().await.unwrap();
        reset(&engine).await;
        let shown = show(&engine).await;
        assert_eq!(shown.trim(), shown);
        assert_eq!(told(&engine, &shown).await, "acme");
        for (typed, said) in [
            (format!(" {shown}"), "too_long"),
            (format!("{shown}\n"), "too_long"),
            (format!(" {}", &shown[..63]), "not_found"),
            (format!("{}\u{a0}", &shown[..63]), "not_found"),
            (format!("{}\0", &shown[..63]), "not_found"),
        ] {
            assert_eq!(told(&engine, &typed).await, said);
        }
    }

    async fn a15_a_reset_kills_the_old_key_at_once_and_says_by_whom(world) {
        let old = reset(&world.engine).await;
        let ann = enrol_ranked(&world, "ann", 1).await;
        let by_ann = by(&world.engine, &world, &ann, 1, &Intent::issue_api_key(&account())).await;
        let issued = world.engine.api_key_reset(&account(), &by_ann).await.unwrap();
        assert_ne!(issued.key.expose_secret(), old);
        assert_eq!(told(&world.engine, &old).await, "not_found");
        assert_eq!(told(&world.engine, issued.key.expose_secret()).await, "acme");
        let [event] = &world.events_of(Kind::ApiKeyReset).await[..] else { panic!("one event") };
        assert_eq!((event.actor(), event.reason()), (Some("ann"), Some("a leak")));
        assert_eq!((event.field("authority"), event.field("kept")), (Some("administrator"), Some("hash")));
        // Of an account, and of no user.
        assert_eq!(event.user(), None);
        let [event] = &world.events_of(Kind::ApiKeyCreated).await[..] else { panic!("one event") };
        assert_eq!(event.actor(), Some("test-host"));
        // A proof is good once.
        let again = world.engine.api_key_reset(&account(), &by_ann).await.unwrap_err();
        assert_eq!(again.code(), "step_up_required");
        mfa_tests::told::streams_are_whole(&world.events().await);
    }

    async fn a15_who_is_no_administrator_changes_nothing_and_sees_nothing(world) {
        let engine = world.node().policy(readable()).build().await.unwrap();
        let key = reset(&engine).await;
        let (bob, app) = world.enrol("bob").await;
        for (n, intent) in
            [Intent::issue_api_key(&account()), Intent::show_api_key(&account()), Intent::remove_api_key(&account())]
                .into_iter()
                .enumerate()
        {
            let proof = prove_on(&engine, &world, login(&bob), &app, &intent).await;
            let other = prove_on(&engine, &world, login(&bob), &app, &Intent::disable(&bob)).await;
            let made_up = Authority::invited(Ticket::from_text("x"), None, Invitation::from_text("x"));
            for (authority, expected) in [
                (in_session_of(&bob, &proof), "not_permitted"),
                (in_session_of(&bob, &other), "step_up_required"),
                (first_factor(&bob), "step_up_required"),
                (made_up, "step_up_required"),
            ] {
                let before = records(&world).await;
                let refused = match n {
                    0 => engine.api_key_reset(&account(), &authority).await.map(drop),
                    1 => engine.api_key_show(&account(), &authority).await.map(drop),
                    _ => engine.api_key_remove(&account(), &authority).await,
                };
                let refused = refused.unwrap_err();
                assert_eq!(refused.code(), expected);
                assert!(matches!(refused, Error::Forbidden(_)));
                // Not even a hint at a key that nobody gets.
                assert_eq!(records(&world).await, before);
            }
        }
        assert_eq!(told(&engine, &key).await, "acme");
        assert_eq!(show(&engine).await, key);
        let store = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let counted = node_on(&world, store.clone()).build().await.unwrap();
        let _ = store.take();
        assert!(counted.api_key_reset(&account(), &first_factor(&bob)).await.is_err());
        let counts = store.take();
        assert_eq!((counts.commits, counts.bytes_put), (1, 0), "the refusal is written down, and nothing else");
        let refused = world.events_of(Kind::ChangeRefused).await;
        assert!(refused.iter().any(|event| event.actor() == Some("bob") && event.user().is_none()));
    }

    async fn a16_what_has_not_the_form_of_a_key_is_refused_without_a_read(world) {
        let key = reset(&world.engine).await;
        let store = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let engine = node_on(&world, store.clone()).build().await.unwrap();
        let _ = store.take();
        let upper = key.to_uppercase();
        assert_ne!(upper, key);
        for (text, said) in [
            ("", "too_short"),
            (&key[..63], "too_short"),
            (&format!("{key}0"), "too_long"),
            (&format!("{key}{key}"), "too_long"),
            (&"é".repeat(32), "too_short"),
            (&upper, "not_found"),
            (&"g".repeat(64), "not_found"),
            (&"é".repeat(64), "not_found"),
            (&" ".repeat(64), "not_found"),
            (&"０".repeat(64), "not_found"),
        ] {
            assert_eq!(told(&engine, text).await, said);
            let facts = RequestFacts::new();
            let answer = format!("{:?}", engine.api_key_verify(text, &module(), &facts).await);
            assert!(text.len() < 2 || !answer.contains(text), "{answer}");
        }
        assert_eq!(store.take(), Counts::default());
        let short = engine.api_key_verify(&key[..63], &module(), &RequestFacts::new()).await.unwrap_err();
        assert_eq!(short.to_string(), "api_key has 63 characters, must have 64");
    }

    async fn a16_unknown_dead_removed_and_anothers_dead_key_get_one_answer(world) {
        let dead = reset(&world.engine).await;
        reset(&world.engine).await;
        let beta = below("beta", &[]);
        let removed = world.engine.api_key_create(&beta, &host()).await.unwrap().key;
        world.engine.api_key_remove(&beta, &host()).await.unwrap();
        let ask = async |key: &str| {
            let answer = world.engine.api_key_verify(key, &module(), &RequestFacts::new()).await.unwrap();
            assert_eq!(http_status(&answer).status, 401);
            let ApiKeyVerify::Rejected(rejected) = &answer else { panic!("{answer:?}") };
            (format!("{answer:?}"), rejected.public())
        };
        let unknown = ask(&"0".repeat(64)).await;
        for key in [&dead, removed.expose_secret(), &"g".repeat(64), &dead.to_uppercase()] {
            let answer = ask(key).await;
            assert_eq!(answer, unknown);
            assert!(!answer.0.contains(key));
        }
    }

    async fn a16_a_right_key_costs_two_reads_and_a_commit_an_unknown_one_a_read(world) {
        let old = reset(&world.engine).await;
        let key = reset(&world.engine).await;
        let store = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let engine = node_on(&world, store.clone()).build().await.unwrap();
        let unknown = "0".repeat(64);
        for (key, said, costs) in [
            (&key, "acme", (2, 2, 1)),
            (&old, "not_found", (2, 2, 1)),
            (&unknown, "not_found", (1, 1, 1)),
            // A flood is written down once a minute.
            (&unknown, "not_found", (1, 1, 0)),
            (&key, "acme", (2, 2, 1)),
        ] {
            let _ = store.take();
            assert_eq!(told(&engine, key).await, said);
            let counts = store.take();
            assert_eq!((counts.gets, counts.keys_read, counts.commits), costs, "{said}");
        }
    }

    async fn a16_each_use_is_an_event_and_refusals_are_written_once_a_minute(world) {
        let old = reset(&world.engine).await;
        let key = reset(&world.engine).await;
        let facts = || RequestFacts::new().with_ip("10.1.0.2".parse().unwrap()).with_header("X-Api-Key", &key);
        for _ in 0..3 {
            let _ = world.engine.api_key_verify(&key, &module(), &facts()).await.unwrap();
            let _ = world.engine.api_key_verify(&old, &module(), &facts()).await.unwrap();
            let _ = world.engine.api_key_verify(&"0".repeat(64), &module(), &facts()).await.unwrap();
        }
        let accepted = world.events_of(Kind::ApiKeyAccepted).await;
        assert_eq!(accepted.len(), 3);
        let (dead, unknown) = (world.events_of(Kind::ApiKeyRejected).await, refused_of_nobody(&world).await);
        assert_eq!((dead.len(), unknown.len()), (1, 1));
        for event in accepted.iter().chain(&dead).chain(&unknown) {
            assert_eq!(event.module(), Some("cb_api_auth"));
            assert_eq!(event.ip(), Some("10.1.0.2".parse().unwrap()));
            assert_eq!(event.attempt().map(|attempt| &*attempt.auth_type), Some("account_api_token"));
            assert!(!to_line(event).unwrap().contains(&key));
        }
        assert_eq!(dead[0].reason(), Some("not_found"));
        world.clock.advance(Duration::from_secs(60));
        assert_eq!(told(&world.engine, &old).await, "not_found");
        assert_eq!(told(&world.engine, &"1".repeat(64)).await, "not_found");
        assert_eq!(world.events_of(Kind::ApiKeyRejected).await.len(), 2);
        assert_eq!(refused_of_nobody(&world).await.len(), 2);
        // After a day the dead key is unknown like any other.
        world.clock.advance(Duration::from_secs(86_400));
        assert_eq!(told(&world.engine, &old).await, "not_found");
        assert_eq!(world.events_of(Kind::ApiKeyRejected).await.len(), 2);
        assert_eq!(hints(&world).await.len(), 1);
    }

    async fn s12_an_api_key_is_a_first_factor_and_a_user_with_a_method_is_asked_for_it(world) {
        let key = reset(&world.engine).await;
        let verify = async || match world.engine.api_key_verify(&key, &module(), &RequestFacts::new()).await {
            Ok(ApiKeyVerify::Verified(verified)) => verified,
            other => panic!("{other:?}"),
        };
        let verified = verify().await;
        assert_eq!((verified.account(), verified.module()), (account().id(), &module()));
        assert_eq!(verified.verified_at(), world.now());
        let (bob, app) = world.enrol("bob").await;
        let asked = verified.into_login(bob.clone(), Some(&session(&bob))).unwrap();
        let Begin::Challenge(challenge) = world.engine.begin(asked).await.unwrap() else { panic!("a challenge") };
        let code = Response::code(&app.code_at(world.now()));
        let Verify::Verified(grant) = world.engine.verify(&challenge.reference, code).await.unwrap() else {
            panic!("a grant")
        };
        // Of a key of a program no factor is claimed, so that two are not, either.
        let amr = grant.evidence().amr();
        assert!(!amr.contains(&Amr::Mfa) && !amr.contains(&Amr::Pwd), "{amr:?}");
        let begun = world.events_of(Kind::ChallengeBegun).await;
        let begun = begun.last().unwrap();
        assert_eq!((begun.field("first_factor"), begun.module()), (Some("api_key"), Some("cb_api_auth")));
        // The key of one account is none of another.
        let stranger = Subject::new(AccountId::parse("beta").unwrap(), UserId::parse("bob").unwrap());
        let refused = verify().await.into_login(stranger, None).unwrap_err();
        assert_eq!((refused.field.as_str(), refused.code), ("account", "other_account"));
    }

    async fn s27_no_api_key_is_in_the_store_the_log_or_what_is_printed(world) {
        for policy in [mfa::Policy::recommended(), readable()] {
            let engine = world.node().policy(policy).build().await.unwrap();
            let issued = engine.api_key_reset(&account(), &host()).await.unwrap();
            let key = issued.key.expose_secret().to_owned();
            let shown = engine.api_key_show(&account(), &host()).await;
            let verified = engine.api_key_verify(&key, &module(), &RequestFacts::new()).await;
            let printed = format!("{issued:?} {shown:?} {verified:?} {engine:?} {:?}", issued.key);
            assert!(!printed.contains(&key[..8]), "{printed}");
            let (records, events) = dump(&world).await;
            let bytes = HEXLOWER.decode(key.as_bytes()).unwrap();
            let holds = |body: &[u8], what: &[u8]| body.windows(what.len()).any(|window| window == what);
            assert!(records.iter().any(|record| record.key.kind.as_str() == "api_key"));
            for record in &records {
                for place in [&record.body[..], &record.key.id] {
                    assert!(!holds(place, key.as_bytes()) && !holds(place, &bytes), "{:?}", record.key.kind);
                }
            }
            assert!(events.iter().all(|event| !to_line(event).unwrap().contains(&key)));
            if let Some(file) = world.file() {
                for file in [file.clone(), file.with_extension("db-wal")] {
                    let content = std::fs::read(file).unwrap_or_default();
                    assert!(!holds(&content, key.as_bytes()) && !holds(&content, &bytes));
                }
            }
        }
    }

    async fn s29_an_administrator_of_the_account_or_above_changes_its_api_key_by_a_proof_for_it(world) {
        let engine = world.node().policy(readable()).build().await.unwrap();
        let branch = below("branch", &["acme", "hq"]);
        let ann = |of: &str| Subject::new(AccountId::parse(of).unwrap(), UserId::parse("ann").unwrap());
        for of in ["branch", "acme", "hq", "beta"] {
            let ann = ann(of);
            world.directory.put(&ann).await.unwrap();
            let with_app = (ann.clone(), world.enrol_again(&ann).await);
            for rank in [0, 1] {
                let permitted = rank > 0 && of != "beta";
                let said = |told: Result<(), Error>| told.map_or_else(|error| error.code(), |()| "done");
                let expected = if permitted { "done" } else { "not_permitted" };
                let authority = by(&engine, &world, &with_app, rank, &Intent::issue_api_key(&branch)).await;
                let told_of = said(engine.api_key_reset(&branch, &authority).await.map(drop));
                assert_eq!(told_of, expected, "{of} {rank}");
                if permitted {
                    // The proof of one change is none for another.
                    let other = by(&engine, &world, &with_app, rank, &Intent::issue_api_key(&branch)).await;
                    let refused = engine.api_key_show(&branch, &other).await.map(drop);
                    assert_eq!(said(refused), "step_up_required", "{of}");
                }
                // Nor is that of one account for another.
                let other = by(&engine, &world, &with_app, rank, &Intent::show_api_key(&account())).await;
                assert_ne!(said(engine.api_key_show(&branch, &other).await.map(drop)), "done", "{of}");
                let authority = by(&engine, &world, &with_app, rank, &Intent::show_api_key(&branch)).await;
                assert_eq!(said(engine.api_key_show(&branch, &authority).await.map(drop)), expected, "{of} {rank}");
                let authority = by(&engine, &world, &with_app, rank, &Intent::remove_api_key(&branch)).await;
                assert_eq!(said(engine.api_key_remove(&branch, &authority).await), expected, "{of} {rank}");
            }
        }
        let of_branch = Query::new(Scope::Account(branch.id().clone())).ascending();
        let events = audit_model::all(&*world.store, &of_branch, 10_000).await.unwrap();
        for kind in [Kind::ApiKeyCreated, Kind::ApiKeyShown, Kind::ApiKeyRemoved] {
            let actors: Vec<_> = events.iter().filter(|event| event.kind() == kind).map(Event::actor).collect();
            assert_eq!(actors, [Some("ann"), Some("acme/ann"), Some("hq/ann")], "{kind}");
        }
        assert!(events.iter().any(|event| event.kind() == Kind::ChangeRefused && event.actor() == Some("beta/ann")));
    }

    async fn s29_an_api_key_is_shown_ten_times_a_day_and_each_time_is_an_event(world) {
        let engine = world.node().policy(readable()).build().await.unwrap();
        let mut key = reset(&engine).await;
        for n in 0..10 {
            // Another key is not another count.
            if n == 5 {
                key = reset(&engine).await;
            }
            assert_eq!(show(&engine).await, key);
        }
        let error = engine.api_key_show(&account(), &host()).await.unwrap_err();
        assert_eq!(error.code(), "too_often");
        assert_eq!(http_status(HttpOutcome::Error(&error)).status, 429);
        assert_eq!(world.events_of(Kind::ApiKeyShown).await.len(), 10);
        let refused = world.events_of(Kind::ChangeRefused).await;
        assert_eq!(refused.last().and_then(Event::reason), Some("too_often"));
        assert_eq!(told(&engine, &key).await, "acme");
        world.clock.advance(Duration::from_secs(86_400));
        assert_eq!(show(&engine).await, key);
        mfa_tests::told::streams_are_whole(&world.events().await);
    }
}

#[test]
fn a16_a_request_has_the_key_and_nothing_else() {
    let read = |data| ApiKey::in_request(&data).map(str::to_owned).map_err(|error| (error.field, error.code));
    let refused = |field: &str, code| Err((field.to_owned(), code));
    assert_eq!(read(json!({"api_key": "ff"})), Ok("ff".to_owned()));
    assert_eq!(read(json!({"api_key": "ff", "account": "acme"})), refused("data", "unknown_field"));
    assert_eq!(read(json!({"key": "ff"})), refused("api_key", "required"));
    assert_eq!(read(json!({"api_key": 255})), refused("api_key", "type"));
    assert_eq!(read(json!({"api_key": null})), refused("api_key", "type"));
    assert_eq!(read(json!(["ff"])), refused("data", "type"));
    let error = ApiKey::in_request(&json!({"api_key": "5ec2e7", "other-5ec2e7": 1})).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("5ec2e7"));
}

#[test]
fn a_module_is_the_hosts_to_name_and_an_account_its_own() {
    assert_eq!(Module::parse("cb_api_auth").unwrap(), module());
    let hq = AccountId::parse("hq").unwrap();
    let twice = vec![mfa::Ancestor::new(hq.clone()), mfa::Ancestor::new(hq.clone())];
    assert_eq!(Account::new(hq.clone()).with_lineage(twice).unwrap_err().code, "cycle");
    assert_eq!(Account::new(hq).with_lineage(Vec::new()).unwrap_err().code, "invalid");
    let _ = totp();
}
