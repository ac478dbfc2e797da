//! The pages themselves: their code is the code beside this file, and their logs can be asked for.

use std::path::Path;

/// A page and the file that its code is from.
pub(crate) struct Page {
    text: &'static str,
    code: &'static str,
}

macro_rules! page {
    ($page:literal, $code:literal) => {
        Page {
            text: include_str!(concat!("../../docs/recipes/", $page, ".md")),
            code: include_str!(concat!($code, ".rs")),
        }
    };
}

pub(crate) const LOCKED_OUT: Page = page!("locked-out-user", "locked_out_user");
pub(crate) const METHODS: Page = page!("own-methods", "own_methods");
pub(crate) const RESTORED: Page = page!("restored-backup", "restored_backup");
pub(crate) const ROTATING: Page = page!("rotating-keys", "rotating_keys");
pub(crate) const TRUSTING: Page = page!("trusting-a-device", "trusting_a_device");
pub(crate) const READING: Page = page!("reading-the-audit-log", "reading_the_audit_log");
pub(crate) const PUMPING: Page = page!("sms-pumping", "sms_pumping");
pub(crate) const UPKEEP: Page = page!("upkeep", "upkeep");

impl Page {
    /// Returns the rows of the page's log number `n`, with single spaces: kind, outcome, actor, reason.
    pub(crate) fn log(&self, n: usize) -> Vec<String> {
        let log = self.blocks("```text\n").nth(n).expect("a log");
        log.lines().map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    fn blocks(&self, fence: &'static str) -> impl Iterator<Item = &'static str> {
        self.text.split(fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default())
    }
}

/// Returns a file's code as a page shows it: without `pub(crate)`, which a host does not need to see.
fn shown(code: &str) -> String {
    code.replace("pub(crate) ", "")
}

#[test]
fn every_block_of_the_pages_is_code_that_the_tests_run() {
    for page in [LOCKED_OUT, METHODS, RESTORED, ROTATING, TRUSTING, READING, PUMPING, UPKEEP] {
        let code = shown(page.code);
        let blocks: Vec<_> = page.blocks("```rust\n").collect();
        assert!(!blocks.is_empty());
        for block in &blocks {
            assert!(code.contains(block), "{block}");
        }
        // And nothing that is run is left out.
        let functions = |text: &str| text.matches("fn ").count();
        assert_eq!(blocks.iter().map(|block| functions(block)).sum::<usize>(), functions(&code));
        assert!(!page.text.contains("```rust,") && !page.text.contains("```ignore"));
    }
}

#[test]
fn every_page_is_read_by_these_tests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/recipes");
    let mut pages: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    pages.sort();
    let known = [
        "locked-out-user.md",
        "own-methods.md",
        "reading-the-audit-log.md",
        "restored-backup.md",
        "rotating-keys.md",
        "sms-pumping.md",
        "trusting-a-device.md",
        "upkeep.md",
    ];
    assert_eq!(pages, known);
}
