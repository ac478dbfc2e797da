//! S20: notices are few, whoever brings them about, and go to no number that a code would not be sent to.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::{Event, Kind};
use mfa::delivery::Delivered;
use mfa::delivery::address::{LineType, Region};
use mfa::delivery::select::SmsRules;
use mfa::{
    AccountId, Choice, Contact, Drained, Engine, EnrolConfirm, NotDelivered, NoticeKind, RecordKind,
    RequestFacts, Response, Subject, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::mailed::{Mailed, german_mobiles, offering, texts};
use mfa_tests::notified::{mail, reachable, sending_node_on};
use mfa_tests::{STEP, World, begin, host, on_stores, totp};
use serde_json::Value;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const NUMBER: &str = "+4915123456789";

fn phone(number: &str) -> Contact {
    Contact::phone(number).unwrap().verified()
}

async fn drain(engine: &Engine) -> [u64; 3] {
    let Drained { sent, waiting, given_up, .. } = engine.drain_outbox(1_000).await.unwrap();
    [sent, waiting, given_up]
}

/// Sets up an app, of which the user is told.
async fn enrol(world: &World, engine: &Engine, user: &Subject) -> SoftAuthenticator {
    let begun = engine.enrol_begin(user.account(), user.user(), &totp(), &Choice::none(), &host()).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(world.now()));
    let shown = engine.enrol_confirm(&started.reference, &code).await.unwrap();
    if let EnrolConfirm::RecoveryShown(_) = shown {
        let _ = engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
    }
    app
}

/// The `n`-th of the users who share a contact, in an account of their own.
async fn sharing(world: &World, n: usize, contact: Contact) -> Subject {
    let account = AccountId::parse(&format!("tenant-{n}")).unwrap();
    let user = Subject::new(account, UserId::parse("eve").unwrap()).with_contacts(vec![contact]).unwrap();
    world.directory.put(&user).await.unwrap();
    user
}

/// Gives a code a second time: whoever has the password and saw one code can do so each hour.
async fn replay(world: &World, engine: &Engine, user: &Subject, app: &SoftAuthenticator) {
    let code = app.code_at(world.now());
    let first = begin(engine, user).await;
    let first = engine.verify(&first.reference, Response::code(&code)).await.unwrap();
    assert!(matches!(first, Verify::Verified(_)), "{first:?}");
    let again = begin(engine, user).await;
    let _ = engine.verify(&again.reference, Response::code(&code)).await.unwrap();
}

fn told(event: &Event) -> [Option<&str>; 4] {
    ["notice", "contacts", "barred", "limit"].map(|name| event.field(name))
}

async fn waiting(world: &World) -> usize {
    world.store.scan(RecordKind::new("notice"), None, 1_000, world.now()).await.unwrap().len()
}

/// An engine that sends notices to mobile phones of Germany, and codes.
async fn texting(world: &World) -> Mailed {
    let inbox = Inbox::new();
    let email = Delivered::email(texts()).unwrap();
    let node = Mailed::node(world, &inbox, email, Value::Null);
    let numbers = german_mobiles();
    let engine = node.notices_by_phone(move |contact| numbers.allows(contact)).build().await.unwrap();
    Mailed { engine, inbox }
}

on_stores! {
    async fn s20_a_number_gets_ten_notices_a_day_over_all_accounts_and_as_many_codes(world) {
        let mailed = texting(&world).await;
        for n in 0..12 {
            enrol(&world, &mailed.engine, &sharing(&world, n, phone(NUMBER)).await).await;
        }
        assert_eq!(drain(&mailed.engine).await, [10, 2, 0]);
        assert_eq!(mailed.inbox.take_tried(), [NUMBER; 10]);
        for n in 12..23 {
            let sent = mailed.started(&sharing(&world, n, phone(NUMBER)).await, "sms").await;
            assert_eq!(sent.is_ok(), n < 22, "{n}");
        }
        assert_eq!(mailed.inbox.take_tried(), [NUMBER; 10], "codes have their own ten");
        // Neither count keeps the other from anything.
        world.clock.advance(DAY);
        for n in 30..40 {
            assert!(mailed.started(&sharing(&world, n, phone(NUMBER)).await, "sms").await.is_ok());
        }
        assert_eq!((drain(&mailed.engine).await, waiting(&world).await), ([2, 0, 0], 0));
    }

    async fn s20_whoever_has_the_password_costs_six_text_messages_a_day(world) {
        let mailed = texting(&world).await;
        let bob = reachable("bob", vec![phone(NUMBER)]);
        world.directory.put(&bob).await.unwrap();
        let app = enrol(&world, &mailed.engine, &bob).await;
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        let _ = mailed.inbox.take_tried();
        world.clock.advance(DAY);
        for _ in 0..24 {
            replay(&world, &mailed.engine, &bob, &app).await;
            let _ = drain(&mailed.engine).await;
            world.clock.advance(HOUR);
        }
        assert_eq!(mailed.inbox.take_tried(), [NUMBER; 6]);
        // What changes is told all the same.
        mailed.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        let _ = drain(&mailed.engine).await;
        let bodies: Vec<_> = mailed.inbox.take().into_iter().map(|message| message.body).collect();
        assert_eq!(bodies.iter().filter(|body| *body == NoticeKind::Reset.text()).count(), 1, "{bodies:?}");
    }

    async fn s20_equal_notices_of_an_hour_are_charged_as_one(world) {
        let mailed = texting(&world).await;
        let bob = reachable("bob", vec![phone(NUMBER)]);
        world.directory.put(&bob).await.unwrap();
        let app = enrol(&world, &mailed.engine, &bob).await;
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        for _ in 0..3 {
            world.clock.advance(STEP);
            replay(&world, &mailed.engine, &bob, &app).await;
        }
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        // Two of ten are gone.
        for n in 0..9 {
            enrol(&world, &mailed.engine, &sharing(&world, n, phone(NUMBER)).await).await;
        }
        assert_eq!(drain(&mailed.engine).await, [8, 1, 0]);
    }

    async fn s20_what_an_account_sends_as_notices_is_what_the_host_has_set_and_apart_from_its_codes(world) {
        let inbox = Inbox::new();
        let email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &inbox, email, Value::Null).messages_per_account_and_day(3);
        let mailed = Mailed { engine: node.build().await.unwrap(), inbox };
        let mut users = Vec::new();
        for n in 0..5 {
            let user = world.add_reachable(&format!("user{n}")).await;
            enrol(&world, &mailed.engine, &user).await;
            users.push(user);
        }
        assert_eq!(drain(&mailed.engine).await, [3, 2, 0]);
        for (n, user) in users.iter().enumerate() {
            assert_eq!(mailed.started(user, "email").await.is_ok(), n < 3, "{n}");
        }
        assert_eq!(mailed.inbox.take_tried().len(), 6);
        // Counted by the hour: after the twenty-fifth it counts no more.
        world.clock.advance(DAY + HOUR);
        assert_eq!(drain(&mailed.engine).await, [2, 0, 0]);
    }

    async fn s20_attempts_leave_two_fifths_of_an_account_s_notices_to_changes(world) {
        let inbox = Inbox::new();
        let node = world.node().transport(Arc::new(inbox.clone())).messages_per_account_and_day(5);
        let engine = node.build().await.unwrap();
        let plain = world.node().build().await.unwrap();
        let mut users = Vec::new();
        for n in 0..4 {
            let user = world.add_reachable(&format!("user{n}")).await;
            users.push((enrol(&world, &engine, &user).await, user));
        }
        assert_eq!(drain(&engine).await, [4, 0, 0]);
        world.clock.advance(DAY + HOUR);
        for (app, user) in &users {
            replay(&world, &plain, user, app).await;
        }
        assert_eq!(drain(&engine).await, [3, 1, 0]);
        for (_, user) in &users[..3] {
            engine.user_reset(user.account(), user.user(), &host()).await.unwrap();
        }
        // Two of the resets leave; the third waits with the attempt.
        assert_eq!(drain(&engine).await, [2, 1, 0]);
        assert_eq!(inbox.take_tried().len(), 9);
    }

    async fn s20_a_notice_without_room_waits_uses_up_no_attempt_and_is_given_up_with_an_event(world) {
        let inbox = Inbox::new();
        let node = world.node().transport(Arc::new(inbox.clone())).messages_per_account_and_day(0);
        let engine = node.build().await.unwrap();
        let bob = world.add_reachable("bob").await;
        enrol(&world, &engine, &bob).await;
        // Each hour, for the seven days that it lives.
        for hour in 0..7 * 24 {
            let expected = if hour == 7 * 24 - 1 { [0, 0, 1] } else { [0, 1, 0] };
            assert_eq!(drain(&engine).await, expected, "hour {hour}");
            world.clock.advance(HOUR - Duration::from_millis(1));
            assert_eq!(drain(&engine).await, [0; 3], "hour {hour}");
            world.clock.advance(Duration::from_millis(1));
        }
        assert!(inbox.take_tried().is_empty());
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        let expected = [[Some("method_added"), Some("0"), None, Some("account")]];
        assert_eq!(given_up.iter().map(told).collect::<Vec<_>>(), expected);
    }

    async fn s20_what_tells_of_an_attempt_waits_for_room_a_day_and_no_longer(world) {
        let mailed = texting(&world).await;
        let bob = reachable("bob", vec![phone(NUMBER)]);
        world.directory.put(&bob).await.unwrap();
        let app = enrol(&world, &mailed.engine, &bob).await;
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        world.clock.advance(DAY);
        for n in 0..6 {
            enrol(&world, &mailed.engine, &sharing(&world, n, phone(NUMBER)).await).await;
        }
        assert_eq!(drain(&mailed.engine).await, [6, 0, 0]);
        world.clock.advance(STEP);
        replay(&world, &mailed.engine, &bob, &app).await;
        for hour in 0..24 {
            let expected = if hour == 23 { [0, 0, 1] } else { [0, 1, 0] };
            assert_eq!(drain(&mailed.engine).await, expected, "hour {hour}");
            world.clock.advance(HOUR);
        }
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        let expected = [[Some("replay_seen"), Some("0"), None, Some("destination")]];
        assert_eq!(given_up.iter().map(told).collect::<Vec<_>>(), expected);
    }

    async fn s20_a_full_contact_keeps_no_other_from_being_told(world) {
        let mailed = texting(&world).await;
        for n in 0..10 {
            enrol(&world, &mailed.engine, &sharing(&world, n, phone(NUMBER)).await).await;
        }
        assert_eq!(drain(&mailed.engine).await, [10, 0, 0]);
        let _ = mailed.inbox.take();
        let bob = reachable("bob", vec![phone(NUMBER), mail("bob@acme.example")]);
        world.directory.put(&bob).await.unwrap();
        enrol(&world, &mailed.engine, &bob).await;
        assert_eq!(drain(&mailed.engine).await, [0, 1, 0]);
        let to = |mailed: &Mailed| mailed.inbox.take().into_iter().map(|m| m.to).collect::<Vec<_>>();
        assert_eq!(to(&mailed), ["bob@acme.example"]);
        world.clock.advance(DAY);
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        assert_eq!(to(&mailed), [NUMBER]);
    }

    async fn s20_without_the_host_s_rule_no_notice_goes_to_a_number(world) {
        let inbox = Inbox::new();
        let engine = world.node().transport(Arc::new(inbox.clone())).build().await.unwrap();
        let both = reachable("bob", vec![phone(NUMBER), mail("bob@acme.example")]);
        let only = reachable("eve", vec![phone(NUMBER)]);
        for user in [&both, &only] {
            world.directory.put(user).await.unwrap();
        }
        enrol(&world, &engine, &both).await;
        assert_eq!(drain(&engine).await, [1, 0, 0]);
        enrol(&world, &engine, &only).await;
        assert_eq!(drain(&engine).await, [0, 0, 1], "there is nobody to tell");
        assert_eq!(inbox.take_tried(), ["bob@acme.example"]);
        let sent = world.events_of(Kind::NoticeSent).await;
        assert_eq!(told(&sent[0]), [Some("method_added"), Some("1"), Some("1"), None]);
        let given_up = world.events_of(Kind::NoticeGivenUp).await;
        assert_eq!(told(&given_up[0]), [Some("method_added"), Some("0"), Some("1"), None]);
    }

    async fn s20_notices_go_to_the_numbers_that_codes_go_to_and_to_no_other(world) {
        // The host knows one line as a computer's.
        let rules = || SmsRules::allowing([Region::parse("DE").unwrap()]).with_line_types(|phone| {
            if phone.as_str() == "+4915123450000" { LineType::Voip } else { LineType::Unknown }
        });
        let (inbox, numbers) = (Inbox::new(), rules());
        let sms = Delivered::sms(texts(), rules()).unwrap();
        let node = world.node().provider(sms).transport(Arc::new(inbox.clone())).policy(offering(&["sms", "totp"]));
        let engine = node.notices_by_phone(move |contact| numbers.allows(contact)).build().await.unwrap();
        let mailed = Mailed { engine, inbox };
        // A mobile phone; a fixed line, a premium service, the computer, another country, a satellite, no number.
        let table = [
            (NUMBER, true), ("+4930123456", false), ("+499001234567", false), ("+4915123450000", false),
            ("+12025550123", false), ("+88213123456", false), ("+49151", false),
        ];
        for (n, (number, goes)) in table.into_iter().enumerate() {
            let Ok(contact) = Contact::phone(number) else { continue };
            let user = sharing(&world, n, contact.verified()).await;
            assert_eq!(mailed.started(&user, "sms").await.is_ok(), goes, "{number}");
            let _ = mailed.inbox.take_tried();
            enrol(&world, &mailed.engine, &user).await;
            let (sent, given_up) = (u64::from(goes), u64::from(!goes));
            assert_eq!(drain(&mailed.engine).await, [sent, 0, given_up], "{number}");
            assert_eq!(mailed.inbox.take_tried().len(), usize::from(goes), "{number}");
        }
    }

    async fn s20_each_try_of_a_text_message_is_charged_and_a_mail_once(world) {
        let mailed = texting(&world).await;
        let mailbox = "bob@acme.example";
        let bob = reachable("bob", vec![phone(NUMBER), mail(mailbox)]);
        world.directory.put(&bob).await.unwrap();
        enrol(&world, &mailed.engine, &bob).await;
        // Each may have left.
        for address in [NUMBER, mailbox] {
            mailed.inbox.refuse(address, NotDelivered::TimedOut);
        }
        for _ in 0..20 {
            let _ = drain(&mailed.engine).await;
            world.clock.advance(HOUR / 2);
        }
        let tried = mailed.inbox.take_tried();
        let tries = |of: &str| tried.iter().filter(|address| *address == of).count();
        assert_eq!((tries(NUMBER), tries(mailbox)), (10, 12));
        // The mailbox has nine left, the number none: here more than twelve attempts are over, and that is told.
        mailed.inbox.mend();
        for n in 0..10 {
            enrol(&world, &mailed.engine, &sharing(&world, n, mail(mailbox)).await).await;
        }
        assert_eq!(drain(&mailed.engine).await, [9, 1, 0]);
        assert_eq!(world.events_of(Kind::NoticeGivenUp).await.len(), 1);
    }

    async fn s20_spellings_of_one_mailbox_share_its_notices(world) {
        let mailed = texting(&world).await;
        for n in 0..12 {
            let user = sharing(&world, n, mail(&format!("Bob+{n}@Acme.example"))).await;
            enrol(&world, &mailed.engine, &user).await;
        }
        assert_eq!(drain(&mailed.engine).await, [10, 2, 0]);
        // They are sent as they are spelt.
        assert!(mailed.inbox.take_tried().contains(&"Bob+3@Acme.example".to_owned()));
    }

    async fn s20_no_notice_is_sent_where_its_count_cannot_be_trusted(world) {
        let Some(file) = world.file() else { return };
        let mailed = texting(&world).await;
        enrol(&world, &mailed.engine, &sharing(&world, 0, phone(NUMBER)).await).await;
        assert_eq!(drain(&mailed.engine).await, [1, 0, 0]);
        let file = rusqlite::Connection::open(file).unwrap();
        let changed = "UPDATE records SET body = x'00' WHERE kind = 'destination_notices'";
        assert_eq!(file.execute(changed, ()).unwrap(), 1);
        enrol(&world, &mailed.engine, &sharing(&world, 1, phone(NUMBER)).await).await;
        assert_eq!(drain(&mailed.engine).await, [0, 1, 0]);
        assert_eq!(mailed.inbox.take_tried().len(), 1);
    }

    async fn s20_of_two_nodes_at_once_one_sends_the_last_notice_of_the_day(base) {
        let (world, inbox) = base.with_recovery().await;
        let plain = world.node().build().await.unwrap();
        for n in 0..9 {
            enrol(&world, &plain, &sharing(&world, n, phone(NUMBER)).await).await;
        }
        assert_eq!(drain(&world.engine).await, [9, 0, 0]);
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let mut nodes = Vec::new();
        for n in 0..2 {
            enrol(&world, &plain, &sharing(&world, 9 + n, phone(NUMBER)).await).await;
            let node = sending_node_on(&world, gate.clone(), &inbox).notices_by_phone(|_| true);
            nodes.push(node.build().await.unwrap());
        }
        let _ = inbox.take_tried();
        gate.arm_for(RecordKind::new("destination_notices"), 2);
        let drained = race(2, async |n: usize| nodes[n].drain_outbox(1).await.unwrap());
        let sent: u64 = drained.iter().map(|drained| drained.sent).sum();
        let waiting: u64 = drained.iter().map(|drained| drained.waiting).sum();
        assert_eq!((sent, waiting, inbox.take_tried().len()), (1, 1, 1), "{drained:?}");
    }
}
