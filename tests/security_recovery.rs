//! S13, S14 and S26 of recovery codes: how often they can be guessed, how far they reach, and what a guess learns.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Amr, Answer, Authority, Begin, Choice, Contact, EnrolConfirm, Intent, MethodSelector, NoticeKind,
    Operation, Reason, RecordKind, RecoveryForm, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::probe::{answer, failures_this_month, refusal};
use mfa_tests::saved::{PAST_A_DELAY, guess, left, recover, recovery};
use mfa_tests::{STEP, World, host, login, on_stores, session, totp};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

on_stores! {
    async fn s14_a_recovery_login_is_of_the_first_level_and_every_verified_contact_is_told(world) {
        let (world, inbox) = world.with_recovery().await;
        let contacts = vec![
            Contact::email("bob@acme.example").unwrap().verified(),
            Contact::phone("+15550100").unwrap().verified(),
            Contact::email("unverified@acme.example").unwrap(),
        ];
        let bob = mfa_tests::subject("bob").with_contacts(contacts).unwrap();
        world.directory.put(&bob).await.unwrap();
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        world.engine.drain_outbox(10).await.unwrap();
        let _enrolled = inbox.take();
        let Verify::Verified(grant) = recover(&world.engine, &world.begin(&bob).await, &codes[0]).await.unwrap() else {
            panic!("not verified")
        };
        assert_eq!(grant.evidence().aal(), Aal::One);
        assert!(!grant.evidence().amr().contains(&Amr::Mfa), "{:?}", grant.evidence().amr());
        // The notice was written by the very commit that accepted the code.
        let notices = world.store.scan(RecordKind::new("notice"), None, 10, world.now()).await.unwrap();
        let newest = mfa_tests::attack::user_record(&world, &bob, "login").await.version;
        assert_eq!(notices.iter().filter(|notice| notice.version == newest).count(), 1);
        world.engine.drain_outbox(10).await.unwrap();
        let mut told: Vec<_> = inbox.take().into_iter().map(|m| (m.to, m.subject)).collect();
        told.sort();
        let subject = Some(NoticeKind::RecoveryUsed.subject().to_owned());
        // A text message has no subject.
        assert_eq!(told, [("+15550100".to_owned(), told[0].1.clone()), ("bob@acme.example".to_owned(), subject)]);
        // The app's own logins are what they were.
        let verified = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await;
        let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
        assert!(grant.evidence().aal() == Aal::Two && grant.evidence().amr().contains(&Amr::Mfa));
    }

    // The table of what a recovery code proves: the way to a replacement, and nothing else.
    async fn s14_a_recovery_code_proves_a_replacement_only(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _app, codes) = bob(&world, "bob").await;
        // What is to be removed cannot prove its own removal: here that is the set, which never proves one.
        let id = world.engine.methods(bob.account(), bob.user()).await.unwrap()[1].id;
        let issued = world.engine.bypass_issue(bob.account(), bob.user(), MINUTE * 60, &host()).await.unwrap();
        for intent in intents(&bob, id) {
            // A wrong kind of answer is a wrong answer: here none is to bring a delay about.
            world.engine.user_unlock(bob.account(), bob.user(), &host()).await.unwrap();
            let proves = intent.operation() == Operation::AddMethod;
            let begun = world.engine.step_up_begin(login(&bob), &intent).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{intent:?}: {begun:?}") };
            assert_eq!(challenge.methods.iter().any(|method| method.is_recovery), proves, "{intent:?}");
            let bypass = Response::answer(Answer::bypass(issued.code.expose_secret()));
            let refused = refusal(world.engine.verify(&challenge.reference, bypass).await.unwrap());
            assert_eq!(refused, Some(Reason::WrongCode), "{intent:?}: a bypass proves nothing at all");
            let set: MethodSelector = "recovery".parse().unwrap();
            let named = world.engine.verify(&challenge.reference, recovery(&codes[0]).with_method(set)).await.unwrap();
            match named {
                Verify::Proven(proven) if proves => assert_eq!(proven.operation, Operation::AddMethod),
                Verify::Rejected(rejected) if !proves => assert_eq!(rejected.reason, Reason::NotOffered, "{intent:?}"),
                other => panic!("{intent:?}: {other:?}"),
            }
            if !proves {
                let plain = recover(&world.engine, &challenge, &codes[0]).await.unwrap();
                assert_eq!(refusal(plain), Some(Reason::WrongCode), "{intent:?}");
                drop(world.engine.cancel(&challenge.reference).await.unwrap());
                world.clock.advance(PAST_A_DELAY);
            }
            let spent = u8::from(!world.events_of(Kind::AnswerAccepted).await.is_empty());
            assert_eq!(left(&world.engine, &bob).await, 10 - spent, "{intent:?}");
        }
    }

    // Whatever is proven afterwards, by the replacement too, for a day it gives nothing up.
    async fn s14_for_a_day_after_recovery_nothing_that_protects_the_user_is_given_up(world) {
        let (world, _inbox) = world.with_recovery().await;
        for held in [Operation::Disable, Operation::IssueRecovery, Operation::RemoveMethod, Operation::Forget] {
            let (bob, _lost, codes) = bob(&world, held.code()).await;
            let recovered = world.now();
            let app = replace(&world, &bob, &codes[0]).await;
            let lost = world.engine.methods(bob.account(), bob.user()).await.unwrap()[0].id;
            let intent = intents(&bob, lost).into_iter().find(|intent| intent.operation() == held).unwrap();
            world.clock.set(recovered.plus(DAY - MINUTE * 2));
            let new = world.engine.methods(bob.account(), bob.user()).await.unwrap().pop().unwrap();
            let proof = proof_of(&world, &bob, &app, new.id, &intent).await;
            world.clock.set(recovered.plus(DAY - MINUTE));
            let refused = perform(&world, &bob, lost, held, &proof).await;
            assert_eq!(refused, Err("recovery_hold"), "{held}");
            // The clock goes back: the hold stays.
            world.clock.set(recovered.plus(DAY - MINUTE - MINUTE / 4));
            assert_eq!(perform(&world, &bob, lost, held, &proof).await, Err("recovery_hold"), "{held}");
            world.clock.set(recovered.plus(DAY + MINUTE));
            assert_eq!(perform(&world, &bob, lost, held, &proof).await, Ok(()), "{held}");
        }
    }

    async fn s14_during_the_hold_a_user_may_add_and_prefer_and_the_host_may_everything(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, _lost, codes) = bob(&world, "bob").await;
        let app = replace(&world, &bob, &codes[0]).await;
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        let (lost, new) = (methods[0].id, methods.last().unwrap().id);
        for (operation, told) in [
            (Operation::PreferMethod, Ok(())),
            (Operation::AddMethod, Ok(())),
            (Operation::Unlock, Err("not_permitted")),
            (Operation::Reset, Err("not_permitted")),
            (Operation::Bypass, Err("not_permitted")),
        ] {
            let intent = intents(&bob, new).into_iter().find(|intent| intent.operation() == operation).unwrap();
            // What is to be preferred cannot be removed in the same breath: the proof is of the new app.
            let proof = proof_of(&world, &bob, &app, new, &intent).await;
            assert_eq!(perform(&world, &bob, new, operation, &proof).await, told, "{operation}");
        }
        for operation in [Operation::IssueRecovery, Operation::RemoveMethod, Operation::Disable, Operation::Forget] {
            assert_eq!(perform(&world, &bob, lost, operation, &host()).await, Ok(()), "{operation}");
        }
    }

    async fn s14_a_grant_says_when_few_codes_are_left(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world, "bob").await;
        for (used, code) in codes.iter().enumerate() {
            let Verify::Verified(grant) = recover(&world.engine, &world.begin(&bob).await, code).await.unwrap() else {
                panic!("{used}")
            };
            let left = 9 - u8::try_from(used).unwrap();
            assert_eq!(grant.recovery_left(), (left <= 3).then_some(left));
            if (3..=4).contains(&left) {
                world.clock.advance(STEP);
                let verified = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await;
                let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
                assert_eq!(grant.recovery_left(), (left <= 3).then_some(left), "a login with the app says so too");
            }
        }
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &codes[9]).await.unwrap()), Some(Reason::AlreadyUsed));
    }

    // Thirty days of guesses at every moment that is permitted, while the owner logs in five times a day.
    async fn s13_a_set_is_guessed_at_a_hundred_times_in_all(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (bob, app, codes) = bob(&world, "bob").await;
        let (until, mut judged, mut owner_at) = (world.now().plus(DAY * 30), 0_usize, world.now());
        let mut stopped = false;
        while world.now() < until && !stopped {
            if world.now() >= owner_at {
                owner_at = owner_at.plus(DAY / 5);
                assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
            }
            let challenge = world.begin(&bob).await;
            match recover(&world.engine, &challenge, &guess(&codes[judged % 10], judged)).await.unwrap() {
                Verify::Rejected(wrong) if wrong.reason == Reason::WrongCode && challenge.methods.len() == 2 => judged += 1,
                Verify::Rejected(locked) if locked.reason == Reason::Locked => {
                    world.clock.advance(locked.retry_after.expect("a delay's end"));
                }
                // The set is not offered any more.
                Verify::Rejected(_) => stopped = true,
                other => panic!("{other:?}"),
            }
            assert!(judged <= 100, "the stop");
        }
        assert!(stopped);
        assert_eq!(judged, 100);
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
        assert!(failures_this_month(&world, &bob).await <= 1, "none of them in the user's own windows");
        // Each of 2⁸⁰ secrets is as likely: a hundred guesses at a set of ten.
        assert!(100.0 * 10.0 / 2_f64.powi(80) < 1e-20);
        // Not even the right code is judged; the app still is, and a new set is a new count.
        world.clock.advance(PAST_A_DELAY);
        let ran = world.clock.jobs_run();
        let challenge = world.begin(&bob).await;
        assert!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()).is_some());
        assert_eq!(world.clock.jobs_run(), ran);
        world.clock.advance(PAST_A_DELAY);
        assert_eq!(answer(&world.engine, &world.begin(&bob).await, &app.code_at(world.now())).await, None);
        let issued = world.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, &host()).await.unwrap();
        let key = issued.revealed.get("key").unwrap().expose_secret().to_owned();
        assert_eq!(refusal(recover(&world.engine, &world.begin(&bob).await, &key).await.unwrap()), None);
    }
}

/// One change of every kind; `id` is the enrolment of those that are about one.
fn intents(bob: &Subject, id: mfa::EnrolmentId) -> [Intent; 9] {
    [
        Intent::remove_method(bob, id),
        Intent::prefer_method(bob, id),
        Intent::issue_recovery(bob),
        Intent::disable(bob),
        Intent::unlock(bob),
        Intent::reset(bob),
        Intent::bypass(bob),
        Intent::forget(bob),
        Intent::add_method(bob, &totp()),
    ]
}

/// Makes the change, and says how it went by its code.
async fn perform(
    world: &World,
    bob: &Subject,
    id: mfa::EnrolmentId,
    operation: Operation,
    authority: &Authority,
) -> Result<(), &'static str> {
    let (engine, account, user) = (&world.engine, bob.account(), bob.user());
    let method = MethodSelector::Enrolment(id);
    let done = match operation {
        Operation::AddMethod => {
            engine.enrol_begin(account, user, &totp(), &Choice::none(), authority).await.map(drop)
        }
        Operation::RemoveMethod => engine.method_remove(account, user, &method, authority).await.map(drop),
        Operation::PreferMethod => engine.method_prefer(account, user, &method, authority).await.map(drop),
        Operation::IssueRecovery => {
            engine.recovery_issue(account, user, RecoveryForm::Codes, authority).await.map(drop)
        }
        Operation::Disable => engine.disable(account, user, authority).await,
        Operation::Unlock => engine.user_unlock(account, user, authority).await,
        Operation::Reset => engine.user_reset(account, user, authority).await,
        Operation::Bypass => engine.bypass_issue(account, user, MINUTE, authority).await.map(drop),
        Operation::Forget => engine.forget_user(account, user, authority).await,
        _ => panic!("{operation}"),
    };
    done.map_err(|error| error.code())
}

/// Enrols another app with the proof that a recovery code gives.
async fn replace(world: &World, bob: &Subject, code: &str) -> SoftAuthenticator {
    let begun = world.engine.step_up_begin(login(bob), &Intent::add_method(bob, &totp())).await.unwrap();
    let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
    let Verify::Proven(proven) = recover(&world.engine, &challenge, code).await.unwrap() else {
        panic!("no proof")
    };
    let proof = Authority::proof(proven.proof, Some(&session(bob)));
    let begun = world.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &proof).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(world.now()));
    let confirmed = world.engine.enrol_confirm(&started.reference, &code).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    world.clock.advance(STEP);
    app
}

/// Proves a change with one of several apps.
async fn proof_of(
    world: &World,
    bob: &Subject,
    app: &SoftAuthenticator,
    id: mfa::EnrolmentId,
    intent: &Intent,
) -> Authority {
    world.clock.advance(STEP);
    let login = login(bob).with_method(MethodSelector::Enrolment(id));
    let begun = world.engine.step_up_begin(login, intent).await.unwrap();
    let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
    let verified = world.answer(&challenge, &app.code_at(world.now())).await;
    let Verify::Proven(proven) = verified else { panic!("{verified:?}") };
    Authority::proof(proven.proof, Some(&session(bob)))
}

async fn bob(world: &World, name: &str) -> (Subject, SoftAuthenticator, Vec<String>) {
    let bob = world.add_reachable(name).await;
    let (app, codes) = world.enrol_with_recovery(&bob).await;
    (bob, app, codes)
}
