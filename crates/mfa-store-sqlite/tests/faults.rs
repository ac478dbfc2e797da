//! A disk that is full.
#![cfg(target_os = "linux")]
#![cfg(test)]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{account, child, child_argument, commit, get, key, lines, put};
use futures::executor::block_on;
use mfa_core::{Committed, Expect, Store, StoreError};
use mfa_store_sqlite::SqliteStore;

const SAID: &str = "said ";

/// Runs in a process whose files may not grow past some hundred KiB, so that the COMMIT fails which passes that.
#[test]
fn limited_child() {
    let Some(path) = child_argument().map(PathBuf::from) else { return };
    let store = SqliteStore::open(&path).unwrap();
    let scope = account("acme");
    let write = |n: u8| {
        let mut commit = commit(&scope);
        // The same two records again and again: the log grows, the file does not.
        for id in ["left", "right"] {
            commit.writes.push(put(key(&scope, id), Expect::Any, vec![n; 10_000]));
        }
        block_on(store.commit(commit))
    };
    let (done, error) = (0..u8::MAX).find_map(|n| Some((n, write(n).err()?))).unwrap();
    println!("{SAID}{}", error.code());
    assert!(matches!(error, StoreError::Unknown(_)), "{error:?}");
    // Readers still see the last commit that ended.
    assert_eq!(get(&store, &key(&scope, "left")).unwrap().body, vec![done - 1; 10_000]);
    // With room again the store goes on.
    let other = rusqlite::Connection::open(&path).unwrap();
    other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())).unwrap();
    assert!(matches!(write(u8::MAX), Ok(Committed::Done)));
    println!("{SAID}done");
    std::process::abort();
}

#[test]
fn s22_a_failed_commit_is_unknown_and_whole_and_the_store_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let plain = child("limited_child", &path);
    let mut shell = Command::new("sh");
    // 25 is SIGXFSZ, whose default would end the process in place of an error of the write.
    shell.arg("-c").arg("trap '' 25; ulimit -f 1000; exec \"$0\" \"$@\"");
    shell.arg(plain.get_program()).args(plain.get_args());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut child = shell.spawn().unwrap();
    let said: Vec<String> = lines(&mut child, SAID).collect();
    child.wait().unwrap();
    assert_eq!(said, ["unknown", "done"]);

    let store = SqliteStore::open(&path).unwrap();
    for id in ["left", "right"] {
        assert_eq!(get(&store, &key(&account("acme"), id)).unwrap().body, vec![u8::MAX; 10_000]);
    }
}
