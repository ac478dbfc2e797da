//! The scripted day of the five systems asks whom it should, for the reasons that it gives.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::process::Command;

/// User, what is asked for and why, line by line; what is between does not matter.
const ASKED: [[&str; 3]; 19] = [
    ["ann", "nothing (module_does_not_ask)", "module_asks = false (builtin)"],
    ["ann", "totp", "module_asks = true (kazoo_parent)"],
    ["bob", "to set up a method first", "module_asks = true (kazoo_parent)"],
    ["ann", "nothing (module_does_not_ask)", "module_asks = false (builtin)"],
    ["ann", "refused (module_disabled)", "module_enabled = false (kazoo)"],
    ["ann", "totp", "module_asks = true (kazoo_2017_parent)"],
    ["ann", "nothing (module_does_not_ask)", "module_asks = false (builtin)"],
    ["ann", "totp", "enrolments = 1 (store)"],
    ["ann", "nothing (not_challenged)", "decision = allow (host)"],
    ["ann", "email", "decision = challenge (host)"],
    ["bob", "nothing (no_method)", "enrolments = 0 (store)"],
    ["eve", "nothing (no_method)", "enrolments = 0 (store)"],
    ["ann", "totp", "enrolments = 1 (store)"],
    ["bob", "email", "enrolments = 1 (store)"],
    ["eve", "to set up a method first", "enforced = true (total_uptime)"],
    ["ann", "email", "enrolments = 1 (store)"],
    ["bob", "nothing (no_method)", "enrolments = 0 (store)"],
    ["bob", "nothing (grace)", "enforced_from = 1800010830 (b3_networks_parent)"],
    ["bob", "to set up a method first", "enforced = true (b3_networks_parent)"],
];

#[test]
fn who_is_asked_for_what_is_as_the_presets_say() {
    let output = run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let signed_in: Vec<_> = text.lines().filter(|line| line.contains("signs in through")).collect();
    assert_eq!(signed_in.len(), ASKED.len(), "{text}");
    for (line, [user, asked, why]) in signed_in.iter().zip(ASKED) {
        assert!(
            line.contains(&format!("  {user} ")) && line.contains(asked) && line.ends_with(why),
            "{line}\n{why}"
        );
    }
}

#[test]
fn what_a_preset_lets_in_more_is_said() {
    let text = String::from_utf8(run(&[]).stdout).unwrap();
    for danger in ["per_module", "per_module, first_document", "on_decision", "delivered_beside_stronger"] {
        assert!(text.contains(&format!(": {danger}\n")), "{danger}\n{text}");
    }
}

#[test]
fn an_argument_that_is_not_known_is_refused() {
    let output = run(&["--fast"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("unknown argument"));
}

fn run(arguments: &[&str]) -> std::process::Output {
    // `cargo test` builds examples beside the folder that this test lies in.
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join("five-systems");
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    Command::new(path).args(arguments).output().unwrap()
}
