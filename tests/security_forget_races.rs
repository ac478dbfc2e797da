//! S21: forgetting a user while another node begins something for them. Both go the same way every time: one of the
//! two stops at a chosen moment until the other is done. Afterwards what was begun is dead, or it was begun after.
#![cfg(test)]

use std::future::Future;
use std::sync::{Arc, Mutex};

use futures::executor::block_on;
use mfa::{
    Authority, Begin, Challenge, Choice, Engine, EnrolConfirm, EnrolmentStarted, Error, Intent, Invitation,
    NotRequired, Policy, Proof, Response, Store, Subject, Ticket, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::race;
use mfa_tests::attack::KINDS;
use mfa_tests::between::{Between, Moment, between};
use mfa_tests::notified::arrived;
use mfa_tests::probe::{meet, node_on, nodes_behind_a_gate};
use mfa_tests::{STEP, World, host, login, on_stores, session, totp};
use serde_json::json;

/// The moments at which a forgetting stops: its list of records is made, and its decision is not; or both are.
const OF_FORGET: [Moment; 2] = [Moment::Listed("notice"), Moment::Read("login")];

/// A world with a node that stops where it is told to.
struct Scene {
    world: World,
    inbox: Inbox,
    between: Arc<Between>,
    stopping: Engine,
    bob: Subject,
}

impl Scene {
    /// Makes one whose nodes ask every user for a method, if `enforced`.
    async fn new(base: &World, name: &str, enforced: bool) -> Self {
        let world = World::on(base.store.clone(), None).await;
        let inbox = Inbox::new();
        let between = Arc::new(between(&world.store));
        let policy = Policy::recommended().with_document(&json!({ "enforced": enforced })).expect("a policy");
        let stopping = node_on(&world, between.clone()).transport(Arc::new(inbox.clone())).policy(policy);
        let stopping = stopping.build().await;
        let bob = world.add_reachable(name).await;
        Self { world, inbox, between, stopping: stopping.expect("an engine"), bob }
    }

    /// Forgets bob, and lets `deed` happen in the middle of it. Returns what it came to.
    async fn forget_around<T: Send + 'static>(
        &self,
        moment: Moment,
        deed: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        self.between.plan(moment, async move { *keep.lock().expect("a lock") = Some(deed.await) });
        self.stopping.forget_user(self.bob.account(), self.bob.user(), &host()).await.expect("forgotten");
        assert!(self.between.is_done(), "{moment:?} never came");
        let kept = kept.lock().expect("a lock").take();
        kept.expect("a deed")
    }

    /// Does `work` on the node that stops, and forgets bob in the middle of it.
    async fn forget_within<T>(&self, moment: Moment, work: impl Future<Output = T>) -> T {
        let (engine, bob) = (self.world.node().build().await.expect("an engine"), self.bob.clone());
        self.between.plan(moment, async move {
            engine.forget_user(bob.account(), bob.user(), &host()).await.expect("forgotten");
        });
        let done = work.await;
        assert!(self.between.is_done(), "{moment:?} never came");
        done
    }

    /// Checks that the store has nothing of bob but what the host's directory has.
    async fn nothing_is_left(&self, of: &str) {
        let (store, now) = (&self.world.store, self.world.now());
        let name = self.bob.user().as_str().as_bytes();
        let further = ["proof", "ticket", "invitation", "notice"].map(mfa::RecordKind::new);
        for kind in KINDS.into_iter().chain(further).filter(|kind| kind.as_str() != "directory_user") {
            for record in store.scan(kind, None, 10_000, now).await.expect("a scan") {
                let holds = |bytes: &[u8]| bytes.windows(name.len()).any(|part| part == name);
                assert!(!holds(&record.key.id) && !holds(&record.body), "{of}: a record of kind {kind:?}");
            }
        }
    }
}

fn app_of(started: &EnrolmentStarted) -> SoftAuthenticator {
    let uri = started.revealed.get("uri").expect("a uri");
    SoftAuthenticator::scan(uri.expose_secret()).expect("a uri")
}

async fn enrol_begin(engine: &Engine, bob: &Subject, by: &Authority) -> Result<EnrolmentStarted, Error> {
    engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), by).await
}

async fn confirms(engine: &Engine, started: &EnrolmentStarted, world: &World) -> bool {
    let code = Response::code(&app_of(started).code_at(world.now()));
    match engine.enrol_confirm(&started.reference, &code).await.expect("a judgement") {
        EnrolConfirm::Rejected(_) => false,
        EnrolConfirm::Confirmed(_) | EnrolConfirm::RecoveryShown(_) => true,
        other => panic!("{other:?}"),
    }
}

on_stores! {
    async fn s21_a_login_begun_while_the_user_is_forgotten_is_dead(base) {
        for (n, moment) in OF_FORGET.into_iter().enumerate() {
            for step_up in [false, true] {
                let scene = Scene::new(&base, &format!("bob-{n}-{step_up}"), false).await;
                let app = scene.world.enrol_again(&scene.bob).await;
                let (node, bob) = (scene.world.node().build().await.unwrap(), scene.bob.clone());
                let challenge: Challenge = scene
                    .forget_around(moment, async move {
                        let begun = match step_up {
                            false => node.begin(login(&bob)).await,
                            true => node.step_up_begin(login(&bob), &Intent::disable(&bob)).await,
                        };
                        let Ok(Begin::Challenge(challenge)) = begun else { panic!("{begun:?}") };
                        challenge
                    })
                    .await;
                let code = Response::code(&app.code_at(scene.world.now()));
                let late = scene.world.engine.verify(&challenge.reference, code).await.unwrap();
                assert!(matches!(late, Verify::Rejected(_)), "{moment:?}: {late:?}");
                scene.nothing_is_left("begin").await;
            }
        }
    }

    async fn s21_a_user_forgotten_while_a_login_begins_has_no_challenge(base) {
        for step_up in [false, true] {
            let scene = Scene::new(&base, &format!("bob-{step_up}"), false).await;
            let app = scene.world.enrol_again(&scene.bob).await;
            let intent = Intent::disable(&scene.bob);
            let begun = scene
                .forget_within(Moment::Read("login"), async {
                    match step_up {
                        false => scene.stopping.begin(login(&scene.bob)).await,
                        true => scene.stopping.step_up_begin(login(&scene.bob), &intent).await,
                    }
                })
                .await;
            // It was decided again, for a user without a method.
            assert!(matches!(begun, Ok(Begin::NotRequired(NotRequired::NoMethod))), "{begun:?}");
            scene.nothing_is_left("begin").await;
            drop(app);
        }
    }

    async fn s21_an_enrolment_begun_while_the_user_is_forgotten_is_dead_even_for_who_starts_again(base) {
        for (n, moment) in OF_FORGET.into_iter().enumerate() {
            for has_record in [false, true] {
                let scene = Scene::new(&base, &format!("bob-{n}-{has_record}"), false).await;
                if has_record {
                    let _ = scene.world.enrol_again(&scene.bob).await;
                    let (account, user) = (scene.bob.account(), scene.bob.user());
                    scene.world.engine.disable(account, user, &host()).await.unwrap();
                }
                let (node, bob) = (scene.world.node().build().await.unwrap(), scene.bob.clone());
                let begun = scene.forget_around(moment, async move { enrol_begin(&node, &bob, &host()).await });
                let started = begun.await.unwrap();
                scene.nothing_is_left("enrol_begin").await;
                assert!(!confirms(&scene.world.engine, &started, &scene.world).await, "{moment:?}");
                // At the very same time the user begins again.
                let again = enrol_begin(&scene.world.engine, &scene.bob, &host()).await.unwrap();
                assert!(!confirms(&scene.world.engine, &started, &scene.world).await, "{moment:?}");
                assert!(confirms(&scene.world.engine, &again, &scene.world).await);
            }
        }
    }

    async fn s21_a_user_forgotten_while_an_enrolment_begins_has_begun_it_after(base) {
        for has_record in [false, true] {
            let scene = Scene::new(&base, &format!("bob-{has_record}"), false).await;
            if has_record {
                let _ = scene.world.enrol_again(&scene.bob).await;
            }
            let by = host();
            let begun = enrol_begin(&scene.stopping, &scene.bob, &by);
            let started = scene.forget_within(Moment::Read("login"), begun).await.unwrap();
            // It stands on a record of its own time: nothing of the former one is there.
            assert_eq!(scene.world.engine.methods(scene.bob.account(), scene.bob.user()).await.unwrap(), []);
            assert!(confirms(&scene.world.engine, &started, &scene.world).await);
        }
    }

    async fn s21_tickets_and_invitations_given_while_the_user_is_forgotten_are_none(base) {
        for (n, moment) in OF_FORGET.into_iter().enumerate() {
            for has_record in [false, true] {
                let scene = Scene::new(&base, &format!("bob-{n}-{has_record}"), true).await;
                if has_record {
                    let _ = scene.world.enrol_again(&scene.bob).await;
                    let (account, user) = (scene.bob.account(), scene.bob.user());
                    scene.world.engine.disable(account, user, &host()).await.unwrap();
                }
                let policy = Policy::recommended().with_document(&json!({ "enforced": true })).unwrap();
                let strict = scene.world.node().policy(policy).build().await.unwrap();
                let (node, bob) = (strict.clone(), scene.bob.clone());
                let deed = async move {
                    let begun = node.begin(login(&bob)).await.unwrap();
                    let Begin::EnrolmentRequired(required) = begun else { panic!("{begun:?}") };
                    let invited = node.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
                    (required.ticket, invited.invitation)
                };
                let (ticket, invitation): (Ticket, Invitation) = scene.forget_around(moment, deed).await;
                scene.nothing_is_left("begin and invite").await;
                let session = session(&scene.bob);
                for by in [
                    Authority::ticket(ticket.clone(), Some(&session)),
                    Authority::invited(ticket, Some(&session), invitation.clone()),
                ] {
                    let refused = enrol_begin(&strict, &scene.bob, &by).await;
                    assert_eq!(refused.unwrap_err().code(), "step_up_required", "{moment:?}");
                }
                // With a ticket of now, that invitation is still none.
                let Ok(Begin::EnrolmentRequired(now)) = strict.begin(login(&scene.bob)).await else { panic!() };
                let by = Authority::invited(now.ticket, Some(&session), invitation);
                let refused = enrol_begin(&strict, &scene.bob, &by).await;
                assert_eq!(refused.unwrap_err().code(), "invitation_required", "{moment:?}");
            }
        }
    }

    async fn s21_proofs_and_notices_made_while_the_user_is_forgotten_are_none(base) {
        for (n, moment) in OF_FORGET.into_iter().enumerate() {
            let scene = Scene::new(&base, &format!("bob-{n}"), false).await;
            let app = scene.world.enrol_again(&scene.bob).await;
            let _ = arrived(&scene.stopping, &scene.inbox).await;
            let intent = Intent::forget(&scene.bob);
            let Ok(Begin::Challenge(challenge)) =
                scene.world.engine.step_up_begin(login(&scene.bob), &intent).await
            else {
                panic!("a challenge was expected")
            };
            let (node, bob) = (scene.world.node().build().await.unwrap(), scene.bob.clone());
            let code = Response::code(&app.code_at(scene.world.now()));
            let proof: Proof = scene
                .forget_around(moment, async move {
                    node.user_unlock(bob.account(), bob.user(), &host()).await.unwrap();
                    let verified = node.verify(&challenge.reference, code).await.unwrap();
                    let Verify::Proven(proven) = verified else { panic!("{verified:?}") };
                    proven.proof
                })
                .await;
            scene.nothing_is_left("verify and unlock").await;
            assert_eq!(arrived(&scene.stopping, &scene.inbox).await, []);
            let _ = scene.world.enrol_again(&scene.bob).await;
            let by = Authority::proof(proof, Some(&session(&scene.bob)));
            let refused = scene.world.engine.forget_user(scene.bob.account(), scene.bob.user(), &by).await;
            assert_eq!(refused.unwrap_err().code(), "step_up_required");
        }
    }

    async fn s21_a_right_code_that_meets_a_forgetting_is_used_before_it_or_refused(base) {
        let (gate, nodes) = nodes_behind_a_gate(&base, 2).await;
        for round in 0..4 {
            let bob = base.add(&format!("bob-{round}")).await;
            let app = base.enrol_again(&bob).await;
            let challenge = base.begin(&bob).await;
            let code = app.code_at(base.now());
            // Both have read the user's record before either may write.
            meet(&gate, 2);
            let mut outcomes = race(2, async |i: usize| match i {
                0 => {
                    let verified = nodes[0].verify(&challenge.reference, Response::code(&code)).await;
                    matches!(verified.unwrap(), Verify::Verified(_))
                }
                _ => {
                    nodes[1].forget_user(bob.account(), bob.user(), &host()).await.unwrap();
                    true
                }
            });
            assert_eq!(outcomes.pop(), Some(true));
            let late = base.answer(&challenge, &app.code_at(base.now().plus(STEP))).await;
            assert!(matches!(late, Verify::Rejected(_)), "{late:?}");
            assert_eq!(base.engine.methods(bob.account(), bob.user()).await.unwrap(), []);
            let of_bob = base.events().await.into_iter().filter(|event| event.user() == Some(bob.user()));
            assert_eq!(of_bob.count(), 0, "no event of a forgotten user names them");
            base.clock.advance(STEP);
        }
    }

    async fn s21_two_nodes_forget_a_user_at_once(base) {
        let (gate, nodes) = nodes_behind_a_gate(&base, 2).await;
        let (bob, app) = base.enrol("bob").await;
        let challenge = base.begin(&bob).await;
        meet(&gate, 2);
        let forgotten = race(2, async |i: usize| {
            nodes[i].forget_user(bob.account(), bob.user(), &host()).await.is_ok()
        });
        assert_eq!(forgotten, [true, true]);
        let late = base.answer(&challenge, &app.code_at(base.now())).await;
        assert!(matches!(late, Verify::Rejected(_)));
        let begun = base.engine.begin(login(&bob)).await;
        assert!(matches!(begun, Ok(Begin::NotRequired(NotRequired::NoMethod))));
    }
}

/// The moments are those that the tests say: a forgetting lists before it reads.
#[test]
fn a_forgetting_lists_first_and_reads_then() {
    block_on(async {
        let base = World::memory().await;
        let scene = Scene::new(&base, "bob", false).await;
        let _ = scene.world.enrol_again(&scene.bob).await;
        let bob = scene.bob.clone();
        let node = scene.world.node().build().await.unwrap();
        let seen = scene.forget_around(Moment::Listed("pending"), async move {
            node.methods(bob.account(), bob.user()).await.unwrap().len()
        });
        assert_eq!(seen.await, 1);
    });
}
