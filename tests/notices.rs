//! S30: notices reach whom they are for, and say nothing that somebody else wrote. S20: equal ones are merged.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use audit_model::export::to_line;
use futures::executor::block_on;
use mfa::{
    Authority, Begin, Channel, Choice, Contact, Drained, Engine, EnrolConfirm, Intent, NoticeKind, Policy,
    Reason, RecoveryForm, Rejected, RequestFacts, Response, SecretText, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::recovery;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_testkit::runtime::VirtualRuntime;
use mfa_testkit::scripted::{On, Say};
use mfa_tests::acting::refused;
use mfa_tests::devices::session_of;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::notified::{Elsewhere, arrived, mail, reachable};
use mfa_tests::probe::{meet, nodes_behind_a_gate};
use mfa_tests::rights::{exempting, exemption};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, begin, host, login, on_stores, session, totp};
use proptest::prelude::*;
use serde_json::json;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What a user is told besides what the change is about.
const BESIDES: &[(NoticeKind, &[NoticeKind])] = &[
    (NoticeKind::FraudReported, &[NoticeKind::MethodAdded, NoticeKind::WrongSecondStep]),
    (NoticeKind::LetIn, &[NoticeKind::MethodAdded]),
    (NoticeKind::DeviceReused, &[NoticeKind::DeviceTrusted]),
];

/// Lets happen to `user`, who has an app and recovery codes, what `kind` tells.
async fn let_happen(
    kind: NoticeKind,
    world: &World,
    inbox: &Inbox,
    user: &Subject,
    (app, codes): &(SoftAuthenticator, Vec<String>),
) {
    let (account, id, engine) = (user.account(), user.user(), &world.engine);
    match kind {
        NoticeKind::MethodAdded => drop(world.enrol_again(user).await),
        NoticeKind::MethodRemoved => {
            engine.method_remove(account, id, &"totp".parse().unwrap(), &host()).await.unwrap();
        }
        NoticeKind::Locked => {
            for _ in 0..5 {
                let _ = world.answer(&world.begin(user).await, &wrong_code(app, world.now())).await;
            }
        }
        NoticeKind::RecoveryUsed => {
            let verified = world.recover(&world.begin(user).await, &codes[0]).await;
            assert!(matches!(verified, Verify::Verified(_)));
        }
        NoticeKind::RecoveryIssued => {
            engine.recovery_issue(account, id, RecoveryForm::Codes, &host()).await.unwrap();
        }
        NoticeKind::ReplaySeen => replay(world, engine, user, app).await,
        NoticeKind::WrongSecondStep => {
            let policy = Policy::recommended().with_document(&json!({ "attempts": 3 })).unwrap();
            let strict = world.recovery_node(inbox).policy(policy).build().await.unwrap();
            let challenge = begin(&strict, user).await;
            for _ in 0..3 {
                let _ = world.answer(&challenge, &wrong_code(app, world.now())).await;
            }
        }
        NoticeKind::Disabled => engine.disable(account, id, &host()).await.unwrap(),
        NoticeKind::Reset => engine.user_reset(account, id, &host()).await.unwrap(),
        NoticeKind::BypassIssued => drop(engine.bypass_issue(account, id, HOUR, &host()).await.unwrap()),
        NoticeKind::Unlocked => engine.user_unlock(account, id, &host()).await.unwrap(),
        NoticeKind::FraudReported => {
            engine.user_reset(account, id, &host()).await.unwrap();
            let _ = arrived(engine, inbox).await;
            let provider = scripted(Vec::new());
            provider.on(On::Answer("666666".to_owned()), Say::Reject(Reason::Fraud));
            let pushing = world.node().provider(provider).build().await.unwrap();
            world.clock.advance(HOUR);
            enrol_in(&pushing, user, "scripted", SCRIPTED_CODE).await;
            let challenge = begin(&pushing, user).await;
            let answer = pushing.verify(&challenge.reference, Response::code("666666")).await.unwrap();
            assert_eq!(refused(answer).reason, Reason::Fraud);
        }
        NoticeKind::LetIn => {
            engine.user_reset(account, id, &host()).await.unwrap();
            let _ = arrived(engine, inbox).await;
            let provider = scripted(Vec::new());
            provider.on(On::Poll, Say::Unproven(mfa::Unproven::Unreachable));
            let node = world.node().provider(provider).danger_fail_open(1).build().await.unwrap();
            world.clock.advance(HOUR);
            enrol_in(&node, user, "scripted", SCRIPTED_CODE).await;
            let challenge = begin(&node, user).await;
            let polled = node.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert!(matches!(polled, Verify::NotRequired(_)), "{polled:?}");
        }
        NoticeKind::Forgotten => {
            let proof = world.prove(user, app, &Intent::forget(user)).await;
            let by = Authority::proof(proof, Some(&session(user)));
            engine.forget_user(account, id, &by).await.unwrap();
        }
        NoticeKind::RecoveryVoid => {
            // Where every provider is that any user has.
            let node = world.recovery_node(inbox).provider(scripted(Vec::new())).build().await.unwrap();
            node.restore_barrier("ops", "a backup").await.unwrap();
        }
        NoticeKind::DeviceTrusted => drop(trust(world, user, app).await),
        NoticeKind::DeviceReused => {
            let copied = trust(world, user, app).await;
            let trusted = world.engine.begin(login(user).with_device(copied.clone())).await.unwrap();
            assert!(matches!(trusted, Begin::Challenge(_)), "the first node trusts none");
            let node = trusting(world).await;
            let trusted = node.begin(login(user).with_device(copied.clone())).await.unwrap();
            assert!(matches!(trusted, Begin::TrustedDevice(_)), "{trusted:?}");
            world.clock.advance(Duration::from_secs(40));
            let _ = node.begin(login(user).with_device(copied)).await.unwrap();
        }
        NoticeKind::Exempted => {
            let node = world.node().policy(exempting()).build().await.unwrap();
            drop(node.exemption_grant(account, id, &exemption(), &host()).await.unwrap());
        }
        other => panic!("{other} has no row"),
    }
}

async fn trusting(world: &World) -> Engine {
    let policy = Policy::recommended().with_document(&json!({ "trust": true })).unwrap();
    world.node().policy(policy).build().await.unwrap()
}

/// Logs in, and trusts the device.
async fn trust(world: &World, user: &Subject, app: &SoftAuthenticator) -> mfa::DeviceToken {
    let verified = world.answer(&world.begin(user).await, &app.code_at(world.now())).await;
    let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
    trusting(world).await.device_trust(&grant, Some(&session_of(&grant)), "a device").await.unwrap().token
}

/// Logs in, and gives the code once more.
async fn replay(world: &World, engine: &Engine, user: &Subject, app: &SoftAuthenticator) {
    let code = app.code_at(world.now());
    let _ = world.answer(&world.begin(user).await, &code).await;
    let again = begin(engine, user).await;
    let again = engine.verify(&again.reference, Response::code(&code)).await.unwrap();
    assert_eq!(refused(again).reason, Reason::Replayed);
}

on_stores! {
    async fn a_node_that_cannot_send_does_not_say_that_nothing_waits(base) {
        let (world, inbox) = base.with_recovery().await;
        let silent = world.node().provider(recovery()).build().await.unwrap();
        assert_eq!(silent.drain_outbox(10).await.unwrap(), Drained::default());
        let bob = world.add_reachable("bob").await;
        world.enrol_with_recovery(&bob).await;
        assert_eq!(silent.drain_outbox(10).await.unwrap_err().code(), "unavailable");
        world.engine.drain_outbox(10).await.unwrap();
        assert!(!inbox.take().is_empty());
        assert_eq!(silent.drain_outbox(10).await.unwrap(), Drained::default());
    }

    async fn s30_each_kind_of_notice_is_written_by_what_it_names(base) {
        let (world, inbox) = base.with_recovery().await;
        let plain = world.node().build().await.unwrap();
        let of_recovery = [NoticeKind::RecoveryUsed, NoticeKind::RecoveryIssued, NoticeKind::RecoveryVoid];
        for &kind in NoticeKind::ALL {
            let name = kind.code();
            let user = world.add_reachable(name).await;
            // Recovery codes are slow to make: only who needs them has some.
            let held = if of_recovery.contains(&kind) {
                world.enrol_with_recovery(&user).await
            } else {
                (enrol(&world, &plain, &user).await, Vec::new())
            };
            let added = NoticeKind::MethodAdded.subject().to_owned();
            let address = format!("{name}@acme.example");
            assert_eq!(arrived(&world.engine, &inbox).await, [(address.clone(), added)]);
            // The next hour, as another method may be added.
            world.clock.advance(HOUR);
            let_happen(kind, &world, &inbox, &user, &held).await;
            let told = arrived(&world.engine, &inbox).await.into_iter().filter(|(to, _)| *to == address);
            let told: Vec<_> = told.map(|(_, subject)| subject).collect();
            let besides = BESIDES.iter().find(|(of, _)| *of == kind).map_or(&[][..], |(_, besides)| *besides);
            let mut expected: Vec<_> = [&[kind], besides].concat().iter().map(|k| k.subject()).collect();
            expected.sort_unstable();
            assert_eq!(told, expected, "{kind}");
        }
    }

    async fn s30_the_contacts_are_those_of_the_change_not_of_the_sending(base) {
        let (world, inbox) = base.with_recovery().await;
        let engine = &world.engine;
        let unverified = Contact::email("unverified@acme.example").unwrap();
        let phone = Contact::phone("+491701234567").unwrap().verified();
        let old = reachable("bob", vec![mail("old@acme.example"), phone, unverified.clone()]);
        world.directory.put(&old).await.unwrap();
        let _ = world.enrol_with_recovery(&old).await;
        let _ = arrived(engine, &inbox).await;
        engine.user_reset(old.account(), old.user(), &host()).await.unwrap();
        // The mail is changed and the telephone removed, before the notice leaves.
        let new = reachable("bob", vec![mail("new@acme.example"), unverified]);
        world.directory.put(&new).await.unwrap();
        let (subject, text) = (NoticeKind::Reset.subject(), NoticeKind::Reset.text());
        assert_eq!(engine.drain_outbox(10).await.unwrap().sent, 1);
        let mut messages = inbox.take();
        messages.sort_by(|a, b| a.to.cmp(&b.to));
        let told: Vec<_> = messages.iter().map(|m| (m.to.as_str(), m.channel, m.subject.as_deref())).collect();
        let by_mail = ("old@acme.example", Channel::Email, Some(subject));
        assert_eq!(told, [("+491701234567", Channel::Phone, None), by_mail]);
        assert!(messages.iter().all(|message| message.body == text));
        // What happens from now on is told to the new one.
        world.clock.advance(HOUR);
        let _ = world.enrol_with_recovery(&new).await;
        let added = NoticeKind::MethodAdded.subject().to_owned();
        assert_eq!(arrived(engine, &inbox).await, [("new@acme.example".to_owned(), added)]);
    }

    async fn s30_what_happens_to_a_login_is_told_to_the_contacts_it_began_with(base) {
        let (world, inbox) = base.with_recovery().await;
        let unverified = Contact::email("unverified@acme.example").unwrap();
        let old = reachable("bob", vec![mail("old@acme.example"), unverified]);
        world.directory.put(&old).await.unwrap();
        let (app, codes) = world.enrol_with_recovery(&old).await;
        let _ = arrived(&world.engine, &inbox).await;
        let challenge = world.begin(&old).await;
        // Whoever has taken the account over changes the contact first, and comes in by a recovery code.
        let new = reachable("bob", vec![mail("new@evil.example")]);
        world.directory.put(&new).await.unwrap();
        assert!(matches!(world.recover(&challenge, &codes[0]).await, Verify::Verified(_)));
        let used = NoticeKind::RecoveryUsed.subject().to_owned();
        assert_eq!(arrived(&world.engine, &inbox).await, [("old@acme.example".to_owned(), used)]);
        // A challenge that began with the new one tells the new one, and nobody where none is verified.
        let only_unverified = reachable("bob", vec![Contact::email("unverified@acme.example").unwrap()]);
        for (subject, expected) in [(only_unverified, 0), (new, 1)] {
            replay(&world, &world.engine, &subject, &app).await;
            assert_eq!(arrived(&world.engine, &inbox).await.len(), expected);
            world.clock.advance(STEP);
        }
    }

    async fn s30_addresses_are_in_no_event_no_debug_no_trace_and_not_in_clear_in_the_file(base) {
        watch();
        let (users, inbox) = (Elsewhere::default(), Inbox::new());
        let engine = users.node(&base, &inbox).build().await.unwrap();
        let number = "+4917098765432";
        let contacts = vec![mail("secret-place@acme.example"), Contact::phone(number).unwrap().verified()];
        let bob = reachable("bob", contacts);
        users.put(&bob);
        let mut shown = format!("{bob:?} {:?} {engine:?}", bob.contacts());
        let app = enrol(&base, &engine, &bob).await;
        replay(&base, &engine, &bob, &app).await;
        writeln!(shown, "{:?}", begin(&engine, &bob).await).unwrap();
        // While the notices wait, and once they are sent.
        for waiting in [true, false] {
            if !waiting {
                inbox.refuse(number, mfa::NotDelivered::Permanent);
                writeln!(shown, "{:?}", engine.drain_outbox(10).await).unwrap();
                assert_eq!(base.events_of(mfa::audit::Kind::NoticeGivenUp).await.len(), 2);
            }
            for event in base.events().await {
                writeln!(shown, "{event:?} {}", to_line(&event).unwrap()).unwrap();
            }
            let Some(file) = base.file() else { continue };
            let mut seen = false;
            for name in ["mfa.db", "mfa.db-wal"] {
                let bytes = std::fs::read(file.with_file_name(name)).unwrap();
                let holds = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
                seen |= holds("user_auth");
                assert!(!holds("secret-place") && !holds("98765432"), "{name}");
            }
            assert!(seen, "the search finds what is there");
        }
        let message = inbox.take();
        assert_eq!(message.len(), 2);
        writeln!(shown, "{message:?} {inbox:?}").unwrap();
        let traced = TRACED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        assert!(traced.contains("mfa.verify") && shown.contains("notice_given_up"));
        for text in [shown, traced] {
            assert!(!text.contains("secret-place") && !text.contains("98765432"));
        }
    }

    async fn s20_a_storm_of_wrong_codes_is_few_messages(base) {
        let (world, inbox) = (base, Inbox::new());
        let bob = world.add_reachable("bob").await;
        let app = world.enrol_again(&bob).await;
        // Each wrong code ends its challenge.
        let policy = Policy::recommended().with_document(&json!({ "attempts": 1 })).unwrap();
        let mut engines = Vec::new();
        for _ in 0..3 {
            let node = world.node().transport(Arc::new(inbox.clone())).policy(policy.clone());
            engines.push(node.build().await.unwrap());
        }
        world.clock.advance(HOUR);
        let _ = arrived(&engines[0], &inbox).await;
        let mut challenge = begin(&engines[0], &bob).await;
        let mut wrong = String::new();
        let mut told: BTreeMap<String, usize> = BTreeMap::new();
        for n in 0..1_000 {
            let engine = &engines[n % 3];
            if n % 10 == 0 {
                wrong = wrong_code(&app, world.now());
                for (_, subject) in arrived(&engines[(n + 1) % 3], &inbox).await {
                    *told.entry(subject).or_default() += 1;
                }
            }
            if let Ok(Begin::Challenge(another)) = engine.begin(login(&bob)).await {
                challenge = another;
            }
            let _ = engine.verify(&challenge.reference, Response::code(&wrong)).await.unwrap();
            world.clock.advance(Duration::from_secs(3));
        }
        let ended = world.events_of(mfa::audit::Kind::ChallengeEnded).await;
        assert!(ended.len() > 8, "{}", ended.len());
        let once = |kind: NoticeKind| (kind.subject().to_owned(), 1);
        let expected = BTreeMap::from([NoticeKind::Locked, NoticeKind::WrongSecondStep].map(once));
        assert_eq!(told, expected);
    }

    async fn s20_equal_notices_of_racing_nodes_are_one_until_the_next_hour(base) {
        let (world, inbox) = base.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, _) = world.enrol_with_recovery(&bob).await;
        let _ = arrived(&world.engine, &inbox).await;
        let (gate, nodes) = nodes_behind_a_gate(&world, 4).await;
        let seen = NoticeKind::ReplaySeen.subject().to_owned();
        for (wait, messages) in [(Duration::ZERO, 1), (STEP, 0), (HOUR, 1)] {
            world.clock.advance(wait);
            let code = app.code_at(world.now());
            let _ = world.answer(&world.begin(&bob).await, &code).await;
            let mut challenges = Vec::new();
            for _ in &nodes {
                challenges.push(world.begin(&bob).await);
            }
            meet(&gate, nodes.len());
            let replays = race(nodes.len(), async |i: usize| {
                nodes[i].verify(&challenges[i].reference, Response::code(&code)).await.unwrap()
            });
            for replay in replays {
                assert!(matches!(replay, Verify::Rejected(Rejected { reason: Reason::Replayed, .. })));
            }
            let told = arrived(&world.engine, &inbox).await;
            assert_eq!(told, vec![("bob@acme.example".to_owned(), seen.clone()); messages], "after {wait:?}");
        }
    }

    async fn s20_nodes_on_both_sides_of_the_hour_tell_once(base) {
        let (world, inbox) = base.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, _) = world.enrol_with_recovery(&bob).await;
        let _ = arrived(&world.engine, &inbox).await;
        let to_the_hour = Duration::from_secs(3600 - world.now().unix_seconds() % 3600);
        world.clock.advance(to_the_hour + Duration::from_secs(10));
        let behind = VirtualRuntime::new(world.now().minus(Duration::from_secs(20)));
        let other = world.node_at(&behind).build().await.unwrap();
        let code = app.code_at(world.now());
        let _ = world.answer(&world.begin(&bob).await, &code).await;
        let mut told = Vec::new();
        for engine in [&world.engine, &other, &world.engine, &other] {
            let again = begin(engine, &bob).await;
            let again = engine.verify(&again.reference, Response::code(&code)).await.unwrap();
            assert_eq!(refused(again).reason, Reason::Replayed);
            told.extend(arrived(&world.engine, &inbox).await);
        }
        assert_eq!(told.len(), 1, "{told:?}");
    }

    async fn s20_other_kinds_and_other_users_are_not_merged(base) {
        let (world, inbox) = base.with_recovery().await;
        let mut expected = Vec::new();
        let mut ids = Vec::new();
        for name in ["bob", "carol"] {
            let user = world.add_reachable(name).await;
            let _ = world.enrol_with_recovery(&user).await;
            world.engine.user_unlock(user.account(), user.user(), &host()).await.unwrap();
            world.engine.user_reset(user.account(), user.user(), &host()).await.unwrap();
            for kind in [NoticeKind::MethodAdded, NoticeKind::Unlocked, NoticeKind::Reset] {
                expected.push((format!("{name}@acme.example"), kind.subject().to_owned()));
            }
        }
        world.engine.drain_outbox(100).await.unwrap();
        let messages = inbox.take();
        let mut told: Vec<_> =
            messages.iter().map(|m| (m.to.clone(), m.subject.clone().unwrap())).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected);
        ids.extend(messages.iter().map(|message| message.id.clone().unwrap()));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 6, "each under an id of its own");
    }
}

async fn enrol(world: &World, engine: &Engine, user: &Subject) -> SoftAuthenticator {
    let begun = engine.enrol_begin(user.account(), user.user(), &totp(), &Choice::none(), &host()).await;
    let started = begun.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(world.now()));
    let shown = engine.enrol_confirm(&started.reference, &code).await.unwrap();
    if let EnrolConfirm::RecoveryShown(_) = shown {
        let confirmed = engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
    }
    world.clock.advance(STEP);
    app
}

#[test]
fn s30_the_texts_hold_no_link_no_gap_to_fill_and_a_way_to_repudiate() {
    for kind in NoticeKind::ALL {
        let (subject, text) = (kind.subject(), kind.text());
        let whole = format!("{subject}\n{text}").to_lowercase();
        for part in ["http", "://", "www.", "@", "{", "}", "%", "<", ">", "click", "link", "reply to"] {
            assert!(!whole.contains(part), "{kind} holds {part:?}");
        }
        assert!(subject.len() <= 78 && !subject.contains(['\r', '\n']), "{kind}: RFC 5322 section 2.1.1");
        for part in ["If this was not you", "change your password", "site's support"] {
            assert!(text.contains(part), "{kind} lacks {part:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn s30_nothing_that_somebody_typed_is_in_a_message(
        label in "http://evil[a-z0-9./?=&%{}$-]{0,40}",
        reason in "http://evil[ -~]{0,60}",
        local in "[a-z]{1,8}",
    ) {
        block_on(async {
            let (world, inbox) = (World::memory().await, Inbox::new());
            let engine = world.node().transport(Arc::new(inbox.clone())).build().await.unwrap();
            let address = format!("http://evil/{local}@evil.example");
            let bob = reachable("evil-bob", vec![mail(&address)]);
            // An authenticator app takes no label with a colon.
            let labelled = |label: &str| bob.clone().with_label(label).unwrap();
            world.directory.put(&labelled(&label.replace(':', ""))).await.unwrap();
            let _ = enrol(&world, &engine, &bob).await;
            world.directory.put(&labelled(&label)).await.unwrap();
            let vouched = Authority::host_vouched(&label, &reason);
            engine.user_unlock(bob.account(), bob.user(), &vouched).await.unwrap();
            engine.bypass_issue(bob.account(), bob.user(), DAY, &vouched).await.unwrap();
            engine.user_reset(bob.account(), bob.user(), &vouched).await.unwrap();
            engine.drain_outbox(10).await.unwrap();
            let messages = inbox.take();
            assert_eq!(messages.len(), 4);
            for message in messages {
                assert_eq!(message.to, address);
                let subject = message.subject.unwrap();
                assert!(NoticeKind::ALL.iter().any(|k| k.subject() == subject && k.text() == message.body));
                let written = format!("{subject} {} {}", message.body, message.id.unwrap());
                assert!(!written.contains("evil") && !written.contains("http"), "{written}");
            }
        });
    }
}

#[test]
fn s30_a_message_shows_neither_its_address_nor_its_text() {
    let to = SecretText::new("secret-place@acme.example");
    let message = mfa::Message::new(to, Some("a subject".to_owned()), SecretText::new("code 246810"));
    let shown = format!("{message:?}");
    assert!(!shown.contains("secret-place") && !shown.contains("246810"), "{shown}");
}

/// Everything that was traced, by every thread, at every level.
static TRACED: Mutex<String> = Mutex::new(String::new());

fn watch() {
    let _ = tracing::subscriber::set_global_default(Everything);
}

struct Everything;

struct Line<'a>(&'a mut String);

impl tracing::field::Visit for Line<'_> {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        writeln!(self.0, "{field}={value:?}").unwrap();
    }
}

impl tracing::Subscriber for Everything {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut traced = TRACED.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(traced, "span {}", span.metadata().name()).unwrap();
        span.record(&mut Line(&mut traced));
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        values.record(&mut Line(&mut TRACED.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Line(&mut TRACED.lock().unwrap_or_else(PoisonError::into_inner)));
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}
