//! S13: how often anyone may guess, whatever happens in between.
#![cfg(test)]

use std::collections::VecDeque;
use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::{
    Answer, Begin, Challenge, Changed, DeniedReason, Engine, MethodSelector, Reason, Reference, Response,
    Subject, Timestamp, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::{STEP, World, login, on_stores};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);

/// A code that is right for none of `apps`, in the whole window and beyond.
fn wrong_for(apps: &[&SoftAuthenticator], now: Timestamp) -> String {
    let step = now.unix_seconds() / 30;
    let near =
        |app: &&SoftAuthenticator, code: &str| (step - 3..=step + 3).any(|s| app.code_of_step(s) == code);
    let codes = (0..1000).map(|n| format!("{n:06}"));
    codes.into_iter().find(|code| !apps.iter().any(|app| near(app, code))).unwrap()
}

/// Guesses at once until nothing is judged any more; returns when guesses were judged, and how long to wait.
struct Attacker<'a> {
    engines: [&'a Engine; 2],
    victim: &'a Subject,
    apps: [&'a SoftAuthenticator; 2],
    methods: [MethodSelector; 2],
    references: VecDeque<Reference>,
    turn: usize,
    /// The most guesses between two logins of the owner.
    at_most: usize,
    judged: Vec<Timestamp>,
}

impl Attacker<'_> {
    async fn guess_while_permitted(&mut self, world: &World) -> Duration {
        let mut guesses = 0;
        while guesses < self.at_most {
            self.turn += 1;
            let engine = self.engines[self.turn % 2];
            // A new challenge, an old one of another node, a switch: whatever might have its own count.
            if self.turn.is_multiple_of(3) || self.references.is_empty() {
                match engine.begin(login(self.victim)).await.unwrap() {
                    Begin::Challenge(challenge) => self.references.push_back(challenge.reference),
                    Begin::Denied(denied) => {
                        assert!(matches!(denied.reason, DeniedReason::Locked | DeniedReason::TooManyOpen));
                        if let Some(wait) = denied.retry_after {
                            return wait;
                        }
                        self.references.clear();
                        return HOUR;
                    }
                    other => panic!("{other:?}"),
                }
            }
            let reference = self.references.pop_front().unwrap();
            let method = &self.methods[self.turn / 2 % 2];
            if self.turn.is_multiple_of(5) {
                let switched = engine.switch(&reference, method).await.unwrap();
                if matches!(switched, Changed::Rejected(_)) {
                    continue;
                }
            }
            let code = wrong_for(&self.apps, world.now());
            let response = Response::code(&code).with_method(method.clone());
            match engine.verify(&reference, response).await.unwrap() {
                Verify::Rejected(rejected) => match rejected.reason {
                    Reason::WrongCode => {
                        self.judged.push(world.now());
                        guesses += 1;
                        self.references.push_back(reference);
                    }
                    Reason::Locked => {
                        self.references.push_back(reference);
                        return rejected.retry_after.unwrap_or(HOUR);
                    }
                    _ => {}
                },
                other => panic!("{other:?}"),
            }
        }
        DAY
    }
}

/// The owner logs in, if the door is not locked.
async fn owner_logs_in(world: &World, subject: &Subject, app: &SoftAuthenticator) -> Option<String> {
    let Begin::Challenge(challenge) = world.engine.begin(login(subject)).await.unwrap() else { return None };
    let code = app.code_at(world.now());
    let by_first = Response::code(&code).with_method(MethodSelector::Enrolment(challenge.methods[0].id));
    match world.engine.verify(&challenge.reference, by_first).await.unwrap() {
        Verify::Verified(_) => Some(code),
        Verify::Rejected(rejected) => {
            assert!(matches!(rejected.reason, Reason::Replayed | Reason::Locked), "{rejected:?}");
            None
        }
        other => panic!("{other:?}"),
    }
}

async fn fail(world: &World, subject: &Subject, apps: &[&SoftAuthenticator]) -> Option<Reason> {
    let Begin::Challenge(challenge) = world.engine.begin(login(subject)).await.unwrap() else { return None };
    let code = wrong_for(apps, world.now());
    match world.answer(&challenge, &code).await {
        Verify::Rejected(rejected) => Some(rejected.reason),
        other => panic!("{other:?}"),
    }
}

async fn thirty_days(world: &World, name: &str, at_most: usize, least_logins: usize) {
    let (bob, app) = world.enrol(name).await;
    let second = world.enrol_again(&bob).await;
    let node = world.node().build().await.unwrap();
    let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
    let mut attacker = Attacker {
        engines: [&world.engine, &node],
        victim: &bob,
        apps: [&app, &second],
        methods: [0, 1].map(|n: usize| MethodSelector::Enrolment(methods[n].id)),
        references: VecDeque::new(),
        turn: 0,
        at_most,
        judged: Vec::new(),
    };
    let end = world.now().plus(30 * DAY);
    let mut next_login = world.now();
    let (mut logins, mut logged_in) = (0, false);
    while world.now() < end {
        if world.now() >= next_login {
            next_login = next_login.plus(DAY / 5);
            if let Some(used) = owner_logs_in(world, &bob, &app).await {
                logins += 1;
                logged_in = true;
                // The attacker saw the code: it is worth nothing, and costs the owner nothing.
                if let Begin::Challenge(challenge) = node.begin(login(&bob)).await.unwrap() {
                    let by_first = MethodSelector::Enrolment(methods[0].id);
                    let replay = Response::code(&used).with_method(by_first);
                    let refused = node.verify(&challenge.reference, replay).await.unwrap();
                    assert!(matches!(refused, Verify::Rejected(r) if r.reason == Reason::Replayed));
                }
            }
        }
        let greedy = at_most == usize::MAX;
        let wait = if greedy || logged_in { attacker.guess_while_permitted(world).await } else { DAY };
        logged_in = false;
        let wait = wait.max(Duration::from_millis(1));
        let until_login = next_login.since(world.now()).max(Duration::from_millis(1));
        world.clock.advance(wait.min(until_login));
    }
    let judged = attacker.judged;
    assert!(judged.len() <= 100, "{} judged in 30 days", judged.len());
    for first in &judged {
        let in_a_day = judged.iter().filter(|at| *at >= first && at.since(*first) < DAY).count();
        assert!(in_a_day <= 20, "{in_a_day} judged in a day");
    }
    // The limits are used to the full, and the owner was not always shut out, or this would prove little.
    assert!(judged.len() >= 99, "{}", judged.len());
    assert!(logins >= least_logins, "{logins}");
    let rejected = world.events_of(Kind::AnswerRejected).await;
    let wrong = |e: &&Event| e.user() == Some(bob.user()) && e.reason() == Some("wrong_code");
    let wrong = rejected.iter().filter(wrong).count();
    assert_eq!(wrong, judged.len());
    // Three of a million codes are right at a time: one step back, now, and one ahead.
    let guesses = i32::try_from(judged.len()).unwrap();
    let success = 1.0 - (1.0 - 3.0e-6_f64).powi(guesses);
    assert!(success < 3.0e-4, "{success}");
}

/// Fails `times`, each past the delay of the one before.
async fn fail_often(
    world: &World,
    subject: &Subject,
    app: &SoftAuthenticator,
    times: usize,
    apart: Duration,
) {
    for _ in 0..times {
        assert_eq!(fail(world, subject, &[app]).await, Some(Reason::WrongCode));
        world.clock.advance(apart);
    }
}

async fn is_locked(world: &World, subject: &Subject) -> bool {
    matches!(
        world.engine.begin(login(subject)).await.unwrap(),
        Begin::Denied(denied) if denied.reason == DeniedReason::Locked
    )
}

on_stores! {
    async fn s13_thirty_days_of_guessing_beside_the_owners_logins_have_a_hundred_guesses(world) {
        // Whoever guesses all the time locks the owner out. Whoever stops at four in a row is never
        // delayed, and the owner's next login clears the row.
        thirty_days(&world, "greedy", usize::MAX, 1).await;
        thirty_days(&world, "careful", 4, 25).await;
    }

    async fn s13_nothing_but_time_gives_guesses_back(world) {
        let (bob, app) = world.enrol("bob").await;
        let early = world.begin(&bob).await;
        fail_often(&world, &bob, &app, 20, Duration::from_secs(901)).await;
        assert!(is_locked(&world, &bob).await);
        let by_totp = MethodSelector::Provider(mfa_tests::totp());
        let (account, user) = (bob.account(), bob.user());
        // A new node, a preference, a revocation, a new authenticator instead of the old one.
        let node = world.node().build().await.unwrap();
        assert!(matches!(node.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
        world.engine.method_prefer(account, user, &by_totp, &mfa_tests::host()).await.unwrap();
        assert!(is_locked(&world, &bob).await);
        world.engine.revoke(account, user, &mfa_tests::host()).await.unwrap();
        assert!(is_locked(&world, &bob).await);
        world.engine.method_remove(account, user, &by_totp, &mfa_tests::host()).await.unwrap();
        let new = world.enrol_again(&bob).await;
        assert!(is_locked(&world, &bob).await);
        let right = world.answer(&early, &new.code_at(world.now())).await;
        assert!(matches!(right, Verify::Rejected(_)));
        // A day after the first failure there is room again, for as many as have left the window.
        world.clock.advance(DAY);
        assert!(!is_locked(&world, &bob).await);
        assert_eq!(fail(&world, &bob, &[&new]).await, Some(Reason::WrongCode));
    }

    async fn s13_a_success_clears_the_row_and_no_window(world) {
        let (bob, app) = world.enrol("bob").await;
        for _ in 0..5 {
            fail_often(&world, &bob, &app, 4, Duration::ZERO).await;
            world.clock.advance(STEP);
            if is_locked(&world, &bob).await {
                break;
            }
            // Four in a row delay nothing; the owner's login starts the row again.
            assert!(owner_logs_in(&world, &bob, &app).await.is_some());
        }
        assert!(is_locked(&world, &bob).await);
        let rejected = world.events_of(Kind::AnswerRejected).await;
        assert_eq!(rejected.iter().filter(|e| e.reason() == Some("wrong_code")).count(), 20);
    }

    async fn s13_a_replay_costs_its_challenge_and_never_the_owners_budget(world) {
        let (bob, app) = world.enrol("bob").await;
        let used = owner_logs_in(&world, &bob, &app).await.unwrap();
        let mut replays = 0;
        for _ in 0..10 {
            let challenge = world.begin(&bob).await;
            for left in [4, 3, 2, 1, 0] {
                let Verify::Rejected(refused) = world.answer(&challenge, &used).await else {
                    panic!("accepted")
                };
                assert_eq!((refused.reason, refused.attempts_left), (Reason::Replayed, left));
                replays += 1;
            }
            let Verify::Rejected(refused) = world.answer(&challenge, &used).await else { panic!("accepted") };
            assert_eq!(refused.reason, Reason::Exhausted);
        }
        assert_eq!(replays, 50);
        assert_eq!(mfa_tests::probe::failures_today(&world, &bob).await, 0);
        world.clock.advance(STEP);
        assert!(owner_logs_in(&world, &bob, &app).await.is_some());
    }

    async fn s13_a_hundred_failures_in_a_row_over_months_stop_the_method_until_it_is_bound_anew(world) {
        let (bob, app) = world.enrol("bob").await;
        let second = world.enrol_again(&bob).await;
        let ids: Vec<_> =
            world.engine.methods(bob.account(), bob.user()).await.unwrap().iter().map(|m| m.id).collect();
        let first = MethodSelector::Enrolment(ids[0]);
        for n in 0..100 {
            let challenge = match world.engine.begin(login(&bob).with_method(first.clone())).await.unwrap() {
                Begin::Challenge(challenge) => challenge,
                other => panic!("{n}: {other:?}"),
            };
            assert_eq!(challenge.method.id, ids[0]);
            let wrong = wrong_for(&[&app, &second], world.now());
            let refused = world.answer(&challenge, &wrong).await;
            assert!(
                matches!(refused, Verify::Rejected(r) if r.reason == Reason::WrongCode),
                "{n}: {refused:?}"
            );
            world.clock.advance(10 * HOUR);
        }
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
        world.clock.advance(400 * DAY);
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        assert_eq!(methods.iter().map(|m| m.stopped).collect::<Vec<_>>(), [true, false]);
        // Asked for or not, it is not offered, and its right code is not taken.
        let challenge = match world.engine.begin(login(&bob).with_method(first.clone())).await.unwrap() {
            Begin::Challenge(challenge) => challenge,
            other => panic!("{other:?}"),
        };
        assert_eq!(challenge.method.id, ids[1]);
        let right = Response::code(&app.code_at(world.now())).with_method(first.clone());
        let refused = world.engine.verify(&challenge.reference, right).await.unwrap();
        assert!(matches!(refused, Verify::Rejected(_)));
        // Removed and enrolled again, it works.
        world.engine.method_remove(bob.account(), bob.user(), &first, &mfa_tests::host()).await.unwrap();
        let anew = world.enrol_again(&bob).await;
        let challenge = world.begin(&bob).await;
        let newest = MethodSelector::Enrolment(challenge.methods.last().unwrap().id);
        let right = Response::code(&anew.code_at(world.now())).with_method(newest);
        assert!(matches!(
            world.engine.verify(&challenge.reference, right).await.unwrap(),
            Verify::Verified(_)
        ));
    }

    async fn s13_challenges_begun_in_advance_are_no_way_round_the_delays(world) {
        let (bob, app) = world.enrol("bob").await;
        let mut open: Vec<Challenge> = Vec::new();
        for _ in 0..64 {
            open.push(world.begin(&bob).await);
        }
        let wrong = app.wrong_code_at(world.now(), 5);
        for (what, answer) in [("code", Answer::code(&wrong)), ("kind", Answer::recovery(&wrong))] {
            let mut judged = 0;
            for challenge in &open {
                for _ in 0..5 {
                    let response = Response::answer(answer.clone());
                    let refused = world.engine.verify(&challenge.reference, response).await.unwrap();
                    judged +=
                        usize::from(matches!(refused, Verify::Rejected(r) if r.reason == Reason::WrongCode));
                }
            }
            // Five in a row, then a second's delay; at one instant no more are judged, whatever their kind.
            assert_eq!(judged, if what == "code" { 5 } else { 0 }, "{what}");
        }
        assert_eq!(mfa_tests::probe::failures_today(&world, &bob).await, 5);
        assert!(!world.engine.methods(bob.account(), bob.user()).await.unwrap()[0].stopped);
    }
}
