//! S9: a proof is good once, for the one change, by the one user and in the one session it was made for.
#![cfg(test)]

use std::sync::Arc;

use audit_model::Kind;
use mfa::{Authority, Channel, FirstFactor, FirstFactorKind, Intent, Login, Module, Operation, Subject};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::attack::records;
use mfa_tests::doubles::scripted;
use mfa_tests::rights::{
    TO_A_USER, Wanted, enrol_ranked, enrolments, exempting, in_session_of, keep_device, may, never, prove_on,
    prove_with,
};
use mfa_tests::{World, login, on_stores, totp};

/// A login of `whom` by password, in a session of this name.
fn login_in(whom: &Subject, session: Option<&str>) -> Login {
    let first = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, session);
    Login::new(whom.clone(), first, Module::parse("user_auth").unwrap())
}

async fn disable(world: &World, bob: &Subject, authority: &Authority) -> &'static str {
    let done = world.engine.disable(bob.account(), bob.user(), authority).await;
    done.map_or_else(|error| error.code(), |()| "done")
}

/// Names who asks, and what for whom.
fn cell(made: Operation, actor: &Subject, about: &Wanted) -> String {
    format!("made by {} for {made}, asked for {} of {}", actor.user(), about.operation, about.whom.user())
}

/// Counts the pending enrolments and invitations.
async fn handed_out(world: &World) -> usize {
    let kinds = ["pending", "invitation"];
    records(world).await.iter().filter(|record| kinds.contains(&record.key.kind.as_str())).count()
}

on_stores! {
    async fn s09_a_proof_of_each_operation_is_good_once_for_that_alone(world) {
        let engine = world.recovery_node(&Inbox::new()).provider(scripted(Vec::new())).policy(exempting()).build().await.unwrap();
        let (ann, ann_app) = enrol_ranked(&world, "ann", 5).await;
        let (carl, _) = world.enrol("carl").await;
        let of_carl = enrolments(&world, &carl).await[0];
        for made in TO_A_USER {
            let (bob, _) = world.enrol(&format!("bob-{made}")).await;
            let app = world.enrol_again(&bob).await;
            let of_bob = enrolments(&world, &bob).await;
            let device = keep_device(&engine, &bob).await;
            let wanted = Wanted::new(made, &bob, of_bob[0]).of_device(device);
            let intent = wanted.intent();
            let own = prove_with(&world, &bob, (of_bob[1], &app), &intent).await;
            let by_ann = prove_on(&engine, &world, login(&ann), &ann_app, &intent).await;
            let before = records(&world).await;
            for (actor, proof) in [(&bob, &own), (&ann, &by_ann)] {
                let (same, other) = (in_session_of(actor, proof), in_session_of(&carl, proof));
                for asked in TO_A_USER {
                    let mut of_another = Wanted::new(asked, &bob, of_bob[1]);
                    of_another.provider = "scripted".parse().unwrap();
                    let whom = [Wanted::new(asked, &bob, of_bob[0]).of_device(device), of_another, Wanted::new(asked, &carl, of_carl)];
                    for about in whom {
                        let (oneself, another) = may(asked);
                        let permitted = if actor.user() == about.whom.user() { oneself } else { another };
                        let refused = if permitted { "step_up_required" } else { never(asked) };
                        let why = cell(made, actor, &about);
                        assert_eq!(about.told(&engine, &other).await, refused, "{why}, in another session");
                        if !permitted || about.intent() != intent {
                            assert_eq!(about.told(&engine, &same).await, refused, "{why}");
                        }
                    }
                }
            }
            assert_eq!(records(&world).await, before, "made for {made}");
            let (actor, proof) = if may(made).0 { (&bob, &own) } else { (&ann, &by_ann) };
            let authority = in_session_of(actor, proof);
            assert_eq!(wanted.told(&engine, &authority).await, "done", "{made}");
            let after = records(&world).await;
            assert_ne!(after, before, "{made}");
            assert_ne!(wanted.told(&engine, &authority).await, "done", "{made} twice");
            assert_eq!(records(&world).await, after, "{made} twice");
        }
    }

    async fn s09_a_session_is_the_proofs_own_or_none(world) {
        let (bob, app) = world.enrol("bob").await;
        let intent = Intent::disable(&bob);
        let bound = prove_on(&world.engine, &world, login_in(&bob, Some("one")), &app, &intent).await;
        let free = prove_on(&world.engine, &world, login_in(&bob, None), &app, &intent).await;
        let before = records(&world).await;
        for (proof, session) in [(&bound, None), (&bound, Some("")), (&bound, Some("two")), (&free, Some("one"))] {
            let authority = Authority::proof(proof.clone(), session);
            assert_eq!(disable(&world, &bob, &authority).await, "step_up_required", "{session:?}");
        }
        assert_eq!(records(&world).await, before);
        assert_eq!(disable(&world, &bob, &Authority::proof(free, None)).await, "done");
        // The session of another user may have the same name: it is another one.
        let (eve, app) = world.enrol("eve").await;
        let of_eve = prove_on(&world.engine, &world, login_in(&eve, Some("one")), &app, &intent).await;
        let authority = Authority::proof(of_eve, Some("one"));
        assert_eq!(disable(&world, &bob, &authority).await, "not_permitted");
    }

    async fn s09_of_64_that_spend_one_proof_one_changes_something(world) {
        const EACH: usize = 64;
        let gate = Arc::new(GateStore::new(world.store.clone()));
        let gated = World::on(gate.clone(), None).await;
        let mut engines = Vec::new();
        for _ in 0..EACH {
            engines.push(gated.node().build().await.unwrap());
        }
        let (ann, ann_app) = enrol_ranked(&gated, "ann", 5).await;
        // The same change by all, and two different ones that a proof of this kind is good for.
        for kinds in [1, 2] {
            let (bob, _) = gated.enrol(&format!("bob-{kinds}")).await;
            let intent = Intent::add_method(&bob, &totp());
            let proof = prove_on(&gated.engine, &gated, login(&ann), &ann_app, &intent).await;
            let authority = in_session_of(&ann, &proof);
            let made = handed_out(&gated).await;
            let refused = gated.events_of(Kind::ChangeRefused).await.len();
            let wanted = Wanted::new(Operation::AddMethod, &bob, enrolments(&gated, &bob).await[0]);
            gate.arm_for(mfa::RecordKind::new("proof"), EACH);
            let told = race(EACH, |i| {
                let (engine, wanted, authority) = (&engines[i], &wanted, &authority);
                async move {
                    if i % kinds == 0 {
                        return wanted.told(engine, authority).await;
                    }
                    let (account, user) = (wanted.whom.account(), wanted.whom.user());
                    let invited = engine.user_invite(account, user, &totp(), authority).await;
                    invited.map_or_else(|error| error.code(), |_| "done")
                }
            });
            let count = |word| told.iter().filter(|told| **told == word).count();
            assert_eq!(count("done"), 1, "{told:?}");
            assert_eq!(count("done") + count("step_up_required") + count("contention"), EACH, "{told:?}");
            assert_eq!(handed_out(&gated).await, made + 1);
            assert!(gated.events_of(Kind::ChangeRefused).await.len() > refused);
        }
    }
}
