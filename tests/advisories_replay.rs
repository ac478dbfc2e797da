//! Codes that were used once: T6, T8 and T26.

use std::time::Duration;

use mfa::{Answer, Choice, EnrolConfirm, MethodSelector, Reason, Reference, Response, Subject, Target};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::probe::{answer, failures_today, refusal};
use mfa_tests::{STEP, World, begin, host, login, on_stores, totp};

const SECOND: Duration = Duration::from_secs(1);

on_stores! {
    // CVE-2025-43798, CVE-2026-27855. A code is accepted while the clock is in its step, the one before or the
    // one after: 90 seconds. Whenever it is used first, it is refused in every second that is left.
    async fn t06_a_used_code_is_refused_in_every_later_second_on_other_challenges_and_nodes(world) {
        let (bob, app) = world.enrol("bob").await;
        let other = world.node().build().await.unwrap();
        for first in [0, 1, 29, 30, 59, 60, 89] {
            let opens = world.now();
            let code = app.code_of_step(opens.unix_seconds() / 30 + 1);
            world.clock.set(opens.plus(SECOND * first));
            let opened_before = begin(&other, &bob).await;
            assert_eq!(answer(&world.engine, &world.begin(&bob).await, &code).await, None, "{first}");
            assert_eq!(answer(&other, &opened_before, &code).await, Some(Reason::Replayed));
            let mut nodes = [&world.engine, &other].into_iter().cycle();
            let mut challenge = None;
            for later in first..90 {
                world.clock.set(opens.plus(SECOND * later));
                let node = nodes.next().unwrap();
                if (later - first) % 4 == 0 {
                    challenge = Some(begin(node, &bob).await);
                }
                let refused = answer(node, challenge.as_ref().unwrap(), &code).await;
                assert_eq!(refused, Some(Reason::Replayed), "used at {first}, again at {later}");
            }
            world.clock.set(opens.plus(SECOND * 90));
            assert!(answer(&other, &begin(&other, &bob).await, &code).await.is_some());
            world.clock.set(opens.plus(STEP * 10));
        }
        // None of the replays was taken for a guess.
        assert_eq!(failures_today(&world, &bob).await, 7, "one code outside its window a round");
    }

    async fn t06_an_older_code_is_refused_once_a_newer_one_was_used(world) {
        let (bob, app) = world.enrol("bob").await;
        let step = world.now().unix_seconds() / 30;
        world.clock.advance(STEP);
        let newer = app.code_of_step(step + 2);
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &newer).await, None);
        for older in [step, step + 1, step + 2] {
            let refused = answer(&world.engine, &world.begin(&bob).await, &app.code_of_step(older)).await;
            assert_eq!(refused, Some(Reason::Replayed), "{older}");
        }
    }

    // hanko#2723. Both the code of the current step and one that is a step ahead may confirm.
    async fn t08_the_code_that_confirmed_the_enrolment_cannot_log_in(world) {
        for (name, ahead) in [("bob", 0), ("ann", 1)] {
            let subject = world.add(name).await;
            let (app, reference) = scan(&world, &subject).await;
            let opens = world.now();
            let step = opens.unix_seconds() / 30 + ahead;
            let typed = format!(" {} ", app.code_of_step(step));
            let confirmed = world.engine.enrol_confirm(&reference, &Response::code(&typed)).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
            for later in (0..60).step_by(5) {
                world.clock.set(opens.plus(SECOND * later));
                let code = app.code_of_step(step);
                let refused = answer(&world.engine, &world.begin(&subject).await, &code).await;
                assert_eq!(refused, Some(Reason::Replayed), "{name} {later}");
            }
            let fresh = app.code_of_step(step + 1);
            assert_eq!(answer(&world.engine, &world.begin(&subject).await, &fresh).await, None);
            let again = world.engine.enrol_confirm(&reference, &Response::code(&fresh)).await.unwrap();
            assert!(matches!(again, EnrolConfirm::Rejected(r) if r.reason == Reason::AlreadyVerified));
        }
    }

    // CVE-2025-6014. However a code is typed, it is the same code, at every entry that takes one.
    async fn t26_a_used_code_is_used_however_it_is_typed_and_wherever_it_is_given(world) {
        let (bob, app) = world.enrol("bob").await;
        let by_name = MethodSelector::Provider(totp());
        for spelling in SPELLINGS {
            world.clock.advance(STEP * 3);
            let code = app.code_at(world.now());
            let typed = spell(spelling, &code);
            let challenge = world.begin(&bob).await;
            assert_eq!(answer(&world.engine, &challenge, &typed).await, None, "{spelling:?} is that code");
            for again in SPELLINGS {
                let typed = spell(again, &code);
                let challenge = world.begin(&bob).await;
                let entries = [
                    (Target::from(&challenge.reference), Response::code(&typed)),
                    (Target::Current(Box::new(login(&bob))), Response::answer(Answer::code(&typed))),
                    (challenge.reference.into(), Response::code(&typed).with_method(by_name.clone())),
                ];
                for (entry, response) in entries {
                    let refused = refusal(world.engine.verify(entry, response).await.unwrap());
                    assert_eq!(refused, Some(Reason::Replayed), "{spelling:?} then {again:?}");
                }
            }
        }
        assert_eq!(failures_today(&world, &bob).await, 0);
    }

    async fn t26_confirming_takes_every_spelling_and_uses_the_code_up(world) {
        for (n, spelling) in SPELLINGS.into_iter().enumerate() {
            let subject = world.add(&format!("user-{n}")).await;
            let (app, reference) = scan(&world, &subject).await;
            let code = app.code_at(world.now());
            let typed = Response::code(&spell(spelling, &code));
            let confirmed = world.engine.enrol_confirm(&reference, &typed).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{spelling:?} {confirmed:?}");
            let challenge = world.begin(&subject).await;
            assert_eq!(answer(&world.engine, &challenge, &code).await, Some(Reason::Replayed));
        }
    }

    // CVE-2025-6015. Spellings of a wrong code draw on one budget, and what is no code draws on none.
    async fn t26_every_spelling_of_a_wrong_code_draws_on_one_budget(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenges = [world.begin(&bob).await, world.begin(&bob).await];
        let wrong = app.wrong_code_at(world.now(), 2);
        for (n, spelling) in SPELLINGS.into_iter().enumerate() {
            let refused = answer(&world.engine, &challenges[n % 2], &spell(spelling, &wrong)).await;
            let expected = if n < 5 { Reason::WrongCode } else { Reason::Locked };
            assert_eq!(refused, Some(expected), "{spelling:?}");
        }
        assert_eq!(failures_today(&world, &bob).await, 5);
    }

    async fn t26_what_is_no_code_is_never_judged_and_ends_the_challenge_in_time(world) {
        let (bob, app) = world.enrol("bob").await;
        let code = app.code_at(world.now());
        let (left, right) = code.split_at(3);
        let arabic: String = code.bytes().map(|b| char::from_u32(0x660 + u32::from(b - b'0')).unwrap()).collect();
        let no_codes = [
            String::new(), "------".to_owned(), left.to_owned(), format!("{code}0"), format!("0{code}"),
            format!("{left}\u{a0}{right}"), format!("{left}\u{200b}{right}"), format!("\u{200b}{code}"),
            format!("{left}\t{right}"), format!("{left}\u{2013}{right}"), format!("{code}\0"), format!("+{code}"), arabic,
        ];
        let challenge = world.begin(&bob).await;
        let mut malformed = no_codes.iter().cycle();
        for n in 1..=20 {
            let typed = malformed.next().unwrap();
            assert_eq!(answer(&world.engine, &challenge, typed).await, Some(Reason::Malformed), "{n} {typed:?}");
        }
        assert_eq!(answer(&world.engine, &challenge, &code).await, Some(Reason::Exhausted));
        assert_eq!(failures_today(&world, &bob).await, 0);
        // None of them used the code up either.
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &code).await, None);
    }
}

/// Ways to type the same six digits: `#` stands for the digits, `@` for full-width ones, `%` for the digits
/// with the separator that follows between any two.
const SPELLINGS: [&str; 10] =
    ["#", " #", "#\r\n", "% ", "%-", "- # -", "@", "\u{3000}@\u{3000}", "\t# ", "\u{a0}@-"];

fn spell(spelling: &str, code: &str) -> String {
    let wide = |digit: char| char::from_u32(0xff10 + digit.to_digit(10).unwrap()).unwrap();
    if let Some(separator) = spelling.strip_prefix('%') {
        return code.chars().map(|digit| format!("{digit}{separator}")).collect();
    }
    spelling.replace('#', code).replace('@', &code.chars().map(wide).collect::<String>())
}

/// Begins an enrolment and scans what it shows.
async fn scan(world: &World, subject: &Subject) -> (SoftAuthenticator, Reference) {
    let (account, user) = (subject.account(), subject.user());
    let begun = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    (app, started.reference)
}

#[test]
fn spellings_differ_from_each_other() {
    let mut spelled: Vec<_> = SPELLINGS.iter().map(|spelling| spell(spelling, "012345")).collect();
    assert_eq!(spelled[3], "0 1 2 3 4 5 ");
    assert_eq!(spelled[6], "\u{ff10}\u{ff11}\u{ff12}\u{ff13}\u{ff14}\u{ff15}");
    spelled.sort();
    spelled.dedup();
    assert_eq!(spelled.len(), SPELLINGS.len());
}
