//! S18: when a key may be retired, what resealing does, and what a node without the key says.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use audit_model::{Kind, Outcome, Query};
use mfa::{
    Authority, Begin, Changed, Choice, Directory as _, EnrolConfirm, Error, Intent, KeyRingError, Reason,
    Rejected, Response, Scope, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{delete, user_key};
use mfa_tests::devices::session_of;
use mfa_tests::rings::{
    KINDS_OF_USERS, NEW, OLD, activate_new, add_new, grant, id, log_in, node_on, nodes,
    nothing_is_sealed_under_the_old_key, records, redeem, reseal, retire_old, users, world_store,
};
use mfa_tests::{STEP, acme, begin, login, on_stores, session, subject, totp};

/// How long a grant can be redeemed.
const GRANT_LIFE: Duration = Duration::from_secs(60);

on_stores! {
    async fn s18_a_key_is_retired_when_its_last_reference_has_ended(world) {
        let at = &nodes(&world, 1).await[0];
        let bob = at.add_reachable("bob").await;
        let (app, _) = at.enrol_with_recovery(&bob).await;
        let kept = grant(at, &begin(&at.engine, &bob).await, &app).await;
        let _ = at.engine.device_remember(&kept, Some(&session_of(&kept)), "a device").await.unwrap();
        world.clock.advance(Duration::from_secs(600));
        // One of everything that can need a key.
        let challenge = begin(&at.engine, &bob).await;
        let issued = Intent::issue_recovery(&bob);
        let proof = at.prove(&bob, &app, &issued).await;
        let (account, user) = (bob.account(), bob.user());
        let authority = mfa_tests::host();
        let pending = at.engine.enrol_begin(account, user, &totp(), &Choice::none(), &authority).await.unwrap();
        let invited = at.add("new").await;
        at.engine.user_invite(&acme(), invited.user(), &totp(), &authority).await.unwrap();
        let bypass = Duration::from_secs(600);
        at.engine.bypass_issue(account, user, bypass, &authority).await.unwrap();
        let decoy = at.engine.begin_decoy(login(&subject("eve"))).await.unwrap();
        let enforced = node_on(&world, world_store(&world), &Inbox::new(), |builder| {
            let document = serde_json::json!({ "enforced": true });
            builder.policy(mfa::Policy::recommended().with_document(&document).unwrap())
        }).await;
        let ticket = enforced.engine.begin(login(&invited)).await.unwrap();
        assert!(matches!(ticket, Begin::EnrolmentRequired(_)));
        let all = records(&world).await;
        let kinds: BTreeSet<_> = all.iter().map(|record| record.key.kind).collect();
        assert_eq!(kinds, BTreeSet::from(KINDS_OF_USERS));

        add_new([at]);
        let unknown = at.engine.key_retire(&id("k9"), "ops", "a mistake").await.unwrap_err();
        assert!(matches!(unknown, Error::KeyRing(KeyRingError::Unknown)), "{unknown:?}");
        // The active key is refused whether it has references or not.
        assert_eq!(retire_old(at).await, Err(all.len() as u64));
        activate_new([at]).await;
        assert_eq!(at.engine.key_references(&id(OLD)).await.unwrap(), all.len() as u64);
        assert_eq!(retire_old(at).await, Err(all.len() as u64));
        let active = at.engine.key_retire(&id(NEW), "ops", "a mistake").await.unwrap_err();
        assert_eq!(active.code(), "key_in_use");
        assert!(at.ring.ids().contains(&id(NEW)));

        assert_eq!(reseal(at).await, all.len() as u64);
        nothing_is_sealed_under_the_old_key(&world).await;
        // Left are the handles: of three challenges, of which one granted the proof just now and one is a decoy, of
        // the proof, the pending enrolment, the invitation, the ticket and the device.
        assert_eq!(reseal(at).await, 0);
        assert_eq!(retire_old(at).await, Err(8));
        let uri = pending.revealed.get("uri").unwrap();
        let right = SoftAuthenticator::scan(uri.expose_secret()).unwrap().code_at(world.now());
        let confirmed = at.engine.enrol_confirm(&pending.reference, &Response::code(&right)).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        assert_eq!(retire_old(at).await, Err(8), "who confirms again is told so by the handle");
        let spent = Authority::proof(proof, Some(&session(&bob)));
        at.engine.recovery_issue(account, user, mfa::RecoveryForm::Codes, &spent).await.unwrap();
        assert_eq!(retire_old(at).await, Err(7), "the proof is spent");
        assert!(matches!(at.engine.cancel(&decoy.reference).await.unwrap(), Changed::Done(_)));
        assert_eq!(retire_old(at).await, Err(6));
        // Issuing ends what was open; that is noted where its holder asks.
        let ended = at.answer(&challenge, &app.code_at(world.now())).await;
        assert!(matches!(ended, Verify::Rejected(Rejected { reason: Reason::Superseded, .. })), "{ended:?}");
        assert_eq!(retire_old(at).await, Err(5));
        world.clock.advance(GRANT_LIFE);
        assert_eq!(retire_old(at).await, Err(4));
        world.clock.advance(Duration::from_secs(600));
        assert_eq!(retire_old(at).await, Err(2), "the invitation and the device");
        world.clock.advance(Duration::from_secs(7 * 86_400));
        assert_eq!(retire_old(at).await, Err(1), "the device");
        world.clock.advance(Duration::from_secs(23 * 86_400));
        retire_old(at).await.unwrap();
        assert_eq!(at.ring.ids(), [id(NEW)]);
        let known = at.directory.subject(account, user).await.unwrap().unwrap();
        assert_eq!(known.contacts().len(), 1, "they were moved, and open");
        log_in(at, &(bob, app)).await.unwrap();
    }

    async fn s18_a_grant_that_is_not_redeemed_keeps_its_key(world) {
        let at = &nodes(&world, 1).await[0];
        let (bob, app) = users(&world, 1).await.remove(0);
        let challenge = begin(&at.engine, &bob).await;
        let granted = grant(at, &challenge, &app).await;
        add_new([at]);
        activate_new([at]).await;
        reseal(at).await;
        assert_eq!(retire_old(at).await, Err(1));
        world.clock.advance(GRANT_LIFE - Duration::from_millis(1));
        assert_eq!(retire_old(at).await, Err(1));
        redeem(granted, &bob, world.now()).unwrap();
        world.clock.advance(Duration::from_millis(1));
        retire_old(at).await.unwrap();
    }

    async fn s18_a_proof_needs_one_key_however_often_it_was_turned(world) {
        let at = &nodes(&world, 1).await[0];
        let (bob, app) = users(&world, 1).await.remove(0);
        let intent = Intent::disable(&bob);
        let Begin::Challenge(challenge) = at.engine.step_up_begin(login(&bob), &intent).await.unwrap() else {
            panic!("a challenge was expected")
        };
        add_new([at]);
        activate_new([at]).await;
        let code = Response::code(&app.code_at(world.now()));
        let proven = at.engine.verify(&challenge.reference, code).await.unwrap();
        let Verify::Proven(proven) = proven else { panic!("{proven:?}") };
        let third = id("the-key-of-2028");
        at.ring.add(third.clone(), [0x53; 32]).unwrap();
        at.engine.key_activate(&third, "ops", "a leak").await.unwrap();
        reseal(at).await;
        // The proof was made while the second key wrote, and needs the first, as its challenge did.
        at.engine.key_retire(&id(NEW), "ops", "a leak").await.unwrap();
        assert!(retire_old(at).await.unwrap_err() >= 1);
        let spent = Authority::proof(proven.proof, Some(&session(&bob)));
        at.engine.disable(bob.account(), bob.user(), &spent).await.unwrap();
        world.clock.advance(GRANT_LIFE);
        retire_old(at).await.unwrap();
    }

    async fn s18_resealing_twice_writes_nothing_the_second_time(world) {
        let nodes = nodes(&world, 2).await;
        let (bob, app) = users(&world, 1).await.remove(0);
        let open = begin(&nodes[0].engine, &bob).await;
        nodes[0].engine.begin_decoy(login(&subject("eve"))).await.unwrap();
        let proof = nodes[0].prove(&bob, &app, &Intent::disable(&bob)).await;
        add_new(&nodes);
        activate_new(&nodes).await;
        assert!(reseal(&nodes[0]).await > 0);
        let after = records(&world).await;
        for node in &nodes {
            assert_eq!(reseal(node).await, 0);
        }
        assert_eq!(records(&world).await, after);
        redeem(grant(&nodes[1], &open, &app).await, &bob, world.now()).unwrap();
        let spent = Authority::proof(proof, Some(&session(&bob)));
        nodes[1].engine.disable(bob.account(), bob.user(), &spent).await.unwrap();
    }

    async fn s18_one_record_that_cannot_be_moved_does_not_keep_the_others(world) {
        let at = &nodes(&world, 1).await[0];
        let users = users(&world, 3).await;
        // Somebody deletes a row: a vault without its user.
        delete(&world, user_key(&users[1].0, "login")).await;
        add_new([at]);
        activate_new([at]).await;
        let resealed = at.engine.reseal().await.unwrap();
        assert_eq!(resealed.unreadable, 1);
        for user in [&users[0], &users[2]] {
            log_in(at, user).await.unwrap();
        }
        assert_eq!(retire_old(at).await, Err(1), "what is left is told of");
        let (gone, _) = &users[1];
        at.engine.forget_user(gone.account(), gone.user(), &mfa_tests::host()).await.unwrap();
        retire_old(at).await.unwrap();
    }

    async fn s18_a_node_without_the_new_key_says_so_and_judges_nothing(world) {
        let nodes = nodes(&world, 2).await;
        let (bob, app) = users(&world, 1).await.remove(0);
        let [ahead, behind] = &nodes[..] else { unreachable!() };
        let of_before = begin(&behind.engine, &bob).await;
        add_new([ahead]);
        activate_new([ahead]).await;
        let refused = behind.engine.key_activate(&id(NEW), "ops", "too early").await.unwrap_err();
        assert!(matches!(refused, Error::KeyRing(KeyRingError::Unknown)), "{refused:?}");
        reseal(ahead).await;
        let of_after = begin(&ahead.engine, &bob).await;
        for code in [app.code_at(world.now()), app.wrong_code_at(world.now(), 3)] {
            let told = behind.engine.verify(&of_before.reference, Response::code(&code)).await;
            assert_eq!(told.unwrap_err().code(), "unavailable");
            // Of a handle of the new key it cannot even say whose it is.
            let told = behind.answer(&of_after, &code).await;
            assert!(matches!(told, Verify::Rejected(r) if r.reason == Reason::NotFound));
        }
        assert!(matches!(behind.engine.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
        // Its own resealing moves nothing back, and says what it could not read.
        let all = records(&world).await;
        let resealed = behind.engine.reseal().await.unwrap();
        assert_eq!((resealed.records, resealed.unreadable), (0, all.len() as u64));
        assert_eq!(records(&world).await, all);
        assert!(world.events_of(Kind::AnswerRejected).await.is_empty());
        // With the key it goes on where it was.
        add_new([behind]);
        redeem(grant(behind, &of_before, &app).await, &bob, world.now()).unwrap();
    }

    async fn s18_who_turned_a_key_and_why_is_in_the_log(world) {
        let at = &nodes(&world, 1).await[0];
        // Nothing needs it yet, but it is the one that writes.
        assert_eq!(retire_old(at).await, Err(0));
        let user = users(&world, 1).await.remove(0);
        add_new([at]);
        let said = async || {
            let query = Query::new(Scope::System).ascending();
            let events = audit_model::all(&*world.store, &query, 1000).await.unwrap();
            let of_keys = [Kind::KeyActivated, Kind::RecordsResealed, Kind::KeyRetired];
            events.into_iter().filter(|event| of_keys.contains(&event.kind())).collect::<Vec<_>>()
        };
        assert_eq!(said().await, []);
        at.engine.key_activate(&id(NEW), "olga", "yearly rotation").await.unwrap();
        world.clock.advance(STEP);
        let moved = reseal(at).await;
        world.clock.advance(STEP);
        // A refusal changes nothing, and is no event of a change.
        at.engine.key_retire(&id(NEW), "mallory", "to break it").await.unwrap_err();
        at.engine.key_retire(&id(OLD), "peter", "nothing needs it").await.unwrap();
        let told: Vec<_> = said().await.iter().map(|event| {
            assert_eq!(event.outcome(), Outcome::Success);
            let of = |name| event.field(name).map(str::to_owned);
            (event.kind(), of("key"), of("records"), event.actor().map(str::to_owned), event.reason().map(str::to_owned))
        }).collect();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(told, [
            (Kind::KeyActivated, some(NEW), None, some("olga"), some("yearly rotation")),
            (Kind::RecordsResealed, some(NEW), some(&moved.to_string()), None, None),
            (Kind::KeyRetired, some(OLD), None, some("peter"), some("nothing needs it")),
        ]);
        log_in(at, &user).await.unwrap();
        // Where the event cannot be written the key is not turned.
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let other = node_on(&world, faults.clone(), &Inbox::new(), |builder| builder).await;
        add_new([&other]);
        faults.fail(At::BeforeCommit, Fault::Unavailable, 1);
        other.engine.key_activate(&id(NEW), "olga", "yearly rotation").await.unwrap_err();
        assert_eq!(other.ring.active(), id(OLD));
    }
}
