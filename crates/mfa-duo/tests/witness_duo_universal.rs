//! Witness: Duo's own SDK for Python, `duo_universal`, and PyJWT under it make the same requests, read ours, and
//! judge id tokens as we do.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "the helpers of tests are outside of the functions that clippy knows as tests"
)]

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use mfa_core::Timestamp;
use mfa_duo::universal::{AuthorizationCode, Universal};
use mfa_duo::{ApiHost, IntegrationKey, SecretKey};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

const CASES: usize = 1_000;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witness_duo_universal.py");
const HOST: &str = "api-xxxxxxxx.duosecurity.com";
const REDIRECT: &str = "https://www.example.com/duo?a=b&c=d";
const NOW: u64 = 1_700_000_000;

fn is_missing() -> bool {
    let output = Command::new("python3").args(["-c", "import duo_universal, jwt"]).output();
    let missing = !output.is_ok_and(|output| output.status.success());
    if missing {
        let required = std::env::var("MFA_REQUIRE_WITNESSES").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "the Python package duo_universal is required by MFA_REQUIRE_WITNESSES=1 and missing"
        );
        eprintln!("skipped: the Python package duo_universal is not installed");
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
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<_> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), requests.len());
    answers
}

/// One application with keys of its own.
struct App {
    client_id: String,
    secret: String,
    duo: Universal,
}

impl App {
    fn random(rng: &mut StdRng) -> Self {
        let (client_id, secret) = (alphanumeric(rng, 20), alphanumeric(rng, 40));
        let duo = Universal::new(
            IntegrationKey::parse(&client_id).unwrap(),
            SecretKey::parse(&secret).unwrap(),
            ApiHost::parse(HOST).unwrap(),
            REDIRECT,
        );
        Self { client_id, secret, duo: duo.unwrap() }
    }

    fn request(&self, op: &str, more: Value) -> Value {
        let mut request = json!({
            "op": op, "client_id": self.client_id, "secret": self.secret, "host": HOST, "redirect_uri": REDIRECT,
        });
        let Value::Object(more) = more else { panic!("an object") };
        request.as_object_mut().unwrap().extend(more);
        request
    }

    fn decode(&self, jwt: &str, audience: &str) -> Value {
        self.request("decode", json!({"jwt": jwt, "audience": audience}))
    }
}

fn alphanumeric(rng: &mut StdRng, length: usize) -> String {
    let alphabet: Vec<char> = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    (0..length).map(|_| *alphabet.choose(rng).unwrap()).collect()
}

/// Returns a user name with everything in it that has a meaning in JSON or a URL, and some Unicode.
fn user(rng: &mut StdRng) -> String {
    let alphabet: Vec<char> = "aB7 %&?#/=+@.-_~\"\\<;,!|éß漢🔑א\u{2028}".chars().collect();
    let length = rng.random_range(1..30);
    (0..length).map(|_| *alphabet.choose(rng).unwrap()).collect()
}

fn query(url: &str) -> HashMap<String, String> {
    url::Url::parse(url).unwrap().query_pairs().into_owned().collect()
}

/// Returns numbers of a new seed, or of the one that a failed run has printed.
fn rng() -> StdRng {
    let seed = std::env::var("MFA_WITNESS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| RandomState::new().build_hasher().finish());
    eprintln!("MFA_WITNESS_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

fn now() -> Timestamp {
    Timestamp::from_unix_seconds(NOW).unwrap()
}

#[test]
fn the_official_sdk_makes_the_same_url() {
    if is_missing() {
        return;
    }
    let mut rng = rng();
    let mut requests = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..CASES {
        let app = App::random(&mut rng);
        let (user, length) = (user(&mut rng), rng.random_range(17..=1023));
        let state = alphanumeric(&mut rng, length);
        let nonce = rng.random_bool(0.5).then(|| alphanumeric(&mut rng, 36));
        let url = app.duo.create_auth_url(&user, &state, nonce.as_deref(), now()).unwrap();
        let url = url.expose_secret().to_owned();
        let inputs = json!({"username": user, "state": state, "nonce": nonce, "now": NOW});
        requests.push(app.request("auth_url", inputs));
        requests.push(app.decode(&query(&url)["request"], &format!("https://{HOST}")));
        ours.push((app, nonce, url));
    }
    let answers = ask(&requests);
    // And PyJWT reads theirs, too.
    let theirs: Vec<_> = answers.iter().step_by(2).map(|answer| answer["url"].as_str().unwrap()).collect();
    let audience = format!("https://{HOST}");
    let decode = |((app, ..), url): (&(App, _, _), &&str)| app.decode(&query(url)["request"], &audience);
    let decoded = ask(&ours.iter().zip(&theirs).map(decode).collect::<Vec<_>>());
    for (index, (_, nonce, url)) in ours.iter().enumerate() {
        let (mut our_query, mut their_query) = (query(url), query(theirs[index]));
        our_query.remove("request");
        their_query.remove("request");
        assert_eq!(our_query, their_query, "{url}");
        let (endpoint, _) = url.split_once('?').unwrap();
        assert!(theirs[index].starts_with(&format!("{endpoint}?")));

        let ours = &answers[2 * index + 1];
        assert_eq!(ours["header"], json!({"alg": "HS512", "typ": "JWT"}));
        let mut claims = ours["claims"].clone();
        // The SDK for Python has it in the query alone.
        assert_eq!(claims.as_object_mut().unwrap().remove("nonce"), nonce.clone().map(Value::from));
        assert_eq!(claims, decoded[index]["claims"], "{url}");
    }
}

#[test]
fn pyjwt_reads_our_assertions() {
    if is_missing() {
        return;
    }
    let mut rng = rng();
    let apps: Vec<_> = (0..200).map(|_| App::random(&mut rng)).collect();
    let assertion = |body: &[u8]| {
        let form: HashMap<_, _> = url::form_urlencoded::parse(body).into_owned().collect();
        form["client_assertion"].clone()
    };
    let code = AuthorizationCode::parse("code").unwrap();
    let endpoint = |name: &str| format!("https://{HOST}/oauth/v1/{name}");
    let requests: Vec<_> = apps
        .iter()
        .flat_map(|app| {
            let token = app.duo.token_request(&code, &[7; 18], now());
            let health = app.duo.health_check_request(&[7; 18], now());
            [
                app.decode(&assertion(token.body()), &endpoint("token")),
                app.decode(&assertion(health.body()), &endpoint("health_check")),
            ]
        })
        .collect();
    let answers = ask(&requests);
    for (index, answer) in answers.iter().enumerate() {
        let (app, name) = (&apps[index / 2], ["token", "health_check"][index % 2]);
        let expected = json!({
            "iss": app.client_id, "sub": app.client_id, "aud": endpoint(name), "exp": NOW + 300, "jti": "07".repeat(18),
        });
        assert_eq!(answer["claims"], expected);
    }
}

/// An id token that is in order, or not in one or two points.
struct Case {
    app: App,
    user: String,
    nonce: Option<String>,
    algorithm: &'static str,
    secret: String,
    claims: Value,
}

impl Case {
    fn random(rng: &mut StdRng) -> Self {
        let (app, user) = (App::random(rng), user(rng));
        let nonce = rng.random_bool(0.5).then(|| alphanumeric(rng, 36));
        let claims = json!({
            "iss": format!("https://{HOST}/oauth/v1/token"), "aud": app.client_id, "sub": user, "exp": NOW + 300,
            "iat": NOW, "preferred_username": user, "nonce": nonce, "auth_result": {"result": "allow"},
        });
        let mut case = Self { secret: app.secret.clone(), app, user, nonce, algorithm: "HS512", claims };
        for _ in 0..rng.random_range(0..=2) {
            case.change(rng);
        }
        case
    }

    fn change(&mut self, rng: &mut StdRng) {
        // Within two seconds of either boundary half of the time.
        let near = rng.random_bool(0.5);
        let offset = if near { rng.random_range(58..=62) } else { rng.random_range(0..=400) };
        // PyJWT drops fractions: away from the boundary they do not matter.
        let fraction = if near { 0 } else { rng.random_range(0..=1) };
        let (sooner, later) = (json_seconds(NOW - offset, fraction), json_seconds(NOW + offset, fraction));
        match rng.random_range(0..13) {
            0 => self.claims["exp"] = sooner,
            1 => self.claims["exp"] = later,
            2 => self.claims["iat"] = sooner,
            3 => self.claims["iat"] = later,
            4 => self.claims["nbf"] = later,
            5 => self.claims["aud"] = json!([self.app.client_id]),
            6 => self.claims["aud"] = json!(alphanumeric(rng, 20)),
            7 => self.claims["iss"] = json!(format!("https://{HOST}/oauth/v1/authorize")),
            8 => self.claims["preferred_username"] = json!(self.user.to_uppercase()),
            9 => self.claims["nonce"] = json!(alphanumeric(rng, 36)),
            10 => self.algorithm = ["HS256", "HS384"].choose(rng).unwrap(),
            11 => self.secret = alphanumeric(rng, 40),
            _ => {
                let names = ["exp", "iat", "aud", "iss", "preferred_username", "nonce"];
                self.claims.as_object_mut().unwrap().remove(*names.choose(rng).unwrap());
            }
        }
    }
}

fn json_seconds(seconds: u64, fraction: u64) -> Value {
    // Half seconds have an exact binary form.
    if fraction == 0 { json!(seconds) } else { serde_json::from_str(&format!("{seconds}.5")).unwrap() }
}

#[test]
fn the_official_sdk_accepts_and_refuses_the_same_id_tokens() {
    if is_missing() {
        return;
    }
    let mut rng = rng();
    let cases: Vec<_> = (0..CASES).map(|_| Case::random(&mut rng)).collect();
    let encode = |case: &Case| json!({"op": "encode", "claims": case.claims, "secret": case.secret, "algorithm": case.algorithm});
    let tokens = ask(&cases.iter().map(encode).collect::<Vec<_>>());
    let exchange = |(case, token): (&Case, &Value)| {
        let inputs = json!({"jwt": token["jwt"], "username": case.user, "nonce": case.nonce, "now": NOW});
        case.app.request("exchange", inputs)
    };
    let verdicts = ask(&cases.iter().zip(&tokens).map(exchange).collect::<Vec<_>>());
    let mut accepted = 0;
    for ((case, token), verdict) in cases.iter().zip(&tokens).zip(&verdicts) {
        let token = token["jwt"].as_str().unwrap();
        let ours = case.app.duo.verify_id_token(token, &case.user, case.nonce.as_deref(), now());
        assert_eq!(ours.is_ok(), verdict["accepted"], "{ours:?} {verdict} {}", case.claims);
        accepted += usize::from(ours.is_ok());
    }
    // Neither all nor none.
    assert!(accepted > CASES / 4 && accepted < CASES * 3 / 4, "{accepted}");
}
