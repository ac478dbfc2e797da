//! Recovery codes and keys as a user meets them: typed, guessed, issued anew, and the way they are issued first.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{Authority, Intent, Policy, Proof, Reason, RecoveryForm, Subject, Verify};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::probe::{answer, failures_today, refusal};
use mfa_tests::saved::{PAST_A_DELAY, guess, left, recover};
use mfa_tests::{World, host, on_stores, session};
use serde_json::json;

on_stores! {
    // Edge 69. People type what they read.
    async fn a_code_is_good_as_people_type_it(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let wide = |c: char| if c.is_ascii_graphic() { char::from_u32(c as u32 - 0x21 + 0xff01).unwrap() } else { c };
        let spellings: [&dyn Fn(&str) -> String; 9] = [
            &str::to_lowercase,
            &|code| code.replace('-', ""),
            &|code| code.replace('-', " "),
            &|code| format!("  {}\r\n", code.replace('-', "\u{2013}")),
            &|code| code.replace('-', "\u{a0}-\u{200b}"),
            &|code| code.chars().map(|c| format!("{c} ")).collect(),
            &|code| code.chars().map(wide).collect(),
            &|code| code.replace('0', "O").replace('1', "I").replace('V', "U"),
            &|code| code.replace('0', "o").replace('1', "l").replace('V', "u").replace('-', "\t"),
        ];
        for (code, spelling) in codes.iter().zip(spellings) {
            let typed = spelling(code);
            let verified = recover(&world.engine, &world.begin(&bob).await, &typed).await.unwrap();
            assert_eq!(refusal(verified), None, "{typed:?}");
        }
        assert_eq!(left(&world.engine, &bob).await, 1);
    }

    // Edge 69. Whatever single character is another one, nothing is hashed, charged or used up.
    async fn a_code_with_one_character_wrong_is_no_code(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world).await;
        let ran = world.clock.jobs_run();
        let places: Vec<_> = codes[0].char_indices().filter(|(_, c)| *c != '-').map(|(at, _)| at).collect();
        for nineteen in places.chunks(19) {
            let challenge = world.begin(&bob).await;
            for at in nineteen {
                let other = if codes[0].as_bytes()[*at] == b'7' { "8" } else { "7" };
                let mut typed = codes[0].clone();
                typed.replace_range(at..=at, other);
                let verified = recover(&world.engine, &challenge, &typed).await.unwrap();
                assert_eq!(refusal(verified), Some(Reason::Malformed), "{typed}");
            }
            let status = world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
            assert_eq!(status.verify_attempts, 0);
        }
        assert_eq!(world.clock.jobs_run(), ran);
        let challenge = world.begin(&bob).await;
        // Where the checksum fits too it is a guess.
        let verified = recover(&world.engine, &challenge, &guess(&codes[0], 0)).await.unwrap();
        assert_eq!(refusal(verified), Some(Reason::WrongCode));
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), None);
    }

    // Edge 71, E8.
    async fn a_new_set_puts_an_end_to_the_old_one_whatever_its_form(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let proof = own(&world, &bob, &app, &Intent::issue_recovery(&bob)).await;
        let issued = world.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, &proof).await.unwrap();
        let key = issued.revealed.get("key").unwrap().expose_secret().to_owned();
        assert_eq!(left(&world.engine, &bob).await, 1);
        let challenge = world.begin(&bob).await;
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), Some(Reason::Malformed));
        let vouched = world.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Codes, &host()).await.unwrap();
        let newer: Vec<_> = vouched.revealed.get("codes").unwrap().expose_secret().lines().map(str::to_owned).collect();
        let challenge = world.begin(&bob).await;
        assert_eq!(refusal(recover(&world.engine, &challenge, &key).await.unwrap()), Some(Reason::Malformed));
        for old in &codes[..3] {
            assert_eq!(refusal(recover(&world.engine, &challenge, old).await.unwrap()), Some(Reason::WrongCode));
        }
        assert_eq!(refusal(recover(&world.engine, &challenge, &newer[9]).await.unwrap()), None);
        assert_eq!(left(&world.engine, &bob).await, 9);
    }

    // E4. The two are alternatives of one challenge, in either order.
    async fn after_a_wrong_recovery_code_the_app_still_completes_the_challenge(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let challenge = world.begin(&bob).await;
        assert_eq!(refusal(recover(&world.engine, &challenge, "not a code").await.unwrap()), Some(Reason::Malformed));
        let told = recover(&world.engine, &challenge, &guess(&codes[0], 0)).await.unwrap();
        assert_eq!(refusal(told), Some(Reason::WrongCode));
        let wrong = app.wrong_code_at(world.now(), 2);
        assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
        assert_eq!(failures_today(&world, &bob).await, 1, "of the app's own");
        assert_eq!(answer(&world.engine, &challenge, &app.code_at(world.now())).await, None);
    }

    // Edge 72. A limiter of its own: neither hinders the other.
    async fn guesses_at_a_set_delay_the_set_and_nothing_else(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let challenge = world.begin(&bob).await;
        for code in &codes[..5] {
            let told = recover(&world.engine, &challenge, &guess(code, 0)).await.unwrap();
            assert_eq!(refusal(told), Some(Reason::WrongCode));
        }
        let (ran, challenge) = (world.clock.jobs_run(), world.begin(&bob).await);
        for (n, code) in [&codes[0], &guess(&codes[0], 1)].into_iter().enumerate() {
            let Verify::Rejected(locked) = recover(&world.engine, &challenge, code).await.unwrap() else { panic!() };
            assert_eq!((locked.reason, locked.attempts_left), (Reason::Locked, 5), "{n}");
            assert_eq!(locked.retry_after, Some(Duration::from_secs(1)));
        }
        assert_eq!(world.clock.jobs_run(), ran, "nothing is hashed while it is locked");
        assert_eq!(failures_today(&world, &bob).await, 0);
        let other = world.begin(&bob).await;
        assert_eq!(answer(&world.engine, &other, &app.code_at(world.now())).await, None);
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), None);
        // And the other way round: a full day of wrong codes leaves the way back open.
        exhaust_the_day(&world, &bob, &app).await;
        let challenge = world.begin(&bob).await;
        assert_eq!(answer(&world.engine, &challenge, &app.code_at(world.now())).await, Some(Reason::Locked));
        assert_eq!(refusal(recover(&world.engine, &challenge, &codes[1]).await.unwrap()), None);
    }

    // Edge 73. Nothing is spent, hashed or void after a refusal.
    async fn a_new_set_needs_a_fresh_proof_of_ones_own(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let carol = world.add_reachable("carol").await;
        let (carols, _) = world.enrol_with_recovery(&carol).await;
        let intent = Intent::issue_recovery(&bob);
        let reference = world.begin(&bob).await.reference;
        let for_another_change = own(&world, &bob, &app, &Intent::disable(&bob)).await;
        let expired = own(&world, &bob, &app, &intent).await;
        world.clock.advance(Duration::from_secs(300));
        let hers = own(&world, &carol, &carols, &Intent::issue_recovery(&carol)).await;
        let hers_for_his = own(&world, &carol, &carols, &intent).await;
        let proof = world.prove(&bob, &app, &intent).await;
        let elsewhere = Authority::proof(proof.clone(), Some("another session"));
        let no_session = Authority::proof(proof.clone(), None);
        let refused = [
            (Authority::proof(Proof::from_text("made-up"), Some(&session(&bob))), "step_up_required"),
            (Authority::proof(Proof::from_text(reference.expose_secret()), Some(&session(&bob))), "step_up_required"),
            (Authority::FirstFactor(login_factor(&bob)), "step_up_required"),
            (for_another_change, "step_up_required"),
            (expired, "step_up_required"),
            (elsewhere, "step_up_required"),
            (no_session, "step_up_required"),
            // Nobody issues codes for another: they would be shown to them.
            (hers, "step_up_required"),
            (hers_for_his, "step_up_required"),
        ];
        let ran = world.clock.jobs_run();
        for (n, (authority, code)) in refused.iter().enumerate() {
            let answer = world.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Codes, authority).await;
            assert_eq!(answer.unwrap_err().code(), *code, "{n}");
        }
        assert_eq!(world.clock.jobs_run(), ran);
        // Alike ones of a minute are one event.
        let reasons: Vec<_> = world.events_of(Kind::ChangeRefused).await;
        let mut reasons: Vec<_> = reasons.iter().filter_map(|event| event.reason()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, ["step_up_required"; 2], "bob's and carol's");
        assert!(world.events_of(Kind::RecoveryIssued).await.is_empty());
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap()), None);
    }

    async fn a_proof_for_a_new_set_is_good_once(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, _codes) = bob(&world).await;
        let proof = own(&world, &bob, &app, &Intent::issue_recovery(&bob)).await;
        let issue = || world.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Codes, &proof);
        // The pool is full: nothing is spent.
        world.clock.refuse_jobs(1);
        assert_eq!(issue().await.unwrap_err().code(), "busy");
        assert!(issue().await.is_ok());
        assert_eq!(issue().await.unwrap_err().code(), "step_up_required");
        assert_eq!(world.events_of(Kind::RecoveryIssued).await.len(), 1);
    }

    // Edge 74.
    async fn an_enforced_second_step_cannot_be_given_up(world) {
        let (world, inbox) = world.with_recovery().await;
        let (bob, app, _codes) = bob(&world).await;
        let policy = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
        let enforcing = world.recovery_node(&inbox).policy(policy).build().await.unwrap();
        let proof = own(&world, &bob, &app, &Intent::disable(&bob)).await;
        let refused = enforcing.disable(bob.account(), bob.user(), &proof).await;
        assert_eq!(refused.unwrap_err().code(), "policy_forbids");
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 2);
        // The proof was not spent: where the policy lets the user, it is good still.
        world.engine.disable(bob.account(), bob.user(), &proof).await.unwrap();
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }

    // Edge 78.
    async fn using_a_code_ends_every_other_challenge_and_proof(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world).await;
        let proof = own(&world, &bob, &app, &Intent::disable(&bob)).await;
        let (open, used) = (world.begin(&bob).await, world.begin(&bob).await);
        assert_eq!(refusal(recover(&world.engine, &used, &codes[0]).await.unwrap()), None);
        assert_eq!(answer(&world.engine, &open, &app.code_at(world.now())).await, Some(Reason::Superseded));
        assert_eq!(refusal(recover(&world.engine, &open, &codes[1]).await.unwrap()), Some(Reason::Superseded));
        let refused = world.engine.disable(bob.account(), bob.user(), &proof).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
    }
}

async fn bob(world: &World) -> (Subject, SoftAuthenticator, Vec<String>) {
    let bob = world.add_reachable("bob").await;
    let (app, codes) = world.enrol_with_recovery(&bob).await;
    (bob, app, codes)
}

/// A user's own proof for a change.
async fn own(world: &World, subject: &Subject, app: &SoftAuthenticator, intent: &Intent) -> Authority {
    Authority::proof(world.prove(subject, app, intent).await, Some(&session(subject)))
}

fn login_factor(subject: &Subject) -> mfa::FirstFactor {
    mfa::FirstFactor::verified_now(
        mfa::FirstFactorKind::Password,
        mfa::Channel::Direct,
        Some(&session(subject)),
    )
}

/// Gives wrong codes of the app until the user's day is full.
async fn exhaust_the_day(world: &World, bob: &Subject, app: &SoftAuthenticator) {
    let mut challenge = world.begin(bob).await;
    for n in 0..20 {
        world.clock.advance(PAST_A_DELAY);
        if n % 4 == 0 {
            challenge = world.begin(bob).await;
        }
        let wrong = app.wrong_code_at(world.now(), 2);
        let mut told = answer(&world.engine, &challenge, &wrong).await;
        if told == Some(Reason::Expired) {
            challenge = world.begin(bob).await;
            told = answer(&world.engine, &challenge, &wrong).await;
        }
        assert_eq!(told, Some(Reason::WrongCode), "{n}");
    }
    world.clock.advance(PAST_A_DELAY);
}
