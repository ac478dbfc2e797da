//! Witness: Duo's own Python packages, `duo_client` and `duo_web`, sign the same and verify the same.

#![expect(clippy::unwrap_used, reason = "a test fails so")]

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use http::Request;
use mfa_core::{SecretText, Timestamp};
use mfa_duo::auth_api::{
    Auth, AuthApi, AuthStatus, Call, Check, ClockOffset, DeviceChoice, DeviceId, DuoHeaders, Enroll,
    EnrollStatus, Factor, Logo, Params, Passcode, Preauth, Push, PushInfo, SignatureVersion, Txid, Unsigned,
    User, authorization,
};
use mfa_duo::web::{WebSdk, official_error};
use mfa_duo::{ApiHost, ApplicationKey, Error, IntegrationKey, SecretKey};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witness_duo.py");
const REQUESTS: usize = 2_000;
const NOW: u64 = 1_700_000_000;

/// Versions by the names of `duo_client`.
const VERSIONS: [(u8, &str, SignatureVersion); 4] = [
    (2, "sha1", SignatureVersion::V2Sha1),
    (2, "sha512", SignatureVersion::V2Sha512),
    (4, "sha512", SignatureVersion::V4),
    (5, "sha512", SignatureVersion::V5),
];

fn packages_are_missing() -> bool {
    let output = Command::new("python3").args(["-W", "ignore", "-c", "import duo_client, duo_web"]).output();
    let missing = !output.is_ok_and(|output| output.status.success());
    let required = std::env::var("MFA_REQUIRE_WITNESSES").is_ok_and(|value| value == "1");
    assert!(!(missing && required), "MFA_REQUIRE_WITNESSES=1, and duo_client or duo_web is missing");
    if missing {
        eprintln!("skipped: duo_client or duo_web is not installed (Python packages duo_client and duo_web)");
    }
    missing
}

/// Asks one Python process all requests and returns its answers in the same order.
fn ask(requests: &[Value]) -> Vec<Value> {
    let mut child = Command::new("python3")
        .arg(SCRIPT)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let mut stdin = child.stdin.take();
    // Written beside the reading: a full pipe on either side would stop both.
    let writer = thread::spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let answers: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

/// A generator whose seed is printed; `MFA_WITNESS_SEED` sets it, without it every run has its own.
fn generator() -> StdRng {
    let seed = std::env::var("MFA_WITNESS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("MFA_WITNESS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Everything that has a meaning in one of the encodings, and some Unicode.
fn text(rng: &mut StdRng, least: usize, most: usize) -> String {
    const CHARACTERS: &str = "aZ09-._~ %&?#/=+@:|\"\\<;,!*'()\t\u{7f}éß漢🔑א";
    let alphabet: Vec<char> = CHARACTERS.chars().collect();
    (0..rng.random_range(least..=most)).filter_map(|_| alphabet.choose(rng)).collect()
}

fn key(rng: &mut StdRng, characters: usize) -> String {
    const CHARACTERS: &[u8] = b"abcXYZ0189";
    (0..characters).filter_map(|_| CHARACTERS.choose(rng)).map(|byte| char::from(*byte)).collect()
}

fn date(rng: &mut StdRng) -> Timestamp {
    Timestamp::from_unix_seconds(rng.random_range(0..4_000_000_000)).unwrap()
}

#[test]
fn duo_client_signs_the_same() {
    if packages_are_missing() {
        return;
    }
    let mut rng = generator();
    let (mut requests, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        let (version, digest, signature_version) = VERSIONS[rng.random_range(0..4)];
        let (ikey, skey) = (key(&mut rng, 20), key(&mut rng, 40));
        let method = ["GET", "post", "DELETE", "PoSt"][rng.random_range(0..4)];
        let host = format!("API-{}.duosecurity.com", key(&mut rng, 8));
        let path = format!("/auth/v2/{}", text(&mut rng, 0, 6));
        let mut values = BTreeMap::new();
        for _ in 0..rng.random_range(0..6) {
            let count = rng.random_range(1..3);
            values
                .insert(text(&mut rng, 0, 8), (0..count).map(|_| text(&mut rng, 0, 12)).collect::<Vec<_>>());
        }
        let mut headers = BTreeMap::new();
        for _ in 0..rng.random_range(0..4) {
            headers.insert(format!("X-dUo-{}", key(&mut rng, 4).to_lowercase()), text(&mut rng, 0, 12));
        }
        let body = if rng.random_bool(0.3) { String::new() } else { text(&mut rng, 0, 60) };
        // Any text will do as a date here; `what_is_sent_is_what_duo_client_sends` has real ones.
        let date = text(&mut rng, 0, 30);
        requests.push(json!({
            "op": "sign", "ikey": ikey, "skey": skey, "method": method, "host": host, "path": path,
            "date": date, "version": version, "digest": digest, "params": values, "body": body,
            "headers": headers,
        }));

        let mut params = Params::new();
        for (name, values) in values.into_iter().rev() {
            params = values.into_iter().fold(params, |params, value| params.with(name.clone(), value));
        }
        let headers = DuoHeaders::new(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let headers = headers.unwrap();
        let unsigned = Unsigned::new(method, &host, &path)
            .with_params(&params)
            .with_body(body.as_bytes())
            .with_headers(&headers);
        let signature = unsigned.sign(signature_version, &date, &SecretKey::parse(&skey).unwrap());
        ours.push(authorization(&ikey, &signature).expose_secret().to_owned());
    }
    for ((request, theirs), ours) in requests.iter().zip(ask(&requests)).zip(ours) {
        assert_eq!(theirs, ours, "{request}");
    }
}

/// One call of ours, and the same call of `duo_client`.
fn random_call(rng: &mut StdRng, api: &AuthApi, now: Timestamp) -> (Request<Vec<u8>>, &'static str, Value) {
    fn send<C: Call>(api: &AuthApi, now: Timestamp, call: &C) -> Request<Vec<u8>> {
        api.request(call, now, ClockOffset::NONE).unwrap()
    }
    let name = text(rng, 1, 12);
    let user = User::name(&name).unwrap();
    let id = key(rng, 20);
    let device = DeviceChoice::Device(DeviceId::parse(&id).unwrap());
    match rng.random_range(0..9) {
        0 => (send(api, now, &Check::new()), "check", json!({})),
        1 => (send(api, now, &Logo::new()), "logo", json!({})),
        2 => {
            let call = Enroll::new().with_username(&name).with_valid_secs(60);
            (send(api, now, &call), "enroll", json!({ "username": name, "valid_secs": "60" }))
        }
        3 => {
            let call = EnrollStatus::from_parts(&id, SecretText::new(name.as_str()));
            let arguments = json!({ "user_id": id, "activation_code": name });
            (send(api, now, &call), "enroll_status", arguments)
        }
        4 => {
            let call = Preauth::new(user)
                .with_trusted_device_token(SecretText::new(id.as_str()))
                .with_ipaddr("192.0.2.7".parse().unwrap());
            let arguments = json!({
                "username": name, "trusted_device_token": id, "ipaddr": "192.0.2.7",
                "client_supports_verified_push": "1",
            });
            (send(api, now, &call), "preauth", arguments)
        }
        5 => {
            let call = AuthStatus::new(Txid::parse(&id).unwrap());
            (send(api, now, &call), "auth_status", json!({ "txid": id }))
        }
        6 => {
            let call = Auth::new(user, Factor::Passcode(Passcode::parse(&id).unwrap()));
            let arguments =
                json!({ "factor": "passcode", "username": name, "passcode": id, "async_txn": false });
            (send(api, now, &call), "auth", arguments)
        }
        7 => {
            let call = Auth::new(user, Factor::Phone(DeviceChoice::Auto)).asynchronous();
            let arguments =
                json!({ "factor": "phone", "username": name, "device": "auto", "async_txn": true });
            (send(api, now, &call), "auth", arguments)
        }
        _ => {
            let info = PushInfo::new().with("a b", &name).unwrap();
            let push = Push::new(device)
                .with_request_type("Transfer")
                .with_display_username(&name)
                .with_push_info(info.clone())
                .verified(Txid::parse(&id).unwrap());
            let call = Auth::new(User::id(&id).unwrap(), Factor::Push(push)).asynchronous();
            let arguments = json!({
                "factor": "push", "user_id": id, "device": id, "type": "Transfer", "display_username": name,
                "pushinfo": info.as_str(), "txid": id, "async_txn": true,
            });
            (send(api, now, &call), "auth", arguments)
        }
    }
}

/// Asks the package for whole requests. Where its JSON or its query is spelled in another way (`\u` escapes, `+`
/// for a space), the signature is of other bytes: then the package signs ours.
#[test]
fn what_is_sent_is_what_duo_client_sends() {
    if packages_are_missing() {
        return;
    }
    let mut rng = generator();
    let (mut calls, mut signs, mut ours) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REQUESTS {
        let (version, digest, signature_version) = VERSIONS[rng.random_range(0..4)];
        let (ikey, skey) = (key(&mut rng, 20), key(&mut rng, 40));
        let host = format!("api-{}.duosecurity.com", key(&mut rng, 8));
        let api = AuthApi::new(
            ApiHost::parse(&host).unwrap(),
            IntegrationKey::parse(&ikey).unwrap(),
            SecretKey::parse(&skey).unwrap(),
        );
        let api = api.with_signature(signature_version);
        let now = date(&mut rng);
        let (request, call, arguments) = random_call(&mut rng, &api, now);
        let date = request.headers()["date"].to_str().unwrap();
        calls.push(json!({
            "op": "call", "ikey": ikey, "skey": skey, "host": host, "version": version, "digest": digest,
            "date": date, "call": call, "arguments": arguments,
        }));
        let body = core::str::from_utf8(request.body()).unwrap();
        let (form, body) = if version == 2 { (body, "") } else { ("", body) };
        let sent = format!("{form}{}", request.uri().query().unwrap_or_default());
        let params: BTreeMap<String, String> =
            url::form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
        signs.push(json!({
            "op": "sign", "ikey": ikey, "skey": skey, "host": host, "version": version, "digest": digest,
            "date": date, "method": request.method().as_str(), "path": request.uri().path(), "body": body,
            "headers": {}, "params": params,
        }));
        ours.push(request);
    }
    let (theirs, signed) = (ask(&calls), ask(&signs));
    let mut equal = 0;
    for (((theirs, signed), ours), call) in theirs.iter().zip(signed).zip(&ours).zip(&calls) {
        let credentials = ours.headers()["authorization"].to_str().unwrap();
        assert_eq!(signed, credentials, "{call}");
        assert_eq!(theirs["method"], ours.method().as_str(), "{call}");
        let (path, query) = theirs["uri"]
            .as_str()
            .unwrap()
            .split_once('?')
            .unwrap_or_else(|| (theirs["uri"].as_str().unwrap(), ""));
        assert_eq!(path, ours.uri().path());
        assert_eq!(fields(query), fields(ours.uri().query().unwrap_or_default()), "{call}");
        let (their_body, our_body) =
            (theirs["body"].as_str().unwrap(), core::str::from_utf8(ours.body()).unwrap());
        let content_type = ours.headers().get("content-type").map(|value| value.to_str().unwrap());
        assert_eq!(theirs["headers"]["content-type"].as_str(), content_type, "{call}");
        match content_type {
            Some("application/json") => {
                let read = |body| serde_json::from_str::<Value>(body).unwrap();
                assert_eq!(read(their_body), read(our_body), "{call}");
            }
            _ => assert_eq!(fields(their_body), fields(our_body), "{call}"),
        }
        if content_type != Some("application/json") || their_body == our_body {
            assert_eq!(theirs["headers"]["authorization"], credentials, "{call}");
            equal += 1;
        }
    }
    assert!(equal > REQUESTS / 2, "{equal} requests were equal to the byte");
}

fn fields(form: &str) -> Vec<(String, String)> {
    let mut fields: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    fields.sort();
    fields
}

fn sdk(ikey: &str, skey: &str, akey: &str) -> Result<WebSdk, Error> {
    WebSdk::new(IntegrationKey::parse(ikey)?, SecretKey::parse(skey)?, ApplicationKey::parse(akey)?)
}

#[test]
fn duo_web_signs_the_same_and_words_errors_the_same() {
    if packages_are_missing() {
        return;
    }
    let mut rng = generator();
    let mut requests = Vec::new();
    for _ in 0..REQUESTS {
        let off = |rng: &mut StdRng, right: usize| if rng.random_bool(0.9) { right } else { right - 1 };
        let (ikey, skey, akey) = (off(&mut rng, 20), off(&mut rng, 40), off(&mut rng, 40));
        requests.push(json!({
            "op": "sign_request", "enroll": rng.random_bool(0.3), "now": rng.random_range(0..4_000_000_000_u64),
            "ikey": key(&mut rng, ikey), "skey": key(&mut rng, skey), "akey": key(&mut rng, akey),
            "user": text(&mut rng, 0, 12),
        }));
    }
    let mut signed = 0;
    for (request, theirs) in requests.iter().zip(ask(&requests)) {
        let get = |name: &str| request[name].as_str().unwrap();
        let now = Timestamp::from_unix_seconds(request["now"].as_u64().unwrap()).unwrap();
        let sign = |sdk: WebSdk| {
            let enroll = request["enroll"] == true;
            if enroll {
                sdk.sign_enroll_request(get("user"), now)
            } else {
                sdk.sign_request(get("user"), now)
            }
        };
        // The package looks at the user first.
        let good = sdk(&"I".repeat(20), &"s".repeat(40), &"a".repeat(40));
        let ours =
            good.and_then(sign).and_then(|_| sdk(get("ikey"), get("skey"), get("akey"))).and_then(sign);
        signed += usize::from(ours.is_ok());
        let ours = match ours {
            Ok(request) => request.expose_secret().to_owned(),
            Err(error) => official_error(&error).to_owned(),
        };
        assert_eq!(theirs, ours, "{request}");
    }
    assert!(signed > REQUESTS / 4 && signed < REQUESTS, "{signed}");
}

#[test]
fn duo_web_verifies_the_same() {
    if packages_are_missing() {
        return;
    }
    let mut rng = generator();
    let mut replies = Vec::new();
    for _ in 0..REQUESTS {
        let prefix =
            if rng.random_bool(0.9) { "AUTH" } else { ["ENROLL", "TX", "APP"][rng.random_range(0..3)] };
        let user = loop {
            let user = text(&mut rng, 1, 12);
            if !user.contains('|') {
                break user;
            }
        };
        replies.push(json!({
            "op": "reply", "now": NOW, "expire": rng.random_range(290..310), "prefix": prefix, "user": user,
            "ikey": key(&mut rng, 20), "skey": key(&mut rng, 40), "akey": key(&mut rng, 40),
        }));
    }
    let mut requests = Vec::new();
    for (reply, duo) in replies.iter().zip(ask(&replies)) {
        let get = |name: &str| reply[name].as_str().unwrap();
        let sdk = sdk(get("ikey"), get("skey"), get("akey")).unwrap();
        let sdk = sdk.with_app_expire(Duration::from_secs(rng.random_range(295..400)));
        let user = if rng.random_bool(0.95) { get("user") } else { "other" };
        let ours = sdk.sign_request(user, Timestamp::from_unix_seconds(NOW).unwrap()).unwrap();
        let mut response = format!("{}:{}", duo.as_str().unwrap(), ours.app_half());
        if rng.random_bool(0.3) {
            let mut characters: Vec<char> = response.chars().collect();
            let at = rng.random_range(0..characters.len());
            match rng.random_range(0..3) {
                0 => drop(characters.remove(at)),
                1 => characters.insert(at, *['|', ':', '=', 'A', '\n'].choose(&mut rng).unwrap()),
                _ => characters[at] = *['|', ':', '=', 'A', '0'].choose(&mut rng).unwrap(),
            }
            response = characters.into_iter().collect();
        }
        requests.push(json!({
            "op": "verify", "now": NOW + rng.random_range(285..310), "enroll": rng.random_bool(0.05),
            "ikey": get("ikey"), "skey": get("skey"), "akey": get("akey"), "response": response,
        }));
    }
    let mut accepted = 0;
    for (request, theirs) in requests.iter().zip(ask(&requests)) {
        let get = |name: &str| request[name].as_str().unwrap();
        let sdk = sdk(get("ikey"), get("skey"), get("akey")).unwrap();
        let now = Timestamp::from_unix_seconds(request["now"].as_u64().unwrap()).unwrap();
        let ours = match request["enroll"] == true {
            true => sdk.verify_enroll_response(get("response"), now),
            false => sdk.verify_response(get("response"), now),
        };
        accepted += usize::from(ours.is_ok());
        assert_eq!(theirs.as_str(), ours.as_ref().ok().map(|verified| verified.user()), "{request} {ours:?}");
    }
    assert!(accepted > REQUESTS / 10 && accepted < REQUESTS / 2 + REQUESTS / 4, "{accepted}");
}
