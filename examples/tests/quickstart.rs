//! The README shows the quick start as it is, and it does what it says.

#![expect(clippy::unwrap_used, reason = "whatever fails here fails the test")]

use std::path::PathBuf;
use std::process::Command;

const QUICKSTART: &str = include_str!("../quickstart.rs");
const README: &str = include_str!("../../README.md");

#[test]
fn the_readme_shows_the_quick_start_as_it_is() {
    let shown: Vec<&str> =
        README.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(shown, [QUICKSTART]);
    assert!(QUICKSTART.lines().count() < 60);
}

#[test]
fn the_quick_start_prints_what_the_readme_says() {
    let output = Command::new(example("quickstart")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, after) = README.split_once("## Quick start").unwrap();
    let shown = after.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(text, shown);
    // The password alone set the method up; the code is used up.
    assert!(text.starts_with("bob is signed in") && text.contains("aal 1\n") && text.contains("replayed"));
}

/// `cargo test` builds examples beside the folder that this test lies in.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("examples").join(name);
    let path = path.with_extension(std::env::consts::EXE_EXTENSION);
    assert!(path.exists(), "build the examples first: cargo build -p mfa-examples --examples");
    path
}
