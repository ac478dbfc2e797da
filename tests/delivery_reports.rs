//! "Not me": what a report from a link's page does when it comes late, and what the page tells of the beginning.
#![cfg(test)]

use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::{
    Begin, Challenge, Changed, LinkOpen, LinkProof, LinkToken, NoticeKind, Reason, RequestFacts, SecretText,
    Status, Subject, Verify,
};
use mfa_tests::mailed::{Mailed, links};
use mfa_tests::notified::arrived;
use mfa_tests::{World, login, on_stores};

fn facts() -> RequestFacts {
    RequestFacts::new()
}

/// Bob, whose mailbox gets links, and a challenge with its link.
async fn linked(world: &World) -> (Mailed, Subject, Challenge, LinkToken) {
    let mailed = Mailed::new(world, links()).await;
    let bob = mailed.add(world, "bob").await;
    mailed.enrol(world, &bob, "email").await;
    let challenge = mailed.begin(&bob).await;
    let token = mailed.link();
    (mailed, bob, challenge, token)
}

async fn report(mailed: &Mailed, token: &LinkToken) -> Reason {
    mailed.engine.link_not_me(token, &facts()).await.unwrap().reason
}

/// The events of reports about challenges that were over, by what they say of the end.
async fn late_reports(world: &World) -> Vec<String> {
    let status = |event: &Event| Some(event.fields().find(|(name, _)| *name == "status")?.1.to_owned());
    world.events_of(Kind::AnswerRejected).await.iter().filter_map(status).collect()
}

/// How often the mailbox is told that a sign-in was reported.
async fn told(mailed: &Mailed) -> usize {
    let subjects = arrived(&mailed.engine, &mailed.inbox).await;
    subjects.iter().filter(|(_, subject)| subject == NoticeKind::FraudReported.subject()).count()
}

/// Reports the same challenge again and again: it is heard once, and delays nobody.
async fn is_heard_once(world: &World, mailed: &Mailed, bob: &Subject, token: &LinkToken, ended: &str) {
    for _ in 0..3 {
        assert_eq!(report(mailed, token).await, Reason::Fraud);
    }
    assert_eq!(late_reports(world).await, [ended]);
    assert_eq!(told(mailed).await, 1);
    assert!(
        matches!(mailed.engine.begin(login(bob)).await.unwrap(), Begin::Challenge(_)),
        "nobody is locked out"
    );
}

async fn status(mailed: &Mailed, challenge: &Challenge) -> Status {
    mailed.engine.status(&mfa_tests::acme(), challenge.id).await.unwrap().unwrap().status
}

on_stores! {
    async fn s03_not_me_is_heard_though_the_login_was_cancelled_before(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        assert!(matches!(mailed.engine.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
        is_heard_once(&world, &mailed, &bob, &token, "cancelled").await;
        assert_eq!(status(&mailed, &challenge).await, Status::Cancelled);
    }

    async fn s03_not_me_is_heard_though_nobody_waits_any_more(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        world.clock.advance(Duration::from_secs(300));
        is_heard_once(&world, &mailed, &bob, &token, "expired").await;
        assert_eq!(status(&mailed, &challenge).await, Status::Expired);
    }

    async fn s03_not_me_is_heard_though_somebody_was_let_in(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        let LinkOpen::Valid(page) = mailed.engine.link_open(&token, &facts()).await.unwrap() else { panic!() };
        let digits = LinkProof::Digits(SecretText::new(challenge.prompt["match"].as_str().unwrap()));
        let _confirmed = mailed.engine.link_confirm(&token, &page.nonce, &digits, &facts()).await.unwrap();
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
        is_heard_once(&world, &mailed, &bob, &token, "redeemed").await;
        assert_eq!(status(&mailed, &challenge).await, Status::Redeemed);
    }

    async fn s03_a_late_report_ends_no_other_login(world) {
        let (mailed, bob, challenge, token) = linked(&world).await;
        let _cancelled = mailed.engine.cancel(&challenge.reference).await.unwrap();
        let other = mailed.begin(&bob).await;
        let other_token = mailed.link();
        assert_eq!(report(&mailed, &token).await, Reason::Fraud);
        assert_eq!(status(&mailed, &other).await, Status::Sent);
        let opened = mailed.engine.link_open(&other_token, &facts()).await.unwrap();
        assert!(matches!(opened, LinkOpen::Valid(_)), "{opened:?}");
        // Its own link does, as ever.
        assert_eq!(report(&mailed, &other_token).await, Reason::Fraud);
        assert_eq!(status(&mailed, &other).await, Status::Failed);
        assert!(matches!(mailed.engine.begin(login(&bob)).await.unwrap(), Begin::Denied(_)));
    }

    async fn s03_a_report_that_was_heard_is_not_heard_again_as_a_late_one(world) {
        let (mailed, _bob, _challenge, token) = linked(&world).await;
        for _ in 0..3 {
            assert_eq!(report(&mailed, &token).await, Reason::Fraud);
        }
        assert_eq!(late_reports(&world).await.len(), 0);
        assert_eq!(world.events_of(Kind::AnswerRejected).await.len(), 1);
        assert_eq!(told(&mailed).await, 1);
    }

    async fn s03_a_report_a_day_after_the_end_is_about_nothing_that_is_known(world) {
        let (mailed, _bob, _challenge, token) = linked(&world).await;
        world.clock.advance(Duration::from_secs(300 + 24 * 3600));
        assert_eq!(report(&mailed, &token).await, Reason::NotFound);
        assert_eq!((late_reports(&world).await.len(), told(&mailed).await), (0, 0));
    }

    async fn s03_the_page_tells_of_the_beginning_of_the_login_not_of_a_switch(world) {
        let mailed = Mailed::new(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.enrol(&world, &bob, "email").await;
        let began = world.now().unix_seconds();
        let by_sms = login(&bob).with_method("sms".parse().unwrap());
        let from = by_sms.with_request(facts().with_ip([192, 0, 2, 7].into()));
        let Begin::Challenge(challenge) = mailed.engine.begin(from).await.unwrap() else { panic!() };
        assert_eq!(challenge.method.provider.as_str(), "sms");
        let _ = mailed.code();
        world.clock.advance(Duration::from_secs(60));
        let switched = mailed.engine.switch(&challenge.reference, &"email".parse().unwrap()).await.unwrap();
        assert!(matches!(switched, Changed::Done(_)), "{switched:?}");
        let LinkOpen::Valid(page) = mailed.engine.link_open(&mailed.link(), &facts()).await.unwrap() else { panic!() };
        assert_eq!((&page.prompt["ip"], &page.prompt["began_at"]), (&"192.0.2.7".into(), &began.into()));
    }
}
