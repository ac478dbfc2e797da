//! The vectors of `vectors/duo.json` for the Web SDK v2, the Auth API and Kazoo's use of the former.
//!
//! Each names its source: the test suites of Duo's official SDKs in Python, Go, Node, Java, PHP, C# and Ruby,
//! Kazoo's, Duo's documentation, or an independent computation with those SDKs. Those of the Universal Prompt
//! are in `vectors_universal.rs`.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, reason = "a test fails so")]
#![expect(clippy::panic, clippy::indexing_slicing, reason = "a test fails so")]
#![expect(clippy::arithmetic_side_effects, reason = "an overflow should fail the test")]

use std::time::Duration;

use mfa_core::{HttpReply, Timestamp};
use mfa_duo::auth_api::{
    Auth, AuthReply, AuthResult, AuthStatus, Backoff, Call, Capability, Check, DuoHeaders, Enroll,
    EnrollState, EnrollStatus, Logo, Params, Ping, Preauth, PreauthResult, SignatureVersion, Status,
    Unsigned, Verdict, authorization,
};
use mfa_duo::web::kazoo::Kazoo;
use mfa_duo::web::{Refusal, SigRequest, Verified, WebSdk, iframe_src, official_error};
use mfa_duo::{ApiHost, ApplicationKey, Error, IntegrationKey, SecretKey};
use serde_json::{Map, Value, json};

const VECTORS: &str = include_str!("vectors/duo.json");

/// The ops of the Universal Prompt.
const UNIVERSAL: [&str; 8] = [
    "create_auth_url",
    "client_assertion",
    "universal_config",
    "validate_auth_url_inputs",
    "verify_id_token",
    "health_check_response",
    "token_response",
    "token_request",
];

#[test]
fn every_vector_of_the_official_suites_holds() {
    let vectors: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
    let mut checked = 0;
    for vector in &vectors {
        let (name, inputs) = (vector["name"].as_str().unwrap(), &vector["inputs"]);
        let op = inputs["op"].as_str().unwrap();
        if UNIVERSAL.contains(&op) {
            continue;
        }
        let expected = &vector["expected"];
        let answer = match op {
            "sign_request" | "sign_enroll_request" => json!(sign(op, inputs)),
            "verify_response" | "verify_response_for" | "verify_enroll_response" => {
                json!(verify(op, inputs).ok().map(|verified| verified.user().to_owned()))
            }
            "iframe_src" => {
                let host = ApiHost::parse(text(inputs, "host")).unwrap();
                let request = SigRequest::parse(text(inputs, "sig_request")).unwrap();
                json!(iframe_src(&host, &request, text(inputs, "parent")).expose_secret())
            }
            "canon_params" => json!(params(inputs).canonical().as_str()),
            "canonicalize" => json!(canonicalize(inputs)),
            "headers_hash" => json!(headers(inputs).hash()),
            "sign" => sign_api(inputs),
            "validate_headers" => validate_headers(inputs),
            "backoff" => backoff(inputs),
            "parse_response" => parse_response(inputs, expected),
            "kazoo_authenticate" => kazoo(inputs),
            other => panic!("{name}: no such op: {other}"),
        };
        assert_eq!(&answer, expected, "{name}: {}", vector["source"]);
        checked += 1;
    }
    assert!(checked >= 45, "{checked} of {} vectors", vectors.len());
}

fn text<'a>(inputs: &'a Value, name: &str) -> &'a str {
    inputs[name].as_str().unwrap_or_else(|| panic!("{name} in {inputs}"))
}

fn at(inputs: &Value) -> Timestamp {
    Timestamp::from_unix_seconds(inputs["now"].as_u64().unwrap()).unwrap()
}

fn sdk(inputs: &Value) -> Result<WebSdk, Error> {
    let ikey = IntegrationKey::parse(text(inputs, "ikey"))?;
    let skey = SecretKey::parse(text(inputs, "skey"))?;
    let akey = ApplicationKey::parse(text(inputs, "akey"))?;
    let mut sdk = WebSdk::new(ikey, skey, akey)?;
    if let Some(seconds) = inputs["duo_expire"].as_u64() {
        sdk = sdk.with_duo_expire(Duration::from_secs(seconds));
    }
    if let Some(seconds) = inputs["app_expire"].as_u64() {
        sdk = sdk.with_app_expire(Duration::from_secs(seconds));
    }
    Ok(sdk)
}

/// The SDKs check the user before the keys, and answer with a text in either case.
fn sign(op: &str, inputs: &Value) -> String {
    let (user, now) = (text(inputs, "username"), at(inputs));
    let of = |sdk: WebSdk| match op {
        "sign_request" => sdk.sign_request(user, now),
        _ => sdk.sign_enroll_request(user, now),
    };
    let known = json!({ "ikey": "I".repeat(20), "skey": "s".repeat(40), "akey": "a".repeat(40) });
    let signed = sdk(&known).and_then(of).and_then(|_| sdk(inputs)).and_then(of);
    match signed {
        Ok(request) => request.expose_secret().to_owned(),
        Err(error) => official_error(&error).to_owned(),
    }
}

fn verify(op: &str, inputs: &Value) -> Result<Verified, Refusal> {
    let (sdk, response, now) = (sdk(inputs).unwrap(), text(inputs, "sig_response"), at(inputs));
    match op {
        "verify_response" => sdk.verify_response(response, now),
        "verify_response_for" => sdk.verify_response_for(response, text(inputs, "expected_username"), now),
        _ => sdk.verify_enroll_response(response, now),
    }
}

/// Parameters are lists of values; booleans are written as words, numbers in decimal.
fn params(inputs: &Value) -> Params {
    let mut params = Params::new();
    for (name, values) in inputs["params"].as_object().into_iter().flatten() {
        for value in values.as_array().unwrap() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            params = params.with(name.clone(), value);
        }
    }
    params
}

fn headers(inputs: &Value) -> DuoHeaders {
    let none = Map::new();
    let headers = inputs["headers"].as_object().unwrap_or(&none);
    DuoHeaders::new(headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap()))).unwrap()
}

fn with_unsigned<T>(inputs: &Value, use_it: impl FnOnce(Unsigned<'_>) -> T) -> T {
    let (params, headers) = (params(inputs), headers(inputs));
    let body = inputs["body"].as_str().unwrap_or_default();
    let request = Unsigned::new(text(inputs, "method"), text(inputs, "host"), text(inputs, "path"));
    use_it(request.with_params(&params).with_body(body.as_bytes()).with_headers(&headers))
}

fn canonicalize(inputs: &Value) -> String {
    let date = inputs["date"].as_str().unwrap_or_default();
    let canonical = |version| with_unsigned(inputs, |it| it.canonicalize(version, date).as_str().to_owned());
    match inputs["sig_version"].as_u64().unwrap() {
        // Version 1 is version 2 without the line of the date; it is not offered for signing.
        1 => canonical(SignatureVersion::V2Sha1).split_once('\n').unwrap().1.to_owned(),
        2 => canonical(SignatureVersion::V2Sha1),
        4 => canonical(SignatureVersion::V4),
        5 => canonical(SignatureVersion::V5),
        other => panic!("version {other}"),
    }
}

fn sign_api(inputs: &Value) -> Value {
    let version = match (inputs["sig_version"].as_u64().unwrap(), text(inputs, "digest")) {
        (2, "sha1") => SignatureVersion::V2Sha1,
        (2, "sha512") => SignatureVersion::V2Sha512,
        (4, "sha512") => SignatureVersion::V4,
        (5, "sha512") => SignatureVersion::V5,
        other => panic!("version {other:?}"),
    };
    let skey = SecretKey::parse(text(inputs, "skey")).unwrap();
    let signature = with_unsigned(inputs, |it| it.sign(version, text(inputs, "date"), &skey));
    json!({
        "authorization": authorization(text(inputs, "ikey"), &signature).expose_secret(),
        "signature_hex": signature.expose_secret(),
    })
}

fn validate_headers(inputs: &Value) -> Value {
    let pairs = inputs["headers"].as_array().unwrap();
    let pairs = pairs.iter().map(|pair| (pair[0].as_str().unwrap_or_default(), pair[1].as_str().unwrap()));
    json!({ "error": DuoHeaders::new(pairs).err().map(|error| error.code()) })
}

fn backoff(inputs: &Value) -> Value {
    let jitter = Duration::from_secs_f64(inputs["jitter"].as_f64().unwrap());
    let (mut backoff, mut sleeps, mut requests, mut last) = (Backoff::new(), Vec::new(), 0, 0);
    for status in inputs["statuses"].as_array().unwrap() {
        requests += 1;
        last = status.as_u64().unwrap();
        match (last == 429).then(|| backoff.next(jitter, None)).flatten() {
            Some(wait) => sleeps.push(wait.as_secs_f64()),
            None => break,
        }
    }
    json!({ "sleeps": sleeps, "requests": requests, "final_status": last })
}

/// A vector names what its source's test looked at: the answer is cut down to those members.
fn parse_response(inputs: &Value, expected: &Value) -> Value {
    let status = u16::try_from(inputs["http_status"].as_u64().unwrap()).unwrap();
    let reply = http::Response::builder().status(status).body(text(inputs, "body").into()).unwrap();
    let answer = match text(inputs, "endpoint") {
        "ping" => Ping::parse(&reply).map(|time| json!({ "time": time.unix_seconds() })),
        "check" => Check::parse(&reply).map(|time| json!({ "time": time.unix_seconds() })),
        "logo" => Logo::parse(&reply).map(|logo| json!({ "bytes": logo.bytes.len() })),
        "enroll" => Enroll::parse(&reply).map(|enrolled| {
            json!({
                "user_id": enrolled.user_id,
                "username": enrolled.username,
                "expiration": enrolled.expires_at.unwrap().unix_seconds(),
            })
        }),
        "enroll_status" => EnrollStatus::parse(&reply).map(|state| {
            let state = match state {
                EnrollState::Success => "success",
                EnrollState::Invalid => "invalid",
                EnrollState::Waiting => "waiting",
                other => panic!("{other:?}"),
            };
            json!({ "enroll_status": state })
        }),
        "preauth" => preauth(&reply),
        "auth" => Auth::parse(&reply).map(|reply| match reply {
            AuthReply::Started(txid) => json!({ "txid": txid.as_str(), "granted": false }),
            AuthReply::Finished(result) => auth_result(&result),
            other => panic!("{other:?}"),
        }),
        "auth_status" => AuthStatus::parse(&reply).map(|result| auth_result(&result)),
        other => panic!("no such endpoint: {other}"),
    };
    let answer = answer.unwrap_or_else(|error| {
        json!({ "error": match &error {
            Error::MalformedReply { .. } => json!({ "kind": "malformed" }),
            Error::HttpStatus { .. } => json!({ "kind": "http_status" }),
            Error::Api(error) => json!({ "kind": "api", "code": error.code() }),
            other => panic!("{other:?}"),
        }})
    });
    let wanted = expected.as_object().unwrap();
    wanted.keys().map(|name| (name.clone(), answer[name].clone())).collect::<Map<_, _>>().into()
}

fn preauth(reply: &HttpReply) -> Result<Value, Error> {
    let reply = Preauth::parse(reply)?;
    let result = match &reply.result {
        PreauthResult::Auth => "auth",
        PreauthResult::Allow => "allow",
        PreauthResult::Deny => "deny",
        PreauthResult::Enroll => "enroll",
        other => panic!("{other:?}"),
    };
    let able = reply.devices.iter().filter(|device| device.can(&Capability::Push));
    Ok(json!({
        "result": result,
        "devices": reply.devices.len(),
        "push_capable": able.map(|device| device.id.as_str()).collect::<Vec<_>>(),
    }))
}

fn auth_result(result: &AuthResult) -> Value {
    let verdict = match &result.verdict {
        Verdict::Allow => "allow",
        Verdict::Deny => "deny",
        Verdict::Waiting => "waiting",
        Verdict::Unknown(other) => other,
        other => panic!("{other:?}"),
    };
    let status = match &result.status {
        Status::Sent => "sent",
        Status::Pushed => "pushed",
        Status::Allow => "allow",
        other => panic!("{other:?}"),
    };
    json!({ "result": verdict, "status": status, "granted": result.granted(), "poll_again": result.waiting() })
}

fn kazoo(inputs: &Value) -> Value {
    let kazoo = match Kazoo::configure(inputs["owner_id"].as_str(), &inputs["settings"]) {
        Ok(kazoo) => kazoo,
        Err(error) => return json!({ "error": "configuration", "message": error.to_string() }),
    };
    match inputs["mfa_resp"].as_str() {
        None => {
            let request = kazoo.sign_request(at(inputs));
            json!({ "error": 401, "body": kazoo.multi_factor_request(&request) })
        }
        Some(response) => match kazoo.verify_response(response, at(inputs)) {
            Ok(_) => json!({ "ok": "authenticated" }),
            Err(_) => json!({ "error": "unauthorized" }),
        },
    }
}
