//! One `mfa-shim`, spoken to line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use serde_json::{Value, json};

/// A running shim; ended when dropped.
#[derive(Debug)]
pub(crate) struct Shim {
    child: Child,
    requests: Option<ChildStdin>,
    replies: Option<BufReader<ChildStdout>>,
}

impl Shim {
    pub(crate) fn start() -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mfa-shim"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (requests, replies) = (child.stdin.take(), child.stdout.take().map(BufReader::new));
        Self { child, requests, replies }
    }

    /// Starts a shim with `store` open at `now`.
    pub(crate) fn open(store: &str, now: u64) -> Self {
        let mut shim = Self::start();
        shim.ok(open_request(store, now));
        shim
    }

    /// Sends one line and reads one.
    pub(crate) fn line(&mut self, line: &[u8]) -> Value {
        self.send(line);
        self.receive().expect("a reply to every line")
    }

    pub(crate) fn send(&mut self, line: &[u8]) {
        let requests = self.requests.as_mut().unwrap();
        requests.write_all(line).unwrap();
        requests.write_all(b"\n").unwrap();
    }

    /// Reads one line; `None` when the process has closed its output.
    pub(crate) fn receive(&mut self) -> Option<Value> {
        let mut reply = String::new();
        self.replies.as_mut().unwrap().read_line(&mut reply).unwrap();
        (!reply.is_empty()).then(|| serde_json::from_str(&reply).unwrap())
    }

    pub(crate) fn call(&mut self, request: Value) -> Value {
        self.line(request.to_string().as_bytes())
    }

    /// Calls an op that must succeed.
    pub(crate) fn ok(&mut self, request: Value) -> Value {
        let mut reply = self.call(request);
        assert!(reply.get("ok").is_some(), "{reply}");
        reply["ok"].take()
    }

    /// Calls an op that must fail, and returns its code and field.
    pub(crate) fn error(&mut self, request: Value) -> (String, String) {
        error_of(&self.call(request))
    }

    /// Stops reading, as a test that has ended does.
    pub(crate) fn close_replies(&mut self) {
        self.replies = None;
    }

    /// Ends the input and waits for the process.
    pub(crate) fn end(mut self) -> ExitStatus {
        self.requests = None;
        self.child.wait().unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        self.requests = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn open_request(store: &str, now: u64) -> Value {
    json!({ "op": "open", "store": store, "now": now, "sealing_keys": [{ "id": "k1", "key": "07".repeat(32) }] })
}

pub(crate) fn error_of(reply: &Value) -> (String, String) {
    let text = |name: &str| reply["error"][name].as_str().unwrap_or_default().to_owned();
    assert!(reply.get("ok").is_none(), "{reply}");
    (text("code"), text("field"))
}
