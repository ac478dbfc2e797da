//! Recovery codes that come with a first method: shown once, and nothing counts before they are acknowledged.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::{
    Begin, Choice, Contact, Engine, EnrolConfirm, EnrolmentStarted, NotRequired, Provider as _, ProviderName,
    Reason, RequestFacts, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::doubles::{SCRIPTED_CODE, scripted};
use mfa_tests::probe::{answer, refusal};
use mfa_tests::saved::{left, recover, recovery_node_on};
use mfa_tests::{STEP, acme, begin, host, login, on_stores, subject, totp};

on_stores! {
    // Edge 77, E14.
    async fn codes_that_were_shown_and_not_acknowledged_let_nobody_in(world) {
        let (world, inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        let shown = shown(confirm(&world.engine, &started, &app.code_at(world.now())).await);
        // Not enrolled: a login asks for nothing, and nobody is told of a method.
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
        let begun = world.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
        assert_eq!(world.engine.drain_outbox(10).await.unwrap().sent, 0);
        assert!(inbox.take().is_empty());
        // Another enrolment goes through; the codes that were shown first are of no set.
        world.clock.advance(STEP);
        let (_app, codes) = world.enrol_with_recovery(&bob).await;
        let challenge = world.begin(&bob).await;
        for code in &shown[..2] {
            assert_eq!(refusal(recover(&world.engine, &challenge, code).await.unwrap()), Some(Reason::WrongCode));
        }
        assert_eq!(answer(&world.engine, &challenge, &app.code_at(world.now())).await, Some(Reason::WrongCode));
        // Late acknowledgement does not bring them to life.
        let late = world.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await;
        assert_eq!(late.unwrap_err().code(), "already_enrolled");
        assert_eq!(refusal(recover(&world.engine, &challenge, &shown[2]).await.unwrap()), Some(Reason::WrongCode));
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), None);
    }

    // Edge 76. What is enabled is not enabled again: neither by its own confirmation, nor as another of which a user
    // holds one, nor with the secret it has.
    async fn what_is_enabled_cannot_be_enabled_twice(world) {
        let single = scripted(Vec::new());
        let mut of_one = single.describe().clone();
        of_one.several = false;
        let node = world.node().provider(single.described_as(of_one)).build().await.unwrap();
        let bob = world.add("bob").await;
        let name = ProviderName::parse("scripted").unwrap();
        let (choice, authority) = (Choice::none(), host());
        let start = || node.enrol_begin(bob.account(), bob.user(), &name, &choice, &authority);
        let (first, beside) = (start().await.unwrap(), start().await.unwrap());
        assert!(matches!(confirm(&node, &first, SCRIPTED_CODE).await, EnrolConfirm::Confirmed(_)));
        assert_eq!(refused(confirm(&node, &first, SCRIPTED_CODE).await), Reason::AlreadyVerified);
        let late = node.enrol_confirm(&beside.reference, &Response::code(SCRIPTED_CODE)).await;
        assert_eq!(late.unwrap_err().code(), "already_enrolled");
        assert_eq!(start().await.unwrap_err().code(), "already_enrolled");
        assert_eq!(node.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
    }

    // Edge 75. Nothing is enabled over an address that nobody has verified, and nothing is sent to one.
    async fn an_unverified_address_enables_nothing_and_is_sent_nothing(world) {
        let (world, inbox) = world.with_recovery().await;
        let unverified = Contact::email("bob@acme.example").unwrap();
        let bob = subject("bob").with_contacts(vec![unverified.clone()]).unwrap();
        world.directory.put(&bob).await.unwrap();
        let email = ProviderName::parse("email").unwrap();
        let begun = world.engine.enrol_begin(bob.account(), bob.user(), &email, &Choice::none(), &host()).await;
        assert_eq!(begun.unwrap_err().code(), "method_not_offered");
        // An app needs no address; what would be told of it is told to nobody, now or once it is verified.
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
        world.directory.put(&bob.clone().with_contacts(vec![unverified.verified()]).unwrap()).await.unwrap();
        assert_eq!(world.engine.drain_outbox(10).await.unwrap().sent, 0);
        assert!(inbox.take().is_empty());
    }

    async fn an_acknowledgement_comes_after_the_code_once_and_in_time(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        assert_eq!(acknowledge(&world.engine, &started).await, "not_confirmed");
        assert_eq!(refused(confirm(&world.engine, &started, "000000").await), Reason::WrongCode);
        assert_eq!(acknowledge(&world.engine, &started).await, "not_confirmed");
        let codes = shown(confirm(&world.engine, &started, &app.code_at(world.now())).await);
        // They are not shown again, to whoever has another code of the app.
        world.clock.advance(STEP);
        assert_eq!(refused(confirm(&world.engine, &started, &app.code_at(world.now())).await), Reason::AlreadyVerified);
        assert_eq!(acknowledge(&world.engine, &started).await, "confirmed");
        assert_eq!(acknowledge(&world.engine, &started).await, "already_verified");
        assert_eq!(refused(confirm(&world.engine, &started, &app.code_at(world.now())).await), Reason::AlreadyVerified);
        assert_eq!(world.events_of(Kind::EnrolmentConfirmed).await.len(), 1);
        assert_eq!(world.events_of(Kind::RecoveryShown).await.len(), 1);
        assert_eq!(left(&world.engine, &bob).await, 10);
        let challenge = world.begin(&bob).await;
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[9]).await.unwrap()), None);

        let carol = world.add_reachable("carol").await;
        let (started, app) = scan(&world.engine, &carol).await;
        let _codes = shown(confirm(&world.engine, &started, &app.code_at(world.now())).await);
        world.clock.set(started.expires_at);
        assert_eq!(acknowledge(&world.engine, &started).await, "enrolment_expired");
        assert!(world.engine.methods(carol.account(), carol.user()).await.unwrap().is_empty());
    }

    async fn whatever_ends_challenges_ends_what_was_shown(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        let _codes = shown(confirm(&world.engine, &started, &app.code_at(world.now())).await);
        world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(acknowledge(&world.engine, &started).await, "superseded");
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }

    // The right code is used when the process dies while the codes are hashed.
    async fn after_a_lost_hash_a_fresh_code_shows_the_codes(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        world.clock.lose_jobs(1);
        let lost = world.engine.enrol_confirm(&started.reference, &Response::code(&app.code_at(world.now()))).await;
        assert_eq!(lost.unwrap_err().code(), "unavailable");
        assert_eq!(acknowledge(&world.engine, &started).await, "not_confirmed");
        assert_eq!(refused(confirm(&world.engine, &started, &app.code_at(world.now())).await), Reason::Replayed);
        world.clock.advance(STEP);
        let codes = shown(confirm(&world.engine, &started, &app.code_at(world.now())).await);
        assert_eq!(acknowledge(&world.engine, &started).await, "confirmed");
        // Neither of the two codes of the app logs in.
        let challenge = world.begin(&bob).await;
        assert_eq!(answer(&world.engine, &challenge, &app.code_at(world.now())).await, Some(Reason::Replayed));
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), None);
    }

    // A lost result stays charged: whoever makes the process die gets no more hashes than answers.
    async fn lost_hashes_use_up_the_attempts_of_an_enrolment(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        for _ in 0..5 {
            world.clock.lose_jobs(1);
            let code = Response::code(&app.code_at(world.now()));
            assert_eq!(world.engine.enrol_confirm(&started.reference, &code).await.unwrap_err().code(), "unavailable");
            world.clock.advance(STEP);
        }
        let ran = world.clock.jobs_run();
        assert_eq!(refused(confirm(&world.engine, &started, &app.code_at(world.now())).await), Reason::Exhausted);
        assert_eq!(world.clock.jobs_run(), ran);
    }

    // S22, S32: what provably never started is not charged, and the same code is good again.
    async fn s22_a_full_pool_takes_nothing_from_an_enrolment(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (started, app) = scan(&world.engine, &bob).await;
        let code = app.code_at(world.now());
        for _ in 0..7 {
            world.clock.refuse_jobs(1);
            let busy = world.engine.enrol_confirm(&started.reference, &Response::code(&code)).await;
            assert_eq!(busy.unwrap_err().code(), "busy");
        }
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
        let wrong = world.engine.enrol_confirm(&started.reference, &Response::code("000000")).await.unwrap();
        assert!(matches!(&wrong, EnrolConfirm::Rejected(r) if r.attempts_left == 4), "{wrong:?}");
        let _codes = shown(confirm(&world.engine, &started, &code).await);
        assert_eq!(acknowledge(&world.engine, &started).await, "confirmed");
        // Shown, it is used.
        let challenge = world.begin(&bob).await;
        assert_eq!(answer(&world.engine, &challenge, &code).await, Some(Reason::Replayed));
    }

    // The store fails between the hash and the codes being shown: before its commit, and with its outcome unknown.
    async fn codes_that_were_hashed_and_not_stored_are_not_shown(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let store = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = recovery_node_on(&world, store.clone(), Arc::new(world.clock.clone())).build().await.unwrap();
        let (started, app) = scan(&node, &bob).await;
        store.fail_later(At::BeforeCommit, Fault::Unavailable, 1, 1);
        let code = app.code_at(world.now());
        let lost = node.enrol_confirm(&started.reference, &Response::code(&code)).await;
        assert_eq!(lost.unwrap_err().code(), "unavailable");
        assert!(store.heal());
        assert_eq!(acknowledge(&node, &started).await, "not_confirmed");
        assert_eq!(refused(confirm(&node, &started, &code).await), Reason::Replayed);
        world.clock.advance(STEP);
        // Committed, though nobody was told: its own commit is recognised.
        store.fail_later(At::AfterCommit, Fault::Unknown, 1, 1);
        let codes = shown(confirm(&node, &started, &app.code_at(world.now())).await);
        assert!(store.heal());
        assert_eq!(world.events_of(Kind::RecoveryShown).await.len(), 1);
        assert_eq!(acknowledge(&node, &started).await, "confirmed");
        let challenge = begin(&node, &bob).await;
        assert_eq!(refusal(recover(&node, &challenge, &codes[0]).await.unwrap()), None);
    }

    // A second method comes without another set, and leaves the one there is alone.
    async fn a_second_method_shows_no_codes(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (_app, codes) = world.enrol_with_recovery(&bob).await;
        let ran = world.clock.jobs_run();
        let (started, app) = scan(&world.engine, &bob).await;
        let confirmed = confirm(&world.engine, &started, &app.code_at(world.now())).await;
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        assert_eq!(world.clock.jobs_run(), ran);
        let challenge = world.begin(&bob).await;
        let granted = recover(&world.engine, &challenge, &codes[0]).await.unwrap();
        assert!(matches!(granted, Verify::Verified(_)), "{granted:?}");
    }
}

/// Begins an enrolment and scans what it shows.
async fn scan(engine: &Engine, subject: &Subject) -> (EnrolmentStarted, SoftAuthenticator) {
    let begun = engine.enrol_begin(&acme(), subject.user(), &totp(), &Choice::none(), &host()).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    (started, app)
}

async fn confirm(engine: &Engine, started: &EnrolmentStarted, code: &str) -> EnrolConfirm {
    engine.enrol_confirm(&started.reference, &Response::code(code)).await.unwrap()
}

async fn acknowledge(engine: &Engine, started: &EnrolmentStarted) -> &'static str {
    match engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await {
        Ok(EnrolConfirm::Confirmed(_)) => "confirmed",
        Ok(EnrolConfirm::Rejected(rejected)) => rejected.reason.code(),
        Ok(other) => panic!("{other:?}"),
        Err(error) => error.code(),
    }
}

fn shown(confirmed: EnrolConfirm) -> Vec<String> {
    let EnrolConfirm::RecoveryShown(issued) = confirmed else { panic!("{confirmed:?}") };
    issued.revealed.get("codes").unwrap().expose_secret().lines().map(str::to_owned).collect()
}

fn refused(confirmed: EnrolConfirm) -> Reason {
    match confirmed {
        EnrolConfirm::Rejected(rejected) => rejected.reason,
        other => panic!("{other:?}"),
    }
}
