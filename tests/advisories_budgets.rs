//! How often one may guess: T9, T13, T17 and T18, and the budgets of S13.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use audit_model::Kind;
use mfa::{Begin, Challenge, Changed, MethodSelector, Reason, RequestFacts, Response, Subject, Timestamp};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::probe::{answer, begin_unless_locked, failures_this_month, failures_today, refusal};
use mfa_tests::{STEP, World, begin, host, login, on_stores};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Five times a day.
const BETWEEN_LOGINS: Duration = Duration::from_secs(17_280);

on_stores! {
    // CVE-2024-0227, CVE-2022-2166. Fourteen codes an hour for thirty days.
    async fn t09_of_ten_thousand_wrong_codes_in_thirty_days_a_hundred_are_judged(world) {
        let (bob, app) = world.enrol("bob").await;
        let (mut tried, mut judged) = (0, Vec::new());
        let mut challenge = world.begin(&bob).await;
        while tried < 10_000 {
            if let Some(begun) = begin_unless_locked(&world.engine, &bob).await {
                challenge = begun;
            }
            for _ in 0..14 {
                tried += 1;
                let code = app.wrong_code_at(world.now(), 2);
                match answer(&world.engine, &challenge, &code).await.expect("no code of these is right") {
                    Reason::WrongCode => judged.push(world.now()),
                    Reason::Locked | Reason::Exhausted | Reason::Expired | Reason::NotFound => {}
                    other => panic!("{other}"),
                }
            }
            world.clock.advance(HOUR);
        }
        assert!(world.now().since(judged[0]) <= DAY * 30);
        assert_eq!(judged.len(), 100, "the budget of thirty days, to the last");
        expect_bounds(&judged);
        // The stop is told, and nothing but a new binding ends it.
        assert_eq!(world.events_of(Kind::EnrolmentStopped).await.len(), 1);
        world.clock.advance(DAY * 40);
        assert!(begin_unless_locked(&world.engine, &bob).await.is_none());
    }

    // S13. An attacker who never waits longer than told, and an owner who tries to log in five times a day.
    async fn t09_guesses_at_every_permitted_moment_stay_within_the_budgets(world) {
        let (bob, app) = world.enrol("bob").await;
        let end = world.now().plus(DAY * 30);
        let (mut judged, mut owner_next) = (Vec::new(), world.now());
        while world.now() < end {
            if world.now() >= owner_next {
                owner_logs_in(&world, &bob, &app).await;
                owner_next = owner_next.plus(BETWEEN_LOGINS);
            }
            let wait = guess_until_refused(&world, &bob, &app, &mut judged).await;
            let permitted = world.now().plus(wait.max(Duration::from_millis(1)));
            world.clock.set(permitted.min(owner_next));
        }
        assert!(judged.len() > 90, "the attack is a real one: {}", judged.len());
        assert_eq!(expect_bounds(&judged), 20, "the budget of a day is what holds it");
    }

    // S13. One who stays below every delay, because each success of the owner clears what the delays count.
    async fn t09_an_attacker_whom_the_owners_successes_serve_is_held_by_the_budget_of_30_days(world) {
        let (bob, app) = world.enrol("bob").await;
        let end = world.now().plus(DAY * 30);
        let (mut judged, mut logins) = (Vec::new(), 0);
        while world.now() < end {
            logins += u32::from(owner_logs_in(&world, &bob, &app).await);
            for _ in 0..3 {
                let Some(challenge) = begin_unless_locked(&world.engine, &bob).await else { break };
                let wrong = app.wrong_code_at(world.now(), 2);
                assert_eq!(answer(&world.engine, &challenge, &wrong).await, Some(Reason::WrongCode));
                judged.push(world.now());
            }
            world.clock.advance(BETWEEN_LOGINS);
        }
        assert!(logins > 30, "{logins}");
        assert_eq!(judged.len(), 100);
        assert!(world.events_of(Kind::EnrolmentStopped).await.is_empty());
        expect_bounds(&judged);
    }

    // ezbookkeeping. Nothing that may be done between two guesses gives a guess back.
    async fn t13_nothing_but_a_right_answer_renews_what_is_left(world) {
        for (n, renewal) in RENEWALS.into_iter().enumerate() {
            let (user, app) = world.enrol(&format!("user-{n}")).await;
            world.enrol_again(&user).await;
            let methods = world.engine.methods(user.account(), user.user()).await.unwrap();
            let [first, second] = [0, 1].map(|n| MethodSelector::Enrolment(methods[n].id));
            let challenge = world.begin(&user).await;
            for _ in 0..4 {
                let code = Response::code(&app.wrong_code_at(world.now(), 2)).with_method(first.clone());
                let verified = world.engine.verify(&challenge.reference, code).await.unwrap();
                assert_eq!(refusal(verified), Some(Reason::WrongCode));
            }
            renew(&world, renewal, &user, &challenge, [&first, &second]).await;
            assert_eq!(failures_today(&world, &user).await, 4, "{renewal}");
            let wrong = Response::code(&app.wrong_code_at(world.now(), 2)).with_method(first.clone());
            let fifth = world.begin(&user).await;
            let verified = world.engine.verify(&fifth.reference, wrong.clone()).await.unwrap();
            assert_eq!(refusal(verified), Some(Reason::WrongCode), "{renewal}");
            let verified = world.engine.verify(&fifth.reference, wrong).await.unwrap();
            assert_eq!(refusal(verified), Some(Reason::Locked), "{renewal}");
            let locked = world.events_of(Kind::UserLocked).await;
            assert_eq!(locked.iter().filter(|event| event.user() == Some(user.user())).count(), 1, "{renewal}");
            assert_eq!((failures_today(&world, &user).await, failures_this_month(&world, &user).await), (5, 5));
        }
    }

    async fn t13_binding_a_method_anew_does_not_renew_the_users_budget(world) {
        let (bob, app) = world.enrol("bob").await;
        guess(&world, &bob, &app, 4).await;
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        let old = MethodSelector::Enrolment(methods[0].id);
        world.engine.method_remove(bob.account(), bob.user(), &old, &host()).await.unwrap();
        let app = world.enrol_again(&bob).await;
        assert_eq!(failures_today(&world, &bob).await, 4);
        guess(&world, &bob, &app, 3).await;
        assert_eq!((failures_today(&world, &bob).await, failures_this_month(&world, &bob).await), (7, 7));
    }

    // django-allauth 65.8.1.
    async fn t17_a_success_clears_the_delays_of_its_own_method_and_no_other_count(world) {
        let (bob, app) = world.enrol("bob").await;
        let (ann, anns) = world.enrol("ann").await;
        guess(&world, &bob, &app, 4).await;
        guess(&world, &ann, &anns, 4).await;
        assert!(owner_logs_in(&world, &bob, &app).await);
        assert_eq!((failures_today(&world, &bob).await, failures_this_month(&world, &bob).await), (4, 4));
        assert_eq!(failures_today(&world, &ann).await, 4);
        // Bob is four guesses away from a delay again, Ann one.
        guess(&world, &bob, &app, 4).await;
        assert!(world.events_of(Kind::UserLocked).await.is_empty());
        guess(&world, &ann, &anns, 1).await;
        assert_eq!(world.events_of(Kind::UserLocked).await.len(), 1);
        assert!(begin_unless_locked(&world.engine, &ann).await.is_none());
        assert!(begin_unless_locked(&world.engine, &bob).await.is_some());
        assert_eq!(failures_today(&world, &bob).await, 8);
    }

    async fn t17_a_success_with_one_app_clears_no_count_of_another(world) {
        let (bob, first) = world.enrol("bob").await;
        let second = world.enrol_again(&bob).await;
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        let [first_id, second_id] = [0, 1].map(|n| MethodSelector::Enrolment(methods[n].id));
        guess(&world, &bob, &first, 4).await;
        let right = Response::code(&second.code_at(world.now())).with_method(second_id);
        let challenge = world.begin(&bob).await;
        assert_eq!(refusal(world.engine.verify(&challenge.reference, right).await.unwrap()), None);
        let wrong = Response::code(&first.wrong_code_at(world.now(), 2)).with_method(first_id);
        let challenge = world.begin(&bob).await;
        for expected in [Reason::WrongCode, Reason::Locked] {
            let verified = world.engine.verify(&challenge.reference, wrong.clone()).await.unwrap();
            assert_eq!(refusal(verified), Some(expected));
        }
    }

    // django-allauth 65.14.2. The address is for the log: it neither makes room nor takes it away.
    async fn t18_guesses_from_a_new_address_each_draw_on_the_same_budget(world) {
        let (bob, app) = world.enrol("bob").await;
        let mut reasons = Vec::new();
        for n in 0..8 {
            let request = from(Ipv4Addr::new(203, 0, 113, n));
            let request = request.with_header("x-forwarded-for", format!("198.51.100.{n}"));
            let Begin::Challenge(challenge) =
                world.engine.begin(login(&bob).with_request(request.clone())).await.unwrap()
            else {
                reasons.push(None);
                continue;
            };
            let wrong = Response::code(&app.wrong_code_at(world.now(), 2)).with_request(request);
            reasons.push(refusal(world.engine.verify(&challenge.reference, wrong).await.unwrap()));
        }
        assert_eq!(reasons, [vec![Some(Reason::WrongCode); 5], vec![None; 3]].concat());
        let refused = world.events_of(Kind::AnswerRejected).await;
        let mut seen: Vec<_> = refused.iter().filter_map(|event| event.ip()).collect();
        seen.sort();
        let given: Vec<_> = (0..5).map(|n| IpAddr::V4(Ipv4Addr::new(203, 0, 113, n))).collect();
        assert_eq!(seen, given, "the addresses were those of the log");
    }

    async fn t18_failures_of_many_users_behind_one_address_lock_nobody_else_there(world) {
        let request = from(Ipv4Addr::new(203, 0, 113, 7));
        for n in 0..6 {
            let (user, app) = world.enrol(&format!("user-{n}")).await;
            let Begin::Challenge(challenge) =
                world.engine.begin(login(&user).with_request(request.clone())).await.unwrap()
            else {
                panic!("no challenge")
            };
            for _ in 0..5 {
                let wrong = Response::code(&app.wrong_code_at(world.now(), 2)).with_request(request.clone());
                let refused = refusal(world.engine.verify(&challenge.reference, wrong).await.unwrap());
                assert_eq!(refused, Some(Reason::WrongCode));
            }
        }
        let (bob, app) = world.enrol("bob").await;
        let begun = world.engine.begin(login(&bob).with_request(request.clone())).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        let right = Response::code(&app.code_at(world.now())).with_request(request);
        assert_eq!(refusal(world.engine.verify(&challenge.reference, right).await.unwrap()), None);
    }
}

const RENEWALS: [&str; 9] =
    ["nothing", "begin", "cancel", "switch", "revoke", "prefer", "enrol", "begin elsewhere", "time passes"];

/// Does what may be thought to give guesses back.
async fn renew(
    world: &World,
    renewal: &str,
    user: &Subject,
    challenge: &Challenge,
    [first, second]: [&MethodSelector; 2],
) {
    let (engine, account, id) = (&world.engine, user.account(), user.user());
    match renewal {
        "begin" => drop(world.begin(user).await),
        "cancel" => {
            let cancelled = engine.cancel(&challenge.reference).await.unwrap();
            assert!(matches!(cancelled, Changed::Done(_)));
        }
        "switch" => {
            for method in [second, first] {
                let switched = engine.switch(&challenge.reference, method).await.unwrap();
                assert!(matches!(switched, Changed::Done(_)));
            }
        }
        "revoke" => engine.revoke(account, id, &host()).await.unwrap(),
        "prefer" => drop(engine.method_prefer(account, id, second, &host()).await.unwrap()),
        "enrol" => drop(world.enrol_again(user).await),
        "begin elsewhere" => drop(begin(&world.node().build().await.unwrap(), user).await),
        "time passes" => world.clock.advance(HOUR * 22),
        _ => {}
    }
}

/// Guesses with the user's app `n` times, with a challenge for each.
async fn guess(world: &World, user: &Subject, app: &SoftAuthenticator, n: usize) {
    for _ in 0..n {
        let wrong = app.wrong_code_at(world.now(), 2);
        let refused = answer(&world.engine, &world.begin(user).await, &wrong).await;
        assert_eq!(refused, Some(Reason::WrongCode));
    }
}

/// Guesses for as long as guesses are judged, and returns how long the login page says to wait.
async fn guess_until_refused(
    world: &World,
    user: &Subject,
    app: &SoftAuthenticator,
    judged: &mut Vec<Timestamp>,
) -> Duration {
    loop {
        let challenge = match world.engine.begin(login(user)).await.unwrap() {
            Begin::Challenge(challenge) => challenge,
            Begin::Denied(denied) => return denied.retry_after.unwrap_or(HOUR),
            other => panic!("{other:?}"),
        };
        while answer(&world.engine, &challenge, &app.wrong_code_at(world.now(), 2)).await
            == Some(Reason::WrongCode)
        {
            judged.push(world.now());
            assert!(judged.len() < 1000, "nothing ends it");
        }
    }
}

/// Logs in with a fresh code; `false` if the user is locked.
async fn owner_logs_in(world: &World, user: &Subject, app: &SoftAuthenticator) -> bool {
    world.clock.advance(STEP);
    let Some(challenge) = begin_unless_locked(&world.engine, user).await else { return false };
    let refused = answer(&world.engine, &challenge, &app.code_at(world.now())).await;
    assert_eq!(refused, None);
    true
}

/// Checks the rule's bounds: 20 judged guesses in any 24 hours, 100 in any 30 days, and so a chance of at most
/// 1 in 3,333 to be in a month, where each guess may be one of the three codes of the window. Returns the most
/// guesses of 24 hours.
fn expect_bounds(judged: &[Timestamp]) -> usize {
    let most_within = |window: Duration| {
        let from = |n: usize| judged[n..].iter().take_while(|at| at.since(judged[n]) < window).count();
        (0..judged.len()).map(from).max().unwrap_or(0)
    };
    let (in_a_day, in_a_month) = (most_within(DAY), most_within(DAY * 30));
    assert!(in_a_day <= 20 && in_a_month <= 100, "{in_a_day} {in_a_month}");
    let success = 1.0 - f64::powi(1.0 - 3.0 / 1e6, i32::try_from(in_a_month).unwrap());
    assert!(success <= 1.0 / 3333.0, "{success}");
    in_a_day
}

fn from(address: Ipv4Addr) -> RequestFacts {
    RequestFacts::new().with_ip(IpAddr::V4(address))
}
