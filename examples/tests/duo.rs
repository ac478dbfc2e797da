//! Runs the two examples with Duo as a script would, against the fake that they start.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

const VARIABLES: [&str; 6] = [
    "DUO_CLIENT_ID",
    "DUO_CLIENT_SECRET",
    "DUO_INTEGRATION_KEY",
    "DUO_SECRET_KEY",
    "DUO_API_HOST",
    "DUO_REDIRECT_URI",
];
const SECRET: &str = "deadbeefdeadbeefdeadbeefdeadbeefdeadbeef";

type Variables<'a> = &'a [(&'a str, &'a str)];

fn run(example: &str, arguments: &[&str], variables: Variables<'_>) -> Output {
    let mut command = Command::new(path(example));
    for name in VARIABLES {
        command.env_remove(name);
    }
    command.args(arguments).envs(variables.iter().copied()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(!complaint(&output).contains("panicked"), "{}", complaint(&output));
    output
}

/// Runs it against the fake, and returns what it printed and its exit status.
fn fake(example: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let output = run(example, arguments, &[]);
    (String::from_utf8(output.stdout.clone()).unwrap(), output.status.code())
}

fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether `parts` come in `text`, in this order.
fn in_order(text: &str, parts: &[&str]) -> bool {
    let mut rest = text;
    parts.iter().all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

#[test]
fn a_callback_signs_in_once_and_the_log_tells_of_both() {
    let (text, status) = fake("duo-universal", &["--log"]);
    let told = [
        "Duo: a fake at 127.0.0.1:",
        "1. bob sets Duo up.",
        "browser → https://127.0.0.1:",
        "back at   http://localhost:8080/duo?state=",
        "set up: method ",
        "2. bob signs in",
        "browser → ",
        "accepted: bob is signed in (amr mfa pwd, aal 1)",
        "3. The same callback comes a second time.",
        "refused: ",
        "[already_used]",
        "The audit log:",
        "enrolment_begun",
        "answer_accepted",
        "answer_rejected      failed   already_used",
    ];
    assert!(in_order(&text, &told), "{text}");
    assert_eq!(status, Some(0));
    assert_eq!(text.matches("is signed in").count(), 1, "{text}");
    // State, nonce, code and request are shown by their beginnings alone.
    let addresses = text.split('?').skip(1).filter_map(|rest| rest.lines().next());
    for pair in addresses.flat_map(|query| query.split('&')) {
        assert!(pair.chars().count() < 45, "{pair}");
    }
}

#[test]
fn a_push_that_is_approved_signs_in_once() {
    let (text, status) = fake("duo-push", &["--user", "ann"]);
    let told = [
        "1. ann sets Duo up.",
        "Duo offers: push to Phone (XXX-XXX-0100)",
        "service → Duo: push",
        "Duo: the user is being asked",
        "Duo: no answer yet",
        "ann takes the phone and approves",
        "set up: method ",
        "2. ann signs in",
        "service → Duo: push",
        "ann takes the phone and approves",
        "accepted: ann is signed in (amr mfa pwd, aal 1)",
        "3. The grant is claimed a second time.",
        "[already_used]",
    ];
    assert!(in_order(&text, &told), "{text}");
    assert_eq!(status, Some(0));
    assert!(!text.contains("audit log"));
}

#[test]
fn a_number_that_is_typed_into_the_phone_is_worth_more_than_a_tap() {
    let (text, _) = fake("duo-push", &["--verified"]);
    let first = "is signed in (amr mfa pwd, aal 1)";
    let told =
        ["the page shows the number ", first, "bob signs in again", "is signed in (amr mfa pwd, aal 2)"];
    assert!(in_order(&text, &told), "{text}");
    let (text, _) = fake("duo-push", &["--factor", "phone"]);
    assert!(in_order(&text, &["service → Duo: phone", "is signed in (amr mfa pwd, aal 1)"]), "{text}");
}

#[test]
fn whoever_is_refused_is_not_signed_in() {
    for (example, reaction, reason) in [
        ("duo-universal", "deny", "[denied]"),
        ("duo-universal", "ignore", "[denied]"),
        ("duo-push", "deny", "[denied]"),
        ("duo-push", "report", "[fraud]"),
        ("duo-push", "ignore", "[timeout]"),
    ] {
        let (text, status) = fake(example, &["--reaction", reaction]);
        assert_eq!(status, Some(1), "{text}");
        assert!(in_order(&text, &["2. bob signs in", reason]), "{text}");
        assert!(!text.contains("is signed in"), "{text}");
    }
}

#[test]
fn what_is_not_understood_is_one_line_with_status_2() {
    let universal = [("DUO_CLIENT_ID", "DIXXXXXXXXXXXXXXXXXX"), ("DUO_CLIENT_SECRET", SECRET)];
    let with = |name, value| [&universal[..], &[(name, value)]].concat();
    let evil = with("DUO_API_HOST", "duosecurity.com.evil.io");
    let real = with("DUO_API_HOST", "api-xxxxxxxx.duosecurity.com");
    let plain = [&real[..], &[("DUO_REDIRECT_URI", "http://acme.example/duo")]].concat();
    let push = [("DUO_INTEGRATION_KEY", "short"), ("DUO_SECRET_KEY", SECRET), real[2]];
    let cases: [(&str, &[&str], Variables<'_>, &str); 11] = [
        ("duo-push", &["--user"], &[], "--user needs a value"),
        ("duo-push", &["--factor", "sms"], &[], "--factor must be push or phone"),
        ("duo-push", &["--reaction", "later"], &[], "--reaction must be"),
        ("duo-universal", &["--reaction", "later"], &[], "--reaction must be"),
        ("duo-universal", &["log"], &[], "unknown argument \"log\""),
        ("duo-universal", &["--user", ""], &[], "--user: "),
        ("duo-universal", &[], &universal, "DUO_API_HOST is not set"),
        ("duo-universal", &[], &evil, "DUO_API_HOST: api_hostname must end in .duosecurity.com"),
        ("duo-universal", &[], &plain, "DUO_REDIRECT_URI: redirect_uri must be https"),
        ("duo-universal", &["--reaction", "deny"], &real, "for the fake alone"),
        ("duo-push", &[], &push, "DUO_INTEGRATION_KEY: integration_key must be exactly 20"),
    ];
    for (example, arguments, variables, problem) in cases {
        let output = run(example, arguments, variables);
        let complaint = complaint(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?} {complaint}");
        assert!(complaint.starts_with("error: ") && complaint.contains(problem), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(!complaint.contains(SECRET));
    }
}

#[test]
fn help_says_how_to_ask_the_real_duo() {
    for (example, variable) in [("duo-universal", "DUO_CLIENT_ID"), ("duo-push", "DUO_INTEGRATION_KEY")] {
        let (text, status) = fake(example, &["--help"]);
        assert_eq!(status, Some(0));
        assert!(in_order(&text, &["usage: cargo run --example", variable, "exit status"]), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110));
    }
}

/// `cargo test` builds examples beside the folder that this test lies in.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "build the examples first: cargo build -p mfa-examples --examples");
    path
}
