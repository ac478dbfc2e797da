//! The code of `docs/recipes/trusting-a-device.md`.

use mfa::*;
use serde_json::json;

/// Users may trust a device, for two weeks. Without `trust` nobody can.
pub(crate) fn policy() -> Result<Policy, Vec<FieldError>> {
    Policy::recommended().with_document(&json!({ "trust": true, "trust_days": 14 }))
}

/// The password was right: the login goes on with what the browser's cookie holds, if it has one.
pub(crate) async fn begin(engine: &Engine, login: Login, cookie: Option<&str>) -> Result<Begin, Error> {
    let token = cookie.map(DeviceToken::from_text);
    engine.begin(token.into_iter().fold(login, Login::with_device)).await
}

/// The device is trusted: the session has one factor, and the cookie its next value.
pub(crate) fn let_in(trusted: &TrustedDevice) -> (Aal, Option<&str>) {
    (trusted.aal(), trusted.token.as_ref().map(DeviceToken::expose_secret))
}

/// The code was right, and the box beside it was ticked. Call this before the grant is redeemed; the cookie
/// lives as long as the device is known. One that may not be trusted is at least known again.
pub(crate) async fn keep(
    engine: &Engine,
    grant: &Grant,
    session: &str,
    name: &str,
) -> Result<KeptDevice, Error> {
    match engine.device_trust(grant, Some(session), name).await {
        Err(Error::Forbidden(_)) => engine.device_remember(grant, Some(session), name).await,
        kept => kept,
    }
}

/// Bob has changed his password: what was trusted under the other one is so no more.
pub(crate) async fn password_changed(directory: &StoredDirectory, bob: Subject) -> Result<Subject, Error> {
    let epoch = bob.password_epoch().map_or(0, |epoch| epoch.saturating_add(1));
    let bob = bob.with_password_epoch(epoch);
    directory.put(&bob).await?;
    Ok(bob)
}

/// On the page of his devices Bob chooses one that is to be asked again. His password is enough for that.
pub(crate) async fn trust_no_more(
    engine: &Engine,
    bob: &Subject,
    device: DeviceId,
    password: FirstFactor,
) -> Result<(), Error> {
    engine.device_revoke(bob.account(), bob.user(), device, &Authority::FirstFactor(password)).await
}
