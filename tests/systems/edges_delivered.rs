//! What is done with codes and links by who does not hold them, and with what comes beside them.

use std::time::Duration;

use mfa::delivery::kount::CorrelationId;
use mfa::{Begin, Changed, Reason, RequestFacts, Response, Verify};
use mfa_tests::acting::refused;
use mfa_tests::mailed::{Mailed, another};
use mfa_tests::notified::{mail, reachable};
use mfa_tests::{login, on_stores};
use serde_json::Value;

async fn answer(mailed: &Mailed, challenge: &mfa::Challenge, code: &str) -> Verify {
    mailed.engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

on_stores! {
    async fn e41_after_five_wrong_codes_the_right_one_is_none_either(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        for left in (0..5).rev() {
            // Past the delay that failures bring.
            world.clock.advance(Duration::from_secs(20));
            let told = refused(answer(&mailed, &challenge, &another(&code)).await);
            assert_eq!((told.reason, told.attempts_left), (Reason::WrongCode, left));
        }
        for _ in 0..2 {
            assert_eq!(refused(answer(&mailed, &challenge, &code).await).reason, Reason::Exhausted);
        }
        let again = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(again, Changed::Rejected(_)), "{again:?}");
        assert!(mailed.inbox.take().is_empty());
    }

    async fn e42_a_code_of_one_user_is_none_of_another(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let (bob, eve) = (mailed.add(&world, "bob").await, mailed.add(&world, "eve").await);
        for user in [&bob, &eve] {
            mailed.enrol(&world, user, "email").await;
        }
        let his = mailed.begin(&bob).await;
        let his_code = mailed.code();
        // One in a million is the same, and another is drawn.
        let hers = loop {
            let hers = mailed.begin(&eve).await;
            if mailed.code() != his_code {
                break hers;
            }
        };
        assert_eq!(refused(answer(&mailed, &hers, &his_code).await).reason, Reason::WrongCode);
        assert!(matches!(answer(&mailed, &his, &his_code).await, Verify::Verified(_)));
        assert_eq!(refused(answer(&mailed, &his, &his_code).await).reason, Reason::AlreadyUsed);
    }

    async fn e48_who_can_be_reached_no_more_is_not_let_in(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let _ = mailed.inbox.take_tried();
        let gone = reachable("bob", Vec::new());
        world.directory.put(&gone).await.unwrap();
        let begun = mailed.engine.begin(login(&gone)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
        assert!(mailed.inbox.take_tried().is_empty());
    }

    /// The login is the one that was begun, and is not ended by the move: its code goes where it went before.
    async fn e49_a_code_that_was_sent_before_a_move_goes_on_to_the_old_address_alone(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        world.directory.put(&reachable("bob", vec![mail("bob@new.example")])).await.unwrap();
        let _ = mailed.inbox.take_tried();
        world.clock.advance(Duration::from_secs(30));
        let _ = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(!mailed.inbox.take_tried().contains(&"bob@new.example".to_owned()));
        let last = mailed.inbox.take().pop().map_or(code, |message| mfa_tests::mailed::code_in(&message.body));
        let told = answer(&mailed, &challenge, &last).await;
        assert!(matches!(told, Verify::Verified(_)), "{told:?}");
    }

    async fn e50_a_token_of_another_login_or_cut_short_opens_nothing(world) {
        let mailed = Mailed::new(&world, mfa_tests::mailed::links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let _challenge = mailed.begin(&bob).await;
        let token = mailed.link();
        let whole = token.expose_secret();
        for text in [&whole[..whole.len() - 1], &whole[1..], "", "x", &"A".repeat(whole.len())] {
            let told = mailed.engine.link_open(&mfa::LinkToken::from_text(text), &RequestFacts::new()).await.unwrap();
            assert!(matches!(told, mfa::LinkOpen::Rejected(r) if r.reason == Reason::NotFound), "{told:?}");
        }
        let opened = mailed.engine.link_open(&token, &RequestFacts::new()).await.unwrap();
        assert!(matches!(opened, mfa::LinkOpen::Valid(_)), "{opened:?}");
    }
}

#[test]
fn e52_a_correlation_id_is_a_guid_without_braces() {
    let guid = "fd4c7ace-f409-42cc-bd94-e716a1a53a09";
    assert_eq!(CorrelationId::parse(Some(guid)).unwrap().as_str(), guid);
    for text in [
        format!("{{{guid}}}"),
        format!("urn:uuid:{guid}"),
        guid.replace('-', ""),
        format!(" {guid}"),
        format!("{guid}\r\n"),
        guid.replace('f', "g"),
        "x".repeat(1 << 20),
    ] {
        assert_eq!(CorrelationId::parse(Some(&text)).unwrap_err().code, "invalid");
    }
}
