//! S14, S29: what a recovery code let in holds nobody's methods in hand, and what cannot be given up by oneself.
#![cfg(test)]

use std::time::Duration;

use mfa::{Authority, Intent, Policy, Verify};
use mfa_tests::{World, on_stores, session, subject};
use serde_json::json;

const A_DAY: Duration = Duration::from_secs(24 * 3600);

async fn administrator(
    world: &World,
) -> (mfa::Subject, mfa_testkit::authenticator::SoftAuthenticator, Vec<String>) {
    let ann = subject("ann").with_rank(1);
    world.directory.put(&ann).await.unwrap();
    let (app, codes) = world.enrol_with_recovery(&ann).await;
    (ann, app, codes)
}

on_stores! {
    async fn s14_an_administrator_who_used_a_recovery_code_changes_nobody_for_a_day(world) {
        let (world, _inbox) = world.with_recovery().await;
        let (ann, app, codes) = administrator(&world).await;
        let bob = world.add_reachable("bob").await;
        world.enrol_with_recovery(&bob).await;
        let challenge = world.begin(&ann).await;
        assert!(matches!(world.recover(&challenge, &codes[0]).await, Verify::Verified(_)));

        for (operation, intent) in [("reset", Intent::reset(&bob)), ("unlock", Intent::unlock(&bob)), ("bypass", Intent::bypass(&bob))] {
            let proof = Authority::proof(world.prove(&ann, &app, &intent).await, Some(&session(&ann)));
            let (account, user, hour) = (bob.account(), bob.user(), Duration::from_secs(3600));
            let answer = match operation {
                "reset" => world.engine.user_reset(account, user, &proof).await.map_err(|e| e.code()),
                "unlock" => world.engine.user_unlock(account, user, &proof).await.map_err(|e| e.code()),
                _ => world.engine.bypass_issue(account, user, hour, &proof).await.map(drop).map_err(|e| e.code()),
            };
            assert_eq!(answer, Err("recovery_hold"), "{operation}");
        }
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 2);

        world.clock.advance(A_DAY);
        let proof = Authority::proof(world.prove(&ann, &app, &Intent::reset(&bob)).await, Some(&session(&ann)));
        world.engine.user_reset(bob.account(), bob.user(), &proof).await.unwrap();
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }

    async fn s29_where_a_method_is_enforced_nobody_forgets_themselves_instead_of_disabling(world) {
        let (bob, app) = world.enrol("bob").await;
        let enforced = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
        let enforcing = world.node().policy(enforced).build().await.unwrap();
        let proof = Authority::proof(world.prove(&bob, &app, &Intent::forget(&bob)).await, Some(&session(&bob)));
        let refused = enforcing.forget_user(bob.account(), bob.user(), &proof).await;
        assert_eq!(refused.unwrap_err().code(), "policy_forbids");
        assert_eq!(world.engine.methods(bob.account(), bob.user()).await.unwrap().len(), 1);
        // Where it is not, the proof, which was not spent, is good for it.
        world.engine.forget_user(bob.account(), bob.user(), &proof).await.unwrap();
        assert!(world.engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
    }
}
