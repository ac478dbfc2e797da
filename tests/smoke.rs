//! One login, from enrolment to the log.

use mfa::Verify;
use mfa_tests::{on_stores, session};

on_stores! {
    async fn a_code_logs_in_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let code = app.code_at(world.now());
        let Verify::Verified(grant) = world.answer(&challenge, &code).await else { panic!("refused") };
        let user = grant.redeem(bob.account(), bob.user(), Some(&session(&bob)), world.now()).unwrap();
        assert_eq!(user.aal().number(), 2);
        let Verify::Rejected(again) = world.answer(&challenge, &code).await else { panic!("accepted twice") };
        assert_eq!(again.reason, mfa::Reason::AlreadyUsed);
    }
}
