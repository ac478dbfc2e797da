//! Duo at such a company: three values of an application, users by their e-mail addresses, who must be there already.

use std::time::Duration;

use audit_model::Kind;
use mfa::duo::auth_api::{DuoHeaders, Params, SignatureVersion, Unsigned};
use mfa::duo::{SecretKey, UserNames};
use mfa::{
    Begin, Choice, DeniedReason, Engine, EnrolConfirm, NotRequired, Policy, Response, Subject, Verify,
};
use mfa_testkit::duo::{Device, Fault, NewUsers, On, Status as AtDuo, User};
use mfa_tests::duo::{DuoSite, Mode, begin_on, duo, push};
use mfa_tests::{World, host, login, on_duo, subject};
use serde_json::{Value, json};

const BOB: &str = "bob@acme.example";
const SIGNATURE: &str = "f01811cbbf9561623ab45b893096267fd46a5178";
const PAIRS: [(&str, &str); 4] = [
    (
        "\u{469a}\u{287b}\u{35d0}\u{8ef3}\u{6727}\u{502a}\u{810}\u{d091}\u{c8}\u{c170}",
        "\u{f45}\u{1a76}\u{341a}\u{654c}\u{c23f}\u{9b09}\u{abe2}\u{8343}\u{1b27}\u{60d0}",
    ),
    (
        "\u{7449}\u{7e4b}\u{ccfb}\u{59ff}\u{fe5f}\u{83b7}\u{adcc}\u{900c}\u{cfd1}\u{7813}",
        "\u{8db7}\u{5022}\u{92d3}\u{42ef}\u{207d}\u{8730}\u{acfe}\u{5617}\u{946}\u{4e30}",
    ),
    (
        "\u{7470}\u{9314}\u{901c}\u{9eae}\u{40d8}\u{4201}\u{82d8}\u{8c70}\u{1d31}\u{a042}",
        "\u{17d9}\u{ba8}\u{9358}\u{aadf}\u{a42a}\u{48be}\u{fb96}\u{6fe9}\u{b7ff}\u{32f3}",
    ),
    (
        "\u{c2c5}\u{2c1d}\u{2620}\u{3617}\u{96b3}F\u{8605}\u{20e8}\u{ac21}\u{5934}",
        "\u{fba9}\u{41aa}\u{bd83}\u{840b}\u{2615}\u{3e6e}\u{652d}\u{a8b5}\u{d56b}U",
    ),
];

/// The company's engine, whose users are called at Duo by their addresses.
async fn company(world: World) -> (DuoSite, Engine) {
    let site = DuoSite::new(world, Mode::AuthApi).await;
    let node = site.node_naming(&json!({}), UserNames::Label).policy(Policy::total_uptime());
    let engine = node.build().await.unwrap();
    (site, engine)
}

async fn bob(site: &DuoSite) -> Subject {
    let bob = subject("bob").with_label(BOB).unwrap();
    site.world.directory.put(&bob).await.unwrap();
    bob
}

async fn starts(engine: &Engine, bob: &Subject) -> Result<mfa::EnrolmentStarted, mfa::Error> {
    engine.enrol_begin(bob.account(), bob.user(), &duo(), &Choice::none(), &host()).await
}

/// The button: a push to the device that is there already.
async fn sets_up(engine: &Engine, bob: &Subject) {
    let started = starts(engine, bob).await.unwrap();
    let mut told = engine.enrol_confirm(&started.reference, &push()).await.unwrap();
    for _ in 0..4 {
        if !matches!(told, EnrolConfirm::Pending(_)) {
            break;
        }
        told = engine.enrol_confirm(&started.reference, &Response::poll()).await.unwrap();
    }
    assert!(matches!(told, EnrolConfirm::Confirmed(_)), "{told:?}");
}

fn says(site: &DuoSite, result: &str) {
    let value = json!({"result": result, "status_msg": "", "devices": [], "enroll_portal_url": "https://duo.example/"});
    site.duo.clear_faults();
    site.duo.fault(On::any().path("/auth/v2/preauth"), Fault::Set { pointer: "/response".to_owned(), value });
}

on_duo! {
    [memory, sqlite, processes] async fn d15_an_application_is_three_values_and_its_requests_are_signed(world) {
        let (site, _) = company(world).await;
        let three = |missing: &str| {
            let mut settings = site.settings(&json!({}));
            let fields = settings.as_object_mut().unwrap();
            fields.remove("mode");
            fields.remove(missing);
            settings
        };
        assert_eq!(three("").as_object().unwrap().keys().collect::<Vec<_>>(), ["api_hostname", "integration_key", "secret_key"]);
        let build = async |settings: Value| {
            let hosts = mfa::duo::ApiHosts::duo().also(site.duo.authority()).unwrap();
            let provider = mfa::duo::Duo::new(hosts).unwrap().with_names(UserNames::Label);
            let node = site.world.node().provider_with(provider, settings);
            let node = node.http(site.client(site.duo.ca_pem())).policy(Policy::total_uptime());
            node.build().await
        };
        for missing in ["api_hostname", "integration_key", "secret_key"] {
            let problem = build(three(missing)).await.map(drop).unwrap_err().to_string();
            assert!(problem.contains(missing), "{missing}: {problem}");
        }
        let engine = build(three("")).await.unwrap();
        let bob = bob(&site).await;
        site.duo.add_user(User::new(BOB).device(Device::phone("+15555550100")));
        sets_up(&engine, &bob).await;
        // Duo answers to nothing that is not signed with the secret key.
        for path in ["/auth/v2/preauth", "/auth/v2/auth", "/auth/v2/auth_status"] {
            assert!(site.sent_to(path) > 0, "{path}");
        }
        assert!(site.duo.requests().iter().all(|seen| seen.status == Some(200)));
        let mut settings = three("");
        settings["secret_key"] = json!("x".repeat(40));
        let stranger = build(settings).await.unwrap();
        assert!(starts(&stranger, &bob).await.is_err());
    }

    /// Whom Duo lets pass without asking has proven nothing: such a login goes on where host code says that this is
    /// enough, and is denied otherwise.
    [memory, sqlite, processes] async fn d16_what_duo_says_of_a_user_decides_how_a_login_goes_on(world) {
        let (site, engine) = company(world).await;
        let bob = bob(&site).await;
        site.duo.add_user(User::new(BOB).device(Device::phone("+15555550100")));
        sets_up(&engine, &bob).await;
        site.advance(Duration::from_secs(1));

        let challenge = begin_on(&engine, &bob).await;
        assert!(matches!(engine.verify(&challenge.reference, push()).await.unwrap(), Verify::Pending(_)));
        let asked = site.duo.requests().into_iter().rfind(|seen| seen.path == "/auth/v2/auth").unwrap();
        assert_eq!(asked.params["username"], BOB);

        let lenient = site.node_naming(&json!({}), UserNames::Label).policy(Policy::total_uptime());
        let lenient = lenient.danger_accept_provider_bypass().build().await.unwrap();
        says(&site, "allow");
        let passed = lenient.begin(login(&bob)).await.unwrap();
        assert!(matches!(passed, Begin::NotRequired(NotRequired::ProviderBypass)), "{passed:?}");
        for result in ["allow", "deny"] {
            says(&site, result);
            match engine.begin(login(&bob)).await.unwrap() {
                Begin::Denied(denied) => assert_eq!(denied.reason, DeniedReason::ProviderDenied, "{result}"),
                other => panic!("{result}: {other:?}"),
            }
        }
        let denied = site.world.events_of(Kind::LoginDenied).await;
        assert!(denied.iter().all(|event| event.reason() == Some("provider_denied")));
    }

    /// Nobody enrols at Duo by this company's pages: who has no device there is not found, at set-up and at login.
    [memory, sqlite, processes] async fn d16_who_has_no_device_at_duo_is_not_found(world) {
        let (site, engine) = company(world).await;
        let bob = bob(&site).await;
        assert_eq!(starts(&engine, &bob).await.unwrap_err().code(), "user_not_found");
        site.duo.set_new_users(NewUsers::Deny);
        assert_eq!(starts(&engine, &bob).await.unwrap_err().code(), "user_not_found");
        for status in [AtDuo::Disabled, AtDuo::LockedOut] {
            site.duo.add_user(User::new(BOB).status(status).device(Device::phone("+15555550100")));
            assert_eq!(starts(&engine, &bob).await.unwrap_err().code(), "user_not_found");
        }
        assert!(engine.methods(bob.account(), bob.user()).await.unwrap().is_empty());
        // Set up, and gone from there later.
        site.duo.add_user(User::new(BOB).device(Device::phone("+15555550100")));
        sets_up(&engine, &bob).await;
        says(&site, "enroll");
        let begun = engine.begin(login(&bob)).await.unwrap();
        assert!(matches!(begun, Begin::Denied(_)), "{begun:?}");
    }
}

/// The request of the tests of Duo's own client for Python, and the signature that they expect.
#[test]
fn d15_a_request_is_signed_as_duos_own_client_signs_it() {
    let skey = SecretKey::parse("gtdfxv9YgVBYcF6dl2Eq17KUQJN2PLM2ODVTkvoT").unwrap();
    let params = PAIRS.into_iter().fold(Params::new(), |params, (name, value)| params.with(name, value));
    let headers = DuoHeaders::new(std::iter::empty::<(&str, &str)>()).unwrap();
    let request = Unsigned::new("PoSt", "foO.BAr52.cOm", "/Foo/BaR2/qux").with_params(&params);
    let request = request.with_body(b"").with_headers(&headers);
    let signature = request.sign(SignatureVersion::V2Sha1, "Fri, 07 Dec 2012 17:18:00 -0000", &skey);
    assert_eq!(signature.expose_secret(), SIGNATURE);
}
