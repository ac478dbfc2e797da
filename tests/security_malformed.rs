//! S33: what is not a code is not judged, and an answer is what it says it is.
#![cfg(test)]

use audit_model::Kind;
use mfa::{
    Answer, Choice, EnrolConfirm, MethodSelector, Reason, Rejected, Response, Status, Verify, normalise_code,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::probe::failures_today;
use mfa_tests::{host, on_stores, totp};
use serde_json::json;

const MALFORMED: [&str; 14] = [
    "",
    " ",
    "-",
    "12345",
    "1234567",
    "12345a",
    "abcdef",
    "１２３４５",
    "123456\0",
    "٣٣٣٣٣٣",
    "१२३४५६",
    "+12345",
    "0x1234",
    "12.456",
];

fn refused(verify: Verify) -> Rejected {
    match verify {
        Verify::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

fn full_width(code: &str) -> String {
    code.chars().map(|c| char::from_u32(c as u32 - 0x30 + 0xff10).unwrap()).collect()
}

on_stores! {
    async fn s33_what_is_not_a_code_costs_nothing_and_twenty_of_it_end_the_challenge(world) {
        let (bob, app) = world.enrol("bob").await;
        let long = "1".repeat(5000);
        let emoji = "🔒🔒🔒🔒🔒🔒";
        let texts: Vec<&str> =
            MALFORMED.iter().copied().chain([long.as_str(), emoji]).cycle().take(20).collect();
        let spared = world.begin(&bob).await;
        let ended = world.begin(&bob).await;
        for (n, text) in texts.iter().enumerate() {
            let refused = refused(world.answer(&ended, text).await);
            assert_eq!((refused.reason, refused.attempts_left), (Reason::Malformed, 5), "{text:.20}");
            assert_ne!(refused.public(), Rejected::new(Reason::WrongCode, 5, None).public());
            if n < 19 {
                let _ = world.answer(&spared, text).await;
            }
        }
        let right = app.code_at(world.now());
        assert_eq!(refused(world.answer(&ended, &right).await).reason, Reason::Exhausted);
        let status = world.engine.status(bob.account(), ended.id).await.unwrap().unwrap();
        assert_eq!((status.status, status.verify_attempts), (Status::Failed, 0));
        assert_eq!(failures_today(&world, &bob).await, 0);
        // One event a challenge says so.
        let told = world.events_of(Kind::AnswerRejected).await;
        assert_eq!(told.iter().filter(|e| e.reason() == Some("malformed")).count(), 2);
        // After nineteen the right code is still right.
        assert!(matches!(world.answer(&spared, &right).await, Verify::Verified(_)));
    }

    async fn s33_a_code_is_the_same_however_it_is_typed(world) {
        let (bob, app) = world.enrol("bob").await;
        for n in 0..4 {
            let challenge = world.begin(&bob).await;
            let code = app.code_at(world.now());
            let typed = match n {
                0 => format!("  {} {} ", &code[..3], &code[3..]),
                1 => format!("{}-{}\n", &code[..3], &code[3..]),
                2 => full_width(&code),
                _ => code.chars().flat_map(|c| [c, ' ']).collect(),
            };
            assert!(matches!(world.answer(&challenge, &typed).await, Verify::Verified(_)), "{n}");
            // And used is used, in every spelling.
            let again = world.begin(&bob).await;
            for typed in [code.clone(), typed, full_width(&code)] {
                assert_eq!(refused(world.answer(&again, &typed).await).reason, Reason::Replayed);
            }
            world.clock.advance(mfa_tests::STEP);
        }
    }

    async fn s33_an_answer_of_another_kind_is_wrong_and_charged_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let right = app.code_at(world.now());
        for (n, answer) in [Answer::recovery(&right), Answer::reply(&right)].into_iter().enumerate() {
            let refused =
                refused(world.engine.verify(&challenge.reference, Response::answer(answer)).await.unwrap());
            assert_eq!((refused.reason, usize::from(refused.attempts_left)), (Reason::WrongCode, 4 - n));
            assert_eq!(failures_today(&world, &bob).await, n as u64 + 1);
        }
        // The code itself was not used up by it.
        assert!(matches!(world.answer(&challenge, &right).await, Verify::Verified(_)));
    }

    async fn s33_a_code_of_one_method_is_wrong_for_another_and_charged_once(world) {
        let (bob, app) = world.enrol("bob").await;
        let both = world.node().provider(scripted(Vec::new())).build().await.unwrap();
        enrol_in(&both, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = mfa_tests::begin(&both, &bob).await;
        assert_eq!(challenge.method.provider, totp());
        let by = |name: &str| name.parse::<MethodSelector>().unwrap();
        let right = app.code_at(world.now());
        for (n, (method, code)) in
            [("scripted", right.as_str()), ("totp", SCRIPTED_CODE)].into_iter().enumerate()
        {
            let response = Response::code(code).with_method(by(method));
            let refused = refused(both.verify(&challenge.reference, response).await.unwrap());
            assert_eq!((refused.reason, usize::from(refused.attempts_left)), (Reason::WrongCode, 4 - n));
        }
        // A code is judged for the method it is given for, not for whichever it would fit.
        let response = Response::code(&right).with_method(by("totp"));
        assert!(matches!(both.verify(&challenge.reference, response).await.unwrap(), Verify::Verified(_)));
    }

    async fn s33_a_confirmation_that_is_no_code_costs_nothing_and_twenty_end_it(world) {
        let bob = world.add("bob").await;
        let begun = world
            .engine
            .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
            .await
            .unwrap();
        let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
        let mut reasons = Vec::new();
        for text in MALFORMED.iter().cycle().take(20) {
            let confirmed =
                world.engine.enrol_confirm(&begun.reference, &Response::code(text)).await.unwrap();
            let EnrolConfirm::Rejected(rejected) = confirmed else { panic!("confirmed by {text:?}") };
            assert_eq!(rejected.attempts_left, 5);
            reasons.push(rejected.reason);
        }
        assert!(reasons.iter().all(|r| *r == Reason::Malformed));
        let right = Response::code(&app.code_at(world.now()));
        let confirmed = world.engine.enrol_confirm(&begun.reference, &right).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Rejected(r) if r.reason == Reason::Exhausted));
        assert_eq!(world.events_of(Kind::EnrolmentRejected).await.len(), 2);
    }
}

on_stores! {
    // Else an app that is to be moved here is enrolled with a secret that it does not have.
    async fn s33_what_is_chosen_in_another_form_is_refused_by_name_and_never_left_out(world) {
        let bob = world.add("bob").await;
        for (choice, field) in [
            (json!({"secret": 5}), "choice.secret"),
            (json!({"uri": ["otpauth://totp/x"]}), "choice.uri"),
            (json!({"algorithm": {}}), "choice.algorithm"),
            (json!("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), "choice"),
            (json!([]), "choice"),
        ] {
            let (account, user) = (bob.account(), bob.user());
            let refused = world.engine.enrol_begin(account, user, &totp(), &Choice::new(choice.clone()), &host()).await;
            let mfa::Error::Invalid(error) = refused.unwrap_err() else { panic!("{choice}") };
            assert_eq!((&*error.field, error.code), (field, "type"), "{choice}");
        }
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }
}

#[test]
fn s33_codes_are_normalised_once_and_nothing_else_is_mapped() {
    for (typed, code) in [
        (" 123 456 ", "123456"),
        ("12-34-56", "123456"),
        ("１２３４５６", "123456"),
        ("\t123456\r\n", "123456"),
        ("-\u{b}123456\t- ", "123456"),
        ("12\u{a0}3456", "12\u{a0}3456"),
        ("٣٣٣", "٣٣٣"),
        ("12–34", "12–34"),
        ("abc", "abc"),
        ("", ""),
    ] {
        assert_eq!(normalise_code(typed), code, "{typed:?}");
        assert_eq!(normalise_code(code), code);
    }
}
