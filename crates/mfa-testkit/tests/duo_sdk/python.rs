//! A Python process that makes calls with Duo's official packages.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use audit_model::Timestamp;
use mfa_testkit::duo::{FakeDuo, Integration};
use serde_json::{Value, json};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/duo_sdk.py");

/// The packages, set up for one fake and one integration.
pub(crate) struct Python {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// Returns the time of the system's clock, which the packages read.
#[expect(clippy::disallowed_methods, reason = "the packages take no other clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp::from_unix_seconds(since.as_secs()).unwrap()
}

/// Says that the packages are not installed, which is a failure only where they are required.
pub(crate) fn is_missing() -> bool {
    let script = "import duo_client, duo_universal, duo_web, requests";
    let output = Command::new("python3").args(["-W", "ignore", "-c", script]).output();
    let is_missing = !output.is_ok_and(|output| output.status.success());
    if is_missing {
        let how = "Python packages duo_client, duo_universal, duo_web";
        let is_required = std::env::var("MFA_REQUIRE_WITNESSES").is_ok_and(|value| value == "1");
        assert!(!is_required, "Duo's packages are required by MFA_REQUIRE_WITNESSES=1 and missing: {how}");
        eprintln!("skipped: Duo's packages are not installed ({how})");
    }
    is_missing
}

impl Python {
    pub(crate) fn start(duo: &FakeDuo, integration: &Integration) -> Self {
        let mut child = Command::new("python3")
            .arg(SCRIPT)
            // A proxy of the machine is not to be asked for loopback.
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let mut python = Self { stdin: child.stdin.take(), stdout, child };
        let port: u16 = duo.authority().rsplit_once(':').unwrap().1.parse().unwrap();
        python.write(&json!({
            "port": port,
            "ca_pem": duo.ca_pem(),
            "ikey": integration.ikey,
            "skey": integration.skey,
        }));
        python
    }

    fn write(&mut self, line: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Makes one call and returns `{"ok": …}` or `{"error": …}`.
    pub(crate) fn ask(&mut self, request: &Value) -> Value {
        self.write(request);
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{request}: {error}: {line}"))
    }

    /// Makes a call that must succeed.
    pub(crate) fn ok(&mut self, request: &Value) -> Value {
        let mut answer = self.ask(request);
        assert!(answer.get("ok").is_some(), "{request}: {answer}");
        answer["ok"].take()
    }

    /// Makes a call that must fail, and returns the text of the exception.
    pub(crate) fn error(&mut self, request: &Value) -> String {
        let answer = self.ask(request);
        answer["error"].as_str().unwrap_or_else(|| panic!("{request}: {answer}")).to_owned()
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
