//! S29: what an administrator's change tells, how far it is trusted, and what a proof of another account costs.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Aal, AccountId, Ancestor, Begin, Choice, Contact, Engine, EnrolConfirm, EnrolmentId, Intent,
    MethodSelector, NoticeKind, Operation, Proof, Record, RecordKind, Response, Runtime as _, Subject,
    Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::race::{GateStore, race};
use mfa_tests::attack::records;
use mfa_tests::between::{Moment, between};
use mfa_tests::probe::node_on;
use mfa_tests::rights::{
    Wanted, enrol_by, enrol_ranked, enrolments, exempting, in_session_of, prove_on, prove_with, scan,
    subject_of,
};
use mfa_tests::{STEP, World, begin, host, login, on_stores, subject, totp};

const RANK: u8 = 5;

/// Bob of account `acme`, which is below `hq`, where ann is an administrator; both with an app.
async fn of_two_accounts(world: &World) -> (Subject, (Subject, SoftAuthenticator)) {
    let ann = subject_of("hq", "ann").with_rank(RANK);
    world.directory.put(&ann).await.unwrap();
    let app = world.enrol_again(&ann).await;
    let lineage = ["acme", "hq"].map(|id| Ancestor::new(AccountId::parse(id).unwrap()));
    let bob = subject("bob").with_lineage(lineage.into()).unwrap();
    world.directory.put(&bob).await.unwrap();
    world.enrol_again(&bob).await;
    (bob, (ann, app))
}

async fn proof_of(
    world: &World,
    engine: &Engine,
    (ann, app): &(Subject, SoftAuthenticator),
    intent: &Intent,
) -> Proof {
    prove_on(engine, world, login(ann), app, intent).await
}

/// The level of a login with one method, which moves the clock by a step.
async fn level(world: &World, whom: &Subject, (method, app): (EnrolmentId, &SoftAuthenticator)) -> Aal {
    let challenge = begin(&world.engine, whom).await;
    let selector = MethodSelector::Enrolment(method);
    let answer = Response::code(&app.code_at(world.now())).with_method(selector);
    let verified = world.engine.verify(&challenge.reference, answer).await.unwrap();
    let Verify::Verified(grant) = verified else { panic!("no grant: {verified:?}") };
    world.clock.advance(STEP);
    grant.evidence().aal()
}

fn address(text: &str) -> Contact {
    Contact::email(text).unwrap().verified()
}

on_stores! {
    async fn s29_the_contacts_as_they_were_are_told_and_nobody_else(world) {
        let (world, inbox) = world.with_recovery().await;
        let ann = world.add_reachable("ann").await.with_rank(RANK);
        world.directory.put(&ann).await.unwrap();
        let (ann_app, _) = world.enrol_with_recovery(&ann).await;
        let engine = world.recovery_node(&inbox).policy(exempting()).build().await.unwrap();
        let told = [
            (Operation::AddMethod, Some("method_added")),
            (Operation::RemoveMethod, Some("method_removed")),
            (Operation::Unlock, Some("unlocked")),
            (Operation::Reset, Some("reset")),
            (Operation::Bypass, Some("bypass_issued")),
            (Operation::GrantExemption, Some("exempted")),
            (Operation::PreferMethod, None),
        ];
        for (place, (operation, kind)) in told.into_iter().enumerate() {
            let name = format!("bob-{operation}");
            // Each has a number of their own: so many notices go to one in a day.
            let number = format!("+1555010{place}");
            let (old, phone) = (format!("{name}@acme.example"), Contact::phone(&*number).unwrap().verified());
            let unverified = Contact::email(format!("typed-{name}@acme.example")).unwrap();
            let bob = subject(&name).with_contacts(vec![address(&old), phone, unverified]).unwrap();
            world.directory.put(&bob).await.unwrap();
            world.enrol_with_recovery(&bob).await;
            while world.engine.drain_outbox(64).await.unwrap().sent > 0 {}
            drop(inbox.take());
            if operation == Operation::AddMethod {
                // Past the hour in which the first method was told of.
                world.clock.advance(Duration::from_secs(3600));
            }
            let wanted = Wanted::new(operation, &bob, enrolments(&world, &bob).await[0]);
            let proof = prove_on(&world.engine, &world, login(&ann), &ann_app, &wanted.intent()).await;
            let authority = in_session_of(&ann, &proof);
            if operation == Operation::AddMethod {
                enrol_by(&world.engine, &world, &bob, &authority).await;
            } else {
                assert_eq!(wanted.told(&engine, &authority).await, "done");
            }
            // Whoever has the directory next changes nothing of who is told.
            let moved = bob.clone().with_contacts(vec![address("thief@evil.example")]).unwrap();
            world.directory.put(&moved).await.unwrap();
            world.engine.drain_outbox(64).await.unwrap();
            let arrived = inbox.take();
            let mut to: Vec<_> = arrived.iter().map(|message| message.to.as_str()).collect();
            to.sort_unstable();
            let mut expected = vec![&*number, old.as_str()];
            if kind.is_none() {
                expected.clear();
            }
            assert_eq!(to, expected, "{operation}");
            let notice = NoticeKind::ALL.iter().find(|notice| Some(notice.code()) == kind);
            assert!(arrived.iter().all(|m| Some(m.body.as_str()) == notice.map(|notice| notice.text())));
        }
    }

    async fn s29_what_an_administrator_enrolled_is_of_the_lowest_level_until_the_users_own(world) {
        let (bob, ann) = of_two_accounts(&world).await;
        world.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        let add = Intent::add_method(&bob, &totp());
        let proof = proof_of(&world, &world.engine, &ann, &add).await;
        let by_ann = enrol_by(&world.engine, &world, &bob, &in_session_of(&ann.0, &proof)).await;
        let first = enrolments(&world, &bob).await[0];
        for _ in 0..3 {
            assert_eq!(level(&world, &bob, (first, &by_ann)).await, Aal::One);
        }
        // It is what bob has, so it proves his way to one of his own; from then on it proves nothing.
        let own = prove_with(&world, &bob, (first, &by_ann), &add).await;
        let early = prove_with(&world, &bob, (first, &by_ann), &Intent::disable(&bob)).await;
        let own = enrol_by(&world.engine, &world, &bob, &in_session_of(&bob, &own)).await;
        let second = enrolments(&world, &bob).await[1];
        let disable = Wanted::new(Operation::Disable, &bob, first);
        assert_eq!(disable.told(&world.engine, &in_session_of(&bob, &early)).await, "step_up_required");
        assert_eq!(level(&world, &bob, (second, &own)).await, Aal::Two);
        assert_eq!(level(&world, &bob, (first, &by_ann)).await, Aal::One);
        let Begin::Challenge(asked) =
            world.engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap()
        else {
            panic!("no challenge")
        };
        assert_eq!(asked.methods.iter().map(|method| method.id).collect::<Vec<_>>(), [second]);
    }

    async fn s29_a_proof_of_another_account_is_spent_once_whatever_becomes_of_the_change(world) {
        let faulty = Arc::new(FaultStore::new(world.store.clone()));
        let failing = World::on(faulty.clone(), None).await;
        let (bob, ann) = of_two_accounts(&failing).await;
        let method = enrolments(&failing, &bob).await[0];
        let reset = Wanted::new(Operation::Reset, &bob, method);
        let of_bob = |all: Vec<Record>| all.into_iter().filter(|r| r.key.scope.as_str() == "acme").collect::<Vec<_>>();
        let proofs = |all: &[Record]| all.iter().filter(|r| r.key.kind.as_str() == "proof").count();
        // A crash between the spending and the change; a spending of which nobody knows; one that never was.
        for (at, fault, skip, spent) in [
            (At::BeforeCommit, Fault::Unavailable, 1, true),
            (At::AfterCommit, Fault::Unknown, 0, true),
            (At::BeforeCommit, Fault::Unavailable, 0, false),
        ] {
            let proof = proof_of(&failing, &failing.engine, &ann, &reset.intent()).await;
            let authority = in_session_of(&ann.0, &proof);
            let before = of_bob(records(&failing).await);
            faulty.fail_later(at, fault, skip, 1);
            assert_eq!(reset.told(&failing.engine, &authority).await, "unavailable", "{at:?}");
            assert!(faulty.heal());
            let all = records(&failing).await;
            assert_eq!((proofs(&all) == 0, of_bob(all)), (spent, before), "{at:?}");
            assert!(failing.events_of(Kind::UserReset).await.is_empty());
            assert_eq!(reset.told(&failing.engine, &authority).await == "done", !spent, "{at:?}");
        }
        // A change that cannot be made: bob has nothing left that a code could stand in for.
        let bypass = Wanted::new(Operation::Bypass, &bob, method);
        let proof = proof_of(&failing, &failing.engine, &ann, &bypass.intent()).await;
        let authority = in_session_of(&ann.0, &proof);
        assert_eq!(bypass.told(&failing.engine, &authority).await, "no_method");
        failing.enrol_again(&bob).await;
        assert_eq!(bypass.told(&failing.engine, &authority).await, "step_up_required");
        // In the account of both it is spent with the change, or not at all.
        let (carl, app) = enrol_ranked(&failing, "carl", RANK).await;
        let carl = (carl, app);
        let proof = proof_of(&failing, &failing.engine, &carl, &bypass.intent()).await;
        let authority = in_session_of(&carl.0, &proof);
        faulty.fail(At::BeforeCommit, Fault::Unavailable, 1);
        assert_eq!(bypass.told(&failing.engine, &authority).await, "unavailable");
        assert_eq!(bypass.told(&failing.engine, &authority).await, "done");
        assert_eq!(bypass.told(&failing.engine, &authority).await, "step_up_required");
    }

    // A provider's name says which method is meant; another one bears it once the proof is spent.
    async fn s29_a_spent_proof_of_another_account_is_for_the_method_it_was_made_for(world) {
        let between = Arc::new(between(&world.store));
        let engine = Arc::new(node_on(&world, Arc::clone(&between) as _).build().await.unwrap());
        let (bob, ann) = of_two_accounts(&world).await;
        let method = enrolments(&world, &bob).await[0];
        let intent = Intent::remove_method(&bob, method);
        let proof = proof_of(&world, &engine, &ann, &intent).await;
        let by_host = Arc::new(node_on(&world, Arc::new(world.store.clone())).build().await.unwrap());
        let (bobs, clock) = (bob.clone(), world.clock.clone());
        between.plan(Moment::Read("proof"), async move {
            by_host.method_remove(bobs.account(), bobs.user(), &"totp".parse().unwrap(), &host()).await.unwrap();
            let begun = by_host.enrol_begin(bobs.account(), bobs.user(), &totp(), &Choice::none(), &host()).await;
            let started = begun.unwrap();
            let code = Response::code(&scan(&started).code_at(clock.now()));
            let confirmed = by_host.enrol_confirm(&started.reference, &code).await.unwrap();
            assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        });
        let authority = in_session_of(&ann.0, &proof);
        let told = engine.method_remove(bob.account(), bob.user(), &"totp".parse().unwrap(), &authority).await;
        assert!(between.is_done());
        assert_eq!(told.unwrap_err().code(), "step_up_required");
        let left = enrolments(&world, &bob).await;
        assert!(left.len() == 1 && left[0] != method);
    }

    async fn s29_of_many_that_spend_one_proof_of_another_account_one_changes_something(world) {
        const EACH: usize = 16;
        let gate = Arc::new(GateStore::new(world.store.clone()));
        let gated = World::on(gate.clone(), None).await;
        let mut engines = Vec::new();
        for _ in 0..EACH {
            engines.push(gated.node().build().await.unwrap());
        }
        let (bob, ann) = of_two_accounts(&gated).await;
        let unlock = Wanted::new(Operation::Unlock, &bob, enrolments(&gated, &bob).await[0]);
        let proof = proof_of(&gated, &gated.engine, &ann, &unlock.intent()).await;
        let authority = in_session_of(&ann.0, &proof);
        gate.arm_for(RecordKind::new("proof"), EACH);
        let told = race(EACH, |i| {
            let (engine, unlock, authority) = (&engines[i], &unlock, &authority);
            async move { unlock.told(engine, authority).await }
        });
        assert_eq!(told.iter().filter(|told| **told == "done").count(), 1, "{told:?}");
        assert_eq!(gated.events_of(Kind::UserUnlocked).await.len(), 1);
    }

    async fn s29_whom_the_directory_does_not_know_any_more_an_administrator_of_the_account_forgets(world) {
        let (bob, ann) = of_two_accounts(&world).await;
        let (carl, app) = enrol_ranked(&world, "carl", 1).await;
        let carl = (carl, app);
        let forget = Wanted::new(Operation::Forget, &bob, enrolments(&world, &bob).await[0]);
        world.directory.remove(bob.account(), bob.user()).await.unwrap();
        for (administrator, told) in [(&ann, "not_permitted"), (&carl, "done")] {
            let proof = proof_of(&world, &world.engine, administrator, &forget.intent()).await;
            assert_eq!(forget.told(&world.engine, &in_session_of(&administrator.0, &proof)).await, told);
        }
    }
}
