//! Devices that a user trusts, and nodes whose policy lets them.

use audit_model::{Event, Kind};
use mfa::{
    Begin, Device, DeviceToken, Engine, EngineBuilder, Error, Grant, KeptDevice, Login, Policy, Response,
    Subject, TrustedDevice, Verify,
};
use mfa_testkit::authenticator::SoftAuthenticator;
use mfa_testkit::inbox::Inbox;
use serde_json::{Value, json};

use crate::{STEP, World, login};

/// Has a node's policy let users trust devices, and say what `document` says besides.
///
/// # Panics
/// If it is no policy.
pub fn with_trust(node: EngineBuilder, document: &Value) -> EngineBuilder {
    let policy = Policy::recommended().with_document(&json!({ "trust": true })).expect("a policy");
    node.policy(policy.with_document(document).expect("a policy"))
}

/// A node that lets users trust devices, issues recovery codes and sends to `inbox`.
///
/// # Panics
/// If it cannot be built.
pub async fn trusting(world: &World, inbox: &Inbox) -> Engine {
    with_trust(world.recovery_node(inbox), &json!({})).build().await.expect("a node")
}

/// Logs in with the app's code, from the device of `token` if there is one, and moves the clock by a step.
///
/// # Panics
/// If the user does not get in by a second step.
pub async fn log_in(
    engine: &Engine,
    world: &World,
    bob: &Subject,
    app: &SoftAuthenticator,
    token: Option<&DeviceToken>,
) -> Grant {
    let begun = engine.begin(from(bob, token)).await.expect("a begin");
    let Begin::Challenge(challenge) = begun else { panic!("a challenge was expected: {begun:?}") };
    let code = Response::code(&app.code_at(world.now()));
    let verified = engine.verify(&challenge.reference, code).await.expect("a judgement");
    let Verify::Verified(grant) = verified else { panic!("a grant was expected: {verified:?}") };
    world.clock.advance(STEP);
    grant
}

/// Returns the session that a grant of [`login`] is for.
#[must_use]
pub fn session_of(grant: &Grant) -> String {
    format!("session-of-{}", grant.user())
}

/// Logs in with the app's code and trusts the device.
///
/// # Panics
/// If that is refused.
pub async fn trusted(engine: &Engine, world: &World, bob: &Subject, app: &SoftAuthenticator) -> KeptDevice {
    let grant = log_in(engine, world, bob, app, None).await;
    engine.device_trust(&grant, Some(&session_of(&grant)), "a laptop").await.expect("trust")
}

/// A login of `bob` from the device of `token`.
#[must_use]
pub fn from(bob: &Subject, token: Option<&DeviceToken>) -> Login {
    let login = login(bob);
    match token {
        Some(token) => login.with_device(token.clone()),
        None => login,
    }
}

/// Begins a login from the device of `token`; `None` if a second step is asked for or the login is refused.
///
/// # Panics
/// If the store fails.
pub async fn let_in(engine: &Engine, bob: &Subject, token: &DeviceToken) -> Option<TrustedDevice> {
    match engine.begin(from(bob, Some(token))).await.expect("a begin") {
        Begin::TrustedDevice(trusted) => Some(trusted),
        _ => None,
    }
}

/// As [`let_in`]; returns the next token.
///
/// # Panics
/// If the user is not let in, or gets no token.
pub async fn turned(engine: &Engine, bob: &Subject, token: &DeviceToken) -> DeviceToken {
    let trusted = let_in(engine, bob, token).await.expect("a trusted device");
    trusted.token.expect("the next token")
}

/// Returns what an explanation calls the device of `token`.
///
/// # Panics
/// If it does not tell.
pub async fn called(engine: &Engine, bob: &Subject, token: &DeviceToken) -> String {
    let explained = engine.explain(&from(bob, Some(token))).await.expect("an explanation");
    explained.rules.into_iter().find(|rule| rule.name == "device").expect("a rule").value
}

/// Lists a user's devices.
///
/// # Panics
/// If the store fails.
pub async fn devices(engine: &Engine, bob: &Subject) -> Vec<Device> {
    engine.devices(bob.account(), bob.user()).await.expect("devices")
}

/// Returns why a device was not kept, which the log says as well.
///
/// # Panics
/// If it was kept, or the log does not say so.
pub async fn refused(world: &World, operation: &str, told: Result<KeptDevice, Error>) -> &'static str {
    let code = told.expect_err("a refusal").code();
    let events = world.events_of(Kind::ChangeRefused).await;
    let says = |e: &&Event| e.reason() == Some(code) && e.field("operation") == Some(operation);
    assert!(events.iter().any(|event| says(&event) && event.at() == world.now()), "{operation}: {code}");
    code
}

/// Fails `times` with a wrong code, each in a challenge of its own, without a device; stops where nothing is judged.
///
/// # Panics
/// If the store fails.
pub async fn strangers_fail(world: &World, bob: &Subject, app: &SoftAuthenticator, times: usize) -> usize {
    for n in 0..times {
        let Some(challenge) = crate::probe::begin_unless_locked(&world.engine, bob).await else { return n };
        let wrong = crate::told::wrong_code(app, world.now());
        let why = crate::probe::answer(&world.engine, &challenge, &wrong).await;
        assert_eq!(why, Some(mfa::Reason::WrongCode));
    }
    times
}
