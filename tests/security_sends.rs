//! S20 and SP 800-63B-4 §3.2.2: messages and pushes have budgets over all challenges, charged before anything
//! leaves. S14: a sign-in that is reported ends every other one.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Begin, Challenge, Changed, Charge, Choice, Denied, DeniedReason, Reason, Response, Status, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::scripted::{On, Say};
use mfa_tests::acting::{Acting, refused};
use mfa_tests::{World, begin, login, on_stores};
use serde_json::{Value, json};

fn push() -> Response {
    Response::start(Choice::new(json!({"factor": "push"})))
}

async fn start(acting: &Acting, challenge: &Challenge) -> Verify {
    acting.engine.verify(&challenge.reference, push()).await.unwrap()
}

/// A provider that pushes when asked to, and waits.
async fn pushing(world: &World) -> (Acting, mfa::Subject) {
    let (acting, bob) = Acting::new(world, "push").await;
    acting.asks(On::Start, Charge::Push);
    acting.provider.on(On::HttpStatus(200), Say::Wait(Value::Null));
    (acting, bob)
}

fn denied(begun: Begin) -> Denied {
    match begun {
        Begin::Denied(denied) => denied,
        other => panic!("not denied: {other:?}"),
    }
}

on_stores! {
    async fn s20_a_twenty_first_push_is_refused_until_something_is_accepted(world) {
        let (acting, bob) = pushing(&world).await;
        for _ in 0..4 {
            let challenge = begin(&acting.engine, &bob).await;
            for _ in 0..5 {
                assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
            }
        }
        assert_eq!(acting.requests(), 20);
        let challenge = begin(&acting.engine, &bob).await;
        assert_eq!(refused(start(&acting, &challenge).await).reason, Reason::SendLimit);
        assert_eq!(acting.requests(), 20, "nothing left");
        // An accepted answer of the same user clears the count.
        acting.provider.on(On::Answer("222222".to_owned()), Say::Accept);
        let right = acting.engine.verify(&challenge.reference, Response::code("222222")).await.unwrap();
        assert!(matches!(right, Verify::Verified(_)));
        let challenge = begin(&acting.engine, &bob).await;
        assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
        assert_eq!(acting.requests(), 21);
    }

    async fn s20_an_unlocking_gives_the_pushes_back_that_a_stranger_used_up(world) {
        let (acting, bob) = pushing(&world).await;
        for _ in 0..20 {
            let challenge = begin(&acting.engine, &bob).await;
            assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
            assert!(matches!(acting.engine.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
        }
        let challenge = begin(&acting.engine, &bob).await;
        assert_eq!(refused(start(&acting, &challenge).await).reason, Reason::SendLimit);
        // No time gives them back: whoever can be reached by push alone would be out for ever.
        world.clock.advance(Duration::from_secs(40 * 24 * 3600));
        let challenge = begin(&acting.engine, &bob).await;
        assert_eq!(refused(start(&acting, &challenge).await).reason, Reason::SendLimit);
        acting.engine.user_unlock(bob.account(), bob.user(), &mfa_tests::host()).await.unwrap();
        let challenge = begin(&acting.engine, &bob).await;
        assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
    }

    async fn s20_a_denied_push_counts_twice(world) {
        let (acting, bob) = pushing(&world).await;
        acting.provider.on(On::Poll, Say::Reject(Reason::Denied));
        for _ in 0..10 {
            let challenge = begin(&acting.engine, &bob).await;
            assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
            let poll = acting.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert_eq!(refused(poll).reason, Reason::Denied);
            assert_eq!(acting.status(&challenge).await, Status::Failed);
        }
        let challenge = begin(&acting.engine, &bob).await;
        assert_eq!(refused(start(&acting, &challenge).await).reason, Reason::SendLimit);
        assert_eq!(acting.requests(), 10);
    }

    async fn s20_a_push_that_never_left_is_given_back(world) {
        let (acting, bob) = pushing(&world).await;
        acting.provider.on(On::HttpFault, Say::Prompt(Value::Null));
        acting.never_leaves(true);
        for _ in 0..21 {
            let challenge = begin(&acting.engine, &bob).await;
            assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
        }
        acting.never_leaves(false);
        // One whose answer got lost may have rung, and stays charged.
        acting.fails_from(acting.requests() + 1);
        for _ in 0..20 {
            let challenge = begin(&acting.engine, &bob).await;
            assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
        }
        let challenge = begin(&acting.engine, &bob).await;
        assert_eq!(refused(start(&acting, &challenge).await).reason, Reason::SendLimit);
    }

    async fn s20_five_messages_an_hour_and_twenty_a_day_leave_over_all_challenges(world) {
        let (acting, bob) = Acting::new(&world, "mail").await;
        acting.sends_at_begin();
        let mut begun = 0;
        for hour in 1..=4_usize {
            for _ in 0..5 {
                // An address has a budget of its own, which is smaller.
                let to = format!("bob{begun}");
                acting.provider.on(On::Begin, Say::Deliver(to, "333333".to_owned(), Charge::Send));
                assert!(matches!(acting.engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
                begun += 1;
            }
            let refused = denied(acting.engine.begin(login(&bob)).await.unwrap());
            assert_eq!(refused.reason, DeniedReason::SendLimit);
            // The hour's first message leaves the window in an hour, the day's first in a day, three hours of which
            // are over.
            let wait = if hour < 4 { 3600 } else { 86_400 - 3 * 3600 };
            assert_eq!(refused.retry_after, Some(Duration::from_secs(wait)));
            assert_eq!(acting.messages(), begun, "nothing left");
            // The last message of the hour leaves the window exactly an hour later.
            world.clock.advance(Duration::from_secs(3600) - Duration::from_millis(1));
            if hour < 4 {
                let early = denied(acting.engine.begin(login(&bob)).await.unwrap());
                assert_eq!(early.retry_after, Some(Duration::from_millis(1)));
            }
            world.clock.advance(Duration::from_millis(1));
        }
        let refused = denied(acting.engine.begin(login(&bob)).await.unwrap());
        assert_eq!(refused.reason, DeniedReason::SendLimit);
        world.clock.advance(refused.retry_after.unwrap());
        assert!(matches!(acting.engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn s20_resends_are_half_a_minute_apart_and_count_as_messages(world) {
        let (acting, bob) = Acting::new(&world, "mail").await;
        acting.sends_at_begin();
        let again = || Say::Deliver("bob*".to_owned(), "333333".to_owned(), Charge::Send);
        acting.provider.on(On::Resend, again());
        let challenge = begin(&acting.engine, &bob).await;
        let resend = async || acting.engine.resend(&challenge.reference).await.unwrap();
        match resend().await {
            Changed::Rejected(rejected) => {
                assert_eq!(rejected.reason, Reason::SendLimit);
                assert_eq!(rejected.retry_after, Some(Duration::from_secs(30)));
            }
            other => panic!("{other:?}"),
        }
        for sent in 2..=5 {
            world.clock.advance(Duration::from_secs(30));
            assert!(matches!(resend().await, Changed::Done(_)));
            assert_eq!(acting.messages(), sent);
        }
        world.clock.advance(Duration::from_secs(30));
        assert!(matches!(resend().await, Changed::Rejected(r) if r.reason == Reason::SendLimit));
        // Another challenge has no budget of its own.
        assert_eq!(denied(acting.engine.begin(login(&bob)).await.unwrap()).reason, DeniedReason::SendLimit);
        assert_eq!(acting.messages(), 5);
    }

    async fn s20_ten_thousand_begins_in_an_hour_send_five_messages(world) {
        let (acting, bob) = Acting::new(&world, "mail").await;
        acting.sends_at_begin();
        let begins = if world.file().is_none() { 10_000 } else { 200 };
        for _ in 0..begins {
            let _begun = acting.engine.begin(login(&bob)).await.unwrap();
            world.clock.advance(Duration::from_secs(3600) / (begins + 1));
        }
        assert_eq!(acting.messages(), 5);
        let denied = world.events_of(Kind::LoginDenied).await;
        assert!(denied.len() <= 61, "{} events of a flood", denied.len());
    }

    async fn s14_a_reported_sign_in_ends_every_other_one(world) {
        let (acting, bob) = pushing(&world).await;
        acting.provider.on(On::Poll, Say::Reject(Reason::Fraud));
        let (one, other) = (begin(&acting.engine, &bob).await, begin(&acting.engine, &bob).await);
        let poll = acting.engine.verify(&one.reference, Response::poll()).await.unwrap();
        assert_eq!(refused(poll).reason, Reason::Fraud);
        acting.provider.on(On::Answer("222222".to_owned()), Say::Accept);
        let late = acting.engine.verify(&other.reference, Response::code("222222")).await.unwrap();
        assert_eq!(refused(late).reason, Reason::Superseded);
        assert!(acting.is_locked(&bob).await);
    }

    async fn waiting_for_a_push_costs_a_read_and_no_commit(world) {
        let (acting, bob) = pushing(&world).await;
        acting.asks(On::Poll, Charge::Free);
        let challenge = begin(&acting.engine, &bob).await;
        assert!(matches!(start(&acting, &challenge).await, Verify::Pending(_)));
        // The scripted provider counts its steps, which is a change: a poll that keeps nothing writes nothing.
        acting.provider.keeps_no_count();
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let node = acting.node_on(&world, counting.clone()).build().await.unwrap();
        let _ = counting.take();
        for _ in 0..10 {
            let poll = node.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert!(matches!(poll, Verify::Pending(_)));
        }
        assert_eq!(acting.requests(), 11);
        let counts = counting.take();
        assert_eq!((counts.gets, counts.commits), (10, 0));
    }

    async fn a_free_result_that_comes_after_another_one_is_dropped(world) {
        let (acting, bob) = pushing(&world).await;
        let challenge = begin(&acting.engine, &bob).await;
        acting.asks(On::Poll, Charge::Free);
        acting.provider.on(On::HttpStatus(200), Say::Accept);
        let polls = acting.poll_twice_at_once(&world, &challenge).await;
        assert!(polls.iter().all(|poll| matches!(poll, Verify::Pending(_))), "{polls:?}");
        assert_eq!(world.events_of(Kind::ChallengeVerified).await.len(), 1);
        assert!(matches!(acting.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
        assert!(matches!(acting.engine.claim(&challenge.reference).await.unwrap(), Verify::Rejected(_)));
    }

    async fn s20_pushes_that_a_begin_sends_count_like_those_that_are_asked_for(world) {
        let (acting, bob) = pushing(&world).await;
        acting.asks(On::Begin, Charge::Push);
        for _ in 0..20 {
            let _challenge = begin(&acting.engine, &bob).await;
        }
        let refused = denied(acting.engine.begin(login(&bob)).await.unwrap());
        assert_eq!((refused.reason, refused.retry_after), (DeniedReason::SendLimit, None));
        assert_eq!(acting.requests(), 20, "nothing left");
    }

    async fn s13_whoever_uses_up_the_messages_keeps_nobody_from_another_method(world) {
        let (acting, bob) = Acting::new(&world, "mail").await;
        let app = world.enrol_again(&bob).await;
        acting.sends_at_begin();
        let by_mail = || login(&bob).with_method(mfa_tests::acting::method("mail"));
        for _ in 0..5 {
            assert!(matches!(acting.engine.begin(by_mail()).await.unwrap(), Begin::Challenge(_)));
        }
        let Begin::Challenge(by_app) = acting.engine.begin(by_mail()).await.unwrap() else { panic!() };
        assert_eq!(by_app.method.provider.as_str(), "totp");
        assert_eq!(acting.messages(), 5);
        let code = Response::code(&app.code_at(world.now()));
        let right = acting.engine.verify(&by_app.reference, code).await.unwrap();
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn a_first_message_of_a_challenge_waits_for_no_other_challenge(world) {
        let (acting, bob) = Acting::new(&world, "mail").await;
        let _app = world.enrol_again(&bob).await;
        acting.sends_at_begin();
        let by = |name: &str| login(&bob).with_method(mfa_tests::acting::method(name));
        assert!(matches!(acting.engine.begin(by("mail")).await.unwrap(), Begin::Challenge(_)));
        let Begin::Challenge(by_app) = acting.engine.begin(by("totp")).await.unwrap() else { panic!() };
        let switched = acting.engine.switch(&by_app.reference, &mfa_tests::acting::method("mail")).await.unwrap();
        assert!(matches!(switched, Changed::Done(_)), "{switched:?}");
        assert_eq!(acting.messages(), 2);
    }
}
