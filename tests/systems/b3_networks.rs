//! An organisation whose users turn it on by themselves, as those of B3Networks do: a code by e-mail, a recovery key
//! that is shown once, and an authenticator app beside.

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use audit_model::export::to_line;
use mfa::delivery::Delivered;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, Answer, Authority, Begin, Challenge, Channel, Choice, Contact, EnrolConfirm, EnrolmentStarted,
    FirstFactor, FirstFactorKind, Intent, Login, Module, NotDelivered, NotRequired, Policy, Proof,
    ProviderName, Reason, RecoveryForm, RequestFacts, Response, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::host::recovery;
use mfa_testkit::inbox::Inbox;
use mfa_tests::acting::{method, refused};
use mfa_tests::attack::dump;
use mfa_tests::mailed::{Mailed, another, texts};
use mfa_tests::notified::{mail, reachable};
use mfa_tests::rights::{first_factor, in_session_of, scan};
use mfa_tests::told::wrong_code;
use mfa_tests::{STEP, World, acme, host, login, on_stores, session, totp};
use serde_json::{Value, json};

/// The portal: codes by e-mail, apps, and a recovery key.
async fn portal(world: &World) -> Mailed {
    let inbox = Inbox::new();
    let node = world.node().provider(Delivered::email(texts()).unwrap()).provider(recovery());
    let node =
        node.transport(Arc::new(inbox.clone())).policy(Policy::b3_networks()).modules(Modules::kazoo());
    Mailed { engine: node.build().await.unwrap(), inbox }
}

async fn bob(world: &World) -> Subject {
    let bob = reachable("bob", vec![mail("bob@acme.example")]);
    world.directory.put(&bob).await.unwrap();
    bob
}

async fn starts(portal: &Mailed, bob: &Subject, by: &str) -> EnrolmentStarted {
    let (name, own) = (ProviderName::parse(by).unwrap(), first_factor(bob));
    portal.engine.enrol_begin(bob.account(), bob.user(), &name, &Choice::none(), &own).await.unwrap()
}

async fn confirms(portal: &Mailed, started: &EnrolmentStarted, code: &str) -> EnrolConfirm {
    portal.engine.enrol_confirm(&started.reference, &Response::code(code)).await.unwrap()
}

fn key_of(confirmed: EnrolConfirm) -> String {
    let EnrolConfirm::RecoveryShown(issued) = confirmed else { panic!("{confirmed:?}") };
    assert!(issued.revealed.get("download").is_some(), "there is a text to download");
    issued.revealed.get("key").unwrap().expose_secret().trim().to_owned()
}

async fn finishes(portal: &Mailed, started: &EnrolmentStarted) {
    let told = portal.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
    assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
    let _ = portal.engine.drain_outbox(100).await;
    let _ = (portal.inbox.take(), portal.inbox.take_tried());
}

/// Bob, who has turned it on by a code to his mailbox, and his recovery key.
async fn enabled(world: &World, portal: &Mailed) -> (Subject, String) {
    let bob = bob(world).await;
    let started = starts(portal, &bob, "email").await;
    let key = key_of(confirms(portal, &started, &portal.code()).await);
    finishes(portal, &started).await;
    (bob, key)
}

async fn answered(portal: &Mailed, challenge: &Challenge, answer: Answer) -> Option<Reason> {
    match portal.engine.verify(&challenge.reference, Response::answer(answer)).await.unwrap() {
        Verify::Verified(_) => None,
        other => Some(refused(other).reason),
    }
}

/// Sends a code, and makes of the answer to it the right to a change.
async fn proof_for(portal: &Mailed, bob: &Subject, intent: &Intent) -> Proof {
    let begun = portal.engine.step_up_begin(login(bob).with_method(method("email")), intent).await.unwrap();
    let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
    let code = Response::code(&portal.code());
    match portal.engine.verify(&challenge.reference, code).await.unwrap() {
        Verify::Proven(proven) => proven.proof,
        other => panic!("{other:?}"),
    }
}

async fn methods(portal: &Mailed, bob: &Subject) -> Vec<String> {
    let methods = portal.engine.methods(bob.account(), bob.user()).await.unwrap();
    methods.iter().map(|method| method.provider.to_string()).collect()
}

async fn enforce(portal: &Mailed, more: Value) {
    let owner = Owner::Account(Account::new(acme()));
    portal.engine.policy_put(&owner, &more, None, &host()).await.unwrap();
}

on_stores! {
    async fn e01_an_address_that_is_not_verified_turns_nothing_on_and_is_sent_nothing(world) {
        let portal = portal(&world).await;
        let bob = reachable("bob", vec![Contact::email("bob@acme.example").unwrap()]);
        world.directory.put(&bob).await.unwrap();
        let (email, own) = ("email".parse().unwrap(), first_factor(&bob));
        let asked = portal.engine.enrol_begin(bob.account(), bob.user(), &email, &Choice::none(), &own).await;
        assert_eq!(asked.unwrap_err().code(), "contact_not_verified");
        assert!(portal.inbox.take_tried().is_empty() && methods(&portal, &bob).await.is_empty());
    }

    async fn e02_it_is_turned_on_by_the_code_that_arrives(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let started = starts(&portal, &bob, "email").await;
        assert_eq!(portal.inbox.take_tried(), ["bob@acme.example"]);
        let code = portal.code();
        let wrong = confirms(&portal, &started, &another(&code)).await;
        assert!(matches!(wrong, EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        let begun = portal.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
        let _key = key_of(confirms(&portal, &started, &code).await);
        finishes(&portal, &started).await;
        assert!(matches!(portal.engine.begin(login(&bob)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn e03_the_key_is_shown_once(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let started = starts(&portal, &bob, "email").await;
        let code = portal.code();
        let key = key_of(confirms(&portal, &started, &code).await);
        assert_eq!(key.len(), 44, "36 characters in groups of four");
        for _ in 0..2 {
            let again = confirms(&portal, &started, &code).await;
            assert!(matches!(again, EnrolConfirm::Rejected(r) if r.reason == Reason::AlreadyVerified));
        }
        finishes(&portal, &started).await;
        let again = portal.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
        assert!(matches!(again, EnrolConfirm::Rejected(r) if r.reason == Reason::AlreadyVerified));
        let listed = format!("{:?}", portal.engine.methods(bob.account(), bob.user()).await.unwrap());
        assert!(!listed.contains(&key));
    }

    async fn e04_the_next_login_takes_the_code_or_the_key_and_the_log_says_which(world) {
        let portal = portal(&world).await;
        let (bob, key) = enabled(&world, &portal).await;
        let by_code = portal.begin(&bob).await;
        assert_eq!(answered(&portal, &by_code, Answer::code(&portal.code())).await, None);
        world.clock.advance(Duration::from_secs(1));
        let by_key = portal.begin(&bob).await;
        assert_eq!(by_key.method.provider.as_str(), "email");
        assert_eq!(answered(&portal, &by_key, Answer::recovery(&key)).await, None);
        let accepted = world.events_of(Kind::AnswerAccepted).await;
        let by: Vec<_> = accepted.iter().filter_map(|event| event.field("method")).collect();
        assert_eq!(by, ["email", "recovery"]);
    }

    async fn e05_it_is_turned_off_by_a_fresh_code_and_nothing_less(world) {
        let portal = portal(&world).await;
        let (bob, key) = enabled(&world, &portal).await;
        let intent = Intent::disable(&bob);
        let disable = async |by: &Authority| {
            let told = portal.engine.disable(bob.account(), bob.user(), by).await;
            told.err().map(|error| error.code())
        };
        let made_up = Authority::proof(Proof::from_text("made-up"), Some(&session(&bob)));
        let of_another_change = proof_for(&portal, &bob, &Intent::issue_recovery(&bob)).await;
        for by in [first_factor(&bob), made_up, in_session_of(&bob, &of_another_change)] {
            assert_eq!(disable(&by).await, Some("step_up_required"));
        }
        let stale = proof_for(&portal, &bob, &intent).await;
        world.clock.advance(Duration::from_secs(300));
        assert_eq!(disable(&in_session_of(&bob, &stale)).await, Some("step_up_required"));
        // The code of a login is none for this.
        let challenge = portal.begin(&bob).await;
        let logins = portal.code();
        let begun = portal.engine.step_up_begin(login(&bob), &intent).await.unwrap();
        let Begin::Challenge(step_up) = begun else { panic!("{begun:?}") };
        let fresh = portal.code();
        if fresh != logins {
            let told = portal.engine.verify(&step_up.reference, Response::code(&logins)).await.unwrap();
            assert_eq!(refused(told).reason, Reason::WrongCode);
        }
        let told = portal.engine.verify(&step_up.reference, Response::code(&fresh)).await.unwrap();
        let Verify::Proven(proven) = told else { panic!("{told:?}") };
        assert_eq!(disable(&in_session_of(&bob, &proven.proof)).await, None);
        assert!(methods(&portal, &bob).await.is_empty());
        assert_ne!(answered(&portal, &challenge, Answer::recovery(&key)).await, None);
        let begun = portal.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
    }

    /// A key is good once. Another one is not made by its use: the user has one made, by a code, once the mailbox is
    /// there again.
    async fn e06_the_key_lets_in_while_the_mailbox_takes_nothing_and_once(world) {
        let portal = portal(&world).await;
        let (bob, key) = enabled(&world, &portal).await;
        portal.inbox.refuse("bob@acme.example", NotDelivered::Permanent);
        let asked = || login(&bob).with_method(method("recovery"));
        for expected in [None, Some(Reason::AlreadyUsed)] {
            let begun = portal.engine.begin(asked()).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{expected:?} {begun:?}") };
            assert_eq!(challenge.method.provider.as_str(), "recovery");
            let told = answered(&portal, &challenge, Answer::recovery(&key)).await;
            assert_eq!(told, expected);
            world.clock.advance(Duration::from_secs(1));
        }
        // A message that is lost on its way does not end the login, either.
        let (eve, key) = {
            let eve = reachable("eve", vec![mail("eve@acme.example")]);
            world.directory.put(&eve).await.unwrap();
            let started = starts(&portal, &eve, "email").await;
            let key = key_of(confirms(&portal, &started, &portal.code()).await);
            finishes(&portal, &started).await;
            (eve, key)
        };
        portal.inbox.fail_next(NotDelivered::TimedOut);
        let challenge = portal.begin(&eve).await;
        assert_eq!(answered(&portal, &challenge, Answer::recovery(&key)).await, None);
    }

    async fn e07_the_key_is_had_when_it_is_turned_on_or_as_a_new_one(world) {
        let portal = portal(&world).await;
        let (bob, _key) = enabled(&world, &portal).await;
        for by in [first_factor(&bob), in_session_of(&bob, &proof_for(&portal, &bob, &Intent::disable(&bob)).await)] {
            let told = portal.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, &by).await;
            assert_eq!(told.unwrap_err().code(), "step_up_required");
        }
        // A second method shows none.
        let proof = proof_for(&portal, &bob, &Intent::add_method(&bob, &totp())).await;
        let (by, none) = (in_session_of(&bob, &proof), Choice::none());
        let started = portal.engine.enrol_begin(bob.account(), bob.user(), &totp(), &none, &by).await.unwrap();
        let confirmed = confirms(&portal, &started, &scan(&started).code_at(world.now())).await;
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    }

    async fn e08_a_new_key_needs_a_code_and_voids_the_old_one(world) {
        let portal = portal(&world).await;
        let (bob, old) = enabled(&world, &portal).await;
        let issue = async |by: &Authority| {
            portal.engine.recovery_issue(bob.account(), bob.user(), RecoveryForm::Key, by).await
        };
        assert_eq!(issue(&first_factor(&bob)).await.unwrap_err().code(), "step_up_required");
        let proof = proof_for(&portal, &bob, &Intent::issue_recovery(&bob)).await;
        let issued = issue(&in_session_of(&bob, &proof)).await.unwrap();
        let new = issued.revealed.get("key").unwrap().expose_secret().trim().to_owned();
        assert_ne!(new, old);
        assert_eq!(issue(&in_session_of(&bob, &proof)).await.unwrap_err().code(), "step_up_required");
        let challenge = portal.begin(&bob).await;
        assert_eq!(answered(&portal, &challenge, Answer::recovery(&old)).await, Some(Reason::WrongCode));
        assert_eq!(answered(&portal, &challenge, Answer::recovery(&new)).await, None);
    }

    async fn e09_no_key_is_in_the_store_the_log_or_what_is_printed(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let started = starts(&portal, &bob, "email").await;
        let confirmed = confirms(&portal, &started, &portal.code()).await;
        let printed = format!("{confirmed:?} {:?}", portal.engine);
        let key = key_of(confirmed);
        finishes(&portal, &started).await;
        let challenge = portal.begin(&bob).await;
        let answer = Answer::recovery(&key);
        let printed = format!("{printed} {answer:?} {challenge:?}");
        assert_eq!(answered(&portal, &challenge, answer).await, None);
        let plain: String = key.chars().filter(char::is_ascii_alphanumeric).collect();
        // Behind the selector, which says which of a set it is.
        let secrets = [&key[5..], &plain[4..]];
        let (records, events) = dump(&world).await;
        for secret in secrets {
            assert!(!printed.contains(secret));
            assert!(events.iter().all(|event| !to_line(event).unwrap().contains(secret)));
            let holds = |body: &[u8]| body.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(records.iter().all(|record| !holds(&record.body) && !holds(&record.key.id)));
        }
    }

    async fn e10_a_user_may_have_both_mailbox_and_app_and_either_lets_in(world) {
        let portal = portal(&world).await;
        let (bob, _key) = enabled(&world, &portal).await;
        let app = world.enrol_again(&bob).await;
        let challenge = portal.begin(&bob).await;
        let offered: Vec<_> = challenge.methods.iter().map(|method| method.provider.as_str()).collect();
        assert_eq!(offered, ["email", "recovery", "totp"]);
        assert_eq!(answered(&portal, &challenge, Answer::code(&portal.code())).await, None);
        let begun = portal.engine.begin(login(&bob).with_method(method("totp"))).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        assert!(portal.inbox.take().is_empty());
        assert_eq!(answered(&portal, &challenge, Answer::code(&app.code_at(world.now()))).await, None);
    }

    async fn e12_after_single_sign_on_too_whoever_has_none_must_set_one_up(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        enforce(&portal, json!({"enforced": true, "first_enrolment_needs_invitation": false})).await;
        for kind in [FirstFactorKind::Password, FirstFactorKind::Sso] {
            let first = FirstFactor::verified_now(kind, Channel::Direct, Some(&session(&bob)));
            let asked = Login::new(bob.clone(), first, Module::parse("portal").unwrap());
            let Begin::EnrolmentRequired(required) = portal.engine.begin(asked).await.unwrap() else { panic!() };
            assert_eq!(required.offered.iter().map(ProviderName::as_str).collect::<Vec<_>>(), ["email", "totp"]);
            // What it lets do is to set one up, and nothing else.
            let ticket = Authority::ticket(required.ticket, Some(&session(&bob)));
            let told = portal.engine.disable(bob.account(), bob.user(), &ticket).await.unwrap_err();
            assert_eq!(told.code(), "step_up_required");
        }
    }

    async fn e13_an_app_is_turned_on_by_its_code(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let started = starts(&portal, &bob, "totp").await;
        let app = scan(&started);
        let wrong = confirms(&portal, &started, &wrong_code(&app, world.now())).await;
        assert!(matches!(wrong, EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        assert!(methods(&portal, &bob).await.is_empty());
        let _key = key_of(confirms(&portal, &started, &app.code_at(world.now())).await);
        finishes(&portal, &started).await;
        assert_eq!(methods(&portal, &bob).await, ["totp", "recovery"]);
    }

    async fn e14_it_is_on_once_the_key_was_acknowledged_and_not_before(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let started = starts(&portal, &bob, "totp").await;
        let early = portal.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await;
        assert_eq!(early.unwrap_err().code(), "not_confirmed");
        let app = scan(&started);
        let key = key_of(confirms(&portal, &started, &app.code_at(world.now())).await);
        let is_off = async || {
            let begun = portal.engine.begin(login(&bob)).await.unwrap();
            matches!(begun, Begin::NotRequired(NotRequired::NoMethod)) && methods(&portal, &bob).await.is_empty()
        };
        assert!(is_off().await);
        // Whoever leaves now has turned nothing on, however late they come back.
        world.clock.set(started.expires_at);
        let late = portal.engine.enrol_acknowledge(&started.reference, &RequestFacts::new()).await.unwrap();
        assert!(matches!(late, EnrolConfirm::Rejected(r) if r.reason == Reason::EnrolmentExpired));
        assert!(is_off().await);
        let (app, other) = by_app(&world, &portal, &bob).await;
        assert_ne!(other, key);
        let challenge = portal.begin(&bob).await;
        assert_ne!(answered(&portal, &challenge, Answer::recovery(&key)).await, None);
        assert_eq!(answered(&portal, &challenge, Answer::code(&app.code_at(world.now()))).await, None);
    }

    async fn e15_the_app_is_asked_for_at_the_next_login(world) {
        let portal = portal(&world).await;
        let bob = bob(&world).await;
        let (app, _key) = by_app(&world, &portal, &bob).await;
        let challenge = portal.begin(&bob).await;
        assert_eq!(challenge.method.provider.as_str(), "totp");
        assert_eq!(answered(&portal, &challenge, Answer::code(&app.code_at(world.now()))).await, None);
        assert!(portal.inbox.take().is_empty());
    }
}

/// Turns it on by an app, and returns the key that came with it.
async fn by_app(world: &World, portal: &Mailed, bob: &Subject) -> (SoftAuthenticator, String) {
    let started = starts(portal, bob, "totp").await;
    let app = scan(&started);
    let key = key_of(confirms(portal, &started, &app.code_at(world.now())).await);
    finishes(portal, &started).await;
    world.clock.advance(STEP);
    (app, key)
}
