//! API users of such a company: programs that go on after the second step is on for all, and what becomes of the users
//! whose they are.

use std::time::Duration;

use audit_model::Kind;
use mfa::{
    Account, ApiKey, ApiKeyVerify, Authority, Begin, Channel, ExemptionTerms, FirstFactor, FirstFactorKind,
    Intent, Login, Module, NotRequired, RequestFacts, Subject,
};
use mfa_tests::mailed::Mailed;
use mfa_tests::rights::{enrol_ranked, first_factor, in_session_of, prove_on};
use mfa_tests::{World, acme, host, login, on_stores, session, start};

use crate::total_uptime::{bob, company, switch_on};

/// The route of programs.
fn api() -> Module {
    Module::parse("cb_api_auth").unwrap()
}

/// The box "API account", ticked for the route of programs, until a day in the month after.
fn api_account(why: &str) -> ExemptionTerms {
    let month = Duration::from_secs(30 * 24 * 3600);
    ExemptionTerms::new(api(), FirstFactorKind::ApiKey, why, start().plus(month)).unwrap()
}

async fn tick(company: &Mailed, user: &Subject, by: &Authority) -> Result<(), &'static str> {
    let terms = api_account("the nightly export");
    let granted = company.engine.exemption_grant(user.account(), user.user(), &terms, by).await;
    granted.map(drop).map_err(|error| error.code())
}

/// The login of a program: the account's key, as this user.
async fn by_key(company: &Mailed, key: &ApiKey, user: &Subject) -> Login {
    let judged =
        company.engine.api_key_verify(key.expose_secret(), &api(), &RequestFacts::new()).await.unwrap();
    let ApiKeyVerify::Verified(verified) = judged else { panic!("{judged:?}") };
    verified.into_login(user.clone(), Some(&session(user))).unwrap()
}

async fn is_asked(company: &Mailed, login: Login) -> bool {
    match company.engine.begin(login).await.unwrap() {
        Begin::Challenge(_) => true,
        Begin::NotRequired(NotRequired::Exempted(_)) => false,
        other => panic!("{other:?}"),
    }
}

/// A user who is a program's and has a method, and the key of the account.
async fn program(world: &World, company: &Mailed) -> (Subject, ApiKey) {
    let export = bob(world, company).await;
    switch_on(company, serde_json::json!({})).await;
    let issued = company.engine.api_key_create(&Account::new(acme()), &host()).await.unwrap();
    (export, issued.key)
}

on_stores! {
    async fn d17_a_program_that_an_administrator_exempted_goes_on_and_each_login_is_logged(world) {
        let company = company(&world).await;
        let (export, key) = program(&world, &company).await;
        assert!(is_asked(&company, by_key(&company, &key, &export).await).await, "at once on for all, programs too");
        let _ = company.inbox.take();
        let (ann, app) = enrol_ranked(&world, "ann", 1).await;
        let intent = Intent::grant_exemption(&export, &api_account("the nightly export"));
        let proof = prove_on(&company.engine, &world, login(&ann), &app, &intent).await;
        assert_eq!(tick(&company, &export, &in_session_of(&ann, &proof)).await, Ok(()));
        for used in 1..=2 {
            assert!(!is_asked(&company, by_key(&company, &key, &export).await).await);
            let exempt = |event: &audit_model::Event| event.reason() == Some("exempted");
            let events = world.events_of(Kind::LoginNotRequired).await;
            assert_eq!(events.iter().filter(|event| exempt(event)).count(), used);
        }
        let sent_for_logins = company.inbox.take();
        assert!(sent_for_logins.is_empty(), "{sent_for_logins:?}");
        // Another user's program is asked, key or not.
        let other = world.add("other").await;
        let begun = company.engine.begin(by_key(&company, &key, &other).await).await.unwrap();
        assert!(matches!(begun, Begin::EnrolmentRequired(_)), "{begun:?}");
    }

    async fn d17_without_the_box_or_after_it_a_program_is_asked_like_anybody(world) {
        let company = company(&world).await;
        let (export, key) = program(&world, &company).await;
        tick(&company, &export, &host()).await.unwrap();
        let report = company.engine.exemptions(&acme()).await.unwrap();
        company.engine.exemption_end(export.account(), export.user(), report[0].id, &host()).await.unwrap();
        assert!(is_asked(&company, by_key(&company, &key, &export).await).await);
        tick(&company, &export, &host()).await.unwrap();
        assert!(!is_asked(&company, by_key(&company, &key, &export).await).await);
        world.clock.advance(Duration::from_secs(30 * 24 * 3600));
        assert!(is_asked(&company, by_key(&company, &key, &export).await).await, "it has an end");
    }

    async fn d18_an_exemption_has_a_reason_and_is_in_the_report_with_its_use(world) {
        let company = company(&world).await;
        let (export, key) = program(&world, &company).await;
        for nothing in ["", "  "] {
            let month = start().plus(Duration::from_secs(24 * 3600));
            let refused = ExemptionTerms::new(api(), FirstFactorKind::ApiKey, nothing, month).unwrap_err();
            assert_eq!((&*refused.field, refused.code), ("reason", "required"));
        }
        tick(&company, &export, &host()).await.unwrap();
        let report = async || company.engine.exemptions(&acme()).await.unwrap();
        let [exemption] = &report().await[..] else { panic!() };
        assert_eq!(&exemption.user, export.user());
        assert_eq!((exemption.terms.reason(), exemption.state.code()), ("the nightly export", "live"));
        assert_eq!(exemption.last_used, None);
        let used_at = world.now();
        assert!(!is_asked(&company, by_key(&company, &key, &export).await).await);
        assert_eq!(report().await[0].last_used, Some(used_at));
        let events = world.events_of(Kind::ExemptionGranted).await;
        assert_eq!(events[0].field("why"), Some("the nightly export"));
    }

    async fn e83_whoever_ticks_the_box_for_themselves_is_refused(world) {
        let company = company(&world).await;
        for rank in [0, 9] {
            let (user, app) = enrol_ranked(&world, &format!("user-{rank}"), rank).await;
            let intent = Intent::grant_exemption(&user, &api_account("the nightly export"));
            let proof = prove_on(&company.engine, &world, login(&user), &app, &intent).await;
            assert_eq!(tick(&company, &user, &in_session_of(&user, &proof)).await, Err("not_permitted"));
            assert_eq!(tick(&company, &user, &first_factor(&user)).await, Err("step_up_required"));
        }
        assert!(company.engine.exemptions(&acme()).await.unwrap().is_empty());
    }

    /// There is no knob that would let a person in: whoever types a password is there to be asked.
    async fn e84_an_exempt_user_who_logs_in_at_a_page_is_asked(world) {
        let company = company(&world).await;
        let (export, key) = program(&world, &company).await;
        tick(&company, &export, &host()).await.unwrap();
        assert!(!is_asked(&company, by_key(&company, &key, &export).await).await);
        assert!(is_asked(&company, login(&export)).await);
        let password = FirstFactor::verified_now(FirstFactorKind::Password, Channel::Direct, Some(&session(&export)));
        assert!(is_asked(&company, Login::new(export.clone(), password, api())).await, "by the route of programs too");
    }
}
