//! S9 and S13: what a method that too many failures have stopped proves, and what it still asks for.
#![cfg(test)]

use mfa::{Aal, Begin, DeniedReason, MethodSelector, Operation, Provider as _, Response, Verify};
use mfa_testkit::host::recovery;
use mfa_tests::attack::{records, set_failures};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::rights::{
    TO_A_USER, Wanted, enrol_ranked, enrolments, exempting, in_session_of, keep_device, may, prove_on,
};
use mfa_tests::{host, login, on_stores};

/// How many failures in a row stop a method.
const STOP: u8 = 100;

on_stores! {
    async fn s09_a_proof_dies_with_the_stop_of_the_method_that_made_it(world) {
        let plain = world.node().provider(scripted(Vec::new())).build().await.unwrap();
        let engine = world.node().provider(scripted(Vec::new())).provider(recovery()).policy(exempting()).build().await.unwrap();
        let (ann, ann_app) = enrol_ranked(&world, "ann", 9).await;
        for operation in TO_A_USER {
            for (by_ann, permitted) in [(false, may(operation).0), (true, may(operation).1)] {
                if !permitted {
                    continue;
                }
                for (failures, told) in [(STOP, "step_up_required"), (STOP - 1, "done")] {
                    let bob = world.add(&format!("bob-{operation}-{by_ann}-{failures}")).await;
                    // The method that is changed, and the one that proves it.
                    enrol_in(&plain, &bob, "scripted", SCRIPTED_CODE).await;
                    let app = world.enrol_again(&bob).await;
                    let [method, by_app] = enrolments(&world, &bob).await[..] else { panic!("two methods") };
                    let mut wanted = Wanted::new(operation, &bob, method);
                    if operation == Operation::BanDevice {
                        wanted.device = keep_device(&engine, &bob).await;
                    }
                    let (prover, app) = if by_ann { (&ann, &ann_app) } else { (&bob, &app) };
                    let with_app = if by_ann { login(prover) } else { login(prover).with_method(MethodSelector::Enrolment(by_app)) };
                    let proof = prove_on(&engine, &world, with_app, app, &wanted.intent()).await;
                    set_failures(&world, prover, "totp", failures).await;
                    let before = records(&world).await;
                    assert_eq!(wanted.told(&engine, &in_session_of(prover, &proof)).await, told, "{operation} {by_ann}");
                    if told != "done" {
                        assert_eq!(records(&world).await, before, "{operation} {by_ann}");
                    }
                    // Whatever else it was, the administrator's method is to be fit for the next one.
                    world.engine.user_unlock(ann.account(), ann.user(), &host()).await.unwrap();
                }
            }
        }
    }

    // Who stops a strong method by failing must not make a weak one enough, except to add another.
    async fn s09_a_stopped_method_asks_for_as_much_as_it_did_except_to_add_one(world) {
        let provider = scripted(Vec::new());
        let mut descriptor = provider.describe().clone();
        descriptor.aal = Aal::One;
        let engine = world.node().provider(provider.described_as(descriptor)).build().await.unwrap();
        let (bob, _app) = world.enrol("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let [strong, weak] = enrolments(&world, &bob).await[..] else { panic!("two methods") };
        for failures in [STOP - 1, STOP] {
            set_failures(&world, &bob, "totp", failures).await;
            for operation in TO_A_USER {
                let intent = Wanted::new(operation, &bob, strong).intent();
                let asked = login(&bob).with_method(MethodSelector::Enrolment(weak));
                let begun = engine.step_up_begin(asked, &intent).await.unwrap();
                let is_way_out = failures == STOP && operation == Operation::AddMethod;
                match begun {
                    Begin::Challenge(challenge) if is_way_out => {
                        assert_eq!(challenge.method.id, weak);
                        let answered = engine.verify(&challenge.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
                        let Verify::Proven(proven) = answered else { panic!("{answered:?}") };
                        let wanted = Wanted::new(operation, &bob, strong);
                        assert_eq!(wanted.told(&engine, &in_session_of(&bob, &proven.proof)).await, "done");
                    }
                    Begin::Challenge(challenge) if failures < STOP => {
                        let offered: Vec<_> = challenge.methods.iter().map(|method| method.id).collect();
                        assert_eq!(offered, [strong], "{operation}");
                    }
                    // Its own removal nothing proves.
                    Begin::Denied(denied) if !is_way_out && (failures == STOP || operation == Operation::RemoveMethod) => {
                        assert_eq!(denied.reason, DeniedReason::Unavailable, "{operation}");
                    }
                    other => panic!("{operation} after {failures} failures: {other:?}"),
                }
            }
            if failures < STOP {
                world.engine.user_unlock(bob.account(), bob.user(), &host()).await.unwrap();
            }
        }
    }

    // A proof that the weak method made before the strong one was there, and was stopped.
    async fn s09_a_weak_proof_of_before_is_not_enough_beside_a_stopped_strong_method(world) {
        let provider = scripted(Vec::new());
        let mut descriptor = provider.describe().clone();
        descriptor.aal = Aal::One;
        let engine = world.node().provider(provider.described_as(descriptor)).build().await.unwrap();
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let weak = enrolments(&world, &bob).await[0];
        let mut proofs = Vec::new();
        for operation in [Operation::Disable, Operation::AddMethod] {
            let wanted = Wanted::new(operation, &bob, weak);
            let begun = engine.step_up_begin(login(&bob), &wanted.intent()).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
            let answered = engine.verify(&challenge.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
            let Verify::Proven(proven) = answered else { panic!("{answered:?}") };
            proofs.push((wanted, proven.proof));
        }
        world.enrol_again(&bob).await;
        set_failures(&world, &bob, "totp", STOP).await;
        let told = |(wanted, proof): &(Wanted, mfa::Proof)| {
            let (wanted, authority, engine) = (wanted.clone(), in_session_of(&bob, proof), &engine);
            async move { wanted.told(engine, &authority).await }
        };
        assert_eq!(told(&proofs[0]).await, "step_up_required");
        assert_eq!(told(&proofs[1]).await, "done");
    }
}
