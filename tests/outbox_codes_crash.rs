//! Codes that wait in the outbox, and whoever crashes, races or forgets a user in the meantime.
#![cfg(test)]

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use futures::executor::block_on;
use mfa::delivery::Delivered;
use mfa::{
    Begin, Changed, Engine, EngineBuilder, LinkConfirm, LinkOpen, LinkProof, Message, NotDelivered, Reason,
    Receipt, RecordKind, RequestFacts, SecretText, Status, Store, Transport, Verify,
};
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::acting::refused;
use mfa_tests::between::{Moment, between};
use mfa_tests::mailed::{Mailed, code_in, german_mobiles, links, queueing, texts, waiting};
use mfa_tests::probe::node_on;
use mfa_tests::{World, host, login, on_stores};
use serde_json::json;

const SECOND: Duration = Duration::from_secs(1);
/// How long whoever took a message has it for themselves.
const LEASE: Duration = Duration::from_secs(60);
const MESSAGE: RecordKind = RecordKind::new("message");

fn node_of(world: &World, store: Arc<dyn Store>, transport: Arc<dyn Transport>) -> EngineBuilder {
    let node = node_on(world, store).provider(Delivered::email(texts()).unwrap()).transport(transport);
    node.policy(queueing(&["email"]))
}

async fn drain(engine: &Engine) -> [u64; 3] {
    let drained = engine.drain_outbox(100).await.unwrap();
    [drained.sent, drained.waiting, drained.given_up]
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

impl Crashing {
    fn new(inbox: &Inbox) -> Arc<Self> {
        Arc::new(Self { inbox: inbox.clone(), sent: AtomicBool::new(false) })
    }
}

/// Lets a node drain that crashes when the message has left.
async fn crash(world: &World, inbox: &Inbox) {
    let crashing = Crashing::new(inbox);
    let node = node_of(world, world.store.clone(), crashing.clone()).build().await.unwrap();
    leave_at_send(&node, &crashing);
}

fn leave_at_send(node: &Engine, crashing: &Crashing) {
    let mut draining = pin!(node.drain_outbox(10));
    let mut context = Context::from_waker(Waker::noop());
    while !crashing.sent.load(Ordering::SeqCst) {
        assert!(draining.as_mut().poll(&mut context).is_pending());
        std::thread::yield_now();
    }
}

/// Does something while a message is being handed over, and then says how that went.
struct During<F> {
    inbox: Inbox,
    deed: F,
    result: Result<(), NotDelivered>,
}

impl<F> std::fmt::Debug for During<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("During")
    }
}

#[async_trait]
impl<F: Fn() + Send + Sync + 'static> Transport for During<F> {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        // On a thread of its own: it is asynchronous itself.
        std::thread::scope(|scope| scope.spawn(&self.deed).join()).expect("done");
        self.result?;
        self.inbox.send(message, deadline).await
    }
}

on_stores! {
    async fn a_crash_between_take_and_settle_sends_again_under_the_same_id_after_the_lease(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        crash(&world, &mailed.inbox).await;
        let first = mailed.inbox.take();
        assert_eq!((first.len(), mailed.status(&challenge).await), (1, Status::Created));
        world.clock.advance(LEASE - Duration::from_millis(1));
        assert_eq!(mailed.drain().await, [0; 3]);
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(first == mailed.inbox.take() && first[0].id.is_some());
        assert_eq!(mailed.status(&challenge).await, Status::Sent);
        assert!(matches!(mailed.answer(&challenge, &code_in(&first[0].body)).await, Verify::Verified(_)));
    }

    async fn a_code_that_arrived_before_a_crash_is_accepted_and_not_sent_again(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        crash(&world, &mailed.inbox).await;
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
        world.clock.advance(LEASE);
        assert_eq!((mailed.drain().await, mailed.inbox.take().len(), waiting(&world).await), ([0, 0, 1], 0, 0));
    }

    async fn a_link_that_was_confirmed_after_a_crash_is_not_sent_again(world) {
        let mailed = Mailed::queueing(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        crash(&world, &mailed.inbox).await;
        let (token, request) = (mailed.link(), RequestFacts::new());
        let LinkOpen::Valid(view) = mailed.engine.link_open(&token, &request).await.unwrap() else { panic!() };
        let digits = LinkProof::Digits(SecretText::new(challenge.prompt["match"].as_str().unwrap()));
        let confirmed = mailed.engine.link_confirm(&token, &view.nonce, &digits, &request).await.unwrap();
        assert!(matches!(confirmed, LinkConfirm::Confirmed(_)), "{confirmed:?}");
        world.clock.advance(LEASE);
        assert_eq!((mailed.drain().await, mailed.inbox.take().len(), waiting(&world).await), ([0, 0, 1], 0, 0));
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn a_sender_that_crashes_each_time_stops_with_the_challenge(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let _ = mailed.begin(&bob).await;
        for _ in 0..5 {
            crash(&world, &mailed.inbox).await;
            world.clock.advance(LEASE);
        }
        let ids: BTreeSet<_> = mailed.inbox.take().into_iter().map(|message| message.id).collect();
        assert_eq!((ids.len(), mailed.drain().await, waiting(&world).await), (1, [0; 3], 0));
    }

    async fn s20_however_often_a_message_is_sent_it_is_charged_once(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let limited = async |transport: Arc<dyn Transport>| {
            let node = node_of(&world, world.store.clone(), transport).messages_per_account_and_day(4);
            node.build().await.unwrap()
        };
        // A mailbox gets ten a day and an account four, the set-up's among the ten: each of these is left five times.
        let node = limited(Arc::new(mailed.inbox.clone())).await;
        for _ in 0..3 {
            let challenge = node.begin(login(&bob)).await.unwrap();
            let Begin::Challenge(challenge) = challenge else { panic!("{challenge:?}") };
            for _ in 0..4 {
                let crashing = Crashing::new(&mailed.inbox);
                leave_at_send(&limited(crashing.clone()).await, &crashing);
                world.clock.advance(LEASE);
            }
            assert_eq!((drain(&node).await, mailed.inbox.take().len()), ([1, 0, 0], 5));
            assert_eq!(mailed.status(&challenge).await, Status::Sent);
        }
        for expected in [[1, 0, 0], [0, 0, 1]] {
            assert!(matches!(node.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
            assert_eq!(drain(&node).await, expected);
        }
        let charged = world.events_of(Kind::EffectCharged).await.len();
        let refunded = world.events_of(Kind::EffectRefunded).await;
        assert_eq!((charged, refunded.len(), refunded[0].field("limit")), (6, 1, Some("account")), "and the set-up");
    }

    async fn s20_a_message_that_nobody_lives_to_settle_is_handed_over_five_times(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        // Ten minutes, so that the last lease is over long before the challenge is.
        let long = queueing(&["email"]).with_document(&json!({"challenge_ttl_s": 600})).unwrap();
        let node_of = async |transport: Arc<dyn Transport>| {
            node_of(&world, world.store.clone(), transport).policy(long.clone()).build().await.unwrap()
        };
        let node = node_of(Arc::new(mailed.inbox.clone())).await;
        let Begin::Challenge(challenge) = node.begin(login(&bob)).await.unwrap() else { panic!() };
        for _ in 0..5 {
            let crashing = Crashing::new(&mailed.inbox);
            leave_at_send(&node_of(crashing.clone()).await, &crashing);
            world.clock.advance(LEASE - Duration::from_secs(5));
            assert_eq!(drain(&node).await, [0, 0, 0], "its lease is not over");
            world.clock.advance(Duration::from_secs(5));
        }
        assert_eq!((drain(&node).await, mailed.inbox.take().len()), ([0, 0, 1], 5));
        assert_eq!(waiting(&world).await, 0);
        assert!(world.now() < challenge.expires_at);
    }

    async fn s20_each_try_of_a_code_by_text_message_is_charged(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["sms"]).await;
        let limited = async |transport: Arc<dyn Transport>| {
            let node = node_on(&world, world.store.clone()).transport(transport).policy(queueing(&["sms"]));
            let node = node.provider(Delivered::sms(texts(), german_mobiles()).unwrap());
            node.messages_per_account_and_day(2).build().await.unwrap()
        };
        let node = limited(Arc::new(mailed.inbox.clone())).await;
        assert!(matches!(node.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
        for _ in 0..2 {
            let crashing = Crashing::new(&mailed.inbox);
            leave_at_send(&limited(crashing.clone()).await, &crashing);
            world.clock.advance(LEASE);
        }
        assert_eq!((drain(&node).await, mailed.inbox.take().len()), ([0, 0, 1], 2));
    }

    async fn a_code_that_arrived_before_another_was_asked_for_is_dead(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        crash(&world, &mailed.inbox).await;
        let old = mailed.message();
        world.clock.advance(SECOND * 30);
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        assert_eq!(refused(mailed.answer(&challenge, &code_in(&old.body)).await).reason, Reason::WrongCode);
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        world.clock.advance(LEASE);
        assert_eq!(mailed.drain().await, [0; 3], "the old one is not sent again");
        let new = mailed.message();
        assert_ne!(old.id, new.id);
        assert!(matches!(mailed.answer(&challenge, &code_in(&new.body)).await, Verify::Verified(_)));
    }

    async fn what_becomes_of_a_message_is_nothing_to_the_one_that_took_its_place(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        for result in [Ok(()), Err(NotDelivered::Temporary), Err(NotDelivered::Permanent)] {
            let challenge = mailed.begin(&bob).await;
            world.clock.advance(SECOND * 30);
            let (engine, reference) = (mailed.engine.clone(), challenge.reference.clone());
            let deed = move || {
                assert!(matches!(block_on(engine.resend(&reference)).unwrap(), Changed::Done(_)));
            };
            let during = Arc::new(During { inbox: mailed.inbox.clone(), deed, result });
            let node = node_of(&world, world.store.clone(), during).build().await.unwrap();
            let sent = u64::from(result.is_ok());
            let drained = node.drain_outbox(1).await.unwrap();
            assert_eq!((drained.sent, drained.waiting), (sent, 0), "{result:?}");
            let _ = mailed.inbox.take();
            assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Created, 1), "{result:?}");
            assert_eq!(mailed.drain().await, [1, 0, 0], "{result:?}");
            assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)), "{result:?}");
            world.clock.advance(SECOND * 3600);
        }
    }

    async fn a_call_that_is_dropped_at_any_poll_has_queued_a_message_or_none(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let yielding = Arc::new(YieldingStore::new(Arc::clone(&world.store)));
        let node = node_of(&world, yielding, Arc::new(mailed.inbox.clone())).build().await.unwrap();
        let mut polls = 1;
        loop {
            let begun = drop_at_poll(node.begin(login(&bob)), polls);
            let is_over = begun.is_some();
            assert!(mailed.inbox.take_tried().is_empty(), "poll {polls}");
            // What is there is whole. A commit that was handed to the store may come later; its message expires.
            let [sent, waits, given_up] = mailed.drain().await;
            assert!(sent <= 1 && (waits, given_up) == (0, 0), "poll {polls}");
            assert_eq!(mailed.inbox.take().len() as u64, sent, "poll {polls}");
            let _ = mailed.inbox.take_tried();
            if is_over {
                assert!(sent == 1 && polls > 4, "{polls}");
                break;
            }
            // Past the day of the budgets.
            world.clock.advance(SECOND * 25 * 3600);
            polls += 1;
        }
    }

    async fn a_drain_that_is_dropped_at_any_poll_loses_no_message_and_makes_no_second_one(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let yielding = Arc::new(YieldingStore::new(Arc::clone(&world.store)));
        let node = node_of(&world, yielding, Arc::new(mailed.inbox.clone())).build().await.unwrap();
        let mut polls = 1;
        loop {
            let challenge = mailed.begin(&bob).await;
            let drained = drop_at_poll(node.drain_outbox(10), polls);
            world.clock.advance(LEASE);
            let [sent, waits, given_up] = mailed.drain().await;
            assert_eq!((waits, given_up, waiting(&world).await), (0, 0, 0), "poll {polls}");
            let messages = mailed.inbox.take();
            let ids: BTreeSet<_> = messages.iter().map(|message| message.id.clone()).collect();
            assert_eq!((ids.len(), mailed.status(&challenge).await), (1, Status::Sent), "poll {polls}");
            assert!((1..=2).contains(&messages.len()) && sent <= 1, "poll {polls}");
            let code = code_in(&messages[0].body);
            assert!(matches!(mailed.answer(&challenge, &code).await, Verify::Verified(_)), "poll {polls}");
            if drained.is_some() {
                assert!(polls > 8, "{polls}");
                break;
            }
            // Past the day of the budgets.
            world.clock.advance(SECOND * 25 * 3600);
            polls += 1;
        }
    }

    async fn of_sixty_four_drains_at_once_one_sends(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let drained = race(64, |_| drain(&mailed.engine));
        assert_eq!(drained.iter().filter(|drained| **drained == [1, 0, 0]).count(), 1);
        assert_eq!(drained.iter().filter(|drained| **drained == [0; 3]).count(), 63);
        assert_eq!(mailed.inbox.take_tried().len(), 1);
        assert_eq!(mailed.status(&challenge).await, Status::Sent);
    }

    async fn of_nodes_that_take_a_message_at_once_one_sends(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(node_of(&world, gate.clone(), Arc::new(mailed.inbox.clone())).build().await.unwrap());
        }
        let _ = mailed.begin(&bob).await;
        gate.arm_for(MESSAGE, 4);
        let mut drained = race(4, async |i: usize| drain(&nodes[i]).await);
        drained.sort_unstable();
        assert_eq!(drained, [[0; 3], [0; 3], [0; 3], [1, 0, 0]]);
        assert_eq!(mailed.inbox.take_tried().len(), 1);
    }

    async fn what_ends_a_challenge_while_its_message_is_taken_keeps_it_from_leaving(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let between = Arc::new(between(&world.store));
        let node = node_of(&world, between.clone(), Arc::new(mailed.inbox.clone())).build().await.unwrap();
        for ends in ["cancelled", "revoked"] {
            let challenge = mailed.begin(&bob).await;
            let (engine, user, reference) = (mailed.engine.clone(), bob.clone(), challenge.reference.clone());
            // The drain has read the challenge as open, and decides by that.
            between.plan(Moment::Read("message"), async move {
                match ends {
                    "cancelled" => drop(engine.cancel(&reference).await.unwrap()),
                    _ => engine.revoke(user.account(), user.user(), &host()).await.unwrap(),
                }
            });
            assert_eq!(drain(&node).await, [0, 0, 1], "{ends}");
            assert!(between.is_done() && mailed.inbox.take_tried().is_empty(), "{ends}");
        }
    }

    async fn what_becomes_of_a_message_is_dropped_where_its_challenge_went_on_without_it(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        for (ends, result) in [("cancelled", Ok(())), ("cancelled", Err(NotDelivered::Temporary)), ("forgotten", Ok(()))] {
            let challenge = mailed.begin(&bob).await;
            let (engine, user, reference) = (mailed.engine.clone(), bob.clone(), challenge.reference.clone());
            let deed = move || block_on(async {
                match ends {
                    "cancelled" => drop(engine.cancel(&reference).await.unwrap()),
                    _ => engine.forget_user(user.account(), user.user(), &host()).await.unwrap(),
                }
            });
            let during = Arc::new(During { inbox: mailed.inbox.clone(), deed, result });
            let node = node_of(&world, world.store.clone(), during).build().await.unwrap();
            let _ = node.drain_outbox(10).await.unwrap();
            world.clock.advance(LEASE);
            let _ = (mailed.drain().await, mailed.inbox.take());
            assert_eq!((waiting(&world).await, mailed.inbox.take_tried().len()), (0, usize::from(result.is_ok())), "{ends}");
        }
        assert!(world.events().await.iter().all(|event| event.user().is_none()), "nobody is named any more");
    }

    async fn a_node_slower_than_its_lease_changes_nothing_that_another_has_settled(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let (clock, fast) = (world.clock.clone(), mailed.engine.clone());
        let deed = move || {
            clock.advance(LEASE);
            assert_eq!(block_on(drain(&fast)), [1, 0, 0]);
        };
        // What it heard of its own try is nothing to go on with any more.
        let during = During { inbox: mailed.inbox.clone(), deed, result: Err(NotDelivered::Permanent) };
        let node = node_of(&world, world.store.clone(), Arc::new(during)).build().await.unwrap();
        assert_eq!(drain(&node).await, [0, 0, 1]);
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Sent, 0));
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn s21_a_user_who_is_forgotten_is_sent_nothing_and_named_by_no_event(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        mailed.engine.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(waiting(&world).await, 0);
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0; 3], 0));
        assert_eq!(refused(mailed.answer(&challenge, "000000").await).reason, Reason::NotFound);
        // Nor if the message is queued while it happens: what was read before is not what is there.
        mailed.enrol(&world, &bob, "email").await;
        let _ = mailed.inbox.take_tried();
        let between = Arc::new(between(&world.store));
        let node = node_of(&world, between.clone(), Arc::new(mailed.inbox.clone())).build().await.unwrap();
        let (engine, user) = (mailed.engine.clone(), bob.clone());
        between.plan(Moment::Listed("message"), async move {
            assert!(matches!(engine.begin(login(&user)).await.unwrap(), Begin::Challenge(_)));
        });
        node.forget_user(bob.account(), bob.user(), &host()).await.unwrap();
        assert!(between.is_done());
        assert_eq!((waiting(&world).await, mailed.drain().await, mailed.inbox.take_tried().len()), (0, [0; 3], 0));
        assert!(world.events().await.iter().all(|event| event.user().is_none()));
    }

    async fn a_store_that_fails_while_draining_is_told_and_loses_nothing(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let faulty = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let node = node_of(&world, faulty.clone(), Arc::new(mailed.inbox.clone())).build().await.unwrap();
        for at in [At::OnList, At::OnGet, At::BeforeCommit] {
            faulty.fail(at, Fault::Unavailable, 1);
            assert_eq!(node.drain_outbox(10).await.unwrap_err().code(), "unavailable", "{at:?}");
            assert!(mailed.inbox.take_tried().is_empty(), "nothing is sent before it is taken");
        }
        // Taken, and it cannot be charged: it does not leave, and is tried again.
        faulty.fail_later(At::BeforeCommit, Fault::Unavailable, 1, 1);
        assert_eq!((drain(&node).await, mailed.inbox.take_tried().len()), ([0, 1, 0], 0));
        world.clock.advance(SECOND * 2);
        // Sent, and the commit that says so fails: it is sent again, after the lease.
        faulty.fail_later(At::BeforeCommit, Fault::Unavailable, 2, 1);
        assert_eq!(node.drain_outbox(10).await.unwrap_err().code(), "unavailable");
        world.clock.advance(LEASE);
        assert_eq!(drain(&node).await, [1, 0, 0]);
        let messages = mailed.inbox.take();
        assert_eq!((messages.len(), messages[0] == messages[1]), (2, true));
        assert!(matches!(mailed.answer(&challenge, &code_in(&messages[0].body)).await, Verify::Verified(_)));
    }
}
