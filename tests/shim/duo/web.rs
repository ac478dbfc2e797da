//! The Web SDK v2, and Kazoo's use of it.

use core::time::Duration;

use mfa::Timestamp;
use mfa::duo::web::kazoo::Kazoo;
use mfa::duo::web::{Refusal, SigRequest, Verified, WebSdk, iframe_src as address, official_error};
use mfa::duo::{ApiHost, ApplicationKey, Error, IntegrationKey, SecretKey};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::input::Input;

type Sign = fn(&WebSdk, &str, Timestamp) -> Result<SigRequest, Error>;
type Verify = fn(&WebSdk, &str, Timestamp) -> Result<Verified, Refusal>;

/// Duo's SDKs answer with a text in any case, and look at the user before they look at the keys.
pub(super) fn sign(input: &Input<'_>, sign: Sign) -> Result<Value, Failure> {
    let (user, keys, now) = (input.text("username")?, Keys::read(input)?, input.time("now")?);
    let any = Keys { ikey: &"I".repeat(20), skey: &"s".repeat(40), akey: &"a".repeat(40), ..keys };
    let of = |keys: Keys<'_>| keys.sdk().and_then(|sdk| sign(&sdk, user, now));
    Ok(match of(any).and_then(|_| of(keys)) {
        Ok(request) => json!(request.expose_secret()),
        Err(error) => json!(official_error(&error)),
    })
}

pub(super) fn verify(input: &Input<'_>, verify: Verify) -> Result<Value, Failure> {
    let (response, keys, now) = (input.text("sig_response")?, Keys::read(input)?, input.time("now")?);
    Ok(user(verify(&keys.sdk()?, response, now)))
}

pub(super) fn verify_for(input: &Input<'_>) -> Result<Value, Failure> {
    let (response, keys, now) = (input.text("sig_response")?, Keys::read(input)?, input.time("now")?);
    Ok(user(keys.sdk()?.verify_response_for(response, input.text("expected_username")?, now)))
}

pub(super) fn iframe_src(input: &Input<'_>) -> Result<Value, Failure> {
    let host = input.parsed("host", ApiHost::parse)?;
    let request = input.parsed("sig_request", SigRequest::parse)?;
    Ok(json!(address(&host, &request, input.text("parent")?).expose_secret()))
}

/// A login without `mfa_resp` is asked for one; with it, it is judged.
pub(super) fn kazoo_authenticate(input: &Input<'_>) -> Result<Value, Failure> {
    let (settings, now) = (input.required("settings")?, input.time("now")?);
    let response = input.optional_text("mfa_resp")?;
    let kazoo = match Kazoo::configure(input.optional_text("owner_id")?, settings) {
        Ok(kazoo) => kazoo,
        Err(error) => return Ok(json!({ "error": "configuration", "message": error.to_string() })),
    };
    let Some(response) = response else {
        let request = kazoo.sign_request(now);
        return Ok(json!({ "error": 401, "body": kazoo.multi_factor_request(&request) }));
    };
    Ok(match kazoo.verify_response(response, now) {
        Ok(_) => json!({ "ok": "authenticated" }),
        Err(_) => json!({ "error": "unauthorized" }),
    })
}

fn user(verified: Result<Verified, Refusal>) -> Value {
    json!(verified.ok().map(|verified| verified.user().to_owned()))
}

/// The three keys and the two lifetimes, as they were given.
#[derive(Clone, Copy)]
struct Keys<'a> {
    ikey: &'a str,
    skey: &'a str,
    akey: &'a str,
    duo_expire: Option<u64>,
    app_expire: Option<u64>,
}

impl<'a> Keys<'a> {
    fn read(input: &Input<'a>) -> Result<Self, Failure> {
        Ok(Self {
            ikey: input.text("ikey")?,
            skey: input.text("skey")?,
            akey: input.text("akey")?,
            duo_expire: input.optional_whole("duo_expire")?,
            app_expire: input.optional_whole("app_expire")?,
        })
    }

    fn sdk(self) -> Result<WebSdk, Error> {
        let ikey = IntegrationKey::parse(self.ikey)?;
        let skey = SecretKey::parse(self.skey)?;
        let akey = ApplicationKey::parse(self.akey)?;
        let sdk = WebSdk::new(ikey, skey, akey)?;
        let sdk = self.duo_expire.map(Duration::from_secs).into_iter().fold(sdk, WebSdk::with_duo_expire);
        Ok(self.app_expire.map(Duration::from_secs).into_iter().fold(sdk, WebSdk::with_app_expire))
    }
}
