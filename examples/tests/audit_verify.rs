//! Runs the offline check on logs that a store exported, honest ones and changed ones.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    reason = "whatever fails here fails the test"
)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use mfa::audit::export::{Lines, checkpoint_to_line};
use mfa::audit::{
    AccountId, Checkpoint, CheckpointKey, Checkpoints, EventBuilder, EventId, Kind, Outcome, Stream,
    Timestamp, UserId,
};
use mfa::sqlite::SqliteStore;
use mfa::{Commit, Committed, Scope, Store, Version};
use tempfile::TempDir;

const KEY: [u8; 32] = [0x2a; 32];

/// A folder with `log.jsonl` (5 events, a checkpoint, 4 events, a checkpoint, 2 events), `key` and `trusted`.
struct Exported {
    folder: TempDir,
    lines: Vec<String>,
}

impl Exported {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("mfa.db")).unwrap();
        write(&store, 1..=5);
        fix(&store);
        write(&store, 6..=9);
        let trusted = fix(&store);
        write(&store, 10..=11);
        let mut lines = Lines::of(&store);
        let lines = block_on(async {
            let mut all = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                all.push(line);
            }
            all
        });
        let exported = Self { folder, lines };
        exported.put("key", &format!("{}\n", "2a".repeat(32)));
        exported.put("trusted", &format!("{}\n", checkpoint_to_line(&trusted)));
        exported
    }

    fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        #[cfg(unix)]
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    }

    /// Checks a log of these lines, with the key and these further arguments.
    fn check(&self, lines: &[String], more: &[&str]) -> Output {
        let text: String = lines.iter().map(|line| line.clone() + "\n").collect();
        self.put("log.jsonl", &text);
        let arguments = [&["--log", "log.jsonl", "--key-file", "key"], more].concat();
        run(self.folder.path(), &arguments)
    }

    /// Asserts that a log of these lines is refused with this code.
    fn assert_found(&self, lines: &[String], more: &[&str], code: &str) {
        let output = self.check(lines, more);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("DOES NOT HOLD: ") && said.contains(&format!("[{code}]")), "{code}: {said}");
    }
}

fn write(store: &SqliteStore, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let at = time(seq);
        let scope = Scope::Account(AccountId::parse("acme").unwrap());
        let byte = u8::try_from(seq).unwrap();
        let event = EventBuilder::new(scope.clone(), Kind::AnswerRejected, Outcome::Failure, at)
            .reason("wrong_code")
            .user(UserId::parse("bob").unwrap())
            .stream(Stream::new([7; 16], seq))
            .build(EventId::new(at, [byte; 16]), [byte; 16])
            .unwrap();
        let mut commit = Commit::new(scope, Version::from_bytes([byte; 16]), at);
        commit.events.push(event);
        assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    }
}

fn fix(store: &SqliteStore) -> Checkpoint {
    block_on(store.checkpoint(&CheckpointKey::from_bytes(KEY).unwrap(), time(60))).unwrap()
}

fn time(seconds: u64) -> Timestamp {
    Timestamp::from_unix_seconds(1_800_000_000 + seconds).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    let output = command().current_dir(folder).args(arguments).stdin(Stdio::null()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!complaint.contains("panicked"), "{complaint}");
    output
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `cargo test` builds examples beside the folder that this test lies in.
fn command() -> Command {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join("audit-verify");
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "build the examples first: cargo build -p mfa-examples --examples");
    Command::new(path)
}

#[test]
fn an_honest_log_holds_and_its_newest_checkpoint_can_be_trusted_next_time() {
    let exported = Exported::new();
    assert_eq!(exported.lines.len(), 13);
    let output = exported.check(&exported.lines, &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("HOLDS: 11 events, 9 of them covered by 2 checkpoints, 0 erased\n"), "{text}");
    assert!(text.contains("not proven: the 2 events behind the last checkpoint"), "{text}");
    assert!(text.contains("not proven: that nothing was cut off the end; give --trusted"), "{text}");
    let newest = text.lines().last().unwrap().to_owned();
    assert_eq!(newest, exported.lines[10]);

    exported.put("newest", &newest);
    for trusted in ["newest", "trusted"] {
        let output = exported.check(&exported.lines, &["--trusted", trusted]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(!said(&output).contains("was cut off"), "{}", said(&output));
    }
}

#[test]
fn a_deleted_line_is_found_be_it_the_first_a_middle_or_the_last_that_is_covered() {
    let exported = Exported::new();
    for event in [0, 2, 4, 6, 9] {
        let mut lines = exported.lines.clone();
        lines.remove(event);
        exported.assert_found(&lines, &[], "event_missing");
    }
    let mut lines = exported.lines.clone();
    lines.remove(5);
    exported.assert_found(&lines, &[], "broken_chain");
}

#[test]
fn an_inserted_line_is_found() {
    let exported = Exported::new();
    for place in [0, 3, 5, 10] {
        let mut lines = exported.lines.clone();
        lines.insert(place, exported.lines[8].clone());
        exported.assert_found(&lines, &[], "event_inserted");
    }
    // Behind everything that is covered it takes a place in a stream that is taken.
    let mut lines = exported.lines.clone();
    lines.push(exported.lines[8].clone());
    exported.assert_found(&lines, &[], "stream_gap");
}

#[test]
fn a_changed_byte_is_found_wherever_it_is() {
    let exported = Exported::new();
    let mut lines = exported.lines.clone();
    lines[3] = lines[3].replace("wrong_code", "wrong_cope");
    exported.assert_found(&lines, &[], "event_changed");
    let mut lines = exported.lines.clone();
    lines[5] = lines[5].replace("\"count\":5", "\"count\":4");
    exported.assert_found(&lines, &[], "wrong_mac");

    let whole = exported.lines.join("\n");
    for place in (0..whole.len()).step_by(397) {
        let mut bytes = whole.clone().into_bytes();
        bytes[place] ^= 1;
        fs::write(exported.folder.path().join("log.jsonl"), bytes).unwrap();
        let output = run(exported.folder.path(), &["--log", "log.jsonl", "--key-file", "key"]);
        assert_eq!(output.status.code(), Some(1), "byte {place}: {}", said(&output));
        assert!(said(&output).starts_with("DOES NOT HOLD: "), "{}", said(&output));
    }
}

#[test]
fn a_cut_tail_is_found_with_the_trusted_checkpoint() {
    let exported = Exported::new();
    for kept in [0, 6, 8] {
        exported.assert_found(&exported.lines[..kept], &["--trusted", "trusted"], "cut_tail");
    }
    // The first five events with their checkpoint are a whole log to anyone who knows of no further one.
    let output = exported.check(&exported.lines[..6], &[]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("not proven: that nothing was cut off the end"), "{}", said(&output));
}

#[test]
fn a_log_without_a_checkpoint_is_told_from_one_that_does_not_hold() {
    let exported = Exported::new();
    let events = exported.lines[..5].to_vec();
    for lines in [&[][..], &events[..1], &events] {
        let output = exported.check(lines, &[]);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.starts_with("NOT PROVEN: there is no checkpoint in it [no_checkpoint]\n"), "{said}");
        assert!(said.contains(&format!("read: {} events", lines.len())), "{said}");
        assert!(!said.contains("HOLD"), "{said}");
    }
    // What shows without one is told as before, and so is a checkpoint that was expected.
    let changed = [events[0].replace("wrong_code", "wrong_cope")];
    exported.assert_found(&changed, &[], "event_changed");
    exported.assert_found(&events, &["--trusted", "trusted"], "cut_tail");
}

#[test]
fn another_key_is_told_as_a_wrong_mac() {
    let exported = Exported::new();
    exported.put("other", &"2b".repeat(32));
    let output = run(exported.folder.path(), &["--log", "log.jsonl", "--key-file", "other"]);
    assert_eq!(output.status.code(), Some(2), "the log is not there yet");
    exported.check(&exported.lines, &[]);
    let output = run(exported.folder.path(), &["--log", "log.jsonl", "--key-file", "other"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "DOES NOT HOLD: checkpoint 1: it was changed or made with another key [wrong_mac]\n";
    assert!(said(&output).starts_with(expected), "{}", said(&output));
}

#[test]
fn without_the_key_nothing_is_called_proven() {
    let exported = Exported::new();
    exported.check(&exported.lines, &[]);
    let output = run(exported.folder.path(), &["--log=log.jsonl", "--without-key"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).starts_with("UNDAMAGED: 11 events") && !said(&output).contains("HOLDS"));
    assert!(said(&output).contains("nothing proves who wrote it"), "{}", said(&output));
    exported.check(&exported.lines[1..], &[]);
    let output = run(exported.folder.path(), &["--log=log.jsonl", "--without-key"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
}

#[test]
fn a_line_that_is_none_of_a_log_is_named() {
    let exported = Exported::new();
    let mut lines = exported.lines.clone();
    lines[2] = "{\"format\":1".to_owned();
    let output = exported.check(&lines, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).starts_with("DOES NOT HOLD: line 3: line: is not one JSON object\n"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_cannot_be_checked_is_refused_with_status_2_and_one_line() {
    let exported = Exported::new();
    exported.check(&exported.lines, &[]);
    exported.put("short", "2a2a");
    exported.put("zeros", &"00".repeat(32));
    exported.put("open", &"2a".repeat(32));
    #[cfg(unix)]
    fs::set_permissions(
        exported.folder.path().join("open"),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let log = ["--log", "log.jsonl"];
    let keyed = [&log[..], &["--key-file", "key"]].concat();
    let cases: &[(Vec<&str>, &str)] = &[
        (vec![], "--log is missing; try --help"),
        (log.to_vec(), "--key-file is missing"),
        (vec!["--log"], "--log needs a file"),
        (vec!["--log="], "--log needs a file"),
        (vec!["--lgo", "x"], "unknown argument \"--lgo\""),
        ([&keyed[..], &["--without-key"]].concat(), "exclude each other"),
        ([&keyed[..], &log].concat(), "--log was given twice"),
        (vec!["--log", "none.jsonl", "--key-file", "key"], "cannot open the log `none.jsonl`"),
        (vec!["--log", ".", "--key-file", "key"], "cannot open the log `.`"),
        ([&log[..], &["--key-file", "none"]].concat(), "cannot open the key file `none`"),
        ([&log[..], &["--key-file", "short"]].concat(), "does not hold 64 lower-case hexadecimal digits"),
        ([&log[..], &["--key-file", "log.jsonl"]].concat(), "does not hold 64 lower-case hexadecimal digits"),
        ([&log[..], &["--key-file", "zeros"]].concat(), "has no byte but zero"),
        #[cfg(unix)]
        ([&log[..], &["--key-file", "open"]].concat(), "run `chmod 600` on it"),
        ([&keyed[..], &["--trusted", "none"]].concat(), "cannot open the trusted checkpoint `none`"),
        (
            [&keyed[..], &["--trusted", "key"]].concat(),
            "the trusted checkpoint `key`: checkpoint: is not one JSON",
        ),
    ];
    for (arguments, problem) in cases {
        let output = run(exported.folder.path(), arguments);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {complaint}");
        assert!(
            complaint.starts_with("error: ") && complaint.contains(problem),
            "{arguments:?}: {complaint}"
        );
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
        assert!(!complaint.contains("2a2a"), "no key is repeated: {complaint}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn help_says_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = run(folder.path(), &["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(said(&output).contains("--log FILE") && said(&output).contains("exit status: 0 the log holds"));
}
