//! What tests of transports share: servers that run as processes of their own, and a clock that stands still.

use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mfa_core::{Message, RunError, Runtime, SecretBytes, SecretText, SlowJob, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;

/// The longest that a test waits for something that must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A clock that stands still, whose sleeps end when the test rings: a deadline passes exactly when it is meant to.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    now: Arc<Mutex<Timestamp>>,
    bell: Arc<Notify>,
}

impl Clock {
    pub(crate) fn at(seconds: u64) -> Self {
        let now = Timestamp::from_unix_seconds(seconds).unwrap();
        Self { now: Arc::new(Mutex::new(now)), bell: Arc::default() }
    }

    pub(crate) fn advance(&self, by: Duration) {
        let mut now = self.now.lock().unwrap();
        *now = now.plus(by);
    }

    /// Ends one sleep.
    pub(crate) fn ring(&self) {
        self.bell.notify_one();
    }

    pub(crate) fn shared(&self) -> Arc<dyn Runtime> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Runtime for Clock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    async fn sleep(&self, _: Duration) {
        self.bell.notified().await;
    }

    async fn run(&self, _: SlowJob) -> Result<SecretBytes, RunError> {
        Err(RunError::Busy)
    }

    fn is_test_double(&self) -> bool {
        true
    }
}

/// A server in Python, which tells of itself in lines of JSON. It ends with the test.
pub(crate) struct Server {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) port: u16,
    /// The server's own time.
    pub(crate) now: u64,
}

impl Server {
    /// Starts `script` of this folder; `None`, with a note, where its Python packages are missing.
    pub(crate) fn start(script: &str, packages: &str, settings: &Value) -> Option<Self> {
        let found =
            Command::new("python3").args(["-W", "ignore", "-c", &format!("import {packages}")]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            let required = std::env::var("MFA_REQUIRE_WITNESSES").is_ok_and(|value| value == "1");
            assert!(!required, "MFA_REQUIRE_WITNESSES=1, and python3 lacks one of {packages}");
            eprintln!("skipped: python3 lacks one of {packages}");
            return None;
        }
        let path = format!("{}/tests/transports/{script}", env!("CARGO_MANIFEST_DIR"));
        let mut child = Command::new("python3")
            .args(["-W", "ignore", &path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(input, "{settings}").unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut server = Self { child, input, lines, port: 0, now: 0 };
        let ready = server.next("ready");
        server.port = u16::try_from(ready["port"].as_u64().unwrap()).unwrap();
        server.now = ready["now"].as_u64().unwrap();
        Some(server)
    }

    /// Returns the next thing the server tells, which must be of this kind.
    pub(crate) fn next(&mut self, kind: &str) -> Value {
        let event: Value = serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["event"], kind, "{event}");
        event
    }

    /// Says something to the server.
    pub(crate) fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").unwrap();
    }

    /// Asserts that the server has told of nothing more until now.
    pub(crate) fn told_nothing_more(&mut self) {
        self.say("echo");
        self.next("echo");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate for 127.0.0.1 that only its holder trusts, and its key, in PEM.
pub(crate) fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

pub(crate) fn message(to: &str, id: &str) -> Message {
    let subject = Some("Your code to sign in to Acme".to_owned());
    let mut message = Message::new(
        SecretText::new(to),
        subject,
        SecretText::new("012345 is your code.\n\nGive it to nobody."),
    );
    message.id = Some(id.to_owned());
    message
}
