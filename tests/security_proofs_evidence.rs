//! S9: which evidence proves a change, and that a login is no proof and a proof no login.
#![cfg(test)]

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, Answer, Begin, Challenge, Changed, DeniedReason, Engine, EnrolmentId, Intent, Login, MethodSelector,
    Operation, Provider, Reason, Reference, Response, Subject, Target, Verify,
};
use mfa_testkit::scripted::{On, Say, ScriptedProvider};
use mfa_tests::attack::records;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::rights::{TO_A_USER, Wanted, enrol_by, enrolments, first_factor, in_session_of, prove_on};
use mfa_tests::{STEP, World, host, login, on_stores, subject, totp};

/// A provider of AAL1 that accepts [`SCRIPTED_CODE`], and completes a challenge at a poll.
fn weak() -> ScriptedProvider {
    let provider = scripted(Vec::new());
    provider.on(On::Poll, Say::Accept);
    let mut descriptor = provider.describe().clone();
    descriptor.aal = Aal::One;
    provider.described_as(descriptor)
}

async fn step_up(engine: &Engine, login: Login, intent: &Intent) -> Challenge {
    match engine.step_up_begin(login, intent).await.unwrap() {
        Begin::Challenge(challenge) => challenge,
        other => panic!("a challenge was expected: {other:?}"),
    }
}

fn offered(challenge: &Challenge) -> Vec<EnrolmentId> {
    challenge.methods.iter().map(|method| method.id).collect()
}

/// What an answer came to, in a word.
async fn answered(engine: &Engine, reference: &Reference, response: Response) -> &'static str {
    match engine.verify(reference, response).await.unwrap() {
        Verify::Verified(_) => "granted",
        Verify::Proven(_) => "proven",
        Verify::Pending(_) => "pending",
        Verify::Rejected(rejected) => rejected.reason.code(),
        _ => "new",
    }
}

/// Every operation for bob, of his first enrolment.
async fn wanted(world: &World, bob: &Subject) -> Vec<Wanted> {
    let method = enrolments(world, bob).await[0];
    TO_A_USER.map(|operation| Wanted::new(operation, bob, method)).into()
}

on_stores! {
    async fn s09_a_step_up_never_grants_and_a_login_never_proves(world) {
        let engine = world.node().provider(weak()).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        for wanted in wanted(&world, &bob).await {
            // What removes its one method cannot be proven.
            if wanted.operation == Operation::RemoveMethod {
                continue;
            }
            for elsewhere in [false, true] {
                let proves = step_up(&engine, login(&bob), &wanted.intent()).await;
                // A repeated login means a login, never what was begun for something else.
                let current = Target::Current(Box::new(login(&bob)));
                let repeated = engine.verify(current, Response::code(SCRIPTED_CODE)).await.unwrap();
                assert!(matches!(repeated, Verify::Rejected(r) if r.reason == Reason::NotFound));
                let same = MethodSelector::Enrolment(wanted.method);
                assert!(matches!(engine.switch(&proves.reference, &same).await.unwrap(), Changed::Done(_)));
                let first = if elsewhere { Response::poll() } else { Response::code(SCRIPTED_CODE) };
                let told = answered(&engine, &proves.reference, first).await;
                assert_eq!(told, if elsewhere { "pending" } else { "proven" }, "{}", wanted.operation);
                let claimed = engine.claim(&proves.reference).await.unwrap();
                assert_eq!(matches!(claimed, Verify::Proven(_)), elsewhere, "{claimed:?}");
                assert!(!matches!(claimed, Verify::Verified(_)));
                let again = engine.claim(&proves.reference).await.unwrap();
                assert!(matches!(again, Verify::Rejected(r) if r.reason == Reason::AlreadyUsed));
            }
        }
        for elsewhere in [false, true] {
            let Begin::Challenge(logs_in) = engine.begin(login(&bob)).await.unwrap() else { panic!("no login") };
            let _beside = step_up(&engine, login(&bob), &Intent::disable(&bob)).await;
            let verified = if elsewhere {
                assert_eq!(answered(&engine, &logs_in.reference, Response::poll()).await, "pending");
                engine.claim(&logs_in.reference).await.unwrap()
            } else {
                // The newest challenge is the step-up; what the repeated login means is the login.
                let current = Target::Current(Box::new(login(&bob)));
                engine.verify(current, Response::code(SCRIPTED_CODE)).await.unwrap()
            };
            let Verify::Verified(grant) = verified else { panic!("no grant: {verified:?}") };
            assert_eq!(grant.challenge(), logs_in.id);
        }
        let proofs = world.events_of(Kind::ProofIssued).await.len();
        assert_eq!(proofs, 2 * (TO_A_USER.len() - 1));
    }

    async fn s09_a_weaker_method_proves_nothing_beside_a_stronger_one(world) {
        let engine = world.node().provider(weak()).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let by_weak = enrolments(&world, &bob).await[0];
        let intent = Intent::disable(&bob);
        // Proven, and a step-up open, while it was the strongest.
        let early = step_up(&engine, login(&bob), &intent).await;
        let open = step_up(&engine, login(&bob), &intent).await;
        let Verify::Proven(early) = engine.verify(&early.reference, Response::code(SCRIPTED_CODE)).await.unwrap()
        else {
            panic!("not proven")
        };
        let app = world.enrol_again(&bob).await;
        let by_app = enrolments(&world, &bob).await[1];
        let before = records(&world).await;
        let disable = Wanted::new(Operation::Disable, &bob, by_weak);
        assert_eq!(disable.told(&engine, &in_session_of(&bob, &early.proof)).await, "step_up_required");
        assert_eq!(records(&world).await, before);
        if let Verify::Proven(late) =
            engine.verify(&open.reference, Response::code(SCRIPTED_CODE)).await.unwrap()
        {
            assert_eq!(disable.told(&engine, &in_session_of(&bob, &late.proof)).await, "step_up_required");
        }
        for wanted in wanted(&world, &bob).await {
            let asked = login(&bob).with_method(MethodSelector::Enrolment(by_weak));
            let challenge = step_up(&engine, asked, &wanted.intent()).await;
            assert_eq!(offered(&challenge), [by_app], "{}", wanted.operation);
            let switched = engine.switch(&challenge.reference, &MethodSelector::Enrolment(by_weak)).await.unwrap();
            assert!(matches!(switched, Changed::Rejected(r) if r.reason == Reason::NotOffered));
            let named = Response::code(SCRIPTED_CODE).with_method(MethodSelector::Enrolment(by_weak));
            assert_eq!(answered(&engine, &challenge.reference, named).await, "method_not_offered");
            assert_eq!(answered(&engine, &challenge.reference, Response::code(&app.code_at(world.now()))).await, "proven");
            world.clock.advance(STEP);
        }
        assert_eq!(enrolments(&world, &bob).await.len(), 2);
    }

    async fn s09_a_method_proves_its_own_removal_never(world) {
        let (bob, app) = world.enrol("bob").await;
        let first = enrolments(&world, &bob).await[0];
        let remove = Intent::remove_method(&bob, first);
        let denied = world.engine.step_up_begin(login(&bob), &remove).await.unwrap();
        assert!(matches!(&denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        let other_app = world.enrol_again(&bob).await;
        let second = enrolments(&world, &bob).await[1];
        let asked = login(&bob).with_method(MethodSelector::Enrolment(first));
        let challenge = step_up(&world.engine, asked, &remove).await;
        assert_eq!(offered(&challenge), [second]);
        let by_first = Response::code(&app.code_at(world.now())).with_method(MethodSelector::Enrolment(first));
        assert_eq!(answered(&world.engine, &challenge.reference, by_first).await, "method_not_offered");
        assert_eq!(answered(&world.engine, &challenge.reference, Response::code(&app.code_at(world.now()))).await, "wrong_code");
        let by_second = Response::code(&other_app.code_at(world.now()));
        assert_eq!(answered(&world.engine, &challenge.reference, by_second).await, "proven");
        // For every other change of it the method is as good as any.
        world.clock.advance(STEP);
        let prefer = step_up(&world.engine, login(&bob), &Intent::prefer_method(&bob, first)).await;
        assert_eq!(offered(&prefer), [first, second]);
    }

    async fn s09_recovery_proves_a_new_method_and_nothing_else(world) {
        let (world, _inbox) = world.with_recovery().await;
        let ann = subject("ann").with_rank(9);
        world.directory.put(&ann).await.unwrap();
        let (ann_app, ann_codes) = world.enrol_with_recovery(&ann).await;
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let bypass = world.engine.bypass_issue(bob.account(), bob.user(), Duration::from_secs(3600), &host()).await.unwrap();
        let bypass = bypass.code.expose_secret().to_owned();
        for wanted in wanted(&world, &bob).await {
            if wanted.operation == Operation::AddMethod || wanted.operation == Operation::RemoveMethod {
                continue;
            }
            let challenge = step_up(&world.engine, login(&bob), &wanted.intent()).await;
            assert_eq!(challenge.methods.len(), 1, "{}", wanted.operation);
            for answer in [Answer::recovery(&codes[0]), Answer::bypass(&bypass)] {
                let told = answered(&world.engine, &challenge.reference, Response::answer(answer)).await;
                assert_eq!(told, "wrong_code", "{}", wanted.operation);
            }
            assert!(matches!(world.engine.cancel(&challenge.reference).await.unwrap(), Changed::Done(_)));
            // Wrong answers delay the next ones.
            world.engine.user_unlock(bob.account(), bob.user(), &host()).await.unwrap();
        }
        assert!(world.events_of(Kind::ProofIssued).await.is_empty());
        // The way to a new method is open to a code, and to a bypass not even that.
        let add = Intent::add_method(&bob, &totp());
        let challenge = step_up(&world.engine, login(&bob), &add).await;
        let by_bypass = Response::answer(Answer::bypass(&bypass));
        assert_eq!(answered(&world.engine, &challenge.reference, by_bypass).await, "wrong_code");
        let by_code = Response::answer(Answer::recovery(&codes[0]));
        let Verify::Proven(proven) = world.engine.verify(&challenge.reference, by_code).await.unwrap() else {
            panic!("not proven")
        };
        let added = Wanted::new(Operation::AddMethod, &bob, enrolments(&world, &bob).await[0]);
        assert_eq!(added.told(&world.engine, &in_session_of(&bob, &proven.proof)).await, "done");
        // An administrator's recovery code moves nobody else.
        let challenge = step_up(&world.engine, login(&ann), &add).await;
        let Verify::Proven(proven) = world.recover(&challenge, &ann_codes[0]).await else { panic!("not proven") };
        assert_eq!(added.told(&world.engine, &in_session_of(&ann, &proven.proof)).await, "not_permitted");
        drop((app, ann_app));
    }

    async fn s09_a_proof_of_a_method_bound_by_a_first_factor_is_as_weak_as_it_was(world) {
        let engine = world.node().build().await.unwrap();
        let bob = world.add("bob").await;
        let first = first_factor(&bob);
        let app = enrol_by(&engine, &world, &bob, &first).await;
        let method = enrolments(&world, &bob).await[0];
        let disable = Wanted::new(Operation::Disable, &bob, method);
        // Nothing is stronger: it is good.
        let good = prove_on(&engine, &world, login(&bob), &app, &Intent::prefer_method(&bob, method)).await;
        let prefer = Wanted::new(Operation::PreferMethod, &bob, method);
        assert_eq!(prefer.told(&engine, &in_session_of(&bob, &good)).await, "done");
        // A login lifts the method; what it proved before is weaker than it now.
        let weak = prove_on(&engine, &world, login(&bob), &app, &disable.intent()).await;
        let challenge = world.begin(&bob).await;
        let Verify::Verified(grant) = world.answer(&challenge, &app.code_at(world.now())).await else { panic!("no grant") };
        assert_eq!(grant.evidence().aal(), Aal::One);
        assert_eq!(disable.told(&engine, &in_session_of(&bob, &weak)).await, "step_up_required");
        world.clock.advance(STEP);
        let strong = prove_on(&engine, &world, login(&bob), &app, &disable.intent()).await;
        assert_eq!(disable.told(&engine, &in_session_of(&bob, &strong)).await, "done");
    }
}
