//! Witness: `pyotp` computes the same codes, reads our URIs, and writes URIs that we read.

mod support;

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::thread;

use mfa_totp::OtpauthUri;
use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use support::{cases, missing};

const CASES: usize = 10_000;
const LABELS: usize = 500;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/witness_pyotp.py");

fn pyotp_is_missing() -> bool {
    let output = Command::new("python3").args(["-c", "import pyotp"]).output();
    let missing_tool = !output.is_ok_and(|output| output.status.success());
    if missing_tool {
        missing("pyotp", "Python package pyotp");
    }
    missing_tool
}

/// Asks one Python process all requests and returns its answers in the same order.
fn ask(requests: &[Value]) -> std::io::Result<Vec<Value>> {
    let mut child = Command::new("python3")
        .arg(SCRIPT)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let input: String = requests.iter().map(|request| format!("{request}\n")).collect();
    let mut stdin = child.stdin.take();
    // Written beside the reading: a full pipe on either side would stop both.
    let writer = thread::spawn(move || stdin.as_mut().map(|pipe| pipe.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let lines = String::from_utf8_lossy(&output.stdout);
    Ok(lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Returns text with everything in it that has a meaning in a URI, and some Unicode.
fn random_label(rng: &mut StdRng) -> String {
    const CHARACTERS: &str = "aB7 %&?#/=+@.-_~\"\\<;,!éß漢🔑א";
    let alphabet: Vec<char> = CHARACTERS.chars().collect();
    let length = rng.random_range(0..30);
    let inner: String = (0..length).filter_map(|_| alphabet.choose(rng)).collect();
    // White space at the edges is refused.
    format!("x{inner}y")
}

#[test]
fn pyotp_computes_the_same_codes() {
    if pyotp_is_missing() {
        return;
    }
    let (cases, _) = cases(CASES);
    let requests: Vec<_> = cases
        .iter()
        .map(|case| {
            json!({
                "secret": case.secret.to_base32().expose_secret(),
                "algorithm": case.parameters.algorithm.as_str(),
                "digits": case.parameters.digits.get(),
                "period": case.parameters.period.seconds(),
                "time": case.time,
            })
        })
        .collect();
    let answers = ask(&requests).unwrap();
    assert_eq!(answers.len(), CASES);
    for (case, answer) in cases.iter().zip(answers) {
        assert_eq!(answer["code"], case.code, "{}", case.describe());
    }
}

#[test]
fn pyotp_reads_our_uris_and_we_read_its_uris() {
    if pyotp_is_missing() {
        return;
    }
    let (cases, mut rng) = cases(LABELS);
    let uris: Vec<_> = cases
        .into_iter()
        .map(|case| {
            let (issuer, account) = (random_label(&mut rng), random_label(&mut rng));
            OtpauthUri::new(&issuer, &account, case.secret, case.parameters).unwrap()
        })
        .collect();
    let requests: Vec<_> = uris.iter().map(|uri| json!({ "uri": uri.to_uri().expose_secret() })).collect();
    let answers = ask(&requests).unwrap();
    assert_eq!(answers.len(), LABELS);

    for (uri, answer) in uris.iter().zip(answers) {
        let written = uri.to_uri();
        let written = written.expose_secret();
        assert_eq!(answer["secret"], uri.secret().to_base32().expose_secret(), "{written}");
        assert_eq!(answer["issuer"].as_str(), uri.issuer(), "{written}");
        assert_eq!(answer["account"], uri.account(), "{written}");
        assert_eq!(answer["algorithm"], uri.parameters().algorithm.as_str(), "{written}");
        assert_eq!(answer["digits"], uri.parameters().digits.get(), "{written}");
        assert_eq!(answer["period"], uri.parameters().period.seconds(), "{written}");

        let theirs = answer["uri"].as_str().unwrap();
        let read = OtpauthUri::parse(theirs).unwrap_or_else(|error| panic!("{theirs}: {error}"));
        assert_eq!(read.issuer(), uri.issuer(), "{theirs}");
        assert_eq!(read.account(), uri.account(), "{theirs}");
        assert_eq!(read.parameters(), uri.parameters(), "{theirs}");
        assert_eq!(read.secret().expose_secret(), uri.secret().expose_secret(), "{theirs}");
    }
}
