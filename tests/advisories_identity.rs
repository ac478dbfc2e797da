//! Whose code, whose reference, whose grant: T5 and T15.

use std::sync::Arc;
use std::time::Duration;

use mfa::{
    AccountId, Begin, Changed, Choice, Descriptor, Engine, EnrolConfirm, GrantMismatch, KeyId, KeyRing,
    MemoryStore, MethodSelector, NotRequired, ProviderName, Reason, Reference, Response, StoredDirectory,
    Subject, Target, UserId, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::probe::{answer, refusal};
use mfa_tests::{STEP, World, begin, host, login, on_stores, session, totp};

on_stores! {
    // CVE-2025-64175. Nine users whose ids are each other's ids, prefixes and concatenations.
    async fn t05_no_users_code_is_right_for_another(world) {
        let users = users(&world).await;
        for shift in 1..users.len() {
            world.clock.advance(STEP);
            for (n, (subject, app)) in users.iter().enumerate() {
                let (_, foreign) = &users[(n + shift) % users.len()];
                let own = app.code_at(world.now());
                let challenge = world.begin(subject).await;
                let theirs = foreign.code_at(world.now());
                let refused = answer(&world.engine, &challenge, &theirs).await;
                assert_eq!(refused, Some(Reason::WrongCode), "{shift} {subject:?}");
                let Verify::Verified(grant) = world.answer(&challenge, &own).await else { panic!("{subject:?}") };
                assert_eq!((grant.account(), grant.user()), (subject.account(), subject.user()));
                let (other, _) = &users[(n + shift) % users.len()];
                let to_other = grant.redeem(other.account(), other.user(), Some(&session(other)), world.now());
                assert!(to_other.is_err(), "{subject:?} {other:?}");
            }
        }
    }

    async fn t05_no_users_challenge_or_enrolment_is_found_by_another(world) {
        let users = users(&world).await;
        let shared_session = |subject: &Subject| {
            let first = mfa::FirstFactor::verified_now(
                mfa::FirstFactorKind::Password, mfa::Channel::Direct, Some("one session id"));
            mfa::Login::new(subject.clone(), first, mfa::Module::parse("user_auth").unwrap())
        };
        for (n, (subject, app)) in users.iter().enumerate() {
            let Begin::Challenge(challenge) = world.engine.begin(shared_session(subject)).await.unwrap() else {
                panic!("no challenge")
            };
            for (other, _) in users.iter().skip(n + 1) {
                // Nobody who comes later has begun anything yet, in whatever session.
                let target = Target::Current(Box::new(shared_session(other)));
                let right = Response::code(&app.code_at(world.now()));
                let found = refusal(world.engine.verify(target, right).await.unwrap());
                assert_eq!(found, Some(Reason::NotFound), "{subject:?} {other:?}");
                let status = world.engine.status(other.account(), challenge.id).await.unwrap();
                assert_eq!(status.is_some(), other.account() == subject.account());
            }
            let target = Target::Current(Box::new(shared_session(subject)));
            let right = Response::code(&app.code_at(world.now()));
            assert_eq!(refusal(world.engine.verify(target, right).await.unwrap()), None);
        }
    }

    async fn t05_a_reference_that_was_changed_anywhere_is_unknown_and_costs_nothing(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let right = app.code_at(world.now());
        let text = challenge.reference.expose_secret().to_owned();
        let before = world.events().await.len();
        for at in 0..text.len() {
            let swapped = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = text.clone();
            changed.replace_range(at..=at, swapped);
            expect_unknown(&world.engine, changed, &right).await;
        }
        for changed in [String::new(), format!("{text}A"), text[1..].to_owned(), format!(" {text}")] {
            expect_unknown(&world.engine, changed, &right).await;
        }
        let foreign = foreign_reference(&world, &bob).await;
        expect_unknown(&world.engine, foreign, &right).await;
        assert_eq!(world.events().await.len(), before);
        assert_eq!(answer(&world.engine, &challenge, &right).await, None);
    }

    async fn t05_references_of_one_kind_are_unknown_as_the_other(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let started = enrol(&world, &bob).await;
        let right = Response::code(&app.code_at(world.now()));
        let login = world.engine.verify(&started.1, right.clone()).await.unwrap();
        assert_eq!(refusal(login), Some(Reason::NotFound));
        let confirmed = world.engine.enrol_confirm(&challenge.reference, &right).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Rejected(r) if r.reason == Reason::NotFound));
        // The right code of another enrolment confirms nothing either.
        let confirmed = world.engine.enrol_confirm(&started.1, &right).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
    }

    // GHSA-xg6x-h9c9-2m83.
    async fn t15_a_grant_is_worth_nothing_for_any_other_login(world) {
        let (bob, app) = world.enrol("bob").await;
        let (acme, globex) = (bob.account(), AccountId::parse("globex").unwrap());
        let (ann, own) = (UserId::parse("ann").unwrap(), session(&bob));
        let redeem = async |account: &AccountId, user: &UserId, session: Option<&str>, late: u64| {
            world.clock.advance(STEP * 2);
            let Verify::Verified(grant) = world.answer(&world.begin(&bob).await, &app.code_at(world.now())).await
            else { panic!("refused") };
            grant.redeem(account, user, session, world.now().plus(Duration::from_secs(late)))
        };
        let user = bob.user();
        assert_eq!(redeem(&globex, user, Some(&own), 0).await.unwrap_err(), GrantMismatch::Account);
        assert_eq!(redeem(acme, &ann, Some(&own), 0).await.unwrap_err(), GrantMismatch::User);
        assert_eq!(redeem(acme, user, Some("another"), 0).await.unwrap_err(), GrantMismatch::Session);
        assert_eq!(redeem(acme, user, Some(""), 0).await.unwrap_err(), GrantMismatch::Session);
        assert_eq!(redeem(acme, user, None, 0).await.unwrap_err(), GrantMismatch::Session);
        assert_eq!(redeem(acme, user, Some(&own), 60).await.unwrap_err(), GrantMismatch::Expired);
        assert_eq!(redeem(acme, user, Some(&own), 3600).await.unwrap_err(), GrantMismatch::Expired);
        let redeemed = redeem(acme, user, Some(&own), 59).await.unwrap();
        assert_eq!((&redeemed.account, &redeemed.user, redeemed.aal().number()), (acme, user, 2));
    }

    async fn t15_a_login_without_a_session_gives_a_grant_for_no_session(world) {
        let (bob, app) = world.enrol("bob").await;
        let first = mfa::FirstFactor::verified_now(mfa::FirstFactorKind::Password, mfa::Channel::Direct, None);
        let login = mfa::Login::new(bob.clone(), first, mfa::Module::parse("user_auth").unwrap());
        let Begin::Challenge(challenge) = world.engine.begin(login).await.unwrap() else { panic!("no challenge") };
        let Verify::Verified(grant) = world.answer(&challenge, &app.code_at(world.now())).await else {
            panic!("refused")
        };
        let given = grant.redeem(bob.account(), bob.user(), Some("a session"), world.now());
        assert_eq!(given.unwrap_err(), GrantMismatch::Session);
    }

    // Nothing that a host holds before the right answer is ever turned into a grant.
    async fn t15_what_is_pending_yields_no_grant_by_any_other_call(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let reference = &challenge.reference;
        let engine = &world.engine;
        let tries = [
            engine.claim(reference).await.unwrap(),
            engine.verify(reference, Response::poll()).await.unwrap(),
            engine.verify(reference, Response::start(Choice::none())).await.unwrap(),
            engine.verify(Target::Current(Box::new(login(&bob))), Response::poll()).await.unwrap(),
        ];
        for answered in tries {
            assert!(matches!(answered, Verify::Pending(_)), "{answered:?}");
        }
        let switched = engine.switch(reference, &MethodSelector::Provider(totp())).await.unwrap();
        assert!(matches!(switched, Changed::Done(_)));
        assert!(!engine.status(bob.account(), challenge.id).await.unwrap().unwrap().status.is_terminal());
        assert_eq!(answer(engine, &challenge, &app.code_at(world.now())).await, None);
        assert_eq!(refusal(engine.claim(reference).await.unwrap()), Some(Reason::AlreadyUsed));
    }

    async fn t15_a_login_that_needed_nothing_opens_nothing_later(world) {
        let carol = world.add("carol").await;
        let begun = world.engine.begin(login(&carol)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)));
        let app = world.enrol_again(&carol).await;
        // That login left no challenge behind that a code could complete.
        let target = Target::Current(Box::new(login(&carol)));
        let verified = world.engine.verify(target, Response::code(&app.code_at(world.now()))).await.unwrap();
        assert_eq!(refusal(verified), Some(Reason::NotFound));
    }

    // A challenge that is completed elsewhere gives its grant to the reference's holder, once, and to no poll.
    async fn t15_a_challenge_completed_elsewhere_is_granted_once_and_only_to_its_holder(world) {
        let name = ProviderName::parse("scripted").unwrap();
        let push = ScriptedProvider::new("scripted").described_as(Descriptor::one_time_code(name.clone(), 20));
        push.on(On::Answer("123456".to_owned()), Say::Accept);
        let engine = world.node().provider(push.clone()).build().await.unwrap();
        let bob = world.add("bob").await;
        let (account, user) = (bob.account(), bob.user());
        let started = engine.enrol_begin(account, user, &name, &Choice::none(), &host()).await.unwrap();
        let confirmed = engine.enrol_confirm(&started.reference, &Response::code("123456")).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
        let (challenge, other) = (begin(&engine, &bob).await, begin(&engine, &bob).await);
        push.on(On::Poll, Say::Accept);
        for _ in 0..5 {
            let polled = engine.verify(&challenge.reference, Response::poll()).await.unwrap();
            assert!(matches!(polled, Verify::Pending(_)), "{polled:?}");
        }
        push.on(On::Poll, Say::Wait(serde_json::Value::Null));
        let not_this_one = engine.claim(&other.reference).await.unwrap();
        assert!(matches!(not_this_one, Verify::Pending(_)), "{not_this_one:?}");
        let Verify::Verified(grant) = engine.claim(&challenge.reference).await.unwrap() else { panic!("no grant") };
        assert_eq!(grant.challenge(), challenge.id);
        assert_eq!(refusal(engine.claim(&challenge.reference).await.unwrap()), Some(Reason::AlreadyUsed));
    }
}

async fn users(world: &World) -> Vec<(Subject, SoftAuthenticator)> {
    let mut users = Vec::new();
    for account in ["a", "ab", "a:b"] {
        for user in ["b", "bb", "a:b"] {
            let (account, user) = (AccountId::parse(account).unwrap(), UserId::parse(user).unwrap());
            // An app's label has no colon.
            let subject = Subject::new(account, user).with_label("someone").unwrap();
            world.directory.put(&subject).await.unwrap();
            let app = world.enrol_again(&subject).await;
            users.push((subject, app));
        }
    }
    users
}

async fn enrol(world: &World, subject: &Subject) -> (SoftAuthenticator, Reference) {
    let (account, user) = (subject.account(), subject.user());
    let started = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    (app, started.reference)
}

async fn expect_unknown(engine: &Engine, reference: String, right: &str) {
    let reference = Reference::from_text(reference);
    let verified = engine.verify(&reference, Response::code(right)).await.unwrap();
    assert_eq!(refusal(verified), Some(Reason::NotFound));
    assert_eq!(refusal(engine.claim(&reference).await.unwrap()), Some(Reason::NotFound));
}

/// A reference that another installation, with another ring, gave to a user of the same ids.
async fn foreign_reference(world: &World, subject: &Subject) -> String {
    let store = Arc::new(MemoryStore::new());
    let ring = KeyRing::new(KeyId::parse("k1").unwrap(), [0x43; 32]).unwrap();
    let clock = Arc::new(world.clock.clone());
    let directory = StoredDirectory::new(store.clone(), ring.clone(), clock.clone());
    directory.put(subject).await.unwrap();
    let engine = Engine::builder(store, Arc::new(directory), ring, clock)
        .provider(mfa::totp::Totp::new("Example").unwrap())
        .danger_test_doubles()
        .build()
        .await
        .unwrap();
    let (account, user) = (subject.account(), subject.user());
    let started = engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
    let app = SoftAuthenticator::scan(started.revealed.get("uri").unwrap().expose_secret()).unwrap();
    let code = Response::code(&app.code_at(world.now()));
    let confirmed = engine.enrol_confirm(&started.reference, &code).await.unwrap();
    assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)));
    match engine.begin(login(subject)).await.unwrap() {
        Begin::Challenge(challenge) => challenge.reference.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    }
}
