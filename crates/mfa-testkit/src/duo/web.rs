//! The frame of Web SDK version 2, as the browser would have shown it.

use data_encoding::BASE64;
use hmac::Hmac;
use sha1::Sha1;

use super::Integration;
use super::people::{Reaction, Status};
use super::sign::hex_mac;
use super::state::State;

/// How many seconds a response lives.
const LIFE: u64 = 300;

/// Returns what the page posts as `sig_response` for a `sig_request`.
pub(super) fn prompt(state: &mut State, sig_request: &str) -> String {
    let Some((request, app)) = sig_request.split_once(':') else {
        return error("The request is malformed.");
    };
    let now = state.now.unix_seconds();
    let answer = match open(state, request) {
        None => error("The request could not be verified."),
        Some(opened) if opened.expires <= now => error("Login request has expired."),
        Some(opened) if opened.prefix == "ENROLL_REQUEST" => {
            cookie(&opened.keys, "ENROLL", &opened.user, now.saturating_add(LIFE))
        }
        Some(opened) => authenticate(state, &opened),
    };
    format!("{answer}:{app}")
}

fn authenticate(state: &mut State, opened: &Opened) -> String {
    let rings = state.rings_of(&opened.user);
    rings.prompts = rings.prompts.saturating_add(1);
    let is_bypassed = state.users.get(&opened.user).is_some_and(|user| user.status == Status::Bypass);
    let reaction = if is_bypassed { Some(Reaction::Approve) } else { state.reaction_of(&opened.user) };
    match reaction {
        Some(Reaction::Approve) => {
            let expires = state.now.unix_seconds().saturating_add(LIFE);
            cookie(&opened.keys, "AUTH", &opened.user, expires)
        }
        Some(Reaction::TimeOut | Reaction::Wait | Reaction::Unreachable) => error("Login timed out."),
        Some(Reaction::Deny | Reaction::ReportFraud) | None => error("Access denied."),
    }
}

/// Writes a cookie and signs it.
pub(super) fn cookie(keys: &Integration, prefix: &str, user: &str, expires: u64) -> String {
    let content = format!("{user}|{}|{expires}", keys.ikey);
    let text = format!("{prefix}|{}", BASE64.encode(content.as_bytes()));
    let signature = hex_mac::<Hmac<Sha1>>(&keys.skey, &text);
    format!("{text}|{signature}")
}

fn error(text: &str) -> String {
    format!("ERR|{text}")
}

struct Opened {
    prefix: String,
    user: String,
    keys: Integration,
    expires: u64,
}

/// Reads a cookie that an integration of ours signed as a request.
fn open(state: &State, cookie: &str) -> Option<Opened> {
    let (text, signature) = cookie.rsplit_once('|')?;
    let (prefix, encoded) = text.split_once('|')?;
    let content = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
    let parts: Vec<_> = content.split('|').collect();
    let [user, ikey, expires] = parts.as_slice() else { return None };
    let keys = Integration { ikey: (*ikey).into(), skey: state.integrations.get(*ikey)?.clone() };
    let is_right =
        hex_mac::<Hmac<Sha1>>(&keys.skey, text) == signature && ["TX", "ENROLL_REQUEST"].contains(&prefix);
    let expires = expires.parse().ok()?;
    is_right.then(|| Opened { prefix: prefix.into(), user: (*user).into(), keys, expires })
}
