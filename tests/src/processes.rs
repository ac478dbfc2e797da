//! Child processes of a test: its own binary, started again with a job in an environment variable.
//!
//! Parent and child talk in lines: the parent writes to the child's standard input, the child to its standard
//! error, behind an `@` that no message of the test harness begins with. Nobody sleeps; who waits for a line
//! learns of the other's death by the end of the pipe.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStderr, ChildStdin, Command, Stdio};

use serde_json::Value;

const JOB: &str = "MFA_TESTS_JOB";

/// A child process. It is killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStderr>,
}

impl Peer {
    /// Starts this binary again, in which only the test `child` runs, with `job`.
    ///
    /// # Panics
    /// If the operating system refuses.
    #[must_use]
    pub fn start(job: &Value) -> Self {
        let program = std::env::current_exe().expect("this binary");
        let mut child = Command::new(program)
            .args(["--exact", "child", "--nocapture", "--test-threads=1"])
            .env(JOB, job.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take().expect("a pipe");
        let output = BufReader::new(child.stderr.take().expect("a pipe"));
        Self { child, input, output }
    }

    /// Sends a line; a child that has died does not hear it.
    pub fn say(&mut self, line: &Value) {
        let said = writeln!(self.input, "{line}").and_then(|()| self.input.flush());
        drop(said);
    }

    /// Waits for `word` and returns what came with it.
    ///
    /// # Panics
    /// If the child says another word, or dies.
    pub fn hear(&mut self, word: &str) -> Value {
        let (said, rest) = self.next().unwrap_or_else(|| panic!("the child died before `{word}`"));
        assert_eq!(said, word, "{rest}");
        rest
    }

    /// Kills the child as `kill -9` does. What it has said can still be heard.
    pub fn kill(&mut self) {
        drop(self.child.kill());
    }
}

/// The words of the child with what came with them, until it is dead and has said all.
impl Iterator for Peer {
    type Item = (String, Value);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            if self.output.read_line(&mut line).ok()? == 0 || !line.ends_with('\n') {
                return None;
            }
            let Some(said) = line.trim_end().strip_prefix('@') else {
                std::io::stderr().write_all(line.as_bytes()).ok()?;
                continue;
            };
            let (word, rest) = said.split_once(' ').unwrap_or((said, "null"));
            return Some((word.to_owned(), serde_json::from_str(rest).ok()?));
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.kill();
        drop(self.child.wait());
    }
}

/// Returns the job of this process, if a test started it as a child.
///
/// # Panics
/// If the job is not JSON.
#[must_use]
pub fn job() -> Option<Value> {
    std::env::var(JOB).ok().map(|job| serde_json::from_str(&job).expect("a job"))
}

/// Says a word to the parent, in one write.
///
/// # Panics
/// If the parent is dead.
pub fn say(word: &str, rest: &Value) {
    std::io::stderr().write_all(format!("@{word} {rest}\n").as_bytes()).expect("a parent");
}

/// Waits for the parent's next line; `None` if there will be none.
///
/// # Panics
/// If the line is not JSON.
#[must_use]
pub fn hear() -> Option<Value> {
    let mut line = String::new();
    let bytes = std::io::stdin().lock().read_line(&mut line).expect("a pipe");
    (bytes > 0).then(|| serde_json::from_str(&line).expect("a line"))
}
