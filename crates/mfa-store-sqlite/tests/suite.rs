//! The store keeps the contract of stores, clause by clause.
#![cfg(test)]

use mfa_store_sqlite::SqliteStore;
use mfa_testkit::layer::{Layer, Layered};
use tempfile::TempDir;

/// The folder of a store's file, which goes when the store goes.
#[derive(Debug)]
struct Folder(#[expect(dead_code, reason = "it is kept")] TempDir);

impl Layer for Folder {}

fn fresh() -> Layered<SqliteStore, Folder> {
    let folder = tempfile::tempdir().unwrap();
    Layered::over(SqliteStore::open(folder.path().join("suite.db")).unwrap(), Folder(folder))
}

mfa_testkit::store_suite!(fresh());
