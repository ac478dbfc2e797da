//! What Duo's signatures cost over the bare crates: the same texts formatted, hashed and encoded by hand, from the
//! bytes of the keys on both sides.

use std::hint::black_box;

use criterion::Criterion;
use data_encoding::{BASE64, HEXLOWER, HEXUPPER};
use hmac::{Hmac, KeyInit, Mac};
use mfa::Timestamp;
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, show, take_turns};
use mfa_duo::auth_api::{
    Auth, AuthApi, ClockOffset, DeviceChoice, Factor, Params, Push, SignatureVersion, Unsigned, User,
    authorization,
};
use mfa_duo::web::WebSdk;
use mfa_duo::{ApiHost, ApplicationKey, IntegrationKey, SecretKey};
use sha1::Sha1;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;

const IKEY: &str = "DIXXXXXXXXXXXXXXXXXX";
const SKEY: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const AKEY: &str = "useacustomerprovidedapplicationsecretkey";
const USER: &str = "ann@example.com";
const NOW: u64 = 1_700_000_000;
const DATE: &str = "Tue, 21 Aug 2012 17:29:18 -0000";
const HOST: &str = "api-xxxxxxxx.duosecurity.com";
const PATH: &str = "/auth/v2/auth";
const BODY: &str =
    r#"{"async":"1","device":"auto","factor":"push","ipaddr":"192.0.2.7","username":"ann@example.com"}"#;
const PARAMS: [(&str, &str); 4] =
    [("username", USER), ("factor", "push"), ("device", "auto"), ("hostname", "ann's laptop")];
const SHA512_OF_NOTHING: &str = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                                 47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
const ROUNDS: usize = 2_000;
const CALLS: usize = 50;

fn main() {
    let fixture = Fixture::new();
    mfa_benches::run(|harness| fixture.criterion(harness), |mode| fixture.ratios(mode));
}

struct Fixture {
    sdk: WebSdk,
    skey: SecretKey,
    api: AuthApi,
    now: Timestamp,
    response: String,
}

impl Fixture {
    fn new() -> Self {
        let skey = SecretKey::parse(SKEY).unwrap();
        let ikey = IntegrationKey::parse(IKEY).unwrap();
        let akey = ApplicationKey::parse(AKEY).unwrap();
        let sdk = WebSdk::new(ikey.clone(), skey.clone(), akey).unwrap();
        let api = AuthApi::new(ApiHost::parse(HOST).unwrap(), ikey, skey.clone());
        let response =
            format!("{}:{}", bare::cookie(SKEY, "AUTH", NOW + 300), bare::cookie(AKEY, "APP", NOW + 3_600));
        let now = Timestamp::from_unix_seconds(NOW).unwrap();
        let fixture = Self { sdk, skey, api, now, response };
        // Both sides agree on everything that is timed.
        assert_eq!(fixture.sign_request(), bare::sign_request());
        assert_eq!(fixture.verify_response(), bare::verify_response(&fixture.response));
        assert_eq!(fixture.sign_body(), bare::sign("POST", "", BODY.as_bytes()));
        assert_eq!(fixture.sign_params(), bare::sign("GET", &bare::canonical(&PARAMS), b""));
        fixture
    }

    fn sign_request(&self) -> String {
        self.sdk.sign_request(black_box(USER), self.now).unwrap().expose_secret().to_owned()
    }

    fn verify_response(&self) -> Option<String> {
        let verified = self.sdk.verify_response_for(black_box(&self.response), USER, self.now);
        verified.ok().map(|verified| verified.user().to_owned())
    }

    fn sign_body(&self) -> String {
        let unsigned = Unsigned::new("POST", HOST, PATH).with_body(black_box(BODY.as_bytes()));
        let signature = unsigned.sign(SignatureVersion::V5, DATE, &self.skey);
        authorization(IKEY, &signature).expose_secret().to_owned()
    }

    fn sign_params(&self) -> String {
        let params = PARAMS.into_iter().fold(Params::new(), |params, (name, value)| params.with(name, value));
        let unsigned = Unsigned::new("GET", HOST, PATH).with_params(black_box(&params));
        let signature = unsigned.sign(SignatureVersion::V5, DATE, &self.skey);
        authorization(IKEY, &signature).expose_secret().to_owned()
    }

    /// A whole request, as the `http` crate has it.
    fn request(&self) -> http::Request<Vec<u8>> {
        let push = Factor::Push(Push::new(DeviceChoice::Auto));
        let call = Auth::new(User::name(USER).unwrap(), push).asynchronous();
        self.api.request(&call.with_ipaddr([192, 0, 2, 7].into()), self.now, ClockOffset::NONE).unwrap()
    }

    fn criterion(&self, harness: &mut Criterion) {
        let mut group = harness.benchmark_group("duo");
        group.bench_function("web sign_request", |b| b.iter(|| self.sign_request()));
        group.bench_function("web sign_request, bare", |b| b.iter(bare::sign_request));
        group.bench_function("web verify_response", |b| b.iter(|| self.verify_response()));
        group.bench_function("web verify_response, bare", |b| {
            b.iter(|| bare::verify_response(&self.response));
        });
        group.bench_function("auth v5 signature of a body", |b| b.iter(|| self.sign_body()));
        group.bench_function("auth v5 signature of a body, bare", |b| {
            b.iter(|| bare::sign("POST", "", black_box(BODY.as_bytes())));
        });
        group.bench_function("auth v5 signature of a query", |b| b.iter(|| self.sign_params()));
        group.bench_function("auth v5 signature of a query, bare", |b| {
            b.iter(|| bare::sign("GET", &bare::canonical(black_box(&PARAMS)), b""));
        });
        group.bench_function("auth whole request", |b| b.iter(|| self.request()));
        group.finish();
    }

    fn ratios(&self, mode: Mode) {
        let mut lanes = [
            Lane::new("web sign_request", CALLS, || self.sign_request()),
            Lane::new("web sign_request, bare", CALLS, bare::sign_request),
            Lane::new("web verify_response", CALLS, || self.verify_response()),
            Lane::new("web verify_response, bare", CALLS, || bare::verify_response(&self.response)),
            Lane::new("auth v5 signature of a body", CALLS, || self.sign_body()),
            Lane::new("auth v5 signature of a body, bare", CALLS, || {
                bare::sign("POST", "", black_box(BODY.as_bytes()))
            }),
            Lane::new("auth v5 signature of a query", CALLS, || self.sign_params()),
            Lane::new("auth v5 signature of a query, bare", CALLS, || {
                bare::sign("GET", &bare::canonical(black_box(&PARAMS)), b"")
            }),
            Lane::new("auth whole request", CALLS, || self.request()),
        ];
        let figures = take_turns(mode, ROUNDS, &mut lanes);
        show(mode, &figures);
        let names = ["web sign_request", "web verify_response", "auth v5, body", "auth v5, query"];
        for (pair, name) in figures.chunks_exact(2).zip(names) {
            let ratio = pair[0].median() / pair[1].median();
            report(mode, &format!("duo, {name}: ours / bare"), ratio, "", Target::AtMost(2.0));
        }
    }
}

/// The bare crates.
mod bare {
    use super::*;

    pub fn cookie(key: &str, prefix: &str, expiry: u64) -> String {
        let mut cookie = String::with_capacity(200);
        append(&mut cookie, key, prefix, expiry);
        cookie
    }

    pub fn sign_request() -> String {
        let mut request = String::with_capacity(300);
        append(&mut request, SKEY, "TX", NOW + 300);
        request.push(':');
        append(&mut request, AKEY, "APP", NOW + 3_600);
        request
    }

    fn append(out: &mut String, key: &str, prefix: &str, expiry: u64) {
        let start = out.len();
        out.push_str(prefix);
        out.push('|');
        BASE64.encode_append(format!("{USER}|{IKEY}|{expiry}").as_bytes(), out);
        let mac = mac::<Hmac<Sha1>>(key, &out.as_bytes()[start..]);
        out.push('|');
        HEXLOWER.encode_append(&mac, out);
    }

    pub fn verify_response(response: &str) -> Option<String> {
        let (duo, app) = response.split_once(':')?;
        let user = open(duo, SKEY, "AUTH")?;
        (user == open(app, AKEY, "APP")? && user == USER).then_some(user)
    }

    fn open(cookie: &str, key: &str, wanted: &str) -> Option<String> {
        let (signed, given) = cookie.rsplit_once('|')?;
        let expected = HEXLOWER.encode(&mac::<Hmac<Sha1>>(key, signed.as_bytes()));
        if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
            return None;
        }
        let (prefix, encoded) = signed.split_once('|')?;
        let fields = String::from_utf8(BASE64.decode(encoded.as_bytes()).ok()?).ok()?;
        let mut fields = fields.split('|');
        let (user, ikey, expiry) = (fields.next()?, fields.next()?, fields.next()?.parse::<u64>().ok()?);
        (prefix == wanted && ikey == IKEY && NOW < expiry).then(|| user.to_owned())
    }

    pub fn canonical(params: &[(&str, &str)]) -> String {
        let mut pairs: Vec<String> =
            params.iter().map(|(name, value)| encode(name) + "=" + &encode(value)).collect();
        pairs.sort();
        pairs.join("&")
    }

    fn encode(text: &str) -> String {
        let mut encoded = String::with_capacity(3 * text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    encoded.push(byte.into());
                }
                other => {
                    encoded.push('%');
                    HEXUPPER.encode_append(&[other], &mut encoded);
                }
            }
        }
        encoded
    }

    pub fn sign(method: &str, params: &str, body: &[u8]) -> String {
        let mut canonical = String::with_capacity(512);
        for line in [DATE, method, HOST, PATH, params] {
            canonical.push_str(line);
            canonical.push('\n');
        }
        match body {
            [] => canonical.push_str(SHA512_OF_NOTHING),
            body => HEXLOWER.encode_append(&Sha512::digest(body), &mut canonical),
        }
        canonical.push('\n');
        canonical.push_str(SHA512_OF_NOTHING);
        let signature = HEXLOWER.encode(&mac::<Hmac<Sha512>>(SKEY, canonical.as_bytes()));
        let mut header = String::from("Basic ");
        BASE64.encode_append(format!("{IKEY}:{signature}").as_bytes(), &mut header);
        header
    }

    fn mac<M: Mac + KeyInit>(key: &str, text: &[u8]) -> hmac::digest::Output<M> {
        let mut mac = <M as KeyInit>::new_from_slice(key.as_bytes()).unwrap();
        mac.update(text);
        mac.finalize().into_bytes()
    }
}
