//! Codes by e-mail and SMS: how long and how often they are good, and what a message that is not sent leaves.
#![cfg(test)]

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::{
    Begin, Changed, DeniedReason, EnrolConfirm, Intent, Operation, Reason, RecordKind, Response, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_testkit::race::{GateStore, race};
use mfa_tests::acting::{method, refused};
use mfa_tests::mailed::{Mailed, another, offering, texts};
use mfa_tests::{login, on_stores, session};
use serde_json::{Value, json};

async fn answer(mailed: &Mailed, challenge: &mfa::Challenge, code: &str) -> Verify {
    mailed.engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

on_stores! {
    async fn a_code_that_arrives_logs_in_once_and_says_what_it_is_for(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        assert_eq!(challenge.prompt["to"], "b…@acme.example");
        assert_eq!(challenge.status, mfa::Status::Sent);
        let message = mailed.message();
        assert_eq!(message.to, "bob@acme.example");
        let code = mfa_tests::mailed::code_in(&message.body);
        assert_eq!(refused(answer(&mailed, &challenge, &another(&code)).await).reason, Reason::WrongCode);
        assert_eq!(refused(answer(&mailed, &challenge, "12345").await).reason, Reason::Malformed);
        let Verify::Verified(grant) = answer(&mailed, &challenge, &code).await else { panic!() };
        assert_eq!(grant.evidence().aal().number(), 1, "e-mail is of the first level");
        assert_eq!(refused(answer(&mailed, &challenge, &code).await).reason, Reason::AlreadyUsed);
    }

    async fn a_code_by_sms_ends_in_the_line_that_binds_it_to_the_site(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let challenge = mailed.begin(&bob).await;
        let message = mailed.message();
        let code = mfa_tests::mailed::code_in(&message.body);
        assert_eq!(message.body.lines().last().unwrap(), format!("@login.acme.example #{code}"));
        assert!(matches!(answer(&mailed, &challenge, &code).await, Verify::Verified(_)));
    }

    async fn s33_a_code_of_one_challenge_opens_no_other_and_no_other_purpose(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let one = mailed.begin(&bob).await;
        let code = mailed.code();
        // One in a million has the same code, and is drawn anew.
        let other = loop {
            let other = mailed.begin(&bob).await;
            if mailed.code() != code {
                break other;
            }
        };
        let step_up = loop {
            let begun = mailed.engine.step_up_begin(login(&bob), &Intent::disable(&bob)).await.unwrap();
            let Begin::Challenge(step_up) = begun else { panic!("{begun:?}") };
            if mailed.code() != code {
                break step_up;
            }
        };
        for challenge in [&other, &step_up] {
            assert_eq!(refused(answer(&mailed, challenge, &code).await).reason, Reason::WrongCode);
        }
        assert!(matches!(answer(&mailed, &one, &code).await, Verify::Verified(_)));
    }

    async fn a_resend_kills_the_code_before(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let first = mailed.code();
        let second = loop {
            world.clock.advance(Duration::from_secs(30));
            assert!(matches!(mailed.engine.resend(&challenge.reference).await.unwrap(), Changed::Done(_)));
            let second = mailed.code();
            if second != first {
                break second;
            }
        };
        assert_eq!(refused(answer(&mailed, &challenge, &first).await).reason, Reason::WrongCode);
        assert!(matches!(answer(&mailed, &challenge, &second).await, Verify::Verified(_)));
    }

    async fn a_resend_that_is_refused_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        mailed.enrol(&world, &bob, "sms").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        // Too soon: nothing leaves, neither by a resend nor by a switch to the method that is active.
        let resent = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(resent, Changed::Rejected(r) if r.reason == Reason::SendLimit));
        let switched = mailed.engine.switch(&challenge.reference, &method("email")).await.unwrap();
        assert!(matches!(switched, Changed::Rejected(r) if r.reason == Reason::SendLimit));
        // Nor by a switch to another one.
        let switched = mailed.engine.switch(&challenge.reference, &method("sms")).await.unwrap();
        assert!(matches!(switched, Changed::Rejected(r) if r.reason == Reason::SendLimit));
        assert!(mailed.inbox.take().is_empty());
        assert!(matches!(answer(&mailed, &challenge, &code).await, Verify::Verified(_)));
    }

    async fn a_set_up_s_resend_that_is_refused_leaves_the_code_before_good(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "email").await.unwrap();
        let again = async || mailed.engine.enrol_resend(&started.reference, &mfa::RequestFacts::new()).await.unwrap();
        let mut code = mailed.code();
        for _ in 0..4 {
            assert!(matches!(again().await, EnrolConfirm::Pending(_)));
            code = mailed.code();
        }
        assert!(matches!(again().await, EnrolConfirm::Rejected(r) if r.reason == Reason::SendLimit));
        assert!(mailed.inbox.take().is_empty());
        let confirmed = mailed.engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
    }

    async fn a_code_is_over_at_the_second_its_life_ends(world) {
        let mailed = Mailed::new(&world, json!({"ttl_s": 60})).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let (early, late) = (mailed.begin(&bob).await, Duration::from_secs(60));
        let code = mailed.code();
        let other = mailed.begin(&bob).await;
        let other_code = mailed.code();
        world.clock.advance(late - Duration::from_millis(1));
        assert!(matches!(answer(&mailed, &early, &code).await, Verify::Verified(_)));
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(refused(answer(&mailed, &other, &other_code).await).reason, Reason::Expired);
    }

    async fn whom_nobody_asked_is_asked_by_the_channel_that_comes_first(world) {
        let inbox = Inbox::new();
        let on = async |policy: mfa::Policy| {
            let node = Mailed::node(&world, &inbox, Delivered::email(texts()).unwrap(), Value::Null).policy(policy);
            Mailed { engine: node.build().await.unwrap(), inbox: inbox.clone() }
        };
        let by = |order: &str| {
            let document = json!({"offered": ["email", "sms"], "channel_order": order});
            mfa::Policy::recommended().with_document(&document).unwrap()
        };
        let mailed = on(by("as_enrolled")).await;
        let (bob, ann) = (mailed.add(&world, "bob").await, mailed.add(&world, "ann").await);
        for (user, methods) in [(&bob, ["email", "sms"]), (&ann, ["sms", "email"])] {
            for by in methods {
                mailed.enrol(&world, user, by).await;
            }
        }
        let first = async |policy: mfa::Policy, user: &mfa::Subject| {
            world.clock.advance(Duration::from_secs(3600));
            let mailed = on(policy).await;
            let challenge = mailed.begin(user).await;
            // One message, by that channel alone.
            let to = mailed.message().to;
            assert_eq!(to.starts_with('+'), challenge.method.provider.as_str() == "sms", "{to}");
            challenge.method.provider.as_str().to_owned()
        };
        for (policy, of_bob, of_ann) in [
            (by("as_enrolled"), "email", "sms"),
            (by("phone_first"), "sms", "sms"),
            (by("email_first"), "email", "email"),
            (mfa::Policy::total_uptime(), "sms", "sms"),
        ] {
            assert_eq!(first(policy.clone(), &bob).await, of_bob);
            assert_eq!(first(policy, &ann).await, of_ann);
        }
        assert_eq!(mfa::Policy::kount().channel_order(), mfa::ChannelOrder::EmailFirst);
        // The user's own choice comes before it.
        mailed.engine.method_prefer(bob.account(), bob.user(), &method("email"), &mfa_tests::host()).await.unwrap();
        assert_eq!(first(by("phone_first"), &bob).await, "email");
    }

    async fn a_challenge_says_when_anything_happened_to_it_last(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        let status = async || mailed.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(refused(answer(&mailed, &challenge, &another(&code)).await).reason, Reason::WrongCode);
        let told = status().await;
        assert_eq!((told.verify_attempts, told.updated_at), (1, world.now()));
        world.clock.advance(Duration::from_secs(30));
        let again = mailed.engine.resend(&challenge.reference).await.unwrap();
        assert!(matches!(again, Changed::Done(_)), "{again:?}");
        let told = status().await;
        assert_eq!((told.send_attempts, told.updated_at), (2, world.now()));
        assert!(told.created_at < told.updated_at);
    }

    async fn no_message_promises_more_than_is_left_of_its_challenge(world) {
        // Ten minutes are set for codes, and a challenge has five.
        let mailed = Mailed::new(&world, json!({"ttl_s": 600})).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let ends = json!(challenge.expires_at.unix_seconds());
        assert_eq!(challenge.prompt["expires_at"], ends);
        let first = mailed.message();
        assert!(first.body.contains("5 min"), "{}", first.body);
        world.clock.advance(Duration::from_secs(170));
        let again = mailed.engine.resend(&challenge.reference).await.unwrap();
        let Changed::Done(prompt) = again else { panic!("{again:?}") };
        assert_eq!(prompt["expires_at"], ends);
        let second = mailed.message();
        assert!(second.body.contains("2 min"), "{}", second.body);
        world.clock.advance(Duration::from_secs(130) - Duration::from_millis(1));
        let code = mfa_tests::mailed::code_in(&second.body);
        assert!(matches!(answer(&mailed, &challenge, &code).await, Verify::Verified(_)));
    }

    async fn s14_nothing_is_offered_that_no_policy_lists_and_nothing_beside_something_stronger(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let by_email = Delivered::email(texts()).unwrap();
        let node = Mailed::node(&world, &mailed.inbox, by_email.clone(), Value::Null);
        let unlisted = node.policy(mfa::Policy::recommended()).build().await.unwrap();
        let denied = unlisted.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(d) if d.reason == DeniedReason::Unavailable), "{denied:?}");
        // An app is stronger: from then on the mailbox is no way in, whatever becomes of the app.
        let _app = world.enrol_again(&bob).await;
        let challenge = mailed.begin(&bob).await;
        let providers: Vec<_> = challenge.methods.iter().map(|m| m.provider.as_str().to_owned()).collect();
        assert_eq!(providers, ["totp"]);
        let switched = mailed.engine.switch(&challenge.reference, &method("email")).await.unwrap();
        assert!(matches!(switched, Changed::Rejected(r) if r.reason == Reason::NotOffered));
        let node = Mailed::node(&world, &mailed.inbox, by_email, Value::Null);
        let without_app = node.policy(offering(&["email", "sms"])).build().await.unwrap();
        let denied = without_app.begin(login(&bob)).await.unwrap();
        assert!(matches!(denied, Begin::Denied(_)), "{denied:?}");
        assert!(mailed.inbox.take().is_empty());
    }

    async fn t03_two_right_answers_at_once_are_one_success(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let code = mailed.code();
        let answers = race(16, |_| mailed.engine.verify(&challenge.reference, Response::code(&code)));
        let granted = answers.iter().filter(|answer| matches!(answer, Ok(Verify::Verified(_)))).count();
        assert_eq!(granted, 1);
    }

    async fn t03_two_right_answers_on_two_nodes_at_once_are_one_success(world) {
        let gate = Arc::new(GateStore::new(Arc::clone(&world.store)));
        let inbox = Inbox::new();
        let mut nodes = Vec::new();
        for _ in 0..2 {
            let node = mfa_tests::probe::node_on(&world, gate.clone());
            let node = node.provider(Delivered::email(texts()).unwrap()).transport(Arc::new(inbox.clone()));
            let engine = node.policy(offering(&["email"])).build().await.unwrap();
            nodes.push(Mailed { engine, inbox: inbox.clone() });
        }
        let bob = nodes[0].add(&world, "bob").await;
        nodes[0].enrol(&world, &bob, "email").await;
        let challenge = nodes[0].begin(&bob).await;
        let code = nodes[0].code();
        // Both have read the challenge before either decides.
        gate.arm_for(RecordKind::new("challenge"), 2);
        let answers = race(2, |n| nodes[n].engine.verify(&challenge.reference, Response::code(&code)));
        let granted = answers.iter().filter(|answer| matches!(answer, Ok(Verify::Verified(_)))).count();
        assert_eq!(granted, 1, "{answers:?}");
        assert_eq!(world.events_of(Kind::AnswerAccepted).await.len(), 1);
    }

    async fn s09_a_code_by_e_mail_proves_a_change_only_while_it_is_the_strongest(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let intent = Intent::disable(&bob);
        let Begin::Challenge(step_up) = mailed.engine.step_up_begin(login(&bob), &intent).await.unwrap()
        else { panic!() };
        let Verify::Proven(proven) = answer(&mailed, &step_up, &mailed.code()).await else { panic!() };
        assert_eq!(proven.operation, Operation::Disable);
        let by = mfa::Authority::proof(proven.proof, Some(&session(&bob)));
        mailed.engine.disable(bob.account(), bob.user(), &by).await.unwrap();
        mailed.enrol(&world, &bob, "email").await;
        let _app = world.enrol_again(&bob).await;
        let begun = mailed.engine.step_up_begin(login(&bob).with_method(method("email")), &intent).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        assert_eq!(challenge.method.provider.as_str(), "totp");
        // Nor does it take the mail in the middle.
        match mailed.engine.switch(&challenge.reference, &method("email")).await.unwrap() {
            Changed::Rejected(refused) => assert_eq!(refused.reason, Reason::NotOffered),
            done => panic!("{done:?}"),
        }
        assert!(mailed.inbox.take().is_empty());
    }

    async fn s22_a_set_up_by_code_counts_its_attempts(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        let started = mailed.started(&bob, "email").await.unwrap();
        let code = mailed.code();
        for _ in 0..5 {
            let wrong = mailed.engine.enrol_confirm(&started.reference, &Response::code(&another(&code))).await;
            assert!(matches!(wrong.unwrap(), EnrolConfirm::Rejected(r) if r.reason == Reason::WrongCode));
        }
        let late = mailed.engine.enrol_confirm(&started.reference, &Response::code(&code)).await.unwrap();
        assert!(matches!(late, EnrolConfirm::Rejected(r) if r.reason == Reason::Exhausted));
    }

    async fn a_poller_every_five_seconds_gives_up_after_61_polls_and_prolongs_nothing(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let challenge = mailed.begin(&bob).await;
        let began = world.now();
        let mut polls = 0;
        loop {
            let status = mailed.engine.status(bob.account(), challenge.id).await.unwrap().unwrap();
            assert_eq!(status.expires_at, challenge.expires_at);
            polls += 1;
            if status.status == mfa::Status::Expired {
                break;
            }
            assert!(polls < 100, "it never ends");
            world.clock.advance(Duration::from_secs(5));
        }
        assert_eq!((polls, world.now().since(began)), (61, Duration::from_secs(300)));
        let late = refused(answer(&mailed, &challenge, "000000").await);
        assert_eq!(late.reason, Reason::Expired);
        // Another client's id is answered like one that nobody issued.
        let elsewhere = mfa::AccountId::parse("other").unwrap();
        assert_eq!(mailed.engine.status(&elsewhere, challenge.id).await.unwrap(), None);
        let unknown = mfa::ChallengeId::from_bytes([9; 16]);
        assert_eq!(mailed.engine.status(bob.account(), unknown).await.unwrap(), None);
    }

    async fn t23_a_code_to_the_mailbox_that_the_first_factor_came_through_is_no_second_factor(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "email").await;
        let (kind, module) = (mfa::FirstFactorKind::EmailLink, mfa::Module::parse("user_auth").unwrap());
        let first = mfa::FirstFactor::verified_now(kind, mfa::Channel::Email, Some(&session(&bob)));
        let begun = mailed.engine.begin(mfa::Login::new(bob.clone(), first, module)).await.unwrap();
        let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
        let Verify::Verified(grant) = answer(&mailed, &challenge, &mailed.code()).await else { panic!() };
        // Both channels are on record, and they are one.
        let evidence = grant.evidence();
        assert_eq!((evidence.first_channel, evidence.strength.channel), (mfa::Channel::Email, mfa::Channel::Email));
        assert_eq!(evidence.aal().number(), 1);
        assert!(!evidence.amr().contains(&mfa::Amr::Mfa), "{:?}", evidence.amr());
    }

    async fn t23_a_code_to_the_telephone_that_the_first_factor_came_through_raises_no_level(world) {
        let mailed = Mailed::new(&world, Value::Null).await;
        let bob = mailed.add(&world, "bob").await;
        mailed.enrol(&world, &bob, "sms").await;
        let level = async |channel| {
            let (kind, module) = (mfa::FirstFactorKind::Password, mfa::Module::parse("user_auth").unwrap());
            let first = mfa::FirstFactor::verified_now(kind, channel, Some(&session(&bob)));
            let begun = mailed.engine.begin(mfa::Login::new(bob.clone(), first, module)).await.unwrap();
            let Begin::Challenge(challenge) = begun else { panic!("{begun:?}") };
            let Verify::Verified(grant) = answer(&mailed, &challenge, &mailed.code()).await else { panic!() };
            (grant.evidence().aal().number(), grant.evidence().amr().contains(&mfa::Amr::Mfa))
        };
        assert_eq!(level(mfa::Channel::Phone).await, (1, false));
        assert_eq!(level(mfa::Channel::Direct).await, (2, true));
    }
}
