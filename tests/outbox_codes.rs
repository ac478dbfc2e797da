//! Codes and links through the outbox: charged in the call, sent by a drain, and only while the challenge waits for
//! them.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::settings::{Modules, Owner};
use mfa::{
    AccountId, Ancestor, Begin, Challenge, Changed, Charge, Intent, LinkConfirm, LinkOpen, LinkProof, Module,
    NotDelivered, Provider, Reason, RequestFacts, Response, SecretText, Status, Subject, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::acting::{method, refused};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in};
use mfa_tests::mailed::{Mailed, another, code_in, links, queueing, texts, waiting};
use mfa_tests::probe::node_on;
use mfa_tests::{World, acme, host, login, on_stores};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

/// The methods whose messages were dropped unsent.
async fn dropped(world: &World) -> Vec<String> {
    let events = world.events_of(Kind::EffectDropped).await;
    events.iter().map(|event| event.field("method").unwrap().to_owned()).collect()
}

async fn begin_by(mailed: &Mailed, bob: &Subject, name: &str) -> Challenge {
    match mailed.engine.begin(login(bob).with_method(method(name))).await.unwrap() {
        Begin::Challenge(challenge) => challenge,
        other => panic!("no challenge: {other:?}"),
    }
}

/// Bob with a scripted method that sends when a challenge begins.
async fn scripted(world: &World) -> (Mailed, ScriptedProvider, Subject) {
    let provider = ScriptedProvider::new("post");
    let mut descriptor = provider.describe().clone();
    (descriptor.channel, descriptor.effects) = (mfa::Channel::Email, vec![mfa::EffectKind::Deliver]);
    let provider = provider.described_as(descriptor);
    provider.on(On::Answer(SCRIPTED_CODE.to_owned()), Say::Accept);
    provider.on(On::NotDelivered(NotDelivered::Temporary), Say::Prompt(Value::Null));
    let inbox = Inbox::new();
    let node = Mailed::node(world, &inbox, Delivered::email(texts()).unwrap(), Value::Null);
    let node = node.provider(provider.clone()).policy(queueing(&["post", "sms", "email"]));
    let mailed = Mailed { engine: node.build().await.unwrap(), inbox };
    let bob = mailed.add(world, "bob").await;
    enrol_in(&mailed.engine, &bob, "post", SCRIPTED_CODE).await;
    let _ = mailed.drain().await;
    let _ = (mailed.inbox.take(), mailed.inbox.take_tried());
    provider.on(On::Begin, Say::Deliver("bob@acme.example".to_owned(), "1".to_owned(), Charge::Send));
    (mailed, provider, bob)
}

on_stores! {
    async fn a_code_waits_until_a_drain_sends_it_and_logs_in_once(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        assert_eq!(challenge.status, Status::Created);
        assert_eq!((&challenge.prompt["sent"], &challenge.prompt["to"]), (&"not_yet".into(), &"b…@acme.example".into()));
        assert!(mailed.inbox.take_tried().is_empty(), "nothing leaves in the call");
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Created, 1));
        // Polls say nothing and change nothing.
        let polled = mailed.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert!(matches!(polled, Verify::Pending(_)), "{polled:?}");
        assert_eq!(mailed.status(&challenge).await, Status::Created);
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Sent, 0));
        assert_eq!(world.events_of(Kind::MessageSent).await.len(), 1, "an event tells of it");
        let message = mailed.message();
        assert_eq!((message.to.as_str(), message.id.map(|id| id.len())), ("bob@acme.example", Some(32)));
        let code = code_in(&message.body);
        assert_eq!(refused(mailed.answer(&challenge, &another(&code)).await).reason, Reason::WrongCode);
        assert!(matches!(mailed.answer(&challenge, &code).await, Verify::Verified(_)));
        assert_eq!(refused(mailed.answer(&challenge, &code).await).reason, Reason::AlreadyUsed);
        world.clock.advance(SECOND * 120);
        assert_eq!((mailed.drain().await, mailed.inbox.take().len()), ([0; 3], 0));
    }

    async fn every_message_of_a_challenge_waits_and_costs_no_commit_of_its_own(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        let counting = Arc::new(CountingStore::new(Arc::clone(&world.store)));
        let (email, sms) = (Delivered::email(texts()).unwrap(), Delivered::sms(texts(), mfa_tests::mailed::german_mobiles()).unwrap());
        let node = node_on(&world, counting.clone()).provider(email).provider(sms).transport(Arc::new(mailed.inbox.clone()));
        let mailed = Mailed { engine: node.policy(queueing(&["email", "sms"])).build().await.unwrap(), ..mailed };
        let costs = || { let counts = counting.take(); (counts.gets, counts.commits) };
        let _ = costs();
        let challenge = begin_by(&mailed, &bob, "email").await;
        assert_eq!(costs(), (1, 1));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let _ = costs();
        world.clock.advance(SECOND * 30);
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(p) if p["sent"] == "not_yet"));
        assert_eq!(costs(), (1, 1));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let _ = costs();
        world.clock.advance(SECOND * 30);
        let switched = mailed.engine.switch(&challenge.reference, &method("sms")).await.unwrap();
        assert!(matches!(&switched, Changed::Done(p) if p["channel"] == "phone" && p["sent"] == "not_yet"), "{switched:?}");
        assert_eq!(costs(), (1, 1));
        let tried = mailed.inbox.take_tried();
        assert_eq!(tried, ["bob@acme.example"; 2], "the third has not left");
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let begun = mailed.engine.step_up_begin(login(&bob).with_method(method("sms")), &Intent::disable(&bob)).await.unwrap();
        let Begin::Challenge(step_up) = begun else { panic!("{begun:?}") };
        assert_eq!((step_up.status, mailed.drain().await), (Status::Created, [1, 0, 0]));
        let messages = mailed.inbox.take();
        assert_eq!(messages.iter().map(|m| m.id.clone()).collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert!(matches!(mailed.answer(&challenge, &code_in(&messages[2].body)).await, Verify::Verified(_)));
        assert!(matches!(mailed.answer(&step_up, &code_in(&messages[3].body)).await, Verify::Proven(_)));
    }

    async fn a_link_shows_its_digits_at_once_and_completes_once_it_is_sent(world) {
        let mailed = Mailed::queueing(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        assert_eq!((challenge.status, &challenge.prompt["form"]), (Status::Created, &"link".into()));
        let digits = SecretText::new(challenge.prompt["match"].as_str().unwrap());
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let token = mailed.link();
        let LinkOpen::Valid(view) = mailed.engine.link_open(&token, &RequestFacts::new()).await.unwrap() else { panic!() };
        let confirmed = mailed.engine
            .link_confirm(&token, &view.nonce, &LinkProof::Digits(digits), &RequestFacts::new()).await.unwrap();
        assert!(matches!(confirmed, LinkConfirm::Confirmed(_)), "{confirmed:?}");
        assert!(matches!(mailed.engine.claim(&challenge.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn what_a_challenge_does_not_wait_for_any_more_is_dropped_unsent(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let engine = &mailed.engine;
        for (n, ends) in ["cancelled", "revoked", "expired", "shortened"].into_iter().enumerate() {
            let challenge = mailed.begin(&bob).await;
            let mut drained = [0, 0, 1];
            match ends {
                "cancelled" => drop(engine.cancel(&challenge.reference).await.unwrap()),
                "revoked" => engine.revoke(bob.account(), bob.user(), &host()).await.unwrap(),
                "expired" => {
                    world.clock.advance(SECOND * 300);
                    drained = [0; 3];
                }
                _ => {
                    // The policy as it is now gives it a shorter life.
                    world.clock.advance(SECOND * 60);
                    let short = queueing(&["email"]).with_document(&json!({"challenge_ttl_s": 60})).unwrap();
                    let email = Delivered::email(texts()).unwrap();
                    let node = Mailed::node(&world, &mailed.inbox, email, Value::Null).policy(short).build().await.unwrap();
                    assert_eq!(node.drain_outbox(10).await.unwrap().given_up, 1);
                    drained = [0; 3];
                }
            }
            assert_eq!(mailed.drain().await, drained, "{ends}");
            assert!(mailed.inbox.take_tried().is_empty(), "{ends}");
            assert_eq!(waiting(&world).await, 0, "{ends}");
            let dropped = world.events_of(Kind::EffectDropped).await.len();
            assert_eq!(dropped, [1, 2, 2, 3][n], "{ends}: an event tells of it");
            world.clock.advance(SECOND * 3600);
        }
    }

    async fn s16_a_message_from_before_a_barrier_is_dropped(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        mailed.engine.restore_barrier("ops", "a backup came back").await.unwrap();
        assert_eq!((mailed.drain().await[2], waiting(&world).await, dropped(&world).await.len()), (1, 0, 1));
        // The user is told of the backup, and gets no code.
        let codes = mailed.inbox.take().into_iter().filter(|message| message.id.as_ref().unwrap().len() == 32);
        assert_eq!(codes.count(), 0);
        assert_eq!(refused(mailed.answer(&challenge, "000000").await).reason, Reason::Superseded);
    }

    async fn a_challenge_that_was_completed_sends_nothing_more(world) {
        let (mailed, _, bob) = scripted(&world).await;
        let challenge = mailed.begin(&bob).await;
        // As after a crash: the code has arrived, and nobody lived to say so.
        assert!(matches!(mailed.answer(&challenge, SCRIPTED_CODE).await, Verify::Verified(_)));
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 0));
    }

    async fn another_message_takes_the_place_of_one_that_waits(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        let engine = &mailed.engine;
        for (n, (way, to)) in [("resend", "bob@acme.example"), ("email", "bob@acme.example"), ("sms", "+4915123456789")].into_iter().enumerate() {
            let challenge = begin_by(&mailed, &bob, "email").await;
            let again = async || match way {
                "resend" => engine.resend(&challenge.reference).await.unwrap(),
                name => engine.switch(&challenge.reference, &method(name)).await.unwrap(),
            };
            // Too soon: the one that waits is waited for as before.
            world.clock.advance(SECOND * 30 - Duration::from_millis(1));
            assert!(matches!(again().await, Changed::Rejected(r) if r.reason == Reason::SendLimit), "{way}");
            assert_eq!(dropped(&world).await.len(), n, "{way}");
            world.clock.advance(Duration::from_millis(1));
            assert!(matches!(again().await, Changed::Done(p) if p["sent"] == "not_yet"), "{way}");
            assert_eq!(dropped(&world).await, ["email", "email", "email"][..=n], "{way}");
            assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Created, 1), "{way}");
            assert_eq!(mailed.drain().await, [1, 0, 0], "{way}");
            assert_eq!(mailed.inbox.take_tried(), [to], "{way}: the first one never leaves");
            let right = mailed.answer(&challenge, &code_in(&mailed.message().body)).await;
            assert!(matches!(right, Verify::Verified(_)), "{way}: {right:?}");
            world.clock.advance(SECOND * 3600);
        }
    }

    async fn a_message_that_nothing_could_take_the_place_of_is_sent(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        for way in ["resend", "email", "sms"] {
            let challenge = begin_by(&mailed, &bob, "email").await;
            let again = match way {
                "resend" => mailed.engine.resend(&challenge.reference).await,
                name => mailed.engine.switch(&challenge.reference, &method(name)).await,
            };
            assert!(matches!(again.unwrap(), Changed::Rejected(r) if r.reason == Reason::SendLimit), "{way}");
            assert_eq!(mailed.drain().await, [1, 0, 0], "{way}");
            let message = mailed.message();
            assert_eq!(message.to, "bob@acme.example", "{way}");
            assert!(matches!(mailed.answer(&challenge, &code_in(&message.body)).await, Verify::Verified(_)), "{way}");
            world.clock.advance(SECOND * 3600);
        }
        assert!(dropped(&world).await.is_empty());
    }

    async fn a_code_that_was_sent_stays_good_where_nothing_after_it_leaves(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let node = Mailed::node(&world, &mailed.inbox, Delivered::email(texts()).unwrap(), Value::Null);
        let node = node.policy(queueing(&["email"])).messages_per_account_and_day(1);
        let mailed = Mailed { engine: node.build().await.unwrap(), ..mailed };
        let challenge = mailed.begin(&bob).await;
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        // Of two that were asked for after it the first never leaves, and the account has none left for the second.
        for _ in 0..2 {
            world.clock.advance(SECOND * 30);
            assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        }
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 1));
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn a_message_left_for_an_app_is_dropped(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let app = world.enrol_again(&bob).await;
        let policy = queueing(&["email", "totp"]).with_document(&json!({"stronger_hides_delivered": false})).unwrap();
        let node = Mailed::node(&world, &mailed.inbox, Delivered::email(texts()).unwrap(), Value::Null).policy(policy);
        let mailed = Mailed { engine: node.build().await.unwrap(), ..mailed };
        let _ = (mailed.drain().await, mailed.inbox.take(), mailed.inbox.take_tried());
        let challenge = begin_by(&mailed, &bob, "email").await;
        assert!(matches!(mailed.engine.switch(&challenge.reference, &method("totp")).await.unwrap(), Changed::Done(_)));
        assert_eq!((dropped(&world).await, waiting(&world).await), (vec!["email".to_owned()], 0));
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0; 3], 0));
        assert!(matches!(mailed.answer(&challenge, &app.code_at(world.now())).await, Verify::Verified(_)));
    }

    async fn a_message_of_a_method_that_an_answer_has_left_is_dropped(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        let challenge = begin_by(&mailed, &bob, "email").await;
        let answered = Response::code("000000").with_method(method("sms"));
        assert_eq!(refused(mailed.engine.verify(&challenge.reference, answered).await.unwrap()).reason, Reason::Superseded);
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 0));
    }

    async fn a_message_that_judges_an_answer_leaves_in_the_call(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        let challenge = mailed.begin(&bob).await;
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let _ = mailed.inbox.take_tried();
        let deliver = Say::Deliver("bob@acme.example".to_owned(), "2".to_owned(), Charge::Attempt);
        provider.on(On::Answer("go".to_owned()), deliver);
        provider.on(On::Delivered, Say::Accept);
        // Whoever answers waits for the verdict.
        assert!(matches!(mailed.answer(&challenge, "go").await, Verify::Verified(_)));
        assert_eq!((mailed.inbox.take_tried().len(), waiting(&world).await), (1, 0));
    }

    async fn an_answer_before_the_message_is_charged_and_the_message_still_leaves(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let wrong = refused(mailed.answer(&challenge, "000000").await);
        let wrong = if wrong.reason == Reason::WrongCode { wrong.attempts_left } else { panic!("{wrong:?}") };
        assert_eq!((wrong, mailed.status(&challenge).await), (4, Status::Sent));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn a_message_that_waits_is_no_effect_whose_result_never_came(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        let challenge = mailed.begin(&bob).await;
        let _ = provider.take_saw();
        world.clock.advance(SECOND * 299);
        assert_eq!(refused(mailed.answer(&challenge, "000000").await).reason, Reason::WrongCode);
        assert!(provider.take_saw().iter().all(|saw| saw.event != On::Interrupted));
        assert_eq!((mailed.drain().await, mailed.inbox.take().len()), ([1, 0, 0], 1));
        assert!(provider.take_saw().iter().any(|saw| saw.event == On::Delivered));
        assert!(matches!(mailed.answer(&challenge, SCRIPTED_CODE).await, Verify::Verified(_)));
    }

    async fn s14_an_address_that_is_refused_for_good_leads_to_the_next_method_through_the_outbox(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let challenge = begin_by(&mailed, &bob, "email").await;
        // One message at a time: the next one waits as the first did.
        assert_eq!(mailed.engine.drain_outbox(1).await.unwrap().given_up, 1);
        assert_eq!(mailed.inbox.take_tried(), ["bob@acme.example"]);
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Created, 1));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        let message = mailed.message();
        assert_eq!((message.to.as_str(), mailed.status(&challenge).await), ("+4915123456789", Status::Sent));
        assert_eq!(world.events_of(Kind::ChallengeFellBack).await.len(), 1);
        assert!(matches!(mailed.answer(&challenge, &code_in(&message.body)).await, Verify::Verified(_)));
        // In one drain, and where the next one refuses as well.
        world.clock.advance(SECOND * 3600);
        mailed.inbox.refuse("+4915123456789", NotDelivered::Permanent);
        let challenge = begin_by(&mailed, &bob, "email").await;
        assert_eq!(mailed.drain().await, [0, 0, 2]);
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::FailedToSend, 0));
        assert_eq!(refused(mailed.answer(&challenge, "000000").await).reason, Reason::Unavailable);
    }

    async fn s14_an_answer_that_was_judged_keeps_the_challenge_from_the_next_method(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let challenge = begin_by(&mailed, &bob, "email").await;
        let _ = mailed.answer(&challenge, "000000").await;
        assert_eq!((mailed.drain().await, waiting(&world).await), ([0, 0, 1], 0));
        assert!(world.events_of(Kind::ChallengeFellBack).await.is_empty());
    }

    async fn what_is_not_taken_for_now_is_tried_again_under_its_id_and_charged_once(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let node = Mailed::node(&world, &mailed.inbox, Delivered::email(texts()).unwrap(), Value::Null);
        let node = node.policy(queueing(&["email"])).messages_per_account_and_day(2);
        let mailed = Mailed { engine: node.build().await.unwrap(), ..mailed };
        let challenge = mailed.begin(&bob).await;
        for pause in [2, 4, 8] {
            mailed.inbox.fail_next(NotDelivered::Temporary);
            assert_eq!(mailed.drain().await, [0, 1, 0], "{pause}");
            world.clock.advance(SECOND * pause - Duration::from_millis(1));
            assert_eq!(mailed.drain().await, [0; 3], "{pause}");
            assert_eq!(mailed.status(&challenge).await, Status::Created);
            world.clock.advance(Duration::from_millis(1));
        }
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
        // Each try was one message to the user and to the account, which has one left.
        for expected in [[1, 0, 0], [0, 0, 1]] {
            let challenge = mailed.begin(&bob).await;
            assert_eq!(mailed.drain().await, expected);
            let failed = expected[0] == 0;
            assert_eq!(mailed.status(&challenge).await, if failed { Status::FailedToSend } else { Status::Sent });
        }
        let refunded = world.events_of(Kind::EffectRefunded).await;
        assert_eq!(refunded.iter().map(|e| e.field("limit")).collect::<Vec<_>>(), [Some("account")]);
    }

    async fn after_five_tries_it_has_perhaps_left_and_another_may_be_asked_for(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Temporary);
        let challenge = begin_by(&mailed, &bob, "email").await;
        for pause in [2, 4, 8, 16] {
            assert_eq!(mailed.drain().await, [0, 1, 0]);
            world.clock.advance(SECOND * pause);
        }
        assert_eq!((mailed.drain().await, waiting(&world).await), ([0, 0, 1], 0));
        assert_eq!((mailed.status(&challenge).await, mailed.inbox.take_tried().len()), (Status::Sent, 5));
        assert_eq!(world.events_of(Kind::MessageGivenUp).await.len(), 1);
        assert!(world.events_of(Kind::ChallengeFellBack).await.is_empty());
        mailed.inbox.mend();
        assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn s14_what_has_perhaps_left_leads_nowhere_else_whatever_the_next_try_says(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        let challenge = begin_by(&mailed, &bob, "email").await;
        mailed.inbox.fail_next(NotDelivered::TimedOut);
        assert_eq!(mailed.drain().await, [0, 1, 0]);
        world.clock.advance(SECOND * 2);
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        assert_eq!(mailed.drain().await, [0, 0, 1]);
        assert_eq!(mailed.inbox.take_tried(), ["bob@acme.example"; 2], "never both channels");
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Sent, 0));
        assert!(world.events_of(Kind::ChallengeFellBack).await.is_empty());
    }

    async fn a_provider_that_knows_of_no_outbox_shows_nothing_until_then(world) {
        let (mailed, provider, bob) = scripted(&world).await;
        assert_eq!(mailed.begin(&bob).await.prompt, Value::Null);
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        // Any other error is one of the step.
        provider.on(On::Anything, Say::Fail(mfa::ProviderError::Keys));
        provider.on(On::Begin, Say::Deliver("bob@acme.example".to_owned(), "1".to_owned(), Charge::Send));
        assert_eq!(mailed.engine.begin(login(&bob)).await.unwrap_err().code(), "unavailable");
        assert_eq!((mailed.drain().await, waiting(&world).await), ([0; 3], 0));
    }

    async fn an_engine_of_another_policy_sends_what_waits_and_goes_on_in_the_call(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email", "sms"]).await;
        mailed.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let challenge = begin_by(&mailed, &bob, "email").await;
        let in_call = Mailed::node(&world, &mailed.inbox, Delivered::email(texts()).unwrap(), Value::Null).build().await.unwrap();
        assert_eq!(in_call.drain_outbox(1).await.unwrap().given_up, 1);
        assert_eq!((mailed.status(&challenge).await, waiting(&world).await), (Status::Sent, 0));
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn a_node_on_which_the_login_could_not_go_on_leaves_the_message_to_others(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let challenge = mailed.begin(&bob).await;
        let other = node_on(&world, world.store.clone()).transport(Arc::new(mailed.inbox.clone()));
        let other = other.policy(queueing(&["email"])).build().await.unwrap();
        let drained = other.drain_outbox(10).await.unwrap();
        assert_eq!((drained.sent, drained.given_up, mailed.inbox.take_tried().len()), (0, 0, 0));
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
    }

    async fn what_an_account_above_says_now_holds_for_a_message_that_waits(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &["email"]).await;
        let node = Mailed::node(&world, &mailed.inbox, Delivered::email(texts()).unwrap(), Value::Null);
        let node = node.modules(Modules::new().with(Module::parse("user_auth").unwrap())).policy(queueing(&["email"]));
        let mailed = Mailed { engine: node.build().await.unwrap(), ..mailed };
        let engine = &mailed.engine;
        // Nobody but the challenge says that `root` is above.
        let root = AccountId::parse("root").unwrap();
        let bob = bob.with_lineage([acme(), root.clone()].map(Ancestor::new).to_vec()).unwrap();
        let above = Owner::Account(root.into());
        let settings = |is_on: bool| json!({"auth_modules": {"user_auth": {"enabled": is_on}}});
        let challenge = mailed.begin(&bob).await;
        engine.settings_put(&above, &settings(false), None, &host()).await.unwrap();
        assert_eq!((mailed.drain().await, waiting(&world).await), ([0; 3], 1), "the module is off");
        engine.settings_put(&above, &settings(true), None, &host()).await.unwrap();
        assert_eq!(mailed.drain().await, [1, 0, 0]);
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
        let _ = mailed.begin(&bob).await;
        world.clock.advance(SECOND * 30);
        engine.policy_put(&above, &json!({"challenge_ttl_s": 30, "enforce": ["challenge_ttl_s"]}), None, &host()).await.unwrap();
        assert_eq!((mailed.drain().await, mailed.inbox.take_tried().len()), ([0, 0, 1], 1), "it has expired");
    }

    async fn a_set_up_sends_in_the_call(world) {
        let (mailed, bob) = Mailed::queueing_with_bob(&world, &[]).await;
        let started = mailed.started(&bob, "email").await.unwrap();
        let code = Response::code(&mailed.code());
        assert!(matches!(mailed.engine.enrol_confirm(&started.reference, &code).await.unwrap(), mfa::EnrolConfirm::Confirmed(_)));
    }
}
