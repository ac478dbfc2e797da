//! Runs the sign-in example as a person and as a script would.

#![expect(
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "whatever fails here fails the test"
)]

#[path = "login/session.rs"]
mod session;

use std::fs;

use mfa::{Runtime, TokioRuntime};
use mfa_testkit::authenticator::SoftAuthenticator;

use session::{
    PERIOD, Session, assert_one_line, checked, complaint, private_file, refused, script, wrong_code,
};

#[test]
fn a_user_enrols_signs_in_once_and_finds_it_in_the_log_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), "site.db");

    session.type_line("login");
    session.expect("no_method");
    session.type_line("enrol");
    let secret = session.expect("or type the secret: ");
    let app = SoftAuthenticator::from_base32(&secret).unwrap();
    // The current code and the next one: both stay in the window if the step changes meanwhile.
    let now = TokioRuntime::new().now();
    let (current, next) = (app.code_at(now), app.code_at(now.plus(PERIOD)));
    session.type_line("no digits");
    session.expect("malformed");
    session.type_line(&current);
    session.expect("your recovery codes, shown this once:");
    session.type_line("yes");
    session.expect("enrolled: totp");

    session.type_line("login");
    session.expect("Password:");
    session.type_line(&current);
    session.expect("replayed, attempts left 4");
    session.type_line(&next);
    session.expect("accepted: bob is signed in");

    session.type_line("login");
    session.type_line(&next);
    session.expect("replayed, attempts left 4");
    session.type_line(&wrong_code(&app, now));
    session.expect("wrong_code, attempts left 3");
    session.type_line("cancel");
    session.expect("cancelled");
    session.type_line("quit");
    session.end(0);

    let log = script(folder.path(), &["--db", "site.db"], b"log\n");
    let log = String::from_utf8(log.stdout).unwrap();
    let row =
        |words: &[&str]| log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(row(&["recovery_shown", "info", "bob", "127.0.0.1"]), 1, "{log}");
    assert_eq!(row(&["enrolment_confirmed", "success", "totp", "bob", "127.0.0.1"]), 1, "{log}");
    assert_eq!(row(&["answer_accepted", "success"]), 1, "{log}");
    assert_eq!(row(&["answer_rejected", "failed", "replayed"]), 2, "{log}");
    assert_eq!(row(&["answer_rejected", "failed", "wrong_code"]), 1, "{log}");
    let times: Vec<&str> = log.lines().skip(1).map(|line| line.split(' ').next().unwrap()).collect();
    assert!(times.is_sorted() && times.len() > 6, "{log}");
}

#[test]
fn an_app_counts_once_the_recovery_codes_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), "site.db");
    let now = TokioRuntime::new().now();
    let (_, codes) = session.enrol_up_to_recovery(now);
    assert!(codes.iter().all(|code| code.len() == 24), "{codes:?}");
    session.type_line("no idea");
    session.type_line("cancel");
    session.expect("cancelled: nothing was set up, and the codes are void");
    session.type_line("login");
    session.expect("accepted with the password alone");

    let (_, kept) = session.enrol_up_to_recovery(now);
    assert!(kept.iter().all(|code| !codes.contains(code)));
    session.type_line("yes");
    session.expect("enrolled: totp");
    session.type_line("recover");
    session.type_line(&codes[0]);
    session.expect("wrong_code, attempts left 4");
    session.type_line(&kept[0]);
    session.expect("accepted: bob is signed in (amr pwd, aal 1)");
    session.type_line("quit");
    session.end(0);
}

#[test]
fn a_recovery_code_signs_in_once_however_it_is_typed() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), "site.db");
    let now = TokioRuntime::new().now();
    let (app, codes) = session.enrol_up_to_recovery(now);
    session.type_line("yes");
    session.type_line("recover");
    session.type_line("no code at all");
    session.expect("malformed, attempts left 5");
    session.type_line(&codes[3].to_lowercase().replace('-', " "));
    session.expect("accepted: bob is signed in");

    session.type_line("recover");
    session.type_line(&codes[3]);
    session.expect("already_used, attempts left 4");
    session.type_line("cancel");
    session.expect("cancelled: not signed in");
    session.type_line("methods");
    session.expect(", 9 codes left");
    session.type_line("remove");
    session.type_line(&app.code_at(now.plus(PERIOD)));
    session.expect("refused: not within a day of the use of a recovery code [recovery_hold]");
    session.type_line("methods");
    session.expect("totp ");
    session.type_line("quit");
    session.end(0);

    let log = String::from_utf8(script(folder.path(), &["--db", "site.db"], b"log\n").stdout).unwrap();
    let row =
        |words: &[&str]| log.lines().filter(|line| words.iter().all(|word| line.contains(word))).count();
    assert_eq!(row(&["answer_accepted", "recovery", "bob"]), 1, "{log}");
    assert_eq!(row(&["answer_rejected", "already_used", "recovery"]), 1, "{log}");
    assert_eq!(row(&["change_refused", "recovery_hold"]), 1, "{log}");
    assert!(codes.iter().all(|code| !log.contains(code)));
}

#[test]
fn whoever_has_an_app_is_asked_for_it_before_another_one_is_set_up_or_one_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), "site.db");
    let now = TokioRuntime::new().now();
    let (first, _) = session.enrol_up_to_recovery(now);
    session.type_line("yes");
    let first_id = session.expect("enrolled: totp ");
    session.expect("The first sign-in with it is aal 1");

    session.type_line("enrol");
    session.type_line(&wrong_code(&first, now));
    session.expect("wrong_code, attempts left 4");
    session.type_line("cancel");
    session.expect("cancelled: nothing was changed");
    session.type_line("enrol");
    session.type_line(&first.code_at(now.plus(PERIOD)));
    let second = SoftAuthenticator::from_base32(&session.expect("or type the secret: ")).unwrap();
    session.type_line(&second.code_at(now));
    let second_id = session.expect("enrolled: totp ");

    // The one that goes does not prove that it may.
    session.type_line(&format!("remove {first_id}"));
    session.type_line(&second.code_at(now.plus(PERIOD)));
    session.expect(&format!("the code of totp {second_id} (or `cancel`)"));
    session.expect(&format!("removed: {first_id}"));
    session.type_line("remove");
    session.type_line(&second.code_at(now.plus(PERIOD)));
    session.expect("replayed, attempts left 4");
    session.type_line("cancel");
    session.expect("cancelled: nothing was changed");
    session.type_line("quit");
    session.end(0);

    let log = String::from_utf8(script(folder.path(), &["--db", "site.db"], b"log\n").stdout).unwrap();
    assert_eq!(log.matches("enrolment_removed").count(), 1, "{log}");
    assert_eq!(log.matches("enrolment_confirmed").count(), 2, "{log}");
}

#[test]
fn the_last_app_goes_with_a_code_of_its_own_and_takes_the_recovery_codes_along() {
    let folder = tempfile::tempdir().unwrap();
    let mut session = Session::start(folder.path(), "site.db");
    let now = TokioRuntime::new().now();
    let (app, _) = session.enrol_up_to_recovery(now);
    session.type_line("yes");
    session.type_line("remove");
    session.type_line(&app.code_at(now.plus(PERIOD)));
    session.expect("removed: ");
    session.type_line("methods");
    session.expect("bob has no second factor");
    session.type_line("quit");
    session.end(0);
}

#[test]
fn the_export_is_json_lines_that_end_with_a_checkpoint_and_hold() {
    let folder = tempfile::tempdir().unwrap();
    let output = script(folder.path(), &[], b"login\nenrol\nnone\ncancel\n");
    assert!(output.status.success());
    let output = script(folder.path(), &[], b"export\n");
    assert!(complaint(&output).contains("--key-file mfa-login.db.checkpoint-key"), "{}", complaint(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["kind"] == "login_not_required").count(), 1);
    assert!(lines.last().unwrap()["kind"].is_null(), "{text}");

    let holds = checked(folder.path(), &text);
    assert_eq!(holds.status.code(), Some(0));
    let said = String::from_utf8(holds.stdout).unwrap();
    assert!(said.starts_with("HOLDS: ") && !said.contains("behind the last checkpoint"), "{said}");
    // Without any one of its events it does not.
    for gone in 0..lines.len() - 1 {
        let cut: String = text
            .lines()
            .enumerate()
            .filter(|(n, _)| *n != gone)
            .fold(String::new(), |cut, (_, line)| cut + line + "\n");
        let damaged = checked(folder.path(), &cut);
        assert_eq!(damaged.status.code(), Some(1));
        assert!(String::from_utf8(damaged.stdout).unwrap().starts_with("DOES NOT HOLD: "), "{cut}");
    }
}

#[test]
fn without_input_a_demonstration_is_shown_and_the_next_one_finds_its_log() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, accepted, first) in
        [(&[][..], 2, "is new"), (&["--demo"][..], 4, "of earlier runs is there")]
    {
        let output = script(folder.path(), arguments, b"");
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", complaint(&output));
        assert!(text.contains("demonstration: a software authenticator"), "{text}");
        assert!(text.contains(first), "{text}");
        assert_eq!(text.matches("answer_accepted").count(), accepted, "{text}");
        assert_eq!(text.matches("accepted: demo-").count(), 2, "{text}");
        for refusal in ["[replayed, ", "[wrong_code, ", "[already_used, "] {
            assert_eq!(text.matches(refusal).count(), 1, "{text}");
        }
    }
    assert!(folder.path().join("mfa-login.db").exists());
}

#[test]
fn help_says_how_to_use_it() {
    let folder = tempfile::tempdir().unwrap();
    let output = script(folder.path(), &["--help"], b"");
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stdout).unwrap().contains("--db PATH"));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_command_line_that_is_not_known_is_refused_with_status_2() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--bd", "x"][..], &["--db"], &["--db="], &["log"]] {
        let output = script(folder.path(), arguments, b"");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_one_line(&output, "--help");
    }
}

#[test]
fn a_script_ends_with_the_status_of_its_worst_line() {
    let folder = tempfile::tempdir().unwrap();
    let endless = [b"x".repeat(10_000), b"\n\n  \nmethods\n".to_vec()].concat();
    let cases: [(&[u8], i32, &str); 8] = [
        (b"methods\n\n  \nhelp", 0, ""),
        (b"METHODS\r\nquit\nnonsense\n", 0, ""),
        (b"sing in\nmethods\n", 2, "unknown command"),
        (b"methods totp\n", 2, "unknown command"),
        (b"\xff\xfe\x00\n", 2, "unknown command"),
        (&endless, 2, "unknown command"),
        (b"remove\n", 1, "error: bob has no such method, or several; `methods` shows their ids\n"),
        (b"enrol\n\n", 1, "the input ended in the middle of a question"),
    ];
    for (input, status, problem) in cases {
        let output = script(folder.path(), &[], input);
        assert_eq!(output.status.code(), Some(status), "{}", complaint(&output));
        assert!(complaint(&output).contains(problem), "{}", complaint(&output));
    }
}

#[test]
fn files_that_cannot_be_used_are_named_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    private_file(&path("letter.txt"), "Dear editor, ".repeat(100).as_bytes());
    refused(folder.path(), "letter.txt", "`letter.txt`: the file is not an SQLite database");
    refused(folder.path(), "missing/site.db", "missing/site.db");
    refused(folder.path(), ".", "is not the path of a file");
    refused(folder.path(), ":memory:", "is not the path of a file");
    assert!(!path(":memory:.key").exists());
    fs::create_dir(path("folder.db")).unwrap();
    refused(folder.path(), "folder.db", "is not a plain file");

    for name in ["newer.db", "lost.db", "other.db"] {
        assert!(script(folder.path(), &["--db", name], b"login\n").status.success());
    }
    // The schema's version is the four bytes at 60 of an SQLite header (SQLite file format, §1.3).
    let mut bytes = fs::read(path("newer.db")).unwrap();
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(path("newer.db"), bytes).unwrap();
    refused(folder.path(), "newer.db", "`newer.db`: the store has schema version 99");

    fs::remove_file(path("lost.db.key")).unwrap();
    refused(folder.path(), "lost.db", "lost.db.key` is missing");
    assert!(!path("lost.db.key").exists());

    fs::write(path("other.db.key"), format!("example-1:{}\n", "ab".repeat(32))).unwrap();
    refused(folder.path(), "other.db", "does not fit");
    fs::write(path("other.db.key"), "short").unwrap();
    refused(folder.path(), "other.db", "64 lower-case hexadecimal digits");
}

#[cfg(unix)]
#[test]
fn the_key_lies_beside_the_database_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    assert!(script(folder.path(), &["--db", "site.db"], b"login\n").status.success());
    let key = folder.path().join("site.db.key");
    for file in [&key, &folder.path().join("site.db")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let text = fs::read_to_string(&key).unwrap();
    let (_, digits) = text.split_once(':').unwrap();
    let database = fs::read(folder.path().join("site.db")).unwrap();
    assert!(!database.windows(64).any(|window| window == digits.trim().as_bytes()));

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    refused(folder.path(), "site.db", "mode 644");
}
