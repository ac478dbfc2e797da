//! What the Universal Prompt's URL costs over its floor: the same URL put together with `hmac`, `sha2` and
//! `data-encoding` alone, from the raw key each time.

use criterion::Criterion;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use mfa::Timestamp;
use mfa_benches::Mode;
use mfa_benches::turns::{Lane, Target, report, take_turns};
use mfa_duo::universal::Universal;
use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
use sha2::Sha512;

const ID: &str = "DIXXXXXXXXXXXXXXXXXX";
const SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";
const HOST: &str = "api-xxxxxxxx.duosecurity.com";
const REDIRECT: &str = "https://www.example.com/duo";
const USER: &str = "user-000001";
const STATE: &str = "deadbeefdeadbeefdeadbeefdeadbeefdead";
const NONCE: &str = "abcdefghijklmnopqrstuvwxyzabcdefghij";
const NOW: u64 = 1_800_000_000;
/// Turns are short, so that a busy machine interrupts few of them.
const ROUNDS: usize = 2_000;
const CALLS: usize = 50;

fn main() {
    let duo = universal();
    // Both sides make the same bytes.
    for nonce in [None, Some(NONCE)] {
        assert_eq!(ours(&duo, nonce), floor(nonce));
    }
    mfa_benches::run(|harness| criterion(harness, &duo), |mode| ratios(mode, &duo));
}

fn universal() -> Universal {
    let (id, secret) = (IntegrationKey::parse(ID).unwrap(), SecretKey::parse(SECRET).unwrap());
    Universal::new(id, secret, ApiHost::parse(HOST).unwrap(), REDIRECT).unwrap()
}

fn ours(duo: &Universal, nonce: Option<&str>) -> String {
    let now = Timestamp::from_unix_seconds(NOW).unwrap();
    duo.create_auth_url(USER, STATE, nonce, now).unwrap().expose_secret().to_owned()
}

/// Nothing here needs escaping, and nothing is escaped.
fn floor(nonce: Option<&str>) -> String {
    let exp = NOW + 300;
    let signed_nonce = nonce.map(|nonce| format!(",\"nonce\":\"{nonce}\"")).unwrap_or_default();
    let json = format!(
        "{{\"scope\":\"openid\",\"redirect_uri\":\"{REDIRECT}\",\"client_id\":\"{ID}\",\"iss\":\"{ID}\",\
         \"aud\":\"https://{HOST}\",\"exp\":{exp},\"state\":\"{STATE}\",\"response_type\":\"code\",\
         \"duo_uname\":\"{USER}\",\"use_duo_code_attribute\":true{signed_nonce}}}"
    );
    let mut jwt = String::from("eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.");
    BASE64URL_NOPAD.encode_append(json.as_bytes(), &mut jwt);
    let mut mac = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(jwt.as_bytes());
    jwt.push('.');
    BASE64URL_NOPAD.encode_append(&mac.finalize().into_bytes(), &mut jwt);
    let nonce = nonce.map(|nonce| format!("&nonce={nonce}")).unwrap_or_default();
    format!("https://{HOST}/oauth/v1/authorize?response_type=code&client_id={ID}&request={jwt}{nonce}")
}

fn criterion(harness: &mut Criterion, duo: &Universal) {
    let mut group = harness.benchmark_group("duo universal/create_auth_url");
    group.bench_function("ours", |b| b.iter(|| ours(duo, Some(NONCE))));
    group.bench_function("floor", |b| b.iter(|| floor(Some(NONCE))));
    group.finish();
}

fn ratios(mode: Mode, duo: &Universal) {
    for (name, nonce) in [("without a nonce", None), ("with a nonce", Some(NONCE))] {
        let mut lanes = [
            Lane::new(format!("{name}: create_auth_url"), CALLS, || ours(duo, nonce)),
            Lane::new(format!("{name}: hmac + sha2 + data-encoding"), CALLS, || floor(nonce)),
        ];
        let figures = take_turns(mode, ROUNDS, &mut lanes);
        let ratio = figures[0].median() / figures[1].median();
        let what = format!("duo universal, {name}: create_auth_url / hmac + sha2 + data-encoding");
        report(mode, &what, ratio, "", Target::AtMost(2.0));
    }
}
