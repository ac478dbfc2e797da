//! S9: when a proof dies, and what is no proof at all.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use mfa::{Authority, Choice, Engine, Intent, Operation, Proof, Subject, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{CountingStore, Counts};
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::attack::{dump, records};
use mfa_tests::handles::{of_another_holder, untouched};
use mfa_tests::rights::{Wanted, enrol_ranked, enrolments, in_session_of, prove_with};
use mfa_tests::{STEP, World, host, login, on_stores, session, subject, totp};

const LIFE: Duration = Duration::from_secs(300);
const INSTANT: Duration = Duration::from_millis(1);

/// Bob's proof that he wants to add a method, and when it was made.
async fn proof(world: &World, bob: &Subject, app: &SoftAuthenticator) -> Proof {
    world.prove(bob, app, &Intent::add_method(bob, &totp())).await
}

/// Adds a method by `authority`; says how that went.
async fn add(engine: &Engine, bob: &Subject, authority: &Authority) -> &'static str {
    let begun = engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), authority).await;
    begun.map_or_else(|error| error.code(), |_| "done")
}

async fn spend(world: &World, bob: &Subject, proof: &Proof) -> &'static str {
    add(&world.engine, bob, &in_session_of(bob, proof)).await
}

on_stores! {
    async fn s09_a_proof_lives_for_300_seconds(world) {
        let (bob, app) = world.enrol("bob").await;
        // One that dies, and one that is spent in the last moment. `prove` moves the clock by a step.
        let (late, in_time) = (proof(&world, &bob, &app).await, proof(&world, &bob, &app).await);
        world.clock.advance(LIFE - STEP - STEP);
        let before = records(&world).await;
        assert_eq!(spend(&world, &bob, &late).await, "step_up_required");
        assert_eq!(records(&world).await, before);
        world.clock.advance(STEP - INSTANT);
        assert_eq!(spend(&world, &bob, &in_time).await, "done");
    }

    async fn s09_a_node_whose_clock_is_behind_revives_no_proof(world) {
        let (bob, app) = world.enrol("bob").await;
        let dead = proof(&world, &bob, &app).await;
        let slow = VirtualRuntime::new(world.now());
        let behind = world.node_at(&slow).build().await.unwrap();
        // The user is judged on a node whose clock is right, after the proof's life; the other is 20 s behind.
        world.clock.advance(LIFE - STEP);
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.answer(&challenge, &app.code_at(world.now())).await, Verify::Verified(_)));
        slow.set(world.now().minus(Duration::from_secs(20)));
        assert_eq!(add(&behind, &bob, &in_session_of(&bob, &dead)).await, "step_up_required");
        world.clock.advance(STEP);
        // A clock that was far ahead made this one.
        let of_the_future = proof(&world, &bob, &app).await;
        slow.set(world.now().minus(STEP + Duration::from_secs(31)));
        assert_eq!(add(&behind, &bob, &in_session_of(&bob, &of_the_future)).await, "step_up_required");
    }

    async fn s09_whatever_ends_open_challenges_ends_proofs(world) {
        for (n, ends) in ["revoke", "reset", "disable", "remove", "nothing"].into_iter().enumerate() {
            let (bob, app) = world.enrol(&format!("bob-{n}")).await;
            world.enrol_again(&bob).await;
            let of_bob = enrolments(&world, &bob).await;
            // For a change that is still there to be made whatever happened.
            let intent = Intent::forget(&bob);
            let proof = prove_with(&world, &bob, (of_bob[0], &app), &intent).await;
            let (account, user, engine) = (bob.account(), bob.user(), &world.engine);
            match ends {
                "revoke" => engine.revoke(account, user, &host()).await.unwrap(),
                "reset" => engine.user_reset(account, user, &host()).await.unwrap(),
                "disable" => engine.disable(account, user, &host()).await.unwrap(),
                "remove" => Wanted::new(Operation::RemoveMethod, &bob, of_bob[1]).ask(engine, &host()).await.unwrap(),
                _ => {}
            }
            let forgotten = engine.forget_user(account, user, &in_session_of(&bob, &proof)).await;
            let told = forgotten.map_or_else(|error| error.code(), |()| "done");
            assert_eq!(told, if ends == "nothing" { "done" } else { "step_up_required" }, "{ends}");
        }
    }

    async fn s09_a_proof_dies_with_the_method_that_proved_and_with_a_recovery_login(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let first = proof(&world, &bob, &app).await;
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.recover(&challenge, &codes[0]).await, Verify::Verified(_)));
        assert_eq!(spend(&world, &bob, &first).await, "step_up_required");
        // Bob replaces the app that proved.
        let second = proof(&world, &bob, &app).await;
        let third = proof(&world, &bob, &app).await;
        let (old, account, user) = (enrolments(&world, &bob).await[0], bob.account(), bob.user());
        assert_eq!(spend(&world, &bob, &third).await, "done");
        Wanted::new(Operation::RemoveMethod, &bob, old).ask(&world.engine, &host()).await.unwrap();
        assert_eq!(spend(&world, &bob, &second).await, "step_up_required");
        assert!(world.engine.methods(account, user).await.unwrap().is_empty());
    }

    async fn s09_a_proof_is_for_one_person_of_an_id(world) {
        let first = subject("bob").with_generation("1").unwrap();
        world.directory.put(&first).await.unwrap();
        let app = world.enrol_again(&first).await;
        let mut proofs = Vec::new();
        for operation in [Operation::AddMethod, Operation::Disable, Operation::PreferMethod] {
            let wanted = Wanted::new(operation, &first, enrolments(&world, &first).await[0]);
            let made = world.prove(&first, &app, &wanted.intent()).await;
            proofs.push((wanted, made));
        }
        // The id is given to another person.
        let second = subject("bob").with_generation("2").unwrap();
        world.directory.put(&second).await.unwrap();
        let before = records(&world).await;
        for (wanted, proof) in &proofs {
            let told = wanted.told(&world.engine, &in_session_of(&first, proof)).await;
            assert!(["step_up_required", "generation"].contains(&told), "{}: {told}", wanted.operation);
        }
        assert_eq!(records(&world).await, before);
        // Forgotten and enrolled anew, the id has another record.
        world.engine.forget_user(first.account(), first.user(), &host()).await.unwrap();
        world.enrol_again(&second).await;
        for (wanted, proof) in &proofs {
            let wanted = Wanted { method: enrolments(&world, &second).await[0], ..wanted.clone() };
            assert_eq!(wanted.told(&world.engine, &in_session_of(&first, proof)).await, "step_up_required");
        }
    }

    async fn s09_no_other_text_is_a_proof_and_none_is_looked_up(world) {
        let (bob, app) = world.enrol("bob").await;
        let (ann, ann_app) = enrol_ranked(&world, "ann", 5).await;
        let real = world.prove(&ann, &ann_app, &Intent::reset(&bob)).await;
        let challenge = world.begin(&bob).await;
        let started = world
            .engine
            .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
            .await
            .unwrap();
        let invited = world.engine.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
        let policy = mfa::Policy::recommended().with_document(&serde_json::json!({"enforced": true})).unwrap();
        let strict = world.node().policy(policy).build().await.unwrap();
        let required = strict.begin(login(&world.add("new").await)).await.unwrap();
        let mfa::Begin::EnrolmentRequired(required) = required else { panic!("{required:?}") };
        let text = real.expose_secret();
        let mut texts: Vec<String> = ["", "a", "====", "AAAA", "ÄÖÜ"].map(str::to_owned).into();
        texts.extend([text.to_lowercase(), format!("{text}A"), format!(" {text}"), "A".repeat(1 << 20)]);
        texts.extend([1, text.len() / 2, text.len() - 1].map(|end| text[..end].to_owned()));
        // A character of the mac, and one of what it is over.
        for at in [text.len() - 20, text.len() / 3] {
            let other = if text[at..].starts_with('A') { "B" } else { "A" };
            texts.push(format!("{}{other}{}", &text[..at], &text[at + 1..]));
        }
        texts.push(challenge.reference.expose_secret().to_owned());
        texts.push(challenge.id.to_string());
        texts.push(started.reference.expose_secret().to_owned());
        texts.push(invited.invitation.expose_secret().to_owned());
        texts.push(required.ticket.expose_secret().to_owned());
        // The directory is the host's own and is asked for every name; only the engine's own reads are counted.
        let counted = Arc::new(CountingStore::new(world.store.clone()));
        let engine = Engine::builder(counted.clone(), world.directory.clone(), world.ring.clone(), Arc::new(world.clock.clone()))
            .provider(mfa::totp::Totp::new("Example").unwrap())
            .danger_test_doubles()
            .build()
            .await
            .unwrap();
        let (method, before) = (enrolments(&world, &bob).await[0], dump(&world).await);
        let _ = counted.take();
        for text in &texts {
            for operation in Operation::ALL {
                let authority = Authority::proof(Proof::from_text(text), Some(&session(&bob)));
                let told = Wanted::new(operation, &bob, method).told(&engine, &authority).await;
                assert_eq!(told, "step_up_required", "{operation}: {text:.60}");
            }
        }
        assert_eq!(counted.take(), Counts::default());
        assert_eq!(dump(&world).await, before);
        // Authentic in every part but the binder, as only the holder of the ring could make it.
        assert_eq!(untouched(text), text);
        let twin = Proof::from_text(of_another_holder(text));
        let reset = Wanted::new(Operation::Reset, &bob, method);
        assert_eq!(reset.told(&world.engine, &in_session_of(&ann, &twin)).await, "step_up_required");
        assert_eq!(records(&world).await, before.0);
        assert_eq!(reset.told(&world.engine, &in_session_of(&ann, &real)).await, "done");
        drop(app);
    }
}
