//! Which files are made, with which modes, and which are refused.
#![cfg(unix)]
#![cfg(test)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{account, child, child_argument, commit, key, put};
use futures::executor::block_on;
use mfa_core::{Committed, Expect, Store, StoreError};
use mfa_store_sqlite::{OpenError, Options, SqliteStore};
use rusqlite::Connection;

const FILES: [&str; 3] = ["mfa.db", "mfa.db-wal", "mfa.db-shm"];

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn write_one(path: &Path) -> SqliteStore {
    let store = SqliteStore::open(path).unwrap();
    let scope = account("acme");
    let mut commit = commit(&scope);
    commit.writes.push(put(key(&scope, "1"), Expect::Any, "x"));
    assert_eq!(block_on(store.commit(commit)).unwrap(), Committed::Done);
    store
}

fn under_umask(umask: &str) -> Vec<u32> {
    let folder = tempfile::tempdir().unwrap();
    let plain = child("umask_child", folder.path());
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("umask {umask}; exec \"$0\" \"$@\""));
    shell.arg(plain.get_program()).args(plain.get_args());
    shell.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(shell.output().unwrap().status.success());
    let modes = fs::read_to_string(folder.path().join("modes")).unwrap();
    modes.lines().map(|line| u32::from_str_radix(line, 8).unwrap()).collect()
}

/// Runs in a process of its own, whose umask differs.
#[test]
fn umask_child() {
    let Some(folder) = child_argument().map(PathBuf::from) else { return };
    let _store = write_one(&folder.join("mfa.db"));
    let modes = FILES.map(|name| format!("{:o}", mode(&folder.join(name))));
    fs::write(folder.join("modes"), modes.join("\n")).unwrap();
}

#[test]
fn s35_files_are_private_under_an_open_umask() {
    assert_eq!(under_umask("000"), [0o600; 3]);
}

#[test]
fn s35_files_are_usable_under_a_closed_umask() {
    assert_eq!(under_umask("777"), [0o600; 3]);
}

#[test]
fn s35_a_file_that_others_can_write_is_refused() {
    for name in FILES {
        for bad in [0o620, 0o602] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("mfa.db");
            drop(write_one(&path));
            let file = folder.path().join(name);
            fs::OpenOptions::new().create(true).append(true).open(&file).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(bad)).unwrap();
            let error = SqliteStore::open(&path).unwrap_err();
            assert_eq!(error.code(), "unsafe_permissions");
            assert!(matches!(&error, OpenError::Writable { mode, .. } if *mode == bad), "{error}");
            assert!(error.to_string().contains("chmod"), "{error}");
        }
    }
}

#[test]
fn a_symbolic_link_is_refused_in_place_of_the_file_and_followed_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real");
    fs::create_dir(&real).unwrap();
    drop(write_one(&real.join("mfa.db")));

    symlink(real.join("mfa.db"), folder.path().join("link.db")).unwrap();
    let error = SqliteStore::open(folder.path().join("link.db")).unwrap_err();
    assert_eq!(error.code(), "not_a_file");

    symlink(&real, folder.path().join("linked")).unwrap();
    let store = SqliteStore::open(folder.path().join("linked/mfa.db")).unwrap();
    assert_eq!(store.path(), fs::canonicalize(&real).unwrap().join("mfa.db"));
}

#[test]
fn a_link_or_folder_beside_the_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    drop(write_one(&path));
    symlink("/dev/null", folder.path().join("mfa.db-wal")).unwrap();
    assert_eq!(SqliteStore::open(&path).unwrap_err().code(), "not_a_file");
    assert_eq!(SqliteStore::open(folder.path()).unwrap_err().code(), "not_a_file");
}

#[test]
fn memory_and_uris_are_refused_with_what_to_use_instead() {
    for path in [":memory:", "", "file::memory:?cache=shared", "file:x.db"] {
        let error = SqliteStore::open(path).unwrap_err();
        assert_eq!(error.code(), "not_a_path");
        assert!(error.to_string().contains("MemoryStore"), "{error}");
    }
}

#[test]
fn a_missing_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let error = SqliteStore::open(folder.path().join("no/mfa.db")).unwrap_err();
    assert_eq!(error.code(), "io");
    assert!(error.to_string().contains("/no"), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let text = "a letter to the editor\n".repeat(100);
    fs::write(&path, &text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(SqliteStore::open(&path).unwrap_err().code(), "not_a_database");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

fn with_database(sql: &str) -> OpenError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch(sql).unwrap();
    drop(database);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::read(&path).unwrap();
    let error = SqliteStore::open(&path).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), before, "a refused file was changed");
    error
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    assert_eq!(with_database("CREATE TABLE t (x)").code(), "foreign_database");
    let marked = with_database("PRAGMA application_id = 77");
    assert!(matches!(marked, OpenError::ForeignDatabase { application_id: 77 }), "{marked}");
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let error = with_database("PRAGMA application_id = 0x6d666153; PRAGMA user_version = 9");
    assert!(matches!(error, OpenError::Store(StoreError::NewerSchema { found: 9, known: 3 })), "{error}");
    assert_eq!(error.code(), "newer_schema");
}

#[test]
fn options_out_of_range_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let minutes = std::time::Duration::from_secs(61);
    for options in [Options::new().readers(65), Options::new().busy_timeout(minutes)] {
        let error = SqliteStore::open_with(&path, options).unwrap_err();
        assert_eq!(error.code(), "invalid_option");
        assert!(!path.exists());
    }
}

#[test]
fn the_incarnation_belongs_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mfa.db");
    let first = write_one(&path).incarnation();
    assert_eq!(write_one(&path).incarnation(), first);
    assert_ne!(write_one(&folder.path().join("b.db")).incarnation(), first);
}
