//! Methods whose set-up sends, asks or waits: what it costs, and what a lost result leaves.
#![cfg(test)]

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use audit_model::Kind;
use mfa::{Charge, Choice, EnrolConfirm, EnrolmentStarted, Error, Reason, RequestFacts, Response, Subject};
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::acting::Acting;
use mfa_tests::{World, host, on_stores};
use serde_json::{Value, json};

/// Eve, who enrols; bob has the method already.
async fn enrolling(world: &World) -> (Acting, Subject) {
    let (acting, _bob) = Acting::with(world, ScriptedProvider::new("outside")).await;
    acting.provider.on(On::Delivered, Say::Prompt(json!({"sent": true})));
    (acting, world.add("eve").await)
}

async fn started(acting: &Acting, eve: &Subject) -> Result<EnrolmentStarted, Error> {
    let name = acting.name();
    acting.engine.enrol_begin(eve.account(), eve.user(), &name, &Choice::none(), &host()).await
}

async fn confirm(acting: &Acting, started: &EnrolmentStarted, response: Response) -> EnrolConfirm {
    acting.engine.enrol_confirm(&started.reference, &response).await.unwrap()
}

fn reason(confirmed: EnrolConfirm) -> Reason {
    match confirmed {
        EnrolConfirm::Rejected(rejected) => rejected.reason,
        other => panic!("not refused: {other:?}"),
    }
}

on_stores! {
    async fn a_set_up_that_sends_a_code_is_confirmed_by_it(world) {
        let (acting, eve) = enrolling(&world).await;
        acting.sends_at_begin();
        let begun = started(&acting, &eve).await.unwrap();
        assert_eq!((acting.messages(), &begun.prompt), (1, &json!({"sent": true})));
        assert_eq!(reason(confirm(&acting, &begun, Response::code("000000")).await), Reason::WrongCode);
        let right = confirm(&acting, &begun, Response::code(mfa_tests::doubles::SCRIPTED_CODE)).await;
        assert!(matches!(right, EnrolConfirm::Confirmed(id) if id == begun.id));
        let charged = world.events_of(Kind::EffectCharged).await;
        assert_eq!(charged.len(), 1);
    }

    async fn s20_set_ups_draw_on_the_user_s_budget_of_messages(world) {
        let (acting, eve) = enrolling(&world).await;
        acting.sends_at_begin();
        let begun = started(&acting, &eve).await.unwrap();
        acting.provider.on(On::Resend, Say::Deliver("eve".to_owned(), "222222".to_owned(), Charge::Send));
        for _ in 0..4 {
            let again = acting.engine.enrol_resend(&begun.reference, &RequestFacts::new()).await.unwrap();
            assert!(matches!(again, EnrolConfirm::Pending(_)), "{again:?}");
        }
        let sixth = acting.engine.enrol_resend(&begun.reference, &RequestFacts::new()).await.unwrap();
        assert_eq!(reason(sixth), Reason::SendLimit);
        assert_eq!(started(&acting, &eve).await.unwrap_err().code(), "send_limit");
        assert_eq!(acting.messages(), 5);
        world.clock.advance(Duration::from_secs(3600));
        assert!(started(&acting, &eve).await.is_ok());
    }

    async fn a_set_up_whose_service_does_not_know_the_user_names_the_reason(world) {
        let (acting, eve) = enrolling(&world).await;
        acting.asks(On::Begin, Charge::Free);
        acting.provider.on(On::HttpStatus(200), Say::Reject(Reason::UnknownToProvider));
        assert_eq!(started(&acting, &eve).await.unwrap_err().code(), "user_not_found");
        acting.fails_from(acting.requests() + 1);
        acting.provider.on(On::HttpFault, Say::Reject(Reason::Unavailable));
        assert_eq!(started(&acting, &eve).await.unwrap_err().code(), "unavailable");
        assert!(acting.engine.methods(eve.account(), eve.user()).await.unwrap().is_empty());
    }

    async fn a_set_up_by_push_waits_and_is_confirmed_by_a_poll(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Start, Charge::Push);
        acting.provider.on(On::HttpStatus(200), Say::Wait(json!({"pushed": true})));
        let pushed = confirm(&acting, &begun, Response::start(Choice::none())).await;
        assert!(matches!(&pushed, EnrolConfirm::Pending(p) if p.prompt == json!({"pushed": true})), "{pushed:?}");
        acting.asks(On::Poll, Charge::Free);
        acting.provider.on(On::HttpStatus(200), Say::Accept);
        let confirmed = confirm(&acting, &begun, Response::poll()).await;
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    }

    async fn s20_pushes_of_a_set_up_count_with_those_of_logins(world) {
        let (acting, eve) = enrolling(&world).await;
        acting.asks(On::Start, Charge::Push);
        acting.provider.on(On::HttpStatus(200), Say::Wait(Value::Null));
        let begun = started(&acting, &eve).await.unwrap();
        for _ in 0..20 {
            let pushed = confirm(&acting, &begun, Response::start(Choice::none())).await;
            assert!(matches!(pushed, EnrolConfirm::Pending(_)));
        }
        assert_eq!(reason(confirm(&acting, &begun, Response::start(Choice::none())).await), Reason::SendLimit);
        assert_eq!(acting.requests(), 20);
    }

    async fn s22_an_answer_that_a_service_judges_is_charged_before_it_is_asked(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Answer("222222".to_owned()), Charge::Attempt);
        acting.provider.on(On::HttpFault, Say::Reject(Reason::Unavailable));
        // Lost results stay charged; those that never left do not.
        acting.never_leaves(true);
        for _ in 0..6 {
            assert_eq!(reason(confirm(&acting, &begun, Response::code("222222")).await), Reason::Unavailable);
        }
        acting.never_leaves(false);
        acting.fails_from(acting.requests() + 1);
        for _ in 0..5 {
            assert_eq!(reason(confirm(&acting, &begun, Response::code("222222")).await), Reason::Unavailable);
        }
        assert_eq!(reason(confirm(&acting, &begun, Response::code("222222")).await), Reason::Exhausted);
    }

    async fn s22_a_result_that_never_came_is_told_to_the_provider(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Answer("222222".to_owned()), Charge::Attempt);
        acting.provider.on(On::Interrupted, Say::Prompt(Value::Null));
        acting.hangs(true);
        acting.confirm_and_drop(&begun, Response::code("222222")).await;
        acting.hangs(false);
        let early = confirm(&acting, &begun, Response::code("222222")).await;
        assert!(matches!(early, EnrolConfirm::Pending(_)), "{early:?}");
        world.clock.advance(Duration::from_secs(30));
        let _seen = acting.provider.take_saw();
        acting.provider.on(On::HttpStatus(200), Say::Accept);
        let late = confirm(&acting, &begun, Response::code("222222")).await;
        assert!(matches!(late, EnrolConfirm::Confirmed(_)), "{late:?}");
        assert_eq!(acting.provider.take_saw()[0].event, On::Interrupted);
    }

    async fn s06_a_provider_s_bypass_sets_nothing_up(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        for why in [mfa::Unproven::Bypass, mfa::Unproven::Unreachable] {
            acting.provider.on(On::Poll, Say::Unproven(why));
            let refused = reason(confirm(&acting, &begun, Response::poll()).await);
            assert!(matches!(refused, Reason::Denied | Reason::Unavailable));
        }
        assert!(acting.engine.methods(eve.account(), eve.user()).await.unwrap().is_empty());
    }

    async fn s22_a_free_result_of_a_set_up_that_comes_after_another_one_is_dropped(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Poll, Charge::Free);
        acting.provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        let polls = acting.confirm_twice_at_once(&world, &begun, &Response::poll()).await;
        let rejected = polls.iter().filter(|poll| matches!(poll, EnrolConfirm::Rejected(_))).count();
        assert_eq!(rejected, 1, "{polls:?}");
    }

    async fn s22_a_start_of_a_set_up_that_is_an_attempt_has_five(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Start, Charge::Attempt);
        acting.provider.on(On::HttpStatus(200), Say::Reject(Reason::WrongCode));
        for _ in 0..5 {
            assert_eq!(reason(confirm(&acting, &begun, Response::start(Choice::none())).await), Reason::WrongCode);
        }
        assert_eq!(reason(confirm(&acting, &begun, Response::start(Choice::none())).await), Reason::Exhausted);
        assert_eq!(acting.requests(), 5);
    }

    async fn s20_a_push_of_a_set_up_that_never_left_is_given_back(world) {
        let (acting, eve) = enrolling(&world).await;
        acting.asks(On::Start, Charge::Push);
        acting.provider.on(On::HttpFault, Say::Prompt(Value::Null));
        acting.never_leaves(true);
        let begun = started(&acting, &eve).await.unwrap();
        for _ in 0..21 {
            let pushed = confirm(&acting, &begun, Response::start(Choice::none())).await;
            assert!(matches!(pushed, EnrolConfirm::Pending(_)), "{pushed:?}");
        }
    }

    async fn s22_a_lost_result_of_a_set_up_is_told_once(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Answer("222222".to_owned()), Charge::Attempt);
        acting.provider.on(On::Interrupted, Say::Prompt(Value::Null));
        acting.hangs(true);
        acting.confirm_and_drop(&begun, Response::code("222222")).await;
        world.clock.advance(Duration::from_secs(30));
        acting.provider.keeps_no_count();
        let _seen = acting.provider.take_saw();
        for _ in 0..2 {
            assert!(matches!(confirm(&acting, &begun, Response::poll()).await, EnrolConfirm::Pending(_)));
        }
        let told = acting.provider.take_saw().iter().filter(|saw| saw.event == On::Interrupted).count();
        assert_eq!(told, 1);
    }

    async fn s22_a_result_of_a_set_up_that_comes_after_another_answer_is_dropped(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Answer("222222".to_owned()), Charge::Attempt);
        acting.provider.on(On::Interrupted, Say::Prompt(Value::Null));
        acting.provider.on(On::HttpFault, Say::Accept);
        acting.hangs(true);
        let answer = Response::code("222222");
        let mut first = pin!(acting.engine.enrol_confirm(&begun.reference, &answer));
        let mut second = pin!(acting.engine.enrol_confirm(&begun.reference, &answer));
        let mut context = Context::from_waker(Waker::noop());
        while acting.requests() == 0 {
            assert!(first.as_mut().poll(&mut context).is_pending());
        }
        world.clock.advance(Duration::from_secs(30));
        while acting.requests() == 1 {
            assert!(second.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(reason(first.await.unwrap()), Reason::Superseded);
        assert_eq!(world.events_of(Kind::EffectDropped).await.len(), 1);
    }

    async fn s22_a_refusal_of_what_never_left_counts_as_the_provider_says(world) {
        let (acting, eve) = enrolling(&world).await;
        let begun = started(&acting, &eve).await.unwrap();
        acting.asks(On::Answer("222222".to_owned()), Charge::Attempt);
        acting.provider.on(On::HttpFault, Say::Reject(Reason::WrongCode));
        acting.never_leaves(true);
        for _ in 0..5 {
            assert_eq!(reason(confirm(&acting, &begun, Response::code("222222")).await), Reason::WrongCode);
        }
        assert_eq!(reason(confirm(&acting, &begun, Response::code("222222")).await), Reason::Exhausted);
    }
}
