//! S22 and S30 of a charge that is returned: what it brought about is told only once it is final.
#![cfg(test)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::{
    Challenge, Engine, NoticeKind, Reason, RunError, Runtime, SecretBytes, SlowJob, Subject, Timestamp,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::drop_at::yield_once;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::notified::arrived;
use mfa_tests::probe::{answer, refusal};
use mfa_tests::saved::{guess, recover, recovery_node_on};
use mfa_tests::told::wrong_code;
use mfa_tests::{World, begin, on_stores};

/// As long as an effect may take.
const DEADLINE: Duration = Duration::from_secs(30);
const HOUR: Duration = Duration::from_secs(3600);

on_stores! {
    async fn s22_a_lock_that_a_returned_charge_brought_about_is_told_to_nobody(world) {
        let (world, inbox) = world.with_recovery().await;
        for (name, last) in [("bob", "full"), ("ann", "right")] {
            let (user, _app, codes) = user(&world, &inbox, name).await;
            let challenge = four_wrong(&world, &user, &codes).await;
            if last == "full" {
                world.clock.refuse_jobs(1);
                let refused = recover(&world.engine, &challenge, &guess(&codes[0], 5)).await;
                assert_eq!(refused.unwrap_err().code(), "busy");
            } else {
                assert_eq!(refusal(recover(&world.engine, &challenge, &codes[0]).await.unwrap()), None);
            }
            // From the charge on answers were refused, which is in the log, and then that they are not.
            let kinds = async |kind| world.events_of(kind).await.iter().filter(|e| e.user() == Some(user.user())).count();
            assert_eq!((kinds(Kind::UserLocked).await, kinds(Kind::UserUnlocked).await), (1, 1), "{last}");
            world.clock.advance(DEADLINE);
            assert_eq!(told(&world, &inbox, NoticeKind::Locked).await, 0, "{last}");
            // Within the hour a lock that is one is told.
            let challenge = if last == "full" { challenge } else { four_wrong(&world, &user, &codes).await };
            let wrong = recover(&world.engine, &challenge, &guess(&codes[0], 6)).await.unwrap();
            assert_eq!(refusal(wrong), Some(Reason::WrongCode));
            assert_eq!((kinds(Kind::UserLocked).await, kinds(Kind::UserUnlocked).await), (2, 1), "{last}");
            world.clock.advance(DEADLINE);
            assert_eq!(told(&world, &inbox, NoticeKind::Locked).await, 1, "{last}");
        }
    }

    async fn s30_a_lock_is_told_whatever_keeps_its_charge_from_being_judged(world) {
        let (world, inbox) = world.with_recovery().await;
        let (user, _app, codes) = user(&world, &inbox, "bob").await;
        let challenge = four_wrong(&world, &user, &codes).await;
        world.clock.lose_jobs(1);
        assert!(recover(&world.engine, &challenge, &codes[0]).await.is_err());
        // Nobody comes back to it. Until the deadline it might still be returned.
        world.clock.advance(DEADLINE - Duration::from_millis(1));
        assert_eq!(told(&world, &inbox, NoticeKind::Locked).await, 0);
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(told(&world, &inbox, NoticeKind::Locked).await, 1);
    }

    async fn s30_a_lock_by_other_answers_is_told_though_a_charge_beside_it_is_returned(world) {
        let (world, inbox) = world.with_recovery().await;
        let (user, app, codes) = user(&world, &inbox, "bob").await;
        let challenge = four_wrong(&world, &user, &codes).await;
        let late = Late { clock: world.clock.clone(), released: Arc::default() };
        let node = recovery_node_on(&world, Arc::new(Arc::clone(&world.store)), Arc::new(late.clone()));
        let node: Engine = node.build().await.unwrap();
        let wrong = guess(&codes[0], 5);
        let mut call = pin!(recover(&node, &challenge, &wrong));
        let mut context = Context::from_waker(Waker::noop());
        while world.events_of(Kind::UserLocked).await.is_empty() {
            assert!(call.as_mut().poll(&mut context).is_pending());
        }
        // While the pool is being asked, the app is locked, and told with the lock of before.
        let other = begin(&world.engine, &user).await;
        for _ in 0..5 {
            let wrong = wrong_code(&app, world.now());
            assert_eq!(answer(&world.engine, &other, &wrong).await, Some(Reason::WrongCode));
        }
        late.released.store(true, Ordering::SeqCst);
        assert_eq!(call.await.unwrap_err().code(), "busy");
        world.clock.advance(DEADLINE);
        assert_eq!(told(&world, &inbox, NoticeKind::Locked).await, 1);
    }
}

/// A user with an app and recovery codes, who has been told of both.
async fn user(world: &World, inbox: &Inbox, name: &str) -> (Subject, SoftAuthenticator, Vec<String>) {
    let user = world.add_reachable(name).await;
    let (app, codes) = world.enrol_with_recovery(&user).await;
    world.clock.advance(HOUR);
    let _ = arrived(&world.engine, inbox).await;
    (user, app, codes)
}

/// Begins a login and gives four wrong recovery codes: one more, and the delays begin.
async fn four_wrong(world: &World, user: &Subject, codes: &[String]) -> Challenge {
    let challenge = world.begin(user).await;
    for n in 0..4 {
        let wrong = recover(&world.engine, &challenge, &guess(&codes[0], n)).await.unwrap();
        assert_eq!(refusal(wrong), Some(Reason::WrongCode));
    }
    challenge
}

/// Sends what is due, and returns how many of a kind arrived.
async fn told(world: &World, inbox: &Inbox, kind: NoticeKind) -> usize {
    arrived(&world.engine, inbox).await.iter().filter(|(_, subject)| subject == kind.subject()).count()
}

/// A runtime whose pool has no room, and says so late.
#[derive(Clone, Debug)]
struct Late {
    clock: VirtualRuntime,
    released: Arc<AtomicBool>,
}

#[async_trait]
impl Runtime for Late {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }

    async fn run(&self, _: SlowJob) -> Result<SecretBytes, RunError> {
        while !self.released.load(Ordering::SeqCst) {
            yield_once().await;
        }
        Err(RunError::Busy)
    }

    fn is_test_double(&self) -> bool {
        true
    }
}
