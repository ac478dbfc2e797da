//! The answers to outcomes that only an engine makes.
#![cfg(test)]

use mfa_core::{
    Account, ApiKeyVerify, Begin, HttpOutcome, Intent, Module, Policy, RequestFacts, Response, Verify,
    http_status,
};
use mfa_testkit::host::{STEP, TestHost, acme, login, vouched};

fn row<'a>(outcome: impl Into<HttpOutcome<'a>>) -> (u16, Option<u64>, bool) {
    let told = http_status(outcome);
    (told.status.as_u16(), told.retry_after, told.www_authenticate.is_some())
}

#[test]
fn a_second_step_is_asked_for_with_a_challenge_and_then_let_through() {
    futures::executor::block_on(async {
        let host = TestHost::in_memory().await;
        let (bob, app) = host.enrol("bob").await;
        let Begin::Challenge(challenge) = host.engine.begin(login(&bob)).await.unwrap() else { panic!() };
        let verified = host.answer(&challenge, &app.code_at(host.now())).await;
        assert!(matches!(verified, Verify::Verified(_)));
        assert_eq!(row(&verified), (200, None, false));
        assert_eq!(row(&Begin::Challenge(challenge)), (401, None, true));

        host.clock.advance(STEP);
        let intent = Intent::disable(&bob);
        let Begin::Challenge(challenge) = host.engine.step_up_begin(login(&bob), &intent).await.unwrap()
        else {
            panic!()
        };
        let code = Response::code(&app.code_at(host.now()));
        let proven = host.engine.verify(&challenge.reference, code).await.unwrap();
        assert!(matches!(proven, Verify::Proven(_)));
        assert_eq!(row(&proven), (200, None, false));
    });
}

#[test]
fn who_must_enrol_first_is_refused() {
    futures::executor::block_on(async {
        let host = TestHost::in_memory().await;
        let bob = host.add("bob").await;
        let enforced = Policy::recommended().with_document(&serde_json::json!({"enforced": true})).unwrap();
        let engine = host.node().policy(enforced).build().await.unwrap();
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)));
        assert_eq!(row(&begun), (403, None, false));
    });
}

#[test]
fn what_cannot_be_an_api_key_is_answered_as_a_wrong_one() {
    futures::executor::block_on(async {
        let host = TestHost::in_memory().await;
        let issued = host.engine.api_key_create(&Account::new(acme()), &vouched()).await.unwrap();
        let (module, facts) = (Module::parse("api_auth").unwrap(), RequestFacts::new());
        let verify = async |key: &str| host.engine.api_key_verify(key, &module, &facts).await;
        let right = verify(issued.key.expose_secret()).await.unwrap();
        assert!(matches!(right, ApiKeyVerify::Verified(_)));
        assert_eq!(row(&right), (200, None, false));

        let wrong = verify(&"0".repeat(64)).await.unwrap();
        assert_eq!(row(&wrong), (401, None, false));
        assert_eq!(row(&verify(&"A".repeat(64)).await.unwrap()), row(&wrong));
        for malformed in ["", "0", &"0".repeat(63), &"0".repeat(65)] {
            assert_eq!(row(&verify(malformed).await.unwrap_err()), row(&wrong), "{}", malformed.len());
        }
    });
}
