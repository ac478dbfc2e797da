//! Attacks on what is kept of a user: pending enrolments, the list of open challenges, counts under clocks that
//! differ, names of streams, secrets that are enrolled twice or shown, and levels that were not reached.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use audit_model::Event;
use mfa::{
    Aal, Amr, Begin, Changed, Channel, Choice, Cx, DeniedReason, Draw, EnrolConfirm, EnrolmentStarted, Error,
    FirstFactor, FirstFactorKind, Login, Module, OsEntropy, Purpose, Reason, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_testkit::scripted::ScriptedProvider;
use mfa_tests::told::wrong_code;
use mfa_tests::{World, host, login, on_stores, subject, totp};
use serde_json::json;

const YEAR: Duration = Duration::from_secs(365 * 86_400);
const HOUR: Duration = Duration::from_secs(3600);

/// Begins to enrol an app, and returns it too.
async fn start_enrolment(world: &World, bob: &Subject) -> (EnrolmentStarted, SoftAuthenticator) {
    start_with(world, bob, &Choice::none()).await
}

async fn start_with(world: &World, bob: &Subject, choice: &Choice) -> (EnrolmentStarted, SoftAuthenticator) {
    let begun = world.engine.enrol_begin(bob.account(), bob.user(), &totp(), choice, &host()).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    (started, app)
}

/// Confirms with the code that the app shows now.
async fn confirm(
    world: &World,
    (started, app): &(EnrolmentStarted, SoftAuthenticator),
) -> Result<EnrolConfirm, Error> {
    world.engine.enrol_confirm(&started.reference, &Response::code(&app.code_at(world.now()))).await
}

async fn refused(world: &World, pending: &(EnrolmentStarted, SoftAuthenticator)) -> Reason {
    match confirm(world, pending).await.unwrap() {
        EnrolConfirm::Rejected(rejected) => rejected.reason,
        other => panic!("confirmed: {other:?}"),
    }
}

/// Begins as many logins as may be open, and sees the next one refused.
async fn fill(world: &World, bob: &Subject) {
    for _ in 0..64 {
        world.begin(bob).await;
    }
    match world.engine.begin(login(bob)).await.unwrap() {
        Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::TooManyOpen),
        other => panic!("{other:?}"),
    }
}

fn streams<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeSet<[u8; 16]> {
    events.into_iter().filter_map(Event::stream).map(|stream| stream.id).collect()
}

/// Of two nodes whose clocks are `skew` apart, the slow one begins and the fast one judges a guess, every five
/// minutes for two days. Returns the most guesses that were judged in any 24 hours of the slow clock.
///
/// What remains: of clocks a day or more apart one is plainly wrong. Counts then move back with the time, so
/// that nobody is locked out for as long as it was ahead, and a node that stays ahead sees them older than they
/// are. The limit of 30 days is then all that holds.
async fn judged_in_a_slow_day(world: &World, skew: Duration) -> usize {
    const PAUSE: u64 = 300;
    let (bob, app) = world.enrol("bob").await;
    let slow_clock = VirtualRuntime::new(world.now());
    let fast_clock = VirtualRuntime::new(world.now().plus(skew));
    let (slow, fast) = (
        world.node_at(&slow_clock).build().await.unwrap(),
        world.node_at(&fast_clock).build().await.unwrap(),
    );
    let mut judged = Vec::new();
    for turn in 0..2 * 86_400 / PAUSE {
        // Twice without a pause, so that the slow node sees the fast one's time even if little lies between.
        for _ in 0..2 {
            if let Begin::Challenge(challenge) = slow.begin(login(&bob)).await.unwrap() {
                assert!(matches!(slow.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
            }
            let Begin::Challenge(challenge) = fast.begin(login(&bob)).await.unwrap() else { continue };
            let wrong = Response::code(&wrong_code(&app, mfa::Runtime::now(&fast_clock)));
            if let Verify::Rejected(rejected) = fast.verify(&challenge.reference, wrong).await.unwrap()
                && rejected.reason == Reason::WrongCode
            {
                judged.push(turn);
            }
        }
        for clock in [&slow_clock, &fast_clock] {
            clock.advance(Duration::from_secs(PAUSE));
        }
    }
    let within_a_day =
        |from: &u64| judged.iter().filter(|t| **t >= *from && **t < *from + 86_400 / PAUSE).count();
    judged.iter().map(within_a_day).max().unwrap_or(0)
}

on_stores! {
    async fn s08_a_pending_enrolment_ends_with_a_revocation(world) {
        let (bob, _) = world.enrol("bob").await;
        let pending = start_enrolment(&world, &bob).await;
        world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(refused(&world, &pending).await, Reason::Superseded);
        // So does the first one that the user ever began; one that begins afterwards is confirmed.
        let eve = world.add("eve").await;
        let first = start_enrolment(&world, &eve).await;
        world.engine.revoke(eve.account(), eve.user(), &host()).await.unwrap();
        assert_eq!(refused(&world, &first).await, Reason::Superseded);
        assert!(world.engine.methods(eve.account(), eve.user()).await.unwrap().is_empty());
        let later = start_enrolment(&world, &eve).await;
        assert!(matches!(confirm(&world, &later).await.unwrap(), EnrolConfirm::Confirmed(_)));
    }

    async fn s08_a_pending_enrolment_ends_when_a_method_is_removed(world) {
        let (bob, _) = world.enrol("bob").await;
        let pending = start_enrolment(&world, &bob).await;
        let method = "totp".parse().unwrap();
        world.engine.method_remove(bob.account(), bob.user(), &method, &host()).await.unwrap();
        assert_eq!(refused(&world, &pending).await, Reason::Superseded);
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }

    async fn s21_a_pending_enrolment_ends_when_the_user_is_forgotten(world) {
        let (bob, _) = world.enrol("bob").await;
        let pending = start_enrolment(&world, &bob).await;
        world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(refused(&world, &pending).await, Reason::NotFound);
        // Nor does it come back with the user.
        world.enrol_again(&bob).await;
        assert_eq!(refused(&world, &pending).await, Reason::NotFound);
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
    }

    async fn s21_a_user_who_left_the_directory_confirms_nothing(world) {
        let (bob, _) = world.enrol("bob").await;
        let pending = start_enrolment(&world, &bob).await;
        world.directory.remove(bob.account(), bob.user()).await.unwrap();
        let confirmed = confirm(&world, &pending).await;
        assert!(matches!(confirmed, Err(Error::UnknownUser)), "{confirmed:?}");
        world.directory.put(&bob).await.unwrap();
        assert!(matches!(confirm(&world, &pending).await.unwrap(), EnrolConfirm::Confirmed(_)));
    }

    async fn s21_a_pending_enrolment_of_a_former_holder_of_the_id_is_not_confirmed(world) {
        let (former, next) = (subject("bob"), subject("bob"));
        let former = former.with_generation("g1").unwrap();
        let next = next.with_generation("g2").unwrap();
        world.directory.put(&former).await.unwrap();
        let pending = start_enrolment(&world, &former).await;
        world.directory.put(&next).await.unwrap();
        assert_eq!(refused(&world, &pending).await, Reason::Superseded);
        assert!(matches!(world.engine.begin(login(&next)).await.unwrap(), Begin::NotRequired(_)));
        // Nor once the new holder has a method, nor when the id is given back.
        let own = start_enrolment(&world, &next).await;
        assert!(matches!(confirm(&world, &own).await.unwrap(), EnrolConfirm::Confirmed(_)));
        assert_eq!(refused(&world, &pending).await, Reason::Superseded);
        world.directory.put(&former).await.unwrap();
        assert_eq!(refused(&world, &pending).await, Reason::Superseded);
    }

    async fn s20_after_a_revocation_the_owner_begins_again_whatever_was_open(world) {
        let (bob, app) = world.enrol("bob").await;
        fill(&world, &bob).await;
        world.engine.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        let challenge = world.begin(&bob).await;
        let right = world.answer(&challenge, &app.code_at(world.now())).await;
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn s20_challenges_of_a_clock_that_ran_ahead_are_not_open(world) {
        let (bob, app) = world.enrol("bob").await;
        world.clock.advance(YEAR);
        fill(&world, &bob).await;
        world.clock.set(world.now().minus(YEAR));
        let challenge = world.begin(&bob).await;
        let right = world.answer(&challenge, &app.code_at(world.now())).await;
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn s25_clocks_31_seconds_apart_give_no_more_guesses_than_a_day_has(world) {
        assert_eq!(judged_in_a_slow_day(&world, Duration::from_secs(31)).await, 20);
    }

    async fn s25_clocks_2_hours_apart_give_no_more_guesses_than_a_day_has(world) {
        assert_eq!(judged_in_a_slow_day(&world, HOUR * 2).await, 20);
    }

    async fn s25_clocks_22_hours_apart_give_no_more_guesses_than_a_day_has(world) {
        assert_eq!(judged_in_a_slow_day(&world, HOUR * 22).await, 20);
    }

    async fn s27_the_streams_of_a_forgotten_user_lead_to_nobody(world) {
        let (bob, _) = world.enrol("bob").await;
        let before = streams(&world.events().await);
        assert_eq!(before.len(), 1);
        world.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        world.enrol_again(&bob).await;
        let events = world.events().await;
        assert_eq!(streams(events.iter().filter(|event| event.is_erased())), before);
        let after = streams(events.iter().filter(|event| !event.is_erased()));
        assert_eq!(after.len(), 1);
        assert!(after.is_disjoint(&before), "a stream that goes on tells who was forgotten");
        // The same user id, under the same keys and at the same time, has another stream elsewhere.
        let elsewhere = World::memory().await;
        elsewhere.enrol("bob").await;
        let others = streams(&elsewhere.events().await);
        assert!(others.is_disjoint(&before) && others.is_disjoint(&after));
    }

    async fn t06_one_user_does_not_enrol_one_secret_twice(world) {
        let known = Choice::new(json!({ "secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" }));
        let bob = world.add("bob").await;
        let (first, second) =
            (start_with(&world, &bob, &known).await, start_with(&world, &bob, &known).await);
        assert!(matches!(confirm(&world, &first).await.unwrap(), EnrolConfirm::Confirmed(_)));
        let third = start_with(&world, &bob, &known).await;
        for pending in [&second, &third] {
            assert_eq!(confirm(&world, pending).await.unwrap_err().code(), "already_enrolled");
        }
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
        // Another secret of the same user and the same secret of another user are taken.
        world.enrol_again(&bob).await;
        let eve = world.add("eve").await;
        let pending = start_with(&world, &eve, &known).await;
        assert!(matches!(confirm(&world, &pending).await.unwrap(), EnrolConfirm::Confirmed(_)));
        // Once it is removed it may be enrolled again.
        let selector = first.0.id.to_string().parse().unwrap();
        world.engine.method_remove(bob.account(), bob.user(), &selector, &host()).await.unwrap();
        let pending = start_with(&world, &bob, &known).await;
        assert!(matches!(confirm(&world, &pending).await.unwrap(), EnrolConfirm::Confirmed(_)));
    }

    async fn s17_what_holds_secrets_prints_none(world) {
        const SECRET: &str = "correct-horse-battery";
        let settings = json!({ "secret_key": SECRET, "nested": { "list": [SECRET] } });
        let builder = world.node().provider_with(ScriptedProvider::new("duo"), settings.clone());
        let bob = world.add("bob").await;
        let mut draw = Draw::from_source(Arc::new(OsEntropy::new())).unwrap();
        let cx = Cx::new(world.now(), bob.account(), bob.user(), Purpose::Login, &settings, &mut draw);
        for shown in [format!("{builder:?}"), format!("{builder:#?}"), format!("{cx:?}"), format!("{cx:#?}")] {
            assert!(!shown.contains(SECRET), "{shown}");
        }
        assert!(format!("{builder:?}").contains("duo"), "names are shown");
        // A flow, and then everything that holds the store: no body, no event, no user is shown.
        let app = world.enrol_again(&bob).await;
        let challenge = world.begin(&bob).await;
        assert!(matches!(world.answer(&challenge, &app.code_at(world.now())).await, Verify::Verified(_)));
        let records = mfa_tests::attack::records(&world).await;
        let shown = format!("{:?} {:#?} {:?}", world.store, world.store, world.engine);
        assert!(!shown.contains("bob") && !shown.contains(SECRET), "{shown}");
        assert!(records.len() > 4);
        for record in records {
            let body = format!("{:?}", record.body);
            assert!(!shown.contains(body.trim_matches(['[', ']'])), "a body is shown");
        }
        assert!(shown.len() < 4096, "{} bytes", shown.len());
    }

    async fn s10_two_factors_are_claimed_for_two_kinds_of_factors_only(world) {
        let (bob, app) = world.enrol("bob").await;
        for (kind, channel, two) in [
            (FirstFactorKind::EmailLink, Channel::Email, false),
            (FirstFactorKind::ApiKey, Channel::Direct, false),
            (FirstFactorKind::Sso, Channel::Direct, false),
            (FirstFactorKind::MutualTls, Channel::Direct, false),
            (FirstFactorKind::Password, Channel::Direct, true),
        ] {
            let first = FirstFactor::verified_now(kind, channel, None);
            let login = Login::new(bob.clone(), first, Module::parse("user_auth").unwrap());
            let Begin::Challenge(challenge) = world.engine.begin(login).await.unwrap() else { panic!() };
            let verified = world.answer(&challenge, &app.code_at(world.now())).await;
            let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
            let user = grant.redeem(bob.account(), bob.user(), None, world.now()).unwrap();
            assert_eq!(user.aal(), if two { Aal::Two } else { Aal::One }, "{kind:?}");
            assert_eq!(user.amr().contains(&Amr::Mfa), two, "{kind:?}");
            assert!(user.amr().contains(&Amr::Otp), "{kind:?}");
            world.clock.advance(mfa_tests::STEP);
        }
    }
}
