//! S23: a step that lets somebody in holds every record of the account that it has read: whatever changed in between,
//! on whichever node, it is decided anew.
#![cfg(test)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, Commit, Committed, Key, LinkConfirm, LinkOpen, LinkProof, Module, Record, RequestFacts,
    Response, Scope, Store, StoreError, Timestamp, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::layer::{Layer, Layered};
use mfa_testkit::scripted::{On, Say};
use mfa_tests::acting::Acting;
use mfa_tests::devices::{let_in, trusted, trusting};
use mfa_tests::mailed::{Mailed, links};
use mfa_tests::saved::recover;
use mfa_tests::{TestStore, World, begin, host, on_stores};
use serde_json::{Value, json};

/// What was read since it was asked last, and what the commit that came then wrote or held.
#[derive(Debug, Default)]
struct Notes {
    read: Mutex<BTreeSet<Key>>,
    held: Mutex<BTreeSet<Key>>,
}

#[async_trait]
impl Layer for Notes {
    async fn get(
        &self,
        store: &dyn Store,
        keys: &[Key],
        now: Timestamp,
    ) -> Result<Vec<Option<Record>>, StoreError> {
        let records = store.get(keys, now).await?;
        let found = records.iter().flatten().map(|record| record.key.clone());
        self.read.lock().unwrap().extend(found.filter(|key| matches!(key.scope, Scope::Account(_))));
        Ok(records)
    }

    async fn commit(&self, store: &dyn Store, commit: Commit) -> Result<Committed, StoreError> {
        *self.held.lock().unwrap() = commit.writes.iter().map(|write| write.key().clone()).collect();
        store.commit(commit).await
    }
}

impl Notes {
    fn begin(&self) {
        self.read.lock().unwrap().clear();
    }

    /// Fails if something that was read could have changed unseen. Returns how much was read.
    fn held_all(&self) -> usize {
        self.held_all_but(&[])
    }

    /// The same where nothing was decided by the records of these kinds, which come with the same read.
    fn held_all_but(&self, kinds: &[&str]) -> usize {
        assert_eq!(self.unheld(), kinds);
        self.read.lock().unwrap().len()
    }

    fn unheld(&self) -> Vec<String> {
        let (read, held) = (self.read.lock().unwrap(), self.held.lock().unwrap());
        read.difference(&held).map(|key| key.kind.as_str().to_owned()).collect()
    }
}

type Noted = Arc<Layered<Arc<dyn TestStore>, Notes>>;

async fn noted(base: &World) -> (World, Noted) {
    let store = Arc::new(Layered::over(Arc::clone(&base.store), Notes::default()));
    (World::on(store.clone(), None).await, store)
}

fn assert_verified(verify: &Verify) {
    assert!(matches!(verify, Verify::Verified(_)), "{verify:?}");
}

on_stores! {
    async fn s23_an_app_s_code_holds_what_was_read_documents_included(world) {
        let (world, notes) = noted(&world).await;
        let (bob, app) = world.enrol("bob").await;
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let engine = world.node().modules(modules).build().await.unwrap();
        let own = Owner::Account(Account::new(bob.account().clone()));
        engine.settings_put(&own, &json!({"auth_modules": {"user_auth": {"enabled": true}}}), None, &host()).await.unwrap();
        engine.policy_put(&own, &json!({"attempts": 4}), None, &host()).await.unwrap();
        let challenge = begin(&engine, &bob).await;
        notes.begin();
        let code = Response::code(&app.code_at(world.now()));
        assert_verified(&engine.verify(&challenge.reference, code).await.unwrap());
        // User, secrets, challenge and the two documents.
        assert_eq!(notes.held_all(), 5);
    }

    async fn s23_a_recovery_code_holds_what_was_read(world) {
        let (world, notes) = noted(&world).await;
        let (world, _inbox) = world.with_recovery().await;
        let bob = world.add("bob").await;
        let (_, codes) = world.enrol_with_recovery(&bob).await;
        let challenge = begin(&world.engine, &bob).await;
        notes.begin();
        assert_verified(&recover(&world.engine, &challenge, &codes[0]).await.unwrap());
        assert!(notes.held_all() >= 3);
    }

    async fn s23_a_code_by_e_mail_holds_what_was_read(world) {
        let (world, notes) = noted(&world).await;
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = Response::code(&mailed.code());
        notes.begin();
        assert_verified(&mailed.engine.verify(&challenge.reference, code).await.unwrap());
        assert!(notes.held_all() >= 3);
    }

    async fn s23_a_link_holds_what_was_read_when_confirmed_and_when_claimed(world) {
        let (world, notes) = noted(&world).await;
        let mailed = Mailed::new(&world, links()).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let token = mailed.link();
        let request = RequestFacts::new();
        let LinkOpen::Valid(view) = mailed.engine.link_open(&token, &request).await.unwrap() else {
            panic!("a page")
        };
        let proof = LinkProof::SameBrowser(challenge.reference.clone());
        notes.begin();
        let confirmed = mailed.engine.link_confirm(&token, &view.nonce, &proof, &request).await.unwrap();
        assert!(matches!(confirmed, LinkConfirm::Confirmed(_)), "{confirmed:?}");
        // It was judged by the challenge's own record. Nobody is let in yet.
        notes.held_all_but(&["vault"]);
        notes.begin();
        assert_verified(&mailed.engine.claim(&challenge.reference).await.unwrap());
        assert!(notes.held_all() >= 3);
    }

    async fn s23_a_push_that_a_poll_finds_approved_holds_what_was_read(world) {
        let (world, notes) = noted(&world).await;
        let (duo, bob) = Acting::new(&world, "duo").await;
        duo.asks(On::Begin, mfa::Charge::Push);
        duo.provider.on(On::HttpStatus(200), Say::Wait(Value::Null));
        let challenge = begin(&duo.engine, &bob).await;
        duo.provider.on(On::Poll, Say::Accept);
        notes.begin();
        let polled = duo.engine.verify(&challenge.reference, Response::poll()).await.unwrap();
        assert!(matches!(polled, Verify::Pending(_)), "{polled:?}");
        // Duo's word is in the challenge's record. Nobody is let in yet.
        notes.held_all_but(&["vault"]);
        notes.begin();
        assert_verified(&duo.engine.claim(&challenge.reference).await.unwrap());
        assert!(notes.held_all() >= 3);
    }

    async fn s23_a_trusted_device_holds_what_was_read(world) {
        let (world, notes) = noted(&world).await;
        let engine = trusting(&world, &Inbox::new()).await;
        let (bob, app) = world.enrol("bob").await;
        let kept = trusted(&engine, &world, &bob, &app).await;
        notes.begin();
        assert!(let_in(&engine, &bob, &kept.token).await.is_some());
        // No challenge was opened, so how many are open did not matter.
        assert!(notes.held_all_but(&["open"]) >= 3);
    }
}
