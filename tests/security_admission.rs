//! S32: how many slow answers one process works on at a time, and what one more costs.
#![cfg(test)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use mfa::{Error, Reason, Reference, RunError, Runtime, SecretBytes, SlowJob, Target, Timestamp, Verify};
use mfa_testkit::faults::{CountingStore, Counts};
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::attack::dump;
use mfa_tests::saved::{guess, recover, recovery, recovery_node_on};
use mfa_tests::{begin, host, login, on_stores, subject};

/// Slow answers at a time.
const MOST: usize = 64;
/// Wrong answers to one set before the delays begin.
const EACH: usize = 4;

/// A runtime whose slow jobs never end.
#[derive(Debug)]
struct Stuck(VirtualRuntime, Arc<AtomicUsize>);

#[async_trait]
impl Runtime for Stuck {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    async fn run(&self, _: SlowJob) -> Result<SecretBytes, RunError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        std::future::pending().await
    }

    fn is_test_double(&self) -> bool {
        true
    }
}

/// Polls a call until its hash has begun.
fn until_it_hashes(call: &mut (impl Future<Output = Result<Verify, Error>> + Unpin), begun: &AtomicUsize) {
    let before = begun.load(Ordering::SeqCst);
    let mut context = Context::from_waker(Waker::noop());
    while begun.load(Ordering::SeqCst) == before {
        assert!(call.poll_unpin(&mut context).is_pending());
    }
}

/// Polls a call to its answer; fails where it is given a place instead.
fn refused(call: impl Future<Output = Result<Verify, Error>>, begun: &AtomicUsize) {
    let before = begun.load(Ordering::SeqCst);
    let mut call = pin!(call);
    let mut context = Context::from_waker(Waker::noop());
    let answer = loop {
        assert_eq!(begun.load(Ordering::SeqCst), before, "its hash has begun");
        if let Poll::Ready(answer) = call.as_mut().poll(&mut context) {
            break answer;
        }
    };
    assert!(matches!(answer, Err(Error::Busy)), "{answer:?}");
}

on_stores! {
    async fn s32_one_more_slow_answer_than_there_is_room_for_is_busy_and_reads_and_writes_nothing(world) {
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        // Beside bob's own challenges, of which there may be so many.
        let ann = world.add("ann").await;
        world.enrol_with_recovery(&ann).await;
        let store = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let begun = Arc::new(AtomicUsize::new(0));
        let stuck = Arc::new(Stuck(world.clock.clone(), Arc::clone(&begun)));
        let node = recovery_node_on(&world, Arc::clone(&store) as _, stuck).build().await.unwrap();
        let mut waiting = Vec::new();
        while waiting.len() < MOST {
            if waiting.len() % EACH == 0 {
                world.engine.user_unlock(ann.account(), ann.user(), &host()).await.unwrap();
            }
            let (node, challenge, code) = (node.clone(), begin(&node, &ann).await, guess(&codes[0], waiting.len()));
            let mut call = Box::pin(async move { recover(&node, &challenge, &code).await });
            until_it_hashes(&mut call, &begun);
            waiting.push(call);
        }
        let challenge = begin(&node, &bob).await;
        let decoy = node.begin_decoy(login(&subject("nobody"))).await.unwrap();
        let repeated = Target::Current(Box::new(login(&bob)));
        let before = dump(&world).await;
        store.take();
        // A user's, nobody's, and the whole login once more; right or wrong.
        for code in [&codes[0], &guess(&codes[0], 99)] {
            refused(recover(&node, &challenge, code), &begun);
            refused(recover(&node, &decoy, code), &begun);
        }
        refused(node.verify(repeated, recovery(&codes[0])), &begun);
        assert_eq!(store.take(), Counts::default());
        assert_eq!(dump(&world).await, before);
        // What nobody issued is unknown, as ever, and what needs no hash is judged.
        let unknown = node.verify(&Reference::from_text("made-up"), recovery(&codes[0])).await;
        assert!(matches!(unknown, Ok(Verify::Rejected(r)) if r.reason == Reason::NotFound));
        let right = mfa::Response::code(&app.code_at(world.now()));
        let owners = begin(&node, &bob).await;
        assert!(matches!(node.verify(&owners.reference, right).await, Ok(Verify::Verified(_))));
        // A call that is dropped gives its place to the next, and no more than its own.
        drop(waiting.pop());
        let mut next = Box::pin(recover(&node, &challenge, &codes[0]));
        until_it_hashes(&mut next, &begun);
        refused(recover(&node, &decoy, &codes[0]), &begun);
    }
}
