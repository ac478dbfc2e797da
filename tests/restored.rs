//! S16: a backup came back, and with it what had been used since; the barrier makes it used again.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::{Kind, Query};
use mfa::sqlite::SqliteStore;
use mfa::{
    Account, Authority, Begin, Challenge, Choice, EnrolConfirm, EnrolmentStarted, Intent, MethodSelector,
    Policy, Proof, Reason, Record, RecoveryForm, Rejected, Response, Scope, Subject, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::faults::{At, Fault, FaultStore};
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{delete, overwrite};
use mfa_tests::probe::node_on;
use mfa_tests::rights::exemption;
use mfa_tests::rings::records;
use mfa_tests::{STEP, World, acme, host, login, on_stores, session, totp};
use serde_json::json;

/// Until a code is shown that was not possible when the barrier was raised.
const WINDOW: Duration = Duration::from_secs(60);

/// Puts everything back as it was, row by row, versions and all. The log goes on.
async fn put_back(world: &World, backup: &[Record]) {
    for record in records(world).await {
        delete(world, record.key).await;
    }
    for record in backup {
        overwrite(world, record).await;
    }
}

async fn bar(world: &World) -> u64 {
    world.engine.restore_barrier("olga", "the backup of noon came back").await.unwrap()
}

fn reason(verify: &Verify) -> Option<Reason> {
    match verify {
        Verify::Verified(_) => None,
        Verify::Rejected(Rejected { reason, .. }) => Some(*reason),
        other => panic!("{other:?}"),
    }
}

async fn answer(world: &World, bob: &Subject, code: &str) -> Option<Reason> {
    let challenge = world.begin(bob).await;
    reason(&world.answer(&challenge, code).await)
}

async fn answer_by(world: &World, bob: &Subject, method: &MethodSelector, code: &str) -> Option<Reason> {
    let challenge = world.begin(bob).await;
    let response = Response::code(code).with_method(method.clone());
    reason(&world.engine.verify(&challenge.reference, response).await.unwrap())
}

async fn recover(world: &World, bob: &Subject, code: &str) -> Option<Reason> {
    let challenge = world.begin(bob).await;
    reason(&world.recover(&challenge, code).await)
}

async fn bypass(world: &World, bob: &Subject, code: &str) -> Option<Reason> {
    let challenge = world.begin(bob).await;
    let response = Response::answer(mfa::Answer::bypass(code));
    reason(&world.engine.verify(&challenge.reference, response).await.unwrap())
}

async fn told(world: &World, inbox: &Inbox) -> Vec<(String, String)> {
    world.engine.drain_outbox(1000).await.unwrap();
    inbox.take().into_iter().map(|message| (message.to, message.subject.unwrap_or_default())).collect()
}

/// A user with everything that can be used up, as it was when the backup was made.
struct Noon {
    bob: Subject,
    app: SoftAuthenticator,
    codes: Vec<String>,
    bypass: String,
    proof: Proof,
    preferred: MethodSelector,
    open: Challenge,
    pending: (EnrolmentStarted, SoftAuthenticator),
}

impl Noon {
    async fn of(world: &World) -> Self {
        let bob = world.add_reachable("bob").await;
        let (account, user) = (bob.account(), bob.user());
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        let life = Duration::from_secs(6 * 3600);
        let bypass = world.engine.bypass_issue(account, user, life, &host()).await.unwrap();
        let first = world.engine.methods(account, user).await.unwrap()[0].id;
        let proof = world.prove(&bob, &app, &Intent::prefer_method(&bob, first)).await;
        let open = world.begin(&bob).await;
        let begun = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
        let new_app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
        Self {
            app,
            codes,
            bypass: bypass.code.expose_secret().to_owned(),
            proof,
            preferred: MethodSelector::Enrolment(first),
            open,
            pending: (begun, new_app),
            bob,
        }
    }

    async fn confirm(&self, world: &World) -> EnrolConfirm {
        let code = Response::code(&self.pending.1.code_at(world.now()));
        world.engine.enrol_confirm(&self.pending.0.reference, &code).await.unwrap()
    }

    async fn spend(&self, world: &World) -> Result<mfa::EnrolmentId, mfa::Error> {
        let authority = Authority::proof(self.proof.clone(), Some(&session(&self.bob)));
        world.engine.method_prefer(self.bob.account(), self.bob.user(), &self.preferred, &authority).await
    }
}

on_stores! {
    async fn s16_after_the_barrier_nothing_that_was_used_since_the_backup_works_again(world) {
        let (world, inbox) = world.with_recovery().await;
        let noon = Noon::of(&world).await;
        let bob = &noon.bob;
        let backup = records(&world).await;
        told(&world, &inbox).await;
        let used = noon.app.code_at(world.now());
        // Each is used once; each time the backup shows that it would work once more without the barrier.
        for _ in 0..2 {
            put_back(&world, &backup).await;
            noon.spend(&world).await.unwrap();
            assert!(matches!(noon.confirm(&world).await, EnrolConfirm::Confirmed(_)));
            assert_eq!(reason(&world.answer(&noon.open, &used).await), None);
            assert_eq!(recover(&world, bob, &noon.codes[0]).await, None);
            assert_eq!(bypass(&world, bob, &noon.bypass).await, None);
        }
        put_back(&world, &backup).await;
        told(&world, &inbox).await;

        assert_eq!(bar(&world).await, 1);
        // What was open has ended, for a code of any time.
        for code in [&used, &noon.app.code_at(world.now().plus(STEP))] {
            assert_eq!(reason(&world.answer(&noon.open, code).await), Some(Reason::Superseded));
        }
        assert_eq!(noon.spend(&world).await.unwrap_err().code(), "step_up_required");
        let confirmed = noon.confirm(&world).await;
        let EnrolConfirm::Rejected(rejected) = confirmed else { panic!("{confirmed:?}") };
        assert_eq!(rejected.reason, Reason::Superseded);
        // Used codes, and every other one that was possible before.
        assert_eq!(answer(&world, bob, &used).await, Some(Reason::Replayed));
        assert_eq!(answer(&world, bob, &noon.app.code_at(world.now().plus(STEP))).await, Some(Reason::Replayed));
        assert_eq!(answer(&world, bob, &noon.app.code_at(world.now().minus(STEP))).await, Some(Reason::Replayed));
        // The set as a whole, of which nobody knows what was used, and the code of the administrator.
        for code in &noon.codes[..2] {
            assert!(recover(&world, bob, code).await.is_some());
        }
        assert!(bypass(&world, bob, &noon.bypass).await.is_some());
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        assert!(methods.iter().all(|method| !method.is_recovery || method.stopped), "{methods:?}");
        // Bob is told; and logs in by a code that was not possible before.
        let subjects = told(&world, &inbox).await;
        let void = ("bob@acme.example".to_owned(), "Your recovery codes must be issued anew".to_owned());
        assert!(subjects.contains(&void), "{subjects:?}");
        world.clock.advance(WINDOW);
        assert_eq!(answer(&world, bob, &noon.app.code_at(world.now())).await, None);
        // A new set works, and the old one does not come back with it.
        let form = RecoveryForm::Codes;
        let issued = world.engine.recovery_issue(bob.account(), bob.user(), form, &host()).await.unwrap();
        let shown = issued.revealed.get("codes").unwrap().expose_secret().to_owned();
        assert!(recover(&world, bob, &noon.codes[5]).await.is_some());
        assert_eq!(recover(&world, bob, shown.lines().next().unwrap()).await, None);
    }

    async fn s16_tickets_and_invitations_of_a_backup_end_with_the_barrier(world) {
        let (world, inbox) = world.with_recovery().await;
        let policy = json!({ "enforced": true, "first_enrolment_needs_invitation": true, "recovery": "none" });
        let policy = Policy::recommended().with_document(&policy).unwrap();
        let engine = world.recovery_node(&inbox).policy(policy).build().await.unwrap();
        let new = world.add("new").await;
        let (account, user) = (new.account(), new.user());
        let invitation = engine.user_invite(account, user, &totp(), &host()).await.unwrap().invitation;
        let Begin::EnrolmentRequired(required) = engine.begin(login(&new)).await.unwrap() else {
            panic!("a ticket was expected")
        };
        let authority = Authority::invited(required.ticket, Some(&session(&new)), invitation);
        let backup = records(&world).await;
        let begin = async || engine.enrol_begin(account, user, &totp(), &Choice::none(), &authority).await;
        assert!(begin().await.is_ok());
        assert_eq!(begin().await.unwrap_err().code(), "step_up_required");
        put_back(&world, &backup).await;
        assert!(begin().await.is_ok(), "without the barrier it works again");
        put_back(&world, &backup).await;
        engine.restore_barrier("olga", "a test").await.unwrap();
        assert_eq!(begin().await.unwrap_err().code(), "step_up_required");
        // The invitation by itself is gone too: a new ticket does not help.
        let Begin::EnrolmentRequired(_) = engine.begin(login(&new)).await.unwrap() else {
            panic!("a ticket was expected")
        };
        let left = records(&world).await;
        assert!(left.iter().all(|record| record.key.kind.as_str() != "invitation"), "{left:?}");
    }

    async fn s16_a_removed_method_comes_back_with_the_backup_and_the_log_says_that_it_was_removed(world) {
        // What a store does not know any more nobody can restore; the log, which went on, knows it.
        let (bob, app) = world.enrol("bob").await;
        let other = world.enrol_again(&bob).await;
        let backup = records(&world).await;
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        let removed = methods.iter().max_by_key(|method| method.created_at).unwrap().id;
        let selector = MethodSelector::Enrolment(removed);
        let used = other.code_at(world.now());
        assert_eq!(answer_by(&world, &bob, &selector, &used).await, None);
        world.engine.method_remove(bob.account(), bob.user(), &selector, &host()).await.unwrap();
        put_back(&world, &backup).await;
        bar(&world).await;
        assert_eq!(answer_by(&world, &bob, &selector, &used).await, Some(Reason::Replayed));
        let methods = world.engine.methods(bob.account(), bob.user()).await.unwrap();
        assert_eq!(methods.len(), 2);
        let told = world.events_of(Kind::EnrolmentRemoved).await;
        assert_eq!(told[0].field("enrolment"), Some(&*removed.to_string()));
        // So that the host does it again.
        world.engine.method_remove(bob.account(), bob.user(), &selector, &host()).await.unwrap();
        world.clock.advance(WINDOW);
        assert_eq!(answer(&world, &bob, &app.code_at(world.now())).await, None);
    }

    async fn s16_a_user_whom_the_directory_lost_does_not_keep_the_barrier_from_the_others(world) {
        let (world, inbox) = world.with_recovery().await;
        let mut users = Vec::new();
        for name in ["ann", "bob", "eve"] {
            let user = world.add_reachable(name).await;
            let (app, codes) = world.enrol_with_recovery(&user).await;
            users.push((user, app, codes));
        }
        let gone = users[1].0.clone();
        world.directory.remove(gone.account(), gone.user()).await.unwrap();
        told(&world, &inbox).await;
        let open = world.begin(&gone).await;
        assert_eq!(bar(&world).await, 3);
        let void: Vec<_> = told(&world, &inbox).await.into_iter().map(|(to, _)| to).collect();
        assert_eq!(void.len(), 2, "{void:?}");
        assert!(!void.contains(&"bob@acme.example".to_owned()), "{void:?}");
        assert_eq!(reason(&world.answer(&open, &users[1].1.code_at(world.now())).await), Some(Reason::Superseded));
        for (user, _, codes) in &users {
            assert!(recover(&world, user, &codes[0]).await.is_some());
        }
        let voided = world.events_of(Kind::RecoveryVoided).await;
        assert_eq!(voided.len(), 3);
        assert!(voided.iter().all(|event| event.stream().is_some()));
    }

    async fn s16_the_barrier_raised_twice_is_one_barrier(world) {
        let (world, inbox) = world.with_recovery().await;
        let bob = world.add_reachable("bob").await;
        let (app, codes) = world.enrol_with_recovery(&bob).await;
        told(&world, &inbox).await;
        assert_eq!(bar(&world).await, 1);
        assert_eq!(told(&world, &inbox).await.len(), 1);
        world.clock.advance(WINDOW);
        let open = world.begin(&bob).await;
        let fresh = app.code_at(world.now());
        assert_eq!(bar(&world).await, 1);
        assert_eq!(told(&world, &inbox).await.len(), 0);
        // The second one is as good as the first, and moves it to its own time.
        assert_eq!(reason(&world.answer(&open, &fresh).await), Some(Reason::Superseded));
        assert_eq!(answer(&world, &bob, &fresh).await, Some(Reason::Replayed));
        assert!(recover(&world, &bob, &codes[0]).await.is_some());
        world.clock.advance(WINDOW);
        assert_eq!(answer(&world, &bob, &app.code_at(world.now())).await, None);
        assert_eq!(world.events_of(Kind::RecoveryVoided).await.len(), 1);
        let query = Query::new(Scope::System).ascending();
        let events = audit_model::all(&*world.store, &query, 1000).await.unwrap();
        let raised: Vec<_> = events.iter().filter(|event| event.kind() == Kind::BackupRestored).collect();
        assert_eq!(raised.len(), 2);
        for event in raised {
            assert_eq!(event.actor(), Some("olga"));
            assert_eq!(event.reason(), Some("the backup of noon came back"));
            assert_eq!(event.field("users"), Some("1"));
        }
    }

    async fn s16_a_barrier_that_fails_anywhere_is_raised_by_calling_again(world) {
        let mut users = Vec::new();
        for name in ["ann", "bob", "eve"] {
            users.push(world.enrol(name).await);
        }
        let proof = world.prove(&users[0].0, &users[0].1, &Intent::disable(&users[0].0)).await;
        let mut open = Vec::new();
        for (user, _) in &users {
            open.push(world.begin(user).await);
        }
        let backup = records(&world).await;
        let faults = Arc::new(FaultStore::new(Arc::clone(&world.store)));
        let engine = node_on(&world, faults.clone()).build().await.unwrap();
        let used: Vec<_> = users.iter().map(|(_, app)| app.code_at(world.now())).collect();
        // A commit for each user, one for the proof, one for the event.
        for (at, fault) in [(At::BeforeCommit, Fault::Unavailable), (At::AfterCommit, Fault::Unavailable), (At::OnList, Fault::Unavailable)] {
            for skip in 0..5 {
                put_back(&world, &backup).await;
                let begun = world.events().await.len();
                faults.fail_later(at, fault, skip, 1);
                let failed = engine.restore_barrier("olga", "a test").await;
                assert_eq!(failed.unwrap_err().code(), "unavailable", "{at:?} {skip}");
                assert!(faults.heal());
                assert!(world.events().await.len() >= begun);
                assert_eq!(engine.restore_barrier("olga", "a test").await.unwrap(), 3);
                for ((user, _), (open, used)) in users.iter().zip(open.iter().zip(&used)) {
                    assert_eq!(reason(&world.answer(open, used).await), Some(Reason::Superseded), "{skip}");
                    assert_eq!(answer(&world, user, used).await, Some(Reason::Replayed), "{at:?} {skip}");
                }
                let authority = Authority::proof(proof.clone(), Some(&session(&users[0].0)));
                let spent = engine.disable(users[0].0.account(), users[0].0.user(), &authority).await;
                assert_eq!(spent.unwrap_err().code(), "step_up_required");
            }
        }
        world.clock.advance(WINDOW);
        for (user, app) in &users {
            assert_eq!(answer(&world, user, &app.code_at(world.now())).await, None);
        }
    }

    async fn s16_what_no_key_reads_now_is_voided_by_the_barrier_as_another_key_may_read_it_later(world) {
        let policy = Policy::recommended().with_document(&json!({"exemptions": true})).unwrap();
        let engine = world.node().policy(policy).build().await.unwrap();
        let export = world.add("export").await;
        engine.exemption_grant(export.account(), export.user(), &exemption(), &host()).await.unwrap();
        engine.api_key_create(&Account::new(acme()), &host()).await.unwrap();
        let ours = |record: &Record| ["exemptions", "api_key"].contains(&record.key.kind.as_str());
        let mut backup: Vec<_> = records(&world).await.into_iter().filter(ours).collect();
        assert_eq!(backup.len(), 2);
        for record in &mut backup {
            *record.body.last_mut().unwrap() ^= 1;
            overwrite(&world, record).await;
        }
        bar(&world).await;
        assert!(!records(&world).await.iter().any(ours));
        let [ended] = &world.events_of(Kind::ExemptionEnded).await[..] else { panic!("one event") };
        assert_eq!((ended.field("exemption"), ended.reason()), (Some("unreadable"), Some("backup_restored")));
        assert_eq!(world.events_of(Kind::ApiKeyVoided).await.len(), 1);
        // With the key that reads them they would have been as they were.
        for record in &mut backup {
            *record.body.last_mut().unwrap() ^= 1;
        }
        put_back(&world, &backup).await;
        assert_eq!(engine.exemptions(export.account()).await.unwrap().len(), 1);
    }

    async fn s25_a_barrier_of_a_clock_that_ran_ahead_locks_nobody_out(world) {
        for ahead in [31, 3600, 365 * 86_400] {
            let (bob, app) = world.enrol(&format!("bob-{ahead}")).await;
            let telephone = world.now();
            let used = app.code_at(telephone);
            assert_eq!(answer(&world, &bob, &used).await, None);
            world.clock.advance(Duration::from_secs(ahead));
            bar(&world).await;
            // The clock is set right; the owner's has been all the time.
            world.clock.set(telephone);
            if let Begin::Challenge(challenge) = world.engine.begin(login(&bob)).await.unwrap() {
                assert!(reason(&world.answer(&challenge, &used).await).is_some());
            }
            world.clock.advance(WINDOW);
            assert!(answer(&world, &bob, &used).await.is_some());
            assert_eq!(answer(&world, &bob, &app.code_at(world.now())).await, None, "{ahead}");
            world.clock.advance(STEP);
        }
    }

    async fn s25_a_barrier_of_the_past_refuses_nothing_that_came_after_it(world) {
        let (bob, app) = world.enrol("bob").await;
        bar(&world).await;
        for gap in [60, 3600, 365 * 86_400] {
            world.clock.advance(Duration::from_secs(gap));
            let code = app.code_at(world.now());
            assert_eq!(answer(&world, &bob, &code).await, None);
            assert_eq!(answer(&world, &bob, &code).await, Some(Reason::Replayed));
        }
        // A step back past what is tolerated makes neither a used code nor one from before the barrier fresh.
        let before = app.code_at(mfa_tests::start().plus(STEP));
        world.clock.set(mfa_tests::start().plus(STEP));
        assert!(answer(&world, &bob, &before).await.is_some());
    }

    async fn s16_a_user_who_binds_a_method_after_the_barrier_confirms_it_by_a_code_of_afterwards(world) {
        let bob = world.add("bob").await;
        bar(&world).await;
        let (account, user) = (bob.account(), bob.user());
        let begun = world.engine.enrol_begin(account, user, &totp(), &Choice::none(), &host()).await.unwrap();
        let app = SoftAuthenticator::scan(begun.revealed.get("uri").unwrap().expose_secret()).unwrap();
        let code = Response::code(&app.code_at(world.now()));
        let confirmed = world.engine.enrol_confirm(&begun.reference, &code).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        // Of a store without users there is nothing to go through, and that is said.
        assert_eq!(bar(&World::memory().await).await, 0);
    }
}

#[test]
fn s16_a_copy_of_the_file_put_in_the_place_of_the_file_is_made_safe_by_the_barrier() {
    futures::executor::block_on(async {
        let (world, inbox) = World::sqlite().await.with_recovery().await;
        let noon = Noon::of(&world).await;
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("mfa.db");
        let file = rusqlite::Connection::open(world.file().unwrap()).unwrap();
        file.execute_batch(&format!("VACUUM INTO '{}'", copy.display())).unwrap();
        drop(file);
        std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let used = noon.app.code_at(world.now());
        assert_eq!(answer(&world, &noon.bob, &used).await, None);
        assert_eq!(recover(&world, &noon.bob, &noon.codes[0]).await, None);
        told(&world, &inbox).await;

        let store = SqliteStore::open(&copy).unwrap();
        let (restored, inbox) = World::on(Arc::new(store), None).await.with_recovery().await;
        restored.clock.set(world.now());
        assert_eq!(bar(&restored).await, 1);
        assert_eq!(reason(&restored.answer(&noon.open, &used).await), Some(Reason::Superseded));
        assert_eq!(answer(&restored, &noon.bob, &used).await, Some(Reason::Replayed));
        assert!(recover(&restored, &noon.bob, &noon.codes[0]).await.is_some());
        assert!(bypass(&restored, &noon.bob, &noon.bypass).await.is_some());
        assert_eq!(noon.spend(&restored).await.unwrap_err().code(), "step_up_required");
        assert!(!told(&restored, &inbox).await.is_empty());
        restored.clock.advance(WINDOW);
        assert_eq!(answer(&restored, &noon.bob, &noon.app.code_at(restored.now())).await, None);
    });
}
