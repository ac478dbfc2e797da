//! S1: only the reference that begin handed out speaks for a challenge.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use data_encoding::BASE64URL_NOPAD;
use mfa::{
    Begin, Changed, Channel, Choice, Engine, EnrolConfirm, FirstFactor, FirstFactorKind, Login,
    MethodSelector, Module, Reason, Reference, Rejected, Response, Status, Subject, Target, Verify,
};
use mfa_testkit::faults::CountingStore;
use mfa_tests::attack::dump;
use mfa_tests::doubles::SameFirst;
use mfa_tests::{World, begin, host, login, on_stores, session, totp};

/// Asks every entry point that takes a reference and returns how each refused.
async fn ask_all(engine: &Engine, reference: &Reference, code: &str) -> Vec<Rejected> {
    let code = Response::code(code);
    let of_verify = |verify| match verify {
        Verify::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    };
    let of_change = |changed| match changed {
        Changed::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    };
    let by_totp = MethodSelector::Provider(totp());
    vec![
        of_verify(engine.verify(reference, code).await.unwrap()),
        of_verify(engine.verify(reference, Response::poll()).await.unwrap()),
        of_verify(engine.verify(reference, Response::start(Choice::none())).await.unwrap()),
        of_verify(engine.claim(reference).await.unwrap()),
        of_change(engine.switch(reference, &by_totp).await.unwrap()),
        of_change(engine.cancel(reference).await.unwrap()),
    ]
}

async fn confirm(engine: &Engine, reference: &Reference, code: &str) -> Rejected {
    match engine.enrol_confirm(reference, &Response::code(code)).await.unwrap() {
        EnrolConfirm::Rejected(rejected) => rejected,
        other => panic!("not refused: {other:?}"),
    }
}

fn is_unknown(refused: &[Rejected]) -> bool {
    refused.iter().all(|r| *r == Rejected::new(Reason::NotFound, 0, None))
}

fn bytes(reference: &Reference) -> Vec<u8> {
    BASE64URL_NOPAD.decode(reference.expose_secret().as_bytes()).unwrap()
}

/// Texts made from real references by someone without the ring. The id and the binder stand before the mac.
fn made_up(target: &Reference, other: &Reference, foreign: &Reference) -> Vec<String> {
    let text = target.expose_secret();
    let mut all: Vec<String> =
        ["", "a", "garbage", "====", "ÄÖÜ", "AAAA"].iter().map(|t| (*t).to_owned()).collect();
    all.extend([text.to_uppercase(), text.to_lowercase(), format!("{text}A"), format!(" {text}")]);
    all.extend(["A".repeat(16 * 1024), "A".repeat(16 * 1024 + 1), "A".repeat(1 << 20)]);
    all.extend([0, 1, 10, text.len() / 2, text.len() - 1].map(|end| text[..end].to_owned()));
    for at in 0..text.len() {
        for with in ["A", "B"] {
            let mut flipped = text.to_owned();
            flipped.replace_range(at..=at, if text[at..].starts_with(with) { "_" } else { with });
            all.push(flipped);
        }
    }
    let target = bytes(target);
    for donor in [other, foreign].map(bytes) {
        for field in [32..64, 32..80, 32..48, 0..32] {
            let mut spliced = target.clone();
            for back in field {
                let (to, from) = (spliced.len() - 1 - back, donor.len() - 1 - back);
                spliced[to] = donor[from];
            }
            if spliced != target && spliced != donor {
                all.push(BASE64URL_NOPAD.encode(&spliced));
            }
        }
    }
    all
}

on_stores! {
    async fn s01_made_up_references_reach_no_store_and_change_nothing(world) {
        let (bob, app) = world.enrol("bob").await;
        let (eve, _) = world.enrol("eve").await;
        let counted = Arc::new(CountingStore::new(world.store.clone()));
        let counting = World::on(counted.clone(), None).await;
        let engine = &counting.engine;
        let (target, other, foreign) =
            (world.begin(&bob).await, world.begin(&bob).await, world.begin(&eve).await);
        let enrolling = world
            .engine
            .enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host())
            .await
            .unwrap();
        let right = app.code_at(world.now());
        let before = dump(&world).await;
        let _ = counted.take();
        for text in made_up(&target.reference, &other.reference, &foreign.reference) {
            let reference = Reference::from_text(&text);
            assert!(is_unknown(&ask_all(engine, &reference, &right).await), "{text:.80}");
            assert_eq!(confirm(engine, &reference, &right).await.reason, Reason::NotFound, "{text:.80}");
        }
        // The public id, and a handle of the other kind.
        let by_id = Reference::from_text(target.id.to_string());
        assert!(is_unknown(&ask_all(engine, &by_id, &right).await));
        assert!(is_unknown(&ask_all(engine, &enrolling.reference, &right).await));
        assert_eq!(confirm(engine, &target.reference, &right).await.reason, Reason::NotFound);
        assert_eq!(counted.take(), mfa_testkit::faults::Counts::default());
        assert_eq!(dump(&world).await, before);
        // Nothing was charged, and the holder goes on.
        let status = world.engine.status(bob.account(), target.id).await.unwrap().unwrap();
        assert_eq!((status.status, status.verify_attempts), (Status::Sent, 0));
        assert!(matches!(world.answer(&target, &right).await, Verify::Verified(_)));
    }

    async fn s01_a_reference_with_another_binder_is_unknown_and_charges_nothing(world) {
        // The same ring issues, in another store, a reference to the same id of the same user.
        let elsewhere = World::memory().await;
        let (bob, app) = world.enrol("bob").await;
        let _ = elsewhere.enrol("bob").await;
        let first = [0xa5; 16];
        let here = world.node().entropy(Arc::new(SameFirst::new(first, 1))).build().await.unwrap();
        let there = elsewhere.node().entropy(Arc::new(SameFirst::new(first, 2))).build().await.unwrap();
        let (challenge, twin) = (begin(&here, &bob).await, begin(&there, &bob).await);
        assert_eq!(challenge.id, twin.id);
        let right = app.code_at(world.now());
        let before = dump(&world).await;
        assert!(is_unknown(&ask_all(&world.engine, &twin.reference, &right).await));
        assert_eq!(dump(&world).await, before);
        assert!(matches!(world.answer(&challenge, &right).await, Verify::Verified(_)));
    }

    async fn s01_another_users_reference_to_the_same_id_is_unknown(world) {
        let elsewhere = World::memory().await;
        let (bob, app) = world.enrol("bob").await;
        let (eve, _) = elsewhere.enrol("eve").await;
        let _ = world.enrol("eve").await;
        let first = [0xa6; 16];
        let here = world.node().entropy(Arc::new(SameFirst::new(first, 1))).build().await.unwrap();
        let there = elsewhere.node().entropy(Arc::new(SameFirst::new(first, 1))).build().await.unwrap();
        let (challenge, twin) = (begin(&here, &bob).await, begin(&there, &eve).await);
        assert_eq!(challenge.id, twin.id);
        let right = app.code_at(world.now());
        let before = dump(&world).await;
        assert!(is_unknown(&ask_all(&world.engine, &twin.reference, &right).await));
        assert_eq!(dump(&world).await, before);
        assert!(matches!(world.answer(&challenge, &right).await, Verify::Verified(_)));
    }

    async fn s01_an_enrolment_is_confirmed_by_its_own_reference_alone(world) {
        let elsewhere = World::memory().await;
        let (bob, _) = world.enrol("bob").await;
        let _ = elsewhere.enrol("bob").await;
        let first = [0xa7; 16];
        let here = world.node().entropy(Arc::new(SameFirst::new(first, 1))).build().await.unwrap();
        let there = elsewhere.node().entropy(Arc::new(SameFirst::new(first, 2))).build().await.unwrap();
        let begun = |engine: Engine, bob: Subject| async move {
            engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &host()).await.unwrap()
        };
        let mine = begun(here.clone(), bob.clone()).await;
        let twin = begun(there, bob.clone()).await;
        let second = begun(world.engine.clone(), bob.clone()).await;
        assert_eq!(mine.id, twin.id);
        let app = |started: &mfa::EnrolmentStarted| {
            let uri = started.revealed.get("uri").unwrap().expose_secret().to_owned();
            mfa_testkit::authenticator::SoftAuthenticator::scan(&uri).unwrap()
        };
        let right = app(&mine).code_at(world.now());
        let before = dump(&world).await;
        assert_eq!(confirm(&here, &twin.reference, &right).await.reason, Reason::NotFound);
        assert_eq!(dump(&world).await, before);
        // Each pending enrolment takes its own secret's code only.
        assert_eq!(confirm(&here, &second.reference, &right).await.reason, Reason::WrongCode);
        let confirmed = here.enrol_confirm(&mine.reference, &Response::code(&right)).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(id) if id == mine.id));
    }

    async fn s01_a_repeated_login_needs_the_session_of_the_first_factor(world) {
        let (bob, app) = world.enrol("bob").await;
        let (eve, _) = world.enrol("eve").await;
        let challenge = world.begin(&bob).await;
        let right = app.code_at(world.now());
        let repeated = |subject: &Subject, session: Option<&str>, module: &str| {
            let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, session);
            Target::Current(Box::new(Login::new(subject.clone(), first, Module::parse(module).unwrap())))
        };
        let mine = session(&bob);
        let before = dump(&world).await;
        for target in [
            repeated(&bob, None, "user_auth"),
            repeated(&bob, Some(""), "user_auth"),
            repeated(&bob, Some("session-of-eve"), "user_auth"),
            repeated(&bob, Some(&mine), "api_auth"),
            repeated(&eve, Some(&mine), "user_auth"),
        ] {
            let refused = world.engine.verify(target, Response::code(&right)).await.unwrap();
            assert!(matches!(refused, Verify::Rejected(r) if r.reason == Reason::NotFound));
        }
        assert_eq!(dump(&world).await, before);
        let target = repeated(&bob, Some(&mine), "user_auth");
        let verified = world.engine.verify(target, Response::code(&right)).await.unwrap();
        assert!(matches!(verified, Verify::Verified(grant) if grant.challenge() == challenge.id));
    }

    async fn s01_status_by_id_tells_the_state_and_nothing_else(world) {
        let (bob, app) = world.enrol("bob").await;
        let challenge = world.begin(&bob).await;
        let right = app.code_at(world.now());
        let Verify::Verified(grant) = world.answer(&challenge, &right).await else { panic!("refused") };
        drop(grant);
        let shown = format!("{:?}", world.engine.status(bob.account(), challenge.id).await.unwrap().unwrap());
        for secret in [challenge.reference.expose_secret(), &right, "bob", &session(&bob)] {
            assert!(!shown.contains(secret), "{shown}");
        }
        // A lost grant is lost: the reference of a redeemed challenge gives no other.
        let again = world.engine.claim(&challenge.reference).await.unwrap();
        assert!(matches!(again, Verify::Rejected(r) if r.reason == Reason::AlreadyUsed));
        assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
        let Begin::Challenge(_) = world.engine.begin(login(&bob)).await.unwrap() else { panic!("no login") };
    }
}
