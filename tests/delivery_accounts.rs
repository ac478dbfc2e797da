//! S20: what an account may send in a day, over all its users, where the host has set it.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use mfa::delivery::Delivered;
use mfa::{
    AccountId, Changed, Channel, Contact, DeniedReason, EngineBuilder, Message, Reason, RecordKind, Response,
    Subject, UserId, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::mailed::{Mailed, german_mobiles, limits, offering, texts};
use mfa_tests::notified::mail;
use mfa_tests::{World, on_stores};
use serde_json::Value;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn codes(world: &World, inbox: &Inbox) -> EngineBuilder {
    Mailed::node(world, inbox, Delivered::email(texts()).unwrap(), Value::Null)
}

/// An engine whose accounts send so many messages in a day.
async fn limited(world: &World, messages: u32) -> Mailed {
    let inbox = Inbox::new();
    let engine = codes(world, &inbox).messages_per_account_and_day(messages).build().await.unwrap();
    Mailed { engine, inbox }
}

/// The `n`-th user of an account, with a mailbox of their own.
async fn member(world: &World, account: &str, n: usize) -> Subject {
    let user = UserId::parse(&format!("user{n}")).unwrap();
    let subject = Subject::new(AccountId::parse(account).unwrap(), user);
    let subject = subject.with_contacts(vec![mail(&format!("user{n}@{account}.example"))]).unwrap();
    world.directory.put(&subject).await.unwrap();
    subject
}

/// Sends a code to the `n`-th user of an account.
async fn send(world: &World, mailed: &Mailed, account: &str, n: usize) -> Result<(), &'static str> {
    let user = member(world, account, n).await;
    mailed.started(&user, "email").await.map(drop).map_err(|error| error.code())
}

on_stores! {
    async fn s20_an_account_s_messages_cost_what_the_host_says_and_no_more_than_it_has_set(world) {
        let inbox = Inbox::new();
        // By what it can see of a message: the way it goes and where to.
        let price = |message: &Message| {
            assert_eq!(message.channel, Channel::Email);
            match message.to.expose_secret().split_once('@').unwrap().0 {
                "user0" => 0,
                "user1" => 7,
                _ => 3,
            }
        };
        let engine = codes(&world, &inbox).cost_per_account_and_day(10, price).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        // 7, and 3: the ten are spent to the last one.
        assert_eq!(send(&world, &mailed, "acme", 1).await, Ok(()));
        assert_eq!(send(&world, &mailed, "other", 2).await, Ok(()));
        assert_eq!(send(&world, &mailed, "other", 1).await, Ok(()));
        assert_eq!(send(&world, &mailed, "other", 3).await, Err("send_limit"));
        assert_eq!(send(&world, &mailed, "acme", 2).await, Ok(()));
        assert_eq!(send(&world, &mailed, "acme", 3).await, Err("send_limit"));
        // What costs nothing is sent all the same, and what costs more than is left is not.
        assert_eq!(send(&world, &mailed, "acme", 0).await, Ok(()));
        world.clock.advance(DAY + Duration::from_secs(3600));
        for (n, told) in [(4, Ok(())), (5, Ok(())), (1, Err("send_limit")), (6, Ok(())), (7, Err("send_limit"))] {
            assert_eq!(send(&world, &mailed, "acme", n).await, told, "{n}");
        }
    }

    async fn s20_an_account_sends_what_the_host_has_set_and_no_more_until_a_day_is_over(world) {
        let mailed = limited(&world, 5).await;
        for n in 0..5 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Ok(()));
        }
        for n in 5..8 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Err("send_limit"));
        }
        assert_eq!(mailed.inbox.take_tried().len(), 5, "nothing left");
        assert_eq!(limits(&world).await, ["account"; 3]);
        // Another account has its own.
        assert_eq!(send(&world, &mailed, "other", 0).await, Ok(()));
        world.clock.advance(DAY - Duration::from_millis(1));
        assert_eq!(send(&world, &mailed, "acme", 8).await, Err("send_limit"));
        // Counted by the hour: after the twenty-fifth it counts no more.
        world.clock.advance(Duration::from_secs(3600) + Duration::from_millis(1));
        for n in 10..15 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Ok(()));
        }
        assert_eq!(send(&world, &mailed, "acme", 15).await, Err("send_limit"));
    }

    async fn s20_without_the_host_s_word_an_account_has_no_limit(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        for n in 0..30 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Ok(()));
        }
        let kind = RecordKind::new("account_messages");
        assert!(world.store.scan(kind, None, 10, world.now()).await.unwrap().is_empty());
    }

    async fn s20_a_login_whose_account_is_full_is_denied_and_costs_neither_user_nor_destination(world) {
        let mailed = limited(&world, 5).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        for n in 0..5 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Ok(()));
        }
        let _ = mailed.inbox.take_tried();
        for _ in 0..12 {
            assert_eq!(mailed.begun(&bob).await.unwrap_err(), DeniedReason::SendLimit);
        }
        assert!(mailed.inbox.take_tried().is_empty());
        // The number has nine messages left, and bob four: nothing was charged to either.
        let inbox = mailed.inbox.clone();
        let unlimited = Mailed { engine: codes(&world, &inbox).build().await.unwrap(), inbox };
        for _ in 0..4 {
            assert!(unlimited.begun(&bob).await.is_ok());
        }
        assert_eq!(unlimited.begun(&bob).await.unwrap_err(), DeniedReason::SendLimit);
        assert_eq!(limits(&world).await, ["account"; 12]);
    }

    async fn s20_a_full_destination_costs_the_account_nothing(world) {
        let mailed = limited(&world, 11).await;
        let to = async |n: usize| {
            let user = Subject::new(AccountId::parse("acme").unwrap(), UserId::parse(&format!("user{n}")).unwrap());
            let phone = Contact::phone("+4915123456789").unwrap().verified();
            let user = user.with_contacts(vec![phone]).unwrap();
            world.directory.put(&user).await.unwrap();
            mailed.started(&user, "sms").await.map(drop).map_err(|error| error.code())
        };
        for n in 0..10 {
            assert_eq!(to(n).await, Ok(()));
        }
        // Whoever asks for messages to a number that has had its own keeps nobody else from theirs.
        for n in 10..20 {
            assert_eq!(to(n).await, Err("send_limit"));
        }
        assert_eq!(limits(&world).await, ["destination"; 10]);
        assert_eq!(send(&world, &mailed, "acme", 20).await, Ok(()));
        assert_eq!(send(&world, &mailed, "acme", 21).await, Err("send_limit"));
    }

    async fn s20_a_resend_past_the_account_s_limit_leaves_the_code_before_good(world) {
        let mailed = limited(&world, 1).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begun(&bob).await.unwrap();
        let code = mailed.code();
        world.clock.advance(Duration::from_secs(30));
        let full = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(full, Changed::Rejected(r) if r.reason == Reason::SendLimit), "{full:?}");
        assert!(mailed.inbox.take().is_empty());
        let right = mailed.engine.verify(&challenge.reference, Response::code(&code)).await.unwrap();
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn s20_of_two_messages_at_once_the_last_of_an_account_is_sent_once(world) {
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let inbox = Inbox::new();
        // Two nodes: within one, an account's messages are charged one after the other.
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let node = mfa_tests::probe::node_on(&world, gate.clone());
            let node = node.provider(Delivered::email(texts()).unwrap()).transport(Arc::new(inbox.clone()));
            let node = node.policy(offering(&["email"])).messages_per_account_and_day(4);
            nodes.push(Mailed { engine: node.build().await.unwrap(), inbox: inbox.clone() });
        }
        let mut users = Vec::new();
        for n in 0..5 {
            users.push(member(&world, "acme", n).await);
        }
        for user in &users[..3] {
            assert!(nodes[0].started(user, "email").await.is_ok());
        }
        gate.arm_for(RecordKind::new("account_messages"), 2);
        let sent = race(2, |n| nodes[n].started(&users[3 + n], "email"));
        assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 1, "{sent:?}");
        assert_eq!(inbox.take().len(), 4);
    }

    async fn s20_of_thirty_users_at_once_as_many_are_sent_a_message_as_the_account_has_left(world) {
        let mailed = limited(&world, 20).await;
        let mut users = Vec::new();
        for n in 0..30 {
            users.push(member(&world, "acme", n).await);
        }
        let sent = race(30, |n| mailed.started(&users[n], "email"));
        assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 20, "{sent:?}");
        assert_eq!(mailed.inbox.take().len(), 20);
    }

    async fn s20_nothing_is_sent_where_the_count_of_the_account_cannot_be_trusted(world) {
        let Some(file) = world.file() else { return };
        let mailed = limited(&world, 5).await;
        assert_eq!(send(&world, &mailed, "acme", 0).await, Ok(()));
        let _ = mailed.inbox.take_tried();
        let file = rusqlite::Connection::open(file).unwrap();
        let changed = "UPDATE records SET body = x'00' WHERE kind = 'account_messages'";
        assert_eq!(file.execute(changed, ()).unwrap(), 1);
        assert!(send(&world, &mailed, "acme", 1).await.is_err());
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s20_a_full_account_of_a_clock_that_ran_ahead_is_over_a_day_from_now(world) {
        let mailed = limited(&world, 3).await;
        let now = world.now();
        world.clock.advance(3 * DAY);
        for n in 0..3 {
            assert_eq!(send(&world, &mailed, "acme", n).await, Ok(()));
        }
        world.clock.set(now);
        assert_eq!(send(&world, &mailed, "acme", 3).await, Err("send_limit"));
        world.clock.advance(DAY + Duration::from_secs(3600));
        assert_eq!(send(&world, &mailed, "acme", 4).await, Ok(()));
    }

    async fn s20_an_account_that_may_send_nothing_sends_nothing(world) {
        let inbox = Inbox::new();
        let sms = Delivered::sms(texts(), german_mobiles()).unwrap();
        let node = world.node().provider(sms).transport(Arc::new(inbox.clone())).policy(offering(&["sms"]));
        let engine = node.messages_per_account_and_day(0).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        let bob = mailed.add(&world, "bob").await;
        assert_eq!(mailed.started(&bob, "sms").await.unwrap_err().code(), "send_limit");
        assert!(mailed.inbox.take_tried().is_empty());
    }
}
