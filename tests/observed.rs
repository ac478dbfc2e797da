//! What a host sees of steps besides their answers: the records that were not trusted, and what came of commits whose
//! outcome nobody knows.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::{Begin, NotRequired, Response};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_tests::attack::{overwrite, records};
use mfa_tests::{World, host, login, on_stores, subject, totp};

on_stores! {
    async fn a_record_that_is_not_trusted_is_told_of_whatever_call_met_it(world) {
        let (bob, app) = world.enrol("bob").await;
        let (account, user) = (bob.account(), bob.user());
        let started = world.engine.enrol_begin(account, user, &totp(), &mfa::Choice::none(), &host()).await.unwrap();
        let code = Response::code(&app.code_at(world.now()));
        let mut vault = records(&world).await.into_iter().find(|r| r.key.kind.as_str() == "vault").unwrap();
        *vault.body.last_mut().unwrap() ^= 1;
        overwrite(&world, &vault).await;

        let engine = &world.engine;
        let unlocked = engine.user_reset(account, user, &host()).await.map_err(|e| e.code());
        assert_eq!(unlocked, Err("unavailable"));
        let confirmed = engine.enrol_confirm(&started.reference, &code).await;
        assert!(!matches!(confirmed, Ok(mfa::EnrolConfirm::Confirmed(_))));
        // Once a record and minute, however many calls meet it.
        let told = world.events_of(Kind::RecordRefused).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!((told[0].field("record"), told[0].field("problem")), (Some("vault"), Some("not_authentic")));
    }

    async fn an_event_of_unknown_outcome_is_written_once_and_the_login_goes_on(world) {
        let faulty = Arc::new(FaultStore::new(world.store.clone()));
        let other = World::on(faulty.clone(), None).await;
        let eve = subject("eve");
        other.directory.put(&eve).await.unwrap();
        faulty.fail(At::AfterCommit, Fault::Unknown, 1);
        let begun = other.engine.begin(login(&eve)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)));
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 1);
        // Twice unknown: nobody knows, so nobody is let through.
        faulty.fail(At::AfterCommit, Fault::Unknown, 2);
        assert_eq!(other.engine.begin(login(&eve)).await.unwrap_err().code(), "unavailable");
    }
}
