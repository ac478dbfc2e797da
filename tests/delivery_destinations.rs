//! Where messages go: to verified contacts and allowed numbers, and to each destination ten a day.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{Begin, Changed, DeniedReason, Reason, RecordKind, Response, Subject, Verify};
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::mailed::{Mailed, german_mobiles, offering};
use mfa_tests::notified::{mail, reachable};
use mfa_tests::{World, login, on_stores};
use serde_json::{Value, json};

async fn answer(mailed: &Mailed, challenge: &mfa::Challenge, code: &str) -> Verify {
    mailed.engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

/// A user of a tenant of their own, whose telephone has the number that all of them share.
async fn sharing(world: &World, n: usize) -> Subject {
    let account = mfa::AccountId::parse(&format!("tenant-{n}")).unwrap();
    let phone = mfa::Contact::phone("+4915123456789").unwrap().verified();
    let eve = Subject::new(account, mfa::UserId::parse("eve").unwrap()).with_contacts(vec![phone]).unwrap();
    world.directory.put(&eve).await.unwrap();
    eve
}

on_stores! {
    async fn s10_nothing_goes_to_an_address_that_did_not_answer_a_code(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        // The profile page was used with the first factor alone.
        let moved = reachable("bob", vec![mail("bob@evil.example")]);
        world.directory.put(&moved).await.unwrap();
        let _ = mailed.inbox.take_tried();
        let denied = mailed.engine.begin(login(&moved)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        assert!(mailed.inbox.take_tried().is_empty());
        // Between begin and resend.
        let challenge = mailed.begin(&bob).await;
        let _ = mailed.code();
        world.clock.advance(Duration::from_secs(30));
        let _ = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert_eq!(mailed.message().to, "bob@acme.example");
    }

    async fn s10_an_address_is_set_up_only_if_it_is_a_verified_contact(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let unverified = mfa::Contact::email("eve@acme.example").unwrap();
        let eve = reachable("eve", vec![unverified]);
        world.directory.put(&eve).await.unwrap();
        assert_eq!(mailed.started(&eve, "email").await.unwrap_err().code(), "contact_not_verified");
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s20_a_number_gets_ten_messages_a_day_over_all_accounts(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let mut sent = 0;
        for n in 0..12 {
            let account = mfa::AccountId::parse(&format!("tenant-{n}")).unwrap();
            let phone = mfa::Contact::phone("+4915123456789").unwrap().verified();
            let eve = Subject::new(account, mfa::UserId::parse("eve").unwrap());
            let eve = eve.with_contacts(vec![phone]).unwrap();
            world.directory.put(&eve).await.unwrap();
            match mailed.started(&eve, "sms").await {
                Ok(_) => sent += 1,
                Err(error) => assert_eq!(error.code(), "send_limit"),
            }
        }
        assert_eq!((sent, mailed.inbox.take().len()), (10, 10));
        world.clock.advance(Duration::from_secs(24 * 3600));
        let eve = mailed.add(&world, "eve").await;
        assert!(mailed.started(&eve, "sms").await.is_ok());
    }

    async fn s20_a_login_whose_destination_is_full_is_denied_and_costs_the_user_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let _ = mailed.inbox.take_tried();
        for n in 0..9 {
            let name = format!("other{n}");
            let other = mailed.add(&world, &name).await;
            assert!(mailed.started(&other, "sms").await.is_ok());
        }
        // Bob's set-up and these: the number's ten of the day.
        assert_eq!(mailed.inbox.take_tried(), ["+4915123456789"; 9]);
        let _ = mailed.inbox.take();
        for _ in 0..6 {
            let denied = mailed.engine.begin(login(&bob)).await.unwrap();
            assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::SendLimit), "{denied:?}");
        }
        assert!(mailed.inbox.take_tried().is_empty());
        assert!(mailed.inbox.take().is_empty());
        // Of the user's own five an hour none was used up: a day later, with the number's ten, all five are there.
        assert_eq!(world.events_of(Kind::EffectRefunded).await.len(), 6);
    }

    async fn s20_numbers_of_other_countries_get_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        for number in ["+12025550123", "+8821234567890", "+449098790000"] {
            let phone = mfa::Contact::phone(number).unwrap().verified();
            let eve = reachable("eve", vec![phone]);
            world.directory.put(&eve).await.unwrap();
            assert_eq!(mailed.started(&eve, "sms").await.unwrap_err().code(), "method_not_offered");
        }
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s20_a_destination_s_messages_leave_the_day_one_by_one(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let send = async |n: usize| mailed.started(&sharing(&world, n).await, "sms").await.map_err(|e| e.code());
        assert!(send(0).await.is_ok());
        world.clock.advance(Duration::from_secs(12 * 3600));
        for n in 1..10 {
            assert!(send(n).await.is_ok());
        }
        world.clock.advance(Duration::from_secs(12 * 3600) - Duration::from_millis(1));
        assert_eq!(send(10).await.unwrap_err(), "send_limit");
        world.clock.advance(Duration::from_millis(1));
        assert!(send(11).await.is_ok());
        assert_eq!(send(12).await.unwrap_err(), "send_limit");
    }

    async fn s20_of_two_messages_at_once_the_last_of_the_day_is_sent_once(world) {
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let inbox = Inbox::new();
        let sms = Delivered::sms(mfa_tests::mailed::texts(), german_mobiles()).unwrap();
        let node = mfa_tests::probe::node_on(&world, gate.clone()).provider(sms);
        let node = node.transport(Arc::new(inbox.clone())).policy(offering(&["sms"]));
        let mailed = Mailed { engine: node.build().await.unwrap(), inbox };
        let mut users = Vec::new();
        for n in 0..11 {
            users.push(sharing(&world, n).await);
        }
        for user in &users[..9] {
            assert!(mailed.started(user, "sms").await.is_ok());
        }
        gate.arm_for(RecordKind::new("destination"), 2);
        let sent = race(2, |n| mailed.started(&users[9 + n], "sms"));
        assert_eq!(sent.iter().filter(|sent| sent.is_ok()).count(), 1, "{sent:?}");
        assert_eq!(mailed.inbox.take().len(), 10);
    }

    async fn s20_nothing_is_sent_where_the_count_of_the_destination_cannot_be_trusted(world) {
        let Some(file) = world.file() else { return };
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let _ = mailed.inbox.take_tried();
        let file = rusqlite::Connection::open(file).unwrap();
        assert_eq!(file.execute("UPDATE records SET body = x'00' WHERE kind = 'destination'", ()).unwrap(), 1);
        let denied = mailed.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn a_resend_past_the_destination_s_limit_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        for n in 0..8 {
            assert!(mailed.started(&sharing(&world, n).await, "sms").await.is_ok());
        }
        let _ = mailed.inbox.take();
        world.clock.advance(Duration::from_secs(30));
        let full = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(full, Changed::Rejected(r) if r.reason == Reason::SendLimit), "{full:?}");
        assert!(mailed.inbox.take().is_empty());
        let right = answer(&mailed, &challenge, &code).await;
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn a_set_up_s_resend_past_the_destination_s_limit_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "sms").await.unwrap();
        let code = mailed.code();
        for n in 0..9 {
            assert!(mailed.started(&sharing(&world, n).await, "sms").await.is_ok());
        }
        let _ = mailed.inbox.take();
        let full = mailed.engine.enrol_resend(&started.reference, &mfa::RequestFacts::new()).await.unwrap();
        assert!(matches!(full, mfa::EnrolConfirm::Rejected(r) if r.reason == Reason::SendLimit), "{full:?}");
        assert!(mailed.inbox.take().is_empty());
        let right = mailed.engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
        assert!(matches!(right, mfa::EnrolConfirm::Confirmed(_)), "{right:?}");
    }

    async fn a_resend_whose_destination_cannot_be_charged_leaves_the_code_before_good(world) {
        let store = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let (inbox, texts) = (Inbox::new(), mfa_tests::mailed::texts());
        let node = mfa_tests::probe::node_on(&world, store.clone()).provider(Delivered::email(texts).unwrap());
        let node = node.transport(Arc::new(inbox.clone())).policy(offering(&["email"]));
        let mailed = Mailed { engine: node.build().await.unwrap(), inbox };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        world.clock.advance(Duration::from_secs(30));
        // The commit after that of the charge.
        store.fail_later(At::BeforeCommit, Fault::Unavailable, 1, 1);
        let unsent = mailed.engine.resend(&challenge.reference).await;
        assert_eq!(unsent.unwrap_err().code(), "unavailable");
        assert!(store.heal() && mailed.inbox.take().is_empty());
        let right = answer(&mailed, &challenge, &code).await;
        assert!(matches!(right, Verify::Verified(_)), "{right:?}");
    }

    async fn s10_a_contact_that_is_not_verified_any_more_gets_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let _ = mailed.inbox.take_tried();
        let doubted = reachable("bob", vec![mfa::Contact::email("bob@acme.example").unwrap()]);
        let denied = mailed.engine.begin(login(&doubted)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s10_a_set_up_takes_the_contact_that_is_named_and_no_other(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = reachable("bob", vec![mail("bob@acme.example"), mail("bob@home.example")]);
        world.directory.put(&bob).await.unwrap();
        let name = mfa::ProviderName::parse("email").unwrap();
        let begin = async |address: &str| {
            let choice = mfa::Choice::new(json!({"address": address}));
            mailed.engine.enrol_begin(bob.account(), bob.user(), &name, &choice, &mfa_tests::host()).await
        };
        assert!(begin("bob@home.example").await.is_ok());
        assert_eq!(mailed.message().to, "bob@home.example");
        assert_eq!(begin("eve@evil.example").await.unwrap_err().code(), "method_not_offered");
        assert!(mailed.inbox.take().is_empty());
    }

    async fn s20_a_line_of_an_allowed_country_that_is_no_mobile_phone_gets_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        // Germany's ranges of premium services and of Berlin.
        for number in ["+499001234567", "+4930123456"] {
            let phone = mfa::Contact::phone(number).unwrap().verified();
            let eve = reachable("eve", vec![phone]);
            world.directory.put(&eve).await.unwrap();
            assert_eq!(mailed.started(&eve, "sms").await.unwrap_err().code(), "method_not_offered");
        }
        assert!(mailed.inbox.take_tried().is_empty());
    }

    async fn s20_spellings_of_one_mailbox_share_its_messages(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        for n in 0..11 {
            let user = reachable(&format!("user{n}"), vec![mail(&format!("Bob+{n}@acme.example"))]);
            world.directory.put(&user).await.unwrap();
            let sent = mailed.started(&user, "email").await.map_err(|e| e.code());
            assert_eq!(sent.is_ok(), n < 10, "{n}");
        }
        // They are sent as they are spelt.
        assert_eq!(mailed.inbox.take()[3].to, "Bob+3@acme.example");
    }

    async fn s20_a_full_count_of_a_clock_that_ran_ahead_is_over_a_day_from_now(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let send = async |n: usize| mailed.started(&sharing(&world, n).await, "sms").await.map_err(|e| e.code());
        let now = world.now();
        world.clock.advance(Duration::from_secs(3 * 86_400));
        for n in 0..10 {
            assert!(send(n).await.is_ok());
        }
        world.clock.set(now);
        assert_eq!(send(10).await.unwrap_err(), "send_limit");
        world.clock.advance(Duration::from_secs(86_400));
        assert!(send(11).await.is_ok());
    }

    async fn s20_a_user_s_messages_of_a_clock_that_ran_ahead_are_over_an_hour_from_now(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let now = world.now();
        world.clock.advance(Duration::from_secs(2 * 86_400));
        for _ in 0..5 {
            let _challenge = mailed.begin(&bob).await;
        }
        world.clock.set(now);
        let denied = mailed.engine.begin(login(&bob)).await.unwrap();
        let Begin::Denied(denied) = denied else { panic!("{denied:?}") };
        assert_eq!(denied.retry_after, Some(Duration::from_secs(3600)));
        world.clock.advance(Duration::from_secs(3600));
        let _challenge = mailed.begin(&bob).await;
    }

    async fn s20_the_log_has_the_prefix_of_a_number_that_is_written_to_and_no_more_of_it(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "sms").await.unwrap();
        world.clock.advance(Duration::from_secs(30));
        let _ = mailed.code();
        let _ = mailed.engine.enrol_resend(&started.reference, &mfa::RequestFacts::new()).await.unwrap();
        let code = Response::code(&mailed.code());
        let confirmed = mailed.engine.enrol_confirm(&started.reference, &code).await.unwrap();
        assert!(matches!(confirmed, mfa::EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        world.clock.advance(Duration::from_secs(30));
        mailed.enrol(&world, &bob, "email").await;
        world.clock.advance(Duration::from_secs(3600));
        let by_text = login(&bob).with_method("sms".parse().unwrap());
        let Begin::Challenge(challenge) = mailed.engine.begin(by_text).await.unwrap() else { panic!() };
        world.clock.advance(Duration::from_secs(30));
        let _ = mailed.engine.resend(&challenge.reference).await.unwrap();
        world.clock.advance(Duration::from_secs(30));
        let _ = mailed.engine.switch(&challenge.reference, &"email".parse().unwrap()).await.unwrap();
        let charged = world.events_of(Kind::EffectCharged).await;
        let told: Vec<_> = charged.iter().map(|event| [event.field("method"), event.field("prefix")]).collect();
        let (sms, email) = ([Some("sms"), Some("+4915")], [Some("email"), None]);
        assert_eq!(told, [sms, sms, email, sms, sms, email]);
        let events = world.events().await;
        assert!(events.iter().flat_map(audit_model::Event::fields).all(|(_, value)| !value.contains("+49151")));
    }

    async fn s20_another_active_key_goes_on_with_what_was_counted(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let send = async |n: usize| mailed.started(&sharing(&world, n).await, "sms").await.map_err(|e| e.code());
        let activate = async |name: &str, root: u8| {
            let id = mfa::KeyId::parse(name).unwrap();
            if !world.ring.ids().contains(&id) {
                world.ring.add(id.clone(), [root; 32]).unwrap();
            }
            mailed.engine.key_activate(&id, "ops", "a test").await.unwrap();
        };
        for n in 0..4 {
            assert!(send(n).await.is_ok());
        }
        world.clock.advance(Duration::from_secs(3600));
        activate("k2", 0x77).await;
        for n in 4..8 {
            assert!(send(n).await.is_ok());
        }
        activate("k3", 0x78).await;
        assert!(send(8).await.is_ok());
        // And back to one that counted before.
        activate("k1", 0).await;
        assert!(send(9).await.is_ok());
        for key in ["k1", "k2", "k3"] {
            activate(key, 0).await;
            assert_eq!(send(10).await.unwrap_err(), "send_limit", "{key}");
        }
        // What was counted first leaves first.
        world.clock.advance(Duration::from_secs(23 * 3600));
        for n in 10..14 {
            assert!(send(n).await.is_ok());
        }
        assert_eq!(send(14).await.unwrap_err(), "send_limit");
        let kind = RecordKind::new("destination");
        assert_eq!(world.store.scan(kind, None, 10, world.now()).await.unwrap().len(), 1, "moved, not copied");
    }

    async fn s20_a_set_up_past_the_destination_s_limit_costs_the_user_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        for n in 0..10 {
            assert!(mailed.started(&sharing(&world, n).await, "sms").await.is_ok());
        }
        let bob = mailed.add(&world, "bob").await;
        for _ in 0..5 {
            assert_eq!(mailed.started(&bob, "sms").await.unwrap_err().code(), "send_limit");
        }
        assert!(mailed.started(&bob, "email").await.is_ok(), "of five an hour none was used");
    }
}
