//! A run of the example, typed at or piped into.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use mfa::Timestamp;
use mfa_testkit::authenticator::SoftAuthenticator;

pub(crate) const PERIOD: Duration = Duration::from_secs(30);

/// A running example, with its lines.
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn start(folder: &Path, db: &str) -> Self {
        let mut child = command(folder, &["--db", db]).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        Self { child, input, output }
    }

    pub(crate) fn type_line(&mut self, line: &str) {
        writeln!(self.input, "{line}").unwrap();
    }

    /// Reads until a line holds `text`, and returns what follows it.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, rest)) = line.split_once(text) {
                return rest.trim().to_owned();
            }
            line.clear();
        }
        panic!("the output ended without {text:?}");
    }

    /// Types the answers of a first enrolment up to its recovery codes, and returns the app and the codes.
    pub(crate) fn enrol_up_to_recovery(&mut self, now: Timestamp) -> (SoftAuthenticator, Vec<String>) {
        self.type_line("enrol");
        let app = SoftAuthenticator::from_base32(&self.expect("or type the secret: ")).unwrap();
        self.type_line(&app.code_at(now));
        self.expect("your recovery codes, shown this once:");
        let codes = (0..10).map(|_| self.expect("  ")).collect();
        (app, codes)
    }

    pub(crate) fn end(mut self, status: i32) {
        drop(self.input);
        self.output.read_to_string(&mut String::new()).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(status));
    }
}

pub(crate) fn script(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command(folder, arguments).spawn().unwrap();
    // A program that refuses its command line may have ended without reading.
    drop(child.stdin.take().unwrap().write_all(input));
    let output = child.wait_with_output().unwrap();
    assert!(!complaint(&output).contains("panicked"), "{}", complaint(&output));
    output
}

/// Checks an exported log with the example that does.
pub(crate) fn checked(folder: &Path, log: &str) -> Output {
    fs::write(folder.join("log.jsonl"), log).unwrap();
    let mut check = Command::new(example("audit-verify"));
    let files = ["--log", "log.jsonl", "--key-file", "mfa-login.db.checkpoint-key"];
    check.args(files).current_dir(folder).output().unwrap()
}

pub(crate) fn refused(folder: &Path, db: &str, problem: &str) {
    let output = script(folder, &["--db", db], b"methods\n");
    assert_eq!(output.status.code(), Some(1), "{db}");
    assert_one_line(&output, problem);
}

pub(crate) fn assert_one_line(output: &Output, problem: &str) {
    let complaint = complaint(output);
    assert_eq!(complaint.matches("error: ").count(), 1, "{complaint}");
    let line = complaint.lines().last().unwrap();
    assert!(line.starts_with("error: ") && line.contains(problem), "{complaint}");
}

pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(example("login"));
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `cargo test` builds examples beside the folder that this test lies in.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "build the examples first: cargo build -p mfa-examples --examples");
    path
}

pub(crate) fn private_file(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

pub(crate) fn wrong_code(app: &SoftAuthenticator, now: Timestamp) -> String {
    let near = [now.minus(PERIOD), now, now.plus(PERIOD), now.plus(PERIOD * 2)].map(|at| app.code_at(at));
    (0..).map(|number| format!("{number:06}")).find(|code| !near.contains(code)).unwrap()
}
