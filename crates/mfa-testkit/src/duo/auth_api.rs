//! The Auth API, version 2.

use std::collections::BTreeMap;
use std::net::IpAddr;

use http::Method;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::log::Credentials;
use super::message::{Failure, Reply, Request};
use super::people::{Device, NewUsers, Status, User};
use super::sign;
use super::state::{Enrolment, Next, State, VerifiedPush, random_digits, random_text};
use super::transaction::{Stage, Wait, Way};

/// How many seconds an activation code lives unless `valid_secs` says otherwise.
const ENROLMENT_LIFE: u64 = 86_400;
/// How many seconds the transaction of a Verified Duo Push lives.
const VERIFIED_PUSH_LIFE: u64 = 60;
/// `pushinfo` must be shorter, in bytes.
const PUSHINFO_LIMIT: usize = 20_000;
/// How many passcodes a message holds.
const SMS_CODES: usize = 10;

type Params = BTreeMap<String, String>;

/// Answers a request and notes what became of its credentials.
pub(super) fn answer(
    state: &mut State,
    request: &Request,
    checked: &mut (Credentials, Option<String>),
) -> Result<Next, Failure> {
    let name = request.path.strip_prefix("/auth/v2/").unwrap_or_default();
    let method = match name {
        "ping" | "check" | "logo" | "auth_status" => Method::GET,
        "enroll" | "enroll_status" | "preauth" | "auth" => Method::POST,
        _ => return Err(Failure::new(40401, "Resource not found")),
    };
    if request.method != method {
        return Err(Failure::new(40501, "Method not allowed"));
    }
    if name == "ping" {
        return Ok(Next::Reply(time(state)));
    }
    checked.0 = Credentials::Refused;
    let (credentials, ikey) = sign::check(state, request)?;
    *checked = (credentials, Some(ikey.clone()));
    let params = request.params();
    let reply = match name {
        "check" => time(state),
        "logo" => logo(state)?,
        "enroll" => enroll(state, &params)?,
        "enroll_status" => enroll_status(state, &params)?,
        "preauth" => preauth(state, &params)?,
        "auth" => return auth(state, &ikey, &params),
        _ => return auth_status(state, &ikey, &params),
    };
    Ok(Next::Reply(reply))
}

fn time(state: &State) -> Reply {
    Reply::ok(json!({ "time": state.now.unix_seconds() }))
}

fn logo(state: &State) -> Result<Reply, Failure> {
    let logo = state.logo.as_ref().ok_or(Failure::new(40002, "Logo not found"))?;
    Ok(Reply::bytes(200, "image/png", logo.clone()))
}

fn enroll(state: &mut State, params: &Params) -> Result<Reply, Failure> {
    let name = params.get("username").cloned().unwrap_or_else(|| random_text(20));
    if state.users.contains_key(&name) {
        return Err(Failure::invalid("username"));
    }
    let life = match params.get("valid_secs") {
        Some(text) => text.parse().map_err(|_| Failure::invalid("valid_secs"))?,
        None => ENROLMENT_LIFE,
    };
    let bypass_codes: usize = match params.get("bypass_codes") {
        Some(text) => {
            text.parse().ok().filter(|n| *n <= 10).ok_or_else(|| Failure::invalid("bypass_codes"))?
        }
        None => 0,
    };
    let mut user = User::new(&name);
    let bypass_codes: Vec<_> = (0..bypass_codes).map(|_| random_digits(9)).collect();
    user.bypass_codes.clone_from(&bypass_codes);
    let (code, expires) =
        (format!("duo://{}", random_text(20)), state.now.unix_seconds().saturating_add(life));
    let mut response = json!({
        "user_id": user.id,
        "username": name,
        "activation_barcode": format!("https://{}/frame/qr?value={code}", state.authority),
        "activation_code": code,
        "activation_url": format!("https://{}/activate/{}", state.authority, random_text(20)),
        "expiration": expires,
    });
    if let (false, Some(fields)) = (bypass_codes.is_empty(), response.as_object_mut()) {
        fields.insert("bypass_codes".to_owned(), bypass_codes.into());
    }
    state.enrolments.push(Enrolment { user: name.clone(), code, expires, is_claimed: false });
    state.users.insert(name, user);
    Ok(Reply::ok(response))
}

fn enroll_status(state: &State, params: &Params) -> Result<Reply, Failure> {
    let (id, code) = (required(params, "user_id")?, required(params, "activation_code")?);
    let user = state.user_by_id(id).ok_or_else(|| Failure::invalid("user_id"))?;
    let enrolment = state.enrolments.iter().find(|one| one.user == user.name && one.code == *code);
    let status = match enrolment {
        Some(enrolment) if enrolment.is_claimed => "success",
        Some(enrolment) if state.now.unix_seconds() < enrolment.expires => "waiting",
        _ => "invalid",
    };
    Ok(Reply::ok(status.into()))
}

fn preauth(state: &mut State, params: &Params) -> Result<Reply, Failure> {
    check_ipaddr(params)?;
    let name = username(state, params)?;
    let user = state.users.get(&name);
    let is_trusted = params.get("trusted_device_token").and_then(|token| state.trusted.get(token));
    let (result, message) = match user.map(|user| (user.status, user.is_enrolled())) {
        Some((Status::Bypass, _)) => ("allow", "Account is in bypass"),
        Some((Status::LockedOut, _)) => ("deny", "Your account has been locked out"),
        Some((Status::Disabled, _)) => ("deny", "Your account is disabled"),
        Some((Status::Active, true)) if is_trusted == Some(&name) => ("allow", "Device is trusted"),
        Some((Status::Active, true)) => ("auth", "Account is active"),
        Some((Status::Active, false)) | None => match state.new_users {
            NewUsers::Enroll => ("enroll", "Enroll an authentication device to proceed"),
            NewUsers::Allow => ("allow", "Account is not enrolled"),
            NewUsers::Deny => ("deny", "Account is not enrolled"),
        },
    };
    let mut response = json!({ "result": result, "status_msg": message });
    let Some(fields) = response.as_object_mut() else { return Ok(Reply::ok(response)) };
    if result == "enroll" {
        let portal = format!("https://{}/portal?code={}", state.authority, random_text(16));
        fields.insert("enroll_portal_url".to_owned(), portal.into());
    }
    let Some(user) = user.filter(|_| result == "auth") else { return Ok(Reply::ok(response)) };
    fields.insert("devices".to_owned(), user.devices.iter().map(describe).collect());
    let is_supported = params.get("client_supports_verified_push").is_some_and(|flag| flag == "1");
    if user.verified_push && is_supported {
        let (txid, code) = (random_text(32), random_digits(3));
        let expires = state.now.unix_seconds().saturating_add(VERIFIED_PUSH_LIFE);
        fields.insert("txid".to_owned(), txid.as_str().into());
        fields.insert("verification_code".to_owned(), code.as_str().into());
        fields.insert("expiration".to_owned(), expires.into());
        state.verified_pushes.insert(txid, VerifiedPush { user: name, code, expires });
    }
    Ok(Reply::ok(response))
}

fn describe(device: &Device) -> Value {
    let Some(number) = &device.number else {
        return json!({ "device": device.id, "type": "token", "name": device.name });
    };
    let last: String = number.chars().skip(number.chars().count().saturating_sub(4)).collect();
    let masked = format!("XXX-XXX-{last}");
    let mut fields = json!({
        "device": device.id,
        "type": "phone",
        "name": device.name,
        "display_name": format!("Phone ({masked})"),
        "number": masked,
        "capabilities": device.capabilities,
    });
    let next = device.sms_codes.first().and_then(|code| code.get(..1));
    if let (Some(next), Some(fields)) = (next, fields.as_object_mut()) {
        fields.insert("sms_nextcode".to_owned(), next.into());
    }
    fields
}

fn auth(state: &mut State, ikey: &str, params: &Params) -> Result<Next, Failure> {
    check_ipaddr(params)?;
    let name = username(state, params)?;
    let factor = required(params, "factor")?.as_str();
    let is_async = match params.get("async").map(String::as_str) {
        None | Some("0" | "false") => false,
        Some("1" | "true") => true,
        Some(_) => return Err(Failure::invalid("async")),
    };
    let user = state.users.get(&name).filter(|user| user.is_enrolled() || user.status != Status::Active);
    let txid = match user.map(|user| user.status) {
        // What Duo answers for a user who is not enrolled is documented only for `preauth`.
        None => return Err(Failure::invalid("username")),
        Some(Status::Bypass) => {
            state.settle(ikey, &name, Stage::new("allow", "bypass", "Bypassing second factor"))
        }
        Some(Status::LockedOut) => {
            state.settle(ikey, &name, Stage::new("deny", "locked_out", "Your account has been locked out"))
        }
        Some(Status::Disabled) => {
            state.settle(ikey, &name, Stage::new("deny", "deny", "Your account is disabled"))
        }
        Some(Status::Active) => match factor {
            "passcode" => passcode(state, ikey, &name, params)?,
            "sms" => sms(state, ikey, &name, params)?,
            "auto" | "push" | "phone" => ring(state, ikey, &name, factor, params)?,
            _ => return Err(Failure::invalid("factor")),
        },
    };
    if is_async {
        return Ok(Next::Reply(Reply::ok(json!({ "txid": txid }))));
    }
    Ok(Next::Wait(Wait::new(txid, state.now.unix_seconds(), true)))
}

fn auth_status(state: &State, ikey: &str, params: &Params) -> Result<Next, Failure> {
    let txid = required(params, "txid")?;
    let transaction = state.transactions.get(txid).filter(|transaction| transaction.ikey == ikey);
    transaction.ok_or_else(|| Failure::invalid("txid"))?;
    Ok(Next::Wait(Wait::new(txid.clone(), state.now.unix_seconds(), false)))
}

fn passcode(state: &mut State, ikey: &str, name: &str, params: &Params) -> Result<String, Failure> {
    let passcode = required(params, "passcode")?;
    if params.contains_key("device") {
        return Err(Failure::invalid("device"));
    }
    let is_right = state.users.get_mut(name).is_some_and(|user| user.spend(passcode));
    let wrong = || Stage::new("deny", "deny", "Incorrect passcode. Please try again.");
    Ok(state.settle(ikey, name, if is_right { Stage::allow() } else { wrong() }))
}

fn sms(state: &mut State, ikey: &str, name: &str, params: &Params) -> Result<String, Failure> {
    let device = device(state, name, params, &["sms"])?.0;
    let phones = state.users.get_mut(name).into_iter().flat_map(|user| &mut user.devices);
    phones.filter(|phone| phone.id == device).for_each(|phone| {
        phone.sms_codes = (0..SMS_CODES).map(|_| random_digits(7)).collect();
    });
    let rings = state.rings_of(name);
    rings.sms = rings.sms.saturating_add(1);
    Ok(state.settle(ikey, name, Stage::new("deny", "sent", "New SMS passcodes sent.")))
}

fn ring(state: &mut State, ikey: &str, name: &str, factor: &str, params: &Params) -> Result<String, Failure> {
    let wanted: &[&'static str] = match factor {
        "auto" => &["push", "phone"],
        "phone" => &["phone"],
        _ => &["push"],
    };
    let (_, capability) = device(state, name, params, wanted)?;
    if capability == "phone" {
        return Ok(state.ring(ikey, name, Way::Call, None));
    }
    check_pushinfo(params)?;
    let code = match params.get("txid") {
        // Without it the policy is passed over, as Duo documents for clients that do not know of it.
        None => None,
        Some(txid) => {
            let now = state.now.unix_seconds();
            let push = state.verified_pushes.remove(txid);
            let push = push.filter(|push| push.user == name && now < push.expires);
            Some(push.ok_or_else(|| Failure::invalid("txid"))?.code)
        }
    };
    Ok(state.ring(ikey, name, Way::Push, code.as_deref()))
}

/// Returns the id of the device that `device` means, and which of the wanted capabilities it has.
fn device(
    state: &State,
    name: &str,
    params: &Params,
    wanted: &[&'static str],
) -> Result<(String, &'static str), Failure> {
    let asked = required(params, "device")?;
    let devices = state.users.get(name).map_or(&[][..], |user| &user.devices);
    let mut possible: Vec<_> = devices.iter().collect();
    if asked != "auto" {
        possible.retain(|device| device.id == *asked);
        if possible.is_empty() {
            return Err(Failure::invalid("device"));
        }
    }
    let fits = wanted.iter().find_map(|what| Some((possible.iter().find(|device| device.can(what))?, *what)));
    let (device, capability) = fits.ok_or_else(|| Failure::invalid("no capable device"))?;
    Ok((device.id.clone(), capability))
}

/// Returns the name of the user that exactly one of `username` and `user_id` gives.
fn username(state: &State, params: &Params) -> Result<String, Failure> {
    match (params.get("username"), params.get("user_id")) {
        (Some(_), Some(_)) => Err(Failure::invalid("user_id")),
        (Some(name), None) if name.is_empty() => Err(Failure::invalid("username")),
        (Some(name), None) => Ok(name.clone()),
        (None, Some(id)) => {
            let user = state.user_by_id(id).ok_or_else(|| Failure::invalid("user_id"))?;
            Ok(user.name.clone())
        }
        (None, None) => Err(Failure::missing("username")),
    }
}

fn required<'a>(params: &'a Params, name: &str) -> Result<&'a String, Failure> {
    params.get(name).ok_or_else(|| Failure::missing(name))
}

fn check_ipaddr(params: &Params) -> Result<(), Failure> {
    let is_address = params.get("ipaddr").is_none_or(|text| text.parse::<IpAddr>().is_ok());
    if is_address { Ok(()) } else { Err(Failure::invalid("ipaddr")) }
}

/// Checks `pushinfo`: pairs `name=value`, encoded as a form.
fn check_pushinfo(params: &Params) -> Result<(), Failure> {
    let Some(text) = params.get("pushinfo") else { return Ok(()) };
    let is_form = text.split('&').all(|pair| pair.contains('='))
        && form_urlencoded::parse(text.as_bytes()).all(|(name, _)| !name.is_empty());
    if is_form && text.len() < PUSHINFO_LIMIT { Ok(()) } else { Err(Failure::invalid("pushinfo")) }
}
