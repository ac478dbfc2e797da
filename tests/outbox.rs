//! The outbox: a notice is sent at least once, under one id, whatever becomes of who sends it and of who is told.
#![cfg(test)]

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::{Event, Kind};
use futures::executor::block_on;
use mfa::{
    Drained, Engine, KeyId, KeyRing, Message, NotDelivered, NoticeKind, Receipt, RecordKind, Subject,
    Transport,
};
use mfa_testkit::faults::{At, CountingStore, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_testkit::runtime::VirtualRuntime;
use mfa_tests::notified::{Elsewhere, arrived, mail, reachable, sending_node_on};
use mfa_tests::{World, host, on_stores, ring};

const SECOND: Duration = Duration::from_secs(1);
/// How long whoever took a notice has it for themselves.
const LEASE: Duration = Duration::from_secs(60);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

/// A world with bob, who has these contacts and whom nothing waits for.
async fn with_bob(base: World, addresses: &[&str]) -> (World, Inbox, Subject) {
    let (world, inbox) = base.with_recovery().await;
    let bob = reachable("bob", addresses.iter().map(|address| mail(address)).collect());
    world.directory.put(&bob).await.expect("a directory");
    // Without recovery codes, which are slow to make.
    enrol(&world, &world.node().build().await.expect("a node"), &bob).await;
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(arrived(&world.engine, &inbox).await.len(), addresses.len());
    let _ = inbox.take_tried();
    // Events of one millisecond have no order.
    world.clock.advance(SECOND);
    (world, inbox, bob)
}

/// Lets a notice wait for `user`.
async fn unlock(engine: &Engine, user: &Subject) {
    engine.user_unlock(user.account(), user.user(), &host()).await.expect("an unlock");
}

async fn drain(engine: &Engine) -> [u64; 3] {
    let Drained { sent, waiting, given_up, .. } = engine.drain_outbox(100).await.expect("a drain");
    [sent, waiting, given_up]
}

async fn waiting(world: &World) -> usize {
    world.store.scan(RecordKind::new("notice"), None, 1_000, world.now()).await.expect("a scan").len()
}

fn told(event: &Event) -> [Option<&str>; 2] {
    [event.field("notice"), event.field("contacts")]
}

on_stores! {
    async fn a_notice_is_sent_once_and_gone(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        unlock(&world.engine, &bob).await;
        assert_eq!(waiting(&world).await, 1);
        assert_eq!(drain(&world.engine).await, [1, 0, 0]);
        assert_eq!((inbox.take().len(), waiting(&world).await), (1, 0));
        world.clock.advance(LEASE * 60);
        assert_eq!((drain(&world.engine).await, inbox.take().len()), ([0; 3], 0));
        let sent = world.events_of(Kind::NoticeSent).await;
        assert_eq!(told(sent.last().unwrap()), [Some("unlocked"), Some("1")]);
    }

    async fn a_permanent_refusal_is_given_up_with_an_event(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        unlock(&world.engine, &bob).await;
        assert_eq!(drain(&world.engine).await, [0, 0, 1]);
        assert_eq!((inbox.take_tried().len(), waiting(&world).await), (1, 0));
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        assert_eq!(given_up.iter().map(told).collect::<Vec<_>>(), [[Some("unlocked"), Some("0")]]);
    }

    async fn a_temporary_refusal_is_tried_again_less_and_less_often_and_given_up_with_an_event(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        inbox.refuse("bob@acme.example", NotDelivered::Temporary);
        unlock(&world.engine, &bob).await;
        assert_eq!(drain(&world.engine).await, [0, 1, 0]);
        let mut pause = 2 * SECOND;
        for attempt in 2..=12 {
            world.clock.advance(pause - Duration::from_millis(1));
            assert_eq!(drain(&world.engine).await, [0; 3], "attempt {attempt} comes too early");
            world.clock.advance(Duration::from_millis(1));
            let expected = if attempt == 12 { [0, 0, 1] } else { [0, 1, 0] };
            assert_eq!(drain(&world.engine).await, expected, "attempt {attempt}");
            pause = (pause * 2).min(Duration::from_secs(3600));
        }
        assert_eq!((inbox.take_tried().len(), waiting(&world).await), (12, 0));
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        assert_eq!(given_up.iter().map(told).collect::<Vec<_>>(), [[Some("unlocked"), Some("0")]]);
    }

    async fn a_transport_without_an_answer_is_left_at_the_deadline_and_tried_again(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        inbox.hang();
        unlock(&world.engine, &bob).await;
        let drained = std::thread::scope(|scope| {
            let draining = scope.spawn(|| block_on(drain(&world.engine)));
            while inbox.take_tried().is_empty() {
                std::thread::yield_now();
            }
            world.clock.advance(Duration::from_secs(29));
            assert!(!draining.is_finished());
            world.clock.advance(SECOND);
            draining.join().expect("a drain")
        });
        assert_eq!(drained, [0, 1, 0]);
        inbox.mend();
        world.clock.advance(2 * SECOND);
        assert_eq!((drain(&world.engine).await, inbox.take().len()), ([1, 0, 0], 1));
    }

    async fn of_two_contacts_the_one_who_was_told_is_not_told_again(base) {
        let addresses = ["a@acme.example", "b@acme.example"];
        let (world, inbox, bob) = with_bob(base, &addresses).await;
        for failing in addresses {
            inbox.refuse(failing, NotDelivered::Temporary);
            unlock(&world.engine, &bob).await;
            assert_eq!(drain(&world.engine).await, [0, 1, 0]);
            world.clock.advance(2 * SECOND);
            assert_eq!(drain(&world.engine).await, [0, 1, 0]);
            let first = inbox.take();
            assert!(first.len() == 1 && first[0].to != failing, "{first:?}");
            inbox.mend();
            world.clock.advance(4 * SECOND);
            assert_eq!(drain(&world.engine).await, [1, 0, 0]);
            let second = inbox.take();
            assert!(second.len() == 1 && second[0].to == failing, "{second:?}");
            assert_ne!(first[0].id, second[0].id, "each has an id of its own");
            world.clock.advance(LEASE * 60);
        }
        let sent = world.events_of(Kind::NoticeSent).await;
        assert_eq!(told(sent.last().unwrap()), [Some("unlocked"), Some("2")]);
    }

    async fn one_who_refuses_for_good_keeps_the_other_from_nothing(base) {
        let (world, inbox, bob) = with_bob(base, &["a@acme.example", "b@acme.example"]).await;
        inbox.refuse("a@acme.example", NotDelivered::Permanent);
        unlock(&world.engine, &bob).await;
        assert_eq!(drain(&world.engine).await, [0, 0, 1]);
        assert_eq!(inbox.take().iter().map(|m| m.to.as_str()).collect::<Vec<_>>(), ["b@acme.example"]);
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        assert_eq!(told(&given_up[0]), [Some("unlocked"), Some("1")]);
    }

    async fn of_two_nodes_that_drain_at_once_one_sends(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let mut nodes = Vec::new();
        for _ in 0..2 {
            nodes.push(sending_node_on(&world, gate.clone(), &inbox).build().await.unwrap());
        }
        unlock(&world.engine, &bob).await;
        gate.arm_for(RecordKind::new("notice"), 2);
        let mut drained = race(2, async |i: usize| drain(&nodes[i]).await);
        drained.sort_unstable();
        assert_eq!(drained, [[0, 0, 0], [1, 0, 0]]);
        assert_eq!((inbox.take_tried().len(), world.events_of(Kind::NoticeSent).await.len()), (1, 2));
    }

    async fn a_crash_between_take_and_settle_sends_again_under_the_same_id_after_the_lease(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        unlock(&world.engine, &bob).await;
        // The message arrives, and whoever sent it does not hear of it.
        let crashing = Arc::new(Crashing { inbox: inbox.clone(), sent: AtomicBool::new(false) });
        let node = world.node().transport(crashing.clone()).build().await.unwrap();
        crash(&node, &crashing);
        let first = inbox.take();
        world.clock.advance(LEASE - SECOND);
        assert_eq!(drain(&world.engine).await, [0; 3]);
        world.clock.advance(SECOND);
        assert_eq!(drain(&world.engine).await, [1, 0, 0]);
        let again = inbox.take();
        assert_eq!((first.len(), first == again), (1, true));
        assert!(first[0].id.is_some());
    }

    async fn a_sender_that_crashes_each_time_sends_less_and_less_often(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        unlock(&world.engine, &bob).await;
        let crashing = Arc::new(Crashing { inbox: inbox.clone(), sent: AtomicBool::new(false) });
        let node = world.node().transport(crashing.clone()).build().await.unwrap();
        for attempt in 1..=9_u32 {
            crash(&node, &crashing);
            let pause = SECOND * 2_u32.pow(attempt);
            let pause = pause.clamp(LEASE, Duration::from_secs(3600));
            world.clock.advance(pause - SECOND);
            assert_eq!(drain(&world.engine).await, [0; 3], "attempt {attempt}");
            world.clock.advance(SECOND);
        }
        assert_eq!(inbox.take().len(), 9);
        // Each may have arrived, and one came before: a mailbox gets no more of them in a day.
        assert_eq!((drain(&world.engine).await, inbox.take().len()), ([0, 1, 0], 0));
        world.clock.advance(LEASE * 60 * 24);
        assert_eq!((drain(&world.engine).await, inbox.take().len()), ([1, 0, 0], 1));
    }

    async fn a_node_slower_than_its_lease_does_not_forget_whom_another_told(base) {
        let (world, inbox, bob) = with_bob(base, &["a@acme.example", "b@acme.example"]).await;
        unlock(&world.engine, &bob).await;
        let fast = world.recovery_node(&inbox).build().await.unwrap();
        let slow = Arc::new(Slow { clock: world.clock.clone(), fast, inbox: inbox.clone() });
        let node = world.node().transport(slow).build().await.unwrap();
        // While the slow one is at it, the fast one tells a; then the slow one tells b.
        assert_eq!(drain(&node).await, [1, 0, 0]);
        let arrived: Vec<_> = inbox.take().into_iter().map(|message| message.to).collect();
        assert_eq!(arrived, ["a@acme.example", "b@acme.example"]);
        world.clock.advance(LEASE * 2);
        assert_eq!((drain(&world.engine).await, inbox.take().len()), ([0; 3], 0));
    }

    async fn a_notice_of_another_ring_waits_for_it_in_nobodys_way(base) {
        let (users, inbox) = (Elsewhere::default(), Inbox::new());
        // The store lists ann first.
        let [ann, bob] = ["ann", "bob"].map(|name| reachable(name, vec![mail("a@acme.example")]));
        users.put(&ann);
        users.put(&bob);
        let id = |name: &str| KeyId::parse(name).unwrap();
        let node = async |ring: KeyRing| {
            let builder = users.node_with(&base, &inbox, ring);
            builder.build().await.unwrap()
        };
        let (old, new) = (node(ring()).await, KeyRing::new(id("k2"), [0x24; 32]).unwrap());
        enrol(&base, &old, &ann).await;
        enrol(&base, &node(new.clone()).await, &bob).await;
        let both = ring();
        both.add(id("k2"), [0x24; 32]).unwrap();
        // Only the record's envelope moves to the new key: it can be read there, and not opened.
        let middle = node(both.clone()).await;
        middle.key_activate(&id("k2"), "ops", "rotation").await.unwrap();
        inbox.fail_next(NotDelivered::Temporary);
        assert_eq!(middle.drain_outbox(1).await.unwrap().waiting, 1);
        base.clock.advance(LEASE);
        let only_new = node(new).await;
        assert_eq!((drain(&only_new).await, waiting(&base).await), ([1, 0, 0], 1));
        let stranger = node(KeyRing::new(id("k3"), [0x36; 32]).unwrap()).await;
        assert_eq!((drain(&stranger).await, waiting(&base).await), ([0; 3], 1));
        assert_eq!((drain(&middle).await, waiting(&base).await), ([1, 0, 0], 0));
        assert_eq!(inbox.take().len(), 2);
    }

    async fn a_drain_sends_no_more_than_it_is_told_to(base) {
        let (world, inbox) = base.with_recovery().await;
        let without = world.node().build().await.unwrap();
        for n in 0..5 {
            let user = world.add_reachable(&format!("user-{n}")).await;
            enrol(&world, &without, &user).await;
        }
        let refused = without.drain_outbox(100).await.unwrap_err();
        assert_eq!(refused.code(), "unavailable", "it has no transport");
        let mut sent = Vec::new();
        for limit in [0, 2, 2, 2, 2] {
            sent.push(world.engine.drain_outbox(limit).await.unwrap().sent);
            assert_eq!(inbox.take().len(), usize::try_from(*sent.last().unwrap()).unwrap());
        }
        assert_eq!(sent, [0, 2, 2, 1, 0]);
    }

    async fn after_a_week_a_notice_is_not_sent_any_more(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        for (wait, sent) in [(WEEK - SECOND, 1), (WEEK, 0)] {
            unlock(&world.engine, &bob).await;
            world.clock.advance(wait);
            assert_eq!((drain(&world.engine).await, inbox.take().len()), ([sent, 0, 0], usize::from(sent == 1)));
        }
    }

    async fn the_change_and_its_notice_are_committed_together_or_neither(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        let faulty = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = sending_node_on(&world, faulty.clone(), &inbox).build().await.unwrap();
        let (account, user) = (bob.account(), bob.user());
        faulty.fail(At::BeforeCommit, Fault::Unavailable, 1);
        assert!(node.user_reset(account, user, &host()).await.is_err());
        assert_eq!((node.methods(account, user).await.unwrap().len(), waiting(&world).await), (1, 0));
        faulty.fail(At::BeforeCommit, Fault::Unknown, 1);
        assert!(node.user_reset(account, user, &host()).await.is_err());
        assert_eq!((node.methods(account, user).await.unwrap().len(), waiting(&world).await), (1, 0));
        faulty.fail(At::AfterCommit, Fault::Unavailable, 1);
        assert!(node.user_reset(account, user, &host()).await.is_err());
        assert_eq!((node.methods(account, user).await.unwrap().len(), waiting(&world).await), (0, 1));
        let reset = NoticeKind::Reset.subject().to_owned();
        assert_eq!(arrived(&world.engine, &inbox).await, [("bob@acme.example".to_owned(), reset)]);
        // An unknown outcome is recognised, and one commit is all there is.
        let counting = Arc::new(CountingStore::new(FaultStore::new(Arc::clone(&world.store))));
        let node = sending_node_on(&world, counting.clone(), &inbox).build().await.unwrap();
        counting.inner().fail(At::AfterCommit, Fault::Unknown, 1);
        counting.take();
        unlock(&node, &bob).await;
        assert_eq!((counting.counts().commits, waiting(&world).await), (1, 1));
    }

    async fn a_store_that_fails_while_draining_is_told_and_loses_nothing(base) {
        let (world, inbox, bob) = with_bob(base, &["bob@acme.example"]).await;
        let faulty = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = sending_node_on(&world, faulty.clone(), &inbox).build().await.unwrap();
        unlock(&world.engine, &bob).await;
        for at in [At::OnList, At::OnGet, At::BeforeCommit] {
            faulty.fail(at, Fault::Unavailable, 1);
            assert_eq!(node.drain_outbox(10).await.unwrap_err().code(), "unavailable", "{at:?}");
            assert_eq!(inbox.take_tried().len(), 0, "nothing is sent before it is taken");
        }
        // What cannot be charged is not sent, and waits.
        faulty.fail_later(At::BeforeCommit, Fault::Unavailable, 1, 1);
        assert_eq!((drain(&node).await, inbox.take_tried().len()), ([0, 1, 0], 0));
        world.clock.advance(LEASE * 60);
        // Sent, and the commit that says so fails: it is sent again, after the lease.
        faulty.fail_later(At::BeforeCommit, Fault::Unavailable, 2, 1);
        assert_eq!(node.drain_outbox(10).await.unwrap_err().code(), "unavailable");
        world.clock.advance(LEASE);
        assert_eq!(drain(&node).await, [1, 0, 0]);
        let messages = inbox.take();
        assert_eq!((messages.len(), messages[0] == messages[1]), (2, true));
    }
}

async fn enrol(world: &World, engine: &Engine, user: &Subject) {
    let begun = engine
        .enrol_begin(user.account(), user.user(), &mfa_tests::totp(), &mfa::Choice::none(), &host())
        .await
        .unwrap();
    let uri = begun.revealed.get("uri").unwrap();
    let app = mfa_testkit::authenticator::SoftAuthenticator::scan(uri.expose_secret()).unwrap();
    let code = mfa::Response::code(&app.code_at(world.now()));
    let mut confirmed = engine.enrol_confirm(&begun.reference, &code).await.unwrap();
    if let mfa::EnrolConfirm::RecoveryShown(_) = confirmed {
        confirmed = engine.enrol_acknowledge(&begun.reference, &mfa::RequestFacts::new()).await.unwrap();
    }
    assert!(matches!(confirmed, mfa::EnrolConfirm::Confirmed(_)));
    world.clock.advance(mfa_tests::STEP);
}

/// Lets `node` drain and crash while it sends.
fn crash(node: &Engine, crashing: &Crashing) {
    crashing.sent.store(false, Ordering::SeqCst);
    let mut draining = pin!(node.drain_outbox(10));
    let mut context = Context::from_waker(Waker::noop());
    // SQLite answers from its own threads: poll until the message leaves.
    while !crashing.sent.load(Ordering::SeqCst) {
        assert!(draining.as_mut().poll(&mut context).is_pending());
        std::thread::yield_now();
    }
}

/// Hands messages over and never says so.
#[derive(Debug)]
struct Crashing {
    inbox: Inbox,
    sent: AtomicBool,
}

#[async_trait]
impl Transport for Crashing {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        let _ = self.inbox.send(message, deadline).await;
        self.sent.store(true, Ordering::SeqCst);
        std::future::pending().await
    }
}

/// Takes longer for a than its lease, so that another node tells a, not b, in the meantime; and tells b.
#[derive(Debug)]
struct Slow {
    clock: VirtualRuntime,
    fast: Engine,
    inbox: Inbox,
}

#[async_trait]
impl Transport for Slow {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        if message.to.expose_secret() != "a@acme.example" {
            return self.inbox.send(message, deadline).await;
        }
        self.clock.advance(LEASE);
        self.inbox.refuse("b@acme.example", NotDelivered::Temporary);
        // Within one poll: the deadline of this send is not looked at before it is done.
        let drained = std::thread::scope(|scope| scope.spawn(|| block_on(drain(&self.fast))).join());
        assert_eq!(drained.expect("a drain"), [0, 1, 0]);
        self.inbox.mend();
        Err(NotDelivered::Temporary)
    }
}
