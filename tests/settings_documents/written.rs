//! How documents are written, by whom, and where what they say is found.

use super::*;

on_stores! {
    async fn a_change_against_an_older_revision_is_a_conflict_and_one_of_two_writers_wins(world) {
        let engine = node(&world).await;
        let acme = Owner::Account(acme().into());
        let on = user(json!({"enabled": true}));
        let first = engine.settings_put(&acme, &on, None, &host()).await.unwrap();
        let (one, two) = futures::join!(
            async { engine.settings_put(&acme, &user(json!({"enabled": false})), Some(first), &host()).await },
            async { engine.settings_patch(&acme, &user(json!({"token_auth_expiry_s": 60})), Some(first), &host()).await },
        );
        let codes = [&one, &two].map(|result| result.as_ref().err().map(mfa::Error::code));
        assert!(codes == [None, Some("conflict")] || codes == [Some("conflict"), None], "{codes:?}");
        let late = engine.settings_delete(&acme, Some(first), &host()).await;
        assert_eq!(late.unwrap_err().code(), "conflict");
        let stored = engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().unwrap();
        assert_eq!(Some(stored.revision), one.or(two).ok());
        engine.settings_delete(&acme, Some(stored.revision), &host()).await.unwrap();
        let gone = engine.settings_delete(&acme, None, &host()).await;
        assert_eq!(gone.unwrap_err().code(), "no_document");
        // One that is gone has no revision to be changed against.
        let late = engine.settings_put(&acme, &on, Some(stored.revision), &host()).await;
        assert_eq!(late.unwrap_err().code(), "conflict");
        assert!(engine.settings(&Scope::Account(mfa_tests::acme())).await.unwrap().is_none());
    }

    async fn a_wrong_document_changes_nothing_and_every_change_is_told_with_who_made_it(world) {
        let engine = node(&world).await;
        let acme = Owner::Account(acme().into());
        put(&engine, &acme, json!({"enabled": true, "log_failed_attempts": true})).await;
        world.clock.advance(std::time::Duration::from_secs(1));
        let wrong = engine.settings_patch(&acme, &user(json!({"enabled": 1, "token_auth_expiry_s": 0})), None, &host()).await;
        let mfa::Error::InvalidDocument(fields) = wrong.unwrap_err() else { panic!() };
        assert_eq!(fields.len(), 2);
        engine.settings_patch(&acme, &user(json!({"log_failed_attempts": false})), None, &host()).await.unwrap();
        let events = world.events_of(Kind::SettingsChanged).await;
        let told: Vec<_> = events.iter().map(|event| (event.field("change").unwrap(), event.field("paths").unwrap())).collect();
        let module = "auth_modules.user_auth";
        assert_eq!(told, [
            ("put", format!("{module}.enabled {module}.log_failed_attempts").as_str()),
            ("patch", format!("{module}.log_failed_attempts").as_str()),
        ]);
        assert!(events.iter().all(|event| event.actor().is_some() && event.user().is_none()));
        policy(&engine, &acme, json!({"attempts": 3})).await;
        let events = world.events_of(Kind::PolicyChanged).await;
        assert_eq!(events[0].field("paths"), Some("attempts"));
    }

    async fn a_configuration_is_named_of_the_own_account_or_one_above_that_includes_it(world) {
        let engine = node(&world).await;
        let second = |account: &str| {
            user(json!({"multi_factor": {"configuration_id": "0".repeat(32), "account_id": account}}))
        };
        let code = |result: Result<_, mfa::Error>| result.err().map(|error| error.code());
        assert_eq!(code(engine.settings_put(&own(), &second("acme"), None, &host()).await), None);
        for not_above in ["sibling", "root", "mid"] {
            let put = engine.settings_put(&own(), &second(not_above), None, &host()).await;
            assert_eq!(code(put), Some("not_in_account_tree"), "{not_above}");
        }
        let includes = user(json!({"multi_factor": {"include_subaccounts": true}}));
        engine.settings_put(&of("root"), &includes, None, &host()).await.unwrap();
        assert_eq!(code(engine.settings_put(&own(), &second("root"), None, &host()).await), None);
        // What it says itself of accounts below does not count.
        let itself = user(json!({"multi_factor": {"configuration_id": "0".repeat(32), "account_id": "mid",
            "include_subaccounts": true}}));
        engine.settings_put(&of("mid"), &user(json!({"multi_factor": {"include_subaccounts": false}})), None, &host()).await.unwrap();
        assert_eq!(code(engine.settings_put(&own(), &itself, None, &host()).await), Some("not_in_account_tree"));
        // Nor does an account below, nor one above a reseller.
        assert_eq!(code(engine.settings_put(&of("root"), &second("acme"), None, &host()).await), Some("not_in_account_tree"));
        let reseller = [Ancestor::new(acme()), Ancestor::new(account("mid")).with_marks(true, false), Ancestor::new(account("root"))];
        let behind = Owner::Account(Account::new(acme()).with_lineage(reseller.to_vec()).unwrap());
        assert_eq!(code(engine.settings_put(&behind, &second("root"), None, &host()).await), Some("not_in_account_tree"));
    }

    async fn an_account_that_was_moved_has_the_settings_of_where_it_is_now(world) {
        let (bob, _app) = world.enrol("bob").await;
        let engine = node(&world).await;
        put(&engine, &of("root"), json!({"enabled": false})).await;
        let begun = engine.begin(login(&below(&bob))).await.unwrap();
        assert_eq!(denied(&begun), Some(DeniedReason::ModuleDisabled));
        let moved = [acme(), account("elsewhere")].map(Ancestor::new).to_vec();
        let moved = bob.clone().with_lineage(moved).unwrap();
        assert!(matches!(engine.begin(login(&moved)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn documents_move_to_the_new_key_and_hold_the_old_one_until_then(world) {
        let engine = node(&world).await;
        put(&engine, &Owner::System, json!({"enabled": false})).await;
        policy(&engine, &Owner::Account(acme().into()), json!({"attempts": 3})).await;
        let (old, new) = (world.ring.active(), mfa::KeyId::parse("k2").unwrap());
        world.ring.add(new.clone(), [9; 32]).unwrap();
        engine.key_activate(&new, "ops", "yearly").await.unwrap();
        assert_eq!(engine.key_references(&old).await.unwrap(), 2);
        assert_eq!(engine.key_retire(&old, "ops", "yearly").await.unwrap_err().code(), "key_in_use");
        assert_eq!(engine.reseal().await.unwrap().unreadable, 0);
        engine.key_retire(&old, "ops", "yearly").await.unwrap();
        let bob = world.add("bob").await;
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert_eq!(denied(&begun), Some(DeniedReason::ModuleDisabled));
    }

    async fn what_documents_say_is_read_with_the_user_s_records(world) {
        let (bob, app) = world.enrol("bob").await;
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let clock = Arc::new(world.clock.clone());
        let engine = Engine::builder(counting.clone(), world.directory.clone(), mfa_tests::ring(), clock);
        let entropy = Arc::new(mfa_testkit::entropy::SeededEntropy::new(0xc0));
        let engine = engine.entropy(entropy).provider(mfa::totp::Totp::new("Acme").unwrap()).modules(modules());
        let engine = engine.danger_test_doubles().build().await.unwrap();
        put(&engine, &of("root"), json!({"enabled": true})).await;
        let costs = || (counting.counts().gets, counting.take().commits);
        costs();
        let challenge = begin(&engine, &below(&bob)).await;
        assert_eq!(costs(), (1, 1));
        assert_eq!(reason(&engine, &challenge.reference, &app.code_at(world.now())).await, None);
        assert_eq!(costs(), (1, 1));
        engine.settings_resolve(&lineage(), &user_auth()).await.unwrap();
        assert_eq!(costs(), (1, 0));
    }

    async fn an_explanation_names_each_rule_its_value_and_where_it_came_from(world) {
        let eve = world.add("eve").await;
        let engine = node(&world).await;
        put(&engine, &of("root"), json!({"multi_factor": {"enabled": false}})).await;
        policy(&engine, &of("mid"), json!({"enforced": true})).await;
        let explained = engine.explain(&login(&below(&eve))).await.unwrap();
        assert_eq!(explained.outcome, ExplainedOutcome::EnrolmentRequired);
        let rules: Vec<_> =
            explained.rules.iter().map(|rule| (rule.name, &*rule.value, &*rule.origin)).collect();
        assert_eq!(rules, [
            ("module_enabled", "true", "builtin"),
            ("multi_factor", "false", "root"),
            ("module_asks", "false", "root"),
            ("enrolments", "0", "store"),
            ("enforced", "true", "mid"),
        ]);
    }

    async fn s29_an_administrator_changes_documents_by_a_proof_of_that_very_change(world) {
        let engine = node(&world).await;
        let (ann, app) = enrol_ranked(&world, "ann", 5).await;
        let (bob, bobs) = enrol_ranked(&world, "bob", 0).await;
        let acme = Account::new(acme());
        let owner = Owner::Account(acme.clone());
        let off = user(json!({"enabled": false}));
        let intent = mfa::Intent::change_settings(&acme, Change::Put(&off));
        let by = |subject: &Subject, proof| mfa::Authority::proof(proof, Some(&session(subject)));
        // Of no rank, for another document, for another change of the same words, twice: no.
        let proof = prove_on(&engine, &world, login(&bob), &bobs, &intent).await;
        let refused = engine.settings_put(&owner, &off, None, &by(&bob, proof)).await;
        assert_eq!(refused.unwrap_err().code(), "not_permitted");
        let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
        let on = user(json!({"enabled": true}));
        let refused = engine.settings_put(&owner, &on, None, &by(&ann, proof.clone())).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        let refused = engine.settings_patch(&owner, &off, None, &by(&ann, proof.clone())).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        let refused = engine.policy_put(&owner, &off, None, &by(&ann, proof.clone())).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        engine.settings_put(&owner, &off, None, &by(&ann, proof.clone())).await.unwrap();
        let events = world.events_of(Kind::SettingsChanged).await;
        assert_eq!(events[0].field("authority"), Some("administrator"));
        assert_eq!((events[0].actor(), events[0].user()), (Some("ann"), None));
        let again = engine.settings_put(&owner, &off, None, &by(&ann, proof)).await;
        assert_eq!(again.unwrap_err().code(), "step_up_required");
        let refusals = world.events_of(Kind::ChangeRefused).await;
        assert!(refusals.iter().any(|event| event.field("operation") == Some("change_settings")));
    }

    async fn the_system_s_documents_are_the_host_s_and_without_modules_there_are_none(world) {
        let (ann, app) = enrol_ranked(&world, "ann", 5).await;
        let engine = node(&world).await;
        let intent = mfa::Intent::change_settings(&Account::new(acme()), Change::Put(&json!({})));
        let proof = prove_on(&engine, &world, login(&ann), &app, &intent).await;
        let by = mfa::Authority::proof(proof, Some(&session(&ann)));
        let refused = engine.settings_put(&Owner::System, &json!({}), None, &by).await;
        assert_eq!(refused.unwrap_err().code(), "not_permitted");
        let acme = Owner::Account(acme().into());
        let refused = world.engine.settings_put(&acme, &json!({}), None, &host()).await;
        assert_eq!(refused.unwrap_err().code(), "required");
    }
}
