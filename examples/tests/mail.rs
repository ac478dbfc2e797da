//! Runs the two examples with e-mail as a person and as a script would.

#![expect(clippy::unwrap_used, clippy::panic, reason = "whatever fails here fails the test")]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use mfa_examples::mail::{MailSink, code_in, link_in};

const PASSWORD: &str = "correct-horse";

#[test]
fn a_code_that_is_sent_over_smtp_signs_in_once_and_the_log_tells_of_it() {
    let (text, status) = run(Path::new("."), "email-code", &["--log"]);
    let told = [
        "Mail goes to a mail sink of this program's own, at 127.0.0.1:",
        "1. bob sets the mailbox up.",
        "a code was sent to b…@acme.example",
        "set up: method ",
        "2. bob signs in",
        "| From: no-reply@acme.example",
        "| To: bob@acme.example",
        "| Subject: Your code to sign in to Acme",
        "is your code to sign in to Acme. It works for 5 min.",
        "[wrong_code]",
        "accepted: bob is signed in (amr mfa pwd, aal 1)",
        "3. The same code is typed a second time.",
        "[already_used]",
        "The audit log:",
        "effect_charged",
        "answer_accepted",
    ];
    assert!(in_order(&text, &told), "{text}");
    assert_eq!(status, Some(0));
    assert_eq!(text.matches("is signed in").count(), 1, "{text}");
}

#[test]
fn a_server_given_by_url_sends_and_the_user_types_what_arrived() {
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let sink = executor.block_on(MailSink::start()).unwrap();
    let url = format!("smtp://{}", sink.address());
    let arguments = ["--smtp", &url, "--to", "ann@acme.example", "--from", "mfa@acme.example"];
    let mut session = Session::start(Path::new("."), "email-code", &arguments);
    session.expect("Mail goes to the mail server 127.0.0.1.");
    session.expect("The code that arrived:");
    session.type_line(&code_in(&sink.newest().unwrap()).unwrap());
    session.expect("set up: method ");
    session.expect("The code that arrived:");
    session.type_line("not a code");
    session.expect("[malformed]");
    session.expect("The code that arrived:");
    let mail = sink.newest().unwrap();
    assert!(mail.contains("From: mfa@acme.example\n"), "{mail}");
    session.type_line(&code_in(&mail).unwrap());
    session.expect("accepted: bob is signed in");
    session.expect("[already_used]");
    session.end(0);
}

#[test]
fn a_demonstration_shows_a_link_that_is_confirmed_and_one_that_is_reported() {
    let (text, status) = run(Path::new("."), "secure-link", &[]);
    let told = [
        "1. bob sets the mailbox up.",
        "2. bob signs in",
        "this page shows the digits ",
        "| subject: Confirm that you are signing in to Acme",
        "3. A mail scanner",
        "[method_not_offered]",
        "status: sent",
        "4. bob opens it on his phone",
        "a sign-in began at 20",
        " from 127.0.0.1",
        "confirmed: the waiting page signs in, this one goes on to https://acme.example/welcome",
        "status: verified",
        "5. The page that waits",
        "accepted: bob is signed in (amr mfa pwd, aal 1)",
        "[already_used]",
        "6. Somebody",
        "reported: ",
        "[exhausted]",
        "refused [locked]",
    ];
    assert!(in_order(&text, &told), "{text}");
    assert_eq!(status, Some(0));
    assert_eq!(text.matches("is signed in").count(), 1, "{text}");
}

#[test]
fn a_link_that_is_confirmed_in_another_terminal_signs_the_waiting_one_in() {
    let folder = tempfile::tempdir().unwrap();
    let mut waiting = Session::start(folder.path(), "secure-link", &["wait"]);
    waiting.expect("Mail goes to the folder `mfa-link.db.mail`.");
    waiting.expect("set up: method ");
    let (digits, link) = begun(&mut waiting, folder.path());
    let mut device = Session::start(folder.path(), "secure-link", &["open", &link]);
    device.expect("a sign-in began at 20");
    device.expect("or `not me`:");
    device.type_line(&digits);
    device.expect("confirmed: ");
    device.end(0);
    waiting.expect("accepted: bob is signed in (amr mfa pwd, aal 1)");
    waiting.end(0);
    // The link is used, and the mailbox stays set up.
    let (text, status) = run(folder.path(), "secure-link", &["open", &link]);
    assert!(text.contains("refused: ") && status == Some(1), "{text}");
    let mut waiting = Session::start(folder.path(), "secure-link", &["wait"]);
    let (digits, link) = begun(&mut waiting, folder.path());
    let wrong = if digits == "00" { "01" } else { "00" };
    let mut device = Session::start(folder.path(), "secure-link", &["open", &link]);
    device.expect("or `not me`:");
    device.type_line(wrong);
    device.expect("[fraud]");
    device.end(1);
    waiting.expect("This sign-in has ended.");
    waiting.end(1);
}

#[test]
fn a_link_that_is_reported_refuses_the_waiting_terminal_and_tells_the_user() {
    let folder = tempfile::tempdir().unwrap();
    let files = ["--db", "a site.db", "--mail", "a folder"];
    let mut waiting = Session::start(folder.path(), "secure-link", &[&["wait"], &files[..]].concat());
    let (_digits, link) = begun(&mut waiting, folder.path());
    let mut device = Session::start(folder.path(), "secure-link", &[&["open", &link], &files[..]].concat());
    device.expect("or `not me`:");
    device.type_line("not me");
    device.expect("reported: ");
    device.end(0);
    waiting.expect("This sign-in has ended.");
    waiting.end(1);
    let told = fs::read_dir(folder.path().join("a folder")).unwrap();
    let told = told.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    assert!(told.into_iter().any(|mail| mail.contains("subject: A sign-in was reported")), "no notice");
}

#[test]
fn what_is_not_understood_is_one_line_with_status_2() {
    let url = format!("smtps://mfa:{PASSWORD}@mail.example/path");
    let cases: [(&str, &[&str], &str); 14] = [
        ("email-code", &["log"], "unknown argument \"log\""),
        ("email-code", &["--to"], "--to needs a value"),
        ("email-code", &["--to", "bob"], "--to: "),
        ("email-code", &["--from", "a@b.example\nBcc: c@d.example"], "--from: "),
        ("email-code", &["--smtp", "smtp://mail.example"], "--smtp needs --to"),
        ("email-code", &["--to", "bob@acme.example", "--smtp", "mail.example"], "--smtp must be a url"),
        (
            "email-code",
            &["--to", "bob@acme.example", "--smtp", "https://mail.example"],
            "must begin with smtp",
        ),
        (
            "email-code",
            &["--to", "bob@acme.example", "--smtp", "smtps://mfa@mail.example"],
            "must have a password",
        ),
        ("email-code", &["--to", "bob@acme.example", "--smtp", &url], "must end with the host"),
        ("secure-link", &["watch"], "unknown argument \"watch\""),
        ("secure-link", &["open"], "open needs one link"),
        ("secure-link", &["open", "https://login.acme.example/confirm"], "has no `#`"),
        ("secure-link", &["wait", "--smtp", "smtp://127.0.0.1"], "--smtp needs --to"),
        ("secure-link", &["--quiet"], "unknown argument \"--quiet\""),
    ];
    for (example, arguments, problem) in cases {
        let output = output(Path::new("."), example, arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_one_line(&output, problem);
    }
}

#[test]
fn what_cannot_be_done_is_one_line_with_status_1() {
    let folder = tempfile::tempdir().unwrap();
    // Nobody listens there: the port was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("smtp://mfa:{PASSWORD}@127.0.0.1:{port}");
    let to = ["--smtp", &url, "--to", "bob@acme.example"];
    fs::write(folder.path().join("a file"), "").unwrap();
    let open = ["open", "https://login.acme.example/confirm#made-up"];
    let cases: [(&str, &[&str], &str); 4] = [
        ("email-code", &to, "cannot"),
        ("secure-link", &open, "there is no `mfa-link.db`"),
        ("secure-link", &["wait", "--mail", "a file"], "`a file`: "),
        ("secure-link", &["wait", "--db", "."], "`.`"),
    ];
    for (example, arguments, problem) in cases {
        let output = output(folder.path(), example, arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_one_line(&output, problem);
    }
}

#[test]
fn help_says_what_there_is() {
    for (example, named) in [("email-code", "--smtp URL"), ("secure-link", "open LINK")] {
        let (text, status) = run(Path::new("."), example, &["--help"]);
        assert_eq!(status, Some(0));
        assert!(in_order(&text, &["usage: cargo run --example", named, "exit status"]), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 110));
    }
}

/// Reads the digits and the link of a page that waits.
fn begun(waiting: &mut Session, folder: &Path) -> (String, String) {
    let digits = waiting.expect("this page shows the digits ");
    let path = waiting.expect("the mail: ");
    let mail = fs::read_to_string(folder.join(path)).unwrap();
    (digits, link_in(&mail).unwrap().to_owned())
}

fn run(folder: &Path, example: &str, arguments: &[&str]) -> (String, Option<i32>) {
    let output = output(folder, example, arguments);
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

fn output(folder: &Path, example: &str, arguments: &[&str]) -> Output {
    let output = command(folder, example, arguments).stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(!complaint.contains("panicked"), "{complaint}");
    output
}

fn assert_one_line(output: &Output, problem: &str) {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.starts_with("error: ") && complaint.contains(problem), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(!complaint.contains(PASSWORD), "{complaint}");
}

fn command(folder: &Path, example: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(path(example));
    command.args(arguments).current_dir(folder).env_remove("SMTP_URL");
    command
}

/// A running example, with its lines.
struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn start(folder: &Path, example: &str, arguments: &[&str]) -> Self {
        let mut command = command(folder, example, arguments);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Reads until a line holds `text`, and returns what follows it.
    fn expect(&mut self, text: &str) -> String {
        let (mut line, mut all) = (String::new(), String::new());
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.trim().to_owned();
            }
            all.push_str(&line);
            line.clear();
        }
        panic!("the output ended without {text:?}:\n{all}");
    }

    fn end(mut self, status: i32) {
        drop(self.input);
        self.output.read_to_string(&mut String::new()).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(status));
    }
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

/// `cargo test` builds examples beside the folder that this test lies in.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "build the examples first: cargo build -p mfa-examples --examples");
    path
}
