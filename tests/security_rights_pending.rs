//! S29: what an administrator has begun for a user counts only while the administrator may still do it.
#![cfg(test)]

use mfa::{
    AccountId, Ancestor, Authority, Begin, Choice, Engine, EnrolConfirm, Intent, MethodSelector, Policy,
    Reason, Rejected, Response, Subject,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_tests::rights::{enrolments, in_session_of, prove_on, scan, subject_of};
use mfa_tests::{World, host, login, on_stores, session, subject, totp};
use serde_json::json;

const RANK: u8 = 5;

/// What becomes of the administrator before the user confirms.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Stays,
    IsPromoted,
    IsRevoked,
    LosesTheMethod,
    IsReset,
    IsForgotten,
    LeavesTheDirectory,
    IsReplaced,
    IsDemoted,
    IsNotAboveAnyMore,
}

const FATES: [(Fate, bool); 10] = [
    (Fate::Stays, true),
    (Fate::IsPromoted, true),
    (Fate::IsRevoked, false),
    (Fate::LosesTheMethod, false),
    (Fate::IsReset, false),
    (Fate::IsForgotten, false),
    (Fate::LeavesTheDirectory, false),
    (Fate::IsReplaced, false),
    (Fate::IsDemoted, false),
    (Fate::IsNotAboveAnyMore, false),
];

impl Fate {
    async fn befall(self, world: &World, ann: &Subject, bob: &Subject) {
        let (engine, account, user) = (&world.engine, ann.account(), ann.user());
        match self {
            Self::Stays => {}
            Self::IsPromoted => world.directory.put(&ann.clone().with_rank(RANK + 1)).await.unwrap(),
            Self::IsRevoked => engine.revoke(account, user, &host()).await.unwrap(),
            Self::LosesTheMethod => {
                let method = MethodSelector::Enrolment(enrolments(world, ann).await[0]);
                engine.method_remove(account, user, &method, &host()).await.unwrap();
            }
            Self::IsReset => engine.user_reset(account, user, &host()).await.unwrap(),
            Self::IsForgotten => engine.forget_user(account, user, &host()).await.unwrap(),
            Self::LeavesTheDirectory => world.directory.remove(account, user).await.unwrap(),
            Self::IsReplaced => {
                world.directory.put(&ann.clone().with_generation("another person").unwrap()).await.unwrap();
            }
            Self::IsDemoted => world.directory.put(&ann.clone().with_rank(RANK - 1)).await.unwrap(),
            Self::IsNotAboveAnyMore => {
                let elsewhere = ["acme", "other"].map(|id| Ancestor::new(AccountId::parse(id).unwrap()));
                world.directory.put(&bob.clone().with_lineage(elsewhere.into()).unwrap()).await.unwrap();
            }
        }
    }
}

/// An administrator of an account above, or of the user's own.
async fn administrator(world: &World, account: &str, n: usize) -> (Subject, SoftAuthenticator) {
    let ann = subject_of(account, &format!("ann-{n}")).with_rank(RANK);
    world.directory.put(&ann).await.unwrap();
    let app = world.enrol_again(&ann).await;
    (ann, app)
}

async fn confirmed(engine: &Engine, started: &mfa::EnrolmentStarted, code: &str) -> Result<(), Reason> {
    match engine.enrol_confirm(&started.reference, &Response::code(code)).await.unwrap() {
        EnrolConfirm::Confirmed(_) => Ok(()),
        EnrolConfirm::Rejected(Rejected { reason, .. }) => Err(reason),
        other => panic!("{other:?}"),
    }
}

on_stores! {
    async fn s29_what_an_administrator_began_is_not_confirmed_once_they_may_no_longer(world) {
        for account in ["acme", "hq"] {
            for (n, (fate, stays)) in FATES.into_iter().enumerate() {
                if account == "acme" && matches!(fate, Fate::IsNotAboveAnyMore) {
                    continue;
                }
                let (ann, ann_app) = administrator(&world, account, n).await;
                let lineage = ["acme", "hq"].map(|id| Ancestor::new(AccountId::parse(id).unwrap()));
                let bob = subject(&format!("bob-{account}-{n}")).with_lineage(lineage.into()).unwrap();
                let bob = bob.with_rank(RANK);
                world.directory.put(&bob).await.unwrap();
                let intent = Intent::add_method(&bob, &totp());
                let proof = prove_on(&world.engine, &world, login(&ann), &ann_app, &intent).await;
                let right = in_session_of(&ann, &proof);
                let begun = world.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &right).await;
                let started = begun.unwrap();
                let app = scan(&started);
                // A wrong code first: what is refused later is not refused for that.
                let wrong = app.wrong_code_at(world.now(), 2);
                assert_eq!(confirmed(&world.engine, &started, &wrong).await, Err(Reason::WrongCode), "{fate:?}");
                fate.befall(&world, &ann, &bob).await;
                let right = app.code_at(world.now());
                let expected = if stays { Ok(()) } else { Err(Reason::Superseded) };
                assert_eq!(confirmed(&world.engine, &started, &right).await, expected, "{fate:?} of {account}");
                let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
                assert_eq!(methods.len(), usize::from(stays), "{fate:?} of {account}");
            }
        }
    }

    async fn s29_whom_an_administrator_invited_enrols_nothing_once_they_may_no_longer_invite(world) {
        let enforced = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
        let strict = world.node().policy(enforced).build().await.unwrap();
        for (n, (fate, stays)) in FATES.into_iter().enumerate() {
            let (ann, ann_app) = administrator(&world, "hq", n).await;
            let lineage = ["acme", "hq"].map(|id| Ancestor::new(AccountId::parse(id).unwrap()));
            let bob = subject(&format!("bob-{n}")).with_lineage(lineage.into()).unwrap().with_rank(RANK);
            world.directory.put(&bob).await.unwrap();
            let intent = Intent::add_method(&bob, &totp());
            let proof = prove_on(&strict, &world, login(&ann), &ann_app, &intent).await;
            let by_ann = in_session_of(&ann, &proof);
            let invited = strict.user_invite(bob.account(), bob.user(), &totp(), &by_ann).await.unwrap();
            let Begin::EnrolmentRequired(required) = strict.begin(login(&bob)).await.unwrap() else {
                panic!("a method is asked for")
            };
            let right = Authority::invited(required.ticket, Some(&session(&bob)), invited.invitation);
            // What becomes of her comes between the invitation and its use.
            fate.befall(&world, &ann, &bob).await;
            let begun = strict.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &right).await;
            let started = begun.unwrap();
            let code = scan(&started).code_at(world.now());
            let expected = if stays { Ok(()) } else { Err(Reason::Superseded) };
            assert_eq!(confirmed(&strict, &started, &code).await, expected, "{fate:?}");
        }
    }
}
