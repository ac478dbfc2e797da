//! One process of a `Scattered` store: opens the SQLite file of its argument and serves reads and commits,
//! a line each, until its input ends.

use std::io::{BufRead, Write, stdin, stdout};

use futures::executor::block_on;
use mfa::sqlite::SqliteStore;
use mfa::{Key, Store};
use mfa_tests::wire;
use serde_json::Value;

fn main() {
    let path = std::env::args_os().nth(1).expect("the path of a store");
    let store = SqliteStore::open(path).expect("a store");
    for line in stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line.expect("a line")).expect("a request");
        let reply = match wire::read_get(&request) {
            Some((keys, now)) => match block_on(store.get(&keys, now)) {
                Ok(records) => wire::write_records(&records),
                Err(error) => wire::write_error(&error),
            },
            None => {
                let commit = wire::read_commit(&request);
                let keys: Vec<Key> = commit.writes.iter().map(|write| write.key().clone()).collect();
                match block_on(store.commit(commit)) {
                    Ok(committed) => wire::write_committed(&keys, &committed),
                    Err(error) => wire::write_error(&error),
                }
            }
        };
        if writeln!(stdout().lock(), "{reply}").is_err() {
            return;
        }
    }
}
