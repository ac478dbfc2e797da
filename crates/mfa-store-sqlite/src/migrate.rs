//! Versions of the schema: `PRAGMA user_version` counts the migrations a file has had.

use mfa_core::StoreError;
use rusqlite::{Connection, TransactionBehavior};

use crate::OpenError;
use crate::error::Failure;

/// `mfaS`, in the file's header.
const APPLICATION_ID: u32 = 0x6d66_6153;
/// The newest version this program knows: the number of its migrations.
const KNOWN: u32 = 3;
const MIGRATIONS: [&str; KNOWN as usize] = [
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_checkpoints.sql"),
    include_str!("../migrations/0003_dropped.sql"),
];

/// Refuses a file that is not ours or newer than this program; changes nothing. Returns the file's version.
pub(crate) fn inspect(connection: &Connection) -> Result<u32, OpenError> {
    // All values from one state of the file: another process may be migrating it.
    let snapshot = connection.unchecked_transaction()?;
    version_of(&snapshot)
}

fn version_of(connection: &Connection) -> Result<u32, OpenError> {
    let header = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let application_id = header("application_id")?.cast_unsigned();
    let found = header("user_version")?.cast_unsigned();
    let count = "SELECT count(*) FROM sqlite_schema";
    let empty = connection.query_row(count, (), |row| row.get::<_, i64>(0))? == 0;
    let is_new = application_id == 0 && found == 0 && empty;
    if application_id != APPLICATION_ID && !is_new {
        return Err(OpenError::ForeignDatabase { application_id });
    }
    if found > KNOWN {
        return Err(StoreError::NewerSchema { found, known: KNOWN }.into());
    }
    Ok(found)
}

/// Runs the migrations that the file has not had, all in one transaction.
pub(crate) fn run(connection: &mut Connection) -> Result<(), OpenError> {
    if inspect(connection)? == KNOWN {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster; under the lock the answer is final.
    let found = version_of(&transaction)?;
    for (sql, _) in MIGRATIONS.iter().zip(1..).filter(|(_, version)| *version > found) {
        transaction.execute_batch(sql)?;
    }
    if found == 0 {
        let mut incarnation = [0; 16];
        getrandom::fill(&mut incarnation).map_err(|error| OpenError::Entropy(Box::new(error)))?;
        let insert = "INSERT INTO meta (name, value) VALUES ('incarnation', ?1)";
        transaction.execute(insert, (incarnation.as_slice(),))?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()?;
    Ok(())
}

/// Reads the 16 random bytes drawn when the file was made.
pub(crate) fn incarnation(connection: &Connection) -> Result<[u8; 16], OpenError> {
    let select = "SELECT value FROM meta WHERE name = 'incarnation'";
    let value: Vec<u8> = connection.query_row(select, (), |row| row.get(0))?;
    value.try_into().map_err(|_| StoreError::from(Failure::Corrupt("the incarnation")).into())
}
