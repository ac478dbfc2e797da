//! S2 and S11: a challenge yields one grant, to the holder of its reference; nothing else looks like one.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::{
    AccountId, Begin, Engine, GrantMismatch, NotRequired, Reason, Reference, Rejected, Response, Status,
    UserId, Verify,
};
use mfa_testkit::drop_at::{YieldingStore, drop_at_poll};
use mfa_testkit::faults::{At, CountingStore, Fault, FaultStore};
use mfa_testkit::race::{GateStore, race};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::attack::KINDS;
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::{World, acme, begin, login, on_stores, session};

/// Makes an engine whose provider completes a challenge elsewhere: at the first poll.
async fn completing(world: &World) -> Engine {
    let provider = scripted(Vec::new());
    provider.on(On::Poll, Say::Accept);
    world.node().provider(provider).build().await.unwrap()
}

async fn is_pending(engine: &Engine, reference: &Reference) -> bool {
    matches!(engine.verify(reference, Response::poll()).await.unwrap(), Verify::Pending(_))
}

on_stores! {
    async fn s02_of_64_claims_and_64_status_polls_one_gets_the_grant(world) {
        const EACH: usize = 64;
        let gate = Arc::new(GateStore::new(world.store.clone()));
        let gated = World::on(gate.clone(), None).await;
        let mut engines = Vec::new();
        for _ in 0..EACH {
            engines.push(completing(&gated).await);
        }
        let bob = gated.add("bob").await;
        enrol_in(&engines[0], &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engines[0], &bob).await;
        assert!(matches!(engines[1].claim(&challenge.reference).await.unwrap(), Verify::Pending(_)));
        assert!(is_pending(&engines[0], &challenge.reference).await);
        // Every reader has read the verified challenge before any of them goes on.
        gate.arm_for(KINDS[3], 2 * EACH);
        let answers = race(2 * EACH, |i| {
            let (engine, challenge) = (&engines[i % EACH], &challenge);
            async move {
                if i < EACH {
                    return Some(engine.claim(&challenge.reference).await);
                }
                let status = engine.status(&acme(), challenge.id).await.unwrap().unwrap();
                assert_eq!(status.status, Status::Verified);
                None
            }
        });
        let claims: Vec<_> = answers.into_iter().flatten().collect();
        let granted = claims.iter().filter(|claim| matches!(claim, Ok(Verify::Verified(_)))).count();
        let lost = claims.iter().filter(|claim| match claim {
            Ok(Verify::Rejected(rejected)) => rejected.reason == Reason::AlreadyUsed,
            Err(error) => error.code() == "contention",
            _ => false,
        });
        assert_eq!((granted, lost.count()), (1, EACH - 1));
        assert_eq!(gated.events_of(Kind::ChallengeClaimed).await.len(), 1);
        assert_eq!(gated.events_of(Kind::ChallengeVerified).await.len(), 1);
    }

    async fn s02_a_poll_completes_and_never_grants(world) {
        let engine = completing(&world).await;
        let bob = world.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engine, &bob).await;
        for _ in 0..5 {
            assert!(is_pending(&engine, &challenge.reference).await);
        }
        let Verify::Verified(grant) = engine.claim(&challenge.reference).await.unwrap() else {
            panic!("no grant")
        };
        assert_eq!(grant.challenge(), challenge.id);
        for _ in 0..3 {
            let again = engine.claim(&challenge.reference).await.unwrap();
            assert!(matches!(again, Verify::Rejected(r) if r.reason == Reason::AlreadyUsed));
        }
    }

    async fn s02_a_claim_whose_reply_is_lost_means_a_new_login(world) {
        let faulty = Arc::new(FaultStore::new(world.store.clone()));
        let failing = World::on(faulty.clone(), None).await;
        let engine = completing(&failing).await;
        let bob = failing.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let challenge = begin(&engine, &bob).await;
        assert!(is_pending(&engine, &challenge.reference).await);
        faulty.fail(At::AfterCommit, Fault::Unknown, 1);
        faulty.fail_later(At::OnGet, Fault::Unavailable, 1, 1);
        let lost = engine.claim(&challenge.reference).await.unwrap_err();
        assert_eq!(lost.code(), "unavailable");
        assert!(faulty.heal());
        let again = engine.claim(&challenge.reference).await.unwrap();
        assert!(matches!(again, Verify::Rejected(r) if r.reason == Reason::AlreadyUsed));
        assert_eq!(failing.events_of(Kind::ChallengeClaimed).await.len(), 1);
        let next = begin(&engine, &bob).await;
        assert!(is_pending(&engine, &next.reference).await);
        assert!(matches!(engine.claim(&next.reference).await.unwrap(), Verify::Verified(_)));
    }

    async fn s02_a_claim_dropped_at_any_point_is_granted_at_most_once(world) {
        let slow = Arc::new(YieldingStore::new(world.store.clone()));
        let yielding = World::on(slow, None).await;
        let engine = completing(&yielding).await;
        let bob = yielding.add("bob").await;
        enrol_in(&engine, &bob, "scripted", SCRIPTED_CODE).await;
        let mut completed = false;
        for polls in 1..40 {
            let challenge = begin(&engine, &bob).await;
            assert!(is_pending(&engine, &challenge.reference).await);
            let first = drop_at_poll(engine.claim(&challenge.reference), polls);
            let granted = |v: &Verify| usize::from(matches!(v, Verify::Verified(_)));
            let second = engine.claim(&challenge.reference).await.unwrap();
            let at_first = first.map_or(0, |claim| granted(&claim.unwrap()));
            assert!(at_first + granted(&second) <= 1, "dropped at poll {polls}");
            completed |= at_first == 1;
            let claims = yielding.events_of(Kind::ChallengeClaimed).await;
            assert_eq!(claims.iter().filter(|e| e.subject() == Some(*challenge.id.as_bytes())).count(), 1);
        }
        assert!(completed, "the last drops come after the answer");
    }

    async fn s02_a_grant_is_for_its_account_user_session_and_minute(world) {
        let (bob, app) = world.enrol("bob").await;
        let mine = session(&bob);
        let (other, eve) = (AccountId::parse("other").unwrap(), UserId::parse("eve").unwrap());
        for n in 0..6 {
            let challenge = world.begin(&bob).await;
            let code = app.code_at(world.now());
            let Verify::Verified(grant) = world.answer(&challenge, &code).await else { panic!("refused") };
            assert!(!grant.evidence().strength.amr.is_empty());
            let (now, late) = (world.now(), world.now().plus(Duration::from_secs(60)));
            let redeemed = match n {
                0 => grant.redeem(&other, bob.user(), Some(&mine), now),
                1 => grant.redeem(bob.account(), &eve, Some(&mine), now),
                2 => grant.redeem(bob.account(), bob.user(), Some("session-of-eve"), now),
                3 => grant.redeem(bob.account(), bob.user(), None, now),
                4 => grant.redeem(bob.account(), bob.user(), Some(&mine), late),
                _ => {
                    grant.redeem(bob.account(), bob.user(), Some(&mine), late.minus(Duration::from_millis(1)))
                }
            };
            let expected = [
                Some(GrantMismatch::Account),
                Some(GrantMismatch::User),
                Some(GrantMismatch::Session),
                Some(GrantMismatch::Session),
                Some(GrantMismatch::Expired),
                None,
            ];
            assert_eq!(redeemed.err(), expected[n]);
            world.clock.advance(mfa_tests::STEP);
        }
    }

    async fn s11_unknown_foreign_purged_and_foreign_users_are_one_answer_at_one_cost(world) {
        let elsewhere = World::memory().await;
        let (bob, app) = world.enrol("bob").await;
        let (stranger, _) = elsewhere.enrol("stranger").await;
        let (eve, _) = world.enrol("eve").await;
        let old = world.begin(&bob).await;
        world.clock.advance(Duration::from_secs(300 + 24 * 3600));
        world.store.purge(world.now(), 1000).await.unwrap();
        elsewhere.clock.set(world.now());
        let right = app.code_at(world.now());
        let live = world.begin(&bob).await;
        let references = [
            old.reference,
            elsewhere.begin(&stranger).await.reference,
            elsewhere.begin(&elsewhere.enrol("eve").await.0).await.reference,
        ];
        let counted = Arc::new(CountingStore::new(world.store.clone()));
        let counting = World::on(counted.clone(), None).await;
        counting.clock.set(world.now());
        let mut shapes = Vec::new();
        for reference in &references {
            let _ = counted.take();
            let Verify::Rejected(rejected) =
                counting.engine.verify(reference, Response::code(&right)).await.unwrap()
            else {
                panic!("judged")
            };
            shapes.push((rejected, rejected.public(), counted.take()));
        }
        assert!(shapes.iter().all(|shape| *shape == shapes[0]));
        assert_eq!(shapes[0].0, Rejected::new(Reason::NotFound, 0, None));
        assert_eq!((shapes[0].2.gets, shapes[0].2.commits), (1, 0));
        assert_eq!(shapes[0].1, Rejected::new(Reason::WrongCode, 4, None).public());
        // The same for an id: unknown and another account's.
        let other = AccountId::parse("other").unwrap();
        assert!(world.engine.status(&other, live.id).await.unwrap().is_none());
        let unknown = mfa::ChallengeId::from_random([9; 16]);
        assert!(world.engine.status(&acme(), unknown).await.unwrap().is_none());
        drop(eve);
    }

    async fn s11_a_user_without_a_method_gets_no_grant_and_no_reference(world) {
        let eve = world.add("eve").await;
        let begun = world.engine.begin(login(&eve)).await.unwrap();
        assert!(matches!(begun, Begin::NotRequired(NotRequired::NoMethod)), "{begun:?}");
        assert_eq!(world.events_of(Kind::LoginNotRequired).await.len(), 1);
        assert!(world.events_of(Kind::ChallengeBegun).await.is_empty());
    }
}
