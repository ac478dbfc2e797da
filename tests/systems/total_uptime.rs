//! A company that asks all its users, as Total Uptime's do: whom it asks, what is sent where, and for how long.

use std::sync::Arc;
use std::time::Duration;

use audit_model::Kind;
use mfa::delivery::Delivered;
use mfa::delivery::address::Medium;
use mfa::delivery::select::{ChannelPolicy, Flags, Reachable, select};
use mfa::settings::{Change, Modules, Owner};
use mfa::totp::Totp;
use mfa::{
    Account, Authority, Begin, Changed, Choice, Engine, EnrolConfirm, Intent, NotDelivered, Policy, Reason,
    Response, Subject, Verify,
};
use mfa_testkit::inbox::Inbox;
use mfa_tests::acting::{method, refused};
use mfa_tests::mailed::{Mailed, another, code_in, german_mobiles, texts};
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on};
use mfa_tests::{World, acme, host, login, on_stores, ring, session};
use serde_json::{Value, json};

/// Two minutes.
pub(crate) const LIFE: Duration = Duration::from_secs(120);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const PHONE: &str = "+4915123456789";

/// The company's service: codes by e-mail and SMS that live two minutes, and authenticator apps.
pub(crate) async fn company(world: &World) -> Mailed {
    let inbox = Inbox::new();
    let store = Arc::new(Arc::clone(&world.store));
    let node = Engine::builder(store, world.directory.clone(), ring(), Arc::new(world.clock.clone()))
        .provider(Delivered::email(texts()).unwrap())
        .provider(Delivered::sms(texts(), german_mobiles()).unwrap())
        .provider(Totp::new("Total Uptime").unwrap())
        .transport(Arc::new(inbox.clone()))
        .policy(Policy::total_uptime())
        .modules(Modules::kazoo())
        .danger_test_doubles();
    Mailed { engine: node.build().await.unwrap(), inbox }
}

/// The company switches the second step on; users set their first method up by their password.
pub(crate) async fn switch_on(company: &Mailed, more: Value) {
    let mut document = json!({"enforced": true, "first_enrolment_needs_invitation": false});
    document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    company.engine.policy_put(&of_acme(), &document, None, &host()).await.unwrap();
}

pub(crate) fn of_acme() -> Owner {
    Owner::Account(Account::new(acme()))
}

/// Bob, who gets codes by SMS and e-mail.
pub(crate) async fn bob(world: &World, company: &Mailed) -> Subject {
    let bob = company.add(world, "bob").await;
    company.enrol(world, &bob, "email").await;
    company.enrol(world, &bob, "sms").await;
    let _ = company.inbox.take_tried();
    bob
}

/// What the service does after the right password: a text message where there is a mobile number, else an e-mail.
async fn log_in(company: &Mailed, bob: &Subject, phone: &str) -> (mfa::Challenge, Medium) {
    let reachable = Reachable::none().with_email("bob@acme.example").with_phone(phone, None);
    let policy = ChannelPolicy::total_uptime(german_mobiles());
    let medium = select(&reachable, &policy, &Flags::open()).unwrap().destination.medium();
    let asked = login(bob).with_method(method(medium.code()));
    match company.engine.begin(asked).await.unwrap() {
        Begin::Challenge(challenge) => (challenge, medium),
        other => panic!("{other:?}"),
    }
}

async fn answer(company: &Mailed, challenge: &mfa::Challenge, code: &str) -> Verify {
    company.engine.verify(&challenge.reference, Response::code(code)).await.unwrap()
}

/// As [`answer`], by somebody who must be let in.
pub(crate) async fn is_let_in(company: &Mailed, challenge: &mfa::Challenge, code: &str) {
    let told = answer(company, challenge, code).await;
    assert!(matches!(told, Verify::Verified(_)), "{told:?}");
}

on_stores! {
    async fn d01_a_company_asks_all_its_users_and_nobody_gets_out_of_it(world) {
        let company = company(&world).await;
        let (bob, app) = world.enrol("bob").await;
        switch_on(&company, json!({})).await;
        let intent = Intent::disable(&bob);
        let proof = prove_on(&company.engine, &world, login(&bob), &app, &intent).await;
        let refused = company.engine.disable(bob.account(), bob.user(), &in_session_of(&bob, &proof)).await;
        assert_eq!(refused.unwrap_err().code(), "policy_forbids");
        // Nor does the policy know users: there is nothing in it that could be said of one.
        for knob in ["exempt", "exempt_users", "users", "bob"] {
            let asked = company.engine.policy_patch(&of_acme(), &json!({knob: ["bob"]}), None, &host()).await;
            assert_eq!(asked.unwrap_err().code(), "unknown_knob", "{knob}");
        }
        // Whoever lost everything sets up anew.
        company.engine.user_reset(bob.account(), bob.user(), &host()).await.unwrap();
        let begun = company.engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
    }

    async fn d02_who_is_no_administrator_cannot_switch_it(world) {
        let company = company(&world).await;
        let document = json!({"enforced": true});
        let intent = Intent::change_policy(&Account::new(acme()), Change::Put(&document));
        let put = async |by: &Authority| company.engine.policy_put(&of_acme(), &document, None, by).await;
        for (name, rank, expected) in [("bob", 0, Some("not_permitted")), ("ann", 1, None)] {
            let (user, app) = enrol_ranked(&world, name, rank).await;
            let alone = put(&first_factor(&user)).await.unwrap_err();
            assert_eq!(alone.code(), "step_up_required", "{name}");
            let proof = prove_on(&company.engine, &world, login(&user), &app, &intent).await;
            let by = Authority::proof_because(proof, Some(&session(&user)), "all of us");
            assert_eq!(put(&by).await.err().map(|error| error.code()), expected, "{name}");
        }
        assert!(company.engine.policy_resolve(&Account::new(acme())).await.unwrap().policy.enforced());
    }

    async fn d03_sms_and_email_stay_offered_whatever_else_the_company_offers(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let _app = world.enrol_again(&bob).await;
        let offers = async || {
            let policy = company.engine.policy_resolve(&Account::new(acme())).await.unwrap().policy;
            ["email", "sms", "totp", "duo"].map(|name| policy.lists(name))
        };
        assert_eq!(offers().await, [true; 4]);
        for (offered, expected) in [
            (json!(["totp", "duo"]), [true; 4]), (json!(["totp"]), [true, true, true, false]),
            (json!([]), [true, true, false, false]),
        ] {
            switch_on(&company, json!({"offered": offered, "enforce": ["offered"]})).await;
            assert_eq!(offers().await, expected, "{offered}");
        }
        // The fallback of whoever chose an app.
        switch_on(&company, json!({"offered": ["totp", "duo"]})).await;
        company.engine.method_prefer(bob.account(), bob.user(), &method("totp"), &host()).await.unwrap();
        let challenge = company.begin(&bob).await;
        assert_eq!(challenge.method.provider.as_str(), "totp");
        let changed = company.engine.switch(&challenge.reference, &method("email")).await.unwrap();
        assert!(matches!(changed, Changed::Done(_)), "{changed:?}");
        is_let_in(&company, &challenge, &company.code()).await;
        // No document says otherwise of what the host keeps.
        let asked = json!({"always_offered": []});
        let refused = company.engine.policy_patch(&of_acme(), &asked, None, &host()).await.unwrap_err();
        assert_eq!(refused.code(), "host_only");
    }

    /// A user who has no method yet is asked to set one up, which is by a code to the mailbox, and not sent a code
    /// without a word: nothing goes to an address that has not answered one.
    async fn d04_once_it_is_on_every_user_is_asked_at_the_next_login(world) {
        let company = company(&world).await;
        let (bob, eve) = (bob(&world, &company).await, company.add(&world, "eve").await);
        let before = company.engine.begin(login(&eve)).await.unwrap();
        assert!(matches!(before, Begin::NotRequired(_)), "{before:?}");
        switch_on(&company, json!({})).await;
        let challenge = company.begin(&bob).await;
        is_let_in(&company, &challenge, &company.code()).await;

        let Begin::EnrolmentRequired(required) = company.engine.begin(login(&eve)).await.unwrap() else { panic!() };
        assert!(!required.needs_invitation);
        let by = Authority::ticket(required.ticket, Some(&session(&eve)));
        let email = "email".parse().unwrap();
        let begun = company.engine.enrol_begin(eve.account(), eve.user(), &email, &Choice::none(), &by).await;
        let started = begun.unwrap();
        let code = Response::code(&company.code());
        let confirmed = company.engine.enrol_confirm(&started.reference, &code).await.unwrap();
        assert!(matches!(confirmed, EnrolConfirm::Confirmed(_)), "{confirmed:?}");
        assert!(matches!(company.engine.begin(login(&eve)).await.unwrap(), Begin::Challenge(_)));
    }

    async fn d05_a_mobile_number_gets_a_text_message_and_all_else_an_email(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        for (phone, medium, to) in [
            (PHONE, Medium::Sms, PHONE),
            ("", Medium::Email, "bob@acme.example"),
            ("+4930123456", Medium::Email, "bob@acme.example"),
            ("4915123456789x", Medium::Email, "bob@acme.example"),
        ] {
            let (challenge, chosen) = log_in(&company, &bob, phone).await;
            assert_eq!(chosen, medium, "{phone:?}");
            assert_eq!(company.inbox.take_tried(), [to], "{phone:?}");
            is_let_in(&company, &challenge, &company.code()).await;
            world.clock.advance(HOUR);
        }
    }

    async fn d06_a_code_that_begins_with_a_zero_is_six_digits_and_accepted(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        for n in 0.. {
            assert!(n < 200, "none of 200 codes begins with a zero");
            world.clock.advance(3 * HOUR);
            let challenge = company.begin(&bob).await;
            assert_eq!((&challenge.prompt["digits"], &challenge.prompt["form"]), (&json!(6), &json!("code")));
            let code = company.code();
            if code.starts_with('0') {
                let short = code.trim_start_matches('0');
                assert_eq!(refused(answer(&company, &challenge, short).await).reason, Reason::Malformed);
                is_let_in(&company, &challenge, &code).await;
                break;
            }
        }
    }

    async fn d07_a_code_is_good_for_two_minutes(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let (early, late) = (company.begin(&bob).await, LIFE - SECOND);
        assert_eq!(early.expires_at.since(early.created_at), LIFE);
        assert_eq!(early.prompt["expires_at"], json!(early.expires_at.unix_seconds()));
        let code = company.code();
        let other = company.begin(&bob).await;
        let other_code = company.code();
        world.clock.advance(late);
        is_let_in(&company, &early, &code).await;
        world.clock.advance(SECOND);
        assert_eq!(refused(answer(&company, &other, &other_code).await).reason, Reason::Expired);
    }

    async fn d08_a_new_code_kills_the_old_one_and_revives_no_login_that_is_over(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let challenge = company.begin(&bob).await;
        let old = company.code();
        let new = loop {
            world.clock.advance(Duration::from_secs(30));
            let again = company.engine.resend(&challenge.reference).await.unwrap();
            assert!(matches!(again, Changed::Done(_)), "{again:?}");
            // One in a million is the same, and another is asked for.
            let new = company.code();
            if new != old {
                break new;
            }
        };
        assert_eq!(refused(answer(&company, &challenge, &old).await).reason, Reason::WrongCode);
        is_let_in(&company, &challenge, &new).await;

        let over = company.begin(&bob).await;
        let code = company.code();
        world.clock.advance(LIFE);
        let again = company.engine.resend(&over.reference).await.unwrap();
        assert!(matches!(again, Changed::Rejected(r) if r.reason == Reason::Expired));
        assert!(company.inbox.take_tried().len() <= 3 && company.inbox.take().is_empty());
        assert_eq!(refused(answer(&company, &over, &code).await).reason, Reason::Expired);
    }

    async fn d09_nothing_is_sent_before_the_right_password(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        // After a wrong one the page looks the same, and nothing leaves.
        let decoy = company.engine.begin_decoy(login(&bob)).await.unwrap();
        assert!(company.inbox.take_tried().is_empty());
        let challenge = company.begin(&bob).await;
        assert_eq!(company.inbox.take_tried().len(), 1);
        let code = company.code();
        let told = company.engine.verify(&decoy.reference, Response::code(&code)).await.unwrap();
        assert!(matches!(told, Verify::Rejected(_)), "{told:?}");
        is_let_in(&company, &challenge, &code).await;
    }

    async fn d21_a_user_who_chose_nothing_is_sent_a_code(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let _app = world.enrol_again(&bob).await;
        let methods = company.engine.methods(bob.account(), bob.user()).await.unwrap();
        assert!(methods.iter().all(|method| !method.preferred));
        let challenge = company.begin(&bob).await;
        assert_eq!(challenge.method.provider.as_str(), "sms");
        is_let_in(&company, &challenge, &company.code()).await;
    }

    async fn d22_an_email_goes_where_a_text_message_cannot_with_a_code_and_two_minutes_of_its_own(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        company.inbox.refuse(PHONE, NotDelivered::Permanent);
        let (challenge, medium) = log_in(&company, &bob, PHONE).await;
        assert_eq!((medium, company.inbox.take_tried()), (Medium::Sms, vec![PHONE.to_owned(), "bob@acme.example".to_owned()]));
        let fell_back = world.events_of(Kind::ChallengeFellBack).await;
        let [event] = &fell_back[..] else { panic!("{fell_back:?}") };
        assert_eq!((event.field("from"), event.field("method")), (Some("sms"), Some("email")));
        let code = code_in(&company.message().body);
        world.clock.advance(LIFE - SECOND);
        assert_eq!(refused(answer(&company, &challenge, &another(&code)).await).reason, Reason::WrongCode);
        is_let_in(&company, &challenge, &code).await;
    }

    async fn d22_who_prefers_what_is_not_offered_any_more_gets_an_email(world) {
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let _app = world.enrol_again(&bob).await;
        company.engine.method_prefer(bob.account(), bob.user(), &method("totp"), &host()).await.unwrap();
        assert_eq!(company.begin(&bob).await.method.provider.as_str(), "totp");
        switch_on(&company, json!({"offered": ["email", "sms"]})).await;
        let challenge = company.begin(&bob).await;
        assert_eq!(challenge.method.provider.as_str(), "email");
        is_let_in(&company, &challenge, &company.code()).await;
    }
}

/// Even draws are past the limit in one run of ten million.
#[test]
fn d06_the_digits_of_a_thousand_codes_are_spread_evenly() {
    futures::executor::block_on(async {
        let world = World::memory().await;
        let company = company(&world).await;
        let bob = bob(&world, &company).await;
        let (mut seen, codes) = ([0_u32; 10], 1_000);
        for _ in 0..codes {
            world.clock.advance(3 * HOUR);
            let _challenge = company.begin(&bob).await;
            company.code().bytes().for_each(|digit| seen[usize::from(digit - b'0')] += 1);
        }
        let expected = f64::from(codes * 6 / 10);
        let squares = seen.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected);
        let sum: f64 = squares.sum();
        assert!(sum < 50.0, "{sum} {seen:?}");
    });
}
