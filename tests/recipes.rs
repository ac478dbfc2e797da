//! The recipes for hosts in `docs/recipes`: their code is what runs here, and their logs are what it leaves.

#[path = "recipes/locked_out_user.rs"]
mod locked_out_user;
#[path = "recipes/own_methods.rs"]
mod own_methods;
#[path = "recipes/own_methods_run.rs"]
mod own_methods_run;
#[path = "recipes/pages.rs"]
mod pages;
#[path = "recipes/reading_the_audit_log.rs"]
mod reading_the_audit_log;
#[path = "recipes/restored_backup.rs"]
mod restored_backup;
#[path = "recipes/rotating_keys.rs"]
mod rotating_keys;
#[path = "recipes/sms_pumping.rs"]
mod sms_pumping;
#[path = "recipes/trusting_a_device.rs"]
mod trusting_a_device;
#[path = "recipes/upkeep.rs"]
mod upkeep;
#[path = "recipes/upkeep_run.rs"]
mod upkeep_run;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use mfa::audit::{CheckpointKey, Checkpoints, Flaw, Report, Scope, Verifier};
use mfa::sqlite::SqliteStore;
use mfa::*;
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::{STEP, TestHost, login, session, subject, totp};
use mfa_testkit::inbox::Inbox;
use pages::{LOCKED_OUT, PUMPING, READING, RESTORED, ROTATING, TRUSTING};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A service on a database file, with recovery codes.
struct Service {
    host: TestHost,
    inbox: Inbox,
    store: SqliteStore,
}

impl Service {
    async fn open(file: &Path) -> Self {
        let store = SqliteStore::open(file).unwrap();
        let (host, inbox) = TestHost::with_recovery_on(Arc::new(store.clone())).await;
        Self { host, inbox, store }
    }

    async fn bob(&self) -> (Subject, SoftAuthenticator, Vec<String>) {
        let bob = self.host.add_reachable("bob").await;
        let (app, codes) = self.host.enrol_with_recovery(&bob).await;
        (bob, app, codes)
    }

    /// How many events there are.
    async fn place(&self) -> u64 {
        self.store.leaves(0, 10_000).await.unwrap().last().map_or(0, |last| last.place)
    }

    /// The lines of the log of a scope behind a place, in the order of their commits.
    async fn log(&self, scope: &Scope, place: u64) -> Vec<String> {
        let leaves = self.store.leaves(place, 10_000).await.unwrap();
        let events = leaves.iter().map(|leaf| leaf.event.as_ref().unwrap());
        events.filter(|event| event.scope() == scope).map(reading_the_audit_log::line).collect()
    }

    async fn account_log(&self, place: u64) -> Vec<String> {
        self.log(&Scope::Account(mfa_testkit::host::acme()), place).await
    }
}

fn checkpoint_key() -> CheckpointKey {
    CheckpointKey::from_bytes([0x2a; 32]).unwrap()
}

#[test]
fn a_locked_out_user_is_helped_as_the_page_says() {
    use locked_out_user::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, engine) = (&service.host, &service.host.engine);
        let (bob, app, _codes) = service.bob().await;
        let desk = the_desk();

        let challenge = host.begin(&bob).await;
        for _ in 0..5 {
            let _wrong = host.answer(&challenge, &app.wrong_code_at(host.now(), 2)).await;
        }
        assert!(matches!(engine.begin(login(&bob)).await, Ok(Begin::Challenge(c)) if c.method.is_recovery));
        let begun = service.place().await;
        lift_the_delay(engine, &bob, &desk).await.unwrap();
        let challenge = host.begin(&bob).await;
        assert!(matches!(host.answer(&challenge, &app.code_at(host.now())).await, Verify::Verified(_)));
        assert_eq!(service.account_log(begun).await, LOCKED_OUT.log(0));

        let begun = service.place().await;
        let bypass = let_in_once(engine, &bob, &desk).await.unwrap();
        let challenge = host.begin(&bob).await;
        let typed = bypass.code.expose_secret().to_lowercase();
        assert!(matches!(answer(engine, &challenge, &typed).await, Ok(Verify::Verified(_))));
        let challenge = host.begin(&bob).await;
        assert!(matches!(answer(engine, &challenge, &typed).await, Ok(Verify::Rejected(_))));
        let logged = service.account_log(begun).await;
        assert!(logged.starts_with(&LOCKED_OUT.log(1)), "{logged:#?}");

        let begun = service.place().await;
        let invited = start_anew(engine, &bob, &totp(), &desk).await.unwrap();
        assert!(!invited.invitation.expose_secret().is_empty());
        assert_eq!(service.account_log(begun).await, LOCKED_OUT.log(2));
        assert!(matches!(engine.begin(login(&bob)).await, Ok(Begin::NotRequired(NotRequired::NoMethod))));
    });
}

#[test]
fn after_twenty_failures_in_a_day_nothing_lifts_the_wait_and_a_bypass_code_still_lets_in() {
    use locked_out_user::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, engine) = (&service.host, &service.host.engine);
        let (bob, app, _codes) = service.bob().await;
        for _ in 0..20 {
            let challenge = host.begin(&bob).await;
            let wrong = host.answer(&challenge, &app.wrong_code_at(host.now(), 2)).await;
            let Verify::Rejected(Rejected { reason: Reason::WrongCode, .. }) = wrong else {
                panic!("{wrong:?}")
            };
            host.clock.advance(Duration::from_secs(901));
        }
        lift_the_delay(engine, &bob, &the_desk()).await.unwrap();
        let challenge = host.begin(&bob).await;
        let right = host.answer(&challenge, &app.code_at(host.now())).await;
        assert!(matches!(right, Verify::Rejected(_)), "{right:?}");

        let bypass = let_in_once(engine, &bob, &the_desk()).await.unwrap();
        let challenge = host.begin(&bob).await;
        let answered = answer(engine, &challenge, bypass.code.expose_secret()).await;
        assert!(matches!(answered, Ok(Verify::Verified(_))), "{answered:?}");
    });
}

#[test]
fn an_administrators_proof_takes_the_place_of_the_hosts_word() {
    use locked_out_user::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, engine) = (&service.host, &service.host.engine);
        let (bob, _app, _codes) = service.bob().await;
        let alice = subject("alice").with_rank(1);
        host.directory.put(&alice).await.unwrap();
        let (app, _) = host.enrol_with_recovery(&alice).await;

        let Ok(Begin::Challenge(challenge)) = ask_alice(engine, login(&alice), &bob).await else {
            panic!("no challenge")
        };
        let verified = host.answer(&challenge, &app.code_at(host.now())).await;
        let Verify::Proven(proven) = verified else { panic!("{verified:?}") };
        let begun = service.place().await;
        start_anew(engine, &bob, &totp(), &alice_says(proven, &session(&alice))).await.unwrap_err();
        let logged = service.account_log(begun).await;
        assert_eq!(logged, LOCKED_OUT.log(3));
    });
}

#[test]
fn a_restored_backup_serves_nothing_twice() {
    use restored_backup::*;

    let folder = tempfile::tempdir().unwrap();
    let (file, backup) = (folder.path().join("mfa.db"), folder.path().join("noon.db"));
    block_on(async {
        let service = Service::open(&file).await;
        let (bob, app, codes) = service.bob().await;
        service.store.checkpoint(&checkpoint_key(), service.host.now()).await.unwrap();
        let (noon, at_noon) = (service.host.now(), service.place().await);
        drop(service);
        std::fs::copy(&file, &backup).unwrap();

        // After noon, Bob signs in with a code of his app and one of the saved ones.
        let service = Service::open(&file).await;
        service.host.clock.advance(noon.since(service.host.now()));
        let used = app.code_at(noon);
        let challenge = service.host.begin(&bob).await;
        assert!(matches!(service.host.answer(&challenge, &used).await, Verify::Verified(_)));
        let challenge = service.host.begin(&bob).await;
        assert!(matches!(service.host.recover(&challenge, &codes[0]).await, Verify::Verified(_)));
        let kept = service.store.checkpoint(&checkpoint_key(), noon).await.unwrap();
        drop(service);
        std::fs::copy(&backup, &file).unwrap();

        let missing = what_is_missing(&SqliteStore::open(&file).unwrap(), &checkpoint_key(), kept).await;
        assert_eq!(missing.unwrap(), kept.total - at_noon);
        let service = Service::open(&file).await;
        service.host.clock.advance(noon.since(service.host.now()));
        let begun = service.place().await;
        assert_eq!(make_safe(&service.host.engine).await.unwrap(), 1);
        assert_eq!(service.log(&Scope::System, begun).await, RESTORED.log(1));
        assert_eq!(service.account_log(begun).await, RESTORED.log(0));
        let told = service.inbox.take();
        assert!(told.iter().any(|m| m.subject.as_deref() == Some("Your recovery codes must be issued anew")));

        let flaw = async || {
            let verifier = Verifier::new(checkpoint_key()).trusting(kept);
            verifier.read(&service.store).await.unwrap().problem.unwrap().flaw
        };
        assert_eq!(flaw().await, Flaw::CutTail);
        service.store.checkpoint(&checkpoint_key(), noon).await.unwrap();
        assert_eq!(flaw().await, Flaw::NotExtended);

        let challenge = service.host.begin(&bob).await;
        assert!(matches!(service.host.answer(&challenge, &used).await, Verify::Rejected(_)));
        assert!(matches!(service.host.recover(&challenge, &codes[0]).await, Verify::Rejected(_)));
        service.host.clock.advance(STEP * 3);
        let challenge = service.host.begin(&bob).await;
        let fresh = app.code_at(service.host.now());
        assert!(matches!(service.host.answer(&challenge, &fresh).await, Verify::Verified(_)));
    });
}

#[test]
fn keys_are_rotated_while_logins_go_on() {
    use rotating_keys::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, engine) = (&service.host, &service.host.engine);
        let (bob, app, _codes) = service.bob().await;
        let (old, new) = (host.ring.active(), KeyId::parse("2027").unwrap());
        let begun = service.place().await;
        let open = host.begin(&bob).await;

        hand_out(&host.ring, &new, [9; 32]).unwrap();
        write_with(engine, &new).await.unwrap();
        assert!(move_records(engine).await.unwrap().records > 0);
        // Bob's challenge was handed out under the old key.
        assert!(!retire(engine, &old).await.unwrap());
        assert!(matches!(host.answer(&open, &app.code_at(host.now())).await, Verify::Verified(_)));
        host.clock.advance(Duration::from_secs(600));
        assert!(retire(engine, &old).await.unwrap());
        assert_eq!(host.ring.ids(), [new]);
        assert_eq!(service.log(&Scope::System, begun).await, ROTATING.log(0));

        let challenge = host.begin(&bob).await;
        assert!(matches!(host.answer(&challenge, &app.code_at(host.now())).await, Verify::Verified(_)));
    });
}

#[test]
fn a_device_is_trusted_as_the_page_says() {
    use trusting_a_device::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let host = &service.host;
        let engine = host.recovery_node(&service.inbox).policy(policy().unwrap()).build().await.unwrap();
        let (bob, app, _codes) = service.bob().await;
        let _ = engine.drain_outbox(100).await;
        let _ = service.inbox.take();
        let signs_in = async |bob: &Subject, cookie: Option<&str>| {
            host.clock.advance(STEP);
            let Ok(Begin::Challenge(challenge)) = begin(&engine, login(bob), cookie).await else { panic!() };
            let verified = host.answer(&challenge, &app.code_at(host.now())).await;
            let Verify::Verified(grant) = verified else { panic!("{verified:?}") };
            grant
        };

        let begun = service.place().await;
        let grant = signs_in(&bob, None).await;
        let kept = keep(&engine, &grant, &session(&bob), "Bob's laptop").await.unwrap();
        assert_eq!((kept.state, kept.expires_at.since(host.now())), (DeviceState::Trusted, 30 * DAY));
        host.clock.advance(DAY);
        let first = kept.token.expose_secret();
        let Ok(Begin::TrustedDevice(trusted)) = begin(&engine, login(&bob), Some(first)).await else {
            panic!()
        };
        let (aal, next) = let_in(&trusted);
        assert!(aal == Aal::One && next.is_some());
        host.clock.advance(2 * STEP);
        assert!(matches!(begin(&engine, login(&bob), Some(first)).await, Ok(Begin::Challenge(_))));
        assert_eq!(service.account_log(begun).await, TRUSTING.log(0));
        assert!(matches!(begin(&engine, login(&bob), next).await, Ok(Begin::Challenge(_))));
        let _ = engine.drain_outbox(100).await;
        let mut told: Vec<_> =
            service.inbox.take().into_iter().filter_map(|message| message.subject).collect();
        told.sort();
        assert_eq!(told, ["A device is trusted", "A trusted device may have been copied"]);

        // What may not be trusted is known again; a password and a click end the trust.
        let known =
            keep(&host.engine, &signs_in(&bob, None).await, &session(&bob), "Bob's laptop").await.unwrap();
        assert_eq!(known.state, DeviceState::NotTrusted);
        let kept = keep(&engine, &signs_in(&bob, None).await, &session(&bob), "Bob's laptop").await.unwrap();
        let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, None);
        trust_no_more(&engine, &bob, kept.id, password).await.unwrap();
        let cookie = kept.token.expose_secret();
        let kept =
            keep(&engine, &signs_in(&bob, Some(cookie)).await, &session(&bob), "Bob's laptop").await.unwrap();
        let directory = StoredDirectory::new(
            Arc::new(service.store.clone()),
            host.ring.clone(),
            Arc::new(host.clock.clone()),
        );
        let bob = password_changed(&directory, bob).await.unwrap();
        let cookie = kept.token.expose_secret();
        assert!(matches!(begin(&engine, login(&bob), Some(cookie)).await, Ok(Begin::Challenge(_))));
    });
}

#[test]
fn the_log_is_read_and_checked_as_the_page_says() {
    use reading_the_audit_log::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, store) = (&service.host, &service.store);
        let (bob, app, codes) = service.bob().await;
        let kept = fix(store, &checkpoint_key(), host.now()).await.unwrap();
        let begun = service.place().await;
        let challenge = host.begin(&bob).await;
        let _wrong = host.answer(&challenge, &app.wrong_code_at(host.now(), 2)).await;
        assert!(matches!(host.recover(&challenge, &codes[0]).await, Verify::Verified(_)));

        let cursors = host.engine.cursor_key().unwrap();
        let page = of_user(store, &bob, None, &cursors).await.unwrap();
        let newest: Vec<_> = page.events.iter().map(line).collect();
        assert_eq!(service.account_log(begun).await, READING.log(0));
        assert!(READING.log(0).iter().all(|row| newest.contains(row)), "{newest:#?}");
        assert!(page.next.is_none());

        let report = check(store, &checkpoint_key(), &kept).await.unwrap();
        assert!(report.holds() && report.uncovered() > 0, "{report}");
        let newest = fix(store, &checkpoint_key(), host.now()).await.unwrap();
        let report = check(store, &checkpoint_key(), &newest).await.unwrap();
        assert!(report.holds() && report.uncovered() == 0, "{report}");

        let mut exported = Vec::new();
        export(store, &mut exported).await.unwrap();
        assert!(verified(&exported).holds());
        let changed = String::from_utf8(exported).unwrap().replace("wrong_code", "right_code");
        assert_eq!(verified(changed.as_bytes()).problem.unwrap().flaw, Flaw::Changed);
    });
}

fn verified(exported: &[u8]) -> Report {
    let mut verifier = Verifier::new(checkpoint_key());
    audit::export::Reader::new(exported).verify(&mut verifier).unwrap();
    verifier.finish()
}

#[test]
fn whoever_is_paid_by_the_message_is_paid_for_a_few() {
    use delivery::address::{LineType, Phone};
    use sms_pumping::*;

    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let service = Service::open(&folder.path().join("mfa.db")).await;
        let (host, store, inbox) = (&service.host, &service.store, &service.inbox);
        // The carrier knows one German line as a computer's.
        let known = |phone: &Phone| match phone.as_str() {
            "+4915123450000" => LineType::Voip,
            _ => LineType::Unknown,
        };
        let stopped = Stopped::default();
        let asked = stopped.clone();
        let numbers = numbers(&["DE", "AT"], move |phone| asked.line_type(phone, known(phone))).unwrap();
        let node =
            guarded(host.node().transport(Arc::new(inbox.clone())), mfa_tests::mailed::texts(), numbers, 30)
                .unwrap();
        let policy = Policy::recommended().with_document(&serde_json::json!({"offered": ["sms"]})).unwrap();
        let engine = node.policy(policy).build().await.unwrap();
        let sms = ProviderName::parse("sms").unwrap();
        let signed_up = async |n: usize, number: &str| {
            let phone = Contact::phone(number).unwrap().verified();
            let user = subject(&format!("user{n}")).with_contacts(vec![phone]).unwrap();
            host.directory.put(&user).await.unwrap();
            let by = Authority::host_vouched("sign-up", "a new user");
            let none = Choice::none();
            engine
                .enrol_begin(user.account(), user.user(), &sms, &none, &by)
                .await
                .map_err(|error| error.code())
        };
        // An ordinary day.
        let morning = host.now();
        for n in 0..4 {
            let started = signed_up(n, &format!("+4917012345{n:02}")).await.unwrap();
            let code = mfa_tests::mailed::code_in(&inbox.take().pop().unwrap().body);
            let confirmed = engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        }
        let counted =
            async || traffic(store, &mfa_testkit::host::acme(), (morning, host.now())).await.unwrap();
        let ordinary = counted().await;
        assert_eq!((ordinary.len(), ordinary["+4917"].sent, ordinary["+4917"].answered), (1, 4, 4));
        assert!(!ordinary["+4917"].is_pumped());
        assert_eq!(engine.drain_outbox(10).await.unwrap().sent, 4, "each is told that a method was added");
        let _ = inbox.take();

        // Numbers elsewhere, of services and of computers get nothing.
        for (n, number) in
            ["+12025550123", "+88213123456", "+499001234567", "+4915123450000"].iter().enumerate()
        {
            assert_eq!(signed_up(10 + n, number).await.unwrap_err(), "method_not_offered");
        }
        // Numbers of the right kind get thirty in all: the account's.
        let begun = service.place().await;
        let mut refused = 0;
        for n in 0..40 {
            refused += u32::from(signed_up(100 + n, &format!("+4366412345{n:02}")).await.is_err());
        }
        assert_eq!(refused, 14);
        let log = service.account_log(begun).await;
        assert!(log.ends_with(&PUMPING.log(0)), "{log:#?}");
        let later = counted().await;
        let pumped = &later["+4366"];
        assert_eq!((pumped.sent, pumped.answered, pumped.withheld["account"]), (26, 0, 14));
        assert!(pumped.is_pumped() && later["+4917"] == ordinary["+4917"]);

        // Stopped, it gets nothing the next day either, and others do.
        stopped.stop("+4366");
        host.clock.advance(DAY + Duration::from_secs(3600));
        assert_eq!(signed_up(200, "+436641234599").await.unwrap_err(), "method_not_offered");
        assert!(signed_up(201, "+491701234599").await.is_ok());
    });
}
