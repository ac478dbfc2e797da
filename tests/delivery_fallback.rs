//! Fallback: only a destination that is refused for good, before anything left, leads to another method, and once.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{
    Begin, Changed, Channel, Charge, DeniedReason, EffectKind, Message, NotDelivered, Provider, Reason,
    Receipt, Response, Subject, Transport, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::acting::{LONGEST_DELAY, method, refused};
use mfa_tests::devices::session_of;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in};
use mfa_tests::mailed::{Mailed, another, offering};
use mfa_tests::notified::{mail, reachable};
use mfa_tests::{World, login, on_stores};
use serde_json::{Value, json};

async fn answer(mailed: &Mailed, challenge: &mfa::Challenge, code: &str) -> Verify {
    mailed.engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

/// Bob with a scripted method of the mailbox, which sends when a challenge begins, and with `sms`.
async fn scripted(world: &World) -> (Mailed, ScriptedProvider, Subject) {
    let provider = ScriptedProvider::new("post");
    let mut descriptor = provider.describe().clone();
    descriptor.channel = Channel::Email;
    descriptor.effects = vec![EffectKind::Deliver];
    let provider = provider.described_as(descriptor);
    provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Accept);
    let inbox = Inbox::new();
    let email = Delivered::email(mfa_tests::mailed::texts()).unwrap();
    let node = Mailed::node(world, &inbox, email, Value::Null).provider(provider.clone());
    let engine = node.policy(offering(&["post", "sms", "email"])).build().await.unwrap();
    let mailed = Mailed { engine, inbox };
    let bob = mailed.add(world, "bob").await;
    mailed.enrol(world, &bob, "sms").await;
    enrol_in(&mailed.engine, &bob, "post", SCRIPTED_CODE).await;
    provider.on(On::Begin, Say::Deliver("bob@acme.example".to_owned(), "1".to_owned(), Charge::Send));
    (mailed, provider, bob)
}

async fn begin_by(mailed: &Mailed, bob: &Subject, name: &str) -> Begin {
    mailed.engine.begin(login(bob).with_method(method(name))).await.unwrap()
}

/// A transport that takes its time.
#[derive(Debug)]
struct Slow(Inbox, mfa_testkit::runtime::VirtualRuntime);

#[async_trait]
impl Transport for Slow {
    async fn send(&self, message: &Message, within: Duration) -> Result<Receipt, NotDelivered> {
        self.1.advance(Duration::from_secs(20));
        self.0.send(message, within).await
    }
}

on_stores! {
    async fn s14_an_address_that_is_refused_for_good_leads_once_to_the_next_method(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let begun = mailed.engine.begin(login(&bob).with_method(method("email"))).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        assert_eq!(challenge.prompt["channel"], "phone", "the user is told");
        let message = mailed.message();
        assert_eq!(message.to, "+4915123456789");
        let events = world.events_of(Kind::ChallengeFellBack).await;
        assert_eq!(events.len(), 1);
        assert_eq!(world.events_of(Kind::EffectCharged).await.iter().filter(|e| e.field("charge") == Some("send")).count(), 4);
        let code = mfa_tests::mailed::code_in(&message.body);
        assert!(matches!(answer(&mailed, &challenge, &code).await, Verify::Verified(_)));
        // Neither channel: refused, and never let through.
        world.clock.advance(Duration::from_secs(3600));
        mailed.inbox.refuse("+4915123456789", NotDelivered::Permanent);
        let denied = mailed.engine.begin(login(&bob).with_method(method("email"))).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
    }

    async fn s14_a_message_that_may_have_left_leads_nowhere_else(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        for cause in [NotDelivered::Temporary, NotDelivered::TimedOut] {
            mailed.inbox.fail_next(cause);
            let _ = mailed.inbox.take_tried();
            let begun = mailed.engine.begin(login(&bob).with_method(method("email"))).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
            assert_eq!(challenge.prompt["sent"], "perhaps");
            assert_eq!(mailed.inbox.take_tried(), ["bob@acme.example"], "never both channels");
        }
        assert!(world.events_of(Kind::ChallengeFellBack).await.is_empty());
    }

    async fn s14_a_message_goes_to_no_number_that_is_not_the_user_s_any_more(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        let moved = reachable("bob", vec![mail("bob@acme.example")]);
        world.directory.put(&moved).await.unwrap();
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let _ = mailed.inbox.take_tried();
        let denied = mailed.engine.begin(login(&moved)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        assert_eq!(mailed.inbox.take_tried(), ["bob@acme.example"]);
    }

    async fn s14_a_method_that_is_delayed_is_not_fallen_back_to(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "sms").await else { panic!() };
        let code = mailed.code();
        for _ in 0..5 {
            assert_eq!(refused(answer(&mailed, &challenge, &another(&code)).await).reason, Reason::WrongCode);
        }
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let denied = begin_by(&mailed, &bob, "email").await;
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        assert!(mailed.inbox.take().is_empty());
    }

    async fn s14_only_a_refusal_for_good_that_the_provider_confirms_leads_on(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        // It is not known that it did not leave, whatever the provider makes of it.
        for cause in [NotDelivered::Temporary, NotDelivered::TimedOut] {
            provider.on(On::NotDelivered(cause), Say::Reject(Reason::Unavailable));
            mailed.inbox.fail_next(cause);
            let denied = begin_by(&mailed, &bob, "post").await;
            assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        }
        let ended = world.events_of(Kind::ChallengeEnded).await;
        assert!(ended.len() == 2 && ended.iter().all(|event| event.field("status") == Some("failed_to_send")));
        // It is known, and the provider has another way.
        provider.on(On::NotDelivered(NotDelivered::Permanent), Say::Prompt(json!({"elsewhere": true})));
        mailed.inbox.fail_next(NotDelivered::Permanent);
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "post").await else { panic!() };
        assert_eq!(challenge.prompt, json!({"elsewhere": true}));
        assert!(mailed.inbox.take().is_empty());
        assert!(world.events_of(Kind::ChallengeFellBack).await.is_empty());
    }

    async fn s13_a_known_device_is_fallen_back_for_while_strangers_are_refused(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "post").await else { panic!() };
        let Verify::Verified(grant) = answer(&mailed, &challenge, SCRIPTED_CODE).await else { panic!() };
        let device = mailed.engine.device_remember(&grant, Some(&session_of(&grant)), "a laptop").await.unwrap();
        provider.on(On::Begin, Say::Prompt(Value::Null));
        // Strangers fail until nothing of theirs is judged.
        for _ in 0..14 {
            world.clock.advance(LONGEST_DELAY);
            let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "post").await else { panic!() };
            assert_eq!(refused(answer(&mailed, &challenge, "000000").await).reason, Reason::WrongCode);
        }
        world.clock.advance(LONGEST_DELAY);
        assert!(matches!(begin_by(&mailed, &bob, "post").await, Begin::Denied(_)));
        let _ = mailed.inbox.take();
        provider.on(On::Begin, Say::Deliver("bob@acme.example".to_owned(), "1".to_owned(), Charge::Send));
        provider.on(On::NotDelivered(NotDelivered::Permanent), Say::Reject(Reason::Unavailable));
        mailed.inbox.fail_next(NotDelivered::Permanent);
        let from = login(&bob).with_method(method("post")).with_device(device.token);
        let Begin::Challenge(challenge) = mailed.engine.begin(from).await.unwrap() else { panic!() };
        assert_eq!(challenge.method.provider.as_str(), "sms");
        assert!(matches!(answer(&mailed, &challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn s14_a_resend_that_is_refused_for_good_leads_nowhere_else(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "post").await else { panic!() };
        let _ = mailed.inbox.take();
        world.clock.advance(Duration::from_secs(30));
        provider.on(On::Resend, Say::Deliver("bob@acme.example".to_owned(), "1".to_owned(), Charge::Send));
        provider.on(On::NotDelivered(NotDelivered::Permanent), Say::Reject(Reason::Unavailable));
        mailed.inbox.fail_next(NotDelivered::Permanent);
        let resent = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(resent, Changed::Rejected(r) if r.reason == Reason::Unavailable), "{resent:?}");
        assert!(mailed.inbox.take().is_empty());
        // The message before it may have arrived.
        assert!(matches!(answer(&mailed, &challenge, SCRIPTED_CODE).await, Verify::Verified(_)));
    }

    async fn s14_a_code_of_the_next_method_lives_from_when_it_was_made(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(mfa_tests::mailed::texts()).unwrap();
        let slow = Arc::new(Slow(inbox.clone(), world.clock.clone()));
        let engine = Mailed::node(&world, &inbox, email, Value::Null).transport(slow).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let began = world.now();
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "email").await else { panic!() };
        let status = mailed.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(status.expires_at, began.plus(Duration::from_secs(20 + 300)));
    }

    async fn s14_a_challenge_that_fell_back_names_the_method_that_sends_and_its_life(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(mfa_tests::mailed::texts()).unwrap();
        let slow = Arc::new(Slow(inbox.clone(), world.clock.clone()));
        let engine = Mailed::node(&world, &inbox, email, Value::Null).transport(slow).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "email").await else { panic!() };
        let status = mailed.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        assert_eq!(challenge.method.provider.as_str(), "sms");
        assert_eq!(challenge.expires_at, status.expires_at);
    }

    async fn s14_a_transport_that_does_not_answer_in_time_leads_nowhere_else(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        let _ = mailed.inbox.take_tried();
        mailed.inbox.hang();
        let mut beginning = std::pin::pin!(begin_by(&mailed, &bob, "email"));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        while mailed.inbox.take_tried().is_empty() {
            assert!(beginning.as_mut().poll(&mut context).is_pending());
            std::thread::yield_now();
        }
        mailed.inbox.mend();
        world.clock.advance(Duration::from_secs(30));
        let Begin::Challenge(challenge) = beginning.await else { panic!() };
        assert_eq!(challenge.prompt["sent"], "perhaps");
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s14_a_fallback_leads_from_one_provider_to_another_and_never_to_one_that_does_not_send(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        provider.on(On::NotDelivered(NotDelivered::Permanent), Say::Reject(Reason::Unavailable));
        mailed.inbox.fail_next(NotDelivered::Permanent);
        let Begin::Challenge(challenge) = begin_by(&mailed, &bob, "post").await else { panic!() };
        assert_eq!(challenge.prompt["channel"], "phone");
        assert!(matches!(answer(&mailed, &challenge, &mailed.code()).await, Verify::Verified(_)));
        // Where an app is offered beside it, the app is the user's to choose.
        let _app = world.enrol_again(&bob).await;
        let email = Delivered::email(mfa_tests::mailed::texts()).unwrap();
        let document = json!({"offered": ["post", "totp"], "stronger_hides_delivered": false});
        let policy = mfa::Policy::recommended().with_document(&document).unwrap();
        let node = Mailed::node(&world, &mailed.inbox, email, Value::Null).provider(provider.clone());
        let engine = node.policy(policy).build().await.unwrap();
        mailed.inbox.fail_next(NotDelivered::Permanent);
        let denied = engine.begin(login(&bob).with_method(method("post"))).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
    }
}
