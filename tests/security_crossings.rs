//! What one feature must not undo of another: rights, proofs, invitations and methods whose ground has changed.
#![cfg(test)]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::settings::{Modules, Owner};
use mfa::{
    Account, AccountId, Ancestor, Authority, Begin, Channel, Choice, Denied, DeniedReason, Engine,
    EnrolConfirm, Error, FirstFactor, FirstFactorKind, Intent, KeyId, KeyRing, KeyRingError, LinkConfirm,
    LinkOpen, LinkProof, LinkToken, Login, Message, Module, NotDelivered, Policy, Provider, Reason, Receipt,
    RecoveryForm, Reference, Rejected, RequestFacts, Response, Store, Subject, Target, Transport, UserId,
    Verify,
};
use mfa_testkit::entropy::SeededEntropy;
use mfa_testkit::inbox::Inbox;
use mfa_tests::attack::{overwrite, records};
use mfa_tests::doubles::{SCRIPTED_CODE, enrol_in, scripted};
use mfa_tests::exempt::{answer, by_key, exempting_node, grant};
use mfa_tests::mailed::{Mailed, links, texts};
use mfa_tests::rights::{enrol_by, exemption, first_factor, in_session_of, prove_on, scan, subject_of};
use mfa_tests::{STEP, World, acme, host, login, on_stores, session, totp};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(3600);

/// A login whose first factor came so.
fn over(whom: &Subject, kind: FirstFactorKind, channel: Channel) -> Login {
    let first = FirstFactor::verified_now(kind, channel, Some(&session(whom)));
    Login::new(whom.clone(), first, Module::parse("user_auth").unwrap())
}

/// An engine whose policy asks every user for a method.
async fn enforcing(world: &World, more: &Value) -> Engine {
    let policy = Policy::recommended().with_document(&json!({"enforced": true})).unwrap();
    world.node().policy(policy.with_document(more).unwrap()).build().await.unwrap()
}

async fn ticket(engine: &Engine, whom: &Subject) -> mfa::Ticket {
    match engine.begin(login(whom)).await.unwrap() {
        Begin::EnrolmentRequired(required) => required.ticket,
        other => panic!("a ticket was expected: {other:?}"),
    }
}

/// What beginning to enrol an app came to, in a word.
async fn begun(engine: &Engine, whom: &Subject, by: &Authority) -> &'static str {
    let begun = engine.enrol_begin(whom.account(), whom.user(), &totp(), &Choice::none(), by).await;
    begun.map_or_else(|error| error.code(), |_| "begun")
}

on_stores! {
    async fn s10_whoever_has_the_channel_of_the_first_factor_proves_no_change(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let cases = [
            ("ann", "email", FirstFactorKind::EmailLink, Channel::Email),
            ("bob", "sms", FirstFactorKind::Password, Channel::Phone),
        ];
        let (carl, _app) = world.enrol("carl").await;
        for (name, provider, kind, channel) in cases {
            let user = mailed.add(&world, name).await.with_rank(5);
            world.directory.put(&user).await.unwrap();
            mailed.enrol(&world, &user, provider).await;
            world.clock.advance(HOUR);
            for intent in [Intent::add_method(&user, &totp()), Intent::reset(&carl)] {
                let same = mailed.engine.step_up_begin(over(&user, kind, channel), &intent).await.unwrap();
                assert!(matches!(same, Begin::Denied(Denied { reason: DeniedReason::Unavailable, .. })), "{provider}: {same:?}");
                // After a password that was typed it is a second factor.
                let other = mailed.engine.step_up_begin(login(&user), &intent).await.unwrap();
                assert!(matches!(other, Begin::Challenge(_)), "{provider}: {other:?}");
                drop(mailed.inbox.take());
                world.clock.advance(HOUR);
            }
        }
    }

    async fn s10_an_answer_by_the_way_of_the_first_factor_proves_nothing_whatever_else_its_provider_has(world) {
        let by = |channel| {
            let provider = scripted(Vec::new());
            let mut descriptor = provider.describe().clone();
            descriptor.channel = channel;
            world.node().provider(provider.described_as(descriptor)).build()
        };
        // The provider has two ways: it is asked for by a push, and answered by a code of the authenticator.
        let (pushes, codes) = (by(Channel::Push).await.unwrap(), by(Channel::Device).await.unwrap());
        let bob = world.add("bob").await;
        enrol_in(&pushes, &bob, "scripted", SCRIPTED_CODE).await;
        let intent = Intent::add_method(&bob, &totp());
        for (channel, told) in [(Channel::Device, "denied"), (Channel::Direct, "proven")] {
            let first = over(&bob, FirstFactorKind::Password, channel);
            let Begin::Challenge(challenge) = pushes.step_up_begin(first, &intent).await.unwrap() else { panic!() };
            let answered = codes.verify(&challenge.reference, Response::code(SCRIPTED_CODE)).await.unwrap();
            let word = match answered {
                Verify::Proven(_) => "proven",
                Verify::Rejected(rejected) => rejected.reason.code(),
                other => panic!("{other:?}"),
            };
            assert_eq!(word, told, "{channel:?}");
        }
        assert_eq!(world.events_of(Kind::AnswerRejected).await.len(), 1);
    }

    async fn s14_a_challenge_of_before_lets_nobody_in_by_e_mail_once_something_stronger_is_bound(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        world.clock.advance(HOUR);
        let eves = mailed.begin(&bob).await;
        let code = mailed.code();
        enrol_by(&mailed.engine, &world, &bob, &host()).await;
        let told = mailed.answer(&eves, &code).await;
        assert!(matches!(told, Verify::Rejected(Rejected { reason: Reason::Unavailable, .. })), "{told:?}");
        let sent = mailed.inbox.take().len();
        let again = mailed.engine.resend(&eves.reference).await.unwrap();
        assert!(!matches!(again, mfa::Changed::Done(_)), "{again:?}");
        assert_eq!((sent, mailed.inbox.take().len()), (0, 0));
    }

    async fn s29_an_administrator_who_is_none_any_more_sets_nobody_up(world) {
        let ann = subject_of("acme", "ann").with_rank(5);
        world.directory.put(&ann).await.unwrap();
        let app = world.enrol_again(&ann).await;
        let bob = world.add("bob").await;
        let proof = prove_on(&world.engine, &world, login(&ann), &app, &Intent::add_method(&bob, &totp())).await;
        let right = in_session_of(&ann, &proof);
        let started =
            world.engine.enrol_begin(bob.account(), bob.user(), &totp(), &Choice::none(), &right).await.unwrap();
        world.directory.put(&ann.clone().with_rank(0)).await.unwrap();
        let code = Response::code(&scan(&started).code_at(world.now()));
        let refused = world.engine.enrol_confirm(&started.reference, &code).await.unwrap();
        assert!(
            matches!(refused, EnrolConfirm::Rejected(Rejected { reason: Reason::Superseded, .. })),
            "{refused:?}"
        );
    }

    async fn s29_a_reset_ends_the_invitation_of_a_user_without_a_record(world) {
        let strict = enforcing(&world, &json!({})).await;
        let bob = world.add("bob").await;
        let invited = strict.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
        strict.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        let right = Authority::invited(ticket(&strict, &bob).await, Some(&session(&bob)), invited.invitation);
        assert_eq!(begun(&strict, &bob, &right).await, "invitation_required");
        // Another one is good.
        let invited = strict.user_invite(bob.account(), bob.user(), &totp(), &host()).await.unwrap();
        let right = Authority::invited(ticket(&strict, &bob).await, Some(&session(&bob)), invited.invitation);
        assert_eq!(begun(&strict, &bob, &right).await, "begun");
    }

    async fn s29_set_ups_that_were_begun_with_a_password_keep_nobody_out_once_they_are_ended(world) {
        let strict = enforcing(&world, &json!({"first_enrolment_needs_invitation": false})).await;
        let bob = world.add("bob").await;
        let by_ticket = |ticket| Authority::ticket(ticket, Some(&session(&bob)));
        for _ in 0..64 {
            assert_eq!(begun(&strict, &bob, &by_ticket(ticket(&strict, &bob).await)).await, "begun");
        }
        let one_more = by_ticket(ticket(&strict, &bob).await);
        assert_eq!(begun(&strict, &bob, &one_more).await, "too_many_pending");
        // The password is changed, and the host ends what was begun with the other one.
        strict.revoke(bob.account(), bob.user(), &host()).await.unwrap();
        assert_eq!(begun(&strict, &bob, &by_ticket(ticket(&strict, &bob).await)).await, "begun");
    }

    async fn s09_a_proof_ends_with_the_offer_of_the_method_that_made_it(world) {
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let engine = world.node().modules(modules).build().await.unwrap();
        let (bob, app) = world.enrol("bob").await;
        let proof = prove_on(&engine, &world, login(&bob), &app, &Intent::disable(&bob)).await;
        let owner = Owner::Account(Account::new(acme()));
        engine.policy_put(&owner, &json!({"offered": ["duo"]}), None, &host()).await.unwrap();
        let refused = engine.disable(bob.account(), bob.user(), &in_session_of(&bob, &proof)).await;
        assert_eq!(refused.unwrap_err().code(), "step_up_required");
    }

    async fn s08_nobody_gives_up_what_a_module_asks_for(world) {
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let engine = world.node().modules(modules).build().await.unwrap();
        let owner = Owner::Account(Account::new(acme()));
        let (bob, app) = world.enrol("bob").await;
        for (asks, told) in [(true, "policy_forbids"), (false, "done")] {
            let settings = json!({"auth_modules":
                {"user_auth": {"enabled": true, "multi_factor": {"enabled": asks}}}});
            engine.settings_put(&owner, &settings, None, &host()).await.unwrap();
            world.clock.advance(STEP);
            let proof = prove_on(&engine, &world, login(&bob), &app, &Intent::disable(&bob)).await;
            let disabled = engine.disable(bob.account(), bob.user(), &in_session_of(&bob, &proof)).await;
            assert_eq!(disabled.map_or_else(|error| error.code(), |()| "done"), told, "asks: {asks}");
        }
    }

    async fn s08_where_no_module_asks_a_first_method_takes_a_first_factor(world) {
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let engine = world.node().policy(Policy::kazoo()).modules(modules).build().await.unwrap();
        let bob = world.add("bob").await;
        let owner = Owner::Account(Account::new(acme()));
        for (asks, told) in [(false, "begun"), (true, "policy_forbids")] {
            let settings = json!({"auth_modules":
                {"user_auth": {"enabled": true, "multi_factor": {"enabled": asks}}}});
            engine.settings_put(&owner, &settings, None, &host()).await.unwrap();
            assert_eq!(begun(&engine, &bob, &first_factor(&bob)).await, told, "asks: {asks}");
        }
    }

    async fn s29_who_has_a_method_is_told_to_nobody_without_a_right(world) {
        let (bob, _app) = world.enrol("bob").await;
        let carl = world.add("carl").await;
        let method = "totp".parse().unwrap();
        for eve in [subject_of("acme", "eve"), subject_of("other", "eve")] {
            world.directory.put(&eve).await.unwrap();
            let app = world.enrol_again(&eve).await;
            // A proof of her own, for another change.
            let proof = prove_on(&world.engine, &world, login(&eve), &app, &Intent::disable(&eve)).await;
            let by_eve = in_session_of(&eve, &proof);
            for whom in [&bob, &carl] {
                let (engine, account, user) = (&world.engine, whom.account(), whom.user());
                let before = world.events_of(Kind::ChangeRefused).await.len();
                let told = [
                    engine.bypass_issue(account, user, HOUR, &by_eve).await.map(drop),
                    engine.recovery_issue(account, user, RecoveryForm::Key, &by_eve).await.map(drop),
                    engine.method_prefer(account, user, &method, &by_eve).await.map(drop),
                    engine.method_remove(account, user, &method, &by_eve).await.map(drop),
                ];
                for told in told {
                    assert_eq!(told.unwrap_err().code(), "step_up_required", "{eve:?}: {user}");
                }
                assert_eq!(world.events_of(Kind::ChangeRefused).await.len(), before + 4, "{eve:?}: {user}");
            }
        }
        // Whoever may is told.
        let unknown = world.engine.method_remove(carl.account(), carl.user(), &method, &host()).await;
        assert_eq!(unknown.unwrap_err().code(), "unknown_method");
        let nothing = world.engine.bypass_issue(carl.account(), carl.user(), HOUR, &host()).await;
        assert_eq!(nothing.unwrap_err().code(), "no_method");
    }

    async fn s16_a_barrier_that_cannot_read_a_user_says_so(world) {
        world.enrol("bob").await;
        let ring = KeyRing::new(KeyId::parse("k9").unwrap(), [0x99; 32]).unwrap();
        let (store, clock): (Arc<dyn Store>, _) = (world.store.clone(), Arc::new(world.clock.clone()));
        let other = Engine::builder(store, world.directory.clone(), ring, clock)
            .entropy(Arc::new(SeededEntropy::new(77_777)))
            .provider(mfa::totp::Totp::new("Example").unwrap())
            .danger_test_doubles()
            .build()
            .await
            .unwrap();
        let refused = other.restore_barrier("ops", "a backup came back").await.unwrap_err();
        assert!(matches!(refused, Error::KeyRing(KeyRingError::Unknown)), "{refused:?}");
        assert_eq!(world.engine.restore_barrier("ops", "a backup came back").await.unwrap(), 1);
    }

    async fn s12_a_login_that_leaves_out_what_is_above_its_account_is_an_error_where_accounts_decide(world) {
        let modules = Modules::new().with(Module::parse("user_auth").unwrap());
        let engine = world.node().modules(modules).build().await.unwrap();
        let (branch, hq) = (AccountId::parse("branch").unwrap(), AccountId::parse("hq").unwrap());
        engine.policy_put(&Owner::Account(Account::new(hq.clone())), &json!({"enforced": true}), None, &host())
            .await
            .unwrap();
        let forgotten = Subject::new(branch.clone(), UserId::parse("fred").unwrap());
        let refused = [
            engine.begin(login(&forgotten)).await.map(drop),
            engine.begin_decoy(login(&forgotten)).await.map(drop),
            engine.explain(&login(&forgotten)).await.map(drop),
            engine.step_up_begin(login(&forgotten), &Intent::disable(&forgotten)).await.map(drop),
            engine.verify(Target::Current(Box::new(login(&forgotten))), Response::poll()).await.map(drop),
            engine.unlock_with_codes(&login(&forgotten), ["1", "2", "3"]).await.map(drop),
        ];
        for refused in refused {
            let refused = refused.unwrap_err();
            assert!(matches!(&refused, Error::Invalid(field) if field.field == "lineage"), "{refused:?}");
        }
        let lineage = vec![Ancestor::new(branch.clone()), Ancestor::new(hq)];
        let account = Account::new(branch).with_lineage(lineage).unwrap();
        let fred = Subject::of(&account, forgotten.user().clone());
        let asked = engine.begin(login(&fred)).await.unwrap();
        assert!(matches!(asked, Begin::EnrolmentRequired(_)), "{asked:?}");
        // Where accounts decide nothing there is nothing to say.
        let let_in = world.engine.begin(login(&forgotten)).await.unwrap();
        assert!(matches!(let_in, Begin::NotRequired(_)), "{let_in:?}");
    }

    async fn s08_a_flood_of_logins_of_one_who_must_enrol_is_one_event_a_minute(world) {
        let strict = enforcing(&world, &json!({})).await;
        let bob = world.add("bob").await;
        for minute in 1..=2 {
            for _ in 0..100 {
                ticket(&strict, &bob).await;
            }
            assert_eq!(world.events_of(Kind::EnrolmentRequired).await.len(), minute);
            world.clock.advance(Duration::from_secs(60));
        }
    }

    async fn s21_an_exemption_is_nothing_beside_a_record_of_another_person_or_one_that_was_changed(world) {
        let engine = exempting_node(&world).await;
        let (export, _app) = world.enrol("export").await;
        grant(&engine, &export, &exemption()).await;
        assert_eq!(answer(&engine, by_key(&export)).await, "exempted");
        let next = export.clone().with_generation("another person").unwrap();
        world.directory.put(&next).await.unwrap();
        grant(&engine, &next, &exemption()).await;
        assert_eq!(answer(&engine, by_key(&next)).await, "generation");
        for mut record in records(&world).await.into_iter().filter(|r| r.key.kind.as_str() == "login") {
            *record.body.last_mut().unwrap() ^= 1;
            overwrite(&world, &record).await;
        }
        assert_eq!(answer(&engine, by_key(&export)).await, "unavailable");
    }

    async fn s21_who_has_the_id_next_is_not_locked_by_the_failures_of_the_former_person(world) {
        let (bob, app) = world.enrol("bob").await;
        for _ in 0..20 {
            let challenge = world.begin(&bob).await;
            let wrong = world.answer(&challenge, &app.wrong_code_at(world.now(), 3)).await;
            assert!(matches!(wrong, Verify::Rejected(_)), "{wrong:?}");
            world.clock.advance(Duration::from_secs(901));
        }
        let locked = world.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(locked, Begin::Denied(Denied { reason: DeniedReason::Locked, .. })), "{locked:?}");
        world.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        // The same person is: a new method is no way around the count.
        enrol_by(&world.engine, &world, &bob, &host()).await;
        let locked = world.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(locked, Begin::Denied(Denied { reason: DeniedReason::Locked, .. })), "{locked:?}");
        world.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        let next = bob.clone().with_generation("another person").unwrap();
        world.directory.put(&next).await.unwrap();
        let app = enrol_by(&world.engine, &world, &next, &host()).await;
        let verified = world.answer(&world.begin(&next).await, &app.code_at(world.now())).await;
        assert!(matches!(verified, Verify::Verified(_)), "{verified:?}");
    }

    async fn s03_a_link_that_was_confirmed_before_it_was_refused_stays_what_was_proven(world) {
        let gateway = Arc::new(Gateway::default());
        let email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &Inbox::new(), email, links()).transport(Arc::<Gateway>::clone(&gateway));
        let mailed = Mailed { engine: node.build().await.unwrap(), inbox: gateway.inbox.clone() };
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        mailed.enrol(&world, &bob, "email").await;
        world.clock.advance(HOUR);
        let by_sms = login(&bob).with_method("sms".parse().unwrap());
        let Begin::Challenge(challenge) = mailed.engine.begin(by_sms).await.unwrap() else { panic!() };
        world.clock.advance(STEP);
        gateway.reference.set(challenge.reference.clone()).unwrap();
        gateway.engine.set(mailed.engine.clone()).unwrap();
        drop(mailed.engine.switch(&challenge.reference, &"email".parse().unwrap()).await);
        let claimed = mailed.engine.claim(&challenge.reference).await.unwrap();
        let Verify::Verified(grant) = claimed else { panic!("a grant was expected: {claimed:?}") };
        assert_eq!(grant.evidence().provider.as_str(), "email");
        assert_eq!(grant.evidence().strength.channel, Channel::Email);
    }
}

/// A gateway that opens and confirms the links it is given, and then refuses the message for good.
#[derive(Debug, Default)]
struct Gateway {
    engine: OnceLock<Engine>,
    reference: OnceLock<Reference>,
    inbox: Inbox,
}

#[async_trait::async_trait]
impl Transport for Gateway {
    async fn send(&self, message: &Message, deadline: Duration) -> Result<Receipt, NotDelivered> {
        let (Some(engine), Some(reference)) = (self.engine.get(), self.reference.get()) else {
            return self.inbox.send(message, deadline).await;
        };
        let body = message.body.expose_secret();
        let (_, token) = body.split_whitespace().find_map(|word| word.split_once('#')).unwrap();
        let (token, facts) = (LinkToken::from_text(token), RequestFacts::new());
        let LinkOpen::Valid(view) = engine.link_open(&token, &facts).await.unwrap() else { panic!() };
        let proof = LinkProof::SameBrowser(reference.clone());
        let confirmed = engine.link_confirm(&token, &view.nonce, &proof, &facts).await.unwrap();
        assert!(matches!(confirmed, LinkConfirm::Confirmed(_)), "{confirmed:?}");
        Err(NotDelivered::Permanent)
    }
}
