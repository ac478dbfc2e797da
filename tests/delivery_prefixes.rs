//! S20: a prefix of numbers whose text messages nobody answers gets no more of them, where the host has said so.
#![cfg(test)]

use std::time::Duration;

use mfa::delivery::Delivered;
use mfa::{
    AccountId, Contact, DeniedReason, EngineBuilder, EnrolConfirm, EnrolmentStarted, NotDelivered,
    RecordKind, Response, Subject, UserId, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::acting::method;
use mfa_tests::mailed::{Mailed, code_in, limits, queueing, texts};
use mfa_tests::notified::mail;
use mfa_tests::{World, login, on_stores};
use serde_json::Value;

const QUARTER: Duration = Duration::from_secs(900);
/// After this what was sent is judged, in whichever part of a quarter of an hour it was.
const JUDGED: Duration = Duration::from_secs(1800);
/// The network of most of these numbers, and another one.
const HERE: &str = "+4915";
const THERE: &str = "+4917";

fn node(world: &World, inbox: &Inbox) -> EngineBuilder {
    Mailed::node(world, inbox, Delivered::email(texts()).unwrap(), Value::Null)
}

/// An engine that stops a prefix of which, of six messages and more, fewer than a third are answered.
async fn stopping(world: &World) -> Mailed {
    let inbox = Inbox::new();
    let engine = node(world, &inbox).stop_unanswered_prefixes(33, 6).build().await.unwrap();
    Mailed { engine, inbox }
}

/// The `n`-th user of an account, with a number of this prefix.
async fn member(world: &World, account: &str, prefix: &str, n: usize) -> Subject {
    let user = UserId::parse(&format!("user{}{n}", &prefix[1..])).unwrap();
    // As long as numbers of each network are.
    let number = if prefix == HERE { format!("{prefix}1{n:08}") } else { format!("{prefix}1{n:07}") };
    let phone = Contact::phone(&number).unwrap().verified();
    let subject = Subject::new(AccountId::parse(account).unwrap(), user);
    let subject = subject.with_contacts(vec![phone]).unwrap();
    world.directory.put(&subject).await.unwrap();
    subject
}

/// Sends a code of a set-up to the `n`-th user of an account of their own.
async fn set_up(
    world: &World,
    mailed: &Mailed,
    prefix: &str,
    n: usize,
) -> Result<EnrolmentStarted, &'static str> {
    let user = member(world, &format!("account{n}"), prefix, n).await;
    mailed.started(&user, "sms").await.map_err(|error| error.code())
}

/// Answers a set-up by the last code that arrived.
async fn answer(mailed: &Mailed, started: &EnrolmentStarted) {
    let code = code_in(&mailed.inbox.take().last().unwrap().body);
    let told = mailed.engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
    assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
}

/// A user of acme who logs in by text message.
async fn enrolled(world: &World, mailed: &Mailed, n: usize) -> Subject {
    let user = member(world, "acme", HERE, n).await;
    let started = mailed.started(&user, "sms").await.unwrap();
    answer(mailed, &started).await;
    user
}

on_stores! {
    async fn s20_a_prefix_whose_set_ups_nobody_answers_gets_no_more_of_them_for_six_hours(world) {
        let mailed = stopping(&world).await;
        for n in 0..5 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        world.clock.advance(JUDGED);
        // Five are too few to say anything, and the sixth and seventh may still be answered.
        for n in 5..7 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        world.clock.advance(JUDGED);
        let _ = mailed.inbox.take_tried();
        for n in 7..10 {
            assert_eq!(set_up(&world, &mailed, HERE, n).await.unwrap_err(), "send_limit");
        }
        assert!(mailed.inbox.take_tried().is_empty(), "nothing left");
        // The account is another one each time.
        let counted = world.store.scan(RecordKind::new("prefix_messages"), None, 10, world.now()).await.unwrap();
        assert_eq!(counted.len(), 1);
        // Others go on, and a prefix is what it was: nothing that was refused counts.
        set_up(&world, &mailed, THERE, 0).await.unwrap();
        world.clock.advance(Duration::from_secs(5 * 3600));
        assert!(set_up(&world, &mailed, HERE, 10).await.is_err());
        world.clock.advance(QUARTER + JUDGED);
        set_up(&world, &mailed, HERE, 11).await.unwrap();
    }

    async fn s20_an_answer_counts_though_another_message_was_refused_before_it(world) {
        let inbox = Inbox::new();
        let engine = node(&world, &inbox).stop_unanswered_prefixes(20, 4).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let (bob, eve) = (enrolled(&world, &mailed, 100).await, enrolled(&world, &mailed, 101).await);
        // To the beginning of a quarter of an hour, a day later.
        world.clock.advance(Duration::from_secs(25 * 3600 + 900 - world.now().unix_seconds() % 900));
        for _ in 0..4 {
            mailed.begun(&eve).await.unwrap();
        }
        world.clock.advance(JUDGED - Duration::from_secs(60));
        let _ = mailed.inbox.take();
        let challenge = mailed.begun(&bob).await.unwrap();
        let code = mailed.code();
        // By now the first four are judged, and nothing more goes there.
        world.clock.advance(Duration::from_secs(90));
        let again = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(again, mfa::Changed::Rejected(r) if r.reason == mfa::Reason::SendLimit), "{again:?}");
        assert!(matches!(mailed.answer(&challenge, &code).await, Verify::Verified(_)));
        world.clock.advance(JUDGED);
        mailed.begun(&bob).await.unwrap();
    }

    async fn s20_a_login_whose_prefix_is_stopped_goes_by_a_method_that_needs_no_message(world) {
        let mailed = stopping(&world).await;
        let bob = member(&world, "acme", HERE, 100).await;
        let contacts = vec![bob.contacts()[0].clone(), mail("bob@acme.example")];
        let bob = bob.with_contacts(contacts).unwrap();
        world.directory.put(&bob).await.unwrap();
        for by in ["sms", "email"] {
            let started = mailed.started(&bob, by).await.unwrap();
            answer(&mailed, &started).await;
        }
        let others = [enrolled(&world, &mailed, 101).await, enrolled(&world, &mailed, 102).await];
        world.clock.advance(Duration::from_secs(25 * 3600));
        for eve in &others {
            for _ in 0..4 {
                mailed.begun(eve).await.unwrap();
            }
        }
        world.clock.advance(JUDGED);
        let _ = mailed.inbox.take();
        assert_eq!(mailed.begun(&others[0]).await.unwrap_err(), DeniedReason::SendLimit);
        // By another channel it goes where the host asks for that by name, and never by itself (S14).
        assert_eq!(mailed.begun(&bob).await.unwrap_err(), DeniedReason::SendLimit);
        let begun = mailed.engine.begin(login(&bob).with_method(method("email"))).await.unwrap();
        let mfa::Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        assert!(matches!(mailed.answer(&challenge, &mailed.code()).await, Verify::Verified(_)));
        // Whoever has an app beside it needs no message.
        let eve = &others[0];
        let app = world.enrol_again(eve).await;
        let email = Delivered::email(texts()).unwrap();
        let document = serde_json::json!({"offered": ["sms", "totp"], "stronger_hides_delivered": false});
        let policy = mfa::Policy::recommended().with_document(&document).unwrap();
        let node = Mailed::node(&world, &mailed.inbox, email, Value::Null).stop_unanswered_prefixes(33, 6);
        let engine = node.policy(policy).build().await.unwrap();
        let begun = engine.begin(login(eve).with_method(method("sms"))).await.unwrap();
        let mfa::Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        assert_eq!(challenge.method.provider.as_str(), "totp");
        let code = Response::code(&app.code_at(world.now()));
        assert!(matches!(engine.verify(&challenge.reference, code).await.unwrap(), Verify::Verified(_)));
    }

    async fn s20_a_third_of_answers_keeps_a_prefix_open(world) {
        for answered in [1, 2] {
            let world = World::memory().await;
            let mailed = stopping(&world).await;
            for n in 0..6 {
                let started = set_up(&world, &mailed, HERE, n).await.unwrap();
                if n < answered {
                    // An answer takes its time.
                    world.clock.advance(Duration::from_secs(60));
                    answer(&mailed, &started).await;
                }
            }
            world.clock.advance(JUDGED);
            assert_eq!(set_up(&world, &mailed, HERE, 6).await.is_ok(), answered == 2, "{answered}");
        }
    }

    async fn s20_an_answer_counts_for_its_own_message_and_once(world) {
        let mailed = stopping(&world).await;
        for n in 0..5 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        let started = set_up(&world, &mailed, HERE, 5).await.unwrap();
        answer(&mailed, &started).await;
        // A wrong answer is none, nor is another one to what was answered.
        let wrong = set_up(&world, &mailed, HERE, 6).await.unwrap();
        for reference in [&wrong.reference, &started.reference, &started.reference] {
            let told = mailed.engine.enrol_confirm(reference, &Response::code("000000")).await.unwrap();
            assert!(matches!(told, EnrolConfirm::Rejected(_)), "{told:?}");
        }
        world.clock.advance(JUDGED);
        assert!(set_up(&world, &mailed, HERE, 7).await.is_err());
    }

    // Whoever fills a form with numbers of a prefix keeps nobody of it from logging in.

    async fn s20_set_ups_stop_no_logins_and_logins_no_set_ups(world) {
        let mailed = stopping(&world).await;
        let bob = enrolled(&world, &mailed, 100).await;
        for n in 0..20 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        world.clock.advance(JUDGED);
        assert!(set_up(&world, &mailed, HERE, 20).await.is_err());
        let _ = mailed.inbox.take();
        let challenge = mailed.begun(&bob).await.unwrap();
        let code = mailed.code();
        assert!(matches!(mailed.answer(&challenge, &code).await, Verify::Verified(_)));

        let world = World::memory().await;
        let mailed = stopping(&world).await;
        let (bob, eve) = (enrolled(&world, &mailed, 100).await, enrolled(&world, &mailed, 101).await);
        for _ in 0..4 {
            mailed.begun(&bob).await.unwrap();
        }
        for _ in 0..2 {
            mailed.begun(&eve).await.unwrap();
        }
        world.clock.advance(JUDGED);
        assert_eq!(mailed.begun(&eve).await.unwrap_err(), DeniedReason::SendLimit);
        assert_eq!(limits(&world).await, ["prefix"]);
        set_up(&world, &mailed, HERE, 0).await.unwrap();
    }

    async fn s20_logins_that_are_answered_go_on(world) {
        let mailed = stopping(&world).await;
        let mut users = Vec::new();
        for n in 0..4 {
            users.push(enrolled(&world, &mailed, n).await);
        }
        world.clock.advance(Duration::from_secs(7 * 3600));
        for bob in users.iter().chain(&users) {
            let challenge = mailed.begun(bob).await.unwrap();
            let code = mailed.code();
            assert!(matches!(mailed.answer(&challenge, &code).await, Verify::Verified(_)));
            world.clock.advance(QUARTER);
        }
        world.clock.advance(JUDGED);
        assert!(mailed.begun(&users[0]).await.is_ok());
    }

    async fn s20_messages_that_wait_in_the_outbox_are_counted_and_stopped_as_they_leave(world) {
        let inbox = Inbox::new();
        let builder = node(&world, &inbox).policy(queueing(&["sms"])).stop_unanswered_prefixes(33, 6);
        let mailed = Mailed { engine: builder.build().await.unwrap(), inbox };
        let mut users = Vec::new();
        for n in 0..3 {
            let user = member(&world, "acme", HERE, n).await;
            mailed.enrol(&world, &user, "sms").await;
            users.push(user);
        }
        for user in users.iter().chain(&users) {
            mailed.begun(user).await.unwrap();
        }
        assert_eq!(mailed.drain().await, [6, 0, 0]);
        world.clock.advance(JUDGED);
        let _ = mailed.inbox.take_tried();
        mailed.begun(&users[0]).await.unwrap();
        assert_eq!(mailed.drain().await, [0, 0, 1]);
        assert!(mailed.inbox.take_tried().is_empty());
        assert_eq!(limits(&world).await, ["prefix"]);
        // They are of logins: set-ups go on.
        set_up(&world, &mailed, HERE, 100).await.unwrap();
    }

    async fn s20_what_no_carrier_took_is_not_missed(world) {
        for (refusal, is_counted) in
            [(NotDelivered::Permanent, false), (NotDelivered::Temporary, false), (NotDelivered::TimedOut, true)]
        {
            let world = World::memory().await;
            let mailed = stopping(&world).await;
            for n in 0..8 {
                mailed.inbox.fail_next(refusal);
                let _ = set_up(&world, &mailed, HERE, n).await;
            }
            world.clock.advance(JUDGED);
            assert_eq!(set_up(&world, &mailed, HERE, 8).await.is_err(), is_counted, "{refusal:?}");
        }
    }

    async fn s20_of_thirty_messages_at_once_thirty_are_counted(world) {
        for (from, stops) in [(30, true), (31, false)] {
            let world = World::memory().await;
            let inbox = Inbox::new();
            let engine = node(&world, &inbox).stop_unanswered_prefixes(33, from).build().await.unwrap();
            let mailed = Mailed { engine, inbox };
            let mut users = Vec::new();
            for n in 0..30 {
                users.push(member(&world, &format!("account{n}"), HERE, n).await);
            }
            let sent = race(30, |n| mailed.started(&users[n], "sms"));
            assert!(sent.iter().all(Result::is_ok), "{sent:?}");
            world.clock.advance(JUDGED);
            assert_eq!(set_up(&world, &mailed, HERE, 30).await.is_err(), stops, "{from}");
        }
    }

    async fn s20_nothing_is_sent_where_the_count_of_a_prefix_cannot_be_trusted(world) {
        let Some(file) = world.file() else { return };
        let mailed = stopping(&world).await;
        set_up(&world, &mailed, HERE, 0).await.unwrap();
        let _ = mailed.inbox.take_tried();
        let file = rusqlite::Connection::open(file).unwrap();
        let changed = "UPDATE records SET body = x'00' WHERE kind = 'prefix_messages'";
        assert_eq!(file.execute(changed, ()).unwrap(), 1);
        assert!(set_up(&world, &mailed, HERE, 1).await.is_err());
        assert!(mailed.inbox.take_tried().is_empty());
        set_up(&world, &mailed, THERE, 1).await.unwrap();
    }

    async fn s20_a_prefix_that_a_clock_ahead_stopped_is_open_six_hours_from_now(world) {
        let mailed = stopping(&world).await;
        let now = world.now();
        world.clock.advance(Duration::from_secs(3 * 24 * 3600));
        for n in 0..6 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        world.clock.set(now);
        set_up(&world, &mailed, HERE, 6).await.unwrap();
        world.clock.advance(JUDGED);
        assert!(set_up(&world, &mailed, HERE, 7).await.is_err());
        world.clock.advance(Duration::from_secs(6 * 3600) + QUARTER);
        set_up(&world, &mailed, HERE, 8).await.unwrap();
    }

    async fn s20_without_the_host_s_word_no_prefix_is_counted(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        for n in 0..30 {
            set_up(&world, &mailed, HERE, n).await.unwrap();
        }
        world.clock.advance(JUDGED);
        set_up(&world, &mailed, HERE, 30).await.unwrap();
        let kind = RecordKind::new("prefix_messages");
        assert!(world.store.scan(kind, None, 10, world.now()).await.unwrap().is_empty());
    }
}
